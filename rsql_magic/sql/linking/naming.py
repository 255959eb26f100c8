"""What the names of a catalog have in common: schemas, ``prefix__`` groups, and prefixes that say nothing.

Software that shares a database calls all its tables ``mdl_user``, ``llx_facture``, ``hs_hr_employee``. The shared words
tell nothing about one table, make its name look longer than it is, and hide that ``course_id`` is a key to it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.thesaurus import thesaurus
from rsql_magic.sql.linking.words import split

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.sql.catalog import Table

    Words = tuple[str, ...]

_FEWEST, _SHARE = 8, 0.15
"""So many tables, and this share of a group, begin alike before the beginning is a prefix."""
_NEARLY_ALL = 0.8
"""A plain word is a prefix only when so many tables of a group begin with it: ``course_`` mostly means something."""


def group_and_name(table: Table) -> tuple[str, str]:
    """The part of a name that says where a table belongs, and its own: ``hr__employees`` is of hr."""
    group, _, name = table.name.rpartition("__")
    return " ".join(part for part in (table.database, table.schema, group) if part), name or table.name


class Naming:
    """The groups and own names of tables.

    Args:
        tables: All tables of a catalog.

    Attributes:
        groups: For each table its schema or ``prefix__``.
        prefixes: For each table the shared words before its own name.
        names: For each table its own words.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        both = [group_and_name(table) for table in tables]
        self.groups = [group for group, _ in both]
        words = [split(name) for _, name in both]
        members = defaultdict(list)
        for place, group in enumerate(self.groups):
            members[group].append(place)
        lengths = dict.fromkeys(range(len(tables)), 0)
        for places in members.values():
            lengths.update(_prefixes({place: words[place] for place in places}))
        self.prefixes = [words[place][: lengths[place]] for place in range(len(tables))]
        self.names = [words[place][lengths[place] :] for place in range(len(tables))]

    def belongs(self, place: int) -> str:
        """The words that say where a table belongs: its group and prefix."""
        return " ".join((self.groups[place], *self.prefixes[place]))


def _prefixes(words: dict[int, Words], depth: int = 0) -> Iterator[tuple[int, int]]:
    """How many first words of each name of a group are shared with many others."""
    begin = defaultdict(list)
    for place, name in words.items():
        if len(name) > depth + 1:
            begin[name[depth]].append(place)
    for word, places in begin.items():
        if len(places) >= _FEWEST and len(places) >= len(words) * (_NEARLY_ALL if depth or _telling(word) else _SHARE):
            yield from ((place, depth + 1) for place in places)
            yield from _prefixes({place: words[place] for place in places}, depth + 1)


def _telling(word: str) -> bool:
    return len(word) > 2 and (word in thesaurus().words or word.removesuffix("s") in thesaurus().words)
