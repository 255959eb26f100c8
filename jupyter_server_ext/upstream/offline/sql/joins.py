"""How tables join: declared and inferred keys, then keys guessed from names, as a graph with shortest paths."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..words import stem
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
        return known + [key for key in _guesses(self.schema) if frozenset((key.table, key.other)) not in pairs]

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
            role = self._role(key)
            cost += 0.01 * len(role) - 0.2 * len(role & self.said) / max(len(role), 1)
            if key.table != key.other:
                edges[key.table].append((cost, key, key.other))
                edges[key.other].append((cost, key, key.table))
        return edges

    def _role(self, key: Key) -> frozenset[str]:
        """Words that say what part the other table plays: ``origin`` of ``flights.origin``."""
        from .naming import expanded

        other = {stem(word) for word in self.schema[key.other].words}
        return (
            frozenset(stem(word) for name in key.columns for word in expanded(_words(name)))
            - other
            - {"id", "code", "key"}
        )

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
        chosen = bool(self._role(step.key) & self.said)
        return [] if chosen else [key for key in same if key.table == step.key.table]


def _words(name: str) -> tuple[str, ...]:
    from ..words import name_words

    return name_words(name)


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
    words = [stem(word) for word in _words(column)]
    return words == [*(stem(word) for word in table.words), target.lower()]
