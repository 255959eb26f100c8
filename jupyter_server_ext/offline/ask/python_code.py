"""What the code for pandas and for polars has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlglot import exp

from .conditions import Conditions, sign_of

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class PythonConditions(Conditions):
    """Conditions in Python; the libraries differ in the names of methods."""

    methods: ClassVar[Mapping[str, str]] = METHODS
    missing_call: ClassVar[str]
    among_call: ClassVar[str]
    between_call: ClassVar[str]
    starts: ClassVar[str]
    ends: ClassVar[str]
    inside: ClassVar[str]
    """How a text is looked for inside another, after the text."""
    outside: ClassVar[str] = ""
    """What follows a text that is looked for at an end."""

    def literal(self, node: exp.Expr) -> str:
        """A constant."""
        return literal(node)

    def joined(self, parts: list[str], every: bool) -> str:
        """Each part in parentheses: ``&`` and ``|`` bind more tightly than comparisons."""
        return (" & " if every else " | ").join(f"({part})" for part in parts)

    def negated(self, part: str) -> str:
        """The opposite."""
        return f"~({part})"

    def missing(self, column: str) -> str:
        """Whether a value is missing."""
        return f"{column}.{self.missing_call}()"

    def among(self, column: str, values: list[str]) -> str:
        """Whether a value is one of several."""
        return f"{column}.{self.among_call}([{', '.join(values)}])"

    def between(self, column: str, low: str, high: str) -> str:
        """Whether a value lies between two."""
        return f"{column}.{self.between_call}({low}, {high})"

    def like(self, column: str, pattern: str) -> str:
        """Whether a text begins with, ends with or holds another."""
        text = pattern.strip("%")
        if pattern.startswith("%") and pattern.endswith("%"):
            return f"{column}.str.contains({text!r}, {self.inside})"
        return f"{column}.str.{self.ends if pattern.startswith('%') else self.starts}({text!r}{self.outside})"

    def overall(self, function: str, column: str) -> str:
        """A figure over all rows."""
        return f"{column}.{self.methods[function]}()"


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
