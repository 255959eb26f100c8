"""The facts that follow a column's name and type, in DDL comments and in descriptions of frames alike.

The grammar: facts joined by "; ", each one of ``low..high`` (``≈``: rounded, or of a sample), ``values: 'a', 'b', …``,
``N distinct``, ``unique``, ``P% NULL`` or ``P% NA``, ``[unit]``, or free text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_RANGE = re.compile(r"^(≈?)\s*(\S.*?)\s*\.\.\s*(≈?)(\S.*)$")
_DISTINCT = re.compile(r"^(≈?)\s*([\d,]+) distinct$")
_MISSING = re.compile(r"^[<≈]?\s*([\d.]+)\s*% (?:NULL|NA|NaN|missing)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a column.

    Args:
        low: Smallest value as text.
        high: Largest value as text.
        values: Category values.
        complete: True when ``values`` are all there are.
        distinct: Number of distinct values.
        unique: True when no value repeats.
        missing: Percentage of missing values, 0 to 100.
        unit: Unit of measurement.
        text: Free description.
        about: Which of ``low``, ``high`` and ``distinct`` are rounded or come from a sample.
    """

    low: str = ""
    high: str = ""
    values: tuple[str, ...] = ()
    complete: bool = False
    distinct: int | None = None
    unique: bool = False
    missing: float | None = None
    unit: str = ""
    text: str = ""
    about: frozenset[str] = frozenset()


def split(text: str) -> list[str]:
    """The facts of a comment, cut at semicolons outside quotes.

    Example:
        >>> split("values: 'a; b', 'c'; 2% NULL")
        ["values: 'a; b', 'c'", '2% NULL']
    """
    parts, start, quoted = [], 0, False
    for index, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif char == ";" and not quoted:
            parts.append(text[start:index])
            start = index + 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def parse(text: str) -> Facts:
    """The facts of a comment.

    Example:
        >>> parse("17..4983; [miles]; great-circle distance").unit
        'miles'
    """
    facts = Facts()
    for part in split(text):
        facts = _add(facts, part)
    return facts


def _add(facts: Facts, part: str) -> Facts:
    """The facts with one more; text that fits no form is free description."""
    if match := _DISTINCT.match(part):
        estimated = facts.about | {"distinct"} if match[1] else facts.about
        return replace(facts, distinct=int(match[2].replace(",", "")), about=estimated)
    for reader in (_values, _marked, _figure):
        if found := reader(part):
            return replace(facts, **found)
    if (match := _RANGE.match(part)) and not facts.text:
        about = {name for name, mark in (("low", match[1]), ("high", match[3])) if mark}
        return replace(facts, low=match[2].strip("'"), high=match[4].strip("'"), about=facts.about | about)
    return replace(facts, text=f"{facts.text}; {part}" if facts.text else part)


def _values(part: str) -> dict[str, Any]:
    if not part.startswith("values:"):
        return {}
    values = tuple(value.replace("''", "'") for value in _QUOTED.findall(part))
    return {"values": values, "complete": not part.rstrip().endswith(("…", "..."))}


def _marked(part: str) -> dict[str, Any]:
    if part == "unique":
        return {"unique": True}
    return {"unit": part[1:-1].strip()} if part.startswith("[") and part.endswith("]") else {}


def _figure(part: str) -> dict[str, Any]:
    match = _MISSING.match(part)
    return {"missing": float(match[1])} if match else {}
