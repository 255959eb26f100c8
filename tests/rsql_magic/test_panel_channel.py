"""The thread by which views' requests come: nothing is waited for in it, so that a stop always gets through."""

from __future__ import annotations

import threading
from functools import partial

import httpx
import pytest
from panel_talk import Loop, Talk
from waiting import eventually

from rsql_magic.assistant import Assistant
from rsql_magic.panel.answer_task import MainThread
from rsql_magic.panel.chat_panel import _REQUESTS, known
from rsql_magic.panel.kept.writing import Keeper

pytestmark = pytest.mark.usefixtures("without_r")

PICTURE = [{"name": "red.png", "data": "iVBORw0KGgo="}]
CELLS = {"cells": [{"id": "a", "source": "x = 1", "type": "code"}], "active": 0}
# Each request with arguments by which it comes to what it may wait for; THREAD, PAIR and FILE stand for what is there.
ARGUMENTS = {
    "hello": {"thread": "THREAD"},
    "earlier": {"thread": "THREAD"},
    "kept": {"words": "median"},
    "moved": {"path": "other.ipynb"},
    "new": {},
    "rename": {"thread": "THREAD", "title": "Medians"},
    "delete": {"thread": "THREAD"},
    "forget": {},
    "keep": {"on": True},
    "ask": {"thread": "THREAD", "text": "/usage"},
    "stop": {"thread": "THREAD"},
    "chips": {"thread": "THREAD", "text": "What is @sales?"},
    "preview": {"thread": "THREAD", "text": "What is @sales?"},
    "place": {"name": "a.csv", "size": 1},
    "piece": {"file": "a.csv", "data": "", "at": 1, "size": 1},
    "complete": {"prefix": "s"},
    "starters": {},
    "models": {},
    "reach": {},
    "quota": {},
    "run": {"code": "1", "language": "python"},
    "cell": {"code": "1"},
    "export": {"thread": "THREAD", "form": "cells"},
    "rate": {"thread": "THREAD", "exchange": "PAIR", "rating": "up"},
    "save": {"thread": "THREAD", "exchange": "PAIR", "name": "rows"},
    "chart": {"thread": "THREAD", "exchange": "PAIR"},
    "share": {"thread": "THREAD"},
    "unshare": {"thread": "THREAD"},
    "files": {"thread": "THREAD"},
    "file": {"file": "FILE"},
    "load": {"file": "FILE"},
    "judge": {"file": "FILE", "item": 0, "known": True},
    "insertion": {"file": "FILE"},
    "pin": {"file": "FILE", "on": True},
    "all_rows": {"thread": "THREAD", "file": "FILE"},
    "drop": {"file": "FILE"},
    "formulas": {"tex": [["x", False]]},
    "colours": {"blocks": [["x", "python"]]},
    "change": {"change": "1", "source": "1 / 0", "instruction": "mend it"},
    "change_preview": {"source": "1 / 0", "instruction": "mend it"},
    "would_do": {"source": "1 + 1"},
    "let_run": {"sources": [], "agreed": []},
    "change_stop": {"change": "1"},
    "suggest": {"suggest": "1", "before": "sales.gro", "after": ""},
    "suggest_stop": {"suggest": "1"},
    "do": {"thread": "THREAD", "text": "Count them", "notebook": CELLS},
    "do_preview": {"thread": "THREAD", "text": "Count them", "notebook": CELLS},
    "do_run": {"thread": "THREAD", "exchange": "PAIR", "changes": [], "agreed": []},
    "do_try": {"thread": "THREAD", "exchange": "PAIR", "change": "c1"},
    "do_decided": {"thread": "THREAD", "exchange": "PAIR", "states": {}},
    "do_drew": {"thread": "THREAD", "exchange": "PAIR", "picture": "", "number": 1},
    "do_results": {"thread": "THREAD", "exchange": "PAIR", "results": [], "notebook": CELLS},
    "as_made": {"outputs": []},
}
# Those of them that wait where no copies follow, by which it is seen that the arguments lead there.
WAITING = {
    *("kept", "delete", "forget", "ask", "chips", "preview", "complete", "models", "reach", "quota", "run", "rate"),
    *("share", "unshare", "files", "change", "change_preview", "suggest", "do_preview"),
}


