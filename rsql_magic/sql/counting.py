"""The number of rows of a query, counted by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql.dialects.reading import Unreadable, lex, parse
from rsql_magic.sql.dialects.records import dialect_of

if TYPE_CHECKING:
    from rsql_magic.sql.dialects.reading import Lexed


def is_query(sql: str, dialect: str) -> bool:
    """Whether a statement is a query, which can stand in a FROM, and not EXPLAIN, SHOW or PRAGMA."""
    from sqlglot import exp

    try:
        return isinstance(parse(lex(sql, dialect).text, dialect), exp.Query)
    except Unreadable:
        return False


def count_sql(sql: str, dialect: str, columns: int) -> str | None:
    """A statement that counts the rows of another; None when that is no query.

    The other one stands in it as it was written, without a last ORDER BY where that changes nothing. MySQL refuses a
    subquery that has a column name twice, so there the columns get new names. SQL Server takes no WITH inside, so there
    the statement is written anew.

    Args:
        sql: The statement, as the guard gave it.
        dialect: Its dialect.
        columns: How many columns it gives.

    Example:
        >>> count_sql("SELECT a, a FROM t ORDER BY b", "sqlite", 2)
        'SELECT COUNT(*) FROM (SELECT a, a FROM t) q'
        >>> count_sql("SELECT a, a FROM t LIMIT 9", "mysql", 2)
        'WITH q(c0, c1) AS (SELECT a, a FROM t LIMIT 9) SELECT COUNT(*) FROM q'
    """
    from sqlglot import exp

    try:
        lexed = lex(sql, dialect)
        tree = parse(lexed.text, dialect)
    except Unreadable:
        return None
    if not isinstance(tree, (exp.Query, exp.Pivot)):
        return None
    record = dialect_of(dialect)
    bounded = any(tree.args.get(part) for part in ("limit", "offset", "distinct"))
    if not record.with_in_subqueries and isinstance(tree, exp.Query):
        tree = tree.copy()
        if not bounded:
            tree.set("order", None)
        return exp.select("COUNT(*)").from_(tree.subquery("q")).sql(dialect)
    inner = lexed.text if bounded or not tree.args.get("order") else lexed.text[: _last_order(lexed)].rstrip()
    if not record.repeated_columns:
        names = ", ".join(f"c{place}" for place in range(columns))
        return f"WITH q({names}) AS ({inner}) SELECT COUNT(*) FROM q"  # noqa: S608 - a guarded statement
    return f"SELECT COUNT(*) FROM ({inner}) q"  # noqa: S608 - a guarded statement


def _last_order(lexed: Lexed) -> int:
    """Where the last ORDER BY outside brackets begins; the end of the text when there is none."""
    depth, place = 0, len(lexed.text)
    for index, token in enumerate(lexed.tokens):
        raw = lexed.raw(token)
        depth += (raw in {"(", "["}) - (raw in {")", "]"})
        if depth == 0 and lexed.word(index).startswith("ORDER"):
            place = token.start
    return place
