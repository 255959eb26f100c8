"""By what a metric may be told: dimensions and grain of its definition, and the joins that a draft wrote."""

# ruff: noqa: E501 - a query a line

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from rsql_magic.sql import Catalog, Definition, Definitions, by_definition, expand, findings, stated_definition
from rsql_magic.text2sql import DefinitionCheck
from tests import defined_shop
from tests.many_cases import check_each

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = Catalog.from_ddl(defined_shop.TABLES, "duckdb")
LINE = "data-dict.yaml, line 12"


def limited(**more: Any) -> Catalog:
    """The shop with limits for its revenue."""
    named = tuple(replace(one, **more) if one.name == "revenue" else one for one in defined_shop.DEFINITIONS.named)
    return replace(defined_shop.described(PLAIN), definitions=replace(defined_shop.DEFINITIONS, named=named))


DIMENSIONS = limited(dimensions=("regions.name", "orders.channel", "customers.region_id"))
MONTHS = limited(grain="month")

HOME = "order_items i JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id JOIN regions r ON r.id = c.region_id JOIN products p ON p.id = i.product_id"
COUNTS = "o.status IN (1, 2) AND NOT o.is_test"


def by_hand(key: str = "", where: str = "") -> str:
    """Revenue as a person writes it."""
    shown = f"{key}, " if key else ""
    more, by = (f" AND {where}" if where else ""), (f" GROUP BY {key}" if key else "")
    return f"SELECT {shown}SUM(i.quantity * i.unit_price) FROM {HOME} WHERE {COUNTS}{more}{by}"


def by_measure(key: str = "", where: str = "") -> str:
    """The same by its name."""
    shown = f"{key}, " if key else ""
    more, by = (f" WHERE {where}" if where else ""), (f" GROUP BY {key}" if key else "")
    return f"SELECT {shown}MEASURE(revenue) FROM {HOME}{more}{by}"


def said(sql: str, catalog: Catalog) -> str:
    """What a draft is told, by its name or by hand."""
    made = expand(sql, "duckdb", catalog)
    return made.problem or " ".join(one.message for one in findings(made.sql, "duckdb", catalog, "revenue").breaches)


ALLOWED_KEYS = [
    "",
    "r.name",
    "o.channel",
    "UPPER(o.channel)",
    "r.name, o.channel",
    "r.id",
    "c.region_id",
    "o.ordered_at",
    "EXTRACT(YEAR FROM o.ordered_at)",
    "CASE WHEN o.channel = 'web' THEN 1 ELSE 0 END",
]
OTHER_KEYS = [
    "c.segment",
    "r.country",
    "p.category",
    "p.title",
    "i.order_id",
    "c.id",
    "o.channel, c.segment",
    "UPPER(r.country)",
    "o.channel || p.category",
    "c.joined_on",
    "EXTRACT(YEAR FROM c.joined_on)",
    "CASE WHEN c.segment = 'web' THEN 1 ELSE 0 END",
]
ALLOWED_WHERE = [
    "",
    "r.name = 'North'",
    "o.channel IN ('web', 'shop')",
    "o.ordered_at >= '2024-02-03'",
    "NOT o.channel = 'web'",
    "(o.channel LIKE 'w%' OR r.name = 'North')",
    COUNTS,
]
OTHER_WHERE = [
    "c.segment = 'public'",
    "r.country IN ('Italy')",
    "p.category <> 'toys'",
    "i.quantity > 3",
    "(o.channel = 'web' OR c.segment = 'public')",
    "c.birth_year BETWEEN 1960 AND 1970",
    "o.status = 1",
]


