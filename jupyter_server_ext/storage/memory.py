"""Windows kept in this process's memory.

Why no provider's way of counting is ever overrun
-------------------------------------------------
A request sent at ``s`` is counted by the provider at some ``u``, unknown, with ``s ≤ u ≤ r``, ``r`` being when its answer began.
We hold it from ``s`` until ``c + W``: ``W`` is the length of the window and ``c = min(r, s + jitter)``. Take a later request,
counted at ``u'``, for which we saw room at ``s' ≤ u'``. Everything we had let go by then has ``u + W ≤ c + W ≤ s' ≤ u'``, so the
provider has let it go too, provided that no request takes longer than ``jitter`` to reach it (and when an answer comes sooner,
even that is not assumed). So at most ``limit`` are counted in any ``W`` seconds of the provider's own time, which is the tightest
reading there is:

- *rolling window*: exactly that condition;
- *fixed window*, wherever it starts, also when the first request after a pause starts it: a stretch of ``W`` seconds;
- *token bucket* of size ``limit``, refilled at ``limit / W``: over any stretch of length ``x`` we send at most
  ``limit · ⌈x / W⌉ ≤ limit + x · limit / W``, which is what the bucket holds and gains.

Why it is used to the last request
----------------------------------
The log loses ``c - s`` per window, the time to the provider. What else a provider allows is learnt from its headers:
``remaining`` said, at ``u``, how much could still be taken. Less what it may not have counted by then (under way when this request
was sent, or sent since), that is a floor under what is left now, whatever the way of counting, for what is left only grows. A bucket gives
itself away: its time to full is ``used · W / limit``, which no window of the other kinds says over a range of ``used``;
then the floor rises at ``limit / W``. Room is the larger of what the log and the floor say.

The other direction: if the provider says that less is left than all we may have sent explains, others use the same quota (or it counts
differently); the difference is put into the log.
"""

from __future__ import annotations

import math
import time
from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .base import Cost, Grant, Offer, Refused, Seen, WindowReport, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SKEW = 2.0  # seconds that a provider's clock may differ from ours at its midnight


class _Entry:
    """One request's part in one window."""

    __slots__ = ("amount", "expires", "sent", "taken", "under_way", "used")

    def __init__(self, amount: int, sent: float, used: int, under_way: int, taken: int) -> None:
        self.amount = amount
        self.sent = sent
        self.expires = math.inf  # known once the provider has counted it
        self.used = used  # in the window when this was sent, itself included
        self.under_way = under_way  # of that, sent and perhaps not yet counted, itself not included
        self.taken = taken  # ever, itself included


