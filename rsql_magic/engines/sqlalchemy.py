"""PostgreSQL, MySQL and whatever else SQLAlchemy reaches: rows are streamed, and reading stops at the cap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.engines.base import DatabaseEngine, Fetched, is_query
from rsql_magic.engines.columns import frame_of, take

if TYPE_CHECKING:
    from rsql_magic.context.database.sqlalchemy import SQLAlchemy


class SQLAlchemyEngine(DatabaseEngine):
    """A database behind SQLAlchemy."""

    _database: SQLAlchemy

    @override
    def fetch(self, session: Any, sql: str, max_rows: int) -> Fetched:
        if not is_query(sql, self.dialect):
            return self._plain(session, sql, max_rows)
        with self._database.stream(session, sql, max_rows + 1) as result:
            names = list(result.keys())
            rows, note = take(result.fetchmany, max_rows)
            if note:
                self._database.cancel()
        return Fetched(frame_of(names, rows[:max_rows]), len(rows) > max_rows or bool(note), note)

    def _plain(self, session: Any, sql: str, max_rows: int) -> Fetched:
        """EXPLAIN and SHOW, which cannot be streamed."""
        result = session.execution_options(no_parameters=True).exec_driver_sql(sql)
        rows = result.fetchmany(max_rows + 1)
        return Fetched(frame_of(list(result.keys()), rows[:max_rows]), len(rows) > max_rows)
