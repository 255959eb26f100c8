"""PostgreSQL, MySQL and whatever else SQLAlchemy reaches: rows are streamed, and reading stops at the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.context.database.base import interruptible
from rsql_magic.engines.base import DatabaseEngine, Fetched, is_query
from rsql_magic.engines.columns import frame_of, take

if TYPE_CHECKING:
    from rsql_magic.context.database.sqlalchemy import SQLAlchemy


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
