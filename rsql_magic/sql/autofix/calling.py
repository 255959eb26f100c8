"""Functions of another dialect, and whole queries in one, in the words of the dialect that is asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.sql.autofix.broken_query import Edit, Fix, only
from rsql_magic.sql.dialects.functions import calls, functions
from rsql_magic.sql.dialects.reading import Unreadable, lex, parse
from rsql_magic.sql.dialects.records import dialect_of, names
from rsql_magic.sql.dialects.table import DIALECTS
from rsql_magic.sql.validate.grammar import unknown_functions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.sql.autofix.broken_query import BrokenQuery
    from rsql_magic.sql.dialects.reading import Lexed


# What models write for arithmetic that a question describes in words.
_EVERYWHERE = {
    ("divide", 2): "(1.0 * ({0}) / ({1}))",
    ("subtract", 2): "(({0}) - ({1}))",
    ("multiply", 2): "(({0}) * ({1}))",
    ("add", 2): "(({0}) + ({1}))",
    ("plus", 2): "(({0}) + ({1}))",
}
_PARTS_OF_DATES = names("year month day hour minute second")
_TRUNCATED = {"year": "strftime('%Y-01-01', {0})", "month": "strftime('%Y-%m-01', {0})", "day": "date({0})"}


def fix_call(broken: BrokenQuery) -> Fix | None:
    """``YEAR(born)`` → ``CAST(strftime('%Y', born) AS INTEGER)`` on SQLite, and the like."""
    if broken.tree is None or broken.lexed is None:
        return None
    nodes = list(broken.tree.walk())
    for place, _ in unknown_functions(broken.lexed, nodes, broken.dialect, broken.catalog.functions):
        index = next(i for i, token in enumerate(broken.lexed.tokens) if token.start == place)
        arguments, end = _arguments(broken.lexed, index)
        old = broken.text[place:end]
        new = _in_own_words(broken.lexed.tokens[index].text, arguments, old, broken.dialect) if end else None
        if new is not None:
            return broken.changed([Edit(place, end, new)], f"{_short(old)} → {_short(new)}")
    return None


def _in_own_words(name: str, arguments: Sequence[str], call: str, dialect: str) -> str | None:
    key = (name.lower(), len(arguments))
    template = _EVERYWHERE.get(key) or dialect_of(dialect).calls.get(key)
    if template is not None:
        return template.format(*arguments)
    if dialect_of(dialect).strftime and (found := _by_strftime(name.lower(), arguments, dialect)) is not None:
        return found
    return only({text for text in (generated(call, read, dialect) for read in READ_AS) if text is not None})


def _by_strftime(name: str, arguments: Sequence[str], dialect: str) -> str | None:
    """Functions that take a part of a date, and those that take any number of arguments."""
    if name == "concat" and len(arguments) > 1:
        return f"({' || '.join(arguments)})"
    if name == "date_format" and len(arguments) == 2 and re.fullmatch(r"'(?:%[YmdHis]|[^%'])*'", arguments[1]):
        return f"strftime({arguments[1].replace('%s', '%S').replace('%i', '%M')}, {arguments[0]})"
    part, value = _part_and_value(name, arguments)
    if name == "date_trunc":
        return _TRUNCATED[part].format(value) if part in _TRUNCATED else None
    template = dialect_of(dialect).calls.get((part, 1))
    return template.format(value) if template and part in _PARTS_OF_DATES else None


def _part_and_value(name: str, arguments: Sequence[str]) -> tuple[str, str]:
    """``EXTRACT(YEAR FROM x)``, ``date_part('year', x)`` and ``DATEPART(year, x)`` as part and value."""
    if name == "extract" and len(arguments) == 1:
        part, _, value = re.sub(r"\s+from\s+", "\0", arguments[0], count=1, flags=re.IGNORECASE).partition("\0")
        return part.strip().lower(), value.strip()
    if name in {"date_part", "datepart", "date_trunc"} and len(arguments) == 2:
        return arguments[0].strip().strip("'").lower(), arguments[1]
    return "", ""


def _arguments(lexed: Lexed, index: int) -> tuple[list[str], int]:
    """The arguments of a call as written, and where its bracket ends; 0 when it never does."""
    tokens = lexed.tokens
    depth, begin, found = 0, tokens[index + 1].end + 1, list[str]()
    for token, raw in zip(tokens[index + 1 :], lexed.raws[index + 1 :], strict=True):
        depth += (raw in {"(", "["}) - (raw in {")", "]"})
        if depth == 0 or (depth == 1 and raw == ","):
            found.append(lexed.text[begin : token.start].strip())
            begin = token.end + 1
        if depth == 0:
            return [part for part in found if part], token.end + 1
    return [], 0


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else f"{flat[:59]}…"


# Dialects that models mix up.
READ_AS = tuple(name for name, record in DIALECTS.items() if record.often_confused)


def translate(broken: BrokenQuery) -> Fix | None:
    """``a::int`` → ``CAST(a AS INTEGER)``, ``TOP 3`` → ``LIMIT 3``: read in its own dialect, else in the only other."""
    own = generated(broken.text, broken.dialect, broken.dialect)
    if own is not None and _same_words(own, broken.text):
        own = None
    others = (generated(broken.text, read, broken.dialect) for read in READ_AS if read != broken.dialect)
    text = own or only({one for one in others if one is not None})
    return Fix(text, ("written in another dialect → written anew",)) if text else None


def _same_words(one: str, other: str) -> bool:
    """Whether two texts differ in blanks, case and quotes only, so that the one fails as the other did."""
    return _folded(one) == _folded(other)


def _folded(text: str) -> str:
    return "".join(c for c in text.casefold() if not c.isspace() and c not in '"`[];')


def generated(text: str, read: str, write: str) -> str | None:
    """A text read in one dialect and written in another; None when it is not of the one or impossible in the other."""
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
