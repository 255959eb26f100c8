"""What a question asks for: every phrase means a part of a query, and a question is the sum of its phrases."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .periods import Period
    from .schema import ColumnMatch, Field

Function = Literal["", "count", "sum", "avg", "min", "max", "median", "stddev", "variance"]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "between", "in", "like", "null", "true"]


class NotUnderstood(Exception):
    """The offline model does not know what is meant; the message says why, as the start of a sentence.

    What reads names, values and joins of a draft raises it wherever one of them is not clear.
    """


class Doubtful(NotUnderstood):
    """A reading that makes sense, and that is not answered: what it would give may not be what is wanted."""


@dataclass(frozen=True, slots=True)
class Name:
    """A phrase that names a column."""

    text: str
    candidates: tuple[ColumnMatch, ...]
    owner: str = ""
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """A column, a part of a date, or a figure.

    Args:
        name: The column; None for rows.
        table: The table whose things are meant, where no column is named.
        function: What is computed.
        distinct: Whether equal values count once.
        part: The part of a date that is meant: ``year``, ``month``, …
    """

    name: Name | None = None
    table: str = ""
    function: Function = ""
    distinct: bool = False
    part: str = ""

    @property
    def computed(self) -> bool:
        """Whether it is a figure of several rows."""
        return bool(self.function)


@dataclass(frozen=True, slots=True)
class Value:
    """A constant of the question: a text, a number, a stored value, or another item to compare with.

    Args:
        text: As written.
        number: The number that it is.
        stored: Columns that hold it, with the value as stored.
        item: A column, or a figure over all rows ("above the average").
        quoted: Whether it stands in quotes.
    """

    text: str = ""
    number: float | None = None
    stored: tuple[tuple[Field, str], ...] = ()
    item: Item | None = None
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison, or several of which one must hold.

    Args:
        item: The left side; None where only the values say which column is meant.
        operator: How it is compared.
        values: The right side.
        negated: Whether it must not hold.
        owner: The table that it is said of.
        either: Conditions of which one must hold, instead of all the others.
        period: The days that a date must be in; ``operator`` says on which side.
        lacks: The part of a query that must have no rows for the thing, "without any loans"; some, where negated.
    """

    item: Item | None = None
    operator: Operator = "="
    values: tuple[Value, ...] = ()
    negated: bool = False
    owner: str = ""
    either: tuple[Condition, ...] = ()
    period: Period | None = None
    lacks: Draft | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A term to order by."""

    item: Item
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A query, or the part of one that a phrase means.

    Args:
        shown: What is shown.
        things: The tables named, the one that the question is about first.
        where: Conditions on rows.
        group: What groups are made by.
        having: Conditions on groups.
        order: Terms to order by.
        limit: How many rows are wanted; 0 for all.
        extreme: Whether only the rows that come first are wanted, all that tie included.
        distinct: Whether equal rows are shown once.
        everything: Whether all columns are shown.
        cost: How far the reading goes beyond what the words say; the lowest is taken.
        notes: Sentences that say which choice was made.
    """

    shown: tuple[Item, ...] = ()
    things: tuple[str, ...] = ()
    where: tuple[Condition, ...] = ()
    group: tuple[Item, ...] = ()
    having: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = 0
    extreme: bool = False
    distinct: bool = False
    everything: bool = False
    cost: int = 0
    notes: tuple[str, ...] = ()

    def __add__(self, other: Draft | None) -> Draft:
        """Both parts together."""
        if other is None:
            return self
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        # Tuples and costs add up; of a limit and of what is true or false, either part may say it.
        return Draft(**{n: a + b if isinstance(a, tuple) or n == "cost" else a or b for n, a, b in pairs})

    def of(self, table: str) -> Draft:
        """The same, with all that has no owner said of a table."""
        return replace(
            self,
            where=tuple(owned(condition, table) for condition in self.where),
            having=tuple(owned(condition, table) for condition in self.having),
            order=tuple(replace(order, item=of_table(order.item, table)) for order in self.order),
        )


def of_table(item: Item, table: str) -> Item:
    """An item whose column is one of a table, unless another table is named for it."""
    name = replace(item.name, owner=item.name.owner or table) if item.name else None
    return replace(item, name=name)


def owned(condition: Condition, table: str) -> Condition:
    """A condition said of a table, unless it is said of another."""
    return replace(
        condition,
        item=of_table(condition.item, table) if condition.item else None,
        values=tuple(replace(v, item=of_table(v.item, table)) if v.item else v for v in condition.values),
        owner=condition.owner or table,
        either=tuple(owned(one, table) for one in condition.either),
    )
