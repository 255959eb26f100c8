"""The index of a catalog: which table holds which words, and how the tables hang together."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.linking.words import STOP_WORDS, split, stem, stems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from rsql_magic.context import Catalog, Table

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Weights:
    """How much each sign counts; tuned on public question sets (docs/linking.md).

    Args:
        name: A word of the table's name.
        column: A word of a column's name.
        group: A word of the schema, database or ``prefix__`` of a table.
        note: A word of the table's or a column's description.
        value: A word of a stored value.
        k1: BM25's saturation.
        b: BM25's length normalisation, of columns, notes and values.
        neighbour: What a word found in a table one key away counts for this table.
        local: The share of the neighbourhood's coverage in a table's score.
        cluster: The share of the cluster's coverage in a table's score.
    """

    name: float = 2.0
    column: float = 1.0
    group: float = 0.7
    note: float = 0.5
    value: float = 0.4
    k1: float = 1.2
    b: float = 0.6
    neighbour: float = 0.6
    local: float = 0.5
    cluster: float = 0.6


@dataclass(frozen=True)
class Concept:
    """One word of the question, with every stem that may stand for it and how surely (0 to 1)."""

    stems: dict[str, float]
    weight: float = 1.0


class Index:
    """The words and keys of one catalog, ready for questions.

    Args:
        catalog: The tables.
        weights: How much each sign counts.
    """

    def __init__(self, catalog: Catalog, weights: Weights | None = None) -> None:
        self.tables = catalog.tables
        self.weights = weights or Weights()
        self._postings = _postings(self.tables, self.weights)
        self._clusters, self._edges = _clusters(self.tables), _edges(catalog)

    @classmethod
    def of(cls, catalog: Catalog) -> Index:
        """The catalog's index, built at the first question and kept with the catalog."""
        memo = vars(catalog)
        if "_linking_index" not in memo:
            memo["_linking_index"] = cls(catalog)
        index = memo["_linking_index"]
        assert isinstance(index, cls)  # noqa: S101
        return index

    def rank(self, question: str) -> list[int]:
        """Positions of all tables, best first."""
        scores = self.scores(self.concepts(question))
        return [int(i) for i in np.argsort(-scores, kind="stable")]

    def concepts(self, question: str) -> list[Concept]:
        """The words of the question that may name something."""
        words = dict.fromkeys(stem(w) for w in split(question) if w not in STOP_WORDS)
        return [Concept({word: 1.0}) for word in words]

    def scores(self, concepts: list[Concept]) -> Floats:
        """How much each table matters: its own words, its neighbourhood's, its cluster's."""
        w = self.weights
        found = self._found(concepts)
        near = np.zeros_like(found)
        a, b = self._edges
        for i in range(len(found)):
            np.maximum.at(near[i], a, found[i, b])
        local = np.maximum(found, w.neighbour * near).sum(axis=0)
        wide = np.zeros((len(found), int(self._clusters.max(initial=0)) + 1))
        for i in range(len(found)):
            np.maximum.at(wide[i], self._clusters, found[i])
        cluster = wide.sum(axis=0)[self._clusters]
        scores: Floats = found.sum(axis=0) + w.local * local + w.cluster * cluster
        return scores

    def _found(self, concepts: list[Concept]) -> Floats:
        found = np.zeros((len(concepts), len(self.tables)))
        for i, concept in enumerate(concepts):
            for word, sure in concept.stems.items():
                if word in self._postings:
                    where, strength = self._postings[word]
                    np.maximum.at(found[i], where, sure * concept.weight * strength)
        return found


def _postings(tables: tuple[Table, ...], w: Weights) -> dict[str, tuple[Ints, Floats]]:
    """For each stem the tables that hold it and how strongly: BM25F times the rarity of the stem."""
    heard: dict[str, dict[int, float]] = defaultdict(dict)
    for place, table in enumerate(tables):
        for word, strength in _strengths(table, w).items():
            heard[word][place] = strength
    postings = {}
    for word, places in heard.items():
        rarity = np.log(1 + (len(tables) - len(places) + 0.5) / (len(places) + 0.5))
        tf = np.fromiter(places.values(), float, len(places))
        postings[word] = np.fromiter(places, np.int64, len(places)), rarity * tf * (w.k1 + 1) / (w.k1 + tf)
    return postings


def _strengths(table: Table, w: Weights) -> Counter[str]:
    words: Counter[str] = Counter()
    group, name = group_and_name(table)
    length = 1 - w.b + w.b * len(table.columns) / 8
    for weight, texts in (
        (w.name, [name]),
        (w.group, [group]),
        (w.column / length, (c.name for c in table.columns)),
        (w.note, [table.description]),
        (w.note / length, (c.description for c in table.columns)),
        (w.value / length, _values(table)),
    ):
        for text in texts:
            for word in stems(text):
                words[word] += weight
    return words


def _values(table: Table) -> Iterator[str]:
    for column in table.columns:
        if column.profile:
            yield from column.profile.values


def group_and_name(table: Table) -> tuple[str, str]:
    """The part of a name that says where a table belongs, and its own: ``hr__employees`` is of hr."""
    group, _, name = table.name.rpartition("__")
    return " ".join(part for part in (table.database, table.schema, group) if part), name or table.name


def _clusters(tables: Iterable[Table]) -> Ints:
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(group_and_name(t)[0], len(numbers)) for t in tables], np.int64)


def _edges(catalog: Catalog) -> tuple[Ints, Ints]:
    places = {table.full_name: place for place, table in enumerate(catalog.tables)}
    pairs = {
        pair
        for place, table in enumerate(catalog.tables)
        for key in table.foreign_keys
        if (other := places.get(key.table)) is not None and other != place
        for pair in ((place, other), (other, place))
    }
    both = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]
