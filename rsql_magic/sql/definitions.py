"""What people defined about their data: the meaning of columns, named filters and metrics, and how tables relate."""

# These values are read from dictionaries (`rsql_magic.knowledge`) and travel with a `Catalog`. They hold SQL as it was
# written, with the dialect that it was written in; `metrics` turns it into a part of a query.

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

# What may be done with a number: an id names something, an ordinal has an order, a quantity can be added up.
Measure = Literal["", "id", "ordinal", "quantity"]
DefinitionKind = Literal["metric", "filter", "derived"]
Cardinality = Literal["many-to-one", "one-to-one", "one-to-many"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is written down about a column's values."""

    measure: Measure = ""
    values: tuple[tuple[str, str], ...] = ()  # Stored values, each with what it means
    synonyms: tuple[str, ...] = ()  # What people call the column besides its name
    restricted: bool = False  # True when its values must not be shown
    source: str = ""  # Where it is written: ``data-dict.yaml, line 12``


@dataclass(frozen=True, slots=True)
class Definition:
    """A named expression: a metric over rows, a condition on a row (filter), or a value of a row (derived).

    Example:
        >>> Definition("revenue", "metric", "SUM(amount)", "orders", where=("status <> 3",)).calls
        'MEASURE(revenue)'
    """

    name: str  # Unique in its table, and for metrics among all
    kind: DefinitionKind
    # SQL over the columns and other definitions of its table, or qualified by tables; a metric may name other metrics
    expression: str
    # Name of the table whose rows it is computed over, with its schema where it has one; empty for a metric of metrics
    table: str = ""
    dialect: str = ""  # sqlglot's name of the dialect that ``expression`` and ``where`` are written in
    where: tuple[str, ...] = ()  # Conditions that belong to a metric, as SQL or as names of filters
    time: str = ""  # Column of the table by which a metric is followed over time, or empty
    grain: str = ""  # Shortest period that it may be told for: ``day``, ``week``, ``month``, ``quarter``, ``year``
    dimensions: tuple[str, ...] = ()  # Columns it may be grouped by, as ``column`` or ``table.column``; empty for all
    label: str = ""  # Short title
    description: str = ""
    unit: str = ""
    synonyms: tuple[str, ...] = ()
    source: str = ""  # Where it is written: ``data-dict.yaml, line 12``

    @property
    def calls(self) -> str:
        """How a query names it: metrics are called, the others stand like columns."""
        return f"MEASURE({self.name})" if self.kind == "metric" else self.name


def as_stated_definition(one: Definition) -> Definition:
    """A definition with no more in it than `stated_definition` tells: texts without secrets, on one line, cut."""
    from rsql_magic.redaction import redact
    from rsql_magic.sql.facts import one_line

    def said(text: str, longest: int = 200) -> str:
        return one_line(redact(text)[0], longest) if text else ""

    return replace(
        one,
        expression=said(one.expression),
        where=tuple(map(said, one.where)),
        label=said(one.label, 80),
        description=said(one.description),
        unit=said(one.unit, 40),
        synonyms=tuple(said(each, 80) for each in one.synonyms[:6]),
        dialect="",
        source="",
    )


def stated_definition(one: Definition) -> str:
    """A definition as one line of a prompt.

    Example:
        >>> stated_definition(Definition("revenue", "metric", "SUM(amount)", "orders", unit="EUR", synonyms=("sales",)))
        'MEASURE(revenue): SUM(amount) of orders; [EUR]; also called sales'
    """
    one = as_stated_definition(one)
    what = one.expression + (f" of {one.table}" if one.table else "")
    parts = [
        what + (f" where {' and '.join(one.where)}" if one.where else ""),
        f"[{one.unit}]" if one.unit else "",
        one.label if one.label.casefold() != one.name.casefold().replace("_", " ") else "",
        one.description,
        f"also called {', '.join(one.synonyms)}" if one.synonyms else "",
        f"time {one.time}{f' by {one.grain} or longer' if one.grain else ''}" if one.time else "",
        f"by {', '.join(one.dimensions[:_SHOWN])}{_more(one.dimensions)} only" if one.dimensions else "",
    ]
    name = one.calls if one.kind == "metric" else f"{one.table}.{one.name}"
    return f"{name}: {'; '.join(part for part in parts if part)}"


_SHOWN = 12  # of the dimensions of a metric


def _more(dimensions: tuple[str, ...]) -> str:
    return f" and {len(dimensions) - _SHOWN:,} more" if len(dimensions) > _SHOWN else ""


@dataclass(frozen=True, slots=True)
class Relationship:
    """Columns of two tables that are equal, and how many rows of one meet how many of the other."""

    left: str
    left_columns: tuple[str, ...]
    right: str
    right_columns: tuple[str, ...]
    cardinality: Cardinality = "many-to-one"  # From left to right
    description: str = ""
    source: str = ""


@dataclass(frozen=True)
class Definitions:
    """The definitions of a catalog, found by name with case ignored."""

    named: tuple[Definition, ...] = ()
    relationships: tuple[Relationship, ...] = ()
    glossary: Mapping[str, str] = field(default_factory=dict)  # Terms of the domain, each with its meaning
    # Metrics that are defined and cannot be compiled, each with the reason: ``a conversion metric``
    refused: Mapping[str, str] = field(default_factory=dict)

    def metric(self, name: str) -> Definition | None:
        """The metric of a name."""
        return self._metrics.get(name.casefold())

    def of_row(self, table: str, name: str) -> Definition | None:
        """The filter or derived value that a table's rows have under a name; the table with its schema or without."""
        table, name = table.casefold(), name.casefold()
        return self._of_rows.get((table, name)) or self._of_rows.get((table.rpartition(".")[2], name))

    @cached_property
    def metrics(self) -> tuple[Definition, ...]:
        """All metrics."""
        return tuple(one for one in self.named if one.kind == "metric")

    @cached_property
    def _metrics(self) -> Mapping[str, Definition]:
        return {one.name.casefold(): one for one in self.metrics}

    @cached_property
    def _of_rows(self) -> Mapping[tuple[str, str], Definition]:
        return {(one.table.casefold(), one.name.casefold()): one for one in self.named if one.kind != "metric"}

    def __bool__(self) -> bool:
        return bool(self.named or self.relationships or self.glossary or self.refused)
