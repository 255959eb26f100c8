"""Clients of redis-py for the URLs that ``[storage]`` may name: a server, what Sentinels call master, a Cluster."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

CONNECT_SECONDS = 2.0
"""How long a connection may take, and any reply but that to a decision."""

_SENTINEL_PORT = 26379
_PORT = 6379


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
        """All hosts of the URL; ``port`` is of those without one.

        Example:
            >>> address_of("redis+cluster://u:p@10.0.0.1,10.0.0.2:7000,[::1]:7001").addresses(6379)
            [('10.0.0.1', 6379), ('10.0.0.2', 7000), ('::1', 7001)]
        """
        found = []
        for one in self.parts.netloc.rpartition("@")[2].split(","):
            host = urlsplit(f"//{one}")
            found.append((host.hostname or "localhost", host.port or port))
        return found


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
        raise ConfigError(
            "redis:// in [storage] needs redis-py. Install it: pip install 'rsql-jupyter[redis]'."
        ) from None
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

    seeds = [ClusterNode(host, port) for host, port in address.addresses(_PORT)]
    own = address.options | address.login() | _options()
    try:
        return RedisCluster(startup_nodes=seeds, ssl=address.is_secure, require_full_coverage=False, **own)
    except (ValueError, TypeError) as error:
        raise _unusable(error) from None


def _through_sentinel(address: RedisAddress, options: dict[str, Any]) -> Redis:
    """A client of the master, which the sentinels name."""
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