class Waits:
    """Gateway and main thread that never answer before ``over``, and who waits for them, or for what is written."""

    def __init__(self, monkeypatch):
        self.over, self.seen = threading.Event(), []
        flush, drop = Keeper.flush, Keeper.drop
        monkeypatch.setattr(Keeper, "flush", lambda keeper, *args: self.noted(lambda: flush(keeper, *args)))
        monkeypatch.setattr(Keeper, "drop", lambda keeper, *args: self.noted(lambda: drop(keeper, *args)))

    def noted(self, work):
        if threading.current_thread().name != "rsql-copies":  # which copies beside all requests
            self.seen.append(threading.current_thread())
        return work()

    def gateway(self, _):
        self.noted(lambda: self.over.wait(60))
        raise httpx.ReadTimeout("the test is over")

    def is_waited_for(self, talk):
        """Whether the request ``1`` waits, or was answered."""
        return self.seen or said(talk, "1")

    def seize(self, panel):
        """Have a panel's gateway and main thread answer no more."""
        self.seen.clear()
        panel.assistant.locator.gateway._transport.handler = self.gateway
        main, call = MainThread(Loop()), MainThread.call

        def noted(*args, **options):
            return self.noted(lambda: call(main, *args, **{"stopped": self.over.is_set, **options}))

        panel.main_thread = type("Busy", (), {"call": staticmethod(noted)})()


@pytest.fixture
def waits(monkeypatch):
    waits = Waits(monkeypatch)
    yield waits
    waits.over.set()


def arrive(panel, *messages):
    """Messages of a view, in a thread as ipykernel has one for each page; that thread, when it is free again."""
    thread = threading.Thread(target=lambda: [panel.receive(message) for message in messages])
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), f"{messages} are waited for"
    return thread


def said(talk, *numbers):
    return [told for told in list(talk.views.told) if told.get("n") in numbers]


def replies(talk, *numbers):
    eventually(lambda: len(said(talk, *numbers)) == len(numbers))
    return said(talk, *numbers)


def test_the_list_of_requests_is_whole():
    assert {name for part in _REQUESTS for name in vars(part) if known(name)} == set(ARGUMENTS)
    assert set(ARGUMENTS) >= WAITING


@pytest.mark.slow
@pytest.mark.parametrize("name", ARGUMENTS)
def test_no_request_is_waited_for_in_the_thread_that_it_comes_by(kernels, gateway, waits, sales, name):
    seen = []
    for state in ("new", "used", "followed by copies"):
        follows = state == "followed by copies"
        talk = kernels(namespace=sales.user_ns, copy_conversations=follows, completion_model="qwen")
        names = {"THREAD": talk.thread, "PAIR": "none", "FILE": "none"}
        if state == "used":
            gateway.replies = ["Words."]
            names["PAIR"] = talk.ask("What is a median?")["id"]
            talk.panel.threads.keeper.flush()
        waits.over.clear()
        waits.seize(talk.panel)
        arguments = {key: names.get(str(value), value) for key, value in ARGUMENTS[name].items()}
        comes_by = arrive(talk.panel, {"do": name, "n": "1", **arguments}, {"do": "cell", "code": "1", "n": "later"})
        assert said(talk, "later")
        if not follows and name in WAITING:
            eventually(partial(waits.is_waited_for, talk))
        waits.over.set()
        replies(talk, "1")
        assert comes_by not in waits.seen
        seen += [] if follows else waits.seen
    assert seen or name not in WAITING


