"""Charts: whether a question asks for one, and which columns of the query go where."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from sqlglot import exp

from .draft import Draft, Item

_KINDS = {
    "bar": "bar",
    "column": "bar",
    "line": "line",
    "time series": "line",
    "scatter": "point",
    "scatterplot": "point",
    "point": "point",
    "dot": "point",
    "area": "area",
    "pie": "pie",
    "histogram": "hist",
    "hist": "hist",
}
_KIND = "|".join(sorted(_KINDS, key=len, reverse=True))
_NOUN = r"(?:charts?|plots?|graphs?|diagrams?|figures?|visuali[sz]ations?)"
_LEAD = (
    r"(?:(?:as|in|with|on|using|and|into|please|then|a|an|the) )*(?:(?:show|draw|make|give|see|display|create|plot) )?"
    r"(?:(?:me|it|them|this|that|these|the result|the results) )*(?:(?:as|in|with|on) )?(?:(?:a|an|the) )?"
)
_OF = r"(?: (?:of|for|showing|it|them|this|that|these))?"
_ASKED = tuple(
    re.compile(rf"(?<!\S){pattern}(?![\w-])", re.IGNORECASE)
    for pattern in (
        rf"{_LEAD}(?P<kind>{_KIND})[ -]?{_NOUN}{_OF}",
        rf"{_LEAD}(?P<kind>scatterplot|histogram|time series){_OF}",
        rf"{_LEAD}(?P<kind>){_NOUN}{_OF}",
        rf"(?:as|as a|as an|in|with) (?P<kind>{_KIND})s?$",
        r"(?:please )?(?P<kind>)(?:draw|visuali[sz]e|plotted|plotting|charted|graphed)(?: (?:it|them|this|that|"
        r"these))?",
    )
)
_TIMES = frozenset({"year", "month", "day", "hour", "date", "week", "quarter", "minute", "weekday", "time"})


def take_chart(question: str) -> tuple[str, str]:
    """The question without the words that ask for a chart, and the kind of chart: ``auto`` when none is named.

    Example:
        >>> take_chart("flights per day as a line chart")
        ('flights per day', 'line')
        >>> take_chart("flights per airline")
        ('flights per airline', '')
    """
    for pattern in _ASKED:
        match = pattern.search(question)
        if match:
            rest = f"{question[: match.start()]} {question[match.end() :]}"
            return " ".join(rest.split()).strip(" ,"), _KINDS.get((match["kind"] or "").lower(), "auto")
    return question, ""


def count_kinds(draft: Draft) -> Draft:
    """A draft for a chart: of one column that only names kinds each is counted, as in "pie chart of cities"."""
    shown = draft.shown[0] if len(draft.shown) == 1 else None
    fields = [c.field for c in shown.name.candidates] if shown and shown.name and not shown.computed else []
    if not fields or draft.group:
        return draft
    if not all(field.is_text for field in fields):
        return replace(draft, things=draft.things or tuple(dict.fromkeys(field.table for field in fields)))
    return replace(draft, shown=(draft.shown[0], Item(function="count")), group=draft.shown, distinct=False)


def chart_block(query: exp.Query, kind: str) -> str:
    """The JSON block for a query's chart; empty when the query shows nothing that can be drawn.

    Args:
        query: The query, with names for its computed columns.
        kind: ``auto`` or one of bar, line, point, area, hist, pie.
    """
    names = [(item.alias_or_name, _is_measure(item)) for item in query.selects if item.alias_or_name not in {"", "*"}]
    axes = [name for name, measure in names if not measure]
    measures = [name for name, measure in names if measure]
    if not names:
        return ""
    spec: dict[str, str | None]
    if kind == "hist" or (not measures and kind == "auto" and len(axes) == 1):
        spec = {"chart": "hist", "x": names[-1][0], "y": None, "color": None}
    elif not measures:
        spec = {"chart": "point" if kind == "auto" else kind, "x": axes[0], "y": axes[-1], "color": None}
    else:
        x, color = _axes(axes)
        spec = {"chart": _chosen(kind, x), "x": x or measures[0], "y": measures[0] if x else None, "color": color}
    return f"```json\n{json.dumps(spec)}\n```"


def _axes(axes: list[str]) -> tuple[str | None, str | None]:
    """What goes along the bottom, times first, and what becomes the colour."""
    times = [name for name in axes if _is_time(name)]
    x = times[-1] if times else axes[-1] if axes else None
    rest = [name for name in axes if name != x]
    return x, rest[-1] if rest else None


def _chosen(kind: str, x: str | None) -> str:
    if kind != "auto":
        return kind
    return "line" if x and _is_time(x) else "bar" if x else "hist"


def _is_time(name: str) -> bool:
    return bool(_TIMES & set(re.split(r"[^a-z]+", name.lower())))


def _is_measure(item: exp.Expr) -> bool:
    return item.find(exp.AggFunc) is not None
