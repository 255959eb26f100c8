"""Conversations shared by a link: their charts and plots, odd forms, and links that are taken back."""

from __future__ import annotations

from base64 import b64encode

import httpx
import msgspec
import pandas as pd
import pytest
from several_machines import STILL_THERE, keep, opens, questions, said, shared, there
from waiting import eventually

from rsql_magic.display import Screen, charts
from rsql_magic.display.charts import Chart
from rsql_magic.notebook.history import HistoryCommands
from rsql_magic.panel.kept import images, making
from rsql_magic.panel.kept.records import written
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("programs")

CHARTED = {"sql": "SELECT 1", "columns": [], "rows": [], "chart": True}
ODD = [7, None, "x", [], {}, [7], [None], {"a": 1}, {"columns": [{}]}, {"columns": [{"name": 1}], "rows": [[1]]}]


def drawn(**more):
    """A chart of two rows."""
    spec, _ = charts.draw(Chart("bar", "origin", "n"), pd.DataFrame({"origin": ["EWR", "JFK"], "n": [3, 12]}))
    return spec | more


def page_of(link):
    headers = {"Authorization": "Bearer tia-token", "Accept": "text/html"}
    return httpx.get(link, headers=headers, trust_env=False).text


def test_charts_and_plots_are_seen_by_a_link_and_kept_nowhere_twice(machine, monkeypatch):
    ada = machine("ada", "lab")
    thread = ada.do("new")["thread"]
    keep(ada, thread, question="Draw it", drawing=drawn(), result=CHARTED)
    keep(ada, thread, question="Fetch it", drawing=drawn(mark={"type": "image", "url": "http://[::1]:9/"}))
    found, pair = keep(ada, thread, question="Plot it")
    plot = {"kind": "image", "data": b64encode(charts.picture(drawn(), "png")).decode()}
    for _ in range(2):  # code that is run twice draws the same
        ada.panel.threads.keeper.changed(found, pair, made=lambda: making.of_outputs(pair, [plot]))
    ada.panel.threads.keeper.flush()
    copies = ada.panel.threads.copies
    link, _ = copies.share(thread)

    def seen():
        _, _, pairs = machine("tia", "tias", follows=False).panel.threads.copies.shared(link)
        return [[image.description for image in images] for _, images in pairs]

    described = "Bar chart of n by origin: 2 values, from 3 (EWR) to 12 (JFK)"
    assert seen() == [[described], [], ["plot"]]
    page = page_of(link)
    assert page.count('src="data:image/png;base64,iVBOR') == 2
    assert f'alt="{described}"' in page
    ada.panel.threads.close()
    again = machine("ada", "lab")  # a later kernel, which made no link
    again.ask("/help", thread=thread)
    again.panel.threads.close()
    assert seen() == [[described], [], ["plot"], []]

    elsewhere = machine("ada", "home")
    assert questions(elsewhere, thread)[0] == "Draw it"
    assert all(b"iVBOR" not in body for _, body in elsewhere.panel.threads.keeper.store.bodies(thread))

    monkeypatch.setattr(charts, "find_spec", lambda _: None)
    images._drawn.cache_clear()
    link = elsewhere.panel.threads.copies.share(thread)[0]
    assert seen()[0] == []
    assert "rsql-jupyter[png]" in page_of(link)


def test_a_shared_chart_is_shown_in_a_notebook(machine):
    ada = machine("ada", "lab")
    thread = ada.do("new")["thread"]
    keep(ada, thread, question="Draw it", drawing=drawn())
    keep(ada, thread, question="And now?")
    ada.panel.threads.keeper.flush()
    link, _ = ada.panel.threads.copies.share(thread)
    teacher, outputs = machine("tia", "tias", follows=False), []
    screen = Screen()
    screen.show = lambda shown: outputs.append(shown.bundle())
    screen.also = outputs.append
    HistoryCommands(lambda: teacher.panel.threads, teacher.panel.assistant.chat, screen).run(f"open {link}")
    assert ["image/png" in each for each in outputs] == [False, True, False]
    assert "Draw it" in outputs[0]["text/markdown"]
    assert outputs[1]["text/plain"].startswith("<Bar chart of n")
    assert "And now?" in outputs[2]["text/markdown"]


