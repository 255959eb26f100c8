"""What the columns hold: ranges, categories, missing values; asked of the engine within a budget of work."""

# Three statements per table, or per 40 columns of a wide one: one with counts and ranges, one with the most frequent
# values of the columns that have few, one with some rows of texts that may be dates. A big table answers from a sample,
# and its profiles say so (`≈`). Nothing is asked of columns whose name says that they hold secrets; columns about
# single people give no values and no range; a category is kept only when at least `SEEN` rows have it, so that it names
# nobody.
#
# How much is asked follows from the tables alone, so that the same data gives the same profiles on a busy machine too.
# Time is a safety limit far above; what it cuts is said (`Effort.late`).

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.databases.base import Late
from rsql_magic.databases.view_rows import ViewRows
from rsql_magic.errors import QueryFailed
from rsql_magic.redaction import redact, says_secret
from rsql_magic.sql import LONGEST, Column, Profile, Table, date_form, dialect_of, families, value_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.databases.base import Database, Picked, Structure

# A value is shown only when at least so many rows have it.
SEEN = 5
# Most values of a column.
SHOWN = 20
# A column with more distinct values than this holds names or text, not categories.
_FEW = 200
# Of fewer rows hardly a value is seen often enough to be shown.
_TELLING = 10 * SEEN
# A range is said of at least so many values: of fewer it would be the values.
_FEWEST = 5
# A column with longer values holds text, not categories.
_LONG = 60
# Rows that tell how dates are written.
_TEXTS = 1_000
# A table with more columns is not profiled as it is, only those of its columns that are shown.
_WIDE = 2_000
# Columns in one statement: engines limit the length of a select list.
_AT_ONCE = 40
# Tables whose statistics are read in one query.
_BATCH = 100
# Seconds after which nothing more is asked: many times what the work takes.
_SECONDS = 90.0
# Seconds for one statement, so that one that hangs does not use up the time of all.
_PER_STATEMENT = 20.0


