"""Whether a query can be what was asked: no contradiction, nothing that every row meets, no day without its month."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import stems

from .draft import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .schema import Field, Names

_LARGER = {"hour": ("day", "date"), "day": ("month",), "week": ("year",), "month": ("year",), "quarter": ("year",)}


def check(query: exp.Select, names: Names) -> None:
    """Refuse a query that no row meets or every row meets, or that shows a part of a date as if it were one.

    Args:
        query: The query.
        names: The words of the catalog, with what is known of its values.

    Raises:
        NotUnderstood: Saying what cannot be.
    """
    where = query.args.get("where")
    tables = {table.name: table.name for table in query.find_all(exp.Table)}
    fields = {
        f.name.lower(): f for name, some in names.fields.items() if name.rpartition(".")[2] in tables for f in some
    }
    terms = list(where.this.flatten()) if where and isinstance(where.this, exp.And) else [where.this] if where else []
    _check_each(terms, fields)
    _check_together(terms)
    _check_calendar(query, names, set(tables))


def _check_each(terms: list[exp.Expr], fields: dict[str, Field]) -> None:
    """Each condition may hold for some rows and not for others."""
    for term in terms:
        column = term.find(exp.Column)
        field = fields.get(column.name.lower()) if column else None
        if field is None or field.profile is None:
            continue
        every = isinstance(term, exp.In) and {one.name for one in term.expressions} >= set(field.values)
        if every and term.expressions and field.complete:
            raise NotUnderstood(f"Every row has one of these values of {field.name}")
        if isinstance(term, exp.LT | exp.LTE | exp.GT | exp.GTE | exp.EQ):
            _check_range(term, field)


def _check_range(term: exp.Expr, field: Field) -> None:
    low, high = (_figure(end) for end in (field.profile.low, field.profile.high)) if field.profile else (None, None)
    bound = _figure(term.expression.name) if isinstance(term.expression, exp.Literal) else None
    if bound is None or low is None or high is None or (field.profile and field.profile.approximate):
        return
    if isinstance(term, exp.EQ):
        outside = not low <= bound <= high
    else:
        outside = bound > high if isinstance(term, exp.GT | exp.GTE) else bound < low
    if outside:
        raise NotUnderstood(f"{field.table}.{field.name} lies between {field.profile.low} and {field.profile.high}")  # type: ignore[union-attr]


def _figure(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _check_together(terms: list[exp.Expr]) -> None:
    """No two conditions exclude each other."""
    equal: dict[str, str] = {}
    for column, kind, value in _bounds(terms):
        if kind == "=" and equal.setdefault(column, value) != value:
            raise NotUnderstood(f"{column} cannot be {equal[column]} and {value} at once")
    lows = {
        column: float(value) for column, kind, value in _bounds(terms) if kind == ">" and _figure(value) is not None
    }
    for column, kind, value in _bounds(terms):
        if kind == "<" and column in lows and _figure(value) is not None and float(value) <= lows[column]:
            raise NotUnderstood(f"{column} cannot be above {lows[column]:g} and below {value}")


def _bounds(terms: list[exp.Expr]) -> Iterator[tuple[str, str, str]]:
    kinds: dict[type[exp.Expr], str] = {exp.EQ: "=", exp.GT: ">", exp.GTE: ">", exp.LT: "<", exp.LTE: "<"}
    for term in terms:
        if type(term) in kinds and isinstance(term.this, exp.Column) and isinstance(term.expression, exp.Literal):
            yield term.this.sql(), kinds[type(term)], term.expression.name


def _check_calendar(query: exp.Select, names: Names, tables: set[str]) -> None:
    """“The hottest day” is no number from 1 to 31 of all months."""
    if not query.args.get("limit") and "MAX(" not in query.sql() and "MIN(" not in query.sql():
        return
    ranked = query.args.get("limit") or query.find(exp.Subquery)
    shown = {column.name.lower() for term in query.expressions for column in term.find_all(exp.Column)}
    for name in tables if ranked else ():
        held = {stems(f.name)[0]: f for f in names.fields.get(name, ()) if len(stems(f.name)) == 1}
        for part, larger in _LARGER.items():
            if part in held and held[part].name.lower() in shown:
                beside = [held[one] for one in (stems(w)[0] for w in larger) if one in held and not _is_one(held[one])]
                if beside and not {field.name.lower() for field in beside} & shown:
                    raise NotUnderstood(f"{held[part].name} alone does not say which {part}, without {beside[0].name}")


def _is_one(field: Field) -> bool:
    """Whether a column has a single value."""
    profile = field.profile
    return bool(profile and profile.low is not None and profile.low == profile.high)
