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
    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.validate import Missing, Relation, Resolution, Scope
    from rsql_magic.sql.validate.hints import Link

    _Ways = Callable[[exp.Column, Missing, Scope, BrokenQuery], Iterator["_Way"]]


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
        same = [table for table in broken.catalog if plain(table.name) == plain(node.name)]
        table = only(same or [table for table in broken.catalog if same_name(node.name, table.name)])
        if table is not None and isinstance(node, exp.Table):
            return broken.changed(_renamed(node, table, broken), f"{node.name} → {table.full_name}")
    return None


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
    tables = [r for r in scope.relations if missing.kind == "qualifier" and r.table is not None]
    named = [r for r in tables if r.table and r.table.name.casefold() == node.table.casefold()]  # under an alias
    relation = only(named) or only(r for r in scope.relations if _has(r, node.name))
    if relation is None or not relation.name or (not named and _is_doubtful(node, missing, relation, broken)):
        return None
    new = broken.written(relation.name)
    return broken.changed([broken.replace(node.args["table"], new)], f"{shown(node)} → {new}.{node.name}")


def _has(relation: Relation, name: str) -> bool:
    return name.casefold() in {column.casefold() for column in relation.columns}


def _is_doubtful(node: exp.Column, missing: Missing, relation: Relation, broken: BrokenQuery) -> bool:
    """Whether a column of another relation may not be what was meant."""
    # The name before the dot may be a table that was forgotten, its own table may have nearly the name, and a
    # condition ``a.id = b.id`` would no longer link two tables.
    forgotten = missing.kind == "qualifier" and broken.catalog.get(node.table) is not None
    mistyped = any(same_name(node.name, c, _table_of(r)) for r in missing.scope.relations for c in r.columns.values())
    other = _other_column(node)
    equal_to = other.table if other is not None else ""
    return forgotten or (missing.kind == "column" and mistyped) or relation.name.casefold() == equal_to.casefold()


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
    read = scope.relations if scope is not None else []
    index = known(broken.catalog)
    # A table that shares a key with one of these may have been forgotten.
    linked = (index.tables[link.other] for r in read if r.table for link in index.links.get(r.table.full_name, ()))
    if scope is None or any(_has(r, node.name) for r in read) or any(table.column(node.name) for table in linked):
        return None
    return _called(node, missing, broken, same_name)


_RULES = (_otherwise_written, _behind_another, _text_meant, _mistyped)


def _called(
    node: exp.Column, missing: Missing, broken: BrokenQuery, same: Callable[[str, str, str], bool]
) -> Fix | None:
    """The change to the one column in sight that is the same by some measure: of name, column and table."""
    if missing.kind != "column":
        return None
    relations = missing.scope.relations
    columns = [(r, c) for r in relations for c in r.columns.values() if same(node.name, c, _table_of(r))]
    if (found := only(columns)) is None:
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
        if found and _are_equal(found, node.name, select, broken.resolution):
            columns = found[0].columns.values()
            stored = next((column for column in columns if column.casefold() == node.name.casefold()), node.name)
            new = f"{broken.written(found[0].name)}.{broken.written(stored)}"
            return broken.changed([broken.replace(node.this, new)], f"{node.name} → {new}")
    return None


def _are_equal(relations: list[Relation], name: str, select: exp.Select, resolution: Resolution) -> bool:
    """Whether conditions make a column of these relations one; of LEFT JOIN the first is the one that is kept."""
    where, joins = select.args.get("where"), select.args.get("joins") or ()
    kept = [join for join in joins if str(join.args.get("side") or "").upper() not in {"RIGHT", "FULL"}]
    conditions = [where.this] if where is not None else []
    conditions += [join.args["on"] for join in kept if join.args.get("on")]
    pairs: list[list[int]] = []
    for condition in conditions:
        for part in condition.flatten() if isinstance(condition, exp.And) else (condition,):
            sides = [resolution.columns.get(id(side)) for side in (part.this, part.args.get("expression"))]
            if isinstance(part, exp.EQ) and all(side and side[1].casefold() == name.casefold() for side in sides):
                pairs.append([id(side[0]) for side in sides if side])
    reached = {id(relations[0])}
    for _ in pairs:
        reached |= {one for pair in pairs if not reached.isdisjoint(pair) for one in pair}
    return all(id(relation) in reached for relation in relations)


def shown(node: exp.Column) -> str:
    """A column as people write it."""
    return ".".join(part.name for part in node.parts)


_PLAIN = (exp.Column, exp.Func, exp.Literal, exp.Cast, exp.Paren)


