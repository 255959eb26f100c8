"""Work without end: rows, lists and texts that a few words ask an engine to make, at once or turn by turn."""

# Timeouts and memory caps of the engines are the limit that always holds. This refuses what is certain from the text
# alone, because some of it breaks a whole process before a timeout is looked at (``zeroblob(2e9)``), and because a
# message in words is better than a timeout. Sizes are upper bounds from the constants in the query; a size that depends
# on data is let through.

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import written
from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# Most rows or list elements that one function may make.
MAX_ROWS = 10_000_000
# Most characters or bytes that one function may make.
MAX_TEXT = 1_000_000
# Most characters that functions inside each other may make.
MAX_TOTAL_TEXT = 100_000_000
# Largest argument of a factorial; PostgreSQL multiplies all of them, in a number as long as it gets.
MAX_FACTORIAL = 10_000
# Most digits of a number that a power of constants comes to; PostgreSQL computes all of them.
MAX_DIGITS = 1_000
# Most columns of CUBE: it makes two to the power of that many groupings.
MAX_CUBE = 10
# Most wildcards in one LIKE pattern; each may multiply the time.
MAX_WILDCARDS = 12

_TEXT_MAKERS = names(
    "bar bitstring crypt_gen_random lpad random_bytes randomblob randstr repeat replicate rpad space zeroblob"
)
_LIST_MAKERS = names(
    """
    array_fill array_generate_range array_repeat array_resize generate_array generate_series list_resize
    normal_rand numbers numbers_mt range repeat_row sequence
    """
)
# Seconds between two ends that are no constants, such as now() and a column: a guess that lets usual series pass.
_MONTH = 30 * 86_400.0
# Functions whose pattern may ask for a width: ``%1000000000d``.
_FORMATTERS = names("printf format format_string formatmessage sformat")
_SERIES = (exp.GenerateSeries, exp.GenerateDateArray, exp.GenerateTimestampArray)
# Field widths of printf that are worth a look; shorter ones make no long text.
_WIDTH = re.compile(r"\d{5,}")


def refuse_too_large(nodes: Iterable[exp.Expr], text: str, dialect: str) -> None:
    """Refuse functions that make more than a query can need."""
    for node in nodes:
        if isinstance(node, (exp.Like, exp.ILike, exp.Glob)):
            _pattern(node, text)
        elif isinstance(node, exp.Cube) and len(node.expressions) > MAX_CUBE:
            raise _too_much(node, text, 2.0 ** len(node.expressions), f"groupings; {2**MAX_CUBE:,}")
        elif isinstance(node, (exp.Func, exp.Pow)):
            _function(node, text, dialect)


def made_rows(node: exp.Expr | None, dialect: str = "") -> float | None:
    """How many rows or elements a function makes, or None when it is not one that makes many."""
    if isinstance(node, _SERIES):
        return _series(node, dialect)
    if isinstance(node, exp.Generator):
        count = node.args.get("rowcount")
        return magnitude(count) if count is not None else math.inf
    if isinstance(node, (exp.Unnest, exp.Explode)):
        made = [made_rows(part, dialect) for part in (node.this, *node.expressions) if isinstance(part, exp.Expr)]
        return max((m for m in made if m is not None), default=None)
    # repeat() in FROM makes rows in some dialects, and a text elsewhere.
    if isinstance(node, exp.Repeat) and isinstance(node.parent, exp.Table):
        return magnitude(node.args.get("times"))
    return _largest(node) if isinstance(node, exp.Anonymous) and _name(node) in _LIST_MAKERS else None


def _largest(node: exp.Func) -> float:
    """The largest number among a function's arguments; a list of numbers counts as their product."""
    # As in ``array_fill(0, ARRAY[1000, 1000])``.
    sizes = (
        math.prod(max(magnitude(each), 1.0) for each in part.expressions)
        if isinstance(part, exp.Array)
        else magnitude(part)
        for part in node.expressions
    )
    return max(sizes, default=0.0)


