"""Drafts that do not compile, put right by rules: a test per rule, and what no rule may ever do."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsql_magic.context import Catalog
from rsql_magic.databases import open_engine
from rsql_magic.errors import QueryRejected
from rsql_magic.sql import check, fix_query, validate
from rsql_magic.sql.autofix.texts import unwrap

SCHOOL = """
CREATE TABLE city (city_id INTEGER PRIMARY KEY, city_name TEXT, country TEXT);
CREATE TABLE student (
    student_id INTEGER PRIMARY KEY, full_name TEXT, born TEXT, city_id INTEGER REFERENCES city (city_id),
    "T-CHO" REAL, "First Date" TEXT
);
CREATE TABLE exam (exam_id INTEGER PRIMARY KEY, student_id INTEGER REFERENCES student (student_id), points REAL);
CREATE TABLE "order" (order_id INTEGER PRIMARY KEY, student_id INTEGER, amount REAL);
"""


@pytest.fixture(scope="module")
def school():
    made = sqlite3.connect(":memory:")
    made.executescript(SCHOOL)
    with open_engine(made) as engine:
        yield engine
    made.close()


def passing(engine, dialect="sqlite"):
    """Whether a statement passes the guard, the names and the engine's compiler."""
    catalog = engine.catalog()

    def passes(sql):
        try:
            statement = check(sql, dialect, catalog)
        except QueryRejected:
            return False
        return not validate(statement, dialect, catalog) and not engine.check(statement)

    return passes


def mended(engine, sql):
    return fix_query(sql, engine.dialect, engine.catalog(), passing(engine))


