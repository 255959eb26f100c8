"""Drafts that give the rows of a definition in another way are let be, and what is said of them is so."""

# ruff: noqa: E501 - a query a line

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from rsql_magic.sql import Catalog, Definition, Definitions, findings
from rsql_magic.text2sql import DefinitionCheck
from tests import defined_shop, equivalent_drafts
from tests.rsql_magic.test_metrics import PLAIN, SHOP, mistakes, rows, told

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shop() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in filter(str.strip, defined_shop.TABLES.split(";")):
            connection.execute(statement)
        defined_shop.fill(connection.executemany)
        yield connection


def equal_drafts(connection: Any, cases: list[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Question, way and query of those other ways that the database gives the same rows for."""
    for question, sql in cases:
        wanted = rows(connection, sql)
        for way, other in equivalent_drafts.variants(sql):
            try:
                is_same = rows(connection, other) == wanted
            except duckdb.Error:  # a way that this query cannot be written in
                continue
            if is_same:
                yield question, way, other


def test_no_draft_that_gives_the_same_rows_is_told(shop):
    cases = list(equal_drafts(shop, PLAIN[::30]))
    assert len(cases) > 50
    assert [case for case in cases if told(case[2], case[0])] == []


@pytest.mark.sweep
def test_no_draft_that_gives_the_same_rows_is_told_of_all_questions(shop):
    cases = list(equal_drafts(shop, PLAIN))
    assert len(cases) > 1_800
    assert [case for case in cases if told(case[2], case[0])] == []


MERGED = (
    "WITH of the rows",
    "subquery of the rows",
    "a filtered table",
    "WITH around",
    "BETWEEN for IN",
    "CASE as a factor",
)


def test_mistakes_are_told_in_other_ways_too(shop):
    cases = [
        (question, way, other)
        for question, sql in PLAIN[::30] if "visits" not in sql
        for wrong in mistakes(sql)
        for way, other in equivalent_drafts.variants(wrong) if way in MERGED and "JOIN refunds" not in other
    ]  # fmt: skip
    missed = [case for case in cases if not told(case[2], case[0])]
    assert len(cases) > 30
    assert len(missed) <= len(cases) // 50, missed[:3]


# What is said of a result ---------------------------------------------------------------------------------------------


def said(sql: str, question: str, dialect: str = "duckdb", catalog: Catalog = SHOP) -> str:
    check = DefinitionCheck(dialect, lambda: catalog, question)
    check.problems(sql, sql, may_repair=False)
    return " ".join(check.said(sql))


REVENUE = "SELECT SUM(i.quantity * i.unit_price) FROM order_items i JOIN orders o ON o.id = i.order_id WHERE o.status IN (1, 2) AND NOT o.is_test"


def test_a_metric_of_all_its_rows_is_said_to_be_by_its_definition():
    assert said(REVENUE, "What is the revenue?") == "By the definition of revenue (data-dict.yaml, line 12)."


@pytest.mark.parametrize(
    ("sql", "only"),
    [
        (f"{REVENUE} AND o.channel <> 'phone'", "o.channel <> 'phone'"),
        (REVENUE.replace("SELECT ", "SELECT o.channel, ") + " GROUP BY 1 HAVING SUM(i.quantity) > 9", "HAVING SUM(i.quantity) > 9"),
        (REVENUE.replace("SELECT ", "SELECT o.channel, ") + " GROUP BY 1 ORDER BY 2 LIMIT 2", "LIMIT 2"),
        (f"WITH r AS ({REVENUE.replace('SUM(i.quantity * i.unit_price)', 'i.quantity * i.unit_price AS v')} AND o.channel = 'web') SELECT SUM(v) FROM r", "o.channel = 'web'"),
    ],
)  # fmt: skip
def test_what_chooses_among_the_rows_of_a_metric_is_said(sql, only):
    text = said(sql, "What is the revenue?")
    assert "By the definition" not in text
    assert f"of part of the data only: {only}" in text


def test_a_mean_of_quotients_is_not_said_to_be_the_quotient():
    rate = "SUM(CASE WHEN o.status = 3 THEN 1.0 ELSE 0 END) / COUNT(*)"
    inner = f"SELECT o.channel, {rate} AS r FROM orders o WHERE NOT o.is_test GROUP BY 1"
    text = said(f"SELECT AVG(r) FROM ({inner}) AS t", "What is the cancellation rate?")
    assert "By the definition" not in text
    assert "Computed from cancellation_rate" in text


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
@pytest.mark.parametrize(
    ("figure", "is_cut"),
    [
        ("SUM(paid) / COUNT(*)", True),
        ("SUM(CASE WHEN paid > 1 THEN 1 ELSE 0 END) / NULLIF(COUNT(*), 0)", True),
        ("SUM(paid) * 1.0 / COUNT(*)", False),
        ("CAST(SUM(paid) AS DOUBLE PRECISION) / COUNT(*)", False),
        ("AVG(paid)", False),
        ("SUM(price) / COUNT(*)", False),
    ],
)
def test_a_quotient_of_whole_numbers_is_told(dialect, figure, is_cut):
    tables = Catalog.from_ddl("CREATE TABLE t (paid INTEGER NOT NULL, price DOUBLE PRECISION NOT NULL)", dialect)
    expression = figure.replace("* 1.0", "").replace("CAST(SUM(paid) AS DOUBLE PRECISION)", "SUM(paid)")
    metric = Definition("share", "metric", expression if "/" in expression else "SUM(paid) / COUNT(*)", "t")
    found = findings(f"SELECT {figure} FROM t", dialect, replace(tables, definitions=Definitions((metric,))), "share")
    assert any("loses the fraction" in breach.message for breach in found.breaches) == is_cut
    assert bool(found.computes) != is_cut


def test_the_ways_are_other_queries():
    tree = sqlglot.parse_one(PLAIN[2][1], "duckdb")
    assert isinstance(tree, exp.Select)
    ways = dict(equivalent_drafts.variants(PLAIN[2][1]))
    assert len(set(ways.values())) > 15
