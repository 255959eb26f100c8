"""What callers, tenants and everyone have used of their limits and budgets: the contract, and its keeping in memory.

A *meter* counts one limit of one of them: so much in so many seconds, or so much at once. A request takes from all
meters that concern it or from none, and what it took can be changed while it counts. ``redis.py`` keeps the same meters
for many gateways.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_GRAINS = 120  # parts of a window without a limit, which is kept for show
_MOST_METERS = 20_000  # beyond it, those that count nothing are forgotten
_GONE = -math.inf


class Counter(NamedTuple):
    """One limit of one account.

    Args:
        id: Unique name, ``account/unit/period`` such as ``caller:ada/requests/minute``.
        limit: The most that may count; None only counts.
        seconds: How long what is taken counts; 0 counts until it is given back, such as what is under way.
        grain: Seconds within which what is taken may be kept as one.
    """

    id: str
    limit: int | None
    seconds: float = 0.0
    grain: float = 0.0


def account_of(meter: str) -> str:
    """Whose meter of a window it is, by its id.

    Example:
        >>> account_of("caller:ada/requests/minute")
        'caller:ada'
    """
    return meter.rsplit("/", 2)[0]


class Demand(NamedTuple):
    """What a request needs of one meter."""

    meter: Counter
    amount: int


class Shortfall(NamedTuple):
    """A meter without room, and the seconds until it has: infinite for never, 0 where nobody can know."""

    meter: Counter
    wait: float


class Use(NamedTuple):
    """What counts on a meter now, and the seconds until nothing does any more."""

    used: int
    full_again: float


class Part:
    """What a request holds of one meter.

    Attributes:
        meter: The meter.
        amount: How much.
        place: Where it stands; the implementation's.
    """

    __slots__ = ("amount", "meter", "place")

    def __init__(self, meter: Counter, amount: int, place: Any) -> None:
        self.meter = meter
        self.amount = amount
        self.place = place


class Counters(Protocol):
    """All meters. Only ``take``, ``read`` and ``clear`` may wait for another machine, and never for long."""

    @property
    def health(self) -> str:
        """``ok``, or ``degraded`` while what others use is not known."""

    async def take(self, wants: Sequence[Demand]) -> list[Part] | list[Shortfall]:
        """Take all that is wanted, or nothing and tell of every meter that has no room."""

    def add(self, meter: Counter, amount: int = 1) -> Part:
        """Take without asking whether there is room."""

    def change(self, part: Part, amount: int) -> None:
        """What was taken is really so much; 0 gives it back. What no longer counts stays out."""

    def use(self, meter: Counter) -> Use:
        """What is known to count now, without waiting."""

    async def read(self, meters: Sequence[Counter]) -> None:
        """Bring what ``use`` says up to date."""

    async def clear(self, period: str) -> int:
        """Forget what counts on all meters whose id ends so; how many accounts had something to forget."""

    async def forget(self, account: str) -> bool:
        """Forget an account with its name, but what is under way; False where another machine is away that knows it."""

    def restore(self, meter: Counter, amount: int, age: float = 0.0) -> None:
        """Count what was used ``age`` seconds ago, before this process started; calls come in the order of time."""

    async def close(self) -> None:
        """Give everything back."""


class Share:
    """A part taken from a window, which can be corrected while it counts."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: int) -> None:
        self.at = at
        self.amount = amount


class RollingWindow:
    """What was taken in the last ``seconds`` seconds.

    Args:
        seconds: Length. What is taken at ``t`` counts until just before ``t + seconds``.
        limit: The most at any moment. None only counts, to 1/120 of the window.
        grain: Seconds within which what is taken is kept as one.

    Example:
        >>> window = RollingWindow(60.0, 2)
        >>> _ = window.take(0.0, 1), window.take(10.0, 1)
        >>> window.wait(20.0, 1), window.wait(60.0, 1)
        (40.0, 0.0)
    """

    __slots__ = ("_grain", "_shares", "_used", "limit", "seconds")

    def __init__(self, seconds: float, limit: int | None, grain: float = 0.0) -> None:
        self.seconds = seconds
        self.limit = limit
        self._grain = grain if limit is not None else seconds / _GRAINS
        self._shares: deque[Share] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """How much counts at ``now``."""
        shares = self._shares
        while shares and shares[0].at + self.seconds <= now:
            self._used -= shares.popleft().amount
        return self._used

    def wait(self, now: float, amount: int) -> float:
        """Seconds until ``amount`` fits: 0.0 for at once, infinity for never."""
        if self.limit is None:
            return 0.0
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return 0.0
        for share in self._shares:
            excess -= share.amount
            if excess <= 0:
                return share.at + self.seconds - now
        return math.inf

    def full_again(self, now: float) -> float:
        """Seconds until nothing counts any more."""
        return self._shares[-1].at + self.seconds - now if self.used(now) else 0.0

    def take(self, now: float, amount: int) -> Share:
        """Count ``amount`` from now on."""
        self._used += amount
        last = self._shares[-1] if self._shares else None
        if last is not None and now - last.at < self._grain:
            last.amount += amount
            return last
        share = Share(now, amount)
        self._shares.append(share)
        return share

    def correct(self, now: float, share: Share, difference: int) -> None:
        """Add ``difference`` to a share, at that share's time: what has left the window stays out."""
        self.used(now)
        if share.at + self.seconds > now:
            share.amount += difference
            self._used += difference
            if not share.amount and not self._grain:
                share.at = _GONE
        while self._shares and self._shares[-1].at == _GONE:  # a storm of refusals leaves nothing behind
            self._shares.pop()

    def clear(self) -> None:
        """Forget all, and what open requests would still correct."""
        for share in self._shares:
            share.at = _GONE
        self._shares.clear()
        self._used = 0


