"""What all databases share: connecting, reading within a time limit, and giving everything back as it was."""

# A subclass of `Database` holds all that is particular to one database: its connection and read-only layers, its
# catalog queries, its samples, and how it verifies and runs a guarded statement. `Database.reading` is the only way in:
# whatever happens inside is cancelled when the time is up, and rolled back at the end.

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import re
import threading
from _thread import start_new_thread
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from rsql_magic.diagnostics import ignoring, log
from rsql_magic.errors import ConnectionProblem, QueryFailed, QueryRejected, RsqlError, Stopped
from rsql_magic.sql import always_quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import pandas as pd

    from rsql_magic.sql import Profile, Table

Reply = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Plan:
    """A query's plan, estimated and not run."""

    text: str  # the steps, one a line, each indented below the one it feeds
    rows: int | None = None  # rows the result is expected to have, or None
    # Rows that all steps together are expected to handle, or None. Large numbers warn of a slow query.
    work: int | None = None

    def __str__(self) -> str:
        return self.text


class Step(NamedTuple):
    """A step of a plan: its text, the rows that it is expected to give, and the steps that it takes its rows from."""

    text: str
    rows: int | None
    before: tuple[Step, ...]


def plan_of_steps(last: Step) -> Plan:
    """A plan from its last step."""
    steps = list(_indented(last, 0))
    estimates = [rows for _, rows in steps if rows is not None]
    return Plan("\n".join(text for text, _ in steps), estimates[0] if estimates else None, sum(estimates))


def _indented(step: Step, depth: int) -> Iterator[tuple[str, int | None]]:
    yield "  " * depth + (step.text if step.rows is None else f"{step.text} (≈{step.rows:,} rows)"), step.rows
    for other in step.before:
        yield from _indented(other, depth + 1)


# Seconds between a cancel and the next one, while what it cancels goes on.
_AGAIN = 0.5
# Seconds between two looks at what else may stop a statement.
_LOOK = 0.1
# Rows of a table or view whose size is not known that a profile looks at.
SAMPLE = 10_000

# Rows of a table that is read as a whole for its values, where it has no parts.
_WHOLE = 500_000

Result = TypeVar("Result")
Reason = Literal["", "timeout", "stopped", "work"]
Failure = Literal["", "interrupted", "timeout", "dead"]


class Late(QueryFailed):
    """A statement of our own was given up because the time was up, which another time it may not be."""


@dataclass(frozen=True, slots=True)
class Picked:
    """What of a table is looked at for its profile."""

    source: str  # what stands behind FROM
    values: int  # how many values that reads, about
    limit: int | None = None  # the number of rows from which on it is a sample; None when it is never one
    few: str = ""  # some rows from all over the table, where these are read sooner than the first of `source`


