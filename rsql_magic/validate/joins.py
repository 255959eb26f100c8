"""Joins that change what is counted: rows that come several times, and rows that are left out.

Both are sound SQL and often what is wanted, so they are no problems but notes: a person should know.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.dialects import Unreadable, canonical, lex, parse, written
from rsql_magic.validate.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.context import Catalog, Table
    from rsql_magic.validate.scopes import Relation, Resolution, Scope

_COUNTED = (exp.Sum, exp.Avg, exp.Count)
"""What comes out differently when rows come several times; the largest and the smallest do not."""
_MISSING = 0.001
"""Share of missing keys from which on rows that an inner join leaves out are worth a word."""


class _Link(NamedTuple):
    """Two relations of one SELECT with the columns that are equal."""

    left: Relation
    right: Relation
    pairs: tuple[tuple[str, str], ...]
    inner: bool


def join_notes(sql: str, dialect: str, catalog: Catalog) -> list[str]:
    """What a person should know of a query's joins, one sentence each.

    Args:
        sql: A query without problems.
        dialect: sqlglot's name of the SQL dialect.
        catalog: The tables there are, with their keys and, where known, the share of missing values.

    Example:
        >>> from rsql_magic.context import Catalog
        >>> shop = Catalog.from_ddl(
        ...     "CREATE TABLE c (id INT PRIMARY KEY, credit INT); CREATE TABLE o (c_id INT REFERENCES c (id))", "duckdb"
        ... )
        >>> join_notes("SELECT sum(c.credit) FROM c JOIN o ON o.c_id = c.id", "duckdb", shop)
        ['A row of c comes once for each matching row of o, so sum(c.credit) counts it several times.']
    """
    try:
        dialect = canonical(dialect)
        text = lex(sql, dialect).text
        resolution = resolve(parse(text, dialect), text, dialect, catalog)
    except (Unreadable, RecursionError):
        return []
    notes = [
        note
        for select, scope in resolution.selects
        for link in _links(select, scope, resolution)
        for note in (*_repeated(link, select, resolution, text), *_left_out(link), *_unmatched(link, scope))
    ]
    return list(dict.fromkeys(notes))


def _links(select: exp.Select, scope: Scope, resolution: Resolution) -> Iterator[_Link]:
    """The joins between tables of the catalog."""
    pairs: dict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
    relations = {id(relation): relation for relation in scope.relations if relation.table is not None}
    for condition in _conditions(select):
        for equal in condition.find_all(exp.EQ):
            one, other = (resolution.columns.get(id(side)) for side in (equal.this, equal.expression))
            elsewhere = equal.find_ancestor(exp.Select) is not select or equal.find_ancestor(exp.Or, exp.Not)
            if one is None or other is None or elsewhere:
                continue
            (left, mine), (right, theirs) = one, other
            if left is not right and id(left) in relations and id(right) in relations:
                flip = id(left) > id(right)
                key = (id(right), id(left)) if flip else (id(left), id(right))
                pairs[key].append((theirs, mine) if flip else (mine, theirs))
    inner = not any(join.args.get("side") for join in select.args.get("joins") or ())
    for (one_id, other_id), found in pairs.items():
        yield _Link(relations[one_id], relations[other_id], tuple(found), inner)


def _conditions(select: exp.Select) -> Iterator[exp.Expr]:
    for join in select.args.get("joins") or ():
        if join.args.get("on") is not None:
            yield join.args["on"]
    if select.args.get("where") is not None:
        yield select.args["where"].this


def _repeated(link: _Link, select: exp.Select, resolution: Resolution, text: str) -> Iterator[str]:
    """Aggregates over a table whose rows the join repeats."""
    for one, other, columns in (
        (link.left, link.right, [b for _, b in link.pairs]),
        (link.right, link.left, [a for a, _ in link.pairs]),
    ):
        if other.table is None or not _known_to_repeat(other.table, columns):
            continue
        for call in _aggregates(select):
            owners = [resolution.columns.get(id(column)) for column in call.find_all(exp.Column)]
            if owners and all(owner is not None and owner[0] is one for owner in owners):
                shown = written(call, text, 60)
                shown += ")" * (shown.count("(") - shown.count(")"))
                yield (
                    f"A row of {_called(one)} comes once for each matching row of {_called(other)}, "
                    f"so {shown} counts it several times."
                )


def _called(relation: Relation) -> str:
    return relation.table.name if relation.table is not None else relation.name


def _aggregates(select: exp.Select) -> Iterator[exp.Expr]:
    """Sums, means and counts of the SELECT itself, DISTINCT ones left out."""
    for part in select.expressions:
        for call in part.find_all(*_COUNTED):
            own = call.find_ancestor(exp.Select) is select and not isinstance(call.parent, exp.Window)
            if own and call.find(exp.Distinct) is None:
                yield call


def _known_to_repeat(table: Table, columns: list[str]) -> bool:
    """True when a value of these columns is known to come more than once: they are a key to another table."""
    wanted = {name.casefold() for name in columns}
    if table.primary_key and {name.casefold() for name in table.primary_key} <= wanted:
        return False
    found = [column for column in table.columns if column.name.casefold() in wanted]
    distinct = next((c.profile.distinct for c in found if c.profile and c.profile.distinct), None)
    if len(found) == 1 and distinct is not None and table.rows:
        return distinct < table.rows
    return any({name.casefold() for name in key.columns} <= wanted for key in table.foreign_keys)


def _left_out(link: _Link) -> Iterator[str]:
    """Rows without a key, which an inner join leaves out."""
    if not link.inner:
        return
    for relation, names in ((link.left, [a for a, _ in link.pairs]), (link.right, [b for _, b in link.pairs])):
        other = link.right if relation is link.left else link.left
        for name in names if relation.table is not None else ():
            column = relation.table.column(name) if relation.table is not None else None
            share = column.profile.nulls if column is not None and column.profile else None
            if share is not None and share > _MISSING:
                yield (
                    f"{share:.0%} of the rows of {_called(relation)} have no {name} and are left out by the join "
                    f"with {_called(other)}."
                )


def _unmatched(link: _Link, scope: Scope) -> Iterator[str]:
    """Rows of the first table that match none of the other: fewer of its keys stand there than it has rows."""
    if not link.inner or len(link.pairs) != 1:
        return
    [(a, b)] = link.pairs
    for one, other, own, theirs in ((link.left, link.right, a, b), (link.right, link.left, b, a)):
        if one is not scope.relations[0] or one.table is None or other.table is None or not one.table.rows:
            continue
        column = other.table.column(theirs)
        profile = column.profile if column is not None else None
        is_key = [name.casefold() for name in one.table.primary_key] == [own.casefold()]
        if not is_key or profile is None or profile.approximate or profile.distinct is None:
            continue
        if one.table.rows - profile.distinct > _MISSING * one.table.rows:
            yield (
                f"No more than {profile.distinct:,} of the {one.table.rows:,} rows of {_called(one)} have a row in "
                f"{_called(other)}; the join leaves out the others."
            )
