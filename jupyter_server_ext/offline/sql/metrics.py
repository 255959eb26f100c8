"""A draft with metrics as a query that says what is wanted: the kernel joins and filters by their definitions."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .build import Builder
from .draft import NotUnderstood
from .schema import Field
from .scope import QueryScope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.sql import Definition

    from .draft import OfflineDraft
    from .schema import SchemaNames

_TIME = "metric_time"
_DEEPEST = 20


def has_metrics(draft: OfflineDraft) -> bool:
    """Whether a draft asks for something that a dictionary defines."""
    items = (*draft.shown, *(order.item for order in draft.order))
    return any(item.metric is not None for item in items)


class MetricScope(QueryScope):
    """The tables that all metrics of a draft can be told by."""

    near_first = False

    def __init__(self, draft: OfflineDraft, names: SchemaNames, dialect: str, metrics: list[Definition]) -> None:
        found = [base for metric in metrics for base in bases(metric, names)]
        self._homes = [table.full_name for base in found if (table := names.catalog.get(base.table))]
        if not self._homes:
            raise NotUnderstood(f"The table that {metrics[0].name} is computed over is not among those that I see")
        super().__init__(replace(draft, things=(self._homes[0], *draft.things)), names, dialect)
        if all(base.time for base in found):
            self.time = Field("", _TIME, "TIMESTAMP")

    def _circles(self, owner: str) -> Iterator[set[str]]:
        """Where to look for a column: the tables that a row of each metric belongs to, nearest first."""
        if owner not in self._homes:
            yield from super()._circles(owner)
            return
        away = [self._away(home) for home in dict.fromkeys(self._homes)]
        common = set.intersection(*map(set, away))
        farthest = {name: max(each[name] for each in away) for name in common}
        for distance in sorted(set(farthest.values())):
            yield {name for name in common if farthest[name] == distance}

    def _away(self, home: str) -> dict[str, int]:
        """The tables that a row of one belongs to, with the number of joins between."""
        found, todo = {home: 0}, [home]
        for name in todo:
            for step in self.names.joins.steps[name]:
                if not step.to_many and step.table not in found:
                    found[step.table] = found[name] + 1
                    todo.append(step.table)
        return found


def bases(metric: Definition, names: SchemaNames, depth: int = 0) -> list[Definition]:
    """A metric over the rows of a table, or those that it is made of."""
    if metric.table:
        return [metric]
    words = re.findall(r"\w+", metric.expression) if depth < _DEEPEST else []
    parts = filter(None, map(names.catalog.definitions.metric, words))
    return [base for part in parts for base in bases(part, names, depth + 1)]


class MetricBuilder(Builder):
    """One draft with metrics as a query."""

    def scoped(self, draft: OfflineDraft, names: SchemaNames, dialect: str) -> QueryScope:
        """The names of the query, seen from the rows of its metrics."""
        items = (*draft.shown, *(order.item for order in draft.order))
        return MetricScope(draft, names, dialect, [item.metric for item in items if item.metric is not None])

    def build(self) -> exp.Select:
        """The query, without the joins that the definitions know."""
        if any(item.function and item.metric is None for item in self.draft.shown) or self.draft.having:
            raise NotUnderstood("I compute no other figures beside a defined metric")
        shown = [term for item in self._items() for term in self.terms.shown(item)]
        groups = [term for item in self.draft.group for term in self._group_terms(item)]
        where = self.terms.all(self.draft.where)
        if self.draft.limit:  # which one it is: rows without a partner are none
            where = exp.and_(where, *(exp.Not(this=exp.Is(this=each.copy(), expression=exp.Null())) for each in groups))
        order = [self._ordered(one, shown) for one in self.draft.order]
        query = exp.select(*shown).from_(self.scope.table(self.scope.subject)).where(where)
        if groups:
            query = query.group_by(*self._grouped(groups, shown))
        query = query.order_by(*order) if order else query
        return query.limit(self.draft.limit) if self.draft.limit else query
