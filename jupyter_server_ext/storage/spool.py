"""A ledger on another machine that may be away: what it cannot take is kept on this one's disk, and delivered later.

An entry that the database does not take in time goes to a file, where it is as durable. A thread delivers what is in
the file as soon as the database is back; since a repeated delivery of an entry changes nothing there, nothing is lost
or doubled however often that is broken off. The file is emptied when all of it has arrived, and locked as long as its
gateway lives.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec
import sqlalchemy as sa

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.messages import Entry
from jupyter_server_ext.storage.sql import SqlLedgerStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")
_Line = tuple[Literal["begin", "finish"], Entry]
_CHUNK = 500  # entries in one transaction of a delivery
_AWAY = (
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError),  # gone, stopping, full, read-only
    *(sa.exc.TimeoutError, TimeoutError),
)


class SpoolFile:
    """Entries in a file of this machine, one line each, on disk when ``append`` returns.

    Args:
        file: Its descriptor.

    Example:
        >>> import tempfile, pathlib
        >>> spool = SpoolFile.open(pathlib.Path(tempfile.mkdtemp()) / "a.spool")
        >>> spool.append("finish", [Entry("r1", at=0.0, caller="ada")])
        >>> [kind for kind, entry in spool.read(0)], spool.clear_up_to(spool.size), spool.size
        (['finish'], True, 0)
        >>> spool.close()
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._drop_torn_line()

    @classmethod
    def open(cls, path: Path) -> SpoolFile | None:
        """The file; None when another gateway has it.

        Args:
            path: Made when it is missing, readable for its owner only.

        Raises:
            ConfigError: It cannot be written.
        """
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"The spool {path} cannot be written ({error.strerror}). Name another folder by 'spool' in [storage]."
            ) from None
        if not _lock(file):
            os.close(file)
            return None
        return cls(file)

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._file).st_size

    def append(self, kind: Literal["begin", "finish"], entries: Iterable[Entry]) -> None:
        """Add entries, durably or not at all.

        Raises:
            OSError: The disk is full, or fails.
        """
        lines = b"".join(msgspec.json.encode((kind, entry)) + b"\n" for entry in entries)
        start = self.size
        try:
            while lines:
                lines = lines[os.pwrite(self._file, lines, self.size) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, start)
            raise

    def read(self, start: int, end: int | None = None) -> Iterator[_Line]:
        """What stands between two places."""
        decoder = msgspec.json.Decoder(_Line)
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(start)
            while (end is None or file.tell() < end) and (line := file.readline()):
                yield decoder.decode(line)

    def clear_up_to(self, end: int) -> bool:
        """Empty it, unless more has come since it had this size."""
        if self.size > end:
            return False
        os.ftruncate(self._file, 0)
        os.fsync(self._file)
        return True

    def close(self) -> None:
        """Let another have it."""
        os.close(self._file)

    def _drop_torn_line(self) -> None:
        """A line without its end was being written when the machine or the gateway died; nobody saw it answered."""
        end = self.size
        while end and os.pread(self._file, 1, end - 1) != b"\n":
            end -= 1
        os.ftruncate(self._file, end)


class SpooledLedgerStore(SqlLedgerStore):
    """A ledger whose database may be away while the gateway runs.

    Args:
        url: ``postgresql://…``.
        instance: As in ``SqlLedgerStore``.
        zone: As in ``SqlLedgerStore``.
        spool: Where entries go while it is away; what is there from before is delivered at once.
        patience: Seconds after which it is away.
        retry_seconds: Pause between two attempts to deliver.

    Raises:
        ConfigError: The database cannot be opened at the start, or the spool cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        instance: str,
        zone: str = "UTC",
        spool: SpoolFile,
        patience: float = 2.0,
        retry_seconds: float = 1.0,
    ) -> None:
        self._spool = spool
        self._patience = patience
        self._retry_seconds = retry_seconds
        self._turn = threading.Lock()  # held while it is decided where entries go
        self._closing = threading.Event()
        self._courier: threading.Thread | None = None
        super().__init__(url, instance=instance, zone=zone)
        if spool.size:
            self._go_away()

    def begin(self, begun: Sequence[Entry]) -> None:
        """See ``LedgerStore.begin``."""
        self._write("begin", super().begin, begun)

    def finish(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        """See ``LedgerStore.finish``."""
        if begun:
            self.begin(begun)
        written = self._write("finish", super().finish, ended)
        return len(ended) if written is None else written

    def close(self) -> None:
        """Deliver what can be delivered at once; the rest stays in the file."""
        self._closing.set()
        if self._courier is not None:
            self._courier.join(2 * self._patience)
        super().close()
        if self._courier is None or not self._courier.is_alive():
            self._spool.close()

    def _write(
        self, kind: Literal["begin", "finish"], write: Callable[[Sequence[Entry]], T], entries: Sequence[Entry]
    ) -> T | None:
        with self._turn:
            if not self.is_away:
                try:
                    return self._in_time(write, entries)
                except _AWAY:
                    self._go_away()
            self._spool.append(kind, entries)
            return None

    def _in_time(self, write: Callable[[Sequence[Entry]], T], entries: Sequence[Entry]) -> T:
        """What the database says, or TimeoutError; what it does later changes nothing that is delivered by then."""
        written: Future[T] = Future()
        threading.Thread(target=_carry_out, args=(written, write, entries), name="rsql-store", daemon=True).start()
        return written.result(self._patience)

    def _go_away(self) -> None:
        self.is_away = True
        self._courier = threading.Thread(target=self._deliver, name="rsql-courier", daemon=True)
        self._courier.start()

    def _deliver(self) -> None:
        """Try until everything has arrived."""
        done = 0
        while self.is_away:
            try:
                done = self._deliver_from(done)
            except _AWAY:
                if self._closing.wait(self._retry_seconds):
                    return

    def _deliver_from(self, start: int) -> int:
        end = self._spool.size
        lines = list(self._spool.read(start, end))
        over = {(entry.request_id, entry.attempt) for kind, entry in lines if kind == "finish"}
        begun = [entry for kind, entry in lines if kind == "begin" and (entry.request_id, entry.attempt) not in over]
        ended = [entry for kind, entry in lines if kind == "finish"]
        for some in _chunks(begun):
            super().begin(some)
        for some in _chunks(ended):
            super().finish(some)
        with self._turn:
            if self._spool.clear_up_to(end):
                self.is_away = False
        return end


def _carry_out(written: Future[T], write: Callable[[Sequence[Entry]], T], entries: Sequence[Entry]) -> None:
    """Write in a thread of its own: one that hangs does not keep the gateway from ending."""
    try:
        written.set_result(write(entries))
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        written.set_exception(error)


def _chunks(entries: list[Entry]) -> Iterator[list[Entry]]:
    for start in range(0, len(entries), _CHUNK):
        yield entries[start : start + _CHUNK]


def _lock(file: int) -> bool:
    """Whether nobody else has the file; where there are no locks, nobody is asked."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
