"""Whose turn it is: tenants take turns by their weights, and the callers of a tenant take its turns."""

# Deficit round robin on two levels: in each round a flow's credit grows by its weight, and it is served while its
# credit covers the request at its head (M. Shreedhar, G. Varghese, "Efficient fair queueing using deficit round robin",
# 1995). Flows are tenants, and what a tenant gets is divided among its callers by the same rule, as links are divided
# in S. Floyd, V. Jacobson, "Link-sharing and resource management models for packet networks", 1995. So a tenant of
# forty callers has no more turns than one of a single caller; a caller without a tenant is a tenant of its own.
#
# A flow that leaves keeps its round, as in start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, 1996): where a
# round takes longer than any request waits, it would otherwise be luck which caller is served twice and which never is.
# So a caller that was served in a round and comes back in it is served in the next one, behind those not served yet.

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from copy import copy
from itertools import chain, islice, zip_longest
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.windows.projection import EPSILON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from jupyter_server_ext.keys.model_queue import QueuedRequest
    from jupyter_server_ext.messages import Caller

LOOK_AHEAD = 8  # callers whose smaller requests may use what the head cannot
LEAST_WEIGHT = 0.01  # of a tenant, so that 0 starves nobody
_FEW_FLOWS = 64  # of those that have gone, kept without a look whether their rounds are over

Tenant = tuple[str, str]  # the name of a tenant and ""; "" and the name of a caller without one


def tenant_of(caller: Caller) -> Tenant:
    """The tenant whose turns a caller takes; without one the caller itself.

    Example:
        >>> from jupyter_server_ext.messages import Caller
        >>> tenant_of(Caller("ada", tenant="stats101")), tenant_of(Caller("stats101"))
        (('stats101', ''), ('', 'stats101'))
    """
    return (caller.tenant, "") if caller.tenant else ("", caller.name)


class Flow(NamedTuple):
    """The place of a tenant or caller: the round it is served in next, in the order of numbers, and its credit."""

    round: int
    number: int
    name: Tenant
    credit: float


def _after(flow: Flow, weight: float, served: int = 1) -> Flow:
    # A flow after so many of its requests: in the first round in which its credit covers another.
    credit = flow.credit - served
    if credit >= 1.0 - EPSILON:
        return Flow(flow.round, flow.number, flow.name, credit)
    weight = max(LEAST_WEIGHT, weight)
    rounds = math.ceil((1.0 - credit) / weight - EPSILON)
    return Flow(flow.round + rounds, flow.number, flow.name, credit + rounds * weight)


class CallerLine(deque["QueuedRequest"]):
    """The requests of one caller, in the order in which they came."""

    __slots__ = ()

    def push(self, request: QueuedRequest) -> None:
        """Put a request behind the others, or before them if it comes again."""
        if request.again:
            self.appendleft(request)
        else:
            self.append(request)

    def head(self) -> QueuedRequest:
        """The next request."""
        return self[0]

    def heads(self) -> Iterator[QueuedRequest]:
        """The next request."""
        return islice(self, 1)

    def serve(self, request: QueuedRequest) -> None:
        """Take out a request that is served."""
        if self[0] is request:  # mostly
            self.popleft()
        else:
            self.remove(request)

    def drop(self, request: QueuedRequest) -> bool:
        """Take out a request that no longer waits; whether it was there."""
        if request not in self:
            return False
        self.remove(request)
        return True

    def ahead_of(self, request: QueuedRequest) -> int:  # noqa: ARG002 - as of a tenant
        """How many requests will be served before a new one."""
        return len(self)

    def lines(self) -> Iterator[CallerLine]:
        """This one."""
        yield self


