"""Python, pandas and polars."""

from __future__ import annotations

import re

from ..columns import nearest
from .trouble import Advice, Explanations, Trouble, known_names

PYTHON = Explanations("python")


@PYTHON.on(r"(?:KeyError|ColumnNotFoundError): (?:\W*)(?P<names>\[[^\]]+\]|'[^']*'|\"[^\"]*\"|[\w .-]+)(?P<rest>.*)")
def key(trouble: Trouble, match: re.Match[str]) -> Advice | None:
    """A column or key that is not there."""
    missing = re.findall(r"['\"]([^'\"]+)['\"]", match["names"]) or [match["names"].strip()]
    name = missing[0]
    if not trouble.columns:
        return Advice(
            f"There is no key `{name}` in what was indexed.",
            "Look at the keys that are there (`d.keys()`, `df.columns`), or use `d.get(key)` where a key may be "
            "missing.",
        )
    found = nearest(name, trouble.columns)
    columns = ", ".join(f"`{column}`" for column in list(dict.fromkeys(trouble.columns))[:12])
    what = f"There is no column `{name}`{_in_frame(trouble)}."
    if found is None:
        return Advice(what, f"Its columns are {columns}.")
    return Advice(
        what, f"The nearest column is `{found}`. There are {columns}.", trouble.corrected(name, found, quoted=True)
    )


def _in_frame(trouble: Trouble) -> str:
    frames = [
        frame.name
        for frame in trouble.notebook.frames
        if re.search(rf"(?<!\w){re.escape(frame.name)}(?!\w)", trouble.source)
    ]
    return f" in `{frames[0]}`" if len(frames) == 1 else ""


@PYTHON.on(r"NameError: name '(?P<name>\w+)' is not defined")
def undefined(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A name nobody defined."""
    name = match["name"]
    if statement := known_names("modules").get(name):
        return Advice(f"`{name}` is not imported in this session.", "Import it first:", statement)
    found = nearest(name, trouble.names, least=0.6)
    what = f"There is no variable `{name}` in this session."
    if found:
        return Advice(what, f"Did you mean `{found}`?", trouble.corrected(name, found))
    return Advice(what, "Run the cell that defines it first; after a restart of the kernel all cells must run again.")


@PYTHON.on(r"AttributeError: '(?:DataFrame|Series)' object has no attribute '(?P<name>\w+)'")
def frame_attribute(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A column or method that a frame lacks."""
    name = match["name"]
    if instead := known_names("renamed").get(name):
        return Advice(f"A pandas frame has no `{name}`.", instead)
    found = nearest(name, trouble.columns, least=0.6)
    what = f"The frame has neither a method nor a column `{name}`."
    if found is None:
        return Advice(what, "Check the spelling; `dir(df)` lists methods, `df.columns` the columns.")
    return Advice(what, f"The nearest column is `{found}`.", _attribute(trouble, name, found))


def _attribute(trouble: Trouble, old: str, new: str) -> str:
    """The failing line with one attribute put right."""
    code = trouble.line or trouble.source
    fixed = re.sub(rf"\.{re.escape(old)}\b", f".{new}" if new.isidentifier() else f"[{new!r}]", code)
    return fixed if fixed != code and "…" not in fixed else ""


@PYTHON.on(r"ModuleNotFoundError: No module named '(?P<name>[\w.]+)'")
def module(_trouble: Trouble, match: re.Match[str]) -> Advice:
    """A package that is not installed."""
    name = match["name"].partition(".")[0]
    package = known_names("packages").get(name, name)
    return Advice(
        f"The package `{package}` is not installed for this kernel.",
        "Install it from a cell, then run the import again (restart the kernel when an older version was loaded): "
        f"`%pip install {package}`.",
    )


@PYTHON.on(r"TypeError: unsupported operand type\(s\) for (?P<sign>\S+): '(?P<one>\w+)' and '(?P<two>\w+)'")
def operands(_trouble: Trouble, match: re.Match[str]) -> Advice:
    """Adding a number to a text."""
    one, two = match["one"], match["two"]
    what = f"`{match['sign'].rstrip(':')}` does not work between {one} and {two}."
    if "str" in {one, two}:
        return Advice(
            what,
            "Convert the text to a number (`float(x)`, for a column `pd.to_numeric`), or the number with `str(x)`.",
        )
    if "NoneType" in {one, two}:
        return Advice(what, "One side is None: a function without `return`, or a missing value, gave it.")
    return Advice(what, "Convert both sides to the same type first.")
