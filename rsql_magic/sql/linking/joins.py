"""How tables hang together: keys, neighbours over a key, islands that keys connect, and hubs that many refer to.

Much software declares no keys in its database (Moodle declares none), and views have none. Names tell them all the
same: ``customer_id``, ``userid``, an integer ``course`` beside a table so called, the primary key of another table.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.words import stem, stems

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Column, Table
    from rsql_magic.sql.linking.families import Copy
    from rsql_magic.sql.linking.lexicon import Naming

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    # The table that points, and the one it points to.
    Key = tuple[int, int]
    Words = tuple[str, ...]

# A group with more tables is taken apart into islands that keys connect.
_LARGE = 40
# An island counts as no smaller: that nothing points to a table does not make the words it holds tell more.
_SMALLEST_ISLAND = 8
# A table with more neighbours is a hub, and what it holds says less about each of them.
_USUAL_NEIGHBOURS = 6


class Joins:
    """Which tables are near one another."""

    def __init__(self, tables: Sequence[Table], naming: Naming, copies: Mapping[int, Copy]) -> None:
        groups = _numbered(naming.groups)
        sure = set(declared(tables))
        maybe = set(likely(tables, naming, copies)) - sure
        self._sure, self._maybe = _Edges(sure, len(tables)), _Edges(maybe, len(tables))
        copied = {(place, copy.original) for place, copy in copies.items()}
        self._clusters = np.array(_islands(groups, sure | maybe | copied), np.int64)
        self._sizes = _sizes(self._clusters, np.array(groups, np.int64))
        self._order = np.argsort(self._clusters, kind="stable")
        self._starts = np.searchsorted(self._clusters[self._order], np.arange(self._clusters.max(initial=-1) + 1))
        called = np.log1p(np.bincount([to for _, to in sure | maybe], minlength=len(tables)))
        self.hubs: Floats = called / max(called.max(initial=0.0), 1.0)

    def spread(self, found: Floats, maybe: float, damp: float) -> Floats:
        """For each concept (row) and table (column), the most of it that a neighbour has."""
        # A likely key counts ``maybe`` of a declared one; hubs hand on less, as the power ``damp`` of their
        # neighbours beyond the usual number.
        return np.maximum(self._sure.spread(found, damp), maybe * self._maybe.spread(found, damp))

    def best(self, found: Floats) -> tuple[Floats, Ints]:
        """For each concept and table, the most of it within the table's cluster; and the sizes of the clusters."""
        best = np.maximum.reduceat(found[:, self._order], self._starts, axis=1) if found.size else found
        return best[:, self._clusters], self._sizes


class _Edges:
    """Pairs of tables, ready to hand over to each table the most that its neighbours have."""

    def __init__(self, keys: Iterable[Key], tables: int) -> None:
        both = np.array(sorted({p for a, b in keys for p in ((a, b), (b, a))}), np.int64).reshape(-1, 2)
        self._from = both[:, 1]
        self._to, self._starts = np.unique(both[:, 0], return_index=True)
        self._crowd = np.maximum(np.bincount(self._from, minlength=tables) / _USUAL_NEIGHBOURS, 1.0)

    def spread(self, found: Floats, damp: float) -> Floats:
        near = np.zeros_like(found)
        if self._to.size and found.size:
            handed = (found * self._crowd**-damp)[:, self._from]
            near[:, self._to] = np.maximum.reduceat(handed, self._starts, axis=1)
        return near


def _numbered(things: Iterable[object]) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(thing, len(numbers)) for thing in things]


def _sizes(clusters: Ints, groups: Ints) -> Ints:
    """How many tables are in the cluster of each."""
    sizes = np.bincount(clusters)[clusters]
    apart = np.bincount(groups)[groups] > _LARGE
    return np.where(apart, np.maximum(sizes, _SMALLEST_ISLAND), sizes)


def _islands(groups: Sequence[int], pairs: Iterable[Key]) -> list[int]:
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


