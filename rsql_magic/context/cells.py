"""Recent cells as plain values: what the user did."""

# Nothing here asks IPython: the caller passes the history in. A cell is its number and source; names used and names
# assigned are read off the source, so that what the user works with now ranks before what was loaded this morning.
#
# Below the level `sample` code is shown without the data in it (`suppressed`).

from __future__ import annotations

import ast
import linecache
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.context.sources import TooSlow, within
from rsql_magic.redaction import message_without_data, redact, without_data, words_in, words_of_code

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
    # The conversation holds questions of ours already.
    return [cell for cell in cells if cell.source.strip() and not cell.source.lstrip().startswith(_OURS)]


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


# How long an exception may take to say what it is.
_SECONDS = 0.5


def error_text(error: BaseException | str | None, frames: int = 4, known: AbstractSet[str] | None = None) -> str:
    """What went wrong, short: the last frames of the traceback and the message, without values of variables.

    Args:
        error: An exception, or text such as R's or a database's message.
        frames: Most frames to show; those of installed packages are left out first.
        known: Names of the session; with them, lines of code and messages are shown without data. None shows all.

    Example:
        >>> error_text(KeyError("region"))
        "KeyError: 'region'"
    """
    if error is None or isinstance(error, str):
        return middle_out(_said(error or "", known))
    known = known if known is None else known | _asked_of(error)
    cause = [f"caused by {error_text(error.__cause__, 1, known)}"] if error.__cause__ and frames else []
    return "\n".join([*_lines(error, frames, known), middle_out(_message(error, known)), *cause])


def _lines(error: BaseException, most: int, known: AbstractSet[str] | None) -> list[str]:
    """Where it happened: the user's own lines, or the last ones of all."""
    found = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in found if _is_own(frame)]
    return [
        f"line {frame.lineno} in {frame.name}: {frame.line if known is None else without_data(frame.line, known)}"
        for frame in (own or found)[-most:]
        if frame.line
    ]


def _is_own(frame: traceback.FrameSummary) -> bool:
    """Whether a line is the user's own, and not of an installed package."""
    return "site-packages" not in frame.filename and "/lib/python" not in frame.filename


def _asked_of(error: BaseException) -> set[str]:
    """What was asked of a frame as a column: a name, though there is none. Keys of a mapping are data."""
    frames = traceback.extract_tb(error.__traceback__)
    places = ((frame.filename.replace("\\", "/"), frame.name) for frame in frames)
    is_column = any(file.endswith("pandas/core/frame.py") and name == "__getitem__" for file, name in places)
    key = error.args[0] if is_column and error.args else None
    return {key} if isinstance(key, str) else set()


def _message(error: BaseException, known: AbstractSet[str] | None) -> str:
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        line = line if known is None else without_data(line, known)
        return f"{f'line {error.lineno}: {line}' if line else ''}\n{type(error).__name__}: {error.msg}".strip()
    try:
        missing = error.args[0] if isinstance(error, KeyError) and len(error.args) == 1 else None
        told = missing if isinstance(missing, str) and " in" in missing else error  # a KeyError says the repr of it
        said = within(_SECONDS, lambda: str(told))  # format_exception_only would swallow that it was stopped
    except TooSlow:
        return f"{type(error).__name__}, whose text took too long"
    except Exception:  # noqa: BLE001 - the text of other people's errors raises anything
        return f"{type(error).__name__}, whose text cannot be had"
    # A note may say anything, and is seldom what matters.
    notes = "" if known is not None else "\n".join(str(note) for note in getattr(error, "__notes__", ()))
    own = _own_words(error) if known is not None else None
    if own is not None and known is not None:  # the user's own message may bring any value, without quotes
        said = words_of_code(said, own | known)
    place, name = type(error).__module__, type(error).__qualname__  # as a traceback names the class
    name = name if place in {"builtins", "__main__"} else f"{place}.{name}"
    return _said(f"{name}: {said}\n{notes}".strip().removesuffix(":"), known)


def _own_words(error: BaseException) -> frozenset[str] | None:
    """The words of the user's own line that raised the error; None where it came from elsewhere."""
    found = traceback.extract_tb(error.__traceback__)
    if not found or not _is_own(found[-1]) or not (found[-1].line or "").startswith(("raise", "assert")):
        return None
    last = found[-1]
    lines = range(last.lineno or 0, (last.end_lineno or last.lineno or 0) + 1)
    return words_in("".join(linecache.getline(last.filename, line) for line in lines))


def _said(text: str, known: AbstractSet[str] | None) -> str:
    return text if known is None else message_without_data(text, known)
