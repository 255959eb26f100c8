"""MySQL and whatever else SQLAlchemy reaches: rows are streamed, and reading stops at the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.catalogs.base import interruptible
from rsql_magic.databases.engines.base import DatabaseEngine, Fetched, is_query
from rsql_magic.databases.engines.columns import frame_of, take
from rsql_magic.errors import QueryRejected
from rsql_magic.sql import lex

if TYPE_CHECKING:
    from rsql_magic.databases.catalogs.sqlalchemy import SQLAlchemy


class SQLAlchemyEngine(DatabaseEngine):
    """A database behind SQLAlchemy."""

    _database: SQLAlchemy

    @override
    def fetch(self, session: Any, sql: str, max_rows: int) -> Fetched:
        return interruptible(lambda: self._fetch(session, sql, max_rows), self.interrupt)

    def _fetch(self, session: Any, sql: str, max_rows: int) -> Fetched:
        query = is_query(sql, self.dialect)
        with self._database.stream(session, sql, max_rows + 1, query=query) as (names, fetchmany):
            rows, note = take(fetchmany, max_rows, self.memory_cap)
        return Fetched(frame_of(names, rows[:max_rows]), len(rows) > max_rows or bool(note), note)


class MySQLEngine(SQLAlchemyEngine):
    """A MySQL or MariaDB server."""

    @override
    def verify(self, session: Any, sql: str, /) -> None:
        """Refuse stored functions: ``now ()`` with a blank, or in quotes, calls one of that name, if there is one.

        https://dev.mysql.com/doc/refman/8.4/en/function-resolution.html
        """
        lexed = lex(sql, "mysql")
        words = sorted({token.text.lower() for token in lexed.tokens if token.text.isidentifier()})
        stored = {str(name) for (name,) in self._database.run(session, _STORED)}
        if hidden := sorted({name.lower() for name in stored}.intersection(words) - self._allowed_functions):
            raise QueryRejected(
                f"{hidden[0]} is a stored function of this database, and it may do anything.",
                piece=hidden[0],
                hint="Use what the server itself has.",
                repairable=True,
            )


_STORED = """
    SELECT routine_name FROM information_schema.routines
    WHERE routine_type = 'FUNCTION' AND routine_schema = DATABASE()"""
