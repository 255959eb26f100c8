"""Catalog with ``from_connection``: reading one needs a database, which `rsql_magic.sql` does without."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from rsql_magic.databases.catalogs import open_database, read_catalog
from rsql_magic.sql import Catalog as Tables

if TYPE_CHECKING:
    from rsql_magic.sql import Privacy


class Catalog(Tables):
    """The tables of a connection, read from the connection itself.

    Example:
        >>> import sqlite3
        >>> with sqlite3.connect(":memory:") as connection:
        ...     _ = connection.execute("CREATE TABLE t (x INTEGER)")
        ...     Catalog.from_connection(connection)
        <Catalog sqlite tables=1>
    """

    @classmethod
    def from_connection(cls, connection: object, level: Privacy = "stats") -> Tables:
        """Read the tables of anything that ``rsql_magic.databases.engines.open_engine`` takes.

        Args:
            connection: A connection, an engine, a URL, a path, or frames by name.
            level: How much of the values may be looked at; ``names`` reads no value.

        Raises:
            ConnectionProblem: It cannot be opened or read.
        """
        with closing(open_database(connection)) as database:
            return read_catalog(database, level)
