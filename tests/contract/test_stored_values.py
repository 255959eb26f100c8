"""A value arrives as the database or frame holds it: types of each engine at their edges, against the driver's own.

A value for which Python has no type comes as the text that the database itself writes, and a remark names its column.
"""

# ruff: noqa: DTZ001, E501, PLR0124, PLR0911, PLR0917 - times without a zone and NaN are among the values, a kind a line

from __future__ import annotations

import datetime as dt
import importlib.util
import random
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from many_cases import check_each
from servers import owner

from rsql_magic.databases import open_engine
from rsql_magic.databases.columns import AsText
from rsql_magic.databases.postgresql_values import exact_values
from rsql_magic.sql import ddl

WHOLE = ["0", "-1", "127", "32767", "2147483647", "9007199254740993", "9223372036854775807", "-9223372036854775808"]
DAYS = ["infinity", "-infinity", "0001-01-01", "1500-02-28", "1969-12-31", "2024-02-29", "2262-04-12", "9999-12-31"]
MOMENTS = [*DAYS, "2024-07-01 00:30:00.123456", "1900-01-01 23:59:59"]
CLOCKS = ["00:00:00", "12:00:00.000001", "23:59:59.999999", "24:00:00"]
SPANS = ["14 months", "1 day", "-1 day 3 microseconds", "100000 hours", "2 years -3 days", "0 days"]
FLOATS = ["NaN", "infinity", "-infinity", "0.1", "1.7976931348623157e308", "5e-324", "-0.0"]
EXACT = ["0.10", "-1234567.89", "99999999999999999999.99", "0.01"]
TEXTS = ["", "a", "NULL", "nan", "é", "𝔘", " ", "infinity"]
BITS = ["0", "1", "0101", "11111111000000001"]
DUCKDB = {
    "BIGINT": WHOLE, "HUGEINT": [*WHOLE, "18446744073709551616", "-170141183460469231731687303715884105728"],
    "UBIGINT": ["0", "18446744073709551615"], "DOUBLE": FLOATS, "DECIMAL(38,2)": EXACT, "DECIMAL(9,2)": EXACT[:2],
    "DATE": [*DAYS, "0044-03-15 (BC)", "5881580-07-10"], "TIMESTAMP": [*MOMENTS, "0044-03-15 (BC) 10:00:00", "20000-01-01"],
    "TIMESTAMP_S": MOMENTS[:6], "TIMESTAMP_MS": MOMENTS[:6], "TIMESTAMP_NS": ["infinity", "2024-01-01 00:00:00.123456789"],
    "TIMESTAMPTZ": [*DAYS[:2], "2024-07-01 00:30:00+02", "1500-01-01 00:00:00+00"], "TIME": CLOCKS,
    "TIMETZ": ["12:00:00+02", "24:00:00+00", "00:00:00.5-15:59"], "INTERVAL": SPANS, "BIT": BITS, "VARCHAR": TEXTS,
    "BOOLEAN": ["true", "false"], "UUID": ["00000000-0000-0000-0000-000000000001"], "BLOB": ["", "ab"],
    "DATE[]": ["[2024-01-01, infinity, NULL]", "[]"], "INTERVAL[]": ["[14 months]"], "BIGINT[]": ["[9007199254740993, NULL]"],
    "STRUCT(a DATE, b DECIMAL(5,2))": ["{'a': infinity, 'b': 1.10}"], "MAP(VARCHAR, TIMETZ)": ["{a=12:00:00+02}"],
}  # fmt: skip
POSTGRESQL = {
    "bigint": WHOLE, "numeric": [*EXACT, "NaN", "Infinity", "1" * 60], "float8": FLOATS[:5], "date": [*DAYS, "0044-03-15 BC"],
    "timestamp": [*MOMENTS, "0044-03-15 10:00:00 BC", "294276-12-31"], "timestamptz": [*DAYS[:2], "2024-07-01 00:30:00+02"],
    "time": CLOCKS, "timetz": ["12:00:00+02", "24:00:00+00"], "interval": SPANS, "varbit": BITS, "text": TEXTS,
    "boolean": ["true", "false"], "bytea": ["", "ab"], "date[]": ["{infinity,2024-01-01,NULL}", "{}"],
    "jsonb": ['{"a": 0.1, "b": 12345678901234567890.123}'], "interval[]": ["{14 months}"],
}  # fmt: skip
MARIADB = {
    "bigint": WHOLE, "bigint unsigned": ["0", "9223372036854775808", "18446744073709551615"], "bit(17)": BITS,
    "decimal(38,2)": EXACT, "double": FLOATS[3:5], "date": ["0000-00-00", "2024-00-10", *DAYS[3:]],
    "datetime(6)": ["0000-00-00", *MOMENTS[3:]], "time(6)": [*CLOCKS, "-838:59:59", "838:59:59"], "text": TEXTS,
    "year": ["0", "2024"], "json": ['{"a": 1}'], "inet6": ["::1"],
}  # fmt: skip


