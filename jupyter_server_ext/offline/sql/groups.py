"""Groups: what is grouped by, also where the question does not say it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..words import stem
from .query import Item, NotUnderstood

if TYPE_CHECKING:
    from sqlglot import exp

    from .expressions import Expressions
    from .schema import Table
    from .scope import Scope


class Groups:
    """Finds the groups of one query and completes the draft by what they imply.

    Args:
        scope: The names and tables of the query.
        expressions: Writes its items.
    """

    def __init__(self, scope: Scope, expressions: Expressions) -> None:
        self.scope = scope
        self.expressions = expressions

    def _check_totals(self) -> None:
        """Refuse "the planes with the most miles", where each has many flights: their sum, or the longest?

        Raises:
            NotUnderstood: The measure is that of many rows for each thing.
        """
        draft = self.scope.draft
        shown = [item.mention for item in draft.select if item.mention is not None and not item.aggregate]
        for order in draft.order:
            number = order.item.mention
            if not (draft.superlative and shown) or order.item.aggregate or number is None or number == shown[0]:
                continue
            measured = self.scope.resolver.column(number, numeric=True)
            thing = self.expressions.thing(shown[0]) or self.scope.schema[self.scope.resolver.column(shown[0]).table]
            self._check_said_once(shown[0], number)
            steps = self.scope.resolver.graph.path([thing.name], measured.table) or []
            if any(step.to_many for step in steps):
                raise NotUnderstood(f"I do not see whether {measured.name} is to be added up for each of {thing.name}")

    def _check_said_once(self, shown: int, measure: int) -> None:
        """Refuse "which hour has the most delays": of each hour there are many, to be counted or added up.

        Raises:
            NotUnderstood: What is asked for has many rows, and the measure is spoken of as many things.
        """
        resolver = self.scope.resolver
        if resolver.is_table(shown) or self._named_thing(shown):
            return
        column, said = resolver.column(shown), resolver.reading.mentions[measure].text
        last = resolver.column(measure).words[-1]
        many = stem(said.split()[-1]) != said.split()[-1].lower() and stem(last) == last
        once = column.facts.unique or column.key or column.table != resolver.column(measure).table
        if many and not once:
            raise NotUnderstood(f"I do not see whether “{said}” are to be counted or added up for each {column.name}")

    def imply(self) -> None:
        """Group by what is shown when it stands beside an aggregate, or when groups are compared or ranked."""
        self._check_totals()
        draft = self.scope.draft
        aggregates = [item for item in draft.select if item.aggregate]
        plain = [item for item in draft.select if not item.aggregate]
        counted = [order.item for order in draft.order if order.item.aggregate] + [
            c.item for c in draft.having if c.item
        ]
        if draft.group and not aggregates and not counted:
            added = [self._added(item) for item in plain]
            if any(item.aggregate for item in added):
                draft.select = [*draft.group, *added]
            else:
                draft.select = draft.select or [*draft.group]
                draft.group = [] if not draft.superlative else draft.group
        if not draft.group and plain and (aggregates or counted):
            draft.group = plain
        elif draft.group and aggregates and not plain:
            draft.select = [*draft.group, *draft.select]
        elif draft.group and not draft.select:
            draft.select = [*draft.group]
        self._order_groups()
        self._check_counts_others()
        if counted and not draft.group and not draft.select:
            raise NotUnderstood("I do not see what the counts are for")

    def _added(self, item: Item) -> Item:
        """“How many docks are there per city”: their sum, where a column holds how many."""
        if item.mention is None or self.scope.resolver.is_table(item.mention):
            return item
        said = self.scope.resolver.reading.mentions[item.mention].text.lower()
        summed = said.startswith("how many") and self.scope.resolver.column(item.mention).is_number
        return replace(item, aggregate="sum") if summed else item

    def _check_counts_others(self) -> None:
        """Refuse to rank things by how often each stands in its own table: once.

        Raises:
            NotUnderstood: Nothing says what makes "the busiest station".
        """
        draft = self.scope.draft
        ranked = draft.limit and draft.order and draft.order[0].item
        if not ranked or ranked.aggregate != "count" or ranked.mention is not None or len(draft.group) != 1:
            return
        number = draft.group[0].mention
        if number is None or not (table := self._named_thing(number)):
            return
        if self.expressions.has_key(table) and not self._counts_others(table):
            raise NotUnderstood(f"I do not see by what the {table.name} are to be ranked")

    def _named_thing(self, number: int) -> Table | None:
        """The table whose things a mention names, by itself or by the column that they are called by."""
        if self.scope.resolver.is_table(number):
            return self.scope.resolver.table(number)
        column = self.scope.resolver.column(number)
        table = self.scope.schema[column.table]
        return table if column in {table.display, *(table.person or ())} else None

    def _order_groups(self) -> None:
        """“average price by city sorted by price”: by the figure that is shown of it.

        Raises:
            NotUnderstood: A column that differs within a group would order the groups.
        """
        draft = self.scope.draft
        if not draft.group or len(self.scope.schema.tables) > 1:
            return
        column = self.expressions.column_of
        figures = {column(item): item for item in reversed(draft.select) if item.aggregate and item.mention is not None}
        kept = [column(item) for item in draft.group]
        for place, order in enumerate(draft.order):
            own = column(order.item)
            if own is None or order.item.aggregate or own in kept:
                continue
            if own not in figures:
                raise NotUnderstood(f"I do not see which {own.name} of a group to order by")
            draft.order[place] = replace(order, item=figures[own])

    def terms(self) -> list[exp.Expr]:
        """The GROUP BY terms; everything shown that is no aggregate is among them."""
        groups: dict[str, exp.Expr] = {}
        if not self.scope.draft.group:
            return []
        for item in self.scope.draft.group:
            for expression in self._group_terms(item):
                groups.setdefault(expression.sql(), expression)
        for item in self.scope.draft.select:
            if not item.aggregate:
                for expression in self.expressions.shown(item):
                    groups.setdefault(expression.unalias().sql(), expression.unalias())
        return list(groups.values())

    def _group_terms(self, item: Item) -> list[exp.Expr]:
        """A thing is grouped by its key as well as by its name, since names may repeat."""
        expression = self.expressions.expression(item)
        if item.mention is None or item.part:
            return [expression]
        table = self.expressions.thing(item.mention)
        if table is None or not self.expressions.has_key(table) or not self._counts_others(table) or item.aggregate:
            return [expression]
        key = self.expressions.key(table)
        shown = (
            self.expressions.naming(table)
            if self.scope.resolver.is_table(item.mention)
            else self.scope.resolver.column(item.mention)
        )
        return [expression] if shown == key else [self.scope.column(key), expression]

    def _counts_others(self, table: Table) -> bool:
        return any(name != table.name for name in self.scope.needed())
