"""What can be known of a frame at once and column by column: the contract of all readers, and pandas' own."""

# An object is known by the package and name of its class, so no library is imported to find out what an object is.

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
from rsql_magic.sql import date_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

# What kind of values a column holds, as far as a description cares; `object` means that only the values can tell.
Family = Literal["number", "integer", "bool", "time", "text", "object", "other"]
# By the kind of a numpy type.
FAMILIES: dict[str, Family] = {"i": "integer", "u": "integer", "f": "number", "b": "bool", "M": "time", "m": "time"}

# Of a frame with more rows than this, only as many are searched for texts, and all for those that were found.
WHOLE = 200_000
# A column with more values than this is not searched for texts that are written otherwise.
FEW = 300
# Rows whose values are told apart in the time that `isin` takes to prepare for one text.
_SOONER = 20


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
    form: str = ""  # how the dates or times of a text column are written


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
    has_digits = family == "text" and re.search(r"\d", " ".join(map(str, sample.values[:20])))
    form = date_form(sample.values) if has_digits else ""
    return replace(summary, distinct=len(counts), once=once, top=tuple(top), form=form)


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
    # Types of the levels that have none, without one that only numbers the rows.
    unnamed: tuple[str, ...] = ()
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


class _PandasReader(Reader):
    """A pandas frame, also with duplicate or non-text names and with several levels of names."""

    def __init__(self, frame: Any, label: str = "") -> None:
        self.frame = frame
        names = frame.columns.tolist()  # first: pandas goes through whatever a subclass has here, to its end
        self._dtypes = frame.dtypes.tolist()
        written: dict[int, str] = {}  # a type is an object shared by its columns, and slow to write
        types = [written.get(id(kind)) or written.setdefault(id(kind), str(kind)) for kind in self._dtypes]
        about = _text(_first(frame.attrs, "description", "label", "title"))
        super().__init__(label or class_name(frame), names, types, len(frame.index), about)
        self.index = tuple(name for name in frame.index.names if isinstance(name, str))
        self.unnamed = tuple(_short(str(kind)) for kind in _kinds_without_names(frame.index))
        self.named_by = ", ".join(str(name) for name in frame.columns.names if name is not None)

    def note(self, place: int) -> tuple[str, str]:
        # What `df.attrs` says of the column: `{"labels": {column: text}, "units": {column: unit}}`.
        name, attrs = self.names[place], self.frame.attrs
        if not attrs:
            return "", ""
        return _text(_entry(attrs, name, "labels", "descriptions", "columns")), _text(_entry(attrs, name, "units"))

    def family(self, place: int) -> Family:
        dtype = self._dtypes[place]
        if dtype.name in {"category", "str"} or dtype.name.startswith("string"):
            return "text"
        if dtype.name == "object":
            return "object"
        if dtype.name.startswith(("period", "timestamp", "date32", "date64")):
            return "time"
        if dtype.name.startswith("dictionary<values=string"):
            return "text"
        return FAMILIES.get(getattr(dtype, "kind", "O"), "other")

    def sample(self, place: int, positions: list[int] | None) -> Sample:
        column = self.frame.iloc[:, place]
        column = column if positions is None else column.take(positions)
        column = column.sparse.to_dense() if self._dtypes[place].name.startswith("Sparse") else column
        present = column[column.notna()]
        if self.family(place) == "time":
            values = [present.min(), present.max()] if len(present) else []
        else:
            values = present.tolist()
        return Sample(values, len(column), len(column) - len(present))

    def texts(self) -> list[str]:
        index = self.frame.index
        levels = [name for place, name in enumerate(index.names) if isinstance(name, str) and _holds_text(index, place)]
        return [*super().texts(), *levels]

    def holding(self, column: str, wanted: AbstractSet[str]) -> tuple[dict[str, int], Iterable[str]]:
        place = next((place for place, name in enumerate(self.names) if str(name) == column), None)
        held = self.frame.index.get_level_values(column) if place is None else self.frame.iloc[:, place]
        if held.dtype == "object":  # lists and dictionaries cannot be told apart
            held = held[[isinstance(value, str) for value in held]]
        part = held[:: -(-len(held) // WHOLE)] if len(held) > WHOLE else held
        # isin makes an array of the texts, for each column anew: a short column's own values are told apart sooner
        likely = wanted & set(part.unique()) if len(part) < _SOONER * len(wanted) else wanted
        found = part[part.isin(list(likely))]
        counts = (held[held.isin(found)] if len(part) < len(held) and len(found) else found).value_counts()
        few = held[: 10 * FEW].unique()
        told = {value: int(count) for value, count in counts.items() if isinstance(value, str) and count}
        return told, [value for value in few if isinstance(value, str)] if len(few) <= FEW else ()

    def head(self, places: Sequence[int], rows: int) -> list[list[Any]]:
        columns = [self.frame.iloc[:rows, place].tolist() for place in places]
        return [list(row) for row in zip(*columns, strict=True)]

    def labels(self, rows: int) -> list[str]:
        return [str(label) for label in self.frame.index[:rows]] if _is_text(self.frame.index) else []

    def rare_names(self, at_least: int) -> set[int]:
        # Columns of a pivot table with few cells, in a table of counts those that few rows were counted in.
        part = self.frame.iloc[:10_000]
        filled = [int((column.notna() & (column != 0)).sum()) for _, column in part.items()]
        counts = [
            int(column.sum()) if kind.kind in "iu" else 0
            for kind, (_, column) in zip(self._dtypes, part.items(), strict=True)
        ]
        return {place for place, most in enumerate(map(max, filled, counts)) if most < at_least}

    def sorted_key(self, place: int) -> tuple[int, int] | None:
        # The ends of a strictly increasing column, looked at block by block.
        column = self.frame.iloc[:, place]
        if column.hasnans or not increasing(lambda start, end: column.iloc[start:end].to_numpy("int64"), len(column)):
            return None
        return int(column.iloc[0]), int(column.iloc[-1])


def _holds_text(index: Any, level: int) -> bool:
    kind = index.get_level_values(level).dtype
    return kind.name in {"object", "category", "str"} or kind.name.startswith("string")


def _kinds_without_names(index: Any) -> Iterator[Any]:
    """Types of the levels of an index that have no name; of a single level of whole numbers none, as rows have them."""
    if index.nlevels > 1:
        yield from (level.dtype for level in index.levels if level.name is None)
    elif index.name is None and index.dtype.kind not in "iu":
        yield index.dtype


def increasing(block: Callable[[int, int], Any], rows: int, size: int = 65_536) -> bool:
    """Whether numbers are strictly increasing, looked at block by block so that nothing large is made."""
    for start in range(0, rows - 1, size):
        part = block(start, start + size + 1)
        if not (part[1:] > part[:-1]).all():
            return False
    return True


def pandas_series(series: Any) -> Reader:
    """A pandas series or index as a frame of one column."""
    from pandas import Series

    column = series if isinstance(series, Series) else series.to_series()
    # The name of a row (`df.loc["Ann"]`) is a value; a row is told from a column by its index, the columns' names.
    is_row = isinstance(series, Series) and _is_text(column.index)
    name = "values" if is_row or not isinstance(series.name, str) else series.name
    return _PandasReader(column.to_frame(name=name), class_name(series))


def pandas_array(array: Any) -> Reader:
    """One of pandas' own arrays, such as a categorical."""
    from pandas import Series

    return _PandasReader(Series(array).to_frame(name="values"), class_name(array))


def pandas_levels(index: Any) -> Reader:
    """A pandas index of several levels, each of them a column."""
    names = [name if isinstance(name, str) else f"level_{place}" for place, name in enumerate(index.names)]
    from pandas import DataFrame

    reader = _PandasReader(
        DataFrame({place: index.get_level_values(place) for place in range(len(names))}).set_axis(names, axis=1),
        class_name(index),
    )
    reader.index = reader.unnamed = ()
    return reader


def _is_text(index: Any) -> bool:
    return index.nlevels > 1 or index.dtype.kind not in "iufbmM"


def _first(mapping: Any, *keys: str) -> Any:
    return next((mapping[key] for key in keys if key in mapping), "")


def _entry(attrs: Any, name: Any, *groups: str) -> Any:
    found = (attrs[group][name] for group in groups if isinstance(attrs.get(group), dict) and name in attrs[group])
    return next(found, "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


PANDAS: dict[tuple[str, str], Callable[[Any], Reader]] = {
    ("pandas", "DataFrame"): _PandasReader,
    ("pandas", "Series"): pandas_series,
    ("pandas", "Index"): pandas_series,
    ("pandas", "MultiIndex"): pandas_levels,
    ("pandas", "Categorical"): pandas_array,
    ("pandas", "ExtensionArray"): pandas_array,
}


def read(obj: Any) -> Reader:
    """The object's reader; a `TypeError` where it is no frame of a library known here."""
    if (reader := reader_of(obj)) is None:
        raise TypeError(f"{type(obj).__name__} is no frame that is known here")
    return reader(obj)


def reader_of(obj: Any) -> Callable[[Any], Reader] | None:
    """What makes a reader of the object; None where it is no frame of a library known here."""
    from rsql_magic.context.readers import READERS  # those of other libraries stand on this module

    return next((READERS[place] for place in places_of(obj) if place in READERS), None)


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
