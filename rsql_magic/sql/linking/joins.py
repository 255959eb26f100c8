"""How tables hang together: copies, keys, neighbours over a key, islands of keys, and hubs."""

# Much software declares no keys in its database (Moodle declares none), and views have none. Names tell them all the
# same: ``customer_id``, ``userid``, an integer ``course`` beside a table so called, the primary key of another table.

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.families import column_names, overlap
from rsql_magic.sql.linking.lexicon import thesaurus
from rsql_magic.sql.linking.words import split, stem

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Column, Table
    from rsql_magic.sql.linking.lexicon import Naming

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Key = tuple[int, int]
    Ends = tuple[int, tuple[str, ...]]  # A table's place and the columns of a key
    Words = tuple[str, ...]

# What a mark means, and the words of a question that ask for it.
_MARKS = {
    "history": "history historical past former previous earlier change changed version",
    "archive": "archive archived archival past former old",
    "old": "old past former previous earlier closed returned",
    "deleted": "deleted removed discarded withdrawn",
    "backup": "backup copy",
    "temporary": "temporary temp",
    "staging": "staging stage staged loaded",
    "log": "log logged audit change changed history",
    "copy": "copy copied",
    "test": "test",
}
_WRITTEN = {
    "history": "history hist histories hst historic",
    "archive": "archive archived archives arch arc",
    "old": "old prev previous legacy",
    "deleted": "deleted del removed purged",
    "backup": "backup bak bkp bck backups",
    "temporary": "temporary temp tmp",
    "staging": "staging stage stg stag",
    "log": "log logs audit aud audits",
    "copy": "copy cpy dup zz snapshot snap",
    "test": "test tst demo",
}
_MARK = {word: mark for mark, words in _WRITTEN.items() for word in words.split()}
# Marks that are written without a seam: ``deletedbiblio``.
_GLUED = ("deleted", "archived", "old")
_ASKED = {mark: frozenset(map(stem, words.split())) for mark, words in _MARKS.items()}
# So many of a table's columns are in its copy, or so many of the copy's in the table.
_ALIKE = 0.6
# The share of all their columns that a table and one of that name with a number have in common, so that it is a copy:
# ``student_2`` beside ``student`` is often another thing.
_NUMBERED = 0.8


@dataclass(frozen=True)
class Copy:
    """What a table is a copy of."""

    original: int  # The place of the other table
    mark: str  # What its name adds, such as ``history``, or a number

    def asked_for(self, stems: Iterable[str]) -> bool:
        """Whether the words of a question ask for such copies."""
        return not _ASKED.get(self.mark, frozenset({self.mark})).isdisjoint(stems)


def copies(tables: Sequence[Table], naming: Naming) -> Mapping[int, Copy]:
    """The tables that are copies of others, by their places."""
    written = [(*prefix, *name) for prefix, name in zip(naming.prefixes, naming.names, strict=True)]
    called = {"".join(name): place for names in (naming.names, written) for place, name in enumerate(names)}
    found = {}
    for place, name in enumerate(naming.names):
        for mark, rest in _readings(name):
            original = called.get(rest, place)
            if original != place and _same_columns(tables[original], tables[place], is_number=mark.isdigit()):
                found[place] = Copy(original, mark)
    return found


