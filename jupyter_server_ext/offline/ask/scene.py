"""What the notebook holds, as the prompt describes it, and the language the answer's code should be in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from .. import frames as descriptions
from ..sql import schema as tables
from .columns import columns_in

if TYPE_CHECKING:
    from ..frames import Frame
    from ..prompt import Prompt

Language = Literal["python", "r", "sql"]

_ASKED: dict[Language, re.Pattern[str]] = {
    "r": re.compile(r"\b(?:in|using|with|base) R\b|\bR code\b|\bdplyr\b|\btidyverse\b|\bggplot2?\b|\bdata\.table\b"),
    "sql": re.compile(r"\b(?:in|using|with|as) sql\b|\bsql query\b|\bsql code\b", re.IGNORECASE),
    "python": re.compile(
        r"\b(?:in|using|with) (?:python|pandas|polars|numpy)\b|\bpandas\b|\bpython code\b", re.IGNORECASE
    ),
}
_WISHED = {"Write R.": "r", "Write Python.": "python", "Write SQL.": "sql"}


@dataclass(frozen=True)
class Scene:
    """The notebook around a question.

    Args:
        question: The user's words.
        objects: Frames and other objects, those named first.
        error: Text of the error it is about, empty when there is none.
        cells: Sources of recent cells, newest last.
        session: What is said of the sessions: versions, packages.
        wished: The language the system prompt demands, or None.
        prompt: The prompt itself.
    """

    question: str
    objects: tuple[Frame, ...]
    error: str
    cells: tuple[str, ...]
    session: str
    wished: Language | None
    prompt: Prompt

    @classmethod
    def of(cls, prompt: Prompt, question: str = "") -> Scene:
        """The scene of a prompt."""
        wished = next((language for words, language in _WISHED.items() if words in prompt.system), None)
        return cls(
            question or prompt.question,
            tuple(descriptions.read(prompt.of_kind("frame", "r", "object"))),
            "\n".join(block.text for block in prompt.of_kind("error")[:1]),
            tuple(block.text for block in prompt.of_kind("cell")),
            "\n".join(f"{block.name}: {block.text}" for block in prompt.of_kind("session")),
            wished,  # type: ignore[arg-type]
            prompt,
        )

    @cached_property
    def frames(self) -> list[Frame]:
        """The data frames."""
        return [item for item in self.objects if item.is_frame]

    @cached_property
    def named(self) -> list[Frame]:
        """The objects the question names, in the order of the question."""
        places = {item: self._place(item) for item in self.objects}
        return sorted((item for item in self.objects if places[item] >= 0), key=lambda item: places[item])

    def _place(self, item: Frame) -> int:
        match = re.search(rf"(?<![\w.$]){re.escape(item.name)}(?![\w(])", self.question)
        return match.start() if match and not (len(item.name) == 1 and item.name in "aI") else -1

    @cached_property
    def subject(self) -> Frame | None:
        """The frame the question is about: the one it names, else the only one there is or that has the columns."""
        named = next((item for item in self.named if item.is_frame and self._fits(item)), None)
        fitting = [frame for frame in self.frames if self._fits(frame)]
        if len(fitting) > 1 and named is None:
            fitting = [frame for frame in fitting if columns_in(self, frame, self.question)]
        return named or (fitting[0] if len(fitting) == 1 else None)

    def _fits(self, frame: Frame) -> bool:
        asked = self.asked
        return asked in {None, "sql"} or (asked == "r") == frame.is_r

    @cached_property
    def asked(self) -> Language | None:
        """The language the user asks for, by the option or in words; None when it is open."""
        if self.wished:
            return self.wished
        return next((language for language, pattern in _ASKED.items() if pattern.search(self.question)), None)

    def language_for(self, frame: Frame | None) -> Language:
        """The language of code about a frame."""
        if self.asked:
            return self.asked
        if frame is not None:
            return "r" if frame.is_r else "python"
        return "r" if self.writes_r and not self.writes_python else "python"

    @property
    def writes_r(self) -> bool:
        """Whether the user's own cells are R."""
        return any(re.search(r"^%%?R\b|<-|library\(", cell, re.MULTILINE) for cell in self.cells)

    @property
    def writes_python(self) -> bool:
        """Whether the user's own cells are Python."""
        return any(re.search(r"^(?:import|from) |\bprint\(|^def ", cell, re.MULTILINE) for cell in self.cells)

    def uses(self, package: str) -> bool:
        """Whether a package is attached, imported, used in a cell, or named by the question."""
        text = "\n".join([self.session, *self.cells, self.question])
        return re.search(rf"(?<![\w.]){re.escape(package)}(?![\w.])", text) is not None

    def as_schema(self, frames: list[Frame]) -> tables.Schema:
        """Frames as tables, so that questions about them are read by the rules for questions about tables."""
        return tables.Schema(tuple(_table(frame, self.session) for frame in frames))


def _table(frame: Frame, session: str) -> tables.Table:
    columns = tuple(
        tables.Column(frame.name, column.name, _type(column), column.facts)
        for column in frame.columns
        if column.many == 1
    )
    pattern = rf"(?<!\w){re.escape(frame.name)}\.(\w+) = (\w+)\.(\w+)"
    keys = tuple(
        tables.Key(frame.name, (own,), other, (referred,), guessed=True)
        for own, other, referred in re.findall(pattern, session)
    )
    return tables.Table(frame.name, columns, (), keys, frame.rows, "")


def _type(column: descriptions.FrameColumn) -> str:
    if column.is_number:
        return "DOUBLE"
    if column.is_time:
        return "TIMESTAMP"
    return "VARCHAR" if column.is_text else "BOOLEAN"
