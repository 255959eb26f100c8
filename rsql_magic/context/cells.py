"""Recent cells and the last error, as plain values: what the user did, and what went wrong.

Nothing here asks IPython: the caller passes the history in. A cell is its number and source; names used and names
assigned are read off the source, so that what the user works with now ranks before what was loaded this morning.
"""

from __future__ import annotations

import ast
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[^\W\d]\w*|\.\w+")
_R_ASSIGNMENT = re.compile(r"(?m)^\s*([A-Za-z.][\w.]*)\s*(?:<-|<<-|=(?!=))|->\s*([A-Za-z.][\w.]*)\s*$")
_OURS = ("%%ask", "%ask", "%%sql_ai", "%sql_ai", "%rsql")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that was run.

    Args:
        source: What was typed.
        number: The number in ``In [number]``, 0 when unknown.
        error: What it raised, as text, empty when it succeeded.
    """

    source: str
    number: int = 0
    error: str = ""

    @property
    def name(self) -> str:
        """How the user would call it: ``In[3]``."""
        return f"In[{self.number}]" if self.number else "cell"

    @property
    def is_ours(self) -> bool:
        """Whether the cell is a question of ours: the conversation holds those already."""
        return self.source.lstrip().startswith(_OURS)

    def words(self) -> set[str]:
        """All names and words in the source."""
        return set(_WORD.findall(self.source))

    def assigned(self) -> list[str]:
        """Names that the cell gives a value to, in order; of Python and R code."""
        try:
            tree = ast.parse(self.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # a magic, R, or not finished
            return [left or right for left, right in _R_ASSIGNMENT.findall(self.source)]
        stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        return [node.id for node in sorted(stored, key=lambda node: (node.lineno, node.col_offset))]

    def text(self) -> str:
        """The source, cut in the middle where it is long, and the error after it."""
        return "\n".join(part for part in (_middle_out(self.source.strip()), self.error.strip()) if part)


def as_cells(history: Iterable[Any]) -> list[Cell]:
    r"""Cells of any of IPython's history structures, oldest first, without empty ones and our own.

    Args:
        history: `Cell` values, sources as in ``In``, ``(number, source)`` pairs, or the ``(session, number, source)``
            triples of ``HistoryManager.get_range``.

    Example:
        >>> as_cells(["", "x = 1", "%%ask\nwhy?"])
        [Cell(source='x = 1', number=1, error='')]
    """
    cells = (_as_cell(place, item) for place, item in enumerate(history))
    return [cell for cell in cells if cell.source.strip() and not cell.is_ours]


def _as_cell(place: int, item: Any) -> Cell:
    if isinstance(item, Cell):
        return item
    if isinstance(item, str):
        return Cell(item, place)
    *_, number, source = item
    return Cell(source[0] if isinstance(source, tuple) else source, number)


def recently(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """Names used, and names assigned, in these cells, those of the newest cell first."""
    used: dict[str, None] = {}
    assigned: dict[str, None] = {}
    for cell in reversed(cells):
        used.update(dict.fromkeys(sorted(cell.words() - used.keys())))
        assigned.update(dict.fromkeys(reversed(cell.assigned())))
    return list(used), list(assigned)


def error_text(error: BaseException | str | None, frames: int = 4) -> str:
    """What went wrong, short: the last frames of the traceback and the message, without values of variables.

    Args:
        error: An exception, or text such as R's or a database's message.
        frames: Most frames to show; those of installed packages are left out first.

    Example:
        >>> error_text(KeyError("region"))
        "KeyError: 'region'"
    """
    if error is None or isinstance(error, str):
        return _middle_out(error or "")
    found = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in found if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    shown = [f"line {frame.lineno} in {frame.name}: {frame.line}" for frame in (own or found)[-frames:] if frame.line]
    message = "".join(traceback.format_exception_only(type(error), error)).strip()
    cause = error.__cause__
    return "\n".join([*shown, _middle_out(message), *([f"caused by {error_text(cause, 1)}"] if cause else [])])


def _middle_out(text: str, longest: int = _LONGEST) -> str:
    """A text of bounded length: a cell's and an error's start and end say most."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n… ({len(text) - longest:,} characters left out)\n{text[-half:]}"
