"""Trino's own package and SQLAlchemy's dialect against a server simulated from Trino's protocol."""

from __future__ import annotations

import time

import pytest
from contract import test_engine_contract as contract
from contract.test_engine_contract import *  # noqa: F403
from trino_server import trino_server

from rsql_magic.databases import open_engine
from rsql_magic.errors import ConnectionProblem, QueryFailed

pytestmark = pytest.mark.slow

# What Trino has not: keys, and a count of changes to its tables.
del test_the_catalog_has_keys_and_kinds  # noqa: F821
del test_the_catalog_is_kept_until_a_table_changes, test_a_plan_shows_the_tables_and_estimates_without_running  # noqa: F821
# Of the simulated server's own doing.
del test_a_huge_result_is_not_waited_for, test_an_error_of_the_engine_is_a_sentence  # noqa: F821
del test_decimals_and_times_are_exact, test_a_dictionary_describes_the_tables  # noqa: F821


@pytest.fixture(scope="module")
def server():
    with trino_server(contract.statements("duckdb")) as running:
        yield running


@pytest.fixture(scope="module")
def shop(server):
    return contract.Shop("trino", server.url, server.trino.database.execute)


def test_the_catalog_takes_four_statements_however_many_tables(server):
    with open_engine(server.url)._database as database:
        server.trino.seen.clear()
        structure = database.structure()
    asked = [
        sql for sql, _ in server.trino.seen if "TRANSACTION" not in sql and sql != "ROLLBACK" and "SELECT 1" not in sql
    ]
    assert len(asked) == 3
    orders = next(table for table in structure.tables if table.name == "orders")
    assert orders.description == "One row per order."
    assert (structure.schema, structure.database) == ("shop", "memory")
    assert next(table for table in structure.tables if table.name == "large_orders").kind == "view"


def test_every_statement_runs_in_a_read_only_transaction(engine, server):
    server.trino.seen.clear()
    before = set(server.trino.read_only)  # a connection that Ctrl-C gave up rolls nothing back
    engine.run("SELECT count(*) AS n FROM orders")
    asked = [(sql, transaction) for sql, transaction in server.trino.seen if "orders" in sql]
    assert asked
    assert all(transaction.startswith("t") for _, transaction in asked)
    assert server.trino.read_only == before


def test_decimals_are_exact(engine):
    df = engine.run("SELECT amount, placed, day FROM orders WHERE id = 7").df
    assert df["amount"].tolist() == [contract.Decimal("7.10")]
    assert df["placed"].tolist() == [contract.dt.datetime.fromisoformat("2024-01-01 10:07:00")]


def test_a_stop_reaches_the_server(unguarded, server):
    unguarded.catalog()
    server.trino.cancelled.clear()

    def stop():  # once the query is there, however slowly the first one of a process begins
        while not any(query.thread.is_alive() for query in list(server.trino.queries.values())):
            time.sleep(0.02)
        unguarded.interrupt()

    with contract.after(0.3, stop), pytest.raises(contract.Stopped):
        unguarded.run(contract.FOREVER, timeout=30)
    assert server.trino.cancelled


def test_an_error_is_a_sentence(engine):
    with pytest.raises(QueryFailed, match="nme"):
        engine.run("SELECT nme FROM orders")


def test_a_server_that_is_gone_is_one_sentence():
    with pytest.raises((ConnectionProblem, QueryFailed)) as failed:
        open_engine("trino://ada@127.0.0.1:9/memory/shop?max_attempts=1").catalog()
    assert "127.0.0.1" in str(failed.value)