def filter_groups(broken: BrokenQuery) -> Fix | None:
    """``SELECT a, SUM(x) AS n … WHERE n > 1 GROUP BY a`` → ``… HAVING SUM(x) > 1``."""
    # Without GROUP BY, the name may be a slip for a column instead.
    for place, (select, _) in enumerate(broken.resolution.selects):
        where = select.args.get("where")
        uses = [(node, meant) for node, meant in _uses(broken, select) if is_within(node, where) and _is_figure(meant)]
        if uses and select.args.get("group") and not any(meant.find(exp.Window) for _, meant in uses):
            return _moved(broken, place, {node.name.casefold() for node, _ in uses})
    return None


def _moved(broken: BrokenQuery, place: int, names: set[str]) -> Fix | None:
    """The draft with the conditions on these figures in HAVING."""
    if broken.tree is None:
        return None
    tree = broken.tree.copy()
    pairs = zip(broken.tree.find_all(exp.Select), tree.find_all(exp.Select), strict=True)
    select = next(copy for one, copy in pairs if one is broken.resolution.selects[place][0])
    meanings = {e.alias.casefold(): e.this for e in select.expressions if isinstance(e, exp.Alias)}
    where = select.args["where"].this
    conditions = list(where.flatten()) if isinstance(where, exp.And) else [where]
    moved = [one for one in conditions if any(c.name.casefold() in names for c in one.find_all(exp.Column))]
    if any(c.name.casefold() not in names or c.table for one in moved for c in one.find_all(exp.Column)):
        return None  # a condition on rows and groups at once
    kept = [one for one in conditions if one not in moved]
    before = " AND ".join(one.sql(broken.dialect) for one in moved)

    def meaning(node: exp.Expr) -> exp.Expr:
        named = isinstance(node, exp.Column) and not node.table and node.name.casefold() in names
        return meanings[node.name.casefold()].copy() if named else node

    figures = [one.copy().transform(meaning) for one in moved]
    select.set("where", exp.Where(this=exp.and_(*kept, copy=False)) if kept else None)
    select.having(*figures, copy=False)
    after = " AND ".join(one.sql(broken.dialect) for one in figures)
    return Fix(tree.sql(broken.dialect), (f"WHERE {before} → HAVING {after}",))


def expand_alias(broken: BrokenQuery) -> Fix | None:
    """``SELECT SUM(x) AS n, n / 2`` → ``…, SUM(x) / 2``, where the database does not see the name."""
    unseen = {id(node) for node, _ in broken.columns("column")}
    for select, _ in broken.resolution.selects:
        for node, meant in _uses(broken, select):
            # A figure of many rows may not stand where there is one: in WHERE, GROUP BY or another figure.
            around = node.find_ancestor(exp.Where, exp.Group, exp.Join, exp.AggFunc, exp.Select)
            if id(node) not in unseen or (_is_figure(meant) and not isinstance(around, exp.Select)):
                continue
            text = meant.sql(broken.dialect)
            new = text if isinstance(meant, _PLAIN) else f"({text})"
            return broken.changed([broken.replace(node.this, new)], f"{node.name} → {new}")
    return None


def _is_figure(meant: exp.Expr) -> bool:
    return meant.find(exp.AggFunc, exp.Window) is not None


def _uses(broken: BrokenQuery, select: exp.Select) -> Iterator[tuple[exp.Column, exp.Expr]]:
    """Bare columns of a SELECT that are no column of its tables but one name given by AS, with what that stands for."""
    real = broken.resolution.columns
    for node in select.find_all(exp.Column):
        if node.table or id(node) in real or node.find_ancestor(exp.Select) is not select:
            continue
        aliases = (one for one in select.expressions if isinstance(one, exp.Alias))
        given = only(one for one in aliases if one.alias.casefold() == node.name.casefold())
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
    table: Table
    column: str
    pairs: tuple[tuple[str, str], ...]  # columns of the relation, and of the table, that are equal


def link_by_key(broken: BrokenQuery) -> Fix | None:
    """``ON bills.id = customers.id`` → ``ON bills.customer = customers.id``, where one key relates the two tables."""
    for node, _ in broken.columns("column"):
        other, scope = _other_column(node), broken.select(node)[1]
        mine, theirs = (_named(one, scope) for one in (node, other))
        if other is None or mine is None or theirs is None or mine is theirs:
            continue
        key = only(link for link in _links(mine, broken) if link.other == theirs.full_name)
        if key is None or len(key.pairs) != 1:
            continue
        [(own, its)] = key.pairs
        edits = [broken.replace(node.this, broken.written(own)), broken.replace(other.this, broken.written(its))]
        new = f"{node.table}.{own} = {other.table}.{its}"
        return broken.changed(edits, f"{shown(node)} = {shown(other)} → {new}")
    return None


