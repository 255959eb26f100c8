"""Objects that a session may hold and that are hard to describe: a function without arguments makes each, by name."""

# ruff: noqa: PLR0915, PLW0108, DTZ001, DTZ901, SIM105, PLW1641 - a table of objects, one a line

from __future__ import annotations

import io
import itertools
import queue
import socket
import sqlite3
import threading
import time
import types
import weakref
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import make_dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from unittest import mock
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

SECRET = "Grete Hermann"
"""What a misbehaving object says in its errors; it may not be repeated."""


def _raise(error):
    raise error


def _deep(*args, **kwargs):
    return _deep(*args, **kwargs)


def _for_ever(*_, **__):
    while True:
        pass


def _swallow(*_, **__):
    for _ in range(3):
        try:
            time.sleep(1000)
        except BaseException:
            pass


BEHAVIOURS = {
    "raises": lambda *_, **__: _raise(ValueError(SECRET)),
    "exits": lambda *_, **__: _raise(SystemExit(SECRET)),
    "not_implemented": lambda *_, **__: _raise(NotImplementedError(SECRET)),
    "recurses": _deep,
    "sleeps": lambda *_, **__: time.sleep(1000),
    "loops": _for_ever,
    "swallows": _swallow,
    "none": lambda *_, **__: None,
    "nonsense": lambda *_, **__: object(),
    "endless": lambda *_, **__: itertools.count(),
    "mocked": lambda *_, **__: mock.MagicMock(),
    "negative": lambda *_, **__: -1,
    "long": lambda *_, **__: "x" * 10_000_000,
}
SLOW = {"sleeps", "loops", "swallows"}
METHODS = [
    "__repr__",
    "__str__",
    "__len__",
    "__iter__",
    "__getattr__",
    "__array__",
    "__dataframe__",
    "__bool__",
    "__eq__",
]
METHODS += [
    "__hash__",
    "__dir__",
    "__contains__",
    "__arrow_c_stream__",
    "__narwhals_dataframe__",
    "_repr_html_",
    "item",
]
PROPERTIES = [
    "columns",
    "dtypes",
    "shape",
    "dtype",
    "index",
    "sizes",
    "data_vars",
    "feature_names_in_",
    "model",
    "params",
]
PROPERTIES += ["__class__", "__dict__", "name", "schema"]


def _odd_class(place, behaviour, base=object, module="__main__", name="Odd"):
    made = BEHAVIOURS[behaviour]
    held = property(made) if place in PROPERTIES else made
    extra = {"dims": ("x",)} if place == "sizes" else {}
    return types.new_class(
        name, (base,), exec_body=lambda space: space.update({place: held, "__module__": module, **extra})
    )


def _odd(place, behaviour, **of):
    cls = _odd_class(place, behaviour, **of)
    return object.__new__(cls)


def _foreign(module, name, place, behaviour):
    """An object whose class is called like one of a library that is not here."""
    return _odd(place, behaviour, module=module, name=name)


def _sub_frame(place, behaviour):
    frame = pd.DataFrame({"a": [1, 2, 3] * 10, "b": list("xyz") * 10})
    frame.__class__ = _odd_class(place, behaviour, base=pd.DataFrame)
    return frame


class _Meta(type):
    def __getattribute__(cls, name):
        raise RuntimeError(SECRET)


def _recursive_list():
    found = [1]
    found.append(found)
    return found


def _recursive_dict():
    found = {"a": 1}
    found["self"] = found
    return found


