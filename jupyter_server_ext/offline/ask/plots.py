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
        return "r", _ggplot(frame, plot) if notebook.uses("ggplot2") or notebook.uses("ggplot") else _base(frame, plot)
    if notebook.uses("altair"):
        return "python", _altair(frame, plot)
    return "python", _pandas(frame, plot)


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


# --- R ---


def _base(frame: Described, plot: Plot) -> str:
    data = r_name(frame.name)
    x = r_name(plot.x.name)
    if plot.kind == "hist":
        return f'hist({data}${x}, main = "{plot.x.name}", xlab = "{plot.x.name}")'
    if plot.y is None:
        return f"boxplot({data}${x})" if plot.kind == "box" else f"barplot(table({data}${x}))"
    y = r_name(plot.y.name)
    if plot.kind == "box":
        return f"boxplot({y} ~ {x}, data = {data})"
    if plot.mean:
        call = f"tapply({data}${y}, {data}${x}, mean, na.rm = TRUE)"
        return (
            f'means <- {call}\nplot(as.numeric(names(means)), means, type = "b")'
            if plot.kind == "line" and plot.x.is_number
            else f"barplot({call})"
        )
    return f"plot({y} ~ {x}, data = {data}{', type = ' + chr(34) + 'l' + chr(34) if plot.kind == 'line' else ''})"


def _ggplot(frame: Described, plot: Plot) -> str:
    x, y = r_name(plot.x.name), r_name(plot.y.name) if plot.y else ""
    layers = {
        "hist": "geom_histogram(bins = 30)",
        "box": "geom_boxplot()",
        "point": "geom_point(alpha = 0.3)",
        "line": 'stat_summary(fun = mean, geom = "line")' if plot.mean else "geom_line()",
        "bar": 'stat_summary(fun = mean, geom = "col")' if plot.y else "geom_bar()",
    }
    axes = f"x = {x}, y = {y}" if y else (f"y = {x}" if plot.kind == "box" else f"x = {x}")
    if plot.kind == "box" and y:
        axes = f"x = factor({x}), y = {y}"
    return f"library(ggplot2)\n\nggplot({r_name(frame.name)}, aes({axes})) +\n  {layers[plot.kind]}"


# --- Python ---


def _pandas(frame: Described, plot: Plot) -> str:
    data = f"{frame.name}.to_pandas()" if frame.is_polars else frame.name
    x = plot.x.name
    if plot.kind == "hist":
        return f"{data}[{x!r}].plot.hist(bins=30, title={x!r})"
    if plot.y is None:
        return f"{data}[{x!r}].plot.box()" if plot.kind == "box" else f"{data}[{x!r}].value_counts().plot.bar()"
    y = plot.y.name
    if plot.kind == "box":
        return f"{data}.boxplot(column={y!r}, by={x!r})"
    if plot.mean:
        return f"{data}.groupby({x!r})[{y!r}].mean().plot.{'line' if plot.kind == 'line' else 'bar'}()"
    if plot.kind == "line":
        return f"{data}.sort_values({x!r}).plot.line(x={x!r}, y={y!r})"
    return f"{data}.plot.scatter(x={x!r}, y={y!r}, alpha=0.3)"


def _altair(frame: Described, plot: Plot) -> str:
    marks = {"hist": "mark_bar", "bar": "mark_bar", "box": "mark_boxplot", "point": "mark_point", "line": "mark_line"}
    x = repr(plot.x.name)
    if plot.kind == "hist":
        axes = f"x=alt.X({x}, bin=True), y='count()'"
    elif plot.y is None:
        axes = f"y={x}" if plot.kind == "box" else f"x={x}, y='count()'"
    else:
        y = f"mean({plot.y.name})" if plot.mean else plot.y.name
        axes = f"x={x}, y={y!r}"
    return f"import altair as alt\n\nalt.Chart({frame.name}).{marks[plot.kind]}().encode({axes})"
