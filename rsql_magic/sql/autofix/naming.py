"""Names that stand for nothing: behind the wrong alias, otherwise spelled, mistyped, or without their quotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.autofix.broken_query import only
from rsql_magic.sql.catalog import always_quoted, quoted_name
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.validate.grammar import refused_grammar
from rsql_magic.sql.validate.known import known
from rsql_magic.sql.validate.nearest import plain, same_name
from rsql_magic.sql.validate.scopes import may_be_a_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql.autofix.broken_query import BrokenQuery, Edit, Fix
    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.validate.scopes import Missing, Relation, Resolution


def quote_reserved(broken: BrokenQuery) -> Fix | None:
    """``JOIN order`` → ``JOIN "order"``."""
    if broken.tree is None:
        return None
    nodes = list(broken.tree.walk())
    for node, problem in refused_grammar(broken.tree, nodes, broken.text, broken.dialect):
        if isinstance(node, exp.Identifier) and problem.suggestions:
            same = [n for n in nodes if isinstance(n, exp.Identifier) and n.name == node.name and not n.args["quoted"]]
            edits = [broken.replace(one, always_quoted(one.name, broken.dialect)) for one in same]
            return broken.changed(edits, f"{problem.name} → {problem.suggestions[0]}")
    return None


def fix_table(broken: BrokenQuery) -> Fix | None:
    """``FROM singers`` → ``FROM singer``, where one table only has nearly that name."""
    for missing in broken.missing("table"):
        node = missing.node
        table = only(_tables_like(node.name, broken))
        if table is not None and isinstance(node, exp.Table):
            return broken.changed(_renamed(node, table, broken), f"{node.name} → {table.full_name}")
    return None


def _tables_like(name: str, broken: BrokenQuery) -> list[Table]:
    same = [table for table in broken.catalog if plain(table.name) == plain(name)]
    return same or [table for table in broken.catalog if same_name(name, table.name)]


def _renamed(node: exp.Table, table: Table, broken: BrokenQuery) -> Iterator[Edit | None]:
    """The changes of a table's name, also where its columns are behind it."""
    parts = list(node.parts)
    new = quoted_name(table, broken.dialect)
    first, last = broken.replace(parts[0], new), broken.replace(parts[-1], new)
    yield first._replace(end=last.end) if first and last else None
    if node.args.get("alias") or broken.tree is None:
        return
    for column in broken.tree.find_all(exp.Column):
        if column.table.casefold() == node.name.casefold():
            yield broken.replace(column.args["table"], broken.written(table.name))


def fix_column(broken: BrokenQuery) -> Fix | None:
    """One column that stands for nothing, by the first rule that knows what was meant."""
    made = (rule(node, missing, broken) for node, missing in broken.columns("column", "qualifier") for rule in _RULES)
    return next((one for one in made if one is not None), None)


def _otherwise_written(node: exp.Column, missing: Missing, broken: BrokenQuery) -> Fix | None:
    """``f.SchoolName`` → ``f."School Name"``: the same letters."""
    return _called(node, missing, broken, lambda name, column, _: plain(name) == plain(column))


def _behind_another(node: exp.Column, missing: Missing, broken: BrokenQuery) -> Fix | None:
    """``T1.name`` → ``T2.name``, where only T2 of this query has the column."""
    _, scope = broken.select(node)
    if not node.args.get("table") or scope is None:
        return None
    named = [r for r in scope.relations if missing.kind == "qualifier" and _is_of(r, node.table)]
    relation = only(named) or only(r for r in scope.relations if _has(r, node.name))
    if relation is None or not relation.name or (not named and _is_doubtful(node, missing, relation, broken)):
        return None
    new = broken.written(relation.name)
    return broken.changed([broken.replace(node.args["table"], new)], f"{shown(node)} → {new}.{node.name}")


def _is_of(relation: Relation, name: str) -> bool:
    """Whether a relation is the table of that name under an alias."""
    return relation.table is not None and relation.table.name.casefold() == name.casefold()


def _has(relation: Relation, name: str) -> bool:
    return name.casefold() in {column.casefold() for column in relation.columns}


def _is_doubtful(node: exp.Column, missing: Missing, relation: Relation, broken: BrokenQuery) -> bool:
    """Whether a column of another relation may not be what was meant."""
    # The name before the dot may be a table that was forgotten, its own table may have nearly the name, and a
    # condition ``a.id = b.id`` would no longer link two tables.
    forgotten = missing.kind == "qualifier" and broken.catalog.get(node.table) is not None
    mistyped = any(same_name(node.name, c, _table_of(r)) for r in missing.scope.relations for c in r.columns.values())
    return (
        forgotten or (missing.kind == "column" and mistyped) or relation.name.casefold() == _other_side(node).casefold()
    )


