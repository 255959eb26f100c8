"""How tables hang together: repeated ones, copies, keys, neighbours over a key, islands of keys, and hubs."""

# Much software declares no keys in its database (Moodle declares none), and views have none. Names tell them all the
# same: ``customer_id``, ``userid``, an integer ``course`` beside a table so called, the primary key of another table.

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.words import stem, stems

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Column, Table
    from rsql_magic.sql.linking.lexicon import Naming

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Key = tuple[int, int]
    Words = tuple[str, ...]

# So many alike tables are a family; two may well be two things.
_FEWEST = 3
# More members of a family say nothing new: their columns are the same.
_MOST_SHOWN = 4
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = re.compile(rf"(?<![a-z])({'|'.join(_MONTHS)})[a-z]*(?![a-z])")
_DIGITS = re.compile(r"\d+")
_DAY = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b")


@dataclass(frozen=True)
class Family:
    """Tables that say one thing, ordered by the numbers in their names; mostly a single one."""

    members: tuple[Table, ...]

    @property
    def model(self) -> Table:
        """The member that stands for all: the latest."""
        return self.members[-1]

    def shown_for(self, question: str) -> list[Table]:
        """The members that the question's dates call for, else the latest; the first says how many there are."""
        if len(self.members) == 1:
            return [self.model]
        dates = _dates(question)
        called = [max(self.members, key=lambda m: _agreement(m, date)) for date in dates]
        called = [member for member, date in zip(called, dates, strict=True) if _agreement(member, date)]
        first, *others = list(dict.fromkeys(m.full_name for m in called))[:_MOST_SHOWN] or [self.model.full_name]
        by_name = {member.full_name: member for member in self.members}
        return [self._described(by_name[first]), *(by_name[name] for name in others)]

    def _described(self, table: Table) -> Table:
        low, high = self.members[0].full_name, self.members[-1].full_name
        note = f"one of {len(self.members):,} tables with these columns, {low} to {high}"
        return replace(table, description="; ".join(part for part in (note, table.description) if part))


def families(tables: Iterable[Table]) -> list[Family]:
    """The tables, repeated ones together, in the order of their first members."""
    alike: dict[object, list[Table]] = defaultdict(list)
    for table in tables:
        alike[_kind(table)].append(table)
    return [family for members in alike.values() for family in _families(members)]


def _families(members: list[Table]) -> Iterator[Family]:
    if len(members) >= _FEWEST:
        yield Family(tuple(sorted(members, key=lambda t: _numbers(t.full_name))))
    else:
        yield from (Family((table,)) for table in members)


def _kind(table: Table) -> object:
    """What members of a family have in common."""
    name = table.full_name.casefold()
    pattern = _MONTH.sub("#", _DIGITS.sub("#", name))
    if pattern == name:
        return name
    return pattern, frozenset(column.name.casefold() for column in table.columns)


def _numbers(name: str) -> tuple[tuple[int, ...], str]:
    months = (str(_MONTHS.index(match[1]) + 1) for match in _MONTH.finditer(name.casefold()))
    return tuple(map(int, (*_DIGITS.findall(name), *months))), name


def _dates(question: str) -> list[str]:
    """Dates and numbers of a question as the digits that names would hold: "March 2021" is 202103."""
    text = question.casefold()
    whole = [f"{year}{int(month):02}{int(day):02}" for year, month, day in _DAY.findall(text)]
    text = _DAY.sub(" ", text)
    months = [f"{_MONTHS.index(month) + 1:02}" for month in re.findall(rf"\b({'|'.join(_MONTHS)})[a-z]*\b", text)]
    years = re.findall(r"\b(?:19|20)\d\d\b", text)
    together = [year + month for year in years for month in months]
    numbers = (number for number in re.findall(r"\b\d+\b", text) if not together or number not in years)
    return list(dict.fromkeys([*whole, *together, *numbers]))


def _agreement(table: Table, date: str) -> int:
    """How many digits of a date the numbers in a table's name begin with, none when they contradict it."""
    digits = "".join(_DIGITS.findall(table.name))
    # Names write a year in two digits too: sales_21 is of 2021.
    runs = [digits, *_DIGITS.findall(table.name), *(f"20{run}" for run in _DIGITS.findall(table.name) if len(run) == 2)]
    return max((len(date) for run in runs if run.startswith(date) or run == date.lstrip("0")), default=0)


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
            if original != place and _same_columns(tables[original], tables[place]):
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


def _same_columns(original: Table, copy: Table) -> bool:
    ours, theirs = ({column.name.casefold() for column in table.columns} for table in (original, copy))
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
# Names that keys of all tables have, so they tell no owner.
_GENERIC = frozenset({(), ("id",), ("name",), ("code",), ("number",), ("key",), ("date",), ("year",)})
# A text that is called like a table describes one more often than it points to one.
_TEXTS = ("char", "text", "string", "clob")
# A key-like name that more tables share, and none of them owns, joins nothing in particular.
_SHARED_BY = 4


def declared(tables: Sequence[Table]) -> Iterator[Key]:
    """The keys that the catalog knows."""
    places = {table.full_name: place for place, table in enumerate(tables)}
    for place, table in enumerate(tables):
        for key in table.foreign_keys:
            if (other := places.get(key.table, place)) != place:
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
    if (words := stems(column.name)) in owners or (len(words) > 1 and words[-1] in _ENDINGS):
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
