"""The index of a catalog, and how tables are ranked with it."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.families import copies, families
from rsql_magic.sql.linking.fitting import WIDE, estimate, tokens, trimmed
from rsql_magic.sql.linking.joins import Joins
from rsql_magic.sql.linking.lexicon import Lexicon, Naming
from rsql_magic.sql.linking.postings import Postings, Weights, value_places
from rsql_magic.sql.linking.questions import Concept, Question
from rsql_magic.sql.linking.words import small_names, stems

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Catalog, Column, Table

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_TELLING = 2
_AS_WELL = 0.5
"""The share of what one schema says about a word from which another says it as well."""
_WORTH_COUNTING = 20_000
"""Tokens (estimated) above which a schema is large enough not to be counted exactly."""


def _described(tables: Sequence[Table]) -> Iterator[tuple[str, str]]:
    """The names of all tables and columns, and what is said of them."""
    for table in tables:
        yield table.name, table.description
        yield from ((column.name, column.description) for column in table.columns)


class Index:
    """The words, values and keys of one catalog, ready for questions.

    Args:
        catalog: The tables.
        weights: How much each sign counts.
    """

    def __init__(self, catalog: Catalog, weights: Weights | None = None) -> None:
        self._all = catalog.tables
        self._own = {id(table) for table in catalog.tables}
        self._tokens: dict[int, int] = {}
        self.families = families(catalog.tables)
        self.tables = [family.model for family in self.families]
        self.weights = weights or Weights()
        self._lexicon = Lexicon((n for t in self.tables for n in (t.name, *(c.name for c in t.columns))), self.weights)
        self.naming = Naming(self.tables)
        self._lexicon.learn(_described(self.tables))
        self._copies = copies(self.tables, self.naming)
        self._originals = np.array([place not in self._copies for place in range(len(self.tables))], bool)
        self._postings = Postings(self._lexicon, self.tables, self.naming, self.weights)
        self._values = value_places(self.tables)
        self._joins = Joins(self.tables, self.naming, self._copies)
        self._names = self._telling_names()

    @classmethod
    def of(cls, catalog: Catalog) -> Index:
        """The catalog's index, built at the first question and kept with the catalog."""
        memo = vars(catalog)
        if "_linking_index" not in memo:
            memo["_linking_index"] = cls(catalog)
        index: Index = memo["_linking_index"]
        return index

    @cached_property
    def cost(self) -> float:
        """The tokens of all tables: exact when they are few, else estimated from their names."""
        least = sum(map(estimate, self._all))
        return sum(map(self.tokens, self._all)) if least < _WORTH_COUNTING else least

    def tokens(self, table: Table) -> int:
        """What a table's text costs; counted once for tables of the catalog, which live as long as the index."""
        if id(table) not in self._own:
            return tokens(table)
        if id(table) not in self._tokens:
            self._tokens[id(table)] = tokens(table)
        return self._tokens[id(table)]

    @property
    def values(self) -> Container[str]:
        """The stored values, as stems."""
        return self._values

    def knows(self, word: str) -> bool:
        """Whether a name, its synonyms or the thesaurus have a word."""
        return self._lexicon.is_word(word) or self._lexicon.knows(word)

    def every(self, question: str) -> list[Table]:
        """All tables, best first."""
        return [table for place in self.rank(question) for table in reversed(self.families[place].members)]

    def ranked(self, question: str) -> Iterator[Table]:
        """The tables, best first; of repeated ones those the question calls for."""
        for place in self.rank(question):
            yield from self.families[place].shown_for(question)

    def rank(self, question: str) -> list[int]:
        """Positions in ``tables``, best first; tables that the question calls by their very names before all others."""
        scores = self.scores(question)
        named = [place for name in Question(question).mentions for place in self._names.get(name, ())]
        scores[named] += scores.max(initial=0) + 1
        return [int(i) for i in np.lexsort((-self._joins.hubs, -scores))]

    def _telling_names(self) -> dict[str, list[int]]:
        """The names that can only mean a table, in lower case: ``order_items``, but not plain words like ``orders``."""
        names = defaultdict(list)
        for place, family in enumerate(self.families):
            for table in family.members:
                for name in {table.full_name.casefold(), table.name.casefold()}:
                    if len(name) > _TELLING and not self._lexicon.is_word(name):
                        names[name].append(place)
        return names

    def scores(self, question: str) -> Floats:
        """How much each table matters: by its own words, by those its neighbours and its cluster cover."""
        w, asked = self.weights, Question(question)
        found = self.found(self._concepts(question))
        near = w.neighbour * self._joins.spread(found, w.maybe, w.damp)
        local = np.maximum(found, near)
        far = np.maximum(local, w.neighbour * self._joins.spread(near, w.maybe, w.damp))
        best, sizes = self._joins.best(found)
        own = found * (found / np.maximum(best, 1e-9)) ** w.sharp
        scores: Floats = (own + w.local * local + w.far * far + w.cluster * best / sizes**w.size).sum(axis=0)
        scores += w.hub * scores.max(initial=0) * self._joins.hubs
        unasked = [place for place, copy in self._copies.items() if not copy.asked_for(asked.stems)]
        scores[unasked] *= w.copy
        return scores

    def _concepts(self, question: str) -> list[Concept]:
        """What the question asks about, a schema named like a small word (``us``) included."""
        schemas = small_names(question, set(self.naming.groups))
        named = [Concept({" ".join(stems(name)): 1.0}) for name in sorted(schemas)]
        return [*Question(question).concepts(self._values, self.weights), *named]

    def namesakes(self, question: str, place: int) -> list[int]:
        """Tables of the same name in other schemas, around which the question finds all that it finds around this."""
        others = [i for i, name in enumerate(self.naming.names) if name == self.naming.names[place]]
        others = [i for i in others if self.naming.groups[i] != self.naming.groups[place] and i not in self._copies]
        distinctive = [c for c in self._concepts(question) if c.value or c.weight > self.weights.extreme]
        best, _ = self._joins.best(self.found(distinctive))
        return [i for i in others if bool((best[:, i] >= _AS_WELL * best[:, place]).all())]

    def found(self, concepts: Sequence[Concept]) -> Floats:
        """How strongly each concept (row) is present in each table (column)."""
        found = np.zeros((len(concepts), len(self.tables)))
        for row, concept in zip(found, concepts, strict=True):
            if concept.value:
                where = self._values[concept.value]
                row[where] = concept.weight * self._rarity(where)
            else:
                self._find(row, concept)
        return found

    def _find(self, row: Floats, concept: Concept) -> None:
        """Fill one row with the strongest of the words that may stand for the concept.

        A synonym counts as no rarer than the word itself: that few tables say "pupil" does not make it a better answer
        to "student" than the table called so.
        """
        rarest = np.inf
        for phrase, sure in self._options(concept):
            where, strength = self._postings.find(phrase)
            if len(where):
                rarity = min(rarest, self._rarity(where))
                rarest = rarity if sure == 1 else rarest
                row[where] = np.maximum(row[where], sure * concept.weight * rarity * strength)

    def _options(self, concept: Concept) -> Iterator[tuple[str, float]]:
        """The concept's words, those that stand or may be short for them, and those that begin alike."""
        for phrase, sure in concept.options.items():
            yield phrase, sure if sure == 1 else sure * self.weights.synonym
            yield from ((short, sure * self.weights.guess) for short in self._postings.short_forms(phrase))
        for word, share in self._postings.alike(next(iter(concept.options))):
            if word not in concept.options:
                yield word, self.weights.alike * share

    def _rarity(self, where: Ints) -> float:
        """How rare a word is that these tables hold (the idf of BM25, Robertson and Zaragoza 2009); no copies."""
        tables, of_tables = max(int(self._originals[where].sum()), 1), int(self._originals.sum())
        return float(np.log(1 + (of_tables - tables + 0.5) / (tables + 0.5)))

    @cached_property
    def _holders(self) -> dict[str, list[Table]]:
        holders = defaultdict(list)
        for table in self.tables:
            for name in dict.fromkeys(column.name.casefold() for column in table.columns):
                holders[name].append(table)
        return holders

    def holders(self, column: str) -> list[Table]:
        """The tables with a column of that name, case ignored."""
        return self._holders.get(column.casefold(), [])

    def value_phrases(self, question: str) -> list[tuple[str, str]]:
        """Phrases of the question that look like stored values, the longest first, and their stems."""
        return Question(question).value_phrases(self._values)

    def tables_with_value(self, stemmed: str) -> list[Table]:
        """The tables that hold a value with these stems."""
        return [self.tables[place] for place in self._values.get(stemmed, ())]

    def trimmed(self, table: Table, question: str) -> Table:
        """The table without the less relevant of more than fifty columns."""
        if len(table.columns) <= WIDE:
            return table
        concepts = Question(question).concepts(self._values, self.weights)
        asked = {word for concept in concepts for option in concept.options for word in option.split()}
        by_value = any(concept.value for concept in concepts)
        hits = (by_value or not asked.isdisjoint(self._words(column)) for column in table.columns)
        scores = [
            sum(self._stands_for(column, concept) for concept in concepts) if hit else 0.0
            for column, hit in zip(table.columns, hits, strict=True)
        ]
        return trimmed(table, scores)

    def _words(self, column: Column) -> frozenset[str]:
        """The words of a column's name and description, and what they may mean."""
        own = self._lexicon.words(column.name)
        return own | self._lexicon.words(column.description) if column.description else own

    def _stands_for(self, column: Column, concept: Concept) -> float:
        """How surely the column is what the concept means."""
        if concept.value:
            values = column.profile.values if column.profile else ()
            return concept.weight * any(" ".join(stems(value)) == concept.value for value in values)
        words = self._words(column)
        sure = (sure for phrase, sure in concept.options.items() if words.issuperset(phrase.split()))
        return concept.weight * max(sure, default=0.0)
