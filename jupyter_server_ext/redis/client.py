"""Clients of redis-py for the URLs that ``[storage]`` may name: a server, what Sentinels call master, a Cluster."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis, RedisCluster
    from redis.asyncio.connection import AbstractConnection

CONNECT_SECONDS = 2.0  # how long a connection may take, and any reply but that to a decision

PORT = 6379
_SENTINEL_PORT = 26379


class RedisAddress(NamedTuple):
    """A URL without what is not for redis-py."""

    parts: SplitResult  # its parts; the query holds redis-py's options only
    prefix: str  # what every key begins with

    @property
    def options(self) -> dict[str, str]:
        """The options in the query."""
        return dict(parse_qsl(self.parts.query))

    @property
    def is_secure(self) -> bool:
        """Whether the connection is over TLS."""
        return self.parts.scheme.startswith("rediss")

    def login(self) -> dict[str, str]:
        """User and password, where the URL has them."""
        user, _, password = self.parts.netloc.rpartition("@")[0].partition(":")
        return {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}

    def addresses(self, port: int) -> list[tuple[str, int]]:
        """All hosts of the URL; ``port`` is of those without one."""
        hosts = (urlsplit(f"//{one}") for one in self.parts.netloc.rpartition("@")[2].split(","))
        return [(host.hostname or "localhost", host.port or port) for host in hosts]


def address_of(url: str, *, also: tuple[str, ...] = ()) -> RedisAddress:
    """A URL in its parts; ``also`` names what else in its query is not redis-py's."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    prefix = query.pop("prefix", "rsql")
    kept = {name: value for name, value in query.items() if name not in also}
    return RedisAddress(parts._replace(query=urlencode(kept)), prefix)


@cache
def failures() -> tuple[type[BaseException], ...]:
    """All errors on the way to Redis and back."""
    from redis.exceptions import RedisClusterException, RedisError

    return RedisError, RedisClusterException, OSError, TimeoutError, EOFError


def client_of(address: RedisAddress, *, seconds: float | None = None) -> Redis:
    """A client that sends nothing twice, and waits for so many seconds, or for as long as its user does."""
    # In a Cluster all keys with the prefix of ``address`` in braces are in one slot: the client is of the slot's owner.
    try:
        from redis import asyncio as redis
    except ModuleNotFoundError:
        words = "redis:// in [storage] needs redis-py. Install it: pip install 'rsql-jupyter[redis]'."
        raise ConfigError(words) from None
    options = _options() | {"socket_timeout": seconds}
    kind = address.parts.scheme.partition("+")[2]
    try:
        if kind == "sentinel":
            return _through_sentinel(address, options)
        if kind == "cluster":
            from jupyter_server_ext.redis.cluster import client_of_slot

            return client_of_slot(address, options)
        client: Redis = redis.Redis.from_url(urlunsplit(address.parts), **options)
    except (ValueError, TypeError) as error:
        raise _unusable(error) from None
    return client


def spread_client_of(address: RedisAddress) -> Redis | RedisCluster:
    """A client for keys that have nothing to do with each other: in a Cluster they are on all of its servers.

    Raises:
        ConfigError: The URL is not usable, or redis-py is missing.
    """
    if not address.parts.scheme.endswith("+cluster"):
        return client_of(address, seconds=CONNECT_SECONDS)
    from redis.asyncio.cluster import ClusterNode, RedisCluster

    seeds = [ClusterNode(host, port) for host, port in address.addresses(PORT)]
    own = address.options | address.login() | _options()
    try:
        return RedisCluster(startup_nodes=seeds, ssl=address.is_secure, require_full_coverage=False, **own)
    except (ValueError, TypeError) as error:
        raise _unusable(error) from None


