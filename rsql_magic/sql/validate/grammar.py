"""Grammar that sqlglot lets pass and the engine does not, unknown functions, and misused aggregates."""

# Only what is certain is said of aggregates: SQLite and MySQL let a bare column pass, PostgreSQL does so when its
# table's primary key is grouped, and a column that may be an alias is left to the engine.

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.catalog import always_quoted
from rsql_magic.sql.dialects.reading import written_call
from rsql_magic.sql.dialects.records import TYPES, calls, dialect_of, functions
from rsql_magic.sql.validate import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import Functions
    from rsql_magic.sql.validate import Relation, Resolution, Scope


def refused_grammar(
    tree: exp.Expr, nodes: Iterable[exp.Expr], text: str, dialect: str
) -> Iterator[tuple[exp.Expr, Problem]]:
    """What does not compile although it parses here, with the node it is at."""
    record = dialect_of(dialect)
    if not isinstance(tree, (exp.Query, exp.Values, exp.Pivot)) or isinstance(tree, exp.Table):
        yield tree, Problem("syntax", text[:40], "This is not a query: begin it with SELECT or WITH.")
    for node in nodes:
        if isinstance(node, exp.Select) and not node.expressions and not isinstance(node.parent, exp.Exists):
            yield node, Problem("syntax", "SELECT", "This SELECT asks for nothing: name the columns after SELECT.")
        elif isinstance(node, exp.SetOperation):
            yield from _ordered_side(node, dialect)
        elif isinstance(node, exp.Subquery) and record.named_subqueries:
            in_from = isinstance(node.parent, (exp.From, exp.Join)) and node.arg_key == "this"
            if in_from and not node.alias and isinstance(node.this, exp.Query):
                yield node, Problem("syntax", "", "This subquery in FROM needs a name: write (SELECT …) AS t.")
        elif isinstance(node, exp.In) and not record.limit_in_in:
            yield from _limit_inside_in(node)
        elif isinstance(node, exp.Identifier) and record.reserved:
            yield from _reserved(node, dialect)


def _ordered_side(node: exp.SetOperation, dialect: str) -> Iterator[tuple[exp.Expr, Problem]]:
    """ORDER BY and LIMIT before UNION need brackets around their SELECT."""
    # SQLite has no such brackets and says so itself; well-known sets of questions and answers hold such queries.
    side = node.this
    word = "ORDER BY" if side.args.get("order") else "LIMIT" if side.args.get("limit") else ""
    if word and isinstance(side, exp.Select) and not dialect_of(dialect).ordered_sides:
        kind = type(node).__name__.upper()
        message = f"{word} stands before {kind}: put it at the end, or that SELECT in a subquery."
        yield node, Problem("syntax", word, message)


def _limit_inside_in(node: exp.In) -> Iterator[tuple[exp.Expr, Problem]]:
    """MySQL and MariaDB do not take LIMIT in the subquery of IN."""
    query = node.args.get("query")
    inner = query.this if isinstance(query, exp.Subquery) else query
    if isinstance(inner, exp.Select) and inner.args.get("limit"):
        message = "MySQL takes no LIMIT inside IN (…): join the subquery, or put it in one more SELECT * FROM (…) AS t."
        yield inner, Problem("syntax", "LIMIT", message)


def _reserved(node: exp.Identifier, dialect: str) -> Iterator[tuple[exp.Expr, Problem]]:
    """A reserved word as the name of a table or a bare column."""
    around = node.parent
    is_name = node.arg_key == "this" and not node.args.get("quoted")
    is_name &= not around.db if isinstance(around, exp.Table) else isinstance(around, exp.Column) and not around.table
    if is_name and node.name.lower() in dialect_of(dialect).reserved:
        written = always_quoted(node.name, dialect)
        message = f"{node.name} is a reserved word of {functions(dialect).title}: as a name write {written}."
        yield node, Problem("syntax", node.name, message, (written,))


# From here on a function's name is suggested: a looser measure offers unrelated ones.
_ALIKE = 0.8


