"""What DuckDB can read of a frame, whatever made it: names as text, unknown types as text or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.context import within
from rsql_magic.databases.columns import unique_names
from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# How long a lazy frame may take to be collected.
_SECONDS = 10.0
# Most lists and dictionaries in each other that a cell may hold: DuckDB goes down until its stack ends.
_DEEPEST = 20


class Stream:
    """An Arrow stream under another name: lets DuckDB read polars frames without the pyarrow package."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return int(getattr(self._frame, "num_rows", None) or len(self._frame))

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(getattr(self._frame, "column_names", None) or self._frame.columns)

    def __getitem__(self, columns: list[str]) -> Stream:
        return Stream(self._frame.select(columns))

    def picked(self, rows: list[int]) -> Stream:
        """Some rows of it; all of what has no order to pick by."""
        if hasattr(self._frame, "take"):
            return Stream(self._frame.take(rows))
        return Stream(self._frame[rows]) if type(self._frame).__module__.startswith("polars") else self


@dataclass(frozen=True)
class Tabular:
    """A frame as DuckDB reads it."""

    table: Any  # what is registered: a pandas frame or a `Stream`
    lacking: tuple[str, ...] = ()  # names of the columns that it does not hold, because they cannot be read

    @classmethod
    def of(cls, name: str, frame: Any) -> Tabular:
        """Read a frame; a `BadInput` where it is none."""
        import pandas as pd

        if isinstance(frame, pd.Series):
            frame = frame.to_frame(frame.name or "value")
        if hasattr(frame, "collect") and not hasattr(frame, "__arrow_c_stream__"):
            frame = within(_SECONDS, frame.collect, apart=True)  # lazy; no alarm interrupts what polars computes
        if isinstance(frame, pd.DataFrame):
            return _plain(frame)
        if hasattr(frame, "__arrow_c_stream__"):
            return cls(Stream(_without_twins(frame)))
        raise BadInput(
            f"{name} is no data frame but {type(frame).__name__}.", hint="Pass pandas, polars or Arrow frames."
        )

    def readable(self, reads: Callable[[Any], bool]) -> Tabular:
        """The same without the columns that ``reads`` refuses."""
        names = list(self.table.columns)
        kept = [name for name in names if reads(self.table[[name]])]
        gone = (name for name in names if name not in kept)
        return Tabular(self.table[kept], (*self.lacking, *gone))

    def part(self, columns: list[str], rows: list[int] | None = None) -> Any:
        """Some columns and rows of it; None for all rows, as of what cannot be picked from."""
        part = self.table[columns]
        if rows is None:
            return part
        return part.picked(rows) if isinstance(part, Stream) else part.iloc[rows]

    @property
    def zones(self) -> frozenset[str]:
        """The time zones of a pandas frame's columns."""
        import pandas as pd

        kinds = set(self.table.dtypes) if isinstance(self.table, pd.DataFrame) else set()
        return frozenset(str(kind.tz) for kind in kinds if isinstance(kind, pd.DatetimeTZDtype))


def _without_twins(frame: Any) -> Any:
    """An Arrow table whose names are there once: others cannot be selected from."""
    names = list(getattr(frame, "column_names", ()))
    return frame.rename_columns(unique_names(names)) if len(set(names)) < len(names) else frame


def _plain(frame: Any) -> Tabular:
    """A pandas frame as DuckDB can take it."""
    # Named index levels are columns, names are text, and none is there twice. Types that DuckDB does not know are text.
    import pandas as pd

    if type(frame) is not pd.DataFrame:  # a subclass may make anything of its columns: geopandas' its own frames
        frame = pd.DataFrame(frame)
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    if named:
        frame = frame.reset_index(level=named)
    plain = frame.set_axis(unique_names([_text_name(column) for column in frame.columns]), axis=1)
    changed = {name: _known(plain[name]) for name, dtype in plain.dtypes.items() if _is_unknown(plain[name], dtype)}
    lacking = [name for name, column in changed.items() if column is None]
    plain = plain.drop(columns=lacking) if lacking else plain
    return Tabular(plain.assign(**{n: c for n, c in changed.items() if c is not None}), tuple(lacking))


def _is_unknown(column: Any, dtype: Any) -> bool:
    """Whether DuckDB refuses a whole frame for a column, or does worse."""
    import pandas as pd

    inner = dtype.categories.dtype if isinstance(dtype, pd.CategoricalDtype) else dtype
    if inner.kind == "c":
        return True
    if inner.name == "object":
        return isinstance(dtype, pd.CategoricalDtype) or not _is_shallow(column)
    known = (pd.ArrowDtype, pd.StringDtype, pd.BooleanDtype, pd.DatetimeTZDtype)
    masked = inner.name.lower().startswith(("int", "uint", "float")) and not isinstance(inner, pd.IntervalDtype)
    return pd.api.types.is_extension_array_dtype(inner) and not (isinstance(inner, known) or masked)


def _is_shallow(column: Any) -> bool:
    """Whether the cells of a column hold no lists or dictionaries that go too deep, as those that hold themselves."""
    import pandas as pd

    if not pd.api.types.infer_dtype(column, skipna=True).startswith("mixed"):
        return True
    return all(_depth_of([cell]) <= _DEEPEST for cell in column if isinstance(cell, list | tuple | dict))


def _depth_of(cells: Iterable[Any]) -> int:
    """How many levels of lists and dictionaries there are, as far as it matters."""
    level, depth = list(cells), 0
    while level and depth <= _DEEPEST:
        depth += 1
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for parts in inner for part in parts if isinstance(part, list | tuple | dict)]
    return depth


def _known(column: Any) -> Any:
    """A column as text, or None where it cannot be written."""
    import pandas as pd

    if isinstance(column.dtype, pd.SparseDtype):
        return column.sparse.to_dense()
    try:
        return column.astype("string")
    except Exception:  # noqa: BLE001 - types of other packages raise anything
        return None


def _text_name(name: object) -> str:
    text = "_".join(str(part) for part in name if part != "") if isinstance(name, tuple) else str(name)
    return text.encode("utf-8", "replace").decode()
