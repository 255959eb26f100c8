"""The statements that every entry goes through, each compiled once and then run by the driver itself.

SQLAlchemy makes and compiles them, so they are right in SQLite and in PostgreSQL; its own way of running one takes ten
times as long as SQLite's work (60 and 6 us), which a gateway on one core pays for every answer. PostgreSQL's driver is
still called through it, as it knows from the driver's errors which connections are lost.
"""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Protocol, cast

import sqlalchemy as sa

from jupyter_server_ext.ledger.schema import entries, forgotten, requests_open, totals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = dict[str, Any]

TOTAL_KEYS = ("day", "caller", "tenant", "model", "task")
"""What a total is kept for."""

TOTAL_SUMS = (
    *("requests", "errors", "cache_hits"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nanodollars", "saved_nanodollars"),
)
"""What it sums."""

_NAMES = ("caller", "tenant", "prompt_hash", "api_key", "prompt", "forgotten")
_AT_ONCE = 512  # parameters of one statement; SQLite once took no more than 999
_RESERVED = ("key", "model", "prompt_tokens", "completion_tokens", "cost_nanodollars")


class Found(Protocol):
    """What a statement found, rows of values in the order of its columns."""

    def fetchone(self) -> Any:
        """The next row; None when there is none."""

    def fetchall(self) -> Any:
        """All rows."""


class Prepared:
    """A statement without results or with few, run for rows of plain values.

    Args:
        make: The statement for a dialect's name.

    Example:
        ::

            put_open.run(db, [{"instance": "a", "request_id": "r1", …}])
    """

    def __init__(self, make: Callable[[str], sa.ClauseElement]) -> None:
        self._make = make
        self._compiled: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def run(self, db: sa.Connection, rows: Sequence[Row]) -> Found:
        """Run it for each of these rows, at one go.

        Args:
            db: The connection, in a transaction.
            rows: At least one; each has a value for every parameter of the statement, and may have more.

        Raises:
            sqlalchemy.exc.DBAPIError: The database refused, or is away.
        """
        text, values = self._compiled.get(db.dialect.name) or self._compile(db.dialect)
        given = values(rows[0]) if len(rows) == 1 else [values(row) for row in rows]
        if db.dialect.name != "sqlite":
            return db.exec_driver_sql(text, given)
        cursor = cast("sqlite3.Cursor", db.connection.cursor())
        try:
            return cursor.execute(text, given) if len(rows) == 1 else cursor.executemany(text, given)
        except sqlite3.Error as error:
            raise sa.exc.DBAPIError.instance(text, None, error, sqlite3.Error) from error

    def _compile(self, dialect: sa.Dialect) -> tuple[str, Callable[[Row], Any]]:
        compiled: Any = self._make(dialect.name).compile(dialect=dialect)
        self._compiled[dialect.name] = str(compiled), _picker(compiled.positiontup)
        return self._compiled[dialect.name]


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


def _put_open(dialect: str) -> Any:
    insert = insert_into(dialect, requests_open)
    again = {name: insert.excluded[name] for name in _RESERVED}
    return insert.on_conflict_do_update(index_elements=["request_id", "attempt"], set_=again)


def _add_to_totals(dialect: str) -> Any:
    insert = insert_into(dialect, totals)
    added = {name: totals.c[name] + insert.excluded[name] for name in TOTAL_SUMS}
    return insert.on_conflict_do_update(index_elements=list(TOTAL_KEYS), set_=added)


take_turn = Prepared(
    lambda _: sa.select(
        sa.text("pg_advisory_xact_lock(:lock, hashtext(:name))"), sa.text("set_config('enable_seqscan', 'off', true)")
    )
)
"""PostgreSQL only: wait for others with this ``lock`` and ``name``, until the end of the transaction.

All that follows looks for single rows. A plan is kept from when its table was empty, when reading all of it was best:
without the setting a group of eight takes 6.9 rather than 2.3 ms once there are 6,000 entries.
"""

put_open = Prepared(_put_open)
"""Remember a request under way; of one told twice the latter counts. Rows: those of ``requests_open``."""

drop_open = Prepared(
    lambda _: sa.delete(requests_open).where(
        requests_open.c.request_id == sa.bindparam("request_id"), requests_open.c.attempt == sa.bindparam("attempt")
    )
)
"""Drop a request from those under way. Rows: ``request_id``, ``attempt``."""

append = Prepared(lambda _: sa.insert(entries))
"""Add an entry. Rows: those of ``entries``."""

add_to_totals = Prepared(_add_to_totals)
"""Add to totals, which are made if there are none. Rows: ``TOTAL_KEYS`` and ``TOTAL_SUMS``."""

blank = Prepared(
    lambda _: (
        sa.update(entries)
        .where(entries.c.instance == sa.bindparam("of"), entries.c.number == sa.bindparam("at_number"))
        .values({name: sa.bindparam(name) for name in _NAMES})
    )
)
"""Put other names into an entry. Rows: ``of`` and ``at_number`` for which, and the names.

One by one: SQLite looks through all entries for those in a list of pairs.
"""

last_link = Prepared(
    lambda _: sa.text("SELECT number, chain_hash FROM entries WHERE instance = :instance ORDER BY number DESC LIMIT 1")
)
"""The number and the hash of the newest entry. Row: ``instance``."""

forgotten_since = Prepared(
    lambda _: sa.select(forgotten.c.caller_hash, forgotten.c.at).where(forgotten.c.at >= sa.bindparam("since"))
)
"""Who was forgotten at or after a Unix time, as (hash, Unix time). Row: ``since``."""


def known(db: sa.Connection, request_ids: Sequence[str]) -> set[tuple[str, int]]:
    """Which entries there are of these requests, as (request_id, attempt)."""
    found: set[tuple[str, int]] = set()
    for start in range(0, len(request_ids), _AT_ONCE):
        some = request_ids[start : start + _AT_ONCE]
        size = 1 << (len(some) - 1).bit_length()  # few sizes, so that few statements are made
        ids = {f"id{n}": some[min(n, len(some) - 1)] for n in range(size)}
        found.update(tuple(row) for row in _known_of(size).run(db, [ids]).fetchall())
    return found


@lru_cache(maxsize=16)
def _known_of(size: int) -> Prepared:
    ids: list[sa.BindParameter[str]] = [sa.bindparam(f"id{n}") for n in range(size)]
    wanted = sa.select(entries.c.request_id, entries.c.attempt).where(entries.c.request_id.in_(ids))
    return Prepared(lambda _: wanted)
