"""The contract of all engines, on a real cluster: a classic session and Spark Connect."""

from __future__ import annotations

import re

import pytest
from contract import test_engine_contract as contract
from contract.test_engine_contract import *  # noqa: F403

pytestmark = pytest.mark.spark
# What Spark has not: keys; changes of a table's columns by name; counted rows of tables nobody analyzed.
del test_the_catalog_has_keys_and_kinds, test_the_catalog_is_kept_until_a_table_changes  # noqa: F821
del test_a_plan_shows_the_tables_and_estimates_without_running  # noqa: F821
del test_a_huge_result_is_not_waited_for  # noqa: F821 - by the clock
del test_the_catalog_has_every_table_with_its_columns  # noqa: F821 - Spark keeps names in lower case
# A join that multiplies rows looks for a cancel only between the rows of its first table, so it would hold the workers.
FOREVER = "SELECT sum(id % 7) AS s FROM range(0, 100000000000000)"


SPARKS = {"INTEGER NOT NULL": "INTEGER", " NOT NULL": "", " PRIMARY KEY": "", "DATETIME": "TIMESTAMP_NTZ"}


def in_sparks_words(sql):
    """A statement of the other engines' shop."""
    told = re.sub(r", FOREIGN KEY .*\)\)", ")", re.sub(r"VARCHAR\(\d+\)", "STRING", sql)).replace(" ENGINE=InnoDB", "")
    for other, sparks in SPARKS.items():
        told = told.replace(other, sparks)
    told = re.sub(r"('\d{4}-\d\d-\d\d \d\d:\d\d:\d\d')", r"TIMESTAMP_NTZ \1", told)
    told = re.sub(r"('\d{4}-\d\d-\d\d')", r"DATE \1", told)
    return told + " USING parquet" * told.startswith("CREATE TABLE")


@pytest.fixture(autouse=True)
def endless(monkeypatch):
    monkeypatch.setattr(contract, "FOREVER", FOREVER)


@pytest.fixture(scope="module")
def tables(classic):
    for kind in ("TABLE customers", "TABLE orders", "VIEW large_orders"):
        classic.sql(f"DROP {kind.replace(' ', ' IF EXISTS ')}")
    for sql in contract.statements("mysql"):
        if "Order Details" not in sql:  # a name that only a temporary view may have
            classic.sql(in_sparks_words(sql))


@pytest.fixture(scope="module", params=["classic", "connect"])
def shop(request, tables):
    session = request.getfixturevalue(request.param)
    session.sql("CREATE OR REPLACE TEMPORARY VIEW `Order Details` AS SELECT 1 `Unit Price`, 2 `select`, 3 `größe ☃`")
    return contract.Shop(f"spark {request.param}", session, session.sql)
