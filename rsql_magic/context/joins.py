"""Columns by which frames can be joined, guessed from names and from what is known to be unique."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_KEY = re.compile(r"(?i)(?:^|[_.\s])(?:id|key|code|nr|no|num|number|uuid|sku)$|[a-z](?:Id|ID|Key|Code)$|^\w+id$")
_OWN = frozenset({"id", "index", "key", "number", "code", "row", "rowid"})
"""Names that every table uses for a key of its own."""
_MOST_COLUMNS = 500


class JoinHint(NamedTuple):
    """A column of a frame that may point to a column of another."""

    frame: str
    column: str
    other: str
    referred: str

    def __str__(self) -> str:
        return f"{self.frame}.{self.column} = {self.other}.{self.referred}"


def join_hints(
    columns: Mapping[str, Sequence[str]], unique: Mapping[str, AbstractSet[str]], most: int = 6
) -> list[JoinHint]:
    """How frames can be joined.

    Two frames share a key when a column of the same name looks like a key in both or is unique in one of them, or when
    one has ``customer_id`` and the other is called ``customers`` and has a unique ``id``.

    Example:
        >>> found = join_hints({"flights": ["carrier"], "airlines": ["carrier", "name"]}, {"airlines": {"carrier"}})
        >>> print(*found)
        flights.carrier = airlines.carrier
    """
    found: list[JoinHint] = []
    narrow = {frame: names for frame, names in columns.items() if len(names) <= _MOST_COLUMNS}
    for (one, ones), (two, twos) in combinations(narrow.items(), 2):
        known = {*unique.get(one, ()), *unique.get(two, ())}
        shared = [name for name in ones if name in set(twos) and (name in known or _is_key(name))]
        found += [_written(one, two, name, unique) for name in shared if name.lower() not in _OWN]
        found += _by_name(one, twos, two, unique.get(one, ())) + _by_name(two, ones, one, unique.get(two, ()))
    return found[:most]


def _written(one: str, two: str, name: str, unique: Mapping[str, AbstractSet[str]]) -> JoinHint:
    """The hint that points to the side where the column is unique."""
    if name in unique.get(one, ()) and name not in unique.get(two, ()):
        one, two = two, one
    return JoinHint(one, name, two, name)


def _is_key(name: str) -> bool:
    """Whether a name looks like a key."""
    return _KEY.search(name) is not None


def _by_name(parent: str, columns: Sequence[str], child: str, unique: AbstractSet[str] | tuple[()]) -> list[JoinHint]:
    """``orders.customer_id = customers.id``."""
    if "id" not in unique:
        return []
    wanted = {f"{stem}{joint}id" for stem in (parent.lower(), parent.lower().removesuffix("s")) for joint in ("_", "")}
    return [JoinHint(child, column, parent, "id") for column in columns if column.lower() in wanted]
