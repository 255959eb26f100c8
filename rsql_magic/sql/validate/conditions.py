"""Conditions that compile and say something else than they seem to: they can never hold, or lose rows silently."""

# ``plan = 'B' AND plan = 'P'`` holds for no row. ``x NOT IN (SELECT y …)`` holds for none where one y is missing.
# ``at BETWEEN '2024-03-01' AND '2024-03-31'`` ends at the last day's midnight. Months without their year put those of
# several years together. The database counts, where it may be asked, so that nothing is said of data without such rows.

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.catalog import value_kind
from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, parse
from rsql_magic.sql.metrics.dimensions import month_or_part
from rsql_magic.sql.validate.counts import RowCounts, named_table
from rsql_magic.sql.validate.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql.catalog import Catalog, Column, Table
    from rsql_magic.sql.validate import Resolution

    Count = Callable[[str], "int | None"]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FLIPPED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.EQ: exp.EQ,
}


def condition_notes(
    sql: str, dialect: str, catalog: Catalog, count: Count | None = None, question: str = ""
) -> list[str]:
    """What should be known of the conditions of a query without problems, one sentence each.

    ``count`` gives the number that a query in this dialect asks for, None where it cannot.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE users (plan TEXT)", "duckdb")
        >>> condition_notes("SELECT count(*) FROM users WHERE plan = 'B' AND plan = 'P'", "duckdb", shop)[0]
        "No row can have plan = 'B' and plan = 'P' at once."
    """
    try:
        dialect = canonical(dialect)
        text = lex(sql, dialect).text
        root = parse(text, dialect)
        resolution = resolve(root, text, dialect, catalog)
    except (Unreadable, RecursionError):
        return []
    checks = _Conditions(root, resolution, RowCounts(dialect, count, catalog, root), question)
    return list(dict.fromkeys(checks.notes()))


