"""What only Spark has: comments and structs, files as tables, functions of a person's, sessions that end."""

from __future__ import annotations

import pytest

from rsql_magic.databases import Connections, open_engine
from rsql_magic.errors import ConnectionProblem, QueryFailed, QueryRejected

pytestmark = pytest.mark.spark


@pytest.fixture(params=["classic", "connect"])
def session(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def engine(session):
    return open_engine(session)


@pytest.fixture
def unguarded(engine, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    return engine


def test_a_session_is_found_by_its_variable(session):
    connections = Connections()
    assert connections.takes("spark", {"spark": session})
    engine, _ = connections.engine("spark", {"spark": session})
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]


def test_tables_have_comments_structs_and_schemas(session, engine):
    session.sql("CREATE SCHEMA IF NOT EXISTS depot")
    session.sql("DROP TABLE IF EXISTS depot.parts")
    session.sql(
        "CREATE TABLE depot.parts (id INT, at STRUCT<shelf: STRING, place: INT> COMMENT 'where it lies') "
        "USING parquet COMMENT 'What is in store'"
    )
    session.sql("INSERT INTO depot.parts VALUES (1, named_struct('shelf', 'A', 'place', 7))")
    session.sql("CREATE OR REPLACE TEMPORARY VIEW heavy AS SELECT id FROM depot.parts")
    engine.refresh()
    catalog = engine.catalog("names")
    parts = catalog["depot.parts"]
    assert (parts.description, parts.column("at").description) == ("What is in store", "where it lies")
    assert parts.column("at").type == "struct<shelf:string,place:int>"
    assert catalog["heavy"].kind == "view"
    assert engine.run("SELECT at FROM depot.parts").df["at"].tolist() == [{"shelf": "A", "place": 7}]
    session.sql("CREATE OR REPLACE TEMPORARY VIEW heavy AS SELECT id, id AS weight FROM depot.parts")
    assert engine.catalog("names", sure=True)["heavy"].column("weight")


def test_a_moment_is_shown_in_the_zone_of_the_session(engine):
    [moment] = engine.run("SELECT TIMESTAMP '2024-07-01 10:00:00' AS at").df["at"]
    assert moment.isoformat() == "2024-07-01T10:00:00+02:00"
    assert engine.time_zone == "Europe/Vienna"


FILES = ["SELECT * FROM text.`{0}`", "SELECT * FROM csv.`{0}`", "SELECT * FROM binaryFile.`{0}`"]


@pytest.mark.parametrize("sql", FILES)
def test_no_name_is_a_file(engine, unguarded, session, tmp_path, sql):
    secret = tmp_path / "secret.txt"
    secret.write_text("canary-4711\n")
    assert "canary" in str(session.sql(FILES[0].format(secret)).collect())  # what a person may do
    with pytest.raises(QueryFailed) as refused:
        unguarded.run(sql.format(secret))
    assert "canary" not in str(refused.value)
    assert "canary" in str(session.sql(FILES[0].format(secret)).collect())  # and may again


ATTACKS = [
    "SELECT reflect('java.lang.System', 'getProperty', 'user.home')",
    "SELECT java_method('java.lang.System', 'getProperty', 'user.home')",
    "SELECT try_reflect('java.lang.System', 'getProperty', 'user.home')",
    "SELECT TRANSFORM(id) USING 'cat' AS (b) FROM range(3)",
    "FROM range(3) SELECT TRANSFORM(id) USING 'cat' AS (b)",
    "SELECT * FROM IDENTIFIER('text.`/etc/hostname`')",
    "SELECT input_file_name()",
    "SELECT * FROM python_worker_logs()",
    "WITH text AS (SELECT 1) SELECT * FROM text.`/etc/hostname`",
    "DESCRIBE TABLE text.`/etc/hostname`",
    "EXECUTE IMMEDIATE 'SELECT 1'",
    "BEGIN SELECT 1; END",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_an_attack_is_refused_before_spark_has_it(engine, sql):
    with pytest.raises(QueryRejected):
        engine.run(sql)


def test_a_function_of_a_persons_is_refused_until_it_is_named(engine, session):
    session.udf.register("h3_size", lambda cell: f"ran {cell}")  # a name of the list that Spark has not
    with pytest.raises(QueryRejected, match="function of yours"):
        engine.run("SELECT h3_size('a') AS size")
    assert engine.run("SELECT upper('a') AS up, try_cast('1' AS INT) AS one").df["up"].tolist() == ["A"]


def test_a_plan_shows_the_steps(engine):
    plan = engine.plan("SELECT id % 2 AS odd, count(*) AS n FROM range(1000) GROUP BY id % 2")
    assert "Aggregate" in plan.text
    assert "Range" in plan.text


def test_an_address_is_a_session_of_its_own(address):
    engine = open_engine(f"{address}/;user_id=ada")
    assert engine.name == address
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]
    engine.close()


def test_a_session_that_ended_is_one_sentence(address):
    from pyspark.sql.connect.session import SparkSession

    session = SparkSession.builder.remote(address).create()
    engine = open_engine(session)
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]
    session.stop()
    for ask in (lambda: engine.catalog(sure=True), lambda: engine.run("SELECT 1 AS one")):
        with pytest.raises(ConnectionProblem, match=r"The Spark session has ended\. Start it again"):
            ask()


def test_a_server_that_is_gone_is_one_sentence(classic):
    with pytest.raises(ConnectionProblem, match=r"127\.0\.0\.1:9 cannot be reached"):
        open_engine("sc://127.0.0.1:9")
