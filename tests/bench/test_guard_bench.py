"""The guard and the validator together take at most 2 ms for the median query, however large the catalog is."""

from __future__ import annotations

import statistics
import time

import guard_cases as cases
import pytest

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, Table, guard, validate
from rsql_magic.sql.dialects import reading

pytestmark = pytest.mark.bench

SHOP = {
    "customers": "id name city since",
    "sales": "id customer_id item_id total sold_on",
    "items": "id label kind price",
}


def catalog_of(tables, dialect):
    shop = tuple(Table(name, tuple(map(Column, columns.split()))) for name, columns in SHOP.items())
    others = tuple(Table(f"t_{n}", tuple(Column(f"c_{n}_{m}") for m in range(20))) for n in range(tables - len(shop)))
    return Catalog(shop + others, dialect)


@pytest.mark.parametrize("tables", [3, 1_000, 10_000])
@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "sqlite"])
def test_median(tables, dialect, record_property):
    catalog = catalog_of(tables, dialect)
    guard.check("SELECT 1 AS a", dialect, catalog)
    took = []
    for sql in [*cases.BENIGN_EVERYWHERE, *cases.BENIGN[dialect]]:
        reading._lexed.cache_clear()
        reading._parsed.cache_clear()
        started = time.process_time()
        validate(guard.check(sql, dialect, catalog), dialect, catalog)
        took.append((time.process_time() - started) * 1000)
    median = statistics.median(took)
    record_property("median_ms", median)
    assert median <= 2.0
