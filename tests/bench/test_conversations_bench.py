"""How long a list, an opening and a search take among 1,000 conversations of 200 questions, and what writing costs."""

from __future__ import annotations

import random
import time
from statistics import median

import pytest

from rsql_magic.assistant import Assistant
from rsql_magic.config import Rsql
from rsql_magic.gateway import Turn
from rsql_magic.panel import Conversations, Keeper
from rsql_magic.panel.kept import records
from rsql_magic.panel.kept.search import search
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.bench

CONVERSATIONS, PAIRS = 1_000, 200
WORDS = [f"word{n}" for n in range(5_000)]


def pair(dice, n, word=""):
    said = " ".join(dice.choices(WORDS, k=120)) + f" {word}"
    rows = [[str(dice.random()) for _ in range(4)] for _ in range(10)]
    result = {
        "sql": "SELECT a, b FROM t",
        "columns": [{"name": "a", "right": True}] * 4,
        "rows": rows,
        "count": "10 rows",
    }
    question = f"Question {n} about {dice.choice(WORDS)}?"
    return MessagePair(question, said, "done", "sql_ai", result=result, turn=Turn(question, said), footer="llama · 99")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    dice, folder = random.Random(1), tmp_path_factory.mktemp("kept")
    store = ConversationStore(folder)
    bodies = [records.written(pair(dice, n)) for n in range(500)]
    notebooks = [store.notebook(f"~/notebook{n}.ipynb") for n in range(20)]
    for number in range(CONVERSATIONS):
        pairs = [NewPair(f"{number}-{n}", dice.choice(bodies)) for n in range(PAIRS)]
        if number == 0:  # the last that a search comes to
            pairs[0] = NewPair("0-0", records.written(pair(dice, 0, "needle")))
        store.write(notebooks[number % 20], Head(f"c{number}", "", f"Conversation {number}"), pairs)
    store.close()
    return folder


def timed(work, times=7):
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - begun))
    return median(spent), max(spent)


def conversations(folder):
    assistant = Assistant(Rsql(), environ={}, batch=False)
    return Conversations(assistant, Keeper(folder, assistant.settings, path=lambda: "~/notebook3.ipynb"))


def test_list_open_and_search(folder):
    threads = conversations(folder)
    threads.open()
    size = (folder / "conversations.db").stat().st_size / 1e6
    print(f"\n{CONVERSATIONS:,} conversations of {PAIRS} questions: {size:,.0f} MB on disk")
    store = threads.keeper.store
    names = iter(f"c{n}" for n in range(CONVERSATIONS))

    def opened():
        thread = threads.find(next(names))
        assert len(thread.pairs) == PAIRS
        [each.as_dict() for each in thread.pairs]

    def first():
        fresh = conversations(folder)
        fresh.open()
        fresh.close()

    figures = {
        "a list of all": timed(lambda: threads.reader.listed("", threads.of_cells)),
        "opening one": timed(opened, 15),
        "a panel that opens": timed(first),
        "a search for a title": timed(lambda: search(store, "Conversation 999"), 3),
        "a search for a word that stands nowhere, of all": timed(lambda: search(store, "nowhere", seconds=600), 1),
    }
    for what, (middle, most) in figures.items():
        print(f"{what}: {middle:,.1f} ms, at most {most:,.1f} ms")
    threads.close()
    assert figures["a list of all"][0] <= 50
    assert figures["opening one"][0] <= 200


def test_an_answer_does_not_wait_for_what_is_written(folder):
    threads = conversations(folder)
    thread, dice = threads.find(threads.current), random.Random(2)
    made = pair(dice, 1)
    thread.pairs.append(made)

    def piece():
        made.answer += "word "
        threads.tell(thread, made, "text")

    middle, most = timed(piece, 3_000)
    threads.close()
    print(f"\na piece of an answer: {1000 * middle:,.1f} µs, at most {most:,.2f} ms")
    assert middle < 0.1
