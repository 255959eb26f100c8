"""`rsql_magic.sql.guard` under its published path."""

from rsql_magic.sql.guard import check

__all__ = ["check"]
