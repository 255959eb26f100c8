"""The way to providers: their dialects and presets, connections, attempts, and what failures mean for a key."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
