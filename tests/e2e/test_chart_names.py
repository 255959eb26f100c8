"""Columns named by every word that a renderer knows: the real Vega of a browser draws them, and asks for nothing."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pandas as pd
import pytest
from e2e import panel_lab

from rsql_magic.display.charts import Chart, as_altair, draw, live

pytestmark = pytest.mark.sweep
RANDOM = random.Random(33)
CANARY = "http://canary.test/x.png"
KINDS = ("bar", "line", "point", "area", "hist", "pie", "box", "heat")
# Of renderers that are not in the bundle: DataTables, Plotly, ipywidgets, D3's and the DOM's own.
OTHERS = """
    DT_RowId DT_RowClass DT_RowData DT_RowAttr mRender mData aoColumns columnDefs render ajax sAjaxSource fnRender
    hovertemplate texttemplate customdata meta text href target source sizing layer images updatemenus
    _module _view_name _model_module _esm _css comm_id layout style buffers
    innerHTML outerHTML onload onerror srcdoc xlink:href formaction
    background-image __defineGetter__ __lookupGetter__ __data__ __on __chart__ __zoom then catch toJSON length
    """.split()  # noqa: SIM905
SIGNS = [
    "\\",
    "a.b[0]",
    '"',
    "'",
    "a\nb",
    "{",
    "${x}",
    "</script><img src=x onerror=warned=1>",
    "`",
    "%",
    "\u202ea",
    "",
]
SIGNS += [
    CANARY,
    f"![x]({CANARY})",
    f"<img src={CANARY}>",
    f"url({CANARY})",
    '"+(warned=1)+"',
    "datum['x']",
    "[0]",
    " ",
]

DRAW = """async (specs) => {
  document.body.replaceChildren();
  const marks = ["rect", "symbol", "line", "area", "arc"].map((kind) => `g.mark-${kind} path`).join(", ");
  const told = [];
  for (const spec of specs) {
    const place = document.createElement("div");
    place.style.width = "640px";
    document.body.append(place);
    try {
      await vegaEmbed(place, spec, { actions: false, renderer: "svg" });
      const odd = place.querySelectorAll("image, a, foreignObject, script, iframe, img").length;
      told.push([place.querySelectorAll(marks).length, odd]);
    } catch (error) { told.push([0, String(error)]); }
  }
  return told;
}"""
POINT = """(places) => [...document.querySelectorAll(places)].map((place) => {
  const parts = ["mark path[aria-label]", "legend-symbol path", "title-text text", "axis-title text"];
  const of = [...place.querySelectorAll(parts.map((part) => `.role-${part}`).join(", "))];
  return [of[0], of[of.length - 1]].filter(Boolean).map((one) => {
    one.scrollIntoView({ block: "center" });
    const at = one.getBoundingClientRect();
    const to = { clientX: at.x + at.width / 2, clientY: at.y + at.height / 2, bubbles: true };
    const shown = document.elementFromPoint(to.clientX, to.clientY) ?? one;
    for (const kind of ["pointerover", "pointermove", "pointerdown"]) shown.dispatchEvent(new PointerEvent(kind, to));
    for (const kind of ["mouseover", "mousemove", "mousedown", "mouseup", "click", "dblclick"]) {
      shown.dispatchEvent(new MouseEvent(kind, to));
    }
    const tooltip = document.querySelector("#vg-tooltip-element.visible");
    return tooltip ? [tooltip.innerText, tooltip.querySelectorAll("img, a, script, iframe").length] : ["", 0];
  });
})"""


def words():
    """What the bundle and the schema of Vega-Lite are made of, and what JavaScript's own objects have."""
    vl_convert, altair = pytest.importorskip("vl_convert"), pytest.importorskip("altair")
    code = vl_convert.javascript_bundle()
    found = {*re.findall(r"\.([A-Za-z_$][\w$]{2,30})", code), *re.findall(r'"([A-Za-z_$@][\w$.-]{2,30})"', code)}
    schema = next(Path(altair.__file__).parent.rglob("vega-lite-schema.json")).read_text(encoding="utf-8")
    found |= {*re.findall(r'"([A-Za-z_$][\w$.-]{1,30})"', schema)}
    return code, [*SIGNS, *OTHERS, *RANDOM.sample(sorted(found), len(found))]


def charts(names):
    """One of each three names, as its columns and among its values."""
    for number in range(0, len(names), 3):
        kind, three = KINDS[number // 3 % len(KINDS)], [*dict.fromkeys([*names[number : number + 3], "q1", "q2"])][:3]
        values = [three[0], CANARY, RANDOM.choice(SIGNS), "plain"]
        frame = pd.DataFrame(
            [(one, place + 1.5, other) for place, one in enumerate(values) for other in (three[2], "plain")],
            columns=three,
        )
        x, measure, other = three
        crossed = {"heat": Chart("heat", x, other, measure), "hist": Chart("hist", measure)}
        yield three, draw(crossed.get(kind) or Chart(kind, x, measure), frame)[0]


def test_every_word_of_the_renderers_is_drawn_as_a_name(tmp_path):
    code, names = words()
    drawn = [(three, live(spec)) for three, spec in charts(names)]
    (tmp_path / "page.html").write_text(f"<meta charset=utf-8><body></body><script>{code}</script>", encoding="utf-8")
    asked, wrong, told = [], [], 0
    with panel_lab.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 900, "height": 900})
        page.goto((tmp_path / "page.html").as_uri())
        page.context.on("request", lambda request: asked.append(request.url))
        page.context.on("page", lambda other: asked.append(other.url))
        page.set_default_timeout(240_000)
        for at in range(0, len(drawn), 40):
            some = drawn[at : at + 40]
            marks = page.evaluate(DRAW, json.loads(json.dumps([spec for _, spec in some])))
            shown = page.evaluate(POINT, "body > div")
            told += sum(bool(text) for each in shown for text, _ in each)
            wrong += [(three, found) for (three, _), found in zip(some, marks, strict=True) if not found[0] or found[1]]
            wrong += [
                (three, each) for (three, _), each in zip(some, shown, strict=True) if any(odd for _, odd in each)
            ]
        assert page.evaluate("window.warned") is None
    print(f"{len(names)} names in {len(drawn)} charts, {told} tooltips, {len(asked)} requests, {len(wrong)} wrong")
    assert (asked, wrong) == ([], [])
    assert told > len(drawn) / 2


def test_an_exported_page_asks_for_nothing(tmp_path):
    _, names = words()
    asked = []
    with panel_lab.chromium() as chromium:
        page = chromium.new_page()
        for number, (_, spec) in enumerate(charts([*SIGNS, *RANDOM.sample(names, 30)])):
            path = tmp_path / f"{number}.html"
            as_altair(spec).save(path, inline=True)
            page.context.on("request", lambda request: asked.append(request.url))
            page.goto(path.as_uri())
            page.locator("svg.marks, canvas.marks").first.wait_for()
            page.evaluate(POINT, "#vis")
            assert page.evaluate("window.warned") is None
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
