"""polars code for the steps of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sql import day
from .conditions import Grammar
from .python_code import METHODS, join_keys, kept_groups, literal

if TYPE_CHECKING:
    from sqlglot import exp

    from .tree import Measure, Steps

_METHODS = {**METHODS, "nunique": "n_unique"}


def _literal(node: exp.Expr) -> str:
    """A constant; polars compares a date with no text."""
    if node.is_string and (one := day(node.name)):
        return f"pl.date({one.start.year}, {one.start.month}, {one.start.day})"
    return literal(node)


def _part(name: str, part: str) -> str:
    number = f"pl.col({name!r}).dt.{part}()"
    return f"({number} % 7)" if part == "weekday" else number


_POLARS = Grammar(
    "pl.col({!r})".format,
    _part,
    _literal,
    repr,
    overall=lambda function, column: f"{column}.{_METHODS[function]}()",
    operand="({})".format,
    negated="~({part})",
    missing="{c}.is_null()",
    among="{c}.is_in([{values}])",
    between="{c}.is_between({low}, {high})",
    starts="{c}.str.starts_with({text})",
    ends="{c}.str.ends_with({text})",
    contains="{c}.str.contains({text}, literal=True)",
)


def polars(steps: Steps) -> str:
    """Polars code that does the steps and shows the result.

    Raises:
        NotUnderstood: A step has no plain polars counterpart.
    """
    code = steps.frame + "".join(_joined(join.frame, join.left, join.right) for join in steps.joins)
    if steps.parts:
        made = ", ".join(f"pl.col({p.column!r}).dt.{p.part}().alias({p.name!r})" for p in steps.parts)
        code += f".with_columns({made})"
    if steps.where is not None:
        code += f".filter({_POLARS.write(steps.where)})"
    code += _shown(steps)
    if steps.order:
        names = [name for name, _ in steps.order]
        code += f".sort({names!r}, descending={[down for _, down in steps.order]!r})"
    if steps.limit:
        code += f".head({steps.limit})"
    return f"import polars as pl\n\n{code}"


def _joined(frame: str, left: str, right: str) -> str:
    return f".join({frame}, {join_keys(left, right)})"


def _shown(steps: Steps) -> str:
    measures = ", ".join(_measure(measure) for measure in steps.measures)
    if steps.group:
        code = f".group_by({', '.join(map(repr, steps.group))}).agg({measures})"
        return code + (
            f".filter(pl.col({steps.measures[-1].name!r}){_rest(steps)})" if steps.having is not None else ""
        )
    if steps.measures:
        return f".select({measures})"
    if steps.columns:
        return f".select({', '.join(map(repr, steps.columns))})" + (".unique()" if steps.distinct else "")
    return ""


def _rest(steps: Steps) -> str:
    return kept_groups(steps).removeprefix(steps.measures[-1].name)


def _measure(measure: Measure) -> str:
    if measure.function == "count":
        return f"pl.len().alias({measure.name!r})"
    if measure.condition is not None:
        scale = " * 100" if measure.function == "percentage" else ""
        return f"(({_POLARS.write(measure.condition)}).mean(){scale}).alias({measure.name!r})"
    return f"pl.col({measure.column!r}).{_METHODS[measure.function]}().alias({measure.name!r})"
