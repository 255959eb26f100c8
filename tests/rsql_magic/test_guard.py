"""The guard on statements written by hand: every family of attack, in every dialect, and what must pass."""

from __future__ import annotations

import ast
import inspect
import time
from pathlib import Path

import guard_cases as cases
import pytest
from many_cases import check_each

from rsql_magic.context import Catalog
from rsql_magic.errors import QueryRejected
from rsql_magic.sql import Column, Table, functions, guard, lex, parse, validate
from rsql_magic.sql.dialects.spellings import shown
from rsql_magic.sql.guard.nodes import ALLOWED


def attacks(dialect):
    """What must be refused: families and statements."""
    return [*cases.ATTACKS_EVERYWHERE, *cases.ATTACKS[dialect]]


SHOP = tuple(
    Table(name, tuple(Column(column) for column in columns.split()))
    for name, columns in {
        "customers": "id name city since",
        "sales": "id customer_id item_id total sold_on",
        "items": "id label kind price",
    }.items()
)
EVERYTHING = Catalog((Table("users", (Column("id"),)),), "duckdb")
FAMILIES = sorted({family for dialect in cases.ALL for family, _ in attacks(dialect)})


def refusal(sql, dialect, catalog=None):
    with pytest.raises(QueryRejected) as caught:
        guard.check(sql, dialect, catalog)
    return caught.value


def is_refused(dialect, sql):
    for catalog in (None, Catalog(SHOP, dialect)):
        error = refusal(sql, dialect, catalog)
        assert error.reason.endswith((".", "?")), error.reason
        assert len(error.reason) < 300
        assert len(error.piece) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dialect", cases.ALL)
def test_refuses(dialect, family):
    check_each(is_refused, [(dialect, sql) for of, sql in attacks(dialect) if of == family])


@pytest.mark.slow
@pytest.mark.parametrize("dialect", cases.ALL)
@pytest.mark.parametrize("sql", cases.BOMBS, ids=range(len(cases.BOMBS)))
def test_refuses_bombs_quickly(dialect, sql):
    start = time.thread_time()
    refusal(sql, dialect)
    assert time.thread_time() - start < 2


def is_let_through(dialect, sql):
    for catalog in (None, Catalog(SHOP, dialect)):
        checked = guard.check(sql, dialect, catalog)
        assert guard.check(checked, dialect, catalog) == checked
    before, after = lex(sql, dialect), lex(checked, dialect)
    assert after.comments == ()
    assert [token.text for token in before.tokens] == [token.text for token in after.tokens]


@pytest.mark.spine
@pytest.mark.slow
@pytest.mark.parametrize("dialect", cases.ALL)
def test_lets_through(dialect):
    check_each(is_let_through, [(dialect, sql) for sql in [*cases.BENIGN_EVERYWHERE, *cases.BENIGN[dialect]]])


@pytest.mark.parametrize("dialect", [*cases.ALL, "oracle", "spark", "trino"])
def test_refuses_more(dialect):
    for sql in cases.statements("attacks", dialect):
        refusal(sql, dialect)


