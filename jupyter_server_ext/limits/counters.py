"""What callers, tenants and everyone have used of their limits and budgets: counted in memory."""

# A *counter* counts one limit of one of them: so much in so many seconds, or so much at once. A request is charged to
# all counters that concern it or to none, and a charge can be corrected while it counts. ``shared_counters.py`` keeps
# the same counters for many gateways.

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_server_ext.limits.shared_counters import RedisCounters

_GRAINS = 120  # parts of a window without a limit, which is counted for show
_MOST_COUNTERS = 20_000  # beyond it, those that count nothing are forgotten
_GONE = -math.inf  # when a slice was taken that counts no more


class Counter(NamedTuple):
    """One limit of one scope."""

    id: str  # unique name, ``scope/unit/period`` such as ``caller:ada/requests/minute``
    limit: int | None  # the most that may count; None only counts
    seconds: float = 0.0  # how long a charge counts; 0 counts until it is given back, such as what is in flight
    grain: float = 0.0  # seconds within which charges may be kept as one


def scope_of(counter: str) -> str:
    """The scope of a windowed counter, by the counter's id."""
    return counter.rsplit("/", 2)[0]


class Demand(NamedTuple):
    """What a request needs of one counter."""

    counter: Counter
    amount: int


class Shortfall(NamedTuple):
    """A counter without room, and the seconds until it has: infinite for never, 0 where that cannot be known."""

    counter: Counter
    wait: float


class Use(NamedTuple):
    """What counts now, and the seconds until nothing does any more."""

    used: int
    full_again: float


@dataclass(slots=True, eq=False)
class Charge:
    """What a request has taken of one counter; ``place`` is where it stands, the implementation's."""

    counter: Counter
    amount: int
    place: Any


@dataclass(slots=True, eq=False)
class Slice:
    """What was taken of a window at one time, which can be corrected while it counts."""

    at: float
    amount: int


class RollingWindow:
    """What was taken in the last ``seconds`` seconds.

    Args:
        seconds: Length. What is taken at ``t`` counts until just before ``t + seconds``.
        limit: The most at any moment. None only counts, to 1/120 of the window.
        grain: Seconds within which amounts are kept as one.

    Example:
        >>> window = RollingWindow(60.0, 2)
        >>> _ = window.take(0.0, 1), window.take(10.0, 1)
        >>> window.wait(20.0, 1), window.wait(60.0, 1)
        (40.0, 0.0)
    """

    __slots__ = ("_grain", "_slices", "_used", "limit", "seconds")

    def __init__(self, seconds: float, limit: int | None, grain: float = 0.0) -> None:
        self.seconds = seconds
        self.limit = limit
        self._grain = grain if limit is not None else seconds / _GRAINS
        self._slices: deque[Slice] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """How much counts at ``now``."""
        slices = self._slices
        while slices and slices[0].at + self.seconds <= now:
            self._used -= slices.popleft().amount
        return self._used

    def wait(self, now: float, amount: int) -> float:
        """Seconds until ``amount`` fits: 0.0 for at once, infinity for never."""
        if self.limit is None:
            return 0.0
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return 0.0
        for one in self._slices:
            excess -= one.amount
            if excess <= 0:
                return one.at + self.seconds - now
        return math.inf

    def full_again(self, now: float) -> float:
        """Seconds until nothing counts any more; 0 where that cannot be known."""
        is_known = self.used(now) and math.isfinite(self.seconds)
        return self._slices[-1].at + self.seconds - now if is_known else 0.0

    def take(self, now: float, amount: int) -> Slice:
        """Count ``amount`` from now on."""
        self._used += amount
        last = self._slices[-1] if self._slices else None
        # Coarse slices bound the memory of a window that thousands use.
        if last is not None and now - last.at < self._grain:
            last.amount += amount
            return last
        taken = Slice(now, amount)
        self._slices.append(taken)
        return taken

    def correct(self, now: float, taken: Slice, difference: int) -> None:
        """Add ``difference`` to a slice, at its time: what has left the window stays out."""
        self.used(now)
        if taken.at + self.seconds > now:
            taken.amount += difference
            self._used += difference
            if not taken.amount and not self._grain:
                taken.at = _GONE
        while self._slices and self._slices[-1].at == _GONE:  # a storm of refusals leaves nothing behind
            self._slices.pop()

    def clear(self) -> None:
        """Forget all, and what open requests would still correct."""
        for one in self._slices:
            one.at = _GONE
        self._slices.clear()
        self._used = 0


