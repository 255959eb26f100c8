"""Databases: opened from whatever a person may name, and read into a `Catalog`.

    target ── open_database ──> Database ── read_catalog ──> Catalog

One module per kind of database holds its read-only layers and its catalog queries; `profiles` and `keys` add
what the catalog of a database does not say; `ddl` reads a catalog from text.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rsql_magic.context.database.base import Database, Structure
from rsql_magic.context.database.keys import infer_keys, match_values
from rsql_magic.context.database.profiles import add_profiles
from rsql_magic.context.database.targets import open_database
from rsql_magic.context.tables import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.context.dictionary import Dictionary
    from rsql_magic.context.tables import Privacy

__all__ = ["Database", "Structure", "open_database", "read_catalog"]

LEAST = 0.3
"""Seconds that profiles get, however long it took to read the tables."""


def read_catalog(
    database: Database,
    level: Privacy = "stats",
    *,
    structure: Structure | None = None,
    dictionary: Dictionary | None = None,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
) -> Catalog:
    """Everything a question needs to know of a database.

    Args:
        database: What to read.
        level: At ``names`` no value is looked at; otherwise columns are profiled.
        structure: Its tables, when they were read before.
        dictionary: What people wrote about its tables.
        seconds: Time for everything; tables whose profiles are not reached have none. The tables themselves are always
            read, and profiles get `LEAST` at least.
        clock: Seconds that only go up.

    Raises:
        ConnectionProblem: It cannot be opened or read.
        Stopped: `Database.interrupt` was called.
    """
    end = clock() + seconds
    with database:
        structure = structure or database.structure()
        tables = tuple(map(dictionary.describe, structure.tables)) if dictionary else structure.tables
        if level == "names":
            tables = infer_keys(tables, structure.unique)
        else:
            end = max(end, clock() + LEAST)
            tables = infer_keys(add_profiles(database, tables, deadline=end, clock=clock), structure.unique)
            tables = match_values(database, tables, structure.unique, deadline=end, clock=clock)
    return Catalog(tables, database.dialect, structure.problems, structure.schema, structure.database)
