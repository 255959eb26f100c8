"""A query with its subqueries and WITHs merged into one SELECT over tables, as far as that changes no row."""

# Metrics are told by the columns of tables. A draft that chooses rows in a WITH and adds them up around it computes the
# same as one without it; it is read without it, and runs as it was written.

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from rsql_magic.sql.metrics.inlining import conjuncts, identifier

if TYPE_CHECKING:
    from rsql_magic.sql.catalog import Catalog, Table


def flat(tree: exp.Expr, dialect: str, catalog: Catalog) -> exp.Expr | None:
    """The query without what can be merged; None where nothing can, or it cannot be followed.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE o (id INT, shop TEXT, amount INT)", "duckdb")
        >>> tree = sqlglot.parse_one("WITH x AS (SELECT shop AS s FROM o WHERE amount > 1) SELECT s FROM x", "duckdb")
        >>> flat(tree, "duckdb", shop).sql("duckdb")
        'SELECT o.shop AS s FROM o AS o WHERE o.amount > 1'
    """
    if not tree.find(exp.CTE, exp.Subquery, exp.Exists):
        return None
    from sqlglot.optimizer.merge_subqueries import merge_subqueries
    from sqlglot.optimizer.qualify import qualify

    made = tree.copy()
    tables = _under_plain_names(made, dialect, catalog)
    schema: dict[str, object] = {name: {c.name: c.type for c in table.columns} for name, table in tables.items()}
    try:
        made = qualify(made, dialect=dialect, schema=schema, quote_identifiers=False, validate_qualify_columns=False)
        made = merge_subqueries(_joined(made, tables))
    except (sqlglot.errors.SqlglotError, KeyError, RecursionError):
        return None
    for node in made.find_all(exp.Table):
        if (table := tables.get(node.name)) is not None:
            names = [identifier(part, dialect) for part in (table.name, table.schema, table.database) if part]
            for place, name in zip(("this", "db", "catalog"), names, strict=False):
                node.set(place, name)
    return made


def _under_plain_names(tree: exp.Expr, dialect: str, catalog: Catalog) -> dict[str, Table]:
    """The tables of a query, which are renamed in it: what merges knows of one schema and of plain names only."""
    with_ = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    found: dict[str, Table] = {}
    for node in list(tree.find_all(exp.Table)):
        if not node.args.get("db") and node.name.casefold() in with_:
            continue
        table = catalog.find(tuple(part.name for part in node.parts), dialect)
        if table is None:
            continue
        name = f"table_{len(found)}"
        if not node.alias:
            node.set("alias", exp.TableAlias(this=node.this.copy()))
        for part in ("db", "catalog"):
            node.set(part, None)
        node.set("this", exp.to_identifier(name))
        found[name] = table
    return found


def _joined(tree: exp.Expr, tables: dict[str, Table]) -> exp.Expr:
    """A query whose ``x IN (SELECT key …)`` and ``EXISTS`` over one table are joins: a key is met once at most."""
    for select in list(tree.find_all(exp.Select)):
        where = select.args.get("where")
        for part in conjuncts(where.this) if where is not None else ():
            if (found := _semi_join(part, tables)) is None:
                continue
            asked, equal = found
            alias = f"semi_{len(select.args.get('joins') or ())}"
            inner = asked.args.get("where")
            conditions = [equal, *(conjuncts(inner.this) if inner is not None else ())]
            named = asked.args["from_"].this
            old = named.alias_or_name
            on = exp.and_(*(one.copy() for one in conditions if one is not equal), equal.copy())
            for column in on.find_all(exp.Column):
                if column.table == old:
                    column.set("table", exp.to_identifier(alias))
            source = named.copy()
            source.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
            part.replace(exp.true())
            select.append("joins", exp.Join(this=source, on=on))
    return tree


def _semi_join(part: exp.Expr, tables: dict[str, Table]) -> tuple[exp.Select, exp.Expr] | None:
    """The query that a condition asks for a key, and the equality of it with a column outside."""
    query = part.args.get("query") if isinstance(part, exp.In) else part.this if isinstance(part, exp.Exists) else None
    query = query.unnest() if query is not None else None
    if not isinstance(query, exp.Select) or any(query.args.get(name) for name in ("joins", "group", "limit", "with_")):
        return None
    source = query.args["from_"].this if query.args.get("from_") is not None else None
    table = tables.get(source.name) if isinstance(source, exp.Table) else None
    if table is None or len(table.primary_key) != 1:
        return None
    key, name = table.primary_key[0].casefold(), source.alias_or_name if source is not None else ""
    if isinstance(part, exp.In):
        shown = query.expressions[0].unalias()
        is_key = isinstance(shown, exp.Column) and shown.table == name and shown.name.casefold() == key
        return (query, exp.EQ(this=part.this.copy(), expression=shown.copy())) if is_key else None
    inner = query.args.get("where")
    for each in conjuncts(inner.this) if inner is not None else ():
        sides = [each.this, each.expression] if isinstance(each, exp.EQ) else []
        if all(isinstance(side, exp.Column) for side in sides) and len({side.table == name for side in sides}) == 2:
            theirs = next(side for side in sides if side.table == name)
            if theirs.name.casefold() == key:
                return query, each
    return None
