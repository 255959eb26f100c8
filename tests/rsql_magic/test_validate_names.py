"""Names that stand for nothing, and what is said about them."""

from __future__ import annotations

import pytest
from school import SCHOOL, one, problems, table

from rsql_magic.context import Catalog
from rsql_magic.sql import Column, Table, validate
from rsql_magic.sql.validate.hints import likeness, nearest, words


def test_a_table_that_may_not_be_read_is_said():
    catalog = Catalog(SCHOOL, "postgres", problems=("1 table may not be read with this login and left out: salaries.",))
    assert "no table salaries. 1 table may not be read" in one("SELECT * FROM salaries", "postgres", catalog).message
    assert "may not be read" not in one("SELECT * FROM salary", "postgres", catalog).message


class TestUnknownColumns:
    def test_in_another_table_that_joins(self):
        found = one("SELECT first_name, grade FROM students")
        assert (found.kind, found.name) == ("column", "grade")
        assert "There is no column grade in students." in found.message
        assert "grade is in table enrolments, joinable by enrolments.student_id = students.student_id" in found.message
        assert found.suggestions[0] == "enrolments.grade"

    def test_in_another_table_two_keys_away(self):
        found = one("SELECT first_name, title FROM students")
        assert "title is in table courses" in found.message
        assert (
            "enrolments.student_id = students.student_id and courses.course_id = enrolments.course_id" in found.message
        )

    def test_in_another_table_with_a_key_of_the_same_name(self):
        found = one("SELECT full_name, seats FROM teachers")
        assert "seats is in table rooms, joinable by rooms.room_code = teachers.room_code" in found.message

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [
            ("firstname", "students.first_name"),
            ("FirstName", "students.first_name"),
            ("fist_name", "students.first_name"),
            ("name_first", "students.first_name"),
            ("student_birthday", "students.birthday"),
            ("hometown", "students.home_town"),
            ("towns", "students.home_town"),
            ("id", "students.student_id"),
            ("stud_id", "students.student_id"),
        ],
    )
    def test_nearly_the_same(self, wrong, right):
        found = one(f"SELECT {wrong} FROM students")
        assert found.suggestions[0] == right
        assert right in found.message

    def test_by_description(self):
        described = Table("t", (Column("c1", description="customer name"), Column("c2", description="price in euro")))
        found = one("SELECT customer_name FROM t", catalog=Catalog((described,), "duckdb"))
        assert found.suggestions == ("t.c1",)

    def test_of_an_alias(self):
        found = one("SELECT s.grade FROM students s")
        assert "There is no column grade in students (s)." in found.message
        assert found.name == "s.grade"

    def test_of_a_subquery(self):
        found = one("SELECT x.birthday FROM (SELECT first_name FROM students) x")
        assert found.name == "x.birthday"

    def test_of_a_with(self):
        assert one("WITH a AS (SELECT grade FROM enrolments) SELECT student_id FROM a").name == "student_id"

    def test_inside_a_subquery(self):
        assert one("SELECT 1 FROM students WHERE student_id IN (SELECT pupil FROM enrolments)").name == "pupil"

    def test_in_using(self):
        assert one("SELECT 1 FROM students JOIN courses USING (student_id)").name == "student_id"

    def test_all_of_them_once_in_order(self):
        sql = "SELECT one, two FROM students WHERE three = 1 AND one = 2 ORDER BY four"
        assert [p.name for p in problems(sql)] == ["one", "two", "three", "four"]

    def test_without_anything_near_the_columns_are_listed(self):
        found = one("SELECT zzz FROM rooms")
        assert "rooms has: room_code, seats, building" in found.message

    def test_a_brackets_name_in_sqlite_is_no_text(self):
        assert one("SELECT [nope] FROM students", "sqlite").name == "nope"
        assert one('SELECT "nope" FROM students', "duckdb").name == "nope"

    @pytest.mark.parametrize(
        ("sql", "found"),
        [
            ('SELECT first_name FROM students WHERE home_town = "Oslo"', []),
            ('SELECT first_name FROM students WHERE home_town IN ("Oslo", "Lima")', []),
            ('SELECT first_name || " of " || home_town FROM students', []),
            ('SELECT "nope" FROM students', ["nope"]),
            ('SELECT "nope" AS n FROM students ORDER BY 1', ["nope"]),
            ('SELECT count(*) FROM students GROUP BY "nope"', ["nope"]),
            ('SELECT max("nope") FROM students', ["nope"]),
            ("SELECT first_name FROM students WHERE \"home town\" = 'Oslo'", ["home town"]),
        ],
    )
    def test_double_quotes_in_sqlite_are_a_text_only_where_one_makes_sense(self, sql, found):
        assert [problem.name for problem in problems(sql, "sqlite")] == found

    @pytest.mark.parametrize(
        ("dialect", "sql"),
        [
            ("postgres", "SELECT student_id AS i FROM students WHERE i > 3"),
            ("postgres", "SELECT home_town, count(*) AS n FROM students GROUP BY 1 HAVING n > 3"),
            ("mysql", "SELECT student_id AS i FROM students WHERE i > 3"),
            ("tsql", "SELECT home_town AS h FROM students GROUP BY h"),
            ("postgres", "SELECT grade AS g FROM enrolments ORDER BY g + 1"),
            ("sqlite", "SELECT student_id AS i, i + 1 AS j FROM students"),
        ],
    )
    def test_a_name_by_as_where_it_is_not_seen(self, dialect, sql):
        found = problems(sql, dialect)[0]
        assert found.kind == "column"
        assert "is a name given by AS" in found.message


