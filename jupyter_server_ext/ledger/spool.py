"""A ledger on another machine that may be away: what it cannot take is kept on this one's disk, and delivered later."""

# An entry that the database does not take in time goes to a file, where it is as durable. A thread delivers what is in
# the file as soon as the database is back; since a repeated delivery of an entry changes nothing there, nothing is lost
# or doubled however often that is broken off. The file is emptied when all of it has arrived, and locked as long as its
# gateway lives.

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace
from tornado.log import app_log

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger.files import lock, open_private
from jupyter_server_ext.ledger.ledger import RowsRefused
from jupyter_server_ext.ledger.rows import is_of_a_row, stand_in
from jupyter_server_ext.ledger.sql import SqlLedgerStore
from jupyter_server_ext.messages import Entry, as_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from jupyter_server_ext.ledger.analytics import SqlAnalytics
    from jupyter_server_ext.ledger.api_keys import SqlApiKeys
    from jupyter_server_ext.ledger.changes import SqlChanges
    from jupyter_server_ext.ledger.files import ChainHead
    from jupyter_server_ext.ledger.notes import SqlNotes
    from jupyter_server_ext.ledger.rows import ForgottenCallers

T = TypeVar("T")
U = TypeVar("U", bound="Entry | KeptAnswer")
V = TypeVar("V")
Kind = Literal["begin", "finish", "keep"]
_A_DAY = 86_400.0  # for which an answer is kept
_CHUNK = 500  # entries in one transaction of a delivery
_AWAY = (
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError),  # gone, stopping, full, read-only
    *(sa.exc.TimeoutError, TimeoutError),
)


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer for repeats, as ``SqlLedgerStore.keep_answer`` is given it."""

    name: str
    caller: str
    answer: bytes
    until: float


class SpoolLine(NamedTuple):
    """One line: what is to be done with a thing, and where the line stands."""

    kind: Kind
    thing: Entry | KeptAnswer
    at: int


class SpoolFile:
    """Entries in a file of this machine, one line each, on disk when ``append`` returns.

    Example:
        >>> import tempfile, pathlib
        >>> spool = SpoolFile.open(pathlib.Path(tempfile.mkdtemp()) / "a.spool")
        >>> _ = spool.append("finish", [Entry("r1", at=0.0, caller="ada")])
        >>> [line.kind for line in spool.read(0)], spool.clear_up_to(spool.size), spool.size
        (['finish'], True, 0)
        >>> spool.close()
    """

    def __init__(self, file: int) -> None:
        self._file = file  # its descriptor
        self._drop_torn_line()

    @classmethod
    def open(cls, path: Path) -> SpoolFile | None:
        """The file, made for its owner only when it is missing; None when another gateway has it.

        Raises:
            ConfigError: It cannot be written.
        """
        try:
            file = open_private(path)
        except OSError as error:
            advice = "Name another folder by 'spool' in [storage]."
            raise ConfigError(f"The spool {path} cannot be written ({error.strerror}). {advice}") from None
        try:
            lock(file)
        except OSError:
            os.close(file)
            return None
        return cls(file)

    @property
    def size(self) -> int:
        """Bytes in it."""
        return os.fstat(self._file).st_size

    def append(self, kind: Kind, things: Iterable[Entry | KeptAnswer]) -> int:
        """Add lines, durably or not at all; where they begin.

        Raises:
            OSError: The disk is full, or fails.
        """
        lines = b"".join(_line(kind, thing) for thing in things)
        start = self.size
        try:
            while lines:
                # A write may take only a part; each goes to the end as it then is.
                lines = lines[os.pwrite(self._file, lines, self.size) :]
            os.fsync(self._file)
        except OSError:
            # Half a group must not stand there: it would be delivered, and then written again.
            os.ftruncate(self._file, start)
            raise
        return start

    def read(self, start: int, end: int | None = None) -> Iterator[SpoolLine]:
        """What stands between two places."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(start)
            while (end is None or start < end) and (line := file.readline()):
                if (read := _decoded(line, start)) is not None:
                    yield read
                start += len(line)

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
        """Drop a line without its end: its writer died before the answer was seen."""
        end = self.size
        while end and os.pread(self._file, 1, end - 1) != b"\n":
            end -= 1
        os.ftruncate(self._file, end)


