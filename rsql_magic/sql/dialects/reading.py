"""Text to tokens to tree, once: the reading of a statement that the guard and the validator share."""

# `lex` gives the statement's own text without comments and trailing semicolons. Everything later works on that text:
# it is parsed, checked and run, so what was checked is what runs. Comments are where lexers of different engines
# disagree (they nest in PostgreSQL, DuckDB and SQL Server but not in MySQL, SQLite and BigQuery; MySQL runs the
# inside of ``/*! */``), so none reaches an engine.
#
# `parse` gives the tree. Trees are cached and shared: no caller may change one.

from __future__ import annotations

import logging
import re
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rsql_magic.sql.dialects.records import dialect_of, known_as, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlglot import Token, exp
    from sqlglot.errors import SqlglotError

# Longest statement read; one of 10,000 listed ids has about 80,000.
MAX_CHARACTERS = 200_000
MAX_TOKENS = 50_000
# Deepest nesting of brackets. People reach 10; engines and parsers recurse and end at about 1,000.
MAX_DEPTH = 100
# Most words of grammar in a row, such as ``IS NOT DISTINCT FROM``. People reach 10.
MAX_WAITING = 50
# Deepest tree: 500 terms in one sum or chain of AND.
MAX_TREE_DEPTH = 500

# First words of a query; an opening bracket may stand before them. FROM, PIVOT and UNPIVOT begin one in DuckDB.
QUERY_WORDS = frozenset(
    {"FROM", "PIVOT", "PIVOT_LONGER", "PIVOT_WIDER", "SELECT", "TABLE", "UNPIVOT", "VALUES", "WITH"}
)

# Statements up to this length are remembered, so that the guard and the validator read each once.
_REMEMBERED = 20_000
# First words after which sqlglot takes the rest as one text without reading it; so it is not shown them.
_COMMANDS = frozenset({"COMMAND", "EXECUTE", "FETCH", "RENAME", "SHOW"})
# ``{#`` opens a comment of Jinja, which sqlglot leaves out too.
_COMMENT_STARTS = ("--", "/*", "#", "//", "{#")
_CONTROL = re.compile(r"[^\t\n\r -~]")
_QUOTED = re.compile("['\"`\\[$]")


