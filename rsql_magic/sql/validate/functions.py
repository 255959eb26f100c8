"""Functions that the dialect does not have, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql.dialects.calls import TYPES, calls
from rsql_magic.sql.dialects.functions import functions
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.validate.nearest import nearest
from rsql_magic.sql.validate.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import exp

    from rsql_magic.sql.dialects.functions import Functions
    from rsql_magic.sql.dialects.reading import Lexed

_ALIKE = 0.8


def unknown_functions(
    lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str, own: Iterable[str] = ()
) -> Iterator[tuple[int, Problem]]:
    """Functions that do not exist in the dialect, with where they stand.

    Args:
        lexed: The query's words.
        nodes: The nodes of its tree.
        dialect: sqlglot's name.
        own: Names of user-defined functions.
    """
    known = functions(dialect)
    mine = {name.casefold() for name in own}
    for call in calls(lexed, nodes, dialect):
        name = call.path[-1].lower()
        if name in dialect_of(dialect).parts_like_calls:
            continue
        full = ".".join(call.path).lower()
        if name in known.absent:
            yield call.start, _absent(call.path[-1], known)
        elif known.complete and not (_exists(full, name, known) or {full, name} & mine):
            yield call.start, _unknown(call.path[-1], known)


def _exists(full: str, name: str, known: Functions) -> bool:
    return known.exists(full) or known.exists(name) or name.upper() in TYPES


def _absent(name: str, known: Functions) -> Problem:
    return Problem("function", name, f"There is no function {name} in {known.title}: {known.absent[name.lower()]}.")


def _unknown(name: str, known: Functions) -> Problem:
    near = nearest(name.lower(), sorted(known.allowed), least=_ALIKE)
    said = f" Did you mean {' or '.join(near)}?" if near else " Use a built-in function."
    return Problem("function", name, f"There is no function {name} in {known.title}.{said}", tuple(near))
