"""`rsql_magic.sql.linking` under its published path."""

from rsql_magic.sql.linking import link, shown

__all__ = ["link", "shown"]
