"""The short wordings people type first, SQL-ish, pandas-ish and plain, over small frames: each right, or refused."""

from __future__ import annotations

import sqlite3

import pytest

from .offline_library import ask, say

# In each frame the columns and a few rows; a question, and under it a query that gives the same rows.
PRICES = """
CREATE TABLE df ( -- 8 rows
  price DOUBLE, -- 1..9; 12% NULL
  city VARCHAR, -- values: 'A', 'Lima', 'Oslo'
  x BIGINT, -- 0..8
  y DOUBLE -- -2..12
);
"""
LETTERS = """
CREATE TABLE df ( -- 6 rows
  a BIGINT, -- 1..9
  b VARCHAR, -- values: 'u', 'v'
  i BIGINT, -- 1..6; unique
  x DOUBLE, -- 0.5..9
  grp VARCHAR -- values: 'A', 'B'
);
"""
SALES = """
CREATE TABLE sales ( -- 6 rows
  order_id BIGINT, -- 1..6; unique
  order_date TIMESTAMP, -- 2023-01-01..2024-03-01
  customer VARCHAR, -- 3 distinct
  product VARCHAR, -- values: 'pen', 'lamp'
  unit_price DOUBLE, -- 2..30
  quantity BIGINT, -- 1..9
  total_amount DOUBLE, -- 4..90
  returned BOOLEAN
);
"""
PATIENTS = """
CREATE TABLE patients ( -- 5 rows
  PatientID BIGINT, -- unique
  Age BIGINT, -- 8..81
  Sex VARCHAR, -- values: 'M', 'F'
  BloodPressure DOUBLE, -- 90..160
  Smoker VARCHAR, -- values: 'no', 'yes'
  Ward VARCHAR -- values: 'ICU', 'Surgery'
);
"""
FRAMES = {"prices": PRICES, "letters": LETTERS, "sales": SALES, "patients": PATIENTS}
ROWS = {
    "prices": [
        (1.0, "A", 0, 3.0), (1.5, "A", 2, -2.0), (4.0, "Oslo", 5, 1.0), (6.5, "Oslo", 8, 12.0),
        (9.0, "Lima", 1, 0.5), (None, "Lima", 2, 2.5), (7.0, "Oslo", 3, 3.5), (2.0, "A", 7, 8.0),
    ],
    "letters": [
        (1, "u", 1, 0.5, "A"), (9, "v", 2, 9.0, "B"), (4, "u", 3, 2.0, "A"), (7, "v", 4, 3.5, "A"),
        (6, "u", 5, 8.0, "B"), (2, "v", 6, 4.0, "B"),
    ],
    "sales": [
        (1, "2023-01-01", "Ann", "pen", 2.0, 9, 18.0, True), (2, "2023-05-01", "Bob", "lamp", 30.0, 3, 90.0, False),
        (3, "2023-05-09", "Ann", "pen", 2.0, 2, 4.0, False), (4, "2024-01-02", "Cid", "lamp", 28.0, 1, 28.0, True),
        (5, "2024-02-01", "Ann", "lamp", 29.0, 2, 58.0, False), (6, "2024-03-01", "Bob", "pen", 2.5, 4, 10.0, False),
    ],
    "patients": [
        (1, 8, "F", 90.0, "no", "ICU"), (2, 81, "M", 160.0, "yes", "ICU"), (3, 44, "F", 120.0, "yes", "Surgery"),
        (4, 67, "F", 140.0, "no", "Surgery"), (5, 30, "M", 125.0, "no", "ICU"),
    ],
}  # fmt: skip
QUESTIONS = """
# prices
x and y where price < 3
    SELECT x, y FROM df WHERE price < 3
rows where price > 1
    SELECT * FROM df WHERE price > 1
show me everything where price > 2 and x < 6
    SELECT * FROM df WHERE price > 2 AND x < 6
where price > 2
    SELECT * FROM df WHERE price > 2
filter rows where price > 2
    SELECT * FROM df WHERE price > 2
price > 2 and city = 'A'
    SELECT * FROM df WHERE price > 2 AND city = 'A'
rows where city is A
    SELECT * FROM df WHERE city = 'A'
city in ('A', 'Lima')
    SELECT * FROM df WHERE city IN ('A', 'Lima')
price between 1 and 2
    SELECT * FROM df WHERE price BETWEEN 1 AND 2
price not between 1 and 2
    SELECT * FROM df WHERE price NOT BETWEEN 1 AND 2
rows where x > y
    SELECT * FROM df WHERE x > y
average price per city sorted descending
    SELECT city, AVG(price) AS p FROM df GROUP BY city ORDER BY p DESC
average price by city sorted by price
    SELECT city, AVG(price) AS p FROM df GROUP BY city ORDER BY p
mean of price grouped by city where x < 3
    SELECT city, AVG(price) FROM df WHERE x < 3 GROUP BY city
mean(price) by city
    SELECT city, AVG(price) FROM df GROUP BY city
mean x, y by city
    SELECT city, AVG(x), AVG(y) FROM df GROUP BY city
sum of price and mean of x by city
    SELECT city, SUM(price), AVG(x) FROM df GROUP BY city
count of price by city
    SELECT city, COUNT(price) FROM df GROUP BY city
count by city
    SELECT city, COUNT(*) FROM df GROUP BY city
rows per city
    SELECT city, COUNT(*) FROM df GROUP BY city
value counts of city
    SELECT city, COUNT(*) FROM df GROUP BY city
group by city
    SELECT city, COUNT(*) FROM df GROUP BY city
cities with more than 2 rows
    SELECT city FROM df GROUP BY city HAVING COUNT(*) > 2
unique cities
    SELECT DISTINCT city FROM df
how many distinct cities
    SELECT COUNT(DISTINCT city) FROM df
how many rows
    SELECT COUNT(*) FROM df
row count
    SELECT COUNT(*) FROM df
count where price > 5
    SELECT COUNT(*) FROM df WHERE price > 5
number of missing values in price
    SELECT COUNT(*) FROM df WHERE price IS NULL
how many missing in price
    SELECT COUNT(*) FROM df WHERE price IS NULL
null prices
    SELECT * FROM df WHERE price IS NULL
first 5 rows
    SELECT * FROM df LIMIT 5
order by price desc limit 2
    SELECT * FROM df ORDER BY price DESC LIMIT 2
city with the most rows where x > 2
    SELECT 'Oslo'
x vs y
    SELECT x, y FROM df
x in (1, 2, 3)
    SELECT * FROM df WHERE x IN (1, 2, 3)
price is missing or x > 7
    SELECT * FROM df WHERE price IS NULL OR x > 7
city not in ('A', 'Lima')
    SELECT * FROM df WHERE city NOT IN ('A', 'Lima')
city like 'O%'
    SELECT * FROM df WHERE city LIKE 'O%'
how many different values does x have
    SELECT COUNT(DISTINCT x) FROM df
number of prices
    SELECT COUNT(price) FROM df
sort descending by x
    SELECT * FROM df ORDER BY x DESC
y is negative
    SELECT * FROM df WHERE y < 0
top city by average price
    SELECT city, AVG(price) AS p FROM df GROUP BY city ORDER BY p DESC LIMIT 1
# letters
average of a by b
    SELECT b, AVG(a) FROM df GROUP BY b
sum a grouped by b
    SELECT b, SUM(a) FROM df GROUP BY b
which b has the highest i
    SELECT 'v'
total a
    SELECT SUM(a) FROM df
rows where a > 5
    SELECT * FROM df WHERE a > 5
a, b
    SELECT a, b FROM df
a where x > 3
    SELECT a FROM df WHERE x > 3
a greater than i
    SELECT * FROM df WHERE a > i
how many rows do i have
    SELECT COUNT(*) FROM df
x when grp is A
    SELECT x FROM df WHERE grp = 'A'
# sales
orders where quantity > 2
    SELECT * FROM sales WHERE quantity > 2
orders per product
    SELECT product, COUNT(*) FROM sales GROUP BY product
average UnitPrice by Product
    SELECT product, AVG(unit_price) FROM sales GROUP BY product
average quantity of pens
    SELECT AVG(quantity) FROM sales WHERE product = 'pen'
returned = true
    SELECT * FROM sales WHERE returned
# patients
average BloodPressure by Ward
    SELECT Ward, AVG(BloodPressure) FROM patients GROUP BY Ward
patients older than 65
    SELECT * FROM patients WHERE Age > 65
mean Age where Smoker = 'yes' and Sex = 'F'
    SELECT AVG(Age) FROM patients WHERE Smoker = 'yes' AND Sex = 'F'
"""
REFUSED = [
    ("prices", "last 5 rows", "“rows”"),
    ("prices", "top 2 prices per city", "“per city”"),
    ("prices", "top 2 cities", "“top 2 cities”"),
    ("prices", "average x of the top 2 prices", "“prices”"),
    ("prices", "(x + y) / 2", "“+ y / 2”"),
    ("prices", "price by city", "what to compute for each group"),
    ("prices", "share of each city", "“share”"),
    ("prices", "share of rows with price > 5", "“share”"),
    ("prices", "share of missing prices", "“share”"),
    ("prices", "how many prices are above 5", "“prices are above 5”"),
    ("prices", "2 highest prices", "“highest prices”"),
    ("prices", "top 2 cities by price", "“top 2 cities by price”"),
    ("prices", "max minus min of price", "“minus”"),
    ("prices", "difference between max and min price by city", "“difference”"),
    ("prices", "x * y", "“* y”"),
    ("prices", "sum of x / sum of y", "“/ sum of y”"),
    ("prices", "x total by city", "“total by city”"),
    ("prices", "5 random rows", "“random”"),
    ("letters", "plot x by grp", "what to compute for each group"),
    ("sales", "total_amount by product", "what to compute for each group"),
    ("sales", "products with total quantity over 10", "“total quantity over 10”"),
    ("prices", "x squared", "“squared”"),
    ("prices", "describe df", "`%%ask` describes"),
    ("prices", "which columns are there", "`%%ask` describes"),
    ("prices", "median price", "no function for a median"),
    ("prices", "correlation of x and y", "“correlation”"),
    ("sales", "return rate by product", "“rate”"),
    ("sales", "revenue by product", "“revenue”"),
    ("patients", "patients over 60", "“60”"),
    ("prices", "average price without missing values", "“missing values”"),
    ("sales", "not returned", "“returned”"),
    ("sales", "share of returned orders", "“share”"),
    ("sales", "latest order", "“order”"),
    ("patients", "how many smokers", "“smokers”"),
    ("patients", "smokers by ward", "what to compute for each group"),
    ("patients", "mean blood pressure of smokers", "smokers"),
    ("patients", "percentage of smokers", "“percentage”"),
]


