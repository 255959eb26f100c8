"""SQLite: the statement runs step by step as its rows are fetched, so nothing beyond the cap is computed.

What it touches SQLite tells its authorizer while compiling: every table, behind views too, and every function.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.catalogs.sqlite import authorize
from rsql_magic.databases.engines.base import DatabaseEngine, Fetched, is_query
from rsql_magic.databases.engines.columns import frame_of, take
from rsql_magic.errors import QueryRejected
from rsql_magic.sql import ascii_lower, functions, lex, parse, system_table

if TYPE_CHECKING:
    from collections.abc import Collection

_EXPLAIN = re.compile(r"EXPLAIN\s+(QUERY\s+PLAN\s+)?", re.IGNORECASE)
_OFTEN_REPLACED = frozenset({"floor"})
"""Functions that SQLAlchemy replaces in every connection that it opens."""


class SQLiteEngine(DatabaseEngine):
    """A SQLite file or connection."""

    @override
    def verify(self, session: Any, sql: str, /) -> None:
        query = _EXPLAIN.sub("", sql, count=1)
        if not is_query(query, "sqlite"):
            return
        asked = _Asked(session, query, self._allowed_functions)
        connection = session.connection
        connection.set_authorizer(asked)
        try:
            connection.cursor().execute(f"EXPLAIN {query}").close()
        except sqlite3.Error:
            if asked.refusal:
                raise asked.refusal from None
        finally:
            connection.set_authorizer(authorize)

    @override
    def fetch(self, session: Any, sql: str, max_rows: int) -> Fetched:
        session.execute(sql)
        rows, note = take(session.fetchmany, max_rows, self.memory_cap)
        names = [column[0] for column in session.description or ()]
        return Fetched(frame_of(names, rows[:max_rows]), len(rows) > max_rows or bool(note), note)


class _Asked:
    """An authorizer that also minds which tables and functions they are.

    Args:
        session: A cursor, to read what tables and functions there are.
        sql: The query.
        allowed: Functions of the user's that may be called.
    """

    def __init__(self, session: Any, sql: str, allowed: Collection[str]) -> None:
        self.refusal: QueryRejected | None = None
        listed = session.execute("SELECT name, type FROM pragma_table_list").fetchall()
        self._tables = {ascii_lower(name) for name, _ in listed}
        self._views = {ascii_lower(name) for name, kind in listed if kind == "view"} - _defined(sql)
        self._replaced = _replaced(session) - _OFTEN_REPLACED - set(allowed)

    def __call__(self, action: int, first: str | None, second: str | None, place: str | None, by: str | None) -> int:
        """Say whether SQLite may compile a step; ``by`` is the view, or the WITH, that asks for it."""
        if ascii_lower(by or "") in self._views:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and not self._may_read(ascii_lower(first or "")):
            return self._refuse(f"There is no table {first} here.", first)
        if action == sqlite3.SQLITE_FUNCTION and ascii_lower(second or "") in self._replaced:
            return self._refuse(f"{second} is a function of your own here, and it may do anything.", second)
        return authorize(action, first, second, place, by)

    def _may_read(self, name: str) -> bool:
        table_functions = functions("sqlite").tables or frozenset()
        return (
            system_table((name,), "sqlite") == "readable"
            or name in table_functions
            or (name in self._tables and system_table((name,), "sqlite") != "secret")
        )

    def _refuse(self, reason: str, name: str | None) -> int:
        hint = "%rsql catalog lists the tables; SQLite has functions of its own."
        self.refusal = QueryRejected(reason, piece=name or "", hint=hint, repairable=True)
        return sqlite3.SQLITE_DENY


def _defined(sql: str) -> set[str]:
    """The names that a WITH in a query defines."""
    from sqlglot import exp

    return {ascii_lower(cte.alias) for cte in parse(lex(sql, "sqlite").text, "sqlite").find_all(exp.CTE)}


def _replaced(session: Any) -> set[str]:
    """SQLite's own functions that have another of the same name beside them."""
    listed = session.execute("SELECT name, builtin FROM pragma_function_list").fetchall()  # calls none of them
    own = {ascii_lower(name) for name, builtin in listed if builtin}
    return own & {ascii_lower(name) for name, builtin in listed if not builtin}
