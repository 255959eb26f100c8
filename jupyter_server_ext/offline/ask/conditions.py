"""Conditions of a query as code: one walk over the tree, and a few words for each language."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sqlglot import exp

from ..sql.query import NotUnderstood
from .tree import column_of, measure_of, part_of

_SIGNS: dict[type[exp.Expr], str] = {
    exp.EQ: "==",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}


def sign_of(node: exp.Expr) -> str:
    """The sign of a comparison, as Python and R both write it.

    Raises:
        NotUnderstood: It is no comparison.
    """
    if type(node) not in _SIGNS:
        raise NotUnderstood("I can only write this condition as SQL")
    return _SIGNS[type(node)]


class Conditions(ABC):
    """Writes conditions; a language says how it names a column and how each kind of condition looks."""

    def write(self, node: exp.Expr) -> str:
        """A condition as code.

        Raises:
            NotUnderstood: It has no plain counterpart.
        """
        if isinstance(node, exp.And | exp.Or):
            return self.joined([self.write(part) for part in node.flatten()], isinstance(node, exp.And))
        if isinstance(node, exp.Paren):
            return self.write(node.this)
        if isinstance(node, exp.Not) and isinstance(node.this, exp.Between):
            return self._outside(node.this)
        if isinstance(node, exp.Not):
            return self.negated(self.write(node.this))
        part = part_of(node.this)
        return self._single(node, self.part(*part) if part else self.column(column_of(node.this)))

    def _outside(self, node: exp.Between) -> str:
        """Below or above: the opposite of "between" would keep rows that lack the value."""
        column = self.column(column_of(node.this))
        low, high = (self.literal(node.args[end]) for end in ("low", "high"))
        return self.joined([f"{column} < {low}", f"{column} > {high}"], every=False)

    def _single(self, node: exp.Expr, column: str) -> str:
        if isinstance(node, exp.Is):
            return self.missing(column)
        if isinstance(node, exp.In) and node.expressions:
            return self.among(column, [self.literal(value) for value in node.expressions])
        if isinstance(node, exp.Between):
            return self.between(column, self.literal(node.args["low"]), self.literal(node.args["high"]))
        if isinstance(node, exp.Like | exp.ILike):
            return self.like(column, node.expression.name)
        return f"{column} {sign_of(node)} {self._other(node.expression)}"

    def _other(self, node: exp.Expr) -> str:
        """The right side: a constant, or an aggregate over all rows, as in "above the average"."""
        inner = node.find(exp.Select) if isinstance(node, exp.Subquery) else None
        if inner is None:
            return self.literal(node)
        measure = measure_of(inner.expressions[0].unalias(), "")
        return self.overall(measure.function, self.column(measure.column))

    @abstractmethod
    def column(self, name: str) -> str:
        """A column."""

    @abstractmethod
    def part(self, column: str, part: str) -> str:
        """A part of a column's dates as a number; weekdays from Sunday, 0."""

    @abstractmethod
    def literal(self, node: exp.Expr) -> str:
        """A constant."""

    @abstractmethod
    def joined(self, parts: list[str], every: bool) -> str:
        """Conditions joined by "and" (every) or "or"."""

    @abstractmethod
    def negated(self, part: str) -> str:
        """The opposite."""

    @abstractmethod
    def missing(self, column: str) -> str:
        """The value is missing."""

    @abstractmethod
    def among(self, column: str, values: list[str]) -> str:
        """The value is one of these."""

    @abstractmethod
    def between(self, column: str, low: str, high: str) -> str:
        """The value lies between, ends included."""

    @abstractmethod
    def like(self, column: str, pattern: str) -> str:
        """The text contains, starts or ends with what a LIKE pattern says."""

    @abstractmethod
    def overall(self, function: str, column: str) -> str:
        """An aggregate over all rows."""
