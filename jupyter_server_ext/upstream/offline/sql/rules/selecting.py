# ruff: noqa: E501 - a pattern reads best on one line
"""What is asked for: what stands in the text when all conditions, groups and orderings are gone."""

from __future__ import annotations

import re

from ..query import Item
from ..reading import Reading, Rules

ASKING = Rules()


@ASKING(r"(?:all |complete |full |any )*(?:information|info|details?|columns?|attributes?|fields|everything|contents?|rows|records|data|entries)(?: (?:available|stored|that|exists?|known|there|is|are))*(?: (?:about|on|of|for|from|in|regarding|related to|concerning))(?: (?:all|each|every|any|these|those|the|table|tables))* {T:t}(?: table)?",
        r"(?:everything|all) (?:about|on|from|in) {T:t}(?: table)?")  # fmt: skip
def everything(reading: Reading, match: re.Match[str]) -> str | None:
    """“all information about the students”."""
    if any(mark in "AC" for mark, number in reading.marks() if number != int(match["t"])):
        return None
    reading.draft.everything = True
    return f"‹T{match['t']}›"


@ASKING(r"(?:different|distinct|unique)")
def distinct(reading: Reading, _match: re.Match[str]) -> str | None:
    """“the different cities”."""
    reading.draft.distinct = True
    return ""


_IN_TABLE = re.compile(r"(?:in|from|of)(?: the)? ‹[TB](\d+)› table")


def select(reading: Reading) -> None:
    """Take what is left as the list of what is asked for, and the tables it comes from."""
    draft = reading.draft
    asked = [Item(i.mention, i.aggregate, i.distinct, i.part) for i in draft.select]
    tables: list[int] = []
    shown: list[int] = []
    previous = ""
    for piece in reading.text.split():
        mark = re.fullmatch(r"‹([TCBA])(\d+)›", piece)
        if mark is None:
            previous = piece if not previous.startswith("‹") or piece not in {"all"} else previous
            previous = piece
            continue
        kind, number = mark[1], int(mark[2])
        if kind in "AC" or (kind == "B" and _is_column_here(reading, number)):
            item = reading.item(mark[2])
            if item not in asked:
                asked.append(item)
        else:
            tables.append(number)
            if previous in _SHOWING or not previous:
                shown.append(number)
        previous = piece
    draft.tables += [number for number in tables if number not in draft.tables]
    grouped = {item.mention for item in draft.group}
    if not asked or (all(i.aggregate for i in asked) and not draft.group):
        asked = (
            [Item(n) for n in shown if n not in grouped][: 1 if not asked else None] + asked
            if (shown and _lists(reading, asked))
            else asked
        )
    draft.select = asked


_SHOWING = frozenset(
    {
        "which",
        "what",
        "list",
        "show",
        "find",
        "give",
        "display",
        "return",
        "all",
        "me",
        "and",
        ",",
        "who",
        "are",
        "get",
        "select",
        "the",
        "is",
        "those",
        "tell",
    }
)


def _lists(reading: Reading, asked: list[Item]) -> bool:
    return not asked or " and ‹A" in reading.text or " with ‹A" in reading.text or " , ‹A" in reading.text


def _is_column_here(reading: Reading, number: int) -> bool:
    """Whether a word that names both a table and a column stands for the column: in a list with other columns."""
    mention = reading.mentions[number]
    best_table, best_column = mention.tables[0][1], mention.columns[0][1]
    return best_column > best_table + 0.05
