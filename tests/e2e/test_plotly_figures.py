"""Figures of Plotly that a cell shows: what passes the check is drawn by the real Plotly, and asks for nothing."""

from __future__ import annotations

import copy
import importlib.util
import random
import re
from pathlib import Path

import pytest
from e2e import panel_lab

from rsql_magic.display import checked_output

pytestmark = pytest.mark.sweep
RANDOM = random.Random(33)
CANARY = "http://canary.test/x.png"
PLOTLY = "application/vnd.plotly.v1+json"
SIGNS = [
    *(f'<a href="{CANARY}">x</a>', "<a href='javascript:warned=1'>x</a>", f"<img src={CANARY}>", f"url({CANARY})"),
    *(f"&lt;a href={CANARY}&gt;x&lt;/a&gt;", f"&#60;a href='{CANARY}'&#62;x", "%{customdata[0]}", "%{x|<a>}", CANARY),
    *(f"<br><a\n href={CANARY}>", f"<b <a href={CANARY}>", "</script><img src=x onerror=warned=1>", "$\\href{a}{b}$"),
    *("constructor", "__proto__", "toString", "image", "a.b[0]", "\\", "\u202e", "", "<extra></extra>", "<sup>1</sup>"),
    *(f"<span style='background:url({CANARY})'>x</span>", "javascript:warned=1", f"x; background: url({CANARY})"),
    *(f'Arial"; src: url({CANARY})', "path://M0,0", f"image://{CANARY}", f"url(#{CANARY})", f"@import '{CANARY}'"),
]
XY = {"x": ["a", "b", "c"], "y": [1, 3, 2], "text": ["p", "q", "r"], "name": "n", "hovertemplate": "%{x}: %{y}"}
FIGURES = [
    *({"type": kind, **XY, "marker": {"color": "red"}, "customdata": [["u"], ["v"], ["w"]]} for kind in (
        "scatter", "bar", "box", "violin", "histogram", "waterfall", "funnel", "scattergl")),
    {"type": "pie", "labels": ["a", "b"], "values": [1, 2], "textinfo": "label+percent", "texttemplate": "%{label}"},
    {"type": "heatmap", "x": ["a", "b"], "y": ["c"], "z": [[1, 2]], "colorscale": [[0, "red"], [1, "tan"]]},
    {"type": "sunburst", "labels": ["r", "a"], "parents": ["", "r"], "ids": ["1", "2"]},
    {"type": "treemap", "labels": ["r", "a"], "parents": ["", "r"], "ids": ["1", "2"]},
    {"type": "scatterpolar", "r": [1, 2], "theta": ["a", "b"], "mode": "lines+markers", "fill": "toself"},
    {"type": "table", "header": {"values": ["a"]}, "cells": {"values": [["b"]]}},
    {"type": "indicator", "mode": "number", "value": 3, "title": {"text": "t"}},
    {"type": "parcats", "dimensions": [{"label": "a", "values": ["x", "y"]}]},
]  # fmt: skip
LAYOUT = {
    "title": {"text": "t", "font": {"family": "Arial", "color": "blue"}}, "legend": {"title": {"text": "l"}},
    "xaxis": {"title": {"text": "x"}, "ticktext": ["a", "b"], "tickvals": ["a", "b"], "type": "category"},
    "annotations": [{"text": "note", "x": 0, "y": 1, "showarrow": True}], "showlegend": True, "width": 600,
    "shapes": [{"type": "rect", "x0": 0, "x1": 1, "y0": 0, "y1": 1}], "paper_bgcolor": "#fff",
}  # fmt: skip
# Words that reach an address, another page or code, beside those that only draw.
WORDS = """
    href src source images layout.images url target link meta uid ids hrefs template updatemenus sliders geo mapbox map
    topojsonURL accesstoken style layers sourcetype config plotlyServerURL showSendToCloud frames modebar selections
    transforms stream customdata hovertemplate texttemplate hoverlabel uirevision constructor toString dimensions cells
    header path layer sizing xref visible args method buttons active pad currentvalue steps font color line shape
    """.split()  # noqa: SIM905
