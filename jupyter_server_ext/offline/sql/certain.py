"""Whether a query can be what was asked: no contradiction, nothing that every row meets, no day without its month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from .draft import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .schema import Field, Names

_LARGER = {"hour": ("day", "date"), "day": ("month",), "week": ("year",), "month": ("year",), "quarter": ("year",)}


def check(query: exp.Select, names: Names) -> None:
    """Refuse a query that no row meets or every row meets, or that shows a part of a date as if it were one."""
    where = query.args.get("where")
    tables = {table.name for table in query.find_all(exp.Table)}
    fields = {
        f.name.lower(): f for name, some in names.fields.items() if name.rpartition(".")[2] in tables for f in some
    }
    terms = list(where.this.flatten()) if where and isinstance(where.this, exp.And) else [where.this] if where else []
    _check_each(terms, fields)
    _check_together(terms)
    _check_calendar(query, fields)


def _check_each(terms: list[exp.Expr], fields: dict[str, Field]) -> None:
    """Each condition may hold for some rows and not for others."""
    for term in terms:
        column = term.find(exp.Column)
        field = fields.get(column.name.lower()) if column else None
        if field is None:
            continue
        every = isinstance(term, exp.In) and {one.name for one in term.expressions} >= set(field.values)
        if every and term.expressions and field.complete:
            raise NotUnderstood(f"Every row has one of these values of {field.name}")
        low, high = map(_figure, field.ends)
        bound = _figure(term.expression.name) if isinstance(term.expression, exp.Literal) else None
        if bound is not None and low is not None and high is not None and _is_outside(term, bound, low, high):
            raise NotUnderstood(f"{field.table}.{field.name} lies between {' and '.join(map(str, field.ends))}")


def _is_outside(term: exp.Expr, bound: float, low: float, high: float) -> bool:
    below, above = bound < low, bound > high
    if isinstance(term, exp.EQ):
        return below or above
    return above if isinstance(term, exp.GT | exp.GTE) else below if isinstance(term, exp.LT | exp.LTE) else False


def _figure(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _check_together(terms: list[exp.Expr]) -> None:
    """No two conditions exclude each other."""
    equal: dict[str, str] = {}
    lows: dict[str, float] = {}
    for column, kind, value in sorted(_bounds(terms), key=lambda bound: "=><".index(bound[1])):
        figure = _figure(value)
        if kind == "=" and equal.setdefault(column, value) != value:
            raise NotUnderstood(f"{column} cannot be {equal[column]} and {value} at once")
        if kind == ">" and figure is not None:
            lows[column] = figure
        if kind == "<" and figure is not None and figure <= lows.get(column, figure - 1):
            raise NotUnderstood(f"{column} cannot be above {lows[column]:g} and below {value}")


def _bounds(terms: list[exp.Expr]) -> Iterator[tuple[str, str, str]]:
    kinds: dict[type[exp.Expr], str] = {exp.EQ: "=", exp.GT: ">", exp.GTE: ">", exp.LT: "<", exp.LTE: "<"}
    for term in terms:
        if type(term) in kinds and isinstance(term.this, exp.Column) and isinstance(term.expression, exp.Literal):
            yield term.this.sql(), kinds[type(term)], term.expression.name


def _check_calendar(query: exp.Select, fields: dict[str, Field]) -> None:
    """“The hottest day” is no number from 1 to 31 of all months."""
    if not query.args.get("limit"):
        return
    shown = {column.name.lower() for term in query.expressions for column in term.find_all(exp.Column)}
    for part, larger in _LARGER.items():
        beside = [name for name in larger if name in fields and len({*fields[name].ends}) != 1]
        if {part} & fields.keys() & shown and beside and not {*beside} & shown:
            raise NotUnderstood(f"{part} alone does not say which {part}, without {beside[0]}")
