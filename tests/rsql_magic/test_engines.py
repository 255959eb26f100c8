"""What is particular to one kind of database: how it is opened, and that it is left as it was."""

from __future__ import annotations

import builtins
import itertools
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import duckdb
import pandas as pd
import pytest

from rsql_magic.context import Catalog
from rsql_magic.databases import Rows, base, open_engine
from rsql_magic.databases.base import interruptible
from rsql_magic.databases.mysql import MySQL
from rsql_magic.errors import BadInput, ConnectionProblem, QueryFailed, QueryRejected

# What can be opened


def test_the_kind_of_a_file_is_told_by_its_content(tmp_path):
    with closing(duckdb.connect(str(tmp_path / "ducks.data"))) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    with closing(sqlite3.connect(tmp_path / "rows.data")) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    for name, dialect in (("ducks.data", "duckdb"), ("rows.data", "sqlite")):
        with closing(open_engine(str(tmp_path / name))) as engine:
            assert (engine.dialect, engine.name) == (dialect, name)
            assert "t" in engine.catalog()


@pytest.mark.parametrize("form", ["{path}", "duckdb:///{path}", "duckdb:////{path}"])
def test_a_url_of_a_file_is_its_path(tmp_path, form):
    path = tmp_path / "x.duckdb"
    duckdb.connect(str(path)).close()
    with closing(open_engine(form.format(path=str(path)))) as engine:
        assert engine.dialect == "duckdb"


def test_a_relation_and_a_path_object_are_accepted(tmp_path):
    path = tmp_path / "x.sqlite"
    sqlite3.connect(path).close()
    with closing(open_engine(path)) as engine:
        assert engine.dialect == "sqlite"


@pytest.mark.parametrize(
    ("target", "message", "hint"),
    [
        ("missing.duckdb", "There is no file", "path"),
        ("sqlite:///missing.db", "There is no file", "path"),
        ("sqlite://", "empty in-memory", ""),
        ("duckdb:///:memory:", "empty in-memory", ""),
        ("nosuch://host/db", "no SQLAlchemy dialect for nosuch", "URL"),
        ("snowflake://a:b@c/d", "no SQLAlchemy dialect for snowflake", "pip install snowflake-sqlalchemy"),
        ("postgresql://u:hunter2@127.0.0.1:1/x", "cannot be reached", "Check"),
        ("postgresql://u:hunter2@localhost:port/x", "no database URL", "%40"),
        ("postgresql://u:hun@ter2/x@localhost/y", "more than one @", "%40"),
        ("mysql+pymysql://u:hunter2@127.0.0.1:1/x", "cannot be reached", "Check"),
    ],
)
def test_what_cannot_be_opened_says_why_without_the_password(target, message, hint):
    with pytest.raises(ConnectionProblem) as problem, closing(open_engine(target)) as engine:
        engine.catalog()
    assert message in problem.value.message
    assert hint in problem.value.hint
    assert "hunter2" not in str(problem.value)
    assert "ter2" not in str(problem.value)


@pytest.mark.parametrize(
    ("content", "suffix"), [(b"a,b\n1,2\n", ".csv"), (b"\0" * 5000, ".db"), (b"PAR1....", ".parquet")]
)
def test_a_file_that_is_no_database(tmp_path, content, suffix):
    path = tmp_path / f"data{suffix}"
    path.write_bytes(content)
    with pytest.raises(ConnectionProblem, match="neither a DuckDB nor a SQLite database"):
        open_engine(str(path))


def test_a_damaged_file(tmp_path):
    path = tmp_path / "bad.sqlite"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(ConnectionProblem, match="cannot be read"), closing(open_engine(str(path))) as engine:
        engine.catalog()
    path = tmp_path / "bad.duckdb"
    path.write_bytes(b"\0" * 8 + b"DUCK" + b"\xff" * 5000)
    with pytest.raises(ConnectionProblem), closing(open_engine(str(path))) as engine:
        engine.catalog()


