"""Which database a cell means: a variable, a URL, a file, JupySQL's connection, or the live frames."""

# What a cell named is remembered for the next one. An engine is kept as long as its name stands for the same object, so
# that its catalog is read once.

from __future__ import annotations

import re
import sqlite3
import sys
import threading
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.context import Fences, Mentions, follows, place_of, r_frames
from rsql_magic.errors import BadInput, ConnectionProblem, RsqlError, UnknownName
from rsql_magic.options import is_variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.databases.base import Database
    from rsql_magic.databases.engines import Engine
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.sql import Catalog, Privacy

# The word that names the live frames as the database.
FRAMES = "frames"

_FILES = (".duckdb", ".db", ".sqlite", ".sqlite3", ".ddb")
_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_table",
    ".parquet": "read_parquet",
    ".xlsx": "read_excel",
    ".json": "read_json",
}
_FRAME_TYPES = {
    "pandas": {"DataFrame"},
    "geopandas": {"GeoDataFrame"},
    "polars": {"DataFrame", "LazyFrame"},
    "pyarrow": {"Table"},
}
_CONNECTION_TYPES = {
    "duckdb": {"DuckDBPyConnection"},
    "_duckdb": {"DuckDBPyConnection"},
    "sqlite3": {"Connection"},
    "sqlalchemy": {"Engine", "Connection"},
    "pyspark": {"SparkSession"},
}


def is_frame(value: Any) -> bool:
    """Whether a value is a frame that can be a table; nothing is imported to find out."""
    return _is_one_of(value, _FRAME_TYPES)


def is_connection(value: Any) -> bool:
    """Whether a value is a connection or an engine."""
    return _is_one_of(value, _known_types())


@cache
def _known_types() -> Mapping[str, set[str]]:
    from rsql_magic.databases.plugged import types_of_plug_ins

    return {**types_of_plug_ins(), **_CONNECTION_TYPES}


def _is_one_of(value: Any, types: Mapping[str, set[str]]) -> bool:
    # By type.__getattribute__: a metaclass of the user's may answer otherwise, or raise.
    places = map(place_of, type.__getattribute__(type(value), "__mro__"))
    return any(name in types.get(package, ()) for package, name in places)