class TestQualifiers:
    def test_a_table_that_is_not_read(self):
        found = one("SELECT courses.title FROM enrolments")
        assert "courses is not a table or alias of this query; there are enrolments." in found.message
        assert "The table courses is not in FROM; join it." in found.message

    def test_a_table_under_its_alias(self):
        found = one("SELECT students.first_name FROM students s")
        assert found.message == "students is called s here: write s.first_name."
        assert found.suggestions == ("s.first_name",)

    def test_an_alias_that_does_not_exist(self):
        found = one("SELECT t3.grade FROM students s JOIN enrolments e ON s.student_id = e.student_id")
        assert "grade is a column of e" in found.message
        assert found.suggestions == ("e.grade",)

    def test_a_star_of_nothing(self):
        assert one("SELECT x.* FROM students").name.startswith("x")


class TestTables:
    def test_nearly_the_same(self):
        found = one("SELECT * FROM student")
        assert (found.kind, found.name, found.suggestions[0]) == ("table", "student", "students")
        assert found.message == "There is no table student. Did you mean students?"

    def test_nothing_like_it(self):
        assert "There are: students, enrolments, courses, teachers, rooms." in one("SELECT * FROM xyzzy").message

    def test_its_columns_are_not_complained_about(self):
        assert [p.kind for p in problems("SELECT a, b, c.d FROM pupils c")] == ["table"]

    def test_schemas(self):
        catalog = Catalog(
            (
                table("orders", "id"),
                table("orders", "id", schema="archive"),
                table("people", "id", schema="hr", database="corp"),
            ),
            "postgres",
            schema="public",
            database="shop",
        )
        for name in ("orders", "public.orders", "shop.public.orders", "archive.orders", "corp.hr.people"):
            assert validate(f"SELECT id FROM {name}", "postgres", catalog) == []
        for name in ("hr.orders", "archive.people", "orders.orders"):
            assert [p.kind for p in validate(f"SELECT id FROM {name}", "postgres", catalog)] == ["table"]

    def test_an_unqualified_with_hides_a_table(self):
        assert one("WITH students AS (SELECT 1 AS a) SELECT first_name FROM students").name == "first_name"

    def test_a_with_does_not_hide_a_qualified_table(self):
        catalog = Catalog(SCHOOL, "duckdb", schema="main")
        sql = "WITH students AS (SELECT 1 AS a) SELECT first_name FROM main.students"
        assert validate(sql, "duckdb", catalog) == []


