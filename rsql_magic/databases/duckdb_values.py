"""How DuckDB gives a guarded statement's rows: every value as it is stored."""

# DuckDB's own `.df()` gives floats for decimals, for 128-bit integers and for integers with a missing value, days for
# months, and the year 294247 for infinity. So a query is wrapped in one that writes those differently, and they are put
# back together here, piece by piece and without a Python object per value where that can be: exact decimals, `Int64`.
# A type goes as it is only where that was shown to lose nothing. Lists, structs and maps come row by row, with all that
# Python holds no such value of as text inside them.

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rsql_magic.databases.base import Fetched
from rsql_magic.databases.columns import AsText, column_of, first_rows, framed, scaled_decimals, unique_names
from rsql_magic.errors import QueryFailed
from rsql_magic.sql import is_query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

# Rows that DuckDB computes at a time.
_VECTOR = 2048
# Bytes of one piece of a result, about.
_PIECE = 64 << 20

# What stands before an explained query.
EXPLAIN = re.compile(r"EXPLAIN\s*(ANALYZE\b)?\s*(\([^)]*\))?", re.IGNORECASE)


def fetched(session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
    """Run a guarded statement and take its first rows: at most so many, and so many bytes."""
    # Ask DuckDB's parser as well: on the user's own connection no setting keeps a statement from writing files.
    sql = sql.strip()
    kind = _kind(session, sql)
    if kind == "EXPLAIN":
        kind = _kind(session, EXPLAIN.sub("", sql, count=1))
    if kind not in _READING and not (kind == "PRAGMA" and _PRAGMAS.match(sql)):
        raise QueryFailed("DuckDB would do more than read.", hint="Ask with a single SELECT.")
    if not is_query(sql, "duckdb"):
        frame = session.execute(sql).df()
        return Fetched(frame.head(max_rows), len(frame) > max_rows)
    described = session.execute(f"DESCRIBE {sql}").fetchall()
    names, types = unique_names([row[0] for row in described]), [row[1] for row in described]
    places = ", ".join(f"c{place}" for place in range(len(names)))
    source = f"FROM (\n{sql}\n) AS result({places}) LIMIT {max_rows + 1}"
    if _FIXED.issuperset(types) and 8 * len(types) * max_rows <= memory:
        with suppress(_Beyond, OverflowError):
            return _at_once(session, f"SELECT * {source}", names, max_rows)
    (zone,) = session.execute("SELECT current_setting('TimeZone')").fetchone()
    if not all(map(_is_flat, types)):
        return _row_by_row(session, source, names, types, zone, max_rows=max_rows, memory=memory)
    wires = [_wire(name, place, kind, zone) for place, (name, kind) in enumerate(zip(names, types, strict=True))]
    session.execute(f"SELECT {', '.join(term for wire in wires for term in wire.terms)} {source}")
    pieces, note = _pieces(session, memory)
    return _together(wires, pieces, max_rows, note)


# Kinds of statements that read, in DuckDB's own parser; MULTI is a PIVOT.
_READING = frozenset({"SELECT", "MULTI"})

_PRAGMAS = re.compile(
    r"PRAGMA\s+(table_info|show_tables|show_tables_expanded|show|database_list|database_size|functions|collations"
    r"|version|platform|user_agent|storage_info|metadata_info)\s*(\(|\Z)",
    re.IGNORECASE,
)


def _kind(session: Any, sql: str) -> str:
    """The kind of a single statement, in DuckDB's words; empty for several, and for kinds Python has no name for."""
    try:
        kinds = [statement.type.name for statement in session.extract_statements(sql)]
    except ValueError:
        return ""
    return kinds[0] if len(kinds) == 1 else ""


_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
# Types of at most eight bytes, whose results have a size that is known before.
_FIXED = _INTEGERS | {"FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}


class _Beyond(Exception):
    """A date or time that pandas would show as another one."""


def _at_once(session: Any, sql: str, names: Sequence[str], max_rows: int) -> Fetched:
    """The quick way for columns of fixed size: numpy arrays, masked where values are missing."""
    import duckdb
    import pandas as pd

    result = session.execute(sql)  # an error of the query itself ends the transaction
    try:
        arrays: Mapping[str, Any] = result.fetchnumpy()
    except duckdb.ConversionException as error:  # numpy has no room for a date
        raise _Beyond from error
    columns = [_unmasked(array) for array in arrays.values()]
    if any(_is_beyond(column) for column in columns):
        raise _Beyond
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)), copy=False)
    more = len(frame) > max_rows
    return Fetched(frame.head(max_rows) if more else frame, more)


