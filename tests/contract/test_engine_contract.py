"""One suite over every engine: what a database is, how it was reached, must make no difference."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sqlite3
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from rsql_magic.context import Catalog
from rsql_magic.databases import engines, open_engine
from rsql_magic.errors import QueryFailed, QueryRejected, Stopped
from rsql_magic.sql import ddl
from rsql_magic.sql.catalog import quoted, quoted_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.databases import Engine

KINDS = ["duckdb file", "duckdb connection", "frames", "sqlite file", "sqlite connection", "postgresql", "mariadb"]
ORDERS = 60
FOREVER = "SELECT count(*) FROM orders a, orders b, orders c, orders d, orders e, orders f, orders g, orders h"


@dataclass
class Shop:
    """A small shop in some database.

    Args:
        kind: One of `KINDS`.
        target: What `open_engine` takes.
        execute: Runs a statement as its owner; None where there is none, as with frames.
        keys: Whether the database knows keys, views and comments.
    """

    kind: str
    target: Any
    execute: Callable[[str], Any] | None
    keys: bool = True


def statements(dialect: str) -> Iterator[str]:
    """The shop's tables and rows."""
    time_type = "DATETIME" if dialect == "mysql" else "TIMESTAMP"
    mark = "`" if dialect == "mysql" else '"'
    engine = " ENGINE=InnoDB" if dialect == "mysql" else ""
    yield f"CREATE TABLE customers (id INTEGER PRIMARY KEY, region VARCHAR(10) NOT NULL, email VARCHAR(50)){engine}"
    yield (
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, amount DECIMAL(10, 2), "
        f"placed {time_type}, day DATE, items BIGINT, note VARCHAR(40), "
        f"FOREIGN KEY (customer_id) REFERENCES customers (id)){engine}"
    )
    odd = ["Unit Price", "select", "größe ☃"]
    yield f"CREATE TABLE {mark}Order Details{mark} ({', '.join(f'{mark}{name}{mark} INTEGER' for name in odd)})"
    yield f"INSERT INTO {mark}Order Details{mark} VALUES (1, 2, 3)"
    yield "INSERT INTO customers VALUES " + ", ".join(
        f"({i}, '{region(i)}', 'p{i % 2}@shop.example')" for i in range(1, 13)
    )
    yield "INSERT INTO orders VALUES " + ", ".join(order(i) for i in range(1, ORDERS + 1))
    yield "CREATE VIEW large_orders AS SELECT * FROM orders WHERE amount > 50"


def region(i: int) -> str:
    return "rare" if i == 1 else "north" if i % 2 else "south"


def order(i: int) -> str:
    items = "NULL" if i == 3 else 9_007_199_254_740_993 if i == 1 else i
    return f"({i}, {1 + i % 12}, {i}.10, '2024-01-01 10:{i % 60:02}:00', '2024-02-{1 + i % 28:02}', {items}, NULL)"


def frames() -> dict[str, Any]:
    import pandas as pd

    connection = sqlite3.connect(":memory:")
    with closing(connection):
        for statement in statements("sqlite"):
            connection.execute(statement)
        names = ["customers", "orders", "Order Details"]
        found = {name: pd.read_sql_query(f'SELECT * FROM "{name}"', connection) for name in names}
    orders = found["orders"]
    orders["placed"] = pd.to_datetime(orders["placed"])
    orders["day"] = pd.to_datetime(orders["day"])
    orders["amount"] = [Decimal(f"{value:.2f}") for value in orders["amount"]]
    items = [9_007_199_254_740_993 if i == 1 else None if i == 3 else i for i in range(1, ORDERS + 1)]
    orders["items"] = pd.array(items, dtype="Int64")
    return found


@contextmanager
def duckdb_shop(kind: str, folder: Any) -> Iterator[Shop]:
    import duckdb

    path = str(folder / "shop.duckdb")

    def execute(sql: str) -> None:
        with closing(duckdb.connect(path)) as writer:
            writer.execute(sql)

    for statement in statements("duckdb"):
        execute(statement)
    if kind == "duckdb file":
        yield Shop(kind, path, execute)
        return
    with closing(duckdb.connect(path)) as connection:
        yield Shop(kind, connection, connection.execute)


