"""A table that a query forgot: joined where one key leads to it and no row is multiplied by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.autofix.broken_query import Edit, only
from rsql_magic.sql.autofix.naming import shown
from rsql_magic.sql.catalog import quoted_name
from rsql_magic.sql.dialects.reading import start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.sql.autofix.broken_query import BrokenQuery, Fix
    from rsql_magic.sql.catalog import ForeignKey, Table
    from rsql_magic.sql.validate.scopes import Missing, Relation, Scope

# Tokens that end a FROM.
_BEHIND_FROM = frozenset(
    "WHERE GROUP_BY HAVING ORDER_BY LIMIT OFFSET FETCH QUALIFY WINDOW UNION EXCEPT INTERSECT SEMICOLON".split()  # noqa: SIM905
)
# Tokens between two tables of a FROM.
_JOINING = frozenset("JOIN INNER LEFT RIGHT FULL OUTER CROSS NATURAL COMMA L_PAREN".split())  # noqa: SIM905


class _Way(NamedTuple):
    relation: Relation
    key: ForeignKey
    table: Table
    column: str


def join_neighbour(broken: BrokenQuery) -> Fix | None:
    """``SELECT segment FROM bills`` → ``… FROM bills JOIN customers ON …``, where one key leads to the column."""
    for node, missing in broken.columns("column", "qualifier"):
        select, scope = broken.select(node)
        if select is not None and scope is not None:
            made = _joined(node, missing, select, scope, broken)
            if made is not None:
                return made
    return None


def _joined(node: exp.Column, missing: Missing, select: exp.Select, scope: Scope, broken: BrokenQuery) -> Fix | None:
    way = only(_ways(node, missing, scope, broken))
    end = _place_of_join(missing, select, broken)
    if way is None or end is None or _takes_all(select) or _is_there(way.table, scope):
        return None
    relation, table = broken.written(way.relation.name), broken.written(way.table.name)
    pairs = zip(way.key.columns, way.key.referred, strict=True)
    condition = " AND ".join(f"{relation}.{broken.written(a)} = {table}.{broken.written(b)}" for a, b in pairs)
    join = f" JOIN {quoted_name(way.table, broken.dialect)} ON {condition}"
    first = broken.replace(node.parts[0], "")
    last = broken.replace(node.this, f"{table}.{broken.written(way.column)}")
    meant = Edit(first.start, last.end, last.new) if first and last else None
    edits = [Edit(end, end, join), meant, *_told_apart(way.table, select, scope, broken)]
    return broken.changed(edits, f"{shown(node)} →{join}")


def _ways(node: exp.Column, missing: Missing, scope: Scope, broken: BrokenQuery) -> Iterator[_Way]:
    """Keys from the tables of a query to a row of another that has the column."""
    for relation in scope.relations:
        for key in relation.table.foreign_keys if relation.table and relation.name else ():
            table = broken.catalog.get(key.table)
            column = table.column(node.name) if table else None
            if table and column and _is_one_row(table, key) and _may_be_of(node, missing, table, broken):
                yield _Way(relation, key, table, column.name)


def _is_one_row(table: Table, key: ForeignKey) -> bool:
    """Whether a key leads to one row at most, so that a join with it multiplies none."""
    unique = {name.casefold() for name in table.primary_key}
    return not unique or unique == {name.casefold() for name in key.referred}


def _may_be_of(node: exp.Column, missing: Missing, table: Table, broken: BrokenQuery) -> bool:
    """A table named before the dot that is not in FROM is the one to join."""
    named = broken.catalog.get(node.table) if missing.kind == "qualifier" else None
    return missing.kind != "qualifier" or named is table


def _takes_all(select: exp.Select) -> bool:
    """Whether a join would add columns to the result."""
    return any(projection.is_star for projection in select.expressions)


def _is_there(table: Table, scope: Scope) -> bool:
    return any(r.table is table or r.name.casefold() == table.name.casefold() for r in scope.relations)


def _told_apart(table: Table, select: exp.Select, scope: Scope, broken: BrokenQuery) -> Iterator[Edit | None]:
    """Bare columns that the new table has too, behind the name of the table that they are of."""
    columns = broken.resolution.columns if broken.resolution else {}
    for node in select.find_all(exp.Column):
        relation, _ = columns.get(id(node), (None, ""))
        is_own = relation is not None and any(relation is one for one in scope.relations)
        if relation is not None and is_own and not node.args.get("table") and table.column(node.name):
            new = f"{broken.written(relation.name)}.{broken.text[start(node) : node.this.meta.get('end', -1) + 1]}"
            yield broken.replace(node.this, new)


def add_from(broken: BrokenQuery) -> Fix | None:
    """``SELECT SUM(amount)`` → ``SELECT SUM(amount) FROM loan``, where one table only has all the columns."""
    for select, scope in broken.resolution.selects if broken.resolution else ():
        if scope.relations or select.args.get("from_") is not None or scope.outer:
            continue
        wanted = {m.node.name for m in broken.missing("column") if broken.select(m.node)[0] is select}
        table = only(t for t in broken.catalog if wanted and all(t.column(name) for name in wanted))
        end = _end_behind(0, broken) if select is broken.tree else None
        if table is not None and end is not None:
            new = f" FROM {quoted_name(table, broken.dialect)}"
            return broken.changed([Edit(end, end, new)], f"…{new}")
    return None


def _place_of_join(missing: Missing, select: exp.Select, broken: BrokenQuery) -> int | None:
    """Where a join can be written: behind all of FROM, or before the join whose condition needs it."""
    from_, join = select.args.get("from_"), missing.node.find_ancestor(exp.Join, exp.Select)
    if isinstance(join, exp.Join) and join.parent is select:
        return _end_before(start(join.this), broken)
    return None if from_ is None else _end_behind(start(from_), broken)


def _end_before(place: int, broken: BrokenQuery) -> int | None:
    """Where what stands before a JOIN ends, given where the joined table begins."""
    tokens = [token for token in (broken.lexed.tokens if broken.lexed else ()) if token.start < place]
    while tokens and tokens[-1].token_type.name in _JOINING:
        tokens.pop()
    return tokens[-1].end + 1 if tokens else None


def _end_behind(place: int, broken: BrokenQuery) -> int | None:
    """Where the clause that holds a place ends."""
    tokens = broken.lexed.tokens if broken.lexed else ()
    depth, end = 0, None
    for token in tokens:
        if token.start < place:
            continue
        kind = token.token_type.name
        depth += (kind == "L_PAREN") - (kind == "R_PAREN")
        if depth < 0 or (depth == 0 and kind in _BEHIND_FROM):
            break
        end = token.end + 1
    return end
