"""What was changed at run time, line by line; limits that were decided before are its first lines."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table, and put what was decided into it."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    changes = op.create_table(
        "changes",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("caller", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("tenant", sa.String(255), nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("undoes", sa.String(16), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_thing", "changes", ["kind", "name", "number"])
    op.create_index("changes_id", "changes", ["id"])
    op.create_index("changes_tenant", "changes", ["tenant", "number"])
    decided = sa.text("SELECT value, at, caller FROM decisions WHERE name = 'limits'")
    for row in op.get_bind().execute(decided).all():
        lines = [_line(row, *thing) for thing in _things(json.loads(row.value))]
        if lines:
            op.bulk_insert(changes, lines)
    op.execute("DELETE FROM decisions WHERE name = 'limits'")


def _things(decided: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    named = {"callers": "callers", "tenants": "tenant"}
    found = [("limits", scope, own) for scope, own in decided.items() if scope not in named]
    for scope, kind in named.items():
        for name, own in decided.get(scope, {}).items():
            found.append((kind, name, {"limits": own} if kind == "tenant" else own))
    return found


def _line(row: sa.Row[Any], kind: str, name: str, after: dict[str, Any]) -> dict[str, Any]:
    tenant = name if kind == "tenant" else ""
    told = {"kind": kind, "name": name, "tenant": tenant, "before": "", "after": json.dumps(after), "undoes": ""}
    return {"id": "migrated", "at": row.at, "caller": row.caller, **told}