def test_a_shared_conversation_of_another_form_is_shown_as_far_as_it_can_be(machine):
    """Whoever shares one can have sent anything."""
    ada = machine("ada", "lab", follows=False).panel.assistant.locator.gateway
    record = msgspec.json.decode(written(MessagePair("Why?", "So.", "done", error={"message": "m"})))
    record |= {"result": CHARTED, "changes": [dict.fromkeys(("type", "title", "state", "reason", "source"), "x")]}
    pairs = [record, *(record | {name: odd} for name in [*record, "images"] for odd in ODD)]
    ada.put("sessions/odd", {"title": "Odd", "pairs": pairs})
    link = ada.post("sessions/odd/share", {})["link"]
    teacher, outputs = machine("tia", "tias", follows=False), []
    screen = Screen()
    screen.show = lambda shown: outputs.append(shown.bundle()["text/plain"])
    HistoryCommands(lambda: teacher.panel.threads, teacher.panel.assistant.chat, screen).run(f"open {link}")
    [text] = outputs
    assert 0 < text.count("form that this version of rsql does not show") < len(pairs) / 2
    assert text.count("So.") > len(pairs) / 2


def test_a_link_that_is_taken_back_takes_the_copy_along_where_none_are_wanted(machine):
    ada = machine("ada", "lab", follows=False)
    thread, link = shared(ada)
    for _ in range(2):  # harmless where it was taken back
        assert "error" not in ada.do("unshare", thread=thread)
        assert (there(ada), opens(link)) == ([], False)
    assert said(ada, f"unshare {thread}") == "The link leads nowhere any more."
    assert questions(ada, thread) == ["/help"]


def test_a_copy_that_follows_outlives_its_link(machine):
    ada = machine("ada", "lab")
    thread, link = shared(ada)
    ada.do("unshare", thread=thread)
    assert (there(ada), opens(link)) == ([thread], False)


def test_a_copy_that_was_changed_by_another_machine_outlives_the_link_of_this_one(machine):
    lab = machine("ada", "lab", follows=False)
    thread, link = shared(lab)
    home = machine("ada", "home")
    home.ask("/help", thread=thread)
    home.panel.threads.close()
    lab.do("unshare", thread=thread)
    assert (there(lab), opens(link)) == ([thread], False)
    assert len(questions(machine("ada", "third"), thread)) == 2


def test_a_conversation_in_which_nothing_was_said_has_no_link(machine):
    ada = machine("ada", "lab", follows=False)
    thread = ada.do("new")["thread"]
    assert ada.do("share", thread=thread)["error"]["message"] == "Nothing was said in this conversation yet."
    assert "error" not in ada.do("unshare", thread=thread)
    assert "error" not in ada.do("delete", thread=thread)
    assert there(ada) == []


def test_a_link_that_cannot_be_made_leaves_no_copy(machine):
    ada = machine("ada", "lab", follows=False)
    thread = ada.do("new")["thread"]
    ada.ask("/help", thread=thread)
    assert "at most" in ada.do("share", thread=thread, days=10_000)["error"]["message"]
    eventually(lambda: there(ada) == [])


def test_a_link_to_a_notebook_that_was_renamed_is_taken_back(machine):
    ada = machine("ada", "lab", follows=False)
    _, link = shared(ada, ada.thread)
    ada.do("moved", path="delays.ipynb")
    ada.do("moved", path="late.ipynb")
    assert "error" not in ada.do("unshare", thread=ada.thread)
    assert (there(ada), opens(link)) == ([], False)


def test_a_link_that_is_to_be_taken_back_still_is_so_before_another_is_made(machine, away):
    ada = machine("ada", "lab", follows=False)
    thread, first = shared(ada)
    come_back = away(ada, "delete")
    ada.do("unshare", thread=thread)
    told = ada.do("share", thread=thread)["error"]
    assert f"{told['message']} {told['hint']}" == STILL_THERE.format("1 copy")
    come_back()
    link = ada.do("share", thread=thread)["link"]
    ada.panel.threads.copies.settle()
    assert (opens(first), opens(link), there(ada)) == (False, True, [thread])
