"""What counts of one limit: requests not sent yet, in flight and counted, and what several of them need together."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from jupyter_server_ext.config import Counts
    from jupyter_server_ext.keys.windows.learnt import TravelMargin
    from jupyter_server_ext.keys.windows.memory import Semaphore
    from jupyter_server_ext.keys.windows.window import TimeWindow

    RateWindow: TypeAlias = TimeWindow | Semaphore
    Offers: TypeAlias = Sequence["Offer"]
    Reservations: TypeAlias = Sequence["Reservation"]

_LATEST = 10.0  # seconds after which a refusal is no longer explained by an unconfirmed expiry
BATCH = "\0batch"  # ends the name under which a caller's batch work counts
OTHERS = -math.inf  # when an entry was reserved that stands for the use of others


class Excess(NamedTuple):
    """How far one reservation is above the average of what it is for."""

    spread: int  # the part of it that is
    swing: int  # its share in what several need together, squared; at least ``spread``


EXACT = Excess(0, 0)


class ReservationVariance:
    """How far some reservations reach above what they take on average, each by itself and all together."""

    # Each alone has to be so large that hardly any answer exceeds it. Together they need less, as answers don't all
    # turn out long at once: the excess over their means adds up as the root of the sum of squares, as independent
    # tolerances.

    __slots__ = ("_squares", "_sum")

    def __init__(self, reservations: Iterable[Excess] = ()) -> None:
        self._sum = 0
        self._squares = 0
        for excess in reservations:
            self.add(excess)

    def add(self, excess: Excess) -> None:
        """One more reservation."""
        self._sum += excess.spread
        self._squares += excess.swing * excess.swing

    def drop(self, excess: Excess) -> None:
        """One less."""
        self._sum -= excess.spread
        self._squares -= excess.swing * excess.swing

    def saved(self, more: Excess = EXACT) -> float:
        """By how much less they need together than one by one, with another one."""
        if not self._sum:
            return 0.0
        return max(0.0, self._sum + more.spread - math.sqrt(self._squares + more.swing * more.swing))


@dataclass(slots=True, eq=False)
class WindowEntry:
    """One request's part in one window, from its reservation until the window lets it go."""

    amount: int  # what it takes
    prompt: int  # the part of ``amount`` that any provider counts at admission
    asked: int  # the ``max_tokens`` it was sent with
    taken: float  # when it was reserved
    used: int  # how much was used when it was reserved, itself included
    excess: Excess = EXACT  # how far ``amount`` is above the average
    caller: str = ""  # whose request it is; empty where that is unknown
    sent: float = math.inf  # when it was on its way
    counted: float = math.inf  # when the provider had surely counted it, if it did not travel for too long …
    answered: float = math.inf  # … and when an answer proved that
    expires: float = math.inf  # when the window lets it go
    settled: bool = False
    bound: int = 0  # the number of the lower bound that it is not included in

    @classmethod
    def over(cls, amount: int, taken: float, answered: float, caller: str = "") -> Self:
        """The entry of something that has ended."""
        return cls(amount, 0, 0, taken, 0, caller=caller, answered=answered, settled=True)

    @property
    def likely(self) -> int:
        """What it is likely to take in the end."""
        return self.amount if self.settled else self.amount - self.excess.spread

    @property
    def last_seen(self) -> float:
        """When an entry that is over was counted at the latest."""
        return max(self.counted, self.answered) if self.answered < math.inf else self.counted


