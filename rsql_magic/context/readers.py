"""How each library's frames are read: shape and types at once, a sample of one column at a time."""

# An object is known by the package and name of its class, so no library is imported to find out what an object is.

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rsql_magic.context.reader import Reader, Sample, class_name, places_of
from rsql_magic.context.value_names import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.reader import Family

# By the kind of a numpy type.
_FAMILIES: dict[str, Family] = {"i": "integer", "u": "integer", "f": "number", "b": "bool", "M": "time", "m": "time"}


# A column with more values than this is not searched for texts that are written otherwise.
_FEW = 300
# Rows whose values are told apart in the time that `isin` takes to prepare for one text.
_SOONER = 20


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
        return _FAMILIES.get(getattr(dtype, "kind", "O"), "other")

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
        few = held[: 10 * _FEW].unique()
        told = {value: int(count) for value, count in counts.items() if isinstance(value, str) and count}
        return told, [value for value in few if isinstance(value, str)] if len(few) <= _FEW else ()

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
    reader.index = ()
    return reader


def _is_text(index: Any) -> bool:
    return index.nlevels > 1 or index.dtype.kind not in "iufbmM"


class _NarwhalsReader(Reader):
    """A frame, lazy frame or series of any library that narwhals knows."""

    def __init__(self, frame: Any) -> None:
        import narwhals.stable.v2 as nw

        wrapped: Any = nw.from_native(frame, allow_series=True)
        if isinstance(wrapped, nw.Series):
            wrapped = wrapped.alias(wrapped.name or "values").to_frame()
        self.frame = wrapped
        schema = wrapped.collect_schema()
        self._dtypes = list(schema.values())
        self._metadata = _arrow_metadata(frame)
        rows = len(wrapped) if isinstance(wrapped, nw.DataFrame) else None
        about = self._metadata.get("", ("", ""))[0]
        super().__init__(class_name(frame), list(schema), [str(kind) for kind in self._dtypes], rows, about)

    def note(self, place: int) -> tuple[str, str]:
        # What Arrow's field metadata says: `description` or `label`, and `unit`.
        return self._metadata.get(self.names[place], ("", ""))

    def family(self, place: int) -> Family:
        kind = self._dtypes[place]
        name = type(kind).__name__ if not isinstance(kind, type) else kind.__name__
        if kind.is_integer():
            return "integer"
        if kind.is_numeric():
            return "number"
        if kind.is_temporal():
            return "time"
        return {"Boolean": "bool", "String": "text", "Categorical": "text", "Enum": "text"}.get(name, "other")  # type: ignore[return-value]

    def sample(self, place: int, positions: list[int] | None) -> Sample:
        column = self.frame.get_column(self.names[place])
        column = column if positions is None else column[positions]
        present = column.drop_nulls()
        if self.family(place) == "time":
            values = [present.min(), present.max()] if len(present) else []
            return Sample(values, len(column), len(column) - len(present))
        values = [value for value in present.to_list() if value == value]  # noqa: PLR0124 - NaN is missing too
        return Sample(values, len(column), len(column) - len(values))

    def holding(self, column: str, wanted: AbstractSet[str]) -> tuple[dict[str, int], Iterable[str]]:
        import narwhals.stable.v2 as nw

        held = self.frame.get_column(column).cast(nw.String)
        part = held[:: -(-len(held) // WHOLE)] if len(held) > WHOLE else held
        found = part.filter(part.is_in(list(wanted)))
        if len(part) < len(held) and len(found):
            found = held.filter(held.is_in(found.unique()))
        few = held.head(10 * _FEW).unique().drop_nulls()
        return dict(Counter(found.to_list())), few.to_list() if len(few) <= _FEW else ()

    def head(self, places: Sequence[int], rows: int) -> list[list[Any]]:
        return [list(row) for row in self.frame.select([self.names[place] for place in places]).head(rows).iter_rows()]

    def sorted_key(self, place: int) -> tuple[int, int] | None:
        # The ends of a strictly increasing column, looked at block by block.
        column = self.frame.get_column(self.names[place])
        rows = len(column)
        if column.null_count() or not increasing(lambda start, end: column[start:end].to_numpy(), rows):
            return None
        return int(column[0]), int(column[rows - 1])


def read_relation(relation: Any) -> Reader:
    """A DuckDB relation: a query that is not run to describe it."""
    return Reader("DuckDB relation", [str(name) for name in relation.columns], [str(kind) for kind in relation.types])


def read_batch(batch: Any) -> Reader:
    """An Arrow record batch as the table of its one batch, which shares its memory."""
    from pyarrow import Table  # type: ignore[import-untyped]

    reader = _NarwhalsReader(Table.from_batches([batch]))
    reader.label = class_name(batch)
    return reader


def read_arrow_array(array: Any) -> Reader:
    """An Arrow array as a chunked one, which shares its memory."""
    from pyarrow import chunked_array

    reader = _NarwhalsReader(chunked_array([array]))
    reader.label = class_name(array)
    return reader


class _ArrayReader(Reader):
    """A numpy array: one column whatever its shape, or the fields of a structured array."""

    def __init__(self, array: Any, label: str = "") -> None:
        self.array = array
        shape = " × ".join(f"{size:,}" for size in array.shape)
        fields = array.dtype.names
        self._dtypes = [array.dtype[name] for name in fields] if fields else [array.dtype]
        label = label or "numpy ndarray"
        label = f"{label} ({shape})" if array.ndim > 1 else label
        super().__init__(label, list(fields or ["values"]), [str(kind) for kind in self._dtypes], int(array.size))

    def _flat(self, place: int) -> Any:
        """The values in memory order, without a copy where that is possible."""
        return (self.array[self.names[place]] if self.array.dtype.names else self.array).flat

    def family(self, place: int) -> Family:
        kind = self._dtypes[place].kind
        return "text" if kind in "US" else _FAMILIES.get(kind, "other")

    def sample(self, place: int, positions: list[int] | None) -> Sample:
        flat = self._flat(place)
        read = flat[:] if positions is None else flat[positions]
        present = read[read == read] if read.dtype.kind in "fcMm" else read  # noqa: PLR0124 - NaN and NaT
        ends = self.family(place) == "time" and present.size
        return Sample([present.min(), present.max()] if ends else present.tolist(), len(read), len(read) - len(present))

    def head(self, places: Sequence[int], rows: int) -> list[list[Any]]:
        return [list(row) for row in zip(*(self._flat(place)[:rows].tolist() for place in places), strict=True)]

    def sorted_key(self, place: int) -> tuple[int, int] | None:  # noqa: ARG002 - fields are not looked at
        array = self.array
        if array.ndim != 1 or array.dtype.names or not increasing(lambda start, end: array[start:end], len(array)):
            return None
        return int(array[0]), int(array[-1])


def read_array(array: Any) -> Reader:
    """A numpy array; a masked one by its values that are not masked."""
    from numpy import asarray, ma

    label = f"numpy {type(array).__name__}" if type(array).__module__.split(".")[0] == "numpy" else class_name(array)
    return _ArrayReader(array.compressed() if isinstance(array, ma.MaskedArray) else asarray(array), label)


def read(obj: Any) -> Reader:
    """The object's reader; a `TypeError` where it is no frame of a library known here."""
    reader = next((READERS[place] for place in places_of(obj) if place in READERS), None)
    if reader is None:
        raise TypeError(f"{type(obj).__name__} is no frame that is known here")
    return reader(obj)


# Package and class name to what reads it.
READERS: dict[tuple[str, str], Callable[[Any], Reader]] = {
    ("pandas", "DataFrame"): _PandasReader,
    ("pandas", "Series"): pandas_series,
    ("pandas", "Index"): pandas_series,
    ("pandas", "MultiIndex"): pandas_levels,
    ("pandas", "Categorical"): pandas_array,
    ("pandas", "ExtensionArray"): pandas_array,
    ("numpy", "ndarray"): read_array,
    ("pyarrow", "RecordBatch"): read_batch,
    ("pyarrow", "Array"): read_arrow_array,
    ("dask", "Series"): lambda series: Reader("dask Series", [series.name or "values"], [str(series.dtype)]),
    ("duckdb", "DuckDBPyRelation"): read_relation,
    ("_duckdb", "DuckDBPyRelation"): read_relation,
    **{
        (package, name): _NarwhalsReader
        for package, names in {
            "polars": ("DataFrame", "LazyFrame", "Series"),
            "pyarrow": ("Table", "ChunkedArray"),
            "modin": ("DataFrame",),
            "cudf": ("DataFrame",),
            "dask": ("DataFrame",),
            "ibis": ("Table",),
            "pyspark": ("DataFrame",),
            "sqlframe": ("BaseDataFrame",),
            "narwhals": ("DataFrame", "LazyFrame", "Series"),
        }.items()
        for name in names
    },
}


def _arrow_metadata(frame: Any) -> dict[str, tuple[str, str]]:
    if type(frame).__module__.split(".")[0] != "pyarrow" or not hasattr(frame, "schema"):
        return {}
    schema, notes = frame.schema, {}
    for field in schema:
        about = {key.decode(): value.decode("utf-8", "replace") for key, value in (field.metadata or {}).items()}
        notes[field.name] = (
            about.get("description", about.get("label", "")),
            about.get("unit", about.get("units", "")),
        )
    about = {key.decode("utf-8", "replace"): value for key, value in (schema.metadata or {}).items()}
    notes[""] = (about.get("description", b"").decode("utf-8", "replace"), "")
    return notes


def _first(mapping: Any, *keys: str) -> Any:
    return next((mapping[key] for key in keys if key in mapping), "")


def _entry(attrs: Any, name: Any, *groups: str) -> Any:
    found = (attrs[group][name] for group in groups if isinstance(attrs.get(group), dict) and name in attrs[group])
    return next(found, "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
