"""How a query is shown: its text in lines that can be read at a glance, what it does in words, and as a chart."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import Unreadable, own_tree

from .draft import Item, OfflineDraft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Words ----------------------------------------------------------------------------------------------------------------

_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Count: "the number of",
    exp.Sum: "the sum of",
    exp.Avg: "the average of",
    exp.Min: "the smallest",
    exp.Max: "the largest",
}


def explain(sql: str, dialect: str) -> str:
    """At most five short sentences on what a query does.

    Example:
        >>> explain("SELECT origin, COUNT(*) AS n FROM flights GROUP BY origin", "duckdb")
        'It reads `flights`. It makes one group for each `origin`. It shows `origin` and the number of rows.'
    """
    try:
        query = own_tree(sql, dialect)
    except Unreadable:
        return "I cannot read this query, so I cannot explain it."
    select = query.find(exp.Select)
    if select is None:
        return "This is not a query that reads rows, so there is nothing to explain."
    return " ".join(_sentences(select, dialect or None))


def _sentences(select: exp.Select, dialect: str | None) -> Iterator[str]:
    def code(item: exp.Expr) -> str:
        return f"`{item.sql(dialect=dialect)}`"

    source, where, group, having, order, limit = (
        select.args.get(clause) for clause in ("from_", "where", "group", "having", "order", "limit")
    )
    if source:
        joins = [_join(join) for join in select.args.get("joins") or [] if isinstance(join, exp.Join)]
        yield f"It reads `{source.this.alias_or_name}`{f' and joins {listed(joins)}' if joins else ''}."
    if where:
        yield f"It keeps the rows with {code(where.this)}."
    if group:
        kept = f", and keeps those with {code(having.this)}" if having else ""
        yield f"It makes one group for each {listed([code(item) for item in group.expressions])}{kept}."
    distinct = " different" if select.args.get("distinct") else ""
    yield f"It shows{distinct} {listed([_shown(item.unalias(), code) for item in select.expressions])}."
    if order:
        terms = [code(term.this) + (", largest first" if term.args.get("desc") else "") for term in order.expressions]
        first = f", and gives the first {limit.expression.sql()}" if limit else ""
        yield f"It sorts by {listed(terms)}{first}."
    elif limit:
        yield f"It gives at most {limit.expression.sql()} rows."


def _join(join: exp.Join) -> str:
    on = join.args.get("on")
    pairs = [f"`{eq.this.sql()}` = `{eq.expression.sql()}`" for eq in on.find_all(exp.EQ)] if on else []
    return f"`{join.this.alias_or_name}`" + (f" where {' and '.join(pairs)}" if pairs else "")


def _shown(item: exp.Expr, code: Callable[[exp.Expr], str]) -> str:
    if isinstance(item, exp.Star):
        return "all columns"
    words = _FUNCTIONS.get(type(item))
    if words is None:
        return code(item)
    if isinstance(item.this, exp.Star):
        return "the number of rows"
    if isinstance(item.this, exp.Distinct):
        return f"the number of different {code(item.this.expressions[0])}"
    return f"{words} {code(item.this)}"


def listed(words: list[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


# Charts ---------------------------------------------------------------------------------------------------------------

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


def count_kinds(draft: OfflineDraft) -> OfflineDraft:
    """A draft for a chart: of one column that only names kinds each is counted, as in "pie chart of cities"."""
    shown = draft.shown[0] if len(draft.shown) == 1 else None
    fields = [c.field for c in shown.name.candidates] if shown and shown.name and not shown.function else []
    if not fields or draft.group:
        return draft
    # Numbers are drawn as they are, and their table need not be named.
    if not all(field.is_text for field in fields):
        return replace(draft, things=draft.things or tuple(dict.fromkeys(field.table for field in fields)))
    return replace(draft, shown=(draft.shown[0], Item(function="count")), group=draft.shown, distinct=False)


def chart_block(query: exp.Query, kind: str) -> str:
    """The JSON block for a query's chart; empty when the query shows nothing that can be drawn."""
    shown = [item for item in query.selects if item.alias_or_name not in {"", "*"}]
    measures = [item.alias_or_name for item in shown if item.find(exp.AggFunc)]
    axes = sorted((item.alias_or_name for item in shown if not item.find(exp.AggFunc)), key=_is_time)
    if not shown:
        return ""
    # Times go along the bottom, else the last column that is no figure; another one becomes the colour.
    x, y, color = axes[-1] if axes else measures[0], measures[0] if measures and axes else None, None
    if kind == "hist" or (not y and kind == "auto" and len(shown) == 1):
        kind, x, y = "hist", shown[-1].alias_or_name, None
    elif not measures:
        kind, x, y = "point" if kind == "auto" else kind, shown[0].alias_or_name, shown[-1].alias_or_name
    else:
        # Times go along a line; what has no order gets bars.
        kind = ("line" if _is_time(x) else "bar") if kind == "auto" else kind
        color = axes[-2] if len(axes) > 1 else None
    return f"```json\n{json.dumps({'chart': kind, 'x': x, 'y': y, 'color': color})}\n```"


def _is_time(name: str) -> bool:
    return bool(_TIMES & set(re.split(r"[^a-z]+", name.lower())))
