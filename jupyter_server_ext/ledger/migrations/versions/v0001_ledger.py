"""The first tables: open requests, entries, totals, and where the hash chains start."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _columns(kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _request_columns() -> list[sa.Column[Any]]:
    return [
        *_columns(sa.String(64), "request_id"),
        *_columns(sa.Integer, "attempt"),
        *_columns(sa.Float, "at"),
        *_columns(sa.String(255), "caller", "tenant"),
        *_columns(sa.String(16), "task"),
        *_columns(sa.String(255), "model", "key"),
        *_columns(sa.BigInteger, "prompt_tokens", "completion_tokens", "cached_tokens"),
        *_columns(sa.Boolean, "estimated"),
        *_columns(sa.BigInteger, "cost_nanodollars"),
        *_columns(sa.String(64), "prompt_hash"),
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
        *_columns(sa.Integer, "status"),
        *_columns(sa.String(64), "error"),
        *_columns(sa.Integer, "attempts"),
        *_columns(sa.Float, "queue_seconds", "upstream_seconds"),
        sa.Column("first_token_seconds", sa.Float),
        *_columns(sa.Float, "duration_seconds"),
        *_columns(sa.Boolean, "cached"),
        *_columns(sa.String(10), "day"),
        *_columns(sa.Boolean, "forgotten"),
        *_columns(sa.String(64), "content_hash", "chain_hash"),
        sa.PrimaryKeyConstraint("instance", "number"),
        sa.UniqueConstraint("request_id", "attempt", name="entries_once"),
    )
    op.create_index("entries_caller_at", "entries", ["caller", "at"])
    op.create_index("entries_at", "entries", ["at"])
    op.create_table(
        "totals",
        *_columns(sa.String(10), "day"),
        *_columns(sa.String(255), "caller", "tenant", "model"),
        *_columns(sa.String(16), "task"),
        *_columns(sa.BigInteger, "requests", "errors", "cache_hits"),
        *_columns(sa.BigInteger, "prompt_tokens", "completion_tokens", "cached_tokens", "cost_nanodollars"),
        sa.PrimaryKeyConstraint("day", "caller", "tenant", "model", "task"),
    )
    op.create_table(
        "chains",
        sa.Column("instance", sa.String(255), primary_key=True),
        sa.Column("first_number", sa.BigInteger, nullable=False),
        sa.Column("first_hash", sa.String(64), nullable=False),
    )
