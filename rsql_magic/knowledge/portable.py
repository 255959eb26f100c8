"""Statements of DuckDB's as other databases run them, with the same meaning.

What sqlglot leaves as it is and a database has not, or reads in another way, is written otherwise: texts are compared
letter by letter, ``LIKE`` too, and functions on the ends of texts and on numbers without a value are spelled out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql import own_tree

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlglot import exp


def portable(sql: str, dialect: str, texts: Collection[str] = ()) -> str:
    """A statement of DuckDB's in another dialect; ``texts`` are the names of its columns that hold text.

    Example:
        >>> portable("SELECT COUNT(*) FROM t WHERE starts_with(a, 'x')", "sqlite")
        "SELECT COUNT(*) FROM t WHERE SUBSTRING(a, 1, LENGTH('x')) = 'x'"
        >>> portable("SELECT COUNT(*) FROM t WHERE a LIKE 'x%'", "sqlite")
        "SELECT COUNT(*) FROM t WHERE a GLOB 'x*'"
    """
    if dialect == "duckdb":
        return sql
    from sqlglot.errors import SqlglotError

    try:
        tree = own_tree(sql, "duckdb")
        for node in reversed(list(tree.walk())):  # parts before what they are in
            node.replace(_spelled(node, dialect, texts))
        return tree.sql(dialect)
    except (SqlglotError, ValueError):
        return sql  # the database says why it cannot be run


def _spelled(node: exp.Expr, dialect: str, texts: Collection[str]) -> exp.Expr:
    from sqlglot import exp

    if isinstance(node, exp.Column) and dialect == "mysql" and node.name in texts:
        # Most of its collations take 'New' for 'new'.
        return own_tree(f"CONVERT({node.sql(dialect)} USING utf8mb4) COLLATE utf8mb4_bin", dialect)
    if isinstance(node, (exp.StartsWith, exp.EndsWith)):
        return _at_the_end(node)
    if isinstance(node, (exp.Like, exp.RegexpFullMatch)) and isinstance(node.expression, exp.Literal):
        return _matched(node, node.expression.name, dialect)
    if isinstance(node, (exp.IsNan, exp.IsInf)) or (
        isinstance(node, exp.Anonymous) and node.name.lower() == "isfinite"
    ):
        return _without_value(node, dialect)
    if isinstance(node, exp.Round) and dialect == "postgres" and node.args.get("decimals") is not None:
        return exp.Round(this=exp.cast(node.this.copy(), "DECIMAL"), decimals=node.args["decimals"].copy())
    return node


def _at_the_end(node: exp.Expr) -> exp.Expr:
    from sqlglot import exp

    text, part = node.this.copy(), node.expression.copy()
    length = exp.Length(this=part.copy())
    start: exp.Expr = exp.Literal.number(1)
    if isinstance(node, exp.EndsWith):
        start = exp.Add(this=exp.Sub(this=exp.Length(this=text.copy()), expression=length.copy()), expression=start)
    return exp.EQ(this=exp.Substring(this=text, start=start, length=length), expression=part)


def _matched(node: exp.Expr, pattern: str, dialect: str) -> exp.Expr:
    from sqlglot import exp

    text = node.this.copy()
    if isinstance(node, exp.Like) and dialect == "sqlite":
        glob = exp.Glob(this=text, expression=exp.Literal.string(_as_glob(pattern)))
        return exp.Not(this=glob) if node.args.get("negate") else glob
    whole = exp.Literal.string(f"^(?:{pattern})$")
    if isinstance(node, exp.RegexpFullMatch) and dialect == "postgres":
        return exp.RegexpLike(this=text, expression=whole)
    if isinstance(node, exp.RegexpFullMatch) and dialect == "mysql":  # MariaDB has no REGEXP_LIKE
        return exp.EQ(this=exp.func("REGEXP_INSTR", text, whole, dialect=dialect), expression=exp.Literal.number(1))
    return node


def _as_glob(pattern: str) -> str:
    r"""A pattern of ``LIKE`` as one of ``GLOB``.

    Example:
        >>> _as_glob("50[%_]*")
        '50[[]*?][*]'
    """
    signs = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
    return "".join(signs.get(letter, letter) for letter in pattern)


def _without_value(node: exp.Expr, dialect: str) -> exp.Expr:
    """Whether a number is none, or endless; only PostgreSQL has both, SQLite has the second."""
    from sqlglot import exp

    value = (node.expressions[0] if isinstance(node, exp.Anonymous) else node.this).sql(dialect)
    never = f"{value} <> {value}"
    nan, endless = never, never
    if dialect == "postgres":
        nan = f"CAST({value} AS DOUBLE PRECISION) = CAST('NaN' AS DOUBLE PRECISION)"
        endless = f"ABS(CAST({value} AS DOUBLE PRECISION)) = CAST('Infinity' AS DOUBLE PRECISION)"
    elif dialect == "sqlite":
        endless = f"ABS({value}) = 9e999"
    both = f"NOT ({nan}) AND NOT ({endless})"
    said = nan if isinstance(node, exp.IsNan) else endless if isinstance(node, exp.IsInf) else both
    return exp.Paren(this=own_tree(said, dialect))
