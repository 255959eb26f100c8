"""How fast catalogs are read and results arrive; run by ``make bench``."""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/servers.py

import servers

from rsql_magic.databases import open_engine

pytestmark = pytest.mark.bench

COLUMNS = "id integer PRIMARY KEY, name text, kind text, amount numeric, day date, " + ", ".join(
    f"c{i} integer" for i in range(15)
)


def took(call):
    """Seconds of one run."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def median(call, runs=9):
    """Seconds of the middle run."""
    return statistics.median(took(call) for _ in range(runs))


def test_a_postgresql_of_2000_tables():
    import psycopg

    with servers.postgresql() as server:
        url = f"{server.url}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            for i in range(2000):
                connection.execute(f"CREATE TABLE t{i} ({COLUMNS}, parent integer REFERENCES t{max(i - 1, 0)})")
                rows = "SELECT g, 'n' || g, 'k' || g % 3, g, now() FROM generate_series(1, 50) g"
                connection.execute(f"INSERT INTO t{i} {rows}")
            connection.execute("ANALYZE")
        with closing(open_engine(url)) as engine:
            names, stats = took(lambda: engine.catalog("names")), took(lambda: engine.catalog("stats"))
            engine.refresh()
            cold, warm = took(engine.catalog), median(engine.catalog)
            profiled = sum(any(c.profile for c in t.columns) for t in engine.catalog())
    print(f"\n2,000 tables of PostgreSQL: cold {cold:.2f} s with {profiled:,} profiles, warm {warm * 1000:.1f} ms")
    print(f"names alone {names:.2f} s, profiles after that {stats:.2f} s")
    assert cold <= 1.5
    assert warm <= 0.020


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_ten_thousand_tables(kind):
    import sqlite3

    import duckdb

    with closing(duckdb.connect() if kind == "duckdb" else sqlite3.connect(":memory:")) as connection:
        connection.execute("BEGIN")
        for i in range(10_000):
            columns = f"id integer PRIMARY KEY, name text, c{i % 50} integer, t{max(0, i - 1)}_id integer"
            connection.execute(f"CREATE TABLE t{i} ({columns})")
        connection.execute("COMMIT")
        engine = open_engine(connection)
        cold, warm = took(lambda: engine.catalog("names")), median(lambda: engine.catalog("names"))
    print(f"\n10,000 tables of {kind}: cold {cold:.2f} s, warm {warm * 1000:.1f} ms")
    assert cold <= 5


MILLION = """
    SELECT range AS id, CASE WHEN range % 10 = 0 THEN NULL ELSE range END AS gaps, random() AS x,
        'kind ' || range % 7 AS kind, 'name ' || range AS name, DATE '2020-01-01' + (range % 1000)::INTEGER AS day,
        TIMESTAMP '2020-01-01' + to_seconds(range) AS at, range % 2 = 0 AS flag
    FROM range(1000000)"""


@pytest.mark.parametrize("columns", ["*", "id, gaps, x, flag", "kind, name"])
def test_a_million_rows_against_duckdbs_own(columns):
    import duckdb

    with closing(duckdb.connect()) as connection:
        connection.execute(f"CREATE TABLE t AS {MILLION}")
        engine = open_engine(connection)
        sql = f"SELECT {columns} FROM t"
        engine.run(sql, max_rows=2_000_000)
        pairs = [
            (took(lambda: connection.execute(sql).df()), took(lambda: engine.run(sql, max_rows=2_000_000)))
            for _ in range(15)
        ]
    own, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"\n1,000,000 rows of {columns}: ours {ours:.3f} s, .df() {own:.3f} s, ratio {ours / own:.2f}")
    assert ours / own <= 1.3