RIGHT = {
    "a figure of groups in WHERE": (
        "SELECT student_id, SUM(points) AS total FROM exam WHERE exam_id > 3 AND total > 10 GROUP BY student_id",
        "SELECT student_id, SUM(points) AS total FROM exam WHERE exam_id > 3 GROUP BY student_id "
        "HAVING SUM(points) > 10",
        "WHERE total > 10 → HAVING SUM(points) > 10",
    ),
    "a name given by AS beside it": (
        "SELECT SUM(points) AS total, total / 2 AS half FROM exam",
        "SELECT SUM(points) AS total, SUM(points) / 2 AS half FROM exam",
        "total → SUM(points)",
    ),
    "behind the wrong alias": (
        "SELECT e.full_name FROM student s JOIN exam e ON s.student_id = e.student_id",
        "SELECT s.full_name FROM student s JOIN exam e ON s.student_id = e.student_id",
        "e.full_name → s.full_name",
    ),
    "the table's name beside its alias": (
        "SELECT student.born FROM student AS T1",
        "SELECT T1.born FROM student AS T1",
        "student.born → T1.born",
    ),
    "an alias that nobody gave": (
        "SELECT x.points FROM exam e",
        "SELECT e.points FROM exam e",
        "x.points → e.points",
    ),
    "mistyped column": (
        "SELECT ful_name FROM student",
        "SELECT full_name FROM student",
        "ful_name → full_name",
    ),
    "with its table's name": (
        "SELECT exam_points FROM exam",
        "SELECT points FROM exam",
        "exam_points → points",
    ),
    "mistyped table": (
        "SELECT students.born FROM students",
        "SELECT student.born FROM student",
        "students → student",
    ),
    "other letters between the same words": (
        "SELECT s.FirstDate FROM student s",
        'SELECT s."First Date" FROM student s',
        's.FirstDate → "First Date"',
    ),
    "a name that needs quotes": (
        "SELECT student_id FROM student WHERE T-CHO > 250",
        'SELECT student_id FROM student WHERE "T-CHO" > 250',
        'T-CHO → "T-CHO"',
    ),
    "a name with a blank": (
        "SELECT s.First Date FROM student s WHERE s.born > '2000'",
        "SELECT s.\"First Date\" FROM student s WHERE s.born > '2000'",
        'First Date → "First Date"',
    ),
    "a reserved word": (
        "SELECT order.amount FROM order",
        'SELECT "order".amount FROM "order"',
        'order → "order"',
    ),
    "ambiguous, and equal": (
        "SELECT student_id FROM student s JOIN exam e ON s.student_id = e.student_id",
        "SELECT s.student_id FROM student s JOIN exam e ON s.student_id = e.student_id",
        "student_id → s.student_id",
    ),
    "a table that a key leads to": (
        "SELECT full_name FROM student WHERE country = 'IT'",
        "SELECT full_name FROM student JOIN city ON student.city_id = city.city_id WHERE city.country = 'IT'",
        "country → JOIN city ON student.city_id = city.city_id",
    ),
    "bare columns stay those of their table": (
        "SELECT city_id, count(*) FROM student GROUP BY city_id HAVING max(country) = 'IT'",
        "SELECT student.city_id, count(*) FROM student JOIN city ON student.city_id = city.city_id"
        " GROUP BY student.city_id HAVING max(city.country) = 'IT'",
        "country → JOIN city ON student.city_id = city.city_id",
    ),
    "a join before the condition that needs it": (
        "SELECT count(*) FROM exam e JOIN city c ON e.city_id = c.city_id",
        "SELECT count(*) FROM exam e JOIN student ON e.student_id = student.student_id"
        " JOIN city c ON student.city_id = c.city_id",
        "e.city_id → JOIN student ON e.student_id = student.student_id",
    ),
    "no FROM": ("SELECT max(points)", "SELECT max(points) FROM exam", "… FROM exam"),
    "a function of MySQL": (
        "SELECT YEAR(born) FROM student",
        "SELECT CAST(strftime('%Y', born) AS INTEGER) FROM student",
        "YEAR(born) → CAST(strftime('%Y', born) AS INTEGER)",
    ),
    "EXTRACT": (
        "SELECT full_name FROM student WHERE EXTRACT(MONTH FROM born) = 5",
        "SELECT full_name FROM student WHERE CAST(strftime('%m', born) AS INTEGER) = 5",
        "EXTRACT(MONTH FROM born) → CAST(strftime('%m', born) AS INTEGER)",
    ),
    "DATE_FORMAT": (
        "SELECT DATE_FORMAT(born, '%Y-%m %H:%i') FROM student",
        "SELECT strftime('%Y-%m %H:%M', born) FROM student",
        "DATE_FORMAT(born, '%Y-%m %H:%i') → strftime('%Y-%m %H:%M', born)",
    ),
    "words for arithmetic": (
        "SELECT DIVIDE(SUM(points), COUNT(*)) FROM exam",
        "SELECT (1.0 * (SUM(points)) / (COUNT(*))) FROM exam",
        "DIVIDE(SUM(points), COUNT(*)) → (1.0 * (SUM(points)) / (COUNT(*)))",
    ),
    "a cast of PostgreSQL": (
        "SELECT points::int FROM exam",
        "SELECT CAST(points AS INTEGER) FROM exam",
        "written in another dialect → written anew",
    ),
    "TOP": (
        "SELECT TOP 3 points FROM exam",
        "SELECT points FROM exam LIMIT 3",
        "written in another dialect → written anew",
    ),
    "ILIKE": (
        "SELECT points FROM exam WHERE exam_id ILIKE 'a%'",
        "SELECT points FROM exam WHERE LOWER(exam_id) LIKE LOWER('a%')",
        "written in another dialect → written anew",
    ),
    "WHERE in an aggregate": (
        "SELECT COUNT(exam_id WHERE points > 5) FROM exam",
        "SELECT COUNT(exam_id) FILTER (WHERE points > 5) FROM exam",
        "WHERE behind an aggregate → FILTER (WHERE …)",
    ),
    "WHERE behind an aggregate": (
        "SELECT (COUNT(exam_id) WHERE points > 5) * 100 FROM exam",
        "SELECT (COUNT(exam_id) FILTER (WHERE points > 5)) * 100 FROM exam",
        "WHERE behind an aggregate → FILTER (WHERE …)",
    ),
    "marks of Markdown": (
        r"SELECT s.full\_name FROM student s",
        "SELECT s.full_name FROM student s",
        r"\_ → _",
    ),
    "an apostrophe escaped as elsewhere": (
        r"SELECT born FROM student WHERE full_name = 'O\'Neill'",
        "SELECT born FROM student WHERE full_name = 'O''Neill'",
        r"\' → ''",
    ),
    "an apostrophe in a text": (
        "SELECT born FROM student WHERE full_name = 'Women's Soccer'",
        "SELECT born FROM student WHERE full_name = 'Women''s Soccer'",
        "' inside a text → ''",
    ),
    "a fence": (
        "```SQLite\nSELECT born FROM student\n```\nThis query returns the students' dates.",
        "SELECT born FROM student",
        "words around the query left out",
    ),
    "a sentence behind it": (
        "SELECT born FROM student;\n\nExplanation:\n1. It's short.",
        "SELECT born FROM student",
        "words around the query left out",
    ),
    "the mark of an end": (
        "SELECT born FROM student;<|im_end|>",
        "SELECT born FROM student;",
        "words around the query left out",
    ),
}


