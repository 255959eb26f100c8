"""Foreign keys that nothing declares, inferred from names, types and unique columns.

A column points to another table when it carries the name of that table's key (``flights.carrier`` to
``airlines.carrier``), or the table's name and its key's (``orders.customer_id`` to ``customers.id``). The rule is
conservative, since a wrong key misleads more than a missing one: the key must be unique, the types must agree, the name
must not be one that every table has, and exactly one table must fit. Such keys are marked ``inferred``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rsql_magic.sql.catalog import Column, ForeignKey, Table, value_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


# Names that say nothing about the table they come from.
_COMMON = frozenset(
    """
    active amount category city code color comment content count country created created_at created_by currency date
    datetime day deleted description email end enabled filename first_name flag gender group hash hour id identifier
    image index key kind label language last_name latitude level link location longitude message minute modified month
    name no note notes number order owner parent path percent phone position price quantity rank ref region role row
    rowid score sequence size slug sort source start state status street text time time_hour timestamp title token total
    type unit updated updated_at updated_by url user uuid value version weight year zip
    zone ssn
    """.split()  # noqa: SIM905 - words read better as text
)


def infer_keys(tables: Sequence[Table], unique: Mapping[str, Sequence[tuple[str, ...]]]) -> tuple[Table, ...]:
    """Tables with the keys that names suggest, added to the declared ones.

    Args:
        tables: All tables of a connection.
        unique: Column sets that a constraint or index makes unique, by a table's full name.
    """
    targets = _Targets(tables, unique)
    return tuple(replace(t, foreign_keys=(*t.foreign_keys, *_missing(t, targets))) for t in tables)


def _missing(table: Table, targets: _Targets) -> Iterator[ForeignKey]:
    declared = {name for key in table.foreign_keys for name in key.columns}
    for column in table.columns:
        if column.name not in declared and (key := targets.find(table, column)):
            yield key


class _Targets:
    """The columns that others can point to, by the names that would point to them."""

    def __init__(self, tables: Sequence[Table], unique: Mapping[str, Sequence[tuple[str, ...]]]) -> None:
        self._unique = {table.full_name: single_keys(table, unique.get(table.full_name, ())) for table in tables}
        self._by_name: dict[str, list[tuple[Table, Column]]] = {}
        for table in tables:
            for column in self._unique[table.full_name]:
                for name in _names_for(table, column):
                    self._by_name.setdefault(name, []).append((table, column))

    def find(self, table: Table, column: Column) -> ForeignKey | None:
        """The one key the column may stand for, or None; a key of its own points nowhere by its name."""
        if column in self._unique[table.full_name]:
            return None
        fits = [
            (other, key)
            for other, key in self._by_name.get(column.name.casefold(), ())
            if other is not table and near(table, other) and value_kind(column.type) == value_kind(key.type)
        ]
        if len(fits) != 1:
            return None
        other, key = fits[0]
        return ForeignKey((column.name,), other.full_name, (key.name,), inferred=True)


def single_keys(table: Table, unique: Sequence[tuple[str, ...]]) -> list[Column]:
    """Columns that alone tell the rows apart: by the primary key, by a unique index, or as the profile saw it."""
    names = {names[0] for names in (table.primary_key, *unique) if len(names) == 1}
    return [
        c
        for c in table.columns
        if table.kind != "view" and (c.name in names or (not table.primary_key and _is_unique(c, table.rows)))
    ]


def _is_unique(column: Column, rows: int | None) -> bool:
    """Whether an exact profile found a name or number of its own in each of several rows."""
    seen = column.profile
    if seen is None or seen.approximate or seen.nulls or not rows or rows < 5 or seen.distinct != rows:
        return False
    return value_kind(column.type) in {"number", "text"}


def _names_for(table: Table, key: Column) -> Iterable[str]:
    """Names under which other tables would hold this key."""
    own = key.name.casefold()
    stems = {table.name.casefold(), _singular(table.name.casefold())}
    if own in _COMMON:
        yield from (f"{stem}{joint}{own}" for stem in stems for joint in ("_", ""))
    else:
        yield own
    if table.primary_key == (key.name,):
        yield from stems - _COMMON - {own}


def _singular(name: str) -> str:
    """The singular of an English plural, roughly: ``categories`` to ``category``, ``orders`` to ``order``."""
    if name.endswith("ies") and len(name) > 4:
        return name[:-3] + "y"
    if name.endswith(("ses", "xes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith("ss") else name


def with_referred(tables: Sequence[Table]) -> list[Table]:
    """The tables with what keys refer to: one that names no columns refers to the other table's primary key."""
    primary = {table.full_name.casefold(): table.primary_key for table in tables}

    def complete(key: ForeignKey) -> ForeignKey:
        return key if key.referred else replace(key, referred=primary.get(key.table.casefold(), ()))

    return [replace(table, foreign_keys=tuple(map(complete, table.foreign_keys))) for table in tables]


def near(one: Table, other: Table) -> bool:
    """Whether two tables are in the same schema of the same database."""
    return (one.database, one.schema) == (other.database, other.schema)
