"""The question of a cell: the line and what stands below it, with or without a silencing semicolon."""

from __future__ import annotations

import re

from rsql_magic.errors import BadInput

_SECOND = re.compile(r"^(%%(?:ask|sql_ai))\b|\A\s*(%(?:ask|sql_ai))\b", re.M)


def joined(text: str, cell: str | None, magic: str) -> str:
    """The question: the rest of the line and the cell below it, letter by letter.

    Args:
        text: The rest of the line.
        cell: What stands below, None for a line magic.
        magic: The cell magic's name, for the hint.

    Raises:
        BadInput: There is none, or there are two.
    """
    if second := _SECOND.search(cell or ""):
        raise BadInput(f"A second {second[0].strip()} stands in this cell.", hint="Put it into a cell of its own.")
    question = "\n".join(part for part in (text, (cell or "").strip("\n")) if part.strip())
    if not question.strip():
        raise BadInput(
            "There is no question.", hint=f"Write it below {magic}." if cell is not None else f"{magic[1:]} QUESTION."
        )
    return question


def silenced(question: str) -> bool:
    """Whether a semicolon at the end asks to show nothing."""
    return question.rstrip().endswith(";")


def spoken(question: str) -> str:
    """The question without the semicolon that silences the cell."""
    return question.rstrip().removesuffix(";") if silenced(question) else question
