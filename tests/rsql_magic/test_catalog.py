"""The description of tables: its text, its names, its profiles, its inferred keys."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from rsql_magic.context import Catalog
from rsql_magic.databases import open_database, read_catalog
from rsql_magic.databases.profiles import Effort, add_profiles
from rsql_magic.sql import Column, ForeignKey, Profile, Table, ddl, infer_keys
from rsql_magic.sql.catalog import quoted

FLIGHTS = Table(
    "flights",
    (
        Column("flight_id", "INTEGER", profile=Profile("1", "336776", distinct=336_776)),
        Column("year", "INTEGER", profile=Profile("2013", "2013", distinct=1)),
        Column("origin", "VARCHAR", profile=Profile(values=("EWR", "JFK", "LGA"), distinct=3, complete=True)),
        Column("tailnum", "VARCHAR", profile=Profile(distinct=4043, nulls=0.0075, approximate=True)),
        Column(
            "distance",
            "DOUBLE",
            unit="miles",
            description="great-circle distance",
            profile=Profile("17", "4983", distinct=214),
        ),
    ),
    rows=336_776,
    primary_key=("flight_id",),
    foreign_keys=(
        ForeignKey(("carrier",), "airlines", ("carrier",), inferred=True),
        ForeignKey(("tailnum",), "planes", ("tailnum",)),
    ),
    description="one row per departure",
)


def test_a_table_reads_like_create_table():
    assert (
        ddl(FLIGHTS)
        == """\
CREATE TABLE flights ( -- 336,776 rows; one row per departure
  flight_id INTEGER, -- 1..336776
  year INTEGER, -- 2013..2013
  origin VARCHAR, -- values: 'EWR', 'JFK', 'LGA'
  tailnum VARCHAR, -- ≈4,043 distinct; 1% NULL
  distance DOUBLE, -- 17..4983; [miles]; great-circle distance
  PRIMARY KEY (flight_id),
  FOREIGN KEY (carrier) REFERENCES airlines (carrier), -- inferred
  FOREIGN KEY (tailnum) REFERENCES planes (tailnum)
);"""
    )


def test_the_names_level_tells_nothing_of_the_rows():
    text = ddl(FLIGHTS, "names")
    assert "great-circle distance" in text
    assert "[miles]" in text
    for seen in ("336,776", "2013", "JFK", "4,043", "NULL"):
        assert seen not in text


@pytest.mark.parametrize(
    ("name", "dialect", "written"),
    [
        ("region", "duckdb", "region"),
        ("Region", "duckdb", "Region"),
        ("Region", "postgres", '"Region"'),
        ("order", "postgres", '"order"'),
        ("unit price", "mysql", "`unit price`"),
        ("a`b", "mysql", "`a``b`"),
        ("a]b", "tsql", "[a]]b]"),
        ('say "hi"', "sqlite", '"say ""hi"""'),
        ("☃", "duckdb", '"☃"'),
        ("2nd", "", '"2nd"'),
    ],
)
def test_names_are_quoted_where_they_must_be(name, dialect, written):
    assert quoted(name, dialect) == written


def test_what_comes_from_data_stays_inside_its_comment():
    nasty = Table(
        "t",
        (
            Column(
                "a", "TEXT", description="x\n); DROP TABLE t; --", profile=Profile(values=("it's\nso",), complete=True)
            ),
            Column("b\nc", "TEXT"),
        ),
        description="one\n\rtwo",
    )
    lines = ddl(nasty).splitlines()
    assert lines[0] == "CREATE TABLE t ( -- one two"
    assert lines[1] == "  a TEXT, -- values: 'it''s so'; x ); DROP TABLE t; --"
    assert lines[-1] == ");"


def test_a_table_is_found_by_every_way_to_write_its_name():
    catalog = Catalog(
        (Table("users"), Table("Users"), Table("orders", schema="shop"), Table("x", schema="main", database="other")),
        "postgres",
        schema="public",
        database="db",
    )
    assert catalog["users"].name == "users"
    assert catalog["Users"].name == "Users"
    assert catalog["USERS"].name == "users"
    assert catalog["public.users"].name == "users"
    assert catalog["db.public.users"].name == "users"
    assert catalog["shop.orders"] is catalog["orders"]
    assert catalog["other.main.x"].database == "other"
    assert "shop.users" not in catalog
    with pytest.raises(KeyError):
        catalog["nothing"]


# Profiles


def sqlite(*statements):
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    return closing(connection)


def read(connection):
    return read_catalog(open_database(connection))


def people(rows=20):
    values = ", ".join(
        f"({i}, 'name {i % 2}', 'p{i % 2}@x.example', 'token-{i % 2}', '{'a' if i % 2 else 'b'}', {30 + i % 2})"
        for i in range(rows)
    )
    return [
        "CREATE TABLE people (id INTEGER, last_name TEXT, contact TEXT, api_key TEXT, team TEXT, age INTEGER)",
        f"INSERT INTO people VALUES {values}",
    ]


