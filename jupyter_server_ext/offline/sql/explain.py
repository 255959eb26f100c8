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
    return " ".join(filter(None, (_sources(select), *_clauses(select, dialect or None))))


def _sources(select: exp.Select) -> str:
    source = select.args.get("from_")
    if not source:
        return ""
    joins = [_join(join) for join in select.args.get("joins") or [] if isinstance(join, exp.Join)]
    return f"It reads `{source.this.alias_or_name}`{f' and joins {_list(joins)}' if joins else ''}."


def _join(join: exp.Join) -> str:
    on = join.args.get("on")
    pairs = [f"`{eq.this.sql()}` = `{eq.expression.sql()}`" for eq in on.find_all(exp.EQ)] if on else []
    return f"`{join.this.alias_or_name}`" + (f" where {' and '.join(pairs)}" if pairs else "")


def _clauses(select: exp.Select, dialect: str | None) -> list[str]:
    where, group, having, order, limit = (select.args.get(c) for c in ("where", "group", "having", "order", "limit"))
    said = []
    if where:
        said.append(f"It keeps the rows with {_code(where.this, dialect)}.")
    if group:
        kept = f", and keeps those with {_code(having.this, dialect)}" if having else ""
        said.append(f"It makes one group for each {_list([_code(item, dialect) for item in group.expressions])}{kept}.")
    distinct = " different" if select.args.get("distinct") else ""
    said.append(f"It shows{distinct} {_list([_shown(item.unalias(), dialect) for item in select.expressions])}.")
    if order:
        terms = [_code(t.this, dialect) + (", largest first" if t.args.get("desc") else "") for t in order.expressions]
        first = f", and gives the first {limit.expression.sql()}" if limit else ""
        said.append(f"It sorts by {_list(terms)}{first}.")
    elif limit:
        said.append(f"It gives at most {limit.expression.sql()} rows.")
    return said


def _shown(item: exp.Expr, dialect: str | None) -> str:
    if isinstance(item, exp.Star):
        return "all columns"
    words = _FUNCTIONS.get(type(item))
    if words is None:
        return _code(item, dialect)
    if isinstance(item.this, exp.Star):
        return "the number of rows"
    if isinstance(item.this, exp.Distinct):
        return f"the number of different {_code(item.this.expressions[0], dialect)}"
    return f"{words} {_code(item.this, dialect)}"


def _code(item: exp.Expr, dialect: str | None) -> str:
    return f"`{item.sql(dialect=dialect)}`"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