class Unreadable(ValueError):
    """A statement that cannot be read in its dialect: why, in one sentence, and the place as written."""

    def __init__(self, reason: str, piece: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.piece = piece


class NoStatement(Unreadable):
    """A text without SQL: blank, or nothing but comments."""

    def __init__(self, piece: str = "") -> None:
        super().__init__("There is no SQL here.", piece)


@dataclass(frozen=True, slots=True)
class Lexed:
    """A statement's text without comments, and its tokens."""

    text: str  # The text: the user's own spelling, comments and trailing semicolons left out
    tokens: tuple[Token, ...]  # sqlglot's tokens; ``start`` and ``end`` point into ``text``
    raws: tuple[str, ...]  # The tokens as written
    comments: tuple[str, ...] = ()  # The comments that were left out, as written

    def word(self, index: int) -> str:
        """The token at ``index`` as a bare word in capitals, or "" for anything else, also past the end."""
        raw = self.raw(index)
        return raw.upper() if raw[:1].isalpha() or raw[:1] == "_" else ""

    def first_word(self) -> str:
        """The first word behind any opening brackets, in capitals."""
        index = 0
        while self.raw(index) == "(":
            index += 1
        return self.word(index)

    def raws_behind(self, start: int) -> tuple[str, ...]:
        """The tokens, as written, behind the one that starts at a place."""
        return self.raws[next(i for i, token in enumerate(self.tokens) if token.start == start) + 1 :]

    def raw(self, index: int) -> str:
        """The token at ``index`` as written, or "" past either end."""
        return self.raws[index] if 0 <= index < len(self.raws) else ""


# Names come from connections and magics, a handful in a session.
@lru_cache(maxsize=64)
def canonical(dialect: str) -> str:
    """Sqlglot's name of a dialect, also from SQLAlchemy's or a person's.

    Raises:
        Unreadable: No such dialect.

    Example:
        >>> canonical("PostgreSQL"), canonical("MariaDB"), canonical("duckdb")
        ('postgres', 'mysql', 'duckdb')
    """
    from sqlglot.dialects.dialect import Dialect

    if not (name := known_as(dialect)) or Dialect.get(name) is None:
        raise Unreadable(f"{dialect!r} is not a SQL dialect known here.")
    return name


def lex(sql: str, dialect: str) -> Lexed:
    """Read a statement's tokens and leave out its comments and the semicolons around it.

    More than one statement is read too: the caller says what is wrong with that.

    Raises:
        Unreadable: Too long, too deep, an open quote or comment, or a character that can hide something.

    Example:
        >>> lex("SELECT a -- all of it", "duckdb").text
        'SELECT a'
    """
    return (_lexed if len(sql) <= _REMEMBERED else _lex)(sql, dialect)


def parse(text: str, dialect: str) -> exp.Expr:
    """Parse one statement that `lex` has cleaned. The tree is shared: neither change it nor write SQL from it."""
    # What sqlglot does not read is shown to it in a spelling that it reads (`spellings`), so the tree says what is read
    # and called, and not in every mark what stands in the text. What is not exactly one statement is `Unreadable`.
    return (_parsed if len(text) <= _REMEMBERED else _parse)(text, dialect)


def _lex(sql: str, dialect: str) -> Lexed:
    text = _bounded(sql)
    tokens = _tokens(text, dialect)
    cleaned, comments = _without_comments(text, tokens, dialect)
    if cleaned != text:
        tokens = _tokens(cleaned, dialect)
    _refuse_hidden(cleaned, tokens)
    _refuse_depth(tokens)
    raws = tuple(cleaned[token.start : token.end + 1] for token in tokens)
    return Lexed(cleaned, tuple(tokens), raws, tuple(comments))


def own_trees(text: str, dialect: str = "") -> list[exp.Expr]:
    """The trees of all statements of a text as sqlglot reads it, to be changed and written, comments and all.

    This is the way to sqlglot's parser for text of any origin: what would take it too deep, and end the process, is
    refused as by `lex`.

    Raises:
        Unreadable: It is too long, too deep or no SQL of the dialect.

    Example:
        >>> [tree.sql("mysql") for tree in own_trees('SELECT "a"; SELECT 2', "duckdb")]
        ['SELECT `a`', 'SELECT 2']
    """
    try:
        lex(text, dialect)
    except NoStatement:
        return []
    return [tree for tree in _trees(text, dialect) if tree is not None]


def own_tree(text: str, dialect: str = "") -> exp.Expr:
    """The tree of one statement, as `own_trees` gives it.

    Raises:
        Unreadable: As there, or it is not exactly one statement.
    """
    from sqlglot import exp

    trees = [tree for tree in own_trees(text, dialect) if not isinstance(tree, exp.Semicolon)]  # with a comment behind
    if len(trees) != 1:
        raise Unreadable("This is not exactly one statement.")
    return trees[0]


def _parse(text: str, dialect: str) -> exp.Expr:
    trees = _trees(text, dialect, for_the_parser)
    if len(trees) != 1 or trees[0] is None:
        raise Unreadable("This is not exactly one statement.")
    return trees[0]


def _trees(text: str, dialect: str, spelled: Callable[[str, str], str] = lambda text, _: text) -> list[exp.Expr | None]:
    from sqlglot.errors import SqlglotError

    try:
        with _no_warnings():
            return _read(spelled(text, dialect), dialect)
    except SqlglotError as error:
        raise _unreadable(error) from None
    except RecursionError:
        raise Unreadable("This statement is nested too deeply to be read.") from None
    except Exception:  # noqa: BLE001  sqlglot's builders raise anything on bad SQL: IndexError, TypeError, ValueError, …
        raise Unreadable("This does not read as SQL of this dialect.") from None


# Between these a word is a name: an operand stands there.
_OPERATORS = frozenset([",", ".", "+", "-", "*", "/", "%", "=", "<>", "!=", "<", ">", "<=", ">=", "||"])
_BEFORE_OPERAND = _OPERATORS | names("SELECT DISTINCT WHERE AND OR NOT ON BY HAVING CASE WHEN THEN ELSE (")
_BEHIND_OPERAND = _OPERATORS - {"."} | names(
    "FROM AS AND OR IS IN BETWEEN NOT LIKE THEN WHEN ELSE END ASC DESC WHERE GROUP ORDER HAVING LIMIT JOIN UNION ) ;"
)


def _read(text: str, dialect: str) -> list[exp.Expr | None]:
    """The trees of a text; where it cannot be read, with words as names that the engine takes for names."""
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import SqlglotError

    own = Dialect.get_or_raise(dialect)
    try:
        return own.parse(text)
    except SqlglotError:
        if (tokens := _with_names(own.tokenize(text), text, dialect)) is None:
            raise
        return own.parser().parse(tokens, text)


def _with_names(tokens: list[Token], text: str, dialect: str) -> list[Token] | None:
    """The tokens with words as names that stand as operands and are `names_as_well`; None where there is none."""
    known = dialect_of(dialect).names_as_well
    # A token may be of several words: GROUP BY.
    raws = [text[token.start : token.end + 1].upper().split() for token in tokens]
    found = [
        raw[0].lower() in known and before[-1] in _BEFORE_OPERAND and behind[0] in _BEHIND_OPERAND
        for before, raw, behind in zip([[""], *raws], raws, [*raws[1:], [";"]], strict=False)
    ]
    if not any(found):
        return None
    return [_as_name(token, dialect) if one else token for token, one in zip(tokens, found, strict=True)]


def _as_name(token: Token, dialect: str) -> Token:
    from sqlglot import TokenType

    name = token.text.lower() if dialect_of(dialect).folds == "lower" else token.text
    places = {"line": token.line, "col": token.col, "start": token.start, "end": token.end}
    return type(token)(TokenType.IDENTIFIER, name, **places, comments=token.comments)


def for_the_parser(text: str, dialect: str) -> str:
    """The text, with what sqlglot does not read in a spelling that it reads; its places are the same."""
    from rsql_magic.sql.dialects.spellings import may_differ, shown

    if not may_differ(text, dialect):
        return text
    lexed = lex(text, dialect)
    return shown(lexed, dialect) if lexed.text == text else text


# The guard, validation and join notes read the same statement one after the other.
_lexed = lru_cache(maxsize=256)(_lex)
_parsed = lru_cache(maxsize=256)(_parse)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep sqlglot from printing that it did not understand something: the result shows it."""
    logger = logging.getLogger("sqlglot")
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(_record: logging.LogRecord) -> bool:
    return False


def is_within(node: exp.Expr, around: exp.Expr | None) -> bool:
    """Whether a node is a part of another, or that other itself."""
    at: exp.Expr | None = node
    while at is not None and at is not around:
        at = at.parent
    return at is not None


def start(node: exp.Expr) -> int:
    """Where a node begins in its text; 0 for a node without a place of its own."""
    return min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=0)


def written(node: exp.Expr, text: str, limit: int = 80) -> str:
    """A node as it stands in the text, or the text's beginning for a node that has no place of its own."""
    if not (places := [part.meta for part in node.walk() if "start" in part.meta]):
        return text[:limit]
    return text[min(place["start"] for place in places) : max(place["end"] for place in places) + 1][:limit]


def written_call(node: exp.Expr, text: str) -> str:
    """A call as it stands in the text, with the bracket that its last argument leaves open."""
    call = written(node, text, 60)
    return call + ")" * (call.count("(") - call.count(")"))


def _bounded(sql: str) -> str:
    """The text between white space, when its size and characters are fit to be read."""
    if len(sql) > MAX_CHARACTERS:
        raise Unreadable(f"This statement is longer than {MAX_CHARACTERS:,} characters.")
    if "\0" in sql:
        raise Unreadable("This statement holds a NUL character, where some engines stop reading.")
    if not sql.isascii() and any("\ud800" <= c <= "\udfff" for c in sql):
        raise Unreadable("This statement holds half of a character (an unpaired surrogate).")
    # Editors of Windows begin a file with a byte order mark.
    if not (text := sql.strip().removeprefix("\ufeff").strip()):
        raise NoStatement
    return text


def _tokens(text: str, dialect: str) -> list[Token]:
    from sqlglot.dialects.dialect import Dialect

    tokenize = Dialect.get_or_raise(dialect).tokenize
    try:
        tokens = tokenize(text)
        # sqlglot takes what follows such a word as one text; behind a word that is none it reads on.
        command = next((token for token in tokens[:50] if token.text != ";"), None)
        if command is not None and command.token_type.name in _COMMANDS:
            start, end = command.start, command.end + 1
            tokens = tokenize(text[:start] + "x" * (end - start) + text[end:])
    except Exception:  # noqa: BLE001  sqlglot raises anything on bad SQL: IndexError, ValueError, …
        raise Unreadable("A quote or a comment is opened and never closed.", text[-40:]) from None
    if len(tokens) > MAX_TOKENS:
        raise Unreadable(f"This statement has more than {MAX_TOKENS:,} words.")
    return tokens


def _without_comments(text: str, tokens: list[Token], dialect: str) -> tuple[str, list[str]]:
    """The text between its outer semicolons with white space for comments, and the comments."""
    from sqlglot import TokenType

    doubles = dialect_of(dialect).doubles_escaped_quotes
    if not (kept := list(_inner(tokens))):
        raise NoStatement(text[:40])
    pieces: list[str] = []
    comments: list[str] = []
    position = kept[0].start
    comments += _gap(text[:position].replace(";", " "))[1]
    for token in kept:
        if token.token_type is TokenType.HINT:
            comments.append(text[token.start : token.end + 1])
            position = token.start
            continue
        gap, comment = _gap(text[position : token.start])
        comments += comment
        raw = text[token.start : token.end + 1]
        pieces += (gap, _plain_quotes(raw) if doubles else raw)
        position = token.end + 1
    comments += _gap(text[position:].replace(";", " "))[1]
    return "".join(pieces).strip(), comments


def _inner(tokens: list[Token]) -> Iterator[Token]:
    """The tokens without leading and trailing semicolons."""
    from sqlglot import TokenType

    first, last = 0, len(tokens)
    while first < last and tokens[first].token_type is TokenType.SEMICOLON:
        first += 1
    while last > first and tokens[last - 1].token_type is TokenType.SEMICOLON:
        last -= 1
    yield from tokens[first:last]


def _gap(between: str) -> tuple[str, list[str]]:
    """What may stand between two tokens, and the comments that stood there."""
    if not between or not between.strip(" \t\r\n"):
        return between, []
    if (comment := between.strip()) and not comment.startswith(_COMMENT_STARTS):
        raise Unreadable("This statement holds a character that SQL does not know.", comment[:20])
    # A comment parts words as a blank does; the line end is kept, so that places in messages stay readable.
    space = between[between.rfind("\n") :] if "\n" in between else " "
    return space if not space.strip() else "\n", [comment] if comment else []


def _plain_quotes(raw: str) -> str:
    r"""A MySQL string with its quotes doubled instead of escaped, which every SQL mode reads alike."""
    if (quote := raw[:1]) not in {"'", '"'} or "\\" not in raw:
        return raw
    inside = re.sub(r"\\(.)", lambda m: quote * 2 if m[1] == quote else m[0], raw[1:-1], flags=re.DOTALL)
    return f"{quote}{inside}{raw[-1]}"


def _refuse_hidden(text: str, tokens: list[Token]) -> None:
    """Refuse characters outside quotes that a reader cannot see or takes for others."""
    if text.isascii() and not _CONTROL.search(text):
        return
    for token in tokens:
        raw = text[token.start : token.end + 1]
        if not _QUOTED.search(raw) and (odd := next((c for c in raw if not _is_plain(c)), "")):
            name = unicodedata.name(odd, f"U+{ord(odd):04X}")
            reason = f"This statement holds a character that looks like another or is invisible: {name}."
            raise Unreadable(reason, raw[:40])


def _is_plain(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    # A letter that another stands for after normalisation (ſ for s) would be read as that by some engines.
    return unicodedata.category(character)[0] in "LMN" and unicodedata.normalize("NFKC", character) == character


def _refuse_depth(tokens: list[Token]) -> None:
    """Refuse what a parser would follow too deep: brackets, CASE, and words that each wait for the next."""
    # sqlglot is compiled, so a recursion without end ("FROM FROM FROM …") would end the whole process.
    from sqlglot import TokenType as T

    opening, closing = {T.L_PAREN, T.L_BRACKET, T.L_BRACE, T.CASE}, {T.R_PAREN, T.R_BRACKET, T.R_BRACE, T.END}
    ending = {T.VAR, T.IDENTIFIER, T.STRING, T.NUMBER, T.COMMA, T.L_PAREN, T.R_PAREN, T.R_BRACKET, T.SEMICOLON}
    depth = waiting = 0
    for token in tokens:
        kind = token.token_type
        depth += (kind in opening) - (kind in closing)
        waiting = 0 if kind in ending else waiting + 1
        if depth > MAX_DEPTH:
            raise Unreadable(f"This statement has more than {MAX_DEPTH} brackets or CASE inside each other.")
        if waiting > MAX_WAITING:
            raise Unreadable(f"This statement has more than {MAX_WAITING} words of grammar in a row.", token.text)


def _unreadable(error: SqlglotError) -> Unreadable:
    """A parser's error as one sentence and the place."""
    first = (getattr(error, "errors", None) or [{}])[0]
    piece = str(first.get("highlight") or "")
    where = f" near {piece!r} (line {first['line']}, column {first['col']})" if piece else ""
    return Unreadable(f"This does not read as SQL of this dialect{where}.", piece)


def is_query(sql: str, dialect: str) -> bool:
    """Whether a statement is a query, which can stand in a FROM, and not EXPLAIN, SHOW or PRAGMA."""
    from sqlglot import exp

    try:
        return isinstance(parse(lex(sql, dialect).text, dialect), exp.Query)
    except Unreadable:
        return False


def count_sql(sql: str, dialect: str, columns: int) -> str | None:
    """A statement that counts the rows of another, which the guard gave; None when that is no query.

    The other one stands in it as it was written, without a last ORDER BY where that changes nothing. MySQL refuses a
    subquery that has a column name twice, so there its ``columns``, so many, get new names. SQL Server takes no WITH
    inside, so there the statement is written anew.

    Example:
        >>> count_sql("SELECT a, a FROM t ORDER BY b", "sqlite", 2)
        'SELECT COUNT(*) FROM (SELECT a, a FROM t) q'
        >>> count_sql("SELECT a, a FROM t LIMIT 9", "mysql", 2)
        'WITH q(c0, c1) AS (SELECT a, a FROM t LIMIT 9) SELECT COUNT(*) FROM q'
    """
    from sqlglot import exp

    try:
        lexed = lex(sql, dialect)
        tree = parse(lexed.text, dialect)
    except Unreadable:
        return None
    if not isinstance(tree, (exp.Query, exp.Pivot)):
        return None
    record = dialect_of(dialect)
    bounded = any(tree.args.get(part) for part in ("limit", "offset", "distinct"))
    if not record.with_in_subqueries and isinstance(tree, exp.Query):
        tree = tree.copy()
        if not bounded:
            tree.set("order", None)
        return exp.select("COUNT(*)").from_(tree.subquery("q")).sql(dialect)
    inner = lexed.text if bounded or not tree.args.get("order") else lexed.text[: _last_order(lexed)].rstrip()
    if not record.repeated_columns:
        names = ", ".join(f"c{place}" for place in range(columns))
        return f"WITH q({names}) AS ({inner}) SELECT COUNT(*) FROM q"  # noqa: S608 - a guarded statement
    return f"SELECT COUNT(*) FROM ({inner}) q"  # noqa: S608 - a guarded statement


def _last_order(lexed: Lexed) -> int:
    """Where the last ORDER BY outside brackets begins; the end of the text when there is none."""
    depth, place = 0, len(lexed.text)
    for index, raw in enumerate(lexed.raws):
        depth += (raw in {"(", "["}) - (raw in {")", "]"})
        if depth == 0 and lexed.word(index).startswith("ORDER"):
            place = lexed.tokens[index].start
    return place
