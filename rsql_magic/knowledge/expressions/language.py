"""Values of the language: nodes, functions, what names stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Types: ``any`` is a value whose type no longer matters, ``unknown`` that of a column without a declared type.
ORDERED = ("number", "string", "date", "datetime")
CONST, AGGREGATE, ROW = 0, 1, 2  # shapes: an operator has the largest of its operands'
DEEPEST = 100
UNITS = {f"{unit}s": unit.upper() for unit in ("second", "minute", "hour", "day", "week")}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives; a type of ``same`` is that of its argument."""

    sql: str
    arguments: tuple[str, ...]  # types allowed; empty for all
    result: str
    counts: tuple[int, ...] = (1,)
    aggregate: bool = False


NUMBER, TEXT, TRUTH = ("number",), ("string",), ("boolean",)
FUNCTIONS = {
    "length": Signature("length", TEXT, "number"),
    "lower": Signature("lower", TEXT, "string"),
    "upper": Signature("upper", TEXT, "string"),
    "trim": Signature("trim", TEXT, "string"),
    "starts_with": Signature("starts_with", TEXT, "boolean", (2,)),
    "ends_with": Signature("ends_with", TEXT, "boolean", (2,)),
    "abs": Signature("abs", NUMBER, "number"),
    "floor": Signature("floor", NUMBER, "number"),
    "ceil": Signature("ceil", NUMBER, "number"),
    "round": Signature("round", NUMBER, "number", (1, 2)),
    "mod": Signature("mod", NUMBER, "number", (2,)),
    "is_finite": Signature("isfinite", NUMBER, "boolean"),
    "is_infinite": Signature("isinf", NUMBER, "boolean"),
    "is_nan": Signature("isnan", NUMBER, "boolean"),
    "min": Signature("min", ORDERED, "same", aggregate=True),
    "max": Signature("max", ORDERED, "same", aggregate=True),
    "sum": Signature("sum", NUMBER, "number", aggregate=True),
    "avg": Signature("avg", NUMBER, "number", aggregate=True),
    "count": Signature("count", (), "number", aggregate=True),
    "count_distinct": Signature("count", ORDERED, "number", aggregate=True),
    "row_count": Signature("count", (), "number", (0,), aggregate=True),
    "any": Signature("bool_or", TRUTH, "boolean", aggregate=True),
    "all": Signature("bool_and", TRUTH, "boolean", aggregate=True),
}


class Malformed(Exception):
    """An expression that is not one of the language; ``at`` is the place of the offending token."""

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.message, self.at = message, at


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: what it is, its parts, and what it says itself."""

    kind: str
    parts: tuple[Node, ...] = ()
    value: Any = None

    def walk(self) -> Iterator[Node]:
        """It and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class ExpressionScope:
    """What names an expression may use: columns with their types, fields by dotted path, other definitions."""

    columns: Mapping[str, str]
    fields: Mapping[str, str] = field(default_factory=dict)
    # Type, shape and expression of each other definition
    definitions: Mapping[str, tuple[str, int, Node]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedExpression:
    """What is known of an expression."""

    type: str
    shape: int
    problems: tuple[tuple[str, str], ...] = ()  # code and message of each


CONSTANTS = {
    "true": Node("boolean", value=True),
    "false": Node("boolean", value=False),
    "null": Node("nothing"),
    "inf": Node("number", value=float("inf")),
    "nan": Node("number", value=float("nan")),
}


def is_aggregate(node: Node) -> bool:
    """Whether a node is a call that folds all rows into one value."""
    return node.kind == "call" and node.value in FUNCTIONS and FUNCTIONS[node.value].aggregate


def selected(node: Node, scope: ExpressionScope) -> list[str]:
    """The columns that ``COLUMNS(…)`` stands for."""
    if node.value == "*":
        return list(scope.columns)
    form, chosen = node.value
    if form == "names":
        return [name for name in chosen if name in scope.columns]
    pattern = as_regex(chosen)
    return [name for name in scope.columns if pattern.search(name)] if pattern else []


def as_regex(text: str) -> re.Pattern[str] | None:
    """A regular expression of RE2, which has no look-around and no back references, as Python's."""
    if re.search(r"\(\?(?:[=!>]|<[=!])|\\[1-9]|[*+?}]\+", text):
        return None
    try:
        return re.compile(text.replace(r"\z", r"\Z"))
    except (re.error, RecursionError, OverflowError):
        return None


def is_date(text: str) -> bool:
    """Whether a text is a date by ISO 8601.

    Example:
        >>> is_date("2024-02-29"), is_date("2023-02-29"), is_date("20240229")
        (True, False, False)
    """
    try:
        return len(text) == 10 and text[4] == text[7] == "-" and bool(date.fromisoformat(text))
    except ValueError:
        return False


def is_datetime(text: str) -> str:
    """Whether a text is a time by ISO 8601: ``offset`` with an offset, ``plain`` without, or empty.

    Example:
        >>> is_datetime("2024-01-31T09:30:00Z"), is_datetime("2024-01-31T09:30:00"), is_datetime("2024-01-31")
        ('offset', 'plain', '')
    """
    if not re.match(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?\Z", text
    ):
        return ""
    try:
        return "offset" if datetime.fromisoformat(text).tzinfo else "plain"
    except ValueError:
        return ""
