"""A problem of a query, as data."""

from __future__ import annotations

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
