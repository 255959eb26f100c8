"""DuckDB: a connection of the user's, and a file; data frames are in `frames`."""

# The user's own connection is used itself and not a second one, because temporary tables, registered frames, the search
# path and the time zone live in it. Its configuration is never changed: that could not be undone, and its limit of
# memory is that of all connections of the process. So what a statement takes is looked at while it runs. Statements run
# in a `BEGIN TRANSACTION READ ONLY` that is rolled back. When the user is inside a transaction of their own, a second
# connection reads instead, since an error would abort theirs.
#
# What we open ourselves is locked: read-only, no files, no network, no extensions, no change of settings.

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import json
import re
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.base import (
    Database,
    Failure,
    Fetched,
    Picked,
    Plan,
    Reply,
    Step,
    Structure,
    plan_of_steps,
    stamp,
)
from rsql_magic.databases.duckdb_statements import own_functions, refuse_unbound
from rsql_magic.databases.duckdb_values import EXPLAIN, fetched
from rsql_magic.errors import ConnectionProblem
from rsql_magic.sql import Column, ForeignKey, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from rsql_magic.sql import Kind

CLOSED: dict[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",  # what does not fit in memory is refused, not written beside the user's file
}

# Values (rows times columns) that are profiled in full: about 0.1 s.
EXACT = 8_000_000

# Blocks of a larger table that are looked at, and their rows.
_BLOCKS, _BLOCK, _SMALL_BLOCK = 25, 2_048, 20

# Rows of a larger table that are looked at.
SAMPLED = _BLOCKS * _BLOCK
# Seconds within which a statement is checked, planned and run.
_ONE_QUESTION = 0.5

# Rows of a table that are read at once for their values: some hundredths of a second.
_ROWS_OF_A_PART = 122_880 * 2  # DuckDB's row groups

# Bytes that a statement may take on the user's own connection, whose limit is most of the machine's memory.
WORKING_MEMORY = 2 << 30
# What a statement takes: not tables, nor what DuckDB keeps of files as long as there is room.
_TAKEN = """
    SELECT sum(memory_usage_bytes) FROM duckdb_memory()
    WHERE tag NOT IN ('BASE_TABLE', 'IN_MEMORY_TABLE', 'METADATA', 'EXTERNAL_FILE_CACHE', 'OBJECT_CACHE')"""

_EXPECTED = re.compile(r'"Estimated Cardinality":\s*"?~?(\d+)')
_STEPS = re.compile(r'"name":\s*"([A-Z_]+)\s*"')
# Steps of a plan that keep the order of rows, so that the first are the same each time.
_PASSING = frozenset({"SEQ_SCAN", "TABLE_SCAN", "FILTER", "PROJECTION", "PANDAS_SCAN", "ARROW_SCAN"})


