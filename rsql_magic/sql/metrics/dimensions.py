"""By what a metric may be told: its dimensions, and periods of its time that are no shorter than its grain."""

# What cannot be decided is let pass: a function that is not known may make a period longer, and a bound that is
# computed when the query runs may be the start of one.

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.metrics.figures import FigureReader
from rsql_magic.sql.metrics.inlining import Inlined
from rsql_magic.sql.metrics.paths import NotByDefinition, Paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.definitions import Definition

    Place = tuple[str, str]  # full name of a table and name of a column, both in lower case
    Owner = Callable[[exp.Column], str]  # the full name of a column's table, empty where it is not known

PERIODS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_LONGER = {name: place for place, name in enumerate(PERIODS)}


@dataclass(frozen=True)
class MetricLimits:
    """What the definition of a metric lets it be grouped and filtered by.

    Example:
        >>> from rsql_magic.sql import Catalog, Definition
        >>> from sqlglot import parse_one
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (channel TEXT, clerk TEXT, at DATE)", "duckdb")
        >>> count = Definition(
        ...     "order_count", "metric", "COUNT(*)", "orders", time="at", grain="month", dimensions=("channel",)
        ... )
        >>> limits = MetricLimits.of(count, shop["orders"], shop)
        >>> list(limits.beyond([parse_one("clerk")], lambda column: "orders"))
        ['order_count can be told by channel and at only, not by orders.clerk.']
        >>> list(limits.beyond([parse_one("at")], lambda column: "orders"))
        ['order_count can be told by month or longer periods only: at goes by day.']
    """

    metric: Definition
    catalog: Catalog
    dimensions: frozenset[Place] | None  # with the columns that joins make equal to them; None for all
    derived: frozenset[str]  # values of a row that are dimensions, as `FigureReader.value` writes them
    times: frozenset[Place]

    @classmethod
    def of(cls, metric: Definition, home: Table, catalog: Catalog, time: str = "") -> MetricLimits:
        """The limits of a metric over the rows of a table.

        A metric of metrics has the table and ``time`` of one of these.
        """
        times = _places(filter(None, [metric.time or time]), home, catalog)
        if not metric.dimensions:
            return cls(metric, catalog, None, frozenset(), frozenset(times))
        places = _places(metric.dimensions, home, catalog)
        derived = {text for place in places if (text := _derived(*place, catalog))}
        allowed = _with_equals(places | times, home, catalog)
        return cls(metric, catalog, frozenset(allowed), frozenset(derived), frozenset(times))

    @property
    def is_open(self) -> bool:
        """Whether it limits nothing."""
        return self.dimensions is None and not self.metric.grain

    def beyond(self, told_by: Iterable[exp.Expr], owner: Owner) -> Iterator[str]:
        """What of expressions that rows are grouped or chosen by the definition does not allow, one sentence each."""
        if self.is_open:
            return
        where = f" ({self.metric.source})" if self.metric.source else ""
        reader = FigureReader(self.catalog, owner)
        for node in told_by:
            for column in self._columns(node, reader):
                place = (owner(column).casefold(), column.name.casefold())
                if place in self.times:
                    if period := self._too_short(column, node):
                        grain = f"{self.metric.name} can be told by {self.metric.grain} or longer periods only{where}"
                        yield f"{grain}: {node.sql()} goes by {period}."
                elif place[0] and self.dimensions is not None and place not in self.dimensions:
                    by = _listed(list(dict.fromkeys(filter(None, (*self.metric.dimensions, self.metric.time)))))
                    yield f"{self.metric.name} can be told by {by} only{where}, not by {place[0]}.{column.name}."

    def _columns(self, node: exp.Expr, reader: FigureReader) -> Iterator[exp.Column]:
        """The columns of a node, without those of subqueries and of values that are dimensions themselves."""
        if isinstance(node, exp.Query) or (self.derived and reader.value(node) in self.derived):
            return
        if isinstance(node, exp.Column):
            yield node
        else:
            for part in node.iter_expressions():
                yield from self._columns(part, reader)

    def _too_short(self, column: exp.Column, root: exp.Expr) -> str:
        """The period shorter than the grain that a part of a query goes by; empty where none is, or none is known."""
        period = self._bare(column) if self.metric.grain else ""
        at: exp.Expr = column
        while period and at is not root and at.parent is not None:
            above = at.parent
            if isinstance(above, (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)) and _is_in_order(at):
                period = _bounded(above, at)
                break
            if isinstance(above, _COMPARED):
                period = period if any(isinstance(one, exp.Literal) for one in above.walk()) else ""
                break
            kept = _kept(above)
            period = _longer(period, kept) if kept is not None or self._is_long(period) else ""
            at = above
        return period if period and not self._is_long(period) else ""

    def _bare(self, column: exp.Column) -> str:
        """The period of a column's values; empty where its type does not say."""
        name = column.name.casefold()
        tables = (self.catalog.get(table) for table, one in self.times if one == name)
        found = next((c for table in tables if table is not None and (c := table.column(column.name))), None)
        type_ = found.type.upper() if found else ""
        return "day" if re.match(r"DATE\b", type_) else "second" if re.match(r"DATETIME|TIMESTAMP", type_) else ""

    def _is_long(self, period: str) -> bool:
        return _LONGER.get(period, 0) >= _LONGER.get(self.metric.grain, 0)


