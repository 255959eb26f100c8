"""Correct a query by what the checks say about it: a near name, the table that has the column, the stored spelling.

The problems are sentences for people and models alike. Whatever their wording, the names in them are what counts: each
name that the schema knows is a candidate for the name that it does not know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from .insisted import likeness
from .joins import Graph
from .query import Draft, NotUnderstood
from .reading import Reading
from .resolve import Resolver
from .scope import Scope, unqualify

if TYPE_CHECKING:
    from .schema import Column, Schema, Table

_NAME = re.compile(r"""["`]?([^\W\d]\w*)["`]?\.["`]?([^\W\d]\w*)["`]?|["`]?([^\W\d]\w*)["`]?""")
_VALUE = re.compile(r"'((?:[^']|'')+)'")
_WORDS = re.compile(r"[^\W_]+")
_NEAR_ENOUGH = 0.6


def repair(sql: str, problems: str, schema: Schema, dialect: str) -> exp.Query | None:
    """The corrected query, or None when nothing in the problems helps.

    Args:
        sql: The query that failed.
        problems: What the checks said, one sentence each.
        schema: The tables of the prompt.
        dialect: sqlglot's name of the dialect.
    """
    try:
        query = sqlglot.parse_one(sql, read=dialect or None)
    except SqlglotError:
        return None
    if not isinstance(query, exp.Query):
        return None
    before = query.sql()
    lines = [line.strip(" -*\t") for line in problems.splitlines() if line.strip()]
    fixer = _Fixer(query, lines, schema, dialect)
    fixer.tables()
    fixer.columns()
    fixer.values()
    return fixer.query if fixer.query.sql() != before and not fixer.unknown else None


class _Fixer:
    def __init__(self, query: exp.Query, lines: list[str], schema: Schema, dialect: str) -> None:
        self.query = query
        self.unknown: list[str] = []
        self._lines = lines
        self._schema = schema
        reading = Reading("", [], schema)
        words = {word.lower() for line in lines for word in re.findall(r"\w+", line)}
        self._graph = Graph(schema, words)
        self._scope = Scope(Resolver(reading, self._graph), Draft(), dialect)

    # --- tables ---

    def tables(self) -> None:
        """Replace tables that do not exist."""
        defined = {cte.alias.lower() for cte in self.query.find_all(exp.CTE)}
        for node in list(self.query.find_all(exp.Table)):
            if node.name.lower() in defined or self._schema.get(_full_name(node)) or self._schema.get(node.name):
                continue
            known = [table for line in self._about(node.name) for table in self._tables_in(line)]
            best = known[0] if known else self._nearest_table(node.name)
            if best is not None:
                self._rename_table(node, best)

    def _nearest_table(self, name: str) -> Table | None:
        best = max(self._schema.tables, key=lambda table: likeness(name, table.name), default=None)
        return best if best is not None and likeness(name, best.name) >= _NEAR_ENOUGH else None

    def _rename_table(self, node: exp.Table, table: Table) -> None:
        old = node.name
        fresh = self._scope.table(table.name)
        for part in ("this", "db", "catalog"):
            node.set(part, fresh.args.get(part))
        if not node.alias:
            for column in self.query.find_all(exp.Column):
                if column.table.lower() == old.lower():
                    column.set("table", self._scope.identifier(table.name.rpartition(".")[2]))

    def _tables_in(self, line: str) -> list[Table]:
        names = [match[3] or match[1] for match in _NAME.finditer(line)]
        return [table for name in names if (table := self._schema.get(name))]

    # --- columns ---

    def columns(self) -> None:
        """Replace columns that do not exist where they stand, and join the table that has them where that is needed."""
        for select in list(self.query.find_all(exp.Select)):
            present = self._present(select)
            aliases = {item.alias.lower() for item in select.expressions if item.alias}
            if not present or len(present) < len(
                [t for t in select.find_all(exp.Table) if t.find_ancestor(exp.Select) is select]
            ):
                continue
            for node in [c for c in select.find_all(exp.Column) if c.find_ancestor(exp.Select) is select]:
                if node.name.lower() in aliases or not isinstance(node.this, exp.Identifier):
                    continue
                self._column(select, node, present)

    def _present(self, select: exp.Select) -> dict[str, Table]:
        """The tables of one SELECT by the names it gives them."""
        sources = [t for t in select.find_all(exp.Table) if t.find_ancestor(exp.Select) is select]
        known = {source.alias_or_name.lower(): self._schema.get(source.name) for source in sources}
        return {name: table for name, table in known.items() if table is not None}

    def _column(self, select: exp.Select, node: exp.Column, present: dict[str, Table]) -> None:
        tables = [present[node.table.lower()]] if node.table.lower() in present else list(present.values())
        holders = [table for table in tables if table.get(node.name)]
        if len(holders) == 1 or (holders and node.table):
            return
        chosen = self._hinted(node, present, ambiguous=bool(holders)) or self._nearest(node.name, tables)
        if chosen is None:
            self.unknown += [node.name] if self._about(node.name) else []
            return
        self._bring(select, chosen, present)
        alias = next((name for name, table in present.items() if table.name == chosen.table), chosen.table)
        fresh = self._scope.column(chosen)
        node.set("this", fresh.this)
        bare = not node.table and not holders and len(present) == 1
        node.set("table", None if bare else self._scope.identifier(alias.rpartition(".")[2]))

    def _hinted(self, node: exp.Column, present: dict[str, Table], *, ambiguous: bool) -> Column | None:
        """The column the problems propose: of a table in sight before others, and the first that is named."""
        found: list[Column] = []
        for line in self._about(node.name):
            found += self._proposed(line, node.name, present, ambiguous=ambiguous)
        in_sight = [c for c in found if c.table in {table.name for table in present.values()}]
        same = [c for c in found if c.name.lower() == node.name.lower()]
        near = [c for c in in_sight if likeness(c.name, node.name) >= 0.85]
        alike = [c for c in (*in_sight, *found) if is_alike(c.name, node.name)]
        return next(iter([*near, *same, *alike]), None)

    def _proposed(self, line: str, name: str, present: dict[str, Table], *, ambiguous: bool) -> list[Column]:
        """Known columns in a sentence: ``table.column``, or a bare name beside the table it says it is in."""
        found: list[Column] = []
        for match in _NAME.finditer(line):
            if match[1] and (column := self._schema.column(match[1], match[2])):
                found.append(column)
            elif match[3] and match[3].lower() != name.lower():
                found += [c for table in present.values() if (c := table.get(match[3]))]
        told = re.search(r"is (?:in|a column of)(?: the)?(?: table)? [\"`]?(\w+)", line)
        if told and (column := self._schema.column(told[1], name)):
            found.insert(0, column)
        joins = set(re.findall(r"(\w+\.\w+) = (\w+\.\w+)", line))
        keys = {side.lower() for pair in joins for side in pair}
        return [
            c for c in found if f"{c.table}.{c.name}".lower() not in keys or ambiguous or c.name.lower() == name.lower()
        ]

    def _nearest(self, name: str, tables: list[Table]) -> Column | None:
        columns = [column for table in tables for column in table.columns]
        best = max(columns, key=lambda column: likeness(name, column.name), default=None)
        return best if best is not None and likeness(name, best.name) >= _NEAR_ENOUGH else None

    def _bring(self, select: exp.Select, column: Column, present: dict[str, Table]) -> None:
        """Join a column's table to a query that lacks it."""
        names = [table.name for table in present.values()]
        if column.table in names:
            return
        if len(present) == 1:
            alias, only = next(iter(present.items()))
            for node in select.find_all(exp.Column):
                if not node.table and only.get(node.name) and node.find_ancestor(exp.Select) is select:
                    node.set("table", self._scope.identifier(alias))
        for step in self._graph.path(names, column.table) or []:
            select.join(self._scope.table(step.table), on=self._scope.join_condition(step), copy=False)
            present[step.table.lower()] = self._schema[step.table]

    # --- values ---

    def values(self) -> None:
        """Take the stored spelling of a value where the problems give it, or where the facts do."""
        offered = [value.replace("''", "'") for line in self._lines for value in _VALUE.findall(line)]
        stored = {value.lower(): value for column in self._schema.columns() for value in column.facts.values}
        for literal in list(self.query.find_all(exp.Literal)):
            if not literal.is_string or literal.this not in offered:
                continue
            others = [v for v in offered if v != literal.this and likeness(v, literal.this) >= _NEAR_ENOUGH]
            spelled = next(iter(others), stored.get(literal.this.lower()))
            if spelled and spelled != literal.this:
                literal.replace(exp.Literal.string(spelled))

    def _about(self, name: str) -> list[str]:
        """The problems that speak of a name."""
        pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
        return [line for line in self._lines if pattern.search(line)]


def is_alike(column: str, name: str) -> bool:
    """Whether a name may mean a column: it looks like it, or the one has all the words of the other.

    Example:
        >>> is_alike("amount", "total_amounts"), is_alike("order_id", "how_many_orders"), is_alike("id", "how_many")
        (True, False, False)
    """
    one, two = (frozenset(word.rstrip("s") for word in _WORDS.findall(text.lower())) for text in (column, name))
    return likeness(column, name) >= _NEAR_ENOUGH or one <= two or two <= one


def _full_name(node: exp.Table) -> str:
    return ".".join(part.name for part in node.parts)


def repaired(sql: str, problems: str, schema: Schema, dialect: str) -> exp.Query:
    """The corrected query.

    Raises:
        NotUnderstood: Nothing in the problems helps.
    """
    found = repair(sql, problems, schema, dialect)
    if found is None:
        raise NotUnderstood("I cannot correct this query from what was said about it")
    return unqualify(found) if isinstance(found, exp.Select) else found
