"""When requests will start: the turns of all who wait, played ahead on the limits as they will be.

What is foretold is when each that waits starts, and when a request would that comes now, for each number of those in
its lane that may be served before it. Turns are given as ``queue`` gives them, over all lanes that share a limit.
"""

from __future__ import annotations

import math
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.round_robin import LOOK_AHEAD
from jupyter_server_ext.keys.windows.base import Cost
from jupyter_server_ext.keys.windows.projection import EPSILON, SURELY_OVER, WindowProjection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jupyter_server_ext.keys.pool import KeyPool
    from jupyter_server_ext.keys.round_robin import ModelQueue, QueuedRequest
    from jupyter_server_ext.keys.shares import Shares
    from jupyter_server_ext.keys.windows.base import WindowSpec

_GRACE = 1.0  # seconds by which a start may be foretold too late …
_GRACE_OF_TOKENS = 0.1  # … and the share of the wait, where it depends on the lengths of answers
_LEAST_STEP = 1e-6  # seconds; what is about to be free is free
_SOONEST = attrgetter("soonest")
_PLACE = attrgetter("place")


class Candidate:
    """One way to be served: a key.

    Args:
        opens: Seconds until it may be used at all.
        needs: What is taken of which limits.
    """

    __slots__ = ("needs", "soonest")

    def __init__(self, opens: float, needs: Sequence[tuple[WindowProjection, float]]) -> None:
        self.needs = needs
        self.soonest = opens
        """It can't be used before, as what is taken meanwhile only makes it later."""

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
        """When it can be used, after those who claim what they wait for."""
        start = self.soonest = max(at, self.soonest, *(limit.opens(amount, at) for limit, amount in self.needs))
        for limit, amount in self.needs:
            if limit.reserved and amount <= limit.limit:
                start = max(start, limit.opens(min(limit.limit, amount + limit.reserved), at))
        return start

    def take(self, at: float) -> None:
        """Use it."""
        for limit, amount in self.needs:
            limit.take(amount, at)

    def claim(self, by: float) -> None:
        """Keep what is needed from those whose turns come later."""
        for limit, amount in self.needs:
            limit.reserve(amount, by)


def _first(ways: Iterable[Candidate], at: float) -> tuple[float, Candidate | None]:
    """When the first of these can be used, and which that is."""
    first, start = None, math.inf
    for way in sorted(ways, key=_SOONEST):
        if way.soonest >= start:
            break
        if (known := way.start(at)) < start:
            first, start = way, known
    return start, first


def _rough(tokens: int) -> int:
    """A number with its four leading bits, so that costs are of few kinds."""
    spare = max(0, tokens.bit_length() - 4)
    return (tokens + (1 << spare >> 1)) >> spare << spare


class _Hold(NamedTuple):
    """What a request has to leave to others.

    Args:
        credit: What its caller has left of its share.
        spare: What there is for those beyond their shares.
        size: What it takes of either.
        until: When nobody knows any more who will ask.
    """

    credit: WindowProjection
    spare: WindowProjection
    size: float
    until: float = -math.inf


_NONE = _Hold(WindowProjection(math.inf, math.inf, 0.0), WindowProjection(math.inf, math.inf, 0.0), 0.0)


