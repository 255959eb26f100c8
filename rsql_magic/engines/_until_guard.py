"""A strict stand-in until the guard is committed: one query, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected

if TYPE_CHECKING:
    from rsql_magic.context.tables import Catalog


def check(sql: str, dialect: str, catalog: Catalog | None = None) -> str:  # noqa: ARG001
    """Let one query through."""
    import sqlglot
    from sqlglot import exp

    statements = sqlglot.parse(sql, read=dialect)
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise QueryRejected("Only one SELECT statement is allowed.")
    return statements[0].sql(dialect)
