"""What administrators look at: more of each request, sums of time, rankings, conversations, feedback."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_COUNTS = (
    *("requests", "success", "failure", "timeout", "refused", "cancelled", "retries", "cache_hits"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nanodollars", "saved_nanodollars", "first_tokens"),
    *("within_1", "within_2", "within_5", "within_10", "within_30", "within_60"),
)
_SECONDS = ("queue_seconds", "first_token_seconds", "upstream_seconds", "duration_seconds")


def _columns(kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _add(table: str, length: int | None, *names: str) -> None:
    kind: sa.types.TypeEngine[Any] = sa.Text() if length is None else sa.String(length)
    for name in names:
        op.add_column(table, sa.Column(name, kind, nullable=False, server_default=""))


def upgrade() -> None:
    """Add the columns, indexes and tables; what is in the ledger is folded into them while the gateway runs."""
    for table in ("requests_open", "entries"):
        _add(table, 128, "session", "client_id")
        _add(table, 32, "trace", "question")
        _add(table, 255, "tables")
    _add("entries", None, "error_text")
    op.add_column("entries", sa.Column("answer", sa.LargeBinary))
    for name, where, columns in (
        ("entries_failed", "status >= 400 OR status = 0", ["at", "error", "caller", "tenant", "model"]),
        ("entries_text", "prompt IS NOT NULL OR answer IS NOT NULL", ["at"]),
        ("entries_question_text", "prompt IS NOT NULL OR answer IS NOT NULL", ["question", "at"]),
        ("entries_session", "session <> ''", ["session", "at"]),
    ):
        op.create_index(name, "entries", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_index("totals_caller", "totals", ["caller", "day"])
    op.create_table(
        "series",
        *_columns(sa.Integer, "grain"),
        *_columns(sa.BigInteger, "start"),
        *_columns(sa.String(255), "tenant", "model"),
        *_columns(sa.String(16), "task"),
        *_columns(sa.BigInteger, *_COUNTS),
        *_columns(sa.Float, *_SECONDS),
        sa.PrimaryKeyConstraint("grain", "start", "tenant", "model", "task"),
    )
    op.create_table(
        "rankings",
        *_columns(sa.String(16), "kind"),
        *_columns(sa.String(262), "scope"),
        *_columns(sa.String(255), "name"),
        *_columns(sa.BigInteger, "requests", "failed", "tokens", "cost_nanodollars"),
        *_columns(sa.Float, "first_at", "last_at", "heat"),
        *_columns(sa.String(16), "task"),
        *_columns(sa.String(255), "tables"),
        sa.PrimaryKeyConstraint("kind", "scope", "name"),
    )
    op.create_index("rankings_requests", "rankings", ["kind", "scope", "requests", "name"])
    op.create_index("rankings_heat", "rankings", ["kind", "scope", "heat", "name"])
    op.create_index("rankings_last", "rankings", ["kind", "scope", "last_at", "name"])
    op.create_table(
        "sessions",
        *_columns(sa.String(255), "caller"),
        *_columns(sa.String(128), "session"),
        *_columns(sa.String(255), "tenant"),
        *_columns(sa.String(16), "task"),
        *_columns(sa.BigInteger, "requests", "failed", "tokens", "cost_nanodollars"),
        *_columns(sa.Float, "first_at", "last_at"),
        *_columns(sa.String(255), "name"),
        sa.Column("deleted_at", sa.Float),
        sa.PrimaryKeyConstraint("caller", "session"),
    )
    op.create_index("sessions_last", "sessions", ["last_at", "caller", "session"])
    op.create_index("sessions_deleted", "sessions", ["deleted_at"])
    op.create_table(
        "folded", sa.Column("instance", sa.String(255), primary_key=True), *_columns(sa.BigInteger, "number")
    )
    op.create_table(
        "feedback",
        sa.Column("request_id", sa.String(64), primary_key=True),
        *_columns(sa.String(255), "caller", "tenant"),
        *_columns(sa.Integer, "rating"),
        *_columns(sa.Text, "comment"),
        *_columns(sa.Float, "at"),
    )
    op.create_index("feedback_at", "feedback", ["at", "request_id"])
    op.create_index("feedback_caller", "feedback", ["caller"])
