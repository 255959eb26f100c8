"""Conditions of a draft as SQL, those on rows, on groups, and those that something is absent."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .constants import check_comparable, literal, stretch
from .expressions import Expressions
from .periods import until
from .query import Condition, Draft, Item, NotUnderstood, Value
from .scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .periods import Period
    from .schema import Column


class Filters:
    """Writes the conditions of one query.

    Args:
        scope: The names and tables of the query.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.expressions = Expressions(scope, self.conditions)

    def conditions(self, conditions: Iterable[Condition]) -> exp.Expr | None:
        """The conditions joined from left to right; "or" binds the neighbours it stands between."""
        groups: list[list[exp.Expr]] = []
        conditions = list(conditions)
        if len(conditions) > 1 and conditions[0].joined == "or":
            conditions = self._in_turn(conditions)
        for condition in conditions:
            expression = self._condition(condition)
            if condition.joined == "or" and groups:
                groups[-1].append(expression)
            else:
                groups.append([expression])
        if not groups:
            return None
        return exp.and_(*(exp.or_(*group) if len(group) > 1 else group[0] for group in groups))

    def _in_turn(self, conditions: list[Condition]) -> list[Condition]:
        """Two conditions that were read the other way round: "price is missing or x > 7".

        Raises:
            NotUnderstood: There are more, and nothing says which of them the "or" joins.
        """
        if len(conditions) > 2:
            raise NotUnderstood("I do not see which conditions “or” joins")
        return [conditions[1], conditions[0]]

    def _condition(self, condition: Condition) -> exp.Expr:
        if condition.item is None:
            return self._bare(condition)
        if (spans := self._spans(condition)) is not None:
            return self._in_time(*spans, condition.operator)
        left = self.expressions.expression(condition.item)
        own = self.expressions.column_of(condition.item)
        right = [self._operand(operand, own, condition) for operand in condition.operands]
        check_comparable(condition, own)
        if own is not None and own.is_measured and not own.is_number and condition.operator not in {"=", "!="}:
            left = self.expressions.as_number(left)
        return self._compare(left, condition.operator, right)

    def _spans(self, condition: Condition) -> tuple[exp.Expr, list[Period]] | None:
        """The date column of a condition about days, months or years, and these as half-open stretches of days."""
        item = condition.item
        if item is None or item.aggregate or item.mention is None or item.pair or not condition.operands:
            return None
        if item.part not in {"", "year"} or self.scope.resolver.is_table(item.mention):
            return None
        column = self.scope.resolver.column(item.mention)
        spans = [stretch(operand, column, item.part) for operand in condition.operands]
        return (self.scope.column(column), [span for span in spans if span]) if all(spans) else None

    def _in_time(self, left: exp.Expr, spans: list[Period], operator: str) -> exp.Expr:
        """Bounds of a date, the later one not included, so that an index serves and no time of a day is lost."""
        first, last = (exp.Literal.string(day.isoformat()) for day in (spans[0].start, spans[-1].end))
        if operator in {">", ">="}:
            return exp.GTE(this=left, expression=last if operator == ">" else first)
        if operator in {"<", "<="}:
            return exp.LT(this=left, expression=first if operator == "<" else last)
        if operator.endswith("between"):
            spans = [until(spans[0], spans[-1])]
        inside = exp.or_(*(self._within(left, span) for span in spans))
        return exp.Not(this=exp.paren(inside)) if operator.startswith(("not", "!")) else inside

    def _within(self, left: exp.Expr, span: Period) -> exp.Expr:
        first, last = (exp.Literal.string(day.isoformat()) for day in (span.start, span.end))
        return exp.and_(exp.GTE(this=left.copy(), expression=first), exp.LT(this=left.copy(), expression=last))

    def _bare(self, condition: Condition) -> exp.Expr:
        """A condition that only names a value: the column is found by it."""
        names = self.scope.resolver.person_named(condition)
        if names:
            parts = [exp.EQ(this=self.scope.column(c), expression=exp.Literal.string(text)) for c, text in names]
            return exp.and_(*parts)
        column, values = self.scope.resolver.value_column(condition)
        return self._compare(
            self.scope.column(column), condition.operator, [literal(value, column) for value in values]
        )

    def _operand(self, operand: Value | Item, column: Column | None, condition: Condition) -> exp.Expr:
        if isinstance(operand, Value):
            return literal(operand, column)
        expression = self.expressions.expression(operand)
        if not condition.overall:
            return expression
        source = self.expressions.column_of(replace(operand, aggregate=""))
        if source is None:
            raise NotUnderstood("I do not see what to compare with")
        return exp.select(expression).from_(self.scope.table(source.table)).subquery()

    def _compare(self, left: exp.Expr, operator: str, right: list[exp.Expr]) -> exp.Expr:
        if operator in {"null", "not null"}:
            missing = exp.Is(this=left, expression=exp.Null())
            return missing if operator == "null" else exp.Not(this=missing)
        if operator in {"between", "not between"}:
            inside = exp.Between(this=left, low=right[0], high=right[1])
            return inside if operator == "between" else exp.Not(this=inside)
        if operator in {"in", "not in"}:
            found = exp.In(this=left, expressions=right)
            return found if operator == "in" else exp.Not(this=found)
        if operator in {"like", "not like"}:
            kind = exp.ILike if self.scope.dialect in {"duckdb", "postgres", "snowflake", "redshift"} else exp.Like
            found_like = kind(this=left, expression=right[0])
            return found_like if operator == "like" else exp.Not(this=found_like)
        kinds = {"=": exp.EQ, "!=": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
        return kinds[operator](this=left, expression=right[0])

    def is_about(self, condition: Condition, other: int) -> bool:
        """Whether a condition is on a column of the table that a mention stands for."""
        absent = self.scope.resolver.table(other).name
        if condition.item is None:
            named = self.scope.resolver.person_named(condition)
            return (named[0][0] if named else self.scope.resolver.value_column(condition)[0]).table == absent
        number = condition.item.mention
        if number is None or self.scope.resolver.is_table(number):
            return False
        return self.scope.resolver.column(number).table == absent

    def without(self, subject: int | None, other: int, conditions: Sequence[Condition] = ()) -> exp.Expr:
        """``key NOT IN (SELECT key FROM other WHERE conditions)``, through the key that joins the two."""
        own = self.scope.resolver.table(subject) if subject is not None else self.scope.resolver.subject
        if own is None:
            raise NotUnderstood("I do not see what should have none")
        absent = self.scope.resolver.table(other)
        steps = self.scope.resolver.graph.path([own.name], absent.name)
        if not steps:
            raise NotUnderstood(f"I see no key that joins {own.name} and {absent.name}")
        first = steps[0].key
        mine, theirs = (first.columns, first.referred) if first.table == own.name else (first.referred, first.columns)
        inner = Scope(self.scope.resolver, Draft(), self.scope.dialect)
        column = self._stored(steps[0].table, theirs[0])
        outer = self._stored(own.name, mine[0])
        query = exp.select(inner.column(column)).from_(self.scope.table(steps[0].table))
        for step in steps[1:]:
            query = query.join(self.scope.table(step.table), on=inner.join_condition(step))
        query = query.where(exp.Not(this=exp.Is(this=inner.column(column), expression=exp.Null())))
        if (limits := Filters(inner).conditions(conditions)) is not None:
            query = query.where(limits)
        return exp.Not(this=exp.In(this=self.scope.column(outer), query=query.subquery()))

    def _stored(self, table: str, name: str) -> Column:
        column = self.scope.schema.column(table, name)
        if column is None:
            raise NotUnderstood(f"The key of {table} names a column {name} that is not there")
        return column
