"""Say what a frame or an object is, from its description, and answer what the description already tells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .libraries import r_name

if TYPE_CHECKING:
    from ..request import Described, FrameColumn

_SHOWN = 12


def describe(item: Described) -> str:
    """A short description in Markdown: shape, keys, missing values, and what the columns hold."""
    if not item.is_frame:
        return describe_object(item)
    lines = [f"- {_column(item, column)}" for column in item.columns[:_SHOWN]]
    mark = _mark(item) if any("≈" in line for line in lines) else ""
    parts = [_shape(item), *filter(None, (mark, _keys(item), missing(item), _empty(item)))]
    rest = max(len(item.columns) - _SHOWN, 0) + item.hidden
    if rest:
        lines.append(f"- … and {_count(rest, 'more column')}")
    return " ".join(parts) + "\n\n" + "\n".join(lines)


def _shape(frame: Described) -> str:
    return f"`{frame.name}` is {_a(_kind(frame))} with {size(frame)}."


def _mark(frame: Described) -> str:
    return "Figures marked ≈ come from a sample or are rounded." if frame.sampled else "Figures marked ≈ are rounded."


def _kind(frame: Described) -> str:
    label = frame.label
    return f"R {label}" if frame.is_r and not label.startswith("R ") else label


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeio" or noun.startswith("R ") else f"a {noun}"


def size(frame: Described) -> str:
    """``26,115 rows and 8 columns``; of a frame whose rows are not told, ``8 columns``."""
    rows = f"{_count(frame.rows, 'row')} and " if frame.rows is not None else ""
    return rows + _count(frame.width or 0, "column")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _empty(frame: Described) -> str:
    return "It has no rows." if frame.rows == 0 else ""


def _keys(frame: Described) -> str:
    unique = [f"`{c.name}`" for c in frame.columns if frame.is_unique(c)]
    return f"{listed(unique)} {'identifies' if len(unique) == 1 else 'each identify'} a row." if unique else ""


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


# --- other objects ---


def describe_object(item: Described) -> str:
    """What a model, a function, a vector or a plain value is."""
    for pattern, say in _OBJECTS:
        match = pattern.search(item.label)
        if match:
            return say(item, match)
    return f"`{item.name}` is {_a(item.label)}."


def _linear(item: Described, match: re.Match[str]) -> str:
    kind = "a generalized linear model" if "glm" in match["what"] else "a linear model"
    left, _, right = match["formula"].partition("~")
    predictors = [word.strip() for word in re.split(r"[+*:]", right) if word.strip() not in {"", "1", "."}]
    observations = re.search(r"([\d,]+) observations", item.label)
    coefficients = re.search(r"coefficients (.+)$", item.label)
    newdata = ", ".join(f"{r_name(word)} = …" for word in predictors if re.fullmatch(r"[\w.]+", word))
    parts = [
        f"`{item.name}` is {kind}: it predicts `{left.strip()}` from "
        f"{listed([f'`{word}`' for word in predictors]) or 'a constant'}",
        f" (`{match['formula'].strip()}`)",
        f", fitted to {observations[1]} observations." if observations else ".",
        f" Its coefficients include {coefficients[1]}." if coefficients else "",
        f"\n\n```r\nsummary({r_name(item.name)})  # estimates, standard errors, R squared\n",
        f"predict({r_name(item.name)})  # fitted values; for new data: newdata = data.frame({newdata})\n```",
    ]
    return "".join(parts)


def _function(item: Described, match: re.Match[str]) -> str:
    arguments = match["arguments"].strip()
    return f"`{item.name}` is a function" + (f" of {arguments}." if arguments else " without arguments.")


def _test(item: Described, _match: re.Match[str]) -> str:
    return (
        f"`{item.name}` is the result of a hypothesis test. `{r_name(item.name)}` prints it; "
        f"`{r_name(item.name)}$p.value` and `{r_name(item.name)}$conf.int` take parts of it."
    )


def _vector(item: Described, match: re.Match[str]) -> str:
    column = item.columns[0] if item.columns else None
    said = facts_of(item, column) if column is not None else ""
    facts = f": {said}" if said else ""
    length = f" of length {item.rows:,}" if item.rows is not None else ""
    return f"`{item.name}` is {_a(match['what'])}{length}{facts}."


_OBJECTS = (
    (re.compile(r"(?P<what>glm/lm|glm|lm) model;.*?formula (?P<formula>[^;]+)"), _linear),
    (re.compile(r"function\((?P<arguments>.*)\)$"), _function),
    (re.compile(r"\bhtest\b"), _test),
    (
        re.compile(r"^(?P<what>(?:R |numpy |pandas |polars )?[\w ]*(?:vector|factor|ndarray[^,]*|Series|array))"),
        _vector,
    ),
)
