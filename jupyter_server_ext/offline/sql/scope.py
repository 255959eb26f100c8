"""One query while it is written: its tables, and its names as the dialect writes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import quoted

from .resolve import Resolver

if TYPE_CHECKING:
    from .draft import Draft, Name
    from .joins import Joins, Step
    from .schema import Field, Names


class Scope:
    """The tables and names of one query."""

    def __init__(self, draft: Draft, names: Names, joins: Joins, dialect: str) -> None:
        self.resolver = Resolver(draft, names, joins)
        self.names, self.joins, self.dialect = names, joins, dialect
        self.subject = self.resolver.subject
        self.used: dict[str, None] = {self.subject: None}
        self.notes = list(draft.notes)

    def field(self, name: Name) -> Field:
        """The column that a name means; its table takes part."""
        found = self.resolver.field(name)
        self.used.setdefault(found.table)
        return found

    def column(self, field: Field) -> exp.Column:
        """A column, behind its table's name."""
        self.used.setdefault(field.table)
        return exp.Column(this=self.identifier(field.name), table=self.identifier(field.table.rpartition(".")[2]))

    def identifier(self, name: str) -> exp.Identifier:
        """An identifier, quoted where the dialect needs it."""
        return exp.to_identifier(name, quoted=quoted(name, self.dialect) != name)

    def table(self, name: str) -> exp.Table:
        """A table, with its schema where it has one."""
        parts = [self.identifier(part) for part in name.split(".")]
        return exp.Table(**dict(zip(("this", "db", "catalog"), reversed(parts), strict=False)))

    def select(self, shown: list[exp.Expr], start: str, steps: tuple[Step, ...]) -> exp.Select:
        """``SELECT shown FROM start JOIN …``."""
        query = exp.select(*shown).from_(self.table(start))
        for step in steps:
            query = query.join(self.table(step.table), on=exp.and_(*self.equalities(step)))
        return query

    def equalities(self, step: Step) -> list[exp.Expr]:
        """The conditions of one join."""
        own, other = (self.identifier(name.rpartition(".")[2]) for name in (step.origin, step.table))
        return [
            exp.EQ(
                this=exp.Column(this=self.identifier(here), table=own.copy()),
                expression=exp.Column(this=self.identifier(there), table=other.copy()),
            )
            for here, there in step.pairs
        ]


def unqualified(query: exp.Select) -> exp.Select:
    """The query without table names before columns wherever a SELECT reads one table, as a person would write it."""
    for select in query.find_all(exp.Select):
        source = select.args.get("from_")
        if select.args.get("joins") or source is None or not isinstance(source.this, exp.Table):
            continue
        for column in select.find_all(exp.Column):
            if column.find_ancestor(exp.Select) is select and column.table == source.this.name:
                column.set("table", None)
    return query


def noun(name: str) -> str:
    """What a table or column is called in the name of a computed column."""
    return re.sub(r"\W+", "_", name.rpartition(".")[2]).strip("_").lower() or "value"
