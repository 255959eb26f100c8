"""A student's conversations on two machines of a hub, a teacher's look by a link, and strangers, by a real gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode

import httpx
import msgspec
import pandas as pd
import pytest
from cryptography.fernet import Fernet
from panel_talk import Talk

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.assistant import Assistant
from rsql_magic.config import Rsql
from rsql_magic.display import Screen, charts
from rsql_magic.display.charts import Chart
from rsql_magic.errors import GatewayError
from rsql_magic.notebook.history import HistoryCommands
from rsql_magic.panel import ChatPanel, Conversations, Keeper
from rsql_magic.panel.kept import copying, images, making, writing
from rsql_magic.panel.kept.records import written
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("programs")

CONFIG = """
default_model = "offline"
[storage]
ledger = "sqlite:///{folder}/ledger.db"
prompt_keys = ["{key}"]
[[keys]]
provider = "offline"
"""
CALLER = """
[[api_keys]]
name = "{name}"
key = "{name}-token"
tenant = "{tenant}"
scopes = {scopes}
"""
PEOPLE = {"tia": ("stats", ["chat", "instructor"]), "ada": ("stats", ["chat"]), "eve": ("law", ["chat", "instructor"])}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a gateway with two groups."""
    folder = tmp_path_factory.mktemp("gateway")
    callers = (CALLER.format(name=name, tenant=tenant, scopes=scopes) for name, (tenant, scopes) in PEOPLE.items())
    config = folder / "rsql.toml"
    key = Fernet.generate_key().decode()
    config.write_text("".join([CONFIG.format(folder=folder, key=key), *callers]).replace("'", '"'))
    command = [sys.executable, "-m", "jupyter_server_ext", "--port=0", f"--gateway-config={config}"]
    environment = {**os.environ, "JUPYTER_TOKEN": "owner-token"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            yield process.stdout.readline().split("ready at ")[1].strip()
        finally:
            process.terminate()
            process.stdout.read()


@pytest.fixture
def machine(url, tmp_path, monkeypatch):
    """Makes panels of callers, each machine with a home of its own."""
    monkeypatch.setattr(writing, "_GATHER", 0.01)
    monkeypatch.setattr(copying, "_GATHER", 0.05)
    begun = []

    def start(caller, home, *, path="~/delays.ipynb", follows=True):
        environ = {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": f"{caller}-token"}
        assistant = Assistant(Rsql(copy_conversations=follows), environ=environ, batch=False)
        keeper = Keeper(tmp_path / home, assistant.settings, path=lambda: path)
        panel = ChatPanel(assistant, NotebookSnapshot, threads=Conversations(assistant, keeper))
        begun.append(panel)
        return Talk(None, assistant, panel)

    yield start
    for panel in begun:
        panel.close()
        panel.threads.close()
        panel.assistant.close()
    httpx.delete(f"{url}conversations", headers={"Authorization": "Bearer ada-token"}, trust_env=False)


def questions(talk, thread=""):
    return [pair["question"] for pair in talk.do("hello", thread=thread)["exchanges"]]


def test_conversations_follow_their_user_are_shared_and_taken_back(machine):
    first = machine("ada", "lab")
    first.ask("/help")
    other = first.do("new")["thread"]
    first.ask("What is a median?", thread=other)
    first.panel.threads.close()

    second = machine("ada", "home")
    told = second.do("hello")
    assert {head["title"] for head in told["threads"]} == {"Notebook", "What is a median?"}
    assert questions(second, other) == ["What is a median?"]
    cells = next(head["id"] for head in told["threads"] if head["shared"])
    assert questions(second, cells) == ["/help"]
    second.ask("What is a mean?", thread=other)
    second.panel.threads.close()
    assert questions(machine("ada", "lab"), other) == ["What is a median?", "What is a mean?"]

    assert questions(machine("eve", "eves")) == []
    assert questions(machine("ada", "third", follows=False)) == []

    third = machine("ada", "lab")
    third.do("hello")
    shared = third.do("share", thread=other)
    teacher = machine("tia", "tias", follows=False)
    who, title, pairs = teacher.panel.threads.copies.shared(shared["link"])
    assert (who, title) == ("ada", "What is a median?")
    assert [pair.question for pair, _ in pairs] == ["What is a median?", "What is a mean?"]
    with pytest.raises(GatewayError, match="not yours"):
        machine("eve", "eves").panel.threads.copies.shared(shared["link"])
    third.do("unshare", thread=other)
    with pytest.raises(GatewayError):
        teacher.panel.threads.copies.shared(shared["link"])

    third.do("delete", thread=other)
    told = third.do("forget")
    assert told.get("gone") == 1, told
    assert third.panel.assistant.locator.gateway.get("sessions") == {"sessions": []}
    assert questions(machine("ada", "fourth")) == []


def drawn(**more):
    """A chart of two rows."""
    spec, _ = charts.draw(Chart("bar", "origin", "n"), pd.DataFrame({"origin": ["EWR", "JFK"], "n": [3, 12]}))
    return spec | more


def keep(talk, thread, **of_pair):
    """Put a pair into a conversation, as an answer does."""
    found = talk.panel.threads.find(thread)
    found.pairs.append(pair := MessagePair(of_pair.pop("question"), "So.", "done", **of_pair))
    talk.panel.threads.keeper.changed(found, pair)
    return found, pair


def page_of(link):
    headers = {"Authorization": "Bearer tia-token", "Accept": "text/html"}
    return httpx.get(link, headers=headers, trust_env=False).text


CHARTED = {"sql": "SELECT 1", "columns": [], "rows": [], "chart": True}


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


ODD = [7, None, "x", [], {}, [7], [None], {"a": 1}, {"columns": [{}]}, {"columns": [{"name": 1}], "rows": [[1]]}]


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


def test_a_gateway_that_is_gone_is_said_and_nothing_else_is_held_up(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.do("hello")

    def refuse(*_, **__):
        raise GatewayError("The gateway is away.", hint="Later.")

    monkeypatch.setattr(type(talk.panel.assistant.locator.gateway), "put", refuse)
    assert talk.ask("/help")["state"] == "done"
    talk.panel.threads.keeper.flush()
    talk.panel.threads.copies.finish()
    assert talk.do("hello")["trouble"] == (
        "This conversation is not copied to the gateway: The gateway is away. Later."
    )
    assert questions(talk) == ["/help"]


def test_all_are_forgotten_also_where_one_is_deleted_meanwhile(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.ask("/help")
    talk.panel.threads.keeper.flush()
    talk.panel.threads.copies.finish()
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
