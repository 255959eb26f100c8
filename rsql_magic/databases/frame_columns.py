"""Columns of frames as DuckDB reads them with every value as it is; what it would change is given as text, and told."""

# DuckDB takes a column of Python's objects for what most of them look like: decimals with a NaN among them become
# floats of 32 bits, whole numbers beside a fraction floats of 64. So all kinds of objects in a column are looked at,
# and go as they are only in mixtures that were shown to lose nothing.

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from rsql_magic.diagnostics import log

if TYPE_CHECKING:
    from collections.abc import Sequence

# What has become of a column.
TEXT, SEVERAL = "given as text", "of several time zones"
# Most lists and dictionaries in each other that a cell may hold: DuckDB goes down until its stack ends.
_DEEPEST = 20
# Kinds of objects of which a column goes as it is.
_ALIKE: tuple[frozenset[type], ...] = tuple(
    frozenset(kinds)
    for kinds in (
        {str}, {bytes}, {bytearray}, {bool}, {float}, {uuid.UUID}, {dt.date}, {dt.time}, {dt.datetime}, {dt.timedelta},
        {dt.date, dt.datetime}, {list}, {tuple}, {dict}, set(),
    )
)  # fmt: skip
# Digits that DuckDB's decimals have, and the whole numbers that its largest type holds.
_DIGITS, _LARGEST = 38, 1 << 126


def exact_objects(column: Any) -> tuple[Any, str]:
    """A pandas column of objects as DuckDB reads it, None where it cannot be; and what has become of its values.

    Example:
        >>> import pandas as pd
        >>> exact_objects(pd.Series([Decimal("1.10"), Decimal("NaN")], dtype=object))[0].tolist()
        [Decimal('1.10'), None]
    """
    import pandas as pd

    if pd.api.types.infer_dtype(column, skipna=True) in {"string", "bytes", "boolean"}:
        return column, ""
    missing = [_is_missing(value) for value in column]
    values = [
        None if gap else value.item() if _is_number(value) else value
        for value, gap in zip(column, missing, strict=True)
    ]
    kinds = frozenset(map(type, values)) - {type(None)}
    if kinds and kinds <= {dt.datetime, pd.Timestamp}:
        return _moments(column, values)
    if _goes_as_it_is(kinds, [value for value in values if value is not None]):
        return (pd.Series(values, index=column.index, dtype=object) if kinds else column), ""
    numbers = [value for value in values if value is not None]
    if kinds == {int, float} and all(isinstance(n, float) or abs(n) <= 1 << 53 for n in numbers):
        return pd.Series([math.nan if v is None else float(v) for v in values], index=column.index), ""
    try:
        texts = [None if value is None else str(value) for value in values]
    except Exception:
        log.debug("a column of objects cannot be written", exc_info=True)
        return None, ""
    return pd.Series(texts, index=column.index, dtype=object), TEXT


def _goes_as_it_is(kinds: frozenset[type], values: Sequence[Any]) -> bool:
    """Whether DuckDB reads objects of some kinds, of which none is missing, without a change."""
    import pandas as pd

    if kinds == {Decimal}:
        return _fits(values)
    if kinds and kinds <= {dt.timedelta, pd.Timedelta}:
        return not any(getattr(value, "nanoseconds", 0) for value in values)
    if kinds == {int}:
        return all(-_LARGEST < number < _LARGEST for number in values)
    return kinds in _ALIKE and all(_depth_of([value]) <= _DEEPEST for value in values if _is_nested(value))


def _is_missing(value: Any) -> bool:
    """What pandas takes for a gap: None, NaN, NaT and NA."""
    import pandas as pd

    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _is_number(value: Any) -> bool:
    """Whether a value is a number of numpy's; its spans of time, which it counts among them, are none."""
    import numpy as np

    return isinstance(value, np.number | np.bool_) and not isinstance(value, np.timedelta64)


def _fits(numbers: Sequence[Decimal]) -> bool:
    """Whether one of DuckDB's types of decimals holds all numbers."""
    if not all(number.is_finite() for number in numbers):
        return False
    scales = [-int(number.as_tuple().exponent) for number in numbers]
    scale = max(0, *scales) if scales else 0
    return max((max(number.adjusted() + 1, 1) for number in numbers), default=1) + scale <= _DIGITS


