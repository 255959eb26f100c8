"""The index of a catalog, how tables are ranked with it (BM25F with keys and clusters), and how many are shown."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import nsmallest
from itertools import count, islice, takewhile
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.catalog import ddl
from rsql_magic.sql.facts import count_tokens
from rsql_magic.sql.linking.families import Times, Twins, families
from rsql_magic.sql.linking.joins import Edges, Joins, copies
from rsql_magic.sql.linking.lexicon import Lexicon, Naming, shortens, skeleton
from rsql_magic.sql.linking.questions import Concept, question_of
from rsql_magic.sql.linking.words import small_names, stems

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Catalog, Column, ForeignKey, Table
    from rsql_magic.sql.linking.earlier import Evidence
    from rsql_magic.sql.linking.families import Family
    from rsql_magic.sql.linking.lexicon import Words

    Floats = NDArray[np.float64]
    Held = Mapping[str, Collection[str]]
    Ints = NDArray[np.int64]

# Tables with more columns are shown in part.
WIDE = 50
# Ten tables are shown whatever share of the schema they are, up to twenty while they cost little.
_FEW, _SOME, MOST = 10, 20, 40
# What is little: the larger of these shares.
_SHARE_OF_SCHEMA, _SHARE_OF_BUDGET = 0.03, 0.25
# Where the ranking is unsure, up to forty that score at least such a share of the best, in such a share of the budget.
_NEARLY, _MUCH = 0.5, 0.75
# Of more members of a family that a question calls for, the first and the last are shown.
_MOST_MEMBERS = 10
# Of a table with more keys only those to tables that may be shown are told, so many of a column.
_MANY_KEYS, _KEYS_OF_A_COLUMN = 6, 2
# For a price from lengths alone; `count_tokens` tells it exactly.
_CHARACTERS_PER_TOKEN = 3.7


@dataclass(frozen=True)
class Shown:
    """How much of a catalog is shown.

    Example:
        >>> print(Shown(tables=12, of_tables=876, columns=90, of_columns=90, tokens=640))
        12 of 876 tables shown
    """

    tables: int  # Number of tables shown
    of_tables: int  # Number of tables there are
    columns: int  # Number of columns shown
    of_columns: int  # Number of columns of the tables shown
    tokens: int  # What their text costs

    def __str__(self) -> str:
        hidden = f", {self.columns:,} of their {self.of_columns:,} columns" if self.columns < self.of_columns else ""
        return f"{self.tables:,} of {self.of_tables:,} tables shown{hidden}"


def shown(tables: Sequence[Table], catalog: Catalog) -> Shown:
    """Say how much of the catalog the tables are that ``link`` or ``widen`` chose from it."""
    whole = [catalog.get(table.full_name) or table for table in tables]
    columns, of_columns = (sum(len(table.columns) for table in some) for some in (tables, whole))
    return Shown(len(tables), len(catalog), columns, of_columns, sum(map(tokens, tables)))


def tokens(table: Table) -> int:
    """What the table's text costs in a prompt."""
    return count_tokens(ddl(table)) + 1


def estimate(table: Table) -> float:
    """What the table's text costs at least, from the lengths of its names and types alone."""
    letters = len(table.full_name) + 20 + sum(len(c.name) + len(c.type) + 5 for c in table.columns)
    return letters / _CHARACTERS_PER_TOKEN


def fit(
    ranked: Iterable[tuple[Table, float]], budget: int, whole: float, cost: Callable[[Table], int] = tokens
) -> list[Table]:
    """The first of the ranked tables, but for those that do not fit; more of them where many score about as well.

    Each comes with its score as a share of the best; ``whole`` is what the whole schema would cost.
    """
    little = min(budget, max(_SHARE_OF_SCHEMA * whole, _SHARE_OF_BUDGET * budget))
    chosen: list[Table] = []
    spent = 0
    for table, share in islice(ranked, MOST):
        allowed = budget if len(chosen) < _FEW else max(_MUCH * budget if share >= _NEARLY else 0.0, little)
        if len(chosen) >= _SOME and share < _NEARLY:
            break
        if spent + (price := cost(table)) <= allowed:
            chosen.append(table)
            spent += price
    return chosen


def with_near_keys(table: Table, ranks: Mapping[str, int]) -> Table:
    """The table; one with many keys with those to ranked tables only, and of each column the best two."""
    if len(table.foreign_keys) <= _MANY_KEYS:
        return table
    near = sorted((key for key in table.foreign_keys if key.table in ranks), key=lambda key: ranks[key.table])
    kept: dict[tuple[str, ...], list[ForeignKey]] = defaultdict(list)
    for key in near:
        kept[key.columns].append(key)
    few = {key for keys in kept.values() for key in keys[:_KEYS_OF_A_COLUMN]}
    return replace(table, foreign_keys=tuple(key for key in table.foreign_keys if key in few))


