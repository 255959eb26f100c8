"""Waiting for a key, fairly."""

# There is one queue per model, in which callers take turns (``model_queue``). A single task sleeps until the moment the
# pool named, or until something was given back, and wakes the request that can start. Nothing polls.

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import defaultdict
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.keys.model_queue import ModelQueue, ModelQueues, QueuedRequest
from jupyter_server_ext.keys.pool import KeyPool, KeysBusy, Lease
from jupyter_server_ext.keys.shares import Shares
from jupyter_server_ext.keys.turns import LEAST_WEIGHT, CallerLine
from jupyter_server_ext.keys.wait_estimate import SOONER, Schedules
from jupyter_server_ext.keys.windows.usage import Cost, Reservation
from jupyter_server_ext.messages import Caller, QueueNews

if TYPE_CHECKING:
    from jupyter_server_ext.config import PoolSettings

_PLACE = attrgetter("place")
Reserved = dict[QueuedRequest, Reservation]  # what the heads of queues need, each of its key


class KeyQueue:
    """Gives leases to requests: at once where a key is free, fairly where none is.

    Example:
        ::

            request = QueuedRequest(caller, "llama-3.3-70b", Cost(300, 200), deadline=clock() + 60)
            lease = await queue.lease(request)
    """

    def __init__(self, pool: KeyPool, settings: PoolSettings) -> None:
        self.pool = pool  # the keys
        self._settings = settings  # how long and how many may wait
        self._queues = ModelQueues()
        self._shares = Shares(pool.windows, pool.candidates)
        self._reservations: Reserved = {}  # of the heads that wait for a key
        self._held: set[str] = set()  # models for which only requests wait to which nothing is spare
        self._wake = asyncio.Event()
        self._schedules = Schedules(pool, self._shares, self._queues, self._wake.set)
        self._server: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        pool.on_change.append(self._something_changed)

    def __len__(self) -> int:
        return len(self._queues)

    async def lease(self, request: QueuedRequest) -> Lease:
        """A key for this request, waiting if need be.

        Raises:
            NoCapacity: It can't start before its deadline, or too many wait.
            UnknownModel: No key serves its model.
        """
        got = await self._at_once(request)
        if isinstance(got, Lease):
            return got
        if request.share is not None:
            raise _no_room(request, got or self.eta(request))
        return await self._wait(request)

    async def lease_now(self, request: QueuedRequest) -> Lease | None:
        """A key for this request, or None when it has to wait.

        Raises:
            NoCapacity: Waiting would not help.
            UnknownModel: No key serves its model.
        """
        got = await self._at_once(request)
        return got if isinstance(got, Lease) else None

    async def _at_once(self, request: QueuedRequest) -> Lease | float:
        # A key, or the seconds until there may be one; 0 where others come first.
        model = request.model
        if self._queues.waiting.get(model) and model not in self._held:
            return 0.0
        if hold := self._hold(request):
            return hold
        got = await self._take(request, self._reservations)
        if isinstance(got, KeysBusy):
            if math.isinf(got.wait):
                raise _hopeless(request, got)
            return got.wait
        queue = self._queues.of(model)  # its turn counts, though it did not have to wait
        queue.push(request)
        queue.serve(request)
        self._asks(request)
        return got

    def eta(self, request: QueuedRequest) -> float:
        """Seconds until this request could start, if it came now and nothing came after it."""
        # Where all that waits leaves what there is to others, a person is before it, whoever's turn comes next.
        is_first = request.interactive and request.model in self._held
        return self._schedules.wait(request, 0 if is_first else None)

    def expected_wait(self, model: str) -> float | None:
        """Seconds until a new caller's request for ``model`` could start; None when it could not."""
        queue = self._queues.waiting.get(model)
        newcomer = QueuedRequest(Caller(""), model, Cost(), queue.usual() if queue else Cost())
        wait = self.eta(newcomer)
        return round(wait, 3) if math.isfinite(wait) else None

    def news(self, request: QueuedRequest) -> QueueNews:
        """The place and the expected wait of a waiting request."""
        return self._schedules.news(request)

    async def close(self) -> None:
        """Stop serving; what waits is refused."""
        if self._server is not None:
            self._server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._server
            self._server = None
        if self._timer is not None:
            self._timer.cancel()
        for queue in self._queues.waiting.values():
            for request in list(queue.order()):
                self._refuse(request, NoCapacity("The gateway is stopping. Try again in a moment.", retry_after=5.0))

    def _hold(self, request: QueuedRequest) -> float:
        # Seconds for which a request leaves what there is to callers that have had less; 0 for most.
        now = self.pool.clock()
        if request.share is not None:
            return 0.0
        if request.interactive:
            return self._shares.hold(request, now)
        people_wait = self._shares.division(request.model, now).people_wait(self._queues.waiting)
        for_window = 0.0 if people_wait else self._shares.hold_batch(request, now)
        return max(for_window, self._shares.hold_slot(request, self._queues.waiting, now))

    def _asks(self, request: QueuedRequest) -> None:
        if request.interactive and not request.again:
            self._shares.asks(request, self.pool.clock())

    def _waits(self, request: QueuedRequest, more: int) -> None:
        if request.interactive:
            self._shares.waits(request.caller.name, request.model, more, self.pool.clock())

    async def _take(self, request: QueuedRequest, reservations: Reserved) -> Lease | KeysBusy:
        name, model, now = request.flow, request.model, self.pool.clock()
        kept: tuple[Reservation, ...] = ()
        if request.share is not None:
            kept = (self._shares.beyond(request.share, model),)
        elif not request.interactive:
            kept = (self._shares.kept_slots(model, self._queues.waiting, now),)
        got = await self.pool.lease(model, request.cost, request.avoid, (*reservations.values(), *kept), name)
        if not isinstance(got, KeysBusy):
            self._shares.took(request, now)
        return got

    async def _wait(self, request: QueuedRequest) -> Lease:
        left = request.deadline - self.pool.clock()
        self._asks(request)
        request.eta = self.eta(request)
        if request.eta > left + (0.0 if request.interactive else SOONER):
            # Where limits are shared, one less may be served before it.
            is_sure = len(self._queues.waiting) == 1 and not self.pool.counts_tokens(request.model)
            if is_sure or self._schedules.wait(request, max(0, self._queues.ahead_of(request) - 1)) > left:
                raise self._too_long(request, left)
        self._make_room(request)
        granted = request.granted = asyncio.get_running_loop().create_future()
        queue = self._queues.join(request)
        self._waits(request, 1)
        if self._server is None or self._server.done():
            self._server = asyncio.get_running_loop().create_task(self._serve_forever())
        is_first = queue.head() is request or request.model in self._held
        if request.again or is_first or queue.can_backfill(request, queue.head()):
            self._wake.set()  # else the task sleeps until the head can start
        lease: Lease | None = None
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if left < math.inf else None):
                    lease = await granted
        finally:
            self._leave(request, lease)
        if lease is None:  # told when it has left, as no other waits for it any more
            raise self._too_long(request, left)
        return lease

    def _leave(self, request: QueuedRequest, lease: Lease | None) -> None:
        # The request waits no more; a lease that came when its caller had gone goes back.
        granted = request.granted
        if lease is None and granted and granted.done() and not granted.cancelled() and granted.exception() is None:
            granted.result().unused()
        is_empty = self._queues.leave(request)
        self._waits(request, -1)
        if self._reservations.pop(request, None) and lease is None:
            self._something_changed()  # what was reserved for it is for others
        if is_empty:
            self._held.discard(request.model)
            self._schedules.forget(request.model)

    def _make_room(self, request: QueuedRequest) -> None:
        # If the queue is full, refuse the newest request of the caller with most waiting, of the tenant with most for
        # its weight; that may be this one.
        full = len(self._queues) >= self._settings.queue_length
        if not full and self._queues.size + request.size <= self._settings.queue_megabytes * 1e6:
            return
        refusal = NoCapacity(
            "Too many requests are waiting. Try again later.", code="queue_full", retry_after=_finite(self.eta(request))
        )
        flows = [one for queue in self._queues.waiting.values() for one in (queue.people, queue.batch)]
        own = request.tenant
        loads = defaultdict(float, {own: 1.0 / max(LEAST_WEIGHT, request.weight)})
        for tenant, load in chain.from_iterable(one.loads() for one in flows):
            loads[tenant] += load
        heaviest = max(loads, key=lambda tenant: (loads[tenant], tenant == own))
        lines = [line for one in flows for line in one.lines_of(heaviest)]
        longest = max(lines, key=len, default=CallerLine())
        mine = sum(len(line) for line in lines if line[0].caller.name == request.caller.name)
        if heaviest == own and len(longest) <= 1 + mine:
            raise refusal
        self._refuse(longest[-1], refusal)

    def _refuse(self, request: QueuedRequest, error: NoCapacity) -> None:
        self._queues.waiting[request.model].remove(request)
        if request.granted is not None and not request.granted.done():
            request.granted.set_exception(error)

    def _refuse_late(self) -> None:
        # Those after them are served the sooner, so what each is told is foretold when all have left.
        late, self._schedules.late = self._schedules.late, []
        late = [request for request in late if request.granted is not None and not request.granted.done()]
        for request in late:
            self._queues.waiting[request.model].remove(request)
        if late:
            self._schedules.clear()
        for request in late:
            self._refuse(request, self._too_long(request, request.deadline - self.pool.clock()))

    def _something_changed(self) -> None:
        if self._queues.waiting:
            self._wake.set()

    async def _serve_forever(self) -> None:
        # Hand out leases whenever something was given back, and at the moments the pool named.
        while True:
            await self._wake.wait()
            self._wake.clear()
            seconds = await self._serve_queues()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if math.isfinite(seconds):
                loop = asyncio.get_running_loop()
                self._timer = loop.call_at(loop.time() + max(0.0, seconds), self._wake.set)

    async def _serve_queues(self) -> float:
        # Serve queues in turns, as models may share a quota, as far as keys are free; the seconds until one is.
        self._refuse_late()
        wait = math.inf
        reservations: Reserved = {}
        queues = list(self._queues.waiting.values())
        self._held.clear()
        while queues := [queue for queue in queues if queue]:  # all may leave one while a key is asked for
            queue = min(queues, key=_PLACE) if len(queues) > 1 else queues[0]
            head, hold = self._next(queue)
            if head is None:
                self._held.add(queue.head().model)
                wait = min(wait, hold)
                queues.remove(queue)
                continue
            busy = await self._serve(queue, head, reservations)
            if busy is not None:
                if self._reserve(head, busy, reservations):
                    queue.hold_head(head)
                for request in queue.backfill_candidates(head):
                    if not self._hold(request):
                        await self._serve(queue, request, reservations, is_turn=False)
                wait = min(wait, busy.wait)
                queues.remove(queue)
        self._reservations = {
            one: needs for one, needs in reservations.items() if one.granted and not one.granted.done()
        }
        return wait

    def _next(self, queue: ModelQueue) -> tuple[QueuedRequest | None, float]:
        # The first in turn of those that need leave nothing to others; or the seconds until one is.
        soonest = math.inf
        for request in queue.heads():
            assert request.granted is not None  # noqa: S101 - it waits
            hold = 0.0 if request.granted.done() else self._hold(request)
            if not hold:
                return request, 0.0
            soonest = min(soonest, hold)
        return None, soonest

    def _reserve(self, head: QueuedRequest, busy: KeysBusy, reservations: Reserved) -> bool:
        """Reserve the key that the head waits for: others may use of it what does not make the head wait longer."""
        # Whether nothing of that was reserved for another head is returned.
        key, by = head.reserved
        now = self.pool.clock()
        by = now + busy.wait if key != busy.key else max(by, now + busy.wait)
        head.reserved = busy.key, by
        found = self.pool.keys.find(busy.key)
        if found is None:  # it is not windows that the head waits for
            return False
        windows = [spec for spec in found.offer(head.model).windows if spec.unit != "concurrent"]
        needed = Reservation({spec.id: head.cost.part(spec.unit, spec.amount)[0] for spec in windows}, by)
        is_first = not any(needed.needs.keys() & other.needs.keys() for other in reservations.values())
        reservations[head] = needed
        return is_first

    async def _serve(
        self, queue: ModelQueue, request: QueuedRequest, reservations: Reserved, *, is_turn: bool = True
    ) -> KeysBusy | None:
        # Give a request its key, or return the reason why it gets none; None when it waits no more.
        # One that can never be served is refused when it is its turn.
        granted = request.granted
        assert granted is not None  # noqa: S101 - it waits
        if granted.done():
            queue.remove(request)
            return None
        if request.estimate is not None:
            request.cost = request.estimate()
        try:
            got = await self._take(request, reservations)
        except Exception as error:  # noqa: BLE001 - the waiting caller must get it
            queue.remove(request)
            granted.set_exception(error)
            return None
        if isinstance(got, KeysBusy):
            if math.isfinite(got.wait) or not is_turn:
                return got
            queue.remove(request)
            granted.set_exception(_hopeless(request, got))
        elif granted.done():
            queue.remove(request)
            got.unused()
        else:
            queue.serve(request)
            granted.set_result(got)
            self._schedules.served(request.model)
        return None

    def _too_long(self, request: QueuedRequest, left: float) -> NoCapacity:
        wait = self.eta(request)
        if wait < left <= wait * _FORETOLD:  # no forecast is as fine as that
            wait = 1.001 * left
        about = f"about {wait:.0f} s" if math.isfinite(wait) else "unknown"
        waits = f"The wait is {about}; this request may wait {max(0.0, left):.0f} s."
        if reason := self.pool.failing(request.model):
            why = f"No key can answer for '{request.model}': {_FAILING.get(reason, 'its provider fails')}."
            again = f"It is tried again in {about}; this request may wait {max(0.0, left):.0f} s."
            return NoCapacity(f"{why} {again}", retry_after=_finite(wait))
        status = 429 if self.pool.is_cooling(request.model) else None
        return NoCapacity(f"All keys are busy. {waits} Try again later.", retry_after=_finite(wait), status=status)


_FAILING = {  # reasons for which a key rests, in words
    "overloaded": "its provider answers with errors",
    "timeout": "its provider does not answer in time",
    "silence": "its provider begins answers and falls silent",
    "connection": "its provider cannot be reached",
    "malformed": "its provider's answers are damaged",
    "cut": "its provider's answers break off",
    "web_page": "web pages come in place of its provider's answers",
}
_FORETOLD = 1.03  # a moment that is foretold may come by so much later: clocks differ by a hundredth


def _hopeless(request: QueuedRequest, busy: KeysBusy) -> NoCapacity:
    if busy.too_large:
        words = f"The request is larger than any key for '{request.model}' allows. Shorten it."
        return NoCapacity(words, param="max_tokens" if request.cost.asked else "messages", status=413)
    return NoCapacity(
        f"The model '{request.model}' cannot be reached: {busy.reason}. "
        "Tell an administrator; GET admin/api/keys shows them why."
    )


def _no_room(request: QueuedRequest, seconds: float) -> NoCapacity:
    words = f"What '{request.model}' has free is left to questions. Try again later."
    return NoCapacity(words, retry_after=_finite(seconds), status=429)


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