@pytest.mark.parametrize("slip", RIGHT)
def test_a_slip_of_one_meaning_is_mended(school, slip):
    draft, right, said = RIGHT[slip]
    made = mended(school, draft)
    assert made is not None
    assert (made.sql, said in made.changes) == (right, True)


def test_several_slips_are_mended_one_after_the_other(school):
    made = mended(
        school, "SELECT students.ful_name, YEAR(students.born) FROM students WHERE country = 'IT';\nThis is it."
    )
    assert made is not None
    assert len(made.changes) == 5
    assert passing(school)(made.sql)


DOUBTFUL = {
    "a figure in WHERE, and no groups": "SELECT SUM(points) AS total FROM exam WHERE total > 3",
    "a condition on rows and groups at once": "SELECT student_id, SUM(points) AS total FROM exam WHERE exam_id > 3 OR "
    "total > 10 GROUP BY student_id",
    "a window in WHERE": "SELECT rank() OVER (ORDER BY points) AS place, exam_id FROM exam WHERE place < 3",
    "no such thing": "SELECT height FROM student",
    "two relations have it": "SELECT x.student_id FROM student s JOIN exam e ON s.student_id = e.student_id",
    "ambiguous and not equal": "SELECT student_id FROM student s JOIN exam e ON s.city_id = e.points",
    "a join that adds columns": "SELECT * FROM student WHERE country = 'IT'",
    "another number": "SELECT points1 FROM exam",
    "a short word": "SELECT bor FROM student",
    "an aggregate in an aggregate": "SELECT MAX(SUM(points)) FROM exam",
    "two queries": "SELECT born FROM student; SELECT points FROM exam",
    "a second statement that writes": "SELECT born FROM student; DELETE FROM student",
    "a write": "DELETE FROM students",
    "nothing": "--",
    "a sentence": "I cannot answer that.",
    "several dialects": "SELECT ISNULL(points, 0)::int, DATE_PART('week', born) FROM exam",
    "cut": "SELECT born FROM student WHERE full_name = 'O",
}


@pytest.mark.parametrize("doubt", DOUBTFUL)
def test_what_may_mean_two_things_is_left_to_the_model(school, doubt):
    assert mended(school, DOUBTFUL[doubt]) is None


