"""What in a query goes against the dictionary: an id summed, a metric computed otherwise, a hidden column shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.autofix.broken_query import Fix
from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, own_tree, parse
from rsql_magic.sql.layout import laid_out
from rsql_magic.sql.lineage_values import restricted_origins
from rsql_magic.sql.metrics.dimensions import MetricLimits, keys_of
from rsql_magic.sql.metrics.expand import expand
from rsql_magic.sql.metrics.figures import FigureReader
from rsql_magic.sql.metrics.flat import flat
from rsql_magic.sql.metrics.inlining import Inlined, call_of, conjuncts, is_link
from rsql_magic.sql.metrics.named import named_metrics, refused_metrics
from rsql_magic.sql.metrics.paths import NotByDefinition, Paths
from rsql_magic.sql.metrics.restricted import RestrictedOutputs, figures_of, mark_owners, marked_owner
from rsql_magic.sql.validate.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Catalog, Column, Table
    from rsql_magic.sql.definitions import Definition
    from rsql_magic.sql.metrics.figures import Figure
    from rsql_magic.sql.validate import Relation, Resolution, Scope

_ADDED = (exp.Sum, exp.Avg, exp.Median, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop)
_WHOLE_TYPE = re.compile(r"\bU?(?:TINY|SMALL|MEDIUM|BIG|HUGE)?INT")
_REPEATED = (exp.Sum, exp.Avg, exp.Count)


class Breach(NamedTuple):
    """Something that goes against a definition."""

    message: str  # One sentence or two, for a model and a person alike
    is_final: bool = False  # Whether the query must not run, however often it is written


class Findings(NamedTuple):
    """What was found in a query."""

    breaches: tuple[Breach, ...] = ()
    computes: tuple[Definition, ...] = ()  # The metrics that it computes by their definition
    only: Mapping[str, tuple[str, ...]] = {}  # By their names, what chooses among their rows and groups besides, as SQL
    is_unread: bool = False  # Whether figures of it are computed in a way that cannot be held against a definition


def without_restricted(sql: str, dialect: str, catalog: Catalog) -> Fix | None:
    """A query without the restricted columns that it shows; None where nothing else would be left.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Meaning, Table
        >>> mail = Column("mail", "TEXT", meaning=Meaning(restricted=True))
        >>> catalog = Catalog((Table("people", (Column("city", "TEXT"), mail)),), "duckdb")
        >>> without_restricted("SELECT * FROM people", "duckdb", catalog).changes
        ('people.mail is left out, as it is restricted',)
    """
    try:
        text = lex(sql, dialect := canonical(dialect)).text
        tree = own_tree(text, dialect)
        outputs = RestrictedOutputs(resolve(tree, text, dialect, catalog), tree, catalog)
        made = outputs.without()
    except (Unreadable, RecursionError):
        return None
    if made is None:
        return None
    said = tuple(f"{table}.{column.name} is left out, as it is restricted" for table, column in outputs.restricted())
    return Fix(laid_out(made, dialect), said)


def findings(sql: str, dialect: str, catalog: Catalog, question: str = "") -> Findings:
    """What a query without problems computes by definition, and where it goes against one.

    Example:
        >>> from dataclasses import replace
        >>> from rsql_magic.sql import Catalog, Column, Meaning, Table
        >>> sku = Column("sku", "INTEGER", meaning=Meaning("id", source="data-dict.yaml, line 4"))
        >>> catalog = Catalog((Table("items", (sku,)),), "duckdb")
        >>> findings("SELECT SUM(sku) FROM items", "duckdb", catalog).breaches[0].message
        'items.sku is an id (data-dict.yaml, line 4): adding up its values means nothing. COUNT(*) counts rows.'
    """
    if not catalog.is_described:
        return Findings()
    try:
        text = lex(sql, dialect := canonical(dialect)).text
        tree = parse(text, dialect)
        whole = _Query(tree, resolve(tree, text, dialect, catalog), catalog, question)
        merged = flat(own_tree(text, dialect), dialect, catalog) if catalog.definitions.metrics else None
        if merged is not None:
            text = merged.sql(dialect=dialect)
            merged = parse(text, dialect)
        read = _Query(merged, resolve(merged, text, dialect, catalog), catalog, question) if merged else whole
        found = [*read.of_metrics(), *whole.of_columns(fanned_out=not read.computed)]
        return Findings(tuple(dict.fromkeys(found)), tuple(read.computed.values()), read.only(dialect), read.is_unread)
    except (Unreadable, RecursionError):
        if not restricted_origins(catalog):
            return Findings()
        said = "This cannot be followed, and restricted columns are in reach. Write it in a simpler way."
        return Findings((Breach(said, is_final=True),))


def by_definition(sql: str, dialect: str, catalog: Catalog, question: str) -> Fix | None:
    """A query with the metric that its question names in place of its only figure; None where that is not so plain.

    The change is certain where only conditions of the definition are missing, else a proposal.

    Example:
        >>> from dataclasses import replace
        >>> from rsql_magic.sql import Catalog, Definition, Definitions
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (amount INT, status INT)", "duckdb")
        >>> revenue = Definition("revenue", "metric", "SUM(amount)", "orders", where=("status <> 3",))
        >>> shop = replace(shop, definitions=Definitions((revenue,)))
        >>> print(by_definition("SELECT SUM(amount) FROM orders", "duckdb", shop, "What is the revenue?").sql)
        SELECT SUM(amount) AS revenue
        FROM orders
        WHERE status <> 3
    """
    try:
        text = lex(sql, dialect := canonical(dialect)).text
        tree = own_tree(text, dialect)
        resolution = resolve(tree, text, dialect, catalog)
    except (Unreadable, RecursionError):
        return None
    query = _Query(tree, resolution, catalog, question)
    list(query.of_metrics())
    wanted = [one for one in named_metrics(question, catalog) if one.name not in query.computed]
    if len(wanted) != 1 or not isinstance(tree, exp.Select) or len(resolution.selects) != 1:
        return None
    [one] = wanted
    outputs = [output.unalias() for output in tree.expressions if output.find(exp.AggFunc)]
    if len(outputs) != 1:
        return None
    figures, home = list(query.figures(*resolution.selects[0])), figures_of(catalog).get(one.name)
    is_certain = home is not None and any(figure.resembles(home) for figure in figures)
    said = outputs[0].sql()
    for node in [each for each in tree.walk() if each.sql() == said]:
        node.replace(call_of(one))
    made = expand(tree.sql(dialect=dialect), dialect, catalog)
    return None if made.problem else Fix(made.sql, (f"{one.name} by its definition",), restructured=not is_certain)


@dataclass
class _Query:
    """One query, resolved."""

    tree: exp.Expr
    resolution: Resolution
    catalog: Catalog
    question: str
    computed: dict[str, Definition] = field(default_factory=dict)
    _only: dict[str, list[exp.Expr]] = field(default_factory=dict)  # for each, the conditions besides its own
    # For each SELECT that computes a metric by its definition, the metric's table, and what groups and chooses rows
    _told_by: dict[int, tuple[Table, list[exp.Expr]]] = field(default_factory=dict)

    def of_metrics(self) -> Iterator[Breach]:
        """What goes against the definition of a metric."""
        resembling: dict[str, Definition] = {}
        for select, scope in self.resolution.selects:
            yield from self._compare(select, scope, resembling)
        yield from self._left_out(resembling)
        yield from self._cut_off()

    def only(self, dialect: str) -> dict[str, tuple[str, ...]]:
        """Conditions besides the definitions' own, HAVING and LIMIT, for each metric that it computes."""
        found: dict[str, tuple[str, ...]] = {}
        selects, names = list(self.tree.find_all(exp.Select)), ("having", "qualify", "limit", "offset")
        clauses = [part for one in selects for name in names if (part := one.args.get(name)) is not None]
        for one in self.computed.values():
            parts = self._parts(one) or [one.name]
            conditions = [node for name in parts for node in self._only.get(name, ())]
            said = (" ".join(node.sql(dialect=dialect).split()) for node in (*conditions, *clauses))
            found[one.name] = tuple(dict.fromkeys(said))
        return found

    def _cut_off(self) -> Iterator[Breach]:
        """Quotients of whole numbers that lose their fraction, where a metric that the query computes is a quotient."""
        if not any(
            "/" in one.expression for one in (*self.computed.values(), *named_metrics(self.question, self.catalog))
        ):
            return
        for division in self.tree.find_all(exp.Div):
            if division.args.get("typed") and all(map(self._is_whole, (division.this, division.expression))):
                self.computed = {name: one for name, one in self.computed.items() if "/" not in one.expression}
                said = "divides whole numbers and loses the fraction"
                yield Breach(f"{division.sql(dialect=self.catalog.dialect)} {said}: multiply by 1.0 first.")
                return

    def _is_whole(self, node: exp.Expr) -> bool:
        """Whether a value is certainly a whole number."""
        node = node.unnest()
        parts: list[exp.Expr | None] = []
        if isinstance(node, exp.Select) and len(node.expressions) == 1:
            parts = [node.expressions[0].unalias()]
        elif isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
            parts = [node.this, node.expression]
        elif isinstance(node, (exp.Sum, exp.Min, exp.Max, exp.Nullif, exp.Filter, exp.Coalesce, exp.Neg)):
            parts = [node.this, *([] if isinstance(node, exp.Filter) else node.expressions)]
        elif isinstance(node, exp.Case):
            parts = [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")]
        if parts:
            return all(self._is_whole(part) for part in parts if part is not None)
        if isinstance(node, exp.Cast):
            return bool(node.to.is_type(*exp.DataType.INTEGER_TYPES))
        known = self._column(node) if isinstance(node, exp.Column) else None
        is_whole = known is not None and _WHOLE_TYPE.search(known[1].type.upper()) is not None
        return is_whole or isinstance(node, exp.Count) or (isinstance(node, exp.Literal) and node.is_int)

    def of_columns(self, *, fanned_out: bool) -> Iterator[Breach]:
        """What goes against the meaning of a column, sums of rows that come several times among it."""
        for select, scope in self.resolution.selects:
            yield from self._added_up(select)
            if fanned_out:
                yield from self._fanned_out(select, scope)
        yield from self._shown()

    @property
    def is_unread(self) -> bool:
        """Whether a SELECT does more with another one's rows than to show them in an order."""
        return any(
            any(relation.table is None for relation in scope.relations)
            and (len(scope.relations) > 1 or any(select.args.get(part) for part in _CHANGING) or _adds(select))
            for select, scope in self.resolution.selects
        )

    # Ids and ordinals

    def _added_up(self, select: exp.Select) -> Iterator[Breach]:
        for call in select.find_all(*_ADDED):
            if call.find_ancestor(exp.Select) is not select:
                continue
            for column in _valued(call.this):
                known = self._column(column)
                if known is None or known[1].meaning is None or known[1].meaning.measure not in {"id", "ordinal"}:
                    continue
                table, one = known
                meaning = one.meaning
                kind = "an id" if meaning and meaning.measure == "id" else "an ordinal"
                where = f" ({meaning.source})" if meaning and meaning.source else ""
                instead = " COUNT(*) counts rows." if kind == "an id" else " Its order counts: MIN, MAX or GROUP BY it."
                name = f"{table.full_name}.{one.name}"
                yield Breach(f"{name} is {kind}{where}: adding up its values means nothing.{instead}")

    def _column(self, column: exp.Column) -> tuple[Table, Column] | None:
        found = self.resolution.columns.get(id(column))
        table = found[0].table if found else None
        one = table.column(found[1]) if table and found else None
        return (table, one) if table and one else None

    # Metrics

    def __post_init__(self) -> None:
        mark_owners(self.tree, self.resolution)

    def figures(self, select: exp.Select, scope: Scope) -> Iterator[Figure]:
        """The figures that a SELECT over tables shows, sorts by or filters by."""
        yield from self._read(select, scope)[0]

    def _read(self, select: exp.Select, scope: Scope) -> tuple[list[Figure], Mapping[str, list[exp.Expr]]]:
        """The figures of a SELECT, and the conditions of their rows by their form."""
        if not scope.relations or any(relation.table is None for relation in scope.relations):
            return [], {}
        reader = FigureReader(self.catalog, marked_owner, _conditions(select))
        parts = [*select.expressions, *(p for c in ("having", "order", "qualify") if (p := select.args.get(c)))]
        return [reader.read(node) for part in parts for node in _topmost_figures(part)], reader.written

    def _compare(self, select: exp.Select, scope: Scope, resembling: dict[str, Definition]) -> Iterator[Breach]:
        """Tell metrics from what is one but for the conditions; what a metric must not be told by."""
        figures, conditions = self._read(select, scope)
        for metric, definition in self._definitions.items():
            one = self.catalog.definitions.metric(metric)
            if one is None:
                continue
            same = [figure for figure in figures if figure.computes(definition)]
            once = same and all(leaf.counts_once for figure in same for leaf in figure.leaves)
            if same and (once or self._keeps_rows(select, scope, one.table)):
                self.computed[one.name] = one
                more = set().union(*(figure.beside(definition) for figure in same))
                chosen = [node for text in sorted(more) for node in conditions.get(text, ())]
                self._only.setdefault(one.name, []).extend(chosen)
                told_by = [*keys_of(select), *chosen]
                self._told_by[id(select)] = (self.catalog[one.table], told_by)
                yield from self._beyond(one, *self._told_by[id(select)])
            elif any(figure.resembles(definition) for figure in figures):
                resembling[one.name] = one

    def _beyond(self, one: Definition, home: Table, told_by: Sequence[exp.Expr]) -> Iterator[Breach]:
        yield from map(Breach, MetricLimits.of(one, home, self.catalog).beyond(told_by, marked_owner))

    @property
    def _definitions(self) -> Mapping[str, Figure]:
        return figures_of(self.catalog)

    def _left_out(self, resembling: Mapping[str, Definition]) -> Iterator[Breach]:
        """Metrics that the question names and no SELECT computes."""
        unread = {name for name, _ in refused_metrics(self.question, self.catalog)}
        for one in named_metrics(self.question, self.catalog):
            if one.name in self.computed or one.name in unread:
                continue
            if self._is_composed(one):
                for home, told_by in self._told_by.values():
                    yield from self._beyond(one, home, told_by)
                continue
            if self.is_unread:  # it may be computed there: what cannot be shown to be wrong stays
                continue
            where = f" ({one.source})" if one.source else ""
            is_near = one.name in resembling and one.where
            how = f" It leaves out the condition {_listed(one.where)}." if is_near else ""
            yield Breach(f"This does not compute {one.name} by its definition{where}.{how} Write {one.calls}.")

    def _is_composed(self, one: Definition) -> bool:
        """Whether a metric of other metrics may be computed here, as all of these are."""
        calls = self._parts(one)
        if calls and all(name in self.computed for name in calls):
            self.computed[one.name] = one
            return True
        return False

    def _parts(self, one: Definition) -> list[str]:
        """The names of the metrics that one of metrics is made of."""
        if one.table:
            return []
        try:
            composed = Inlined.of(self.catalog).composed(one)
        except NotByDefinition:
            return []
        return [call.expressions[0].name for call in composed.find_all(exp.Anonymous)]

    # Rows that come several times

    def _keeps_rows(self, select: exp.Select, scope: Scope, home: str) -> bool:
        """Whether every join is along a key that repeats no row of a table."""
        own = next((r for r in scope.relations if r.table and _is(r.table, home)), None)
        if own is None:
            return False
        joins = _Joined(scope.relations, list(_equal_columns(select, scope, self.resolution)), Paths.of(self.catalog))
        return len(joins.looked_up(own)) == len(scope.relations)

    def _fanned_out(self, select: exp.Select, scope: Scope) -> Iterator[Breach]:
        """Sums and counts over a described table whose rows a join is known to repeat."""
        if len(scope.relations) < 2:
            return
        joins = _Joined(scope.relations, list(_equal_columns(select, scope, self.resolution)), Paths.of(self.catalog))
        for call in select.find_all(*_REPEATED):
            if call.find_ancestor(exp.Select) is not select or isinstance(call.this, exp.Distinct):
                continue
            owners = {id(f[0]): f[0] for c in call.find_all(exp.Column) if (f := self.resolution.columns.get(id(c)))}
            known = [c for c in _valued(call.this) if (k := self._column(c)) and k[1].meaning]
            if len(owners) != 1 or not known:
                continue
            [one] = owners.values()
            if (by := joins.repeating(one)) is not None:
                said = f"{call.sql()} adds up a row of {one.name} once for each matching row of {by.name}."
                yield Breach(f"{said} Compute it before the join, or without {by.name}.")

    # What must not be shown

    def _shown(self) -> Iterator[Breach]:
        if not any(c.meaning and c.meaning.restricted for t in self.catalog for c in t.columns):
            return
        for table, column in RestrictedOutputs(self.resolution, self.tree, self.catalog, self.question).restricted():
            meaning = column.meaning
            where = f" ({meaning.source})" if meaning and meaning.source else ""
            name = f"{table}.{column.name}"
            said = (
                f"{name} is restricted{where} and must not be shown, nor told by comparisons or by which rows come out."
            )
            said = f"{said} Leave it out, or count its values."
            yield Breach(said, is_final=True)


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    """What the rows of a SELECT must meet, in WHERE and in inner joins."""
    if (where := select.args.get("where")) is not None:
        yield where.this
    for join in select.args.get("joins") or ():
        if join.args.get("on") is not None and not join.side:
            yield from (part for part in conjuncts(join.args["on"]) if not is_link(part))


class _Joined(NamedTuple):
    """The relations of a SELECT with the columns that are equal: two relations, and a name of each."""

    relations: Sequence[Relation]
    links: Sequence[tuple[Relation, Relation, tuple[str, str]]]
    paths: Paths

    def _steps(self, one: Relation, other: Relation) -> bool:
        """Whether a row of one relation finds at most one of the other."""
        if one.table is None or other.table is None:
            return False
        pairs = {pair for here, there, pair in self.links if here is one and there is other}
        wanted = other.table.full_name
        return any(
            step.table == wanted and {(a.casefold(), b.casefold()) for a, b in step.pairs} <= pairs
            for step in self.paths.from_table(one.table.full_name)
        )

    def looked_up(self, one: Relation) -> list[Relation]:
        """A relation with those of which each of its rows finds at most one."""
        found = [one]
        for at in found:
            found += [o for o in self.relations if all(o is not each for each in found) and self._steps(at, o)]
        return found

    def repeating(self, one: Relation) -> Relation | None:
        """A relation of which the keys say that several rows belong to one row of another."""
        found = self.looked_up(one)
        others = (o for o in self.relations if all(o is not each for each in found))
        return next((other for other in others if any(self._steps(other, at) for at in found)), None)


def _is(table: Table, name: str) -> bool:
    return name.casefold() in {table.full_name.casefold(), table.name.casefold()}


def _listed(conditions: Sequence[str]) -> str:
    return " and ".join(conditions)


def _equal_columns(
    select: exp.Select, scope: Scope, resolution: Resolution
) -> Iterator[tuple[Relation, Relation, tuple[str, str]]]:
    """Pairs of relations with columns that the SELECT says to be equal, seen from both."""
    for equal in select.find_all(exp.EQ):
        one, other = (resolution.columns.get(id(side)) for side in (equal.this, equal.expression))
        if one and other and one[0] is not other[0]:
            yield one[0], other[0], (one[1].casefold(), other[1].casefold())
            yield other[0], one[0], (other[1].casefold(), one[1].casefold())
    using = {name.name.casefold() for join in select.args.get("joins") or () for name in join.args.get("using") or ()}
    for name in using:
        having = [one for one in scope.relations if one.table and one.table.column(name)]
        yield from ((one, other, (name, name)) for one, other in permutations(having, 2))


def _valued(node: exp.Expr | None) -> Iterator[exp.Column]:
    """The columns whose values an aggregate adds up, without those that only choose rows."""
    if node is None:
        return
    if isinstance(node, exp.Column):
        yield node
    elif isinstance(node, exp.Case):
        for branch in (*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")):
            yield from _valued(branch)
    elif isinstance(node, exp.If):
        yield from _valued(node.args.get("true"))
        yield from _valued(node.args.get("false"))
    elif isinstance(node, exp.Distinct):
        for one in node.expressions:
            yield from _valued(one)
    elif isinstance(node, (exp.Paren, exp.Neg, exp.Cast, exp.TryCast, exp.Round, exp.Abs, exp.Coalesce)):
        yield from _valued(node.this)
    elif isinstance(node, (exp.Add, exp.Sub, exp.Mul, exp.Div)):
        yield from _valued(node.this)
        yield from _valued(node.expression)


def _runs(node: exp.Expr) -> bool:
    return isinstance(node, exp.Window) and bool(node.args.get("order") or node.args.get("spec"))


_CHANGING = ("where", "group", "having", "qualify", "distinct")
_AROUND = (
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Paren, exp.Nullif, exp.Coalesce, exp.Cast, exp.Round, exp.Window,
)  # fmt: skip


def _adds(select: exp.Select) -> bool:
    return any(one.find_ancestor(exp.Select) is select for one in select.find_all(exp.AggFunc))


def _topmost_figures(node: exp.Expr) -> Iterator[exp.Expr]:
    """The aggregates of a part, and the expressions around them that may be a metric."""
    for one in node.find_all(exp.AggFunc, exp.Filter):
        if (window := one.find_ancestor(exp.Window, exp.Select)) is not None and _runs(window):
            continue  # a running total, or the figure of another row
        at: exp.Expr | None = one if not isinstance(one.parent, exp.Filter) else None
        while at is not None:
            yield at
            at = at.parent if isinstance(at.parent, _AROUND) else None