def unknown_functions(
    lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str, own: Iterable[str] = ()
) -> Iterator[tuple[int, Problem]]:
    """Functions that do not exist in the dialect and are not the user's ``own``, with where they stand."""
    known = functions(dialect)
    mine = {name.casefold() for name in own}
    for call in calls(lexed, nodes, dialect):
        if (name := call.path[-1].lower()) in dialect_of(dialect).parts_like_calls:
            continue
        full = ".".join(call.path).lower()
        if name in known.absent:
            message = f"There is no function {call.path[-1]} in {known.title}: {known.absent[name]}."
            yield call.start, Problem("function", call.path[-1], message)
            continue
        exists = known.exists(full) or known.exists(name) or name.upper() in TYPES or {full, name} & mine
        if known.complete and not exists:
            yield call.start, _unknown(call.path[-1], known)


def _unknown(name: str, known: Functions) -> Problem:
    from rsql_magic.sql.validate.hints import nearest  # most queries need no hint

    near = nearest(name.lower(), sorted(known.allowed), least=_ALIKE)
    said = f" Did you mean {' or '.join(near)}?" if near else " Use a built-in function."
    return Problem("function", name, f"There is no function {name} in {known.title}.{said}", tuple(near))


# Functions that are aggregates in every dialect.
_SPREADS = (exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop)
_CERTAIN = (exp.Avg, exp.Count, exp.CountIf, exp.GroupConcat, exp.Max, exp.Median, exp.Min, exp.Sum, *_SPREADS)
# Nodes that sqlglot puts around an aggregate and that belong to it.
_WRAPPERS = (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)


def misused_aggregates(resolution: Resolution, text: str, dialect: str) -> Iterator[tuple[exp.Expr, Problem]]:
    """Problems with aggregates and GROUP BY, with the node each is at."""
    for select, scope in resolution.selects:
        yield from _Grouping(select, scope, resolution, text, dialect).problems()


