"""Each caller's share over the last window, and what of a quota is kept for callers that have lately asked."""

# Turns are fair among the callers that wait. A caller with many requests is alone in the queue when the others pause:
# it would take the whole window at once, and the next to ask waits until that is over. So:
#
# - A caller that has used less than its share of the last window starts as soon as there is room. Tenants share by
#   their weights, and each divides its share equally among those of its callers that have lately asked.
# - A caller that has used more starts only where that leaves room for the others: at every moment up to the end of the
#   window, what is left then, with all that will have been given back, has to cover the requests that are expected by
#   then of callers below their shares, but for a second that they may wait.
#
# Where requests are spread evenly over a window, what is given back covers what is expected: then nothing is kept idle,
# and the next to ask takes what is given back. After a burst nothing is given back for a while, so enough is kept; it
# shrinks as the end of the window comes near, and as the callers for which it is kept fall silent.
#
# Batch work takes what people leave: at every moment there has to be room for those who are expected by then, and a
# tenth of each window for whoever else asks. It starts as fast as windows give back, rather than all at once, so that
# what is given back comes evenly. While people wait, turns decide.
#
# A slot that batch work has taken is gone for as long as its answer takes. So of a limit of several slots it leaves one
# free as long as people are about. While they wait, its turn gives it the last slot only of a limit of which it has
# none.
#
# Where models share windows, it has to hold for the requests for each of these models and for all of them together (as
# in P. Hall, "On representatives of subsets", 1935, of which these are the sets that matter).

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.keys.windows.memory import Semaphore
from jupyter_server_ext.keys.windows.projection import EPSILON, SURELY_OVER, WindowProjection
from jupyter_server_ext.keys.windows.usage import Cost, Offer, Reservation, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jupyter_server_ext.keys.model_queue import QueuedRequest
    from jupyter_server_ext.keys.turns import Tenant
    from jupyter_server_ext.keys.windows.memory import MemoryWindows

    Candidates = Callable[[str], list[tuple[float, Offer]]]
    from collections.abc import Mapping

    from jupyter_server_ext.keys.model_queue import ModelQueue

_LONGEST = 120.0  # seconds; of longer windows it is not known who will ask
_OVER = 2.0  # usual requests beyond its share that a caller may start, as a share is no whole number
_SWING = 0.5  # of the root of how many are expected, by which they may be more
_STEPS = 24  # moments of a window at which there has to be room …
_FINE = 60  # … for batch work, of which it is foretold when it starts
_PATIENCE = 1.0  # seconds that callers for which room is kept may wait
_FRESH = 0.25  # seconds for which what is kept is known …
_FRESH_PER_CALLER = 0.002  # … and where many ask, so much longer for each
_AGAIN = 1.0  # seconds after which a look is taken again at the latest, as others may have left
_LEFT = 0.1  # of each window, which batch work leaves to people
_BURST = 0.5  # seconds by which batch work may be ahead of its pace
_MOST_MODELS = 200  # with habits or divisions remembered, as callers name models freely


class _SharedKey(NamedTuple):
    """A key, or all keys of a quota group, as usual requests take from it."""

    key: str  # the first of these keys
    available: float  # seconds until it may be used
    needs: tuple[tuple[WindowSpec, int], ...]  # what a usual request takes of which window

    @property
    def short(self) -> Iterator[tuple[WindowSpec, int]]:
        # The same of windows that are over soon, which are what is shared.
        return (row for row in self.needs if row[0].seconds <= _LONGEST)

    @property
    def capacity(self) -> float:
        """Usual requests a second."""
        return min((spec.amount / need / spec.seconds for spec, need in self.short), default=math.inf)


class _SlotsOfKey(NamedTuple):
    """How many slots of a key have to be free for batch work to take one."""

    available: float  # seconds until the key may be used
    free: list[tuple[WindowSpec, int]]


class _Expected(NamedTuple):
    """Requests for one model, of callers below their shares."""

    waiting: int = 0  # how many wait
    rate: float = 0.0  # how many come in a second
    variance: float = 0.0  # of how many come in a second: the more come at once, the larger


