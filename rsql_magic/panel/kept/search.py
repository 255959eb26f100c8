"""A search through everything that is kept: opened a page at a time, the latest conversations first."""

# There is no index: one over words would tell them, or how often they occur, to whoever reads the file.

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.records import text_of
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.panel.kept.store import ConversationStore, Head

SECONDS = 3.0  # that a search may take
_MOST = 100  # conversations that are found
_AROUND = 60  # characters on each side of what is found
_LONGEST = 200  # characters of what is searched for


@dataclass(frozen=True)
class FoundConversations:
    """The conversations that hold all words: each with the last pair that does and the text around; empty by title."""

    hits: tuple[tuple[Head, str, str], ...]
    whole: bool = True  # whether all was looked through


def search(
    store: ConversationStore, words: str, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
) -> FoundConversations:
    """The conversations whose title, or one of whose questions and answers, holds all of the words.

    Raises:
        BadInput: There is nothing to search for, or too much; or the file cannot be read.
    """
    sought = [word.casefold() for word in words.split()]
    if not sought or len(words) > _LONGEST:
        raise BadInput(f"A search takes 1 to {_LONGEST} characters.", hint="Search for a word or two.")
    # Text stands in a record as JSON writes it.
    escaped = [msgspec.json.encode(word.encode("utf-8", "replace").decode())[1:-1].decode() for word in sought]
    heads, end = store.heads(), clock() + seconds
    named = {head.id for head in heads if all(word in head.title.casefold() for word in sought)}
    hits = {head.id: (head, "", "") for head in heads if head.id in named}
    whole = True
    for head in heads:
        if len(hits) >= _MOST or clock() > end:
            whole = False
            break
        if head.id not in named and (found := _last_pair(store, head.id, sought, escaped)):
            hits[head.id] = (head, *found)
    return FoundConversations(tuple(hits[head.id] for head in heads if head.id in hits)[:_MOST], whole)


def _last_pair(
    store: ConversationStore, conversation: str, sought: Sequence[str], escaped: Sequence[str]
) -> tuple[str, str] | None:
    for pair, body in store.bodies(conversation):
        # Of ASCII alone, lower case is the same and ten times as quick.
        record = body.lower().decode() if body.isascii() else body.decode("utf-8", "replace").casefold()
        if not all(word in record for word in escaped):
            continue
        text = text_of(msgspec.json.decode(body))
        if all(word in text.casefold() for word in sought):
            return pair, _around(text, sought[0])
    return None


def _around(text: str, word: str) -> str:
    at = max(0, text.casefold().find(word))
    start = max(0, at - _AROUND)
    return f"{'…' if start else ''}{one_line(text[start : at + len(word) + _AROUND], 2 * _AROUND + len(word) + 1)}"
