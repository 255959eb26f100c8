"""What the code for pandas and for polars has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from .conditions import sign_of

if TYPE_CHECKING:
    from .tree import Steps

METHODS = {name: name for name in ("mean", "sum", "min", "max", "median", "std", "var", "nunique")} | {
    "filled": "count"
}
"""The methods that compute a figure, as pandas calls them."""


def literal(node: exp.Expr) -> str:
    """A constant as Python writes it."""
    if isinstance(node, exp.Literal):
        return repr(node.name) if node.is_string else node.name
    return str(node.this) if isinstance(node, exp.Boolean) else node.sql()


def join_keys(left: str, right: str) -> str:
    """The arguments that say by which columns two frames are joined."""
    return f"on={left!r}" if left == right else f"left_on={left!r}, right_on={right!r}"


def kept_groups(steps: Steps) -> str:
    """The condition on groups, in the names of the result: ``n_flights > 10``.

    Raises:
        NotUnderstood: It is not one comparison.
    """
    node = steps.having or exp.null()
    return f"{steps.measures[-1].name} {sign_of(node)} {literal(node.expression)}"
