"""Charts: a Vega-Lite specification from rules or from a model's suggestion, checked, never executed."""

# A model may only say `{"chart": "bar", "x": "origin", "y": "n", "color": null}`. Anything else in its JSON is ignored,
# names that are not columns are refused, and the data is bound here, so that no text of a model reaches a renderer.
# Altair is imported only when somebody asks for the chart as an object: it takes seconds.

from __future__ import annotations

import json
import re
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import BadInput
from rsql_magic.options import CHARTS
from rsql_magic.options import ChartKind as Kind

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

Spec = dict[str, Any]  # a Vega-Lite specification

MOST_ROWS = 5000  # as Altair's own limit: each row stands in the notebook's file
_MOST_BARS = 50  # more cannot be read
_LONGEST_UPRIGHT = 12  # characters of a label below a bar; with longer ones the bars lie
_VEGALITE_5 = "application/vnd.vegalite.v5+json"  # the newest that JupyterLab and nbviewer draw by themselves
_WIDTH, _STEP, _CHARACTER = 480, 32, 7  # pixels: of a chart, of a bar and its gap, of a character of a label
_LOOKS = {
    "view": {"continuousWidth": _WIDTH, "continuousHeight": 260, "discreteWidth": {"step": _STEP}},
    "axisQuantitative": {"tickCount": 6},  # or labels that do not fit are left out, and zero among them
}
_SMALL = {"fontSize": 11, "fontWeight": "normal", "anchor": "start"}
_TIMES = {"year", "month", "day", "hour", "week", "quarter", "decade"}
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw; ``y`` is empty for a histogram of ``x`` and for counting rows by ``x``."""

    kind: Kind
    x: str
    y: str = ""
    color: str = ""


def read(text: str, frame: pd.DataFrame, kind: Kind | None = None) -> Chart:
    """The chart that a model's JSON asks for; the kind that the user asked for wins."""
    try:
        suggestion = json.loads(text)
    except ValueError:
        suggestion = None
    if not isinstance(suggestion, dict):
        raise BadInput("The chart's description is not a JSON object.", hint="Name a type: --plot bar.")
    asked = kind or suggestion.get("chart")
    if asked not in CHARTS:
        raise BadInput(f"There is no chart of the kind {asked!r}.", hint=f"There are: {', '.join(CHARTS)}.")
    x, y, color = (_column(suggestion.get(channel), frame) for channel in ("x", "y", "color"))
    if not x:
        raise BadInput("The chart's description names no column for x.", hint="Name a type: --plot bar.")
    return Chart(asked, x, y, color)


# The column of that name, case ignored; empty for none.
def _column(name: Any, frame: pd.DataFrame) -> str:
    if name in (None, ""):
        return ""
    names = {str(column).casefold(): str(column) for column in reversed(list(frame.columns))}
    if (found := names.get(str(name).casefold())) is None:
        hint = "Name a type: --plot bar."
        raise BadInput(f"The chart names {str(name)[:60]!r}, which is not a column of the result.", hint=hint)
    return found


def choose(frame: pd.DataFrame, kind: Kind | None = None) -> Chart:
    """The chart that fits a result, by the types of its columns."""
    # A time and a number make a line, a category and a number make bars, two numbers make points, one number a
    # histogram. A second category with few values becomes the colour.
    if frame.empty or not len(frame.columns):
        raise BadInput("The result has no rows to draw.", hint="Leave --plot out.")
    types = {str(name): type_of(frame.iloc[:, i]) for i, name in enumerate(frame.columns)}
    times, words, numbers = (
        [name for name, is_ in types.items() if is_ == kind_] for kind_ in ("temporal", "nominal", "quantitative")
    )
    # A first column of distinct whole numbers, such as a month, orders the others rather than being measured itself.
    first = numbers[:1] if len(numbers) > 1 and _is_whole(frame[numbers[0]]) else []
    ordered = [name for name in first if frame[name].is_unique or name.lower() in _TIMES]
    measures = [name for name in numbers if name not in ordered]
    if kind == "hist" or (not times and not words and not ordered and len(numbers) == 1 and kind is None):
        return Chart("hist", (measures or ordered or list(types))[0])
    axes = [*times, *ordered, *words]
    y = next(iter(measures), "")
    x = next(iter(axes), "") or next((name for name in measures if name != y), y)
    if not axes and len(measures) > 1:
        x, y = measures[0], measures[1]
    color = next((name for name in [*words, *ordered] if name != x and frame[name].nunique() <= 12), "")
    default: Kind = "line" if x in times or x in ordered else "bar" if x in words else "point"
    return Chart(kind or default, x, y, color)


def wanted(frame: pd.DataFrame, suggestion: str = "", kind: Kind | None = None) -> Chart:
    """The chart to draw: the model's, where its suggestion can be drawn, else the one that fits the result."""
    if suggestion and not frame.empty:
        with suppress(BadInput):  # the suggestion was the model's, not the user's
            return read(suggestion, frame, kind)
    return choose(frame, kind)


def _is_whole(values: pd.Series[Any]) -> bool:
    return bool((values.dropna() % 1 == 0).all())


def type_of(values: pd.Series[Any]) -> Literal["temporal", "quantitative", "nominal"]:
    """Vega-Lite's type of a column."""
    import datetime as dt
    import decimal

    from pandas.api import types

    if types.is_datetime64_any_dtype(values):
        return "temporal"
    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values):
        return "quantitative"
    first = next((value for value in values if value is not None), None)
    if isinstance(first, dt.date):
        return "temporal"
    return "quantitative" if isinstance(first, decimal.Decimal) else "nominal"


