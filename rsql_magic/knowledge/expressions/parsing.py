"""Texts become trees: a recursive-descent parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rsql_magic.knowledge.expressions.language import CONSTANTS, DEEPEST, Malformed, Node

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<string>'(?:[^']|'')*')|(?P<quoted>`(?:[^`]|``)+`)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><>|!=|<=|>=|[=<>()+\-*/,.\[\]])"
)
_SPACE = re.compile(r"[ \t\r\n\f]*")
_RESERVED = frozenset(
    {"and", "or", "not", "is", "between", "in", "like", "similar", "to", "when", "then", "else", "end"}
)  # besides those that begin something: `_Parser.named`


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
        if word in CONSTANTS:
            self.place += 1
            return CONSTANTS[word]
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
