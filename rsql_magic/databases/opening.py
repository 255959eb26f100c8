"""From what a person names as a connection to a `Database`."""

# Accepted: a DuckDB connection or relation, a `sqlite3` connection, a SQLAlchemy engine or connection, a JupySQL
# connection, a URL, the path of a DuckDB or SQLite file, and frames by name. Packages are imported only when something
# of theirs was given.

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput, ConnectionProblem

if TYPE_CHECKING:
    from rsql_magic.databases.base import Database

_ACCEPTED = "Give a DuckDB or SQLite connection or file, a SQLAlchemy engine or URL, or data frames by name."


def open_database(target: object) -> Database:
    """The database behind a connection, a URL, a path, or frames.

    Args:
        target: See the module's docstring.

    Raises:
        ConnectionProblem: There is no such file or server, its package is missing, or it is no database.
        BadInput: The target is nothing that holds tables.

    Example:
        >>> open_database(sqlite3.connect(":memory:")).dialect
        'sqlite'
    """
    from rsql_magic.databases.base import Database

    if isinstance(target, Database):
        return target
    if isinstance(target, (str, Path)):
        return _named(str(target))
    if isinstance(target, Mapping):
        return _frames(target)
    return _object(target)


def _object(target: object) -> Database:
    if isinstance(target, sqlite3.Connection):
        from rsql_magic.databases.sqlite import SQLite

        return SQLite(target)
    if _is(target, "duckdb", "DuckDBPyConnection"):
        from rsql_magic.databases.duckdb import DuckDB

        return DuckDB(target)
    if _is(target, "sqlalchemy", "Engine") or _is(target, "sqlalchemy", "Connection"):
        from rsql_magic.databases.sqlalchemy import open_sqlalchemy

        return open_sqlalchemy(target)
    if (inner := _inside_jupysql(target)) is not None:
        return open_database(inner)
    raise BadInput(f"A {type.__getattribute__(type(target), '__name__')} is no connection.", hint=_ACCEPTED)


def _is(target: object, package: str, name: str) -> bool:
    """Whether something is of a package's class, without importing the package."""
    kind = getattr(sys.modules.get(package), name, None)
    return isinstance(kind, type) and isinstance(target, kind)


def _inside_jupysql(target: object) -> Any:
    """What a JupySQL connection stands for: a SQLAlchemy connection, or the native one it was given."""
    module = str(type.__getattribute__(type(target), "__module__"))  # a metaclass of the user's might fail
    if "sql.connection" not in sys.modules or not module.startswith("sql.connection"):
        return None
    return getattr(target, "_connection_sqlalchemy", None) or getattr(target, "_connection", None)


def _frames(frames: Mapping[Any, Any]) -> Database:
    from rsql_magic.databases.frames import Frames

    if not frames:
        raise BadInput(
            "There is no data frame to ask about.",
            hint="Make a pandas, polars or Arrow frame first, or name a connection.",
        )
    return Frames({str(name): frame for name, frame in frames.items()})


def _named(text: str) -> Database:
    """A URL or a path."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        return _file(text.strip())
    if scheme in {"duckdb", "sqlite"} and "?" not in rest:
        return _file(_path_of(rest))
    from rsql_magic.databases.sqlalchemy import open_url

    return open_url(text.strip())


def _path_of(rest: str) -> str:
    """The path of ``sqlite:///relative.db`` and ``sqlite:////absolute.db``, as SQLAlchemy reads them."""
    path = rest.removeprefix("/")
    return str(Path(path).expanduser()) if path else ""


def _file(path: str) -> Database:
    """A file, told by its first bytes and not by its name."""
    place = Path(path).expanduser()
    if path in {"", ":memory:"}:
        raise ConnectionProblem("An empty in-memory database has nothing to ask about.", hint=_ACCEPTED)
    if not place.is_file():
        raise ConnectionProblem(
            f"There is no file {path}.", hint="Check the path, or give a URL such as postgresql://host/name."
        )
    with place.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"SQLite format 3\0") or (not start and place.suffix in {".db", ".sqlite", ".sqlite3"}):
        from rsql_magic.databases.sqlite import SQLiteFile

        return SQLiteFile(str(place))
    if start[8:12] == b"DUCK" or not start:  # behind a checksum of eight bytes
        from rsql_magic.databases.duckdb import DuckDBFile

        return DuckDBFile(str(place))
    raise ConnectionProblem(f"{place.name} is neither a DuckDB nor a SQLite database.", hint=_hint_for(place))


def _hint_for(place: Path) -> str:
    if place.suffix.lower() in {".csv", ".tsv", ".parquet", ".json", ".xlsx", ".feather"}:
        return "Read it into a data frame first, for example with pandas."
    return "Give the path of a database file."
