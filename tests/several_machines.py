"""A student's machines on a hub, by panels without a browser: each with a home of its own, and one real gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import httpx
from callers import PERSON, TEACHER
from cryptography.fernet import Fernet
from panel_talk import Talk

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.assistant import Assistant
from rsql_magic.config import Rsql
from rsql_magic.display import Screen
from rsql_magic.notebook.history import HistoryCommands
from rsql_magic.panel import ChatPanel, Conversations, Keeper
from rsql_magic.panel.kept.artifacts import NewArtifact
from rsql_magic.panel.threads import MessagePair

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
STILL_THERE = "To be deleted at the gateway still: {}. The gateway is away. Later. It is tried again until it is done."
PEOPLE = {"tia": ("stats", [*TEACHER]), "ada": ("stats", [*PERSON]), "eve": ("law", [*TEACHER])}


@contextmanager
def gateway_of_groups(folder):
    """The address of a gateway with two groups, whose files are in a folder."""
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


class Machines:
    """Starts panels of callers, each machine with a home of its own below a folder."""

    def __init__(self, url, folder):
        self.url, self.folder, self.begun = url, folder, []

    def __call__(self, caller, home, *, path="~/delays.ipynb", follows=True):
        environ = {"RSQL_GATEWAY_URL": self.url, "RSQL_GATEWAY_TOKEN": f"{caller}-token"}
        assistant = Assistant(Rsql(copy_conversations=follows), environ=environ, batch=False)
        keeper = Keeper(self.folder / home, assistant.settings, path=lambda: path)
        panel = ChatPanel(assistant, NotebookSnapshot, threads=Conversations(assistant, keeper))
        self.begun.append(panel)
        return Talk(None, assistant, panel)

    def close(self):
        """End all of them, and forget what ada has at the gateway."""
        for panel in self.begun:
            panel.close()
            panel.threads.close()
            panel.assistant.close()
        httpx.delete(f"{self.url}conversations", headers={"Authorization": "Bearer ada-token"}, trust_env=False)


def questions(talk, thread=""):
    return [pair["question"] for pair in talk.do("hello", thread=thread)["exchanges"]]


def keep(talk, thread, **of_pair):
    """Put a pair into a conversation, as an answer does."""
    found = talk.panel.threads.find(thread)
    found.pairs.append(pair := MessagePair(of_pair.pop("question"), "So.", "done", **of_pair))
    talk.panel.threads.keeper.changed(found, pair)
    return found, pair


def copy(talk):
    """Have all that was said on a machine copied."""
    talk.panel.threads.keeper.flush()
    talk.panel.threads.copies.finish()


def said(talk, line):
    """What ``%rsql history`` says."""
    screen, words = Screen(), []
    screen.say = words.append
    screen.show = lambda shown: words.append(shown.bundle()["text/plain"])
    HistoryCommands(lambda: talk.panel.threads, talk.panel.assistant.chat, screen).run(line)
    return " ".join(words)


def shared(talk, thread=""):
    """A conversation of one question, in the notebook's own thread or another, and the link to it."""
    thread = thread or talk.do("new")["thread"]
    talk.ask("/help", thread=thread)
    told = talk.do("share", thread=thread)
    assert told.get("link"), told
    return thread, told["link"]


def there(talk):
    return [one["id"] for one in talk.panel.assistant.locator.gateway.get("sessions")["sessions"]]


def opens(link):
    token = {"Authorization": "Bearer tia-token"}
    return httpx.get(link, headers=token, trust_env=False).status_code == 200


def keep_files(talk, thread, **contents):
    """Put an answer with files into a conversation, as a query does; their ids."""
    found, pair = keep(talk, thread, question="Which?")
    made = [
        NewArtifact(
            name, pair.id, "table", f"{name}.parquet", "application/vnd.apache.parquet", partial(bytes, content)
        )
        for name, content in contents.items()
    ]
    talk.panel.threads.keeper.changed(found, made=lambda: made)
    talk.panel.threads.keeper.flush()
    return pair


def listed(talk, thread):
    return {one["id"]: one for one in talk.do("files", thread=thread)["files"]}


def files_there(talk, thread):
    gateway = talk.panel.assistant.locator.gateway
    return [one["name"] for one in gateway.get(f"sessions/{thread}/artifacts")["artifacts"]]
