"""At least so much is left of a window, by what headers told, or because it is known to be a bucket.

What is under way is taken off, as nobody knows whether it is counted yet. A bucket gains at its rate and holds no more
than its limit, and here each request empties it as late as it may have: when it had surely been counted. That is the
tightest bound there is. For a bucket's level is the least of ``limit + rate · (now - x) - what was counted since x``,
over all ``x`` in the past; and the later a request is counted, the more of these it is in.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.variance import EXACT, ReservationVariance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jupyter_server_ext.keys.windows.variance import Above

    from .entry import Entry


class RemainingLowerBound:
    """What is left at least.

    Attributes:
        limit: The most that a bucket holds.
        rate: What it gains a second; 0 where it is no bucket.

    Example:
        >>> from jupyter_server_ext.keys.windows.entry import Entry
        >>> floor = RemainingLowerBound(30, 0.5)
        >>> floor.fill()
        >>> entry = Entry(1, 0, 0, 0.0, 1)
        >>> floor.take(entry)
        >>> floor.left(10.0)  # it may be counted only now
        29.0
        >>> floor.count(entry, 10.0)
        >>> floor.left(11.0), floor.left(20.0)
        (29.5, 30.0)
    """

    def __init__(self, limit: int, rate: float = 0.0) -> None:
        self.limit = limit
        self.rate = rate
        self._level = 0.0
        self._at = 0.0
        self._under_way = 0  # taken, and perhaps not counted yet
        self._spread = ReservationVariance()  # of what is not settled and was taken off
        self._number = 1
        self._peaks: dict[Entry, float] = {}  # of what was counted and is not settled: the highest level since
        self._since = -math.inf  # what was counted by then is in the header that it is from …
        self._by: Entry | None = None  # … and so is the request that it answered

    def left(self, now: float, above: Above = EXACT) -> float:
        """How much is left at least, if so far ``above`` the average."""
        return self._level_at(now) - self._under_way + self._spread.saved(above)

    def fill(self) -> None:
        """It is a bucket of which nothing was taken yet."""
        self._level = float(self.limit)

    def set(
        self,
        left: float,
        missed: Iterable[Entry],
        now: float,
        *,
        by: Entry | None = None,
        since: float = -math.inf,
    ) -> None:
        """At least so much is left.

        Args:
            left: How much.
            missed: What has been taken off for what may not be included.
            now: The time.
            by: The request whose answer told.
            since: What was counted before is included, whatever it turns out to be.
        """
        self._level, self._at = left + self._under_way, now
        self._number += 1
        self._spread = ReservationVariance()
        self._since, self._by = since, by
        self._peaks = {}
        for entry in missed:
            if not entry.settled:
                self._add(entry)
                self._peaks[entry] = self._level

    def is_from(self, entry: Entry) -> bool:
        """Whether it is from the header of the answer to ``entry``."""
        return entry is self._by

    def take(self, entry: Entry) -> None:
        """``entry`` may be counted from now on."""
        self._under_way += entry.amount
        self._add(entry)

    def count(self, entry: Entry, at: float) -> None:
        """``entry`` was counted by ``at``."""
        self._under_way -= entry.amount
        self.lower(entry.amount, at)
        if entry.amount > 1:
            self._peaks[entry] = self._level

    def uncount(self, entry: Entry) -> None:
        """``entry`` may be counted only later; the floor is to be set anew."""
        self._under_way += entry.amount

    def cancel(self, entry: Entry) -> None:
        """``entry`` will never be counted."""
        self._under_way -= entry.amount
        self.settle(entry)

    def settle(self, entry: Entry) -> None:
        """How much ``entry`` takes is known."""
        if entry.floor == self._number:
            entry.floor = 0
            self._spread.drop(entry.above)

    def lower(self, amount: float, at: float) -> None:
        """So much was counted at ``at``."""
        level = self._level_at(at)
        for entry, peak in self._peaks.items() if self.rate else ():
            self._peaks[entry] = max(peak, level)
        self._level, self._at = level - amount, max(self._at, at)

    def change(self, entry: Entry, more: int, now: float) -> None:
        """``entry`` took so much more than when it was counted; what the header included has told already."""
        if entry.counted >= self._since and entry is not self._by:
            self.correct(entry, more, now)

    def correct(self, entry: Entry, more: int, now: float) -> None:
        """``entry`` took so much more than when it was counted.

        Where it took less, the bucket was fuller since then, and may have been full: only that is given back which it
        had room for all the time.
        """
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

    def _add(self, entry: Entry) -> None:
        entry.floor = self._number
        self._spread.add(entry.above)
