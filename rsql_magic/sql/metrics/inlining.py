"""Definitions as expressions: those inside one another put in, and every column behind its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.catalog import quoted
from rsql_magic.sql.dialects.reading import Unreadable, own_tree
from rsql_magic.sql.metrics.paths import NotByDefinition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.definitions import Definition

CALL = "MEASURE"
_DEEPEST = 20  # definitions that name one another, one inside the other


def tables_of(metric: Definition, catalog: Catalog) -> list[Table]:
    """The tables that a metric takes, its own first; none where its definition cannot be read."""
    try:
        calls = Inlined.of(catalog).composed(metric).find_all(exp.Anonymous) if not metric.table else ()
        names = [metric.name] if metric.table else [call.expressions[0].name for call in calls]
        bases = [Inlined.of(catalog).base(one) for name in names if (one := catalog.definitions.metric(name))]
    except NotByDefinition:
        return []
    columns = (c for base in bases for part in (base.expression, *base.where) for c in part.find_all(exp.Column))
    return list(
        {t.full_name: t for t in (*(base.table for base in bases), *(catalog[c.table] for c in columns))}.values()
    )


@dataclass(frozen=True)
class Base:
    """A metric over the rows of one table, every column behind its table's full name."""

    definition: Definition
    table: Table
    expression: exp.Expr
    where: tuple[exp.Expr, ...]

    @property
    def conditions(self) -> frozenset[str]:
        """Its conditions as texts, to compare."""
        return frozenset(one.sql() for one in self.where)


class PlainMetric(NamedTuple):
    """A metric that is one figure of one column: the figure as ``sum``, ``mean`` or ``median``."""

    function: str
    table: Table
    column: str
    conditions: tuple[tuple[str, str], ...]  # the columns that its conditions are on, each behind its table


def plain_metric(metric: Definition, catalog: Catalog) -> PlainMetric | None:
    """A metric as one figure of one column; None where it is more.

    Example:
        >>> from dataclasses import replace
        >>> from rsql_magic.sql import Catalog, Definition, Definitions
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (amount INT, status INT)", "duckdb")
        >>> revenue = Definition("revenue", "metric", "SUM(amount)", "orders", where=("status <> 3",))
        >>> plain_metric(revenue, replace(shop, definitions=Definitions((revenue,)))).conditions
        (('orders', 'status'),)
    """
    kinds = {exp.Sum: "sum", exp.Avg: "mean", exp.Median: "median"}
    try:
        base = Inlined.of(catalog).base(metric) if metric.table else None
    except NotByDefinition:
        return None
    if (
        base is None
        or not isinstance(base.expression, tuple(kinds))
        or not isinstance(base.expression.this, exp.Column)
    ):
        return None
    columns = ((column.table, column.name) for condition in base.where for column in condition.find_all(exp.Column))
    function = next(name for kind, name in kinds.items() if isinstance(base.expression, kind))
    return PlainMetric(function, base.table, base.expression.this.name, tuple(dict.fromkeys(columns)))


