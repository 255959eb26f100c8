"""Cached answers that many gateways share by way of Redis, behind each one's own memory."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from tornado.log import app_log

from jupyter_server_ext.redis import address_of, failures, spread_client_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PATIENCE = 0.05  # seconds that a request waits for an answer from here
_REST = 1.0  # seconds for which nobody asks after it was away
_MOST_BYTES = 1_000_000  # of one answer


class RedisAnswers:
    """Answers in Redis, each with its own key and time to live.

    They may be in a Redis of their own that evicts what was used longest ago; losing any of them costs a call.

    Args:
        url: As for ``RedisCoordinator``; ``max_mb`` in its query is the memory's affair.
    """

    def __init__(self, url: str) -> None:
        place = address_of(url, also=("max_mb",))
        self._client = spread_client_of(place)
        self._prefix = place.prefix
        self._away_until = 0.0
        self._under_way: set[asyncio.Future[Any]] = set()

    async def get(self, key: str) -> tuple[bytes, float] | None:
        """See ``AnswerStore.get``."""
        found = await self._ask(partial(self._look, self._name(key)))
        if found is None or found[0] is None or found[1] <= 0:
            return None
        return found[0], found[1] / 1000

    async def put(self, key: str, answer: bytes, seconds: float) -> None:
        """See ``AnswerStore.put``."""
        if len(answer) <= _MOST_BYTES and seconds > 0:
            await self._ask(partial(self._client.set, self._name(key), answer, px=max(1, int(seconds * 1000))))

    async def close(self) -> None:
        """Give the connections back."""
        for asking in list(self._under_way):
            asking.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._client.aclose()

    async def _look(self, name: str) -> tuple[bytes | None, int]:
        """The answer, and its milliseconds."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.get(name)
            pipe.pttl(name)
            answer, left = await pipe.execute()
        return answer, left

    def _name(self, key: str) -> str:
        return f"{self._prefix}:answer:{key}"

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis says; None when it is away, and then nobody asks for a while.

        What comes too late is still received, as a connection that is broken off is never made.
        """
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
