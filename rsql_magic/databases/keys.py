"""Foreign keys that nothing declares: what the names, the types and the unique columns say."""

# A column points to another table when it carries the name of that table's key (`flights.carrier` to
# `airlines.carrier`), or the table's name and its key's (`orders.customer_id` to `customers.id`). The rule is
# conservative, since a wrong key misleads more than a missing one: the key must be unique, the types must agree, the
# name must not be one that every table has, and exactly one table must fit.
#
# Where names do not help, values can: a column whose frequent values all stand in one table's unique column points to
# it (`flights.dest` to `airports.faa`). That is asked of the database with one statement per unique column, and only of
# text, since small numbers agree by chance. Either way such keys are marked `inferred`.

# ruff: noqa: S608 - statements are put together from quoted names and quoted values
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rsql_magic.databases.base import Late
from rsql_magic.errors import QueryFailed
from rsql_magic.sql import Column, ForeignKey, Table, near, single_keys, value_kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.databases.base import Database
    from rsql_magic.databases.profiles import Effort


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
            asked = [(t, c) for t, c in pointing if t is not other and near(t, other) and _could_hold(other, c)]
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


def _could_hold(table: Table, column: Column) -> bool:
    """Whether a table has rows enough for all of a column's values."""
    return column.profile is not None and (column.profile.distinct or 0) <= (table.rows or 0)


def _held(database: Database, table: Table, key: Column, values: set[str], effort: Effort) -> frozenset[str]:
    """Which of some values a column holds; none when it takes too long."""
    plain = sorted(value for value in values if value.isprintable() and not set("'\\%") & set(value))
    if not plain:
        return frozenset()
    name, listed = database.quoted(key.name), ", ".join(f"'{value}'" for value in plain)
    try:
        sql = f"SELECT {name} FROM {database.full_name(table)} WHERE {name} IN ({listed})"
        rows = effort.rows(database, sql)
    except Late:
        effort.late.append(table.full_name)
        return frozenset()
    except QueryFailed:
        return frozenset()
    return frozenset(str(value) for (value,) in rows)


def _with_only(table: Table, fits: Mapping[tuple[str, str], list[ForeignKey]]) -> Table:
    """The table with the keys of columns that fit one other table only."""
    found = [fits.get((table.full_name, column.name), []) for column in table.columns]
    return replace(table, foreign_keys=(*table.foreign_keys, *(keys[0] for keys in found if len(keys) == 1)))
