"""What of a result is drawn: its largest values in order, the others added up where that is right, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.display.chart_kinds import FEW_CHARTS, FEW_COLORS, Chart, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

MOST_ROWS = 5000  # as Altair's own limit: each row stands in the notebook's file
MOST_VALUES = 30  # bars that are read at a glance
OTHERS = "others"
_SLICES = 8
_CALENDAR = tuple(
    tuple(names.split())
    for names in (
        "monday tuesday wednesday thursday friday saturday sunday",
        "mon tue wed thu fri sat sun",
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
    )
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a result beside its rows.

    Args:
        question: What was asked, for the title.
        total: Rows that there are, where the frame holds only the first of them; None where it is not known.
        cut: Whether the frame holds only the first of them.
        ordered: Whether the query put them in an order, which is kept.
        sums: Columns of sums or counts, which may be added up.
    """

    question: str = ""
    total: int | None = None
    cut: bool = False
    ordered: bool = False
    sums: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Drawn:
    """The rows of a chart, the order of its categories by column, and what has to be said of what is left out."""

    chart: Chart
    rows: pd.DataFrame
    orders: dict[str, tuple[str, ...]]
    others: str = ""  # the value that stands for all that are left out
    said: tuple[str, ...] = ()


def drawn(chart: Chart, frame: pd.DataFrame, facts: Facts) -> Drawn:
    """What of the frame is drawn.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"shop": [f"s{n}" for n in range(40)], "sales": range(40)})
        >>> few = drawn(Chart("bar", "shop", "sales"), frame, Facts(sums=frozenset({"sales"})))
        >>> few.orders["shop"][0], few.orders["shop"][-1], *few.said
        ('s39', 'others', 'The 30 largest of 40 values of shop; the other 10 are added up as “others”')
    """
    rows = _columns(chart, frame)
    used, sums = min(len(rows), MOST_ROWS), facts.sums
    if chart.kind in {"bar", "pie"} and type_of(rows[chart.x]) == "nominal":
        used = len(rows)
        rows[chart.x] = _names(rows[chart.x])
        if not chart.y:
            chart, rows = _counted(chart, rows)
            sums = sums | {chart.y}
    said = _cut(used, len(frame), facts)
    orders: dict[str, tuple[str, ...]] = {}
    others = ""
    for name in _categories(chart, rows):
        rows[name] = _names(rows[name])
        orders[name] = _order(name, chart, rows, ordered=facts.ordered, may_add=chart.y in sums)
        if chart.kind in {"bar", "pie", "box", "heat"}:
            few = _largest(name, chart, rows, orders[name], may_add=chart.y in sums and chart.kind in {"bar", "pie"})
            rows, others, said = few.rows, few.others, (*said, *few.said)
            orders |= few.orders
    for name, most in ((chart.color, FEW_COLORS), (chart.facet, FEW_CHARTS)):
        if not name or (chart.kind == "heat" and name == chart.color):
            continue
        rows, note = _few(rows, name, most)
        said = (*said, *note)
        if calendar := _by_calendar(rows[name].dropna().unique()):
            orders[name] = calendar
    return Drawn(chart, _as_seen(rows.head(MOST_ROWS), [chart.y, chart.x], orders), orders, others, said)


