"""What can be known of a frame at once and column by column, whatever its library: the contract of all readers."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.redaction import type_without_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

# What kind of values a column holds, as far as a description cares; `object` means that only the values can tell.
Family = Literal["number", "integer", "bool", "time", "text", "object", "other"]


@functools.lru_cache(maxsize=32)
def positions(rows: int | None, size: int = 10_000) -> list[int] | None:
    """Row numbers to look at: one from each of ``size`` equal strides, or None for all rows.

    A plain stride meets periodic data always at the same phase and sees one value of it, so each position is moved
    within its stride by a multiplicative hash (Knuth, The Art of Computer Programming 3, §6.4). The same frame gives
    the same sample.

    Example:
        >>> positions(5), len(positions(1_000_000)), positions(1_000_000)[:3]
        (None, 10000, [0, 161, 223])
    """
    if rows is None or rows <= size:
        return None
    step = rows / size
    return [int(n * step + (n * 2654435761 % 4294967296) / 4294967296 * step) for n in range(size)]


@dataclass(frozen=True, slots=True)
class Sample:
    """What was read of one column."""

    values: list[Any]  # present values; of a time column only the smallest and the largest
    size: int  # number of rows looked at
    missing: int  # how many of them are missing


@dataclass(frozen=True, slots=True)
class Summary:
    """What the rows of a sample have in common: enough for a description, and no more rows than that."""

    family: Family  # what kind of values
    size: int  # number of rows looked at
    missing: int  # how many of them are missing
    low: Any = None  # the smallest number or time, None where there is none
    high: Any = None  # the largest
    distinct: int | None = None  # number of distinct values of an integer or text column
    once: int = 0  # how many of those were seen once
    # Values of a text column with how often each was seen, most frequent first, as far as `MOST` goes.
    top: tuple[tuple[str, int], ...] = ()


# Most values that a summary holds: one more than a description could show.
MOST = 31


def summarised(sample: Sample, family: Family) -> Summary:
    """The summary of a sample of Python values."""
    if family == "object":
        kinds = {type(value) for value in sample.values}
        family = next((family for known, family in _PYTHON if kinds and kinds <= known), "other")
    low = high = None
    ordered = [value for value in sample.values if math.isfinite(value)] if family == "number" else sample.values
    if ordered and family in {"integer", "number", "time"}:
        low, high = min(ordered), max(ordered)
    summary = Summary(family, sample.size, sample.missing, low, high)
    if family not in {"integer", "text"} or not sample.values:
        return summary
    counts = Counter(sample.values)
    top = [(str(value)[:1000], count) for value, count in counts.most_common(MOST)] if family == "text" else []
    once = list(counts.values()).count(1)
    return replace(summary, distinct=len(counts), once=once, top=tuple(top))


_PYTHON: tuple[tuple[frozenset[type], Family], ...] = (
    (frozenset({str}), "text"),
    (frozenset({bool}), "bool"),
    (frozenset({int}), "integer"),
    (frozenset({int, float, Decimal}), "number"),
    (frozenset({datetime}), "time"),
    (frozenset({date}), "time"),
    (frozenset({timedelta}), "time"),
)


@dataclass(frozen=True, slots=True)
class Marks:
    """How a column of numbers or flags is filled, in a sample of its rows."""

    size: int  # number of rows looked at
    filled: int  # how many are neither missing nor zero
    is_flag: bool  # whether there are only zeros and ones
    rarer: int | None = None  # of two fractions, as in scaled one-hot columns, how often the rarer was seen; else None

    @property
    def is_two_valued(self) -> bool:
        """Whether there are just two values, which are no whole numbers."""
        return self.rarer is not None

    @property
    def count(self) -> int:
        """How many rows a value has that the column stands for."""
        return self.filled if self.rarer is None else self.rarer


def marked(sample: Sample) -> Marks | None:
    """How a sample is filled; None where it holds something else than numbers."""
    if not all(isinstance(value, int | float | Decimal) for value in sample.values):
        return None
    counts = Counter(sample.values)
    filled = sum(count for value, count in counts.items() if value)
    two = len(counts) == 2 and not any(float(value).is_integer() for value in counts)
    return Marks(sample.size, filled, counts.keys() <= {0, 1}, min(counts.values()) if two else None)


# Rows that are enough to see that a column is no flag.
_GLANCE = 200


class Reader:
    """One frame: what can be known at once, and its columns one by one."""

    # pandas allows any object as a name. `rows` is None where counting them would run a query.

    # A reader of a lazy frame knows names and types only, and leaves the rest as it is here.

    # Whether the names are those of columns.
    is_frame = True
    # Names of the levels of a pandas index that has names.
    index: tuple[str, ...] = ()
    # What the columns' names are values of: pandas names the axis in pivot tables and cross tables.
    named_by: str = ""

    def __init__(
        self, label: str, names: Sequence[Any], types: Sequence[str], rows: int | None = None, description: str = ""
    ) -> None:
        if len(list(map(str, names))) != len(types):
            raise TypeError("a frame has one type for each of its columns")
        self.label = label
        self.names = names
        short = {kind: _short(kind) for kind in set(types)}
        self.types = [short[kind] for kind in types]
        self.rows = rows
        self.description = description

    def note(self, place: int) -> tuple[str, str]:  # noqa: ARG002 - most frames carry no notes
        """The column's description and unit, where the frame carries them."""
        return "", ""

    def family(self, place: int) -> Family:  # noqa: ARG002
        """What kind of values the column holds."""
        return "other"

    @cached_property
    def families(self) -> dict[str, Family]:
        """What kind of values each type of the frame stands for."""
        first = {kind: place for place, kind in reversed(list(enumerate(self.types)))}
        return {kind: self.family(place) for kind, place in first.items()}

    def sample(self, place: int, positions: list[int] | None) -> Sample:  # noqa: ARG002
        """The column at these positions, or the whole of it."""
        return Sample([], 0, 0)

    def head(self, places: Sequence[int], rows: int) -> list[list[Any]]:  # noqa: ARG002
        """The first rows of some columns."""
        return []

    def labels(self, rows: int) -> list[str]:  # noqa: ARG002 - most frames have no names of rows
        """The names of the first rows, as a pandas index has them."""
        return []

    def summary(self, place: int, positions: list[int] | None) -> Summary | None:
        """What a description needs to know of the column; None when it was not looked at."""
        return summarised(self.sample(place, positions), self.family(place))

    def sorted_key(self, place: int) -> tuple[int, int] | None:  # noqa: ARG002
        """The ends of an integer column that is strictly increasing, so unique: known without a sample. Else None."""
        return None

    def rare_names(self, at_least: int) -> set[int]:  # noqa: ARG002 - most frames have no names that are values
        """Columns named by values that fewer rows than ``at_least`` have."""
        return set()

    def marks(self, place: int) -> Marks | None:
        """How a column of numbers or flags is filled; None when it holds something else, or was not looked at."""
        if self.rows is None:
            return None
        if self.rows > 2 * _GLANCE:
            glance = marked(self.sample(place, positions(self.rows, _GLANCE)))
            if glance is None or (not glance.is_flag and not glance.is_two_valued and glance.filled > glance.size / 2):
                return glance
        return marked(self.sample(place, positions(self.rows)))

    def texts(self) -> list[str]:
        """The columns of text, and the levels of an index that have names: their values may be names elsewhere."""
        if self.rows is None:
            return []
        kinds = zip(self.names, self.types, strict=True)
        return [str(name) for name, kind in kinds if self.families[kind] in {"text", "object"}]

    def counts(self, column: str, exactly: AbstractSet[str], folded: AbstractSet[str]) -> dict[str, int]:
        """How many rows hold texts: ``exactly`` in all rows, ``folded`` among the values of a column with few."""
        found = Counter[str]()
        few, values = self.holding(column, exactly)
        for value, count in few.items():
            if (text := fold(value)) in folded:
                found[text] += count
        for value in values:
            if (text := fold(value)) in folded and text not in found:
                found[text] += 1
        return found

    def holding(self, column: str, wanted: AbstractSet[str]) -> tuple[dict[str, int], Iterable[str]]:  # noqa: ARG002
        """How many rows hold each of these texts; and all the column's values when they are few."""
        return {}, ()