def _other_side(node: exp.Column) -> str:
    """The name before the dot of the column that a column is set equal to."""
    parent = node.parent
    other = (parent.expression if node.arg_key == "this" else parent.this) if isinstance(parent, exp.EQ) else None
    return other.table if isinstance(other, exp.Column) else ""


def _text_meant(node: exp.Column, _: Missing, broken: BrokenQuery) -> Fix | None:
    """``name = "Ada"`` → ``name = 'Ada'`` where double quotes are for names, and no column is called Ada."""
    inner = node.this
    compared = isinstance(node.parent, (exp.EQ, exp.NEQ, exp.Like, exp.ILike, exp.In)) and node.arg_key != "this"
    is_name = node.args.get("table") or not inner.args.get("quoted") or known(broken.catalog).having(node.name)
    if is_name or not compared or not may_be_a_text(node) or dialect_of(broken.dialect).text_in_double_quotes:
        return None
    new = exp.Literal.string(node.name).sql(dialect=broken.dialect)
    return broken.changed([broken.replace(inner, new)], f'"{node.name}" → {new}')


def _mistyped(node: exp.Column, missing: Missing, broken: BrokenQuery) -> Fix | None:
    """``posts.CreationDate`` → ``posts.CreaionDate`` where no table that is read or linked has the name as written."""
    scope = broken.select(node)[1]
    if scope is None or any(_has(r, node.name) or _leads_to(r, node.name, broken) for r in scope.relations):
        return None
    return _called(node, missing, broken, same_name)


def _leads_to(relation: Relation, name: str, broken: BrokenQuery) -> bool:
    """Whether a table that shares a key with this one has the column, and may have been forgotten."""
    index = known(broken.catalog)
    others = index.links.get(relation.table.full_name, ()) if relation.table else ()
    return any(index.tables[link.other].column(name) for link in others)


_RULES = (_otherwise_written, _behind_another, _text_meant, _mistyped)


def _called(
    node: exp.Column, missing: Missing, broken: BrokenQuery, same: Callable[[str, str, str], bool]
) -> Fix | None:
    """The change to the one column in sight that is the same by some measure: of name, column and table."""
    if missing.kind != "column":
        return None
    relations = missing.scope.relations
    columns = [(r, c) for r in relations for c in r.columns.values() if same(node.name, c, _table_of(r))]
    found = only(columns)
    if found is None:
        return None
    relation, column = found
    alone = node.args.get("table") or len(relations) == 1 or not relation.name
    new = broken.written(column) if alone else f"{broken.written(relation.name)}.{broken.written(column)}"
    return broken.changed([broken.replace(node.this, new)], f"{shown(node)} → {new}")


def _table_of(relation: Relation) -> str:
    return relation.table.name if relation.table else relation.name


def settle_ambiguous(broken: BrokenQuery) -> Fix | None:
    """``SELECT id FROM a JOIN b ON a.id = b.id`` → ``SELECT a.id``: the two are equal, so it does not matter which."""
    for node, missing in broken.columns("ambiguous"):
        select, scope = broken.select(node)
        if node.args.get("table") or select is None or scope is None:
            continue
        found = [relation for relation in scope.relations if any(relation is one for one in missing.found)]
        if broken.resolution and found and _are_equal(found, node.name, select, broken.resolution):
            new = f"{broken.written(found[0].name)}.{broken.written(_stored(found[0], node.name))}"
            return broken.changed([broken.replace(node.this, new)], f"{node.name} → {new}")
    return None


def _stored(relation: Relation, name: str) -> str:
    return next((c for c in relation.columns.values() if c.casefold() == name.casefold()), name)


def _are_equal(relations: list[Relation], name: str, select: exp.Select, resolution: Resolution) -> bool:
    """Whether conditions make a column of these relations one; of LEFT JOIN the first is the one that is kept."""
    reached = {id(relations[0])}
    pairs = list(_equal_columns(name, select, resolution))
    for _ in pairs:
        reached |= {id(r) for pair in pairs if any(id(one) in reached for one in pair) for r in pair}
    return all(id(relation) in reached for relation in relations)


def _equal_columns(name: str, select: exp.Select, resolution: Resolution) -> Iterator[tuple[Relation, Relation]]:
    """Relations whose columns of that name a condition sets equal."""
    for condition in _conditions(select):
        for part in condition.flatten() if isinstance(condition, exp.And) else (condition,):
            sides = [resolution.columns.get(id(side)) for side in (part.this, part.args.get("expression"))]
            if isinstance(part, exp.EQ) and all(side and side[1].casefold() == name.casefold() for side in sides):
                yield sides[0][0], sides[1][0]  # type: ignore[index]


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    where = select.args.get("where")
    if where is not None:
        yield where.this
    for join in select.args.get("joins") or ():
        if join.args.get("on") and str(join.args.get("side") or "").upper() not in {"RIGHT", "FULL"}:
            yield join.args["on"]


def shown(node: exp.Column) -> str:
    """A column as people write it."""
    return ".".join(part.name for part in node.parts)
