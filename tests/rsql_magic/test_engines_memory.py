"""A statement takes no more memory than it may, where the engine's own limit is not ours to set."""

from __future__ import annotations

import duckdb
import pytest

from rsql_magic.databases import base, columns, open_engine
from rsql_magic.databases import duckdb as module
from rsql_magic.errors import QueryFailed

# Grows by some hundred megabytes a second, in DuckDB's own memory and not in the result.
GROWING = [
    "SELECT length(string_agg(repeat('x', 900) || id, '')) FROM t",
    "SELECT max(n) FROM (SELECT count(DISTINCT repeat('x', 400) || id) AS n FROM t GROUP BY id % 3)",
    "SELECT len(list(repeat('x', 900) || id)) FROM t",
]


@pytest.fixture
def connection():
    connection = duckdb.connect()
    # Were the bound not there, this would end the statement, with another message.
    connection.execute("SET memory_limit = '1500MB'; SET threads = 2; SET temp_directory = ''")
    connection.execute("CREATE TABLE t AS SELECT range AS id FROM range(1500000)")
    yield connection
    connection.close()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "WORKING_MEMORY", 128 << 20)
    monkeypatch.setattr(base, "_LOOK", 0.01)


@pytest.mark.parametrize("sql", GROWING)
def test_a_statement_on_the_users_connection_is_stopped(connection, small, sql):
    engine = open_engine(connection)
    with pytest.raises(QueryFailed, match=r"took more than 0\.1 GB of memory"):
        engine.run(sql)
    # The connection is as it was: settings, no transaction, and it answers.
    assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == ("1.3 GiB",)
    assert engine.run("SELECT count(*) AS n FROM t").df["n"].tolist() == [1_500_000]
    connection.execute("CREATE TABLE other AS SELECT 1 AS a")


def test_a_transaction_of_the_users_goes_on(connection, small):
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE mine AS SELECT 1 AS a")
    with pytest.raises(QueryFailed, match="of memory"):
        open_engine(connection).run(GROWING[0])
    assert connection.execute("SELECT a FROM mine").fetchall() == [(1,)]
    connection.execute("COMMIT")


def test_what_was_taken_before_does_not_count(connection, small):
    connection.execute("CREATE TABLE large AS SELECT range AS a, repeat('x', 100) || range AS b FROM range(1000000)")
    assert open_engine(connection).run("SELECT count(DISTINCT a % 10) AS n FROM large").df["n"].tolist() == [10]


@pytest.mark.parametrize("width", [1, 1_000, 100_000, 2_000_000])
def test_wide_rows_are_fetched_few_at_a_time(width):
    """Whatever a driver gives at once is in memory before anybody can measure it."""
    memory, held, largest = 10 << 20, 0, 0

    def fetchmany(count):
        nonlocal held, largest
        chunk = [("x" * width,)] * count
        held += count * width
        largest = max(largest, count * width)
        return chunk

    fetched = columns.first_rows(["a"], fetchmany, 100_000, memory)
    assert fetched.more
    assert largest <= max(memory, columns._FIRST * width)
    assert held <= memory + max(memory, columns._FIRST * width)


def test_a_connection_may_be_closed_at_once(monkeypatch):
    """Nobody looks at it any more when a statement has ended: DuckDB refuses to close what is in use."""
    monkeypatch.setattr(base, "_LOOK", 0.0)
    for _ in range(30):
        connection = duckdb.connect()
        assert module.DuckDB(connection).rows("SELECT sum(range) FROM range(1000000)") == [(499999500000,)]
        connection.close()
