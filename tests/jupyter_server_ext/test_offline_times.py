"""Times in words become bounds of the one date that can be meant; each query is run beside one written by hand."""

from __future__ import annotations

import re
import sqlite3
from datetime import date

import pytest

from jupyter_server_ext.offline.sql import times

from .offline_library import ask, conversation, say

DDL = """
CREATE TABLE customers (
  id INTEGER, -- unique
  name TEXT, -- unique
  created_at TIMESTAMP,
  updated_at TIMESTAMP,
  PRIMARY KEY (id)
);
CREATE TABLE orders (
  id INTEGER, -- unique
  customer_id INTEGER,
  order_date DATE,
  shipped_date DATE,
  amount REAL, -- 5..400
  PRIMARY KEY (id),
  FOREIGN KEY (customer_id) REFERENCES customers (id)
);
CREATE TABLE clicks (
  id INTEGER, -- unique
  clicked_at TIMESTAMP, -- 2023-12-31 23:59:59..2024-06-01 00:00:00
  page TEXT, -- values: 'home', 'shop'
  PRIMARY KEY (id)
);
CREATE TABLE visits (
  id INTEGER, -- unique
  started TIMESTAMP,
  ended TIMESTAMP,
  PRIMARY KEY (id)
);
CREATE TABLE trips (
  id INTEGER, -- unique
  year INTEGER, -- 2023..2024
  month INTEGER, -- 1..12
  PRIMARY KEY (id)
);
CREATE TABLE rents (
  id INTEGER, -- unique
  rent INTEGER, -- 1200..2100
  PRIMARY KEY (id)
);
"""
ROWS = """
INSERT INTO customers VALUES (1,'Ada','2024-03-31 23:30:00','2024-05-01 00:00:00'),
  (2,'Bo','2024-04-01 00:00:00','2024-05-02 00:00:00'), (3,'Cy','2023-03-05 12:00:00','2024-03-02 00:00:00');
INSERT INTO orders VALUES (1,1,'2024-03-31','2024-04-02',50), (2,1,'2024-04-01','2024-04-01',150),
  (3,2,'2024-03-01','2024-03-03',20), (4,2,'2023-03-15','2023-03-16',400), (5,3,'2026-10-31','2026-11-02',5);
INSERT INTO clicks VALUES (1,'2023-12-31 23:59:59','home'), (2,'2024-01-01 00:00:00','shop'),
  (3,'2024-03-05 00:00:00','home'), (4,'2024-03-05 18:00:00','shop'), (5,'2024-03-31 23:59:59','home'),
  (6,'2024-04-01 00:00:00','home'), (7,'2024-05-31 23:59:59','shop'), (8,'2024-06-01 00:00:00','shop');
INSERT INTO visits VALUES (1,'2024-03-31 23:59:00','2024-04-01 00:10:00');
INSERT INTO trips VALUES (1,2023,3), (2,2024,3), (3,2024,5), (4,2024,6);
INSERT INTO rents VALUES (1,2013);
"""

# A question, and under it a query that answers it. It is 6 May 2024 in the prompt.
QUESTIONS = """
how many clicks in March 2024
    SELECT COUNT(*) FROM clicks WHERE id IN (3, 4, 5)
In March 2024, how many clicks were there?
    SELECT COUNT(*) FROM clicks WHERE id IN (3, 4, 5)
how many clicks in 2024
    SELECT COUNT(*) FROM clicks WHERE id >= 2
how many clicks before 2024
    SELECT 1
how many clicks since 2024
    SELECT 7
how many clicks in Q1 2024
    SELECT 4
how many clicks in the second quarter of 2024
    SELECT 3
how many clicks between March and May 2024
    SELECT 5
how many clicks between March 2024 and May 2024
    SELECT 5
how many clicks between 2023 and 2024
    SELECT 8
how many clicks since April 2024
    SELECT 3
how many clicks before April 2024
    SELECT 5
how many clicks on March 5, 2024
    SELECT 2
how many clicks after March 5, 2024
    SELECT 4
how many clicks between 2024-03-05 and 2024-03-31
    SELECT 3
clicks per page in March 2024
    SELECT page, COUNT(*) FROM clicks WHERE id IN (3, 4, 5) GROUP BY page
how many clicks last month
    SELECT 1
how many clicks this year
    SELECT 7
how many clicks last year
    SELECT 1
how many clicks in the last 40 days
    SELECT 2
how many visits started in March 2024
    SELECT 1
how many visits ended in March 2024
    SELECT 0
how many orders shipped in March 2024
    SELECT 1
how many orders were placed in March 2024
    SELECT 2
total amount of orders per customer in March 2024
    SELECT name, SUM(amount) FROM customers JOIN orders ON customer_id = customers.id
    WHERE orders.id IN (1, 3) GROUP BY name
top 5 customers by total amount in March 2024
    SELECT name, SUM(amount) FROM customers JOIN orders ON customer_id = customers.id
    WHERE orders.id IN (1, 3) GROUP BY name
how many customers were created in March 2024
    SELECT 1
which customers have no orders in March 2024
    SELECT name FROM customers WHERE id = 3
which customers have no orders with amount over 100
    SELECT name FROM customers WHERE id = 3
how many orders have an amount over 100 or were shipped in March 2024
    SELECT 3
how many trips in March 2024
    SELECT 1
how many trips between March and May 2024
    SELECT 2
average amount between 2023 and 2024
    SELECT AVG(amount) FROM orders WHERE id < 5
"""
CASES = [
    (question, " ".join(lines))
    for question, *lines in (
        [line.strip() for line in block.splitlines()] for block in re.split(r"\n(?=\S)", QUESTIONS.strip())
    )
]


