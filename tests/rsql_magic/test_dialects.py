"""A dialect is one record: a made-up one over sqlglot's base is read, guarded, checked, linked and described by it."""

from __future__ import annotations

import inspect
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from sqlglot import tokens
from sqlglot.dialects.dialect import Dialect

from rsql_magic.errors import QueryRejected
from rsql_magic.sql import Catalog, check, count_sql, ddl, dialect_of, fix_query, known_as, link, validate
from rsql_magic.sql.dialects.records import SQLDialect, functions
from rsql_magic.sql.dialects.spellings import _RULES
from rsql_magic.sql.dialects.table import DIALECTS

ROOT = Path(__file__).parents[2] / "rsql_magic"


class Madeup(Dialect):
    """sqlglot finds it by its name, in lower case."""

    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS = [("[", "]")]  # noqa: RUF012 - sqlglot's own form


@pytest.fixture
def madeup(monkeypatch):
    record = SQLDialect(
        name="madeup",
        title="MadeUp",
        aliases=("made up",),
        quotes="[]",
        reserved=frozenset({"region"}),
        function_lists=("sqlite",),
        functions_complete=True,
        calls={("len", 1): "length({0})"},
        system_schemas={"vault": frozenset({"names"})},
        secret_tables=re.compile("vault_"),
        shows="TABLES",
        strict_groups=True,
        repeated_columns=False,
    )
    monkeypatch.setitem(DIALECTS, "madeup", record)
    dialect_of.cache_clear()
    functions.cache_clear()
    yield record
    dialect_of.cache_clear()
    functions.cache_clear()


@pytest.fixture
def shop():
    text = "CREATE TABLE customers (id INT PRIMARY KEY, town TEXT); CREATE TABLE orders (customer_id INT, amount INT)"
    return Catalog.from_ddl(text, "madeup")


def test_a_record_makes_a_dialect(madeup, shop):
    assert known_as("Made Up") == "madeup"
    assert check("SELECT town FROM customers -- all", "madeup", shop) == "SELECT town FROM customers"
    assert check("SHOW TABLES", "madeup", shop) == "SHOW TABLES"
    for refused in (
        "SELECT * FROM vault_keys",
        "SELECT * FROM vault.keys",
        "SHOW USERS",
        "EXPLAIN SELECT 1",
        "SELECT load_extension('x')",
    ):
        with pytest.raises(QueryRejected):
            check(refused, "madeup", shop)
    [problem] = validate("SELECT town, count(*) FROM customers", "madeup", shop)
    assert problem.kind == "aggregate"
    [problem] = validate("SELECT nosuch(town) FROM customers", "madeup", shop)
    assert problem.message.startswith("There is no function nosuch in MadeUp.")
    assert "[select] INT" in ddl(Catalog.from_ddl("CREATE TABLE t ([select] INT)", "madeup")["t"], "names", "madeup")
    fixed = fix_query("SELECT len(town) FROM customers", "madeup", shop, lambda sql: not validate(sql, "madeup", shop))
    assert fixed is not None
    assert fixed.sql == "SELECT length(town) FROM customers"
    assert count_sql("SELECT town, town FROM customers", "madeup", 2).startswith("WITH q(c0, c1) AS (")
    assert [table.name for table in link("how many customers per town?", shop)][:1] == ["customers"]


def test_a_record_is_frozen():
    with pytest.raises(FrozenInstanceError):
        dialect_of("mysql").quotes = "''"


def test_the_names_of_records_are_sqlglots():
    assert all(Dialect.get(name) for name in DIALECTS)
    assert all(name == record.name for name, record in DIALECTS.items())


def test_no_name_means_two_dialects():
    every = [*DIALECTS, *(alias for record in DIALECTS.values() for alias in record.aliases)]
    assert len(every) == len(set(every))


def test_spellings_and_functions_that_records_name_are_there():
    lists = {path.stem for path in (ROOT / "sql/dialects/functions").glob("*.txt")}
    for record in DIALECTS.values():
        assert set(record.spellings) <= _RULES.keys()
        assert set(record.function_lists) <= lists


def test_every_field_of_the_record_is_described_and_used():
    code = "\n".join(path.read_text() for path in ROOT.rglob("*.py") if path.name != "table.py")
    record = inspect.getsource(SQLDialect)
    for each in fields(SQLDialect):
        assert re.search(rf"^    (# .+\n    {each.name}: .+|{each.name}: .+  # .+)$", record, re.MULTILINE), each.name
        assert re.search(rf"\.{each.name}\b", code), each.name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tsql", "snowflake", "redshift", "databricks", "clickhouse", "materialize", "fabric"])
def test_only_the_table_knows_a_dialect_by_name(name):
    naming = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if re.search(rf"\b{name}\b", p.read_text())]
    assert set(naming) - NAMES_OF_PACKAGES <= {"sql/dialects/table.py"}


NAMES_OF_PACKAGES = {
    "agent/cage/carried.py",  # modules that connect
    "databases/sqlalchemy.py",  # what to install for a URL
    "display/markdown.py",  # languages of code that Markdown may name
    "notebook/commands.py",  # an example of a command
    "plain_text.py",  # names of products
    "redaction/words.py",  # names of programs
    "text2sql/drafts.py",  # languages that a reply may name
}
