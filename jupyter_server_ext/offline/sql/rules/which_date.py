"""Which column a time in a question is about, where only one can be meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...words import name_words, stem, word_set
from ..lexicon import HAPPENING, likeness
from ..linking import Mention
from ..query import Item, NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..reading import Reading
    from ..schema import Column, Table

_BOOKKEEPING = word_set("updated update modified modification changed deleted loaded inserted synced etl birth born")
_MOMENT = word_set("date time timestamp datetime day at on")


def dates_of(table: Table) -> list[Column]:
    """The columns of a table that hold dates, as their types, their known values or, failing both, their names say."""
    return [column for column in table.columns if _holds_dates(column)]


def _holds_dates(column: Column) -> bool:
    if column.is_time:
        return not column.type.lower().startswith("time") or column.type.lower().startswith("timestamp")
    known = column.facts.low or next(iter(column.facts.values), "")
    if known:
        return column.is_text and re.match(r"\d{4}-\d{2}-\d{2}", known) is not None
    return column.is_text and bool({"date", "datetime", "timestamp"} & set(column.words))


def named_date(reading: Reading, mark: str | None) -> Item | None:
    """The date column that stands before a time: “order date in March 2024”; None where no date does."""
    if mark is None:
        return None
    dates = [(column, fit) for column, fit in reading.mention(mark).columns if _holds_dates(column)]
    best = reading.mention(mark).columns[0][1]
    if not dates or dates[0][1] < best - 0.3:
        return None
    reading.mentions[int(mark)] = _only(reading.mention(mark), dates)
    return Item(int(mark))


def _only(mention: Mention, columns: list[tuple[Column, float]]) -> Mention:
    return Mention(mention.start, mention.end, mention.text, mention.tables, tuple(columns))


def date_meant(reading: Reading, position: int, verb: str) -> Item:
    """The one date column that a time can be about.

    Raises:
        NotUnderstood: There is none, or nothing says which of several.
    """
    owner = spoken_of(reading, position)
    for tables in circles(reading, owner):
        found = [(table, column) for table in tables for column in dates_of(table)]
        if found:
            column = one_of(reading, found, verb)
            number = reading.add(Mention(0, 0, column.name, columns=((column, 1.0),)))
            if owner is not None and column.table in {t.name for t, _ in reading.mentions[owner].tables}:
                reading.owners[number] = owner
            return Item(number)
    spoken = next(iter(circles(reading, owner)), [])
    where = f" in {spoken[0].name}" if spoken else ""
    raise NotUnderstood(f"I see no column with dates{where} that a time could be about")


def spoken_of(reading: Reading, position: int) -> int | None:
    """The mention of what a time is said of: the figure or the thing before it that is not grouped by, else after it.

    “total amount per customer in March” is about the amounts, and “customers with orders in March” about the orders.
    """
    marks = list(re.finditer(r"(\S+ )?(‹[TBCA](\d+)›)", reading.text))
    ahead = [m for m in reversed(marks) if m.end() <= position]
    for match in [*ahead, *(m for m in marks if m.start() >= position)]:
        number = reading.items[int(match[3])].mention if match[2].startswith("‹A") else int(match[3])
        if number is None:
            continue
        mention = reading.mentions[number]
        if mention.tables and (match[1] or "").strip() not in _GROUPING:
            return number
        if mention.columns and mention.columns[0][0].is_measured and mention.columns[0][1] > _SURE:
            table = reading.schema[mention.columns[0][0].table]
            return reading.owners.get(number, reading.add(Mention(0, 0, table.name, tables=((table, 1.0),))))
    before = reading.table_before(position)
    return before if before is not None else reading.table_after(position)


_GROUPING = word_set("per by each every for")
_SURE = 0.9


def circles(reading: Reading, owner: int | None) -> Iterable[list[Table]]:
    """Where to look for a date: the table spoken of, then what else the question names, then what it points to."""
    spoken = [reading.mentions[owner].tables[0][0]] if owner is not None else []
    spoken = spoken or list(reading.schema.tables if len(reading.schema.tables) == 1 else ())
    named = [mention.tables[0][0] for mention in reading.mentions if mention.tables]
    holders = [reading.schema[m.columns[0][0].table] for m in reading.mentions if m.columns and m.columns[0][1] > 0.9]
    near = _distinct([*spoken, *named, *holders])
    others = {key.other for key in reading.keys if key.table in {table.name for table in near}}
    circles = [spoken, near, [reading.schema[name] for name in others if reading.schema.get(name)]]
    return [circle for circle in circles if circle]


def _distinct(tables: list[Table]) -> list[Table]:
    return list({table.name: table for table in tables}.values())


_ALIKE = 0.75


def one_of(reading: Reading, found: list[tuple[Table, Column]], verb: str) -> Column:
    """The date that the verb or the table's own name calls for, or the only one that is no bookkeeping.

    Raises:
        NotUnderstood: Nothing says which of several.
    """
    said = [c for _, c in found if verb and any(likeness(stem(verb), word) >= _ALIKE for word in c.words)]
    if len(found) == 1:
        _check_verb(found[0][1], verb, said)
        return found[0][1]
    plain = [(t, c) for t, c in found if not _BOOKKEEPING & set(c.words)]
    own = [c for t, c in plain if {stem(w) for w in t.words} & {stem(w) for w in c.words}]
    bare = [c for _, c in plain if set(c.words) <= _MOMENT]
    for some in (said, [c for _, c in plain], own, bare):
        if len(some) == 1:
            rest = [c.name for _, c in found if c is not some[0]]
            if some is not said:
                reading.draft.notes.append(f"I took the time as {some[0].name}; {', '.join(rest[:3])} would fit too.")
            return some[0]
    names = ", ".join(f"{c.table}.{c.name}" for _, c in found[:4])
    raise NotUnderstood(f"I do not see which date is meant: {names}")


def _check_verb(column: Column, verb: str, said: list[Column]) -> None:
    """Refuse “admitted in 2023” where the only date is that of birth.

    Raises:
        NotUnderstood: The date says when something else was.
    """
    told = set(column.words) - _MOMENT - {stem(word) for word in name_words(column.table)}
    if verb.endswith("ed") and verb not in HAPPENING and told and not said:
        raise NotUnderstood(f"I do not see that {column.table}.{column.name} says when something was {verb}")
