"""The joins of a draft: which tables' rows must have partners in them, and which are kept without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.metrics.inlining import conjuncts, is_link
from rsql_magic.sql.metrics.paths import NotByDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.metrics.paths import Pairs


@dataclass(frozen=True)
class WrittenJoins:
    """What a draft's FROM says about rows without a partner, by the full names of its tables."""

    # Tables of which a row must be found, as an inner join says
    required: frozenset[str] = frozenset()
    # Tables whose rows are kept though none of another table is found: the kept one, then the other
    kept: tuple[tuple[str, str], ...] = ()
    pairs: tuple[Pairs, ...] = ()  # columns that are equal, in both orders
    joined: frozenset[str] = field(default=frozenset())  # tables that stand in a join, however written

    @classmethod
    def of(cls, select: exp.Select, tables: Mapping[str, Table]) -> WrittenJoins:
        """The joins of a SELECT over ``tables``, which are given by alias.

        Raises:
            NotByDefinition: It keeps the rows of both sides, which no metric is computed over.

        Example:
            >>> from rsql_magic.sql import Catalog
            >>> from sqlglot import parse_one
            >>> shop = Catalog.from_ddl("CREATE TABLE o (c_id INT); CREATE TABLE c (id INT)", "duckdb")
            >>> query = parse_one("SELECT 1 FROM c LEFT JOIN o ON o.c_id = c.id")
            >>> WrittenJoins.of(query, {"c": shop["c"], "o": shop["o"]}).kept
            (('c', 'o'),)
        """
        joins = select.args.get("joins") or ()
        if not joins:
            return cls()
        first = select.args["from_"].this.alias_or_name.casefold()
        required: set[str] = set()
        kept: list[tuple[str, str]] = []
        # From the last to the first: an inner join takes away what an outer join before it had kept.
        for join in reversed(joins):
            alias = join.this.alias_or_name.casefold()
            others = {one for one in _linked(join, tables) if one != alias} or {first}
            if join.side == "FULL":
                raise NotByDefinition(
                    "A metric keeps the rows of its own table: write LEFT JOIN in place of FULL JOIN."
                )
            lost = {"LEFT": {alias}, "RIGHT": others}.get(join.side, set())
            if not lost or lost & required:
                required |= {alias, *others}
            elif join.side == "RIGHT" and join is not joins[0]:  # what is kept is kept beside a join as a whole
                raise NotByDefinition(f"Begin FROM with {alias}, in place of RIGHT JOIN {alias}, and join to it.")
            else:
                sides = (others, {alias}) if join.side == "LEFT" else ({alias}, others)
                kept += [(tables[one].full_name, tables[other].full_name) for one in sides[0] for other in sides[1]]
        full = frozenset(tables[alias].full_name for alias in required)
        return cls(full, tuple(kept), tuple(_pairs(select)), frozenset(table.full_name for table in tables.values()))


def _linked(join: exp.Join, tables: Mapping[str, Table]) -> Iterator[str]:
    """The aliases of the tables that a join's condition names."""
    on = join.args.get("on")
    for column in on.find_all(exp.Column) if on is not None else ():
        if column.table:
            found = [column.table.casefold()] if column.table.casefold() in tables else []
        else:
            found = [alias for alias, table in tables.items() if table.column(column.name)][:1]
        yield from found
    for name in join.args.get("using") or ():
        yield from [alias for alias, table in tables.items() if table.column(name.name)][:1]


def _pairs(select: exp.Select) -> Iterator[Pairs]:
    for join in select.args.get("joins") or ():
        for part in conjuncts(join.args["on"]) if join.args.get("on") is not None else ():
            if isinstance(part, exp.EQ) and is_link(part):
                yield ((part.this.name, part.expression.name),)
                yield ((part.expression.name, part.this.name),)
