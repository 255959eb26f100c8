"""Callers and their policy: tokens of Jupyter and the hub, virtual API keys, tenants."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
