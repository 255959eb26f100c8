"""Columns that are named by values: of a view by the texts of its query, of a pivot by how it is filled."""

# A view names its columns as its query says: `SELECT 'Oslo'` in MariaDB, `sum(CASE WHEN city = 'Oslo' …) AS Oslo`
# anywhere. A pivot table that was kept has one column for each value, and each row fills one of them. Only which cells
# are filled is read for that, never what stands in them. A dense pivot looks like any other table: what gives it away
# is not in the database.

# ruff: noqa: S608 - statements are put together from quoted names and constants
from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rsql_magic.context import fold
from rsql_magic.databases.base import Late
from rsql_magic.errors import QueryFailed
from rsql_magic.sql import value_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.databases.base import Database, Structure
    from rsql_magic.databases.profiles import Effort
    from rsql_magic.sql import Column, Table

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
    """Names of columns that are values, by the full name of their table or view; small tables come first."""
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
    names = {column.name: fold(column.name) for column in view.columns}
    return frozenset(name for name, folded in names.items() if texts and _is_made_of(folded, texts))


def _is_made_of(name: str, texts: set[str]) -> bool:
    return name in texts or any(name.startswith(f"{text}_") or name.endswith(f"_{text}") for text in texts)


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
    try:
        return effort.rows(database, sql)
    except Late:
        effort.late.append(table.full_name)
    except QueryFailed:
        pass  # too much work, or not readable
    return []


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
