"""What providers give away by their headers: whether a limit is a bucket, and when requests and their tokens count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from .base import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jupyter_server_ext.config import Counts

    from .base import Seen, Unit
    from .entry import Entry

_BLIND = 8  # requests after which a provider without headers is taken not to send any
_OPENING = 40  # requests after a pause from which it is learnt when tokens are counted …
_ENOUGH = 3  # … and how many of them it takes, unless the first was alone
_SURE = 10  # readings after which half as much is used no longer because answers came in another order
_LISTENING = 0.9  # of the window: nothing expires meanwhile
_TRAVEL = 0.25  # seconds by which the end of an answer may be counted before we see it
_ARRIVED = 1.0  # seconds after which a request has surely reached the provider

Charges = Literal["unknown", "admission", "end", "asked", "late"]
IN_WORDS: Mapping[Charges, str] = {
    "unknown": "",
    "admission": "arrival",
    "end": "prompt at arrival, answer at its end",
    "asked": "max_tokens at arrival",
    "late": "end",
}


class BucketSign:
    """Tells a token bucket by its headers: the time to full is ``used · W / limit`` over a range of ``used``.

    Args:
        seconds: The length of the window.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._low = self._high = 0
        self._fits = 0
        self._sure = False
        self.is_possible = True  # by the last reply that told

    def look(self, seen: Seen) -> bool:
        """Take in one reply's headers; whether it is surely a bucket."""
        used = seen.limit - seen.remaining
        if seen.reset is None or used <= 0 or seen.limit <= 0:
            return self._sure
        unit = self._seconds / seen.limit
        self.is_possible = abs(seen.reset - used * unit) <= unit + seen.rounding
        if not self.is_possible:
            self._fits, self._sure = 0, False
            return False
        self._low = min(self._low, used) if self._fits else used
        self._high = max(self._high, used) if self._fits else used
        self._fits += 1
        # Another kind of window fits by accident only within a unit or two of one value.
        if self._fits >= 3 and self._high - self._low >= 4 + 2 * seen.rounding / unit:
            self._sure = True
        return self._sure


class Reading(NamedTuple):
    """What headers said is used.

    Args:
        entry: The request whose answer had them.
        at: When they came.
        used: How much is used.
        refill: How much a bucket regains a second, if it may be one.
    """

    entry: Entry
    at: float
    used: int
    refill: float


class _Opened(NamedTuple):
    """One of the first requests after a pause; its cost may be the most that it may be, until that is known."""

    entry: Entry
    cost: Cost
    end: float
    is_known: bool


def _said_at_once(reading: Reading) -> tuple[float, float]:
    """When headers were made, at the soonest and the latest, by a provider that makes them as a request arrives."""
    return reading.entry.taken, min(reading.at, reading.entry.sent + _ARRIVED)


def _said_at_last(reading: Reading) -> tuple[float, float]:
    """Likewise, as it is answered."""
    return max(reading.entry.taken, reading.at - _TRAVEL), reading.at


