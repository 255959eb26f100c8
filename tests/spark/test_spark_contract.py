"""The contract of all engines, on a real cluster: a classic session and Spark Connect."""

from __future__ import annotations

import pytest
from contract import test_engine_contract as contract
from contract.test_engine_contract import *  # noqa: F403

from rsql_magic.sql import ddl

pytestmark = pytest.mark.spark
# What Spark has not: keys; changes of a table's columns by name; counted rows of tables nobody analyzed.
del test_the_catalog_has_keys_and_kinds, test_the_catalog_is_kept_until_a_table_changes  # noqa: F821
del test_a_plan_shows_the_tables_and_estimates_without_running  # noqa: F821
del test_a_huge_result_is_not_waited_for  # noqa: F821 - by the clock


def statements():
    """The shop of the other engines; a name with a blank is one that only a temporary view may have."""
    for sql in contract.statements("mysql"):
        if "Order Details" in sql:
            continue
        head = sql.partition(", FOREIGN KEY")[0] + ") USING parquet" if sql.startswith("CREATE TABLE orders") else sql
        head = head.replace(" PRIMARY KEY", "").replace("DATETIME", "TIMESTAMP_NTZ").replace(" ENGINE=InnoDB", " USING parquet")
        yield head.replace("INTEGER NOT NULL", "INTEGER").replace("NOT NULL", "")


@pytest.fixture(scope="module")
def shop_of_all(classic):
    for sql in statements():
        classic.sql(sql.replace("VARCHAR(10)", "STRING").replace("VARCHAR(50)", "STRING").replace("VARCHAR(40)", "STRING"))


@pytest.fixture(scope="module", params=["classic", "connect"])
def shop(request, shop_of_all):
    session = request.getfixturevalue(request.param)
    session.sql("CREATE TEMPORARY VIEW `Order Details` AS SELECT 1 AS `Unit Price`, 2 AS `select`, 3 AS `größe ☃`")
    return contract.Shop(f"spark {request.param}", session, session.sql)
