"""The queue of each model, in which callers take turns, and which of the queues is served next."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.turns import LEAST_WEIGHT, Tenant, TurnsOfTenants, tenant_of
from jupyter_server_ext.keys.windows.usage import BATCH, Cost

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.keys.pool import Lease
    from jupyter_server_ext.messages import Caller

_BATCH_TURN = 8  # every so many turns go to batch work, when some waits
_MOST_IDLE = 200  # models without waiting requests, whose turns are remembered


class ModelQueue:
    """The requests that wait for one model: people first, batch work every eighth turn so that it never starves."""

    # Queues take turns too, where models share a quota: each by the weight of all that wait in it (S. J. Golestani, "A
    # self-clocked fair queueing scheme for broadband applications", 1994).

    def __init__(self, turns: float = 0.0) -> None:
        self.people = TurnsOfTenants()
        self.batch = TurnsOfTenants()
        self.turns = turns  # how many turns a tenant of weight 1 would have had by now, as in the other queues
        self._turn = 0
        self._held: QueuedRequest | None = None
        self._count = self._prompt = self._completion = 0  # of all that wait

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return bool(self.people) or bool(self.batch)

    @property
    def place(self) -> tuple[bool, float]:
        """The queue where this is least is served next: first those that hold their heads, then by their next turns."""
        is_held = self._held is not None and self._held is self.head()
        return not is_held, self.next_turn

    @property
    def next_turn(self) -> float:
        """When it is served next, in turns of a tenant of weight 1."""
        return self.turns + 1.0 / max(LEAST_WEIGHT, self.people.weight + self.batch.weight)

    def hold_head(self, head: QueuedRequest) -> None:
        """Keep the turn for a head that can't start yet: queues that others join don't come before it any more."""
        self._held = head

    def flows(self, request: QueuedRequest) -> TurnsOfTenants:
        """The flows that a request of this kind is in."""
        return self.people if request.interactive else self.batch

    def push(self, request: QueuedRequest) -> None:
        """Put a request behind the others of its caller."""
        self.flows(request).push(request)
        self._tally(request, 1)

    def remove(self, request: QueuedRequest) -> None:
        """Take out a request that no longer waits; twice is harmless."""
        if self.flows(request).drop(request):
            self._tally(request, -1)

    def usual(self, also: QueuedRequest | None = None) -> Cost:
        """What a request that waits is likely to take, on average; with one that may join."""
        more = also.usual if also is not None else Cost()
        count = max(1, self._count + (also is not None))
        return Cost((self._prompt + more.prompt) // count, (self._completion + more.completion) // count)

    def _tally(self, request: QueuedRequest, sign: int) -> None:
        self._count += sign
        self._prompt += sign * request.usual.prompt
        self._completion += sign * request.usual.completion

    def ahead_of(self, request: QueuedRequest) -> int:
        """How many requests will be served before this new one, if nothing else comes."""
        ahead = 0 if request.again else self.flows(request).ahead_of(request)
        people_first = _BATCH_TURN - 1 - self._turn % _BATCH_TURN
        if request.interactive:
            return ahead + min(len(self.batch), 1 + (ahead - people_first) // (_BATCH_TURN - 1))
        return ahead + min(len(self.people), people_first + ahead * (_BATCH_TURN - 1))

    def _next(self) -> TurnsOfTenants:
        return self.batch if self.batch and (self._is_batch_turn or not self.people) else self.people

    @property
    def _is_batch_turn(self) -> bool:
        return self._turn % _BATCH_TURN == _BATCH_TURN - 1

    def head(self) -> QueuedRequest:
        """The request whose turn it is."""
        return self._next().head()

    def heads(self) -> Iterator[QueuedRequest]:
        """The first requests of all callers, in the order of their tenants' turns and of theirs in each."""
        first = self._next()
        return chain(first.heads(), (self.people if first is self.batch else self.batch).heads())

    def serve(self, request: QueuedRequest) -> None:
        """Take out a request that is served."""
        self.turns = self.next_turn
        if request is self._held:
            self._held = None
        keeps_turn = request.interactive and self._is_batch_turn and bool(self.batch)
        self.flows(request).serve(request)
        self._tally(request, -1)
        self._turn += not keeps_turn

    def backfill_candidates(self, head: QueuedRequest) -> list[QueuedRequest]:
        """Requests of the next turns that may find a key where the head finds none."""
        rest = self.people if head.interactive is False else self.batch
        return [
            request
            for request in (*self.flows(head).next_heads(1), *(rest.next_heads(0) if rest else ()))
            if self.can_backfill(request, head)
        ]

    def can_backfill(self, request: QueuedRequest, head: QueuedRequest) -> bool:
        """Whether a request may find a key where the head finds none."""
        if request.interactive and not head.interactive:  # slots are kept for it
            return True
        one, other = request.cost, head.cost
        return one.prompt < other.prompt or one.completion < other.completion or request.avoid != head.avoid

    def copy(self, newcomer: QueuedRequest | None = None) -> ModelQueue:
        """The same queue, to be simulated; a newcomer's weight counts in it from the beginning."""
        queue = ModelQueue(self.turns)
        queue.people, queue.batch = self.people.copy(), self.batch.copy()
        queue._turn, queue._held = self._turn, self._held
        queue._count, queue._prompt, queue._completion = self._count, self._prompt, self._completion
        if newcomer is not None:
            queue.flows(newcomer).expect(newcomer)
        return queue

    def order(self) -> Iterator[QueuedRequest]:
        """All requests in the order of their turns, if nothing else comes."""
        people, batch, turn = self.people.order(), self.batch.order(), self._turn
        while True:
            first, second = (batch, people) if turn % _BATCH_TURN == _BATCH_TURN - 1 else (people, batch)
            request = next(first, None) or next(second, None)
            if request is None:
                return
            yield request
            turn += 1


