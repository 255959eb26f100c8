"""The kinds of statement that may run, by their first words.

A query is left to the tree walk. The others (EXPLAIN, DESCRIBE, SHOW, PRAGMA) are not in sqlglot's tree in all
dialects, so their few words are read here, token by token, and whatever is not spelled out is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import QUERY_WORDS
from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import SQLDialect

_EXPLAIN_WORDS = names(
    """
    ANALYSE ANALYZE AST CODEGEN COST DISTRIBUTED ESTIMATE EXTENDED FORMATTED JSON LOGICAL PARTITIONS PIPELINE PLAN
    QUERY SYNTAX TABULAR TEXT TREE TYPE USING VERBOSE
    """
)
_DESCRIBE_WORDS = names("COLUMN DATABASE EXTENDED FORMATTED QUERY SCHEMA TABLE VIEW")

_SHOW_PREFIXES = frozenset({"EXTENDED", "FULL", "GLOBAL", "SESSION", "TERSE"})

_WRITES = """
changes rows: INSERT UPDATE DELETE MERGE REPLACE UPSERT TRUNCATE
changes the schema: CREATE ALTER DROP RENAME COMMENT UNDROP
changes rights: GRANT REVOKE DENY REASSIGN
changes settings: SET RESET USE DISCARD RECONFIGURE DECLARE
starts or ends a transaction: BEGIN START COMMIT ROLLBACK ABORT END SAVEPOINT RELEASE XA SAVE
reads or writes files, or opens another database: COPY EXPORT IMPORT ATTACH DETACH LOAD INSTALL PUT GET LIST LS BULK
reads or writes files, or opens another database: REMOVE RM BACKUP RESTORE UNLOAD
runs other code: CALL EXECUTE EXEC DO PREPARE DEALLOCATE HANDLER RUN
takes a lock: LOCK UNLOCK
does maintenance: VACUUM ANALYZE ANALYSE REINDEX CLUSTER CHECKPOINT OPTIMIZE REPAIR CHECK FLUSH PURGE KILL SHUTDOWN
does maintenance: DBCC REFRESH
talks to other sessions: LISTEN NOTIFY UNLISTEN
is a program and not a query: IF WHILE FOR LOOP REPEAT RAISE RAISERROR THROW PRINT RETURN WAITFOR GOTO
"""
_WHY = {
    word: why
    for why, _, words in (line.partition(": ") for line in _WRITES.strip().splitlines())
    for word in words.split()
}


class Plan(NamedTuple):
    """What is left to check.

    Args:
        query: Text of the query inside, or "" when there is none.
        table: Parts of the name of a table that is described, or none.
    """

    query: str = ""
    table: tuple[str, ...] = ()


def plan(lexed: Lexed, dialect: str) -> Plan:
    """Say what is left to check of a statement, from its first words.

    Raises:
        QueryRejected: It is not a statement that may run.
    """
    first, record = lexed.first_word(), dialect_of(dialect)
    if first in QUERY_WORDS:
        return Plan(query=lexed.text)
    if (first == "EXPLAIN" and record.explains) or (record.analyzes and _is_analyzed_query(lexed)):
        return _explain(lexed, record)
    if first in {"DESC", "DESCRIBE"} and record.describes:
        return _describe(lexed, record)
    if first == "SUMMARIZE" and record.summarizes:
        return _query_or_table(lexed, 1, record)
    if first == "SHOW":
        return _show(lexed, record)
    if first == "PRAGMA" and record.pragmas:
        return _pragma(lexed, record)
    raise QueryRejected(
        _refusal(first),
        piece=lexed.text[:40],
        hint="Only a single query that reads may run here.",
        repairable=first not in _WHY,
    )


def _is_analyzed_query(lexed: Lexed) -> bool:
    """True for MariaDB's ``ANALYZE FORMAT=JSON SELECT …``: what others write as EXPLAIN ANALYZE."""
    index = 4 if _is_format(lexed, 1) else 1
    return lexed.word(0) == "ANALYZE" and _begins_query(lexed, index) and lexed.word(index) != "TABLE"


