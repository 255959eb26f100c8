"""Every token of a query is accounted for by its tree, and nothing puts other text into it when it is run."""

# The guard judges a tree, and an engine reads the text. What the parser leaves out of the tree nobody has judged: a
# clause it skips, a statement behind an operator it does not know. So each name and each text of the query, and each
# word that begins a statement that does more than read, must be in the tree: at its place, which sqlglot notes for
# nearly all, or among what has no place, as often as in the text. Names of
# functions are left to ``refuse_unknown_calls``, which reads them off the text itself, and so are the texts between
# their brackets, such as formats of dates, of which sqlglot keeps a translation. Numbers do nothing by themselves.

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import for_the_parser, lex, written
from rsql_magic.sql.dialects.records import dialect_of, functions, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlglot import exp

    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import Functions

# Words of grammar that sqlglot reads as names. They hold nothing: what they are about stands beside them.
_GRAMMAR = names(
    """
    AGGREGATE AT BERNOULLI BLOCK BY COLUMNS CONDITIONAL CYCLE DEFAULT DEFINE EMPTY ERROR EXCLUDE EXCLUDING EXTEND
    FIRST FOR GROUP GROUPS IF IGNORE INCLUDE INCLUDING INDEXED KEEP KEY KEYS LAMBDA LAST LOCAL MATCH MAX MEASURES
    MIN MONTH NAME NAMES NESTED NEXT NULLS OBJECT OF ON ONLY ORDINALITY OTHERS OVERFLOW PASSING PAST PATH PATTERN
    PERCENT PLACING PRIOR QUOTES REPEATABLE RESPECT ROW ROWS SAMPLE SCALAR SEARCH SEED SKIP SOUNDS START STRING
    SYSTEM SYSTEM_TIME TIES TIME TO UESCAPE UNCONDITIONAL UNIQUE VALUE WITHIN WITHOUT WRAPPER ZONE
    """
)
_DATE_PARTS = names(
    """
    CENTURY D DAY DAYOFMONTH DAYOFWEEK DAYOFYEAR DAYS DD DECADE DOW DOY DW DY EPOCH HH HOUR HOURS ISODOW ISOWEEK ISOYEAR
    ISO_WEEK M MCS MI MICROSECOND MICROSECONDS MILLENNIUM MILLISECOND MILLISECONDS MINUTE MINUTES MM MONTHS MS N
    NANOSECOND NANOSECONDS NS Q QQ QUARTER QUARTERS S SECOND SECONDS SS TZOFFSET W WEEK WEEKDAY WEEKS WK WW Y YEAR YEARS
    YY YYYY
    """
)
_STATEMENTS = names(
    """
    ALTER ATTACH CALL COPY CREATE DELETE DETACH DROP EXEC EXECUTE GRANT INSERT INSTALL LOAD MERGE PREPARE PUT REMOVE
    REVOKE RM TRUNCATE UNLOAD UPDATE
    """
)
_CONTENT = names(
    """
    BYTE_STRING HEREDOC_STRING IDENTIFIER NATIONAL_STRING RAW_STRING STRING UNICODE_STRING VAR
    """
)
_NAMES = names("IDENTIFIER VAR")
_IN_BRACES = re.compile(
    r"(?i)(?:d|t|ts)\Z|[\d,-]"
)  # ODBC's ``{d '2024-01-01'}``; in PATTERN ``A{2,3}`` and ``{- A -}``
_WORD = re.compile(r"\w+")


def refuse_substitution(lexed: Lexed, dialect: str) -> None:
    """Refuse what is replaced before an engine reads the query: Spark's ``${env:HOME}``, in quotes too, and Jinja's."""
    record = dialect_of(dialect)
    if record.substitutes_variables and (at := lexed.text.find("${")) >= 0:
        raise _substituted("Spark puts the value of a variable here before it reads the query.", lexed.text[at:])
    for token, raw, behind in zip(lexed.tokens, lexed.raws, (*lexed.raws[1:], ""), strict=True):
        is_template = lexed.text[token.start : token.start + 2] in {"{{", "{%"}
        is_odd = raw == "{" and not record.brace_literals and not _IN_BRACES.match(behind)
        if is_template or is_odd:
            reason = "A template puts something in here." if is_template else "Nothing in braces is read here."
            raise _substituted(reason, lexed.text[token.start :])


def refuse_parameters(nodes: Iterable[exp.Expr], text: str, dialect: str) -> None:
    """Refuse what a driver replaces by a value that is given separately: ``?``, ``:x``, ``$1``, ``@x``."""
    from sqlglot import exp

    has_own = dialect_of(dialect).session_variables
    for node in nodes:
        is_own = has_own or any(isinstance(each, exp.Parameter) for each in (node.this, node.parent))  # ``@@version``
        if isinstance(node, exp.Placeholder) or (isinstance(node, exp.Parameter) and not is_own):
            raise _substituted("This stands for a value that is given separately, and none is.", written(node, text))


