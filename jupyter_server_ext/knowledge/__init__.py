"""What a tenant shares with its callers: documents, dictionaries and examples, each with a quota and an expiry."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
