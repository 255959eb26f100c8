"""Grammar that sqlglot lets pass and the engine does not, and functions that the dialect does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.catalog import always_quoted
from rsql_magic.sql.dialects.calls import TYPES, calls
from rsql_magic.sql.dialects.functions import functions
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.validate.nearest import nearest
from rsql_magic.sql.validate.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.sql.dialects.functions import Functions
    from rsql_magic.sql.dialects.reading import Lexed


def refused_grammar(
    tree: exp.Expr, nodes: Iterable[exp.Expr], text: str, dialect: str
) -> Iterator[tuple[exp.Expr, Problem]]:
    """What does not compile although it parses here, with the node it is at.

    Args:
        tree: The query.
        nodes: Its nodes.
        text: What it was parsed from.
        dialect: sqlglot's name.
    """
    record = dialect_of(dialect)
    if not isinstance(tree, (exp.Query, exp.Values, exp.Pivot)) or isinstance(tree, exp.Table):
        yield tree, Problem("syntax", text[:40], "This is not a query: begin it with SELECT or WITH.")
    for node in nodes:
        if isinstance(node, exp.Select) and not node.expressions and not isinstance(node.parent, exp.Exists):
            yield node, Problem("syntax", "SELECT", "This SELECT asks for nothing: name the columns after SELECT.")
        elif isinstance(node, exp.SetOperation):
            yield from _ordered_side(node, dialect)
        elif isinstance(node, exp.Subquery) and record.named_subqueries:
            yield from _without_name(node)
        elif isinstance(node, exp.In) and not record.limit_in_in:
            yield from _limit_inside_in(node)
        elif isinstance(node, exp.Identifier) and record.reserved:
            yield from _reserved(node, dialect)


def _ordered_side(node: exp.SetOperation, dialect: str) -> Iterator[tuple[exp.Expr, Problem]]:
    """ORDER BY and LIMIT before UNION need brackets around their SELECT.

    SQLite has no such brackets and says so itself; well-known sets of questions and answers hold such queries.
    """
    side = node.this
    if (
        isinstance(side, exp.Select)
        and not dialect_of(dialect).ordered_sides
        and (side.args.get("order") or side.args.get("limit"))
    ):
        word = "ORDER BY" if side.args.get("order") else "LIMIT"
        message = (
            f"{word} stands before {type(node).__name__.upper()}: put it at the end, or that SELECT in a subquery."
        )
        yield node, Problem("syntax", word, message)


def _without_name(node: exp.Subquery) -> Iterator[tuple[exp.Expr, Problem]]:
    in_from = isinstance(node.parent, (exp.From, exp.Join)) and node.arg_key == "this"
    if in_from and not node.alias and isinstance(node.this, exp.Query):
        yield node, Problem("syntax", "", "This subquery in FROM needs a name: write (SELECT …) AS t.")


def _limit_inside_in(node: exp.In) -> Iterator[tuple[exp.Expr, Problem]]:
    """MySQL and MariaDB do not take LIMIT in the subquery of IN."""
    query = node.args.get("query")
    inner = query.this if isinstance(query, exp.Subquery) else query
    if isinstance(inner, exp.Select) and inner.args.get("limit"):
        message = "MySQL takes no LIMIT inside IN (…): join the subquery, or put it in one more SELECT * FROM (…) AS t."
        yield inner, Problem("syntax", "LIMIT", message)


def _reserved(node: exp.Identifier, dialect: str) -> Iterator[tuple[exp.Expr, Problem]]:
    """A reserved word as the name of a table or a bare column."""
    is_name = isinstance(node.parent, exp.Table) or (isinstance(node.parent, exp.Column) and not node.parent.table)
    if (
        is_name
        and not node.args.get("quoted")
        and node.name.lower() in dialect_of(dialect).reserved
        and node.arg_key == "this"
    ):
        if isinstance(node.parent, exp.Table) and node.parent.db:
            return
        written = always_quoted(node.name, dialect)
        message = f"{node.name} is a reserved word of {functions(dialect).title}: as a name write {written}."
        yield node, Problem("syntax", node.name, message, (written,))


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