class Division:
    """How the quota for one model is divided, as of one moment."""

    def __init__(self, shares: Shares, model: str, now: float) -> None:
        self._shares, self.model, self.at = shares, model, now
        self.candidates = list(shares.candidates(model))
        self._short = [tuple(candidate.short) for candidate in self.candidates]
        self.span = max((spec.seconds for candidate in self.candidates for spec, _ in candidate.short), default=0.0)
        self.capacity = self.span * sum(candidate.capacity for candidate in self.candidates)
        self.windows = {spec.id for candidate in self.candidates for spec, _ in candidate.needs}
        self.neighbours = [  # the models that take from any window of this one
            other
            for other, habits in shares.habits.items()
            if habits.of(now)
            and (other == model or any(s.id in self.windows for one in shares.candidates(other) for s, _ in one.needs))
        ]
        self._weights: dict[Tenant, float] = {}
        self._tenants: dict[str, Tenant] = {}  # by caller
        for other in self.neighbours:
            habits = shares.habits[other].of(now)
            self._weights |= {habit.tenant: habit.weight for habit in habits.values()}
            self._tenants |= {name: habit.tenant for name, habit in habits.items()}
        self._callers = Counter(self._tenants.values())
        self._weight = sum(self._weights.values())
        self.until = now + _FRESH + _FRESH_PER_CALLER * len(self._tenants)
        self.keeps = False  # whether anything is kept for any caller
        self._frees: dict[str, list[tuple[float, float]]] | None = None

    def used(self, caller: str, now: float | None = None) -> float:
        """What a caller has used of the last window, in usual requests; without ``now`` perhaps some more."""
        window, used = self._shares.windows.window, 0.0
        for needs in self._short:
            most = 0.0
            for spec, need in needs:
                if (taken := window(spec).used_by(caller, now)) > most * need:
                    most = taken / need
            used += most
        return used

    def share(self, caller: str, tenant: Tenant, weight: float) -> float:
        """A caller's part of its tenant's share of the window, in usual requests; both count, if known or not."""
        weights = self._weight - self._weights.get(tenant, 0.0) + weight
        callers = self._callers[tenant] + (self._tenants.get(caller) != tenant)
        return max(1.0, self.capacity * weight / weights / callers)

    def people_wait(self, queues: Mapping[str, ModelQueue]) -> bool:
        """Whether people wait for this model, or for one that takes from the same windows."""
        return any(other in queues and queues[other].people for other in self.neighbours)

    @cached_property
    def rivals(self) -> list[str]:
        """The models whose people may want a slot that this one takes."""
        habits, own = self._shares.habits, self._shares.slots(self.model)
        about = [other for other in habits if own and habits[other].are_about(self.at)]
        return [other for other in about if other == self.model or own & self._shares.slots(other)]

    @cached_property
    def kept(self) -> list[WindowSpec]:
        """Where batch work leaves a slot to people: limits of several slots that they may want."""
        wanted = frozenset[WindowSpec]().union(*(self._shares.slots(other) for other in self.rivals))
        return [spec for spec in self._shares.slots(self.model) & wanted if spec.amount > 1]

    def is_shared(self, request: QueuedRequest) -> bool:
        """Whether there is anything to divide between its caller and others."""
        others = len(self._tenants) - (request.caller.name in self._tenants)
        return others > 0 and math.isfinite(self.capacity) and self.span > 0

    def is_over(self, request: QueuedRequest, now: float) -> bool:
        """Whether its caller has used more than its share."""
        if not self.is_shared(request):
            return False
        caller = request.caller.name
        most = self.share(caller, request.tenant, request.weight) + _OVER - EPSILON
        # The first costs little, and mostly decides.
        return self.used(caller) >= most and self.used(caller, now) >= most

    def size_left(self, usual: Cost) -> float:
        """What a request takes of what people leave: all of it, where it is larger than that."""
        return min(self.size(usual), self._most_left)

    @cached_property
    def _most_left(self) -> float:
        window = self._shares.windows.window
        rows = [[(window(spec).limit, need) for spec, need in candidate.needs] for candidate in self.candidates]
        most = (min((limit / need - _kept(limit, need) for limit, need in row), default=math.inf) for row in rows)
        return sum(most)

    def seconds(self, usual: Cost) -> float:
        """How long windows take to give back what a request takes, where use is spread evenly."""
        return min(self.span, self.span * self.size(usual) / self.capacity) if self.span else 0.0

    def size(self, usual: Cost) -> float:
        """What a request takes, in usual ones."""
        candidate = self.candidates[0]
        return max((usual.part(spec.unit, spec.amount)[0] / need for spec, need in candidate.needs), default=1.0)

    def expected(self, now: float) -> _Expected:
        """What is expected of callers below their shares; turns take care of requests beyond that."""
        waiting, rate, variance = 0, 0.0, 0.0
        for name, habit in self._shares.habits[self.model].of(now).items():
            share = self.share(name, habit.tenant, habit.weight)
            if self.used(name, now) + habit.waiting < share - EPSILON:
                waiting += habit.waiting
                comes = min(habit.rate(now), share / self.span)
                rate += comes
                variance += comes * habit.at_once
        return _Expected(waiting, rate, variance)

    def credit(self, request: QueuedRequest, now: float) -> WindowProjection:
        """What its caller has left of its share, in usual requests, as it will be."""
        if self._frees is None:
            self._frees = defaultdict(list)
            for candidate in self.candidates:
                for spec, need in islice(candidate.short, 1):
                    for name, seconds, amount in self._shares.windows.window(spec).frees(now):
                        self._frees[name].append((seconds, amount / need))
        caller = request.caller.name
        left = self.share(caller, request.tenant, request.weight) + _OVER - self.used(caller, now)
        return WindowProjection(math.inf, left, self.span, sorted(self._frees.get(caller, ())))

    @cached_property
    def spare(self) -> WindowProjection:
        """What those over their shares may take, from the moment of this division on."""
        divisions = [self._shares.division(other, self.at) for other in self.neighbours]
        expected = {one.model: one.expected(self.at) for one in divisions}
        self.keeps = any(one.rate for one in expected.values())
        if not self.keeps:
            return WindowProjection(math.inf, math.inf, self.span)
        moments = [self.span * step / _STEPS for step in range(_STEPS + 1)]
        spare = [math.inf] * len(moments)
        for some in [[one] for one in divisions] + ([divisions] if len(divisions) > 1 else []):
            candidates = {candidate.key: candidate for one in reversed(some) for candidate in one.candidates}
            waiting, rate, variance = map(sum, zip(*(expected[one.model] for one in some), strict=True))
            rooms = self._rooms(candidates.values(), moments, self.at)
            for step, at in enumerate(moments):
                time = max(0.0, at - _PATIENCE)
                kept = waiting + rate * time + _SWING * math.sqrt(variance * time)
                spare[step] = min(spare[step], rooms[step] - kept)
        return self._growing(moments, spare)

    @cached_property
    def left(self) -> WindowProjection:
        """What people leave to batch work, from the moment of this division on."""
        moments = [SURELY_OVER * self.span * step / _FINE for step in range(_FINE + 1)]
        rooms = self._rooms(self.candidates, moments, self.at, _LEFT)
        # Where nothing is over soon, nobody knows who will ask.
        known = self.neighbours if self.span else []
        people = [self._shares.division(other, self.at).expected(self.at) for other in known]
        waiting, rate, variance = map(sum, zip(*people, strict=True)) if people else (0, 0.0, 0.0)
        kept = [waiting + rate * at + _SWING * math.sqrt(variance * at) for at in moments]
        return self._growing(moments, [room - needed for room, needed in zip(rooms, kept, strict=True)])

    def _growing(self, moments: Sequence[float], rooms: list[float]) -> WindowProjection:
        # What can be taken at each of these moments without lacking at a later one.
        for step in range(len(rooms) - 2, -1, -1):
            rooms[step] = min(rooms[step], rooms[step + 1])
        gains = [(moments[step], rooms[step] - rooms[step - 1]) for step in range(1, len(rooms))]
        return WindowProjection(math.inf, rooms[0], self.span, gains)

    def _rooms(
        self, candidates: Iterable[_SharedKey], moments: Sequence[float], now: float, left: float = 0.0
    ) -> list[float]:
        # Usual requests for which there is room, at each of these moments, if so much of each window is left free.
        rooms = [0.0] * len(moments)
        for candidate in candidates:
            projections = [(self._shares.windows.window(spec).project(now), need) for spec, need in candidate.needs]
            free = [_kept(one.limit, need, left) for one, need in projections]
            for step, at in enumerate(moments):
                if at >= candidate.available:
                    room = min(
                        (one.room(at) / need - kept for (one, need), kept in zip(projections, free, strict=True)),
                        default=math.inf,
                    )
                    rooms[step] += max(0.0, room)
        return rooms