class _Grouping:
    """GROUP BY and the aggregates of one SELECT."""

    def __init__(self, select: exp.Select, scope: Scope, resolution: Resolution, text: str, dialect: str) -> None:
        self.select, self.scope, self.columns = select, scope, resolution.columns
        self.text, self.dialect = text, dialect_of(dialect)

    def problems(self) -> Iterator[tuple[exp.Expr, Problem]]:
        # An aggregate in WHERE makes the others of its SELECT look bare, so nothing more is said then.
        misplaced = list(self.in_conditions())
        yield from misplaced
        yield from self.inside_each_other()
        if self.dialect.strict_groups and not misplaced:
            yield from self.bare_columns()
        if self.dialect.strict_having:
            yield from self.bare_in_having()
        if self.dialect.strict_distinct:
            yield from self.order_of_distinct()

    def in_conditions(self) -> Iterator[tuple[exp.Expr, Problem]]:
        """Aggregates in WHERE, ON and GROUP BY."""
        places = [("WHERE", self.select.args.get("where")), ("GROUP BY", self.select.args.get("group"))]
        places += [("ON", join.args.get("on")) for join in self.select.args.get("joins") or ()]
        for clause, place in places:
            for node in _own_nodes(place):
                if self._is_aggregate(node) and self._is_own(node):
                    hint = "use HAVING, or a subquery" if clause == "WHERE" else "use a subquery"
                    call = written_call(node, self.text)
                    yield node, Problem("aggregate", call, f"{call} may not stand in {clause}: {hint}.")

    def inside_each_other(self) -> Iterator[tuple[exp.Expr, Problem]]:
        if self.dialect.nested_aggregates:
            return
        parts = [*self.select.expressions, self.select.args.get("having"), self.select.args.get("order")]
        for outer in (node for part in parts for node in _own_nodes(part)):
            if not self._is_aggregate(outer) or _is_windowed(outer):
                continue
            inner = next((n for n in _own_nodes(outer) if n is not outer and self._is_aggregate(n)), None)
            if inner is not None and self._is_own(inner):
                call = written_call(outer, self.text)
                what = f"{written_call(inner, self.text)} stands inside {call}"
                yield outer, Problem("aggregate", call, f"{what}: aggregate once in a subquery, then again.")

    def bare_columns(self) -> Iterator[tuple[exp.Expr, Problem]]:
        """Columns that are neither grouped nor aggregated, where something is."""
        group = self.select.args.get("group")
        if (group is not None and (group.args.get("all") or group.args.get("totals"))) or not self._aggregates():
            return
        keys = self._keys(group)
        seen: set[tuple[int, str]] = set()
        for node in self._ungrouped(keys):
            at = self._at(node)
            if at is not None and at not in seen and not self._depends_on_key(self.columns[id(node)][0], keys):
                seen.add(at)
                yield node, _bare(node)

    def bare_in_having(self) -> Iterator[tuple[exp.Expr, Problem]]:
        """MySQL's HAVING sees what is selected, grouped or aggregated."""
        having, group = self.select.args.get("having"), self.select.args.get("group")
        if having is None or self.select.is_star:
            return
        shown = {self._at(p.unalias()) for p in self.select.expressions}
        shown |= {self._at(g) for g in (group.expressions if group is not None else ())}
        for node in self._outside_aggregates(having, frozenset()):
            if isinstance(node, exp.Column) and (at := self._at(node)) is not None and at not in shown:
                yield node, _bare(node)

    def order_of_distinct(self) -> Iterator[tuple[exp.Expr, Problem]]:
        """ORDER BY something that SELECT DISTINCT does not select."""
        distinct, order = self.select.args.get("distinct"), self.select.args.get("order")
        if distinct is None or distinct.args.get("on") or order is None:
            return
        if any(projection.is_star for projection in self.select.expressions):
            return
        selected = {self._signature(p.unalias()) for p in self.select.expressions}
        for ordered in order.expressions:
            node = ordered.this
            is_named = isinstance(node, exp.Literal) or (isinstance(node, exp.Column) and self._is_alias(node))
            if not is_named and self._signature(node) not in selected:
                text = written_call(node, self.text)
                message = f"{text} is not selected, and DISTINCT can only be ordered by what is: select it too."
                yield node, Problem("aggregate", text, message)

    def _aggregates(self) -> bool:
        if self.select.args.get("group") is not None:
            return True
        parts = [*self.select.expressions, self.select.args.get("having")]
        return any(self._is_aggregate(n) and not _is_windowed(n) for part in parts for n in _own_nodes(part))

    def _ungrouped(self, keys: frozenset[object]) -> Iterator[exp.Column]:
        having, qualify, order = (self.select.args.get(part) for part in ("having", "qualify", "order"))
        for part in (*self.select.expressions, having, qualify, order):
            sees_aliases = part is not None and (part is having or part is order)
            for node in self._outside_aggregates(part, keys):
                if isinstance(node, exp.Column) and not (sees_aliases and self._is_alias(node)):
                    yield node

    def _outside_aggregates(self, part: exp.Expr | None, keys: frozenset[object]) -> Iterator[exp.Expr]:
        """Nodes below a part that stand in no aggregate, no grouped expression, and no query of their own."""
        stack = [part] if part is not None else []
        while stack:
            node = stack.pop()
            if isinstance(node, exp.Query) or _keeps(node) or (keys and self._signature(node) in keys):
                continue
            if (isinstance(node, _WRAPPERS) or self._is_aggregate(node, any_kind=True)) and not _is_windowed(node):
                continue
            yield node
            stack.extend(node.iter_expressions())

    def _keys(self, group: exp.Expr | None) -> frozenset[object]:
        """What is grouped, as signatures: columns, expressions, and what a position or an alias stands for."""
        keys: set[object] = set()
        for node in _group_expressions(group):
            keys.add(self._signature(node))
            if isinstance(node, exp.Literal) and node.is_int and 0 < int(node.name) <= len(self.select.expressions):
                keys.add(self._signature(self.select.expressions[int(node.name) - 1].unalias()))
            named = self.scope.aliases.get(node.name.casefold()) if isinstance(node, exp.Column) else None
            if named is not None:
                keys.add(self._signature(named.unalias()))
        return frozenset(keys)

    def _signature(self, node: object) -> object:
        """A node as a value: equal for equal expressions, however their columns are qualified."""
        if isinstance(node, exp.Column):
            return self._at(node) or ("column", node.table.casefold(), node.name.casefold())
        if isinstance(node, exp.Paren):
            return self._signature(node.this)
        if isinstance(node, exp.Expr):
            values = (value for value in node.args.values() if value not in (None, False, []))
            return type(node), *map(self._signature, values)
        if isinstance(node, list):
            return tuple(self._signature(item) for item in node)
        return node.casefold() if isinstance(node, str) else node

    def _at(self, node: exp.Expr) -> tuple[int, str] | None:
        """The relation and name of a column of this SELECT's own tables."""
        found = self.columns.get(id(node))
        if found is None or not any(found[0] is relation for relation in self.scope.relations):
            return None
        return id(found[0]), found[1]

    def _depends_on_key(self, relation: Relation, keys: frozenset[object]) -> bool:
        """True when the grouped columns may hold the primary key of the column's table."""
        if not self.dialect.groups_by_key or relation.table is None:
            return False
        grouped = {key[1] for key in keys if isinstance(key, tuple) and len(key) == 2 and key[0] == id(relation)}
        primary = {name.casefold() for name in relation.table.primary_key}
        return bool(grouped) if not primary else primary <= {str(name).casefold() for name in grouped}

    def _is_alias(self, node: exp.Column) -> bool:
        return not node.table and node.name.casefold() in {name.casefold() for name in self.scope.aliases}

    def _is_aggregate(self, node: exp.Expr, *, any_kind: bool = False) -> bool:
        if isinstance(node, (exp.Max, exp.Min)) and node.expressions:  # DuckDB's and Trino's max(a, n): the n greatest
            return any_kind and not self.dialect.scalar_max
        return isinstance(node, (exp.AggFunc, exp.Anonymous, exp.Any) if any_kind else _CERTAIN)

    def _is_own(self, node: exp.Expr) -> bool:
        """True when an aggregate goes over this SELECT's rows, not over those of a query around it."""
        found = [self.columns.get(id(column)) for column in node.find_all(exp.Column)]
        return all(f is not None and any(f[0] is r for r in self.scope.relations) for f in found)


