"""The way to Redis: one connection for decisions, one for news from the other gateways, and what happens without.

Every decision is one Lua script (``lua/``), in the server's time. What is asked within one turn of the event loop
travels together. No request waits for Redis for more than 50 ms: when an answer is late, the link is lost, whoever
waits decides alone (``Lost``), and a task tries again until it is back. Then

1. *replace*: what this gateway has taken meanwhile takes the place of what Redis knows of it, as often as it likes;
2. *wait*: as long as others may still decide alone, that is until each has been heard of, or was silent for a lease;
3. *go on* together.

So a gateway that comes back first does not hand out what another has handed out alone.
"""

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

from jupyter_server_ext.redis.client import CONNECT_SECONDS, client_of, failures, place_of
from jupyter_server_ext.redis.script_connection import Call, ScriptConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio.client import PubSub

MICROSECONDS = 1_000_000

_BEATS = 10  # signs of life in the length of a lease
_SILENT_LEASES = 5  # after which a silent gateway has no share any more
_MOST_AT_ONCE = 256

T = TypeVar("T")
_FORGOTTEN = "forgotten"  # the news that Redis has forgotten something

State = Literal["starting", "ok", "returning", "lost"]


class Lost(Exception):
    """Redis does not answer: decide alone."""


class Forgotten(EOFError):
    """Redis answers, and no longer knows what it was told: it was emptied, or has evicted something."""


class Participant(Protocol):
    """What is kept in Redis by way of one link."""

    @property
    def tick(self) -> float:
        """Seconds after which its changes are asked for, though it has not told of any."""

    def lost(self) -> None:
        """From now on, decide alone."""

    def everything(self) -> list[Call]:
        """What replaces all that Redis knows of this gateway."""

    def changes(self) -> list[Call]:
        """What has changed since it was asked last."""

    def told(self, call: Call, reply: Any) -> None:
        """The reply to one of these calls."""

    def heard(self, kind: str, news: Any) -> None:
        """What another gateway says."""


