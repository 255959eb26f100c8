"""What providers give away by their headers: whether a limit is a bucket, and when the tokens of an answer count."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .base import Cost, Seen
    from .window import Entry

_BLIND = 8  # requests after which a provider without headers is taken not to send any
_OPENING = 8  # requests after a pause from which it is learnt when tokens are counted …
_ENOUGH = 3  # … and how many of them it takes, unless the first was alone
_TRAVEL = 0.25  # seconds by which two requests may have been counted farther apart than they were sent

Charges = Literal["unknown", "admission", "end", "asked"]


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

    def look(self, seen: Seen) -> bool:
        """Take in one reply's headers; whether it is surely a bucket."""
        used = seen.limit - seen.remaining
        if seen.reset is None or used <= 0 or seen.limit <= 0:
            return self._sure
        unit = self._seconds / seen.limit
        if abs(seen.reset - used * unit) > unit + seen.rounding:
            self._fits, self._sure = 0, False
            return False
        self._low = min(self._low, used) if self._fits else used
        self._high = max(self._high, used) if self._fits else used
        self._fits += 1
        # Another kind of window fits by accident only within a unit or two of one value.
        if self._fits >= 3 and self._high - self._low >= 4 + 2 * seen.rounding / unit:
            self._sure = True
        return self._sure


class Charging:
    """Learns when a provider counts the tokens of an answer, from the first requests after a pause.

    After a pause nothing is used. So what headers say is used after each of the first requests, put in order, goes up
    in steps of what one request was charged at its admission, or of several. These steps are compared with what the
    requests turn out to have cost.
    """

    def __init__(self) -> None:
        self.kind: Charges = "unknown"
        self._opening: dict[Entry, Cost | None] = {}  # the first requests, with their costs when they are over
        self._told: list[tuple[int, float]] = []  # used by the headers of the answers to them, and when they were taken
        self._refill = 0.0  # tokens a second, if it is a bucket
        self._alone = False  # whether the first was answered before there was a second
        self._settled = 0
        self._sees_headers = False

    @property
    def at_admission(self) -> bool:
        """Whether all is counted when the request is admitted."""
        return self.kind in {"admission", "asked"}

    @property
    def may_keep(self) -> bool:
        """Whether the provider keeps what was asked for, or may."""
        return self.kind == "asked" or (self.kind == "unknown" and (self._sees_headers or self._settled < _BLIND))

    def keeps_all(self, entry: Entry) -> bool:
        """Whether all that ``entry`` asked for has to be taken as used."""
        return entry.asked > 0 and self.may_keep

    def opened(self, entry: Entry) -> None:
        """A request was taken: the first after a pause, or one of the next, or a later one."""
        if entry.used == entry.amount:
            self._opening, self._told, self._alone = {entry: None}, [], False
        elif 0 < len(self._opening) < _OPENING and not any(self._opening.values()):
            self._opening[entry] = None

    def seen(self, entry: Entry, used: int, refill: float) -> None:
        """The headers of the answer to ``entry`` say that so much is used; a bucket would be refilled at ``refill``."""
        self._sees_headers = True
        self._refill = refill
        if entry in self._opening:
            self._told.append((used, entry.taken))
            self._alone = len(self._opening) == 1

    def settled(self, entry: Entry, cost: Cost) -> None:
        """A request is over."""
        self._settled += 1
        if entry not in self._opening:
            return
        self._opening[entry] = cost
        costs = [known for known in self._opening.values() if known is not None]
        if len(costs) == len(self._opening):
            if all(cost.known for cost in costs):
                self._judge(costs, [other.asked for other in self._opening])
            self._opening = {}

    def contradicted(self, entry: Entry) -> bool:
        """Whether a refusal is explained by a provider that gives nothing back, which is believed from now on."""
        explained = self.kind == "unknown" and entry.asked > 0
        if explained:
            self.kind = "asked"
        return explained

    def _judge(self, costs: list[Cost], asked: list[int]) -> None:
        if not (self._alone or len(self._told) >= _ENOUGH):
            return
        smallest, at_least = self._steps()
        charges: dict[Charges, list[int]] = {
            "end": [cost.prompt for cost in costs],
            "admission": [cost.prompt + cost.completion for cost in costs],
            "asked": [cost.prompt + max(cost.completion, most) for cost, most in zip(costs, asked, strict=True)],
        }
        if charges["asked"] == charges["admission"]:
            del charges["asked"]
        fits = [kind for kind, c in charges.items() if smallest <= 1.05 * max(c) and at_least >= 0.95 * min(c)]
        if len(fits) == 1:
            self.kind = fits[0]

    def _steps(self) -> tuple[float, float]:
        """The smallest step of what was used, and what it is at least if a bucket was refilled meanwhile."""
        told = sorted(self._told)
        start = (0, min(at for _, at in told))
        steps = [(high - low, abs(later - earlier)) for (low, earlier), (high, later) in pairwise([start, *told])]
        return min(step for step, _ in steps), min(step + self._refill * (time + _TRAVEL) for step, time in steps)