@dataclass(frozen=True)
class Structure:
    """What a database says of itself, before any value is looked at."""

    tables: tuple[Table, ...]  # tables and views with columns and declared keys
    # By a table's full name, the column sets that a constraint or index makes unique.
    unique: Mapping[str, Sequence[tuple[str, ...]]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()  # what could not be read, one sentence each
    schema: str = ""  # Default schema.
    database: str = ""  # Default database or catalog.
    # The queries of its views by full name, where they may be read.
    definitions: Mapping[str, str] = field(default_factory=dict)
    # Partitions by full name, each with its whole table: they are no tables of the catalog.
    parts: Mapping[str, str] = field(default_factory=dict)


def grouped(rows: Sequence[tuple[Any, ...]]) -> dict[Any, list[tuple[Any, ...]]]:
    """Rows by their first value, without it."""
    groups: dict[Any, list[tuple[Any, ...]]] = {}
    for first, *rest in rows:
        groups.setdefault(first, []).append(tuple(rest))
    return groups


def whole(parts: Sequence[Structure], schema: str) -> Structure:
    """The structure of a database from those of its schemas, of which one is the default."""
    return Structure(
        tuple(table for part in parts for table in part.tables),
        {name: sets for part in parts for name, sets in part.unique.items()},
        tuple(problem for part in parts for problem in part.problems),
        schema,
        definitions={name: sql for part in parts for name, sql in part.definitions.items()},
    )


@dataclass(frozen=True)
class Fetched:
    """Rows as they came from a driver."""

    df: pd.DataFrame  # at most as many as asked for
    more: bool  # true when the database has more
    note: str = ""  # Why, when it was not the row cap.
    total: int | None = None  # how many there are, where the database says so by itself
    remarks: tuple[str, ...] = ()  # which values are not as they are stored, a sentence for each column


class Watch:
    """Cancels what runs when its time is up or someone asks, and remembers which it was.

    ``cancel`` is called from another thread, again and again until the block ends. ``seconds`` is None for a database
    that keeps the time itself.

    Example:
        >>> with Watch(lambda: print("cancelled"), seconds=60) as watch:
        ...     watch.stop("stopped")
        cancelled
    """

    def __init__(self, cancel: Callable[[], None], seconds: float | None) -> None:
        self.reason: Reason = ""
        self.excess = ""  # for the reason "work", what there was too much of, in one sentence
        self._cancel, self._seconds, self._over = cancel, seconds, False
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._looking = threading.Lock()
        self._look: Callable[[], str] | None = None
        self._looks: threading.Timer | None = None

    def stop(self, reason: Reason) -> None:
        """Cancel, unless it is over; the lock keeps a late timer from cancelling the user's next query."""
        with self._lock:
            if not self._over:
                self.reason = self.reason or reason
                self._cancel()
                # Drivers forget a cancel that comes between two statements, and the next may never end.
                self._timer = _rings(self._timer, _AGAIN, self.stop, reason)

    @contextmanager
    def also(self, look: Callable[[], str]) -> Iterator[None]:
        """Meanwhile ask every tenth of a second, in another thread, what there is too much of; mostly an empty text."""
        self._look = look
        self._looks = _rings(self._looks, _LOOK, self._look_again)
        try:
            yield
        finally:
            with self._looking:  # whoever looks now comes to an end
                self._look = None
                self._looks.cancel()

    def _look_again(self) -> None:
        with self._looking:
            if self._look is None or self.reason:
                return
            if not (excess := self._look()):
                self._looks = _rings(self._looks, _LOOK, self._look_again)
                return
        self.excess = excess
        self.stop("work")

    def __enter__(self) -> Watch:
        if self._seconds is not None:
            self._timer = _rings(self._timer, self._seconds, self.stop, "timeout")
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
            # A cancelled timer's thread takes a moment to end: it must not be the last to hold a database, which would
            # then be closed there, maybe while the process ends. DuckDB aborts it then.
            self._cancel = _nothing
        for timer in filter(None, (self._timer, self._looks)):
            timer.cancel()
        # Timers hold this watch: a ring that would keep the connection alive.
        self._timer = self._looks = self._look = None


def _nothing() -> None:
    """What a watch that is over cancels."""


def _rings(
    before: threading.Timer | None, seconds: float, what: Callable[..., None], *given: Reason
) -> threading.Timer:
    """A timer in place of another."""
    if before:
        before.cancel()
    timer = threading.Timer(seconds, what, given)
    timer.daemon = True  # a kernel that ends waits for no time limit
    timer.start()
    return timer


class Borrowed(ABC):
    """A connection that is borrowed: opened or lent, read within a time limit, and given back as it was."""

    dialect: str = ""  # sqlglot's name of its SQL
    name: str = ""  # what it is called in messages; holds no password
    secrets: tuple[str, ...] = ()  # passwords that must not appear in a message
    lent: Any = None  # what a pool lent the connection by; it is given back when this is forgotten

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._held = 0
        self._holding = threading.RLock()

    @abstractmethod
    def connection(self) -> Any:
        """The open connection, opened when it is not."""

    def release(self) -> None:
        """Give up what `connection` opened, so that others can use the file; it opens again when needed."""
        return

    @abstractmethod
    def transaction(self, connection: Any, seconds: float) -> Any:
        """A context manager: a read-only transaction, always rolled back, yielding what executes statements."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop the running statement; called from another thread. It fails where the connection has just ended."""

    def try_to_cancel(self) -> None:
        """Stop the running statement where that can be done; what is gone, the statement itself tells."""
        with ignoring("stopping a statement"):
            self.cancel()

    def run(self, session: Any, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of one of our own statements, inside `reading`."""
        return self.interruptible(lambda: self.run_here(session, sql, parameters))

    def interruptible(self, work: Callable[[], Result]) -> Result:
        """Do something with the connection so that Ctrl-C stops it."""
        return interruptible(work, self.interrupt)

    @abstractmethod
    def run_here(self, session: Any, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """`run`, in this thread."""

    def close(self) -> None:
        """Release everything that is ours; a connection the user gave stays open."""
        self.release()

    @contextmanager
    def reading(self, seconds: float) -> Iterator[Any]:
        """A read-only transaction that is cancelled after so many seconds, and always rolled back."""
        # On Ctrl-C the statement is cancelled first; a driver's error becomes one of ours (`_explained`).
        with self, Watch(self.try_to_cancel, seconds) as watch:
            self._watch = watch
            try:
                with self.transaction(self.connection(), seconds) as session:
                    yield session
            except RsqlError:
                raise
            except BaseException as error:
                log.debug("a statement has failed", exc_info=True)
                raise _explained(self, error, watch, seconds) from None
            finally:
                self._watch = None

    def rows(self, sql: str, parameters: Sequence[object] = (), *, seconds: float = 30.0) -> list[tuple[Any, ...]]:
        """All rows of one of our own statements, such as a catalog query."""
        with self.reading(seconds) as session:
            return self.run(session, sql, parameters)

    def interrupt(self) -> None:
        """Stop what is running, from any thread; nothing happens when nothing is."""
        if (watch := self._watch) is not None:
            watch.stop("stopped")

    def failure(self, _error: BaseException, /) -> Failure:
        """What a driver's error means: Ctrl-C, the database's own time limit, a connection that is gone, or neither."""
        return ""

    def message(self, error: BaseException, /) -> str:
        """What the database says of an error."""
        return driver_message(error)

    def __enter__(self) -> Self:
        self._holding.acquire()
        self._held += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._held -= 1
            if not self._held:
                self.release()
        finally:
            self._holding.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Database(Borrowed):
    """One database; as a context manager it stays open in between, which spares opening a file for every call.

    Example:
        >>> from rsql_magic.databases import open_database
        >>> import sqlite3
        >>> with open_database(sqlite3.connect(":memory:")) as database:
        ...     database.rows("SELECT 1")
        [(1,)]
    """

    text_type = "VARCHAR"  # what a value is cast to, to be read as text
    letters = "{}"  # a text as what tells ``New`` from ``new``, where the database itself need not
    explain = "EXPLAIN "  # what stands before a query to get its plan
    values_read = 2_000_000  # values that are read to describe all tables: about a second of work
    values_of_a_statement = 10_000  # values whose reading takes as long as to begin with a table
    keeps_others_out = False  # whether nobody can write to it as long as it is open here
    may_read_all_values = False  # whether reading all values for an index costs nothing but some time
    knows_work_of_views = False  # whether it is known before, and bounded, how much work a view is
    schemes: tuple[str, ...] = ()  # of a plug-in's class: of URLs that it opens, such as ``acme`` for ``acme://host``
    connection_types: tuple[str, ...] = ()  # of a plug-in's class: what it takes, such as ``acme.Connection``

    @classmethod
    def opened(cls, target: Any) -> Database:
        """The database behind a URL or connection that a plug-in's class takes.

        Raises:
            ConnectionProblem: There is none, or it does not answer.
        """
        raise NotImplementedError(f"{cls.__name__} opens no {type(target).__name__}.")

    def fetch(self, session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
        """Run a guarded statement inside `reading` and take its first rows: so many, and so many bytes at most."""
        return self.interruptible(lambda: self.fetch_here(session, sql, max_rows, memory))

    @abstractmethod
    def fetch_here(self, session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
        """`fetch`, in this thread."""

    def verify(self, session: Any, sql: str, allowed: frozenset[str], /) -> None:
        """Refuse a guarded statement whose names stand for something else in this very database."""
        # The guard knows names by their text. Here the database is asked, inside the transaction that will run the
        # statement and before it plans anything, since planning may already read a file or run a function. `allowed`
        # are functions of the user's that a query may call, in lower case.

    def explained(self, session: Any, sql: str) -> Reply:
        """The database's plan for a guarded query, for `read_plan`."""
        return self.run(session, self.explain + sql)

    def read_plan(self, rows: Reply, /) -> Plan:
        """A plan from what `explained` gave."""
        return Plan("\n".join(" ".join(str(part) for part in row if part is not None) for row in rows))

    @abstractmethod
    def state(self) -> Hashable:
        """Something cheap that is different after a table was created, changed or dropped."""

    @abstractmethod
    def structure(self) -> Structure:
        """Tables, columns, comments and keys, read with a fixed number of catalog queries."""

    def values(self) -> frozenset[str]:
        """Names of columns that are values wherever they stand: of frames, which know more than a database does."""
        return frozenset()

    def statistics(self, _tables: Sequence[Table], /) -> Mapping[str, dict[str, Profile]]:
        """Profiles that the database keeps itself, by table and column, read in one query for all these tables."""
        return {}

    def query_log(self, _most: int, /) -> list[str]:
        """Queries that were run in this database, the most frequent first; none where it keeps no log or shows none."""
        return []

    def learn(self, _table: Table, _found: Mapping[str, Profile], /) -> None:
        """Take what was found out about a table's columns; most databases need not remember it."""

    def sample(self, table: Table) -> Picked | None:
        """What to profile of a table, the same each time; None where that would be too much work."""
        # By default the first rows, in the order in which the table is read.
        source = f"(SELECT * FROM {self.full_name(table)} LIMIT {SAMPLE}) AS picked"
        return Picked(source, SAMPLE * len(table.columns), SAMPLE)

    # What a value index needs (`value_building`).

    def identity(self) -> str:
        """What tells this database from others, without secrets; empty for one that ends with the session."""
        return ""

    def twin(self) -> Database | None:
        """The same database by another connection, for a thread of its own; None where there is none."""
        return None

    def parts(self, table: Table) -> Iterator[str]:
        """What stands behind FROM, to read a table in parts of a fraction of a second.

        Raises:
            QueryFailed: It is large, and has no parts.
        """
        if table.rows is None or table.rows > _WHOLE:
            raise QueryFailed(f"{table.full_name} cannot be read in parts.")
        yield self.full_name(table)

    def mark(self, table: Table, columns: Sequence[str], /) -> str:  # noqa: ARG002 - for databases that can tell
        """Something cheap that is different after texts of a table have changed; empty where nothing tells."""
        return ""

    def bounded_rows(self, sql: str, *, seconds: float) -> list[tuple[Any, ...]]:
        """All rows of one of our own statements about values, with a bound on its work where there is one."""
        return self.rows(sql, seconds=seconds)

    def quoted(self, name: str) -> str:
        """A name in quotes, for our own statements."""
        return always_quoted(name, self.dialect)

    def full_name(self, table: Table) -> str:
        """A table's qualified name, every part in quotes."""
        return ".".join(self.quoted(part) for part in (table.database, table.schema, table.name) if part)

    def time_zone(self) -> str:
        """The session's time zone, or an empty text when it cannot be told."""
        return ""


def _explained(database: Borrowed, error: BaseException, watch: Watch, seconds: float) -> BaseException:
    """The error a user sees in place of a driver's."""
    failure, reason = database.failure(error), watch.reason
    if isinstance(error, KeyboardInterrupt) or (not reason and failure == "interrupted"):
        return KeyboardInterrupt()
    if reason == "timeout" or failure == "timeout":
        hint = "Ask for less, or allow more time with --timeout."
        return Late(f"The query was stopped after {seconds:g} s.", hint=hint)
    if reason:
        too_much = QueryFailed(f"The query was stopped: {watch.excess or 'it is too much work.'}", hint="Ask for less.")
        return Stopped("The query was stopped.") if reason == "stopped" else too_much
    if not isinstance(error, Exception) or isinstance(error, (TypeError, AttributeError, AssertionError)):
        return error
    if failure == "dead":
        hint = "Connect again and pass the new one."
        return ConnectionProblem(f"The connection to {database.name} is closed.", hint=hint)
    message, hint = shorten(scrub(database.message(error), database.secrets))
    return QueryFailed(message, hint=hint)


def user_function_refused(name: str, what: str, hint: str) -> QueryRejected:
    """The refusal of a function that is none of the database's own."""
    return QueryRejected.slip(f"{name} is {what}, and it may do anything.", name, hint)


def interruptible(work: Callable[[], Result], stop: Callable[[], None]) -> Result:
    """Do something in a thread, so that Ctrl-C reaches this one within a moment; ``stop`` makes the work end.

    Whenever Ctrl-C comes, the work has ended or never begins when `KeyboardInterrupt` is raised: nobody else may use a
    connection before.
    """
    # Python handles a signal between two steps of the main thread, and a driver that waits in C code takes none. The
    # main thread does not wait for good either: the system may hand the signal to any other thread. `Thread.start` and
    # `Future` take several steps, and a signal between two of them leaves their locks taken; these here take one each.
    results: list[Result] = []
    errors: list[BaseException] = []
    begun, ended = Lock(), Lock()
    to_do = [work]  # nothing of it is held by the thread when that has told of its end, as by a watch that is over

    def settle() -> None:
        if begun.acquire(blocking=False):
            try:
                results.append(to_do.pop()())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                errors.append(error)
            ended.release()

    ended.acquire()
    try:
        start_new_thread(settle, ())
        while not ended.acquire(timeout=0.05):  # people notice a tenth of a second
            pass
    except KeyboardInterrupt:
        if not begun.acquire(blocking=False):
            stop()
            while not (results or errors):
                ended.acquire(timeout=0.05)
        raise
    if errors:
        raise errors[0]
    return results[0]


def driver_message(error: BaseException) -> str:
    """What the database said, without what a driver or SQLAlchemy wraps around it."""
    error = getattr(error, "orig", None) or error
    texts = [part for part in error.args if isinstance(part, str)]
    return texts[-1] if texts else str(error) or type(error).__name__


_POINTER = re.compile(r"\n\s*LINE \d+:.*?(?:\n[ \t]*\^[^\n]*|\Z)", re.DOTALL)
_HINT = re.compile(
    r"\n\s*(?:HINT:\s*|(?=Did you mean|Candidate bindings|Candidate functions|Candidate tables))(.*)", re.DOTALL
)


def shorten(text: str, limit: int = 400) -> tuple[str, str]:
    r"""An engine's message and its hint, without the echo of the statement.

    Example:
        >>> shorten('no column "nme"\nLINE 1: select nme\n               ^\nHINT:  Perhaps you meant "name".')
        ('no column "nme".', 'Perhaps you meant "name".')
    """
    text = _POINTER.sub("", "\n" + text.strip())
    hint = _HINT.search(text)
    message = text[: hint.start()] if hint else text
    return _sentence(message, limit), _sentence(hint[1], limit) if hint else ""


def _sentence(text: str, limit: int) -> str:
    text = " ".join(text.split())
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text if not text or text[-1] in ".!?…" else text + "."


_USER_INFO = re.compile(r"(?<=://)[^\s/]*(?=@)")


def scrub(text: str, secrets: Sequence[str] = ()) -> str:
    """A text without passwords: those given, and whatever stands before an ``@`` in a URL.

    Example:
        >>> scrub("cannot reach postgresql://ann:hunter2@db/shop")
        'cannot reach postgresql://…@db/shop'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return _USER_INFO.sub("…", text)


def stamp(path: str) -> tuple[int, int] | None:
    """Time of the last change and size of a file, or None when there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
