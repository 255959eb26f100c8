"""What a schema tells and does not declare: keys that names suggest, and the remarks in a ``CREATE TABLE``."""

# A column points to another table when it carries the name of that table's key (``flights.carrier`` to
# ``airlines.carrier``), or the table's name and its key's (``orders.customer_id`` to ``customers.id``). The rule is
# conservative, since a wrong key misleads more than a missing one: the key must be unique, the types must agree, the
# name must not be one that every table has, and exactly one table must fit. Such keys are marked ``inferred``.

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql.catalog import Column, ForeignKey, Table, value_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


# Names that say nothing about the table they come from.
_COMMON = frozenset(
    """
    active amount category city code color comment content count country created created_at created_by currency date
    datetime day deleted description email end enabled filename first_name flag gender group hash hour id identifier
    image index key kind label language last_name latitude level link location longitude message minute modified month
    name no note notes number order owner parent path percent phone position price quantity rank ref region role row
    rowid score sequence size slug sort source ssn start state status street text time time_hour timestamp title token
    total type unit updated updated_at updated_by url user uuid value version weight year zip zone
    """.split()  # noqa: SIM905 - words read better as text
)


def infer_keys(tables: Sequence[Table], unique: Mapping[str, Sequence[tuple[str, ...]]]) -> tuple[Table, ...]:
    """All tables of a connection with the keys that names suggest, added to the declared ones."""
    # `unique` holds by a table's full name the column sets that a constraint or index makes unique.
    targets = _Targets(tables, unique)
    completed = []
    for table in tables:
        declared = {name for key in table.foreign_keys for name in key.columns}
        found = (targets.find(table, column) for column in table.columns if column.name not in declared)
        completed.append(replace(table, foreign_keys=(*table.foreign_keys, *(key for key in found if key))))
    return tuple(completed)


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
        if len(fits) != 1:  # where two tables fit, either key would be a guess
            return None
        other, key = fits[0]
        return ForeignKey((column.name,), other.full_name, (key.name,), inferred=True)


def single_keys(table: Table, unique: Sequence[tuple[str, ...]]) -> list[Column]:
    """Columns that alone tell the rows apart: by the primary key, by a unique index, or as the profile saw it."""
    names = {names[0] for names in (table.primary_key, *unique) if len(names) == 1}
    columns = table.columns if table.kind != "view" else ()
    return [c for c in columns if c.name in names or (not table.primary_key and _is_unique(c, table.rows))]


def _is_unique(column: Column, rows: int | None) -> bool:
    """Whether an exact profile found a name or number of its own in each of several rows."""
    seen = column.profile
    # Of a few rows, or a sample, any column may look unique.
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


# Remarks. SQLite has no other comments, and keeps the statement as it was typed. A remark is of the column that it
# stands behind, on the same line, or above; one behind the name of the table, behind its first bracket or behind its
# last is of the table. What is set apart by a blank line is a heading and is passed over, as is a definition that was
# commented out.

# Most characters of a remark; what a model reads of it is cut shorter still.
LONGEST = 500

# Characters of a statement that are read; one with 2,000 columns has about 100,000.
_MOST_READ = 200_000

_PIECE = re.compile(
    r"""
    (?P<remark>--[^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | '(?:[^']|'')*')
    | (?P<word>[^\W\d][\w$]*)
    | (?P<space>\s+)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# First words of lines that are no columns.
_KEYS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
# How a line of code ends that was commented out.
_CODE = re.compile(r"[,;(]\s*\Z")
# Stands for a key among the columns.
_KEY = "\0"


class Remarks(NamedTuple):
    """The remarks on a table, and on its columns by their names in lower case."""

    table: str
    columns: dict[str, str]


def remarks(create: str) -> Remarks:
    r"""The remarks in a statement that creates a table, as SQLite keeps it.

    Example:
        >>> remarks("CREATE TABLE trips ( -- one row a ride\n  fare REAL, -- in dollars\n  tip REAL)")
        Remarks(table='one row a ride', columns={'fare': 'in dollars'})
    """
    if "--" not in create and "/*" not in create:
        return Remarks("", {})
    reader, create = _RemarkReader(), create[:_MOST_READ]
    for piece in _PIECE.finditer(create):
        reader.take(str(piece.lastgroup), piece[0], piece.start() - create.rfind("\n", 0, piece.start()))
    reader.settle()
    reader.columns.pop(_KEY, None)
    described = {name: _joined(said) for name, said in reader.columns.items() if any(said)}
    return Remarks(_joined(reader.of_table), described)


class _RemarkReader:
    """Where the reading of a statement stands."""

    def __init__(self) -> None:
        self.of_table: list[str] = []
        self.columns: dict[str, list[str]] = {}
        self._depth, self._closed = 0, False
        self._column = ""  # the column, or the key, that is being defined or was defined last; empty before the first
        self._begins = False  # whether the next name begins a column
        self._above: list[str] = []  # remarks that stand above what follows, or before it on its line
        self._on_line = False  # whether anything but blanks and remarks stands on this line so far
        self._trailing = 0  # where the remark begins that ended the last line; 0 for none

    def take(self, kind: str, text: str, place: int) -> None:
        """Take the next piece; ``place`` counts characters from the start of its line."""
        if kind == "space":
            self._on_line = self._on_line and "\n" not in text
            if text.count("\n") > 1:
                self.settle()
        elif kind == "remark":
            self._remark(text, place)
        else:
            self._code(kind, text)
            self._on_line, self._trailing = True, 0

    def settle(self) -> None:
        """Nothing follows at once: what stands above it is of the table before the first column, else a heading."""
        if not self._column:
            self.of_table += self._above
        self._above, self._trailing = [], 0

    def _remark(self, text: str, place: int) -> None:
        said = _said(text)
        follows = self._trailing == place and not self._on_line
        if self._closed or not self._depth or (self._on_line and not self._column):
            self.of_table.append(said)
        elif follows or (self._on_line and (not self._begins or text.startswith("--"))):
            self.columns.setdefault(self._column, []).append(said)
            self._trailing = place
        else:
            self._above.append(said)

    def _code(self, kind: str, text: str) -> None:
        if kind == "mark":
            self._mark(text)
        elif self._begins and self._depth == 1:
            self._begins = False
            is_key = kind == "word" and text.upper() in _KEYS
            self._column = _KEY if is_key else _name(text)
            self.columns.setdefault(self._column, []).extend(self._above)
            self._above = []

    def _mark(self, mark: str) -> None:
        if mark == "(":
            self._depth += 1
            self._begins = self._begins or (self._depth == 1 and not self._column)
        elif mark == ")":
            self._depth -= 1
            self._closed = self._closed or not self._depth
        elif mark == "," and self._depth == 1:
            self._begins = True


def _name(text: str) -> str:
    """A name without its quotes, in lower case."""
    if text[0] in "\"`'[":
        text = text[1:-1].replace(text[0] * 2, text[0])
    return text.lower()


def _said(remark: str) -> str:
    """The words of a remark, without its marks and the frame of stars or dashes around it."""
    inner = remark.removeprefix("--") if remark.startswith("--") else remark[2:].removesuffix("*/")
    lines = (line.strip(" \t\r*-=#") for line in inner[: 4 * LONGEST].splitlines())
    words = " ".join(line for line in lines if line)
    return "" if _CODE.search(words) else words


def _joined(said: list[str]) -> str:
    return " ".join(filter(None, said))[:LONGEST]
