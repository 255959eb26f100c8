"""A shell to type into, and a small gateway whose replies a test writes down."""

from __future__ import annotations

import json
import sys

import duckdb
import httpx
import pandas as pd
import pytest
from shells import new_shell

from rsql_magic.config import Rsql


class FakeGateway:
    """Answers completions with ``replies``, in order: a text, an ``httpx.Response``, or a list of raw lines."""

    def __init__(self):
        self.replies = []
        self.requests = []
        self.calls = []
        self.bodies = []
        self.paths = {"v1/models": {"data": [{"id": "llama"}, {"id": "qwen"}]}}
        self.headers = {"x-ratelimit-limit-requests": "200", "x-ratelimit-remaining-requests": "188"}

    def __call__(self, request):
        path = request.url.path.removeprefix("/rsql/")
        self.calls.append(path)
        if path in self.paths:
            self.bodies.append(request.content)
            return httpx.Response(200, json=self.paths[path])
        if path != "v1/chat/completions":
            return httpx.Response(404, json={"error": {"message": "No such page.", "code": "not_found"}})
        self.requests.append(json.loads(request.content) | {"headers": dict(request.headers)})
        assert self.replies, f"nobody wrote down a reply to {self.requests[-1]['messages'][-1]['content'][-200:]}"
        reply = self.replies.pop(0)
        if isinstance(reply, httpx.Response):
            return reply
        lines = reply if isinstance(reply, list) else list(self.stream(reply))
        headers = {"content-type": "text/event-stream", "x-request-id": "req-1", **self.headers}
        return httpx.Response(200, headers=headers, content="".join(f"{line}\n\n" for line in lines).encode())

    @staticmethod
    def stream(text, finish="stop"):
        """The lines of a streamed answer, a word at a time."""
        for word in text.split(" "):
            yield "data: " + json.dumps({"model": "llama", "choices": [{"delta": {"content": word + " "}}]})
        last = {
            "model": "llama",
            "choices": [{"delta": {}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 20},
            "rsql": {"request_id": "req-1", "queue_seconds": 0, "cached": False},
        }
        yield "data: " + json.dumps(last)
        yield "data: [DONE]"

    @property
    def sent(self):
        """The last message of the last request."""
        return self.requests[-1]["messages"][-1]["content"]


@pytest.fixture
def gateway():
    return FakeGateway()


@pytest.fixture(autouse=True)
def one_draft(monkeypatch):
    """A reply is written down for each draft; test_voting.py has the comparison of several."""
    monkeypatch.setattr(Rsql.drafts, "default_value", 1)


@pytest.fixture
def client(gateway):
    from rsql_magic.gateway import LLMClient

    return LLMClient("http://gateway/rsql/", "token", transport=httpx.MockTransport(gateway))


@pytest.fixture
def assistant(client):
    from rsql_magic.assistant import Assistant

    return Assistant(client=client, environ={})


@pytest.fixture
def shell():
    """A shell without our magics."""
    with new_shell() as shell:
        yield shell


@pytest.fixture
def ip(shell, assistant):
    """A shell with our magics, whose questions go to the fake gateway."""
    from rsql_magic.notebook import load

    load(shell, assistant)
    return shell


@pytest.fixture
def without_r(monkeypatch):
    """No R, though an earlier test may have started one in this process for good."""
    monkeypatch.setattr("rsql_magic.context.r.r_running", lambda: False)
    monkeypatch.delitem(sys.modules, "rpy2", raising=False)  # by which it is known whether R may be asked


@pytest.fixture
def sales(ip):
    """The shell, with a frame of this name."""
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N", "S", "N"] * 5, "amount": range(15)})
    return ip


@pytest.fixture
def con(ip, tmp_path):
    """A DuckDB connection that the shell knows as ``con``, with 3,000 orders of three shops."""
    connection = duckdb.connect(tmp_path / "shop.duckdb")
    connection.execute("CREATE TABLE orders AS SELECT i AS id, i % 3 AS shop, i * 1.5 AS total FROM range(3000) t(i)")
    ip.user_ns["con"] = connection
    yield connection
    connection.close()


@pytest.fixture
def at_once(monkeypatch):
    """What is to be kept is written without gathering more, and its end waits for a busy machine that draws a chart."""
    from rsql_magic.panel.kept import writing

    monkeypatch.setattr(writing, "_GATHER", 0.01)
    monkeypatch.setattr(writing, "_AT_END", 60.0)


@pytest.fixture
def talk(ip, assistant):
    """A panel over the fake gateway, and a view of it."""
    from panel_talk import Talk

    talk = Talk(ip, assistant)
    yield talk
    talk.panel.close()


@pytest.fixture
def kernels(tmp_path, gateway):
    """Makes panels as kernels of notebooks have them; what they keep is in one folder."""
    from panel_talk import Talk

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import LLMClient
    from rsql_magic.panel import ChatPanel, Conversations, Keeper

    begun = []

    def kernel(path="~/delays.ipynb", folder=tmp_path / "kept", batch=False, cells=(), namespace=None, **settings):
        client = LLMClient("http://gateway/rsql/", "token", transport=httpx.MockTransport(gateway))
        assistant = Assistant(Rsql(**settings), client=client, environ={}, batch=batch)
        keeper = Keeper(folder, assistant.settings, path=lambda: path, batch=batch)
        keeper.seen(cells)
        panel = ChatPanel(
            assistant, lambda: NotebookSnapshot(dict(namespace or {})), threads=Conversations(assistant, keeper)
        )
        begun.append(panel)
        return Talk(None, assistant, panel)

    yield kernel
    for panel in begun:
        panel.close()
        panel.threads.close()
