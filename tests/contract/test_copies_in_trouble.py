"""A gateway that refuses, answers late, twice or with garbage: what was said and made is there once, and no more."""

from __future__ import annotations

import random
import threading
from collections import Counter

import httpx
import pytest
from several_machines import copy, keep, keep_files, listed, opens, questions, there
from waiting import eventually

from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.panel.kept.copies import conversations as copies
from rsql_magic.panel.kept.records import read

pytestmark = pytest.mark.usefixtures("programs")

GARBAGE = [None, [], "words", 7, {}, {"sessions": 7}, {"sessions": [{}]}, {"sessions": [None], "now": "late"}]
GARBAGE += [{"changed": "late"}, {"artifacts": [7, {"id": 7}]}, {"link": 7}, {"pairs": [None], "title": 1, "id": None}]
STATUSES = [0, 401, 403, 404, 408, 413, 429, 500, 502, 503]


def trouble(gateway, dice, monkeypatch):
    """Make half of the requests of a gateway's client go wrong."""

    def troubled(send):
        def call(path, *args, **more):
            way = dice.random()
            if way < 0.2:
                raise GatewayError("No.", status=dice.choice(STATUSES))
            if way < 0.3:
                return dice.choice(GARBAGE)
            told = send(path, *args, **more)
            if way < 0.4:
                raise GatewayUnreachable("Its reply was lost.")
            if way < 0.5 and path.endswith("artifacts") and args:
                send(path, *args, **more)  # as where a proxy said that nobody answers
            return told

        return call

    for name in ("get", "put", "post", "delete"):
        monkeypatch.setattr(gateway, name, troubled(getattr(gateway, name)))
    return lambda: [monkeypatch.delattr(gateway, name) for name in ("get", "put", "post", "delete")]


class Life:
    """What somebody does in one notebook, and what should be at the gateway in the end."""

    def __init__(self, machine, dice, monkeypatch):
        self.dice, self.links, self.files, self.said = dice, [], {}, 0
        self.talk = machine("ada", "lab")
        self.calm = trouble(self.talk.panel.assistant.locator.gateway, dice, monkeypatch)
        self.threads = [self.talk.thread]

    def do(self, what, **arguments):
        told = self.talk.do(what, **arguments)
        assert not told.get("error", {}).get("message", "").startswith("The panel"), told
        return told

    def begin(self):
        self.threads.append(self.do("new")["thread"])

    def say(self):
        self.said += 1
        keep(self.talk, self.dice.choice(self.threads), question=f"Question {self.said}")

    def make(self):
        self.said += 1
        name, content = f"file{self.said}", self.dice.randbytes(50)
        keep_files(self.talk, self.dice.choice(self.threads), **{name: content})
        self.files[name] = content

    def drop(self):
        if self.files:
            name = self.dice.choice(sorted(self.files))
            del self.files[name]
            self.do("drop", file=name)

    def delete(self):
        thread = self.dice.choice(self.threads)
        for name in listed(self.talk, thread):
            self.files.pop(name, None)
        self.do("delete", thread=thread)
        if thread != self.talk.thread:
            self.threads.remove(thread)

    def share(self):
        self.links.append(self.do("share", thread=self.dice.choice(self.threads)).get("link"))

    def unshare(self):
        self.do("unshare", thread=self.dice.choice(self.threads))

    def copy(self):
        copy(self.talk)
        assert "Error" not in self.do("hello")["trouble"]

    def look(self):
        self.do("files", thread=self.dice.choice(self.threads))

    def step(self):
        ways = [self.say, self.say, self.make, self.drop, self.copy, self.copy, self.look]
        self.dice.choice([*ways, self.begin, self.delete, self.share, self.unshare])()


def held(talk):
    """What is said and made on a machine: the questions by conversation, and the files."""
    talk.do("hello")
    store = talk.panel.threads.keeper.store
    said = {
        ("" if head.shared else head.id): {read(body).question for _, body in store.bodies(head.id)}
        for head in store.heads()
    }
    files = [name for head in talk.panel.threads.heads() for name in listed(talk, head["id"])]
    return said, sorted(files)


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(n, marks=pytest.mark.sweep) for n in range(6, 40))])
def test_what_is_said_and_made_is_there_once_whatever_the_gateway_replies(machine, monkeypatch, away, seed):
    life = Life(machine, random.Random(seed), monkeypatch)
    life.say()
    for _ in range(30):
        life.step()
    life.calm()
    life.talk.panel.threads.keeper.flush()
    life.talk.panel.threads.close()
    lab = machine("ada", "lab")
    lab.do("hello")
    store = lab.panel.threads.keeper.store
    threads = [thread for thread in life.threads if thread == life.talk.thread or store.head(thread)]
    threads[0] = lab.thread  # of the cells
    for thread in threads:
        lab.do("hello", thread=thread)
        keep(lab, thread, question="The last?")
    copy(lab)
    lab.do("unshare", thread=lab.thread)
    eventually(lambda: not lab.panel.threads.copies._known.any_due)
    for thread in threads:
        assert "error" not in lab.do("unshare", thread=thread)
    assert not [link for link in life.links if link and opens(link)]
    said, files = held(lab)
    assert files == sorted(life.files)
    assert held(machine("ada", "home")) == (said, files)
    assert len(there(lab)) == len(said) == len(threads)
    gateway = lab.panel.assistant.locator.gateway
    names = [one["name"] for name in there(lab) for one in gateway.get(f"sessions/{name}/artifacts")["artifacts"]]
    assert Counter(names) == Counter(f"{name}.parquet" for name in files)


