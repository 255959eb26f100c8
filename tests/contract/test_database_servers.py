"""What only a server has: logins that may not read everything, several schemas, statistics, pooled connections."""

from __future__ import annotations

from contextlib import closing

import pytest
import servers
import sqlalchemy as sa
from servers import owner

from rsql_magic.context import Catalog
from rsql_magic.databases import Engine, open_engine, read_catalog
from rsql_magic.databases.sqlalchemy import SQLAlchemy
from rsql_magic.errors import ConnectionProblem, QueryFailed, QueryRejected
from rsql_magic.sql import ForeignKey, check


@pytest.fixture(scope="module")
def depot(postgresql):
    """A PostgreSQL database with schemas, comments, partitions, and a login that may read little."""
    with owner(f"{postgresql.url}/postgres") as execute:
        execute("CREATE DATABASE depot")
        execute("CREATE ROLE clerk LOGIN PASSWORD 'cl3rk'")
    url = f"{postgresql.url}/depot"
    with owner(url) as execute:
        for statement in DEPOT:
            execute(statement)
    return url


DEPOT = [
    "CREATE TABLE parts (id integer PRIMARY KEY, kind text NOT NULL, weight numeric(8, 3), added timestamptz)",
    "COMMENT ON TABLE parts IS 'What is in store'",
    "COMMENT ON COLUMN parts.weight IS 'kg'",
    "INSERT INTO parts SELECT i, 'kind ' || i % 3, i / 8.0, timestamptz '2024-01-01 00:00+00' + i * interval '1 hour' "
    "FROM generate_series(1, 1000) i",
    "CREATE TYPE state AS ENUM ('open', 'paid', 'never seen')",
    "CREATE TABLE bills (id integer, state state)",
    "INSERT INTO bills SELECT i, CASE WHEN i = 1 THEN 'paid' ELSE 'open' END::state FROM generate_series(1, 500) i",
    "CREATE SCHEMA archive",
    "CREATE TABLE archive.moves (part integer REFERENCES parts, at date) PARTITION BY RANGE (at)",
    "CREATE TABLE archive.moves_2024 PARTITION OF archive.moves FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
    "INSERT INTO archive.moves SELECT i, date '2024-01-01' + i % 300 FROM generate_series(1, 600) i",
    "CREATE TABLE secret (a integer)",
    "CREATE TABLE halves (open integer, closed integer)",
    "CREATE MATERIALIZED VIEW heavy AS SELECT * FROM parts WHERE weight > 100",
    "GRANT SELECT ON parts TO clerk",
    "GRANT SELECT (open) ON halves TO clerk",
    "ANALYZE",
]


def clerk(url):
    return url.replace(f"admin:{servers.PASSWORD}", "clerk:cl3rk")


def test_schemas_comments_and_partitions(depot):
    catalog = Catalog.from_connection(depot)
    assert {t.full_name for t in catalog} == {"parts", "bills", "archive.moves", "secret", "halves", "heavy"}
    assert (catalog.schema, catalog.database) == ("public", "depot")
    assert (catalog["parts"].description, catalog["parts"].column("weight").description) == ("What is in store", "kg")
    assert catalog["public.parts"] is catalog["parts"]
    assert catalog["moves"].foreign_keys == (ForeignKey(("part",), "parts", ("id",)),)
    assert catalog["moves"].rows == 600
    assert catalog.parts["archive.moves_2024"] == "archive.moves"
    with pytest.raises(QueryRejected, match=r"archive\.moves_2024 is a part of archive\.moves"):
        check("SELECT count(*) FROM archive.moves_2024", "postgres", catalog)


def test_the_labels_of_an_enum_are_told_however_rare(depot):
    known = Catalog.from_connection(depot)["bills"].column("state").profile
    assert known.values == ("open", "paid", "never seen")
    assert known.complete


def test_the_servers_statistics_are_the_profiles(depot):
    parts = Catalog.from_connection(depot)["parts"]
    assert parts.rows == 1000
    assert set(parts.column("kind").profile.values) == {"kind 0", "kind 1", "kind 2"}
    assert parts.column("kind").profile.complete
    assert parts.column("weight").profile.approximate
    assert (parts.column("id").profile.low, parts.column("id").profile.high) == ("1", "1000")


