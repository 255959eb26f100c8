"""A query in the dialect it was evidently written in, written anew in the one it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql.autofix.broken_query import Fix, only
from rsql_magic.sql.dialects.calls import calls
from rsql_magic.sql.dialects.functions import functions
from rsql_magic.sql.dialects.reading import Unreadable, lex, parse
from rsql_magic.sql.dialects.table import DIALECTS

if TYPE_CHECKING:
    from rsql_magic.sql.autofix.broken_query import BrokenQuery

READ_AS = tuple(name for name, record in DIALECTS.items() if record.often_confused)
"""Dialects that models mix up."""


def translate(faults: BrokenQuery) -> Fix | None:
    """``a::int`` → ``CAST(a AS INTEGER)``, ``TOP 3`` → ``LIMIT 3``: read in its own dialect, else in the only other."""
    own = generated(faults.text, faults.dialect, faults.dialect)
    if own is not None and _same_words(own, faults.text):
        own = None
    others = (generated(faults.text, read, faults.dialect) for read in READ_AS if read != faults.dialect)
    text = own or only({one for one in others if one is not None})
    return Fix(text, ("written in another dialect → written anew",)) if text else None


def _same_words(one: str, other: str) -> bool:
    """Whether two texts differ in blanks, case and quotes only, so that the one fails as the other did."""
    return _folded(one) == _folded(other)


def _folded(text: str) -> str:
    return "".join(c for c in text.casefold() if not c.isspace() and c not in '"`[];')


def generated(text: str, read: str, write: str) -> str | None:
    """A text read in one dialect and written in another; None when it is not of the one, or not possible in the other.

    Example:
        >>> generated("a::int", "postgres", "sqlite"), generated("DATE_FORMAT(d, '%Y')", "postgres", "sqlite")
        ('CAST(a AS INTEGER)', None)
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        if not _is_at_home(text, read):
            return None
        tree = sqlglot.parse_one(text, dialect=read)
        made = str(tree.sql(dialect=write, unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False))
    except (SqlglotError, Unreadable, ValueError, RecursionError):
        return None
    return made if _is_at_home(made, write) else None


def _is_at_home(text: str, dialect: str) -> bool:
    """Whether a dialect has all the functions that a text calls."""
    known = functions(dialect)
    try:
        lexed = lex(text, dialect)
        called = [call.path[-1].lower() for call in calls(lexed, parse(lexed.text, dialect).walk(), dialect)]
    except Unreadable:
        return False
    return all(known.exists(name) for name in called)
