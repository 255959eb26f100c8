"""Times: the stretches of days that questions speak of, and the one date column that each can be about."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import stems

from .draft import NotUnderstood
from .words import STEMS

if TYPE_CHECKING:
    from .draft import Condition, Operator
    from .schema import Field
    from .scope import QueryScope

COMPARING = {"=": exp.EQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class NamedPeriod:
    """Days from ``start`` on, up to and without ``end``."""

    start: date
    end: date
    phrase: str = field(default="", compare=False)  # its words, where they depend on the day of the question

    @property
    def last(self) -> date:
        """Its last day."""
        return self.end - timedelta(days=1)

    @property
    def words(self) -> str:
        """How a person would call it."""
        first, last = self.start, self.last
        if first == last:
            return first.isoformat()
        if self == years(first.year):
            return str(first.year)
        if self == months(first.year, first.month):
            return f"{first:%B %Y}"
        return f"{first.isoformat()} to {last.isoformat()}"


def years(first: int, last: int | None = None) -> NamedPeriod:
    """One year, or all from the first to the last."""
    return NamedPeriod(date(first, 1, 1), date((last or first) + 1, 1, 1))


def months(year: int, month: int, count: int = 1) -> NamedPeriod:
    """A month of a year, or several from it on."""
    return NamedPeriod(date(year, month, 1), _month_on(date(year, month, 1), count))


def quarter(year: int, number: int) -> NamedPeriod:
    """The first to fourth quarter of a year."""
    return months(year, 3 * number - 2, 3)


def day(text: str) -> NamedPeriod | None:
    """The day of an ISO date such as 2024-03-05; None for anything else."""
    try:
        one = date.fromisoformat(text if _ISO.fullmatch(text) else "")
    except ValueError:
        return None
    return NamedPeriod(one, one + timedelta(days=1))


def until(one: NamedPeriod, other: NamedPeriod) -> NamedPeriod:
    """From the first day of one to the last of another."""
    return NamedPeriod(one.start, other.end)


def current(unit: str, today: date) -> NamedPeriod:
    """The day, week (from Monday), month, quarter or year that a day is in."""
    if unit == "day":
        return NamedPeriod(today, today + timedelta(days=1))
    if unit == "week":
        monday = today - timedelta(days=today.weekday())
        return NamedPeriod(monday, monday + timedelta(days=7))
    if unit == "quarter":
        return quarter(today.year, (today.month + 2) // 3)
    return months(today.year, today.month) if unit == "month" else years(today.year)


def before(unit: str, today: date) -> NamedPeriod:
    """The whole unit before the one that a day is in: for “last month” in May, April."""
    return current(unit, current(unit, today).start - timedelta(days=1))


def past(count: int, unit: str, today: date) -> NamedPeriod:
    """So many units up to and with today, as in “the last 30 days”."""
    tomorrow = today + timedelta(days=1)
    if unit in {"day", "week"}:
        return NamedPeriod(tomorrow - timedelta(days=count * (7 if unit == "week" else 1)), tomorrow)
    back = _month_on(tomorrow.replace(day=1), -count * {"month": 1, "quarter": 3, "year": 12}[unit])
    length = (_month_on(back, 1) - back).days  # 31 May less a month is 30 April
    return NamedPeriod(back.replace(day=min(tomorrow.day, length)), tomorrow)


def _month_on(first: date, count: int) -> date:
    place = first.year * 12 + first.month - 1 + count
    return date(place // 12, place % 12 + 1, 1)


def date_of(scope: QueryScope, table: str, period: str = "") -> Field:
    """The one date column of a table that a time can be about; a choice among several is noted."""
    if scope.time is not None:
        return scope.time
    # A thing without dates has those of what it belongs to.
    near = [step.table for step in scope.names.joins.steps[table] if not step.to_many]
    for tables in ([table], scope.named, near):
        found = [field for name in tables for field in scope.names.fields[name] if _holds_dates(field)]
        if found:
            return _chosen(scope, found)
    what = f"“{period}”" if period else "a time"
    raise NotUnderstood(f"I see no column with dates in {table} that {what} could be about")


def _holds_dates(field: Field) -> bool:
    # A type says it, else the values that are known, and only without both the name.
    if field.is_time:
        return not field.type.lower().startswith("time") or field.type.lower().startswith("timestamp")
    known = (field.profile and field.profile.low) or next(iter(field.values), "")
    if known:
        return field.is_text and _ISO.match(known) is not None
    if field.profile and field.profile.form:
        return "%d" in field.profile.form
    return field.is_text and bool({"dat", "datetim", "timestamp"} & set(stems(field.name)))


def _chosen(scope: QueryScope, found: list[Field]) -> Field:
    plain = [field for field in found if not STEMS["bookkeeping"] & set(stems(field.name))]
    own = [field for field in plain if set(stems(field.table)) & set(stems(field.name))]
    bare = [field for field in plain if set(stems(field.name)) <= STEMS["moments"]]
    for some in (found, plain, own, bare):
        if len(some) == 1:
            if len(found) > 1:
                rest = ", ".join(field.name for field in found if field != some[0])
                scope.notes.append(f"I took the time as {some[0].name}; {rest} would fit too.")
            return some[0]
    raise NotUnderstood(f"I do not see which date is meant: {', '.join(f'{f.table}.{f.name}' for f in found[:4])}")


def in_period(scope: QueryScope, condition: Condition, period: NamedPeriod) -> exp.Expr:
    """A time as bounds of the one column that it can be about; whole months also of ``year`` and ``month`` columns."""
    owner, sign = condition.owner or scope.subject, condition.operator
    if condition.item is not None and condition.item.name is not None:
        return _bounded(scope, scope.field(condition.item.name), period, sign)
    year, month = (None if scope.time else part_column(scope, owner, part) for part in ("year", "month"))
    if year is not None and (written := _by_parts(scope, year, month, period, sign)) is not None:
        return written
    return _bounded(scope, date_of(scope, owner, period.words), period, sign)


def part_column(scope: QueryScope, table: str, part: str) -> Field | None:
    """The numeric column of a table that is called like a part of a date."""
    return next((f for f in scope.names.fields[table] if f.is_number and stems(f.name) == stems(part)), None)


def _by_parts(
    scope: QueryScope, year: Field, month: Field | None, period: NamedPeriod, sign: Operator
) -> exp.Expr | None:
    first, last = period.start, period.last
    if sign == "=" and period == until(years(first.year), years(last.year)):
        return _bounded(scope, year, period, sign)
    # Months of two years cannot be put as one year and its months.
    if first.year != last.year or not period.start.day == period.end.day == 1:
        return None
    if period == years(first.year):
        return _compared(scope, year, sign, first.year)
    if month is None:
        return None
    if sign != "=":
        # A month alone says which year only where there is but one.
        only = year.ends == (str(first.year),) * 2
        return _compared(scope, month, sign, first.month if sign in {"<", ">="} else last.month) if only else None
    return exp.and_(_compared(scope, year, "=", first.year), _between(scope, month, first.month, last.month))


def _compared(scope: QueryScope, field: Field, sign: Operator, number: int) -> exp.Expr:
    return COMPARING[sign](this=scope.column(field), expression=exp.Literal.number(number))


def _between(scope: QueryScope, field: Field, low: int, high: int) -> exp.Expr:
    if low == high:
        return _compared(scope, field, "=", low)
    return exp.Between(this=scope.column(field), low=exp.Literal.number(low), high=exp.Literal.number(high))


def _meets(field: Field, first: int, last: int) -> bool:
    """Whether all known values of a number may be years."""
    low, high = field.ends
    try:
        return float(low or first) >= 1000 and float(high or last) < 3000
    except ValueError:
        return False


def _bounded(scope: QueryScope, field: Field, period: NamedPeriod, sign: Operator) -> exp.Expr:
    """A date between two days, the later one not included; a year stored as a number is compared as one."""
    first, last = period.start.year, period.last.year
    if (
        field.is_number
        and "year" not in stems(field.name)
        and field.ends != (None, None)
        and not _meets(field, first, last)
    ):
        raise NotUnderstood(f"{field.table}.{field.name} holds no years")
    if field.is_number and period == until(years(first), years(last)) and (first == last or sign == "="):
        return _compared(scope, field, sign, first) if first == last else _between(scope, field, first, last)
    known = [value for value in (field.profile and field.profile.low, *field.values) if value]
    form = field.profile.form if field.profile else ""
    is_iso = form.startswith("%Y-%m-%d") and not form.endswith(")")  # of two digits each
    # Dates that are written otherwise do not sort like days.
    is_sorted = is_iso if form else known or not field.is_text
    if any(not _ISO.match(value.lstrip("≈")) for value in known) or not is_sorted:
        raise NotUnderstood(f"{field.table}.{field.name} is text, and I do not know that it is written as 2024-03-05")
    if not (field.is_time or field.is_text):
        raise NotUnderstood(f"{field.table}.{field.name} holds no dates")
    start, end = (exp.Literal.string(one.isoformat()) for one in (period.start, period.end))
    column = scope.column(field)
    after = [exp.GTE(this=column.copy(), expression=end if sign == ">" else start)] if sign in {"=", ">", ">="} else []
    before = [exp.LT(this=column.copy(), expression=start if sign == "<" else end)] if sign in {"=", "<", "<="} else []
    return exp.and_(*after, *before)
