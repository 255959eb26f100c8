"""Columns hold the values that a driver gave: every Python type, at its bounds, mixed and with gaps."""

# ruff: noqa: DTZ001, DTZ901, PLR0124 - times without a zone, and NaN, are among what is tried

from __future__ import annotations

import datetime as dt
import random
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from rsql_magic.databases.columns import column_of

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), dt.timezone(dt.timedelta(hours=5, minutes=30))
EDGES = {
    "whole numbers": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**30],
    "truth": [True, False],
    "floats": [0.0, 1.5, float("inf"), float("-inf"), float("nan"), 5e-324, 1.7976931348623157e308],
    "texts": ["", "a", "NULL", "nan", "\x00", "𝔘", "é", "e\u0301", " "],
    "dates": [dt.date.min, dt.date(1500, 2, 28), dt.date(1970, 1, 1), dt.date(2262, 4, 12), dt.date.max],
    "times": [dt.datetime.min, dt.datetime(1677, 9, 21, 0, 12, 43, 1), dt.datetime(2024, 1, 1), dt.datetime.max],
    "zoned": [dt.datetime(2024, 7, 1, tzinfo=zone) for zone in (dt.UTC, BERLIN, KOLKATA)]
    + [dt.datetime(year, 1, 2, tzinfo=dt.UTC) for year in (1, 9998)],
    "spans": [dt.timedelta(0), dt.timedelta.min, dt.timedelta.max, dt.timedelta(microseconds=1)],
    "clocks": [dt.time.min, dt.time.max, dt.time(1, tzinfo=dt.UTC)],
    "decimals": [Decimal("0.1"), Decimal("NaN"), Decimal("Infinity"), Decimal("1e-38"), Decimal(10) ** 37],
    "bytes": [b"", b"\x00\xff", memoryview(b"ab"), bytearray(b"x")],
    "nested": [[], [1, 2], [None], {}, {"a": 1}],
    "ids": [uuid.UUID(int=1)],
}


def held(value):
    """A value of a column as a driver would give it."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    if isinstance(value, pd.Timedelta):
        return value.to_pytimedelta()
    return value.item() if hasattr(value, "item") else value


def is_same(given, found):
    if given is None or given != given:  # a gap is NaN among floats and texts
        return found is None or found != found
    if isinstance(given, memoryview | bytearray):
        given = bytes(given)
    if type(given) is dt.date and isinstance(found, dt.datetime):  # a column of dates has midnights
        given = dt.datetime(given.year, given.month, given.day)
    return given == found and isinstance(given, bool) == isinstance(found, bool)


def wrong(seed, count):
    chance = random.Random(seed)
    for _ in range(count):
        kinds = chance.sample(list(EDGES), 1 if chance.random() < 0.7 else 2)
        values = [
            chance.choice(EDGES[chance.choice(kinds)]) if chance.random() < 0.8 else None
            for _ in range(chance.randrange(1, 7))
        ]
        found = [held(value) for value in pd.Series(column_of(values)).astype(object)]
        if not all(map(is_same, values, found)):
            yield values, found


def test_a_column_holds_the_values_that_it_was_given():
    assert list(wrong(1, 1500)) == []


@pytest.mark.sweep
def test_many_columns_hold_the_values_that_they_were_given():
    assert list(wrong(2, 100_000)) == []
