"""The functions that a query calls, and those that it may call in its dialect."""

# The latter are lists in ``functions/*.txt``, read when first needed.
#
# A list is an allow-list: a function is refused unless it is known to read its arguments and nothing else. The
# sections ``[refused: reason]`` only give the reason; a name that no list holds is refused too. The sections ``[not
# here: what to write]`` name functions of other dialects that people and models write by mistake.
#
# Every word in front of an opening bracket is a call, unless the tree says that it names a table with its columns
# (``FROM f(1) AS t(a)``, ``WITH t(a) AS``) or it is a word of the grammar. The words are what the engine will see, so
# a function that sqlglot renames, drops or mistakes for something else is still seen by the name that runs.

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql.dialects.records import WORDS, dialect_of, listed, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import exp

    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import SQLDialect


@dataclass(frozen=True, slots=True)
class Functions:
    """What may be called in a dialect."""

    allowed: frozenset[str]  # Names that may be called anywhere, lower case
    tables: frozenset[str] | None  # Names that may stand in FROM; None where the dialect lets any function stand there
    prefixes: tuple[str, ...]  # Beginnings of allowed names, such as ``st_``
    reasons: dict[str, str]  # Why a name, or a beginning with ``*``, is refused
    absent: dict[str, str]  # Functions of other dialects that this one has not, with what to write instead
    title: str = ""  # The engine's name as people write it
    extensions: frozenset[str] = frozenset()  # Those of the allowed that extensions bring, and beginnings with ``*``
    complete: bool = False  # True when the lists hold all the dialect's functions, so that others do not exist

    def allows(self, name: str) -> bool:
        """True when the function, in lower case, may be called."""
        return name in self.allowed or (name.startswith(self.prefixes) and not self.reason(name))

    def comes_with_extension(self, name: str) -> bool:
        """True when an extension brings the function, in lower case, and not the engine itself."""
        starts = tuple(start[:-1] for start in self.extensions if start.endswith("*"))
        return name in self.extensions or (bool(starts) and name.startswith(starts))

    def exists(self, name: str) -> bool:
        """True when the dialect has the function, whether it may be called or not."""
        known = self.allows(name) or bool(self.tables and name in self.tables) or bool(self.reason(name))
        return known and name not in self.absent

    def reason(self, name: str) -> str:
        """Why a function is refused, or "" when nothing is known of it."""
        if name in self.reasons:
            return self.reasons[name]
        starts = (name[:end] + "*" for end in range(len(name), 0, -1))
        return next((self.reasons[start] for start in starts if start in self.reasons), "")


@lru_cache(maxsize=64)
def functions(dialect: str) -> Functions:
    """The functions of a dialect, by sqlglot's name.

    Example:
        >>> functions("postgres").allows("lower"), functions("postgres").reason("pg_sleep")
        (True, 'waits and holds the connection')
    """
    record = dialect_of(dialect)
    allowed: set[str] = set()
    tables: set[str] = set()
    reasons: dict[str, str] = {}
    absent: dict[str, str] = {}
    extensions: set[str] = set()
    for section, words in (pair for each in ("common", *record.function_lists) for pair in listed(f"functions/{each}")):
        if section.startswith("refused: "):
            reasons |= dict.fromkeys(words, section.removeprefix("refused: "))
        elif section.startswith("not here: "):
            absent |= dict.fromkeys(words, section.removeprefix("not here: "))
        elif section == "tables made by functions":
            tables |= set(words)
        else:
            extensions |= set(words) if section.startswith("extensions") else set()
            allowed |= set(words)
            # A dialect's own list comes after the common one, and may have what that one says is missing.
            absent = {name: instead for name, instead in absent.items() if name not in words}
    return Functions(
        allowed=frozenset(allowed),
        tables=frozenset(tables) or None,
        prefixes=tuple(name[:-1] for name in allowed if name.endswith("*")),
        reasons=reasons,
        absent=absent,
        extensions=frozenset(extensions),
        title=record.title or dialect.capitalize(),
        complete=record.functions_complete,
    )


# Words of the grammar that may stand before a bracket and call nothing.
_GRAMMAR = WORDS["grammar"]

