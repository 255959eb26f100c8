"""A chart as a Vega-Lite specification: its marks and channels, its measures, and its looks."""

# What a query names its columns is read by no renderer: fields have names of our own, and a title is a text. Vega-Lite
# makes code of the titles of channels and of the values of `sort` (tooltips, descriptions for screen readers, ranks),
# vega-tooltip loads what stands under a title "image", and Vega looks up all texts among the words of JavaScript's own
# objects. So titles of channels are `spoken`, those that axes, legends and headings show end with a sign that no word
# of a program has, and an order is a domain.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsql_magic.display.chart_kinds import FEW_COLORS, TIMES, Chart, is_whole, type_of
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from rsql_magic.options import ChartKind as Kind

Spec = dict[str, Any]  # a Vega-Lite specification

_HEIGHT = 260  # pixels: of an axis of numbers
BEGIN = 100  # pixels: the width of a chart before it has found its room
_STEP = 22  # of a lying bar and its gap
_FEW_NUMBERS = 30  # whole numbers that have a bar each
_LOUD, _QUIET = "#4c78a8", "#9aa5b1"  # of bars, and of the bar of all others
_SLICES = ("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#eeca3b", "#b279a2", "#ff9da6", "#9d755d")
_SMALL = {"width": 260, "height": 150}  # of each of several small charts, as wide as the narrowest sidebar leaves room
LETTER = 6.5  # pixels of a label's letter
RANK = "rank"  # the field of a pie's rows that has their place in the order
_GUIDES = {"x": "axis", "y": "axis", "color": "legend", "facet": "header"}  # what shows the title of a channel
_LOOK_ALIKE = str.maketrans('"\\', "\N{RIGHT DOUBLE QUOTATION MARK}\N{SET MINUS}")
_MARKS: dict[Kind, str] = {"hist": "bar", "pie": "arc", "box": "boxplot", "heat": "rect"}


def fields(frame: pd.DataFrame) -> dict[str, str]:
    """The name that each column has in a chart.

    Example:
        >>> import pandas as pd
        >>> fields(pd.DataFrame(columns=["image", "a.b[0]"]))
        {'a.b[0]': 'c1', 'image': 'c0'}
    """
    return {name: f"c{number}" for number, name in reversed([*enumerate(map(str, frame.columns))])}


def spoken(name: str) -> str:
    r"""A title for places where Vega-Lite makes code of it: it looks and sounds as it does, and can mean nothing.

    It can end no text in code, and by its last sign, which is not seen, it is no word that a program looks for.

    Example:
        >>> spoken("image"), spoken('say "a\\"')
        ('image\u2060', 'say ”a∖”\u2060')
    """
    return _shown(name).translate(_LOOK_ALIKE)


# A name as the title of an axis, a legend or a heading: one line without marks that turn its direction, and a last sign
# that is not seen.
def _shown(name: str) -> str:
    return " ".join(printable(name).split()) + "\N{WORD JOINER}"


def spec(
    chart: Chart, frame: pd.DataFrame, orders: Mapping[str, Sequence[str]] | None = None, others: str = ""
) -> Spec:
    """The Vega-Lite specification without its data, whose columns are called as ``fields`` says.

    ``orders`` has the values of columns of categories in their order, ``others`` the last one of the bars or slices.
    """
    names, orders = fields(frame), orders or {}
    mark: dict[str, Any] = {"type": _MARKS.get(chart.kind, chart.kind)}
    mark |= {"tooltip": True} if chart.kind != "box" else {}  # a box has one of its own
    encoding, size = _ENCODINGS.get(chart.kind, _crossed)(chart, frame)
    if chart.color and chart.kind != "heat":
        encoding["color"] = _channel(chart.color, frame, "nominal")
    elif others and chart.kind == "bar":
        rest = {"test": {"field": names[chart.x], "equal": others}, "value": _QUIET}
        encoding["color"] = {"condition": rest, "value": _LOUD}
    if chart.kind in {"line", "area"} and len(frame) <= FEW_COLORS * 3:
        mark["point"] = True
    if chart.facet:
        count = frame[chart.facet].nunique()
        encoding["facet"] = {**_channel(chart.facet, frame, "nominal"), "columns": min(count, 3), "sort": None}
        size = {**_SMALL, **({} if isinstance(size["height"], int) else {"height": size["height"]})}
        if chart.color:
            encoding["color"]["legend"] = {"orient": "top", "direction": "horizontal", "columns": 3}
        size["resolve"] = {"axis": {"x": "independent", "y": "independent"}}  # each can be read by itself
    columns = {field: name for name, field in names.items()}
    for place, guide in _GUIDES.items():
        if (channel := encoding.get(place, {})).get("field") in columns:
            name = columns[channel["field"]]
            channel[guide] = {"title": _shown(name), **channel.get(guide, {})}
            if channel["type"] == "nominal" and name in orders:
                channel |= _ordered(place, list(orders[name]))
    if others and chart.kind == "pie":
        slices = encoding["color"]["scale"]
        slices["range"] = [*_SLICES[: len(slices["domain"]) - 1], _QUIET]
    return {"mark": mark, "encoding": encoding, **size}


# Small charts have no scale, and of their orders only the calendar's is given, which holds no words of others. Without
# `sort`, lines would go through their points by the alphabet: the rows stand in their order already.
def _ordered(place: str, values: list[str]) -> Spec:
    return {"sort": values} if place == "facet" else {"sort": None, "scale": {"domain": values}}