# Screen readers read the marks in the order of their rows.
def _as_seen(rows: pd.DataFrame, axes: list[str], orders: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    import pandas as pd

    if not (by := [name for name in axes if name in orders]):
        return rows
    ranks = {name: {value: rank for rank, value in enumerate(orders[name])} for name in by}
    places = pd.DataFrame({name: rows[name].map(ranks[name]) for name in by})
    return rows.loc[places.sort_values(by, kind="stable").index]


# The columns whose values have a place each along an axis.
def _categories(chart: Chart, rows: pd.DataFrame) -> list[str]:
    axes = dict.fromkeys((chart.x, chart.y) if chart.kind == "heat" else (chart.x or chart.y,))
    return [name for name in axes if name and type_of(rows[name]) == "nominal"]


# The columns that are drawn, of several of a name the first; the rest stays out of the notebook's file.
def _columns(chart: Chart, frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    at = [str(column) for column in frame.columns]
    names = dict.fromkeys(name for name in (chart.x, chart.y, chart.color, chart.facet) if name)
    return pd.DataFrame({name: frame.iloc[:, at.index(name)].reset_index(drop=True) for name in names})


def _names(values: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd

    return values.astype(object).map(
        lambda value: "NULL" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value)
    )


# One row for each bar, with how many rows it stands for.
def _counted(chart: Chart, rows: pd.DataFrame) -> tuple[Chart, pd.DataFrame]:
    keys = list(rows.columns)
    name = next(name for name in ("rows", "number of rows", "count of rows", "rows of all") if name not in keys)
    return replace(chart, y=name), rows.groupby(keys, sort=False, dropna=False).size().reset_index(name=name)


def _cut(used: int, here: int, facts: Facts) -> tuple[str, ...]:
    if not facts.cut and used == here:
        return ()
    every = facts.total if facts.cut else here
    return (f"The first {used:,} " + (f"of {every:,} rows" if every is not None else "rows; there are more"),)


# The categories of a column as they are drawn: the query's order, or the calendar's, or the largest first.
def _order(column: str, chart: Chart, rows: pd.DataFrame, *, ordered: bool, may_add: bool) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(rows[column]))
    if ordered:
        return names
    if calendar := _by_calendar(names):
        return calendar
    if (weights := _weights(column, chart, rows, may_add=may_add)) is None:
        return names
    return tuple(sorted(names, key=lambda name: (-weights[name], name)))


# The names of weekdays or months as they follow each other; none of others.
def _by_calendar(values: Iterable[Any]) -> tuple[str, ...]:
    names = [str(value) for value in values]
    for calendar in _CALENDAR:
        if {name.lower() for name in names} <= set(calendar):
            return tuple(sorted(names, key=lambda name: calendar.index(name.lower())))
    return ()


# How large each category of a column is; None where its numbers do not say.
def _weights(column: str, chart: Chart, rows: pd.DataFrame, *, may_add: bool) -> dict[str, float] | None:
    import pandas as pd

    measure = chart.color if chart.kind == "heat" else chart.y
    if not measure or chart.kind in {"line", "area", "point"} or type_of(rows[measure]) != "quantitative":
        return None
    sizes = pd.to_numeric(rows[measure], errors="coerce").astype(float)
    groups = sizes.groupby(rows[column], sort=False)
    found = groups.median() if chart.kind == "box" else groups.sum() if may_add else groups.max()
    return {str(name): float(size) for name, size in found.fillna(float("-inf")).items()}


# At most so many categories as can be read; the rest is one of its own where its numbers may be added up.
def _largest(column: str, chart: Chart, rows: pd.DataFrame, order: tuple[str, ...], *, may_add: bool) -> Drawn:
    most = _SLICES if chart.kind == "pie" else MOST_VALUES
    if len(order) <= most:
        return Drawn(chart, rows, {column: order})
    kept, left = order[:most], order[most:]
    weights = _weights(column, chart, rows, may_add=may_add)
    largest = weights is not None and min(weights[name] for name in kept) >= max(weights[name] for name in left)
    which = f"The {f'{most} largest' if largest else f'first {most}'} of {len(order):,} values of {column}"
    is_kept = rows[column].isin(kept)
    if not may_add:
        said = f"{which}; the other {len(left):,} are not drawn"
        return Drawn(chart, rows[is_kept].copy(), {column: kept}, said=(said,))
    others = OTHERS if OTHERS not in order else f"the {len(left):,} {OTHERS}"
    said = f"{which}; the other {len(left):,} are added up as “{others}”"
    return Drawn(chart, _with_others(chart, rows, is_kept, others), {column: (*kept, others)}, others, (said,))


def _with_others(chart: Chart, rows: pd.DataFrame, is_kept: pd.Series[bool], others: str) -> pd.DataFrame:
    import pandas as pd

    rest = rows[~is_kept].assign(**{chart.x: others})
    keys = [name for name in rows.columns if name != chart.y]
    rest[chart.y] = pd.to_numeric(rest[chart.y], errors="coerce")
    summed = rest.groupby(keys, sort=False, dropna=False)[chart.y].sum().reset_index()
    return pd.concat([rows[is_kept], summed[rows.columns]], ignore_index=True)


# The rows of the most frequent values of a column that gives colours or small charts.
def _few(rows: pd.DataFrame, name: str, most: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not name or (found := rows[name].nunique()) <= most:
        return rows, ()
    counts = rows[name].value_counts()
    kept = sorted(counts.index, key=lambda value: (-counts[value], str(value)))[:most]
    return rows[rows[name].isin(kept)], (f"{most} of {found:,} values of {name}; the others are not drawn",)
