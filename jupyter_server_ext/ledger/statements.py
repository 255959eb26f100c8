"""Statements that every entry goes through: compiled once, and run by the driver itself."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Row = dict[str, Any]


class Prepared:
    """A statement without results or with few, run for rows of plain values."""

    def __init__(self, make: Callable[[str], sa.ClauseElement]) -> None:
        self._make = make  # the statement for a dialect's name
        self._compiled: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def run(self, db: sa.Connection, rows: Sequence[Row]) -> Any:
        """Run it for each of these rows, at one go."""
        if db.dialect.name not in self._compiled:
            compiled: Any = self._make(db.dialect.name).compile(dialect=db.dialect)
            self._compiled[db.dialect.name] = str(compiled), _picker(compiled.positiontup)
        text, values = self._compiled[db.dialect.name]
        # A lone row, the usual case, needs no list.
        given = values(rows[0]) if len(rows) == 1 else [values(row) for row in rows]
        if db.dialect.name != "sqlite":
            return db.exec_driver_sql(text, given)
        cursor = cast("sqlite3.Cursor", db.connection.cursor())
        try:
            return cursor.execute(text, given) if len(rows) == 1 else cursor.executemany(text, given)
        except sqlite3.Error as error:
            # As if SQLAlchemy had run it, so that callers know one family of errors.
            raise sa.exc.DBAPIError.instance(text, None, error, sqlite3.Error) from error


def insert_into(dialect: str, table: sa.Table) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    from sqlalchemy.dialects import postgresql, sqlite

    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def _picker(names: Sequence[str] | None) -> Callable[[Row], Any]:
    """What a driver is given of a row: values by place, or the row where it takes them by name."""
    if names is None:
        return lambda row: row
    pick = itemgetter(*names)
    return pick if len(names) > 1 else lambda row: (pick(row),)


@contextmanager
def deferred_fsync(db: sa.Connection) -> Iterator[None]:
    """A transaction whose end does not wait for the disk, where that is SQLite's to decide."""
    # What it writes survives ``kill -9`` at once, and a power cut as soon as any other transaction has ended.
    connection: Any = db.connection.driver_connection if db.dialect.name == "sqlite" else None
    if connection is not None:
        connection.execute("PRAGMA synchronous=NORMAL").close()
    try:
        with db.begin():
            yield
    finally:
        if connection is not None:
            connection.execute("PRAGMA synchronous=FULL").close()
