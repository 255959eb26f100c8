"""Callers' conversations in SQLite and in PostgreSQL: one store, whose answers are never another caller's."""

from __future__ import annotations

import random
import threading

import pytest

from jupyter_server_ext.pipeline.sessions import store as sessions_store
from jupyter_server_ext.pipeline.sessions.store import SqlSessions
from jupyter_server_ext.pipeline.sessions.values import CopyRow, SessionFileRow


@pytest.fixture
def store(ledger):
    return SqlSessions(ledger.engine)


def put(store, caller, session, text=b"said", *, at=1.0, expires=None, most=50, most_bytes=10_000, expected=None):
    row = CopyRow(session, caller, "x", b"head", len(text), at, expires, body=text)
    return store.put(row, most=most, most_bytes=most_bytes, expected=expected)


def add(store, caller, session, name, content=b"rows", *, most_bytes=10_000, now=1.0):
    row = SessionFileRow(name, session, "table", b"head", len(content), "0" * 64, 1.0, content)
    return store.add_file(caller, row, most_bytes=most_bytes, now=now)


class Model:
    """What callers keep, as plain values; and the same done in the store."""

    def __init__(self, store):
        self.store, self.known = store, {}

    def put(self, caller, session, n):
        text = f"{caller} {n}".encode()
        assert put(self.store, caller, session, text, at=float(n)) == ""
        files = self.known.get((caller, session), (b"", set()))[1]
        self.known[caller, session] = (text, files)

    def remove(self, caller, session, _):
        was = self.known.pop((caller, session), None)
        assert self.store.remove(caller, session) == (was is not None)

    def add(self, caller, session, n):
        kept = self.known.get((caller, session))
        assert add(self.store, caller, session, f"f{n}", caller.encode()) == (None if kept is None else "")
        if kept:
            kept[1].add(f"f{n}")

    def share(self, caller, session, _):
        shared = self.store.share(caller, session, f"link of {caller} {session}", 1e9)
        assert shared == ((caller, session) in self.known)

    def holds(self, caller, session, now):
        kept, row = self.known.get((caller, session)), self.store.one(caller, session, now)
        assert (row and row.body) == (kept and kept[0])
        files = self.store.files(caller, session, now)
        assert (None if files is None else {one.id for one in files}) == (kept[1] if kept else None)
        if linked := self.store.linked(f"link of {caller} {session}", now):
            assert (linked.caller, linked.id) == (caller, session)
        own = {session for of, session in self.known if of == caller}
        assert {one.id for one in self.store.all(caller, now)} == own


def test_any_mix_of_callers_leaves_each_its_own(store):
    dice, model = random.Random(4), Model(store)
    callers, sessions = ["a", "A", "ab", "é", "a%"], ["s1", "s2"]
    for n in range(200):
        work = dice.choice([model.put, model.put, model.remove, model.add, model.share])
        work(dice.choice(callers), dice.choice(sessions), n)
        model.holds(dice.choice(callers), dice.choice(sessions), float(n))
    for (caller, _), (_, files) in model.known.items():
        for name in files:
            assert store.file(caller, "table", name, 1e6).body == caller.encode()
            assert store.file(caller, "sql", name, 1e6) is None
            assert all(store.file(other, "table", name, 1e6) is None for other in callers if other != caller)
            assert not store.remove_file("nobody", "table", name)