def _pie(chart: Chart, frame: pd.DataFrame) -> tuple[Spec, Spec]:
    part = _channel(chart.x, frame, "nominal")
    return {
        "theta": (size := _measure(chart.y, frame)),
        "color": part,
        "order": {"field": RANK, "type": "quantitative", "title": "rank of the slice"},
        "tooltip": [{**part}, size],
    }, {"width": "container", "height": _HEIGHT}


def _histogram(chart: Chart, frame: pd.DataFrame) -> tuple[Spec, Spec]:
    across = _channel(chart.x, frame)
    across |= {"bin": {"maxbins": 30}} if across["type"] == "quantitative" else {}
    return {"x": across, "y": _measure("", frame)}, {"width": "container", "height": _HEIGHT}


def _heat_map(chart: Chart, frame: pd.DataFrame) -> tuple[Spec, Spec]:
    across, along = (_channel(name, frame) for name in (chart.x, chart.y))
    for name, channel in ((chart.x, across), (chart.y, along)):
        if channel["type"] == "quantitative" and not chart.color and not _has_few(name, frame):
            channel["bin"] = {"maxbins": 30}
        elif channel["type"] != "nominal":
            channel["type"] = "ordinal"
    if across["type"] == "ordinal" and type_of(frame[chart.x]) == "quantitative":
        across["axis"] = {**across.get("axis", {}), "labelAngle": 0}
    elif "bin" not in across and not chart.facet:
        across["axis"] = {**across.get("axis", {}), **_level(frame[chart.x])}
    shade = {**_measure(chart.color, frame), "scale": {"scheme": "viridis"}}
    if not chart.color:
        shade["legend"] = {"labelExpr": "datum.value % 1 ? '' : datum.label", "format": "d"}  # rows are whole
    high: Any = _HEIGHT if "bin" in along else {"step": _STEP}
    return {"x": across, "y": along, "color": shade}, {"width": "container", "height": high}


# One thing by another. The bars and boxes of categories lie, so that their names can be read.
def _crossed(chart: Chart, frame: pd.DataFrame) -> tuple[Spec, Spec]:
    measure = _measure(chart.y, frame)
    if chart.kind == "box":
        measure |= {"scale": {"zero": False}}
        if not chart.x:
            return {"x": measure}, {"width": "container", "height": {"step": 3 * _STEP}}
    across = _channel(chart.x, frame)
    if chart.kind in {"bar", "box"} and across["type"] == "nominal":
        return {"y": across, "x": measure}, {"width": "container", "height": {"step": _STEP}}
    few = across["type"] == "quantitative" and _has_few(chart.x, frame)
    if chart.kind in {"bar", "box"} and ("axis" in across or few):
        across |= {"type": "ordinal"}  # one full bar for each month, not a thin one at each number
        across["axis"] = {**across.get("axis", {}), "labelAngle": 0}
    elif across["type"] == "nominal" and not chart.facet:
        across["axis"] = _level(frame[chart.x])
    return {"x": across, "y": measure}, {"width": "container", "height": _HEIGHT}


# Names below an axis are level where all have room, else upright.
def _level(names: pd.Series[Any]) -> Spec:
    fits = f"width > {names.nunique() * (8 + LETTER * max(names.astype(str).str.len(), default=0)):.0f}"
    ways = {"labelAngle": "0 : 270", "labelAlign": "'center' : 'right'", "labelBaseline": "'top' : 'middle'"}
    return {name: {"expr": f"{fits} ? {way}"} for name, way in ways.items()}


# Whether a number is of so few whole values that each has a place of its own.
def _has_few(name: str, frame: pd.DataFrame) -> bool:
    return frame[name].nunique() <= _FEW_NUMBERS and is_whole(frame[name])


_ENCODINGS = {"pie": _pie, "hist": _histogram, "heat": _heat_map}


def _measure(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    return _channel(name, frame) if name else {"aggregate": "count", "type": "quantitative", "title": "rows"}


def _channel(name: str, frame: pd.DataFrame, as_type: str = "") -> dict[str, Any]:
    kind = as_type or type_of(frame[name])
    channel: dict[str, Any] = {"field": fields(frame)[name], "type": kind, "title": spoken(name)}
    if kind == "quantitative" and name.lower() in TIMES - {"decade"} and is_whole(frame[name]):
        channel["axis"] = {"format": "d"}  # 2013, not 2,013
    return channel


def looks(ink: str = "currentColor", ground: str | None = None) -> Spec:
    """Vega-Lite's configuration: text and lines in the colour of the text around, so that a chart follows the theme."""
    faint = {"gridColor": ink, "gridOpacity": 0.15, "domainColor": ink, "domainOpacity": 0.4}
    words = {"labelColor": ink, "titleColor": ink, "titleFontWeight": "normal"}
    return {
        "background": ground,
        "view": {"stroke": None, "continuousWidth": BEGIN, "discreteWidth": BEGIN, "continuousHeight": _HEIGHT},
        "axis": {**words, **faint, "tickColor": ink, "tickOpacity": 0.4, "labelLimit": 220, "titlePadding": 8},
        "axisQuantitative": {"tickCount": 6},  # or labels that do not fit are left out, and zero among them
        "legend": {**words, "symbolLimit": 0},
        "header": words,
        "rule": {"color": ink},
        "tick": {"color": ink},
        "boxplot": {"rule": {"color": ink}, "median": {"color": ink}},
        "title": {
            "anchor": "start",
            "color": ink,
            "subtitleColor": ink,
            "fontSize": 14,
            "subtitleFontSize": 12,
            "subtitlePadding": 4,
            "offset": 12,
        },
    }
