"""What the columns hold: ranges, categories, missing values; asked of the engine within a time budget.

Two statements per table: one with counts and ranges of all columns, one with the most frequent values of those that
have few. A big table answers from a sample, and its profiles say so (``≈``). Nothing is asked of columns whose name
says that they hold secrets; columns about single people give no values and no range; a category is kept only when at
least `SEEN` rows have it, so that it names nobody.
"""

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsql_magic.context.database.kinds import value_kind
from rsql_magic.context.privacy import redact
from rsql_magic.context.telling import says_personal, says_secret
from rsql_magic.context.tables import Column, Profile, Table, always_quoted
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

_LONG = 60
"""A column with longer values holds text, not categories."""

_AT_ONCE = 40
"""Columns in one statement: engines limit the length of a select list."""

_PER_TABLE = 0.5
"""Seconds for one table, so that a slow view does not use up the time of all."""


def add_profiles(
    database: Database, tables: Sequence[Table], *, deadline: float, clock: Callable[[], float] = time.monotonic
) -> tuple[Table, ...]:
    """Tables with the profiles of their columns, as far as the time goes.

    What the database's own statistics say comes first, in one query for all; the rest is asked table by table, the
    small ones first.

    Args:
        database: Where they are.
        tables: Which, as its catalog describes them.
        deadline: When to stop, on the clock.
        clock: Seconds that only go up.

    Returns:
        The same tables in the same order. Those that were not reached, or that cannot be read, are unchanged.
    """
    known = database.statistics(tables)
    profiled = dict(enumerate(tables)) | {
        n: _with_statistics(t, known[t.full_name]) for n, t in enumerate(tables) if t.full_name in known
    }
    todo = sorted((n for n, t in enumerate(tables) if t.full_name not in known), key=lambda n: _size(tables[n]))
    for place in todo:
        left = deadline - clock()
        if left <= 0:
            break
        try:
            profiled[place] = profile(database, tables[place], seconds=min(left, _PER_TABLE))
        except QueryFailed:
            continue  # too slow, or not readable: the table is described without its values
    return tuple(profiled[place] for place in range(len(tables)))


def _size(table: Table) -> tuple[bool, int]:
    return table.kind == "view", (table.rows or 0) * len(table.columns)


def _with_statistics(table: Table, profiles: dict[str, Profile]) -> Table:
    return table.with_columns(replace(c, profile=_allowed(c, profiles.get(c.name))) for c in table.columns)


def _allowed(column: Column, found: Profile | None) -> Profile | None:
    """A profile without what its column may not give away."""
    if found is None or says_secret(column.name):
        return None
    if says_personal(column.name):
        return replace(found, low=None, high=None, values=(), complete=False)
    return replace(found, values=_harmless(found.values))


def profile(database: Database, table: Table, *, seconds: float = _PER_TABLE) -> Table:
    """A table with the profiles of its columns, asked in two statements.

    Raises:
        QueryFailed: It took too long, or may not be read.
    """
    source, limit = database.sample(table)
    asked = [column for column in table.columns if not says_secret(column.name)]
    with database:
        found: dict[str, Profile] = {}
        total = 0
        for some in _batches(asked):
            counts = database.rows(database.own_sql(_counts_sql(source, some)), seconds=seconds)[0]
            total = int(counts[0])
            sampled = limit is not None and total >= limit
            found |= _read_counts(some, total, counts[1:], sampled)
        _add_values(database, source, asked, found, seconds)
    exact = not any(p.approximate for p in found.values())
    profiled = table.with_columns(replace(c, profile=_allowed(c, found.get(c.name))) for c in table.columns)
    return replace(profiled, rows=total) if exact and asked else profiled


def _batches(columns: Sequence[Column]) -> list[Sequence[Column]]:
    return [columns[start : start + _AT_ONCE] for start in range(0, len(columns), _AT_ONCE)]


def _counts_sql(source: str, columns: Sequence[Column]) -> str:
    asked = ["COUNT(*)", *(term for column in columns for term in _terms(column))]
    return f"SELECT {', '.join(asked)} FROM {source}"


def _terms(column: Column) -> list[str]:
    """Not missing, distinct, smallest, largest; NULL where it is of no use, so that every column has four."""
    name, kind = always_quoted(column.name), value_kind(column.type)
    distinct = f"COUNT(DISTINCT {name})" if kind in {"text", "number", "time"} and not _is_float(column) else "NULL"
    ends = (
        [f"CAST({end}({name}) AS VARCHAR)" for end in ("MIN", "MAX")]
        if kind in {"number", "time"}
        else ["NULL", "NULL"]
    )
    return [f"COUNT({name})", distinct, *ends]


def _is_float(column: Column) -> bool:
    return column.type.lower().startswith(("double", "float", "real"))


def _read_counts(columns: Sequence[Column], total: int, counts: Sequence[Any], sampled: bool) -> dict[str, Profile]:
    found = {}
    for place, column in enumerate(columns):
        present, distinct, low, high = counts[4 * place : 4 * place + 4]
        if sampled and distinct is not None and distinct > _FEW:
            distinct = None  # a sample cannot tell how many there are
        low, high = _ends(low, high)
        nulls = 1 - present / total if total else None
        found[column.name] = Profile(low, high, distinct, nulls, approximate=sampled)
    return found


def _ends(low: str | None, high: str | None) -> tuple[str | None, str | None]:
    """A range as people write it: ``17..4983`` and not ``17.0..4983.0``; none when there is no number in it."""
    if low is None or high is None or not (_finite(low) and _finite(high)):
        return None, None
    if low.endswith(" 00:00:00") and high.endswith(" 00:00:00"):
        return low.removesuffix(" 00:00:00"), high.removesuffix(" 00:00:00")
    return low.removesuffix(".0"), high.removesuffix(".0")


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return True  # a date


def _add_values(
    database: Database, source: str, columns: Sequence[Column], found: dict[str, Profile], seconds: float
) -> None:
    chosen = [column for column in columns if _has_categories(column, found[column.name])]
    for some in _batches(chosen):
        values: dict[int, list[str]] = {}
        for place, value, _ in database.rows(database.own_sql(_values_sql(source, some)), seconds=seconds):
            values.setdefault(int(place), []).append(str(value))
        for place, column in enumerate(some):
            found[column.name] = _with_values(found[column.name], values.get(place, []))


def _has_categories(column: Column, found: Profile) -> bool:
    few = found.distinct is not None and 0 < found.distinct <= _FEW
    return few and value_kind(column.type) == "text" and not says_personal(column.name)


def _values_sql(source: str, columns: Sequence[Column]) -> str:
    return " UNION ALL ".join(
        f"SELECT * FROM (SELECT {place} AS place, CAST({name} AS VARCHAR) AS value, COUNT(*) AS seen FROM {source} "
        f"WHERE {name} IS NOT NULL GROUP BY {name} HAVING COUNT(*) >= {SEEN} "
        f"ORDER BY seen DESC, value LIMIT {SHOWN}) AS q{place}"
        for place, name in enumerate(always_quoted(column.name) for column in columns)
    )


def _with_values(found: Profile, values: Sequence[str]) -> Profile:
    if any(len(value) > _LONG for value in values):
        return found
    return replace(found, values=tuple(values), complete=len(values) == found.distinct and not found.approximate)


def _harmless(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values without those that look like a secret or a person's data; one look at all is enough for most."""
    if not values or not redact("\n".join(values))[1]:
        return values
    return tuple(value for value in values if not redact(value)[1])
