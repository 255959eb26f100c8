"""Constants of a query: numbers, texts, and lengths of time in the unit of their column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from .periods import Period, day, year
from .query import Condition, Item, NotUnderstood, Value

if TYPE_CHECKING:
    from .schema import Column

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


def literal(value: Value, column: Column | None) -> exp.Expr:
    """A constant as the column needs it: a number or a text.

    Raises:
        NotUnderstood: A length of time, and the column's unit is not known.
    """
    if column is not None and column.is_truth and value.text.lower() in {"true", "false"}:
        return exp.Boolean(this=value.text.lower() == "true")
    if value.number is not None and (column is None or not column.is_text or column.is_measured):
        amount = _in_unit(value, column)
        number = int(amount) if amount == int(amount) else amount
        return exp.Literal.number(str(number)) if number >= 0 else exp.Neg(this=exp.Literal.number(str(-number)))
    if value.number is not None and value.number == int(value.number):
        return exp.Literal.string(str(int(value.number)))
    if column is not None and column.is_number and re.fullmatch(r"-?\d+(\.\d+)?", value.text):
        return exp.Literal.number(value.text)
    return exp.Literal.string(value.text)


def _in_unit(value: Value, column: Column | None) -> float:
    """A length of time in the column's own unit, as its facts give it.

    Raises:
        NotUnderstood: The column's unit is not known.
    """
    amount = value.number or 0.0
    if not value.unit or column is None:
        return amount
    said = f"{column.facts.unit} {column.facts.text} {' '.join(column.words)}".lower()
    unit = next((name for name in _SECONDS if re.search(rf"\b{name}s?\b", said)), "")
    if not unit and value.unit in {"day", "week"}:
        return amount
    if not unit:
        raise NotUnderstood(f"I do not know whether {column.table}.{column.name} is in minutes or in hours")
    return amount * _SECONDS[value.unit] / _SECONDS[unit]


def check_comparable(condition: Condition, column: Column | None) -> None:
    """Refuse to order text by a number.

    Raises:
        NotUnderstood: The column holds words.
    """
    numbers = [operand for operand in condition.operands if isinstance(operand, Value) and operand.number is not None]
    ordered = condition.operator not in {"=", "!=", "in", "not in"}
    if column is not None and numbers and ordered and column.is_text and not column.is_measured:
        raise NotUnderstood(f"{column.table}.{column.name} holds text that I cannot compare with {numbers[0].text}")


def stretch(operand: Value | Item, column: Column, part: str) -> Period | None:
    """The days that a constant stands for where a date is compared with it; None where it is compared as it stands.

    Raises:
        NotUnderstood: The column holds something else than dates written as 2024-03-05.
    """
    if not isinstance(operand, Value):
        return None
    span = operand.period or (year(operand.number) if part == "year" and column.is_time else None)
    if span is None and not part and column.is_moment:
        span = day(operand.text)
    known = column.facts.low or next(iter(column.facts.values), "")
    if span and not known and column.is_text:
        raise NotUnderstood(f"{column.table}.{column.name} is text, and I do not see how its dates are written")
    if span and known and not re.match(r"\d{4}-\d{2}-\d{2}", known):
        raise NotUnderstood(f"{column.table}.{column.name} holds no dates that I can read")
    return span


def flag_values(column: Column) -> tuple[Value, Value] | None:
    """The true and the false value of a column that only says yes or no."""
    if column.is_truth:
        return Value("true"), Value("false")
    values = {value.lower(): value for value in column.facts.values}
    for true, false in (("y", "n"), ("yes", "no"), ("t", "f"), ("true", "false"), ("1", "0")):
        if values and set(values) <= {true, false}:
            return Value(values.get(true, true)), Value(values.get(false, false))
    if (column.facts.low, column.facts.high) == ("0", "1"):
        return Value("1", 1.0), Value("0", 0.0)
    return None