def same(found, given):
    """Whether a value of a frame is what a driver gave."""
    if given is None:
        return found is None or found is pd.NaT or found is pd.NA or found != found
    if isinstance(found, pd.Timestamp) and type(given) is dt.date:
        given = dt.datetime(given.year, given.month, given.day)
    if isinstance(given, (list, tuple)):
        return len(found) == len(given) and all(map(same, found, given))
    if isinstance(given, dict):
        return found.keys() == given.keys() and all(same(found[key], part) for key, part in given.items())
    if isinstance(given, bytes | bytearray):
        return bytes(found) == bytes(given)
    return found == given or (found != found and given != given)


def columns_of(types, chance, count):
    """Columns of values of one type, with gaps: every value on its own, beside others, and at most ``count`` more."""
    alone = [(kind, [value]) for kind, values in types.items() for value in values]
    kinds = list(types)
    for _ in range(count):
        kind = chance.choice(kinds)
        alone.append((kind, [chance.choice([*types[kind], None]) for _ in range(chance.randrange(2, 6))]))
    return alone


def literal(value, kind, dialect):
    if value is None:
        return "NULL"
    if dialect == "mysql":
        return f"b'{value}'" if kind.startswith("bit") else "'" + value.replace("'", "''") + "'"
    return f"CAST('{value.replace(chr(39), chr(39) * 2)}' AS {kind})"


def check_column(execute, engine, dialect, text_type, kind, values):
    """The column is that of the driver, or holds the database's own texts and says so."""
    execute("DROP TABLE IF EXISTS stored")
    execute(f"CREATE TABLE stored (n INTEGER, v {kind})")
    for number, value in enumerate(values):
        execute(f"INSERT INTO stored VALUES ({number}, {literal(value, kind, dialect)})")
    texts = [row[0] for row in execute(f"SELECT CAST(v AS {text_type}) FROM stored ORDER BY n")]
    rows = engine.run("SELECT v FROM stored ORDER BY n")
    found = rows.df["v"].astype(object).tolist()
    assert len(found) == len(values)
    for value, text in zip(found, texts, strict=True):
        said = any(remark.startswith("v has values") for remark in rows.remarks)
        assert matches(value, text, kind.lower()) or (said and value == text), (value, text, rows.remarks)


def matches(value, text, kind):
    """Whether a value of Python's means what the database writes."""
    if text is None or value is None or value is pd.NaT or value is pd.NA:
        return text is None and same(value, None)
    if isinstance(value, bool | np.bool_):
        return str(value).lower() == str(text).lower()
    if isinstance(value, float | np.floating):
        return text is not None and (float(text) == float(value) or (value != value and text.lower() == "nan"))
    if isinstance(value, int | np.integer) and kind.startswith("bit"):
        return True  # compared by number in a test of its own
    if isinstance(value, int | np.integer | Decimal):
        return Decimal(str(value)) == Decimal(text) or (str(value) == text == "NaN")
    if isinstance(value, pd.Timestamp | dt.datetime):
        other = pd.Timestamp(text)
        return value == (other.tz_convert(value.tzinfo) if other.tzinfo else other)
    if isinstance(value, dt.time):
        return value == dt.time.fromisoformat(text)
    if isinstance(value, dt.timedelta):
        return span_of(text) == value
    if isinstance(value, bytes):
        return value.decode() == text or "\\x" + value.hex() == text
    # Lists and structs are compared in a test of their own.
    return isinstance(value, list | dict) or str(value) == text


