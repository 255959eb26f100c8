"""Harmless spellings that sqlglot does not read, shown to its parser as others of the same length that it reads."""

# Only the parser sees the substitute: the text that is checked word by word and runs stays as it was written, and
# every place in the tree still points into it. Only words and marks of the grammar are replaced, by a fixed list for
# each dialect. No name, no call, no bracket around an expression and no value ever is, but for values that can only
# be data (a language in ``PARSE(… USING 'en-US')``, a default in ``DEFAULT 0 ON EMPTY``). So whatever a query reads
# or calls is in the tree that the guard walks, and what is not listed here is still refused.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.sql.dialects.reading import Lexed


class _Substitute(NamedTuple):
    start: int
    end: int
    shown: str = ""


_MARKS = frozenset("+-*/<>=~!@#%^&|`?")
_DISTANCES = names("<#> <+> <~> <%> <->> <->>> <<-> <<<-> <#>#")
_CONDITIONS = names(
    """
    ## %> %>> &&& &<| &/& <% <<= >>= <<| |>> <^ >^ ?# ?-| ?|| @>> <<@ |&> ~= ~== ~<~ ~<=~ ~>~ ~>=~ *< *<= *= *<> *> *>=
    """
)
# Operators of PostgreSQL, pgvector, pg_trgm and PostGIS, and one of the same length that sqlglot knows.
_OPERATORS = {**dict.fromkeys(_DISTANCES, "<->"), **dict.fromkeys(_CONDITIONS, "&&"), "@": "-"}

# Types that stand before a text of PostgreSQL: ``box '((0,0),(1,1))'``.
_TYPES_OF_TEXTS = names("box circle int4range jsonpath line lseg macaddr macaddr8 pg_lsn polygon tsquery tsvector")


def shown(lexed: Lexed, dialect: str) -> str:
    """The text for the parser: the statement's own, or one of the same length that sqlglot reads.

    Example:
        >>> from rsql_magic.sql.dialects.reading import lex
        >>> shown(lex("SELECT * FROM t ORDER BY a USING >", "postgres"), "postgres")
        'SELECT * FROM t ORDER BY a        '
    """
    text = lexed.text
    for substitute in (s for name in dialect_of(dialect).spellings for s in _RULES[name][0](lexed)):
        width = substitute.end - substitute.start
        text = text[: substitute.start] + substitute.shown.ljust(width) + text[substitute.end :]
    return text


def may_differ(text: str, dialect: str) -> bool:
    """Whether a statement holds anything that `shown` may replace: a quick look before a close one."""
    return any(re.search(_RULES[name][1], text, re.IGNORECASE) for name in dialect_of(dialect).spellings)


def _words(lexed: Lexed, first: int, last: int, show: str = "") -> _Substitute:
    return _Substitute(lexed.tokens[first].start, lexed.tokens[last].end + 1, show)


def _is_text(lexed: Lexed, index: int) -> bool:
    return lexed.raw(index)[:1] == "'"


def _touches(lexed: Lexed, index: int) -> bool:
    """True when nothing stands between a token and the next."""
    return index + 1 < len(lexed.tokens) and lexed.tokens[index].end + 1 == lexed.tokens[index + 1].start


def _behind(lexed: Lexed, index: int, *choices: str) -> int:
    """The index behind words that may follow each other: each of ``choices`` names one word or its alternatives."""
    # A choice that begins with ``?`` may be missing. 0 when they do not stand there.
    for choice in choices:
        if lexed.word(index) in choice.removeprefix("?").split("|"):
            index += 1
        elif not choice.startswith("?"):
            return 0
    return index


def _operators(lexed: Lexed) -> Iterator[_Substitute]:
    """Operators, which in PostgreSQL are as long as their marks go on."""
    index = 0
    while index < len(lexed.tokens):
        last = index
        if _MARKS.issuperset(lexed.raw(index)):
            while _touches(lexed, last) and _MARKS.issuperset(lexed.raw(last + 1)):
                last += 1
            if (run := lexed.text[lexed.tokens[index].start : lexed.tokens[last].end + 1]) in _OPERATORS:
                yield _words(lexed, index, last, _OPERATORS[run])
        index = last + 1


def _order_using(lexed: Lexed) -> Iterator[_Substitute]:
    """``ORDER BY a USING >``."""
    for index in range(len(lexed.tokens) - 1):
        if lexed.word(index) == "USING" and lexed.raw(index + 1) in {"<", ">", "<=", ">="}:
            yield _words(lexed, index, index + 1)


