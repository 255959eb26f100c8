"""Figures made of two: “max minus min of price”, “ratio of x to y”, “correlation of x and y”."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..query import Item, Value
from ..reading import Reading, Rules
from .folding import FUNCTIONS, aggregate, is_measure
from .vocabulary import WORDS

if TYPE_CHECKING:
    from ..query import Sign

_SIGNS: dict[str, Sign] = {
    "plus": "+", "+": "+", "minus": "-", "-": "-", "times": "*", "multiplied by": "*", "*": "*", "divided by": "/",
    "/": "/",
}  # fmt: skip
_SIGN = "|".join(map(re.escape, _SIGNS))
_WORDS = {
    **WORDS,
    "sign": _SIGN,
    "function": "|".join(FUNCTIONS),
    "corr": "correlations?|corr|cor|correlated?|correlates",
}
SPANNING = Rules(_WORDS)
ARITHMETIC = Rules(_WORDS)


@SPANNING(
    "(difference|range) between {function:f}( and)? {function:g}( values?)?( of)? {C:x}",
    "{function:f} (minus|-) {function:g}( values?)?( of)? {C:x}",
    "(?P<range>range)( of)? {C:x}",
)
def span(reading: Reading, match: re.Match[str]) -> str | None:
    """“max minus min of price”, “range of price”."""
    if not is_measure(reading.mention(match["x"])):
        return None
    names = match.groupdict()
    first, second = ("max", "min") if names.get("range") else (names["f"], names["g"])
    if "between" in match[0] and FUNCTIONS[first] == "min":
        first, second = second, first
    left, right = (aggregate(match["x"], word) for word in (first, second))
    return reading.fold(Item(aggregate=left.aggregate, sign="-", pair=(left, right)))


def _side(reading: Reading, kind: str, mark: str) -> Item | Value | None:
    """One side of a calculation: a number, or something that measures."""
    if kind == "N":
        return Value(reading.mention(mark).text, reading.mention(mark).number)
    item = reading.item(mark)
    return item if item.computed or is_measure(reading.mention(mark)) else None


@ARITHMETIC(
    "{corr}( coefficient)?( (of|between))? {K:x}( ,)?( (and|with|to|vs|versus))? {K:y}",
    "{K:x} (is )?{corr} (with|to) {K:y}",
)
def correlation(reading: Reading, match: re.Match[str]) -> str | None:
    """“correlation of x and y”."""
    if not all(is_measure(reading.mention(match[name])) for name in "xy"):
        return None
    return reading.fold(Item(aggregate="corr", pair=(Item(int(match["x"])), Item(int(match["y"])))))


@ARITHMETIC(r"‹(?P<k>[ACN])(?P<x>\d+)› {sign:sign} ‹(?P<l>[ACN])(?P<y>\d+)›")
def calculation(reading: Reading, match: re.Match[str]) -> str | None:
    """“x plus y”, “sum of x / sum of y”; one sign only, as nothing here knows which of two binds more."""
    if len(re.findall(rf"(?<!\S)(?:{_SIGN})(?!\S)", reading.text)) > 1:
        return None
    return _calculated(reading, match, _SIGNS[match["sign"]])


@ARITHMETIC(
    r"ratio (of|between) ‹(?P<k>[AC])(?P<x>\d+)› (to|and|over) ‹(?P<l>[AC])(?P<y>\d+)›",
    r"‹(?P<k>[AC])(?P<x>\d+)› to ‹(?P<l>[AC])(?P<y>\d+)› ratio",
)
def ratio(reading: Reading, match: re.Match[str]) -> str | None:
    """“ratio of x to y”."""
    return _calculated(reading, match, "/")


@ARITHMETIC(r"difference (of|between) ‹(?P<k>[AC])(?P<x>\d+)› and ‹(?P<l>[AC])(?P<y>\d+)›")
def difference(reading: Reading, match: re.Match[str]) -> str | None:
    """“difference between x and y”."""
    return _calculated(reading, match, "-")


def _calculated(reading: Reading, match: re.Match[str], sign: Sign) -> str | None:
    left, right = _side(reading, match["k"], match["x"]), _side(reading, match["l"], match["y"])
    if not isinstance(left, Item) or right is None or left.pair or (isinstance(right, Item) and right.pair):
        return None
    if isinstance(right, Item) and bool(left.aggregate) != bool(right.aggregate):
        return None
    return reading.fold(Item(aggregate=left.aggregate, sign=sign, pair=(left, right)))
