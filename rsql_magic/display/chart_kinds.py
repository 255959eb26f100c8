"""Which chart: by rules from the types of the columns, or by a model's suggestion, which is checked."""

# A model may only say `{"chart": "bar", "x": "origin", "y": "n", "color": null, "facet": null}`. Anything else in its
# JSON is ignored, and names that are not columns are refused.

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import BadInput
from rsql_magic.options import CHARTS
from rsql_magic.options import ChartKind as Kind

if TYPE_CHECKING:
    import pandas as pd

TIMES = frozenset({"year", "month", "day", "hour", "week", "quarter", "decade"})
FEW_COLORS, FEW_CHARTS = 12, 9  # values that colours and small charts can stand for


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw; ``y`` is empty for a histogram of ``x`` and for counting rows by ``x``.

    ``color`` is the measure of a heat map. ``facet`` gives each of its values a small chart of its own.
    """

    kind: Kind
    x: str
    y: str = ""
    color: str = ""
    facet: str = ""


def read(text: str, frame: pd.DataFrame, kind: Kind | None = None) -> Chart:
    """The chart that a model's JSON asks for; the kind that the user asked for wins."""
    try:
        suggestion = json.loads(text)
    except ValueError:
        suggestion = None
    if not isinstance(suggestion, dict):
        raise BadInput("The chart's description is not a JSON object.", hint="Name a type: --plot bar.")
    asked = kind or suggestion.get("chart")
    if asked not in CHARTS:
        raise BadInput(f"There is no chart of the kind {asked!r}.", hint=f"There are: {', '.join(CHARTS)}.")
    x, y, color, facet = (_column(suggestion.get(channel), frame) for channel in ("x", "y", "color", "facet"))
    if not x:
        raise BadInput("The chart's description names no column for x.", hint="Name a type: --plot bar.")
    if asked == "heat" and not y:
        raise BadInput("A heat map needs columns for x and for y.", hint="Name a type: --plot bar.")
    return Chart(asked, x, y, color, facet)


# The column of that name, case ignored; empty for none.
def _column(name: Any, frame: pd.DataFrame) -> str:
    if name in (None, ""):
        return ""
    names = {str(column).casefold(): str(column) for column in reversed(list(frame.columns))}
    if (found := names.get(str(name).casefold())) is None:
        hint = "Name a type: --plot bar."
        raise BadInput(f"The chart names {str(name)[:60]!r}, which is not a column of the result.", hint=hint)
    return found


def choose(frame: pd.DataFrame, kind: Kind | None = None) -> Chart:
    """The chart that fits a result, by the types of its columns."""
    # A time and a number make a line, a category and a number make bars, two numbers make points, one number a
    # histogram. A second category with few values becomes the colour, a third one small charts.
    if frame.empty or not len(frame.columns):
        raise BadInput("The result has no rows to draw.", hint="Leave --plot out.")
    types = {str(name): type_of(frame.iloc[:, i]) for i, name in enumerate(frame.columns)}
    times, words, numbers = (
        [name for name, is_ in types.items() if is_ == kind_] for kind_ in ("temporal", "nominal", "quantitative")
    )
    # A first column of distinct whole numbers, such as a month, orders the others rather than being measured itself.
    first = numbers[:1] if len(numbers) > 1 and is_whole(frame[numbers[0]]) else []
    ordered = [name for name in first if frame[name].is_unique or name.lower() in TIMES]
    measures = [name for name in numbers if name not in ordered]
    if kind == "hist" or (not times and not words and not ordered and len(numbers) == 1 and kind is None):
        return Chart("hist", (measures or ordered or list(types))[0])
    axes = [*times, *ordered, *words]
    if kind == "heat":
        return _heat(axes, measures, numbers)
    y = next(iter(measures), "")
    if kind == "box":
        if not y:
            raise BadInput("A box plot needs a column of numbers.", hint="Leave the kind out: --plot.")
        groups = [*words, *ordered, *times]
        return Chart("box", next(iter(groups), ""), y, "", _few(groups[1:], frame, FEW_CHARTS))
    x = next(iter(axes), "") or next((name for name in measures if name != y), y)
    if not axes and len(measures) > 1:
        x, y = measures[0], measures[1]
    rest = [name for name in [*words, *ordered] if name != x]
    color = _few(rest, frame, FEW_COLORS)
    facet = _few([name for name in rest if name != color], frame, FEW_CHARTS)
    default: Kind = "line" if x in times or x in ordered else "bar" if x in words else "point"
    return Chart(kind or default, x, y, color, facet if kind != "pie" else "")


def _few(names: list[str], frame: pd.DataFrame, most: int) -> str:
    return next((name for name in names if frame[name].nunique() <= most), "")


def _heat(axes: list[str], measures: list[str], numbers: list[str]) -> Chart:
    if len(axes) > 1:
        return Chart("heat", axes[0], axes[1], next(iter(measures), ""))
    if len(numbers) > 1 and not axes:
        return Chart("heat", numbers[0], numbers[1])
    raise BadInput("A heat map needs two columns to lay out, and perhaps a third to measure.", hint="Try --plot bar.")


def wanted(frame: pd.DataFrame, suggestion: str = "", kind: Kind | None = None) -> Chart:
    """The chart to draw: the model's, where its suggestion can be drawn, else the one that fits the result."""
    if suggestion and not frame.empty:
        with suppress(BadInput):  # the suggestion was the model's, not the user's
            return read(suggestion, frame, kind)
    return choose(frame, kind)


def is_whole(values: pd.Series[Any]) -> bool:
    """Whether all numbers of a column are whole."""
    return bool((values.dropna() % 1 == 0).all())


def type_of(values: pd.Series[Any]) -> Literal["temporal", "quantitative", "nominal"]:
    """Vega-Lite's type of a column."""
    import datetime as dt
    import decimal

    from pandas.api import types

    if types.is_datetime64_any_dtype(values):
        return "temporal"
    if types.is_numeric_dtype(values) and not types.is_bool_dtype(values):
        return "quantitative"
    first = next((value for value in values if value is not None), None)
    if isinstance(first, dt.date):
        return "temporal"
    return "quantitative" if isinstance(first, decimal.Decimal) else "nominal"
