"""Which restricted columns a query shows: those whose values come out, through subqueries and WITH."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.metrics.figures import FigureReader
from rsql_magic.sql.metrics.inlining import Inlined
from rsql_magic.sql.metrics.paths import NotByDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.sql.catalog import Catalog, Column
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


class RestrictedOutputs:
    """Which restricted columns the rows of a query show."""

    def __init__(self, resolution: Resolution, tree: exp.Expr, catalog: Catalog) -> None:
        self._resolution, self._tree, self._catalog = resolution, tree, catalog
        self._scopes = {id(select): scope for select, scope in resolution.selects}
        self._figures = set(figures_of(catalog).values())

    def restricted(self) -> list[tuple[str, Column]]:
        """The restricted columns that come out, each with its table."""
        outputs = self._outputs(self._tree, 0)
        return list({(t, c.name): (t, c) for some in outputs.values() for t, c in some}.values())

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
        if isinstance(node, exp.Subquery):
            return self._outputs(node.this, depth + 1)
        if not isinstance(node, exp.Table):
            return {}
        if not node.db and (cte := self._cte(node.name, select)) is not None:
            return self._outputs(cte.this, depth + 1)
        table = self._catalog.find([part.name for part in node.parts], self._catalog.dialect)
        columns = table.columns if table else ()
        return {
            c.name.casefold(): [(table.full_name, c)] if table and c.meaning and c.meaning.restricted else []
            for c in columns
        }

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
        sources: dict[str, dict[str, list[tuple[str, Column]]]] | None = None
        while stack:
            at = stack.pop()
            if isinstance(at, exp.Count | exp.CountIf | exp.ApproxDistinct) or self._is_metric(at):
                continue
            if isinstance(at, (exp.Predicate, exp.Not)):
                continue  # whether something holds is no value
            if isinstance(at, exp.Select | exp.SetOperation | exp.Subquery):
                for some in self._outputs(at, depth + 1).values():
                    found += some
                continue
            if isinstance(at, exp.Column):
                if sources is None:
                    sources = {a: self._of_source(n, select, depth) for a, n in self._sources(select).items()}
                chosen = [sources.get(at.table.casefold(), {})] if at.table else list(sources.values())
                for columns in chosen:
                    found += columns.get(at.name.casefold(), [])
                continue
            if isinstance(at, exp.Case):
                stack += [one.args["true"] for one in at.args["ifs"]]
                stack += [at.args["default"]] if at.args.get("default") is not None else []
                continue
            stack += list(at.iter_expressions())
        return found

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
