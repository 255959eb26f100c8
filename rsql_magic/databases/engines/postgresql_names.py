"""The names in a PostgreSQL statement that may call something, wider than PostgreSQL would read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql import ascii_lower, calls, lex, names, parse, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot import exp

    from rsql_magic.sql import Lexed

LONGEST = 63
"""Bytes of a name; PostgreSQL cuts what is longer."""

_OPERATORS_OF_WORDS = {
    "BETWEEN": "< <= > >=",
    "CASE": "=",
    "DISTINCT": "=",
    "ILIKE": "~~* !~~*",
    "IN": "= <>",
    "INTERSECT": "=",
    "LIKE": "~~ !~~",
    "NATURAL": "=",
    "NULLIF": "= <>",
    "SIMILAR": "~ !~",
    "USING": "=",
}
"""Words that call operators by name."""
_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_NO_TYPE_AFTER = names(
    """
    ALL AND ANY BETWEEN BY CASE DISTINCT ELSE EXCEPT EXISTS FROM GROUP HAVING ILIKE IN INTERSECT IS JOIN LIKE LIMIT NOT
    OFFSET ON OR ORDER OVER PARTITION RETURNING SELECT SIMILAR SOME THEN TO UNION USING WHEN WHERE WITH
    """
)
"""Words that an expression or a table follows, and not a type."""


class Named(NamedTuple):
    """What a statement may call.

    Args:
        calls: Names before brackets with the number of arguments; None where it cannot be told.
        fields: Names behind the name of a table: ``t.total``.
        parts: Names behind something else: ``(t).total``.
        operators: Operators, and those that words stand for.
        types: Names that may be types.
        words: All names.
    """

    calls: set[tuple[str, int | None]]
    fields: set[str]
    parts: set[str]
    operators: set[str]
    types: set[str]
    words: set[str]


def named(sql: str) -> Named | None:
    """The names of a guarded statement that may call something; None when it is no query, like SHOW.

    Example:
        >>> found = named("SELECT (t).a, t.b, lower(c) || 'x'::level FROM s.t")
        >>> found.parts, found.fields, found.calls, sorted(found.types)
        ({'a'}, {'b'}, {('lower', 1)}, ['a', 'from', 'level', 'lower', 'select'])
    """
    query = plan(lex(sql, "postgres"), "postgres").query
    if not query:
        return None
    lexed = lex(query, "postgres")
    tree = parse(lexed.text, "postgres")
    words = [_word(lexed, index) for index in range(len(lexed.tokens))]
    found = Named(_calls(lexed, tree), set(), set(), _operators(lexed), set(), {word for word in words if word})
    tables = _places_of_tables(tree)
    for index, word in enumerate(words):
        if word and lexed.tokens[index].start not in tables:
            _take(lexed, words, index, found)
    return found


def _take(lexed: Lexed, words: Sequence[str], index: int, found: Named) -> None:
    word = words[index]
    behind = _raw(lexed, index + 1)
    if _raw(lexed, index - 1) == "." and behind != "(":
        (found.fields if _follows_names(lexed, words, index) else found.parts).add(word)
    if _may_be_type(lexed, words, index):
        found.types.add(word)


def _follows_names(lexed: Lexed, words: Sequence[str], index: int) -> bool:
    """Whether what is before the dots is the name of a table: ``s.t.a``, but not ``(x).a`` or ``x[1].a``."""
    while _raw(lexed, index - 1) == ".":
        index -= 2
        if index < 0 or not words[index]:
            return False
    return True


def _may_be_type(lexed: Lexed, words: Sequence[str], index: int) -> bool:
    """Whether a type may stand there: behind ``::``, AS or another name, and before a text or a bracket."""
    behind = _raw(lexed, index + 1)
    if behind == "(" or _is_text(behind):
        return True
    while _raw(lexed, index - 1) == ".":
        index -= 2
    before = _raw(lexed, index - 1)
    return before == "::" or bool(index > 0 and words[index - 1] and before.upper() not in _NO_TYPE_AFTER)


def _calls(lexed: Lexed, tree: exp.Expr) -> set[tuple[str, int | None]]:
    found: set[tuple[str, int | None]] = set()
    places = {token.start: index for index, token in enumerate(lexed.tokens)}
    for call in calls(lexed, list(tree.walk()), "postgres"):
        count = _arguments(lexed, places[call.start])
        found |= {(_cut(call.path[-1]), count), (_cut(ascii_lower(call.path[-1])), count)}
    return found


def _arguments(lexed: Lexed, index: int) -> int | None:
    """The number of arguments behind a name; None where ORDER BY or VARIADIC adds to them."""
    while _raw(lexed, index) != "(":
        index += 1
    if _raw(lexed, index + 1) == ")":
        return 0 if lexed.word(index + 2) != "WITHIN" else None
    depth, count = 0, 1
    for at in range(index, len(lexed.tokens)):
        raw = _raw(lexed, at)
        depth += (raw in {"(", "["}) - (raw in {")", "]"})
        count += depth == 1 and raw == ","
        if depth == 1 and lexed.word(at) == "VARIADIC":
            return None
        if not depth:
            return None if lexed.word(at + 1) == "WITHIN" else count
    return None


def _operators(lexed: Lexed) -> set[str]:
    """All operators that the signs of a text may be read as; ``a<-1`` is divided in different ways."""
    bare = "".join(raw if not _is_text(raw) and raw[0] != '"' else " " for raw in _pieces(lexed))
    runs = set(_OPERATOR.findall(bare))
    signs = {run[start:end] for run in runs for start in range(len(run)) for end in range(start + 1, len(run) + 1)}
    spoken = {sign for token in lexed.tokens for sign in _OPERATORS_OF_WORDS.get(lexed.raw(token).upper(), "").split()}
    return signs | spoken | ({"<>"} if "!=" in signs else set())


def _pieces(lexed: Lexed) -> Iterator[str]:
    """The tokens with the blanks between them."""
    end = 0
    for token in lexed.tokens:
        if token.start > end:
            yield " "
        yield lexed.raw(token) or " "
        end = token.end + 1


def _places_of_tables(tree: exp.Expr) -> set[int]:
    """Where names of tables stand in FROM; these call nothing."""
    from sqlglot import exp

    found: set[int] = set()
    for table in tree.find_all(exp.Table):
        parts = [part for part in (table.args.get("catalog"), table.args.get("db"), table.this) if part is not None]
        found |= {part.meta["start"] for part in parts if isinstance(part, exp.Identifier) and "start" in part.meta}
    return found


def _word(lexed: Lexed, index: int) -> str:
    """A name as PostgreSQL compares it, or nothing."""
    raw = lexed.raw(lexed.tokens[index])
    if raw[:1] == '"':
        return _cut(raw[1:-1].replace('""', '"'))
    return _cut(ascii_lower(raw)) if raw[:1].isalpha() or raw[:1] == "_" else ""


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST // 4 else name.encode()[:LONGEST].decode("utf-8", "ignore")


def _raw(lexed: Lexed, index: int) -> str:
    return lexed.raw(lexed.tokens[index]) if 0 <= index < len(lexed.tokens) else ""


def _is_text(raw: str) -> bool:
    return raw[-1:] == "'" or raw[:1] in {"'", "$"}
