"""What was copied or shared is deleted at a real gateway when it is deleted here, or later where that is away."""

from __future__ import annotations

import time

import pytest
from several_machines import STILL_THERE, copy, opens, questions, said, shared, there
from waiting import eventually

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.copies.known import place_of

pytestmark = pytest.mark.usefixtures("programs")

WAYS_TO_DELETE = {
    "in the panel": lambda talk, thread: talk.do("delete", thread=thread),
    "all in the panel": lambda talk, thread: talk.do("forget"),
    "by a command": lambda talk, thread: said(talk, f"delete {thread}"),
    "all by a command": lambda talk, thread: said(talk, "forget"),
    "by /clear": lambda talk, thread: talk.ask("/clear", thread=thread),
    "after a restart": lambda talk, thread: None,
}


@pytest.mark.parametrize("way", WAYS_TO_DELETE)
@pytest.mark.parametrize("whose", ["the cells'", "another"])
def test_what_was_shared_is_deleted_there_with_the_conversation(machine, way, whose):
    ada = machine("ada", "lab", follows=False)
    thread, link = shared(ada, ada.thread if whose == "the cells'" else "")
    assert (len(there(ada)), opens(link)) == (1, True)
    if way == "after a restart":
        ada.panel.threads.close()
        ada = machine("ada", "lab", follows=False)
        thread = ada.thread if whose == "the cells'" else thread
        ada.do("delete", thread=thread)
    WAYS_TO_DELETE[way](ada, thread)
    eventually(lambda: there(ada) == [])
    assert not opens(link)
    assert ada.do("hello")["trouble"] == ""


def test_what_was_copied_before_copies_were_turned_off_is_deleted_with_the_conversation(machine):
    ada = machine("ada", "lab")
    thread = ada.do("new")["thread"]
    ada.ask("/help", thread=thread)
    copy(ada)
    assert there(ada) == [thread]
    ada.panel.assistant.settings.copy_conversations = False
    assert said(ada, "list").endswith(
        f"1 of your conversations has a copy at {place_of(ada.panel.assistant.locator.gateway.url)}: "
        "%rsql history forget copies deletes it."
    )
    ada.do("delete", thread=thread)
    eventually(lambda: there(ada) == [])


def test_copies_alone_can_be_deleted_where_they_are_turned_off(machine):
    ada = machine("ada", "lab")
    ada.ask("/help")
    copy(ada)
    with pytest.raises(BadInput, match="would be made again"):
        said(ada, "forget copies")
    assert len(there(ada)) == 1
    ada.panel.assistant.settings.copy_conversations = False
    assert said(ada, "forget copies") == "No copies of yours are at the gateway any more; conversations stay here."
    assert (there(ada), questions(ada)) == ([], ["/help"])


def test_what_two_machines_have_is_deleted_once(machine):
    lab, home = machine("ada", "lab"), machine("ada", "home")
    thread, link = shared(lab)
    lab.panel.threads.copies.finish()
    assert questions(home, thread) == ["/help"]
    for each in (home, lab):
        each.do("delete", thread=thread)
        eventually(lambda: there(lab) == [])
        assert each.do("hello")["trouble"] == ""
    assert not opens(link)


def test_all_are_forgotten_also_where_one_is_deleted_meanwhile(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.ask("/help")
    copy(talk)
    gateway = talk.panel.assistant.locator.gateway
    get = gateway.get

    def deleted_since(path, **options):
        told = get(path, **options)
        if path == "sessions":
            for one in told["sessions"]:
                gateway.delete(f"sessions/{one['id']}")
        return told

    monkeypatch.setattr(gateway, "get", deleted_since)
    told = talk.do("forget")
    assert told.get("gone") == 1, told


def test_what_is_deleted_while_it_is_copied_stays_nowhere(machine, monkeypatch):
    ada = machine("ada", "lab")
    gateway = ada.panel.assistant.locator.gateway
    put, thread = gateway.put, ada.do("new")["thread"]

    def deleted_meanwhile(path, body):
        if path.endswith(thread):
            ada.panel.threads.keeper.store.delete(thread)
        return put(path, body)

    monkeypatch.setattr(gateway, "put", deleted_meanwhile)
    ada.ask("/help", thread=thread)
    copy(ada)
    eventually(lambda: thread not in there(ada))


# Where the gateway is away at that moment.


def test_what_could_not_be_deleted_is_said_and_deleted_when_the_gateway_is_back(machine, away):
    ada = machine("ada", "lab", follows=False)
    thread, link = shared(ada)
    come_back = away(ada)
    ada.do("delete", thread=thread)
    eventually(lambda: ada.do("hello")["trouble"] == STILL_THERE.format("1 copy"))
    pushed = [STILL_THERE.format("1 copy")]
    eventually(lambda: [told["trouble"] for told in ada.views.told if told.get("trouble")] == pushed)
    come_back()
    eventually(lambda: there(ada) == [])
    eventually(lambda: ada.views.told[-1]["trouble"] == "")
    assert not opens(link)


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("how", ["delete", "forget", "unshare"])
def test_what_could_not_be_deleted_is_deleted_by_a_later_kernel(machine, away, how, follows):
    ada = machine("ada", "lab", follows=follows)
    thread, link = shared(ada)
    come_back = away(ada)
    what = "1 link" if how == "unshare" and follows else "your copies" if follows and how == "forget" else "1 copy"
    if how == "unshare":
        told = ada.do("unshare", thread=thread)["error"]
        assert f"{told['message']} {told['hint']}" == STILL_THERE.format(what)
    else:
        told = said(ada, "forget" if how == "forget" else f"delete {thread}")
        assert told.endswith(STILL_THERE.format(what)), told
    ada.panel.threads.close()
    come_back()
    assert opens(link)

    later = machine("ada", "lab", follows=follows)
    assert (thread in [head["id"] for head in later.do("hello")["threads"]]) == (how == "unshare")
    eventually(lambda: not opens(link))
    eventually(lambda: there(later) == ([thread] if how == "unshare" and follows else []))
    assert later.do("hello")["trouble"] == ""


def test_what_another_machine_said_since_is_not_deleted_with_what_was_there(machine, away, monkeypatch):
    lab = machine("ada", "lab")
    shared(lab)
    come_back = away(lab)
    clock = lab.panel.threads.keeper.store
    monkeypatch.setattr(clock, "now", lambda: time.time() - 3600)  # an hour ago
    said(lab, "forget")
    lab.panel.threads.close()
    come_back()
    home = machine("ada", "home", follows=False)
    thread, _ = shared(home)
    later = machine("ada", "lab")
    later.do("hello")
    eventually(lambda: later.panel.threads.copies.settle() == "")
    assert there(later) == [thread]


def test_where_copies_are_is_not_readable_beside_them(machine, copying_gateway, tmp_path):
    ada = machine("ada", "lab", follows=False)
    shared(ada, ada.thread)
    [name] = there(ada)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "lab").iterdir() if ".key" not in file.name)
    assert name.encode() not in kept
    assert copying_gateway.encode() not in kept
