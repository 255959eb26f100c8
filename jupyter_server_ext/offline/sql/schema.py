"""Read the tables out of a prompt's DDL, with the facts in its comments.

The text follows the contract of the kernel side's ``ddl()``; plain ``CREATE TABLE`` statements without comments are
read as well, so any prompt with a schema in it will do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from .. import facts as fact_text
from ..facts import Facts
from ..words import name_words, stem, word_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CREATE = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+)?(?:TABLE|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?", re.IGNORECASE
)
_IDENTIFIER = re.compile(r'"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[[^\]\n]+\]|[^\W\d][\w$]*')
_CONSTRAINT = re.compile(
    r"(?:CONSTRAINT\s+\S+\s+)?(PRIMARY\s+KEY|FOREIGN\s+KEY|UNIQUE(?=\s*\()|CHECK(?=\s*\()|(?:KEY|INDEX)\s+\S+\s*\()",
    re.IGNORECASE,
)
_REFERENCES = re.compile(r"\bREFERENCES\b", re.IGNORECASE)
_PRIMARY = re.compile(r"\bPRIMARY\s+KEY\b", re.IGNORECASE)
_TYPE_END = re.compile(
    r"\b(?:PRIMARY|NOT|NULL|DEFAULT|REFERENCES|UNIQUE|CHECK|COLLATE|GENERATED|AUTOINCREMENT|COMMENT|CONSTRAINT)\b",
    re.IGNORECASE,
)
_ROWS = re.compile(r"^≈?\s*([\d,]+) rows?$")

_NUMBER_TYPES = (
    "int", "num", "dec", "real", "doub", "float", "serial", "money", "long", "short", "byte", "hugeint", "bit",
)  # fmt: skip
_TIME_TYPES = ("date", "time", "year")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: where it is, its type as written, and its facts."""

    table: str
    name: str
    type: str = ""
    facts: Facts = field(default_factory=Facts)
    key: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The lower-case words of the name."""
        return name_words(self.name)

    @property
    def is_number(self) -> bool:
        """True when the type is numeric."""
        kind = self.type.lower()
        return any(mark in kind for mark in _NUMBER_TYPES) and not any(m in kind for m in ("interval", "point"))

    @property
    def is_time(self) -> bool:
        """True for dates and timestamps."""
        kind = self.type.lower()
        return any(kind.startswith(mark) for mark in _TIME_TYPES) and kind != "year"

    @property
    def is_moment(self) -> bool:
        """True for dates with a time of the day."""
        return self.type.lower().startswith(("timestamp", "datetime", "smalldatetime"))

    @property
    def is_text(self) -> bool:
        """True for everything that is neither a number nor a time nor a truth value."""
        return not (self.is_number or self.is_time or self.is_truth)

    @property
    def is_truth(self) -> bool:
        """True for a type that only knows true and false."""
        return self.type.lower().startswith(("bool", "logical"))

    @property
    def is_measured(self) -> bool:
        """True for numbers, and for text that by its name and its known values holds numbers, as SQLite allows."""
        if self.is_number:
            return not self.is_id
        known = [*self.facts.values, self.facts.low, self.facts.high]
        numeric = all(_FIGURE.fullmatch(value) for value in known if value)
        return self.is_text and bool(_MEASURES & {stem(word) for word in self.words}) and numeric

    @property
    def measures(self) -> bool:
        """True when the name says that something other than time is measured: "price", "salary"."""
        return bool((_MEASURES - {"year", "day", "hour"}) & {stem(word) for word in self.words})

    @property
    def is_id(self) -> bool:
        """True when the name says that the column identifies something and measures nothing."""
        return bool(self.words) and (self.words[-1] in _ID_WORDS or self.key)


_FIGURE = re.compile(r"[-+$€£]?[\d.,]+\s*%?")
_MEASURES = word_set(
    """
    speed price amount size duration salary capacity age weight height profit sale gross cost score point memory
    population area length distance rate percent quantity total day hour budget revenue temperature elevation income
    share votes depth width volume year
    """
)


_ID_WORDS = frozenset({"id", "ids", "code", "key", "no", "uuid", "guid", "number", "num", "rowid", "pk", "fk"})


@dataclass(frozen=True, slots=True)
class Key:
    """Columns of one table that point to columns of another; ``guessed`` when only their names say so."""

    table: str
    columns: tuple[str, ...]
    other: str
    referred: tuple[str, ...]
    guessed: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its columns and what is said of it."""

    name: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    rows: int | None = None
    text: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """The lower-case words of the unqualified name."""
        return name_words(self.name.rpartition(".")[2])

    def get(self, name: str) -> Column | None:
        """The column of that name, case ignored when no exact match exists."""
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.lower() == name.lower()), None)

    @cached_property
    def person(self) -> tuple[Column, ...]:
        """First and last name, for people who have no column with the whole name."""
        return () if self.display is not None else self._whole_name

    @cached_property
    def _whole_name(self) -> tuple[Column, ...]:
        parts = [_person_column(self, part) for part in ("first", "last")]
        return tuple(part for part in parts if part) if all(parts) else ()

    @cached_property
    def display(self) -> Column | None:
        """The column a person would call the thing by: ``name``, ``title``, ``airline_name``; None without one."""
        best = min(
            (c for c in self.columns if _name_rank(self, c) < 9), key=lambda c: _name_rank(self, c), default=None
        )
        titled = best is not None and best.words[-1] == "title"
        return None if titled and self._whole_name else best  # Ada Berg is no "Sales Manager"


