"""SQLite: a connection the user has, and a file."""

# Layers below the guard, in this order: the file is opened with `mode=ro` (ours), `PRAGMA query_only` (theirs), an
# authorizer that knows nothing but reading, a limit on the length of any value, and a progress handler that ends a
# statement when its time is up. On the user's connection everything is set back afterwards; SQLite cannot say which
# authorizer or progress handler was there before, so one of the user's own must be set again. While a statement is
# compiled, the authorizer is also told every table, behind views too, and every function that it touches (`_Asked`).

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import random
import re
import sqlite3
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from typing_extensions import override

from rsql_magic.databases.base import Database, Failure, Fetched, Picked, Plan, Reply, Structure, grouped, stamp, whole
from rsql_magic.databases.columns import AsText, first_rows
from rsql_magic.diagnostics import log
from rsql_magic.errors import ConnectionProblem, QueryFailed, QueryRejected
from rsql_magic.sql import (
    Column,
    ForeignKey,
    Table,
    always_quoted,
    ascii_lower,
    functions,
    is_query,
    lex,
    parse,
    remarks,
    system_table,
    with_referred,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence

    from rsql_magic.databases.base import Result
    from rsql_magic.sql import Remarks

    Row = tuple[Any, ...]

# Bytes of one value; SQLite's own limit of 10^9 lets one expression take the process down.
LONGEST_VALUE = 64 << 20
# Virtual machine steps between two looks at the clock: about 20 µs.
_STEPS = 1000
# Steps of one statement about values: about half a second.
_MOST_STEPS = 25_000_000
# Values (rows times columns) that are profiled in full: about 0.1 s.
_EXACT = 300_000
# Rows of a larger table that are looked at.
_SAMPLED = 2_000
# Rows of a table that are read at once for their values: some hundredths of a second.
_ROWS_OF_A_PART = 50_000
# Rows that are counted for the size of a table: a few pages.
_FEW_ROWS = 1_000

_EXPLAIN = re.compile(r"EXPLAIN\s+(QUERY\s+PLAN\s+)?", re.IGNORECASE)
# Functions that SQLAlchemy replaces in every connection that it opens.
_OFTEN_REPLACED = frozenset({"floor"})

_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "sqlite_dbpage"})
_PRAGMAS = frozenset(
    """
    table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list database_list collation_list
    function_list pragma_list compile_options
    """.split()  # noqa: SIM905 - words read better as text
)
# Pragmas that read without an argument; most write with one.
_SETTINGS = frozenset(
    """
    application_id cache_size data_version encoding foreign_key_check foreign_keys freelist_count integrity_check
    journal_mode module_list page_count page_size query_only quick_check recursive_triggers schema_version user_version
    """.split()  # noqa: SIM905 - words read better as text
)