def _kept(limit: float, need: int, left: float = _LEFT) -> int:
    # Usual requests of a window that batch work leaves free.
    return math.floor(left * limit / need)


class Shares:
    """The shares of all callers."""

    def __init__(self, windows: MemoryWindows, offers: Candidates) -> None:
        self.windows = windows  # where use is counted
        self.habits: dict[str, Habits] = {}  # by model
        self._offers = offers  # the keys for a model: seconds until each may be used, and its windows
        self._divisions: dict[str, Division] = {}
        self._paces: dict[str, BatchPace] = {}  # by model

    def asks(self, request: QueuedRequest, now: float) -> None:
        """A caller asks for a model."""
        model = request.model
        habits = self.habits.get(model)
        if habits is None:
            if len(self.habits) >= _MOST_MODELS:
                self.habits = {name: one for name, one in self.habits.items() if one.are_about(now)}
            habits = self.habits[model] = Habits()
        habits.ask(request, now)

    def waits(self, caller: str, model: str, more: int, now: float) -> None:
        """So many more requests of a caller wait for a model, or so many less."""
        if habits := self.habits.get(model):
            habits.wait(caller, more, now)

    def division(self, model: str, now: float) -> Division:
        """How the quota for a model is divided now."""
        known = self._divisions.get(model)
        if known is None or not known.at <= now <= known.until:
            if len(self._divisions) >= _MOST_MODELS:
                self._divisions.clear()
            known = self._divisions[model] = Division(self, model, now)
        return known

    def hold(self, request: QueuedRequest, now: float) -> float:
        """Seconds for which a request has to leave what there is to others; 0 where it may start."""
        division = self.division(request.model, now)
        if not division.is_over(request, now):
            return 0.0
        size, at = division.size(request.usual), now - division.at
        opens = division.spare.opens(size, at)
        return min(opens - at, max(_AGAIN, division.until - now)) if opens > at else 0.0

    def hold_batch(self, request: QueuedRequest, now: float) -> float:
        """Seconds for which batch work has to leave what there is to people; 0 where it may start."""
        division = self.division(request.model, now)
        size, at = division.size_left(request.usual), now - division.at
        opens = division.left.opens(size, at)
        wait = min(opens - at, max(_AGAIN, division.until - now)) if opens > at else 0.0
        return max(wait, self.pace(request.model).wait(now))

    def slots(self, model: str) -> frozenset[WindowSpec]:
        """The limits of how much is under way at once that a request for a model takes from."""
        return frozenset(s for _, offer in self._offers(model) for s in offer.windows if s.unit == "concurrent")

    def kept_slots(self, model: str, queues: Mapping[str, ModelQueue], now: float) -> Reservation:
        """The slots that batch work for a model leaves free; in a turn while people wait, not all of a limit."""
        division = self.division(model, now)
        kept = division.kept
        if kept and any(other in queues and queues[other].people for other in division.rivals):
            kept = [spec for spec in kept if self._has_batch(spec)]
        return Reservation({spec.id: 1 for spec in kept}, -math.inf)

    def beyond(self, share: float, model: str) -> Reservation:
        """What of each limit stays free, where only a share of it may be taken, rounded up."""
        specs = {spec for _, offer in self._offers(model) for spec in offer.windows}
        return Reservation({s.id: math.floor((1 - share) * self.windows.window(s).limit) for s in specs}, -math.inf)

    def slots_for_batch(self, model: str, queues: Mapping[str, ModelQueue], now: float) -> list[_SlotsOfKey]:
        """What has to be free of each key for batch work to start; empty where nothing is kept."""
        kept = self.kept_slots(model, queues, now).needs
        if not kept:
            return []
        return [
            _SlotsOfKey(at, [(s, 1 + kept.get(s.id, 0)) for s in offer.windows if s.unit == "concurrent"])
            for at, offer in self._offers(model)
        ]

    def hold_slot(self, request: QueuedRequest, queues: Mapping[str, ModelQueue], now: float) -> float:
        """Seconds for which batch work has to leave the slots that are free to people; 0 where it may start."""
        window = self.windows.window
        keys = self.slots_for_batch(request.model, queues, now)
        waits = (max([at, *(window(spec).wait(free, now) for spec, free in slots)]) for at, slots in keys)
        wait = min(waits, default=0.0)
        return wait if math.isfinite(wait) else 0.0  # what can never start is refused by the pool

    def _has_batch(self, spec: WindowSpec) -> bool:
        window = self.windows.window(spec)
        return isinstance(window, Semaphore) and window.has_batch

    def pace(self, model: str) -> BatchPace:
        """The pace of batch work for a model."""
        if model not in self._paces and len(self._paces) >= _MOST_MODELS:
            self._paces.clear()
        return self._paces.setdefault(model, BatchPace())

    def took(self, request: QueuedRequest, now: float) -> None:
        """A request has started."""
        division = self.division(request.model, now)
        size, at = division.size(request.usual), now - division.at
        if "left" in vars(division):
            division.left.take(size, at)
        if not request.interactive:
            self.pace(request.model).start(division.seconds(request.usual), now)
        if division.keeps and (not request.interactive or division.is_over(request, now)):
            division.spare.take(size, at)

    def candidates(self, model: str) -> Iterable[_SharedKey]:
        """How a usual request for a model may be served."""
        usual = self.habits[model].usual if model in self.habits else None
        seen = set()
        for available, offer in self._offers(model):
            specs = tuple(spec for spec in offer.windows if spec.unit != "concurrent")
            if specs not in seen:
                seen.add(specs)
                needs = tuple((s, max(1, usual.part(s.unit, s.amount)[0]) if usual else 1) for s in specs)
                yield _SharedKey(offer.key, available, needs)