def test_a_missing_driver_names_the_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(("psycopg", "pg8000", "pymysql")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith(("psycopg", "pymysql"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConnectionProblem, match=r"pip install 'rsql-jupyter\[postgresql\]'"):
        open_engine("postgresql+psycopg://u:p@h/d")
    with pytest.raises(ConnectionProblem, match=r"pip install 'rsql-jupyter\[mysql\]'"):
        open_engine("mysql+pymysql://u:p@h/d")


@pytest.mark.parametrize("target", [None, 7, object(), ["a"]])
def test_something_that_is_no_connection(target):
    with pytest.raises(BadInput, match="is no connection"):
        open_engine(target)


def test_a_closed_connection_is_a_problem_of_the_connection():
    ducks = duckdb.connect()
    ducks.close()
    rows = sqlite3.connect(":memory:")
    rows.close()
    for closed in (ducks, rows):
        with pytest.raises(ConnectionProblem, match="is closed"):
            open_engine(closed).catalog()


def test_a_jupysql_connection(tmp_path):
    connection_module = pytest.importorskip("sql.connection")
    import sqlalchemy as sa

    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    ours = connection_module.SQLAlchemyConnection(sa.create_engine(f"sqlite:///{path}"))
    try:
        assert "t" in Catalog.from_connection(ours)
    finally:
        ours.close()
    with closing(duckdb.connect()) as native:
        native.execute("CREATE TABLE u AS SELECT 1 AS a")
        assert "u" in Catalog.from_connection(connection_module.DBAPIConnection(native))


def test_sqlalchemy_engines_of_sqlite_are_unwrapped(tmp_path):
    import sqlalchemy as sa

    memory = sa.create_engine("sqlite://")
    with memory.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 1 AS a")
        assert "t" in Catalog.from_connection(connection)
    with closing(open_engine(memory)) as engine:
        assert engine.run("SELECT a FROM t").df["a"].tolist() == [1]
    memory.dispose()


# DuckDB: the user's own connection


@pytest.fixture
def ducks():
    with closing(duckdb.connect()) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS i FROM range(10)")
        yield connection


@pytest.mark.slow
def test_what_lives_in_a_connection_can_be_asked(ducks):
    ducks.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
    ducks.register("frame", pd.DataFrame({"b": [1, 2]}))
    ducks.execute(
        "CREATE SCHEMA s; CREATE TABLE s.u (c INTEGER); ATTACH ':memory:' AS other; CREATE TABLE other.v (d INTEGER)"
    )
    engine = open_engine(ducks)
    assert {t.full_name for t in engine.catalog()} == {"t", "mine", "frame", "s.u", "other.main.v"}
    assert engine.run("SELECT * FROM mine, frame").df.shape == (2, 2)


@pytest.mark.slow
def test_the_users_transaction_is_left_alone(ducks):
    ducks.execute("BEGIN; INSERT INTO t VALUES (99)")
    engine = open_engine(ducks)
    assert engine.run("SELECT count(*) AS n FROM t").df["n"].tolist() == [10]
    with pytest.raises(QueryFailed):
        engine.run("SELECT CAST('x' AS INTEGER) FROM t")
    assert ducks.execute("SELECT count(*) FROM t").fetchone() == (11,)
    ducks.execute("COMMIT")
    assert ducks.execute("SELECT count(*) FROM t").fetchone() == (11,)


@pytest.mark.slow
def test_the_users_settings_are_left_alone(ducks):
    before = ducks.execute("SELECT name, value FROM duckdb_settings() ORDER BY name").fetchall()
    with closing(open_engine(ducks)) as engine:
        engine.run("SELECT 1 AS a")
    assert ducks.execute("SELECT name, value FROM duckdb_settings() ORDER BY name").fetchall() == before
    ducks.execute("INSERT INTO t VALUES (1)")


@pytest.mark.slow
def test_a_file_is_free_between_questions(tmp_path):
    path = str(tmp_path / "x.duckdb")
    duckdb.connect(path).close()
    with closing(open_engine(path)) as engine:
        assert len(engine.catalog()) == 0
        with closing(duckdb.connect(path)) as writer:
            writer.execute("CREATE TABLE later (a INTEGER)")
            with pytest.raises(ConnectionProblem, match="already open in this Python session"):
                engine.catalog()
        assert "later" in engine.catalog()


@pytest.mark.slow
def test_a_file_is_read_from_many_threads_and_free_in_between(tmp_path):
    path = str(tmp_path / "x.duckdb")
    with closing(duckdb.connect(path)) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS a")
    engines = [open_engine(path) for _ in range(4)]

    def ask(engine):
        return [engine.run("SELECT a FROM t").df["a"].tolist() for _ in range(25)]

    with ThreadPoolExecutor(4) as pool:
        assert all(found == [[1]] * 25 for found in pool.map(ask, engines))
    with closing(duckdb.connect(path)) as writer:
        writer.execute("INSERT INTO t VALUES (2)")
    for engine in engines:
        engine.close()


def test_another_programs_hold_on_a_file_is_named(tmp_path, programs):
    path = tmp_path / "x.duckdb"
    hold = f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with closing(open_engine(str(path))) as engine, pytest.raises(ConnectionProblem, match="open for writing"):
            engine.catalog()
        other.communicate(b"\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "INSTALL httpfs",
        "SET threads = 1",
        "ATTACH '/tmp/x.db'",
        "PRAGMA database_list; SELECT 1",
    ],
)
def test_what_we_open_ourselves_is_locked(tmp_path, sql, monkeypatch):
    path = str(tmp_path / "x.duckdb")
    duckdb.connect(path).close()
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    for target in (path, {"f": pd.DataFrame({"a": [1]})}):
        with closing(open_engine(target)) as engine, pytest.raises(QueryFailed):
            engine.run(sql)


# DuckDB: types


@pytest.mark.slow
def test_types_are_kept(ducks):
    df = (
        open_engine(ducks)
        .run(
            """SELECT 1.10::DECIMAL(10, 2) AS d, 12345678901234567890.12::DECIMAL(22, 2) AS wide, sum(i) AS s,
        170141183460469231731687303715884105727::HUGEINT AS huge, max(TIMESTAMPTZ '2024-06-01 12:00:00+02') AS z,
        NULL::INTEGER AS gap, true AS b FROM t"""
        )
        .df
    )
    assert df["d"][0] == Decimal("1.10")
    assert df["wide"][0] == Decimal("12345678901234567890.12")
    assert (df["s"].dtype, df["s"][0]) == ("int64", 45)
    assert df["huge"][0] == 2**127 - 1
    assert df["z"][0] == pd.Timestamp("2024-06-01 10:00:00+00:00")
    assert df["z"][0].tzinfo is not None
    assert df["gap"].isna().all()


@pytest.mark.slow
def test_gaps_keep_large_integers_exact_over_many_pieces(ducks):
    big = 2**60 + 1
    rows = open_engine(ducks).run(
        f"SELECT CASE WHEN range % 5 = 0 THEN NULL ELSE {big} + range END AS n FROM range(5000)",
        max_rows=5000,
    )
    assert str(rows.df["n"].dtype) == "Int64"
    assert rows.df["n"][4999] == big + 4999
    assert rows.df["n"].isna().sum() == 1000


@pytest.mark.slow
def test_statements_that_are_no_queries_are_shown_too(ducks):
    engine = open_engine(ducks)
    assert "SEQ_SCAN" in engine.run("EXPLAIN SELECT * FROM t").df.to_string().upper().replace(" ", "_")
    assert engine.run("DESCRIBE t").df["column_name"].tolist() == ["i"]


# Frames


def test_frames_of_all_makers():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    frames = {
        "a": pd.DataFrame({"k": [1, 2]}),
        "b": polars.DataFrame({"k": [2, 3]}),
        "c": polars.LazyFrame({"k": [2]}),
        "d": pyarrow.table({"k": [2]}),
        "e": pd.Series([2], name="k"),
    }
    with closing(open_engine(frames)) as engine:
        joined = "SELECT count(*) AS n FROM a JOIN b USING (k) JOIN c USING (k) JOIN d USING (k) JOIN e USING (k)"
        assert engine.run(joined).df["n"].tolist() == [1]
        assert {t.name: t.rows for t in engine.catalog("names")} == {"a": 2, "b": 2, "c": 1, "d": 1, "e": 1}
        assert all(t.kind == "frame" for t in engine.catalog("names"))


def test_polars_needs_no_pyarrow(monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with closing(open_engine({"b": polars.DataFrame({"k": [2, 3]})})) as engine:
        assert engine.run("SELECT sum(k) AS s FROM b").df["s"].tolist() == [5]


def test_frames_with_awkward_names():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "A", ("x", 1)], index=pd.Index(["r"], name="label"))
    with closing(open_engine({"my frame": frame, "numbers": pd.DataFrame([[1, 2]])})) as engine:
        assert [c.name for c in engine.catalog("names")["my frame"].columns] == ["label", "a", "A_2", "x_1"]
        assert [c.name for c in engine.catalog("names")["numbers"].columns] == ["0", "1"]
        assert engine.run('SELECT * FROM "my frame"').df.to_numpy().tolist() == [["r", 1, 2, 3]]
    assert list(frame.columns) == ["a", "A", ("x", 1)]


