# ruff: noqa: E501 (one statement, one line)
"""Queries that are right in each dialect, and what is wrong with others beside their names."""

from __future__ import annotations

import time

import pytest
from school import SCHOOL, one, problems, school, table

from rsql_magic.context import Catalog
from rsql_magic.sql import Problem, validate
from rsql_magic.sql.validate.hints import known

DIALECTS = ("bigquery", "duckdb", "mysql", "postgres", "snowflake", "sqlite", "tsql")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT first_name FROM students",
        "SELECT FIRST_NAME, Last_Name FROM STUDENTS",
        "SELECT s.first_name, e.grade FROM students s JOIN enrolments e ON s.student_id = e.student_id",
        "SELECT students.first_name FROM students",
        "SELECT * FROM students",
        "SELECT s.* FROM students AS s",
        "SELECT count(*) AS n, max(grade) FROM enrolments",
        "SELECT home_town, count(*) AS n FROM students GROUP BY home_town HAVING count(*) > 2 ORDER BY n DESC",
        "SELECT first_name FROM students WHERE student_id IN (SELECT student_id FROM enrolments WHERE grade > 4)",
        "SELECT first_name FROM students s WHERE EXISTS (SELECT 1 FROM enrolments e WHERE e.student_id = s.student_id)",
        "SELECT (SELECT max(grade) FROM enrolments e WHERE e.student_id = s.student_id) AS top FROM students s",
        "SELECT x.n FROM (SELECT home_town AS n FROM students) x WHERE x.n <> ''",
        "SELECT n FROM (SELECT home_town AS n FROM students) x",
        "WITH good AS (SELECT student_id, grade FROM enrolments WHERE grade > 5) SELECT grade FROM good",
        "WITH good AS (SELECT * FROM enrolments) SELECT grade FROM good",
        "WITH a AS (SELECT course_id FROM courses), b AS (SELECT course_id FROM a) SELECT course_id FROM b",
        "SELECT title FROM courses UNION ALL SELECT full_name FROM teachers ORDER BY title",
        "SELECT a.student_id, b.student_id FROM enrolments a JOIN enrolments b ON a.course_id = b.course_id",
        "SELECT CASE WHEN grade > 4 THEN 'good' ELSE 'bad' END AS g FROM enrolments",
        "SELECT row_number() OVER (PARTITION BY course_id ORDER BY grade DESC) AS r FROM enrolments",
        "SELECT course_id, avg(grade) FROM enrolments GROUP BY course_id ORDER BY avg(grade)",
        "SELECT t.full_name, r.seats FROM teachers t LEFT JOIN rooms r ON t.room_code = r.room_code",
        "SELECT COUNT(DISTINCT student_id) FROM enrolments WHERE enrolled_on > '2024-01-01'",
        "SELECT 1 AS one",
    ],
)
def test_good_queries_have_no_problem(dialect, sql):
    assert problems(sql, dialect) == []


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("sqlite", 'SELECT first_name FROM students WHERE home_town = "Graz"'),
        ("sqlite", "SELECT rowid, first_name FROM students"),
        ("sqlite", "SELECT first_name AS f FROM students WHERE f LIKE 'A%'"),
        ("sqlite", "SELECT student_id, count(*) AS n FROM enrolments GROUP BY 1 HAVING n > 2"),
        ("sqlite", "SELECT first_name, max(birthday) FROM students"),
        ("sqlite", "SELECT max(grade, 1) FROM enrolments"),
        ("sqlite", "SELECT name FROM sqlite_master"),
        ("sqlite", "SELECT value FROM json_each('[1]')"),
        ("sqlite", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n"),
        ("sqlite", "WITH ids AS (SELECT student_id FROM students) SELECT * FROM enrolments WHERE student_id IN ids"),
        ("sqlite", "SELECT s.first_name FROM students s JOIN enrolments e USING (student_id)"),
        ("sqlite", "SELECT student_id FROM students NATURAL JOIN enrolments"),
        ("mysql", 'SELECT first_name FROM students WHERE home_town = "Graz"'),
        ("mysql", "SELECT student_id, count(*) AS n FROM enrolments GROUP BY student_id HAVING n > 2"),
        ("mysql", "SELECT YEAR(birthday) AS y, first_name FROM students GROUP BY y"),
        ("mysql", "SELECT first_name FROM students GROUP BY home_town"),
        ("mysql", "SELECT 1 FROM dual"),
        ("mysql", "SELECT TIMESTAMPDIFF(YEAR, birthday, NOW()) FROM students"),
        ("postgres", "SELECT ctid, s FROM students s"),
        ("postgres", "SELECT date_trunc('year', birthday) AS y, count(*) FROM students GROUP BY y ORDER BY y"),
        ("postgres", "SELECT s.first_name, count(*) FROM students s JOIN enrolments USING (student_id) GROUP BY s.student_id"),
        ("postgres", "SELECT e.grade FROM students s, LATERAL (SELECT grade FROM enrolments WHERE student_id = s.student_id) e"),
        ("postgres", "SELECT n FROM generate_series(1, 3) AS t(n)"),
        ("postgres", "SELECT count(*) FILTER (WHERE grade > 4) FROM enrolments"),
        ("postgres", "SELECT relname FROM pg_class"),
        ("duckdb", "SELECT student_id + 1 AS next, next + 1 AS after FROM students WHERE next > 3"),
        ("duckdb", "SELECT home_town, count(*) FROM students GROUP BY ALL ORDER BY ALL"),
        ("duckdb", "FROM students SELECT first_name"),
        ("duckdb", "SELECT list_transform([1], lambda x: x + student_id) FROM students"),
        ("duckdb", "SELECT [x + 1 FOR x IN [1, 2]] AS l"),
        ("duckdb", "SELECT s.home_town, s FROM students s"),
        ("duckdb", "SELECT * EXCLUDE (birthday) FROM students"),
        ("duckdb", "PIVOT enrolments ON course_id USING avg(grade)"),
        ("duckdb", "SELECT a.b.c FROM (SELECT {'b': {'c': 1}} AS a)"),
        ("duckdb", "SELECT unnest([1, 2]) AS n, n + 1 FROM students"),
        ("bigquery", "SELECT w FROM students, UNNEST(SPLIT(first_name, ' ')) AS w"),
        ("bigquery", "SELECT EXTRACT(YEAR FROM birthday) AS y, DATE_TRUNC(birthday, MONTH) FROM students"),
        ("bigquery", "SELECT first_name FROM school.students"),
        ("snowflake", "SELECT f.value FROM students s, LATERAL FLATTEN(input => SPLIT(s.first_name, ' ')) f"),
        ("snowflake", "SELECT DATEDIFF(day, birthday, CURRENT_DATE) FROM students QUALIFY ROW_NUMBER() OVER (ORDER BY birthday) = 1"),
        ("tsql", "SELECT TOP 3 first_name, DATEPART(year, birthday), DATENAME(month, birthday) FROM students"),
        ("tsql", "SELECT s.first_name, x.grade FROM students s CROSS APPLY (SELECT TOP 1 grade FROM enrolments e WHERE e.student_id = s.student_id) x"),
        ("tsql", "SELECT * FROM (SELECT course_id, grade FROM enrolments) s PIVOT (AVG(grade) FOR course_id IN ([1], [2])) p"),
        ("tsql", "WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n"),
        ("oracle", "SELECT first_name, ROWNUM FROM students WHERE ROWNUM < 5"),
        ("oracle", "SELECT count(*), max(grade) KEEP (DENSE_RANK LAST ORDER BY student_id) FROM enrolments"),
        ("postgres", "SELECT w.n, w.word FROM students, unnest(string_to_array(first_name, ' ')) WITH ORDINALITY AS w(word, n)"),
        ("postgres", "SELECT first_name FROM students ORDER BY birthday USING >"),
        ("trino", "SELECT count(*), max(grade, 3) FROM enrolments"),
        ("spark", "SELECT count(*), any(grade > 3) FROM enrolments"),
        ("redshift", "SELECT home_town, listagg(first_name, ', '), median(student_id) FROM students GROUP BY home_town"),
        ("bigquery", "SELECT DATE_TRUNC(birthday, WEEK(MONDAY)) FROM students"),
        ("bigquery", "FROM students |> EXTEND student_id + 1 AS n |> WHERE students.student_id > 1"),
        ("duckdb", "SELECT birthday + to_days(3) FROM students"),
        ("mysql", "ANALYZE FORMAT=JSON SELECT first_name FROM students"),
        ("tsql", "SELECT $1.50 AS price, k.[KEY] FROM CONTAINSTABLE(students, first_name, 'ann') k"),
        ("sqlite", "SELECT snippet(students, 0, '<', '>', '…', 5) FROM students WHERE students MATCH 'ann'"),
        ("duckdb", "EXPLAIN SELECT nothing FROM nowhere"),
        ("sqlite", "PRAGMA table_info(students)"),
    ],
)  # fmt: skip
def test_each_dialects_own_ways(dialect, sql):
    assert problems(sql, dialect) == []


