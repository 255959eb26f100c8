"""The one door for SQL: a single statement that only reads, or a refusal with its reason."""

# `check` is the whole of it. The kinds of statement that may run are known by their first words: EXPLAIN,
# DESCRIBE, SHOW and PRAGMA are not in sqlglot's tree in all dialects, so their few words are read token by token, and
# whatever is not spelled out is refused. The other rules live beside it: ``nodes`` (kinds of tree node, functions),
# ``tables`` (what may be read), ``size`` and ``rows`` (work without end).

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import QUERY_WORDS, Unreadable, canonical, lex, parse
from rsql_magic.sql.dialects.records import dialect_of, names
from rsql_magic.sql.guard.nodes import (
    refuse_functions_by_name,
    refuse_special_functions,
    refuse_unknown_calls,
    refuse_unknown_nodes,
    refuse_unknown_table,
    refuse_unknown_tables,
)

if TYPE_CHECKING:
    from rsql_magic.sql.catalog import Catalog
    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import SQLDialect

_EXPLAIN_WORDS = names(
    """
    ANALYSE ANALYZE AST CODEGEN COST DISTRIBUTED ESTIMATE EXTENDED FORMATTED JSON LOGICAL PARTITIONS PIPELINE PLAN
    QUERY SYNTAX TABULAR TEXT TREE TYPE USING VERBOSE
    """
)
_DESCRIBE_WORDS = names("COLUMN DATABASE EXTENDED FORMATTED QUERY SCHEMA TABLE VIEW")

# Words between SHOW and what is shown that change nothing.
_SHOW_PREFIXES = frozenset({"EXTENDED", "FULL", "GLOBAL", "SESSION", "TERSE"})

# What a statement does by its first word: the text is the reason that a person reads.
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


class Statement(NamedTuple):
    """What is left to check."""

    query: str = ""  # Text of the query inside, or "" when there is none
    table: tuple[str, ...] = ()  # Parts of the name of a table that is described, or none


def statement_of(lexed: Lexed, dialect: str) -> Statement:
    """Say what is left to check of a statement, from its first words.

    Raises:
        QueryRejected: It is not a statement that may run.
    """
    first, record = lexed.first_word(), dialect_of(dialect)
    if first in QUERY_WORDS:
        return Statement(query=lexed.text)
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
    reason = f"{first} {_WHY[first]}." if first in _WHY else ""
    raise QueryRejected(
        reason or f"A statement that begins with {first or 'this'!r} is not a query that reads.",
        piece=lexed.text[:40],
        hint="Only a single query that reads may run here.",
        repairable=first not in _WHY,
    )


def _is_analyzed_query(lexed: Lexed) -> bool:
    """True for MariaDB's ``ANALYZE FORMAT=JSON SELECT …``: what others write as EXPLAIN ANALYZE."""
    index = 4 if _is_format(lexed, 1) else 1
    return lexed.word(0) == "ANALYZE" and _begins_query(lexed, index) and lexed.word(index) != "TABLE"


def is_slip(word: str) -> bool:
    """Whether the first word behind a semicolon shows a slip: one more query, or a sentence about the first."""
    return word not in _WHY and word not in {"EXPLAIN", "PRAGMA", "SHOW"}


def refuse_second_statement(lexed: Lexed, dialect: str) -> None:
    """SQL Server needs no semicolon between statements, so none of the words that begin one may stand anywhere."""
    # They are reserved there: as a name each would need brackets.
    words = dialect_of(dialect).statement_words
    for index in range(1, len(lexed.tokens) if words else 0):
        if (word := lexed.word(index)) in words and lexed.raw(index - 1) != ".":
            piece, hint = (
                lexed.text[lexed.tokens[index].start :][:60],
                f"As a name it needs brackets: [{word.lower()}].",
            )
            raise QueryRejected(f"{word} begins a second statement in SQL Server.", piece=piece, hint=hint)


def refuse_writing_words(lexed: Lexed) -> None:
    """Refuse INTO and FOR UPDATE by their words, whatever a parser makes of them."""
    # In DuckDB INTO also names the columns of UNPIVOT.
    for index in range(1, len(lexed.tokens)):
        word = lexed.word(index)
        if word == "INTO" and lexed.word(index + 1) != "NAME" and lexed.raw(index - 1) != ".":
            raise _refused_words(lexed, index, "INTO writes the result somewhere.")
        if word == "FOR" and lexed.word(index + 1) in {"UPDATE", "SHARE"}:
            raise _refused_words(lexed, index, "This takes a lock on the rows it reads.")


