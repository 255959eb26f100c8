"""Documents of tenants in SQLite and in PostgreSQL: nobody reads another tenant's, and what is removed is gone."""

from __future__ import annotations

import math
import random
import struct
import threading
from collections import Counter
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from jupyter_server_ext.knowledge import NewDocument, QuestionVector, SharedPassage, of_length_one
from jupyter_server_ext.knowledge.indexes import PassageIndexes
from jupyter_server_ext.knowledge.preparing import head_of, index_of
from jupyter_server_ext.knowledge.store import SqlDocuments
from jupyter_server_ext.ledger import SqlLedgerStore, documents

DATABASES = ["sqlite", "postgresql", "sqlite in memory", "postgresql in memory"]


@pytest.fixture(params=DATABASES)
def store(request, tmp_path):
    """A database without documents, searched by itself or in memory; `pgvector` is a PostgreSQL with that extension."""
    if request.param.startswith("sqlite"):
        url = f"sqlite:///{tmp_path / 'ledger.db'}"
    elif request.param.startswith("postgresql"):
        url = request.getfixturevalue("ledger_database")()
    else:
        url = request.getfixturevalue("empty_database")()
        _with_pgvector(url)
    ledger = SqlLedgerStore(url, instance="one")
    yield SqlDocuments(ledger.engine, PassageIndexes(10**9) if request.param.endswith("in memory") else None)
    ledger.close()


def _with_pgvector(url):
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with ExitStack() as ending, engine.begin() as db:
        ending.callback(engine.dispose)
        if not db.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")).scalar():
            pytest.skip("This PostgreSQL has no pgvector; Debian 12 has no package of it.")
        db.execute(sa.text("CREATE EXTENSION vector"))


def document(name, *texts, path=("Rules",), vectors=None, model="m"):
    given = vectors or [b""] * len(texts)
    passages = (SharedPassage(text, path, 1, 2, "page 1", each) for text, each in zip(texts, given, strict=True))
    return NewDocument(name, tuple(passages), model=model if vectors else "")


def vector(draw, size=48):
    return of_length_one(struct.pack(f"<{size}e", *(draw.gauss(0, 1) for _ in range(size))))


def alike(one, other):
    numbers = [struct.unpack(f"<{len(each) // 2}e", each) for each in (one, other)]
    return sum(a * b for a, b in zip(*numbers, strict=True))


def put(store, sent, tenant, *, now=0.0, expires=None, most=100, most_bytes=1_000_000):
    return store.put(sent, tenant, now=now, expires=expires, most=most, most_bytes=most_bytes)


def names(found):
    return [each.document for each in found]


def test_what_is_put_is_found_with_its_place(store):
    kept = put(
        store, document("lab.md", "Gloves are worn at all times.", "Broken glass is yellow.", path=("A", "B")), "x"
    )
    assert (kept.name, kept.passages, kept.tenant) == ("lab.md", 2, "x")
    [found] = store.search(["x"], "Where do I wear a glove?", now=1.0)
    assert (found.text, found.path, found.first, found.last, found.part) == (
        "Gloves are worn at all times.", ("A", "B"), 1, 2, "page 1",
    )  # fmt: skip
    assert [each.name for each in store.all(["x"], 1.0)] == ["lab.md"]
    assert store.count(["x"], 1.0) == 1


def test_a_heading_counts_more_than_a_word_of_the_text(store):
    put(store, document("b.md", "waste of time and of other things", path=("Other",)), "x")
    put(store, document("a.md", "yellow bins and other things", path=("Waste",)), "x")
    assert names(store.search(["x"], "waste", now=1.0)) == ["a.md", "b.md"]


