"""The contracts of what the gateway keeps, in its own verbs: windows of keys, the ledger, cached answers.

``memory.py`` and ``sql.py`` are the implementations for one machine.

A *window* counts one limit: so many requests or tokens in so many seconds, for one key or for all keys of a quota
group. A request takes from every window of a key at once, or from none; what it took is a ``Grant``, which is settled
when the answer has ended. Time is always an argument, in the seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from jupyter_server_ext.keys.windows.variance import EXACT, Above

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jupyter_server_ext.config import Counts
    from jupyter_server_ext.keys.windows.projection import WindowProjection


Unit = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrent"]


class Cost(NamedTuple):
    """What one request takes, besides itself.

    Args:
        prompt: Tokens it sends.
        completion: Tokens it gets, or is expected to get.
        asked: The ``max_tokens`` it is sent with, 0 without.
        known: Whether the provider has counted these tokens, rather than we.
        spread: The part of ``completion`` that is above what such answers take on average.
        swing: How far above that one of several may be; at least ``spread``.
    """

    prompt: int = 0
    completion: int = 0
    asked: int = 0
    known: bool = False
    spread: int = 0
    swing: int = 0

    def of(self, unit: Unit) -> int:
        """The amount this cost has in ``unit``."""
        if unit == "tokens":
            return self.prompt + self.completion
        if unit == "input_tokens":
            return self.prompt
        return self.completion if unit == "output_tokens" else 1

    def part(self, unit: Unit, limit: int) -> tuple[int, Above]:
        """What is taken of a window with this limit, and how far that is above the average.

        An answer of which nobody knows the length is expected to fit the window, or it could never be asked for.
        """
        amount = self.of(unit)
        if unit not in {"tokens", "output_tokens"}:
            return amount, EXACT
        excess = amount - limit
        if excess <= 0 or self.asked or excess >= self.completion:
            return amount, Above(self.spread, self.swing)
        return limit, Above(max(0, self.spread - excess), self.swing)


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
        bucket: Whether it is known to be a token bucket.
        counts: When the provider counts a request, where that is known.
    """

    id: str
    unit: Unit
    amount: int
    seconds: float = 0.0
    zone: str = ""
    model: str = ""
    assumed: bool = False
    bucket: bool = False
    counts: Counts = ""

    @property
    def is_own(self) -> bool:
        """Whether it is a limit of the gateway rather than of a provider."""
        return self.id.startswith("//")


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


class Reservation(NamedTuple):
    """What a request whose turn has come is waiting for; others may take only what does not delay it.

    Args:
        needs: How much of which window, by its id.
        by: When it can have that.
    """

    needs: Mapping[str, int]
    by: float


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
        told: Whether headers tell of it.
        bucket: Whether it is taken for a token bucket.
        counts: What is believed of when the provider counts, in words; empty where nothing has told yet.
    """

    used: int
    others: int
    limit: int
    wait: float
    told: bool = False
    bucket: bool = False
    counts: str = ""


class Windows(Protocol):
    """The counts of all windows of all keys."""

    async def take(
        self, offers: Sequence[Offer], cost: Cost, now: float, claims: Sequence[Reservation] = (), taker: str = ""
    ) -> Grant | Refused:
        """Take ``cost`` for a caller from all windows of one key: of those with room, the one with most headroom.

        That is in its tightest window; among equals, in all of them together. No claim is delayed.
        """

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

    def outlook(self, window: WindowSpec, now: float) -> WindowProjection:
        """How this window will be, if what is under way ends as expected."""

    def takers(self, window: WindowSpec, now: float | None = None) -> Mapping[str, int]:
        """What each caller uses of this window, as far as this process knows; without ``now`` perhaps some more."""

    def frees(self, window: WindowSpec, now: float) -> Iterable[tuple[str, float, int]]:
        """Of which caller how much is given back in how many seconds."""

    def report(self, windows: Sequence[WindowSpec], now: float) -> Mapping[str, WindowReport]:
        """The state of these windows, by id."""
