"""What an empty panel offers to ask: three questions about what is really there, made of names and kinds."""

# No model is asked, and no value is read. A question is sent when it is clicked, as if it had been typed. Each is one
# that the offline model understands, too.

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from rsql_magic.databases import is_frame
from rsql_magic.panel.messages import is_mentioned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.context import RObject
    from rsql_magic.sql import Catalog, Table

_TEXT = ("char", "text", "string", "enum")
_NUMBERS_OF_R = frozenset({"numeric", "integer", "double"})
_WORDS_OF_R = frozenset({"character", "factor", "ordered"})
_MOST = 3
_COUNTED = re.compile(r"(?i)^(year|month|week|day|hour|minute|quarter)$|(^|_)id$")  # numbers that name things
# Words of which every row has its own: a count by them is 1 everywhere.
_OWN = re.compile(r"(?i)(^|_)(name|title|description|comment|notes?|text|email|phone|address|url|uuid|id)$")

_SMALL_WORDS = frozenset("a an and as at by for from in is of on or per than the to with".split())  # noqa: SIM905


def starters(
    snapshot: NotebookSnapshot, catalog: Catalog | None, connection: str = "", of_r: Sequence[RObject] = ()
) -> list[str]:
    """Three messages that a person could begin with; the catalog is of this connection, or of the one in use.

    ``of_r`` are the tables of R's workspace.

    Example:
        >>> from rsql_magic.answers import NotebookSnapshot
        >>> starters(NotebookSnapshot(cells=["", "x = 1"], error="NameError: y"), None)
        ['/explain', 'What does this notebook do so far?', 'Describe what this notebook holds']
    """
    named = {name: _kinds(value) for name, value in snapshot.namespace.items() if name[:1] != "_" and is_frame(value)}
    # What was read has more columns than what was reckoned from it, and more can be asked of it; so with tables below.
    frames = sorted(named, key=lambda name: (-len(named[name]), name))
    about_frames = iter([text for name in frames for text in _of_frame(f"@{name}", named[name])])
    in_r = {
        f"@r:{each.name}": _kinds_in_r(each) for each in of_r if each.name not in frames and is_mentioned(each.name)
    }
    about_r = iter([text for mention, kinds in in_r.items() for text in _of_frame(mention, kinds)])
    tables = sorted(
        (table for table in catalog or () if table.name not in frames), key=lambda table: -len(table.columns)
    )
    query = f"/sql {connection}".rstrip()
    about_tables = iter([f"{query} {text}" for table in tables for text in _of_table(table)])
    offers = ["/explain"] if snapshot.error is not None else []
    for questions in (about_frames, about_r, about_tables, about_frames, about_r, about_tables, about_frames):
        offers += islice(questions, 1)
    if any(str(cell).strip() for cell in snapshot.cells):
        offers.append("What does this notebook do so far?")
    return [*offers, "Describe what this notebook holds", "/help", "What can I ask here?"][:_MOST]


# The columns are told with whether they hold numbers; those that hold neither numbers nor words are left out.
def _of_frame(mention: str, columns: dict[str, bool]) -> Iterator[str]:
    yield f"Describe {mention}. Which columns have missing values?"
    plain = {column: numeric for column, numeric in columns.items() if _reads_as_name(column)}
    number = next((column for column, numeric in plain.items() if numeric and not _COUNTED.search(column)), "")
    words = next((column for column, numeric in plain.items() if not numeric), "")
    if number and words:
        yield f"What is the mean of {number} in {mention} by {words}?"


def _kinds(frame: Any) -> dict[str, bool]:
    from pandas.api.types import is_numeric_dtype

    kinds = getattr(frame, "dtypes", {}).items() if _is_pandas(frame) else ()
    return {str(column): is_numeric_dtype(kind) for column, kind in kinds}


def _kinds_in_r(table: RObject) -> dict[str, bool]:
    known = _NUMBERS_OF_R | _WORDS_OF_R
    return {
        column: kind in _NUMBERS_OF_R for column, kind in zip(table.columns, table.types, strict=False) if kind in known
    }


# Whether a name can stand in a sentence without quotes.
def _reads_as_name(name: str) -> bool:
    return name.isidentifier() and name.lower() not in _SMALL_WORDS


def _is_pandas(frame: Any) -> bool:
    return type(frame).__module__.partition(".")[0] == "pandas"


def _of_table(table: Table) -> Iterator[str]:
    plain = [column for column in table.columns if _reads_as_name(column.name)]
    words = next(
        (
            column.name
            for column in plain
            if column.name not in table.primary_key
            and not _OWN.search(column.name)
            and any(kind in column.type.lower() for kind in _TEXT)
        ),
        "",
    )
    if words:
        yield f"Number of {table.name} by {words}, highest first, as a bar chart"
    yield f"How many {table.name} are there?"
