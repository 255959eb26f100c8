"""Correct a query that failed, by the rules of `rsql_magic.sql.fix_query` and the stored spelling of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from rsql_magic.sql import fix_query, validate

from .draft import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.sql import Catalog


def repaired(sql: str, problems: Sequence[str], catalog: Catalog, dialect: str) -> str:
    """The corrected query.

    Args:
        sql: The query that failed.
        problems: What was said about it, one sentence each.
        catalog: The tables there are.
        dialect: sqlglot's name of the dialect.

    Raises:
        NotUnderstood: No rule knows what was meant.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (id INTEGER, price REAL)", "sqlite")
        >>> repaired("SELECT prices FROM orders", ["There is no column prices in orders."], shop, "sqlite")
        'SELECT price FROM orders'
    """
    spelled = _with_stored_values(sql, problems, catalog, dialect)
    fix = fix_query(spelled, dialect, catalog, lambda text: not validate(text, dialect, catalog))
    found = fix.sql if fix else spelled
    if found == sql or validate(found, dialect, catalog):
        raise NotUnderstood("I cannot correct this query from what was said about it")
    return found


def _with_stored_values(sql: str, problems: Sequence[str], catalog: Catalog, dialect: str) -> str:
    """The query with values as they are stored, where a problem quotes one that differs in case alone."""
    try:
        query = sqlglot.parse_one(sql, read=dialect or None)
    except SqlglotError:
        return sql
    known = (value for t in catalog for c in t.columns for value in (c.profile.values if c.profile else ()))
    stored = {value.casefold(): value for value in known}
    changed = False
    for literal in query.find_all(exp.Literal):
        spelled = stored.get(literal.name.casefold(), literal.name)
        if literal.is_string and spelled != literal.name and any(f"'{literal.name}'" in said for said in problems):
            literal.set("this", spelled)
            changed = True
    return query.sql(dialect or None) if changed else sql
