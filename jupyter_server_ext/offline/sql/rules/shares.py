"""Shares and percentages: “share of flights delayed by more than an hour”."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..constants import flag_values
from ..linking import Mention
from ..query import Condition, Item, Value
from ..reading import Reading, Rules
from .comparing import COMPARING, compare
from .dates import TIMES
from .folding import are_kinds
from .valuing import CALLING, VALUING
from .vocabulary import WORDS

if TYPE_CHECKING:
    import re

_PART = "share|shares|percentage|percentages|percent|proportion|fraction"
SHARES = Rules({**WORDS, "part": _PART})

POSITIVE = Rules(WORDS)
_MOMENTS = frozenset({"date", "time", "year", "month", "day"})


@POSITIVE(
    "(?P<neg>(not|non) )?{K:x} {T:t}",
    "^(?P<neg>(not|non) ){K:x}$",
    "where (?P<neg>not )?{K:x}(?=$| (and|by|per|for) )",
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
    table = match.groupdict().get("t")
    return f"‹{reading.mention(table).letter}{table}›" if table else ""


@POSITIVE("(?P<many>(how many|number of|count)(?P<values>( ‹V\\d+›)*)( (were|are|is|do))? )?{K:x}")
def flagged_things(reading: Reading, match: re.Match[str]) -> str | None:
    """“smokers”, “how many smokers”: the rows of the one table for which a column says yes."""
    mention, tables = reading.mention(match["x"]), reading.schema.tables
    flags = flag_values(mention.columns[0][0])
    plural = mention.text.endswith("s") and mention.text.lower() != mention.columns[0][0].name.lower()
    if len(tables) > 1 or flags is None or mention.columns[0][0].is_number or not (plural or match["many"]):
        return None
    reading.draft.where.append(Condition(Item(int(match["x"])), "=", (flags[0],)))
    rows = reading.add(Mention(0, 0, mention.text, tables=((tables[0], 1.0),)))
    return f"how many{match['values']} ‹T{rows}›" if match["many"] else f"‹T{rows}›"


@POSITIVE("{lead}{C:x} ({be} )*(?P<neg>not |!= |<> )?(= )?(?P<flag>true|false|yes|no)(?! ‹)")
def said_flag(reading: Reading, match: re.Match[str]) -> str | None:
    """“returned = true”, “smoker is no”."""
    flags = flag_values(reading.mention(match["x"]).columns[0][0])
    if flags is None:
        return None
    false = (match["flag"] in {"false", "no"}) != bool(match["neg"])
    return compare(reading, match, Item(int(match["x"])), "=", flags[false])


@POSITIVE("{K:x} {T:t}", "{T:t} (that |which )?(is |are |was |were )?{K:x}(?=$| (per|for each|in each|,|\\.))")
def positive(reading: Reading, match: re.Match[str]) -> str | None:
    """“delayed flights”: those with more than nothing of it."""
    mention = reading.mention(match["x"])
    columns = [column for column, _ in mention.columns]
    if not mention.is_participle or not columns or not columns[0].is_number or _MOMENTS & set(columns[0].words):
        return None
    reading.draft.where.append(Condition(Item(int(match["x"])), ">", (Value("0", 0.0),)))
    reading.draft.notes.append(f"I took “{mention.text}” as more than 0.")
    return f"‹{reading.mention(match['t']).letter}{match['t']}›"


@SHARES(
    "{part:what} of( all)? (?P<before>(‹[VC]\\d+› )*){T:t}(?P<rest>.*?)(?=( ,)? (by ‹[TCB]|by (year|month|week|day|"
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


@SHARES("{part:what} of( all| the)? {K:x}(?! ‹)")
def flag_share(reading: Reading, match: re.Match[str]) -> str | None:
    """“percentage of smokers”, by a column that says yes or no."""
    flags = flag_values(reading.mention(match["x"]).columns[0][0])
    if flags is None:
        return None
    condition = Condition(Item(int(match["x"])), "=", (flags[0],))
    return reading.fold(Item(None, "avg", share=(condition,), percent=match["what"].startswith("percent")))


@SHARES("{part:what} of( {T})?( (with|where|values?|a))* {missing}( values?)?( (in|of|for))? {K:x}")
def missing_share(reading: Reading, match: re.Match[str]) -> str | None:
    """“share of missing prices”."""
    condition = Condition(Item(int(match["x"])), "null")
    return reading.fold(Item(None, "avg", share=(condition,), percent=match["what"].startswith("percent")))


@SHARES("^(show |plot |list )*{part:what}( of( all)? {T:t})? (of each|for each|in each|of every|per|by|by each) {K:x}$")
def portions(reading: Reading, match: re.Match[str]) -> str | None:
    """“share of each city”: of all rows."""
    if not are_kinds(reading.mention(match["x"])):
        return None
    reading.draft.group.append(Item(int(match["x"])))
    return reading.fold(Item(None, "count", portion=True, percent=match["what"].startswith("percent")))
