"""What is summed of requests, by which slots of time, and what is told from it. Nothing here needs a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TOTAL_KEYS = ("day", "caller", "tenant", "model", "task")  # what a total is kept for

OUTCOMES = ("success", "failure", "timeout", "refused", "cancelled")
WITHIN = (1, 2, 5, 10, 30, 60)  # seconds; ``within_N`` are requests that ended well in N seconds at most
SERIES_COUNTS = (
    *("requests", *OUTCOMES, "retries", "cache_hits", "prompt_tokens", "completion_tokens", "cached_tokens"),
    *("cost_nanodollars", "saved_nanodollars", "first_tokens", *(f"within_{seconds}" for seconds in WITHIN)),
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


def quantile(row: Mapping[str, Any], share: float) -> float | None:
    """The time within which this share of what ended well had ended, in seconds, by the sums of ``within_N``.

    Within a bucket it is taken to be even. None where nothing ended well, or more than 60 s are needed.

    Example:
        >>> quantile({"success": 10, "within_1": 5, "within_2": 10, **dict.fromkeys(["within_5"], 10)}, 0.75)
        1.5
    """
    wanted, before, count = share * row["success"], 0.0, 0
    if not row["success"]:
        return None
    for seconds in WITHIN:
        within = int(row[f"within_{seconds}"])
        if within >= wanted:
            return float(round(before + (seconds - before) * (wanted - count) / max(1, within - count), 3))
        before, count = float(seconds), within
    return None