def keys_of(select: exp.Select) -> list[exp.Expr]:
    """What a SELECT with figures is grouped by: its other outputs, and the terms of GROUP BY behind their names."""
    outputs = [one.unalias() for one in select.expressions if not one.find(exp.AggFunc)]
    named = {one.alias.casefold() for one in select.expressions if isinstance(one, exp.Alias)}
    group = select.args.get("group")
    terms = list(group.iter_expressions()) if group is not None else []
    found = [
        term
        for term in terms
        if not isinstance(term, exp.Literal)
        and not (isinstance(term, exp.Column) and not term.table and term.name.casefold() in named)
    ]
    return list({one.sql(): one for one in (*outputs, *found)}.values())


def _places(names: Iterable[str], home: Table, catalog: Catalog) -> set[Place]:
    """Columns and row values by the names that a definition has for them, seen from its own table."""

    def has(table: Table, name: str) -> bool:
        return table.column(name) is not None or catalog.definitions.of_row(table.full_name, name) is not None

    found = set()
    for text in names:
        table, _, name = text.rpartition(".")
        named = catalog.get(table) if table else None
        circles = [[named]] if named else [] if table else _circles(home, catalog)
        owners = next((some for each in circles if (some := [one for one in each if has(one, name)])), [])
        found |= {(one.full_name.casefold(), name.casefold()) for one in owners}
    return found


def _circles(home: Table, catalog: Catalog) -> list[list[Table]]:
    return [[catalog[name] for name in sorted(names)] for names in Paths.of(catalog).around(home.full_name)]


def _derived(table: str, name: str, catalog: Catalog) -> str:
    """The value of a row that a name stands for, in the form of `FigureReader`; empty for a column."""
    one = catalog.definitions.of_row(table, name)
    if one is None:
        return ""
    try:
        return FigureReader(catalog, lambda column: column.table).value(Inlined.of(catalog).of_row(one))
    except NotByDefinition:
        return ""


def _with_equals(places: set[Place], home: Table, catalog: Catalog) -> set[Place]:
    """Columns with those that the joins around a table make equal to them."""
    paths = Paths.of(catalog)
    equal = [
        ((step.origin.casefold(), here.casefold()), (step.table.casefold(), there.casefold()))
        for names in paths.around(home.full_name)
        for name in names
        for step in paths.from_table(name)
        for here, there in step.pairs
    ]
    found = set(places)
    while more := {b for pair in equal for a, b in (pair, pair[::-1]) if a in found and b not in found}:
        found |= more
    return found


def truncated(table: Table, column: exp.Column, grain: str, dialect: str) -> exp.Expr | None:
    """A time as the start of its period; the time itself where it has no shorter ones, None where it cannot be written.

    Example:
        >>> from rsql_magic.sql import Column, Table
        >>> orders = Table("orders", (Column("placed", "TIMESTAMP"),))
        >>> truncated(orders, exp.column("placed"), "month", "duckdb").sql("duckdb")
        "DATE_TRUNC('MONTH', placed)"
    """
    known = table.column(column.name)
    if known is not None and re.match(r"DATE\b", known.type.upper()) and grain in {"hour", "day"}:
        return column
    if dialect == "sqlite":
        starts = {"day": (), "month": ("start of month",), "year": ("start of year",), "week": ("weekday 0", "-6 days")}
        if grain not in starts:
            return None
        return exp.Anonymous(this="DATE", expressions=[column, *map(exp.Literal.string, starts[grain])])
    return exp.TimestampTrunc(this=column, unit=exp.var(grain.upper()))


# Periods of expressions

