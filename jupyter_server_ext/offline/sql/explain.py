"""Say in words what a query does."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Count: "the number of",
    exp.Sum: "the sum of",
    exp.Avg: "the average of",
    exp.Min: "the smallest",
    exp.Max: "the largest",
}


def explain(sql: str, dialect: str) -> str:
    """At most five short sentences on what a query does.

    Args:
        sql: The query.
        dialect: sqlglot's name of its dialect.

    Example:
        >>> explain("SELECT origin, COUNT(*) AS n FROM flights GROUP BY origin", "duckdb")
        'It reads `flights`. It makes one group for each `origin`. It shows `origin` and the number of rows.'
    """
    try:
        query = sqlglot.parse_one(sql, read=dialect or None)
    except SqlglotError:
        return "I cannot read this query, so I cannot explain it."
    select = query.find(exp.Select)
    if select is None:
        return "This is not a query that reads rows, so there is nothing to explain."
    sentences = [
        _sources(select),
        _filters(select, dialect),
        _groups(select, dialect),
        _shown(select, dialect),
        _order(select, dialect),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _sources(select: exp.Select) -> str:
    source = select.args.get("from_") or select.args.get("from")
    first = source.this.alias_or_name if source else ""
    joins = [join for join in select.args.get("joins") or [] if isinstance(join, exp.Join)]
    if not first:
        return ""
    if not joins:
        return f"It reads `{first}`."
    return f"It reads `{first}` and joins {_list([_join(join) for join in joins])}."


def _join(join: exp.Join) -> str:
    on = join.args.get("on")
    pairs = [f"`{eq.this.sql()}` = `{eq.expression.sql()}`" for eq in on.find_all(exp.EQ)] if on else []
    return f"`{join.this.alias_or_name}`" + (f" where {' and '.join(pairs)}" if pairs else "")


def _filters(select: exp.Select, dialect: str) -> str:
    where = select.args.get("where")
    return f"It keeps the rows with `{where.this.sql(dialect=dialect or None)}`." if where else ""


def _groups(select: exp.Select, dialect: str) -> str:
    group = select.args.get("group")
    having = select.args.get("having")
    if not group:
        return ""
    names = _list([f"`{item.sql(dialect=dialect or None)}`" for item in group.expressions])
    kept = f", and keeps those with `{having.this.sql(dialect=dialect or None)}`" if having else ""
    return f"It makes one group for each {names}{kept}."


def _shown(select: exp.Select, dialect: str) -> str:
    shown = [_phrase(item.unalias(), dialect) for item in select.expressions]
    distinct = " different" if select.args.get("distinct") else ""
    return f"It shows{distinct} {_list(shown)}."


def _phrase(item: exp.Expr, dialect: str) -> str:
    if isinstance(item, exp.Star):
        return "all columns"
    words = _FUNCTIONS.get(type(item))
    if words is None:
        return f"`{item.sql(dialect=dialect or None)}`"
    inner = item.this
    if isinstance(inner, exp.Star):
        return "the number of rows"
    if isinstance(inner, exp.Distinct):
        return f"the number of different `{inner.expressions[0].sql(dialect=dialect or None)}`"
    return f"{words} `{inner.sql(dialect=dialect or None)}`"


def _order(select: exp.Select, dialect: str) -> str:
    order, limit = select.args.get("order"), select.args.get("limit")
    first = f", and gives the first {limit.expression.sql()}" if limit else ""
    if not order:
        return f"It gives at most {limit.expression.sql()} rows." if limit else ""
    terms = [
        f"`{term.this.sql(dialect=dialect or None)}`{', largest first' if term.args.get('desc') else ''}"
        for term in order.expressions
    ]
    return f"It sorts by {_list(terms)}{first}."


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
