"""From a name that stands for nothing to a sentence that helps: where the column is, how to get there, what is near."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from difflib import SequenceMatcher
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

from sqlglot import ErrorLevel, exp

from rsql_magic.sql.catalog import quoted
from rsql_magic.sql.dialects.records import dialect_of, functions
from rsql_magic.sql.validate import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog, Column, Table
    from rsql_magic.sql.validate import Missing, Relation, Scope

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
# From here on two names resemble each other.
GOOD = 0.6
# Below it a ratio is not computed: it is far from GOOD.
_WORTH = 0.5


@lru_cache(maxsize=50_000)
def words(name: str) -> tuple[str, ...]:
    """The words of a name, singular and in lower case."""
    return tuple(_singular(word.lower()) for word in _WORD.findall(name))


def plain(name: str) -> str:
    """A name without case and punctuation: ``Customer ID`` and ``customer_id`` are the same."""
    # Unicode has an é of one character and one of two, which look alike; so do wide and narrow letters.
    whole = name if name.isascii() else normalize("NFKC", name)
    return "".join(c for c in whole.casefold() if c.isalnum())


def likeness(one: str, other: str) -> float:
    """How much two names resemble each other, 0 to 1."""
    # The better of two measures: the share of words they have in common, where a beginning counts as an abbreviation,
    # and the share of characters in common order (Ratcliff and Obershelp, 1988, as difflib has it).
    a, b = plain(one), plain(other)
    if a == b:
        return 1.0
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    # The ratio is not computed where its upper bounds show that the texts do not resemble each other.
    near = matcher.real_quick_ratio() >= _WORTH and matcher.quick_ratio() >= _WORTH
    return max(_words_in_common(words(one), words(other)), matcher.ratio() if near else 0.0)


def same_name(name: str, column: str, table: str = "") -> bool:
    """Whether a name can only be another one's: in the plural, in another order, with its table's name, or mistyped."""
    from rsql_magic.sql.linking.words import mistyped  # a module whose expressions take 4 ms to compile

    own, theirs, around = words(name), words(column), words(table)
    if sorted(own) == sorted(theirs) or own == (*around, *theirs) or (*around, *own) == theirs:
        return True
    return mistyped(plain(name), plain(column)) or plain(name) == plain(column)


def nearest(name: str, candidates: Iterable[str], count: int = 3, least: float = GOOD) -> list[str]:
    """The candidates that resemble a name, best first."""
    scored = sorted((-likeness(name, candidate), candidate) for candidate in _worth_a_look(name, candidates))
    return [candidate for score, candidate in scored[:count] if -score >= least]


def _worth_a_look(name: str, candidates: Iterable[str], most: int = 1000) -> list[str]:
    """Of many candidates those that share a word or a beginning, which is quick to tell."""
    if len(found := list(candidates)) <= most:
        return found
    own, start = words(name), plain(name)[:3]
    scored = sorted((-_words_in_common(own, words(c)) - (plain(c)[:3] == start), c) for c in found)
    return [candidate for _, candidate in scored[:most]]


def _words_in_common(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    if not one or not other:
        return 0.0
    found = sum(any(_same(a, b) for b in other) for a in one) + sum(any(_same(a, b) for a in one) for b in other)
    return 0.95 * found / (len(one) + len(other))  # the same words in another order are not yet the same name


def _same(a: str, b: str) -> bool:
    short, long = sorted((a, b), key=len)
    return short == long or (len(short) >= 3 and long.startswith(short))


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith("ss") else word


class Link(NamedTuple):
    """Two tables that join: ``table.column = other.column`` for each pair."""

    table: str
    other: str
    pairs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " AND ".join(f"{self.other}.{theirs} = {self.table}.{ours}" for ours, theirs in self.pairs)


class Known:
    """Indexes over one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.tables = {table.full_name: table for table in catalog}
        self.by_column: dict[str, list[tuple[Table, Column]]] = defaultdict(list)
        self.by_word: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self.links: dict[str, list[Link]] = defaultdict(list)
        for table in catalog:
            self._add(table, catalog)

    def _add(self, table: Table, catalog: Catalog) -> None:
        for column in table.columns:
            self.by_column[plain(column.name)].append((table, column))
            for word in words(column.name):
                self.by_word[word[:3]].add((table.full_name, column.name))
        for key in table.foreign_keys:
            if (other := catalog.get(key.table)) is not None and len(key.columns) == len(key.referred):
                self._link(table.full_name, other.full_name, tuple(zip(key.columns, key.referred, strict=True)))

    def _link(self, one: str, other: str, pairs: tuple[tuple[str, str], ...]) -> None:
        self.links[one].append(Link(one, other, pairs))
        self.links[other].append(Link(other, one, tuple((theirs, ours) for ours, theirs in pairs)))

    def having(self, name: str) -> list[tuple[Table, Column]]:
        """The columns of that name in any table, case and punctuation ignored."""
        return self.by_column.get(plain(name), [])

    def sharing_a_word(self, name: str) -> Iterator[tuple[str, str]]:
        """Columns with a word that begins like one of the name's, as table and column."""
        for word in words(name):
            yield from self.by_word.get(word[:3], ())

    def path(self, sources: Iterable[str], target: str, steps: int = 3) -> list[Link]:
        """The shortest way from tables that are read to another along keys, or else by a key of the same name."""
        start = [name for name in sources if name in self.tables]
        if target in start:
            return []
        return self._along_keys(start, target, steps) or self._by_same_name(start, target)

    def _along_keys(self, start: list[str], target: str, steps: int) -> list[Link]:
        ways: deque[tuple[str, list[Link]]] = deque((name, []) for name in start)
        seen = set(start)
        while ways:
            at, way = ways.popleft()
            for link in self.links.get(at, ()):
                if link.other == target:
                    return [*way, link]
                if link.other not in seen and len(way) + 1 < steps:
                    seen.add(link.other)
                    ways.append((link.other, [*way, link]))
        return []

    def _by_same_name(self, start: list[str], target: str) -> list[Link]:
        theirs = self.tables[target]
        for name in start:
            for column in self.tables[name].columns:
                other = theirs.column(column.name)
                if other is not None and _is_key(column.name, self.tables[name], theirs):
                    return [Link(name, target, ((column.name, other.name),))]
        return []