class Inlined:
    """The definitions of a catalog with those inside them put in."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._definitions = catalog, catalog.definitions
        self._bases: dict[str, Base] = {}

    @classmethod
    def of(cls, catalog: Catalog) -> Inlined:
        """The definitions of a catalog, read once and kept with it."""
        return catalog.kept("_inlined", cls)

    def base(self, metric: Definition) -> Base:
        """A metric over one table.

        Raises:
            NotByDefinition: It names what is not there, or itself.
        """
        if metric.name not in self._bases:
            table = self._catalog.get(metric.table)
            if table is None:
                raise NotByDefinition(f"{metric.name} is defined over {metric.table}, which is not there.")
            expression = _guarded_division(self._in(metric.expression, metric, table, 0))
            _refuse_running(expression, metric)
            where = tuple(self._in(text, metric, table, 0) for text in metric.where)
            self._bases[metric.name] = Base(metric, table, expression, where)
        return self._bases[metric.name]

    def of_row(self, one: Definition) -> exp.Expr:
        """A filter or derived value."""
        table = self._catalog.get(one.table)
        if table is None:
            raise NotByDefinition(f"{one.name} is defined over {one.table}, which is not there.")
        return self._in(one.expression, one, table, 0)

    def composed(self, metric: Definition, depth: int = 0) -> exp.Expr:
        """A metric of metrics as an expression over calls of those that have a table."""
        if metric.table:
            return call_of(metric)
        if depth > _DEEPEST:
            raise NotByDefinition(f"The definition of {metric.name} leads back to itself.")
        tree = exp.Paren(this=_read(metric.expression, metric))
        for column in list(tree.find_all(exp.Column)):
            other = self._definitions.metric(column.name)
            if other is None or column.table:
                raise NotByDefinition(f"{metric.name} is defined by {column.sql()}, which is no metric.")
            column.replace(self.composed(other, depth + 1))
        return _guarded_division(tree)

    def _in(self, text: str, one: Definition, table: Table, depth: int) -> exp.Expr:
        """An expression over a table's columns, those behind another definition's name put in."""
        if depth > _DEEPEST:
            raise NotByDefinition(f"The definition of {one.name} leads back to itself.")
        root = exp.Paren(this=_read(text, one))
        for column in list(root.find_all(exp.Column)):
            owner = self._catalog.get(column.table) if column.table else table
            if owner is None:
                raise NotByDefinition(f"{one.name} is defined by {column.sql()}, which is not there.")
            if (found := owner.column(column.name)) is not None:
                column.replace(of_table(owner, found.name))
                continue
            inner = self._definitions.of_row(owner.full_name, column.name) or self._metric_of(owner, column.name)
            if inner is None:
                raise NotByDefinition(f"{one.name} is defined by {owner.full_name}.{column.name}, which is not there.")
            value = self._in(inner.expression, inner, owner, depth + 1)
            if inner.where:
                value = within(value, [self._in(each, inner, owner, depth + 1) for each in inner.where])
            column.replace(value)
        inner_tree = root.this
        return root if isinstance(inner_tree, (exp.Connector, exp.Binary, exp.Not, exp.Case)) else inner_tree

    def _metric_of(self, table: Table, name: str) -> Definition | None:
        metric = self._definitions.metric(name)
        return (
            metric
            if metric is not None and metric.table.casefold() in {table.full_name.casefold(), table.name.casefold()}
            else None
        )


def _read(text: str, one: Definition) -> exp.Expr:
    try:
        tree = own_tree(f"SELECT {text}", one.dialect)
    except Unreadable as error:
        raise NotByDefinition(f"The definition of {one.name} cannot be read: {error.reason}") from None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.find(exp.From, exp.Subquery):
        raise NotByDefinition(f"The definition of {one.name} is no expression.")
    found: exp.Expr = tree.expressions[0].unalias()
    return found.copy()


def _refuse_running(expression: exp.Expr, metric: Definition) -> None:
    """Refuse what is computed over rows in an order: grouped by anything else, databases give other figures silently.

    Raises:
        NotByDefinition: It is cumulative, or looks at rows before or after.
    """
    for window in expression.find_all(exp.Window):
        if window.args.get("order") is not None or window.args.get("partition_by") or window.args.get("spec"):
            said = "it is computed over rows in an order or by parts"
            raise NotByDefinition(f"{metric.name} cannot be compiled: {said} ({' '.join(window.sql().split())}).")
    alone = [
        c for c in expression.find_all(exp.Column) if not c.find_ancestor(exp.AggFunc, exp.Anonymous, exp.WithinGroup)
    ]
    if alone:
        raise NotByDefinition(f"{metric.name} cannot be compiled: {alone[0].name} stands outside of its figures.")


def call_of(metric: Definition) -> exp.Anonymous:
    """``MEASURE(name)``."""
    return exp.Anonymous(this=CALL, expressions=[exp.column(metric.name, quoted=True)])


def of_table(table: Table, column: str) -> exp.Column:
    """A column behind the full name of its table, as one identifier."""
    return exp.column(column, table.full_name, quoted=True)


def _guarded_division(tree: exp.Expr) -> exp.Expr:
    """An expression that is missing where it divides by zero, on every database."""
    for division in list(tree.find_all(exp.Div)):
        if not isinstance(division.expression, exp.Literal):
            by = division.expression.unnest()
            zero = exp.Literal.number(0)
            division.set("expression", exp.Nullif(this=by.copy(), expression=zero))
            division.set("typed", False)
            division.set("safe", False)
    return tree


def within(tree: exp.Expr, conditions: Sequence[exp.Expr]) -> exp.Expr:
    """An expression whose aggregates take the rows that meet some conditions only."""
    root = exp.Paren(this=tree.copy())
    for call in list(root.find_all(exp.AggFunc)):
        inner = call.this
        if isinstance(inner, exp.Distinct):
            inner.set("expressions", [_case(each, conditions) for each in inner.expressions])
        elif inner is None or isinstance(inner, exp.Star):
            call.set("this", _case(exp.Literal.number(1), conditions))
        else:
            call.set("this", _case(inner, conditions))
    return root.this.pop() if isinstance(root.this, exp.AggFunc) else root


def _case(value: exp.Expr, conditions: Sequence[exp.Expr]) -> exp.Expr:
    return exp.Case().when(exp.and_(*(one.copy() for one in conditions)), value.copy())


def plain_filters(tree: exp.Expr) -> exp.Expr:
    """An expression with ``FILTER (WHERE …)`` as CASE, which every database knows."""
    root = exp.Paren(this=tree)
    for one in list(root.find_all(exp.Filter)):
        one.replace(within(one.this, [one.expression.this]))
    made: exp.Expr = root.this
    return made


def is_call(node: exp.Expr | None) -> bool:
    """Whether a node is ``MEASURE(…)``."""
    return isinstance(node, exp.Anonymous) and node.name.upper() == CALL


def identifier(name: str, dialect: str) -> exp.Identifier:
    """A name as it must be written in a dialect."""
    return exp.to_identifier(name, quoted=quoted(name, dialect) != name)


def same_name(term: exp.Expr, alias: str) -> bool:
    """Whether a term is the bare name of an output."""
    return isinstance(term, exp.Column) and not term.table and term.name.casefold() == alias.casefold()


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a condition that must all hold."""
    inner = node.unnest()
    if isinstance(inner, exp.And):
        return [part for side in (inner.this, inner.expression) for part in conjuncts(side)]
    return [inner]


def is_link(part: exp.Expr) -> bool:
    """Whether a condition says that columns of two tables are equal, or nothing."""
    if isinstance(part, exp.Boolean) and part.this:
        return True
    sides = (part.this, part.expression) if isinstance(part, exp.EQ) else (None, None)
    return all(isinstance(side, exp.Column) for side in sides)


def has_figure(node: exp.Expr) -> bool:
    """Whether an expression computes something of several rows."""
    return any(isinstance(one, exp.AggFunc) or is_call(one) for one in node.walk())