def _nested(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def _closed(thing):
    thing.close()
    return thing


def _of(values, rows=30):
    cells = np.empty(rows, dtype=object)
    cells[:] = list(itertools.islice(itertools.cycle(values), rows))
    return pd.DataFrame({"cell": pd.Series(cells, dtype=object), "n": range(rows)})


class Colour(Enum):
    """An enumeration."""

    RED = 1


class NoWord:
    """A value that cannot be written, compared or hashed."""

    __hash__ = None

    def __repr__(self):
        raise ValueError(SECRET)

    def __eq__(self, other):
        raise ValueError(SECRET)


class Geometry(pd.api.extensions.ExtensionDtype):
    """A type of column that no database knows, as geopandas has one."""

    name, type, kind, na_value = "geometry", object, "O", None

    @classmethod
    def construct_array_type(cls):
        return Points


class Points(pd.api.extensions.ExtensionArray):
    """Points as geopandas keeps them."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=object)

    dtype = Geometry()

    @classmethod
    def _from_sequence(cls, scalars, *, dtype=None, copy=False):
        return cls(scalars)

    @classmethod
    def _concat_same_type(cls, parts):
        return cls(np.concatenate([part.values for part in parts]))

    def __getitem__(self, place):
        found = self.values[place]
        return Points(found) if isinstance(found, np.ndarray) else found

    def __len__(self):
        return len(self.values)

    def isna(self):
        return np.array([value is None for value in self.values])

    def take(self, places, *, allow_fill=False, fill_value=None):
        return Points(self.values.take(places))

    def copy(self):
        return Points(self.values.copy())

    nbytes = 8


class GeoDataFrame(pd.DataFrame):
    """A frame that answers as geopandas' does."""

    __module__ = "geopandas.geodataframe"

    @property
    def _constructor(self):
        return GeoDataFrame


class BrokenConstructor(pd.DataFrame):
    """A subclass whose results cannot be made."""

    @property
    def _constructor(self):
        raise TypeError(SECRET)


class OddConstructor(pd.DataFrame):
    """A subclass whose results are something else."""

    @property
    def _constructor(self):
        return lambda *_, **__: None


class Tensor:
    """A tensor that is on another machine."""

    __module__ = "torch"
    shape, dtype = (3, 4), "torch.float32"

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __len__(self):
        return 3

    def __bool__(self):
        raise RuntimeError("Boolean value of Tensor is ambiguous")

    def __eq__(self, other):
        return self


class ObjectRef:
    """A future of another machine: reading it waits."""

    __module__ = "ray._raylet"

    def __await__(self):
        time.sleep(1000)

    def __len__(self):
        raise TypeError("an ObjectRef has no len")


class Remote:
    """An actor's handle, which answers every attribute by a call that waits."""

    __module__ = "ray.actor"

    def __getattr__(self, name):
        time.sleep(1000)


def _lazy_that_fails():
    return pl.LazyFrame({"a": [1]}).select(pl.col("nothing"))


def _frames():
    zone = timezone(timedelta(hours=3))
    one_hot = pd.DataFrame(
        np.eye(30, dtype=int)[:, :6], columns=[f"kind_{n}{n}{letter}" for n, letter in enumerate("abcdef")]
    )
    cells = {
        "dicts": [{"a": 1}, {"b": [1]}],
        "lists": [[1], [2, 3], []],
        "sets": [{1}, set()],
        "tuples": [(1, 2), ("a",)],
        "bytes": [b"\x00\xff", b""],
        "decimals": [Decimal("1.5"), Decimal("NaN"), Decimal("Infinity")],
        "frames": [pd.DataFrame({"x": [1]})],
        "series": [pd.Series([1, 2])],
        "arrays": [np.zeros(3), np.zeros((2, 2))],
        "mixed": [1, "a", None, 2.5, {"a": 1}, [1], b"x"],
        "mixed_numbers": [1, 2.5, True, Decimal(1), Fraction(1, 3)],
        "none": [None],
        "functions": [len, print],
        "classes": [int, dict],
        "enums": [Colour.RED],
        "uuids": [UUID(int=5)],
        "paths": [Path("/x")],
        "no_word": [NoWord()],
        "mocks": [mock.MagicMock()],
        "complex": [1 + 2j],
        "huge_ints": [10**400, -(10**50), 2**64],
        "uint64": [2**64 - 1],
        "nan_texts": [float("nan"), "a"],
        "nat": [pd.NaT],
        "dates": [date(1, 1, 1), date(9999, 12, 31)],
        "zones": [datetime(2020, 1, 1, tzinfo=zone), datetime(2020, 1, 1, tzinfo=timezone.utc)],  # noqa: UP017
        "with_and_without": [datetime(2020, 1, 1, tzinfo=zone), datetime(2020, 1, 1)],
        "periods": [pd.Period("2020-01"), pd.Period("2020Q1")],
        "intervals": [pd.Interval(0, 1), pd.Interval(1, 2)],
        "surrogates": ["\ud800", "a\x00b"],
        "long_texts": ["x" * 1_000_000],
        "generators": [(n for n in range(3))],
        "infinities": [float("inf"), float("-inf")],
        "recursive": [_recursive_list()],
    }
    yield from ((f"cells_{name}", lambda values=values: _of(values)) for name, values in cells.items())
    number = range(30)
    names = {
        "duplicate": ["a", "a", "b"],
        "none": [None, "a", "b"],
        "tuple": [("a", 1), ("b",), "c"],
        "ints": [0, 1, 2],
        "nan": [float("nan"), float("nan"), "b"],
        "long": ["x" * 100_000, "y", "z"],
        "empty": ["", " ", "\n"],
        "quotes": ['a"b', "a'b", "a`b"],
        "controls": ["\x00", "\x1b[31m", "\n"],
        "dates": [pd.Timestamp("2020"), pd.NaT, "b"],
        "objects": [object(), object(), "b"],
        "frozen": [frozenset({1}), b"x", 1.5],
        "case": ["A", "a", "ſ"],
        "sql": ["a; DROP TABLE t", "--", "select"],
        "bool": [True, False, None],
    }
    for name, columns in names.items():
        yield (
            f"named_{name}",
            lambda columns=columns: pd.DataFrame([[n, n, n] for n in number]).set_axis(columns, axis=1),
        )
    yield "dicts_beside_one_hot", lambda: one_hot.assign(cell=[{"a": 1}] * 30)
    yield "lists_beside_one_hot", lambda: one_hot.assign(cell=[[1]] * 30, more=[{1}] * 30)
    yield "named_surrogates", lambda: pd.DataFrame([[1]] * 30, columns=pd.Index(["\ud800"], dtype=object))
    yield "zero_rows", lambda: pd.DataFrame({"a": pd.Series(dtype=int), "b": pd.Series(dtype=object)})
    yield "zero_columns", lambda: pd.DataFrame(index=range(5))
    yield "nothing", pd.DataFrame
    yield "of_intervals", lambda: pd.DataFrame({"c": pd.cut(range(30), 5), "n": number})
    yield "of_periods", lambda: pd.DataFrame({"c": pd.period_range("2020", periods=30, freq="M"), "n": number})
    yield "sparse", lambda: pd.DataFrame({"c": pd.arrays.SparseArray([0, 0, 1] * 10), "n": number})
    yield (
        "categories_of_frozensets",
        lambda: pd.DataFrame({"c": pd.Categorical([frozenset({1}), None] * 15), "n": number}),
    )
    yield (
        "nullable",
        lambda: pd.DataFrame({"a": pd.array([1, None] * 15, "Int64"), "b": pd.array([True, None] * 15, "boolean")}),
    )
    yield (
        "struct",
        lambda: pd.DataFrame(
            {"a": pd.array([{"x": 1}] * 30, pd.ArrowDtype(pa.struct([("x", pa.int64())]))), "n": number}
        ),
    )
    yield (
        "arrow_lists",
        lambda: pd.DataFrame({"a": pd.array([[1]] * 30, pd.ArrowDtype(pa.list_(pa.int64()))), "n": number}),
    )
    yield (
        "zoned",
        lambda: pd.DataFrame(
            {"a": pd.date_range("2020", periods=30, tz="Asia/Tokyo"), "b": pd.date_range("2020", periods=30, tz="UTC")}
        ),
    )
    yield "multi_index", lambda: pd.DataFrame({"v": number}, index=pd.MultiIndex.from_product([range(5), range(6)]))
    yield (
        "multi_columns",
        lambda: pd.DataFrame([[1, 2]] * 30, columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", None)])),
    )
    yield "categorical_columns", lambda: pd.DataFrame([[1, 2]] * 30, columns=pd.CategoricalIndex(["a", "b"]))
    yield "interval_columns", lambda: pd.DataFrame([[1, 2]] * 30, columns=pd.interval_range(0, 2))
    yield "same_index_name", lambda: pd.DataFrame({"a": number}, index=pd.Index(number, name="a"))
    yield "attrs", lambda: _with_attrs(pd.DataFrame({"a": number}))
    yield "geo", lambda: GeoDataFrame({"n": number, "geometry": Points([object()] * 30)})
    yield "geo_plain", lambda: pd.DataFrame({"n": number, "geometry": Points([None] * 30)})
    yield "broken_constructor", lambda: BrokenConstructor({"a": number, "b": ["x"] * 30})
    yield "odd_constructor", lambda: OddConstructor({"a": number, "b": ["x"] * 30})
    yield "wide", lambda: pd.DataFrame(np.zeros((2, 5000)))
    yield "masked", lambda: np.ma.masked_array([1, 2], mask=[True, False])
    yield "zero_d", lambda: np.array(5)
    yield "zero_d_object", lambda: np.array(object(), dtype=object)
    yield "empty_array", lambda: np.zeros((0, 3))
    yield "record_array", lambda: np.zeros(3, dtype=[("a", "i4"), ("b", "U3")])
    yield "void", lambda: np.zeros(3, dtype="V8")
    yield "object_array", lambda: np.array([{"a": 1}, [1]], dtype=object)
    yield "matrix_of_objects", lambda: np.array([[NoWord()]], dtype=object)
    yield "series_of_dicts", lambda: pd.Series([{"a": 1}] * 30)
    yield "series_named_by_tuple", lambda: pd.Series([1], name=("a", 1))
    yield "index_of_tuples", lambda: pd.Index([("a", 1), ("b", 2)])
    yield "interval_index", lambda: pd.interval_range(0, 5)
    yield "grouped", lambda: pd.DataFrame({"a": number}).groupby("a")
    yield "rolling", lambda: pd.DataFrame({"a": number}).rolling(3)
    yield "styler", lambda: pd.DataFrame({"a": number}).groupby("a", group_keys=False).a
    yield "pl_struct", lambda: pl.DataFrame({"a": [{"x": 1}] * 30})
    yield "pl_lists", lambda: pl.DataFrame({"a": [[1, 2]] * 30})
    yield "pl_objects", lambda: pl.DataFrame({"a": pl.Series([object()] * 30, dtype=pl.Object), "n": number})
    yield "pl_enum", lambda: pl.DataFrame({"a": pl.Series(["x"] * 30, dtype=pl.Enum(["x"]))})
    yield "pl_decimal", lambda: pl.DataFrame({"a": [Decimal("1.5")] * 30})
    yield "pl_int128", lambda: pl.DataFrame({"a": pl.Series([2**100] * 30, dtype=pl.Int128)})
    yield "pl_binary", lambda: pl.DataFrame({"a": [b"\xff"] * 30})
    yield "pl_null", lambda: pl.DataFrame({"a": [None] * 30})
    yield "pl_nothing", pl.DataFrame
    yield "pl_lazy", lambda: pl.LazyFrame({"a": number})
    yield "pl_lazy_fails", _lazy_that_fails
    yield "pl_lazy_no_file", lambda: pl.scan_csv("/nowhere/at/all.csv")
    yield "pl_expr", lambda: pl.col("a") + 1
    yield "pl_group", lambda: pl.DataFrame({"a": number}).group_by("a")
    yield "pa_nested", lambda: pa.table({"a": [[{"x": [1]}]] * 30})
    yield "pa_map", lambda: pa.table({"a": pa.array([[("k", 1)]] * 30, pa.map_(pa.string(), pa.int64()))})
    yield "pa_duplicate", lambda: pa.table([pa.array(number), pa.array(number)], names=["a", "a"])
    yield "pa_dictionary", lambda: pa.table({"a": pa.array(["x"] * 30).dictionary_encode()})
    yield (
        "pa_union",
        lambda: pa.table({"a": pa.UnionArray.from_sparse(pa.array([0] * 3, pa.int8()), [pa.array([1, 2, 3])])}),
    )
    yield "pa_view", lambda: pa.table({"a": pa.array(["x"] * 30, pa.string_view())})
    yield "pa_null", lambda: pa.table({"a": pa.nulls(30)})
    yield "pa_nothing", lambda: pa.table({})
    yield "pa_reader", lambda: pa.table({"a": [1]}).to_reader()
    yield "relation", lambda: duckdb.connect().sql("SELECT 1 AS a")
    yield "relation_of_closed", _closed_relation
    yield "xarray", lambda: _xarray().DataArray(np.zeros((2, 3)), dims=("x", "y"))
    yield "dataset", lambda: _xarray().Dataset({"t": (("x",), [1, 2])})
    yield "dataset_odd", lambda: _xarray().Dataset({("a", 1): ((("d", 1),), [1, 2])})


def _xarray():
    """Its import takes half a second, which collecting the tests need not pay."""
    import xarray

    return xarray


def _with_attrs(frame):
    frame.attrs = {"labels": NoWord(), "units": 5, "description": NoWord(), 3: _recursive_dict()}
    return frame


def _closed_relation():
    con = duckdb.connect()
    relation = con.sql("SELECT 1 AS a")
    con.close()
    return relation


def _things():
    yield "list_of_itself", _recursive_list
    yield "dict_of_itself", _recursive_dict
    yield "deep_list", lambda: _nested(100_000)
    yield "count", itertools.count
    yield "cycle", lambda: itertools.cycle([1])
    yield "generator", lambda: (n for n in itertools.count())
    yield "huge_range", lambda: range(10**30)
    yield "huge_int", lambda: 10**5000
    yield "nan", lambda: float("nan")
    yield "huge_text", lambda: "x" * 10_000_000
    yield "surrogate", lambda: "\ud800" * 10
    yield "nul", lambda: "\x00\x1b]52;c;x\x07"
    yield "mock", mock.Mock
    yield "magic_mock", mock.MagicMock
    yield "mock_of_frame", lambda: mock.MagicMock(spec=pd.DataFrame)
    yield "autospec", lambda: mock.create_autospec(pd.DataFrame)
    yield "sentinel", lambda: mock.sentinel.thing
    yield "closed_sqlite", lambda: _closed(sqlite3.connect(":memory:"))
    yield "closed_duckdb", lambda: _closed(duckdb.connect())
    yield "closed_file", lambda: _closed(io.StringIO("x"))
    yield "closed_bytes", lambda: _closed(io.BytesIO(b"x"))
    yield "socket", lambda: _closed(socket.socket())
    yield "thread", lambda: threading.Thread(target=print)
    yield "lock", threading.Lock
    yield "event", threading.Event
    yield "local", threading.local
    yield "queue", queue.Queue
    yield "module", lambda: types.ModuleType("odd")
    yield "namespace", lambda: types.SimpleNamespace(a=NoWord())
    yield "class_with_meta", lambda: _Meta("Odd", (), {})
    yield "instance_of_meta", lambda: type.__call__(_Meta("Odd", (), {}))
    yield "class_of_no_module", lambda: type("Odd", (), {"__module__": None})()
    yield "class_of_long_name", lambda: type("O" * 100_000, (), {})()
    yield "no_word", NoWord
    yield "no_words", lambda: [NoWord()] * 5
    yield "proxy", lambda: types.MappingProxyType({"a": 1})
    yield "dead_reference", lambda: weakref.proxy(Colour) if False else weakref.ref(NoWord())
    yield "dead_proxy", lambda: weakref.proxy(NoWord())
    yield "chain", lambda: ChainMap({}, {"a": 1})
    yield "counter", lambda: Counter({"a": NoWord()})
    yield "default", lambda: defaultdict(lambda: _raise(ValueError(SECRET)), a=1)
    yield "ordered", lambda: OrderedDict([((1, 2), NoWord())])
    yield "user_dict", lambda: UserDict(a=1)
    yield "deque", lambda: deque([NoWord()], maxlen=1)
    yield "slots", lambda: type("S", (), {"__slots__": ("a",)})()
    yield "record", lambda: make_dataclass("R", ["a"])(NoWord())
    yield "exception", lambda: ValueError(NoWord())
    yield "group", lambda: ExceptionGroup("x", [ValueError(SECRET)])
    yield "traceback", lambda: types.TracebackType(None, _frame(), 0, 1)
    yield "frame", lambda: _frame()
    yield "code", lambda: _frame().f_code
    yield "coroutine_function", lambda: _waits
    yield "partial", lambda: __import__("functools").partial(print, NoWord())
    yield "memory", lambda: memoryview(b"abc")
    yield "released_memory", lambda: _released(memoryview(b"abc"))
    yield "ellipsis", lambda: ...
    yield "not_implemented", lambda: NotImplemented
    yield "generic", lambda: list[int]
    yield "union", lambda: int | str
    yield "tensor", Tensor
    yield "object_ref", ObjectRef
    yield "actor", Remote
    yield "datetime_max", lambda: datetime.max
    yield "np_scalar", lambda: np.float64("nan")
    yield "np_object", lambda: np.array([NoWord()], dtype=object)[0]
    yield "np_datetime", lambda: np.datetime64("NaT")
    yield "np_dtype", lambda: np.dtype("O")
    yield "nat", lambda: pd.NaT
    yield "na", lambda: pd.NA
    yield "wrapped", lambda: staticmethod(len)
    yield "signature", lambda: _signed()
    yield "docs", lambda: _documented()


def _frame():
    import sys

    return sys._getframe()


async def _waits():
    """Wait."""


def _released(view):
    view.release()
    return view


def _signed():
    def function(a=NoWord(), *, b: NoWord() = 1):  # noqa: B008
        """Do."""

    function.__signature__ = object()
    return function


def _documented():
    def function():
        pass

    function.__doc__ = NoWord()
    function.__name__ = "x" * 1000
    return function


def _odd_ones():
    for place, behaviour in itertools.product([*METHODS, *PROPERTIES], BEHAVIOURS):
        if not (place == "__class__" and behaviour in SLOW):  # pytest itself asks for the class
            yield f"odd{place}_{behaviour}", lambda place=place, how=behaviour: _odd(place, how)
    subclassed = ["columns", "dtypes", "shape", "index", "__len__", "iloc", "copy", "attrs", "_constructor", "set_axis"]
    for place, behaviour in itertools.product(subclassed, BEHAVIOURS):
        yield f"subframe_{place}_{behaviour}", lambda place=place, how=behaviour: _sub_frame(place, how)
    foreign = [("polars.x", "DataFrame"), ("polars.x", "LazyFrame"), ("dask.x", "DataFrame"), ("pyarrow.lib", "Table")]
    foreign += [
        ("geopandas.x", "GeoDataFrame"),
        ("duckdb", "DuckDBPyRelation"),
        ("torch", "Tensor"),
        ("ray.data", "Dataset"),
    ]
    for (module, name), behaviour in itertools.product(foreign, ["raises", "sleeps", "none", "endless"]):
        for place in ("columns", "__getattr__"):
            yield (
                f"{module}_{name}_{place}_{behaviour}".replace(".", "_"),
                lambda m=module, n=name, p=place, b=behaviour: _foreign(m, n, p, b),
            )


STRANGE = {**dict(_frames()), **dict(_things()), **dict(_odd_ones())}
