"""Figures of a query in one form, so that two that compute the same can be told to be the same."""

# A figure is an expression over aggregates. Each aggregate stands with all conditions that its rows meet: those of
# WHERE, of CASE inside it, and of FILTER. A figure computes a metric when the expressions are equal, each aggregate's
# conditions hold those of the definition, and what is more is the same for all: it is what the question filters by.

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog

_SAME_ROWS = (exp.Paren, exp.Round, exp.Cast, exp.TryCast)
_SWAPPED: dict[type[exp.Expr], type[exp.Expr]] = {exp.GT: exp.LT, exp.GTE: exp.LTE}
_NEGATED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.NEQ, exp.NEQ: exp.EQ, exp.LT: exp.GTE, exp.GTE: exp.LT, exp.GT: exp.LTE, exp.LTE: exp.GT,
}  # fmt: skip

_CONDITIONS = (exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.In, exp.GT, exp.GTE, exp.LT, exp.LTE)

Owner = "Callable[[exp.Column], str]"  # the full name of a column's table, empty where it is not known


class Leaf(NamedTuple):
    """An aggregate: what it computes of each row, and the conditions that its rows meet."""

    text: str
    conditions: frozenset[str]


class Figure(NamedTuple):
    """An expression with a mark in place of each aggregate, and the aggregates in order."""

    text: str
    leaves: tuple[Leaf, ...]

    def computes(self, definition: Figure) -> bool:
        """Whether it is the figure of a definition, over the same rows or fewer."""
        if (self.text, [one.text for one in self.leaves]) != (definition.text, [one.text for one in definition.leaves]):
            return False
        pairs = list(zip(self.leaves, definition.leaves, strict=True))
        more = {mine.conditions - theirs.conditions for mine, theirs in pairs}
        return len(more) <= 1 and all(theirs.conditions <= mine.conditions for mine, theirs in pairs)

    def beside(self, definition: Figure) -> set[str]:
        """The conditions that its rows meet besides those of a definition."""
        pairs = zip(self.leaves, definition.leaves, strict=True)
        return {text for mine, theirs in pairs for text in mine.conditions - theirs.conditions}

    def resembles(self, definition: Figure) -> bool:
        """Whether it computes the same of each row, whatever the conditions."""
        return [one.text for one in self.leaves] == [one.text for one in definition.leaves]


