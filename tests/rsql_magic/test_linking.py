"""Linking: the tables that matter come first, within the budget."""

from __future__ import annotations

from rsql_magic.context import Catalog, Column, Table
from rsql_magic.linking import link


def _table(name, *columns, **facts):
    return Table(name, tuple(Column(c, "VARCHAR") for c in columns), **facts)


def test_the_named_table_is_first():
    shop = Catalog((_table("orders", "order_id", "amount"), _table("customers", "customer_id", "city")), "duckdb")
    assert link("how many customers are there?", shop)[0].name == "customers"
