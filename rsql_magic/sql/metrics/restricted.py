"""Which restricted columns a query shows: those whose values come out, through subqueries and WITH."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.metrics.figures import FigureReader
from rsql_magic.sql.metrics.inlining import Inlined, identifier
from rsql_magic.sql.metrics.paths import NotByDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator

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


_UNNAMED = frozenset({"Columns", "Pivot", "PositionalColumn", "Summarize"})


# Counts, and whether something holds: no values of their own.
_NO_VALUE = (exp.Count, exp.CountIf, exp.ApproxDistinct, exp.Predicate, exp.Not)


def restricted_in(table: Table) -> list[Column]:
    """The columns of a table that must not be shown."""
    return [column for column in table.columns if column.meaning is not None and column.meaning.restricted]


class RestrictedOutputs:
    """Which restricted columns the rows of a query show."""

    def __init__(self, resolution: Resolution, tree: exp.Expr, catalog: Catalog) -> None:
        self._resolution, self._tree, self._catalog = resolution, tree, catalog
        self._figures = set(figures_of(catalog).values())

    def restricted(self) -> list[tuple[str, Column]]:
        """The restricted columns that come out, each with its table."""
        if self._is_open:
            found = [(table, column) for table in self._named for column in restricted_in(table)]
            return [(table.full_name, column) for table, column in found]
        outputs = self._outputs(self._tree, 0)
        return list({(t, c.name): (t, c) for some in outputs.values() for t, c in some}.values())

    def without(self) -> exp.Expr | None:
        """The query without the restricted columns that it shows, its stars written out; None where it is not plain."""
        if self._is_open or not isinstance(self._tree, exp.Select):
            return None
        select, kept = self._tree, list[exp.Expr]()
        for output in select.expressions:
            if output.is_star:
                for alias, node in self._sources(select).items():
                    if isinstance(output, exp.Column) and output.table.casefold() != alias:
                        continue
                    table = self._table(node) if isinstance(node, exp.Table) else None
                    if table is None or self._cte(table.name, select) is not None:
                        return None
                    hidden = {column.name for column in restricted_in(table)}
                    behind = node.args["alias"].this if node.args.get("alias") else node.this
                    kept += [
                        exp.Column(this=identifier(c.name, self._catalog.dialect), table=behind.copy())
                        for c in table.columns
                        if c.name not in hidden
                    ]
            elif not self._in(output.unalias(), select, 0):
                kept.append(output.copy())
        made = select.copy()
        made.set("expressions", kept)
        return made if any(not one.find(exp.Star) for one in kept) else None

    @property
    def _is_open(self) -> bool:
        """Whether columns may come out without their names: by a pattern, a place, a pivot, or a row as one value."""
        if not isinstance(self._tree, exp.Query) or any(type(node).__name__ in _UNNAMED for node in self._tree.walk()):
            return True
        rows = {source.alias_or_name.casefold() for source in self._tree.find_all(exp.Table, exp.Subquery, exp.CTE)}
        columns = {c.name.casefold() for table in self._named for c in table.columns}
        named = {c.name.casefold() for c in self._tree.find_all(exp.Column) if not c.table}
        return bool((rows & named) - columns)

    @property
    def _named(self) -> list[Table]:
        """The tables that the query reads."""
        return [table for node in self._tree.find_all(exp.Table) if (table := self._table(node)) is not None]

    def _table(self, node: exp.Table) -> Table | None:
        return self._catalog.find([part.name for part in node.parts], self._catalog.dialect)

    def _outputs(self, query: exp.Expr, depth: int) -> dict[str, list[tuple[str, Column]]]:
        """The outputs of a query by name, each with the restricted columns in it."""
        query = query.unnest() if isinstance(query, exp.Paren | exp.Subquery) else query
        if depth > 50:
            return {}
        if isinstance(query, exp.SetOperation):
            found: dict[str, list[tuple[str, Column]]] = {}
            for side in (query.this, query.expression):
                for name, some in self._outputs(side, depth + 1).items():
                    found.setdefault(name, []).extend(some)
            return found
        if not isinstance(query, exp.Select):
            return {}
        found = {}
        for place, output in enumerate(query.expressions):
            if output.is_star:
                for name, some in self._star(query, output, depth):
                    found.setdefault(name, []).extend(some)
            else:
                found.setdefault(output.alias_or_name.casefold() or f"#{place}", []).extend(
                    self._in(output.unalias(), query, depth)
                )
        return found

    def _sources(self, select: exp.Select) -> dict[str, exp.Expr]:
        nodes = [s.this for s in (select.args.get("from_"), *(select.args.get("joins") or ())) if s is not None]
        return {node.alias_or_name.casefold(): node for node in nodes}

    def _star(self, select: exp.Select, star: exp.Expr, depth: int) -> Iterator[tuple[str, list[tuple[str, Column]]]]:
        wanted = star.table.casefold() if isinstance(star, exp.Column) else ""
        inner = star.this if isinstance(star, exp.Column) else star
        left_out = {one.name.casefold() for one in inner.args.get("except_") or ()}
        for alias, node in self._sources(select).items():
            if wanted and alias != wanted:
                continue
            for name, some in self._of_source(node, select, depth).items():
                if name not in left_out:
                    yield name, some

    def _of_source(self, node: exp.Expr, select: exp.Select, depth: int) -> dict[str, list[tuple[str, Column]]]:
        """What a source of FROM gives, by name."""
        if isinstance(node, exp.Lateral):
            node = node.this
        if isinstance(node, exp.Subquery):
            return self._outputs(node.this, depth + 1)
        if not isinstance(node, exp.Table):
            # Rows made of values, such as UNNEST: whatever goes in may come out, under any name.
            return defaultdict(lambda: self._in(node, select, depth + 1))
        if not node.db and (cte := self._cte(node.name, select)) is not None:
            return self._outputs(cte.this, depth + 1)
        if (table := self._table(node)) is None:
            return {}
        hidden = {column.name for column in restricted_in(table)}
        return {c.name.casefold(): [(table.full_name, c)] if c.name in hidden else [] for c in table.columns}

    @staticmethod
    def _cte(name: str, select: exp.Select) -> exp.CTE | None:
        at: exp.Expr | None = select
        while at is not None:
            with_ = at.args.get("with_")
            found = next(
                (c for c in (with_.expressions if with_ else ()) if c.alias.casefold() == name.casefold()), None
            )
            if isinstance(found, exp.CTE):
                return found
            at = at.parent
        return None

    def _in(self, node: exp.Expr, select: exp.Select, depth: int) -> list[tuple[str, Column]]:
        """The restricted columns whose values an expression lets through."""
        found: list[tuple[str, Column]] = []
        stack = [node]
        while stack:
            at = stack.pop()
            if isinstance(at, _NO_VALUE) or self._is_metric(at):
                continue
            if isinstance(at, exp.Select | exp.SetOperation | exp.Subquery):
                found += [one for some in self._outputs(at, depth + 1).values() for one in some]
            elif isinstance(at, exp.Column):
                base = self._base(at)
                found += self._derived(at, select, depth) if base is None else base
            elif isinstance(at, exp.Case):
                branches = (*(one.args["true"] for one in at.args["ifs"]), at.args.get("default"))
                stack += [branch for branch in branches if branch is not None]
            else:
                stack += list(at.iter_expressions())
        return found

    def _derived(self, column: exp.Column, select: exp.Select, depth: int) -> Iterator[tuple[str, Column]]:
        """What a column of a subquery holds, one of any source where it does not say of which."""
        for alias, node in self._sources(select).items():
            if column.table.casefold() in {"", alias}:
                columns, name = self._of_source(node, select, depth), column.name.casefold()
                yield from columns[name] if name in columns or isinstance(columns, defaultdict) else ()

    def _base(self, column: exp.Column) -> list[tuple[str, Column]] | None:
        """The column of a table, where it is one, as a list if it is restricted; None for one of a subquery."""
        relation, name = self._resolution.columns.get(id(column), (None, ""))
        if relation is None or relation.table is None:
            return None
        return [(relation.table.full_name, c) for c in restricted_in(relation.table) if c.name == name]

    def _is_metric(self, node: exp.Expr) -> bool:
        """Whether an expression is a metric by its definition: who defined it allows its figure to be shown."""
        if not isinstance(node, (exp.AggFunc, exp.Filter)) or not self._figures:
            return False
        owner = self._resolution.columns

        def named(column: exp.Column) -> str:
            found = owner.get(id(column))
            return found[0].table.full_name if found and found[0].table else ""

        select = node.find_ancestor(exp.Select)
        where = select.args.get("where") if select is not None else None
        figure = FigureReader(self._catalog, named, [where.this] if where is not None else []).read(node)
        return any(figure.computes(one) for one in self._figures)