@pytest.mark.parametrize("status", [408, 429, 500, 503, 0])
def test_what_a_busy_gateway_does_not_take_is_sent_again(machine, monkeypatch, away, status):
    talk = machine("ada", "lab")
    thread = talk.do("new")["thread"]
    gateway = talk.panel.assistant.locator.gateway
    put, asked = gateway.put, []

    def busy(*args, **more):
        asked.append(args)
        if len(asked) < 3:
            raise GatewayError("Busy.", status=status, retry_after=1.0)
        return put(*args, **more)

    monkeypatch.setattr(gateway, "put", busy)
    talk.ask("/help", thread=thread)
    eventually(lambda: there(talk) == [thread])
    eventually(lambda: talk.do("hello")["trouble"] == "")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_what_a_gateway_refuses_is_said_and_sent_by_a_later_kernel(machine, monkeypatch, away, status):
    talk = machine("ada", "lab")
    thread = talk.do("new")["thread"]
    gateway, asked = talk.panel.assistant.locator.gateway, []

    def refuse(path, *_, **__):
        asked.append(path)
        raise GatewayError("No.", status=status)

    monkeypatch.setattr(gateway, "put", refuse)
    talk.ask("/help", thread=thread)
    copy(talk)
    assert talk.do("hello")["trouble"] == "This conversation is not copied to the gateway: No."
    before = len(asked)
    talk.panel.threads.copies._beside.ask("another")
    copy(talk)
    assert len(asked) == before, "it would say the same again"
    monkeypatch.delattr(gateway, "put")
    talk.panel.threads.close()
    later = machine("ada", "lab")
    later.do("hello")
    eventually(lambda: there(later) == [thread])


def test_a_conversation_that_fails_keeps_no_other_from_being_copied(machine, monkeypatch, away):
    talk = machine("ada", "lab")
    threads = [talk.do("new")["thread"] for _ in range(3)]
    gateway = talk.panel.assistant.locator.gateway
    put = gateway.put

    def fail(path, *args, **more):
        if path.endswith(threads[0]):
            raise RuntimeError("the value 4711 of a row")
        return put(path, *args, **more)

    monkeypatch.setattr(gateway, "put", fail)
    for thread in threads:
        keep(talk, thread, question="Q")
    copy(talk)
    eventually(lambda: set(there(talk)) == set(threads[1:]))
    said = "Copies at the gateway cannot be kept up to date: (RuntimeError)."
    eventually(lambda: talk.do("hello")["trouble"] == said)
    monkeypatch.delattr(gateway, "put")
    eventually(lambda: set(there(talk)) == set(threads))


def test_the_end_of_a_kernel_waits_for_no_gateway(machine, monkeypatch):
    monkeypatch.setattr(copies, "_QUICK", 0.1)
    talk = machine("ada", "lab")
    talk.do("hello")
    answers, asked = threading.Event(), threading.Event()
    gateway = talk.panel.assistant.locator.gateway
    put = gateway.put

    def late(*args, **more):
        asked.set()
        assert answers.wait(30)
        return put(*args, **more)

    monkeypatch.setattr(gateway, "put", late)
    keep(talk, talk.thread, question="Q")
    talk.panel.threads.keeper.flush()
    assert asked.wait(60)
    keep(talk, talk.thread, question="And then?")
    talk.panel.threads.close()
    assert not answers.is_set()
    answers.set()
    later = machine("ada", "lab")
    later.do("hello")
    eventually(lambda: questions(machine("ada", "home")) == ["Q", "And then?"])


def test_a_panel_opens_where_no_gateway_can_be_found(machine, monkeypatch):
    talk = machine("ada", "lab")
    talk.ask("/help")
    talk.panel.threads.close()
    again = machine("ada", "lab")

    def nowhere():
        raise GatewayUnreachable("There is no gateway.", hint="Name one: %rsql connect URL.")

    monkeypatch.setattr(again.panel.assistant.locator, "_find", nowhere)
    told = again.do("hello")
    assert [pair["question"] for pair in told["exchanges"]] == ["/help"]
    assert "There is no gateway" in told["trouble"]


def test_what_is_to_be_deleted_at_a_gateway_that_is_gone_keeps_nothing_of_another_away(machine):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    lab.ask("/help", thread=thread)
    copy(lab)
    home = machine("ada", "home")
    home.panel.threads.copies._known.all_due("https://gone.example/rsql/")
    assert questions(home, thread) == ["/help"]


@pytest.mark.parametrize("skew", [-4_000.0, 4_000.0])
def test_everything_is_deleted_whatever_the_clocks_say(machine, monkeypatch, skew):
    lab = machine("ada", "lab")
    lab.ask("/help")
    copy(lab)
    home = machine("ada", "home")
    gateway = home.panel.assistant.locator.gateway
    get = gateway.get

    def by_another_clock(path, **more):
        told = get(path, **more)
        if path == "sessions":
            told["now"] += skew
            for one in told["sessions"]:
                one["changed"] += skew
        return told

    monkeypatch.setattr(gateway, "get", by_another_clock)
    assert home.do("forget").get("gone") is not None
    eventually(lambda: not home.panel.threads.copies._known.any_due)
    assert there(lab) == []


def test_a_link_outlives_another_try_that_fails(machine):
    ada = machine("ada", "lab", follows=False)
    thread = ada.do("new")["thread"]
    ada.ask("/help", thread=thread)
    link = ada.do("share", thread=thread)["link"]
    assert "at most" in ada.do("share", thread=thread, days=10_000)["error"]["message"]
    ada.panel.threads.copies.settle()
    assert opens(link)
    token = {"Authorization": "Bearer tia-token"}
    assert httpx.get(link, headers=token, trust_env=False).status_code == 200
