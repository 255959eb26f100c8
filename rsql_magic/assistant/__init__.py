"""What the magics, the panel, the command and the functions of one notebook share: one object that asks for all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
