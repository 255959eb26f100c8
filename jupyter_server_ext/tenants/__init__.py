"""Tenants and limits that change while the gateway runs: by whom, within which bounds, and how it is taken back."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
