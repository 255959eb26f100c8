"""Which objects matter to a question, most important first."""

# Asked for by name, then mentioned by whole word (the object or one of its columns), then used in recent cells, then
# assigned recently, then the rest in alphabetical order.

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rsql_magic.context.cells import Cell, recently
from rsql_magic.context.question_text import Mentions
from rsql_magic.context.reader import place_of
from rsql_magic.context.readers import read
from rsql_magic.context.sources import Fences, Source, look, source_of
from rsql_magic.context.value_names import SessionValues
from rsql_magic.errors import UnknownName
from rsql_magic.redaction import says_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rsql_magic.context.reader import Reader
    from rsql_magic.context.value_names import Elsewhere
    from rsql_magic.sql import Catalog, Privacy

_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open", "display"})
_CODE = (types.FunctionType, types.BuiltinFunctionType, type)


class Rank(IntEnum):
    """Why an object is described, the best reason first."""

    ASKED = 0
    MENTIONED = 1
    USED = 2
    ASSIGNED = 3
    REST = 4


# The same in words.
REASONS = ("asked for", "mentioned", "used in recent cells", "assigned recently", "in the session")


@dataclass(frozen=True)
class Candidate:
    """An object that may be described."""

    name: str  # what the user calls it
    obj: Any  # the object
    source: Source | None  # who describes it; None when it could not even be looked at
    rank: Rank  # why it is described
    named: bool = False  # whether it was asked for or the question says its name
    columns: frozenset[str] = frozenset()  # its columns that the question mentions
    place: int = 0  # its place among those of the same rank
    reader: Reader | None = None  # what reads it; None where nothing does, it fails, or it is a secret
    names: Sequence[str] = ()  # all of its columns that can be typed
    is_secret: bool = False  # whether its name says that it must not be read

    def holding(self, obj: Any, fences: Fences) -> Candidate:
        """The same with another object."""
        return replace(self, obj=obj, reader=fences.ask(self.name, lambda: look(self.source, obj)[0], None))


@dataclass(frozen=True)
class Ranking:
    """What decides the order."""

    question: str  # the user's words
    names: tuple[str, ...] = ()  # objects that were asked for, in order
    cells: tuple[Cell, ...] = ()  # recent cells, oldest first
    recent: tuple[str, ...] = ()  # names assigned recently, newest first, known from elsewhere
    fences: Fences = field(default_factory=Fences)  # keep an object that fails from spoiling the rest

    @cached_property
    def asked(self) -> Mentions:
        """The question, ready to be searched."""
        return Mentions(self.question)

    @cached_property
    def _used_and_assigned(self) -> tuple[frozenset[str], dict[str, int]]:
        used, assigned = recently(self.cells) if self.cells else ([], [])
        order: dict[str, int] = {}
        for name in (*self.recent, *assigned):
            order.setdefault(name, len(order))
        return frozenset(used), order

    def ranked(self, namespace: Mapping[str, Any], others: Iterable[tuple[str, Any]] = ()) -> list[Candidate]:
        """The objects of a namespace and those of other places such as R, in the order of their importance."""
        found = [*dict(namespace).items(), *others]
        known = {name for name, _ in found}
        for name in self.names:
            if name not in known:
                raise UnknownName(f"There is no object named {name!r}.", hint="Check the spelling, or run its cell.")
        candidates = [self._look(name, obj) for name, obj in found if self._is_users(name, obj)]
        every = {name for each in candidates for name in (each.name, *each.names)}
        mentioned = frozenset(self.asked.mentioned(every) if self.question else ())
        placed = [self._placed(each, mentioned) for each in candidates]
        return sorted(placed, key=lambda candidate: (candidate.rank, candidate.place, candidate.name))

    def _look(self, name: str, obj: Any) -> Candidate:
        """An object with what describes and reads it, once, whatever is asked later: a frame is slow to read."""
        source = self.fences.ask(name, lambda: source_of(obj), None)
        seen: tuple[Reader | None, list[str]] = None, []
        is_secret = says_secret(name)
        if not is_secret:
            seen = self.fences.ask(name, lambda: look(source, obj), seen)
        return Candidate(name, obj, source, Rank.REST, reader=seen[0], names=seen[1], is_secret=is_secret)

    def _placed(self, each: Candidate, mentioned: frozenset[str]) -> Candidate:
        """A candidate with its rank."""
        name, columns = each.name, mentioned.intersection(each.names)
        named = name in self.names or name in mentioned
        used, assigned = self._used_and_assigned
        rank, place = Rank.REST, 0
        if name in self.names:
            rank, place = Rank.ASKED, self.names.index(name)
        elif named or columns:
            rank, place = Rank.MENTIONED, 0 if named else 1
        elif name in used:
            rank, place = Rank.USED, assigned.get(name, len(assigned))
        elif name in assigned:
            rank, place = Rank.ASSIGNED, assigned[name]
        return replace(each, rank=rank, named=named, columns=columns, place=place)

    def _is_users(self, name: str, obj: Any) -> bool:
        """Whether the user made the object: no module, nothing of IPython's, no function of a package."""
        if name in self.names:
            return True
        if name.startswith("_") or name in _IPYTHON or issubclass(type(obj), types.ModuleType):
            return False
        return not issubclass(type(obj), _CODE) or not _is_installed(obj) or self.asked.mentions(name)


