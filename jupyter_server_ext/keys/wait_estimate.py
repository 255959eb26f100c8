"""When requests will start: the turns of all that wait, simulated on the projections of all windows."""

# The estimate says when each waiting request starts, and when a request would that comes now, for each number of
# requests in its queue that may be served before it. Turns are given as ``queue`` gives them, over all queues that
# share a limit.

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.model_queue import ModelQueue, ModelQueues, QueuedRequest
from jupyter_server_ext.keys.turns import LOOK_AHEAD
from jupyter_server_ext.keys.windows.projection import EPSILON, SURELY_OVER, WindowProjection
from jupyter_server_ext.keys.windows.usage import Cost, WindowSpec
from jupyter_server_ext.messages import Caller, QueueNews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jupyter_server_ext.keys.pool import KeyPool
    from jupyter_server_ext.keys.shares import BatchPace, Shares

_GRACE = 1.0  # seconds by which a start may be predicted too late …
_GRACE_OF_TOKENS = 0.1  # … and the share of the wait, where it depends on the lengths of answers
SOONER = 70.0  # seconds by which batch work may start before it is foretold, as people ask less than is expected
_LEAST_STEP = 1e-6  # seconds; what is about to be free is free
_SOONEST = attrgetter("soonest")
_PLACE = attrgetter("place")


@dataclass(slots=True, eq=False)
class KeyCandidate:
    """A key that may serve a request."""

    # Seconds until it may be used at all; then not before this, as what is taken meanwhile only makes it later.
    soonest: float
    needs: Sequence[tuple[WindowProjection, float]]  # what is taken of which limits

    def headroom(self, at: float) -> float:
        """The share that is left of its tightest limit; negative where something is lacking."""
        if self.soonest > at:
            return -1.0
        least = 1.0
        for limit, amount in self.needs:
            left = limit.room(at) - amount
            if left < -EPSILON:
                self.soonest = limit.opens(amount, at)
                return -1.0
            if left < limit.reserved and limit.delays(amount, at):
                return -1.0
            least = min(least, left / limit.limit)
        return least

    def start(self, at: float) -> float:
        """When it can be used, after the heads that have reserved it."""
        start = self.soonest = max(at, self.soonest, *(limit.opens(amount, at) for limit, amount in self.needs))
        for limit, amount in self.needs:
            if limit.reserved and amount <= limit.limit:
                start = max(start, limit.opens(min(limit.limit, amount + limit.reserved), at))
        return start

    def take(self, at: float) -> None:
        """Use it."""
        for limit, amount in self.needs:
            limit.take(amount, at)

    def reserve(self, by: float) -> None:
        """Keep what is needed for a head that can start by then."""
        for limit, amount in self.needs:
            limit.reserve(amount, by)


def _first(candidates: Iterable[KeyCandidate], at: float) -> tuple[float, KeyCandidate | None]:
    # When the first of these can be used, and which that is.
    first, start = None, math.inf
    for candidate in sorted(candidates, key=_SOONEST):
        if candidate.soonest >= start:
            break
        if (known := candidate.start(at)) < start:
            first, start = candidate, known
    return start, first


def _rough(tokens: int) -> int:
    # A number with its four leading bits, so that costs are of few kinds.
    spare = max(0, tokens.bit_length() - 4)
    return (tokens + (1 << spare >> 1)) >> spare << spare


class _Hold(NamedTuple):
    """What a request has to leave to others."""

    credit: WindowProjection  # what its caller has left of its share
    spare: WindowProjection  # what there is for callers beyond their shares
    size: float  # what it takes of either
    until: float = -math.inf  # how far ahead callers' habits tell anything


_NO_HOLD = _Hold(WindowProjection(math.inf, math.inf, 0.0), WindowProjection(math.inf, math.inf, 0.0), 0.0)