def _is_beyond(column: Any) -> bool:
    """Whether a column of times holds one that Python has no room for; infinity is among them."""
    import numpy as np

    if column.dtype.kind != "M" or not len(column):
        return False
    low, high = (np.datetime64(moment, "us") for moment in (dt.datetime.min, dt.datetime.max))  # noqa: DTZ901
    return bool(((column < low) | (column > high)).any())


def _unmasked(array: Any) -> Any:
    """A numpy array as a column; one with a mask as the pandas type that has gaps."""
    import numpy as np
    import pandas as pd

    if not isinstance(array, np.ma.MaskedArray):
        return array
    kind, missing = array.dtype.kind, np.ma.getmaskarray(array)
    if kind in "iu" and missing.any():
        return pd.arrays.IntegerArray(array.data, missing)
    if kind == "b" and missing.any():
        return pd.arrays.BooleanArray(array.data, missing)
    if kind == "f":
        return array.filled(np.nan)
    return array.filled(np.datetime64("NaT")) if kind == "M" else array.data


@dataclass(frozen=True)
class _Wire:
    """How a column travels: what is selected for it, and how its values are made of that."""

    name: str  # the column's name in the result
    place: int  # its number
    terms: tuple[str, ...]  # expressions to select
    read: Callable[[pd.DataFrame, str], Any]  # makes the column from the frame of those


_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def _is_flat(type_name: str) -> bool:
    """Whether the values of a type are no lists, structs or the like."""
    return bool(type_name in _TRAVEL or type_name in _READ or _DECIMAL.fullmatch(type_name) or _is_enum(type_name))


def _is_enum(type_name: str) -> bool:
    return type_name.startswith("ENUM(") and type_name.endswith(")")


def _wire(name: str, place: int, type_name: str, zone: str) -> _Wire:
    """How a column of a flat type travels."""
    if match := _DECIMAL.fullmatch(type_name):
        return _decimal_wire(name, place, int(match[1]), int(match[2]))
    terms, read = (
        (("{0}",), _as_is) if _is_enum(type_name) else _TRAVEL.get(type_name) or (_AS_TEXT, _of_text(_READ[type_name]))
    )
    if type_name == "TIMESTAMP WITH TIME ZONE":
        read = partial(_zoned, zone=zone)
    return _Wire(name, place, tuple(term.format(f"c{place}") for term in terms), read)


def _decimal_wire(name: str, place: int, width: int, scale: int) -> _Wire:
    """A decimal goes as a whole number of its smallest unit where 64 bits hold it, else as text."""
    column = f"c{place}"
    if width > 18:
        return _Wire(name, place, (_AS_TEXT[0].format(column),), _of_text(Decimal))
    unit = f"CAST({10**scale} AS DECIMAL({scale + 1}, 0))"
    whole = f"CAST(coalesce({column}, 0) * {unit} AS BIGINT) AS {column}"
    return _Wire(name, place, (whole, _WITH_GAPS[1].format(column)), partial(_decimal, scale=scale))


def _as_is(frame: pd.DataFrame, column: str) -> Any:
    return frame[column]


def _integer(frame: pd.DataFrame, column: str) -> Any:
    import pandas as pd

    missing = frame[f"{column}_missing"].to_numpy()
    return pd.arrays.IntegerArray(frame[column].to_numpy(), missing) if missing.any() else frame[column]


def _small_integer(frame: pd.DataFrame, column: str) -> Any:
    """Up to 32 bits, for which the floats that stand for gaps are exact."""
    found = frame[column]
    return found.astype("Int64") if found.dtype.kind == "f" else found


def _of_text(number: Callable[[str], Any]) -> Callable[[pd.DataFrame, str], Any]:
    """Values of a kind, exact, from their texts."""
    return lambda frame, column: column_of([number(t) if isinstance(t, str) else None for t in frame[column].tolist()])


def _decimal(frame: pd.DataFrame, column: str, scale: int) -> Any:
    return scaled_decimals(frame[column].to_numpy(), frame[f"{column}_missing"].to_numpy(), scale)


def _truth(frame: pd.DataFrame, column: str) -> Any:
    found = frame[column]
    return found.astype("boolean") if found.dtype.kind == "O" else found


def _zoned(frame: pd.DataFrame, column: str, zone: str) -> Any:
    return _or_text(frame[column].dt.tz_localize("UTC").dt.tz_convert(zone), frame[f"{column}_text"])


def _time(frame: pd.DataFrame, column: str) -> Any:
    return _or_text(frame[column], frame[f"{column}_text"])


