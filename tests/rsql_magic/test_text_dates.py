"""Dates that are kept as text: every form is found, nothing else is taken for one, and where it is said."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import datetime

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsql_magic.context import describe
from rsql_magic.databases import open_database, profiles, read_catalog
from rsql_magic.databases.profiles import Effort
from rsql_magic.sql import date_form, ddl

DAYS = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%y", "%d/%m/%y"]
DAYS += ["%d %b %Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%A, %B %d, %Y", "%a, %d %b %Y", "%b %Y"]
TIMES = ["", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S%p", "T%H:%M:%S.%f", " %H:%M:%S%z"]
FORMS = [*(day + time for day in DAYS for time in TIMES), "%H:%M", "%H:%M:%S", "%I:%M %p"]

days = st.datetimes(datetime.fromisoformat("1950-01-01"), datetime.fromisoformat("2090-01-01"))
# Days that tell themselves from months and hours, and months whose short names are not their names.
SURE = [datetime.fromisoformat(moment) for moment in ("2013-08-29T14:13:05.000012", "2013-12-17T23:59:01.000005")]


def written(moment, form):
    return moment.strftime(form.replace("%z", "+0200"))


@given(st.sampled_from(FORMS), st.lists(days, min_size=5, max_size=300))
def test_every_form_is_found(form, moments):
    assert date_form([written(moment, form) for moment in [*moments, *SURE * len(moments)]]) == form


@given(st.lists(days, min_size=30, max_size=60))
def test_few_may_be_something_else(moments):
    texts = [f" {moment:%d.%m.%Y}\n" for moment in [*moments, *SURE]]
    assert date_form([*texts, None, "", " ", "n/a"]) == "%d.%m.%Y"
    assert date_form([*texts, *["n/a"] * 5]) == ""


def test_leading_zeros_are_told():
    assert date_form([f"{n}/29/2013 {n}:05" for n in range(1, 13)]) == "%m/%d/%Y %H:%M (no leading zeros)"
    assert date_form([f"{n:02}/29/2013" for n in range(1, 13)]) == "%m/%d/%Y"


def test_what_nothing_tells_apart_is_said_so():
    assert date_form([f"0{n}/0{n + 1}/2013" for n in range(1, 8)]) == "%d/%m/%Y or %m/%d/%Y"
    assert date_form(["01 May 2013"] * 9) == "%d %b %Y"


OTHERS = {
    "words": ["late", "early", "May", "Monday", "on time"] * 9,
    "codes": [f"N{n:05}" for n in range(99)],
    "versions": ["1.2.3", "3.11.10", "3.12.1", "2.0.11", "1.9.9"] * 9,
    "short versions": [f"1.{n}" for n in range(40)],
    "phones": [f"555-01-{n}" for n in range(1000, 1099)] + ["+49 30 901820"] * 9,
    "security numbers": [f"123-{n}-4567" for n in range(10, 99)],
    "numbers": [str(n) for n in range(1900, 2100)],
    "large numbers": [str(n) for n in range(10_000_000, 99_999_999, 654_321)],
    "prices": [f"{n}.99" for n in range(99)] + [f"$1,{n}.00" for n in range(100, 130)],
    "ratios": [f"{n % 7}/{n % 4}" for n in range(99)],
    "aspects": ["16:9", "4:3", "3:2", "21:9"] * 9,
    "durations": [f"{n % 8}:{n % 60:02}" for n in range(99)],
    "addresses": [f"10.0.{n}.1" for n in range(99)],
    "ranges": [f"0{n}:00-1{n}:00" for n in range(8)],
    "identifiers": [f"2013-08-29-{n}" for n in range(99)],
    "impossible": ["13/32/2013", "2013-13-01", "31.31.2013"] * 9,
    "too few": ["2013-08-29"] * 4,
    "no texts": [None, 20130829, 1.5, True] * 9,
    "nothing": [],
}


@pytest.mark.parametrize("texts", OTHERS.values(), ids=OTHERS)
def test_nothing_else_is_taken_for_a_date(texts):
    assert date_form(texts) == ""


@given(st.lists(st.text(max_size=60), max_size=40))
def test_any_texts_are_read(texts):
    assert isinstance(date_form(texts), str)


@pytest.mark.parametrize("text", ["1" * 10**6, " " * 10**6, "1/" * 10**6, "2013-08-29" + " " * 10**6 + "x", "1:" * 20])
def test_long_texts_take_no_time(text):
    started = time.process_time()
    assert date_form([text] * 200) == ""
    assert time.process_time() - started < 0.5


MOMENTS = pd.date_range("2013-01-01", periods=3_000, freq="3h")
FRAME = pd.DataFrame(
    {
        "start": [f"{each.month}/{each.day}/{each.year} {each:%H:%M}" for each in MOMENTS],
        "iso": MOMENTS.strftime("%Y-%m-%d"),
        "birthdate": MOMENTS.strftime("%d.%m.%Y"),
        "api_key": MOMENTS.strftime("%d.%m.%Y"),
        "code": [f"N{n:05}" for n in range(3_000)],
    }
)
START = "dates as text: %m/%d/%Y %H:%M (no leading zeros)"


@pytest.mark.parametrize(
    "convert",
    [lambda frame: frame.astype(object), lambda frame: frame.astype("category"), pl.from_pandas, pa.Table.from_pandas],
    ids=["object", "category", "polars", "arrow"],
)
def test_frames_say_it(convert):
    frame = convert(FRAME)
    text = describe(frame, "trips")
    assert f": {START}; 3,000 distinct\n" in text.replace("unique", "3,000 distinct")
    assert text.count("as text") == 2
    assert "dates as text: %Y-%m-%d; 375 distinct" in text
    assert describe(frame, "trips", level="sample").count("as text") == 2
    assert "as text" not in describe(frame, "trips", level="names")


def test_r_says_it(real_r):
    from rsql_magic.context import gather, r

    r.survey()  # starts R
    import rpy2.rinterface as ri

    ri.evalr("""day <- as.Date('2013-01-01') + 0:2999; trips <- data.frame(start = format(day, '%m/%d/%Y'),
        birthdate = format(day, '%d.%m.%Y'), code = sprintf('N%05d', 0:2999), f = factor(format(day, '%d.%m.%Y')))""")
    text = gather("trips", {}).text
    ri.evalr("rm(day, trips)")
    assert "- start character: dates as text: %m/%d/%Y; 3,000 distinct" in text.replace("unique", "3,000 distinct")
    assert "- f factor: dates as text: %d.%m.%Y" in text
    assert text.count("as text") == 2


def opened(kind):
    connection = duckdb.connect() if kind == "duckdb" else sqlite3.connect(":memory:", check_same_thread=False)
    types = {"start": "DATETIME" if kind == "sqlite" else "VARCHAR"}
    columns = ", ".join(f"{name} {types.get(name, 'VARCHAR')}" for name in FRAME.columns)
    connection.execute(f"CREATE TABLE trips ({columns})")
    connection.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?)", FRAME.values.tolist())
    connection.execute("CREATE VIEW seen AS SELECT * FROM trips")
    return connection


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_databases_say_it(kind):
    with closing(opened(kind)) as connection, open_database(connection) as database:
        catalog = read_catalog(database)
    for name in ("trips", "seen"):  # of SQLite's dates no range is said, as it is one of texts
        text = ddl(catalog[name])
        assert f"-- {START}" in text
        assert ".." not in text
        assert "dates as text: %Y-%m-%d" in text
        assert text.count("as text") == 2
        assert ddl(catalog[name], brief=True).count("as text") == 2
        assert "as text" not in ddl(catalog[name], "names")


def test_the_rows_are_counted_as_work():
    with closing(opened("sqlite")) as connection, open_database(connection) as database:
        [table] = [table for table in database.structure().tables if table.name == "trips"]
        asked = len(FRAME) * (len(FRAME.columns) - 1)  # nothing of the key
        assert not profiles.profile(database, table, Effort(asked)).column("start").profile.form
        assert profiles.profile(database, table, Effort(2 * asked)).column("start").profile.form