def _readings(name: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The marks that a name may have, and the name without."""
    whole = "".join(name)
    for word in name:
        rest = "".join(w for w in name if w != word)
        if word.isdigit() or word in _MARK:
            yield _MARK.get(word, word), rest
    yield from ((_MARK[word], whole.removeprefix(word)) for word in _GLUED if whole.startswith(word))


def _same_columns(original: Table, copy: Table, *, is_number: bool) -> bool:
    ours, theirs = column_names(original), column_names(copy)
    if is_number:
        return overlap(ours, theirs) >= _NUMBERED
    return len(ours & theirs) >= _ALIKE * min(len(ours), len(theirs))


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
        sure = set(declared(tables, naming))
        maybe = set(likely(tables, naming, copies)) - sure
        self._sure, self._maybe = Edges(sure, len(tables)), Edges(maybe, len(tables))
        copied = {(place, copy.original) for place, copy in copies.items()}
        self._clusters = np.array(_islands(groups, sure | maybe | copied), np.int64)
        self._sizes = _sizes(self._clusters, np.array(groups, np.int64))
        self._order = np.argsort(self._clusters, kind="stable")
        self._starts = np.searchsorted(self._clusters[self._order], np.arange(self._clusters.max(initial=-1) + 1))
        called = np.log1p(np.bincount([to for _, to in sure | maybe], minlength=len(tables)))
        self.hubs: Floats = called / max(called.max(initial=0.0), 1.0)

    def spread(self, found: Floats, maybe: float, damp: float, seen: Edges | None = None) -> Floats:
        """For each concept (row) and table (column), the most of it that a neighbour has, by ``seen`` joins too."""
        # A likely key counts ``maybe`` of a declared one; hubs hand on less, as the power ``damp`` of their
        # neighbours beyond the usual number.
        near = np.maximum(self._sure.spread(found, damp), maybe * self._maybe.spread(found, damp))
        return np.maximum(near, seen.spread(found, damp)) if seen else near

    def best(self, found: Floats) -> tuple[Floats, Ints]:
        """For each concept and table, the most of it within the table's cluster; and the sizes of the clusters."""
        best = np.maximum.reduceat(found[:, self._order], self._starts, axis=1) if found.size else found
        return best[:, self._clusters], self._sizes


class Edges:
    """Pairs of tables, ready to hand over to each table the most that its neighbours have."""

    def __init__(self, keys: Iterable[Key], tables: int) -> None:
        both = np.array(sorted({p for a, b in keys for p in ((a, b), (b, a))}), np.int64).reshape(-1, 2)
        self._from = both[:, 1]
        self._to, self._starts = np.unique(both[:, 0], return_index=True)
        self._crowd = np.maximum(np.bincount(self._from, minlength=tables) / _USUAL_NEIGHBOURS, 1.0)

    def spread(self, found: Floats, damp: float) -> Floats:
        """For each concept (row) and table (column), the most of it that a table one key away has."""
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


_ENDINGS = frozenset(map(stem, "id key code no num nr nbr number cd sk fk pk uid uuid guid oid".split()))  # noqa: SIM905
# Names that keys of all tables have, so they tell no owner.
_GENERIC = frozenset({(), *((stem(word),) for word in ("id", "name", "code", "number", "key", "date", "year"))})
# A text that is called like a table describes one more often than it points to one.
_TEXTS = ("char", "text", "string", "clob")
# More words than a name has: its table is no owner of the key.
_ABOUT_ANOTHER = 99
# A key-like name that more tables share, and none of them owns, joins nothing in particular.
_SHARED_BY = 4


def declared(tables: Sequence[Table], naming: Naming) -> Iterator[Key]:
    """The keys that the catalog knows; of columns that are all joined with one another, those to their owner."""
    # Join paths are often declared as pairs: each table that has ``term_code`` with each other. As they stand they make
    # all these tables neighbours, and a word found in one would be found in all.
    places = {table.full_name: place for place, table in enumerate(tables)}
    keys: list[tuple[Ends, Ends]] = [
        ((place, key.columns), (places[key.table], key.referred))
        for place, table in enumerate(tables)
        for key in table.foreign_keys
        if places.get(key.table, place) != place
    ]
    for ends, pairs in _joined_columns(keys):
        joined = {place for place, _ in ends}
        if len(joined) <= _SHARED_BY or len(pairs) < 2 * len(joined):
            yield from pairs
            continue
        owner = _owner_of(ends, tables, naming)
        yield from ((place, owner) for place in joined if place != owner)


def _joined_columns(keys: Sequence[tuple[Ends, Ends]]) -> Iterator[tuple[set[Ends], set[Key]]]:
    """The columns that keys join, directly or not, and the pairs of tables that these keys are between (union-find)."""
    parent = {end: end for pair in keys for end in pair}

    def root(end: Ends) -> Ends:
        while parent[end] != end:
            parent[end] = end = parent[parent[end]]
        return end

    for one, other in keys:
        parent[root(one)] = root(other)
    ends: dict[Ends, set[Ends]] = defaultdict(set)
    pairs: dict[Ends, set[Key]] = defaultdict(set)
    for one, other in keys:
        ends[root(one)] |= {one, other}
        pairs[root(one)].add((min(one[0], other[0]), max(one[0], other[0])))
    # A key keeps its direction: the table that is pointed to gains by it.
    directed = {(one[0], other[0]) for one, other in keys}
    yield from ((ends[of], {key for a, b in pairs[of] for key in ((a, b), (b, a)) if key in directed}) for of in ends)


def _owner_of(ends: Collection[Ends], tables: Sequence[Table], naming: Naming) -> int:
    """The table whose key the columns are: its primary key, else called so, else its first column."""

    def rank(end: Ends) -> tuple[bool, int, bool, int]:
        place, columns = end
        table, words = tables[place], _long(columns[0])
        name = list(map(_long_form, naming.names[place]))
        others = len(set(name) - set(words)) if set(words[:-1]) <= set(name) else _ABOUT_ANOTHER
        return table.primary_key != columns, others, table.columns[0].name != columns[0], -len(table.columns)

    return min(sorted(ends), key=rank)[0]


def likely(tables: Sequence[Table], naming: Naming, copies: Container[int]) -> Iterator[Key]:
    """Keys within one group that names suggest; copies of tables have none of their own."""
    members = defaultdict(list)
    for place, group in enumerate(naming.groups):
        if place not in copies:
            members[group].append(place)
    for places in members.values():
        if len(places) > 1:
            names = {place: tuple(map(_long_form, naming.names[place])) for place in places}
            yield from _within({place: tables[place] for place in places}, names)


def _within(tables: Mapping[int, Table], names: Mapping[int, Words]) -> Iterator[Key]:
    called = {words: place for place, words in sorted(names.items(), reverse=True) if words}
    owners, leading = _owners(tables, names), {place: _leading(table) for place, table in tables.items()}
    first = _most_columns(leading, tables, names)
    for words, places in _key_columns(tables, owners, called).items():
        # A key with a role (``advisor_univ_id``) is that of the table that begins with the key itself.
        roles = (first[words[i:]] for i in range(len(words) - 1) if words[i:] in first)
        owner = (owners.get(words), _subject(words, called), _about(words, places, names, leading), next(roles, None))
        own = next((place for place in owner if place is not None), None)
        if own is not None:
            yield from ((place, own) for place in places if place != own)
        elif len(places) <= _SHARED_BY:
            yield from combinations(places, 2)


def _leading(table: Table) -> Words:
    """The first column's name where nothing declares a primary key and it looks like one: most tables begin so."""
    words = () if table.primary_key or not table.columns else _long(table.columns[0].name)
    return words if len(words) > 1 and words[-1] in _ENDINGS else ()


def _owners(tables: Mapping[int, Table], names: Mapping[int, Words]) -> Mapping[Words, int]:
    """For the name of a primary key its table; of several the one with the most columns, which the others extend."""
    keys = {p: _long(t.primary_key[0]) if len(t.primary_key) == 1 else () for p, t in tables.items()}
    return _most_columns(keys, tables, names)


def _most_columns(
    keys: Mapping[int, Words], tables: Mapping[int, Table], names: Mapping[int, Words]
) -> Mapping[Words, int]:
    owners: dict[Words, list[int]] = defaultdict(list)
    for place, words in keys.items():
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
    if (words := _long(column.name)) in owners or (len(words) > 1 and words[-1] in _ENDINGS):
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


def _about(
    words: Words, places: Collection[int], names: Mapping[int, Words], leading: Mapping[int, Words]
) -> int | None:
    """The table with the key whose name has the key's words and the fewest others; rather one that begins with it."""
    about = (place for place in places if set(words[:-1]) <= set(names[place]))
    return min(about, key=lambda place: (leading[place] != words, len(names[place])), default=None)


@lru_cache(maxsize=65536)
def _long(name: str) -> Words:
    """The stems of a name, short forms written out: ``DEPT_CODE`` and ``department_code`` are one key."""
    return tuple(map(_long_form, split(name)))


def _long_form(word: str) -> str:
    root = stem(word)
    meant = thesaurus().short.get(root, ())
    return meant[0] if len(meant) == 1 and root not in _ENDINGS and " " not in meant[0] else root
