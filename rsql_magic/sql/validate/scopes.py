"""What is in sight somewhere in a query: relations, the scopes they form, and the names that stand for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.sql.catalog import Table


@dataclass(slots=True)
class Relation:
    """Something in FROM: a table, a subquery, a WITH, a function.

    Args:
        name: Its alias, else its name, as written.
        key: That name as it is compared.
        columns: Its columns: name as compared → name as stored.
        open: True when it may have columns that are not known.
        table: The catalog's table behind it.
        shared: Columns that USING or NATURAL made one with an earlier relation's.
    """

    name: str
    key: str
    columns: Mapping[str, str]
    open: bool = False
    table: Table | None = None
    shared: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Scope:
    """What the parts of one SELECT see."""

    relations: list[Relation] = field(default_factory=list)  # What stands in its FROM
    outer: tuple[Scope, ...] = ()  # The scopes around it, from the inside out
    # The names that AS gives, as compared, with their definitions
    aliases: dict[str, exp.Expr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Missing:
    """A name that stands for nothing, or for too much."""

    # ``table``, ``column``, ``qualifier`` (the part before the dot), ``ambiguous`` or ``alias`` (given twice)
    kind: str
    node: exp.Expr  # Where it stands
    scope: Scope  # What is in sight there
    found: tuple[Relation, ...] = ()  # For ``ambiguous``: the relations that have it


@dataclass(slots=True)
class Resolution:
    """What `resolve` found."""

    missing: list[Missing] = field(default_factory=list)  # Names that stand for nothing
    # Column nodes by id, with the relation they belong to
    columns: dict[int, tuple[Relation, str]] = field(default_factory=dict)
    selects: list[tuple[exp.Select, Scope]] = field(default_factory=list)  # Every SELECT with its scope


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns a query gives: name as compared → as written; open when there may be others."""

    names: Mapping[str, str] = field(default_factory=dict)
    open: bool = False


OPEN = Columns(open=True)
Ctes = dict[str, Columns]


def may_be_a_text(node: exp.Column) -> bool:
    """Whether a text would make sense where a name in double quotes stands: SQLite takes it for a text if need be."""
    # Nobody shows, groups by, sorts by or sums up one text; who compares one does so with something else than a text.
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