def test_frames_with_types_that_duckdb_does_not_know():
    months = pd.period_range("2024-01", periods=2, freq="M")
    frame = pd.DataFrame(
        {
            "month": months,
            "again": pd.Categorical(months),
            "bin": pd.interval_range(0, 2),
            "wave": [1j, 2],
            "thin": pd.arrays.SparseArray([0, 7]),
        }
    )
    frame.loc[1, "month"] = pd.NaT
    with closing(open_engine({"t": frame})) as engine:
        row, other = engine.run("SELECT * FROM t ORDER BY thin").df.to_dict("records")
    assert row == {"month": "2024-01", "again": "2024-01", "bin": "(0, 1]", "wave": "1j", "thin": 0}
    assert pd.isna(other["month"])
    assert other["thin"] == 7


def test_no_frames_and_no_frame():
    with pytest.raises(BadInput, match="no data frame"):
        open_engine({})
    with pytest.raises(BadInput, match="x is no data frame but int"), closing(open_engine({"x": 3})) as engine:
        engine.catalog()


# SQLite: the user's own connection


def test_a_sqlite_connection_is_left_as_it_was():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.text_factory = bytes
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        connection.execute("INSERT INTO t VALUES (1, 'x')")
        assert connection.in_transaction
        length = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        with closing(open_engine(connection)) as engine:
            assert engine.run("SELECT a, b FROM t").df.to_numpy().tolist() == [[1, "x"]]
            with pytest.raises(QueryFailed):
                engine.run("SELECT nope FROM t")
        assert connection.in_transaction
        assert connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) == length
        connection.execute("INSERT INTO t VALUES (2, 'y')")
        connection.commit()
        assert connection.execute("SELECT b FROM t WHERE a = 2").fetchone()["b"] == b"y"


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA hard_heap_limit = 1024",
        "PRAGMA user_version = 5",
        "PRAGMA main.journal_mode(off)",
        "PRAGMA writable_schema = 1",
        "ATTACH '/tmp/evil.db' AS e",
        "SELECT load_extension('x')",
        "SELECT hex(zeroblob(2000000000))",
    ],
)
def test_sqlite_refuses_without_the_guard(sql, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(QueryFailed):
        open_engine(connection).run(sql)


def test_sqlite_answers_pragmas_that_only_read():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA user_version = 7")
        engine = open_engine(connection)
        assert engine.run("PRAGMA user_version").df.to_numpy().tolist() == [[7]]
        assert engine.run("PRAGMA integrity_check").df.to_numpy().tolist() == [["ok"]]
        assert engine.run("PRAGMA journal_mode").df.to_numpy().tolist() == [["memory"]]


def test_table_functions_and_broken_text_can_be_read():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.execute("INSERT INTO t VALUES (CAST(X'ff41' AS TEXT))")
        engine = open_engine(connection)
        rows = engine.run("SELECT a FROM t")
        assert rows.df["a"].tolist() == ["\\xffA"]
        assert rows.remarks == ("a has values for which Python has no type, here as text: \\xffA.",)
        assert engine.run("SELECT value FROM json_each('[1, 2]')").df["value"].tolist() == [1, 2]


def test_mixed_values_of_one_column_stay_what_they_are():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), ("x",), (2.5,), (None,), (b"\0",)])
        assert open_engine(connection).run("SELECT a FROM t").df["a"].tolist() == [1, "x", 2.5, None, b"\0"]
        assert open_engine(connection).run("SELECT a FROM t WHERE a = 2.5").df["a"].dtype == "float64"


