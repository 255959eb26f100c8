"""Read the tables of a database into a `Catalog`, with what its own catalog does not say."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from rsql_magic.databases.keys import match_values
from rsql_magic.databases.opening import open_database
from rsql_magic.databases.profiles import Effort, add_profiles
from rsql_magic.databases.value_columns import value_columns
from rsql_magic.sql import Catalog, infer_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.databases.base import Database, Structure
    from rsql_magic.databases.dictionary import Dictionary
    from rsql_magic.sql import Privacy, Table


def read_catalog(
    database: Database,
    level: Privacy = "stats",
    *,
    structure: Structure | None = None,
    dictionary: Dictionary | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Catalog:
    """Everything a question needs to know of a database.

    Args:
        database: What to read.
        level: At ``names`` no value is read, only which cells are filled; otherwise columns are profiled.
        structure: Its tables, when they were read before.
        dictionary: What people wrote about its tables.
        clock: Seconds that only go up, for a safety limit; how much is read follows from the tables alone.

    Raises:
        ConnectionProblem: It cannot be opened or read.
        Stopped: `Database.interrupt` was called.
    """
    effort = Effort.of(database, clock)
    with database:
        structure = structure or database.structure()
        tables = tuple(map(dictionary.describe, structure.tables)) if dictionary else structure.tables
        if level == "names":
            everywhere, found = database.values(), value_columns(database, structure, effort)
            plain = [_without(table, everywhere, found.get(table.full_name, frozenset())) for table in tables]
            tables = infer_keys([table for table in plain if table.columns], structure.unique)
        else:
            tables = infer_keys(add_profiles(database, tables, effort, views=False), structure.unique)
            tables = match_values(database, tables, structure.unique, effort)
    late = tuple(dict.fromkeys(effort.late))
    return Catalog(tables, database.dialect, structure.problems, structure.schema, structure.database, late=late)


def _without(table: Table, everywhere: frozenset[str], its_own: frozenset[str]) -> Table:
    """A table without the columns whose names are values; how many of its own these are stands in its description."""
    kept = table.with_columns(c for c in table.columns if c.name not in everywhere | its_own)
    if not its_own:
        return kept
    note = f"+{len(its_own):,} column{'s' * (len(its_own) > 1)} whose names are values"
    return replace(kept, description="; ".join(filter(None, (table.description, note))))


class ConnectionCatalog(Catalog):
    """The tables of a connection, read from the connection itself; published as ``rsql_magic.context.Catalog``.

    Example:
        >>> import sqlite3
        >>> with sqlite3.connect(":memory:") as connection:
        ...     _ = connection.execute("CREATE TABLE t (x INTEGER)")
        ...     ConnectionCatalog.from_connection(connection)
        <Catalog sqlite tables=1>
    """

    @classmethod
    def from_connection(cls, connection: object, level: Privacy = "stats") -> Catalog:
        """Read the tables of anything that `open_engine` takes.

        Args:
            connection: A connection, an engine, a URL, a path, or frames by name.
            level: How much of the values may be looked at; ``names`` reads no value.

        Raises:
            ConnectionProblem: It cannot be opened or read.
        """
        with closing(open_database(connection)) as database:
            return read_catalog(database, level)
