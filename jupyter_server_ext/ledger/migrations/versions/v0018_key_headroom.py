"""What keys had left over the last hours, as all gateways saw it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "key_headroom",
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("part", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("at", "key", "model", "unit", "seconds"),
        sqlite_with_rowid=False,
    )
