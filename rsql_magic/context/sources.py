"""One hook through which every kind of object learns to describe itself to a model.

A source says which objects it knows and writes their text. Ours are listed here and loaded like anybody's; others come
from the entry-point group ``rsql.context_sources``, whose values name a source or a class that makes one:

    [project.entry-points."rsql.context_sources"]
    networks = "my_package.rsql:NetworkSource"

Nothing is imported before the first description is asked for. What a source writes is filtered, fenced and cut to the
budget like everything else, so a source cannot leak what the filter finds or crowd out the rest.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.context.gathered import Frame
    from rsql_magic.context.reader import Reader
    from rsql_magic.context.value_names import SessionValues
    from rsql_magic.databases import Dictionary
    from rsql_magic.sql import Privacy, Table

LEVELS = ("names", "stats", "sample")
GROUP = "rsql.context_sources"
BUILT_IN = (
    "rsql_magic.context.frames:FrameSource",
    "rsql_magic.context.robjects:RSource",
    "rsql_magic.context.objects:ObjectSource",
)


@dataclass(frozen=True)
class Detail:
    """How much a description may say."""

    level: Privacy = "stats"  # The privacy level.
    budget: int = 300  # tokens for the whole description
    columns: frozenset[str] = frozenset()  # columns that were asked about: they are shown whatever they cost
    rows: int = 10_000  # most rows to look at
    at_least: int = 5  # categories seen fewer times than this are not shown
    # Descriptions, units and keys that people wrote down.
    dictionary: Dictionary | None = field(default=None, repr=False)
    brief: bool = False  # true when names and types are enough, because nothing points to the object
    # Which names of columns are values of the session's data; None where only the object itself is known.
    values: SessionValues | None = field(default=None, repr=False)
    reader: Reader | None = field(default=None, repr=False)  # what reads the object, where it was read before
    # Where a source counts what it replaced itself, before it cut a text.
    redacted: Counter[str] = field(default_factory=Counter, repr=False)
    # Where a source of frames adds what its text states, as values.
    stated: list[Frame] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:  # a misspelt level must not mean all
            raise BadInput(f"There is no privacy level {self.level!r}.", hint=f"Choose one of {', '.join(LEVELS)}.")


@runtime_checkable
class Source(Protocol):
    """What a plug-in offers: it knows some objects and can describe them."""

    # The kind of fence around its text: `frame`, `object` or another word of the contract.
    kind: str

    def matches(self, obj: Any) -> bool:
        """Whether this source knows the object. Must be quick, and must not import the object's package."""

    def describe(self, obj: Any, name: str, detail: Detail) -> str:
        """The text that a model reads about the object."""


@runtime_checkable
class TabularSource(Source, Protocol):
    """A source of things that have columns: they can be asked about by name, and joined."""

    def columns(self, obj: Any) -> Sequence[str]:
        """Names of the columns, as they would be typed."""

    def table(self, obj: Any, name: str, detail: Detail) -> Table:
        """The object as a table, profiled as far as the level allows."""


@functools.cache
def sources() -> tuple[Source, ...]:
    """All sources: plug-ins in order of their names, then ours, which know everything."""
    # A plug-in that cannot be loaded is left out with a warning.
    return (*_plugins(), *(_load(*place.split(":")) for place in BUILT_IN))


def source_of(obj: Any) -> Source:
    """The first source that knows the object."""
    return next(source for source in sources() if source.matches(obj))


def _load(module: str, name: str) -> Source:
    source: Source = getattr(import_module(module), name)()
    return source


def _plugins() -> list[Source]:
    from importlib.metadata import entry_points

    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            loaded = entry.load()
            found.append(loaded() if isinstance(loaded, type) else loaded)
        except Exception as problem:  # noqa: BLE001 - other people's code must not take the magic down
            _warn(entry.name, problem)
    return found


def _warn(name: str, problem: Exception) -> None:
    import warnings

    warnings.warn(
        f"The context source {name!r} was left out: {problem}. Uninstall or update its package.", stacklevel=4
    )