@dataclass(eq=False, repr=False, kw_only=True)
class MemoryCounters:
    """The counters of one process. No method yields to the event loop, so nothing comes in between.

    Example:
        >>> import asyncio
        >>> counters, minute = MemoryCounters(clock=lambda: 0.0), Counter("caller:ada/requests/minute", 1, 60.0)
        >>> [charge] = asyncio.run(counters.take([Demand(minute, 1)]))
        >>> asyncio.run(counters.take([Demand(minute, 1)]))[0].wait
        60.0
    """

    health = "ok"  # ``degraded`` of shared counters, while what others use is not known
    clock: Callable[[], float] = time.monotonic  # seconds, never going back
    _counts: dict[str, RollingWindow] = field(default_factory=dict)
    _most: int = _MOST_COUNTERS

    def __len__(self) -> int:
        return len(self._counts)

    async def take(self, demands: Sequence[Demand]) -> list[Charge] | list[Shortfall]:
        """Charge all demands, or nothing and return every counter that has no room."""
        now = self.clock()
        counts = [self._count(counter) for counter, _ in demands]
        shortfalls = [
            Shortfall(counter, wait if counter.seconds or not counter.limit else 0.0)
            for (counter, amount), count in zip(demands, counts, strict=True)
            if (wait := count.wait(now, amount))
        ]
        return shortfalls or [
            Charge(counter, amount, (count, count.take(now, amount)))
            for (counter, amount), count in zip(demands, counts, strict=True)
        ]

    def add(self, counter: Counter, amount: int = 1) -> Charge:
        """Charge an amount, whether or not there is room."""
        count = self._count(counter)
        return Charge(counter, amount, (count, count.take(self.clock(), amount)))

    def change(self, charge: Charge, amount: int) -> None:
        """Correct a charge; 0 gives it back. What no longer counts stays out."""
        # Most charges are settled as they were taken.
        if difference := amount - charge.amount:
            charge.amount = amount
            count, taken = charge.place
            count.correct(self.clock(), taken, difference)

    def use(self, counter: Counter) -> Use:
        """What is known to count now, without waiting, and when nothing does any more."""
        now, count = self.clock(), self._counts.get(counter.id)
        return Use(count.used(now), count.full_again(now)) if count is not None else Use(0, 0.0)

    async def read(self, counters: Sequence[Counter]) -> None:
        """Bring ``use`` up to date: here it always is."""

    async def clear(self, period: str) -> int:
        """Forget what counts on all counters whose id ends so; how many scopes had something to forget."""
        now, scopes = self.clock(), set()
        for name, count in self._counts.items():
            if name.endswith(f"/{period}") and count.used(now):
                scopes.add(scope_of(name))
                count.clear()
        return len(scopes)

    async def forget(self, scope: str) -> bool:
        """Forget a scope with its name, but for what is in flight; whether that is complete."""
        for name, count in list(self._counts.items()):
            if scope_of(name) == scope and math.isfinite(count.seconds):
                del self._counts[name]
        return True

    def restore(self, counter: Counter, amount: int, age: float = 0.0) -> None:
        """Count what was used ``age`` seconds ago, before this process started; calls come in the order of time."""
        self._count(counter).take(self.clock() - age, amount)

    async def close(self) -> None:
        """Do nothing: nothing is open."""

    def _count(self, counter: Counter) -> RollingWindow:
        count = self._counts.get(counter.id)
        if count is None:
            if len(self._counts) >= self._most:
                now = self.clock()
                self._counts = {name: one for name, one in self._counts.items() if one.used(now)}
                self._most = max(_MOST_COUNTERS, 2 * len(self._counts))
            # What is in flight counts until it is given back, and all of it as one.
            seconds, grain = (counter.seconds, counter.grain) if counter.seconds else (math.inf, math.inf)
            count = self._counts[counter.id] = RollingWindow(seconds, counter.limit, grain)
        # Limits may have been changed since the counter was made.
        count.limit = counter.limit
        return count


Counters: TypeAlias = "MemoryCounters | RedisCounters"
"""All counters of a gateway, which have the same methods."""
