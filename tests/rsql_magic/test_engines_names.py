"""Names mean what the engine says: attacks that misuse scope, case and users' functions, tried on real connections.

Each tries to reach something planted: a file, a Python variable, a function. The engine's door is open where it can be
(the user's own connection), so what keeps the planted thing safe is what is tested.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import duckdb
import pandas as pd
import pytest
import sqlalchemy as sa

from rsql_magic.context import Catalog
from rsql_magic.databases import open_engine
from rsql_magic.errors import QueryFailed, QueryRejected
from rsql_magic.sql import guard

pytestmark = pytest.mark.slow

CANARY = "canary-4711"


def leaks(engine, sql):
    """Whether a statement brings the canary out, or fails only after having looked at it."""
    for door in (engine.check, engine.plan, engine.run):
        try:
            seen = repr(door(sql)) + (engine.run(sql).df.to_string() if door == engine.run else "")
        except (QueryFailed, QueryRejected) as error:
            seen = f"{error} {error.hint}"
        if CANARY in seen:
            return True
    return False


@pytest.fixture
def planted(tmp_path):
    """A folder with files that hold the canary; two differ by the case folding of a letter only."""
    for folder in ("planted", "planted_s", "planted_ſ", "strasse"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "canary.csv").write_text(f"x\n{CANARY}\n")
    return tmp_path


@pytest.fixture
def duck():
    """A user's connection: tables, a view over a file that may be read, macros under the names of DuckDB's own."""
    with closing(duckdb.connect()) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b VARCHAR); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
        connection.execute("CREATE SCHEMA side; CREATE TABLE side.hidden (a INTEGER)")
        with closing(open_engine(connection)) as engine:
            yield connection, engine


SCOPES = [
    'WITH RECURSIVE "{f}" AS (SELECT * FROM "{f}") SELECT * FROM "{f}"',
    'WITH RECURSIVE a AS (SELECT * FROM "{f}"), "{f}" AS (SELECT 1 AS x) SELECT * FROM a',
    'WITH RECURSIVE "{f}" AS (SELECT * FROM "{f}" LIMIT 5) SELECT * FROM "{f}"',
    'WITH RECURSIVE "{f}"(x) AS (SELECT x FROM "{f}" UNION ALL SELECT x FROM "{f}" WHERE x < 3) SELECT * FROM "{f}"',
    'WITH RECURSIVE "{f}"(x) AS (SELECT 1 UNION SELECT 2 UNION SELECT x FROM "{f}" WHERE x < 3) SELECT * FROM "{f}"',
    'SELECT * FROM (WITH "{f}" AS (SELECT 1 a) FROM "{f}"), "{f}"',
    'WITH a AS (WITH "{f}" AS (SELECT 1 x) SELECT * FROM "{f}") SELECT * FROM "{f}"',
    'WITH "{F}" AS (SELECT 1 AS x) SELECT * FROM "{f}"',
]


@pytest.mark.parametrize("sql", SCOPES)
def test_no_scope_of_with_reads_a_file(duck, planted, sql):
    _, engine = duck
    file = planted / "planted_s" / "canary.csv"
    text = sql.format(f=file, F=str(file).replace("_s", "_ſ"))
    assert CANARY in duckdb.connect().execute(f"SELECT * FROM '{file}'").df().to_string()
    assert not leaks(engine, text)
    with pytest.raises(QueryRejected):
        guard.check(text, "duckdb")


@pytest.mark.parametrize(
    "sql", [s.replace("{f}", "planted_frame").replace("{F}", "PLANTED_FRAME") for s in SCOPES[:-1]]
)
def test_no_scope_of_with_reads_a_variable(duck, sql):
    """DuckDB looks for what it does not find among Python's variables, which have plain names."""
    planted_frame = pd.DataFrame({"x": [CANARY]})
    connection, engine = duck
    assert CANARY in connection.execute("SELECT * FROM planted_frame").df().to_string()
    assert not leaks(engine, sql), planted_frame


@pytest.mark.slow
def test_duckdb_is_asked_although_the_guard_lets_a_name_through(duck, planted, monkeypatch):
    """The second wall: with an open guard DuckDB's own tree still tells tables from files."""
    _, engine = duck
    engine.catalog()
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    file = planted / "planted" / "canary.csv"
    for sql in [*(s.format(f=file, F=str(file).upper()) for s in SCOPES), f"FROM '{file}'", f"SUMMARIZE '{file}'"]:
        assert not leaks(engine, sql), sql
    assert not leaks(engine, f"PIVOT '{file}' ON x USING count(*)")


@pytest.mark.parametrize("name", ["hidden", "information_schema.nothing", "side.t", "memory.side.t"])
def test_a_name_is_looked_up_where_duckdb_looks(duck, name, monkeypatch):
    _, engine = duck
    engine.catalog()
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    with pytest.raises(QueryRejected, match="There is no table"):
        engine.run(f"SELECT * FROM {name}")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "SELECT * FROM T JOIN main.t AS u USING (a) JOIN memory.main.t w USING (a)",
        "SELECT * FROM side.hidden",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM duckdb_tables",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
        "WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a) SELECT * FROM b WHERE EXISTS (FROM A)",
        "PIVOT t ON b USING sum(a)",
        "DESCRIBE t",
        "SUMMARIZE t",
        "EXPLAIN SELECT * FROM t",
        "PRAGMA table_info(t)",
        "SELECT " + " + ".join(["a"] * 400) + " FROM t",
    ],
)
def test_duckdb_finds_what_is_there(duck, sql):
    _, engine = duck
    assert len(engine.run(sql).df.columns)


