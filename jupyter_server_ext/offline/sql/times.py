"""Times in words, “in March 2024”, “since last month”, and the one date column that each can be about."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import stems

from .draft import Condition, Draft, Item, NotUnderstood, Value
from .periods import Period, before, current, day, months, past, quarter, until, years

if TYPE_CHECKING:
    from datetime import date

    from .draft import Name, Operator
    from .schema import Field
    from .scope import Scope

COMPARING = {"=": exp.EQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_BOOKKEEPING = frozenset(
    stem
    for w in ["updated", "modified", "changed", "deleted", "loaded", "inserted", "synced", "birth", "born"]
    for stem in stems(w)
)
_MOMENT = frozenset(
    stem for word in ["date", "time", "timestamp", "datetime", "day", "at", "on"] for stem in stems(word)
)


def month_of_year(month: int, year: int) -> Period:
    """“March 2024”."""
    return months(year, month)


def quarter_of_year(number: int, year: int) -> Period | None:
    """“Q1 2024”."""
    return quarter(year, number) if 1 <= number <= 4 else None


def one_day(value: Value) -> Period | None:
    """“March 5, 2024”."""
    return day(value.text)


def this_unit(unit: str, today: date) -> Period:
    """“this year”."""
    return replace(current(unit, today), phrase="today" if unit == "day" else f"this {unit}")


def unit_before(unit: str, today: date) -> Period:
    """“last month”."""
    return replace(before(unit, today), phrase="yesterday" if unit == "day" else f"last {unit}")


def units_before(count: Value, unit: str, today: date) -> Period | None:
    """“the last 30 days”."""
    whole = int(count.number or 0)
    if whole != count.number or not 1 <= whole <= 1000:
        return None
    return replace(past(whole, unit, today), phrase=f"last {whole} {unit}s")


def from_to(one: Period, other: Period) -> Period | None:
    """“between March 2023 and May 2024”."""
    return until(one, other) if one.start < other.end else None


def months_to(month: int, other: Period) -> Period | None:
    """“between March and May 2024”: the year belongs to both."""
    if other != months(other.start.year, other.start.month):
        return None
    return until(months(other.start.year - (month > other.start.month), month), other)


def in_time(period: Period, sign: Operator = "=", event: Name | None = None) -> Draft:
    """“(shipped) in March 2024”, “since last month”, with a note of the month that it is taken for."""
    notes = (f"I took “{period.phrase}” as {period.words}.",) if period.phrase else ()
    return Draft(where=(Condition(Item(event) if event else None, sign, period=period),), notes=notes)


def in_month(month: int) -> Draft:
    """“in December”: of a column for the month."""
    return Draft(where=(Condition(Item(part="month"), "=", (Value(str(month), float(month)),)),), cost=2)


def date_of(scope: Scope, table: str, period: str = "") -> Field:
    """The one date column of a table that a time can be about; a choice among several is noted."""
    for tables in (
        [table],
        list(scope.resolver.named),
        [step.table for step in scope.joins.from_table(table) if not step.to_many],
    ):
        found = [field for name in tables for field in scope.names.fields[name] if holds_dates(field)]
        if found:
            return _chosen(scope, found)
    raise NotUnderstood(
        f"I see no column with dates in {table} that {f'“{period}”' if period else 'a time'} could be about"
    )


def holds_dates(field: Field) -> bool:
    """Whether a column holds dates, as its type, its known values or, failing both, its name says."""
    if field.is_time:
        return not field.type.lower().startswith("time") or field.type.lower().startswith("timestamp")
    known = (field.profile and field.profile.low) or next(iter(field.values), "")
    if known:
        return field.is_text and _ISO.match(known) is not None
    return field.is_text and bool({"dat", "datetim", "timestamp"} & set(stems(field.name)))


def _chosen(scope: Scope, found: list[Field]) -> Field:
    plain = [field for field in found if not _BOOKKEEPING & set(stems(field.name))]
    own = [field for field in plain if set(stems(field.table)) & set(stems(field.name))]
    bare = [field for field in plain if set(stems(field.name)) <= _MOMENT]
    for some in (found, plain, own, bare):
        if len(some) == 1:
            if len(found) > 1:
                rest = ", ".join(field.name for field in found if field != some[0])
                scope.notes.append(f"I took the time as {some[0].name}; {rest} would fit too.")
            return some[0]
    raise NotUnderstood(f"I do not see which date is meant: {', '.join(f'{f.table}.{f.name}' for f in found[:4])}")


def in_period(scope: Scope, condition: Condition) -> exp.Expr:
    """A time as bounds of the one column that it can be about; whole months also of ``year`` and ``month`` columns."""
    period, sign = condition.period, condition.operator
    if period is None:
        raise NotUnderstood("I do not see which time is meant")
    owner = condition.owner or scope.subject
    if condition.item is not None and condition.item.name is not None:
        return _bounded(scope, scope.field(condition.item.name), period, sign)
    parts = {part: part_column(scope, owner, part) for part in ("year", "month")}
    year, month = parts["year"], parts["month"]
    if year is not None and (written := _by_parts(scope, year, month, period, sign)) is not None:
        return written
    return _bounded(scope, date_of(scope, owner, period.words), period, sign)


def part_column(scope: Scope, table: str, part: str) -> Field | None:
    """The numeric column of a table that is called like a part of a date."""
    return next((f for f in scope.names.fields[table] if f.is_number and stems(f.name) == stems(part)), None)


def _by_parts(scope: Scope, year: Field, month: Field | None, period: Period, sign: Operator) -> exp.Expr | None:
    """A time put as a year and as months of it; None where it cannot be."""
    first, last = period.start, period.last
    if sign == "=" and period == until(years(first.year), years(last.year)):
        return _bounded(scope, year, period, sign)
    if first.year != last.year or not period.start.day == period.end.day == 1:
        return None
    if period == years(first.year):
        return _compared(scope, year, sign, first.year)
    if month is None:
        return None
    if sign != "=":
        only = year.ends == (str(first.year),) * 2
        return _compared(scope, month, sign, first.month if sign in {"<", ">="} else last.month) if only else None
    return exp.and_(_compared(scope, year, "=", first.year), _between(scope, month, first.month, last.month))


def _compared(scope: Scope, field: Field, sign: Operator, number: int) -> exp.Expr:
    return COMPARING[sign](this=scope.column(field), expression=exp.Literal.number(number))


def _between(scope: Scope, field: Field, low: int, high: int) -> exp.Expr:
    if low == high:
        return _compared(scope, field, "=", low)
    ends = (exp.Literal.number(end) for end in (low, high))
    return exp.Between(this=scope.column(field), low=next(ends), high=next(ends))


def _bounded(scope: Scope, field: Field, period: Period, sign: Operator) -> exp.Expr:
    """A date between two days, the later one not included; a year stored as a number is compared as one."""
    first, last = period.start.year, period.last.year
    if field.is_number and period == until(years(first), years(last)) and (first == last or sign == "="):
        return _compared(scope, field, sign, first) if first == last else _between(scope, field, first, last)
    _check_format(field)
    start, end = (exp.Literal.string(one.isoformat()) for one in (period.start, period.end))
    column = scope.column(field)
    after = [exp.GTE(this=column.copy(), expression=end if sign == ">" else start)] if sign in {"=", ">", ">="} else []
    before = [exp.LT(this=column.copy(), expression=start if sign == "<" else end)] if sign in {"=", "<", "<="} else []
    return exp.and_(*after, *before)


def _check_format(field: Field) -> None:
    """Refuse dates that are written otherwise than 2024-03-05, as they do not sort like days."""
    known = [value for value in (field.profile and field.profile.low, *field.values) if value]
    if any(not _ISO.match(value.lstrip("≈")) for value in known) or (field.is_text and not known):
        raise NotUnderstood(f"{field.table}.{field.name} is text, and I do not know that it is written as 2024-03-05")
    if not (field.is_time or field.is_text):
        raise NotUnderstood(f"{field.table}.{field.name} holds no dates")
