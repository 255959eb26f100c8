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
        link: The way to it.
        seconds: How long it is remembered that a name was answered.
    """

    tick = inf
    """See ``Participant.tick``."""

    def __init__(self, link: RedisCoordinator, *, seconds: float = 86_400.0) -> None:
        self._link = link
        self._milliseconds = int(seconds * 1000)
        self._ended: dict[str, Call] = {}  # that Redis has not been told of
        self._waiting: dict[str, asyncio.Event] = {}
        link.join(self)

    @asynccontextmanager
    async def hold(self, name: str, mark: str) -> AsyncIterator[DistributedLock]:
        """See ``DistributedLocks.hold``."""
        key = f"{self._link.prefix}r:{name}"
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
            args = (self._link.instance, mark, _LONGEST)
            state = await self._link.call(Call("claim", [self._link.live_key, key], args), _known, undo)
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
        args = (self._link.instance, self._link.channel, mark, milliseconds)
        self._ended[key] = Call("settle", [self._link.live_key, key], args)
        self._link.changed()

    # What the link asks and tells

    def lost(self) -> None:
        """See ``Participant.lost``."""

    def everything(self) -> list[Call]:
        """See ``Participant.everything``."""
        return list(self._ended.values())

    def changes(self) -> list[Call]:
        """See ``Participant.changes``."""
        return list(self._ended.values())

    def told(self, call: Call, reply: Any) -> None:  # noqa: ARG002
        """See ``Participant.told``."""
        if self._ended.get(call.keys[1]) is call:
            del self._ended[call.keys[1]]

    def heard(self, kind: str, news: Any) -> None:
        """See ``Participant.heard``."""
        if kind == "settled" and (heard := self._waiting.pop(news, None)):
            heard.set()


def _known(reply: Any) -> Literal["new", "answered", "other", "busy"]:
    state: Literal["new", "answered", "other", "busy"] = reply.decode()
    return state
