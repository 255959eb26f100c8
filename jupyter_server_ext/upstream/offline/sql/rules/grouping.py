# ruff: noqa: E501 - a pattern reads best on one line
"""Groups: "for each city", "per month", "by carrier"."""

from __future__ import annotations

import re

from ..query import Item
from ..reading import Reading, Rules
from .comparing import calendar_item

GROUPING = Rules()

_EACH = r"(?:(?:for|of|in|by|per|at|from|on|to|with|under|within|among|across|used by|made by|that) )?(?:each|every)(?: (?:of|different|distinct|possible|single|type of|kind of|the|individual))*"
_PER = r"(?:per|grouped by|group by|group them by|broken down by|split by|for different|for all different|in different|for the different|across different|for various|across|for all|according to|depending on|as a function of|versus|vs)"
_MORE = r"(?P<more>(?:(?: ,)?(?: and)?(?: each| every| by| per)? ‹[TCB]\d+›)*)"
_PARTS = {
    "year": "year", "years": "year", "yearly": "year", "annual": "year", "quarter": "quarter", "quarters": "quarter", "month": "month", "months": "month",
    "monthly": "month", "week": "week", "weeks": "week", "weekly": "week", "day": "day", "days": "day", "daily": "day", "hour": "hour",
    "hours": "hour", "hourly": "hour", "weekday": "weekday", "weekdays": "weekday", "day of the week": "weekday", "day of week": "weekday", "date": "date",
}  # fmt: skip


@GROUPING(rf"{_EACH} {{E:e}}{_MORE}", rf"{_PER} {{E:e}}{_MORE}")
def each(reading: Reading, match: re.Match[str]) -> str | None:
    """“for each city and year”; the words after an “and” belong to the group only when nothing is counted there."""
    numbers = [int(match["e"])]
    rest = ""
    for mark in re.finditer(r"((?: ,)?(?: and)?(?: each| every| by| per)?) ‹([TCB])(\d+)›", match["more"] or ""):
        explicit = re.search(r"each|every|by|per", mark[1]) or _PER_WORD.match(match[0])
        if explicit:
            numbers.append(int(mark[3]))
        else:
            rest += f"{mark[1]} ‹{mark[2]}{mark[3]}›"
    _group(reading, numbers)
    return rest


_PER_WORD = re.compile(r"per|group|broken|split|by")


def _group(reading: Reading, numbers: list[int]) -> None:
    reading.draft.group += [Item(number) for number in numbers]


@GROUPING(rf"by {{E:e}}{_MORE}")
def by(reading: Reading, match: re.Match[str]) -> str | None:
    """“average delay by origin and month”."""
    before = reading.text[: match.start()].split()
    if not any(mark == "A" for mark, _ in reading.marks()) or (
        before and before[-1].endswith("ed") and before[-1] != "delayed"
    ):
        return None
    _group(reading, [int(match["e"]), *(int(n) for n in re.findall(r"‹[TCB](\d+)›", match["more"] or ""))])
    return ""


@GROUPING(
    rf"(?:(?:for|of|in|by|per|on) )*(?:each|every|per|by|across) (?P<part>{'|'.join(sorted(_PARTS, key=len, reverse=True))})",
    r"(?P<part>yearly|annual|monthly|weekly|daily|hourly)",
)
def by_part(reading: Reading, match: re.Match[str]) -> str | None:
    """“per month” where no column has that name: the month of the table's date."""
    item = calendar_item(reading, match.start(), _PARTS[match["part"]])
    if item is None:
        return None
    reading.draft.group.append(item)
    return ""
