"""The definitions that a question is about: the metrics that it names, and what a prompt has room for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql.definitions import stated_definition
from rsql_magic.sql.facts import count_tokens
from rsql_magic.sql.linking.words import stems
from rsql_magic.sql.metrics.inlining import Inlined, tables_of
from rsql_magic.sql.metrics.paths import NotByDefinition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.definitions import Definition

    Phrases = dict[str, list[tuple[tuple[str, ...], Definition]]]  # of metrics, by their first word

_SHARE = 4  # definitions take this part of the tokens for tables at most
_LETTERS = 3  # of a token, at least


def named_metrics(question: str, catalog: Catalog) -> list[Definition]:
    """The metrics that a question names, by name, label or synonym; of two names one inside the other, the longer.

    Example:
        >>> from rsql_magic.sql import Catalog, Definition, Definitions
        >>> rate, refunds = (Definition(name, "metric", "1", "t") for name in ("refund_rate", "refunds"))
        >>> catalog = Catalog(definitions=Definitions((rate, refunds)))
        >>> [one.name for one in named_metrics("What is the refund rate by region?", catalog)]
        ['refund_rate']
    """
    if not catalog.definitions.metrics:
        return []
    said, phrases = stems(question), catalog.kept("_phrases_of_metrics", _phrases)
    found = [
        (at, at + len(words), one)
        for at, word in enumerate(said)
        for words, one in phrases.get(word, ())
        if tuple(said[at : at + len(words)]) == words
    ]
    kept = [
        (start, one)
        for start, end, one in found
        if not any(a <= start and end <= b and (b - a) > (end - start) for a, b, _ in found)
    ]
    return list({one.name: one for _, one in sorted(kept, key=lambda pair: pair[0])}.values())


def refused_metrics(question: str, catalog: Catalog) -> list[tuple[str, str]]:
    """The metrics that a question names and that cannot be compiled, each with the reason.

    Example:
        >>> from rsql_magic.sql import Catalog, Definitions
        >>> catalog = Catalog(definitions=Definitions(refused={"running_total": "cannot be compiled: it accumulates"}))
        >>> refused_metrics("running total by day", catalog)
        [('running_total', 'cannot be compiled: it accumulates')]
    """
    said = " ".join(stems(question))
    found = [(name, reason) for name, reason in catalog.definitions.refused.items()
             if f" {' '.join(stems(name.replace('_', ' ')))} " in f" {said} "]  # fmt: skip
    for one in named_metrics(question, catalog):
        try:
            if one.table:
                Inlined.of(catalog).base(one)
        except NotByDefinition as error:
            found.append((one.name, str(error).removeprefix(f"{one.name} ")))
    return found


def phrases_of(one: Definition) -> list[str]:
    """What people call a definition."""
    return [one.name.replace("_", " "), *([one.label] if one.label else []), *one.synonyms]


def _phrases(catalog: Catalog) -> Phrases:
    found: Phrases = {}
    for one in catalog.definitions.metrics:
        for phrase in phrases_of(one):
            if words := tuple(stems(phrase)):
                found.setdefault(words[0], []).append((words, one))
    return found


def with_tables_of_metrics(tables: Sequence[Table], question: str, catalog: Catalog) -> list[Table]:
    """Tables with those that the metrics of a question are computed over, each once."""
    more = (table for one in named_metrics(question, catalog) for table in tables_of(one, catalog))
    return list({table.full_name: table for table in (*more, *tables)}.values() if catalog.definitions else tables)


class ToldDefinitions(NamedTuple):
    """The definitions that a prompt has, best first, and how many more there are for its tables."""

    definitions: tuple[Definition, ...] = ()
    left_out: int = 0


def told_definitions(question: str, catalog: Catalog, tables: Sequence[Table], budget_tokens: int) -> ToldDefinitions:
    """The definitions that go with a question over some tables, as far as a budget holds them.

    First the metrics that the question names, with those that they are made of, then what shares most words with it,
    then metrics before filters and derived values, by the order of the tables.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Definition, Definitions, Table
        >>> orders = Table("orders", (Column("amount"),))
        >>> named = tuple(Definition(name, "metric", "SUM(amount)", "orders") for name in ("revenue", "tax", "tips"))
        >>> shop = Catalog((orders,), definitions=Definitions(named))
        >>> told = told_definitions("How high are the tips?", shop, [orders], 30)
        >>> [one.name for one in told.definitions], told.left_out
        (['tips', 'revenue'], 1)
    """
    if not catalog.definitions.named:
        return ToldDefinitions()
    named = named_metrics(question, catalog)
    parts = [part for one in named if not one.table for part in _parts(one, catalog)]
    places = {name.casefold(): place for place, one in enumerate(tables) for name in (one.name, one.full_name)}
    said, words = set(stems(question)), catalog.kept("_words_of_each_definition", _words)
    others = sorted(
        (one for one in catalog.definitions.named if one.table.casefold() in places),
        key=lambda one: (-len(said & words[id(one)]), one.kind != "metric", places[one.table.casefold()]),
    )
    wanted = list({id(one): one for one in (*named, *parts, *others)}.values())
    prices: dict[int, int] = catalog.kept("_tokens_of_definitions", lambda _: {})
    kept: list[Definition] = []
    left = budget_tokens
    for one in wanted:
        if left <= 0:
            break
        if id(one) not in prices:
            prices[id(one)] = count_tokens(stated_definition(one)) + 1
        if prices[id(one)] <= left or not kept:
            kept.append(one)
            left -= prices[id(one)]
    return ToldDefinitions(tuple(kept), len(wanted) - len(kept))


def definition_tokens(catalog: Catalog, budget_tokens: int) -> int:
    """How many of the tokens for tables are kept for definitions: what they may cost, a quarter at most.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> definition_tokens(Catalog(), 8000)
        0
    """
    return min(budget_tokens // _SHARE, catalog.kept("_most_tokens_of_definitions", _most))


def _most(catalog: Catalog) -> int:
    texts = ((one.name, one.table, one.expression, *one.where, one.description, *one.dimensions, *one.synonyms)
             for one in catalog.definitions.named)  # fmt: skip
    return sum(20 + sum(map(len, each)) // _LETTERS for each in texts)


def _words(catalog: Catalog) -> dict[int, set[str]]:
    return {id(one): {w for phrase in phrases_of(one) for w in stems(phrase)} for one in catalog.definitions.named}


def _parts(one: Definition, catalog: Catalog) -> list[Definition]:
    """The metrics that one of metrics names."""
    known = catalog.kept("_metrics_by_name", lambda c: {each.name: each for each in c.definitions.metrics})
    names = re.findall(r"\w+", one.expression)
    return [known[name] for name in dict.fromkeys(names) if name in known and name != one.name]