RENDER = """async (figures) => {
  const told = [];
  for (const { data, layout } of figures) {
    document.body.replaceChildren();
    const place = document.createElement("div");
    document.body.append(place);
    try { await Plotly.newPlot(place, data, layout); } catch (error) { told.push(["failed", String(error)]); continue; }
    const parts = ".point path, .slice path, .nsewdrag, .gtitle, .legendtoggle, .annotation-text-g";
    for (const one of place.querySelectorAll(parts)) {
      const at = one.getBoundingClientRect();
      const to = { clientX: at.x + at.width / 2, clientY: at.y + at.height / 2, bubbles: true };
      for (const kind of ["mouseover", "mousemove", "mousedown", "mouseup", "click"]) {
        one.dispatchEvent(new MouseEvent(kind, to));
      }
    }
    try { Plotly.Fx.hover(place, [{ curveNumber: 0, pointNumber: 0 }]); } catch (error) { /* it has no points */ }
    const names = ["href", "xlink:href", "src"];
    const leads = (one) => names.some((name) => /^(http|javascript)/.test(one.getAttribute(name)));
    const odd = [...place.querySelectorAll("a, image, img, iframe, script, foreignObject, link")]
      .filter((one) => !one.closest(".modebar") && leads(one));
    told.push([odd.map((one) => one.outerHTML), place.querySelectorAll("svg").length]);
    Plotly.purge(place);
  }
  return told;
}"""


def places(part, way=()):
    yield way
    for name, inner in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        yield from places(inner, (*way, name))


def changed(figure):
    """A figure with a sign in place of something, or a word put in."""
    made = copy.deepcopy(figure)
    for _ in range(RANDOM.randint(1, 3)):
        way = RANDOM.choice([way for way in places(made) if way])
        inner = made
        for name in way[:-1]:
            inner = inner[name]
        if isinstance(inner[way[-1]], dict) and RANDOM.random() < 0.4:
            inner[way[-1]][RANDOM.choice(WORDS)] = RANDOM.choice(
                [*SIGNS, {"source": CANARY}, [CANARY], [{"href": CANARY}]]
            )
        else:
            inner[way[-1]] = RANDOM.choice([*SIGNS, [RANDOM.choice(SIGNS)] * 3])
    return made


def test_what_passes_the_check_is_drawn_and_asks_for_nothing(tmp_path):
    found = importlib.util.find_spec("plotly")
    if found is None or not found.origin:
        pytest.skip("plotly is not installed")
    code = (Path(found.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    whole = [{"data": [each], "layout": LAYOUT} for each in FIGURES]
    figures = [*whole, *(changed(RANDOM.choice(whole)) for _ in range(1_500))]
    shown = [checked_output({PLOTLY: each, "text/plain": "figure"}, {}).data.get(PLOTLY) for each in figures]
    passed = [each for each in shown if each]
    (tmp_path / "plotly.js").write_text(code, encoding="utf-8")
    (tmp_path / "page.html").write_text("<meta charset=utf-8><body></body><script src=plotly.js></script>")
    asked = []
    with panel_lab.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 900, "height": 700})
        page.set_default_timeout(240_000)
        page.goto((tmp_path / "page.html").as_uri())
        # Without the check, Plotly makes links and asks for pictures.
        link, image = (
            {"title": {"text": SIGNS[0]}},
            {"images": [{"source": CANARY, "x": 0, "y": 1, "sizex": 1, "sizey": 1}]},
        )
        with page.expect_request(CANARY):
            control = page.evaluate(RENDER, [{"data": FIGURES[:1], "layout": each} for each in (link, image)])
        assert control[0][0]
        page.context.on("request", lambda request: asked.append(request.url))
        page.context.on("page", lambda other: asked.append(other.url))
        told = [one for at in range(0, len(passed), 25) for one in page.evaluate(RENDER, passed[at : at + 25])]
        assert page.evaluate("window.warned") is None
    drawn = [each for each in told if each[0] != "failed"]
    odd = [each for each in drawn if each[0]]
    asked = [url for url in asked if not re.match(r"(data|blob):", url)]
    print(
        f"{len(figures)} figures, {len(passed)} pass, {len(drawn)} drawn, {len(asked)} requests, {len(odd)} with links"
    )
    assert (asked, odd) == ([], [])
    assert len(drawn) > 300
