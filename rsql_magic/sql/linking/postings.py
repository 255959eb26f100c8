"""Which tables hold a word or a value, and how strongly: the inverted index (BM25F without the rarity of words)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.lexicon import shortens, skeleton
from rsql_magic.sql.linking.words import stems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.linking.lexicon import Lexicon, Naming, Words

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


@dataclass(frozen=True)
class Weights:
    """The numbers of the ranking, the same for every catalog.

    They are round on purpose: hardly one matters to its second digit (docs/linking.md).

    Args:
        name: A word of a table's own name.
        column: A word of a column's name.
        group: A word of the schema or prefix a table belongs to.
        note: A word of a table's description.
        column_note: A word of a column's description.
        value: A word of a stored value.
        full_value: A phrase of the question that is a stored value.
        word_value: A plain word of the question that is a stored value by chance or on purpose.
        k1: How soon repetition stops to count (BM25).
        b: How much many columns dilute each word (BM25).
        b_name: How much a long name dilutes each word.
        short: A long word that a short form may mean (dept, department).
        part: A word inside a compound (hometown, home).
        synonym: A word that stands for the word asked, times what the thesaurus says.
        alike: A word that begins like the word asked (diagnosed, diagnosis).
        number: A number in the question.
        extreme: A word such as "highest", which asks for a rank rather than for a table.
        inside: A word that is part of a known phrase or value.
        intent: What "when", "where", "who" or a date ask for.
        neighbour: What a word found in a table one key away counts here.
        maybe: A key that names suggest, against one that is declared.
        local: The words covered together with the tables one key away.
        far: The words covered together with the tables two keys away.
        cluster: The words covered together with the whole schema, prefix or island of keys.
        size: How much a large cluster's coverage is discounted.
        sharp: How much a word counts less where another table of the cluster has it more.
        hub: What the table that most others refer to gains, as a share of the best score; fewer gain by the logarithm.
        damp: How much less a table with many keys hands on to its neighbours (a power of its number of neighbours).
        copy: What is left of the score of a copy (``orders_bak``) that the question does not ask for.
        guess: An unknown short form that may be the word asked (``trns``, transaction).
    """

    name: float = 3.0
    column: float = 1.0
    group: float = 1.0
    note: float = 0.3
    column_note: float = 0.3
    value: float = 0.2
    full_value: float = 0.2
    word_value: float = 0.1
    k1: float = 1.5
    b: float = 0.65
    b_name: float = 0.85
    short: float = 1.0
    part: float = 0.8
    synonym: float = 0.7
    alike: float = 0.2
    number: float = 0.5
    extreme: float = 0.3
    inside: float = 0.5
    intent: float = 0.2
    neighbour: float = 1.0
    maybe: float = 0.7
    local: float = 1.3
    far: float = 0.3
    cluster: float = 2.5
    size: float = 0.3
    sharp: float = 1.5
    hub: float = 0.07
    damp: float = 0.3
    copy: float = 0.6
    guess: float = 0.3
