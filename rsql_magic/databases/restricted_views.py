"""Views are opened: a column of a view that tells of a restricted column is restricted as well."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rsql_magic.sql import Catalog, Lineage, Meaning, Unfollowed, own_trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlglot import exp

    from rsql_magic.databases.base import Structure
    from rsql_magic.sql import Column, Table


def with_restricted_views(structure: Structure, tables: Sequence[Table], dialect: str) -> tuple[Table, ...]:
    """Tables whose views are restricted where they tell of a restricted column, through views of views too.

    A view whose query may not be read, or cannot be followed, is restricted as a whole where restricted columns are in
    reach, but for columns that the dictionary itself describes.

    Args:
        structure: What the database says of itself, with the queries of its views.
        tables: Its tables, as a dictionary describes them.
        dialect: sqlglot's name of its dialect.

    Example:
        >>> from rsql_magic.databases.base import Structure
        >>> from rsql_magic.sql import Column, Table
        >>> name = Column("name", "TEXT", meaning=Meaning(restricted=True))
        >>> tables = Table("people", (name, Column("age"))), Table("v", (Column("x"), Column("n")), kind="view")
        >>> query = "CREATE VIEW v AS SELECT upper(name), age FROM people"
        >>> found = with_restricted_views(Structure(tables, definitions={"v": query}), tables, "duckdb")
        >>> [column.meaning is not None and column.meaning.restricted for column in found[1].columns]
        [True, False]
    """
    found = {table.full_name: table for table in tables}
    views = [name for name, table in found.items() if table.kind == "view" or name in structure.definitions]
    if not views or not _restricted(found.values()):
        return tuple(tables)
    trees: dict[str, exp.Expr | None] = {}
    for _ in range(len(views) + 1):  # each round opens the views of those before
        names = {table.name.casefold() for table in _restricted(found.values())}
        before = dict(found)
        for view in views:
            definition = structure.definitions.get(view, "")
            if definition and not any(name in definition.casefold() for name in names):
                continue
            if view not in trees:
                trees[view] = _query_of(definition, dialect)
            catalog = Catalog(tuple(found.values()), dialect, schema=structure.schema, database=structure.database)
            found[view] = _opened(found[view], trees[view], catalog, dialect)
        if found == before:
            break
    return tuple(found.values())


def _restricted(tables: Iterable[Table]) -> list[Table]:
    return [table for table in tables if any(c.meaning and c.meaning.restricted for c in table.columns)]


def _query_of(definition: str, dialect: str) -> exp.Expr | None:
    from sqlglot import exp

    try:
        trees = [tree for tree in own_trees(definition, dialect) if not isinstance(tree, exp.Semicolon)]
    except (ValueError, RecursionError):
        return None
    query = trees[0].expression if trees and isinstance(trees[0], exp.Create) else next(iter(trees), None)
    return query if len(trees) == 1 and isinstance(query, exp.Query) else None


def _opened(view: Table, query: exp.Expr | None, catalog: Catalog, dialect: str) -> Table:
    """A view with the columns restricted that its query says to be."""
    unknown = view.with_columns(
        column if column.meaning is not None else _hidden(column, "its view cannot be followed")
        for column in view.columns
    )
    if query is None:
        return unknown
    try:
        shown = Lineage(catalog, dialect).shown(query)
    except Unfollowed:
        return unknown
    if not shown.held:
        return view
    if not shown.ordered or shown.others is not None or len(shown.outputs) != len(view.columns):
        return unknown
    pairs = zip(view.columns, shown.outputs, strict=True)
    return view.with_columns(_hidden(c, _listed(o.held)) if o.held else c for c, o in pairs)


def _listed(held: frozenset[tuple[str, str]]) -> str:
    return f"tells of {', '.join('.'.join(origin) for origin in sorted(held)[:3])}"


def _hidden(column: Column, why: str) -> Column:
    meaning = column.meaning or Meaning()
    if meaning.restricted:
        return column
    return replace(column, meaning=replace(meaning, restricted=True, values=(), source=meaning.source or why))
