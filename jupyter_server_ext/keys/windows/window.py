"""One limit, counted so that no provider's way of counting is ever overrun, and so that it is used to the last request.

Why it is never overrun
-----------------------
A request that leaves us at ``s`` is counted by the provider at some ``u`` that we do not know, ``s ≤ u ≤ r``, where
``r`` is when its answer began. We hold it until ``c + W``: ``W`` is the length of the window, and ``c = min(r, s +
jitter)``; where answers often come within the jitter, one that does not is suspicious, and ``c = min(r, s + 5
jitter)``: a machine that stalls costs no refusal then, and to wait for an answer that comes soon costs nothing. Take a
later request, counted at ``u'``, for which we saw room at ``s' ≤ u'``. Whatever we had let go by then has ``u + W ≤ c +
W ≤ s' ≤ u'``: the provider has let it go too, as long as no request travels for more than ``jitter`` (and when an
answer comes sooner, not even that is assumed). So at most ``limit`` are counted in any ``W`` seconds of the provider's
own time, and that is the tightest reading there is:

- *rolling window*: it is that condition;
- *fixed window*, wherever it starts, also if the first request after a pause starts it: it is one stretch of ``W``
  seconds;
- *token bucket* of size ``limit``, refilled at ``limit / W``: in a stretch of length ``x`` we send at most
  ``limit · ⌈x / W⌉ ≤ limit + x · limit / W``, which the bucket holds and gains.

Some count a request only when it ends, at ``e``. Then it is held from ``s`` to ``e + W``, so that a rolling window
gives ``limit`` in ``W + e - s``: what is under way may be counted at any moment from now on. That is believed where
headers tell less than had surely arrived (``Charging``), where it is configured, and for a while after a refusal that
it explains and where answers take long.

Clocks are never compared: only lengths of time are, and those of two machines differ by millionths. A clock that is
being set right may run slow for a while, so a window is held for 1 % longer than it is, and a bucket is taken to refill
1 % slower. That costs little: what a bucket has gained besides, the next header tells.

Why it is used to the last -------------------------- The log alone loses ``c - s`` per window, the way to the
provider, and the initial fill of a bucket is used only once in ``W``. Headers tell the rest. ``remaining`` said at
``u`` how much could still be taken. Less all that it may not have included, which is what was under way or sent
since, that is a ``RemainingLowerBound`` under what is left now, whatever the way of counting, since what is left only
grows by itself. A bucket gives itself away: its time to full is ``used · W / limit`` over a range of ``used``, which
no window of another kind says; from then on the floor rises at ``limit / W``, and where it is configured to be one,
from the start. Room is the larger of what the log and the floor say.

Headers that were belied by refusals are not believed (``HeaderReliability``). In the other direction: when less is
left than all that we may have sent explains, others use the same quota, or it is counted differently. The difference
goes into the log.

What answers under way need
---------------------------
Nobody knows how long an answer gets. What is reserved for one is hardly ever exceeded; what is reserved for several is
what they need together (``ReservationVariance``), which is much less.

When tokens are counted
-----------------------
Some providers count an answer's tokens when they admit the request, some when it ends, some count ``max_tokens`` and
give nothing back. Until headers tell which, the safe reading holds: an answer counts from its end.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from itertools import chain
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.bucket_detector import IN_WORDS, BucketSign, Charging
from jupyter_server_ext.keys.windows.effective_limit import EffectiveLimit
from jupyter_server_ext.keys.windows.header_reliability import HeaderReliability
from jupyter_server_ext.keys.windows.lower_bound import RemainingLowerBound
from jupyter_server_ext.keys.windows.projection import WindowProjection
from jupyter_server_ext.keys.windows.travel_margin import TravelMargin
from jupyter_server_ext.keys.windows.unconfirmed import UnconfirmedExpiries
from jupyter_server_ext.keys.windows.variance import EXACT, ReservationVariance

from .base import WindowReport
from .entry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jupyter_server_ext.keys.windows.variance import Above

    from .base import Cost, Seen, WindowSpec

SKEW = 15.0
"""Seconds that a provider's clock may differ from ours at its midnight."""

_SLOW = (
    0.01  # of its pace that a provider's clock may lose: windows are held for so much longer, buckets refill slower …
)
_LONGEST_SLOW = 6.0  # … but no window for more seconds than these
_CAUTION = 0.5  # more of what an answer may exceed the average by, in a bucket: what stays in it is not lost
_NEVER = -math.inf  # when an entry was taken that others used