@pytest.mark.slow
@pytest.mark.parametrize("write", [by_measure, by_hand])
def test_columns_that_are_no_dimensions_are_told_with_the_line(write):
    wrong = [write(key, where) for key in OTHER_KEYS for where in ALLOWED_WHERE]
    wrong += [write(key, where) for key in ALLOWED_KEYS for where in OTHER_WHERE]
    missed = [sql for sql in wrong if LINE not in said(sql, DIMENSIONS)]
    assert len(missed) <= len(wrong) // 100, missed[:3]
    assert (
        "revenue can be told by regions.name, orders.channel, customers.region_id and orders.ordered_at only"
        in said(write("c.segment"), DIMENSIONS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("write", [by_measure, by_hand])
def test_dimensions_are_no_false_alarms(write):
    right = [write(key, where) for key in ALLOWED_KEYS for where in ALLOWED_WHERE]
    alarms = [(sql, told) for sql in right if (told := said(sql, DIMENSIONS))]
    assert len(alarms) <= len(right) // 100, alarms[:3]


@pytest.mark.slow
def test_without_dimensions_every_column_that_is_reached_is_one():
    every = [by_measure(key) for key in (*ALLOWED_KEYS, *OTHER_KEYS)] + [by_hand(key) for key in OTHER_KEYS]
    assert [sql for sql in every if said(sql, limited())] == []


MONTHLY = [
    "EXTRACT(MONTH FROM {})",
    "EXTRACT(YEAR FROM {})",
    "DATE_TRUNC('month', {})",
    "DATE_TRUNC('quarter', {})",
    "YEAR({}) * 100 + MONTH({})",
    "STRFTIME({}, '%Y-%m')",
    "LAST_DAY(CAST({} AS DATE))",
    "YEAR({}) || '-' || QUARTER({})",
    "DATE_PART('year', {})",
    "fiscal_year({})",
]
DAILY = [
    "{}",
    "CAST({} AS DATE)",
    "DATE_TRUNC('day', {})",
    "DATE_TRUNC('week', {})",
    "EXTRACT(DAY FROM {})",
    "EXTRACT(DOW FROM {})",
    "STRFTIME({}, '%Y-%m-%d')",
    "DATE_PART('hour', {})",
    "HOUR({})",
    "DATE_TRUNC('hour', {})",
    "WEEK({})",
    "DAYOFYEAR({})",
]
MONTH_BOUNDS = [
    "{} >= '2024-01-01'",
    "{} >= '2024-03-01' AND {} < '2024-06-01'",
    "{} < DATE '2024-07-01'",
    "{} BETWEEN '2024-01-01' AND '2024-03-31'",
    "CAST({} AS DATE) <= '2024-02-29'",
    "{} > CURRENT_DATE - INTERVAL 1 YEAR",
    "YEAR({}) = 2024",
    "{} IS NOT NULL",
    "DATE_TRUNC('month', {}) = '2024-03-01'",
    "'2024-01-01' <= {}",
]
DAY_BOUNDS = [
    "{} >= '2024-01-15'",
    "{} < TIMESTAMP '2024-01-01 12:00:00'",
    "CAST({} AS DATE) = '2024-03-01'",
    "EXTRACT(DAY FROM {}) = 5",
    "{} BETWEEN '2024-03-05' AND '2024-03-31'",
    "DAYOFWEEK({}) IN (0, 6)",
    "'2024-01-02' <= {}",
]


@pytest.mark.parametrize(
    ("write", "time"), [(by_measure, "o.ordered_at"), (by_measure, "metric_time"), (by_hand, "o.ordered_at")]
)
def test_periods_shorter_than_the_grain_are_told(write, time):
    keys = [each.replace("{}", time) for each in DAILY if (each, time) != ("{}", "metric_time")]
    wrong = [write(key) for key in keys] + [write("", one.replace("{}", time)) for one in DAY_BOUNDS]
    missed = [sql for sql in wrong if f"month or longer periods only ({LINE})" not in said(sql, MONTHS)]
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "time"), [(by_measure, "o.ordered_at"), (by_measure, "metric_time"), (by_hand, "o.ordered_at")]
)
def test_periods_as_long_as_the_grain_are_no_false_alarms(write, time):
    right = [
        write(key.replace("{}", time), where.replace("{}", time)) for key in MONTHLY for where in ("", *MONTH_BOUNDS)
    ]
    assert [(sql, told) for sql in right if (told := said(sql, MONTHS))] == []


