"""The contracts of what the gateway keeps, in its own verbs: windows of keys, the ledger, cached answers.

``memory.py`` and ``sql.py`` are the implementations for one machine.

A *window* counts one limit: so many requests or tokens in so many seconds, for one key or for all keys of a quota
group. A request takes from every window of a key at once, or from none; what it took is a ``Grant``, which is settled
when the answer has ended. Time is always an argument, in the seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from jupyter_server_ext.errors import ConfigError

from .spread import EXACT, Above

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jupyter_server_ext.messages import Entry
    from jupyter_server_ext.settings import Counts
    from jupyter_server_ext.storage.api_keys import ApiKeyStore
    from jupyter_server_ext.storage.outlook import Outlook


class CannotOpen(ConfigError):
    """There is no place for a ledger: no permission, no such folder, no server."""


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


class Claim(NamedTuple):
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
        self, offers: Sequence[Offer], cost: Cost, now: float, claims: Sequence[Claim] = ()
    ) -> Grant | Refused:
        """Take ``cost`` from all windows of one key: of those with room, the one with most headroom.

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

    def outlook(self, window: WindowSpec, now: float) -> Outlook:
        """How this window will be, if what is under way ends as expected."""

    def report(self, windows: Sequence[WindowSpec], now: float) -> Mapping[str, WindowReport]:
        """The state of these windows, by id."""


class Used(NamedTuple):
    """What entries of one caller, model and key used at about one time.

    Args:
        at: Unix time of the end, by when a provider had surely counted it; of several entries the latest.
        caller: Who asked.
        tenant: The caller's group.
        key: Public id of the key that was used; empty when no provider was asked.
        model: The model.
        requests: How many requests went to the key.
        prompt_tokens: Tokens read by the provider.
        completion_tokens: Tokens written.
        counted: How many requests count against the caller's limits.
        counted_tokens: How many tokens do.
        api_key: Public id of the virtual API key that asked; empty for none.
    """

    at: float
    caller: str
    tenant: str
    key: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    counted: int
    counted_tokens: int
    api_key: str = ""


class LedgerStore(Protocol):
    """Where entries are kept. Methods block; those that write are called from one thread.

    What was written is on disk when a method returns. A repeated delivery of an entry changes nothing.
    """

    @property
    def is_away(self) -> bool:
        """Whether entries go to this machine's disk for now, to be delivered later."""

    def begin(self, begun: Sequence[Entry]) -> None:
        """Remember that these requests are under way, with what is reserved for each as its usage and cost."""

    def finish(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        """Append these entries durably and drop them from those under way; return how many were new.

        ``begun`` are remembered as by ``begin``, where that can be done at one go.
        """

    def close_unfinished(self) -> int:
        """Turn what an earlier life of this instance left open into entries with status 0; return how many."""

    def day(self, at: float) -> str:
        """The calendar day of a Unix time, ``2026-11-21``."""

    def totals(self, *, since: str, until: str = "9999", caller: str | None = None) -> list[dict[str, Any]]:
        """Sums per day, caller, tenant, model and task, for the days ``since`` to ``until`` (inclusive)."""

    def read(
        self, *, since: float = 0.0, caller: str | None = None, limit: int | None = None, failed: bool = False
    ) -> list[Entry]:
        """Entries, newest first; with ``failed`` only those that did not end well."""

    def find(self, request_id: str) -> list[Entry]:
        """The entries of one request: its attempts in order."""

    def used(self, since: float, *, exact: float) -> Iterator[Used]:
        """What was used from a Unix time on, oldest first; what is older than ``exact`` is summed.

        By the minute, and by ten minutes where it is an hour older; each sum stands at the time of its latest entry.
        """

    def spent_by_keys(self, since: str) -> Mapping[str, Mapping[str, int]]:
        """Nano-dollars by virtual API key and by day, from a day on."""

    def rows(self, *, since: str = "", until: str = "9999") -> Iterator[dict[str, Any]]:
        """All entries of these days as plain values without prompts, oldest first, a few at a time."""

    def verify(self) -> list[str]:
        """What is wrong with the chains of entries, one sentence each."""

    def forget(self, caller: str, at: float, *, chunk: int = 200) -> int:
        """Blank everything that names this caller, in chunks; return how many entries that were.

        What was begun up to the Unix time ``at`` and arrives later is without the name, too.
        """

    def expire(self, before: float, *, chunk: int = 200) -> int:
        """Delete entries begun before a Unix time, in chunks; return how many."""

    def keep_answer(self, name: str, caller: str, answer: bytes, until: float) -> None:
        """Keep an answer for repeats until a Unix time; the first one of a name stays."""

    def kept_answer(self, name: str, now: float) -> bytes | None:
        """The answer kept by this name, if its time is not over."""

    def drop_answers(self, before: float, *, chunk: int = 500) -> int:
        """Delete kept answers whose time was over before a Unix time; return how many."""

    def decide(self, name: str, value: str, caller: str, at: float) -> None:
        """Remember what an administrator changed, in place of an earlier value; an empty value takes it back."""

    def decided(self, name: str) -> str:
        """What an administrator changed; empty for nothing."""

    @property
    def api_keys(self) -> ApiKeyStore:
        """Virtual API keys, in the same place."""

    def close(self) -> None:
        """Give everything back."""


class AnswerStore(Protocol):
    """Cached answers that several gateways share, behind each one's own memory."""

    async def get(self, key: str) -> tuple[bytes, float] | None:
        """The answer and for how many seconds it is still good; None when there is none, or it cannot be told soon."""

    async def put(self, key: str, answer: bytes, seconds: float) -> None:
        """Keep an answer for so many seconds; never raises for a store that is away."""

    async def close(self) -> None:
        """Give everything back."""
