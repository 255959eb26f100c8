"""%rsql dictionary init and check: a draft is valid, and what does not fit is told with its line."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from rsql_magic.databases import check_dictionary, draft_dictionary, open_engine
from rsql_magic.errors import BadInput
from rsql_magic.knowledge import Dictionary

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR, country VARCHAR NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers (id), amount DECIMAL(10, 2),
  status VARCHAR, placed TIMESTAMP, "shipped on" DATE, rush BOOLEAN);
INSERT INTO customers SELECT i, 'p' || i || '@example.org', ['NO', 'SE', 'DK'][1 + i % 3] FROM range(1, 41) t (i);
INSERT INTO orders SELECT i, 1 + i % 40, i * 1.5, ['new', 'paid', 'on'][1 + i % 3],
  TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR, DATE '2024-02-01' + i::INTEGER, i % 2 = 0 FROM range(1, 201) t (i);
"""

WRITTEN = """$version: 0.1.0
$learn_more: https://data-dict.tidyverse.org/
tables:
  - name: orders
    constraints:
      - assert: amount > 10
        description: No order is below ten.
      - assert: amount <= 1.5 * AVG(amount)
      - assert: COUNT(status) = ROW_COUNT()
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
      - {name: customer, type: number(id), constraints: [foreign_key, required], examples: [1]}
      - {name: amount, type: string, constraints: [unique], examples: [a]}
      - {name: status, type: enum, values: [new, paid]}
      - {name: plced, type: datetime, time_zone: naive, range: [-.inf, .inf]}
      - {name: rush, type: boolean}
  - name: customer
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
  - name: customers
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
      - {name: country, type: enum, values: [NO, SE], display: restricted}
relationships:
  - join: orders.customer = customers.id
    cardinality: many-to-one
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """An open database in a notebook's folder."""
    monkeypatch.chdir(tmp_path)
    connection = duckdb.connect()
    connection.execute(SHOP)
    yield connection
    connection.close()


def reference(path) -> list[dict]:
    program = Path(sys.executable).with_name("data-dict")
    told = subprocess.run([program, "validate-spec", "--json", str(path)], capture_output=True, check=False).stdout
    return json.loads(told)["problems"]


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("level", ["names", "stats", "sample"])
def test_a_draft_is_valid_and_says_what_is_left_to_do(shop, level):
    with open_engine(shop) as engine:
        path = draft_dictionary("data-dict.yaml", engine, level)
        problems = reference(path)
        assert {problem["code"] for problem in problems} == {"S31"}
        found = check_dictionary(str(path), engine)
        assert [each for each in found if each.error] == []
        assert len([each for each in found if each.code == "S31"]) == len(problems)
    text = path.read_text(encoding="utf-8")
    notes = Dictionary.load(path)
    assert notes.tables["orders"].key == ("id",)
    assert [(each.left, each.right) for each in notes.relationships] == [("orders", "customers")]
    assert notes.tables["customers"].by_name["email"].restricted
    assert "example.org" not in text
    assert ("values: [" in text) == (level != "names")
    if level == "names":
        assert "range: [-.inf, .inf]" in text
        assert "paid" not in text
        assert "2024" not in text
    else:
        assert '"NO"' in text  # quoted: bare, it is no text for readers of YAML 1.1
        assert '"on"' in text