# Results and refusals


@pytest.mark.slow
def test_a_schema_that_changed_under_us_is_read_again(ducks):
    engine = open_engine(ducks)
    with pytest.raises(QueryRejected):
        engine.run("SELECT * FROM later")
    ducks.execute("CREATE TABLE later AS SELECT 1 AS a")
    assert engine.run("SELECT * FROM later").df["a"].tolist() == [1]


@pytest.mark.slow
def test_a_slow_probe_of_the_schema_is_asked_less_often(ducks, monkeypatch):
    now = [100.0]
    engine = open_engine(ducks)
    engine._clock = lambda: now[0]
    state, asked = engine._database.state, []

    def slow():
        asked.append(1)
        now[0] += 0.1
        return state()

    monkeypatch.setattr(engine._database, "state", slow)
    first = engine.catalog()
    ducks.execute("CREATE TABLE later AS SELECT 1 AS a")
    assert engine.catalog() is first
    assert len(asked) == 1
    assert engine.run("SELECT * FROM later").df["a"].tolist() == [1]  # refused at first, so asked again
    now[0] += 10
    engine.catalog()
    assert len(asked) == 3


def test_rows_say_how_many_they_are():
    df = pd.DataFrame({"a": [1]})
    assert Rows(df, 1, False, 0.1).count == "1 row"
    assert Rows(df, 336_776, True, 0.1).count == "first 1 of 336,776"
    assert Rows(df, None, True, 0.1).count == "first 1 of many"


