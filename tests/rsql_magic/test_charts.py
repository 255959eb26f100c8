"""Charts: rules, a model's suggestion that is checked, data bound."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math

import pandas as pd
import pytest

from rsql_magic.display.charts import MOST_ROWS, Chart, as_altair, bundle, choose, draw, picture, read, spec, wanted
from rsql_magic.errors import BadInput

ORIGINS = pd.DataFrame({"origin": ["EWR", "JFK", "LGA"], "n": [3, 2, 1]})
MONTHS = pd.DataFrame({"month": [1, 2, 3], "n": [30, 20, 10]})
BOTH = pd.DataFrame({"month": [1, 1, 2, 2], "origin": ["EWR", "JFK"] * 2, "n": [4, 3, 2, 1]})
DAYS = pd.DataFrame({"day": pd.date_range("2013-07-01", periods=3), "n": [1, 2, 3]})
POINTS = pd.DataFrame({"wt": [2.62, 2.9, 3.1], "mpg": [21.0, 22.8, 18.1]})


@pytest.mark.parametrize(
    ("frame", "kind", "expected"),
    [
        (ORIGINS, None, Chart("bar", "origin", "n")),
        (ORIGINS, "pie", Chart("pie", "origin", "n")),
        (MONTHS, None, Chart("line", "month", "n")),
        (MONTHS, "bar", Chart("bar", "month", "n")),
        (BOTH, None, Chart("line", "month", "n", "origin")),
        (DAYS, None, Chart("line", "day", "n")),
        (POINTS, None, Chart("point", "wt", "mpg")),
        (POINTS[["wt"]], None, Chart("hist", "wt")),
        (ORIGINS[["origin"]], None, Chart("bar", "origin")),
        (pd.DataFrame({"n": [7]}), "bar", Chart("bar", "n", "n")),
    ],
)
def test_the_types_of_the_columns_decide(frame, kind, expected):
    assert choose(frame, kind) == expected


def test_nothing_to_draw():
    with pytest.raises(BadInput, match="no rows to draw"):
        choose(ORIGINS.head(0))


@pytest.mark.parametrize(
    ("suggestion", "words"),
    [
        ("not json", "not a JSON object"),
        ('["bar"]', "not a JSON object"),
        ('{"chart": "sankey", "x": "origin"}', "no chart of the kind 'sankey'"),
        ('{"chart": "bar", "x": "orgin", "y": "n"}', "'orgin', which is not a column"),
        ('{"chart": "bar", "y": "n"}', "names no column for x"),
        ('{"chart": "bar", "x": "<script>", "y": "n"}', "not a column"),
    ],
)
def test_a_suggestion_that_cannot_be_drawn(suggestion, words):
    with pytest.raises(BadInput, match=words):
        read(suggestion, ORIGINS)
    assert wanted(ORIGINS, suggestion) == Chart("bar", "origin", "n")


def test_a_suggestion_is_only_its_four_fields():
    suggestion = {
        "chart": "pie",
        "x": "ORIGIN",
        "y": "n",
        "color": None,
        "transform": [{"calculate": "alert(1)"}],
        "data": {"url": "http://x"},
    }
    chart = read(json.dumps(suggestion), ORIGINS)
    assert chart == Chart("pie", "origin", "n")
    drawn = draw(chart, ORIGINS)[0]
    assert "alert" not in json.dumps(drawn)
    assert "http://x" not in json.dumps(drawn)


def test_the_users_kind_wins_over_the_models():
    assert wanted(ORIGINS, '{"chart": "bar", "x": "origin", "y": "n"}', "pie").kind == "pie"


@pytest.mark.parametrize("kind", ["bar", "line", "point", "area", "hist", "pie"])
def test_every_kind_is_a_valid_specification_with_its_data(kind):
    drawn, said = draw(choose(ORIGINS, kind), ORIGINS)
    assert len(drawn["data"]["values"]) == 3
    assert said == ""
    assert len(next(iter(as_altair(drawn).to_dict()["datasets"].values()))) == 3  # Altair validates


def test_values_are_json():
    frame = pd.DataFrame(
        {
            "d": [dt.date(2013, 1, 1), None, dt.date(2013, 1, 3)],
            "m": [decimal.Decimal("1.5"), None, decimal.Decimal("2")],
        }
    )
    chart = choose(frame)
    assert chart == Chart("line", "d", "m")
    values = draw(chart, frame)[0]
    json.dumps(values, allow_nan=False)
    odd = pd.DataFrame({"x": ["a", "b"], "y": [math.inf, math.nan]})
    json.dumps(draw(Chart("bar", "x", "y"), odd)[0], allow_nan=False)


def test_odd_names_stay_names():
    frame = pd.DataFrame({"a.b[0]": ["x", "y"], "n:Q": [1, 2]})
    made = spec(choose(frame), frame)
    assert made["encoding"]["x"]["field"] == "a\\.b\\[0\\]"
    assert made["encoding"]["y"]["field"] == "n:Q"
    as_altair(draw(choose(frame), frame)[0]).to_dict()


@pytest.mark.slow
def test_too_many_rows_are_cut_and_that_is_said():
    frame = pd.DataFrame({"x": range(MOST_ROWS + 1), "y": range(MOST_ROWS + 1)})
    chart, said = draw(Chart("point", "x", "y"), frame)
    assert said == f"The chart shows the first {MOST_ROWS:,} of {MOST_ROWS + 1:,} rows."
    assert len(bundle(chart)["text/plain"]) < 100


def test_years_have_no_comma():
    assert spec(Chart("line", "year", "n"), pd.DataFrame({"year": [2013], "n": [1]}))["encoding"]["x"]["axis"] == {
        "format": "d"
    }


def test_a_notebook_and_a_page_both_get_something():
    shown = bundle(draw(choose(ORIGINS), ORIGINS)[0])
    assert shown["application/vnd.vegalite.v5+json"]["$schema"].endswith("v5.json")
    pytest.importorskip("vl_convert")
    assert shown["image/png"].startswith("iVBOR")


def test_bars_with_long_names_lie_and_months_have_full_bars():
    long = pd.DataFrame({"name": ["AirTran Airways Corporation", "Envoy Air"], "n": [1, 2]})
    assert spec(Chart("bar", "name", "n"), long)["encoding"]["y"]["field"] == "name"
    months = pd.DataFrame({"month": [1, 2], "n": [1, 2]})
    assert spec(Chart("bar", "month", "n"), months)["encoding"]["x"]["type"] == "ordinal"


def test_few_short_labels_stand_level_below_their_bars():
    drawn = spec(Chart("bar", "status", "n"), pd.DataFrame({"status": ["delivered", "paid"], "n": [1, 2]}))
    assert drawn["encoding"]["x"]["axis"] == {"labelAngle": 0}
    assert drawn["width"] == {"step": 70}
    many = pd.DataFrame({"status": [f"status {number}" for number in range(20)], "n": range(20)})
    assert "width" not in spec(Chart("bar", "status", "n"), many)
    assert "width" not in spec(Chart("bar", "day", "n"), DAYS)
    assert as_altair(draw(Chart("bar", "origin", "n"), ORIGINS)[0]).to_dict()["width"] == {"step": 32}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "total", "cut", "title"),
    [
        (1000, 336_776, True, "First 1,000 of 336,776 rows"),
        (1000, None, True, "First 1,000 rows; there are more"),
        (6000, 6000, False, "First 5,000 of 6,000 rows"),
        (6000, 9000, True, "First 5,000 of 9,000 rows"),
        (1000, 1000, False, None),
    ],
)
def test_a_chart_of_cut_rows_says_so_in_the_picture(rows, total, cut, title):
    frame = pd.DataFrame({"x": range(rows), "y": range(rows)})
    drawn, said = draw(Chart("point", "x", "y"), frame, total, cut=cut)
    assert drawn.get("title", {}).get("text") == title
    assert bool(said) is (title is not None)
    if title:
        svg = picture(drawn, "svg").decode()
        assert title in svg
        assert as_altair(drawn).to_dict()["title"]["text"] == title
