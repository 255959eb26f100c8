"""Texts that a query compares a column with: does the column hold them, and if not, what does it hold?

``WHERE country = 'usa'`` over a column that says ``USA`` compiles, runs, and finds nothing. A person would look at the
values; here the catalog's profiles are looked at, and where they do not say, the database is asked for the same letters
in another case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import exp

    from rsql_magic.context import Catalog, Column, Table

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_MOST = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """A column that a query compares with a text: ``origin = 'jfk'``, ``origin IN ('jfk')``."""

    table: Table
    column: Column
    text: str


def comparisons(sql: str, dialect: str, catalog: Catalog) -> list[Comparison]:
    """What a query compares its columns with, as far as it is plain text.

    Args:
        sql: One query that was checked.
        dialect: sqlglot's name of its dialect.
        catalog: The tables there are.

    Example:
        >>> from rsql_magic.context import Catalog
        >>> catalog = Catalog.from_ddl("CREATE TABLE f (origin VARCHAR)", "duckdb")
        >>> [c.text for c in comparisons("SELECT * FROM f WHERE f.origin IN ('jfk', 'ewr')", "duckdb", catalog)]
        ['jfk', 'ewr']
    """
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, dialect=dialect)
    named = {table.alias_or_name: catalog.get(_written(table)) for table in tree.find_all(exp.Table)}
    tables = {alias: table for alias, table in named.items() if table is not None}
    found = []
    for column, texts in _pairs(tree):
        table = tables.get(column.table) if column.table else _only(tables.values(), column.name)
        known = table.column(column.name) if table else None
        if table and known:
            found += [Comparison(table, known, text) for text in texts]
    return list(dict.fromkeys(found))


def _written(table: exp.Table) -> str:
    return ".".join(part for part in (table.catalog, table.db, table.name) if part)


def _pairs(tree: exp.Expr) -> Iterator[tuple[exp.Column, list[str]]]:
    from sqlglot import exp

    for node in tree.find_all(exp.EQ, exp.In):
        sides = [node.this, *(node.expressions or [node.args.get("expression")])]
        texts = [side.name for side in sides if isinstance(side, exp.Literal) and side.is_string]
        column = next((side for side in sides if isinstance(side, exp.Column)), None)
        if column is not None and texts:
            yield column, texts


def _only(tables: Iterable[Table], column: str) -> Table | None:
    """The one table that has the column."""
    having = [table for table in tables if table.column(column)]
    return having[0] if len(having) == 1 else None


def spelled_otherwise(found: Iterable[Comparison]) -> list[str]:
    """What the profiles say of texts that a column never holds but nearly does, one sentence each.

    A text that is like no value of the column is no mistake: nothing is what the question is about.

    Example:
        >>> from rsql_magic.context import Column, Profile, Table
        >>> origin = Column("origin", "VARCHAR", profile=Profile(values=("JFK", "EWR"), complete=True))
        >>> spelled_otherwise([Comparison(Table("f", (origin,)), origin, "jfk")])
        ["origin is never 'jfk'. Did you mean 'JFK'?"]
    """
    said = []
    for one in found:
        values = one.column.profile.values if one.column.profile and one.column.profile.complete else ()
        if values and one.text not in values and (near := _near(one.text, values)):
            said.append(meant(one, near))
    return said


def meant(one: Comparison, values: Iterable[str]) -> str:
    """The sentence about a text and the values that it may stand for."""
    listed = " or ".join(f"'{value}'" for value in list(values)[:_MOST])
    return f"{one.column.name} is never '{one.text}'. Did you mean {listed}?"


def _near(text: str, values: Iterable[str]) -> list[str]:
    folded = {value.strip().casefold(): value for value in values}
    if text.strip().casefold() in folded:
        return [folded[text.strip().casefold()]]
    return [folded[near] for near in get_close_matches(text.strip().casefold(), folded, 2, 0.8)]


def lookup(one: Comparison, dialect: str) -> str:
    r"""The query for values that differ from a text in case or in blanks around it only.

    Example:
        >>> from rsql_magic.context import Column, Table
        >>> lookup(Comparison(Table("f"), Column("o"), "jfk"), "duckdb")
        'SELECT DISTINCT "o" FROM "f" WHERE LOWER(TRIM("o")) = \'jfk\' LIMIT 3'
    """
    from sqlglot import exp

    column = exp.column(one.column.name, quoted=True)
    table = exp.table_(one.table.name, db=one.table.schema or None, catalog=one.table.database or None, quoted=True)
    same = exp.Lower(this=exp.Trim(this=column.copy())).eq(exp.Literal.string(one.text.strip().lower()))
    query = exp.select(column).distinct().from_(table).where(same).limit(3)
    text: str = query.sql(dialect=dialect)
    return text


def without_values(message: str, sql: str) -> str:
    """A database's complaint without the values it quotes, unless the query itself holds them.

    Example:
        >>> without_values("Could not convert 'Ada' to INTEGER in 'x'", "SELECT 'x'")
        "Could not convert '…' to INTEGER in 'x'"
    """
    return _QUOTED.sub(lambda match: match[0] if match[0][1:-1] in sql else f"{match[0][0]}…{match[0][0]}", message)
