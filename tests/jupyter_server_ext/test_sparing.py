"""Servers that refuse a part of a request that an answer can do without are asked again without it, and remembered."""

from __future__ import annotations

import json

import httpx
import pytest

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret
from jupyter_server_ext.errors import UpstreamRefused
from jupyter_server_ext.keys import KeyPool, KeyQueue
from jupyter_server_ext.upstream import KeyRotatingTransport
from jupyter_server_ext.upstream.failures import classify
from jupyter_server_ext.upstream.sparing import refused_part, without_system

FORBIDDEN = {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options", "include_usage"]}]}
SYSTEMS = [
    (400, "System role not supported"),
    (400, "Developer instruction is not enabled for models/small-1"),
    (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    (500, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (422, "Input should be 'user' or 'assistant'"),
    (400, "Only user and assistant roles are supported!"),
]
ASKED = {
    "model": "m",
    "stream": True,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
}
STREAM = b'data: {"choices":[{"delta":{"content":"fine"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Server:
    """Refuses what its words are about, for as long as that is there."""

    def __init__(self, refuses, status, error):
        self.refuses, self.status, self.error, self.bodies = refuses, status, error, []

    def __call__(self, request):
        body = json.loads(request.content)
        self.bodies.append(body)
        has = {"stream_options": "stream_options" in body, "system": any(m["role"] != "user" for m in body["messages"])}
        if any(has[part] for part in self.refuses):
            return httpx.Response(self.status, json=self.error)
        return httpx.Response(200, content=STREAM, headers={"content-type": "text/event-stream"})


def client(server):
    key = KeySettings("anything", Secret("secret-key-0001"), "http://127.0.0.1/v1", name="k")
    pool = KeyPool([key])
    transport = KeyRotatingTransport(
        KeyQueue(pool, PoolSettings()), PoolSettings(), lambda _: httpx.MockTransport(server)
    )
    return httpx.AsyncClient(transport=transport), pool


async def ask(asking):
    return (await asking.post("http://rsql/chat/completions", json=ASKED)).text


@pytest.mark.asyncio(loop_factories=["virtual"])
@pytest.mark.parametrize(
    ("part", "status", "error"),
    [
        ("stream_options", 422, {"object": "error", "message": FORBIDDEN}),
        ("stream_options", 400, {"error": {"message": "Unrecognized request argument: stream_options"}}),
        *(("system", status, {"error": {"message": words}}) for status, words in SYSTEMS),
    ],
)
async def test_it_is_left_out_from_then_on_and_costs_the_key_nothing(part, status, error):
    server = Server([part], status, error)
    asking, pool = client(server)
    for _ in range(2):
        assert "fine" in await ask(asking)
    assert len(server.bodies) == 3
    assert pool.keys.get("k").available_at("m", pool.clock()) <= pool.clock()
    if part == "system":
        assert server.bodies[-1]["messages"] == [{"role": "user", "content": "Be brief.\n\nWhy?"}]


@pytest.mark.asyncio(loop_factories=["virtual"])
async def test_words_that_only_speak_of_it_are_tried_once_and_not_remembered():
    words = "System role not supported; nor stream_options"
    assert "fine" in await ask(client(Server(["system", "stream_options"], 400, {"error": {"message": words}}))[0])

    class Stubborn(Server):
        def __call__(self, request):
            super().__call__(request)
            return httpx.Response(400, json=self.error)

    stubborn = Stubborn([], 400, {"error": {"message": "System role not supported"}})
    asking, _ = client(stubborn)
    for _ in range(2):
        with pytest.raises(UpstreamRefused):
            await ask(asking)
    assert [body["messages"][0]["role"] for body in stubborn.bodies] == ["system", "user"] * 2


def test_other_refusals_are_about_neither():
    for status, words in ((400, "The model is not supported."), (401, "System role not supported"), (400, "Too long.")):
        failure = classify(status, json.dumps({"error": {"message": words}}).encode())
        assert refused_part(failure, ASKED, asks_usage=True) is None
    spoken = {"messages": [{"role": "user", "content": "x"}]}
    assert (
        refused_part(classify(400, b'{"error":{"message":"System role not supported"}}'), spoken, asks_usage=True)
        is None
    )


@pytest.mark.parametrize(("status", "words"), SYSTEMS[3:])
def test_a_server_of_two_roles_may_mean_the_results_of_tools(status, words):
    failure = classify(status, json.dumps({"error": {"message": words}}).encode())
    looked = {"messages": [*ASKED["messages"], {"role": "assistant", "tool_calls": []}, {"role": "tool"}]}
    assert refused_part(failure, ASKED, asks_usage=False) == "system"
    assert refused_part(failure, looked, asks_usage=False) is None


def test_a_system_message_joins_whatever_the_user_sends():
    parts = [{"type": "text", "text": "Why?"}]
    asked = {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}]}
    assert without_system(asked)["messages"] == [{"role": "user", "content": "Be brief."}]
    both = without_system({"messages": [*asked["messages"], {"role": "user", "content": parts}]})["messages"]
    assert both == [{"role": "user", "content": [{"type": "text", "text": "Be brief."}, *parts]}]
