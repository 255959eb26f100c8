"""The value index of a connection: where it is kept, when it is filled, and how much it covers."""

# Where the database has a second connection, a thread fills the index: it works half of the time at most, and stops
# while a query of the user's runs. What can be read by the user's own connection only (frames, SQLite in memory) is
# read in slices of a question's time. The index of what ends with the session is kept in memory. A file that others
# may want to write (DuckDB's) is read while a question is answered only, when this kernel has it anyhow.

from __future__ import annotations

import atexit
import hashlib
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.databases.value_building import ValueBuilder
from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput, ConnectionProblem, RsqlError
from rsql_magic.knowledge import Kept, ValueIndex, ValueStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.databases.base import Database
    from rsql_magic.sql import Table

# Seconds of a question's time that a slice may take.
SLICE = 0.05
# Megabytes and blocks of an index that is kept in memory.
_IN_MEMORY, _BLOCKS_OF_A_SLICE = 64, 16
# Seconds between two looks for changes: so many, and so many times what the last look took.
_BETWEEN, _TIMES = 10.0, 20.0
_COSTLY = "Reading all values of this kind of database may cost money or much time: it has no value index."
# Seconds in which what is being read is stopped once.
_PATIENCE = 3.0
# Longest rest between two steps, in seconds.
_REST = 0.2


def values_folder(environ: Mapping[str, str]) -> Path | None:
    """The folder of the value indexes, in the user's cache; None where ``RSQL_VALUES`` is ``off``.

    Example:
        >>> values_folder({"XDG_CACHE_HOME": "/tmp/cache"}).as_posix(), values_folder({"RSQL_VALUES": "off"})
        ('/tmp/cache/rsql/values', None)
    """
    if environ.get("RSQL_VALUES", "").lower() == "off":
        return None
    return Path(environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser(), "rsql", "values")


@dataclass(frozen=True)
class Coverage:
    """How far an index is, for people."""

    place: str  # its file, or where else it is
    megabytes: float  # its size
    columns: tuple[Kept, ...]  # what is known of columns
    done: int  # columns that the pass under way has looked at
    total: int  # columns that it is about; 0 where none is under way
    problem: str = ""  # why it is not filled further


