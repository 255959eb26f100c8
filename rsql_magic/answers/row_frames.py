"""Frames of rows: pandas, polars, Arrow and DuckDB's relations, as plain values and with columns added."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PANDAS: dict[str, Any] = {"str": "string", "int": "Int64", "float": "Float64", "bool": "boolean", "date": "object"}


@dataclass(frozen=True)
class RowFrame:
    """A frame of any kind that is known.

    Example:
        >>> import pandas as pd
        >>> frame = RowFrame.of(pd.DataFrame({"a": [1, None]}))
        >>> frame.values("a")
        [1.0, None]
        >>> frame.with_columns({"b": ("int", [None, 2])})["b"].tolist()
        [<NA>, 2]
    """

    kind: str
    native: Any
    names: list[str]

    @classmethod
    def of(cls, frame: Any) -> RowFrame:
        """A frame, a lazy one computed.

        Raises:
            BadInput: It is no frame, or two of its columns have one name.
        """
        kind = type(frame).__module__.split(".")[0].lstrip("_")
        name = type(frame).__name__
        if kind == "duckdb" and name == "DuckDBPyRelation":
            frame, kind = frame.to_arrow_table(), "relation"
        elif kind == "polars" and name == "LazyFrame":
            frame = frame.collect()
        elif (kind, name) not in {("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "Table")}:
            hint = "Give a pandas or polars frame, an Arrow table, or a relation of DuckDB."
            raise BadInput(f"{name} is no frame.", hint=hint)
        names = [str(each) for each in (frame.columns if kind in {"pandas", "polars"} else frame.column_names)]
        if twice := next((each for each in names if names.count(each) > 1), None):
            raise BadInput(f"Two columns have the name {twice}.", hint="Give one of them another name.")
        return cls(kind, frame, names)

    def __len__(self) -> int:
        return int(self.native.num_rows if self.kind in {"pyarrow", "relation"} else len(self.native))

    def values(self, name: str) -> list[Any]:
        """The values of a column, as plain as they can be said: texts, numbers, truth values, None."""
        if self.kind == "pandas":
            column = next(each for each in self.native.columns if str(each) == name)
            return list(map(_plain, self.native[column].tolist()))
        column = self.native[name]
        return list(map(_plain, column.to_list() if self.kind == "polars" else column.to_pylist()))

    def with_columns(self, added: Mapping[str, tuple[str, Sequence[Any]]]) -> Any:
        """The frame with more columns, each a kind and its values; of the kind that was given."""
        if self.kind == "pandas":
            import pandas as pd

            made = {name: pd.array(list(values), dtype=_PANDAS[kind]) for name, (kind, values) in added.items()}
            return self.native.assign(**made)
        if self.kind == "polars":
            import polars as pl

            types = {"str": pl.String, "int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean, "date": pl.Date}
            return self.native.with_columns(
                *(pl.Series(name, values, dtype=types[kind]) for name, (kind, values) in added.items())
            )
        import pyarrow as pa  # type: ignore[import-untyped]

        arrow = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "date": pa.date32()}
        table = self.native
        for name, (kind, values) in added.items():
            table = table.append_column(name, pa.array(values, type=arrow[kind]))
        if self.kind == "relation":
            import duckdb

            return duckdb.from_arrow(table)
        return table


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # a number of NumPy's, or an array
        value = value.tolist()
    if type(value).__name__ == "MonthDayNano" and not value[0]:  # an interval of DuckDB's
        value = timedelta(days=value[1], microseconds=value[2] // 1000)
    missing = value is None or type(value).__name__ in {"NAType", "NaTType"}
    if missing or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, timedelta):  # as pandas says it otherwise
        value = timedelta(value.days, value.seconds, value.microseconds)
    return value.isoformat() if isinstance(value, date) else str(value)
