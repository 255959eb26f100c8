"""How one limit will be, if what is under way ends as expected: what queues are played ahead with."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SURELY_OVER = 1.1  # lengths of a window after which what is taken now surely counts no longer
EPSILON = 1e-9  # what may be lacking by the arithmetic alone


class WindowProjection:
    """One limit from now on. All times are seconds from now, and questions come in the order of time."""

    __slots__ = ("_at", "_floor", "_frees", "_full", "_left", "_rate", "_reservations", "_seconds", "limit", "reserved")

    def __init__(  # noqa: PLR0917
        self,
        limit: float,
        left: float,  # how much is left
        seconds: float,  # how long what is taken stays taken
        frees: Iterable[tuple[float, float]] = (),
        floor: float = -math.inf,  # how much is left at least, whatever ``left`` is
        rate: float = 0.0,  # what the floor gains in a second …
        full: float = math.inf,  # … up to this
    ) -> None:
        self.limit = limit  # how much it allows at most
        self.reserved = 0.0  # what those need together whose turns have come
        self._reservations: list[tuple[float, float]] = []
        self._left, self._seconds = left, seconds
        self._frees = deque(frees)  # when how much is given back, in the order of time
        self._floor, self._rate, self._full = floor, rate, full
        self._at = 0.0

    def room(self, at: float) -> float:
        """How much can be taken then."""
        frees = self._frees
        while frees and frees[0][0] <= at:
            self._left += frees.popleft()[1]
        if self._rate and at > self._at and self._floor < self._full:
            self._floor = min(self._full, self._floor + (at - self._at) * self._rate)
        self._at = at
        return min(self.limit, max(self._left, self._floor))

    def later(self, seconds: float) -> WindowProjection:
        """The same limit, as it is so many seconds from now."""
        self.room(seconds)
        frees = [(at - seconds, amount) for at, amount in self._frees]
        return WindowProjection(self.limit, self._left, self._seconds, frees, self._floor, self._rate, self._full)

    def opens(self, amount: float, at: float) -> float:
        """When so much can be taken, not before ``at``; infinite for more than it ever allows."""
        if amount <= self.room(at) + EPSILON:
            return at
        if amount > self.limit:
            return math.inf
        by_log, lacking = at + self._seconds, amount - self._left
        for when, freed in self._frees:
            lacking -= freed
            if lacking <= EPSILON:
                by_log = when
                break
        return min(by_log, at + (amount - self._floor) / self._rate) if self._rate else by_log

    def reserve(self, amount: float, by: float) -> None:
        """Keep so much for the head of a queue, which can have it by then."""
        self.reserved += amount
        self._reservations.append((self.reserved, by))

    def clear_reservations(self) -> None:
        """Forget whose turn it was."""
        if self.reserved:
            self.reserved = 0.0
            self._reservations.clear()

    def delays(self, amount: float, at: float) -> bool:
        """Whether the head of a queue would wait longer if so much were taken."""
        again = at + SURELY_OVER * self._seconds
        return any(self.opens(needs + amount, at) > by for needs, by in self._reservations if by < again)

    def take(self, amount: float, at: float) -> None:
        """Take so much."""
        self._left -= amount
        self._floor -= amount
        back = at + self._seconds
        self._frees.append((max(back, self._frees[-1][0]) if self._frees else back, amount))