class UsageLog:
    """All entries of one window, in the order in which they are let go."""

    def __init__(self, end: Callable[[float], float], margin: TravelMargin) -> None:
        self.end = end  # when the window ends of what is counted at a moment
        self._margin = margin  # how long a request may travel
        self.used = 0  # what counts, in all
        self.others = 0  # of that, what others were seen to use
        self.by_caller: Counter[str] = Counter()  # of that, what each caller uses
        self.variance = ReservationVariance()  # of what counts and is not settled
        self.unsent: dict[WindowEntry, None] = {}  # reserved and not sent
        self.in_flight: dict[WindowEntry, None] = {}  # sent and not known to be counted; the first was sent first
        self.open: dict[WindowEntry, None] = {}  # counted and not settled
        self._counted: deque[WindowEntry] = deque()  # the first expires first
        self._unconfirmed: deque[WindowEntry] = deque()  # expired, if their answers proved nothing later

    def __iter__(self) -> Iterator[WindowEntry]:
        return chain(self._counted, self.in_flight, self.unsent)

    def reserve(self, entry: WindowEntry) -> None:
        """Count an entry from now on."""
        self.use(entry, entry.amount)
        self.variance.add(entry.excess)
        self.unsent[entry] = None

    def use(self, entry: WindowEntry, more: int) -> None:
        """So much more is used by an entry, or so much less."""
        self.used += more
        if entry.caller:
            self.by_caller[entry.caller] += more
            if not self.by_caller[entry.caller]:
                del self.by_caller[entry.caller]

    def leave(self, entry: WindowEntry) -> bool:
        """An entry is neither unsent nor in flight any more; False if it was neither before."""
        return self.unsent.pop(entry, True) is None or self.in_flight.pop(entry, True) is None

    def arrive(self, entry: WindowEntry, at: float) -> bool:
        """An entry that was unsent or in flight was counted by a moment; False if it was neither."""
        if self.leave(entry):
            self.count(entry, at)
            return True
        return False

    def settle(self, entry: WindowEntry) -> None:
        """The amount of a counted entry is known."""
        if self.open.pop(entry, False) is None:
            self.variance.drop(entry.excess)

    def count(self, entry: WindowEntry, at: float) -> None:
        """An entry was counted at a moment, and not before the one counted last."""
        entry.counted = max(at, self._counted[-1].counted) if self._counted else at
        entry.expires = self.end(entry.counted)
        self._counted.append(entry)
        if not entry.settled:
            self.open[entry] = None

    def add_over(self, entry: WindowEntry, at: float) -> None:
        """Count something that has ended, from a moment on."""
        self.use(entry, entry.amount)
        self.count(entry, at)

    def expire(self, now: float) -> None:
        """Let go what has expired; a calendar day ends by this machine's clock as it is set now."""
        log = self._counted
        while log:
            first = log[0]
            if first.counted <= now:
                first.expires = self.end(first.counted)
            if first.expires > now:
                break
            log.popleft()
            self.use(first, -first.amount)
            self.settle(first)
            if first.taken == OTHERS:
                self.others -= first.amount
            elif first.answered > first.counted:
                self._unconfirmed.append(first)
        while self._unconfirmed and self._surely_expires(self._unconfirmed[0]) <= now - _LATEST:
            self._unconfirmed.popleft()

    def unconfirmed(self, taken: float) -> int:
        """What had expired by this log at a moment, and by the provider's perhaps not, as its answer came late."""
        return sum(one.amount for one in self._unconfirmed if one.expires <= taken < self._surely_expires(one))

    def newer_than(self, entry: WindowEntry, *, with_open: bool) -> dict[WindowEntry, None]:
        """All that the header of the answer to ``entry`` may not have included; open entries perhaps not in full."""
        newer = {**self.in_flight, **self.unsent}
        if with_open:
            newer |= self.open
        for other in reversed(self._counted):
            if other.counted < entry.taken:
                break
            if other is not entry:
                newer[other] = None
        return newer

    def recount_at_ends(self) -> None:
        """Have entries count when they end: those that are over did so then, and open ones are in flight again."""
        over = sorted((entry for entry in self._counted if entry.settled), key=lambda entry: entry.last_seen)
        self._counted.clear()
        for entry in self.open:
            entry.counted = entry.expires = math.inf
        self.in_flight, self.open = self.open | self.in_flight, {}
        for entry in over:
            self.count(entry, entry.last_seen)

    def frees(self, now: float) -> Iterator[tuple[str, float, int]]:
        """The caller, the seconds until it is let go and the likely amount of each entry."""
        for entry in self:
            yield entry.caller, max(0.0, self._expiry(entry, now) - now), entry.likely

    def seconds_until(self, lacking: int, now: float, longest: float) -> float:
        """Seconds until so much is let go."""
        for entry in self:
            lacking -= entry.amount
            if lacking <= 0:
                return max(0.0, self._expiry(entry, now) - now)
        return longest

    def _expiry(self, entry: WindowEntry, now: float) -> float:
        # When an entry will be let go, if it travels for as long as it may.
        if entry.expires < math.inf:
            return entry.expires
        return self.end(max(now, min(now, entry.sent) + self._margin.seconds))

    def _surely_expires(self, entry: WindowEntry) -> float:
        return self.end(entry.answered) if entry.answered < math.inf else math.inf