class Window:
    """One rolling limit, and what headers taught about it.

    Args:
        spec: The limit.
        jitter: Seconds that a request may take to be counted.
        midnight: For a calendar day: the next reset after a moment, both in the seconds of the caller's clock.
    """

    def __init__(self, spec: WindowSpec, jitter: float, midnight: Callable[[float], float] | None = None) -> None:
        self.spec = spec
        self.limit = spec.amount
        self.jitter = jitter
        self.used = 0
        self._midnight = midnight
        self._under_way: dict[_Entry, None] = {}  # sent, not known to be counted; oldest first
        self._under_way_amount = 0
        self._log: deque[_Entry] = deque()  # counted; the first expires first
        self._taken = 0
        self._floor = 0.0  # at least this much is left, by headers, as of _floor_at
        self._floor_at = 0.0
        self._bucket = _BucketSign(spec)
        self._patience = spec.seconds  # until a lowered limit is tried a little higher
        self._raise_at = math.inf

    def room(self, now: float) -> float:
        """How much can be taken now without overrunning the limit."""
        self._advance(now)
        return min(self.limit, max(self.limit - self.used, self._floor_now(now)))

    def wait(self, amount: int, now: float) -> float:
        """Seconds until ``amount`` can be taken; infinite when it is more than the limit."""
        if amount > self.limit:
            return math.inf
        lacking = amount - self.room(now)
        if lacking <= 0:
            return 0.0
        return min(self._log_frees(amount, now), lacking / self._rate if self._rate else math.inf)

    def take(self, amount: int, now: float) -> _Entry:
        """Take ``amount``; the caller has seen that there is room."""
        self.used += amount
        self._taken += amount
        self._floor = self._floor_now(now) - amount
        self._floor_at = now
        entry = _Entry(amount, now, self.used, self._under_way_amount, self._taken)
        self._under_way[entry] = None
        self._under_way_amount += amount
        return entry

    def counted(self, entry: _Entry, now: float) -> None:
        """The provider has counted ``entry`` by now."""
        if entry in self._under_way:
            self._advance(now)
            if entry in self._under_way:
                self._move_to_log(entry, now)

    def settle(self, entry: _Entry, amount: int, now: float) -> None:
        """``entry`` has cost ``amount``; its place in time stays."""
        self.counted(entry, now)
        if entry.expires > now:
            more = amount - entry.amount
            entry.amount = amount
            self.used += more
            self._taken += more
            self._floor -= more

    def cancel(self, entry: _Entry, now: float) -> None:
        """``entry`` was never sent."""
        if entry in self._under_way:
            del self._under_way[entry]
            self._under_way_amount -= entry.amount
        elif entry.expires <= now:
            return
        self.used -= entry.amount
        self._taken -= entry.amount
        self._floor += entry.amount
        entry.amount = 0

    def observe(self, entry: _Entry, seen: Seen, now: float) -> None:
        """Learn from the headers of the answer to ``entry``."""
        if seen.limit > 0:
            self._learn_limit(seen.limit)
        self._bucket.look(seen)
        since = self._taken - entry.taken
        floor = seen.remaining - entry.under_way - since
        at_most = seen.remaining + 1 + (now - entry.sent) * self._rate
        if not floor <= self._floor_now(now) <= at_most:
            self._floor, self._floor_at = float(floor), now
        unexplained = (seen.limit - seen.remaining) - (entry.used + since)
        if unexplained > max(0.0, 0.02 * self.limit if self.spec.unit != "requests" else 0.0):
            self._others_used(unexplained, floor, now)

    def contradicted(self, entry: _Entry, now: float) -> None:
        """The provider refused ``entry`` though there was room: the limit is lower than believed, until that is disproved."""
        believed = max(1, min(self.limit, entry.used) - entry.amount)
        if believed < self.limit:
            self.limit = believed
            self._raise_at = now + self._patience
            self._patience = min(self._patience * 2, 86400.0)
        self._floor, self._floor_at = 0.0, now

    def restore(self, amount: int, at: float, now: float) -> None:
        """Count what was used at ``at``, before this window was made; calls come in the order of time."""
        entry = _Entry(amount, at, 0, 0, 0)
        entry.expires = self._end(at + self.jitter)
        if entry.expires > now:
            self._log.append(entry)
            self.used += amount

    def capacity(self, now: float, until: float) -> float:
        """How much can be taken between ``now`` and ``until``, starting with what is there."""
        room = self.room(now)
        span = self.spec.seconds
        if until <= now:
            return room
        rounds, rest = divmod(until - now, span)
        freed = sum(e.amount for e in self._log if e.expires <= now + rest) if rest else 0
        by_log = room + freed + rounds * self.limit
        return max(by_log, room + (until - now) * self._rate)

    @property
    def _rate(self) -> float:
        return self.limit / self.spec.seconds if self._bucket.sure else 0.0

    def _floor_now(self, now: float) -> float:
        return min(self.limit, self._floor + (now - self._floor_at) * self._rate) if self._rate else self._floor

    def _end(self, counted: float) -> float:
        if self._midnight is None:
            return counted + self.spec.seconds
        return self._midnight(counted + _SKEW) + _SKEW

    def _advance(self, now: float) -> None:
        """Forget what has expired, and take as counted what was sent ``jitter`` ago."""
        while self._under_way:
            entry = next(iter(self._under_way))
            if entry.sent + self.jitter > now:
                break
            self._move_to_log(entry, entry.sent + self.jitter)
        log = self._log
        while log and log[0].expires <= now:
            self.used -= log.popleft().amount
        if now >= self._raise_at:
            self._try_more(now)

    def _move_to_log(self, entry: _Entry, counted: float) -> None:
        del self._under_way[entry]
        self._under_way_amount -= entry.amount
        entry.expires = self._end(min(counted, entry.sent + self.jitter))
        self._log.append(entry)

    def _log_frees(self, amount: int, now: float) -> float:
        """Seconds until the log alone gives room for ``amount``."""
        lacking = amount - (self.limit - self.used)
        for entry in self._log:
            lacking -= entry.amount
            if lacking <= 0:
                return max(0.0, entry.expires - now)
        for entry in self._under_way:
            lacking -= entry.amount
            if lacking <= 0:
                return max(0.0, self._end(entry.sent + self.jitter) - now)
        return self.spec.seconds

    def _others_used(self, amount: int, floor: float, now: float) -> None:
        entry = _Entry(amount, now, 0, 0, 0)
        entry.expires = self._end(now)
        self._log.append(entry)
        self.used += amount
        self._floor, self._floor_at = max(0.0, floor), now

    def _learn_limit(self, told: int) -> None:
        """A provider that announces less than was configured is believed; more is the administrator's to say."""
        self.limit = min(self.limit, told)

    def _try_more(self, now: float) -> None:
        self.limit = min(self.spec.amount, self.limit + max(1, self.limit // 4))
        self._raise_at = now + self._patience if self.limit < self.spec.amount else math.inf


class _BucketSign:
    """Tells a token bucket by its headers: the time to full is ``used · W / limit`` over a range of ``used``."""

    def __init__(self, spec: WindowSpec) -> None:
        self._seconds = spec.seconds
        self._fits: list[int] = []
        self.sure = False

    def look(self, seen: Seen) -> None:
        used = seen.limit - seen.remaining
        if seen.reset is None or used <= 0 or seen.limit <= 0:
            return
        unit = self._seconds / seen.limit
        if abs(seen.reset - used * unit) > unit + seen.rounding:
            self._fits, self.sure = [], False
        elif not self.sure:
            self._fits = [*self._fits[-9:], used]
            # Another kind of window can fit by accident only within a unit or two of one value.
            self.sure = len(self._fits) >= 3 and max(self._fits) - min(self._fits) >= 4 + 2 * seen.rounding / unit


class Gauge:
    """How many requests are under way at once; a window without time."""

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self.limit = spec.amount
        self.used = 0
        self._mean_seconds = 1.0  # that a place stays taken

    def room(self, now: float) -> float:  # noqa: ARG002 - a gauge knows no time
        """Places that are free."""
        return self.limit - self.used

    def wait(self, amount: int, now: float) -> float:
        """Seconds until a place is free, from how long they are usually taken; whoever waits is woken when one is."""
        if amount > self.limit:
            return math.inf
        return 0.0 if self.room(now) >= amount else self._mean_seconds / self.limit

    def take(self, amount: int, now: float) -> _Entry:
        """Take a place."""
        self.used += amount
        return _Entry(amount, now, self.used, 0, 0)

    def counted(self, entry: _Entry, now: float) -> None:
        """Nothing: a place is taken until the end."""

    def settle(self, entry: _Entry, amount: int, now: float) -> None:  # noqa: ARG002 - places cost what they cost
        """Give the place back."""
        self._mean_seconds += 0.1 * (now - entry.sent - self._mean_seconds)
        self.cancel(entry, now)

    def cancel(self, entry: _Entry, now: float) -> None:  # noqa: ARG002
        """Give the place back."""
        self.used -= entry.amount
        entry.amount = 0

    def observe(self, entry: _Entry, seen: Seen, now: float) -> None:
        """Nothing: no header tells of it."""

    def contradicted(self, entry: _Entry, now: float) -> None:
        """Nothing: the limit is the administrator's."""

    def capacity(self, now: float, until: float) -> float:
        """Places that are free or will be."""
        return self.room(now) + (until - now) * self.limit / max(0.001, self._mean_seconds)


class MemoryWindows:
    """All windows of this process.

    Args:
        jitter: Seconds that a request may take from here until the provider has counted it.
        clock: The clock whose times the methods are given; only asked to find a calendar day's midnight.
        wall: Unix time, for the same.
    """

    def __init__(
        self,
        jitter: float = 0.25,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._jitter = jitter
        self._clock = clock
        self._wall = wall
        self._windows: dict[str, Window | Gauge] = {}

    async def take(self, offers: Sequence[Offer], cost: Cost, now: float) -> Grant | Refused:
        """See ``Windows.take``. Nothing here waits, so nobody comes in between."""
        best: Offer | None = None
        most, least_wait = -1.0, math.inf
        for offer in offers:
            headroom, wait = self._fits(offer, cost, now)
            if wait > 0:
                least_wait = min(least_wait, wait)
            elif headroom > most:
                best, most = offer, headroom
        if best is None:
            return Refused(least_wait)
        entries: list[object] = [self._window(spec).take(cost.of(spec.unit), now) for spec in best.windows]
        return Grant(best.key, cost, now, best.windows, entries)

    def counted(self, grant: Grant, now: float) -> None:
        """See ``Windows.counted``."""
        for window, entry in self._parts(grant):
            window.counted(entry, now)

    def settle(self, grant: Grant, cost: Cost | None, now: float) -> None:
        """See ``Windows.settle``."""
        for window, entry in self._parts(grant):
            if cost is None:
                window.cancel(entry, now)
            else:
                window.settle(entry, cost.of(window.spec.unit), now)

    def observe(self, grant: Grant, seen: Sequence[Seen], now: float) -> None:
        """See ``Windows.observe``."""
        by_id = {part.window: part for part in seen}
        for window, entry in self._parts(grant):
            if told := by_id.get(window.spec.id):
                window.observe(entry, told, now)

    def contradicted(self, grant: Grant, window: str, now: float) -> None:
        """See ``Windows.contradicted``."""
        for part, entry in self._parts(grant):
            if part.spec.id == window:
                part.contradicted(entry, now)

    def restore(self, window: WindowSpec, amount: int, at: float, now: float) -> None:
        """See ``Windows.restore``."""
        counter = self._window(window)
        if isinstance(counter, Window):
            counter.restore(amount, at, now)

    def capacity(self, offer: Offer, cost: Cost, now: float, until: float) -> float:
        """See ``Windows.capacity``."""
        return min(
            (
                self._window(spec).capacity(now, until) // amount
                for spec in offer.windows
                if (amount := cost.of(spec.unit)) > 0
            ),
            default=math.inf,
        )

    def report(self, windows: Sequence[WindowSpec], now: float) -> Mapping[str, WindowReport]:
        """See ``Windows.report``."""
        rows = {}
        for spec in windows:
            window = self._window(spec)
            wait = window.wait(1, now)
            rows[spec.id] = WindowReport(window.used, window.limit, spec.amount, wait)
        return rows

    def _fits(self, offer: Offer, cost: Cost, now: float) -> tuple[float, float]:
        """Headroom left in the tightest window after taking ``cost``, and the wait until it can be taken."""
        headroom, wait = math.inf, 0.0
        for spec in offer.windows:
            window = self._windows.get(spec.id) or self._window(spec)
            amount = cost.of(spec.unit)
            room = window.room(now) - amount
            if room < 0:
                wait = max(wait, window.wait(amount, now))
            else:
                headroom = min(headroom, room / window.limit)
        return headroom, wait

    def _window(self, spec: WindowSpec) -> Window | Gauge:
        window = self._windows.get(spec.id)
        if window is None:
            window = self._windows[spec.id] = self._make(spec)
        return window

    def _make(self, spec: WindowSpec) -> Window | Gauge:
        if spec.unit == "concurrent":
            return Gauge(spec)
        return Window(spec, self._jitter, self._midnight_of(spec.zone) if spec.zone else None)

    def _midnight_of(self, zone: str) -> Callable[[float], float]:
        tz = ZoneInfo(zone)

        def midnight(after: float) -> float:
            ahead = self._wall() - self._clock()
            day = datetime.fromtimestamp(after + ahead, tz).replace(hour=0, minute=0, second=0, microsecond=0)
            return (day + timedelta(days=1)).timestamp() - ahead

        return midnight

    def _parts(self, grant: Grant) -> Iterator[tuple[Window | Gauge, _Entry]]:
        for spec, entry in zip(grant.windows, grant.entries, strict=True):
            yield self._window(spec), entry  # type: ignore[misc]
