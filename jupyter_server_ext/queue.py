"""Waiting for a key, fairly.

One *lane* per model. In a lane, callers take turns by deficit round robin (M. Shreedhar, G. Varghese, "Efficient fair
queueing using deficit round robin", 1995): at each turn a caller's credit grows by the weight of its tenant, and it is
served while its credit covers the request at its head. Interactive requests go before batch ones, which get one turn in
eight so that they never starve.

Whoever waits is woken when a key can start: a single task sleeps until the moment the pool named, or until something
was given back. Nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.key_pool import Busy, KeyPool, Lease
from jupyter_server_ext.messages import Caller, Waiting
from jupyter_server_ext.storage.base import Cost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.settings import PoolSettings

_BATCH_TURN = 8  # every so many turns go to batch work, when some waits
_FRESH_SECONDS = 0.25  # positions and expected waits are computed anew at most so often
_LOOK_AHEAD = 8  # callers whose smaller requests may use what the one whose turn it is cannot
_LEAST_WEIGHT = 0.01


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place in the queue.

    Args:
        caller: Who asks.
        model: The model it waits for.
        cost: What it reserves of a key.
        usual: What it is likely to take in the end, from which waits are foretold.
        deadline: When waiting has lost its point, in the pool's clock.
        weight: The share of its tenant.
        interactive: Whether a person waits for it.
        size: Bytes of its body.
        avoid: Keys that it is not to be given.
    """

    caller: Caller
    model: str
    cost: Cost
    usual: Cost = Cost()  # noqa: RUF009 - a value
    deadline: float = math.inf
    weight: float = 1.0
    interactive: bool = True
    size: int = 0
    avoid: frozenset[str] = frozenset()
    position: int = 0
    eta: float = 0.0
    got: asyncio.Future[Lease] | None = field(default=None, repr=False)