def _or_text(times: Any, texts: Any) -> Any:
    """Times, with texts where Python has no room for one."""
    if not texts.notna().any():
        return times
    return column_of([AsText(t) if isinstance(t, str) else time for time, t in zip(times, texts, strict=True)])


def _binary(frame: pd.DataFrame, column: str) -> Any:
    return column_of([bytes(value) if isinstance(value, bytearray) else None for value in frame[column]])


def _clock(text: str) -> object:
    """A time of day; 24:00, and one of nanoseconds, as text."""
    whole, _, part = text.partition(".")
    digits = re.match(r"\d*", part)
    if whole.startswith("24") or (digits and digits[0][6:].strip("0")):
        return AsText(text)
    return dt.time.fromisoformat(text)


_SPAN = re.compile(r"(?:(-?\d+) days? ?)?(?:(-?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?)?")


def _span(text: str) -> object:
    """An interval of days and less; one of months and years, which have no fixed length, as text."""
    if not (match := _SPAN.fullmatch(text)):
        return AsText(text)
    days, minus, hours, minutes, seconds, part = match.groups()
    clock = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0), seconds=int(seconds or 0))
    clock += dt.timedelta(microseconds=int((part or "").ljust(6, "0")))
    with suppress(OverflowError):
        return dt.timedelta(days=int(days or 0)) + (-clock if minus else clock)
    return AsText(text)


def _day(text: str) -> object:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return AsText(text)


def _moment(text: str) -> object:
    if re.search(r"\.\d{6}\d*[1-9]", text):  # nanoseconds
        return AsText(text)
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        return AsText(text)


_WITH_GAPS = ("coalesce({0}, 0) AS {0}", "{0} IS NULL AS {0}_missing")
_AS_TEXT = ("CAST({0} AS VARCHAR) AS {0}",)


def _within(test: str, value: str = "{0}") -> tuple[str, str]:
    """What is selected for times: those that pass a test, and the texts of those that do not."""
    return (
        f"CASE WHEN {test} THEN {value} END AS {{0}}",
        f"CASE WHEN NOT ({test}) THEN CAST({{0}} AS VARCHAR) END AS {{0}}_text",
    )


# A day less at either end: a zone may turn a moment into one of the year before or after.
_ZONED = "isfinite({0}) AND epoch_us({0}) BETWEEN -62135510400000000 AND 253402214400000000"
# What is selected for a column of a type, and what makes the column of that.
_TRAVEL: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    **dict.fromkeys(_INTEGERS, (("{0}",), _small_integer)),
    **dict.fromkeys(("BIGINT", "UBIGINT"), (_WITH_GAPS, _integer)),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "BIGNUM"), (_AS_TEXT, _of_text(int))),
    **dict.fromkeys(("FLOAT", "DOUBLE", "VARCHAR", "JSON", "UUID"), (("{0}",), _as_is)),
    "BLOB": (("{0}",), _binary),
    "BOOLEAN": (("{0}",), _truth),
    "DATE": (_within("{0} BETWEEN DATE '0001-01-01' AND DATE '9999-12-31'"), _time),
    **{
        name: (_within(f"{{0}} BETWEEN {name} '0001-01-01' AND {name} '9999-12-31 23:59:59.999999'"), _time)
        for name in ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS")
    },
    "TIMESTAMP_NS": (_within("isfinite({0})"), _time),
    "TIMESTAMP WITH TIME ZONE": (_within(_ZONED, "make_timestamp(epoch_us({0}))"), _zoned),
}
# What a value is made of its text, of types whose values Python or pandas would change.
_READ: dict[str, Callable[[str], Any]] = {
    "BIT": str,
    "INTERVAL": _span,
    "TIME": _clock,
    "TIME_NS": _clock,
    "TIME WITH TIME ZONE": _clock,
}
# The same where they stand inside of lists and structs.
_READ_INSIDE: dict[str, Callable[[str], Any]] = {
    **_READ,
    "BIGNUM": int,
    "DATE": _day,
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"), _moment),
}
# Types of which Python has every value.
_EXACT = _INTEGERS | {"FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR", "JSON", "UUID", "BLOB", "HUGEINT", "UHUGEINT", '"NULL"'}


