"""A limit without time: how many requests may be in flight at once."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.base import RateWindow, WindowReport
from jupyter_server_ext.keys.windows.projection import WindowProjection
from jupyter_server_ext.keys.windows.usage import EXACT, WindowEntry

if TYPE_CHECKING:
    from jupyter_server_ext.keys.windows.base import Cost, WindowSpec
    from jupyter_server_ext.keys.windows.usage import Excess


_LEARN = 0.1  # of what an answer took, in the mean; the first count in full
_LONGER = 0.3  # of the time that a slot has been taken for too long, until it is free
_SOON = 0.05  # of what answers take, that is estimated at least


class Semaphore(RateWindow):
    """The concurrency slots of one limit.

    A slot is free again when its answer has ended. Where the connection was closed before that end, the provider
    notices it later.

    Args:
        spec: The limit.
        jitter: Seconds in which a closed connection is noticed; 0 for slots that are our own.
    """

    def __init__(self, spec: WindowSpec, jitter: float = 0.0) -> None:
        self.spec = spec
        self.limit = spec.amount
        self._jitter = jitter
        self._used = 0
        self._closing: deque[float] = deque()  # until when slots are kept whose connections were closed
        self._taken: dict[WindowEntry, None] = {}  # the first was taken first
        self._ended = 0
        self._mean_seconds = 1.0  # that a slot stays taken

    @property
    def used(self) -> int:
        """See ``RateWindow.used``."""
        return self._used

    def room(self, now: float, excess: Excess = EXACT) -> float:  # noqa: ARG002 - a slot is a slot
        """Slots that are free."""
        while self._closing and self._closing[0] <= now:
            self._closing.popleft()
            self._used -= 1
        return self.limit - self._used - self.siblings

    def wait(self, amount: int, now: float, excess: Excess = EXACT) -> float:  # noqa: ARG002
        """Seconds until a slot is free, as long as slots are usually taken; the queue is woken when one is."""
        if amount > self.limit:
            return math.inf
        if self.room(now) >= amount:
            return 0.0
        return min(self._ends(now), default=self._mean_seconds / self.limit)

    def _ends(self, now: float) -> list[float]:
        """Seconds until each slot is free: as long as answers usually take, and longer for one that takes longer."""
        mean = self._mean_seconds
        late = [now - entry.taken - mean for entry in self._taken]
        estimated = [max(-seconds, _LONGER * seconds, _SOON * mean) for seconds in late]
        return sorted([*estimated, *(at - now for at in self._closing)])

    def reserve(self, cost: Cost, now: float, caller: str = "") -> WindowEntry:  # noqa: ARG002
        """Take a slot."""
        self._used += 1
        entry = WindowEntry(1, 0, 0, now, self._used)
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
        self._used -= entry.amount
        entry.amount = 0
        self._taken.pop(entry, None)

    def report(self, now: float) -> WindowReport:
        """See ``RateWindow.report``."""
        wait = self.wait(1, now)
        return WindowReport(self._used + self.siblings, 0, self.limit, wait)

    def reconfigure(self, spec: WindowSpec, now: float) -> None:  # noqa: ARG002
        """See ``RateWindow.reconfigure``."""
        self.spec = spec
        self.limit = spec.amount

    def project(self, now: float) -> WindowProjection:
        """How it will be, if slots stay taken as long as usual; those of siblings are given back one by one."""
        self.room(now)  # lets go what is over
        pace = self._mean_seconds / max(1, self.limit)
        ends = [*self._ends(now), *(pace * (slot + 1) for slot in range(self.siblings))]
        frees = [(at, 1.0) for at in sorted(ends)]
        return WindowProjection(self.limit, self.limit - self._used - self.siblings, self._mean_seconds, frees)