def authorize(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
    """SQLite's authorizer: reading is allowed, everything else is not (sqlite.org/c3ref/c_alter_table.html)."""
    # What `first` and `second` are depends on the action: a table or pragma; a column, a function, an argument.
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    # Asked when a table function such as json_each is set up; writing there is refused by query_only.
    if action == sqlite3.SQLITE_UPDATE and first in {"sqlite_master", "sqlite_temp_master"}:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in (_PRAGMAS if second else _PRAGMAS | _SETTINGS):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


class SQLite(Database):
    """A SQLite connection that belongs to the user.

    Example:
        >>> SQLite(sqlite3.connect(":memory:")).rows("SELECT 1 + 1")
        [(2,)]
    """

    dialect = "sqlite"
    may_read_all_values = True

    def __init__(self, connection: sqlite3.Connection | None, name: str = "sqlite") -> None:
        super().__init__()
        self.name = name
        self._connection = connection
        self._steps_left: int | None = None

    @override
    def connection(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - a user's connection is given, a file's is opened below
        return self._connection

    @override
    @contextmanager
    def transaction(self, connection: sqlite3.Connection, seconds: float) -> Iterator[sqlite3.Cursor]:
        cursor = connection.cursor()
        cursor.row_factory = None
        theirs = connection.in_transaction
        with _bounded(connection, self._is_over):
            if not theirs:
                connection.set_authorizer(None)  # which lets nothing but reading through, BEGIN neither
                cursor.execute("BEGIN")
                connection.set_authorizer(authorize)
            try:
                yield cursor
            finally:
                cursor.close()
                connection.set_authorizer(None)
                if not theirs:
                    connection.rollback()

    @override
    def cancel(self) -> None:
        """Nothing to do: the progress handler looks at the watch."""

    @override
    def interruptible(self, work: Callable[[], Result]) -> Result:
        """In this thread, which a connection of SQLite's may be bound to; the progress handler sees to Ctrl-C."""
        return work()

    @override
    def run_here(self, session: Any, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = session.execute(sql, parameters).fetchall()
        return rows

    @override
    def failure(self, error: BaseException, /) -> Failure:
        if isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted":
            return "interrupted"
        return "dead" if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error) else ""

    @override
    def verify(self, session: Any, sql: str, allowed: frozenset[str], /) -> None:
        query = _EXPLAIN.sub("", sql, count=1)
        if not is_query(query, "sqlite"):
            return
        asked = _Asked(session, query, allowed)
        connection = session.connection
        connection.set_authorizer(asked)
        try:
            connection.cursor().execute(f"EXPLAIN {query}").close()
        except sqlite3.Error:
            if asked.refusal:
                raise asked.refusal from None
        finally:
            connection.set_authorizer(authorize)

    @override
    def fetch_here(self, session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
        """Step by step as the rows are fetched, so that nothing beyond the cap is computed."""
        try:
            return _fetched(session, sql, max_rows, memory)
        except sqlite3.Error:
            raise
        except Exception:  # a converter of the user's, or Python's own for timestamps, fails at a value
            log.debug("a value of SQLite's cannot be converted", exc_info=True)
            with _forgiving_converters():
                return _fetched(session, sql, max_rows, memory)

    explain = "EXPLAIN QUERY PLAN "

    @override
    def read_plan(self, rows: Reply, /) -> Plan:
        depth = {0: -1}
        lines = []
        for number, parent, _, text in rows:
            depth[number] = depth.get(parent, -1) + 1
            lines.append("  " * depth[number] + str(text))
        return Plan("\n".join(lines))

    @override
    def time_zone(self) -> str:
        """SQLite's date functions count in UTC."""
        return "UTC"

    @override
    def state(self) -> Hashable:
        """SQLite's own counters of changes: of the schema, by other connections, and by this one."""
        with self.reading(5.0) as session:
            listed = self.run(session, "SELECT name FROM pragma_database_list WHERE name <> 'temp' ORDER BY seq")
            names = [name for (name,) in listed]
            asked = [f"PRAGMA {always_quoted(name)}.schema_version" for name in names]
            asked += ["PRAGMA data_version", "SELECT count(*), total(length(sql)) FROM sqlite_temp_master"]
            counters = [self.run(session, sql) for sql in asked]
            return str((names, counters, session.connection.total_changes))

    values_read = 10 * _EXACT
    values_of_a_statement = 3_000
    knows_work_of_views = True

    @override
    def sample(self, table: Table) -> Picked | None:
        """All rows of a small table, else rows by their rowid: the same each time, and in no order."""
        if table.kind == "view" or table.rows is None:
            return super().sample(table)
        name, width = self.full_name(table), len(table.columns)
        few = _by_rowid(name, table.rows, _FEW_ROWS) if table.rows >= _FEW_ROWS else ""
        if table.rows * width <= _EXACT:
            return Picked(name, table.rows * width, few=few)
        return Picked(_by_rowid(name, table.rows, _SAMPLED), _SAMPLED * width, 0, few)

    @override
    def identity(self) -> str:
        path = self._path
        return f"sqlite {Path(path).resolve()}" if path else ""

    @override
    def twin(self) -> Database | None:
        return SQLiteFile(path) if (path := self._path) else None

    @property
    def _path(self) -> str:
        """The file; empty for a database in memory, and where there are others beside it."""
        listed = self.rows("SELECT name, file FROM pragma_database_list WHERE name <> 'temp'")
        return str(listed[0][1] or "") if len(listed) == 1 else ""

    @override
    def parts(self, table: Table) -> Iterator[str]:
        name = self.full_name(table)
        try:
            [(low, high)] = self.rows(f"SELECT min(rowid), max(rowid) FROM {name}")
        except QueryFailed:  # a table WITHOUT ROWID
            yield from super().parts(table)
            return
        for start in range(low or 0, (high or -1) + 1, _ROWS_OF_A_PART):
            yield f"(SELECT * FROM {name} WHERE rowid BETWEEN {start} AND {start + _ROWS_OF_A_PART - 1})"

    @override
    def mark(self, table: Table, columns: Sequence[str], /) -> str:
        """The number of rows, and sums of the lengths, first and last letters of their texts."""
        names = [self.quoted(column) for column in columns]
        sums = [f"total(length({n})), total(unicode({n})), total(unicode(substr({n}, -1)))" for n in names]
        return str(self.rows(f"SELECT {', '.join(['count(*)', *sums])} FROM {self.full_name(table)}")[0])

    @override
    def bounded_rows(self, sql: str, *, seconds: float) -> list[tuple[Any, ...]]:
        """SQLite counts its steps, so that a view that is too much work is so on every machine."""
        self._steps_left = _MOST_STEPS
        try:
            return super().bounded_rows(sql, seconds=seconds)
        finally:
            self._steps_left = None

    def _is_over(self) -> bool:
        """Whether the running statement is to end; asked every `_STEPS` steps."""
        if self._steps_left is not None:
            self._steps_left -= _STEPS
            if self._steps_left < 0 and self._watch is not None:
                self._watch.stop("work")
        return bool(self._watch and self._watch.reason)

    @override
    def structure(self) -> Structure:
        with self.reading(30.0) as session:
            names = [name for _, name, _ in self.run(session, "SELECT * FROM pragma_database_list ORDER BY seq")]
            return whole([_Reader(self, session, name).structure() for name in names], "main")


def _fetched(session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
    session.execute(sql)
    return first_rows([name for name, *_ in session.description or ()], session.fetchmany, max_rows, memory)


@contextmanager
def _forgiving_converters() -> Iterator[None]:
    """Meanwhile what a converter fails at comes as its text; a statement looks for its converters when it begins."""
    # A connection made with `detect_types` cannot be told to convert nothing, and all share one table of converters.
    before = dict(sqlite3.converters)
    sqlite3.converters.update({kind: _or_text(convert) for kind, convert in before.items()})
    try:
        yield
    finally:
        sqlite3.converters.update(before)


def _or_text(convert: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def converted(stored: bytes) -> Any:
        try:
            return convert(stored)
        except Exception:
            log.debug("a value is given as its text", exc_info=True)
            return AsText(_text(stored))

    return converted


def _by_rowid(name: str, rows: int, size: int) -> str:
    """Rows picked by their rowid; those that were deleted leave gaps, so a little fewer come than are asked for."""
    picked = random.Random(0).sample(range(1, rows + 1), min(rows, size))  # noqa: S311 - a sample, not a secret
    return f"(SELECT * FROM {name} WHERE rowid IN ({', '.join(map(str, picked))})) AS picked"


class _Asked:
    """An authorizer that also minds which tables and functions they are."""

    def __init__(self, session: Any, sql: str, allowed: Collection[str]) -> None:
        self.refusal: QueryRejected | None = None
        listed = session.execute("SELECT name, type FROM pragma_table_list").fetchall()
        self._tables = {ascii_lower(name) for name, _ in listed}
        from sqlglot import exp

        defined = {ascii_lower(cte.alias) for cte in parse(lex(sql, "sqlite").text, "sqlite").find_all(exp.CTE)}
        self._defined = defined
        self._views = {ascii_lower(name) for name, kind in listed if kind == "view"} - defined
        self._replaced = _replaced(session) - _OFTEN_REPLACED - set(allowed)

    def __call__(self, action: int, first: str | None, second: str | None, place: str | None, by: str | None) -> int:
        """Say whether SQLite may compile a step; ``by`` is the view, or the WITH, that asks for it."""
        if ascii_lower(by or "") in self._views:
            return sqlite3.SQLITE_OK
        # Where only the rows of a WITH are counted SQLite names no column of it and no database.
        counts = (
            action == sqlite3.SQLITE_READ and not second and not place and ascii_lower(first or "") in self._defined
        )
        if counts:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and not self._may_read(ascii_lower(first or "")):
            return self._refuse(f"There is no table {first} here.", first)
        if action == sqlite3.SQLITE_FUNCTION and ascii_lower(second or "") in self._replaced:
            return self._refuse(f"{second} is a function of your own here, and it may do anything.", second)
        return authorize(action, first, second, place, by)

    def _may_read(self, name: str) -> bool:
        system = system_table((name,), "sqlite")
        made_by_functions = functions("sqlite").tables or frozenset()
        return system == "readable" or name in made_by_functions or (name in self._tables and system != "secret")

    def _refuse(self, reason: str, name: str | None) -> int:
        hint = "%rsql catalog lists the tables; SQLite has functions of its own."
        self.refusal = QueryRejected.slip(reason, name or "", hint)
        return sqlite3.SQLITE_DENY


def _replaced(session: Any) -> set[str]:
    """SQLite's own functions that have another of the same name beside them."""
    listed = session.execute("SELECT name, builtin FROM pragma_function_list").fetchall()  # calls none of them
    own = {ascii_lower(name) for name, builtin in listed if builtin}
    return own & {ascii_lower(name) for name, builtin in listed if not builtin}


class SQLiteFile(SQLite):
    """A SQLite file, opened read-only for as long as it is held."""

    def __init__(self, path: str) -> None:
        super().__init__(None, Path(path).name)
        self.path = path

    @override
    def connection(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self.path)
        return self._connection

    @override
    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    @override
    def _path(self) -> str:
        return self.path

    @override
    def state(self) -> Hashable:
        """Time and size of the file and its write-ahead log: nothing is opened."""
        return stamp(self.path), stamp(f"{self.path}-wal")


def _open(path: str) -> sqlite3.Connection:
    if not Path(path).is_file():
        raise ConnectionProblem(f"There is no file {path}.", hint="Check the path.")
    # Quoted: a ? or # in a path would end it in a URI.
    connection = sqlite3.connect(f"file:{quote(str(Path(path).resolve()))}?mode=ro", uri=True, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        reason = f"{Path(path).name} cannot be read as a SQLite database: {error}."
        raise ConnectionProblem(reason, hint="Check the file.") from None
    return connection


@contextmanager
def _bounded(connection: sqlite3.Connection, is_over: Callable[[], bool]) -> Iterator[None]:
    """The layers around a statement, and back."""
    text_factory, connection.text_factory = connection.text_factory, _text
    length = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    cursor = connection.cursor()
    cursor.row_factory = None  # the user may have set another
    [[query_only]] = cursor.execute("PRAGMA query_only").fetchall()
    connection.execute("PRAGMA query_only = 1")
    connection.set_progress_handler(is_over, _STEPS)
    connection.set_authorizer(authorize)
    try:
        yield
    finally:
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)
        connection.execute(f"PRAGMA query_only = {int(query_only)}")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)
        connection.text_factory = text_factory


def _text(stored: bytes) -> str:
    """A text as it is stored; bytes that are no UTF-8, at which Python would refuse the row, as their numbers."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return AsText(stored.decode("utf-8", "backslashreplace"))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_NAMES = """
    SELECT t.name, t.type FROM pragma_table_list t LEFT JOIN {place}.sqlite_master m ON m.name = t.name
    WHERE t.schema = {schema} AND t.type IN ('table', 'view', 'virtual') ORDER BY m.rowid"""
_DEFINITIONS = "SELECT type, name, sql FROM {place}.sqlite_master WHERE type IN ('table', 'view')"
_COLUMNS = """
    SELECT t.name, c.name, c.type, c."notnull", c.pk FROM pragma_table_list t, pragma_table_xinfo(t.name, {schema}) c
    WHERE t.schema = {schema} AND t.type IN ('table', 'virtual') AND c.hidden <> 1 ORDER BY t.name, c.cid"""
_VIEW_COLUMNS = 'SELECT {view}, name, type, "notnull", 0 FROM pragma_table_xinfo({view}, {schema})'
_FOREIGN_KEYS = """
    SELECT t.name, k.id, k."table", k."from", k."to"
    FROM pragma_table_list t, pragma_foreign_key_list(t.name, {schema}) k
    WHERE t.schema = {schema} AND t.type = 'table' ORDER BY t.name, k.id DESC, k.seq"""
_UNIQUE = """
    SELECT t.name, l.name, i.name
    FROM pragma_table_list t, pragma_index_list(t.name, {schema}) l, pragma_index_info(l.name, {schema}) i
    WHERE t.schema = {schema} AND t.type = 'table' AND l."unique" AND NOT l.partial ORDER BY t.name, l.seq, i.seqno"""


class _Reader:
    """Reads one attached database with a query each for names, columns, keys and indexes, and one per view."""

    def __init__(self, database: SQLite, session: Any, schema: str) -> None:
        self._database, self._session, self._schema = database, session, schema
        self.place = "" if schema in {"main", "temp"} else schema
        self.problems: list[str] = []

    def structure(self) -> Structure:
        """The tables of this database."""
        named = self._ask(_NAMES, place=always_quoted(self._schema))
        kinds = {name: kind for name, kind in named if not name.startswith("sqlite_")}
        columns = self._columns(kinds)
        keys = grouped(self._ask(_FOREIGN_KEYS))
        counts = self._row_counts([name for name, kind in kinds.items() if kind == "table"])
        created = self._database.run(self._session, _DEFINITIONS.format(place=always_quoted(self._schema)))
        said = {name: remarks(sql) for kind, name, sql in created if kind == "table" and sql}
        tables = [
            self._table(name, kinds[name], rows, keys, counts.get(name), said=said.get(name))
            for name, rows in columns.items()
        ]
        unique = {
            self._full(name): [tuple(c for _, c in index) for index in _runs(rows)]
            for name, rows in grouped(self._ask(_UNIQUE)).items()
        }
        definitions = {self._full(name): sql for kind, name, sql in created if kind == "view"}
        return Structure(tuple(with_referred(tables)), unique, tuple(self.problems), definitions=definitions)

    def _ask(self, sql: str, **names: str) -> list[Row]:
        return self._database.run(self._session, sql.format(schema=_literal(self._schema), **names))

    def _full(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def _columns(self, kinds: Mapping[str, str]) -> dict[str, list[Row]]:
        columns = {name: rows for name, rows in grouped(self._ask(_COLUMNS)).items() if name in kinds}
        for name, kind in kinds.items():
            if kind == "view":
                try:
                    columns[name] = [row[1:] for row in self._ask(_VIEW_COLUMNS, view=_literal(name))]
                except sqlite3.OperationalError as error:
                    self.problems.append(f"View {self._full(name)} is left out: {error}.")
        return {name: columns[name] for name in kinds if name in columns}

    def _table(
        self,
        name: str,
        kind: str,
        columns: list[Row],
        keys: Mapping[str, list[Row]],
        rows: int | None,
        *,
        said: Remarks | None,
    ) -> Table:
        key = sorted((place, column) for column, _, _, place in columns if place)
        described = said.columns if said else {}  # remarks in a definition are the only comments that SQLite has
        return Table(
            name,
            tuple(
                Column(column, type_, not notnull and not place, described.get(column.lower(), ""))
                for column, type_, notnull, place in columns
            ),
            schema=self.place,
            kind="view" if kind == "view" else "table",
            rows=rows,
            primary_key=tuple(column for _, column in key),
            foreign_keys=tuple(
                ForeignKey(
                    tuple(own for *_, own, _ in run),
                    self._full(run[0][1]),
                    tuple(to for *_, to in run if to is not None),
                )
                for run in _runs(keys.get(name, []))
            ),
            description=said.table if said else "",
        )

    def _row_counts(self, names: list[str]) -> dict[str, int]:
        """Rows as ANALYZE counted them; else counted, and beyond a few pages the span of rowids that have few gaps."""
        place, counts = always_quoted(self._schema), dict[str, int]()
        with suppress(sqlite3.OperationalError):  # never analyzed
            rows = self._database.run(self._session, f"SELECT tbl, stat FROM {place}.sqlite_stat1")
            counts = {table: int(stat.split()[0]) for table, stat in rows if stat}
        for name in names:
            if name not in counts:
                with suppress(sqlite3.OperationalError):  # a table WITHOUT ROWID; its profile counts its rows
                    counts |= self._counted(name, f"{place}.{always_quoted(name)}")
        return counts

    def _counted(self, name: str, table: str) -> dict[str, int]:
        first = self._database.run(self._session, f"SELECT rowid FROM {table} ORDER BY rowid LIMIT {_FEW_ROWS}")
        if len(first) < _FEW_ROWS:
            return {name: len(first)}
        # The rowid of an INTEGER PRIMARY KEY may be a social security number: such a span says nothing of the rows.
        if first[-1][0] > 3 * _FEW_ROWS:
            return {}
        return {name: self._database.run(self._session, f"SELECT max(rowid) FROM {table}")[0][0] - first[0][0] + 1}


def _runs(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that follow each other with the same first value."""
    return [list(run) for _, run in groupby(rows, key=itemgetter(0))]
