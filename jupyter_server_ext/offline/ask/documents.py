"""An answer from passages of documents: the sentences that hold the question's words, quoted and cited."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql import names, stems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..request import OfflineRequest

_SMALL = names(
    "a about all an and any are as at be by can could did do does for from get go goes has have how i if in into is it"
    " its long many may me much must my need no not of on one or our please shall should so that the their them there"
    " they this to us use used was we what when where which who why will with would you your"
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9“\"(])|\n\s*\n|\n(?=\s*(?:[-*+•]|\d+[.)])\s)")
_NUMBER = re.compile(r"(\d+): ")
_LONGEST = 400  # characters of a quotation
_ENOUGH = 0.6  # the share of the question's words, weighed, that a sentence and its headings must hold
_QUOTED = 2  # sentences


class _PassageSentence(NamedTuple):
    text: str
    number: int  # of its passage
    words: frozenset[str]
    around: frozenset[str]  # of the headings


def quoted(request: OfflineRequest) -> str:
    """The sentences of the passages that answer the question, word by word; empty where none holds enough of it."""
    asked = _words(request.question)
    sentences = list(_sentences(request))
    if len(asked) < 2 or not sentences:
        return ""
    counts = Counter(word for one in sentences for word in asked & one.words)
    weights = {word: 1 / (1 + counts[word]) if counts[word] else 0.5 for word in asked}
    total = sum(weights.values())
    # What the headings say is true of each sentence below them, and tells less than its own words.
    own = {one: sum(weights[word] for word in asked & one.words) for one in sentences}
    held = {one: own[one] + sum(weights[word] for word in (asked & one.around) - one.words) for one in sentences}
    fitting = [one for one in sentences if own[one] and held[one] >= _ENOUGH * total and len(asked & one.words) > 1]
    best = sorted(fitting, key=lambda one: (-held[one], -own[one], one.number))[:_QUOTED]
    close = [one for one in best if own[one] >= 0.8 * own[best[0]]]
    return "\n\n".join(f"“{one.text}” [{one.number}]" for one in close)


def _sentences(request: OfflineRequest) -> Iterator[_PassageSentence]:
    for passage in request.documents:
        number = _NUMBER.match(passage.name)
        heading, _, body = (
            passage.text.rpartition("\n\n") if "\n\n" not in passage.text else passage.text.partition("\n\n")
        )
        around = _words(heading)
        for part in _SENTENCE.split(body):
            text = " ".join(part.split()).strip("-*+• ")
            if number and text:
                shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
                yield _PassageSentence(shown, int(number[1]), _words(text), around)


def _words(text: str) -> frozenset[str]:
    found = (word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _SMALL)
    return frozenset(stem for word in found for stem in stems(word))
