"""What databases print of their settings, rights and views tells a model no secret, at `sample` either."""

from __future__ import annotations

import sqlite3

import duckdb
import pytest

from rsql_magic.databases import open_engine
from rsql_magic.errors import BadInput, QueryFailed, QueryRejected
from rsql_magic.redaction import redact
from rsql_magic.tools import DatabaseView, of_database

WORD = "swordfish"
LINK = f"host=db1 dbname=shop user=ann password={WORD}"
# As the servers print them.
PRINTED = [
    f"GRANT USAGE ON *.* TO `ann`@`%` IDENTIFIED BY PASSWORD '*{WORD}2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'",
    f"GRANT SELECT ON `shop`.* TO `ann`@`%` IDENTIFIED BY '{WORD}'",
    f"GRANT USAGE ON *.* TO ann IDENTIFIED VIA ed25519 USING PASSWORD('{WORD}')",
    f"CREATE USER `ann`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '{WORD}' REQUIRE NONE",
    f"CREATE VIEW v AS SELECT * FROM dblink('{LINK}', 'SELECT 1') AS t(a integer)",
    f"CREATE ALGORITHM=UNDEFINED VIEW `v` AS select '{LINK}' AS `c`",
    f" SELECT dblink_connect('postgresql://ann:{WORD}@db1/shop'::text) AS c;",
    f"CREATE FUNCTION f() RETURNS text AS $$ BEGIN PERFORM set_config('app.api_token', '{WORD}', false); END $$",
    f"CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'ann', PASSWORD '{WORD}', HOST 'db1')",
    f"CREATE USER MAPPING FOR ann SERVER s OPTIONS (user 'ann', password '{WORD}')",
    f"CREATE SUBSCRIPTION s CONNECTION '{LINK}' PUBLICATION p",
    f"primary_conninfo,{LINK} sslmode=prefer,string",
    f"CHANGE MASTER TO MASTER_HOST='db1', MASTER_USER='ann', MASTER_PASSWORD='{WORD}'",
    f"SET VARIABLE db_password = '{WORD}'",
    f"CREATE SECRET s (TYPE s3, KEY_ID 'ann', SECRET '{WORD}')",
]


@pytest.mark.parametrize("text", PRINTED)
def test_no_secret_is_left_of_what_a_server_prints(text):
    said, found = redact(text)
    assert WORD not in said
    assert found


def told(connection, sql):
    """What the tool `query` tells of a query at `sample`, as a model is told it."""
    engine = open_engine(connection)
    view = DatabaseView(engine, engine.catalog("sample"), "sample")
    [query] = [each for each in of_database(view) if each.name == "query"]
    try:
        return redact(query.run({"sql": sql}))[0]
    except (BadInput, QueryFailed, QueryRejected) as refused:
        return str(refused)


QUERIES = [
    "SELECT name, value, type FROM duckdb_variables()",
    "SELECT * FROM duckdb_variables()",
    "SELECT * FROM duckdb_settings()",
    "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal",
    "SELECT * FROM information_schema.views",
    "SELECT view_definition FROM information_schema.views",
    "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal",
    "SELECT id, kind, content FROM settings",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_duckdb_tells_no_secret(sql):
    with duckdb.connect() as con:
        con.execute(f"SET VARIABLE db_password = '{WORD}'")
        con.execute(f"CREATE VIEW v AS SELECT '{LINK}' AS link, 'postgresql://ann:{WORD}@db1/shop' AS url")
        con.execute(f"CREATE MACRO f() AS 'password={WORD};'")
        con.execute("CREATE TABLE settings (id INTEGER, kind VARCHAR, content VARCHAR)")
        con.execute(f"INSERT INTO settings VALUES (1, 'host', 'db1'), (2, 'api_token', '{WORD}')")
        assert WORD not in told(con, sql)


@pytest.mark.parametrize("sql", ["SELECT sql FROM sqlite_master", "SELECT * FROM sqlite_schema", QUERIES[-1]])
def test_sqlite_tells_no_secret(sql):
    con = sqlite3.connect(":memory:")
    con.execute(f"CREATE VIEW v AS SELECT '{LINK}' AS link, 'postgresql://ann:{WORD}@db1/shop' AS url")
    con.execute("CREATE TABLE settings (id INTEGER, kind TEXT, content TEXT)")
    con.execute(f"INSERT INTO settings VALUES (1, 'host', 'db1'), (2, 'api_token', '{WORD}')")
    said = told(con, sql)
    con.close()
    assert WORD not in said


def test_what_is_no_setting_is_told():
    with duckdb.connect() as con:
        con.execute("CREATE TABLE settings AS SELECT 1 AS id, 'host' AS kind, 'db1' AS content")
        assert "host,db1" in told(con, QUERIES[-1])