class SpooledLedgerStore(SqlLedgerStore):
    """A ledger whose database may be away while the gateway runs.

    Raises:
        ConfigError: The database cannot be opened at the start, or the spool cannot be used.
    """

    def __init__(
        self,
        url: str,  # ``postgresql://…``
        *,
        instance: str,  # as in ``SqlLedgerStore``, and so is the zone
        zone: str = "UTC",
        spool: SpoolFile,  # where entries go while it is away; what is there from before is delivered at once
        patience: float = 2.0,  # seconds after which it is away
        retry_seconds: float = 1.0,  # pause between two attempts to deliver
    ) -> None:
        self._spool = spool
        self._patience = patience
        self._retry_seconds = retry_seconds
        self._turn = threading.Lock()  # held while it is decided where entries go
        self._closing = threading.Event()
        self._courier: threading.Thread | None = None
        self._is_silent = False  # nothing is asked of it until a delivery has succeeded
        self._kept: dict[str, int] = {}  # where answers for repeats stand in the spool
        for kind, thing, at in spool.read(0):
            if kind == "keep" and isinstance(thing, KeptAnswer):
                self._kept.setdefault(thing.name, at)
        super().__init__(url, instance=instance, zone=zone)
        if spool.size:
            self._go_away(silent=False)

    def begin(self, begun: Sequence[Entry]) -> None:
        """See ``SqlLedgerStore.begin``."""
        self._write("begin", super().begin, begun)

    def finish(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        """See ``SqlLedgerStore.finish``."""
        refused: dict[tuple[str, int], str] = {}
        written: int | None = 0
        try:
            if begun:
                self.begin(begun)
        except RowsRefused as error:
            refused |= error.rows
        try:
            written = self._write("finish", super().finish, ended)
        except RowsRefused as error:
            refused |= error.rows
        if refused:
            raise RowsRefused(refused)
        return len(ended) if written is None else written

    def keep_answer(self, name: str, caller: str, answer: bytes, until: float) -> None:
        """See ``SqlLedgerStore.keep_answer``."""
        self._write("keep", self._keep_all, [KeptAnswer(name, caller, answer, until)])

    def kept_answer(self, name: str, now: float) -> bytes | None:
        """See ``SqlLedgerStore.kept_answer``; its own undelivered answers are known.

        Raises:
            TimeoutError: The database is away.
        """
        if name in self._kept:
            with self._turn:  # which a write may hold for its patience
                if (at := self._kept.get(name)) is not None:
                    thing = next(self._spool.read(at)).thing
                    return thing.answer if isinstance(thing, KeptAnswer) and thing.until > now else None
        return self._soon(partial(super().kept_answer, name, now))

    def totals(self, **asked: Any) -> list[dict[str, Any]]:
        """See ``SqlLedgerStore.totals``; like all that follow it raises TimeoutError while the database is away."""
        return self._soon(partial(super().totals, **asked))

    def read(self, **asked: Any) -> list[Entry]:
        """See ``SqlLedgerStore.read``."""
        return self._soon(partial(super().read, **asked))

    def find(self, request_id: str) -> list[Entry]:
        """See ``SqlLedgerStore.find``."""
        return self._soon(partial(super().find, request_id))

    def head(self) -> ChainHead:
        """See ``SqlLedgerStore.head``."""
        return self._soon(super().head)

    def decided(self, name: str) -> str:
        """See ``SqlLedgerStore.decided``."""
        return self._soon(partial(super().decided, name))

    def decide(self, name: str, value: str, caller: str, at: float) -> None:
        """See ``SqlLedgerStore.decide``."""
        self._soon(partial(super().decide, name, value, caller, at))

    @property
    def api_keys(self) -> SqlApiKeys:
        """See ``SqlLedgerStore.api_keys``."""
        return cast("SqlApiKeys", _Soon(super().api_keys, self._soon))

    @property
    def changes(self) -> SqlChanges:
        """See ``SqlLedgerStore.changes``."""
        return cast("SqlChanges", _Soon(super().changes, self._soon))

    @property
    def analytics(self) -> SqlAnalytics:
        """See ``SqlLedgerStore.analytics``; it may take longer than the patience, which is for its first word."""
        if self._is_silent:
            raise TimeoutError
        return super().analytics

    @property
    def notes(self) -> SqlNotes:
        """See ``SqlLedgerStore.notes``."""
        return cast("SqlNotes", _Soon(super().notes, self._soon))

    def _soon(self, question: Callable[[], T]) -> T:
        """The database's answer within the patience: a question to one that hangs keeps a thread from all others."""
        if self._is_silent:
            raise TimeoutError
        try:
            return self._in_time(lambda ask: ask(), question)
        except _AWAY:
            with self._turn:
                self._go_away()
            raise

    def _keep_all(self, answers: Sequence[KeptAnswer]) -> None:
        for one in answers:
            super().keep_answer(one.name, one.caller, one.answer, one.until)

    def close(self) -> None:
        """Deliver what can be delivered at once; the rest stays in the file."""
        # The courier ends its pause at once.
        self._closing.set()
        if self._courier is not None:
            self._courier.join(2 * self._patience)
        super().close()
        # A courier that hangs still reads the file; the process's end closes it.
        if self._courier is None or not self._courier.is_alive():
            self._spool.close()

    def _write(self, kind: Kind, write: Callable[[Sequence[U]], T], things: Sequence[U]) -> T | None:
        with self._turn:
            if not self.is_away:
                try:
                    return self._in_time(write, things)
                except _AWAY as error:
                    if is_of_a_row(error):
                        raise
                    self._go_away()
            at = self._spool.append(kind, things)
            for thing in things:
                if isinstance(thing, KeptAnswer):
                    self._kept.setdefault(thing.name, at)
            return None

    def _in_time(self, do: Callable[[V], T], what: V) -> T:
        """What the database says, or TimeoutError; what it does later changes nothing that is delivered by then."""
        done: Future[T] = Future()
        threading.Thread(target=_carry_out, args=(done, do, what), name="rsql-store", daemon=True).start()
        return done.result(self._patience)

    def _go_away(self, *, silent: bool = True) -> None:
        self._is_silent = silent
        if self.is_away:
            return
        self.is_away = True
        self._courier = threading.Thread(target=self._deliver, name="rsql-courier", daemon=True)
        self._courier.start()

    def _deliver(self) -> None:
        """Try until everything has arrived."""
        done, reason = 0, ""
        while self.is_away:
            try:
                done = self._deliver_from(done)
            except Exception as error:  # noqa: BLE001 - whatever it is: what is in the file must arrive
                before, reason = reason, type(error).__name__
                if reason != before and not isinstance(error, _AWAY):
                    app_log.error("rsql: the spool cannot be delivered to the ledger (%s).", reason)
                self._is_silent = True
                if self._closing.wait(self._retry_seconds):
                    return

    def _deliver_from(self, start: int) -> int:
        end = self._spool.size
        super().decided("")  # whether it answers at all, as there may be nothing to deliver
        self._is_silent = False
        begun: dict[tuple[str, int], Entry] = {}
        ended: dict[tuple[str, int], Entry] = {}
        for kind, thing, _ in self._spool.read(start, end):
            if isinstance(thing, KeptAnswer):
                self._keep_if_possible(thing)
            elif kind == "finish":
                ended.setdefault((thing.request_id, thing.attempt), thing)
            else:
                begun[thing.request_id, thing.attempt] = thing
        for some in _chunks([entry for name, entry in begun.items() if name not in ended]):
            _deliver_entries(super().begin, list(map(self._forgotten(min(entry.at for entry in some)).unnamed, some)))
        for some in _chunks(list(ended.values())):
            _deliver_entries(super().finish, some)
        with self._turn:
            if self._spool.clear_up_to(end):
                self.is_away = False
                self._kept.clear()
        return end

    def _keep_if_possible(self, answer: KeptAnswer) -> None:
        """Deliver an answer, unless its caller was forgotten since or the database cannot keep it."""
        made = answer.until - _A_DAY
        try:
            self._keep_all([] if (answer.caller, made) in self._forgotten(made) else [answer])
        except Exception as error:
            if not is_of_a_row(error):
                raise
            app_log.error("rsql: an answer for repeats cannot be kept (%s) and is dropped.", type(error).__name__)

    def _forgotten(self, since: float) -> ForgottenCallers:
        with self._engine.connect() as db:
            return self.forgotten_since(db, since)


class _Soon:
    """Methods of something, each of which answers at once or raises."""

    def __init__(self, of: object, soon: Callable[[Callable[[], Any]], Any]) -> None:
        self._of = of  # whose methods
        self._soon = soon  # calls one of them

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._of, name)
        return lambda *args, **options: self._soon(partial(method, *args, **options))