def frames_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The frames of a namespace by name; names with a leading underscore are private."""
    # A frame without columns is left out: no database has such a table, and it must not keep the others from being
    # asked.
    fences = Fences()
    return {
        name: value
        for name, value in namespace.items()
        # One that fails here is no reason to say nothing of it: the database says why it is left out.
        if not name.startswith("_") and is_frame(value) and fences.ask(name, lambda: _has_columns(value), True)  # noqa: B023
    }


def _has_columns(frame: Any) -> bool:
    return type(frame).__name__ == "LazyFrame" or frame.shape[1] > 0  # a lazy frame's columns cost a query


@dataclass(frozen=True, slots=True)
class _Use:
    """The connection in use: what the last cell named, whether a question about a frame was put between, or no name."""

    name: str = ""
    aside: bool = False
    nameless: bool = False  # the last cell gave a connection itself


class _Tried(threading.local):
    """What a thread uses while it only looks: the panel answers requests beside the cells and beside each other."""

    use: _Use | None = None


@dataclass
class Connections:
    """The databases of one notebook."""

    _use: _Use = field(default_factory=_Use, repr=False)
    _tried: _Tried = field(default_factory=_Tried, repr=False)
    _opening: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _open: dict[str, tuple[Any, Engine]] = field(default_factory=dict, repr=False)
    _dictionary: Dictionary | None = field(default=None, repr=False)

    def describe(self, dictionary: Dictionary | None) -> None:
        """Have this dictionary describe the tables of all connections, or none."""
        self._dictionary = dictionary
        for _, engine in self._open.values():
            engine.dictionary = dictionary

    @property
    def last(self) -> str:
        """What the last cell named; used when the next one names nothing."""
        return self._now.name

    @last.setter
    def last(self, name: str) -> None:
        self._note(name=name)

    @property
    def _now(self) -> _Use:
        return self._tried.use or self._use

    def _note(self, **changes: Any) -> None:
        use = replace(self._now, **changes)
        if self._tried.use is not None:
            self._tried.use = use
        else:
            self._use = use

    def takes(self, word: str, namespace: Mapping[str, Any]) -> bool:
        """Whether a word names a connection rather than beginning a question."""
        value = namespace.get(word)
        return (
            is_connection(value)
            or "://" in word
            or (word == FRAMES and value is None)
            or (word.endswith((*_FILES, *_READERS)) and Path(word).exists())
            or (isinstance(value, str) and _is_address(value))
        )

    def engine(self, name: Any, namespace: Mapping[str, Any], question: str = "") -> tuple[Engine, str]:
        """The engine for a cell, and what has to be said about the choice.

        A cell that names nothing means the live frames when its question mentions one or follows on such a one, else
        the connection that a cell named last, else JupySQL's, else the live frames. A connection itself is taken as a
        name too.

        Raises:
            UnknownName: The name stands for nothing.
            BadInput: It stands for something else, such as a file of data.
            ConnectionProblem: The database cannot be opened.
        """
        self._note(nameless=not isinstance(name, str))
        if self._now.nameless:
            return self._engine("a connection", name), ""
        if name:
            engine = self._named(name, namespace)
            self._note(name=name, aside=False)
            return engine, ""
        if mentioned := Mentions(question).mentioned(frames_in(namespace)):
            # Note that one question is about a frame; the connection that was chosen stays so for those after it.
            chosen = self.last or ("JupySQL's connection" if current_jupysql() is not None else "")
            aside = chosen not in {"", FRAMES}
            self._note(aside=aside, **({} if aside else {"name": FRAMES}))
            return self._frames(namespace), (f"on the frame {mentioned[0]}, not on {chosen}" if aside else "")
        self._note(aside=self._now.aside and follows(question) and bool(frames_in(namespace)))
        return (self._frames(namespace), "on the frames, as before") if self._now.aside else self._chosen(namespace)

    def _chosen(self, namespace: Mapping[str, Any]) -> tuple[Engine, str]:
        """The connection that a cell named last, JupySQL's, or the live frames."""
        if self.last and (self.last in namespace or self.takes(self.last, namespace)):
            return self._named(self.last, namespace), f"on {self.last}, as before" if self.last != FRAMES else ""
        if (jupysql := current_jupysql()) is not None:
            return self._engine("JupySQL's connection", jupysql), "on JupySQL's connection"
        return self._named(FRAMES, namespace), ""

    def _named(self, name: str, namespace: Mapping[str, Any]) -> Engine:
        if name == FRAMES and name not in namespace:
            return self._frames(namespace)
        if name in namespace:
            return self._engine(name, namespace[name])
        if _is_address(name):
            return self._engine(name, name)
        if url := _from_ini(name):
            return self._engine(name, url)
        if (reader := _READERS.get(Path(name).suffix)) is None:
            raise _unknown(name, namespace)
        variable = stem if is_variable(stem := Path(name).stem) else "data"
        hint = f'Read it, and ask without a connection: {variable} = pd.{reader}("{name}").'
        raise BadInput(f"{name} is a file of data, not a database.", hint=hint)

    def _frames(self, namespace: Mapping[str, Any]) -> Engine:
        if not (frames := frames_in(namespace)):
            raise _nothing_to_ask(namespace)
        with self._opening:
            known = self._open.get(FRAMES)
            return known[1] if known and known[1].renew(frames) else self._engine(FRAMES, frames)

    def _engine(self, name: str, target: Any) -> Engine:
        from rsql_magic.databases.engines import open_engine

        with self._opening:  # or one of two threads would close what the other has just opened
            known = self._open.get(name)
            if known and (known[0] is target or (isinstance(target, str) and known[0] == target)):
                return known[1]
            self._forget(name)
            try:
                engine = open_engine(target)
            except ConnectionProblem:
                raise
            except BadInput as error:  # it knows the object, not its name
                leave = "Leave it out: the live frames are the tables." if is_frame(target) else ""
                raise BadInput(f"{name} is no connection.", hint=leave or error.hint) from None
            if self._dictionary is not None:
                engine.dictionary = self._dictionary
            self._open[name] = (target, engine)
            return engine

    def _forget(self, name: str) -> None:
        if known := self._open.pop(name, None):
            known[1].close()

    def is_bound(self, name: str, namespace: Mapping[str, Any]) -> bool:
        """Whether a connection answers only the thread that made it, as SQLite's do; in memory also with SQLAlchemy.

        The name is empty for the connection in use.
        """
        name = name or self.last
        target = namespace.get(name) if name else current_jupysql()
        if not is_connection(target):
            return False
        dialect = getattr(target, "dialect", None)
        return type(target).__module__ == "sqlite3" or getattr(dialect, "name", "") == "sqlite"

    def at_hand(self, namespace: Mapping[str, Any]) -> Iterator[str]:
        """The names of connections to databases of this process, which are quick to look into."""
        for name, value in sorted(namespace.items()):
            if not name.startswith("_") and is_connection(value):
                dialect = getattr(getattr(value, "dialect", None), "name", "")
                if {dialect, place_of(type(value))[0]} & {"duckdb", "_duckdb", "sqlite", "sqlite3"}:
                    yield name

    def catalog_of(self, name: str, namespace: Mapping[str, Any], level: Privacy) -> Catalog | None:
        """The catalog of a connection that does not become the one in use; None where it does not answer."""
        with self.undecided(), suppress(RsqlError):
            return self.engine(name, namespace)[0].catalog(level)
        return None

    def in_use(self, namespace: Mapping[str, Any]) -> str:
        """What the last question was asked of; empty for JupySQL's connection, ``frames`` where there is no other."""
        if self.asked or current_jupysql() is not None:
            return self.asked
        return FRAMES if frames_in(namespace) else ""

    @property
    def asked(self) -> str:
        """The name of what the last question was asked of; empty for JupySQL's connection."""
        return FRAMES if self._now.aside else self.last

    @property
    def lasting(self) -> str | None:
        """The name by which `again` finds what the last question was asked of; None for one without a name."""
        return None if self._now.nameless else self.asked

    def again(self, name: str, namespace: Mapping[str, Any]) -> Engine:
        """The engine of an earlier question, by its `lasting` name; the connection in use stays what it is.

        Raises:
            UnknownName: The name stands for nothing any more.
            ConnectionProblem: The database cannot be opened.
        """
        if name:
            return self._named(name, namespace)
        if (jupysql := current_jupysql()) is None:
            raise UnknownName("JupySQL has no connection any more.", hint="Connect it as before: %sql URL.")
        return self._engine("JupySQL's connection", jupysql)

    @contextmanager
    def undecided(self) -> Iterator[None]:
        """What this thread names in the meantime does not count as used."""
        before = self._tried.use
        self._tried.use = self._now
        try:
            yield
        finally:
            self._tried.use = before

    @contextmanager
    def working(self) -> Iterator[None]:
        """A database that turns out not to answer is not the connection in use; the one before is."""
        before = self.last
        try:
            yield
        except ConnectionProblem:
            self.last = before
            raise

    def refresh(self) -> None:
        """Read every catalog anew at its next use."""
        for _, engine in self._open.values():
            engine.refresh()

    def close(self) -> None:
        """Close what was opened here; connections of the user stay open."""
        for name in list(self._open):
            self._forget(name)

    @property
    def current(self) -> Engine | None:
        """The engine of the connection that a cell named last, when it is open."""
        known = self._open.get(self.last)
        return known[1] if known and self.last != FRAMES else None

    @property
    def names(self) -> list[str]:
        """The connections in use."""
        return list(self._open)


