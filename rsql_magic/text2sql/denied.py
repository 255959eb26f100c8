"""What the data deny: literals and bounds of a query that no row meets, as the database itself says.

Each comparison of a column with a literal is asked for one row that meets it. That holds for tables of any size and for
views: the database stops at the first row, and a time limit ends what takes longer. Where no row is found, values that
are near are named: to a person always, to a model as far as the privacy level shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import one_line, value_kind
from rsql_magic.text2sql.literals import bare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.sql import Column, Table
    from rsql_magic.text2sql.literals import Comparison, Run

_MOST_ASKED = 16  # comparisons of one query that the database is asked for
_SHOWN = 5
_LONGEST = 60  # letters of a value that is shown
_FEWEST_LETTERS = 3  # of a text that is looked for inside longer ones
_KINDS = {">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE, "like": exp.Like, "ilike": exp.ILike, "=": exp.EQ}


@dataclass(frozen=True)
class Denied:
    """A comparison that no row meets, and what the column holds instead.

    Example:
        >>> from sqlglot import exp
        >>> from rsql_magic.sql import Column, Table
        >>> from rsql_magic.text2sql.literals import Comparison
        >>> column = Column("country", "VARCHAR")
        >>> one = Comparison(Table("customers", (column,)), column, "Deutschland", exp.column("country"))
        >>> Denied(one, ("Germany",)).said(with_values=True)
        "No row of customers has country = 'Deutschland'; stored are 'Germany'."
    """

    comparison: Comparison
    known: tuple[str, ...] = ()  # values that the catalog shows at the privacy level
    near: tuple[str, ...] = ()  # values that hold the literal, which a level may not show
    elsewhere: tuple[str, ...] = ()  # other columns that hold the literal
    span: str = ""  # from where to where the column goes, as the privacy level shows it
    held: str = ""  # the same, or some values, asked of the data, which a level may not show

    def said(self, *, with_values: bool) -> str:
        """One sentence; values of the data that the privacy level may not show only for a person."""
        one = self.comparison
        text = f"'{one_line(one.text)}'" if value_kind(one.column.type) != "number" else one.text
        operator = {"like": "LIKE", "ilike": "ILIKE"}.get(one.operator, one.operator)
        said = f"No row of {one.table.full_name} has {one.column.name} {operator} {text}"
        if with_values and self.near:
            return f"{said}; nearest: {_quoted(self.near)}."
        if with_values and self.elsewhere:  # that the data has it, and where, is a fact about the data
            return f"{said}, but {' and '.join(self.elsewhere[:_SHOWN])} has it."
        if self.known:
            return f"{said}; stored are {_quoted(self.known)}."
        span = self.span or (self.held if with_values else "")
        return f"{said}; {one.column.name} is {span}." if span else f"{said}."

    @property
    def may_be_told(self) -> bool:
        """Whether a model may know of it: not of columns about single people."""
        return not self.comparison.column.is_private


def denied(found: Iterable[Comparison], dialect: str, run: Run, *, is_free: bool) -> list[Denied]:
    """The comparisons that no row meets, each with what is near.

    ``run`` gives the first column of a small query's rows as texts, and nothing where the database fails or is late.
    ``is_free`` says that asking costs no money; otherwise small tables only are asked.
    """
    asked = [one for one in found if _is_asked(one) and (is_free or _is_small(one))][:_MOST_ASKED]
    return [_explained(one, dialect, run) for one in asked if list(run(_any_row(one, dialect))) == ["0"]]


def _is_asked(one: Comparison) -> bool:
    meaning = one.column.meaning
    if one.is_negated or one.operator not in _KINDS or (meaning is not None and meaning.restricted):
        return False
    return bool(one.text.strip(" %_"))


def _is_small(one: Comparison) -> bool:
    return one.table.kind != "view" and (one.table.rows or _LARGE) < _LARGE


_LARGE = 5_000_000


def _any_row(one: Comparison, dialect: str) -> str:
    """A query for 1 where a row meets a comparison, and for 0 where none does."""
    column, table = bare(one)
    side = one.side.transform(lambda node: column.copy() if isinstance(node, exp.Column) else node)
    value = one.value.copy() if isinstance(one.value, exp.Expr) and not isinstance(one.value, exp.Column) else None
    condition = _KINDS[one.operator](this=side, expression=value or exp.Literal.string(one.text))
    row = exp.select(exp.Literal.number(1).as_("met")).from_(table).where(condition).limit(1)
    return exp.select("COUNT(*)").from_(row.subquery("q")).sql(dialect=dialect)


def _explained(one: Comparison, dialect: str, run: Run) -> Denied:
    profile = one.column.profile
    kind = value_kind(one.column.type)
    if kind != "text":
        span = f"{profile.low} to {profile.high}" if profile and profile.low is not None else ""
        return Denied(one, span=span, held="" if span else _reach(one, dialect, run))
    known = profile.values if profile is not None else ()
    text = one.text.strip(" %").casefold()
    here = tuple(value for value in known if text in value.casefold() or value.casefold() in text)
    near = here or tuple(_holding(one, dialect, run))
    elsewhere = () if near else tuple(_elsewhere(one, dialect, run))
    held = "" if near or elsewhere or known else _some(one, dialect, run)
    return Denied(one, here or known, near, elsewhere, held=held)


def _reach(one: Comparison, dialect: str, run: Run) -> str:
    """From where to where a column goes."""
    column, table = bare(one)
    ends = (exp.select(end(this=column.copy()).as_("e")).from_(table.copy()) for end in (exp.Min, exp.Max))
    found = [value for query in ends for value in run(query.sql(dialect=dialect))]
    return " to ".join(found) if len(found) == len(("from", "to")) else ""


def _some(one: Comparison, dialect: str, run: Run) -> str:
    """Some values of a column."""
    column, table = bare(one)
    query = exp.select(column).distinct().from_(table).where(column.copy().is_(exp.null()).not_()).limit(_SHOWN)
    found = sorted(run(query.sql(dialect=dialect)))
    return f"{_quoted(found)}{' and others' if len(found) == _SHOWN else ''}" if found else ""


def _holding(one: Comparison, dialect: str, run: Run) -> Iterator[str]:
    """Values of a column that hold a text, whatever its case."""
    text = one.text.strip(" %").lower()
    if len(text) < _FEWEST_LETTERS or set(text) & set("%_\\"):
        return
    column, table = bare(one)
    held = exp.Like(this=exp.Lower(this=column.copy()), expression=exp.Literal.string(f"%{text}%"))
    query = exp.select(column).distinct().from_(table).where(held).limit(_SHOWN)
    yield from run(query.sql(dialect=dialect))


def _elsewhere(one: Comparison, dialect: str, run: Run) -> Iterator[str]:
    """Other text columns of the query's tables that hold a literal letter by letter."""
    if one.like:
        return
    tables = [one.table, *(table for table in one.others if table is not one.table)]
    columns = [(t, c) for t in tables for c in t.columns if c is not one.column and value_kind(c.type) == "text"]
    for table, column in [(t, c) for t, c in columns if not c.is_private][:_SHOWN]:
        if holds(table, column, one.text, dialect, run):
            yield column.name if table is one.table else f"{table.full_name}.{column.name}"


def holds(table: Table, column: Column, text: str, dialect: str, run: Run) -> bool:
    """Whether a column of a table has a row with a text, letter by letter."""
    name = exp.table_(table.name, db=table.schema or None, catalog=table.database or None, quoted=True)
    held = exp.column(column.name, quoted=True).eq(exp.Literal.string(text))
    row = exp.select(exp.Literal.number(1).as_("met")).from_(name).where(held).limit(1)
    return list(run(exp.select("COUNT(*)").from_(row.subquery("q")).sql(dialect=dialect))) == ["1"]


def _quoted(values: Sequence[str]) -> str:
    # Blanks at the ends are what is to be seen.
    texts = (
        value if value != value.strip() and len(value) <= _LONGEST else one_line(value, _LONGEST) for value in values
    )
    shown = ", ".join(f"'{text}'" for text in list(texts)[:_SHOWN])
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown
