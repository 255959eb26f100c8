"""Queries over planted secrets: what would tell them, and what does not touch them.

A world is made twice, with other secrets: a query that shows nothing of them gives the same rows in both.
"""

# ruff: noqa: E501 - a query a line

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CITIES = ("Oslo", "Rome", "Bern")
TABLES = (
    "CREATE TABLE people (id INTEGER PRIMARY KEY, city VARCHAR(20), name VARCHAR(40), ssn INTEGER, age INTEGER)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, person_id INTEGER, amount INTEGER, contact VARCHAR(40))",
    "CREATE TABLE guesses (word VARCHAR(40), number INTEGER)",
    "CREATE VIEW contacts AS SELECT name AS person, city AS place, id AS nr FROM people",
    "CREATE VIEW reached AS SELECT person AS who, place FROM contacts WHERE nr > 0",
    "CREATE VIEW cities AS SELECT city, count(*) AS n FROM people GROUP BY city",
    "CREATE VIEW chosen AS SELECT id, city FROM people WHERE name LIKE 'Sx%'",
)
DICTIONARY = {
    "tables": {
        "people": {"columns": {"name": {"display": "restricted"}, "ssn": {"display": "restricted"}}},
        "orders": {"columns": {"contact": {"display": "restricted"}}},
    }
}


def secret(world: int, number: int) -> str:
    """The name of a person: five people have one, so that it would be a category."""
    return f"S{'xy'[world]}7{'abcdefgh'[(number * (3 + 2 * world) + world) % 8]}Q"


def fill(run: Callable[[str], Any], world: int) -> None:
    """Make the tables with the secrets of a world."""
    people = [
        f"({n}, '{CITIES[n % 3]}', '{secret(world, n)}', {700000 + world * 5000 + n % 8}, {20 + n % 9})"
        for n in range(1, 41)
    ]
    orders = [f"({n}, {1 + n % 40}, {n % 7}, '{secret(world, 1 + n % 40)}')" for n in range(1, 61)]
    words = sorted({secret(w, n) for w in (0, 1) for n in range(8)})
    guesses = [f"('{word}', {700000 + (n % 2) * 5000 + n // 2})" for n, word in enumerate(words)]
    for statement in TABLES[:3]:
        run(statement)
    for table, rows in (("people", people), ("orders", orders), ("guesses", guesses)):
        run(f"INSERT INTO {table} VALUES {', '.join(rows)}")
    for statement in TABLES[3:]:
        run(statement)


class Case(NamedTuple):
    """A query, and whether it tells a secret (``leaks``), only counts (``counts``), or touches none (``apart``)."""

    kind: str
    sql: str