def _own_nodes(part: exp.Expr | None) -> Iterator[exp.Expr]:
    """The nodes below a part that belong to no query of their own."""
    stack = [part] if part is not None else []
    while stack:
        if not isinstance(node := stack.pop(), exp.Query):
            yield node
            stack.extend(node.iter_expressions())


def _group_expressions(group: exp.Expr | None) -> Iterator[exp.Expr]:
    """The expressions of GROUP BY, also those of ROLLUP, CUBE and GROUPING SETS."""
    if group is None:
        return
    stack = list(group.iter_expressions())
    while stack:
        if isinstance(node := stack.pop(), (exp.Cube, exp.GroupingSets, exp.Rollup, exp.Tuple, exp.Paren)):
            stack.extend(node.iter_expressions())
        else:
            yield node


def _is_windowed(node: exp.Expr) -> bool:
    """True for the function of ``f(…) OVER (…)``."""
    at: exp.Expr = node
    while isinstance(at.parent, _WRAPPERS):
        at = at.parent
    return isinstance(at.parent, exp.Window) and at.arg_key == "this" and not _keeps(at.parent)


def _keeps(node: exp.Expr) -> bool:
    """True for Oracle's ``max(a) KEEP (DENSE_RANK LAST ORDER BY b)``, an aggregate that the tree holds as a window."""
    return isinstance(node, exp.Window) and node.args.get("over") == "KEEP"


def _bare(node: exp.Column) -> Problem:
    name = ".".join(part.name for part in node.parts)
    message = f"{name} is neither grouped nor aggregated: add it to GROUP BY, or write max({name})."
    return Problem("aggregate", name, message, (f"max({name})",))
