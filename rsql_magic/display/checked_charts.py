"""Charts that code of nobody's trust made: specifications of Vega-Lite and Plotly, whose every word is on a list."""

# What a renderer would obey beyond drawing is left off the lists: addresses, pictures, links, expressions, signals,
# loaders, options of the embedding page, and tooltips, which Vega reads by the names of the fields. A chart with a word
# that is not on the list is not drawn. Data is data: numbers, texts and nothing nested.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import json
import re
from typing import Any

_SCHEMA = re.compile(r"https://vega\.github\.io/schema/vega-lite/v\d+(?:\.\d+)*\.json")
_SCHEMA_5 = "https://vega.github.io/schema/vega-lite/v5.json"
_MARKS = frozenset("arc area bar boxplot circle errorband errorbar line point rect rule square text tick trail".split())
# Wherever they stand: composition, encoding, its channels, axes, scales, legends, marks, transforms, selections.
_WORDS = frozenset(
    "layer hconcat vconcat concat columns spacing align bounds center facet row column spec repeat resolve title name "
    "width height autosize contains resize type mark encoding x y x2 y2 xError yError xOffset yOffset theta theta2 "
    "radius radius2 color fill stroke opacity fillOpacity strokeOpacity strokeWidth strokeDash size shape angle detail "
    "order text key field aggregate argmin argmax bin maxbins step extent anchor nice binned timeUnit unit sort op "
    "order stack impute method frame value datum condition param empty band bandPosition axis legend header scale "
    "domain domainMin domainMax domainMid range rangeMin rangeMax scheme zero clamp base exponent constant interpolate "
    "padding paddingInner paddingOuter round reverse count format labels ticks grid orient labelAngle labelAlign "
    "labelBaseline labelColor labelFontSize labelFontWeight labelLimit labelOverlap labelPadding labelFlush "
    "labelOffset tickCount tickSize tickColor tickWidth tickMinStep tickOpacity gridColor gridOpacity gridWidth "
    "gridDash domainColor domainOpacity domainWidth titleAlign titleAnchor titleAngle titleColor titleFontSize "
    "titleFontWeight titleLimit titlePadding titleX titleY values direction symbolType symbolSize symbolLimit "
    "symbolFillColor symbolStrokeColor symbolStrokeWidth symbolOpacity gradientLength gradientThickness columnPadding "
    "rowPadding cornerRadius cornerRadiusTopLeft cornerRadiusTopRight cornerRadiusBottomLeft cornerRadiusBottomRight "
    "cornerRadiusEnd filled tension innerRadius outerRadius padAngle dx dy fontSize fontWeight fontStyle font baseline "
    "limit lineHeight rule box median outliers ticks point line ticksBand thickness binSpacing continuousBandSize "
    "discreteBandSize minBandSize clip invalid strokeCap strokeJoin blend offset subtitle subtitleColor "
    "subtitleFontSize subtitlePadding config view continuousWidth continuousHeight discreteWidth discreteHeight "
    "background axisX axisY axisBand axisQuantitative axisTemporal arc area bar circle rect square tick trail boxplot "
    "errorbar errorband category ordinal heatmap ramp diverging symbol params select encodings fields nearest toggle "
    "resolve on clear views bind transform fold as joinaggregate window groupby ignorePeers density bandwidth "
    "cumulative counts minsteps maxsteps steps quantile probs regression loess pivot sample flatten equal lt lte gt "
    "gte oneOf valid filter and or not independent shared tooltip data datasets usermeta $schema description".split()
)
_GONE = frozenset({"tooltip", "usermeta", "description"})  # left out; the chart is drawn without
_INHERITED = frozenset(
    "constructor prototype hasOwnProperty isPrototypeOf propertyIsEnumerable toLocaleString toString valueOf".split()
)
_NAME = re.compile(r"[^\x00-\x1f<>`\"'\\]{1,200}")
_DEEPEST, _MOST_ROWS = 24, 50_000
_BINDS = "scales"


class _NotDrawn(ValueError):
    pass


def checked_vega_lite(spec: Any) -> tuple[dict[str, Any], bool]:
    """A specification of Vega-Lite that only draws, and whether it is all of it; empty for one that does more.

    Example:
        >>> checked_vega_lite({"mark": "bar", "data": {"url": "https://a.b/c"}, "encoding": {}})
        ({}, False)
    """
    if not isinstance(spec, dict) or ("$schema" in spec and not _SCHEMA.fullmatch(str(spec["$schema"]))):
        return {}, False
    lost = list[str]()
    try:
        drawn = {name: _checked(name, value, 0, lost) for name, value in spec.items() if name != "$schema"}
    except _NotDrawn:
        return {}, False
    return {"$schema": _SCHEMA_5, **{name: value for name, value in drawn.items() if name not in _GONE}}, not lost


def _checked(name: str, value: Any, depth: int, lost: list[str]) -> Any:
    if name not in _WORDS or depth > _DEEPEST:
        raise _NotDrawn(name)
    if name in _GONE:
        lost += [name] if name == "tooltip" and value is not None else []
        return None
    if name == "data":
        return _data(value)
    if name == "datasets" and isinstance(value, dict):
        return {_word(each): _rows(rows) for each, rows in value.items()}
    if _acts(name, value):
        raise _NotDrawn(name)
    return _inside(value, depth, lost)


# Whether a word of the list is used for more than drawing: bound to a control, an expression, a picture.
def _acts(name: str, value: Any) -> bool:
    if name == "mark":
        kind = value.get("type") if isinstance(value, dict) else value
        return not isinstance(kind, str) or kind not in _MARKS
    if name in {"filter", "on", "toggle", "clear"}:  # texts of these are expressions and events
        return isinstance(value, str)
    return (name == "bind" and value != _BINDS) or name == "datasets"