def _cases():
    frame = question = ""
    for line in QUESTIONS.strip().splitlines():
        if line.startswith("# "):
            frame = line[2:]
        elif line.startswith(" "):
            yield pytest.param(frame, question, line.strip(), id=question)
        else:
            question = line


def _rows(frame, sql):
    connection = sqlite3.connect(":memory:")
    connection.executescript(FRAMES[frame])
    name = "df" if frame in {"prices", "letters"} else frame
    marks = ", ".join("?" * len(ROWS[frame][0]))
    connection.executemany(f"INSERT INTO {name} VALUES ({marks})", ROWS[frame])
    found = [tuple(round(v, 6) if isinstance(v, float) else v for v in row) for row in connection.execute(sql)]
    connection.close()
    return found if "ORDER BY" in sql else sorted(found, key=repr)


@pytest.mark.parametrize(("frame", "question", "gold"), list(_cases()))
def test_short_wordings_give_the_rows_that_were_meant(frame, question, gold):
    sql = ask(question, ddl=FRAMES[frame])

    assert sql, say(question, ddl=FRAMES[frame])
    if "ORDER BY" not in gold:
        assert sorted(_rows(frame, sql), key=repr) == _rows(frame, gold), sql
    else:
        assert _rows(frame, sql) == _rows(frame, gold), sql