def test_among_thousands_with_some_of_its_words_the_passage_with_all_is_first(store):
    """More than are ranked: those are chosen by rare words, or by several together."""
    draw, common = random.Random(9), ["table", "value", "column", "figure", "average"]
    for first in range(0, 6000, 2000):
        texts = [" ".join(["filler", *draw.choices(common, k=2), f"word{n}"]) for n in range(first, first + 2000)]
        put(store, document(f"{first}.md", *texts), "x", most_bytes=10**9)
    put(store, document("all.md", "filler filler table value column figure average"), "x", most_bytes=10**9)
    put(store, document("rare.md", "a xylophone in a table", "a xylophone"), "x", most_bytes=10**9)
    if store._engine.dialect.name == "postgresql":  # as it does itself within a minute
        with store._engine.begin() as db:
            db.exec_driver_sql("ANALYZE document_passages")
    assert names(store.search(["x"], " ".join(common), now=1.0, most=5))[0] == "all.md"
    found = store.search(["x"], "xylophone table", now=1.0, most=5)
    assert {each.text for each in found[:2]} == {"a xylophone in a table", "a xylophone"}
    assert store.search(["x"], "nowhere table", now=1.0)
    rare = [f"zebra table {n}" for n in range(150)]
    put(store, document("zebra.md", *rare), "y", most_bytes=10**9)
    found = store.search(["x"], "zebra table", now=1.0)
    assert len(found) == 10, "what is rare in all is nowhere in these"
    assert store.search(["x"], "which table has word77", now=1.0)[0].text.endswith("word77")
    assert len(store.search(["x"], "table", now=1.0, most=50)) == 50


def test_of_ten_thousand_answers_none_has_another_tenants_text(store):
    """Tenants share all their words but one, and half of their documents' names."""
    draw = random.Random(18)
    words = [f"word{number}" for number in range(60)]
    tenants = [f"t{number}" for number in range(8)] + [""]
    for tenant in tenants:
        for number in range(12):
            texts = [" ".join([f"of{tenant}x", *draw.choices(words, k=30)]) for _ in range(4)]
            vectors = [vector(draw) for _ in texts] if number % 3 else None
            put(store, document(f"doc{number}" if number % 2 else f"{tenant}{number}", *texts, vectors=vectors), tenant)
    answers = 0
    while answers < 10_000:
        tenant = draw.choice(tenants)
        reads = [tenant, ""] if tenant else [""]
        asked = " ".join([*draw.choices(words, k=4), f"of{draw.choice(tenants)}x"])
        chosen = draw.choice([(), (), (f"doc{draw.randrange(12)}",)])
        meaning = draw.choice([None, QuestionVector("m", vector(draw)), QuestionVector("other", vector(draw))])
        found = store.search(reads, asked, now=1.0, names=chosen, most=50, meaning=meaning)
        answers += len(found)
        for each in found:
            assert each.tenant in reads
            assert each.text.split()[0] == f"of{each.tenant}x"
        if draw.random() < 0.02:  # what is removed and written meanwhile changes nothing of that
            store.remove(tenant, f"doc{draw.randrange(12)}")
            put(store, document("doc1", f"of{tenant}x word1 word2", vectors=[vector(draw)]), tenant)


def test_what_is_removed_is_found_no_more(store):
    put(store, document("a.md", "a xylophone"), "x")
    put(store, document("a.md", "a xylophone"), "y")
    assert store.remove("x", "a.md")
    assert store.sweep(1.0)
    assert not store.remove("x", "a.md")
    assert store.search(["x"], "xylophone", now=1.0) == []
    assert names(store.search(["y"], "xylophone", now=1.0)) == ["a.md"]
    with store._engine.connect() as db:
        assert db.execute(sa.text("SELECT count(*) FROM document_passages WHERE tenant = 'x'")).scalar() == 0


WITH_VECTORS = pytest.mark.parametrize("store", [*DATABASES, "pgvector"], indirect=True)


