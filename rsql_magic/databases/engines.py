"""Run guarded SQL read-only, within bounds, on any database."""

# A statement meets these in order: the guard (`rsql_magic.sql.guard.check`, called here and nowhere else on the way to
# a database), a read-only transaction with a time limit (`Database.reading`), the database's own word on what the names
# stand for (`Database.verify`), the row cap and the memory cap (`Database.fetch`). After a result that was cut, the
# rows are counted apart, so that people read `first 1,000 of 336,776`.

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from rsql_magic.databases.catalogs import read_catalog
from rsql_magic.databases.connections import open_database
from rsql_magic.databases.profiles import Effort, add_profiles
from rsql_magic.errors import QueryFailed, QueryRejected, Stopped
from rsql_magic.sql import Catalog, Problem, check, count_sql, is_query

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from rsql_magic.databases.base import Database, Plan, Reply, Structure
    from rsql_magic.databases.value_keeping import ValueKeeper
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.sql import Privacy, Table

# Seconds from which on asking whether the schema has changed is slow: with some thousand tables.
SLOW_PROBE = 0.05
# How long the answer of a slow probe is believed; a statement that the guard refuses is checked against a new one.
FRESH_SECONDS = 2.0
# Queries of the database's log that are read.
_LOGGED = 300
# Least time for counting the rows of a result that was cut; a slow query's count may take as long as the query.
COUNT_SECONDS = 2.0


@dataclass(frozen=True)
class Rows:
    """The result of a statement."""

    df: pd.DataFrame  # the rows, as many as were asked for
    total: int | None  # how many there are in all; None when counting them took too long
    truncated: bool  # whether there are more than in ``df``
    seconds: float  # time the database took for ``df``, without the count
    note: str = ""  # why rows are missing, when it was not the row cap
    remarks: tuple[str, ...] = ()  # values that are not as they are stored, a sentence for each column
    database: str = ""  # where rows are missing, what tells their database from others (`Database.identity`)

    @property
    def count(self) -> str:
        """The number of rows in words: ``first 1,000 of 336,776``."""
        if not self.truncated:
            return f"{len(self.df):,} row{'' if len(self.df) == 1 else 's'}"
        return f"first {len(self.df):,} of {f'{self.total:,}' if self.total is not None else 'many'}"

    def __repr__(self) -> str:
        return f"<Rows {self.count} in {self.seconds:.2f} s>"


