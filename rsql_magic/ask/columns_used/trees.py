"""Small questions about Python's syntax trees."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

POLARS = frozenset({"pl", "polars"})
"""What polars is called."""


def root(node: ast.AST | None) -> str:
    """The name at the start of a chain: ``df`` of ``df.head()["a"]``; empty where there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def texts(node: ast.AST | None) -> list[str] | None:
    """A text, or the texts of a list; None where something else stands there."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.List | ast.Tuple):
        found = [part.value for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        return found if len(found) == len(node.elts) else None
    return None


def names_in(nodes: Iterable[ast.AST | None]) -> list[str] | None:
    """All texts of some nodes; None where one of them is something else."""
    found = [texts(node) for node in nodes]
    return None if any(each is None for each in found) else [text for each in found for text in each or ()]


def word(call: ast.Call, *names: str) -> ast.expr | None:
    """What a call gives for a keyword of one of these names."""
    return next((each.value for each in call.keywords if each.arg in names), None)


def pairs(node: ast.AST | None) -> dict[str, str] | None:
    """A dictionary of texts by texts; None where it is something else."""
    if not isinstance(node, ast.Dict):
        return None
    found: dict[str, str] = {}
    for parts in zip(node.keys, node.values, strict=True):
        if not all(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in parts):
            return None
        key, value = (part.value for part in parts)  # type: ignore[union-attr]
        found[str(key)] = str(value)
    return found


def method(node: ast.AST | None) -> str:
    """The name of the method that a call calls; empty for anything else."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def holder(node: ast.AST) -> ast.expr | None:
    """What the method of a call is called on."""
    return node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None


def chain(node: ast.expr) -> Iterator[ast.expr]:
    """An expression, what it is called on or taken from, and so on to the start."""
    current: ast.expr | None = node
    while current is not None:
        yield current
        if isinstance(current, ast.Call):
            current = current.func
        else:
            current = current.value if isinstance(current, ast.Attribute | ast.Subscript) else None
