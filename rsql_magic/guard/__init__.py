"""The one door for SQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.dialects import Unreadable, canonical, lex, names, parse
from rsql_magic.errors import QueryRejected
from rsql_magic.guard.calls import refuse_unknown_calls
from rsql_magic.guard.nodes import refuse_unknown_nodes
from rsql_magic.guard.statements import plan, refuse_second_statement
from rsql_magic.guard.tables import refuse_unknown_table, refuse_unknown_tables

if TYPE_CHECKING:
    from sqlglot import exp

    from rsql_magic.context import Catalog
    from rsql_magic.dialects import Lexed

__all__ = ["check"]

_MYSQL = names("mysql doris singlestore starrocks")
_SETTING_HINT = re.compile(r"SET_VAR|RESOURCE_GROUP|OPT_PARAM|MAX_EXECUTION_TIME\s*\(\s*0", re.IGNORECASE)


def check(sql: str, dialect: str, catalog: Catalog | None = None) -> str:
    """Let one read-only statement through, or refuse it."""
    try:
        return _check(sql, canonical(dialect), catalog)
    except Unreadable as error:
        raise QueryRejected(error.reason, piece=error.piece) from None


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
        start = comment[2:4].upper()
        if dialect in _MYSQL and comment.startswith("/*") and (start[:1] == "!" or start == "M!"):
            raise QueryRejected("MySQL runs the inside of this comment.", piece=comment[:60], hint="Leave it out.")
        if start[:1] == "+" and _SETTING_HINT.search(comment):
            raise QueryRejected("This hint changes a setting.", piece=comment[:60], hint="Leave the hint out.")


def _refuse_more_than_one(lexed: Lexed) -> None:
    from sqlglot import TokenType

    second = next((token for token in lexed.tokens if token.token_type is TokenType.SEMICOLON), None)
    if second is not None:
        raise QueryRejected(
            "This is more than one statement.", piece=lexed.text[second.start :][:60], hint="Send one query at a time."
        )


def _check_query(query: str, dialect: str, catalog: Catalog | None) -> None:
    lexed = lex(query, dialect)
    tree = parse(lexed.text, dialect)
    nodes = refuse_unknown_nodes(tree, lexed.text)
    refuse_unknown_calls(lexed, nodes, dialect, getattr(catalog, "functions", ()))
    refuse_unknown_tables(nodes, lexed.text, dialect, catalog)
    _refuse_endless(tree, nodes, lexed.text, dialect, catalog)


def _refuse_endless(tree: exp.Expr, nodes: list[exp.Expr], text: str, dialect: str, catalog: Catalog | None) -> None:
    from rsql_magic.guard.rows import refuse_endless
    from rsql_magic.guard.size import refuse_too_large

    refuse_too_large(nodes, text, dialect)
    refuse_endless(tree, text, dialect, catalog)