class ModelQueues:
    """The queues of all models."""

    def __init__(self) -> None:
        self.waiting: dict[str, ModelQueue] = {}  # those in which requests wait, by model
        self.size = 0  # bytes of all bodies that wait
        self.joined: Counter[str] = Counter()  # how many requests have waited so far, by model
        self._length = 0
        self._idle: OrderedDict[str, ModelQueue] = OrderedDict()  # without requests; their turns are remembered

    def __len__(self) -> int:
        return self._length

    def of(self, model: str) -> ModelQueue:
        """The queue of a model; one that was empty comes last to its turn."""
        queue = self.waiting.get(model)
        if queue is None:
            queue = self._idle.pop(model) if model in self._idle else ModelQueue()
            self._idle[model] = queue
            queue.turns = min((other.turns for other in self.waiting.values()), default=0.0)
            if len(self._idle) > _MOST_IDLE:
                self._idle.popitem(last=False)
        return queue

    def join(self, request: QueuedRequest) -> ModelQueue:
        """Put a request into its queue, which is returned."""
        queue = self.waiting[request.model] = self.of(request.model)
        self._idle.pop(request.model, None)
        queue.push(request)
        self.joined[request.model] += 1
        self._length += 1
        self.size += request.size
        request.position = len(queue)
        return queue

    def leave(self, request: QueuedRequest) -> bool:
        """Forget a request that waits no more; whether its queue is empty now."""
        self._length -= 1
        self.size -= request.size
        queue = self.waiting.get(request.model)
        if queue is None:
            return False
        queue.remove(request)
        if not queue:
            self._idle[request.model] = self.waiting.pop(request.model)
            del self.joined[request.model]
        return not queue

    def ahead_of(self, request: QueuedRequest) -> int:
        """How many requests of its model are served before a new one, if nothing else comes."""
        queue = self.waiting.get(request.model)
        return queue.ahead_of(request) if queue else 0

    def joined_others(self, model: str) -> int:
        """How many requests have come for other models."""
        return self.joined.total() - self.joined[model]


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request that waits for a key."""

    caller: Caller  # whose request it is
    model: str  # the model it waits for
    cost: Cost  # what it reserves of a key
    # What it is likely to take in the end, from which waits are predicted.
    usual: Cost = Cost()  # noqa: RUF009 - a value
    deadline: float = math.inf  # when waiting has lost its point, in the pool's clock
    weight: float = 1.0  # the share of its tenant
    interactive: bool = True  # whether a person waits for it
    # Of an inline completion, which starts at once or not at all: the part of each limit of a key that it takes from.
    share: float | None = None
    size: int = 0  # bytes of its body
    avoid: frozenset[str] = frozenset()  # keys that it is not to be given
    again: bool = False  # whether a provider has failed it: it has had its turn in vain, so it comes before the others
    # Returns ``cost`` anew, from what was learnt while the request waited.
    estimate: Callable[[], Cost] | None = field(default=None, repr=False)
    # The key that is reserved for it at the head of its queue, and when it can start, in the pool's clock.
    reserved: tuple[str, float] = ("", math.inf)
    position: int = 0
    eta: float = 0.0
    granted: asyncio.Future[Lease] | None = field(default=None, repr=False)  # its lease, when it has one
    tenant: Tenant = field(init=False, repr=False)  # whose turns it takes

    def __post_init__(self) -> None:
        self.tenant = tenant_of(self.caller)

    @property
    def flow(self) -> str:
        """Whose use it counts as: a caller's batch work is nobody's share of what people have."""
        return self.caller.name if self.interactive else f"{self.caller.name}{BATCH}"
