"""A group of entries of which the database refuses some: these are found and named, and all others are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec.structs import replace

from jupyter_server_ext.ledger.ledger import RowsRefused
from jupyter_server_ext.messages import Entry, Usage, as_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_OUTAGE = (
    *(sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError),
    *(TimeoutError, OSError),
)
_OF_A_ROW = ("22", "23", "54")  # PostgreSQL's classes: data, constraints, and what is too long or too many
_MOST = 1_000_000_000_000_000  # of tokens or nano-dollars, so that sums of thousands fit a column, too
_SHORT = {"request_id": 64, "error": 64, "prompt_hash": 64, "task": 16, "api_key": 16, "cache": 8}
_NAMES = ("caller", "tenant", "model", "key", *_SHORT)


def is_of_a_row(error: Exception) -> bool:
    """Whether a write failed for what one of its rows holds, rather than for the state of the database."""
    state = str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
    return state.startswith(_OF_A_ROW) or not isinstance(error, _OUTAGE)


def apart(*writes: tuple[Callable[[Sequence[Entry]], Any], Sequence[Entry]]) -> int:
    """Write groups in ever smaller parts, as they were refused as wholes; return how many entries were new.

    Of an entry that is refused alone, what can be kept is written in its place: what it cost counts.

    Raises:
        RowsRefused: All others are written.
        Exception: The database takes nothing at all.
    """
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
    r"""What every database can keep of an entry.

    Example:
        >>> stand_in(Entry("r1", at=0.0, caller="ada", model="a\x00b")).model
        'a?b'
    """
    names = {name: as_name(str(getattr(entry, name) or ""))[: _SHORT.get(name)] for name in _NAMES}
    usage = entry.usage
    prompt, completion, cached = map(_within, (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens))
    counted = Usage(prompt, completion, cached, usage.estimated)
    money = {name: _within(getattr(entry, name)) for name in ("cost_nanodollars", "saved_nanodollars")}
    return replace(entry, usage=counted, **names, **money)


def _within(number: int) -> int:
    return int(min(max(number, 0), _MOST))
