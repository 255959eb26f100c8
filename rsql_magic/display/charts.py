"""Charts: which one, of which rows, as a Vega-Lite specification that is checked and never executed; and pictures."""

# The data is bound here, so that no text of a model reaches a renderer. Altair is imported only when somebody asks for
# the chart as an object: it takes seconds.

from __future__ import annotations

import re
import textwrap
from base64 import b64encode
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rsql_magic.display.chart_kinds import Chart, choose, read, type_of, wanted
from rsql_magic.display.chart_room import LINE, SMALL_LINE, live
from rsql_magic.display.chart_rows import MOST_ROWS, Drawn, Facts, drawn
from rsql_magic.display.chart_spec import RANK, Spec, fields, looks, spec
from rsql_magic.display.checked_charts import checked_vega_lite
from rsql_magic.errors import BadInput
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from rsql_magic.options import ChartKind as Kind

__all__ = [
    "MOST_ROWS",
    "Chart",
    "Facts",
    "Spec",
    "as_altair",
    "bundle",
    "choose",
    "draw",
    "live",
    "names_an_address",
    "picture",
    "read",
    "spec",
    "wanted",
]

_VEGALITE_5 = "application/vnd.vegalite.v5+json"  # the newest that JupyterLab and nbviewer draw by themselves
_OWN_FIELD = re.compile(rf"c\d+|{RANK}")
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_WIDTH = 640  # pixels of a picture, which has no cell to fill
_GREY, _INK = "#757575", "#333333"  # to be read on a dark and a light ground, and on a white one
# "…, as a bar chart" at the end of a question: what is seen needs no words.
_FORM = re.compile(
    r"(?i),? (?:as|in|with) an? (?:[\w-]+ ){0,3}(?:chart|plot|graph|diagram|histogram|heat ?map)[.?! ]*$"
)
_NAMES: dict[Kind, str] = {
    "bar": "Bar chart",
    "line": "Line chart",
    "point": "Scatter plot",
    "area": "Area chart",
    "hist": "Histogram",
    "pie": "Pie chart",
    "box": "Box plot",
    "heat": "Heat map",
}


def draw(chart: Chart, frame: pd.DataFrame, facts: Facts | None = None) -> tuple[Spec, str]:
    """The specification with its data bound, and a note on it.

    The title is the question. What is drawn of only some of the rows or values says so below it.
    """
    facts = facts or Facts()
    part = drawn(chart, frame, facts)
    title, said = _title(facts.question), list(part.said)
    lines = [part for line in said for part in textwrap.wrap(line, SMALL_LINE)]
    heading = {"text": title, "subtitle": lines} if title and said else {"text": title or lines}
    whole = {
        "$schema": _SCHEMA,
        "config": looks(),
        "description": _sentences(" ".join(title), described(part.chart, part.rows), *said),
        **({"title": heading} if title or said else {}),
        **spec(part.chart, part.rows, part.orders, part.others),
        "data": {"values": _records(part)},
    }
    return whole, " ".join(f"The chart shows {line[:1].lower()}{line[1:]}." for line in said)


def _title(question: str) -> list[str]:
    words = _FORM.sub("", " ".join(printable(question).split()))
    return textwrap.wrap(words[:1].upper() + words[1:], LINE, max_lines=3, placeholder=" …")


# What ends a sentence already, as the mark of a question does, stands alone.
def _sentences(*parts: str) -> str:
    return re.sub(r"(?<=[.?!…])\. ", " ", ". ".join(filter(None, parts)))


def described(chart: Chart, rows: pd.DataFrame) -> str:
    """A chart in words, for those who do not see it.

    Example:
        >>> import pandas as pd
        >>> described(Chart("bar", "origin", "n"), pd.DataFrame({"origin": ["EWR", "JFK"], "n": [3, 12000]}))
        'Bar chart of n by origin: 2 values, from 3 (EWR) to 12,000 (JFK)'
    """
    by = f" of {chart.y} by {chart.x}" if chart.x and chart.y else f" of {chart.x or chart.y}"
    if chart.kind == "heat":
        by = f" of {chart.color or 'rows'} by {chart.x} and {chart.y}"
    parts = [f"one colour for each {chart.color}"] if chart.color and chart.kind != "heat" else []
    parts += [f"one chart for each {chart.facet}"] if chart.facet else []
    return f"{_NAMES[chart.kind]}{', '.join([by, *parts])}: {_range(chart, rows)}"


def _range(chart: Chart, rows: pd.DataFrame) -> str:
    import pandas as pd

    measure = chart.color if chart.kind == "heat" else chart.y or chart.x
    counted = f"{len(rows):,} value{'' if len(rows) == 1 else 's'}"
    if not measure or type_of(rows[measure]) != "quantitative":
        return counted
    sizes = pd.to_numeric(rows[measure], errors="coerce").dropna()
    if sizes.empty:
        return counted
    low, high = sizes.idxmin(), sizes.idxmax()
    pairs = chart.kind in {"bar", "line", "area", "pie", "heat"}
    named = [each for each in (chart.x, chart.y, chart.color, chart.facet) if each and each != measure and pairs]

    def at(place: Any) -> str:
        size = float(sizes[place])
        number = f"{size:,.0f}" if abs(size) >= 1000 or size == int(size) else f"{size:.4g}"
        return f"{number} ({', '.join(_said(name, rows[name][place]) for name in named)})" if named else number

    return f"{counted}, from {at(low)} to {at(high)}" if len(sizes) > 1 else f"{counted}, {at(low)}"