@WITH_VECTORS
def test_what_means_the_same_is_found_without_its_words(store):
    draw = random.Random(4)
    vectors = [vector(draw) for _ in range(300)]
    for first in range(0, 300, 50):
        texts = [f"passage {number}" for number in range(first, first + 50)]
        put(store, document(f"{first}.md", *texts, vectors=vectors[first : first + 50]), "x")
    put(store, document("words.md", "a xylophone"), "x")
    put(store, document("small.md", "something", vectors=[vector(draw, 20)]), "x")  # of another size
    put(store, document("other.md", "something", vectors=[vector(draw)], model="other"), "x")
    assert store.models(["x"], 1.0) == ["m", "other"]
    assert store.models(["y"], 1.0) == []
    for _ in range(20):
        asked = vector(draw)
        nearest = sorted(range(300), key=lambda number: -alike(asked, vectors[number]))
        found = store.search(["x"], "nothing of that", now=1.0, most=10, meaning=QuestionVector("m", asked))
        assert [each.text for each in found] == [f"passage {number}" for number in nearest[:10]]
        both = store.search(["x"], "xylophone", now=1.0, most=2, meaning=QuestionVector("m", asked))
        assert {each.text for each in both} == {"a xylophone", f"passage {nearest[0]}"}
        named = store.search(["x"], "nothing", now=1.0, names=["50.md"], most=1, meaning=QuestionVector("m", asked))
        assert named[0].text == f"passage {next(number for number in nearest if 50 <= number < 100)}"
    store.remove("x", "50.md")
    while store.sweep(1.0):
        pass  # some at a time, so that others write between
    found = store.search(["x"], "nothing", now=1.0, most=50, meaning=QuestionVector("m", vectors[60]))
    assert found
    assert not {each.text for each in found} & {f"passage {number}" for number in range(50, 100)}
    with store._engine.connect() as db:
        assert db.execute(sa.text("SELECT count(*) FROM passage_signs")).scalar() == 252


@WITH_VECTORS
def test_the_nearest_of_thousands_are_found_beside_another_tenants(store, request):
    """By an index where the database has one; a tenant of few among many has its own all the same."""
    draw = random.Random(5)
    vectors = [vector(draw, 128) for _ in range(2_000)]
    put(store, document("all", *map(str, range(2_000)), vectors=vectors), "many")
    few = [vector(draw, 128) for _ in range(20)]
    put(store, document("few", *map(str, range(20)), vectors=few), "few")
    hit = total = 0
    for _ in range(20):
        asked = vector(draw, 128)
        for tenant, own in (("many", vectors), ("few", few)):
            found = store.search([tenant], "", now=1.0, most=5, meaning=QuestionVector("m", asked))
            nearest = sorted(range(len(own)), key=lambda at, own=own: -alike(own[at], asked))[:5]
            same = len({int(each.text) for each in found} & {*nearest})
            assert same == 5 or tenant == "many"
            hit, total = hit + same, total + 5
    assert hit / total >= 0.95
    indexes = {index["name"] for index in sa.inspect(store._engine).get_indexes("passage_signs")}
    assert ("passage_signs_128" in indexes) == ("pgvector" in request.node.name)


IN_MEMORY = pytest.mark.parametrize("store", DATABASES[2:], indirect=True)
MANY = [f"word{number}" for number in range(80)]


def plainly_ranked(passages, question):
    """BM25 of every passage, from the formula; headings count twice."""
    counts = {text: Counter(heading.split() * 2 + text.split()) for heading, text in passages}
    long = {text: len(heading.split()) + len(text.split()) for heading, text in passages}
    usual = sum(long.values()) / max(1, len(long))
    scores = Counter()
    for word in set(question.split()):
        holding = sum(word in each for each in counts.values())
        rarity = math.log(1 + (len(counts) - holding + 0.5) / (holding + 0.5))
        for text, each in counts.items():
            if each[word]:
                length = 1.2 * (0.25 + 0.75 * long[text] / usual)
                scores[text] += rarity * 2.2 * each[word] / (each[word] + length)
    return scores