_PARTS: dict[type[exp.Expr], str] = {
    exp.Year: "year", exp.YearOfWeek: "year", exp.Quarter: "quarter", exp.Month: "month", exp.LastDay: "month",
    exp.Monthname: "month", exp.Week: "week", exp.WeekOfYear: "week", exp.Day: "day", exp.DayOfMonth: "day",
    exp.DayOfWeek: "day", exp.DayOfWeekIso: "day", exp.DayOfYear: "day", exp.Dayname: "day", exp.Date: "day",
    exp.TsOrDsToDate: "day", exp.Hour: "hour", exp.Minute: "minute", exp.Second: "second",
}  # fmt: skip
_NAMES = {name: name for name in PERIODS} | {
    "dow": "day", "doy": "day", "isodow": "day", "dayofweek": "day", "dayofyear": "day", "weekday": "day",
    "dayofmonth": "day", "isoyear": "year", "decade": "year", "century": "year", "year_month": "month",
    "isoweek": "week", "weekofyear": "week", "yearweek": "week",
}  # fmt: skip
_CODES = {
    **dict.fromkeys("fSs", "second"), "M": "minute", **dict.fromkeys("HIkl", "hour"),
    **dict.fromkeys("dejaAuwDFxc", "day"), **dict.fromkeys("WUV", "week"), **dict.fromkeys("mbBh", "month"),
    **dict.fromkeys("YyGg", "year"),
}  # fmt: skip
# Functions that are known by no node of their own, with the period that they make.
_CALLED = {
    "DATE": "day", "DATETIME": "", "TODATE": "day", "TODATETIME": "", "YEARWEEK": "week", "TOYYYYMM": "month",
    "TOYYYYMMDD": "day", "TRUNC": "day", "JULIANDAY": "",
}  # fmt: skip
_ORACLE = {
    "YYYY": "year", "YY": "year", "RRRR": "year", "IYYY": "year", "Q": "quarter", "MONTH": "month", "MON": "month",
    "MM": "month", "IW": "week", "WW": "week", "DDD": "day", "DAY": "day", "DY": "day", "DD": "day", "D": "day",
    "HH24": "hour", "HH12": "hour", "HH": "hour", "MI": "minute", "SS": "second",
}  # fmt: skip
_ORACLE_CODE = re.compile("|".join(sorted(_ORACLE, key=len, reverse=True)))
_LENGTHS = {4: "year", 7: "month", 10: "day", 13: "hour", 16: "minute"}
_WHOLE = (
    exp.Paren, exp.Alias, exp.TsOrDsToTimestamp, exp.TimeStrToTime, exp.AtTimeZone, exp.Concat, exp.DPipe, exp.Add,
    exp.Mul, exp.Coalesce,
    exp.Case, exp.If, exp.And, exp.Or, exp.Not, exp.Tuple, exp.Rollup, exp.Cube, exp.GroupingSets,
)  # fmt: skip
_COMPARED = (exp.EQ, exp.NEQ, exp.In, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.Is)


def _kept(node: exp.Expr) -> str | None:
    """The period that a function makes of a time; empty where it keeps all of it, None where that is not known."""
    if isinstance(node, (exp.Cast, exp.TryCast)):
        return "day" if node.to.is_type("date") else ""
    if isinstance(node, (exp.TimeToStr, exp.ToChar, exp.Substring, exp.Left)):
        return _of_text(node)
    if isinstance(node, exp.Anonymous) and node.name.upper() in _CALLED:
        return longest([_CALLED[node.name.upper()], *(_of_modifier(one.name.lower()) for one in node.expressions[1:])])
    if isinstance(node, _WHOLE):
        return ""
    return _PARTS.get(type(node)) or _NAMES.get(_unit(node))


def _of_modifier(text: str) -> str:
    """The period that a modifier of SQLite's dates makes: ``start of month``, ``weekday 0``."""
    name = text.removeprefix("start of ")
    return "week" if text.startswith("weekday ") else name if name != text and name in _LONGER else ""


def _unit(node: exp.Expr) -> str:
    """The word for a period that a function is given."""
    if isinstance(node, (exp.TimestampTrunc, exp.DateTrunc, exp.DatetimeTrunc, exp.DateDiff)):
        unit = str(node.args["unit"].name).lower() if node.args.get("unit") is not None else "day"
        return _ORACLE.get(unit.upper(), unit)
    if isinstance(node, exp.DateBin):  # of so many days: INTERVAL '7 days'
        return next((name for name in PERIODS if name in node.this.sql().lower()), "")
    if isinstance(node, exp.Extract):
        return str(node.this.name).lower()
    is_part = isinstance(node, exp.Anonymous) and node.name.lower() in {"date_part", "datepart"}
    return node.expressions[0].name.lower() if is_part and node.expressions else ""