def _other_column(node: exp.Column) -> exp.Column | None:
    """The column that a column is set equal to."""
    parent = node.parent
    other = (parent.expression if node.arg_key == "this" else parent.this) if isinstance(parent, exp.EQ) else None
    return other if isinstance(other, exp.Column) else None


def _named(column: exp.Column | None, scope: Scope | None) -> Table | None:
    """The table behind the name before a column's dot."""
    name = column.table.casefold() if column is not None else ""
    relations = scope.relations if scope is not None and name else ()
    return next((relation.table for relation in relations if relation.name.casefold() == name), None)


def _links(table: Table, broken: BrokenQuery) -> list[Link]:
    return known(broken.catalog).links.get(table.full_name, [])


def join_neighbour(broken: BrokenQuery) -> Fix | None:
    """``SELECT segment FROM bills`` → ``… FROM bills JOIN customers ON …``, where one key leads to the column."""
    return _join(broken, _ways)


def join_rows(broken: BrokenQuery) -> Fix | None:
    """``FROM customers WHERE placed > …`` → ``FROM customers JOIN bills ON …``: a customer comes once for each bill."""
    return _join(broken, _ways_back)


def _join(broken: BrokenQuery, ways: _Ways) -> Fix | None:
    for node, missing in broken.columns("column", "qualifier"):
        select, scope = broken.select(node)
        way = only(ways(node, missing, scope, broken)) if select and scope else None
        if select and scope and way and not any(_is_same(way.table, relation) for relation in scope.relations):
            end = _place_of_join(missing, select, broken)
            if made := _joined(node, way, end, select=select, scope=scope, broken=broken):
                return made
    return None


def _is_same(table: Table, relation: Relation) -> bool:
    return relation.table is table or relation.name.casefold() == table.name.casefold()


def _joined(
    node: exp.Column, way: _Way, end: int | None, *, select: exp.Select, scope: Scope, broken: BrokenQuery
) -> Fix | None:
    if end is None or any(projection.is_star for projection in select.expressions):  # a join would add columns
        return None
    relation, table = broken.written(way.relation.name), broken.written(way.table.name)
    condition = " AND ".join(f"{relation}.{broken.written(a)} = {table}.{broken.written(b)}" for a, b in way.pairs)
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
            if table is None or column is None or not _may_be_of(node, missing, table, broken):
                continue
            # The key leads to one row at most, so that a join with it multiplies none.
            unique = {name.casefold() for name in table.primary_key}
            if not unique or unique == {name.casefold() for name in key.referred}:
                yield _Way(relation, table, column.name, tuple(zip(key.columns, key.referred, strict=True)))


def _ways_back(node: exp.Column, missing: Missing, scope: Scope, broken: BrokenQuery) -> Iterator[_Way]:
    """Keys of other tables, which have the column, to a table of a query."""
    for relation in scope.relations:
        for link in _links(relation.table, broken) if relation.table and relation.name else ():
            table = broken.catalog.get(link.other)
            column = table.column(node.name) if table else None
            if table and column and _may_be_of(node, missing, table, broken):
                yield _Way(relation, table, column.name, link.pairs)


def _may_be_of(node: exp.Column, missing: Missing, table: Table, broken: BrokenQuery) -> bool:
    """A table named before the dot that is not in FROM is the one to join."""
    return missing.kind != "qualifier" or broken.catalog.get(node.table) is table


def _told_apart(table: Table, select: exp.Select, scope: Scope, broken: BrokenQuery) -> Iterator[Edit | None]:
    """Bare columns that the new table has too, behind the name of the table that they are of."""
    columns = broken.resolution.columns
    for node in select.find_all(exp.Column):
        relation, _ = columns.get(id(node), (None, ""))
        is_own = relation is not None and any(relation is one for one in scope.relations)
        if relation is not None and is_own and not node.args.get("table") and table.column(node.name):
            new = f"{broken.written(relation.name)}.{broken.text[start(node) : node.this.meta.get('end', -1) + 1]}"
            yield broken.replace(node.this, new)


def add_from(broken: BrokenQuery) -> Fix | None:
    """``SELECT SUM(amount)`` → ``SELECT SUM(amount) FROM loan``, where one table only has all the columns."""
    for select, scope in broken.resolution.selects:
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
    if not isinstance(join, exp.Join) or join.parent is not select:
        return None if from_ is None else _end_behind(start(from_), broken)
    tokens = [token for token in (broken.lexed.tokens if broken.lexed else ()) if token.start < start(join.this)]
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