@pytest.mark.slow
def test_a_count_that_takes_too_long_is_left_out(ducks, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.engines.check", lambda sql, *_: sql)
    monkeypatch.setattr("rsql_magic.databases.engines.COUNT_SECONDS", 0.05)
    rows = open_engine(ducks).run(
        "SELECT random() AS r FROM range(100000000000) WHERE random() < 2", max_rows=3, timeout=5
    )
    assert (len(rows.df), rows.total, rows.truncated) == (3, None, True)


@pytest.mark.slow
def test_an_engine_leaves_nothing_alive(ducks):
    import gc
    import weakref

    engine = open_engine(ducks)
    engine.run("SELECT 1 AS a")
    seen = weakref.ref(engine._database)
    gc.disable()
    try:
        [t.join(60) for t in threading.enumerate() if isinstance(t, threading.Timer)]
        del engine
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_frames_are_read_anew_only_when_they_change():
    wide = pd.DataFrame({f"c{n}": [n, n + 1] for n in range(200)})
    sales = pd.DataFrame({"region": ["N", "S"] * 5, "amount": range(10)})
    with closing(open_engine({"sales": sales, "wide": wide})) as engine:
        total = "SELECT sum(amount) AS total FROM sales"
        assert engine.run(total).df["total"].tolist() == [45]
        before = engine.catalog()
        engine.renew({"sales": sales, "wide": wide})
        assert engine.catalog() is before
        sales.loc[0, "amount"] = 100
        engine.renew({"sales": sales, "wide": wide})
        assert engine.run(total).df["total"].tolist() == [145]
        assert engine.catalog()["sales"].column("amount").profile.high == "100"
        sales["more"] = 1
        engine.renew({"sales": sales})
        assert [table.name for table in engine.catalog()] == ["sales"]
        assert engine.run("SELECT more FROM sales LIMIT 1").df["more"].tolist() == [1]


@pytest.mark.slow
def test_only_the_shown_columns_of_a_very_wide_frame_are_looked_at():
    wide = pd.DataFrame({f"c{n}": [n, n + 1] * 3 for n in range(2_001)})
    with closing(open_engine({"wide": wide})) as engine:
        table = engine.catalog()["wide"]
        assert not any(column.profile for column in table.columns)
        (shown,) = engine.detail([table.with_columns(table.columns[:3])])
        assert [column.profile.high for column in shown.columns] == ["1", "2", "3"]


def test_frames_keep_their_time_zone():
    times = pd.to_datetime(["2024-01-01 00:30", "2024-06-01 12:00"]).tz_localize("Europe/Vienna")
    with closing(open_engine({"visits": pd.DataFrame({"came": times})})) as engine:
        rows = engine.run("SELECT came, extract(hour FROM came) AS hour FROM visits").df
        assert str(rows["came"].dt.tz) == engine.time_zone == "Europe/Vienna"
        assert rows["hour"].tolist() == [0, 12]


def test_a_plan_beside_a_check_asks_the_database_once_and_a_later_one_anew():
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT * FROM range(10) r(i)")
    engine = open_engine(connection)
    asked = []
    engine._database.run = lambda session, sql, *_: asked.append(sql) or session.execute(sql).fetchall()

    assert engine.check("SELECT i FROM t") == []
    first = engine.plan("SELECT i FROM t")
    explained = [sql for sql in asked if sql.startswith("EXPLAIN")]
    later = engine.plan("SELECT i FROM t")

    assert len(explained) == 1
    assert first.text == later.text
    assert sum(sql.startswith("EXPLAIN") for sql in asked) == 2


def test_the_progress_bar_comes_back_where_a_stop_hits_its_setting():
    from rsql_magic.databases.duckdb import _without_progress_bar

    class Stopped:
        """A connection that a late stop hits when the setting is put back."""

        def __init__(self):
            self.shown, self.stops = True, 1

        def execute(self, sql):
            if sql.endswith("true") and self.stops:
                self.stops -= 1
                raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
            self.shown = sql.endswith("true") if sql.startswith("SET") else self.shown
            return self

        def fetchone(self):
            return (self.shown,)

    connection = Stopped()
    with _without_progress_bar(connection):
        assert not connection.shown
    assert connection.shown


def test_a_stop_at_any_step_leaves_no_work_behind():
    """Ctrl-C at each line of the main thread, also while the thread that does the work starts."""
    for step in range(1, 20):
        asked, running, seen = threading.Event(), [], itertools.count(1)

        def work(asked=asked, running=running):
            running.append("begun")
            asked.wait(60)
            running.append("ended")

        def each_line(_frame, event, _argument, seen=seen, asked=asked, step=step):
            if event == "line" and not asked.is_set() and next(seen) == step:
                raise KeyboardInterrupt
            return each_line

        sys.settrace(each_line)
        try:
            interruptible(work, asked.set)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(None)
        assert running in ([], ["begun", "ended"]), step
        if running == []:
            time.sleep(0.01)
            assert running == []
    assert running == ["begun", "ended"]  # the last steps came after the beginning


class Lent:
    """What a watch cancels and a thread works for."""

    def cancel(self):
        """Nothing runs here."""

    def work(self):
        return 1


def test_no_thread_is_the_last_to_hold_a_database(monkeypatch):
    # DuckDB aborts a process that ends while another thread closes a connection.
    threads, database = [], Lent()
    monkeypatch.setattr(base, "start_new_thread", lambda work, given: (threads.append(work), work(*given)))
    held = weakref.ref(database)
    with base.Watch(database.cancel, seconds=3600) as watch:
        timer = watch._timer
        assert interruptible(database.work, database.cancel) == 1
    del database
    assert held() is None
    assert timer
    assert threads


def test_a_plan_of_mysql_counts_a_with_once():
    with_ = [(n, "DERIVED", f"t{n}", "ALL", None, None, None, None, 20_000, "") for n in (2, 3, 4)]
    joined = [(1, "PRIMARY", f"<derived{n}>", "ALL", None, None, None, None, 100, "") for n in (2, 3, 4)]
    plan = MySQL.read_plan(None, [*joined, *with_])
    assert plan.work == 3 * 100 + 3 * 20_000
    outer = (1, "PRIMARY", "a", "ALL", None, None, None, None, 1000, "")
    dependent = [outer, (2, "DEPENDENT SUBQUERY", "b", "ALL", None, None, None, None, 50, "")]
    assert MySQL.read_plan(None, dependent).work == 1000 + 1000 * 50
