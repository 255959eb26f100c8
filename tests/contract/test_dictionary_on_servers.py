"""%rsql dictionary init and check say the same on PostgreSQL, MariaDB and SQLite as they do on DuckDB."""

# ruff: noqa: E501 - rows and assertions a line

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import sqlalchemy as sa

from rsql_magic.databases import check_dictionary, draft_dictionary, open_engine
from rsql_magic.knowledge import Dictionary

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(80), country VARCHAR(8) NOT NULL)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, amount DECIMAL(10, 2), status VARCHAR(20),"
    " code VARCHAR(20), placed TIMESTAMP NULL, shipped_on DATE, rush BOOLEAN, grade INTEGER,"
    " FOREIGN KEY (customer) REFERENCES customers (id))",
    "CREATE TABLE notes (about INTEGER, body VARCHAR(80))",
)
CUSTOMERS = [(n, f"p{n}@example.org", ("NO", "SE", "DK")[n % 3]) for n in range(1, 41)]
ORDERS = [
    (n, 1 + n % 40, n * 1.5, ("new", "paid", "New")[n % 3], f"c{n}", f"2024-01-{1 + n % 28:02} 10:00:00",
     f"2024-02-{1 + n % 28:02}", n % 2 == 0, 1 + n % 4)
    for n in range(1, 201)
]  # fmt: skip
ODD = [
    (900, None, 3, None, "C1", None, None, None, 9),
    (901, 1, 0, "paid", None, "2030-01-01 00:00:00", "2020-01-01", True, 1),
]
NOTES = [(1, "fine"), (77, "gone"), (None, "of none")]

WRITTEN = """$version: 0.1.0
$learn_more: https://data-dict.tidyverse.org/
tables:
  - name: orders
    constraints:
      - assert: amount > 10
        description: No order is below ten.
      - assert: amount <= 1.5 * AVG(amount)
      - assert: COUNT(status) = ROW_COUNT()
      - assert: LENGTH(code) >= 2 AND STARTS_WITH(code, 'c')
      - assert: placed < shipped_on
      - assert: status IN ('new', 'paid', 'New') OR status IS NULL
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
      - {name: customer, type: number(id), constraints: [foreign_key, required], examples: [1]}
      - {name: amount, type: number(quantity), examples: [1]}
      - {name: status, type: enum, values: [new, paid]}
      - {name: code, type: string, constraints: [unique], examples: [a]}
      - {name: placed, type: datetime, time_zone: naive, range: [-.inf, .inf]}
      - {name: custmer, type: number(id), constraints: [required], examples: [1]}
      - {name: shipped_on, type: date, range: [-.inf, .inf]}
      - {name: rush, type: boolean}
      - {name: grade, type: string, examples: [a]}
  - name: customer
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
  - name: customers
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
      - {name: country, type: enum, values: [NO, SE], display: restricted}
  - name: notes
    columns:
      - {name: about, type: number(id), constraints: [foreign_key], examples: [1]}
      - {name: body, type: string, examples: [a]}
relationships:
  - join: orders.customer = customers.id
    cardinality: many-to-one
  - join: notes.about = customers.id
    cardinality: many-to-one
"""


def fill(run: Any) -> None:
    """Make the tables and put the rows in; ``run`` takes a statement and rows."""
    for statement in TABLES:
        run(statement, [])
    for table, some in (("customers", CUSTOMERS), ("orders", [*ORDERS, *ODD]), ("notes", NOTES)):
        run(f"INSERT INTO {table} VALUES ({', '.join('?' * len(some[0]))})", some)


