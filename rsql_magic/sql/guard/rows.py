"""How many rows a query makes on the way: joins without a condition multiply, recursion without an end goes on."""

# The estimate is made from the text alone. It is coarse on purpose: tables joined by a condition count as the larger
# of them, tables without one multiply, and only what goes far beyond a large warehouse is refused.

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import written
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.guard.size import MAX_ROWS, is_exact, made_rows, magnitude, refuse_growth, text_length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rsql_magic.sql.catalog import Catalog

# Most rows that joins may make before anything is filtered or counted.
MAX_PRODUCT = 1e11
# Most characters in all rows together.
MAX_ALL_TEXT = 1e12
# Most characters that ``string_agg`` and the like may put into one value.
MAX_COLLECTED = 1e9
# What a table of unknown size counts as: two may be crossed, three may not.
TABLE_ROWS = 1e4
# What a table counts as at least: it may have grown since its rows were counted.
_LEAST_ROWS = 1e3
# What a condition that is no equality (``a.x < b.x``) is taken to keep.
_WEAK = 1e-2


class _Source(NamedTuple):
    name: str
    rows: float
    reads: frozenset[str]
    made: bool = False


def refuse_endless(tree: exp.Expr, text: str, dialect: str, catalog: Catalog | None) -> None:
    """Refuse a query that would make far too many rows, or recurse without an end."""
    _Estimate(text, dialect, catalog).rows(tree, {})


