"""What an empty panel offers to ask: three questions about what is really there, made of names and kinds."""

# No model is asked, and no value is read. A question is sent when it is clicked, as if it had been typed. Those about
# tables and columns are worded so that the offline model understands them, too.

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from rsql_magic.databases import is_connection, is_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.sql import Catalog, Table

_TEXT = ("char", "text", "string", "enum")
_MOST = 3
_COUNTED = re.compile(r"(?i)^(year|month|week|day|hour|minute|quarter)$|(^|_)id$")  # numbers that name things


def starters(snapshot: NotebookSnapshot, catalog: Catalog | None) -> list[str]:
    """Three messages that a person could begin with.

    Example:
        >>> from rsql_magic.answers import NotebookSnapshot
        >>> starters(NotebookSnapshot(cells=["", "x = 1"], error="NameError: y"), None)
        ['/explain', 'What does this notebook do so far?', 'Describe what this notebook holds']
    """
    frames = sorted(name for name, value in snapshot.namespace.items() if not name.startswith("_") and is_frame(value))
    about_frames = iter([text for name in frames for text in _of_frame(name, snapshot.namespace[name])])
    about_tables = iter([text for table in catalog or () if table.name not in frames for text in _of_table(table)])
    offers = ["/explain"] if snapshot.error is not None else []
    for questions in (about_frames, about_tables, about_frames, about_tables, about_frames):
        offers += islice(questions, 1)
    if catalog is None:
        offers += [f"Which tables are in @{name}?" for name in _named(snapshot, is_connection)][:1]
    if any(str(cell).strip() for cell in snapshot.cells):
        offers.append("What does this notebook do so far?")
    return [*offers, "Describe what this notebook holds", "/help", "What can I ask here?"][:_MOST]


def _named(snapshot: NotebookSnapshot, kind: Callable[[Any], bool]) -> list[str]:
    return sorted(name for name, value in snapshot.namespace.items() if not name.startswith("_") and kind(value))


def _of_frame(name: str, frame: Any) -> Iterator[str]:
    yield f"Describe @{name}. Which columns have missing values?"
    from pandas.api.types import is_numeric_dtype

    kinds = {str(column): kind for column, kind in getattr(frame, "dtypes", {}).items()} if _is_pandas(frame) else {}
    plain = {column: is_numeric_dtype(kind) for column, kind in kinds.items() if column.isidentifier()}
    number = next((column for column, numeric in plain.items() if numeric and not _COUNTED.search(column)), "")
    words = next((column for column, numeric in plain.items() if not numeric), "")
    if number and words:
        yield f"What is the mean of {number} in @{name} by {words}?"


def _is_pandas(frame: Any) -> bool:
    return type(frame).__module__.partition(".")[0] == "pandas"


def _of_table(table: Table) -> Iterator[str]:
    plain = [column for column in table.columns if column.name.isidentifier()]
    words = next(
        (
            column.name
            for column in plain
            if column.name not in table.primary_key and any(kind in column.type.lower() for kind in _TEXT)
        ),
        "",
    )
    if words:
        yield f"/sql Number of {table.name} by {words}, highest first, as a bar chart"
    yield f"/sql How many {table.name} are there?"