class TestCase:
    MIXED = Catalog((table("Customers", "CustomerID Name"),), "postgres", schema="public")

    def test_postgres_needs_quotes_for_capitals(self):
        found = validate("SELECT customerid FROM customers", "postgres", self.MIXED)
        assert found[0].suggestions == ('"Customers"',)
        found = validate('SELECT CustomerID FROM "Customers"', "postgres", self.MIXED)
        assert found[0].message == 'The column is called "CustomerID"; write it with its quotes.'

    def test_postgres_with_quotes(self):
        assert validate('SELECT "CustomerID", c."Name" FROM "Customers" c', "postgres", self.MIXED) == []

    def test_a_catalog_made_by_hand_is_read_kindly(self):
        by_hand = Catalog(self.MIXED.tables, "postgres")
        assert validate("SELECT customerid FROM customers", "postgres", by_hand) == []

    def test_quoted_capitals_where_all_is_small(self):
        found = validate('SELECT "Name" FROM t', "postgres", Catalog((table("t", "name"),), "postgres"))
        assert [p.kind for p in found] == ["column"]

    @pytest.mark.parametrize("dialect", ["duckdb", "mysql", "sqlite", "snowflake", "tsql", "bigquery"])
    def test_elsewhere_case_is_let_pass(self, dialect):
        assert validate("SELECT CUSTOMERID FROM CUSTOMERS", dialect, Catalog(self.MIXED.tables, dialect)) == []


class TestAmbiguous:
    def test_in_two_tables(self):
        found = one("SELECT student_id FROM students s JOIN enrolments e ON s.student_id = e.student_id")
        assert found.kind == "ambiguous"
        assert found.suggestions == ("s.student_id", "e.student_id")
        assert found.message == "student_id could be a column of several tables: write s.student_id or e.student_id."

    def test_not_after_using(self):
        assert problems("SELECT student_id FROM students JOIN enrolments USING (student_id)") == []

    def test_not_as_an_output_in_order_by(self):
        sql = "SELECT s.student_id FROM students s JOIN enrolments e ON s.student_id = e.student_id ORDER BY student_id"
        assert problems(sql) == []

    def test_one_alias_twice(self):
        sql = "SELECT 1 FROM students JOIN students ON 1 = 1"
        assert [p.kind for p in problems(sql)] == ["ambiguous"]
        assert problems(sql, "sqlite") == []
        assert [p.kind for p in problems("SELECT students.first_name FROM students JOIN students", "sqlite")] == [
            "ambiguous"
        ]


@pytest.mark.parametrize(
    ("one_name", "other", "least"),
    [
        ("customer_id", "CustomerID", 1.0),
        ("Customer ID", "customer_id", 1.0),
        ("cust_name", "customer_name", 0.8),
        ("order_dates", "date_order", 0.9),
        ("categories", "category", 0.8),
        ("qty", "quantity", 0.5),
    ],
)
def test_likeness(one_name, other, least):
    assert likeness(one_name, other) >= least
    assert likeness(other, one_name) == pytest.approx(likeness(one_name, other), abs=0.15)


def test_words_of_names():
    assert words("CustomerOrderID") == ("customer", "order", "id")
    assert words("HTTPStatus2024") == ("http", "statu", "2024")
    assert words("größe_der_stadt")[-1] == "stadt"


def test_nearest_is_stable():
    assert nearest("a_name", ["b_name", "c_name", "d_name"]) == nearest("a_name", ["d_name", "c_name", "b_name"])


@pytest.mark.parametrize("dialect", ["duckdb", "snowflake", "databricks", "redshift"])
def test_a_name_does_not_stand_in_its_own_definition(dialect):
    catalog = Catalog.from_ddl("CREATE TABLE orders (shop INT, amount INT)", dialect)
    (problem,) = validate("SELECT shop, sum(total) AS total FROM orders GROUP BY shop", dialect, catalog)
    assert (problem.kind, problem.name) == ("column", "total")
    assert validate("SELECT amount * 2 AS total, total + 1 AS more FROM orders", dialect, catalog) == []
