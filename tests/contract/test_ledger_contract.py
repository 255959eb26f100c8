"""One contract for the ledger's store, in SQLite and in PostgreSQL."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import sqlalchemy as sa
from ledger_entries import entry

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import SqlLedgerStore

_names = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server, name = request.getfixturevalue("postgresql"), f"ledger{next(_names)}"
    engine = sa.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:") + "/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server.url}/{name}"


def change(url, statement):
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as db:
        db.execute(sa.text(statement))
    engine.dispose()


def test_what_is_written_is_read_back_newest_first(store):
    wanted = [entry(1, cost_nanodollars=7, first_token_seconds=0.25), entry(2, status=429, error="rate_limit")]
    assert store.finish(wanted) == 2
    assert store.read() == wanted[::-1]
    assert store.read(limit=1, failed=True) == wanted[1:]
    assert store.read(caller="bob") == []
    assert store.find("r1") == wanted[:1]


def test_a_repeated_delivery_changes_nothing(store):
    store.finish([entry(1), entry(1)])
    assert store.finish([entry(1, status=500), entry(2)]) == 1
    assert [e.request_id for e in store.read()] == ["r2", "r1"]
    assert store.totals(since="")[0]["requests"] == 2
    assert store.verify() == []


def test_a_new_life_of_the_instance_closes_what_was_left_open(store, url):
    store.begin([entry(1, cost_nanodollars=9), entry(2)])
    store.finish([entry(2)])
    other, again = SqlLedgerStore(url, instance="two"), SqlLedgerStore(url, instance="one")
    assert other.close_unfinished() == 0, "another gateway's requests may still be under way"
    assert again.close_unfinished() == 1
    left = next(e for e in again.read() if e.request_id == "r1")
    assert (left.status, left.error, left.cost_nanodollars) == (0, "gateway_stopped", 9)
    assert again.close_unfinished() == 0
    assert again.verify() == []
    other.close()
    again.close()


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        ("UPDATE entries SET cost_nanodollars = 1 WHERE number = 2", "changed after it was written"),
        ("UPDATE entries SET caller = 'eve' WHERE number = 2", "changed after it was written"),
        ("DELETE FROM entries WHERE number = 2", "missing"),
        ("UPDATE entries SET content_hash = 'x' WHERE number = 2", "chain is broken"),
    ],
)
def test_tampering_is_seen(store, url, tamper, words):
    store.finish([entry(n) for n in range(1, 5)])
    assert store.verify() == []
    change(url, tamper)
    assert any(words in problem for problem in store.verify())


def test_forgetting_and_expiring_leave_the_totals_and_the_chain(store):
    def sums():
        return {(total["caller"], total["cost_nanodollars"]) for total in store.totals(since="")}

    store.finish([entry(n, caller=("ada", "bob")[n % 2], cost_nanodollars=7) for n in range(20)])
    assert store.forget("ada", 1049.0, chunk=3) == 10
    assert {e.caller for e in store.read()} == {"bob"}
    assert sums() == {("", 70), ("bob", 70)}
    store.finish([entry(50, caller="ada", cost_nanodollars=7)])
    assert store.forget("ada", 1050.0) == 1
    assert sums() == {("", 77), ("bob", 70)}
    assert store.expire(1010.0, chunk=4) == 10
    assert store.verify() == []
    assert sum(total["requests"] for total in store.totals(since="")) == 21


def test_what_arrives_late_of_who_was_forgotten_arrives_without_the_name(store):
    store.finish([entry(1, cost_nanodollars=7), entry(2, caller="bob")])
    store.begin([entry(3)])
    store.forget("ada", 1010.0)
    late = entry(4, caller="ada", prompt_hash="h", prompt=b"p", api_key="k", cost_nanodollars=7)
    assert store.finish([entry(3), late, entry(5, caller="bob"), entry(11)]) == 4
    assert {(e.request_id, e.caller) for e in store.read()} == {("r2", "bob"), ("r5", "bob"), ("r11", "ada")}
    nameless = [row for row in store.rows() if row["forgotten"]]
    assert len(nameless) == 3
    assert {(row["caller"], row["tenant"], row["prompt_hash"], row["api_key"]) for row in nameless} == {("",) * 4}
    sums = {(total["caller"], total["tenant"]): total["requests"] for total in store.totals(since="")}
    assert sums == {("", "stats101"): 3, ("bob", "stats101"): 2, ("ada", "stats101"): 1}
    assert store.finish([late]) == 0
    assert store.verify() == []


def test_an_entry_that_is_written_while_its_caller_is_forgotten_has_no_name(store, url):
    """Either it is blanked with the others, or it comes later and is blank."""
    other = SqlLedgerStore(url, instance="two")
    with ThreadPoolExecutor(2) as threads:
        for number in range(0, 200, 10):
            writing = threads.submit(other.finish, [entry(number + n) for n in range(10)])
            threads.submit(store.forget, "ada", 5000.0).result()
            writing.result()
    other.close()
    assert store.read() == []
    assert {(total["caller"], total["requests"]) for total in store.totals(since="")} == {("", 200)}
    assert store.verify() == []


def test_a_chain_whose_start_moves_while_it_is_read_is_whole(store, url):
    store.finish([entry(n) for n in range(20)])
    other = SqlLedgerStore(url, instance="two")

    def expire(_db, _cursor, statement, *_rest):
        if "FROM entries" in statement:
            assert other.expire(1010.0) in {10, 0}

    sa.event.listen(store._engine, "before_cursor_execute", expire)
    assert store.verify() == []
    assert len(other) == 10
    other.close()


def test_another_process_verifies_and_exports_while_entries_are_written(programs, store, url, tmp_path):
    written, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            number = len(written)
            store.begin([entry(number)])
            store.finish([entry(number)])
            written.append(number)

    def ledger(*words):
        before = len(written)
        command = [sys.executable, "-m", "jupyter_server_ext", "ledger", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(written) > before, "entries are written meanwhile"
        return int(re.search(r"([\d,]+) entries", done.stdout)[1].replace(",", "")), before

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        try:
            counts = [ledger("verify", "--ledger", url), ledger("export", str(tmp_path / "e.csv"), "--ledger", url)]
        finally:
            stop.set()
        writing.result()
    assert all(before <= count <= len(written) for count, before in counts)
    with (tmp_path / "e.csv").open(newline="") as file:
        numbers = [int(row["number"]) for row in csv.DictReader(file)]
    assert numbers == list(range(1, counts[1][0] + 1))
    assert store.verify() == []
    assert len(store) == len(written)


def test_gateways_write_together_to_the_same_totals(url):
    def write(number):
        store = SqlLedgerStore(url, instance=f"gateway-{number % 2}")  # two share a name, too
        for group in range(8):
            some = [entry(1000 * number + 10 * group + n, caller="abc"[(n + number) % 3]) for n in range(6)]
            store.begin(some)
            store.finish(some)
        store.close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))  # they make the tables together, too
    store = SqlLedgerStore(url, instance="reader")
    assert len(store) == 4 * 8 * 6
    assert sum(total["requests"] for total in store.totals(since="")) == 4 * 8 * 6
    assert store.verify() == []
    store.close()


def test_answers_and_decisions_are_kept(store):
    store.keep_answer("k", "ada", b"one", 50.0)
    store.keep_answer("k", "ada", b"two", 50.0)
    assert store.kept_answer("k", 49.0) == b"one"
    assert store.kept_answer("k", 50.0) is None
    store.keep_answer("l", "bob", b"three", 200.0)
    assert store.drop_answers(50.0, chunk=1) == 1
    store.forget("bob", 1000.0)
    assert store.kept_answer("l", 0.0) is None
    assert store.decided("limits") == ""
    store.decide("limits", "1", "root", 1.0)
    store.decide("limits", "2", "root", 2.0)
    assert store.decided("limits") == "2"
    store.decide("limits", "", "root", 3.0)
    assert store.decided("limits") == ""


def test_a_ledger_from_a_newer_version_is_refused(store, url):
    change(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="newer rsql"):
        SqlLedgerStore(url, instance="one")


def test_a_ledger_that_cannot_be_reached_says_so_without_its_password(postgresql):
    address = f"{postgresql.url}/missing"
    with pytest.raises(ConfigError, match="cannot be opened") as refused:
        SqlLedgerStore(address, instance="one")
    assert "s3cret" not in str(refused.value)


def test_two_processes_that_start_together_make_the_tables_once(programs, url):
    code = f"from jupyter_server_ext.ledger.sql import opened\nwith opened({url!r}, instance='x') as s: print(len(s))"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate(timeout=240)[0] for process in started] == [b"0\n"] * 2
