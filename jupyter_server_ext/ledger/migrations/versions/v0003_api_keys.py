"""Virtual API keys that callers make for their scripts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add their table."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("made", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("tenant", sa.String(255)),
        sa.Column("scopes", sa.String(64), nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
    )
    op.create_index("api_keys_owner", "api_keys", ["owner"])
