"""Names given by AS that stand where the database does not see them: in WHERE, or in another column beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.autofix.broken_query import Fix, only
from rsql_magic.sql.dialects.reading import is_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.sql.autofix.broken_query import BrokenQuery

_PLAIN = (exp.Column, exp.Func, exp.Literal, exp.Cast, exp.Paren)


def filter_groups(broken: BrokenQuery) -> Fix | None:
    """``SELECT a, SUM(x) AS n … WHERE n > 1 GROUP BY a`` → ``… HAVING SUM(x) > 1``."""
    # Without GROUP BY, the name may be a slip for a column instead.
    for place, (select, _) in enumerate(broken.resolution.selects if broken.resolution else ()):
        where = select.args.get("where")
        uses = [(node, meant) for node, meant in _uses(broken, select) if is_within(node, where) and _is_figure(meant)]
        if uses and select.args.get("group") and not any(meant.find(exp.Window) for _, meant in uses):
            return _moved(broken, place, {node.name.casefold() for node, _ in uses})
    return None


def _moved(broken: BrokenQuery, place: int, names: set[str]) -> Fix | None:
    """The draft with the conditions on these figures in HAVING."""
    tree = broken.tree.copy() if broken.tree is not None else None
    selects = _like_resolved(broken, tree)
    if tree is None or len(selects) <= place:
        return None
    select = selects[place]
    meanings = {e.alias.casefold(): e.this for e in select.expressions if isinstance(e, exp.Alias)}
    where = select.args["where"].this
    conditions = list(where.flatten()) if isinstance(where, exp.And) else [where]
    moved = [one for one in conditions if any(c.name.casefold() in names for c in one.find_all(exp.Column))]
    if any(c.name.casefold() not in names or c.table for one in moved for c in one.find_all(exp.Column)):
        return None  # a condition on rows and groups at once
    kept = [one for one in conditions if one not in moved]
    before = " AND ".join(one.sql(broken.dialect) for one in moved)
    figures = [one.copy().transform(lambda node: _meaning(node, names, meanings)) for one in moved]
    select.set("where", exp.Where(this=exp.and_(*kept, copy=False)) if kept else None)
    select.having(*figures, copy=False)
    after = " AND ".join(one.sql(broken.dialect) for one in figures)
    return Fix(tree.sql(broken.dialect), (f"WHERE {before} → HAVING {after}",))


def _meaning(node: exp.Expr, names: set[str], meanings: dict[str, exp.Expr]) -> exp.Expr:
    """What a name given by AS stands for, in place of it."""
    named = isinstance(node, exp.Column) and not node.table and node.name.casefold() in names
    return meanings[node.name.casefold()].copy() if named else node


def _like_resolved(broken: BrokenQuery, tree: exp.Expr | None) -> list[exp.Select]:
    """The SELECTs of a copy in the order in which those of the draft were resolved."""
    if tree is None or broken.tree is None or broken.resolution is None:
        return []
    pairs = zip(broken.tree.find_all(exp.Select), tree.find_all(exp.Select), strict=True)
    copies = {id(one): copy for one, copy in pairs}
    return [copies[id(select)] for select, _ in broken.resolution.selects if id(select) in copies]


def expand_alias(broken: BrokenQuery) -> Fix | None:
    """``SELECT SUM(x) AS n, n / 2`` → ``…, SUM(x) / 2``, where the database does not see the name."""
    unseen = {id(node) for node, _ in broken.columns("column")}
    for select, _ in broken.resolution.selects if broken.resolution else ():
        for node, meant in _uses(broken, select):
            if id(node) not in unseen or _is_figure_in_rows(node, meant):
                continue
            text = meant.sql(broken.dialect)
            new = text if isinstance(meant, _PLAIN) else f"({text})"
            return broken.changed([broken.replace(node.this, new)], f"{node.name} → {new}")
    return None


def _is_figure_in_rows(node: exp.Column, meant: exp.Expr) -> bool:
    """Whether a figure of many rows would stand where there is one: in WHERE, GROUP BY or another figure."""
    around = node.find_ancestor(exp.Where, exp.Group, exp.Join, exp.AggFunc, exp.Select)
    return _is_figure(meant) and not isinstance(around, exp.Select)


def _is_figure(meant: exp.Expr) -> bool:
    return meant.find(exp.AggFunc, exp.Window) is not None


def _uses(broken: BrokenQuery, select: exp.Select) -> Iterator[tuple[exp.Column, exp.Expr]]:
    """Bare columns of a SELECT that are no column of its tables but one name given by AS, with what that stands for."""
    real = broken.resolution.columns if broken.resolution else {}
    for node in select.find_all(exp.Column):
        if node.table or id(node) in real or node.find_ancestor(exp.Select) is not select:
            continue
        given = only(
            e for e in select.expressions if isinstance(e, exp.Alias) and e.alias.casefold() == node.name.casefold()
        )
        if given is not None and not is_within(node, given):
            yield node, given.this