@pytest.mark.spine
@pytest.mark.slow
@pytest.mark.parametrize("dialect", [*cases.ALL, "trino"])
def test_lets_more_through(dialect):
    for sql in cases.statements("benign", dialect):
        checked = guard.check(sql, dialect)
        assert guard.check(checked, dialect) == checked
        assert [problem for problem in validate(checked, dialect, EVERYTHING) if problem.kind == "syntax"] == []


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgres", "SELECT a <#> pg_sleep(1) FROM t"),
        ("postgres", "SELECT a FROM t ORDER BY (SELECT pg_read_file('x')) USING <"),
        ("postgres", "SELECT box pg_read_file('x')"),
        ("postgres", "SELECT json_query('{}', '$' WITH x AS (DELETE FROM t RETURNING 1) WRAPPER)"),
        ("duckdb", "PIVOT t ON a USING sum(b) ORDER BY a UNION SELECT c FROM duckdb_secrets"),
        ("duckdb", "PIVOT t ON a USING sum(b) ORDER BY getenv('HOME')"),
        ("mysql", "SELECT {d SLEEP(1)}"),
        ("mysql", "SELECT HIGH_PRIORITY DISTINCTROW SLEEP(1)"),
        ("mysql", "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$.a' DEFAULT SLEEP(1) ON EMPTY)) j"),
        ("tsql", "SELECT * FROM t (NOLOCK, XLOCK)"),
        ("tsql", "SELECT PARSE('1' AS INT USING (SELECT 1 FROM OPENQUERY(a, 'b')))"),
        ("tsql", "SELECT dbo.evil::Run('x')"),
        (
            "snowflake",
            "SELECT * FROM t MATCH_RECOGNIZE (ORDER BY a PATTERN (x) SUBSET u = (SELECT 1 FROM @s) DEFINE x AS a = 1)",
        ),
        ("trino", "SELECT * FROM TABLE(query('DELETE FROM t'))"),
        ("sqlite", "SELECT a LIKE 'x' ESCAPE '!' COLLATE NOCASE, load_extension('x') FROM t"),
        ("sqlite", "SELECT 1 = any(load_extension('x'))"),
    ],
)
def test_a_spelling_shown_to_the_parser_hides_nothing(dialect, sql):
    refusal(sql, dialect)


@pytest.mark.parametrize(
    ("dialect", "sql", "seen"),
    [
        ("postgres", "SELECT a FROM t ORDER BY b USING >", "SELECT a FROM t ORDER BY b        "),
        ("postgres", "SELECT a <#> b, c ~<~ d, @ -5", "SELECT a <-> b, c &&  d, - -5"),
        ("postgres", "SELECT circle '<(1,2),3>'", "SELECT        '<(1,2),3>'"),
        ("mysql", "SELECT {d '2024-01-01'}", "SELECT    '2024-01-01' "),
        ("tsql", "SELECT $1.50 WHERE 3 !< 2", "SELECT  1.50 WHERE 3 >= 2"),
        ("bigquery", "SELECT rb'x', r'rb'", "SELECT   'x', r'rb'"),
        ("duckdb", "SELECT x'AB', x, 'x''AB'", "SELECT  'AB', x, 'x''AB'"),
    ],
)
def test_what_the_parser_is_shown_has_the_same_places(dialect, sql, seen):
    assert shown(lex(sql, dialect), dialect) == seen
    assert len(seen) == len(sql)
    assert guard.check(sql, dialect) == sql


@pytest.mark.parametrize(
    ("sql", "dialect", "expected"),
    [
        ("  SELECT 1 ;\n", "duckdb", "SELECT 1"),
        ("SELECT a, -- first\n  b -- second\nFROM t;", "duckdb", "SELECT a,\n  b\nFROM t"),
        ("/* why */ SELECT/**/1", "postgres", "SELECT 1"),
        ("SELECT '--not a comment', \"/*nor*/\" FROM t", "postgres", "SELECT '--not a comment', \"/*nor*/\" FROM t"),
        ("SELECT 'it\\'s', '\\\\'", "mysql", "SELECT 'it''s', '\\\\'"),
        ("SELECT /*+ NO_ICP(t) */ a FROM t", "mysql", "SELECT a FROM t"),
        ("select  A ,b  from T", "snowflake", "select  A ,b  from T"),
        ("EXPLAIN /* x */ SELECT 1;", "sqlite", "EXPLAIN SELECT 1"),
        ("SELECT /* a /* b */ c */ 1", "postgres", "SELECT 1"),
        ("SELECT\u00a01", "duckdb", "SELECT 1"),
    ],
)
def test_keeps_the_users_own_spelling(sql, dialect, expected):
    assert guard.check(sql, dialect) == expected


