"""All windows kept in this process's memory; see ``window.py`` for how one counts."""

from __future__ import annotations

import math
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from jupyter_server_ext.keys.windows.projection import SURELY_OVER
from jupyter_server_ext.keys.windows.semaphore import Gauge
from jupyter_server_ext.keys.windows.variance import EXACT

from .base import Cost, Grant, Offer, Refused, Reservation, Seen, WindowReport, WindowSpec
from .window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jupyter_server_ext.keys.windows.projection import WindowProjection
    from jupyter_server_ext.keys.windows.variance import Above

    from .entry import Entry

_LEAST_JITTER = 0.04
_FREE_JITTER = 0.5
_LEAST_WAIT = 1e-6  # seconds; where there is no room, that is what is said
_STEP = 0.5  # seconds by which this machine's clock is set before a day is reckoned anew
_MOST_WINDOWS = 5000  # beyond it those that count nothing are forgotten


class MemoryWindows:
    """The windows of one process.

    Args:
        jitter: Seconds that a request may travel until the provider has counted it. It is taken as 40 ms at least,
            which busy machines need without any network, and as 1 % of a window up to 0.5 s, which costs little.
        clock: The clock whose times the methods are given; asked only to find a calendar day's midnight.
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

    async def take(
        self, offers: Sequence[Offer], cost: Cost, now: float, claims: Sequence[Reservation] = (), taker: str = ""
    ) -> Grant | Refused:
        """See ``Windows.take``. Nothing in here waits, so nobody comes in between."""
        best: Offer | None = None
        most, soonest = (-1.0, 0.0), Refused(math.inf)
        for offer in offers:
            headroom, wait = self._fits(offer, cost, now, claims)
            if wait > 0:
                soonest = min(soonest, Refused(wait, offer.key))
            elif headroom > most:
                best, most = offer, headroom
        if best is None:
            return soonest
        return self._grant(best, cost, now, taker)

    def _grant(self, offer: Offer, cost: Cost, now: float, taker: str) -> Grant:
        windows = [self._window(spec) for spec in offer.windows]
        entries = [(window, window.take(cost, now, taker)) for window in windows]
        return Grant(offer.key, cost, now, offer.windows, entries)

    def _room(self, window: Window | Gauge, now: float, above: Above = EXACT) -> float:
        """How much can be taken of one window."""
        return window.room(now, above)

    def sent(self, grant: Grant, now: float) -> None:
        """See ``Windows.sent``."""
        for window, entry in _parts(grant):
            window.sent(entry, now)

    def counted(self, grant: Grant, now: float) -> None:
        """See ``Windows.counted``."""
        for window, entry in _parts(grant):
            window.counted(entry, now)

    def settle(self, grant: Grant, cost: Cost | None, now: float) -> None:
        """See ``Windows.settle``."""
        for window, entry in _parts(grant):
            if cost is None:
                window.cancel(entry)
            else:
                window.settle(entry, cost, now)

    def observe(self, grant: Grant, seen: Sequence[Seen], now: float) -> None:
        """See ``Windows.observe``."""
        parts = _parts(grant)
        for window, entry in parts:
            told = next((told for told in seen if told.window == window.spec.id), None)
            if told is not None:
                window.observe(entry, told, now)
                if window.is_bucket and isinstance(window, Window):
                    for other, _ in parts:
                        other.like(window, now)

    def contradicted(self, grant: Grant, window: str, now: float) -> None:
        """See ``Windows.contradicted``."""
        for part, entry in _parts(grant):
            if part.spec.id == window:
                part.contradicted(entry, now)

    def restore(self, window: WindowSpec, amount: int, at: float, now: float) -> None:
        """See ``Windows.restore``."""
        self._window(window).restore(amount, at, now)

    def outlook(self, window: WindowSpec, now: float) -> WindowProjection:
        """See ``Windows.outlook``."""
        return self._window(window).outlook(now)

    def takers(self, window: WindowSpec, now: float | None = None) -> Mapping[str, int]:
        """See ``Windows.takers``."""
        counted = self._window(window)
        if now is not None:
            counted.room(now)  # lets go what is over
        return counted.takers

    def frees(self, window: WindowSpec, now: float) -> Iterable[tuple[str, float, int]]:
        """See ``Windows.frees``."""
        return self._window(window).frees(now)

    def report(self, windows: Sequence[WindowSpec], now: float) -> Mapping[str, WindowReport]:
        """See ``Windows.report``."""
        return {spec.id: self._window(spec).report(now) for spec in windows}

    def _fits(
        self, offer: Offer, cost: Cost, now: float, claims: Sequence[Reservation] = ()
    ) -> tuple[tuple[float, float], float]:
        """Headroom after taking ``cost``, in the tightest window and in all, and the wait until it can be taken."""
        tightest, together, wait = math.inf, 0.0, 0.0
        for spec in offer.windows:
            window = self._window(spec)
            amount, above = cost.part(spec.unit, window.limit)
            left = self._room(window, now, above) - amount
            claimed = sum(claim.needs.get(spec.id, 0) for claim in claims)
            if left < 0 or (left < claimed and _delays(window, amount, claims, now)):
                after_others = max(amount, min(window.limit, amount + claimed))
                wait = max(wait, _LEAST_WAIT, window.wait(after_others, now, above))
            else:
                headroom = left / window.limit
                tightest = min(tightest, headroom)
                together += headroom
        return (tightest, together), wait

    def _window(self, spec: WindowSpec) -> Window | Gauge:
        window = self._windows.get(spec.id)
        if window is None or (window.spec is not spec and window.spec != spec):
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows = {name: one for name, one in self._windows.items() if one.used}
            window = self._windows[spec.id] = self._make(spec, window)
        return window

    def _make(self, spec: WindowSpec, before: Window | Gauge | None) -> Window | Gauge:
        if before is not None:
            before.reconfigure(spec, self._clock())
            return before
        if spec.unit == "concurrent":
            return Gauge(spec, 0.0 if spec.is_own else max(self._jitter, _LEAST_JITTER))
        jitter = max(self._jitter, _LEAST_JITTER, min(_FREE_JITTER, 0.01 * spec.seconds))
        return Window(spec, jitter, self._midnight_of(spec.zone) if spec.zone else None)

    def _midnight_of(self, zone: str) -> Callable[[float], float]:
        tz = ZoneInfo(zone)
        day, end = -math.inf, -math.inf  # the day that was asked for last …
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


def _delays(window: Window | Gauge, amount: int, claims: Sequence[Reservation], now: float) -> bool:
    """Whether somebody whose turn it is would wait longer for this window if so much were taken of it now."""
    for claim in claims:
        if window.spec.id in claim.needs and claim.by < now + SURELY_OVER * window.spec.seconds:
            amount += claim.needs[window.spec.id]
            if window.wait(amount, now) > claim.by - now:
                return True
    return False


def _parts(grant: Grant) -> list[tuple[Window | Gauge, Entry]]:
    """What a grant has taken of each window."""
    return cast("list[tuple[Window | Gauge, Entry]]", grant.entries)
