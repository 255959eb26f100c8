"""Figures of a query in one form, so that two that compute the same can be told to be the same."""

# A figure is an expression over aggregates. Each aggregate stands with all conditions that its rows meet: those of
# WHERE, of CASE inside it, and of FILTER. A figure computes a metric when the expressions are equal, each aggregate's
# conditions hold those of the definition, and what is more is the same for all: it is what the question filters by.
# Sums of sums and differences stand as one sum of products, and a mean as a sum divided by a count.

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.catalog import value_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog

_SAME_ROWS = (exp.Paren, exp.Round, exp.Cast, exp.TryCast)
_SWAPPED: dict[type[exp.Expr], type[exp.Expr]] = {exp.GT: exp.LT, exp.GTE: exp.LTE}
_NEGATED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.NEQ, exp.NEQ: exp.EQ, exp.LT: exp.GTE, exp.GTE: exp.LT, exp.GT: exp.LTE, exp.LTE: exp.GT,
}  # fmt: skip

_MOST_PRODUCTS = 32  # of one value
_WIDEST = 100  # whole numbers that a range may hold to be put as a list of them
_CONDITIONS = (exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.In, exp.GT, exp.GTE, exp.LT, exp.LTE)

Owner = "Callable[[exp.Column], str]"  # the full name of a column's table, empty where it is not known


class Leaf(NamedTuple):
    """An aggregate: what it computes of each row, and the conditions that its rows meet."""

    text: str
    conditions: frozenset[str]
    counts_once: bool = False  # whether a row that comes several times counts once


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
        if _is_around(node):
            return self._outside(node.this, leaves)
        if isinstance(node, exp.Avg) and not isinstance(node.this, exp.Distinct):
            leaves += [self._leaf(exp.Sum(this=node.this.copy())), self._leaf(exp.Count(this=node.this.copy()))]
            return "Div(•, •)"
        is_one = isinstance(node, (exp.AggFunc, exp.Filter))
        if (one := self._leaf(node) if is_one else self._as_one_sum(node)) is not None:
            leaves.append(one)
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

    def _as_one_sum(self, node: exp.Expr) -> Leaf | None:
        """Sums that are added or subtracted as the sum of what they add up, where their rows meet the same."""
        sums: list[exp.Expr] = []

        def inner(part: exp.Expr) -> exp.Expr | None:
            part = _bare(part)
            if isinstance(part, (exp.Add, exp.Sub)):
                left, right = inner(part.this), inner(part.expression)
                return type(part)(this=left, expression=right) if left is not None and right is not None else None
            if isinstance(part, exp.Sum) and not part.find(exp.Case, exp.If, exp.Distinct):
                sums.append(part)
                return exp.paren(part.this.copy())
            return None

        made = inner(node) if isinstance(node, (exp.Add, exp.Sub)) else None
        return Leaf(f"Sum {self.value(made)}", frozenset(self._rows)) if made is not None and len(sums) > 1 else None

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
        if name == "Sum" and inner is not None:
            inner, chosen = _without_factor(inner)
            conditions |= self.conditions(chosen) if chosen is not None else set()
        if name == "Count" and distinct and inner is not None and self._is_key(inner):
            return Leaf("count rows", frozenset(conditions), counts_once=True)
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
        if isinstance(inner, exp.Case):
            values = [*(one.args["true"] for one in inner.args["ifs"]), inner.args.get("default")]
            return all(isinstance(_bare(value), exp.Literal) for value in values if value is not None) and all(values)
        if not isinstance(inner, exp.Column) or (table := self._catalog.get(self._owner(inner))) is None:
            return False
        column = table.column(inner.name)
        return column is not None and (not column.nullable or table.primary_key == (column.name,))

    def _is_key(self, inner: exp.Expr) -> bool:
        """Whether a value is the key of its table's rows."""
        table = self._catalog.get(self._owner(inner)) if isinstance(inner, exp.Column) else None
        return table is not None and [name.casefold() for name in table.primary_key] == [inner.name.casefold()]

    # Conditions

    def conditions(self, node: exp.Expr) -> frozenset[str]:
        """The parts of a condition that must all hold, each in one form."""
        found: dict[str, list[exp.Expr]] = {}
        apart: dict[str, tuple[set[str], list[exp.Expr]]] = {}
        parts = list(_all_of(node))
        listed, rest = self._listed_ranges(parts)
        found |= listed
        for part in rest:
            column, values = self._kept_apart(part)
            if isinstance(part, exp.Between):
                found[self._compared(exp.GTE, part.this, part.args["low"])] = [part]
                found[self._compared(exp.LTE, part.this, part.args["high"])] = [part]
            elif column:
                every, written = apart.setdefault(column, (set(), []))
                every.update(values)
                written.append(part)
            else:
                found[self._condition(part)] = [part]
        found |= {f"{column} not in {', '.join(sorted(every))}": nodes for column, (every, nodes) in apart.items()}
        self.written |= found
        return frozenset(found)

    def _listed_ranges(self, parts: list[exp.Expr]) -> tuple[dict[str, list[exp.Expr]], list[exp.Expr]]:
        """Short ranges of whole numbers as lists of them, which the same condition may be written as; and the rest."""
        ends: dict[str, list[tuple[exp.Column, exp.Expr, int, int]]] = {}
        for part in parts:
            for column, low, high in _ends(part):
                if self._is_whole(column):
                    ends.setdefault(self.value(column), []).append((column, part, low, high))
        found: dict[str, list[exp.Expr]] = {}
        taken: set[int] = set()
        for bounds in ends.values():
            low, high = max(one[2] for one in bounds), min(one[3] for one in bounds)
            if low <= high < low + _WIDEST:
                nodes = [one[1] for one in bounds]
                taken |= {id(one) for one in nodes}
                values = [f"{float(number):g}" for number in range(low, high + 1)]
                found[self._one_of(bounds[0][0], values)] = list(dict.fromkeys(nodes))
        return found, [part for part in parts if id(part) not in taken]

    def _is_whole(self, column: exp.Column) -> bool:
        table = self._catalog.get(self._owner(column))
        known = table.column(column.name) if table is not None else None
        return known is not None and value_kind(known.type) == "number" and "INT" in known.type.upper()

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
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Neg)) and (products := _products(node)) is not None:
            return self._sum_of(products)
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

    def _sum_of(self, products: list[tuple[float, list[exp.Expr]]]) -> str:
        """A sum of products with each product once, in order."""
        totals: dict[tuple[str, ...], float] = {}
        for factor, parts in products:
            key = tuple(sorted(map(self.value, parts)))
            totals[key] = totals.get(key, 0.0) + factor
        terms = [" * ".join((*([f"{total:g}"] if total != 1 or not key else []), *key))
                 for key, total in sorted(totals.items()) if total]  # fmt: skip
        return f"({' + '.join(terms)})" if len(terms) != 1 else terms[0]


