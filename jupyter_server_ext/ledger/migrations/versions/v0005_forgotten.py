"""Which callers were forgotten, so that what arrives late of them arrives without their names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "forgotten",
        sa.Column("caller_hash", sa.String(64), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("forgotten_at", "forgotten", ["at"])
