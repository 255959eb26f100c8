"""Code for plots: ggplot2 or base graphics in R, pandas' own plots or Altair in Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .columns import columns_in
from .r_code import r_name

if TYPE_CHECKING:
    from ..request import Described, FrameColumn
    from .notebook import Language, Notebook

_PLOT = re.compile(
    r"\b(?:plot|plots|chart|graph|draw|visuali[sz]e|histogram|hist|distribution|ggplot2?|scatter\w*|box ?plots?|"
    r"barplot|bar chart|line chart|density)\b",
    re.IGNORECASE,
)
_KINDS = (
    ("hist", re.compile(r"\bhist(?:ogram)?\b|\bdistribution of\b|\bdensity\b", re.IGNORECASE)),
    ("box", re.compile(r"\bbox ?-?plots?\b", re.IGNORECASE)),
    ("point", re.compile(r"\bscatter\w*\b|\bagainst\b|\bversus\b|\bvs\.?\b", re.IGNORECASE)),
    ("line", re.compile(r"\bline\b|\bover time\b|\btrend\b|\bover (?:the )?(?:year|month|day|hour)", re.IGNORECASE)),
    ("bar", re.compile(r"\bbar\w*\b|\bper\b|\bby\b|\bfor each\b|\bcounts? of\b|\bnumber of\b", re.IGNORECASE)),
)


@dataclass(frozen=True)
class Plot:
    """What to draw: a kind, a column along the bottom, and one upwards."""

    kind: str
    x: FrameColumn
    y: FrameColumn | None = None
    mean: bool = False


def plot_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code of a plot; an empty text when none is asked for or the columns are not clear."""
    frame = notebook.subject
    if frame is None or not _PLOT.search(text):
        return "python", ""
    language = notebook.language_for(frame)
    plot = _plot(columns_in(notebook, frame, text), text)
    if plot is None or language == "sql":
        return language, ""
    if language == "r":
        library = "ggplot2" if notebook.uses("ggplot2") or notebook.uses("ggplot") else "base"
    else:
        library = "altair" if notebook.uses("altair") else "pandas"
    return language, _drawn(library, frame, plot)


def _plot(columns: list[FrameColumn], text: str) -> Plot | None:
    kind = next((name for name, pattern in _KINDS if pattern.search(text)), "")
    numbers = [column for column in columns if column.is_number]
    others = [column for column in columns if not column.is_number]
    if kind == "hist" or (not kind and len(columns) == 1 and numbers):
        return Plot("hist", numbers[0]) if numbers else Plot("bar", columns[0]) if columns else None
    if kind == "box":
        group = next((c for c in columns if numbers and c is not numbers[0]), None)
        return Plot("box", group or numbers[0], numbers[0] if group else None) if numbers else None
    if len(columns) == 1:
        return Plot("bar", columns[0])
    if len(columns) < 2:
        return None
    if kind == "bar" and not others and _is_measured(columns[1]) and not _SAYS_BAR.search(text):
        kind = "point"
    if kind == "bar" or others:
        y = numbers[0] if numbers else None
        x = next((c for c in columns if c is not y), None)
        mean = re.search(r"\b(?:mean|average)\b", text, re.IGNORECASE) is not None or y is not None
        return Plot("line" if kind == "line" else "bar", x, y, mean=mean) if x else None
    y, x = (columns[0], columns[1]) if _y_first(text) else (columns[1], columns[0])
    mean = kind == "line" and re.search(r"\b(?:mean|average)\b", text, re.IGNORECASE) is not None
    return Plot("line" if kind == "line" else "point", x, y, mean=mean)


_SAYS_BAR = re.compile(r"\bbar\w*\b", re.IGNORECASE)


def _is_measured(column: FrameColumn) -> bool:
    """Whether a column has too many values to be drawn as bars, one for each."""
    return column.is_number and (column.known.distinct or 100) > 50


def _y_first(text: str) -> bool:
    """Whether the first column named goes upwards: "temp against hour", "mean temp by month"."""
    return (
        re.search(r"\b(?:against|versus|vs\.?|by|over|per|as a function of|depending on)\b", text, re.IGNORECASE)
        is not None
    )


