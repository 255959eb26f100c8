"""Which tables hold a word or a value, and how strongly: the inverted index (BM25F without the rarity of words)."""

from __future__ import annotations

from collections import defaultdict
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.shortened import shortens, skeleton
from rsql_magic.sql.linking.words import stems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.linking.lexicon import Lexicon
    from rsql_magic.sql.linking.naming import Naming, Words
    from rsql_magic.sql.linking.weights import Weights

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

LONGEST_VALUE = 6
"""Values of more words are text, and no question repeats them."""
_NOWHERE: tuple[Ints, Floats] = (np.zeros(0, np.int64), np.zeros(0))
_USUAL_COLUMNS, _USUAL_NAME, _USUAL_VALUES = 8, 2, 20
_MOST_COLUMNS = 60
"""More columns do not dilute a word further: in a table of 2,000 each is as much a fact as in one of 60."""
_ALIKE = 5
"""Words that share as many first letters may be one word: diagnosed, diagnosis."""
_ALIKE_SHARE = 0.6


class Postings:
    """The stems of all tables.

    Args:
        lexicon: What the words of a schema may mean.
        tables: The tables.
        naming: Their groups and own names.
        weights: What each field of a table counts.
    """

    def __init__(self, lexicon: Lexicon, tables: Sequence[Table], naming: Naming, weights: Weights) -> None:
        heard: dict[str, dict[int, float]] = defaultdict(dict)
        for place, table in enumerate(tables):
            group, name = naming.belongs(place), naming.names[place]
            for word, strength in _strengths(lexicon, table, (group, name), weights).items():
                heard[word][place] = strength
        self._postings = {word: _arrays(places, weights.k1) for word, places in heard.items()}
        self._shortened: dict[str, Sequence[str]] = {}
        self._unknown: dict[str, list[str]] = defaultdict(list)
        for word in heard:
            if word.isalpha() and not lexicon.knows(word):
                self._unknown[skeleton(word)[:2]].append(word)
        self._by_beginning: dict[str, list[str]] = defaultdict(list)
        for word in heard:
            self._by_beginning[word[:_ALIKE]].append(word)

    def find(self, phrase: str) -> tuple[Ints, Floats]:
        """Where all words of a phrase are, and how strongly (0 to 1) on average."""
        where, strength = _NOWHERE
        for i, word in enumerate(phrase.split()):
            here, strong = self._postings.get(word, _NOWHERE)
            if not i:
                where, strength = here, strong
                continue
            where, a, b = np.intersect1d(where, here, assume_unique=True, return_indices=True)
            strength = (strength[a] + strong[b]) / 2
        return where, strength

    def short_forms(self, word: str) -> Sequence[str]:
        """The unknown words of names that may be short for this one."""
        if word not in self._shortened:
            key = skeleton(word)[:2]
            among = (*self._unknown.get(key, ()), *self._unknown.get(key[:1], ())) if " " not in word else ()
            self._shortened[word] = [short for short in among if shortens(short, word)]
        return self._shortened[word]

    def alike(self, word: str) -> Iterator[tuple[str, float]]:
        """Words that begin like this one, and the share of the letters that is the same."""
        if len(word) < _ALIKE or " " in word:
            return
        for other in self._by_beginning.get(word[:_ALIKE], ()):
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False)))
            share = 2 * same / (len(word) + len(other))
            if other != word and share > _ALIKE_SHARE:
                yield other, share


def value_places(tables: Sequence[Table]) -> Mapping[str, Ints]:
    """For each stored value of a few words, as stems, the tables that hold it."""
    places: dict[str, set[int]] = defaultdict(set)
    for place, table in enumerate(tables):
        for value in dict.fromkeys(stored_values(table)):
            if len(value) > 1 and not value.isdigit() and 0 < len(words := stems(value)) <= LONGEST_VALUE:
                places[" ".join(words)].add(place)
    return {value: np.array(sorted(where), np.int64) for value, where in places.items()}


def stored_values(table: Table) -> Iterator[str]:
    """The values that a table's profile knows."""
    for column in table.columns:
        if column.profile:
            yield from column.profile.values


def _arrays(places: Mapping[int, float], k1: float) -> tuple[Ints, Floats]:
    strength = np.fromiter(places.values(), float, len(places))
    return np.fromiter(places, np.int64, len(places)), strength / (k1 + strength)


def _strengths(lexicon: Lexicon, table: Table, called: tuple[str, Words], w: Weights) -> Mapping[str, float]:
    """How much of each stem a table holds, over all its fields."""
    words: dict[str, float] = defaultdict(float)
    for weight, text in _fields(table, called, w):
        for word, part in lexicon.read(text):
            words[word] += weight * part
    for word, share in _value_words([stems(value) for value in stored_values(table)], w):
        words[word] += share
    return words


def _fields(table: Table, called: tuple[str, Words], w: Weights) -> Iterator[tuple[float, str]]:
    """Each text of a table, and what a word in it counts."""
    group, name = called
    many = _diluted(min(len(table.columns), _MOST_COLUMNS), _USUAL_COLUMNS, w.b)
    yield w.name / _diluted(len(name), _USUAL_NAME, w.b_name), " ".join(name)
    yield w.group, group
    yield w.note, table.description
    for column in table.columns:
        yield w.column / many, column.name
        yield w.column_note / many, column.description


def _value_words(values: Sequence[Sequence[str]], w: Weights) -> Iterable[tuple[str, float]]:
    many = _diluted(len(values), _USUAL_VALUES, w.b)
    return ((word, w.value / len(value) / many) for value in values for word in value)


def _diluted(size: int, usual: int, b: float) -> float:
    return 1 - b + b * size / usual
