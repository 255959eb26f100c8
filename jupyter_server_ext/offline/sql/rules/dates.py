"""Years and other parts of dates: “in 2013”, “between 2014 and 2017”, “per month”."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...words import stem
from ..lexicon import likeness
from ..linking import Mention
from ..query import Item, Operator, Part, Value
from ..reading import Reading, Rules
from .comparing import compare, value_of
from .which_date import named_date, one_of, spoken_of

if TYPE_CHECKING:
    from ..schema import Column, Table

TIMES = Rules(
    {
        "in": "in or after|in or before|in|since|after|before|until|during|by|of|from|for|on",
        "then": "((?P<verb>[a-z]+) )?((was|were|is|are|been) )?",
    }
)
_SIGNS: dict[str, Operator] = {
    "since": ">=",
    "after": ">",
    "before": "<",
    "until": "<=",
    "in or after": ">=",
    "in or before": "<=",
}
PARTS: dict[str, Part] = {
    "year": "year",
    "years": "year",
    "yearly": "year",
    "annual": "year",
    "quarter": "quarter",
    "quarters": "quarter",
    "month": "month",
    "months": "month",
    "monthly": "month",
    "week": "week",
    "weeks": "week",
    "weekly": "week",
    "day": "day",
    "days": "day",
    "daily": "day",
    "hour": "hour",
    "hours": "hour",
    "hourly": "hour",
    "weekday": "weekday",
    "weekdays": "weekday",
    "day of the week": "weekday",
    "day of week": "weekday",
    "date": "date",
}
"""Words for parts of a date."""


_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_SHORT = {name[:3]: place + 1 for place, name in enumerate(_MONTHS)} | {"sept": 9}
MONTHS = {name: place + 1 for place, name in enumerate(_MONTHS)} | _SHORT
"""Numbers of months by name."""
WEEKDAYS = {
    name: place
    for place, name in enumerate(("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"))
}
"""Numbers of weekdays by name, Sunday first."""

_MONTH = "|".join(name for name in MONTHS if name != "may")


@TIMES(
    f"((in|during|for|of|on|the) )*(month of )?(?P<month>{_MONTH})( {{N:day}}(?= |$))?( of| ,)?( {{N:year}})?",
    "(in|during|for|of) (month of )?(?P<month>may)( {N:day}(?= |$))?( of| ,)?( {N:year})?",
    f"((on|the) )*{{N:day}}(st|nd|rd|th)?( of)? (?P<month>{_MONTH}|may)( of| ,)?( {{N:year}})?",
)
def in_month(reading: Reading, match: re.Match[str]) -> str | None:
    """“in July”, “on January 5”, “March 2013”."""
    item = calendar_item(reading, match.start(), "month")
    if item is None:
        return None
    day, year = (reading.mention(match[name]).number if match[name] else None for name in ("day", "year"))
    if day is not None and day > 31:
        day, year = None, day
    compare(reading, match, item, "=", _number(MONTHS[match["month"]]))
    for part, value in (("day", day), ("year", year)):
        if value is not None:
            other = calendar_item(reading, match.start(), part)  # type: ignore[arg-type]
            if other is None:
                return None
            compare(reading, match, other, "=", _number(value))
    return ""


@TIMES(f"((on|in|for) )?(?P<day>{'|'.join(WEEKDAYS)})s?")
def on_weekday(reading: Reading, match: re.Match[str]) -> str | None:
    """“on Mondays”."""
    item = calendar_item(reading, match.start(), "weekday")
    if item is None:
        return None
    return compare(reading, match, item, "=", _number(WEEKDAYS[match["day"]]))


def _number(value: float) -> Value:
    return Value(f"{value:g}", float(value))


@TIMES(
    "({C:c} )?((was|were|is|are) )?(?P<how>before|after|since|until|on|in|from|by|dated)( date)? {V:v}",
    "({C:c} )?(?P<how>between|from) {V:v} (and|to|until) {V:w}",
)
def date_compared(reading: Reading, match: re.Match[str]) -> str | None:
    """“after 2002-06-21”, “reported before 2002-06-21”."""
    days = [reading.mention(match[name]).text for name in "vw" if match.groupdict().get(name)]
    if not all(re.match(r"\d{4}-\d{2}-\d{2}", text) for text in days):
        return None
    named = named_date(reading, match["c"])
    if named is None and match["c"]:
        return None
    item = named or _dated(reading, match.start())
    if item is None:
        return None
    sign: Operator = "between" if len(days) > 1 else _SIGNS.get(match["how"], "=")
    return compare(reading, match, item, sign, *map(Value, days))


def _dated(reading: Reading, position: int) -> Item | None:
    """The date that a day is compared with, in the table spoken of."""
    owner = spoken_of(reading, position)
    tables = [t for t, _ in reading.mentions[owner].tables] if owner is not None else []
    verb = (reading.text[:position].split() or [""])[-1]
    for table in tables:
        dates = [c for c in table.columns if c.is_time or {"date", "time"} & set(c.words)]
        if dates:
            return _item(reading, one_of(reading, [(table, column) for column in dates], verb), owner, "")
    return None


@TIMES("{then}((in|during|for) )?(year |years )?(between|from) {N:a} (and|to|until) {N:b}")
def years_between(reading: Reading, match: re.Match[str]) -> str | None:
    """“between 2014 and 2017”."""
    years = [reading.mention(match[name]).number for name in "ab"]
    column = year_column(reading, match.start(), years, match["verb"] or "")
    if column is None:
        return None
    compare(reading, match, column, "between", value_of(reading, match["a"]), value_of(reading, match["b"]))
    return _unheard(reading, match["verb"], column)


@TIMES("{then}(in|during|for|of|from)( years?)* {N:a} (and|or) ((in|during) )?{N:b}(?! ‹)")
def years_listed(reading: Reading, match: re.Match[str]) -> str | None:
    """“in 2023 or 2024”."""
    years = [reading.mention(match[name]).number for name in "ab"]
    column = year_column(reading, match.start(), years, match["verb"] or "")
    if column is None:
        return None
    compare(reading, match, column, "in", value_of(reading, match["a"]), value_of(reading, match["b"]))
    return _unheard(reading, match["verb"], column)


@TIMES("{then}{in:how}( (year|years|of|the))* {N:n}( or (?P<after>later|after|earlier|before))?")
def year_compared(reading: Reading, match: re.Match[str]) -> str | None:
    """“before 1900”, “in 2013”."""
    column = year_column(reading, match.start(), [reading.mention(match["n"]).number], match["verb"] or "")
    if column is None:
        return None
    sign = _SIGNS.get(match["how"], "=")
    if match["after"]:
        sign = ">=" if match["after"] in {"later", "after"} else "<="
    compare(reading, match, column, sign, value_of(reading, match["n"]))
    return _unheard(reading, match["verb"], column)


def _unheard(reading: Reading, verb: str | None, item: Item) -> str:
    """A verb that did not choose the column, for other rules."""
    words = reading.mentions[item.mention or 0].columns[0][0].words
    return "" if verb and any(likeness(stem(verb), word) >= _ALIKE for word in words) else verb or ""


_ALIKE = 0.75


def year_column(reading: Reading, position: int, years: list[float | None], verb: str) -> Item | None:
    """The year column, or the year of the date, that a number between 1000 and 2999 speaks of."""
    if any(year is None or not 1000 <= year <= 2999 or year % 1 for year in years):
        return None
    owner = spoken_of(reading, position)
    tables = [t for t, _ in reading.mentions[owner].tables] if owner is not None else []
    for table in tables or reading.schema.tables:
        columns = [c for c in table.columns if _may_hold_years(c)]
        named = [c for c in columns if verb and any(likeness(stem(verb), word) >= 0.75 for word in c.words)]
        plain = [c for c in columns if "year" in c.words]
        for some in (named, [c for c in plain if c.words == ("year",)], plain, columns):
            if len(some) == 1:
                return _item(reading, some[0], owner, "year" if some[0].is_time else "")
        if columns and all(column.is_time for column in columns):
            chosen = one_of(reading, [(table, column) for column in columns], verb)
            return _item(reading, chosen, owner, "year")
    return None


_FIRST_YEAR, _LAST_YEAR = 1500, 2100


def _may_hold_years(column: Column) -> bool:
    """Dates, and numbers that are called or look like years."""
    if column.is_time:
        return True
    if not column.is_number:
        return "year" in column.words
    low, high = _as_number(column.facts.low), _as_number(column.facts.high)
    ranged = low is not None and high is not None and _FIRST_YEAR <= low <= high <= _LAST_YEAR and not column.measures
    called = bool({"year", "founded", "established", "built", "opened", "founding", "yr"} & set(column.words))
    return (called and not (low is not None and low < 1000)) or (ranged and not column.is_id)


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def calendar_item(reading: Reading, position: int, part: Part) -> Item | None:
    """The column of that part of a date in the table spoken of, else that part of its date column."""
    owner = spoken_of(reading, position)
    for table in _tables_meant(reading, owner):
        named = [c for c in table.columns if part in c.words]
        dates = [c for c in table.columns if c.is_time]
        if len(named) == 1 or (named and named[0].words == (part,)):
            return _item(reading, named[0], owner, "")
        if not named and dates:
            return _item(reading, one_of(reading, [(table, column) for column in dates], ""), owner, part)
    return None


def _tables_meant(reading: Reading, owner: int | None) -> list[Table]:
    """The tables spoken of, else the only one that all named columns are in."""
    if owner is not None:
        return [table for table, _ in reading.mentions[owner].tables]
    holders = [{column.table for column, fit in m.columns if fit > 0.9} for m in reading.mentions if m.columns]
    common = set.intersection(*holders) if holders else set()
    return [reading.schema[name] for name in common] if len(common) == 1 else []


def _item(reading: Reading, column: Column, owner: int | None, part: Part) -> Item:
    number = reading.add(Mention(0, 0, part or column.name, columns=((column, 1.0),)))
    if owner is not None:
        reading.owners[number] = owner
    return Item(number, part=part)