def _typed_texts(lexed: Lexed) -> Iterator[_Substitute]:
    """``box '(1,1),(0,0)'``."""
    for index in range(len(lexed.tokens) - 1):
        if lexed.word(index).lower() in _TYPES_OF_TEXTS and _is_text(lexed, index + 1) and lexed.raw(index - 1) != ".":
            yield _words(lexed, index, index)


def _json_wrappers(lexed: Lexed) -> Iterator[_Substitute]:
    """``json_query(a, '$.b' WITH CONDITIONAL WRAPPER OMIT QUOTES)``."""
    for index in range(len(lexed.tokens)):
        wrapped = _behind(lexed, index, "WITH|WITHOUT", "?CONDITIONAL|UNCONDITIONAL", "?ARRAY", "WRAPPER")
        if end := wrapped or _behind(lexed, index, "KEEP|OMIT", "QUOTES"):
            yield _words(lexed, index, end - 1)


def _json_defaults(lexed: Lexed) -> Iterator[_Substitute]:
    """``COLUMNS (a INT PATH '$.a' DEFAULT '0' ON EMPTY NULL ON ERROR)`` and ``EXISTS PATH``, in JSON_TABLE."""
    if not any(lexed.word(index) == "JSON_TABLE" for index in range(len(lexed.tokens))):
        return
    for index in range(len(lexed.tokens)):
        with_value = _is_text(lexed, index + 1) or lexed.raw(index + 1).isdigit()
        begin = index + 2 if lexed.word(index) == "DEFAULT" and with_value else _behind(lexed, index, "NULL|ERROR")
        if begin and (end := _behind(lexed, begin, "ON", "EMPTY|ERROR")):
            yield _words(lexed, index, end - 1)
        elif _behind(lexed, index, "EXISTS", "PATH"):
            yield _words(lexed, index, index)


_MODIFIERS = (
    *("?HIGH_PRIORITY", "?STRAIGHT_JOIN", "?SQL_SMALL_RESULT|SQL_BIG_RESULT", "?SQL_BUFFER_RESULT", "?SQL_NO_CACHE"),
    *("?SQL_CALC_FOUND_ROWS", "ALL|DISTINCT|DISTINCTROW"),
)


def _select_modifiers(lexed: Lexed) -> Iterator[_Substitute]:
    """``SELECT HIGH_PRIORITY DISTINCTROW a``: how to run it, which changes nothing of what is read."""
    for index in range(len(lexed.tokens) - 1):
        end = lexed.word(index) == "SELECT" and _behind(lexed, index + 1, *_MODIFIERS)
        if end and end > index + 2:
            yield _words(lexed, index + 1, end - 2)


def _rows_examined(lexed: Lexed) -> Iterator[_Substitute]:
    """``LIMIT 5 ROWS EXAMINED 100`` and ``LIMIT ROWS EXAMINED 100``: a bound on the work, of MariaDB."""
    for index in range(1, len(lexed.tokens) - 2):
        says = lexed.word(index) == "ROWS" and lexed.word(index + 1) == "EXAMINED" and lexed.raw(index + 2).isdigit()
        if says:
            yield _words(lexed, index - 1 if lexed.word(index - 1) == "LIMIT" else index, index + 2)


def _restricted_cycles(lexed: Lexed) -> Iterator[_Substitute]:
    """``) CYCLE a, b RESTRICT``: a recursion of MariaDB leaves out rows whose columns it had before."""
    for index in range(1, len(lexed.tokens)):
        if lexed.word(index) == "CYCLE" and lexed.raw(index - 1) == ")":
            end = index + 2
            while lexed.raw(end) == "," and lexed.word(end - 1):
                end += 2
            if lexed.word(end - 1) and lexed.word(end) == "RESTRICT":
                yield _words(lexed, index, end)


def _odbc_dates(lexed: Lexed) -> Iterator[_Substitute]:
    """``{d '2024-01-01'}``."""
    for index in range(len(lexed.tokens) - 3):
        opens, closes = lexed.raw(index) == "{", lexed.raw(index + 3) == "}"
        if opens and closes and lexed.word(index + 1) in {"D", "T", "TS"} and _is_text(lexed, index + 2):
            yield _words(lexed, index, index + 1)
            yield _words(lexed, index + 3, index + 3)


def _collation_of_escape(lexed: Lexed) -> Iterator[_Substitute]:
    r"""``a LIKE 'x\_%' ESCAPE '\' COLLATE NOCASE``."""
    for index in range(len(lexed.tokens) - 3):
        escaped = lexed.word(index) == "ESCAPE" and _is_text(lexed, index + 1)
        if escaped and _behind(lexed, index + 2, "COLLATE", "BINARY|NOCASE|RTRIM"):
            yield _words(lexed, index + 2, index + 3)