def _substituted(reason: str, piece: str) -> QueryRejected:
    return QueryRejected(reason, piece=piece[:40], hint="Write the value itself.", repairable=True)


def refuse_unaccounted(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str) -> None:
    """Refuse a query of which a token is in no node of its tree, or less often than in the text.

    Args:
        lexed: The query as it is run.
        nodes: All nodes of its tree.
        dialect: sqlglot's name of the dialect.
    """
    lexed = lex(for_the_parser(lexed.text, dialect), dialect)  # what is blanked there, `spellings` has read
    record = dialect_of(dialect)
    for operator, is_another in (("->>", record.flows), ("|>", not record.pipes)):
        if is_another and operator in lexed.raws:
            raise _refused(operator)
    content = list(_content_of(lexed, dialect))
    if not content:
        return
    nodes = list(nodes)
    placed = {node.meta["start"] for node in nodes if "start" in node.meta}
    wanted = Counter(word for start, word in content if start not in placed)
    if not wanted:
        return
    found = _words_of(node for node in nodes if not ("start" in node.meta and node.is_primitive))
    for word, count in wanted.items():
        # Texts may be taken apart, as the path ``$.a.b`` and the interval ``1 day`` are.
        parts = _WORD.findall(word)
        if found[word] < count and not (parts and all(found[part] >= count for part in parts)):
            raise _refused(word)


def _content_of(lexed: Lexed, dialect: str) -> Iterator[tuple[int, str]]:
    """The names, texts and words that the tree has to say, in small letters, and where each begins."""
    from sqlglot.dialects.dialect import Dialect

    known, callable_ = functions(dialect), Dialect.get_or_raise(dialect).parser_class.FUNC_TOKENS
    raws = (*lexed.raws, "", "", "")  # no call for each token: most queries are read by the thousand
    in_call: list[bool] = []  # of each bracket that is open, whether it is a function's
    for index, (token, raw) in enumerate(zip(lexed.tokens, lexed.raws, strict=True)):
        kind, word, behind = token.token_type.name, raw.upper(), raws[index + 1]
        # A subquery among the arguments of a function is no argument itself: sqlglot may leave it out.
        is_argument = bool(in_call) and in_call[-1]
        if raw == "(":
            in_call.append(index > 0 and lexed.tokens[index - 1].token_type in callable_)
        elif raw == ")" and in_call:
            in_call.pop()
        elif kind in _NAMES:
            is_grammar = kind == "VAR" and (word in _GRAMMAR or behind == "=>")
            is_grammar = is_grammar or (word in _DATE_PARTS and is_argument)  # kept in another spelling
            if not is_grammar and not _names_a_call(lexed, raws, index, known):
                yield token.start, token.text.lower()
        elif kind in _CONTENT:
            if not is_argument:
                yield token.start, token.text.lower()
        # ``LISTAGG(… ON OVERFLOW TRUNCATE)``
        elif word in _STATEMENTS and behind != "(" and raws[index - 1].upper() != "OVERFLOW":
            yield token.start, word.lower()


def _names_a_call(lexed: Lexed, raws: Sequence[str], index: int, known: Functions) -> bool:
    """Whether a name is that of a function, or of what it is in: both of ``NET.HOST(…)``."""
    path = [lexed.tokens[index].text]
    while raws[index + 1] == "." and raws[index + 2] not in {"", "*"}:
        index += 2
        path.append(lexed.tokens[index].text)
    return raws[index + 1] == "(" or (len(path) > 1 and known.allows(".".join(path).lower()))


def _words_of(nodes: Iterable[exp.Expr]) -> Counter[str]:
    """How many values of nodes say each text, and each word within one."""
    from sqlglot import exp

    found: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, exp.Func):  # some are written without brackets: ``sysdate``
            found.update(name.lower() for name in type(node).sql_names())
        for name, value in node.args.items():
            if value is True:  # a word that is kept as a mark
                found[name.lower()] += 1
            for one in value if isinstance(value, list) else (value,):
                text = str(one) if type(one) in {str, int} else getattr(one, "value", None)
                if isinstance(text, str):
                    text = text.lower()
                    found.update({text, *_WORD.findall(text)})
    return found


def _refused(piece: str) -> QueryRejected:
    return QueryRejected(
        "This is a part of the query that could not be read, so it is not known what it does.",
        piece=piece[:60],
        hint="Leave it out, or write it another way.",
    )
