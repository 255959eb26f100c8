"""What is learnt of a provider: limits, whether headers are reliable, delays, token buckets, when requests count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from .usage import Cost, Observation, Unit, WindowEntry, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jupyter_server_ext.config import Counts

    _Made = Callable[["_UseReading"], tuple[float, float]]

_CALM = 10  # windows without a refusal, after which what it taught is tried again without
_LONGEST = 86_400.0  # seconds that anything learnt is kept
_OFTEN_BELIED = 4  # refusals of what was left by headers, after which they are not believed
_PATIENCE = 5  # times the margin, that an answer is waited for where answers often come within it …
_OFTEN_PROMPT = 0.25  # … which this share of them is
_LEARNING = 0.03  # of one answer, in the share of those within the margin
_WIDEST = 4  # times the margin, that refusals can make it


class EffectiveLimit:
    """The least of the configured limit, the one in headers, and what refusals leave; headers go before a preset's."""

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec  # the configured limit
        self._observed = 0  # in headers, last
        self._left = math.inf  # after a refusal that our count does not explain
        self._patience = spec.seconds
        self._raise_at = math.inf
        self._refused_at = -math.inf

    @property
    def limit(self) -> int:
        """How much may be taken in one window."""
        most = self._observed or self.spec.amount
        return int(max(1, min(most if self.spec.assumed else min(most, self.spec.amount), self._left)))

    def observe(self, limit: int) -> None:
        """Take the limit of a header."""
        if limit > 0:
            self._observed = limit

    def lower(self, limit: int, taken: float, now: float) -> None:
        """Lower the limit for a while, and longer each time, after the refusal of a request ``taken`` then."""
        if limit >= self.limit:
            return
        self._left = limit
        self._raise_at = now + self._patience
        if taken >= self._refused_at:
            self._refused_at = now
            self._patience = min(self._patience * 2, _LONGEST)

    def advance(self, now: float) -> bool:
        """Try a higher limit when it is time to, and one still higher a window later; whether it was time."""
        if now < self._raise_at:
            return False
        self._left += max(1, self._left // 4)
        most = self._observed if self.spec.assumed and self._observed else self.spec.amount
        self._raise_at = now + self.spec.seconds if self._left < most else math.inf
        return True


class HeaderReliability:
    """Whether headers are believed that leave more than our own count: some are of another limit, or wrong."""

    def __init__(self, window: float) -> None:
        self._least = self._calm = _CALM * window
        self._times = 0
        self._belied_at = -math.inf
        self._believed_from = -math.inf

    def are_believed(self, now: float) -> bool:
        """Whether headers are believed at this moment."""
        return now >= self._believed_from

    def belied(self, now: float) -> None:
        """Learn from a refusal of what was left by headers."""
        if not self.are_believed(now):
            return
        if now - self._belied_at > self._calm + self._least:
            self._times, self._calm = 0, self._least
        self._belied_at = now
        self._times += 1
        if self._times >= _OFTEN_BELIED:
            self._believed_from, self._times = now + self._calm, _OFTEN_BELIED - 1
            self._calm = min(2 * self._calm, _LONGEST)


class TravelMargin:
    """Seconds that a request may travel: as configured, and wider for a while after a refusal that this explains."""

    def __init__(self, seconds: float, window: float) -> None:
        self.seconds = self._least = seconds  # as configured
        self._prompt = 0.6  # share of answers that came within it
        self._calm = _CALM * window
        self._calm_at = math.inf
        self._refused_at = -math.inf

    @property
    def _is_prompt(self) -> bool:
        # Whether answers often come within it.
        return self._prompt > _OFTEN_PROMPT

    @property
    def patience(self) -> float:
        """Seconds after which a request counts that has had no answer yet."""
        return self.seconds * (_PATIENCE if self._is_prompt else 1)

    def answered(self, seconds: float) -> None:
        """Learn that an answer began so many seconds after its request."""
        self._prompt += _LEARNING * ((seconds <= self.seconds) - self._prompt)

    def explains(self, taken: float, now: float, charging: Charging) -> bool:
        """Allow for a later count of what was sent before a refused request; False where all was allowed."""
        # Where answers are prompt, a network that stalls is allowed for, by a wider margin. Where they take long,
        # perhaps the provider counts a request when it ends. Requests that were refused together do so once.
        is_stall = self._is_prompt or charging.is_late
        if is_stall and self.seconds >= _WIDEST * self._least:
            return False
        if taken >= self._refused_at:
            self._refused_at = now
            self._calm_at = now + self._calm
            if is_stall:
                self.seconds *= 2
            else:
                charging.is_suspected = True
        return True

    def advance(self, now: float, charging: Charging) -> bool:
        """Try half the margin, and earlier counts, when it is time to; whether it was."""
        # Where a later count had been suspected, the next try of that comes twice as late.
        if now < self._calm_at:
            return False
        if charging.is_suspected:
            charging.is_suspected = False
            self._calm = min(2 * self._calm, _LONGEST)
        self.seconds = max(self._least, self.seconds / 2)
        self._calm_at = now + self._calm if self.seconds > self._least else math.inf
        return True


class BucketDetector:
    """Recognises a token bucket by its headers: the time to full is ``used · W / limit`` over a range of ``used``."""

    def __init__(self, seconds: float, *, configured: bool = False) -> None:
        self._seconds = seconds  # the length of the window
        self._low = self._high = 0
        self._fits = 0
        self._is_sure = False
        # Whether it is configured to be a bucket, which holds until a header or a refusal shows otherwise.
        self.is_configured = configured
        self.is_refuted = False  # whether taking it for one has failed
        self.is_possible = True  # by the last headers

    def looks_like_one(self, seen: Observation, *, believed: bool) -> bool:
        """Take in one reply's headers; whether they show a bucket, if they are believed, or leave a configured one."""
        is_sure = self._look(seen) and believed
        return is_sure or (self.is_configured and not self.is_refuted and self.is_possible)

    def _look(self, seen: Observation) -> bool:
        used = seen.limit - seen.remaining
        if seen.reset is None or used <= 0 or seen.limit <= 0:
            return self._is_sure
        unit = self._seconds / seen.limit
        self.is_possible = abs(seen.reset - used * unit) <= unit + seen.rounding
        if not self.is_possible:
            self._fits, self._is_sure = 0, False
            return False
        self._low = min(self._low, used) if self._fits else used
        self._high = max(self._high, used) if self._fits else used
        self._fits += 1
        # Another kind of window fits by accident only within a unit or two of one value.
        if self._fits >= 3 and self._high - self._low >= 4 + 2 * seen.rounding / unit:
            self._is_sure = True
        return self._is_sure


_BLIND = 8  # requests after which a provider without headers is taken not to send any
_OPENING = 40  # requests after a pause from which it is learnt when tokens are counted …
_ENOUGH = 3  # … and how many of them it takes, unless the first was alone
_SURE = 10  # readings after which half as much is used no longer because answers came in another order
_LISTENING = 0.9  # of the window: nothing expires meanwhile
_TRAVEL = 0.25  # seconds by which the end of an answer may be counted before we see it
_ARRIVED = 1.0  # seconds after which a request has surely reached the provider

Charges = Literal["unknown", "admission", "end", "asked", "late"]
_IN_WORDS: Mapping[Charges, str] = {
    "unknown": "",
    "admission": "arrival",
    "end": "prompt at arrival, answer at its end",
    "asked": "max_tokens at arrival",
    "late": "end",
}


class _UseReading(NamedTuple):
    """The use that headers show."""

    entry: WindowEntry  # the request whose answer had them
    at: float  # when they came
    used: int  # how much is used
    refill: float  # how much a bucket regains a second, if it may be one


# When headers were made, at the soonest and the latest: by a provider that makes them as a request arrives, or as it is
# answered.
_MADE: tuple[_Made, ...] = (
    lambda reading: (reading.entry.taken, min(reading.at, reading.entry.sent + _ARRIVED)),
    lambda reading: (max(reading.entry.taken, reading.at - _TRAVEL), reading.at),
)


class _Opening(NamedTuple):
    """One of the first requests after a pause; until its cost is known, the most that it may be."""

    entry: WindowEntry
    cost: Cost
    end: float
    is_known: bool


class Charging:
    """Learns when a provider counts what a request takes, from the first requests after a pause."""

    # After a pause nothing is used, and nothing expires for a while. So the use in headers lies between what was surely
    # counted by that time and what may have been. Each way of counting has its own bounds, if headers are made as a
    # request arrives, and if they are made as it is answered; the way that is left when the others were out of theirs
    # is the provider's. All may be counted at ``admission``, as nearly all providers do; or ``late``, at the end; of
    # tokens also the prompt at admission and the answer at its ``end``, or as many as were ``asked`` for at admission.

    def __init__(self, unit: Unit, seconds: float, configured: Counts = "") -> None:
        self._unit = unit  # what is counted
        self._listening = _LISTENING * seconds
        # The first requests; their costs, and when they ended.
        self._opening: dict[WindowEntry, tuple[Cost, float] | None] = {}
        self._readings: list[_UseReading] = []
        self._settled = 0
        self._sees_headers = False
        self.configure(configured)

    def configure(self, counts: Counts) -> None:
        """Have requests count at this moment; empty is to be learnt."""
        known: dict[Counts, Charges] = {"": "unknown", "arrival": "admission", "end": "late"}
        self.kind = self._configured = known[counts]
        self.is_suspected = False  # whether a refusal has it that requests are counted late
        self._gives_back = False  # whether what was asked for surely does not count, whichever of the others does

    @property
    def is_late(self) -> bool:
        """Whether a request counts only when it ends."""
        return self.is_suspected or self.kind == "late"

    @property
    def at_once(self) -> bool:
        """Whether all of a request is counted at one moment, as far as is known."""
        return self.kind in {"admission", "asked"} or self.is_late or self._unit != "tokens"

    @property
    def may_keep(self) -> bool:
        """Whether the provider keeps what was asked for, or may."""
        if self._unit != "tokens":
            return False
        if self.kind == "unknown":
            return not self._gives_back and (self._sees_headers or self._settled < _BLIND)
        return self.kind == "asked"

    @property
    def in_words(self) -> str:
        """When requests count, for people; empty where it is unknown."""
        return _IN_WORDS["late" if self.is_late else self.kind]

    def reserved(self, entry: WindowEntry) -> None:
        """A request was reserved: the first after a pause, or one of the next, or a later one."""
        if entry.used == entry.amount:
            self._opening, self._readings = {entry: None}, []
        elif 0 < len(self._opening) < _OPENING and entry.taken < self._start + self._listening:
            self._opening[entry] = None

    def observe(self, entry: WindowEntry, used: int, refill: float, now: float) -> None:
        """Learn that by the headers of the answer to ``entry`` so much is used; a bucket may be refilled at a rate."""
        self._sees_headers = True
        since = now - self._start
        if entry not in self._opening or len(self._opening) >= _OPENING or since >= self._listening:
            return  # of later requests it is not known what they used
        if len(self._readings) > _SURE and used * 2 < max(reading.used for reading in self._readings):
            self._opening = {}  # a window has ended
        else:
            self._readings.append(_UseReading(entry, now, used, refill))

    def settled(self, entry: WindowEntry, cost: Cost, now: float) -> None:
        """A request is over."""
        self._settled += 1
        if entry not in self._opening:
            return
        self._opening[entry] = cost, now
        self._judge(now)
        if self.kind != "unknown" or (len(self._opening) >= _OPENING and all(self._opening.values())):
            self._opening, self._readings = {}, []

    def cancelled(self, entry: WindowEntry) -> None:
        """A request was never sent."""
        self._opening.pop(entry, None)

    def explains(self, entry: WindowEntry) -> bool:
        """Whether a refusal is explained by a provider that gives nothing back, which is believed from now on."""
        explained = self.kind == "unknown" and entry.asked > 0 and self._unit == "tokens"
        if explained:
            self.kind = "asked"
        return explained

    @property
    def _start(self) -> float:
        return next(iter(self._opening)).taken if self._opening else 0.0

    def _judge(self, now: float) -> None:
        are_over = all(self._opening.values())
        readings = [reading for reading in self._readings if are_over or reading.at + _TRAVEL <= now]
        if self._configured != "unknown" or len(readings) < (_ENOUGH if len(self._opening) > 1 else 1):
            return
        costs = [self._opened(entry, end) for entry, end in self._opening.items()]
        kinds: list[Charges] = ["admission", "late"]
        if self._unit == "tokens":
            kinds += ["end", "asked"]
            if all(one.entry.asked <= (one.cost.completion if one.is_known else 0) for one in costs):
                kinds.remove("asked")  # it is the same
        fits = [
            kind
            for kind in kinds
            if any(all(self._fits(kind, reading, made, costs) for reading in readings) for made in _MADE)
        ]
        if len(fits) == 1:
            self.kind = fits[0]
        self._gives_back |= "asked" in kinds and "asked" not in fits and bool(fits)

    def _opened(self, entry: WindowEntry, end: tuple[Cost, float] | None) -> _Opening:
        # What is known of a request: its cost, or the most that it may cost.
        is_known = self._unit == "requests" or (end is not None and end[0].known)
        cost = end[0] if end is not None and is_known else Cost(entry.prompt, entry.amount - entry.prompt)
        return _Opening(entry, cost, end[1] if end is not None else math.inf, is_known)

    def _parts(self, kind: Charges, entry: WindowEntry, cost: Cost) -> tuple[int, int]:
        whole = cost.of(self._unit)
        if kind == "late":
            return 0, whole
        if kind == "end":
            return cost.prompt, cost.completion
        return (cost.prompt + max(cost.completion, entry.asked) if kind == "asked" else whole), 0

    def _fits(self, kind: Charges, reading: _UseReading, made: _Made, opened: Iterable[_Opening]) -> bool:
        soonest, latest = made(reading)
        surely: list[tuple[float, int]] = []  # what was counted by then, and when at the earliest
        most = 0.0
        for entry, cost, end, is_known in opened:
            early, late = self._parts(kind, entry, cost)
            has_arrived = entry is reading.entry or min(entry.answered, entry.sent + _ARRIVED) <= soonest
            if is_known and has_arrived:
                surely.append((entry.taken, early))
            if entry.taken <= latest:
                most += early
            if is_known and end <= soonest:
                surely.append((end - _TRAVEL, late))
            if end <= latest + _TRAVEL:
                most += late
        least = _lacking(surely, reading.refill, latest)
        if self._unit == "requests":
            return least <= reading.used <= most + 1
        return 0.95 * least <= reading.used <= 1.05 * most


def _lacking(taken: list[tuple[float, int]], rate: float, now: float) -> float:
    # What a bucket lacks from which so much was taken at these times; with a rate of 0 the sum.
    lacking, before = 0.0, 0.0
    for at, amount in sorted(taken):
        lacking = max(0.0, lacking - rate * (at - before)) + amount
        before = at
    return lacking - rate * (now - before)