def test_other_times_than_the_metrics_have_no_grain():
    assert said(by_hand("c.joined_on"), MONTHS) == ""


@pytest.mark.slow
def test_the_time_of_a_metric_alone_goes_by_its_grain(shop):
    made = expand("SELECT metric_time, MEASURE(revenue) GROUP BY metric_time ORDER BY metric_time", "duckdb", MONTHS)
    hand = f"SELECT DATE_TRUNC('month', o.ordered_at), SUM(i.quantity * i.unit_price) FROM {HOME.replace(' JOIN', ' LEFT JOIN')} WHERE {COUNTS} GROUP BY 1"
    assert rows(shop, made.sql) == rows(shop, hand)
    assert made.notes[0] == "metric_time goes by month, as the definition has it."


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "mysql", "sqlite"])
def test_a_grain_is_written_or_refused_in_every_dialect(dialect):
    for grain in ("hour", "day", "week", "month", "quarter", "year"):
        made = expand("SELECT metric_time, MEASURE(revenue) GROUP BY metric_time", dialect, limited(grain=grain))
        assert (f"{grain} or longer" in made.problem) == (dialect == "sqlite" and grain in {"hour", "quarter"})


def test_metrics_of_metrics_keep_the_limits_of_their_parts_and_their_own():
    parts = limited(dimensions=("orders.channel",), grain="month")
    assert (
        "regions.name"
        in expand("SELECT r.name, MEASURE(refund_rate) FROM regions r GROUP BY 1", "duckdb", parts).problem
    )
    assert (
        "by day" in expand("SELECT CAST(metric_time AS DATE), MEASURE(refund_rate) GROUP BY 1", "duckdb", parts).problem
    )
    own = tuple(
        replace(o, dimensions=("channel",)) if o.name == "refund_rate" else o for o in defined_shop.DEFINITIONS.named
    )
    catalog = replace(defined_shop.described(PLAIN), definitions=replace(defined_shop.DEFINITIONS, named=own))
    assert (
        "refund_rate can be told by channel"
        in expand("SELECT r.name, MEASURE(refund_rate) FROM regions r GROUP BY 1", "duckdb", catalog).problem
    )
    assert not expand("SELECT o.channel, MEASURE(refund_rate) FROM orders o GROUP BY 1", "duckdb", catalog).problem


def test_a_derived_value_may_be_a_dimension():
    age = Definition("is_old", "derived", "birth_year < 1960", "customers", "duckdb")
    catalog = limited(dimensions=("customers.is_old",))
    catalog = replace(catalog, definitions=replace(catalog.definitions, named=(age, *catalog.definitions.named)))
    assert said(by_measure("c.is_old"), catalog) == ""
    assert said(by_hand("c.birth_year < 1960"), catalog) == ""
    assert "customers.birth_year" in said(by_hand("c.birth_year"), catalog)
    assert "customers.birth_year" in said(by_measure("c.birth_year"), catalog)


CONDITIONS = [
    ("amount > 5", ["5 < amount", "NOT amount <= 5", "(amount > 5)"]),
    ("amount BETWEEN 5 AND 9", ["amount >= 5 AND amount <= 9", "9 >= amount AND 5 <= amount"]),
    ("name NOT LIKE 'x%'", ["NOT name LIKE 'x%'", "NOT (name LIKE 'x%')"]),
    ("status NOT IN (3, 4)", ["status <> 3 AND status <> 4", "NOT status IN (4, 3)", "status != 4 AND 3 <> status"]),
    ("amount <> paid", ["paid <> amount", "NOT paid = amount"]),
    ("name IS NOT NULL", ["NOT name IS NULL"]),
]


