"""Counts of rows and keys, asked of the database where it may be asked, of which join notes speak."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.validate import Relation

    Count = Callable[[str], "int | None"]

# Rows of a table that are counted; of larger ones the catalog's figures are said.
_MOST_ROWS = 2_000_000


@dataclass
class RowCounts:
    """What the database counts, of tables and of the subqueries and WITHs of one query.

    Attributes:
        catalog: The tables there are.
        root: The query whose WITHs may be named.
    """

    dialect: str
    count: Count | None
    catalog: Catalog
    root: exp.Expr
    known: dict[str, int | None] = field(default_factory=dict)

    def number(self, query: exp.Expr) -> int | None:
        """The number a query asks for, asked once."""
        if self.count is None:
            return None
        if (with_ := self.root.args.get("with_")) is not None and not query.args.get("with_"):
            query = query.copy()
            query.set("with_", with_.copy())
        if (sql := query.sql(dialect=self.dialect)) not in self.known:
            self.known[sql] = self.count(sql)
        return self.known[sql]

    def can(self, *relations: Relation) -> bool:
        """Whether the rows of these may be counted: of small tables, and of queries over them."""
        tables = [table for one in relations for table in self._tables(one)]
        return self.count is not None and None not in tables and all(map(_is_small, filter(None, tables)))

    # The tables that a relation reads, None for one that is not known. Names of WITHs are those of the root alone.
    def _tables(self, one: Relation) -> list[Table | None]:
        if one.table is not None:
            return [one.table]
        if one.query is None:
            return [None]
        with_ = self.root.args.get("with_")
        defined = {cte.alias.casefold(): cte.this for cte in with_.expressions} if with_ is not None else {}
        found: list[Table | None] = []
        seen, todo = set[str](), [one.query]
        for query in todo:
            if query.find(exp.With):
                return [None]
            for table in query.find_all(exp.Table):
                name = table.name.casefold()
                if not table.args.get("db") and name in defined:
                    todo += [defined[name]] if name not in seen else []
                    seen.add(name)
                else:
                    found.append(self.catalog.find(tuple(part.name for part in table.parts), self.dialect))
        # A WITH that takes the name of a table would stand in its place when that is counted.
        return [None] if {table.name.casefold() for table in found if table is not None} & set(defined) else found

    def source(self, one: Relation) -> exp.Expr:
        """A relation as it stands in FROM, under no alias."""
        if one.table is not None:
            return named_table(one.table)
        assert one.query is not None  # noqa: S101 - links are between relations that have one of them
        if isinstance(one.query, exp.Table):
            return exp.table_(one.query.name, quoted=True)
        return exp.Subquery(this=one.query.copy())

    def repeats(self, one: Relation, columns: list[str]) -> bool:
        """Whether several rows of a relation have the same of these columns; of no columns, whether it has several."""
        key = one.table.primary_key if one.table is not None else ()
        if key and folded(key) <= folded(columns):
            return False
        source = exp.alias_(self.source(one), "r", table=True)
        if not columns:
            rows = self.number(exp.select("COUNT(*)").from_(source)) if self.can(one) else None
            return (rows if rows is not None else (one.table and one.table.rows) or 0) > 1
        names = [exp.column(name, quoted=True) for name in columns]
        held = [exp.Not(this=exp.Is(this=name.copy(), expression=exp.Null())) for name in names]
        groups = exp.select(exp.Literal.number(1).as_("one")).from_(source).where(*held).group_by(*names)
        twice = groups.having(exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1)))
        found = self.number(exp.select("COUNT(*)").from_(twice.subquery("q"))) if self.can(one) else None
        return found > 0 if found is not None else one.table is not None and known_to_repeat(one.table, columns)

    def lacks(self, one: Relation, columns: list[str], other: Relation, keys: list[str]) -> bool:
        """Whether rows of another relation have keys that these columns do not hold; False where it is not counted."""
        if not columns or not self.can(one, other):
            return False
        here, there = (exp.alias_(self.source(each), "r", table=True) for each in (one, other))
        held = exp.select(*(exp.column(name, quoted=True) for name in columns)).from_(here)
        wanted = exp.select(*(exp.column(name, quoted=True) for name in keys)).from_(there)
        missing = exp.except_(wanted, held).subquery("q")
        return bool(self.number(exp.select("COUNT(*)").from_(missing)))


def _is_small(table: Table) -> bool:
    return table.kind != "view" and (table.rows or _MOST_ROWS) < _MOST_ROWS


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