def test_columns_about_people_and_secrets_give_nothing_away():
    with sqlite(*people()) as connection:
        table = read(connection)["people"]
    assert table.column("team").profile.values == ("a", "b")
    assert table.column("team").profile.complete
    assert table.column("last_name").profile.values == ()  # its name says whose data it is
    assert table.column("contact").profile.values == ()  # its values are e-mail addresses
    assert table.column("api_key").profile is None  # not even looked at
    assert "@" not in ddl(table)
    assert "token-" not in ddl(table)


def test_a_category_that_few_rows_have_is_not_shown():
    rows = ", ".join(f"('{'rare' if i < 4 else 'common'}')" for i in range(20))
    with sqlite("CREATE TABLE t (kind TEXT)", f"INSERT INTO t VALUES {rows}") as connection:
        profile = read(connection)["t"].column("kind").profile
    assert profile.values == ("common",)
    assert not profile.complete
    assert profile.distinct == 2


@pytest.mark.slow
def test_a_large_table_is_sampled_and_says_so():
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
    fill = f"{numbers} INSERT INTO t SELECT i, i % 3 || '' FROM n"
    with sqlite("CREATE TABLE t (i INTEGER, g TEXT)", fill) as connection:
        table = read(connection)["t"]
    assert table.rows == 200_000
    assert table.column("i").profile.approximate
    assert table.column("g").profile.values
    assert "i INTEGER, -- ≈" in ddl(table)


def test_profiles_end_when_their_work_is_done():
    """Small tables first; the same ones each time."""
    with (
        sqlite(*(f"CREATE TABLE {name} (a INTEGER)" for name in "abcde")) as connection,
        open_database(connection) as database,
    ):
        effort = Effort(values=2 * database.values_of_a_statement)
        tables = add_profiles(database, structure := database.structure(), structure.tables, effort)
    assert [any(column.profile for column in table.columns) for table in tables] == [True, True, False, False, False]
    assert effort.late == []


def test_where_not_all_are_profiled_those_with_categories_and_the_latest_of_repeated_ones_are():
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    rows = f"{numbers} SELECT CAST('kind' || i % 3 AS TEXT) AS k FROM n"
    sizes = {"tiny_a": 3, "tiny_b": 8, "asked": 300, "day_20240101": 60, "day_20240102": 60, "day_20240103": 60}
    with (
        sqlite(
            *(f"CREATE TABLE {name} AS {rows.format(size)}" for name, size in sizes.items()), "ANALYZE"
        ) as connection,
        open_database(connection) as database,
    ):
        tables = add_profiles(
            database, structure := database.structure(), structure.tables, Effort(2 * database.values_of_a_statement)
        )
    assert {table.name for table in tables if table.columns[0].profile} == {"asked", "day_20240103"}
    assert all(table.columns[0].profile.values for table in tables if table.columns[0].profile)


def test_what_the_safety_limit_of_time_cuts_is_said():
    times = iter([0.0, 0.0, 0.0, 0.0])
    with (
        sqlite(*(f"CREATE TABLE t{i} (a INTEGER)" for i in range(3))) as connection,
        open_database(connection) as database,
    ):
        effort = Effort(1_000_000, clock=lambda: next(times, 99.0))
        tables = add_profiles(database, structure := database.structure(), structure.tables, effort)
    profiled = [any(column.profile for column in table.columns) for table in tables]
    assert effort.late == [table.name for table, told in zip(tables, profiled, strict=True) if not told]
    assert len(effort.late) in {1, 2}


def test_of_a_wide_table_the_first_columns_are_profiled():
    names = [f"c{i}" for i in range(100)]
    values = ", ".join("(" + ", ".join(["'a'"] * 100) + ")" for _ in range(5))
    with (
        sqlite(f"CREATE TABLE wide ({' TEXT, '.join(names)} TEXT)", f"INSERT INTO wide VALUES {values}") as connection,
        open_database(connection) as database,
    ):
        [wide] = add_profiles(
            database, structure := database.structure(), structure.tables, Effort(2 * database.values_of_a_statement)
        )
    assert [bool(column.profile and column.profile.values) for column in wide.columns] == [True] * 80 + [False] * 20


@pytest.mark.slow
def test_a_view_that_is_too_much_work_is_not_profiled_on_any_machine():
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n"
    with sqlite(
        f"CREATE TABLE n AS {numbers}",
        "CREATE VIEW small AS SELECT i % 3 AS g FROM n",
        "CREATE VIEW large AS SELECT a.i + b.i AS g FROM n a, n b ORDER BY 1",
    ) as connection:
        catalog = read(connection)
    assert catalog["small"].column("g").profile is not None
    assert catalog["large"].column("g").profile is None
    assert catalog.late == ()


