"""The way to Redis: one connection for decisions, one for news from the other gateways, and what happens without."""

# Every decision is one Lua script (``lua/``), in the server's time. Calls of one turn of the event loop travel
# together. No request waits for Redis for more than 50 ms: when a reply is late, Redis is lost, callers decide alone
# (``Lost``), and a task tries again until it is back. Then
#
# 1. *replace*: what this gateway has taken meanwhile takes the place of what Redis knows of it, as often as it likes;
# 2. *wait*: as long as others may still decide alone, that is until each has sent news, or was silent for a lease;
# 3. *go on* together.
#
# So a gateway that comes back first does not hand out what another has handed out alone.

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import msgspec
from tornado.log import app_log

from jupyter_server_ext.redis.client import (
    CONNECT_SECONDS,
    RedisCall,
    ScriptConnection,
    address_of,
    client_of,
    failures,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.client import PubSub

MICROSECONDS = 1_000_000

_BEATS = 10  # signs of life in the length of a lease
_SILENT_LEASES = 5  # after which a silent gateway has no share any more
_MOST_AT_ONCE = 256  # calls that travel together

T = TypeVar("T")
_FORGOTTEN = "forgotten"  # the kind of news that Redis has forgotten something

State = Literal["starting", "ok", "returning", "lost"]


class Lost(Exception):
    """Redis does not answer: decide alone."""


class StateForgotten(EOFError):
    """Redis answers, and no longer knows what was reported to it: it was emptied, or has evicted something."""


class Participant(Protocol):
    """A part of the gateway whose counts are kept in Redis by way of one coordinator."""

    @property
    def tick(self) -> float:
        """Seconds after which its changes are asked for, though it has announced none."""

    def on_loss(self) -> None:
        """Decide alone from now on."""

    def snapshot(self) -> list[RedisCall]:
        """The calls that replace all that Redis knows of this gateway."""

    def changes(self) -> list[RedisCall]:
        """The calls that report what has changed since the last of these, or of a snapshot."""

    def on_reply(self, call: RedisCall, reply: Any) -> None:
        """Take the reply to one of these calls."""

    def on_news(self, kind: str, news: Any) -> None:
        """Take the news of another gateway."""


@dataclass(eq=False)
class _PendingCall:
    """A call whose reply is awaited, ``since`` when, in the loop's time."""

    call: RedisCall
    since: float
    read: Callable[[Any], Any]
    undo: Callable[[Any], None]
    result: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RedisCoordinator:
    """This gateway's way to one Redis.

    Args:
        url: ``redis://…``, ``rediss://…``, ``unix://…``, ``redis+sentinel://host:port,host:port/name?db=0`` or
            ``redis+cluster://host:port,host:port``; with ``prefix=`` in its query every key begins so.
        timeout: The longest that a reply is waited for, in seconds.
        expected: How many gateways share it, until Redis knows.
        lease: Seconds after which a silent gateway is taken for dead, and its requests in flight for over.

    Raises:
        ConfigError: The URL cannot be used, or redis-py is missing.
    """

    def __init__(self, url: str, *, timeout: float = 0.05, expected: int = 1, lease: float = 5.0) -> None:
        address = address_of(url)
        self._client = client_of(address)
        self._connection = ScriptConnection(self._client)
        self.prefix = f"{{{address.prefix}}}:"
        self.channel = f"{self.prefix}news"
        self.live_key = f"{self.prefix}live"
        self.instance = secrets.token_hex(6)  # this life of this gateway; another one after a restart
        self.timeout = timeout
        self._lease = int(lease * MICROSECONDS)
        self._beat_seconds = lease / _BEATS
        self.state: State = "starting"
        self.instances = max(1, expected)  # how many gateways live, as far as is known
        self.losses = (
            0  # how often it was lost; until it is reached for the first time, this gateway decides alone, too
        )
        self.reason = ""  # what kind of failure Redis was lost by
        self.is_new = False  # whether the data in Redis has begun its life with this gateway
        self.on_change: list[Callable[[], None]] = []
        self._clock = time.monotonic
        self._ahead = time.time() - self._clock()  # of the server's time before our clock
        self.lost_at: float = self.now()  # since when this gateway decides alone, or did last, in µs of Redis' time
        self._participants: list[Participant] = []
        self._queue: list[_PendingCall] = []
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()  # whether the first attempt has succeeded or failed
        self._others: dict[str, float] = {}  # the end of each other's lease
        self._known: set[str] = set()  # those that lived when Redis was lost
        self._sent: list[_PendingCall] = []
        self._task: asyncio.Task[None] | None = None
        self._is_sending = False
        self._life = b""  # the name that the data have since they were begun
        self._has_forgotten: Literal["", "seen", "subscribed"] = ""

    def join(self, participant: Participant) -> None:
        """Keep a participant's counts."""
        self._participants.append(participant)

    @property
    def health(self) -> str:
        """``ok``, or ``degraded`` while this gateway decides alone."""
        return "ok" if self.state == "ok" else "degraded"

    def now(self) -> int:
        """The server's time in µs, as far as is known."""
        return int((self._clock() + self._ahead) * MICROSECONDS)

    async def call(self, call: RedisCall, read: Callable[[Any], T], undo: Callable[[T], None] = lambda _: None) -> T:
        """The result of a script, as ``read`` makes it of the reply before anything else is sent.

        ``undo`` is called with the result when its caller has gone meanwhile.

        Raises:
            Lost: Redis is not there, or has not answered in time.
        """
        if self.state == "starting":
            await self.start()
        if self.health != "ok":
            raise Lost
        pending = _PendingCall(call, self._clock() if self._is_sending else math.inf, read, undo)
        self._queue.append(pending)
        self._wake.set()
        result = pending.result
        try:
            got: T = await result
        except asyncio.CancelledError:
            if result.done() and not result.cancelled() and not result.exception():
                undo(result.result())
            raise
        return got

    async def start(self, patience: float | None = None) -> None:
        """Connect, if that was not begun; waits for the first attempt so many seconds, or as long as for a reply."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="rsql-redis")
        if self.state == "starting":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timeout if patience is None else patience):
                    await self._settled.wait()

    def changed(self) -> None:
        """Announce changes to be reported, with what goes out next."""
        self._wake.set()

    def has_forgotten(self) -> None:
        """Announce that Redis does not know what was reported to it: all gateways are to report again."""
        self._has_forgotten = "seen"
        self._wake.set()

    async def publish(self, kind: str, news: Any) -> None:
        """Send news to the other gateways."""
        with contextlib.suppress(*failures()):  # the loss is noticed by the next decision
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.publish(self.channel, msgspec.msgpack.encode([self.instance, kind, news]))

    async def delete(self, pattern: str, is_meant: Callable[[str], bool]) -> set[str] | None:
        """Delete the windows whose hashes match; which had something to forget, None without Redis."""
        had = set()
        try:
            async for name in self._client.scan_iter(match=pattern, count=1000):
                if name.endswith(b":t") or not is_meant(_text(name)):
                    continue
                if (used := await self._client.hget(name, "u")) is None:
                    continue  # what is in flight, and goes with that
                if int(used):
                    had.add(_text(name))
                await self._client.delete(name, name + b":t")
        except failures():
            return None
        return had

    async def close(self) -> None:
        """Report the last changes, leave, and close; whoever still asks is answered by this gateway alone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.state == "ok":
            with contextlib.suppress(*failures()):
                calls = [call for one in self._participants for call in one.changes()]
                leave = RedisCall("leave", [self.live_key], [self.instance])
                await self._connection.open()
                await self._connection.replies([*calls, leave], CONNECT_SECONDS, lambda: None)
        self._go_alone()
        self._fail_pending()
        await self._connection.drop(nowait=False)
        await self._client.aclose()

    async def _run(self) -> None:
        while True:
            news, listening = self._client.pubsub(), None
            try:
                await self._open(news)
                listening = asyncio.create_task(self._listen(news))
                listening.add_done_callback(lambda _: self._wake.set())
                await self._return()
                await self._serve(listening)
            except failures() as error:
                self._lose(error)
                if self._has_forgotten == "seen":
                    await self.publish(_FORGOTTEN, "")
                self._has_forgotten = ""
                if not isinstance(error, TimeoutError):
                    await self._connection.drop()
            finally:
                if listening is not None:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
                await news.aclose()  # type: ignore[no-untyped-call]
            self._settled.set()
            await asyncio.sleep(self._beat_seconds / 2)

    async def _open(self, news: PubSub) -> None:
        """Connect and subscribe; from then on no news is missed."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._connection.open()
            await news.subscribe(self.channel)
            await news.get_message(timeout=CONNECT_SECONDS)  # that it is subscribed
        await self._beat(0)  # it is not yet back: others wait until it has reported all

    async def _return(self) -> None:
        """Report all, and wait until the others have."""
        first = self.state == "starting"
        if not first:
            self.state = "returning"
        for participant in self._participants:
            participant.changes()  # are part of the snapshot
            await self._report(participant, participant.snapshot())
        await self._beat()
        back = self.now()
        known = self._known | set(self._others)
        while not first and self.now() < back + self._lease:
            if all(self._others.get(name, 0.0) > back + self._lease for name in known):
                break
            await asyncio.sleep(self._beat_seconds / 4)
            for participant in self._participants:
                await self._report(participant, participant.changes())
            await self._beat()
            known |= set(self._others)
        for participant in () if first else self._participants:  # what the others reported after this one did
            participant.changes()
            await self._report(participant, participant.snapshot())
        if not first:
            app_log.warning("rsql: Redis is back; limits are shared again.")
        self.state = "ok"
        self._known = set()
        self._settled.set()
        self.notify()

    async def _serve(self, listening: asyncio.Task[None]) -> None:
        """Send what is queued, until Redis is lost."""
        beat = self._clock() + self._beat_seconds
        while not listening.done():
            if not self._wake.is_set():
                seconds = min(beat - self._clock(), *(one.tick for one in self._participants))
                alarm = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake.set)
                await self._wake.wait()
                alarm.cancel()
            self._wake.clear()
            if self._clock() >= beat:
                await self._beat()
                beat = self._clock() + self._beat_seconds
            await self._send()
            if self._has_forgotten:
                raise StateForgotten
        listening.result()

    async def _send(self) -> None:
        """One batch: first what has changed, then the calls."""
        changes = [(participant, call) for participant in self._participants for call in participant.changes()]
        calls, self._queue = self._queue[:_MOST_AT_ONCE], self._queue[_MOST_AT_ONCE:]
        if self._queue:
            self._wake.set()
        if not changes and not calls:
            return
        self._sent = calls
        left = self.timeout - max((self._clock() - one.since for one in calls if one.since < math.inf), default=0.0)
        replies = await self._replies([*(call for _, call in changes), *(one.call for one in calls)], max(0.01, left))
        self._sent = []
        for (participant, call), reply in zip(changes, replies, strict=False):
            participant.on_reply(call, reply)
        for one, reply in zip(calls, replies[len(changes) :], strict=True):
            result = one.read(reply)
            if one.result.done():
                one.undo(result)
            else:
                one.result.set_result(result)

    async def _report(self, participant: Participant, calls: list[RedisCall]) -> None:
        for start in range(0, len(calls), _MOST_AT_ONCE):
            some = calls[start : start + _MOST_AT_ONCE]
            for call, reply in zip(some, await self._replies(some, CONNECT_SECONDS), strict=True):
                participant.on_reply(call, reply)

    async def _beat(self, lease: int | None = None) -> None:
        """Renew this gateway's lease, and read the others'; with a lease of 0 only the latter."""
        new_life = secrets.token_hex(8)
        args = (self.instance, self._lease if lease is None else lease, new_life, self.channel)
        asked = self._clock()
        [reply] = await self._replies([RedisCall("beat", [self.live_key, f"{self.prefix}birth"], args)], self.timeout)
        answered = self._clock()
        self._ahead = reply[0] / MICROSECONDS - (asked + answered) / 2
        self.is_new |= reply[1] == new_life.encode()
        before, self._life = self._life, reply[1]
        if self.state == "ok" and before != reply[1]:
            raise StateForgotten
        leases = {name.decode(): float(end) for name, end in zip(reply[2::2], reply[3::2], strict=True)}
        leases.pop(self.instance, None)
        self._others = {name: end for name, end in leases.items() if end > reply[0]}
        # One that is late with its sign of life may go on with its share; it must not be dealt out to others.
        self.instances = 1 + sum(end + _SILENT_LEASES * self._lease > reply[0] for end in leases.values())
        if self.state != "ok":  # an empty Redis knows of nobody yet, and the others go on with their shares
            self.instances = max(self.instances, 1 + len(self._known))

    async def _replies(self, calls: Sequence[RedisCall], seconds: float) -> list[Any]:
        """The replies to calls that travel together; when they are late, Redis is lost at once."""
        self._is_sending = True
        try:
            return await self._connection.replies(calls, seconds, lambda: self._lose(TimeoutError()))
        finally:
            self._is_sending = False

    async def _listen(self, news: PubSub) -> None:
        """Take the news of what the others use, so that little is unknown when Redis is lost."""
        async for message in news.listen():
            if message["type"] == "message":
                self._on_message(message["data"])

    def _on_message(self, message: bytes) -> None:
        sender, kind, news = msgspec.msgpack.decode(message, strict=False)
        name, kind = _text(sender), _text(kind)
        if name == self.instance:  # its own news come back, too
            return
        if name not in self._others:
            self._others[name] = self.now() + self._lease
            self.instances = max(self.instances, 1 + len(self._others))
        if kind == _FORGOTTEN and self.state == "ok":
            self._has_forgotten = self._has_forgotten or "subscribed"
            self._wake.set()
        for participant in self._participants:
            participant.on_news(kind, news)

    def _lose(self, error: BaseException) -> None:
        """Let this gateway decide alone from now on."""
        if self.state in {"ok", "starting"}:
            app_log.warning("rsql: Redis is lost (%s); limits go on at 1/%d.", type(error).__name__, self.instances)
        self._go_alone()
        self.reason = type(error).__name__
        self._fail_pending()
        self.notify()

    def _go_alone(self) -> None:
        before, self.state = self.state, "lost"
        if before == "ok":  # one that has never reached Redis has decided alone since it was made
            self.lost_at = self.now()
            self.losses += 1
        if before in {"ok", "starting"}:
            self._known |= set(self._others)
            for participant in self._participants:
                participant.on_loss()

    def _fail_pending(self) -> None:
        """End all calls that wait for a reply."""
        pending, self._sent, self._queue = [*self._sent, *self._queue], [], []
        for one in pending:
            if not one.result.done():
                one.result.set_exception(Lost())

    def notify(self) -> None:
        """Announce that there may be room where there was none."""
        for tell in self.on_change:
            tell()


def packed(numbers: Sequence[int]) -> bytes:
    """Numbers as one argument of a script: a client spends more on a hundred arguments than Redis on its decision."""
    return msgspec.msgpack.encode(numbers)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
