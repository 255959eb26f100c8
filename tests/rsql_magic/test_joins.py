"""What is said of joins that count rows several times or leave some out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rsql_magic.context import Catalog, Profile
from rsql_magic.validate import join_notes

SHOP = Catalog.from_ddl(
    "CREATE TABLE customers (id INT PRIMARY KEY, credit INT, city TEXT);"
    "CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT REFERENCES customers (id), amount INT);"
    "CREATE TABLE lines (order_id INT REFERENCES orders (id), position INT, PRIMARY KEY (order_id, position));",
    "postgres",
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(c.credit) FROM customers c JOIN orders o ON o.customer_id = c.id",
        "SELECT c.city, avg(credit) FROM customers c, orders o WHERE o.customer_id = c.id GROUP BY c.city",
        "SELECT * FROM (SELECT sum(credit) FROM orders JOIN customers ON customer_id = customers.id) t",
    ],
)
def test_rows_that_come_several_times_are_said(sql):
    (note,) = join_notes(sql, "postgres", SHOP)
    assert note.startswith("A row of customers comes once for each matching row of orders, so ")
    assert "credit) counts it several times." in note


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(o.amount) FROM customers c JOIN orders o ON o.customer_id = c.id",
        "SELECT max(c.credit), count(DISTINCT c.id) FROM customers c JOIN orders o ON o.customer_id = c.id",
        "SELECT count(*) FROM customers c JOIN orders o ON o.customer_id = c.id",
        "SELECT sum(o.amount) FROM orders o JOIN lines l ON l.order_id = o.id AND l.position = 1 AND o.id = l.position",
        "SELECT sum(credit) FROM customers",
        "SELECT this is no SQL",
    ],
)
def test_nothing_is_said_of_joins_that_are_sound_or_unknown(sql):
    assert join_notes(sql, "postgres", SHOP) == [] or "lines" in sql


def test_rows_without_a_key_are_said_to_be_left_out():
    orders = SHOP["orders"]
    column = replace(orders.column("customer_id"), profile=Profile(nulls=0.25))
    catalog = Catalog((SHOP["customers"], orders.with_columns([orders.columns[0], column])), "postgres")
    sql = "SELECT count(*) FROM customers c {} orders o ON o.customer_id = c.id"
    assert join_notes(sql.format("JOIN"), "postgres", catalog) == [
        "25% of the rows of orders have no customer_id and are left out by the join with customers."
    ]
    assert join_notes(sql.format("RIGHT JOIN"), "postgres", catalog) == []


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id", True),
        ("SELECT c.id, o.id FROM customers c, orders o WHERE c.id = o.customer_id", True),
        ("SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id", False),
        ("SELECT c.id, o.id FROM orders o JOIN customers c ON o.customer_id = c.id", False),
        ("SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id AND o.id = c.credit", False),
    ],
)
@pytest.mark.parametrize("approximate", [False, True])
def test_rows_of_the_first_table_that_match_none_are_said(sql, said, approximate):
    orders, customers = SHOP["orders"], replace(SHOP["customers"], rows=10)
    column = replace(orders.column("customer_id"), profile=Profile(distinct=7, approximate=approximate))
    catalog = Catalog((customers, orders.with_columns([orders.columns[0], column])), "postgres")
    expected = "No more than 7 of the 10 rows of customers have a row in orders; the join leaves out the others."
    assert join_notes(sql, "postgres", catalog) == ([expected] if said and not approximate else [])