@pytest.mark.parametrize(("frame", "question", "reason"), REFUSED, ids=[question for _, question, _ in REFUSED])
def test_what_was_not_understood_is_named(frame, question, reason):
    text = say(question, ddl=FRAMES[frame])

    assert "```sql" not in text
    assert reason in text


@pytest.mark.parametrize(
    "question",
    ["sum of x by city", "x and y where price < 3", "value counts of city", "number of rows by city as a bar chart"],
)
def test_a_short_question_that_is_whole_forgets_the_one_before(question):
    before = ("price by city", "```sql\nSELECT city, AVG(price) AS avg_price FROM df GROUP BY city\n```")

    assert ask(question, ddl=PRICES, history=before) == ask(question, ddl=PRICES)


def test_a_chart_of_kinds_counts_them():
    assert '{"chart": "pie", "x": "city", "y": "n", "color": null}' in say("pie chart of cities", ddl=PRICES)


SCHOOL = "".join(
    f"CREATE TABLE sql_{name} (\n  id BIGINT, -- unique\n  {more}\n);\n"
    for name, more in {
        "user": "country VARCHAR -- values: 'DE', 'FR'",
        "user_device": "userid BIGINT",
        "course": "fullname VARCHAR",
        "forum": "title VARCHAR",
        "log": "user VARCHAR",
    }.items()
)


@pytest.mark.parametrize("prefix", ["mdl", "llx", "m"])
def test_a_prefix_that_all_tables_share_need_not_be_said(prefix):
    ddl = SCHOOL.replace("sql_", f"{prefix}_")

    assert ask("How many users are there?", ddl=ddl).split()[-1] == f"{prefix}_user"
    assert "GROUP BY country" in ask("number of users by country", ddl=ddl).replace("\n", " ")


def test_what_an_empty_panel_offers_about_tables_is_understood():
    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.panel.starters import starters
    from rsql_magic.sql import Catalog, Column, Table

    columns = (Column("order_id", "BIGINT"), Column("product", "VARCHAR"))
    catalog = Catalog([Table("sales", columns, primary_key=("order_id",)), Table("visits", columns[:1])])
    offered = [each.removeprefix("/sql ") for each in starters(NotebookSnapshot(), catalog)[:2]]
    visits = "CREATE TABLE visits ( order_id BIGINT );"
    assert [ask(each, ddl=f"{SALES}{visits}", dialect="duckdb").split()[0] for each in offered] == ["SELECT", "SELECT"]


@pytest.mark.parametrize(
    "question", ["How many rows has sales?", "How many rows does sales have?", "How many records does sales contain?"]
)
def test_what_a_table_has_are_its_rows(question):
    assert ask(question, ddl=SALES, dialect="duckdb").split() == "SELECT COUNT(*) AS n_sales FROM sales".split()  # noqa: SIM905
