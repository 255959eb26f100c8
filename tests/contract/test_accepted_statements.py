"""What an engine accepts and the guard's rules allow must pass: statements that others wrote to test parsers.

Of sqlglot's source package, unpacked at RSQL_SQLGLOT_SOURCE (`pip download --no-binary :all: --no-deps sqlglot`).
"""

from __future__ import annotations

import ast
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb
import psycopg
import pytest

from rsql_magic.errors import QueryRejected
from rsql_magic.sql import check

SOURCE = os.environ.get("RSQL_SQLGLOT_SOURCE", "")
pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(not SOURCE, reason="RSQL_SQLGLOT_SOURCE names no source of sqlglot"),
]
# What the guard refuses by its rules, whoever accepts it.
RULES = re.compile(
    r"changes rows|writes the result|takes a lock|given separately|read as a file|asks for nothing|endlessly|would make"
)
CALLED = re.compile(r"The function (?:\w+\.)*(\w+) ")
_QUERY = re.compile(r"\(*\s*(SELECT|WITH|VALUES|FROM|TABLE)\b", re.IGNORECASE)


def statements(dialect):
    """The queries among sqlglot's fixtures, and among all texts of its tests of a dialect."""
    tests = Path(SOURCE, "tests")
    found = tests.joinpath("fixtures", "identity.sql").read_text(encoding="utf-8").splitlines()
    tree = ast.parse(tests.joinpath("dialects", f"test_{dialect}.py").read_text(encoding="utf-8"))
    found += [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [text for text in dict.fromkeys(each.strip().rstrip(";") for each in found) if _QUERY.match(text)]


def wrongly_refused(dialect, accepts, functions):
    """How many statements the engine accepts, and those of them that are refused by no rule."""
    accepted, refused = 0, []
    for text in statements(dialect):
        if not accepts(text):
            continue
        try:
            check(text, dialect)
        except QueryRejected as error:
            called = CALLED.match(str(error))
            # Engines look for tables first: one that has no such function does not accept the statement.
            if RULES.search(str(error)) or (called and called[1].lower() not in functions):
                continue
            refused.append(f"{text}: {error}")
        accepted += 1
    return accepted, refused


def judge(accepted, refused, known=()):
    """At most two of a thousand are refused, but for known forms, which are listed where they are asked for."""
    left = [each for each in refused if not any(form in each for form in known)]
    print(f"{accepted} accepted, {len(refused)} refused, {len(left)} of them of no known form")
    assert accepted > 400
    assert len(left) <= 0.002 * accepted, left


def test_duckdb():
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        named = connection.execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()

        def accepts(text):
            try:
                [statement] = connection.extract_statements(text)
                if statement.type != duckdb.StatementType.SELECT:
                    return False
                connection.execute(f"EXPLAIN {text}")
            except (duckdb.CatalogException, duckdb.BinderException) as error:
                return bool(re.search(r"Table with name|Referenced (column|table)", str(error)))
            except (duckdb.Error, ValueError):
                return False
            return True

        # What sqlglot leaves out of its tree nobody can judge: DuckDB 2's joins by kind, and joins of the nearest.
        known = ("JOIN BY (TYPE", "NEAREST")
        judge(*wrongly_refused("duckdb", accepts, {name for (name,) in named}), known)


def test_postgresql(postgresql):
    with psycopg.connect(f"{postgresql.url}/postgres", autocommit=True) as connection:
        named = connection.execute("SELECT DISTINCT lower(proname) FROM pg_proc").fetchall()

        def accepts(text):
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute("SET TRANSACTION READ ONLY")
                    connection.execute(f"EXPLAIN {text}", prepare=True)
            except psycopg.Error as error:
                return error.sqlstate in {"42P01", "42703"}  # no such table, no such column
            return True

        judge(*wrongly_refused("postgres", accepts, {name for (name,) in named}))


def test_sqlite():
    with closing(sqlite3.connect(":memory:")) as connection:
        named = connection.execute("SELECT DISTINCT lower(name) FROM pragma_function_list").fetchall()

        def accepts(text):
            try:
                connection.execute(f"EXPLAIN {text}")
            except sqlite3.Error as error:
                return str(error).startswith(("no such table", "no such column"))
            return True

        judge(*wrongly_refused("sqlite", accepts, {name for (name,) in named}))
