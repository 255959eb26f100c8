"""Counts of rows and keys, asked of the database where it may be asked, of which join notes speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.sql.catalog import Table

    Count = Callable[[str], "int | None"]

# Rows of a table that are counted; of larger ones the catalog's figures are said.
_MOST_ROWS = 2_000_000


@dataclass
class RowCounts:
    """What the database counts."""

    dialect: str
    count: Count | None
    known: dict[str, int | None] = field(default_factory=dict)

    def number(self, query: exp.Expr) -> int | None:
        """The number a query asks for, asked once."""
        if self.count is None:
            return None
        if (sql := query.sql(dialect=self.dialect)) not in self.known:
            self.known[sql] = self.count(sql)
        return self.known[sql]

    def can(self, *tables: Table) -> bool:
        """Whether these may be counted."""
        return self.count is not None and all(t.kind != "view" and (t.rows or _MOST_ROWS) < _MOST_ROWS for t in tables)

    def repeats(self, table: Table, columns: list[str]) -> bool:
        """Whether several rows of a table have the same of these columns."""
        if table.primary_key and folded(table.primary_key) <= folded(columns):
            return False
        names = [exp.column(name, quoted=True) for name in columns]
        held = [exp.Not(this=exp.Is(this=name.copy(), expression=exp.Null())) for name in names]
        groups = exp.select(exp.Literal.number(1).as_("one")).from_(named_table(table)).where(*held).group_by(*names)
        twice = groups.having(exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1)))
        found = self.number(exp.select("COUNT(*)").from_(twice.subquery("q"))) if self.can(table) else None
        return found > 0 if found is not None else known_to_repeat(table, columns)

    def lacks(self, table: Table, columns: list[str], other: Table, keys: list[str]) -> bool:
        """Whether rows of another table have keys that these columns do not hold; False where it is not counted."""
        if not self.can(table, other):
            return False
        held = exp.select(*(exp.column(name, quoted=True) for name in columns)).from_(named_table(table))
        wanted = exp.select(*(exp.column(name, quoted=True) for name in keys)).from_(named_table(other))
        missing = exp.except_(wanted, held).subquery("q")
        return bool(self.number(exp.select("COUNT(*)").from_(missing)))


def named_table(table: Table) -> exp.Table:
    """A table as it stands in FROM, each name quoted."""
    return exp.table_(table.name, db=table.schema or None, catalog=table.database or None, quoted=True)


def folded(names: list[str] | tuple[str, ...]) -> set[str]:
    """Names as they are compared."""
    return {name.casefold() for name in names}


def known_to_repeat(table: Table, columns: list[str]) -> bool:
    """True when a value of these columns is known to come more than once: they are a key to another table."""
    wanted = folded(columns)
    if table.primary_key and folded(table.primary_key) <= wanted:
        return False
    found = [column for column in table.columns if column.name.casefold() in wanted]
    distinct = next((c.profile.distinct for c in found if c.profile and c.profile.distinct), None)
    if len(found) == 1 and distinct is not None and table.rows:
        return distinct < table.rows
    return any(folded(key.columns) <= wanted for key in table.foreign_keys)
