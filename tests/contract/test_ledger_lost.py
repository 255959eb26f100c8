"""PostgreSQL cut, silent, or away when the gateway is killed: entries wait on local disk and arrive once."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from itertools import count

import pytest
import sqlalchemy as sa
from ledger_entries import entry
from slow_proxy import proxied_in_thread

from jupyter_server_ext.app.assembly import open_ledger
from jupyter_server_ext.config import StorageSettings
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import Ledger, SpooledLedgerStore, SpoolFile, SqlLedgerStore

_names = count()


@pytest.fixture
def database(postgresql):
    """The name of an empty database."""
    name = f"lost{next(_names)}"
    engine = sa.create_engine(postgresql.url.replace("postgresql:", "postgresql+psycopg:") + "/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return name


@pytest.fixture
def proxy(postgresql):
    with proxied_in_thread(postgresql.port) as running:
        yield running


@pytest.fixture
def opened(postgresql, database, proxy, tmp_path):
    """Opens the store by way of the proxy, with its spool in the test's folder."""
    url = postgresql.url.replace(str(postgresql.port), str(proxy.port)) + f"/{database}"

    def opening(**options):
        spool = SpoolFile.open(tmp_path / "a.spool")
        return SpooledLedgerStore(url, instance="a", spool=spool, patience=0.4, retry_seconds=0.05, **options)

    return opening


@pytest.fixture
def reader(postgresql, database):
    """The database itself, to look at."""
    store = SqlLedgerStore(f"{postgresql.url}/{database}", instance="reader")
    yield store
    store.close()


def until(true, seconds=240):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)


def holds(reader, number):
    assert sorted(int(e.request_id[1:]) for e in reader.read()) == list(range(number))
    assert sum(total["requests"] for total in reader.totals(since="")) == number
    assert reader.verify() == []


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_what_the_database_cannot_take_waits_on_disk_and_arrives_once(opened, proxy, reader, how):
    store = opened()
    store.begin([entry(0), entry(1)])
    store.finish([entry(0)])
    proxy.cut() if how == "cut" else proxy.delay(30.0)
    start = time.monotonic()
    for number in range(1, 40):
        store.begin([entry(number)])
        store.finish([entry(number)])
    assert time.monotonic() - start < 10.0, "its patience of 0.4 s once, and not 78 times"
    assert store.is_away
    proxy.mend()
    until(lambda: not store.is_away)
    store.finish([entry(40)])
    holds(reader, 41)
    assert store._spool.size == 0
    assert store.close_unfinished() == 0
    store.close()


def test_what_a_killed_gateway_left_is_delivered_by_the_next_one(opened, proxy, reader, tmp_path):
    store = opened()
    store.finish([entry(0)])
    proxy.cut()
    store.begin([entry(1), entry(2)])
    store.finish([entry(1)])
    store._closing.set()  # no more deliveries: it is dead
    store._courier.join()
    content = (tmp_path / "a.spool").read_bytes()
    store.close()
    (tmp_path / "a.spool").write_bytes(content + b'["finish",{"request_id":"to')  # while it was writing
    proxy.mend()
    again = opened()
    until(lambda: not again.is_away)
    assert again.close_unfinished() == 1  # the one that it had begun
    holds(reader, 3)
    again.finish([entry(1, status=500)])
    holds(reader, 3)
    again.close()


def test_who_is_forgotten_meanwhile_does_not_come_back_with_the_spool(opened, proxy, reader):
    store = opened()
    store.finish([entry(0)])
    proxy.cut()
    store.begin([entry(1), entry(2), entry(3, caller="bob")])
    store.finish([entry(1), entry(4, caller="bob")])
    store.keep_answer("early", "ada", b"1", 1005.0 + 86_400.0)
    store.keep_answer("bob's", "bob", b"2", 1005.0 + 86_400.0)
    reader.forget("ada", 1010.0)
    store.finish([entry(11)])
    store._closing.set()  # it is killed
    store._courier.join()
    proxy.mend()
    store._closing.clear()
    store.is_away = False
    store._go_away(silent=False)
    until(lambda: not store.is_away)
    assert store.close_unfinished() == 2
    assert sorted((e.request_id, e.caller) for e in reader.read()) == [
        *(("r11", "ada"), ("r2", ""), ("r3", "bob"), ("r4", "bob")),
    ]
    assert {total["caller"] for total in reader.totals(since="")} == {"", "ada", "bob"}
    assert (reader.kept_answer("early", 0.0), reader.kept_answer("bob's", 0.0)) == (None, b"2")
    assert reader.verify() == []
    store.close()