def _refused_words(lexed: Lexed, index: int, reason: str) -> QueryRejected:
    piece = lexed.text[lexed.tokens[index].start :][:60]
    return QueryRejected(reason, piece=piece, hint="Only a single query that reads may run here.")


def _explain(lexed: Lexed, dialect: SQLDialect) -> Statement:
    """EXPLAIN shows a plan; with ANALYZE it also runs the query, which is as harmless as the query itself."""
    index = 1
    while lexed.word(index) in _EXPLAIN_WORDS or _is_format(lexed, index):
        index += 3 if _is_format(lexed, index) else 1
    if lexed.raw(index) == "(" and not _begins_query(lexed, index):
        index = _after_options(lexed, index)
    if _begins_query(lexed, index):
        return Statement(query=lexed.text[lexed.tokens[index].start :])
    if dialect.describes_columns:
        return _described(lexed, index, dialect)
    reason = "EXPLAIN may only explain a query that reads."
    raise QueryRejected(reason, piece=lexed.text[:60], hint="Write EXPLAIN SELECT …")


def _describe(lexed: Lexed, dialect: SQLDialect) -> Statement:
    index = 1
    while lexed.word(index) in _DESCRIBE_WORDS and index + 1 < len(lexed.tokens) and lexed.raw(index + 1) != ".":
        index += 1
    if dialect.describes_everything and index == len(lexed.tokens):
        return Statement()
    if dialect.describes_columns:
        return _explain(lexed, dialect)
    return _query_or_table(lexed, index, dialect)


def _query_or_table(lexed: Lexed, index: int, dialect: SQLDialect) -> Statement:
    if _begins_query(lexed, index) and not (lexed.word(index) == "TABLE" and not dialect.summarizes):
        return Statement(query=lexed.text[lexed.tokens[index].start :])
    return _described(lexed, index, dialect)


def _described(lexed: Lexed, index: int, dialect: SQLDialect) -> Statement:
    """A table's name; in MySQL a column may follow."""
    parts, index = _dotted(lexed, index)
    rest = lexed.raws[index:]
    is_column = len(rest) == 1 and dialect.describes_columns and (rest[0][0].isalnum() or rest[0][0] in "_'\"`")
    if not parts or (rest and not is_column):
        raise QueryRejected("Only a table or a query may be described.", piece=lexed.text[:60])
    return Statement(table=parts)


def _show(lexed: Lexed, dialect: SQLDialect) -> Statement:
    """SHOW, when its words are known; a bracket could hold a function or a query, so none may stand in it."""
    words = [raw.upper() for raw in lexed.raws]
    if any(word[0] in "([{@" or word.split()[0] in {"INTO", "->>"} for word in words):
        raise QueryRejected("SHOW with an expression is not allowed here.", piece=lexed.text[:60])
    if dialect.shows_settings:
        return Statement()
    index = 1
    while lexed.word(index) in _SHOW_PREFIXES and lexed.word(index + 1):
        index += 1
    one, two = lexed.word(index), f"{lexed.word(index)} {lexed.word(index + 1)}"
    known = {entry.strip() for entry in dialect.shows.split("|")} - {""}
    if two in known or (one in known and not (one == "GRANTS" and lexed.word(index + 1))):
        return Statement()
    if dialect.describes_everything and one:
        return _described(lexed, index, dialect)
    raise QueryRejected(f"SHOW {one or '…'} is not allowed here.", piece=lexed.text[:60])


def _pragma(lexed: Lexed, dialect: SQLDialect) -> Statement:
    """A PRAGMA that reads: its name, and for some a table's name in brackets. With ``=`` it would change a setting."""
    index = 3 if lexed.raw(2) == "." else 1
    name, arguments = lexed.word(index).lower(), lexed.tokens[index + 1 :]
    plain = len(arguments) == 0
    bracketed = len(arguments) == 3 and lexed.raws[index + 1] == "(" and lexed.raws[-1] == ")"
    one = bracketed and name in dialect.pragmas_of_tables
    if name not in dialect.pragmas or not (plain or one):
        reason = f"PRAGMA {name or '…'} may change the database or its settings."
        raise QueryRejected(reason, piece=lexed.text[:60], hint="PRAGMA table_info(name) and the like are allowed.")
    # The pragmas of indexes take the name of an index, which is in no catalog.
    return Statement(table=(arguments[1].text,)) if one and not name.startswith("index") else Statement()


