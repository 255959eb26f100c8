"""What the model is told: gathered from frames, R, databases and cells, ranked, and fitted to a budget."""

from __future__ import annotations

from rsql_magic.context.tables import Catalog, Column, ForeignKey, Privacy, Profile, Table

__all__ = ["Catalog", "Column", "ForeignKey", "Privacy", "Profile", "Table"]