def _series(node: exp.Func, dialect: str) -> float:
    start, end, step = (node.args.get(part) for part in ("start", "end", "step"))
    if end is None:
        return math.inf if dialect_of(dialect).endless_series else magnitude(start)
    low, high, by = value(start), value(end), value(step) if step is not None else 1.0
    if low is None or high is None or by is None:
        return _moments(start, end, step) or max(magnitude(start), magnitude(end))
    return abs(high - low) / abs(by) if by else math.inf


def _moments(start: exp.Expr | None, end: exp.Expr | None, step: exp.Expr | None) -> float | None:
    """The steps between two dates; ends such as now() are taken to be a month apart, and their intervals more."""
    if (by := seconds_of(step)) is None:
        return None
    low, high = moment(start), moment(end)
    if low is not None and high is not None:
        apart = abs(high - low)
    else:
        spans = (seconds_of(span) for part in (start, end) if part is not None for span in part.find_all(exp.Interval))
        apart = _MONTH + sum(span for span in spans if span is not None)
    return apart / by if by else math.inf


def _function(node: exp.Expr, text: str, dialect: str) -> None:
    rows = made_rows(node, dialect)
    if rows is not None and rows > MAX_ROWS:
        raise _too_much(node, text, rows, f"rows or elements; {MAX_ROWS:,}")
    if isinstance(node, exp.Factorial) and magnitude(node.this) > MAX_FACTORIAL:
        raise _too_much(node, text, magnitude(node.this), f"factors; {MAX_FACTORIAL:,}")
    if _digits(node) > MAX_DIGITS:
        raise _too_much(node, text, _digits(node), f"digits; {MAX_DIGITS:,}")
    own = max(_own_text(node) or 0.0, _width(node))
    if own > MAX_TEXT:
        raise _too_much(node, text, own, f"characters; {MAX_TEXT:,}")
    if (own or isinstance(node, exp.Replace)) and (total := text_length(node)) > MAX_TOTAL_TEXT:
        raise _too_much(node, text, total, f"characters; {MAX_TOTAL_TEXT:,}")


def _digits(node: exp.Expr) -> float:
    """How many digits a power comes to; a base that is no constant counts as ten."""
    if isinstance(node, exp.Exp):
        return abs(value(node.this) or 0.0) * math.log10(math.e)
    if not isinstance(node, exp.Pow):
        return 0.0
    base = value(node.this)
    size = abs(math.log10(abs(base))) if base and abs(base) != math.inf else 0.0 if base is not None else 1.0
    return magnitude(node.expression) * (math.inf if base == math.inf else size)


def _own_text(node: exp.Expr) -> float | None:
    """How many characters, or how many times its argument, a function makes."""
    if isinstance(node, exp.Repeat):
        return magnitude(node.args.get("times"))
    if isinstance(node, exp.Pad):
        return magnitude(node.expression)
    if isinstance(node, (exp.Space, exp.Randstr)):
        return magnitude(node.this)
    if isinstance(node, exp.Anonymous) and _name(node) in _TEXT_MAKERS:
        return _largest(node)
    return None


def text_length(node: exp.Expr | None) -> float:
    """An upper bound of the characters that an expression of constants makes; columns count as one."""
    if node is None:
        return 0.0
    if isinstance(node, exp.Literal):
        return float(len(node.name))
    own = _own_text(node)
    if isinstance(node, exp.Repeat):
        return text_length(node.this) * (own or 1.0)
    if isinstance(node, exp.Replace):
        return text_length(node.this) * max(text_length(node.args.get("replacement")), 1.0)
    parts = sum(text_length(child) for child in node.iter_expressions())
    return max(own or 0.0, parts, 1.0)


