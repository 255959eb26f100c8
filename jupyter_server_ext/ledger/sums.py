"""What is summed of requests, by which slots of time, and what is told from it. Nothing here needs a database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

TOTAL_KEYS = ("day", "caller", "tenant", "model", "task")  # what a total is kept for

OUTCOMES = ("success", "failure", "timeout", "refused", "cancelled")
SERIES_COUNTS = (
    *("requests", *OUTCOMES, "retries", "cache_hits", "prompt_tokens", "completion_tokens", "cached_tokens"),
    *("cost_nanodollars", "saved_nanodollars", "first_tokens"),
)
SERIES_SECONDS = ("queue_seconds", "first_token_seconds", "upstream_seconds", "duration_seconds")

FINE, HOUR, DAY = 300, 3_600, 86_400  # seconds of a slot
MOST_HOURLY = 168  # hours that are shown by the hour
MOST_HOURS = 8_784  # that can be asked for: a leap year
_HALF_LIFE = 7.0 * DAY  # after which having been asked for counts half as much
_EPOCH = 1_767_225_600.0  # 2026; a float takes a thousand half-lives after it
_MOST_HALVES = 1_000.0


def grain_for(hours: float, *, hourly: float = 72) -> int:
    """The width of slots in seconds from which so many hours are summed: few rows, and an error of a slot at most.

    Five minutes for half a day, an hour for ``hourly`` hours, a day for more.
    """
    return FINE if hours <= 12 else HOUR if hours <= hourly else DAY


def heat_at(at: float) -> float:
    """What having been asked for once at a Unix time adds to a heat: twice as much as a week before.

    So heats add up, and their order is the same whenever they are compared.
    """
    return float(2.0 ** max(-_MOST_HALVES, min(_MOST_HALVES, (at - _EPOCH) / _HALF_LIFE)))


def heat_of(row: Mapping[str, Any], now: float) -> float:
    """How often something was asked for lately: each time counts half as much with every week since."""
    return float(round(row["heat"] / heat_at(now), 3))


def day_start(at: float, zone: ZoneInfo) -> int:
    """The Unix time at which the calendar day of a Unix time begins in a zone.

    Example:
        >>> from zoneinfo import ZoneInfo
        >>> day_start(1_792_918_800.0, ZoneInfo("Europe/Berlin"))  # a day of 25 hours
        1792879200
    """
    return int(datetime.fromtimestamp(at, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp())


def slot_starts(since: float, until: float, seconds: int, zone: ZoneInfo) -> list[int]:
    """When the slots of a span begin, the first at ``since`` or before: days of a zone, or of so many seconds."""
    if seconds < DAY:
        return list(range(int(since // seconds * seconds), int(until) + 1, seconds))
    first, last = (datetime.fromtimestamp(at, zone).date() for at in (since, until))
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) for day in days]
