"""A set of changes of a notebook's cells, and the written form in which a model gives it."""

# The form is one that small models manage: a heading for each change, and a block with the whole cell below it.
#
#     ### edit cell 5: the column is called region
#     ```python
#     sales.groupby("region").sum()
#     ```
#     ### new cell after 5: a chart of it
#     ```python
#     …
#     ```
#
# What does not fit the form is said, and asked for once more; nothing is guessed.

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.agent.cage.trial import why_not
from rsql_magic.gateway import restored
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rsql_magic.agent.effects.cells import Effect
    from rsql_magic.agent.notebook_cells import NotebookCell, NotebookCells

MOST_CHANGES = 20
_FORM = frozenset({"THE WHOLE CELL, COPIED AND CORRECTED", "CODE", "TEXT"})  # as prompts/do.md has it
_LONGEST = 100_000  # characters of one cell
_LONGEST_REASON = 300
_LONGEST_WORDS = 4_000
_MARK = r"\s{0,3}(?:[-*+]\s+)?(?:\d+[.)]\s*)?(?:#{1,6}\s*)?(?:\d+[.)]\s*)?[*_`]{0,3}\s*"
_EDIT = re.compile(
    rf"{_MARK}(?:edit|change|modify|update|replace|rewrite)\s+(?:the\s+)?cell\s*[\[#(]?\s*(\d+)\b[\])]?(.*)", re.I
)
_ADD = re.compile(
    rf"{_MARK}(?:(?:add|insert|create)\s+(?:a\s+)?)?(?:new\s+)?(?:(?:code|python|r|sql|text|markdown)\s+)?cell\s*"
    r"(?:(?P<where>after|below|before|above)\s*(?:the\s+)?(?:cell\s*)?[\[#(]?\s*(?P<number>\d+)\b[\])]?"
    r"|(?P<end>(?:at|to)\s+the\s+(?:end|bottom)|after\s+the\s+last(?:\s+(?:cell|one))?)"
    r"|(?P<top>at\s+the\s+(?:top|start|beginning)))(?P<rest>.*)",
    re.I,
)
_STARTS_ADD = re.compile(rf"{_MARK}(?:add|insert|create|new)\b", re.I)
_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`{]*|\{[^}\n]*\})[^`\n]*")
_REASON = re.compile(r"^[\s*_`]*[:.—–-]*[\s*_]*|[\s*_`#]+$")
_LANGUAGES = {
    **dict.fromkeys(("py", "python3", "ipython", "ipython3", "", "code"), "python"),
    **dict.fromkeys(("{r}", "rscript"), "r"),
    **dict.fromkeys(("md", "text", "txt", "plain"), "markdown"),
    **dict.fromkeys(("postgresql", "duckdb", "sqlite", "mysql"), "sql"),
}
_KNOWN = frozenset({"python", "r", "sql", "markdown", "bash", "sh", "html", "javascript", "json", "latex"})