@IN_MEMORY
def test_two_gateways_rank_what_there_is_at_the_moment_as_a_plain_ranking_of_everything(store):
    """After each change by either, of own and common documents, of all and of named ones."""
    draw = random.Random(22)
    gateways = [store, SqlDocuments(store._engine, PassageIndexes(10**9))]
    shared = {}  # what there is, by tenant and name
    weights = [1 / (place + 1) for place in range(len(MANY))]
    for step in range(120):
        tenant, name = draw.choice(["x", "x", "x", "y", ""]), f"{draw.randrange(12)}.md"
        writer = draw.choice(gateways)
        if draw.random() < 0.35:
            assert writer.remove(tenant, name) == bool(shared.pop((tenant, name), None))
        else:
            texts = [
                " ".join([f"unique{step}of{n}", *draw.choices(MANY, weights, k=draw.randrange(1, 40))])
                for n in range(draw.choice([1, 3, 20]))
            ]
            shared[tenant, name] = [(draw.choice(MANY), text) for text in texts]
            passages = tuple(SharedPassage(text, (heading,)) for heading, text in shared[tenant, name])
            put(writer, NewDocument(name, passages), tenant, most_bytes=10**9)
        for reader in gateways:
            question = " ".join(draw.choices(MANY, weights, k=draw.randrange(1, 7)))
            reads = draw.choice([["x", ""], ["y", ""], [""]])
            named = draw.choice([(), (), tuple(f"{n}.md" for n in draw.sample(range(12), 3))])
            there = [
                each for (of, called), texts in shared.items() if of in reads and (not named or called in named)
                for each in texts
            ]  # fmt: skip
            # How rare a word is, is told by the passages that are searched.
            expected = plainly_ranked(there, question)
            found = reader.search(reads, question, now=1.0, names=named, most=10)
            assert [each.score for each in found] == pytest.approx([score for _, score in expected.most_common(10)])
            assert [expected[each.text] for each in found] == pytest.approx([each.score for each in found])
    assert len(shared) > 10


@IN_MEMORY
def test_removed_documents_leave_the_memory(store):
    for number in range(20):
        put(store, document(f"{number}.md", *(f"word{number} and{n}" for n in range(50))), "x")
    assert store.search(["x"], "word7", now=1.0)
    full = store._indexes.size
    for number in range(19):
        store.remove("x", f"{number}.md")
    assert store.search(["x"], "word7", now=1.0) == []
    assert 0 < store._indexes.size < full / 4
    store.remove("x", "19.md")
    assert store.search(["x"], "word19", now=1.0) == []


@IN_MEMORY
def test_indexes_of_many_tenants_stay_within_the_memory_for_them(store):
    draw = random.Random(3)
    vectors = [vector(draw) for _ in range(20)]
    small = SqlDocuments(store._engine, PassageIndexes(30_000))
    for tenant in range(12):
        texts = [f"word{n} of{tenant}x" for n in range(20)]
        put(small, document("a.md", *texts, vectors=vectors), f"t{tenant}")
    put(small, document("a.md", *(f"word{n} oflarge of{n}" for n in range(2_000))), "large")
    for _ in range(60):
        tenant = draw.choice([*map(str, range(12)), "large"])
        reads = ["large" if tenant == "large" else f"t{tenant}"]
        meaning = QuestionVector("m", vectors[3]) if draw.random() < 0.5 and tenant != "large" else None
        found = small.search(reads, "word3", now=1.0, most=1, meaning=meaning)
        assert [each.text.split()[:1] for each in found] == [["word3"]]
        assert 0 <= small._indexes.size <= 30_000
    assert small._indexes.size > 10_000


@IN_MEMORY
@pytest.mark.parametrize("kept", [None, b"", b"\x91\x63", b"no index"])
def test_a_document_without_an_index_is_found_and_gets_one(store, kept):
    """As those have that were shared before there were indexes, or with those of another version."""
    draw = random.Random(6)
    one = vector(draw)
    put(store, document("a.md", "a xylophone", vectors=[one]), "x")
    with store._engine.begin() as db:
        db.execute(sa.update(documents).values(search_index=kept))
    assert names(store.search(["x"], "xylophones", now=1.0)) == ["a.md"]
    assert names(store.search(["x"], "", now=1.0, meaning=QuestionVector("m", one))) == ["a.md"]
    with store._engine.connect() as db:
        assert len(db.execute(sa.select(documents.c.search_index)).scalar()) > 50


@IN_MEMORY
def test_many_documents_without_indexes_are_searched_while_those_are_made(store):
    text = "filler " * 2_000
    for number in range(9):
        put(store, document(f"{number}.md", *(f"word{number} {n} {text}" for n in range(40))), "x", most_bytes=10**9)
    waiting = sa.select(sa.func.count()).where(documents.c.search_index.is_(None))
    left = []
    while not left or left[-1]:
        assert len(store.search(["x"], "word3", now=1.0, most=50)) == 40
        with store._engine.connect() as db:
            left.append(db.execute(waiting).scalar())
    assert left == sorted(set(left), reverse=True)
    assert len(left) > 1


