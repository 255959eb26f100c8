"""How large a number in a query can be, as far as its own text says."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable


def _power(base: float, exponent: float) -> float:
    try:
        result = base**exponent
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return result if isinstance(result, float | int) else math.inf


_TWO: dict[type[exp.Expr], Callable[[float, float], float]] = {
    exp.Add: lambda a, b: a + b,
    exp.Sub: lambda a, b: a - b,
    exp.Mul: lambda a, b: a * b,
    exp.Div: lambda a, b: a / b if b else math.inf,
    exp.IntDiv: lambda a, b: a // b if b else math.inf,
    exp.Mod: lambda a, b: math.fmod(a, b) if b else math.inf,
    exp.Pow: _power,
    exp.BitwiseLeftShift: lambda a, b: a * _power(2, b),
    exp.BitwiseRightShift: lambda a, b: a / _power(2, b),
    exp.BitwiseOr: lambda a, b: abs(a) + abs(b),
    exp.BitwiseXor: lambda a, b: abs(a) + abs(b),
}
_ONE: dict[type[exp.Expr], Callable[[float], float]] = {
    exp.Abs: abs,
    exp.BitwiseNot: lambda _: float(2**63),
    exp.Exp: lambda a: _power(math.e, a),
    exp.Neg: lambda a: -a,
}
_SAME = (exp.Alias, exp.Cast, exp.Ceil, exp.Floor, exp.Paren, exp.Round, exp.Subquery, exp.ToNumber)


def value(node: exp.Expr | None) -> float | None:
    """What an expression of constants comes to, or None when it depends on anything else.

    Example:
        >>> from sqlglot import parse_one
        >>> value(parse_one("2 * 10 ** 3", dialect="duckdb")), value(parse_one("x + 1"))
        (2000.0, None)
    """
    if isinstance(node, exp.Literal):
        return _number(node.name)
    if isinstance(node, _SAME):
        return value(node.this)
    if isinstance(node, exp.Select):  # as a subquery: (SELECT 1000)
        return value(node.expressions[0]) if len(node.expressions) == 1 and not node.args.get("from_") else None
    return _operation(node)


def _operation(node: exp.Expr | None) -> float | None:
    if isinstance(node, exp.HexString):
        return float(int(node.name or "0", 16))
    kind = type(node)
    if node is None or not (kind in _ONE or kind in _TWO):
        return None
    left = value(node.this)
    if left is None or kind in _ONE:
        return None if left is None else _ONE[kind](left)
    right = value(node.expression)
    return None if right is None else _TWO[kind](left, right)


def magnitude(node: exp.Expr | None) -> float:
    """The largest number that an expression of constants below a node comes to, without its sign; 0 when there is none.

    Example:
        >>> from sqlglot import parse_one
        >>> magnitude(parse_one("length(x) * 1000000000"))
        1000000000.0
    """
    if node is None:
        return 0.0
    known = value(node)
    if known is not None:
        return abs(known)
    if isinstance(node, exp.Mul):
        return max(magnitude(node.this), 1.0) * max(magnitude(node.expression), 1.0)
    return max((magnitude(child) for child in node.iter_expressions()), default=0.0)


_SECONDS = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "us": 1e-6,
    "millisecond": 1e-3,
    "ms": 1e-3,
    "second": 1.0,
    "sec": 1.0,
    "minute": 60.0,
    "min": 60.0,
    "hour": 3_600.0,
    "day": 86_400.0,
    "week": 7 * 86_400.0,
    "month": 30 * 86_400.0,
    "quarter": 91 * 86_400.0,
    "year": 365 * 86_400.0,
}
_SPAN = re.compile(r"\s*([\d.]*)\s*([a-z]*?)s?\s*", re.IGNORECASE)


def seconds_of(node: exp.Expr | None) -> float | None:
    """How long an interval of one constant is, or None when it is something else.

    Example:
        >>> from sqlglot import parse_one
        >>> seconds_of(parse_one("INTERVAL '2 hours'")), seconds_of(parse_one("x"))
        (7200.0, None)
    """
    if isinstance(node, (exp.Cast, exp.Paren)):
        return seconds_of(node.this)
    if isinstance(node, exp.Literal) and node.is_string:
        return _span(node.name)
    if not isinstance(node, exp.Interval) or not isinstance(node.this, exp.Literal):
        return None
    unit = node.args.get("unit")
    return _span(f"{node.this.name} {unit.name if unit is not None else ''}")


def _span(text: str) -> float | None:
    found = _SPAN.fullmatch(text)
    seconds = _SECONDS.get(found[2].lower()) if found else None
    count = _number(found[1] or "1") if found else None
    return None if seconds is None or count is None else count * seconds


def moment(node: exp.Expr | None) -> float | None:
    """A date written as a constant, in seconds since 1970, or None when it is something else.

    Example:
        >>> from sqlglot import parse_one
        >>> moment(parse_one("DATE '1970-01-02'"))
        86400.0
    """
    if isinstance(node, exp.Literal) and node.is_string:
        try:
            written = datetime.fromisoformat(node.name.strip())
        except ValueError:
            return None
        return written.replace(tzinfo=written.tzinfo or UTC).timestamp()
    inside = node.this if isinstance(node, (exp.Cast, exp.TsOrDsToDate, exp.Date, exp.Timestamp, exp.Paren)) else None
    return moment(inside) if inside is not None else None


def _number(text: str) -> float | None:
    try:
        return float(text.replace("_", ""))
    except ValueError:
        return None
