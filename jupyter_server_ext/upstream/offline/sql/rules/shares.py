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

SHARES = Rules({"share": "share|shares|percentage|percentages|percent|proportion|fraction|ratio|rate"})

POSITIVE = Rules()


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
