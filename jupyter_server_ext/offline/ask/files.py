"""Code that reads a file and code that joins two frames."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .columns import columns_in
from .r_code import r_name
from .r_code import string as r_string

if TYPE_CHECKING:
    from ..request import Described
    from .notebook import Language, Notebook

_READ = re.compile(r"\b(?:read|load|import|open)\b", re.IGNORECASE)
_PATH = re.compile(
    r"[`'\"]?(?P<path>[\w./~-]+\.(?P<kind>csv|tsv|txt|xlsx|xls|parquet|json|rds))\b[`'\"]?", re.IGNORECASE
)
_KIND = re.compile(r"\b(?P<kind>csv|tsv|excel|xlsx|parquet|json|rds)\b(?: files?)?", re.IGNORECASE)

_PYTHON = {
    "csv": "pd.read_csv({path})",
    "txt": 'pd.read_csv({path}, sep=None, engine="python")',
    "tsv": 'pd.read_csv({path}, sep="\\t")',
    "xlsx": "pd.read_excel({path})",
    "parquet": "pd.read_parquet({path})",
    "json": "pd.read_json({path})",
}
_R = {
    "csv": "read.csv({path})",
    "txt": "read.table({path}, header = TRUE)",
    "tsv": "read.delim({path})",
    "xlsx": "readxl::read_excel({path})",
    "parquet": "arrow::read_parquet({path})",
    "json": "jsonlite::fromJSON({path})",
    "rds": "readRDS({path})",
}


def reading_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code that reads a file; an empty text when the question asks for something else."""
    path = _PATH.search(text)
    kind = _KIND.search(text)
    if not _READ.search(text) or not (path or kind):
        return "python", ""
    found = (path["kind"] if path else kind["kind"] if kind else "").lower()
    found = {"excel": "xlsx", "xls": "xlsx"}.get(found, found)
    file = path["path"] if path else f"data.{found}"
    language = notebook.language_for(None)
    if language == "r":
        return "r", f"data <- {_R[found].format(path=r_string(file))}" if found in _R else ""
    if found not in _PYTHON:
        return language, ""
    if notebook.uses("polars"):
        return "python", f"import polars as pl\n\ndata = {_PYTHON[found].replace('pd.', 'pl.').format(path=repr(file))}"
    return "python", f"import pandas as pd\n\ndata = {_PYTHON[found].format(path=repr(file))}"


_JOIN = re.compile(r"\b(?P<how>left|right|inner|full|outer|anti)?[ _-]?(?:join|merge|combine)\b", re.IGNORECASE)


def joining_code(notebook: Notebook, text: str) -> tuple[Language, str]:
    """Language and code that joins the two frames a question names; an empty text when it does not ask for that."""
    frames = [item for item in notebook.named if item.is_frame]
    match = _JOIN.search(text)
    if match is None or len(frames) < 2 or frames[0].is_r != frames[1].is_r:
        return "python", ""
    one, two = frames[:2]
    key = _key(notebook, one, two, text)
    if key is None:
        return "python", ""
    how = (match["how"] or "inner").lower()
    language = notebook.language_for(one)
    if language == "r":
        return "r", _r_join(notebook, one, two, key, how)
    if one.is_polars:
        return "python", f"{one.name}.join({two.name}, on={key!r}, how={how!r})"
    pandas_how = {"full": "outer", "anti": "left"}.get(how, how)
    return "python", f"{one.name}.merge({two.name}, on={key!r}, how={pandas_how!r})"


def _key(notebook: Notebook, one: Described, two: Described, text: str) -> str | None:
    """The column to join on: the one the question names, else the only one both have."""
    shared = [column.name for column in one.columns if two.get(column.name)]
    said = re.search(r"\b(?:on|by|using)\b(.+)$", text)
    named = [column.name for column in columns_in(notebook, one, said[1])] if said else []
    return next((name for name in named if name in shared), shared[0] if len(shared) == 1 else None)


def _r_join(notebook: Notebook, one: Described, two: Described, key: str, how: str) -> str:
    frames = f"{r_name(one.name)}, {r_name(two.name)}"
    if notebook.uses("dplyr") or how == "anti":
        verb = {"outer": "full"}.get(how, how)
        return f"library(dplyr)\n\n{verb}_join({frames}, by = {r_string(key)})"
    keep = {"left": ", all.x = TRUE", "right": ", all.y = TRUE", "full": ", all = TRUE", "outer": ", all = TRUE"}.get(
        how, ""
    )
    return f"merge({frames}, by = {r_string(key)}{keep})"
