"""Figures of whole columns, computed here and exactly: what a sentence such as "the mean of x is 4.2" states."""

# Only frames of the libraries themselves are computed with, and columns of plain values: no code of a user runs.

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rsql_magic.context import r
from rsql_magic.context.reader import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

# By kind; several where one may be meant in several ways, as with or without the missing.
Figures = dict[str, tuple[float, ...]]

_LIBRARIES = {("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")}
_MOST_ROWS = 10_000_000
_OF_NUMBERS = ("mean", "median", "min", "max", "sum")


@dataclass(frozen=True)
class Measured:
    """A frame whose figures can be computed."""

    columns: Sequence[str]
    rows: int
    _of_column: Callable[[int], Figures] = field(repr=False)

    def figures(self, kind: str, column: str = "") -> tuple[float, ...]:
        """A figure of a column or, for its rows and columns, of the frame; nothing where there is none."""
        if not column:
            return {"rows": (self.rows,), "columns": (len(self.columns),)}.get(kind, ())
        found = self._of_column(self.columns.index(column)) if self.rows <= _MOST_ROWS else {}
        return tuple(figure for figure in found.get(kind, ()) if math.isfinite(figure))


def measured(names: Collection[str], namespace: Mapping[str, Any]) -> dict[str, Measured]:
    """Those of the named frames of Python's that can be computed with.

    Example:
        >>> measured(["x"], {"x": 1})
        {}
    """
    import narwhals.stable.v2 as nw

    found = {name: namespace[name] for name in names if place_of(type(namespace.get(name))) in _LIBRARIES}
    frames = {name: nw.from_native(frame, eager_only=True) for name, frame in found.items()}
    return {
        name: Measured(list(map(str, frame.columns)), len(frame), partial(_figures, frame, nw.String()))
        for name, frame in frames.items()
    }


def measured_in_r(names: Collection[str]) -> dict[str, Measured]:
    """Those of the named tables of R's workspace; on the main thread, and `NoR` where R cannot be asked."""
    tables = (each for each in r.survey().objects if each.is_table and each.name in names)
    return {each.name: Measured(each.columns, each.rows or 0, partial(_in_r, each.name)) for each in tables}


def _figures(frame: Any, text: Any, place: int) -> Figures:
    column = frame.get_column(frame.columns[place])
    kind, size, nulls = column.dtype, len(column), int(column.null_count())
    if str(kind) in {"String", "Categorical", "Enum"}:  # an empty text may be taken for none
        blank = int((column.cast(text).str.strip_chars() == "").sum())
        return _counts(size, int(column.n_unique()) - (nulls > 0), nulls, nulls + blank)
    if not kind.is_numeric():
        return {}
    gone = int((column.is_null() | column.is_nan()).sum()) if kind.is_float() else nulls  # NaN is a value in polars
    found = _counts(size, int(column.n_unique()) - (nulls > 0), gone, nulls)
    return found | ({name: (float(getattr(column, name)()),) for name in _OF_NUMBERS} if gone < size else {})


def _counts(size: int, distinct: int, *missing: int) -> Figures:
    share = tuple(100 * count / max(size, 1) for count in missing)
    values = (size, size - missing[0])
    return {"missing": missing, "share": share, "distinct": (distinct, distinct + bool(missing[0])), "rows": values}


def _in_r(name: str, place: int) -> Figures:
    if not (said := r.figures(name, place)):
        return {}
    size, distinct, gone, blank, *numbers = said
    found = _counts(int(size), int(distinct), int(gone), int(gone + blank))
    return found | {kind: (figure,) for kind, figure in zip(_OF_NUMBERS, numbers, strict=False)}
