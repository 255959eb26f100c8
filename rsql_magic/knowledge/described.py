"""What a dictionary says of tables and columns, as values; each knows the line it is written on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.sql import Measure

Constraint = Literal["primary_key", "foreign_key", "required", "unique"]
Level = Literal["spec", "schema", "data"]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something in a dictionary that does not fit: the file itself, the database's schema, or its data."""

    code: str  # the code of data-dict.yaml's own validator where it has one: ``S07``, ``M02``, ``D01``
    message: str  # one sentence
    line: int = 0  # in the file, from 1; 0 where it is not known
    error: bool = True  # False for a warning: the dictionary can be used
    level: Level = "spec"
    table: str = ""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition that the data must meet."""

    text: str  # as it is written
    sql: str = ""  # in DuckDB's dialect; empty where it cannot be put so
    per_row: bool = True  # False for one verdict about the table
    description: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class DescribedColumn:
    """A column as a dictionary has it."""

    name: str
    type: str = ""  # in the dictionary's words: ``number(quantity)``, ``list(string)``
    label: str = ""
    description: str = ""
    unit: str = ""
    time_zone: str = ""
    measure: Measure = ""
    constraints: tuple[Constraint, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    values: tuple[tuple[str, str], ...] = ()  # each with its meaning, or empty
    range: tuple[Any, Any] | None = None
    examples: tuple[Any, ...] = ()
    synonyms: tuple[str, ...] = ()
    restricted: bool = False
    fields: tuple[DescribedColumn, ...] = ()
    references: str = ""  # the column that it points to: ``planes.tailnum``
    line: int = 0
    file: str = ""  # what it is written in, where that is another file than the dictionary's

    def has(self, *constraints: Constraint) -> bool:
        """Whether it has one of these constraints; a primary key is required, and unique where it is the only one."""
        return any(constraint in self.constraints for constraint in constraints)


@dataclass(frozen=True)
class DescribedTable:
    """A table as a dictionary has it."""

    name: str
    columns: tuple[DescribedColumn, ...] = ()
    label: str = ""
    description: str = ""
    key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()  # sets of columns, besides the key
    assertions: tuple[Assertion, ...] = ()
    synonyms: tuple[str, ...] = ()
    stored: str = ""  # its name in the database, where that is another one: ``sales.orders``
    line: int = 0
    # Texts of expressions by the names that they define, as written
    defined: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, DescribedColumn]:
        """Its columns by their names in lower case."""
        return {column.name.casefold(): column for column in self.columns}
