"""Conversations last: over kernels, beside other kernels, and unreadable without their key."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import duckdb
import pandas as pd
import pytest
from many_cases import check_each

from rsql_magic.display import charts
from rsql_magic.errors import BadInput
from rsql_magic.gateway import Origin, Turn, Usage
from rsql_magic.panel import FailedCell, notebook_path
from rsql_magic.panel.kept import records, sealing, store, writing
from rsql_magic.panel.kept.artifacts import NewArtifact
from rsql_magic.panel.kept.forms import kept_as
from rsql_magic.panel.kept.sealing import Seal, SealBroken
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("without_r", "at_once")


def end(talk):
    """End a kernel as a restart does: what is not written yet is written."""
    talk.panel.threads.close()


def hello(talk, thread=""):
    return talk.do("hello", thread=thread)


@pytest.mark.slow
def test_a_new_kernel_shows_at_once_what_was_said_with_its_table_and_goes_on(kernels, gateway, tmp_path):
    con = duckdb.connect(tmp_path / "shop.duckdb")
    con.execute("CREATE TABLE orders AS SELECT i AS id, i % 3 AS shop, i * 1.5 AS total FROM range(30) t(i)")
    first = kernels(namespace={"con": con})
    gateway.replies = [
        "```sql\nSELECT shop, sum(total) AS total FROM orders GROUP BY shop ORDER BY shop\n```\n"
        '```json\n{"chart": "bar", "x": "shop", "y": "total"}\n```',
        "It is because of `orders`.",
    ]
    first.ask("/sql con Draw the total per shop as a bar chart")
    first.ask("Why is that?")
    told = hello(first)
    first.panel.threads.find(told["thread"]).pairs[0].rating = "up"
    first.panel.threads.keeper.changed(
        first.panel.threads.find(told["thread"]), first.panel.threads.find(told["thread"]).pairs[0]
    )
    drawn = first.do("chart", thread=told["thread"], exchange=told["exchanges"][0]["id"])
    assert drawn["spec"]["mark"]
    end(first)

    second = kernels(namespace={"con": con})
    again = hello(second)
    assert [pair["question"] for pair in again["exchanges"]] == [pair["question"] for pair in told["exchanges"]]
    query, words = again["exchanges"]
    assert query["result"] == told["exchanges"][0]["result"]
    assert query["result"]["rows"][0] == ["0", "202.5"]
    assert (query["footer"], query["rating"], query["state"]) == (told["exchanges"][0]["footer"], "up", "done")
    assert words["footer"] == told["exchanges"][1]["footer"]
    chart = second.do("chart", thread=again["thread"], exchange=query["id"])
    assert chart["spec"] == drawn["spec"]
    gateway.replies = ["Three."]
    second.ask("How many shops is that?", thread=again["thread"])
    assert "Why is that?" in str(gateway.requests[-1]["messages"])  # the model reads the earlier turns again
    con.close()


def test_what_is_said_while_a_file_is_made_is_kept_though_the_kernel_ends_before(kernels, gateway, monkeypatch):
    monkeypatch.setattr(writing, "_AT_END", 0.05)
    first = kernels()
    gateway.replies = ["one", "two"]
    names = [first.do("new")["thread"] for _ in range(2)]
    for name in names:
        first.ask("Draw it", thread=name)
    keeper, threads = first.panel.threads.keeper, [first.panel.threads.find(name) for name in names]
    assert keeper.flush()
    making, made = threading.Event(), threading.Event()

    def drawn():
        making.set()
        made.wait(60)
        return b""

    def rate(thread, rating, made=tuple):
        thread.pairs[0].rating = rating
        keeper.changed(thread, thread.pairs[0], made=made)

    # The file is taken up with what else was said by then, and more is said while it is made.
    with keeper._there:
        rate(threads[0], "down", lambda: [NewArtifact("a1", "p1", "picture", "it.png", "image/png", drawn)])
        rate(threads[1], "up")
    assert making.wait(60)
    rate(threads[0], "up")
    end(first)
    made.set()
    second = kernels()
    for thread in threads:
        assert [pair["rating"] for pair in hello(second, thread.id)["exchanges"]] == ["up"]


def test_an_error_that_was_explained_is_asked_about_again_after_a_restart(kernels, gateway):
    gateway.replies = ["There is no such column.", "It is called origin."]
    first = kernels()
    cell = {"source": "print(flights.orign)", "name": "AttributeError", "value": "no attribute orign"}
    asked = first.do("ask", thread=first.thread, text="Explain the error of cell 2", about=cell)
    first.ended(asked["exchange"]["id"])
    end(first)
    second = kernels()
    told = hello(second)
    (pair,) = told["exchanges"]
    assert pair["about"] == cell
    again = second.do("ask", thread=told["thread"], text=pair["question"], replaces=pair["id"], about=pair["about"])
    assert second.ended(again["exchange"]["id"])["state"] == "done"
    sent = gateway.requests[-1]["messages"][-1]["content"]
    assert "print(flights.orign)" in sent
    assert "AttributeError" in sent


def test_the_latest_conversation_is_shown_and_the_others_are_in_the_list(kernels, gateway):
    first = kernels()
    gateway.replies = ["one", "two"]
    first.ask("in the notebook's")
    other = first.do("new")["thread"]
    first.ask("Why are flights late?", thread=other)
    first.do("rename", thread=other, title="Delays")
    end(first)
    second = kernels()
    told = hello(second)
    assert told["thread"] == other
    assert [(head["title"], head["turns"]) for head in told["threads"]] == [("Notebook", 1), ("Delays", 1)]
    elsewhere = kernels(path="~/other.ipynb")
    assert hello(elsewhere)["exchanges"] == []
    kept = elsewhere.do("kept")
    assert kept["here"] == []
    assert [(row["title"], row["notebook"]) for row in kept["elsewhere"]] == [
        ("Delays", "~/delays.ipynb"),
        ("Notebook", "~/delays.ipynb"),
    ]
    opened = hello(elsewhere, kept["elsewhere"][1]["id"])
    assert [pair["question"] for pair in opened["exchanges"]] == ["in the notebook's"]


def test_a_cell_that_runs_again_after_a_restart_replaces_its_pair(kernels, gateway):
    first = kernels()

    def turn(talk, question, cell, run):
        talk.panel.assistant.chat.take(Turn(question, "an answer", origin=Origin(cell, run), place=1))

    turn(first, "old words", "cell-1", "a")
    turn(first, "another", "cell-2", "b")
    end(first)
    second = kernels()
    turn(second, "new words", "cell-1", "c")
    told = hello(second)
    assert [pair["question"] for pair in told["exchanges"]] == ["another", "new words"]
    assert [turn.question for turn in second.panel.assistant.chat.turns] == ["another", "new words"]
    end(second)
    assert [pair["question"] for pair in hello(kernels())["exchanges"]] == ["another", "new words"]


def test_what_a_cell_said_stays_kept_when_the_panel_is_opened_after_it(kernels, gateway):
    first = kernels()
    first.panel.assistant.chat.take(Turn("asked", "an answer", origin=Origin("cell-1", "a"), place=1))
    assert first.panel.threads.keeper.flush()
    assert [pair["question"] for pair in hello(first)["exchanges"]] == ["asked"]
    end(first)
    assert [pair["question"] for pair in hello(kernels())["exchanges"]] == ["asked"]


def test_two_kernels_write_one_conversation_and_see_each_other(kernels, gateway):
    one, two = kernels(), kernels()
    hello(one)
    hello(two)
    gateway.replies = [f"answer {n}" for n in range(6)]
    for n in range(3):
        one.ask(f"one {n}")
        two.ask(f"two {n}")
    for talk in (one, two):
        assert talk.panel.threads.keeper.flush()
    asked = [f"{who} {n}" for n in range(3) for who in ("one", "two")]
    for talk in (one, two, kernels()):
        assert [pair["question"] for pair in hello(talk)["exchanges"]] == asked
    assert all(pair["state"] == "done" for pair in hello(one)["exchanges"])


def test_an_answer_of_another_kernel_is_complete_once_it_is(kernels, monkeypatch):
    monkeypatch.setattr(store, "_lives", bool)
    one, two = kernels(), kernels()
    thread = one.panel.threads.find(one.thread)
    thread.pairs.append(pair := MessagePair("slow?", "As far"))
    one.panel.threads.keeper.changed(thread, pair)
    one.panel.threads.keeper.flush()
    assert [(told["answer"], told["notes"]) for told in hello(two)["exchanges"]] == [
        ("As far", ("being answered in another kernel",))
    ]
    pair.answer, pair.state, pair.turn = "As far as it goes", "done", Turn("slow?", "As far as it goes")
    one.panel.threads.keeper.changed(thread, pair)
    one.panel.threads.keeper.flush()
    for _ in range(2):
        told = hello(two)["exchanges"]
        assert [(each["answer"], each["state"], each["notes"]) for each in told] == [("As far as it goes", "done", ())]
    assert [turn.question for turn in two.panel.assistant.chat.turns] == ["slow?"]


def test_many_threads_and_stores_write_at_once(tmp_path):
    folder = tmp_path / "kept"

    def write(who):
        kept = ConversationStore(folder)
        number = kept.notebook("~/a.ipynb")
        for n in range(25):
            kept.write(number, Head("c", "", "C"), [NewPair(f"{who}-{n}", b"{}")])
        kept.close()

    writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    [thread.start() for thread in writers]
    [thread.join() for thread in writers]
    kept = ConversationStore(folder)
    assert [head.pairs for head in kept.heads()] == [100]
    assert {each.id for each in kept.page("c")[0]} == {f"{who}-{n}" for who in range(4) for n in range(25)}
    kept.close()


_KILLED = """
import sys, threading
from pathlib import Path
from rsql_magic.config import Rsql
from rsql_magic.assistant import Assistant
from rsql_magic.panel import Conversations, Keeper
from rsql_magic.panel.threads import MessagePair
assistant = Assistant(Rsql(), environ={}, batch=False)
threads = Conversations(assistant, Keeper(Path(sys.argv[1]), assistant.settings, path=lambda: "~/delays.ipynb"))
thread = threads.find(threads.current)
pair = MessagePair("What takes long?")
thread.pairs.append(pair)
threads.tell(thread, pair, "exchange")
for word in "As far as it came".split():
    pair.answer += word + " "
    threads.tell(thread, pair, "text", at=0, text=word)
