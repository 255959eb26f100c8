"""One limit, counted so that no provider's way of counting is ever overrun, and used to the last request."""

# Why it is never overrun
# -----------------------
# A request that leaves us at ``s`` is counted by the provider at some ``u`` that we do not
# know, ``s ≤ u ≤ r``, where ``r`` is when its answer began. We hold it until ``c + W``: ``W`` is the length of the
# window, and ``c = min(r, s + jitter)``; where answers often come within the jitter, one that does not is suspicious,
# and ``c = min(r, s + 5 jitter)``: a machine that stalls costs no refusal then, and to wait for an answer that comes
# soon costs nothing. Take a later request, counted at ``u'``, for which we saw room at ``s' ≤ u'``. Whatever we had let
# go by then has ``u + W ≤ c + W ≤ s' ≤ u'``: the provider has let it go too, as long as no request travels for more
# than ``jitter`` (and when an answer comes sooner, not even that is assumed). So at most ``limit`` are counted in any
# ``W`` seconds of the provider's own time, and that is the tightest reading there is:
#
# - *rolling window*: it is that condition;
# - *fixed window*, wherever it starts, also if the first request after a pause starts it: it is one stretch of ``W``
#   seconds;
# - *token bucket* of size ``limit``, refilled at ``limit / W``: in a stretch of length ``x`` we send at most
#   ``limit · ⌈x / W⌉ ≤ limit + x · limit / W``, which the bucket holds and gains.
#
# Some providers count a request only when it ends, at ``e``. Then it is held from ``s`` to ``e + W``, so that a rolling
# window gives ``limit`` in ``W + e - s``: a request in flight may be counted at any moment from now on. That is
# believed where headers show less than had surely arrived (``Charging``), where it is configured, and for a while after
# a refusal that it explains and where answers take long.
#
# Clocks are never compared: only lengths of time are, and those of two machines differ by millionths. A clock that is
# being set right may run slow for a while, so a window is held for 1 % longer than it is, and a bucket is taken to
# refill 1 % slower. That costs little: the next header shows what a bucket has gained besides.
#
# Why it is used to the last
# --------------------------
# The log alone loses ``c - s`` per window, the way to the provider, and the initial fill of
# a bucket is used only once in ``W``. Headers show the rest: ``remaining`` is what could still be taken at ``u``. Less
# all that it may not have included, which is what was in flight or sent since, that is a ``RemainingLowerBound`` of
# what is left now, whatever the way of counting, since what is left only grows by itself. A bucket gives itself away
# (``BucketDetector``): its time to full is ``used · W / limit`` over a range of ``used``, as with no window of another
# kind; from then on the bound rises at ``limit / W``, and where a bucket is configured, from the start. Room is the
# larger of the log's and the bound's.
#
# Headers that refusals have belied are not believed (``HeaderReliability``). In the other direction: when less is left
# than all that we may have sent explains, others use the same quota, or it is counted differently. The difference goes
# into the log.
#
# What answers in flight need
# ---------------------------
# The length of an answer is unknown. What is reserved for one is hardly ever exceeded; what is reserved for several is
# what they need together (``ReservationVariance``), which is much less.
#
# When tokens are counted
# -----------------------
# Some providers count an answer's tokens when they admit the request, some when it ends, some count ``max_tokens`` and
# give nothing back. Until headers show which, the safe reading holds: an answer counts from its end.

from __future__ import annotations

