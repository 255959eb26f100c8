"""What counts of one limit: requests not sent yet, in flight and counted, and what several of them need together."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jupyter_server_ext.keys.windows.learnt import TravelMargin

_LATEST = 10.0  # seconds after which a refusal is no longer explained by an unconfirmed expiry
OTHERS = -math.inf
"""When an entry was reserved that stands for the use of others."""


class Excess(NamedTuple):
    """How far one reservation is above the average of what it is for."""

    spread: int  # the part of it that is
    swing: int  # its share in what several need together, squared; at least ``spread``


EXACT = Excess(0, 0)


class ReservationVariance:
    """How far some reservations reach above what they take on average, each by itself and all together.

    Example:
        >>> variance = ReservationVariance([Excess(30, 30), Excess(40, 40)])
        >>> variance.saved()  # 50 are enough for both
        20.0
        >>> round(variance.saved(Excess(120, 120)), 3)  # and 130 for these and another
        60.0
    """

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
        """When an entry will be let go, if it travels for as long as it may."""
        if entry.expires < math.inf:
            return entry.expires
        return self.end(max(now, min(now, entry.sent) + self._margin.seconds))

    def _surely_expires(self, entry: WindowEntry) -> float:
        return self.end(entry.answered) if entry.answered < math.inf else math.inf
