"""Items of a draft as expressions of SQL: columns, parts of dates, aggregates, and the names they get."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from .constants import literal
from .query import Item, NotUnderstood
from .rules.folding import ADDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .query import Condition, Value
    from .schema import Column, Table
    from .scope import Scope

_FUNCTIONS: dict[str, type[exp.AggFunc]] = {
    "avg": exp.Avg,
    "sum": exp.Sum,
    "min": exp.Min,
    "max": exp.Max,
    "median": exp.Median,
    "stddev": exp.Stddev,
    "variance": exp.Variance,
}
_SPOKEN = {
    "median": "median", "stddev": "standard deviation", "variance": "variance", "corr": "correlation"
}  # fmt: skip
_SIGNS = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul, "/": exp.Div}
_SIGN_NAMES = {"+": "plus", "-": "minus", "*": "times", "/": "per", "": ""}


class Expressions:
    """Writes the items of one query.

    Args:
        scope: The names and tables of the query.
        conditions: Writes the conditions of a share.
    """

    def __init__(self, scope: Scope, conditions: Callable[[Iterable[Condition]], exp.Expr | None]) -> None:
        self.scope = scope
        self._conditions = conditions

    def expression(self, item: Item) -> exp.Expr:
        """An item as SQL."""
        if item.pair:
            return self._pair(item, *item.pair)
        if item.portion:
            return self._portion(item)
        if item.aggregate == "count":
            return self._count(item)
        if item.share:
            return self._share(item)
        if item.mention is None:
            raise NotUnderstood("I do not see what to order by")
        if self.scope.resolver.is_table(item.mention):
            expression: exp.Expr = self.scope.column(self.naming(self.scope.resolver.table(item.mention)))
        else:
            column = self.scope.resolver.column(item.mention, numeric=item.aggregate in ADDING)
            expression = self._part(self.scope.column(column), item.part)
            if item.aggregate in ADDING and not column.is_number:
                expression = self.as_number(expression)
        self._check_known(item.aggregate)
        return _FUNCTIONS[item.aggregate](this=expression) if item.aggregate else expression

    def _check_known(self, aggregate: str) -> None:
        if aggregate in _SPOKEN and self.scope.dialect in {"sqlite", "mysql"}:
            raise NotUnderstood(f"This dialect has no function for a {_SPOKEN[aggregate]}")

    def _pair(self, item: Item, one: Item, other: Item | Value) -> exp.Expr:
        """A calculation with two figures, or their correlation."""
        left = self.expression(one)
        right = self.expression(other) if isinstance(other, Item) else literal(other, None)
        if item.sign:
            return _SIGNS[item.sign](this=left, expression=right)
        self._check_known(item.aggregate)
        return exp.Corr(this=left, expression=right)

    def _portion(self, item: Item) -> exp.Expr:
        """The share of a group's rows among the rows of all groups."""
        whole = exp.Window(this=exp.Sum(this=exp.Count(this=exp.Star())))
        rows = exp.Mul(
            this=exp.Count(this=exp.Star()), expression=exp.Literal.number("100.0" if item.percent else "1.0")
        )
        return exp.Div(this=rows, expression=whole)

    def as_number(self, expression: exp.Expr) -> exp.Expr:
        """Figures that are stored as text: SQLite takes them as they are, others want to be told."""
        return (
            expression
            if self.scope.dialect == "sqlite"
            else exp.TryCast(this=expression, to=exp.DataType.build("double"))
        )

    def _count(self, item: Item) -> exp.Expr:
        if item.mention is None:
            return exp.Count(this=exp.Star())
        if self.scope.resolver.is_table(item.mention):
            table = self.scope.resolver.table(item.mention)
            self.scope.used.setdefault(table.name, None)
            if item.distinct or self._fans_out(table):
                return exp.Count(this=exp.Distinct(expressions=[self.scope.column(self.key(table))]))
            return exp.Count(this=exp.Star())
        column = self.scope.resolver.column(item.mention)
        if not item.distinct and self._identifies(column):
            return exp.Count(this=exp.Star())
        if item.repeats:
            return exp.Count(this=self.scope.column(column))
        return exp.Count(this=exp.Distinct(expressions=[self.scope.column(column)]))

    def _share(self, item: Item) -> exp.Expr:
        """The share of rows: the average of one where the conditions hold and of nothing where they do not."""
        if item.mention is not None and self.scope.resolver.is_table(item.mention):
            self.scope.used.setdefault(self.scope.resolver.table(item.mention).name, None)
        condition = self._conditions(item.share)
        whole = exp.Literal.number("100.0" if item.percent else "1.0")
        return exp.Avg(this=exp.Case(ifs=[exp.If(this=condition, true=whole)], default=exp.Literal.number("0")))

    def _identifies(self, column: Column) -> bool:
        table = self.scope.schema[column.table]
        return table.primary == (column.name,) or column.facts.unique

    def _fans_out(self, table: Table) -> bool:
        """Whether the other tables of the query can repeat this table's rows, and there are no groups to blame."""
        needed = self.scope.needed()
        if len(needed) < 2 or not self.has_key(table):
            return False
        return any(step.to_many for step in self.scope.resolver.graph.joins(table.name, needed))

    def has_key(self, table: Table) -> bool:
        """Whether one column identifies a table's rows."""
        return len(table.primary) == 1 or any(column.facts.unique for column in table.columns)

    def key(self, table: Table) -> Column:
        """The column that identifies a table's rows, else its first one."""
        if len(table.primary) == 1 and (column := table.get(table.primary[0])):
            return column
        unique = next((column for column in table.columns if column.facts.unique), None)
        return unique or table.columns[0]

    def naming(self, table: Table) -> Column:
        """The column that names a table's things, else its key."""
        if not table.columns:
            raise NotUnderstood(f"I know no column of {table.name}")
        return table.display or self.key(table)

    def _part(self, column: exp.Column, part: str) -> exp.Expr:
        if not part:
            return column
        if self.scope.dialect == "sqlite":
            codes = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "weekday": "%w", "week": "%W"}
            if part == "date":
                return exp.func("DATE", column)
            if part in codes:
                return exp.cast(
                    exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string(codes[part]), column]), "int"
                )
            raise NotUnderstood(f"I cannot take the {part} of a date in SQLite")
        if part == "date":
            return exp.cast(column, "date")
        return exp.Extract(this=exp.var("DOW" if part == "weekday" else part.upper()), expression=column)

    def shown(self, item: Item) -> list[exp.Expr]:
        """What an item adds to the SELECT list; things without name and key are shown with all their columns."""
        if item.mention is not None and not item.aggregate and self.scope.resolver.is_table(item.mention):
            table = self.scope.resolver.table(item.mention)
            if table.person and len(self.scope.schema.tables) > 1:
                return [self.scope.column(column) for column in table.person]
            nameless = table.display is None and (not self.has_key(table) or self._is_all_that_is_asked())
            if (nameless or len(self.scope.schema.tables) == 1) and not self.scope.draft.group:
                self.scope.used.setdefault(table.name, None)
                return [exp.Star()]
        expression = self.expression(item)
        alias = self._alias(item)
        return [exp.alias_(expression, alias, quoted=False) if alias else expression]

    def _is_all_that_is_asked(self) -> bool:
        """“show all orders”: one thing, and nothing about it."""
        draft = self.scope.draft
        return len(draft.select) == 1 and not (draft.where or draft.having or draft.order or draft.without)

    def _alias(self, item: Item) -> str:
        if item.pair:
            return self._pair_name(item, *item.pair)
        if item.part and not item.aggregate:
            return item.part
        if not item.aggregate:
            return ""
        if item.share or item.portion:
            return "percentage" if item.percent else "share"
        if item.aggregate == "count":
            return f"n_{self.noun(item.mention)}" if item.mention is not None else "n"
        return f"{item.aggregate}_{self.noun(item.mention)}" if item.mention is not None else item.aggregate

    def _pair_name(self, item: Item, one: Item, other: Item | Value) -> str:
        """The name of a calculation: ``max_price_minus_min_price``, ``corr_x_y``."""
        sides = (one, _SIGN_NAMES[item.sign], other)
        names = (side if isinstance(side, str) else self._side_name(side) for side in sides)
        return "_".join(name for name in ("" if item.sign else item.aggregate, *names) if name)

    def _side_name(self, side: Item | Value) -> str:
        if not isinstance(side, Item):
            return re.sub(r"\W+", "_", side.text).strip("_")
        return self._alias(side) or (self.noun(side.mention) if side.mention is not None else "")

    def noun(self, number: int) -> str:
        """What a mention is called in the name of a computed column."""
        name = (
            self.scope.resolver.table(number).name.rpartition(".")[2]
            if self.scope.resolver.is_table(number)
            else self.scope.resolver.column(number).name
        )
        return re.sub(r"\W+", "_", name).strip("_").lower() or "value"

    def column_of(self, item: Item) -> Column | None:
        """The column an item is, None for counts and parts of dates."""
        if item.aggregate == "count" or item.mention is None or item.part:
            return None
        if self.scope.resolver.is_table(item.mention):
            return self.naming(self.scope.resolver.table(item.mention))
        return self.scope.resolver.column(item.mention)

    def thing(self, number: int) -> Table | None:
        """The table whose things a mention stands for, by itself or by its naming column."""
        if self.scope.resolver.is_table(number):
            return self.scope.resolver.table(number)
        column = self.scope.resolver.column(number)
        table = self.scope.schema[column.table]
        owner = self.scope.resolver.reading.owners.get(number)
        owned = owner is not None and self.scope.resolver.table(owner).name == table.name
        return table if table.display == column or owned else None
