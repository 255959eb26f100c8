"""What a catalog holds, by column name and by key: looked up when a name is not found, built once per catalog."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql.validate.nearest import plain, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog, Column, Table


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
            other = catalog.get(key.table)
            if other is not None and len(key.columns) == len(key.referred):
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
