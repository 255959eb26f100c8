"""What a window has let go and the provider may still count, as its answer came late."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entry import Entry

_LATEST = 10.0  # seconds after which a refusal is no longer looked into


class UnconfirmedExpiries:
    """Entries that have expired if they did not travel for too long: they may explain why one after them was refused.

    Args:
        end: When the window ends of what was counted at a moment.
    """

    def __init__(self, end: Callable[[float], float]) -> None:
        self._end = end
        self._entries: deque[Entry] = deque()

    def add(self, entry: Entry) -> None:
        """One has expired before it surely had."""
        self._entries.append(entry)

    def forget(self, now: float) -> None:
        """Drop those that had surely expired some time ago."""
        while self._entries and self._surely_expires(self._entries[0]) <= now - _LATEST:
            self._entries.popleft()

    def at(self, taken: float) -> int:
        """What had expired by our count at this moment, and by the provider's perhaps not."""
        return sum(entry.amount for entry in self._entries if entry.expires <= taken < self._surely_expires(entry))

    def _surely_expires(self, entry: Entry) -> float:
        return self._end(entry.answered) if entry.answered < math.inf else math.inf
