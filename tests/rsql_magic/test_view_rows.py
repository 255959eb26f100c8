"""Of a view that shows a base row several times nothing is told that five base rows do not have."""

from __future__ import annotations

import random
from itertools import product

import duckdb
import pytest
from looking_adversary import DATABASES, PEOPLE, Adversary, Planted

from rsql_magic.databases import open_engine
from rsql_magic.databases.base import Structure
from rsql_magic.databases.view_rows import ViewRows
from rsql_magic.sql import Table, ddl
from rsql_magic.tools import DatabaseView, of_database

WHO = "p.id, p.ward, p.pay, p.note"
TIMES = "(SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6)"
WHERE = ["", " WHERE p.id = 0", " WHERE p.pay > 20000", " WHERE p.id IN (SELECT id FROM people WHERE id < 3)"]
# Ways to show a row several times, or one row's value in many rows, each with a place for a condition on the row.
REPEATED = [
    f"SELECT {WHO} FROM people p CROSS JOIN people q{{}}",
    f"SELECT {WHO} FROM people p, {TIMES} t{{}}",
    f"SELECT {WHO} FROM people p JOIN people q ON q.id <> p.id{{}}",
    f"SELECT {WHO} FROM people q LEFT JOIN people p ON p.id = q.id % 2{{}}",
    " UNION ALL ".join([f"SELECT {WHO} FROM people p{{}}"] * 6),
    f"SELECT * FROM (SELECT {WHO} FROM people p, {TIMES} t{{}}) x",
    f"WITH x AS (SELECT {WHO} FROM people p, {TIMES} t{{}}) SELECT * FROM x",
    "SELECT q.id, (SELECT max(p.ward) FROM people p{}) AS ward, q.pay, 'x' AS note FROM people q",
    "SELECT q.id, (SELECT p.ward FROM people p{} ORDER BY p.id LIMIT 1) AS ward FROM people q",
    "SELECT p.id, first_value(p.ward) OVER (ORDER BY p.id) AS ward, max(p.pay) OVER () AS pay FROM people p{}",
    "SELECT p.id, lag(p.ward) OVER (ORDER BY p.id) AS ward FROM people p{}",
    f"SELECT {WHO} FROM plain p, {TIMES} t{{}}",
    "SELECT p.ward, p.pay FROM repeated p{}",
]
OF_DUCKDB = [
    f"SELECT {WHO} FROM people p, generate_series(1, 6) t(n){{}}",
    f"SELECT {WHO}, unnest(range(6)) AS n FROM people p{{}}",
    f"SELECT {WHO}, generate_subscripts([1, 2, 3, 4, 5, 6], 1) AS n FROM people p{{}}",
    f"SELECT {WHO} FROM people p, LATERAL (SELECT unnest([1, 2, 3, 4, 5, 6])) t(n){{}}",
    "SELECT p.ward, sum(p.pay) AS pay FROM people p{} GROUP BY CUBE (p.ward, p.id, p.note)",
    "SELECT p.ward, p.pay FROM people p{} GROUP BY GROUPING SETS ((p.ward, p.pay), (p.ward, p.pay, p.id), (p.ward))",
    "FROM (FROM people p{}) x POSITIONAL JOIN people q SELECT x.ward, q.id",
    f"SELECT {WHO} FROM people p ASOF JOIN people q ON p.id >= q.id{{}}",
    "SELECT x.* FROM (SELECT list(p) AS l FROM people p{}) t, unnest(t.l) u(x)",
    "UNPIVOT (SELECT p.ward, 1 AS a, 2 AS b, 3 AS c, 4 AS d, 5 AS e FROM people p{}) ON a, b, c, d, e",
]
# Each row stands for rows of its own.
PLAIN = [
    f"SELECT {WHO} FROM people p WHERE p.id >= 0",
    "SELECT * FROM people",
    "SELECT upper(ward) AS ward, pay * 2 AS pay FROM people ORDER BY id",
    "SELECT DISTINCT ward, pay FROM people",
    "SELECT ward, pay FROM plain WHERE id > 2",
    "SELECT ward, id % 10 AS ten, sum(pay) AS pay FROM people GROUP BY ward, id % 10",
]


