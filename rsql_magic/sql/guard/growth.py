"""Recursion that grows: a text that doubles at each turn is a gigabyte after thirty, and so are rows that do.

A recursion that counts (``n + 1 … WHERE n < 40``) has as many turns as its condition says; one that goes along the
rows of a table ends with them. What a counted recursion hands on may grow by a little at each turn, never by a factor,
unless the turns are few.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import written
from rsql_magic.sql.dialects.records import names
from rsql_magic.sql.guard.size import made_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Turns after which what doubles is a million times as large.
FEW_TURNS = 20
# Most rows that a recursion may make.
MAX_GROWN = 1e11

_JOINS_TEXT = (exp.DPipe, exp.Concat, exp.ConcatWs, exp.ArrayConcat)
# Functions whose result is no larger than what they take.
_KEEPING = (
    exp.Abs,
    exp.Case,
    exp.Cast,
    exp.Ceil,
    exp.Coalesce,
    exp.Extract,
    exp.Floor,
    exp.Greatest,
    exp.If,
    exp.Least,
    exp.Left,
    exp.Length,
    exp.Lower,
    exp.Nullif,
    exp.Right,
    exp.Round,
    exp.Sign,
    exp.StrPosition,
    exp.Substring,
    exp.Trim,
    exp.Upper,
    exp.And,
    exp.Or,
    exp.AggFunc,
)
_KEEPING_NAMES = names(
    """
    array_append array_prepend cos date datetime dateadd date_add date_sub exp extract instr julianday left list_append
    list_prepend ln log log10 ltrim mod nullif power pow random right rtrim sin split_part sqrt strftime strpos substr
    substring tan time timestamp to_char to_date to_timestamp trim truncate
    """
)
_ONLY_MOVED = (exp.Column, exp.Literal, exp.Add, exp.Sub, exp.Neg, exp.Cast, exp.Paren, exp.Interval, exp.Identifier)


def refuse_growth(member: exp.Select, cte: exp.Expr, steps: Mapping[str, int], turns: float, text: str) -> None:
    """Refuse a recursive part that multiplies what it hands on."""
    # ``steps`` says how it changes its columns: counts up (1) or down (-1), or hands on as they are (0); ``turns``
    # how often it runs at most, as far as its text says.
    if turns <= FEW_TURNS:
        return
    own = _aliases(member, cte)
    for projection in member.expressions:
        for node in projection.find_all(exp.Func, *_JOINS_TEXT):
            if _multiplies(node, steps, own):
                raise _refused(node, cte, text)
    if math.log(_factor(member, cte)) * turns > math.log(MAX_GROWN):
        raise _refused(member, cte, text)


def _refused(node: exp.Expr, cte: exp.Expr, text: str) -> QueryRejected:
    return QueryRejected(
        f"The recursion of {cte.alias} multiplies what it makes at each turn.",
        piece=written(node, text),
        hint=f"Let it add to it instead, or stop it after {FEW_TURNS} turns.",
        repairable=True,
    )


def _aliases(member: exp.Select, cte: exp.Expr) -> set[str]:
    """The names before a dot that mean the recursion itself."""
    name = cte.alias.casefold()
    return {at.alias_or_name.casefold() for at in member.find_all(exp.Table) if at.name.casefold() == name} | {""}


def _multiplies(node: exp.Expr, steps: Mapping[str, int], own: set[str]) -> bool:
    """Whether a text, list or number is made of more than one that grows, or by what makes it longer."""
    columns = [column for column in node.find_all(exp.Column) if column.table.casefold() in own]
    grown = [column for column in columns if column.name.casefold() not in steps]  # no counter, nor handed on as it is
    if not grown or _is_keeping(node):
        return False
    if isinstance(node, _JOINS_TEXT):
        return len(grown) > 1
    if isinstance(node, exp.Replace):
        return len(_constant(node.args.get("replacement"))) > len(_constant(node.expression))
    return True


def _is_keeping(node: exp.Expr) -> bool:
    if isinstance(node, _KEEPING) or (isinstance(node, exp.Anonymous) and node.name.lower() in _KEEPING_NAMES):
        return True
    kind = type(node).__name__
    return any(word in kind for word in ("Date", "Time", "Ts", "Day", "Month", "Year", "Array", "Struct")) and (
        not isinstance(node, _JOINS_TEXT)
    )


def _constant(node: exp.Expr | None) -> str:
    return node.name if isinstance(node, exp.Literal) else "a long text, as far as is known" if node is not None else ""


def _factor(member: exp.Select, cte: exp.Expr) -> float:
    """How many rows a turn makes of each."""
    factor = math.prod(_made(projection) for projection in member.expressions)
    name = cte.alias.casefold()
    itself = 0
    for source in _sources(member):
        if isinstance(source, exp.Table) and source.name.casefold() == name and not source.args.get("db"):
            itself += 1
        elif not _is_linked(member, source):
            factor *= _rows(source)
    return factor * (2.0 if itself > 1 and not _is_linked(member, None) else 1.0)


def _made(projection: exp.Expr) -> float:
    """Rows that a function in a SELECT makes: ``unnest([1, 2, 3])`` three."""
    made = 1.0
    for node in projection.find_all(exp.Unnest, exp.Explode, exp.GenerateSeries):
        made = max(made, _rows(node))
    return made


def _rows(source: exp.Expr) -> float:
    """Least rows of a source; a table or a list of unknown length is taken to have two."""
    if isinstance(source, (exp.Subquery, exp.Lateral, exp.Table)) and isinstance(source.this, exp.Expr):
        return 2.0 if isinstance(source.this, exp.Identifier) else _rows(source.this)
    if isinstance(source, exp.Values):
        return float(len(source.expressions))
    if isinstance(source, (exp.Select, exp.SetOperation)):
        return float(sum(1 for _ in source.find_all(exp.Select)))
    lists = [len(part.expressions) for part in source.find_all(exp.Array)]
    made = made_rows(source)
    return float(max([*lists, made if made is not None else 2.0]))


def _sources(member: exp.Select) -> Iterator[exp.Expr]:
    from_ = member.args.get("from_")
    if from_ is not None:
        yield from_.this
    for join in member.args.get("joins") or ():
        yield join.this
    yield from member.args.get("laterals") or ()


def _is_linked(member: exp.Select, source: exp.Expr | None) -> bool:
    """Whether an equality links a source to another; None asks for any equality."""
    conditions = [join.args["on"] for join in member.args.get("joins") or () if join.args.get("on") is not None]
    conditions += [member.args["where"].this] if member.args.get("where") is not None else []
    if any(
        join.args.get("using") or str(join.args.get("method")).upper() == "NATURAL"
        for join in member.args.get("joins") or ()
    ):
        return True
    name = source.alias_or_name.casefold() if source is not None else ""
    for condition in conditions:
        for equal in condition.find_all(exp.EQ):
            tables = {column.table.casefold() for column in equal.find_all(exp.Column)}
            if is_exact(equal) and len(tables) > 1 and (not name or name in tables):
                return True
            if is_exact(equal) and tables == {""} and len(list(equal.find_all(exp.Column))) > 1:
                return True
    return False


def is_exact(equal: exp.Expr) -> bool:
    """Whether an equality compares columns as they are, or moved: ``a.x = b.x + 1``, but not ``a.x % 1 = b.x % 1``."""
    return all(isinstance(node, (exp.EQ, *_ONLY_MOVED)) for node in equal.walk() if not isinstance(node, exp.DataType))
