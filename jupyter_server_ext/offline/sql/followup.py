"""Follow-ups: "only for JFK", "and by month?", "top 5", "as a chart" change the query of the turn before.

What the fragment says is grafted onto the tree of the earlier query, whoever wrote that: conditions on a column that
is already filtered take the place of the old ones, groups are added, and tables are joined where they are missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from .build import Builder, orders
from .certain import check
from .charts import take_chart
from .draft import Draft, Item, NotUnderstood
from .joins import Joins
from .question import Written, read
from .schema import Names
from .scope import unqualified

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from rsql_magic.sql import Catalog

    from .draft import Order

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
            query = sqlglot.parse_one(sql, read=dialect or None)
        except SqlglotError:
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


def follow(query: exp.Select, question: str, catalog: Catalog, dialect: str, today: date | None = None) -> Written:
    """The earlier query, changed as the question says."""
    tables = [table.full_name for node in query.find_all(exp.Table) if (table := catalog.get(node.name))]
    if not tables:
        raise NotUnderstood("The query before was asked of other tables")
    bare, chart = take_chart(question)
    if not re.search(r"\w", re.sub(r"^\W*(?:and|now|then|please|the same|same|it|them|that|this)\b", "", bare)):
        if not chart:
            raise NotUnderstood("I do not see what to change in the query before")
        return Written(query, (), chart)
    doubts, changed = list[NotUnderstood](), dict[str, tuple[int, Written]]()
    for draft in read(bare, catalog, today, "change"):
        try:
            graft = _Graft(query.copy(), draft, tables, catalog, dialect)
            written = graft.written(chart, instead=re.search(r"\binstead\b", question, re.IGNORECASE) is not None)
            changed.setdefault(written.query.sql(), (graft.cost, written))
        except NotUnderstood as doubt:
            doubts.append(doubt)
    least = min((cost for cost, _ in changed.values()), default=0)
    best = [written for cost, written in changed.values() if cost == least]
    if len(best) != 1:
        raise NotUnderstood("This can change the query before in several ways") if best else doubts[0]
    return best[0]


class _Graft:
    """One reading of a change, put into a query."""

    def __init__(self, query: exp.Select, draft: Draft, tables: list[str], catalog: Catalog, dialect: str) -> None:
        self._query, self._draft, self._tables = query, draft, tables
        self._names, self._joins = Names.of(catalog), Joins(catalog)
        things = tuple(dict.fromkeys([*tables, *draft.things]))
        self._builder = Builder(replace(draft, things=things, group=(), order=()), self._names, self._joins, dialect)

    @property
    def cost(self) -> int:
        """How far the change goes beyond what the words say."""
        return self._builder.cost

    def written(self, chart: str, *, instead: bool) -> Written:
        """The query with the change in it."""
        aliases = {node.name: node.alias_or_name for node in self._query.find_all(exp.Table)}
        self._qualify()
        self._filter()
        self._group(instead=instead)
        self._sort()
        self._join()
        check(self._query, self._names)
        for column in self._query.find_all(exp.Column):
            if column.table in aliases and aliases[column.table] != column.table:
                column.set("table", exp.to_identifier(aliases[column.table]))
        return Written(unqualified(self._query), tuple(self._builder.scope.notes), chart)

    def _qualify(self) -> None:
        """Put the table before each bare column, so that tables can be joined."""
        if len(self._tables) == 1:
            for column in self._query.find_all(exp.Column):
                if not column.table and self._names.field(self._tables[0], column.name):
                    column.set("table", exp.to_identifier(self._tables[0].rpartition(".")[2]))

    def _filter(self) -> None:
        fresh = self._builder.filters.all(self._draft.where)
        if fresh is None:
            return
        old = self._query.args.get("where")
        terms = list(old.this.flatten()) if old and isinstance(old.this, exp.And) else [old.this] if old else []
        new = list(fresh.flatten()) if isinstance(fresh, exp.And) else [fresh]
        kept = [term for term in terms if not any(_replaces(one, term) for one in new)]
        self._query.set("where", exp.Where(this=exp.and_(*kept, fresh)))

    def _group(self, *, instead: bool) -> None:
        terms = [term for item in self._draft.group for term in self._builder.expressions.shown(item)]
        if not terms:
            return
        if not any(e.find(exp.AggFunc) for e in self._query.expressions):
            raise NotUnderstood("The query before computes nothing that could be grouped")
        if instead:
            old = self._query.args.get("group")
            gone = {term.sql() for term in old.expressions} if old else set()
            self._query.set("expressions", [e for e in self._query.expressions if e.unalias().sql() not in gone])
            self._query.set("group", None)
        shown = self._query.expressions
        place = sum(not e.find(exp.AggFunc) for e in shown)
        self._query.set("expressions", [*shown[:place], *terms, *shown[place:]])
        self._query.group_by(*(term.unalias() for term in terms), copy=False)
        self._forget_lost_order()

    def _forget_lost_order(self) -> None:
        """An order by what is no longer shown goes with it."""
        order = self._query.args.get("order")
        shown = {name for e in self._query.expressions for name in (e.alias_or_name, e.unalias().sql())}
        if order and not all(t.this.sql() in shown or t.this.find(exp.AggFunc) for t in order.expressions):
            self._query.set("order", None)

    def _sort(self) -> None:
        terms = [self._ordered(order) for order in self._draft.order]
        figures = [exp.column(e.alias) if e.alias else e for e in self._query.expressions if e.find(exp.AggFunc)]
        old = self._query.args.get("order")
        ranked = old and any(
            term.find(exp.AggFunc) or exp.column(term.this.name) in figures for term in old.expressions
        )
        if self._draft.limit and figures and not terms and not ranked:
            terms = [exp.Ordered(this=figures[0].copy(), desc=True, nulls_first=False)]
        if terms:
            self._query.set("order", exp.Order(expressions=terms))
        if self._draft.limit:
            self._query.limit(self._draft.limit, copy=False)

    def _ordered(self, order: Order) -> exp.Expr:
        """A term to order by: what the query shows of it, else the column itself."""
        shown = self._query.expressions
        named = {c.field.name.lower() for c in order.item.name.candidates} if order.item.name else set()
        plain = [e for e in shown if isinstance(e, exp.Column) and e.name.lower() in named and not order.item.computed]
        if order.item == Item():
            figures = [e for e in shown if e.find(exp.AggFunc)]
            old = self._query.args.get("order")
            target = old.expressions[0].this if old else (figures or shown)[0]
        elif len(plain) == 1:
            target = plain[0]
        else:
            wanted = self._builder.expressions.of(order.item)
            target = next((e for e in shown if isinstance(e, exp.Alias) and orders(e, wanted)), wanted)
        target = exp.column(target.alias) if isinstance(target, exp.Alias) else target
        return exp.Ordered(this=target.copy(), desc=order.descending, nulls_first=not order.descending)

    def _join(self) -> None:
        """Join the tables that the change needs."""
        present = set(self._tables)
        for name in [*self._builder.scope.used, *self._draft.things]:
            for step in self._joins.path(self._tables[0], name) if name not in present else ():
                if step.table not in present:
                    on = exp.and_(*self._builder.scope.equalities(step))
                    self._query.join(self._builder.scope.table(step.table), on=on, copy=False)
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