def _deliver_entries(write: Callable[[Sequence[Entry]], object], entries: Sequence[Entry]) -> None:
    """Write what was answered long ago; the log names entries that the database cannot keep as they are."""
    try:
        write(entries)
    except RowsRefused as error:
        for (request_id, _), reason in error.rows.items():
            app_log.error("rsql: the ledger cannot keep all of the entry of %s (%s).", as_name(request_id), reason)


def _carry_out(done: Future[T], do: Callable[[V], T], what: V) -> None:
    """Ask the database in a thread of its own: one that hangs does not keep the gateway from ending."""
    try:
        done.set_result(do(what))
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        done.set_exception(error)


def _line(kind: Kind, thing: Entry | KeptAnswer) -> bytes:
    """One line; of what cannot be written as text, what can be."""
    try:
        return msgspec.json.encode((kind, thing)) + b"\n"
    except UnicodeError:
        kept = stand_in(thing) if isinstance(thing, Entry) else replace(thing, caller=as_name(thing.caller))
        return msgspec.json.encode((kind, kept)) + b"\n"


def _decoded(line: bytes, at: int) -> SpoolLine | None:
    """The parts of a line; None, with an error in the log, for one that is damaged."""
    try:
        kind, raw = _pair.decode(line)
        return SpoolLine(kind, (_answer if kind == "keep" else _entry).decode(raw), at)
    except (msgspec.DecodeError, UnicodeDecodeError):
        app_log.error("rsql: the line at byte %d of the spool cannot be read and is left out.", at)
        return None


_pair = msgspec.json.Decoder(tuple[Kind, msgspec.Raw])
_entry = msgspec.json.Decoder(Entry)
_answer = msgspec.json.Decoder(KeptAnswer)


def _chunks(entries: list[Entry]) -> Iterator[list[Entry]]:
    for start in range(0, len(entries), _CHUNK):
        yield entries[start : start + _CHUNK]
