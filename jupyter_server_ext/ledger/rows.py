"""An entry as a row of the ledger: its columns, its place in the hash chain, its share of the totals."""

# The hash chain of an instance's entries is ``chain_hash = sha256(previous chain_hash + content_hash)``. Forgetting a
# caller blanks an entry's content but keeps its hash, so the chain stays whole; retention moves its start forward.
#
# Forgotten callers are known by a hash. An entry may arrive long after its request, from the spool of a gateway whose
# database was away or at the end of an answer in flight; it then arrives without the name.

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec.structs import replace

from jupyter_server_ext.ledger.ledger import RowsRefused
from jupyter_server_ext.ledger.schema import entries, forgotten, totals
from jupyter_server_ext.ledger.sums import TOTAL_KEYS
from jupyter_server_ext.messages import WITHOUT_PROVIDER, Entry, TokenUsage, as_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from zoneinfo import ZoneInfo

GENESIS = "0" * 64  # what the first entry of an instance is linked to

# Hashed where they say something, as older entries have none of them.
_LATER_TEXTS = ("session", "client_id", "trace", "question", "tables", "error_text")
_LATER: dict[str, Any] = {"cache": "", "saved_nanodollars": 0, "api_key": "", **dict.fromkeys(_LATER_TEXTS, "")}
# Texts can be dropped; the hash of the prompt stays.
_NOT_HASHED = {"forgotten", "content_hash", "chain_hash", "prompt", "answer", *_LATER}
_hashed = itemgetter(*(column.name for column in entries.columns if column.name not in _NOT_HASHED))
_encode = json.JSONEncoder(separators=(",", ":")).encode

# The columns of a forgotten caller's entry.
NAMELESS: dict[str, Any] = {
    **dict.fromkeys(("caller", "tenant", "prompt_hash", "api_key", *_LATER_TEXTS), ""),
    "prompt": None,
    "answer": None,
    "forgotten": True,
}
_UNNAMED = {name: value for name, value in NAMELESS.items() if name != "forgotten"}

# What it sums.
TOTAL_SUMS = (
    *("requests", "errors", "cache_hits"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nanodollars", "saved_nanodollars"),
)


def day_of(at: float, zone: ZoneInfo) -> str:
    """The calendar day of a Unix time, ``2026-11-21``."""
    return datetime.fromtimestamp(at, zone).date().isoformat()


_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "estimated")
_BEGUN = (
    *("request_id", "attempt", "caller", "tenant", "task", "model", "key"),
    *("cost_nanodollars", "prompt_hash", "api_key", "session", "client_id", "trace", "question", "tables"),
)
_ENDED = (
    *("status", "error", "attempts", "queue_seconds", "upstream_seconds", "first_token_seconds", "duration_seconds"),
    *("cache", "saved_nanodollars", "prompt", "error_text", "answer"),
)
_begun = attrgetter(*_BEGUN, *(f"usage.{name}" for name in _USAGE))
_ended = attrgetter(*_ENDED)


def request_row(entry: Entry) -> dict[str, Any]:
    """The columns of a request that begins."""
    row = dict(zip((*_BEGUN, *_USAGE), _begun(entry), strict=True))
    return row | {"at": float(entry.at)}  # the hash is over what the database gives back


def entry_row(entry: Entry, instance: str, number: int, zone: ZoneInfo) -> dict[str, Any]:
    """The columns of an entry, the ``number``-th of an instance, with its content's hash."""
    row = {"instance": instance, "number": number, "day": day_of(entry.at, zone)} | request_row(entry)
    row |= dict(zip(_ENDED, _ended(entry), strict=True)) | {"cached": entry.cache in WITHOUT_PROVIDER}
    return row | {"content_hash": content_hash(row), "forgotten": False}


_ENTRY = {name for name in Entry.__struct_fields__ if name != "usage"}


def entry_of(row: Any, **changes: Any) -> Entry:
    """The entry of a row."""
    values = {name: row[name] for name in _ENTRY if name in row}
    return Entry(**(values | changes), usage=TokenUsage(**{name: row[name] for name in _USAGE}))


