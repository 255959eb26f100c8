"""Wait estimates of all queues, each kept for a moment: one for every request would cost more, the more wait."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.round_robin import QueuedRequest
from jupyter_server_ext.keys.wait_estimate import WaitEstimate
from jupyter_server_ext.keys.windows.base import Cost
from jupyter_server_ext.messages import Caller, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.keys.model_queue import ModelQueues
    from jupyter_server_ext.keys.pool import KeyPool
    from jupyter_server_ext.keys.shares import Shares

_FRESH_SECONDS = 0.25  # positions and expected waits are computed anew at most so often, …
_FRESH_PER_PLACE = 0.002  # … and where many wait, so much later for each
_LIKE = 1.3  # costs that differ by this factor have the same schedule
_FEW = 0.05  # of the requests that wait: so many may have come for other models since
_MORE_PLACES = 16  # than requests wait

_Kind = tuple[frozenset[str], int, bool]


@dataclass(slots=True)
class Schedule:
    """When requests of one size could start, by their places, as of ``at``; some have been ``served`` since."""

    at: float
    until: float
    others: int
    estimate: WaitEstimate
    served: int = 0

    def holds(self, ahead: int, others: int, now: float) -> bool:
        """Whether it is fresh and long enough, when so many have come for other models."""
        starts = self.estimate.starts
        is_fresh = now <= self.until and others <= self.others + _FEW * len(starts)
        return is_fresh and (self.served + ahead < len(starts) or math.inf in starts[-1:])

    def wait(self, ahead: int, now: float) -> float:
        """Seconds until a newcomer can start that has so many before it; infinite for never."""
        place, starts = self.served + ahead, self.estimate.starts
        return max(0.0, starts[place] + self.at - now) if place < len(starts) else math.inf

    def left(self, request: QueuedRequest, ahead: int, now: float) -> float:
        """Seconds until a waiting request starts; one that has come since is like a newcomer."""
        start = self.estimate.starts_of.get(request)
        return self.wait(ahead, now) if start is None else max(0.0, start + self.at - now)


class Schedules:
    """The schedules of all models.

    Args:
        pool: The keys.
        shares: What is kept for callers that have lately asked.
        queues: All requests that wait.
        on_late: Called when requests are found to wait in vain.
    """

    def __init__(self, pool: KeyPool, shares: Shares, queues: ModelQueues, on_late: Callable[[], None]) -> None:
        self._on_late = on_late
        self._pool = pool
        self._shares = shares
        self._queues = queues
        self._known: dict[str, dict[_Kind, Schedule]] = {}  # by model
        self._numbered: dict[str, float] = {}  # when the places of a model's queue were written down
        self._late: list[QueuedRequest] = []

    def wait(self, request: QueuedRequest, ahead: int | None = None) -> float:
        """Seconds until a request can start that comes now, with so many of its queue before it."""
        now = self._pool.clock()
        ahead = self._queues.ahead_of(request) if ahead is None else ahead
        return self._schedule(request, ahead, now).wait(ahead, now)

    def wait_of_newcomer(self, model: str) -> float:
        """Seconds until the request of a new caller could start."""
        queue = self._queues.waiting.get(model)
        newcomer = QueuedRequest(Caller(""), model, Cost(), queue.usual() if queue else Cost())
        return self.wait(newcomer, queue.callers if queue else 0)

    def news(self, request: QueuedRequest) -> Waiting:
        """The place and the expected wait of a waiting request."""
        now = self._pool.clock()
        if self._numbered.get(request.model, -math.inf) + _FRESH_SECONDS < now:
            self._number(request.model, now)
        eta = request.eta if math.isfinite(request.eta) else request.deadline - now
        return Waiting(max(1, request.position), round(max(0.0, eta), 1))

    def served(self, model: str) -> None:
        """One more request of a model has started."""
        for schedule in self._known.get(model, {}).values():
            schedule.served += 1

    def clear(self) -> None:
        """Forget all schedules, as requests have left that they count with."""
        self._known.clear()

    def forget(self, model: str) -> None:
        """Forget the schedules of a queue that is empty."""
        self._known.pop(model, None)
        self._numbered.pop(model, None)

    def take_late(self) -> list[QueuedRequest]:
        """The requests found to wait in vain, once."""
        late, self._late = self._late, []
        return late

    def _number(self, model: str, now: float) -> None:
        """Write down every request's place and expected wait."""
        if queue := self._queues.waiting.get(model):
            usual = QueuedRequest(Caller(""), model, Cost(), queue.usual(), weight=0.0)
            schedule = self._schedule(usual, len(queue) - 1, now)
            for ahead, request in enumerate(queue.order()):
                request.position = ahead + 1
                request.eta = schedule.left(request, ahead, now)
            self._numbered[model] = now

    def _schedule(self, request: QueuedRequest, ahead: int, now: float) -> Schedule:
        """The schedule of requests like this one, for so many places at least."""
        model = request.model
        size = request.usual.prompt + request.usual.completion if self._pool.counts_tokens(model) else 0
        is_over = self._shares.is_over(request.caller.name, model, request.weight, now)
        kind = request.avoid, round(math.log(max(1, size), _LIKE)), is_over
        schedules = self._known.get(model, {})
        known = schedules.get(kind)
        if known is None or not known.holds(ahead, self._queues.joined_others(model), now):
            known = self._look_ahead(request, ahead, now, len(schedules))
            if model in self._queues.waiting:
                self._known.setdefault(model, {})[kind] = known
        return known

    def _look_ahead(self, request: QueuedRequest, ahead: int, now: float, kinds: int) -> Schedule:
        """Simulate what is to come, for all places of a queue and some more."""
        queue = self._queues.of(request.model)
        length = max(ahead + 1, len(queue))
        count = length + max(_MORE_PLACES, length // 4) if queue else ahead + 1
        fresh = _FRESH_SECONDS + _FRESH_PER_PLACE * (count + len(self._queues)) * max(1, kinds)
        estimate = WaitEstimate(self._pool, self._shares, self._queues.waiting.values(), queue, request, count)
        if estimate.late:
            self._late += estimate.late
            self._on_late()
        return Schedule(now, now + fresh, self._queues.joined_others(request.model), estimate)
