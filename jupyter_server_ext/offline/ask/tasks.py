"""Code for common wishes that are no query: missing values, duplicates, correlation, summaries (``tasks.toml``)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .libraries import r_name, r_string

if TYPE_CHECKING:
    from ..request import Described, FrameColumn
    from .notebook import Language, Notebook


@cache
def _tasks() -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["task"]
    return tasks


def task_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code for a wish; an empty text when it is none of these."""
    frame = notebook.subject
    language = notebook.language_for(frame)
    if frame is None or language == "sql":
        return "python", ""
    library = "r" if language == "r" else "polars" if frame.is_polars else "pandas"
    fields = _fields(frame, notebook.columns_in(frame, text), in_r=language == "r")
    for task in _tasks():
        match = re.search(task["asks"], text, re.IGNORECASE)
        for templates in task["code"] if match else ():
            # Of several templates the first that needs no column beyond those that the question names.
            template: str = templates.get(library, templates["pandas"])
            if set(re.findall(r"\{(\w+)\}", template)) <= fields.keys():
                return language, template.format_map(fields)
    return "python", ""


def _fields(frame: Described, columns: list[FrameColumn], *, in_r: bool) -> dict[str, str]:
    """What templates may hold: the frame, columns in order, numbers in order, all names."""
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
