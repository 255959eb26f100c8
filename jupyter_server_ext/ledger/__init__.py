"""The ledger: one durable, chained entry per request, in SQLite or PostgreSQL, with a spool for outages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