@dataclass
class _Conditions:
    """The conditions of one query."""

    root: exp.Expr
    resolution: Resolution
    counted: RowCounts
    question: str

    def notes(self) -> Iterator[str]:
        """What is worth saying of them."""
        for select, _ in self.resolution.selects:
            yield from self._contradictions(select)
            yield from self._folded(select)
        yield from self._missing_in_not_in()
        yield from self._lost_last_days()

    def _column(self, node: exp.Expr | None) -> tuple[Table, Column] | None:
        found = self.resolution.columns.get(id(node)) if isinstance(node, exp.Column) else None
        table = found[0].table if found else None
        column = table.column(found[1]) if table is not None and found else None
        return (table, column) if table is not None and column is not None else None

    # Conditions that exclude one another

    def _contradictions(self, select: exp.Select) -> Iterator[str]:
        bounds: dict[tuple[int, str], list[tuple[exp.Expr, _Range]]] = {}
        for part in _parts_of(select):
            for column, allowed in _ranges(part):
                found = self.resolution.columns.get(id(column))
                if found is not None:
                    bounds.setdefault((id(found[0]), found[1]), []).append((part, allowed))
        for each in bounds.values():
            for place, (part, one) in enumerate(each):
                if one.is_empty:
                    yield f"No row can have {' '.join(part.sql(dialect=self.counted.dialect).split())}."
                    return
                for other_part, other in each[:place]:
                    if part is not other_part and one.excludes(other):
                        shown = [
                            " ".join(node.sql(dialect=self.counted.dialect).split()) for node in (other_part, part)
                        ]
                        yield f"No row can have {shown[0]} and {shown[1]} at once."
                        return

    # Rows that go missing

    def _missing_in_not_in(self) -> Iterator[str]:
        """``NOT IN`` over values of which one is missing, which holds for no row."""
        for part in self.root.find_all(exp.In):
            if not _is_negated(part):
                continue
            column = " ".join(part.this.sql(dialect=self.counted.dialect).split())
            if any(isinstance(one.unnest(), exp.Null) for one in part.expressions):
                yield f"{column} NOT IN (…, NULL) holds for no row: leave NULL out."
            query = part.args.get("query")
            query = query.unnest() if query is not None else None
            if not isinstance(query, exp.Select) or len(query.expressions) != 1:
                continue
            inner = query.copy()
            output = inner.expressions[0]
            inner.expressions[0].replace(exp.alias_(output.unalias().copy(), "listed"))
            for clause in ("order", "limit", "offset") if not inner.args.get("limit") else ():
                inner.set(clause, None)
            missing = exp.Is(this=exp.column("listed", "q"), expression=exp.Null())
            asked = exp.select("COUNT(*)").from_(inner.subquery("q")).where(missing)
            if self.counted.number(asked):
                shown = output.unalias().sql(dialect=self.counted.dialect)
                yield (
                    f"{column} NOT IN (SELECT {shown} …) holds for no row, as {shown} is missing in some rows: "
                    f"add WHERE {shown} IS NOT NULL inside."
                )

    def _lost_last_days(self) -> Iterator[str]:
        """Upper bounds of times that are a day: the rows of that day after midnight are left out."""
        for node in self.root.find_all(exp.Between, exp.LTE, exp.GTE):
            side, bound = _upper(node)
            known = self._column(side)
            day = _day_of(bound)
            if known is None or day is None or bound is None or not _holds_hours(known[1]):
                continue
            table, column = known
            name = exp.column(column.name, quoted=True)
            as_text = value_kind(column.type) == "text"
            after = exp.Literal.string(f"{day} 00:00:00" if not as_text else f"{day}")
            before = exp.Literal.string(str(day + timedelta(days=1)))
            rows = (
                exp.select(exp.Literal.number(1).as_("late"))
                .from_(named_table(table))
                .where(exp.GT(this=name, expression=after), exp.LT(this=name.copy(), expression=before))
                .limit(1)
            )
            if self.counted.number(exp.select("COUNT(*)").from_(rows.subquery("q"))):
                yield (
                    f"{column.name} has times: rows of {day} after midnight are left out. "
                    f"Write {column.name} < '{day + timedelta(days=1)}'."
                )

    # Months of several years

    def _folded(self, select: exp.Select) -> Iterator[str]:
        group = select.args.get("group")
        if group is None or not (asked := _asked_periods(self.question)):
            return
        shown = [one.unalias() for one in select.expressions]
        names = {one.alias.casefold(): one.this for one in select.expressions if isinstance(one, exp.Alias)}
        keys = [_meant(key, shown, names) for key in group.expressions]
        parts = [(key, *month_or_part(key)) for key in keys]
        if any(part == "year" or (not part and column is not None) for _, column, part in parts):
            return
        for key, column, part in parts:
            known = self._column(column)
            if part in asked and known is not None and self._has_several_years(select, column, known[1]):
                written = " ".join(key.sql(dialect=self.counted.dialect).split())
                yield (
                    f"{written} puts the same {part} of several years together: the question asks for each {part}, "
                    f"so group by its year, too."
                )
                return

    def _has_several_years(self, select: exp.Select, column: exp.Column | None, known: Column) -> bool:
        profile = known.profile
        if profile and profile.low and profile.high and not profile.approximate and profile.low[:4] == profile.high[:4]:
            return False
        if column is None or select.parent is not None or select.args.get("with_"):
            return bool(profile and profile.low and profile.high and profile.low[:4] != profile.high[:4])
        same = select.copy()
        for part in ("group", "having", "order", "limit", "offset", "distinct", "qualify"):
            same.set(part, None)
        year: exp.Expr = exp.Extract(this=exp.var("YEAR"), expression=column.copy())
        if self.counted.dialect == "sqlite":
            year = exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string("%Y"), column.copy()])
        same.set("expressions", [exp.Count(this=exp.Distinct(expressions=[year]))])
        return (self.counted.number(same) or 0) > 1


def _meant(key: exp.Expr, shown: list[exp.Expr], names: dict[str, exp.Expr]) -> exp.Expr:
    """What a key of GROUP BY stands for: a place, a name of an output, or itself."""
    if isinstance(key, exp.Literal) and key.is_int and 1 <= int(key.name) <= len(shown):
        return shown[int(key.name) - 1]
    if isinstance(key, exp.Column) and not key.table:
        return names.get(key.name.casefold(), key)
    return key


_EACH = re.compile(
    r"\b(?:(?:per|by|each|every|for each|pro|je|jeden|par|chaque|por|cada)\s+(?:single\s+)?"
    r"(?P<unit>month|quarter|week|monat|quartal|woche|mois|trimestre|semaine|mes|semana)s?\b"
    r"|(?P<adverb>monthly|quarterly|weekly|monatlich\w*|wöchentlich\w*|mensuel\w*|mensual\w*|hebdomadaire\w*|semanal\w*)\b)",
    re.IGNORECASE,
)
_FOLDS = re.compile(
    r"\bof (?:the|a|each|every) year\b|\bcalendar\b|season|saison|regardless|irrespective"
    r"|(?:across|over) (?:all |the )?years|\ball years\b|typical|average (?:month|week|quarter)"
    r"|\bdes Jahres\b|de l'année|del año|independent of",
    re.IGNORECASE,
)
_UNITS = {"mo": "month", "me": "month", "qu": "quarter", "tr": "quarter", "we": "week", "wo": "week", "wö": "week",
          "se": "week", "he": "week"}  # fmt: skip


def _asked_periods(question: str) -> set[str]:
    """The periods that a question asks for each of, unless it folds years: ``sales per month``."""
    if _FOLDS.search(question):
        return set()
    words = (found["unit"] or found["adverb"] for found in _EACH.finditer(question))
    return {_UNITS[word[:2].lower()] for word in words}