def _of_text(node: exp.Expr) -> str | None:
    """The period that a time's text keeps, by its form or by its length from the start."""
    if isinstance(node, exp.ToChar):
        form = node.args.get("format")
        told = [_ORACLE[code] for code in _ORACLE_CODE.findall(form.name.upper())] if form is not None else []
        return min(told, key=_LONGER.__getitem__) if told else None
    if isinstance(node, exp.TimeToStr):
        codes = [_CODES.get(code, "") for code in re.findall(r"%[-#]?(\w)", node.args["format"].name)]
        return min(codes, key=_LONGER.__getitem__) if codes and all(codes) else None
    start, length = node.args.get("start"), node.args.get("length") or node.args.get("expression")
    is_head = (start is None or start.name == "1") and length is not None and length.name.isdigit()
    return _LENGTHS.get(int(length.name)) if is_head and length is not None else None


def longest(grains: Iterable[str]) -> str:
    """The longest of some periods; empty where there is none."""
    return max(filter(None, grains), key=_LONGER.__getitem__, default="")


def _longer(one: str, other: str | None) -> str:
    return max(one, other or one, key=_LONGER.__getitem__)


def _is_in_order(node: exp.Expr) -> bool:
    """Whether a time, or the start of its period, is what is compared: not a part of it, such as the day of a month."""
    while not isinstance(node, exp.Column):
        if not isinstance(node, (exp.Paren, exp.Cast, exp.TryCast, exp.Date, exp.TsOrDsToDate, exp.TsOrDsToTimestamp)):
            return isinstance(node, (exp.TimestampTrunc, exp.DateTrunc, exp.DatetimeTrunc))
        node = node.this
    return True


def _bounded(compared: exp.Expr, side: exp.Expr) -> str:
    """The shortest of the periods that the bounds of a comparison begin or end; empty where one is not written out."""
    others = [one for name in ("this", "expression", "low", "high") if (one := compared.args.get(name)) is not None]
    moments = [_moment(one) for one in others if one is not side]
    if any(one is None for one in moments):
        return ""
    return min((_begun(one) for one in moments if one is not None), key=_LONGER.__getitem__, default="")


def _moment(node: exp.Expr) -> datetime | None:
    """The time that a literal says."""
    while not isinstance(node, exp.Literal):
        if not isinstance(node.this, exp.Expression):
            return None
        node = node.this
    try:
        return datetime.fromisoformat(node.name.strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _begun(moment: datetime) -> str:
    """The longest period that begins at a moment, or ends with its day or second.

    Example:
        >>> [_begun(datetime(2024, *one)) for one in ((1, 1), (3, 31), (2, 29), (3, 4), (3, 5), (3, 5, 7))]
        ['year', 'quarter', 'month', 'week', 'day', 'hour']
    """
    after = moment + (timedelta(days=1) if (moment.hour, moment.minute, moment.second) == (0, 0, 0) else timedelta())
    if (moment.minute, moment.second) == (59, 59):
        after = (moment + timedelta(seconds=1)).replace(microsecond=0)
    return max(_starts(moment), _starts(after), key=_LONGER.__getitem__)


def _starts(moment: datetime) -> str:
    if moment.microsecond or moment.second:
        return "second"
    if moment.minute:
        return "minute"
    if moment.hour:
        return "hour"
    if moment.day > 1:
        return "week" if moment.weekday() == calendar.MONDAY else "day"
    return "year" if moment.month == 1 else "quarter" if moment.month % 3 == 1 else "month"


_SHOWN = 12


def _listed(names: list[str]) -> str:
    shown = [*names[:_SHOWN], *([f"{len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def month_or_part(node: exp.Expr) -> tuple[exp.Column | None, str]:
    """The column that an expression takes a part of, and the part: ``month`` of ``at``.

    The part is empty for the start of a period and for the time itself, which carry their year.

    Example:
        >>> from sqlglot import parse_one
        >>> [month_or_part(parse_one(text))[1] for text in ("MONTH(at)", "YEAR(at)", "DATE_TRUNC('month', at)")]
        ['month', 'year', '']
    """
    columns = list(node.find_all(exp.Column))
    column = columns[0] if len(columns) == 1 else None
    if isinstance(node, exp.TimeToStr):
        codes = [_CODES.get(code, "") for code in re.findall(r"%[-#]?(\w)", node.args["format"].name)]
        kept = [code for code in codes if code]
        return column, "" if "year" in kept and len(set(kept)) > 1 else min(kept, key=_LONGER.__getitem__, default="")
    while isinstance(node, (exp.Paren, exp.Cast, exp.TryCast, exp.Floor)) and isinstance(node.this, exp.Expr):
        node = node.this
    if isinstance(node, (exp.TimestampTrunc, exp.DateTrunc, exp.DatetimeTrunc, exp.Column)):
        return column, ""
    return column, _PARTS.get(type(node)) or _NAMES.get(_unit(node)) or ""