class Engine:
    """One database, as the rest of the package sees it: catalog, check, plan, run.

    Its ``dialect`` is sqlglot's, its ``name`` what it is called in messages: safe to show, never with a password.
    """

    # Bytes of one result in the kernel's memory; a larger one is cut, and that is said.
    memory_cap = 2 << 30

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self.dialect, self.name = database.dialect, database.name
        self.identity = database.identity  # what tells it from others, without secrets; empty for that of a session
        self.is_free = database.may_read_all_values  # whether a query costs nothing but some time
        self._database = database
        self._clock = clock
        self._state: Hashable = None
        self._fresh_until = 0.0
        self._structure: Structure | None = None
        self._catalogs: dict[Privacy, Catalog] = {}
        self._bare = Catalog()
        self._dictionary: Dictionary | None = None
        self._time_zone: str | None = None
        # The catalog, query and statement of the guard's last proof.
        self._proof: tuple[Catalog | None, str, str] = (None, "", "")
        self._interrupts = 0
        self._log: list[str] | None = None
        # The statement that was checked last, and the database's plan for it.
        self._reply: tuple[str, Reply] = ("", ())
        # The index of its values, where one is wanted.
        self.values: ValueKeeper | None = None
        # Tables whose values `catalog` and `detail` could not look at in time.
        self.late: tuple[str, ...] = ()

    @property
    def time_zone(self) -> str:
        """The time zone of the session, in which the database understands ``now()`` and shows times."""
        if self._time_zone is None:
            self._time_zone = self._database.time_zone()
        return self._time_zone

    @property
    def dictionary(self) -> Dictionary | None:
        """What people wrote about the tables; setting it changes the catalog."""
        return self._dictionary

    @dictionary.setter
    def dictionary(self, dictionary: Dictionary | None) -> None:
        self._dictionary = dictionary
        self._catalogs = {}

    def renew(self, frames: Mapping[str, Any]) -> bool:
        """Have these frames as tables from now on; those that have not changed cost nothing.

        It is False for an engine of another database than frames.
        """
        from rsql_magic.databases.frames import Frames

        if not isinstance(self._database, Frames):
            return False
        self._database.renew(frames)
        self._time_zone, self._fresh_until = None, 0.0
        return True

    def catalog(self, level: Privacy = "stats", *, sure: bool = False) -> Catalog:
        """The tables, read once and again after the database's schema has changed.

        To be ``sure``, the database is asked for changes also where it was asked a moment ago.
        """
        if sure:
            self._fresh_until = 0.0
        with self._database as database:
            structure = self._current_structure()
            if level not in self._catalogs:
                self._catalogs[level] = read_catalog(
                    database, level, structure=structure, dictionary=self._dictionary, clock=self._clock
                )
            if sure and self.values is not None:
                self.values.begin(structure.tables)
        self.late = self._catalogs[level].late
        return self._catalogs[level]

    def stored(self) -> Catalog:
        """The tables as the database has them: no value is read, and no dictionary describes them."""
        with self._database:
            self._current_structure()
        return self._bare

    def _current_structure(self) -> Structure:
        """The tables as the database has them now; catalogs of what they were are forgotten."""
        state = self._probed()
        if state != self._state or self._structure is None:
            self._catalogs = {}
            self._structure = self._database.structure()
            self._bare = Catalog(
                self._structure.tables,
                self.dialect,
                schema=self._structure.schema,
                database=self._structure.database,
                parts=self._structure.parts,
            )
            self._state = state
        return self._structure

    def _tables(self, *, sure: bool = False) -> Catalog:
        """All that the guard needs: a catalog that was read, else the tables alone."""
        if sure:
            self._fresh_until = 0.0
        with self._database:
            self._current_structure()
        return next(iter(self._catalogs.values()), self._bare)

    def _probed(self) -> Hashable:
        """The state of the database's schema; where it takes long to tell, one answer serves for a while."""
        started = self._clock()
        if self._state is not None and started < self._fresh_until:
            return self._state
        state = self._database.state()
        took = self._clock() - started
        self._fresh_until = started + (FRESH_SECONDS if took > SLOW_PROBE else 0.0)
        return state

    def detail(self, tables: Sequence[Table]) -> list[Table]:
        """The same tables with the profiles that were too much work for `catalog`."""
        if not (missing := [t for t in tables if not any(c.profile for c in t.columns)]):
            return list(tables)
        effort = Effort.of(self._database, self._clock)
        with self._database as database:
            found = add_profiles(database, self._current_structure(), missing, effort)
        profiled = {t.full_name: t for t in found}
        told = {t.full_name for t in found if any(c.profile for c in t.columns)}
        self.late = tuple(dict.fromkeys([*(name for name in self.late if name not in told), *effort.late]))
        return [profiled.get(t.full_name, t) for t in tables]

    def query_log(self) -> list[str]:
        """The queries most often run in the database, where it keeps a log that may be read; asked once per schema."""
        if self._log is None:
            with self._database as database:
                self._log = database.query_log(_LOGGED)
        return self._log

    def refresh(self) -> None:
        """Forget the catalog, so that the next call reads it anew."""
        self._state, self._structure, self._catalogs, self._log = None, None, {}, None

    def check(self, sql: str) -> list[Problem]:
        """What the database says of a statement without running it; empty when it compiles.

        Raises:
            QueryRejected: The guard refuses it.
        """
        checked = self._guarded(sql)
        try:
            if is_query(checked, self.dialect):
                self._reply = checked, self._explained(checked)
        except QueryFailed as error:
            return [Problem("engine", "", str(error))]
        return []

    def plan(self, sql: str) -> Plan:
        """How the database would run a query, and how many rows it expects; nothing is run.

        Raises:
            QueryRejected: The guard refuses it.
            QueryFailed: It does not compile, or is no query.
        """
        checked = self._guarded(sql)
        if not is_query(checked, self.dialect):
            raise QueryFailed("Only a query has a plan.", hint="Ask for the plan of a SELECT.", sql=checked)
        statement, reply = self._reply
        self._reply = "", ()  # figures of data: they serve for the plan that is asked for beside a check
        return self._database.read_plan(reply if statement == checked else self._explained(checked))

    def _explained(self, sql: str) -> Reply:
        """The database's plan for a guarded statement."""
        with self._database.reading(10.0) as session:
            self._database.verify(session, sql, self._allowed_functions)
            return self._database.explained(session, sql)

    def run(self, sql: str, *, max_rows: int = 1000, timeout: float = 60.0) -> Rows:
        """Run one read-only statement; after ``timeout`` seconds it is stopped in the database.

        Raises:
            QueryRejected: The guard refuses it.
            QueryFailed: The database refused, failed, or was stopped by the time limit.
            Stopped: `interrupt` was called.
        """
        with self.values.waiting() if self.values else nullcontext(), self._database as database:
            before = self._interrupts
            import pandas  # noqa: F401, ICN001 - its first import takes a second, which is not the query's

            checked = self._guarded(sql)
            started = self._clock()
            try:
                with database.reading(timeout) as session:
                    if self._interrupts != before:  # while it was on its way here, where nothing could be cancelled
                        raise Stopped("The query was stopped.")
                    database.verify(session, checked, self._allowed_functions)
                    fetched = database.fetch(session, checked, max_rows, self.memory_cap)
            except QueryFailed as error:
                error.sql = checked
                raise
            seconds = self._clock() - started
            left = min(timeout - seconds, max(COUNT_SECONDS, seconds))
            total = len(fetched.df) if not fetched.more else fetched.total
            if total is None:
                total = self._count(checked, len(fetched.df.columns), left)
            identity = database.identity() if fetched.more else ""
        return Rows(fetched.df, total, fetched.more, seconds, fetched.note, fetched.remarks, identity)

    def _count(self, sql: str, columns: int, seconds: float) -> int | None:
        """The number of rows of a statement, or None when it takes too long or cannot be counted."""
        counting = count_sql(sql, self.dialect, columns)
        if counting is None or seconds <= 0:
            return None
        try:
            return int(self._database.rows(counting, seconds=seconds)[0][0])
        except QueryFailed:
            return None

    def _guarded(self, sql: str) -> str:
        """The statement that the guard makes of a query; the last proof holds as long as the catalog is the same."""
        catalog = self._tables()
        proven_by, query, statement = self._proof
        if proven_by is catalog and sql in {query, statement}:
            return statement
        try:
            statement = check(sql, self.dialect, catalog)
        except QueryRejected:
            if self._tables(sure=True) is catalog:
                raise
            catalog = self._tables()  # a table that came a moment ago
            statement = check(sql, self.dialect, catalog)
        self._proof = catalog, sql, statement
        return statement

    @property
    def _allowed_functions(self) -> frozenset[str]:
        """Functions of the user's that a query may call, as the catalog names them."""
        return frozenset(name.casefold() for catalog in self._catalogs.values() for name in catalog.functions)

    def interrupt(self) -> None:
        """Stop what runs, from another thread; harmless when nothing does."""
        self._interrupts += 1
        self._database.interrupt()

    def close(self) -> None:
        """Release what was opened here; a connection the user gave stays open."""
        keep_values(self, None, 0)
        self._database.close()

    def __enter__(self) -> Engine:
        """Hold the database open between calls, which spares opening a file again for each."""
        self._database.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._database.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def open_engine(target: object) -> Engine:
    """The engine for anything a person may call a connection; see `open_database`.

    Raises:
        ConnectionProblem: There is no such file or server, its package is missing, or it is no database.
        BadInput: The target is nothing that holds tables.

    Example:
        >>> import pandas as pd
        >>> engine = open_engine({"sales": pd.DataFrame({"region": ["N", "S"], "amount": [1, 2]})})
        >>> engine.run("SELECT sum(amount) AS total FROM sales").df["total"].tolist()
        [3]
    """
    return Engine(open_database(target))