@dataclass(eq=False)
class _Waiting:
    """Somebody waits for an answer; ``since`` when, in the loop's time."""

    call: Call
    since: float
    digest: Callable[[Any], Any]
    undo: Callable[[Any], None]
    answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class RedisCoordinator:
    """This gateway's link to one Redis.

    Args:
        url: ``redis://…``, ``rediss://…``, ``unix://…``, ``redis+sentinel://host:port,host:port/name?db=0`` or
            ``redis+cluster://host:port,host:port``; with ``prefix=`` in its query every key begins so.
        timeout: The longest that anybody waits for an answer, in seconds.
        expected: How many gateways share it, as long as Redis has not told.
        lease: Seconds after which a silent gateway is taken for dead, and what was under way with it for over.
        clock: Seconds, never going back.

    Raises:
        ConfigError: The URL cannot be used, or redis-py is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.05,
        expected: int = 1,
        lease: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        place = place_of(url)
        self._client = client_of(place)
        self._wire = ScriptConnection(self._client)
        self.prefix = f"{{{place.prefix}}}:"
        self.channel = f"{self.prefix}news"
        self.live_key = f"{self.prefix}live"
        self.instance = secrets.token_hex(6)
        """This life of this gateway; another one after a restart."""
        self.timeout = timeout
        self._lease = int(lease * MICROSECONDS)
        self._beat_seconds = lease / _BEATS
        self.state: State = "starting"
        self.instances = max(1, expected)
        """How many gateways live, as far as is known."""
        self.lost_at = 0.0
        """When Redis was lost, in µs of its own time."""
        self.losses = 0
        self.reason = ""
        """What kind of failure Redis was lost by."""
        self.is_new = False
        """Whether the data in Redis has begun its life with this gateway."""
        self.on_change: list[Callable[[], None]] = []
        self._clock = clock
        self._ahead = time.time() - clock()  # of the server's time before our clock
        self._members: list[Participant] = []
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()  # whether the first attempt has succeeded or failed
        self._others: dict[str, float] = {}  # the end of each other's lease
        self._known: set[str] = set()  # those that lived when Redis was lost
        self._asked: list[_Waiting] = []  # that have been sent
        self._task: asyncio.Task[None] | None = None
        self._is_sending = False
        self._life = b""  # the name that the data have since they were begun
        self._has_forgotten: Literal["", "seen", "heard"] = ""

    def join(self, member: Participant) -> None:
        """Keep a member's counts."""
        self._members.append(member)

    @property
    def health(self) -> str:
        """``ok``, or ``degraded`` while this gateway decides alone."""
        return "ok" if self.state == "ok" else "degraded"

    def now(self) -> int:
        """The server's time in µs, as far as is known."""
        return int((self._clock() + self._ahead) * MICROSECONDS)

    async def call(self, call: Call, digest: Callable[[Any], T], undo: Callable[[T], None] = lambda _: None) -> T:
        """The answer of a script.

        Args:
            call: The script.
            digest: What its reply means; called before anything else is sent.
            undo: Called with that when whoever asked has gone meanwhile.

        Raises:
            Lost: Redis is not there, or has not answered in time.
        """
        if self.state == "starting":
            await self.start()
        if self.health != "ok":
            raise Lost
        waiting = _Waiting(call, self._clock() if self._is_sending else math.inf, digest, undo)
        self._queue.append(waiting)
        self._wake.set()
        try:
            answer: T = await waiting.answer
        except asyncio.CancelledError:
            if waiting.answer.done() and not waiting.answer.cancelled() and not waiting.answer.exception():
                undo(waiting.answer.result())
            raise
        return answer

    async def start(self) -> None:
        """Open the link, if it is not open; waits for the first attempt at most as long as for an answer."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="rsql-redis")
        if self.state == "starting":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timeout):
                    await self._settled.wait()

    def changed(self) -> None:
        """There are changes to be told, with what goes out next."""
        self._wake.set()

    def has_forgotten(self) -> None:
        """Redis does not know what it has been told: it is to be told again, by all."""
        self._has_forgotten = "seen"
        self._wake.set()

    async def publish(self, kind: str, news: Any) -> None:
        """Tell the other gateways."""
        with contextlib.suppress(*failures()):  # the loss is noticed by the next decision
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._client.publish(self.channel, msgspec.msgpack.encode([self.instance, kind, news]))

    async def delete(self, pattern: str, is_meant: Callable[[str], bool]) -> set[str] | None:
        """Delete the windows whose hashes match, and tell which had something to forget; None without Redis."""
        had = set()
        try:
            async for name in self._client.scan_iter(match=pattern, count=1000):
                if name.endswith(b":t") or not is_meant(_text(name)):
                    continue
                if (used := await self._client.hget(name, "u")) is None:
                    continue  # what is under way; it is gone with that
                if int(used):
                    had.add(_text(name))
                await self._client.delete(name, name + b":t")
        except failures():
            return None
        return had

    async def close(self) -> None:
        """Tell what is left, say goodbye, and close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.state == "ok":
            with contextlib.suppress(*failures()):
                calls = [call for member in self._members for call in member.changes()]
                goodbye = Call("leave", [self.live_key], [self.instance])
                await self._wire.open()
                await self._wire.answers([*calls, goodbye], CONNECT_SECONDS, lambda: None)
        self._tell_of_loss()
        await self._wire.drop()
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
                    await self._wire.drop()
            finally:
                if listening is not None:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
                await news.aclose()  # type: ignore[no-untyped-call]
            self._settled.set()
            await asyncio.sleep(self._beat_seconds / 2)

    async def _open(self, news: PubSub) -> None:
        """Be able to ask and to hear; from then on no news is missed."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._wire.open()
            await news.subscribe(self.channel)
            await news.get_message(timeout=CONNECT_SECONDS)  # that it is subscribed
        await self._beat(0)  # it is not yet back: others wait until it has told all

    async def _return(self) -> None:
        """Tell all, and wait until the others have."""
        first = self.state == "starting"
        if not first:
            self.state = "returning"
        for member in self._members:
            member.changes()  # are part of everything
            await self._tell(member, member.everything())
        await self._beat()
        back = self.now()
        known = self._known | set(self._others)
        while not first and self.now() < back + self._lease:
            if all(self._others.get(name, 0.0) > back + self._lease for name in known):
                break
            await asyncio.sleep(self._beat_seconds / 4)
            for member in self._members:
                await self._tell(member, member.changes())
            await self._beat()
            known |= set(self._others)
        for member in () if first else self._members:  # what the others told after this one did
            member.changes()
            await self._tell(member, member.everything())
        if not first:
            app_log.warning("rsql: Redis is back; limits are shared again.")
        self.state = "ok"
        self._known = set()
        self._settled.set()
        self.tell_change()

    async def _serve(self, listening: asyncio.Task[None]) -> None:
        """Send what waits, until Redis is lost."""
        beat = self._clock() + self._beat_seconds
        while not listening.done():
            await self._woken(min(beat - self._clock(), *(member.tick for member in self._members)))
            if self._clock() >= beat:
                await self._beat()
                beat = self._clock() + self._beat_seconds
            await self._send()
            if self._has_forgotten:
                raise Forgotten
        listening.result()

    async def _woken(self, seconds: float) -> None:
        """Wait until there is something to send, or to look for."""
        if not self._wake.is_set():
            alarm = asyncio.get_running_loop().call_later(max(0.0, seconds), self._wake.set)
            await self._wake.wait()
            alarm.cancel()
        self._wake.clear()

    async def _send(self) -> None:
        """One batch: first what has changed, then what is asked."""
        told = [(member, call) for member in self._members for call in member.changes()]
        asked, self._queue = self._queue[:_MOST_AT_ONCE], self._queue[_MOST_AT_ONCE:]
        if self._queue:
            self._wake.set()
        if not told and not asked:
            return
        self._asked = asked
        left = self.timeout - max((self._clock() - one.since for one in asked if one.since < math.inf), default=0.0)
        replies = await self._answers([*(call for _, call in told), *(one.call for one in asked)], max(0.01, left))
        self._asked = []
        for (member, call), reply in zip(told, replies, strict=False):
            member.told(call, reply)
        for one, reply in zip(asked, replies[len(told) :], strict=True):
            meant = one.digest(reply)
            if one.answer.done():
                one.undo(meant)
            else:
                one.answer.set_result(meant)

    async def _tell(self, member: Participant, calls: list[Call]) -> None:
        for start in range(0, len(calls), _MOST_AT_ONCE):
            some = calls[start : start + _MOST_AT_ONCE]
            for call, reply in zip(some, await self._answers(some, CONNECT_SECONDS), strict=True):
                member.told(call, reply)

    async def _beat(self, lease: int | None = None) -> None:
        """Say that this gateway lives; with a lease of 0 only hear who else does."""
        new_life = secrets.token_hex(8)
        args = (self.instance, self._lease if lease is None else lease, new_life, self.channel)
        asked = self._clock()
        [reply] = await self._answers([Call("beat", [self.live_key, f"{self.prefix}birth"], args)], self.timeout)
        answered = self._clock()
        self._ahead = reply[0] / MICROSECONDS - (asked + answered) / 2
        self.is_new |= reply[1] == new_life.encode()
        before, self._life = self._life, reply[1]
        if self.state == "ok" and before != reply[1]:
            raise Forgotten
        leases = {name.decode(): float(end) for name, end in zip(reply[2::2], reply[3::2], strict=True)}
        leases.pop(self.instance, None)
        self._others = {name: end for name, end in leases.items() if end > reply[0]}
        # One that is late with its sign of life may go on with its share; it must not be dealt out to others.
        self.instances = 1 + sum(end + _SILENT_LEASES * self._lease > reply[0] for end in leases.values())
        if self.state != "ok":  # an empty Redis knows of nobody yet, and the others go on with their shares
            self.instances = max(self.instances, 1 + len(self._known))

    async def _answers(self, calls: Sequence[Call], seconds: float) -> list[Any]:
        """The answers to calls that travel together; when they are late, Redis is lost at once."""
        self._is_sending = True
        try:
            return await self._wire.answers(calls, seconds, self._late)
        finally:
            self._is_sending = False

    def _late(self) -> None:
        self._lose(TimeoutError())

    async def _listen(self, news: PubSub) -> None:
        """Hear what the others take, so that little is unknown when Redis is lost."""
        async for message in news.listen():
            if message["type"] == "message":
                self._hear(message["data"])

    def _hear(self, message: bytes) -> None:
        sender, kind, told = msgspec.msgpack.decode(message, strict=False)
        if (name := _text(sender)) != self.instance:  # everybody hears itself, too
            self._meet(name)
            if _text(kind) == _FORGOTTEN and self.state == "ok":
                self._has_forgotten = self._has_forgotten or "heard"
                self._wake.set()
            for member in self._members:
                member.heard(_text(kind), told)

    def _meet(self, name: str) -> None:
        """Another gateway has been heard of."""
        if name not in self._others:
            self._others[name] = self.now() + self._lease
            self.instances = max(self.instances, 1 + len(self._others))

    def _lose(self, error: BaseException) -> None:
        """Whoever waits decides alone from now on."""
        if self.state in {"ok", "starting"}:
            self.lost_at = self.now()
            self.losses += 1
            self._known |= set(self._others)
            app_log.warning("rsql: Redis is lost (%s); limits go on at 1/%d.", type(error).__name__, self.instances)
            for member in self._members:
                member.lost()
        self.state = "lost"
        self.reason = type(error).__name__
        self._tell_of_loss()
        self.tell_change()

    def _tell_of_loss(self) -> None:
        """Nobody who waits will get an answer."""
        waiting, self._asked, self._queue = [*self._asked, *self._queue], [], []
        for one in waiting:
            if not one.answer.done():
                one.answer.set_exception(Lost())

    def tell_change(self) -> None:
        """There may be room where there was none."""
        for tell in self.on_change:
            tell()


def packed(numbers: Sequence[int]) -> bytes:
    """Numbers as one argument of a script: a client spends more on a hundred arguments than Redis on its decision."""
    return msgspec.msgpack.encode(numbers)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