def _products(node: exp.Expr) -> list[tuple[float, list[exp.Expr]]] | None:
    """Sums, differences and products multiplied out: a number and factors each; None for what is too long."""
    node = _bare(node)
    if isinstance(node, exp.Neg):
        inner = _products(node.this)
        return [(-factor, parts) for factor, parts in inner] if inner is not None else None
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        left, right = _products(node.this), _products(node.expression)
        if left is None or right is None or len(left) * len(right) > _MOST_PRODUCTS:
            return None
        if isinstance(node, exp.Mul):
            return [(a * b, [*one, *other]) for (a, one), (b, other) in product(left, right)]
        sign = -1.0 if isinstance(node, exp.Sub) else 1.0
        return [*left, *((sign * factor, parts) for factor, parts in right)]
    if isinstance(node, exp.Literal) and not node.is_string:
        return [(float(node.name), [])]
    return [(1.0, [node])]


def _without_factor(node: exp.Expr) -> tuple[exp.Expr, exp.Expr | None]:
    """What ``x * CASE WHEN c THEN 1 ELSE 0 END`` adds up, and the condition."""
    factors = list(_flat(node, exp.Mul))
    for place, factor in enumerate(factors):
        one = _bare(factor)
        if len(factors) > 1 and isinstance(one, exp.Case) and one.this is None and len(one.args["ifs"]) == 1:
            yes, no = one.args["ifs"][0].args["true"], one.args.get("default")
            if _is_one(yes) and no is not None and _is_zero([no]):
                rest = [exp.paren(each.copy()) for at, each in enumerate(factors) if at != place]
                value: exp.Expr = rest[0]
                for each in rest[1:]:
                    value = exp.Mul(this=value, expression=each)
                return value, one.args["ifs"][0].this
    return node, None


def _ends(part: exp.Expr) -> list[tuple[exp.Column, int, int]]:
    """A column that is kept within whole numbers by a condition, with the smallest and the largest."""
    if isinstance(part, exp.Between):
        sides = [(part.this, exp.GTE, part.args["low"]), (part.this, exp.LTE, part.args["high"])]
    elif isinstance(part, (exp.GT, exp.GTE, exp.LT, exp.LTE)):
        left, right = _bare(part.this), _bare(part.expression)
        flipped = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE}
        sides = [(right, flipped[type(part)], left)] if isinstance(left, exp.Literal) else [(left, type(part), right)]
    else:
        return []
    found = []
    for side, kind, bound in sides:
        column, literal = _bare(side), _bare(bound)
        if not isinstance(column, exp.Column) or not isinstance(literal, exp.Literal) or not literal.is_int:
            return []
        number = int(literal.name)
        low = number + (kind is exp.GT) if kind in {exp.GT, exp.GTE} else -(2**63)
        high = number - (kind is exp.LT) if kind in {exp.LT, exp.LTE} else 2**63
        found.append((column, low, high))
    return found


def _bare(node: exp.Expr) -> exp.Expr:
    """An expression without what does not change the value: brackets, rounding, casts of numbers."""
    while isinstance(node, _SAME_ROWS):
        if isinstance(node, (exp.Cast, exp.TryCast)) and not node.to.is_type(*exp.DataType.NUMERIC_TYPES):
            break
        node = node.this
    return node


def _literal_last(left: exp.Expr, right: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    return (right, left) if isinstance(_bare(left), exp.Literal) else (left, right)


def _is_around(node: exp.Expr) -> bool:
    """Whether an expression has the value of what stands in it, where that is not missing, or not zero."""
    if isinstance(node, exp.Coalesce):
        return _is_zero(node.expressions)
    if isinstance(node, exp.Nullif):
        return _is_zero([node.expression])
    return isinstance(node, exp.Window) and not node.args.get("order")


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
    elif isinstance(node, exp.Not) and isinstance(inner := node.this.unnest(), exp.Not):
        yield from _all_of(inner.this)
    elif isinstance(node, exp.Not) and isinstance(inner, exp.Or):
        yield from _all_of(exp.Not(this=inner.this.copy()))
        yield from _all_of(exp.Not(this=inner.expression.copy()))
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