_MEANS_IN_R = "tapply({df}${y}, {df}${x}, mean, na.rm = TRUE)"
_CODE = {
    "base": {
        "hist": 'hist({df}${x}, main = "{name}", xlab = "{name}")',
        "counts": "barplot(table({df}${x}))",
        "box": "boxplot({df}${x})",
        "boxes": "boxplot({y} ~ {x}, data = {df})",
        "means": f"barplot({_MEANS_IN_R})",
        "line of means": f'means <- {_MEANS_IN_R}\nplot(as.numeric(names(means)), means, type = "b")',
        "line": 'plot({y} ~ {x}, data = {df}, type = "l")',
        "point": "plot({y} ~ {x}, data = {df})",
    },
    "ggplot2": {
        "hist": "ggplot({df}, aes(x = {x})) +\n  geom_histogram(bins = 30)",
        "counts": "ggplot({df}, aes(x = {x})) +\n  geom_bar()",
        "box": "ggplot({df}, aes(y = {x})) +\n  geom_boxplot()",
        "boxes": "ggplot({df}, aes(x = factor({x}), y = {y})) +\n  geom_boxplot()",
        "means": 'ggplot({df}, aes(x = {x}, y = {y})) +\n  stat_summary(fun = mean, geom = "col")',
        "line of means": 'ggplot({df}, aes(x = {x}, y = {y})) +\n  stat_summary(fun = mean, geom = "line")',
        "line": "ggplot({df}, aes(x = {x}, y = {y})) +\n  geom_line()",
        "point": "ggplot({df}, aes(x = {x}, y = {y})) +\n  geom_point(alpha = 0.3)",
    },
    "pandas": {
        "hist": "{df}[{x}].plot.hist(bins=30, title={x})",
        "counts": "{df}[{x}].value_counts().plot.bar()",
        "box": "{df}[{x}].plot.box()",
        "boxes": "{df}.boxplot(column={y}, by={x})",
        "means": "{df}.groupby({x})[{y}].mean().plot.bar()",
        "line of means": "{df}.groupby({x})[{y}].mean().plot.line()",
        "line": "{df}.sort_values({x}).plot.line(x={x}, y={y})",
        "point": "{df}.plot.scatter(x={x}, y={y}, alpha=0.3)",
    },
    "altair": {
        "hist": "alt.Chart({df}).mark_bar().encode(x=alt.X({x}, bin=True), y='count()')",
        "counts": "alt.Chart({df}).mark_bar().encode(x={x}, y='count()')",
        "box": "alt.Chart({df}).mark_boxplot().encode(y={x})",
        "boxes": "alt.Chart({df}).mark_boxplot().encode(x={x}, y={y})",
        "means": "alt.Chart({df}).mark_bar().encode(x={x}, y={mean})",
        "line of means": "alt.Chart({df}).mark_line().encode(x={x}, y={mean})",
        "line": "alt.Chart({df}).mark_line().encode(x={x}, y={y})",
        "point": "alt.Chart({df}).mark_point().encode(x={x}, y={y})",
    },
}
"""How each library draws each shape."""
_LOADED = {"ggplot2": "library(ggplot2)\n\n", "altair": "import altair as alt\n\n"}


def _shape(plot: Plot) -> str:
    if plot.y is None:
        return plot.kind if plot.kind in {"hist", "box"} else "counts"
    if plot.mean:
        return "line of means" if plot.kind == "line" else "means"
    return "boxes" if plot.kind == "box" else plot.kind


def _drawn(library: str, frame: Described, plot: Plot) -> str:
    shape = _shape(plot)
    if library == "base" and shape == "line of means" and not plot.x.is_number:
        shape = "means"
    y = plot.y.name if plot.y else ""
    name = r_name if library in {"base", "ggplot2"} else repr
    df = r_name(frame.name) if name is r_name else frame.name
    df = f"{df}.to_pandas()" if library == "pandas" and frame.is_polars else df
    fields = {"df": df, "x": name(plot.x.name), "y": name(y), "name": plot.x.name, "mean": repr(f"mean({y})")}
    return _LOADED.get(library, "") + _CODE[library][shape].format_map(fields)
