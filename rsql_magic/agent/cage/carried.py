"""What a cell that is tried is given of the session: values of known types, modules by name, functions by source."""

# Nothing of the user's is asked anything here: only objects whose type is known exactly are written down, each by
# `pickle`, which runs no code but their library's. All else is named as missing.

from __future__ import annotations

import ast
import builtins
import datetime as dt
import decimal
import fractions
import inspect
import io
import pickle
import sys
import textwrap
import types
import zoneinfo
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.agent.cage.r_cells import carry_r

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rsql_magic.agent.cage.r_cells import RGiven

_MOST_BYTES = 200_000_000
_MOST_PARTS = 200_000  # of lists and the like
_PLAIN = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, bytearray, range, slice, type(...)),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, dt.timezone),
        *(decimal.Decimal, fractions.Fraction),
    }
)
_BY_NAME = frozenset({types.FunctionType, types.BuiltinFunctionType, type})
_CONNECTS = ("duckdb", "sqlite3", "sqlalchemy", "psycopg", "pymysql", "mysql", "snowflake", "google", "ibis", "pyspark")


class _TooLarge(Exception):
    pass


class _Pickled(io.BytesIO):
    """A value that is written down, as far as there is room."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def write(self, piece: Any) -> int:
        if self.tell() + memoryview(piece).nbytes > self._room:
            raise _TooLarge
        return super().write(piece)


@dataclass
class Carried:
    """What goes along, by name, and what does not, with the reason."""

    values: dict[str, bytes] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # that may name files
    size: int = 0
    r: RGiven | None = None  # of a cell of R, what it is given besides

    def as_request(self, source: str) -> bytes:
        """What the process of the trial reads."""
        parts = {name: getattr(self, name) for name in ("values", "imports", "functions", "missing")}
        return pickle.dumps({"source": source, "r": self.r and self.r.as_dict(), **parts})


def carry(source: str, namespace: Mapping[str, Any]) -> Carried:
    """What of a namespace a cell reads, as it can be taken to another process.

    Raises:
        SyntaxError: The cell is not Python.

    Example:
        >>> carried = carry("rows + model", {"rows": 3, "model": object()})
        >>> list(carried.values), carried.missing
        (['rows'], [('model', 'a builtins.object cannot be carried over')])
    """
    carried = Carried()
    _take_all(_names(source, carried), namespace, carried)
    return carried


def carry_to_r(cell: RGiven, namespace: Mapping[str, Any]) -> Carried:
    """What a cell of R is given: of Python's names those of ``-i``, and what it reads of R's session.

    Raises:
        NoR: R cannot be asked now.
    """
    given = carry_r(cell)
    carried = Carried(texts=[*given.texts], r=given)
    names = {python for python, _ in cell.inputs}
    carried.missing += [(name, "there is no such name") for name in sorted(names - {*namespace})]
    _take_all(names, namespace, carried)
    return carried


def _take_all(names: Iterable[str], namespace: Mapping[str, Any], carried: Carried) -> None:
    waiting, seen = sorted(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in namespace or hasattr(builtins, name):
            continue
        seen.add(name)
        waiting += _take(name, namespace[name], carried)


def _names(source: str, carried: Carried) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            carried.texts.append(node.value)
    return found


# Take one object along; the names that it needs besides.
def _take(name: str, value: Any, carried: Carried) -> Iterable[str]:
    kind = type(value)
    if kind is types.ModuleType:
        carried.imports[name] = (str(value.__name__), "")
    elif (place := _place(value)) is not None:
        carried.imports[name] = place
    elif kind is types.FunctionType and value.__module__ == "__main__":
        return _function(name, value, carried)
    elif isinstance(pickled := _pickled(value, _MOST_BYTES - carried.size), bytes):
        carried.size += len(pickled)
        carried.values[name] = pickled
        if kind is str:
            carried.texts.append(value)
    elif pickled:
        carried.missing.append((name, pickled))
    else:
        module = str(type.__getattribute__(kind, "__module__"))
        what = f"a {module}.{type.__getattribute__(kind, '__name__')}"
        connects = module.split(".", maxsplit=1)[0].lstrip("_") in _CONNECTS
        why = f"{what} is a connection, and a trial has none" if connects else f"{what} cannot be carried over"
        carried.missing.append((name, why))
    return ()


# A value written down, why it is not, or nothing where its type is not known.
def _pickled(value: Any, room: int) -> bytes | str:
    written = _Pickled(room)
    try:
        if not _is_known(value, [_MOST_PARTS]):
            return ""
        pickle.dump(value, written, protocol=5)
    except _TooLarge:
        return "it is too large"
    except RecursionError:
        return "it is nested too deeply"
    return written.getvalue()


# Where an object of an installed module is found by its name.
def _place(value: Any) -> tuple[str, str] | None:
    if type(value) not in _BY_NAME:
        return None
    module, path = value.__module__, value.__qualname__
    found: Any = sys.modules.get(module) if isinstance(module, str) and module != "__main__" else None
    for part in path.split("."):
        found = vars(found).get(part) if type(found) in {types.ModuleType, type} else None
    return (module, path) if found is value else None


def _function(name: str, value: types.FunctionType, carried: Carried) -> Iterable[str]:
    try:
        source = textwrap.dedent(inspect.getsource(value.__code__))
        needs = _names(source, carried)
    except (OSError, TypeError, SyntaxError, IndentationError):
        needs, source = set(), ""
    if not source or value.__closure__ or value.__name__ != name or source.lstrip().startswith(("lambda", "@")):
        carried.missing.append((name, "a function without a source that stands by itself cannot be carried over"))
        return ()
    carried.functions[name] = source
    return needs - {name}


# Whether writing a value down runs no code but that of Python and of known libraries.
def _is_known(value: Any, left: list[int]) -> bool:
    left[0] -= 1
    kind = type(value)
    if left[0] < 0:
        return False
    if kind in _PLAIN:
        return _is_known_zone(getattr(value, "tzinfo", None))
    if kind in {list, tuple, set, frozenset}:
        return all(_is_known(part, left) for part in value)
    if kind is dict:
        return all(_is_known(part, left) for pair in value.items() for part in pair)
    module = str(type.__getattribute__(kind, "__module__")).split(".")[0]
    checks = {"numpy": _is_known_array, "pandas": _is_known_frame, "polars": _is_known_polars}
    check = checks.get(module)
    return check is not None and module in sys.modules and check(value, left)


def _is_known_array(value: Any, _left: list[int]) -> bool:
    import numpy as np

    if type(value) is not np.ndarray:
        return isinstance(value, np.generic) and type(value).__module__ == "numpy" and not isinstance(value, np.void)
    return not value.dtype.hasobject or (value.dtype == object and _are_plain(value.ravel()))


def _is_known_frame(value: Any, left: list[int]) -> bool:
    import pandas as pd

    if type(value) in {pd.Timestamp, pd.Timedelta, type(pd.NaT), type(pd.NA)}:
        return _is_known_zone(getattr(value, "tz", None))
    if type(value) is pd.DataFrame:
        columns = (value.iloc[:, place] for place in range(value.shape[1]))
        return _is_known(dict(value.attrs), left) and all(
            _is_known_column(each) for each in (value.index, value.columns, *columns)
        )
    if type(value) is pd.Series:
        return _is_known(dict(value.attrs), left) and _is_known_column(value.index) and _is_known_column(value)
    kinds = {pd.Index, pd.RangeIndex, pd.MultiIndex, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex}
    return type(value) in kinds and _is_known_column(value)


def _is_known_column(column: Any) -> bool:
    import pandas as pd

    if type(column) is pd.MultiIndex:
        return all(_is_known_column(level) for level in column.levels) and _are_plain(column.names)
    if not _are_plain([column.name] if type(column.name) is not tuple else column.name):
        return False
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _is_known_column(dtype.categories)
    return _is_known_dtype(dtype) or (str(dtype) == "object" and _are_plain(column.array))


def _is_known_dtype(dtype: Any) -> bool:
    import numpy as np
    import pandas as pd

    if isinstance(dtype, np.dtype):
        return not dtype.hasobject
    if isinstance(dtype, pd.ArrowDtype):
        return not isinstance(dtype.pyarrow_dtype, sys.modules["pyarrow"].ExtensionType)
    if isinstance(dtype, pd.SparseDtype):
        return _is_known_dtype(dtype.subtype)
    return type(dtype).__module__.split(".")[0] == "pandas" and _is_known_zone(getattr(dtype, "tz", None))


def _are_plain(values: Iterable[Any]) -> bool:
    known = [*values]
    return {*map(type, known)} <= _PLAIN and all(_is_known_zone(getattr(each, "tzinfo", None)) for each in known)


def _is_known_zone(zone: Any) -> bool:
    kind = type(zone)
    return zone is None or kind in {dt.timezone, zoneinfo.ZoneInfo} or kind.__module__.split(".")[0] == "pytz"


def _is_known_polars(value: Any, _left: list[int]) -> bool:
    import polars as pl

    if type(value) is pl.DataFrame:
        return not any(dtype == pl.Object for dtype in value.dtypes)
    return type(value) is pl.Series and value.dtype != pl.Object