class TestFunctions:
    @pytest.mark.parametrize(
        ("dialect", "call", "hint"),
        [
            ("sqlite", "YEAR(birthday)", "strftime('%Y', x)"),
            ("sqlite", "LEFT(first_name, 1)", "substr"),
            ("sqlite", "DATEDIFF(birthday, birthday)", "julianday"),
            ("postgres", "strftime('%Y', birthday)", "to_char"),
            ("postgres", "ifnull(first_name, '')", "COALESCE"),
            ("postgres", "group_concat(first_name)", "string_agg"),
            ("mysql", "strftime('%Y', birthday)", "DATE_FORMAT"),
            ("mysql", "string_agg(first_name, ',')", "GROUP_CONCAT"),
            ("duckdb", "date_format(birthday, '%Y')", "strftime"),
            ("tsql", "LENGTH(first_name)", "LEN"),
            ("bigquery", "GROUP_CONCAT(first_name)", "STRING_AGG"),
        ],
    )
    def test_of_another_dialect(self, dialect, call, hint):
        found = one(f"SELECT {call} FROM students", dialect)
        assert found.kind == "function"
        assert hint in found.message

    def test_mistyped(self):
        found = one("SELECT uper(first_name) FROM students")
        assert found.suggestions[0] == "upper"

    def test_the_users_own(self):
        catalog = Catalog(SCHOOL, "duckdb", functions=("margin", "tools.rate"))
        assert validate("SELECT margin(1), tools.rate(2)", "duckdb", catalog) == []

    def test_dangerous_ones_exist(self):
        assert problems("SELECT pg_sleep(1)", "postgres") == []  # the guard says no, not the validator