def test_quotas_expiry_and_links_that_end(store):
    assert put(store, "a", "s1", b"x" * 60, most_bytes=100) == ""
    assert put(store, "a", "s1", b"x" * 90, most_bytes=100) == ""  # in its own place
    assert "MB" in add(store, "a", "s1", "f", b"x" * 20, most_bytes=100)
    assert add(store, "a", "s1", "f", b"x" * 10, most_bytes=100) == ""
    assert "MB" in put(store, "a", "s2", b"x", most_bytes=100)
    assert "conversations" in put(store, "a", "s2", b"x", most=1)
    assert put(store, "b", "s1", b"x", at=1.0, expires=5.0) == ""
    assert add(store, "b", "s1", "g") == ""
    assert store.share("b", "s1", "link", 4.0)
    assert store.linked("link", 3.9).caller == "b"
    assert store.linked("link", 4.0) is None
    assert store.one("b", "s1", 5.0) is None
    assert (len(store.files("b", "s1", 4.9)), store.files("b", "s1", 5.0)) == (1, None)
    assert (store.file("b", "table", "g", 4.9).id, store.file("b", "table", "g", 5.0)) == ("g", None)
    assert store.all("b", 5.0) == []
    put(store, "c", "s1", at=6.0)  # whoever writes sweeps
    assert store.file("b", "table", "g", 4.9) is None
    assert store.share("b", "s1", None, None) is False


def test_what_has_expired_takes_no_room_and_is_swept_where_nobody_writes(ledger, store):
    for name in ("s1", "s2"):
        assert put(store, "a", name, b"x" * 40, at=1.0, expires=5.0) == ""
        assert add(store, "a", name, f"of {name}", b"x" * 10, most_bytes=100) == ""
    assert put(store, "a", "s3", b"x" * 90, at=4.0, expires=5.0, most_bytes=200) == ""
    assert put(store, "a", "s4", b"x", at=5.0, expires=9.0, most_bytes=100) == ""
    assert add(store, "a", "s4", "f", b"x" * 90, most_bytes=100, now=6.0) == ""
    assert ledger.notes.drop_expired_copies(8.9) == 0
    assert ledger.notes.drop_expired_copies(9.0) == 1
    assert store.file("a", "table", "f", 8.0) is None
    assert store.one("a", "s4", 8.0) is None


def test_what_was_changed_meanwhile_is_not_replaced(store):
    assert put(store, "a", "s1", b"one", at=1.5, expected=1.0) is None
    assert put(store, "a", "s1", b"one", at=1.5, expected=0.0) == ""
    assert put(store, "a", "s1", b"two", at=2.5, expected=0.0) is None
    assert put(store, "a", "s1", b"two", at=2.5, expected=1.5) == ""
    assert put(store, "a", "s1", b"three", at=3.5, expected=1.5) is None
    assert put(store, "b", "s1", b"another's", at=3.5, expected=2.5) is None
    assert store.one("a", "s1", 9.0).body == b"two"
    assert put(store, "a", "s1", b"three", at=3.5) == ""
    assert put(store, "a", "old", at=1.0, expires=2.0) == ""
    assert put(store, "a", "old", at=5.0, expected=0.0) == ""  # it had expired


@pytest.mark.parametrize("how", ["it", "all"])
def test_a_file_that_is_added_while_its_conversation_is_deleted_goes_with_it(ledger, store, monkeypatch, how):
    held, deleting = sessions_store._held, []

    def delete():
        if how == "it":
            assert store.remove("a", "s1")
        else:
            ledger.notes.delete_all(2.0, "a")

    def while_it_looks(db, caller):
        deleting.append(threading.Thread(target=delete))
        deleting[0].start()
        deleting[0].join(0.2)  # where it waits for this one, it does so for longer
        return held(db, caller)

    put(store, "a", "s1")
    monkeypatch.setattr(sessions_store, "_held", while_it_looks)
    add(store, "a", "s1", "f")
    deleting[0].join()
    monkeypatch.undo()
    assert store.one("a", "s1", 1.0) is None
    put(store, "a", "s1")  # another conversation of this id
    assert store.files("a", "s1", 1.0) == []


def test_writers_at_once_stay_within_the_quota(store):
    said = []

    def write(n):
        said.append(put(store, "a", f"s{n}", b"x" * 30, most_bytes=100))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    [thread.start() for thread in writers]
    [thread.join() for thread in writers]
    assert sorted(map(bool, said)) == [False] * 3 + [True] * 5
    assert len(store.all("a", 1.0)) == 3
