"""Filling a value index from databases: what is read, what is left out, what is read again, and who goes first."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing

import duckdb
import pandas as pd
import pytest

from rsql_magic.databases import ValueKeeper, keep_values, open_database, open_engine, values_folder
from rsql_magic.databases.value_building import TOO_MANY, ValueBuilder
from rsql_magic.errors import QueryFailed
from rsql_magic.knowledge import ValueIndex, ValueStore

KINDS = ["dog", "cat", "São Paulo", "New York"]
PETS = [(n, KINDS[n % 4], f"ann{n}@example.org", f"word{n % 90}", f"tok{n}", f"text {n} " * 20) for n in range(2_000)]
CREATE = (
    "CREATE TABLE pets (id INTEGER, kind VARCHAR, email VARCHAR, word VARCHAR, api_token VARCHAR, story VARCHAR)",
    "CREATE TABLE visits (pet_id INTEGER, why VARCHAR)",
    "CREATE VIEW seen AS SELECT kind FROM pets",
)


def fill(connection):
    for statement in CREATE:
        connection.execute(statement)
    connection.executemany("INSERT INTO pets VALUES (?, ?, ?, ?, ?, ?)", PETS)
    connection.executemany("INSERT INTO visits VALUES (?, ?)", [(n, "check" if n % 2 else "wounds") for n in range(50)])


@pytest.fixture(params=["sqlite", "duckdb", "frames"])
def database(request):
    if request.param == "frames":
        frame = pd.DataFrame(PETS, columns=["id", "kind", "email", "word", "api_token", "story"])
        opened = open_database({"pets": frame, "visits": pd.DataFrame({"why": ["check", "wounds"] * 25})})
    else:
        connection = sqlite3.connect(":memory:") if request.param == "sqlite" else duckdb.connect()
        fill(connection)
        opened = open_database(connection)
    yield opened
    opened.close()
    if request.param != "frames":
        connection.close()


def build(database, store, **options):
    builder = ValueBuilder(database, store, **options)
    steps = sum(1 for _ in builder.steps(database.structure().tables))
    return builder, steps


@pytest.mark.slow
def test_all_values_are_there_and_the_rest_is_left_out_with_its_reason(database):
    with closing(ValueStore(None)) as store:
        builder, _ = build(database, store)
        index = ValueIndex(store)
        known = {(one.table, one.column): one for one in index.columns}
        assert {known["pets", "kind"].values, known["pets", "word"].values} == {4, 90}
        assert all(index.holds(kind, "pets", "kind") for kind in KINDS)
        assert [one.column for one in index.same(["WOUND"])] == ["why"]
        notes = {column: one.note for (table, column), one in known.items() if table == "pets" and one.note}
        assert notes == {
            "email": "its name says that it identifies people",
            "api_token": "its name says that it holds secrets",
            "story": "it holds long texts",
        }
        assert builder.done == builder.total
        assert not any(
            "example.org" in value or "tok1" in value for n in store.columns for value in store.every(n, 9_999)
        )
        if ("seen", "kind") in known:
            assert known["seen", "kind"].note == "it is a view"


def test_identifiers_and_secrets_are_told_by_what_they_look_like():
    frame = pd.DataFrame({"note": [f"ann.lee{n}@example.org" for n in range(60)], "kind": ["dog", "cat"] * 30})
    with closing(open_database({"t": frame})) as database, closing(ValueStore(None)) as store:
        build(database, store)
        assert [one.note for one in ValueIndex(store).columns if one.column == "note"] == [
            "its values look like secrets or identifiers of people"
        ]


def test_only_what_has_changed_is_read_again(tmp_path):
    place = tmp_path / "pets.db"
    with closing(sqlite3.connect(place)) as connection:
        fill(connection)
        connection.commit()
        with closing(open_database(str(place))) as database, closing(ValueStore(None)) as store:
            build(database, store)
            read = []
            database.parts = lambda table, own=database.parts: read.append(table.full_name) or own(table)
            build(database, store)
            assert read == []
            connection.execute("UPDATE visits SET why = 'vaccine' WHERE pet_id = 3")
            connection.commit()
            build(database, store)
            assert set(read) == {"visits"}
            assert ValueIndex(store).holds("vaccine", "visits", "why")
            connection.execute("DROP TABLE visits")
            connection.commit()
            build(database, store)
            assert {one.table for one in ValueIndex(store).columns} == {"pets", "seen"}


@pytest.mark.slow
def test_many_values_are_sorted_on_disk_and_come_once(monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.value_building.IN_MEMORY", 500)
    monkeypatch.setattr("rsql_magic.databases.duckdb._ROWS_OF_A_PART", 1_000)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 'v' || (i * 7919 % 3000) AS v FROM range(9000) r(i)")
    with closing(ValueStore(None)) as store, closing(open_database(connection)) as database:
        build(database, store, at_once=5)
        [number] = store.columns
        values = store.every(number, 10_000)
        assert len(values) == 3_000 == len(set(values))
        assert store.columns[number].values == 3_000
    connection.close()


@pytest.mark.slow
def test_a_column_that_does_not_fit_is_left_out_and_the_others_are_not():
    connection = duckdb.connect()
    connection.execute("CREATE TABLE big AS SELECT 'value ' || hash(i) AS v FROM range(120000) r(i)")
    connection.execute("CREATE TABLE small AS SELECT 'x' || i % 5 AS v FROM range(50) r(i)")
    with closing(ValueStore(None)) as store, closing(open_database(connection)) as database:
        build(database, store, megabytes=1)
        notes = {one.table: one.note for one in ValueIndex(store).columns}
        assert notes == {"big": TOO_MANY, "small": ""}
        assert store.bytes < 2 << 20
    connection.close()


def waited(keeper, seconds=20):
    end = time.monotonic() + seconds
    while keeper._is_at_work:
        assert time.monotonic() < end
        time.sleep(0.01)
    return keeper.index


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "duckdb", "sqlite file", "duckdb file"])
def test_a_thread_fills_the_file_and_another_kernel_uses_it(tmp_path, kind):
    place, folder = tmp_path / "data.db", tmp_path / "cache"
    connection = (sqlite3 if "sqlite" in kind else duckdb).connect(place)
    fill(connection)
    connection.commit()
    target = connection
    if "file" in kind:
        connection.close()
        target = str(place)
    with closing(open_engine(target)) as engine:
        keep_values(engine, folder, 100)
        engine.catalog(sure=True)
        index = waited(engine.values)
        assert index.holds("dog", "pets", "kind")
        assert engine.values.coverage.problem == ""
        [file] = folder.glob("*.db")
        assert "data" not in file.name  # nothing of the path
        with closing(open_engine(str(place) if "file" in kind else connection)) as other:
            keep_values(other, folder, 100)
            assert other.values.index is None  # not asked yet
            other.catalog(sure=True)
            assert other.values.index.holds("dog", "pets", "kind")
    if "file" not in kind:
        connection.close()


def test_a_connection_of_one_thread_is_read_in_slices(tmp_path):
    connection = sqlite3.connect(":memory:")
    fill(connection)
    with closing(open_engine(connection)) as engine:
        keep_values(engine, tmp_path, 100)
        engine.catalog()  # not `sure`: nobody asks a question
        for _ in range(50):
            engine.catalog(sure=True)
        assert engine.values.index.holds("dog", "pets", "kind")
        assert engine.values.coverage.place == "memory"
        assert list(tmp_path.iterdir()) == []
    connection.close()


@pytest.mark.slow
def test_a_slice_ends_in_time(tmp_path):
    frame = pd.DataFrame({"v": [f"value {n}" for n in range(200_000)]})
    with closing(open_engine({"t": frame})) as engine:
        engine.catalog(sure=True)
        keep_values(engine, tmp_path, 100)
        now = [0.0]
        engine.values._clock = lambda: now.__setitem__(0, now[0] + 0.03) or now[0]
        engine.catalog(sure=True)
        assert engine.values.coverage.total == 1
        assert engine.values.coverage.done == 0  # two steps of 0.03 s, and no more
        assert not engine.values.index.same(["value 7"])


@pytest.mark.slow
def test_a_query_goes_first_and_what_it_stopped_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("rsql_magic.databases.duckdb._ROWS_OF_A_PART", 500)
    connection = duckdb.connect()
    fill(connection)
    with closing(open_engine(connection)) as engine:
        keep_values(engine, tmp_path, 100)
        keeper = engine.values
        with keeper.waiting():
            engine._database.may_read_all_values = False  # so that `begin` sets nothing free
            engine.catalog(sure=True)
            engine._database.may_read_all_values = True
        engine.catalog(sure=True)
        for _ in range(20):
            assert engine.run("SELECT count(*) FROM pets").df.iat[0, 0] == 2_000
        assert waited(keeper).holds("dog", "pets", "kind")
        assert {one.values for one in keeper.index.columns if one.column == "word"} == {90}
    connection.close()


@pytest.mark.slow
def test_it_stops_when_the_engine_is_closed(tmp_path):
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT 'value ' || hash(i) AS v FROM range(2000000) r(i)")
    engine = open_engine(connection)
    keep_values(engine, tmp_path, 100)
    engine.catalog(sure=True)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "rsql values"]
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2_000_000,)
    connection.close()


def test_nothing_else_fails_where_the_index_cannot_be_kept(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    place = tmp_path / "data.db"
    with closing(sqlite3.connect(place)) as connection:
        fill(connection)
        connection.commit()
    with closing(open_engine(str(place))) as engine:
        keep_values(engine, tmp_path / "cache" / "values", 100)
        engine.catalog(sure=True)
        assert waited(engine.values) is None
        assert "cannot be used" in engine.values.failure
        assert engine.run("SELECT count(*) FROM pets").df.iat[0, 0] == 2_000
        engine.catalog(sure=True)  # it does not begin again
        assert not engine.values._is_at_work


def test_what_costs_money_to_read_has_no_index(tmp_path):
    class Costly:
        may_read_all_values = False

    keeper = ValueKeeper(Costly(), tmp_path, 100)
    keeper.begin([])
    assert keeper.index is None
    assert "cost money" in keeper.coverage.problem


def test_a_database_stopped_by_its_user_is_no_reason_to_leave_a_column_out():
    frame = pd.DataFrame({"kind": ["dog", "cat"]})
    with closing(open_database({"t": frame})) as database, closing(ValueStore(None)) as store:

        def fails(_):
            raise QueryFailed("no")
            yield

        database.parts = fails
        build(database, store)
        assert ValueIndex(store).columns[0].note == "it is large, and cannot be read in parts"


def test_the_folder_is_the_cache_of_the_user(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert values_folder({}).as_posix() == "/home/ann/.cache/rsql/values"
    assert values_folder({"RSQL_VALUES": "OFF"}) is None


@pytest.mark.slow
def test_a_duckdb_file_is_left_alone_between_questions(tmp_path):
    place = tmp_path / "data.duckdb"
    with closing(duckdb.connect(place)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'value ' || hash(i) AS v FROM range(200000) r(i)")
    with closing(open_engine(str(place))) as engine:
        keep_values(engine, tmp_path / "cache", 100)
        engine.catalog(sure=True)
        engine.values.rest()
        with closing(duckdb.connect(place)) as writer:  # would fail while the file is open for reading
            writer.execute("INSERT INTO t VALUES ('one more')")
        engine.catalog(sure=True)  # what was not finished goes on with the next question
        assert waited(engine.values, 60).holds("value 12", "t", "v") or engine.values.index.covers("t", "v")


@pytest.mark.slow
def test_a_duckdb_file_is_read_while_a_question_holds_it(tmp_path):
    place = tmp_path / "data.duckdb"
    with closing(duckdb.connect(place)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'value ' || i AS v FROM range(20) r(i)")
    with closing(open_engine(str(place))) as engine, engine:
        keep_values(engine, tmp_path / "cache", 100)
        engine.catalog(sure=True)
        found = waited(engine.values)
        assert engine.values.failure == ""
        assert found.holds("value 12", "t", "v")


@pytest.mark.slow
def test_a_file_that_was_open_elsewhere_is_read_later(tmp_path):
    place, now = tmp_path / "data.duckdb", [0.0]
    with closing(duckdb.connect(place)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'value ' || i AS v FROM range(20) r(i)")
    with closing(open_engine(str(place))) as engine:
        tables = list(engine.catalog(sure=True))
        keep_values(engine, tmp_path / "cache", 100)
        engine.values._clock = lambda: now[0]
        with closing(duckdb.connect(place)):
            engine.values.begin(tables)
            assert waited(engine.values) is None
            assert "already open" in engine.values.coverage.problem
        now[0] = 60.0
        engine.values.begin(tables)
        assert waited(engine.values).holds("value 12", "t", "v")
        assert engine.values.coverage.problem == ""


@pytest.mark.slow
def test_a_rest_between_a_look_and_a_step_lets_others_write(tmp_path):
    place = tmp_path / "data.duckdb"
    with closing(duckdb.connect(place)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'value ' || i AS v FROM range(20) r(i)")
    looked, go = threading.Event(), threading.Event()

    class Free(threading.Event):
        def wait(self, timeout=None):
            found = super().wait(timeout)
            if threading.current_thread() is not threading.main_thread() and not looked.is_set():
                looked.set()
                assert go.wait(60)
            return found

    with closing(open_engine(str(place))) as engine:
        keep_values(engine, tmp_path / "cache", 100)
        engine.values._is_free = Free()
        engine.catalog(sure=True)
        assert looked.wait(60)
        engine.values.rest()
        with closing(duckdb.connect(place)) as writer:
            go.set()
            time.sleep(0.2)
            writer.execute("INSERT INTO t VALUES ('one more')")
        assert engine.values.failure == ""
        engine.catalog(sure=True)
        assert waited(engine.values).holds("one more", "t", "v")


def test_an_index_that_breaks_in_a_look_up_is_given_up(tmp_path):
    place = tmp_path / "data.db"
    with closing(sqlite3.connect(place)) as connection:
        fill(connection)
        connection.commit()
    with closing(open_engine(str(place))) as engine:
        keep_values(engine, tmp_path / "cache", 100)
        engine.catalog(sure=True)
        index = waited(engine.values)
        with closing(sqlite3.connect(next((tmp_path / "cache").glob("*.db")))) as broken:
            broken.execute("DROP TABLE gram")
            broken.execute("DROP TABLE col")
        with engine.values.spared():
            index.same(["dog"])
        assert "cannot be used" in engine.values.failure
        assert engine.values.index is None
