"""Whose turn it is: callers by deficit round robin, people before batch work. The pure rule, without time.

At each turn a caller's credit grows by the weight of its tenant, and it is served while its credit covers the request
at its head (M. Shreedhar, G. Varghese, "Efficient fair queueing using deficit round robin", 1995). Interactive requests
go before batch ones, which get one turn in eight so that they never starve.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from jupyter_server_ext.storage.base import Cost

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.key_pool import Lease
    from jupyter_server_ext.messages import Caller

_BATCH_TURN = 8  # every so many turns go to batch work, when some waits
LOOK_AHEAD = 8  # callers whose smaller requests may use what the one whose turn it is cannot
_LEAST_WEIGHT = 0.01
_HAIR = 1e-9


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
    estimate: Callable[[], Cost] | None = field(default=None, repr=False)
    promised: tuple[str, float] = ("", math.inf)
    position: int = 0
    eta: float = 0.0
    got: asyncio.Future[Lease] | None = field(default=None, repr=False)


class Turns:
    """Callers taking turns."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Ticket]] = {}
        self._ring: deque[str] = deque()
        self._credit: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self.weight = 0.0
        """The weights of all callers who wait, together."""

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
            self.expect(ticket)
            self._ring.append(name)
        self._waiting[name].append(ticket)

    def expect(self, ticket: Ticket) -> None:
        """Have a caller's weight count, who waits or is about to come."""
        name = ticket.caller.name
        if name not in self._weights:
            self._weights[name] = ticket.weight
            self.weight += ticket.weight

    def copy(self) -> Turns:
        """The same callers with the same requests."""
        turns = Turns()
        turns._waiting = {name: line.copy() for name, line in self._waiting.items()}
        turns._ring, turns._credit = self._ring.copy(), self._credit.copy()
        turns._weights, turns.weight = self._weights.copy(), self.weight
        return turns

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

    def next_heads(self, passed: int) -> list[Ticket]:
        """The first requests of the callers whose turns come next, after so many."""
        return [self._waiting[name][0] for name in islice(self._ring, passed, passed + LOOK_AHEAD)]

    def remove(self, ticket: Ticket) -> bool:
        """Take out a request that no longer waits; whether it was there."""
        line = self._waiting.get(ticket.caller.name)
        if line is None or ticket not in line:
            return False
        line.remove(ticket)
        if not line:
            self._leave(ticket.caller.name)
        return True

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
        own = self.waiting(name)
        credit, weight = self._credit.get(name, 0.0), max(_LEAST_WEIGHT, weight)
        rounds = math.ceil((own + 1 - credit) / weight - _HAIR) + (credit >= 1.0)  # until its turn
        total, is_before = own, True
        for other in self._ring:
            if other == name:
                is_before = False
            else:
                total += self._served_in(other, rounds - (not is_before))
        return total

    def _served_in(self, name: str, rounds: int) -> int:
        """How many requests of a caller are served when its turn has come so often."""
        line, credit = self._waiting[name], self._credit[name]
        gains = rounds - (credit >= 1.0)  # what it has already it was given at its first turn
        if rounds <= 0:
            return 0
        return min(len(line), max(0, math.floor(credit + gains * max(_LEAST_WEIGHT, line[0].weight) + _HAIR)))

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
        self.weight = self.weight - self._weights.pop(name) if self._ring else 0.0


class Lane:
    """The requests that wait for one model: people first, batch work every eighth turn.

    Lanes take turns too, where models share a quota: each by the weight of all who wait in it (S. J. Golestani, "A
    self-clocked fair queueing scheme for broadband applications", 1994).

    Args:
        turns: How many turns each of its callers would have had by now, as in the other lanes.
    """

    def __init__(self, turns: float = 0.0) -> None:
        self.people = Turns()
        self.batch = Turns()
        self.turns = turns
        self._turn = 0
        self._held: Ticket | None = None
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

    def hold_turn(self, head: Ticket) -> None:
        """Its turn has come, but the head can't start yet: lanes in which others join don't come before it any more."""
        self._held = head

    def of(self, ticket: Ticket) -> Turns:
        """Where a ticket of this kind waits."""
        return self.people if ticket.interactive else self.batch

    def push(self, ticket: Ticket) -> None:
        """Put a request behind the others of its caller."""
        self.of(ticket).push(ticket)
        self._tally(ticket, 1)

    def remove(self, ticket: Ticket) -> None:
        """Take out a request that no longer waits; twice is harmless."""
        if self.of(ticket).remove(ticket):
            self._tally(ticket, -1)

    def usual(self, also: Ticket | None = None) -> Cost:
        """What a request that waits is likely to take, on average; with one that may join."""
        more = also.usual if also is not None else Cost()
        count = max(1, self._count + (also is not None))
        return Cost((self._prompt + more.prompt) // count, (self._completion + more.completion) // count)

    def _tally(self, ticket: Ticket, sign: int) -> None:
        self._count += sign
        self._prompt += sign * ticket.usual.prompt
        self._completion += sign * ticket.usual.completion

    def ahead_of(self, ticket: Ticket) -> int:
        """How many requests will be served before this new one, if nobody else comes."""
        ahead = self.of(ticket).ahead_of(ticket.caller.name, ticket.weight)
        people_first = _BATCH_TURN - 1 - self._turn % _BATCH_TURN
        if ticket.interactive:
            return ahead + min(len(self.batch), 1 + (ahead - people_first) // (_BATCH_TURN - 1))
        return ahead + min(len(self.people), people_first + ahead * (_BATCH_TURN - 1))

    def _next(self) -> Turns:
        return self.batch if self.batch and (self._is_batch_turn or not self.people) else self.people

    @property
    def _is_batch_turn(self) -> bool:
        return self._turn % _BATCH_TURN == _BATCH_TURN - 1

    def head(self) -> Ticket:
        """The request whose turn it is."""
        return self._next().head()

    def serve(self, ticket: Ticket) -> None:
        """Take out a request that is served."""
        self.turns = self.next_turn
        if ticket is self._held:
            self._held = None
        keeps_turn = ticket.interactive and self._is_batch_turn and bool(self.batch)
        self.of(ticket).serve(ticket)
        self._tally(ticket, -1)
        self._turn += not keeps_turn

    def others_than(self, head: Ticket) -> list[Ticket]:
        """Requests that come soon and may find a key where the one whose turn it is finds none."""
        rest = self.people if head.interactive is False else self.batch
        return [ticket for ticket in (*self.of(head).next_heads(1), *rest.next_heads(0)) if self.may_pass(ticket, head)]

    def may_pass(self, ticket: Ticket, head: Ticket) -> bool:
        """Whether a request may find a key where the one whose turn it is finds none."""
        one, other = ticket.cost, head.cost
        return one.prompt < other.prompt or one.completion < other.completion or ticket.avoid != head.avoid

    def copy(self, newcomer: Ticket | None = None) -> Lane:
        """The same lane, to be played ahead; a newcomer has its weight in it from the beginning."""
        lane = Lane(self.turns)
        lane.people, lane.batch = self.people.copy(), self.batch.copy()
        lane._turn, lane._held = self._turn, self._held
        lane._count, lane._prompt, lane._completion = self._count, self._prompt, self._completion
        if newcomer is not None:
            lane.of(newcomer).expect(newcomer)
        return lane

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