@pytest.mark.parametrize(
    ("dialect", "draft", "right"),
    [
        ("postgres", "SELECT customerid FROM t", 'SELECT "CustomerId" FROM t'),
        ("postgres", 'SELECT a FROM t WHERE a = "Ada"', "SELECT a FROM t WHERE a = 'Ada'"),
        ("postgres", "SELECT YEAR(d) FROM t", "SELECT EXTRACT(YEAR FROM d) FROM t"),
        ("postgres", "SELECT `a` FROM `t`", 'SELECT "a" FROM "t"'),
        ("postgres", "SELECT IFNULL(a, '') FROM t", "SELECT coalesce(a, '') FROM t"),
        ("duckdb", 'SELECT a FROM t WHERE a IN ("Ada", "Bob")', "SELECT a FROM t WHERE a IN ('Ada', 'Bob')"),
        ("duckdb", "SELECT [a] FROM t", None),
        ("mysql", "SELECT TOP 3 a FROM t", "SELECT a FROM t LIMIT 3"),
        ("tsql", "SELECT a FROM t LIMIT 3", None),
    ],
)
def test_the_rules_know_the_dialect(dialect, draft, right):
    catalog = Catalog.from_ddl('CREATE TABLE t ("CustomerId" INT, a TEXT, d DATE)', "postgres")
    catalog = replace(catalog, schema="public")

    def passes(sql):
        try:
            statement = check(sql, dialect, catalog)
        except QueryRejected:
            return False
        return not validate(statement, dialect, catalog)

    made = fix_query(draft, dialect, catalog, passes)
    assert (made.sql if made else None) == right


PROPOSED = {
    "a table that a key leads to": (
        "SELECT full_name FROM student WHERE country = 'IT'",
        "SELECT full_name FROM student JOIN city ON student.city_id = city.city_id WHERE city.country = 'IT'",
        False,
    ),
    "a join that multiplies rows": (
        "SELECT full_name FROM student WHERE points > 3",
        "SELECT full_name FROM student JOIN exam ON student.student_id = exam.student_id WHERE exam.points > 3",
        True,
    ),
    "a condition that would link nothing": (
        "SELECT s.born FROM student s JOIN exam e ON s.student_id = e.born",
        "SELECT s.born FROM student s JOIN exam e ON s.student_id = e.student_id",
        False,
    ),
    "both sides of a condition": (
        "SELECT s.born FROM exam e JOIN student s ON e.id = s.exam_id",
        "SELECT s.born FROM exam e JOIN student s ON e.student_id = s.student_id",
        False,
    ),
}


@pytest.mark.parametrize("slip", PROPOSED)
def test_other_joins_are_for_the_model_to_decide(school, slip):
    draft, proposed, multiplies = PROPOSED[slip]
    made = mended(school, draft)
    assert (made.sql, made.restructured, made.proposal_only) == (proposed, True, multiplies)


NAMES = "student exam city s e full_name ful_name points point T-CHO born 'Rome' YEAR".split()  # noqa: SIM905
WORDS = "SELECT FROM WHERE JOIN ON = , ( ) . ; * count( GROUP BY ' \\_ ```".split()  # noqa: SIM905
WRITES = ["DELETE FROM student", "DROP TABLE exam", "; UPDATE exam SET points = 1", "INTO x", "PRAGMA user_version = 3"]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(NAMES + WORDS + WRITES), max_size=14).map(" ".join))
def test_what_passes_is_never_touched_and_what_comes_out_passes(school, text):
    asked = []
    passes = passing(school)
    made = fix_query(text, "sqlite", school.catalog(), lambda sql: asked.append(sql) or passes(sql))
    assert asked[0] == text
    if passes(text):
        assert made is None
    elif made is not None:
        assert passes(made.sql)
        assert check(made.sql, "sqlite", school.catalog())


@settings(max_examples=60)
@given(st.sampled_from(list(RIGHT)), st.sampled_from(WRITES), st.booleans())
def test_no_write_is_mended_into_a_query(school, slip, write, before):
    text = f"{write}; {RIGHT[slip][0]}" if before else f"{RIGHT[slip][0]}; {write}"
    made = mended(school, text)
    assert made is None or "left out" not in " ".join(made.changes) or write == "INTO x"  # INTO alone is no statement


def test_words_are_left_out_only_where_they_are_no_statement(school):
    from rsql_magic.sql.autofix.broken_query import BrokenQuery

    text = "SELECT born FROM student; VACUUM"
    assert unwrap(BrokenQuery(text, "sqlite", school.catalog())) is None
