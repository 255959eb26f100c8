"""How tables are joined without any row coming twice: along keys from many rows to one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rsql_magic.sql.catalog import Catalog, Table

Pairs = tuple[tuple[str, str], ...]


class NotByDefinition(ValueError):
    """A query asks for a metric in a way that its definition does not allow; the message says what to write."""


@dataclass(frozen=True, slots=True)
class ToOne:
    """A join that finds at most one row for each: from a table's columns to another table's key."""

    origin: str  # Qualified name of the table with many rows
    table: str  # Qualified name of the table with one
    pairs: Pairs  # Equal columns, first that of ``origin``
    is_total: bool = False  # True when a row is always found


class Paths:
    """The joins of a catalog that repeat no row.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl(
        ...     "CREATE TABLE c (id INT PRIMARY KEY); CREATE TABLE o (c_id INT REFERENCES c (id))", "duckdb"
        ... )
        >>> [step.pairs for step in Paths.of(shop).steps("o", ["c"])]
        [(('c_id', 'id'),)]
    """

    def __init__(self, catalog: Catalog) -> None:
        self._edges: dict[str, dict[tuple[str, Pairs], ToOne]] = {}
        for table in catalog:
            for key in table.foreign_keys:
                other = catalog.get(key.table)
                referred = key.referred or (other.primary_key if other else ())
                if other is not None and len(referred) == len(key.columns):
                    total = not key.inferred and all(_is_filled(table, name) for name in key.columns)
                    self._add(table, other, tuple(zip(key.columns, referred, strict=True)), total=total)
                    if set(table.primary_key) == set(key.columns):
                        self._add(other, table, tuple(zip(referred, key.columns, strict=True)))
        for one in catalog.definitions.relationships:
            left, right = catalog.get(one.left), catalog.get(one.right)
            if left is None or right is None:
                continue
            if one.cardinality in {"many-to-one", "one-to-one"}:
                self._add(left, right, tuple(zip(one.left_columns, one.right_columns, strict=True)))
            if one.cardinality in {"one-to-many", "one-to-one"}:
                self._add(right, left, tuple(zip(one.right_columns, one.left_columns, strict=True)))

    @classmethod
    def of(cls, catalog: Catalog) -> Paths:
        """The joins of a catalog, found once and kept with it."""
        return catalog.kept("_to_one", cls)

    def _add(self, table: Table, other: Table, pairs: Pairs, *, total: bool = False) -> None:
        pairs = tuple(sorted(pairs))
        step = ToOne(table.full_name, other.full_name, pairs, total)
        self._edges.setdefault(table.full_name, {}).setdefault((other.full_name, pairs), step)

    def from_table(self, name: str) -> tuple[ToOne, ...]:
        """The joins from one table."""
        return tuple(self._edges.get(name, {}).values())

    def around(self, home: str) -> list[set[str]]:
        """The tables that a row of one has one row of: itself, those one join away, two, and so on."""
        circles, seen = [{home}], {home}
        while circles[-1]:
            circles.append({s.table for name in circles[-1] for s in self.from_table(name)} - seen)
            seen |= circles[-1]
        return circles[:-1]

    def steps(self, home: str, tables: Iterable[str], written: Iterable[Pairs] = ()) -> list[ToOne]:
        """The joins that bring tables to a first one, in order.

        Where several ways are equally short, the one along columns that a query has ``written`` equal is taken.

        Raises:
            NotByDefinition: There is no way, or several.
        """
        found: dict[str, ToOne] = {}
        said = {frozenset(pairs) for pairs in written}
        for name in tables:
            for step in self._path(home, name, said):
                if found.setdefault(step.table, step) != step:
                    raise NotByDefinition(f"{name} can be joined to {home} in several ways: join it in the query.")
        return list(found.values())

    def _path(self, home: str, target: str, said: set[frozenset[tuple[str, str]]]) -> tuple[ToOne, ...]:
        paths: list[tuple[ToOne, ...]] = [()]
        seen = {home}
        while paths:
            if arrived := [path for path in paths if (path[-1].table if path else home) == target]:
                return _only(arrived, said, home, target)
            ends = [(path, path[-1].table if path else home) for path in paths]
            paths = [(*path, step) for path, end in ends for step in self.from_table(end) if step.table not in seen]
            seen.update(path[-1].table for path in paths)
        raise NotByDefinition(
            f"No join leads from {home} to {target} that keeps each row of {home} once: it cannot be told by {target}."
        )


def _only(
    arrived: list[tuple[ToOne, ...]], said: set[frozenset[tuple[str, str]]], home: str, target: str
) -> tuple[ToOne, ...]:
    if len(arrived) > 1 and said:
        arrived = [path for path in arrived if any(frozenset(step.pairs) in said for step in path)] or arrived
    if len(arrived) > 1:
        ways = " or ".join(f"{path[0].origin}.{path[0].pairs[0][0]}" for path in arrived[:3])
        raise NotByDefinition(f"{target} can be joined to {home} by {ways}: write the join that is meant.")
    return arrived[0]


def _is_filled(table: Table, name: str) -> bool:
    column = table.column(name)
    return column is not None and (not column.nullable or name in table.primary_key)