def _is_address(text: str) -> bool:
    return bool(re.match(r"[a-z][\w+.-]*://", text, re.I)) or (text.endswith(_FILES) and "\n" not in text)


def _nothing_to_ask(namespace: Mapping[str, Any]) -> ConnectionProblem:
    hint = "Name a connection: %%sql_ai CONNECTION."
    if blank := next((name for name, value in namespace.items() if name[0] != "_" and is_frame(value)), ""):
        return ConnectionProblem(f"There is no database, and the frame {blank} has no columns.", hint=hint)
    if held := r_frames():
        names = ", ".join(held[:3])
        hint += f" R holds {names}, which SQL does not see here: %R -o {held[0]} makes it a frame of Python's."
    elif "rpy2.ipython" in sys.modules:
        hint += " %R -o NAME makes a frame of R's a frame here."
    return ConnectionProblem("There is neither a database nor a frame here.", hint=hint)


def _unknown(name: str, namespace: Mapping[str, Any]) -> UnknownName:
    known = [key for key, value in namespace.items() if is_connection(value)]
    close = get_close_matches(name, known, 1)
    otherwise = "Give a connection's variable, a URL, or nothing for the live frames."
    return UnknownName(f"There is no connection {name!r}.", hint=f"Did you mean {close[0]}?" if close else otherwise)


def current_jupysql() -> Any:
    """JupySQL's current connection, when JupySQL is loaded and has one; else None."""
    module = sys.modules.get("sql.connection")
    if (current := getattr(getattr(module, "ConnectionManager", None), "current", None)) is None:
        return None
    inner = getattr(current, "_connection", None)
    return getattr(inner, "engine", None) or getattr(current, "_connection_sqlalchemy", None) or inner