class Gauge:
    """What is taken and not given back."""

    __slots__ = ("_used", "limit")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._used = 0

    def used(self, now: float) -> int:  # noqa: ARG002 - it knows no time
        """How much counts."""
        return self._used

    def wait(self, now: float, amount: int) -> float:
        """0.0 when ``amount`` fits, infinity when it never does; otherwise nobody knows, which is infinity, too."""
        return 0.0 if self.limit is None or self.used(now) + amount <= self.limit else math.inf

    def full_again(self, now: float) -> float:  # noqa: ARG002
        """Nobody knows."""
        return 0.0

    def take(self, now: float, amount: int) -> Share:
        """Count ``amount`` until it is given back."""
        self._used += amount
        return Share(now, amount)

    def correct(self, now: float, share: Share, difference: int) -> None:  # noqa: ARG002
        """Count so much more."""
        share.amount += difference
        self._used += difference

    def clear(self) -> None:
        """Nothing: what is under way stays under way."""


class MemoryCounters:
    """The meters of one process. Nothing in here waits, so nobody comes in between.

    Args:
        clock: Seconds, never going back.

    Example:
        >>> import asyncio
        >>> meters, minute = MemoryCounters(clock=lambda: 0.0), Counter("caller:ada/requests/minute", 1, 60.0)
        >>> [part] = asyncio.run(meters.take([Demand(minute, 1)]))
        >>> asyncio.run(meters.take([Demand(minute, 1)]))[0].wait
        60.0
    """

    health = "ok"

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, RollingWindow | Gauge] = {}
        self._most = _MOST_METERS

    def __len__(self) -> int:
        return len(self._counts)

    async def take(self, wants: Sequence[Demand]) -> list[Part] | list[Shortfall]:
        """See ``Counters.take``."""
        now = self._clock()
        counts = [self._count(want.meter) for want in wants]
        shorts = [
            Shortfall(want.meter, wait if want.meter.seconds or not want.meter.limit else 0.0)
            for want, count in zip(wants, counts, strict=True)
            if (wait := count.wait(now, want.amount))
        ]
        return shorts or [
            Part(want.meter, want.amount, (count, count.take(now, want.amount)))
            for want, count in zip(wants, counts, strict=True)
        ]

    def add(self, meter: Counter, amount: int = 1) -> Part:
        """See ``Counters.add``."""
        count = self._count(meter)
        return Part(meter, amount, (count, count.take(self._clock(), amount)))

    def change(self, part: Part, amount: int) -> None:
        """See ``Counters.change``."""
        if difference := amount - part.amount:
            part.amount = amount
            count, share = part.place
            count.correct(self._clock(), share, difference)

    def use(self, meter: Counter) -> Use:
        """See ``Counters.use``."""
        now, count = self._clock(), self._counts.get(meter.id)
        return Use(count.used(now), count.full_again(now)) if count is not None else Use(0, 0.0)

    async def read(self, meters: Sequence[Counter]) -> None:
        """Nothing: ``use`` knows all."""

    async def clear(self, period: str) -> int:
        """See ``Counters.clear``."""
        now, accounts = self._clock(), set()
        for name, count in self._counts.items():
            if name.endswith(f"/{period}") and count.used(now):
                accounts.add(account_of(name))
                count.clear()
        return len(accounts)

    async def forget(self, account: str) -> bool:
        """See ``Counters.forget``."""
        for name, count in list(self._counts.items()):
            if account_of(name) == account and isinstance(count, RollingWindow):
                del self._counts[name]
        return True

    def restore(self, meter: Counter, amount: int, age: float = 0.0) -> None:
        """See ``Counters.restore``."""
        self._count(meter).take(self._clock() - age, amount)

    async def close(self) -> None:
        """Nothing is open."""

    def _count(self, meter: Counter) -> RollingWindow | Gauge:
        count = self._counts.get(meter.id)
        if count is None:
            if len(self._counts) >= self._most:
                self._forget_idle()
            count = RollingWindow(meter.seconds, meter.limit, meter.grain) if meter.seconds else Gauge(meter.limit)
            self._counts[meter.id] = count
        count.limit = meter.limit
        return count

    def _forget_idle(self) -> None:
        now = self._clock()
        self._counts = {name: count for name, count in self._counts.items() if count.used(now)}
        self._most = max(_MOST_METERS, 2 * len(self._counts))
