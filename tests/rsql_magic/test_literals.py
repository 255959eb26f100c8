"""Literals that a column never holds: wherever they stand, told once; and never of what the database finds."""

from __future__ import annotations

import random
import sqlite3
from datetime import date, timedelta

import duckdb
import pytest

from rsql_magic.databases import open_engine
from rsql_magic.errors import RsqlError
from rsql_magic.text2sql.literals import comparisons, doubts, misread, out_of_range

ANIMALS = [("dog", "Hund", "big"), ("cat", "Katze", "small"), ("cow", "Kuh", "big")]


@pytest.fixture(scope="module", params=["duckdb", "sqlite"])
def engine(request):
    connection = duckdb.connect() if request.param == "duckdb" else sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute(
        "CREATE TABLE pets (id INTEGER, kind VARCHAR, deutsch VARCHAR, size VARCHAR, code VARCHAR, born INTEGER)"
    )
    connection.execute("CREATE TABLE visits (pet_id INTEGER, why VARCHAR)")
    rows = [(n, *ANIMALS[n % 3], f"Code{n}", 2000 + n % 20) for n in range(600)]
    connection.executemany("INSERT INTO pets VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.executemany("INSERT INTO visits VALUES (?, ?)", [(n, "check") for n in range(50)])
    with open_engine(connection) as opened:
        yield opened
    connection.close()


def told(engine, sql):
    catalog = engine.catalog()

    def run(query):
        try:
            return [str(value) for value in engine.run(query, max_rows=3).df.iloc[:, 0]]
        except RsqlError:
            return []

    return doubts(comparisons(sql, engine.dialect, catalog), engine.dialect, run)


WHERE = [
    "SELECT count(*) FROM pets WHERE kind = {}",
    "SELECT count(*) FROM pets WHERE {} = kind",
    "SELECT count(*) FROM pets p WHERE p.kind <> {}",
    "SELECT count(*) FROM pets WHERE kind != {}",
    "SELECT id FROM pets WHERE kind IN ({})",
    "SELECT id FROM pets WHERE kind NOT IN ('cat', {})",
    "SELECT id FROM pets WHERE NOT kind = {}",
    "SELECT id FROM pets WHERE kind IS DISTINCT FROM {}",
    "SELECT sum(CASE WHEN kind = {} THEN 1 ELSE 0 END) FROM pets",
    "SELECT sum(CASE kind WHEN {} THEN 1 ELSE 0 END) FROM pets",
    "SELECT count(*) FILTER (WHERE kind = {}) FROM pets",
    "SELECT size, count(*) FROM pets GROUP BY size, kind HAVING kind = {}",
    "SELECT count(*) FROM visits v JOIN pets p ON p.id = v.pet_id AND p.kind = {}",
    "SELECT count(*) FROM visits WHERE pet_id NOT IN (SELECT id FROM pets WHERE kind = {})",
    "WITH d AS (SELECT id FROM pets WHERE trim(kind) = {}) SELECT count(*) FROM d",
    "SELECT kind = {} AS is_dog, count(*) FROM pets GROUP BY 1",
    "SELECT id FROM pets WHERE lower(kind) = {}",
]


@pytest.mark.slow
@pytest.mark.parametrize("template", WHERE)
def test_a_near_value_is_named_wherever_the_literal_stands(engine, template):
    if "DISTINCT FROM" in template and sqlite3.sqlite_version_info < (3, 39):
        pytest.skip("this SQLite has no IS DISTINCT FROM")
    for wrong in ("'Dog'", "'DOG '", "'dogg'"):
        if "trim(" in template or wrong != "'DOG '":
            assert told(engine, template.format(wrong)) != [], wrong
    assert told(engine, template.format("'dog'")) == []
    assert told(engine, template.format("'unicorn'")) == []  # nothing is what the question is about


def test_the_sentences(engine):
    assert told(engine, "SELECT id FROM pets WHERE kind = 'Dog'") == ["kind is never 'Dog'. Did you mean 'dog'?"]
    assert told(engine, "SELECT id FROM pets WHERE kind = 'Hund'") == [
        "kind is never 'Hund', but deutsch is. Did you mean that?"
    ]
    assert told(engine, "SELECT id FROM pets WHERE code = 'CODE17'") == [
        "code is never 'CODE17'. Did you mean 'Code17'?"
    ]
    assert told(engine, "SELECT id FROM pets WHERE code = 'Code17'") == []
    assert told(engine, "SELECT v.why FROM visits v JOIN pets p ON v.pet_id = p.id WHERE v.why = 'small'") == [
        "why is never 'small', but pets.size is. Did you mean that?"
    ]


def test_double_quotes_are_a_text_in_sqlite(engine):
    if engine.dialect == "sqlite":
        assert told(engine, 'SELECT id FROM pets WHERE kind = "Dog"') == ["kind is never 'Dog'. Did you mean 'dog'?"]


def test_patterns(engine):
    found = told(engine, "SELECT id FROM pets WHERE deutsch LIKE 'hun%'")
    assert found == (["deutsch is never like 'hun%'. Did you mean 'Hund'?"] if engine.dialect == "duckdb" else [])
    assert told(engine, "SELECT id FROM pets WHERE deutsch LIKE 'Hun%'") == []
    assert told(engine, "SELECT id FROM pets WHERE deutsch LIKE '%xyz%'") == []


def test_numbers_out_of_range_are_explained(engine):
    found = comparisons("SELECT count(*) FROM pets WHERE born > 2019", engine.dialect, engine.catalog())
    assert out_of_range(found) == ["born is 2000 to 2019, so it is never > 2019."]
    found = comparisons("SELECT count(*) FROM pets WHERE born >= 2019 OR 2005 = born", engine.dialect, engine.catalog())
    assert out_of_range(found) == []


@pytest.fixture(scope="module", params=["duckdb", "sqlite"])
def trips(request):
    connection = duckdb.connect() if request.param == "duckdb" else sqlite3.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE trips (started VARCHAR, iso VARCHAR, padded VARCHAR, kind VARCHAR, size INTEGER)")
    days = [date(2013, 1, 1) + timedelta(days=n) for n in range(365)]
    rows = [(f"{day.month}/{day.day}/{day.year} 8:05", f"{day}", f"{day:%d.%m.%Y}", f"Code{day:%j}", 7) for day in days]
    connection.executemany("INSERT INTO trips VALUES (?, ?, ?, ?, ?)", rows * 3)
    with open_engine(connection) as opened:
        yield opened
    connection.close()


def misreadings(engine, condition):
    statement, catalog = f"SELECT * FROM trips AS t WHERE {condition}", engine.catalog()

    def run(query):
        return [str(row[0]) for row in engine.run(query).df.itertuples(index=False)]

    return misread(comparisons(statement, engine.dialect, catalog), engine.dialect, run)


@pytest.mark.parametrize(
    "condition",
    [
        "started >= '2013-08-01'",
        "'8/1/2013' < started",
        "size = 7 AND (t.started) BETWEEN '08/01/2013' AND '08/31/2013'",
        "started = '2013-08-29'",
        "started IN ('8/29/2013')",
        "started = '08/29/2013 8:05'",
        "started LIKE '2013-08-%'",
        "started LIKE '08/2013%'",
        "padded > '01.08.2013'",
        "padded = '2013-08-29'",
        "iso >= '8/1/2013'",
        "iso = '29.08.2013'",
    ],
)
def test_dates_that_are_compared_as_texts_are_told(trips, condition):
    told = misreadings(trips, condition)
    assert told
    assert all(" is text of the form %" in sentence for sentence in told)
    assert all(("STRPTIME(" if trips.dialect == "duckdb" else "SUBSTR") in sentence for sentence in told)


@pytest.mark.parametrize(
    "condition",
    [
        "started = '8/29/2013 8:05'",
        "started = '8/29/2019 8:05'",
        "started LIKE '8/%/2013%' OR started LIKE '%/2013%' OR started LIKE '8/%/2019%'",
        "padded LIKE '%.08.2019' AND iso LIKE '2019-08%' AND kind LIKE '2013-08-%'",
        "started <> '' AND started > ''",
        "substr(started, 1, 2) < '8/'",
        "iso BETWEEN '2013-08-01' AND '2013-08-31'",
        "iso >= '2013-08-01 10:00' AND iso < '2013-09' AND iso > '2013'",
        "iso = '2019-08-29'",
        "padded = '29.08.2013'",
        "kind < 'Code100' OR kind = '2013-08-01' OR kind > '8/1/2013'",
        "size > 3 OR size BETWEEN 1 AND 2",
    ],
)
def test_other_comparisons_are_not(trips, condition):
    assert misreadings(trips, condition) == []


def test_functions_of_dates_are_told_of_in_sqlite(trips):
    told = misreadings(trips, "strftime('%m', started) = '08' AND date(padded) = '2013-08-01' AND date(iso) > ''")
    form = "started is text of the form %m/%d/%Y %H:%M (no leading zeros)"
    expected = f"{form}: functions of dates give NULL for it. Take its parts by SUBSTR and INSTR."
    assert (expected in told, len(told)) == ((True, 2) if trips.dialect == "sqlite" else (False, 0))


def test_a_collation_makes_more_texts_equal():
    with sqlite3.connect(":memory:", check_same_thread=False) as connection:
        connection.execute("CREATE TABLE t (kind TEXT COLLATE NOCASE)")
        connection.executemany("INSERT INTO t VALUES (?)", [("dog",)] * 10)
        with open_engine(connection) as engine:
            assert told(engine, "SELECT * FROM t WHERE kind = 'Dog'") == []
            assert told(engine, "SELECT * FROM t WHERE kind = 'dogs'") == ["kind is never 'dogs'. Did you mean 'dog'?"]
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_right_queries_are_never_doubted(engine, seed):
    """Literals that are in the data, in any operator: the database is the oracle."""
    chance = random.Random(seed)
    for _ in range(40):
        row = [*chance.choice(ANIMALS), f"Code{chance.randrange(600)}"]
        column, value = chance.choice(list(zip(["kind", "deutsch", "size", "code"], row, strict=True)))
        how = chance.choice(["{c} = '{v}'", "{c} <> '{v}'", "{c} NOT IN ('{v}', 'x')", "lower({c}) = lower('{v}')",
                             "{c} LIKE '{v}%'", "upper({c}) = '{u}'"])  # fmt: skip
        condition = how.format(c=column, v=value, u=value.upper())
        assert told(engine, f"SELECT count(*) FROM pets WHERE {condition}") == [], condition


@pytest.mark.slow
def test_a_doubt_is_told_to_the_model_once_and_then_to_the_person(ip, con, gateway):
    con.execute("CREATE TABLE pets AS SELECT i AS id, ['dog', 'cat'][1 + i % 2] AS kind FROM range(40) t(i)")
    wrong, right = (f"```sql\nSELECT count(*) AS n FROM pets WHERE kind <> '{text}'\n```" for text in ("Cat", "cat"))
    gateway.replies = [wrong, right]
    result = ip.run("%%sql_ai con\nHow many pets are no cats?")
    assert "kind is never 'Cat'. Did you mean 'cat'?" in gateway.sent
    assert (int(result.df.n[0]), result.notes) == (20, ())
    gateway.replies = [wrong, wrong]
    result = ip.run("%%sql_ai con\nHow many pets are not cats?")
    assert (int(result.df.n[0]), len(result.attempts)) == (40, 2)
    assert "kind is never 'Cat'. Did you mean 'cat'?" in result.notes
    gateway.replies = [wrong]
    result = ip.run("%%sql_ai con --retries 0\nHow many pets, without cats?")
    assert "kind is never 'Cat'. Did you mean 'cat'?" in result.notes
    gateway.replies = [wrong]
    result = ip.run("%%sql_ai con --privacy names\nHow many pets but cats?")
    assert result.notes == ()


@pytest.mark.slow
def test_a_misread_date_is_told_to_the_model_once_and_then_to_the_person(ip, con, gateway):
    day = "strftime(DATE '2013-01-01' + i::INT, '%m/%d/%Y')"
    con.execute(f"CREATE TABLE days AS SELECT i AS id, {day} AS day FROM range(365) t(i)")
    wrong = "```sql\nSELECT count(*) AS n FROM days WHERE day >= '2013-08-01'\n```"
    right = "```sql\nSELECT count(*) AS n FROM days WHERE strptime(day, '%m/%d/%Y') >= DATE '2013-08-01'\n```"
    gateway.replies = [wrong, right]
    result = ip.run("%%sql_ai con\nHow many days since August?")
    assert "day VARCHAR -- dates as text: %m/%d/%Y\n" in gateway.sent
    assert "compares texts. Parse it by STRPTIME(day, '%m/%d/%Y')." in gateway.sent
    assert (int(result.df.n[0]), result.notes) == (153, ())
    gateway.replies = [wrong, wrong]
    result = ip.run("%%sql_ai con\nHow many days from August on?")
    assert "compares texts" in " ".join(result.notes)
    gateway.replies = [wrong, wrong]
    result = ip.run("%%sql_ai con --privacy names\nHow many days after July?")
    assert "- No row of days has day >= '2013-08-01'.\n" in gateway.sent
    assert [note.partition(";")[0] for note in result.notes] == ["No row of days has day >= '2013-08-01'"]
    assert "as text" not in gateway.sent
