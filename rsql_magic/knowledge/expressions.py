"""The expression language of data-dict.yaml: parsed, checked, and written as SQL of DuckDB.

The language is described at https://data-dict.tidyverse.org/expressions.html. An expression reads one row at a time,
and aggregates fold a column over all rows; where both meet, the aggregate becomes a window over the whole table. Names
of other definitions stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from rsql_magic.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

# Types: ``any`` is a value whose type no longer matters, ``unknown`` that of a column without a declared type.
ORDERED = ("number", "string", "date", "datetime")
CONST, AGGREGATE, ROW = 0, 1, 2  # shapes: an operator has the largest of its operands'
DEEPEST = 100

_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<string>'(?:[^']|'')*')|(?P<quoted>`(?:[^`]|``)+`)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><>|!=|<=|>=|[=<>()+\-*/,.\[\]])"
)
_SPACE = re.compile(r"[ \t\r\n\f]*")
_RESERVED = frozenset(
    {"and", "or", "not", "is", "between", "in", "like", "similar", "to", "when", "then", "else", "end"}
)  # besides those that begin something: `_Parser.named`
_UNITS = {f"{unit}s": unit.upper() for unit in ("second", "minute", "hour", "day", "week")}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives; a type of ``same`` is that of its argument."""

    sql: str
    arguments: tuple[str, ...]  # types allowed; empty for all
    result: str
    counts: tuple[int, ...] = (1,)
    aggregate: bool = False


_NUMBER, _TEXT, _TRUTH = ("number",), ("string",), ("boolean",)
FUNCTIONS = {
    "length": Signature("length", _TEXT, "number"),
    "lower": Signature("lower", _TEXT, "string"),
    "upper": Signature("upper", _TEXT, "string"),
    "trim": Signature("trim", _TEXT, "string"),
    "starts_with": Signature("starts_with", _TEXT, "boolean", (2,)),
    "ends_with": Signature("ends_with", _TEXT, "boolean", (2,)),
    "abs": Signature("abs", _NUMBER, "number"),
    "floor": Signature("floor", _NUMBER, "number"),
    "ceil": Signature("ceil", _NUMBER, "number"),
    "round": Signature("round", _NUMBER, "number", (1, 2)),
    "mod": Signature("mod", _NUMBER, "number", (2,)),
    "is_finite": Signature("isfinite", _NUMBER, "boolean"),
    "is_infinite": Signature("isinf", _NUMBER, "boolean"),
    "is_nan": Signature("isnan", _NUMBER, "boolean"),
    "min": Signature("min", ORDERED, "same", aggregate=True),
    "max": Signature("max", ORDERED, "same", aggregate=True),
    "sum": Signature("sum", _NUMBER, "number", aggregate=True),
    "avg": Signature("avg", _NUMBER, "number", aggregate=True),
    "count": Signature("count", (), "number", aggregate=True),
    "count_distinct": Signature("count", ORDERED, "number", aggregate=True),
    "row_count": Signature("count", (), "number", (0,), aggregate=True),
    "any": Signature("bool_or", _TRUTH, "boolean", aggregate=True),
    "all": Signature("bool_and", _TRUTH, "boolean", aggregate=True),
}


class Malformed(Exception):
    """An expression that is not one of the language; ``at`` is the place of the offending token."""

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.message, self.at = message, at


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: what it is, its parts, and what it says itself."""

    kind: str
    parts: tuple[Node, ...] = ()
    value: Any = None

    def walk(self) -> Iterator[Node]:
        """It and everything below it."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(frozen=True, slots=True)
