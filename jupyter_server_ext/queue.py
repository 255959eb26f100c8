"""Waiting for a key, fairly.

There is one *lane* per model, in which callers take turns (``turns``). Whoever waits is woken when a key can start: a
single task sleeps until the moment the pool named, or until something was given back. Nothing polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.key_pool import Busy, KeyPool, Lease
from jupyter_server_ext.messages import Waiting
from jupyter_server_ext.storage.base import Cost
from jupyter_server_ext.turns import Lane, Ticket, Turns

if TYPE_CHECKING:
    from jupyter_server_ext.settings import PoolSettings

_FRESH_SECONDS = 0.25  # positions and expected waits are computed anew at most so often
_LIKE = 0.05  # costs that differ by this share have the same schedule
_SHORTEST_SCHEDULE = 32


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
        return self._starts(ticket.model, lane.usual(ticket) if lane else ticket.usual, ahead + 1)

    def expected_wait(self, model: str) -> float | None:
        """Seconds until a new caller's request for ``model`` could start; None when it could not."""
        lane = self._lanes.get(model)
        wait = self._starts(model, lane.usual(), lane.callers + 1) if lane else self._starts(model, Cost(), 1)
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
        lane = self._lanes.get(ticket.model)
        if lane is None:
            lane = self._lanes[ticket.model] = Lane(min((lane.turns for lane in self._lanes.values()), default=0.0))
        lane.push(ticket)
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
            lane.remove(ticket)
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
        self._lanes[ticket.model].remove(ticket)
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
            self._wake_in(await self._serve_lanes())

    async def _serve_lanes(self) -> float:
        """Serve lanes in turns, as models may share a quota, as far as keys are free; the seconds until one is."""
        wait = math.inf
        lanes = [lane for lane in self._lanes.values() if lane]
        while lanes:
            lane = min(lanes, key=lambda lane: lane.next_turn) if len(lanes) > 1 else lanes[0]
            head = lane.head()
            busy = await self._serve_ticket(lane, head)
            if busy is not None:
                await self._serve_others(lane, head, busy)
                wait = min(wait, busy.wait)
            if busy is not None or not lane:
                lanes.remove(lane)
        return wait

    async def _serve_others(self, lane: Lane, head: Ticket, busy: Busy) -> None:
        """What the head can't use others may, except the key that it waits for."""
        for ticket in lane.others_than(head):
            if busy.key not in ticket.avoid:
                ticket.avoid |= {busy.key}
                await self._serve_ticket(lane, ticket, is_turn=False)
                ticket.avoid -= {busy.key}

    async def _serve_ticket(self, lane: Lane, ticket: Ticket, *, is_turn: bool = True) -> Busy | None:
        """Give a request its key, or the reason why it gets none; None when it waits no more.

        One that can never be served is refused when it is its turn: before, a key may be kept from it.
        """
        assert ticket.got is not None  # noqa: S101 - it waits
        if ticket.got.done():
            lane.remove(ticket)
            return None
        if ticket.estimate is not None:
            ticket.cost = ticket.estimate()
        try:
            got = await self.pool.lease(ticket.model, ticket.cost, ticket.avoid)
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
            if known := self._schedules.get(ticket.model):
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
            cost = lane.usual()
            for place, ticket in enumerate(lane.order(), 1):
                ticket.position = place
                ticket.eta = self._starts(model, cost, place)
            self._schedules[model].numbered = self.pool.clock()

    def _starts(self, model: str, cost: Cost, nth: int) -> float:
        """Seconds until the ``nth`` request from now on can start, if each has this cost."""
        now = self.pool.clock()
        lane = self._lanes.get(model)
        if not lane:
            times = self.pool.starts(model, cost, nth)
            return times[nth - 1] if len(times) >= nth else math.inf
        known = self._schedules.get(model)
        if known is None or not known.tells(cost, nth, now):
            count = 1 << max(nth, len(lane), _SHORTEST_SCHEDULE).bit_length()
            known = self._schedules[model] = _Schedule(now, cost, count, self.pool.starts(model, cost, count))
        return known.wait(nth, now)

    def _hopeless(self, ticket: Ticket, busy: Busy) -> NoCapacity:
        if busy.too_large:
            return NoCapacity(
                f"The request is larger than any key for '{ticket.model}' allows. Shorten it.",
                param="max_tokens" if ticket.cost.asked else "messages",
                status=413,
            )
        return NoCapacity(f"The model '{ticket.model}' cannot be reached: {busy.reason}. GET admin/api/keys tells why.")

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
    """When ``count`` requests of one cost could start, as of ``at``; some of them have been ``served`` since.

    To look ahead for every request that comes would cost more, the more wait; so it is done now and then for all.
    """

    at: float
    cost: Cost
    count: int
    times: list[float]
    served: int = 0
    numbered: float = -math.inf

    def tells(self, cost: Cost, nth: int, now: float) -> bool:
        """Whether it is fresh, long enough, and for requests of about this cost."""
        return (
            now <= self.at + _FRESH_SECONDS
            and self.served + nth <= self.count
            and _is_like(cost.prompt, self.cost.prompt)
            and _is_like(cost.completion, self.cost.completion)
        )

    def wait(self, nth: int, now: float) -> float:
        """Seconds until the ``nth`` from now on can start; infinite for never."""
        place = self.served + nth - 1
        return max(0.0, self.times[place] + self.at - now) if place < len(self.times) else math.inf


def _is_like(one: int, other: int) -> bool:
    return abs(one - other) <= _LIKE * max(one, other)


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
