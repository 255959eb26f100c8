"""A student's conversations on two machines of a hub, a teacher's look by a link, and strangers, by a real gateway."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet
from panel_talk import Talk

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.assistant import Assistant
from rsql_magic.config import Rsql
from rsql_magic.errors import GatewayError
from rsql_magic.panel import ChatPanel, Conversations, Keeper
from rsql_magic.panel.kept import copying, writing

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
    assert [pair.question for pair in pairs] == ["What is a median?", "What is a mean?"]
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
