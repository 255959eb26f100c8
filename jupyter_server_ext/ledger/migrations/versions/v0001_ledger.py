"""The first tables: open requests, entries, totals, and where the hash chains start."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _request_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("caller", sa.String(255), nullable=False),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("task", sa.String(16), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("cost_nanodollars", sa.BigInteger, nullable=False),
        sa.Column("prompt_hash", sa.String(64), nullable=False),
    ]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "requests_open",
        sa.Column("instance", sa.String(255), nullable=False),
        *_request_columns(),
        sa.PrimaryKeyConstraint("request_id", "attempt"),
    )
    op.create_index("requests_open_instance", "requests_open", ["instance"])
    op.create_table(
        "entries",
        sa.Column("instance", sa.String(255), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        *_request_columns(),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.String(64), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("queue_seconds", sa.Float, nullable=False),
        sa.Column("upstream_seconds", sa.Float, nullable=False),
        sa.Column("first_token_seconds", sa.Float),
        sa.Column("duration_seconds", sa.Float, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("forgotten", sa.Boolean, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("chain_hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("instance", "number"),
        sa.UniqueConstraint("request_id", "attempt", name="entries_once"),
    )
    op.create_index("entries_caller_at", "entries", ["caller", "at"])
    op.create_index("entries_at", "entries", ["at"])
    op.create_table(
        "totals",
        *(
            sa.Column(name, sa.String(length), nullable=False)
            for name, length in (("day", 10), ("caller", 255), ("tenant", 255), ("model", 255), ("task", 16))
        ),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in (
                "requests",
                "errors",
                "cache_hits",
                "prompt_tokens",
                "completion_tokens",
                "cached_tokens",
                "cost_nanodollars",
            )
        ),
        sa.PrimaryKeyConstraint("day", "caller", "tenant", "model", "task"),
    )
    op.create_table(
        "chains",
        sa.Column("instance", sa.String(255), primary_key=True),
        sa.Column("first_number", sa.BigInteger, nullable=False),
        sa.Column("first_hash", sa.String(64), nullable=False),
    )