def _begins_query(lexed: Lexed, index: int) -> bool:
    while lexed.raw(index) == "(":
        index += 1
    return lexed.word(index) in QUERY_WORDS


def _is_format(lexed: Lexed, index: int) -> bool:
    return lexed.word(index) == "FORMAT" and lexed.raw(index + 1) == "=" and bool(lexed.word(index + 2))


def _after_options(lexed: Lexed, index: int) -> int:
    """The index behind ``(ANALYZE, FORMAT json)``: words, numbers and commas only."""
    for end in range(index + 1, len(lexed.tokens)):
        raw = lexed.raw(end)
        if raw == ")":
            return end + 1
        if raw != "," and not raw.isalnum() and not lexed.word(end):
            break
    raise QueryRejected("The options of EXPLAIN are not readable.", piece=lexed.text[:60])


def _dotted(lexed: Lexed, index: int) -> tuple[tuple[str, ...], int]:
    """A dotted name and the index behind it."""
    parts: list[str] = []
    while index < len(lexed.tokens) and (lexed.word(index) or lexed.raw(index)[0] in '"`['):
        parts.append(lexed.tokens[index].text)
        index += 1
        if lexed.raw(index) != ".":
            break
        index += 1
    return tuple(parts), index


__all__ = ["check"]

# Dialects whose engine runs the inside of ``/*! … */``.
_MYSQL = names("mysql doris singlestore starrocks")
_RUN_COMMENT = re.compile(r"/\*M?!", re.IGNORECASE)
# Hints of MySQL and Oracle that change a setting, or lift the limit on time.
_SETTING_HINT = re.compile(r"SET_VAR|RESOURCE_GROUP|OPT_PARAM|MAX_EXECUTION_TIME\s*\(\s*0", re.IGNORECASE)


def check(sql: str, dialect: str, catalog: Catalog | None = None) -> str:
    r"""Let one statement through that only reads, or refuse it.

    What is not known to be harmless is refused. A statement passes when all of this holds:

    1. **It can be read.** It has at most 200,000 characters, 50,000 tokens and 100 brackets inside each other; no NUL,
       no unpaired surrogate, and outside quotes no invisible character and none that looks like another. It is read and
       parsed in its own dialect: ``'\'; DROP TABLE t; --'`` is one text in MySQL, two statements in PostgreSQL.
    2. **It is one statement.** No semicolon stands between others; semicolons before and behind are left out. In
       SQL Server, which needs none, no word that begins a statement (DELETE, EXEC, WAITFOR, …) stands anywhere.
    3. **Its kind is allowed.** A query (SELECT, WITH, VALUES, TABLE, set operations; DuckDB's FROM, PIVOT, UNPIVOT);
       EXPLAIN of a query, which is checked like the query itself, also with ANALYZE, which runs it and therefore does
       no more than the query would; DESCRIBE and SUMMARIZE of a table or a checked query; SHOW of harmless things,
       without expressions; PRAGMA of SQLite and DuckDB where it only reads.
    4. **Every node of its tree is of a kind that only reads.** So no INSERT, UPDATE, DELETE or MERGE in a WITH or a
       subquery, no INTO, no lock (FOR UPDATE, FOR SHARE, UPDLOCK, …), no assignment to a variable, no next value of a
       sequence, and nothing that sqlglot parses without understanding it. The tree is at most 500 deep.
       **Every token is in that tree**: each name and text of the query, and each word that begins a statement that does
       more than read, at its place or as often as it stands there. Nothing is put in behind the guard: Spark's
       ``${…}``, Jinja's ``{{…}}`` and placeholders for values (``?``, ``:x``) are refused.
    5. **Every function is on the dialect's list** (``rsql_magic/sql/dialects/functions/*.txt``), by the name that
       stands in the text: quoted, qualified, chained (``x.f()``) or spread over lines. Functions of another schema are
       unknown, and so are the user's own, unless the catalog names them in ``functions``. One that is handed on by name
       (``transform(a, reflect)``) is called, and an expression of XQuery is allowed where it is a path.
    6. **Every table is one to read**: a name that a WITH in scope defines; a table of the catalog, when one is given; a
       harmless system table (information_schema and the like, without those that hold password hashes, keys, other
       people's queries, or samples of values). Without a catalog every plain name passes that is not a file, an
       address, a stage, a text, a variable, a table of another server or a secret system table.
    7. **It ends.** No function makes more than 10,000,000 rows or 1,000,000 characters from constants; tables are not
       multiplied without a condition that links them; a recursion has a condition that can stop it. A size that depends
       on data is let through: timeouts and memory caps of the engine are the limit that always holds.

    What comes back is the user's own text without comments, optimizer hints and outer semicolons. It is not
    regenerated from the tree: sqlglot's SQL can differ in meaning (NULLS ordering, division, functions it renames),
    and a person should get what was shown. It is safe all the same, because it is this text, not the original, that is
    parsed and checked; what a comment hid from the parser (``/*! … */``, nesting, ``--`` without a space) is no longer
    there to be seen by an engine. Two things are changed besides: a quote escaped by a backslash in a MySQL text is
    doubled, which every SQL mode reads alike, and odd white space becomes plain. ``check(check(sql)) == check(sql)``.

    The engine stays the second wall: a read-only connection or transaction, rolled back; a timeout; caps on rows and
    memory; no external access. See docs/sql-safety.md.

    SQLAlchemy's names of dialects are known too. The catalog has the tables that may be read; None accepts every plain
    table name.

    Raises:
        QueryRejected: With ``reason`` (one sentence), ``piece`` (the offending words), ``hint`` (what to do next), and
            ``repairable``: whether it looks like a slip rather than an attempt to do what is not allowed.

    Example:
        >>> check("SELECT name -- who\nFROM users;", "duckdb")
        'SELECT name\nFROM users'
        >>> check("WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone", "postgres")
        Traceback (most recent call last):
            ...
        rsql_magic.errors.QueryRejected: DELETE changes rows. Only a single query that reads may run here.
    """
    try:
        return _check(sql, canonical(dialect), catalog)
    except Unreadable as error:
        raise QueryRejected.slip(error.reason, error.piece) from None
    except RecursionError:
        raise QueryRejected.slip("This query is nested too deeply to be checked.") from None


