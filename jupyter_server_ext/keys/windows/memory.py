"""All rate windows in this process's memory, and the one without time; see ``window.py`` for how others count."""

from __future__ import annotations

import math
import time
from collections import deque
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from jupyter_server_ext.keys.windows.projection import SURELY_OVER, WindowProjection
from jupyter_server_ext.keys.windows.usage import BATCH, EXACT, Grant, Refused, WindowEntry, WindowReport
from jupyter_server_ext.keys.windows.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jupyter_server_ext.keys.windows.usage import (
        Cost,
        Excess,
        Observation,
        Offer,
        Offers,
        RateWindow,
        Reservations,
        WindowSpec,
    )

_LEAST_JITTER = 0.04  # seconds that a busy machine needs without any network
_FREE_JITTER = 0.5  # seconds that cost a long window nothing worth naming
_OWN = "//"  # begins the ids of limits that are the gateway's rather than a provider's
_LEAST_WAIT = 1e-6  # seconds; where there is no room, the wait is never 0
_STEP = 0.5  # seconds by which this machine's clock is set before midnight is computed anew
_MOST_WINDOWS = 5000  # beyond it those that count nothing are forgotten


class MemoryWindows:
    """The windows of one process."""

    are_shared = False  # whether other gateways take from the same windows

    def __init__(
        self,
        # Seconds that a request may travel until the provider has counted it. It is taken as 40 ms at least, which
        # busy machines need without any network, and as 1 % of a window up to 0.5 s, which costs little.
        jitter: float = 0.25,
        *,
        # The clock whose times the methods are given; asked only to find a calendar day's midnight.
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,  # Unix time, for the same
    ) -> None:
        self._jitter = jitter
        self._clock = clock
        self._wall = wall
        self._windows: dict[str, RateWindow] = {}

    async def take(
        self, offers: Offers, cost: Cost, now: float, reservations: Reservations = (), caller: str = ""
    ) -> Grant | Refused:
        """Reserve ``cost`` for a caller in all windows of one key: of those with room, the one with most headroom.

        That is in its tightest window; among equals, in all of them together. No reservation is delayed.
        """
        fitting, soonest = self._in_order(offers, cost, now, reservations)
        return self._grant(fitting[0], cost, now, caller) if fitting else soonest

    def _in_order(
        self, offers: Offers, cost: Cost, now: float, reservations: Reservations
    ) -> tuple[list[Offer], Refused]:
        # Keys that have room as far as is known, the one with most first, and when the others will.
        fitting: list[tuple[tuple[float, float], Offer]] = []
        soonest = Refused(math.inf)
        for offer in offers:
            headroom, wait = self._fits(offer, cost, now, reservations)
            if wait > 0:
                soonest = min(soonest, Refused(wait, offer.key))
            else:
                fitting.append((headroom, offer))
        if len(fitting) > 1:
            fitting.sort(key=itemgetter(0), reverse=True)  # stable: among equals the first stays first
        return [offer for _, offer in fitting], soonest

    def sent(self, grant: Grant, now: float) -> None:
        """Note that the request is on its way. Without this, it counts from when it is answered."""
        for window, entry in grant.entries:
            window.sent(entry, now)

    def counted(self, grant: Grant, now: float) -> None:
        """Note that the provider has answered, so it has counted this request by ``now``."""
        for window, entry in grant.entries:
            window.counted(entry, now)

    def settle(self, grant: Grant, cost: Cost | None, now: float) -> None:
        """End the request at its final cost; None means it was never sent."""
        for window, entry in grant.entries:
            if cost is None:
                window.cancel(entry)
            else:
                window.settle(entry, cost, now)

    def observe(self, grant: Grant, seen: Sequence[Observation], now: float) -> None:
        """Correct the counts by the headers of the answer to ``grant``, which has been ``counted``."""
        by_window = {one.window: one for one in reversed(seen)}
        for window, entry in grant.entries:
            if (observation := by_window.get(window.spec.id)) is not None:
                window.observe(entry, observation, now)
                for other, _ in grant.entries:
                    other.resemble(window, now)

    def on_refusal(self, grant: Grant, window: str, now: float) -> None:
        """Lower the effective limit of ``window``, which had room for a refused grant, until that is disproved."""
        for refused, entry in grant.entries:
            if refused.spec.id == window:
                refused.on_refusal(entry, now)

    def restore(self, window: WindowSpec, amount: int, at: float, now: float) -> None:
        """Count what was used at ``at`` before this process started; calls come in the order of time."""
        self.window(window).restore(amount, at, now)

    def report(self, windows: Sequence[WindowSpec], now: float) -> Mapping[str, WindowReport]:
        """The state of these windows, by id."""
        return {spec.id: self.window(spec).report(now) for spec in windows}

    def window(self, spec: WindowSpec) -> RateWindow:
        """The window of one limit."""
        window = self._windows.get(spec.id)
        if window is None or (window.spec is not spec and window.spec != spec):
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows = {name: one for name, one in self._windows.items() if one.used}
            window = self._windows[spec.id] = self._make(spec, window)
        return window

    def _grant(self, offer: Offer, cost: Cost, now: float, caller: str) -> Grant:
        windows = [self.window(spec) for spec in offer.windows]
        entries = [(window, window.reserve(cost, now, caller)) for window in windows]
        return Grant(offer.key, cost, now, offer.windows, entries)

    def _room(self, window: RateWindow, now: float, excess: Excess = EXACT) -> float:
        return window.room(now, excess)

    def _fits(
        self, offer: Offer, cost: Cost, now: float, reservations: Reservations = ()
    ) -> tuple[tuple[float, float], float]:
        # Headroom after taking ``cost``, in the tightest window and in all, and the wait until it can be taken.
        tightest, together, wait = math.inf, 0.0, 0.0
        for spec in offer.windows:
            window = self.window(spec)
            amount, excess = cost.part(spec.unit, window.limit)
            left = self._room(window, now, excess) - amount
            reserved = sum(one.needs.get(spec.id, 0) for one in reservations)
            if left < 0 or (left < reserved and _delays(window, amount, reservations, now)):
                after_others = max(amount, min(window.limit, amount + reserved))
                wait = max(wait, _LEAST_WAIT, window.wait(after_others, now, excess))
            else:
                headroom = left / window.limit
                tightest = min(tightest, headroom)
                together += headroom
        return (tightest, together), wait

    def _make(self, spec: WindowSpec, before: RateWindow | None) -> RateWindow:
        if before is not None:
            before.reconfigure(spec, self._clock())
            return before
        if spec.unit == "concurrent":
            return Semaphore(spec, 0.0 if spec.id.startswith(_OWN) else max(self._jitter, _LEAST_JITTER))
        jitter = max(self._jitter, _LEAST_JITTER, min(_FREE_JITTER, 0.01 * spec.seconds))
        return TimeWindow(spec, jitter, self._midnight_of(spec.zone) if spec.zone else None, shared=self.are_shared)

    def _midnight_of(self, zone: str) -> Callable[[float], float]:
        tz = ZoneInfo(zone)
        day, end = -math.inf, -math.inf  # the day that was computed last …
        known = 0.0  # … when Unix time was so far ahead

        def midnight(after: float) -> float:
            nonlocal day, end, known
            ahead = self._wall() - self._clock()
            if not day <= after < end or abs(ahead - known) > _STEP:
                known = ahead
                start = datetime.fromtimestamp(after + ahead, tz).replace(hour=0, minute=0, second=0, microsecond=0)
                day, end = start.timestamp() - ahead, (start + timedelta(days=1)).timestamp() - ahead
            return end

        return midnight