class Names(Reader):
    """The names that something else than a frame goes by: a model's features, the keys of a record."""

    is_frame = False

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__("names", names, ["name"] * len(names))


def place_of(cls: type) -> tuple[str, str]:
    """Package and name of a class, whatever its metaclass makes of looking them up.

    Example:
        >>> place_of(Counter)
        ('collections', 'Counter')
    """
    module = type.__getattribute__(cls, "__module__")
    return (module.split(".")[0] if isinstance(module, str) else "", type.__getattribute__(cls, "__name__"))


def places_of(obj: Any) -> list[tuple[str, str]]:
    """Package and name of an object's class and of the classes that it is made of, the nearest first."""
    return [place_of(base) for base in type.__getattribute__(type(obj), "__mro__")]


def class_name(obj: Any) -> str:
    """An object's package and class: ``pandas DataFrame``."""
    return " ".join(place_of(type(obj)))


@lru_cache(maxsize=4096)
def _short(kind: str) -> str:
    """A type without blanks and without what says nothing to a reader; an enumeration without its values.

    Example:
        >>> [_short(kind) for kind in ("datetime64[ns]", "datetime64[us, UTC]", "Struct({'x': Int64})")]
        ['datetime64', 'datetime64[UTC]', 'Struct(x=Int64)']
    """
    kind = type_without_labels(kind)
    if "{" in kind:
        kind = _FIELD.sub(r"\1=", kind).replace("{", "").replace("}", "")
    kind = _OPTION.sub("", kind).replace(", None)", ")").replace(", ", ",")
    return _UNIT.sub(lambda match: f"{match[1]}[{match[2]}]" if match[2] else match[1], kind)


_OPTION = re.compile(r"\b(?:time_unit|time_zone|inner|size|precision|scale|categories)=")
_FIELD = re.compile(r"'([^']*)': ")
_UNIT = re.compile(r"^(datetime64|timedelta64)\[(?:s|ms|us|ns)(?:,([^]]+))?\]$")


_WORD = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """A text as names are made of it: R writes ``Grete.Hermann``, others ``grete_hermann``."""
    return _WORD.sub("_", text.casefold()).strip("_")
