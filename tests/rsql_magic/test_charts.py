"""Charts: rules, a model's suggestion that is checked, data bound."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import random
import re

import pandas as pd
import pytest

from rsql_magic.display.charts import (
    MOST_ROWS,
    Chart,
    Facts,
    as_altair,
    bundle,
    choose,
    draw,
    live,
    picture,
    read,
    spec,
    wanted,
)
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


@pytest.mark.parametrize("kind", ["bar", "line", "point", "area", "hist", "pie", "box"])
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
    across, along = made["encoding"]["x"], made["encoding"]["y"]
    assert (along["field"], along["axis"]["title"]) == ("c0", "a.b[0]\u2060")
    assert (across["field"], across["axis"]["title"]) == ("c1", "n:Q\u2060")
    as_altair(draw(choose(frame), frame)[0]).to_dict()


@pytest.mark.parametrize("odd", ["</script><img src=x onerror=f()>", "<!--<script>", "</SCRIPT >", "</style>", "]]>"])
def test_no_name_or_value_ends_the_script_of_a_page_that_altair_writes(odd):
    """Altair puts the chart into the script as it is, in a notebook and in `chart.save("a.html")`."""
    pages = [
        as_altair(draw(choose(frame), frame, Facts(question=text))[0])
        for text in (odd, "plain")
        for frame in [pd.DataFrame({text: [text, "b"], "n": [1, 2]})]
    ]
    inside = [[*re.findall(r"(?i)</?script|<!--|</?img|</?style", page.to_html())] for page in pages]
    assert [found for found in inside[0] if found.lower() != "<img"] == inside[1]
    assert {row["c0"].replace("\N{WORD JOINER}", "") for row in pages[0].data.values} == {odd, "b"}


# Words that Vega, vega-tooltip, Vega-Lite, D3 or JavaScript itself give a meaning, and signs of their languages.
WORDS = """
    image title url href src constructor toString __proto__ prototype hasOwnProperty valueOf datum event item parent
    signal expr field value data type key rank rows c0 c1 index index_0 count sort bin scale domain tooltip description
    """.split()  # noqa: SIM905
SIGNS = ["\\", "a\\", '"', '\\"', "'", "a.b[0]", "a\nb", "a\u2028b", "{", "${x}", "</script>", "`", "%", "\u202ea"]
CODE = ['"+warn(1)+"', '\\"+warn(1)+\\"', 'a": warn(1), "b']
SEEDED = random.Random(33)


@pytest.mark.parametrize(
    "names",
    [SEEDED.sample([*WORDS, *SIGNS, *CODE], 3) for _ in range(3)]
    + [pytest.param([name, "n", f"{name} 2"], marks=pytest.mark.sweep) for name in [*WORDS, *SIGNS, *CODE]],
)
@pytest.mark.parametrize("kind", ["bar", "line", "pie", "box", "heat"])
def test_no_name_or_value_is_read_by_vega(names, kind):
    vl_convert = pytest.importorskip("vl_convert")
    values = [*SEEDED.sample([*SIGNS, *CODE], 2), "http://127.0.0.1/a.png"]
    frame = pd.DataFrame([(one, 2.5, two) for one in values for two in ("AA", "BB")], columns=names)
    x, measure, other = names
    chart = Chart("heat", x, other, measure) if kind == "heat" else Chart(kind, x, measure)
    drawn, _ = draw(chart, frame)
    assert ">AA<" in picture(drawn, "svg").decode() or kind != "heat"
    tooltips = [text for text in expressions(vl_convert.vegalite_to_vega(drawn)) if text.startswith("{")]
    assert tooltips
    for text in expressions(vl_convert.vegalite_to_vega(drawn)):
        words = re.findall(r'"((?:[^"\\\\]|\\\\.)*)"', text)
        assert "warn(" not in re.sub(r'"(?:[^"\\\\]|\\\\.)*"', "", text)
        assert not {*values} & {*words}  # an order of values is no code
    for text in tooltips:
        keys = re.findall(r'(?:^\{|, )"([^"]*)": ', text)
        assert keys
        assert all(key.endswith("\N{WORD JOINER}") or key == "rank of the slice" for key in keys)


def expressions(made):
    """All that Vega would run."""
    if isinstance(made, dict):
        for key, value in made.items():
            if isinstance(value, str) and key in {"signal", "expr", "update", "init", "test", "labelExpr"}:
                yield value
            elif key != "values":
                yield from expressions(value)
    elif isinstance(made, list):
        for value in made:
            yield from expressions(value)


@pytest.mark.slow
def test_too_many_rows_are_cut_and_that_is_said():
    frame = pd.DataFrame({"x": range(MOST_ROWS + 1), "y": range(MOST_ROWS + 1)})
    chart, said = draw(Chart("point", "x", "y"), frame)
    assert said == f"The chart shows the first {MOST_ROWS:,} of {MOST_ROWS + 1:,} rows."
    assert len(bundle(chart)["text/plain"]) < 150


def test_years_have_no_comma():
    assert spec(Chart("line", "year", "n"), pd.DataFrame({"year": [2013], "n": [1]}))["encoding"]["x"]["axis"] == {
        "title": "year\u2060",
        "format": "d",
    }


def test_a_notebook_and_a_page_both_get_something():
    shown = bundle(draw(choose(ORIGINS), ORIGINS)[0])
    assert shown["application/vnd.vegalite.v5+json"]["$schema"].endswith("v5.json")
    pytest.importorskip("vl_convert")
    assert shown["image/png"].startswith("iVBOR")


def test_bars_with_long_names_lie_and_months_have_full_bars():
    long = pd.DataFrame({"name": ["AirTran Airways Corporation", "Envoy Air"], "n": [1, 2]})
    assert spec(Chart("bar", "name", "n"), long)["encoding"]["y"]["axis"]["title"] == "name\u2060"
    months = pd.DataFrame({"month": [1, 2], "n": [1, 2]})
    assert spec(Chart("bar", "month", "n"), months)["encoding"]["x"]["type"] == "ordinal"
    assert spec(Chart("bar", "n", "n"), months)["encoding"]["x"]["type"] == "ordinal"
    assert spec(Chart("bar", "wt", "mpg"), POINTS)["encoding"]["x"]["type"] == "quantitative"


SHOPS = pd.DataFrame({"shop": [f"s{number:02}" for number in range(40)], "sales": range(40), "mean": range(40, 80)})


def bars(frame=SHOPS, y="sales", kind="bar", **facts):
    drawn, note = draw(Chart(kind, "shop", y), frame, Facts(**facts))
    return drawn, {row["c0"]: row["c1"] for row in drawn["data"]["values"]}, note


def order(drawn):
    scales = (channel.get("scale", {}) for channel in drawn["encoding"].values())
    return next(scale["domain"] for scale in scales if "domain" in scale)


def test_bars_stand_largest_first_unless_the_query_or_the_calendar_orders_them():
    shuffled = SHOPS.sample(frac=1, random_state=1)[:20]
    largest = sorted(shuffled["shop"], reverse=True)
    assert order(bars(shuffled)[0]) == largest
    assert order(bars(shuffled, ordered=True)[0]) == list(shuffled["shop"])
    week = pd.DataFrame({"shop": ["Sun", "Fri", "Mon"], "sales": [9, 8, 1]})
    assert order(bars(week)[0]) == ["Mon", "Fri", "Sun"]


WEEK = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


@pytest.mark.parametrize("channel", ["x", "y", "color", "facet"])
def test_weekdays_stand_in_their_own_order_wherever_they_are(channel):
    frame = pd.DataFrame(
        [(day, shop, hour, 1) for day in sorted(WEEK) for shop in ("a", "b") for hour in range(3)],
        columns=["day", "shop", "hour", "sold"],
    )
    charts = {
        "x": Chart("line", "day", "sold"),
        "y": Chart("heat", "hour", "day", "sold"),
        "color": Chart("line", "hour", "sold", "day"),
        "facet": Chart("bar", "shop", "sold", facet="day"),
    }
    drawn = draw(charts[channel], frame)[0]
    assert (drawn["encoding"]["facet"]["sort"] if channel == "facet" else order(drawn)) == WEEK


def test_both_sides_of_a_heat_map_hold_what_can_be_read():
    frame = pd.DataFrame([(f"s{n:02}", f"d{n:02}", n) for n in range(40)], columns=["shop", "day", "sold"])
    drawn, note = draw(Chart("heat", "shop", "day", "sold"), frame)
    assert drawn["encoding"]["y"]["scale"]["domain"] == [f"d{n:02}" for n in reversed(range(10, 40))]
    assert len(drawn["data"]["values"]) == 30
    assert note.count("30 largest of 40 values of shop") == 1
    few, _ = draw(Chart("heat", "day", "shop", "sold"), frame.assign(day="d"), Facts(ordered=True))
    assert few["encoding"]["y"]["scale"]["domain"] == [f"s{n:02}" for n in range(30)]


def test_the_thirty_largest_are_drawn_and_the_others_are_added_up_only_where_sums_can_be():
    drawn, values, note = bars(sums=frozenset({"sales"}))
    assert len(values) == 31
    assert values["others"] == sum(range(10))
    assert sum(values.values()) == sum(range(40))
    assert list(values) == order(drawn) == [*(f"s{n:02}" for n in reversed(range(10, 40))), "others"]
    assert note == "The chart shows the 30 largest of 40 values of shop; the other 10 are added up as “others”."
    _, values, note = bars(y="mean")
    assert sorted(values.values()) == list(range(50, 80))
    assert note == "The chart shows the 30 largest of 40 values of shop; the other 10 are not drawn."
    _, values, note = bars(ordered=True)  # the smallest come first, as the query wants
    assert list(values) == list(SHOPS["shop"][:30])
    assert note.startswith("The chart shows the first 30 of 40 values of shop")


def test_bars_that_count_rows_count_all_of_them():
    frame = pd.DataFrame({"shop": [f"s{number % 50}" for number in range(3 * MOST_ROWS)]})
    drawn, note = draw(Chart("bar", "shop"), frame)
    assert sum(row["c1"] for row in drawn["data"]["values"]) == len(frame)
    assert "the other 20 are added up" in note


def test_a_real_value_called_others_is_not_mixed_with_the_others():
    named = SHOPS.assign(shop=[*SHOPS["shop"][:-1], "others"])
    _, values, note = bars(named, sums=frozenset({"sales"}))
    assert values["others"] == 39
    assert values["the 10 others"] == sum(range(10))
    assert note.endswith("“the 10 others”.")


def test_a_pie_has_few_slices_and_is_whole():
    _, values, _ = bars(kind="pie", sums=frozenset({"sales"}))
    assert len(values) == 9
    assert sum(values.values()) == sum(range(40))


def test_a_box_plot_needs_numbers_and_a_heat_map_two_sides():
    assert choose(BOTH, "heat") == Chart("heat", "month", "origin", "n")
    assert choose(POINTS, "heat") == Chart("heat", "wt", "mpg")
    assert choose(ORIGINS, "box") == Chart("box", "origin", "n")
    assert choose(POINTS[["wt"]], "box") == Chart("box", "", "wt")
    for frame, kind in ((ORIGINS, "heat"), (ORIGINS[["origin"]], "box")):
        with pytest.raises(BadInput):
            choose(frame, kind)
    with pytest.raises(BadInput, match="columns for x and for y"):
        read('{"chart": "heat", "x": "origin"}', ORIGINS)


def test_a_third_category_gets_small_charts():
    frame = pd.DataFrame(
        [(month, carrier, origin, month) for month in (1, 2) for carrier in ("AA", "UA") for origin in ("EWR", "JFK")],
        columns=["month", "carrier", "origin", "n"],
    )
    assert choose(frame) == Chart("line", "month", "n", "carrier", "origin")
    drawn, _ = draw(choose(frame), frame)
    assert drawn["encoding"]["facet"]["header"]["title"] == "origin\u2060"
    assert read('{"chart": "bar", "x": "carrier", "y": "n", "facet": "ORIGIN"}', frame).facet == "origin"


@pytest.mark.slow
def test_small_charts_share_the_room_of_their_page():
    frame = pd.DataFrame([(c, o, 1) for c in ("AA", "UA") for o in "ABCDE"], columns=["carrier", "origin", "n"])
    drawn, _ = draw(Chart("bar", "carrier", "n", facet="origin"), frame)
    width, columns = live(drawn)["usermeta"]["embedOptions"]["patch"]
    assert width["value"]["name"] == "child_width"
    assert "containerSize()" in width["value"]["init"]
    assert columns["value"] == {"signal": live(drawn)["params"][0]["name"]}
    assert "params" not in drawn  # which is the same for every page
    assert "A</text>" in picture(drawn, "svg").decode()
    assert as_altair(drawn).to_dict()["resolve"]


def test_a_title_breaks_as_its_page_has_room():
    drawn, _ = draw(
        choose(ORIGINS), ORIGINS, Facts("how many flights left from each of the airports", total=9, cut=True)
    )
    shown = live(drawn)
    narrow, usual, *_, wide = next(each["value"] for each in shown["params"] if each["name"] == "titles")
    assert usual == drawn["title"]
    assert " ".join(narrow["text"]) == " ".join(usual["text"]) == wide["text"][0]
    assert max(map(len, narrow["text"])) <= 22
    assert set(shown["title"]["text"]) == {"expr"}
    plain = live(draw(choose(ORIGINS), ORIGINS)[0])
    assert "title" not in plain


def test_slices_go_around_in_their_order():
    drawn = bars(kind="pie", sums=frozenset({"sales"}))[0]
    rank = drawn["encoding"]["order"]["field"]
    by_rank = [row["c0"] for row in sorted(drawn["data"]["values"], key=lambda row: row[rank])]
    assert by_rank == order(drawn)


def test_a_heat_map_has_a_place_for_each_of_few_whole_numbers():
    frame = pd.DataFrame({"month": [1, 2, 2], "n": [1.5, 2.5, 90.0]})
    encoding = draw(Chart("heat", "month", "n"), frame)[0]["encoding"]
    assert encoding["x"]["type"] == "ordinal"
    assert encoding["x"]["axis"]["labelAngle"] == 0
    assert "bin" in encoding["y"]


@pytest.mark.parametrize("kind", ["heat", "line"])
def test_names_below_an_axis_are_level_where_all_have_room(kind):
    chart = Chart(kind, "origin", "n" if kind == "line" else "shop", "n" if kind == "heat" else "")
    frame = ORIGINS.assign(shop=["a", "b", "c"])
    upright = {}
    for length in (3, 40):
        drawn, _ = draw(chart, frame.assign(origin=frame["origin"] * (length // 3)))
        svg = picture(drawn | {"width": 300}, "svg").decode()
        upright[length] = len(
            re.findall(r'text-anchor="end" transform="[^"]*rotate\(270\)[^"]*"[^>]*>(?:EWR|JFK|LGA)', svg)
        )
    assert upright == {3: 0, 40: 3}


def test_the_title_is_the_question_and_the_description_tells_what_is_seen():
    drawn, _ = draw(choose(ORIGINS), ORIGINS, Facts("flights by origin, as bars\x1b[31m"))
    assert drawn["title"] == {"text": ["Flights by origin, as bars"]}
    told = "Flights by origin, as bars. Bar chart of n by origin: 3 values, from 1 (LGA) to 3 (EWR)"
    assert drawn["description"] == told
    assert bundle(drawn, png=False)["text/plain"] == f"<{told}>"
    asked, _ = draw(choose(ORIGINS), ORIGINS, Facts("how many flights?"))
    assert asked["description"].startswith("How many flights? Bar chart of n by origin: ")
    long, _ = draw(choose(ORIGINS), ORIGINS, Facts("why " * 200, total=9, cut=True))
    assert len(long["title"]["text"]) == 3
    assert long["title"]["text"][-1].endswith("…")
    assert long["title"]["subtitle"] == ["The first 3 of 9 rows"]


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("sales by month, as a bar chart", "Sales by month"),
        ("Sales by month in a stacked bar chart.", "Sales by month"),
        ("Sales by month as a heatmap?", "Sales by month"),
        ("How often was a chart printed with a colour plot on its back?", None),
        ("Which patients have an order for a chart", None),
    ],
)
def test_the_title_leaves_out_the_form_that_is_seen(question, title):
    drawn, _ = draw(choose(ORIGINS), ORIGINS, Facts(question))
    assert " ".join(drawn["title"]["text"]) == (title or question)


def test_a_chart_takes_the_colours_of_its_page_and_a_picture_has_its_own():
    drawn, _ = draw(choose(ORIGINS), ORIGINS)
    inks = json.dumps(drawn["config"])
    assert drawn["config"]["background"] is None
    assert "currentColor" in inks
    assert "#" not in inks
    svg = picture(drawn, "svg").decode()
    assert "currentColor" not in svg
    assert 'fill="white"' in svg


def test_small_numbers_and_missing_ones_are_described():
    assert (
        "3 values, from"
        in draw(Chart("bar", "x", "y"), pd.DataFrame({"x": list("abc"), "y": [1, None, 2]}))[0]["description"]
    )
    assert draw(Chart("bar", "x", "y"), pd.DataFrame({"x": ["a"], "y": [None]}))[0]["description"].endswith("1 value")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "total", "cut", "title"),
    [
        (1000, 336_776, True, "The first 1,000 of 336,776 rows"),
        (1000, None, True, "The first 1,000 rows; there are more"),
        (6000, 6000, False, "The first 5,000 of 6,000 rows"),
        (6000, 9000, True, "The first 5,000 of 9,000 rows"),
        (1000, 1000, False, None),
    ],
)
def test_a_chart_of_cut_rows_says_so_in_the_picture(rows, total, cut, title):
    frame = pd.DataFrame({"x": range(rows), "y": range(rows)})
    drawn, said = draw(Chart("point", "x", "y"), frame, Facts(total=total, cut=cut))
    assert drawn.get("title", {}).get("text") == (title and [title])
    assert bool(said) is (title is not None)
    if title:
        svg = picture(drawn, "svg").decode()
        assert title in svg
        assert as_altair(drawn).to_dict()["title"]["text"] == [title]
