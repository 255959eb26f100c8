"""What the columns hold: ranges, categories, missing values; asked of the engine within a time budget.

Two statements per table, or per 40 columns of a wide one: one with counts and ranges, one with the most frequent values
of the columns that have few. A big table answers from a sample, and its profiles say so (``≈``). Nothing is asked of
columns whose name says that they hold secrets; columns about single people give no values and no range; a category is
kept only when at least `SEEN` rows have it, so that it names nobody.
"""

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rsql_magic.context.database.kinds import value_kind
from rsql_magic.context.privacy import redact
from rsql_magic.context.tables import Column, Profile, Table
from rsql_magic.context.telling import says_personal, says_secret
from rsql_magic.errors import QueryFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.context.database.base import Database

SEEN = 5
"""A value is shown only when at least so many rows have it."""

SHOWN = 20
"""Most values of a column."""

_FEW = 200
"""A column with more distinct values than this holds names or text, not categories."""

_FEWEST = 5
"""A range is said of at least so many values: of fewer it would be the values."""

_LONG = 60
"""A column with longer values holds text, not categories."""

_WIDE = 2_000
"""A table with more columns is not profiled as it is, only those of its columns that are shown."""

_AT_ONCE = 40
"""Columns in one statement: engines limit the length of a select list."""

_BATCH = 100
"""Tables whose statistics are read in one query."""

_PER_STATEMENT = 0.5
"""Seconds for one statement, so that a slow view does not use up the time of all."""


def add_profiles(
    database: Database, tables: Sequence[Table], *, deadline: float, clock: Callable[[], float] = time.monotonic
) -> tuple[Table, ...]:
    """Tables with the profiles of their columns, as far as the time goes.

    What the database's own statistics say comes first, in one query for many tables; the rest is asked table by table,
    the small ones first.

    Args:
        database: Where they are.
        tables: Which, as its catalog describes them.
        deadline: When to stop, on the clock.
        clock: Seconds that only go up.

    Returns:
        The same tables in the same order. Those that were not reached, or that cannot be read, are unchanged.
    """
    profiled = list(tables)
    todo = []
    for start in range(0, len(tables), _BATCH):
        some = tables[start : start + _BATCH]
        known = database.statistics(some) if clock() < deadline else {}
        for place, table in enumerate(some, start):
            if table.full_name in known:
                profiled[place] = _with_statistics(table, known[table.full_name])
            else:
                todo.append(place)
    todo = [place for place in todo if len(tables[place].columns) <= _WIDE]
    for place in sorted(todo, key=lambda place: _size(tables[place])):
        if clock() >= deadline:
            break
        try:
            profiled[place] = profile(database, tables[place], deadline=deadline, clock=clock)
        except QueryFailed:
            continue  # too slow, or not readable: the table is described without its values
    return tuple(profiled)


def _size(table: Table) -> tuple[bool, int]:
    return table.kind == "view", (table.rows or 0) * len(table.columns)


def _of_enough(found: Profile | None, rows: int | None) -> Profile | None:
    """A profile without the range of a few rows: that would be their values."""
    if found is None or rows is None or rows * (1 - (found.nulls or 0)) >= _FEWEST:
        return found
    return replace(found, low=None, high=None)


def _with_statistics(table: Table, profiles: dict[str, Profile]) -> Table:
    return table.with_columns(
        Column(
            c.name, c.type, c.nullable, c.description, c.unit, _allowed(c, _of_enough(profiles.get(c.name), table.rows))
        )
        for c in table.columns
    )


def _allowed(column: Column, found: Profile | None) -> Profile | None:
    """A profile without what its column may not give away."""
    secret, personal = _told(column.name)
    if found is None or secret:
        return None
    if personal:
        return replace(found, low=None, high=None, values=(), complete=False)
    return replace(found, values=_harmless(found.values)) if found.values else found


@lru_cache(maxsize=4096)
def _told(name: str) -> tuple[bool, bool]:
    """Whether a column's name says that it holds secrets, and whether people's data; the same names come often."""
    return says_secret(name), says_personal(name)


def profile(database: Database, table: Table, *, deadline: float, clock: Callable[[], float]) -> Table:
    """A table with the profiles of its columns; of a wide one of the first of them, as far as the time goes.

    Args:
        database: Where it is.
        table: As its catalog describes it.
        deadline: When to ask no more, on the clock.
        clock: Seconds that only go up.

    Raises:
        QueryFailed: It took too long, or may not be read.
    """
    asked = [column for column in table.columns if not _told(column.name)[0]]
    found: dict[str, Profile] = {}
    total, sampled = 0, False
    with database:
        for some in _batches(asked):
            left = deadline - clock()
            if found and left <= 0:
                break
            seconds = min(max(left, 0.0), _PER_STATEMENT)
            source, limit = database.sample(table.with_columns(some))
            counts = database.rows(_counts_sql(database, source, some), seconds=seconds)[0]
            total = int(counts[0])
            sampled = limit is not None and total >= limit
            found |= _read_counts(some, total, counts[1:], sampled)
            _add_values(database, source, some, found, seconds)
    never = {column.name: Profile() for column in table.columns if column not in asked}
    database.learn(table, never | found)
    profiled = table.with_columns(replace(c, profile=_allowed(c, found.get(c.name))) for c in table.columns)
    return replace(profiled, rows=total) if asked and not sampled else profiled


