"""Waiting for a key, fairly.

One *lane* per model. In a lane, callers take turns by deficit round robin (M. Shreedhar, G. Varghese, "Efficient fair
queueing using deficit round robin", 1995): at each turn a caller's credit grows by the weight of its tenant, and it is served while its credit
covers the request at its head. Interactive requests go before batch ones, which get one turn in eight so that they
never starve.

Whoever waits is woken when a key can start: a single task sleeps until the moment the pool named, or until something
was given back. Nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import NoCapacity, UnknownModel
from jupyter_server_ext.key_pool import Busy, KeyPool, Lease
from jupyter_server_ext.messages import Caller, Waiting
from jupyter_server_ext.storage.base import Cost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.settings import PoolSettings

_BATCH_TURN = 8  # every so many turns go to batch work, when some waits
_NEWS_SECONDS = 0.5  # positions are computed anew at most so often


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place in the queue.

    Args:
        caller: Who asks.
        model: The model it waits for.
        cost: What it will take from a key.
        deadline: When waiting has lost its point, in the pool's clock.
        weight: The share of its tenant.
        interactive: Whether a person waits for it.
        size: Bytes of its body.
        avoid: Keys that it is not to be given.
    """

    caller: Caller
    model: str
    cost: Cost
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
            self._credit[name] += ticket.weight
            if self._credit[name] < 1.0:
                self._ring.rotate(-1)

    def pop(self) -> Ticket:
        """Take the request whose turn it is; its caller's next turn comes when its credit is used up."""
        ticket = self.head()
        name = ticket.caller.name
        self._waiting[name].popleft()
        self._credit[name] -= 1.0
        if not self._waiting[name]:
            self._leave(name)
        elif self._credit[name] < 1.0:
            self._ring.rotate(-1)
        return ticket

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
                total += min(len(line), math.ceil(own * line[0].weight / weight))
        return total

    def order(self) -> Iterator[Ticket]:
        """All requests in the order of their turns, if nobody else comes."""
        lines = {name: deque(line) for name, line in self._waiting.items()}
        ring, credit = deque(self._ring), dict(self._credit)
        while ring:
            name = ring[0]
            if credit[name] < 1.0:
                credit[name] += lines[name][0].weight
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

    def of(self, ticket: Ticket) -> Turns:
        """Where a ticket of this kind waits."""
        return self.people if ticket.interactive else self.batch

    def _next(self) -> Turns:
        batch_turn = self._turn % _BATCH_TURN == _BATCH_TURN - 1
        if self.batch and (batch_turn or not self.people):
            return self.batch
        return self.people

    def head(self) -> Ticket:
        """The request whose turn it is."""
        return self._next().head()

    def pop(self) -> Ticket:
        """Take it."""
        ticket = self._next().pop()
        self._turn += 1
        return ticket

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
    """Gives leases to requests, at once where a key is free and fairly where none is.

    Args:
        pool: The keys.
        settings: How long and how many may wait.

    Example:
        ::

            ticket = Ticket(caller, "llama-3.3-70b", Cost(300, 200), deadline=clock() + 60)
            lease = await queue.lease(ticket)
    """

    def __init__(self, pool: KeyPool, settings: PoolSettings) -> None:
        self.pool = self._pool = pool
        self._settings = settings
        self._lanes: dict[str, Lane] = {}
        self._size = 0
        self._waiting = 0
        self._wake = asyncio.Event()
        self._server: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._news_at: dict[str, float] = {}
        pool.on_change.append(self._something_changed)

    def __len__(self) -> int:
        return self._waiting

    async def lease(self, ticket: Ticket) -> Lease:
        """A key for this request, waiting if need be.

        Raises:
            NoCapacity: It can't start before its deadline, or too many wait.
            UnknownModel: No key serves its model.
        """
        lane = self._lanes.get(ticket.model)
        if not lane:
            got = await self._pool.lease(ticket.model, ticket.cost, ticket.avoid)
            if isinstance(got, Lease):
                return got
            if math.isinf(got.wait):
                raise self._hopeless(ticket, got)
        return await self._wait(ticket)

    def eta(self, ticket: Ticket) -> float:
        """Seconds until this request could start, if it came now and nobody came after it."""
        lane = self._lanes.get(ticket.model)
        ahead = 0
        if lane:
            ahead = lane.of(ticket).ahead_of(ticket.caller.name, ticket.weight)
            ahead += len(lane.people) if not ticket.interactive else len(lane.batch) // _BATCH_TURN
        return self._start_of(ticket.model, ticket.cost, ahead + 1)

    def is_free(self, ticket: Ticket) -> bool:
        """Whether the request could start at once."""
        return not self._lanes.get(ticket.model) and self._pool.capacity(ticket.model, ticket.cost, 0.0) >= 1

    def expected_wait(self, model: str) -> float | None:
        """Seconds until a request for ``model`` could start if it came now; None when it could not."""
        waiting = len(self._lanes.get(model, ()))
        wait = self._start_of(model, Cost(), waiting + 1)
        return round(wait, 3) if math.isfinite(wait) else None

    def news(self, ticket: Ticket) -> Waiting:
        """Where a waiting request stands."""
        now = self._pool.clock()
        if now >= self._news_at.get(ticket.model, -math.inf) + _NEWS_SECONDS:
            self._news_at[ticket.model] = now
            self._number(ticket.model)
        return Waiting(max(1, ticket.position), round(ticket.eta, 1))

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
        eta = self.eta(ticket)
        left = ticket.deadline - self._pool.clock()
        if eta > left:
            raise _too_long(eta, left)
        self._make_room(ticket)
        ticket.got = asyncio.get_running_loop().create_future()
        ticket.eta = eta
        lane = self._lanes.setdefault(ticket.model, Lane())
        lane.of(ticket).push(ticket)
        ticket.position = len(lane)
        self._waiting += 1
        self._size += ticket.size
        self._serve()
        served = False
        try:
            async with asyncio.timeout(left if left < math.inf else None):
                lease = await ticket.got
            served = True
        except TimeoutError:
            raise _too_long(self.eta(ticket), left) from None
        else:
            return lease
        finally:
            self._forget(ticket, served=served)

    def _forget(self, ticket: Ticket, *, served: bool) -> None:
        """The request waits no more; a lease that came when it had left goes back."""
        got = ticket.got
        if not served and got is not None and got.done() and not got.cancelled() and got.exception() is None:
            got.result().unused()
        self._waiting -= 1
        self._size -= ticket.size
        lane = self._lanes[ticket.model]
        lane.of(ticket).remove(ticket)

    def _make_room(self, ticket: Ticket) -> None:
        """Refuse the newest request of whoever has most waiting, if the queue is full; that may be this one."""
        full = self._waiting >= self._settings.queue_length
        if not full and self._size + ticket.size <= self._settings.queue_megabytes * 1e6:
            return
        refusal = NoCapacity(
            "Too many requests are waiting. Try again in a moment.", code="queue_full", retry_after=self.eta(ticket)
        )
        lanes = [turns for lane in self._lanes.values() for turns in (lane.people, lane.batch)]
        longest = max(lanes, key=lambda turns: turns.longest()[1], default=None)
        name, length = longest.longest() if longest is not None else ("", 0)
        own = sum(turns.waiting(ticket.caller.name) for turns in lanes)
        if longest is None or length <= own + 1:
            raise refusal
        self._refuse(longest.last_of(name), refusal)

    def _refuse(self, ticket: Ticket, error: NoCapacity) -> None:
        self._lanes[ticket.model].of(ticket).remove(ticket)
        if ticket.got is not None and not ticket.got.done():
            ticket.got.set_exception(error)

    def _serve(self) -> None:
        self._wake.set()
        if self._server is None or self._server.done():
            self._server = asyncio.get_running_loop().create_task(self._serve_forever())

    def _something_changed(self) -> None:
        if self._waiting:
            self._wake.set()

    async def _serve_forever(self) -> None:
        """Hand out leases whenever something was given back, or at the moment the pool named."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waits = [await self._serve_lane(lane) for lane in self._lanes.values() if lane]
            self._wake_in(min(waits, default=math.inf))

    async def _serve_lane(self, lane: Lane) -> float:
        """Serve a lane as far as keys are free; the seconds until one is."""
        while lane:
            ticket = lane.head()
            assert ticket.got is not None  # noqa: S101 - it waits
            if ticket.got.done():
                lane.pop()
                continue
            try:
                got = await self._pool.lease(ticket.model, ticket.cost, ticket.avoid)
            except UnknownModel as error:
                lane.pop()
                ticket.got.set_exception(error)
                continue
            if isinstance(got, Busy):
                if math.isfinite(got.wait):
                    return got.wait
                lane.pop()
                ticket.got.set_exception(self._hopeless(ticket, got))
                continue
            lane.pop()
            if ticket.got.done():
                got.unused()
            else:
                ticket.got.set_result(got)
        return math.inf

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if math.isfinite(seconds):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + max(0.0, seconds), self._wake.set)

    def _number(self, model: str) -> None:
        """Write down everybody's place and expected wait."""
        for place, ticket in enumerate(self._lanes[model].order(), 1):
            ticket.position = place
            ticket.eta = self._start_of(model, ticket.cost, place)

    def _start_of(self, model: str, cost: Cost, nth: int) -> float:
        """Seconds until the ``nth`` request of this cost can start."""
        now = self._pool.clock()
        if self._pool.capacity(model, cost, now) >= nth:
            return 0.0
        low, high = 0.0, 1.0
        while self._pool.capacity(model, cost, now + high) < nth:
            low, high = high, high * 2
            if high > 1e6:
                return math.inf
        while high - low > 0.01 * high:
            middle = (low + high) / 2
            if self._pool.capacity(model, cost, now + middle) >= nth:
                high = middle
            else:
                low = middle
        return high

    def _hopeless(self, ticket: Ticket, busy: Busy) -> NoCapacity:
        return NoCapacity(
            f"The model '{ticket.model}' cannot be reached: {busy.reason}. Ask an administrator to look at GET status."
        )


def _too_long(eta: float, left: float) -> NoCapacity:
    wait = max(0.0, eta)
    return NoCapacity(
        f"All keys are busy: the wait is {wait:.0f} s and this request may wait {max(0.0, left):.0f} s. Try again later.",
        retry_after=wait if math.isfinite(wait) else None,
        status=429,
    )
