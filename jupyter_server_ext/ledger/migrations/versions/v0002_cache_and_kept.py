"""What the cache did and saved, encrypted prompts, answers kept for repeats, and what administrators changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables."""
    op.add_column("entries", sa.Column("cache", sa.String(8), nullable=False, server_default=""))
    op.add_column("entries", sa.Column("saved_nanodollars", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("entries", sa.Column("prompt", sa.LargeBinary))
    op.add_column("totals", sa.Column("saved_nanodollars", sa.BigInteger, nullable=False, server_default="0"))
    op.create_table(
        "kept_answers",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("caller", sa.String(255), nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
    )
    op.create_index("kept_answers_until", "kept_answers", ["until"])
    op.create_index("kept_answers_caller", "kept_answers", ["caller"])
    op.create_table(
        "decisions",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("caller", sa.String(255), nullable=False),
    )