def _delays(window: RateWindow, amount: int, reservations: Reservations, now: float) -> bool:
    # Whether the head of a queue would wait longer for this window if so much were taken of it now.
    for one in reservations:
        if window.spec.id in one.needs and one.by < now + SURELY_OVER * window.spec.seconds:
            amount += one.needs[window.spec.id]
            if window.wait(amount, now) > one.by - now:
                return True
    return False


_LEARN = 0.1  # of what an answer took, in the mean; the first count in full
_LONGER = 0.3  # of the time that a slot has been taken for too long, until it is free
_SOON = 0.05  # of what answers take, that is estimated at least


class Semaphore:
    """The concurrency slots of one limit."""

    # A slot is free again when its answer has ended. Where the connection was closed before that end, the provider
    # notices it later. It has the methods of ``TimeWindow``; those by which a window learns do nothing.

    def __init__(self, spec: WindowSpec, jitter: float = 0.0) -> None:
        self.spec = spec  # the limit
        self.siblings = 0
        self.is_bucket = False
        self.limit = spec.amount
        self._jitter = jitter  # seconds in which a closed connection is noticed; 0 for slots that are our own
        self.used = 0
        self._closing: deque[float] = deque()  # until when slots are kept whose connections were closed
        self._taken: dict[WindowEntry, None] = {}  # the first was taken first
        self._ended = 0
        self._mean_seconds = 1.0  # that a slot stays taken

    def room(self, now: float, excess: Excess = EXACT) -> float:  # noqa: ARG002 - a slot is a slot
        """Slots that are free."""
        while self._closing and self._closing[0] <= now:
            self._closing.popleft()
            self.used -= 1
        return self.limit - self.used - self.siblings

    def wait(self, amount: int, now: float, excess: Excess = EXACT) -> float:  # noqa: ARG002
        """Seconds until so many slots are free, as long as slots are usually taken; the queue is woken when one is."""
        if amount > self.limit:
            return math.inf
        if (room := self.room(now)) >= amount:
            return 0.0
        ends, lacking = self._ends(now), math.ceil(amount - max(0.0, room))
        return ends[lacking - 1] if lacking <= len(ends) else self._mean_seconds / self.limit

    def _ends(self, now: float) -> list[float]:
        # Seconds until each slot is free: as long as answers usually take, and longer for one that takes longer.
        mean = self._mean_seconds
        late = [now - entry.taken - mean for entry in self._taken]
        estimated = [max(-seconds, _LONGER * seconds, _SOON * mean) for seconds in late]
        return sorted([*estimated, *(at - now for at in self._closing)])

    @property
    def has_batch(self) -> bool:
        """Whether any slot is taken by batch work of this process."""
        return any(entry.caller.endswith(BATCH) for entry in self._taken)

    def reserve(self, cost: Cost, now: float, caller: str = "") -> WindowEntry:  # noqa: ARG002
        """Take a slot."""
        self.used += 1
        entry = WindowEntry(1, 0, 0, now, self.used, caller=caller)
        self._taken[entry] = None
        return entry

    def settle(self, entry: WindowEntry, cost: Cost, now: float) -> None:
        """Give the slot back."""
        self._ended += 1
        self._mean_seconds += max(_LEARN, 1.0 / self._ended) * (now - entry.taken - self._mean_seconds)
        if cost.known or not self._jitter:
            self.cancel(entry)
        elif entry.amount:
            entry.amount = 0
            self._taken.pop(entry, None)
            self._closing.append(now + self._jitter)

    def cancel(self, entry: WindowEntry) -> None:
        """Give the slot back."""
        self.used -= entry.amount
        entry.amount = 0
        self._taken.pop(entry, None)

    def report(self, now: float) -> WindowReport:
        """See ``TimeWindow.report``."""
        wait = self.wait(1, now)
        return WindowReport(self.used + self.siblings, 0, self.limit, wait)

    def reconfigure(self, spec: WindowSpec, now: float) -> None:  # noqa: ARG002
        """See ``TimeWindow.reconfigure``."""
        self.spec = spec
        self.limit = spec.amount

    def project(self, now: float) -> WindowProjection:
        """How it will be, if slots stay taken as long as usual; those of siblings are given back one by one."""
        self.room(now)  # lets go what is over
        pace = self._mean_seconds / max(1, self.limit)
        ends = [*self._ends(now), *(pace * (slot + 1) for slot in range(self.siblings))]
        frees = [(at, 1.0) for at in sorted(ends)]
        return WindowProjection(self.limit, self.limit - self.used - self.siblings, self._mean_seconds, frees)

    def sent(self, *_: object) -> None:
        """Do nothing: a slot is taken from its reservation on, and no header or past use tells of it."""

    counted = on_refusal = observe = resemble = restore = sent

    def used_by(self, caller: str, now: float | None = None) -> int:  # noqa: ARG002
        """0: slots have no shares."""
        return 0

    def frees(self, now: float) -> Iterable[tuple[str, float, int]]:  # noqa: ARG002
        """Nothing, as ``used_by``."""
        return ()
