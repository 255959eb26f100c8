"""From a question to a query: every reading that leaves no word out is built, and they must agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import conditions, phrases, times
from .build import Builder
from .certain import check
from .charts import count_kinds, take_chart
from .draft import Doubtful, NotUnderstood
from .grammar import Grammar, Parser
from .joins import Joins
from .mentions import Mentions
from .schema import Names
from .words import tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlglot import exp

    from rsql_magic.sql import Catalog

    from .draft import Draft
    from .words import Token

# Words that are names and values at once double the readings; a question with more than these is not clear anyway.
_MOST_READINGS = 400
GRAMMAR = Grammar.read(
    Path(__file__).with_name("grammar.txt").read_text(encoding="utf-8"),
    {name: function for module in (phrases, conditions, times) for name, function in vars(module).items()},
)


@dataclass(frozen=True)
class Written:
    """A query, what should be said of it, and the kind of chart that is wanted, or an empty text."""

    query: exp.Select
    notes: tuple[str, ...] = ()
    chart: str = ""


def write(question: str, catalog: Catalog, dialect: str, today: date | None = None) -> Written:
    """The query for a question.

    Args:
        question: The user's words.
        catalog: The tables it may be about.
        dialect: sqlglot's name of the dialect.
        today: The day it is asked, for "last month".

    Raises:
        NotUnderstood: A word has no meaning here, or the question has several.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> cars = Catalog.from_ddl("CREATE TABLE cars (id INTEGER PRIMARY KEY, price INTEGER)", "duckdb")
        >>> write("average price of all cars", cars, "duckdb").query.sql()
        'SELECT AVG(price) AS avg_price FROM cars'
    """
    bare, chart = take_chart(question)
    readings = read(bare, catalog, today)
    found = built([count_kinds(draft) for draft in readings] if chart else readings, catalog, dialect)
    return Written(found.query, found.notes, chart)


def read(question: str, catalog: Catalog, today: date | None, rule: str = "question") -> list[Draft]:
    """All readings of a question.

    Raises:
        NotUnderstood: There is none.
    """
    said = tokens(question)
    mentions = Mentions(said, Names.of(catalog), today)
    parser = Parser(GRAMMAR, said, mentions.terminals)
    readings = list(parser.whole(rule))[:_MOST_READINGS]
    if not readings:
        raise NotUnderstood(_unread(said, mentions, parser.furthest))
    return readings


def _unread(said: Sequence[Token], mentions: Mentions, furthest: int) -> str:
    """Which words have no meaning here; else where the reading ends."""
    known = mentions.known()
    strange = [t.text for place, t in enumerate(said) if place not in known and t.lower not in GRAMMAR.words]
    strange = [text for text in dict.fromkeys(strange) if any(char.isalnum() for char in text)]
    if strange:
        return f"I did not understand {', '.join(f'“{text}”' for text in strange)}"
    for at in range(len(said)):
        for _, value in () if list(mentions.stored(at)) else mentions.propers(at):
            return f"I do not know where “{value.text}” is stored"
    whole, rest = (" ".join(token.text for token in some) for some in (said, said[furthest:]))
    return f"I did not understand “{rest if any(map(str.isalnum, rest)) else whole}”"


def built(readings: Sequence[Draft], catalog: Catalog, dialect: str) -> Written:
    """The one query that the readings mean."""
    names, joins = Names.of(catalog), Joins(catalog)
    queries: dict[str, tuple[int, exp.Select, tuple[str, ...]]] = {}
    doubts: list[tuple[int, NotUnderstood]] = []
    refused: list[tuple[int, NotUnderstood]] = []
    for draft in readings:
        try:
            builder = Builder(draft, names, joins, dialect)
            query = builder.build()
            check(query, names)
        except NotUnderstood as doubt:
            (refused if isinstance(doubt, Doubtful) else doubts).append((draft.cost, doubt))
            continue
        text = _without_order(query)
        if text not in queries or builder.cost < queries[text][0]:
            queries[text] = (builder.cost, query, tuple(dict.fromkeys(builder.scope.notes)))
    least = min((cost for cost, _, _ in queries.values()), default=None)
    rivals = [doubt for cost, doubt in refused if least is None or cost <= least]
    if rivals or least is None:
        raise (rivals or [min(doubts, key=lambda pair: pair[0])[1]])[0]
    best = [(query, notes) for cost, query, notes in queries.values() if cost == least]
    if len(best) > 1:
        raise NotUnderstood(f"This can be read as {_either([query.sql() for query, _ in best[:2]])}")
    return Written(*best[0])


def _without_order(query: exp.Select) -> str:
    """The query's text whatever the order and the names of what it computes: neither changes what is meant."""
    copy = query.copy()
    copy.set("expressions", sorted((term.unalias() for term in copy.expressions), key=lambda term: term.sql()))
    return copy.sql()


def _either(texts: Sequence[str]) -> str:
    return " or as ".join(f"`{text}`" for text in texts)
