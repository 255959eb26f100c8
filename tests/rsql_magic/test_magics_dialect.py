"""%%sql_ai --dialect: SQL for another database than the one that is asked."""

from __future__ import annotations

import sqlite3

import pytest

from rsql_magic.display import fenced


@pytest.fixture
def lite(ip):
    made = sqlite3.connect(":memory:")
    made.executescript("CREATE TABLE Orders (Id INTEGER, Placed TEXT); INSERT INTO Orders VALUES (1, '2024-05-06')")
    ip.user_ns["lite"] = made
    yield made
    made.close()


YEARS = "SELECT EXTRACT(YEAR FROM placed) AS y, COUNT(*) AS n FROM orders GROUP BY EXTRACT(YEAR FROM placed)"


@pytest.mark.parametrize("dialect", ["snowflake", "postgres", "bigquery", "oracle"])
def test_what_is_not_run_here_is_checked_in_its_own_dialect(ip, lite, gateway, dialect):
    gateway.replies = [fenced(YEARS, "sql")]
    result = ip.run(f"%%sql_ai lite --dialect {dialect} --no-run\nper year")
    assert (result.sql, len(gateway.requests)) == (YEARS, 1)
    assert "did not compile it" in result.notes[0]


def test_names_are_checked_also_for_another_database(ip, lite, gateway):
    gateway.replies = [
        fenced("SELECT turnover FROM orders", "sql"),
        fenced("SELECT DATE_TRUNC('month', placed) AS m FROM orders", "sql"),
    ]
    result = ip.run("%%sql_ai lite --dialect snowflake --no-run\nmonths")
    assert "no column turnover" in result.attempts[0].problems[0]
    assert result.problems == ()


def test_what_is_run_here_is_translated_and_mended(ip, lite, gateway):
    gateway.replies = [fenced(YEARS, "sql")]
    result = ip.run("%%sql_ai lite --dialect snowflake\nper year")
    assert result.sql == YEARS
    assert result.df.values.tolist() == [[2024, 1]]
    assert len(gateway.requests) == 1


def test_what_the_database_has_not_is_told(ip, lite, gateway):
    gateway.replies = [fenced("SELECT id FROM orders TABLESAMPLE (10)", "sql"), fenced("SELECT id FROM orders", "sql")]
    result = ip.run("%%sql_ai lite --dialect snowflake\nsome")
    assert "cannot be run in SQLite" in result.attempts[0].problems[0]
    assert result.df.iloc[0, 0] == 1


def test_the_plan_of_what_cannot_run_here_is_said_to_be_missing(ip, lite, gateway):
    gateway.replies = [fenced("SELECT id FROM orders TABLESAMPLE (10)", "sql"), "It takes a sample."]
    result = ip.run("%%sql_ai lite --dialect snowflake --no-run --explain\nsome")
    assert (result.plan, result.says) == ("", "It takes a sample.")
    assert "No plan: This cannot be run in SQLite" in result.notes[-1]