class DeficitRoundRobin:
    """Flows that take turns: the pure rule, without time."""

    _name: Callable[[QueuedRequest], Tenant]  # the flow of a request …
    _weight: Callable[[QueuedRequest], float]  # … and its weight

    def __init__(self) -> None:
        self._waiting: dict[Tenant, CallerLine | DeficitRoundRobin] = {}  # by flow
        self._order: list[Flow] = []  # of flows that wait, sorted
        self._flows: dict[Tenant, Flow] = {}  # also of those that have gone: their next ones
        self._weights: dict[Tenant, float] = {}
        self.weight = 0.0  # the weights of all flows that wait, together
        self._round = 0
        self._number = 0
        self._count = 0  # of requests
        self._most_flows = _FEW_FLOWS

    def __len__(self) -> int:
        return self._count

    def push(self, request: QueuedRequest) -> None:
        """Put a request behind the others of its caller, or before all if it comes again."""
        name = self._name(request)
        self.expect(request)
        waiting = self._waiting.get(name)
        if waiting is None:
            waiting = self._waiting[name] = self._place(request)
            self._number += 1
            self._flows[name] = self._entry(name, self._weights[name])
            insort(self._order, self._flows[name])
        if request.again:
            self._order.remove(self._flows[name])
            self._flows[name] = self._flows[name]._replace(round=self._round, number=0, credit=1.0)
            insort(self._order, self._flows[name])
        waiting.push(request)
        self._count += 1

    def expect(self, request: QueuedRequest) -> None:
        """Count the weight of a flow that waits or is about to: that of its newest request."""
        name, weight = self._name(request), self._weight(request)
        known = self._weights.get(name)
        if known != weight:
            self._weights[name] = weight
            self.weight += weight - (known or 0.0)

    def copy(self) -> Self:
        """The same flows with the same requests."""
        flows = copy(self)
        vars(flows).update(
            _waiting={name: waiting.copy() for name, waiting in self._waiting.items()},
            _order=self._order.copy(),
            _flows=self._flows.copy(),
            _weights=self._weights.copy(),
        )
        return flows

    def head(self) -> QueuedRequest:
        """The request whose turn it is."""
        return self._waiting[self._order[0].name].head()

    def heads(self) -> Iterator[QueuedRequest]:
        """The first requests of all callers, in the order of their turns."""
        for flow in self._order:
            waiting = self._waiting[flow.name]
            if type(waiting) is CallerLine:  # as most are: saves a generator for each
                yield waiting[0]
            else:
                yield from waiting.heads()

    def serve(self, request: QueuedRequest) -> None:
        """Take out a request that is served, at the expense of its flow's credit."""
        name = self._name(request)
        waiting, flow = self._waiting[name], self._flows[name]
        waiting.serve(request)
        self._count -= 1
        self._round = self._order[0].round
        self._order.remove(flow)  # mostly the first
        self._flows[name] = _after(flow, self._weights[name])
        if waiting:
            insort(self._order, self._flows[name])
        else:
            self._leave(name)

    def drop(self, request: QueuedRequest) -> bool:
        """Take out a request that no longer waits; whether it was there."""
        name = self._name(request)
        waiting = self._waiting.get(name)
        if waiting is None or not waiting.drop(request):
            return False
        self._count -= 1
        if not waiting:
            self._order.remove(self._flows[name])
            self._leave(name)
        return True

    def ahead_of(self, request: QueuedRequest) -> int:
        """How many requests will be served before a new one, if nothing else comes."""
        name, weight = self._name(request), self._weight(request)
        waiting = self._waiting.get(name)
        ahead = waiting.ahead_of(request) if waiting else 0
        flow = self._flows[name] if waiting else self._entry(name, weight)
        last = _after(flow, weight, ahead).round
        for other in self._order:
            if other.round > last:
                break
            if other.name != name:
                ahead += self._served_by(other, last - (other.number > flow.number))
        return ahead

    def order(self) -> Iterator[QueuedRequest]:
        """All requests in the order of their turns, if nothing else comes."""
        flows = self.copy()
        while flows:
            request = flows.head()
            flows.serve(request)
            yield request

    def lines(self) -> Iterator[CallerLine]:
        """The requests of each caller."""
        return chain.from_iterable(waiting.lines() for waiting in self._waiting.values())

    def _place(self, request: QueuedRequest) -> CallerLine | DeficitRoundRobin:  # noqa: ARG002
        # Where the requests of a flow are to wait that comes now.
        return CallerLine()

    def _entry(self, name: Tenant, weight: float) -> Flow:
        # The place of a flow that comes now.
        flow = self._flows.get(name)
        if flow is None or flow.round < self._round:
            flow = _after(Flow(self._round - 1, 0, name, 0.0), weight, served=0)
        return flow._replace(number=self._number)

    def _leave(self, name: Tenant) -> None:
        # Forget a flow that waits no more; its place is kept until its round is over.
        del self._waiting[name]
        self.weight = self.weight - self._weights.pop(name) if self._order else 0.0
        if len(self._flows) > self._most_flows:
            self._flows = {name: flow for name, flow in self._flows.items() if flow.round >= self._round}
            self._most_flows = 2 * len(self._flows) + _FEW_FLOWS

    def _served_by(self, flow: Flow, last: int) -> int:
        if last < flow.round:
            return 0
        covered = math.floor(flow.credit + (last - flow.round) * max(LEAST_WEIGHT, self._weights[flow.name]) + EPSILON)
        waiting = len(self._waiting[flow.name])
        return covered if covered < waiting else waiting  # quicker than ``min``