def speakable_columns(candidate: Candidate, values: SessionValues) -> set[str]:
    """An object's columns but those that are values, as in a pivot table: code may be shown with these names only."""
    suppressed, reader = getattr(candidate.source, "suppressed", None), values.readers.get(candidate.name)
    named = candidate.names if not suppressed else reader.names if reader else ()
    names = {name for name in named if isinstance(name, str)} - (values.names - candidate.columns)
    if not suppressed or not reader or not names:
        return names
    # Unless all columns are said to be values, `values` knows those that are.
    if not reader.named_by and names.isdisjoint(values.names) and candidate.name not in values.fences.failed:
        return names
    return names - values.fences.ask(candidate.name, lambda: set(suppressed(reader)), names)


def session_values(
    candidates: Iterable[Candidate],
    level: Privacy = "stats",
    elsewhere: Elsewhere | None = None,
    fences: Fences | None = None,
) -> SessionValues:
    """Which names of columns are values, among what can be read of the candidates, and ``elsewhere``, as in R."""
    readers = {each.name: each.reader for each in candidates if each.reader is not None}
    return SessionValues(readers, no_values=level == "names", elsewhere=elsewhere, fences=fences or Fences())


def _is_installed(code: Any) -> bool:
    """Whether a function or class comes from an installed package, ours too, and not from the notebook."""
    package = place_of(code)[0] if issubclass(type(code), type) else str(getattr(code, "__module__", "")).split(".")[0]
    if package == __name__.split(".")[0]:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package in sys.stdlib_module_names - {"__main__"} or "site-packages" in file or "dist-packages" in file


_RELATED = {
    "pandas": ("DataFrame", "Series", "Index", "core.groupby.DataFrameGroupBy", "core.groupby.SeriesGroupBy"),
    "polars": ("DataFrame", "LazyFrame", "Series"),
}


def known_names(namespace: Mapping[str, Any], catalog: Catalog | None = None) -> frozenset[str]:
    """The names of a session: of objects, of their columns, and of tables. Code may be shown with these in quotes.

    Args:
        namespace: The user's variables by name.
        catalog: Tables of the current connection.

    Example:
        >>> known_names({"x": 1})
        frozenset({'x'})
    """
    ranking = Ranking("")
    candidates = ranking.ranked(namespace)
    values = session_values(candidates, fences=ranking.fences)
    columns = (column for each in candidates for column in speakable_columns(each, values))
    tables = (name for table in catalog or () for name in (table.name, *(column.name for column in table.columns)))
    return frozenset([*(each.name for each in candidates), *columns, *tables])


def frame_columns(namespace: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns of each pandas and polars frame of a session, those that can be typed, and the names of its index.

    Args:
        namespace: The user's variables by name.

    Example:
        >>> frame_columns({"x": 1})
        {}
    """
    fences = Fences()
    frames = {name: obj for name, obj in namespace.items() if _is_frame(obj) and not says_secret(name)}
    named = (name for name in frames if not name.startswith("_") and name not in _IPYTHON)
    readers = {name: fences.ask(name, partial(read, frames[name]), None) for name in named}
    return {
        name: [*(column for column in reader.names if isinstance(column, str)), *reader.index]
        for name, reader in readers.items()
        if reader is not None
    }


def polars_frames(namespace: Mapping[str, Any]) -> frozenset[str]:
    """The names of a session's polars frames.

    Args:
        namespace: The user's variables by name.

    Example:
        >>> polars_frames({"x": 1})
        frozenset()
    """
    return frozenset(name for name, obj in namespace.items() if _is_frame(obj) and place_of(type(obj))[0] == "polars")


def frame_attributes(namespace: Mapping[str, Any]) -> frozenset[str]:
    """What the pandas and polars frames of a session, their groups and their columns answer to, beside columns.

    Args:
        namespace: The user's variables by name.

    Example:
        >>> frame_attributes({"x": 1})
        frozenset()
    """
    fences = Fences()
    frames = {name: obj for name, obj in namespace.items() if _is_frame(obj)}
    packages = {place_of(type(obj))[0] for obj in frames.values()} & _RELATED.keys()
    # What a frame answers to, with what it has besides its class, as subclasses of pandas' frame do.
    own = (fences.ask(name, partial(_attributes, obj), set[str]()) for name, obj in frames.items())
    related = (attrgetter(name)(sys.modules[package]) for package in packages for name in _RELATED[package])
    return frozenset[str]().union(*own, *map(dir, related))


def _attributes(frame: Any) -> set[str]:
    return {*dir(type(frame)), *(vars(frame) if hasattr(type(frame), "_metadata") else ())}


def _is_frame(obj: Any) -> bool:
    return type.__getattribute__(type(obj), "__name__") in {"DataFrame", "LazyFrame", "GeoDataFrame"}