threads.keeper.flush()
print("written", flush=True)
threading.Event().wait()
"""


def test_what_had_come_before_a_kill_is_there_and_can_be_gone_on_with(kernels, gateway, tmp_path, programs):
    killed = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path / "kept")], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert killed.stdout.readline() == "written\n"
    living = kernels()
    [pair] = hello(living)["exchanges"]
    assert pair["notes"] == ("being answered in another kernel",)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    [pair] = hello(kernels())["exchanges"]
    assert (pair["question"], pair["answer"], pair["state"]) == ("What takes long?", "As far as it came ", "stopped")
    assert pair["notes"] == ()
    again = kernels()
    gateway.replies = ["and then further."]
    again.ask("Go on exactly where your answer broke off, without repeating it.")
    assert "As far as it came  [interrupted]" in str(gateway.requests[-1]["messages"])


def test_nothing_that_was_said_can_be_read_in_the_files(kernels, gateway, tmp_path):
    talk = kernels(path="~/patients/ann_smith.ipynb", namespace={})
    gateway.replies = ["The secret answer is hunter2hunter2."]
    talk.ask("Who is Grete Hermann?")
    other = talk.do("new")["thread"]
    talk.do("rename", thread=other, title="Secret title")
    gateway.replies = ["y"]
    talk.ask("Whose?", thread=other)
    files = list((tmp_path / "kept").iterdir())
    talk.panel.threads.keeper.flush()
    held = b"".join(file.read_bytes() for file in files)
    assert len(held) > 4096
    for word in (b"hunter2", b"Grete", b"Hermann", b"ann_smith", b"Secret title", b"llama", b"Notebook"):
        assert word not in held
        assert word.decode().encode("utf-16-le") not in held
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_without_its_key_a_file_tells_nothing_and_says_so(tmp_path, monkeypatch):
    kept = ConversationStore(tmp_path)
    kept.write(kept.notebook("~/a.ipynb"), Head("c", "", "Title"), [NewPair("p", b'{"question": "q"}')])
    kept.close()
    (tmp_path / "conversations.key").write_bytes(bytes(32))
    other = ConversationStore(tmp_path)
    [head] = other.heads()
    assert "cannot be read" in head.title
    assert head.notebook == ""
    assert [each.body for each in other.page("c")[0]] == [None]
    other.close()
    (tmp_path / "conversations.key").write_bytes(b"short")
    monkeypatch.setattr(sealing, "_PATIENCE", 0.02)
    with pytest.raises(BadInput, match="holds no key"):
        ConversationStore(tmp_path)


def test_a_wide_open_key_is_closed_again(tmp_path):
    ConversationStore(tmp_path).close()
    (tmp_path / "conversations.key").chmod(0o644)
    ConversationStore(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "conversations.key").stat().st_mode) == 0o600


def test_sealed_texts_cannot_be_damaged_or_moved():
    seal, dice = Seal(bytes(range(32))), random.Random(7)

    def holds(case):
        text = dice.randbytes(dice.choice([0, 1, 40, 999, 1000, 1001, 50_000]))
        sealed = seal.seal(text, "pair 1")
        assert seal.open(sealed, "pair 1") == text
        assert seal.seal(text, "pair 1") != sealed
        at = dice.randrange(len(sealed))
        broken = sealed[:at] + bytes([sealed[at] ^ (1 << dice.randrange(8))]) + sealed[at + 1 :]
        for wrong, about in ((broken, "pair 1"), (sealed, "pair 2"), (sealed[:-1], "pair 1"), (b"", "pair 1")):
            with pytest.raises(SealBroken):
                seal.open(wrong, about)

    check_each(holds, ((n,) for n in range(40)))


def test_batch_runs_and_those_who_do_not_want_it_keep_nothing(kernels, gateway, tmp_path):
    gateway.replies = ["x"] * 4
    for n, settings in enumerate([{"batch": True}, {"conversations": "never"}]):
        talk = kernels(folder=tmp_path / f"none{n}", **settings)
        talk.ask("q")
        talk.panel.threads.keeper.flush()
        assert not (tmp_path / f"none{n}").exists()
    asked = kernels(folder=tmp_path / "always", batch=True, conversations="always")
    asked.ask("q")
    end(asked)
    assert (tmp_path / "always" / "conversations.db").exists()


def test_a_renamed_notebook_keeps_its_conversations_and_a_copy_does_not(kernels, gateway, tmp_path):
    original = tmp_path / "delays.ipynb"
    original.write_text("{}")
    first = kernels(path=str(original), cells=["cell-1"])
    gateway.replies = ["one"]
    first.ask("about delays")
    end(first)
    (tmp_path / "delays-Copy1.ipynb").write_text("{}")
    copied = kernels(path=str(tmp_path / "delays-Copy1.ipynb"), cells=["cell-1"])
    assert hello(copied)["exchanges"] == []
    original.rename(tmp_path / "late.ipynb")
    renamed = kernels(path=str(tmp_path / "late.ipynb"), cells=["cell-9", "cell-1"])
    assert [pair["question"] for pair in hello(renamed)["exchanges"]] == ["about delays"]


def test_a_notebook_that_is_renamed_while_open_takes_its_conversations_along(kernels, gateway):
    first = kernels(path="~/course/delays.ipynb")
    first.do("hello", path="course/delays.ipynb")
    gateway.replies = ["one", "two"]
    first.ask("before")
    first.do("moved", path="course/late.ipynb")
    first.ask("after")
    end(first)
    assert [pair["question"] for pair in hello(kernels(path="~/course/late.ipynb"))["exchanges"]] == ["before", "after"]
    assert hello(kernels(path="~/course/delays.ipynb"))["exchanges"] == []


def test_the_path_is_relative_to_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert notebook_path({}, {"JPY_SESSION_NAME": str(tmp_path / "a" / "b.ipynb")}) == "~/a/b.ipynb"
    assert notebook_path({"__vsc_ipynb_file__": "/data/c.ipynb"}, {"JPY_SESSION_NAME": "x"}) == "/data/c.ipynb"
    monkeypatch.chdir(tmp_path)
    assert notebook_path({}, {}) == "~/."


def test_what_is_edited_cleared_or_deleted_is_gone_for_good(kernels, gateway):
    talk = kernels()
    gateway.replies = ["1", "2", "3", "4"]
    first = talk.ask("one")
    talk.ask("two")
    talk.ask("better", replaces=first["id"])
    other = talk.do("new")["thread"]
    talk.ask("elsewhere", thread=other)
    talk.panel.threads.keeper.flush()
    talk.do("delete", thread=other)
    end(talk)
    again = kernels()
    assert [pair["question"] for pair in hello(again)["exchanges"]] == ["better"]
    assert len(again.panel.threads) == 1
    assert again.ask("/clear")["cleared"]
    end(again)
    assert hello(kernels())["exchanges"] == []


def test_forgetting_deletes_everything_of_every_notebook_while_kernels_go_on(kernels, gateway, tmp_path):
    one, two = kernels(), kernels(path="~/other.ipynb")
    gateway.replies = ["1", "2", "3"]
    one.ask("first")
    two.ask("second")
    assert one.panel.threads.keeper.flush()
    assert two.panel.threads.keeper.flush()
    assert one.do("forget")["gone"] == 2
    file = sqlite3.connect(tmp_path / "kept" / "conversations.db")
    assert all(
        file.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,) for name in ("pair", "conversation", "cell")
    )
    file.close()
    two.ask("third")  # is kept anew
    end(two)
    assert [pair["question"] for pair in hello(kernels(path="~/other.ipynb"))["exchanges"]] == ["third"]


def test_conversations_expire(tmp_path):
    kept = ConversationStore(tmp_path, clock=lambda: 1_000_000.0)
    kept.write(kept.notebook("~/a.ipynb"), Head("c", "", "C"), [NewPair("p", b"{}")])
    kept.close()
    later = ConversationStore(tmp_path, clock=lambda: 1_000_000.0 + 10 * 86_400)
    assert later.expire(11) == 0
    assert later.expire(9) == 1
    assert later.rows("SELECT count(*) FROM pair") == [(0,)]
    later.close()


def test_a_long_conversation_comes_in_pages_from_its_end(kernels, gateway, monkeypatch):
    monkeypatch.setattr(store, "_PAGE", 10)
    talk = kernels()
    thread = talk.panel.threads.find(talk.thread)
    for n in range(35):
        thread.pairs.append(pair := MessagePair(f"question {n}", "words", "done", turn=Turn(f"question {n}", "words")))
        talk.panel.threads.keeper.changed(thread, pair)
    end(talk)
    again = kernels()
    told = hello(again)
    assert (len(told["exchanges"]), told["earlier"]) == (10, 25)
    assert told["exchanges"][-1]["question"] == "question 34"
    assert told["threads"][0]["turns"] == 35
    before = again.do("earlier", thread=told["thread"])
    assert [pair["question"] for pair in before["exchanges"]] == [f"question {n}" for n in range(15, 25)]
    assert before["earlier"] == 15
    export = again.do("export", thread=told["thread"], form="json")
    import json

    assert [pair["question"] for pair in json.loads(export["text"])["pairs"]] == [f"question {n}" for n in range(35)]
    assert again.do("earlier", thread=told["thread"])["exchanges"] == []


@pytest.mark.slow
def test_a_conversation_of_50_megabytes_opens_by_its_end(kernels, tmp_path):
    kept = ConversationStore(tmp_path / "kept")
    number, dice = kept.notebook("~/delays.ipynb"), random.Random(3)
    for n in range(25):
        text = dice.randbytes(1_000_000).hex()
        kept.write(
            number,
            Head(f"notebook-{number}", "", "Notebook", True),
            [NewPair(f"p{n}", records.written(MessagePair(f"q{n}", text, "done", id=f"p{n}")))],
        )
    assert kept.heads()[0].bytes > 25_000_000
    kept.close()
    told = hello(kernels())
    assert 1 <= len(told["exchanges"]) <= 10
    assert told["exchanges"][-1]["question"] == "q24"
    assert told["earlier"] + len(told["exchanges"]) == 25


def test_what_is_too_large_for_a_record_is_left_out_and_said():
    pair = MessagePair("q", "a", "done", drawing={"data": "x" * 20_000_000}, result={"sql": "SELECT 1", "chart": True})
    kept = records.read(records.written(pair))
    assert (kept.drawing, kept.result["chart"]) == (None, False)
    assert "its chart left out" in kept.notes[0]
    huge = records.written(MessagePair("q", "words " * 5_000_000, "done"))
    assert len(huge) < records.LARGEST
    assert "the end of its text left out" in records.read(huge).notes[0]


def test_any_pair_is_read_as_it_was_written():
    dice = random.Random(11)
    alphabet = 'aé𝔘\n\t"\\|`$<>\u202e\u0000' + "z" * 5

    def text(most=40):
        return "".join(dice.choice(alphabet) for _ in range(dice.randrange(most)))

    def holds(case):
        pair = MessagePair(
            text(),
            text(400),
            dice.choice(["done", "failed", "stopped", "running"]),
            dice.choice(["ask", "sql_ai", "help"]),
            footer=text(),
            sources=tuple(text() for _ in range(dice.randrange(3))),
            citations=({"label": text(), "text": text(), "borne_out": True},),
            error=dice.choice([None, {"message": text(), "hint": text(), "retry_after": 4.5}]),
            result=dice.choice([None, {"sql": text(), "rows": [[text(), "1"]], "columns": [{"name": text()}]}]),
            drawing=dice.choice([None, {"mark": "bar", "data": {"values": [{"c0": 1.5, "c1": None}]}}]),
            about=dice.choice([None, FailedCell(text(), "KeyError", text())]),
            undo=dice.choice([None, {"before": text(), "steps": [{"cell": text(), "before": None}]}]),
            turn=Turn(
                text(),
                text(),
                "sql_ai",
                Usage(3, 4, cost_usd=0.5),
                True,
                ("a",),
                Origin("c", "r"),
                3,
                True,
                "con",
                "names",
            ),
        )
        again = records.read(records.written(pair))
        assert again.as_dict() == pair.as_dict()
        assert (again.turn, again.drawing) == (pair.turn, pair.drawing)
        elsewhere = records.read(kept_as(records.outward(records.written(pair))))
        assert elsewhere.as_dict() == pair.as_dict() | {"about": None, "undo": None}

    check_each(holds, ((n,) for n in range(60)))
    assert records.read(records.written(MessagePair("half \ud83d a sign"))).question == "half ? a sign"


def test_a_turn_about_a_connection_is_told_to_one_of_its_name_only(kernels):
    assert Turn("q", "a", connection="con\x001234").lasting_connection == "con"
    assert Turn("q", "a", connection="con").fits("con\x0099")
    assert not Turn("q", "a", connection="con").fits("other\x0099")
    assert not Turn("q", "a", connection="con\x001234").fits("con\x0099")


def test_a_kept_chart_of_an_earlier_version_is_drawn_without_what_its_names_would_do():
    rows = [{"image": "http://127.0.0.1:9/canary", "n": 1}]
    encoding = {"x": {"field": "image", "type": "nominal"}, "y": {"field": "n", "type": "quantitative"}}
    earlier = {"mark": {"type": "bar", "tooltip": True}, "encoding": encoding, "data": {"values": rows}}
    kept = records.read(records.written(MessagePair("How many?", "", "done", drawing=earlier)))
    assert kept.drawing["mark"] == {"type": "bar"}
    assert kept.drawing["data"] == {"values": rows}
    acting = {**earlier, "data": {"url": "http://127.0.0.1:9/canary"}}
    assert records.read(records.written(MessagePair("How many?", "", "done", drawing=acting))).drawing is None
    own = charts.draw(charts.Chart("bar", "image", "n"), pd.DataFrame(rows))[0]
    assert records.read(records.written(MessagePair("How many?", "", "done", drawing=own))).drawing == own