@contextmanager
def sqlite_shop(kind: str, folder: Any) -> Iterator[Shop]:
    path = str(folder / "shop.sqlite")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements("sqlite"):
            connection.execute(statement)
        yield Shop(kind, path if kind == "sqlite file" else connection, connection.execute)


@contextmanager
def server_shop(kind: str, url: str) -> Iterator[Shop]:
    import sqlalchemy as sa

    driver = url.replace("postgresql://", "postgresql+psycopg://")
    owner = sa.create_engine(driver, isolation_level="AUTOCOMMIT", execution_options={"no_parameters": True})

    def execute(sql: str) -> None:
        with owner.connect() as connection:
            connection.exec_driver_sql(sql)

    for statement in statements("mysql" if kind == "mariadb" else "postgres"):
        execute(statement)
    yield Shop(kind, url, execute)
    owner.dispose()


@pytest.fixture(scope="module", params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    kind = request.param
    folder = tmp_path_factory.mktemp(kind.replace(" ", "-"))
    if kind == "frames":
        yield Shop(kind, frames(), None, keys=False)
    elif kind.startswith("duckdb"):
        with duckdb_shop(kind, folder) as made:
            yield made
    elif kind.startswith("sqlite"):
        with sqlite_shop(kind, folder) as made:
            yield made
    elif kind == "postgresql":
        with server_shop(kind, request.getfixturevalue("postgresql").url + "/postgres") as made:
            yield made
    else:
        server = request.getfixturevalue("mariadb")
        import pymysql

        with closing(
            pymysql.connect(host="127.0.0.1", port=server.port, user="admin", password="s3cret-pa55")
        ) as first:
            first.cursor().execute("CREATE DATABASE shop")
        with server_shop(kind, server.url + "/shop") as made:
            yield made


@pytest.fixture(scope="module")
def engine(shop: Shop) -> Iterator[Engine]:
    with closing(open_engine(shop.target)) as opened:
        yield opened


# The catalog


def test_the_catalog_has_every_table_with_its_columns(shop, engine):
    catalog = engine.catalog()
    expected = {"customers", "orders", "Order Details"} | ({"large_orders"} if shop.keys else set())
    assert {table.name for table in catalog if not table.schema} == expected  # other tests may use the same server
    assert [column.name for column in catalog["Order Details"].columns] == ["Unit Price", "select", "größe ☃"]
    assert all(column.type for column in catalog["orders"].columns)
    assert catalog["orders"].rows == ORDERS
    assert catalog.dialect == engine.dialect


def test_the_catalog_has_keys_and_kinds(shop, engine):
    catalog = engine.catalog()
    if not shop.keys:
        assert catalog["orders"].kind == "frame"
        return
    assert catalog["orders"].primary_key == ("id",)
    [key] = catalog["orders"].foreign_keys
    assert (key.columns, key.table, key.referred, key.inferred) == (("customer_id",), "customers", ("id",), False)
    assert catalog["large_orders"].kind == "view"
    assert not catalog["customers"].column("region").nullable


def test_profiles_have_ranges_and_only_frequent_harmless_categories(engine):
    customers, orders = engine.catalog()["customers"], engine.catalog()["orders"]
    assert set(customers.column("region").profile.values) == {"north", "south"}
    assert not customers.column("region").profile.complete
    assert customers.column("email").profile.values == ()
    assert orders.column("note").profile.nulls == 1
    assert (orders.column("id").profile.low, orders.column("id").profile.high) == ("1", str(ORDERS))
    day = orders.column("day").profile
    assert (day.low, day.high) == ("2024-02-01", "2024-02-28")


def test_the_names_level_looks_at_no_value(engine):
    catalog = engine.catalog("names")
    assert all(column.profile is None for table in catalog for column in table.columns)
    assert "2024" not in "".join(ddl(table, "names") for table in engine.catalog("stats"))


@pytest.mark.slow
def test_the_catalog_is_kept_until_a_table_changes(shop, engine, monkeypatch):
    monkeypatch.setattr(engines, "SLOW_PROBE", 60.0)  # however busy this machine is
    first = engine.catalog()
    assert engine.catalog() is first
    engine.refresh()
    assert engine.catalog() is not first
    if shop.execute is None:
        return
    shop.execute("CREATE TABLE later (a INTEGER)")
    try:
        assert "later" in engine.catalog()
        shop.execute("ALTER TABLE later ADD COLUMN b INTEGER")
        assert engine.catalog()["later"].column("b")
        shop.execute("ALTER TABLE later RENAME COLUMN b TO c")
        assert engine.catalog()["later"].column("c")
    finally:
        shop.execute("DROP TABLE later")
    assert "later" not in engine.catalog()


def test_detail_profiles_what_the_catalog_did_not(engine):
    plain = engine.catalog("names")["orders"]
    [detailed] = engine.detail([plain])
    assert detailed.column("id").profile.high == str(ORDERS)
    assert engine.detail([detailed]) == [detailed]


def test_the_form_of_dates_that_are_kept_as_text_is_told(shop, engine):
    if shop.execute is None:
        return
    shop.execute("CREATE TABLE dated (day VARCHAR(20), code VARCHAR(20))")
    try:
        rows = ", ".join(f"('{1 + n % 28:02}.{1 + n % 12:02}.{1900 + n}', 'N{n}')" for n in range(300))
        shop.execute(f"INSERT INTO dated VALUES {rows}")
        for _ in range(2):
            engine.refresh()
            dated = engine.catalog()["dated"]
            assert [column.profile.form for column in dated.columns] == ["%d.%m.%Y", ""]
            assert "as text" not in ddl(engine.catalog("names")["dated"])
            if "postgres" in shop.kind:  # whose own statistics are read from then on
                shop.execute("ANALYZE dated")
    finally:
        shop.execute("DROP TABLE dated")
        engine.refresh()


def test_from_connection_reads_the_same(shop, engine):
    catalog = Catalog.from_connection(shop.target)
    assert {t.full_name for t in catalog} == {t.full_name for t in engine.catalog()}


# Running


def test_a_query_gives_a_frame_with_types_kept(engine):
    df = engine.run("SELECT id, amount, placed, items, note FROM orders ORDER BY id").df
    assert len(df) == ORDERS
    assert str(df["id"].dtype).lower().startswith("int")
    assert str(df["items"].dtype) == "Int64"
    assert df["items"][0] == 9_007_199_254_740_993
    assert df["items"].isna().sum() == 1
    assert df["note"].isna().all()


def test_decimals_and_times_are_exact(shop, engine):
    df = engine.run("SELECT amount, placed, day FROM orders WHERE id = 7").df
    if shop.kind.startswith("sqlite"):
        assert df["amount"].tolist() == [7.1]  # SQLite has no decimals: it stores a float
        assert df["placed"].tolist() == ["2024-01-01 10:07:00"]
        return
    assert df["amount"].tolist() == [Decimal("7.10")]
    assert df["placed"].tolist() == [dt.datetime.fromisoformat("2024-01-01 10:07:00")]
    assert df["day"].tolist() == [dt.datetime.fromisoformat("2024-02-08")]


def test_a_cut_result_says_how_many_there_are(engine):
    rows = engine.run("SELECT * FROM orders ORDER BY id", max_rows=10)
    assert (len(rows.df), rows.total, rows.truncated) == (10, ORDERS, True)
    assert rows.count == "first 10 of 60"
    assert rows.df["id"].tolist() == list(range(1, 11))
    whole = engine.run("SELECT * FROM orders", max_rows=ORDERS)
    assert (len(whole.df), whole.total, whole.truncated) == (ORDERS, ORDERS, False)


def test_a_limit_of_the_query_counts(engine):
    rows = engine.run("SELECT id FROM orders ORDER BY id LIMIT 30", max_rows=10)
    assert (len(rows.df), rows.total) == (10, 30)


def test_no_rows_still_have_columns(engine):
    rows = engine.run("SELECT id, note FROM orders WHERE id < 0")
    assert list(rows.df.columns) == ["id", "note"]
    assert (len(rows.df), rows.total, rows.truncated) == (0, 0, False)


def test_columns_of_the_same_name_are_told_apart(engine):
    rows = engine.run("SELECT o.id, c.id, o.* FROM orders o JOIN customers c ON c.id = o.customer_id", max_rows=5)
    assert list(rows.df.columns)[:3] == ["id", "id_2", "id_3"]
    assert rows.total == ORDERS


def test_percent_signs_and_odd_names_are_passed_on(engine):
    assert engine.run("SELECT count(*) AS n FROM customers WHERE region LIKE '%th'").df["n"].tolist() == [11]
    table = engine.catalog()["Order Details"]
    names = ", ".join(quoted(column.name, engine.dialect) for column in table.columns)
    rows = engine.run(f"SELECT {names} FROM {quoted_name(table, engine.dialect)}")
    assert rows.df.to_numpy().tolist() == [[1, 2, 3]]
    assert list(rows.df.columns) == ["Unit Price", "select", "größe ☃"]


# Bounds, which must hold without the guard, that refuses most of these before


@pytest.fixture
def unguarded(engine, monkeypatch):
    """The engine behind an open door."""
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    monkeypatch.setattr(type(engine._database), "verify", lambda *_: None)
    return engine


@contextmanager
def after(seconds: float, act: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """Do something from another thread while the block runs."""
    timer = threading.Timer(seconds, act, arguments)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 0.001])
