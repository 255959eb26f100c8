"""Speed of documents: a search over 100,000 passages, adding 1,000 pages, and what loading the extension costs.

Run by ``make bench``; the limits are those of docs/documents.md.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import pytest
import servers

from rsql_magic.knowledge import Library, Passage
from rsql_magic.knowledge.documents.library import with_terms
from rsql_magic.knowledge.documents.sources import Document

pytestmark = pytest.mark.bench

PASSAGES, WORDS = 100_000, 100
QUESTIONS = (
    "How do I compute the average value of a column in a table?",
    "plot the mean of a sample per group and test the model",
    "read a file with text and dates",
)


def vocabulary(chance):
    """Common words of questions first, then 30,000 made ones; they occur as words do, by Zipf's law."""
    common = "data mean table file value function plot test model read number column row average date text group sample"
    syllables = [first + second for first in "bcdfgklmnprst" for second in ("a", "e", "i", "o", "u", "an", "er")]
    made = {"".join(chance.choices(syllables, k=3)) for _ in range(30_000)}
    return [*common.split(), *sorted(made)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    chance = random.Random(18)
    words = vocabulary(chance)
    weights = [1 / (place + 10) for place in range(len(words))]

    def document(number):
        texts = (" ".join(chance.choices(words, weights, k=WORDS)) for _ in range(50))
        passages = (
            Passage(f"d{number}", (chance.choice(words),), 1 + 9 * i, 9 + 9 * i, t) for i, t in enumerate(texts)
        )
        return Document(f"d{number}", f"https://example.org/d{number}", "markdown", "x", tuple(passages))

    made = Library(tmp_path_factory.mktemp("documents") / "documents.db")
    made.store.put(with_terms(document(number) for number in range(PASSAGES // 50)), now=0.0)
    return made


def test_a_search_over_a_hundred_thousand_passages(library):
    started = time.perf_counter()
    assert library.search(QUESTIONS[0]).passages
    made = time.perf_counter() - started
    again = Library(library.path)
    started = time.perf_counter()
    again.search(QUESTIONS[0])
    read = time.perf_counter() - started
    times = []
    for _ in range(10):
        for question in (*QUESTIONS, "the rarest of " + " ".join(vocabulary(random.Random(18))[500:3500:1000])):
            started = time.process_time()
            assert again.search(question, most=8).passages
            times.append(1000 * (time.process_time() - started))
    size = sum(each.stat().st_size for each in library.path.with_suffix(".index").rglob("*") if each.is_file())
    median, worst = statistics.median(times), max(times)
    print(f"\n{PASSAGES:,} passages: {median:.1f} ms a search, at most {worst:.1f} ms; the index, {size / 1e6:.0f} MB,")
    print(f"is made in {made:.1f} s and read in {1000 * read:.0f} ms")
    assert median <= 30
    assert read <= 2


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_search_over_a_hundred_thousand_shared_passages(kind, tmp_path):
    """What a gateway's database does for one question of a group with so many passages, of 384 numbers each."""
    import numpy as np

    from jupyter_server_ext.knowledge import NewDocument, QuestionVector, SharedPassage, of_length_one
    from jupyter_server_ext.knowledge.indexes import PassageIndexes
    from jupyter_server_ext.knowledge.preparing import index_of
    from jupyter_server_ext.knowledge.store import SqlDocuments
    from jupyter_server_ext.ledger import SqlLedgerStore

    chance, draw = random.Random(18), np.random.default_rng(18)
    words = vocabulary(chance)
    weights = [1 / (place + 10) for place in range(len(words))]
    centres = draw.normal(size=(400, 384))  # passages are about something: vectors lie in heaps
    rows = (centres[draw.integers(400, size=PASSAGES)] + 0.7 * draw.normal(size=(PASSAGES, 384))).astype("<f2")
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f2")
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/l.db"
        if kind == "postgresql":
            url = stack.enter_context(servers.postgresql()).url + "/postgres"
        ledger = stack.enter_context(closing(SqlLedgerStore(url, instance="one")))
        store = SqlDocuments(ledger.engine, indexes := PassageIndexes(256_000_000))
        made = 0.0
        for first in range(0, PASSAGES, 2000):
            texts = [" ".join(chance.choices(words, weights, k=WORDS)) for _ in range(2000)]
            sent = enumerate(zip(texts, rows[first : first + 2000], strict=True), first)
            passages = tuple(SharedPassage(text, ("A",), 1, 2, str(n), row.tobytes()) for n, (text, row) in sent)
            new = NewDocument(f"d{first}", passages, model="m")
            store.put(new, "x", now=0.0, expires=None, most=10**6, most_bytes=10**12)
            started = time.perf_counter()
            index_of(new)
            made += time.perf_counter() - started
        _analyze(ledger.engine)
        started = time.perf_counter()
        assert store.search(["x"], QUESTIONS[0], now=1.0)
        read = time.perf_counter() - started
        times, by_words, work, found = [], [], [], []
        for number in range(40):
            question = QUESTIONS[number % len(QUESTIONS)]
            asked = of_length_one(
                (rows[number * 997].astype(float) + draw.normal(size=384) / 20).astype("<f2").tobytes()
            )
            started, worked = time.perf_counter(), time.process_time()
            assert store.search(["x"], question, now=1.0, most=25)
            by_words.append(1000 * (time.perf_counter() - started))
            started = time.perf_counter()
            near = store.search(["x"], "", now=1.0, most=10, meaning=QuestionVector("m", asked))
            times.append(1000 * (time.perf_counter() - started))
            work.append(1000 * (time.process_time() - worked))
            exact = np.argsort(-(rows.astype(np.float32) @ np.frombuffer(asked, "<f2").astype(np.float32)))[:10]
            found.append(len({int(each.part) for each in near} & {*exact.tolist()}) / 10)
    (words_ms, words_95), (median, median_95) = map(_middle_and_95th, (by_words, times))
    print(f"\n{kind}: {PASSAGES:,} shared passages; the index, {indexes.size / 1e6:.0f} MB, is made in {made:.1f} s")
    print(f"and read in {1000 * read:.0f} ms; {words_ms:.1f} ms by words, the 95th percentile {words_95:.1f};")
    print(f"{median:.1f} ms by meaning, {median_95:.1f}; of the ten nearest {statistics.mean(found):.3f}")
    assert statistics.mean(found) >= 0.95
    assert statistics.median(work) <= 60, "of this process, for both, whatever else the machine does"


def _middle_and_95th(times):
    return statistics.median(times), statistics.quantiles(times, n=20)[-1]


def test_adding_a_thousand_pages(tmp_path):
    chance = random.Random(7)
    words = vocabulary(chance)
    paragraph = lambda: " ".join(chance.choices(words, k=80))  # noqa: E731
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(1000):
        body = "".join(f"<h2>Part {part}</h2><p>{paragraph()}</p>" for part in range(5))
        (pages / f"{number}.html").write_text(f"<title>Page {number}</title><h1>Page {number}</h1>{body}")
    shown = []
    library = Library(tmp_path / "documents.db")
    started = time.perf_counter()
    added = library.add([str(pages)], lambda *progress: shown.append(progress))
    seconds = time.perf_counter() - started
    print(f"\n1,000 pages of 400 words, {added.passages:,} passages: {seconds:.1f} s, a bar of {len(shown):,} steps")
    assert len(added.documents) == 1000
    assert len(shown) >= 1000
    assert seconds <= 60


def test_neither_loading_the_extension_nor_a_question_without_documents_imports_them():
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); shell.run_cell('%load_ext rsql_magic').raise_error();"
        "print([name for name in sys.modules if 'documents' in name or name in ('bm25s', 'pypdf')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def _analyze(engine):
    with engine.begin() as db:
        db.exec_driver_sql("ANALYZE")  # as PostgreSQL does itself within a minute
