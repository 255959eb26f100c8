"""An engine's own message, short enough for a prompt and a notebook."""

from __future__ import annotations

import re

_PLACE = re.compile(r"^\s*\^+\s*$")
_NOISE = re.compile(r"\(Background on this error at: \S+\)|\[SQL: .*|\[parameters: .*|^\(\w+(\.\w+)+\)\s*")
_NAME = r"(?:\"[^\"]*\"|'[^']*'|[\w.]+)"
_LONG_LIST = re.compile(f"({_NAME}(?:, {_NAME}){{11}})(?:, {_NAME})+")


def truncate_error(message: str, limit: int = 400) -> str:
    """Shorten an engine's message to what helps to correct the query.

    The query is left out where the message repeats it (SQLAlchemy's ``[SQL: …]``, PostgreSQL's ``LINE 1:`` with its
    caret), lists of candidates are cut after twelve, and PostgreSQL's HINT and DETAIL are kept.

    Args:
        message: The message, of one or many lines.
        limit: Most characters.

    Example:
        >>> truncate_error("no such column: nme [SQL: SELECT nme FROM users]")
        'no such column: nme'
    """
    lines = [line for line in message.splitlines() if line.strip() and not _PLACE.match(line)]
    kept = [line for line in lines if not line.startswith(("LINE ", "CONTEXT:", "QUERY:"))]
    text = " ".join(_NOISE.sub("", line).strip() for line in kept)
    text = _LONG_LIST.sub(r"\1, …", " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"
