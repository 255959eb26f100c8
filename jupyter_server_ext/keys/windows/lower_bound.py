"""A lower bound of what is left of a window: from headers, or because the window is known to be a bucket."""

# Requests in flight are taken off, as they may be counted already. A bucket gains at its rate and holds no more than
# its limit, and here each request empties it as late as it may have: when it had surely been counted. That is the
# tightest bound there is: a bucket's level is the least of ``limit + rate · (now - x) - what was counted since x``,
# over all ``x`` in the past, and the later a request is counted, the more of these it is in.

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.usage import EXACT, ReservationVariance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_server_ext.keys.windows.usage import Excess, WindowEntry


class RemainingLowerBound:
    """What is left at least.

    Example:
        >>> from jupyter_server_ext.keys.windows.usage import WindowEntry
        >>> bound = RemainingLowerBound(30, 0.5, full=True)
        >>> entry = WindowEntry(1, 0, 0, 0.0, 1)
        >>> bound.reserve(entry)
        >>> bound.left(10.0)  # it may be counted only now
        29.0
        >>> bound.count(entry, 10.0)
        >>> bound.left(11.0), bound.left(20.0)
        (29.5, 30.0)
    """

    def __init__(self, limit: int, rate: float = 0.0, *, full: bool = False) -> None:
        self.limit = limit  # the most that a bucket holds
        self.rate = rate  # what a bucket gains a second; 0 where it is none
        self._level = float(limit if full else 0)  # full is a bucket of which nothing was taken yet
        self._at = 0.0
        self._in_flight = 0  # taken off, and perhaps not counted yet
        self._variance = ReservationVariance()  # of what is not settled and was taken off
        self._number = 1
        self._peaks: dict[WindowEntry, float] = {}  # of what was counted and is not settled: the highest level since
        self._since = -math.inf  # what was counted by then is in the header that it is from …
        self._by: WindowEntry | None = None  # … and so is the request that it answered

    def left(self, now: float, excess: Excess = EXACT) -> float:
        """How much is left at least, if so far above the average."""
        return self._level_at(now) - self._in_flight + self._variance.saved(excess)

    def set(
        self,
        left: float,
        missed: Iterable[WindowEntry],
        now: float,
        *,
        by: WindowEntry | None = None,
        since: float = -math.inf,
    ) -> None:
        """Begin anew with so much that is left at least.

        Args:
            left: How much.
            missed: What may not be included, and has been taken off.
            now: The time.
            by: The request whose answer had the header.
            since: What was counted before is included, whatever it turns out to be.
        """
        self._level, self._at = left + self._in_flight, now
        self._number += 1
        self._variance = ReservationVariance()
        self._since, self._by = since, by
        self._peaks = {}
        for entry in missed:
            if not entry.settled:
                self._add(entry)
                self._peaks[entry] = self._level

    def is_from(self, entry: WindowEntry) -> bool:
        """Whether it is from the header of the answer to this entry."""
        return entry is self._by

    def reserve(self, entry: WindowEntry) -> None:
        """Take off an entry, which may be counted from now on."""
        self._in_flight += entry.amount
        self._add(entry)

    def count(self, entry: WindowEntry, at: float) -> None:
        """Empty a bucket by an entry that was counted by ``at``."""
        self._in_flight -= entry.amount
        self.lower(entry.amount, at)
        if entry.amount > 1:
            self._peaks[entry] = self._level

    def uncount(self, entry: WindowEntry) -> None:
        """An entry may be counted only later; the bound is to be set anew."""
        self._in_flight += entry.amount

    def cancel(self, entry: WindowEntry) -> None:
        """Give back an entry that will never be counted."""
        self._in_flight -= entry.amount
        self.settle(entry)

    def settle(self, entry: WindowEntry) -> None:
        """The amount of an entry is known."""
        if entry.bound == self._number:
            entry.bound = 0
            self._variance.drop(entry.excess)

    def lower(self, amount: float, at: float) -> None:
        """Empty a bucket by so much, counted at ``at``."""
        level = self._level_at(at)
        for entry, peak in self._peaks.items() if self.rate else ():
            self._peaks[entry] = max(peak, level)
        self._level, self._at = level - amount, max(self._at, at)

    def change(self, entry: WindowEntry, more: int, now: float) -> None:
        """Correct an entry by so much more, unless the header that the bound is from had included it."""
        if entry.counted >= self._since and entry is not self._by:
            self.correct(entry, more, now)

    def correct(self, entry: WindowEntry, more: int, now: float) -> None:
        """Correct an entry by so much more than it was counted with."""
        # Where it took less, the bucket was fuller since then, and may have been full: only that is given back which it
        # had room for all the time.
        self.lower(0, now)
        peak = self._peaks.pop(entry, self.limit)
        if more < 0 and self.rate:
            more = -min(-more, max(0, math.floor(self.limit - peak)))
            self._peaks = {
                other: max(high, peak - more) if other.counted < entry.counted else high - more
                for other, high in self._peaks.items()
            }
        self._level -= more

    def _level_at(self, now: float) -> float:
        return min(self.limit, self._level + max(0.0, now - self._at) * self.rate) if self.rate else self._level

    def _add(self, entry: WindowEntry) -> None:
        entry.bound = self._number
        self._variance.add(entry.excess)
