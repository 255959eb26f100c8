"""What the guard lets through runs on real engines, with the result of the original."""

from __future__ import annotations

import sqlite3

import duckdb
import guard_cases as cases
import pytest
from many_cases import check_each

from rsql_magic.sql import guard

SHOP = [
    "CREATE TABLE customers (id INTEGER, name VARCHAR, city VARCHAR, since DATE)",
    "CREATE TABLE sales (id INTEGER, customer_id INTEGER, item_id INTEGER, total DECIMAL(10, 2), sold_on DATE)",
    "CREATE TABLE items (id INTEGER, label VARCHAR, kind INTEGER, price DECIMAL(10, 2))",
    "INSERT INTO customers VALUES (1, 'Ana Bo', 'Bern', '2020-01-05'), (2, 'Cy', 'Graz', '2021-06-01')",
    "INSERT INTO sales VALUES (1, 1, 1, 12.5, '2024-01-03'), (2, 1, 2, 7, '2024-02-01'), (3, 2, 1, 99, '2024-02-09')",
    "INSERT INTO items VALUES (1, 'pen', 1, 2.5), (2, 'ink', 1, 5)",
]
NOT_STABLE = (
    "random",
    "RAND",
    "now",
    "SAMPLE",
    "current_",
    "CURRENT_",
    "duckdb_",
    "version",
    "database_list",
    "uuid",
    "ANALYZE",
)
NOT_IN_EVERY_SQLITE = (
    "generate_series",
    "format(",
    "unixepoch",
    "->",
    "pow(",
    "sqrt",
    "pi()",
    "ceil",
    "group_concat(DISTINCT",
)


@pytest.fixture(scope="module")
def duck():
    connection = duckdb.connect()
    for sql in SHOP:
        connection.execute(sql)
    return connection


@pytest.fixture(scope="module")
def lite():
    connection = sqlite3.connect(":memory:")
    for sql in SHOP:
        connection.execute(sql)
    connection.execute("CREATE INDEX i ON customers(id)")
    return connection


def runs_in_duckdb(duck, sql):
    rows = duck.execute(guard.check(sql, "duckdb")).fetchmany(50)
    if not any(word in sql for word in NOT_STABLE):
        assert sorted(map(repr, rows)) == sorted(map(repr, duck.execute(sql.strip("\ufeff")).fetchmany(50)))


@pytest.mark.slow
def test_duckdb_runs_what_passes(duck):
    check_each(runs_in_duckdb, [(duck, sql) for sql in [*cases.BENIGN_EVERYWHERE, *cases.BENIGN["duckdb"]]])


def runs_in_sqlite(lite, sql):
    rows = lite.execute(guard.check(sql, "sqlite")).fetchmany(50)
    if not any(word in sql for word in NOT_STABLE) and "\u00a0" not in sql and "\ufeff" not in sql:
        assert rows == lite.execute(sql.strip().rstrip("; ")).fetchmany(50)


@pytest.mark.slow
def test_sqlite_runs_what_passes(lite):
    check_each(
        runs_in_sqlite,
        [
            (lite, sql)
            for sql in [*cases.BENIGN_EVERYWHERE, *cases.BENIGN["sqlite"]]
            if not any(word in sql for word in NOT_IN_EVERY_SQLITE)
        ],
    )


def test_the_engines_are_as_before(duck, lite):
    """Nothing above changed a row or left a table."""
    for connection in (duck, lite):
        assert [
            connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("customers", "sales", "items")
        ] == [2, 3, 2]
    assert lite.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 4
    assert duck.execute("SELECT count(*) FROM duckdb_tables()").fetchone()[0] == 3


@pytest.mark.parametrize("sql", [sql for family, sql in cases.ATTACKS["sqlite"] if family == "rows"])
def test_sqlite_attacks_are_real(lite, sql):
    """The attacks of this family do write when nobody stops them: the guard is not refusing typing errors."""
    lite.execute("SAVEPOINT before")
    try:
        lite.execute(sql)
        assert lite.execute("SELECT changes()").fetchone()[0] > 0
    finally:
        lite.execute("ROLLBACK TO before")
        lite.execute("RELEASE before")
