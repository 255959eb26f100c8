"""The kinds of statement that may run, by their first words.

A query is left to the tree walk. The others (EXPLAIN, DESCRIBE, SHOW, PRAGMA) are not in sqlglot's tree in all
dialects, so their few words are read here, token by token, and whatever is not spelled out is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import QUERY_WORDS
from rsql_magic.sql.dialects.words import names

if TYPE_CHECKING:
    from rsql_magic.sql.dialects.reading import Lexed

_EXPLAINS = names(
    """
    clickhouse databricks doris duckdb hive materialize mysql postgres presto redshift risingwave singlestore
    snowflake spark spark2 sqlite starrocks trino athena
    """
)
_EXPLAIN_WORDS = names(
    """
    ANALYSE ANALYZE AST CODEGEN COST DISTRIBUTED ESTIMATE EXTENDED FORMATTED JSON LOGICAL PARTITIONS PIPELINE PLAN
    QUERY SYNTAX TABULAR TEXT TREE TYPE USING VERBOSE
    """
)
_DESCRIBES = names(
    """
    clickhouse databricks duckdb hive mysql presto singlestore snowflake spark spark2 starrocks trino
    """
)
_MYSQL = names("doris mysql singlestore starrocks")
_DESCRIBE_WORDS = names("COLUMN DATABASE EXTENDED FORMATTED QUERY SCHEMA TABLE VIEW")

_SHOW_ANY = frozenset({"materialize", "postgres", "redshift", "risingwave"})
"""Where SHOW names a setting and can do nothing else."""

_MYSQL_SHOW = (
    "CHARACTER SET | CHARSET | COLLATION | COLUMNS | CREATE DATABASE | CREATE EVENT | CREATE FUNCTION | "
    "CREATE PROCEDURE | CREATE SCHEMA | CREATE TABLE | CREATE TRIGGER | CREATE VIEW | DATABASES | ENGINES | ERRORS | "
    "EVENTS | FIELDS | "
    "FUNCTION STATUS | GRANTS | INDEX | INDEXES | KEYS | OPEN TABLES | PLUGINS | PRIVILEGES | "
    "PROCEDURE STATUS | SCHEMAS | STATUS | TABLES | "
    "TABLE STATUS | TRIGGERS | VARIABLES | WARNINGS"
)
_SPARK_SHOW = (
    "CATALOGS | COLUMNS | CREATE TABLE | DATABASES | FUNCTIONS | PARTITIONS | SCHEMAS | TABLES | TABLE EXTENDED | "
    "TBLPROPERTIES | VIEWS"
)
_TRINO_SHOW = "CATALOGS | COLUMNS | CREATE TABLE | CREATE VIEW | FUNCTIONS | SCHEMAS | SESSION | STATS FOR | TABLES"
_SHOWS = {
    "clickhouse": "COLUMNS | CREATE TABLE | CREATE VIEW | DATABASES | FUNCTIONS | INDEX | INDEXES | KEYS | TABLES",
    "databricks": _SPARK_SHOW,
    "duckdb": "DATABASES | SCHEMAS | TABLES | ALL TABLES",
    "hive": _SPARK_SHOW,
    "mysql": _MYSQL_SHOW,
    "presto": _TRINO_SHOW,
    "singlestore": _MYSQL_SHOW,
    "snowflake": (
        "COLUMNS | DATABASES | DYNAMIC TABLES | EXPORTED KEYS | EXTERNAL TABLES | FILE FORMATS | FUNCTIONS | "
        "GRANTS ON | IMPORTED KEYS | MATERIALIZED VIEWS | OBJECTS | PARAMETERS | PRIMARY KEYS | PROCEDURES | ROLES | "
        "SCHEMAS | SEQUENCES | STREAMS | "
        "TABLES | TASKS | UNIQUE KEYS | USER FUNCTIONS | VARIABLES | VIEWS | WAREHOUSES"
    ),
    "spark": _SPARK_SHOW,
    "spark2": _SPARK_SHOW,
    "starrocks": _MYSQL_SHOW,
    "trino": _TRINO_SHOW,
}
"""What may follow SHOW. Not PROCESSLIST, USERS, SECRETS, INTEGRATIONS: they show other people's work or credentials."""
_SHOW_PREFIXES = frozenset({"EXTENDED", "FULL", "GLOBAL", "SESSION", "TERSE"})

_SQLITE_PRAGMAS = names(
    """
    application_id cache_size collation_list compile_options data_version database_list encoding foreign_key_check
    foreign_key_list foreign_keys freelist_count function_list index_info index_list index_xinfo integrity_check
    journal_mode module_list page_count page_size pragma_list query_only quick_check recursive_triggers
    schema_version table_info table_list table_xinfo user_version
    """
)
_SQLITE_PRAGMA_ARGUMENTS = frozenset(
    ["foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo"]
)
_DUCKDB_PRAGMAS = names(
    """
    collations database_list database_size functions platform show_databases show_tables show_tables_expanded
    storage_info table_info user_agent version
    """
)

