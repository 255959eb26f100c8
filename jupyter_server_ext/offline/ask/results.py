"""A query's result in words, from the first rows that the kernel side sends as CSV."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from .describe import listed

if TYPE_CHECKING:
    from ..prompt import Prompt

_ASKS = re.compile(r"^The query above gave the result above \((?P<count>[^)\n]*)\)", re.MULTILINE)


def result_in_words(prompt: Prompt) -> str:
    """The one row of a result, or the first of several; empty for any other prompt."""
    asked = _ASKS.search(prompt.message)
    told = next((block for block in prompt.blocks if block.kind == "result"), None)
    if asked is None or told is None:
        return ""
    header, *rows = csv.reader(told.text.splitlines()) if told.text.strip() else [[]]
    if not rows:
        return "The result has no rows."
    first = listed([f"`{name}` is {value or 'missing'}" for name, value in zip(header, rows[0], strict=False)])
    return f"{first}." if len(rows) == 1 else f"In the first row, {first} ({asked['count']})."
