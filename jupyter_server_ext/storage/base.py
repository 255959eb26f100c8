"""The contract of what the gateway keeps count of, in its own verbs. ``memory.py`` is the default implementation.

A *window* counts one limit: so many requests or tokens in so many seconds, for one key or for all keys of a quota
group. A request takes from every window of a key at once, or from none; what it took is a ``Grant``, which is settled
when the answer has ended. Time is always an argument, in the seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrent"]


class Cost(NamedTuple):
    """What one request takes, besides itself.

    Args:
        prompt: Tokens it sends.
        completion: Tokens it gets, or is expected to get.
        asked: The ``max_tokens`` it is sent with, 0 without.
        known: Whether the provider has counted these tokens, rather than we.
    """

    prompt: int = 0
    completion: int = 0
    asked: int = 0
    known: bool = False

    def of(self, unit: Unit) -> int:
        """The amount this cost has in ``unit``."""
        if unit == "tokens":
            return self.prompt + self.completion
        if unit == "input_tokens":
            return self.prompt
        return self.completion if unit == "output_tokens" else 1


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """One limit of one quota group.

    Args:
        id: Unique name, ``group/model/unit/seconds``; windows with the same id share their count.
        unit: What is counted; ``concurrent`` counts what is under way and has no seconds.
        amount: How much of it is allowed.
        seconds: The length of the window.
        zone: Time zone whose midnight ends the window, for a limit of a calendar day.
        model: The model it is for, empty for all models together.
        assumed: Whether nobody configured it, so that what headers say goes before it.
    """

    id: str
    unit: Unit
    amount: int
    seconds: float = 0.0
    zone: str = ""
    model: str = ""
    assumed: bool = False


class Offer(NamedTuple):
    """A key that could serve a request, with the windows it would take from."""

    key: str
    windows: tuple[WindowSpec, ...]


class Seen(NamedTuple):
    """What a provider's headers told about one window: its limit, what is left, seconds until it is full again.

    ``rounding`` is how far ``reset`` may be off because the provider rounds it.
    """

    window: str
    limit: int
    remaining: int
    reset: float | None = None
    rounding: float = 0.01


class Refused(NamedTuple):
    """No key has room. ``wait`` is when ``key`` will, in seconds from now; infinite when none ever can."""

    wait: float
    key: str = ""


@dataclass(slots=True)
class Grant:
    """What was taken from a key's windows for one request; ``entries``, one per window, are the implementation's."""

    key: str
    cost: Cost
    at: float
    windows: tuple[WindowSpec, ...]
    entries: Sequence[object]


class WindowReport(NamedTuple):
    """One window for the status page.

    Args:
        used: What counts now.
        others: Of that, what others were seen to use.
        limit: What is believed to be allowed.
        wait: Seconds until there is room for one.
    """

    used: int
    others: int
    limit: int
    wait: float


class Windows(Protocol):
    """The counts of all windows of all keys."""

    async def take(self, offers: Sequence[Offer], cost: Cost, now: float) -> Grant | Refused:
        """Take ``cost`` from all windows of one key: of those with room, the one with most headroom in its tightest."""

    def sent(self, grant: Grant, now: float) -> None:
        """The request is on its way. Without this, it counts from when it is answered."""

    def counted(self, grant: Grant, now: float) -> None:
        """The provider has answered, so it has counted this request by ``now``."""

    def settle(self, grant: Grant, cost: Cost | None, now: float) -> None:
        """The request is over and has cost this; None means it was never sent."""

    def observe(self, grant: Grant, seen: Sequence[Seen], now: float) -> None:
        """Correct the counts by what the headers of the answer to ``grant`` said; it has been ``counted``."""

    def contradicted(self, grant: Grant, window: str, now: float) -> None:
        """The provider refused ``grant`` although ``window`` had room: believe less of it, until that is disproved."""

    def restore(self, window: WindowSpec, amount: int, at: float, now: float) -> None:
        """Count what was used at ``at`` before this process started; calls come in the order of time."""

    def starts(self, offer: Offer, cost: Cost, count: int, now: float) -> list[float]:
        """Seconds until the first, second, … of ``count`` requests of ``cost`` can start; fewer if never."""

    def report(self, windows: Sequence[WindowSpec], now: float) -> Mapping[str, WindowReport]:
        """The state of these windows, by id."""
