"""How tables join: declared and inferred keys, then keys guessed from names, as a graph with shortest paths."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..words import name_words, stem
from .lexicon import ABBREVIATIONS, likeness
from .naming import expanded
from .query import NotUnderstood
from .schema import Key, Schema, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Step:
    """One join: the key that is followed and the table it brings in."""

    key: Key
    table: str

    @property
    def to_many(self) -> bool:
        """True when one row so far may meet many of the new table."""
        return self.key.table == self.table and self.key.other != self.table


class Graph:
    """The tables of a schema and the keys between them.

    Args:
        schema: The tables.
        said: Stems of the question, by which one of several keys between two tables is chosen.
    """

    def __init__(self, schema: Schema, said: Iterable[str] = ()) -> None:
        self.schema = schema
        self.said = frozenset(said)

    @cached_property
    def keys(self) -> list[Key]:
        """Declared and inferred keys, and guessed ones between tables that no other key joins."""
        known = [self._spelled(key) for table in self.schema.tables for key in table.keys if self.schema.get(key.other)]
        pairs = {frozenset((key.table, key.other)) for key in known}
        guessed = [key for key in _guesses(self.schema) if frozenset((key.table, key.other)) not in pairs]
        return [*known, *guessed, *_siblings(self.schema, known)]

    def _spelled(self, key: Key) -> Key:
        """The key with names as the tables spell them."""
        other = self.schema[key.other]
        columns = tuple(self._name(key.table, name) for name in key.columns)
        return Key(
            key.table, columns, other.name, tuple(self._name(other.name, name) for name in key.referred), key.guessed
        )

    def _name(self, table: str, name: str) -> str:
        column = self.schema.column(table, name)
        return column.name if column else name

    @cached_property
    def _edges(self) -> dict[str, list[tuple[float, Key, str]]]:
        edges: dict[str, list[tuple[float, Key, str]]] = {table.name: [] for table in self.schema.tables}
        for key in self.keys:
            cost = 1.5 if key.guessed else 1.0
            cost += 0.01 * len(self._role(key)) - 0.8 * self._said_role(key)
            if key.table != key.other:
                edges[key.table].append((cost - 0.3 * (key.other in self._spoken), key, key.other))
                edges[key.other].append((cost - 0.3 * (key.table in self._spoken), key, key.table))
        return edges

    @cached_property
    def _spoken(self) -> frozenset[str]:
        """Tables of which the question says a word, if only as a verb: "attended" for ``attendance``."""
        return frozenset(
            table.name
            for table in self.schema.tables
            if any(likeness(said, word) >= 0.7 for said in self.said for word in expanded(table.words) if len(word) > 3)
        )

    def _role(self, key: Key) -> frozenset[str]:
        """Words that say what part the other table plays: ``origin`` of ``flights.origin``."""
        other = {stem(word) for word in self.schema[key.other].words}
        own = {_full(word) for name in key.columns for word in expanded(name_words(name))}
        return frozenset(own - other - {"id", "code", "key"})

    @property
    def verbs(self) -> frozenset[str]:
        """Verbs that choose one of the keys: "left" where flights have an ``origin``."""
        return frozenset(verb for key in self.keys for word in self._role(key) for verb in _VERBS.get(word, ()))

    def _said_role(self, key: Key) -> float:
        """How far the question says that part, by its words or by a verb, 0 to 1."""
        role = self._role(key)
        if any(verb in self.said for word in role for verb in _VERBS.get(word, ())):
            return 1.0
        return len(role & self.said) / len(role) if role else 0.0

    def path(self, start: Iterable[str], goal: str) -> list[Step] | None:
        """The cheapest joins from any of the tables to the goal; None when there are none."""
        queue: list[tuple[float, int, str, list[Step]]] = [(0.0, 0, name, []) for name in start]
        seen: set[str] = set()
        counter = 0
        while queue:
            cost, _, name, steps = heapq.heappop(queue)
            if name == goal:
                return steps
            if name in seen:
                continue
            seen.add(name)
            for price, key, other in self._edges[name]:
                if other not in seen:
                    counter += 1
                    heapq.heappush(queue, (cost + price, counter, other, [*steps, Step(key, other)]))
        return None

    def distance(self, start: Iterable[str], goal: str) -> int:
        """Number of joins to the goal; 99 when there is no way."""
        steps = self.path(start, goal)
        return 99 if steps is None else len(steps)

    def joins(self, first: str, needed: Iterable[str]) -> list[Step]:
        """The joins that bring all needed tables to the first, nearest first.

        Raises:
            NotUnderstood: No key leads to one of them.
        """
        inside = [first]
        steps: list[Step] = []
        waiting = [name for name in dict.fromkeys(needed) if name != first]
        while waiting:
            paths = [(self.path(inside, name), name) for name in waiting]
            found = [(path, name) for path, name in paths if path is not None]
            if not found:
                raise NotUnderstood(f"I see no key that joins {first} and {waiting[0]}")
            path, _ = min(found, key=lambda item: len(item[0]))
            steps += path
            inside += [step.table for step in path]
            waiting = [name for name in waiting if name not in inside]
        return steps

    def rivals(self, step: Step) -> list[Key]:
        """Other keys between the same two tables that the question does not prefer either."""
        same = [
            key for key in self.keys if {key.table, key.other} == {step.key.table, step.key.other} and key != step.key
        ]
        chosen = self._said_role(step.key) > 0
        return [] if chosen else [key for key in same if key.table == step.key.table]


_VERBS = {
    "origin": ("left", "leave", "depart", "departed", "departing", "leaving"),
    "departure": ("left", "leave", "depart", "departed", "departing", "leaving"),
    "destination": ("arrived", "arriving", "landed", "landing", "reached"),
    "arrival": ("arrived", "arriving", "landed", "landing"),
    "start": ("started", "starting"),
    "end": ("ended", "ending"),
}
"""Verbs that say which of two keys is meant: flights *left* the airport of origin."""

_PAIRS = (
    ("origin", "destination"),
    ("source", "destination"),
    ("source", "target"),
    ("from", "to"),
    ("start", "end"),
    ("departure", "arrival"),
    ("home", "away"),
    ("winner", "loser"),
    ("buyer", "seller"),
    ("sender", "receiver"),
)
"""Names of columns that play opposite parts: where one is a key, the other points to the same table."""


def _full(word: str) -> str:
    return stem(ABBREVIATIONS.get(word, (word,))[0])


def _siblings(schema: Schema, known: list[Key]) -> Iterator[Key]:
    """Keys like a known one, for the column that plays the opposite part: ``dest`` beside ``origin``."""
    taken = {(key.table, key.columns) for key in known}
    for key in known:
        table = schema[key.table]
        for column in table.columns:
            fresh = (table.name, (column.name,)) not in taken
            if fresh and len(key.columns) == 1 and _are_opposites(table, key.columns[0], column.name):
                yield Key(table.name, (column.name,), key.other, key.referred, guessed=True)


def _are_opposites(table: Table, one: str, other: str) -> bool:
    """Whether two columns have the same type and names that differ only in opposite words."""
    first, second = table.get(one), table.get(other)
    if (
        first is None
        or second is None
        or first.type.lower() != second.type.lower()
        or len(first.words) != len(second.words)
    ):
        return False
    differ = {tuple(sorted((_full(a), _full(b)))) for a, b in zip(first.words, second.words, strict=True) if a != b}
    return len(differ) == 1 and differ <= {tuple(sorted(pair)) for pair in _PAIRS}


_TOO_COMMON = frozenset(
    {"id", "name", "code", "type", "description", "year", "date", "key", "value", "number", "month", "day", "hour"}
)


def _guesses(schema: Schema) -> Iterator[Key]:
    """Keys that only names suggest: a column called like another table's key, or ``city_id`` beside ``city.id``."""
    for table in schema.tables:
        for other in schema.tables:
            if table is not other:
                yield from _guess(table, other)


def _guess(table: Table, other: Table) -> Iterator[Key]:
    target = _key_column(other)
    if target is None:
        return
    for column in table.columns:
        same = column.name.lower() == target.lower() and target.lower() not in _TOO_COMMON
        prefixed = target.lower() in {"id", "code", "key"} and _names_table(column.name, other, target)
        if (same and table.primary != (column.name,)) or prefixed:
            yield Key(table.name, (column.name,), other.name, (target,), guessed=True)


def _key_column(table: Table) -> str | None:
    if len(table.primary) == 1:
        return table.primary[0]
    unique = [column.name for column in table.columns if column.facts.unique]
    if not table.primary and unique:
        return unique[0]
    return None


def _names_table(column: str, table: Table, target: str) -> bool:
    words = [stem(word) for word in name_words(column)]
    return words == [*(stem(word) for word in table.words), target.lower()]
