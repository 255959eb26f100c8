"""Dictionaries and examples that tenants share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "shared_texts",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("added", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sa.UniqueConstraint("tenant", "kind", "name", name="shared_texts_once"),
    )
