"""Comments in a CREATE TABLE, which are the only ones that SQLite has."""

import sqlite3

import pytest

from rsql_magic.databases import open_engine
from rsql_magic.sql import ddl, remarks

BEHIND = """CREATE TABLE trips ( -- one row a ride
  id INTEGER PRIMARY KEY, -- number
  fare REAL -- in dollars
)"""
ABOVE = """CREATE TABLE trips
-- one row a ride
(
  -- number
  id INTEGER PRIMARY KEY,
  -- in
  -- dollars
  fare REAL
)"""
BLOCKS = """CREATE TABLE trips /* one row a ride */ (
  /* number */ id INTEGER PRIMARY KEY,
  fare REAL /* in
             * dollars */ NOT NULL
)"""
IN_ONE_LINE = "CREATE TABLE trips (id INTEGER /* number */, /* in dollars */ fare REAL) -- one row a ride"
COMMAS_FIRST = """CREATE TABLE trips ( -- one row a ride
    id INTEGER -- number
  , fare REAL  -- in
               -- dollars
)"""
SET_APART = """CREATE TABLE trips (
  -- one row a ride

  id INTEGER, -- number

  -- MONEY

  fare REAL CHECK (fare > 0 -- in dollars
  ),
  -- tax REAL,
  PRIMARY KEY (id) -- of the table
)"""
QUOTES = """CREATE TABLE "trips -- (all" ( -- one row a ride
  [id] INTEGER DEFAULT '-- no, (remark' CHECK ([id] <> '/* nor, this */'), -- number
  "fare" TEXT DEFAULT 'it''s -- not' -- in dollars
)"""
LAYOUTS = [BEHIND, ABOVE, BLOCKS, IN_ONE_LINE, COMMAS_FIRST, SET_APART, QUOTES]


@pytest.mark.parametrize("create", LAYOUTS)
def test_remarks_of_each_layout(create):
    assert remarks(create) == ("one row a ride", {"id": "number", "fare": "in dollars"})


@pytest.mark.parametrize("create", LAYOUTS)
def test_sqlite_describes_its_tables_by_their_remarks(create):
    connection = sqlite3.connect(":memory:")
    connection.execute(create)

    [table] = open_engine(connection).catalog("names")

    said = {column.name: column.description for column in table.columns}
    assert said == {"id": "number", "fare": "in dollars"}
    assert table.description in {"one row a ride", ""}  # SQLite keeps no comment behind the last bracket


def test_a_remark_that_is_no_description_is_passed_over():
    create = "CREATE TABLE t (a INT, b INT, -- ======\n -- c INT,\n d INT, UNIQUE (a) -- key\n, CHECK (a > 0) /* so */)"

    assert remarks(create) == ("", {})


def test_a_remark_is_bounded_and_redacted_in_what_is_sent():
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t (a INT, -- ask ann@example.org {'x' * 5_000}\n b INT)")

    [table] = open_engine(connection).catalog()

    assert len(table.columns[0].description) <= 500
    line = ddl(table).splitlines()[1]
    assert "ann@example.org" not in line
    assert len(line) < 300


@pytest.mark.parametrize("odd", ["CREATE TABLE t (a INT /* open", "CREATE TABLE t (a 'x", ")))((", "", "-- x\n(", "'"])
def test_what_is_no_statement_has_no_remarks_and_no_error(odd):
    assert isinstance(remarks(odd).columns, dict)
