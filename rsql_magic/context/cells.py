"""Recent cells and the last error, as plain values: what the user did, and what went wrong.

Nothing here asks IPython: the caller passes the history in. A cell is its number and source; names used and names
assigned are read off the source, so that what the user works with now ranks before what was loaded this morning.

Code holds data too: ``pd.DataFrame({"diagnosis": ["flu", …]})``. Below the level ``sample`` a text in quotes is shown
only when it is a name of the session (a column, a variable, a table) or a word of the usual vocabulary (``"mean"``).
"""

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import re
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.context.privacy import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

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

    def text(self, known: AbstractSet[str] | None = None) -> str:
        """The source, cut in the middle where it is long, and the error after it.

        Args:
            known: Names whose texts in quotes may be shown; None shows all.
        """
        source = self.source.strip() if known is None else without_data(self.source.strip(), known)
        return "\n".join(part for part in (_middle_out(source), self.error.strip()) if part)


# Read from left to right, so that an apostrophe in a comment opens nothing and a # in a text comments nothing out.
_LITERALS = re.compile(
    r"""(?P<comment>\#[^\n]*)"""
    r"""|(?P<open>'{3}|"{3}|['"`])(?P<text>(?:\\.|(?!(?P=open)).)*)(?P<close>(?P=open)|\Z)""",
    re.DOTALL,
)
_VOCABULARY = frozenset(
    """
    mean sum min max median std var count first last size nunique any all left right inner outer cross index columns
    ignore coerce raise drop ascending descending bar barh line hist scatter box kde area pie point D W M ME Q QE Y YE
    h H s ms us ns utf-8 utf8 latin1 r w a rb wb int int64 float float64 str string bool object category datetime64
    records list dict pearson spearman kendall linear nearest pad ffill bfill None x y
    """.split()
)


def without_data(source: str, known: AbstractSet[str]) -> str:
    """Code without the texts in quotes that may be data.

    Args:
        source: Python, R or SQL.
        known: Texts that are names.

    Example:
        >>> without_data('df[df["name"] == "Ann"].agg("mean")', {"name"})
        'df[df["name"] == "…"].agg("mean")'
    """

    def shown(match: re.Match[str]) -> str:
        text = match["text"]
        if match["comment"] or match["open"] == "`" or not text or text in known or text in _VOCABULARY:
            return match[0]
        return f"{match['open']}…{match['close']}"

    return _LITERALS.sub(shown, source)


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


# Messages that quote a value of the data.
_VALUE = re.compile(
    r"(?P<before>could not convert string to \w+: |invalid literal for int\(\) with base \d+: |[Tt]ime data "
    r"|[Uu]nknown (?:string|datetime string) format[^:]*: |[Uu]nable to parse string |[Cc]annot parse "
    r"|[Cc]ould not convert string |[Ii]nvalid input syntax for (?:type )?\w+: |[Dd]uplicate entry |Key \([^)]*\)="
    r"|is not a valid \w+: )(?P<value>\"(?:[^\"]*)\"|'(?:[^']*)'|\([^)]*\))"
)


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
        return _middle_out(_message(error or "", known))
    found = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in found if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    lines = [
        f"line {frame.lineno} in {frame.name}: {frame.line if known is None else without_data(frame.line, known)}"
        for frame in (own or found)[-frames:]
        if frame.line
    ]
    message = "".join(traceback.format_exception_only(type(error), error)).strip()
    cause = [f"caused by {error_text(error.__cause__, 1, known)}"] if error.__cause__ else []
    return "\n".join([*lines, _middle_out(_message(message, known)), *cause])


def _message(text: str, known: AbstractSet[str] | None) -> str:
    return text if known is None else _VALUE.sub(lambda match: f"{match['before']}'…'", text)


def _middle_out(text: str, longest: int = _LONGEST) -> str:
    """A text of bounded length: a cell's and an error's start and end say most."""
    if len(text) <= longest:
        return text
    text, half = redact(text)[0], longest // 2
    return f"{text[:half]}\n… ({len(text) - longest:,} characters left out)\n{text[-half:]}"
