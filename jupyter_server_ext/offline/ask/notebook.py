"""The notebook around a question, and the language that the answer's code should be in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from rsql_magic.sql import Catalog, Column, Table

from ..sql import columns_named, values_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..request import Described, FrameColumn, OfflineRequest

Language = Literal["python", "r", "sql"]

_ASKED: dict[Language, re.Pattern[str]] = {
    "r": re.compile(r"\b(?:in|using|with|base) R\b|\bR code\b|\bggplot2?\b"),
    "sql": re.compile(r"\b(?:in|using|with|as) sql\b|\bsql query\b|\bsql code\b", re.IGNORECASE),
    "python": re.compile(r"\b(?:in|using|with) (?:python|pandas|polars)\b|\bpandas\b|\bpython code\b", re.IGNORECASE),
}


@dataclass(frozen=True)
class Notebook:
    """What a question is asked about."""

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
        places = {item: named_at(item, self.question) for item in self.objects if item.name not in {"a", "I"}}
        return sorted((item for item in places if places[item] >= 0), key=places.__getitem__)

    @cached_property
    def subject(self) -> Described | None:
        """The frame the question is about: the one it names, else the only one there is or that has the columns."""
        fitting = [frame for frame in self.frames if self.asked in {None, "sql"} or (self.asked == "r") == frame.is_r]
        named = next((item for item in self.named if item in fitting), None)
        if len(fitting) > 1 and named is None:
            fitting = [frame for frame in fitting if self.columns_in(frame, self.question)]
        return named or (fitting[0] if len(fitting) == 1 else None)

    @cached_property
    def asked(self) -> Language | None:
        """The language the user asks for, by the option or in words; None when it is open."""
        if self.request.language:
            return self.request.language
        return next((language for language, pattern in _ASKED.items() if pattern.search(self.question)), None)

    def language_for(self, frame: Described | None) -> Language:
        """The language of code about a frame."""
        return self.asked or ("r" if frame is not None and frame.is_r else "python")

    def uses(self, package: str) -> bool:
        """Whether a package is attached, imported, used in a cell, or named by the question."""
        text = "\n".join([*self.request.session, *self.request.cells, self.question])
        return re.search(rf"(?<![\w.]){re.escape(package)}(?![\w.])", text) is not None

    def catalog(self, frames: list[Described]) -> Catalog:
        """Frames as tables, so that questions about them are read by the rules for questions about tables."""
        return Catalog(tuple(_table(frame) for frame in frames), "duckdb")

    def columns_in(self, frame: Described, text: str) -> list[FrameColumn]:
        """The columns of a frame that a text names, in the order of the text."""
        found = [frame.get(name) for name in columns_named(text, self.catalog([frame]))]
        return [column for column in found if column is not None]

    def names_part(self, frame: Described, text: str) -> bool:
        """Whether a text speaks of a column or a value of a frame, and so not of all of it."""
        catalog = self.catalog([frame])
        return bool(columns_named(text, catalog)) or values_named(text, catalog)


def named_at(item: Described, text: str) -> int:
    """Where a text names an object, and not a part of it as in ``df.price``; -1 where it does not."""
    match = re.search(rf"(?<![\w.$]){re.escape(item.name)}(?!\w|\(|\[|[.$]\w)", text)
    return match.start() if match else -1


def _table(frame: Described) -> Table:
    columns = (
        Column(column.name, _type(column), description=column.description, unit=column.unit, profile=column.profile)
        for column in frame.columns
        if column.many == 1
    )
    return Table(frame.name, tuple(columns), kind="frame", rows=frame.rows)


def _type(column: FrameColumn) -> str:
    if column.is_number:
        return "DOUBLE"
    if column.is_time:
        return "TIMESTAMP"
    return "VARCHAR" if column.is_text else "BOOLEAN"


def nearest(name: str, known: Iterable[str], *, least: float = 0.5) -> str | None:
    """The known name that looks most like a name, or that it starts or ends; None when none is near.

    Example:
        >>> nearest("wind", ["temp", "wind_speed"]), nearest("tmep", ["temp", "humid"]), nearest("x", ["temp"])
        ('wind_speed', 'temp', None)
    """
    candidates = list(dict.fromkeys(known))
    parts = [other for other in candidates if len(name) >= 3 and _is_part(name.lower(), other.lower())]
    if parts:
        return min(parts, key=len)
    likeness = {other: SequenceMatcher(None, _folded(name), _folded(other)).ratio() for other in candidates}
    best = max(candidates, key=likeness.__getitem__, default=None)
    return best if best is not None and likeness[best] >= least else None


def _folded(name: str) -> str:
    return name.lower().replace("_", "")


def _is_part(one: str, two: str) -> bool:
    return one != two and (two.startswith(one) or two.endswith(one) or (len(two) >= 3 and one.startswith(two)))
