"""Columns of a result with their types kept: integers with gaps stay whole, decimals exact, times in their zone."""

# pandas alone would turn integers with a missing value into floats (wrong above 2^53) and leave dates as objects.

from __future__ import annotations

import datetime as dt
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from rsql_magic.databases.base import Fetched
from rsql_magic.sql import one_line

# Most rows fetched at a time, and how many at first, which show how large rows are.
_CHUNK, _FIRST = 1000, 10

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd


def frame_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows of Python values as a frame, and remarks as of `framed`; of equal column names the second gets a number.

    Example:
        >>> frame_of(["n", "n"], [(1, "a"), (None, "b")])[0].dtypes.astype(str).to_dict()
        {'n': 'Int64', 'n_2': 'str'}
    """
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    named = zip(unique_names(names), columns, strict=True)
    return framed({name: column_of(values) for name, values in named})


class AsText(str):
    """The text of a value of which Python has none, such as the date ``infinity``; in a frame it is a plain text."""

    __slots__ = ()


# Most values that are named of a column.
_NAMED = 3


def framed(columns: Mapping[str, Any]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Columns as a frame, and a sentence for each that holds values as text because Python has none.

    Example:
        >>> framed({"ends": column_of([dt.date(2024, 1, 1), AsText("infinity")])})[1]
        ('ends has values for which Python has no type, here as text: infinity.',)
    """
    import pandas as pd

    made, remarks = {}, []
    for name, column in columns.items():
        texts = dict.fromkeys(_texts(column)) if getattr(column, "dtype", "") == "object" else {}
        made[name] = column_of([_plain(value) for value in column]) if texts else column
        if texts:
            named = ", ".join(one_line(text, 40) for text in list(texts)[:_NAMED])
            more = f" and {len(texts) - _NAMED:,} more" if len(texts) > _NAMED else ""
            remarks.append(f"{one_line(name)} has values for which Python has no type, here as text: {named}{more}.")
    # Objects as they are: pandas would look for a type of its own, and fails at some mixtures.
    kept = {n: pd.Series(c, dtype=object) if getattr(c, "dtype", "") == "object" else c for n, c in made.items()}
    return pd.DataFrame(kept, copy=False), tuple(remarks)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    """The texts that stand for values, however deep these are in each other."""
    kinds = set(map(type, values))
    if AsText in kinds:
        yield from (str(value) for value in values if type(value) is AsText)
    if kinds & _NESTED:
        for value in values:
            if isinstance(value, list | tuple | dict):
                yield from _texts([*value.keys(), *value.values()] if isinstance(value, dict) else value)


_NESTED = frozenset({list, tuple, dict})