def _inside(value: Any, depth: int, lost: list[str]) -> Any:
    if isinstance(value, dict):
        made = {each: _checked(str(each), inner, depth + 1, lost) for each, inner in value.items()}
        return {each: inner for each, inner in made.items() if each not in _GONE}
    if isinstance(value, list):
        if depth > _DEEPEST:
            raise _NotDrawn
        return [_inside(each, depth + 1, lost) for each in value]
    return _word(value) if isinstance(value, str) else _scalar(value)


# A text is drawn, or names a field or a colour: it has no signs of code, of a path into an object or of an address.
def _word(text: Any) -> str:
    if not isinstance(text, str) or (text and not _NAME.fullmatch(text)) or text in _INHERITED:
        raise _NotDrawn(text)
    if "://" in text or text.startswith("__") or re.match(r"(?i)url\(|data:|javascript:", text.strip()):
        raise _NotDrawn(text)
    return text


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    raise _NotDrawn(value)


def _data(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, dict) or not value.keys() <= {"values", "name"}:
        raise _NotDrawn("data")
    named = {"name": _word(value["name"])} if "name" in value else {}
    return {**named, **({"values": _rows(value["values"])} if "values" in value else {})}


def _rows(rows: Any) -> list[Any]:
    if not isinstance(rows, list) or len(rows) > _MOST_ROWS:
        raise _NotDrawn("rows")
    made = list[Any]()
    for row in rows:
        if not isinstance(row, dict):
            made.append(row if isinstance(row, str) else _scalar(row))
            continue
        made.append({_word(name): each if isinstance(each, str) else _scalar(each) for name, each in row.items()})
    return made


_STARTS = re.compile(r"\((?=\{\")")


def spec_of_page(html: str) -> dict[str, Any] | None:
    """The specification in a page that Altair writes to draw it, which is used as data; None where there is none."""
    if "vegaEmbed" not in html:
        return None
    decoder = json.JSONDecoder()
    for start in list(_STARTS.finditer(html))[:8]:
        try:
            found, _ = decoder.raw_decode(html, start.end())
        except ValueError:
            continue
        if isinstance(found, dict) and _SCHEMA.fullmatch(str(found.get("$schema", ""))):
            return found
    return None


_TRACES = frozenset(
    "scatter scattergl bar histogram histogram2d box violin heatmap contour pie funnel waterfall scatter3d surface "
    "sunburst treemap icicle candlestick ohlc scatterpolar barpolar indicator table parcoords parcats splom".split()
)
# What reaches an address, another page or code, wherever it stands in a figure.
_TRACE_WORDS = frozenset(
    "type name x y z values labels parents ids text textposition texttemplate textinfo textfont mode marker line fill "
    "fillcolor color colors size sizemode sizeref sizemin symbol opacity orientation width offset base nbinsx nbinsy "
    "xbins ybins start end histnorm histfunc cumulative enabled hole sort direction colorscale reversescale showscale "
    "zmin zmax zmid coloraxis cmin cmax cauto colorbar title font family tickfont ticks dash shape smoothing r theta "
    "open high low close increasing decreasing boxpoints jitter pointpos notched points box visible meanline side "
    "legendgroup showlegend hovertemplate hoverinfo xaxis yaxis alignmentgroup offsetgroup bingroup pattern solidity "
    "connectgaps contours ncontours scene domain row column error_x error_y array arrayminus symmetric thickness "
    "customdata hovertext bdata dtype".split()
)
_LAYOUT_WORDS = frozenset(
    "title text font size family color xaxis yaxis xaxis2 yaxis2 xaxis3 yaxis3 xaxis4 yaxis4 anchor domain range type "
    "autorange tickangle tickformat tickmode tickvals ticktext tickfont dtick tick0 nticks showgrid gridcolor zeroline "
    "zerolinecolor showline linecolor linewidth categoryorder categoryarray matches scaleanchor side overlaying "
    "position showticklabels legend orientation x y xanchor yanchor tracegroupgap traceorder bgcolor bordercolor "
    "borderwidth margin l r t b pad width height autosize barmode bargap bargroupgap barnorm boxmode violinmode "
    "hovermode showlegend paper_bgcolor plot_bgcolor coloraxis colorscale colorbar cmin cmax colorway annotations "
    "showarrow xref yref arrowhead shapes x0 y0 x1 y1 line dash layer opacity fillcolor scene camera eye z aspectmode "
    "polar radialaxis angularaxis visible".split()
)


def checked_plotly(figure: Any) -> dict[str, Any]:
    """A figure of Plotly that only draws, in Plotly's plain looks; empty for one that does more."""
    if not isinstance(figure, dict) or not isinstance(figure.get("data"), list):
        return {}
    told = figure.get("layout")
    layout = {name: value for name, value in told.items() if name != "template"} if isinstance(told, dict) else {}
    try:
        if not all(isinstance(each, dict) and str(each.get("type", "scatter")) in _TRACES for each in figure["data"]):
            return {}
        return {"data": _of_plotly(figure["data"], _TRACE_WORDS, 0), "layout": _of_plotly(layout, _LAYOUT_WORDS, 0)}
    except _NotDrawn:
        return {}


# Plotly reads its texts as a small HTML of its own, with links.
def _of_plotly(value: Any, words: frozenset[str], depth: int) -> Any:
    if depth > _DEEPEST:
        raise _NotDrawn
    if isinstance(value, dict):
        if not value.keys() <= words:
            raise _NotDrawn(*value.keys() - words)
        return {name: _of_plotly(each, words, depth + 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_of_plotly(each, words, depth + 1) for each in value]
    if isinstance(value, str):
        return re.sub(r"<(?!br>|/?b>|/?i>|extra></extra>|/extra>)", "&lt;", value)
    return _scalar(value)
