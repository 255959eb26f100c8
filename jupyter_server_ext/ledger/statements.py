"""Statements that every entry goes through: compiled once, and run by the driver itself."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Row = dict[str, Any]

_AT_ONCE = 512  # parameters of one statement; SQLite once took no more than 999


class PreparedStatement:
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


def merging(dialect: str, table: sa.Table, more: Mapping[str, Any] | None = None, added: Iterable[str] = ()) -> Any:
    """The INSERT of a row; what there is of it is added to, and its first and last times are kept."""
    insert = insert_into(dialect, table)
    old, new = table.c, insert.excluded
    greatest = sa.func.greatest if dialect == "postgresql" else sa.func.max
    values: dict[str, Any] = {name: old[name] + new[name] for name in added}
    if "first_at" in old:
        values["first_at"] = least(dialect)(old.first_at, new.first_at)
        values["last_at"] = greatest(old.last_at, new.last_at)
        values["task"] = new.task
    for name, make in (more or {}).items():
        values[name] = make(old, new)
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


def least(dialect: str) -> Any:
    """The function that tells the least of its arguments."""
    return sa.func.least if dialect == "postgresql" else sa.func.min


def names_of(db: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]) -> list[str]:
    """All values of a column, each by one step in its index."""
    found: list[str] = []
    while True:
        after = (column > found[-1],) if found else ()
        name = db.execute(sa.select(sa.func.min(column)).where(*where, *after)).scalar()
        if name is None:
            return found
        found.append(name)


def rows_named(
    db: sa.Connection, column: sa.Column[str], names: Sequence[str], *more: sa.Column[Any], where: str = ""
) -> list[Any]:
    """The rows whose column has one of these names: the name and ``more``; ``where`` is SQL that has to hold, too."""
    found: list[Any] = []
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        size = 1 << (len(some) - 1).bit_length()  # few sizes, so that few statements are made
        padded = [*some, *[some[-1]] * (size - len(some))]
        found += _named((column, *more), size, where).run(db, [dict(zip(_ids(size), padded, strict=True))]).fetchall()
    return found


@lru_cache(maxsize=64)
def _named(columns: tuple[sa.Column[Any], ...], size: int, where: str) -> PreparedStatement:
    wanted = sa.select(*columns).where(columns[0].in_([sa.bindparam(name) for name in _ids(size)]))
    return PreparedStatement(lambda _: wanted.where(sa.text(where)) if where else wanted)


@lru_cache(maxsize=16)
def _ids(size: int) -> list[str]:
    return [f"id{number}" for number in range(size)]


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