_FIRST_LAST = {
    "first": {"fname", "firstname", "forename", "givenname"},
    "last": {"lname", "lastname", "surname", "familyname"},
}


def _person_column(table: Table, part: str) -> Column | None:
    """The column for a first or a last name."""
    for column in table.columns:
        joined = "".join(column.words)
        own = "".join(table.words)
        short = joined.removeprefix(own).removeprefix(stem(own)) or joined
        if column.is_text and (
            short in _FIRST_LAST[part]
            or joined in _FIRST_LAST[part]
            or column.words[-2:] == (part, "name")
            or column.words[-1] in _FIRST_LAST[part]
        ):
            return column
    return None


def _name_rank(table: Table, column: Column) -> int:
    """How much a column looks like the name of the table's things; 0 is best, 9 is not at all."""
    own = {stem(word) for word in table.words}
    words = [stem(word) for word in column.words]
    if not column.is_text or not words:
        return 9
    ranks = (
        words in (["name"], ["title"]),
        words[-1] in {"name", "title"} and all(word in own for word in words[:-1]),
        words == [stem(w) for w in table.words] or (len(words) == 1 and words[0] in own),
        words[-1] == "name"
        and not {"last", "middle", "user", "nick", "file", "first", "l", "f", "m", "start", "end", "from", "to"}
        & set(words),
        len(words) == 1 and words[0].endswith("name") and words[0] not in {"fname", "lname", "username"},
    )
    return ranks.index(True) if True in ranks else 9


@dataclass(frozen=True)
class Schema:
    """All tables of a prompt."""

    tables: tuple[Table, ...]

    @cached_property
    def _by_name(self) -> dict[str, Table]:
        names: dict[str, Table] = {}
        for table in self.tables:
            names.setdefault(table.name.lower(), table)
            names.setdefault(table.name.rpartition(".")[2].lower(), table)
        return names

    def get(self, name: str) -> Table | None:
        """The table of that name, with or without its schema, case ignored."""
        return self._by_name.get(name.lower())

    def __getitem__(self, name: str) -> Table:
        table = self.get(name)
        if table is None:
            raise KeyError(name)
        return table

    def column(self, table: str, name: str) -> Column | None:
        """The column of that table, or None."""
        found = self.get(table)
        return found.get(name) if found else None

    def columns(self) -> Iterator[Column]:
        """All columns of all tables."""
        for table in self.tables:
            yield from table.columns

    def having(self, name: str) -> list[Table]:
        """The tables that have a column of that name."""
        return [table for table in self.tables if table.get(name)]


def read(texts: Iterable[str]) -> Schema:
    r"""The schema in one or more texts of DDL.

    Example:
        >>> read(["CREATE TABLE t (a INTEGER, -- 1..9\n b VARCHAR);"])["t"].get("a").facts.high
        '9'
    """
    tables: dict[str, Table] = {}
    for text in texts:
        for table in _tables(text):
            tables.setdefault(table.name.lower(), table)
    return Schema(tuple(tables.values()))


def _tables(text: str) -> Iterator[Table]:
    for match in _CREATE.finditer(text):
        name, position = _qualified_name(text, match.end())
        opening = text.find("(", position)
        if name and opening >= 0 and not text[position:opening].strip():
            yield _table(name, list(_items(text, opening + 1)))