def test_a_view_gets_conversations_in_the_order_in_which_it_asked_for_them(kernels, monkeypatch):
    talk = kernels()
    opens, threads = threading.Event(), talk.panel.threads
    refresh = threads.refresh
    monkeypatch.setattr(threads, "refresh", lambda thread: (opens.wait(240), refresh(thread)))
    arrive(
        talk.panel,
        {"do": "hello", "thread": talk.thread, "n": "1"},
        {"do": "new", "n": "2"},
        {"do": "delete", "thread": talk.thread, "n": "3"},
        {"do": "models", "n": "beside"},
    )
    replies(talk, "beside")
    assert not said(talk, "1")
    opens.set()
    replies(talk, "1", "2", "3")
    told = {told["n"]: told for told in talk.views.told if told.get("n") in {"1", "2", "3"}}
    assert list(told) == ["1", "2", "3"]
    assert told["1"]["thread"] == talk.thread != told["2"]["thread"] == told["3"]["thread"]


# A stop, and the request that it stops.


@pytest.fixture
def held(sales, monkeypatch):
    """An assistant that, once asked to, looks at the notebook for as long as ``held`` is not set."""
    held, looks = threading.Event(), []
    gather = Assistant.gather

    def gathered(self, text, *args, **options):
        looks.append(text)
        held.wait(240)
        return gather(self, text, *args, **options)

    monkeypatch.setattr(Assistant, "gather", gathered)
    held.looks = looks
    yield held
    held.set()


@pytest.fixture
def typing(sales, assistant):
    assistant.settings.completion_model = "qwen"
    talk = Talk(sales, assistant)
    yield talk
    talk.panel.close()


def suggest(number, before="sales.gro"):
    return {"do": "suggest", "n": number, "suggest": number, "before": before, "after": ""}


def test_a_suggestion_that_is_stopped_before_its_turn_is_never_asked_for(typing, gateway, held):
    gateway.replies = ["upby()"] * 2
    arrive(typing.panel, suggest("1", "sales.first"))
    eventually(lambda: held.looks)
    arrive(typing.panel, suggest("2", "sales.second"), {"do": "suggest_stop", "suggest": "2", "n": "stop"})
    held.set()
    told = replies(typing, "1", "2", "stop")
    assert [(each["n"], each.get("error", {}).get("kind")) for each in told] == [
        ("stop", None),
        ("1", "Stopped"),
        ("2", "Stopped"),
    ]
    assert (len(held.looks), gateway.requests) == (1, [])


def test_the_next_suggestion_ends_those_before_it_and_none_takes_the_place_of_another_request(typing, gateway, held):
    gateway.replies = ["upby()"]
    arrive(typing.panel, suggest("0"))
    eventually(lambda: held.looks)  # it has begun: had it been stopped before, its reply would come at once
    arrive(typing.panel, *(suggest(str(number)) for number in range(1, 30)), {"do": "models", "n": "models"})
    (models,) = replies(typing, "models")
    assert "llama" in models["models"]
    assert not [told for told in typing.views.told if str(told.get("n")).isdigit()]
    held.set()
    told = replies(typing, *map(str, range(30)))
    assert [each["n"] for each in told if "text" in each] == ["29"]
    assert len(gateway.requests) == 1


def test_a_change_that_is_stopped_before_its_turn_is_never_asked_for(typing, gateway, waits):
    waits.seize(typing.panel)
    busy = [{"do": "models", "n": f"models {number}"} for number in range(20)]
    arrive(typing.panel, *busy)
    eventually(lambda: waits.seen)
    change = {"do": "change", "n": "change", "change": "1", "source": "1 / 0", "instruction": "mend it"}
    arrive(typing.panel, change, {"do": "change_stop", "change": "1", "n": "stop"})
    typing.panel.assistant.locator.gateway._transport.handler = gateway
    waits.over.set()
    (told,) = replies(typing, "change")
    assert told["error"]["kind"] == "Stopped"
    assert gateway.requests == []