def added_to_totals(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What entries add to the totals, those with the same keys together."""
    sums: dict[tuple[str, ...], dict[str, int]] = {}
    for row in rows:
        key = (row["day"], row["caller"], row["tenant"], model_of(row), row["task"])
        total = sums.setdefault(key, dict.fromkeys(TOTAL_SUMS, 0))
        for name, amount in _amounts(row).items():
            total[name] += amount
    return [dict(zip(TOTAL_KEYS, key, strict=True)) | total for key, total in sums.items()]


class SumsOfEntries:
    """What entries sum up to, to be compared with the totals that are kept.

    Of a forgotten caller totals know the group and entries do not, so what has a name is compared by name, and all of
    it by day, model and task.
    """

    def __init__(self) -> None:
        self._named: dict[tuple[str, ...], list[int]] = {}
        self._all: dict[tuple[str, ...], list[int]] = {}

    def add(self, row: dict[str, Any]) -> None:
        """Add an entry."""
        amounts = list(_amounts(row).values())
        day, model, task = row["day"], model_of(row), row["task"]
        _add(self._all, (day, model, task), amounts)
        if not row["forgotten"]:
            _add(self._named, (day, row["caller"], row["tenant"], model, task), amounts)

    def problems(self, db: sa.Connection, since: str) -> list[str]:
        """The days after ``since`` on which totals say something else, one sentence each."""
        hidden = set(db.execute(sa.select(forgotten.c.caller_hash)).scalars())
        kept_named: dict[tuple[str, ...], list[int]] = {}
        kept_all: dict[tuple[str, ...], list[int]] = {}
        for row in db.execute(sa.select(totals).where(totals.c.day > since)).mappings():
            amounts = [int(row[name]) for name in TOTAL_SUMS]
            _add(kept_all, (row["day"], row["model"], row["task"]), amounts)
            if row["caller"] and hash_of(row["caller"]) not in hidden:
                _add(kept_named, tuple(row[name] for name in TOTAL_KEYS), amounts)
        named = {key: sums for key, sums in self._named.items() if key[1] and hash_of(key[1]) not in hidden}
        wrong = {*_differing(named, kept_named, since), *_differing(self._all, kept_all, since)}
        return [f"the sums of {day} are not those of its entries." for day in sorted(wrong)]


def _add(sums: dict[tuple[str, ...], list[int]], key: tuple[str, ...], amounts: list[int]) -> None:
    before = sums.get(key)
    sums[key] = amounts if before is None else [one + other for one, other in zip(before, amounts, strict=True)]


def _differing(
    own: Mapping[tuple[str, ...], list[int]], kept: Mapping[tuple[str, ...], list[int]], since: str
) -> Iterable[str]:
    none = [0] * len(TOTAL_SUMS)
    return {key[0] for key in {*own, *kept} if key[0] > since and own.get(key, none) != kept.get(key, none)}


def model_of(row: Mapping[str, Any]) -> str:
    """The model that an entry counts for: none where there was no such model, as anybody can make up names."""
    return "" if row["error"] in {"model_not_found", "model_gone"} else row["model"]


def is_request(row: Mapping[str, Any]) -> bool:
    """Whether an entry stands for a request, and not for a try of it that was followed by others."""
    return row["attempts"] > 0 or not row["key"] or row["status"] == 0


def _amounts(row: dict[str, Any]) -> dict[str, int]:
    """What one entry adds to its totals; a request counts once, however many attempts it took."""
    last = is_request(row)
    return {
        "requests": int(last),
        "errors": int(last and not 200 <= row["status"] < 300),
        "cache_hits": int(row["cached"]),
        **{name: row[name] for name in TOTAL_SUMS[3:]},
    }


def content_hash(row: dict[str, Any]) -> str:
    """The hash over what an entry says, with its number and the instance it is of."""
    later = {name: row[name] for name, none in _LATER.items() if row[name] != none}
    return hashlib.sha256(_encode([*_hashed(row), later] if later else _hashed(row)).encode()).hexdigest()


def link(chain: str, content: str) -> str:
    """The chain's hash after an entry with this content hash."""
    return hashlib.sha256((chain + content).encode()).hexdigest()


def problems_of(row: dict[str, Any], number: int, chain: str) -> list[str]:
    """What is wrong with an entry that should be the ``number``-th, after a chain with this hash; one sentence each."""
    where = f"{row['instance']} #{row['number']}"
    problems = []
    if row["number"] != number:
        problems.append(f"{where}: entries {number} to {row['number'] - 1} are missing.")
    elif row["chain_hash"] != link(chain, row["content_hash"]):
        problems.append(f"{where}: the chain is broken here; an entry was changed, removed or put in.")
    if not row["forgotten"] and content_hash(row) != row["content_hash"]:
        problems.append(f"{where}: the entry was changed after it was written.")
    return problems


class ForgottenCallers:
    """Callers, each with the Unix time up to which everything of it is forgotten.

    Example:
        >>> forgotten = ForgottenCallers({hash_of("ada"): 50.0})
        >>> ("ada", 50.0) in forgotten, ("ada", 50.1) in forgotten, ("bob", 1.0) in forgotten
        (True, False, False)
    """

    def __init__(self, until: Mapping[str, float]) -> None:
        self._until = until  # that time by the caller's hash

    def __contains__(self, begun: tuple[str, float]) -> bool:
        """Whether what a caller began at a Unix time is forgotten."""
        caller, at = begun
        return bool(self._until) and at <= self._until.get(hash_of(caller), -1.0)

    def unnamed(self, entry: Entry) -> Entry:
        """The entry, without names if its caller is forgotten."""
        return replace(entry, **_UNNAMED) if (entry.caller, entry.at) in self else entry


def hash_of(caller: str) -> str:
    """The hash of a forgotten caller's name. It hides the name from readers, not from a guess."""
    return hashlib.sha256(f"rsql forgotten\0{caller}".encode()).hexdigest()


# A group of entries of which the database refuses some: these are found and named, and all others are written.

_OUTAGE = (
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError),
    *(TimeoutError, OSError),
)
_OF_A_ROW = ("22", "23", "54")  # PostgreSQL's classes: data, constraints, and what is too long or too many
_MOST = 1_000_000_000_000_000  # of tokens or nano-dollars, so that sums of thousands fit a column, too
_SHORT = {"request_id": 64, "error": 64, "prompt_hash": 64, "task": 16, "api_key": 16, "cache": 8}
_SHORT |= {"session": 128, "client_id": 128, "trace": 32, "question": 32, "tables": 255, "error_text": 1000}
_NAMES = ("caller", "tenant", "model", "key", *_SHORT)


