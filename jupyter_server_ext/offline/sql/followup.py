"""Follow-ups: "only for JFK", "and by month?", "top 5", "as a chart" change the query of the turn before.

The fragment is read by the same rules as a question. What it says is grafted onto the tree of the earlier query,
whoever wrote that: conditions on a column that is already filtered take the place of the old ones, groups and
measures are added, and tables are joined where they are missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..prompt import code_blocks
from ..words import tokens, word_set
from .build import Builder
from .certain import Certainty
from .charts import take_chart
from .joins import Graph
from .linking import Mention
from .query import Draft, Item, NotUnderstood, Order
from .question import Written, check_understood, read
from .reading import Rules
from .resolve import Resolver
from .rules.selecting import select
from .scope import unqualify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from ..request import Turn
    from .reading import Reading
    from .schema import Schema

_STRONG = re.compile(
    r"^\W*(?:and|but|only|just|now|also|then|same|again|what about|how about|instead|ok|okay|the same|as a|as an|as|"
    r"plot (?:it|them|that|this)"
    r"|chart (?:it|them|that|this)|show (?:it|them|that|this)|draw (?:it|them|that|this)|make (?:it|them|that|this)|"
    r"sort (?:it|them)|order (?:it|them)"
    r"|limit (?:it|them)|exclude|excluding|without|except|add|include|group (?:it|them)|split (?:it|them)|break "
    r"(?:it|them))\b",
    re.IGNORECASE,
)
_COMPLETE = re.compile(
    r"^\W*(?:what|which|who|whose|where|when|how|list|show|find|give|count|average|mean|total|sum|number|tell|"
    r"display|get|return|"
    r"compute|calculate|select|maximum|minimum|max|min|highest|lowest|are|is|do|does|did|in which|in what|for which|"
    r"of|median|std|variance|correlation|corr|cor|(?:share|percentage|proportion) of|unique|distinct|everything|rows|"
    r"all rows|(?:\d+ )?random|histogram|scatter|value counts|range of|null|missing|plot (?!it|them|that|this|as)\w+|"
    r"(?!(?:(?:sort|order|group|rank)(?:ed|ing)?|split|broken|desc(?:ending)?|asc(?:ending)?|then|by|for|in|from|not)\b)"
    r"\w+(?:,? (?:and )?\w+)? "
    r"(?:by|where|per))\b",
    re.IGNORECASE,
)
_FILLERS = word_set(
    "only just now also too again instead same them it that this those please what how about but ok okay make "
    "change show do"
)

_CHANGED = re.compile(r"\b(?:instead|as well|too|again)\W*$", re.IGNORECASE)

FRAGMENTS = Rules()


@FRAGMENTS(
    "(only )?(the )?(top|first|best|limit to|limit) {N:n}( rows| results| ones)?$",
    "(only )?(the )?(?P<low>bottom|last|worst) {N:n}( ones)?$",
)
def first_rows(reading: Reading, match: re.Match[str]) -> str | None:
    """“top 5”."""
    reading.draft.limit = int(reading.mention(match["n"]).number or 1)
    return ""


def earlier_query(turns: Sequence[Turn], dialect: str) -> exp.Select | None:
    """The last query of the conversation, if it can be read and is one SELECT."""
    for turn in reversed(turns):
        for code in code_blocks(turn.answer, "sql"):
            try:
                query = sqlglot.parse_one(code, read=dialect or None)
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
    return bool(_STRONG.match(question) or _CHANGED.search(question)) or not _COMPLETE.match(question)


def follow(question: str, query: exp.Select, schema: Schema, dialect: str, today: date | None = None) -> Written:
    """The earlier query, changed as the question says.

    Raises:
        NotUnderstood: The change is not clear.
    """
    return _FollowUp(question, query.copy(), schema, dialect, today).write()


class _FollowUp:
    def __init__(
        self, question: str, query: exp.Select, schema: Schema, dialect: str, today: date | None = None
    ) -> None:
        self._question = question
        self._query = query
        self._schema = schema
        self._aliases = {table.name.lower(): table.alias_or_name for table in query.find_all(exp.Table)}
        self._instead = bool(re.search(r"\binstead\b|\brather\b", question, re.IGNORECASE))
        bare, chart = take_chart(question)
        said = tokens(bare)
        names = [name for name in self._names() if schema.get(name)]
        context = [Mention(0, 0, name, tables=((schema[name], 1.0),)) for name in names]
        self._reading = read(said, schema, context=context, first=FRAGMENTS, today=today)
        select(self._reading)
        self._reading.draft.chart = chart
        graph = Graph(schema, {token.stem for token in said})
        self._resolver = Resolver(self._reading, graph, near=[schema[name].name for name in names])
        self._builder = Builder(self._resolver, replace(self._reading.draft, tables=[]), dialect)

    def _names(self) -> list[str]:
        return [table.name for table in self._query.find_all(exp.Table)]

    def write(self) -> Written:
        """Graft each part of the fragment onto the query."""
        if not any(self._schema.get(name) for name in self._names()):
            raise NotUnderstood("The query before was asked of other tables")
        check_understood(self._reading, also=_FILLERS)
        draft = self._reading.draft
        if not (
            draft.where
            or draft.group
            or draft.order
            or draft.limit
            or draft.select
            or draft.having
            or draft.chart
            or draft.without
        ):
            raise NotUnderstood("I do not see what to change in the query before")
        self._qualify()
        self._builder.settle()
        self._filter(draft)
        self._group(draft)
        self._show(draft)
        self._having(draft)
        self._sort(draft)
        self._join()
        self._rename()
        Certainty(self._question, self._reading, self._reading.text, self._resolver, self._query).check_change()
        return Written(unqualify(self._query), draft, self._resolver, tuple(dict.fromkeys(draft.notes)))

    def _qualify(self) -> None:
        """Put the table before each bare column, so that tables can be joined."""
        if len(self._names()) != 1 or not (table := self._schema.get(self._names()[0])):
            return
        for column in self._query.find_all(exp.Column):
            if not column.table and table.get(column.name):
                column.set("table", exp.to_identifier(table.name.rpartition(".")[2]))

    def _filter(self, draft: Draft) -> None:
        condition = self._builder.filters.conditions(draft.where)
        if condition is not None:
            self._drop_old_times(condition)
        for fresh in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            if fresh is not None:
                self._drop_rivals(fresh)
        if condition is not None:
            self._query.where(condition, copy=False)
        for pair in draft.without:
            self._query.where(self._builder.filters.without(*pair), copy=False)

    def _drop_old_times(self, condition: exp.Expr) -> None:
        """A new stretch of time takes the place of the old one: both of its ends, and parts of the date."""
        bounds = {kind for kind in _ENDS for end in condition.find_all(kind) if _is_day(end.expression)}
        where = self._query.args.get("where")
        if len(bounds) < len(_ENDS) or where is None:
            return
        dates = {c.name.lower() for kind in _ENDS for end in condition.find_all(kind) for c in end.find_all(exp.Column)}
        old = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
        kept = [term for term in old if not ({c.name.lower() for c in term.find_all(exp.Column)} <= dates)]
        self._query.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)

    def _drop_rivals(self, fresh: exp.Expr) -> None:
        """A new value for a column takes the place of the old one: "what about LGA?"."""
        where = self._query.args.get("where")
        column = fresh.find(exp.Column)
        if where is None or column is None or not isinstance(fresh, exp.EQ | exp.In):
            return
        old = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
        kept = [
            term for term in old if not (isinstance(term, exp.EQ | exp.In) and _same(term.find(exp.Column), column))
        ]
        self._query.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)

    def _group(self, draft: Draft) -> None:
        terms = [term for item in draft.group for term in self._builder.expressions.shown(item)]
        if not terms:
            return
        if not self._aggregated():
            raise NotUnderstood("The query before computes nothing that could be grouped")
        if self._instead:
            old = self._query.args.get("group")
            gone = {term.sql() for term in old.expressions} if old else set()
            self._query.set("expressions", [e for e in self._query.expressions if e.unalias().sql() not in gone])
            self._query.set("group", None)
        place = sum(not e.find(exp.AggFunc) for e in self._query.expressions)
        shown = self._query.expressions
        self._query.set("expressions", [*shown[:place], *terms, *shown[place:]])
        self._query.group_by(*(term.unalias() for term in terms), copy=False)
        self._forget_lost_order()

    def _forget_lost_order(self) -> None:
        """An ordering by what is no longer shown goes with it."""
        order = self._query.args.get("order")
        shown = {e.alias_or_name for e in self._query.expressions} | {
            e.unalias().sql() for e in self._query.expressions
        }
        if order and not all(t.this.sql() in shown or t.this.find(exp.AggFunc) for t in order.expressions):
            self._query.set("order", None)

    def _aggregated(self) -> bool:
        return any(e.find(exp.AggFunc) for e in self._query.expressions)

    def _show(self, draft: Draft) -> None:
        present = {e.unalias().sql() for e in self._query.expressions}
        for item in draft.select:
            for term in self._builder.expressions.shown(item):
                if term.unalias().sql() in present:
                    continue
                if item.aggregate and self._instead:
                    self._query.set("expressions", [e for e in self._query.expressions if not e.find(exp.AggFunc)])
                self._query.select(term, copy=False)
                if not item.aggregate and self._aggregated():
                    self._query.group_by(term.unalias(), copy=False)

    def _having(self, draft: Draft) -> None:
        having = self._builder.filters.conditions(draft.having)
        if having is not None:
            self._query.having(having, copy=False)

    def _sort(self, draft: Draft) -> None:
        terms = [self._ordered(order) for order in draft.order]
        if terms:
            self._query.set("order", exp.Order(expressions=terms))
        if draft.limit:
            measure = self._measure()
            if measure is not None and not terms and not self._is_ranked():
                self._query.set(
                    "order", exp.Order(expressions=[exp.Ordered(this=measure, desc=True, nulls_first=False)])
                )
            self._query.limit(draft.limit, copy=False)

    def _is_ranked(self) -> bool:
        """Whether the rows are ordered by what is computed, and not by a name or a month."""
        order = self._query.args.get("order")
        measures = {e.alias for e in self._query.expressions if e.find(exp.AggFunc)}
        terms = order.expressions if order else []
        return any(term.find(exp.AggFunc) or term.this.name in measures for term in terms)

    def _ordered(self, order: Order) -> exp.Expr:
        down = order.descending
        if order.item == Item():
            old = self._query.args.get("order")
            target = old.expressions[0].this if old else self._measure() or self._query.expressions[0].unalias()
        else:
            target = self._builder.expressions.expression(order.item)
            named = [e for e in self._query.expressions if isinstance(e, exp.Alias) and self._speaks_of(e, target)]
            target = exp.column(named[0].alias) if named else target
        return exp.Ordered(this=target.copy(), desc=down, nulls_first=not down)

    def _speaks_of(self, shown: exp.Alias, target: exp.Expr) -> bool:
        """Whether a shown expression is the wanted one, or an aggregate of the wanted column."""
        column = shown.this.find(exp.Column)
        return shown.this == target or (isinstance(target, exp.Column) and _same(column, target))

    def _measure(self) -> exp.Expr | None:
        measures = [e for e in self._query.expressions if e.find(exp.AggFunc)]
        if not measures:
            return None
        return exp.column(measures[0].alias) if measures[0].alias else measures[0]

    def _join(self) -> None:
        """Join the tables that the new parts need."""
        present = [self._schema[name].name for name in self._names() if self._schema.get(name)]
        for name in self._builder.scope.used:
            if name not in present:
                for step in self._resolver.graph.joins(present[0], [*present, name])[len(present) - 1 :]:
                    if step.table not in present:
                        self._query.join(
                            self._builder.scope.table(step.table),
                            on=self._builder.scope.join_condition(step),
                            copy=False,
                        )
                        present.append(step.table)

    def _rename(self) -> None:
        """Say tables as the query calls them."""
        for column in self._query.find_all(exp.Column):
            alias = self._aliases.get(column.table.lower())
            if alias and alias != column.table:
                column.set("table", exp.to_identifier(alias))


_ENDS = (exp.GTE, exp.LT)


def _is_day(node: exp.Expr) -> bool:
    return node.is_string and re.fullmatch(r"\d{4}-\d{2}-\d{2}", node.name) is not None


def _same(one: exp.Column | None, two: exp.Column) -> bool:
    return one is not None and one.name.lower() == two.name.lower()
