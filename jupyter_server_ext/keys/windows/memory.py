"""All rate windows in this process's memory; see ``window.py`` for how one counts."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from jupyter_server_ext.keys.windows.base import Grant, Refused
from jupyter_server_ext.keys.windows.projection import SURELY_OVER
from jupyter_server_ext.keys.windows.semaphore import Semaphore
from jupyter_server_ext.keys.windows.usage import EXACT
from jupyter_server_ext.keys.windows.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jupyter_server_ext.keys.windows.base import (
        Cost,
        Observation,
        Offer,
        RateWindow,
        Reservation,
        WindowReport,
        WindowSpec,
    )
    from jupyter_server_ext.keys.windows.usage import Excess

_LEAST_JITTER = 0.04
_FREE_JITTER = 0.5
_LEAST_WAIT = 1e-6  # seconds; where there is no room, the wait is never 0
_STEP = 0.5  # seconds by which this machine's clock is set before midnight is computed anew
_MOST_WINDOWS = 5000  # beyond it those that count nothing are forgotten


class MemoryWindows:
    """The windows of one process.

    Args:
        jitter: Seconds that a request may travel until the provider has counted it. It is taken as 40 ms at least,
            which busy machines need without any network, and as 1 % of a window up to 0.5 s, which costs little.
        clock: The clock whose times the methods are given; asked only to find a calendar day's midnight.
        wall: Unix time, for the same.
    """

    are_shared = False
    """Whether other gateways take from the same windows."""

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
        self._windows: dict[str, RateWindow] = {}

    async def take(
        self,
        offers: Sequence[Offer],
        cost: Cost,
        now: float,
        reservations: Sequence[Reservation] = (),
        caller: str = "",
    ) -> Grant | Refused:
        """Reserve ``cost`` for a caller in all windows of one key: of those with room, the one with most headroom.

        That is in its tightest window; among equals, in all of them together. No reservation is delayed.
        """
        best: Offer | None = None
        most, soonest = (-1.0, 0.0), Refused(math.inf)
        for offer in offers:
            headroom, wait = self._fits(offer, cost, now, reservations)
            if wait > 0:
                soonest = min(soonest, Refused(wait, offer.key))
            elif headroom > most:
                best, most = offer, headroom
        return soonest if best is None else self._grant(best, cost, now, caller)

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
        """How much can be taken of one window."""
        return window.room(now, excess)

    def _fits(
        self, offer: Offer, cost: Cost, now: float, reservations: Sequence[Reservation] = ()
    ) -> tuple[tuple[float, float], float]:
        """Headroom after taking ``cost``, in the tightest window and in all, and the wait until it can be taken."""
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
            return Semaphore(spec, 0.0 if spec.is_own else max(self._jitter, _LEAST_JITTER))
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


def _delays(window: RateWindow, amount: int, reservations: Sequence[Reservation], now: float) -> bool:
    """Whether the head of a queue would wait longer for this window if so much were taken of it now."""
    for one in reservations:
        if window.spec.id in one.needs and one.by < now + SURELY_OVER * window.spec.seconds:
            amount += one.needs[window.spec.id]
            if window.wait(amount, now) > one.by - now:
                return True
    return False