@dataclass
class Effort:
    """How much may be asked of a database to describe it."""

    values: int  # values (rows times columns) that may still be read
    clock: Callable[[], float] = time.monotonic  # seconds that only go up; for safety, not for measure
    seconds: float = _SECONDS  # when it is given up
    late: list[str] = field(default_factory=list)  # what was given up: names of tables

    def __post_init__(self) -> None:
        self._end = self.clock() + self.seconds

    @classmethod
    def of(cls, database: Database, clock: Callable[[], float] = time.monotonic) -> Effort:
        """What reading a catalog may cost in a database."""
        return cls(database.values_read, clock)

    def takes(self, values: int) -> bool:
        """Whether so many values may be read; they count from then on."""
        if values > self.values:
            return False
        self.values -= values
        return True

    @property
    def left(self) -> float:
        """Seconds for the next statement; 0 when the time is up."""
        return max(0.0, min(self._end - self.clock(), _PER_STATEMENT))

    def rows(self, database: Database, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one of our statements about values; `Late` where the time is up."""
        if not (left := self.left):
            raise Late("There was no time left.")
        return database.bounded_rows(sql, seconds=left)

    def rows_of(self, table: Table, database: Database, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a statement about one table; none where it is too much work, or cannot be read."""
        try:
            return self.rows(database, sql)
        except QueryFailed as error:
            self.late += [table.full_name] if isinstance(error, Late) else []
            return []


def add_profiles(
    database: Database, structure: Structure, tables: Sequence[Table], effort: Effort, *, views: bool = True
) -> tuple[Table, ...]:
    """Tables with the profiles of their columns, as far as the effort goes; the others are unchanged.

    Of a view whose rows may be those of fewer base rows nothing is told but how its texts write dates.
    """
    # What the database's own statistics say comes first, in one query for many tables; the rest is asked table by
    # table, the small ones first. Without `views` none is asked of which the database cannot tell how much work it is.
    profiled, rows = list(tables), ViewRows(structure, database.dialect)
    todo = []
    for start in range(0, len(tables), _BATCH):
        some = tables[start : start + _BATCH]
        known = database.statistics(some) if effort.left else {}
        for place, table in enumerate(some, start):
            if table.full_name in known:
                profiled[place] = _with_statistics(table, known[table.full_name])
            else:
                todo.append(place)
    todo = [place for place in todo if len(tables[place].columns) <= _WIDE]
    # Small tables first: what the effort leaves out are few tables then, and those that are slowest to read. Before
    # them go those with rows enough to have categories, and of repeated tables (one for each day) only the latest.
    repeated = {id(table) for family in families(tables) for table in family.members[:-1]}
    sizes = {
        place: (
            tables[place].kind == "view",
            id(tables[place]) in repeated,
            (tables[place].rows or 0) < _TELLING,
            (tables[place].rows or 0) * len(tables[place].columns),
        )
        for place in todo
    }
    for place in sorted(todo, key=sizes.__getitem__):
        if not views and tables[place].kind == "view" and not database.knows_work_of_views:
            continue
        try:
            profiled[place] = profile(database, tables[place], effort)
        except QueryFailed:
            continue  # too much work, or not readable: the table is described without its values
    return tuple(_counting_base_rows(table, rows) for table in profiled)


def _counting_base_rows(table: Table, rows: ViewRows) -> Table:
    """A table without what is told by counting, where rows of its base are not what would be counted, or very few."""
    if table.rows is None and not any(column.profile for column in table.columns):
        return table
    is_few = table.kind == "view" and table.rows is not None and table.rows < SEEN
    if rows.are_own(table) and not is_few:
        return table
    columns = (replace(c, profile=Profile(form=c.profile.form) if c.profile else None) for c in table.columns)
    return replace(table.with_columns(columns), rows=None)


def _with_statistics(table: Table, profiles: dict[str, Profile]) -> Table:
    columns = []
    for column in table.columns:
        found = profiles.get(column.name)
        # Of a few rows the range would be their values.
        if found and table.rows is not None and table.rows * (1 - (found.nulls or 0)) < _FEWEST:
            found = replace(found, low=None, high=None)
        columns.append(replace(column, profile=_allowed(column, found)))
    return table.with_columns(columns)


def _allowed(column: Column, found: Profile | None) -> Profile | None:
    """A profile without what its column may not give away."""
    if found is None or says_secret(column.name):
        return None
    if column.is_private:
        return replace(found, low=None, high=None, values=(), complete=False, form="")
    # No value that looks like a secret or a person's data is kept; one look at all is enough for most columns.
    if not found.values or not redact("\n".join(found.values))[1]:
        return found
    return replace(found, values=tuple(value for value in found.values if not redact(value)[1]))


def profile(database: Database, table: Table, effort: Effort) -> Table:
    """A table with the profiles of its columns; of a wide one of the first of them, as far as the effort goes."""
    asked = [column for column in table.columns if not says_secret(column.name)]
    found: dict[str, Profile] = {}
    total, sampled = 0, False
    with database:
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            picked = database.sample(table.with_columns(some))
            if picked is None or not effort.takes(max(picked.values, database.values_of_a_statement)):
                break
            try:
                asked_of = ["COUNT(*)", *(term for column in some for term in _terms(database, column))]
                counts = effort.rows(database, f"SELECT {', '.join(asked_of)} FROM {picked.source}")[0]
                total = int(counts[0])
                sampled = picked.limit is not None and total >= picked.limit
                seen = _read_counts(some, total, counts[1:], sampled)
                _add_values(database, picked.source, some, seen, effort)
                _add_forms(database, table.with_columns(some), picked, seen, effort)
            except Late:
                effort.late.append(table.full_name)
                break
            found |= seen
    never = {column.name: Profile() for column in table.columns if column not in asked}
    database.learn(table, never | found)
    profiled = table.with_columns(replace(c, profile=_allowed(c, found.get(c.name))) for c in table.columns)
    return replace(profiled, rows=total) if found and not sampled else profiled


def _terms(database: Database, column: Column) -> list[str]:
    """Not missing, distinct, smallest, largest; NULL where it is of no use, so that every column has four."""
    name, kind = database.quoted(column.name), value_kind(column.type)
    is_float = column.type.lower().startswith(("double", "float", "real"))
    told_apart = database.letters.format(name) if kind == "text" else name
    distinct = f"COUNT(DISTINCT {told_apart})" if kind in {"text", "number", "time"} and not is_float else "NULL"
    ends = [f"CAST({end}({name}) AS {database.text_type})" for end in ("MIN", "MAX")]
    return [f"COUNT({name})", distinct, *(ends if kind in {"number", "time"} else ["NULL", "NULL"])]


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

    Example:
        >>> span(Profile(), ["100.0", "9.0"])
        Profile(low='9', high='100', distinct=None, nulls=None, values=(), complete=False, approximate=False, form='')
    """
    ranked = sorted(ends, key=_order)
    if not ranked or not all(math.isfinite(_order(end)[0]) for end in ranked):
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


def _add_values(
    database: Database, source: str, columns: Sequence[Column], found: dict[str, Profile], effort: Effort
) -> None:
    some = [
        column
        for column in columns
        if 0 < (found[column.name].distinct or 0) <= _FEW
        and value_kind(column.type) == "text"
        and not column.is_private
    ]
    sql = " UNION ALL ".join(
        f"SELECT * FROM (SELECT {place} AS place, CAST({name} AS {database.text_type}) AS value, COUNT(*) AS seen "
        f"FROM {source} WHERE {name} IS NOT NULL GROUP BY {name} HAVING COUNT(*) >= {SEEN} "
        f"ORDER BY seen DESC, value LIMIT {SHOWN}) AS q{place}"
        for place, name in enumerate(database.letters.format(database.quoted(column.name)) for column in some)
    )
    seen: dict[int, list[tuple[str, int]]] = {}
    for place, value, count in effort.rows(database, sql) if some else ():
        seen.setdefault(int(place), []).append((str(value), int(count)))
    for place, column in enumerate(some):
        exact = not found[column.name].approximate
        found[column.name] = categories(found[column.name], seen.get(place, ()), complete=exact)


def _add_forms(database: Database, table: Table, picked: Picked, found: dict[str, Profile], effort: Effort) -> None:
    """How texts that are not all known write dates, from some rows; of a view all have to be read for them."""
    kinds = {"text", "time"} if dialect_of(database.dialect).strftime else {"text"}  # SQLite has no type of dates
    texts = [c for c in table.columns if value_kind(c.type) in kinds and not c.is_private]
    texts = [c for c in texts if found[c.name].nulls not in {None, 1} and not found[c.name].complete]
    work = picked.values if table.kind == "view" else max(_TEXTS * len(texts), database.values_of_a_statement)
    if not texts or not effort.takes(work):
        return
    asked = (f"SUBSTR(CAST({database.quoted(c.name)} AS {database.text_type}), 1, {LONGEST + 1})" for c in texts)
    sql = f"SELECT {', '.join(asked)} FROM {picked.few or picked.source} LIMIT {_TEXTS}"
    for column, values in zip(texts, zip(*effort.rows_of(table, database, sql), strict=True), strict=False):
        form = date_form(values)
        if form and not (value_kind(column.type) == "time" and form.startswith("%Y-")):
            found[column.name] = replace(found[column.name], form=form, low=None, high=None)  # ends of texts


def categories(found: Profile, seen: Sequence[tuple[str, int]], *, complete: bool) -> Profile:
    """A profile with the values that enough rows have, when they are categories and not names or text.

    Example:
        >>> categories(Profile(distinct=3), [("N", 40), ("S", 12), ("W", 1)], complete=True).values
        ('N', 'S')
    """
    # `seen` holds values and their numbers of rows, the most frequent first; `complete` that all would be there.
    if found.distinct is None or found.distinct > _FEW or any(len(value) > _LONG for value, _ in seen):
        return found
    values = tuple(value for value, count in seen if count >= SEEN)[:SHOWN]
    return replace(found, values=values, complete=complete and len(values) == found.distinct)