def test_a_document_replaces_the_one_of_its_name(store):
    put(store, document("a.md", "old words"), "x")
    put(store, document("a.md", "new words"), "x")
    assert [each.text for each in store.search(["x"], "words", now=1.0)] == ["new words"]
    assert store.search(["x"], "old", now=1.0) == []


def test_an_expired_document_is_neither_listed_nor_found_and_soon_gone(store):
    put(store, document("a.md", "a xylophone"), "x", now=0.0, expires=10.0)
    assert names(store.search(["x"], "xylophone", now=9.0)) == ["a.md"]
    assert store.search(["x"], "xylophone", now=10.0) == []
    assert store.all(["x"], 10.0) == []
    assert store.count(["x"], 10.0) == 0
    put(store, document("b.md", "something else"), "y", now=11.0)
    with store._engine.connect() as db:
        assert db.execute(sa.text("SELECT count(*) FROM document_passages")).scalar() == 1


def test_a_quota_is_a_tenants_own_and_a_replaced_document_makes_room(store):
    text = "x" * 100
    size = document("a.md", text).passages[0].size
    assert put(store, document("a.md", text), "x", most_bytes=size * 2).bytes == size
    assert put(store, document("b.md", text), "x", most_bytes=size * 2).bytes == size
    assert put(store, document("c.md", text), "x", most_bytes=size * 2) == "0 MB"
    assert put(store, document("a.md", "y"), "x", most_bytes=size * 2).bytes < size
    assert put(store, document("c.md", text), "y", most_bytes=size * 2).bytes == size
    assert put(store, document("c.md", text), "x", most=2) == "2 documents"
    assert [each.name for each in store.all(["x"], 1.0)] == ["a.md", "b.md"], "a refusal changes nothing"


def test_two_that_write_at_once_stay_within_the_quota(store):
    results = []

    def share(number):
        results.append(put(store, document(f"{number}.md", "text"), "x", most=3))

    threads = [threading.Thread(target=share, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(not isinstance(each, str) for each in results) == 3
    assert store.count(["x"], 1.0) == 3


@pytest.mark.parametrize(
    "asked",
    [
        *('"', "a AND NOT b", "heading:x", "x' OR '1'='1", "text* ^y NEAR(a b)", "!&|()", "don't", "λόγος 東京", "%_"),
        *("\\", "a" * 5000, "words " * 5000, ""),
    ],
)
def test_no_question_is_an_operator_or_an_error(store, asked):
    put(store, document("a.md", "plain words"), "x")
    put(store, document("b.md", "secret words"), "y")
    assert all(each.tenant == "x" for each in store.search(["x"], asked, now=1.0))


def test_a_document_appears_whole_and_what_was_never_finished_goes(store):
    """Between the steps of one document others write theirs, search, and replace it."""
    put(store, document("a.md", "an old xylophone"), "x")
    new = document("a.md", *(f"a new xylophone {number}" for number in range(30)))
    given = {"now": 5.0, "expires": None, "most": 2, "most_bytes": 10_000}
    draft = store.begin(head_of(new), "x", **given)
    for first in range(0, 30, 10):
        store.add(draft, new.passages[first : first + 10])
        assert [each.text for each in store.search(["x"], "xylophone", now=6.0)] == ["an old xylophone"]
        assert [each.name for each in store.all(["x"], 6.0)] == ["a.md"]
        assert store.sweep(6.0) == 0, "what is being written is not swept away"
    assert put(store, document("b.md", "text"), "x", most=2) == "2 documents", "what is being written counts"
    store.finish(draft, index_of(new))
    found = store.search(["x"], "xylophone", now=6.0, most=50)
    assert {each.text for each in found} == {one.text for one in new.passages}
    assert {each.score for each in found} == {found[0].score}
    left = store.begin(head_of(document("c.md", "text")), "x", **given)
    assert not isinstance(left, str)
    store.add(left, document("c.md", "text").passages)
    while store.sweep(10_000.0):
        pass
    with store._engine.connect() as db:
        assert db.execute(sa.text("SELECT name FROM documents")).scalars().all() == ["a.md"]
        assert db.execute(sa.text("SELECT count(*) FROM document_passages")).scalar() == 30
