"""One entry per request and attempt, durable before the caller sees the end of the answer."""

# Writing is done in groups by one thread: while one transaction is being committed, the next group gathers. So the
# event loop never waits for a disk, a lone request pays one commit, and a thousand at once pay a few.

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace
from tornado.log import app_log

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, RsqlGatewayError
from jupyter_server_ext.ledger.files import WITHOUT_ANCHOR, Anchor, add_line, line_of, read_anchor
from jupyter_server_ext.messages import as_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_server_ext.config import Secret
    from jupyter_server_ext.ledger.analytics import SqlAnalytics
    from jupyter_server_ext.ledger.api_keys import ApiKey
    from jupyter_server_ext.ledger.changes import Thing
    from jupyter_server_ext.ledger.sql import SqlLedgerStore
    from jupyter_server_ext.messages import Entry, Used

T = TypeVar("T")

_A_DAY = 86_400.0
_TIDY_SECONDS = 3_600.0  # between two deletions of what is old
_FOLD_SECONDS = 15.0  # between two additions to what administrators look at
_FOLD_FIRST = 2_000  # entries that are added to it before a question is answered
_READERS = 6  # questions that are answered at the same time
_LAST_SECONDS = 5.0  # for which a ledger that ends waits for those
_FULL = re.compile(r"(?:disk|device|disc)\b.*\b(?:full|space)|no space|is full|quota exceeded", re.IGNORECASE)
_PATIENCE_SECONDS = 2.5  # that a request waits for its entry while nothing can be written


class RowsRefused(Exception):
    """Some entries of a group cannot be kept as they are. All others are written, and of these what can be kept."""

    def __init__(self, rows: Mapping[tuple[str, int], str]) -> None:
        super().__init__(f"{len(rows)} entries refused")
        self.rows = rows  # the reason for each, by request id and attempt


class NotRecordable(RsqlGatewayError):
    """The ledger cannot keep this request's entry as it is; others are kept."""

    status, code = 500, "not_recordable"


