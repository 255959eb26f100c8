"""The tables of the ledger. Their history is in ``migrations/``; a change here comes with a migration there.

``requests_open`` holds what was begun and has not ended; ``entries`` is append-only; ``totals`` are kept, not scanned,
so that a day with a million entries is read in one row per caller and model. ``kept_answers`` are those that a repeat
with the same Idempotency-Key gets again; ``decisions`` are what administrators changed at run time; ``forgotten`` says
by a hash whose entries are not to be named, however late they arrive.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()


def _request_columns() -> list[sa.Column[object]]:
    """What is known of a request when it begins."""
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
        sa.Column("api_key", sa.String(16), nullable=False, server_default=""),
    ]


requests_open = sa.Table(
    "requests_open",
    metadata,
    sa.Column("instance", sa.String(255), nullable=False),
    *_request_columns(),
    sa.PrimaryKeyConstraint("request_id", "attempt"),
    sa.Index("requests_open_instance", "instance"),
)

entries = sa.Table(
    "entries",
    metadata,
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
    sa.Column("cache", sa.String(8), nullable=False, server_default=""),
    sa.Column("saved_nanodollars", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("prompt", sa.LargeBinary),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("chain_hash", sa.String(64), nullable=False),
    sa.PrimaryKeyConstraint("instance", "number"),
    sa.UniqueConstraint("request_id", "attempt", name="entries_once"),
    sa.Index("entries_caller_at", "caller", "at"),
    sa.Index("entries_at", "at"),
    sa.Index(
        "entries_api_key",
        "api_key",
        "day",
        sqlite_where=sa.text("api_key <> ''"),
        postgresql_where=sa.text("api_key <> ''"),
    ),
)

totals = sa.Table(
    "totals",
    metadata,
    sa.Column("day", sa.String(10), nullable=False),
    sa.Column("caller", sa.String(255), nullable=False),
    sa.Column("tenant", sa.String(255), nullable=False),
    sa.Column("model", sa.String(255), nullable=False),
    sa.Column("task", sa.String(16), nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("cache_hits", sa.BigInteger, nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost_nanodollars", sa.BigInteger, nullable=False),
    sa.Column("saved_nanodollars", sa.BigInteger, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("day", "caller", "tenant", "model", "task"),
)

chains = sa.Table(
    "chains",
    metadata,
    sa.Column("instance", sa.String(255), primary_key=True),
    sa.Column("first_number", sa.BigInteger, nullable=False),
    sa.Column("first_hash", sa.String(64), nullable=False),
)
"""Where each instance's hash chain starts now: retention moves the start forward, and verification begins there."""

kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("caller", sa.String(255), nullable=False),
    sa.Column("until", sa.Float, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Index("kept_answers_until", "until"),
    sa.Index("kept_answers_caller", "caller"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("caller", sa.String(255), nullable=False),
)

forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("caller_hash", sa.String(64), primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Index("forgotten_at", "at"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("owner", sa.String(255), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("made", sa.Float, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
    sa.Column("tenant", sa.String(255)),
    sa.Column("scopes", sa.String(64), nullable=False),
    sa.Column("limits", sa.Text, nullable=False),
    sa.Column("mark", sa.String(64), nullable=False, server_default=""),
    sa.Index("api_keys_owner", "owner"),
)