def test_a_table_that_cannot_be_profiled_costs_no_other():
    with sqlite(
        "CREATE TABLE good (a INTEGER)", "CREATE VIEW bad AS SELECT abs('x' || a) / nope AS b FROM good"
    ) as connection:
        catalog = read(connection)
    assert [table.name for table in catalog] == ["good"]
    assert "bad" in catalog.problems[0]


@pytest.mark.slow
def test_a_table_with_two_thousand_columns():
    names = ", ".join(f"c{i} INTEGER" for i in range(1999))
    with sqlite(
        f"CREATE TABLE wide ({names})", "INSERT INTO wide (c1998) VALUES (7), (7), (7), (7), (7)"
    ) as connection:
        table = read(connection)["wide"]
    assert len(table.columns) == 1999
    assert table.column("c1998").profile.low == "7"


# Keys that nothing declares


def table(name, *columns, key=(), rows=None):
    return Table(name, tuple(Column(c, "INTEGER") for c in columns), primary_key=key, rows=rows)


def keys(*tables):
    return {
        (t.name, k.columns[0], k.table, k.referred[0])
        for t in infer_keys(tables, {})
        for k in t.foreign_keys
        if k.inferred
    }


def test_a_column_with_the_name_of_a_key_points_to_it():
    found = keys(
        table("customers", "customer_id", "name", key=("customer_id",)),
        table("orders", "id", "customer_id", key=("id",)),
    )
    assert found == {("orders", "customer_id", "customers", "customer_id")}


def test_a_table_name_with_its_key_points_to_it():
    found = keys(
        table("categories", "id", key=("id",)),
        table("products", "id", "category_id", "category", key=("id",)),
    )
    assert ("products", "category_id", "categories", "id") in found


@pytest.mark.parametrize(
    "tables",
    [
        (table("a", "id", "name", key=("id",)), table("b", "id", "name", key=("id",))),  # common names
        (table("a", "k", key=("k",)), table("b", "k", key=("k",)), table("c", "k")),  # two tables fit
        (table("a", "x_no"), table("b", "x_no")),  # nothing is unique
    ],
)
def test_doubtful_keys_are_not_inferred(tables):
    assert keys(*tables) == set()


def test_types_must_agree():
    text = Table("b", (Column("k", "TEXT"),))
    assert keys(table("a", "k", key=("k",)), text) == set()


def test_values_tell_where_a_column_points():
    airports = ", ".join(f"('{chr(65 + i)}{chr(65 + i)}A', 'airport {i}')" for i in range(26))
    legs = ", ".join(f"('{chr(65 + i % 6)}{chr(65 + i % 6)}A', 'k{i % 4}')" for i in range(60))
    with sqlite(
        "CREATE TABLE airports (faa TEXT, name TEXT)",
        f"INSERT INTO airports VALUES {airports}",
        "CREATE TABLE legs (dest TEXT, kind TEXT)",
        f"INSERT INTO legs VALUES {legs}",
    ) as connection:
        catalog = read(connection)
        names_only = Catalog.from_connection(connection, "names")
    assert catalog["legs"].foreign_keys == (ForeignKey(("dest",), "airports", ("faa",), inferred=True),)
    assert names_only["legs"].foreign_keys == ()


def test_declared_keys_are_never_doubled():
    with sqlite(
        "CREATE TABLE a (a_id INTEGER PRIMARY KEY)", "CREATE TABLE b (a_id INTEGER REFERENCES a, x INTEGER)"
    ) as connection:
        [key] = read(connection)["b"].foreign_keys
    assert (key.inferred, key.referred) == (False, ("a_id",))


# SQLite's own corners


def test_attached_databases_and_virtual_tables():
    with sqlite(
        "ATTACH ':memory:' AS other",
        "CREATE TABLE other.t (a INTEGER)",
        "CREATE TABLE t (b INTEGER)",
        "CREATE TEMP TABLE mine (c INTEGER)",
        "CREATE VIRTUAL TABLE notes USING fts5(body)",
    ) as connection:
        catalog = read(connection)
    assert {t.full_name for t in catalog} == {"other.t", "t", "mine", "notes"}
    assert catalog["t"].columns[0].name == "b"
    assert [column.name for column in catalog["notes"].columns] == ["body"]


def test_the_level_names_runs_no_statement_on_a_table():
    with sqlite("CREATE TABLE t (a INTEGER)") as connection, open_database(connection) as database:
        asked = []
        connection.set_trace_callback(asked.append)
        read_catalog(database, "names")
    assert not [sql for sql in asked if "COUNT" in sql.upper() or "DISTINCT" in sql.upper()]