def _through_sentinel(address: RedisAddress, options: dict[str, Any]) -> Redis:
    from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool

    class Pool(SentinelConnectionPool):
        """Connections to the master, which when they are closed also closes those to the sentinels."""

        async def disconnect(self, inuse_connections: bool = True) -> None:
            await super().disconnect(inuse_connections)
            for one in sentinel.sentinels:
                await one.aclose()

    query = address.options
    theirs = query.pop("sentinel_password", None)
    tls: dict[str, Any] = {"ssl": True} if address.is_secure else {}
    own = {"db": int(query.pop("db", 0)), **query, **address.login(), **options, **tls}
    tls |= {name: value for name, value in query.items() if name.startswith("ssl_")}  # certificates of one are of both
    asking = {**options, **tls, "socket_timeout": CONNECT_SECONDS, "password": theirs}
    sentinel = Sentinel(address.addresses(_SENTINEL_PORT), sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    name = address.parts.path.strip("/") or "mymaster"
    client: Redis = sentinel.master_for(name, connection_pool_class=Pool, **own)
    return client


def _options() -> dict[str, Any]:
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    once = Retry(NoBackoff(), 0)  # what is sent again could be taken twice
    return {"socket_timeout": CONNECT_SECONDS, "socket_connect_timeout": CONNECT_SECONDS, "retry": once}


def _unusable(error: Exception) -> ConfigError:
    return ConfigError(f"The URL of Redis is not usable: {type(error).__name__}. Use redis://host:6379/0.")


# It uses redis-py's connection itself: redis-py's pipelines take three times as long as all the rest of a call
# (docs/decisions/0019-redis-scripts.md). A late reply is announced in time and still read: so the connection stays
# usable, and nothing that is sent afterwards overtakes what was sent before.


_SLICES = 5  # of a wait: while this gateway's own event loop is busy, no time passes for Redis


class RedisCall(NamedTuple):
    """One script and its arguments."""

    script: str
    keys: Sequence[str]
    args: Sequence[str | int | bytes]


class ScriptConnection:
    """A connection of its own, made when it is needed, and made anew after a failure."""

    def __init__(self, client: Redis) -> None:
        self._client = client  # whose connections it uses
        self._connection: AbstractConnection | None = None
        self._hashes: dict[str, str] = {}

    async def open(self) -> None:
        """Connect if need be, and load the scripts."""
        if self._connection is None:
            self._connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        texts = _scripts()
        replies = await self._exchange([("SCRIPT", "LOAD", text) for text in texts.values()])
        self._hashes = {name: reply.decode() for name, reply in zip(texts, _good(replies), strict=True)}

    async def replies(self, calls: Sequence[RedisCall], seconds: float, late: Callable[[], None]) -> list[Any]:
        """The replies to calls that travel together."""
        # ``late`` is called when they take longer; then they are waited for to keep the connection in order.
        slices, loop = _SLICES, asyncio.get_running_loop()
        alarm: asyncio.TimerHandle

        def slice_over() -> None:
            nonlocal slices, alarm
            slices -= 1
            if slices:
                alarm = loop.call_later(seconds / _SLICES, slice_over)
            else:
                late()

        alarm = loop.call_later(seconds / _SLICES, slice_over)
        try:
            async with asyncio.timeout(seconds + CONNECT_SECONDS):
                replies = await self._exchange([self._command(call) for call in calls])
                if any(_is_unknown(reply) for reply in replies):
                    replies = await self._again(calls, replies)
        finally:
            alarm.cancel()
        if not slices:
            raise TimeoutError
        return _good(replies)

    async def drop(self, *, nowait: bool = True) -> None:
        """Give the connection up: the next one may lead to another server.

        Over TLS its end takes a reply, which is waited for without ``nowait``, for as long as for a connection.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*failures()):
                await connection.disconnect(nowait=nowait)
            await self._client.connection_pool.release(connection)

    async def _again(self, calls: Sequence[RedisCall], replies: list[Any]) -> list[Any]:
        # Repeat the calls of scripts that Redis has forgotten; they have done nothing yet.
        await self.open()
        places = [place for place, reply in enumerate(replies) if _is_unknown(reply)]
        again = await self._exchange([self._command(calls[place]) for place in places])
        for place, reply in zip(places, again, strict=True):
            replies[place] = reply
        return replies

    def _command(self, call: RedisCall) -> tuple[str | int | bytes, ...]:
        return ("EVALSHA", self._hashes[call.script], len(call.keys), *call.keys, *call.args)

    async def _exchange(self, commands: Sequence[tuple[str | int | bytes, ...]]) -> list[Any]:
        # Replies, of which some may be errors.
        from hiredis import pack_command
        from redis.exceptions import ResponseError

        connection = self._connection
        if connection is None:
            raise EOFError
        packed = b"".join(pack_command(command) for command in commands)  # type: ignore[arg-type]
        await connection.send_packed_command(packed, check_health=False)
        replies = []
        for _ in commands:
            try:
                replies.append(await connection.read_response())
            except ResponseError as error:
                replies.append(error)
        return replies


@cache
def _scripts() -> dict[str, str]:
    folder = Path(__file__).parent / "lua"
    common = (folder / "common.lua").read_text(encoding="utf-8")
    own = (path for path in folder.glob("*.lua") if path.stem != "common")
    return {path.stem: common + path.read_text(encoding="utf-8") for path in own}


def _is_unknown(reply: Any) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(reply, NoScriptError)


def _good(replies: list[Any]) -> list[Any]:
    # The replies, or the first failure among them.
    for reply in replies:
        if isinstance(reply, failures()):
            raise reply
    return replies