def _refusal(first: str) -> str:
    if first in _WHY:
        return f"{first} {_WHY[first]}."
    return f"A statement that begins with {first or 'this'!r} is not a query that reads."


def is_slip(word: str) -> bool:
    """Whether the first word behind a semicolon shows a slip: one more query, or a sentence about the first."""
    return word not in _WHY and word not in {"EXPLAIN", "PRAGMA", "SHOW"}


def refuse_second_statement(lexed: Lexed, dialect: str) -> None:
    """SQL Server needs no semicolon between statements, so none of the words that begin one may stand anywhere.

    They are reserved there: as a name each would need brackets.

    Raises:
        QueryRejected: Naming the word.
    """
    words = dialect_of(dialect).statement_words
    for index in range(1, len(lexed.tokens) if words else 0):
        if (word := lexed.word(index)) in words and not _is(lexed, index - 1, "."):
            raise QueryRejected(
                f"{word} begins a second statement in SQL Server.",
                piece=lexed.text[lexed.tokens[index].start :][:60],
                hint=f"As a name it needs brackets: [{word.lower()}].",
            )


def refuse_writing_words(lexed: Lexed) -> None:
    """Refuse INTO and FOR UPDATE by their words, whatever a parser makes of them.

    In DuckDB INTO also names the columns of UNPIVOT.

    Raises:
        QueryRejected: With what follows the word.
    """
    for index in range(1, len(lexed.tokens)):
        word = lexed.word(index)
        if word == "INTO" and lexed.word(index + 1) != "NAME" and not _is(lexed, index - 1, "."):
            raise _refused_words(lexed, index, "INTO writes the result somewhere.")
        if word == "FOR" and lexed.word(index + 1) in {"UPDATE", "SHARE"}:
            raise _refused_words(lexed, index, "This takes a lock on the rows it reads.")


def _refused_words(lexed: Lexed, index: int, reason: str) -> QueryRejected:
    piece = lexed.text[lexed.tokens[index].start :][:60]
    return QueryRejected(reason, piece=piece, hint="Only a single query that reads may run here.")


def _explain(lexed: Lexed, dialect: SQLDialect) -> Plan:
    """EXPLAIN shows a plan; with ANALYZE it also runs the query, which is as harmless as the query itself."""
    index = 1
    while lexed.word(index) in _EXPLAIN_WORDS or _is_format(lexed, index):
        index += 3 if _is_format(lexed, index) else 1
    if _is(lexed, index, "(") and not _begins_query(lexed, index):
        index = _after_options(lexed, index)
    if _begins_query(lexed, index):
        return Plan(query=lexed.text[lexed.tokens[index].start :])
    if dialect.describes_columns:
        return _described(lexed, index, dialect)
    raise QueryRejected(
        "EXPLAIN may only explain a query that reads.", piece=lexed.text[:60], hint="Write EXPLAIN SELECT …"
    )


def _describe(lexed: Lexed, dialect: SQLDialect) -> Plan:
    index = 1
    while lexed.word(index) in _DESCRIBE_WORDS and index + 1 < len(lexed.tokens) and not _is(lexed, index + 1, "."):
        index += 1
    if dialect.describes_everything and index == len(lexed.tokens):
        return Plan()
    if dialect.describes_columns:
        return _explain(lexed, dialect)
    return _query_or_table(lexed, index, dialect)


def _query_or_table(lexed: Lexed, index: int, dialect: SQLDialect) -> Plan:
    if _begins_query(lexed, index) and not (lexed.word(index) == "TABLE" and not dialect.summarizes):
        return Plan(query=lexed.text[lexed.tokens[index].start :])
    return _described(lexed, index, dialect)