@pytest.fixture(scope="module")
def shop():
    connection = sqlite3.connect(":memory:")
    connection.executescript(re.sub(r"--[^\n]*", "", DDL) + ROWS)
    yield connection
    connection.close()


@pytest.mark.parametrize(("question", "right"), CASES, ids=[question for question, _ in CASES])
def test_times_are_read(shop, question, right):
    written = ask(question, ddl=DDL)
    assert sorted(shop.execute(written)) == sorted(shop.execute(right)), written


def test_bounds_are_half_open():
    assert "clicked_at >= '2024-03-01' AND clicked_at < '2024-04-01'" in " ".join(
        ask("how many clicks in March 2024", ddl=DDL).split()
    )


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("how many visits in March 2024", "visits.started, visits.ended"),
        ("how many visits in 2024", "visits.started, visits.ended"),
        ("how many rents in March 2024", "no column with dates in rents"),
        ("how many rents in 2013", "2013"),
        ("how many clicks last March", "“March”"),
        ("how many clicks in the first half of 2024", "“half”"),
        ("how many clicks in 2023 or 2024", "“or 2024”"),
        ("how many clicks in March and April 2024", "of which year the month is meant"),
        ("how many orders were cancelled in March 2024", "cancelled"),
        ("how many orders were not shipped in March 2024", "not"),
    ],
)
def test_what_may_mean_two_dates_or_none_is_refused(question, said):
    text = say(question, ddl=DDL)
    assert "```" not in text
    assert said in text.partition("I know")[0]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("how many clicks last month", "“last month” as April 2024"),
        ("how many clicks in the last 30 days", "2024-04-07 to 2024-05-06"),
        ("how many orders in March 2024", "order_date; shipped_date"),
    ],
)
def test_what_was_chosen_is_said(question, said):
    assert said in say(question, ddl=DDL)


def test_without_a_day_no_month_before_it_is_known():
    assert "what day it is" in say("how many clicks last month", ddl=DDL, today="")


def test_a_date_written_otherwise_is_not_compared():
    ddl = "CREATE TABLE clicks ( clicked_at TIMESTAMP, -- '1/5/2023'..'9/9/2024'\n page TEXT );"
    assert "clicked_at" in say("how many clicks in March 2024", ddl=ddl)
    assert not ask("how many clicks in March 2024", ddl=ddl)


@pytest.mark.parametrize(
    ("form", "is_sorted"), [("%Y-%m-%d", True), ("%Y-%m-%d (no leading zeros)", False), ("%d.%m.%Y", False)]
)
@pytest.mark.parametrize("kind", ["TEXT", "TIMESTAMP"])
def test_a_text_is_compared_where_its_form_sorts_like_days(kind, form, is_sorted):
    ddl = f"CREATE TABLE clicks ( id INTEGER, clicked_at {kind}, -- dates as text: {form}\n page TEXT );"
    assert ("clicked_at >= '2024-03-01'" in ask("how many clicks in March 2024", ddl=ddl)) == is_sorted


def test_a_follow_up_takes_the_place_of_the_time(shop):
    queries = conversation("how many clicks in March 2024", "and in April 2024?", ddl=DDL)
    assert [shop.execute(query).fetchone()[0] for query in queries] == [3, 1]


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        (times.before("month", date(2024, 1, 15)), "2023-12-01", "2023-12-31"),
        (times.before("quarter", date(2024, 2, 1)), "2023-10-01", "2023-12-31"),
        (times.before("week", date(2024, 5, 6)), "2024-04-29", "2024-05-05"),
        (times.past(1, "month", date(2024, 3, 30)), "2024-02-29", "2024-03-30"),
        (times.past(7, "day", date(2024, 3, 7)), "2024-03-01", "2024-03-07"),
        (times.current("quarter", date(2024, 12, 31)), "2024-10-01", "2024-12-31"),
    ],
)
def test_spans(span, first, last):
    assert (span.start.isoformat(), span.last.isoformat()) == (first, last)


# --- words for rows, and names in one word ----------------------------------------------------------------------------

LOGS = """
CREATE TABLE logs (
  id INTEGER, -- unique
  teacherentry INTEGER, -- 1..9
  student TEXT
);
"""
MIXED = """
CREATE TABLE "MixedCase Orders" (
  "Order ID" INTEGER, -- unique
  "Total Amount" REAL
);
CREATE TABLE clicks ( id INTEGER );
"""


@pytest.mark.parametrize("word", ["entries", "records", "rows", "items", "cases"])
def test_words_for_rows_count_them(word):
    assert ask(f"how many {word} are there", ddl=LOGS).startswith("SELECT COUNT(*)")
    assert ask(f"how many {word} are there in logs", ddl=LOGS) == "SELECT COUNT(*) AS n_logs\nFROM logs"


def test_a_column_called_so_is_not_counted_as_rows():
    ddl = "CREATE TABLE baskets ( id INTEGER, items INTEGER, -- 1..9\n owner TEXT ); CREATE TABLE shops ( id INTEGER );"
    assert "```" not in say("how many items do the baskets have", ddl=ddl)


@pytest.mark.parametrize("name", ["MixedCase Orders", "mixed case orders", '"MixedCase Orders"'])
def test_a_name_is_found_however_its_words_are_parted(name):
    assert ask(f"How many {name} are there?", ddl=MIXED).endswith('FROM "MixedCase Orders"')


def test_the_amount_of_things_is_their_column():
    assert "SUM(orders.amount)" in ask("total amount of orders per customer", ddl=DDL)
    assert "amount" not in ask("amount of customers", ddl=DDL)