# A *rate window* counts one limit: so many requests or tokens in so many seconds, or so many at once, for one key or
# for all keys of a quota group. A request reserves its part of every window of a key at once, or of none; what it has
# reserved is a ``Grant``, which is settled when the answer has ended. Time is always an argument, in the seconds of a
# monotonic clock.


Unit = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrent"]


class Cost(NamedTuple):
    """What one request takes, besides itself."""

    prompt: int = 0  # tokens it sends
    completion: int = 0  # tokens it gets, or is expected to get
    asked: int = 0  # the ``max_tokens`` it is sent with, 0 without
    known: bool = False  # whether the provider has counted these tokens, rather than we
    spread: int = 0  # the part of ``completion`` that is above what such answers take on average
    swing: int = 0  # how far above that one of several may be; at least ``spread``

    def of(self, unit: Unit) -> int:
        """The amount this cost has in ``unit``."""
        if unit == "tokens":
            return self.prompt + self.completion
        if unit == "input_tokens":
            return self.prompt
        return self.completion if unit == "output_tokens" else 1

    def part(self, unit: Unit, limit: int) -> tuple[int, Excess]:
        """What is reserved of a window with this limit, and how far that is above the average.

        An answer of unknown length is expected to fit the window, or it could never be asked for.
        """
        amount = self.of(unit)
        if unit not in {"tokens", "output_tokens"}:
            return amount, EXACT
        excess = amount - limit
        if excess <= 0 or self.asked or excess >= self.completion:
            return amount, Excess(self.spread, self.swing)
        return limit, Excess(max(0, self.spread - excess), self.swing)


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One limit of one quota group."""

    id: str  # unique name, ``group/model/unit/seconds``; windows with the same id share their count
    unit: Unit  # what is counted; ``concurrent`` counts what is in flight and has no seconds
    amount: int  # how much of it is allowed
    seconds: float = 0.0  # the length of the window
    zone: str = ""  # time zone whose midnight ends the window, for a limit of a calendar day
    model: str = ""  # the model it is for, empty for all models together
    assumed: bool = False  # whether it is a preset's rather than configured, so that headers go before it
    bucket: bool = False  # whether it is known to be a token bucket
    counts: Counts = ""  # when the provider counts a request, where that is known


class Offer(NamedTuple):
    """A key that could serve a request, with the windows it would take from."""

    key: str
    windows: tuple[WindowSpec, ...]


class Observation(NamedTuple):
    """One window in a provider's headers: its limit, what is left, seconds until it is full again."""

    # ``rounding`` is how far ``reset`` may be off because the provider rounds it.

    window: str
    limit: int
    remaining: int
    reset: float | None = None
    rounding: float = 0.01


class Reservation(NamedTuple):
    """What the request at the head of a queue needs and cannot have yet; others may take only what doesn't delay it."""

    needs: Mapping[str, int]  # how much of which window, by its id
    by: float  # when it can have that


class Refused(NamedTuple):
    """No key has room. ``wait`` is when ``key`` will, in seconds from now; infinite when none ever can."""

    wait: float
    key: str = ""


@dataclass(slots=True)
class Grant:
    """What one request has reserved of a key's windows, with its entry in each."""

    key: str
    cost: Cost
    at: float
    windows: tuple[WindowSpec, ...]
    entries: Sequence[tuple[RateWindow, WindowEntry]]


class WindowReport(NamedTuple):
    """One window for the status page."""

    used: int  # what counts now
    others: int  # of that, what others were seen to use
    limit: int  # the effective limit
    wait: float  # seconds until there is room for one
    observed: bool = False  # whether headers show it
    bucket: bool = False  # whether it is taken for a token bucket
    counts: str = ""  # when the provider is believed to count, in words; empty where that is not learnt yet