def test_a_query_that_never_ends_is_stopped(unguarded, seconds):
    """Also when its time is over before it has begun."""
    engine = unguarded
    with pytest.raises(QueryFailed, match=f"stopped after {seconds:g} s"):
        engine.run(FOREVER, timeout=seconds)
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]


@pytest.mark.slow
def test_interrupt_stops_a_query_from_another_thread(unguarded):
    engine = unguarded
    engine.catalog()
    with after(0.3, engine.interrupt), pytest.raises(Stopped):
        engine.run(FOREVER, timeout=30)
    engine.interrupt()  # nothing runs: nothing happens
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]


@pytest.mark.slow
def test_a_cancel_that_fails_is_tried_again_and_is_nobodys_error(unguarded, monkeypatch):
    """As where the connection ends in the moment it is stopped, or the server takes no other one to stop it by."""
    engine, cancel, failed = unguarded, unguarded._database.cancel, []

    def failing():
        if not failed:
            failed.append(True)
            raise OSError("Unknown thread id: 60")
        cancel()

    monkeypatch.setattr(engine._database, "cancel", failing)
    with after(0.3, engine.interrupt), pytest.raises(Stopped):
        engine.run(FOREVER, timeout=30)
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]


def test_an_interrupt_before_the_query_has_begun_is_not_lost(unguarded, monkeypatch):
    engine = unguarded
    checked = engine._guarded  # what is done with a query before the database has it

    def interrupted(sql):
        engine.interrupt()
        return checked(sql)

    monkeypatch.setattr(engine, "_guarded", interrupted)
    with pytest.raises(Stopped):
        engine.run("SELECT 1 AS one")
    monkeypatch.undo()
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]