def _check(sql: str, dialect: str, catalog: Catalog | None) -> str:
    lexed = lex(sql, dialect)
    _refuse_hidden(lexed, dialect)
    _refuse_more_than_one(lexed)
    refuse_second_statement(lexed, dialect)
    todo = statement_of(lexed, dialect)
    if todo.query:
        _check_query(todo.query, dialect, catalog)
    if todo.table:
        refuse_unknown_table(todo.table, dialect, None)
    return lexed.text


def _refuse_hidden(lexed: Lexed, dialect: str) -> None:
    """Refuse what looks like a comment and is not: MySQL runs the inside of some, and hints can change settings."""
    for comment in lexed.comments:
        if dialect in _MYSQL and _RUN_COMMENT.search(comment):
            raise QueryRejected("MySQL runs the inside of this comment.", piece=comment[:60], hint="Leave it out.")
        if comment.startswith("/*+") and _SETTING_HINT.search(comment):
            raise QueryRejected("This hint changes a setting.", piece=comment[:60], hint="Leave the hint out.")


def _refuse_more_than_one(lexed: Lexed) -> None:
    from sqlglot import TokenType

    ends = [index for index, token in enumerate(lexed.tokens) if token.token_type is TokenType.SEMICOLON]
    if ends:
        raise QueryRejected(
            "This is more than one statement.",
            piece=lexed.text[lexed.tokens[ends[0]].start :][:60],
            hint="Send one query at a time.",
            repairable=lexed.word(0) in {"SELECT", "WITH"} and all(is_slip(lexed.word(end + 1)) for end in ends),
        )


def _check_query(query: str, dialect: str, catalog: Catalog | None) -> None:
    from rsql_magic.sql.guard.rows import refuse_endless
    from rsql_magic.sql.guard.size import refuse_too_large
    from rsql_magic.sql.guard.tokens import refuse_parameters, refuse_substitution, refuse_unaccounted

    lexed = lex(query, dialect)
    refuse_writing_words(lexed)
    refuse_substitution(lexed, dialect)
    # From here on the tree is judged; what stands before only looks at words.
    tree = parse(lexed.text, dialect)
    nodes = refuse_unknown_nodes(tree, lexed.text)
    refuse_parameters(nodes, lexed.text, dialect)
    refuse_unaccounted(lexed, nodes, dialect)
    refuse_unknown_calls(lexed, nodes, dialect, catalog.functions if catalog is not None else ())
    refuse_functions_by_name(nodes, lexed.text, dialect)
    refuse_special_functions(nodes, lexed.text)
    refuse_unknown_tables(nodes, lexed.text, dialect, catalog)
    refuse_too_large(nodes, lexed.text, dialect)
    refuse_endless(tree, lexed.text, dialect, catalog)
