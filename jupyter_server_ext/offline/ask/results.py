"""A query's result in words, from its first rows as CSV."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from .describe import listed

if TYPE_CHECKING:
    from ..request import OfflineRequest


def result_in_words(request: OfflineRequest) -> str:
    """The one row of a result, or the first of several."""
    header, *rows = csv.reader(request.rows.splitlines()) if request.rows.strip() else [[]]
    if not rows:
        return "The result has no rows."
    first = listed([f"`{name}` is {value or 'missing'}" for name, value in zip(header, rows[0], strict=False)])
    return f"{first}." if len(rows) == 1 else f"In the first row, {first} ({request.returned})."
