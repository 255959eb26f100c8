"""Conversations where they cannot be kept: a full disk, a share that is full, a folder that cannot be used."""

from __future__ import annotations

import random
import resource
from contextlib import closing

import pytest
from waiting import eventually

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept import writing
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair

pytestmark = pytest.mark.usefixtures("without_r", "at_once")


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_panel_goes_on(kernels, gateway, monkeypatch):
    talk = kernels()
    gateway.replies = ["one", "two"]
    talk.do("hello", thread="")
    keeper = talk.panel.threads.keeper
    keeper.store._writer.execute("PRAGMA max_page_count = 1")
    monkeypatch.setattr(writing, "_AGAIN", 0.05)
    assert talk.ask(random.Random(5).randbytes(20_000).hex())["state"] == "done"
    trouble = eventually(lambda: keeper.trouble)
    assert trouble == "The disk is full: what is said is not kept. Make room; it goes on by itself."
    assert talk.do("hello", thread="")["trouble"] == trouble
    assert any(told.get("trouble") for told in talk.views.told if told.get("push") == "threads")
    assert talk.ask("second")["state"] == "done"
    keeper.store._writer.execute("PRAGMA max_page_count = 1000000")  # somebody made room
    assert keeper.flush(10)
    assert keeper.trouble == ""
    assert len(kernels().do("hello", thread="")["exchanges"]) == 2


@pytest.mark.parametrize("limit", [1, 1_000, 5_000, 20_000, 33_000, 60_000, 100_000])
@pytest.mark.parametrize("is_new", [True, False])
def test_files_that_may_not_grow_are_no_reason_to_move_the_database_away(tmp_path, limit, is_new):
    """What a quota of a home folder is to SQLite: a write that fails, and no word of a full disk."""
    head, pairs = Head("c1", "", "Delays"), [NewPair("p1", random.Random(5).randbytes(100_000))]
    if not is_new:
        with closing(ConversationStore(tmp_path)) as store:
            store.write(store.notebook("~/a.ipynb"), head, [])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with (
            pytest.raises(BadInput, match="full: what is said is not kept") as told,
            closing(ConversationStore(tmp_path)) as store,
        ):
            store.write(store.notebook("~/a.ipynb"), head, pairs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told.value.hint == "Make room; it goes on by itself."
    with closing(ConversationStore(tmp_path)) as store:
        store.write(store.notebook("~/a.ipynb"), head, pairs)


def test_a_disk_that_is_full_from_the_start_is_used_when_there_is_room(kernels, gateway, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_AGAIN", 0.05)
    gateway.replies = ["one"]
    talk, before = kernels(folder=tmp_path / "new"), resource.getrlimit(resource.RLIMIT_FSIZE)
    keeper = talk.panel.threads.keeper
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        assert talk.ask("first")["state"] == "done"
        assert not keeper.flush(1)
        told = keeper.trouble
        assert "error" not in talk.do("new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert keeper.flush(10)
    assert told == "The disk, or your share of it, is full: what is said is not kept. Make room; it goes on by itself."
    assert keeper.trouble == ""
    assert len(kernels(folder=tmp_path / "new").do("hello", thread="")["exchanges"]) == 1


@pytest.mark.parametrize("what", ["a file in the way", "no database"])
def test_a_folder_that_cannot_be_used_is_said_and_the_panel_goes_on(kernels, gateway, tmp_path, what):
    folder = tmp_path / "odd"
    if what == "a file in the way":
        folder.write_text("x")
    else:
        folder.mkdir()
        (folder / "conversations.db").write_text("this is no database" * 100)
    talk = kernels(folder=folder)
    gateway.replies = ["fine"]
    assert talk.do("hello", thread="")["trouble"].startswith("Conversations cannot be kept")
    assert talk.ask("Does it work?")["answer"].strip() == "fine"
