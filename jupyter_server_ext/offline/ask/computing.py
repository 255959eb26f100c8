"""Code for what can be computed from frames: the question is read as one about tables, and the query becomes code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..sql import NotUnderstood, laid_out, write
from . import r_code
from .pandas_code import pandas
from .polars_code import polars
from .tree import steps_of

if TYPE_CHECKING:
    from ..request import Described
    from ..sql import Written
    from .notebook import Language, Notebook


def computed(notebook: Notebook, question: str) -> tuple[Language, str, str]:
    """Language, code and notes for a question that asks for rows or figures of the frames.

    Raises:
        NotUnderstood: The question is not about the frames, or not clear.
    """
    frames = _frames(notebook)
    if not frames:
        raise NotUnderstood("I see no data frame")
    written = write(_bare(question), notebook.catalog(frames), "duckdb", notebook.request.day)
    if written.chart:
        raise NotUnderstood("A chart is asked for")
    language = notebook.language_for(_used(written, frames))
    notes = " ".join(note for note in written.notes[:2])
    if language == "sql":
        return "sql", laid_out(written.query, "duckdb"), notes
    return language, _code(notebook, written, language, frames), notes


def _frames(notebook: Notebook) -> list[Described]:
    """The frames a question may be about: those it names, else those of the language asked for."""
    named = [item for item in notebook.named if item.is_frame]
    if named:
        return named
    asked = notebook.asked
    return [frame for frame in notebook.frames if asked in {None, "sql"} or frame.is_r == (asked == "r")]


def _used(written: Written, frames: list[Described]) -> Described | None:
    source = written.query.args["from_"].this.name
    return next((frame for frame in frames if frame.name == source), None)


_LEAD = re.compile(
    r"^\W*(?:please |can you |could you )*(?:"
    r"(?:how (?:do|can|would|should) (?:i|we|you)|how to|show me how to|write (?:the |some )?code (?:to|for|that)|"
    r"give me (?:the )?code (?:to|for)|code (?:to|for))(?: (?:get|compute|calculate|find|obtain|select|see))?|"
    r"please|can you|could you)\s+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s+(?:in|with|using|as) (?:base )?(?:r|python|pandas|polars|dplyr|sql|the tidyverse|tidyverse)\W*$", re.IGNORECASE
)


def _bare(question: str) -> str:
    """The question without the words that only ask for code.

    Example:
        >>> _bare("How do I get the mean mpg by cyl in R?")
        'the mean mpg by cyl'
    """
    return _TAIL.sub("", _LEAD.sub("", question.strip()))


def _code(notebook: Notebook, written: Written, language: Language, frames: list[Described]) -> str:
    steps = steps_of(written.query)
    if language == "python":
        frame = _used(written, frames)
        return polars(steps) if frame is not None and frame.is_polars else pandas(steps)
    if notebook.uses("dplyr") or notebook.uses("tidyverse"):
        return r_code.dplyr(steps)
    try:
        return r_code.base(steps)
    except NotUnderstood:
        return r_code.dplyr(steps)
