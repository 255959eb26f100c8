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
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import msgspec
from tornado.log import app_log

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis

MICROSECONDS = 1_000_000

_BEATS = 10  # signs of life in the length of a lease
_SILENT_LEASES = 5  # after which a silent gateway has no share any more
_SOCKET_SECONDS = 2.0
_SLICES = 5  # of a wait: while this gateway's own event loop is busy, no time passes for Redis
_MOST_AT_ONCE = 256

T = TypeVar("T")
State = Literal["starting", "ok", "returning", "lost"]


class Lost(Exception):
    """Redis does not answer: decide alone."""


class Call(NamedTuple):
    """One script with what it is given."""

    script: str
    keys: Sequence[str]
    args: Sequence[str | int | bytes]


class Member(Protocol):
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


class Link:
    """This gateway's link to one Redis.

    Args:
        url: ``redis://…``, ``rediss://…``, ``unix://…`` or ``redis+sentinel://host:port,host:port/name?db=0``; with
            ``prefix=`` in its query every key begins so.
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
        self._client, prefix = client_of(url)
        self.prefix = f"{{{prefix}}}:"
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
        self._members: list[Member] = []
        self._queue: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()  # whether the first attempt has succeeded or failed
        self._others: dict[str, float] = {}  # the end of each other's lease
        self._known: set[str] = set()  # those that lived when Redis was lost
        self._hashes: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._late: asyncio.Task[Any] | None = None
        self._is_sending = False

    def join(self, member: Member) -> None:
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

    async def publish(self, kind: str, news: Any) -> None:
        """Tell the other gateways."""
        with contextlib.suppress(Exception):  # the loss is noticed by the next decision
            await self._client.publish(self.channel, msgspec.msgpack.encode([self.instance, kind, news]))

    async def delete(self, pattern: str) -> set[str]:
        """Delete the meters whose hashes match, and tell which had something to forget."""
        had = set()
        with contextlib.suppress(*failures()):
            async for name in self._client.scan_iter(match=pattern, count=1000):
                if int(await self._client.hget(name, "u") or 0):
                    had.add(_text(name))
                await self._client.delete(name, name + b":t")
        return had

    async def close(self) -> None:
        """Tell what is left, say goodbye, and close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.state == "ok":
            with contextlib.suppress(*failures()):
                calls = [call for member in self._members for call in member.changes()]
                await self._answers([*calls, Call("leave", [self.live_key], [self.instance])], _SOCKET_SECONDS)
        await self._client.aclose()

    async def _run(self) -> None:
        while True:
            listening: asyncio.Task[None] | None = None
            try:
                await self._open()
                listening = asyncio.create_task(self._listen())
                await self._return()
                await self._serve(listening)
            except failures() as error:
                self._lose(error)
            finally:
                if listening is not None:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
            self._settled.set()
            await asyncio.sleep(self._beat_seconds / 2)

    async def _open(self) -> None:
        """Load the scripts, after whatever was sent before has come to its end."""
        if self._late is not None:
            await asyncio.wait([self._late])
            self._late = None
        async with asyncio.timeout(_SOCKET_SECONDS):
            for name, text in _scripts().items():
                self._hashes[name] = await self._client.script_load(text)
        await self._beat()

    async def _return(self) -> None:
        """Tell all, and wait until the others have."""
        first = self.state == "starting"
        if not first:
            self.state = "returning"
        for member in self._members:
            member.changes()  # are part of everything
            await self._tell(member, member.everything())
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
            with contextlib.suppress(TimeoutError):
                ticks = min(member.tick for member in self._members)
                async with asyncio.timeout(min(ticks, max(0.0, beat - self._clock()))):
                    await self._wake.wait()
            self._wake.clear()
            if self._clock() >= beat:
                await self._beat()
                beat = self._clock() + self._beat_seconds
            await self._send()
        listening.result()

    async def _send(self) -> None:
        """One batch: first what has changed, then what is asked."""
        told = [(member, call) for member in self._members for call in member.changes()]
        asked, self._queue = self._queue[:_MOST_AT_ONCE], self._queue[_MOST_AT_ONCE:]
        if self._queue:
            self._wake.set()
        if not told and not asked:
            return
        left = self.timeout - max((self._clock() - one.since for one in asked if one.since < math.inf), default=0.0)
        try:
            replies = await self._answers([*(call for _, call in told), *(one.call for one in asked)], max(0.01, left))
        except BaseException:
            self._queue = asked + self._queue  # they are told of the loss
            raise
        for (member, call), reply in zip(told, replies, strict=False):
            member.told(call, reply)
        for one, reply in zip(asked, replies[len(told) :], strict=True):
            meant = one.digest(reply)
            if one.answer.done():
                one.undo(meant)
            else:
                one.answer.set_result(meant)

    async def _tell(self, member: Member, calls: list[Call]) -> None:
        for start in range(0, len(calls), _MOST_AT_ONCE):
            some = calls[start : start + _MOST_AT_ONCE]
            for call, reply in zip(some, await self._answers(some, _SOCKET_SECONDS), strict=True):
                member.told(call, reply)

    async def _beat(self) -> None:
        args = (self.instance, self._lease, secrets.token_hex(8), self.channel)
        asked = self._clock()
        [reply] = await self._answers([Call("beat", [self.live_key, f"{self.prefix}birth"], args)], self.timeout)
        answered = self._clock()
        self._ahead = reply[0] / MICROSECONDS - (asked + answered) / 2
        self.is_new |= bool(reply[1])
        leases = {name.decode(): float(end) for name, end in zip(reply[2::2], reply[3::2], strict=True)}
        leases.pop(self.instance, None)
        self._others = {name: end for name, end in leases.items() if end > reply[0]}
        # One that is late with its sign of life may go on with its share; it must not be dealt out to others.
        self.instances = 1 + sum(end + _SILENT_LEASES * self._lease > reply[0] for end in leases.values())

    async def _answers(self, calls: Sequence[Call], seconds: float) -> list[Any]:
        """The answers to calls that travel together.

        An answer that is late is not waited for, but it is let come: the connection stays usable, and nothing that is
        sent afterwards overtakes it.
        """
        sending = asyncio.ensure_future(self._execute(calls))
        self._is_sending = True
        try:
            for _ in range(_SLICES):  # each counts as one, however late our own loop is with it
                await asyncio.wait([sending], timeout=seconds / _SLICES)
                if sending.done():
                    return sending.result()
        except asyncio.CancelledError:
            sending.cancel()
            raise
        finally:
            self._is_sending = False
        self._late = asyncio.ensure_future(asyncio.gather(sending, return_exceptions=True))
        raise TimeoutError

    async def _execute(self, calls: Sequence[Call]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for script, keys, args in calls:
                pipe.evalsha(self._hashes[script], len(keys), *keys, *args)
            return list(await pipe.execute())

    async def _listen(self) -> None:
        """Hear what the others take, so that little is unknown when Redis is lost."""
        async with self._client.pubsub(ignore_subscribe_messages=True) as news:
            await news.subscribe(self.channel)
            async for message in news.listen():
                sender, kind, told = msgspec.msgpack.decode(message["data"], strict=False)
                if (name := _text(sender)) != self.instance:  # everybody hears itself, too
                    self._meet(name)
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
        queue, self._queue = self._queue, []
        for one in queue:
            if not one.answer.done():
                one.answer.set_exception(Lost())
        self.tell_change()

    def tell_change(self) -> None:
        """There may be room where there was none."""
        for tell in self.on_change:
            tell()


def packed(numbers: Sequence[int]) -> bytes:
    """Numbers as one argument of a script: a client spends more on a hundred arguments than Redis on its decision."""
    return msgspec.msgpack.encode(numbers)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@cache
def _scripts() -> dict[str, str]:
    folder = Path(__file__).parent / "lua"
    common = (folder / "common.lua").read_text(encoding="utf-8")
    return {
        path.stem: common + path.read_text(encoding="utf-8") for path in folder.glob("*.lua") if path.stem != "common"
    }


@cache
def failures() -> tuple[type[BaseException], ...]:
    """All that may go wrong on the way to Redis and back."""
    from redis.exceptions import RedisError

    return RedisError, OSError, TimeoutError, EOFError


def client_of(url: str) -> tuple[Redis, str]:
    """A client for a URL, and the prefix of its keys."""
    try:
        from redis import asyncio as redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ModuleNotFoundError:
        raise ConfigError(
            "redis:// in [storage] needs redis-py. Install it: pip install 'rsql-jupyter[redis]'."
        ) from None
    parsed = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parsed.query).items()}
    prefix = query.pop("prefix", "rsql")
    options: dict[str, Any] = {"socket_timeout": _SOCKET_SECONDS, "socket_connect_timeout": _SOCKET_SECONDS}
    options["retry"] = Retry(NoBackoff(), 0)  # what is sent again could be taken twice
    try:
        if parsed.scheme == "redis+sentinel":
            return _through_sentinel(parsed.netloc, parsed.path, query, options), prefix
        rest = "&".join(f"{name}={value}" for name, value in query.items())
        return redis.Redis.from_url(urlunsplit(parsed._replace(query=rest)), **options), prefix
    except (ValueError, TypeError) as error:
        raise ConfigError(f"The URL of Redis is not usable: {type(error).__name__}. Use redis://host:6379/0.") from None


def _through_sentinel(place: str, path: str, query: dict[str, str], options: dict[str, Any]) -> Redis:
    """A client that asks the sentinels who is master."""
    from redis.asyncio.sentinel import Sentinel

    user, _, hosts = place.rpartition("@")
    _, _, password = user.partition(":")
    addresses = [_address(host) for host in hosts.split(",")]
    own: dict[str, Any] = {"password": unquote(password) or None, "db": int(query.get("db", 0)), **options}
    asking = {**options, "password": query.get("sentinel_password")}
    sentinel = Sentinel(addresses, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(path.strip("/") or "mymaster", **own)
    return client


def _address(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":") if ":" in host else (host, "", "26379")
    return name, int(port)