def _moments(column: Any, values: Sequence[Any]) -> tuple[Any, str]:
    """Times, all of one zone or all without one; of several zones as moments, and with and without one as texts."""
    import pandas as pd

    tagged = [getattr(value, "tzinfo", None) for value in values if value is not None]
    zones = {tz and str(tz) for tz in tagged}  # those of dateutil cannot be in a set
    if None in zones and len(zones) > 1:
        return pd.Series([None if v is None else str(v) for v in values], index=column.index, dtype=object), TEXT
    if zones == {None} and not any(getattr(value, "nanosecond", 0) for value in values):
        return pd.Series(values, index=column.index, dtype=object), ""
    several = len(zones) > 1
    return pd.Series(pd.to_datetime(values, utc=several), index=column.index), SEVERAL if several else ""


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple | dict)


def _depth_of(cells: Any) -> int:
    """How many levels of lists and dictionaries there are, as far as it matters."""
    level, depth = list(cells), 0
    while level and depth <= _DEEPEST:
        depth += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for parts in inner for part in parts if _is_nested(part)]
    return depth


def exact_numbers(column: Any) -> tuple[Any, str]:
    """A column of numpy's or pandas' numbers and times as DuckDB reads it, and what has become of its values."""
    import numpy as np

    kind = column.dtype
    if kind.kind == "f" and kind.itemsize > 8:
        narrow = column.astype("float64")
        return (narrow, "") if ((narrow == column) | column.isna()).all() else (_as_texts(column), TEXT)
    if kind.kind == "m" and "[ns" in str(kind) and (column.dropna().astype("int64") % 1000).any():
        return _as_texts(column), TEXT
    if kind.kind == "M" and ("[s" in str(kind) or "[ms" in str(kind)):
        most = np.iinfo("int64").max // (1_000_000 if "[s" in str(kind) else 1_000)
        if (column.dropna().astype("int64").abs() > most).any():
            return _as_texts(column), TEXT
    return column, ""


def _as_texts(column: Any) -> Any:
    return column.astype(object).map(str, na_action="ignore")


def with_types(frame: Any) -> Any:
    """A polars frame whose columns of no type are texts without values: DuckDB refuses batches of them."""
    import polars as pl

    def typed(kind: Any) -> Any:
        if kind == pl.Null:
            return pl.String
        if isinstance(kind, pl.List):
            return pl.List(typed(kind.inner))
        if isinstance(kind, pl.Array):
            return pl.Array(typed(kind.inner), kind.size)
        if isinstance(kind, pl.Struct):
            return pl.Struct([pl.Field(field.name, typed(field.dtype)) for field in kind.fields])
        return kind

    changed = {name: made for name, kind in frame.schema.items() if (made := typed(kind)) != kind}
    return frame.cast(changed) if changed else frame


# Time zones.

_ZONE = re.compile(r"tz=([^\]]+)\]|time_zone='([^']+)'|datetime64\[\w+, (.+?)\]")
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d\d):?(\d\d)(?::00)?")


def zones_in(frame: Any) -> dict[str, str]:
    """The time zones of a frame's columns, as DuckDB names them; an empty text for one that it has no name for."""
    if hasattr(frame, "dtypes") and hasattr(frame, "iloc"):
        kinds = [(str(name), _told(kind)) for name, kind in zip(frame.columns, frame.dtypes, strict=True)]
    else:
        schema = getattr(frame, "schema", None)
        if schema is None:
            return {}
        if hasattr(schema, "items"):
            kinds = [(str(name), repr(kind)) for name, kind in schema.items()]
        else:
            kinds = [(str(field.name), str(field.type)) for field in schema]
    return {
        name: zone_name(next(filter(None, found.groups()))) for name, text in kinds if (found := _ZONE.search(text))
    }


def _told(kind: Any) -> str:
    """A type of pandas', or that of a category's values, as a text that names its zone."""
    inner = getattr(getattr(kind, "categories", None), "dtype", kind)
    return str(inner)


@lru_cache(maxsize=200)
def zone_name(text: str) -> str:
    """DuckDB's name of a zone; of a file that dateutil read the end of its path.

    Example:
        >>> zone_name("tzfile('/usr/share/zoneinfo/Europe/Berlin')"), zone_name("UTC+05:30")
        ('Europe/Berlin', 'GMT+05:30')
    """
    known = available_timezones()
    if text in known:
        return text
    if match := _OFFSET.fullmatch(text):
        sign, hours, minutes = match.groups()
        return f"GMT{sign}{hours}:{minutes}" if hours + minutes != "0000" else "UTC"
    if match := re.fullmatch(r"tzoffset\(.*?(-?\d+)\)|pytz\.FixedOffset\((-?\d+)\)", text):
        minutes = int(match[1]) // 60 if match[1] else int(match[2])
        return f"GMT{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "UTC"
    if text == "tzutc()":
        return "UTC"
    parts = re.sub(r"^tzfile\(['\"]|['\"]\)$", "", text).split("/")
    return next((name for place in range(len(parts)) if (name := "/".join(parts[place:])) in known), "")
