"""Say what a frame or an R object is, from its description."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..frames import Frame, FrameColumn

_SHOWN = 12


def describe(frame: Frame) -> str:
    """A short description in Markdown: shape, keys, missing values, and what the columns hold."""
    if not frame.is_table:
        return f"`{frame.name}` is this, as R describes it:\n\n```text\n{frame.text}\n```"
    parts = [_shape(frame), *filter(None, (_keys(frame), _missing(frame), _empty(frame)))]
    lines = [f"- {_column(column)}" for column in frame.columns[:_SHOWN]]
    left = len(frame.columns) - _SHOWN
    rest = max(left, 0) + frame.hidden
    if rest:
        lines.append(f"- … and {rest:,} more columns")
    return " ".join(parts) + "\n\n" + "\n".join(lines)


def _shape(frame: Frame) -> str:
    sampled = " Figures marked ≈ come from a sample." if frame.sampled else ""
    shape = f"{_count(frame.rows or 0, 'row')} and {_count(frame.n_columns or 0, 'column')}"
    return f"`{frame.name}` is a {frame.kind} with {shape}.{sampled}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _empty(frame: Frame) -> str:
    return "It has no rows." if frame.rows == 0 else ""


def _keys(frame: Frame) -> str:
    unique = [f"`{c.name}`" for c in frame.columns if c.facts.unique]
    return f"{_list(unique)} {'identifies' if len(unique) == 1 else 'each identify'} a row." if unique else ""


def _missing(frame: Frame) -> str:
    gaps = sorted((c for c in frame.columns if c.facts.missing), key=lambda c: -(c.facts.missing or 0))
    if not gaps:
        return ""
    named = [f"`{c.name}` ({c.facts.missing:g}%)" for c in gaps[:5]]
    return f"Values are missing in {_list(named)}{' and others' if len(gaps) > 5 else ''}."


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _column(column: FrameColumn) -> str:
    facts = column.facts
    mark = "≈" if facts.approximate else ""
    said = []
    if facts.low or facts.high:
        said.append(f"from {mark}{facts.low} to {facts.high}{f' {facts.unit}' if facts.unit else ''}")
    if facts.values:
        values = ", ".join(facts.values[:8])
        more = ", …" if len(facts.values) > 8 or not facts.complete else ""
        said.append(f"{'one of' if facts.complete else 'such as'} {values}{more}")
    if facts.distinct is not None:
        said.append(f"{mark}{facts.distinct:,} different values")
    if facts.text:
        said.append(facts.text)
    many = f" ({column.many:,} columns)" if column.many > 1 else ""
    return f"`{column.name}` ({column.type}){many}" + (f": {'; '.join(said)}" if said else "")