@dataclass(eq=False, slots=True)
class _PendingEntry:
    """An entry to be written, and the future of the request that waits for it, since when."""

    entry: Entry
    done: asyncio.Future[None]
    since: float

    def end(self, error: RsqlGatewayError | None = None) -> None:
        """Resolve the future, unless that has been done."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)
            self.done.exception()  # for a try before the last nobody waits


class Ledger:
    """Group commit over a store. What an earlier life of it left open is closed at once; writing starts with need.

    Example:
        >>> ledger = Ledger(None)
        >>> ledger.healthy
        True
    """

    def __init__(
        self,
        store: SqlLedgerStore | None,  # where entries go; None keeps no records
        *,
        retry_seconds: float = 1.0,  # pause before a failed write is tried again
        keep_days: int = 0,  # entries are deleted when they are older; 0 keeps them
        text_days: int = 0,  # prompts and answers are deleted from entries that are older; 0 keeps them as long
        anchor: str = "",  # file for the chain's ends; empty for none, and they are in the log only
        anchor_key: Secret | None = None,  # what they are signed with
        clock: Callable[[], float] = time.time,  # Unix time
    ) -> None:
        self._store = store
        self.keeps = store is not None
        self._keep_days = keep_days
        self._text_days = text_days
        self._anchor = Path(anchor) if anchor else None
        self._anchor_key = anchor_key.reveal() if anchor_key else ""
        self._anchored: dict[str, str] = {}
        self._clock = clock
        self._tidying: asyncio.Task[None] | None = None
        self._folding: asyncio.Task[None] | None = None
        self._retry_seconds = retry_seconds
        # One writer: entries of a chain follow each other, and a group commits while the next gathers.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rsql-ledger")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="rsql-ledger-reader")
        self._begun: deque[_PendingEntry] = deque()
        self._ended: deque[_PendingEntry] = deque()
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closing = False
        self.failure = ""  # why the last write failed; empty when it did not
        self.disk_is_full = False  # whether that was the reason
        self._failed_since = 0.0  # loop time of the first failure of those in a row
        # How many requests an earlier life had not ended.
        self.left_open = store.close_unfinished() if store is not None else 0

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return not self.failure

    @property
    def health(self) -> str:
        """``ok``, ``degraded`` while entries wait on local disk for their database, or ``unavailable``."""
        if not self.healthy:
            return "unavailable"
        return "degraded" if self._store is not None and self._store.is_away else "ok"

    @property
    def waiting(self) -> tuple[int, float]:
        """How many entries are still to be written, and for how many seconds the first of them has waited."""
        queued = [queue[0].since for queue in (self._begun, self._ended) if queue]
        if not queued:
            return 0, 0.0
        return len(self._begun) + len(self._ended), asyncio.get_running_loop().time() - min(queued)

    def used(self, since: float, *, exact: float) -> list[Used]:
        """What was used from a Unix time on, oldest first, before ``exact`` by the minute; read before serving."""
        return list(self._store.used(since, exact=exact)) if self._store is not None else []

    def api_keys(self) -> list[ApiKey]:
        """All virtual API keys that are kept; read before serving, as it blocks."""
        return self._store.api_keys.all() if self._store is not None else []

    def changed(self) -> tuple[int, Mapping[Thing, str]]:
        """The number of the last change at run time, and how everything is since; read before serving, as it blocks."""
        return (self._store.changes.newest(), self._store.changes.state()) if self._store is not None else (0, {})

    def decided(self, name: str) -> str:
        """What an administrator decided, empty for nothing; read before serving, as it blocks."""
        return self._store.decided(name) if self._store is not None else ""

    def check(self) -> None:
        """See whether new work can be taken.

        Raises:
            LedgerUnavailable: Records cannot be written now.
        """
        if self.failure:
            raise _unavailable(self._retry_seconds)

    def begin(self, entry: Entry) -> asyncio.Future[None] | None:
        """Note that a request is under way; the future is done when that is on disk, None where nothing is kept."""
        return self._put(self._begun, entry).done if self._store is not None else None

    def note(self, entry: Entry) -> None:
        """Record an entry without waiting for the disk."""
        if self._store is not None:
            self._put(self._ended, entry)

    def _put(self, queue: deque[_PendingEntry], entry: Entry) -> _PendingEntry:
        loop = asyncio.get_running_loop()
        waiting = _PendingEntry(entry, loop.create_future(), loop.time())
        queue.append(waiting)
        if self._writer is None:
            self._writer = loop.create_task(self._write(), name="rsql-ledger")
            self._tidying = loop.create_task(self._tidy_for_ever(), name="rsql-retention")
            self._folding = loop.create_task(_fold_for_ever(self), name="rsql-sums")
        self._wake.set()
        return waiting

    async def finish(self, entry: Entry) -> None:
        """Record how a request ended; returns when that is on disk.

        The entry is kept and written later even when the caller of this method is cancelled.

        Raises:
            LedgerUnavailable: It cannot be written now; it is as soon as it can.
            NotRecordable: The store cannot keep it as it is.
        """
        if self._store is not None:
            await self._put(self._ended, entry).done

    async def ask(self, question: Callable[[SqlLedgerStore], T], thread: ThreadPoolExecutor | None = None) -> T:
        """What the store says, asked in a thread, one of some when None; the question may block.

        Raises:
            LedgerUnavailable: There is no ledger (404), or it cannot be read (503).
        """
        if self._store is None:
            msg = "This gateway keeps no ledger. Its administrator sets 'ledger' in [storage]."
            # Not a failure: nothing was ever to be kept.
            raise LedgerUnavailable(msg, status=404, code="no_ledger")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread or self._readers, question, self._store)
        except BadRequest:
            raise
        except Exception as error:  # any failure of any driver, whose words may name hosts and paths
            raise LedgerUnavailable("The ledger cannot be read at the moment. Try again later.") from error

    async def write(self, what: Callable[[SqlLedgerStore], T]) -> T:
        """Write something else than entries, in the writer's thread; returns when it is on disk.

        Raises:
            LedgerUnavailable: There is no ledger (404), or it cannot be written (503).
        """
        return await self.ask(what, self._thread)

    async def close(self) -> None:
        """Write what is left, then stop."""
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            await self._writer
        for task in (self._tidying, self._folding):
            if task is not None:
                task.cancel()
        if self._store is not None:
            if self._writer is not None:
                await self.write_head()
            await _end(self._readers)
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
        self._thread.shutdown()

    async def tidy(self) -> int:
        """Delete what is older than it should be, in chunks beside the writing of entries; return how many entries."""
        now = self._clock()
        await self.ask(lambda store: store.drop_answers(now))
        await self.ask(lambda store: store.notes.drop_expired_copies(now))
        # What is deleted must be in the sums.
        await self.ask(lambda store: store.analytics.fold())
        await self.ask(lambda store: store.analytics.drop_old(now, self._keep_days))
        if self._text_days:
            await self.ask(lambda store: store.drop_texts(now - self._text_days * _A_DAY))
        return await self.ask(lambda store: store.expire(now - self._keep_days * _A_DAY)) if self._keep_days else 0

    async def analyze(self, question: Callable[[SqlAnalytics], T]) -> T:
        """What the sums and lists for administrators say, with all that was written until a moment ago.

        Raises:
            LedgerUnavailable: There is no ledger (404), or it cannot be read (503).
        """

        def answer(store: SqlLedgerStore) -> T:
            from sqlalchemy.exc import SQLAlchemyError  # only where there is a ledger

            with suppress(SQLAlchemyError):  # on a full disk what is folded is still there to be read
                store.analytics.fold(_FOLD_FIRST)
            return question(store.analytics)

        return await self.ask(answer)

    async def _tidy_for_ever(self) -> None:
        while True:
            with suppress(LedgerUnavailable):  # health tells
                await self.tidy()
            await self.write_head()
            await asyncio.sleep(_TIDY_SECONDS)

    async def write_head(self) -> None:
        """Write down outside the ledger how long its chain is, unless that has been done."""
        with suppress(LedgerUnavailable):
            await self.ask(self._write_head)

    def _write_head(self, store: SqlLedgerStore) -> None:
        for head in (store.head(), store.trail.head()):
            if not head.number or self._anchored.get(head.instance) == head.chain_hash:
                continue
            line = line_of(head, self._clock(), self._anchor_key)
            app_log.warning("%s", line)
            if self._anchor is not None:
                try:
                    add_line(self._anchor, line)
                except OSError as error:
                    app_log.error("rsql: the anchor cannot be written (%s).", error.strerror)
                    return
            # An anchor that could not be written is tried again with the next head.
            self._anchored[head.instance] = head.chain_hash

    async def verify(self) -> tuple[list[str], list[str]]:
        """What is wrong with the ledger, and what cannot be known of it; one sentence each.

        The anchor is looked at where there is one.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        anchor = self._anchor if self._anchor is not None and self._anchor.exists() else None
        known = read_anchor(anchor, self._anchor_key) if anchor else Anchor([], [], [])
        notes = known.restored + await self.ask(lambda store: store.unverifiable())
        problems = known.problems + await self.ask(lambda store: store.verify(known.heads))
        return problems, notes if anchor else [WITHOUT_ANCHOR, *notes]

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while not (self._closing and not self._begun and not self._ended):
            await self._wake.wait()
            self._wake.clear()
            while self._begun or self._ended:
                begun, ended = list(self._begun), list(self._ended)
                refused: Mapping[tuple[str, int], str] = {}
                try:
                    entries = [[waiting.entry for waiting in group] for group in (begun, ended)]
                    await loop.run_in_executor(self._thread, self._commit, entries[0], entries[1])
                except RowsRefused as error:
                    refused = error.rows
                except Exception as error:  # noqa: BLE001 - any failure of any driver: nothing may be lost, so keep and retry
                    self._failed(error)
                    await asyncio.sleep(self._retry_seconds)
                    if self._closing:
                        return
                    continue
                if self.failure:
                    app_log.warning("rsql: the ledger can be written again.")
                    self.failure, self.disk_is_full = "", False
                for queue, group in ((self._begun, begun), (self._ended, ended)):
                    for waiting in group:
                        # Only now: a failed group stays at the head of its queue, in order.
                        queue.popleft()
                        waiting.end(_not_recordable(waiting.entry, refused))

    def _failed(self, error: Exception) -> None:
        """Log once that nothing can be written, and fail the requests that have waited for long."""
        now = asyncio.get_running_loop().time()
        if not self.failure:
            self._failed_since = now
            # The driver's own words without statement and parameters, on one line.
            first = next(iter(str(getattr(error, "orig", None) or error).splitlines()), "")[:200]
            words = f"{type(error).__name__}: {first}"
            app_log.error("rsql: the ledger cannot be written (%s). No request is taken until it can.", words)
            self.disk_is_full = _FULL.search(words) is not None
        self.failure = type(error).__name__
        for waiting in (*self._begun, *self._ended):
            # A request waits twice, for its beginning and its end: the patience is with the ledger, and not with each.
            waited = now - min(waiting.since, self._failed_since)
            if waited >= _PATIENCE_SECONDS and not waiting.done.done():
                waiting.end(_unavailable(self._retry_seconds))
                if waiting.entry.status == 200:  # which the caller does not see
                    waiting.entry = replace(waiting.entry, status=LedgerUnavailable.status, error="ledger_unavailable")

    def _commit(self, begun: list[Entry], ended: list[Entry]) -> None:
        if self._store is None:
            return
        # What began and ended within one group is written once, as ended.
        over = {(entry.request_id, entry.attempt) for entry in ended}
        still_open = [entry for entry in begun if (entry.request_id, entry.attempt) not in over]
        if ended:
            self._store.finish(ended, still_open)
        elif still_open:
            self._store.begin(still_open)


def _unavailable(seconds: float) -> LedgerUnavailable:
    msg = "The gateway cannot record requests at the moment, so it takes none. Tell its administrator."
    return LedgerUnavailable(msg, retry_after=seconds)


async def _end(readers: ThreadPoolExecutor) -> None:
    # A thread goes on when the task that waits for it is cancelled. A connection that it gives back after the pool was
    # closed would stay open.
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.to_thread(readers.shutdown, cancel_futures=True), _LAST_SECONDS)


async def _fold_for_ever(ledger: Ledger) -> None:
    while True:
        with suppress(LedgerUnavailable):  # health tells
            await ledger.ask(lambda store: store.analytics.fold())
        await asyncio.sleep(_FOLD_SECONDS)


def _not_recordable(entry: Entry, refused: Mapping[tuple[str, int], str]) -> NotRecordable | None:
    """The error of a request whose entry was refused; the log names the reason."""
    reason = refused.get((entry.request_id, entry.attempt)) if refused else None
    if reason is None:
        return None
    app_log.error("rsql: the ledger cannot keep all of the entry of %s (%s).", as_name(entry.request_id), reason)
    return NotRecordable("The gateway cannot record this request as it is, so it fails. Tell its administrator its id.")