@pytest.mark.slow
def test_ctrl_c_stops_the_query_in_the_database_too(shop, unguarded):
    engine = unguarded
    engine.catalog()
    with after(0.3, os.kill, os.getpid(), signal.SIGINT), pytest.raises(KeyboardInterrupt) as stopped:
        engine.run(FOREVER, timeout=30)
    assert not isinstance(stopped.value, Stopped)
    assert engine.run("SELECT 1 AS one").df["one"].tolist() == [1]
    if shop.kind == "postgresql":
        active = "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%orders a%'"
        with closing(_admin(shop)) as admin:
            assert admin.execute(active).fetchone() == (1,)  # this question itself


def _admin(shop: Shop) -> Any:
    import psycopg

    return psycopg.connect(shop.target)


def test_a_result_that_fills_memory_is_cut_and_says_so(unguarded, monkeypatch):
    engine = unguarded
    monkeypatch.setattr(engine, "memory_cap", 100_000)
    many = "SELECT a.id, b.note FROM orders a, orders b, orders c"
    rows = engine.run(many, max_rows=1_000_000)
    assert rows.truncated
    assert rows.note
    assert 0 < len(rows.df) < 60**3
    assert rows.total == 60**3


@pytest.mark.slow
def test_a_huge_result_is_not_waited_for(unguarded, monkeypatch):
    monkeypatch.setattr(engines, "COUNT_SECONDS", 0.1)
    engine = unguarded
    huge = "SELECT a.id FROM orders a, orders b, orders c, orders d, orders e, orders f, orders g, orders h"
    rows = engine.run(huge, max_rows=5, timeout=60)  # to count them all would take years
    assert (len(rows.df), rows.truncated) == (5, True)