def test_a_file_that_is_there_is_not_written_over(shop):
    Path("data-dict.yaml").write_text("mine", encoding="utf-8")
    with open_engine(shop) as engine, pytest.raises(BadInput, match="is there already, and is not written over"):
        draft_dictionary("data-dict.yaml", engine, "stats")
    assert Path("data-dict.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.slow
def test_what_does_not_fit_is_told_at_three_levels(shop):
    Path("data-dict.yaml").write_text(WRITTEN, encoding="utf-8")
    with open_engine(shop) as engine:
        shop.execute("INSERT INTO orders VALUES (900, NULL, 3, NULL, NULL, NULL, NULL)")
        found = check_dictionary("data-dict.yaml", engine)
    assert {(each.code, each.line) for each in found if each.level == "spec"} == {("S21", 6), ("S21", 8)}
    Path("data-dict.yaml").write_text(
        WRITTEN.replace(
            "amount, type: string, constraints: [unique], examples: [a]", "amount, type: number, examples: [1]"
        ),
        encoding="utf-8",
    )
    with open_engine(shop) as engine:
        found = check_dictionary("data-dict.yaml", engine)
    told = {(each.level, each.code, each.line): each.message for each in found}
    assert told == {
        ("schema", "M02", 15): "orders.plced is not there; did you mean placed?",
        ("schema", "M03", 4): "orders: not described are placed, shipped on",
        ("schema", "M04", 17): "there is no table customer in the database; did you mean customers?",
        ("schema", "M03", 20): "customers: not described are email",
        ("data", "D01", 12): "orders.customer: 1 row without a value, which is required",
        ("data", "D04", 14): "orders.status: 67 rows with other values than those listed: 'on'",
        ("data", "D07", 6): "orders: 7 rows against No order is below ten.",
        ("data", "D07", 8): f"orders: {found_above(shop)} rows against amount <= 1.5 * AVG(amount)",
        ("data", "D07", 9): "orders: COUNT(status) = ROW_COUNT() does not hold",
        ("data", "D04", 23): "customers.country: 13 rows with other values than those listed",
    }


def test_what_a_metric_is_told_by_is_looked_for(shop):
    text = """tables:
  orders:
    derived: {late: amount > 5}
    metrics:
      takings: {expression: SUM(amount), time: placd, dimensions: [status, customers.country, late, customers.town, x]}
"""
    Path("dictionary.yaml").write_text(text, encoding="utf-8")
    with open_engine(shop) as engine:
        found = [each for each in check_dictionary("dictionary.yaml", engine) if each.error]
    assert [(each.code, each.line, each.message) for each in found] == [
        ("M02", 5, f"takings is told by {name}, which is not there") for name in ("placd", "customers.town", "x")
    ]


def found_above(connection) -> int:
    ((count,),) = connection.execute(
        "SELECT count(*) FROM orders WHERE amount > 1.5 * (SELECT avg(amount) FROM orders)"
    ).fetchall()
    return count


def test_types_keys_and_references_of_the_data():
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE a (id INTEGER, b INTEGER, at TEXT, ok INTEGER); CREATE TABLE b (id INTEGER, name TEXT);"
        "INSERT INTO a VALUES (1, 7, '2024-01-01', 1), (1, 8, NULL, 0), (2, NULL, NULL, 0);"
        "INSERT INTO b VALUES (7, 'x')"
    )
    text = """$version: 0.1.0
$learn_more: https://data-dict.tidyverse.org/
tables:
  - name: a
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1]}
      - {name: b, type: number(id), constraints: [foreign_key], examples: [7]}
      - {name: at, type: date, range: [2024-01-01, .inf]}
      - {name: ok, type: boolean}
  - name: b
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [7]}
      - {name: name, type: date, range: [-.inf, .inf]}
relationships: [{join: a.b = b.id, cardinality: many-to-one}]
"""
    path = Path("d.yaml")
    path.write_text(text, encoding="utf-8")
    with open_engine(connection) as engine:
        told = {(each.code, each.line): each.message for each in check_dictionary(str(path), engine) if each.error}
    assert told == {
        ("D02", 6): "a.id: 1 value more than once",
        ("D05", 14): "a.b: 1 row leading nowhere",
    }


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_time_and_failures_are_told_and_nothing_passes_by_them(shop):
    Path("data-dict.yaml").write_text(WRITTEN.replace("type: string", "type: string, todo: x"), encoding="utf-8")
    with open_engine(shop) as engine:
        found = check_dictionary("data-dict.yaml", engine, seconds=0)
    unchecked = [each for each in found if each.level == "data"]
    assert unchecked
    assert {each.code for each in unchecked} == {"D08"}
    assert all("was not checked: no time was left" in each.message for each in unchecked)


@pytest.mark.slow
def test_in_a_notebook(ip, gateway, shop, capsys):
    ip.user_ns["con"] = shop
    with pytest.raises(BadInput, match="There is no dictionary to check"):
        ip.run("%rsql dictionary check")
    gateway.replies = ["SELECT count(*) AS n FROM orders"]
    ip.run("%%sql_ai con\nHow many orders are there?")
    capsys.readouterr()
    ip.run("%rsql dictionary init")
    assert "Drafted data-dict.yaml on con, as before, with 13 to-do marks" in capsys.readouterr().out
    ip.run("%rsql dictionary check")
    out = capsys.readouterr().out
    assert "to do: Say what a row stands for" in out
    assert "0 errors, 13 warnings" in out
    Path("wrong.yaml").write_text(WRITTEN, encoding="utf-8")
    ip.run("%rsql dictionary check wrong.yaml")
    out = capsys.readouterr().out
    assert "there is no table customer in the database; did you mean customers?" in out
    assert "wrong.yaml, compared with" in out
    ip.run("%rsql dictionary init other.yaml")
    assert Path("other.yaml").exists()
    with pytest.raises(BadInput, match="not written over"):
        ip.run("%rsql dictionary init other.yaml")


def test_without_a_connection_only_the_file_is_checked(ip, capsys):
    Path("data-dict.yaml").write_text("$version: 0.1.0\ntables: [{name: t}]", encoding="utf-8")
    ip.run("%rsql dictionary check")
    out = capsys.readouterr().out
    assert "the file" not in out.splitlines()[0]
    assert "S60" in out
    assert "without a connection only the file was looked at" in out


@pytest.mark.slow
def test_the_command_checks_a_dictionary(shop, tmp_path, capsys):
    from rsql_magic.cli import main

    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(SHOP)
    Path("data-dict.yaml").write_text(WRITTEN, encoding="utf-8")
    assert main(["dictionary", "check", "--on", str(path)]) == 1
    assert "orders.plced is not there" in capsys.readouterr().out
    assert main(["dictionary", "init", "drafted.yaml", "--on", str(path)]) == 0
    assert main(["dictionary", "check", "drafted.yaml", "--on", str(path)]) == 0