def _said(name: str, value: Any) -> str:
    words = printable(str(_plain(value)))
    return words if isinstance(value, str) else f"{name} {words}"


def as_altair(drawn: Spec) -> alt.Chart:
    """The same as an Altair chart, to be changed and combined; Altair validates it."""
    import altair as alt

    keys = ("title", "description", "mark", "encoding", "width", "height", "resolve")
    kept: Spec = {key: drawn[key] for key in keys if drawn.get(key, "container") != "container"}
    chart = alt.Chart.from_dict({**_within_a_script(kept), "data": {"name": "result"}})
    values = _within_a_script(drawn["data"]["values"])
    chart.data = alt.InlineData(values=values)  # bound later: from_dict validates value by value
    return chart


_ENDS_A_SCRIPT = re.compile(r"(?i)<(?=/|!--|script)")


# Altair writes a chart into the script of a page as it is, so a value with the end of a script would go on as the page.
# A sign that is not seen parts what would be read as HTML.
def _within_a_script(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _within_a_script(value) for name, value in part.items()}
    if isinstance(part, list):
        return [_within_a_script(value) for value in part]
    return _ENDS_A_SCRIPT.sub("<\N{WORD JOINER}", part) if isinstance(part, str) else part


# The rows under our own names. Slices go around in their order only by a field that has it.
def _records(part: Drawn) -> list[dict[str, Any]]:
    names = fields(part.rows)
    rows = part.rows.rename(columns=names)
    if part.chart.kind == "pie":
        ranks = {name: rank for rank, name in enumerate(part.orders.get(part.chart.x, ()))}
        rows[RANK] = part.rows[part.chart.x].map(ranks)
    columns = [rows[name] for name in rows.columns]
    return [dict(zip(rows.columns, map(_plain, values), strict=True)) for values in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    import decimal
    import math

    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)


def bundle(drawn: Spec, *, png: bool = True, svg: bool = False) -> dict[str, Any]:
    """Representations of a chart: Vega-Lite for notebooks, and pictures where ``vl-convert-python`` is installed."""
    shown = {_VEGALITE_5: live(drawn), "text/plain": f"<{drawn['description']}>"}
    if not png or find_spec("vl_convert") is None:
        return shown
    import vl_convert

    shown |= {"image/svg+xml": str(vl_convert.vegalite_to_svg(_still(drawn, _GREY)))} if svg else {}
    still = _still(drawn, _INK, "white")
    return {**shown, "image/png": b64encode(vl_convert.vegalite_to_png(still, scale=1.5)).decode("ascii")}


def picture(drawn: Spec, kind: str) -> bytes:
    """A chart as a picture of the kind ``png`` or ``svg``; it needs ``vl-convert-python``."""
    if find_spec("vl_convert") is None:
        raise BadInput("A picture needs vl-convert-python.", hint="pip install 'rsql-jupyter[png]'")
    import vl_convert

    still = _still(drawn, _INK, "white")
    if kind == "svg":
        return str(vl_convert.vegalite_to_svg(still)).encode("utf-8")
    return bytes(vl_convert.vegalite_to_png(still, scale=2.0))


def of_record(drawn: Any) -> Spec | None:
    """A kept chart as it may be drawn again.

    One that was not made as this version makes them, such as an earlier one whose fields bear the names of columns,
    goes through the check of what cells show, and loses its tooltips.

    Example:
        >>> of_record({"mark": {"type": "bar", "tooltip": True}, "data": {"values": [{"image": 1}]}})["mark"]
        {'type': 'bar'}
    """
    if not isinstance(drawn, dict):
        return None
    rows = (drawn.get("data") or {}).get("values") or []
    is_own = all(_OWN_FIELD.fullmatch(str(name)) for row in rows for name in row)
    return drawn if is_own and not names_an_address(drawn) else checked_vega_lite(drawn)[0] or None


def names_an_address(drawn: Spec) -> bool:
    """Whether drawing it would fetch something, as none does that was made here: its rows stand in it.

    Example:
        >>> names_an_address({"mark": {"type": "image", "url": "https://example.org/"}, "data": {"values": []}})
        True
        >>> names_an_address({"mark": "bar", "data": {"values": [{"url": "a column"}]}})
        False
    """
    rows = drawn.get("data", {})
    return not isinstance(rows, dict) or rows.keys() != {"values"} or _has_address({**drawn, "data": None})


def _has_address(value: Any) -> bool:
    if isinstance(value, dict):
        return "url" in value or any(map(_has_address, value.values()))
    return isinstance(value, list) and any(map(_has_address, value))


# The chart as a picture, which has no page to take its width and its colours from.
def _still(drawn: Spec, ink: str, ground: str | None = None) -> Spec:
    kept = {key: value for key, value in drawn.items() if key not in {"params", "autosize"}}  # of an older version
    width = {"width": _WIDTH} if drawn.get("width", "container") == "container" else {}
    return {**kept, **width, "config": looks(ink, ground)}
