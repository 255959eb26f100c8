"""Copies of tables: ``orders_history``, ``tmp_orders``, ``orders_bak`` beside ``orders``.

They hold the same columns, so every word finds them all; but a question means the table itself unless it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.linking.naming import Naming

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
"""What a mark means, and the words of a question that ask for it."""
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
_GLUED = ("deleted", "archived", "old")
"""Marks that are written without a seam: ``deletedbiblio``."""
_ASKED = {mark: frozenset(map(stem, words.split())) for mark, words in _MARKS.items()}
_ALIKE = 0.6
"""So many of a table's columns are in its copy, or so many of the copy's in the table."""


@dataclass(frozen=True)
class Copy:
    """What a table is a copy of.

    Args:
        original: The place of the other table.
        mark: What its name adds, such as ``history``, or a number.
    """

    original: int
    mark: str

    def asked_for(self, stems: Iterable[str]) -> bool:
        """Whether the words of a question ask for such copies."""
        return not _ASKED.get(self.mark, frozenset({self.mark})).isdisjoint(stems)


def copies(tables: Sequence[Table], naming: Naming) -> Mapping[int, Copy]:
    """The tables that are copies of others.

    Args:
        tables: All tables.
        naming: Their own names, and the prefixes they share.

    Returns:
        What each copy is a copy of, by its place.
    """
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