@pytest.mark.parametrize(
    ("made", "sql"),
    [
        ("CREATE MACRO abs(p) AS (SELECT min(x) FROM '{f}')", "SELECT abs(1)"),
        ("CREATE MACRO \"+\"(p, q) AS (SELECT min(x) FROM '{f}')", "SELECT a + 1 FROM t"),
        ("CREATE TEMP MACRO \"~~\"(p, q) AS (SELECT min(x) FROM '{f}')", "SELECT b LIKE 'x' FROM t"),
        ("CREATE MACRO range(p) AS TABLE SELECT * FROM '{f}'", "SELECT * FROM range(3)"),
        ("CREATE MACRO abs(p) AS (SELECT min(x) FROM '{f}')", "PIVOT t ON b USING max(abs(a))"),
        ("CREATE MACRO \"+\"(p, q) AS (SELECT min(x) FROM '{f}')", "PIVOT t ON b USING max(a + 1)"),
    ],
)
def test_a_macro_under_a_name_of_duckdbs_own_is_not_called(duck, planted, made, sql):
    connection, engine = duck
    engine.run(sql)
    connection.execute(made.format(f=planted / "planted" / "canary.csv"))
    with closing(open_engine(connection)) as engine:
        assert not leaks(engine, sql)
        with pytest.raises(QueryRejected, match="function of your own"):
            engine.run(sql)


def test_a_view_over_a_file_is_the_users_way_to_read_it(duck, planted):
    connection, engine = duck
    connection.execute(f"CREATE VIEW v AS SELECT * FROM '{planted / 'planted' / 'canary.csv'}'")
    assert engine.run("SELECT x FROM v").df["x"].tolist() == [CANARY]


def test_a_table_named_like_a_file_is_a_table(planted):
    file = str(planted / "strasse" / "canary.csv")
    twin = file.replace("strasse", "straße")
    with closing(duckdb.connect()) as connection:
        connection.execute(f'CREATE TABLE "{twin}" AS SELECT 1 AS x')
        with closing(open_engine(connection)) as engine:
            assert engine.run(f'SELECT x FROM "{twin}"').df["x"].tolist() == [1]
            assert not leaks(engine, f'SELECT x FROM "{file}"')
    catalog = Catalog.from_ddl(f'CREATE TABLE "{twin}" (x INTEGER)', dialect="duckdb")
    with pytest.raises(QueryRejected):
        guard.check(f'SELECT x FROM "{file}"', "duckdb", catalog)


@pytest.fixture
def lite():
    """A SQLite connection of the user's."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y');"
            "CREATE VIEW v AS SELECT abs(a) AS a FROM t; CREATE VIRTUAL TABLE f USING fts5(body);"
            "INSERT INTO f VALUES ('hello world')"
        )
        yield connection


REPLACED = [
    ("abs", 1, "SELECT abs(a) FROM t"),
    ("abs", 1, "WITH v AS (SELECT abs(a) AS a FROM t) SELECT a FROM v"),
    ("abs", 1, "EXPLAIN QUERY PLAN SELECT abs(a) FROM t"),
    ("ABS", 1, "SELECT sum(aBs(a)) OVER () FROM t"),
    ("like", 2, "SELECT a FROM t WHERE b LIKE 'x'"),
    ("glob", 2, "SELECT a FROM t WHERE b GLOB 'x'"),
    ("->", 2, "SELECT '{}' -> 'a'"),
    ("date", -1, "SELECT date('now')"),
]


@pytest.mark.parametrize(("name", "count", "sql"), REPLACED)
def test_a_function_in_place_of_sqlites_own_is_not_called(lite, name, count, sql):
    ran = []
    with closing(open_engine(lite)) as engine:
        engine.run(sql)
        lite.create_function(name, count, lambda *_: ran.append(1) or 1)
        assert not leaks(engine, sql)
        with pytest.raises(QueryRejected, match="function of your own"):
            engine.run(sql)
        assert not ran
        if name == "abs":
            engine.run("SELECT a FROM v")  # the view is the user's, and so is what it calls
            assert ran


@pytest.mark.parametrize("table", ["dbstat", "sqlite_stmt", "sqlite_dbpage", "bytecode('SELECT 1')", "absent"])
def test_sqlite_says_what_is_read(lite, table, monkeypatch):
    with closing(open_engine(lite)) as engine:
        engine.catalog()
        monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
        for sql in (f"SELECT * FROM {table}", f"WITH t AS (SELECT * FROM {table}) SELECT * FROM t"):
            with pytest.raises((QueryRejected, QueryFailed), match=r"no such table|There is no table"):
                engine.run(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM t) SELECT * FROM a",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT floor(i) FROM n",
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT * FROM n",
        "SELECT count(*) FROM t WHERE a IN t",
        "SELECT value FROM json_each('[1, 2]')",
        "SELECT name FROM pragma_table_info('t')",
        "SELECT * FROM f WHERE f MATCH 'hello'",
        "SELECT * FROM main.t NATURAL JOIN v",
        "SELECT name FROM sqlite_master",
        "EXPLAIN QUERY PLAN SELECT * FROM v",
        "PRAGMA table_info(t)",
    ],
)
def test_sqlite_finds_what_is_there(lite, sql):
    if "IN t" in sql:
        lite.executescript("DROP VIEW v; DROP TABLE t; CREATE TABLE t (a INTEGER)")
    lite.create_function("regexp", 2, lambda *_: 1)
    with closing(open_engine(lite)) as engine:
        assert len(engine.run(sql).df.columns)
        assert engine.run("SELECT 'x' REGEXP 'y' AS m").df["m"].tolist() == [1]


def test_sqlalchemys_connections_are_asked_as_well():
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (a REAL)")
    with closing(open_engine(engine)) as asked:
        assert asked.run("SELECT floor(1.5) AS a FROM t").df.empty
    engine.dispose()