_QUANTIFIERS = names("ALL ANY SOME")
_COMPARES = re.compile(r"[=<>!~*]+|I?LIKE", re.IGNORECASE)

# Types that take a size or members in brackets. As functions they would only convert.
TYPES = WORDS["types"]


class Call(NamedTuple):
    """One call of a function."""

    start: int  # Where its name starts in the text
    path: tuple[str, ...]  # Its name, after the names that qualify it; an expression before a dot gives an empty one
    in_from: bool  # True when it stands in FROM


class _Places(NamedTuple):
    named: set[int]
    in_from: set[int]
    called: set[int]


def calls(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str = "") -> Iterator[Call]:
    """Every function that is called, in order.

    Args:
        lexed: The query's words.
        nodes: The nodes of its tree.
        dialect: sqlglot's name.
    """
    record = dialect_of(dialect)
    places = _places(nodes, record)
    tokens = lexed.tokens
    for index in range(len(tokens) - 1):
        if lexed.text[tokens[index + 1].start] != "(":
            continue
        token, raw = tokens[index], lexed.raws[index]
        bare = raw[0].isalpha() or raw[0] in "_$"
        if bare and (_is_quantifier(lexed, index, record) or (raw.upper() == "TABLE" and record.table_calls)):
            continue
        quoted = raw[0] in '"`[' and raw != "["
        if not (quoted or bare) or token.start in places.named or _is_mark(lexed, index):
            continue
        if bare and _is_grammar(raw, record) and token.start not in places.called and not _after_dot(lexed, index):
            continue
        yield Call(token.start, (*_qualifiers(lexed, index), token.text), token.start in places.in_from)


def _places(nodes: Iterable[exp.Expr], dialect: SQLDialect) -> _Places:
    """Where names of tables start, where functions in FROM start, and where any function starts."""
    from sqlglot import exp

    places = _Places(set(), set(), set())
    for node in nodes:
        if isinstance(node, exp.Func):
            places.called.add(node.meta.get("start", -1))
        elif isinstance(node, exp.TableAlias) and node.this is not None:
            places.named.add(node.this.meta.get("start", -1))
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            places.in_from.add(node.this.meta.get("start", -1))
        elif isinstance(node, exp.Table) and dialect.table_hints and node.args.get("hints"):
            places.named.add(node.this.meta.get("start", -1))  # FROM t (NOLOCK)
    return places


def _is_mark(lexed: Lexed, index: int) -> bool:
    """True for Oracle's outer join ``a.id = b.id (+)``, and for PostgreSQL's ``OPERATOR(pg_catalog.~)``."""
    # An operator of another schema is somebody's function.
    return "".join(lexed.raws[index + 1 : index + 4]) == "(+)" or (
        lexed.word(index) == "OPERATOR" and lexed.word(index + 2) == "PG_CATALOG"
    )


def _is_quantifier(lexed: Lexed, index: int, dialect: SQLDialect) -> bool:
    """True for ``<> ALL ('{a,b}'::text[])``, which sqlglot takes for a function: it stands behind a comparison."""
    if index == 0 or dialect.any_is_function or lexed.word(index) not in _QUANTIFIERS:
        return False
    return _COMPARES.fullmatch(lexed.raws[index - 1]) is not None


def _is_grammar(raw: str, dialect: SQLDialect) -> bool:
    """True for a word of the grammar, and for those that sqlglot reads as one (ORDER BY)."""
    if dialect.any_is_function and raw.upper() in _QUANTIFIERS - {"ALL"}:
        return False
    return raw.upper() in _GRAMMAR or len(raw.split()) > 1


def _after_dot(lexed: Lexed, index: int) -> bool:
    return index > 0 and lexed.raws[index - 1] == "."


def _qualifiers(lexed: Lexed, index: int) -> tuple[str, ...]:
    """The dotted words before a name; an expression before the dot gives an empty word."""
    found: list[str] = []
    while _after_dot(lexed, index):
        index -= 2
        raw = lexed.raw(index)
        word = bool(raw) and (raw[0].isalpha() or raw[0] in '_"`[$')
        found.append(lexed.tokens[index].text if word and raw != "[" else "")
        if not word:
            break
    return tuple(reversed(found))