def span_of(text):
    """An interval without months as the databases write it."""
    days, _, clock = text.rpartition("day") if "day" in text else ("", "", text)
    clock = clock.removeprefix("s").strip() or "0:0:0"
    hours, minutes, seconds = clock.lstrip("-+").split(":")
    span = dt.timedelta(hours=int(hours), minutes=int(minutes)) + dt.timedelta(
        microseconds=int(Decimal(seconds) * 1_000_000)
    )
    return dt.timedelta(days=int(days or 0)) + (-span if clock.startswith("-") else span)


def check_duckdb(seed, count):
    with duckdb.connect() as connection, open_engine(connection) as engine:

        def execute(statement):
            return connection.execute(statement).fetchall()

        cases = columns_of(DUCKDB, random.Random(seed), count)
        check_each(check_column, ((execute, engine, "duckdb", "VARCHAR", *case) for case in cases))


def test_duckdb_gives_what_it_holds():
    check_duckdb(1, 30)


@pytest.mark.sweep
def test_duckdb_gives_what_it_holds_in_many_columns():
    check_duckdb(2, 2000)


def test_lists_and_structs_of_duckdb_hold_the_values_of_their_parts():
    with duckdb.connect() as connection, open_engine(connection) as engine:
        connection.execute(
            "CREATE TABLE t AS SELECT [DATE 'infinity', DATE '2024-01-01', NULL] AS days, "
            "{'i': INTERVAL '14 months', 'd': 1.10::DECIMAL(5,2)} AS s, MAP {'a': TIMETZ '12:00:00+02'} AS m, "
            "[9007199254740993, NULL] AS whole"
        )
        rows = engine.run("SELECT * FROM t")
    [row] = rows.df.to_dict("records")
    assert row["days"] == ["infinity", dt.date(2024, 1, 1), None]
    assert row["s"] == {"i": "1 year 2 months", "d": Decimal("1.10")}
    assert row["m"] == {"a": dt.time(12, tzinfo=dt.timezone(dt.timedelta(hours=2)))}
    assert row["whole"] == [9007199254740993, None]
    assert [remark.split()[0] for remark in rows.remarks] == ["days", "s"]


def check_postgresql(server, seed, count, driver="psycopg"):
    url = f"{server.url}/postgres"
    with owner(url) as execute, open_engine(url.replace("postgresql://", f"postgresql+{driver}://")) as engine:
        cases = columns_of(POSTGRESQL, random.Random(seed), count)

        def asked(statement):
            found = execute(statement)
            return found.fetchall() if found.returns_rows else []

        check_each(check_column, ((asked, engine, "postgres", "text", *case) for case in cases))
        execute("DROP TABLE IF EXISTS stored")


INSTALLED = [name for name in ("psycopg", "psycopg2", "pg8000") if importlib.util.find_spec(name)]


@pytest.mark.parametrize("driver", INSTALLED)
def test_postgresql_gives_what_it_holds(postgresql, driver):
    check_postgresql(postgresql, 1, 10, driver)


@pytest.mark.sweep
@pytest.mark.parametrize("driver", INSTALLED)
def test_postgresql_gives_what_it_holds_in_many_columns(postgresql, driver):
    check_postgresql(postgresql, 2, 600, driver)


class Pg8000:
    """As much of a connection of pg8000's as reads values: what is called for each of the server's types."""

    __module__ = "pg8000.legacy"

    def __init__(self):
        self.pg_types = defaultdict(lambda: str, {1082: dt.date.fromisoformat, 1186: lambda _: dt.timedelta(days=425)})


@pytest.mark.parametrize(
    ("oid", "text", "wanted"),
    [
        (1082, "2024-01-01", dt.date(2024, 1, 1)), (1082, "infinity", AsText("infinity")), (1082, "44-03-15 BC", AsText("44-03-15 BC")),
        (1186, "1 year 2 mons", AsText("1 year 2 mons")), (1186, "425 days", dt.timedelta(days=425)), (1083, "24:00:00", AsText("24:00:00")),
        (114, '{"a": 12345678901234567890.123}', {"a": Decimal("12345678901234567890.123")}), (25, "infinity", "infinity"),
    ],
)  # fmt: skip
def test_a_driver_that_has_one_reader_for_each_type_gives_texts_where_python_has_no_value(oid, text, wanted):
    driver = Pg8000()
    before = dict(driver.pg_types)
    with exact_values(driver):
        found = driver.pg_types[oid](text)
        assert (found, type(found)) == (wanted, type(wanted))
    assert driver.pg_types == before


