"""Whose turn it is: callers by deficit round robin, people before batch work. The pure rule, without time.

In each round a caller's credit grows by the weight of its tenant, and it is served while its credit covers the request
at its head (M. Shreedhar, G. Varghese, "Efficient fair queueing using deficit round robin", 1995). Who leaves keeps its
place in the rounds, as in start-time fair queueing (P. Goyal, H. M. Vin, H. Cheng, 1996): where a round takes longer
than anybody waits, it would otherwise be luck who is served twice and who never is. Interactive requests
go before batch ones, which get one turn in eight so that they never starve.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.windows.base import Cost

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.keys.pool import Lease
    from jupyter_server_ext.messages import Caller

_BATCH_TURN = 8  # every so many turns go to batch work, when some waits
LOOK_AHEAD = 8  # callers whose smaller requests may use what the one whose turn it is cannot
_LEAST_WEIGHT = 0.01
_HAIR = 1e-9
_FEW_SEATS = 64  # of callers who have gone, that are kept without a look whether their rounds are over


@dataclass(slots=True, eq=False)
class QueuedRequest:
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
        again: Whether a provider has failed it: it has had its turn and got nothing, so it comes before the others.
        estimate: Tells ``cost`` anew, from what was learnt while it waited.
        promised: With which key it is to start when its turn has come, and when, in the pool's clock.
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
    promised: tuple[str, float] = ("", math.inf)
    position: int = 0
    eta: float = 0.0
    got: asyncio.Future[Lease] | None = field(default=None, repr=False)


class Flow(NamedTuple):
    """Where a caller sits: in which round it is served next, in the order of their numbers, and with which credit."""

    round: int
    number: int
    name: str
    credit: float


def _after(seat: Flow, weight: float, served: int = 1) -> Flow:
    """The seat of a caller after so many of its requests: in the first round in which its credit covers another."""
    weight = max(_LEAST_WEIGHT, weight)
    credit = seat.credit - served
    rounds = max(0, math.ceil((1.0 - credit) / weight - _HAIR))
    return seat._replace(round=seat.round + rounds, credit=credit + rounds * weight)


class DeficitRoundRobin:
    """Callers taking turns.

    Who has had a turn in a round and comes back in it is served in the next one, behind those who have had none yet.

    Example:
        >>> from jupyter_server_ext.messages import Caller
        >>> turns = DeficitRoundRobin()
        >>> for name in ("ada", "bob"):
        ...     turns.push(QueuedRequest(Caller(name), "m", Cost()))
        >>> turns.serve(turns.head())
        >>> for name in ("ada", "eve"):  # ada is back, and eve has come
        ...     turns.push(QueuedRequest(Caller(name), "m", Cost()))
        >>> [ticket.caller.name for ticket in turns.order()]
        ['bob', 'eve', 'ada']
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[QueuedRequest]] = {}
        self._order: list[Flow] = []  # of those who wait, sorted
        self._seats: dict[str, Flow] = {}  # also of those who have gone: their next ones
        self._round = 0
        self._number = 0
        self._most_seats = _FEW_SEATS
        self._weights: dict[str, float] = {}
        self.weight = 0.0
        """The weights of all callers who wait, together."""

    def __len__(self) -> int:
        return sum(len(line) for line in self._waiting.values())

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def callers(self) -> int:
        """How many callers wait."""
        return len(self._order)

    def push(self, ticket: QueuedRequest) -> None:
        """Put a request behind the others of its caller, or before everybody if it comes again."""
        name = ticket.caller.name
        if name not in self._waiting:
            self._waiting[name] = deque()
            self.expect(ticket)
            self._number += 1
            self._seats[name] = self._entry(name, ticket.weight)
            insort(self._order, self._seats[name])
        if ticket.again:
            self._order.remove(self._seats[name])
            self._seats[name] = self._seats[name]._replace(round=self._round, number=0, credit=1.0)
            insort(self._order, self._seats[name])
            self._waiting[name].appendleft(ticket)
        else:
            self._waiting[name].append(ticket)

    def expect(self, ticket: QueuedRequest) -> None:
        """Have a caller's weight count, who waits or is about to come."""
        name = ticket.caller.name
        if name not in self._weights:
            self._weights[name] = ticket.weight
            self.weight += ticket.weight

    def copy(self) -> DeficitRoundRobin:
        """The same callers with the same requests."""
        turns = DeficitRoundRobin()
        turns._waiting = {name: line.copy() for name, line in self._waiting.items()}
        turns._order, turns._seats = self._order.copy(), self._seats.copy()
        turns._round, turns._number = self._round, self._number
        turns._weights, turns.weight = self._weights.copy(), self.weight
        return turns

    def head(self) -> QueuedRequest:
        """The request whose turn it is."""
        return self._waiting[self._order[0].name][0]

    def serve(self, ticket: QueuedRequest) -> None:
        """Take out a request that is served: its caller pays for it, and makes way when its credit is used up."""
        name = ticket.caller.name
        line, seat = self._waiting[name], self._seats[name]
        line.remove(ticket)  # mostly the first
        self._round = self._order[0].round
        self._order.remove(seat)  # mostly the first
        self._seats[name] = _after(seat, (line[0] if line else ticket).weight)
        if line:
            insort(self._order, self._seats[name])
        else:
            self._leave(name)

    def heads(self) -> Iterator[QueuedRequest]:
        """The first requests of all callers, in the order of their turns."""
        return (self._waiting[seat.name][0] for seat in self._order)

    def next_heads(self, passed: int) -> list[QueuedRequest]:
        """The first requests of the callers whose turns come next, after so many."""
        return [self._waiting[seat.name][0] for seat in self._order[passed : passed + LOOK_AHEAD]]

    def remove(self, ticket: QueuedRequest) -> bool:
        """Take out a request that no longer waits; whether it was there."""
        line = self._waiting.get(ticket.caller.name)
        if line is None or ticket not in line:
            return False
        line.remove(ticket)
        if not line:
            self._order.remove(self._seats[ticket.caller.name])
            self._leave(ticket.caller.name)
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
        """How many requests will be served before a new one of this caller, if nobody else comes."""
        own = self.waiting(name)
        seat = self._seats[name] if own else self._entry(name, weight)
        last = _after(seat, weight, own).round
        return own + sum(
            self._served_by(other, last - (other.number > seat.number)) for other in self._order if other.name != name
        )

    def order(self) -> Iterator[QueuedRequest]:
        """All requests in the order of their turns, if nobody else comes."""
        turns = self.copy()
        while turns:
            ticket = turns.head()
            turns.serve(ticket)
            yield ticket

    def _entry(self, name: str, weight: float) -> Flow:
        """Where a caller sits who comes now."""
        seat = self._seats.get(name)
        if seat is None or seat.round < self._round:
            seat = _after(Flow(self._round - 1, 0, name, 0.0), weight, served=0)
        return seat._replace(number=self._number)

    def _leave(self, name: str) -> None:
        """A caller waits no more; its seat is kept until its round is over."""
        del self._waiting[name]
        self.weight = self.weight - self._weights.pop(name) if self._order else 0.0
        if len(self._seats) > self._most_seats:
            self._seats = {name: seat for name, seat in self._seats.items() if seat.round >= self._round}
            self._most_seats = 2 * len(self._seats) + _FEW_SEATS

    def _served_by(self, seat: Flow, last: int) -> int:
        """How many requests of a caller are served up to the end of a round."""
        if last < seat.round:
            return 0
        line = self._waiting[seat.name]
        gains = (last - seat.round) * max(_LEAST_WEIGHT, line[0].weight)
        return min(len(line), math.floor(seat.credit + gains + _HAIR))


