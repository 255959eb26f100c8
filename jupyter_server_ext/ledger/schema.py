"""The tables of the ledger. Their history is in ``migrations/``; a change here comes with a migration there.

``requests_open`` holds what was begun and has not ended; ``entries`` is append-only; ``totals`` are kept, not scanned,
so that a day with a million entries is read in one row per caller and model. ``kept_answers`` are those that a repeat
with the same Idempotency-Key gets again; ``decisions`` are what administrators changed at run time; ``forgotten`` says
by a hash whose entries are not to be named, however late they arrive.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _request_columns() -> list[Column[object]]:
    """What is known of a request when it begins."""
    return [
        Column("request_id", String(64), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("at", Float, nullable=False),
        Column("caller", String(255), nullable=False),
        Column("tenant", String(255), nullable=False),
        Column("task", String(16), nullable=False),
        Column("model", String(255), nullable=False),
        Column("key", String(255), nullable=False),
        Column("prompt_tokens", BigInteger, nullable=False),
        Column("completion_tokens", BigInteger, nullable=False),
        Column("cached_tokens", BigInteger, nullable=False),
        Column("estimated", Boolean, nullable=False),
        Column("cost_nanodollars", BigInteger, nullable=False),
        Column("prompt_hash", String(64), nullable=False),
        Column("api_key", String(16), nullable=False, server_default=""),
    ]


requests_open = Table(
    "requests_open",
    metadata,
    Column("instance", String(255), nullable=False),
    *_request_columns(),
    PrimaryKeyConstraint("request_id", "attempt"),
    Index("requests_open_instance", "instance"),
)

entries = Table(
    "entries",
    metadata,
    Column("instance", String(255), nullable=False),
    Column("number", BigInteger, nullable=False),
    *_request_columns(),
    Column("status", Integer, nullable=False),
    Column("error", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("queue_seconds", Float, nullable=False),
    Column("upstream_seconds", Float, nullable=False),
    Column("first_token_seconds", Float),
    Column("duration_seconds", Float, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("day", String(10), nullable=False),
    Column("forgotten", Boolean, nullable=False),
    Column("cache", String(8), nullable=False, server_default=""),
    Column("saved_nanodollars", BigInteger, nullable=False, server_default="0"),
    Column("prompt", LargeBinary),
    Column("content_hash", String(64), nullable=False),
    Column("chain_hash", String(64), nullable=False),
    PrimaryKeyConstraint("instance", "number"),
    UniqueConstraint("request_id", "attempt", name="entries_once"),
    Index("entries_caller_at", "caller", "at"),
    Index("entries_at", "at"),
    Index(
        "entries_api_key", "api_key", "day", sqlite_where=text("api_key <> ''"), postgresql_where=text("api_key <> ''")
    ),
)

totals = Table(
    "totals",
    metadata,
    Column("day", String(10), nullable=False),
    Column("caller", String(255), nullable=False),
    Column("tenant", String(255), nullable=False),
    Column("model", String(255), nullable=False),
    Column("task", String(16), nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("cache_hits", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_nanodollars", BigInteger, nullable=False),
    Column("saved_nanodollars", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("day", "caller", "tenant", "model", "task"),
)

chains = Table(
    "chains",
    metadata,
    Column("instance", String(255), primary_key=True),
    Column("first_number", BigInteger, nullable=False),
    Column("first_hash", String(64), nullable=False),
)
"""Where each instance's hash chain starts now: retention moves the start forward, and verification begins there."""

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("caller", String(255), nullable=False),
    Column("until", Float, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Index("kept_answers_until", "until"),
    Index("kept_answers_caller", "caller"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("caller", String(255), nullable=False),
)

forgotten = Table(
    "forgotten",
    metadata,
    Column("caller_hash", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Index("forgotten_at", "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("owner", String(255), nullable=False),
    Column("name", String(64), nullable=False),
    Column("made", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("tenant", String(255)),
    Column("scopes", String(64), nullable=False),
    Column("limits", Text, nullable=False),
    Column("mark", String(64), nullable=False, server_default=""),
    Index("api_keys_owner", "owner"),
)
