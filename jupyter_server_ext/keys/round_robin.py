"""Callers by deficit round robin: the pure rule, without time.

In each round a flow's credit grows by the weight of its tenant, and it is served while its credit covers the request
at its head (M. Shreedhar, G. Varghese, "Efficient fair queueing using deficit round robin", 1995). A caller that leaves
keeps its round, as in start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, 1996): where a round takes longer than
any request waits, it would otherwise be luck which caller is served twice and which never is.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.windows.base import Cost
from jupyter_server_ext.keys.windows.projection import EPSILON

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.keys.pool import Lease
    from jupyter_server_ext.messages import Caller

LOOK_AHEAD = 8  # callers whose smaller requests may use what the head cannot
LEAST_WEIGHT = 0.01
_FEW_FLOWS = 64  # of callers that have gone, kept without a look whether their rounds are over


@dataclass(slots=True, eq=False)
class QueuedRequest:
    """One request that waits for a key.

    Args:
        caller: Whose request it is.
        model: The model it waits for.
        cost: What it reserves of a key.
        usual: What it is likely to take in the end, from which waits are predicted.
        deadline: When waiting has lost its point, in the pool's clock.
        weight: The share of its tenant.
        interactive: Whether a person waits for it.
        size: Bytes of its body.
        avoid: Keys that it is not to be given.
        again: Whether a provider has failed it: it has had its turn in vain, so it comes before the others.
        estimate: Returns ``cost`` anew, from what was learnt while the request waited.
        reserved: The key that is reserved for it at the head of its queue, and when it can start, in the pool's clock.
        granted: Its lease, when it has one.
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
    again: bool = False
    estimate: Callable[[], Cost] | None = field(default=None, repr=False)
    reserved: tuple[str, float] = ("", math.inf)
    position: int = 0
    eta: float = 0.0
    granted: asyncio.Future[Lease] | None = field(default=None, repr=False)


class Flow(NamedTuple):
    """The place of one caller: the round it is served in next, in the order of numbers, and its credit."""

    round: int
    number: int
    name: str
    credit: float


def _after(flow: Flow, weight: float, served: int = 1) -> Flow:
    """A flow after so many of its requests: in the first round in which its credit covers another."""
    weight = max(LEAST_WEIGHT, weight)
    credit = flow.credit - served
    rounds = max(0, math.ceil((1.0 - credit) / weight - EPSILON))
    return flow._replace(round=flow.round + rounds, credit=credit + rounds * weight)


class DeficitRoundRobin:
    """The flows of callers that wait.

    A caller that was served in a round and comes back in it is served in the next one, behind those not served yet.

    Example:
        >>> from jupyter_server_ext.messages import Caller
        >>> flows = DeficitRoundRobin()
        >>> for name in ("ada", "bob"):
        ...     flows.push(QueuedRequest(Caller(name), "m", Cost()))
        >>> flows.serve(flows.head())
        >>> for name in ("ada", "eve"):  # ada is back, and eve has come
        ...     flows.push(QueuedRequest(Caller(name), "m", Cost()))
        >>> [request.caller.name for request in flows.order()]
        ['bob', 'eve', 'ada']
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[QueuedRequest]] = {}
        self._order: list[Flow] = []  # of callers that wait, sorted
        self._flows: dict[str, Flow] = {}  # also of callers that have gone: their next ones
        self._round = 0
        self._number = 0
        self._most_flows = _FEW_FLOWS
        self._weights: dict[str, float] = {}
        self.weight = 0.0
        """The weights of all callers that wait, together."""

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

    def longest(self) -> tuple[str, int]:
        """The caller with most requests waiting, and how many."""
        return max(((name, len(line)) for name, line in self._waiting.items()), key=lambda row: row[1], default=("", 0))

    def last_of(self, name: str) -> QueuedRequest:
        """The newest request of a caller."""
        return self._waiting[name][-1]

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
        """Forget a caller that waits no more; its flow is kept until its round is over."""
        del self._waiting[name]
        self.weight = self.weight - self._weights.pop(name) if self._order else 0.0
        if len(self._flows) > self._most_flows:
            self._flows = {name: flow for name, flow in self._flows.items() if flow.round >= self._round}
            self._most_flows = 2 * len(self._flows) + _FEW_FLOWS

    def _served_by(self, flow: Flow, last: int) -> int:
        """How many requests of a caller are served up to the end of a round."""
        if last < flow.round:
            return 0
        line = self._waiting[flow.name]
        gains = (last - flow.round) * max(LEAST_WEIGHT, line[0].weight)
        return min(len(line), math.floor(flow.credit + gains + EPSILON))
