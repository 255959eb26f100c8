"""What the phrases of conditions mean (``grammar.txt``): comparisons, values, what is missing, "and" and "or"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Condition, Draft, Item, Value

if TYPE_CHECKING:
    from .draft import Name, Operator
    from .mentions import Degree


def values(one: Value | None = None, more: tuple[Value, ...] = ()) -> tuple[Value, ...]:
    """“Crime or Poetry”: any of them."""
    return ((one,) if one else ()) + more


def average(name: Name | None = None, table: str = "") -> Value:
    """“above the average”, whose column may be the one compared."""
    return Value(item=Item(name, table, "avg"))


def compared(
    *,
    name: Name | None = None,
    op: Operator = "=",
    value: Value | None = None,
    other: Name | None = None,
    degree: Degree | None = None,
    verb: Degree | None = None,
) -> Condition:
    """“price above 20”, “x > y”, “older than 40”, “cost less than 5”."""
    if degree:
        op = ">" if degree.high else "<"
    measured = degree or verb
    name = measured.name if measured else name
    right = value or Value(item=Item(other))
    if right.item and right.item.name is None:
        right = replace(right, item=replace(right.item, name=name))
    return Condition(Item(name), op, (right,))


def between(name: Name, low: Value, high: Value, negated: bool = False) -> Condition:
    """“pages between 100 and 300”."""
    return Condition(Item(name), "between", (low, high), negated)


def equal(values: tuple[Value, ...], name: Name | None = None, negated: bool = False) -> Condition:
    """“genre is Crime or Poetry”; without a column “from Oslo”, of the column that holds it."""
    return Condition(Item(name) if name else None, "=" if len(values) == 1 else "in", values, negated)


def value_first(values: tuple[Value, ...], name: Name) -> Condition | None:
    """“Crime genre”: only where that column holds it."""
    held = {field for value in values for field, _ in value.stored}
    return equal(values, name) if not held or held & {one.field for one in name.candidates} else None


def named(value: Value) -> Condition | None:
    """“called 'Ada Berg'”: by the name of the thing."""
    return Condition(Item(), "=", (value,)) if value.number is None else None


def is_missing(name: Name, negated: bool = False) -> Condition:
    """“country is unknown”."""
    return Condition(Item(name), "null", negated=negated)


def is_true(name: Name, negated: bool = False) -> Condition:
    """“returned is true”."""
    return Condition(Item(name), "true", negated=negated)


def against_zero(name: Name, op: Operator) -> Condition:
    """“y is negative”."""
    return Condition(Item(name), op, (Value("0", 0.0),))


def like(name: Name, value: Value, pattern: str) -> Condition:
    """“name contains 'night'”."""
    return Condition(Item(name), "like", (Value(value.text if "%" in value.text else pattern.format(value.text)),))


def at_time(when: Draft) -> Condition | None:
    """“were shipped in March 2024”, beside other conditions."""
    return when.where[0] if len(when.where) == 1 and not when.notes else None


def every(one: Condition, more: tuple[Condition, ...] = ()) -> tuple[Condition, ...]:
    """Conditions that all must hold."""
    return (one, *more)


def either(one: Condition, two: Condition) -> Condition:
    """Two conditions of which one must hold."""
    return Condition(either=(one, two))


def filtered(whole: Condition | tuple[Condition, ...]) -> Draft:
    """Conditions as a part of a query."""
    return Draft(where=whole if isinstance(whole, tuple) else (whole,))