def known(catalog: Catalog) -> Known:
    """The indexes of a catalog, made when first needed and kept with it."""
    return catalog.kept("_known", Known)


def _is_key(name: str, *tables: Table) -> bool:
    """True for a column that looks like one to join by: a key, or a name that ends in id, code, number or key."""
    if any(name.casefold() in {key.casefold() for key in table.primary_key} for table in tables):
        return words(name) != ("id",)  # every table's own id says nothing of another's
    return words(name)[-1:] in {("id",), ("code",), ("key",), ("number",), ("no",)} and len(words(name)) > 1


# More columns in one sentence help neither a model nor a person.
_SHOWN_COLUMNS = 20
# What it counts that a column is of a table the query reads already.
_IN_SIGHT = 0.1
# What it counts that its table joins one of those by a key.
_NEIGHBOUR = 0.05


def problem(missing: Missing, catalog: Catalog, dialect: str) -> Problem:
    """The problem of one `Missing`."""
    if missing.kind == "table":
        return _table(missing, catalog, dialect)
    if missing.kind == "column":
        return _column(missing, catalog, dialect)
    if missing.kind == "qualifier":
        return _qualifier(missing, catalog)
    name = missing.node.alias_or_name
    if missing.kind == "alias":
        return Problem("ambiguous", name, f"{name} stands twice in FROM: give each its own alias.")
    choices = [f"{r.name}.{quoted(missing.node.name, dialect)}" for r in missing.found]
    message = f"{name} could be a column of several tables: write {_joined(choices)}."
    return Problem("ambiguous", name, message, tuple(choices))


def _table(missing: Missing, catalog: Catalog, dialect: str) -> Problem:
    node = missing.node
    name = ".".join(part.name for part in node.parts) if isinstance(node, exp.Table) else node.name
    if (table := catalog.get(name)) is not None:
        written = quoted(table.name, dialect)
        return Problem("table", name, f"The table is called {written}; write it with its quotes.", (written,))
    near = nearest(name, sorted({t.full_name for t in catalog}), least=0.5)
    said = f" Did you mean {_joined(near)}?" if near else f" There are: {_list(t.full_name for t in catalog)}."
    # What could not be read of the catalog may be about this table.
    named = re.compile(rf"(?<!\w){re.escape(node.name)}(?!\w)", re.IGNORECASE)
    hidden = next((f" {problem}" for problem in catalog.problems if named.search(problem)), "")
    return Problem("table", name, f"There is no table {name}.{hidden}{said}", tuple(near))


def _column(missing: Missing, catalog: Catalog, dialect: str) -> Problem:
    name = missing.node.name
    tables = list(_tables(missing.scope))
    if dialect_of(dialect).minds_case:
        cased = (column.name for table in tables if (column := table.column(name)) is not None)
        if stored := next((each for each in cased if each.casefold() == name.casefold()), ""):
            folded = quoted(stored, dialect)
            return Problem("column", name, f"The column is called {folded}; write it with its quotes.", (folded,))
    given = missing.scope.aliases.get(name.casefold())
    if given is not None and name.casefold() not in {c.name.casefold() for c in given.this.find_all(exp.Column)}:
        # A name given by AS, in a clause that does not see it.
        inner = str(given.unalias().sql(dialect=dialect, unsupported_level=ErrorLevel.IGNORE))
        seen = f"{name} is a name given by AS, which {functions(dialect).title} does not see here"
        return Problem("column", name, f"{seen}: write {inner[:120]}, or use a subquery.", (inner,))
    relations = missing.scope.relations
    where = f" in {_joined([_called(r) for r in relations], 'and')}" if relations else ""
    said, elsewhere = _elsewhere(name, tables, catalog)
    near = [
        column
        for column in _near(name, tables, catalog)
        # Beside the very name in another table, what is only like it leads astray.
        if column not in elsewhere and (not elsewhere or _is_sure(name, column))
    ]
    if near:
        said += f" Did you mean {_joined(near)}?"
    if not elsewhere and not near:
        said = "".join(f" {t.full_name} has: {_list(c.name for c in t.columns)}." for t in tables[:3])
    message = f"There is no column {name}{where}.{said}"
    # The same name in another table, unless a column in sight is nearly the same.
    best = dict.fromkeys([*(column for column in near if _is_sure(name, column)), *elsewhere, *near])
    return Problem("column", _written(missing.node), message, tuple(best))