def _row_by_row(
    session: Any, source: str, names: Sequence[str], types: Sequence[str], zone: str, *, max_rows: int, memory: int
) -> Fetched:
    """Rows with lists, structs, maps and types that nothing is known of, which come as text."""
    ways = [_inside(session, type_name, zone) for type_name in types]
    terms = (
        f"CAST(c{place} AS {kind}) AS c{place}" if read else f"c{place}" for place, (kind, read) in enumerate(ways)
    )
    session.execute(f"SELECT {', '.join(terms)} {source}")
    reads = [read for _, read in ways]

    def fetchmany(count: int) -> list[tuple[Any, ...]]:
        return [
            tuple(read(value) if read and value is not None else value for read, value in zip(reads, row, strict=True))
            for row in session.fetchmany(count)
        ]

    return first_rows(names, fetchmany, max_rows, memory)


def _inside(session: Any, type_name: str, zone: str) -> tuple[str, Callable[[Any], Any] | None]:
    """The type as which values of a type come, and what makes them of those; nothing where they come as they are."""
    import duckdb

    try:
        kind = session.dtype(type_name)
    except duckdb.Error:  # a type of an extension
        return "VARCHAR", AsText
    return _typed(kind, ZoneInfo(zone) if zone in _zone_names() else dt.UTC)


def _zone_names() -> set[str]:
    from zoneinfo import available_timezones

    return available_timezones()


def _typed(kind: Any, zone: dt.tzinfo) -> tuple[str, Callable[[Any], Any] | None]:
    name, form = str(kind), kind.id
    if form in {"list", "array"}:
        inner, read = _typed(kind.children[0][1], zone)
        size = str(kind.children[1][1]) if form == "array" else ""
        return f"{inner}[{size}]", lambda values: [_made(read, value) for value in values]
    if form == "struct":
        parts = {field: _typed(inner, zone) for field, inner in kind.children}
        fields = ", ".join(f"{_quoted(field)} {inner}" for field, (inner, _) in parts.items())
        return f"STRUCT({fields})", lambda value: {f: _made(parts[f][1], part) for f, part in value.items()}
    if form == "map":
        (keys, read_key), (values, read_value) = (_typed(inner, zone) for _, inner in kind.children)
        return f"MAP({keys}, {values})", partial(_mapped, read_key=read_key, read_value=read_value)
    plain = form == "union" and all(_typed(inner, zone)[1] is None for field, inner in kind.children if field)
    if plain or name in _EXACT or form in {"decimal", "enum"}:
        return name, None
    if name == "TIMESTAMP WITH TIME ZONE":
        return "VARCHAR", lambda text: _in_zone(_moment(text), zone)
    return "VARCHAR", _READ_INSIDE.get(name, AsText)


def _made(read: Callable[[Any], Any] | None, value: Any) -> Any:
    return value if read is None or value is None else read(value)


def _in_zone(moment: object, zone: dt.tzinfo) -> object:
    with suppress(OverflowError):
        return moment.astimezone(zone) if isinstance(moment, dt.datetime) else moment
    return moment


def _mapped(value: Any, read_key: Callable[[Any], Any] | None, read_value: Callable[[Any], Any] | None) -> Any:
    """A map; one whose keys are lists or structs comes as the lists of its keys and values."""
    try:
        return {_made(read_key, key): _made(read_value, one) for key, one in value.items()}
    except TypeError:
        keys, values = value["key"], value["value"]
        return {"key": [_made(read_key, key) for key in keys], "value": [_made(read_value, one) for one in values]}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _pieces(session: Any, memory: int) -> tuple[list[pd.DataFrame], str]:
    """The rows piece by piece; the first is small, and shows how large the next may be."""
    pieces: list[pd.DataFrame] = []
    filled, vectors = 0, 1
    while len(piece := session.fetch_df_chunk(vectors)):
        pieces.append(piece)
        few = piece.head(200)  # the texts of a few rows stand for all
        size = max(int(few.memory_usage(index=False, deep=True).sum() * len(piece) / max(len(few), 1)), 1)
        filled += size
        if filled > memory:
            return pieces, f"cut after {filled >> 20:,} MB"
        vectors = max(1, min(min(_PIECE, memory) * len(piece) // size // _VECTOR, 64 * vectors, 512))
    return pieces or [piece], ""


def _together(wires: Sequence[_Wire], pieces: list[pd.DataFrame], max_rows: int, note: str) -> Fetched:
    import pandas as pd

    whole = pd.concat(pieces, ignore_index=True) if len(pieces) > 1 else pieces[0]
    more = len(whole) > max_rows
    if more:
        whole = whole.head(max_rows)
    frame, remarks = framed({wire.name: wire.read(whole, f"c{wire.place}") for wire in wires})
    return Fetched(frame, more or bool(note), note, remarks=remarks)
