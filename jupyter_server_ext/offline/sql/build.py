"""From a draft to SQL: a tree of sqlglot, printed in the session's dialect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from ..words import stem, word_set
from .filters import Filters
from .groups import Groups
from .query import Draft, Item, NotUnderstood, Order
from .scope import Scope

if TYPE_CHECKING:
    from .joins import Step
    from .resolve import Resolver

_TIMES = word_set("year quarter month week day hour minute weekday date")


class Builder:
    """Builds one query.

    Args:
        resolver: What the mentions mean.
        draft: What is asked.
        dialect: sqlglot's name of the dialect.
    """

    def __init__(self, resolver: Resolver, draft: Draft, dialect: str) -> None:
        self.resolver = resolver
        self.draft = draft
        self.scope = Scope(resolver, draft, dialect)
        self.filters = Filters(self.scope)
        self.expressions = self.filters.expressions
        self._grouping = Groups(self.scope, self.expressions)

    def build(self) -> exp.Select:
        """The query.

        Raises:
            NotUnderstood: Something cannot be joined or chosen.
        """
        self.settle()
        if self.draft.having and not self.draft.group and self._is_one_count():
            return self._count_of_groups()
        self._grouping.imply()
        selected = list({e.sql(): e for item in self.draft.select for e in self.expressions.shown(item)}.values())
        self._check_one_thing(selected)
        if self.draft.everything or not selected:
            selected = [exp.Star()]
        groups = self._grouping.terms()
        self._check_no_return()
        absent = self._absent()
        where = self.filters.conditions(self.draft.where)
        having = self.filters.conditions(self.draft.having)
        orders = [self._ordered(order, selected) for order in self.draft.order] or self._by_time(selected)
        query = exp.select(*selected)
        query = self._from(query)
        for condition in [where, *absent]:
            query = query.where(condition) if condition is not None else query
        query = query.group_by(*groups) if groups else query
        query = query.having(having) if having is not None else query
        query = query.order_by(*orders) if orders else query
        query = query.order_by(exp.Rand()) if self.draft.random else query
        query = query.limit(self.draft.limit) if self.draft.limit else query
        return self._distinct(query, selected, groups)

    def _check_one_thing(self, selected: list[exp.Expr]) -> None:
        """Refuse what would be neither rows nor figures.

        Raises:
            NotUnderstood: Whole rows and columns of them, or a figure of the first rows alone.
        """
        if len(selected) > 1 and any(isinstance(shown, exp.Star) for shown in selected):
            raise NotUnderstood("I do not see whether rows or columns are to be shown")
        figures = bool(selected) and all(shown.find(exp.AggFunc) for shown in selected)
        if figures and self.draft.limit and not self.draft.group and len(self.scope.schema.tables) == 1:
            raise NotUnderstood("I do not compute figures of the first rows alone")

    def _check_no_return(self) -> None:
        """Refuse what leads from a table to itself: "employees who report to Ada", with her name in the same table.

        Raises:
            NotUnderstood: A key to its own table stands beside a condition on a name there.
        """
        own = {(key.table, key.columns) for key in self.resolver.graph.keys if key.table == key.other}
        items = [*self.draft.select, *(c.item for c in self.draft.where if c.item)]
        columns = [column for item in items if (column := self.expressions.column_of(item))]
        named = [c for c in self.draft.where if c.item is None and c.mention is not None]
        back = next((c for c in columns if (c.table, (c.name,)) in own), None)
        if back is not None and named:
            raise NotUnderstood(f"I do not follow {back.table}.{back.name} back to its own table")

    def _absent(self) -> list[exp.Expr]:
        """What things must have none of; conditions on what they lack go with it: "no orders in March 2024"."""
        absent = []
        for subject, other in self.draft.without:
            about = [condition for condition in self.draft.where if self.filters.is_about(condition, other)]
            self.draft.where = [condition for condition in self.draft.where if condition not in about]
            absent.append(self.filters.without(subject, other, about))
        return absent

    def _is_one_count(self) -> bool:
        """Whether only the number of things is asked for, of which something is compared: "cities with 3 airports"."""
        select = self.draft.select
        return len(select) == 1 and select[0].aggregate == "count" and select[0].mention is not None

    def _count_of_groups(self) -> exp.Select:
        """Count the groups that remain: ``SELECT COUNT(*) FROM (SELECT … GROUP BY … HAVING …)``."""
        counted = self.draft.select[0]
        inner = replace(self.draft, select=[Item(counted.mention)], group=[Item(counted.mention)], order=[], limit=None)
        inner.tables = [n for n in self.draft.tables if n != counted.mention or self.resolver.is_table(n)]
        groups = Builder(self.resolver, inner, self.scope.dialect).build()
        name = f"n_{self.expressions.noun(counted.mention or 0)}"
        return exp.select(exp.alias_(exp.Count(this=exp.Star()), name)).from_(groups.subquery("groups"))

    def settle(self) -> None:
        """Choose the columns of everything the draft speaks of."""
        draft = self.draft
        items = [*draft.select, *draft.group, *(order.item for order in draft.order)]
        shared = [condition for item in items for condition in item.share]
        for condition in [*draft.where, *draft.having, *shared]:
            items += [condition.item] if condition.item else []
            items += [operand for operand in condition.operands if isinstance(operand, Item)]
        self.resolver.settle(items, [*draft.where, *draft.having, *shared])

    def _from(self, query: exp.Select) -> exp.Select:
        needed = self.scope.needed()
        if not needed:
            raise NotUnderstood("I do not see which table the question is about")
        query = query.from_(self.scope.table(needed[0]))
        for step in self.resolver.graph.joins(needed[0], needed):
            query = query.join(self.scope.table(step.table), on=self.scope.join_condition(step))
            self._refuse_rivals(step)
        return query

    def _refuse_rivals(self, step: Step) -> None:
        rivals = self.resolver.graph.rivals(step)
        if rivals:
            names = " or by ".join(key.columns[0] for key in (step.key, *rivals))
            raise NotUnderstood(f"{step.key.table} may be joined to {step.key.other} by {names}")

    def _by_time(self, selected: list[exp.Expr]) -> list[exp.Expr]:
        """Groups by month, day or hour come in the order of time, whether that is asked or not."""
        shown = [
            item for item in self.draft.group if item.mention is not None and not self.resolver.is_table(item.mention)
        ]
        if not any(item.part or _TIMES & set(self.resolver.column(item.mention or 0).words) for item in shown):
            return []
        plain = [e for e in selected if not e.find(exp.AggFunc)]
        return [exp.Ordered(this=exp.column(e.alias) if e.alias else e.copy(), nulls_first=False) for e in plain]

    def _ordered(self, order: Order, selected: list[exp.Expr]) -> exp.Expr:
        if order.item.mention is None and not order.item.aggregate:
            if isinstance(selected[0], exp.Star) or (len(selected) > 1 and order.letters):
                raise NotUnderstood("I do not see what to order by")
            figures = [shown for shown in selected if shown.find(exp.AggFunc) and not order.letters]
            expression: exp.Expr = (figures or selected)[0].unalias().copy()
        else:
            expression = self.expressions.expression(order.item)
        for shown in selected:
            if isinstance(shown, exp.Alias) and shown.this == expression:
                expression = exp.column(shown.alias)
        return exp.Ordered(this=expression, desc=order.descending, nulls_first=self._nulls_first(order))

    def _nulls_first(self, order: Order) -> bool:
        """Missing values come last where they would be taken for the lowest or highest; else as the dialect has it."""
        item = order.item
        known = item.mention is not None and not self.resolver.is_table(item.mention)
        gaps = known and bool(self.resolver.column(item.mention or 0).facts.missing)
        small = Dialect.get_or_raise(self.scope.dialect or None).NULL_ORDERING == "nulls_are_small"
        return small and not order.descending and not (gaps and self.draft.limit)

    def _distinct(self, query: exp.Select, selected: list[exp.Expr], groups: list[exp.Expr]) -> exp.Select:
        if groups or any(e.find(exp.AggFunc) for e in selected) or isinstance(selected[0], exp.Star):
            return query
        if self.draft.distinct or self._repeats(query):
            return query.distinct()
        return query

    def _repeats(self, query: exp.Select) -> bool:
        """Whether rows would repeat for no reason: a thing joined to many others, or a list of categories."""
        shown = {column.table for item in self.draft.select if (column := self.expressions.column_of(item)) is not None}
        if len(shown) != 1 or self.draft.order or self.draft.limit:
            return False
        table = next(iter(shown))
        if query.args.get("joins"):
            return any(step.to_many for step in self.resolver.graph.joins(table, self.scope.needed()))
        return len(self.draft.select) == 1 and self._is_category(self.draft.select[0])

    def _is_category(self, item: Item) -> bool:
        """Whether a column is asked for by itself and its values repeat: "all majors", not "majors of students"."""
        if (
            item.mention is None
            or item.part
            or self.resolver.is_table(item.mention)
            or item.mention in self.resolver.reading.owners
        ):
            return False
        column = self.resolver.column(item.mention)
        mention = self.resolver.reading.mentions[item.mention]
        plural = mention.text != "" and stem(mention.text.split()[-1]) != mention.text.split()[-1].lower()
        named = self.scope.schema[column.table].display == column
        return plural and not named and not column.key and not column.facts.unique and (column.is_text or column.is_id)