_SINGLE = (
    "p.name", "upper(p.name)", "p.ssn", "p.ssn + 1", "length(p.name)", "p.name = 'Sx7aQ'", "p.name LIKE 'Sx7a%'",
    "p.ssn > 700003", "p.name IN ('Sx7aQ', 'Sx7bQ')", "CASE WHEN p.name < 'Sx7d' THEN 1 ELSE 0 END",
    "coalesce(p.name, '-')", "nullif(p.name, 'Sx7aQ')", "nullif(p.name, 'Sx7aQ') IS NULL",
    "CASE p.name WHEN 'Sx7aQ' THEN 'a' WHEN 'Sx7bQ' THEN 'b' ELSE 'c' END", "substr(p.name, 2, 3)",
    "max(p.name) OVER ()", "rank() OVER (ORDER BY p.name)", "row_number() OVER (PARTITION BY substr(p.name, 1, 4) ORDER BY p.id)",
    "lag(p.name) OVER (ORDER BY p.id)", "first_value(p.ssn) OVER (PARTITION BY p.city ORDER BY p.id)",
    "sum(CASE WHEN p.name < 'Sx7d' THEN 1 ELSE 0 END) OVER (ORDER BY p.id)",
    "count(CASE WHEN p.name < 'Sx7d' THEN 1 END) OVER (PARTITION BY p.id)",
    "(SELECT max(q.name) FROM people q WHERE q.id = p.id)", "(SELECT p.name)",
    "(SELECT count(*) FROM people q WHERE q.id = p.id AND q.name < 'Sx7d')",
    "(SELECT min(word) FROM guesses WHERE word = p.name)", "(SELECT min(number) FROM guesses WHERE number >= p.ssn)",
    "(SELECT o.contact FROM orders o WHERE o.person_id = p.id ORDER BY o.id LIMIT 1)",
    "EXISTS (SELECT 1 FROM guesses g WHERE g.word = p.name AND g.number > 700002)", "p.name || '!'",
)  # fmt: skip
_WHOLE = (
    "SELECT max(name) AS c FROM people", "SELECT min(ssn) AS c FROM people", "SELECT sum(ssn) AS c FROM people",
    "SELECT name AS c, count(*) AS n FROM people GROUP BY name", "SELECT * FROM contacts", "SELECT who FROM reached",
    "SELECT person AS c, nr FROM contacts WHERE place = 'Oslo'", "SELECT id FROM chosen",
    "SELECT word FROM guesses WHERE word IN (SELECT name FROM people)", "SELECT * FROM people WHERE age > 21",
    "SELECT g.word FROM guesses g JOIN people p ON p.name = g.word", "SELECT word FROM guesses INTERSECT SELECT name FROM people",
    "SELECT word FROM guesses EXCEPT SELECT name FROM people", "SELECT id FROM people WHERE name < 'Sx7d'",
    "SELECT id FROM people ORDER BY name, id LIMIT 3", "SELECT city FROM people UNION SELECT name FROM people",
    "SELECT city, count(*) AS n FROM people GROUP BY city, substr(name, 1, 4) HAVING max(name) < 'Sx7d'",
    "SELECT id, count(CASE WHEN name < 'Sx7d' THEN 1 END) AS n FROM people GROUP BY id",
    "SELECT count(*) AS n FROM people WHERE id = 7 AND name < 'Sx7d'",
    "SELECT count(*) AS n FROM (SELECT name FROM people ORDER BY id LIMIT 1) AS t WHERE name < 'Sx7d'",
    "SELECT sum(CASE WHEN id = 7 AND name < 'Sx7d' THEN 1 ELSE 0 END) AS n FROM people",
    "SELECT sum(id) AS n FROM people WHERE name < 'Sx7d'", "SELECT max(id) AS n FROM people WHERE name < 'Sx7d'",
    "SELECT o.id, g.number FROM orders o JOIN guesses g ON g.word = o.contact",
    "SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM people p WHERE p.id = o.person_id AND p.name < 'Sx7d')",
    "WITH RECURSIVE r(a, n) AS (SELECT name, 1 FROM people UNION ALL SELECT a, n + 1 FROM r WHERE n < 2) SELECT a FROM r",
    "WITH RECURSIVE r(a, b, n) AS (SELECT city, name, 1 FROM people UNION ALL SELECT b, a, n + 1 FROM r WHERE n < 2) SELECT a FROM r",
    "SELECT p.city FROM people p JOIN (SELECT 'Sx7aQ' AS x UNION ALL SELECT name FROM people WHERE 1 = 0) AS v ON v.x = p.name",
    "SELECT x FROM (SELECT city AS x, id FROM people UNION ALL SELECT name, id FROM people) AS t WHERE id < 5",
    "SELECT b FROM (SELECT nullif(name, 'Sx7aQ') AS a, id FROM people) AS t JOIN (SELECT 1 AS b) AS u ON t.a IS NULL",
)  # fmt: skip
_OF_ENGINE = {
    "duckdb": (
        "SELECT {'a': name} FROM people", "SELECT list(name) FROM people", "SELECT p FROM people p", "FROM people",
        "SELECT x.e FROM people CROSS JOIN LATERAL (SELECT name AS e) AS x", "SELECT u FROM people, UNNEST([name]) AS t(u)",
        "SELECT COLUMNS('n.*') FROM people", "SELECT #3 FROM people", "PIVOT people ON name USING count(*)",
        "SELECT any_value(name) FROM people", "SELECT string_agg(name, ',') FROM people", "SELECT * FROM people AS t(a, b, c, d, e)",
        "SELECT arg_max(name, age) FROM people", "SELECT {'a': name, 'b': city}.a FROM people", "SELECT struct_pack(x := name).x FROM people",
        "SELECT list_transform([name], x -> x || '') FROM people", "SELECT DISTINCT ON (name) id FROM people", "SUMMARIZE people",
        "SELECT n, v FROM people UNPIVOT (v FOR n IN (name, city))", "SELECT id FROM people QUALIFY row_number() OVER (ORDER BY name) < 4",
        "SELECT * EXCLUDE (name) FROM people", "SELECT * REPLACE (name AS city) FROM people", "SELECT * RENAME (name AS a) FROM people",
        "SELECT mode(name) FROM people", "SELECT quantile_disc(ssn, 0.5) FROM people", "SELECT histogram(name) FROM people",
        "SELECT row_to_json(p) FROM people p", "SELECT people.name[1] FROM people", "SELECT [p.name for p in list(people)] FROM people",
        "SELECT city AS c, name AS d, d || c FROM people", "VALUES ((SELECT max(name) FROM people))",
        "SELECT 1 AS id, name FROM people UNION ALL BY NAME SELECT id, city AS name FROM people", "SELECT p.id FROM people p SEMI JOIN guesses g ON g.word = p.name",
        "SELECT g.word FROM guesses g SEMI JOIN people p ON g.word = p.name", "SELECT o.id FROM orders o POSITIONAL JOIN people p WHERE p.name < 'Sx7d'",
        "SELECT query_table FROM query_table('people')", "SELECT approx_top_k(name, 3) FROM people",
    ),
    "postgresql": (
        "SELECT row_to_json(p) FROM people p", "SELECT (p).name FROM people p", "SELECT array_agg(name) FROM people", "SELECT p FROM people p",
        "SELECT name(p) FROM people p", "SELECT x.e FROM people CROSS JOIN LATERAL (SELECT name AS e) AS x", "SELECT u FROM people, unnest(ARRAY[name]) AS t(u)",
        "SELECT * FROM people AS t(a, b, c, d, e)", "SELECT DISTINCT ON (name) id FROM people ORDER BY name, id", "TABLE people",
        "SELECT string_agg(name, ',') FROM people", "SELECT mode() WITHIN GROUP (ORDER BY name) FROM people", "SELECT people::text FROM people",
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ssn) FROM people", "SELECT (ROW(name, city)).f1 FROM people", "SELECT query_to_xml('SELECT name FROM people', true, true, '')",
        "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'people'", "SELECT jsonb_build_object('a', name) ->> 'a' FROM people", "SELECT to_jsonb(people) FROM people",
        "SELECT bool_or(name < 'Sx7d') FROM people", "SELECT v.x FROM people p, LATERAL (VALUES (p.name)) AS v(x)", "SELECT j.value FROM people p, jsonb_each_text(to_jsonb(p)) AS j",
        "SELECT g.n FROM people p JOIN generate_series(700000, 706000) AS g(n) ON g.n = p.ssn", "SELECT table_to_xml('people', true, true, '')",
        "SELECT 1 FROM people p WINDOW w AS (PARTITION BY name) ORDER BY rank() OVER w", "SELECT CAST(p.* AS text) FROM people p",
    ),
    "sqlite": (
        "SELECT group_concat(name) FROM people", "SELECT json_object('a', name) FROM people", "SELECT json_group_array(name) FROM people", "SELECT id FROM people WHERE word IN people",
        "SELECT word FROM guesses WHERE word IN (SELECT name FROM people)", "SELECT json_extract(json_object('a', name), '$.a') FROM people", "SELECT e.value FROM people p, json_each(json_array(p.name)) e",
        "SELECT total(ssn) FROM people", 'SELECT "name" FROM people', "SELECT rowid, name FROM people", "SELECT people.* FROM people", "SELECT city, max(age), name FROM people",
    ),
    "mariadb": (
        "SELECT group_concat(name) FROM people", "SELECT json_object('a', name) FROM people", "SELECT json_arrayagg(name) FROM people", "SELECT @a := name FROM people",
        "SELECT `name` FROM people", "SELECT people.* FROM people", "SELECT city, name FROM people GROUP BY city", "SELECT if(name < 'Sx7d', 1, 0) FROM people", "SELECT strcmp(name, 'Sx7d') FROM people",
        "SELECT name REGEXP 'a' FROM people", "SELECT sum(ascii(name)) FROM people", "SELECT bit_xor(ssn) FROM people", "SELECT elt(1, name) FROM people", "SELECT field(name, 'Sx7aQ', 'Sx7bQ') FROM people",
    ),
}  # fmt: skip
_COUNTING = (
    "SELECT count(name) AS n, count(DISTINCT ssn) AS m FROM people", "SELECT city, count(DISTINCT name) AS n FROM people GROUP BY city",
    "SELECT count(*) AS n FROM people WHERE name LIKE 'Sx%'", "SELECT city, count(*) AS n FROM people WHERE name LIKE 'Sx%' GROUP BY city",
    "SELECT city, sum(CASE WHEN name < 'Sx7d' THEN 1 ELSE 0 END) AS n FROM people GROUP BY city",
    "SELECT avg(age) AS a FROM people WHERE ssn > 700003", "SELECT count(*) AS n FROM people WHERE name IS NULL",
    "SELECT count(*) AS n FROM (SELECT name FROM people GROUP BY name HAVING count(*) > 1) AS t",
    "SELECT p.city, sum(o.amount) AS total FROM orders o JOIN people p ON p.name = o.contact GROUP BY p.city",
    "SELECT count(*) AS n FROM contacts", "SELECT place, count(DISTINCT person) AS n FROM contacts GROUP BY place",
)  # fmt: skip
_FREE = (
    "p.city", "p.age", "p.age + p.id", "upper(p.city)", "p.city = 'Oslo'", "CASE WHEN p.age > 25 THEN 1 ELSE 0 END", "p.city IS NULL",
    "max(p.age) OVER (PARTITION BY p.city)", "rank() OVER (ORDER BY p.age)", "coalesce(p.city, '-')", "p.age BETWEEN 21 AND 25",
    "(SELECT max(o.amount) FROM orders o WHERE o.person_id = p.id)", "(SELECT count(*) FROM orders o WHERE o.person_id = p.id)",
    "EXISTS (SELECT 1 FROM orders o WHERE o.person_id = p.id AND o.amount > 5)", "lag(p.age) OVER (ORDER BY p.id)", "round(p.age / 3.0, 1)",
    "(SELECT c.n FROM cities c WHERE c.city = p.city)", "(SELECT min(g.number) FROM guesses g WHERE g.number > p.age)", "p.city || '!'",
)  # fmt: skip
_APART = (
    "SELECT city, count(*) AS n FROM people GROUP BY city ORDER BY n DESC", "SELECT id, city, age FROM people WHERE age > 21 ORDER BY id LIMIT 5",
    "SELECT p.city, sum(o.amount) AS total FROM orders o JOIN people p ON p.id = o.person_id GROUP BY p.city", "SELECT * FROM cities", "SELECT * FROM guesses",
    "SELECT p.city, o.amount FROM people p LEFT JOIN orders o ON o.person_id = p.id", "SELECT place FROM reached", "SELECT place, nr FROM contacts",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r", "SELECT city FROM people UNION SELECT word FROM guesses",
    "SELECT c.city, c.n, p.age FROM cities c JOIN people p ON p.city = c.city", "SELECT avg(age) AS a, min(age) AS b, max(id) AS c FROM people",
    "WITH t AS (SELECT * FROM people) SELECT city, age FROM t", "SELECT t.city FROM (SELECT * FROM people) AS t WHERE t.age > 23",
    "SELECT id FROM orders WHERE person_id IN (SELECT id FROM people WHERE city = 'Rome')", "SELECT city FROM people GROUP BY city HAVING count(*) > 3",
)  # fmt: skip
_WRAPS = (
    "WITH t(x, y) AS ({q}) SELECT y AS a0, x AS a1 FROM t", "SELECT t.a1 AS a0, t.a0 AS a1 FROM ({q}) AS t", "SELECT * FROM ({q}) AS t",
    "WITH t AS ({q}) SELECT * FROM t", "WITH t AS ({q}), u AS (SELECT a1 AS b, a0 AS c FROM t) SELECT c AS a0, b AS a1 FROM u",
    "SELECT city AS a0, city AS a1 FROM people UNION ALL SELECT a0, a1 FROM ({q}) AS t", "SELECT a1 AS a0, a0 AS a1 FROM ({q}) AS t UNION SELECT word, word FROM guesses",
    "SELECT a0, min(a1) AS a1 FROM ({q}) AS t GROUP BY a0", "SELECT CASE WHEN a0 > '5' THEN a1 ELSE a0 END AS a0, a0 AS a1 FROM ({q}) AS t",
    "SELECT t.a0, t.a1 FROM ({q}) AS t CROSS JOIN (SELECT 1 AS k) AS u", "SELECT p.city AS a0, (SELECT max(a1) FROM ({q}) AS t) AS a1 FROM people p",
    "SELECT DISTINCT a0, a1 FROM ({q}) AS t", "SELECT a0, a1 FROM ({q}) AS t ORDER BY a1, a0 LIMIT 7", "SELECT a0, max(a1) OVER () AS a1 FROM ({q}) AS t",
    "SELECT a0, 'x' AS a1 FROM ({q}) AS t WHERE a1 > 'B'", "SELECT a1 AS a0, concat(a0, a1) AS a1 FROM ({q}) AS t", "SELECT a0, a1 FROM ({q}) AS t WHERE a0 IN (SELECT a0 FROM ({q}) AS u)",
    "SELECT g.word AS a0, t.a0 AS a1 FROM guesses g JOIN ({q}) AS t ON t.a1 = g.word", "SELECT t.* FROM ({q}) AS t LEFT JOIN cities c ON c.city = t.a1",
    "SELECT u.a0, t.a1 FROM ({q}) AS t JOIN ({q}) AS u ON u.a1 = t.a0", "SELECT a1 AS a0, a0 AS a1 FROM ({q}) AS t GROUP BY a0, a1",
)  # fmt: skip
_WRAPS_OF = {
    "duckdb": (
        "SELECT t.a0, l.z AS a1 FROM ({q}) AS t CROSS JOIN LATERAL (SELECT t.a1 AS z) AS l", "SELECT y AS a0, x AS a1 FROM ({q}) AS t(x, y)",
        "SELECT s.f AS a0, s.g AS a1 FROM (SELECT {{'f': a1, 'g': a0}} AS s FROM ({q}) AS t) AS u", "SELECT a0, unnest([a1]) AS a1 FROM ({q}) AS t",
        "FROM ({q}) AS t SELECT a1 AS a0, a0 AS a1", "SELECT * REPLACE (a1 AS a0) FROM ({q}) AS t", "SELECT a0, a1 FROM ({q}) AS t QUALIFY row_number() OVER (ORDER BY a1, a0) < 9",
        "SELECT a1 AS b, b AS a0, a0 AS a1 FROM ({q}) AS t", "SELECT string_agg(a1, ',' ORDER BY a1) AS a0, max(a0) AS a1 FROM ({q}) AS t",
    ),
    "postgresql": (
        "SELECT t.a0, l.z AS a1 FROM ({q}) AS t CROSS JOIN LATERAL (SELECT t.a1 AS z) AS l", "SELECT y AS a0, x AS a1 FROM ({q}) AS t(x, y)",
        "SELECT a0, unnest(ARRAY[a1]) AS a1 FROM ({q}) AS t", "SELECT t.a0, v.z AS a1 FROM ({q}) AS t CROSS JOIN LATERAL (VALUES (t.a1)) AS v(z)",
        "SELECT to_jsonb(t) ->> 'a1' AS a0, a0 AS a1 FROM ({q}) AS t", "SELECT string_agg(a1, ',' ORDER BY a1) AS a0, max(a0) AS a1 FROM ({q}) AS t",
    ),
}  # fmt: skip


