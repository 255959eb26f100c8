"""Passages: pieces of a document that are found and cited, each within a heading and with its lines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

from rsql_magic.sql import count_tokens, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Line = tuple[int, str]  # its number from 1, and what it says

MOST = 300  # tokens of a passage
_LONGEST_HEADING = 120  # characters
_LONGEST_LINE = 20_000  # characters; what is longer is no text to read
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document below one heading, as a format's reader finds it."""

    path: tuple[str, ...]  # headings, the outermost first
    lines: tuple[Line, ...]
    part: str = ""  # where the lines are counted, such as ``page 3`` or ``cell 5``; empty for the whole document


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Example:
        >>> Passage("guide.md", ("Install", "Linux"), 12, 20, "…").label
        'guide.md › Install › Linux, lines 12–20'
    """

    document: str  # its name
    path: tuple[str, ...]  # headings, the outermost first
    first: int  # line; 0 where the document has no lines to count
    last: int
    text: str
    part: str = ""  # such as ``page 3`` or ``cell 5``
    origin: str = ""  # the file or URL, where it can be opened
    owner: str = ""  # who shares it through the gateway, such as a course; empty for the notebook's own
    score: float = field(default=0.0, compare=False)

    @property
    def heading(self) -> str:
        """The headings in one line."""
        return " › ".join(self.path)

    @property
    def place(self) -> str:
        """Where in the document: ``page 3, lines 4–9``."""
        lines = f"line {self.first}" if self.first == self.last else f"lines {self.first}–{self.last}"
        return ", ".join(filter(None, [self.part, lines if self.first else ""]))

    @property
    def label(self) -> str:
        """Document, headings and lines, as a citation names them."""
        return ", ".join(filter(None, [" › ".join([self.document, *self.path]), self.place]))

    @property
    def short(self) -> str:
        """Document and line as a compiler names them: ``guide.md:12``."""
        where = ", ".join(filter(None, [self.part, str(self.first or "")]))
        return f"{self.document}:{where}" if where else self.document

    def scored(self, score: float) -> Passage:
        """The same with what a search gave it."""
        return replace(self, score=score)


def split(document: str, sections: Iterable[Section], most: int = MOST) -> list[Passage]:
    r"""Cut sections into passages of at most so many tokens, at paragraphs, lines or sentences, in this order.

    Args:
        document: Its name.
        sections: Its parts in order.
        most: Tokens of a passage.

    Example:
        >>> found = split("a.md", [Section(("Install",), ((2, "Use pip."), (3, ""), (4, "Or conda.")))])
        >>> [(each.label, each.text) for each in found]
        [('a.md › Install, lines 2–4', 'Use pip.\n\nOr conda.')]
    """
    found = []
    for section in sections:
        path = tuple(one_line(heading, _LONGEST_HEADING) for heading in section.path if heading.strip())
        for lines in _pieces(section.lines, most):
            text = "\n".join(line for _, line in lines)
            found.append(Passage(document, path, lines[0][0], lines[-1][0], text, section.part))
    return found


def _pieces(lines: Sequence[Line], most: int) -> Iterator[list[Line]]:
    """Runs of lines of at most so many tokens; whole paragraphs as far as they fit."""
    held: list[Line] = []
    size = 0
    for block, tokens in _blocks(lines, most):
        if size and size + tokens > most:
            yield from _trimmed(held)
            held, size = [], 0
        held += block
        size += tokens
    yield from _trimmed(held)


def _trimmed(lines: list[Line]) -> Iterator[list[Line]]:
    said = [place for place, (_, line) in enumerate(lines) if line.strip()]
    if said:
        yield lines[said[0] : said[-1] + 1]


def _blocks(lines: Sequence[Line], most: int) -> Iterator[tuple[list[Line], int]]:
    """Paragraphs with the empty lines after them; of one that is too long its lines, of such a line its sentences."""
    for is_said, group in groupby(lines, key=lambda line: bool(line[1].strip())):
        block = list(group)
        tokens = count_tokens("\n".join(line for _, line in block)) if is_said else 0
        if tokens <= most:
            yield block, tokens
            continue
        for number, line in block:
            for piece in _cut(line, most):
                yield [(number, piece)], count_tokens(piece)


def _cut(line: str, most: int) -> Iterator[str]:
    """A line in pieces of at most about so many tokens."""
    line = line[:_LONGEST_LINE]
    if count_tokens(line) <= most:
        yield line
        return
    held = ""
    for sentence in _SENTENCE.split(line):
        for words in _words(sentence, most):
            if held and count_tokens(f"{held} {words}") > most:
                yield held
                held = ""
            held = f"{held} {words}".strip()
    if held:
        yield held


def _words(sentence: str, most: int) -> Iterator[str]:
    """A sentence, or pieces of it where it is a wall of text: a token has at least one character."""
    if count_tokens(sentence) <= most:
        yield sentence
        return
    for start in range(0, len(sentence), most):
        yield sentence[start : start + most]