def _is_sure(name: str, column: str) -> bool:
    return likeness(name, column.rpartition(".")[2]) >= 0.9


def _elsewhere(name: str, tables: list[Table], catalog: Catalog) -> tuple[str, list[str]]:
    """The other tables that have the column, nearest by keys first."""
    index = known(catalog)
    here = [table.full_name for table in tables]
    found = [(table, column) for table, column in index.having(name) if table.full_name not in here]
    # A column such as id is in thousands of tables, and the way to each is searched.
    ways = [(index.path(here, table.full_name), table, column) for table, column in found[:50]]
    ways.sort(key=lambda way: (not way[0], len(way[0]), way[1].full_name))
    parts = []
    for way, table, column in ways[:3]:
        join = f", joinable by {' and '.join(str(link) for link in way)}" if way else ""
        parts.append(f"{column.name} is in table {table.full_name}{join}")
    suggestions = [f"{table.full_name}.{column.name}" for _, table, column in ways[:3]]
    return (f" {'; '.join(parts)}.", suggestions) if parts else ("", [])


def _near(name: str, tables: list[Table], catalog: Catalog) -> list[str]:
    """Columns that resemble the name, by name or description: of the tables in sight, their neighbours, then others."""
    index = known(catalog)
    scored = {f"{t.full_name}.{c.name}": _IN_SIGHT + _likeness(name, t, c) for t in tables for c in t.columns}
    here = {table.full_name for table in tables}
    neighbours = {link.other for table in here for link in index.links.get(table, ())}
    alike: dict[str, float] = {}
    for full_name, column_name in index.sharing_a_word(name):
        if full_name not in here:
            if column_name not in alike:
                alike[column_name] = likeness(name, column_name)
            scored[f"{full_name}.{column_name}"] = alike[column_name] + _NEIGHBOUR * (full_name in neighbours)
    return sorted((c for c in scored if scored[c] >= GOOD), key=lambda c: (-scored[c], c))[:3]


def _likeness(name: str, table: Table, column: Column) -> float:
    """How much a name resembles a column, also as ``student_name`` resembles ``students.name``."""
    with_table = likeness(name, f"{table.name}_{column.name}")
    by_description = likeness(name, column.description) if column.description else 0.0
    return max(likeness(name, column.name), 0.95 * with_table, 0.9 * by_description)


def _qualifier(missing: Missing, catalog: Catalog) -> Problem:
    node = missing.node
    name = node.args["table"].name
    every = [r for level in (missing.scope, *missing.scope.outer) for r in level.relations]
    renamed = next((r.name for r in every if r.table and r.table.name.casefold() == name.casefold()), None)
    if renamed is not None:
        right = f"{renamed}.{node.name}"
        return Problem("column", _written(node), f"{name} is called {renamed} here: write {right}.", (right,))
    relations = [r for r in every if r.name]
    having = [r.name for r in relations if node.name.casefold() in {c.casefold() for c in r.columns}]
    if having:
        said, suggestions = f" {node.name} is a column of {_joined(having)}.", [f"{r}.{node.name}" for r in having]
    else:
        said, suggestions = _elsewhere(node.name, list(_tables(missing.scope)), catalog)
    if catalog.get(name) is not None:
        said += f" The table {name} is not in FROM; join it."
    there = f"; there are {_joined([r.name for r in relations], 'and')}" if relations else ""
    message = f"{name} is not a table or alias of this query{there}.{said}"
    return Problem("column", _written(node), message, tuple(suggestions))


def _tables(scope: Scope) -> Iterator[Table]:
    """The tables in sight, from the inside out."""
    relations = (relation for level in (scope, *scope.outer) for relation in level.relations)
    yield from (relation.table for relation in relations if relation.table is not None)


def _called(relation: Relation) -> str:
    full = relation.table.full_name if relation.table else relation.name
    return full if full.casefold() == relation.name.casefold() or not relation.name else f"{full} ({relation.name})"


def _written(node: exp.Expr) -> str:
    return ".".join(part.name for part in node.parts) if isinstance(node, exp.Column) else node.name


def _list(names: Iterator[str]) -> str:
    shown = list(names)
    more = len(shown) - _SHOWN_COLUMNS
    return ", ".join(shown[:_SHOWN_COLUMNS]) + (f" and {more} more" if more > 0 else "")


def _joined(names: list[str], word: str = "or") -> str:
    """Names with commas between them, and a word before the last."""
    named = list(dict.fromkeys(name for name in names if name))
    return named[0] if len(named) == 1 else f"{', '.join(named[:-1])} {word} {named[-1]}" if named else ""