class ModelQueue:
    """The requests that wait for one model: people first, batch work every eighth turn.

    Lanes take turns too, where models share a quota: each by the weight of all who wait in it (S. J. Golestani, "A
    self-clocked fair queueing scheme for broadband applications", 1994).

    Args:
        turns: How many turns each of its callers would have had by now, as in the other lanes.
    """

    def __init__(self, turns: float = 0.0) -> None:
        self.people = DeficitRoundRobin()
        self.batch = DeficitRoundRobin()
        self.turns = turns
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
        """The lane where this is least is served next: first those whose turns have come, then by when they do."""
        is_held = self._held is not None and self._held is self.head()
        return not is_held, self.next_turn

    @property
    def next_turn(self) -> float:
        """When it is served next, in turns of one caller."""
        return self.turns + 1.0 / max(_LEAST_WEIGHT, self.people.weight + self.batch.weight)

    def hold_turn(self, head: QueuedRequest) -> None:
        """Its turn has come, but the head can't start yet: lanes in which others join don't come before it any more."""
        self._held = head

    def of(self, ticket: QueuedRequest) -> DeficitRoundRobin:
        """Where a ticket of this kind waits."""
        return self.people if ticket.interactive else self.batch

    def push(self, ticket: QueuedRequest) -> None:
        """Put a request behind the others of its caller."""
        self.of(ticket).push(ticket)
        self._tally(ticket, 1)

    def remove(self, ticket: QueuedRequest) -> None:
        """Take out a request that no longer waits; twice is harmless."""
        if self.of(ticket).remove(ticket):
            self._tally(ticket, -1)

    def usual(self, also: QueuedRequest | None = None) -> Cost:
        """What a request that waits is likely to take, on average; with one that may join."""
        more = also.usual if also is not None else Cost()
        count = max(1, self._count + (also is not None))
        return Cost((self._prompt + more.prompt) // count, (self._completion + more.completion) // count)

    def _tally(self, ticket: QueuedRequest, sign: int) -> None:
        self._count += sign
        self._prompt += sign * ticket.usual.prompt
        self._completion += sign * ticket.usual.completion

    def ahead_of(self, ticket: QueuedRequest) -> int:
        """How many requests will be served before this new one, if nobody else comes."""
        ahead = 0 if ticket.again else self.of(ticket).ahead_of(ticket.caller.name, ticket.weight)
        people_first = _BATCH_TURN - 1 - self._turn % _BATCH_TURN
        if ticket.interactive:
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

    def serve(self, ticket: QueuedRequest) -> None:
        """Take out a request that is served."""
        self.turns = self.next_turn
        if ticket is self._held:
            self._held = None
        keeps_turn = ticket.interactive and self._is_batch_turn and bool(self.batch)
        self.of(ticket).serve(ticket)
        self._tally(ticket, -1)
        self._turn += not keeps_turn

    def pass_by(self, ticket: QueuedRequest) -> None:
        """Have it that a request was served which did not have to wait."""
        self.push(ticket)
        self.serve(ticket)

    def others_than(self, head: QueuedRequest) -> list[QueuedRequest]:
        """Requests that come soon and may find a key where the one whose turn it is finds none."""
        rest = self.people if head.interactive is False else self.batch
        return [ticket for ticket in (*self.of(head).next_heads(1), *rest.next_heads(0)) if self.may_pass(ticket, head)]

    def may_pass(self, ticket: QueuedRequest, head: QueuedRequest) -> bool:
        """Whether a request may find a key where the one whose turn it is finds none."""
        one, other = ticket.cost, head.cost
        return one.prompt < other.prompt or one.completion < other.completion or ticket.avoid != head.avoid

    def copy(self, newcomer: QueuedRequest | None = None) -> ModelQueue:
        """The same lane, to be played ahead; a newcomer has its weight in it from the beginning."""
        lane = ModelQueue(self.turns)
        lane.people, lane.batch = self.people.copy(), self.batch.copy()
        lane._turn, lane._held = self._turn, self._held
        lane._count, lane._prompt, lane._completion = self._count, self._prompt, self._completion
        if newcomer is not None:
            lane.of(newcomer).expect(newcomer)
        return lane

    def order(self) -> Iterator[QueuedRequest]:
        """All requests in the order of their turns, if nobody else comes."""
        people, batch, turn = self.people.order(), self.batch.order(), self._turn
        while True:
            first, second = (batch, people) if turn % _BATCH_TURN == _BATCH_TURN - 1 else (people, batch)
            ticket = next(first, None) or next(second, None)
            if ticket is None:
                return
            yield ticket
            turn += 1