class TestAggregates:
    @pytest.mark.parametrize("dialect", DIALECTS)
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT student_id FROM enrolments WHERE count(*) > 2",
            "SELECT student_id FROM enrolments WHERE grade > avg(grade)",
            "SELECT course_id FROM enrolments GROUP BY count(*)",
            "SELECT 1 FROM students s JOIN enrolments e ON s.student_id = max(e.student_id)",
        ],
    )
    def test_where_none_may_stand(self, dialect, sql):
        assert [p.kind for p in problems(sql, dialect)] == ["aggregate"]

    def test_inside_each_other(self):
        found = one("SELECT max(count(*)) FROM enrolments GROUP BY course_id", "postgres")
        assert found.message == "count(*) stands inside max(count(*)): aggregate once in a subquery, then again."

    def test_not_inside_a_window(self):
        assert problems("SELECT sum(count(*)) OVER () FROM enrolments GROUP BY course_id", "postgres") == []

    @pytest.mark.parametrize("dialect", ["postgres", "duckdb", "tsql", "bigquery", "snowflake"])
    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT home_town, first_name, count(*) FROM students GROUP BY home_town",
            "SELECT first_name, max(birthday) FROM students",
            "SELECT home_town FROM students GROUP BY home_town HAVING first_name = 'a'",
            "SELECT home_town FROM students GROUP BY home_town ORDER BY birthday",
        ],
    )
    def test_a_column_that_is_not_grouped(self, dialect, sql):
        assert [p.kind for p in problems(sql, dialect)] == ["aggregate"]

    @pytest.mark.parametrize("dialect", ["sqlite", "mysql"])
    def test_where_that_is_allowed(self, dialect):
        assert problems("SELECT home_town, first_name, count(*) FROM students GROUP BY home_town", dialect) == []

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT s.home_town FROM students s GROUP BY home_town",
            "SELECT upper(home_town) FROM students GROUP BY upper(students.home_town)",
            "SELECT home_town || '!' FROM students GROUP BY home_town",
            "SELECT home_town AS h, count(*) FROM students GROUP BY h",
            "SELECT home_town, count(*) FROM students GROUP BY 1",
            "SELECT home_town, first_name, count(*) FROM students GROUP BY ROLLUP (home_town, first_name)",
            "SELECT max(grade) AS grade FROM enrolments GROUP BY course_id ORDER BY grade",
            "SELECT course_id, (SELECT title FROM courses c WHERE c.course_id = e.course_id) FROM enrolments e GROUP BY course_id",
            "SELECT 1 + count(*) FROM enrolments",
            "SELECT course_id, sum(avg(grade)) OVER (ORDER BY course_id) FROM enrolments GROUP BY course_id",
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY grade), course_id FROM enrolments GROUP BY course_id",
        ],
    )
    def test_what_is_grouped_after_all(self, sql):
        assert problems(sql, "postgres") == []

    def test_postgres_knows_the_primary_key(self):
        sql = "SELECT first_name, count(*) FROM students GROUP BY student_id"
        assert problems(sql, "postgres") == []
        assert [p.kind for p in problems(sql, "duckdb")] == ["aggregate"]

    def test_distinct_is_ordered_by_what_it_selects(self):
        sql = "SELECT DISTINCT home_town FROM students ORDER BY birthday"
        assert "DISTINCT can only be ordered" in one(sql, "postgres").message
        assert problems(sql, "sqlite") == []
        for good in ("home_town", "students.home_town", "1", "h"):
            assert problems(f"SELECT DISTINCT home_town AS h FROM students ORDER BY {good}", "postgres") == []

    def test_mysql_having(self):
        sql = "SELECT home_town FROM students GROUP BY home_town HAVING first_name = 'a'"
        assert [p.kind for p in problems(sql, "mysql")] == ["aggregate"]


