"""Which restricted columns a query shows, by its lineage, and the query without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.lineage import Lineage
from rsql_magic.sql.lineage_values import Unfollowed, restricted_origins
from rsql_magic.sql.metrics.figures import FigureReader
from rsql_magic.sql.metrics.inlining import Inlined, identifier
from rsql_magic.sql.metrics.paths import NotByDefinition

if TYPE_CHECKING:
    from rsql_magic.sql.catalog import Catalog, Column, Table
    from rsql_magic.sql.metrics.figures import Figure
    from rsql_magic.sql.validate import Resolution


def figures_of(catalog: Catalog) -> dict[str, Figure]:
    """The metrics over one table as figures, by name."""
    return catalog.kept("_figures_of_metrics", _figures_of)


def _figures_of(catalog: Catalog) -> dict[str, Figure]:
    found = {}
    inlined = Inlined.of(catalog)
    for one in catalog.definitions.metrics:
        if not one.table:
            continue
        try:
            base = inlined.base(one)
        except NotByDefinition:
            continue
        reader = FigureReader(catalog, lambda column: column.table, base.where)
        found[one.name] = reader.read(base.expression)
    return found


def mark_owners(tree: exp.Expr, resolution: Resolution) -> None:
    """Note at each column of a query the full name of its table, which copies of the column keep."""
    for column in tree.find_all(exp.Column):
        found = resolution.columns.get(id(column))
        column.meta["owner"] = found[0].table.full_name if found and found[0].table else ""


def marked_owner(column: exp.Column) -> str:
    """What `mark_owners` noted; empty for a column of no table."""
    return str(column.meta.get("owner", ""))


def restricted_in(table: Table) -> list[Column]:
    """The columns of a table that must not be shown."""
    return [column for column in table.columns if column.meaning is not None and column.meaning.restricted]


class RestrictedOutputs:
    """Which restricted columns the rows of a query show, or let be told.

    Args:
        resolution: What the names of the query stand for.
        tree: The query.
        catalog: The tables that it may read.
        question: The person's words: a text in them may choose rows.
    """

    def __init__(self, resolution: Resolution, tree: exp.Expr, catalog: Catalog, question: str = "") -> None:
        self._resolution, self._tree, self._catalog = resolution, tree, catalog
        self._figures = set(figures_of(catalog).values())
        self._lineage = Lineage(catalog, catalog.dialect, self._is_metric, question)

    def restricted(self) -> list[tuple[str, Column]]:
        """The restricted columns that come out, each with its table; all where the query cannot be followed."""
        try:
            shown = self._lineage.shown(self._tree)
            held = shown.held | shown.rows
        except Unfollowed:
            held = restricted_origins(self._catalog)
        return [(t.full_name, c) for t in self._catalog for c in restricted_in(t) if (t.full_name, c.name) in held]

    def without(self) -> exp.Expr | None:
        """The query without the restricted columns that it shows, its stars written out; None where it is not plain."""
        if not isinstance(self._tree, exp.Select):
            return None
        select, kept = self._tree, list[exp.Expr]()
        for output in select.expressions:
            if output.is_star:
                for node in self._starred(select, output):
                    table = self._table(node) if isinstance(node, exp.Table) else None
                    if table is None or any(self._tree.find_all(exp.CTE)):
                        return None
                    hidden = {column.name for column in restricted_in(table)}
                    behind = node.args["alias"].this if node.args.get("alias") else node.this
                    kept += [
                        exp.Column(this=identifier(c.name, self._catalog.dialect), table=behind.copy())
                        for c in table.columns
                        if c.name not in hidden
                    ]
            else:
                kept.append(output.copy())
        made = select.copy()
        for places in range(len(kept), -1, -1):
            made.set("expressions", kept)
            shown = self._lineage.shown(made)
            if shown.others is not None or not shown.ordered or len(shown.outputs) != len(kept):
                return None
            free = [one for one, output in zip(kept, shown.outputs, strict=True) if not output.held]
            if len(free) == len(kept):
                return made if places and any(not one.find(exp.Star) for one in kept) else None
            kept = free
        return None

    @staticmethod
    def _starred(select: exp.Select, star: exp.Expr) -> list[exp.Expr]:
        nodes = [s.this for s in (select.args.get("from_"), *(select.args.get("joins") or ())) if s is not None]
        wanted = star.table.casefold() if isinstance(star, exp.Column) else ""
        return [node for node in nodes if wanted in {"", node.alias_or_name.casefold()}]

    def _table(self, node: exp.Table) -> Table | None:
        return self._catalog.find([part.name for part in node.parts], self._catalog.dialect)

    def _is_metric(self, node: exp.Expr) -> bool:
        """Whether an expression is a metric by its definition: who defined it allows its figure to be shown."""
        if not isinstance(node, (exp.AggFunc, exp.Filter)) or not self._figures:
            return False
        mark_owners(node, self._resolution)
        select = node.find_ancestor(exp.Select)
        where = select.args.get("where") if select is not None else None
        if where is not None:
            mark_owners(where, self._resolution)
        conditions = [where.this] if where is not None else []
        figure = FigureReader(self._catalog, marked_owner, conditions).read(node)
        return any(figure.computes(one) for one in self._figures)
