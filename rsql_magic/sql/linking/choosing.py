"""From a question to the tables that are shown, the values that it names, and the words that it misspells."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.index import MOST, Index, fit, with_near_keys, with_some
from rsql_magic.sql.linking.questions import question_of
from rsql_magic.sql.linking.words import STOP_WORDS, mistyped, named_schemas, slips, split, stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.linking.earlier import Evidence
    from rsql_magic.sql.linking.index import Held

# A draft adds at most so many tables: a draft that names everything knows nothing.
_MORE = 6
_PER_NAME = 2


def link(
    question: str,
    catalog: Catalog,
    budget_tokens: int = 8000,
    evidence: Evidence | None = None,
    held: Callable[[], Held] = dict,
) -> list[Table]:
    """The tables that matter to a question, best first.

    The whole schema when it fits the budget. Otherwise ten tables or up to forty where many may be meant, of repeated
    tables (one per day, say) only those the question calls for, and of tables with more than fifty columns the relevant
    ones and the keys; their descriptions say what is left out.

    What earlier queries tell (``evidence``) counts as well: tables that answered questions like this one, and those
    joined with them.

    ``held`` gives phrases of the question with the full names of the tables that hold them as values, beyond the values
    of profiles; it is called where a choice is to be made.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Table
        >>> shop = Catalog((Table("orders", (Column("id"),)), Table("customer", (Column("name"),))))
        >>> [table.name for table in link("Who are our best clients?", shop)]
        ['customer', 'orders']
    """
    if (index := Index.of(catalog)).cost <= budget_tokens:
        return index.every(question, evidence)
    ranked = list(islice(index.scored(question, evidence, held()), MOST))
    ranks = {table.full_name: rank for rank, (table, _) in enumerate(ranked)}
    whole = ((index.trimmed(table, question), share) for table, share in ranked)
    told = ((with_near_keys(table, ranks), share) for table, share in whole)
    return fit(told, budget_tokens, index.cost, index.tokens)


def rivals(question: str, catalog: Catalog, within: float = 0.05) -> list[Table]:
    """The best table of each schema that answers the question about as well as the best schema does.

    A table of the same name in another schema does so too when it has all that the question asks about (``hr.employee``
    and ``sales.employee``), whatever else is in its schema. A schema that the question names is the one meant.

    With more than one there are several readings, and asking is better than guessing: on public question sets the first
    is right in a third of such cases, and in nine of ten of the others (docs/linking.md). With one the question is
    clear, with none nothing in it is found.

    ``within`` is how far below the best score another schema's may be, as a share of it; groups of tables that a
    ``prefix__`` makes count as schemas.
    """
    index = Index.of(catalog)
    scores = index.scores(question)
    best: dict[str, int] = {}
    for place in index.rank(question):
        best.setdefault(index.naming.groups[place], place)
    top = scores.max(initial=0.0)
    found = [place for place in best.values() if scores[place] > 0 and scores[place] >= (1 - within) * top]
    if found:
        found += [place for place in index.namesakes(question, found[0]) if place not in found]
    groups = {index.naming.groups[place] for place in found}
    meant = named_schemas(question, groups) if len(groups) > 1 else set()
    return [index.tables[place] for place in found if not meant or index.naming.groups[place] in meant]


def widen(tables: Sequence[Table], names: Iterable[str], catalog: Catalog) -> list[Table]:
    """The tables shown so far and those that the names of a first draft point to, even wrong ones.

    A draft written from too little schema names what it misses: a table that exists elsewhere, a column that another
    table has, or something like it. The names are of tables and columns, qualified or not, such as
    ``orders.client_name``. Wide tables come with the columns that were named; at most six are added.
    """
    index, asked = Index.of(catalog), list(dict.fromkeys(names))
    kept = [_with_named(table, asked, catalog) for table in tables]
    seen = {table.full_name for table in kept}
    meant = dict.fromkeys(table.full_name for name in asked for table in _meant(name, index, catalog, seen))
    new = [catalog[name] for name in meant if name not in seen]
    return [*kept, *(index.trimmed(table, " ".join(asked)) for table in new[:_MORE])]


def _with_named(table: Table, names: Iterable[str], catalog: Catalog) -> Table:
    """A table shown in part, with the hidden columns that the draft named."""
    if (whole := catalog.get(table.full_name)) is None or len(whole.columns) == len(table.columns):
        return table
    named = {column.name for name in names if (column := whole.column(name.rpartition(".")[2]))}
    shown = {column.name for column in table.columns}
    return table if named <= shown else with_some(whole, named | shown)


def _meant(name: str, index: Index, catalog: Catalog, seen: set[str]) -> Iterator[Table]:
    """The tables a name may mean: the one so called, those with a column so called, else the ones most like it."""
    if table := catalog.get(name):
        yield table
        return
    qualifier, _, column = name.rpartition(".")
    if table := catalog.get(qualifier):
        yield table
    if not (holders := index.holders(column)):
        yield from islice(index.ranked(name), _PER_NAME)
    elif seen.isdisjoint(table.full_name for table in holders):
        yield from holders[:_PER_NAME]


_SHORTEST, _LONG = 5, 7


def misspelt(question: str, catalog: Catalog) -> dict[str, str]:
    """Words of a question that are most likely names of the schema, mistyped, with the word of the name that is meant.

    A word that a table, a column, a stored value or the thesaurus has is never touched, nor is one in quotes or with a
    capital, which may be a value; nor one that resembles two names.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE customers (id INT, region TEXT)", "duckdb")
        >>> misspelt("how many custmers per regoin?", shop)
        {'custmers': 'customers', 'regoin': 'region'}
    """
    index, asked = Index.of(catalog), question_of(question)
    names = catalog.kept("_linking_letters", _words_of_names)
    values = {word for phrase, _ in asked.value_phrases(index.values) for word in split(phrase)}
    found = {}
    for place, word in enumerate(asked.words):
        unknown = len(word) >= _SHORTEST and place not in asked.named and word not in values
        if unknown and word not in STOP_WORDS and not index.knows(word):
            meant = [name for name in names.get(word[0], ()) if _is_slip(word, name)]
            if len({stem(name) for name in meant}) == 1:
                found[word] = min(meant, key=lambda name: (slips(word, name), len(name)))
    return found


def _is_slip(word: str, name: str) -> bool:
    """Whether a word is a name mistyped; its singular is not, nor where one letter of few differs (black and block)."""
    is_another = len(word) == len(name) < _LONG and sorted(word) != sorted(name)
    is_singular = name in {f"{word}s", f"{word}es"} or stem(word) == stem(name)
    return mistyped(word, name) and not is_another and not is_singular


def corrected(question: str, words: Mapping[str, str]) -> str:
    """A question with its mistyped words put right.

    Example:
        >>> corrected("How many custmers?", {"custmers": "customers"})
        'How many customers?'
    """
    for word, meant in words.items():
        question = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", meant, question, flags=re.IGNORECASE)
    return question


def _words_of_names(catalog: Catalog) -> Mapping[str, list[str]]:
    """The words of all names by their first letter, each also in the plural."""
    words = {word for t in catalog for name in (t.name, *(c.name for c in t.columns)) for word in split(name)}
    letters: dict[str, list[str]] = defaultdict(list)
    for word in sorted(word for word in words if len(word) >= _SHORTEST - 1):
        letters[word[0]] += [word] if word.endswith("s") else [word, f"{word}s"]
    return letters


@dataclass(frozen=True)
class StoredValue:
    """A phrase of the question that a column holds.

    Example:
        >>> print(StoredValue("france", "country", "name", "France"))
        'france' is stored as 'France' in country.name
    """

    phrase: str  # As the question has it
    table: str  # Qualified name of the table
    column: str  # The column
    value: str  # As it is stored

    def __str__(self) -> str:
        return f"'{self.phrase}' is stored as '{self.value}' in {self.table}.{self.column}"


def find_values(question: str, catalog: Catalog, tables: Iterable[Table] | None = None) -> list[StoredValue]:
    """The phrases of the question that equal a stored value but for case and punctuation, in all or some tables.

    Only values that the catalog's profiles hold are looked at, which the privacy level has chosen. The longest phrases
    come first, each with every column that holds it.
    """
    among = None if tables is None else {table.full_name for table in tables}
    return list(dict.fromkeys(_found(question, Index.of(catalog), among)))


def _found(question: str, index: Index, among: set[str] | None) -> Iterator[StoredValue]:
    for phrase, stemmed in index.value_phrases(question):
        for table in index.tables_with_value(stemmed):
            if among is None or table.full_name in among:
                yield from _in_columns(phrase, table)


def _in_columns(phrase: str, table: Table) -> Iterator[StoredValue]:
    """The columns that hold the phrase; other endings ("cats" for "cat") are not the same value."""
    wanted = _plain(phrase)
    for column in table.columns:
        for value in column.profile.values if column.profile else ():
            if _plain(value) == wanted:
                yield StoredValue(phrase, table.full_name, column.name, value)


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