@contextlib.contextmanager
def server(name: str, request: pytest.FixtureRequest, path: Path) -> Iterator[Any]:
    """A connection with the tables, to a server or a file."""
    if name == "duckdb":
        with duckdb.connect() as connection:
            fill(lambda sql, some: connection.executemany(sql, some) if some else connection.execute(sql))
            yield connection
        return
    url = f"sqlite:///{path / 'shop.db'}"
    if name != "sqlite":
        base = request.getfixturevalue(name).url
        admin = f"{base}/postgres".replace("postgresql://", "postgresql+psycopg://") if name == "postgresql" else base
        made = sa.create_engine(admin, isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS described_shop")
            connection.exec_driver_sql("CREATE DATABASE described_shop")
            if name == "mariadb":  # whose account sees what other tests left on the server
                connection.exec_driver_sql("CREATE OR REPLACE USER describer IDENTIFIED BY 'described'")
                connection.exec_driver_sql("GRANT ALL ON described_shop.* TO describer")
                base = sa.make_url(base).set(username="describer", password="described")
                base = base.render_as_string(hide_password=False).rstrip("/")
        made.dispose()
        url = f"{base}/described_shop".replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    mark = "?" if name == "sqlite" else "%s"
    with engine.begin() as connection:
        fill(lambda sql, some: connection.exec_driver_sql(sql.replace("?", mark), some or None))
    yield engine
    engine.dispose()


# Each function and sign of the language, false of some rows and true of others.
ASSERTIONS = [
    "LENGTH(code) >= 4", "LOWER(status) = status", "UPPER(code) <> 'C7'", "TRIM(status) = 'paid'",
    "STARTS_WITH(code, 'c1')", "NOT STARTS_WITH(code, 'C')", "ENDS_WITH(code, '7')", "ENDS_WITH(status, 'ew')",
    "ABS(amount - 100) > 50", "FLOOR(amount) = amount", "CEIL(amount / 2) > 10", "ROUND(amount / 7) > 3",
    "ROUND(amount / 7, 1) > 3.1", "MOD(id, 7) > 0", "MOD(0 - id, 7) > 2", "IS_FINITE(amount)", "NOT IS_INFINITE(amount)",
    "NOT IS_NAN(amount)", "IS_NAN(amount)", "id / 2 > 99.6", "amount > MIN(amount)", "amount < MAX(amount)",
    "amount <= SUM(amount) / 150", "COUNT(status) > 300", "COUNT_DISTINCT(status) = 3", "COUNT_DISTINCT(status) = 2",
    "ROW_COUNT() = 5", "ANY(amount > 1000)", "ALL(amount > 1)", "ANY(amount > 10)", "status LIKE 'n%'", "status LIKE '%E%'",
    "code LIKE 'c_'", "code NOT LIKE 'c_'", "status LIKE '[pn]%'", "status IN ('new', 'paid')", "status NOT IN ('NEW', 'paid')",
    "placed < '2024-01-15T00:00:00'", "shipped_on BETWEEN '2024-02-03' AND '2024-02-20'", "shipped_on > '2024-02-10'",
    "rush", "NOT rush", "status IS NOT NULL", "status = 'New' OR amount > 20", "CASE WHEN rush THEN amount > 50 ELSE TRUE END",
    "grade * 2 + 1 > 4", "-grade < -2", "status > 'm'", "code <> 'C1'",
    "code SIMILAR TO 'c[0-9]+'", "status NOT SIMILAR TO 'n.*'",
]  # fmt: skip
SERVERS = ["postgresql", "mariadb", "sqlite"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A notebook's folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["duckdb", *SERVERS])
def test_a_draft_fits_the_database_that_it_is_of(name, request, tmp_path):
    with server(name, request, tmp_path) as connection, open_engine(connection) as engine:
        for level in ("names", "stats", "sample"):
            path = draft_dictionary(f"{level}.yaml", engine, level)
            found = check_dictionary(str(path), engine)
            assert [each for each in found if each.error] == []
            notes = Dictionary.load(path)
            assert notes.tables["orders"].key == ("id",)
            assert [(each.left, each.right) for each in notes.relationships][:1] == [("orders", "customers")]
            assert notes.tables["customers"].by_name["email"].restricted
            types = {column.name: column.type.partition("(")[0] for column in notes.tables["orders"].columns}
            assert types["amount"] == types["grade"] == "number"
            assert types["code"] == "string"
            if name != "sqlite":
                assert (types["placed"], types["shipped_on"]) == ("datetime", "date")
            text = path.read_text(encoding="utf-8")
            assert "example.org" not in text
            assert ("paid" in text) == (level != "names")


def told(connection: Any, path: str) -> dict[tuple[str, str, int], str]:
    with open_engine(connection) as engine:
        return {(each.level, each.code, each.line): each.message for each in check_dictionary(path, engine)}


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_what_does_not_fit_is_told_at_three_levels_as_on_duckdb(name, request, tmp_path):
    Path("data-dict.yaml").write_text(WRITTEN, encoding="utf-8")
    with server("duckdb", request, tmp_path) as connection:
        wanted = told(connection, "data-dict.yaml")
    assert len(wanted) >= 14
    with server(name, request, tmp_path) as connection:
        got = told(connection, "data-dict.yaml")
    types = {key for key in wanted if key[1] == "M01"}  # the words for types are each database's own
    assert {key: text for key, text in got.items() if key not in types} == {
        key: text for key, text in wanted.items() if key not in types
    }
    assert types <= set(got)
    assert not [text for key, text in got.items() if key[1] == "D08"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_every_function_of_an_assertion_says_the_same(name, request, tmp_path):
    asserted = "".join(f'      - assert: "{each}"\n' for each in ASSERTIONS)
    text = WRITTEN.replace("    constraints:\n      - assert", f"    constraints:\n{asserted}      - assert", 1)
    Path("data-dict.yaml").write_text(text, encoding="utf-8")
    first = text.splitlines().index(f'      - assert: "{ASSERTIONS[0]}"') + 1
    with server("duckdb", request, tmp_path) as connection:
        wanted = told(connection, "data-dict.yaml")
    with server(name, request, tmp_path) as connection:
        got = told(connection, "data-dict.yaml")
    lines = {first + n: each for n, each in enumerate(ASSERTIONS) if name != "sqlite" or "SIMILAR" not in each}
    of = [{key[2]: said for key, said in some.items() if key[2] in lines} for some in (got, wanted)]
    assert len(of[1]) > 35
    assert not [said for said in of[1].values() if "not checked" in said]
    assert [(lines[n], of[0].get(n), of[1].get(n)) for n in lines if of[0].get(n) != of[1].get(n)] == []
