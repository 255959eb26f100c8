"""Waiting for a key, fairly.

There is one *lane* per model, in which callers take turns (``turns``). Whoever waits is woken when a key can start: a
single task sleeps until the moment the pool named, or until something was given back. Nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter, OrderedDict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.keys.pool import Busy, KeyPool, Lease
from jupyter_server_ext.keys.round_robin import DeficitRoundRobin, ModelQueue, QueuedRequest
from jupyter_server_ext.keys.shares import Shares
from jupyter_server_ext.keys.wait_estimate import WaitEstimate
from jupyter_server_ext.keys.windows.base import Cost
from jupyter_server_ext.messages import Caller, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.config import PoolSettings
    from jupyter_server_ext.keys.windows.base import Reservation

_FRESH_SECONDS = 0.25  # positions and expected waits are computed anew at most so often, …
_FRESH_PER_PLACE = 0.002  # … and where many wait, so much later for each
_LIKE = 1.3  # costs that differ by this factor have the same schedule
_PLACE = attrgetter("place")
_FEW = 0.05  # of those who wait, who may have come for other models since
_MORE_PLACES = 16  # than those who wait
_MOST_IDLE = 200  # models without anybody who waits, whose turns are remembered


class KeyQueue:
    """Gives leases to requests: at once where a key is free, fairly where none is.

    Args:
        pool: The keys.
        settings: How long and how many may wait.

    Example:
        ::

            ticket = Ticket(caller, "llama-3.3-70b", Cost(300, 200), deadline=clock() + 60)
            lease = await queue.lease(ticket)
    """

    def __init__(self, pool: KeyPool, settings: PoolSettings) -> None:
        self.pool = pool
        self._settings = settings
        self._lanes: dict[str, ModelQueue] = {}  # by model: those in which somebody waits …
        self._idle: OrderedDict[str, ModelQueue] = OrderedDict()  # … and others, which know who has had its turn
        self._length = 0
        self._size = 0
        self._joined: Counter[str] = Counter()  # how many have waited so far, by model
        self._wake = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._schedules: dict[str, dict[_Kind, _Schedule]] = {}  # by model
        self._numbered: dict[str, float] = {}  # when the places of a model's lane were written down
        self._claims: dict[QueuedRequest, Reservation] = {}  # of those whose turn has come, by lane
        self._late: list[QueuedRequest] = []  # those found to wait in vain
        self._shares = Shares(pool.windows, pool.ways)
        self._held: set[str] = set()  # models for which only those wait for whom nothing is spare
        pool.on_change.append(self._something_changed)

    def __len__(self) -> int:
        return self._length

    async def lease(self, ticket: QueuedRequest) -> Lease:
        """A key for this request, waiting if need be.

        Raises:
            NoCapacity: It can't start before its deadline, or too many wait.
            UnknownModel: No key serves its model.
        """
        return await self.lease_now(ticket) or await self._wait(ticket)

    async def lease_now(self, ticket: QueuedRequest) -> Lease | None:
        """A key for this request, or None when it has to wait.

        Raises:
            NoCapacity: Waiting would not help.
            UnknownModel: No key serves its model.
        """
        if (self._lanes.get(ticket.model) and ticket.model not in self._held) or self._hold(ticket):
            return None
        got = await self._take(ticket, self._claims)
        if isinstance(got, Busy):
            if math.isinf(got.wait):
                raise self._hopeless(ticket, got)
            return None
        self._lane(ticket.model).pass_by(ticket)
        self._asks(ticket)
        return got

    def _hold(self, ticket: QueuedRequest) -> float:
        """Seconds for which a request leaves what there is to callers who have had less; 0 for most."""
        name, now = ticket.caller.name, self.pool.clock()
        return self._shares.hold(name, ticket.model, ticket.weight, ticket.usual, now)

    def _asks(self, ticket: QueuedRequest) -> None:
        """Remember that its caller asks."""
        if not ticket.again:
            now = self.pool.clock()
            self._shares.asks(ticket.caller.name, ticket.model, ticket.weight, ticket.usual, now)

    async def _take(self, ticket: QueuedRequest, claims: Mapping[QueuedRequest, Reservation]) -> Lease | Busy:
        """A key, if one is free."""
        name, model, now = ticket.caller.name, ticket.model, self.pool.clock()
        got = await self.pool.lease(model, ticket.cost, ticket.avoid, tuple(claims.values()), name)
        if not isinstance(got, Busy):
            self._shares.took(name, model, ticket.weight, ticket.usual, now)
        return got

    def eta(self, ticket: QueuedRequest) -> float:
        """Seconds until this request could start, if it came now and nobody came after it."""
        return self._starts(ticket, self._ahead(ticket))

    def expected_wait(self, model: str) -> float | None:
        """Seconds until a new caller's request for ``model`` could start; None when it could not."""
        lane = self._lanes.get(model)
        newcomer = QueuedRequest(Caller(""), model, Cost(), lane.usual() if lane else Cost())
        wait = self._starts(newcomer, lane.callers if lane else 0)
        return round(wait, 3) if math.isfinite(wait) else None

    def news(self, ticket: QueuedRequest) -> Waiting:
        """Where a waiting request stands."""
        if self._numbered.get(ticket.model, -math.inf) + _FRESH_SECONDS < self.pool.clock():
            self._number(ticket.model)
        eta = ticket.eta if math.isfinite(ticket.eta) else ticket.deadline - self.pool.clock()
        return Waiting(max(1, ticket.position), round(max(0.0, eta), 1))

    async def close(self) -> None:
        """Stop serving; what waits is refused."""
        if self._server is not None:
            self._server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._server
            self._server = None
        if self._timer is not None:
            self._timer.cancel()
        for lane in self._lanes.values():
            for ticket in list(lane.order()):
                self._refuse(ticket, NoCapacity("The gateway is stopping. Try again in a moment.", retry_after=5.0))

    async def _wait(self, ticket: QueuedRequest) -> Lease:
        left = ticket.deadline - self.pool.clock()
        self._asks(ticket)
        ticket.eta = self.eta(ticket)
        if ticket.eta > left and self._is_surely_late(ticket, left):
            raise self._too_long(ticket, left)
        self._make_room(ticket)
        self._join(ticket)
        assert ticket.got is not None  # noqa: S101 - set by _join
        lease: Lease | None = None
        try:
            async with asyncio.timeout(left if left < math.inf else None):
                lease = await ticket.got
        except TimeoutError:
            raise self._too_long(ticket, left) from None
        finally:
            self._leave(ticket, lease)
        return lease

    def _is_surely_late(self, ticket: QueuedRequest, left: float) -> bool:
        """Whether it would be late even if one less were served before it, as it may where limits are shared."""
        if len(self._lanes) == 1 and not self.pool.counts_tokens(ticket.model):
            return True
        return self._starts(ticket, max(0, self._ahead(ticket) - 1)) > left

    def _ahead(self, ticket: QueuedRequest) -> int:
        """How many of its lane are served before a new request, if nobody else comes."""
        lane = self._lanes.get(ticket.model)
        return lane.ahead_of(ticket) if lane else 0

    def _join(self, ticket: QueuedRequest) -> None:
        loop = asyncio.get_running_loop()
        ticket.got = loop.create_future()
        lane = self._lanes[ticket.model] = self._lane(ticket.model)
        self._idle.pop(ticket.model, None)
        lane.push(ticket)
        self._joined[ticket.model] += 1
        ticket.position = len(lane)
        self._length += 1
        self._size += ticket.size
        self._shares.waits(ticket.caller.name, ticket.model, 1, self.pool.clock())
        if self._server is None or self._server.done():
            self._server = loop.create_task(self._serve_forever())
        if ticket.again or len(lane) == 1 or ticket.model in self._held or lane.may_pass(ticket, lane.head()):
            self._wake.set()  # else somebody waits already, and is woken when the time comes

    def _lane(self, model: str) -> ModelQueue:
        """The lane of a model; one in which nobody waited comes last to its turn."""
        lane = self._lanes.get(model)
        if lane is None:
            lane = self._idle.pop(model) if model in self._idle else ModelQueue()
            self._idle[model] = lane
            lane.turns = min((other.turns for other in self._lanes.values()), default=0.0)
            if len(self._idle) > _MOST_IDLE:
                self._idle.popitem(last=False)
        return lane

    def _leave(self, ticket: QueuedRequest, lease: Lease | None) -> None:
        """The request waits no more; a lease that came when it had gone goes back."""
        got = ticket.got
        if lease is None and got is not None and got.done() and not got.cancelled() and got.exception() is None:
            got.result().unused()
        self._length -= 1
        self._size -= ticket.size
        self._shares.waits(ticket.caller.name, ticket.model, -1, self.pool.clock())
        if self._claims.pop(ticket, None) and lease is None:
            self._something_changed()  # what it waited for is for others
        lane = self._lanes.get(ticket.model)
        if lane is not None:
            lane.remove(ticket)
            if not lane:
                self._held.discard(ticket.model)
                self._idle[ticket.model] = self._lanes.pop(ticket.model)
                self._schedules.pop(ticket.model, None)
                self._numbered.pop(ticket.model, None)
                del self._joined[ticket.model]

    def _make_room(self, ticket: QueuedRequest) -> None:
        """If the queue is full, refuse the newest request of whoever has most waiting; that may be this one."""
        full = self._length >= self._settings.queue_length
        if not full and self._size + ticket.size <= self._settings.queue_megabytes * 1e6:
            return
        refusal = NoCapacity(
            "Too many requests are waiting. Try again later.", code="queue_full", retry_after=_finite(self.eta(ticket))
        )
        everybody = [turns for lane in self._lanes.values() for turns in (lane.people, lane.batch)]
        longest = max(everybody, key=lambda turns: turns.longest()[1], default=DeficitRoundRobin())
        name, length = longest.longest()
        own = sum(turns.waiting(ticket.caller.name) for turns in everybody)
        if length <= own + 1:
            raise refusal
        self._refuse(longest.last_of(name), refusal)

    def _refuse(self, ticket: QueuedRequest, error: NoCapacity) -> None:
        self._lanes[ticket.model].remove(ticket)
        if ticket.got is not None and not ticket.got.done():
            ticket.got.set_exception(error)

    def _refuse_late(self) -> None:
        """Refuse those that would wait in vain; who comes after them is served the sooner."""
        if not self._late:
            return
        late, self._late = self._late, []
        for ticket in late:
            if ticket.got is not None and not ticket.got.done():
                self._refuse(ticket, self._too_long(ticket, ticket.deadline - self.pool.clock()))
        self._schedules.clear()

    def _something_changed(self) -> None:
        if self._length:
            self._wake.set()

    async def _serve_forever(self) -> None:
        """Hand out leases whenever something was given back, and at the moments the pool named."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._wake_in(await self._serve_lanes())

    async def _serve_lanes(self) -> float:
        """Serve lanes in turns, as models may share a quota, as far as keys are free; the seconds until one is."""
        self._refuse_late()
        wait = math.inf
        claims: dict[QueuedRequest, Reservation] = {}
        lanes = list(self._lanes.values())
        self._held.clear()
        while lanes := [lane for lane in lanes if lane]:  # all may leave one while a key is asked for
            lane = min(lanes, key=_PLACE) if len(lanes) > 1 else lanes[0]
            head, hold = self._next(lane)
            if head is None:
                self._held.add(lane.head().model)
                wait = min(wait, hold)
                lanes.remove(lane)
                continue
            busy = await self._serve_ticket(lane, head, claims)
            if busy is not None:
                if self._claim(head, busy, claims):
                    lane.hold_turn(head)
                for ticket in lane.others_than(head):
                    if not self._hold(ticket):
                        await self._serve_ticket(lane, ticket, claims, is_turn=False)
                wait = min(wait, busy.wait)
                lanes.remove(lane)
        self._claims = {ticket: claim for ticket, claim in claims.items() if ticket.got and not ticket.got.done()}
        return wait

    def _next(self, lane: ModelQueue) -> tuple[QueuedRequest | None, float]:
        """The first in turn of those that need leave nothing to others; or the seconds until one is."""
        soonest = math.inf
        for ticket in lane.heads():
            assert ticket.got is not None  # noqa: S101 - it waits
            hold = 0.0 if ticket.got.done() else self._hold(ticket)
            if not hold:
                return ticket, 0.0
            soonest = min(soonest, hold)
        return None, soonest

    def _claim(self, head: QueuedRequest, busy: Busy, claims: dict[QueuedRequest, Reservation]) -> bool:
        """Promise the head the key that it waits for: others may use of that what does not make it wait longer.

        Returns:
            Whether it is the first to whom anything of that is promised.
        """
        key, by = head.promised
        now = self.pool.clock()
        by = now + busy.wait if key != busy.key else max(by, now + busy.wait)
        head.promised = busy.key, by
        claim = self.pool.claim(head.model, head.cost, busy.key, by)
        if claim is None:
            return False
        is_first = not any(claim.needs.keys() & other.needs.keys() for other in claims.values())
        claims[head] = claim
        return is_first

    async def _serve_ticket(
        self,
        lane: ModelQueue,
        ticket: QueuedRequest,
        claims: Mapping[QueuedRequest, Reservation],
        *,
        is_turn: bool = True,
    ) -> Busy | None:
        """Give a request its key, or the reason why it gets none; None when it waits no more.

        One that can never be served is refused when it is its turn.
        """
        assert ticket.got is not None  # noqa: S101 - it waits
        if ticket.got.done():
            lane.remove(ticket)
            return None
        if ticket.estimate is not None:
            ticket.cost = ticket.estimate()
        try:
            got = await self._take(ticket, claims)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            lane.remove(ticket)
            ticket.got.set_exception(error)
            return None
        if isinstance(got, Busy):
            if math.isfinite(got.wait) or not is_turn:
                return got
            lane.remove(ticket)
            ticket.got.set_exception(self._hopeless(ticket, got))
        elif ticket.got.done():
            lane.remove(ticket)
            got.unused()
        else:
            lane.serve(ticket)
            ticket.got.set_result(got)
            for known in self._schedules.get(ticket.model, {}).values():
                known.served += 1
        return None

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if math.isfinite(seconds):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + max(0.0, seconds), self._wake.set)

    def _number(self, model: str) -> None:
        """Write down everybody's place and expected wait."""
        lane = self._lanes.get(model)
        if lane:
            now = self.pool.clock()
            usual = QueuedRequest(Caller(""), model, Cost(), lane.usual(), weight=0.0)
            schedule = self._schedule(usual, len(lane) - 1, now)
            for ahead, ticket in enumerate(lane.order()):
                ticket.position = ahead + 1
                ticket.eta = schedule.left(ticket, ahead, now)
            self._numbered[model] = now

    def _starts(self, ticket: QueuedRequest, ahead: int) -> float:
        """Seconds until a request can start that comes now and has so many of its lane before it."""
        now = self.pool.clock()
        return self._schedule(ticket, ahead, now).wait(ahead, now)

    def _schedule(self, ticket: QueuedRequest, ahead: int, now: float) -> _Schedule:
        """What is foretold for requests like this one, and for so many places at least."""
        size = ticket.usual.prompt + ticket.usual.completion if self.pool.counts_tokens(ticket.model) else 0
        is_over = self._shares.is_over(ticket.caller.name, ticket.model, ticket.weight, now)
        kind = ticket.avoid, round(math.log(max(1, size), _LIKE)), is_over
        schedules = self._schedules.get(ticket.model, {})
        known = schedules.get(kind)
        if known is None or not known.tells(ahead, self._others(ticket.model), now):
            known = self._look_ahead(ticket, ahead, now, len(schedules))
            if ticket.model in self._lanes:
                self._schedules.setdefault(ticket.model, {})[kind] = known
        return known

    def _others(self, model: str) -> int:
        """How many have come for other models."""
        return self._joined.total() - self._joined[model]

    def _look_ahead(self, ticket: QueuedRequest, ahead: int, now: float, kinds: int) -> _Schedule:
        """Play what is to come, for all places of a lane and some more."""
        lane = self._lane(ticket.model)
        length = max(ahead + 1, len(lane))
        count = length + max(_MORE_PLACES, length // 4) if lane else ahead + 1
        fresh = _FRESH_SECONDS + _FRESH_PER_PLACE * (count + self._length) * max(1, kinds)
        forecast = WaitEstimate(self.pool, self._shares, self._lanes.values(), lane, ticket, count)
        if forecast.late:
            self._late += forecast.late
            self._wake.set()
        return _Schedule(now, now + fresh, self._others(ticket.model), forecast)

    def _hopeless(self, ticket: QueuedRequest, busy: Busy) -> NoCapacity:
        if busy.too_large:
            return NoCapacity(
                f"The request is larger than any key for '{ticket.model}' allows. Shorten it.",
                param="max_tokens" if ticket.cost.asked else "messages",
                status=413,
            )
        return NoCapacity(
            f"The model '{ticket.model}' cannot be reached: {busy.reason}. "
            "Tell an administrator; GET admin/api/keys shows them why."
        )

    def _too_long(self, ticket: QueuedRequest, left: float) -> NoCapacity:
        wait = self.eta(ticket)
        said = f"about {wait:.0f} s" if math.isfinite(wait) else "unknown"
        return NoCapacity(
            f"All keys are busy. The wait is {said}; this request may wait {max(0.0, left):.0f} s. Try again later.",
            retry_after=_finite(wait),
            status=429 if self.pool.is_cooling(ticket.model) else None,
        )


_Kind = tuple[frozenset[str], int, bool]


@dataclass(slots=True)
class _Schedule:
    """When requests of one size could start, by their places, as of ``at``; some have been ``served`` since.

    To look ahead for every request that comes would cost more, the more wait; so it is done now and then for all.
    """

    at: float
    until: float
    others: int
    forecast: WaitEstimate
    served: int = 0

    def tells(self, ahead: int, others: int, now: float) -> bool:
        """Whether it is fresh and long enough, when so many have come for other models."""
        starts = self.forecast.starts
        is_fresh = now <= self.until and others <= self.others + _FEW * len(starts)
        return is_fresh and (self.served + ahead < len(starts) or math.inf in starts[-1:])

    def wait(self, ahead: int, now: float) -> float:
        """Seconds until a newcomer can start that has so many before it; infinite for never."""
        place, starts = self.served + ahead, self.forecast.starts
        return max(0.0, starts[place] + self.at - now) if place < len(starts) else math.inf

    def left(self, ticket: QueuedRequest, ahead: int, now: float) -> float:
        """Seconds until one starts that waits; one that has come since is like a newcomer."""
        start = self.forecast.course.get(ticket)
        return self.wait(ahead, now) if start is None else max(0.0, start + self.at - now)


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