class Charging:
    """Learns when a provider counts what a request takes, from the first requests after a pause.

    After a pause nothing is used, and nothing expires for a while. So what headers then say is used lies between what
    was surely counted by that time and what may have been. Each way of counting has its own bounds, if headers are made
    as a request arrives, and if they are made as it is answered; the way that is left when the others were out of
    theirs is the provider's. All may be counted at ``admission``, as nearly all
    providers do; or ``late``, at the end; of tokens also the prompt at admission and the answer at its ``end``, or as
    many as were ``asked`` for at admission.

    Args:
        unit: What is counted.
        seconds: The length of the window.
        told: When a request counts, where that is configured.
    """

    def __init__(self, unit: Unit, seconds: float, told: Counts = "") -> None:
        self._unit = unit
        self._listening = _LISTENING * seconds
        self._opening: dict[
            Entry, tuple[Cost, float] | None
        ] = {}  # the first requests; their costs, and when they ended
        self._readings: list[Reading] = []
        self._settled = 0
        self._sees_headers = False
        self.configure(told)

    def configure(self, told: Counts) -> None:
        """It is known when a request counts, or not."""
        self._told: Charges = {"": "unknown", "arrival": "admission", "end": "late"}[told]  # type: ignore[assignment]
        self.kind = self._told
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

    def keeps_all(self, entry: Entry) -> bool:
        """Whether all that ``entry`` asked for has to be taken as used."""
        return entry.asked > 0 and self.may_keep

    def opened(self, entry: Entry) -> None:
        """A request was taken: the first after a pause, or one of the next, or a later one."""
        if entry.used == entry.amount:
            self._opening, self._readings = {entry: None}, []
        elif 0 < len(self._opening) < _OPENING and entry.taken < self._start + self._listening:
            self._opening[entry] = None

    def seen(self, entry: Entry, used: int, refill: float, now: float) -> None:
        """The headers of the answer to ``entry`` say that so much is used; a bucket may be refilled at ``refill``."""
        self._sees_headers = True
        since = now - self._start
        if entry not in self._opening or len(self._opening) >= _OPENING or since >= self._listening:
            return  # of later requests it is not known what they used
        if len(self._readings) > _SURE and used * 2 < max(reading.used for reading in self._readings):
            self._opening = {}  # a window has ended
        else:
            self._readings.append(Reading(entry, now, used, refill))

    def settled(self, entry: Entry, cost: Cost, now: float) -> None:
        """A request is over."""
        self._settled += 1
        if entry not in self._opening:
            return
        self._opening[entry] = cost, now
        self._judge(now)
        if self.kind != "unknown" or (len(self._opening) >= _OPENING and all(self._opening.values())):
            self._opening, self._readings = {}, []

    def cancelled(self, entry: Entry) -> None:
        """A request was never sent."""
        self._opening.pop(entry, None)

    def contradicted(self, entry: Entry) -> bool:
        """Whether a refusal is explained by a provider that gives nothing back, which is believed from now on."""
        explained = self.kind == "unknown" and entry.asked > 0 and self._unit == "tokens"
        if explained:
            self.kind = "asked"
        return explained

    def suspect_lateness(self) -> None:
        """A refusal is explained by requests that were counted when they ended."""
        self.is_suspected = True

    def trust(self) -> None:
        """There was no such refusal for long: believe again what was believed before."""
        self.is_suspected = False

    @property
    def _start(self) -> float:
        return next(iter(self._opening)).taken if self._opening else 0.0

    def _judge(self, now: float) -> None:
        """Find the one way of counting that fits."""
        are_over = all(self._opening.values())
        readings = [reading for reading in self._readings if are_over or reading.at + _TRAVEL <= now]
        if self._told != "unknown" or len(readings) < (_ENOUGH if len(self._opening) > 1 else 1):
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
            if any(
                all(self._fits(kind, reading, said, costs) for reading in readings)
                for said in (_said_at_once, _said_at_last)
            )
        ]
        if len(fits) == 1:
            self.kind = fits[0]
        self._gives_back |= "asked" in kinds and "asked" not in fits and bool(fits)

    def _opened(self, entry: Entry, end: tuple[Cost, float] | None) -> _Opened:
        """What is known of a request: its cost, or the most that it may cost."""
        is_known = self._unit == "requests" or (end is not None and end[0].known)
        cost = end[0] if end is not None and is_known else Cost(entry.prompt, entry.amount - entry.prompt)
        return _Opened(entry, cost, end[1] if end is not None else math.inf, is_known)

    def _parts(self, kind: Charges, entry: Entry, cost: Cost) -> tuple[int, int]:
        """What a request takes at its admission and at its end."""
        whole = cost.of(self._unit)
        if kind == "late":
            return 0, whole
        if kind == "end":
            return cost.prompt, cost.completion
        return (cost.prompt + max(cost.completion, entry.asked) if kind == "asked" else whole), 0

    def _fits(
        self,
        kind: Charges,
        reading: Reading,
        said: Callable[[Reading], tuple[float, float]],
        opened: Iterable[_Opened],
    ) -> bool:
        """Whether a reading is within the bounds of one way of counting."""
        soonest, latest = said(reading)
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
    """What a bucket lacks from which so much was taken at these times; with a rate of 0 the sum."""
    lacking, before = 0.0, 0.0
    for at, amount in sorted(taken):
        lacking = max(0.0, lacking - rate * (at - before)) + amount
        before = at
    return lacking - rate * (now - before)
