"""Dictionaries and examples of tenants in SQLite and in PostgreSQL: one store, whose answers are never another's."""

from __future__ import annotations

import random
import threading

import pytest
import sqlalchemy as sa

from jupyter_server_ext.knowledge import NewDocument, SharedPassage, SharedText
from jupyter_server_ext.knowledge.store import SqlDocuments
from jupyter_server_ext.knowledge.text_store import SqlTexts


@pytest.fixture
def engine(ledger):
    return ledger.engine


@pytest.fixture
def store(engine):
    return SqlTexts(engine)


def put(store, kind, name, tenant, text="a: 1", *, now=0.0, expires=None, most=5, most_bytes=1_000):
    new = SharedText(name, tenant, len(text), f"digest of {text}"[:32], now, expires, text)
    return store.put(kind, new, most=most, most_bytes=most_bytes)


def names(found):
    return sorted(one.name for one in found)


def test_what_is_put_is_listed_without_its_text_and_given_whole_by_name(store):
    assert put(store, "dictionary", "shop.yaml", "x", "tables: {}") == ""
    [listed] = store.all("dictionary", ["x"], 1.0)
    assert (listed.name, listed.tenant, listed.bytes, listed.text) == ("shop.yaml", "x", 10, "")
    [whole] = store.named("dictionary", "shop.yaml", ["x"], 1.0)
    assert (whole.text, whole.digest) == ("tables: {}", listed.digest)
    assert store.all("example", ["x"], 1.0) == []
    assert store.counts(["x", ""], 1.0) == {"dictionary": 1}


def test_a_text_replaces_the_one_of_its_name_and_kind_only(store):
    put(store, "dictionary", "a", "x", "old")
    put(store, "example", "a", "x", "an example")
    put(store, "dictionary", "a", "x", "new")
    assert [one.text for one in store.all("dictionary", ["x"], 1.0, whole=True)] == ["new"]
    assert [one.text for one in store.all("example", ["x"], 1.0, whole=True)] == ["an example"]
    assert store.remove("dictionary", "x", "a")
    assert not store.remove("dictionary", "x", "a")
    assert names(store.all("example", ["x"], 1.0)) == ["a"]


def test_no_answer_has_another_tenants_text(store):
    draw = random.Random(18)
    tenants = ["a", "ab", "A", "a%", "a_", "é", ""]
    for _ in range(150):
        tenant, kind, name = draw.choice(tenants), draw.choice(["dictionary", "example"]), draw.choice(["one", "two"])
        if draw.random() < 0.8:
            put(store, kind, name, tenant, f"of <{tenant}> {kind}")
        else:
            store.remove(kind, tenant, name)
        reads = draw.sample(tenants, draw.randint(0, 2))
        for one in [*store.all(kind, reads, 1.0, whole=True), *store.named(kind, name, reads, 1.0)]:
            assert one.tenant in reads
            assert one.text == f"of <{one.tenant}> {kind}"


def test_an_expired_text_is_neither_listed_nor_given_and_soon_gone(store, engine):
    put(store, "dictionary", "a", "x", expires=10.0)
    assert names(store.all("dictionary", ["x"], 9.0)) == ["a"]
    assert store.all("dictionary", ["x"], 10.0) == store.named("dictionary", "a", ["x"], 10.0) == []
    assert store.counts(["x"], 10.0) == {}
    put(store, "example", "b", "y", now=11.0)
    with engine.connect() as db:
        assert db.execute(sa.text("SELECT count(*) FROM shared_texts")).scalar() == 1


def test_documents_and_texts_of_a_tenant_share_one_quota_of_bytes(store, engine):
    documents = SqlDocuments(engine)
    sent = NewDocument("d.md", (SharedPassage("x" * 600),))
    documents.put(sent, "x", now=0.0, expires=None, most=5, most_bytes=1_000)
    assert put(store, "dictionary", "a", "x", "y" * 500) == "0 MB"
    assert put(store, "dictionary", "a", "x", "y" * 300) == ""
    assert put(store, "dictionary", "a", "x", "y" * 350) == "", "what is replaced does not count"
    assert put(store, "dictionary", "a", "z", "y" * 900) == "", "another tenant has its own"
    more = NewDocument("e.md", (SharedPassage("x" * 100),))
    assert documents.put(more, "x", now=0.0, expires=None, most=5, most_bytes=1_000) == "0 MB"
    assert names(store.all("dictionary", ["x"], 1.0)) == ["a"]


def test_of_many_who_put_at_once_no_more_than_the_most_are_kept(store):
    refused = []
    start = threading.Barrier(8)

    def share(number):
        start.wait()
        refused.append(put(store, "example", f"e{number}", "x", most=5))

    threads = [threading.Thread(target=share, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(refused) == [""] * 5 + ["5 examples"] * 3
    assert store.counts(["x"], 1.0) == {"example": 5}