def _end_of_pivot(lexed: Lexed) -> Iterator[_Substitute]:
    """``PIVOT t ON … GROUP BY a ORDER BY a LIMIT 3``, when only names and numbers follow ORDER BY."""
    if lexed.word(0) != "PIVOT":
        return
    for index in range(1, len(lexed.tokens)):
        rest = range(index + 1, len(lexed.tokens))
        if lexed.word(index).startswith("ORDER") and all(_is_plain(lexed, place) for place in rest):
            yield _words(lexed, index, len(lexed.tokens) - 1)
            return


_ORDER_WORDS = names("ALL ASC BY DESC FIRST LAST LIMIT NULLS OFFSET")


def _is_plain(lexed: Lexed, index: int) -> bool:
    """True for a name, a number, a comma or a word of ORDER BY and LIMIT; not for UNION, FROM and the like."""
    kind, raw = lexed.tokens[index].token_type.name, lexed.raw(index)
    return kind in {"COMMA", "IDENTIFIER", "NUMBER", "VAR"} or _ORDER_WORDS.issuperset(raw.upper().split())


def _prefixed_texts(*prefixes: str) -> Callable[[Lexed], Iterator[_Substitute]]:
    """``x'AB'`` of DuckDB and ``rb'x'`` of BigQuery: letters that touch a text."""

    def rule(lexed: Lexed) -> Iterator[_Substitute]:
        for index in range(len(lexed.tokens) - 1):
            raw = lexed.raw(index)
            if raw.lower() in prefixes and _touches(lexed, index) and lexed.raw(index + 1)[:1] in "'\"":
                yield _words(lexed, index, index)

    return rule


def _pattern_subsets(lexed: Lexed) -> Iterator[_Substitute]:
    """``SUBSET u = (a, b)`` of MATCH_RECOGNIZE, which joins names of its pattern under another."""
    for index in range(len(lexed.tokens) - 5):
        if lexed.word(index) != "SUBSET" or not lexed.word(index + 1) or lexed.raw(index + 2) != "=":
            continue
        if end := _end_of_names(lexed, index + 3):
            yield _words(lexed, index, end)


def _end_of_names(lexed: Lexed, index: int) -> int:
    """Where a bracket of names closes; 0 when anything else stands in it."""
    if lexed.raw(index) != "(":
        return 0
    while lexed.word(index + 1) and lexed.raw(index + 2) == ",":
        index += 2
    return index + 2 if lexed.word(index + 1) and lexed.raw(index + 2) == ")" else 0


def _languages(lexed: Lexed) -> Iterator[_Substitute]:
    """``PARSE('1,5' AS decimal USING 'de-DE')``."""
    for index in range(1, len(lexed.tokens) - 2):
        literal = re.fullmatch(r"N?'[A-Za-z-]{2,20}'", lexed.raw(index + 1))
        if lexed.word(index) == "USING" and literal and lexed.raw(index + 2) == ")":
            yield _words(lexed, index, index + 1)


def _money(lexed: Lexed) -> Iterator[_Substitute]:
    """``$1.50``."""
    for index in range(len(lexed.tokens)):
        if re.fullmatch(r"\$\d+", raw := lexed.raw(index)):
            yield _words(lexed, index, index, f" {raw[1:]}")


def _not_less(lexed: Lexed) -> Iterator[_Substitute]:
    """``a !< 3`` and ``a !> 3``."""
    for index in range(len(lexed.tokens) - 1):
        run = lexed.raw(index) + lexed.raw(index + 1)
        if run in {"!<", "!>"} and _touches(lexed, index):
            yield _words(lexed, index, index + 1, ">=" if run == "!<" else "<=")


def _names_of_joins(lexed: Lexed) -> Iterator[_Substitute]:
    """``JOIN b USING (id) AS j`` and ``j.id``: a name for the shared columns, which are seen without it too."""
    given: set[str] = set()
    for index in range(1, len(lexed.tokens)):
        closed = _end_of_names(lexed, index) if lexed.word(index - 1) == "USING" else 0
        if closed and lexed.word(closed + 1) == "AS" and lexed.word(closed + 2):
            given.add(lexed.word(closed + 2))
            yield _words(lexed, closed + 1, closed + 2)
    for index in range(len(lexed.tokens) - 1 if given else 0):
        is_behind_dot = index > 0 and lexed.raw(index - 1) == "."
        if lexed.word(index) in given and lexed.raw(index + 1) == "." and not is_behind_dot:
            yield _words(lexed, index, index + 1)


