"""Items and conditions of a draft as SQL: columns, parts of dates, figures, and values on columns that hold them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .draft import Condition, Item, NotUnderstood, Value
from .times import COMPARING, date_of, in_period, part_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .schema import Field
    from .scope import QueryScope

_FUNCTIONS: dict[str, type[exp.AggFunc]] = {
    "avg": exp.Avg, "sum": exp.Sum, "min": exp.Min, "max": exp.Max,
    "median": exp.Median, "stddev": exp.Stddev, "variance": exp.Variance,
}  # fmt: skip
_RARE = {"median": "median", "stddev": "standard deviation", "variance": "variance"}
_CODES = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "weekday": "%w", "week": "%W"}


class Terms:
    """Writes the items and conditions of one query."""

    def __init__(self, scope: QueryScope, lacking: Callable[[Condition], exp.Expr]) -> None:
        self._scope, self._lacking = scope, lacking

    def of(self, item: Item) -> exp.Expr:
        """An item as SQL."""
        if item.function in _RARE and self._scope.dialect in {"sqlite", "mysql"}:
            raise NotUnderstood(f"This dialect has no function for a {_RARE[item.function]}")
        if item.metric is not None:
            name = exp.Column(this=self._scope.identifier(item.metric.name))
            return exp.AnonymousAggFunc(this="MEASURE", expressions=[name])
        if item.function == "count":
            return self._count(item)
        if item.name is None and item.part:
            return self._part(date_of(self._scope, self._scope.subject), item.part)
        if item.name is None:
            return self._scope.column(self._only_called(item.table or self._scope.subject))
        field = self._scope.field(item.name)
        # Numbers that identify things can be added up, and mean nothing.
        if item.function not in {"", "min", "max"} and (field.is_id or not (field.is_number or field.is_truth)):
            raise NotUnderstood(f"{field.table}.{field.name} holds no figures to compute with")
        column = self._part(field, item.part)
        return _FUNCTIONS[item.function](this=column) if item.function else column

    def _only_called(self, table: str) -> Field:
        called, key = self._scope.names.called(table), self._scope.names.key(table)
        if len(called) != 1 and key is None:
            raise NotUnderstood(f"I do not know what the rows of {table} are called by")
        return called[0] if len(called) == 1 or key is None else key

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
        expression, alias = self.of(item), item.part
        if item.metric is not None:
            return [expression]
        if item.function:
            named = (self._scope.field(item.name).name if item.name else item.table).rpartition(".")[2]
            noun = re.sub(r"\W+", "_", named).strip("_").lower() or ("value" if named else "")
            alias = "_".join(filter(None, ("n" if item.function == "count" else item.function, noun)))
        return [exp.alias_(expression, alias, quoted=False) if alias else expression]

    def called(self, table: str) -> tuple[Field, ...]:
        """The columns that say which thing of a table a row is."""
        called, key = self._scope.names.called(table), self._scope.names.key(table)
        return called or ((key,) if key else self._scope.names.fields[table][:1])

    # Conditions

    def all(self, conditions: Sequence[Condition]) -> exp.Expr | None:
        """All conditions, or None where there are none."""
        written = [self._one(condition) for condition in conditions]
        return exp.and_(*written) if written else None

    def _one(self, condition: Condition) -> exp.Expr:
        if condition.either:
            return exp.or_(*(self._one(one) for one in condition.either))
        if condition.lacks is not None:
            return self._lacking(condition)
        if condition.period is not None:
            return in_period(self._scope, condition, condition.period)
        written = self._compared(condition)
        if not condition.negated:
            return written
        # As people write it: <> rather than NOT … =.
        equal = isinstance(written, exp.EQ)
        return exp.NEQ(this=written.this, expression=written.expression) if equal else exp.Not(this=written)

    def _compared(self, condition: Condition) -> exp.Expr:
        item = condition.item
        if item is None:
            return self._held(self._scope.holder(condition), condition)
        if item == Item():
            return self._called(condition)
        if item.part:  # a month without its year is one of a column for the month
            field = part_column(self._scope, condition.owner or self._scope.subject, item.part)
            if field is None:
                raise NotUnderstood(f"I do not see of which year the {item.part} is meant")
            return self._held(field, condition)
        if item.function:
            figure = exp.Literal.number(_figure(condition.values[0]))
            return COMPARING[condition.operator](this=self.of(item), expression=figure)
        if item.name is None:
            raise NotUnderstood("I do not see what is compared")
        return self._held(self._scope.field(item.name), condition)

    def _called(self, condition: Condition) -> exp.Expr:
        """“named Ada Berg”: by the one column that the things are called by, or by first and last name."""
        called, value = self._scope.names.called(condition.owner or self._scope.subject), condition.values[0]
        if condition.operator == "like" and len(called) == 1:
            self._scope.notes.append(f"I looked in {called[0].table}.{called[0].name}.")
            return self._held(called[0], condition)
        words = value.text.split()
        if len(called) == 2 and len(words) == 2:
            parts = zip(called, words, strict=True)
            return exp.and_(*(exp.EQ(this=self._scope.column(f), expression=exp.Literal.string(w)) for f, w in parts))
        if len(called) != 1 or not (called[0].unique or called[0] in dict(value.stored)):
            raise NotUnderstood(f"I do not know where “{value.text}” is stored")
        return self._held(called[0], condition)

    def _held(self, field: Field, condition: Condition) -> exp.Expr:
        column = self._scope.column(field)
        if condition.operator == "null":
            return exp.Is(this=column, expression=exp.Null())
        if condition.operator == "true":
            return self._truth(field, column)
        values = [self._constant(field, value, condition.operator) for value in condition.values]
        if condition.operator == "between":
            return exp.Between(this=column, low=values[0], high=values[1])
        if condition.operator == "in":
            if len({value.name for value in values}) < len(values):
                # The second one was a slip, or meant for another column.
                raise NotUnderstood(f"A value of {field.table}.{field.name} is named twice")
            return exp.In(this=column, expressions=values)
        if condition.operator == "like":
            # Where LIKE minds the case, people who ask do not.
            kind = exp.ILike if self._scope.dialect in {"duckdb", "postgres", "snowflake", "redshift"} else exp.Like
            return kind(this=column, expression=values[0])
        return COMPARING[condition.operator](this=column, expression=values[0])

    def _truth(self, field: Field, column: exp.Column) -> exp.Expr:
        # Columns of yes and no are texts in many databases.
        if field.is_truth:
            return column
        yes = next((value for value in field.values if value.lower() in {"yes", "true", "y"}), None)
        if yes is None:
            raise NotUnderstood(f"I do not know that {field.table}.{field.name} says yes or no")
        return exp.EQ(this=column, expression=exp.Literal.string(yes))

    def _constant(self, field: Field, value: Value, operator: str) -> exp.Expr:
        """A value as it is compared with a column."""
        if value.item is not None:
            return self._other(field, value.item)
        if operator == "like":
            if not field.is_text:
                raise NotUnderstood(f"{field.table}.{field.name} holds no text")
            return exp.Literal.string(value.text)
        if value.number is not None:
            if field.is_number:
                return exp.Literal.number(_figure(value))
            # A number in a column of texts is equal to one of them, and neither more nor less.
            if operator in {"=", "in"} and (value.text in field.values or (field.is_text and not field.complete)):
                return exp.Literal.string(value.text)
            raise NotUnderstood(f"{field.table}.{field.name} holds no numbers to compare with {value.text}")
        same = (one for one in field.values if one.casefold() == value.text.casefold())
        if stored := dict(value.stored).get(field) or next(same, None):
            return exp.Literal.number(stored) if field.is_number else exp.Literal.string(stored)
        # A value that is not there gives an empty result, which reads like an answer.
        if field.is_number or field.is_truth or field.complete or (value.stored and not value.quoted):
            raise NotUnderstood(f"I do not know that {field.table}.{field.name} holds “{value.text}”")
        return exp.Literal.string(value.text)

    def _other(self, field: Field, item: Item) -> exp.Expr:
        """Another column, or a figure over all rows: ``(SELECT AVG(price) FROM books)``."""
        if item.name is None:
            raise NotUnderstood("I do not see what to compare with")
        other = self._scope.field(item.name if item.name.owner else replace(item.name, owner=field.table))
        if not item.function:
            return self._scope.column(other)
        figure = _FUNCTIONS[item.function](this=self._scope.column(other))
        return exp.select(figure).from_(self._scope.table(other.table)).subquery()


def _figure(value: Value) -> str:
    if value.number is None:
        raise NotUnderstood(f"“{value.text}” is no number")
    return f"{value.number:.15g}"