class FigureReader:
    """Reads the figures of one SELECT; ``owner`` gives the full name of a column's table."""

    def __init__(
        self, catalog: Catalog, owner: Callable[[exp.Column], str], conditions: Iterable[exp.Expr] = ()
    ) -> None:
        self._catalog, self._owner = catalog, owner
        self.written: dict[str, list[exp.Expr]] = {}  # the conditions that were read, by their form
        self._rows = frozenset(text for each in conditions for text in self.conditions(each))

    def read(self, node: exp.Expr) -> Figure:
        """An expression as a figure."""
        leaves: list[Leaf] = []
        return Figure(self._outside(node, leaves), tuple(leaves))

    # Outside of aggregates

    def _outside(self, node: exp.Expr, leaves: list[Leaf]) -> str:
        node = _bare(node)
        if isinstance(node, exp.Coalesce) and _is_zero(node.expressions):
            return self._outside(node.this, leaves)
        if isinstance(node, exp.Nullif) and _is_zero([node.expression]):
            return self._outside(node.this, leaves)
        if isinstance(node, (exp.AggFunc, exp.Filter)):
            leaves.append(self._leaf(node))
            return "•"
        if isinstance(node, exp.Mul):
            sides = [side for side in (node.this, node.expression) if not _is_one(side)]
            if len(sides) == 1:
                return self._outside(sides[0], leaves)
        if isinstance(node, (exp.Binary, exp.Neg)):
            parts = [
                self._outside(part, leaves) for part in (node.this, node.args.get("expression")) if part is not None
            ]
            return f"{type(node).__name__}({', '.join(parts)})"
        return self.value(node)

    def _leaf(self, node: exp.Expr) -> Leaf:
        conditions = set(self._rows)
        if isinstance(node, exp.Filter):
            conditions |= self.conditions(node.expression.this)
            node = node.this
        inner, distinct = node.this, ""
        if isinstance(inner, exp.Distinct) and len(inner.expressions) == 1:
            inner, distinct = inner.expressions[0], "distinct "
        name = type(node).__name__
        inner = _bare(inner) if inner is not None else None
        # CASE WHEN c THEN x END, and ELSE 0 where a sum does not mind it.
        while isinstance(inner, exp.Case) and len(inner.args["ifs"]) == 1 and inner.this is None:
            other = inner.args.get("default")
            if other is not None and not isinstance(other, exp.Null) and not (name == "Sum" and _is_zero([other])):
                break
            conditions |= self.conditions(inner.args["ifs"][0].this)
            inner = _bare(inner.args["ifs"][0].args["true"])
        if (
            isinstance(inner, exp.If)
            and name == "Sum"
            and (inner.args.get("false") is None or _is_zero([inner.args["false"]]))
        ):
            conditions |= self.conditions(inner.this)
            inner = _bare(inner.args["true"])
        counts = name in {"Count", "CountIf"} and not distinct
        if name == "CountIf" and inner is not None:
            conditions |= self.conditions(inner)
            inner = None
        if (counts and self._is_each_row(inner)) or (name == "Sum" and inner is not None and _is_one(inner)):
            return Leaf("count rows", frozenset(conditions))
        return Leaf(f"{name} {distinct}{self.value(inner) if inner is not None else '*'}", frozenset(conditions))

    def _is_each_row(self, inner: exp.Expr | None) -> bool:
        """Whether counting a value counts every row: it is never missing."""
        if inner is None or isinstance(inner, (exp.Star, exp.Literal)):
            return True
        if not isinstance(inner, exp.Column) or (table := self._catalog.get(self._owner(inner))) is None:
            return False
        column = table.column(inner.name)
        return column is not None and (not column.nullable or table.primary_key == (column.name,))

    # Conditions

    def conditions(self, node: exp.Expr) -> frozenset[str]:
        """The parts of a condition that must all hold, each in one form."""
        found: dict[str, list[exp.Expr]] = {}
        apart: dict[str, tuple[set[str], list[exp.Expr]]] = {}
        for part in _all_of(node):
            column, values = self._kept_apart(part)
            if isinstance(part, exp.Between):
                found[self._compared(exp.GTE, part.this, part.args["low"])] = [part]
                found[self._compared(exp.LTE, part.this, part.args["high"])] = [part]
            elif column:
                every, parts = apart.setdefault(column, (set(), []))
                every.update(values)
                parts.append(part)
            else:
                found[self._condition(part)] = [part]
        found |= {f"{column} not in {', '.join(sorted(every))}": parts for column, (every, parts) in apart.items()}
        self.written |= found
        return frozenset(found)

    def _kept_apart(self, part: exp.Expr) -> tuple[str, set[str]]:
        """A column and the values it must not have: ``x <> 1``, ``NOT x IN (1, 2)``."""
        if isinstance(part, exp.NEQ):
            left, right = _literal_last(part.this, part.expression)
            if isinstance(_bare(right), exp.Literal):
                return self.value(left), {self.value(right)}
        inner = _bare(part.this) if isinstance(part, exp.Not) else part
        if isinstance(part, exp.Not) and isinstance(inner, exp.In) and inner.expressions:
            return self.value(inner.this), {self.value(one) for one in inner.expressions}
        return "", set()

    def _condition(self, node: exp.Expr) -> str:
        node = _bare(node)
        if isinstance(node, exp.Not):
            return self._negated(_bare(node.this))
        if isinstance(node, (exp.EQ, exp.NEQ, exp.Is)) and isinstance(_bare(node.expression), exp.Boolean):
            holds = _bare(node.expression).this == (not isinstance(node, exp.NEQ))
            return self._condition(node.this) if holds else f"not {self._condition(node.this)}"
        if isinstance(node, exp.In) and node.expressions:
            return self._one_of(node.this, [self.value(one) for one in node.expressions])
        if isinstance(node, exp.Or):
            return self._any(node)
        if type(node) in _NEGATED:
            return self._compared(type(node), node.this, node.expression)
        return self.value(node)

    def _negated(self, node: exp.Expr) -> str:
        if (negated := _NEGATED.get(type(node))) is not None:
            return self._compared(negated, node.this, node.expression)
        return f"not {self._condition(node)}"

    def _compared(self, kind: type[exp.Expr], left: exp.Expr, right: exp.Expr) -> str:
        if kind is exp.EQ:
            left, right = _literal_last(left, right)
            if isinstance(_bare(right), exp.Literal):
                return self._one_of(left, [self.value(right)])
        if kind in _SWAPPED:
            kind, left, right = _SWAPPED[kind], right, left
        sides = [self.value(left), self.value(right)]
        return f" {kind.__name__} ".join(sides if kind in {exp.LT, exp.LTE} else sorted(sides))

    def _any(self, node: exp.Or) -> str:
        column, values = self._alternatives(node)
        if column is not None:
            return self._one_of(column, values)
        return " or ".join(sorted(self._condition(one) for one in _any_of(node)))

    def _one_of(self, column: exp.Expr, values: list[str]) -> str:
        return f"{self.value(column)} in {', '.join(sorted(set(values)))}"

    def _alternatives(self, node: exp.Or) -> tuple[exp.Expr | None, list[str]]:
        """``x = 1 OR x IN (2, 3)`` as a column and its values."""
        columns: dict[str, exp.Expr] = {}
        values: list[str] = []
        for part in _any_of(node):
            if isinstance(part, exp.EQ) and isinstance(_bare(part.expression), exp.Literal):
                values.append(self.value(part.expression))
            elif isinstance(part, exp.In) and part.expressions:
                values += [self.value(one) for one in part.expressions]
            else:
                return None, []
            columns[self.value(part.this)] = part.this
        return (next(iter(columns.values())), values) if len(columns) == 1 else (None, [])

    # Values

    def value(self, node: exp.Expr) -> str:
        """A value of a row in one form: columns with their tables, numbers as numbers, sums and products in order."""
        node = _bare(node)
        if isinstance(node, exp.Column):
            return f"{self._owner(node)}.{node.name}".casefold()
        if isinstance(node, exp.Literal):
            return f"{float(node.name):g}" if not node.is_string else f"'{node.name}'"
        if isinstance(node, (exp.Add, exp.Mul)):
            parts = sorted(self.value(part) for part in _flat(node, type(node)))
            return f"{type(node).__name__}({', '.join(parts)})"
        if isinstance(node, exp.And):
            return " and ".join(sorted(self._condition(part) for part in _all_of(node)))
        # An IN over a query has no values to be put in order: it is its parts.
        if isinstance(node, _CONDITIONS) and not (isinstance(node, exp.In) and not node.expressions):
            return self._condition(node)
        parts = []
        negated = "not " if node.args.get("negate") else ""  # NOT LIKE is one node
        for name, child in sorted(node.args.items()):
            if name == "negate":
                continue
            children = child if isinstance(child, list) else [child]
            parts += [f"{name}={self.value(c) if isinstance(c, exp.Expression) else c}" for c in children if c]
        return f"{negated}{type(node).__name__}({', '.join(parts)})".casefold()


