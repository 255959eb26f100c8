"""R, base and tidyverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..columns import nearest
from ..r_code import r_name
from .trouble import Advice, Explanations, Trouble, known_names

if TYPE_CHECKING:
    import re

R = Explanations("r")


def packages() -> dict[str, str]:
    """The package that a function comes from; the first that has it."""
    found = reversed(known_names("functions").items())
    return {function: package for package, functions in found for function in functions.split()}


@R.on(r"object '(?P<name>[^']+)' not found")
def not_found(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A variable or column R cannot find."""
    name = match["name"]
    holders = [frame for frame in trouble.notebook.frames if frame.is_r and frame.get(name)]
    if holders:
        frame = holders[0].name
        return Advice(
            f"`{name}` is not a variable of its own: it is a column of `{frame}`.",
            f"Say where it is, as `{frame}${r_name(name)}`, with `data = {frame}`, or with `with({frame}, …)`.",
            trouble.corrected(name, f"{frame}${r_name(name)}"),
            "r",
        )
    known = [item.name for item in trouble.notebook.objects if item.is_r]
    assigned = [other for other in trouble.names if other not in known]
    found = nearest(name, [*known, *assigned], least=0.6)
    what = f"R has no object `{name}`."
    if found:
        return Advice(what, f"Did you mean `{found}`?", trouble.corrected(name, found), "r")
    columns = [column.name for frame in trouble.notebook.frames if frame.is_r for column in frame.columns]
    column = nearest(name, columns, least=0.6)
    if column:
        return Advice(what, f"The nearest column is `{column}`.", trouble.corrected(name, column), "r")
    python = next((item for item in trouble.notebook.objects if not item.is_r and item.name == name), None)
    if python is not None:
        return Advice(what, f"`{name}` is a variable of Python. Hand it to R with `%%R -i {name}`.")
    return Advice(
        what,
        "Run the line that creates it first, and check the spelling: R distinguishes capitals. `ls()` lists what "
        "there is.",
    )


@R.on(r"could not find function [\"“'](?P<name>[^\"”']+)[\"”']")
def no_function(_trouble: Trouble, match: re.Match[str]) -> Advice:
    """A function whose package is not attached."""
    name = match["name"]
    known = packages()
    if package := known.get(name):
        return Advice(
            f"`{name}` is a function of the package {package}, which is not attached.",
            f'Attach it first; `install.packages("{package}")` installs it where it is missing.',
            f"library({package})",
            "r",
        )
    found = nearest(name, known, least=0.85)
    hint = f" Did you mean `{found}` ({known[found]})?" if found else ""
    return Advice(
        f"R knows no function `{name}`.{hint}",
        "Check the spelling, and attach the package it comes from with `library(…)`; `??name` searches the "
        "installed ones.",
    )


@R.on(
    r"undefined columns selected",
    r"(?:Column|column) [`'‘](?P<name>[^`'’]+)[`'’] (?:is not found|not found|doesn't exist)",
    r"Can't (?:subset|select|rename|extract) columns? that do(?:n't|es not|esn't) exist.*?[`‘](?P<name2>[^`’]+)[`’]",
    r"[Mm]ust group by variables found in .*?[`‘](?P<name3>[^`’]+)[`’]",
)
def columns(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A column that the frame lacks."""
    name = next((value for value in match.groupdict().values() if value), "")
    frames = [frame for frame in trouble.notebook.frames if frame.is_r]
    known = [column.name for frame in frames for column in frame.columns]
    found = nearest(name, known) if name else None
    what = (
        f"There is no column `{name}` in the data."
        if name
        else "A column was selected that the data frame does not have."
    )
    shown = (
        f" There are {', '.join(f'`{column}`' for column in known[:12])}." if known else " `names(data)` lists them."
    )
    if found is None:
        return Advice(what, f"Check the spelling.{shown}", "", "r")
    fixed = trouble.corrected(name, found) or trouble.corrected(name, found, quoted=True)
    return Advice(what, f"The nearest one is `{found}`.{shown}", fixed, "r")
