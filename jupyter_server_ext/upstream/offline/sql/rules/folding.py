# ruff: noqa: E501 - a pattern reads best on one line
"""Fold "average price", "number of flights", "how many different cities" into one mark each, before anything else is read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from ..query import Aggregate, Item
from ..reading import Reading, Rules

if TYPE_CHECKING:
    from ..linking import Mention

FOLDING = Rules()

_FUNCTIONS = {
    "average": "avg", "averages": "avg", "mean": "avg", "avg": "avg", "sum": "sum", "total": "sum", "totals": "sum", "combined": "sum",
    "maximum": "max", "max": "max", "maximal": "max", "minimum": "min", "min": "min", "minimal": "min",
}  # fmt: skip
_FUNCTION = rf"(?:{'|'.join(_FUNCTIONS)})"
_EXTREMES = {
    "highest": "max", "largest": "max", "greatest": "max", "biggest": "max", "longest": "max", "latest": "max", "most": "max",
    "lowest": "min", "smallest": "min", "least": "min", "shortest": "min", "earliest": "min", "fewest": "min",
    "oldest": "max", "youngest": "min",
}  # fmt: skip
EXTREME = rf"(?:{'|'.join(_EXTREMES)})"
_BETWEEN = r"(?: values?| amounts?| number| total| numbers)?(?: of)?(?: each| every| all| any)?"


def is_measure(mention: Mention) -> bool:
    """Whether the best column of a mention is a number that measures something."""
    columns = [column for column, _ in mention.columns[:3]]
    return bool(columns) and columns[0].is_number and not columns[0].is_id


def is_quantity(mention: Mention) -> bool:
    """Whether the mention names a numeric column that counts something by itself, and no table."""
    return is_measure(mention) and not mention.tables


@FOLDING(rf"(?P<functions>{_FUNCTION}(?:(?: ,)?(?: and)? {_FUNCTION})+){_BETWEEN} {{C:c}}")
def several(reading: Reading, match: re.Match[str]) -> str | None:
    """“minimum, average and maximum age”."""
    found = re.findall(_FUNCTION, match["functions"])
    marks = [reading.fold(Item(int(match["c"]), cast("Aggregate", _FUNCTIONS[word]))) for word in found]
    return " , ".join(marks)


@FOLDING(rf"(?P<function>{_FUNCTION}){_BETWEEN} {{C:c}} and {{C:d}}(?! (?:of )?(?:each|every))")
def spread(reading: Reading, match: re.Match[str]) -> str | None:
    """“average latitude and longitude”: both, when both are measures."""
    if not all(is_measure(reading.mention(match[name])) for name in "cd"):
        return None
    function = cast("Aggregate", _FUNCTIONS[match["function"]])
    return " , ".join(reading.fold(Item(int(match[name]), function)) for name in "cd")


@FOLDING(r"(?:total|overall)? ?(?:number|count|numbers) of (?:different|distinct|unique) {E:e}",
         r"(?:how many|count|counts of|count of)(?: all)?(?: of)? (?:different|distinct|unique)(?: kinds of| types of)? {E:e}",
         r"(?:different|distinct|unique) (?:number|count) of {E:e}")  # fmt: skip
def count_different(reading: Reading, match: re.Match[str]) -> str | None:
    """“number of different cities”."""
    return _count(reading, int(match["e"]), distinct=True)


@FOLDING(rf"(?:average|mean|avg) {_BETWEEN.strip()} ?{{C:c}}", r"average (?:number|amount) of {C:c}")
def average(reading: Reading, match: re.Match[str]) -> str | None:
    """“average price”."""
    return reading.fold(Item(int(match["c"]), "avg"))


@FOLDING(r"(?:total|overall) (?:number|count|amount) of {E:e}", r"sum of (?:all )?(?:the )?(?:number of )?{E:e}")
def total_number(reading: Reading, match: re.Match[str]) -> str | None:
    """“total number of flights” counts; “total number of pages” adds up."""
    number = int(match["e"])
    if is_quantity(reading.mentions[number]):
        return reading.fold(Item(number, "sum"))
    return _count(reading, number) if not match[0].startswith("sum") else None


@FOLDING(rf"(?P<function>{_FUNCTION}){_BETWEEN} {{C:c}}")
def single(reading: Reading, match: re.Match[str]) -> str | None:
    """“maximum age”, “total amount of the payments”."""
    mention = reading.mention(match["c"])
    function = cast("Aggregate", _FUNCTIONS[match["function"]])
    if function in {"avg", "sum"} and mention.columns and not any(c.is_number for c, _ in mention.columns):
        return None
    return reading.fold(Item(int(match["c"]), function))


_FILLER = r"(?: (?:of|total|available|all|these|those|such|kinds of|types of|other|overall|distinct))*"
_VALUES = r"(?P<values>(?: ‹[VL]\d+›)*)"


@FOLDING(rf"how many{_FILLER}{_VALUES} {{E:e}}", rf"(?:number|numbers|count|counts|quantity) of{_FILLER}{_VALUES} {{E:e}}",
         rf"(?:^|(?<=[.,] ))count(?: up)?{_FILLER}{_VALUES} {{E:e}}",
         rf"(?:number|count) of (?:rows|records|entries|row|record)(?: in| of){_VALUES} {{T:e}}")  # fmt: skip
def how_many(reading: Reading, match: re.Match[str]) -> str | None:
    """“how many flights” counts rows, “how many pages” adds up a column, “number of pages” is the column itself."""
    number = int(match["e"])
    mention = reading.mentions[number]
    values = match["values"].strip()
    if is_quantity(mention):
        asked = match[0].startswith("how many")
        return f"{values} " + (reading.fold(Item(number, "sum")) if asked else f"‹C{number}›")
    return f"{values} {_count(reading, number)}"


def _count(reading: Reading, number: int, *, distinct: bool = False) -> str:
    if reading.mentions[number].tables:
        reading.draft.tables.append(number)
    return reading.fold(Item(number, "count", distinct=distinct))


EXTREMES = Rules()


@EXTREMES(rf"(?P<one>{EXTREME}) (?:and|or) (?P<two>{EXTREME})(?: value)?(?: of)?(?: all)? {{C:c}}")
def both_extremes(reading: Reading, match: re.Match[str]) -> str | None:
    """“the lowest and highest price”."""
    number = int(match["c"])
    return " , ".join(reading.fold(Item(number, cast("Aggregate", _EXTREMES[match[name]]))) for name in ("one", "two"))


@EXTREMES(rf"(?P<one>{EXTREME})(?: value| number| amount)?(?: of)?(?: all)? {{C:c}}")
def extreme(reading: Reading, match: re.Match[str]) -> str | None:
    """“the highest price”, when no thing is said to have it."""
    column = reading.mention(match["c"]).columns[0][0]
    if column.is_text:
        return None
    return reading.fold(Item(int(match["c"]), cast("Aggregate", _EXTREMES[match["one"]])))
