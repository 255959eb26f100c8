"""Which columns point to which tables: keys that are declared, and keys that names suggest.

Much software declares no keys in its database (Moodle declares none), and views have none. Names tell them all the
same: ``customer_id``, ``userid``, an integer ``course`` beside a table so called, the primary key of another table.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.words import stem, stems

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Column, Table
    from rsql_magic.sql.linking.lexicon import Naming

    Key = tuple[int, int]
    """The table that points, and the one it points to."""
    Words = tuple[str, ...]

_ENDINGS = frozenset("id key code no num nr nbr number cd sk fk pk uid uuid guid oid".split())  # noqa: SIM905
_GENERIC = frozenset({(), ("id",), ("name",), ("code",), ("number",), ("key",), ("date",), ("year",)})
_TEXTS = ("char", "text", "string", "clob")
_SHARED_BY = 4
"""A key-like name that more tables share, and none of them owns, joins nothing in particular."""


def declared(tables: Sequence[Table]) -> Iterator[Key]:
    """The keys that the catalog knows."""
    places = {table.full_name: place for place, table in enumerate(tables)}
    for place, table in enumerate(tables):
        for key in table.foreign_keys:
            other = places.get(key.table, place)
            if other != place:
                yield place, other


def likely(tables: Sequence[Table], naming: Naming, copies: Container[int]) -> Iterator[Key]:
    """Keys within one group that names suggest; copies of tables have none of their own.

    Args:
        tables: All tables.
        naming: Their groups and own names.
        copies: The places of tables that are copies of others.
    """
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