def spec(chart: Chart, frame: pd.DataFrame) -> Spec:
    """The Vega-Lite specification, without its data."""
    marks = {"hist": "bar", "pie": "arc", "point": "point"}
    mark: dict[str, Any] = {"type": marks.get(chart.kind, chart.kind), "tooltip": True}
    measure = _channel(chart.y, frame) if chart.y else {"aggregate": "count", "type": "quantitative", "title": "rows"}
    if chart.kind == "pie":
        return {"mark": mark, "encoding": {"theta": measure, "color": _channel(chart.x, frame)}}
    across = _channel(chart.x, frame)
    if chart.kind == "hist":
        across |= {"bin": across["type"] == "quantitative"}
        measure = {"aggregate": "count", "type": "quantitative", "title": "rows"}
    elif chart.kind == "bar" and across["type"] == "nominal":
        across |= {"sort": None}  # the query's own order
    elif chart.kind == "bar" and "axis" in across:
        across |= {"type": "ordinal"}  # one full bar for each month, not a thin one at each number
    lying = chart.kind == "bar" and across["type"] == "nominal" and _longest(frame[chart.x]) > _LONGEST_UPRIGHT
    encoding = {"y": across, "x": measure} if lying else {"x": across, "y": measure}
    if chart.color:
        encoding["color"] = _channel(chart.color, frame, "nominal")
    stands = chart.kind == "bar" and not lying and across["type"] in {"nominal", "ordinal"}
    # Pixels from bar to bar at which level labels fit below them, where there are not too many for that.
    step = max(_STEP, _CHARACTER * (_longest(frame[chart.x]) + 1)) if stands else 0
    if stands and step * frame[chart.x].nunique() <= _WIDTH:
        across["axis"] = across.get("axis", {}) | {"labelAngle": 0}
        return {"mark": mark, "encoding": encoding, "width": {"step": step}}
    return {"mark": mark, "encoding": encoding}


def _channel(name: str, frame: pd.DataFrame, as_type: str = "") -> dict[str, Any]:
    kind = as_type or type_of(frame[name])
    # A field whose name has dots or brackets would reach into nested data.
    field = re.sub(r"[\\.\[\]'\"]", r"\\\g<0>", name)
    channel: dict[str, Any] = {"field": field, "type": kind, "title": name}
    if kind == "quantitative" and name.lower() in _TIMES - {"decade"} and _is_whole(frame[name]):
        channel["axis"] = {"format": "d"}  # 2013, not 2,013
    return channel


def _longest(values: pd.Series[Any]) -> int:
    return max((len(str(value)) for value in values), default=0)


def draw(chart: Chart, frame: pd.DataFrame, total: int | None = None, *, cut: bool = False) -> tuple[Spec, str]:
    """The specification with its data bound, and a note on it."""
    # At most `MOST_ROWS` rows are drawn, of `total` where that is known; `cut` when there are more than in `frame`. A
    # chart of some of the rows has that as its title.
    rows, note, title = frame.head(MOST_ROWS), "", {}
    if cut or len(frame) > MOST_ROWS:
        every = len(frame) if not cut else total
        of = f"of {every:,} rows" if every is not None else "rows; there are more"
        note = f"The chart shows the first {len(rows):,} {of}."
        title = {"title": {"text": f"First {len(rows):,} {of}", **_SMALL}}
    elif chart.kind in {"bar", "pie"} and frame[chart.x].nunique() > _MOST_BARS:
        note = f"{chart.x} has {frame[chart.x].nunique():,} values; a LIMIT makes the chart easier to read."
    drawn = {"$schema": _SCHEMA, "config": _LOOKS, **title, **spec(chart, frame)}
    return {**drawn, "data": {"values": _records(rows, chart)}}, note


def as_altair(drawn: Spec) -> alt.Chart:
    """The same as an Altair chart, to be changed and combined; Altair validates it."""
    import altair as alt

    kept: Spec = {key: drawn[key] for key in ("title", "mark", "encoding", "width") if key in drawn}
    chart = alt.Chart.from_dict({**kept, "data": {"name": "result"}})
    chart.data = alt.InlineData(values=drawn["data"]["values"])  # bound later: from_dict validates value by value
    return chart


# The drawn columns as JSON values; the rest of the result stays out of the notebook's file.
def _records(rows: pd.DataFrame, chart: Chart) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for name in (chart.x, chart.y, chart.color) if name))
    columns = {name: rows.iloc[:, [str(column) for column in rows.columns].index(name)] for name in names}
    return [dict(zip(names, map(_plain, values), strict=True)) for values in zip(*columns.values(), strict=True)]


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
    plain = f"<{drawn['mark']['type']} chart of {len(drawn['data']['values']):,} rows>"
    shown = {_VEGALITE_5: drawn, "text/plain": plain}
    if not png or find_spec("vl_convert") is None:
        return shown
    import vl_convert

    shown |= {"image/svg+xml": str(vl_convert.vegalite_to_svg(drawn))} if svg else {}
    return {**shown, "image/png": b64encode(vl_convert.vegalite_to_png(drawn, scale=1.5)).decode("ascii")}


def picture(drawn: Spec, kind: str) -> bytes:
    """A chart as a picture of the kind ``png`` or ``svg``; it needs ``vl-convert-python``."""
    if find_spec("vl_convert") is None:
        raise BadInput("A picture needs vl-convert-python.", hint="pip install 'rsql-jupyter[png]'")
    import vl_convert

    if kind == "svg":
        return str(vl_convert.vegalite_to_svg(drawn)).encode("utf-8")
    return bytes(vl_convert.vegalite_to_png(drawn, scale=2.0))
