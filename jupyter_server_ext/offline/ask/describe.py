"""Say in words what a frame, an object or a query's result is, from its description."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from .libraries import r_name

if TYPE_CHECKING:
    from ..request import Described, FrameColumn, OfflineRequest

_SHOWN = 12  # columns; an answer is read at a glance, and all columns are in the prompt


def describe(item: Described) -> str:
    """A short description in Markdown: shape, keys, missing values, and what the columns hold."""
    if not item.is_frame:
        return describe_object(item)
    lines = [f"- {_column(item, column)}" for column in item.columns[:_SHOWN]]
    kind = f"R {item.label}" if item.is_r and not item.label.startswith("R ") else item.label
    parts = [f"`{item.name}` is {_a(kind)} with {size(item)}."]
    if any("≈" in line for line in lines):
        parts.append(f"Figures marked ≈ {'come from a sample or ' if item.sampled else ''}are rounded.")
    if unique := [f"`{column.name}`" for column in item.columns if item.is_unique(column)]:
        parts.append(f"{listed(unique)} {'identifies' if len(unique) == 1 else 'each identify'} a row.")
    parts += [missing(item)] if missing(item) else []
    parts += ["It has no rows."] if item.rows == 0 else []
    rest = max(len(item.columns) - _SHOWN, 0) + item.hidden
    if rest:
        lines.append(f"- … and {_count(rest, 'more column')}")
    return " ".join(parts) + "\n\n" + "\n".join(lines)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeio" or noun.startswith("R ") else f"a {noun}"


def size(frame: Described) -> str:
    """``26,115 rows and 8 columns``; of a frame whose rows are not told, ``8 columns``."""
    rows = f"{_count(frame.rows, 'row')} and " if frame.rows is not None else ""
    return rows + _count(frame.width or 0, "column")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def missing(frame: Described) -> str:
    """Which columns have missing values, and how many; empty when none is known to."""
    gaps = sorted((c for c in frame.columns if c.known.nulls), key=lambda c: -(c.known.nulls or 0))
    if not gaps:
        return ""
    named = [f"`{c.name}` ({_percent(c)})" for c in gaps[:8]]
    return f"Values are missing in {listed(named)}{' and others' if len(gaps) > 8 else ''}."


def _percent(column: FrameColumn) -> str:
    share = column.known.nulls or 0
    return "less than 1%" if share < 0.01 else f"{share:.0%}"


def listed(words: list[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def _column(frame: Described, column: FrameColumn) -> str:
    said = facts_of(frame, column)
    many = f" ({column.many:,} columns)" if column.many > 1 else ""
    return f"`{column.name}` ({column.type}){many}" + (f": {said}" if said else "")


def facts_of(frame: Described, column: FrameColumn) -> str:
    """What is known of a column's values, in words; empty when nothing is."""
    known = column.known
    said = []
    if column.ends:
        said.append(f"from {column.ends[0]} to {column.ends[1]}{f' {column.unit}' if column.unit else ''}")
    if known.values:
        more = ", …" if len(known.values) > 8 or not known.complete else ""
        said.append(f"{'one of' if known.complete else 'such as'} {', '.join(known.values[:8])}{more}")
    if frame.is_unique(column):
        said.append("no value repeats")
    elif known.distinct is not None:
        said.append(("≈" if known.approximate else "") + _count(known.distinct, "different value"))
    if known.nulls:
        said.append(f"{_percent(column)} missing")
    if column.description:
        said.append(column.description)
    return "; ".join(said)


def describe_object(item: Described) -> str:
    """What a model, a function, a vector or a plain value is."""
    for pattern, say in _OBJECTS:
        match = pattern.search(item.label)
        if match:
            return say(item, match)
    return f"`{item.name}` is {_a(item.label)}."


def _linear(item: Described, match: re.Match[str]) -> str:
    kind = "a generalized linear model" if "glm" in match["what"] else "a linear model"
    left, _, right = match["formula"].strip().partition("~")
    predictors = [f"`{word.strip()}`" for word in re.split(r"[+*:]", right) if word.strip() not in {"", "1", "."}]
    observations = re.search(r"([\d,]+) observations", item.label)
    coefficients = re.search(r"coefficients (.+)$", item.label)
    return (
        f"`{item.name}` is {kind}: it predicts `{left.strip()}` from {listed(predictors) or 'a constant'} "
        f"(`{match['formula'].strip()}`){f', fitted to {observations[1]} observations' if observations else ''}."
        f"{f' Its coefficients include {coefficients[1]}.' if coefficients else ''}\n\n```r\n"
        f"summary({r_name(item.name)})  # estimates, standard errors, R squared\n```"
    )


def _function(item: Described, match: re.Match[str]) -> str:
    arguments = match["arguments"].strip()
    return f"`{item.name}` is a function {f'of {arguments}' if arguments else 'without arguments'}."


def _vector(item: Described, match: re.Match[str]) -> str:
    facts = facts_of(item, item.columns[0]) if item.columns else ""
    length = f" of length {item.rows:,}" if item.rows is not None else ""
    return f"`{item.name}` is {_a(match['what'])}{length}{f': {facts}' if facts else ''}."


_OBJECTS = (
    (re.compile(r"(?P<what>glm/lm|glm|lm) model;.*?formula (?P<formula>[^;]+)"), _linear),
    (re.compile(r"function\((?P<arguments>.*)\)$"), _function),
    (
        re.compile(r"^(?P<what>(?:R |numpy |pandas |polars )?[\w ]*(?:vector|factor|ndarray[^,]*|Series|array))"),
        _vector,
    ),
)


def result_in_words(request: OfflineRequest) -> str:
    """The one row of a result, or the first of several, from its first rows as CSV."""
    header, *rows = csv.reader(request.rows.splitlines()) if request.rows.strip() else [[]]
    if not rows:
        return "The result has no rows."
    first = listed([f"`{name}` is {value or 'missing'}" for name, value in zip(header, rows[0], strict=False)])
    return f"{first}." if len(rows) == 1 else f"In the first row, {first} ({request.returned})."