def trimmed(table: Table, scores: Sequence[float], keep: int = WIDE) -> Table:
    """The table with its keys and its most relevant columns, in their order; its description says what is left out."""
    if len(table.columns) <= keep:
        return table
    keys = {*table.primary_key, *(name for key in table.foreign_keys for name in key.columns)}
    ranked = zip((column.name not in keys for column in table.columns), (-score for score in scores), count())
    return with_some(table, {table.columns[i].name for _, _, i in nsmallest(keep, ranked)})


def with_some(table: Table, names: set[str]) -> Table:
    """The table with some of its columns, and a description that says so."""
    columns: tuple[Column, ...] = tuple(column for column in table.columns if column.name in names)
    note = f"{len(columns):,} of {len(table.columns):,} columns shown"
    keys = tuple(key for key in table.foreign_keys if names.issuperset(key.columns))
    description = "; ".join(part for part in (note, table.description) if part)
    return replace(table, columns=columns, foreign_keys=keys, description=description)


# Names of so few letters are said by chance.
_TELLING = 2
# The share of what one schema says about a word from which another says it as well.
_AS_WELL = 0.5
# Tokens (estimated) above which a schema is large enough not to be counted exactly.
_WORTH_COUNTING = 20_000


def _holding(index: Index, held: Held, places: Mapping[str, int]) -> Iterator[Floats]:
    """A row for each phrase that tables hold; a plain word may be a value by chance."""
    for phrase, tables in held.items():
        row = np.zeros(len(index.tables))
        where = np.array(sorted({places[name] for name in tables if name in places}), np.int64)
        if len(where):
            is_plain = phrase.isalpha() and phrase.islower()
            weight = index.weights.word_value if is_plain else index.weights.full_value
            row[where] = weight * index.rarity(where)
        yield row


def _described(tables: Sequence[Table]) -> Iterator[tuple[str, str]]:
    """The names of all tables and columns, with their descriptions."""
    for table in tables:
        yield table.name, table.description
        yield from ((column.name, column.description) for column in table.columns)


