"""What a question asks for, in terms of its mentions: the values between reading a question and building SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .periods import Period

Aggregate = Literal["", "count", "sum", "avg", "min", "max", "median", "stddev", "variance", "corr"]
Sign = Literal["", "+", "-", "*", "/"]
Operator = Literal[
    "=", "!=", "<", "<=", ">", ">=", "between", "not between", "in", "not in", "like", "not like", "null", "not null"
]
Part = Literal["", "year", "quarter", "month", "week", "day", "weekday", "hour", "date"]


@dataclass(frozen=True, slots=True)
class Item:
    """A column, a part of a date, or an aggregate of one.

    Args:
        mention: Index of the mention that names it; None for ``*``.
        aggregate: The function over it.
        distinct: Count different values only.
        repeats: Count all values that are there, equal ones included.
        part: The part of a date that is meant.
        share: The share of rows that satisfy these conditions, instead of the mention.
        percent: The share as a percentage.
        portion: The share of these rows among all rows.
        sign: How the two of a pair are put together; empty for their correlation.
        pair: Two items, or an item and a number, instead of the mention.
    """

    mention: int | None = None
    aggregate: Aggregate = ""
    distinct: bool = False
    repeats: bool = False
    part: Part = ""
    share: tuple[Condition, ...] = ()
    percent: bool = False
    portion: bool = False
    sign: Sign = ""
    pair: tuple[Item, Item | Value] | None = None

    @property
    def computed(self) -> bool:
        """Whether it is more than a column."""
        return bool(self.aggregate or self.pair)


@dataclass(frozen=True, slots=True)
class Value:
    """A constant: text as written, a number, which may be a length of time with its unit, or a stretch of days."""

    text: str = ""
    number: float | None = None
    unit: str = ""
    period: Period | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison. Its operands are constants, items, or aggregates over all rows (``overall``).

    Args:
        item: The left side; None when only the values say which column is meant.
        operator: How it compares.
        operands: Constants, or one item.
        joined: How it is joined to the condition before it.
        mention: The mention of the value, for conditions that only name a value.
        overall: The operand is an aggregate over the whole table, as in "above average".
        lead: The words before a bare value, which say what kind of column it belongs to.
    """

    item: Item | None
    operator: Operator
    operands: tuple[Value | Item, ...] = ()
    joined: Literal["and", "or"] = "and"
    mention: int | None = None
    overall: bool = False
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """One term of an ordering.

    Args:
        item: What is ordered by; nothing for what is shown first.
        descending: Whether the largest comes first.
        total: The most of it may mean its sum over several rows.
        letters: The order is that of the alphabet.
    """

    item: Item
    descending: bool = False
    total: bool = False
    letters: bool = False


@dataclass(slots=True)
class Draft:
    """All that has been understood of a question so far.

    Args:
        select: What is asked for, in order.
        where: Conditions on rows.
        group: What the rows are grouped by.
        having: Conditions on groups.
        order: Ordering.
        limit: Number of rows.
        random: The rows are drawn at random.
        distinct: Repeated rows are not wanted.
        everything: All columns are asked for.
        without: Pairs of mentions: things (None: the subject) that have none of the others.
        tables: Mentions of tables whose rows take part.
        superlative: True when ``order`` and ``limit`` come from a superlative.
        chart: Kind of chart asked for.
        notes: Choices the answer should own up to.
    """

    select: list[Item] = field(default_factory=list)
    where: list[Condition] = field(default_factory=list)
    group: list[Item] = field(default_factory=list)
    having: list[Condition] = field(default_factory=list)
    order: list[Order] = field(default_factory=list)
    limit: int | None = None
    random: bool = False
    distinct: bool = False
    everything: bool = False
    without: list[tuple[int | None, int]] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    superlative: bool = False
    chart: str = ""
    notes: list[str] = field(default_factory=list)


class NotUnderstood(Exception):
    """The question cannot be answered with certainty; the message says why, in a clause that ends a sentence."""
