"""Small questions about the parts of a tree that the walk over its names asks."""

from __future__ import annotations

from sqlglot import exp


def may_be_a_text(node: exp.Column) -> bool:
    """Whether a text would make sense where a name in double quotes stands, which SQLite takes for a text if need be.

    Nobody shows, groups by, sorts by or sums up one text; who compares one does so with something else than a text.
    """
    parent = node.parent
    if isinstance(parent, exp.Alias):
        parent = parent.parent
    if isinstance(parent, (exp.Select, exp.Ordered, exp.Group, exp.AggFunc)):
        return False
    return not (isinstance(parent, exp.Predicate) and isinstance(parent.args.get("expression"), exp.Literal))


def sides(node: exp.SetOperation) -> list[exp.Expr]:
    """The queries of a chain of UNION, which is deep to the left."""
    sides: list[exp.Expr] = []
    at: exp.Expr = node
    while isinstance(at, exp.SetOperation) and (at is node or not (at.args.get("with_") or at.args.get("order"))):
        sides.append(at.expression)
        at = at.this
    return [at, *reversed(sides)]


def identifier(node: exp.Expr) -> exp.Expr:
    """The identifier of a column or of a column's definition."""
    return node.this if isinstance(node, (exp.Column, exp.ColumnDef)) else node


def is_within(node: exp.Expr, outer: exp.Expr) -> bool:
    """True for a part of an expression; a name that AS gives cannot stand in its own definition."""
    at: exp.Expr | None = node
    while at is not None and at is not outer:
        at = at.parent
    return at is outer


def names_bound(node: exp.Expr) -> frozenset[str]:
    """The names that a lambda or a list comprehension defines."""
    if isinstance(node, exp.Lambda):
        return frozenset(part.name.casefold() for part in node.expressions)
    if isinstance(node, exp.Comprehension):
        made = (node.args.get("expression"), node.args.get("position"))
        return frozenset(part.name.casefold() for part in made if isinstance(part, exp.Expr))
    return frozenset()