class Index:
    """The words, values and keys of one catalog, ready for questions; ``weights`` say how much each sign counts."""

    def __init__(self, catalog: Catalog, weights: Weights | None = None) -> None:
        self._all = catalog.tables
        self._own = {id(table) for table in catalog.tables}
        self._tokens: dict[int, int] = {}
        self.families = families(catalog.tables)
        self.tables = [family.model for family in self.families]
        self.weights = weights or Weights()
        self._lexicon = Lexicon((n for t in self.tables for n in (t.name, *(c.name for c in t.columns))), self.weights)
        self._places = {t.full_name: place for place, family in enumerate(self.families) for t in family.members}
        self._times = Times(self.families)
        self.naming = Naming(self.tables)
        self._twins = Twins(self.tables, self.naming.groups)
        for place, family in enumerate(self.families):
            if len(family.members) > 1:  # the number is of one member and not of the family
                self.naming.names[place] = without_numbers(self.naming.names[place])
        self._lexicon.learn(_described(self.tables))
        self._copies = copies(self.tables, self.naming)
        self._originals = np.array([place not in self._copies for place in range(len(self.tables))], bool)
        self._postings = Postings(self._lexicon, self.tables, self.naming, self.weights)
        self._values = value_places(self.tables)
        self._joins = Joins(self.tables, self.naming, self._copies)
        self._names = _telling_names(self.families, self._lexicon)

    @classmethod
    def of(cls, catalog: Catalog) -> Index:
        """The catalog's index, built at the first question and kept with the catalog."""
        return catalog.kept("_linking_index", cls)

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

    def every(self, question: str, evidence: Evidence | None = None) -> list[Table]:
        """All tables, best first."""
        ranked = (self.families[place] for place in self.rank(question, evidence))
        return [table for f in ranked for table in dict.fromkeys((*f.called_for(question), *reversed(f.members)))]

    def ranked(self, question: str) -> Iterator[Table]:
        """The tables, best first; of repeated ones those the question calls for."""
        return (table for table, _ in self.scored(question))

    def scored(
        self, question: str, evidence: Evidence | None = None, held: Held | None = None
    ) -> Iterator[tuple[Table, float]]:
        """The tables, best first, with their scores as shares of the best; of repeated ones those asked for."""
        scores = self.scores(question, evidence, held)
        top = max(scores.max(initial=0.0), 1e-9)
        few = {name for names in (held or {}).values() if len(names) <= _MOST_MEMBERS for name in names}
        for place in self._ranked(question, scores):
            family = self.families[place]
            holders = [table for table in family.members if table.full_name in few] if few else []
            for table in dict.fromkeys((*holders, *family.shown_for(question, _MOST_MEMBERS))):
                yield table, float(scores[place] / top)

    def rank(self, question: str, evidence: Evidence | None = None) -> list[int]:
        """Positions in ``tables``, best first; tables that the question calls by their very names before all others."""
        return self._ranked(question, self.scores(question, evidence))

    def _ranked(self, question: str, scores: Floats) -> list[int]:
        named = [place for name in question_of(question).mentions for place in self._names.get(name, ())]
        scores = scores.copy()
        scores[named] += scores.max(initial=0) + 1  # above all others, in their own order
        ranked = np.lexsort((-self._joins.hubs, -scores)).tolist()
        return [*self._twins.behind(ranked[:MOST], _FEW), *ranked[MOST:]]

    def scores(self, question: str, evidence: Evidence | None = None, held: Held | None = None) -> Floats:
        """How much each table matters: by its own words, by those its neighbours and its cluster cover.

        ``held`` are phrases of the question, and the full names of the tables that hold them as values.
        """
        w, asked = self.weights, question_of(question)
        found = self.found(self._concepts(question))
        if held:
            found = np.vstack([found, *_holding(self, held, self._places)])
        seen = Edges(evidence.keys(self._places), len(self.tables)) if evidence else None
        near = w.neighbour * self._joins.spread(found, w.maybe, w.damp, seen)
        local = np.maximum(found, near)
        far = np.maximum(local, w.neighbour * self._joins.spread(near, w.maybe, w.damp, seen))
        best, sizes = self._joins.best(found)
        own = found * (found / np.maximum(best, 1e-9)) ** w.sharp
        scores: Floats = (own + w.local * local + w.far * far + w.cluster * best / sizes**w.size).sum(axis=0)
        scores += w.hub * scores.max(initial=0) * self._joins.hubs
        if evidence:
            like, used = evidence.shares(question, self._places)
            scores += (scores.max(initial=0) or 1.0) * (w.asked * like + w.used * used)
        fits, other = self._times.fit(question, len(self.tables))
        scores *= 1 + w.time * fits - w.other_time * other
        unasked = [place for place, copy in self._copies.items() if not copy.asked_for(asked.stems)]
        scores[unasked] *= w.copy
        return scores

    def _concepts(self, question: str) -> list[Concept]:
        """What the question asks about, a schema named like a small word (``us``) included."""
        groups = set(self.naming.groups) - {""}
        schemas = small_names(question, groups) if groups else set[str]()
        named = [Concept({" ".join(stems(name)): 1.0}) for name in sorted(schemas)]
        return [*question_of(question).concepts(self._values, self.weights), *named]

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
                row[where] = concept.weight * self.rarity(where)
            else:
                self._find(row, concept)
        return found

    def _find(self, row: Floats, concept: Concept) -> None:
        """Fill one row with the strongest of the words that may stand for the concept."""
        # A synonym counts as no rarer than the word itself: that few tables say "pupil" does not make it a better
        # answer to "student" than the table called so.
        rarest = np.inf
        for phrase, sure in self._options(concept):
            where, strength = self._postings.find(phrase)
            if len(where):
                rarity = min(rarest, self.rarity(where))
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

    def rarity(self, where: Ints) -> float:
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
        return question_of(question).value_phrases(self._values)

    def tables_with_value(self, stemmed: str) -> list[Table]:
        """The tables that hold a value with these stems."""
        return [self.tables[place] for place in self._values.get(stemmed, ())]

    def trimmed(self, table: Table, question: str) -> Table:
        """The table without the less relevant of more than fifty columns."""
        if len(table.columns) <= WIDE:
            return table
        concepts = question_of(question).concepts(self._values, self.weights)
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


def _telling_names(families: Sequence[Family], lexicon: Lexicon) -> dict[str, list[int]]:
    """The names that can only mean a table, in lower case: ``order_items``, but not plain words like ``orders``."""
    names = defaultdict(list)
    for place, family in enumerate(families):
        for table in family.members:
            for name in {table.full_name.casefold(), table.name.casefold()}:
                if len(name) > _TELLING and not lexicon.is_word(name):
                    names[name].append(place)
    return names


