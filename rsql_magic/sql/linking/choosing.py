"""link() and widen(): from a ranking to the tables that are shown."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.fitting import fit, with_some
from rsql_magic.sql.linking.index import Index
from rsql_magic.sql.linking.words import named_schemas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.sql.catalog import Catalog, Table

_MORE = 6
"""A draft adds at most so many tables: a draft that names everything knows nothing."""
_PER_NAME = 2


def link(question: str, catalog: Catalog, budget_tokens: int = 8000) -> list[Table]:
    """The tables that matter to a question, best first.

    The whole schema when it fits the budget. Otherwise ten tables or up to twenty, of repeated tables (one per day,
    say) only those the question calls for, and of tables with more than fifty columns the relevant ones and the keys;
    their descriptions say what is left out.

    Args:
        question: The question in plain words.
        catalog: The tables to choose from.
        budget_tokens: The most that the text of the tables may cost.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Table
        >>> shop = Catalog((Table("orders", (Column("id"),)), Table("customer", (Column("name"),))))
        >>> [table.name for table in link("Who are our best clients?", shop)]
        ['customer', 'orders']
    """
    index = Index.of(catalog)
    if index.cost <= budget_tokens:
        return index.every(question)
    ranked = (index.trimmed(table, question) for table in index.ranked(question))
    return fit(ranked, budget_tokens, index.cost, index.tokens)


def rivals(question: str, catalog: Catalog, within: float = 0.05) -> list[Table]:
    """The best table of each schema that answers the question about as well as the best schema does.

    A table of the same name in another schema does so too when it has all that the question asks about (``hr.employee``
    and ``sales.employee``), whatever else is in its schema. A schema that the question names is the one meant.

    With more than one there are several readings, and asking is better than guessing: on public question sets the first
    is right in a third of such cases, and in nine of ten of the others (docs/linking.md).

    Args:
        question: The question in plain words.
        catalog: The tables.
        within: How far below the best score another schema's may be, as a share of it.

    Returns:
        Tables of different schemas (or ``prefix__`` groups), best first; just one when the question is clear, none when
        nothing in it is found.
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
    table has, or something like it.

    Args:
        tables: What was shown to the writer of the draft.
        names: Tables and columns in the draft, qualified or not, such as ``orders.client_name``.
        catalog: Where to look.

    Returns:
        The given tables, wide ones with the columns that were named, then at most six more.
    """
    index, asked = Index.of(catalog), list(dict.fromkeys(names))
    kept = [_with_named(table, asked, catalog) for table in tables]
    seen = {table.full_name for table in kept}
    meant = dict.fromkeys(table.full_name for name in asked for table in _meant(name, index, catalog, seen))
    new = [catalog[name] for name in meant if name not in seen]
    return [*kept, *(index.trimmed(table, " ".join(asked)) for table in new[:_MORE])]


def _with_named(table: Table, names: Iterable[str], catalog: Catalog) -> Table:
    """A table shown in part, with the hidden columns that the draft named."""
    whole = catalog.get(table.full_name)
    if whole is None or len(whole.columns) == len(table.columns):
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
    holders = index.holders(column)
    if not holders:
        yield from islice(index.ranked(name), _PER_NAME)
    elif seen.isdisjoint(table.full_name for table in holders):
        yield from holders[:_PER_NAME]
