"""Nothing made of values leaves at ``names``: labels of enumerations, pivots, columns called by a literal."""

from __future__ import annotations

import duckdb
import pandas as pd
import polars as pl
import pytest

from rsql_magic.context import Catalog, describe, gather
from rsql_magic.databases import Connections
from rsql_magic.redaction import says_literal
from rsql_magic.sql import ddl

ANN, RARE = "Ann Smith", "kuru"
LABELS = [
    "a ENUM('Ann Smith', 'kuru')",
    "a STRUCT(x ENUM('Ann Smith', 'kuru'))",
    "a ENUM('Ann Smith', 'kuru')[]",
    "a MAP(VARCHAR, ENUM('it''s', 'Ann Smith', 'kuru'))",
]


def sent(frames, level):
    """What %%ask and %%sql_ai would tell of frames."""
    engine, _ = Connections().engine("", frames, "what is in odd?")
    try:
        tables = "\n".join(ddl(table, level) for table in engine.catalog(level))
    finally:
        engine.close()
    return "\n".join(
        [
            *(describe(each, "odd", level) for each in frames.values()),
            tables,
            gather("what is in odd?", frames, level=level, r=False).text,
        ]
    )


@pytest.mark.parametrize("level", ["names", "stats"])
@pytest.mark.parametrize("column", LABELS)
def test_labels_of_an_enumeration_stay(column, level):
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE t ({column})")
        text = "\n".join(ddl(table, level) for table in Catalog.from_connection(con, level))
    assert "ENUM(…)" in text
    assert ANN not in text
    assert RARE not in text


@pytest.mark.parametrize(
    "kind", ["ENUM('Ann Smith','kuru')", "set('Ann Smith','kuru')", "enum('a\\\\'b','Ann Smith','kuru')"]
)
@pytest.mark.parametrize("level", ["names", "stats"])
def test_those_of_mysql_too(kind, level):
    catalog = Catalog.from_ddl(f"CREATE TABLE t (a {kind}, b INT)".replace("\\\\'", "''"), "mysql")
    text = "\n".join(ddl(table, level) for table in catalog)
    assert ANN not in text
    assert RARE not in text


@pytest.mark.parametrize("level", ["names", "stats"])
def test_those_of_a_frame_as_a_table_too(level):
    frame = pd.DataFrame({"who": pd.Categorical([ANN] + ["Bob"] * 9 + [RARE]), "n": range(11)})
    text = sent({"odd": frame}, level)
    assert ANN not in text
    assert RARE not in text


LONG = pd.DataFrame(
    {"id": range(30), "city": ["Oslo", "Rome", "Lima"] * 10, "n": range(30), "note": ["a", "b", "c"] * 10}
)
PIVOTS = {
    "numbers": lambda: LONG.pivot(index="id", columns="city", values="n"),
    "zeros": lambda: LONG.pivot(index="id", columns="city", values="n").fillna(0),
    "integers": lambda: LONG.pivot(index="id", columns="city", values="n").fillna(0).astype(int),
    "texts": lambda: LONG.pivot(index="id", columns="city", values="note"),
    "flags": lambda: pd.get_dummies(LONG.city),
    "sums": lambda: LONG.pivot_table(index="id", columns="city", values="n", aggfunc="sum"),
    "polars": lambda: pl.DataFrame(LONG).pivot(on="city", index="id", values="n"),
}


@pytest.mark.parametrize("make", PIVOTS.values(), ids=PIVOTS)
def test_a_pivot_of_one_value_a_row_says_none_of_them(make):
    frame = make()
    if isinstance(frame, pd.DataFrame):
        frame = frame.rename_axis(columns=None).reset_index()
    text = sent({"odd": frame}, "names")
    assert not [city for city in ("Oslo", "Rome", "Lima") if city in text]
    assert "3 columns whose names are values" in text


LITERALS = [
    "SELECT 'Ann Smith', n FROM t",
    "SELECT sum(CASE WHEN name = 'Ann Smith' THEN n END), max(n) AS top FROM t",
    "SELECT count(*) FILTER (WHERE name = 'Ann Smith'), n FROM t GROUP BY n",
    "SELECT name = 'Ann Smith', n FROM t",
    "SELECT name || ' Ann Smith', n FROM t",
    "SELECT name IN ('Ann Smith', 'Bob'), n FROM t",
    "SELECT 'Ann Smith' AS \"Ann Smith\", n FROM t",
    'SELECT n AS "Smith, Ann", n FROM t',
    "SELECT regexp_matches(name, 'Ann Smith'), n FROM t",
    "SELECT count(*) FILTER (WHERE n = 271828), n FROM t GROUP BY n",
]


@pytest.mark.slow
@pytest.mark.parametrize("level", ["names", "stats"])
@pytest.mark.parametrize("query", LITERALS)
def test_a_column_that_a_query_calls_by_a_literal_is_not_said(query, level):
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT 'Bob ' || i AS name, i AS n FROM range(20) r(i)")
        frame = con.sql(query).df()
        con.execute(f"CREATE VIEW v AS SELECT * FROM ({query}) AS q")
        view = "\n".join(ddl(table, level) for table in Catalog.from_connection(con, level))
    declared = 'AS "Ann' in query  # somebody gave the view's column that name
    for text in (sent({"odd": frame}, level), "" if declared else view):
        assert not [word for word in ("Ann Smith", "Smith, Ann", "271828") if word in text]


def test_a_column_that_is_asked_for_by_its_name_is_said():
    frame = pd.DataFrame({"'Ann'": range(20), "n": range(20)})
    assert "'Ann'" in gather("what is in 'Ann' of odd?", {"odd": frame}, level="names", r=False).text


@pytest.mark.parametrize(
    "name",
    [
        "Mother's name",
        "Depth (<5m)",
        "unit price",
        "net (EUR)",
        "sum(total)",
        "a.b",
        "R&D",
        "price, net",
        "x = y",
        "v2 > v1",
        "Depth <5m",
    ],
)
def test_ordinary_names_are_no_literals(name):
    assert not says_literal(name)