def _batches(columns: Sequence[Column]) -> list[Sequence[Column]]:
    return [columns[start : start + _AT_ONCE] for start in range(0, len(columns), _AT_ONCE)]


def _counts_sql(database: Database, source: str, columns: Sequence[Column]) -> str:
    asked = ["COUNT(*)", *(term for column in columns for term in _terms(database, column))]
    return database.own_sql(f"SELECT {', '.join(asked)} FROM {source}")


def _terms(database: Database, column: Column) -> list[str]:
    """Not missing, distinct, smallest, largest; NULL where it is of no use, so that every column has four."""
    name, kind = database.quoted(column.name), value_kind(column.type)
    distinct = f"COUNT(DISTINCT {name})" if kind in {"text", "number", "time"} and not _is_float(column) else "NULL"
    ends = [f"CAST({end}({name}) AS {database.text_type})" for end in ("MIN", "MAX")]
    return [f"COUNT({name})", distinct, *(ends if kind in {"number", "time"} else ["NULL", "NULL"])]


def _is_float(column: Column) -> bool:
    return column.type.lower().startswith(("double", "float", "real"))


def _read_counts(columns: Sequence[Column], total: int, counts: Sequence[Any], sampled: bool) -> dict[str, Profile]:
    found = {}
    for place, column in enumerate(columns):
        present, distinct, low, high = counts[4 * place : 4 * place + 4]
        if sampled and distinct is not None and distinct > _FEW:
            distinct = None  # a sample cannot tell how many there are
        nulls = 1 - present / total if total else None
        seen = Profile(distinct=distinct or None, nulls=nulls, approximate=sampled)
        ends = [end for end in (low, high) if end is not None]
        found[column.name] = span(seen, ends if int(present or 0) >= _FEWEST else [])
    return found


def span(found: Profile, ends: Sequence[str]) -> Profile:
    """A profile with a range as people write it: ``17..4983`` and not ``17.0..4983.0``.

    Args:
        found: The profile.
        ends: Values among which the smallest and the largest are, as text.

    Example:
        >>> span(Profile(), ["100.0", "9.0"])
        Profile(low='9', high='100', distinct=None, nulls=None, values=(), complete=False, approximate=False)
    """
    ranked = sorted(ends, key=_order)
    if not ranked or not all(map(_is_finite, ranked)):
        return found
    low, high = (str(end).removesuffix(".0") for end in (ranked[0], ranked[-1]))
    if low.endswith(" 00:00:00") and high.endswith(" 00:00:00"):
        low, high = low.removesuffix(" 00:00:00"), high.removesuffix(" 00:00:00")
    return replace(found, low=low, high=high)


def _order(text: str) -> tuple[float, str]:
    """Numbers by their size, dates by their text."""
    try:
        return float(text), text
    except ValueError:
        return 0.0, text


def _is_finite(text: str) -> bool:
    return math.isfinite(_order(text)[0])


def _add_values(
    database: Database, source: str, columns: Sequence[Column], found: dict[str, Profile], seconds: float
) -> None:
    some = [column for column in columns if _has_categories(column, found[column.name])]
    seen: dict[int, list[tuple[str, int]]] = {}
    for place, value, count in database.rows(_values_sql(database, source, some), seconds=seconds) if some else ():
        seen.setdefault(int(place), []).append((str(value), int(count)))
    for place, column in enumerate(some):
        exact = not found[column.name].approximate
        found[column.name] = categories(found[column.name], seen.get(place, ()), complete=exact)


def _has_categories(column: Column, found: Profile) -> bool:
    few = found.distinct is not None and 0 < found.distinct <= _FEW
    return few and value_kind(column.type) == "text" and not _told(column.name)[1]


def _values_sql(database: Database, source: str, columns: Sequence[Column]) -> str:
    return database.own_sql(
        " UNION ALL ".join(
            f"SELECT * FROM (SELECT {place} AS place, CAST({name} AS {database.text_type}) AS value, COUNT(*) AS seen "
            f"FROM {source} WHERE {name} IS NOT NULL GROUP BY {name} HAVING COUNT(*) >= {SEEN} "
            f"ORDER BY seen DESC, value LIMIT {SHOWN}) AS q{place}"
            for place, name in enumerate(database.quoted(column.name) for column in columns)
        )
    )


def categories(found: Profile, seen: Sequence[tuple[str, int]], *, complete: bool) -> Profile:
    """A profile with the values that enough rows have, when they are categories and not names or text.

    Args:
        found: The profile, with the number of distinct values.
        seen: Values and their numbers of rows, the most frequent first.
        complete: Whether all distinct values would be among them.

    Example:
        >>> categories(Profile(distinct=3), [("N", 40), ("S", 12), ("W", 1)], complete=True).values
        ('N', 'S')
    """
    if found.distinct is None or found.distinct > _FEW or any(len(value) > _LONG for value, _ in seen):
        return found
    values = tuple(value for value, count in seen if count >= SEEN)[:SHOWN]
    return replace(found, values=values, complete=complete and len(values) == found.distinct)


def _harmless(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values without those that look like a secret or a person's data; one look at all is enough for most."""
    if not values or not redact("\n".join(values))[1]:
        return values
    return tuple(value for value in values if not redact(value)[1])
