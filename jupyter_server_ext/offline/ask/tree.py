"""Read a query's tree for code in Python or R: the few shapes the rules produce, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from ..sql import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Join:
    """A frame that is joined, with the key columns on both sides."""

    frame: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A computed column.

    Args:
        name: Its name in the result.
        function: ``mean``, ``sum``, ``min``, ``max``, ``median``, ``std``, ``var``, ``count``, ``filled`` (values
            that are not missing), ``nunique`` or ``share``.
        column: The column it is computed from, empty for a count of rows.
        condition: What rows must satisfy to count for a share.
    """

    name: str
    function: str
    column: str = ""
    condition: exp.Expr | None = None


@dataclass(frozen=True, slots=True)
class DatePart:
    """A column that is made of another: the year, month, … of a date."""

    name: str
    column: str
    part: str


@dataclass(frozen=True, slots=True)
class Steps:
    """What a query does, in the order in which code does it."""

    frame: str
    joins: tuple[Join, ...]
    parts: tuple[DatePart, ...]
    where: exp.Expr | None
    group: tuple[str, ...]
    measures: tuple[Measure, ...]
    having: exp.Expr | None
    columns: tuple[str, ...]
    order: tuple[tuple[str, bool], ...]
    limit: int | None
    distinct: bool

    @property
    def only_filters(self) -> bool:
        """Whether nothing is done but keeping rows."""
        return not (self.group or self.measures or self.columns or self.order)


_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Avg: "mean",
    exp.Sum: "sum",
    exp.Min: "min",
    exp.Max: "max",
    exp.Median: "median",
    exp.Stddev: "std",
    exp.Variance: "var",
}


def steps_of(query: exp.Select) -> Steps:
    """The steps of a query.

    Raises:
        NotUnderstood: It has a shape that has no plain counterpart in code.
    """
    source = query.args["from_"].this
    if not isinstance(source, exp.Table):
        raise NotUnderstood("I can only write this as SQL")
    measures = _measures(query)
    terms = query.args["group"].expressions if query.args.get("group") else ()
    parts = _parts(query, terms)
    group = tuple(_name_of(term, parts) for term in terms)
    having = query.args.get("having")
    return Steps(
        source.name,
        tuple(_join(join) for join in query.args.get("joins") or ()),
        parts,
        query.args["where"].this if query.args.get("where") else None,
        group,
        measures,
        having.this if having else None,
        tuple(
            _name_of(item.unalias(), parts)
            for item in query.expressions
            if not item.find(exp.AggFunc) and not isinstance(item, exp.Star)
        ),
        tuple(_orders(query, measures)),
        int(query.args["limit"].expression.name) if query.args.get("limit") else None,
        bool(query.args.get("distinct")),
    )


_DOW = {"dow": "weekday"}


def part_of(node: exp.Expr) -> tuple[str, str] | None:
    """The column and the part of its dates, when an expression is that."""
    if isinstance(node, exp.Extract):
        part = node.this.name.lower()
        return column_of(node.expression), _DOW.get(part, part)
    if isinstance(node, exp.Cast) and node.to.is_type("date"):
        return column_of(node.this), "date"
    return None


def _parts(query: exp.Select, terms: Sequence[exp.Expr]) -> tuple[DatePart, ...]:
    """The parts of dates that are shown or grouped by."""
    named = [(item.alias, item.unalias()) for item in query.expressions] + [("", term) for term in terms]
    found: dict[tuple[str, str], DatePart] = {}
    for name, node in named:
        part = part_of(node)
        if part is not None:
            found.setdefault(part, DatePart(name or part[1], *part))
    return tuple(found.values())


def _name_of(node: exp.Expr, parts: tuple[DatePart, ...]) -> str:
    part = part_of(node)
    return next((p.name for p in parts if (p.column, p.part) == part), "") or column_of(node)


def _join(join: exp.Join) -> Join:
    on = join.args["on"]
    if not isinstance(on, exp.EQ):
        raise NotUnderstood("I can only write this join as SQL")
    sides = [on.this, on.expression]
    inner = next(side for side in sides if side.table == join.this.name)
    outer = next(side for side in sides if side is not inner)
    return Join(join.this.name, outer.name, inner.name)


def _measures(query: exp.Select) -> tuple[Measure, ...]:
    """The computed columns, those that only order or filter groups included."""
    found = {
        item.unalias().sql(): measure_of(item.unalias(), item.alias)
        for item in query.expressions
        if item.find(exp.AggFunc)
    }
    for part in ("having", "order"):
        for node in query.args[part].find_all(exp.AggFunc) if query.args.get(part) else ():
            if node.find_ancestor(exp.Select) is query and not isinstance(node.parent, exp.AggFunc):
                found.setdefault(node.sql(), measure_of(node, _name(node)))
    return tuple(found.values())


def _name(node: exp.Expr) -> str:
    column = node.find(exp.Column)
    return (
        f"n_{column.name}"
        if isinstance(node, exp.Count) and column
        else f"{type(node).__name__.lower()}_{column.name}"
        if column
        else "n"
    )


def measure_of(node: exp.Expr, name: str) -> Measure:
    """An aggregate as a measure of that name.

    Raises:
        NotUnderstood: Code has no plain counterpart for it.
    """
    if isinstance(node, exp.Count):
        distinct = node.find(exp.Distinct)
        if isinstance(node.this, exp.Column):
            return Measure(name, "filled", column_of(node.this))
        return Measure(name, "nunique", column_of(distinct.expressions[0])) if distinct else Measure(name, "count")
    case = node.find(exp.Case)
    if case is not None:
        return Measure(name, "percentage" if "100" in case.sql() else "share", "", case.args["ifs"][0].this)
    if type(node) not in _FUNCTIONS:
        raise NotUnderstood("I can only write this as SQL")
    return Measure(name, _FUNCTIONS[type(node)], column_of(node.this))


def column_of(node: exp.Expr) -> str:
    """The name of a column.

    Raises:
        NotUnderstood: It is something else.
    """
    node = node.unalias() if isinstance(node, exp.Alias) else node
    if not isinstance(node, exp.Column):
        raise NotUnderstood("I can only write this as SQL")
    return node.name


def _orders(query: exp.Select, measures: tuple[Measure, ...]) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    for term in query.args["order"].expressions if query.args.get("order") else ():
        if isinstance(term, exp.Rand):
            raise NotUnderstood("I can only write rows at random as SQL")
        node = term.this
        named = {item.unalias().sql(): item.alias for item in query.expressions}
        if isinstance(node, exp.Column):
            name = node.name
        else:
            name = named.get(node.sql()) or next((m.name for m in measures if m == measure_of(node, m.name)), "")
        found.append((name, bool(term.args.get("desc"))))
    return found