def _bare(node: exp.Expr) -> exp.Expr:
    """An expression without what does not change the value: brackets, rounding, casts of numbers."""
    while isinstance(node, _SAME_ROWS):
        if isinstance(node, (exp.Cast, exp.TryCast)) and not node.to.is_type(*exp.DataType.NUMERIC_TYPES):
            break
        node = node.this
    return node


def _literal_last(left: exp.Expr, right: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    return (right, left) if isinstance(_bare(left), exp.Literal) else (left, right)


def _is_one(node: exp.Expr) -> bool:
    node = _bare(node)
    return isinstance(node, exp.Literal) and not node.is_string and float(node.name) == 1


def _is_zero(nodes: Iterable[exp.Expr]) -> bool:
    return all(isinstance(n := _bare(node), exp.Literal) and not n.is_string and float(n.name) == 0 for node in nodes)


def _all_of(node: exp.Expr) -> Iterator[exp.Expr]:
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _all_of(node.this)
        yield from _all_of(node.expression)
    else:
        yield node


def _any_of(node: exp.Expr) -> Iterator[exp.Expr]:
    return (part.unnest() for part in _flat(node, exp.Or))


def _flat(node: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    node = _bare(node)
    if isinstance(node, kind):
        yield from _flat(node.this, kind)
        yield from _flat(node.expression, kind)
    else:
        yield node