def _from_ini(name: str) -> str:
    """The URL of a section of JupySQL's ``connections.ini``, or empty."""
    path = Path("~/.jupysql/connections.ini").expanduser()
    if not path.is_file():
        return ""
    from configparser import ConfigParser, Error

    sections = ConfigParser(interpolation=None)  # a password may hold a %
    try:
        sections.read(path, encoding="utf-8")
    except Error:
        return ""
    if not sections.has_section(name):
        return ""
    from sqlalchemy import URL

    get = sections[name].get
    port = int(get("port") or 0) or None
    url = URL.create(get("drivername", ""), get("username"), get("password"), get("host"), port, get("database"))
    return url.render_as_string(hide_password=False)


_ACCEPTED = (
    "Give a DuckDB or SQLite connection or file, a SQLAlchemy engine or URL, a Spark session, or data frames by name."
)


def open_database(target: object) -> Database:
    """The database behind a connection, a URL, a path, or frames.

    A connection is DuckDB's, ``sqlite3``'s, a SQLAlchemy engine or connection, JupySQL's, or a Spark session; a path
    leads to a DuckDB or SQLite file.

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
        from rsql_magic.databases.frames import Frames

        if not target:
            hint = "Make a pandas, polars or Arrow frame first, or name a connection."
            raise BadInput("There is no data frame to ask about.", hint=hint)
        return Frames({str(name): frame for name, frame in target.items()})
    return _object(target)


def _object(target: object) -> Database:
    # A package is imported only when something of its own was given.
    if isinstance(target, sqlite3.Connection):
        from rsql_magic.databases.sqlite import SQLite

        return SQLite(target)
    if _is(target, "duckdb", "DuckDBPyConnection"):
        from rsql_magic.databases.duckdb import DuckDB

        return DuckDB(target)
    if _is(target, "sqlalchemy", "Engine") or _is(target, "sqlalchemy", "Connection"):
        from rsql_magic.databases.sqlalchemy import open_sqlalchemy

        return open_sqlalchemy(target)
    if _is_one_of(target, {"pyspark": {"SparkSession"}}):
        from rsql_magic.databases.spark import Spark

        return Spark(target)
    module = str(type.__getattribute__(type(target), "__module__"))  # a metaclass of the user's might fail
    if "sql.connection" in sys.modules and module.startswith("sql.connection"):
        # A JupySQL connection stands for a SQLAlchemy connection, or the native one that it was given.
        inner = getattr(target, "_connection_sqlalchemy", None) or getattr(target, "_connection", None)
        if inner is not None:
            return open_database(inner)
    from rsql_magic.databases.plugged import by_type

    if one := by_type(target):
        return one.opened(target)
    raise BadInput(f"A {type.__getattribute__(type(target), '__name__')} is no connection.", hint=_ACCEPTED)


def _is(target: object, package: str, name: str) -> bool:
    """Whether something is of a package's class, without importing the package."""
    kind = getattr(sys.modules.get(package), name, None)
    return isinstance(kind, type) and isinstance(target, kind)


def _named(text: str) -> Database:
    """A URL or a path."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        return _file(text.strip())
    if scheme in {"duckdb", "sqlite"} and "?" not in rest:
        path = rest.removeprefix("/")  # `sqlite:///relative.db` and `sqlite:////absolute.db`, as SQLAlchemy reads them
        return _file(str(Path(path).expanduser()) if path else "")
    if scheme == "sc":
        from rsql_magic.databases.spark import open_connect

        return open_connect(text.strip())
    from rsql_magic.databases.plugged import by_scheme

    if (one := by_scheme(scheme)) and not one.uses_engine:
        return one.opened(text.strip())
    from rsql_magic.databases.sqlalchemy import open_url

    return open_url(text.strip())


def _file(path: str) -> Database:
    """A file, told by its first bytes and not by its name."""
    place = Path(path).expanduser()
    if path in {"", ":memory:"}:
        raise ConnectionProblem("An empty in-memory database has nothing to ask about.", hint=_ACCEPTED)
    if not place.is_file():
        reason = f"There is no file {path}."
        raise ConnectionProblem(reason, hint="Check the path, or give a URL such as postgresql://host/name.")
    with place.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"SQLite format 3\0") or (not start and place.suffix in {".db", ".sqlite", ".sqlite3"}):
        from rsql_magic.databases.sqlite import SQLiteFile

        return SQLiteFile(str(place))
    if start[8:12] == b"DUCK" or not start:  # behind a checksum of eight bytes
        from rsql_magic.databases.duckdb import DuckDBFile

        return DuckDBFile(str(place))
    hint = "Give the path of a database file."
    if place.suffix.lower() in {".csv", ".tsv", ".parquet", ".json", ".xlsx", ".feather"}:
        hint = "Read it into a data frame first, for example with pandas."
    raise ConnectionProblem(f"{place.name} is neither a DuckDB nor a SQLite database.", hint=hint)