def _steps_of_pipes(lexed: Lexed) -> Iterator[_Substitute]:
    """``|> DROP a, b`` and ``|> RENAME a AS b``, which only name columns; ``|> SET a = f(b)`` as ``|> EXTEND f(b)``."""
    for index in range(len(lexed.tokens) - 2):
        if lexed.raw(index) != "|>":
            continue
        if lexed.word(index + 1) == "SET" and lexed.word(index + 2) and lexed.raw(index + 3) == "=":
            yield _words(lexed, index + 1, index + 3, "EXTEND")
        elif lexed.word(index + 1) in {"DROP", "RENAME"} and (end := _end_of_step(lexed, index + 1)):
            yield _words(lexed, index, end)


def _end_of_step(lexed: Lexed, index: int) -> int:
    """The last of the names, with commas and AS between them, that follow a word until a step or the text ends."""
    renames = lexed.word(index) == "RENAME"
    while lexed.word(index + 1):
        index += 1
        if renames:
            index += lexed.word(index + 1) == "AS"
            index += bool(lexed.word(index + 1))
        if lexed.raw(index + 1) != ",":
            return index if lexed.raw(index + 1) in {"", "|>", ")"} else 0
        index += 1
    return 0


def _factorials(lexed: Lexed) -> Iterator[_Substitute]:
    """``5!``."""
    for index in range(1, len(lexed.tokens)):
        before = lexed.tokens[index - 1].token_type.name
        if lexed.raw(index) == "!" and before in {"NUMBER", "R_PAREN"} and not _touches(lexed, index):
            yield _words(lexed, index, index)


def _grouped_by_all(lexed: Lexed) -> Iterator[_Substitute]:
    """``GROUP BY AUTO``, which Trino has for GROUP BY ALL."""
    for index in range(1, len(lexed.tokens)):
        if lexed.word(index) == "AUTO" and " ".join(lexed.word(index - 1).split()) == "GROUP BY":
            yield _words(lexed, index, index, "ALL")


def _only_in_brackets(lexed: Lexed) -> Iterator[_Substitute]:
    """``FROM ONLY (parts)``: a table without those that inherit from it, which PostgreSQL takes bare, too."""
    for index in range(len(lexed.tokens) - 2):
        if lexed.word(index) != "ONLY" or lexed.raw(index + 1) != "(":
            continue
        end = index + 2
        while lexed.raw(end + 1) == ".":
            end += 2
        if lexed.raw(end + 1) == ")":
            yield _words(lexed, index + 1, index + 1)
            yield _words(lexed, end + 1, end + 1)


# By the names that the records of dialects have for them: the rule, and what a text holds that it may change.
_RULES: dict[str, tuple[Callable[[Lexed], Iterator[_Substitute]], str]] = {
    "collation of escape": (_collation_of_escape, r"\bCOLLATE\b"),
    "end of pivot": (_end_of_pivot, r"^\s*PIVOT\b"),
    "factorials": (_factorials, r"[\d)]\s*!(?!=)"),
    "grouped by all": (_grouped_by_all, r"\bAUTO\b"),
    "hex texts": (_prefixed_texts("x"), r"\bx'"),
    "json defaults": (_json_defaults, r"\bJSON_TABLE\b"),
    "json wrappers": (_json_wrappers, r"\b(?:WRAPPER|QUOTES)\b"),
    "languages": (_languages, r"\bUSING\b"),
    "money": (_money, r"\$\d"),
    "names of joins": (_names_of_joins, r"\bUSING\s*\([^()]*\)\s*AS\b"),
    "not less": (_not_less, r"!\s*[<>]"),
    "odbc dates": (_odbc_dates, r"\{"),
    "only in brackets": (_only_in_brackets, r"\bONLY\s*\("),
    "operators": (_operators, "|".join(re.escape(run) for run in sorted(_OPERATORS, key=len, reverse=True))),
    "order using": (_order_using, r"\bUSING\s*[<>]"),
    "pattern subsets": (_pattern_subsets, r"\bSUBSET\b"),
    "raw bytes": (_prefixed_texts("rb", "br"), r"\b(?:rb|br)['\"]"),
    "rows examined": (_rows_examined, r"\bEXAMINED\b"),
    "restricted cycles": (_restricted_cycles, r"\bRESTRICT\b"),
    "select modifiers": (_select_modifiers, r"\b(?:HIGH_PRIORITY|STRAIGHT_JOIN|SQL_\w+)\b"),
    "steps of pipes": (_steps_of_pipes, r"\|>\s*(?:SET|DROP|RENAME)\b"),
    "typed texts": (_typed_texts, rf"\b(?:{'|'.join(sorted(_TYPES_OF_TEXTS))})\s*'"),
}
