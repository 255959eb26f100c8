"""Code for plots: a histogram, bars, a line or points, in ggplot2, base R or pandas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .libraries import r_name

if TYPE_CHECKING:
    from ..request import Described, FrameColumn
    from .notebook import Language, Notebook

_PLOT = re.compile(
    r"\b(?:plot|plots|chart|graph|draw|visuali[sz]e|histogram|hist|distribution|ggplot2?|scatter\w*|barplot)\b",
    re.IGNORECASE,
)
_KINDS = {
    "hist": re.compile(r"\bhist(?:ogram)?\b|\bdistribution of\b", re.IGNORECASE),
    "point": re.compile(r"\bscatter\w*\b|\bagainst\b|\bversus\b|\bvs\.?\b", re.IGNORECASE),
    "line": re.compile(r"\bline\b|\bover time\b|\btrend\b|\bover (?:the )?(?:year|month|day|hour)", re.IGNORECASE),
    "bars": re.compile(r"\bbar\w*\b|\bper\b|\bby\b|\bfor each\b", re.IGNORECASE),
}
_Y_FIRST = re.compile(r"\b(?:against|versus|vs\.?|by|over|per)\b", re.IGNORECASE)
_CODE = {
    "base": {
        "hist": 'hist({df}${x}, main = "{name}", xlab = "{name}")',
        "counts": "barplot(table({df}${x}))",
        "bars": "barplot(tapply({df}${y}, {df}${x}, mean, na.rm = TRUE))",
        "line": 'plot({y} ~ {x}, data = {df}, type = "l")',
        "point": "plot({y} ~ {x}, data = {df})",
    },
    "ggplot2": {
        "hist": "library(ggplot2)\n\nggplot({df}, aes(x = {x})) +\n  geom_histogram(bins = 30)",
        "counts": "library(ggplot2)\n\nggplot({df}, aes(x = {x})) +\n  geom_bar()",
        "bars": 'library(ggplot2)\n\nggplot({df}, aes(x = {x}, y = {y})) +\n  stat_summary(fun = mean, geom = "col")',
        "line": "library(ggplot2)\n\nggplot({df}, aes(x = {x}, y = {y})) +\n  geom_line()",
        "point": "library(ggplot2)\n\nggplot({df}, aes(x = {x}, y = {y})) +\n  geom_point(alpha = 0.3)",
    },
    "pandas": {
        "hist": "{df}[{x}].plot.hist(bins=30, title={x})",
        "counts": "{df}[{x}].value_counts().plot.bar()",
        "bars": "{df}.groupby({x})[{y}].mean().plot.bar()",
        "line": "{df}.sort_values({x}).plot.line(x={x}, y={y})",
        "point": "{df}.plot.scatter(x={x}, y={y}, alpha=0.3)",
    },
}
"""How each library draws each shape; ``counts`` are of one column, ``bars`` means of a number for each value."""


def plot_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code of a plot; an empty text when none is asked for or the columns are not clear."""
    frame = notebook.subject
    if frame is None or not _PLOT.search(text):
        return "python", ""
    language = notebook.language_for(frame)
    shape, *axes = _shape(notebook.columns_in(frame, text), text)
    if not shape or language == "sql":
        return language, ""
    library = "pandas" if language == "python" else "ggplot2" if notebook.uses("ggplot2") else "base"
    return language, _drawn(library, frame, shape, axes)


def _shape(columns: list[FrameColumn], text: str) -> tuple[str, *tuple[str, ...]]:
    """What is drawn, the column along the bottom and the one upwards; an empty shape where that is not clear."""
    kind = next((name for name, pattern in _KINDS.items() if pattern.search(text)), "")
    numbers = [column for column in columns if column.is_number]
    if len(columns) == 1:
        column = columns[0]
        return ("hist" if column.is_number and kind in {"hist", ""} else "counts"), column.name
    if len(columns) != 2 or not numbers or kind == "hist":
        return ("",)
    y = numbers[0] if len(numbers) == 1 or _Y_FIRST.search(text) else numbers[1]
    x = next(column for column in columns if column is not y)
    if kind == "bars" and x.is_number and (x.known.distinct or 100) > 50 and "bar" not in text.lower():
        kind = "point"  # one bar for each of so many values says nothing
    return ("bars" if kind != "line" and not x.is_number else kind or "point"), x.name, y.name


def _drawn(library: str, frame: Described, shape: str, axes: list[str]) -> str:
    name = repr if library == "pandas" else r_name
    df = frame.name if library == "pandas" else r_name(frame.name)
    df = f"{df}.to_pandas()" if library == "pandas" and frame.is_polars else df
    return _CODE[library][shape].format(df=df, x=name(axes[0]), y=name(axes[-1]), name=axes[0])
