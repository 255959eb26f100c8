"""Conditions of a query as code: one walk over the tree, and a few templates for each language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from ..sql import NotUnderstood
from .tree import column_of, measure_of, part_of

if TYPE_CHECKING:
    from collections.abc import Callable

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


@dataclass(frozen=True)
class Grammar:
    """How a language writes conditions. Templates hold the column ``{c}`` and what it is compared with.

    Args:
        column: Writes a column.
        part: Writes a part of a column's dates as a number; weekdays from Sunday, 0.
        literal: Writes a constant.
        text: Writes a text.
        overall: Writes a figure over all rows, of a function and a column.
        operand: Writes a condition as a part of another one.
        negated: Template of the opposite of ``{part}``.
        missing: Template for a value that is missing.
        among: Template for one of ``{values}``.
        between: Template for ``{low}`` to ``{high}``, ends included.
        starts: Template for a text that starts with ``{text}``.
        ends: Template for one that ends with it.
        contains: Template for one that holds it.
    """

    column: Callable[[str], str]
    part: Callable[[str, str], str]
    literal: Callable[[exp.Expr], str]
    text: Callable[[str], str]
    overall: Callable[[str, str], str]
    operand: Callable[[str], str]
    negated: str
    missing: str
    among: str
    between: str
    starts: str
    ends: str
    contains: str

    def write(self, node: exp.Expr) -> str:
        """A condition as code.

        Raises:
            NotUnderstood: It has no plain counterpart.
        """
        if isinstance(node, exp.And | exp.Or):
            sign = " & " if isinstance(node, exp.And) else " | "
            return sign.join(self.operand(self.write(part)) for part in node.flatten())
        if isinstance(node, exp.Paren):
            return self.write(node.this)
        if isinstance(node, exp.Not) and isinstance(node.this, exp.Between):
            return self._outside(node.this)
        if isinstance(node, exp.Not):
            return self.negated.format(part=self.write(node.this))
        part = part_of(node.this)
        return self._single(node, self.part(*part) if part else self.column(column_of(node.this)))

    def _outside(self, node: exp.Between) -> str:
        """Below or above: the opposite of "between" would keep rows that lack the value."""
        column = self.column(column_of(node.this))
        low, high = (self.literal(node.args[end]) for end in ("low", "high"))
        return f"{self.operand(f'{column} < {low}')} | {self.operand(f'{column} > {high}')}"

    def _single(self, node: exp.Expr, column: str) -> str:
        if isinstance(node, exp.Is):
            return self.missing.format(c=column)
        if isinstance(node, exp.In) and node.expressions:
            return self.among.format(c=column, values=", ".join(map(self.literal, node.expressions)))
        if isinstance(node, exp.Between):
            return self.between.format(
                c=column, low=self.literal(node.args["low"]), high=self.literal(node.args["high"])
            )
        if isinstance(node, exp.Like | exp.ILike):
            return self._like(column, node.expression.name)
        return f"{column} {sign_of(node)} {self._other(node.expression)}"

    def _like(self, column: str, pattern: str) -> str:
        template = self.ends if pattern.startswith("%") else self.starts
        template = self.contains if pattern.startswith("%") and pattern.endswith("%") else template
        return template.format(c=column, text=self.text(pattern.strip("%")))

    def _other(self, node: exp.Expr) -> str:
        """The right side: a constant, or an aggregate over all rows, as in "above the average"."""
        inner = node.find(exp.Select) if isinstance(node, exp.Subquery) else None
        if inner is None:
            return self.literal(node)
        measure = measure_of(inner.expressions[0].unalias(), "")
        return self.overall(measure.function, self.column(measure.column))
