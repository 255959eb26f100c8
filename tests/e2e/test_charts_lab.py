"""Charts of ``%%sql_ai`` and ``%%ask`` cells and of the sidebar, as JupyterLab 4 and Notebook 7 really draw them."""

from __future__ import annotations

import re

import pytest
from e2e import panel_lab
from playwright.sync_api import expect
from waiting import eventually

# Names that Vega, its tooltips or JavaScript give a meaning, each of a column of addresses.
NAMES = ["image", "href", "constructor", "a.b[0]", "\\", "<img src=http://127.0.0.1:9/canary>"]
DATA = """\
import pandas as pd
shops = pd.DataFrame({"shop": [f"shop {n:02}" for n in range(45)], "sold": range(45)})
late = [(port, delay) for port, most in (("EWR", 20), ("JFK", 9), ("LGA", 40)) for delay in [*range(most), 90]]
trips = pd.DataFrame(late, columns=["origin", "delay"])
hours = [(day, hour, len(day) + hour) for day in ("Fri", "Mon", "Sat", "Sun", "Thu", "Tue", "Wed") for hour in range(8)]
visits = pd.DataFrame(hours, columns=["weekday", "hour", "n"])
ports = ("EWR", "JFK", "Laguardia")
split = [(m, c, o, m * 10_000 * len(o)) for m in range(1, 13) for c in ("AA", "UA") for o in ports]
flights = pd.DataFrame(split, columns=["month", "carrier", "origin", "n"])
%load_ext rsql_magic"""
ODD = f"""\
odd = pd.DataFrame(dict.fromkeys({NAMES!r}, [f"http://127.0.0.1:9/canary{{n}}" for n in range(3)])).assign(n=[1, 2, 3])
"""
QUERIES = {
    **{f"odd{number}": f'SELECT "{name}", n FROM odd' for number, name in enumerate(NAMES)},
    "largest": "SELECT shop, SUM(sold) AS sold FROM shops GROUP BY shop",
    "late": "SELECT origin, delay FROM trips",
    "busy": "SELECT weekday, hour, SUM(n) AS visits FROM visits GROUP BY ALL",
    "differ": "SELECT month, carrier, origin, SUM(n) AS flights FROM flights GROUP BY ALL",
    "paired": "SELECT a.sold AS one, b.sold AS other FROM shops a, shops b",
}
# What a model adds where the question asks for a chart.
SUGGESTED = '\n\n```json\n{{"chart": "bar", "x": "{x}", "y": "{y}"}}\n```'
CELLS = {
    "bar": "%%sql_ai frames --plot bar\nwhich are the largest shops by what they sold in the year, as a bar chart?",
    "box": "%%sql_ai frames --plot box\nHow late do planes leave?",
    "heat": "%%sql_ai frames --plot heat\nWhen is it busy",
    "facets": "%%sql_ai frames --plot line\nDo the airports differ?",
    "cut": "%%sql_ai frames --plot point\nWhat is sold, paired",
    "ask": "%%ask --as query\nWhich are the largest shops, as a bar chart?",
}
# What is wrong with how a chart stands between a left and a right edge: each kind of fault once.
FAULTS = """([svg, edges]) => {
  const slack = svg.querySelector("g.cell") ? 30 : 1; // small charts share the room as far as can be reckoned
  const [chart, room] = [svg, edges].map((node) => node.getBoundingClientRect());
  const faults = [];
  const has = (fault, is) => { if (is && !faults.includes(fault)) faults.push(fault); };
  has(`begins ${chart.left - room.left} pixels inside`, Math.abs(chart.left - room.left) > 1);
  const end = room.right - chart.right;
  has(`ends ${end} pixels inside`, end < -1 || end > slack);
  for (const text of svg.querySelectorAll("text")) {
    if (Number(text.getAttribute("opacity")) === 0) continue; // left out, as it has no room
    const { left, right, top, bottom } = text.getBoundingClientRect();
    const isIn = left > chart.left - 2 && right < chart.right + 2 && top > chart.top - 2 && bottom < chart.bottom + 2;
    has(`"${text.textContent}" is cut off`, !isIn);
    has("has faint words", contrast(getComputedStyle(text).fill, ground(svg)) < 4.5);
  }
  has("has a ground of its own", getComputedStyle(svg).backgroundColor !== "rgba(0, 0, 0, 0)");
  return faults;

  function ground(node) {
    const { backgroundColor } = getComputedStyle(node);
    return /, 0\\)$/.test(backgroundColor) && node.parentElement ? ground(node.parentElement) : backgroundColor;
  }
  function contrast(one, other) {
    const [dark, light] = [one, other].map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }
  function luminance(colour) {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  }
}"""
# The marks of a chart as a screen reader goes through them: what they say, and their places.
MARKS = """(svg) => [...svg.querySelectorAll("g.role-mark > path[aria-label]")].map((mark) => {
  const { left, top, width } = mark.getBoundingClientRect();
  const says = mark.getAttribute("aria-label").replaceAll("\\u2060", "");
  return { says, left, top, width, fill: getComputedStyle(mark).fill };
})"""
TEXTS = """(svg, role) => [...svg.querySelectorAll(`g.${role} text`)]
  .map((text) => ({ text, place: text.getBoundingClientRect(), lines: [...text.querySelectorAll("tspan")] }))
  .sort((one, other) => one.place.top - other.place.top || one.place.left - other.place.left)
  .map(({ text, lines }) => lines.map((line) => line.textContent).join(" ") || text.textContent)
  .map((text) => text.replaceAll("\\u2060", ""))"""