class TurnsOfCallers(DeficitRoundRobin):
    """The callers of one tenant: all alike."""

    @staticmethod
    def _name(request: QueuedRequest) -> Tenant:
        return "", request.caller.name

    @staticmethod
    def _weight(request: QueuedRequest) -> float:  # noqa: ARG004
        return 1.0


class TurnsOfTenants(DeficitRoundRobin):
    """All tenants, each by its weight, however many of its callers wait.

    Example:
        >>> from jupyter_server_ext.keys import Cost, QueuedRequest
        >>> from jupyter_server_ext.messages import Caller
        >>> turns = TurnsOfTenants()
        >>> for name, tenant in (("ada", "stats101"), ("bob", "stats101"), ("eve", "")):
        ...     turns.push(QueuedRequest(Caller(name, tenant=tenant), "m", Cost()))
        >>> [request.caller.name for request in turns.order()]
        ['ada', 'eve', 'bob']
    """

    _name = attrgetter("tenant")
    _weight = attrgetter("weight")

    def __init__(self) -> None:
        super().__init__()
        self._gone: dict[Tenant, TurnsOfCallers] = {}  # tenants without requests, in which turns are remembered

    def copy(self) -> Self:
        """The same tenants with the same requests."""
        flows = super().copy()
        vars(flows)["_gone"] = {}
        return flows

    def next_heads(self, passed: int) -> list[QueuedRequest]:
        """The first requests of the callers whose turns come next, after so many: of each tenant one, then another."""
        waiting, most = self._waiting, passed + LOOK_AHEAD
        if len(self._order) < most:
            tenants = [waiting[flow.name] for flow in self._order]
            if any(type(one) is not CallerLine for one in tenants):
                heads = chain.from_iterable(zip_longest(*(one.heads() for one in tenants)))
                return list(islice(filter(None, heads), passed, most))
        return [one[0] if type(one := waiting[f.name]) is CallerLine else one.head() for f in self._order[passed:most]]

    def loads(self) -> Iterator[tuple[Tenant, float]]:
        """How many requests of each tenant wait, for a weight of 1."""
        return ((one, len(line) / max(LEAST_WEIGHT, self._weights[one])) for one, line in self._waiting.items())

    def lines_of(self, tenant: Tenant) -> list[CallerLine]:
        """The requests of each caller of a tenant that wait."""
        return list(self._waiting[tenant].lines()) if tenant in self._waiting else []

    def _place(self, request: QueuedRequest) -> CallerLine | DeficitRoundRobin:
        if not request.caller.tenant:
            return CallerLine()
        return self._gone.pop(request.tenant) if request.tenant in self._gone else TurnsOfCallers()

    def _leave(self, name: Tenant) -> None:
        waiting = self._waiting[name]
        super()._leave(name)
        if isinstance(waiting, TurnsOfCallers):
            self._gone[name] = waiting
            if len(self._gone) > self._most_flows:
                self._gone = {name: waiting for name, waiting in self._gone.items() if name in self._flows}
