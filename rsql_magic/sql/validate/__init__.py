"""Do a query's names exist, and if not, what should stand there?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, parse, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlglot import exp

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.dialects.reading import Lexed

Kind = Literal["syntax", "table", "column", "ambiguous", "function", "aggregate", "engine"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a query."""

    # What sort: it does not parse, a table or column does not exist, a column could be of several tables, a
    # function does not exist, an aggregate or a bare column stands where it may not
    kind: Kind
    name: str  # The offending name, as written
    message: str  # What is wrong and what to write instead, for a model and a person alike
    suggestions: tuple[str, ...] = ()  # Names to write instead, best first; columns as ``table.column``

    def __str__(self) -> str:
        return self.message


@dataclass(slots=True)
class Relation:
    """Something in FROM: a table, a subquery, a WITH, a function."""

    name: str  # Its alias, else its name, as written
    key: str  # That name as it is compared
    columns: Mapping[str, str]  # Its columns: name as compared → name as stored
    open: bool = False  # True when it may have columns that are not known
    table: Table | None = None  # The catalog's table behind it
    query: exp.Expr | None = None  # The subquery that it is, or the name of a WITH
    shared: set[str] = field(default_factory=set)  # Columns that USING or NATURAL made one with an earlier relation's


@dataclass(slots=True)
class Scope:
    """What the parts of one SELECT see."""

    relations: list[Relation] = field(default_factory=list)  # What stands in its FROM
    outer: tuple[Scope, ...] = ()  # The scopes around it, from the inside out
    # The names that AS gives, as compared, with their definitions
    aliases: dict[str, exp.Expr] = field(default_factory=dict)


class Missing(NamedTuple):
    """A name that stands for nothing, or for too much."""

    # ``table``, ``column``, ``qualifier`` (the part before the dot), ``ambiguous`` or ``alias`` (given twice)
    kind: str
    node: exp.Expr  # Where it stands
    scope: Scope  # What is in sight there
    found: tuple[Relation, ...] = ()  # For ``ambiguous``: the relations that have it


@dataclass(slots=True)
class Resolution:
    """What `resolve` found."""

    missing: list[Missing] = field(default_factory=list)  # Names that stand for nothing
    # Column nodes by id, with the relation they belong to
    columns: dict[int, tuple[Relation, str]] = field(default_factory=dict)
    selects: list[tuple[exp.Select, Scope]] = field(default_factory=list)  # Every SELECT with its scope


# Harmless statements that are no queries; the guard knows them.
_OTHER_STATEMENTS = frozenset({"ANALYZE", "DESC", "DESCRIBE", "EXPLAIN", "PRAGMA", "SHOW", "SUMMARIZE"})


def validate(sql: str, dialect: str, catalog: Catalog) -> list[Problem]:
    """Check a query's names against the tables there are.

    Bad SQL does not raise: what does not parse is a problem of kind ``syntax``.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Table
        >>> catalog = Catalog((Table("users", (Column("id"), Column("name"))),), "duckdb")
        >>> [p.message for p in validate("SELECT nme FROM users", "duckdb", catalog)]
        ['There is no column nme in users. Did you mean users.name?']
    """
    try:
        dialect = canonical(dialect)
        if (lexed := lex(sql, dialect)).first_word() in _OTHER_STATEMENTS:
            return []
        tree = parse(lexed.text, dialect)
    except Unreadable as error:
        return [Problem("syntax", error.piece, error.reason)]
    try:
        found = sorted(_found(tree, lexed, dialect, catalog), key=lambda placed: placed[0])
    except RecursionError:
        return [Problem("syntax", "", "This query is nested too deeply to be checked: split it with WITH … AS (…).")]
    return list(dict.fromkeys(problem for _, problem in found))


def _found(tree: exp.Expr, lexed: Lexed, dialect: str, catalog: Catalog) -> Iterator[tuple[int, Problem]]:
    """Problems with names, aggregates, grammar and functions, with where they stand in the text."""
    from rsql_magic.sql.validate.grammar import misused_aggregates, refused_grammar, unknown_functions
    from rsql_magic.sql.validate.resolve import resolve

    # The tree of a pipe hides which names its steps still see; the engine's dry run knows.
    if not any(token.text == "|>" for token in lexed.tokens):
        if (resolution := resolve(tree, lexed.text, dialect, catalog)).missing:
            from rsql_magic.sql.validate.hints import problem  # most queries need none

            yield from ((start(missing.node), problem(missing, catalog, dialect)) for missing in resolution.missing)
        for node, misuse in misused_aggregates(resolution, lexed.text, dialect):
            yield start(node), misuse
    nodes = list(tree.walk())
    for node, refused in refused_grammar(tree, nodes, lexed.text, dialect):
        yield start(node), refused
    yield from unknown_functions(lexed, nodes, dialect, catalog.functions)