@dataclass(slots=True)
class BatchPace:
    """The pace at which batch work starts: that at which windows give back.

    It is kept as the moment at which all that has started would have been given back at that pace (the generic cell
    rate algorithm of ITU-T I.371, 1996).

    Example:
        >>> pace = BatchPace()
        >>> pace.wait(10.0)
        0.0
        >>> pace.start(2.0, now=10.0)
        >>> pace.wait(11.0)
        0.5
    """

    _even: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until more may start."""
        return max(0.0, self._even - _BURST - now)

    def start(self, seconds: float, now: float) -> None:
        """Something has started that takes so long to be given back."""
        self._even = max(self._even, now) + seconds


_MEMORY = 60.0  # seconds of a caller's own time, after which what it did counts for a third; less sees bursts, no habit
_SILENT = 4.0  # of a caller's usual pauses between occasions, after which it is taken to have left …
_GONE = 75.0  # … and seconds after which any caller is …
_SEVERAL_GONE = 40.0  # … or one that asked for several at once, and never again
_ABOUT = 300.0  # seconds after which nobody is about who asks now and then
_AT_ONCE = 1.0  # seconds between requests that are of one occasion
_ONE = 1.5  # requests on one occasion, beyond which these are several
_FEW = 64  # callers that are kept without a look whether they have left
_LEARN = 0.1  # of a request, in what one usually takes


@dataclass(slots=True)
class Habit:
    """One caller's requests for one model."""

    tenant: Tenant = ("", "")
    weight: float = 1.0
    at: float = 0.0
    waiting: int = 0
    _asked: float = 0.0
    _occasions: float = 0.0
    _comes_back: bool = False  # whether it has asked on more than one occasion
    _free: float = 0.0  # seconds in which it could ask
    _pause: float = math.inf
    _last: float = 0.0  # when it asked
    _seen: float = 0.0  # when it asked or was served

    def ask(self, now: float) -> None:
        """Count a request."""
        self._pass(now)
        if not self._asked:
            self._occasions = 1.0
        elif now - self._last > _AT_ONCE:
            self._comes_back = True
            self._pause = self._free / self._occasions
            self._occasions += 1.0
        self._asked += 1.0
        self._last = self._seen = now

    def wait(self, more: int, now: float) -> None:
        """So many more of its requests wait, or so many less."""
        self._pass(now)
        self.waiting += more
        self._seen = now

    def rate(self, now: float) -> float:
        """Requests a second that are to be expected; infinite where only one occasion is known and it is just over."""
        if self.is_gone(now):
            return 0.0
        self._pass(now)
        if not self._comes_back and self.at_once > _ONE and now - self._seen >= _SEVERAL_GONE:
            return 0.0
        return self._asked / self._free if self._free else math.inf

    @property
    def at_once(self) -> float:
        """How many it asks on one occasion, on average."""
        return self._asked / self._occasions if self._occasions else 1.0

    def is_gone(self, now: float) -> bool:
        """Whether it has been silent for too long."""
        return not self.waiting and now - self._seen > min(_GONE, _SILENT * max(_AT_ONCE, self._pause))

    def _pass(self, now: float) -> None:
        if not self.waiting:
            fades = math.exp(min(0.0, self.at - now) / _MEMORY)
            self._asked *= fades
            self._occasions *= fades
            self._free = self._free * fades + _MEMORY * (1.0 - fades)
        self.at = max(self.at, now)


