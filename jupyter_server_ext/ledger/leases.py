"""Leases of rows: one gateway at a time works on a row, by the database's own clock, and says so by a number."""

# Clocks of machines differ, and a process may be stopped for minutes between any two of its steps. So no time of a
# gateway's is ever compared with another's: when a lease ends is read and written by the database's clock alone. And
# each lease has a number of its own, a fencing token, which every later write names: whoever has lost a row without
# knowing it changes nothing (M. Kleppmann, "How to do distributed locking", 2016).

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa  # which a gateway without a ledger never loads

    DatabaseClock = Callable[[sa.Connection], float]

LEASE_SECONDS = 60.0
"""Seconds for which a gateway has a row, unless it says again that it lives."""

_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}


def database_time(db: sa.Connection) -> float:
    """Unix time by the clock of a database, which is the same for all its gateways.

    Example:
        >>> import sqlalchemy as sa
        >>> with sa.create_engine("sqlite://").connect() as db:
        ...     database_time(db) > 1.7e9
        True
    """
    return float(db.exec_driver_sql(_NOW[db.dialect.name]).scalar_one())


class RowLease(NamedTuple):
    """Who takes rows, and for how many seconds by the database's clock."""

    owner: str  # one life of one gateway
    seconds: float = LEASE_SECONDS


def is_free(table: sa.Table, now: float) -> sa.ColumnElement[bool]:
    """Rows that nobody has."""
    return table.c.leased <= now


def lease_rows(db: sa.Connection, rows: sa.ColumnElement[bool], table: sa.Table, lease: RowLease, now: float) -> None:
    """Take rows, each with a new number; whoever had them before has lost them."""
    taken = {"lease": lease.owner, "leased": now + lease.seconds, "fence": table.c.fence + 1}
    db.execute(table.update().where(rows).values(taken))


def renew_leases(db: sa.Connection, table: sa.Table, lease: RowLease, now: float) -> None:
    """Keep for longer what one has."""
    db.execute(table.update().where(table.c.lease == lease.owner).values(leased=now + lease.seconds))


NO_LEASE = {"lease": "", "leased": 0.0}
"""The columns of a row that nobody has."""
