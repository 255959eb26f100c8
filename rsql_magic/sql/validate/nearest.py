"""Names that resemble a name: the same word otherwise spelled, otherwise ordered, abbreviated or mistyped."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.words import mistyped

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
# From here on two names resemble each other.
GOOD = 0.6
_WORTH = 0.5


@lru_cache(maxsize=50_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name, singular and in lower case."""
    return tuple(_singular(word.lower()) for word in _WORD.findall(name))


def plain(name: str) -> str:
    """A name without case and punctuation: ``Customer ID`` and ``customer_id`` are the same."""
    return "".join(c for c in name.casefold() if c.isalnum())


def likeness(one: str, other: str) -> float:
    """How much two names resemble each other, 0 to 1."""
    # The better of two measures: the share of words they have in common, where a beginning counts as an abbreviation,
    # and the share of characters in common order (Ratcliff and Obershelp, 1988, as difflib has it).
    a, b = plain(one), plain(other)
    if a == b:
        return 1.0
    return max(_words_in_common(words(one), words(other)), _in_order(a, b))


def same_name(name: str, column: str, table: str = "") -> bool:
    """Whether a name can only be another one's: in the plural, in another order, with its table's name, or mistyped."""
    own, theirs, around = words(name), words(column), words(table)
    if sorted(own) == sorted(theirs) or own == (*around, *theirs) or (*around, *own) == theirs:
        return True
    return mistyped(plain(name), plain(column)) or plain(name) == plain(column)


def nearest(name: str, candidates: Iterable[str], count: int = 3, least: float = GOOD) -> list[str]:
    """The candidates that resemble a name, best first."""
    scored = sorted((-likeness(name, candidate), candidate) for candidate in _worth_a_look(name, candidates))
    return [candidate for score, candidate in scored[:count] if -score >= least]


def _worth_a_look(name: str, candidates: Iterable[str], most: int = 1000) -> list[str]:
    """Of many candidates those that share a word or a beginning, which is quick to tell."""
    found = list(candidates)
    if len(found) <= most:
        return found
    own, start = words(name), plain(name)[:3]
    scored = sorted((-_words_in_common(own, words(c)) - (plain(c)[:3] == start), c) for c in found)
    return [candidate for _, candidate in scored[:most]]


def _in_order(a: str, b: str) -> float:
    """The ratio of difflib, not computed where its upper bounds show that the texts do not resemble each other."""
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    if matcher.real_quick_ratio() < _WORTH or matcher.quick_ratio() < _WORTH:
        return 0.0
    return matcher.ratio()


def _words_in_common(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    if not one or not other:
        return 0.0
    found = sum(any(_same(a, b) for b in other) for a in one) + sum(any(_same(a, b) for a in one) for b in other)
    return 0.95 * found / (len(one) + len(other))  # the same words in another order are not yet the same name


def _same(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    return short == long or (len(short) >= 3 and long.startswith(short))


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word