def queries(engine: str, many: int, seed: int = 7) -> Iterator[Case]:
    """Queries for an engine: each that is written out, then generated ones."""
    for kind, some in (("leaks", (*_WHOLE, *_OF_ENGINE[engine])), ("counts", _COUNTING), ("apart", _APART)):
        yield from (Case(kind, sql) for sql in some)
    chance = random.Random(f"{engine}{seed}")
    text = "CHAR(40)" if engine == "mariadb" else "VARCHAR(40)"
    wraps = [wrap for wrap in (*_WRAPS, *_WRAPS_OF.get(engine, ())) if "concat(" not in wrap or engine != "sqlite"]
    for number in range(many):
        kind, some = ("leaks", _SINGLE) if number % 2 else ("apart", _FREE)
        carried = some[number // 2 % len(some)].replace("||", "||" if engine != "mariadb" else "OR")
        first, second = (f"CAST(p.id AS {text}) AS a0", f"CAST({carried} AS {text}) AS a1")
        if chance.random() < 0.3:
            first, second = second.replace("a1", "a0"), first.replace("a0", "a1")
        sql = f"SELECT {first}, {second} FROM people p"
        for _ in range(chance.randint(0, 3)):
            sql = chance.choice(wraps).format(q=sql)
        shown = chance.choice(("a0", "a1", "a0, a1", "*", "upper(a1) AS z, a0", "max(a1) AS z"))
        yield Case(kind, sql if chance.random() < 0.3 else f"SELECT {shown} FROM ({sql}) AS last")
