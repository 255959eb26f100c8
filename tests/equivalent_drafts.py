"""Queries written in other ways that give the same rows: each is a rewriting that holds on any data of these types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RESULT = (exp.Select, exp.Order)


def variants(sql: str) -> Iterator[tuple[str, str]]:
    """The name of each way, and the query in it; ways that change nothing are left out."""
    for name, way in _WAYS.items():
        tree = sqlglot.parse_one(sql, "duckdb")
        assert isinstance(tree, exp.Select)
        made = way(tree)
        text = made if isinstance(made, str) else made.sql("duckdb") if made is not None else ""
        if text and text != sqlglot.parse_one(sql, "duckdb").sql("duckdb"):
            yield name, text


def _changed(change: Callable[[exp.Expr], exp.Expr]) -> Callable[[exp.Select], exp.Expr]:
    return lambda tree: tree.transform(change)


def _any_of(node: exp.Expr) -> exp.Expr:
    if not isinstance(node, exp.In) or not node.expressions:
        return node
    return exp.paren(exp.or_(*(exp.EQ(this=node.this.copy(), expression=one) for one in node.expressions)))


def _between(node: exp.Expr) -> exp.Expr:
    """``x IN (1, 2)`` of whole numbers in a row."""
    numbers = [one.name for one in node.expressions] if isinstance(node, exp.In) else []
    if numbers != ["1", "2"]:
        return node
    low, high = map(exp.Literal.number, numbers)
    return exp.Between(this=node.this.copy(), low=low, high=high)


def _halves(node: exp.Expr) -> exp.Expr:
    """``x BETWEEN a AND b`` by its two sides."""
    node = _between(node)
    if not isinstance(node, exp.Between):
        return node
    low = exp.LTE(this=node.args["low"].copy(), expression=node.this.copy())
    return exp.and_(low, exp.LTE(this=node.this.copy(), expression=node.args["high"].copy()))


def _not_true(kind: type[exp.Expr], value: bool) -> Callable[[exp.Expr], exp.Expr]:
    def change(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Not) and isinstance(node.this, exp.Column):
            return kind(this=node.this.copy(), expression=exp.Boolean(this=value))
        return node

    return change


def _by_case(tree: exp.Select, otherwise: exp.Expr | None = None, *, as_factor: bool = False) -> exp.Select | None:
    """The conditions inside each sum, where there are no groups that would come out more."""
    where = tree.args.get("where")
    if where is None or tree.args.get("group") is not None or tree.find(exp.Count, exp.Order):
        return None
    for call in list(tree.find_all(exp.Sum)):
        condition = where.this.copy()
        if as_factor:
            case = exp.Case().when(condition, exp.Literal.number(1)).else_(exp.Literal.number(0))
            call.set("this", exp.Mul(this=exp.paren(call.this.copy()), expression=case))
        else:
            case = exp.Case().when(condition, call.this.copy())
            call.set("this", case.else_(otherwise.copy()) if otherwise is not None else case)
    tree.set("where", None)
    return tree


def _by_filter(tree: exp.Select) -> exp.Select | None:
    where = tree.args.get("where")
    if where is None or tree.args.get("group") is not None or tree.args.get("order") is not None:
        return None
    for call in list(tree.find_all(exp.Sum, exp.Count)):
        call.replace(exp.Filter(this=call.copy(), expression=where.copy()))
    tree.set("where", None)
    return tree


def _columns(tree: exp.Select) -> list[exp.Column]:
    return list({column.sql(): column for column in tree.find_all(exp.Column)}.values())


def _over_rows(tree: exp.Select, *, as_with: bool, bare: bool = False) -> exp.Select | None:
    """Conditions and joins within, groups and figures over what comes of them."""
    inner_parts = [*(tree.args.get("joins") or ()), tree.args.get("where")]
    used = {c.sql(): c for part in [*tree.expressions, *(tree.args.get(k) for k in ("group", "order"))] if part
            for c in part.find_all(exp.Column)}  # fmt: skip
    if not used or not any(inner_parts):
        return None
    names = {text: f"c{place}" for place, text in enumerate(used)} if not bare else {}
    bare_names = [column.name for column in used.values()]
    if bare and len(set(bare_names)) < len(bare_names):
        return None
    inner = exp.select(*(exp.alias_(c.copy(), names[t]) if names else c.copy() for t, c in used.items()))
    for part in ("from_", "joins", "where"):
        inner.set(part, tree.args.get(part))
    outer = exp.Select(expressions=tree.expressions, group=tree.args.get("group"), order=tree.args.get("order"),
                       limit=tree.args.get("limit"))  # fmt: skip
    for column in list(outer.find_all(exp.Column)):
        column.replace(exp.column(names.get(column.sql(), column.name), "b"))
    if as_with:
        return outer.from_("b").with_("b", as_=inner)
    return outer.from_(inner.subquery("b"))


def _around(tree: exp.Select, *, as_with: bool) -> exp.Select:
    """All of it inside another query, in its order."""
    for place, one in enumerate(tree.expressions):
        if not isinstance(one, exp.Alias):
            one.replace(exp.alias_(one.copy(), f"v{place}"))
    order, limit = tree.args.get("order"), tree.args.get("limit")
    tree.set("order", None)
    tree.set("limit", None)
    names = {one.this.sql(): one.alias for one in tree.expressions}
    outer = exp.select(*(exp.column(one.alias) for one in tree.expressions))
    for part, value in (("order", order), ("limit", limit)):
        if value is not None:
            for ordered in value.find_all(exp.Ordered):
                if ordered.this.sql() in names:
                    ordered.set("this", exp.column(names[ordered.this.sql()]))
            outer.set(part, value)
    return outer.from_("t").with_("t", as_=tree) if as_with else outer.from_(tree.subquery("t"))


def _as_scalar(tree: exp.Select) -> exp.Select | None:
    if tree.args.get("group") is not None or len(tree.expressions) != 1:
        return None
    return exp.select(exp.alias_(tree.subquery(), "figure"))


def _filtered_table(tree: exp.Select) -> exp.Select | None:
    """Conditions on one joined table inside a subquery that is joined in its place."""
    where = tree.args.get("where")
    if where is None:
        return None
    for join in tree.args.get("joins") or ():
        parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
        own = [p for p in parts if {c.table for c in p.find_all(exp.Column)} == {join.this.alias}]
        if not own or any(part.find(exp.Is) for part in own):
            continue
        inside = exp.select("*").from_(join.this.name)
        for part in own:
            bare = part.copy()
            for column in bare.find_all(exp.Column):
                column.set("table", None)
            inside = inside.where(bare)
        join.set("this", inside.subquery(join.this.alias))
        join.set("side", None)
        rest = [part.copy() for part in parts if part not in own]
        tree.set("where", exp.Where(this=exp.and_(*rest)) if rest else None)
        return tree
    return None


def _semi_join(tree: exp.Select, *, exists: bool) -> exp.Select | None:
    """A joined table that is only filtered by, asked in WHERE: its key is met once at most."""
    where = tree.args.get("where")
    if where is None:
        return None
    joins = tree.args.get("joins") or []
    parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    for join in joins:
        name, equal = join.this.alias, join.args.get("on")
        own = [p for p in parts if {c.table for c in p.find_all(exp.Column)} == {name}]
        elsewhere = [
            c for c in tree.find_all(exp.Column)
            if c.table == name and not any(c in list(p.find_all(exp.Column)) for p in [*own, equal])
        ]  # fmt: skip
        if not own or elsewhere or not isinstance(equal, exp.EQ) or any(part.find(exp.Is) for part in own):
            continue
        sides = [equal.this, equal.expression]
        theirs = next(side for side in sides if side.table == name)
        mine = next(side for side in sides if side is not theirs)
        if any(name in {c.table for c in each.args["on"].find_all(exp.Column)} for each in joins if each is not join):
            continue
        asked = exp.select(theirs.copy()).from_(join.this.copy()).where(*(part.copy() for part in own))
        if exists:
            inner = asked.select("1", append=False).where(equal.copy())
            condition: exp.Expr = exp.Exists(this=inner)
        else:
            condition = exp.In(this=mine.copy(), query=asked.subquery())
        rest = [part.copy() for part in parts if part not in own]
        tree.set("where", exp.Where(this=exp.and_(*rest, condition)))
        tree.set("joins", [each for each in joins if each is not join])
        return tree
    return None


def _by_comma(tree: exp.Select) -> exp.Select | None:
    """``FROM a, b WHERE a.x = b.x`` for joins whose partner a condition asks for anyhow."""
    where = tree.args.get("where")
    joins = tree.args.get("joins") or []
    if where is None or len(joins) != 1:
        return None
    equal = joins[0].args["on"].copy()
    for name in ("on", "side", "kind"):
        joins[0].set(name, None)
    return tree.where(equal)


def _in_on(tree: exp.Select) -> exp.Select | None:
    joins, where = tree.args.get("joins") or [], tree.args.get("where")
    if where is None or not joins or where.find(exp.Is):
        return None
    parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
    last = {name: place for place, name in enumerate([tree.args["from_"].this.alias, *(j.this.alias for j in joins)])}
    for part in parts:
        place = max((last.get(c.table, 0) for c in part.find_all(exp.Column)), default=0)
        join = joins[max(place - 1, 0)]
        join.set("side", None)
        join.set("on", exp.and_(join.args["on"].copy(), part.copy()))
    tree.set("where", None)
    return tree


def _two_steps(tree: exp.Select) -> exp.Select | None:
    """Sums of the sums of each order."""
    group = tree.args.get("group")
    sums = [one for one in tree.expressions if isinstance(one, exp.Sum)]
    if group is None or len(sums) != 1 or tree.args.get("order") is not None or len(tree.expressions) < 2:
        return None
    key = exp.column("order_id", "i") if tree.args["from_"].this.alias == "i" else exp.column("id", "f")
    inner = tree.copy()
    inner.set("expressions", [
        exp.alias_(one.copy(), f"c{place}") for place, one in enumerate(tree.expressions)
    ])  # fmt: skip
    inner.args["group"].append("expressions", key)
    shown = [
        exp.Sum(this=exp.column(f"c{place}")) if isinstance(one, exp.Sum) else exp.column(f"c{place}")
        for place, one in enumerate(tree.expressions)
    ]
    keys = [one for one in shown if isinstance(one, exp.Column)]
    return exp.select(*shown).from_(inner.subquery("parts")).group_by(*(key.copy() for key in keys))


def _by_window(tree: exp.Select) -> exp.Select | None:
    group = tree.args.get("group")
    if group is None or tree.args.get("order") is not None or tree.find(exp.Distinct):
        return None
    keys = [key.copy() for key in group.expressions]
    for one in list(tree.find_all(exp.Sum, exp.Count)):
        one.replace(exp.Window(this=one.copy(), partition_by=[key.copy() for key in keys]))
    tree.set("group", None)
    return tree.distinct()


def _by_place(tree: exp.Select) -> exp.Select | None:
    group = tree.args.get("group")
    if group is None:
        return None
    shown = [one.sql() for one in tree.expressions]
    places = [exp.Literal.number(shown.index(key.sql()) + 1) for key in group.expressions if key.sql() in shown]
    tree.set("group", exp.Group(expressions=places))
    return tree


def _named(tree: exp.Select) -> exp.Select | None:
    """Groups by the name of an output."""
    group = tree.args.get("group")
    if group is None or tree.args.get("order") is not None:
        return None
    keys = {key.sql() for key in group.expressions}
    for place, one in enumerate(list(tree.expressions)):
        if one.sql() in keys:
            one.replace(exp.alias_(one.copy(), f"key_{place}"))
    shown = [exp.column(one.alias) for one in tree.expressions if one.alias.startswith("key_")]
    tree.set("group", exp.Group(expressions=shown))
    return tree


def _count(make: Callable[[], exp.Expr]) -> Callable[[exp.Select], exp.Expr | None]:
    def way(tree: exp.Select) -> exp.Expr | None:
        if tree.args["from_"].this.alias != "o":
            return None
        return tree.transform(lambda n: make() if isinstance(n, exp.Count) and isinstance(n.this, exp.Star) else n)

    return way


def _rate(figure: str) -> Callable[[exp.Select], str]:
    rate = "SUM(CASE WHEN o.status = 3 THEN 1.0 ELSE 0 END) / COUNT(*)"
    return lambda tree: tree.sql("duckdb").replace(rate, figure) if rate in tree.sql("duckdb") else ""


def _text(old: str, new: str) -> Callable[[exp.Select], str]:
    return lambda tree: tree.sql("duckdb").replace(old, new) if old in tree.sql("duckdb") else ""


def _renamed(tree: exp.Select) -> exp.Select:
    for table in tree.find_all(exp.Table):
        table.set("alias", exp.TableAlias(this=exp.to_identifier(f"{table.alias}_1")))
    for column in tree.find_all(exp.Column):
        if column.table:
            column.set("table", exp.to_identifier(f"{column.table}_1"))
    return tree


def _union(tree: exp.Select) -> exp.Expr | None:
    """Rows of two kinds one below the other, then summed."""
    made = _over_rows(tree, as_with=True)
    if made is None:
        return None
    cte = next(made.find_all(exp.CTE))
    chosen = next((one for one in cte.this.find_all(exp.In) if len(one.expressions) == 2), None)
    if chosen is None:
        return None
    halves = []
    for place in range(2):
        half = cte.this.copy()
        one = next(each for each in half.find_all(exp.In) if len(each.expressions) == 2)
        one.replace(exp.EQ(this=one.this.copy(), expression=one.expressions[place].copy()))
        halves.append(half)
    cte.set("this", exp.union(halves[0], halves[1], distinct=False))
    return made


def _is_output(node: exp.Expr) -> bool:
    return isinstance(node, exp.Sum | exp.Count) and isinstance(node.parent, exp.Select)


_WAYS: dict[str, Callable[[exp.Select], Any]] = {
    "factors in another order": _changed(
        lambda n: exp.Mul(this=n.expression, expression=n.this) if isinstance(n, exp.Mul) else n
    ),
    "times one": _changed(lambda n: exp.Mul(this=n, expression=exp.Literal.number("1.0")) if _is_output(n) else n),
    "conditions in another order": _changed(
        lambda n: exp.And(this=n.expression, expression=n.this) if isinstance(n, exp.And) else n
    ),
    "OR for IN": _changed(_any_of),
    "BETWEEN for IN": _changed(_between),
    "two sides for IN": _changed(_halves),
    "NOT twice": _changed(
        lambda n: (
            exp.Not(this=exp.paren(exp.Not(this=exp.paren(n))))
            if isinstance(n, exp.In) and not isinstance(n.parent, exp.Paren)
            else n
        )
    ),
    "= FALSE": _changed(_not_true(exp.EQ, False)),
    "IS FALSE": _changed(_not_true(exp.Is, False)),
    "<> TRUE": _changed(_not_true(exp.NEQ, True)),
    "CASE": _by_case,
    "CASE ELSE NULL": lambda tree: _by_case(tree, exp.Null()),
    "CASE ELSE 0": lambda tree: _by_case(tree, exp.Literal.number(0)),
    "CASE as a factor": lambda tree: _by_case(tree, as_factor=True),
    "FILTER": _by_filter,
    "WITH of the rows": lambda tree: _over_rows(tree, as_with=True),
    "WITH of the rows under their names": lambda tree: _over_rows(tree, as_with=True, bare=True),
    "subquery of the rows": lambda tree: _over_rows(tree, as_with=False),
    "WITH around": lambda tree: _around(tree, as_with=True),
    "subquery around": lambda tree: _around(tree, as_with=False),
    "scalar subquery": _as_scalar,
    "a filtered table": _filtered_table,
    "IN (SELECT)": lambda tree: _semi_join(tree, exists=False),
    "EXISTS": lambda tree: _semi_join(tree, exists=True),
    "comma": _by_comma,
    "conditions in ON": _in_on,
    "sums of sums": _two_steps,
    "window": _by_window,
    "GROUP BY 1": _by_place,
    "GROUP BY name": _named,
    "COUNT(1)": _count(lambda: exp.Count(this=exp.Literal.number(1))),
    "COUNT(key)": _count(lambda: exp.Count(this=exp.column("id", "o"))),
    "COUNT(DISTINCT key)": _count(lambda: exp.Count(this=exp.Distinct(expressions=[exp.column("id", "o")]))),
    "SUM(1)": _count(lambda: exp.Sum(this=exp.Literal.number(1))),
    "AVG of CASE": _rate("AVG(CASE WHEN o.status = 3 THEN 1.0 ELSE 0.0 END)"),
    "count of CASE": _rate("COUNT(CASE WHEN o.status = 3 THEN 1 END) * 1.0 / COUNT(*)"),
    "count by FILTER": _rate("CAST(COUNT(*) FILTER (WHERE o.status = 3) AS DOUBLE) / COUNT(*)"),
    "1.0 before": _rate("1.0 * SUM(CASE WHEN o.status = 3 THEN 1 ELSE 0 END) / COUNT(*)"),
    "difference of sums": _text(
        "SUM(i.quantity * i.unit_price - i.quantity * p.cost)",
        "SUM(i.quantity * i.unit_price) - SUM(i.quantity * p.cost)",
    ),
    "factored out": _text(
        "SUM(i.quantity * i.unit_price - i.quantity * p.cost)", "SUM(i.quantity * (i.unit_price - p.cost))"
    ),
    "YEAR()": _text("EXTRACT(YEAR FROM o.ordered_at)", "YEAR(o.ordered_at)"),
    "rounded": _changed(lambda n: exp.func("ROUND", n, 6) if _is_output(n) else n),
    "cast": _changed(lambda n: exp.cast(n, "double") if _is_output(n) else n),
    "other aliases": _renamed,
    "UNION ALL of the rows": _union,
}
