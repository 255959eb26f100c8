"""PostgreSQL runs no function that a user made because a generated statement's names happen to mean it.

What is planted reads a table that the statement does not name, and raises a notice in the very act of being planned.
"""

from __future__ import annotations

from contextlib import closing

import pytest
import sqlalchemy as sa
from servers import owner

from rsql_magic.databases import open_engine
from rsql_magic.errors import QueryFailed, QueryRejected

CANARY = "canary-4711"
LEAK = "RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'ran: {}', (SELECT s FROM vault); END $$"
PLANTED = [
    "CREATE TABLE vault (s text)",
    f"INSERT INTO vault VALUES ('{CANARY}')",
    "CREATE TABLE t (a integer, b text, total numeric, x numeric)",
    "INSERT INTO t VALUES (1, 'one', 10, 2.5), (2, 'two', 20, 3.5)",
    "CREATE TABLE s.u (a integer, b text)",
    f"CREATE FUNCTION leak(t) {LEAK}",
    f"CREATE FUNCTION total(t) {LEAK}",
    f"CREATE FUNCTION any_leak(anyelement) {LEAK}",
    f"CREATE FUNCTION rec_leak(record) {LEAK}",
    f"CREATE FUNCTION abs(text) {LEAK}",
    f"CREATE FUNCTION round(numeric, numeric, numeric) {LEAK}",
    f"CREATE FUNCTION lower(integer) {LEAK}",
    f"CREATE FUNCTION st_area(text) {LEAK}",
    f"CREATE FUNCTION s.upper(text) {LEAK}",
    f"CREATE FUNCTION cross_leak(text, text) {LEAK}",
    "CREATE OPERATOR + (LEFTARG = text, RIGHTARG = text, FUNCTION = cross_leak)",
    "CREATE OPERATOR s.@@@ (LEFTARG = text, RIGHTARG = text, FUNCTION = cross_leak)",
    "CREATE FUNCTION check_leak(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS "
    "$$ BEGIN RAISE EXCEPTION 'ran: %', (SELECT s FROM vault); END $$",
    "CREATE DOMAIN evil_domain AS text CHECK (check_leak(VALUE))",
    "CREATE DOMAIN evil_twice AS evil_domain",
    "CREATE DOMAIN fine_domain AS integer CHECK (VALUE > 0)",
    "CREATE TYPE evil_pair AS (a integer, b evil_domain)",
    "CREATE TYPE mood AS ENUM ('sad', 'happy')",
    "CREATE TYPE level AS ENUM ('low', 'high')",
    "CREATE FUNCTION level_leak(level) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS "
    "$$ BEGIN RAISE EXCEPTION 'ran: %', (SELECT s FROM vault); END $$",
    "CREATE CAST (level AS integer) WITH FUNCTION level_leak(level) AS IMPLICIT",
    "CREATE TABLE graded (id integer, grade level)",
    "INSERT INTO graded VALUES (1, 'low')",
    "CREATE TABLE moody (id integer, m mood, p fine_domain)",
    "CREATE AGGREGATE first(text) (SFUNC = cross_leak, STYPE = text)",
    "CREATE SEQUENCE counter",
    "CREATE VIEW through AS SELECT leak(t) AS shown FROM t",
]


@pytest.fixture(scope="module")
def url(postgresql):
    with owner(f"{postgresql.url}/postgres") as execute:
        execute("CREATE DATABASE planted")
    url = f"{postgresql.url}/planted"
    with owner(url) as execute:
        execute("CREATE SCHEMA s")
        for statement in PLANTED:
            execute(statement.replace("{}", "%"))
    return url


@pytest.fixture(scope="module")
def engine(url):
    with closing(open_engine(url)) as engine:
        engine.catalog()
        yield engine