class Turns:
    """Callers taking turns; the pure rule, without time."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Ticket]] = {}
        self._ring: deque[str] = deque()
        self._credit: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    def __bool__(self) -> bool:
        return bool(self._ring)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return len(self._ring)

    def push(self, ticket: Ticket) -> None:
        """Put a request behind the others of its caller."""
        name = ticket.caller.name
        if name not in self._waiting:
            self._waiting[name] = deque()
            self._credit[name] = 0.0
            self._ring.append(name)
        self._waiting[name].append(ticket)

    def head(self) -> Ticket:
        """The request whose turn it is."""
        while True:
            name = self._ring[0]
            ticket = self._waiting[name][0]
            if self._credit[name] >= 1.0:
                return ticket
            self._credit[name] += max(_LEAST_WEIGHT, ticket.weight)
            if self._credit[name] < 1.0:
                self._ring.rotate(-1)

    def serve(self, ticket: Ticket) -> None:
        """Take out a request that is served: its caller pays for it, and makes way when its credit is used up."""
        name = ticket.caller.name
        line = self._waiting[name]
        line.remove(ticket)  # mostly the first
        self._credit[name] -= 1.0
        if not line:
            self._leave(name)
        elif self._ring[0] == name and self._credit[name] < 1.0:
            self._ring.rotate(-1)

    def next_heads(self) -> list[Ticket]:
        """The first requests of the callers whose turns come next, after the one whose turn it is."""
        return [self._waiting[name][0] for name in islice(self._ring, 1, 1 + _LOOK_AHEAD)]

    def remove(self, ticket: Ticket) -> None:
        """Take out a request that no longer waits."""
        line = self._waiting.get(ticket.caller.name)
        if line is not None and ticket in line:
            line.remove(ticket)
            if not line:
                self._leave(ticket.caller.name)

    def longest(self) -> tuple[str, int]:
        """The caller with most requests waiting, and how many."""
        return max(((name, len(line)) for name, line in self._waiting.items()), key=lambda row: row[1], default=("", 0))

    def last_of(self, name: str) -> Ticket:
        """The newest request of a caller."""
        return self._waiting[name][-1]

    def waiting(self, name: str) -> int:
        """How many requests of a caller wait."""
        return len(self._waiting.get(name, ()))

    def ahead_of(self, name: str, weight: float) -> int:
        """How many requests will be served before a new one of this caller, if nobody else comes."""
        own = self.waiting(name) + 1
        total = own - 1
        for other, line in self._waiting.items():
            if other != name:
                total += min(len(line), math.ceil(own * line[0].weight / max(_LEAST_WEIGHT, weight)))
        return total

    def order(self) -> Iterator[Ticket]:
        """All requests in the order of their turns, if nobody else comes."""
        lines = {name: deque(line) for name, line in self._waiting.items()}
        ring, credit = deque(self._ring), dict(self._credit)
        while ring:
            name = ring[0]
            if credit[name] < 1.0:
                credit[name] += max(_LEAST_WEIGHT, lines[name][0].weight)
            while lines[name] and credit[name] >= 1.0:
                credit[name] -= 1.0
                yield lines[name].popleft()
            ring.popleft()
            if lines[name]:
                ring.append(name)

    def _leave(self, name: str) -> None:
        del self._waiting[name], self._credit[name]
        self._ring.remove(name)


class Lane:
    """The requests that wait for one model: people first, batch work every eighth turn."""

    def __init__(self) -> None:
        self.people = Turns()
        self.batch = Turns()
        self._turn = 0

    def __len__(self) -> int:
        return len(self.people) + len(self.batch)

    def __bool__(self) -> bool:
        return bool(self.people) or bool(self.batch)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return self.people.callers + self.batch.callers

    def of(self, ticket: Ticket) -> Turns:
        """Where a ticket of this kind waits."""
        return self.people if ticket.interactive else self.batch

    def ahead_of(self, ticket: Ticket) -> int:
        """How many requests will be served before this new one, if nobody else comes."""
        ahead = self.of(ticket).ahead_of(ticket.caller.name, ticket.weight)
        if ticket.interactive:
            return ahead + min(len(self.batch), ahead // (_BATCH_TURN - 1))
        return ahead + min(len(self.people), (ahead + 1) * (_BATCH_TURN - 1))

    def _next(self) -> Turns:
        batch_turn = self._turn % _BATCH_TURN == _BATCH_TURN - 1
        if self.batch and (batch_turn or not self.people):
            return self.batch
        return self.people

    def head(self) -> Ticket:
        """The request whose turn it is."""
        return self._next().head()

    def serve(self, ticket: Ticket) -> None:
        """Take out a request that is served."""
        self.of(ticket).serve(ticket)
        self._turn += 1

    def others_than(self, head: Ticket) -> list[Ticket]:
        """Requests that come soon and may find a key where the one whose turn it is finds none."""
        return [
            ticket
            for ticket in self.of(head).next_heads()
            if ticket.cost.prompt < head.cost.prompt
            or ticket.cost.completion < head.cost.completion
            or ticket.avoid != head.avoid
        ]

    def order(self) -> Iterator[Ticket]:
        """All requests in the order of their turns, if nobody else comes."""
        people, batch, turn = self.people.order(), self.batch.order(), self._turn
        while True:
            first, second = (batch, people) if turn % _BATCH_TURN == _BATCH_TURN - 1 else (people, batch)
            ticket = next(first, None) or next(second, None)
            if ticket is None:
                return
            yield ticket
            turn += 1


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
        self._lanes: dict[str, Lane] = {}
        self._length = 0
        self._size = 0
        self._wake = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._schedules: dict[str, _Schedule] = {}
        pool.on_change.append(self._something_changed)

    def __len__(self) -> int:
        return self._length

    async def lease(self, ticket: Ticket) -> Lease:
        """A key for this request, waiting if need be.

        Raises:
            NoCapacity: It can't start before its deadline, or too many wait.
            UnknownModel: No key serves its model.
        """
        return await self.lease_now(ticket) or await self._wait(ticket)

    async def lease_now(self, ticket: Ticket) -> Lease | None:
        """A key for this request, or None when it has to wait.

        Raises:
            NoCapacity: Waiting would not help.
            UnknownModel: No key serves its model.
        """
        if self._lanes.get(ticket.model):
            return None
        got = await self.pool.lease(ticket.model, ticket.cost, ticket.avoid)
        if isinstance(got, Lease):
            return got
        if math.isinf(got.wait):
            raise self._hopeless(ticket, got)
        return None

    def eta(self, ticket: Ticket) -> float:
        """Seconds until this request could start, if it came now and nobody came after it."""
        lane = self._lanes.get(ticket.model)
        ahead = lane.ahead_of(ticket) if lane else 0
        if ticket.avoid:
            times = self.pool.starts(ticket.model, ticket.usual, ahead + 1, ticket.avoid)
            return times[ahead] if len(times) > ahead else math.inf
        return self._starts(ticket.model, ticket.usual, ahead + 1)

    def expected_wait(self, model: str) -> float | None:
        """Seconds until a new caller's request for ``model`` could start; None when it could not."""
        lane = self._lanes.get(model)
        wait = self._starts(model, Cost(), (lane.callers if lane else 0) + 1)
        return round(wait, 3) if math.isfinite(wait) else None

    def news(self, ticket: Ticket) -> Waiting:
        """Where a waiting request stands."""
        known = self._schedules.get(ticket.model)
        if known is None or known.numbered + _FRESH_SECONDS < self.pool.clock():
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

    async def _wait(self, ticket: Ticket) -> Lease:
        left = ticket.deadline - self.pool.clock()
        ticket.eta = self.eta(ticket)
        if ticket.eta > left:
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

    def _join(self, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        ticket.got = loop.create_future()
        lane = self._lanes.setdefault(ticket.model, Lane())
        lane.of(ticket).push(ticket)
        ticket.position = len(lane)
        self._length += 1
        self._size += ticket.size
        if self._server is None or self._server.done():
            self._server = loop.create_task(self._serve_forever())
        if len(lane) == 1:
            self._wake.set()  # else somebody waits already, and is woken when the time comes

    def _leave(self, ticket: Ticket, lease: Lease | None) -> None:
        """The request waits no more; a lease that came when it had gone goes back."""
        got = ticket.got
        if lease is None and got is not None and got.done() and not got.cancelled() and got.exception() is None:
            got.result().unused()
        self._length -= 1
        self._size -= ticket.size
        lane = self._lanes.get(ticket.model)
        if lane is not None:
            lane.of(ticket).remove(ticket)
            if not lane:
                del self._lanes[ticket.model]
                self._schedules.pop(ticket.model, None)

    def _make_room(self, ticket: Ticket) -> None:
        """If the queue is full, refuse the newest request of whoever has most waiting; that may be this one."""
        full = self._length >= self._settings.queue_length
        if not full and self._size + ticket.size <= self._settings.queue_megabytes * 1e6:
            return
        refusal = NoCapacity(
            "Too many requests are waiting. Try again later.", code="queue_full", retry_after=_finite(self.eta(ticket))
        )
        everybody = [turns for lane in self._lanes.values() for turns in (lane.people, lane.batch)]
        longest = max(everybody, key=lambda turns: turns.longest()[1], default=Turns())
        name, length = longest.longest()
        own = sum(turns.waiting(ticket.caller.name) for turns in everybody)
        if length <= own + 1:
            raise refusal
        self._refuse(longest.last_of(name), refusal)

    def _refuse(self, ticket: Ticket, error: NoCapacity) -> None:
        self._lanes[ticket.model].of(ticket).remove(ticket)
        if ticket.got is not None and not ticket.got.done():
            ticket.got.set_exception(error)

    def _something_changed(self) -> None:
        if self._length:
            self._wake.set()

    async def _serve_forever(self) -> None:
        """Hand out leases whenever something was given back, and at the moments the pool named."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waits = [await self._serve_lane(lane) for lane in list(self._lanes.values())]
            self._wake_in(min(waits, default=math.inf))

    async def _serve_lane(self, lane: Lane) -> float:
        """Serve a lane as far as keys are free; the seconds until one is."""
        while lane:
            head = lane.head()
            busy = await self._serve_ticket(lane, head)
            if busy is not None:
                await self._serve_others(lane, head, busy)
                return busy.wait
        return math.inf

    async def _serve_others(self, lane: Lane, head: Ticket, busy: Busy) -> None:
        """What the head can't use others may, except the key that it waits for."""
        for ticket in lane.others_than(head):
            if busy.key not in ticket.avoid:
                ticket.avoid |= {busy.key}
                await self._serve_ticket(lane, ticket)
                ticket.avoid -= {busy.key}

    async def _serve_ticket(self, lane: Lane, ticket: Ticket) -> Busy | None:
        """Give a request its key, or the reason why it gets none; None when it waits no more."""
        assert ticket.got is not None  # noqa: S101 - it waits
        if ticket.got.done():
            lane.of(ticket).remove(ticket)
            return None
        try:
            got = await self.pool.lease(ticket.model, ticket.cost, ticket.avoid)
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
            lane.of(ticket).remove(ticket)
            ticket.got.set_exception(error)
            return None
        if isinstance(got, Busy):
            if math.isfinite(got.wait):
                return got
            lane.of(ticket).remove(ticket)
            ticket.got.set_exception(self._hopeless(ticket, got))
        elif ticket.got.done():
            lane.of(ticket).remove(ticket)
            got.unused()
        else:
            lane.serve(ticket)
            ticket.got.set_result(got)
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
            waiting = list(lane.order())
            cost = waiting[0].usual
            for place, ticket in enumerate(waiting, 1):
                ticket.position = place
                ticket.eta = self._starts(model, cost, place, at_least=len(waiting))
            self._schedules[model].numbered = self.pool.clock()

    def _starts(self, model: str, cost: Cost, nth: int, *, at_least: int = 0) -> float:
        """Seconds until the ``nth`` request of this cost can start."""
        now = self.pool.clock()
        known = self._schedules.get(model)
        if known is None or known.at + _FRESH_SECONDS < now or known.cost != cost or len(known.times) < nth:
            count = max(nth, at_least)
            known = _Schedule(now, cost, self.pool.starts(model, cost, count))
            if not self._lanes.get(model):
                return known.times[nth - 1] if len(known.times) >= nth else math.inf
            self._schedules[model] = known
        return max(0.0, known.times[nth - 1] + known.at - now) if len(known.times) >= nth else math.inf

    def _hopeless(self, ticket: Ticket, busy: Busy) -> NoCapacity:
        if busy.too_large:
            return NoCapacity(
                f"The request is larger than any key for '{ticket.model}' allows. Shorten it.", status=413
            )
        return NoCapacity(
            f"The model '{ticket.model}' cannot be reached: {busy.reason}. An administrator sees why in GET status."
        )

    def _too_long(self, ticket: Ticket, left: float) -> NoCapacity:
        wait = self.eta(ticket)
        said = f"about {wait:.0f} s" if math.isfinite(wait) else "unknown"
        return NoCapacity(
            f"All keys are busy. The wait is {said}; this request may wait {max(0.0, left):.0f} s. Try again later.",
            retry_after=_finite(wait),
            status=429 if self.pool.is_cooling(ticket.model) else None,
        )


@dataclass(slots=True)
class _Schedule:
    """When requests of one cost can start, as of ``at``."""

    at: float
    cost: Cost
    times: list[float]
    numbered: float = -math.inf


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