def keep_values(engine: Engine, folder: Path | None, megabytes: int) -> None:
    """Keep an index of an engine's values in a folder, so large at most; none with 0 or no folder: `ValueKeeper`."""
    wanted = folder is not None and megabytes > 0
    if engine.values is not None and not wanted:
        engine.values.close()
        engine.values = None
    elif engine.values is None and folder is not None and wanted:
        from rsql_magic.databases.value_keeping import ValueKeeper

        engine.values = ValueKeeper(engine._database, folder, megabytes, engine._clock)  # noqa: SLF001 - its own module


# Runs work in the main thread, waits for it, and returns its result.
MainThreadExecutor = Callable[[Callable[[], Any]], Any]


class _Executed:
    """An engine whose every attribute is read, and every call made, by an executor."""

    def __init__(self, engine: Engine, executor: MainThreadExecutor) -> None:
        self._engine, self._executor = engine, executor

    def __getattr__(self, name: str) -> Any:
        found = self._executor(lambda: getattr(self._engine, name))
        if not callable(found):
            return found
        return lambda *args, **options: self._executor(lambda: found(*args, **options))


def executed_by(engine: Engine, executor: MainThreadExecutor) -> Engine:
    """An engine whose calls an executor makes.

    Example:
        >>> import pandas as pd
        >>> calls = []
        >>> there = executed_by(open_engine({"t": pd.DataFrame({"a": [1, 2]})}), lambda work: calls.append(1) or work())
        >>> there.run("SELECT sum(a) AS s FROM t").df["s"].tolist(), bool(calls)
        ([3], True)
    """
    return cast("Engine", _Executed(engine, executor))
