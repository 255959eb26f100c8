"""A shop whose schema does not say what its numbers mean, its definitions, and questions with the SQL that answers them.

The queries were written by hand from the conventions below, before any rule that compiles a metric.

- An order counts when it is open or shipped (``status`` 1 or 2) and no test order.
- Revenue is quantity times price of the items of orders that count; margin takes the cost of the product off.
- Refunds are counted whatever became of the order. The refund rate is refunds divided by revenue.
- Names of people and their addresses are not shown.
- Some orders have no customer, some customers no region, and some refunds no order: they count, under a missing name.
  Where one place, product or group is asked for, the missing name is none.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from rsql_magic.sql import Catalog, Definition, Definitions, Meaning, Measure

TABLES = """
CREATE TABLE regions (id INTEGER PRIMARY KEY, name VARCHAR, country VARCHAR);
CREATE TABLE customers (id INTEGER PRIMARY KEY, full_name VARCHAR, email VARCHAR, segment VARCHAR, region_id INTEGER REFERENCES regions (id), joined_on DATE, birth_year INTEGER);
CREATE TABLE products (id INTEGER PRIMARY KEY, title VARCHAR, category VARCHAR, cost DOUBLE);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), status INTEGER, is_test BOOLEAN, channel VARCHAR, ordered_at TIMESTAMP);
CREATE TABLE order_items (order_id INTEGER REFERENCES orders (id), product_id INTEGER REFERENCES products (id), quantity INTEGER, unit_price DOUBLE, PRIMARY KEY (order_id, product_id));
CREATE TABLE refunds (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id), amount DOUBLE, refunded_on DATE);
CREATE TABLE visits (day DATE, channel VARCHAR, visitors INTEGER, PRIMARY KEY (day, channel));
"""


def fill(run: Any) -> None:
    """Put the same rows into the tables each time; ``run`` takes a statement and its rows."""
    chance = random.Random(7)
    regions = [(1, "North", "Norway"), (2, "South", "Italy"), (3, "East", "Poland"), (4, "West", "Portugal")]
    segments, channels = ["consumer", "business", "public"], ["web", "shop", "phone"]
    categories = ["toys", "books", "tools", "games"]
    start = datetime(2023, 1, 1)  # noqa: DTZ001 - the column has no time zone
    customers = [
        (n, f"Person {n}", f"p{n}@example.org", chance.choice(segments), chance.randint(1, 4),
         (start + timedelta(days=chance.randint(0, 700))).date(), chance.randint(1950, 2005))
        for n in range(1, 61)
    ]  # fmt: skip
    products = [(n, f"Thing {n}", categories[n % 4], round(chance.uniform(1, 40), 2)) for n in range(1, 25)]
    orders = [
        (n, chance.randint(1, 55), chance.choice([1, 2, 2, 2, 3, 4]), chance.random() < 0.1, chance.choice(channels),
         start + timedelta(days=chance.randint(0, 729), hours=chance.randint(0, 23)))
        for n in range(1, 401)
    ]  # fmt: skip
    items = [
        (order[0], product, chance.randint(1, 5), round(chance.uniform(5, 90), 2))
        for order in orders
        for product in chance.sample(range(1, 25), chance.randint(1, 4))
    ]
    refunds = [
        (n, chance.randint(1, 400), round(chance.uniform(2, 60), 2),
         (start + timedelta(days=chance.randint(10, 729))).date())
        for n in range(1, 71)
    ]  # fmt: skip
    visits = [
        ((start + timedelta(days=day)).date(), channel, chance.randint(5, 90))
        for day in range(0, 730, 5)
        for channel in channels
    ]
    # Rows without a partner
    regions.append((5, "Center", "Malta"))
    customers += [(n, f"Person {n}", f"p{n}@example.org", "public", None, start.date(), 1980) for n in (61, 62)]
    more = [
        (n, None if n % 2 else 61 + n % 4 // 2, 1 + n % 4, False, "web", start + timedelta(days=n))
        for n in range(401, 421)
    ]
    orders += more
    items += [(order[0], 1 + order[0] % 24, 2, 9.5) for order in more]
    refunds += [(n, None, 3.5, (start + timedelta(days=5 * n)).date()) for n in (71, 72, 73)]
    for table, rows in {
        "regions": regions, "customers": customers, "products": products, "orders": orders, "order_items": items,
        "refunds": refunds, "visits": visits,
    }.items():  # fmt: skip
        run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)


def _metric(name: str, expression: str, table: str = "", **more: Any) -> Definition:
    return Definition(name, "metric", expression, table, "duckdb", **more)


VALUES: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("regions", "name"): (("North", ""), ("South", ""), ("East", ""), ("West", "")),
    ("regions", "country"): (("Norway", ""), ("Italy", ""), ("Poland", ""), ("Portugal", "")),
    ("orders", "status"): (("1", "open"), ("2", "shipped"), ("3", "cancelled"), ("4", "returned")),
}
RESTRICTED = {"full_name", "email"}
ORDINALS = {"status", "birth_year"}
QUANTITIES = {"quantity", "unit_price", "cost", "amount", "visitors"}


def described(catalog: Catalog) -> Catalog:
    """The catalog of the shop with what its dictionary says."""
    tables = (t.with_columns(replace(c, meaning=_meaning(t.name, c.name)) for c in t.columns) for t in catalog)
    return replace(catalog, tables=tuple(tables), definitions=DEFINITIONS)


def _meaning(table: str, column: str) -> Meaning:
    is_id = column == "id" or column.endswith("_id")
    measure: Measure = (
        "quantity" if column in QUANTITIES else "ordinal" if column in ORDINALS else "id" if is_id else ""
    )
    restricted = column in RESTRICTED
    return Meaning(measure, VALUES.get((table, column), ()), restricted=restricted, source="data-dict.yaml, line 4")


COUNTS = ("orders.is_real",)
DEFINITIONS = Definitions(
    (
        Definition("is_real", "filter", "status IN (1, 2) AND NOT is_test", "orders", "duckdb"),
        Definition("is_cancelled", "filter", "status = 3", "orders", "duckdb", synonyms=("cancelled",)),
        Definition("line_total", "derived", "quantity * unit_price", "order_items", "duckdb"),
        _metric(
            "revenue", "SUM(line_total)", "order_items", where=COUNTS, time="orders.ordered_at", unit="EUR",
            synonyms=("sales", "turnover"), source="data-dict.yaml, line 12",
        ),
        _metric(
            "gross_margin", "SUM(line_total - quantity * products.cost)", "order_items", where=COUNTS,
            time="orders.ordered_at", synonyms=("profit",),
        ),
        _metric(
            "units_sold", "SUM(quantity)", "order_items", where=COUNTS, time="orders.ordered_at",
        ),
        _metric("order_count", "COUNT(*)", "orders", where=("is_real",), time="ordered_at", synonyms=("number of orders",)),
        _metric(
            "active_customers", "COUNT(DISTINCT customer_id)", "orders", where=("is_real",), time="ordered_at",
            synonyms=("buyers",),
        ),
        _metric(
            "cancellation_rate", "SUM(CASE WHEN is_cancelled THEN 1.0 ELSE 0 END) / COUNT(*)", "orders",
            where=("NOT is_test",), time="ordered_at",
        ),
        _metric("refund_total", "SUM(amount)", "refunds", time="refunded_on", synonyms=("refunds",)),
        _metric("refund_rate", "refund_total / revenue"),
        _metric("average_order_value", "revenue / order_count", synonyms=("AOV", "basket value")),
        _metric("visitor_count", "SUM(visitors)", "visits", time="day", synonyms=("footfall",)),
    )
)  # fmt: skip

_ITEMS = (
    "FROM order_items i LEFT JOIN orders o ON o.id = i.order_id LEFT JOIN customers c ON c.id = o.customer_id"
    " LEFT JOIN regions r ON r.id = c.region_id LEFT JOIN products p ON p.id = i.product_id"
    " WHERE o.status IN (1, 2) AND NOT o.is_test"
)
_ORDERS = (
    "FROM orders o LEFT JOIN customers c ON c.id = o.customer_id LEFT JOIN regions r ON r.id = c.region_id"
    " WHERE o.status IN (1, 2) AND NOT o.is_test"
)
_ALL_ORDERS = "FROM orders o LEFT JOIN customers c ON c.id = o.customer_id LEFT JOIN regions r ON r.id = c.region_id WHERE NOT o.is_test"
_REFUNDS = (
    "FROM refunds f LEFT JOIN orders o ON o.id = f.order_id LEFT JOIN customers c ON c.id = o.customer_id"
    " LEFT JOIN regions r ON r.id = c.region_id WHERE TRUE"
)
_REVENUE = "SUM(i.quantity * i.unit_price)"
_MARGIN = "SUM(i.quantity * i.unit_price - i.quantity * p.cost)"
_RATE = "SUM(CASE WHEN o.status = 3 THEN 1.0 ELSE 0 END) / COUNT(*)"
_YEAR, _MONTH = "EXTRACT(YEAR FROM o.ordered_at)", "EXTRACT(MONTH FROM o.ordered_at)"


_KEY, _SAME = "COALESCE(a.k, b.k)", "a.k IS NOT DISTINCT FROM b.k"


def _q(figure: str, source: str, by: str = "", where: str = "", rest: str = "") -> str:
    """A query over one of the joins above."""
    shown = f"{by}, {figure}" if by else figure
    groups = f" GROUP BY {by}" if by else ""
    return f"SELECT {shown} {source}{f' AND {where}' if where else ''}{groups}{rest}"


def _both(over: str, under: str, by: str) -> str:
    """One figure divided by another, each computed by itself."""
    if not by:
        return f"SELECT ({over}) / ({under})"
    return f"SELECT {_KEY}, a.v / b.v FROM ({over}) AS a(k, v) FULL JOIN ({under}) AS b(k, v) ON {_SAME}"


# ruff: noqa: E501 - a question and its query a line
QUESTIONS: tuple[tuple[str, str], ...] = (
    ("What is the revenue?", _q(_REVENUE, _ITEMS)),
    ("total revenue", _q(_REVENUE, _ITEMS)),
    ("revenue by region", _q(_REVENUE, _ITEMS, "r.name")),
    ("What is the revenue per country?", _q(_REVENUE, _ITEMS, "r.country")),
    ("Show revenue by category", _q(_REVENUE, _ITEMS, "p.category")),
    ("revenue by segment", _q(_REVENUE, _ITEMS, "c.segment")),
    ("sales by channel", _q(_REVENUE, _ITEMS, "o.channel")),
    ("turnover by channel and category", _q(_REVENUE, _ITEMS, "o.channel, p.category")),
    ("revenue by year", _q(_REVENUE, _ITEMS, _YEAR)),
    ("revenue by month in 2023", _q(_REVENUE, _ITEMS, _MONTH, "o.ordered_at >= '2023-01-01' AND o.ordered_at < '2024-01-01'")),
    ("revenue in 2024", _q(_REVENUE, _ITEMS, "", "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2025-01-01'")),
    ("revenue in March 2024", _q(_REVENUE, _ITEMS, "", "o.ordered_at >= '2024-03-01' AND o.ordered_at < '2024-04-01'")),
    ("revenue in the North", _q(_REVENUE, _ITEMS, "", "r.name = 'North'")),
    ("revenue in Norway by category", _q(_REVENUE, _ITEMS, "p.category", "r.country = 'Norway'")),
    ("revenue from toys", _q(_REVENUE, _ITEMS, "", "p.category = 'toys'")),
    ("What was the revenue of the business segment in 2023?", _q(_REVENUE, _ITEMS, "", "c.segment = 'business' AND o.ordered_at >= '2023-01-01' AND o.ordered_at < '2024-01-01'")),
    ("Which category has the highest revenue?", _q(_REVENUE, _ITEMS, "p.category", "p.category IS NOT NULL", f" ORDER BY {_REVENUE} DESC LIMIT 1")),
    ("top 3 products by revenue", _q(_REVENUE, _ITEMS, "p.title", "p.title IS NOT NULL", f" ORDER BY {_REVENUE} DESC LIMIT 3")),
    ("Which region has the lowest turnover?", _q(_REVENUE, _ITEMS, "r.name", "r.name IS NOT NULL", f" ORDER BY {_REVENUE} LIMIT 1")),
    ("revenue by region, highest first", _q(_REVENUE, _ITEMS, "r.name", "", f" ORDER BY {_REVENUE} DESC")),
    ("revenue by category sorted by category", _q(_REVENUE, _ITEMS, "p.category", "", " ORDER BY p.category")),
    ("revenue since July 2024", _q(_REVENUE, _ITEMS, "", "o.ordered_at >= '2024-07-01'")),
    ("revenue by channel in Q1 2024", _q(_REVENUE, _ITEMS, "o.channel", "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2024-04-01'")),
    ("How much revenue did we make in Italy?", _q(_REVENUE, _ITEMS, "", "r.country = 'Italy'")),
    ("What is the gross margin?", _q(_MARGIN, _ITEMS)),
    ("gross margin by category", _q(_MARGIN, _ITEMS, "p.category")),
    ("profit by region", _q(_MARGIN, _ITEMS, "r.name")),
    ("profit per country in 2024", _q(_MARGIN, _ITEMS, "r.country", "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2025-01-01'")),
    ("What is the profit of books?", _q(_MARGIN, _ITEMS, "", "p.category = 'books'")),
    ("Which channel has the highest gross margin?", _q(_MARGIN, _ITEMS, "o.channel", "o.channel IS NOT NULL", f" ORDER BY {_MARGIN} DESC LIMIT 1")),
    ("top 5 products by profit", _q(_MARGIN, _ITEMS, "p.title", "p.title IS NOT NULL", f" ORDER BY {_MARGIN} DESC LIMIT 5")),
    ("gross margin by year", _q(_MARGIN, _ITEMS, _YEAR)),
    ("gross margin by segment in the South", _q(_MARGIN, _ITEMS, "c.segment", "r.name = 'South'")),
    ("units sold", _q("SUM(i.quantity)", _ITEMS)),
    ("How many units sold by category?", _q("SUM(i.quantity)", _ITEMS, "p.category")),
    ("units sold per product", _q("SUM(i.quantity)", _ITEMS, "p.title")),
    ("units sold by channel in 2023", _q("SUM(i.quantity)", _ITEMS, "o.channel", "o.ordered_at >= '2023-01-01' AND o.ordered_at < '2024-01-01'")),
    ("units sold in Poland", _q("SUM(i.quantity)", _ITEMS, "", "r.country = 'Poland'")),
    ("Which product has the highest units sold?", _q("SUM(i.quantity)", _ITEMS, "p.title", "p.title IS NOT NULL", " ORDER BY SUM(i.quantity) DESC LIMIT 1")),
    ("units sold by year and channel", _q("SUM(i.quantity)", _ITEMS, f"{_YEAR}, o.channel")),
    ("What is the order count?", _q("COUNT(*)", _ORDERS)),
    ("number of orders", _q("COUNT(*)", _ORDERS)),
    ("number of orders by region", _q("COUNT(*)", _ORDERS, "r.name")),
    ("order count by channel", _q("COUNT(*)", _ORDERS, "o.channel")),
    ("order count per segment", _q("COUNT(*)", _ORDERS, "c.segment")),
    ("order count by year", _q("COUNT(*)", _ORDERS, _YEAR)),
    ("order count by month in 2024", _q("COUNT(*)", _ORDERS, _MONTH, "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2025-01-01'")),
    ("order count in the West", _q("COUNT(*)", _ORDERS, "", "r.name = 'West'")),
    ("order count of the web channel", _q("COUNT(*)", _ORDERS, "", "o.channel = 'web'")),
    ("Which country has the highest order count?", _q("COUNT(*)", _ORDERS, "r.country", "r.country IS NOT NULL", " ORDER BY COUNT(*) DESC LIMIT 1")),
    ("order count between March 2023 and May 2023", _q("COUNT(*)", _ORDERS, "", "o.ordered_at >= '2023-03-01' AND o.ordered_at < '2023-06-01'")),
    ("order count by region and segment", _q("COUNT(*)", _ORDERS, "r.name, c.segment")),
    ("active customers", _q("COUNT(DISTINCT o.customer_id)", _ORDERS)),
    ("How many active customers are there?", _q("COUNT(DISTINCT o.customer_id)", _ORDERS)),
    ("active customers by region", _q("COUNT(DISTINCT o.customer_id)", _ORDERS, "r.name")),
    ("active customers by segment in 2024", _q("COUNT(DISTINCT o.customer_id)", _ORDERS, "c.segment", "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2025-01-01'")),
    ("buyers by channel", _q("COUNT(DISTINCT o.customer_id)", _ORDERS, "o.channel")),
    ("buyers per year", _q("COUNT(DISTINCT o.customer_id)", _ORDERS, _YEAR)),
    ("Which segment has the highest number of buyers?", _q("COUNT(DISTINCT o.customer_id)", _ORDERS, "c.segment", "c.segment IS NOT NULL", " ORDER BY COUNT(DISTINCT o.customer_id) DESC LIMIT 1")),
    ("active customers in Portugal", _q("COUNT(DISTINCT o.customer_id)", _ORDERS, "", "r.country = 'Portugal'")),
    ("What is the cancellation rate?", _q(_RATE, _ALL_ORDERS)),
    ("cancellation rate by channel", _q(_RATE, _ALL_ORDERS, "o.channel")),
    ("cancellation rate by region", _q(_RATE, _ALL_ORDERS, "r.name")),
    ("cancellation rate in 2023", _q(_RATE, _ALL_ORDERS, "", "o.ordered_at >= '2023-01-01' AND o.ordered_at < '2024-01-01'")),
    ("Which channel has the highest cancellation rate?", _q(_RATE, _ALL_ORDERS, "o.channel", "o.channel IS NOT NULL", f" ORDER BY {_RATE} DESC LIMIT 1")),
    ("cancellation rate by segment and year", _q(_RATE, _ALL_ORDERS, f"c.segment, {_YEAR}")),
    ("cancellation rate of the phone channel", _q(_RATE, _ALL_ORDERS, "", "o.channel = 'phone'")),
    ("What is the refund total?", _q("SUM(f.amount)", _REFUNDS)),
    ("refund total by region", _q("SUM(f.amount)", _REFUNDS, "r.name")),
    ("refunds by channel", _q("SUM(f.amount)", _REFUNDS, "o.channel")),
    ("refund total in 2024", _q("SUM(f.amount)", _REFUNDS, "", "f.refunded_on >= '2024-01-01' AND f.refunded_on < '2025-01-01'")),
    ("refund total by year", _q("SUM(f.amount)", _REFUNDS, "EXTRACT(YEAR FROM f.refunded_on)")),
    ("refund total of the public segment", _q("SUM(f.amount)", _REFUNDS, "", "c.segment = 'public'")),
    ("Which country has the highest refund total?", _q("SUM(f.amount)", _REFUNDS, "r.country", "r.country IS NOT NULL", " ORDER BY SUM(f.amount) DESC LIMIT 1")),
    ("What is the refund rate?", _both(_q("SUM(f.amount)", _REFUNDS), _q(_REVENUE, _ITEMS), "")),
    ("refund rate by region", _both(_q("SUM(f.amount)", _REFUNDS, "r.name"), _q(_REVENUE, _ITEMS, "r.name"), "k")),
    ("refund rate by channel", _both(_q("SUM(f.amount)", _REFUNDS, "o.channel"), _q(_REVENUE, _ITEMS, "o.channel"), "k")),
    ("refund rate per segment", _both(_q("SUM(f.amount)", _REFUNDS, "c.segment"), _q(_REVENUE, _ITEMS, "c.segment"), "k")),
    ("refund rate by year", _both(_q("SUM(f.amount)", _REFUNDS, "EXTRACT(YEAR FROM f.refunded_on)"), _q(_REVENUE, _ITEMS, _YEAR), "k")),
    ("refund rate in the North", _both(_q("SUM(f.amount)", _REFUNDS, "", "r.name = 'North'"), _q(_REVENUE, _ITEMS, "", "r.name = 'North'"), "")),
    ("refund rate in 2023", _both(_q("SUM(f.amount)", _REFUNDS, "", "f.refunded_on >= '2023-01-01' AND f.refunded_on < '2024-01-01'"), _q(_REVENUE, _ITEMS, "", "o.ordered_at >= '2023-01-01' AND o.ordered_at < '2024-01-01'"), "")),
    ("What is the average order value?", _both(_q(_REVENUE, _ITEMS), _q("COUNT(*)", _ORDERS), "")),
    ("average order value by region", _both(_q(_REVENUE, _ITEMS, "r.name"), _q("COUNT(*)", _ORDERS, "r.name"), "k")),
    ("AOV by channel", _both(_q(_REVENUE, _ITEMS, "o.channel"), _q("COUNT(*)", _ORDERS, "o.channel"), "k")),
    ("average order value per segment", _both(_q(_REVENUE, _ITEMS, "c.segment"), _q("COUNT(*)", _ORDERS, "c.segment"), "k")),
    ("average order value in 2024", _both(_q(_REVENUE, _ITEMS, "", "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2025-01-01'"), _q("COUNT(*)", _ORDERS, "", "o.ordered_at >= '2024-01-01' AND o.ordered_at < '2025-01-01'"), "")),
    ("average order value by year", _both(_q(_REVENUE, _ITEMS, _YEAR), _q("COUNT(*)", _ORDERS, _YEAR), "k")),
    ("basket value in Italy", _both(_q(_REVENUE, _ITEMS, "", "r.country = 'Italy'"), _q("COUNT(*)", _ORDERS, "", "r.country = 'Italy'"), "")),
    ("What is the visitor count?", "SELECT SUM(visitors) FROM visits"),
    ("visitor count by channel", "SELECT channel, SUM(visitors) FROM visits GROUP BY channel"),
    ("footfall in 2024", "SELECT SUM(visitors) FROM visits WHERE day >= '2024-01-01' AND day < '2025-01-01'"),
    ("visitor count of the web channel", "SELECT SUM(visitors) FROM visits WHERE channel = 'web'"),
    ("visitor count by year", "SELECT EXTRACT(YEAR FROM day), SUM(visitors) FROM visits GROUP BY 1"),
    ("revenue and order count by region", f"SELECT {_KEY}, a.v, b.v FROM ({_q(_REVENUE, _ITEMS, 'r.name')}) AS a(k, v) FULL JOIN ({_q('COUNT(*)', _ORDERS, 'r.name')}) AS b(k, v) ON {_SAME}"),
    ("revenue and gross margin by category", _q(f"{_REVENUE}, {_MARGIN}", _ITEMS, "p.category")),
    ("revenue, units sold and profit by channel", _q(f"{_REVENUE}, SUM(i.quantity), {_MARGIN}", _ITEMS, "o.channel")),
    ("revenue and refunds by segment", f"SELECT {_KEY}, a.v, b.v FROM ({_q(_REVENUE, _ITEMS, 'c.segment')}) AS a(k, v) FULL JOIN ({_q('SUM(f.amount)', _REFUNDS, 'c.segment')}) AS b(k, v) ON {_SAME}"),
    ("visitor count and order count by year", f"SELECT {_KEY}, a.v, b.v FROM (SELECT EXTRACT(YEAR FROM day), SUM(visitors) FROM visits GROUP BY 1) AS a(k, v) FULL JOIN ({_q('COUNT(*)', _ORDERS, _YEAR)}) AS b(k, v) ON {_SAME}"),
    ("revenue of toys and games by region", _q(_REVENUE, _ITEMS, "r.name", "p.category IN ('toys', 'games')")),
    ("revenue by category without toys", _q(_REVENUE, _ITEMS, "p.category", "p.category <> 'toys'")),
)  # fmt: skip
