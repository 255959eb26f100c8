"""Databases: opened from whatever a person names, read into a catalog, and queried read-only within bounds.

DuckDB, data frames, SQLite, PostgreSQL, MySQL and everything else that SQLAlchemy reaches. An engine runs only what the
guard let through.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