# As a change of theme does: the page is hidden for a moment, in which charts are told that their room has changed.
HIDDEN_FOR_A_MOMENT = """async () => {
  document.body.style.display = "none";
  window.dispatchEvent(new Event("resize"));
  document.body.style.display = "";
  for (let frames = 0; frames < 5; frames += 1) await new Promise(requestAnimationFrame);
}"""


@pytest.fixture(scope="module", params=["jupyterlab", pytest.param("notebook", marks=pytest.mark.sweep)])
def side(request, town):
    replies = {word: f"```sql\n{query}\n```" for word, query in QUERIES.items()}
    replies["largest"] += SUGGESTED.format(x="shop", y="sold")
    for number, name in enumerate(NAMES[:2]):
        replies[f"odd{number}"] += SUGGESTED.format(x=name, y="n")
    town.provider.answers |= {word: (reply, 0.0) for word, reply in replies.items()}
    side = panel_lab.Side(town.page(request.param, "charts", [DATA, ODD]))
    before = [*side.notebook.errors]  # Notebook's own
    yield side
    assert side.notebook.errors == before


@pytest.fixture(scope="module")
def drawn(side):
    """The cells, each of which shows a chart."""
    cells = {}
    for kind, code in CELLS.items():
        cells[kind] = side.cell(code)
        cells[kind].locator("svg.marks").wait_for()
    return cells


def fits(chart, edges):
    """Wait until nothing is wrong with a chart between the edges of an element."""
    handles = [chart.locator("svg.marks").element_handle, edges.element_handle]

    def faults():
        return chart.page.evaluate(FAULTS, [handle() for handle in handles])

    eventually(lambda: not faults(), lambda: str(faults()))


def marks(chart):
    return chart.locator("svg.marks").evaluate(MARKS)


def said(chart, name):
    """What the marks say of a field, in the order of a screen reader."""
    return [re.search(rf"(?:^|; ){name}: ([^;]*)", mark["says"])[1] for mark in marks(chart)]


def texts(chart, role):
    """The texts of a part of the chart, from the top, then from the left."""
    return chart.locator("svg.marks").evaluate(TEXTS, role)


def themes(side):
    """The dark theme, then the light one, once the page has it."""
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        side.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        side.page.locator(f"body[data-jp-theme-name='{theme}']:not(:has(#jupyterlab-splash))").wait_for(
            state="attached"
        )
        yield theme


def test_bars_stand_largest_first_with_the_rest_as_others(drawn):
    for cell in (drawn["bar"], drawn["ask"]):
        largest = [f"shop {n}" for n in reversed(range(15, 45))]
        assert said(cell, "shop") == [*largest, "others"]
        assert said(cell, "sold") == [*map(str, reversed(range(15, 45))), str(sum(range(15)))]
        assert texts(cell, "role-axis-label")[:31] == [*largest, "others"]
        *bars, others = marks(cell)
        assert [bar["top"] for bar in bars] == sorted(bar["top"] for bar in bars)
        assert [bar["width"] for bar in bars] == sorted((bar["width"] for bar in bars), reverse=True)
        assert others["top"] > bars[-1]["top"]
        assert {bar["fill"] for bar in bars} != {others["fill"]}


def test_the_title_is_the_question_and_what_is_left_out_is_said(drawn):
    cell = drawn["bar"]
    title = "Which are the largest shops by what they sold in the year"
    left_out = "30 largest of 45 values of shop; the other 15 are added up as “others”"
    assert " ".join(texts(cell, "role-title-text")) == title
    assert " ".join(texts(cell, "role-title-subtitle")) == f"The {left_out}"
    alternative = f"{title}. Bar chart of sold by shop: 31 values, from 15 (shop 15) to 105 (others). The {left_out}"
    expect(cell.locator(".vega-embed")).to_have_attribute("aria-label", alternative)
    expect(cell.locator(".vega-embed")).to_have_attribute("role", "graphics-document")
    expect(cell).to_contain_text(f"The chart shows the {left_out}.")
    assert " ".join(texts(drawn["cut"], "role-title-text")) == "What is sold, paired"
    assert texts(drawn["cut"], "role-title-subtitle") == ["The first 1,000 of 2,025 rows"]
    expect(drawn["cut"]).to_contain_text("The chart shows the first 1,000 of 2,025 rows.")
    assert len(marks(drawn["cut"])) == 1000
    assert texts(drawn["box"], "role-title-subtitle") == []