SQLITE = {
    "integer": WHOLE, "real": FLOATS[3:], "text": TEXTS, "blob": ["", "ab"], "numeric": ["1", "1.5", "x", ""],
    "timestamp": ["2024-07-01 00:30:00.5", "2024-07-01T00:30", "infinity"], "date": ["2024-01-01", "2024-13-01", "0044-03-15 BC"],
}  # fmt: skip
# Texts as bytes: Latin 1, halves of letters, overlong forms, a surrogate, a NUL.
BYTES = [b"caf\xe9", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"a\x00b", "é𝔘".encode(), b"\xff\xfe"]


@pytest.mark.parametrize("converts", [0, sqlite3.PARSE_DECLTYPES, sqlite3.PARSE_COLNAMES])
@pytest.mark.parametrize("factory", [str, bytes])
def test_sqlite_gives_the_others_where_one_value_cannot_be_read(converts, factory):
    with closing(sqlite3.connect(":memory:", detect_types=converts)) as connection, open_engine(connection) as engine:
        connection.text_factory = factory
        for kind, values in columns_of(SQLITE, random.Random(3), 40):
            connection.execute("DROP TABLE IF EXISTS stored")
            connection.execute(f"CREATE TABLE stored (n INTEGER, v {kind})")
            connection.executemany("INSERT INTO stored VALUES (?, ?)", enumerate(values))
            connection.text_factory = str
            plain = [v for (v,) in connection.execute("SELECT +v FROM stored ORDER BY n")]  # no type, no converter
            connection.text_factory = factory
            rows = engine.run("SELECT v FROM stored ORDER BY n")
            said = any(remark.startswith("v has values") for remark in rows.remarks)
            for value, held in zip(rows.df["v"].astype(object), plain, strict=True):
                is_day = held is not None and isinstance(value, dt.date) and held.startswith(f"{value:%Y-%m-%d}")
                assert is_day or same(value, held) or (said and value == str(held)), (kind, value, held)
            assert connection.text_factory is factory
        connection.execute("DROP TABLE stored")


def test_texts_of_sqlite_that_are_no_utf_8_show_their_bytes_and_are_told():
    with closing(sqlite3.connect(":memory:")) as connection, open_engine(connection) as engine:
        connection.execute("CREATE TABLE t (n INTEGER, v TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, CAST(? AS TEXT))", enumerate(BYTES))
        rows = engine.run("SELECT v, count(*) AS k FROM t GROUP BY n, v ORDER BY n")
        assert rows.df["v"].tolist() == [value.decode("utf-8", "backslashreplace") for value in BYTES]
        [remark] = rows.remarks
        assert remark.startswith("v has values")
        assert remark.endswith(r": caf\xe9, \xc3, \xc0\xaf and 2 more.")
        assert "v TEXT" in ddl(engine.catalog().tables[0])  # such a column is described, too


def test_mariadb_gives_what_it_holds(mariadb):
    made = sa.create_engine(mariadb.url, isolation_level="AUTOCOMMIT", execution_options={"no_parameters": True})
    with made.connect() as connection:
        for statement in ("CREATE DATABASE IF NOT EXISTS kept_values", "USE kept_values", "SET sql_mode = ''"):
            connection.exec_driver_sql(statement)

        def execute(statement):
            found = connection.exec_driver_sql(statement)
            return found.fetchall() if found.returns_rows else []

        with open_engine(f"{mariadb.url}/kept_values") as engine:
            cases = columns_of(MARIADB, random.Random(1), 10)
            check_each(check_column, ((execute, engine, "mysql", "CHAR", *case) for case in cases))
            execute("DROP TABLE stored")
            execute("CREATE TABLE stored (v bit(17))")
            execute("INSERT INTO stored VALUES (b'0101'), (NULL)")
            assert engine.run("SELECT v FROM stored ORDER BY v").df["v"].tolist() == [pd.NA, 5]
        connection.exec_driver_sql("DROP DATABASE kept_values")
    made.dispose()


def test_a_script_that_closes_no_engine_ends_well(programs):
    script = (
        "import pandas as pd; from rsql_magic.databases import open_engine; "
        "open_engine({'a': pd.DataFrame({'x': [1]})}).run('SELECT x FROM a')"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
