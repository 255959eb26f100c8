"""What many gateways share by way of Redis: cached answers, and claims of names such as an Idempotency-Key."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from tornado.log import app_log

from jupyter_server_ext.pipeline.idempotency import DistributedLock
from jupyter_server_ext.redis import Lost, RedisCall, address_of, failures, spread_client_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from jupyter_server_ext.redis import RedisCoordinator

_PATIENCE = 0.05  # seconds that a request waits for an answer from here
_REST = 1.0  # seconds for which nobody asks after it was away
_MOST_BYTES = 1_000_000  # of one answer


class RedisAnswers:
    """Answers in Redis, each with its own key and time to live.

    They may be in a Redis of their own that evicts what was used longest ago; losing any of them costs a call. The URL
    is as for ``RedisCoordinator``; ``max_mb`` in its query is the memory's affair.
    """

    def __init__(self, url: str) -> None:
        place = address_of(url, also=("max_mb",))
        self._client = spread_client_of(place)
        self._prefix = f"{place.prefix}:answer:"
        self._away_until = 0.0
        self._under_way: set[asyncio.Future[Any]] = set()

    async def get(self, key: str) -> tuple[bytes, float] | None:
        """The answer and for how many seconds it is still good; None for none, or while Redis does not answer."""

        async def look() -> tuple[bytes | None, int]:
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.get(self._prefix + key)
                pipe.pttl(self._prefix + key)
                answer, left = await pipe.execute()
            return answer, left

        found = await self._ask(look)
        if found is None or found[0] is None or found[1] <= 0:
            return None
        return found[0], found[1] / 1000

    async def put(self, key: str, answer: bytes, seconds: float) -> None:
        """Keep an answer for so many seconds; never raises while Redis is away."""
        if len(answer) <= _MOST_BYTES and seconds > 0:
            await self._ask(partial(self._client.set, self._prefix + key, answer, px=max(1, int(seconds * 1000))))

    async def close(self) -> None:
        """Give the connections back."""
        for asking in list(self._under_way):
            asking.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        # The reply of Redis; None when it is away, and then no question is put for a while.
        # What comes too late is still received, as a connection that is broken off is never made.
        now = asyncio.get_running_loop().time()
        if now < self._away_until:
            return None
        asking = asyncio.ensure_future(question())
        self._under_way.add(asking)
        asking.add_done_callback(self._received)
        await asyncio.wait({asking}, timeout=_PATIENCE)
        if not asking.done() or asking.exception() is not None:
            self._away_until = now + _REST
            return None
        return asking.result()

    def _received(self, asking: asyncio.Future[Any]) -> None:
        self._under_way.discard(asking)
        error = None if asking.cancelled() else asking.exception()
        if error is not None and not isinstance(error, failures()):
            app_log.error("rsql: cached answers cannot be shared (%s).", type(error).__name__)


_LONGEST = 3_600_000  # milliseconds that a request may be under way
_LOOK_SECONDS = 1.0  # seconds after which a waiting request looks again, though no news came


class RedisLocks:
    """Claims of all gateways on one Redis."""

    tick = inf  # see ``Participant.tick``

    def __init__(self, redis: RedisCoordinator, *, seconds: float = 86_400.0) -> None:
        self._redis = redis  # the way to it
        self._milliseconds = int(seconds * 1000)  # for which it is remembered that a name was answered
        self._ended: dict[str, RedisCall] = {}  # that Redis has not been told of
        self._waiting: dict[str, asyncio.Event] = {}
        redis.join(self)

    @asynccontextmanager
    async def hold(self, name: str, mark: str) -> AsyncIterator[DistributedLock]:
        """Wait for a name and have it; ``mark`` tells two requests of one name apart."""
        key = f"{self._redis.prefix}r:{name}"
        lock = DistributedLock()
        with suppress(Lost):
            lock = await self._claimed(key, mark)
        try:
            yield lock
        finally:
            if lock.known in {"new", "unknown"}:
                self._end(key, mark, lock)

    async def _claimed(self, key: str, mark: str) -> DistributedLock:
        def undo(state: str) -> None:
            if state == "new":
                self._end(key, mark, DistributedLock())

        while True:
            args = (self._redis.instance, mark, _LONGEST)
            call = RedisCall("claim", [self._redis.live_key, key], args)
            state: Any = await self._redis.call(call, lambda reply: reply.decode(), undo)
            if state != "busy":
                return DistributedLock(state)
            heard = self._waiting.setdefault(key, asyncio.Event())
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await heard.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting.pop(key, None)

    def _end(self, key: str, mark: str, lock: DistributedLock) -> None:
        # Let others have the name, or know that it was answered.
        milliseconds = self._milliseconds if lock.is_answered else 0
        args = (self._redis.instance, self._redis.channel, mark, milliseconds)
        self._ended[key] = RedisCall("settle", [self._redis.live_key, key], args)
        self._redis.changed()

    # As a participant

    def on_loss(self) -> None:
        """See ``Participant.on_loss``."""

    def snapshot(self) -> list[RedisCall]:
        """See ``Participant.snapshot``; what has changed is all there is."""
        return list(self._ended.values())

    changes = snapshot

    def on_reply(self, call: RedisCall, reply: Any) -> None:  # noqa: ARG002
        """See ``Participant.on_reply``."""
        if self._ended.get(call.keys[1]) is call:
            del self._ended[call.keys[1]]

    def on_news(self, kind: str, news: Any) -> None:
        """See ``Participant.on_news``."""
        if kind == "settled" and (heard := self._waiting.pop(news, None)):
            heard.set()
