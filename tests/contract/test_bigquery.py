"""BigQuery's own client and SQLAlchemy's dialect against a server simulated from BigQuery's REST API."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import closing
from decimal import Decimal

import pytest
import sqlalchemy as sa
from bigquery_server import bigquery_server

from rsql_magic.databases import engines, open_engine
from rsql_magic.errors import QueryFailed, QueryRejected, Stopped

SETUP = [
    "CREATE TABLE shop.orders AS SELECT i AS id, (i + 0.10)::DECIMAL(10, 2) AS amount, "
    "TIMESTAMP '2024-01-01 10:00:00' + i * INTERVAL 1 MINUTE AS placed, 'n' || i % 2 AS note FROM range(1, 61) t(i)",
    "CREATE VIEW shop.large_orders AS SELECT * FROM shop.orders WHERE amount > 50",
]
FOREVER = "SELECT COUNT(*) AS n FROM " + ", ".join(f"shop.orders {letter}" for letter in "abcdefgh")


@pytest.fixture(scope="module")
def server(programs):
    with bigquery_server(SETUP) as running:
        yield running


@pytest.fixture(scope="module")
def engine(server):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    client = bigquery.Client("proj", AnonymousCredentials(), client_options={"api_endpoint": server.endpoint})
    address = "bigquery://proj?user_supplied_client=true"
    with closing(open_engine(sa.create_engine(address, connect_args={"client": client}))) as opened:
        yield opened
    client.close()


@pytest.fixture
def unguarded(engine, monkeypatch):
    """The engine behind an open door."""
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    monkeypatch.setattr(type(engine._database), "verify", lambda *_: None)
    return engine


def test_the_catalog_takes_one_query_a_dataset_and_no_value(engine, server, monkeypatch):
    monkeypatch.setattr(engines, "SLOW_PROBE", 60.0)  # however busy this machine is
    server.bigquery.asked.clear()
    catalog = engine.catalog()
    assert [dry for _, dry in server.bigquery.asked] == [False]
    assert {table.full_name: table.kind for table in catalog} == {"shop.orders": "table", "shop.large_orders": "view"}
    assert catalog["shop.orders"].column("amount").description == "EUR"
    assert all(column.profile is None for table in catalog for column in table.columns)
    assert engine.catalog() is catalog
    server.bigquery.database.execute("CREATE TABLE shop.later (a INTEGER)")
    assert "shop.later" in engine.catalog()
    server.bigquery.database.execute("DROP TABLE shop.later")


def test_values_are_exact(engine):
    df = engine.run("SELECT id, amount, placed, note FROM shop.orders WHERE id = 7").df
    assert (df["id"].tolist(), df["amount"].tolist()) == ([7], [Decimal("7.10")])
    assert df["placed"].tolist() == [dt.datetime.fromisoformat("2024-01-01 10:07:00")]


def test_a_cut_result_is_counted_by_its_own_job(engine, server):
    engine.catalog()
    server.bigquery.asked.clear()
    rows = engine.run("SELECT id FROM shop.orders ORDER BY id", max_rows=10)
    assert (rows.count, rows.df["id"].tolist()) == ("first 10 of 60", list(range(1, 11)))
    assert [dry for _, dry in server.bigquery.asked] == [True, False]


def test_a_dry_run_checks_and_tells_what_is_billed(engine, server):
    engine.catalog()
    server.bigquery.asked.clear()
    query = "SELECT COUNT(*) AS n FROM shop.orders"
    assert engine.check(query) == []
    assert str(engine.plan(query)) == "Reads 12.3 GB, which are billed."
    assert server.bigquery.asked == [(query, True)]
    [problem] = engine.check("SELECT nme FROM shop.orders")
    assert (problem.kind, "nme" in problem.message) == ("engine", True)


def test_bigquery_itself_must_call_it_a_query(engine, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    with pytest.raises(QueryRejected, match="takes this for DELETE"):
        engine.run("DELETE FROM shop.orders WHERE true")
    with pytest.raises(QueryRejected, match="margin is a routine"):
        engine.run("SELECT 'margin(' AS n")
    assert engine.run("SELECT COUNT(*) AS n FROM shop.orders").df["n"].tolist() == [60]


def test_a_query_that_never_ends_is_cancelled_on_the_server(unguarded, server):
    server.bigquery.cancelled.clear()
    with pytest.raises(QueryFailed, match=r"stopped after 0\.2 s"):
        unguarded.run(FOREVER, timeout=0.2)
    assert server.bigquery.cancelled


def test_a_stop_cancels_it_too(unguarded):
    unguarded.catalog()
    timer = threading.Timer(0.3, unguarded.interrupt)
    timer.start()
    with pytest.raises(Stopped):
        unguarded.run(FOREVER, timeout=30)
    timer.join()
    assert unguarded.run("SELECT 1 AS one").df["one"].tolist() == [1]
