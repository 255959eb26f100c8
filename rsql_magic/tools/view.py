"""A database as tools may show it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rsql_magic.context import LEVELS
from rsql_magic.errors import UnknownName
from rsql_magic.tools.ours import OF_DATABASE
from rsql_magic.tools.plugged import plugged_tools

if TYPE_CHECKING:
    from rsql_magic.databases import Engine
    from rsql_magic.sql import Catalog, Privacy, Table
    from rsql_magic.tools.looking import Tool


@dataclass(frozen=True)
class DatabaseView:
    """A database, its tables, and how much of it may be told.

    Args:
        engine: The database.
        catalog: Its tables at the privacy level.
        level: How much of the data may leave.
        seconds: Most seconds that a query may run.
        plan_rows: Rows that a query's plan may expect to handle; 0 for any number.
    """

    engine: Engine
    catalog: Catalog
    level: Privacy = "stats"
    seconds: float = 10.0
    plan_rows: int = 0

    def table(self, name: str) -> Table:
        """The table of a name.

        Raises:
            UnknownName: There is none.
        """
        if (found := self.catalog.get(name.strip("\"`' "))) is not None:
            return found
        close = get_close_matches(name, [table.full_name for table in self.catalog], 3)
        raise UnknownName(
            f"There is no table {name[:80]!r}.",
            hint=f"Did you mean {' or '.join(close)}?" if close else "Search with tables.",
        )


def of_database(view: DatabaseView) -> tuple[Tool, ...]:
    """The tools for a database: what may be known of values from the level `stats` on, queries at `sample`.

    Those of plug-ins come last.

    Example:
        >>> from rsql_magic.databases import open_engine
        >>> import sqlite3
        >>> engine = open_engine(sqlite3.connect(":memory:"))
        >>> [tool.name for tool in of_database(DatabaseView(engine, engine.catalog("names"), "names"))]
        ['tables', 'describe']
    """
    ours = (kind(view) for kind in OF_DATABASE if LEVELS.index(kind.level) <= LEVELS.index(view.level))
    return (*ours, *plugged_tools(view.level))
