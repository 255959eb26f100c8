"""Charts: whether a question asks for one, and which columns of the query go where."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from sqlglot import exp

from .draft import Draft, Item

_KINDS = {
    **{kind: kind for kind in ("bar", "line", "point", "area", "pie", "hist")},
    "column": "bar",
    "time series": "line",
    "histogram": "hist",
    **dict.fromkeys(("scatter", "scatterplot", "dot"), "point"),
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

    Times go along the bottom, else the last column that is no figure; another one becomes the colour.
    """
    shown = [item for item in query.selects if item.alias_or_name not in {"", "*"}]
    measures = [item.alias_or_name for item in shown if item.find(exp.AggFunc)]
    axes = sorted((item.alias_or_name for item in shown if not item.find(exp.AggFunc)), key=_is_time)
    if not shown:
        return ""
    x, y, color = axes[-1] if axes else measures[0], measures[0] if measures and axes else None, None
    if kind == "hist" or (not y and kind == "auto" and len(shown) == 1):
        kind, x, y = "hist", shown[-1].alias_or_name, None
    elif not measures:
        kind, x, y = "point" if kind == "auto" else kind, shown[0].alias_or_name, shown[-1].alias_or_name
    else:
        kind = ("line" if _is_time(x) else "bar") if kind == "auto" else kind
        color = axes[-2] if len(axes) > 1 else None
    return f"```json\n{json.dumps({'chart': kind, 'x': x, 'y': y, 'color': color})}\n```"


def _is_time(name: str) -> bool:
    return bool(_TIMES & set(re.split(r"[^a-z]+", name.lower())))
