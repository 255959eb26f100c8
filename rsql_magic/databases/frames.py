"""Data frames as the tables of a private in-memory DuckDB."""

# A notebook asks about its frames again and again, and mostly they are the same. So the database stays open, a frame is
# registered anew only when it has changed, and what was found out about its columns is kept as long as it has not.

# ruff: noqa: S608 - statements are put together from quoted names and constants

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import finalize

from typing_extensions import override

from rsql_magic.context import Fences, named_by_values, positions, within
from rsql_magic.databases.base import Fetched, Picked, Structure
from rsql_magic.databases.columns import unique_names
from rsql_magic.databases.duckdb import CLOSED, EXACT, SAMPLED, DuckDB, locked
from rsql_magic.databases.frame_columns import SEVERAL, TEXT, exact_numbers, exact_objects, with_types, zones_in
from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput, RsqlError
from rsql_magic.sql import Column, Table, one_line, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from rsql_magic.sql import Profile

# A name that no variable has; it is in no catalog, so no query may read it.
_NARROW = "rsql narrow"
# Rows of a frame that are read at once for their values.
_ROWS_OF_A_PART = 50_000
# Seconds that a frame may take to become a table.
_EACH = 5.0


@dataclass
class _Held:
    """A frame as it was when it was registered."""

    frame: Any  # the user's frame
    likeness: Any  # a copy that shares the frame's data and keeps what it was
    tabular: Tabular  # the frame as DuckDB reads it
    columns: tuple[Column, ...] = ()  # its columns, once DuckDB described them
    profiles: dict[str, Profile] = field(default_factory=dict)  # what was found out about them

    @classmethod
    def of(cls, name: str, frame: Any) -> _Held:
        """Take a frame; a `BadInput` where it is none."""
        return cls(frame, _likeness(frame), Tabular.of(name, frame))

    def still(self, frame: Any) -> bool:
        """Whether a frame is this one, with the same data."""
        return frame is self.frame and _is_as(frame, self.likeness)