@pytest.mark.parametrize(
    ("sql", "dialect", "reason", "piece"),
    [
        ("DELETE FROM t", "duckdb", "changes rows", "DELETE"),
        ("SELECT 1; DROP TABLE t", "duckdb", "more than one statement", "DROP TABLE t"),
        ("SELECT pg_sleep(9)", "postgres", "waits and holds the connection", "pg_sleep"),
        ("SELECT * FROM 'x.csv'", "duckdb", "read as a file", "x.csv"),
        ("SELECT a FROM t FOR UPDATE", "postgres", "lock", "FOR UPDATE"),
        ("SELECT * FROM pg_authid", "postgres", "secrets", "pg_authid"),
        ("SELECT repeat('x', 1000000000)", "postgres", "1,000,000,000 characters", "repeat"),
        ("SELECT my_function(1)", "postgres", "not known to be harmless", "my_function"),
        ("SELECT a INTO b FROM t", "postgres", "INTO writes", "b"),
        ("SELECT 1 /*!50000 , 2 */", "mysql", "runs the inside of this comment", "/*!50000"),
        ("SELECT 1 DELETE FROM t", "tsql", "second statement", "DELETE FROM t"),
        ("SELEC 1", "duckdb", "not a query", "SELEC"),
        ("SELECT 1 +", "duckdb", "does not read as SQL", ""),
    ],
)
def test_says_why_and_where(sql, dialect, reason, piece):
    error = refusal(sql, dialect)
    assert reason in error.reason
    assert piece in error.piece
    assert error.piece in sql


@pytest.mark.parametrize("dialect", cases.OTHERS)
def test_other_dialects(dialect):
    for _, sql in cases.ATTACKS_EVERYWHERE:
        refusal(sql, dialect)
    for sql in cases.OTHER_ATTACKS[dialect]:
        refusal(sql, dialect)
    for sql in cases.OTHER_BENIGN[dialect]:
        assert guard.check(sql, dialect)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT uper(name) FROM customers",
        "SELECT * FROM costumers",
        "SELECT name FORM customers",
        "SELECT 1; SELECT 2",
        "SELECT * FROM sales, items, customers",
        "SELECT",
        "hello",
    ],
)
def test_a_slip_may_be_repaired(sql):
    assert refusal(sql, "duckdb", Catalog(SHOP, "duckdb")).repairable


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE customers",
        "SELECT 1; DROP TABLE customers",
        "SELECT * FROM read_csv('x')",
        "SELECT * FROM 'x.csv'",
        "COPY customers TO 'x'",
        "WITH a AS (DELETE FROM customers RETURNING *) SELECT * FROM a",
        "SELECT getenv('x')",
    ],
)
def test_an_attempt_may_not(sql):
    assert not refusal(sql, "duckdb", Catalog(SHOP, "duckdb")).repairable


class TestCatalog:
    CATALOG = Catalog(
        (
            Table("orders", (Column("id"),)),
            Table("orders", (Column("id"),), schema="archive"),
            Table("Order Details", (Column("id"),)),
            Table("pg_tips", (Column("id"),)),
        ),
        "postgres",
        schema="public",
        database="shop",
    )

    @pytest.mark.parametrize(
        "name",
        [
            "orders",
            "public.orders",
            "shop.public.orders",
            "archive.orders",
            '"Order Details"',
            "pg_tips",
            "pg_class",
            "information_schema.columns",
        ],
    )
    def test_knows(self, name):
        assert guard.check(f"SELECT * FROM {name}", "postgres", self.CATALOG)

    @pytest.mark.parametrize(
        "name",
        [
            "customers",
            "secret.orders",
            "other.public.orders",
            "pg_secret",
            "pg_shadow",
            '"Orders Details"',
            "archive.customers",
        ],
    )
    def test_refuses_what_it_does_not_hold(self, name):
        refusal(f"SELECT * FROM {name}", "postgres", self.CATALOG)

    @pytest.mark.parametrize(
        "sql",
        [
            "WITH a AS (SELECT * FROM orders) SELECT * FROM a",
            "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b, a",
            "SELECT * FROM (WITH a AS (SELECT 1 AS x) SELECT x FROM a) t",
            "SELECT (WITH a AS (SELECT 1 AS x) SELECT x FROM a)",
            "WITH a AS (SELECT 1 AS x) SELECT * FROM orders WHERE id IN (SELECT x FROM a)",
            "WITH a AS (SELECT 1 AS x) SELECT x FROM a UNION ALL SELECT x FROM a",
            "WITH RECURSIVE a AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM a WHERE x < 5) SELECT * FROM a",
        ],
    )
    def test_knows_names_in_scope(self, sql):
        assert guard.check(sql, "postgres", self.CATALOG)

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT * FROM a, (WITH a AS (SELECT 1 AS x) SELECT x FROM a) t",
            "WITH a AS (SELECT * FROM b), b AS (SELECT 1 AS x) SELECT * FROM a",
            "WITH a AS (SELECT * FROM a) SELECT * FROM a",
            "SELECT (WITH a AS (SELECT 1 AS x) SELECT x FROM a), (SELECT x FROM a)",
            "WITH a AS (SELECT 1 AS x) SELECT * FROM public.a",
            'WITH "A" AS (SELECT 1 AS x) SELECT * FROM a',
        ],
    )
    def test_refuses_names_out_of_scope(self, sql):
        refusal(sql, "postgres", self.CATALOG)

    def test_user_defined_functions_may_be_named(self):
        catalog = Catalog(functions=("margin", "tools.margin"))
        assert guard.check("SELECT margin(1), tools.margin(2)", "postgres", catalog)
        refusal("SELECT margins(1)", "postgres", catalog)
        refusal("SELECT other.margin(1)", "postgres", catalog)

    def test_bigquery_reads_shards_together(self):
        catalog = Catalog((Table("events_20240101", (Column("id"),), schema="shop"),), "bigquery")
        assert guard.check("SELECT * FROM `shop.events_*`", "bigquery", catalog)
        refusal("SELECT * FROM `shop.secrets_*`", "bigquery", catalog)

    def test_known_sizes_are_minded(self):
        big = Catalog((Table("sales", (Column("id"),), rows=5_000_000), Table("items", (Column("id"),), rows=900_000)))
        refusal("SELECT count(*) FROM sales, items", "duckdb", big)
        assert guard.check("SELECT count(*) FROM sales s JOIN items i ON s.id = i.id", "duckdb", big)


