"""At ``names`` no column of a real database leaves whose name is a value: of sparse pivots, of views."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import duckdb
import pytest
import sqlalchemy as sa

from rsql_magic.databases import open_engine
from rsql_magic.sql import ddl

TOWNS = ("Oslo", "Rome", "Ann Smith", "kuru", "São Paulo", "it's", "Mülheim", "x1", "order")
KINDS = ["duckdb", "sqlite", "postgresql", "mariadb"]


@pytest.fixture(params=KINDS)
def database(request, tmp_path):
    """Runs statements and gives what an engine is opened with; and how the database quotes names."""
    if request.param == "duckdb":
        with closing(duckdb.connect()) as connection:
            yield connection, connection.execute, '"'
    elif request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "pivots.db")) as connection:
            yield connection, connection.execute, '"'
    else:
        server = request.getfixturevalue(request.param)
        url = f"{server.url}/postgres" if request.param == "postgresql" else server.url
        admin = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS pivots")
            connection.exec_driver_sql("CREATE DATABASE pivots")
        admin.dispose()
        made = sa.create_engine(
            f"{server.url}/pivots".replace("postgresql://", "postgresql+psycopg://"),
            isolation_level="AUTOCOMMIT",
            execution_options={"no_parameters": True},
        )
        with made.connect() as connection:
            yield made, connection.exec_driver_sql, '"' if request.param == "postgresql" else "`"
        made.dispose()


def described(target, level="names"):
    with open_engine(target) as engine:
        return {table.name: ddl(table, level) for table in engine.catalog(level)}


def _pivot(rng, towns, kind):
    """A pivot's columns and rows: each row fills one of them, a few none."""
    rows = []
    for number in range(rng.choice([8, 60])):
        at = rng.randrange(len(towns)) if rng.random() > 0.1 else -1
        value = {"INTEGER": str(rng.randrange(9)), "VARCHAR(20)": "'v'"}[kind]
        rows.append((str(number), *(value if place == at else "NULL" for place in range(len(towns)))))
    rows += [("900", *("1" if place == at else "NULL" for place in range(len(towns)))) for at in range(len(towns))]
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_stored_pivot_tells_none_of_its_columns(database, seed):
    target, run, quote = database
    rng = random.Random(seed)
    towns = rng.sample(TOWNS, rng.randrange(2, 6))
    kind = rng.choice(["INTEGER", "VARCHAR(20)"])
    columns = ", ".join(f"{quote}{town}{quote} {kind}" for town in towns)
    run(f"CREATE TABLE visits (id INTEGER NOT NULL, total INTEGER, {columns})")
    for number, *cells in _pivot(rng, towns, kind):
        run(f"INSERT INTO visits VALUES ({number}, {number}, {', '.join(cells)})")
    text = described(target)["visits"]
    assert "total" in text
    assert not [town for town in towns if town in text], text
    assert f"+{len(towns)} columns whose names are values" in text
    assert all(town in described(target, "sample")["visits"] for town in towns if "'" not in town)


def test_a_view_tells_no_column_that_its_query_calls_by_a_text(database):
    target, run, quote = database
    run("CREATE TABLE visits (id INTEGER, city VARCHAR(20), n INTEGER)")
    run("INSERT INTO visits VALUES (1, 'Oslo', 1), (2, 'Rome', 2)")
    cases = [f"sum(CASE WHEN city = '{town.replace(chr(39), chr(39) * 2)}' THEN n END)" for town in TOWNS]
    named = ", ".join(f"{case} AS {quote}{town}{quote}" for case, town in zip(cases, TOWNS, strict=True))
    run(f"CREATE VIEW towns AS SELECT id, {named}, {cases[0]} AS oslo_total, max(n) AS most FROM visits GROUP BY id")
    run("CREATE VIEW fixed AS SELECT id, 'Ann Smith', 'kuru' AS kuru FROM visits")
    texts = described(target)
    assert "most" in texts["towns"]
    assert not [town for town in (*TOWNS, "oslo_total") if town in texts["towns"].replace("whose", "")], texts["towns"]
    assert "Ann Smith" not in texts["fixed"]
    assert "kuru" not in texts["fixed"]


ORDINARY = """
CREATE TABLE people (id INTEGER PRIMARY KEY, middle VARCHAR(20), suffix VARCHAR(20), height INTEGER, weight INTEGER,
    shipped DATE, cancelled DATE);
INSERT INTO people VALUES (1, 'M', 'Jr', 180, 80, '2020-01-01', NULL), (2, 'A', NULL, NULL, 70, NULL, '2020-01-01'),
    (3, NULL, 'Sr', 170, NULL, '2020-01-02', NULL), (4, NULL, NULL, 160, 60, NULL, NULL);
CREATE TABLE empty_ones (a INTEGER, b INTEGER);
CREATE VIEW tall AS SELECT id, height FROM people WHERE suffix = 'Jr'
"""


def test_ordinary_columns_stay(database):
    target, run, _ = database
    for statement in ORDINARY.strip().split(";"):
        run(statement)
    texts = described(target)
    assert "whose names are values" not in "".join(texts.values())
    assert all(name in texts["people"] for name in ("middle", "suffix", "height", "weight", "shipped", "cancelled"))
    assert "height" in texts["tall"]


def test_what_runs_needs_no_such_look(database, monkeypatch):
    target, run, _ = database
    run("CREATE TABLE t (a INTEGER, b INTEGER)")
    monkeypatch.setattr("rsql_magic.databases.catalogs.value_columns", lambda *_: pytest.fail("values were looked at"))
    with open_engine(target) as engine:
        assert engine.run("SELECT a FROM t").df.empty
