"""What can be known of a frame at once and column by column, whatever its library: the contract of all readers."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rsql_magic.context.sampling import Sample, marked, positions, summarised
from rsql_magic.context.value_names import families_of, fold
from rsql_magic.redaction import type_without_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.sampling import Family, Marks, Summary

_GLANCE = 200
"""Rows that are enough to see that a column is no flag."""


class Reader:
    """One frame: what can be known at once, and its columns one by one.

    A reader of a lazy frame knows names and types only, and leaves the rest as it is here.

    Args:
        label: What it is: ``pandas DataFrame``.
        names: Names of the columns; pandas allows anything.
        types: Their types, as their library writes them.
        rows: Number of rows, None when counting them would run a query.
        description: What the frame says about itself.

    Raises:
        TypeError: There is not one type for each name, or a name cannot be written.
    """

    is_frame = True
    """Whether the names are those of columns."""
    index: tuple[str, ...] = ()
    """Names of the levels of a pandas index that has names."""
    named_by: str = ""
    """What the columns' names are values of: pandas names the axis in pivot tables and cross tables."""

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
            if glance is None or glance.is_dense:
                return glance
        return marked(self.sample(place, positions(self.rows)))

    def texts(self) -> list[str]:
        """The columns of text, and the levels of an index that have names: their values may be names elsewhere."""
        if self.rows is None:
            return []
        families = families_of(self)
        kinds = zip(self.names, self.types, strict=True)
        return [str(name) for name, kind in kinds if families[kind] in {"text", "object"}]

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


def class_name(obj: Any) -> str:
    """An object's package and class: ``pandas DataFrame``."""
    return " ".join(place_of(type(obj)))


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
