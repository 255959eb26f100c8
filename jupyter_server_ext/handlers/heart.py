"""Signs of life in streams that are silent, by which clients tell a slow model from a connection that is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT_SECONDS = 10.0  # of silence, after which one is due


class Heart:
    """Beats while nothing else is sent: one timer for a stream rather than one for each event.

    Args:
        beat: What it does each time.
    """

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(HEARTBEAT_SECONDS, self._look)

    def sent(self) -> None:
        """Something was sent."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._last + HEARTBEAT_SECONDS - self._loop.time()
        if left <= 0:
            self._beat()
            self.sent()
            left = HEARTBEAT_SECONDS
        self._timer = self._loop.call_later(left, self._look)
