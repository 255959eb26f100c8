"""Columns of a result with their types kept: integers with gaps stay whole, decimals exact, times in their zone."""

# pandas alone would turn integers with a missing value into floats (wrong above 2^53) and leave dates as objects.

from __future__ import annotations

import datetime as dt
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

from rsql_magic.databases.base import Fetched

# Rows fetched at a time.
_CHUNK = 1000

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd


def frame_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Rows of Python values as a frame; of column names that come twice the second gets a number.

    Example:
        >>> frame_of(["n", "n"], [(1, "a"), (None, "b")]).dtypes.astype(str).to_dict()
        {'n': 'Int64', 'n_2': 'str'}
    """
    import pandas as pd

    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    named = zip(unique_names(names), columns, strict=True)
    return pd.DataFrame({name: column_of(values) for name, values in named}, copy=False)


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


def _whole_numbers(values: Sequence[Any]) -> Any:
    import pandas as pd

    try:
        return pd.array(list(values), dtype="Int64" if None in values else "int64")
    except OverflowError:
        return _objects(values)


def _floats(values: Sequence[Any]) -> Any:
    import numpy as np

    # A float holds whole numbers exactly up to 2^53 only.
    if any(isinstance(value, int) and abs(value) > 1 << 53 for value in values):
        return _objects(values)
    return np.array([np.nan if value is None else value for value in values], dtype="float64")


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
    frozenset({dt.timedelta}): _array_of("timedelta64[us]"),
}


def size_of(row: Sequence[Any]) -> int:
    """Bytes that a row takes, roughly: text and bytes by their length, everything else by 32."""
    return sum(len(value) + 50 if isinstance(value, (str, bytes, bytearray, memoryview)) else 32 for value in row)


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
    filled = 0
    while len(rows) <= max_rows and filled <= memory:
        if not (chunk := fetchmany(min(_CHUNK, max_rows + 1 - len(rows)))):
            break
        rows += chunk
        filled += sum(map(size_of, chunk))
    note = f"cut after {filled >> 20:,} MB" if filled > memory else ""
    return Fetched(frame_of(names, rows[:max_rows]), len(rows) > max_rows or bool(note), note)
