"""Table, Column, Catalog: the one description of data, and its text.

Everything that has rows and columns is described with these values: a database table, a pandas or polars frame,
an R ``data.frame``. They hold no connection and no data beyond the few values a privacy level allows, so they can
be cached, compared, sent to another thread, and printed. Reading them off a live thing is the work of
``frames``, ``r`` and ``database``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Privacy = Literal["names", "stats", "sample"]
"""How much of the data may leave the kernel: names and types < ranges and frequent categories < some rows."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a column's values.

    Args:
        low: Smallest value as text, or None.
        high: Largest value as text, or None.
        distinct: Number of distinct values, or None.
        nulls: Share of missing values, 0 to 1, or None.
        values: Categories, most frequent first, as text. Only those seen often enough to name nobody.
        complete: True when ``values`` are all there are.
        approximate: True when the figures come from a sample.
    """

    low: str | None = None
    high: str | None = None
    distinct: int | None = None
    nulls: float | None = None
    values: tuple[str, ...] = ()
    complete: bool = False
    approximate: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name as stored, its type as its engine writes it, and what is known of it."""

    name: str
    type: str = ""
    nullable: bool = True
    description: str = ""
    unit: str = ""
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that point to another table.

    Args:
        columns: Columns of this table.
        table: Qualified name of the other table, as ``Table.full_name`` gives it.
        referred: The other table's columns, in the same order.
        inferred: True when names suggest the key and nothing declares it.
    """

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    inferred: bool = False


@dataclass(frozen=True)
class Table:
    """One table, view or frame.

    Args:
        name: Name as stored, without its schema.
        columns: Its columns, in order.
        schema: Schema, empty for the connection's default schema.
        database: Attached database or catalog, empty for the connection's own.
        kind: What it is.
        rows: Number of rows (an estimate for databases), or None.
        primary_key: Names of the key columns.
        foreign_keys: Keys that point to other tables.
        description: Comment or data-dictionary text.
    """

    name: str
    columns: tuple[Column, ...] = ()
    schema: str = ""
    database: str = ""
    kind: Literal["table", "view", "frame"] = "table"
    rows: int | None = None
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    description: str = ""

    @property
    def full_name(self) -> str:
        """The name with schema and database where they are not the default: ``sales.orders``."""
        return ".".join(part for part in (self.database, self.schema, self.name) if part)

    def column(self, name: str) -> Column | None:
        """The column of that name, case ignored when no exact match exists."""
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.casefold() == name.casefold()), None)

    def with_columns(self, columns: Iterable[Column]) -> Table:
        """A copy with other columns."""
        return replace(self, columns=tuple(columns))


@dataclass(frozen=True)
class Catalog:
    """The tables of one connection.

    Args:
        tables: All tables and views that may be read.
        dialect: sqlglot's name of the SQL dialect, such as ``duckdb`` or ``postgres``.
        problems: What could not be read and why, one sentence each.

    Example:
        >>> catalog = Catalog((Table("orders", (Column("id", "INTEGER"),)),), "duckdb")
        >>> catalog["orders"].columns[0].name
        'id'
    """

    tables: tuple[Table, ...] = ()
    dialect: str = ""
    problems: tuple[str, ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, Table]:
        names: dict[str, Table] = {}
        for table in self.tables:
            for name in (table.full_name, table.name):
                names.setdefault(name.casefold(), table)
        return names

    def get(self, name: str) -> Table | None:
        """The table of that name or qualified name, case ignored, or None."""
        return self._by_name.get(name.casefold())

    def __getitem__(self, name: str) -> Table:
        table = self.get(name)
        if table is None:
            raise KeyError(name)
        return table

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __repr__(self) -> str:
        return f"<Catalog {self.dialect or '?'} tables={len(self.tables)}>"
