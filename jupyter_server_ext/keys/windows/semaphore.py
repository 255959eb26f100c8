"""How many requests are under way at once: a limit without time."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.projection import WindowProjection
from jupyter_server_ext.keys.windows.variance import EXACT

from .base import WindowReport
from .entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.keys.windows.variance import Above

    from .base import Cost, Seen, WindowSpec
    from .window import Window


_LEARN = 0.1  # of what an answer took, in the mean; the first count in full
_LONGER = 0.3  # of the time that a place has been taken for too long, until it is free
_SOON = 0.05  # of what answers take, that is said at least


class Gauge:
    """The requests under way at once, counted like a window.

    A place is free again when its answer has ended. Where nobody saw that end, as the connection was closed before, the
    provider learns of it later.

    Args:
        spec: The limit.
        jitter: Seconds in which a closed connection is noticed; 0 for places that are our own.
    """

    def __init__(self, spec: WindowSpec, jitter: float = 0.0) -> None:
        self.spec = spec
        self._jitter = jitter
        self._closing: deque[float] = deque()  # until when places are kept whose connections were closed
        self.limit = spec.amount
        self.used = 0
        self.is_bucket = False
        self.siblings = 0  # places that other gateways take, not part of ``used``
        self.takers: Counter[str] = Counter()  # nobody is counted: a place is free as soon as its answer has ended
        self._taken: dict[Entry, None] = {}  # the first was taken first
        self._ended = 0
        self._mean_seconds = 1.0  # that a place stays taken

    def share(self) -> None:
        """Nothing: what siblings take is told."""

    def room(self, now: float, above: Above = EXACT) -> float:  # noqa: ARG002 - a gauge knows no time
        """Places that are free."""
        while self._closing and self._closing[0] <= now:
            self._closing.popleft()
            self.used -= 1
        return self.limit - self.used - self.siblings

    def wait(self, amount: int, now: float, above: Above = EXACT) -> float:  # noqa: ARG002
        """Seconds until a place is free, by how long they are usually taken; whoever waits is woken when one is."""
        if amount > self.limit:
            return math.inf
        if self.room(now) >= amount:
            return 0.0
        return min(self._ends(now), default=self._mean_seconds / self.limit)

    def _ends(self, now: float) -> list[float]:
        """Seconds until each place is free: as long as answers usually take, and longer for one that takes longer."""
        mean = self._mean_seconds
        late = [now - entry.taken - mean for entry in self._taken]
        known = [max(-seconds, _LONGER * seconds, _SOON * mean) for seconds in late]
        return sorted([*known, *(at - now for at in self._closing)])

    def take(self, cost: Cost, now: float, taker: str = "") -> Entry:  # noqa: ARG002 - a place is a place
        """Take a place."""
        self.used += 1
        entry = Entry(1, 0, 0, now, self.used)
        self._taken[entry] = None
        return entry

    def sent(self, entry: Entry, now: float) -> None:
        """Nothing: a place is taken until the end."""

    def counted(self, entry: Entry, now: float) -> None:
        """Nothing: a place is taken until the end."""

    def settle(self, entry: Entry, cost: Cost, now: float) -> None:
        """Give the place back."""
        self._ended += 1
        self._mean_seconds += max(_LEARN, 1.0 / self._ended) * (now - entry.taken - self._mean_seconds)
        if cost.known or not self._jitter:
            self.cancel(entry)
        elif entry.amount:
            entry.amount = 0
            self._taken.pop(entry, None)
            self._closing.append(now + self._jitter)

    def cancel(self, entry: Entry) -> None:
        """Give the place back."""
        self.used -= entry.amount
        entry.amount = 0
        self._taken.pop(entry, None)

    def observe(self, entry: Entry, seen: Seen, now: float) -> None:
        """Nothing: no header tells of it."""

    def like(self, other: Window, now: float) -> None:
        """Nothing: places do not refill."""

    def contradicted(self, entry: Entry, now: float) -> None:
        """Nothing: the limit is the administrator's."""

    def restore(self, amount: int, at: float, now: float) -> None:
        """Nothing: what was under way is over."""

    def report(self, now: float) -> WindowReport:
        """Its state, for the status page."""
        wait = self.wait(1, now)
        return WindowReport(self.used + self.siblings, 0, self.limit, wait)

    def reconfigure(self, spec: WindowSpec, now: float) -> None:  # noqa: ARG002
        """Another number is configured."""
        self.spec = spec
        self.limit = spec.amount

    def frees(self, now: float) -> Iterator[tuple[str, float, int]]:  # noqa: ARG002
        """Nothing: whose places they are is not counted."""
        return iter(())

    def outlook(self, now: float) -> WindowProjection:
        """How it will be, if places stay taken as long as usual; those of siblings are given back one by one."""
        self.room(now)  # lets go what is over
        pace = self._mean_seconds / max(1, self.limit)
        ends = [*self._ends(now), *(pace * (place + 1) for place in range(self.siblings))]
        frees = [(at, 1.0) for at in sorted(ends)]
        return WindowProjection(self.limit, self.limit - self.used - self.siblings, self._mean_seconds, frees)