class Window:
    """One limit over one length of time.

    Args:
        spec: The limit.
        jitter: Seconds that a request may travel.
        midnight: For a calendar day: the next reset after a moment, both in the seconds of the caller's clock.

    Example:
        >>> from jupyter_server_ext.keys.windows.base import Cost, WindowSpec
        >>> window = Window(WindowSpec("k", "requests", 2, 60.0), jitter=0.25)
        >>> for second in (0.0, 10.0):
        ...     entry = window.take(Cost(), second)
        ...     window.counted(entry, second + 0.1)
        >>> window.room(20.0), round(window.wait(1, 20.0), 3)
        (0.0, 40.7)
    """

    def __init__(self, spec: WindowSpec, jitter: float, midnight: Callable[[float], float] | None = None) -> None:
        self.spec = spec
        self.limit = spec.amount
        self.used = 0
        self.others = 0  # of that, what others were seen to use
        self.takers: Counter[str] = Counter()  # of that, what each caller uses
        self.is_shared = False  # whether other gateways, our siblings, take from the same limit
        self.siblings = 0  # what they use, not part of ``used``
        self._length = spec.seconds + min(_SLOW * spec.seconds, _LONGEST_SLOW)
        self._margin = TravelMargin(jitter, spec.seconds)
        self._midnight = midnight
        self._unsent: dict[Entry, None] = {}
        self._under_way: dict[Entry, None] = {}  # sent, not known to be counted; the first was sent first
        self._log: deque[Entry] = deque()  # counted; the first expires first
        self._doubts = UnconfirmedExpiries(self._end)
        self._open: dict[Entry, None] = {}  # in the log and not settled
        self._spread = ReservationVariance()  # of what counts and is not settled
        self._floor = RemainingLowerBound(self.limit)
        self._believed = EffectiveLimit(spec)
        self._contradicted_at = -math.inf
        self._sign = BucketSign(spec.seconds)
        self._trust = HeaderReliability(spec.seconds)
        self.is_told = False  # whether headers ever told of it
        self._is_no_bucket = False  # whether taking it for one has failed
        self._kept: list[tuple[Entry, Cost]] = []
        self.charging = Charging(spec.unit, spec.seconds, spec.counts)
        self._ends_count = self.charging.is_late  # whether a request is taken as counted only at its end
        if spec.bucket:
            self._become_bucket()
            self._floor.fill()

    def share(self) -> None:
        """Other gateways take from it, too."""
        self.is_shared, self._floor.rate = True, 0.0

    def room(self, now: float, above: Above = EXACT) -> float:
        """How much can be taken now, if so far ``above`` the average."""
        self._advance(now)
        by_log: float = self.limit - self.used - self.siblings
        if self.is_shared:  # a header does not tell what the siblings have sent since
            return by_log
        by_log += self._spread.saved(above)
        floor = self._floor.left(now, above)
        if self.is_bucket and floor < self.limit:
            floor -= _CAUTION * above.spread
        return min(self.limit, floor) if floor > by_log else by_log

    def wait(self, amount: int, now: float, above: Above = EXACT) -> float:
        """Seconds until ``amount`` can be taken; infinite when it is more than the limit ever allows."""
        if amount > self.limit:
            return math.inf
        lacking = amount - self.room(now, above)
        if lacking <= 0:
            return 0.0
        by_log = self._log_gives(amount, now)
        return min(by_log, lacking / self._floor.rate) if self.is_bucket else by_log

    def take(self, cost: Cost, now: float, taker: str = "") -> Entry:
        """Take a request's part for a caller; there is room, as was seen."""
        amount, above = cost.part(self.spec.unit, self.limit)
        entry = Entry(amount, min(amount, cost.prompt), cost.asked, now, self.used + amount, above, taker)
        self._use(entry, amount)
        self._spread.add(entry.above)
        self._floor.take(entry)
        self.charging.opened(entry)
        self._unsent[entry] = None
        return entry

    def sent(self, entry: Entry, now: float) -> None:
        """``entry`` is on its way."""
        if entry in self._unsent:
            del self._unsent[entry]
            entry.sent = now
            self._under_way[entry] = None

    def counted(self, entry: Entry, now: float) -> None:
        """The provider has counted ``entry`` by now."""
        self._advance(now)
        entry.answered = min(entry.answered, now)
        self._margin.answered(now - entry.sent)
        if not self._ends_count:
            self._arrive(entry, now)

    def settle(self, entry: Entry, cost: Cost, now: float) -> None:
        """``entry`` is over and has cost this; the change is made where it stands."""
        self.counted(entry, now)
        if entry.settled:
            return
        if self._ends_count:
            entry.answered = now
            self._arrive(entry, now)
        entry.settled = True
        if self._open.pop(entry, False) is None:
            self._spread.drop(entry.above)
        self._floor.settle(entry)
        self.charging.settled(entry, cost, now)
        if self.charging.keeps_all(entry):
            self._change(entry, cost.prompt + max(cost.completion, entry.asked), now)
            self._kept.append((entry, cost))
        elif self.charging.at_once:
            self._change(entry, cost.of(self.spec.unit), now)
        else:
            self._change_from_now(entry, cost, now)
        self._give_back_kept(now)
        self._follow_charging(now)

    def cancel(self, entry: Entry) -> None:
        """``entry`` was never sent."""
        if self._unsent.pop(entry, False) is None or self._under_way.pop(entry, False) is None:
            self._use(entry, -entry.amount)
            self._spread.drop(entry.above)
            self._floor.cancel(entry)
            self.charging.cancelled(entry)
            entry.settled = True

    def observe(self, entry: Entry, seen: Seen, now: float) -> None:
        """Learn from the headers of the answer to ``entry``, which has been counted."""
        self._believed.tell(seen.limit)
        self._set_limit()
        self.is_told = True
        self._look_for_bucket(seen, now)
        missed = self._newer_than(entry)
        told = entry.prompt if entry in missed and not self._ends_count else 0  # of it, the header has this
        newer = sum(other.amount for other in missed) - told + self.siblings
        spread = ReservationVariance.of(other.above for other in missed if not other.settled)
        remaining = seen.remaining - max(0, seen.limit - self.limit)  # of what is ours, if that is less
        floor = remaining - newer + spread.saved()
        at_most = remaining + 1 + (now - entry.taken) * self._floor.rate
        if self._trust.holds(now) and not floor <= self._floor.left(now) <= at_most:
            self._floor.set(remaining - newer, missed, now, by=entry, since=entry.taken)
        refill = seen.limit / self.spec.seconds if self._sign.is_possible else 0.0
        self.charging.seen(entry, seen.limit - seen.remaining, refill, now)
        unexplained = (seen.limit - seen.remaining) - (entry.used + newer + self._doubts.at(entry.taken))
        if unexplained > (0 if self.spec.unit == "requests" else 0.02 * self.limit):
            self._others_used(unexplained, now)
        self._follow_charging(now)

    def like(self, other: Window, now: float) -> None:
        """Take this for a bucket as ``other`` is, where headers tell of that one and never of this one.

        What is left by the log is what such a bucket has at least.
        """
        if other.is_bucket and not self.is_bucket and not self.is_told and not self._is_no_bucket:
            self._take_for_bucket(now)

    def contradicted(self, entry: Entry, now: float) -> None:
        """The provider refused ``entry`` although there was room.

        Perhaps requests before it had travelled for longer than the margin, or are counted when they end: that is
        allowed for. Otherwise a lower limit is believed, until that is disproved, unless headers tell that it is full.
        """
        is_explained = self.is_told and self._taken(now) >= self.limit
        if self.is_bucket and not self.is_told:
            self._is_no_bucket, self._floor.rate = True, 0.0
        self._floor.set(0.0, (), now, since=now)
        if self.is_told and entry.used > self.limit:
            self._trust.belied(now)
        doubts = self._doubts.at(entry.taken)
        used = entry.used + doubts + self.siblings
        is_late = (doubts or self.is_bucket) and used > self.limit and self._suspect_lateness(entry, now)
        if not is_late and not self.charging.contradicted(entry) and not is_explained:
            self._believed.lower(max(1, min(self.limit, used) - entry.amount), entry.taken, now)
        self._set_limit()

    def restore(self, amount: int, at: float, now: float) -> None:
        """Count what was used at ``at``, before this window was made; calls come in the order of time."""
        self._advance(now)
        entry = Entry(amount, 0, 0, at, 0)
        entry.counted = entry.answered = at + self._margin.seconds
        entry.settled = True
        entry.expires = self._end(entry.counted)
        if entry.expires > now:
            self._log.append(entry)
            self.used += amount
            self._floor.lower(amount, entry.counted)

    def reconfigure(self, spec: WindowSpec, now: float) -> None:
        """Another amount is configured, or more is known of it."""
        before, self.spec = self.spec, spec
        self._believed.spec = spec
        self._set_limit()
        if spec.bucket and not before.bucket and not self.is_shared:
            self._is_no_bucket = False
            self._take_for_bucket(now)
        if spec.counts != before.counts:
            self.charging.configure(spec.counts)
            self._follow_charging(now)

    def outlook(self, now: float) -> WindowProjection:
        """How it will be, if what is under way ends as expected."""
        left = self.room(now)  # lets go what is over
        frees: list[tuple[float, float]] = [
            (max(0.0, self._expiry(entry, now) - now), entry.likely) for entry in self._all()
        ]
        if self.siblings:  # is over at some time of a window
            frees += [(part * self._length / 4, self.siblings / 4) for part in range(1, 5)]
            frees.sort()
        by_log = self.limit - self.used - self.siblings + (0.0 if self.is_shared else self._spread.saved())
        return WindowProjection(self.limit, by_log, self._length, frees, left, self._floor.rate, self.limit)

    def frees(self, now: float) -> Iterator[tuple[str, float, int]]:
        """Of whom how much is let go in how many seconds, in the order of time."""
        for entry in self._all():
            if entry.taker:
                yield entry.taker, max(0.0, self._expiry(entry, now) - now), entry.likely

    def _all(self) -> Iterable[Entry]:
        """What counts, in the order in which it is let go."""
        return chain(self._log, self._under_way, self._unsent)

    @property
    def is_bucket(self) -> bool:
        """Whether it is taken for one."""
        return self._floor.rate > 0

    def report(self, now: float) -> WindowReport:
        """Its state, for the status page."""
        wait = self.wait(1, now)
        return WindowReport(
            self._taken(now), self.others, self.limit, wait, self.is_told, self.is_bucket, self._counts_in_words
        )

    def _taken(self, now: float) -> int:
        """What counts now; of a bucket, what it lacks."""
        if self.is_bucket:
            return math.ceil(self.limit - self.room(now))
        return self.used + self.siblings

    @property
    def _counts_in_words(self) -> str:
        return IN_WORDS["late" if self.charging.is_late else self.charging.kind]

    def _take_for_bucket(self, now: float) -> None:
        """From now on; by the log, so much is left at least."""
        left = max(self._floor.left(now), self.limit - self.used)
        self._become_bucket()
        self._floor.set(left, chain(self._open, self._under_way, self._unsent), now)

    def _become_bucket(self) -> None:
        self._floor.rate = self.limit / self.spec.seconds * (1 - _SLOW)

    @property
    def _is_bucket_by_hand(self) -> bool:
        return self.spec.bucket and not self._is_no_bucket

    def _look_for_bucket(self, seen: Seen, now: float) -> None:
        """Whether it is one, by headers, or by what is configured as long as no header says otherwise."""
        is_sure = self._sign.look(seen) and self._trust.holds(now)
        if not self.is_shared and (is_sure or (self._is_bucket_by_hand and self._sign.is_possible)):
            self._become_bucket()
        else:
            self._floor.rate = 0.0

    def _end(self, counted: float) -> float:
        if self._midnight is None:
            return counted + self._length
        return self._midnight(counted + SKEW) + SKEW

    def _expiry(self, entry: Entry, now: float) -> float:
        if entry.expires < math.inf:
            return entry.expires
        return self._end(max(now, min(now, entry.sent) + self._margin.seconds))

    def _advance(self, now: float) -> None:
        """Forget what has expired, and take as counted what has travelled for too long to wait for its answer."""
        while self._under_way and not self._ends_count:
            entry = next(iter(self._under_way))
            counted = entry.sent + self._margin.patience
            if counted > now:
                break
            self._arrive(entry, counted)
        log = self._log
        while log and self._first_end(now) <= now:
            entry = log.popleft()
            self._use(entry, -entry.amount)
            if self._open.pop(entry, False) is None:
                self._spread.drop(entry.above)
            if entry.taken == _NEVER:
                self.others -= entry.amount
            elif entry.answered > entry.counted:
                self._doubts.add(entry)
        self._doubts.forget(now)
        if self._believed.advance(now):
            self._set_limit()
        if self._margin.is_over(now):
            self._calm_down(now)

    def _first_end(self, now: float) -> float:
        """When the first in the log is let go; a calendar day ends by this machine's clock as it is set now."""
        first = self._log[0]
        if self._midnight is not None and first.counted <= now:
            first.expires = self._end(first.counted)
        return first.expires

    def _suspect_lateness(self, entry: Entry, now: float) -> bool:
        """Allow for a later count of what was sent before ``entry``, which was refused; False where all was allowed.

        Where answers are prompt, a network that stalls is allowed for, by a wider margin. Where they take long, perhaps
        the provider counts a request when it ends. Requests that were refused together do so once.
        """
        is_stall = self._margin.is_prompt or self.charging.is_late
        if is_stall and self._margin.is_widest:
            return False
        if entry.taken >= self._contradicted_at:
            self._contradicted_at = now
            self._margin.rest(now)
            if is_stall:
                self._margin.widen()
            else:
                self.charging.suspect_lateness()
                self._follow_charging(now)
        return True

    def _calm_down(self, now: float) -> None:
        """Try what was believed before the last such refusal."""
        was_suspected = self.charging.is_suspected
        if was_suspected:
            self.charging.trust()
            self._follow_charging(now)
        self._margin.narrow(now, later=was_suspected)

    def _follow_charging(self, now: float) -> None:
        """Do as is believed of the moment at which the provider counts."""
        if self._ends_count == self.charging.is_late:
            return
        self._ends_count = self.charging.is_late
        if self._ends_count:
            self._await_ends(now)

    def _await_ends(self, now: float) -> None:
        """What was taken as counted at its arrival is counted at its end."""
        log, self._log = self._log, deque()
        for entry in self._open:
            self._floor.uncount(entry)
            entry.counted = entry.expires = math.inf
        self._under_way, self._open = self._open | self._under_way, {}
        for entry in sorted((entry for entry in log if entry.settled), key=_last_seen):
            self._to_log(entry, _last_seen(entry))
        self._floor.set(self.limit - self.used, chain(self._under_way, self._unsent), now)  # headers were misread

    def _arrive(self, entry: Entry, at: float) -> None:
        """``entry``, which was unsent or under way, was counted by ``at``."""
        if self._unsent.pop(entry, True) is None or self._under_way.pop(entry, True) is None:
            self._floor.count(entry, at)
            self._to_log(entry, at)

    def _to_log(self, entry: Entry, counted: float) -> None:
        entry.counted = max(counted, self._log[-1].counted) if self._log else counted
        entry.expires = self._end(entry.counted)
        self._log.append(entry)
        if not entry.settled:
            self._open[entry] = None

    def _change(self, entry: Entry, amount: int, now: float) -> None:
        more = amount - entry.amount
        entry.amount = amount
        if entry.expires > now:
            self._use(entry, more)
        self._floor.change(entry, more, now)

    def _change_from_now(self, entry: Entry, cost: Cost, now: float) -> None:
        """The prompt stays where it was counted; the answer counts from now."""
        told = entry.prompt - cost.prompt if self._floor.is_from(entry) else 0  # its prompt was in the header
        self._floor.correct(entry, cost.prompt + told - entry.amount, now)
        self._floor.lower(cost.completion, now)
        if entry.expires > now:
            self._use(entry, cost.prompt - entry.amount)
        entry.amount = cost.prompt
        if cost.completion > 0:
            late = Entry(cost.completion, 0, 0, entry.taken, 0, taker=entry.taker)
            late.settled = True
            late.answered = now
            self._use(late, late.amount)
            self._to_log(late, now)

    def _give_back_kept(self, now: float) -> None:
        """What was kept in case the provider keeps it, when it is known not to."""
        if self._kept and not self.charging.may_keep:
            kept, self._kept = self._kept, []
            for entry, cost in kept:
                self._change(entry, cost.prompt + cost.completion, now)

    def _newer_than(self, entry: Entry) -> dict[Entry, None]:
        """All that the header of the answer to ``entry`` may not have included, or not in full."""
        newer = {**self._under_way, **self._unsent}
        if not self.charging.at_once:
            newer |= self._open
        for other in reversed(self._log):
            if other.counted < entry.taken:
                break
            if other is not entry:
                newer[other] = None
        return newer

    def _log_gives(self, amount: int, now: float) -> float:
        """Seconds until the log alone gives room for ``amount``."""
        lacking = amount - (self.limit - self.used - self.siblings)
        for entry in self._all():
            lacking -= entry.amount
            if lacking <= 0:
                return max(0.0, self._expiry(entry, now) - now)
        return self.spec.seconds

    def _others_used(self, amount: int, now: float) -> None:
        entry = Entry(amount, 0, 0, _NEVER, 0)
        entry.settled = True
        entry.answered = now
        self.used += amount
        self.others += amount
        self._to_log(entry, now)

    def _use(self, entry: Entry, more: int) -> None:
        """So much more of it is used by an entry, or so much less."""
        self.used += more
        if entry.taker:
            self.takers[entry.taker] += more
            if not self.takers[entry.taker]:
                del self.takers[entry.taker]

    def _set_limit(self) -> None:
        self.limit = self._floor.limit = self._believed.limit
        if self.is_bucket:
            self._become_bucket()


def _last_seen(entry: Entry) -> float:
    """When an entry that is over was counted at the latest."""
    return max(entry.counted, entry.answered) if entry.answered < math.inf else entry.counted
