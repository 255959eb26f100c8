"""From a question to a query, or to a change of the query before: all readings are built, and they must agree."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import Unreadable, own_tree

from .build import Builder, check, orders
from .draft import Doubtful, Item, NotUnderstood, OfflineDraft
from .grammar import Grammar, Parser
from .meanings import MEANINGS
from .mentions import SchemaMentions
from .metrics import MetricBuilder, has_metrics
from .presentation import count_kinds, take_chart
from .schema import SchemaNames
from .scope import unqualified
from .words import WORDS, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from rsql_magic.sql import Catalog

    from .draft import Order
    from .words import Token

# Words that are names and values at once double the readings; a question with more than these is not clear anyway.
_MOST_READINGS = 400
GRAMMAR = Grammar.read(Path(__file__).with_name("grammar.txt").read_text(encoding="utf-8"), MEANINGS)


@dataclass(frozen=True)
class WrittenQuery:
    """A query, what should be said of it, and the kind of chart that is wanted, or an empty text."""

    query: exp.Select
    notes: tuple[str, ...] = ()
    chart: str = ""


def write(question: str, catalog: Catalog, dialect: str, today: date | None = None) -> WrittenQuery:
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
    readings = _read(bare, catalog, today)
    found = _built([count_kinds(draft) for draft in readings] if chart else readings, SchemaNames.of(catalog), dialect)
    notes = _linking_words(question, catalog, found.query)
    return WrittenQuery(found.query, (*found.notes, *notes), chart)


def _linking_words(question: str, catalog: Catalog, query: exp.Select) -> tuple[str, ...]:
    """A sentence on the words that were read to say no more than that two things belong together."""
    said, names = tokens(question), SchemaNames.of(catalog)
    known = SchemaMentions(said, names).known()
    words = [t.text for n, t in enumerate(said) if t.kind == "word" and n not in known and t.lower not in GRAMMAR.words]
    used = {table.name for table in query.find_all(exp.Table)}
    verbs = [
        t.text for t in said if t.kind == "word" and t.lower.endswith(("ed", "ing")) and t.lower not in GRAMMAR.words
    ]
    for word in dict.fromkeys([*words, *verbs]):
        others = sorted(name for name in names.resembling(word) if name.rpartition(".")[2] not in used)
        if others and not any(name.rpartition(".")[2] in used for name in names.resembling(word)):
            raise NotUnderstood(f"“{word}” may be about {others[0]}")
    listed = " and ".join(f"“{word}”" for word in dict.fromkeys(words))
    return (f"I took {listed} to say no more than that these belong together.",) if words else ()


def _read(question: str, catalog: Catalog, today: date | None, rule: str = "question") -> list[OfflineDraft]:
    said = tokens(question)
    mentions = SchemaMentions(said, SchemaNames.of(catalog), today)
    parser = Parser(GRAMMAR, said, mentions.terminals)
    readings = list(parser.whole(rule))[:_MOST_READINGS]
    if not readings and rule == "question":
        for less in _without_small(said):
            fewer = SchemaMentions(less, SchemaNames.of(catalog), today)
            readings += list(Parser(GRAMMAR, less, fewer.terminals).whole(rule))[:_MOST_READINGS]
    if not readings:
        raise NotUnderstood(_unread(said, mentions, parser.furthest))
    return list(dict.fromkeys(readings))


def _without_small(said: tuple[Token, ...]) -> Iterator[tuple[Token, ...]]:
    """The question without one of the words that say nothing by themselves."""
    for at, token in enumerate(said):
        if token.kind == "word" and token.lower in WORDS["spare"]:
            yield said[:at] + said[at + 1 :]


def _unread(said: Sequence[Token], mentions: SchemaMentions, furthest: int) -> str:
    """Which words have no meaning here; else where the reading ends."""
    known = mentions.known()
    strange = [t.text for place, t in enumerate(said) if place not in known and t.lower not in GRAMMAR.words]
    strange = [text for text in dict.fromkeys(strange) if any(char.isalnum() for char in text)]
    if strange:
        return f"I did not understand {', '.join(f'“{text}”' for text in strange)}"
    # Words that are all known may hold a name in capital letters that no value explains.
    for at in range(len(said)):
        for _, value in () if list(mentions.stored(at)) else mentions.propers(at):
            return f"I do not know where “{value.text}” is stored"
    whole, rest = (" ".join(token.text for token in some) for some in (said, said[furthest:]))
    return f"I did not understand “{rest if any(map(str.isalnum, rest)) else whole}”"


def _built(readings: Sequence[OfflineDraft], names: SchemaNames, dialect: str) -> WrittenQuery:
    """The one query that the readings mean."""
    queries: dict[str, tuple[int, exp.Select, tuple[str, ...]]] = {}
    doubts: list[tuple[int, NotUnderstood]] = []
    refused: list[tuple[int, NotUnderstood]] = []
    for draft in readings:
        builder = None
        try:
            builder = (MetricBuilder if has_metrics(draft) else Builder)(draft, names, dialect)
            query = builder.build()
            check(query, names)
        except NotUnderstood as doubt:
            (refused if isinstance(doubt, Doubtful) else doubts).append(
                (builder.scope.cost if builder else draft.cost, doubt)
            )
            continue
        # Neither the order nor the names of what is computed change what is meant.
        bare = query.copy()
        bare.set("expressions", sorted((term.unalias() for term in bare.expressions), key=lambda term: term.sql()))
        cost, text = builder.scope.cost, _meant(bare)
        # Of two readings of one query the cheaper has the notes that fit.
        if text not in queries or cost < queries[text][0]:
            queries[text] = (cost, query, tuple(dict.fromkeys(builder.scope.notes)))
    least = min((cost for cost, _, _ in queries.values()), default=None)
    # A reading that is refused, and as likely as the best one, may be what was meant.
    rivals = [doubt for cost, doubt in refused if least is None or cost <= least]
    if rivals or least is None:
        raise (rivals or [min(doubts, key=lambda pair: pair[0])[1]])[0]
    best = [(query, notes) for cost, query, notes in queries.values() if cost == least]
    if len(best) > 1:
        raise NotUnderstood(f"This can be read as {' or as '.join(f'`{query.sql()}`' for query, _ in best[:2])}")
    return WrittenQuery(*best[0])


def _meant(query: exp.Select) -> str:
    """A text that queries have in common which differ in the order of their joins alone."""
    tables = [node.sql() for node in query.find_all(exp.Table) if node.find_ancestor(exp.Select) is query]
    pairs = [
        tuple(sorted(eq.sql() for eq in on.flatten())) for j in query.args.get("joins") or () for on in [j.args["on"]]
    ]
    sides = [tuple(sorted(side.strip() for side in one.split("="))) for pair in pairs for one in pair]
    rest = query.copy()
    rest.set("joins", None)
    rest.set("from_", None)
    return f"{rest.sql()} {sorted(tables)} {sorted(sides)}"


# Changes of the query before ------------------------------------------------------------------------------------------

_BEGINS = re.compile(
    r"^\W*(?:and|but|only|just|now|also|then|same|again|what about|how about|instead|ok|okay|the same|as an?|as|"
    r"(?:plot|chart|show|draw|make|sort|order|limit|group|split) (?:it|them|that|this)|exclude|excluding|without|"
    r"except|add|include|top \d+$|sort|order)\b|\b(?:instead|as well|too|again)\W*$",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    r"^\W*(?:what|which|who|whose|where|when|how|list|show|find|give|count|average|mean|total|sum|number|tell|display|"
    r"get|return|compute|calculate|select|max|maximum|min|minimum|median|are|is|do|does|did|unique|distinct|rows|all|"
    r"\d+ random|value counts|plot (?!it|them|that|this|as)\w+|(?!(?:sort|order|group|rank|split|by|for|in|from|not)\b)"
    r"\w+(?:,? (?:and )?\w+)? (?:by|where|per|of))\b",
    re.IGNORECASE,
)
_BOUNDS = (exp.GTE, exp.LT)


def earlier_query(queries: Sequence[str], dialect: str) -> exp.Select | None:
    """The last query of a conversation that can be read and is one SELECT; the oldest comes first."""
    for sql in reversed(queries):
        try:
            query = own_tree(sql, dialect)
        except Unreadable:
            continue
        if isinstance(query, exp.Select):
            return query
    return None


def is_follow_up(question: str) -> bool:
    """Whether a question builds on the one before: it starts like an addition, or asks nothing by itself.

    Example:
        >>> is_follow_up("only for JFK"), is_follow_up("by month"), is_follow_up("How many flights are there?")
        (True, True, False)
    """
    return _BEGINS.search(question) is not None or not _WHOLE.match(question)


def follow(query: exp.Select, question: str, catalog: Catalog, dialect: str, today: date | None = None) -> WrittenQuery:
    """The earlier query, whoever wrote it, changed as the question says."""
    tables = [table.full_name for node in query.find_all(exp.Table) if (table := catalog.get(node.name))]
    if not tables:
        raise NotUnderstood("The query before was asked of other tables")
    bare, chart = take_chart(question)
    if not re.search(r"\w", re.sub(r"^\W*(?:and|now|then|please|the same|same|it|them|that|this)\b", "", bare)):
        if not chart:
            raise NotUnderstood("I do not see what to change in the query before")
        return WrittenQuery(query, (), chart)
    doubts, changed = list[NotUnderstood](), dict[str, tuple[int, WrittenQuery]]()
    for draft in _read(bare, catalog, today, "change"):
        try:
            graft = _Graft(query.copy(), draft, tables, SchemaNames.of(catalog), dialect)
            written = graft.written(chart, instead=re.search(r"\binstead\b", question, re.IGNORECASE) is not None)
            changed.setdefault(written.query.sql(), (graft.scope.cost, written))
        except NotUnderstood as doubt:
            doubts.append(doubt)
    least = min((cost for cost, _ in changed.values()), default=0)
    # Two readings that change the query in the same way are one.
    best = [written for cost, written in changed.values() if cost == least]
    if len(best) != 1:
        raise NotUnderstood("This can change the query before in several ways") if best else doubts[0]
    return best[0]


class _Graft:
    """One reading of a change, put into a query."""

    # Conditions on a column that is already filtered take the place of the old ones, groups are added, and tables are
    # joined where they are missing.

    def __init__(
        self, query: exp.Select, draft: OfflineDraft, tables: list[str], names: SchemaNames, dialect: str
    ) -> None:
        self._query, self._draft, self._tables, self._names = query, draft, tables, names
        things = tuple(dict.fromkeys([*tables, *draft.things]))
        builder = Builder(replace(draft, things=things, group=(), order=()), names, dialect)
        self.scope, self._terms = builder.scope, builder.terms

    def written(self, chart: str, *, instead: bool) -> WrittenQuery:
        """The query with the change in it."""
        aliases = {node.name: node.alias_or_name for node in self._query.find_all(exp.Table)}
        if len(self._tables) == 1:  # more may be joined, so each column says whose it is
            for column in self._query.find_all(exp.Column):
                if not column.table and self._names.field(self._tables[0], column.name):
                    column.set("table", exp.to_identifier(self._tables[0].rpartition(".")[2]))
        self._filter()
        if terms := [term for item in self._draft.group for term in self._terms.shown(item)]:
            self._group(terms, instead=instead)
        self._sort()
        self._join()
        check(self._query, self._names)
        # The query calls its tables by aliases, which the change does not know.
        for column in self._query.find_all(exp.Column):
            if column.table in aliases and aliases[column.table] != column.table:
                column.set("table", exp.to_identifier(aliases[column.table]))
        return WrittenQuery(unqualified(self._query), tuple(self.scope.notes), chart)

    def _filter(self) -> None:
        fresh = self._terms.all(self._draft.where)
        if fresh is None:
            return
        old = self._query.args.get("where")
        terms = list(old.this.flatten()) if old and isinstance(old.this, exp.And) else [old.this] if old else []
        new = list(fresh.flatten()) if isinstance(fresh, exp.And) else [fresh]
        kept = [term for term in terms if not any(_replaces(one, term) for one in new)]
        self._query.set("where", exp.Where(this=exp.and_(*kept, fresh)))

    def _group(self, terms: list[exp.Expr], *, instead: bool) -> None:
        if not any(e.find(exp.AggFunc) for e in self._query.expressions):
            raise NotUnderstood("The query before computes nothing that could be grouped")
        # “by city instead” takes the earlier groups out.
        if instead:
            old = self._query.args.get("group")
            gone = {term.sql() for term in old.expressions} if old else set()
            self._query.set("expressions", [e for e in self._query.expressions if e.unalias().sql() not in gone])
            self._query.set("group", None)
        shown = self._query.expressions
        place = sum(not e.find(exp.AggFunc) for e in shown)
        self._query.set("expressions", [*shown[:place], *terms, *shown[place:]])
        self._query.group_by(*(term.unalias() for term in terms), copy=False)
        # An order by what is no longer shown goes with it.
        order = self._query.args.get("order")
        names = {name for e in self._query.expressions for name in (e.alias_or_name, e.unalias().sql())}
        if order and not all(t.this.sql() in names or t.this.find(exp.AggFunc) for t in order.expressions):
            self._query.set("order", None)

    def _sort(self) -> None:
        terms = [self._ordered(order) for order in self._draft.order]
        figures = [exp.column(e.alias) if e.alias else e for e in self._query.expressions if e.find(exp.AggFunc)]
        old = self._query.args.get("order")
        ranked = old and any(
            term.find(exp.AggFunc) or exp.column(term.this.name) in figures for term in old.expressions
        )
        if self._draft.limit and figures and not terms and not ranked:  # "top 5" are those with the largest figures
            terms = [exp.Ordered(this=figures[0].copy(), desc=True, nulls_first=False)]
        if terms:
            self._query.set("order", exp.Order(expressions=terms))
        if self._draft.limit:
            self._query.limit(self._draft.limit, copy=False)

    def _ordered(self, order: Order) -> exp.Expr:
        """A term to order by: what the query shows of it, else the column itself."""
        shown = self._query.expressions
        named = {c.field.name.lower() for c in order.item.name.candidates} if order.item.name else set()
        plain = [e for e in shown if isinstance(e, exp.Column) and e.name.lower() in named and not order.item.function]
        if order.item == Item():
            figures = [e for e in shown if e.find(exp.AggFunc)]
            old = self._query.args.get("order")
            target = old.expressions[0].this if old else (figures or shown)[0]
        elif len(plain) == 1:
            target = plain[0]
        else:
            wanted = self._terms.of(order.item)
            target = next((e for e in shown if isinstance(e, exp.Alias) and orders(e, wanted)), wanted)
        target = exp.column(target.alias) if isinstance(target, exp.Alias) else target
        return exp.Ordered(this=target.copy(), desc=order.descending, nulls_first=not order.descending)

    def _join(self) -> None:
        present = set(self._tables)
        for name in [*self.scope.used, *self._draft.things]:
            for step in self._names.joins.path(self._tables[0], name) if name not in present else ():
                if step.table not in present:
                    self._query.join(self.scope.table(step.table), on=self.scope.equalities(step), copy=False)
                    present.add(step.table)


def _replaces(new: exp.Expr, old: exp.Expr) -> bool:
    """Whether a new condition takes the place of an old one: another value, or another time, of the same column."""
    columns = [{c.name.lower() for c in one.find_all(exp.Column)} for one in (new, old)]
    if columns[0] != columns[1]:
        return False
    values = all(isinstance(one, exp.EQ | exp.In) for one in (new, old))
    days = all(
        isinstance(one, _BOUNDS) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", one.expression.name) for one in (new, old)
    )
    return values or days