@dataclass(frozen=True)
class Change:
    """One change of a notebook.

    Attributes:
        kind: ``edit`` a cell, or ``add`` one.
        cell: The id of the cell to edit, or of the one after which to add; empty for the top.
        number: That cell's number for people, 0 for the top.
        type: ``code`` or ``markdown``.
        before: The source that an edit was made for.
        source: The new source.
        reason: Why, in a sentence of the model's.
        findings: What is wrong with the code, a sentence each.
        effects: What the cell would do beyond computing.
        id: Its name within the set.
    """

    kind: Literal["edit", "add"]
    cell: str
    number: int
    type: Literal["code", "markdown"]
    source: str
    before: str = ""
    reason: str = ""
    findings: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    id: str = ""

    @property
    def title(self) -> str:
        """What it does to the notebook."""
        if self.kind == "edit":
            return f"Edit cell {self.number}"
        return f"New cell after {self.number}" if self.number else "New cell at the top"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a view."""
        plain = ("id", "kind", "cell", "number", "type", "before", "source", "reason", "title")
        effects = [{"kind": each.kind, "text": str(each)} for each in self.effects]
        told = {**{name: getattr(self, name) for name in plain}, "findings": list(self.findings), "effects": effects}
        return {**told, "cannot_try": why_not(self.source)} if effects else told


@dataclass(frozen=True)
class ChangeSet:
    """What a model proposes in one go, and what it says beside it; without changes it only says something."""

    changes: tuple[Change, ...] = ()
    words: str = ""

    @property
    def summary(self) -> str:
        """The set in a line for each change, for the conversation."""
        return "\n".join([self.words, *(f"- {each.title}: {each.reason}" for each in self.changes)]).strip()


class UnreadableChanges(ValueError):
    """A reply that is no change set; its arguments say why, a sentence each."""


@dataclass
class _Heading:
    line: str
    kind: Literal["edit", "add"]
    number: int
    reason: str
    prose: list[str] = field(default_factory=list)
    blocks: list[tuple[str, str]] = field(default_factory=list)


def read_changes(text: str, cells: NotebookCells, shown: Collection[int], *, sql_magic: str = "%%sql") -> ChangeSet:
    r"""The changes that a reply holds.

    Args:
        text: What the model wrote.
        cells: The notebook.
        shown: Numbers of the cells that the model saw whole; others cannot be edited.
        sql_magic: The first line of a new cell with SQL.

    Raises:
        UnreadableChanges: It is not of the form.

    Example:
        >>> from rsql_magic.agent.notebook_cells import NotebookCells
        >>> cells = NotebookCells.read({"cells": [{"id": "a", "type": "code", "source": "1"}]})
        >>> found = read_changes("Two.\n### edit cell 1: more\n```python\n2\n```", cells, {1})
        >>> found.words, found.changes[0].source, found.changes[0].reason
        ('Two.', '2', 'more')
    """
    words, headings, problems = _outline(text, cells)
    changes = list[Change]()
    for heading in headings:
        try:
            changes.append(_change(heading, cells, shown, sql_magic))
        except UnreadableChanges as problem:
            problems += problem.args
    edited = [change.cell for change in changes if change.kind == "edit"]
    problems += [
        f"Cell {_number(cells, each)} is edited twice." for each in sorted({e for e in edited if edited.count(e) > 1})
    ]
    if len(headings) > MOST_CHANGES:
        problems.append(f"There are {len(headings)} changes; at most {MOST_CHANGES} can be looked at.")
    if problems:
        raise UnreadableChanges(*dict.fromkeys(problems))
    named = tuple(replace(change, id=f"c{number}") for number, change in enumerate(changes, 1))
    return ChangeSet(named, words[:_LONGEST_WORDS])


def _number(cells: NotebookCells, name: str) -> int:
    return next((cell.number for cell in cells if cell.id == name), 0)


# The text as headings with their blocks; words of its own before them, and what does not belong anywhere.
def _outline(text: str, cells: NotebookCells) -> tuple[str, list[_Heading], list[str]]:
    words, headings, problems = list[str](), list[_Heading](), list[str]()
    for is_code, language, piece in _pieces(text):
        if is_code is None:
            problems.append(f"The block after {_last_line(words, headings)!r} is not closed.")
        elif is_code:
            if headings:
                headings[-1].blocks.append((language, piece))
            else:
                problems.append("A block stands before the first heading. Each needs one: ### edit cell 1: why")
        elif (heading := _heading(piece, cells)) is not None:
            headings.append(heading)
        elif _STARTS_ADD.match(piece) and re.match(r"\s{0,3}#", piece):
            problems.append(f"The heading {one_line(piece, 80)!r} does not say where: ### new cell after 1: why")
        elif re.match(r"\s{0,3}#{1,6}\s", piece) and headings and headings[-1].blocks:
            words.append(piece)
        else:
            (headings[-1].prose if headings and not headings[-1].blocks else words).append(piece)
    return "\n".join(words).strip(), headings, problems


def _last_line(words: list[str], headings: list[_Heading]) -> str:
    return one_line(headings[-1].line if headings else (words or ["the start"])[-1], 80)


# Lines outside of blocks, and blocks as a whole; None for a block that nothing closes.
def _pieces(text: str) -> Iterator[tuple[bool | None, str, str]]:
    lines = iter(text.splitlines())
    for line in lines:
        opening = _FENCE.fullmatch(line)
        if opening is None:
            yield False, "", line
            continue
        fence, indent, inside = opening["fence"], opening["indent"], list[str]()
        for code in lines:
            if re.fullmatch(rf"[ \t]*{re.escape(fence)}{re.escape(fence[0])}*[ \t]*", code):
                yield True, opening["language"].lower(), "\n".join(inside)
                break
            inside.append(code.removeprefix(indent))
        else:
            yield None, "", ""


def _heading(line: str, cells: NotebookCells) -> _Heading | None:
    if match := _EDIT.fullmatch(line):
        return _Heading(line, "edit", int(match[1][:9]), _cleaned(match[2]))
    if match := _ADD.fullmatch(line):
        number = int(match["number"][:9]) if match["number"] else 0 if match["top"] else len(cells.cells)
        if match["where"] and match["where"].lower() in {"before", "above"}:
            number -= 1
        return _Heading(line, "add", number, _cleaned(match["rest"]))
    return None


def _cleaned(reason: str) -> str:
    return one_line(_REASON.sub("", _REASON.sub("", reason)), _LONGEST_REASON)


def _change(heading: _Heading, cells: NotebookCells, shown: Collection[int], sql_magic: str) -> Change:
    """The change of a heading and its block; an `UnreadableChanges` says what is wrong with it."""
    title = repr(one_line(heading.line.strip(" #*"), 80))
    cell, count = cells.numbered(heading.number), len(heading.blocks)

    def wrong(why: str) -> UnreadableChanges:
        return UnreadableChanges(f"{title}: {why}")

    if cell is None and (heading.kind == "edit" or heading.number != 0):
        raise wrong(f"there is no cell {heading.number}; there are 1 to {len(cells.cells)}.")
    if count != 1:
        raise wrong(f"there {'is no block' if not count else f'are {count} blocks'} below; put the whole cell in one.")
    language, code = heading.blocks[0]
    language = _LANGUAGES.get(language, language)
    if unusable := _unusable(language, code):
        raise wrong(unusable)
    reason = heading.reason or one_line(" ".join(heading.prose), _LONGEST_REASON)
    if heading.kind == "add":
        kind: Literal["code", "markdown"] = "markdown" if language == "markdown" else "code"
        source = _as_cell(code, language, sql_magic)
        return Change("add", cell.id if cell else "", heading.number, kind, source, reason=reason)
    if cell is None or cell.number not in shown:
        raise wrong(f"cell {heading.number} was not shown, so it cannot be edited.")
    if (cell.type == "code") == (language == "markdown"):
        raise wrong(f"cell {cell.number} is {cell.type}, its block is {language}. Add a new cell instead.")
    source = restored(_like(cell, code, language, sql_magic), cell.source)
    if source == cell.source:
        raise wrong("its block is the cell as it is.")
    kind = "code" if cell.type == "code" else "markdown"
    return Change("edit", cell.id, cell.number, kind, source, cell.source, reason)


# Why a block is no cell; empty where it is one.
def _unusable(language: str, code: str) -> str:
    if language not in _KNOWN:
        return f"its block is marked {one_line(language, 20)!r}; use python, r, sql or markdown."
    if not code.strip() or len(code) > _LONGEST:
        return f"its block has {len(code):,} characters; a cell has 1 to {_LONGEST:,}."
    return "its block holds the words of the form; write the cell itself." if code.strip() in _FORM else ""


# The source of a cell from a block, with the first line that its language needs.
def _as_cell(code: str, language: str, sql_magic: str) -> str:
    if language in {"python", "markdown"} or code.lstrip().startswith("%%"):
        return code
    if language == "sql":
        return f"{sql_magic}\n{code}"
    return f"%%{'R' if language == 'r' else language}\n{code}"


# An edited cell keeps its first line where that is a magic of the same language.
def _like(cell: NotebookCell, code: str, language: str, sql_magic: str) -> str:
    if cell.magic and not code.lstrip().startswith("%%") and language == cell.language:
        return f"{cell.magic}\n{code}"
    return _as_cell(code, language, sql_magic)
