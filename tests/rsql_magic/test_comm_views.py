"""Views that reach the panel by comms, as the sidebar in JupyterLab does."""

from __future__ import annotations

import pytest
from waiting import eventually

from rsql_magic.notebook import load, unload
from rsql_magic.panel.comm_views import TARGET

pytestmark = pytest.mark.usefixtures("without_r")


class Manager:
    """A kernel's comm manager."""

    def __init__(self):
        self.targets = {}

    def register_target(self, name, opened):
        self.targets[name] = opened

    def unregister_target(self, name, _):
        del self.targets[name]

    def open(self, number):
        comm = Comm(number)
        self.targets[TARGET](comm, {"content": {"data": {}}})
        return comm


class Comm:
    """The kernel's end of a comm, with a front end that notes what it is told."""

    def __init__(self, number):
        self.comm_id, self.told, self.is_closed = number, [], False

    def on_msg(self, heard):
        self._heard = heard

    def on_close(self, closed):
        self._closed = closed

    def say(self, **message):
        self._heard({"content": {"data": message}})

    def leave(self):
        self._closed({})

    def send(self, content):
        assert not self.is_closed
        self.told.append(content)

    def close(self):
        self.is_closed = True

    def reply(self, number):
        return eventually(lambda: next((told for told in list(self.told) if told.get("n") == number), None))


@pytest.fixture
def manager(shell, assistant):
    shell.kernel = type("Kernel", (), {"comm_manager": Manager(), "io_loop": None, "_allow_stdin": True})()
    load(shell, assistant)
    yield shell.kernel.comm_manager
    unload(shell)
    del shell.kernel


def test_each_page_is_answered_and_hears_what_is_said_in_another(manager, gateway):
    gateway.replies = ["Some words."]
    one, other = manager.open("one"), manager.open("other")
    one.say(do="hello", n="one.1", thread="")
    thread = one.reply("one.1")["thread"]
    one.say(do="ask", n="one.2", thread=thread, text="What is it?")
    asked = one.reply("one.2")["exchange"]["id"]
    eventually(
        lambda: any(
            told.get("push") == "exchange" and told["id"] == asked and told["exchange"]["state"] == "done"
            for told in list(other.told)
        )
    )
    other.say(do="models", n="other.1")
    assert "llama" in other.reply("other.1")["models"]


def test_a_page_that_is_gone_is_told_nothing_more(manager):
    one, other = manager.open("one"), manager.open("other")
    other.leave()
    before = len(other.told)
    one.say(do="hello", n="one.1", thread="")
    one.reply("one.1")
    assert len(other.told) == before


def test_nothing_is_made_until_a_page_opens_and_all_ends_with_the_magics(shell, manager):
    magics = shell.magics_manager.registry["RsqlMagics"]
    assert magics._sidebar._panel is None
    comm = manager.open("one")
    assert magics._sidebar._panel is not None
    unload(shell)
    assert comm.is_closed
    assert manager.targets == {}


def test_what_is_no_request_gets_no_reply_and_a_wrong_one_a_reason(manager):
    comm = manager.open("one")
    comm.say(do="_private", n="1")
    comm.say(do="answer", n="2")
    comm.say(do="hello", n="3", secret=1)
    assert "did not understand" in comm.reply("3")["error"]["message"]
    assert {told.get("n") for told in comm.told} & {"1", "2"} == set()


def test_a_request_that_fails_in_the_middle_is_answered_with_the_reason(manager, monkeypatch):
    monkeypatch.setattr("rsql_magic.panel.outputs.coloured", lambda *_: 1 / 0)
    comm = manager.open("one")
    comm.say(do="colours", n="1", blocks=[["x", "python"]])
    assert "ZeroDivisionError" in comm.reply("1")["error"]["message"]
