"""What a question asks for: every phrase means a part of a query, and a question is the sum of its phrases."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rsql_magic.sql import Definition

    from .schema import ColumnMatch, Field
    from .times import NamedPeriod

Function = Literal["", "metric", "count", "sum", "avg", "min", "max", "median", "stddev", "variance"]
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
    owner: str = ""  # the table whose column it must be
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """A column, a part of a date, or a figure of several rows."""

    name: Name | None = None  # None for rows
    table: str = ""  # whose things are meant, where no column is named
    function: Function = ""  # what is computed
    distinct: bool = False  # whether equal values count once
    part: str = ""  # the part of a date that is meant: ``year``, ``month``, …
    metric: Definition | None = None  # what a dictionary defines, where ``function`` is ``metric``


@dataclass(frozen=True, slots=True)
class Value:
    """A constant of the question: a text, a number, a stored value, or another item to compare with."""

    text: str = ""  # as written
    number: float | None = None
    stored: tuple[tuple[Field, str], ...] = ()  # columns that hold it, with the value as stored
    item: Item | None = None  # a column, or a figure over all rows ("above the average")
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison, or several of which one must hold."""

    item: Item | None = None  # None where only the values say which column is meant
    operator: Operator = "="
    values: tuple[Value, ...] = ()
    negated: bool = False
    owner: str = ""  # the table that it belongs to
    either: tuple[Condition, ...] = ()  # conditions of which one must hold, instead of all the others
    period: NamedPeriod | None = None  # the days that a date must be in; ``operator`` says on which side
    # The part of a query that must have no rows for the thing, "without any loans"; some, where negated.
    lacks: OfflineDraft | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A term to order by."""

    item: Item
    descending: bool = False
    own: bool = False  # whether a sum is none where the things ranked have such a column themselves: "the most beds"


@dataclass(frozen=True, slots=True)
class OfflineDraft:
    """A query, or the part of one that a phrase means."""

    shown: tuple[Item, ...] = ()
    things: tuple[str, ...] = ()  # the tables named, the one that the question is about first
    where: tuple[Condition, ...] = ()
    group: tuple[Item, ...] = ()
    having: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = 0  # rows; 0 for all
    extreme: bool = False  # whether only the rows that come first are wanted
    distinct: bool = False
    everything: bool = False  # whether all columns are shown
    cost: int = 0  # how far the reading goes beyond the words; the cheapest is taken
    notes: tuple[str, ...] = ()  # sentences on the choices that were made

    def __add__(self, other: OfflineDraft | None) -> OfflineDraft:
        # Parts of a pattern may be missing.
        if other is None:
            return self
        pairs = ((one.name, getattr(self, one.name), getattr(other, one.name)) for one in fields(self))
        # Tuples and costs add up; of a limit and of what is true or false, either part may say it.
        return OfflineDraft(**{n: a + b if isinstance(a, tuple) or n == "cost" else a or b for n, a, b in pairs})

    def of(self, table: str) -> OfflineDraft:
        """The same, where all that has no owner belongs to a table."""
        return replace(
            self,
            where=tuple(_owned(condition, table) for condition in self.where),
            having=tuple(_owned(condition, table) for condition in self.having),
            order=tuple(replace(order, item=of_table(order.item, table)) for order in self.order),
        )


def of_table(item: Item, table: str) -> Item:
    """An item whose column is one of a table, unless another table is named for it."""
    return replace(item, name=replace(item.name, owner=item.name.owner or table) if item.name else None)


def _owned(condition: Condition, table: str) -> Condition:
    return replace(
        condition,
        item=of_table(condition.item, table) if condition.item else None,
        values=tuple(replace(v, item=of_table(v.item, table)) if v.item else v for v in condition.values),
        owner=condition.owner or table,
        either=tuple(_owned(one, table) for one in condition.either),
    )