@pytest.mark.parametrize(("condition", "others"), CONDITIONS)
def test_a_condition_is_the_same_however_it_is_written(condition, others):
    bare = Catalog.from_ddl("CREATE TABLE t (amount INT, paid INT, name TEXT, status INT)", "duckdb")
    metric = Definition("total", "metric", "SUM(amount)", "t", "duckdb", where=(condition,))
    catalog = replace(bare, definitions=Definitions((metric,)))
    for other in (condition, *others):
        for sql in (
            f"SELECT SUM(x.amount) FROM t x WHERE {other}",
            f"SELECT SUM(amount) FILTER (WHERE {other}) FROM t",
        ):
            found = findings(sql, "duckdb", catalog, "What is the total?")
            assert [one.name for one in found.computes] == ["total"], other
    wrong = findings(f"SELECT SUM(amount) FROM t WHERE NOT ({condition})", "duckdb", catalog, "What is the total?")
    assert wrong.computes == ()


def test_no_mend_goes_beyond_a_definition():
    forgotten = "SELECT c.segment, SUM(i.quantity * i.unit_price) FROM order_items i JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id GROUP BY 1"
    assert by_definition(forgotten, "duckdb", limited(), "revenue by segment") is not None
    assert by_definition(forgotten, "duckdb", DIMENSIONS, "revenue by segment") is None


def test_the_limits_are_told_to_the_model():
    line = stated_definition(
        next(one for one in limited(grain="month", dimensions=("a", "b")).definitions.metrics if one.name == "revenue")
    )
    assert "time orders.ordered_at by month or longer; by a, b only" in line


# Joins as a draft wrote them -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for statement in filter(str.strip, defined_shop.TABLES.split(";")):
            connection.execute(statement)
        defined_shop.fill(connection.executemany)
        yield connection


def rows(connection: Any, sql: str) -> Counter[tuple[str, ...]]:
    def text(value: Any) -> str:
        return f"{float(value):.6g}" if hasattr(value, "__float__") else str(value)[:10]

    return Counter(tuple(map(text, row)) for row in connection.execute(sql).fetchall())


CHAIN = (
    ("order_items i", ""),
    ("orders o", "o.id = i.order_id"),
    ("customers c", "c.id = o.customer_id"),
    ("regions r", "r.id = c.region_id"),
)
FIGURES = {
    "revenue": ("SUM(CASE WHEN {} THEN i.quantity * i.unit_price END)", COUNTS, 0),
    "order_count": ("COUNT(CASE WHEN {} THEN o.id END)", COUNTS, 1),
    "active_customers": ("COUNT(DISTINCT CASE WHEN {} THEN o.customer_id END)", COUNTS, 1),
}


def drafts(seed: int) -> tuple[str, str]:
    """A draft over a chain of tables and the same by hand."""
    chance = random.Random(seed)
    metric = chance.choice(list(FIGURES))
    figure, counts, first = FIGURES[metric]
    last = chance.randint(first + 1, 3)
    order, ends = [], [chance.randint(first, last)] * 2
    source = CHAIN[ends[0]][0]
    while ends[0] > first or ends[1] < last:
        up = ends[0] == first or (ends[1] < last and chance.random() < 0.5)
        ends[up] += 1 if up else -1
        at = ends[up]
        kind = chance.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN"])
        order.append(f"{kind} {CHAIN[at][0]} ON {CHAIN[at if up else at + 1][1]}")
    key = chance.choice([{1: "o.channel", 2: "c.segment", 3: "r.name"}[n] for n in range(max(first, 1), last + 1)])
    tree = " ".join([source, *order])
    draft = f"SELECT {key}, MEASURE({metric}) AS v FROM {tree} GROUP BY {key}"
    return draft, f"SELECT {key}, {figure.format(counts)} AS v FROM {tree} GROUP BY {key}"


@pytest.mark.slow
def test_rows_without_partner_are_kept_or_left_out_as_the_draft_says(shop):
    refused = []

    def check(seed: int) -> None:
        draft, hand = drafts(seed)
        made = expand(draft, "duckdb", defined_shop.described(PLAIN))
        if "Begin FROM with" in made.problem:
            refused.append(draft)
            return
        assert not made.problem
        got, wanted = rows(shop, made.sql), rows(shop, hand)
        if "RIGHT JOIN" not in made.sql:  # what the definition leaves out stands in WHERE, so no empty group is told
            got, wanted = (Counter({r: n for r, n in c.items() if r[-1] not in {"None", "0"}}) for c in (got, wanted))
        assert got == wanted, f"{draft} {made.sql}"

    check_each(check, ((seed,) for seed in range(300)))
    assert len(refused) < 80
    assert all("RIGHT JOIN" in draft for draft in refused)