_ENDINGS = frozenset("id key code no num nr nbr number cd sk fk pk uid uuid guid oid".split())  # noqa: SIM905
_GENERIC = frozenset({(), ("id",), ("name",), ("code",), ("number",), ("key",), ("date",), ("year",)})
_TEXTS = ("char", "text", "string", "clob")
# A key-like name that more tables share, and none of them owns, joins nothing in particular.
_SHARED_BY = 4


def declared(tables: Sequence[Table]) -> Iterator[Key]:
    """The keys that the catalog knows."""
    places = {table.full_name: place for place, table in enumerate(tables)}
    for place, table in enumerate(tables):
        for key in table.foreign_keys:
            other = places.get(key.table, place)
            if other != place:
                yield place, other


def likely(tables: Sequence[Table], naming: Naming, copies: Container[int]) -> Iterator[Key]:
    """Keys within one group that names suggest; copies of tables have none of their own."""
    members = defaultdict(list)
    for place, group in enumerate(naming.groups):
        if place not in copies:
            members[group].append(place)
    for places in members.values():
        if len(places) > 1:
            names = {place: tuple(map(stem, naming.names[place])) for place in places}
            yield from _within({place: tables[place] for place in places}, names)


def _within(tables: Mapping[int, Table], names: Mapping[int, Words]) -> Iterator[Key]:
    called = {words: place for place, words in sorted(names.items(), reverse=True) if words}
    owners = _owners(tables, names)
    for words, places in _key_columns(tables, owners, called).items():
        own = owners.get(words, _subject(words, called))
        own = _about(words, places, names) if own is None else own
        if own is not None:
            yield from ((place, own) for place in places if place != own)
        elif len(places) <= _SHARED_BY:
            yield from combinations(places, 2)


def _owners(tables: Mapping[int, Table], names: Mapping[int, Words]) -> Mapping[Words, int]:
    """For the name of a primary key its table; of several the one with the most columns, which the others extend."""
    owners: dict[Words, list[int]] = defaultdict(list)
    for place, table in tables.items():
        words = stems(table.primary_key[0]) if len(table.primary_key) == 1 else ()
        if words not in _GENERIC:
            owners[words].append(place)
    return {w: min(own, key=lambda p: (-len(tables[p].columns), len(names[p]))) for w, own in owners.items()}


def _key_columns(
    tables: Mapping[int, Table], owners: Container[Words], called: Container[Words]
) -> Mapping[Words, list[int]]:
    """Names that look like keys or are keys, as stems, and the tables that have them: ``customer_id``."""
    keys: dict[Words, list[int]] = defaultdict(list)
    for place, table in tables.items():
        for words in dict.fromkeys(_as_key(column, owners, called) for column in table.columns):
            if words:
                keys[words].append(place)
    return keys


def _as_key(column: Column, owners: Container[Words], called: Container[Words]) -> Words:
    """The column's name as that of a key, or nothing: ``userid`` and ``user`` are user_id where there is a user."""
    words = stems(column.name)
    if words in owners or (len(words) > 1 and words[-1] in _ENDINGS):
        return words
    if words in called and not any(text in column.type.lower() for text in _TEXTS):
        return (*words, "id")
    return _taken_apart(words, called)


def _taken_apart(words: Words, called: Container[Words]) -> Words:
    """``userid`` as user and id, where a table is called user."""
    first, last = words[:-1], "".join(words[-1:])
    cuts = ((stem(last.removesuffix(end)), end) for end in _ENDINGS if last.endswith(end))
    return next(((*first, noun, end) for noun, end in cuts if (noun,) in called), ())


def _subject(words: Words, called: Mapping[Words, int]) -> int | None:
    """The table that a key is called after: ``home_team_id`` is of home_team, else of team."""
    endings = (words[i:-1] for i in range(len(words) - 1))
    return next((called[ending] for ending in endings if ending in called), None)


def _about(words: Words, places: Collection[int], names: Mapping[int, Words]) -> int | None:
    """The table with the key whose name has the key's words and the fewest others."""
    about = (place for place in places if set(words[:-1]) <= set(names[place]))
    return min(about, key=lambda place: len(names[place]), default=None)
