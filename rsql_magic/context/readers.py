"""How frames of other libraries than pandas are read: shape and types at once, a sample of one column at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rsql_magic.context.reader import FAMILIES, FEW, PANDAS, WHOLE, Reader, Sample, class_name, increasing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.reader import Family


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
            try:
                values = [present.min(), present.max()] if len(present) else []
            except NotImplementedError:  # Arrow compares no durations
                held = present.to_list()
                values = [min(held), max(held)]
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
        few = held.head(10 * FEW).unique().drop_nulls()
        return dict(Counter(found.to_list())), few.to_list() if len(few) <= FEW else ()

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

    def __init__(self, array: Any, label: str) -> None:
        self.array = array
        shape = " × ".join(f"{size:,}" for size in array.shape)
        fields = array.dtype.names
        self._dtypes = [array.dtype[name] for name in fields] if fields else [array.dtype]
        label = f"{label} ({shape})" if array.ndim > 1 else label
        super().__init__(label, list(fields or ["values"]), [str(kind) for kind in self._dtypes], int(array.size))

    def _flat(self, place: int) -> Any:
        """The values in memory order, without a copy where that is possible."""
        return (self.array[self.names[place]] if self.array.dtype.names else self.array).flat

    def family(self, place: int) -> Family:
        return "text" if (kind := self._dtypes[place].kind) in "US" else FAMILIES.get(kind, "other")

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


# Package and class name to what reads it.
READERS: dict[tuple[str, str], Callable[[Any], Reader]] = {
    **PANDAS,
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
        said, unit = about.get("description", about.get("label", "")), about.get("unit", about.get("units", ""))
        notes[field.name] = said, unit
    about = {key.decode("utf-8", "replace"): value for key, value in (schema.metadata or {}).items()}
    notes[""] = (about.get("description", b"").decode("utf-8", "replace"), "")
    return notes
