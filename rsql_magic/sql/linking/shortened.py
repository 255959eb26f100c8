"""Short forms that no list holds: ``CUST_ACCT_TRNS`` where the comment says "customer account transactions".

People shorten a word by its beginning (``acco``), by its consonants (``trns``), or by the first letters of several
(``gl``, general ledger). A schema's own descriptions say which words its short forms stand for; where there are none, a
short form that no dictionary knows is read as the word of the question that it shortens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SHORTEST, _LONGEST = 3, 6
_FEWEST = 2
"""So often a description must say the word before it explains a short form: once may be chance."""
_MOST_WORDS = 12
"""A longer description says more than what the name means."""


def skeleton(word: str) -> str:
    """The first letter and the consonants after it, none twice in a row: ``account`` is ``acnt``."""
    letters = word[:1] + "".join(letter for letter in word[1:] if letter not in "aeiouy")
    return "".join(letter for letter, _ in groupby(letters))


def shortens(short: str, word: str) -> bool:
    """Whether the letters may stand for the word: its beginning, or its consonants.

    Example:
        >>> [shortens(s, w) for s, w in (("acco", "account"), ("trns", "transaction"), ("dept", "department"))]
        [True, True, True]
        >>> shortens("cat", "concatenate")
        False
    """
    if not _SHORTEST <= len(short) <= _LONGEST or len(word) < len(short) + 2 or short[:1] != word[:1]:
        return False
    return word.startswith(short) or skeleton(word).startswith(skeleton(short)) or _beginning_and_end(short, word)


def _beginning_and_end(short: str, word: str) -> bool:
    """Whether it is the beginning and a later consonant, as ``dept``."""
    return len(short) > _SHORTEST and word.startswith(short[:-1]) and short[-1] in skeleton(word[len(short) - 1 :])


def meanings(named: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Mapping[str, Sequence[str]]:
    """What short forms stand for, by the descriptions beside them.

    Args:
        named: The unknown words of each name, and the words of its description.

    Returns:
        For a short form, the words that descriptions often explain it with, most often first.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for shorts, words in named:
        for short in dict.fromkeys(shorts):
            counts[short].update(set(_explained(short, words[:_MOST_WORDS])))
    return {short: _usual(count) for short, count in counts.items() if _usual(count)}


def _explained(short: str, words: Sequence[str]) -> Iterator[str]:
    yield from (word for word in words if shortens(short, word))
    if len(short) > 1:
        initials = "".join(word[:1] for word in words)
        start = initials.find(short)
        if start >= 0:
            yield " ".join(words[start : start + len(short)])


def _usual(count: Counter[str]) -> list[str]:
    top = max(count.values(), default=0)
    return [word for word, n in count.most_common(3) if n >= _FEWEST and 2 * n >= top]
