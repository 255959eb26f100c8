"""A grammar of questions: rules over words, names and values that yield every reading, not only the first.

A rule is a pattern and a function that makes a value of what the pattern found. Patterns are written as text:

    show|list            one of these words
    (all)                may be missing
    [by | in order of]   one of these sequences
    {column}             what a rule or a terminal of that name finds
    {one:column}         the same, and its value is handed to the function as ``one``

Rules must not begin with themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .words import Token

F = TypeVar("F", bound="Callable[..., Any]")
Found = tuple[int, Any]
"""Where a reading ends, and its value."""
_PIECE = re.compile(r"\{(?:(\w+):)?(\w+)\}|([()\[\]])|(?<=\s)(\|)(?=\s)|([^\s()\[\]{}]+)")


@dataclass(frozen=True, slots=True)
class _Words:
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    rule: str


@dataclass(frozen=True, slots=True)
class _Either:
    sequences: tuple[tuple[Any, ...], ...]


@cache
def _compiled(pattern: str) -> tuple[Any, ...]:
    """A pattern as a sequence of words, calls and alternatives."""
    pieces = list(_PIECE.finditer(pattern))
    sequence, end = _sequence(pieces, 0, "")
    if end != len(pieces):
        msg = f"A bracket of this pattern closes nothing: {pattern}"
        raise ValueError(msg)
    return sequence.sequences[0]


def _sequence(pieces: Sequence[re.Match[str]], place: int, closing: str) -> tuple[_Either, int]:
    """The alternatives up to a closing bracket, and the place after it."""
    alternatives: list[list[Any]] = [[]]
    while place < len(pieces):
        name, rule, bracket, bar, word = pieces[place].groups()
        place += 1
        if bracket and bracket == closing:
            break
        if bracket:
            inner, place = _sequence(pieces, place, {"(": ")", "[": "]"}[bracket])
            alternatives[-1].append(_Either((*inner.sequences, ())) if bracket == "(" else inner)
        elif bar:
            alternatives.append([])
        else:
            alternatives[-1].append(_Words(frozenset(word.split("|"))) if word else _Call(name or "", rule))
    return _Either(tuple(map(tuple, alternatives))), place


def _words_in(sequence: tuple[Any, ...]) -> Iterator[str]:
    for element in sequence:
        if isinstance(element, _Words):
            yield from element.words
        elif isinstance(element, _Either):
            for one in element.sequences:
                yield from _words_in(one)


@dataclass
class Grammar:
    """Rules by name.

    Example:
        >>> from jupyter_server_ext.offline.sql.words import tokens
        >>> grammar = Grammar()
        >>> @grammar.rule("count", "how many {column:column}")
        ... def count(column): return f"COUNT({column})"
        >>> def column(at): yield at + 1, "x"
        >>> list(Parser(grammar, tokens("how many cars"), {"column": column}).whole("count"))
        ['COUNT(x)']
    """

    rules: dict[str, list[tuple[tuple[Any, ...], Callable[..., Any]]]] = field(default_factory=dict)

    @cached_property
    def words(self) -> frozenset[str]:
        """All words that stand in some rule."""
        return frozenset(word for rules in self.rules.values() for pattern, _ in rules for word in _words_in(pattern))

    def rule(self, name: str, *patterns: str) -> Callable[[F], F]:
        """Add a rule; its function may return None, which is no reading."""

        def register(make: F) -> F:
            self.rules.setdefault(name, []).extend((_compiled(pattern), make) for pattern in patterns)
            return make

        return register


class Parser:
    """One question, read by a grammar.

    Args:
        grammar: The rules.
        tokens: The question.
        terminals: What finds names, values and numbers at a place.
    """

    def __init__(
        self, grammar: Grammar, tokens: Sequence[Token], terminals: Mapping[str, Callable[[int], Iterator[Found]]]
    ) -> None:
        self._grammar, self._tokens, self._terminals = grammar, tokens, terminals
        self._found: dict[tuple[str, int], tuple[Found, ...]] = {}
        self.furthest = 0
        """The first token that no rule got past."""

    def whole(self, rule: str) -> Iterator[Any]:
        """The readings that leave no token out, each once."""
        yield from dict.fromkeys(value for end, value in self._read(rule, 0) if end == len(self._tokens))

    def _read(self, rule: str, at: int) -> tuple[Found, ...]:
        known = self._found.get((rule, at))
        if known is None:
            self._found[rule, at] = ()  # a rule that begins with itself finds nothing
            known = self._found[rule, at] = tuple(dict.fromkeys(self._readings(rule, at)))
            self.furthest = max([self.furthest, *(end for end, _ in known)])
        return known

    def _readings(self, rule: str, at: int) -> Iterator[Found]:
        if rule in self._terminals:
            yield from self._terminals[rule](at)
        for sequence, make in self._grammar.rules.get(rule, ()):
            for end, values in self._match(sequence, at):
                value = make(**dict(values))
                if value is not None:
                    yield end, value

    def _match(self, sequence: tuple[Any, ...], at: int) -> Iterator[tuple[int, tuple[tuple[str, Any], ...]]]:
        if not sequence:
            yield at, ()
            return
        first, rest = sequence[0], sequence[1:]
        for middle, some in self._one(first, at):
            for end, more in self._match(rest, middle):
                yield end, (*some, *more)

    def _one(self, element: Any, at: int) -> Iterator[tuple[int, tuple[tuple[str, Any], ...]]]:
        if isinstance(element, _Words):
            if at < len(self._tokens) and self._tokens[at].lower in element.words:
                self.furthest = max(self.furthest, at + 1)
                yield at + 1, ()
        elif isinstance(element, _Call):
            for end, value in self._read(element.rule, at):
                yield end, ((element.name, value),) if element.name else ()
        else:
            for sequence in element.sequences:
                yield from self._match(sequence, at)