def _qualified_name(text: str, position: int) -> tuple[str, int]:
    parts = []
    while match := _IDENTIFIER.match(text, position):
        parts.append(_unquote(match[0]))
        position = match.end()
        if text[position : position + 1] != ".":
            break
        position += 1
    return ".".join(parts), position


def _unquote(identifier: str) -> str:
    if identifier[0] in '"`':
        quote = identifier[0]
        return identifier[1:-1].replace(quote * 2, quote)
    return identifier[1:-1] if identifier[0] == "[" else identifier


_PIECE = re.compile(
    r"""(?P<quoted>"(?:[^"]|"")*"|`[^`]*`|\[[^\]\n]*\]|'(?:[^']|'')*')|(?P<comment>--[^\n]*)|(?P<mark>[(),])|[^"`\['(),-]+|.""",
    re.DOTALL,
)


def _items(text: str, position: int) -> Iterator[tuple[str, str]]:
    """The items between a table's parentheses, each with its comment; the table's own comment comes first, as ("", …).

    A comment belongs to the item before it on its line, whether it stands before or after the comma.
    """
    items: list[list[str]] = []
    current, comment, depth, fresh = "", "", 0, True
    for match in _PIECE.finditer(text, position):
        piece = match[0]
        if match["comment"]:
            note = piece[2:].strip()
            if current.strip():
                comment = f"{comment}; {note}" if comment else note
            elif items and not fresh:
                items[-1][1] = f"{items[-1][1]}; {note}" if items[-1][1] else note
            elif not items:
                items.append(["", note])
            continue
        if match["mark"] and depth == 0 and piece in ",)":
            items.append([current.strip(), comment])
            current, comment, fresh = "", "", False
            if piece == ")":
                break
            continue
        depth += {"(": 1, ")": -1}.get(piece, 0) if match["mark"] else 0
        fresh = fresh or ("\n" in piece and not current.strip())
        current += piece
    else:
        items.append([current.strip(), comment])
    yield from ((item, note) for item, note in items if item or note)


def _table(name: str, items: list[tuple[str, str]]) -> Table:
    columns: list[Column] = []
    primary: tuple[str, ...] = ()
    keys: list[Key] = []
    rows, text = None, ""
    for item, note in items:
        constraint = _CONSTRAINT.match(item)
        if not item:
            rows, text = _table_facts(note)
        elif constraint and constraint[1].upper().startswith("PRIMARY"):
            primary = _names_in_parentheses(item)
        elif constraint:
            keys += _foreign_key(name, item, note)
        elif column := _column(name, item, note):
            columns.append(column)
            keys += _inline_key(name, column.name, item)
            primary = primary or ((column.name,) if _PRIMARY.search(item) else ())
    marked = tuple(replace(c, key=c.name in primary) for c in columns)
    return Table(name, marked, primary, tuple(keys), rows, text)


def _table_facts(note: str) -> tuple[int | None, str]:
    rows, texts = None, []
    for part in fact_text.split(note):
        match = _ROWS.match(part)
        if match:
            rows = int(match[1].replace(",", ""))
        else:
            texts.append(part)
    return rows, "; ".join(texts)


def _column(table: str, item: str, note: str) -> Column | None:
    match = _IDENTIFIER.match(item)
    if match is None:
        return None
    rest = item[match.end() :].strip()
    end = _TYPE_END.search(rest)
    return Column(table, _unquote(match[0]), (rest[: end.start()] if end else rest).strip(), fact_text.parse(note))


def _names_in_parentheses(text: str) -> tuple[str, ...]:
    opening = text.find("(")
    closing = text.find(")", opening)
    return tuple(_unquote(name) for name in _IDENTIFIER.findall(text[opening + 1 : closing])) if opening >= 0 else ()


def _foreign_key(table: str, item: str, note: str) -> list[Key]:
    match = _REFERENCES.search(item)
    if match is None:
        return []
    other, position = _qualified_name(item, match.end() + len(item[match.end() :]) - len(item[match.end() :].lstrip()))
    columns = _names_in_parentheses(item[: match.start()])
    return [Key(table, columns, other, _names_in_parentheses(item[position:]) or columns, "inferred" in note)]


def _inline_key(table: str, column: str, item: str) -> list[Key]:
    match = _REFERENCES.search(item)
    if match is None:
        return []
    rest = item[match.end() :].lstrip()
    other, position = _qualified_name(rest, 0)
    return [Key(table, (column,), other, _names_in_parentheses(rest[position:]) or (column,))]