@dataclass(frozen=True)
class _Estimate:
    text: str
    dialect: str
    catalog: Catalog | None

    def rows(self, node: exp.Expr, ctes: Mapping[str, float]) -> float:
        """About how many rows a query gives; refuses on the way."""
        ctes = self.with_(node, ctes)
        if isinstance(node, exp.Select):
            return self.select(node, ctes)
        if isinstance(node, exp.SetOperation):
            return self.limited(node, sum(self.rows(side, ctes) for side in _sides(node)))
        if isinstance(node, exp.Subquery):
            return self.limited(node, self.source_rows(node.this, ctes))
        if isinstance(node, exp.Values):
            return float(len(node.expressions))
        # DuckDB's PIVOT statement gives no more rows than it reads.
        if isinstance(node, exp.Pivot):
            return self.source_rows(node.this, ctes)
        return 1.0

    def with_(self, node: exp.Expr, ctes: Mapping[str, float]) -> Mapping[str, float]:
        if (with_ := node.args.get("with_")) is None:
            return ctes
        seen = dict(ctes)
        for cte in with_.expressions:
            name = cte.alias.casefold()
            if members := recursive_members(cte):
                self._refuse_unbounded(cte, members, node)
                seen[name] = TABLE_ROWS  # while its own parts are estimated, which read it
            seen[name] = max(self.rows(cte.this, seen), max((_turns(m, cte) for m in members), default=0.0))
        return seen

    def select(self, node: exp.Select, ctes: Mapping[str, float]) -> float:
        sources = list(self.sources(node, ctes))
        self._inner_queries(node, ctes)
        self._refuse_endless_levels(node)
        calls = (call for projection in node.expressions for call in projection.find_all(exp.Func))
        product = _joined(sources, list(_conditions(node)))
        product *= max((made_rows(call, self.dialect) or 1.0 for call in calls), default=1.0)
        # Engines stop a plain join at its LIMIT; one that sorts or groups has to make all rows first.
        lazy = node.args.get("limit") is not None and not _needs_all(node)
        if product > MAX_PRODUCT and not lazy:
            about = f"about 10^{math.log10(product):.0f}" if product < math.inf else "endlessly many"
            parts = ", ".join(source.name for source in sources if source.name) or "its parts"
            reason = f"This would make {about} rows: {parts} are joined without a condition."
            hint = "Say how the tables join: ON a.key = b.key."
            raise QueryRejected.slip(reason, written(node, self.text), hint)
        self._refuse_long_texts(node, product)
        if _is_one_row(node):
            return 1.0
        return self.limited(node, product)

    def _refuse_long_texts(self, node: exp.Select, rows: float) -> None:
        """Many rows of a long text each: ``repeat('a', 1000000)`` for a million rows."""
        longest = max((text_length(p) for p in node.expressions), default=0.0)
        most = MAX_COLLECTED if any(p.find(exp.GroupConcat, exp.ArrayAgg) for p in node.expressions) else MAX_ALL_TEXT
        if rows > _LEAST_ROWS and longest > _LEAST_ROWS and rows * longest > most:
            reason = f"This would make more than {most:,.0f} characters."
            raise QueryRejected.slip(reason, written(node, self.text), "Ask for fewer rows, or shorter texts.")

    def _refuse_endless_levels(self, node: exp.Select) -> None:
        """CONNECT BY needs PRIOR, which goes along rows, or a bound."""
        connect = node.args.get("connect")
        if connect is not None and (magnitude(connect) > MAX_ROWS or connect.find(exp.Column, exp.Prior) is None):
            raise QueryRejected.slip("This CONNECT BY has no end.", written(connect, self.text))

    def limited(self, node: exp.Expr, rows: float) -> float:
        limit = node.args.get("limit")
        count = magnitude(limit) if limit is not None else 0.0
        return min(rows, count) if count else rows

    def sources(self, node: exp.Expr, ctes: Mapping[str, float]) -> Iterator[_Source]:
        """The tables of FROM and JOIN with their sizes, and what they read of each other."""
        from_ = node.args.get("from_")
        nodes = [from_.this] if from_ is not None else []
        # A LATERAL stands beside the joins in the tree, and multiplies as they do.
        nodes += [join.this for join in node.args.get("joins") or ()] + list(node.args.get("laterals") or ())
        for at in nodes:
            made = isinstance(at, exp.Table) and made_rows(at.this, self.dialect) is not None
            yield _Source(at.alias_or_name.casefold(), self.source_rows(at, ctes), _qualifiers(at), made)
            yield from self.sources(at, ctes) if isinstance(at, exp.Table) else ()

    def source_rows(self, node: exp.Expr, ctes: Mapping[str, float]) -> float:
        if isinstance(node, exp.Table):
            return self.table_rows(node, ctes)
        if isinstance(node, (exp.Lateral, exp.TableFromRows)):
            return self.source_rows(node.this, ctes)
        if isinstance(node, (exp.Query, exp.Values)):
            return self.rows(node, ctes)
        made = made_rows(node, self.dialect)
        return made if made is not None else 100.0  # a function in FROM, such as json_each: mostly a short list

    def table_rows(self, node: exp.Table, ctes: Mapping[str, float]) -> float:
        if not isinstance(node.this, exp.Identifier):
            made = made_rows(node.this, self.dialect) if isinstance(node.this, exp.Expr) else None
            return made if made is not None else 100.0
        name = node.name.casefold()
        if not node.args.get("db") and name in ctes:
            return ctes[name]
        record = dialect_of(self.dialect)
        if (node.db.casefold(), name) in record.endless_tables:
            return math.inf
        if series := record.series_tables.fullmatch(name):
            return max(float(series[2]) - float(series[1]), 1.0) / max(float(series[3] or 1), 1.0)
        table = self.catalog.get(node.name) if self.catalog is not None else None
        return max(float(table.rows), _LEAST_ROWS) if table is not None and table.rows is not None else TABLE_ROWS

    def _inner_queries(self, node: exp.Select, ctes: Mapping[str, float]) -> None:
        """Queries inside expressions are estimated by themselves."""
        # FROM and WITH are estimated by themselves.
        stack = [part for clause, part in node.args.items() if clause not in {"with_", "from_"}]
        while stack:
            part = stack.pop()
            if isinstance(part, list):
                stack += part
            elif isinstance(part, exp.Join):
                stack += [part.args.get("on")]
            elif isinstance(part, exp.Query):
                self.rows(part, ctes)
            elif isinstance(part, exp.Expr) and not isinstance(part, exp.Lateral):
                stack += list(part.iter_expressions())

    def _refuse_unbounded(self, cte: exp.Expr, members: list[exp.Select], around: exp.Expr) -> None:
        limit = cte.this.args.get("limit")
        is_limited = limit is not None and magnitude(limit) <= MAX_ROWS
        stopped = is_limited or _takes_only_first(around, cte.alias.casefold())
        for member in members:
            # LIMIT stops engines between rows; one row that doubles fills the memory before that.
            if _doubles(member) or not (stopped or _ends(member, cte)):
                hint = f"Give it one: WHERE n < 1000, at most {MAX_ROWS:,}."
                raise QueryRejected.slip(f"The recursion of {cte.alias} has no end.", written(member, self.text), hint)
            turns = min(_counted(member, cte), magnitude(limit) if limit is not None else math.inf)
            refuse_growth(member, cte, _steps(member, cte), turns, self.text)


