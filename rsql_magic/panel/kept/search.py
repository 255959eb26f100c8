"""A search through everything that is kept: opened a page at a time, the latest conversations first."""

# There is no index: one over words would tell them, or how often they occur, to whoever reads the file.

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.records import text_of
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.panel.kept.store import ConversationStore, Head

SECONDS = 3.0  # that one go of a search may take
_MOST = 100  # conversations that one go finds by their words
_AROUND = 60  # characters on each side of what is found
_LONGEST = 200  # characters of what is searched for


@dataclass(frozen=True)
class Rest:
    """What a search has not looked through: conversations from a place in their order on, and those changed since."""

    place: tuple[float, str]  # minus when it was changed, and its id
    begun: float  # Unix time

    @classmethod
    def read(cls, given: Any) -> Rest | None:
        """What a view tells; None where it tells nothing.

        Raises:
            BadInput: It is of another form.
        """
        if given is None:
            return None
        try:
            changed, conversation, begun = given
            return cls((float(changed), str(conversation)), float(begun))
        except (TypeError, ValueError):
            raise BadInput("The panel did not understand where to search further.", hint="Search anew.") from None

    def as_list(self) -> list[Any]:
        """Plain values for a view."""
        return [*self.place, self.begun]


@dataclass(frozen=True)
class FoundConversations:
    """The conversations that hold all words: each with the last pair that does and the text around; empty by title."""

    hits: tuple[tuple[Head, str, str], ...]
    rest: Rest | None = None  # where to search further; None where all was looked through

    @property
    def whole(self) -> bool:
        """Whether all was looked through."""
        return self.rest is None


def search(
    store: ConversationStore,
    words: str,
    *,
    further: Rest | None = None,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> FoundConversations:
    """The conversations whose title, or one of whose questions and answers, holds all of the words.

    A search ends after so many seconds. ``further``, the ``rest`` of one, goes on where it ended,
    and takes in what was changed since that began. Titles are all looked through at once.

    Raises:
        BadInput: There is nothing to search for, or too much; or the file cannot be read.
    """
    sought = [word.casefold() for word in words.split()]
    if not sought or len(words) > _LONGEST:
        raise BadInput(f"A search takes 1 to {_LONGEST} characters.", hint="Search for a word or two.")
    # Text stands in a record as JSON writes it.
    escaped = [msgspec.json.encode(word.encode("utf-8", "replace").decode())[1:-1].decode() for word in sought]
    begun, end = now(), clock() + seconds
    heads = store.heads()
    if further is not None:
        heads = [head for head in heads if (-head.changed, head.id) >= further.place or head.changed >= further.begun]
    hits: list[tuple[Head, str, str]] = []
    rest = None
    for number, head in enumerate(heads):
        if rest is None and number and (len(hits) >= _MOST or clock() > end):
            rest = Rest((-head.changed, head.id), begun)
        if all(word in head.title.casefold() for word in sought):
            hits.append((head, "", ""))
        elif rest is None and (found := _last_pair(store, head.id, sought, escaped)):
            hits.append((head, *found))
    return FoundConversations(tuple(hits), rest)


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
