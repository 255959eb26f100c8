"""Drafts held against the dictionary: what goes against it is told to the model once, and said of the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql import Catalog, Definition, Findings, Fix


@dataclass
class DefinitionCheck:
    """The drafts of one question, and what is known of them by the dictionary."""

    dialect: str
    catalog: Callable[[], Catalog]
    question: str
    reading: Callable[[], str] = str  # the question as fixed rules read it, empty where they do not understand it
    told: str = field(default="", init=False)  # the draft whose breaches the model was told
    proposed: Fix | None = field(default=None, init=False)  # that draft with its metric put in by rule
    forbidden: list[str] = field(default_factory=list, init=False)  # what the last draft showed and must not show
    _found: dict[str, Findings] = field(default_factory=dict, init=False)
    _decided: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False)  # by rule, in queries as SQL

    def put_in(self, sql: str) -> str:
        """A draft with its metrics, filters and derived values as SQL, as it is where that cannot be."""
        if not self.catalog().definitions.named:
            return sql
        from rsql_magic.sql import expand

        made = expand(sql, self.dialect, self.catalog())
        self._decided[made.sql] = made.notes or self._decided.get(made.sql, ())
        return made.sql

    def problems(self, sql: str, statement: str, *, may_repair: bool) -> list[str]:
        """What in a draft goes against the dictionary: what must not be shown each time, the rest the first time."""
        catalog = self.catalog()
        if not catalog.is_described:
            return []
        from rsql_magic.sql import by_definition, findings, without_restricted

        self._found[sql] = found = findings(statement, self.dialect, catalog, self.question)
        self.forbidden = [breach.message for breach in found.breaches if breach.is_final]
        breaches = self.breaches(sql)
        if self.forbidden:
            self.told, self.proposed = sql, without_restricted(statement, self.dialect, catalog)
            return self.forbidden
        if not breaches or self.told or not may_repair:
            return []
        self.told, self.proposed = sql, by_definition(statement, self.dialect, catalog, self.question)
        if (self.proposed is None or self.proposed.restructured) and (read := self._read()):
            self.proposed = read
        return breaches

    def instead(self, sql: str, *, failed: bool, check: Callable[[str], list[str]]) -> Fix | None:
        """What stands in place of the last draft, where it failed or goes against the dictionary still.

        It is the draft that was told, with its metric put in by rule; the question as fixed rules read it; or the draft
        as it was, where nothing better passed.
        """
        from rsql_magic.sql import Fix

        if not (failed or (self.told and self.breaches(sql))):
            return None
        for fix in filter(None, (self.proposed, self._read())):
            if not check(fix.sql):
                return fix
        return Fix(self.told) if failed and self.told and not check(self.told) else None

    def _read(self) -> Fix | None:
        from rsql_magic.sql import Fix

        read = self.reading()
        return Fix(read, ("the question as fixed rules read it",), restructured=True) if read else None

    def breaches(self, sql: str) -> list[str]:
        """What in a draft goes against the dictionary, one sentence each."""
        return [breach.message for breach in self._found[sql].breaches] if sql in self._found else []

    def said(self, sql: str) -> Iterator[str]:
        """Which definitions a query computes, what in it goes against one, or that it computes none."""
        found = self._found.get(sql)
        computed = found.computes[::-1] if found else ()
        if found and found.is_unread:  # such as a mean of means
            yield from (f"Computed from {_sourced(one)} by its definition." for one in computed)
        elif found and computed:
            if whole := [_sourced(one) for one in computed if not found.only.get(one.name)]:
                yield f"By the definition of {', '.join(whole)}."
            for one in computed:
                if only := found.only.get(one.name):
                    yield f"{_sourced(one)} by its definition, of part of the data only: {'; '.join(only)}."
        if found:
            from rsql_magic.sql import refused_metrics

            for name, reason in refused_metrics(self.question, self.catalog()):
                yield f"{name} is defined, but {reason.rstrip('.')}; this query is not held to it."
        yield from self._decided.get(sql, ())
        yield from self.breaches(sql)
        if self.catalog().definitions.metrics and not (computed or self.breaches(sql)) and adds_up(sql, self.dialect):
            yield "Not a defined metric."


def _sourced(one: Definition) -> str:
    return f"{one.name} ({one.source})" if one.source else one.name


def adds_up(sql: str, dialect: str) -> bool:
    """Whether a query computes figures of several rows.

    Example:
        >>> adds_up("SELECT SUM(x) FROM t", "duckdb"), adds_up("SELECT x FROM t", "duckdb")
        (True, False)
    """
    from sqlglot import exp

    from rsql_magic.sql import Unreadable, lex, parse

    try:
        return parse(lex(sql, dialect).text, dialect).find(exp.AggFunc) is not None
    except Unreadable:
        return False