# Ranges of one column


@dataclass(frozen=True)
class _Range:
    """What a condition lets a column be: some values, or an interval."""

    values: frozenset[str] | None = None
    low: str | float | None = None
    high: str | float | None = None
    is_open: bool = False  # whether the ends themselves are left out

    @property
    def is_empty(self) -> bool:
        """Whether it lets nothing be, as ``BETWEEN 6 AND 2`` does."""
        return self.values is not None and not self.values

    def excludes(self, other: _Range) -> bool:
        """Whether no value is in both."""
        if self.is_empty or other.is_empty:
            return True
        if self.values is not None and other.values is not None:
            return not self.values & other.values
        if self.values is not None or other.values is not None:
            return False
        return _is_above(self.low, other.high, is_open=self.is_open or other.is_open) or _is_above(
            other.low, self.high, is_open=self.is_open or other.is_open
        )


def _is_above(low: str | float | None, high: str | float | None, *, is_open: bool) -> bool:
    if low is None or high is None or isinstance(low, str) != isinstance(high, str):
        return False
    return low > high or (is_open and low == high)  # type: ignore[operator]


def _ranges(part: exp.Expr) -> Iterator[tuple[exp.Column, _Range]]:
    """The column that a condition bounds by literals, and how."""
    if isinstance(part, exp.In) and part.expressions and isinstance(part.this, exp.Column):
        values = [_value(one) for one in part.expressions]
        if None not in values:
            yield part.this, _Range(frozenset(str(value).casefold() for value in values))
    elif isinstance(part, exp.Between) and isinstance(part.this, exp.Column):
        low, high = _value(part.args["low"]), _value(part.args["high"])
        if low is not None and high is not None:
            is_empty = _is_above(low, high, is_open=False) and not part.args.get("symmetric")
            yield part.this, _Range(frozenset()) if is_empty else _Range(None, low, high)
    elif type(part) in _FLIPPED:
        left, right = part.this, part.expression
        kind: type[exp.Expr] = type(part)
        if isinstance(right, exp.Column):
            left, kind, right = right, _FLIPPED[kind], left
        value = _value(right)
        if not isinstance(left, exp.Column) or value is None:
            return
        if kind is exp.EQ:
            yield left, _Range(frozenset({str(value).casefold()}))
        else:
            is_low = kind in {exp.GT, exp.GTE}
            is_open = kind in {exp.GT, exp.LT}
            yield left, _Range(None, value if is_low else None, None if is_low else value, is_open)


def _value(node: exp.Expr) -> str | float | None:
    """A number, or the text of a literal."""
    node = node.unnest()
    if isinstance(node, exp.Cast):
        node = node.this
    if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return -float(node.this.name)
    if not isinstance(node, exp.Literal):
        return None
    return node.name if node.is_string else float(node.name)


def _parts_of(select: exp.Select) -> Iterator[exp.Expr]:
    """The conditions of a SELECT that must all hold."""
    where = select.args.get("where")
    wholes = [where.this] if where is not None else []
    wholes += [
        on for join in select.args.get("joins") or () if (on := join.args.get("on")) is not None and not join.side
    ]
    todo = list(wholes)
    while todo:
        one = todo.pop().unnest()
        if isinstance(one, exp.And):
            todo += [one.expression, one.this]
        else:
            yield one


def _is_negated(node: exp.Expr) -> bool:
    negated = bool(node.args.get("negate"))
    while isinstance(node.parent, (exp.Not, exp.Paren)):
        node = node.parent
        negated ^= isinstance(node, exp.Not)
    return negated


def _upper(node: exp.Expr) -> tuple[exp.Expr | None, exp.Expr | None]:
    """A column and its upper bound that is let through."""
    if isinstance(node, exp.Between):
        return node.this, node.args["high"]
    return (node.this, node.expression) if isinstance(node, exp.LTE) else (node.expression, node.this)


def _day_of(node: exp.Expr | None) -> date | None:
    """The day that a literal says, where it says no time of day."""
    while isinstance(node, (exp.Cast, exp.Paren, exp.Date, exp.TsOrDsToDate, exp.TsOrDsToTimestamp)):
        node = node.this
    if not isinstance(node, exp.Literal) or not node.is_string or not _DAY.fullmatch(node.name):
        return None
    try:
        return date.fromisoformat(node.name)
    except ValueError:
        return None


def _holds_hours(column: Column) -> bool:
    """Whether a column may hold times of the day: a timestamp, or a text that begins with a day."""
    kind = column.type.upper()
    form = column.profile.form if column.profile else ""
    return "TIMESTAMP" in kind or "DATETIME" in kind or (form.startswith("%Y-%m-%d") and "%H" in form)
