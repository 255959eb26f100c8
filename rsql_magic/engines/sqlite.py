"""SQLite: the statement runs step by step as its rows are fetched, so nothing beyond the cap is computed."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from rsql_magic.engines.base import DatabaseEngine, Fetched
from rsql_magic.engines.columns import frame_of, take


class SQLiteEngine(DatabaseEngine):
    """A SQLite file or connection."""

    @override
    def fetch(self, session: Any, sql: str, max_rows: int) -> Fetched:
        session.execute(sql)
        rows, note = take(session.fetchmany, max_rows, self.memory_cap)
        names = [column[0] for column in session.description or ()]
        return Fetched(frame_of(names, rows[:max_rows]), len(rows) > max_rows or bool(note), note)