def _plain(value: Any) -> Any:
    """A value with plain texts in it."""
    if isinstance(value, AsText):
        return str(value)
    if type(value) in {list, tuple}:
        return type(value)(_plain(part) for part in value)
    return {_plain(key): _plain(part) for key, part in value.items()} if type(value) is dict else value


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of which none is there twice, capitals ignored as databases do.

    Example:
        >>> unique_names(["id", "name", "ID", "id"])
        ['id', 'name', 'ID_2', 'id_3']
    """
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    result = []
    for name in names:
        free, number = name, 2
        while free.casefold() in seen or (free != name and free.casefold() in taken):
            free, number = f"{name}_{number}", number + 1
        seen.add(free.casefold())
        result.append(free)
    return result


def column_of(values: Sequence[Any]) -> Any:
    """One column as the pandas array that loses nothing of its values."""
    kinds = frozenset(type(value) for value in values) - {type(None)}
    return _MAKERS.get(kinds, _objects)(values)


def _array_of(dtype: str, with_gaps: str = "") -> Callable[[Sequence[Any]], Any]:
    def made(values: Sequence[Any]) -> Any:
        import pandas as pd

        kind: Any = with_gaps if with_gaps and None in values else dtype
        return pd.array(list(values), dtype=kind)

    return made


# By their bounds and by numpy: pandas wraps those over 2^63 without an error, or takes them for floats.
def _whole_numbers(values: Sequence[Any]) -> Any:
    import numpy as np
    import pandas as pd

    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    if low < -(1 << 63) or high >= 1 << (64 if low >= 0 else 63):
        return _objects(values)
    kind = "int64" if high < 1 << 63 else "uint64"
    if len(known) == len(values):
        return np.array(known, dtype=kind)
    missing = np.array([value is None for value in values])
    return pd.arrays.IntegerArray(np.array([value or 0 for value in values], dtype=kind), missing)


def _floats(values: Sequence[Any]) -> Any:
    import numpy as np

    # A float holds whole numbers exactly up to 2^53 only.
    if any(isinstance(value, int) and abs(value) > 1 << 53 for value in values):
        return _objects(values)
    return np.array([np.nan if value is None else value for value in values], dtype="float64")


def _spans(values: Sequence[Any]) -> Any:
    try:
        return _array_of("timedelta64[us]")(values)
    except (OverflowError, ValueError):  # longer than 292,000 years
        return _objects(values)


def _times(values: Sequence[Any]) -> Any:
    """Dates and times; those with a zone keep it when all share it, else they are shown in UTC."""
    import pandas as pd

    zones = {getattr(value, "tzinfo", None) for value in values if value is not None}
    if zones == {None}:
        return pd.array(list(values), dtype="datetime64[us]")
    # Times with and without a zone: pandas has no type for a column of both.
    if None in zones:
        return _objects(values)
    return pd.Series(pd.to_datetime(list(values), utc=len(zones) > 1)).array.as_unit("us")


def _objects(values: Sequence[Any]) -> Any:
    import numpy as np

    # Filled after it is made: numpy would take lists of one length for the rows of a matrix.
    column = np.empty(len(values), dtype=object)
    # psycopg2 gives bytes as a view of its own buffer.
    column[:] = [bytes(value) if isinstance(value, (memoryview, bytearray)) else value for value in values]
    return column


_MAKERS: dict[frozenset[type], Callable[[Sequence[Any]], Any]] = {
    frozenset({int}): _whole_numbers,
    frozenset({bool}): _array_of("bool", "boolean"),
    frozenset({float}): _floats,
    frozenset({int, float}): _floats,
    frozenset({str}): _array_of("str"),
    frozenset({dt.datetime}): _times,
    frozenset({dt.date}): _times,
    frozenset({dt.date, dt.datetime}): _times,
    frozenset({dt.timedelta}): _spans,
}


def size_of(row: Iterable[Any]) -> int:
    """Bytes that a row takes, roughly: text and bytes by their length, lists by what is in them, all else by 32."""
    return sum(map(_size, row))


def _size(value: Any) -> int:
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return len(value) + 50
    if isinstance(value, (list, tuple)):
        return 60 + size_of(value)
    return 60 + size_of(value) + size_of(value.values()) if isinstance(value, dict) else 32


def scaled_decimals(units: Any, missing: Any, scale: int) -> Any:
    """Exact decimals from whole numbers of their smallest unit; each distinct one is made once."""
    # `missing` says which of the `units` stand for no value; `scale` is the number of digits behind the point.
    import numpy as np
    import pandas as pd

    exact = Context(prec=40)
    places, distinct = pd.factorize(units)
    made = np.empty(len(distinct), dtype=object)
    made[:] = [exact.scaleb(Decimal(unit), -scale) for unit in distinct.tolist()]
    column = made[places]
    column[missing] = None
    return column


def first_rows(names: Sequence[str], fetchmany: Callable[[int], Any], max_rows: int, memory: int) -> Fetched:
    """Rows from a cursor until there is one more than asked for, or until they fill the memory allowed."""
    rows: list[Any] = []
    filled, at_once = 0, _FIRST
    while len(rows) <= max_rows and filled <= memory:
        if not (chunk := fetchmany(min(at_once, max_rows + 1 - len(rows)))):
            break
        rows += chunk
        size = sum(map(size_of, chunk))
        filled += size
        # So many that they fit beside those that are there, should they be as large as these.
        at_once = max(1, min(_CHUNK, 10 * at_once, (memory - filled) * len(chunk) // max(size, 1)))
    note = f"cut after {filled >> 20:,} MB" if filled > memory else ""
    frame, remarks = frame_of(names, rows[:max_rows])
    return Fetched(frame, len(rows) > max_rows or bool(note), note, remarks=remarks)