class ValueKeeper:
    """The index of one database; everything may be called by any thread but `begin`, which is called by the database's.

    Args:
        database: The connection in use.
        folder: Where indexes are kept.
        megabytes: How large one may become.
        clock: Seconds that only go up.
    """

    def __init__(
        self, database: Database, folder: Path, megabytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._folder, self._megabytes, self._clock = database, folder, megabytes, clock
        self.failure = ""  # why it was given up
        self._passes = False  # whether that may pass: another program has the file open, say
        self._path: Path | None = None
        self._store: ValueStore | None = None
        self._twin: Database | None = None
        self._index: ValueIndex | None = None
        self._builder: ValueBuilder | None = None
        self._steps: Iterator[None] | None = None
        self._thread: threading.Thread | None = None
        self._is_free, self._ended = threading.Event(), threading.Event()
        self._is_free.set()
        self._not_before = 0.0
        self._stopped = float("-inf")  # when a query went first last

    @property
    def index(self) -> ValueIndex | None:
        """What can be looked up now; None as long as nothing can."""
        if self._index is None and not self.failure and self._path is not None and self._path.exists():
            try:
                self._index = ValueIndex(ValueStore(self._path))
            except RsqlError as error:
                self._give_up(error)
        return self._index

    @property
    def coverage(self) -> Coverage:
        """How far the index is."""
        index = self.index
        is_building = self._steps is not None
        done, total = (self._builder.done, self._builder.total) if is_building and self._builder else (0, 0)
        columns, size = (tuple(index.columns), index.bytes / 2**20) if index else ((), 0.0)
        problem = self.failure or ("" if self._database.may_read_all_values else _COSTLY)
        return Coverage(str(self._path or "memory"), size, columns, done, total, problem)

    def begin(self, tables: Sequence[Table]) -> None:
        """Look for what has changed and read it: a slice of it here, or all in a thread."""
        self._is_free.set()
        if not self._database.may_read_all_values:
            return
        if (
            (self.failure and not self._passes)
            or self._ended.is_set()
            or self._is_at_work
            or (self._steps is None and self._clock() < self._not_before)
        ):
            return
        try:
            self._begin(tables)
        except RsqlError as error:
            self._give_up(error)

    @property
    def _is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _begin(self, tables: Sequence[Table]) -> None:
        self.failure = ""
        if self._twin is None:
            self._twin = self._database.twin()
            identity = self._database.identity() if self._twin else ""
            if identity:
                self._path = self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.db"
            else:
                self._keep_in_memory()
        if self._twin is None:
            self._slice(tables)
            return
        self._thread = threading.Thread(target=self._fill, args=[list(tables)], name="rsql values", daemon=True)
        atexit.register(self.close)
        self._thread.start()

    def _keep_in_memory(self) -> None:
        if self._store is None:
            self._store = ValueStore(None)
            self._index = ValueIndex(self._store)
            self._megabytes = min(self._megabytes, _IN_MEMORY)

    def _slice(self, tables: Sequence[Table]) -> None:
        """Go on in this thread, for a moment."""
        assert self._store is not None  # noqa: S101 - set before
        if self._steps is None:
            self._builder = ValueBuilder(self._database, self._store, self._megabytes, _BLOCKS_OF_A_SLICE)
            self._steps = self._builder.steps(tables)
        end = self._clock() + SLICE
        while self._clock() < end:
            if next(self._steps, self) is self:
                self._finished()
                return

    def _finished(self) -> None:
        self._steps = None
        self._not_before = self._clock() + _BETWEEN

    def _fill(self, tables: Sequence[Table]) -> None:
        """Read what has changed, resting as long as working, and not while a query runs; in a thread."""
        assert self._twin is not None  # noqa: S101 - set before
        began = self._clock()
        try:
            store = self._store or ValueStore(self._path, write=True)
            try:
                with store.writing() as is_ours:
                    if not is_ours:
                        return
                    self._builder = ValueBuilder(self._twin, store, self._megabytes)
                    self._steps = self._builder.steps(tables)
                    self._go_through(self._twin, self._steps)
            finally:
                self._steps = None
                if store is not self._store:
                    store.close()
        except RsqlError as error:
            self._give_up(error)
        except Exception as error:
            log.debug("the values of a database cannot be kept", exc_info=True)
            self._give_up(error)
        self._not_before = self._clock() + max(_BETWEEN, _TIMES * (self._clock() - began))

    def _go_through(self, twin: Database, steps: Iterator[None]) -> None:
        while not self._ended.is_set():
            self._is_free.wait()
            started = self._clock()
            with twin:  # whoever has the file rest does so before this look, or after the step
                if not self._is_free.is_set():
                    continue
                if self._ended.is_set() or next(steps, self) is self:
                    return
            self._ended.wait(min(self._clock() - started, _REST))

    def _give_up(self, error: BaseException) -> None:
        self._steps = None
        self._passes = isinstance(error, ConnectionProblem)
        self.failure = (
            str(error) if isinstance(error, RsqlError) else f"The value index failed: {type(error).__name__}."
        )

    @contextmanager
    def spared(self) -> Iterator[None]:
        """An index that fails in a look-up is given up, and nothing else fails."""
        try:
            yield
        except BadInput as error:
            self._give_up(error)
            self._index = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Somebody's query goes first: what is being read is stopped, and read again later.

        What was stopped a moment ago is not stopped again, so that many queries in a row do not keep it from ending.
        """
        was_free = self._is_free.is_set()
        self._is_free.clear()
        if self._twin is not None and self._clock() - self._stopped > _PATIENCE:
            self._stopped = self._clock()
            self._twin.interrupt()
        try:
            yield
        finally:
            if was_free:
                self._is_free.set()

    def rest(self) -> None:
        """The question is answered: leave a file alone that others may want to write."""
        if self._twin is not None and self._twin.keeps_others_out:
            self._is_free.clear()
            self._twin.interrupt()
            with self._twin:  # until it has let go
                pass

    def close(self) -> None:
        """Stop, and close the file; what was finished stays."""
        atexit.unregister(self.close)
        self._ended.set()
        self._is_free.set()
        if self._twin is not None:
            self._twin.interrupt()
        if self._is_at_work and self._thread is not threading.current_thread() and self._thread is not None:
            self._thread.join(5.0)
        if self._twin is not None and not self._is_at_work:
            self._twin.close()
        if self._index is not None:
            self._index.close()
            self._index = None
