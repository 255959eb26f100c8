"""Names that stand for nothing: misspelt, behind the wrong alias, given by AS elsewhere, or of a table not joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql.autofix.broken_query import Edit, Fix, only
from rsql_magic.sql.catalog import always_quoted, quoted_name
from rsql_magic.sql.dialects.reading import is_within, start
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.validate.grammar import refused_grammar
from rsql_magic.sql.validate.hints import known, plain, same_name
from rsql_magic.sql.validate.resolve import may_be_a_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql.autofix.broken_query import BrokenQuery
    from rsql_magic.sql.catalog import ForeignKey, Table
    from rsql_magic.sql.validate.resolve import Missing, Relation, Resolution, Scope


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