def _counted(member: exp.Select, cte: exp.Expr) -> float:
    """How often a recursion runs that counts; 0 when it goes along the rows of a table, as far as is known."""
    otherwise = 0.0 if _others(member, cte) else math.inf
    if not any(_steps(member, cte).values()):
        return otherwise
    return max((magnitude(part) for part in _conditions(member)), default=0.0) or otherwise


def recursive_members(cte: exp.Expr) -> list[exp.Select]:
    """The parts of a WITH that read the WITH itself."""
    if not isinstance(cte.this, exp.SetOperation):
        return []
    name = cte.alias.casefold()
    sides = [side for side in _sides(cte.this) if isinstance(side, exp.Select)]
    return [side for side in sides if any(t.name.casefold() == name and not t.db for t in side.find_all(exp.Table))]


def _ends(member: exp.Select, cte: exp.Expr) -> bool:
    """True when a recursive part has a condition that can stop it, or goes along the rows of another table."""
    if member.args.get("limit") is not None:
        return True
    conditions = list(_conditions(member))
    if any(magnitude(part) > MAX_ROWS for part in conditions):
        return False
    if _others(member, cte):
        return any(condition.find(exp.Column) for condition in conditions)
    steps = _steps(member, cte)
    return any(_bounds(part, steps) for condition in conditions for part in _parts(condition))


def _turns(member: exp.Select, cte: exp.Expr) -> float:
    """How many rows a recursion makes: one that only counts goes up to the number in its condition."""
    if _others(member, cte):
        return TABLE_ROWS
    return max((magnitude(part) for part in _conditions(member)), default=0.0) or TABLE_ROWS


def _others(member: exp.Select, cte: exp.Expr) -> bool:
    """True when a recursive part reads another table than the recursion itself."""
    name = cte.alias.casefold()
    return any(t.name.casefold() != name and isinstance(t.this, exp.Identifier) for t in member.find_all(exp.Table))


def _doubles(member: exp.Select) -> bool:
    """True when a recursive part puts a text together with itself: ``x || x`` is a gigabyte after thirty steps."""
    for text in member.find_all(exp.DPipe, exp.Concat):
        columns = [column.name.casefold() for column in text.find_all(exp.Column)]
        if len(columns) != len(set(columns)):
            return True
    return False