class DuckDB(Database):
    """A DuckDB connection that belongs to the user."""

    dialect = "duckdb"
    may_read_all_values = True

    def __init__(self, connection: Any, name: str = "duckdb") -> None:
        super().__init__()
        self.name = name
        self._connection = connection
        self._reader: Any = None
        self._functions: frozenset[str] = frozenset()
        self._functions_until = 0.0

    @override
    def connection(self) -> Any:
        return self._connection

    @override
    @contextmanager
    def transaction(self, connection: Any, seconds: float) -> Iterator[Any]:
        # An error would abort the transaction that the user is in, so another connection reads then.
        reader = connection.cursor() if self._inside_transaction(connection) else connection
        try:
            # Around the transaction: in one that an error has aborted the user's setting could not be put back.
            with _without_progress_bar(reader):
                reader.execute("BEGIN TRANSACTION READ ONLY")
                self._reader = reader
                try:
                    with self._bounded_memory(connection):
                        yield reader
                finally:
                    self._reader = None
                    reader.rollback()
        finally:
            if reader is not connection:
                reader.close()

    @contextmanager
    def _bounded_memory(self, connection: Any) -> Iterator[None]:
        """Stop what takes more than `WORKING_MEMORY`."""
        import duckdb

        before: int | None = None

        def look() -> str:
            nonlocal before
            with suppress(duckdb.Error):  # the user closed the connection, or the database is gone
                taken = int(other.execute(_TAKEN).fetchone()[0])
                # The first look, a moment after the beginning, shows what others have taken.
                before = taken if before is None else min(taken, before)
                if taken - before > WORKING_MEMORY:
                    return f"it took more than {round(WORKING_MEMORY / (1 << 30), 1):g} GB of memory."
            return ""

        other = connection.cursor()  # a connection does one thing at a time
        try:
            with self._watch.also(look) if self._watch else nullcontext():
                yield
        finally:
            other.close()

    def _inside_transaction(self, connection: Any) -> bool:
        """Whether the user began one: outside, every statement has a transaction number of its own."""
        first, second = (connection.execute("SELECT txid_current()").fetchone() for _ in range(2))
        return bool(first == second)

    @override
    def cancel(self) -> None:
        if self._reader is not None:
            self._reader.interrupt()

    @override
    def run_here(self, session: Any, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = session.execute(sql, parameters or None).fetchall()
        return rows

    @override
    def failure(self, error: BaseException, /) -> Failure:
        text = str(error)
        if isinstance(error, RuntimeError) and "interrupted" in text.lower():
            return "interrupted"
        return "dead" if "Connection already closed" in text or "database has been invalidated" in text else ""

    @override
    def verify(self, session: Any, sql: str, allowed: frozenset[str], /) -> None:
        query = EXPLAIN.sub("", sql, count=1) if sql[:7].upper() == "EXPLAIN" else sql
        if query[:6].upper() != "PRAGMA":
            refuse_unbound(session, query, allowed, self.own_functions(session))

    def own_functions(self, session: Any) -> frozenset[str]:
        """The user's functions; DuckDB lists all of its own for them, which takes 10 ms or more."""
        # So one answer serves for checking, planning and running a statement.
        if time.monotonic() >= self._functions_until:
            self._functions = own_functions(session)
            self._functions_until = time.monotonic() + _ONE_QUESTION
        return self._functions

    @override
    def fetch_here(self, session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
        return fetched(session, sql, max_rows, memory)

    explain = "EXPLAIN (FORMAT json) "

    @override
    def read_plan(self, rows: Reply, /) -> Plan:
        return plan_of_steps(_step(json.loads(rows[0][-1])[0]))

    @override
    def time_zone(self) -> str:
        return str(self.rows("SELECT current_setting('TimeZone')")[0][0])

    @override
    def state(self) -> Hashable:
        return tuple(self.rows(_STATE)[0])

    @override
    def structure(self) -> Structure:
        with self.reading(30.0) as session:
            database, schema = self.run(session, "SELECT current_database(), current_schema()")[0]
            tables = self.run(session, _TABLES)
            columns = self.run(session, _COLUMNS)
            constraints = self.run(session, _CONSTRAINTS)
            indexes = self.run(session, _UNIQUE_INDEXES)
            views = self.run(session, _VIEWS)
        assembly = _DuckDBTables(str(database), str(schema), self.kind)
        return assembly.build(tables, columns, constraints, indexes, views)

    def kind(self, view: bool) -> Kind:
        """What a name stands for."""
        return "view" if view else "table"

    values_read = 10 * EXACT
    values_of_a_statement = EXACT // 20
    knows_work_of_views = True

    @override
    def sample(self, table: Table) -> Picked | None:
        """All rows up to `EXACT` values, else blocks of rows that lie equally far from each other."""
        # DuckDB's own samples differ from one time to the next, and so does what comes first of several threads' work.
        name, width = self.full_name(table), len(table.columns)
        if table.kind == "view":
            # All of a view that is little work, the first rows of one that only passes rows on, nothing of others.
            plan = str(self.rows(f"EXPLAIN (FORMAT json) SELECT * FROM {name}", seconds=10.0)[0][-1])
            work = sum(map(int, _EXPECTED.findall(plan))) * width
            if work <= EXACT:
                return Picked(name, work)
            return super().sample(table) if set(_STEPS.findall(plan)) <= _PASSING else None
        if table.rows is None:
            return super().sample(table)
        few = _blocks(name, table.rows, _SMALL_BLOCK) if table.rows > _BLOCK else ""
        if table.rows * width <= EXACT:
            return Picked(name, table.rows * width, few=few)
        return Picked(_blocks(name, table.rows, _BLOCK), _BLOCKS * _BLOCK * width, 0, few)

    @override
    def identity(self) -> str:
        path = self.rows("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")[0][0]
        return f"duckdb {Path(path).resolve()}" if path else ""

    @override
    def twin(self) -> Database | None:
        return _Cursor(self.connection().cursor(), self.name)

    @override
    def parts(self, table: Table) -> Iterator[str]:
        name = self.full_name(table)
        [(last,)] = self.rows(f"SELECT max(rowid) FROM {name}")
        for start in range(0, (-1 if last is None else last) + 1, _ROWS_OF_A_PART):
            yield f"(SELECT * FROM {name} WHERE rowid BETWEEN {start} AND {start + _ROWS_OF_A_PART - 1})"

    @override
    def mark(self, table: Table, columns: Sequence[str], /) -> str:
        """The number of rows, and a hash of their texts in any order."""
        hashes = [f"sum(hash({self.quoted(column)})::HUGEINT)" for column in columns]
        return str(self.rows(f"SELECT {', '.join(['count(*)', *hashes])} FROM {self.full_name(table)}")[0])


class _Cursor(DuckDB):
    """A connection of ours to a database of the user's."""

    @override
    def close(self) -> None:
        self._connection.close()


def _blocks(name: str, rows: int, size: int) -> str:
    """Blocks of rows that lie equally far from each other."""
    starts = [block * rows // _BLOCKS for block in range(_BLOCKS)]
    parts = (f"SELECT * FROM {name} WHERE rowid BETWEEN {start} AND {start + size - 1}" for start in starts)
    return f"({' UNION ALL '.join(parts)}) AS picked"


def _step(node: dict[str, Any]) -> Step:
    """A step of DuckDB's plan."""
    about = node.get("extra_info") or {}
    rows = about.get("Estimated Cardinality")
    facts = [str(about[name]) for name in ("Table", "Join Type", "Conditions", "Filters", "Groups") if about.get(name)]
    before = tuple(map(_step, node.get("children") or ()))
    return Step(" ".join([node["name"].strip(), *facts]), int(rows) if rows else None, before)


@contextmanager
def _without_progress_bar(connection: Any) -> Iterator[None]:
    """DuckDB prints a bar for slow queries in notebooks, over our own status; the user's setting is put back."""
    import duckdb

    (shown,) = connection.execute("SELECT current_setting('enable_progress_bar')").fetchone()
    if shown:
        with suppress(duckdb.Error):  # the user locked the configuration
            connection.execute("SET enable_progress_bar = false")
    try:
        yield
    finally:
        for _ in range(3 * bool(shown)):
            try:
                connection.execute("SET enable_progress_bar = true")
                break
            except duckdb.InterruptException:  # a stop that was meant for the query before
                continue
            except duckdb.Error:
                break


class DuckDBFile(DuckDB):
    """A DuckDB file, opened read-only for as long as it is held, so that it is free in between."""

    keeps_others_out = True

    def __init__(self, path: str) -> None:
        super().__init__(None, Path(path).name)
        self.path = path

    @override
    def connection(self) -> Any:
        if self._connection is None:
            self._connection = _FILES.cursor(self.path)
        return self._connection

    @override
    def release(self) -> None:
        if self._connection is not None:
            _FILES.close(self.path, self._connection)
            self._connection = None

    @override
    def _inside_transaction(self, connection: Any) -> bool:
        return False

    @override
    @contextmanager
    def _bounded_memory(self, connection: Any) -> Iterator[None]:
        yield  # the file is opened with a limit

    @override
    def identity(self) -> str:
        return f"duckdb {Path(self.path).resolve()}"

    @override
    def twin(self) -> Database | None:
        return DuckDBFile(self.path)

    @override
    def state(self) -> Hashable:
        """The file's time and size, and those of its write-ahead log: nothing is opened."""
        return tuple(stamp(path) for path in (self.path, f"{self.path}.wal"))


class _OpenFiles:
    """The files that are open in this process: one connection each, whose cursors are shared out.

    A file's settings are those of its first connection, which locks them: a second one that sets them again, as a
    value index beside a question would, is refused.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Any, int]] = {}  # of each path, its connection and how many cursors are in use

    def cursor(self, path: str) -> Any:
        with self._lock:
            connection, cursors = self._open.get(path) or (_open_file(path), 0)
            self._open[path] = connection, cursors + 1
            return connection.cursor()

    def close(self, path: str, cursor: Any) -> None:
        """Close a cursor, and the file with its last one."""
        with self._lock:
            cursor.close()
            connection, cursors = self._open.pop(path)
            if cursors > 1:
                self._open[path] = connection, cursors - 1
            else:
                connection.close()


_FILES = _OpenFiles()


def _open_file(path: str) -> Any:
    import duckdb

    if not Path(path).is_file():
        raise ConnectionProblem(f"There is no file {path}.", hint="Check the path.")
    try:
        # Several programs may have a file open at once when all of them only read.
        return locked(duckdb.connect(path, read_only=True, config=CLOSED))
    except duckdb.ConnectionException:
        raise ConnectionProblem(
            f"{Path(path).name} is already open in this Python session.",
            hint="Pass that connection instead of the path.",
        ) from None
    except duckdb.Error as error:
        raise _cannot_open(path, str(error)) from None


def _cannot_open(path: str, message: str) -> ConnectionProblem:
    name = Path(path).name
    if "set lock on file" in message or "being used by another process" in message:  # the latter in Windows' words
        return ConnectionProblem(
            f"Another program has {name} open for writing.", hint="Close it there, then try again."
        )
    if "not a valid DuckDB database" in message:
        return ConnectionProblem(f"{name} is not a DuckDB database.", hint="Give the path of a DuckDB or SQLite file.")
    return ConnectionProblem(f"{name} cannot be opened: {' '.join(message.split())[:200]}", hint="Check the file.")


def locked(connection: Any) -> Any:
    """A connection with half of the memory that DuckDB would take, at most eight threads, and no way to change that."""
    import duckdb

    with suppress(duckdb.Error):  # a DuckDB that knows no shares of memory keeps its own limit of 80 %
        connection.execute("SET memory_limit = '50%'")  # DuckDB knows a container's limit, Python does not
    connection.execute("SET threads = least(current_setting('threads'), 8)")
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET lock_configuration = true")
    return connection


_OURS = "NOT internal AND database_name <> 'system'"
# DuckDB counts no changes of its schema, so its definitions are hashed.
_STATE = f"""
    SELECT coalesce(sum(hash(database_name, schema_name, name, text)), 0)::VARCHAR, count(*)
    FROM (
        SELECT database_name, schema_name, table_name AS name, sql || coalesce(comment, '') || estimated_size AS text
        FROM duckdb_tables() WHERE {_OURS}
        UNION ALL
        SELECT database_name, schema_name, view_name, sql || coalesce(comment, '') FROM duckdb_views() WHERE {_OURS}
    )"""
# By name: the order in which tables were made is gone when a file is opened again, and prompts would be others.
_TABLES = f"""
    SELECT database_name, schema_name, table_name, false, estimated_size, comment FROM duckdb_tables() WHERE {_OURS}
    UNION ALL SELECT database_name, schema_name, view_name, true, NULL, comment FROM duckdb_views() WHERE {_OURS}
    ORDER BY 1, 2, 4, 3"""
_COLUMNS = f"""
    SELECT database_name, schema_name, table_name, column_name, data_type, is_nullable, comment
    FROM duckdb_columns() WHERE {_OURS} ORDER BY 1, 2, 3, column_index"""
_CONSTRAINTS = """
    SELECT
        database_name, schema_name, table_name,
        constraint_type, constraint_column_names, referenced_table, referenced_column_names
    FROM duckdb_constraints() WHERE constraint_type IN ('PRIMARY KEY', 'UNIQUE', 'FOREIGN KEY')
    ORDER BY 1, 2, 3, constraint_index"""
_VIEWS = f"SELECT database_name, schema_name, view_name, sql FROM duckdb_views() WHERE {_OURS}"
_UNIQUE_INDEXES = "SELECT database_name, schema_name, table_name, expressions FROM duckdb_indexes() WHERE is_unique"


class _DuckDBTables:
    """Puts the rows of the catalog functions together."""

    def __init__(self, database: str, schema: str, kind: Callable[[bool], Kind]) -> None:
        self.database, self.schema, self.kind = database, schema, kind

    def build(self, tables: Rows, columns: Rows, constraints: Rows, indexes: Rows, views: Rows) -> Structure:
        """Rows of `_TABLES`, `_COLUMNS`, `_CONSTRAINTS`, `_UNIQUE_INDEXES` and `_VIEWS` as tables."""
        of_table: dict[Key, list[Column]] = {}
        for *key, name, type_, nullable, comment in columns:
            of_table.setdefault((key[0], key[1], key[2]), []).append(Column(name, type_, bool(nullable), comment or ""))
        keys: dict[Key, list[tuple[Any, ...]]] = {}
        for row in constraints:
            keys.setdefault((row[0], row[1], row[2]), []).append(row[3:])
        made = [self._table(row, of_table, keys.get(row[:3], [])) for row in tables]
        definitions = {self._full(*place): sql or "" for *place, sql in views}
        unique: dict[str, list[tuple[str, ...]]] = {}
        for database, schema, table, kind, names, *_ in constraints:
            if kind == "UNIQUE":
                unique.setdefault(self._full(database, schema, table), []).append(tuple(names))
        for database, schema, table, expressions in indexes:
            names = tuple(part.strip(" \"'") for part in (expressions or "").strip("[]").split(","))
            unique.setdefault(self._full(database, schema, table), []).append(names)
        return Structure(tuple(made), unique, (), self.schema, self.database, definitions)

    def _table(self, row: tuple[Any, ...], columns: Mapping[Key, list[Column]], keys: list[tuple[Any, ...]]) -> Table:
        database, schema, name, view, rows, comment = row
        own_database, own_schema = self._place(database, schema)
        return Table(
            name,
            tuple(columns.get((database, schema, name), ())),
            schema=own_schema,
            database=own_database,
            kind=self.kind(view),
            rows=rows,
            primary_key=next((tuple(names) for kind, names, *_ in keys if kind == "PRIMARY KEY"), ()),
            foreign_keys=tuple(
                ForeignKey(tuple(names), ".".join(filter(None, (own_database, own_schema, table))), tuple(referred))
                for kind, names, table, referred in keys
                if kind == "FOREIGN KEY"
            ),
            description=comment or "",
        )

    def _place(self, database: str, schema: str) -> tuple[str, str]:
        """Database and schema as they must be written, empty where they are the defaults."""
        if database == "temp" or (database == self.database and schema == self.schema):
            return "", ""
        return ("", schema) if database == self.database else (database, schema)

    def _full(self, database: str, schema: str, table: str) -> str:
        return ".".join(part for part in (*self._place(database, schema), table) if part)


if TYPE_CHECKING:
    Rows = Sequence[tuple[Any, ...]]
    Key = tuple[str, str, str]