# Read-only


WRITES = [
    "DELETE FROM orders",
    "UPDATE customers SET region = 'x'",
    "INSERT INTO customers VALUES (99, 'x', 'x')",
    "CREATE TABLE evil (a INTEGER)",
    "DROP TABLE orders",
]


@pytest.mark.parametrize("sql", WRITES)
def test_the_guard_refuses_to_write(engine, sql):
    with pytest.raises(QueryRejected):
        engine.run(sql)
    with pytest.raises(QueryRejected):
        engine.check(sql)


@pytest.mark.spine(cases=8)
@pytest.mark.parametrize("sql", WRITES)
def test_without_the_guard_the_database_itself_refuses(unguarded, sql):
    engine = unguarded
    with pytest.raises(QueryFailed):
        engine.run(sql)
    engine.refresh()
    assert engine.run("SELECT count(*) AS n FROM orders").df["n"].tolist() == [ORDERS]
    assert engine.run("SELECT count(*) AS n FROM customers WHERE region = 'x'").df["n"].tolist() == [0]
    assert "evil" not in engine.catalog()


# Errors


def test_an_error_of_the_engine_is_a_sentence(engine):
    with pytest.raises(QueryFailed) as failed:
        engine.run("SELECT nme FROM orders")
    assert "nme" in failed.value.message
    assert "LINE 1" not in str(failed.value)
    assert failed.value.sql == "SELECT nme FROM orders"
    assert "\n" not in str(failed.value)


def test_check_asks_the_engine_without_running(engine):
    assert engine.check("SELECT count(*) FROM orders") == []
    [problem] = engine.check("SELECT nme FROM orders")
    assert (problem.kind, "nme" in problem.message) == ("engine", True)


def test_a_plan_shows_the_tables_and_estimates_without_running(shop, engine):
    plan = engine.plan(
        "SELECT c.region, count(*) FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY c.region"
    )
    assert plan.text.count("\n") >= 1
    if not shop.kind.startswith("sqlite"):
        assert plan.work >= 12
    with pytest.raises(QueryRejected):
        engine.plan("DELETE FROM orders")


def test_the_time_zone_of_the_session_is_known(engine):
    assert engine.time_zone


def test_a_dictionary_describes_the_tables(engine):
    from rsql_magic.knowledge import Dictionary

    written = {"tables": {"orders": {"description": "One row per order.", "columns": {"amount": {"unit": "EUR"}}}}}
    engine.dictionary = Dictionary.of(written)
    try:
        assert engine.catalog()["orders"].description == "One row per order."
        assert engine.catalog()["orders"].column("amount").unit == "EUR"
    finally:
        engine.dictionary = None
    assert engine.catalog()["orders"].description == ""


def test_no_password_is_shown(shop, engine):
    for text in (engine.name, repr(engine), repr(engine.catalog()), repr(engine.run("SELECT 1 AS one"))):
        assert "s3cret" not in text