# Requests in flight are taken off, as they may be counted already. A bucket gains at its rate and holds no more than
# its limit, and here each request empties it as late as it may have: when it had surely been counted. That is the
# tightest bound there is: a bucket's level is the least of ``limit + rate · (now - x) - what was counted since x``,
# over all ``x`` in the past, and the later a request is counted, the more of these it is in.


class RemainingLowerBound:
    """What is left at least."""

    def __init__(self, limit: int, rate: float = 0.0, *, full: bool = False) -> None:
        self.limit = limit  # the most that a bucket holds
        self.rate = rate  # what a bucket gains a second; 0 where it is none
        self._level = float(limit if full else 0)  # full is a bucket of which nothing was taken yet
        self._at = 0.0
        self._in_flight = 0  # taken off, and perhaps not counted yet
        self._variance = ReservationVariance()  # of what is not settled and was taken off
        self._number = 1
        self._peaks: dict[WindowEntry, float] = {}  # of what was counted and is not settled: the highest level since
        self._since = -math.inf  # what was counted by then is in the header that it is from …
        self.by: WindowEntry | None = None  # … and so is the request that it answered

    def left(self, now: float, excess: Excess = EXACT) -> float:
        """How much is left at least, if so far above the average."""
        return self._level_at(now) - self._in_flight + self._variance.saved(excess)

    def set(
        self,
        left: float,
        missed: Iterable[WindowEntry],  # what may not be included, and has been taken off
        now: float,
        *,
        by: WindowEntry | None = None,  # the request whose answer had the header
        since: float = -math.inf,  # what was counted before is included, whatever it turns out to be
    ) -> None:
        """Begin anew with so much that is left at least."""
        self._level, self._at = left + self._in_flight, now
        self._number += 1
        self._variance = ReservationVariance()
        self._since, self.by = since, by
        self._peaks = {}
        for entry in missed:
            if not entry.settled:
                self._add(entry)
                self._peaks[entry] = self._level

    def reserve(self, entry: WindowEntry) -> None:
        """Take off an entry, which may be counted from now on."""
        self._in_flight += entry.amount
        self._add(entry)

    def count(self, entry: WindowEntry, at: float) -> None:
        """Empty a bucket by an entry that was counted by ``at``."""
        self._in_flight -= entry.amount
        self.lower(entry.amount, at)
        if entry.amount > 1:
            self._peaks[entry] = self._level

    def uncount(self, entry: WindowEntry) -> None:
        """An entry may be counted only later; the bound is to be set anew."""
        self._in_flight += entry.amount

    def cancel(self, entry: WindowEntry) -> None:
        """Give back an entry that will never be counted."""
        self._in_flight -= entry.amount
        self.settle(entry)

    def settle(self, entry: WindowEntry) -> None:
        """The amount of an entry is known."""
        if entry.bound == self._number:
            entry.bound = 0
            self._variance.drop(entry.excess)

    def lower(self, amount: float, at: float) -> None:
        """Empty a bucket by so much, counted at ``at``."""
        level = self._level_at(at)
        for entry, peak in self._peaks.items() if self.rate else ():
            self._peaks[entry] = max(peak, level)
        self._level, self._at = level - amount, max(self._at, at)

    def change(self, entry: WindowEntry, more: int, now: float) -> None:
        """Correct an entry by so much more, unless the header that the bound is from had included it."""
        if entry.counted >= self._since and entry is not self.by:
            self.correct(entry, more, now)

    def correct(self, entry: WindowEntry, more: int, now: float) -> None:
        """Correct an entry by so much more than it was counted with."""
        # Where it took less, the bucket was fuller since then, and may have been full: only that is given back which it
        # had room for all the time.
        self.lower(0, now)
        peak = self._peaks.pop(entry, self.limit)
        if more < 0 and self.rate:
            more = -min(-more, max(0, math.floor(self.limit - peak)))
            self._peaks = {
                other: max(high, peak - more) if other.counted < entry.counted else high - more
                for other, high in self._peaks.items()
            }
        self._level -= more

    def _level_at(self, now: float) -> float:
        return min(self.limit, self._level + max(0.0, now - self._at) * self.rate) if self.rate else self._level

    def _add(self, entry: WindowEntry) -> None:
        entry.bound = self._number
        self._variance.add(entry.excess)
