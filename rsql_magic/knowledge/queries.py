"""Earlier queries of a database: which tables are used together, on which keys, and which no longer fit."""

# Whatever text there is, a query is what the parser reads as one and whose tables are all in the catalog. Each text is
# read once per catalog, and of many only the first.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import combinations, islice
from typing import TYPE_CHECKING

from rsql_magic.sql import Evidence, ForeignKey, Unreadable, canonical, lex, one_line, parse, resolve, validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlglot import exp

    from rsql_magic.sql import Catalog, Relation, Resolution, Table

# So many queries are read, of at most so many characters.
_MOST, _LONGEST = 300, 20_000
# Keys of a table that are told, those seen most often.
_MOST_KEYS = 5


VERIFIED_HERE = "a verified question"  # the source of one's own; others are a group's


@dataclass(frozen=True, slots=True)
class EarlierQuery:
    """A query that somebody ran or kept."""

    sql: str
    dialect: str = ""  # sqlglot's name; empty for that of the database
    question: str = ""  # What it answers, where that is known
    source: str = ""  # Where it is from, as people call it: "a verified question", "the query log"


@dataclass(frozen=True, slots=True, order=True)
class SeenJoin:
    """Columns of two tables that were equal in a query; the tables by their full names."""

    table: str
    column: str
    other: str
    other_column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} = {self.other}.{self.other_column}"


@dataclass(frozen=True)
class QueryEvidence:
    """What the earlier queries of a database tell.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE c (id INT PRIMARY KEY); CREATE TABLE o (buyer INT, n INT)", "duckdb")
        >>> evidence = QueryEvidence.of([EarlierQuery("SELECT n FROM o JOIN c ON o.buyer = c.id")], shop)
        >>> [str(join) for join in evidence.joins]
        ['o.buyer = c.id']
    """

    tables: Mapping[str, int] = field(default_factory=dict)  # How many queries use a table
    joins: Mapping[SeenJoin, int] = field(default_factory=dict)  # How many have a join, the most frequent first
    asked: tuple[tuple[str, tuple[str, ...]], ...] = ()  # Questions with the tables of their queries
    outdated: tuple[EarlierQuery, ...] = ()  # Those with a question whose tables or columns are no longer there

    @classmethod
    def of(cls, queries: Iterable[EarlierQuery], catalog: Catalog) -> QueryEvidence:
        """Read queries, at most 300; what is no query of these tables tells nothing."""
        tables: Counter[str] = Counter()
        joins: Counter[SeenJoin] = Counter()
        asked, outdated = [], []
        for query in islice(dict.fromkeys(queries), _MOST):
            if (facts := _facts_of(query, catalog)) is None:
                outdated += [query] if query.question else []
                continue
            tables.update(facts.tables)
            joins.update(facts.joins)
            if query.question:
                asked.append((query.question, facts.tables))
        ordered = {join: times for join, times in joins.most_common() if times}
        return cls(dict(tables), ordered, tuple(asked), tuple(outdated))

    @property
    def note(self) -> str:
        """Which questions no longer fit the tables, as a sentence; empty where all do."""
        questions = [f'"{one_line(query.question, 60)}"' for query in self.outdated]
        more = [f"{len(questions) - 2} more"] if len(questions) > 2 else []
        named = " and ".join([*questions[:2], *more])
        return f"Left out, as the SQL does not fit these tables: {named}." if named else ""

    @property
    def for_linking(self) -> Evidence:
        """What the choice of tables needs of it."""
        joined: Counter[tuple[str, str]] = Counter()
        for join, times in self.joins.items():
            joined[join.table, join.other] += times
        return Evidence(self.tables, joined, self.asked)

    def with_keys(self, tables: Sequence[Table]) -> list[Table]:
        """The tables with the joins between them that nothing declares, as keys that were seen in earlier queries."""
        shown = {table.full_name: table for table in tables}
        found: dict[str, list[ForeignKey]] = {}
        for join, times in self.joins.items():
            if (key := self._key(join, times, shown)) and len(found.setdefault(join.table, [])) < _MOST_KEYS:
                found[join.table].append(key)
        return [
            replace(table, foreign_keys=(*table.foreign_keys, *found[table.full_name]))
            if found.get(table.full_name)
            else table
            for table in tables
        ]

    def _key(self, join: SeenJoin, times: int, shown: Mapping[str, Table]) -> ForeignKey | None:
        """The join as a key of its first table, unless a key says so already."""
        one, other = shown.get(join.table), shown.get(join.other)
        if one is None or other is None or one is other or not one.column(join.column):
            return None
        known = any(
            key.table == b and (key.columns, key.referred) == ((mine,), (theirs,))
            for table, b, mine, theirs in (
                (one, join.other, join.column, join.other_column),
                (other, join.table, join.other_column, join.column),
            )
            for key in table.foreign_keys
        )
        return (
            None if known else ForeignKey((join.column,), join.other, (join.other_column,), inferred=True, seen=times)
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What one query says."""

    tables: tuple[str, ...]  # Full names
    joins: tuple[SeenJoin, ...]


def _facts_of(query: EarlierQuery, catalog: Catalog) -> _Facts | None:
    """What a query says; None where it is none, or names what is not there. Each text is read once per catalog."""
    known: dict[tuple[str, str], _Facts | None] = catalog.kept("_earlier_queries", lambda _: {})
    key = query.sql, query.dialect or catalog.dialect
    if key not in known:
        known[key] = _read(*key, catalog)
    return known[key]


def _read(sql: str, dialect: str, catalog: Catalog) -> _Facts | None:
    if len(sql) > _LONGEST:
        return None
    try:
        dialect = canonical(dialect)
        text = lex(sql, dialect).text
        tree = parse(text, dialect)
        resolution = resolve(tree, text, dialect, catalog)
    except (Unreadable, RecursionError):
        return None
    tables = dict.fromkeys(r.table.full_name for _, scope in resolution.selects for r in scope.relations if r.table)
    if not tables or validate(sql, dialect, catalog):
        return None
    return _Facts(tuple(tables), tuple(dict.fromkeys(_joins(tree, resolution))))


def _joins(tree: exp.Expr, resolution: Resolution) -> Iterator[SeenJoin]:
    """Columns of two tables that are equal, by ON and WHERE, by USING, or by IN."""
    from sqlglot import exp

    for node in tree.find_all(exp.EQ, exp.In):
        query = node.args.get("query") if isinstance(node, exp.In) else None
        select = query.this if isinstance(query, exp.Subquery) else query
        if isinstance(node, exp.In) and not (isinstance(select, exp.Select) and len(select.expressions) == 1):
            continue
        other = select.expressions[0].unalias() if isinstance(select, exp.Select) else node.args.get("expression")
        yield from _join(resolution.columns.get(id(node.this)), resolution.columns.get(id(other)))
    for _, scope in resolution.selects:
        for one, later in combinations(scope.relations, 2):
            for name in later.shared:
                if name in one.columns:
                    yield from _join((one, one.columns[name]), (later, later.columns[name]))


def _join(one: tuple[Relation, str] | None, other: tuple[Relation, str] | None) -> Iterator[SeenJoin]:
    """The join of two columns of tables, from the one that points to the one that is pointed to."""
    if not one or not other or not one[0].table or not other[0].table or one[0].table is other[0].table:
        return
    ends = [(one[0].table, one[1]), (other[0].table, other[1])]
    (table, column), (target, key) = sorted(ends, key=lambda end: (end[0].primary_key == (end[1],), end[0].full_name))
    yield SeenJoin(table.full_name, column, target.full_name, key)
