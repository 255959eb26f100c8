"""SQLite: the statement runs step by step as its rows are fetched, so nothing beyond the cap is computed."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from rsql_magic.engines.base import MEMORY_CAP, DatabaseEngine, Fetched
from rsql_magic.engines.columns import frame_of, size_of

_CHUNK = 1000


class SQLiteEngine(DatabaseEngine):
    """A SQLite file or connection."""

    @override
    def fetch(self, session: Any, sql: str, max_rows: int) -> Fetched:
        session.execute(sql)
        rows, note = take(session.fetchmany, max_rows)
        names = [column[0] for column in session.description or ()]
        return Fetched(frame_of(names, rows[:max_rows]), len(rows) > max_rows or bool(note), note)


def take(fetchmany: Any, max_rows: int, memory: int = MEMORY_CAP) -> tuple[list[Any], str]:
    """Rows from a cursor until one more than asked for, or until they fill the memory allowed.

    Args:
        fetchmany: The cursor's method.
        max_rows: Rows asked for.
        memory: Bytes allowed.

    Returns:
        At most ``max_rows + 1`` rows, and a note when memory set the end.
    """
    rows: list[Any] = []
    filled = 0
    while len(rows) <= max_rows:
        chunk = fetchmany(min(_CHUNK, max_rows + 1 - len(rows)))
        if not chunk:
            break
        rows += chunk
        filled += sum(map(size_of, chunk))
        if filled > memory:
            return rows, f"cut after {filled >> 20:,} MB"
    return rows, ""