class Habits:
    """How often the callers of one model ask, from what they did lately: what quota is to be kept for them."""

    # The rate of a caller is the number of its requests over the time in which it could have made them: while it waits,
    # it makes none. Both fade with that time, so a caller that waited for a minute is as well known as before.
    #
    # A caller that has asked for several at once may be about to do so again, or may never come back. So much is
    # expected of it for a while: once use is spread over a window, that keeps nothing idle.

    def __init__(self) -> None:
        self._callers: dict[str, Habit] = {}
        self._most = _FEW
        self._usual = (1.0, 1.0)
        self._last = -math.inf  # when anybody asked or was served

    @property
    def usual(self) -> Cost:
        """What a request takes, on average."""
        return Cost(round(self._usual[0]), round(self._usual[1]))

    def ask(self, request: QueuedRequest, now: float) -> None:
        """A caller asks for something."""
        caller, usual = request.caller.name, request.usual
        if len(self._callers) >= self._most:
            self.of(now)
            self._most = 2 * len(self._callers) + _FEW
        prompt, completion = self._usual if self._callers else (usual.prompt, usual.completion)
        self._usual = prompt + _LEARN * (usual.prompt - prompt), completion + _LEARN * (usual.completion - completion)
        habit = self._callers.get(caller)
        if habit is None:
            habit = self._callers[caller] = Habit(at=now)
        habit.tenant, habit.weight = request.tenant, request.weight
        habit.ask(now)
        self._last = now

    def wait(self, caller: str, more: int, now: float) -> None:
        """So many more requests of a caller wait, or so many less."""
        if habit := self._callers.get(caller):
            habit.wait(more, now)
            self._last = now

    def of(self, now: float) -> Mapping[str, Habit]:
        """The callers that have lately asked."""
        self._callers = {name: habit for name, habit in self._callers.items() if not habit.is_gone(now)}
        return self._callers

    def are_about(self, now: float) -> bool:
        """Whether anybody may ask: who comes now and then does so for longer than a rate of requests is known."""
        return now - self._last <= _ABOUT or bool(self.of(now))