# Values of more words are text, and no question repeats them.
LONGEST_VALUE = 6
# Where a word is that no table has.
_NOWHERE: tuple[Ints, Floats] = (np.zeros(0, np.int64), np.zeros(0))
# In place of BM25's average lengths: fixed, so a score does not depend on how long other tables are.
_USUAL_COLUMNS, _USUAL_NAME, _USUAL_VALUES = 8, 2, 20
# More columns do not dilute a word further: in a table of 2,000 each is as much a fact as in one of 60.
_MOST_COLUMNS = 60
# Words that share as many first letters may be one word: diagnosed, diagnosis.
_ALIKE = 5
_ALIKE_SHARE = 0.6


class Postings:
    """The stems of all tables, with how strongly each table holds them."""

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
    values = [stems(value) for value in stored_values(table)]
    many = _diluted(len(values), _USUAL_VALUES, w.b)
    for value in values:
        for word in value:
            words[word] += w.value / len(value) / many
    return words


def _fields(table: Table, called: tuple[str, Words], w: Weights) -> Iterator[tuple[float, str]]:
    """Each text of a table, and what a word in it counts."""
    group, name = called
    many = _diluted(min(len(table.columns), _MOST_COLUMNS), _USUAL_COLUMNS, w.b)
    yield w.name / _diluted(len(without_numbers(name)), _USUAL_NAME, w.b_name), " ".join(name)
    yield w.group, group
    yield w.note, table.description
    for column in table.columns:
        yield w.column / many, column.name
        yield w.column_note / many, column.description


def without_numbers(name: Words) -> Words:
    """The words of a name that are no numbers; a name of numbers alone stays."""
    return tuple(word for word in name if not word.isdigit()) or name


def _diluted(size: int, usual: int, b: float) -> float:
    return 1 - b + b * size / usual


@dataclass(frozen=True)
class Weights:
    """The numbers of the ranking, the same for every catalog."""

    # They are round on purpose: hardly one matters to its second digit (docs/linking.md).

    name: float = 3.0  # A word of a table's own name
    column: float = 1.0  # A word of a column's name
    group: float = 1.0  # A word of the schema or prefix a table belongs to
    note: float = 0.3  # A word of a table's description
    column_note: float = 0.3  # A word of a column's description
    value: float = 0.2  # A word of a stored value
    full_value: float = 0.2  # A phrase of the question that is a stored value
    word_value: float = 0.1  # A plain word of the question that is a stored value by chance or on purpose
    k1: float = 1.5  # How soon repetition stops to count (BM25)
    b: float = 0.65  # How much many columns dilute each word (BM25)
    b_name: float = 0.85  # How much a long name dilutes each word
    short: float = 1.0  # A long word that a short form may mean (dept, department)
    part: float = 0.8  # A word inside a compound (hometown, home)
    synonym: float = 0.7  # A word that stands for the word asked, times what the thesaurus says
    alike: float = 0.2  # A word that begins like the word asked (diagnosed, diagnosis)
    time: float = 0.1  # What a table gains that is by its name about a year, month or day that the question names
    other_time: float = 0.2  # What one about other times loses
    number: float = 0.5  # A number in the question
    extreme: float = 0.3  # A word such as "highest", which asks for a rank rather than for a table
    inside: float = 0.5  # A word that is part of a known phrase or value
    intent: float = 0.2  # What "when", "where", "who" or a date ask for
    neighbour: float = 1.0  # What a word found in a table one key away counts here
    maybe: float = 0.7  # A key that names suggest, against one that is declared
    local: float = 1.3  # The words covered together with the tables one key away
    far: float = 0.3  # The words covered together with the tables two keys away
    cluster: float = 2.5  # The words covered together with the whole schema, prefix or island of keys
    size: float = 0.3  # How much a large cluster's coverage is discounted
    sharp: float = 1.5  # How much a word counts less where another table of the cluster has it more
    # What the table that most others refer to gains, as a share of the best score; fewer gain by the logarithm
    hub: float = 0.07
    # How much less a table with many keys hands on to its neighbours (a power of its number of neighbours)
    damp: float = 0.3
    asked: float = 0.5  # A table of the query that answered a question like this one, as a share of the best score
    used: float = 0.05  # The table that earlier queries use most; others by the logarithm
    copy: float = 0.6  # What is left of the score of a copy (``orders_bak``) that the question does not ask for
    guess: float = 0.3  # An unknown short form that may be the word asked (``trns``, transaction)
