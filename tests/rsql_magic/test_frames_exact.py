"""Frames in SQL: every value of a column as it was put in, days and hours in its own time zone, and the index."""

# ruff: noqa: DTZ001, PLR0124 - times without a zone and NaN are among the values

from __future__ import annotations

import datetime as dt
import itertools
import random
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from many_cases import check_each

from rsql_magic.databases import open_engine


def same(found, given):
    """Whether a value of a frame is what a driver gave."""
    if given is None:
        return found is None or found is pd.NaT or found is pd.NA or found != found
    if isinstance(found, pd.Timestamp) and type(given) is dt.date:
        given = dt.datetime(given.year, given.month, given.day)
    if isinstance(given, (list, tuple)):
        return len(found) == len(given) and all(map(same, found, given))
    if isinstance(given, dict):
        return found.keys() == given.keys() and all(same(found[key], part) for key, part in given.items())
    if isinstance(given, bytes | bytearray):
        return bytes(found) == bytes(given)
    return found == given or (found != found and given != given)


NOON = dt.datetime(2024, 7, 1, 0, 30)
OBJECTS = [
    [Decimal("1.10"), Decimal("NaN"), Decimal("1234567.89")], [Decimal("1e-30"), Decimal(10) ** 30],
    [Decimal("Infinity"), Decimal("0.1")], [2**63, -1], [2**64, 1], [2**127, 1], [10**40], [2**53 + 1, 1.5], [1, 2.5],
    [True, 2], [np.int64(2**60 + 1), None], [np.uint64(2**64 - 1), 1], [1, "a"], ["a", None], [b"\x00\xff"],
    [dt.date(1, 1, 1), None], [dt.datetime(9999, 12, 31, 23, 59, 59, 999999), dt.datetime(1, 1, 1)],
    [dt.time(1, 2, 3, 4)], [dt.timedelta(microseconds=1)], [[1, None], [2]], [{"a": 1}], [None, None],
]  # fmt: skip


def read(frame, sql="SELECT x FROM df"):
    with open_engine({"df": frame}) as engine:
        rows = engine.run(sql)
        return rows.df["x"].astype(object).tolist(), " ".join([*rows.remarks, *engine.catalog("names").problems])


def check_frame(values, frame):
    found, told = read(frame)
    wanted = [None if value != value else value for value in values]  # NaN is a gap
    exact = all(map(same, found, wanted))
    as_text = "is read as text" in told and found == [None if v is None else str(v) for v in wanted]
    assert exact or as_text, (values, found, told)


def test_frames_of_objects_hold_what_was_put_in():
    check_each(check_frame, ((values, pd.DataFrame({"x": pd.Series(values, dtype=object)})) for values in OBJECTS))


@pytest.mark.sweep
def test_frames_of_any_two_objects_hold_what_was_put_in():
    parts = list(itertools.chain(*OBJECTS))
    chance = random.Random(3)
    pairs = [chance.sample(parts, 2) for _ in range(1000)]
    check_each(check_frame, ((pair, pd.DataFrame({"x": pd.Series(pair, dtype=object)})) for pair in pairs))


def zoned_frames():
    """Frames of one moment in Berlin, half past midnight, by all that holds a time zone."""
    moment = pd.Timestamp(NOON, tz="Europe/Berlin")
    yield "pandas", pd.DataFrame({"t": [moment]})
    yield "objects", pd.DataFrame({"t": pd.Series([moment.to_pydatetime()], dtype=object)})
    yield "category", pd.DataFrame({"t": pd.Categorical([moment])})
    arrow = pa.timestamp("us", "Europe/Berlin")
    yield "a pyarrow dtype", pd.DataFrame({"t": pd.array([moment], dtype=pd.ArrowDtype(arrow))})
    yield "Arrow", pa.table({"t": pa.array([moment], arrow)})
    yield "polars", pl.DataFrame({"t": [NOON]}).with_columns(pl.col("t").dt.replace_time_zone("Europe/Berlin"))
    for hours, minutes in ((2, 0), (5, 30), (-3, -30)):
        offset = dt.timezone(dt.timedelta(hours=hours, minutes=minutes))
        yield f"offset {offset}", pd.DataFrame({"t": [pd.Timestamp(NOON, tz=offset)]})


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another zone"])
def test_days_and_hours_are_those_of_the_frames_zone(beside):
    other = {"log": pd.DataFrame({"at": pd.date_range("2024-01-01", periods=2, tz="UTC")})} if beside else {}
    for name, frame in zoned_frames():
        with open_engine({"df": frame, **other}) as engine:
            rows = engine.run("SELECT CAST(t AS DATE) AS day, EXTRACT(hour FROM t) AS hour FROM df")
            assert str(rows.df["day"][0])[:10] == "2024-07-01", name
            assert rows.df["hour"].tolist() == [0], name
            assert rows.remarks == (), name


def test_two_zones_in_one_query_are_told():
    frame = pd.DataFrame({"t": [pd.Timestamp(NOON, tz="Europe/Berlin")], "u": [pd.Timestamp(NOON, tz="Asia/Tokyo")]})
    with open_engine({"df": frame}) as engine:
        rows = engine.run("SELECT CAST(t AS DATE) AS d, CAST(u AS DATE) AS e, count(*) AS n FROM df GROUP BY 1, 2")
    assert rows.remarks == (
        "t is of Europe/Berlin; days and hours are counted in UTC.",
        "u is of Asia/Tokyo; days and hours are counted in UTC.",
    )


def test_an_index_without_a_name_is_a_column():
    cars = pd.DataFrame({"mpg": [21.0, 33.9]}, index=["Mazda RX4", "Toyota Corolla"])
    assert read(cars, 'SELECT "index" AS x FROM df ORDER BY mpg')[0] == ["Mazda RX4", "Toyota Corolla"]
    days = pd.DataFrame({"n": [1]}, index=pd.DatetimeIndex(["2024-01-01"]))
    assert read(days, 'SELECT "index" AS x FROM df')[0] == [pd.Timestamp("2024-01-01")]
    for counting in (None, ["1", "2"]):  # as pandas and R number rows by themselves
        frame = pd.DataFrame({"x": [1, 2]}, index=counting)
        with open_engine({"df": frame}) as engine:
            assert list(engine.run("SELECT * FROM df").df) == ["x"]


def test_columns_of_no_type_are_empty():
    frame = pl.DataFrame({"x": [None, None], "k": [1, 2], "s": [{"a": None}, {"a": None}]})
    assert read(frame, "SELECT * FROM df ORDER BY k") == ([None, None], "")