def test_answers_for_repeats_are_kept_meanwhile_and_arrive_too(opened, proxy, reader, tmp_path):
    store = opened()
    store.keep_answer("early", "ada", b"1", 2000.0)
    assert store.kept_answer("early", 1000.0) == b"1"
    proxy.delay(30.0)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        store.kept_answer("early", 1000.0)
    for _ in range(50):
        with pytest.raises(TimeoutError):
            store.kept_answer("early", 1000.0)
    store.keep_answer("late", "ada", b"\x00\xff", 2000.0)
    store.finish([entry(0)])
    store.keep_answer("late", "ada", b"another", 2000.0)
    assert store.kept_answer("late", 1000.0) == b"\x00\xff", "the first one stays"
    assert store.kept_answer("late", 2000.0) is None
    assert time.monotonic() - start < 7.0, "its patience of 0.4 s once, and not 51 times"
    store._closing.set()  # it is killed
    store._courier.join()
    (tmp_path / "b.spool").write_bytes((tmp_path / "a.spool").read_bytes())
    store.close()
    (tmp_path / "a.spool").write_bytes((tmp_path / "b.spool").read_bytes())
    proxy.mend()
    again = opened()
    until(lambda: not again.is_away)
    assert again.kept_answer("late", 1000.0) == again.kept_answer("late", 1000.0) == b"\x00\xff"
    assert reader.kept_answer("early", 1000.0) == b"1"
    holds(reader, 1)
    again.close()


def test_nothing_that_is_asked_of_a_silent_database_waits_for_it(opened, proxy):
    store = opened()
    store.finish([entry(0)])
    assert (store.decided("limits"), store.api_keys.all(), len(store.find("r0"))) == ("", [], 1)
    proxy.delay(30.0)
    questions = [
        lambda: store.api_keys.find("digest"),
        lambda: store.api_keys.remove("k"),
        lambda: store.decide("limits", "{}", "root", 1.0),
        lambda: store.decided("limits"),
        lambda: store.totals(since=""),
        lambda: store.read(limit=1),
        lambda: store.find("r0"),
    ]
    start = time.monotonic()
    for question in questions * 5:
        with pytest.raises(TimeoutError):
            question()
    assert time.monotonic() - start < 7.0, "its patience of 0.4 s once, and not 35 times"
    assert store.is_away
    proxy.mend()
    until(lambda: not store.is_away, seconds=40.0)
    assert len(store.find("r0")) == 1
    store.close()


def test_deliveries_that_are_broken_off_double_nothing(opened, proxy, reader):
    store = opened()
    proxy.cut()
    store.finish([entry(number) for number in range(1200)])
    for _ in range(6):
        proxy.mend()
        time.sleep(0.1)
        proxy.cut()
    proxy.mend()
    until(lambda: not store.is_away)
    holds(reader, 1200)
    store.close()


def test_the_ledger_goes_on_and_says_degraded_and_refuses_only_when_its_disk_is_full(
    opened, proxy, reader, monkeypatch
):
    async def scenario():
        ledger = Ledger(opened(), retry_seconds=0.01)
        ledger.begin(entry(0))
        await ledger.finish(entry(0))
        assert ledger.health == "ok"
        proxy.cut()
        await ledger.finish(entry(1))
        assert ledger.health == "degraded"
        ledger.check()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            ending = asyncio.ensure_future(ledger.finish(entry(2)))
            while ledger.health != "unavailable":
                await asyncio.sleep(0.01)
        await ending
        assert ledger.health == "degraded"
        proxy.mend()
        while ledger.health != "ok":
            await asyncio.sleep(0.01)
        await ledger.close()

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    asyncio.run(scenario())
    holds(reader, 3)


def test_gateways_of_one_machine_take_names_of_their_own(postgresql, database, tmp_path):
    storage = StorageSettings(ledger=f"{postgresql.url}/{database}", spool=str(tmp_path))
    first, second = open_ledger(storage), open_ledger(storage)
    assert (first._instance, second._instance) == (first._instance, f"{first._instance}-2")
    first.close()
    third = open_ledger(storage)
    assert third._instance == first._instance
    for store in (second, third):
        store.close()


def test_one_name_is_for_one_gateway(postgresql, database, tmp_path):
    storage = StorageSettings(ledger=f"{postgresql.url}/{database}", spool=str(tmp_path), instance="a/b")
    store = open_ledger(storage)
    with pytest.raises(ConfigError, match="Another gateway"):
        open_ledger(storage)
    store.close()
    with pytest.raises(ConfigError, match="cannot be written"):
        open_ledger(StorageSettings(ledger=storage.ledger, spool=str(tmp_path / "missing")))
