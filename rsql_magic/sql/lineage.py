"""Where the values of a query's columns come from: which restricted columns each holds, or lets be told.

A column is *free* only where that is shown: what cannot be followed holds all that is in reach. Not only values count
but influence: a comparison, an order, the choice of rows. What lets restricted columns pass on without telling them:

- counts, and whether a value is missing, over groups that are not single rows;
- sums and means of other columns over such groups, whatever chose the rows;
- that two restricted columns are equal (joins, groups), which tells no value.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.dialects.records import system_table
from rsql_magic.sql.lineage_values import (
    CONDITIONS,
    KNOWN,
    NOTHING,
    ORDERS,
    ROW_NUMBER,
    UNNAMED,
    Expressions,
    Followed,
    LineageScope,
    Origins,
    Output,
    Unfollowed,
    aggregates,
    key_of,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rsql_magic.sql.catalog import Table


class Lineage(Expressions):
    """Follows queries over the tables of a catalog.

    Args:
        catalog: The tables, with what a dictionary says of their columns.
        dialect: sqlglot's name of the dialect.
        is_free: Whether an aggregate may be shown whatever it is made of, as a metric that a person defined.
        said: Words of the person's own: a text in them may choose rows.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Meaning, Table, parse
        >>> name = Column("name", "TEXT", meaning=Meaning(restricted=True))
        >>> catalog = Catalog((Table("people", (Column("city", "TEXT"), name)),), "duckdb")
        >>> query = parse("WITH t(a, b) AS (SELECT * FROM people) SELECT a, b FROM t", "duckdb")
        >>> [sorted(output.held) for output in Lineage(catalog, "duckdb").shown(query).outputs]
        [[], [('people', 'name')]]
    """

    def shown(self, tree: exp.Expr) -> Followed:
        """The columns that a query shows; what chooses its rows is held by each of them.

        Raises:
            Unfollowed: It is too deep.
        """
        self._asked = {}
        try:
            found = self.query(tree, (), {})
        except RecursionError:
            raise Unfollowed from None
        outputs = tuple(replace(one, held=one.held | found.rows) for one in found.outputs)
        others = None if found.others is None else found.others | found.rows
        return replace(found, outputs=outputs, others=others)

    # Queries

    def query(self, node: exp.Expr | None, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]) -> Followed:
        """What a query gives."""
        seen = tuple((id(level.sources), len(level.sources), id(level.aliases)) for level in outer)
        key = (id(node), id(ctes), seen)
        if key not in self._asked:
            self._asked[key] = self._query(node, outer, ctes), (node, outer, ctes)
        return self._asked[key][0]

    def _query(self, node: exp.Expr | None, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]) -> Followed:
        if isinstance(node, exp.Select):
            return self._select(node, outer, self._with(node, outer, ctes))
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer, self._with(node, outer, ctes))
        if isinstance(node, exp.Subquery):
            return self._parenthesis(node, outer, self._with(node, outer, ctes))
        if isinstance(node, exp.Values):
            return self._source(node, LineageScope([], outer, ctes=ctes))
        if isinstance(node, exp.Table):
            return self._together([self._source(node, LineageScope([], outer, ctes=ctes))])
        # A pivot, a summary, or something else that is not read: all that is named in it may come out.
        return Followed(others=self._named_in(node, ctes), ordered=False, narrow=True)

    def _named_in(self, node: exp.Expr | None, ctes: Mapping[str, Followed]) -> Origins:
        """All that the tables hold that are named anywhere below a node."""
        if node is None:
            return self._all
        ctes = self._with(node, (), ctes)
        tables = list(node.find_all(exp.Table))
        found = (self.table(one, LineageScope([], ctes=ctes)) for one in tables)
        return NOTHING.union(*(one.held | one.rows for one in found)) if tables else self._all

    def _with(
        self, node: exp.Expr, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]
    ) -> Mapping[str, Followed]:
        with_ = node.args.get("with_")
        if with_ is None:
            return ctes
        seen = dict(ctes)
        again = with_.args.get("recursive") or self._dialect.implicit_recursion or self._dialect.sees_ahead == "always"
        if again:  # nothing is known of them yet; each round adds what the one before found
            seen |= {key_of(cte.alias): Followed(key_of(cte.alias), others=NOTHING) for cte in with_.expressions}
        for _ in range(100 if again else 1):
            before = dict(seen)
            for cte in with_.expressions:
                columns = [key_of(c.name) for c in cte.args["alias"].args.get("columns") or ()]
                # Each is asked with a copy: what it gives depends on what is known so far.
                seen[key_of(cte.alias)] = self.query(cte.this, outer, dict(seen)).named(key_of(cte.alias), columns)
            if seen == before or not again:
                return seen
        raise Unfollowed

    def _set_operation(
        self, node: exp.SetOperation, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]
    ) -> Followed:
        chain: list[exp.SetOperation] = []
        at: exp.Expr = node
        while isinstance(at, exp.SetOperation) and (
            at is node or not any(at.args.get(a) for a in ("with_", "order", "limit"))
        ):
            chain.append(at)
            at = at.this
        found = self.query(at, outer, ctes)
        for one in reversed(chain):
            found = self._both(one, found, self.query(one.expression, outer, ctes))
        scope = LineageScope([found], outer, ctes=ctes)
        rows = found.rows | self._ordered_by(node, scope)
        return replace(found, rows=rows, narrow=found.narrow or bool(node.args.get("limit") or node.args.get("offset")))

    @staticmethod
    def _both(node: exp.SetOperation, left: Followed, right: Followed) -> Followed:
        rows, narrow = left.rows | right.rows, left.narrow or right.narrow
        if not isinstance(node, exp.Union):  # which rows both have tells what the other side holds
            rows |= left.held | right.held
        plain = left.ordered and right.ordered and left.others is None and right.others is None
        if not node.args.get("by_name") and plain and len(left.outputs) == len(right.outputs):
            pairs = zip(left.outputs, right.outputs, strict=True)
            outputs = tuple(
                Output(a.name, a.held | b.held, a.bases | b.bases, a.pure if a.pure == b.pure else None)
                for a, b in pairs
            )
            return Followed("", outputs, None, rows, narrow)
        held, bases = left.held | right.held, left.bases | right.bases | {ROW_NUMBER}
        names = dict.fromkeys(one.name for one in (*left.outputs, *right.outputs))
        return Followed("", tuple(Output(name, held, bases) for name in names), held, rows, narrow, ordered=False)

    def _parenthesis(
        self, node: exp.Subquery, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]
    ) -> Followed:
        if isinstance(node.this, exp.Table):
            scope = LineageScope([], outer, ctes=ctes)
            rows, narrow = self._from([node.this], node.args.get("joins") or (), scope)
            found = self._together(scope.sources)
            found = replace(found, rows=found.rows | rows, narrow=found.narrow or narrow)
        else:
            found = self.query(node.this, outer, ctes)
        ordered = self._ordered_by(node, LineageScope([found], outer, ctes=ctes))
        limited = any(node.args.get(part) for part in ("limit", "offset", "sample"))
        return replace(found, rows=found.rows | ordered, narrow=found.narrow or limited)

    def _select(self, node: exp.Select, outer: tuple[LineageScope, ...], ctes: Mapping[str, Followed]) -> Followed:
        scope = LineageScope([], outer, ctes=ctes)
        first = node.args.get("from_")
        chosen, narrow = self._from([first.this] if first else [], node.args.get("joins") or (), scope)
        for lateral in node.args.get("laterals") or ():
            scope.sources.append(self._source(lateral, scope))
        chosen |= NOTHING.union(*(one.rows for one in scope.sources))
        narrow |= any(one.narrow for one in scope.sources) or bool(node.args.get("sample"))
        aliases = {key_of(p.alias): p.this for p in node.expressions if isinstance(p, exp.Alias)}
        windows = {key_of(w.name): w for w in node.args.get("windows") or ()}
        scope = scope._replace(aliases=aliases, windows=windows)
        unread = {name for name, part in node.args.items() if part and name not in KNOWN}
        if unread:
            held = self._together(scope.sources).held | chosen
            return Followed("", (), held, chosen, narrow=True, ordered=False)
        for clause in CONDITIONS:
            if (part := node.args.get(clause)) is not None:
                for condition in (
                    [part.this] if isinstance(part, (exp.Where, exp.PreWhere)) else part.iter_expressions()
                ):
                    chosen |= self._condition(condition, scope)
                    narrow |= self._tells_rows_apart(condition, scope)
        grouped = node.args.get("group") is not None or any(map(aggregates, node.expressions))
        grouped = grouped or (node.args.get("having") is not None and aggregates(node.args["having"]))
        unsafe = narrow or (grouped and self._by_single_rows(node, scope))
        scope = scope._replace(chosen=chosen, unsafe=unsafe, grouped=grouped)
        rows = chosen
        if grouped:
            rows = self._by(node, scope) | (chosen if unsafe else NOTHING)
        for clause in ("having", "qualify"):
            if (part := node.args.get(clause)) is not None:
                rows |= self._condition(part.this, scope)
        rows |= self._ordered_by(node, scope)
        distinct = node.args.get("distinct")
        if distinct is not None and (on := distinct.args.get("on")) is not None:
            rows |= self._value(on, scope)
        limited = bool(node.args.get("limit") or node.args.get("offset")) or (
            distinct is not None and bool(distinct.args.get("on"))
        )
        outputs, others, ordered = self._outputs(node, scope)
        return Followed("", tuple(outputs), others, rows, (narrow and not grouped) or limited, ordered)

    def _by(self, node: exp.Select, scope: LineageScope) -> Origins:
        """The restricted columns that tell by which group a row is in: what is not a column of its own."""
        group, found = node.args.get("group"), NOTHING
        keys = list(group.iter_expressions()) if group is not None else []
        keys += [p.unalias() for p in node.expressions if not aggregates(p) and not p.is_star] if keys or group else []
        while keys:
            key = keys.pop()
            if isinstance(key, (exp.Tuple, exp.Paren, exp.Rollup, exp.Cube, exp.GroupingSets)):
                keys += list(key.iter_expressions())
            elif self._pure(key, scope) is None:
                found |= self._value(key, scope)
        return found

    def _by_single_rows(self, node: exp.Select, scope: LineageScope) -> bool:
        """Whether the groups of a query may be single rows: their keys hold a key of a table."""
        group = node.args.get("group")
        if group is None:
            return False
        keys = [*group.iter_expressions(), *(p for p in node.expressions if not aggregates(p))]
        return self._iskey_of(NOTHING.union(*(self._bases(key, scope) for key in keys)))

    def _ordered_by(self, node: exp.Expr, scope: LineageScope) -> Origins:
        parts = (node.args.get(clause) for clause in ORDERS)
        return NOTHING.union(*(self._value(part, scope) for part in parts if part is not None))

    def _outputs(self, node: exp.Select, scope: LineageScope) -> tuple[list[Output], Origins | None, bool]:
        outputs, others, ordered = list[Output](), list[Origins](), True
        merged = any(join.args.get("using") or join.args.get("method") for join in node.args.get("joins") or ())
        for projection in node.expressions:
            inner = projection.unalias()
            if any(type(part).__name__ in UNNAMED for part in parts_of(projection, exp.Expr)):
                others.append(self._value(projection, scope))
            elif projection.is_star:
                star = self._star(projection, scope)
                outputs += star.outputs
                others += [] if star.others is None else [star.others]
                ordered &= star.ordered and not merged
            else:
                held, bases = self._value(inner, scope), self._bases(inner, scope)
                outputs.append(Output(key_of(projection.alias_or_name), held, bases, self._pure(inner, scope)))
        return outputs, NOTHING.union(*others) if others else None, ordered and not others

    def _star(self, node: exp.Expr, scope: LineageScope) -> Followed:
        """What a star gives. A column that it renames or replaces holds what it held, and what is put there."""
        star = node.find(exp.Star)
        wanted = key_of(node.table) if isinstance(node, exp.Column) else ""
        found = self._together([one for one in scope.sources if wanted in {"", one.key}])
        if star is None or (wanted and all(one.key != wanted for one in scope.sources)):
            return Followed(others=self._together([s for level in scope.levels for s in level.sources]).held)
        left_out = {key_of(one.name) for one in star.args.get("except_") or ()}
        outputs = tuple(one for one in found.outputs if one.name not in left_out)
        changed = [*(star.args.get("replace") or ()), *(star.args.get("rename") or ())]
        more = [Output(key_of(one.alias), self._value(one.this, scope), frozenset({ROW_NUMBER})) for one in changed]
        plain = not left_out and not changed and not star.args.get("ilike")
        return replace(found, outputs=(*outputs, *more), ordered=found.ordered and (plain or not changed))

    # What stands in FROM

    def _from(self, first: Iterable[exp.Expr], joins: Iterable[exp.Expr], scope: LineageScope) -> tuple[Origins, bool]:
        """Put what stands in FROM into a scope: which restricted columns choose rows, and whether single ones."""
        chosen, narrow = NOTHING, False
        for node in first:
            scope.sources.append(self._source(node, scope))
            rows, few = (
                self._from([], node.args.get("joins") or (), scope) if isinstance(node, exp.Table) else (NOTHING, False)
            )
            chosen, narrow = chosen | rows, narrow or few
        for join in joins:
            before = list(scope.sources)
            rows, few = self._from([join.this], [], scope)
            chosen, narrow = chosen | rows, narrow or few
            added = scope.sources[len(before) :]
            for name in self._shared(join, before, added):
                chosen |= self._equal([self._of(name, before), self._of(name, added)])
            for part in ("on", "match_condition"):
                if (condition := join.args.get(part)) is not None:
                    chosen |= self._condition(condition, scope)
                    narrow |= self._tells_rows_apart(condition, scope)
        return chosen, narrow

    @staticmethod
    def _shared(join: exp.Expr, before: list[Followed], added: list[Followed]) -> set[str]:
        if str(join.args.get("method") or "").upper() == "NATURAL":
            names = [{one.name for source in side for one in source.outputs} for side in (before, added)]
            return names[0] & names[1]
        return {key_of(one.name) for one in join.args.get("using") or ()}

    @staticmethod
    def _of(name: str, sources: list[Followed]) -> list[Output]:
        found = [one for source in sources for one in source.outputs if one.name == name]
        return found or [Output(name, one.others) for one in sources if one.others is not None]

    @staticmethod
    def _equal(sides: list[list[Output]]) -> Origins:
        """What is told by two sides being equal: nothing where all of them are restricted columns as they stand."""
        held = NOTHING.union(*(one.held for side in sides for one in side))
        return NOTHING if all(one.pure is not None and one.held for side in sides for one in side) else held

    def _source(self, node: exp.Expr, scope: LineageScope) -> Followed:
        """One thing that stands in FROM, under its alias."""
        pivots = node.args.get("pivots")
        alias = (pivots[-1] if pivots else node).args.get("alias")
        found = self._bare(node, scope)
        if pivots:
            found = Followed(found.key, (), found.held, found.rows, narrow=True, ordered=False)
        if node.args.get("sample"):
            found = replace(found, narrow=True)
        if alias is None:
            return found
        columns = [
            key_of(c.this.name if isinstance(c, exp.ColumnDef) else c.name) for c in alias.args.get("columns") or ()
        ]
        place = node.args.get("offset")
        return found.named(
            key_of(alias.name), [*columns, key_of(place.name)] if columns and isinstance(place, exp.Expr) else columns
        )

    def _bare(self, node: exp.Expr, scope: LineageScope) -> Followed:
        if isinstance(node, exp.Table):
            return self.table(node, scope)
        inner = node.this if isinstance(node, exp.Lateral) else node
        if isinstance(inner, (exp.Subquery, exp.Select, exp.SetOperation)):
            return self.query(inner, scope.levels, scope.ctes)
        if isinstance(node, exp.Values):
            rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in node.expressions]
            wide = max(map(len, rows), default=0)
            cells = [[row[n] for row in rows if n < len(row)] for n in range(wide)]
            outputs = tuple(
                Output(f"col{n}", NOTHING.union(*(self._value(c, scope) for c in column)))
                for n, column in enumerate(cells)
            )
            return Followed(
                "", outputs, None if not any(o.held for o in outputs) else NOTHING.union(*(o.held for o in outputs))
            )
        # A function, or values that are unfolded: what goes in may come out, under any name.
        parts = [part for part in node.iter_expressions() if not isinstance(part, exp.TableAlias)]
        held = NOTHING.union(*(self._value(part, scope) for part in parts))
        return Followed("", (), held, narrow=bool(held), ordered=False)

    def table(self, node: exp.Table, scope: LineageScope) -> Followed:
        """What a table, a WITH or a function in FROM gives; all that is restricted where it is not known."""
        key = key_of(node.name)
        if not isinstance(node.this, exp.Identifier):  # a function
            parts = [part for part in (node.this, *(node.args.get("rows_from") or ())) if isinstance(part, exp.Expr)]
            held = NOTHING.union(*(self._value(part, scope) for part in parts)) if parts else self._all
            return Followed(key, (), held, narrow=bool(held), ordered=False)
        if not node.db and key in scope.ctes:
            return replace(scope.ctes[key], key=key)
        names = tuple(part.name for part in node.parts)
        if (table := self._catalog.find(names, self._dialect.name)) is None:
            is_known = system_table(names, self._dialect.name) == "readable" and not key.startswith(
                ("pg_stat", "sqlite_stat")
            )
            return Followed(key, (), NOTHING if is_known else self._all, ordered=False)
        alike = [one for one in self._catalog if key_of(one.name) == key_of(table.name)] if not node.db else []
        if names[-1].endswith("*"):
            alike = [one for one in self._catalog if key_of(one.name).startswith(key[:-1])]
        found = [self._stored(one) for one in alike or [table]]
        if len(found) == 1:
            return replace(found[0], key=key)
        # Tables of one name in several schemas: which of them is meant is the engine's to say.
        own = self._stored(table)
        if not any(one.held for one in found):
            return replace(own, key=key)
        by_name = {
            o.name: NOTHING.union(*(p.held for s in found for p in s.outputs if p.name == o.name)) for o in own.outputs
        }
        return replace(own, key=key, outputs=tuple(replace(o, held=by_name[o.name]) for o in own.outputs))

    def _stored(self, table: Table) -> Followed:
        place = table.full_name
        outputs = []
        for column in table.columns:
            base = (place, column.name)
            outputs.append(Output(key_of(column.name), frozenset({base}) & self._all, frozenset({base}), base))
        return Followed("", tuple(outputs), None if outputs else self._all)
