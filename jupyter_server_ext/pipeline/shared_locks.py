"""Claims that many gateways share by way of Redis: one Lua call claims a name, and news tells when it is free again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from jupyter_server_ext.pipeline.idempotency import DistributedLock
from jupyter_server_ext.redis import Call, Lost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jupyter_server_ext.redis import RedisCoordinator

_LONGEST = 3_600_000  # milliseconds that a request may be under way
_PATIENCE = 1.0  # seconds after which one who waits looks again, though it has heard nothing


class RedisLocks:
    """Claims of all gateways on one Redis.

    Args:
        redis: The way to it.
        seconds: How long it is remembered that a name was answered.
    """

    tick = inf
    """See ``Participant.tick``."""

    def __init__(self, redis: RedisCoordinator, *, seconds: float = 86_400.0) -> None:
        self._redis = redis
        self._milliseconds = int(seconds * 1000)
        self._ended: dict[str, Call] = {}  # that Redis has not been told of
        self._waiting: dict[str, asyncio.Event] = {}
        redis.join(self)

    @asynccontextmanager
    async def hold(self, name: str, mark: str) -> AsyncIterator[DistributedLock]:
        """See ``DistributedLocks.hold``."""
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
            state = await self._redis.call(Call("claim", [self._redis.live_key, key], args), _known, undo)
            if state != "busy":
                return DistributedLock(state)
            heard = self._waiting.setdefault(key, asyncio.Event())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await heard.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting.pop(key, None)

    def _end(self, key: str, mark: str, lock: DistributedLock) -> None:
        """Let others have the name, or know that it was answered."""
        milliseconds = self._milliseconds if lock.is_answered else 0
        args = (self._redis.instance, self._redis.channel, mark, milliseconds)
        self._ended[key] = Call("settle", [self._redis.live_key, key], args)
        self._redis.changed()

    # As a participant

    def on_loss(self) -> None:
        """See ``Participant.on_loss``."""

    def snapshot(self) -> list[Call]:
        """See ``Participant.snapshot``."""
        return list(self._ended.values())

    def changes(self) -> list[Call]:
        """See ``Participant.changes``."""
        return list(self._ended.values())

    def on_reply(self, call: Call, reply: Any) -> None:  # noqa: ARG002
        """See ``Participant.on_reply``."""
        if self._ended.get(call.keys[1]) is call:
            del self._ended[call.keys[1]]

    def on_news(self, kind: str, news: Any) -> None:
        """See ``Participant.on_news``."""
        if kind == "settled" and (heard := self._waiting.pop(news, None)):
            heard.set()


def _known(reply: Any) -> Literal["new", "answered", "other", "busy"]:
    state: Literal["new", "answered", "other", "busy"] = reply.decode()
    return state