def _parts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that AND joins."""
    if isinstance(condition, (exp.And, exp.Paren)):
        for part in (condition.this, condition.args.get("expression")):
            if isinstance(part, exp.Expr):
                yield from _parts(part)
    else:
        yield condition


def _steps(member: exp.Select, cte: exp.Expr) -> dict[str, int]:
    """How a recursive part changes its columns: counts up (1), down (-1), or hands on as they are (0)."""
    given = [column.name for column in cte.args["alias"].args.get("columns") or ()]
    first = _sides(cte.this)[0]
    given = given or [projection.alias_or_name for projection in first.expressions]
    found: dict[str, int] = {}
    for name, projection in zip(given, member.expressions, strict=False):
        inner = projection.unalias()
        if isinstance(inner, exp.Column) and inner.name.casefold() == name.casefold():
            found[name.casefold()] = 0
        elif (
            isinstance(inner, (exp.Add, exp.Sub)) and isinstance(inner.this, exp.Column) and magnitude(inner.expression)
        ):
            found[name.casefold()] = 1 if isinstance(inner, exp.Add) else -1
    return found


def _bounds(condition: exp.Expr, steps: Mapping[str, int]) -> bool:
    """True when a condition can become false as the columns change."""
    changed = [steps.get(column.name.casefold()) for column in condition.find_all(exp.Column)]
    if all(step == 0 for step in changed):
        return False
    counted = [step for step in changed if step]
    if not counted or None in changed:
        return True
    if isinstance(condition, (exp.LT, exp.LTE, exp.GT, exp.GTE)):
        below = isinstance(condition, (exp.LT, exp.LTE))
        on_left = condition.this.find(exp.Column) is not None
        return counted[0] == (1 if below == on_left else -1)
    return True


def _takes_only_first(node: exp.Expr, name: str) -> bool:
    """True for ``SELECT … FROM recursion LIMIT n``, which engines stop after n rows."""
    if not isinstance(node, exp.Select) or not node.args.get("limit") or _needs_all(node) or node.args.get("joins"):
        return False
    from_ = node.args.get("from_")
    return from_ is not None and isinstance(from_.this, exp.Table) and from_.this.name.casefold() == name


def _needs_all(node: exp.Expr) -> bool:
    """True when a query must see all rows before it can give the first."""
    if any(node.args.get(part) for part in ("group", "having", "order", "distinct", "qualify")):
        return True
    return any(part.find(exp.AggFunc, exp.Window) for part in node.expressions)


def _is_one_row(node: exp.Select) -> bool:
    """True for an aggregate without GROUP BY."""
    if node.args.get("group") or not node.expressions:
        return False
    return all(p.find(exp.AggFunc) is not None and p.find(exp.Window) is None for p in node.expressions)


def _conditions(node: exp.Select) -> Iterator[exp.Expr]:
    """The conditions of ON, USING and WHERE."""
    for join in node.args.get("joins") or ():
        if join.args.get("on") is not None:
            yield join.args["on"]
        if join.args.get("using") or str(join.args.get("method") or "").upper() in {"NATURAL", "ASOF", "POSITIONAL"}:
            yield join
    if (where := node.args.get("where")) is not None:
        yield where.this


def _joined(sources: list[_Source], conditions: list[exp.Expr]) -> float:
    """The rows of joined tables: linked ones count as the largest of them, the others multiply."""
    groups = [({source.name}, source.rows) for source in sources]
    weak = 0
    links = [pair for condition in conditions for pair in _links(condition, sources)]
    links += [(frozenset({s.name} | (s.reads & {o.name for o in sources})), True) for s in sources if s.reads]
    for named, strong in links:
        touched = [g for g in groups if g[0] & named]
        if len(touched) < 2:
            continue
        if not strong:
            weak += 1
            continue
        merged = (set().union(*(g[0] for g in touched)), max(g[1] for g in touched))
        groups = [g for g in groups if g not in touched] + [merged]
    # Each weak condition takes its share of what is still multiplied.
    return math.prod(max(rows, 1.0) for _, rows in groups) * _WEAK ** min(weak, len(groups) - 1)


def _links(condition: exp.Expr, sources: list[_Source]) -> Iterator[tuple[frozenset[str], bool]]:
    """The tables that a condition links, and whether by an equality."""
    if isinstance(condition, exp.Join):
        here = condition.this.alias_or_name.casefold()
        names = [source.name for source in sources]
        position = names.index(here) if here in names else 0
        yield frozenset(names[max(position - 1, 0) : position + 1]), True
    elif isinstance(condition, (exp.And, exp.Paren)):
        for part in _parts(condition):
            yield from _links(part, sources)
    elif isinstance(condition, exp.Or):
        yield from _links_of_both(condition, sources)
    else:
        named = _named(condition, sources)
        if len(named) > 1:
            weak = isinstance(condition, (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NEQ, exp.Not))
            all_made = all(source.made for source in sources if source.name in named)
            yield named, not (weak or (all_made and not is_exact(condition)))


def _links_of_both(condition: exp.Or, sources: list[_Source]) -> Iterator[tuple[frozenset[str], bool]]:
    """What an OR links: only what each of its sides links."""
    sides = [list(_links(side, sources)) for side in condition.flatten()]
    if all(sides):
        common = frozenset.intersection(*(frozenset().union(*(named for named, _ in side)) for side in sides))
        yield common, all(strong for side in sides for _, strong in side)


def _named(condition: exp.Expr, sources: list[_Source]) -> frozenset[str]:
    """The tables whose columns a condition compares; a bare column may be of any."""
    columns = list(condition.find_all(exp.Column))
    named = {column.table.casefold() for column in columns if column.table}
    bare = sum(1 for column in columns if not column.table)
    if bare and len(columns) > 1:
        named |= {source.name for source in sources}
    return frozenset(named)


def _qualifiers(node: exp.Expr) -> frozenset[str]:
    """The names before a dot in something that stands in FROM: LATERAL and UNNEST read other tables."""
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        return frozenset()
    return frozenset(column.table.casefold() for column in node.find_all(exp.Column) if column.table)


def _sides(node: exp.SetOperation) -> list[exp.Expr]:
    sides: list[exp.Expr] = []
    at: exp.Expr = node
    while isinstance(at, exp.SetOperation):
        sides.append(at.expression)
        at = at.this
    return [at, *reversed(sides)]
