"""Webhooks: what happened, told to whoever wants to know, signed, at least once, and by one of all gateways."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