class Frames(DuckDB):
    """Data frames as the tables of a private in-memory database."""

    # The frames are read where they are, not copied.

    def __init__(self, frames: Mapping[str, Any]) -> None:
        super().__init__(None, "frames")
        self._given = dict(frames)
        self._taken: dict[str, _Held] = {}
        self._zones = frozenset[str]()  # time zones of all columns; empty for one that DuckDB does not know
        self._opened: dict[str, Any] = {}
        self._closing: Callable[[], Any] = lambda: None
        self._changes = 0
        self._problems: tuple[str, ...] = ()

    def renew(self, frames: Mapping[str, Any]) -> None:
        """Have these frames as tables from now on; those that are as they were cost nothing."""
        self._given = dict(frames)
        if self._connection is not None:
            self._take()

    @override
    def connection(self) -> Any:
        if self._connection is None:
            self._take()
        return self._connection

    def _take(self) -> None:
        """Register what is new or has changed, and forget what is gone; what cannot be read is left out."""
        fences = Fences(_EACH)
        held = {name: self._renewed(name, frame, fences) for name, frame in self._given.items()}
        readable = {name: one for name, one in held.items() if one is not None}
        zones = frozenset[str]().union(*(one.tabular.zones.values() for one in readable.values()))
        before = self._taken
        if self._connection is None or zones != self._zones:
            self.close()
            before, self._zones, self._opened = {}, zones, _open(zones)
            self._connection = self._opened[""]
            self._closing = finalize(self, _close, self._opened)  # DuckDB aborts a process that ends before
        for name in before.keys() - readable.keys():
            self._connection.unregister(name)
        new = [name for name, one in readable.items() if before.get(name) is not one]
        for name in new:
            fences.ask(name, lambda: self._register(name, readable[name]), None)  # noqa: B023
        self._changes += bool(new or before.keys() - readable.keys())
        self._taken = {name: one for name, one in readable.items() if name not in fences.failed}
        self._problems = tuple(_problems(self._taken, fences.failed))
        if self._given and not self._taken:
            raise BadInput(" ".join(self._problems), hint="Pass pandas, polars or Arrow frames with columns.")

    def _renewed(self, name: str, frame: Any, fences: Fences) -> _Held | None:
        """A frame as it was taken before, or anew where it has changed; None where it cannot be read."""
        old = self._taken.get(name)
        if old and fences.ask(name, lambda: old.still(frame), False):
            return old
        return fences.ask(name, lambda: _Held.of(name, frame), None)

    def _register(self, name: str, one: _Held) -> None:
        """Make a frame a table; without those of its columns that DuckDB refuses."""
        if not len(one.tabular.table.columns):
            raise BadInput("it has no columns.")
        try:
            one.columns = self._columns(name, one.tabular.table)
        except Exception:
            log.debug("a frame is read without some columns", exc_info=True)
            one.tabular = one.tabular.readable(self._reads)
            one.columns = self._columns(name, one.tabular.table)

    def _reads(self, table: Any) -> bool:
        """Whether DuckDB reads a table."""
        try:
            return bool(self._columns(_NARROW, table))
        except Exception:
            log.debug("a table is not read", exc_info=True)
            return False

    def _columns(self, name: str, table: Any) -> tuple[Column, ...]:
        """The columns of a table as DuckDB reads it; it stays registered."""
        self._connection.register(name, table)
        rows = self._connection.execute(f"DESCRIBE {self.quoted(name)}").fetchall()
        return tuple(Column(str(row[0]), str(row[1])) for row in rows)

    @override
    def close(self) -> None:
        if self._connection is not None:
            self._closing()
            self._connection = None

    @override
    def fetch_here(self, session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
        used = _zones_of(sql, self._taken)
        with self._in_zone_of(session, used) as zoned:
            found = super().fetch_here(zoned, sql, max_rows, memory)
            [(counted_in,)] = zoned.execute("SELECT current_setting('TimeZone')").fetchall()
        return replace(found, remarks=(*found.remarks, *_remarks(used, counted_in)))

    @override
    def run_here(self, session: Any, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        used = _zones_of(sql, self._taken) if len(self._opened) > 1 else {}
        with self._in_zone_of(session, used) as zoned:
            return super().run_here(zoned, sql, parameters)

    @contextmanager
    def _in_zone_of(self, session: Any, used: Mapping[str, Sequence[str]]) -> Iterator[Any]:
        """The connection whose time zone is that of the columns used, with the same tables."""
        zoned = self._opened.get(next(iter(used))) if len(used) == 1 and len(self._opened) > 1 else None
        if zoned is None or zoned is session:
            yield session
            return
        for name, one in self._taken.items():
            zoned.register(name, one.tabular.table)
        before, self._reader = self._reader, zoned
        zoned.execute("BEGIN TRANSACTION READ ONLY")
        try:
            yield zoned
        finally:
            self._reader = before
            zoned.rollback()
            for name in self._taken:
                zoned.unregister(name)

    @override
    def identity(self) -> str:
        return ""

    @override
    def twin(self) -> None:
        """None: frames are tables of one connection, and may change while another thread reads them."""

    @override
    def parts(self, table: Table) -> Iterator[str]:
        """Rows in their order, which frames have."""
        name = self.full_name(table)
        [(rows,)] = self.rows(f"SELECT count(*) FROM {name}")
        for start in range(0, rows, _ROWS_OF_A_PART):
            yield f"(SELECT * FROM {name} LIMIT {_ROWS_OF_A_PART} OFFSET {start})"

    @override
    def own_functions(self, session: Any) -> frozenset[str]:
        return frozenset()  # the database is ours, and locked

    @override
    def _inside_transaction(self, connection: Any) -> bool:
        return False

    @override
    @contextmanager
    def _bounded_memory(self, connection: Any) -> Iterator[None]:
        yield  # the database is opened with a limit

    @override
    def state(self) -> Hashable:
        """How often the frames changed: nothing is asked."""
        self.connection()
        return self._changes

    @override
    def structure(self) -> Structure:
        self.connection()
        fences = Fences(_EACH)
        rare = named_by_values(self._frames, fences=fences)
        tables = (
            Table(name, tuple(c for c in one.columns if c.name not in rare), kind="frame", rows=len(one.tabular.table))
            for name, one in sorted(self._taken.items())
            if name not in fences.failed
        )
        problems = (*self._problems, *_problems({}, fences.failed))
        return Structure(tuple(table for table in tables if table.columns), {}, problems, "main", "memory")

    @override
    def values(self) -> frozenset[str]:
        return named_by_values(self._frames, no_values=True)

    @property
    def _frames(self) -> dict[str, Any]:
        return {name: one.frame for name, one in self._taken.items()}

    @override
    def sample(self, table: Table) -> Picked:
        """All rows of a small frame, else one from each of many equal strides."""
        rows, width = table.rows or 0, len(table.columns)
        picked = positions(rows, SAMPLED) if rows * width > EXACT else None
        is_part = picked is not None or width < len(self._taken[table.name].columns)
        source = self.full_name(table)
        if is_part:  # as a table of its own: DuckDB looks at every column of one, each time
            part = self._taken[table.name].tabular.part([column.name for column in table.columns], picked)
            self.connection().register(_NARROW, part)
            source = self.quoted(_NARROW)
        return Picked(source, min(rows, SAMPLED if picked else rows) * width, 0 if picked else None)

    @override
    def statistics(self, tables: Sequence[Table], /) -> Mapping[str, dict[str, Profile]]:
        """What was found out before about frames that are as they were."""
        known = {table.full_name: self._taken[table.name].profiles for table in tables}
        return {
            table.full_name: known[table.full_name]
            for table in tables
            if known[table.full_name].keys() >= {column.name for column in table.columns}
        }

    @override
    def learn(self, table: Table, found: Mapping[str, Profile], /) -> None:
        self._taken[table.name].profiles |= found


def _zones_of(sql: str, taken: Mapping[str, _Held]) -> dict[str, list[str]]:
    """The time zones of the columns that a statement may use, with those columns."""
    zoned = {name: one.tabular.zones for name, one in taken.items() if one.tabular.zones}
    if not zoned:
        return {}
    tables, names = _named_in(sql)
    used: dict[str, list[str]] = {}
    for table, zones in zoned.items():
        if tables is None or table.casefold() in tables:
            for column, zone in zones.items():
                if names is None or column.casefold() in names or table.casefold() in names:
                    used.setdefault(zone, []).append(column)
    return used


def _named_in(sql: str) -> tuple[set[str] | None, set[str] | None]:
    """Names of tables and of columns that a statement may use, in small letters; None where those may be all."""
    from sqlglot import exp

    try:
        tree = parse(sql, "duckdb")
    except RsqlError:
        return None, None
    tables = {table.name.casefold() for table in tree.find_all(exp.Table)}
    if any(not isinstance(star.parent, exp.Count) for star in tree.find_all(exp.Star)):
        return tables, None
    # An alias of a table may stand for its rows.
    rows = {alias.name.casefold() for alias in tree.find_all(exp.TableAlias)}
    columns = {column.name.casefold() for column in tree.find_all(exp.Column)}
    everything = bool(columns & rows) or "COLUMNS" in sql.upper() or "NATURAL" in sql.upper()
    others = {name.name.casefold() for join in tree.find_all(exp.Join) for name in join.args.get("using") or ()}
    return tables, None if everything else columns | others


def _remarks(used: Mapping[str, Sequence[str]], counted_in: str) -> Iterator[str]:
    """What is to be said of columns whose days and hours are those of another time zone."""
    if len(used) < 2 and "" not in used:
        return
    for zone, columns in used.items():
        if zone != counted_in:
            named, plural = ", ".join(map(one_line, columns[:5])), len(columns) > 1
            place = zone or "several time zones, or of one that DuckDB does not know"
            yield f"{named} {'are' if plural else 'is'} of {place}; days and hours are counted in {counted_in}."


def _problems(taken: Mapping[str, _Held], failed: Mapping[str, str]) -> Iterator[str]:
    """What cannot be read of frames, one sentence each."""
    for name, reason in sorted(failed.items()):
        yield f"{one_line(name)} could not be read and was left out: {reason}."
    for name, one in sorted(taken.items()):
        if one.tabular.lacking:
            columns = ", ".join(map(one_line, one.tabular.lacking[:5]))
            more = f" and {len(one.tabular.lacking) - 5:,} more" if len(one.tabular.lacking) > 5 else ""
            yield f"{one_line(name)} is read without {columns}{more}, of a type that DuckDB does not know."
        for column in one.tabular.texts:
            yield f"{one_line(column)} of {one_line(name)} is read as text: DuckDB's types would change its values."


def _open(zones: frozenset[str]) -> dict[str, Any]:
    """Connections to one private database: by an empty name the one in use, and one for each of several time zones."""
    import duckdb

    connection = duckdb.connect(":memory:", config=CLOSED)
    # What a column of objects holds is told by all of them: values that come later may be of another size.
    connection.execute(f"SET pandas_analyze_sample = {1 << 40}")
    opened = {"": connection}
    if len(zones) > 1:
        connection.execute("SET TimeZone = 'UTC'")
        opened |= {zone: connection.cursor() for zone in zones if zone}
    for zone in filter(None, zones):
        own = opened.get(zone, connection)
        own.execute(f"SET TimeZone = '{zone}'")
        own.execute("SET enable_progress_bar = false")
    locked(connection)
    return opened


def _close(opened: Mapping[str, Any]) -> None:
    for connection in reversed([*opened.values()]):
        connection.close()


def _likeness(frame: Any) -> Any:
    """A copy that shares the data: from now on, whoever changes the frame changes a copy of it."""
    import pandas as pd

    if isinstance(frame, pd.DataFrame | pd.Series):
        return frame.copy(deep=False)
    return frame.clone() if hasattr(frame, "clone") else frame


def _is_as(frame: Any, likeness: Any) -> bool:
    """Whether a frame still holds the very data that it shared with its likeness."""
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        # From version 3 on pandas copies before it writes.
        return int(pd.__version__.split(".")[0]) >= 3 and _same_arrays(frame, likeness)
    return hasattr(frame, "equals") and bool(frame.equals(likeness))  # a lazy frame may read something else each time


def _same_arrays(frame: Any, likeness: Any) -> bool:
    """Whether two pandas frames share all their arrays; comparing values would take as long as reading them."""
    one, other = getattr(frame, "_mgr", None), getattr(likeness, "_mgr", None)
    if one is None or other is None or len(one.blocks) != len(other.blocks):
        return False
    if not all(mine.equals(theirs) for mine, theirs in zip(one.axes, other.axes, strict=True)):
        return False
    shared = all(_memory(a.values) == _memory(b.values) for a, b in zip(one.blocks, other.blocks, strict=True))
    return shared and frame.dtypes.equals(likeness.dtypes)


def _memory(values: Any) -> object:
    """Where an array keeps its values: an address, or the Arrow array inside."""
    if (arrow := getattr(values, "_pa_array", None)) is not None:
        return id(arrow)
    array = getattr(values, "_ndarray", getattr(values, "_data", values))
    return array.__array_interface__["data"] if hasattr(array, "__array_interface__") else id(values)


# How long a lazy frame may take to be collected.
_SECONDS = 10.0


class Stream:
    """An Arrow stream under another name: lets DuckDB read polars frames without the pyarrow package."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(getattr(self._frame, "num_rows", None) or len(self._frame))

    @property
    def schema(self) -> Any:
        """The types of its columns, as its library has them; nothing where it does not tell."""
        return getattr(self._frame, "schema", None)

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(getattr(self._frame, "column_names", None) or self._frame.columns)

    def __getitem__(self, columns: list[str]) -> Stream:
        return Stream(self._frame.select(columns))

    def picked(self, rows: list[int]) -> Stream:
        """Some rows of it; all of what has no order to pick by."""
        if hasattr(self._frame, "take"):
            return Stream(self._frame.take(rows))
        return Stream(self._frame[rows]) if type(self._frame).__module__.startswith("polars") else self


@dataclass(frozen=True)
class Tabular:
    """A frame as DuckDB reads it."""

    table: Any  # what is registered: a pandas frame or a `Stream`
    lacking: tuple[str, ...] = ()  # names of the columns that it does not hold, because they cannot be read
    texts: tuple[str, ...] = ()  # names of the columns whose values are texts here, since DuckDB would change them
    several: tuple[str, ...] = ()  # names of the columns of times of several zones, which are moments here

    @classmethod
    def of(cls, name: str, frame: Any) -> Tabular:
        """Read a frame; a `BadInput` where it is none."""
        import pandas as pd

        if isinstance(frame, pd.Series):
            frame = frame.to_frame(frame.name or "value")
        if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
            frame = within(_SECONDS, frame.collect, apart=True)  # lazy; no alarm interrupts what polars computes
        if isinstance(frame, pd.DataFrame):
            return _plain(frame)
        if hasattr(frame, "__arrow_c_stream__"):
            # An Arrow table whose names are there once: others cannot be selected from.
            if type(frame).__module__.startswith("polars"):
                frame = with_types(frame)
            names = list(getattr(frame, "column_names", ()))
            return cls(Stream(frame.rename_columns(unique_names(names)) if len(set(names)) < len(names) else frame))
        hint = "Pass pandas, polars or Arrow frames."
        raise BadInput(f"{name} is no data frame but {type(frame).__name__}.", hint=hint)

    def readable(self, reads: Callable[[Any], bool]) -> Tabular:
        """The same without the columns that ``reads`` refuses."""
        names = list(self.table.columns)
        kept = [name for name in names if reads(self.table[[name]])]
        gone = (name for name in names if name not in kept)
        return replace(self, table=self.table[kept], lacking=(*self.lacking, *gone))

    def part(self, columns: list[str], rows: list[int] | None = None) -> Any:
        """Some columns and rows of it; None for all rows, as of what cannot be picked from."""
        part = self.table[columns]
        if rows is None:
            return part
        return part.picked(rows) if isinstance(part, Stream) else part.iloc[rows]

    @cached_property
    def zones(self) -> dict[str, str]:
        """The time zone of each column that has one; empty where DuckDB has no name for it, or there are several."""
        return zones_in(self.table) | dict.fromkeys(self.several, "")


def _plain(frame: Any) -> Tabular:
    """A pandas frame as DuckDB can take it."""
    # Levels of an index are columns, names are text, and none is there twice. Types that DuckDB does not know are text.
    import numpy as np
    import pandas as pd

    if type(frame) is not pd.DataFrame:  # a subclass may make anything of its columns: geopandas' its own frames
        frame = pd.DataFrame(frame)
    plain = _with_index(frame)
    plain = plain.set_axis(unique_names([_text_name(column) for column in plain.columns]), axis=1)
    changed: dict[str, Any] = {}
    became: dict[str, str] = {}
    for name, dtype in zip(plain.columns, plain.dtypes, strict=True):
        if isinstance(dtype, np.dtype) and dtype.kind in "biu":
            continue
        column = plain[name]
        made, became[name] = _exact(column, dtype)
        if made is not column:
            changed[name] = made
    lacking = tuple(name for name, column in changed.items() if column is None)
    plain = plain.drop(columns=list(lacking)) if lacking else plain
    texts, several = (tuple(n for n, what in became.items() if what == word) for word in (TEXT, SEVERAL))
    return Tabular(plain.assign(**{n: c for n, c in changed.items() if c is not None}), lacking, texts, several)


def _with_index(frame: Any) -> Any:
    """A frame with its index as columns, without one that only counts the rows: 0, 1, 2 and so on, or R's "1", "2"."""
    index = frame.index
    if not len(frame.columns) or (index.nlevels == 1 and index.name is None and _counts(index)):
        return frame
    names = list(index.names)
    if index.nlevels == 1 and names[0] is None:
        names = ["index"]
    names = [f"level_{place}" if name is None else name for place, name in enumerate(names)]
    # One that stands among the columns already, by the same name, is there.
    kept = [place for place, name in enumerate(names) if index.names[place] is None or name not in frame.columns]
    if not kept:
        return frame
    levels = {place: index.get_level_values(place) for place in kept}
    import pandas as pd

    parts = [pd.Series(level.array, index=index, name=names[place]) for place, level in levels.items()]
    return pd.concat([*parts, frame], axis=1)


def _counts(index: Any) -> bool:
    import pandas as pd

    if isinstance(index, pd.RangeIndex):
        return bool(index.start == 0 and index.step == 1)
    if index.dtype.kind in "iu":
        return bool((index == pd.RangeIndex(len(index))).all())
    return bool(len(index) == 0 or (index[0] == "1" and list(index) == [str(n) for n in range(1, len(index) + 1)]))


def _exact(column: Any, dtype: Any) -> tuple[Any, str]:
    """A column as DuckDB reads it with every value as it is, and what has become of its values."""
    import pandas as pd

    if isinstance(dtype, pd.SparseDtype):
        dense = column.sparse.to_dense()
        return _exact(dense, dense.dtype)
    inner = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    if inner.name == "object":
        return exact_objects(column.astype(object))
    if isinstance(inner, pd.ArrowDtype) and "duration[ns]" in str(inner):
        return exact_numbers(column.astype("timedelta64[ns]"))
    if inner.kind == "c":
        return _known(column), ""
    if not pd.api.types.is_extension_array_dtype(inner):
        return (column, "") if dtype is not inner else exact_numbers(column)
    known = (pd.ArrowDtype, pd.StringDtype, pd.BooleanDtype, pd.DatetimeTZDtype)
    masked = inner.name.lower().startswith(("int", "uint", "float")) and not isinstance(inner, pd.IntervalDtype)
    return (column, "") if isinstance(inner, known) or masked else (_known(column), "")


def _known(column: Any) -> Any:
    """A column as text, or None where it cannot be written."""
    try:
        return column.astype("string")
    except Exception:
        log.debug("a column cannot be read", exc_info=True)
        return None


def _text_name(name: object) -> str:
    text = "_".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
    return text.encode("utf-8", "replace").decode()
