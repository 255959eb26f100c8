"""Months, quarters and other stretches of time in words: “in March 2024”, “Q1 2024”, “last month”."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...words import root, word_set
from ..lexicon import RELATION_VERBS
from ..linking import Mention
from ..periods import Period, before, current, month_up_to, months, past, quarter, until, year, years
from ..query import Item, NotUnderstood, Operator, Value
from ..reading import Reading, Rules
from .comparing import compare
from .dates import MONTHS
from .which_date import circles, date_meant, dates_of, named_date, spoken_of

if TYPE_CHECKING:
    from datetime import date

    from ..schema import Column

_ORDINALS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4, "last": 4}
_UNITS = ("day", "week", "month", "quarter", "year")
_TO = "(to|until|till|through|up to)"

PERIODS = Rules(
    {
        "month": "|".join(MONTHS),
        "ordinal": "|".join(_ORDINALS),
        "of": "( of| in| ,)?( year)?",
        "unit": "days?|weeks?|months?|quarters?|years?|‹C\\d+›",
        "in": "in|during|for|of|on|from|within|over|at|into|throughout|all|dated|by|made|created",
    }
)


@PERIODS("(month of )?{month:m}{of} {N:y}")
def month_of_year(reading: Reading, match: re.Match[str]) -> str | None:
    """“March 2024”."""
    whole = _year(reading, match["y"])
    return _fold(reading, months(whole, MONTHS[match["m"]])) if whole else None


@PERIODS("q(?P<q>[1-4]){of} {N:y}", "{N:y} ,?q(?P<q>[1-4])", "(?P<o>{ordinal}) quarter{of} {N:y}")
def quarter_of_year(reading: Reading, match: re.Match[str]) -> str | None:
    """“Q1 2024”, “the first quarter of 2024”."""
    whole, groups = _year(reading, match["y"]), match.groupdict()
    number = int(groups["q"]) if groups.get("q") else _ORDINALS[match["o"]]
    return _fold(reading, quarter(whole, number)) if whole else None


@PERIODS("(?P<o>first|second|1st|2nd) half{of} {N:y}")
def half_of_year(reading: Reading, match: re.Match[str]) -> str | None:
    """“the first half of 2024”."""
    whole = _year(reading, match["y"])
    return _fold(reading, months(whole, 6 * _ORDINALS[match["o"]] - 5, 6)) if whole else None


@PERIODS("(?P<day>today|yesterday)")
def near_day(reading: Reading, match: re.Match[str]) -> str | None:
    """“yesterday”."""
    return _relative(reading, match, (before if match["day"] == "yesterday" else current)("day", _today(reading)))


@PERIODS("(?P<which>this|current|last|previous|past) (?P<unit>{unit})(?! (‹[CTN]|ago))")
def near_unit(reading: Reading, match: re.Match[str]) -> str | None:
    """“last month”, “this year”."""
    unit = _unit(reading, match["unit"])
    if unit is None or match["unit"].endswith("s"):
        return None
    made = current if match["which"] in {"this", "current"} else before
    return _relative(reading, match, made(unit, _today(reading)))


@PERIODS("(last|past|previous) {N:n} (?P<unit>{unit})")
def last_units(reading: Reading, match: re.Match[str]) -> str | None:
    """“the last 30 days”."""
    unit, count = _unit(reading, match["unit"]), reading.mention(match["n"]).number
    if unit is None or count is None or count != int(count) or not 1 <= count <= 1000:
        return None
    return _relative(reading, match, past(int(count), unit, _today(reading)))


@PERIODS("(last|previous|past) {month:m}")
def last_month_named(reading: Reading, match: re.Match[str]) -> str | None:
    """“last March”."""
    return _relative(reading, match, month_up_to(MONTHS[match["m"]], _today(reading)))


@PERIODS(f"(?P<how>between|from) {{month:m}} (and|{_TO}) {{P:b}}", f"{{month:m}} (?P<how>{_TO}) {{P:b}}")
def months_between(reading: Reading, match: re.Match[str]) -> str | None:
    """“between March and May 2024”: the year belongs to both."""
    end = reading.periods[int(match["b"])]
    number = MONTHS[match["m"]]
    if end != months(end.start.year, end.start.month):
        return None
    begun = end.start.year - (number > end.start.month)
    return _fold(reading, until(months(begun, number), end))


@PERIODS("{month:m} (?P<join>and|or|,) {P:b}")
def months_listed(reading: Reading, match: re.Match[str]) -> str | None:
    """“March and April 2024”: the year belongs to both."""
    other = reading.periods[int(match["b"])]
    if other != months(other.start.year, other.start.month):
        return None
    return f"{_fold(reading, months(other.start.year, MONTHS[match['m']]))} {match['join']} ‹P{match['b']}›"


@PERIODS(f"(between|from) {{P:a}} (and|{_TO}) {{P:b}}", f"{{P:a}} {_TO} {{P:b}}")
def spanning(reading: Reading, match: re.Match[str]) -> str | None:
    """“between March 2023 and May 2024”."""
    one, other = (reading.periods[int(match[name])] for name in "ab")
    return _fold(reading, until(one, other)) if one.start < other.end else None


_HOW: dict[str, Operator] = {"since": ">=", "after": ">", "before": "<", "until": "<=", "": "="}


@PERIODS(
    "((?P<joined>or) ((that|which|who|were|was|are|is) )*)?"
    "(?P<lead>{C:c} |(?!{in} |since |after |before |until )(?P<verb>[a-z]+) )?"
    "(((was|were|is|are|be) )?(?P<how>since|after|before|until) |({in} )*)(the )?"
    "{P:a}(?P<more>( ,| and| or| , and| , or)( in| during)? {P})*"
)
def in_period(reading: Reading, match: re.Match[str]) -> str | None:
    """Each period as bounds of the one date that can be meant."""
    spans = [reading.periods[int(number)] for number in re.findall(r"‹P(\d+)›", match[0])]
    sign = _HOW[match["how"] or ""]
    if len(spans) > 1 and sign != "=":
        raise NotUnderstood("I read only one time after “before” or “after”")
    if len(spans) > 1 and re.search(r" and\b", match[0]):
        reading.draft.notes.append(f"I took {' and '.join(span.words for span in spans)} together.")
    named = named_date(reading, match["c"])
    place = match.end("lead") if match["lead"] else match.start()
    if named is None and _by_parts(reading, match, place, sign, spans):
        return _kept(match)
    item = named or date_meant(reading, place, match["verb"] or "")
    compare(reading, match, item, "in" if len(spans) > 1 else sign, *(Value(s.words, period=s) for s in spans))
    return ("" if named and _only_says_when(reading, match) else _kept(match)) or ""


def _kept(match: re.Match[str]) -> str:
    """What stands before the time is for other rules, unless it only ties the two together: “placed in March 2024”."""
    return "" if root(match["verb"] or "") in _TYING else (match["lead"] or "").strip()


_TYING = {root(verb) for verb in RELATION_VERBS} - {"not", "cancel"}


def _only_says_when(reading: Reading, match: re.Match[str]) -> bool:
    """Whether a date's name belongs to the condition alone: “visits started in March 2024”."""
    words = reading.text[: match.start()].split()
    before_it = words[-1] if words else ""
    return reading.mention(match["c"]).is_verb or before_it.startswith("‹T") or before_it in _LEADING