class ExpressionScope:
    """What names an expression may use: columns with their types, fields by dotted path, other definitions."""

    columns: Mapping[str, str]
    fields: Mapping[str, str] = field(default_factory=dict)
    # Type, shape and expression of each other definition
    definitions: Mapping[str, tuple[str, int, Node]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedExpression:
    """What is known of an expression."""

    type: str
    shape: int
    problems: tuple[tuple[str, str], ...] = ()  # code and message of each


_CONSTANTS = {
    "true": Node("boolean", value=True),
    "false": Node("boolean", value=False),
    "null": Node("nothing"),
    "inf": Node("number", value=float("inf")),
    "nan": Node("number", value=float("nan")),
}


# Parsing


def parse_expression(text: str) -> Node:
    """The tree of an expression.

    Raises:
        Malformed: It does not follow the grammar, or is nested too deeply.

    Example:
        >>> parse_expression("NOT a OR b").kind
        'or'
    """
    parser = _Parser(text)
    tree = parser.expression()
    parser.end()
    return tree


class _Parser:
    """A recursive-descent parser over tokens."""

    def __init__(self, text: str) -> None:
        self.text, self.place, self.depth = text, 0, 0
        self.tokens: list[tuple[str, str, int]] = []
        at = _SPACE.match(text).end()  # type: ignore[union-attr]
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise Malformed(f"unexpected {text[at]!r}", at)
            self.tokens.append((match.lastgroup or "", match[0], at))
            at = _SPACE.match(text, match.end()).end()  # type: ignore[union-attr]
        self.tokens.append(("end", "", len(text)))

    @property
    def token(self) -> tuple[str, str, int]:
        return self.tokens[self.place]

    def wrong(self, message: str) -> Malformed:
        kind, written, at = self.token
        return Malformed(f"{message}, found {'the end' if kind == 'end' else repr(written)}", at)

    def end(self) -> None:
        if self.token[0] != "end":
            raise self.wrong("expected the end")

    def sign(self, *signs: str) -> str:
        """Take one of these signs if it is next."""
        kind, written, _ = self.token
        if kind == "sign" and written in signs:
            self.place += 1
            return written
        return ""

    def word(self, word: str) -> bool:
        """Take a keyword if it is next."""
        kind, written, _ = self.token
        if kind == "name" and written.lower() == word:
            self.place += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.sign(sign):
            raise self.wrong(f"expected {sign!r}")

    def need_word(self, word: str) -> None:
        if not self.word(word):
            raise self.wrong(f"expected {word.upper()}")

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong("the expression is nested too deeply")
        tree = self.chain("or", lambda: self.chain("and", self.negation))
        self.depth -= 1
        return tree

    def chain(self, word: str, part: Callable[[], Node]) -> Node:
        tree = part()
        while self.word(word):
            tree = Node(word, (tree, part()))
        return tree

    def negation(self) -> Node:
        times = 0
        while self.word("not"):
            times += 1
        tree = self.predicate()
        for _ in range(min(times, DEEPEST)):
            tree = Node("not", (tree,))
        return tree

    def predicate(self) -> Node:
        left = self.sum()
        if sign := self.sign("=", "!=", "<>", "<", "<=", ">", ">="):
            return Node("compare", (left, self.sum()), "<>" if sign == "!=" else sign)
        if self.word("is"):
            left = Node("null", (left,), self.word("not"))
            self.need_word("null")
            return left
        negated = self.word("not")
        if self.word("between"):
            low = self.sum()
            self.need_word("and")
            return Node("between", (left, low, self.sum()), negated)
        if self.word("in"):
            self.need("(")
            return Node("in", (left, *self.listed()), negated)
        if negated or self.token[1].lower() in {"like", "similar"}:
            return self.pattern(left, negated=negated)
        return left

    def pattern(self, left: Node, *, negated: bool) -> Node:
        """What follows a text: LIKE or SIMILAR TO, and a pattern."""
        if self.word("like"):
            return Node("like", (left, self.sum()), negated)
        if not self.word("similar"):
            raise self.wrong("expected BETWEEN, IN, LIKE or SIMILAR TO after NOT")
        self.need_word("to")
        return Node("similar", (left, self.sum()), negated)

    def listed(self) -> tuple[Node, ...]:
        """One expression or more, up to a closing parenthesis."""
        found = [self.expression()]
        while self.sign(","):
            found.append(self.expression())
        self.need(")")
        return tuple(found)

    def sum(self) -> Node:
        tree = self.product()
        while sign := self.sign("+", "-"):
            tree = Node("arithmetic", (tree, self.product()), sign)
        return tree

    def product(self) -> Node:
        tree = self.signed()
        while sign := self.sign("*", "/"):
            tree = Node("arithmetic", (tree, self.signed()), sign)
        return tree

    def signed(self) -> Node:
        times = 0
        while self.sign("-"):
            times += 1
            if times > DEEPEST:
                raise self.wrong("the expression is nested too deeply")
        tree = self.primary()
        for _ in range(times):
            tree = Node("negative", (tree,))
        return tree

    def primary(self) -> Node:
        kind, written, at = self.token
        if self.sign("("):
            tree = self.expression()
            self.need(")")
            return tree
        if kind == "string":
            self.place += 1
            return Node("string", value=_unquoted(written))
        if kind == "quoted":
            return self.column()
        if kind == "number":
            self.place += 1
            if "." in written:
                number = float(written)
                if number == float("inf"):
                    raise Malformed(f"{written[:20]}… is too large for a number", at)
                return Node("number", value=number)
            if len(written) > 30 or int(written) >= 2**63:
                raise Malformed(f"{written[:30]} is too large for an integer of 64 bits", at)
            return Node("number", value=int(written))
        if kind == "name":
            return self.named(written.lower())
        raise self.wrong("expected an expression")

    def named(self, word: str) -> Node:
        if word in _CONSTANTS:
            self.place += 1
            return _CONSTANTS[word]
        begun = {"case": self.case, "columns": self.columns, "now": self.now, "interval": self.interval}
        if word in begun:
            self.place += 1
            return begun[word]()
        if word in _RESERVED:
            raise self.wrong("expected an expression")
        if self.tokens[self.place + 1][1] == "(":
            self.place += 2
            return Node("call", () if self.sign(")") else self.listed(), word)
        return self.column()

    def now(self) -> Node:
        self.need("(")
        self.need(")")
        return Node("now")

    def interval(self) -> Node:
        self.need("(")
        amount = self.expression()
        self.need(",")
        if self.token[0] != "name":
            raise self.wrong("expected a unit of time")
        unit = self.name().lower()
        self.need(")")
        return Node("interval", (amount,), unit)

    def column(self) -> Node:
        path = [self.name()]
        while self.token[1] == "." and _adjoin(*self.tokens[self.place - 1 : self.place + 1]):
            self.place += 1
            if self.token[0] not in {"name", "quoted"} or not _adjoin(*self.tokens[self.place - 1 : self.place + 1]):
                raise self.wrong("expected a field after the dot")
            path.append(self.name())
        return Node("column", value=tuple(path))

    def name(self) -> str:
        kind, written, _ = self.token
        self.place += 1
        return written[1:-1].replace("``", "`") if kind == "quoted" else written

    def columns(self) -> Node:
        self.need("(")
        chosen: Any = None
        if self.sign("*"):
            chosen = "*"
        elif self.token[0] == "string":
            chosen = ("regex", _unquoted(self.token[1]))
            self.place += 1
        elif self.sign("["):
            names = []
            while True:
                if self.token[0] not in {"name", "quoted"}:
                    raise self.wrong("expected a column")
                names.append(self.name())
                if not self.sign(","):
                    break
            self.need("]")
            chosen = ("names", tuple(names))
        else:
            raise self.wrong("expected *, a regular expression or [names]")
        self.need(")")
        return Node("columns", value=chosen)

    def case(self) -> Node:
        parts: list[Node] = []
        while self.word("when"):
            parts.append(self.expression())
            self.need_word("then")
            parts.append(self.expression())
        if not parts:
            raise self.wrong("expected WHEN")
        if self.word("else"):
            parts.append(self.expression())
        self.need_word("end")
        return Node("case", tuple(parts))


def _adjoin(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Whether no space stands between two tokens."""
    return one[2] + len(one[1]) == other[2]


def _unquoted(written: str) -> str:
    return written[1:-1].replace("''", "'")


# Checking


def check_expression(tree: Node, scope: ExpressionScope, *, boolean: bool = False) -> CheckedExpression:
    """Type, shape and problems of an expression; an assertion must be ``boolean``.

    Example:
        >>> check_expression(parse_expression("SUM(name)"), ExpressionScope({"name": "string"})).problems
        (('S21', 'SUM takes a number, not a string'),)
    """
    checker = _Checker(scope)
    found, shape = checker.type_of(tree), checker.shape_of(tree)
    selections = [node for node in tree.walk() if node.kind == "columns"]
    if boolean or selections:
        if tree.kind == "columns":
            checker.require_columns(tree, ("boolean",), "a condition")
        elif found == "unknown":
            checker.unknown(tree)
        elif found not in {"boolean", "any"}:
            what = "an assertion" if boolean else "an expression with COLUMNS(…)"
            checker.report("S21", f"{what} must be a condition, not {_a(found)}")
    elif found == "unknown":
        checker.unknown(tree)
    carried = [node for node in tree.walk() if _brings_selection(node, scope)]
    if len(selections) + len(carried) > 1:
        checker.report("S21", "an expression may use COLUMNS(…) once only")
    elif carried and found not in {"boolean", "any", "unknown"}:
        checker.report("S21", "an expression with COLUMNS(…) must be a condition")
    found = "boolean" if tree.kind == "columns" else found
    return CheckedExpression(found, shape, tuple(dict.fromkeys(checker.problems)))


def _brings_selection(node: Node, scope: ExpressionScope) -> bool:
    if node.kind != "column" or len(node.value) > 1 or node.value[0] in scope.columns:
        return False
    known = scope.definitions.get(node.value[0])
    return known is not None and any(
        part.kind == "columns" or _brings_selection(part, scope) for part in known[2].walk()
    )


def _a(type_name: str) -> str:
    return f"a{'n' * (type_name[0] in 'aeiou')} {type_name}"


_GIVEN = {"number": "number", "string": "string", "boolean": "boolean", "nothing": "any", "now": "datetime"}


class _Checker:
    """Types and shapes of nodes; a method for each kind of node."""

    def __init__(self, scope: ExpressionScope) -> None:
        self.scope = scope
        self.problems: list[tuple[str, str]] = []

    def report(self, code: str, message: str) -> str:
        self.problems.append((code, message))
        return "any"

    def unknown(self, node: Node) -> None:
        name = ".".join(node.value) if node.kind == "column" else "this value"
        self.report("S23", f"{name} has no declared type")

    def require(self, node: Node, allowed: Sequence[str], what: str) -> str:
        found = self.type_of(node)
        if node.kind == "columns":
            self.require_columns(node, allowed, what)
        elif found == "unknown":
            self.unknown(node)
        elif found != "any" and found not in allowed:
            self.report("S21", f"{what} takes {' or '.join(map(_a, allowed))}, not {_a(found)}")
        return found

    def require_columns(self, node: Node, allowed: Sequence[str], what: str) -> None:
        for name in selected(node, self.scope):
            found = self.scope.columns[name]
            if found == "unknown":
                self.report("S23", f"{name} has no declared type")
            elif found not in allowed:
                self.report("S21", f"{what} takes {' or '.join(map(_a, allowed))}, but {name} is {_a(found)}")

    def type_of(self, node: Node) -> str:
        """The type of an expression; what is wrong with it is noted."""
        if node.kind in _GIVEN:
            return _GIVEN[node.kind]
        found: str = getattr(self, f"_{node.kind}")(node)
        return found

    def _negative(self, node: Node) -> str:
        self.require(node.parts[0], _NUMBER, "-")
        return "number"

    def _logic(self, node: Node) -> str:
        for part in node.parts:
            self.require(part, _TRUTH, node.kind.upper())
        return "boolean"

    _not = _and = _or = _logic

    def _null(self, node: Node) -> str:
        self.type_of(node.parts[0])
        return "boolean"

    def _comparison(self, node: Node) -> str:
        for other in node.parts[1:]:
            self._comparable(node.parts[0], other)
        return "boolean"

    _compare = _between = _in = _comparison

    def _like(self, node: Node) -> str:
        for part in node.parts:
            self.require(part, _TEXT, "LIKE")
        return "boolean"

    def _similar(self, node: Node) -> str:
        for part in node.parts:
            self.require(part, _TEXT, "SIMILAR TO")
        pattern = node.parts[1]
        if pattern.kind == "string" and _regex(pattern.value) is None:
            self.report("S21", f"{pattern.value!r} is no regular expression")
        return "boolean"

    def _interval(self, node: Node) -> str:
        self.require(node.parts[0], _NUMBER, "interval")
        if node.value not in _UNITS:
            self.report("S21", f"{node.value} is no unit of time: {', '.join(_UNITS)}")
        return "interval"

    def _column(self, node: Node) -> str:
        path = node.value
        found = self.scope.columns.get(path[0])
        if found is None:
            if len(path) == 1 and path[0] in self.scope.definitions:
                return self.scope.definitions[path[0]][0]
            return self.report("S20", f"there is no column or definition {path[0]}")
        for count in range(1, len(path)):
            if found != "struct":
                return self.report("S21", f"{'.'.join(path[:count])} is {_a(found)}, not a struct")
            if (found := self.scope.fields.get(".".join(path[: count + 1]))) is None:
                return self.report("S20", f"{'.'.join(path[:count])} has no field {path[count]}")
        return found

    def _columns(self, node: Node) -> str:
        form, chosen = ("names", []) if node.value == "*" else node.value
        if form == "names":
            for name in chosen:
                if name not in self.scope.columns:
                    self.report("S20", f"there is no column {name}")
        elif _regex(chosen) is None:
            self.report("S21", f"{chosen!r} is no regular expression")
        elif not selected(node, self.scope):
            self.report("S22", f"no column's name matches {chosen!r}")
        return "any"

    def _arithmetic(self, node: Node) -> str:
        left, right = self.type_of(node.parts[0]), self.type_of(node.parts[1])
        if "unknown" in {left, right}:
            for part, found in zip(node.parts, (left, right), strict=True):
                if found == "unknown":
                    self.unknown(part)
            return "any"
        if node.value in {"+", "-"}:
            for one, other in ((left, right), (right, left)):
                if one in {"date", "datetime"} and other in {"interval", "any"}:
                    return "datetime"
        for part in node.parts:
            self.require(part, _NUMBER, node.value)
        return "number"

    def _comparable(self, one: Node, other: Node) -> None:
        if one.kind != "columns" and other.kind == "columns":
            one, other = other, one
        first, second = self.type_of(one), self.type_of(other)
        if second == "unknown":
            self.unknown(other)
        elif one.kind == "columns":
            for name in selected(one, self.scope):
                found = self.scope.columns[name]
                if found == "unknown":
                    self.report("S23", f"{name} has no declared type")
                elif not _agree(found, one, second, other):
                    self.report("S21", f"{name} is {_a(found)} and cannot be compared with {_a(second)}")
            return
        if first == "unknown":
            self.unknown(one)
        elif second != "unknown" and not _agree(first, one, second, other):
            self.report("S21", f"{_a(first)} cannot be compared with {_a(second)}")

    def _case(self, node: Node) -> str:
        parts, pairs = node.parts, len(node.parts) // 2
        for place in range(pairs):
            self.require(parts[2 * place], _TRUTH, "WHEN")
        found = [self.type_of(part) for part in (*parts[1 : 2 * pairs : 2], *parts[2 * pairs :])]
        if "unknown" in found:
            return "unknown"
        said = {one for one in found if one != "any"}
        return said.pop() if len(said) == 1 else "any"

    def _call(self, node: Node) -> str:
        if (signature := FUNCTIONS.get(node.value)) is None:
            for part in node.parts:
                self.type_of(part)
            return self.report("S21", f"there is no function {node.value.upper()}")
        name = node.value.upper()
        if len(node.parts) not in signature.counts:
            wanted = " or ".join(map(str, signature.counts))
            self.report("S21", f"{name} takes {wanted} argument(s), not {len(node.parts)}")
        take = signature.arguments
        found = [self.require(part, take, name) if take else self.type_of(part) for part in node.parts]
        if signature.result != "same":
            return signature.result
        return found[0] if found and found[0] in take else "any"

    def shape_of(self, node: Node) -> int:
        if node.kind == "column":
            if len(node.value) == 1 and node.value[0] not in self.scope.columns:
                return self.scope.definitions.get(node.value[0], ("", ROW, node))[1]
            return ROW
        if node.kind == "columns":
            return ROW
        shapes = [self.shape_of(part) for part in node.parts]
        if is_aggregate(node):
            if AGGREGATE in shapes:
                self.report("S30", f"the argument of {node.value.upper()} is an aggregate already")
            return AGGREGATE
        return max(shapes, default=CONST)


def is_aggregate(node: Node) -> bool:
    """Whether a node is a call that folds all rows into one value."""
    return node.kind == "call" and node.value in FUNCTIONS and FUNCTIONS[node.value].aggregate


def selected(node: Node, scope: ExpressionScope) -> list[str]:
    """The columns that ``COLUMNS(…)`` stands for."""
    if node.value == "*":
        return list(scope.columns)
    form, chosen = node.value
    if form == "names":
        return [name for name in chosen if name in scope.columns]
    pattern = _regex(chosen)
    return [name for name in scope.columns if pattern.search(name)] if pattern else []


def _regex(text: str) -> re.Pattern[str] | None:
    """A regular expression of RE2, which has no look-around and no back references, as Python's."""
    if re.search(r"\(\?(?:[=!>]|<[=!])|\\[1-9]|[*+?}]\+", text):
        return None
    try:
        return re.compile(text.replace(r"\z", r"\Z"))
    except (re.error, RecursionError, OverflowError):
        return None


def _agree(one_type: str, one: Node, other_type: str, other: Node) -> bool:
    """Whether two values may be compared."""
    if {one_type, other_type} & {"struct", "list"}:
        return False
    times = {"date", "datetime"}
    return (
        "any" in {one_type, other_type}
        or one_type == other_type
        or {one_type, other_type} <= times
        or _names_time(one, other_type)
        or _names_time(other, one_type)
    )


def _names_time(node: Node, wanted: str) -> bool:
    """Whether a literal is a date or a time of that type, as text."""
    if node.kind != "string":
        return False
    return (wanted == "date" and is_date(node.value)) or (wanted == "datetime" and is_datetime(node.value) != "")


def is_date(text: str) -> bool:
    """Whether a text is a date by ISO 8601.

    Example:
        >>> is_date("2024-02-29"), is_date("2023-02-29"), is_date("20240229")
        (True, False, False)
    """
    try:
        return len(text) == 10 and text[4] == text[7] == "-" and bool(date.fromisoformat(text))
    except ValueError:
        return False


def is_datetime(text: str) -> str:
    """Whether a text is a time by ISO 8601: ``offset`` with an offset, ``plain`` without, or empty.

    Example:
        >>> is_datetime("2024-01-31T09:30:00Z"), is_datetime("2024-01-31T09:30:00"), is_datetime("2024-01-31")
        ('offset', 'plain', '')
    """
    if not re.match(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?\Z", text
    ):
        return ""
    try:
        return "offset" if datetime.fromisoformat(text).tzinfo else "plain"
    except ValueError:
        return ""


# Writing

_WEAK = {"or": 1, "and": 2, "not": 3, "compare": 4, "null": 4, "between": 4, "in": 4, "like": 4}


def as_sql(tree: Node, scope: ExpressionScope, *, window: bool | None = None) -> str:
    """An expression that was checked, as SQL of DuckDB.

    In an expression with a value for each row, aggregates become windows over all rows, and so do names of metrics,
    which are written out there.

    Example:
        >>> scope = ExpressionScope({"qty": "number", "unit price": "number"})
        >>> as_sql(parse_expression("qty <= 2 * MIN(qty) AND `unit price` / 2 > 1"), scope)
        'qty <= 2 * min(qty) OVER () AND "unit price" / 2 > 1'
    """
    over = _Checker(scope).shape_of(tree) == ROW if window is None else window
    selection = next((node for node in tree.walk() if node.kind == "columns"), None)
    if selection is None:
        return _Writer(scope, over, "").written(tree)
    texts = [_Writer(scope, over, name).written(tree, 2) for name in selected(selection, scope)]
    return " AND ".join(texts) or "TRUE"


@dataclass(frozen=True, slots=True)
class _Writer:
    scope: ExpressionScope
    over: bool  # whether aggregates are windows
    column: str  # what COLUMNS(…) stands for

    def written(self, node: Node, above: int = 0) -> str:
        """The SQL of a node, in parentheses where what stands around it binds more tightly."""
        strength = self._strength(node)
        text: str = getattr(self, f"_{node.kind}")(node)
        return f"({text})" if strength <= above and strength < 9 else text

    def _strength(self, node: Node) -> int:
        if node.kind == "arithmetic":
            return 5 if node.value in "+-" else 6
        if node.kind == "negative" or (node.kind == "similar" and node.value):
            return 7 if node.kind == "negative" else 3
        return _WEAK.get(node.kind, 9)

    def _number(self, node: Node) -> str:
        value = node.value
        if isinstance(value, int):
            return str(value)
        return repr(value) if isfinite(value) else f"CAST('{value}' AS DOUBLE)"

    def _string(self, node: Node) -> str:
        return f"""'{node.value.replace("'", "''")}'"""

    def _boolean(self, node: Node) -> str:
        return "TRUE" if node.value else "FALSE"

    def _nothing(self, _: Node) -> str:
        return "NULL"

    def _now(self, _: Node) -> str:
        return "current_timestamp"

    def _column(self, node: Node) -> str:
        name = node.value[0]
        known = self.scope.definitions.get(name) if len(node.value) == 1 and name not in self.scope.columns else None
        if known and self.over and known[1] == AGGREGATE:
            return f"({as_sql(known[2], self.scope, window=True)})"
        return ".".join(quoted(part, "duckdb") for part in node.value)

    def _columns(self, _: Node) -> str:
        return quoted(self.column, "duckdb")

    def _negative(self, node: Node) -> str:
        return f"- {self.written(node.parts[0], 6)}"

    def _not(self, node: Node) -> str:
        return f"NOT {self.written(node.parts[0], 3)}"

    def _and(self, node: Node) -> str:
        return f"{self.written(node.parts[0], 1)} AND {self.written(node.parts[1], 2)}"

    def _or(self, node: Node) -> str:
        return f"{self.written(node.parts[0])} OR {self.written(node.parts[1], 1)}"

    def _compare(self, node: Node) -> str:
        return f"{self._timed(node.parts[0], node.parts[1])} {node.value} {self._timed(node.parts[1], node.parts[0])}"

    def _timed(self, node: Node, other: Node) -> str:
        """An operand; a literal that is compared with a date or time is one, in UTC."""
        wanted = _Checker(self.scope).type_of(other) if node.kind == "string" else ""
        if wanted == "date" and is_date(node.value):
            return f"DATE {self._string(node)}"
        if wanted == "datetime" and is_datetime(node.value):
            moment = datetime.fromisoformat(node.value)
            moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            return f"TIMESTAMP '{moment.isoformat(' ')}'"
        return self.written(node, 4)

    def _null(self, node: Node) -> str:
        return f"{self.written(node.parts[0], 4)} IS {'NOT ' * bool(node.value)}NULL"

    def _between(self, node: Node) -> str:
        subject, low, high = node.parts
        first, last = self._timed(low, subject), self._timed(high, subject)
        return f"{self.written(subject, 4)} {'NOT ' * bool(node.value)}BETWEEN {first} AND {last}"

    def _in(self, node: Node) -> str:
        subject, *others = node.parts
        items = ", ".join(self._timed(other, subject) for other in others)
        return f"{self.written(subject, 4)} {'NOT ' * bool(node.value)}IN ({items})"

    def _like(self, node: Node) -> str:
        return f"{self.written(node.parts[0], 4)} {'NOT ' * bool(node.value)}LIKE {self.written(node.parts[1], 4)}"

    def _similar(self, node: Node) -> str:
        arguments = ", ".join(self.written(part) for part in node.parts)
        return f"{'NOT ' * bool(node.value)}regexp_full_match({arguments})"

    def _interval(self, node: Node) -> str:
        amount, unit = node.parts[0], _UNITS[node.value]
        if amount.kind == "number" and isinstance(amount.value, int):
            return f"INTERVAL '{amount.value}' {unit}"
        return f"({self.written(amount, 6)} * INTERVAL '1' {unit})"

    def _arithmetic(self, node: Node) -> str:
        strength = self._strength(node)
        return f"{self.written(node.parts[0], strength - 1)} {node.value} {self.written(node.parts[1], strength)}"

    def _case(self, node: Node) -> str:
        parts = [self.written(part) for part in node.parts]
        pairs = len(parts) // 2
        whens = " ".join(f"WHEN {parts[2 * place]} THEN {parts[2 * place + 1]}" for place in range(pairs))
        otherwise = f" ELSE {parts[-1]}" if len(parts) % 2 else ""
        return f"CASE {whens}{otherwise} END"

    def _call(self, node: Node) -> str:
        signature = FUNCTIONS[node.value]
        if node.value == "mod":
            # The sign is the divisor's here and the dividend's in SQL.
            one, other = self.written(node.parts[0]), self.written(node.parts[1])
            return f"mod(mod({one}, {other}) + {self.written(node.parts[1], 5)}, {other})"
        arguments = ", ".join(self.written(part) for part in node.parts)
        if node.value == "row_count":
            arguments = "*"
        elif node.value == "count_distinct":
            arguments = f"DISTINCT {arguments}"
        call = f"{signature.sql}({arguments})"
        return f"{call} OVER ()" if signature.aggregate and self.over else call
