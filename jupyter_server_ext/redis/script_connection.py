"""One connection to Redis over which scripts are called, many in one go, with late replies announced in time."""

# It uses redis-py's connection itself: redis-py's pipelines take three times as long as all the rest of a call
# (docs/decisions/0019-redis-scripts.md). A late reply is announced in time and still read: so the connection stays
# usable, and nothing that is sent afterwards overtakes what was sent before.

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyter_server_ext.redis.client import CONNECT_SECONDS, failures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis.asyncio import Redis
    from redis.asyncio.connection import AbstractConnection

_SLICES = 5  # of a wait: while this gateway's own event loop is busy, no time passes for Redis


class Call(NamedTuple):
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

    async def replies(self, calls: Sequence[Call], seconds: float, late: Callable[[], None]) -> list[Any]:
        """The replies to calls that travel together.

        Args:
            calls: The calls.
            seconds: How long they may take.
            late: Called when they take longer; then they are waited for to keep the connection in order.
        """
        alarm = _LateAlarm(seconds, late)
        try:
            async with asyncio.timeout(seconds + CONNECT_SECONDS):
                replies = await self._exchange([self._command(call) for call in calls])
                if any(_is_unknown(reply) for reply in replies):
                    replies = await self._again(calls, replies)
        finally:
            alarm.stop()
        if alarm.is_over:
            raise TimeoutError
        return _good(replies)

    async def drop(self) -> None:
        """Give the connection up: the next one may lead to another server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._client.connection_pool.release(connection)

    async def _again(self, calls: Sequence[Call], replies: list[Any]) -> list[Any]:
        """Repeat the calls of scripts that Redis has forgotten; they have done nothing yet."""
        await self.open()
        places = [place for place, reply in enumerate(replies) if _is_unknown(reply)]
        again = await self._exchange([self._command(calls[place]) for place in places])
        for place, reply in zip(places, again, strict=True):
            replies[place] = reply
        return replies

    def _command(self, call: Call) -> tuple[str | int | bytes, ...]:
        return ("EVALSHA", self._hashes[call.script], len(call.keys), *call.keys, *call.args)

    async def _exchange(self, commands: Sequence[tuple[str | int | bytes, ...]]) -> list[Any]:
        """Replies, of which some may be errors."""
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


class _LateAlarm:
    """Calls back when ``seconds`` are over in which the event loop was free."""

    __slots__ = ("_alarm", "_left", "_seconds", "_tell", "is_over")

    def __init__(self, seconds: float, tell: Callable[[], None]) -> None:
        self._seconds = seconds / _SLICES
        self._left = _SLICES
        self._tell = tell
        self.is_over = False
        self._wait()

    def stop(self) -> None:
        """What was waited for has come."""
        self._alarm.cancel()

    def _wait(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(self._seconds, self._slice_over)

    def _slice_over(self) -> None:
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self.is_over = True
            self._tell()


@cache
def _scripts() -> dict[str, str]:
    folder = Path(__file__).parent / "lua"
    common = (folder / "common.lua").read_text(encoding="utf-8")
    return {
        path.stem: common + path.read_text(encoding="utf-8") for path in folder.glob("*.lua") if path.stem != "common"
    }


def _is_unknown(reply: Any) -> bool:
    from redis.exceptions import NoScriptError

    return isinstance(reply, NoScriptError)


def _good(replies: list[Any]) -> list[Any]:
    """The replies, or the first failure among them."""
    for reply in replies:
        if isinstance(reply, failures()):
            raise reply
    return replies