# Periods as each database writes them ---------------------------------------------------------------------------------

SHORT = {
    "duckdb": ["CAST(placed AS DATE)", "DATE_TRUNC('day', placed)", "strftime(placed, '%Y-%m-%d')", "placed", "dayofyear(placed)", "time_bucket(INTERVAL '1 day', placed)", "date_part('day', placed)", "hour(placed)"],
    "sqlite": ["date(placed)", "strftime('%Y-%m-%d', placed)", "substr(placed, 1, 10)", "strftime('%d', placed)", "date(placed, '+1 day')", "datetime(placed)"],
    "postgres": ["placed::date", "date_trunc('week', placed)", "to_char(placed, 'YYYY-MM-DD')", "EXTRACT(DOW FROM placed)", "date_bin('1 day', placed, TIMESTAMP '2001-01-01')"],
    "mysql": ["DATE(placed)", "DATE_FORMAT(placed, '%Y-%m-%d')", "DAYOFMONTH(placed)", "TO_DAYS(placed)", "YEARWEEK(placed)", "LEFT(placed, 10)"],
    "tsql": ["CAST(placed AS DATE)", "FORMAT(placed, 'yyyy-MM-dd')", "DATEPART(day, placed)", "DATETRUNC(day, placed)"],
    "bigquery": ["DATE(placed)", "TIMESTAMP_TRUNC(placed, DAY)", "FORMAT_TIMESTAMP('%Y-%m-%d', placed)", "EXTRACT(DAYOFWEEK FROM placed)"],
    "snowflake": ["DATE_TRUNC('day', placed)", "TO_CHAR(placed, 'YYYY-MM-DD')", "placed::date"],
    "spark": ["date_trunc('day', placed)", "date_format(placed, 'yyyy-MM-dd')", "to_date(placed)"],
    "clickhouse": ["toDate(placed)", "toStartOfDay(placed)", "formatDateTime(placed, '%Y-%m-%d')"],
    "trino": ["date_trunc('day', placed)", "date_format(placed, '%Y-%m-%d')", "day_of_week(placed)"],
    "oracle": ["TRUNC(placed)", "TO_CHAR(placed, 'YYYY-MM-DD')", "TRUNC(placed, 'DD')"],
}  # fmt: skip
LONG = {
    "duckdb": ["DATE_TRUNC('month', placed)", "strftime(placed, '%Y-%m')", "year(placed)", "last_day(placed)", "time_bucket(INTERVAL '1 month', placed)"],
    "sqlite": ["strftime('%Y-%m', placed)", "date(placed, 'start of month')", "substr(placed, 1, 7)", "date(placed, 'start of year')"],
    "postgres": ["date_trunc('month', placed)", "to_char(placed, 'YYYY-MM')", "EXTRACT(QUARTER FROM placed)"],
    "mysql": ["DATE_FORMAT(placed, '%Y-%m')", "EXTRACT(YEAR_MONTH FROM placed)", "LAST_DAY(placed)"],
    "tsql": ["FORMAT(placed, 'yyyy-MM')", "DATETRUNC(month, placed)", "EOMONTH(placed)", "DATEFROMPARTS(YEAR(placed), MONTH(placed), 1)"],
    "bigquery": ["TIMESTAMP_TRUNC(placed, MONTH)", "FORMAT_TIMESTAMP('%Y-%m', placed)", "DATE_TRUNC(DATE(placed), MONTH)"],
    "snowflake": ["DATE_TRUNC('month', placed)", "TO_CHAR(placed, 'YYYY-MM')"],
    "spark": ["date_trunc('month', placed)", "date_format(placed, 'yyyy-MM')", "trunc(placed, 'MM')"],
    "clickhouse": ["toStartOfMonth(placed)", "formatDateTime(placed, '%Y-%m')", "toYYYYMM(placed)"],
    "trino": ["date_trunc('month', placed)", "date_format(placed, '%Y-%m')", "month(placed)"],
    "oracle": ["TRUNC(placed, 'MM')", "TO_CHAR(placed, 'YYYY-MM')"],
}  # fmt: skip