_LEADING = word_set("whose with where having had has which that and or who when is was")


def _by_parts(reading: Reading, match: re.Match[str], place: int, sign: Operator, spans: list[Period]) -> bool:
    """Whether the time was put as whole months of numeric ``year`` and ``month`` columns, where a table has these."""
    parts, span = _part_columns(reading, place), spans[0]
    whole = span.whole_months and span.start.year == span.last.year and len(spans) == 1
    if not parts or not whole or not (sign == "=" or _is_only_year(parts[0], span.start.year)):
        return False
    year_item, month_item = (Item(reading.add(Mention(0, 0, c.name, columns=((c, 1.0),)))) for c in parts)
    first, last = span.start.month, span.last.month
    if sign != "=":
        compare(reading, match, month_item, sign, _number(first if sign in {"<", ">="} else last))
        return True
    compare(reading, match, year_item, "=", _number(span.start.year))
    if first == last:
        compare(reading, match, month_item, "=", _number(first))
    elif span != years(span.start.year):
        compare(reading, match, month_item, "between", _number(first), _number(last))
    return True


def _part_columns(reading: Reading, place: int) -> list[Column]:
    """The year and the month column of the nearest table that says anything of time; none where it has a date alone."""
    for tables in circles(reading, spoken_of(reading, place)):
        parts = [[c for t in tables for c in t.columns if c.words == (part,) and c.is_number] for part in _PARTS]
        if all(len(found) == 1 for found in parts) and parts[0][0].table == parts[1][0].table:
            return [parts[0][0], parts[1][0]]
        if any(dates_of(table) for table in tables):
            return []
    return []


def _is_only_year(column: Column, year: int) -> bool:
    """Whether a column is known to hold one year alone, so that its months can be compared by themselves."""
    known = {*column.facts.values, column.facts.low, column.facts.high} - {""}
    return known == {str(year)}


_PARTS = ("year", "month")


def _number(value: int) -> Value:
    return Value(str(value), float(value))


# --- reading ---------------------------------------------------------------------------------------------------------


def _year(reading: Reading, mark: str) -> int:
    """The year that a number is; 0 for a number that is none."""
    found = year(reading.mention(mark).number)
    return found.start.year if found else 0


def _unit(reading: Reading, said: str) -> str | None:
    """The unit of time that a word is, also where a column is called so."""
    mark = re.fullmatch(r"‹C(\d+)›", said)
    word = reading.mention(mark[1]).text.lower() if mark else said
    return word.removesuffix("s") if word.removesuffix("s") in _UNITS else None


def _today(reading: Reading) -> date:
    if reading.today is None:
        raise NotUnderstood("I do not know what day it is")
    return reading.today


def _relative(reading: Reading, match: re.Match[str], span: Period) -> str:
    said = re.sub(r"‹[A-Z](\d+)›", lambda mark: reading.mention(mark[1]).text, match[0])
    reading.draft.notes.append(f"I took “{said}” as {span.words}.")
    return _fold(reading, span)


def _fold(reading: Reading, span: Period) -> str:
    """Put a period into the text as one mark."""
    number = 2000 + len(reading.periods)
    reading.periods[number] = span
    return f"‹P{number}›"
