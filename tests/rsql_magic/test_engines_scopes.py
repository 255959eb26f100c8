"""Generated statements that vary the scope of WITH, quoting, case and notation, with a planted name as the oracle.

A name means something planted wherever no WITH, as the engine binds it, defines it: in DuckDB a file or a Python
variable, in SQLite a function or a table of the engine's insides. Whatever shape a statement has, the engine's door
lets nothing planted out.
"""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import duckdb
import pandas as pd
import pytest

from rsql_magic.databases import open_engine
from rsql_magic.errors import QueryFailed, QueryRejected

CANARY = "canary-4711"
SAMPLE = 40
SWEEP = 3_000


class Shape:
    """Makes statements about a name at random.

    Args:
        seed: Which.
        name: The name that is planted, as it may stand between double quotes.
    """

    def __init__(self, seed: int, name: str) -> None:
        self.pick = random.Random(seed)
        self.name = name

    def statement(self) -> str:
        """A query with WITH at any depth."""
        query = self.query(self.pick.randint(1, 3))
        around = self.pick.choice(
            ["{}", "{}", "{}", "SELECT * FROM ({}) AS q", "SELECT count(*) FROM ({}) AS q", "({})"]
        )
        return around.format(query)

    def query(self, depth: int) -> str:
        body = self.body(depth)
        return f"{self.with_(depth)} {body}" if self.pick.random() < 0.7 else body

    def with_(self, depth: int) -> str:
        word = self.pick.choice(["WITH", "WITH", "WITH RECURSIVE", "with recursive"])
        count = self.pick.randint(1, 3)
        return f"{word} {', '.join(self.definition(depth) for _ in range(count))}"

    def definition(self, depth: int) -> str:
        name = self.spelled() if self.pick.random() < 0.6 else self.pick.choice(["one", "two", '"Two"', "three"])
        columns = self.pick.choice(["", "", "(x)"])
        kind = self.pick.choice(["", "", "MATERIALIZED ", "NOT MATERIALIZED "])
        return f"{name}{columns} AS {kind}({self.query(depth - 1) if depth > 1 else self.body(0)})"

    def body(self, depth: int) -> str:
        choice = self.pick.random()
        if choice < 0.25:
            union = self.pick.choice(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"])
            return f"{self.select(depth)} {union} {self.select(depth)}"
        if choice < 0.35:
            return f"SELECT 'a' AS x UNION ALL {self.select(depth)} UNION SELECT x FROM {self.source(0)} WHERE x = 'b'"
        return self.select(depth)

    def select(self, depth: int) -> str:
        source = self.source(depth)
        where = self.pick.choice(
            ["", "", " WHERE x IN (SELECT x FROM {})", " WHERE EXISTS (SELECT 1 FROM {})", " LIMIT 3"]
        )
        return f"SELECT {self.pick.choice(['x', 'x', '*', 'q.x'])} FROM {source} AS q{where.format(self.source(0))}"

    def source(self, depth: int) -> str:
        choice = self.pick.random()
        if depth > 1 and choice < 0.3:
            return f"({self.query(depth - 1)})"
        if choice < 0.75:
            return self.spelled()
        return self.pick.choice(["one", "two", "three", "(SELECT 'v' AS x)", "t"])

    def spelled(self) -> str:
        """The name as a model may spell it: other capitals, letters that fold to the same, a text for a name."""
        folded = [
            self.name,
            self.name.upper(),
            self.name.title(),
            self.name.replace("s", "ſ"),
            self.name.replace("ss", "ß"),
        ]
        name = self.pick.choice([self.name, self.name, *folded])
        forms = [f'"{name}"'] * 6 + [f"'{name}'", f'main."{name}"', f'"{name}"']
        return self.pick.choice(forms) if not name.isidentifier() else self.pick.choice([*forms, name, name])


def tried(engine, sql):
    """What comes of a statement at every door."""
    seen = ""
    for door in (engine.check, engine.run):
        try:
            found = door(sql)
            seen += found.df.to_string() if door == engine.run else repr(found)
        except (QueryFailed, QueryRejected) as error:
            seen += f"{error} {error.hint}"
    return seen


@pytest.fixture(scope="module")
def ducks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    for name in ("dress.csv", "DRESS.CSV", "Dress.Csv", "dreſſ.csv", "dreß.csv"):
        (folder / name).write_text(f"x\n{CANARY}\n")
    with closing(duckdb.connect()) as connection:
        for name in ("t", "one", "two", "three"):
            connection.execute(f"CREATE TABLE {name} (x VARCHAR); INSERT INTO {name} VALUES ('mine')")
        with closing(open_engine(connection)) as engine:
            engine.catalog()
            yield engine, connection, f"{folder}/dress.csv"


def through_duckdb(ducks, seeds, monkeypatch):
    """Attacks that leak, with the guard and behind an open guard; and how many are real, that is, leak without us."""
    engine, connection, file = ducks
    dress = Dress = DRESS = pd.DataFrame({"x": [CANARY]})  # noqa: F841, N806 - DuckDB sees them
    leaks, real = [], 0
    for seed in seeds:
        sql = Shape(seed, file if seed % 2 else "dress").statement()
        leaks += [sql] if CANARY in tried(engine, sql) else []
        try:
            real += CANARY in repr(connection.execute(sql).fetchall())
        except duckdb.Error:
            continue
    with monkeypatch.context() as patch:
        patch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
        for seed in seeds:
            sql = Shape(seed, file if seed % 2 else "dress").statement()
            leaks += [f"open guard: {sql}"] if CANARY in tried(engine, sql) else []
    return leaks, real


@pytest.mark.slow
def test_no_shape_reads_what_is_planted(ducks, monkeypatch):
    leaks, real = through_duckdb(ducks, range(SAMPLE), monkeypatch)
    assert not leaks
    assert real > 1, "the shapes are real attacks"


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_no_shape_reads_what_is_planted_sweep(ducks, monkeypatch):
    leaks, real = through_duckdb(ducks, range(SAMPLE, SWEEP), monkeypatch)
    print(f"{SWEEP - SAMPLE:,} shapes, {real:,} of which leak without the guard, {len(leaks)} with it")
    assert not leaks


def through_sqlite(seeds):
    """Attacks on SQLite that call a planted function or read the engine's insides."""
    reached = []
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (x TEXT)")
        for name in ("abs", "lower", "like"):
            connection.create_function(name, -1, lambda *_: reached.append(1) or CANARY)
        with closing(open_engine(connection)) as engine:
            for seed in seeds:
                pick = random.Random(seed)
                sql = Shape(seed, pick.choice(["dbstat", "sqlite_stmt", "sqlite_dbpage", "t"])).statement()
                call = pick.choice(["abs(x)", "LOWER(x)", '"lower"(x)', "x LIKE 'a'", "`abs`(x)", "[lower](x)"])
                assert CANARY not in tried(engine, sql.replace("SELECT x", f"SELECT {call} AS x", 1))
                assert not reached, sql


@pytest.mark.slow
def test_sqlite_calls_nothing_planted():
    through_sqlite(range(SAMPLE))


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_sqlite_calls_nothing_planted_sweep():
    through_sqlite(range(SAMPLE, SWEEP))


DEFINED = (
    "WITH w AS (SELECT id FROM t)",
    "WITH w AS MATERIALIZED (SELECT id FROM t)",
    "WITH w AS NOT MATERIALIZED (SELECT id FROM t)",
    "WITH v AS (SELECT id FROM t), w AS (SELECT id FROM v WHERE id > 1)",
    "WITH w AS (SELECT id FROM t GROUP BY id HAVING count(*) > 0)",
    "WITH w AS (SELECT id FROM t UNION ALL SELECT id + 9 FROM t)",
    "WITH w AS (SELECT id FROM t ORDER BY id LIMIT 2)",
    "WITH RECURSIVE w(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM w WHERE id < 4)",
    "WITH W AS (SELECT id FROM (WITH w AS (SELECT id FROM t) SELECT id FROM w))",
    "WITH w(id) AS (VALUES (1), (2))",
)
COUNTED = (
    "SELECT count(*) FROM w",
    "SELECT count(*) FROM w AS other",
    "SELECT 1 FROM w",
    "SELECT count(*) FROM w, t",
    "SELECT EXISTS (SELECT 1 FROM w), (SELECT count(*) FROM w)",
    "SELECT count(*) FROM w UNION ALL SELECT count(*) FROM w",
    "SELECT count(*) FROM (SELECT * FROM w)",
    "SELECT count(*) FROM t WHERE id IN (SELECT id FROM w)",
)


def test_rows_of_a_with_are_counted_on_sqlite():
    """SQLite's authorizer is told its name as that of a table where no column of it is read."""
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (1), (2), (3)")
    for sql in (f"{defined} {counted}" for defined in DEFINED for counted in COUNTED):
        wanted = connection.execute(sql).fetchall()
        assert open_engine(connection).run(sql).df.to_numpy().tolist() == [list(row) for row in wanted], sql
    connection.close()
