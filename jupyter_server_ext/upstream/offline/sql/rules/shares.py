"""Shares and percentages: “share of flights delayed by more than an hour”."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..query import Condition, Item, Value
from ..reading import Reading, Rules
from .comparing import COMPARING
from .dates import TIMES
from .valuing import CALLING, VALUING

if TYPE_CHECKING:
    import re

    from ..schema import Column

SHARES = Rules({"share": "share|shares|percentage|percentages|percent|proportion|fraction|ratio|rate"})

POSITIVE = Rules()


def flag_values(column: Column) -> tuple[Value, Value] | None:
    """The true and the false value of a column that only says yes or no."""
    if column.is_truth:
        return Value("true"), Value("false")
    values = {value.lower(): value for value in column.facts.values}
    for true, false in (("y", "n"), ("yes", "no"), ("t", "f"), ("true", "false"), ("1", "0")):
        if values and set(values) <= {true, false}:
            return Value(values.get(true, true)), Value(values.get(false, false))
    if (column.facts.low, column.facts.high) == ("0", "1"):
        return Value("1", 1.0), Value("0", 0.0)
    return None


@POSITIVE(
    "(?P<neg>(not|non) )?{K:x} {T:t}",
    "{T:t} (that |which |who )?((is|are|was|were|has|have|had|been) )+(?P<neg>not )?{K:x}(?! ‹[VLN])",
    "{T:t} (?P<neg>not )?{K:x}(?=$| (per|for each|in each|by|,|\\.))",
)
def flagged(reading: Reading, match: re.Match[str]) -> str | None:
    """“cancelled flights”, “books that were not returned”: by a column that says yes or no."""
    number = int(match["x"])
    flags = flag_values(reading.mentions[number].columns[0][0])
    if flags is None:
        return None
    reading.draft.where.append(Condition(Item(number), "=", (flags[bool(match["neg"])],)))
    return f"‹{reading.mention(match['t']).letter}{match['t']}›"


@POSITIVE("{K:x} {T:t}", "{T:t} (that |which )?(is |are |was |were )?{K:x}(?=$| (per|for each|in each|,|\\.))")
def positive(reading: Reading, match: re.Match[str]) -> str | None:
    """“delayed flights”: those with more than nothing of it."""
    mention = reading.mention(match["x"])
    columns = [column for column, _ in mention.columns]
    if not mention.is_participle or not columns or not columns[0].is_number:
        return None
    reading.draft.where.append(Condition(Item(int(match["x"])), ">", (Value("0", 0.0),)))
    reading.draft.notes.append(f"I took “{mention.text}” as more than 0.")
    return f"‹{reading.mention(match['t']).letter}{match['t']}›"


@SHARES(
    "{share:what} of( all)? (?P<before>(‹[VC]\\d+› )*){T:t}(?P<rest>.*?)(?=( ,)? (by ‹[TCB]|by (year|month|week|day|"
    "hour|weekday|quarter)|per|for each|in each|of each|for every|grouped by|sorted|ordered)|$)"
)
def share(reading: Reading, match: re.Match[str]) -> str | None:
    """“share of flights delayed by more than an hour”: of all rows, those that satisfy the conditions."""
    part = Reading(f"{match['before']}‹T{match['t']}›{match['rest']}", reading.mentions, reading.schema)
    part.owners, part.items = reading.owners, reading.items
    for rules in (COMPARING, TIMES, CALLING, VALUING, POSITIVE):
        part.apply(rules)
    if not part.draft.where:
        return None
    reading.draft.notes += part.draft.notes
    number = int(match["t"])
    reading.draft.tables.append(number)
    percent = match["what"].startswith("percent")
    item = Item(number, "avg", share=tuple(part.draft.where), percent=percent)
    left = part.text.replace(f"‹T{number}›", "", 1)
    return f"{reading.fold(item)} {left}"
