"""Questions that were asked once, apart from the ranks of all others, whose indexes they need not be in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def _columns(kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def upgrade() -> None:
    """Add the table, and make the ranks cheaper to write; ranks that are there stay as they are."""
    op.create_table(
        "asked_once",
        sa.Column("name", sa.String(255), primary_key=True),
        *_columns(sa.String(255), "tenant"),
        *_columns(sa.Float, "at"),
        *_columns(sa.BigInteger, "failed", "tokens", "cost_nanodollars"),
        *_columns(sa.String(16), "task"),
        *_columns(sa.String(255), "tables"),
        sqlite_with_rowid=False,
    )
    for name in ("rankings_requests", "rankings_heat", "rankings_last"):
        op.drop_index(name, "rankings")
    if op.get_context().dialect.name == "sqlite":
        op.rename_table("rankings", "older_rankings")
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
            sqlite_with_rowid=False,
        )
        op.execute("INSERT INTO rankings SELECT * FROM older_rankings")
        op.drop_table("older_rankings")
    asked, again = sa.text("kind = 'question'"), sa.text("kind = 'question' AND requests > 1")
    for name, where in {"requests": asked, "heat": again}.items():
        op.create_index(
            f"rankings_{name}", "rankings", ["scope", name, "name"], sqlite_where=where, postgresql_where=where
        )
