"""What the comments in a ``CREATE TABLE`` say of the table and of its columns.

SQLite has no other comments, and keeps the statement as it was typed. A comment is of the column that it stands behind,
on the same line, or above; one behind the name of the table, behind its first bracket or behind its last is of the
table. What is set apart by a blank line is a heading and is passed over, as is a definition that was commented out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Most characters of a remark; what a model reads of it is cut shorter still.
LONGEST = 500

# Characters of a statement that are read; one with 2,000 columns has about 100,000.
_MOST_READ = 200_000

_PIECE = re.compile(
    r"""
    (?P<remark>--[^\n]* | /\*.*?(?:\*/|\Z))
    | (?P<quoted>"(?:[^"]|"")*" | `(?:[^`]|``)*` | \[[^\]]*\] | '(?:[^']|'')*')
    | (?P<word>[^\W\d][\w$]*)
    | (?P<space>\s+)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# First words of lines that are no columns.
_KEYS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
# How a line of code ends that was commented out.
_CODE = re.compile(r"[,;(]\s*\Z")
# Stands for a key among the columns.
_KEY = "\0"


class Remarks(NamedTuple):
    """What is said of a table, and of its columns by their names in lower case."""

    table: str
    columns: dict[str, str]


def remarks(create: str) -> Remarks:
    r"""The remarks in a statement that creates a table.

    Args:
        create: The statement, as SQLite keeps it.

    Example:
        >>> remarks("CREATE TABLE trips ( -- one row a ride\n  fare REAL, -- in dollars\n  tip REAL)")
        Remarks(table='one row a ride', columns={'fare': 'in dollars'})
    """
    reader, create = _RemarkReader(), create[:_MOST_READ]
    for piece in _PIECE.finditer(create):
        reader.take(str(piece.lastgroup), piece[0], piece.start() - create.rfind("\n", 0, piece.start()))
    reader.settle()
    reader.columns.pop(_KEY, None)
    described = {name: _joined(said) for name, said in reader.columns.items() if any(said)}
    return Remarks(_joined(reader.of_table), described)


class _RemarkReader:
    """Where the reading of a statement stands."""

    def __init__(self) -> None:
        self.of_table: list[str] = []
        self.columns: dict[str, list[str]] = {}
        self._depth = 0
        self._closed = False
        # The column, or the key, that is being defined or was defined last; empty before the first.
        self._column = ""
        # Whether the next name begins a column.
        self._begins = False
        # Remarks that stand above what follows, or before it on its line.
        self._above: list[str] = []
        # Whether anything but blanks and remarks stands on this line so far.
        self._on_line = False
        # Where the remark begins that ended the last line; 0 for none.
        self._trailing = 0

    def take(self, kind: str, text: str, place: int) -> None:
        """Take the next piece; ``place`` counts characters from the start of its line."""
        if kind == "space":
            self._space(text.count("\n"))
        elif kind == "remark":
            self._remark(text, place)
        else:
            self._code(kind, text)
            self._on_line, self._trailing = True, 0

    def _space(self, newlines: int) -> None:
        if newlines:
            self._on_line = False
        if newlines > 1:
            self.settle()

    def settle(self) -> None:
        """Nothing follows at once: what stands above it is of the table before the first column, else a heading."""
        if not self._column:
            self.of_table += self._above
        self._above, self._trailing = [], 0

    def _remark(self, text: str, place: int) -> None:
        said = _said(text)
        follows = self._trailing == place and not self._on_line
        if self._closed or not self._depth or (self._on_line and not self._column):
            self.of_table.append(said)
        elif follows or (self._on_line and (not self._begins or text.startswith("--"))):
            self.columns.setdefault(self._column, []).append(said)
            self._trailing = place
        else:
            self._above.append(said)

    def _code(self, kind: str, text: str) -> None:
        if kind == "mark":
            self._mark(text)
        elif self._begins and self._depth == 1:
            self._begins = False
            is_key = kind == "word" and text.upper() in _KEYS
            self._column = _KEY if is_key else _name(text)
            self.columns.setdefault(self._column, []).extend(self._above)
            self._above = []

    def _mark(self, mark: str) -> None:
        if mark == "(":
            self._depth += 1
            self._begins = self._begins or (self._depth == 1 and not self._column)
        elif mark == ")":
            self._depth -= 1
            self._closed = self._closed or not self._depth
        elif mark == "," and self._depth == 1:
            self._begins = True


def _name(text: str) -> str:
    """A name without its quotes, in lower case."""
    if text[0] in "\"`'[":
        text = text[1:-1].replace(text[0] * 2, text[0])
    return text.lower()


def _said(remark: str) -> str:
    """The words of a remark, without its marks and the frame of stars or dashes around it."""
    inner = remark.removeprefix("--") if remark.startswith("--") else remark[2:].removesuffix("*/")
    lines = (line.strip(" \t\r*-=#") for line in inner[: 4 * LONGEST].splitlines())
    words = " ".join(line for line in lines if line)
    return "" if _CODE.search(words) else words


def _joined(said: list[str]) -> str:
    return " ".join(filter(None, said))[:LONGEST]
