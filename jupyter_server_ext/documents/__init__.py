"""Documents that a tenant shares: kept with quota and expiry in the ledger's database, and searched by its callers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