class WaitEstimate:
    """What will be, if nobody else comes.

    Args:
        pool: The keys.
        shares: What is kept for those who have lately asked.
        lanes: All who wait.
        lane: Where a newcomer would wait: one of ``lanes``, or an empty one.
        newcomer: Whose start is foretold …
        places: … for so many places in its lane.

    Attributes:
        starts: Seconds until the newcomer starts, by how many of its lane are served before it; infinite for never.
        course: Seconds until each that waits starts.
        late: Those that wait and won't start before their deadlines, as others with earlier turns have come.
    """

    def __init__(  # noqa: PLR0917
        self,
        pool: KeyPool,
        shares: Shares,
        lanes: Iterable[ModelQueue],
        lane: ModelQueue,
        newcomer: QueuedRequest,
        places: int,
    ) -> None:
        self.starts: list[float] = []
        self.course: dict[QueuedRequest, float] = {}
        self.late: list[QueuedRequest] = []
        self._pool = pool
        self._now = pool.clock()
        self._limits: dict[str, WindowProjection] = {}
        self._known: dict[tuple[str, Cost, frozenset[str]], Sequence[Candidate]] = {}
        self._of_each: dict[QueuedRequest, Sequence[Candidate]] = {}
        self._shares = shares
        self._spares: dict[str, WindowProjection] = {}  # by model
        self._newcomer, self._places = newcomer, places
        self._next_one = replace(newcomer, usual=lane.usual(newcomer), deadline=math.inf)
        self._own = lane.copy(newcomer)
        self._lanes = [self._own, *(other.copy() for other in lanes if other is not lane)]
        self._holds: dict[QueuedRequest, _Hold] = {}
        self._credits: dict[tuple[str, str], WindowProjection] = {}  # of shares, by caller and model
        self._gone = 0  # of its own lane: those who have started, or have left
        at = 0.0
        while at < math.inf and not self._is_over:
            at = self._go(at)

    @property
    def _is_over(self) -> bool:
        return len(self.starts) >= self._places or math.inf in self.starts[-1:]

    def _go(self, at: float) -> float:
        """Let all start who can at this moment, as their turns come; the next moment."""
        for limit in self._limits.values():
            limit.clear_reservations()
        soonest = math.inf
        lanes = [lane for lane in self._lanes if lane or lane is self._own]
        while lanes and not self._is_over:
            if not self._own:
                self._own.push(replace(self._next_one))
            lane = min(lanes, key=_PLACE) if len(lanes) > 1 else lanes[0]
            start = self._turn_of(lane, at, is_first=math.isinf(soonest))
            if start > at:
                soonest = min(soonest, start)
                lanes.remove(lane)
            elif not lane and lane is not self._own:
                lanes.remove(lane)
        return max(soonest, at + _LEAST_STEP)

    def _turn_of(self, lane: ModelQueue, at: float, *, is_first: bool) -> float:
        """Let the head of a lane start, or leave if it never can; else let it wait, until the time that is returned."""
        head = lane.head()
        soonest = math.inf
        for head in lane.heads():
            if (opens := self._spared(head, at)) <= at:
                break
            soonest = min(soonest, opens)
        else:
            return self._hold(lane, soonest, at)
        if self._is_late(head, at):
            self.late.append(head)
            self._leave(lane, head, at)
            return at
        if self._serve(lane, head, at):
            return at
        start, way = _first(self._ways(head), at)
        if lane is self._own:
            self._look(head, start, at, is_first=is_first)
        if way is None:
            self._leave(lane, head, at)
            return at
        if not any(limit.reserved for limit, _ in way.needs):
            lane.hold_turn(head)
        way.claim(start)
        for ticket in lane.others_than(head):
            self._serve(lane, ticket, at)
        if lane is self._own:
            self._pass_by(head, at)
        return start

    def _spared(self, ticket: QueuedRequest, at: float) -> float:
        """When it need leave nothing to others: below its caller's share, or where enough is spare."""
        hold = self._holds.get(ticket) or self._hold_of(ticket)
        if at >= hold.until or hold.credit.room(at) > EPSILON:
            return at
        return min(hold.until, hold.credit.opens(4 * EPSILON, at), hold.spare.opens(hold.size, at))

    def _hold(self, lane: ModelQueue, opens: float, at: float) -> float:
        """All that wait in a lane leave what there is to others."""
        if lane is self._own and len(self.starts) == self._gone:
            start, _ = _first(self._ways(self._newcomer), max(at, self._spared(self._newcomer, at)))
            if start <= at or math.isinf(start):
                self.starts.append(start)
        return opens

    def _is_late(self, ticket: QueuedRequest, at: float) -> bool:
        grace = _GRACE + (_GRACE_OF_TOKENS * at if self._pool.counts_tokens(ticket.model) else 0.0)
        return self._now + at > ticket.deadline + grace

    def _leave(self, lane: ModelQueue, head: QueuedRequest, at: float) -> None:
        """Let the head of a lane leave it."""
        lane.remove(head)
        self._count(lane, at)

    def _serve(self, lane: ModelQueue, ticket: QueuedRequest, at: float) -> bool:
        """Let a request start if it can; whether it does."""
        best, most = None, 0.0
        for way in self._ways(ticket):
            if (headroom := way.headroom(at)) >= most:
                best, most = way, headroom
        if best is None:
            return False
        if lane is self._own and len(self.starts) == self._gone and self._fits(self._newcomer, at):
            self.starts.append(at)
        best.take(at)
        hold = self._holds.get(ticket, _NONE)
        if hold is not _NONE:
            if hold.credit.room(at) <= EPSILON:
                hold.spare.take(hold.size, at)
            hold.credit.take(hold.size, at)
        lane.serve(ticket)
        self.course[ticket] = at
        self._count(lane, at)
        return True

    def _count(self, lane: ModelQueue, at: float) -> None:
        """One of a lane is gone; a newcomer that had its turn before it and still waits will start as it can."""
        if lane is self._own:
            self._gone += 1
            if len(self.starts) < self._gone:
                self.starts.append(_first(self._ways(self._newcomer), at)[0])

    def _look(self, head: QueuedRequest, start: float, at: float, *, is_first: bool) -> None:
        """Foretell the start of a newcomer that would be the head, as that has to wait."""
        if len(self.starts) == self._gone:
            ways = self._ways(self._newcomer)
            own = start if ways is self._ways(head) else _first(ways, at)[0]
            if is_first or own <= at or math.isinf(own):
                self.starts.append(own)

    def _pass_by(self, head: QueuedRequest, at: float) -> None:
        """A newcomer that takes less than the head may start before it."""
        if self._own.may_pass(self._newcomer, head) and self._fits(self._newcomer, at):
            soon = min(self._gone + self._own.callers, self._gone + LOOK_AHEAD, self._places)
            self.starts += [at] * (soon - len(self.starts))

    def _fits(self, ticket: QueuedRequest, at: float) -> bool:
        return any(way.headroom(at) >= 0 for way in self._ways(ticket))

    def _ways(self, ticket: QueuedRequest) -> Sequence[Candidate]:
        """How a request can be served, if it takes what is usual."""
        ways = self._of_each.get(ticket)
        if ways is None:
            ways = self._of_each[ticket] = self._made(ticket)
        return ways

    def _hold_of(self, ticket: QueuedRequest) -> _Hold:
        """What keeps a request from starting once its caller has had its share; remembered."""
        division = self._shares.division(ticket.model, self._now)
        hold = _NONE
        if division.is_shared(ticket.caller.name):
            if ticket.model not in self._spares:
                self._spares[ticket.model] = division.spare.later(self._now - division.at)
            if division.keeps:
                name = ticket.caller.name, ticket.model
                if name not in self._credits:
                    self._credits[name] = division.credit(name[0], ticket.weight, self._now)
                spare, size = self._spares[ticket.model], division.size(ticket.usual)
                hold = _Hold(self._credits[name], spare, size, SURELY_OVER * division.span)
        self._holds[ticket] = hold
        return hold

    def _made(self, ticket: QueuedRequest) -> Sequence[Candidate]:
        cost = Cost(_rough(ticket.usual.prompt), _rough(ticket.usual.completion))
        name = ticket.model, cost, ticket.avoid
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = [
                Candidate(opens, [(self._limit(spec), cost.part(spec.unit, spec.amount)[0]) for spec in offer.windows])
                for opens, offer in self._pool.ways(ticket.model, ticket.avoid)
            ]
        return known

    def _limit(self, spec: WindowSpec) -> WindowProjection:
        known = self._limits.get(spec.id)
        if known is None:
            known = self._limits[spec.id] = self._pool.windows.window(spec).project(self._now)
        return known
