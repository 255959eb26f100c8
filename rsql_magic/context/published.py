"""Names that have always been imported from ``rsql_magic.context`` and live in other rooms now."""

from rsql_magic.databases.catalogs import ConnectionCatalog as Catalog
from rsql_magic.sql import Column, ForeignKey, Privacy, Profile, Table, count_tokens, fence

__all__ = ["Catalog", "Column", "ForeignKey", "Privacy", "Profile", "Table", "count_tokens", "fence"]
