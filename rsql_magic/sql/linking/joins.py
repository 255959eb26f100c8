"""How tables hang together: neighbours over a key, islands that keys connect, and the hubs that many refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.keys import declared, likely

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.linking.families import Copy
    from rsql_magic.sql.linking.keys import Key
    from rsql_magic.sql.linking.lexicon import Naming

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_LARGE = 40
"""A group with more tables is taken apart into islands that keys connect."""
_SMALLEST_ISLAND = 8
"""An island counts as no smaller: that nothing points to a table does not make the words it holds tell more."""
_USUAL_NEIGHBOURS = 6
"""A table with more neighbours is a hub, and what it holds says less about each of them."""


class Joins:
    """Which tables are near one another.

    Args:
        tables: All tables of a catalog.
        naming: Their groups and own names.
        copies: Those that are copies of others.

    Attributes:
        hubs: How many tables refer to each, on a logarithmic scale from 0 to 1.
    """

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
        """For each concept and table, the most of it that a neighbour has.

        Args:
            found: How strongly each concept (row) is present in each table (column).
            maybe: What a likely key counts against a declared one.
            damp: How much less hubs hand on, as a power of their neighbours beyond the usual number.
        """
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
