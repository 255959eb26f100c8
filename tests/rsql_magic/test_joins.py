"""What is said of joins that count rows several times or leave some out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import duckdb
import pytest

from rsql_magic.context import Catalog
from rsql_magic.databases import open_engine
from rsql_magic.sql import Profile
from rsql_magic.sql import join_notes as all_notes


def join_notes(sql, dialect, catalog, count=None, question=""):
    return [note.text for note in all_notes(sql, dialect, catalog, count, question)]


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
        "About 25.0% of the rows of orders have no customer_id and are left out by the join with customers; "
        "that is estimated, and others that match no row are not counted."
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


@pytest.fixture(params=["duckdb", "sqlite"])
def shop(request):
    """Orders of which 1 % have no customer, and 15.6 % none that there is; payments of orders in parts."""
    connection = duckdb.connect() if request.param == "duckdb" else sqlite3.connect(":memory:", check_same_thread=False)
    for table in (
        "customers (id INTEGER PRIMARY KEY, city VARCHAR, credit INTEGER)",
        "orders (id INTEGER PRIMARY KEY, customer_id INTEGER, amount INTEGER)",
        "payments (id INTEGER PRIMARY KEY, customer_id INTEGER, paid INTEGER)",
    ):
        connection.execute(f"CREATE TABLE {table}")
    connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", [(n, f"City {n % 5}", 10) for n in range(200)])
    whose = [None if n < 10 else 10_000 + n if n < 156 else n % 150 for n in range(1000)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(n, whose[n], 5) for n in range(1000)])
    connection.executemany("INSERT INTO payments VALUES (?, ?, ?)", [(n, n % 100, 3) for n in range(300)])
    with open_engine(connection) as engine:
        yield engine
    connection.close()


def told(engine, sql, question=""):
    def count(query):
        return int(engine.run(query).df.iloc[0, 0])

    return all_notes(sql, engine.dialect, engine.catalog(), count, question)


@pytest.mark.slow
def test_rows_that_a_join_loses_are_counted(shop):
    notes = told(shop, "SELECT o.id, c.city FROM orders o JOIN customers c ON o.customer_id = c.id")
    assert [note.text for note in notes] == [
        "156 of the 1,000 rows of orders (15.6%) have no matching row in customers; the join leaves them out."
    ]
    [note] = told(shop, "SELECT o.id FROM orders o JOIN customers c ON o.customer_id = c.id WHERE o.id < 200")
    assert "156 of the 200 rows of orders that the conditions let through (78.0%)" in note.text
    assert told(shop, "SELECT o.id FROM orders o JOIN customers c ON o.customer_id = c.id WHERE o.id > 200") == []
    assert told(shop, "SELECT o.id FROM orders o LEFT JOIN customers c ON o.customer_id = c.id") == []
    notes = told(shop, "SELECT c.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.amount > 0")
    assert [note.text for note in notes if "customers (" in note.text] == [
        "50 of the 200 rows of customers (25.0%) have no matching row in orders; the join leaves them out."
    ]


def doubted(engine, sql, question=""):
    return [note.text for note in told(engine, sql, question) if note.is_doubt]


@pytest.mark.slow
def test_sums_over_a_fan_out_are_doubted(shop):
    join = "FROM customers c JOIN orders o ON o.customer_id = c.id"
    [said] = doubted(shop, f"SELECT sum(c.credit) AS s {join}")
    assert (
        said
        == "A row of customers comes once for each matching row of orders, so sum(c.credit) counts it several times."
    )
    assert len(doubted(shop, f"SELECT c.city, sum(c.credit) AS s {join} GROUP BY c.city")) == 1
    assert doubted(shop, f"SELECT sum(o.amount) AS s {join}") == []
    assert doubted(shop, f"SELECT o.id, sum(c.credit) AS s {join} GROUP BY o.id") == []
    assert doubted(shop, f"SELECT sum(c.credit) AS s {join} WHERE o.id IN (300, 301)") == []  # no row comes twice


@pytest.mark.slow
def test_sums_and_counts_over_two_fan_outs_are_doubted(shop):
    join = "FROM customers c JOIN orders o ON o.customer_id = c.id JOIN payments p ON p.customer_id = c.id"
    [said] = doubted(shop, f"SELECT sum(o.amount) AS s {join}")
    assert said.startswith("A row of orders comes once for each matching row of payments")
    [said] = doubted(shop, f"SELECT count(*) AS n {join}")
    assert said == "count(*) counts combinations of rows of customers and orders and payments, each row several times."
    assert doubted(shop, f"SELECT count(DISTINCT o.id) AS n {join}") == []


@pytest.mark.slow
def test_a_count_of_rows_is_doubted_where_the_question_asks_for_the_other_table(shop):
    sql = "SELECT count(*) AS n FROM customers c JOIN orders o ON o.customer_id = c.id"
    [said] = doubted(shop, sql, "How many customers have orders?")
    assert "COUNT(DISTINCT …)" in said
    assert doubted(shop, sql, "How many orders have customers?") == []
    assert doubted(shop, f"{sql} WHERE o.id IN (300, 301)", "How many customers have these orders?") == []


SAME_CITY = "FROM customers a JOIN customers b ON a.city = b.city"


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT count(*) AS n {SAME_CITY} AND a.id < b.id",
        f"SELECT count(*) AS n {SAME_CITY} WHERE b.id > a.id",
        f"SELECT count(*) AS n {SAME_CITY} AND a.id >= b.id",
        f"SELECT count(a.id) AS n {SAME_CITY} AND lower(a.label) < lower(b.label)",
        f"SELECT a.city, count(*) AS n {SAME_CITY} AND a.id < b.id GROUP BY a.city",
        "SELECT count(*) AS n FROM customers a, customers b WHERE a.city = b.city AND a.credit = 10 AND a.id < b.id",
        f"SELECT count(*) AS n {SAME_CITY} AND a.id < b.id JOIN cities c ON c.name = a.city",
    ],
)
def test_a_count_of_pairs_is_not_doubted(pairs, sql):
    assert doubted(pairs, sql, "How many pairs of customers live in the same city?") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT count(*) AS n {SAME_CITY}",  # each customer with itself, and each pair twice
        f"SELECT count(*) AS n {SAME_CITY} AND a.id <> b.id",  # each pair twice
        f"SELECT count(*) AS n {SAME_CITY} AND a.credit < b.credit",  # a customer for each who has more
        f"SELECT count(*) AS n {SAME_CITY} AND (a.id < b.id OR a.credit > 5)",
        f"SELECT sum(a.credit) AS n {SAME_CITY} AND a.id < b.id",  # a customer's credit for each of its pairs
        f"SELECT count(*) AS n {SAME_CITY} AND a.id < b.id JOIN orders o ON o.customer_id = a.id",
    ],
)
def test_a_count_of_more_than_pairs_is_doubted(pairs, sql):
    assert len(doubted(pairs, sql)) == 1


@pytest.fixture(params=["duckdb", "sqlite"])
def pairs(request):
    """Customers of a few cities, who have several orders each."""
    connection = duckdb.connect() if request.param == "duckdb" else sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE cities (name VARCHAR PRIMARY KEY)")
    connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, label VARCHAR, city VARCHAR, credit INTEGER)")
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER)")
    connection.executemany("INSERT INTO cities VALUES (?)", [(f"City {n}",) for n in range(5)])
    rows = [(n, f"Customer {n}", f"City {n % 5}", n) for n in range(40)]
    connection.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO orders VALUES (?, ?)", [(n, n % 40) for n in range(120)])
    with open_engine(connection) as engine:
        yield engine
    connection.close()


@pytest.mark.slow
def test_a_fan_out_is_told_to_the_model_once_and_then_to_the_person(ip, con, gateway):
    con.execute("CREATE TABLE shops AS SELECT i AS id, 100 AS rent FROM range(3) t(i)")
    con.execute("ALTER TABLE shops ADD PRIMARY KEY (id)")
    wrong = "SELECT sum(s.rent) AS rent FROM shops s JOIN orders o ON o.shop = s.id"
    right = "SELECT sum(rent) AS rent FROM shops WHERE id IN (SELECT shop FROM orders)"
    gateway.replies = [f"```sql\n{query}\n```" for query in (wrong, right)]
    result = ip.run("%%sql_ai con\nWhat is the rent of all shops with orders?")
    assert "so sum(s.rent) counts it several times." in gateway.sent
    assert (int(result.df.rent[0]), result.notes) == (300, ())
    gateway.replies = [f"```sql\n{wrong}\n```"] * 2
    result = ip.run("%%sql_ai con\nWhat rent do all shops with orders pay?")
    assert int(result.df.rent[0]) == 300_000
    assert any("counts it several times" in note for note in result.notes)


UNUSED = "SELECT c.city FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.credit > 3"


@pytest.mark.parametrize(
    ("sql", "instead"),
    [
        (UNUSED, "SELECT c.city FROM customers AS c WHERE c.credit > 3"),
        (
            "SELECT c.city FROM orders o JOIN customers c ON o.customer_id = c.id WHERE c.credit > 3",
            "SELECT c.city FROM customers AS c WHERE c.credit > 3",
        ),
        (
            "SELECT 1 AS one FROM (SELECT city FROM customers JOIN orders ON customer_id = customers.id) t",
            "SELECT 1 AS one FROM (SELECT city FROM customers) AS t",
        ),
        (
            f"{UNUSED} INTERSECT {UNUSED.replace('3', '4')}",
            "SELECT c.city FROM customers AS c WHERE c.credit > 3 INTERSECT "
            "SELECT c.city FROM customers AS c WHERE c.credit > 4",
        ),
    ],
)
def test_a_table_of_which_only_the_join_is_read_is_doubted(sql, instead):
    (note,) = all_notes(sql, "postgres", SHOP, question="cities with a credit above 3")
    assert note.text.startswith("orders is joined, but nothing else of it is read")
    assert (note.is_doubt, note.instead, note.table) == (True, instead, "orders")


FILMS = """
CREATE TABLE film (id INT PRIMARY KEY, studio TEXT);
CREATE TABLE film_estimate (film_id INT PRIMARY KEY REFERENCES film (id), gross INT);
CREATE TABLE bout (id INT PRIMARY KEY, winning_film INT REFERENCES film (id));
INSERT INTO film VALUES (1, 'Toho'), (2, 'Toho');
INSERT INTO film_estimate VALUES (1, 5);
INSERT INTO bout VALUES (1, 1), (2, 1);
"""


@pytest.mark.parametrize(
    ("sql", "question", "doubted"),
    [
        ("SELECT f.studio FROM film f JOIN film_estimate e ON e.film_id = f.id", "studios of films", True),
        ("SELECT f.studio FROM film f JOIN film_estimate e ON e.film_id = f.id", "films with an estimate", False),
        ("SELECT f.studio FROM film f JOIN bout b ON b.winning_film = f.id", "studios of winning films", False),
        ("SELECT f.studio FROM film f JOIN bout b ON b.winning_film = f.id", "studios of films", True),
        (
            "SELECT studio FROM film EXCEPT SELECT studio FROM film f JOIN bout b ON b.winning_film = f.id",
            "studios of films that were never there",
            False,
        ),
    ],
)
def test_a_question_names_a_table_by_a_word_that_no_other_table_of_the_query_has(sql, question, doubted):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(FILMS)
        catalog = Catalog.from_connection(connection)
        notes = all_notes(sql, "sqlite", catalog, lambda query: connection.execute(query).fetchone()[0], question)
    assert any(note.instead for note in notes) is doubted


@pytest.mark.parametrize(
    ("sql", "question"),
    [
        (UNUSED, ""),
        (UNUSED, "cities of customers with an order and a credit above 3"),
        ("SELECT o.amount FROM customers c JOIN orders o ON o.customer_id = c.id", "amounts"),  # one row of a key
        ("SELECT c.city, o.amount FROM customers c JOIN orders o ON o.customer_id = c.id", "cities and amounts"),
        ("SELECT c.city FROM customers c JOIN orders o ON o.customer_id = c.id AND o.amount > 3", "cities above 3"),
        ("SELECT c.city FROM customers c LEFT JOIN orders o ON o.customer_id = c.id", "cities"),
        ("SELECT * FROM customers c JOIN orders o ON o.customer_id = c.id", "all"),
        (
            "SELECT c.city FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1 ORDER BY count(*)",
            "busy cities",
        ),
        (
            "SELECT c.city FROM customers c JOIN orders o ON o.customer_id = c.id JOIN lines l ON l.order_id = o.id"
            " WHERE l.position = 1",
            "cities with a position of 1",
        ),
    ],
)
def test_a_join_that_the_question_or_the_query_needs_is_not_doubted(sql, question):
    assert not any("nothing else" in note for note in join_notes(sql, "postgres", SHOP, question=question))


SALES = """
CREATE TABLE customers (customer_id INT PRIMARY KEY, credit INT);
CREATE TABLE orders (order_id INT PRIMARY KEY, customer_id INT, amount INT);
INSERT INTO customers VALUES (1, 10), (2, 20), (3, 30);
INSERT INTO orders VALUES (1, 1, 5), (2, 1, 6), (3, 2, 7);
"""
BIG = "WITH big AS (SELECT customer_id, amount FROM orders WHERE amount > 4) "
FANNED = [
    "SELECT sum(credit) AS n FROM customers JOIN orders USING (customer_id)",
    "SELECT sum(credit) AS n FROM customers NATURAL JOIN orders",
    f"{BIG} SELECT sum(c.credit) AS n FROM customers c JOIN big b ON b.customer_id = c.customer_id",
    f"{BIG} SELECT avg(c.credit) AS n FROM big JOIN customers c USING (customer_id)",
    "SELECT sum(c.credit) AS n FROM customers c JOIN (SELECT customer_id AS k FROM orders) o ON o.k = c.customer_id",
    "SELECT sum(credit) AS n FROM customers CROSS JOIN orders",
    "SELECT sum(credit) AS n FROM customers, orders",
    f"{BIG}, most AS (SELECT * FROM big) SELECT sum(c.credit) AS n FROM customers c JOIN most USING (customer_id)",
]
SOUND = [
    "SELECT sum(amount) AS n FROM customers JOIN orders USING (customer_id)",
    "WITH per AS (SELECT customer_id, sum(amount) AS a FROM orders GROUP BY customer_id) "
    "SELECT sum(c.credit) AS n FROM customers c LEFT JOIN per ON per.customer_id = c.customer_id",
    "SELECT sum(c.credit) AS n FROM customers c CROSS JOIN (SELECT max(amount) AS top FROM orders) t",
    "SELECT sum(credit) AS n FROM customers LEFT JOIN (SELECT DISTINCT customer_id FROM orders) o USING (customer_id)",
]


@pytest.fixture(params=["duckdb", "sqlite"])
def sales(request):
    """An engine of each kind over the same rows."""
    if request.param == "duckdb":
        connection = duckdb.connect()
        connection.execute(SALES)
    else:
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        connection.executescript(SALES)
    with closing(connection):
        yield request.param, connection, open_engine(connection)


def counted_by(connection):
    return lambda sql: connection.execute(sql).fetchone()[0]


@pytest.mark.parametrize("sql", FANNED)
def test_rows_are_followed_through_every_form_of_a_join(sales, sql):
    dialect, connection, engine = sales
    notes = join_notes(sql, dialect, engine.catalog(), counted_by(connection))
    assert any("comes once for each matching row" in note for note in notes), notes


@pytest.mark.parametrize("sql", SOUND)
def test_forms_in_which_no_row_comes_twice_are_let_pass(sales, sql):
    dialect, connection, engine = sales
    notes = join_notes(sql, dialect, engine.catalog(), counted_by(connection))
    assert not any("comes once for each" in note for note in notes), notes


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT customer_id, credit FROM customers JOIN orders USING (customer_id)",
        f"{BIG} SELECT c.customer_id FROM customers c JOIN big ON big.customer_id = c.customer_id",
        "SELECT c.customer_id FROM customers c NATURAL JOIN (SELECT customer_id FROM orders) o",
    ],
)
def test_rows_that_are_left_out_are_counted_in_every_form_of_a_join(sales, sql):
    dialect, connection, engine = sales
    notes = join_notes(sql, dialect, engine.catalog(), counted_by(connection))
    assert any(note.startswith("1 of the 3 rows of customers (33.3%) have no matching row in ") for note in notes), (
        notes
    )


def test_a_with_that_takes_a_tables_name_is_not_counted_for_it(sales):
    dialect, connection, engine = sales
    sql = (
        "WITH orders AS (SELECT * FROM main.orders WHERE order_id = 1) "
        "SELECT sum(c.credit) AS n FROM customers c JOIN orders o ON o.customer_id = c.customer_id"
    )
    assert join_notes(sql, dialect, engine.catalog(), counted_by(connection)) == []
