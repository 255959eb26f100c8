"""An event loop whose time is a number: it jumps to the next timer when nothing else is left to do. No test sleeps.

Sockets and threads are real. While a thread works time stands still, and what one side of a socket sends is given the
moment that it takes to the other side of this process.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TRAVEL = 0.002  # seconds, real ones


class _Jump(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if not timeout:
            return super().select(timeout)
        has_sockets = len(self.get_map()) > 1  # there is one by which threads wake the loop
        ready = super().select(_TRAVEL if has_sockets or self._loop.in_threads else 0)
        if not (ready or self._loop.in_threads):
            self._loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time starts at 0 and passes only where everybody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.in_threads = 0  # calls under way
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        self.in_threads += 1
        called = super().run_in_executor(executor, func, *args)
        called.add_done_callback(self._returned)
        return called

    def _returned(self, _: object) -> None:
        self.in_threads -= 1


def run(main: Any) -> Any:
    """Run a coroutine function in virtual time; it is given the loop, whose ``time`` serves as clock."""

    async def body() -> Any:
        return await main(asyncio.get_running_loop())

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(body())