@pytest.mark.parametrize("dialect", SHORT)
def test_a_grain_is_minded_as_each_database_writes_periods(dialect):
    kind = "DATETIME" if dialect in {"tsql", "mysql"} else "TIMESTAMP"
    orders = Catalog.from_ddl(f"CREATE TABLE orders (id INTEGER, placed {kind})", dialect)
    metric = Definition("order_count", "metric", "COUNT(*)", "orders", time="placed", grain="month")
    orders = replace(orders, definitions=Definitions((metric,)))

    def told(period):
        sql = f"SELECT {period}, COUNT(*) FROM orders GROUP BY {period}"
        return [breach.message for breach in findings(sql, dialect, orders, "order count").breaches]

    assert [period for period in SHORT[dialect] if not any("month or longer" in text for text in told(period))] == []
    assert [(period, text) for period in LONG[dialect] if (text := told(period))] == []


# Metrics that one SELECT cannot compute -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "dialect", "said"),
    [
        ("SUM(SUM(amount)) OVER (ORDER BY day)", "sqlite", "computed over rows in an order"),
        ("LAG(SUM(amount)) OVER (ORDER BY day)", "duckdb", "computed over rows in an order"),
        ("SUM(amount) * day", "sqlite", "day stands outside"),
        ("MEDIAN(amount)", "sqlite", "has no median"),
        ("PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY amount)", "mysql", "has no median"),
        ("MEDIAN(amount)", "duckdb", ""),
        ("MEDIAN(amount)", "postgres", ""),
        ("ARG_MAX(amount, day)", "duckdb", ""),
        ("SUM(amount) / SUM(SUM(amount)) OVER ()", "duckdb", ""),
    ],
)
def test_a_metric_compiles_or_says_that_it_does_not(expression, dialect, said):
    orders = Catalog.from_ddl("CREATE TABLE orders (shop VARCHAR(9), amount INTEGER, day DATE)", dialect)
    metric = Definition("figure", "metric", expression, "orders", "duckdb")
    orders = replace(orders, definitions=Definitions((metric,)))
    made = expand("SELECT shop, MEASURE(figure) FROM orders GROUP BY shop", dialect, orders)
    assert (said in made.problem) if said else made.problem == ""


def test_a_running_total_is_not_said_to_be_its_figure():
    orders = Catalog.from_ddl("CREATE TABLE orders (amount INTEGER, day DATE)", "duckdb")
    orders = replace(orders, definitions=Definitions((Definition("sales", "metric", "SUM(amount)", "orders"),)))
    for window in ("OVER (ORDER BY day)", "OVER (ORDER BY day ROWS 6 PRECEDING)"):
        found = findings(f"SELECT day, SUM(amount) {window} FROM orders", "duckdb", orders, "running sum")
        assert found.computes == ()


def test_a_metric_that_cannot_be_compiled_is_said_where_it_is_asked_for():
    orders = Catalog.from_ddl("CREATE TABLE orders (amount INTEGER, day DATE)", "duckdb")
    running = Definition("running_sales", "metric", "SUM(SUM(amount)) OVER (ORDER BY day)", "orders", "duckdb")
    defined = Definitions(
        (running,), refused={"first_visits": "cannot be compiled: it follows what one entity does next"}
    )
    for question, name in (("running sales by day", "running_sales"), ("How many first visits?", "first_visits")):
        check = DefinitionCheck("duckdb", lambda: replace(orders, definitions=defined), question)
        sql = "SELECT day, SUM(amount) FROM orders GROUP BY day"
        assert check.problems(sql, sql, may_repair=True) == []
        assert any(name in note and "cannot be compiled" in note for note in check.said(sql))
