"""A SQL answer as a panel shows it: the query, the first rows, the variable that holds them, the chart."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from rsql_magic.display import table_text

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    import pandas as pd

    from rsql_magic.text2sql import SQLResult


def shown(result: SQLResult, variable: str, connection: str = "") -> dict[str, Any]:
    """What a view is told of a result; plain values, the cells as text.

    Args:
        result: The result.
        variable: Name of the variable that holds its frame, empty when it was not run.
        connection: What the notebook calls the connection.
    """
    table = {"columns": [], "rows": []} if result.df is None else _table(result)
    return {
        "sql": result.sql,
        "count": result.count,
        "variable": variable,
        "connection": connection,
        "drafts": [{"why": title, "mended": bool(attempt.mended)} for title, attempt in result.rounds()],
        "chart": result.drawing is not None,
        **table,
    }


def _table(result: SQLResult) -> dict[str, Any]:
    frame: pd.DataFrame = result.df if result.df is not None else _nothing()
    part = frame.iloc[: result.shown_rows, : result.shown_columns]
    columns = [
        {"name": str(name), "right": right}
        for name, right in zip(part.columns, table_text.on_the_right(part), strict=True)
    ]
    rows = [["NULL" if text is None else text for text in row] for row in table_text.rows(part)]
    return {"columns": columns, "rows": rows, "more": max(0, len(frame) - len(part))}


def _nothing() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


def kept(frame: pd.DataFrame, namespace: MutableMapping[str, Any]) -> str:
    """Keep a frame under the next free name: ``sql_1``, ``sql_2``, …. Nothing of the user's is overwritten."""
    name = next(name for name in map("sql_{}".format, count(1)) if name not in namespace)
    namespace[name] = frame
    return name
