"""Stretches of days that questions speak of: a month, a quarter, the year before this one. Bounds are half open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Period:
    """Days from ``start`` on, up to and without ``end``.

    Example:
        >>> months(2024, 3), months(2024, 3).words
        (Period(start=datetime.date(2024, 3, 1), end=datetime.date(2024, 4, 1), phrase=''), 'March 2024')
    """

    start: date
    end: date
    phrase: str = field(default="", compare=False)
    """The words that it was taken for, where it depends on the day of the question."""

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


def years(first: int, last: int | None = None) -> Period:
    """One year, or all from the first to the last."""
    return Period(date(first, 1, 1), date((last or first) + 1, 1, 1))


def months(year: int, month: int, count: int = 1) -> Period:
    """A month of a year, or several from it on.

    Example:
        >>> months(2024, 12).end
        datetime.date(2025, 1, 1)
    """
    return Period(date(year, month, 1), _month_on(date(year, month, 1), count))


def quarter(year: int, number: int) -> Period:
    """The first to fourth quarter of a year."""
    return months(year, 3 * number - 2, 3)


def day(text: str) -> Period | None:
    """The day of an ISO date such as 2024-03-05; None for anything else."""
    if not _ISO.fullmatch(text):
        return None
    try:
        one = date.fromisoformat(text)
    except ValueError:
        return None
    return Period(one, one + timedelta(days=1))


def until(one: Period, other: Period) -> Period:
    """From the first day of one to the last of another."""
    return Period(one.start, other.end)


def current(unit: str, today: date) -> Period:
    """The day, week (from Monday), month, quarter or year that a day is in."""
    if unit == "day":
        return Period(today, today + timedelta(days=1))
    if unit == "week":
        monday = today - timedelta(days=today.weekday())
        return Period(monday, monday + timedelta(days=7))
    if unit == "quarter":
        return quarter(today.year, (today.month + 2) // 3)
    return months(today.year, today.month) if unit == "month" else years(today.year)


def before(unit: str, today: date) -> Period:
    """The whole unit before the one that a day is in: for “last month” in May, April."""
    return current(unit, current(unit, today).start - timedelta(days=1))


def past(count: int, unit: str, today: date) -> Period:
    """So many units up to and with today, as in “the last 30 days”."""
    tomorrow = today + timedelta(days=1)
    if unit in {"day", "week"}:
        return Period(tomorrow - timedelta(days=count * (7 if unit == "week" else 1)), tomorrow)
    back = _month_on(tomorrow.replace(day=1), -count * {"month": 1, "quarter": 3, "year": 12}[unit])
    return Period(_same_day(back, tomorrow.day), tomorrow)


def _month_on(first: date, count: int) -> date:
    place = first.year * 12 + first.month - 1 + count
    return date(place // 12, place % 12 + 1, 1)


def _same_day(first: date, number: int) -> date:
    """That day of a month, or its last one."""
    length = (_month_on(first, 1) - first).days
    return first.replace(day=min(number, length))