def test_what_a_login_may_not_read_is_left_out_and_said(depot):
    catalog = Catalog.from_connection(clerk(depot))
    assert {t.full_name for t in catalog} == {"parts", "halves"}
    assert [column.name for column in catalog["halves"].columns] == ["open"]
    left_out, partly = catalog.problems
    assert "4 tables may not be read" in left_out
    assert all(name in left_out for name in ("secret", "archive.moves", "heavy", "bills"))
    assert "halves" in partly


def test_an_engine_of_the_user_is_given_back_as_it_was(depot):
    for options in ({}, {"isolation_level": "AUTOCOMMIT"}):
        engine = sa.create_engine(
            depot.replace("postgresql://", "postgresql+psycopg://"), pool_size=1, max_overflow=0, **options
        )
        ours = open_engine(engine)
        ours.run("SELECT count(*) AS n FROM parts")
        with pytest.raises(QueryFailed):
            ours.run("SELECT 1 / (id - 1) AS x FROM parts")
        with engine.connect() as connection:
            shown = connection.exec_driver_sql(
                "SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')"
            )
            assert shown.one() == ("0", "off")
            connection.exec_driver_sql("CREATE TEMP TABLE mine (a integer)")
            connection.rollback()
        engine.dispose()


def test_a_user_in_autocommit_is_still_read_only(depot, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    monkeypatch.setattr("rsql_magic.databases.postgresql.PostgreSQL.verify", lambda *_: None)
    engine = sa.create_engine(depot.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    for sql in (
        "DELETE FROM parts",
        "WITH d AS (DELETE FROM parts RETURNING id) SELECT * FROM d",
        "SELECT 1; DELETE FROM parts",
    ):
        with pytest.raises(QueryFailed):
            open_engine(engine).run(sql)
    engine.dispose()
    with owner(depot) as execute:
        assert execute("SELECT count(*) FROM parts").scalar() == 1000


def test_the_users_own_transaction_is_not_touched(depot):
    engine = sa.create_engine(depot.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TEMP TABLE mine (a integer)")
        connection.exec_driver_sql("INSERT INTO mine VALUES (1)")
        with pytest.raises(QueryFailed):
            open_engine(connection).run("SELECT 1 / (id - 1) AS x FROM parts")
        assert connection.exec_driver_sql("SELECT a FROM mine").scalar() == 1
    engine.dispose()


def test_a_connection_that_died_is_replaced_or_said(depot, postgresql):
    with closing(open_engine(depot)) as engine:
        engine.run("SELECT 1 AS a")
        with owner(f"{postgresql.url}/postgres") as execute:
            execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'depot'")
        assert engine.run("SELECT 2 AS a").df["a"].tolist() == [2]


def test_a_wrong_password_is_one_clear_sentence(depot):
    with pytest.raises(ConnectionProblem) as problem:
        Catalog.from_connection(depot.replace(servers.PASSWORD, "wr0ng"))
    assert "password authentication failed" in problem.value.message
    assert "wr0ng" not in str(problem.value)
    assert "\n" not in str(problem.value)


def test_types_of_postgresql_are_kept(depot):
    with closing(open_engine(depot)) as engine:
        asked = "weight, added, ARRAY[1, 2] AS list, '{\"a\": 1}'::jsonb AS doc, 'x'::bytea AS raw"
        df = engine.run(f"SELECT {asked} FROM parts WHERE id = 1").df
    assert str(df["added"].dtype) == "datetime64[us, Etc/UTC]" or df["added"].dt.tz is not None
    assert df["list"][0] == [1, 2]
    assert df["doc"][0] == {"a": 1}
    assert df["raw"][0] == b"x"
    assert str(df["weight"][0]) == "0.125"


# Any other dialect


def test_sqlalchemys_inspector_serves_any_dialect(depot):
    database = SQLAlchemy(sa.create_engine(depot.replace("postgresql://", "postgresql+psycopg://")), ours=True)
    with closing(database):
        catalog = read_catalog(database)
        assert {"parts", "archive.moves"} <= {t.full_name for t in catalog}
        parts = catalog["parts"]
        assert (parts.primary_key, parts.description, parts.column("weight").description) == (
            ("id",),
            "What is in store",
            "kg",
        )
        assert catalog["moves"].foreign_keys[0].table in {"parts", "public.parts", "archive.parts"}
        assert catalog["heavy"].kind == "view"
        assert parts.column("kind").profile.values
        rows = Engine(database).run("SELECT id FROM parts ORDER BY id", max_rows=5)
        assert (rows.df["id"].tolist(), rows.total) == ([1, 2, 3, 4, 5], 1000)


# MariaDB


@pytest.fixture(scope="module")
def store(mariadb):
    """A MariaDB database, another one beside it, and a login that may read little."""
    with owner(f"{mariadb.url}/mysql") as execute:
        for statement in STORE:
            execute(statement)
    return f"{mariadb.url}/store"


STORE = [
    "CREATE DATABASE store",
    "CREATE DATABASE beside",
    "CREATE TABLE store.parts (id int PRIMARY KEY, kind enum('a', 'b') COMMENT 'sort', `a``b` int) COMMENT 'things'",
    "INSERT INTO store.parts SELECT seq, IF(seq % 2, 'a', 'b'), seq FROM store.seq_1_to_100",
    "CREATE TABLE beside.moves (part int, FOREIGN KEY (part) REFERENCES store.parts (id))",
    "CREATE TABLE store.secret (a int)",
    "CREATE VIEW store.broken AS SELECT * FROM store.secret",
    "CREATE TABLE store.gone (a int)",
    "CREATE VIEW store.dangling AS SELECT a FROM store.gone",
    "DROP TABLE store.gone",
    "CREATE USER clerk IDENTIFIED BY 'cl3rk'",
    "GRANT SELECT ON store.parts TO clerk",
    "GRANT INSERT ON store.secret TO clerk",
]


def test_databases_comments_and_quotes_in_mariadb(store):
    catalog = Catalog.from_connection(store)
    assert {"parts", "secret", "beside.moves"} <= {t.full_name for t in catalog}
    parts = catalog["parts"]
    assert (parts.description, parts.column("kind").description) == ("things", "sort")
    assert parts.column("a`b").profile.high == "100"
    assert catalog["moves"].foreign_keys == (ForeignKey(("part",), "parts", ("id",)),)


def test_what_a_login_may_not_read_in_mariadb(store):
    catalog = Catalog.from_connection(clerk(store))
    assert {t.full_name for t in catalog} == {"parts"}
    assert "secret" in catalog.problems[0]


def test_a_mariadb_session_is_given_back_as_it_was(store, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    engine = sa.create_engine(store, pool_size=1, max_overflow=0)
    asked = (
        "SELECT @@session.sql_mode, @@session.sql_select_limit, @@session.max_statement_time, @@session.tx_read_only"
    )
    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_ALL_TABLES'")
        before = connection.exec_driver_sql(asked).one()
    ours = open_engine(engine)
    assert len(ours.run("SELECT * FROM parts LIMIT 50", max_rows=20).df) == 20
    for sql in ("DROP TABLE parts", "CREATE TABLE evil (a int)", "TRUNCATE parts", "ALTER TABLE parts ADD z int"):
        with pytest.raises(QueryFailed):
            ours.run(sql)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(asked).one() == before
        connection.exec_driver_sql("CREATE TEMPORARY TABLE mine (a int)")
    engine.dispose()


def test_the_log_of_queries_is_read_where_there_is_one(depot):
    engine = open_engine(depot)
    assert engine.query_log() == []  # the extension is not there, and the connection goes on
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]
    rows = "('SELECT 1 FROM parts p JOIN halves h ON h.open = p.id', 9), ('UPDATE parts SET kind = $1', 99)"
    with owner(depot) as execute:
        execute(
            "CREATE VIEW pg_stat_statements AS SELECT query, calls, oid AS dbid "
            f"FROM pg_database, (VALUES {rows}) q (query, calls) WHERE datname = 'depot'"
        )
    try:
        engine.refresh()
        assert engine.query_log() == ["SELECT 1 FROM parts p JOIN halves h ON h.open = p.id"]
    finally:
        with owner(depot) as execute:
            execute("DROP VIEW pg_stat_statements")