def _width(node: exp.Expr) -> float:
    """The widest field of ``printf('%1000000000d', 1)`` or ``printf('%.*c', 1000000000, 'x')``."""
    if not (isinstance(node, exp.Format) or _name(node) in _FORMATTERS):
        return 0.0
    parts = [part for part in (node.args.get("this"), *node.expressions) if isinstance(part, exp.Expr)]
    pattern = parts[0].name if parts and isinstance(parts[0], exp.Literal) else ""
    widths = [float(width) for width in _WIDTH.findall(pattern)]
    if "*" in pattern:
        widths += [magnitude(part) for part in parts[1:]]
    return max(widths, default=0.0)


def _pattern(node: exp.Expr, text: str) -> None:
    pattern = node.expression.name if isinstance(node.expression, exp.Literal) else ""
    wildcards = len(re.findall(r"[%*]+", pattern))
    if wildcards > MAX_WILDCARDS:
        reason = f"A pattern with {wildcards} wildcards can take forever; {MAX_WILDCARDS} are allowed."
        raise QueryRejected.slip(reason, written(node, text))


def _name(node: exp.Expr | None) -> str:
    return node.name.lower() if isinstance(node, exp.Anonymous) else ""


def _too_much(node: exp.Expr, text: str, much: float, allowed: str) -> QueryRejected:
    name = text[node.meta["start"] : node.meta["end"] + 1] if "start" in node.meta else type(node).__name__.upper()
    amount = f"{much:,.0f}" if much < 1e15 else "endlessly many"
    hint = "Ask for less, or let the data decide how much."
    return QueryRejected.slip(f"{name} would make {amount} {allowed} are allowed.", written(node, text), hint)


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
    exp.BitwiseNot: lambda _: float(2**63),  # ~0 is the largest number there is.
    exp.Exp: lambda a: _power(math.e, a),
    exp.Neg: lambda a: -a,
}
# What leaves a number as large as it is, near enough for a bound.
_SAME = (exp.Alias, exp.Cast, exp.Ceil, exp.Floor, exp.Paren, exp.Round, exp.Subquery, exp.ToNumber)


def value(node: exp.Expr | None) -> float | None:
    """What an expression of constants comes to, or None when it depends on anything else."""
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
    """The largest number, without its sign, that constants below a node come to; 0 when there are none."""
    if node is None:
        return 0.0
    if (known := value(node)) is not None:
        return abs(known)
    if isinstance(node, exp.Mul):
        return max(magnitude(node.this), 1.0) * max(magnitude(node.expression), 1.0)
    return max((magnitude(child) for child in node.iter_expressions()), default=0.0)


_SECONDS = {"nanosecond": 1e-9, "microsecond": 1e-6, "us": 1e-6, "millisecond": 1e-3, "ms": 1e-3, "second": 1.0}
_SECONDS |= {"sec": 1.0, "minute": 60.0, "min": 60.0, "hour": 3_600.0, "day": 86_400.0, "week": 7 * 86_400.0}
_SECONDS |= {"month": 30 * 86_400.0, "quarter": 91 * 86_400.0, "year": 365 * 86_400.0}
_SPAN = re.compile(r"\s*([\d.]*)\s*([a-z]*?)s?\s*", re.IGNORECASE)


def seconds_of(node: exp.Expr | None) -> float | None:
    """How long an interval of one constant is, or None when it is something else."""
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
    """A date written as a constant, in seconds since 1970, or None when it is something else."""
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


# Recursion that grows: a text that doubles at each turn is a gigabyte after thirty, and so are rows that do. A
# recursion that counts (``n + 1 … WHERE n < 40``) has as many turns as its condition says; one that goes along the
# rows of a table ends with them. What a counted recursion hands on may grow by a little at each turn, never by a
# factor, unless the turns are few.

# Turns after which what doubles is a million times as large.
FEW_TURNS = 20
# Most rows that a recursion may make.
MAX_GROWN = 1e11

