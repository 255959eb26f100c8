"""The offline model answers what a dictionary defines: it names the metric, and the kernel computes it by rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from jupyter_server_ext.offline.sql import NotUnderstood, write
from rsql_magic.databases import open_engine
from rsql_magic.sql import Catalog, expand
from tests import defined_shop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[duckdb.DuckDBPyConnection, Catalog]]:
    with duckdb.connect() as connection:
        for statement in filter(str.strip, defined_shop.TABLES.split(";")):
            connection.execute(statement)
        defined_shop.fill(connection.executemany)
        yield connection, defined_shop.described(open_engine(connection).catalog("stats"))


def rows(connection: Any, sql: str) -> Counter[tuple[str, ...]]:
    def text(value: Any) -> str:
        return f"{float(value):.6g}" if hasattr(value, "__float__") else str(value)

    return Counter(tuple(sorted(map(text, row))) for row in connection.execute(sql).fetchall())


@pytest.mark.slow
@pytest.mark.parametrize(("question", "by_hand"), defined_shop.QUESTIONS)
def test_a_named_metric_is_answered_exactly(shop, question, by_hand):
    connection, catalog = shop
    made = expand(write(question, catalog, "duckdb").query.sql("duckdb"), "duckdb", catalog)
    assert not made.problem
    assert made.used
    assert rows(connection, made.sql) == rows(connection, by_hand)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("revenue by mood", "mood"),
        ("net revenue by region", "net"),
        ("revenue of dragons", "dragons"),
        ("visitor count by segment", "visits"),
        ("revenue and average cost by category", "average cost"),
        ("revenue per full moon", "moon"),
    ],
)
def test_what_no_definition_says_is_not_guessed(shop, question, said):
    _, catalog = shop
    with pytest.raises(NotUnderstood, match=said):
        write(question, catalog, "duckdb")


def test_synonyms_and_meanings_of_values_are_words(shop):
    connection, catalog = shop
    query = write("How many orders are cancelled?", catalog, "duckdb").query.sql("duckdb")
    assert rows(connection, query) == rows(connection, "SELECT COUNT(*) FROM orders WHERE status = 3")
