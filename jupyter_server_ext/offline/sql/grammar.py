"""A grammar of questions (``grammar.txt``) and a parser that yields every reading, not only the first."""

from __future__ import annotations

import json
import operator
import re
from dataclasses import dataclass
from functools import cache, cached_property, partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .words import Token

Found = tuple[int, Any]  # where a reading ends, and its value
Named = tuple[tuple[str, Any], ...]
_PIECE = re.compile(r"\{(?:(\w+):)?(\w+)\}|([()\[\]])|(?<=\s)(\|)(?=\s)|([^\s()\[\]{}]+)")


class _OneOf(NamedTuple):
    words: frozenset[str]


class _Part(NamedTuple):
    name: str  # the argument that gets the value; empty for none
    rule: str  # the rule or terminal that finds it


class _Either(NamedTuple):
    sequences: tuple[tuple[Any, ...], ...]


@cache
def _compiled(pattern: str) -> tuple[Any, ...]:
    """A pattern as a sequence of words, parts and alternatives; a ValueError names one whose brackets do not fit."""
    try:
        return _alternatives(_PIECE.finditer(pattern), "").sequences[0]
    except LookupError:
        msg = f"The brackets of this pattern do not fit: {pattern}"
        raise ValueError(msg) from None


def _alternatives(pieces: Iterator[re.Match[str]], closing: str) -> _Either:
    """The alternatives up to a closing bracket, or to the end."""
    found: list[list[Any]] = [[]]
    for piece in pieces:
        name, rule, bracket, bar, word = piece.groups()
        if bracket and bracket == closing:
            return _Either(tuple(map(tuple, found)))
        if bracket:
            inner = _alternatives(pieces, {"(": ")", "[": "]"}[bracket])
            found[-1].append(_Either((*inner.sequences, ())) if bracket == "(" else inner)
        elif bar:
            found.append([])
        else:
            found[-1].append(_OneOf(frozenset(word.split("|"))) if word else _Part(name or "", rule))
    if closing:
        raise LookupError(closing)
    return _Either(tuple(map(tuple, found)))


def _words_in(sequence: tuple[Any, ...]) -> Iterator[str]:
    for element in sequence:
        if isinstance(element, _OneOf):
            yield from element.words
        elif isinstance(element, _Either):
            for one in element.sequences:
                yield from _words_in(one)


def _meaning(text: str, functions: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """What makes a value of the values that a pattern found: a constant, a function, or their sum."""
    if not text:
        return lambda **values: reduce(operator.add, values.values())
    if text[0] == '"' or text in {"true", "false"}:
        constant = json.loads(text)
        return lambda: constant
    # Arguments behind the name are constants in JSON: “like pattern="%{}%"”.
    name, *fixed = text.split()
    pairs = (one.partition("=") for one in fixed)
    return partial(functions[name], **{key: json.loads(value) for key, _, value in pairs})


@dataclass(frozen=True)
class Grammar:
    r"""Rules by name: patterns, and what makes a value of what each found.

    Example:
        >>> from jupyter_server_ext.offline.sql.words import tokens
        >>> grammar = Grammar.read("count: of\n    how many {column:column}", {"of": "COUNT({column})".format})
        >>> def column(at): yield at + 1, "x"
        >>> list(Parser(grammar, tokens("how many cars"), {"column": column}).whole("count"))
        ['COUNT(x)']
    """

    rules: Mapping[str, Sequence[tuple[tuple[Any, ...], Callable[..., Any]]]]

    @classmethod
    def read(cls, text: str, functions: Mapping[str, Callable[..., Any]]) -> Grammar:
        """The rules of a text, ``rule: meaning`` with its patterns below, and the functions that meanings name."""
        rules: dict[str, list[tuple[tuple[Any, ...], Callable[..., Any]]]] = {}
        name, make = "", _meaning("", functions)
        for line in text.splitlines():
            if line.startswith(" "):
                rules.setdefault(name, []).append((_compiled(line.strip()), make))
            elif line and not line.startswith("#"):
                name, _, meaning = line.partition(":")
                make = _meaning(meaning.strip(), functions)
        return cls(rules)

    @cached_property
    def words(self) -> frozenset[str]:
        """All words that stand in some rule."""
        return frozenset(word for rules in self.rules.values() for pattern, _ in rules for word in _words_in(pattern))


class Parser:
    """One question, read by a grammar."""

    def __init__(
        self, grammar: Grammar, tokens: Sequence[Token], terminals: Mapping[str, Callable[[int], Iterator[Found]]]
    ) -> None:
        self._grammar, self._tokens, self._terminals = grammar, tokens, terminals
        self._found: dict[tuple[str, int], tuple[Found, ...]] = {}
        self.furthest = 0  # the first token that no rule got past

    def whole(self, rule: str) -> Iterator[Any]:
        """The readings that leave no token out, each once."""
        yield from dict.fromkeys(value for end, value in self._read(rule, 0) if end == len(self._tokens))

    def _read(self, rule: str, at: int) -> tuple[Found, ...]:
        # A question is read in many ways; each rule is tried once at each place.
        known = self._found.get((rule, at))
        if known is None:
            self._found[rule, at] = ()  # a rule that begins with itself finds nothing
            known = self._found[rule, at] = tuple(dict.fromkeys(self._readings(rule, at)))
            self.furthest = max([self.furthest, *(end for end, _ in known)])
        return known

    def _readings(self, rule: str, at: int) -> Iterator[Found]:
        if rule in self._terminals:
            yield from self._terminals[rule](at)
        # A value of None is no reading: a meaning may refuse what it is given.
        for sequence, make in self._grammar.rules.get(rule, ()):
            for end, values in self._match(sequence, at):
                value = make(**dict(values))
                if value is not None:
                    yield end, value

    def _match(self, sequence: tuple[Any, ...], at: int) -> Iterator[tuple[int, Named]]:
        if not sequence:
            yield at, ()
            return
        for middle, some in self._one(sequence[0], at):
            for end, more in self._match(sequence[1:], middle):
                yield end, (*some, *more)

    def _one(self, element: Any, at: int) -> Iterator[tuple[int, Named]]:
        if isinstance(element, _OneOf):
            if at < len(self._tokens) and self._tokens[at].lower in element.words:
                self.furthest = max(self.furthest, at + 1)
                yield at + 1, ()
        elif isinstance(element, _Part):
            for end, value in self._read(element.rule, at):
                yield end, ((element.name, value),) if element.name else ()
        else:
            for sequence in element.sequences:
                yield from self._match(sequence, at)