_JOINS_TEXT = (exp.DPipe, exp.Concat, exp.ConcatWs, exp.ArrayConcat)
# Functions whose result is no larger than what they take.
_CHOOSING = (exp.Case, exp.Coalesce, exp.Greatest, exp.If, exp.Least, exp.Nullif, exp.And, exp.Or, exp.AggFunc)
_OF_NUMBERS = (exp.Abs, exp.Cast, exp.Ceil, exp.Extract, exp.Floor, exp.Round, exp.Sign)
_OF_TEXTS = (exp.Left, exp.Length, exp.Lower, exp.Right, exp.StrPosition, exp.Substring, exp.Trim, exp.Upper)
_KEEPING = (*_CHOOSING, *_OF_NUMBERS, *_OF_TEXTS)
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
    name = cte.alias.casefold()
    # The names before a dot that mean the recursion itself.
    own = {at.alias_or_name.casefold() for at in member.find_all(exp.Table) if at.name.casefold() == name} | {""}
    for projection in member.expressions:
        for node in projection.find_all(exp.Func, *_JOINS_TEXT):
            if _multiplies(node, steps, own):
                raise _refused(node, cte, text)
    if math.log(_factor(member, cte)) * turns > math.log(MAX_GROWN):
        raise _refused(member, cte, text)


def _refused(node: exp.Expr, cte: exp.Expr, text: str) -> QueryRejected:
    hint = f"Let it add to it instead, or stop it after {FEW_TURNS} turns."
    reason = f"The recursion of {cte.alias} multiplies what it makes at each turn."
    return QueryRejected.slip(reason, written(node, text), hint)


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
            factor *= _source_rows(source)
    return factor * (2.0 if itself > 1 and not _is_linked(member, None) else 1.0)


def _made(projection: exp.Expr) -> float:
    """Rows that a function in a SELECT makes: ``unnest([1, 2, 3])`` three."""
    return max([1.0, *map(_source_rows, projection.find_all(exp.Unnest, exp.Explode, exp.GenerateSeries))])


def _source_rows(source: exp.Expr) -> float:
    """Least rows of a source; a table or a list of unknown length is taken to have two."""
    if isinstance(source, (exp.Subquery, exp.Lateral, exp.Table)) and isinstance(source.this, exp.Expr):
        return 2.0 if isinstance(source.this, exp.Identifier) else _source_rows(source.this)
    if isinstance(source, exp.Values):
        return float(len(source.expressions))
    if isinstance(source, (exp.Select, exp.SetOperation)):
        return float(sum(1 for _ in source.find_all(exp.Select)))
    # Lists are as long as they are written.
    lists = [len(part.expressions) for part in source.find_all(exp.Array)]
    made = made_rows(source)
    return float(max([*lists, made if made is not None else 2.0]))


def _sources(member: exp.Select) -> Iterator[exp.Expr]:
    if (from_ := member.args.get("from_")) is not None:
        yield from_.this
    for join in member.args.get("joins") or ():
        yield join.this
    yield from member.args.get("laterals") or ()


def _is_linked(member: exp.Select, source: exp.Expr | None) -> bool:
    """Whether an equality links a source to another; None asks for any equality."""
    joins = member.args.get("joins") or ()
    if any(join.args.get("using") or str(join.args.get("method")).upper() == "NATURAL" for join in joins):
        return True
    conditions = [join.args["on"] for join in joins if join.args.get("on") is not None]
    conditions += [member.args["where"].this] if member.args.get("where") is not None else []
    name = source.alias_or_name.casefold() if source is not None else ""
    for condition in conditions:
        for equal in condition.find_all(exp.EQ):
            tables = [column.table.casefold() for column in equal.find_all(exp.Column)] if is_exact(equal) else []
            several = len(set(tables)) > 1 and (not name or name in tables)
            if several or (len(tables) > 1 and not any(tables)):
                return True
    return False


def is_exact(equal: exp.Expr) -> bool:
    """Whether an equality compares columns as they are, or moved: ``a.x = b.x + 1``, but not ``a.x % 1 = b.x % 1``."""
    return all(isinstance(node, (exp.EQ, *_ONLY_MOVED)) for node in equal.walk() if not isinstance(node, exp.DataType))