def is_of_a_row(error: Exception) -> bool:
    """Whether a write failed for what one of its rows holds, rather than for the state of the database."""
    state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
    return state.startswith(_OF_A_ROW) or not isinstance(error, _OUTAGE)


def apart(*writes: tuple[Callable[[Sequence[Entry]], Any], Sequence[Entry]]) -> int:
    """Write groups in ever smaller parts, as they were refused as wholes; return how many entries were new.

    Raises:
        RowsRefused: All others are written.
        Exception: The database takes nothing at all.
    """
    # Of an entry that is refused alone, what can be kept is written in its place: what it cost counts.
    refused: dict[tuple[str, int], str] = {}
    new = sum(_write(write, entries, refused) or 0 for write, entries in writes if entries)
    if refused:
        raise RowsRefused(refused)
    return new


def _write(
    write: Callable[[Sequence[Entry]], Any], entries: Sequence[Entry], refused: dict[tuple[str, int], str]
) -> int:
    try:
        return write(entries) or 0
    except Exception as error:
        if not is_of_a_row(error):
            raise
        if len(entries) == 1:
            new = write([stand_in(entries[0])]) or 0
            refused[entries[0].request_id, entries[0].attempt] = type(error).__name__
            return new
    half = len(entries) // 2
    return _write(write, entries[:half], refused) + _write(write, entries[half:], refused)


def stand_in(entry: Entry) -> Entry:
    """What every database can keep of an entry: names without NUL and lone surrogates, of the columns' lengths."""
    names = {name: as_name(str(getattr(entry, name) or ""))[: _SHORT.get(name)] for name in _NAMES}
    usage = entry.usage
    prompt, completion, cached = map(_within, (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens))
    counted = TokenUsage(prompt, completion, cached, usage.estimated)
    money = {name: _within(getattr(entry, name)) for name in ("cost_nanodollars", "saved_nanodollars")}
    return replace(entry, usage=counted, **names, **money)


def _within(number: int) -> int:
    return int(min(max(number, 0), _MOST))