import math
from itertools import chain
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.learnt import (
    BucketDetector,
    Charging,
    EffectiveLimit,
    HeaderReliability,
    TravelMargin,
)
from jupyter_server_ext.keys.windows.projection import WindowProjection
from jupyter_server_ext.keys.windows.usage import (
    EXACT,
    OTHERS,
    RemainingLowerBound,
    ReservationVariance,
    UsageLog,
    WindowEntry,
    WindowReport,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.keys.windows.usage import Cost, Excess, Observation, RateWindow, WindowSpec

SKEW = 15.0  # seconds that a provider's clock may differ from ours at its midnight

_SLOW = 0.01  # of its pace that a provider's clock may lose: windows are held so much longer, buckets refill slower …
_LONGEST_SLOW = 6.0  # … but no window for more seconds than these
_CAUTION = 0.5  # more of what an answer may exceed the average by, in a bucket: what stays in it is not lost


class TimeWindow:
    """The count of one limit of so many in so many seconds."""

    def __init__(
        self,
        spec: WindowSpec,
        jitter: float,  # seconds that a request may travel until the provider has counted it
        # For a calendar day: the next reset after a moment, both in the seconds of the caller's clock.
        midnight: Callable[[float], float] | None = None,
        *,
        shared: bool = False,
    ) -> None:
        self.spec = spec  # as configured
        self.siblings = 0  # what other gateways use
        self.limit = spec.amount  # the effective limit, which refusals and headers may have lowered
        self.is_bucket = spec.bucket and not shared
        self._is_shared = shared  # whether other gateways take from the same limit, so that headers show less
        self._length = spec.seconds + min(_SLOW * spec.seconds, _LONGEST_SLOW)
        self._margin = TravelMargin(jitter, spec.seconds)
        if midnight is None:
            self._log = UsageLog(lambda counted: counted + self._length, self._margin)
        else:
            self._log = UsageLog(lambda counted: midnight(counted + SKEW) + SKEW, self._margin)
        self._bound = RemainingLowerBound(self.limit, full=spec.bucket)
        self._effective = EffectiveLimit(spec)
        self._detector = BucketDetector(spec.seconds, configured=spec.bucket)
        self._headers = HeaderReliability(spec.seconds)
        self._is_observed = False  # whether headers ever showed it
        # When the provider counts a request, as far as is learnt.
        self.charging = Charging(spec.unit, spec.seconds, spec.counts)
        self._counts_at_end = self.charging.is_late  # whether a request is taken as counted only at its end
        self._kept: list[tuple[WindowEntry, Cost]] = []  # at ``max_tokens``, which the provider may keep
        self._set_limit()

    @property
    def used(self) -> int:
        """What counts, but for what other gateways use; perhaps some more than at this moment."""
        return self._log.used

    def room(self, now: float, excess: Excess = EXACT) -> float:
        """How much can be taken now, if so far above the average; lets go what has expired."""
        self._advance(now)
        by_log: float = self.limit - self._log.used - self.siblings
        if self._is_shared:  # no header includes what the siblings have sent since
            return by_log
        by_log += self._log.variance.saved(excess)
        bound = self._bound.left(now, excess)
        if self.is_bucket and bound < self.limit:
            bound -= _CAUTION * excess.spread
        return min(self.limit, bound) if bound > by_log else by_log

    def wait(self, amount: int, now: float, excess: Excess = EXACT) -> float:
        """Seconds until an amount can be taken; infinite when it is more than the limit ever allows."""
        if amount > self.limit:
            return math.inf
        lacking = amount - self.room(now, excess)
        if lacking <= 0:
            return 0.0
        by_log = self._log.seconds_until(amount - (self.limit - self._log.used - self.siblings), now, self.spec.seconds)
        return min(by_log, lacking / self._bound.rate) if self.is_bucket else by_log

    def reserve(self, cost: Cost, now: float, caller: str = "") -> WindowEntry:
        """Take a request's part for a caller; ``room`` has shown that there is enough."""
        amount, excess = cost.part(self.spec.unit, self.limit)
        used = self._log.used + amount
        entry = WindowEntry(amount, min(amount, cost.prompt), cost.asked, now, used, excess, caller)
        self._log.reserve(entry)
        self._bound.reserve(entry)
        self.charging.reserved(entry)
        return entry

    def sent(self, entry: WindowEntry, now: float) -> None:
        """Note that an entry is on its way."""
        if entry in self._log.unsent:
            del self._log.unsent[entry]
            entry.sent = now
            self._log.in_flight[entry] = None

    def counted(self, entry: WindowEntry, now: float) -> None:
        """Note that the provider has counted an entry by now."""
        self._advance(now)
        entry.answered = min(entry.answered, now)
        self._margin.answered(now - entry.sent)
        if not self._counts_at_end and self._log.arrive(entry, now):
            self._bound.count(entry, now)

    def settle(self, entry: WindowEntry, cost: Cost, now: float) -> None:
        """End an entry at its final cost; the change is made where the entry stands."""
        self.counted(entry, now)
        if entry.settled:
            return
        if self._counts_at_end:
            entry.answered = now
            if self._log.arrive(entry, now):
                self._bound.count(entry, now)
        entry.settled = True
        self._log.settle(entry)
        self._bound.settle(entry)
        self.charging.settled(entry, cost, now)
        if entry.asked > 0 and self.charging.may_keep:
            self._change(entry, cost.prompt + max(cost.completion, entry.asked), now)
            self._kept.append((entry, cost))
        elif self.charging.at_once:
            self._change(entry, cost.of(self.spec.unit), now)
        else:
            self._change_from_now(entry, cost, now)
        self._follow_charging(now)

    def cancel(self, entry: WindowEntry) -> None:
        """Give back an entry that was never sent."""
        if self._log.leave(entry):
            self._log.use(entry, -entry.amount)
            self._log.variance.drop(entry.excess)
            self._bound.cancel(entry)
            self.charging.cancelled(entry)
            entry.settled = True

    def observe(self, entry: WindowEntry, seen: Observation, now: float) -> None:
        """Learn from the headers of the answer to an entry that has been counted."""
        self._effective.observe(seen.limit)
        self._is_observed = True
        are_believed = self._headers.are_believed(now)
        self.is_bucket = self._detector.looks_like_one(seen, believed=are_believed) and not self._is_shared
        self._set_limit()
        missed = self._log.newer_than(entry, with_open=not self.charging.at_once)
        included = entry.prompt if entry in missed and not self._counts_at_end else 0  # of the entry, in the header
        newer = sum(other.amount for other in missed) - included + self.siblings
        variance = ReservationVariance(other.excess for other in missed if not other.settled)
        remaining = seen.remaining - max(0, seen.limit - self.limit)  # of what is ours, if that is less
        at_least = remaining - newer + variance.saved()
        at_most = remaining + 1 + (now - entry.taken) * self._bound.rate
        if are_believed and not at_least <= self._bound.left(now) <= at_most:
            self._bound.set(remaining - newer, missed, now, by=entry, since=entry.taken)
        refill = seen.limit / self.spec.seconds if self._detector.is_possible else 0.0
        self.charging.observe(entry, seen.limit - seen.remaining, refill, now)
        explained = entry.used + newer + self._log.unconfirmed(entry.taken)
        unexplained = seen.limit - seen.remaining - explained
        if unexplained > (0 if self.spec.unit == "requests" else 0.02 * self.limit):
            self._log.others += unexplained
            self._log.add_over(WindowEntry.over(unexplained, OTHERS, now), now)
        self._follow_charging(now)

    def resemble(self, other: RateWindow, now: float) -> None:
        """Be a bucket like another window of the same key, unless headers show otherwise."""
        is_open = not self.is_bucket and not self._is_observed and not self._detector.is_refuted
        if is_open and other.is_bucket:
            self._take_for_bucket(now)

    def on_refusal(self, entry: WindowEntry, now: float) -> None:
        """Learn from the provider's refusal of an entry for which there was room."""
        # Perhaps requests before the entry had travelled for longer than the margin, or are counted when they end: that
        # is allowed for. Otherwise a lower limit holds, until that is disproved, unless headers show that it is full.
        is_explained = self._is_observed and self._counts_now(now) >= self.limit
        if self.is_bucket and not self._is_observed:
            self._detector.is_refuted, self.is_bucket = True, False
            self._set_limit()
        self._bound.set(0.0, (), now, since=now)
        if self._is_observed and entry.used > self.limit:
            self._headers.belied(now)
        unconfirmed = self._log.unconfirmed(entry.taken)
        used = entry.used + unconfirmed + self.siblings
        may_be_late = (unconfirmed or self.is_bucket) and used > self.limit
        if may_be_late and self._margin.explains(entry.taken, now, self.charging):
            self._follow_charging(now)
        elif not self.charging.explains(entry) and not is_explained:
            self._effective.lower(max(1, min(self.limit, used) - entry.amount), entry.taken, now)
        self._set_limit()

    def restore(self, amount: int, at: float, now: float) -> None:
        """Count what was used at ``at``, before this window was made; calls come in the order of time."""
        self._advance(now)
        counted = at + self._margin.seconds
        if self._log.end(counted) > now:
            self._log.add_over(WindowEntry.over(amount, at, counted), counted)
            self._bound.lower(amount, counted)

    def reconfigure(self, spec: WindowSpec, now: float) -> None:
        """Have another limit from now on, or know more of it."""
        before, self.spec = self.spec, spec
        self._effective.spec = spec
        self._detector.is_configured = spec.bucket
        self._set_limit()
        if spec.bucket and not before.bucket and not self._is_shared:
            self._detector.is_refuted = False
            self._take_for_bucket(now)
        if spec.counts != before.counts:
            self.charging.configure(spec.counts)
            self._follow_charging(now)

    def project(self, now: float) -> WindowProjection:
        """How the window will be, if what is in flight ends as expected."""
        left = self.room(now)
        frees: list[tuple[float, float]] = [(seconds, amount) for _, seconds, amount in self._log.frees(now)]
        if self.siblings:  # is over at some time of a window
            frees += [(part * self._length / 4, self.siblings / 4) for part in range(1, 5)]
            frees.sort()
        saved = 0.0 if self._is_shared else self._log.variance.saved()
        by_log = self.limit - self._log.used - self.siblings + saved
        return WindowProjection(self.limit, by_log, self._length, frees, left, self._bound.rate, self.limit)

    def used_by(self, caller: str, now: float | None = None) -> int:
        """What a caller uses, as far as this process knows; without ``now`` perhaps some more."""
        if now is not None:
            self._advance(now)
        return self._log.by_caller.get(caller, 0)

    def frees(self, now: float) -> Iterator[tuple[str, float, int]]:
        """The caller, the seconds and the amount of everything that will be given back, in the order of time."""
        return (free for free in self._log.frees(now) if free[0])

    def report(self, now: float) -> WindowReport:
        """The state of the window, for the status page."""
        wait, used = self.wait(1, now), self._counts_now(now)
        learnt = self._is_observed, self.is_bucket, self.charging.in_words
        return WindowReport(used, self._log.others, self.limit, wait, *learnt)

    def _counts_now(self, now: float) -> int:
        # What counts now; of a bucket, what it lacks.
        return math.ceil(self.limit - self.room(now)) if self.is_bucket else self._log.used + self.siblings

    def _advance(self, now: float) -> None:
        # Let go what has expired, and take as counted what has travelled for too long to wait for its answer.
        log = self._log
        while log.in_flight and not self._counts_at_end:
            entry = next(iter(log.in_flight))
            counted = entry.sent + self._margin.patience
            if counted > now:
                break
            log.arrive(entry, counted)
            self._bound.count(entry, counted)
        log.expire(now)
        if self._effective.advance(now):
            self._set_limit()
        if self._margin.advance(now, self.charging):
            self._follow_charging(now)

    def _change(self, entry: WindowEntry, amount: int, now: float) -> None:
        more, entry.amount = amount - entry.amount, amount
        if entry.expires > now:
            self._log.use(entry, more)
        self._bound.change(entry, more, now)

    def _change_from_now(self, entry: WindowEntry, cost: Cost, now: float) -> None:
        # The prompt stays where it was counted; the answer counts from now.
        included = entry.prompt - cost.prompt if entry is self._bound.by else 0  # its prompt was in the header
        self._bound.correct(entry, cost.prompt + included - entry.amount, now)
        self._bound.lower(cost.completion, now)
        if entry.expires > now:
            self._log.use(entry, cost.prompt - entry.amount)
        entry.amount = cost.prompt
        if cost.completion > 0:
            self._log.add_over(WindowEntry.over(cost.completion, entry.taken, now, entry.caller), now)

    def _follow_charging(self, now: float) -> None:
        # Act on what is learnt of the moment at which the provider counts, and of what it keeps.
        if self._kept and not self.charging.may_keep:
            kept, self._kept = self._kept, []
            for entry, cost in kept:
                self._change(entry, cost.prompt + cost.completion, now)
        if self._counts_at_end == self.charging.is_late:
            return
        self._counts_at_end = self.charging.is_late
        if self._counts_at_end:
            for entry in self._log.open:
                self._bound.uncount(entry)
            self._log.recount_at_ends()
            # Headers were misread: the bound begins anew.
            not_counted = chain(self._log.in_flight, self._log.unsent)
            self._bound.set(self.limit - self._log.used, not_counted, now)

    def _take_for_bucket(self, now: float) -> None:
        left = max(self._bound.left(now), self.limit - self._log.used)
        self.is_bucket = True
        self._set_limit()
        self._bound.set(left, chain(self._log.open, self._log.in_flight, self._log.unsent), now)

    def _set_limit(self) -> None:
        self.limit = self._bound.limit = self._effective.limit
        self._bound.rate = self.limit / self.spec.seconds * (1 - _SLOW) if self.is_bucket else 0.0
