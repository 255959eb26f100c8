"""Files of copied conversations: sent to a real gateway, listed on another machine, fetched when opened there."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from types import SimpleNamespace

import pandas as pd
import pytest
from several_machines import copy, files_there, keep_files, listed, questions, there
from waiting import eventually

from rsql_magic.errors import GatewayError, GatewayUnreachable
from rsql_magic.panel.kept import making
from rsql_magic.panel.kept.artifacts import NewArtifact
from rsql_magic.panel.kept.copies import files

pytestmark = pytest.mark.usefixtures("programs")

ROWS = pd.DataFrame({"origin": ["EWR", "JFK"], "n": [3, 12]})


def content(talk, file):
    return b64decode(talk.do("file", file=file)["data"])


def test_files_follow_and_are_fetched_when_they_are_opened(machine, monkeypatch):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    parquet = making._parquet(ROWS)
    pair = keep_files(lab, thread, rows=parquet, empty=b"")
    lab.panel.threads.copies.finish()
    assert set(files_there(lab, thread)) == {"rows.parquet", "empty.parquet"}

    home = machine("ada", "home")
    assert questions(home, thread) == ["Which?"]
    gateway, fetched = home.panel.assistant.locator.gateway, []
    fetch = gateway.content
    monkeypatch.setattr(gateway, "content", lambda path: fetched.append(path) or fetch(path))
    told = listed(home, thread)
    assert {name: (one["bytes"], one["pair"], one["here"]) for name, one in told.items()} == {
        "rows": (len(parquet), pair.id, False),
        "empty": (0, pair.id, False),
    }
    assert not fetched
    assert content(home, "rows") == content(home, "rows") == parquet
    assert content(home, "empty") == b""
    assert len(fetched) == 2  # once each
    assert listed(home, thread)["rows"]["here"]
    monkeypatch.setattr(home.panel, "shell", SimpleNamespace(user_ns={}, kernel=None))
    variable = home.do("load", file="rows")["variable"]
    pd.testing.assert_frame_equal(home.panel.namespace[variable], ROWS)
    home.panel.threads.copies.finish()
    assert len(files_there(lab, thread)) == 2  # what was fetched is not sent back


def test_files_are_not_sent_with_a_link_alone_nor_where_none_are_copied(machine):
    lab = machine("ada", "lab", follows=False)
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    lab.do("share", thread=thread)
    assert files_there(lab, thread) == []


@pytest.mark.parametrize("arrives", ["without a reply", "twice"])
def test_a_file_of_which_the_gateway_has_more_than_was_replied_goes_with_all_copies(machine, monkeypatch, arrives):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    gateway, lost = lab.panel.assistant.locator.gateway, []
    send = gateway.post

    def post(path, *args, **more):
        told = send(path, *args, **more)
        if path.endswith("/artifacts") and arrives == "twice":
            return send(path, *args, **more)
        if path.endswith("/artifacts") and not lost:
            lost.append(path)
            raise GatewayUnreachable("Its reply was lost.")
        return told

    monkeypatch.setattr(gateway, "post", post)
    keep_files(lab, thread, rows=b"rows")
    lab.panel.threads.copies.finish()
    assert files_there(lab, thread) == ["rows.parquet"] * (2 if arrives == "twice" else 1)
    lab.do("drop", file="rows")
    lab.panel.threads.copies.settle()
    assert files_there(lab, thread) == []
    assert listed(lab, thread) == {}
    assert listed(machine("ada", "home"), thread) == {}


def test_a_file_that_is_made_anew_takes_the_place_of_its_copy(machine):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    pair = keep_files(lab, thread, rows=b"rows")
    copy(lab)
    again = NewArtifact("rows", pair.id, "table", "all.parquet", "application/vnd.apache.parquet", lambda: b"all rows")
    lab.panel.threads.keeper.put(lab.panel.threads.find(thread), again)
    copy(lab)
    eventually(lambda: not lab.panel.threads.copies._known.any_due)
    assert files_there(lab, thread) == ["all.parquet"]
    home = machine("ada", "home")
    home.do("hello", thread=thread)
    assert set(listed(home, thread)) == {"rows"}
    assert content(home, "rows") == b"all rows"


@pytest.mark.parametrize("where", ["lab", "home"])
def test_a_file_that_is_deleted_is_deleted_there_and_comes_back_nowhere(machine, where):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows", other=b"other")
    lab.panel.threads.copies.finish()
    home = machine("ada", "home")
    home.do("hello", thread=thread)
    assert set(listed(home, thread)) == {"rows", "other"}
    each = {"lab": lab, "home": home}[where]
    each.do("drop", file="rows")
    each.panel.threads.copies.settle()
    assert files_there(lab, thread) == ["other.parquet"]
    assert set(listed(home, thread)) == {"other"}
    each.ask("/help", thread=thread)
    copy(each)
    assert files_there(lab, thread) == ["other.parquet"]


def test_a_file_that_is_deleted_while_the_gateway_is_away_is_deleted_there_later(machine, away):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    lab.panel.threads.copies.finish()
    come_back = away(lab)
    lab.do("drop", file="rows")
    eventually(lambda: "1 copy" in lab.do("hello")["trouble"])
    lab.panel.threads.close()
    come_back()
    later = machine("ada", "lab")
    come_back = away(later, "delete")
    assert listed(later, thread) == {}  # nor is it listed again
    assert files_there(later, thread) == ["rows.parquet"]
    come_back()
    eventually(lambda: files_there(later, thread) == [])


def test_a_file_that_cannot_be_fetched_says_why(machine, away):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    lab.panel.threads.copies.finish()
    home = machine("ada", "home")
    home.do("hello", thread=thread)
    assert set(listed(home, thread)) == {"rows"}
    gateway = home.panel.assistant.locator.gateway
    [there] = gateway.get(f"sessions/{thread}/artifacts")["artifacts"]
    gateway.delete(f"download/table/{there['id']}")
    assert "cannot be fetched" in home.do("load", file="rows")["error"]["message"]
    assert listed(home, thread) == {}  # it is gone there
    come_back = away(home)
    assert listed(home, thread) == {}
    come_back()


def test_the_newest_files_are_there_where_there_is_no_room_for_all(machine, monkeypatch):
    monkeypatch.setattr(files, "MOST_THERE", 2_500)
    monkeypatch.setattr(files, "_LARGEST", 2_000)
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    for name, size in (("first", 1_000), ("second", 1_000), ("third", 1_000), ("large", 2_001)):
        if name == "large":
            monkeypatch.setattr(files, "MOST_THERE", 10_000)
        keep_files(lab, thread, **{name: bytes(size)})
        lab.panel.threads.copies.finish()
        lab.panel.threads.copies.settle()
        if name == "third":
            assert sorted(files_there(lab, thread)) == ["second.parquet", "third.parquet"]
            refused = lab.do("files", thread=thread)["refused"]
            assert refused.startswith("Not all files are copied to the gateway. The oldest are not")
    assert sorted(files_there(lab, thread)) == ["first.parquet", "second.parquet", "third.parquet"]
    assert "Those that are larger than" in lab.do("files", thread=thread)["refused"]
    assert len(listed(lab, thread)) == 4


def test_a_gateway_that_has_no_room_is_asked_no_more_for_a_while(machine, monkeypatch):
    lab = machine("ada", "lab")
    gateway, sent = lab.panel.assistant.locator.gateway, []

    def full(path, body):
        sent.append(body["name"])
        raise GatewayError("You may keep 100 MB here in all. Delete some first.", status=403, code="sessions_full")

    monkeypatch.setattr(gateway, "post", full)
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, old=b"old")
    lab.panel.threads.copies.finish()
    keep_files(lab, thread, new=b"new")
    lab.panel.threads.copies.finish()
    assert sent == ["old.parquet"]
    assert "You may keep 100 MB" in lab.do("files", thread=thread)["refused"]
    assert lab.do("hello")["trouble"] == ""


@pytest.mark.parametrize("deleted", ["file", "conversation"])
def test_what_found_no_room_is_copied_once_something_was_deleted(machine, monkeypatch, deleted):
    lab = machine("ada", "lab")
    gateway = lab.panel.assistant.locator.gateway
    before, thread, other = (lab.do("new")["thread"] for _ in range(3))
    keep_files(lab, before, first=b"first")
    copy(lab)

    def full(*_, **__):
        raise GatewayError("You may keep 1 MB here. Delete some.", status=403, code="sessions_full")

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "post", full)
        keep_files(lab, thread, second=b"second")
        copy(lab)
        patch.setattr(gateway, "put", full)
        lab.ask("/help", thread=other)
        copy(lab)
        lab.panel.threads.copies._beside.ask(hurry=True)  # a round about nothing, as comes after some seconds
        lab.panel.threads.copies.settle()
        assert "Delete some" in lab.do("hello")["trouble"]
    assert (files_there(lab, thread), set(there(lab))) == ([], {before, thread})
    lab.do("drop", file="first") if deleted == "file" else lab.do("delete", thread=before)
    eventually(lambda: files_there(lab, thread) == ["second.parquet"] and other in there(lab))
    eventually(lambda: lab.do("hello")["trouble"] == "")
    assert lab.do("files", thread=thread)["refused"] == ""


def test_a_file_that_a_program_keeps_there_is_listed_and_opened(machine):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    lab.ask("/help", thread=thread)
    copy(lab)
    gateway = lab.panel.assistant.locator.gateway
    sent = {"kind": "report", "name": "r.md", "media": "text/markdown", "data": b64encode(b"# Hi").decode()}
    for about in ("", "not JSON", '{"id": 7}', '{"id": ""}'):
        gateway.post(f"sessions/{thread}/artifacts", sent | {"about": about})
    found = listed(lab, thread)
    assert [one["name"] for one in found.values()] == ["r.md"] * 4
    assert {lab.do("load", file=name)["text"] for name in found} == {"# Hi"}


def test_a_pinned_file_that_is_old_is_there_once(machine, monkeypatch):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    store = lab.panel.threads.keeper.store
    monkeypatch.setattr(store, "now", lambda: time.time() - 200 * 86_400)
    keep_files(lab, thread, rows=b"rows")
    monkeypatch.undo()
    lab.do("pin", file="rows", on=True)
    for _ in range(3):
        lab.ask("/help", thread=thread)
        copy(lab)
    assert files_there(lab, thread) == ["rows.parquet"]


def test_a_file_that_is_too_large_to_be_sent_takes_no_room_from_others(machine, monkeypatch):
    monkeypatch.setattr(files, "MOST_THERE", 2_500)
    monkeypatch.setattr(files, "_LARGEST", 2_000)
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, first=bytes(1_000), second=bytes(1_000))
    copy(lab)
    keep_files(lab, thread, large=bytes(3_000))
    copy(lab)
    lab.panel.threads.copies.settle()
    assert sorted(files_there(lab, thread)) == ["first.parquet", "second.parquet"]


def test_a_file_that_another_machine_has_deleted_is_not_sent_again(machine):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows", other=b"other")
    copy(lab)
    home = machine("ada", "home")
    home.do("hello", thread=thread)
    assert set(listed(home, thread)) == {"rows", "other"}
    home.do("drop", file="rows")
    eventually(lambda: files_there(lab, thread) == ["other.parquet"])
    lab.ask("/help", thread=thread)
    copy(lab)
    assert files_there(lab, thread) == ["other.parquet"]
    assert set(listed(lab, thread)) == {"rows", "other"}  # where it was made it stays


def test_files_are_sent_again_where_their_conversation_is_a_new_one(machine):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    copy(lab)
    lab.panel.assistant.settings.copy_conversations = False
    lab.panel.threads.copies.forget_copies()
    eventually(lambda: there(lab) == [])
    lab.panel.assistant.settings.copy_conversations = True
    lab.ask("/help", thread=thread)
    copy(lab)
    assert files_there(lab, thread) == ["rows.parquet"]


@pytest.mark.parametrize("code", ["", "request_too_large"])
def test_a_file_that_a_proxy_does_not_let_through_keeps_no_smaller_one_away(machine, monkeypatch, code):
    lab = machine("ada", "lab")
    gateway, sent = lab.panel.assistant.locator.gateway, []
    post = gateway.post

    def small(path, body):
        sent.append(body["name"])
        if len(body["data"]) > 2_000:
            raise GatewayError("The gateway failed (HTTP 413).", status=413, code=code)
        return post(path, body)

    monkeypatch.setattr(gateway, "post", small)
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, small=b"small")
    keep_files(lab, thread, large=bytes(3_000))
    for _ in range(2):
        lab.ask("/help", thread=thread)
        copy(lab)
    assert files_there(lab, thread) == ["small.parquet"]
    assert sent.count("large.parquet") == 1
    assert "larger than 3 kB are not" in lab.do("files", thread=thread)["refused"]
    assert lab.do("hello")["trouble"] == ""


def test_what_a_gateway_lists_in_another_form_keeps_no_file_away(machine, monkeypatch):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    copy(lab)
    home = machine("ada", "home")
    gateway = home.panel.assistant.locator.gateway
    get = gateway.get

    def more(path, **options):
        told = get(path, **options)
        if path.endswith("artifacts"):
            [row] = told["artifacts"]
            odd = [row | {"kind": "hologram", "id": "x"}, row | {"bytes": "many", "id": "y"}, {}, None, 7]
            told["artifacts"] = [*odd, row]
        return told

    monkeypatch.setattr(gateway, "get", more)
    assert questions(home, thread) == ["Which?"]
    assert set(listed(home, thread)) == {"rows"}
    monkeypatch.setattr(gateway, "content", lambda _: iter([b"rows"] * 1_000_000))
    assert "arrived damaged" in home.do("load", file="rows")["error"]["message"]
