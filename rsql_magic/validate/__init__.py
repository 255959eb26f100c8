"""Do a query's names exist, and if not, what should stand there?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.dialects import Unreadable, canonical, lex, parse
from rsql_magic.validate.problems import Kind, Problem

if TYPE_CHECKING:
    from rsql_magic.context import Catalog

__all__ = ["Kind", "Problem", "validate"]


def validate(sql: str, dialect: str, catalog: Catalog) -> list[Problem]:
    """Check a query's names against the tables there are.

    Args:
        sql: One query.
        dialect: sqlglot's name of the SQL dialect.
        catalog: The tables there are.

    Returns:
        What is wrong; empty when nothing was found. Bad SQL does not raise: what does not parse is a problem of kind
        ``syntax``.

    Example:
        >>> from rsql_magic.context import Catalog, Column, Table
        >>> catalog = Catalog((Table("users", (Column("id"), Column("name"))),), "duckdb")
        >>> [p.message for p in validate("SELECT nme FROM users", "duckdb", catalog)]
        ['There is no column nme in users. Did you mean users.name?']
    """
    try:
        dialect = canonical(dialect)
        lexed = lex(sql, dialect)
        tree = parse(lexed.text, dialect)
    except Unreadable as error:
        return [Problem("syntax", error.piece, error.reason)]
    from rsql_magic.validate.hints import problem
    from rsql_magic.validate.scopes import resolve

    resolution = resolve(tree, lexed.text, dialect, catalog)
    return list(dict.fromkeys(problem(missing, catalog, dialect) for missing in resolution.missing))
