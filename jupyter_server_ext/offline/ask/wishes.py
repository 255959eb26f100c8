"""Code for plots and for wishes that are no query: missing values, correlation, summaries (``wishes.toml``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..tables import table
from .notebook import PATTERNS, r_name, r_string

if TYPE_CHECKING:
    from ..request import Described, DescribedField
    from .notebook import Language, Notebook


def plot_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code of a plot; an empty text when none is asked for or the columns are not clear."""
    frame = notebook.subject
    if frame is None or not PATTERNS["plot"].search(text):
        return "python", ""
    language = notebook.language_for(frame)
    shape, *axes = _shape(notebook.columns_in(frame, text), text)
    if not shape or language == "sql":
        return language, ""
    library = "pandas" if language == "python" else "ggplot2" if notebook.uses("ggplot2") else "base"
    name = repr if library == "pandas" else r_name
    df = frame.name if library == "pandas" else r_name(frame.name)
    # polars draws through another package, which may be missing.
    df = f"{df}.to_pandas()" if library == "pandas" and frame.is_polars else df
    template: str = table("ask/wishes")["plot"][library][shape]
    return language, template.format(df=df, x=name(axes[0]), y=name(axes[-1]), name=axes[0])


def _shape(columns: list[DescribedField], text: str) -> tuple[str, *tuple[str, ...]]:
    """What is drawn, the column along the bottom and the one upwards; an empty shape where that is not clear."""
    kind = next((name for name in ("hist", "point", "line", "bars") if PATTERNS[name].search(text)), "")
    numbers = [column for column in columns if column.is_number]
    if len(columns) == 1:
        column = columns[0]
        return ("hist" if column.is_number and kind in {"hist", ""} else "counts"), column.name
    # Two columns, of which one is a number that goes upwards, can be drawn in one way only.
    if len(columns) != 2 or not numbers or kind == "hist":
        return ("",)
    y = numbers[0] if len(numbers) == 1 or PATTERNS["y first"].search(text) else numbers[1]
    x = next(column for column in columns if column is not y)
    if kind == "bars" and x.is_number and (x.known.distinct or 100) > 50 and "bar" not in text.lower():
        kind = "point"  # one bar for each of so many values says nothing
    return ("bars" if kind != "line" and not x.is_number else kind or "point"), x.name, y.name


def task_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code for a wish; an empty text when it is none of these."""
    frame = notebook.subject
    language = notebook.language_for(frame)
    if frame is None or language == "sql":
        return "python", ""
    library = "r" if language == "r" else "polars" if frame.is_polars else "pandas"
    fields = _fields(frame, notebook.columns_in(frame, text), in_r=language == "r")
    for task in table("ask/wishes")["task"]:
        match = re.search(task["asks"], text, re.IGNORECASE)
        for templates in task["code"] if match else ():
            # Of several templates the first that needs no column beyond those that the question names.
            template: str = templates.get(library, templates["pandas"])
            if set(re.findall(r"\{(\w+)\}", template)) <= fields.keys():
                return language, template.format_map(fields)
    return "python", ""


def _fields(frame: Described, columns: list[DescribedField], *, in_r: bool) -> dict[str, str]:
    name = r_name if in_r else repr
    names = [column.name for column in columns]
    numbers = [column.name for column in columns if column.is_number]
    found = {"df": name(frame.name) if in_r else frame.name}
    found |= {"a": name(names[0])} if names else {}
    found |= dict(zip(("x", "y"), map(name, numbers), strict=False))
    if names:
        found["names"] = f"c({', '.join(map(r_string, names))})" if in_r else repr(names)
        found["present"] = " & ".join(f"!is.na({r_name(each)})" for each in names)
    return found