def told(kind, seed, queries):
    """What an adversary is told at `stats` of each view, by its description and by the tools."""
    planted = Planted(seed=7)
    planted.note[0] = Planted(seed=seed).note[0]  # of one row the ward and the note differ
    planted.pay[0], planted.pay[1] = 20_000, 20_001  # which the range of the base tells
    connection = DATABASES[kind](":memory:")
    planted.fill(connection)
    connection.execute(f"CREATE VIEW plain AS SELECT {WHO} FROM people p")
    connection.execute(f"CREATE VIEW repeated AS SELECT {WHO} FROM people p, {TIMES} t")
    for number, query in enumerate(queries):
        connection.execute(f"CREATE VIEW v{number} AS {query}")
    engine = open_engine(connection)
    catalog = engine.catalog("stats")
    tools = {tool.name: tool for tool in of_database(DatabaseView(engine, catalog, "stats"))}
    adversary = Adversary(tools, 7)
    for number in range(len(queries)):
        table = catalog.get(f"v{number}")
        detailed, said = engine.detail([table]), [ddl(table, "stats")]
        said += [ddl(one, "stats") for one in detailed]
        said += [adversary.call("describe", table=f"v{number}")]
        said += [adversary.call("values", column=f"v{number}.{name}") for name in ("ward", "note", "pay")]
        yield "\n".join(said), planted.note[0]
    connection.close()


def seeded(kind):
    """Views of every form, with and without a condition that leaves few rows."""
    forms = REPEATED + OF_DUCKDB * (kind == "duckdb")
    every = [form.replace("{}", where) for form, where in product(forms, WHERE)]
    return random.Random(5).sample(every, 8) + forms


@pytest.mark.parametrize("kind", DATABASES)
def test_a_view_that_repeats_rows_tells_nothing_of_single_ones(kind):
    queries = [query.replace("{}", "") for query in seeded(kind)]
    here, there = told(kind, 7, queries), told(kind, 8, queries)
    for query, (one, rare), (other, another) in zip(queries, here, there, strict=True):
        assert rare not in one, query
        assert another not in other, query
        assert one == other, query
        assert "values:" not in one or "UNION" not in query, query


@pytest.mark.parametrize("kind", DATABASES)
def test_a_plain_view_tells_what_its_table_does(kind):
    for query, (text, rare) in zip(PLAIN, told(kind, 7, PLAIN), strict=True):
        has_types = kind != "sqlite" or "upper" not in query  # SQLite declares no type of what is computed
        assert ("north" in text.lower()) == has_types, query
        assert rare not in text.lower(), query


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("condition", ["id = 3", "id < 4", "id < 0"])
def test_how_many_rows_a_view_of_few_has_is_not_told(kind, condition):
    [(text, _)] = told(kind, 7, [f"SELECT id, ward, pay, note FROM people WHERE {condition}"])
    [(other, _)] = told(kind, 7, ["SELECT id, ward, pay, note FROM people WHERE id = 5"])
    assert text == other
    assert " row" not in text


@pytest.mark.parametrize("query", [*PLAIN, *(form.replace("{}", "") for form in REPEATED + OF_DUCKDB)])
def test_proven_is_only_what_a_database_counts_so(query):
    """What is proven was counted by a real engine: no base row is behind more rows than one."""
    with duckdb.connect() as con:
        Planted(seed=7).fill(con)
        con.execute(f"CREATE VIEW plain AS SELECT {WHO} FROM people p")
        con.execute(f"CREATE VIEW repeated AS SELECT {WHO} FROM people p, {TIMES} t")
        con.execute(f"CREATE VIEW v AS {query}")
        count = con.execute("SELECT count(*) FROM v").fetchone()[0]
        views = dict(con.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal").fetchall())
    tables = (Table("people"), *(Table(name, kind="view") for name in views))
    proven = ViewRows(Structure(tables, definitions=views), "duckdb").are_own(Table("v", kind="view"))
    assert proven == (query in PLAIN)
    assert not proven or count <= PEOPLE


def test_a_view_over_itself_or_over_what_is_not_known_proves_nothing():
    views = {"v": "SELECT * FROM w", "w": "SELECT * FROM v", "u": "SELECT * FROM frame", "t": "SELEC", "s": ""}
    rows = ViewRows(Structure(tuple(Table(name, kind="view") for name in views), definitions=views), "sqlite")
    assert not any(rows.are_own(Table(name, kind="view")) for name in [*views, "unknown"])
    assert rows.are_own(Table("people"))
