"""Indexes of shared documents, by which gateways search them in memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the column, empty: searches make what is missing, some of it each."""
    op.add_column("documents", sa.Column("search_index", sa.LargeBinary))
    if op.get_bind().dialect.name == "postgresql":  # read whole and often, and hardly compressible
        op.execute("ALTER TABLE documents ALTER COLUMN search_index SET STORAGE EXTERNAL")
