"""The queue of each model, in which callers take turns, and which of the queues is served next."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.windows.projection import EPSILON
from jupyter_server_ext.keys.windows.usage import Cost

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jupyter_server_ext.keys.pool import Lease
    from jupyter_server_ext.messages import Caller

_BATCH_TURN = 8  # every so many turns go to batch work, when some waits
_MOST_IDLE = 200  # models without waiting requests, whose turns are remembered


class ModelQueue:
    """The requests that wait for one model: people first, batch work every eighth turn so that it never starves."""

    # Queues take turns too, where models share a quota: each by the weight of all that wait in it (S. J. Golestani, "A
    # self-clocked fair queueing scheme for broadband applications", 1994).

    def __init__(self, turns: float = 0.0) -> None:
        self.people = DeficitRoundRobin()
        self.batch = DeficitRoundRobin()
        self.turns = turns  # how many turns each of its callers would have had by now, as in the other queues
        self._turn = 0
        self._held: QueuedRequest | None = None
        self._count = self._prompt = self._completion = 0  # of all that wait

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return bool(self.people) or bool(self.batch)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return self.people.callers + self.batch.callers

    @property
    def place(self) -> tuple[bool, float]:
        """The queue where this is least is served next: first those that hold their heads, then by their next turns."""
        is_held = self._held is not None and self._held is self.head()
        return not is_held, self.next_turn

    @property
    def next_turn(self) -> float:
        """When it is served next, in turns of one caller."""
        return self.turns + 1.0 / max(LEAST_WEIGHT, self.people.weight + self.batch.weight)

    def hold_head(self, head: QueuedRequest) -> None:
        """Keep the turn for a head that can't start yet: queues that others join don't come before it any more."""
        self._held = head

    def flows(self, request: QueuedRequest) -> DeficitRoundRobin:
        """The flows that a request of this kind is in."""
        return self.people if request.interactive else self.batch

    def push(self, request: QueuedRequest) -> None:
        """Put a request behind the others of its caller."""
        self.flows(request).push(request)
        self._tally(request, 1)

    def remove(self, request: QueuedRequest) -> None:
        """Take out a request that no longer waits; twice is harmless."""
        if self.flows(request).remove(request):
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
        ahead = 0 if request.again else self.flows(request).ahead_of(request.caller.name, request.weight)
        people_first = _BATCH_TURN - 1 - self._turn % _BATCH_TURN
        if request.interactive:
            return ahead + min(len(self.batch), 1 + (ahead - people_first) // (_BATCH_TURN - 1))
        return ahead + min(len(self.people), people_first + ahead * (_BATCH_TURN - 1))

    def _next(self) -> DeficitRoundRobin:
        return self.batch if self.batch and (self._is_batch_turn or not self.people) else self.people

    @property
    def _is_batch_turn(self) -> bool:
        return self._turn % _BATCH_TURN == _BATCH_TURN - 1

    def head(self) -> QueuedRequest:
        """The request whose turn it is."""
        return self._next().head()

    def heads(self) -> Iterator[QueuedRequest]:
        """The first requests of all callers, in the order of their turns."""
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
            for request in (*self.flows(head).next_heads(1), *rest.next_heads(0))
            if self.can_backfill(request, head)
        ]

    def can_backfill(self, request: QueuedRequest, head: QueuedRequest) -> bool:
        """Whether a request may find a key where the head finds none."""
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


LOOK_AHEAD = 8  # callers whose smaller requests may use what the head cannot
LEAST_WEIGHT = 0.01  # of a tenant, so that 0 starves nobody
_FEW_FLOWS = 64  # of callers that have gone, kept without a look whether their rounds are over


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


class Flow(NamedTuple):
    """The place of one caller: the round it is served in next, in the order of numbers, and its credit."""

    round: int
    number: int
    name: str
    credit: float


def _after(flow: Flow, weight: float, served: int = 1) -> Flow:
    # A flow after so many of its requests: in the first round in which its credit covers another.
    weight = max(LEAST_WEIGHT, weight)
    credit = flow.credit - served
    rounds = max(0, math.ceil((1.0 - credit) / weight - EPSILON))
    return flow._replace(round=flow.round + rounds, credit=credit + rounds * weight)


class DeficitRoundRobin:
    """The flows of callers that wait: the pure rule, without time."""

    # In each round a flow's credit grows by the weight of its tenant, and it is served while its credit covers the
    # request at its head (M. Shreedhar, G. Varghese, "Efficient fair queueing using deficit round robin", 1995). A
    # caller that leaves keeps its round, as in start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, 1996): where a
    # round takes longer than any request waits, it would otherwise be luck which caller is served twice and which never
    # is. So a caller that was served in a round and comes back in it is served in the next one, behind those not served
    # yet.

    def __init__(self) -> None:
        self._waiting: dict[str, deque[QueuedRequest]] = {}
        self._order: list[Flow] = []  # of callers that wait, sorted
        self._flows: dict[str, Flow] = {}  # also of callers that have gone: their next ones
        self._round = 0
        self._number = 0
        self._most_flows = _FEW_FLOWS
        self._weights: dict[str, float] = {}
        self.weight = 0.0  # the weights of all callers that wait, together

    def __len__(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return len(self._order)

    def push(self, request: QueuedRequest) -> None:
        """Put a request behind the others of its caller, or before all if it comes again."""
        name = request.caller.name
        if name not in self._waiting:
            self._waiting[name] = deque()
            self.expect(request)
            self._number += 1
            self._flows[name] = self._entry(name, request.weight)
            insort(self._order, self._flows[name])
        if request.again:
            self._order.remove(self._flows[name])
            self._flows[name] = self._flows[name]._replace(round=self._round, number=0, credit=1.0)
            insort(self._order, self._flows[name])
            self._waiting[name].appendleft(request)
        else:
            self._waiting[name].append(request)

    def expect(self, request: QueuedRequest) -> None:
        """Count the weight of a caller that waits or is about to."""
        name = request.caller.name
        if name not in self._weights:
            self._weights[name] = request.weight
            self.weight += request.weight

    def copy(self) -> DeficitRoundRobin:
        """The same callers with the same requests."""
        flows = DeficitRoundRobin()
        flows._waiting = {name: line.copy() for name, line in self._waiting.items()}
        flows._order, flows._flows = self._order.copy(), self._flows.copy()
        flows._round, flows._number = self._round, self._number
        flows._weights, flows.weight = self._weights.copy(), self.weight
        return flows

    def head(self) -> QueuedRequest:
        """The request whose turn it is."""
        return self._waiting[self._order[0].name][0]

    def serve(self, request: QueuedRequest) -> None:
        """Take out a request that is served, at the expense of its caller's credit."""
        name = request.caller.name
        line, flow = self._waiting[name], self._flows[name]
        line.remove(request)  # mostly the first
        self._round = self._order[0].round
        self._order.remove(flow)  # mostly the first
        self._flows[name] = _after(flow, (line[0] if line else request).weight)
        if line:
            insort(self._order, self._flows[name])
        else:
            self._leave(name)

    def heads(self) -> Iterator[QueuedRequest]:
        """The first requests of all callers, in the order of their turns."""
        return (self._waiting[flow.name][0] for flow in self._order)

    def next_heads(self, passed: int) -> list[QueuedRequest]:
        """The first requests of the callers whose turns come next, after so many."""
        return [self._waiting[flow.name][0] for flow in self._order[passed : passed + LOOK_AHEAD]]

    def remove(self, request: QueuedRequest) -> bool:
        """Take out a request that no longer waits; whether it was there."""
        line = self._waiting.get(request.caller.name)
        if line is None or request not in line:
            return False
        line.remove(request)
        if not line:
            self._order.remove(self._flows[request.caller.name])
            self._leave(request.caller.name)
        return True

    def lines(self) -> Iterable[Sequence[QueuedRequest]]:
        """The requests of each caller."""
        return self._waiting.values()

    def waiting(self, name: str) -> int:
        """How many requests of a caller wait."""
        return len(self._waiting.get(name, ()))

    def ahead_of(self, name: str, weight: float) -> int:
        """How many requests will be served before a new one of this caller, if nothing else comes."""
        own = self.waiting(name)
        flow = self._flows[name] if own else self._entry(name, weight)
        last = _after(flow, weight, own).round
        return own + sum(
            self._served_by(other, last - (other.number > flow.number)) for other in self._order if other.name != name
        )

    def order(self) -> Iterator[QueuedRequest]:
        """All requests in the order of their turns, if nothing else comes."""
        flows = self.copy()
        while flows:
            request = flows.head()
            flows.serve(request)
            yield request

    def _entry(self, name: str, weight: float) -> Flow:
        """The flow of a caller that comes now."""
        flow = self._flows.get(name)
        if flow is None or flow.round < self._round:
            flow = _after(Flow(self._round - 1, 0, name, 0.0), weight, served=0)
        return flow._replace(number=self._number)

    def _leave(self, name: str) -> None:
        # Forget a caller that waits no more; its flow is kept until its round is over.
        del self._waiting[name]
        self.weight = self.weight - self._weights.pop(name) if self._order else 0.0
        if len(self._flows) > self._most_flows:
            self._flows = {name: flow for name, flow in self._flows.items() if flow.round >= self._round}
            self._most_flows = 2 * len(self._flows) + _FEW_FLOWS

    def _served_by(self, flow: Flow, last: int) -> int:
        if last < flow.round:
            return 0
        line = self._waiting[flow.name]
        gains = (last - flow.round) * max(LEAST_WEIGHT, line[0].weight)
        return min(len(line), math.floor(flow.credit + gains + EPSILON))
