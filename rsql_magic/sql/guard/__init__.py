"""The one door for SQL: a single statement that only reads, or a refusal with its reason.

`check` is the whole of it. The rules live beside it: ``statements`` (kinds of statement), ``nodes`` (kinds of tree
node), ``calls`` (functions), ``tables`` (what may be read), ``size`` and ``rows`` (work without end).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, parse
from rsql_magic.sql.dialects.records import names
from rsql_magic.sql.guard.calls import refuse_unknown_calls
from rsql_magic.sql.guard.nodes import refuse_special_functions, refuse_unknown_nodes
from rsql_magic.sql.guard.statements import is_slip, plan, refuse_second_statement, refuse_writing_words
from rsql_magic.sql.guard.tables import refuse_unknown_table, refuse_unknown_tables

if TYPE_CHECKING:
    from sqlglot import exp

    from rsql_magic.sql.catalog import Catalog
    from rsql_magic.sql.dialects.reading import Lexed

__all__ = ["check"]

_MYSQL = names("mysql doris singlestore starrocks")
_RUN_COMMENT = re.compile(r"/\*M?!", re.IGNORECASE)
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
    5. **Every function is on the dialect's list** (``rsql_magic/sql/dialects/functions/*.txt``), by the name that
       stands in the text: quoted, qualified, chained (``x.f()``) or spread over lines. Functions of another schema are
       unknown, and so are the user's own, unless the catalog names them in ``functions``.
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

    Args:
        sql: What a person or a model wrote.
        dialect: sqlglot's name of the SQL dialect; SQLAlchemy's names are known too.
        catalog: The tables that may be read. None accepts every plain table name.

    Returns:
        The one statement to run.

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
        raise QueryRejected(error.reason, piece=error.piece, repairable=True) from None
    except RecursionError:
        raise QueryRejected("This query is nested too deeply to be checked.", repairable=True) from None


def _check(sql: str, dialect: str, catalog: Catalog | None) -> str:
    lexed = lex(sql, dialect)
    _refuse_hidden(lexed, dialect)
    _refuse_more_than_one(lexed)
    refuse_second_statement(lexed, dialect)
    todo = plan(lexed, dialect)
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
    lexed = lex(query, dialect)
    refuse_writing_words(lexed)
    tree = parse(lexed.text, dialect)
    nodes = refuse_unknown_nodes(tree, lexed.text)
    refuse_unknown_calls(lexed, nodes, dialect, catalog.functions if catalog is not None else ())
    refuse_special_functions(nodes, lexed.text)
    refuse_unknown_tables(nodes, lexed.text, dialect, catalog)
    _refuse_endless(tree, nodes, lexed.text, dialect, catalog)


def _refuse_endless(tree: exp.Expr, nodes: list[exp.Expr], text: str, dialect: str, catalog: Catalog | None) -> None:
    from rsql_magic.sql.guard.rows import refuse_endless
    from rsql_magic.sql.guard.size import refuse_too_large

    refuse_too_large(nodes, text, dialect)
    refuse_endless(tree, text, dialect, catalog)
