"""How much of the ranked tables is shown: the budget, and which columns of very wide tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import count, islice
from typing import TYPE_CHECKING

from rsql_magic.sql.catalog import ddl
from rsql_magic.sql.tokens import count_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rsql_magic.sql.catalog import Catalog, Column, Table

# Tables with more columns are shown in part.
WIDE = 50
# Ten tables are shown whatever share of the schema they are; up to twenty while they cost little.
_FEW, _MOST = 10, 20
# Beyond the first ten, tables are added up to the larger of these shares: more would hide what matters.
_SHARE_OF_SCHEMA, _SHARE_OF_BUDGET = 0.03, 0.25
_CHARACTERS_PER_TOKEN = 3.7


@dataclass(frozen=True)
class Shown:
    """How much of a catalog is shown.

    Args:
        tables: Number of tables shown.
        of_tables: Number of tables there are.
        columns: Number of columns shown.
        of_columns: Number of columns of the tables shown.
        tokens: What their text costs.

    Example:
        >>> print(Shown(tables=12, of_tables=876, columns=90, of_columns=90, tokens=640))
        12 of 876 tables shown
    """

    tables: int
    of_tables: int
    columns: int
    of_columns: int
    tokens: int

    def __str__(self) -> str:
        hidden = f", {self.columns:,} of their {self.of_columns:,} columns" if self.columns < self.of_columns else ""
        return f"{self.tables:,} of {self.of_tables:,} tables shown{hidden}"


def shown(tables: Sequence[Table], catalog: Catalog) -> Shown:
    """Say how much of the catalog the chosen tables are.

    Args:
        tables: What ``link`` or ``widen`` chose.
        catalog: What they were chosen from.
    """
    whole = [catalog.get(table.full_name) or table for table in tables]
    return Shown(
        len(tables),
        len(catalog),
        sum(len(table.columns) for table in tables),
        sum(len(table.columns) for table in whole),
        sum(map(tokens, tables)),
    )


def tokens(table: Table) -> int:
    """What the table's text costs in a prompt."""
    return count_tokens(ddl(table)) + 1


def estimate(table: Table) -> float:
    """What the table's text costs at least, from the lengths of its names and types alone."""
    letters = len(table.full_name) + 20 + sum(len(c.name) + len(c.type) + 5 for c in table.columns)
    return letters / _CHARACTERS_PER_TOKEN


def fit(ranked: Iterable[Table], budget: int, whole: float, cost: Callable[[Table], int] = tokens) -> list[Table]:
    """The first of the ranked tables, but for those that do not fit; ``whole`` is what the whole schema would cost."""
    little = min(budget, max(_SHARE_OF_SCHEMA * whole, _SHARE_OF_BUDGET * budget))
    chosen: list[Table] = []
    spent = 0
    for table in islice(ranked, _MOST):
        price = cost(table)
        if spent + price <= (budget if len(chosen) < _FEW else little):
            chosen.append(table)
            spent += price
    return chosen


def trimmed(table: Table, scores: Sequence[float], keep: int = WIDE) -> Table:
    """The table with its keys and its most relevant columns, in their order; its description says what is left out."""
    if len(table.columns) <= keep:
        return table
    keys = {*table.primary_key, *(name for key in table.foreign_keys for name in key.columns)}
    ranked = zip((column.name not in keys for column in table.columns), (-score for score in scores), count())
    return with_some(table, {table.columns[i].name for _, _, i in nsmallest(keep, ranked)})


def with_some(table: Table, names: set[str]) -> Table:
    """The table with some of its columns, and a description that says so."""
    columns: tuple[Column, ...] = tuple(column for column in table.columns if column.name in names)
    note = f"{len(columns):,} of {len(table.columns):,} columns shown"
    keys = tuple(key for key in table.foreign_keys if names.issuperset(key.columns))
    description = "; ".join(part for part in (note, table.description) if part)
    return replace(table, columns=columns, foreign_keys=keys, description=description)
