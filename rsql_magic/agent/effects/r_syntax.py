"""R's grammar, read strictly: what this reads, R reads alike; everything else is refused."""

# ruff: noqa: SIM905, E501, RET504

from __future__ import annotations

import re
from dataclasses import dataclass

# R need not be installed, so its code is read here. The reader may refuse what R takes (``?``, ``:=`` outside of
# brackets is no exception, hex floats, ``=>``), but must never read it otherwise: tests hold its trees against R's.

_TOKEN = re.compile(
    r"""(?xs)
    (?P<blank>[ \t\f]+|\#[^\n]*)
    | (?P<newline>\n)
    | (?P<raw>[rR](?P<quote>["'])(?P<dashes>-*)(?:\((?P<p>.*?)\)(?P=dashes)(?P=quote)|\[(?P<b>.*?)\](?P=dashes)(?P=quote)
      |\{(?P<c>.*?)\}(?P=dashes)(?P=quote)))
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<tick>`[^`\\\n]+`)
    | (?P<number>(?:0[xX][0-9a-fA-F]+L?|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[Li]?)(?![\w.]))
    | (?P<name>(?:[^\W\d_]|\.(?![0-9]))(?:[\w.])*)
    | (?P<hole>_(?![\w.]))
    | (?P<special>%[^%\n]*%)
    | (?P<sign><<-|->>|<-|->|\|>|:::|::|:=|<=|>=|==|!=|&&|\|\||\*\*|[-+*/^<>!&|~:$@=(){}\[\],;\\])
    """
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", " ": " ", "\n": "\n"}
_ESCAPED |= {"a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CODED = re.compile(r"\\(?:x[0-9a-fA-F]{1,2}|u(?:[0-9a-fA-F]{1,4}|\{[0-9a-fA-F]{1,4}\})|U[0-9a-fA-F]{1,8})")
CONSTANTS = frozenset("TRUE FALSE NULL Inf NaN NA NA_integer_ NA_real_ NA_character_ NA_complex_".split())
_WORDS = frozenset("if else repeat while function for next break in".split())
_DEEPEST = 60

# Left and right binding powers; what is higher binds tighter.
_BINARY = {
    "<-": (41, 40), "<<-": (41, 40), ":=": (41, 40), "->": (50, 51), "->>": (50, 51), "~": (60, 61),
    "|": (70, 71), "||": (70, 71), "&": (80, 81), "&&": (80, 81),
    **dict.fromkeys((">", ">=", "<", "<=", "==", "!="), (100, 101)),
    "+": (110, 111), "-": (110, 111), "*": (120, 121), "/": (120, 121), "%%": (130, 131), "|>": (130, 131),
    ":": (150, 151), "^": (171, 170), "**": (171, 170),
}  # fmt: skip
_UNARY = {"~": 61, "!": 90, "-": 160, "+": 160}
_COMPARED = frozenset({">", ">=", "<", "<=", "==", "!="})


class UnreadableR(ValueError):
    """R code that is wrong, or is written in a way that is not read here."""


@dataclass(frozen=True, slots=True)
class RNode:
    """A piece of R code: ``kind`` is what it is, ``text`` its name or value, and ``parts`` what it is made of."""

    kind: str  # number, text, constant, name, call, operator, index, member, package, function, block, if, for, …
    text: str | None = None  # None: a text whose characters are not told
    parts: tuple[Arg, ...] = ()


@dataclass(frozen=True, slots=True)
class Arg:
    """One part of a call or operator, with its name; ``value`` is None where it is left out (``x[1, ]``)."""

    value: RNode | None
    name: str | None = None


def read_r(code: str) -> list[RNode]:
    """The expressions of R code.

    Raises:
        UnreadableR: It is wrong, or is not read here.

    Example:
        >>> [each.kind for each in read_r("x <- 1; mean(x)")]
        ['operator', 'call']
    """
    return _SyntaxReader(_tokens(code)).program()


def _tokens(code: str) -> list[tuple[str, str | None, str]]:
    """Kind, value and source of each token."""
    found, at, code = [], 0, code.replace("\r\n", "\n")
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            raise UnreadableR(f"character {code[at]!r}")
        at, kind = match.end(), match.lastgroup or ""
        if kind == "blank":
            continue
        if match["raw"]:
            found.append(("text", next(each for each in (match["p"], match["b"], match["c"]) if each is not None), ""))
        elif match["text"]:
            found.append(("text", _value(match["text"]), match[0]))
        elif match["tick"]:
            found.append(("name", match[0][1:-1], match[0]))
        elif match["name"] and match[0] in _WORDS | CONSTANTS:
            found.append(("word" if match[0] in _WORDS else "constant", match[0], match[0]))
        else:
            found.append((kind, match[0], match[0]))
    found.append(("end", "", ""))
    return found


def _value(text: str) -> str | None:
    inside, at, parts = text[1:-1], 0, []
    if "\0" in inside:
        raise UnreadableR("a text with NUL")
    coded = False
    while at < len(inside):
        if inside[at] != "\\":
            parts.append(inside[at])
            at += 1
        elif (escaped := _ESCAPED.get(inside[at + 1])) is not None:
            parts.append(escaped)
            at += 2
        elif (code := _CODED.match(inside, at)) is not None and int(re.sub(r"[^0-9a-fA-F]", "", code[0][2:]), 16):
            coded, at = True, code.end()  # which character it is depends on the session's encoding
        else:
            raise UnreadableR("an escape")
    return None if coded else "".join(parts)


class _SyntaxReader:
    def __init__(self, tokens: list[tuple[str, str | None, str]]) -> None:
        self._tokens, self._at, self._depth = tokens, 0, 0
        self._begins = False  # whether a statement begins here, and no operator stands before
        self._inside = ["top"]  # newlines end an expression at the top and in braces, and are blanks in brackets

    def program(self) -> list[RNode]:
        found = self._lines("end")
        return found

    # Tokens

    def _peek(self) -> tuple[str, str | None, str]:
        if self._inside[-1] == "bracket":
            self._skip_lines()
        return self._tokens[self._at]

    def _skip_lines(self) -> None:
        while self._tokens[self._at][0] == "newline":
            self._at += 1

    def _next(self) -> tuple[str, str | None, str]:
        token = self._peek()
        self._at += 1
        return token

    def _is(self, sign: str) -> bool:
        return self._peek()[:2] == ("sign", sign)

    def _take(self, sign: str) -> None:
        if self._next()[:2] != ("sign", sign):
            raise UnreadableR(f"no {sign}")

    # Expressions

    def _lines(self, end: str) -> list[RNode]:
        found: list[RNode] = []
        while True:
            while self._peek()[0] == "newline" or (found and self._is(";")):
                self._at += 1
            kind, value, _ = self._peek()
            if kind == end or (kind == "sign" and value == end):
                self._at += 1
                return found
            found.append(self._statement())
            kind, value, _ = self._peek()
            if kind not in {"newline", end} and value not in {";", end}:
                raise UnreadableR("two expressions on one line")

    def _statement(self) -> RNode:
        self._begins = True
        left = self._expression(0)
        if self._is("="):
            self._at += 1
            self._skip_lines()
            return RNode("operator", "=", (Arg(left), Arg(self._statement())))
        return left

    def _expression(self, least: int) -> RNode:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise UnreadableR("it is nested too deeply")
        left = self._prefix()
        compared = False
        while True:
            kind, sign, _ = self._peek()
            if kind == "special":
                operator, powers = sign or "", _BINARY["%%"]
            elif kind == "sign" and sign in _BINARY:
                operator, powers = sign, _BINARY[sign]
            else:
                break
            if powers[0] < least:
                break
            if operator in _COMPARED:
                if compared:
                    raise UnreadableR("a comparison of comparisons")
                compared = True
            else:
                compared = compared and powers[0] > 100
            self._at += 1
            self._skip_lines()
            right = self._expression(powers[1])
            left = self._joined("^" if operator == "**" else operator, left, right)
        self._depth -= 1
        return left

    @staticmethod
    def _joined(operator: str, left: RNode, right: RNode) -> RNode:
        if operator in {"->", "->>"}:
            return RNode("operator", "<-" if operator == "->" else "<<-", (Arg(right), Arg(left)))
        if operator != "|>":
            return RNode("operator", operator, (Arg(left), Arg(right)))
        if right.kind != "call":
            raise UnreadableR("|> into what is no call")
        holes = [arg for arg in right.parts[1:] if arg.value is not None and arg.value.kind == "hole"]
        if not holes:
            return RNode("call", None, (right.parts[0], Arg(left), *right.parts[1:]))
        if len(holes) > 1 or holes[0].name is None:
            raise UnreadableR("_ of a pipe")
        filled = (Arg(left, arg.name) if arg is holes[0] else arg for arg in right.parts[1:])
        return RNode("call", None, (right.parts[0], *filled))

    def _prefix(self) -> RNode:
        begins, self._begins = self._begins, False
        kind, value, _ = self._next()
        if kind == "sign" and value in _UNARY:
            self._skip_lines()
            return RNode("operator", value, (Arg(self._expression(_UNARY[value])),))
        if kind == "word":
            return self._word(value or "", begins=begins)
        if kind == "sign" and value == "\\":
            return self._function(begins=begins)
        return self._postfix(self._primary(kind, value))

    def _primary(self, kind: str, value: str | None) -> RNode:
        if kind in {"number", "text", "constant", "name", "hole"}:
            return RNode(kind, value)
        if kind == "sign" and value == "(":
            self._inside.append("bracket")
            inner = self._statement()
            self._take(")")
            self._inside.pop()
            return RNode("parens", None, (Arg(inner),))
        if kind == "sign" and value == "{":
            self._inside.append("braces")
            found = self._lines("}")
            self._inside.pop()
            return RNode("block", None, tuple(map(Arg, found)))
        raise UnreadableR(f"{value!r} where an expression begins")

    def _postfix(self, left: RNode) -> RNode:
        while True:
            kind, sign, _ = self._peek()
            if kind != "sign":
                return left
            if sign == "(":
                self._at += 1
                left = RNode("call", None, (Arg(left), *self._arguments(")")))
            elif sign == "[":
                is_double = self._tokens[self._at + 1][:2] == ("sign", "[")
                self._at += 2 if is_double else 1
                args = self._arguments("]")
                if is_double:
                    self._take("]")
                left = RNode("index", "[[" if is_double else "[", (Arg(left), *args))
            elif sign in {"$", "@"}:
                self._at += 1
                of, name, _ = self._next()
                if of not in {"name", "text"} or name is None:
                    raise UnreadableR(f"{sign} of an expression")
                left = RNode("member", sign, (Arg(left), Arg(RNode("name", name))))
            elif sign in {"::", ":::"}:
                self._at += 1
                of, name, _ = self._next()
                if left.kind not in {"name", "text"} or of not in {"name", "text"} or None in (name, left.text):
                    raise UnreadableR(sign)
                left = RNode("package", sign, (Arg(RNode("name", left.text)), Arg(RNode("name", name))))
            else:
                return left

    def _arguments(self, end: str) -> tuple[Arg, ...]:
        self._inside.append("bracket")
        found: list[Arg] = []
        while True:
            if self._is(",") or self._is(end):
                found.append(Arg(None))
            else:
                found.append(self._argument(end))
            if self._is(end):
                self._at += 1
                self._inside.pop()
                return () if found == [Arg(None)] else tuple(found)
            self._take(",")

    def _argument(self, end: str) -> Arg:
        kind, value, _ = self._peek()
        is_name = kind in {"name", "text"} or value == "NULL"
        if is_name:
            start = self._at
            self._at += 1
            if self._is("="):
                if value is None or value == "NULL":
                    raise UnreadableR("the name of an argument")
                self._at += 1
                if self._is(",") or self._is(end):
                    return Arg(None, value)
                return Arg(self._expression(0), value)
            self._at = start
        return Arg(self._expression(0))

    def _word(self, word: str, *, begins: bool) -> RNode:
        if word == "function":
            self._skip_lines()
            return self._function(begins=begins)
        if word in {"next", "break"}:
            return RNode(word)
        self._skip_lines()
        if word == "repeat":
            return RNode("while", None, (Arg(self._body(begins=begins)),))
        if word not in {"if", "while", "for"}:
            raise UnreadableR(word)
        self._take("(")
        self._inside.append("bracket")
        name = ""
        if word == "for":
            kind, value, _ = self._next()
            if kind != "name" or self._next()[:2] != ("word", "in"):
                raise UnreadableR("for")
            name = value or ""
        condition = self._expression(0)
        self._take(")")
        self._inside.pop()
        self._skip_lines()
        body = self._body(begins=begins)
        if word == "for":
            return RNode("for", name, (Arg(condition), Arg(body)))
        if word == "while":
            return RNode("while", None, (Arg(condition), Arg(body)))
        return RNode("if", None, (Arg(condition), Arg(body), *self._otherwise(begins=begins)))

    def _otherwise(self, *, begins: bool) -> tuple[Arg, ...]:
        start = self._at
        if self._inside[-1] != "top":
            self._skip_lines()
        if self._tokens[self._at][:2] != ("word", "else"):
            self._at = start
            return ()
        self._at += 1
        self._skip_lines()
        return (Arg(self._body(begins=begins)),)

    # What follows `function(…)`, `if (…)`, `else`: it reaches as far as it can, with `=` only where that may stand.
    def _body(self, *, begins: bool) -> RNode:
        self._begins = begins
        body = self._expression(0)
        if not self._is("="):
            return body
        if not begins:
            raise UnreadableR("= of a body")  # R reads it by what stands around
        self._at += 1
        self._skip_lines()
        return RNode("operator", "=", (Arg(body), Arg(self._statement())))

    def _function(self, *, begins: bool) -> RNode:
        self._take("(")
        params = self._arguments(")")
        for each in params:
            is_plain = each.name is None and each.value is not None and each.value.kind == "name"
            if not (is_plain or (each.name is not None and each.value is not None)):
                raise UnreadableR("a parameter")
        self._skip_lines()
        return RNode("function", None, (*params, Arg(self._body(begins=begins))))
