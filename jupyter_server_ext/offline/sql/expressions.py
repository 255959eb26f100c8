"""Items of a draft as expressions of SQL: columns, parts of dates, figures, and the names they get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from .draft import NotUnderstood
from .scope import noun

if TYPE_CHECKING:
    from collections.abc import Callable

    from .draft import Item
    from .schema import Field
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
_RARE = {"median": "median", "stddev": "standard deviation", "variance": "variance"}
_CODES = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "weekday": "%w", "week": "%W"}


class Expressions:
    """Writes the items of one query."""

    def __init__(self, scope: Scope, date: Callable[[], Field]) -> None:
        self._scope, self._date = scope, date

    def of(self, item: Item) -> exp.Expr:
        """An item as SQL."""
        if item.function in _RARE and self._scope.dialect in {"sqlite", "mysql"}:
            raise NotUnderstood(f"This dialect has no function for a {_RARE[item.function]}")
        if item.function == "count":
            return self._count(item)
        if item.name is None:
            return self._scope.column(self._only_called(item)) if not item.part else self._part(self._date(), item.part)
        field = self._scope.field(item.name)
        if item.function in {"sum", "avg", "median", "stddev", "variance"}:
            return _FUNCTIONS[item.function](this=self._number(field))
        column = self._part(field, item.part)
        return _FUNCTIONS[item.function](this=column) if item.function else column

    def _number(self, field: Field) -> exp.Expr:
        """A column to compute with."""
        if field.is_id or not (field.is_number or field.is_truth):
            raise NotUnderstood(f"{field.table}.{field.name} holds no figures to compute with")
        return self._scope.column(field)

    def _only_called(self, item: Item) -> Field:
        table = item.table or self._scope.subject
        called = self._scope.names.called(table)
        if len(called) == 1:
            return called[0]
        key = self._scope.names.key(table)
        if key is None:
            raise NotUnderstood(f"I do not know what the rows of {table} are called by")
        return key

    def _count(self, item: Item) -> exp.Expr:
        if item.name is None:
            if item.table:
                self._scope.used.setdefault(item.table)
            return exp.Count(this=exp.Star())
        field = self._scope.field(item.name)
        column = self._scope.column(field)
        if item.distinct:
            return exp.Count(this=exp.Star() if field.unique else exp.Distinct(expressions=[column]))
        return exp.Count(this=column)

    def _part(self, field: Field, part: str) -> exp.Expr:
        column = self._scope.column(field)
        if not part:
            return column
        if self._scope.dialect != "sqlite":
            if part == "date":
                return exp.cast(column, "date")
            return exp.Extract(this=exp.var("DOW" if part == "weekday" else part.upper()), expression=column)
        if part == "date":
            return exp.func("DATE", column)
        if part not in _CODES:
            raise NotUnderstood(f"I cannot take the {part} of a date in SQLite")
        text = exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string(_CODES[part]), column])
        return exp.cast(text, "int")

    def shown(self, item: Item) -> list[exp.Expr]:
        """What an item adds to the SELECT list: a thing's name, or its figure with a name of its own."""
        if item.table and not item.function and item.name is None:
            return [self._scope.column(field) for field in self.called(item.table)]
        expression, alias = self.of(item), self.alias(item)
        return [exp.alias_(expression, alias, quoted=False) if alias else expression]

    def called(self, table: str) -> tuple[Field, ...]:
        """The columns that say which thing of a table a row is."""
        called, key = self._scope.names.called(table), self._scope.names.key(table)
        return called or ((key,) if key else self._scope.names.fields[table][:1])

    def alias(self, item: Item) -> str:
        """The name of a computed column; empty for a plain one."""
        if not item.function:
            return item.part
        prefix = "n" if item.function == "count" else item.function
        said = noun(self._scope.field(item.name).name) if item.name else noun(item.table) if item.table else ""
        return f"{prefix}_{said}" if said else prefix
