"""Statements that an engine takes and that only read are let through, whichever way they are spelled."""

from __future__ import annotations

import pytest
from many_cases import check_each

from rsql_magic.errors import QueryRejected
from rsql_magic.sql import Catalog, Column, Table, check, ddl, validate

_ORDERS = Table(
    "orders", (Column("id", "INT"), Column("status", "VARCHAR"), Column("tags", "Array(String)"), Column("vals"))
)
_VALID = {
    "clickhouse": [
        "SELECT id, t FROM orders ARRAY JOIN tags AS t",
        "SELECT id, t FROM orders LEFT ARRAY JOIN tags AS t WHERE t = 'a'",
        "SELECT id, tags FROM orders ARRAY JOIN tags",
        "SELECT t, v FROM orders ARRAY JOIN tags AS t, vals AS v",
        "SELECT id, n FROM orders ARRAY JOIN arrayEnumerate(tags) AS n",
        "SELECT o.id, t FROM orders AS o ARRAY JOIN o.tags AS t",
        "SELECT count() FROM orders ARRAY JOIN [1, 2, 3] AS x",
        "SELECT t FROM (SELECT groupArray(status) AS g FROM orders) ARRAY JOIN g AS t",
        "WITH 5 AS most SELECT id FROM orders WHERE id > most",
        "WITH (SELECT max(id) FROM orders) AS most SELECT id FROM orders WHERE id = most",
        "WITH 5 AS most, busy AS (SELECT id FROM orders WHERE id > most) SELECT id FROM busy WHERE id < most",
        "WITH id * 2 AS twice SELECT twice FROM orders",
    ],
    "mysql": [
        "SELECT DATE('2025-01-01') + INTERVAL seq DAY AS d FROM seq_0_to_30",
        "SELECT s.seq FROM seq_1_to_10_step_3 AS s",
        "SELECT seq, o.id FROM seq_1_to_5 LEFT JOIN orders o ON o.id = seq",
        "SELECT id FROM orders LIMIT ROWS EXAMINED 100",
        "SELECT id FROM orders LIMIT 5 ROWS EXAMINED 100",
        "SELECT id FROM orders LIMIT 5 OFFSET 2 ROWS EXAMINED 100",
        "WITH RECURSIVE t AS (SELECT 1 n UNION ALL SELECT n + 1 FROM t WHERE n < 5) CYCLE n RESTRICT SELECT n FROM t",
    ],
    "postgres": [
        "SELECT 1 FROM ((VALUES (1)) AS v (id) LEFT JOIN orders o ON v.id = o.id)",
        "SELECT * FROM ((VALUES (1)) v(x) JOIN (VALUES (2)) w(y) ON x = y) JOIN orders o ON o.id = x",
        "SELECT * FROM (orders o JOIN orders p ON o.id = p.id) AS j",
        "SELECT j.id FROM (orders o JOIN orders p USING (id)) AS j",
        "WITH RECURSIVE t(n, p) AS (SELECT id, 1 FROM orders UNION ALL SELECT o.id, t.p + 1 FROM orders o JOIN t "
        "ON o.id = t.n WHERE t.p < 5) CYCLE n SET looped USING path SELECT n, looped, path FROM t",
        "WITH RECURSIVE t(n) AS (SELECT id FROM orders UNION ALL SELECT o.id FROM orders o JOIN t ON o.id = t.n "
        "WHERE o.id < 5) SEARCH DEPTH FIRST BY n SET place SELECT n FROM t ORDER BY place",
    ],
    "duckdb": ["SELECT 1 FROM ((VALUES (1)) AS v (id) LEFT JOIN orders o ON v.id = o.id)"],
}


def test_what_an_engine_takes_passes():
    def passes(dialect, sql):
        catalog = Catalog((_ORDERS,), dialect)
        check(sql, dialect, catalog)
        assert validate(sql, dialect, catalog) == []

    check_each(passes, [(dialect, sql) for dialect, some in _VALID.items() for sql in some])


