"""The trail of changes at run time in memory, SQLite and PostgreSQL: the same methods, the same answers."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from jupyter_server_ext.ledger import DID, AdminChange, MemoryChanges, SqlLedgerStore, Thing

LAB, ADA = Thing("tenant", "lab"), Thing("callers", "ada")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request, tmp_path):
    """An empty trail."""
    if request.param == "memory":
        yield MemoryChanges()
        return
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if is_file else request.getfixturevalue("ledger_database")()
    ledger = SqlLedgerStore(url, instance="one")
    yield ledger.changes
    ledger.close()


def line(number, thing, before, after, *, caller="teacher", tenant="", undoes=""):
    return AdminChange(f"c{number}", float(number), caller, *thing, tenant, before, after, undoes)


def test_the_last_line_about_a_thing_says_how_it_is(store):
    assert (store.newest(), store.state(), store.read()) == (0, {}, [])
    assert store.add([line(1, LAB, "", "{1}", tenant="lab"), line(1, ADA, "", "{2}")])
    assert store.add([line(2, LAB, "{1}", "{3}", tenant="lab")])
    assert store.state() == {LAB: "{3}", ADA: "{2}"}
    assert store.add([line(3, ADA, "{2}", "")])
    assert store.state() == {LAB: "{3}"}
    assert [one.id for one in store.read()] == ["c3", "c2", "c1", "c1"]
    assert [one.thing for one in store.by_id("c1")] == [LAB, ADA]


def test_a_line_about_what_was_changed_meanwhile_is_not_added_nor_those_beside_it(store):
    assert store.add([line(1, LAB, "", "{1}")])
    newest = store.newest()
    assert not store.add([line(2, ADA, "", "{2}"), line(2, LAB, "", "{3}")])
    assert (store.newest(), store.state()) == (newest, {LAB: "{1}"})


def test_of_many_who_change_the_same_at_once_one_comes_through(store):
    won = []
    start = threading.Barrier(8)

    def change(number):
        start.wait()
        if store.add([line(number, LAB, "", f"{{{number}}}")]):
            won.append(number)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.state() == {LAB: f"{{{won[0]}}}"}


def test_what_was_done_has_no_state_and_is_read_by_tenant_and_page(store):
    assert store.add([line(1, Thing(DID, "paused a key"), "", "")])
    assert store.add([line(2, Thing(DID, "paused a key"), "", "")])
    assert store.state() == {}
    for number in range(3, 8):
        before = f"{number - 1}" if number > 3 else ""
        assert store.add([line(number, LAB, before, f"{number}", tenant="lab")])
    page = store.read(tenant="lab", limit=2)
    assert [one.id for one in page] == ["c7", "c6"]
    assert [one.id for one in store.read(tenant="lab", before=page[-1].number, limit=9)] == ["c5", "c4", "c3"]
    assert store.read(tenant="la") == []


def test_a_forgotten_caller_is_in_no_line_any_more(store):
    assert store.add([line(1, ADA, "", "{1}"), line(1, LAB, "", "{2}", caller="ada")])
    newest = store.newest()
    store.forget("ada")
    assert [(one.thing, one.caller) for one in store.read()] == [(LAB, "")]
    assert store.state() == {LAB: "{2}"}
    assert store.add([line(2, ADA, "", "{3}")])
    assert store.newest() > newest, "no number is given twice, by which other gateways see that something changed"


def test_lines_come_back_as_they_were_sent(store):
    sent = line(1, Thing("tenant", "Zoë's \\ lab 💡"), "", '{"a": "é"}', tenant="Zoë's \\ lab 💡", undoes="c0")
    assert store.add([sent])
    [kept] = store.read(tenant=sent.tenant)
    assert replace(kept, number=0) == sent
