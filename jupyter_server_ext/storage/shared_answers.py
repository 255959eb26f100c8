"""Cached answers that many gateways share by way of Redis, behind each one's own memory."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from jupyter_server_ext.storage.redis import client_of, failures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PATIENCE = 0.05  # seconds that a request waits for an answer from here
_REST = 1.0  # seconds for which nobody asks after it was away
_MOST_BYTES = 1_000_000  # of one answer


class RedisAnswers:
    """Answers in Redis, each with its own key and time to live.

    They may be in a Redis of their own that evicts what was used longest ago; losing any of them costs a call.

    Args:
        url: As for ``Link``; ``max_mb`` in its query is the memory's affair.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "max_mb"])
        self._client, self._prefix = client_of(parts._replace(query=query).geturl())
        self._away_until = 0.0

    async def get(self, key: str) -> tuple[bytes, float] | None:
        """See ``AnswerStore.get``."""
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.get(self._name(key))
            pipe.pttl(self._name(key))
            found = await self._ask(pipe.execute)
        if found is None or found[0] is None or found[1] <= 0:
            return None
        return found[0], found[1] / 1000

    async def put(self, key: str, answer: bytes, seconds: float) -> None:
        """See ``AnswerStore.put``."""
        if len(answer) <= _MOST_BYTES and seconds > 0:
            await self._ask(partial(self._client.set, self._name(key), answer, px=max(1, int(seconds * 1000))))

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    def _name(self, key: str) -> str:
        return f"{self._prefix}:answer:{key}"

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis says; None when it is away, and then nobody asks for a while."""
        now = asyncio.get_running_loop().time()
        if now < self._away_until:
            return None
        try:
            async with asyncio.timeout(_PATIENCE):
                return await question()
        except failures():
            self._away_until = now + _REST
            return None