_TSQL_STATEMENTS = names(
    """
    ALTER BACKUP BEGIN BREAK BULK CHECKPOINT COMMIT CONTINUE CREATE DBCC DEALLOCATE DECLARE DELETE DENY DROP DUMP
    EXEC EXECUTE GOTO GRANT IF INSERT KILL LINENO LOAD PRINT RAISERROR READTEXT RECONFIGURE RESTORE RETURN REVERT
    REVOKE ROLLBACK SAVE SET SETUSER SHUTDOWN TRUNCATE UPDATE UPDATETEXT USE WAITFOR WHILE WRITETEXT
    """
)

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
    first = lexed.first_word()
    if first in QUERY_WORDS:
        return Plan(query=lexed.text)
    if (first == "EXPLAIN" and dialect in _EXPLAINS) or _is_mariadb_analyze(lexed, dialect):
        return _explain(lexed, dialect)
    if first in {"DESC", "DESCRIBE"} and dialect in _DESCRIBES:
        return _describe(lexed, dialect)
    if first == "SUMMARIZE" and dialect == "duckdb":
        return _query_or_table(lexed, 1, dialect)
    if first == "SHOW":
        return _show(lexed, dialect)
    if first == "PRAGMA" and dialect in {"sqlite", "duckdb"}:
        return _pragma(lexed, dialect)
    raise QueryRejected(
        _refusal(first),
        piece=lexed.text[:40],
        hint="Only a single query that reads may run here.",
        repairable=first not in _WHY,
    )


def _is_mariadb_analyze(lexed: Lexed, dialect: str) -> bool:
    """True for MariaDB's ``ANALYZE FORMAT=JSON SELECT …``: what others write as EXPLAIN ANALYZE."""
    index = 4 if _is_format(lexed, 1) else 1
    return (
        dialect == "mysql"
        and lexed.word(0) == "ANALYZE"
        and _begins_query(lexed, index)
        and lexed.word(index) != "TABLE"
    )


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
    if dialect not in {"tsql", "fabric"}:
        return
    for index in range(1, len(lexed.tokens)):
        if (word := lexed.word(index)) in _TSQL_STATEMENTS and not _is(lexed, index - 1, "."):
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


def _explain(lexed: Lexed, dialect: str) -> Plan:
    """EXPLAIN shows a plan; with ANALYZE it also runs the query, which is as harmless as the query itself."""
    index = 1
    while lexed.word(index) in _EXPLAIN_WORDS or _is_format(lexed, index):
        index += 3 if _is_format(lexed, index) else 1
    if _is(lexed, index, "(") and not _begins_query(lexed, index):
        index = _after_options(lexed, index)
    if _begins_query(lexed, index):
        return Plan(query=lexed.text[lexed.tokens[index].start :])
    if dialect in _MYSQL:
        return _described(lexed, index, dialect)
    raise QueryRejected(
        "EXPLAIN may only explain a query that reads.", piece=lexed.text[:60], hint="Write EXPLAIN SELECT …"
    )


def _describe(lexed: Lexed, dialect: str) -> Plan:
    index = 1
    while lexed.word(index) in _DESCRIBE_WORDS and index + 1 < len(lexed.tokens) and not _is(lexed, index + 1, "."):
        index += 1
    if dialect == "duckdb" and index == len(lexed.tokens):
        return Plan()
    if dialect in _MYSQL:
        return _explain(lexed, dialect)
    return _query_or_table(lexed, index, dialect)


def _query_or_table(lexed: Lexed, index: int, dialect: str) -> Plan:
    if _begins_query(lexed, index) and not (lexed.word(index) == "TABLE" and dialect != "duckdb"):
        return Plan(query=lexed.text[lexed.tokens[index].start :])
    return _described(lexed, index, dialect)


def _described(lexed: Lexed, index: int, dialect: str) -> Plan:
    """A table's name; in MySQL a column may follow."""
    parts, index = _dotted(lexed, index)
    rest = [lexed.raw(token) for token in lexed.tokens[index:]]
    is_column = len(rest) == 1 and dialect in _MYSQL and (rest[0][0].isalnum() or rest[0][0] in "_'\"`")
    if not parts or (rest and not is_column):
        raise QueryRejected("Only a table or a query may be described.", piece=lexed.text[:60])
    return Plan(table=parts)


def _show(lexed: Lexed, dialect: str) -> Plan:
    """SHOW, when its words are known; a bracket could hold a function or a query, so none may stand in it."""
    words = [lexed.raw(token).upper() for token in lexed.tokens]
    if any(word[0] in "([{@" or word.split()[0] in {"INTO", "->>"} for word in words):
        raise QueryRejected("SHOW with an expression is not allowed here.", piece=lexed.text[:60])
    if dialect in _SHOW_ANY:
        return Plan()
    index = 1
    while lexed.word(index) in _SHOW_PREFIXES and lexed.word(index + 1):
        index += 1
    one, two = lexed.word(index), f"{lexed.word(index)} {lexed.word(index + 1)}"
    known = {entry.strip() for entry in _SHOWS.get(dialect, "").split("|")} - {""}
    if two in known or (one in known and not (one == "GRANTS" and lexed.word(index + 1))):
        return Plan()
    if dialect == "duckdb" and one:
        return _described(lexed, index, dialect)
    raise QueryRejected(f"SHOW {one or '…'} is not allowed here.", piece=lexed.text[:60])


def _pragma(lexed: Lexed, dialect: str) -> Plan:
    """A PRAGMA that reads: its name, and for some a table's name in brackets. With ``=`` it would change a setting."""
    index = 3 if _is(lexed, 2, ".") else 1
    name, arguments = lexed.word(index).lower(), lexed.tokens[index + 1 :]
    known = _SQLITE_PRAGMAS if dialect == "sqlite" else _DUCKDB_PRAGMAS
    takes = _SQLITE_PRAGMA_ARGUMENTS if dialect == "sqlite" else {"table_info", "storage_info"}
    plain = len(arguments) == 0
    one = len(arguments) == 3 and lexed.raw(arguments[0]) == "(" and lexed.raw(arguments[2]) == ")" and name in takes
    if name not in known or not (plain or one):
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
