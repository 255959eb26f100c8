"""The contract of the ledger's stores: SQL, and what stands before one that may be away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jupyter_server_ext.ledger.anchor import Head
    from jupyter_server_ext.ledger.api_keys import ApiKeyStore
    from jupyter_server_ext.messages import Entry


class RowsRefused(Exception):
    """Some entries of a group cannot be kept as they are. All others are written, and of these what can be kept.

    Args:
        rows: The reason for each, by request id and attempt.
    """

    def __init__(self, rows: Mapping[tuple[str, int], str]) -> None:
        super().__init__(f"{len(rows)} entries refused")
        self.rows = rows


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
        """Remember that these requests are under way, with what is reserved for each as its usage and cost.

        Raises:
            RowsRefused: Some cannot be kept as they are; all others are.
        """

    def finish(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        """Append these entries durably and drop them from those under way; return how many were new.

        ``begun`` are remembered as by ``begin``, where that can be done at one go.

        Raises:
            RowsRefused: Some cannot be kept as they are; all others are.
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

    def head(self) -> Head:
        """The end of this gateway's chain of entries."""

    def verify(self, heads: Iterable[Head] = ()) -> list[str]:
        """What is wrong with the chains of entries, one sentence each; ``heads`` are ends known from elsewhere."""

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
