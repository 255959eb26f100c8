"""The values of rate windows."""

# A *rate window* counts one limit: so many requests or tokens in so many seconds, or so many at once, for one key or
# for all keys of a quota group. A request reserves its part of every window of a key at once, or of none; what it has
# reserved is a ``Grant``, which is settled when the answer has ended. Time is always an argument, in the seconds of a
# monotonic clock.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from jupyter_server_ext.keys.windows.usage import EXACT, Excess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jupyter_server_ext.config import Counts
    from jupyter_server_ext.keys.windows.memory import Semaphore
    from jupyter_server_ext.keys.windows.usage import WindowEntry
    from jupyter_server_ext.keys.windows.window import TimeWindow

    RateWindow: TypeAlias = TimeWindow | Semaphore


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

    @property
    def is_own(self) -> bool:
        """Whether it is a limit of the gateway rather than of a provider."""
        return self.id.startswith("//")


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
