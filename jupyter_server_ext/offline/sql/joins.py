"""How tables join: a graph of declared and inferred keys, with the one shortest path between two tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .draft import NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.sql import Catalog


@dataclass(frozen=True, slots=True)
class Step:
    """One join: the table it brings in, the one it starts from, and the pairs of columns of both that are equal.

    ``to_many`` where several rows of the table brought in may fit one of the other.
    """

    table: str
    origin: str
    pairs: tuple[tuple[str, str], ...]
    to_many: bool


class Joins:
    """The keys of a catalog as a graph."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @cached_property
    def _steps(self) -> dict[str, list[Step]]:
        steps: dict[str, list[Step]] = {table.full_name: [] for table in self._catalog}
        for table in self._catalog:
            for key in table.foreign_keys:
                other = self._catalog.get(key.table)
                if other is None:
                    continue
                referred = key.referred or other.primary_key
                pairs = tuple(zip(key.columns, referred, strict=False))
                back = tuple((there, here) for here, there in pairs)
                alone = set(table.primary_key) == set(key.columns)
                steps[table.full_name].append(Step(other.full_name, table.full_name, pairs, to_many=False))
                steps[other.full_name].append(Step(table.full_name, other.full_name, back, to_many=not alone))
        return steps

    def from_table(self, name: str) -> Sequence[Step]:
        """The joins that start from a table."""
        return self._steps[name]

    def path(self, start: str, end: str) -> tuple[Step, ...]:
        """The shortest way from one table to another."""
        found = list(self._shortest(start, end))
        if not found:
            raise NotUnderstood(f"I see no key that joins {start} and {end}")
        if len(found) > 1:
            keys = " or ".join(f"{path[0].origin}.{path[0].pairs[0][0]}" for path in found[:3])
            raise NotUnderstood(f"{start} and {end} can be joined in several ways, by {keys}")
        return found[0]

    def _shortest(self, start: str, end: str) -> Iterator[tuple[Step, ...]]:
        paths: list[tuple[Step, ...]] = [()]
        seen = {start}
        while paths:
            ended = [path for path in paths if (path[-1].table if path else start) == end]
            if ended:
                yield from ended
                return
            paths = [
                (*path, step)
                for path in paths
                for step in self._steps[path[-1].table if path else start]
                if step.table not in seen
            ]
            seen.update(path[-1].table for path in paths)

    def tree(self, start: str, needed: Iterable[str]) -> tuple[Step, ...]:
        """The joins that bring all needed tables to a first one, each once."""
        steps: dict[str, Step] = {}
        for name in needed:
            for step in self.path(start, name):
                known = steps.setdefault(step.table, step)
                if known != step:
                    raise NotUnderstood(f"{start} and {name} can be joined in several ways")
        return tuple(steps.values())

    def only_links(self, name: str) -> bool:
        """Whether a table holds little but keys of two others, so that a question need not name it."""
        table = self._catalog[name]
        keyed = {name for key in table.foreign_keys for name in key.columns} | set(table.primary_key)
        return len(table.foreign_keys) >= 2 and len(table.columns) - len(keyed) <= 2
