"""One query's names and tables: how a name is written in the dialect, and which tables take part so far."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from ..words import word_set

if TYPE_CHECKING:
    from .joins import Step
    from .query import Draft
    from .resolve import Resolver
    from .schema import Column

_SIMPLE = re.compile(r"[A-Za-z_]\w*")
_SIMPLE_LOWER = re.compile(r"[a-z_]\w*")
_RESERVED = word_set(
    """
    all and any as asc between by case cast check column constraint create cross current default delete desc
    distinct drop else end except exists false for foreign from full grant group having in inner insert
    intersect into is join key left like limit match natural not null offset on or order outer primary
    references right select set some table then to true union unique update user using values when where window
    with
    """
)
_FOLDING_DIALECTS = {"postgres", "snowflake", "oracle", "redshift"}


class Scope:
    """The names and tables of one query.

    Args:
        resolver: What the mentions mean.
        draft: What is asked.
        dialect: sqlglot's name of the dialect.
    """

    def __init__(self, resolver: Resolver, draft: Draft, dialect: str) -> None:
        self.resolver = resolver
        self.draft = draft
        self.dialect = dialect
        self.schema = resolver.schema
        self.used: dict[str, None] = {}

    def identifier(self, name: str) -> exp.Identifier:
        """An identifier, quoted when the dialect needs it."""
        simple = _SIMPLE_LOWER if self.dialect in _FOLDING_DIALECTS else _SIMPLE
        return exp.to_identifier(name, quoted=not simple.fullmatch(name) or name.lower() in _RESERVED)

    def column(self, column: Column) -> exp.Column:
        """A column, with its table's name."""
        self.used.setdefault(column.table, None)
        return exp.Column(this=self.identifier(column.name), table=self.identifier(column.table.rpartition(".")[2]))

    def table(self, name: str) -> exp.Table:
        """A table, with its schema where it has one."""
        parts = [self.identifier(part) for part in name.split(".")]
        return exp.Table(**dict(zip(("this", "db", "catalog"), reversed(parts), strict=False)))

    def needed(self) -> list[str]:
        """Tables that take part: those whose columns are used and those spoken of."""
        excluded = {self.resolver.table(other).name for _, other in self.draft.without}
        spoken = [self.resolver.table(number).name for number in self.draft.tables if self.resolver.is_table(number)]
        found = [name for name in dict.fromkeys([*self.used, *spoken]) if name not in excluded or name in self.used]
        only = [table.name for table in self.schema.tables] if len(self.schema.tables) == 1 else []
        return found or (only if self.draft.select or self.draft.limit else [])

    def join_condition(self, step: Step) -> exp.Expr:
        """The condition of one join."""
        key = step.key
        pairs = zip(key.columns, key.referred, strict=False)
        return exp.and_(
            *(
                exp.EQ(this=self._plain(key.table, own), expression=self._plain(key.other, other))
                for own, other in pairs
            )
        )

    def _plain(self, table: str, name: str) -> exp.Column:
        return exp.Column(this=self.identifier(name), table=self.identifier(table.rpartition(".")[2]))


def unqualify(query: exp.Select) -> exp.Select:
    """Take the table names off columns where each query has one table: shorter, and as a person would write it."""
    for select in list(query.find_all(exp.Select)):
        if select.args.get("joins") or len(list(select.find_ancestor(exp.Select) or [])) < 0:
            continue
        table = select.find(exp.Table)
        if table is None:
            continue
        for column in select.find_all(exp.Column):
            if column.find_ancestor(exp.Select) is select and column.table.lower() == table.name.lower():
                column.set("table", None)
    return query