def test_boxes_a_heat_map_and_small_charts_are_drawn(drawn):
    boxes = [mark for mark in marks(drawn["box"]) if "upper_box" in mark["says"]]
    assert [re.search(r"origin: (\w+)", box["says"])[1] for box in boxes] == ["LGA", "EWR", "JFK"]  # by their medians
    assert texts(drawn["box"], "role-axis-label")[:3] == ["LGA", "EWR", "JFK"]
    outliers = drawn["box"].locator("g.mark-symbol path[aria-label*='90']")
    expect(outliers).to_have_count(3)
    week = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert said(drawn["heat"], "weekday") == [day for day in week for _ in range(8)]
    assert texts(drawn["heat"], "role-axis-label")[:7] == week
    assert len({mark["fill"] for mark in marks(drawn["heat"])}) > 5
    headings = ["Do the airports differ?", "origin", "EWR", "JFK", "Laguardia"]
    assert texts(drawn["facets"], "role-title-text") == headings
    expect(drawn["facets"].locator("g.cell g.mark-line path")).to_have_count(6)
    assert texts(drawn["facets"], "role-legend-label") == ["AA", "UA"]


def test_charts_have_the_width_of_their_cells_and_follow_the_theme(side, drawn):
    def look():
        for cell in drawn.values():
            cell.scroll_into_view_if_needed()
            fits(cell, cell.locator(".rsql-code"))

    look()
    for width, display in ((800, "block"), (1600, "inline-block")):  # which charts of others set for the page
        side.page.add_style_tag(content=f".vega-embed {{ display: {display}; }}")
        side.page.set_viewport_size({"width": width, "height": 900})
        look()
    side.page.set_viewport_size({"width": 1150, "height": 900})
    for _ in themes(side):
        look()
        side.page.evaluate(HIDDEN_FOR_A_MOMENT)
        look()
    for cell in drawn.values():
        outputs = cell.locator(".jp-OutputArea-output")
        expect(outputs).to_have_count(3)  # the card and its table, the chart, what it took
        expect(outputs.nth(0).locator("table")).to_have_count(1)
        expect(outputs.nth(1).locator("svg.marks")).to_have_count(1)
        expect(outputs.nth(2).locator(".rsql-usage")).to_contain_text("tokens")


def pointed_at(page, chart):
    """Point at and click each mark, and each text, of a chart; what the tooltips said."""
    said = []
    for part in chart.locator("g.role-mark path[aria-label], g.role-axis-label text, g.role-title-text text").all():
        at = part.bounding_box()
        page.mouse.move(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        page.mouse.move(at["x"] + at["width"] / 2 + 1, at["y"] + at["height"] / 2)
        page.mouse.down()
        page.mouse.up()
        tooltip = page.locator("#vg-tooltip-element.visible")
        said += [tooltip.inner_text().replace("\u2060", "")] if tooltip.count() else []
    page.mouse.move(0, 0)
    return said


@pytest.mark.spine
def test_nothing_is_asked_for_by_a_name_or_a_value_that_is_pointed_at(side):
    asked, pages = [], len(side.page.context.pages)
    side.page.on("request", lambda request: asked.append(request.url))
    side.open()
    for number, name in enumerate(NAMES):
        cell = side.cell(f"%%sql_ai frames --plot bar\nodd{number}")
        turn = side.ask(f"/sql frames odd{number}, as a bar chart") if number < 2 else None
        for chart in filter(None, [cell, turn and turn.locator(".rsql-chart")]):
            chart.locator("svg.marks").wait_for()
            chart.scroll_into_view_if_needed()
            told = pointed_at(side.page, chart)
            assert sorted(said(chart, "n")) == ["1", "2", "3"]
            assert {each[-1] for each in told if "http://127.0.0.1:9/canary" in each} == set("012"), (name, told)
    assert [url for url in asked if "canary" in url] == []
    assert len(side.page.context.pages) == pages


def test_a_chart_of_the_sidebar_is_the_same_and_as_wide_as_it_is(side):
    side.open()
    panel_lab.send(side.sidebar, "/sql frames Which are the largest shops, as a bar chart?")
    room = side.turns.last.locator(".rsql-chart")
    room.locator("svg.marks").wait_for()
    assert said(room, "shop") == [*(f"shop {n}" for n in reversed(range(15, 45))), "others"]
    assert " ".join(texts(room, "role-title-text")) == "Which are the largest shops"
    told = "Which are the largest shops. Bar chart of sold by shop: 31 values, from 15 (shop 15) to 105 (others)"
    expect(room).to_have_attribute("aria-label", re.compile(f"^{re.escape(told)}. The 30 largest of 45 values"))
    for _ in themes(side):
        fits(room, room)
        side.page.evaluate(HIDDEN_FOR_A_MOMENT)
        fits(room, room)
        panel_lab.accessible(side.page, ".rsql-sidebar")
    if side.notebook.front_end == "jupyterlab":  # in Notebook 7 it has one width
        edge, narrow = side.page.locator("#jp-right-stack").bounding_box()["x"], room.bounding_box()["width"]
        for press, x in ((side.page.mouse.down, edge - 2), (side.page.mouse.up, edge - 202)):
            side.page.mouse.move(x, 400)
            press()
        fits(room, room)
        assert room.bounding_box()["width"] > narrow + 150
