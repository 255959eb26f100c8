"""Code for what can be computed from a frame: the question is read as one about a table, and the query becomes code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..sql import NotUnderstood, laid_out, write
from .code import code_of
from .libraries import PANDAS, POLARS, R

if TYPE_CHECKING:
    from .notebook import Language, Notebook

_LEAD = re.compile(
    r"^\W*(?:please |can you |could you )*(?:"
    r"(?:how (?:do|can|would|should) (?:i|we|you)|how to|show me how to|write (?:the |some )?code (?:to|for|that)|"
    r"give me (?:the )?code (?:to|for)|code (?:to|for))(?: (?:get|compute|calculate|find|obtain|select|see))?|"
    r"please|can you|could you)\s+",
    re.IGNORECASE,
)
_TAIL = re.compile(r"\s+(?:in|with|using|as) (?:base )?(?:r|python|pandas|polars|sql)\W*$", re.IGNORECASE)


def computed(notebook: Notebook, question: str) -> tuple[Language, str, str]:
    """Language, code and notes for a question that asks for rows or figures of a frame.

    Raises:
        NotUnderstood: The question is not about the frames, or not clear.
    """
    asked = notebook.asked
    frames = [item for item in notebook.named if item.is_frame] or [
        frame for frame in notebook.frames if asked in {None, "sql"} or frame.is_r == (asked == "r")
    ]
    if not frames:
        raise NotUnderstood("I see no data frame")
    bare = _TAIL.sub("", _LEAD.sub("", question.strip()))
    written = write(bare, notebook.catalog(frames), "duckdb", notebook.request.day)
    if written.chart:
        raise NotUnderstood("A chart is asked for")
    source = written.query.args["from_"].this.name
    frame = next((frame for frame in frames if frame.name == source), None)
    language, notes = notebook.language_for(frame), " ".join(written.notes[:2])
    if language == "sql":
        return "sql", laid_out(written.query, "duckdb"), notes
    python = POLARS if frame is not None and frame.is_polars else PANDAS
    return language, code_of(written.query, R if language == "r" else python), notes