class WaitEstimate:
    """When requests start, if nothing else comes."""

    def __init__(  # noqa: PLR0917
        self,
        pool: KeyPool,
        shares: Shares,
        queues: Iterable[ModelQueue],
        queue: ModelQueue,  # where a newcomer would wait: one of ``queues``, or an empty one
        newcomer: QueuedRequest,  # the request whose start is predicted …
        places: int,  # … for so many places in its queue
    ) -> None:
        # Seconds until the newcomer starts, by how many of its queue are served before it; infinite for
        # never.
        self.starts: list[float] = []
        self.starts_of: dict[QueuedRequest, float] = {}  # seconds until each waiting request starts
        # Waiting requests that won't start before their deadlines, as others with earlier turns have come.
        self.late: list[QueuedRequest] = []
        self._pool = pool  # the keys
        self._now = pool.clock()
        self._limits: dict[str, WindowProjection] = {}
        self._known: dict[tuple[str, Cost, frozenset[str]], Sequence[KeyCandidate]] = {}
        self._of_each: dict[QueuedRequest, Sequence[KeyCandidate]] = {}
        self._shares = shares  # what is kept for callers that have lately asked
        self._spares: dict[str, WindowProjection] = {}  # by model
        self._lefts: dict[str, WindowProjection] = {}  # likewise, of what people leave to batch work …
        self._paces: dict[str, BatchPace] = {}  # … and the pace of that …
        # … and when each key may be used, and how many slots have to be free of which limits.
        self._slots: dict[str, list[tuple[float, list[tuple[WindowProjection, int]]]]] = {}
        self._waiting = {queue.head().model: queue for queue in queues if queue}
        self._newcomer, self._places = newcomer, places
        self._next_one = replace(newcomer, usual=queue.usual(newcomer), deadline=math.inf)
        self._own = queue.copy(newcomer)
        self._queues = [self._own, *(other.copy() for other in queues if other is not queue)]
        self._holds: dict[QueuedRequest, _Hold] = {}
        self._credits: dict[tuple[str, str], WindowProjection] = {}  # of shares, by caller and model
        self._gone = 0  # requests of its own queue that have started or left
        at = 0.0
        while at < math.inf and not self._is_over:
            at = self._go(at)

    @property
    def _is_over(self) -> bool:
        return len(self.starts) >= self._places or math.inf in self.starts[-1:]

    def _go(self, at: float) -> float:
        # Start all requests that can at this moment, as their turns come; the next moment.
        for limit in self._limits.values():
            limit.clear_reservations()
        soonest = math.inf
        queues = [queue for queue in self._queues if queue or queue is self._own]
        while queues and not self._is_over:
            if not self._own:
                self._own.push(replace(self._next_one))
            queue = min(queues, key=_PLACE) if len(queues) > 1 else queues[0]
            start = self._serve_head(queue, at, is_first=math.isinf(soonest))
            if start > at:
                soonest = min(soonest, start)
                queues.remove(queue)
            elif not queue and queue is not self._own:
                queues.remove(queue)
        return max(soonest, at + _LEAST_STEP)

    def _serve_head(self, queue: ModelQueue, at: float, *, is_first: bool) -> float:
        # Start the head of a queue, or drop it if it never can; else the time at which it may be tried again.
        head = queue.head()
        soonest = math.inf
        for head in queue.heads():
            if (opens := self._available_at(head, at)) <= at:
                break
            soonest = min(soonest, opens)
        else:
            return self._hold(queue, soonest, at)
        grace = _GRACE + (_GRACE_OF_TOKENS * at if self._pool.counts_tokens(head.model) else 0.0)
        if self._now + at > head.deadline + grace + (0.0 if head.interactive else SOONER):
            self.late.append(head)
            self._leave(queue, head, at)
            return at
        if self._serve(queue, head, at):
            return at
        start, candidate = _first(self._candidates(head), at)
        if queue is self._own:
            self._predict(head, start, at, is_first=is_first)
        if candidate is None:
            self._leave(queue, head, at)
            return at
        if not any(limit.reserved for limit, _ in candidate.needs):
            queue.hold_head(head)
        candidate.reserve(start)
        self._serve_smaller(queue, head, at)
        if queue is self._own:
            self._backfill(head, at)
        return start

    def _available_at(self, request: QueuedRequest, at: float) -> float:
        # When a request need leave nothing to others: below its caller's share, or where enough is spare. Batch work
        # leaves nothing but slots while people wait, as turns decide then; the newcomer may be one of them.
        if not request.interactive and (_is_person(self._newcomer) or any(queue.people for queue in self._queues)):
            return self._slot_at(request.model, at)
        hold = self._holds.get(request) or self._hold_of(request)
        if not request.interactive:
            paced = at + self._pace(request.model).wait(self._now + at)
            slot = self._slot_at(request.model, at)
            return max(slot, paced, min(hold.until, hold.spare.opens(hold.size, at)))
        if at >= hold.until or hold.credit.room(at) > EPSILON:
            return at
        return min(hold.until, hold.credit.opens(4 * EPSILON, at), hold.spare.opens(hold.size, at))

    def _hold(self, queue: ModelQueue, opens: float, at: float) -> float:
        # Predict the start of a newcomer where all that wait in a queue leave what there is to others.
        if queue is self._own and len(self.starts) == self._gone:
            start, _ = _first(self._candidates(self._newcomer), max(at, self._available_at(self._newcomer, at)))
            if start <= at or math.isinf(start):
                self.starts.append(start)
            opens = min(opens, start) if start > at else opens
        return opens

    def _slot_at(self, model: str, at: float) -> float:
        # When batch work may take a slot and leave to people those that are kept for them.
        keys = self._slots.get(model)
        if keys is None:
            keys = self._slots[model] = [
                (opens, [(self._limit(spec), free) for spec, free in slots])
                for opens, slots in self._shares.slots_for_batch(model, self._waiting, self._now)
            ]
        starts = (max([at, opens, *(limit.opens(free, at) for limit, free in slots)]) for opens, slots in keys)
        return min(starts, default=at)

    def _leave(self, queue: ModelQueue, head: QueuedRequest, at: float) -> None:
        queue.remove(head)
        self._count(queue, at)

    def _serve(self, queue: ModelQueue, request: QueuedRequest, at: float) -> bool:
        best, most = None, 0.0
        for candidate in self._candidates(request):
            if (headroom := candidate.headroom(at)) >= most:
                best, most = candidate, headroom
        if best is None:
            return False
        if queue is self._own and len(self.starts) == self._gone and self._fits(self._newcomer, at):
            self.starts.append(at)
        best.take(at)
        hold = self._holds.get(request, _NO_HOLD)
        if hold is not _NO_HOLD:
            if hold.credit.room(at) <= EPSILON:
                hold.spare.take(hold.size, at)
            hold.credit.take(hold.size, at)
        if not request.interactive:
            seconds = self._shares.division(request.model, self._now).seconds(request.usual)
            self._pace(request.model).start(seconds, self._now + at)
        queue.serve(request)
        self.starts_of[request] = at
        self._count(queue, at)
        return True

    def _serve_smaller(self, queue: ModelQueue, head: QueuedRequest, at: float) -> None:
        # Start what fits beside a head that waits; where one found no room, none that needs as much finds any.
        full = {id(self._candidates(head))}
        for request in queue.backfill_candidates(head):
            candidates = id(self._candidates(request))
            if candidates not in full and not self._serve(queue, request, at):
                full.add(candidates)

    def _count(self, queue: ModelQueue, at: float) -> None:
        # Count a request that has left a queue; a newcomer that had its turn before it will start as it can.
        if queue is self._own:
            self._gone += 1
            if len(self.starts) < self._gone:
                self.starts.append(_first(self._candidates(self._newcomer), at)[0])

    def _predict(self, head: QueuedRequest, start: float, at: float, *, is_first: bool) -> None:
        # Predict the start of a newcomer that would be the head, as that has to wait.
        if len(self.starts) == self._gone:
            candidates = self._candidates(self._newcomer)
            own = start if candidates is self._candidates(head) else _first(candidates, at)[0]
            if is_first or own <= at or math.isinf(own):
                self.starts.append(own)

    def _backfill(self, head: QueuedRequest, at: float) -> None:
        """Predict the start of a newcomer that may start before the head, as it takes less."""
        if self._own.can_backfill(self._newcomer, head) and self._fits(self._newcomer, at):
            next_ones = sum(1 for _ in islice(self._own.heads(), LOOK_AHEAD))
            soon = min(self._gone + next_ones, self._places)
            self.starts += [at] * (soon - len(self.starts))

    def _fits(self, request: QueuedRequest, at: float) -> bool:
        return any(candidate.headroom(at) >= 0 for candidate in self._candidates(request))

    def _candidates(self, request: QueuedRequest) -> Sequence[KeyCandidate]:
        # The candidates for a request, if it takes what is usual.
        candidates = self._of_each.get(request)
        if candidates is None:
            cost = Cost(_rough(request.usual.prompt), _rough(request.usual.completion))
            name = request.model, cost, request.avoid
            if (known := self._known.get(name)) is None:
                known = self._known[name] = [
                    KeyCandidate(
                        opens, [(self._limit(one), cost.part(one.unit, one.amount)[0]) for one in offer.windows]
                    )
                    for opens, offer in self._pool.candidates(request.model, request.avoid)
                ]
            candidates = self._of_each[request] = known
        return candidates

    def _hold_of(self, request: QueuedRequest) -> _Hold:
        # What a request has to leave to others once its caller has had its share; remembered.
        division = self._shares.division(request.model, self._now)
        hold = _NO_HOLD
        if not request.interactive:
            if request.model not in self._lefts:
                self._lefts[request.model] = division.left.later(self._now - division.at)
            size, until = division.size_left(request.usual), SURELY_OVER * division.span
            hold = _Hold(WindowProjection(math.inf, 0.0, math.inf), self._lefts[request.model], size, until)
        elif division.is_shared(request):
            if request.model not in self._spares:
                self._spares[request.model] = division.spare.later(self._now - division.at)
            if division.keeps:
                name = request.caller.name, request.model
                if name not in self._credits:
                    self._credits[name] = division.credit(request, self._now)
                spare, size = self._spares[request.model], division.size(request.usual)
                hold = _Hold(self._credits[name], spare, size, SURELY_OVER * division.span)
        self._holds[request] = hold
        return hold

    def _pace(self, model: str) -> BatchPace:
        return self._paces.setdefault(model, replace(self._shares.pace(model)))

    def _limit(self, spec: WindowSpec) -> WindowProjection:
        known = self._limits.get(spec.id)
        if known is None:
            known = self._limits[spec.id] = self._pool.windows.window(spec).project(self._now)
        return known