@pytest.mark.parametrize("name", ["nosuchsql", "", "  ", "sql; drop"])
def test_refuses_unknown_dialects(name):
    assert "dialect" in refusal("SELECT 1", name).reason


@pytest.mark.parametrize(
    "name", ["postgresql", "PostgreSQL", "mssql", "MariaDB", "sqlite3", "trino", "oracle", "spark", "redshift"]
)
def test_knows_dialects_by_their_other_names(name):
    assert guard.check("SELECT 1 AS a FROM dual" if name == "oracle" else "SELECT 1 AS a", name)


def test_every_allowed_node_exists():
    from sqlglot import exp

    assert {name for name in ALLOWED if not hasattr(exp, name)} == set()


def test_no_node_that_writes_is_allowed():
    from sqlglot.expressions import ddl, dml, properties

    writing = {
        name
        for module in (ddl, dml, properties)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__
    }
    assert ALLOWED & writing == {"Comprehension", "Describe", "Show", "Summarize"}


@pytest.mark.parametrize(
    "dialect", ["duckdb", "mysql", "postgres", "snowflake", "sqlite", "tsql", "bigquery", "oracle", "trino", "spark"]
)
def test_function_lists_do_not_contradict_themselves(dialect):
    known = functions(dialect)
    exact = {name for name, _ in known.reasons.items() if not name.endswith("*")}
    assert exact & known.allowed == set()
    assert all(name == name.lower() for name in known.allowed | exact)


def test_sqlglot_is_not_imported_before_it_is_needed(programs):
    import subprocess
    import sys

    code = "import sys, rsql_magic.guard, rsql_magic.validate; print('sqlglot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_tree_is_never_changed():
    sql = "WITH a AS (SELECT id FROM customers) SELECT count(*) FROM a JOIN sales s ON s.customer_id = a.id"
    before = repr(parse(sql, "duckdb"))
    guard.check(sql, "duckdb", Catalog(SHOP, "duckdb"))
    assert repr(parse(sql, "duckdb")) == before


@pytest.mark.spine
@pytest.mark.slow
def test_no_attack_is_listed_as_benign():
    source = Path(cases.__file__).read_text(encoding="utf-8")
    ast.parse(source)
    for dialect in cases.ALL:
        refused = {sql for _, sql in attacks(dialect)}
        assert refused.isdisjoint([*cases.BENIGN_EVERYWHERE, *cases.BENIGN[dialect]])
