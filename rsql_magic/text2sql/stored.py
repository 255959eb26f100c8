"""Literals of a query against all values of its columns, as a value index has them: corrected where that is certain.

A literal that a column holds is never touched; nor is one of a column that the index does not cover, or one that the
database finds a row for. What differs from one stored value in case, accents, signs or number only ("Dogs", ``dog``)
is replaced. One with a slip in it is replaced where it is a plain word and the value too, or the question says the
value; names are so near each other that a slip may be another name (Marina, Martina), so of these it is said only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.knowledge import fold, other_forms, phrases_of
from rsql_magic.sql import STOP_WORDS, Edit, Fix, edited, lex, mistyped, one_line
from rsql_magic.text2sql.literals import is_absent, is_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.databases import ValueKeeper
    from rsql_magic.knowledge import HeldValue, ValueIndex
    from rsql_magic.sql import Catalog
    from rsql_magic.text2sql.literals import Comparison, Run

# Literals of one query that the database is asked to confirm.
_MOST = 12
# Letters that a word needs for a slip in it to be told.
_LETTERS = 6
_SHOWN = 3
_COMPARED = frozenset({"=", "like", "ilike"})


@dataclass(frozen=True)
class NearLiteral:
    """What is known of a literal that no row has.

    Example:
        >>> from rsql_magic.sql import Column, Table
        >>> from rsql_magic.text2sql.literals import Comparison
        >>> kind = Column("kind", "VARCHAR")
        >>> dogs = Comparison(Table("pets", (kind,)), kind, "Dogs", exp.column("kind"))
        >>> print(NearLiteral(dogs, ("dog",), is_sure=True))
        'Dogs' → 'dog' (stored in pets.kind)
    """

    comparison: Comparison
    values: tuple[str, ...]  # what it may stand for, as the literal would be written
    is_sure: bool = False  # whether it is the one value, and nothing else can be meant
    elsewhere: tuple[str, ...] = ()  # other columns that hold it, where its own has nothing like it

    @property
    def is_personal(self) -> bool:
        """Whether its column is about single people, whose values are told to no model."""
        return self.comparison.column.is_private

    def __str__(self) -> str:
        column = f"{self.comparison.table.full_name}.{self.comparison.column.name}"
        values = [f"'{one_line(value)}'" for value in self.values[:_SHOWN]]
        text = f"'{one_line(self.comparison.text)}'"
        if self.is_sure:
            return f"{text} → {values[0]} (stored in {column})"
        if self.elsewhere:
            return f"No row has {text} in {column}, but {' and '.join(self.elsewhere[:_SHOWN])} has it."
        return f"No row has {text} in {column}; nearest: {' or '.join(values)}."


def looked_up(  # noqa: PLR0917
    found: Iterable[Comparison], index: ValueIndex, question: str, catalog: Catalog, dialect: str, run: Run
) -> list[NearLiteral]:
    """The literals that no row has, as the database confirms, while the index knows something near, or where they are.

    ``dialect`` and ``run`` are the database's, as for `literals.doubts`; ``question`` is evidence of what is meant.
    """
    texts = _of_texts(found, index)
    candidates = (one for e in texts if (one := _meant(e, index, question) or _elsewhere(e, index, catalog)))
    asked = [one for one, _ in zip(candidates, range(_MOST), strict=False)]
    return [one for one in asked if is_absent(one.comparison, dialect, run)]


def _of_texts(found: Iterable[Comparison], index: ValueIndex) -> Iterator[Comparison]:
    for one in found:
        is_text = one.operator in _COMPARED and any(letter.isalnum() for letter in one.text)
        if is_text and index.covers(one.table.full_name, one.column.name):
            yield one


def _meant(one: Comparison, index: ValueIndex, question: str) -> NearLiteral | None:
    """What a literal may stand for that its column does not hold; None where it does, or nothing is near."""
    if one.like:
        return _pattern(one, index)
    table, column = one.table.full_name, one.column.name
    same = index.same([one.text.strip()], table, column)
    if any(is_found(one, each.value) for each in same):
        return None
    for group in ([each for each in same if each.same], same):
        if values := tuple(dict.fromkeys(one.gives(each.value) for each in group)):
            return NearLiteral(one, values, is_sure=len(values) == 1)
    near = index.near(one.text, table, column)
    values = tuple(dict.fromkeys(one.gives(value) for _, value in near))
    nearest = tuple(dict.fromkeys(one.gives(value) for slips, value in near if slips == near[0][0]))
    is_sure = _is_slip(one.text, nearest, question)
    return NearLiteral(one, nearest if is_sure else values, is_sure) if values else None


def _elsewhere(one: Comparison, index: ValueIndex, catalog: Catalog) -> NearLiteral | None:
    """A literal that other columns hold, and its own column nothing like it; None where none does."""
    if one.like or index.holds(one.text, one.table.full_name, one.column.name):
        return None
    held = ((each, catalog.get(each.table)) for each in index.same([one.text.strip()]) if each.same)
    columns = [(table, column) for each, table in held if table and (column := table.column(each.column))]
    names = [f"{table.full_name}.{column.name}" for table, column in columns if not column.is_private]
    return NearLiteral(one, (), elsewhere=tuple(dict.fromkeys(names))) if names else None


def _is_slip(text: str, values: Sequence[str], question: str) -> bool:
    """Whether a text can only be a slip for one of the values near it, which then is the only one."""
    if len(values) != 1:
        return False
    [value] = values
    if len(fold(value)) >= _LETTERS and fold(value) in fold(question) and fold(text) not in fold(question):
        return True
    # A letter in place of another makes words of words (adapted, adopted); one too many or too few seldom does.
    is_word = value == value.lower() and text == text.lower() and min(len(value), len(text)) >= _LETTERS
    is_other = len(value) == len(text) and sorted(value) != sorted(text)
    return is_word and not is_other and mistyped(text, value)


def _pattern(one: Comparison, index: ValueIndex) -> NearLiteral | None:
    """The pattern that finds what a pattern with ``%`` at its ends should have found."""
    core = one.text.strip("%")
    if not core.strip() or "%" in core or "_" in core:
        return None
    table, column = one.table.full_name, one.column.name
    here = [each.value for each in index.containing(core, table=table, column=column)]
    if any(is_found(one, value) for value in here):
        return None
    for wanted in (core.lower(), *other_forms(core)):
        within = (
            here
            if wanted == core.lower()
            else (each.value for each in index.containing(wanted, table=table, column=column))
        )
        written = dict.fromkeys(text for value in within if (text := _part(one.gives(value), wanted)))
        patterns = tuple(one.text.replace(core, text) for text in written)
        if patterns:
            return NearLiteral(one, patterns, is_sure=len(patterns) == 1)
    return None


def _part(value: str, wanted: str) -> str:
    """The part of a value that is a text but for its case."""
    at = value.lower().find(wanted)
    return value[at : at + len(wanted)] if at >= 0 and len(value.lower()) == len(value) else ""


def held_phrases(question: str, index: ValueIndex) -> list[HeldValue]:
    """The phrases of a question that columns hold, the longest first; none inside another, no small words, no numbers.

    Values of columns about single people are among them, and are for use here only.
    """
    phrases = [one for one in phrases_of(question) if len(fold(one)) > 2 and not fold(one).replace(" ", "").isdigit()]
    asked = [one for one in phrases if not STOP_WORDS.issuperset(one.lower().split())]
    found: dict[str, list[HeldValue]] = {}
    for one in index.same(asked):
        found.setdefault(one.phrase, []).append(one)
    longest: list[str] = []
    for phrase in asked:
        if phrase in found and not any(phrase in other for other in longest):
            longest.append(phrase)
    return [one for phrase in longest for one in found[phrase]]


def held_tables(question: str, values: ValueKeeper) -> dict[str, set[str]]:
    """The phrases of a question that columns hold, with the tables of these columns."""
    found: dict[str, set[str]] = {}
    if (index := values.index) is not None:
        with values.spared():
            for one in held_phrases(question, index):
                found.setdefault(one.phrase, set()).add(one.table)
    return found


def corrected(sql: str, dialect: str, found: Sequence[NearLiteral]) -> Fix | None:
    """A query with its literals as they are stored, where that is sure and they can be told in its text."""
    edits: list[Edit] = []
    changes: list[str] = []
    text = lex(sql, dialect).text
    for one in found:
        if not one.is_sure or not one.comparison.places:
            continue
        new = exp.Literal.string(one.values[0]).sql(dialect)
        if all(text[first] == "'" and text[last] == "'" for first, last in one.comparison.places):
            edits += [Edit(first, last + 1, new) for first, last in one.comparison.places]
            changes.append(str(one))
    is_clear = len({(edit.start, edit.end) for edit in edits}) == len(set(edits))
    return Fix(edited(text, edits), tuple(changes)) if edits and is_clear else None