def _is_person(newcomer: QueuedRequest) -> bool:
    # Whether a newcomer is somebody who waits, and neither batch work nor made up to foretell others.
    return newcomer.interactive and newcomer.weight > 0


_FRESH_SECONDS = 0.25  # positions and expected waits are computed anew at most so often, …
_FRESH_PER_PLACE = 0.002  # … and where many wait, so much later for each
_LIKE = 1.3  # costs that differ by this factor have the same schedule
_FEW = 0.05  # of the requests that wait: so many may have come for other models since
_MORE_PLACES = 16  # than requests wait

_Kind = tuple[frozenset[str], int, bool, bool]


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
    """Wait estimates of all queues, each kept for a moment: one for every request would cost more, the more wait."""

    def __init__(self, pool: KeyPool, shares: Shares, queues: ModelQueues, on_late: Callable[[], None]) -> None:
        self._on_late = on_late  # called when requests are found to wait in vain
        self._pool = pool  # the keys
        self._shares = shares  # what is kept for callers that have lately asked
        self._queues = queues  # all requests that wait
        self._known: dict[str, dict[_Kind, Schedule]] = {}  # by model
        self._numbered: dict[str, float] = {}  # when the places of a model's queue were written down
        self.late: list[QueuedRequest] = []  # found to wait in vain

    def wait(self, request: QueuedRequest, ahead: int | None = None) -> float:
        """Seconds until a request can start that comes now, with so many of its queue before it."""
        now = self._pool.clock()
        ahead = self._queues.ahead_of(request) if ahead is None else ahead
        return self._schedule(request, ahead, now).wait(ahead, now)

    def news(self, request: QueuedRequest) -> QueueNews:
        """The place and the expected wait of a waiting request."""
        now = self._pool.clock()
        if self._numbered.get(request.model, -math.inf) + _FRESH_SECONDS < now:
            self._number(request.model, now)
        eta = request.eta if math.isfinite(request.eta) else request.deadline - now
        return QueueNews(max(1, request.position), round(max(0.0, eta), 1))

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

    def _number(self, model: str, now: float) -> None:
        if queue := self._queues.waiting.get(model):
            usual = QueuedRequest(Caller(""), model, Cost(), queue.usual(), weight=0.0)
            schedule = self._schedule(usual, len(queue) - 1, now)
            for ahead, request in enumerate(queue.order()):
                request.position = ahead + 1
                request.eta = schedule.left(request, ahead, now)
            self._numbered[model] = now

    def _schedule(self, request: QueuedRequest, ahead: int, now: float) -> Schedule:
        # The schedule of requests like this one, for so many places at least.
        model = request.model
        size = request.usual.prompt + request.usual.completion if self._pool.counts_tokens(model) else 0
        division = self._shares.division(model, now)
        is_over = request.interactive and division.is_over(request, now)
        is_told_apart = _is_person(request) and any(queue.batch for queue in self._queues.waiting.values())
        kind = request.avoid, round(math.log(max(1, size), _LIKE)), is_over, is_told_apart
        schedules = self._known.get(model, {})
        known = schedules.get(kind)
        if known is None or not known.holds(ahead, self._queues.joined_others(model), now):
            # For all places of the queue and some more, as long as others like this one may be looked for.
            queue = self._queues.of(model)
            length = max(ahead + 1, len(queue))
            count = length + max(_MORE_PLACES, length // 4) if queue else ahead + 1
            fresh = _FRESH_SECONDS + _FRESH_PER_PLACE * (count + len(self._queues)) * max(1, len(schedules))
            estimate = WaitEstimate(self._pool, self._shares, self._queues.waiting.values(), queue, request, count)
            if estimate.late:
                self.late += estimate.late
                self._on_late()
            known = Schedule(now, now + fresh, self._queues.joined_others(model), estimate)
            if model in self._queues.waiting:
                self._known.setdefault(model, {})[kind] = known
        return known