def _described(lexed: Lexed, index: int, dialect: SQLDialect) -> Plan:
    """A table's name; in MySQL a column may follow."""
    parts, index = _dotted(lexed, index)
    rest = [lexed.raw(token) for token in lexed.tokens[index:]]
    is_column = len(rest) == 1 and dialect.describes_columns and (rest[0][0].isalnum() or rest[0][0] in "_'\"`")
    if not parts or (rest and not is_column):
        raise QueryRejected("Only a table or a query may be described.", piece=lexed.text[:60])
    return Plan(table=parts)


def _show(lexed: Lexed, dialect: SQLDialect) -> Plan:
    """SHOW, when its words are known; a bracket could hold a function or a query, so none may stand in it."""
    words = [lexed.raw(token).upper() for token in lexed.tokens]
    if any(word[0] in "([{@" or word.split()[0] in {"INTO", "->>"} for word in words):
        raise QueryRejected("SHOW with an expression is not allowed here.", piece=lexed.text[:60])
    if dialect.shows_settings:
        return Plan()
    index = 1
    while lexed.word(index) in _SHOW_PREFIXES and lexed.word(index + 1):
        index += 1
    one, two = lexed.word(index), f"{lexed.word(index)} {lexed.word(index + 1)}"
    known = {entry.strip() for entry in dialect.shows.split("|")} - {""}
    if two in known or (one in known and not (one == "GRANTS" and lexed.word(index + 1))):
        return Plan()
    if dialect.describes_everything and one:
        return _described(lexed, index, dialect)
    raise QueryRejected(f"SHOW {one or '…'} is not allowed here.", piece=lexed.text[:60])


def _pragma(lexed: Lexed, dialect: SQLDialect) -> Plan:
    """A PRAGMA that reads: its name, and for some a table's name in brackets. With ``=`` it would change a setting."""
    index = 3 if _is(lexed, 2, ".") else 1
    name, arguments = lexed.word(index).lower(), lexed.tokens[index + 1 :]
    plain = len(arguments) == 0
    bracketed = len(arguments) == 3 and lexed.raw(arguments[0]) == "(" and lexed.raw(arguments[2]) == ")"
    one = bracketed and name in dialect.pragmas_of_tables
    if name not in dialect.pragmas or not (plain or one):
        raise QueryRejected(
            f"PRAGMA {name or '…'} may change the database or its settings.",
            piece=lexed.text[:60],
            hint="PRAGMA table_info(name) and the like are allowed.",
        )
    return Plan(table=(arguments[1].text,)) if one and not name.startswith("index") else Plan()


def _begins_query(lexed: Lexed, index: int) -> bool:
    while _is(lexed, index, "("):
        index += 1
    return lexed.word(index) in QUERY_WORDS


def _is(lexed: Lexed, index: int, text: str) -> bool:
    return index < len(lexed.tokens) and lexed.raw(lexed.tokens[index]) == text


def _is_format(lexed: Lexed, index: int) -> bool:
    return lexed.word(index) == "FORMAT" and _is(lexed, index + 1, "=") and bool(lexed.word(index + 2))


def _after_options(lexed: Lexed, index: int) -> int:
    """The index behind ``(ANALYZE, FORMAT json)``: words, numbers and commas only."""
    for end in range(index + 1, len(lexed.tokens)):
        raw = lexed.raw(lexed.tokens[end])
        if raw == ")":
            return end + 1
        if raw != "," and not raw.isalnum() and not lexed.word(end):
            break
    raise QueryRejected("The options of EXPLAIN are not readable.", piece=lexed.text[:60])


def _dotted(lexed: Lexed, index: int) -> tuple[tuple[str, ...], int]:
    """A dotted name and the index behind it."""
    parts: list[str] = []
    while index < len(lexed.tokens) and _is_name(lexed, index):
        parts.append(lexed.tokens[index].text)
        index += 1
        if not _is(lexed, index, "."):
            break
        index += 1
    return tuple(parts), index


def _is_name(lexed: Lexed, index: int) -> bool:
    raw = lexed.raw(lexed.tokens[index])
    return bool(lexed.word(index)) or raw[0] in '"`['