@pytest.mark.parametrize(
    ("dialect", "sql", "reason"),
    [
        ("clickhouse", "WITH 5 AS secrets SELECT * FROM secrets", "no table secrets"),
        ("clickhouse", "SELECT t FROM orders ARRAY JOIN file('/etc/passwd') AS t", "file"),
        ("mysql", "SELECT * FROM hidden.seq_1_to_5", "no table"),
        ("mysql", "SELECT * FROM seq_1_to_999999999999", "rows"),
        ("mysql", "SELECT id FROM orders LIMIT ROWS EXAMINED SLEEP(9)", "SLEEP|read as SQL"),
        ("postgres", "SELECT * FROM ((VALUES (pg_sleep(9))) v(x) JOIN orders o ON x = o.id)", "pg_sleep"),
        ("postgres", "SELECT * FROM ((TABLE pg_authid) v JOIN orders o ON true)", "."),
        ("duckdb", "SELECT map FROM t; DROP TABLE t", "one"),
        ("duckdb", "SELECT force(1) FROM orders", "force"),
    ],
)
def test_what_may_do_harm_is_still_refused(dialect, sql, reason):
    with pytest.raises(QueryRejected, match=reason):
        check(sql, dialect, Catalog((_ORDERS,), dialect))


def test_unknown_columns_beside_arrays_and_values_are_still_found():
    for sql in ("SELECT nix FROM orders ARRAY JOIN tags AS t", "WITH 5 AS most SELECT nix FROM orders"):
        assert [problem.name for problem in validate(sql, "clickhouse", Catalog((_ORDERS,), "clickhouse"))] == ["nix"]
    joined = "SELECT j.nix FROM (orders o JOIN orders p USING (id)) AS j"
    assert [problem.name for problem in validate(joined, "postgres", Catalog((_ORDERS,), "postgres"))] == ["j.nix"]


# Words that are grammar to the parser, and names to some engines.
_WORDS = """
anti asof bigint call char charset commit connect_by_root convert div double force glob install int kill load long map
match mod optimize out partitioned_by pivot_wider positional reads regexp repeat revoke rlike rollback row_number semi
separator uncache unsigned xor
""".split()  # noqa: SIM905
_USES = (
    "SELECT {0} FROM t",
    "SELECT id, sum({0}) AS total FROM t GROUP BY id",
    "SELECT id FROM t WHERE id = 1 AND {0} > 1 ORDER BY {0}",
    "SELECT a.{0} FROM t AS a JOIN t AS b ON a.{0} = b.{0}",
    "SELECT CASE WHEN {0} IS NULL THEN 0 ELSE {0} END AS x FROM t",
)


@pytest.mark.parametrize("dialect", ["duckdb", "sqlite", "postgres", "mysql"])
def test_a_name_passes_as_it_is_shown(dialect):
    def passes(word, use):
        table = Table("t", (Column(word, "INT"), Column("id", "INT")))
        catalog, shown = Catalog((table,), dialect), ddl(table, "names", dialect)
        written = next(line.split()[0] for line in shown.splitlines() if word in line)
        sql = use.format(written)
        check(sql, dialect, catalog)
        assert validate(sql, dialect, catalog) == []

    check_each(passes, [(word, use) for word in _WORDS for use in _USES])


@pytest.mark.parametrize(
    ("dialect", "words"),
    [("duckdb", "force map regexp xor"), ("postgres", "glob regexp rlike xor"), ("mysql", "charset glob")],
)
def test_a_name_that_the_engine_takes_bare_passes_bare(dialect, words):
    def passes(word, use):
        catalog = Catalog((Table("t", (Column(word, "INT"), Column("id", "INT"))),), dialect)
        check(use.format(word), dialect, catalog)
        assert validate(use.format(word), dialect, catalog) == []

    check_each(passes, [(word, use) for word in words.split() for use in _USES])
