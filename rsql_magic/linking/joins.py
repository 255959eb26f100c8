"""How tables hang together: groups by schema or prefix, keys declared and likely."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.linking.words import stems

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.context import Table

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Pair = tuple[int, int]
    Words = tuple[str, ...]

_KEY_ENDINGS = frozenset("id key code no num nr nbr number cd sk fk pk uid uuid guid oid".split())  # noqa: SIM905
_GENERIC = frozenset({(), ("id",), ("name",), ("code",), ("number",), ("key",), ("date",), ("year",)})
_MOST_OWNERS = 3
_SHARED_BY = 4
"""A key-like name that more tables share, and none of them owns, joins nothing in particular."""
_LARGE = 40
"""A group with more tables is taken apart into islands that keys connect."""


def group_and_name(table: Table) -> tuple[str, str]:
    """The part of a name that says where a table belongs, and its own: ``hr__employees`` is of hr."""
    group, _, name = table.name.rpartition("__")
    return " ".join(part for part in (table.database, table.schema, group) if part), name or table.name


class Joins:
    """Which tables are near one another.

    Args:
        tables: All tables of a catalog.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        groups = _numbered(group_and_name(table)[0] for table in tables)
        sure = set(_declared(tables))
        maybe = set(_likely(tables, groups)) - sure
        self._sure, self._maybe = _Edges(sure), _Edges(maybe)
        self._clusters = np.array(_islands(groups, sure | maybe), np.int64)
        self._sizes = np.bincount(self._clusters)[self._clusters]
        self._order = np.argsort(self._clusters, kind="stable")
        self._starts = np.searchsorted(self._clusters[self._order], np.arange(self._clusters.max(initial=-1) + 1))

    def spread(self, found: Floats, maybe: float) -> Floats:
        """For each concept and table, the most of it that a neighbour has; over a likely key it counts less."""
        return np.maximum(self._sure.spread(found), maybe * self._maybe.spread(found))

    def best(self, found: Floats) -> tuple[Floats, Ints]:
        """For each concept and table, the most of it within the table's cluster; and the sizes of the clusters."""
        best = np.maximum.reduceat(found[:, self._order], self._starts, axis=1) if found.size else found
        return best[:, self._clusters], self._sizes


class _Edges:
    """Pairs of tables, ready to hand over to each table the most that its neighbours have."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        both = np.array(sorted({p for a, b in pairs for p in ((a, b), (b, a))}), np.int64).reshape(-1, 2)
        self._from = both[:, 1]
        self._to, self._starts = np.unique(both[:, 0], return_index=True)

    def spread(self, found: Floats) -> Floats:
        near = np.zeros_like(found)
        if self._to.size and found.size:
            near[:, self._to] = np.maximum.reduceat(found[:, self._from], self._starts, axis=1)
        return near


def _numbered(things: Iterable[object]) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(thing, len(numbers)) for thing in things]


def _pair(one: int, other: int) -> Pair:
    return min(one, other), max(one, other)


def _declared(tables: Sequence[Table]) -> Iterator[Pair]:
    places = {table.full_name: place for place, table in enumerate(tables)}
    for place, table in enumerate(tables):
        for key in table.foreign_keys:
            other = places.get(key.table, place)
            if other != place:
                yield _pair(place, other)


def _likely(tables: Sequence[Table], groups: Sequence[int]) -> Iterator[Pair]:
    """Pairs of tables of one group that a column's name seems to connect."""
    members = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    for places in members.values():
        if len(places) > 1:
            yield from _likely_within({place: tables[place] for place in places})


def _likely_within(tables: Mapping[int, Table]) -> Iterator[Pair]:
    names = {place: stems(group_and_name(table)[1]) for place, table in tables.items()}
    called = {words: place for place, words in sorted(names.items(), reverse=True)}
    owners = _owners(tables)
    for words, places in _key_columns(tables, owners).items():
        own = owners.get(words) or _subject(words, called) or _about(words, places, names)
        if own and len(own) <= _MOST_OWNERS:
            yield from (_pair(one, other) for one in own for other in places if one != other)
        elif not own and len(places) <= _SHARED_BY:
            yield from combinations(places, 2)


def _subject(words: Words, called: Mapping[Words, int]) -> list[int]:
    """The table that a key is called after: ``home_team_id`` is of home_team, else of team."""
    endings = (words[i:-1] for i in range(len(words) - 1))
    return next(([called[ending]] for ending in endings if ending in called), [])


def _about(words: Words, places: Sequence[int], names: Mapping[int, Words]) -> list[int]:
    """The table with the key whose name has the key's words and the fewest others."""
    about = [place for place in places if set(words[:-1]) <= set(names[place])]
    return sorted(about, key=lambda place: len(names[place]))[:1]


def _key_columns(tables: Mapping[int, Table], owners: Container[Words]) -> Mapping[Words, list[int]]:
    """Names that look like keys or are keys, as stems, and the tables that have them: ``customer_id``."""
    keys: dict[Words, list[int]] = defaultdict(list)
    for place, table in tables.items():
        for words in dict.fromkeys(stems(column.name) for column in table.columns):
            if words in owners or (len(words) > 1 and words[-1] in _KEY_ENDINGS):
                keys[words].append(place)
    return keys


def _owners(tables: Mapping[int, Table]) -> Mapping[Words, list[int]]:
    """The tables whose primary key is a column of that name."""
    owners: dict[Words, list[int]] = defaultdict(list)
    for place, table in tables.items():
        words = stems(table.primary_key[0]) if len(table.primary_key) == 1 else ()
        if words not in _GENERIC:
            owners[words].append(place)
    return owners


def _islands(groups: Sequence[int], pairs: Iterable[Pair]) -> list[int]:
    """The groups, with large ones taken apart where no key connects their tables (union-find)."""
    parent = list(range(len(groups)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place

    for one, other in pairs:
        parent[root(one)] = root(other)
    sizes = np.bincount(np.array(groups, np.int64))
    return _numbered((group, root(place) if sizes[group] > _LARGE else -1) for place, group in enumerate(groups))
