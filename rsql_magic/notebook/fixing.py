"""``%ask fix``: the corrected cell goes below, with what changed as a diff."""

from __future__ import annotations

import linecache
import sys
import traceback
from typing import TYPE_CHECKING

from rsql_magic.context import known_names
from rsql_magic.display import difference
from rsql_magic.panel import CellChange, FailedCell, NoChange, as_cell
from rsql_magic.redaction import without_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import Answer, NotebookSnapshot
    from rsql_magic.display import Screen
    from rsql_magic.sql import Catalog

_LEFT_OUT = "…"  # stands for text of a cell that is not sent
_UNFINISHED = "⚠ … stands for text of your cell that was not sent; put it in, or ask by %ask --privacy sample fix."


def offer_fix(
    answer: Answer, snapshot: NotebookSnapshot, shell: InteractiveShell, screen: Screen, catalog: Catalog | None
) -> None:
    """Put the cell that an answer proposes for the one that failed below this one, and show the difference."""
    typed = [str(cell) for cell in snapshot.cells]
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    failed = failed_cell(typed, shell.user_ns.get("In", ()), error)
    if not failed:  # it was not run as a cell: there is nothing to compare with
        if answer.code:
            shell.set_next_input(as_cell(answer.code, answer.blocks[0].language), replace=False)
        return
    try:
        told = CellChange(failed, FailedCell(failed, "", "")).proposed(answer)
    except NoChange as nothing:
        screen.say(f"{nothing.message} Nothing was put below.")
        return
    source = with_texts(told["source"], failed, known_names(snapshot.namespace, catalog))
    screen.also(difference(failed, source))
    if _LEFT_OUT in source and _LEFT_OUT not in failed:
        screen.say(_UNFINISHED)
    shell.set_next_input(source, replace=False)


def failed_cell(typed: Sequence[str], translated: Sequence[str], error: BaseException | None) -> str:
    """The cell in which an error was raised, as it was typed; empty where that cannot be told.

    ``translated`` holds the cells as Python ran them, at the same places; a cell is known by the source that Python
    keeps of it for tracebacks.

    Example:
        >>> failed_cell(["", "1 / 0"], ["", "1 / 0"], None)
        ''
    """
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)] if error else []
    if isinstance(error, SyntaxError) and error.filename:
        files.append(error.filename)
    for file in files:
        source = "".join(linecache.getlines(file)).strip()
        for place in range(min(len(typed), len(translated)) - 1, -1, -1):
            if source and str(translated[place]).strip() == source:
                return typed[place]
    return ""


def with_texts(proposed: str, failed: str, known: Any) -> str:
    r"""The proposed code with the texts that were not sent put back, in each line that came back as it was sent.

    Example:
        >>> with_texts("x = f('…')\ny = 2", "x = f('Emmy')\ny = 1", {"x", "f"})
        "x = f('Emmy')\ny = 2"
    """
    sent = without_data(failed, known).splitlines()
    whole = failed.splitlines()
    if len(sent) != len(whole):
        return proposed
    lines: Mapping[str, str] = {line.strip(): was.strip() for line, was in zip(sent, whole, strict=True)}
    return "\n".join(
        line.replace(line.strip(), lines.get(line.strip(), line.strip())) if _LEFT_OUT in line else line
        for line in proposed.split("\n")
    )
