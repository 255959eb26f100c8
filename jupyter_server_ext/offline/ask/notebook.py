"""The notebook around a question, and the language that the answer's code should be in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from rsql_magic.sql import Catalog, Column, ForeignKey, Table

from .columns import columns_in

if TYPE_CHECKING:
    from ..request import Described, FrameColumn, OfflineRequest

Language = Literal["python", "r", "sql"]

_ASKED: dict[Language, re.Pattern[str]] = {
    "r": re.compile(r"\b(?:in|using|with|base) R\b|\bR code\b|\bdplyr\b|\btidyverse\b|\bggplot2?\b|\bdata\.table\b"),
    "sql": re.compile(r"\b(?:in|using|with|as) sql\b|\bsql query\b|\bsql code\b", re.IGNORECASE),
    "python": re.compile(
        r"\b(?:in|using|with) (?:python|pandas|polars|numpy)\b|\bpandas\b|\bpython code\b", re.IGNORECASE
    ),
}


@dataclass(frozen=True)
class Notebook:
    """What a question is asked about.

    Args:
        request: The request.
        question: The user's words, or the topic of study material.
    """

    request: OfflineRequest
    question: str

    @property
    def objects(self) -> tuple[Described, ...]:
        """Frames and other objects."""
        return self.request.objects

    @cached_property
    def frames(self) -> list[Described]:
        """The data frames."""
        return [item for item in self.objects if item.is_frame]

    @cached_property
    def named(self) -> list[Described]:
        """The objects the question names, in the order of the question."""
        places = {item: self._place(item) for item in self.objects}
        return sorted((item for item in self.objects if places[item] >= 0), key=lambda item: places[item])

    def _place(self, item: Described) -> int:
        match = re.search(rf"(?<![\w.$]){re.escape(item.name)}(?![\w(])", self.question)
        return match.start() if match and not (len(item.name) == 1 and item.name in "aI") else -1

    @cached_property
    def subject(self) -> Described | None:
        """The frame the question is about: the one it names, else the only one there is or that has the columns."""
        named = next((item for item in self.named if item.is_frame and self._fits(item)), None)
        fitting = [frame for frame in self.frames if self._fits(frame)]
        if len(fitting) > 1 and named is None:
            fitting = [frame for frame in fitting if columns_in(self, frame, self.question)]
        return named or (fitting[0] if len(fitting) == 1 else None)

    def _fits(self, frame: Described) -> bool:
        return self.asked in {None, "sql"} or (self.asked == "r") == frame.is_r

    @cached_property
    def asked(self) -> Language | None:
        """The language the user asks for, by the option or in words; None when it is open."""
        if self.request.language:
            return self.request.language
        return next((language for language, pattern in _ASKED.items() if pattern.search(self.question)), None)

    def language_for(self, frame: Described | None) -> Language:
        """The language of code about a frame."""
        if self.asked:
            return self.asked
        if frame is not None:
            return "r" if frame.is_r else "python"
        in_r, in_python = r"^%%?R\b|<-|library\(", r"^(?:import|from) |\bprint\(|^def "
        return "r" if self._has(in_r) and not self._has(in_python) else "python"

    def _has(self, pattern: str) -> bool:
        return any(re.search(pattern, cell, re.MULTILINE) for cell in self.request.cells)

    def uses(self, package: str) -> bool:
        """Whether a package is attached, imported, used in a cell, or named by the question."""
        text = "\n".join([*self.request.session, *self.request.cells, self.question])
        return re.search(rf"(?<![\w.]){re.escape(package)}(?![\w.])", text) is not None

    def catalog(self, frames: list[Described]) -> Catalog:
        """Frames as tables, so that questions about them are read by the rules for questions about tables."""
        return Catalog(tuple(self._table(frame) for frame in frames), "duckdb")

    def _table(self, frame: Described) -> Table:
        columns = (
            Column(column.name, _type(column), description=column.description, unit=column.unit, profile=column.profile)
            for column in frame.columns
            if column.many == 1
        )
        keys = (
            ForeignKey((join.column,), join.other, (join.referred,), inferred=True)
            for join in self.request.joins
            if join.frame == frame.name
        )
        return Table(frame.name, tuple(columns), kind="frame", rows=frame.rows, foreign_keys=tuple(keys))


def _type(column: FrameColumn) -> str:
    if column.is_number:
        return "DOUBLE"
    if column.is_time:
        return "TIMESTAMP"
    return "VARCHAR" if column.is_text else "BOOLEAN"
