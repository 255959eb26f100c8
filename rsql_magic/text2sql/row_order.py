"""Rows that a query leaves in no order, in one: a database on several threads gives them in another each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp

if TYPE_CHECKING:
    import pandas as pd

_MOST = 100_000  # rows that are put in order


def in_one_order(frame: pd.DataFrame, sql: str, dialect: str) -> pd.DataFrame:
    """Groups and distinct rows, which come from a database in any order, sorted; those with ``ORDER BY`` where it ties.

    Other queries keep the order in which their rows are stored, which databases keep too.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"shop": ["c", "b", "a"], "n": [2, 2, 9]})
        >>> in_one_order(frame, "SELECT shop, count(*) AS n FROM orders GROUP BY 1 ORDER BY n", "duckdb").shop.to_list()
        ['b', 'c', 'a']
    """
    if not 1 < len(frame) <= _MOST:
        return frame
    try:
        query = sqlglot.parse_one(sql, read=dialect)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return frame
    if not isinstance(query, exp.SetOperation) and not (query.args.get("group") or query.args.get("distinct")):
        return frame
    keys = _keys(query, frame)
    if keys is None:
        return frame
    # As texts, which any values can be compared by; numbers by their size.
    values = [
        column if column.dtype.kind in "iuf" else column.astype(str)
        for column in (frame.iloc[:, place] for place in range(frame.shape[1]))
    ]
    sortable = frame.iloc[:, :0].reset_index(drop=True)
    sortable = sortable.assign(**{f"c{place}": column.to_numpy() for place, column in enumerate(values)})
    ties = _numbered_ties(sortable, keys)
    order = sortable.assign(ties=ties).sort_values(["ties", *sortable.columns], kind="stable").index
    return frame.iloc[list(order)].reset_index(drop=True)


# The number of each row's run of equal keys; one run where there are none.
def _numbered_ties(sortable: pd.DataFrame, keys: list[int]) -> pd.Series[Any]:
    import pandas as pd

    if not keys:
        return pd.Series(0, index=sortable.index)
    chosen = sortable[[f"c{place}" for place in keys]].astype(str)
    return (chosen != chosen.shift()).any(axis=1).cumsum()


# The places of the columns that a query is ordered by; None where one of them is not in the result.
def _keys(query: exp.Expr, frame: pd.DataFrame) -> list[int] | None:
    names = [str(name).lower() for name in frame.columns]
    selected = [each.unalias() for each in query.selects] if isinstance(query, exp.Query) else []
    keys = []
    for ordered in order.expressions if (order := query.args.get("order")) else ():
        key = ordered.this
        if isinstance(key, exp.Literal) and key.is_int and 1 <= int(key.this) <= len(names):
            keys.append(int(key.this) - 1)
        elif isinstance(key, exp.Column) and key.name.lower() in names:
            keys.append(names.index(key.name.lower()))
        elif key in selected and len(selected) == len(names):
            keys.append(selected.index(key))
        else:
            return None
    return keys