ATTACKS = [
    "SELECT (t).leak FROM t",
    "SELECT t.leak FROM t",
    "SELECT q.leak FROM t AS q WHERE q.leak IS NOT NULL",
    "SELECT public.t.leak FROM public.t",
    'SELECT (t)."leak" FROM t',
    "SELECT ((t)).leak FROM t",
    "SELECT (SELECT t).leak FROM t",
    "SELECT (ARRAY[t])[1].leak FROM t",
    "SELECT max((t).leak) FROM t",
    "SELECT 1 FROM t ORDER BY t.leak",
    "SELECT t . /* x */ leak FROM t",
    "SELECT (t.b).any_leak FROM t",
    "SELECT q.rec_leak FROM (SELECT 1 AS a) AS q",
    "SELECT q.any_leak FROM (SELECT 1 AS a) AS q",
    "WITH q AS (SELECT * FROM t) SELECT (q).rec_leak FROM q",
    "SELECT public.abs('x')",
    "SELECT abs('x')",
    "SELECT ABS(b) FROM t",
    'SELECT "abs"(b) FROM t',
    'SELECT "public"."abs" (b) FROM t',
    "SELECT abs(b::text) OVER () FROM t",
    "SELECT sum(a) FILTER (WHERE abs(b) = 'x') FROM t",
    "SELECT round(x, 1.0, 2.0) FROM t",
    "SELECT lower(a) FROM t",
    "SELECT st_area(b) FROM t",
    "SELECT first(b) FROM t",
    "SELECT b + b FROM t",
    "SELECT b +b FROM t",
    "SELECT b OPERATOR(public.+) b FROM t",
    "SELECT b OPERATOR(s.@@@) b FROM t",
    "SELECT CAST('x' AS evil_domain)",
    "SELECT 'x'::evil_domain",
    "SELECT 'x'::public.evil_domain",
    'SELECT b::"evil_domain" FROM t',
    "SELECT evil_domain 'x'",
    "SELECT public.evil_domain 'x'",
    "SELECT b::evil_twice FROM t",
    "SELECT ARRAY[b]::evil_domain[] FROM t",
    "SELECT ROW(1, b)::evil_pair FROM t",
    "SELECT '(1,x)'::evil_pair",
    """SELECT * FROM json_to_record('{"a": "x"}') AS q(a evil_domain)""",
    """SELECT * FROM jsonb_to_recordset('[{"a": "x"}]') AS q(k integer, a evil_domain)""",
    "SELECT 'low'::level + 1",
    "SELECT grade + 1 FROM graded",
    "SELECT g.id FROM graded g JOIN t ON t.a = g.grade",
    "SELECT grade::integer FROM graded",
    "SELECT ('counter'::regclass).nextval",
    "SELECT (0.1).pg_sleep",
    "EXPLAIN SELECT abs('x')",
    "EXPLAIN ANALYZE SELECT (t).leak FROM t",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_no_function_of_a_user_runs(engine, url, sql):
    for door in (engine.run, engine.plan, engine.check):
        try:
            seen = repr(door(sql))
        except (QueryFailed, QueryRejected) as error:
            seen = f"{error} {error.hint}"
        assert "ran: " not in seen
        assert CANARY not in seen
    with owner(url) as execute:
        assert execute("SELECT is_called FROM counter").scalar() is False


def test_most_attacks_are_real(url):
    """Without the two walls the planted functions run: the attacks above are no typing errors."""
    ran = []
    with owner(url) as execute:
        for sql in ATTACKS:
            try:
                execute(sql)
            except sa.exc.DBAPIError as error:
                ran += [sql] if "ran: " in str(error) else []
    assert len(ran) >= 0.9 * len(ATTACKS), sorted(set(ATTACKS) - set(ran))


BENIGN = [
    "SELECT * FROM t",
    "SELECT q.total, q.x FROM t AS q ORDER BY q.total",
    "SELECT (q).total FROM t AS q",
    "SELECT round(x, 1), round(x) FROM t",
    "SELECT upper(b), length(b) FROM t",
    "SELECT b || 'x' FROM t WHERE b LIKE 'o%' AND a IN (1, 2) AND x BETWEEN 1 AND 9",
    "SELECT a - 1, x * 2, -a FROM t",
    "SELECT m::text, 'sad'::mood, p FROM moody",
    "SELECT 5::fine_domain",
    "SELECT CASE a WHEN 1 THEN 'x' ELSE b END FROM t",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i * 2 FROM n WHERE i < 50) SELECT * FROM n",
    "SELECT count(*) FILTER (WHERE b LIKE 'o%') OVER (PARTITION BY a) FROM t",
    "SELECT * FROM s.u",
    "SELECT relname FROM pg_catalog.pg_class LIMIT 1",
    "SELECT to_char(now(), 'YYYY'), date_trunc('month', current_date), interval '1 day'",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t",
    """SELECT '{"a": 1}'::jsonb ->> 'a', ('{"a": 1}'::json)->'a'""",
    "SHOW search_path",
    "EXPLAIN SELECT * FROM t",
]


@pytest.mark.parametrize("sql", BENIGN)
def test_what_is_postgresqls_own_runs(engine, sql):
    assert len(engine.run(sql).df.columns)


def test_a_view_is_the_owners_way(engine):
    with pytest.raises(QueryFailed, match=CANARY):
        engine.run("SELECT shown FROM through")


def test_the_search_path_is_as_it_was(url):
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.pool.StaticPool)
    with engine.connect() as connection, closing(open_engine(engine)) as asked:
        connection.exec_driver_sql("SET search_path = s, public")
        connection.commit()
        assert asked.run("SELECT count(*) AS n FROM u").df["n"].tolist() == [0]
        assert asked.run("SHOW search_path").df.iloc[0, 0] == "s, public"
        with pytest.raises(QueryRejected):
            asked.run("SELECT upper(b) FROM u")
        assert connection.exec_driver_sql("SHOW search_path").scalar() == "s, public"
    engine.dispose()
