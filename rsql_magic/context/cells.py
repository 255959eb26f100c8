"""Recent cells as plain values: what the user did."""

# Nothing here asks IPython: the caller passes the history in. A cell is its number and source; names used and names
# assigned are read off the source, so that what the user works with now ranks before what was loaded this morning.
#
# Below the level `sample` code is shown without the data in it (`suppressed`).

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.redaction import message_without_data, redact, without_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

_WORD = re.compile(r"[^\W\d]\w*|\.\w+")
_R_ASSIGNMENT = re.compile(r"(?m)^\s*([A-Za-z.][\w.]*)\s*(?:<-|<<-|=(?!=))|->\s*([A-Za-z.][\w.]*)\s*$")
_OURS = ("%%ask", "%ask", "%%sql_ai", "%sql_ai", "%rsql")
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that was run."""

    source: str  # what was typed
    number: int = 0  # the number in `In [number]`, 0 when unknown
    error: str = ""  # What it raised, as text, empty when it succeeded.

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

    def text(self, known: AbstractSet[str] | None = None) -> str:
        """The source, cut in the middle where it is long, and the error after it, in quotes only ``known`` texts."""
        source, error = self.source.strip(), self.error.strip()
        if known is not None:
            source, error = without_data(source, known), message_without_data(error, known)
        return "\n".join(part for part in (middle_out(source), error) if part)


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
        return Cell(as_typed(item), place)
    *_, number, source = item
    return Cell(as_typed(source[0] if isinstance(source, tuple) else source), number)


def as_typed(source: str) -> str:
    """A cell as it was typed: ``In`` holds ``get_ipython().run_cell_magic("R", "", "x <- 1")`` for ``%%R``.

    Example:
        >>> as_typed("get_ipython().run_line_magic('load_ext', 'rpy2.ipython')")
        '%load_ext rpy2.ipython'
    """
    if "get_ipython()." not in source:
        return source
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _magic_of(node)]
    lines = source.splitlines(keepends=True)
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset), reverse=True):
        start = _offset(lines, call.lineno, call.col_offset)
        end = _offset(lines, call.end_lineno or call.lineno, call.end_col_offset or 0)
        source = source[:start] + _magic_of(call) + source[end:]
    return source


def _magic_of(call: ast.Call) -> str:
    """The magic that a call of IPython's stands for; empty for any other call."""
    if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "get_ipython()"):
        return ""
    words = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    if call.func.attr == "run_cell_magic" and len(words) == 3:
        return f"%%{words[0]} {words[1]}".rstrip() + f"\n{words[2]}"
    if call.func.attr == "run_line_magic" and len(words) == 2:
        return f"%{words[0]} {words[1]}".rstrip()
    return f"!{words[0]}" if call.func.attr in {"system", "getoutput"} and words else ""


def _offset(lines: list[str], line: int, column: int) -> int:
    """The place in the text of a place in its lines; Python counts columns in bytes of UTF-8."""
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def recently(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """Names used, and names assigned, in these cells, those of the newest cell first."""
    used: dict[str, None] = {}
    assigned: dict[str, None] = {}
    for cell in reversed(cells):
        used.update(dict.fromkeys(sorted(cell.words() - used.keys())))
        assigned.update(dict.fromkeys(reversed(cell.assigned())))
    return list(used), list(assigned)


def middle_out(text: str, longest: int = _LONGEST) -> str:
    """A text of bounded length: a cell's and an error's start and end say most."""
    if len(text) <= longest:
        return text
    text, half = redact(text)[0], longest // 2
    return f"{text[:half]}\n… ({len(text) - longest:,} characters left out)\n{text[-half:]}"
