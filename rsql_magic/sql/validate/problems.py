"""What validation finds wrong with a query, and an engine's own message, short enough for a prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["syntax", "table", "column", "ambiguous", "function", "aggregate", "engine"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a query.

    Args:
        kind: What sort: it does not parse, a table or column does not exist, a column could be of several tables, a
            function does not exist, an aggregate or a bare column stands where it may not.
        name: The offending name, as written.
        message: What is wrong and what to write instead, for a model and a person alike.
        suggestions: Names to write instead, best first; columns as ``table.column``.
    """

    kind: Kind
    name: str
    message: str
    suggestions: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.message


_PLACE = re.compile(r"^\s*\^+\s*$")
_NOISE = re.compile(r"\(Background on this error at: \S+\)|\[SQL: .*|\[parameters: .*|^\(\w+(\.\w+)+\)\s*")
_NAME = r"(?:\"[^\"]*\"|'[^']*'|[\w.]+)"
_LONG_LIST = re.compile(f"({_NAME}(?:, {_NAME}){{11}})(?:, {_NAME})+")


def truncate_error(message: str, limit: int = 400) -> str:
    """Shorten an engine's message to what helps to correct the query."""
    # The query is left out where the message repeats it (SQLAlchemy's ``[SQL: …]``, PostgreSQL's ``LINE 1:`` with its
    # caret), lists of candidates are cut after twelve, and PostgreSQL's HINT and DETAIL are kept.
    lines = [line for line in message.splitlines() if line.strip() and not _PLACE.match(line)]
    kept = [line for line in lines if not line.startswith(("LINE ", "CONTEXT:", "QUERY:"))]
    text = " ".join(_NOISE.sub("", line).strip() for line in kept)
    text = _LONG_LIST.sub(r"\1, …", " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"