class TestSyntax:
    @pytest.mark.parametrize(
        "sql",
        [
            "",
            "SELECT",
            "SELECT FROM students",
            "SELEC 1",
            "SELECT 1 FROM",
            "SELECT (1",
            "SELECT 'a",
            "1",
            "hello there",
            "SELECT 1; SELECT 2",
        ],
    )
    def test_is_a_problem_and_no_exception(self, sql):
        found = problems(sql, "postgres")
        assert found
        assert found[0].kind == "syntax"

    @pytest.mark.parametrize("dialect", ["", "nosuch"])
    def test_so_is_an_unknown_dialect(self, dialect):
        assert [p.kind for p in validate("SELECT 1", dialect, school())] == ["syntax"]

    @pytest.mark.parametrize(
        ("dialect", "sql", "written"),
        [
            ("sqlite", "SELECT * FROM order", '"order"'),
            ("mysql", "SELECT * FROM match", "`match`"),
            ("postgres", "SELECT array FROM students", '"array"'),
        ],
    )
    def test_reserved_words(self, dialect, sql, written):
        found = [p for p in problems(sql, dialect) if p.kind == "syntax"]
        assert found[0].suggestions == (written,)
        assert "reserved word" in found[0].message

    def test_reserved_words_in_quotes(self):
        catalog = Catalog((table("order", "id"),), "sqlite")
        assert validate('SELECT id FROM "order"', "sqlite", catalog) == []

    def test_limit_before_union(self):
        found = one("SELECT title FROM courses LIMIT 1 UNION ALL SELECT full_name FROM teachers", "postgres")
        assert "LIMIT stands before UNION" in found.message

    def test_limit_inside_in_of_mysql(self):
        sql = "SELECT 1 FROM students WHERE student_id IN (SELECT student_id FROM enrolments LIMIT 3)"
        assert "no LIMIT inside IN" in one(sql, "mysql").message
        assert problems(sql, "postgres") == []

    def test_subqueries_need_a_name_in_mysql(self):
        sql = "SELECT 1 FROM (SELECT grade FROM enrolments)"
        assert "needs a name" in one(sql, "mysql").message
        assert problems(sql, "duckdb") == []
        assert problems("SELECT 1 FROM students WHERE student_id IN (SELECT student_id FROM enrolments)", "mysql") == []

    @pytest.mark.slow
    def test_deep_nesting(self):
        assert problems("SELECT " + "1 + " * 4_000 + "1") == []
        assert problems("SELECT 1 WHERE " + "1 = 1 AND " * 4_000 + "1 = 1") == []
        assert "more than 100 brackets" in one("SELECT " + "(" * 5_000).message


def test_problems_are_plain_values():
    found = one("SELECT nme FROM students")
    assert found == Problem("column", "nme", found.message, found.suggestions)
    assert str(found) == found.message
    assert hash(found)


def test_the_catalog_is_indexed_once():
    catalog = school()
    assert known(catalog) is known(catalog)


@pytest.mark.slow
def test_ten_thousand_tables():
    catalog = Catalog(tuple(table(f"t_{n}", f"id name_{n} amount_{n % 50} region") for n in range(10_000)), "duckdb")
    validate("SELECT id FROM t_1", "duckdb", catalog)
    start = time.thread_time()
    assert validate("SELECT id, region FROM t_77 WHERE name_77 = 'x'", "duckdb", catalog) == []
    assert time.thread_time() - start < 1
    assert "amount_7" in validate("SELECT amont_7 FROM t_7", "duckdb", catalog)[0].message
