"""What people wrote down about frames and tables."""

from __future__ import annotations

import contextlib

import duckdb
import pandas as pd
import polars as pl
import pytest

from rsql_magic.context import describe, gather
from rsql_magic.databases import open_engine
from rsql_magic.errors import BadInput, RsqlError
from rsql_magic.knowledge import Dictionary
from rsql_magic.sql import Column, Table, ddl
from rsql_magic.tools import DatabaseView, of_database

pytestmark = pytest.mark.usefixtures("without_r")


DICTIONARY = """
tables:
  flights:
    description: One row per departure.
    key: [carrier, number]
    columns:
      distance: {description: Great-circle distance, unit: miles}
      tailnum: {references: planes.tailnum}
      origin: Airport of departure
  planes: What flies.
"""


def test_a_data_dictionary_describes_frames_and_tables(tmp_path):
    path = tmp_path / "dictionary.yaml"
    path.write_text(DICTIONARY, encoding="utf-8")
    dictionary = Dictionary.load(path)
    frame = pd.DataFrame({"Distance": [1.0, 2.0] * 2 + [1.5], "origin": ["JFK"] * 5})
    assert describe(frame, "flights", dictionary=dictionary).splitlines() == [
        "flights: pandas DataFrame, 5 rows × 2 columns; One row per departure.",
        "- Distance float64: 1..2; [miles]; Great-circle distance",
        "- origin str: values: 'JFK'; Airport of departure",
    ]
    table = dictionary.describe(Table("FLIGHTS", (Column("tailnum"), Column("distance")), schema="public"))
    assert table.primary_key == ("carrier", "number")
    assert [(key.columns, key.table, key.referred) for key in table.foreign_keys] == [
        (("tailnum",), "planes", ("tailnum",))
    ]
    assert dictionary.describe(Table("planes")).description == "What flies."
    assert dictionary.describe(Table("other")) == Table("other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "has no entry 'tables'"),
        ("tables: {t: {colums: {}}}", "t has the unknown entry 'colums'"),
        ("tables: {t: {columns: {c: [1]}}}", "t.c should be text or a mapping"),
        ("tables: {t: {columns: 3}}", "t: columns should map names"),
        ("tables: {t: [", "is no valid YAML"),
    ],
)
def test_a_wrong_data_dictionary_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "d.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        Dictionary.load(path)
    with pytest.raises(BadInput, match="cannot be read"):
        Dictionary.load(tmp_path / "none.yaml")


RESTRICTED = """
tables:
  visits:
    columns:
      code: {display: restricted, values: {Qqalpha: one, Qqbeta: two}, examples: [Qqgamma]}
      score: {display: restricted, kind: quantity, range: [771000, 779000]}
      site: {description: Where it was.}
"""
ROWS = {"code": ["Qqalpha", "Qqbeta", "Qqgamma"] * 20, "score": range(771_234, 771_294), "site": ["N", "S", "W"] * 20}
FRAMES = {
    "plain": lambda f: f,
    "its index": lambda f: f.set_index("code"),
    "two of its indexes": lambda f: f.set_index(["code", "score"]),
    "categories": lambda f: f.astype({"code": "category"}),
    "pivoted": lambda f: f.pivot_table(index="site", columns="code", values="score", aggfunc="count"),
    "counted": lambda f: pd.crosstab(f.site, f.code),
    "marks": lambda f: pd.get_dummies(f, columns=["code"]),
    "marks as numbers": lambda f: pd.get_dummies(f, columns=["code"], prefix_sep=".", dtype=float),
    "marks of two": lambda f: pd.get_dummies(f[["site", "code"]]),
    "marks of R": lambda f: pd.get_dummies(f, columns=["code"], prefix_sep=""),
    "marks of polars": lambda f: pl.DataFrame(f).to_dummies("code"),
    "other case": lambda f: f.rename(columns=str.upper),
    "one column": lambda f: f["code"],
    "in part": lambda f: f[["site", "code"]].head(50),
    "polars": lambda f: pl.DataFrame(ROWS),
    "lazy": lambda f: pl.LazyFrame(ROWS),
    "arrow": lambda f: pl.DataFrame(ROWS).to_arrow(),
    "DuckDB": duckdb.from_df,
}


@pytest.mark.slow
@pytest.mark.parametrize("level", ["names", "stats", "sample"])
@pytest.mark.parametrize("name", ["visits", "some_of_them"])
@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_values_of_a_restricted_column_leave_at_no_level(make, name, level):
    dictionary, frame = Dictionary.read(RESTRICTED, "dictionary.yaml"), make(pd.DataFrame(ROWS))
    told = describe(frame, name, level, dictionary=dictionary, budget=2000)
    told += gather(f"What is in {name} by code and score?", {name: frame}, level=level, dictionary=dictionary).text
    assert not [value for value in ("Qqalpha", "Qqbeta", "Qqgamma", "7712") if value in told]


def test_a_frame_of_another_name_is_described_by_the_table_it_was_most_likely_taken_from():
    dictionary = Dictionary.read(RESTRICTED, "dictionary.yaml")
    told = describe(pd.DataFrame(ROWS), "df2", dictionary=dictionary)
    assert "Where it was." in told
    assert told.count("restricted: not to be shown") == 2
    other = describe(
        pd.DataFrame({"site": ["a"], "code": [1], "x": [1], "y": [2], "z": [3]}), "df3", dictionary=dictionary
    )
    assert "Where it was." not in other
    assert other.count("restricted: not to be shown") == 1


def test_listed_values_of_a_restricted_column_are_not_told_of_tables():
    table = Table("visits", tuple(Column(name, "TEXT") for name in ROWS))
    told = ddl(Dictionary.read(RESTRICTED, "dictionary.yaml").describe(table), "sample")
    assert "code TEXT, -- restricted: not to be shown" in told


@pytest.mark.parametrize("level", ["names", "stats", "sample"])
def test_no_tool_tells_a_value_of_a_restricted_column(level):
    connection = duckdb.connect()
    connection.register("frame", pd.DataFrame(ROWS))
    connection.execute("CREATE TABLE visits AS SELECT * FROM frame")
    asked = [
        {"table": "visits"}, {"column": "visits.code"}, {"column": "visits.code", "like": "Qq"}, {"column": "score"},
        *({"sql": sql} for sql in (
            "SELECT code FROM visits", "SELECT * FROM visits", "SELECT MAX(code) AS x FROM visits",
            "SELECT v FROM visits v",
            "SELECT site FROM visits WHERE code = 'Qqalpha'", "SELECT site, SUM(score) FROM visits GROUP BY 1",
            "WITH a AS (SELECT score AS s FROM visits) SELECT s FROM a", "SELECT COLUMNS('c.*') FROM visits",
        )),
    ]  # fmt: skip
    with open_engine(connection) as engine:
        engine.dictionary = Dictionary.read(RESTRICTED, "dictionary.yaml")
        view = DatabaseView(engine, engine.catalog(level), level)
        told = []
        for tool in of_database(view):
            for arguments in asked:
                if set(arguments) <= set(tool.parameters):
                    with contextlib.suppress(RsqlError):
                        told.append(tool.run(arguments))
    assert told
    assert not [value for value in ("Qqalpha", "Qqbeta", "Qqgamma", "7712") if value in "\n".join(told)]
