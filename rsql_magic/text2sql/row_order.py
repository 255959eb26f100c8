"""Rows that a query leaves in no order, in one: a database on several threads gives them in another each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from rsql_magic.sql import Unreadable, own_tree

if TYPE_CHECKING:
    import pandas as pd

_MOST = 100_000  # rows that are put in order
_TOTALS = ("rollup", "cube", "grouping_sets", "totals")


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
    if (query := _parsed(sql, dialect)) is None:
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


def is_ordered(sql: str, dialect: str) -> bool:
    """Whether a query says in which order its rows come."""
    query = _parsed(sql, dialect)
    return query is not None and bool(query.args.get("order"))


def sums_of(sql: str, dialect: str) -> frozenset[str]:
    """The columns of a query that are sums or counts of its groups, so that those of several may be added up.

    Example:
        >>> sorted(sums_of("SELECT a, count(*) AS n, sum(b) AS s, avg(b) AS m FROM t GROUP BY a", "duckdb"))
        ['n', 's']
    """
    query = _parsed(sql, dialect)
    group = query.args.get("group") if isinstance(query, exp.Select) else None
    # A ROLLUP's rows are sums of other rows.
    if group is None or not isinstance(query, exp.Select) or any(group.args.get(more) for more in _TOTALS):
        return frozenset()
    found = query.selects
    return frozenset(each.alias_or_name for each in found if _adds_up(each.unalias()))


def _adds_up(measure: exp.Expr) -> bool:
    return isinstance(measure, exp.Sum | exp.Count | exp.CountIf) and measure.find(exp.Distinct) is None


def _parsed(sql: str, dialect: str) -> exp.Expr | None:
    try:
        return own_tree(sql, dialect)
    except Unreadable:
        return None


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
