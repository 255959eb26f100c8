"""Read the tables of a database into a `Catalog`, with what its own catalog does not say."""

# ruff: noqa: S608 - statements are put together from quoted names, quoted values and constants

from __future__ import annotations

import re
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsql_magic.context import fold
from rsql_magic.databases.connections import open_database
from rsql_magic.databases.profiles import Effort, add_profiles
from rsql_magic.databases.restricted_views import with_restricted_views
from rsql_magic.sql import Catalog, Column, ForeignKey, Table, infer_keys, near, single_keys, value_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.databases.base import Database, Structure
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.sql import Privacy


def read_catalog(
    database: Database,
    level: Privacy = "stats",
    *,
    structure: Structure | None = None,
    dictionary: Dictionary | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Catalog:
    """Everything a question needs to know of a database.

    At the level ``names`` no value is read, only which cells are filled; otherwise columns are profiled. ``structure``
    are its tables, when they were read before. The clock is for safety: how much is read follows from the tables alone.

    Raises:
        ConnectionProblem: It cannot be opened or read.
        Stopped: `Database.interrupt` was called.
    """
    effort = Effort.of(database, clock)
    with database:
        structure = structure or database.structure()
        tables, definitions = (
            dictionary.applied(structure.tables, database.dialect) if dictionary else (structure.tables, None)
        )
        tables = without_value_names(structure, with_restricted_views(structure, tables, database.dialect))
        if level == "names":
            kept = [_without(table, database.values()) for table in tables]
            tables = infer_keys([table for table in kept if table.columns], structure.unique)
            values = value_columns(database, replace(structure, tables=tables), effort)
            tables = tuple(_noting(table, values.get(table.full_name)) for table in tables)
        else:
            tables = infer_keys(add_profiles(database, structure, tables, effort, views=False), structure.unique)
            tables = match_values(database, tables, structure.unique, effort)
    late = tuple(dict.fromkeys(effort.late))
    catalog = Catalog(
        tables,
        database.dialect,
        structure.problems,
        structure.schema,
        structure.database,
        late=late,
        parts=structure.parts,
    )
    return replace(catalog, definitions=definitions) if definitions else catalog


def _without(table: Table, names: frozenset[str]) -> Table:
    """A table without some of its columns, and without the keys that they are in."""
    if names.isdisjoint(column.name for column in table.columns):
        return table
    kept = table.with_columns(c for c in table.columns if c.name not in names)
    return replace(kept, foreign_keys=tuple(key for key in table.foreign_keys if names.isdisjoint(key.columns)))


def _noting(table: Table, values: frozenset[str] | None) -> Table:
    """A table without the columns whose names are values; how many these are stands in its description."""
    if not values:
        return table
    note = f"+{len(values):,} column{'s' * (len(values) > 1)} whose names are values"
    return replace(_without(table, values), description="; ".join(filter(None, (table.description, note))))


class ConnectionCatalog(Catalog):
    """The tables of a connection, read from the connection itself; published as ``rsql_magic.context.Catalog``.

    Example:
        >>> import sqlite3
        >>> with sqlite3.connect(":memory:") as connection:
        ...     _ = connection.execute("CREATE TABLE t (x INTEGER)")
        ...     ConnectionCatalog.from_connection(connection)
        <Catalog sqlite tables=1>
    """

    @classmethod
    def from_connection(cls, connection: object, level: Privacy = "stats") -> Catalog:
        """Read the tables of anything that `open_engine` takes; at the level ``names`` no value is read.

        Raises:
            ConnectionProblem: It cannot be opened or read.
        """
        with closing(open_database(connection)) as database:
            return read_catalog(database, level)


# A column points to another table when it carries the name of that table's key (`flights.carrier` to
# `airlines.carrier`), or the table's name and its key's (`orders.customer_id` to `customers.id`). The rule is
# conservative, since a wrong key misleads more than a missing one: the key must be unique, the types must agree, the
# name must not be one that every table has, and exactly one table must fit.
#
# Where names do not help, values can: a column whose frequent values all stand in one table's unique column points to
# it (`flights.dest` to `airports.faa`). That is asked of the database with one statement per unique column, and only of
# text, since small numbers agree by chance. Either way such keys are marked `inferred`.


# Values that must agree before they count as a key.
FEWEST = 3
# Share of a column's frequent values that must stand in the other table; data are not always clean.
SHARE = 0.95


def match_values(
    database: Database, tables: Sequence[Table], unique: Mapping[str, Sequence[tuple[str, ...]]], effort: Effort
) -> tuple[Table, ...]:
    """Tables with the keys that the frequent values in their profiles suggest, for columns that have none yet."""
    # `unique` holds by a table's full name the column sets that a constraint or index makes unique.
    pointing = [(table, column) for table in tables for column in _coded(table)]
    fits: dict[tuple[str, str], list[ForeignKey]] = {}
    for other in tables:
        for key in single_keys(other, unique.get(other.full_name, ())):
            if value_kind(key.type) != "text":
                continue
            near_by = [(table, column) for table, column in pointing if table is not other and near(table, other)]
            asked = [(t, c) for t, c in near_by if c.profile and (c.profile.distinct or 0) <= (other.rows or 0)]
            if not asked or not effort.takes(max(other.rows or 0, database.values_of_a_statement)):
                continue
            held = _held(database, other, key, {v for _, c in asked for v in _values(c)}, effort)
            for table, column in asked:
                if len(held & _values(column)) >= SHARE * len(_values(column)):
                    found = ForeignKey((column.name,), other.full_name, (key.name,), inferred=True)
                    fits.setdefault((table.full_name, column.name), []).append(found)
    return tuple(_with_only(table, fits) for table in tables)


def _coded(table: Table) -> list[Column]:
    """Text columns of a table that hold a few codes and point nowhere yet."""
    pointing = {name for key in table.foreign_keys for name in key.columns}
    return [
        column
        for column in table.columns
        if value_kind(column.type) == "text" and column.name not in pointing and len(_values(column)) >= FEWEST
    ]


def _values(column: Column) -> frozenset[str]:
    return frozenset(column.profile.values) if column.profile else frozenset()


def _held(database: Database, table: Table, key: Column, values: set[str], effort: Effort) -> frozenset[str]:
    """Which of some values a column holds; none when it takes too long."""
    plain = sorted(value for value in values if value.isprintable() and not set("'\\%") & set(value))
    if not plain:
        return frozenset()
    name, listed = database.quoted(key.name), ", ".join(f"'{value}'" for value in plain)
    sql = f"SELECT {name} FROM {database.full_name(table)} WHERE {name} IN ({listed})"
    return frozenset(str(value) for (value,) in effort.rows_of(table, database, sql))


def _with_only(table: Table, fits: Mapping[tuple[str, str], list[ForeignKey]]) -> Table:
    """The table with the keys of columns that fit one other table only."""
    found = [fits.get((table.full_name, column.name), []) for column in table.columns]
    return replace(table, foreign_keys=(*table.foreign_keys, *(keys[0] for keys in found if len(keys) == 1)))


# A view names its columns as its query says: `SELECT 'Oslo'` in MariaDB, `sum(CASE WHEN city = 'Oslo' …) AS Oslo`
# anywhere. A pivot table that was kept has one column for each value, and each row fills one of them. Only which cells
# are filled is read for that, never what stands in them. A dense pivot looks like any other table: what gives it away
# is not in the database.

_NAME = r'"(?:[^"]|"")*"|`(?:[^`]|``)*`'
# A text in a query, read with and without escapes; names in quotes are passed over.
_LITERALS = [re.compile(rf"{_NAME}|'((?:{inner})*)'", re.DOTALL) for inner in (r"[^']|''", r"[^'\\]|\\.|''")]
# Columns in one statement, and about as many ways to fill a row as are looked at.
_AT_ONCE = 200
# Share of the rows that a pivot's columns fill at least; ordinary columns that exclude each other are rarer.
_COVERED = 0.5
# Rows without which nothing can be told.
_FEWEST = 2


def value_columns(database: Database, structure: Structure, effort: Effort) -> dict[str, frozenset[str]]:
    """Names of columns that are values, by the full name of their table or view; small tables come first.

    A column called as a key of another table is no candidate: its name tells nothing that the key's does not.
    """
    found: dict[str, frozenset[str]] = {}
    stored = (table for table in structure.tables if table.kind != "frame")
    for table in sorted(stored, key=lambda table: (table.kind == "view", table.rows or 0)):
        named = named_in(structure.definitions.get(table.full_name, ""), table)
        candidates = _candidates(table, structure, named)
        if len(candidates) > 1 and (table.kind != "view" or database.knows_work_of_views):
            named |= _pivoted(database, table, candidates, effort)
        if named:
            found[table.full_name] = named
    return found


def named_in(definition: str, view: Table) -> frozenset[str]:
    """Columns of a view that are called as a text of its query is, or begin or end so.

    Example:
        >>> from rsql_magic.sql import Column, Table
        >>> view = Table("v", (Column("id"), Column("Oslo"), Column("rome_total")), kind="view")
        >>> sorted(named_in("SELECT id, sum(n) FILTER (city = 'Oslo') AS Oslo, … = 'Rome' …", view))
        ['Oslo', 'rome_total']
    """
    texts = {fold(text) for literal in _LITERALS for text in literal.findall(definition)} - {""}
    if not texts:
        return frozenset()
    names = {column.name: fold(column.name) for column in view.columns}
    return frozenset(
        name
        for name, folded in names.items()
        if folded in texts or any(folded.startswith(f"{text}_") or folded.endswith(f"_{text}") for text in texts)
    )


def without_value_names(structure: Structure, tables: Sequence[Table]) -> tuple[Table, ...]:
    """Tables without the columns of views that are called as a text is with which a restricted column is compared."""
    restricted = {c.name.casefold() for t in tables for c in t.columns if c.meaning and c.meaning.restricted}
    found = []
    for table in tables:
        definition = structure.definitions.get(table.full_name, "")
        told = bool(definition) and any(name in definition.casefold() for name in restricted)
        found.append(_noting(table, named_in(definition, table)) if told else table)
    return tuple(found)


def _candidates(table: Table, structure: Structure, named: frozenset[str]) -> list[Column]:
    """Columns that may be a pivot's: they may be empty, are in no key, nobody described them, and they hold no time."""
    keys = [*structure.unique.get(table.full_name, ()), table.primary_key, *(k.columns for k in table.foreign_keys)]
    in_keys = {name for key in keys for name in key}
    return [
        column
        for column in table.columns
        if column.nullable
        and not (column.description or column.unit or column.name in in_keys | named)
        and value_kind(column.type) in {"number", "text", "bool", "other"}
    ]


def _pivoted(database: Database, table: Table, columns: Sequence[Column], effort: Effort) -> frozenset[str]:
    """The columns of one type of which each row fills one at most, and together most rows one."""
    by_type: dict[str, list[str]] = {}
    for column in columns:
        by_type.setdefault(column.type, []).append(column.name)
    found = set[str]()
    for names in by_type.values():
        for start in range(0, len(names) if len(names) > 1 else 0, _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            found |= _exclusive(some, _patterns(database, table, some, effort))
    return frozenset(found)


def _patterns(database: Database, table: Table, names: Sequence[str], effort: Effort) -> list[tuple[Any, ...]]:
    """The ways in which rows fill the columns, each with its number of rows; none where that is too much work."""
    picked = database.sample(table.with_columns(column for column in table.columns if column.name in names))
    if picked is None or not effort.takes(max(picked.values, database.values_of_a_statement)):
        return []
    filled = ", ".join(
        f"CASE WHEN {database.quoted(name)} IS NULL THEN 0 ELSE 1 END AS c{n}" for n, name in enumerate(names)
    )
    places = ", ".join(f"c{place}" for place in range(len(names)))
    source = f"(SELECT {filled} FROM {picked.source}) AS filled"
    sql = f"SELECT {places}, COUNT(*) FROM {source} GROUP BY {places} ORDER BY {places} LIMIT {2 * _AT_ONCE}"
    return effort.rows_of(table, database, sql)


def _exclusive(names: Sequence[str], patterns: Sequence[tuple[Any, ...]]) -> set[str]:
    """The largest set of columns of which no row fills two, when it covers the rows as a pivot's columns do."""
    rows = sum(int(pattern[-1]) for pattern in patterns)
    filled = [[place for place, cell in enumerate(pattern[:-1]) if int(cell)] for pattern in patterns]
    meets: Mapping[int, set[int]] = {place: set() for place in range(len(names))}
    counts = dict.fromkeys(range(len(names)), 0)
    for places, pattern in zip(filled, patterns, strict=True):
        for place in places:
            meets[place] |= set(places)
            counts[place] += int(pattern[-1])
    group: set[int] = set()
    for place in sorted((place for place in counts if 0 < counts[place] < rows), key=lambda place: len(meets[place])):
        if not meets[place] & group:
            group.add(place)
    if rows < _FEWEST or len(group) < 2 or sum(counts[place] for place in group) < _COVERED * rows:
        return set()
    return {names[place] for place in group}
