"""Conditions of a draft as conditions of SQL, each value on a column that may hold it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .draft import Condition, Item, NotUnderstood, Value
from .times import COMPARING, in_period, part_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .schema import Field
    from .scope import Scope


class Filters:
    """Writes the conditions of one query."""

    def __init__(
        self, scope: Scope, item: Callable[[Item], exp.Expr], lacking: Callable[[Condition], exp.Expr]
    ) -> None:
        self._scope, self._item, self._lacking = scope, item, lacking

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
            return in_period(self._scope, condition)
        written = self._compared(condition)
        return _not(written) if condition.negated else written

    def _compared(self, condition: Condition) -> exp.Expr:
        if condition.item is None:
            return self._held(self._scope.resolver.holder(condition), condition)
        if condition.item == Item():
            return self._called(condition)
        if condition.item.part:
            return self._held(self._part(condition), condition)
        if condition.item.computed:
            return COMPARING[condition.operator](
                this=self._item(condition.item), expression=exp.Literal.number(_figure(condition.values[0]))
            )
        if condition.item.name is None:
            raise NotUnderstood("I do not see what is compared")
        return self._held(self._scope.field(condition.item.name), condition)

    def _part(self, condition: Condition) -> Field:
        """The column for a month without its year."""
        owner, part = condition.owner or self._scope.subject, condition.item.part if condition.item else ""
        field = part_column(self._scope, owner, part)
        if field is None:
            raise NotUnderstood(f"I do not see of which year the {part} is meant")
        return field

    def _called(self, condition: Condition) -> exp.Expr:
        """“named Ada Berg”: by the one column that the things are called by, or by first and last name."""
        table = condition.owner or self._scope.subject
        called = self._scope.names.called(table)
        words = condition.values[0].text.split()
        if len(called) == 2 and len(words) == 2:
            parts = zip(called, words, strict=True)
            return exp.and_(*(exp.EQ(this=self._scope.column(f), expression=exp.Literal.string(w)) for f, w in parts))
        known = len(called) == 1 and (
            condition.operator == "like" or called[0].unique or called[0] in dict(condition.values[0].stored)
        )
        if not known:
            raise NotUnderstood(f"I do not know where “{condition.values[0].text}” is stored")
        return self._held(called[0], condition)

    def _held(self, field: Field, condition: Condition) -> exp.Expr:
        """A condition on a column."""
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
                raise NotUnderstood(f"A value of {field.table}.{field.name} is named twice")
            return exp.In(this=column, expressions=values)
        if condition.operator == "like":
            kind = exp.ILike if self._scope.dialect in {"duckdb", "postgres", "snowflake", "redshift"} else exp.Like
            return kind(this=column, expression=values[0])
        return COMPARING[condition.operator](this=column, expression=values[0])

    def _truth(self, field: Field, column: exp.Column) -> exp.Expr:
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
            return self._number(field, value, operator)
        if stored := dict(value.stored).get(field):
            return exp.Literal.string(stored)
        spelled = next((one for one in field.values if one.casefold() == value.text.casefold()), None)
        if spelled:
            return exp.Literal.string(spelled)
        if field.is_number or field.is_truth or field.complete or (value.stored and not value.quoted):
            raise NotUnderstood(f"I do not know that {field.table}.{field.name} holds “{value.text}”")
        return exp.Literal.string(value.text)

    def _number(self, field: Field, value: Value, operator: str) -> exp.Expr:
        if field.is_number:
            return exp.Literal.number(_figure(value))
        if operator in {"=", "in"} and field.is_text and not field.complete:
            return exp.Literal.string(value.text)
        if operator in {"=", "in"} and value.text in field.values:
            return exp.Literal.string(value.text)
        raise NotUnderstood(f"{field.table}.{field.name} holds no numbers to compare with {value.text}")

    def _other(self, field: Field, item: Item) -> exp.Expr:
        """Another column, or a figure over all rows: ``(SELECT AVG(price) FROM books)``."""
        if item.name is None:
            raise NotUnderstood("I do not see what to compare with")
        other = self._scope.field(item.name if item.name.owner else replace(item.name, owner=field.table))
        if not item.function:
            return self._scope.column(other)
        figure = {"avg": exp.Avg, "max": exp.Max, "min": exp.Min}[item.function](this=self._scope.column(other))
        return exp.select(figure).from_(self._scope.table(other.table)).subquery()


def _figure(value: Value) -> str:
    if value.number is None:
        raise NotUnderstood(f"“{value.text}” is no number")
    return f"{value.number:.15g}"


def _not(condition: exp.Expr) -> exp.Expr:
    """The opposite, as people write it."""
    if isinstance(condition, exp.EQ):
        return exp.NEQ(this=condition.this, expression=condition.expression)
    return exp.Not(this=condition)
