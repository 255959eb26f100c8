"""The member ``rsql`` on its way through the gateway: to the offline model, in the cache's key, and nowhere else."""

from __future__ import annotations

import json
from contextlib import aclosing

import httpx
import pytest

from jupyter_server_ext.config import KeySettings, Secret, Settings, TenantSettings
from jupyter_server_ext.errors import ModelNotServed
from jupyter_server_ext.handlers.requests import chat_request
from jupyter_server_ext.identity import Policy
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline import Gateway
from jupyter_server_ext.pipeline.cache import cache_key

ASKED = {"task": "ask", "question": "What is a median?"}
BODY = {"messages": [{"role": "user", "content": "Question: What is a median?"}], "rsql": ASKED}


async def _answered(gateway: Gateway, model: str, body=BODY) -> dict:
    request = chat_request({**body, "model": model}, {}, default_model="", request_id="r1")
    async with aclosing(gateway.complete(Caller("ada"), request)) as pieces:
        return json.loads(b"".join([piece async for piece in pieces]))


@pytest.mark.asyncio
async def test_the_offline_model_gets_it():
    gateway = Gateway(Settings())
    reply = await _answered(gateway, "offline")
    assert "middle value" in reply["choices"][0]["message"]["content"]
    await gateway.close()


@pytest.mark.asyncio
async def test_without_it_the_offline_model_says_what_it_is():
    gateway = Gateway(Settings())
    reply = await _answered(gateway, "offline", {"messages": BODY["messages"]})
    assert reply["choices"][0]["message"]["content"].startswith("I am rsql's offline model")
    await gateway.close()


@pytest.mark.parametrize("provider", ["groq", "openai", "ollama", "ours"])
@pytest.mark.asyncio
async def test_no_provider_gets_it(provider):
    seen = []

    def reply(request):
        seen.append(json.loads(request.content))
        message = {"role": "assistant", "content": "So."}
        return httpx.Response(200, json={"choices": [{"message": message, "finish_reason": "stop"}]})

    key = KeySettings(provider, key=Secret("k"), base_url="http://provider/v1", models=("m",))
    gateway = Gateway(Settings(keys=(key, KeySettings("offline"))), transport=httpx.MockTransport(reply))
    await _answered(gateway, "m")
    assert [body["messages"] for body in seen] == [BODY["messages"]]
    assert "rsql" not in seen[0]
    assert gateway.offline_models() == ["offline"]
    await gateway.close()


def test_it_tells_requests_apart():
    keys = {
        cache_key(ChatRequest("offline", {"messages": BODY["messages"], **more}), "")
        for more in ({}, {"rsql": ASKED}, {"rsql": {**ASKED, "question": "What is a mean?"}})
    }
    assert len(keys) == 3


@pytest.mark.asyncio
async def test_the_gateway_announces_what_the_offline_model_answers(served):
    async with served(Settings(), fake=False) as gateway:
        assert (await gateway.get("stats")).json()["offline_models"] == ["offline", "default"]
    key = KeySettings("groq", key=Secret("k"), models=("m",))
    async with served(Settings(keys=(key, KeySettings("offline")), default_model="m"), fake=False) as gateway:
        assert (await gateway.get("stats")).json()["offline_models"] == ["offline"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tables": [{"name": "t", "columns": [{"name": 3}]}]}, "$.tables[0].columns[0].name"),
        ({"dialect": "[withheld]"}, "dialect"),
        ({"dialect": "klingon"}, "klingon"),
    ],
)
async def test_a_malformed_member_is_refused_with_its_place(served, wrong, words):
    async with served(Settings(), fake=False) as gateway:
        reply = await gateway.ask({**BODY, "rsql": {**ASKED, **wrong}})
    assert reply.status_code == 400
    assert "'rsql'" in reply.json()["error"]["message"]
    assert words in reply.json()["error"]["message"]


@pytest.mark.asyncio
async def test_beside_the_models_of_keys_it_answers_whoever_names_it_and_counts_as_no_key():
    def provider(request):
        raise AssertionError("a provider was asked")

    key = KeySettings("groq", key=Secret("k"), models=("m",))
    settings = Settings(keys=(key,), default_model="m")
    gateway = Gateway(settings, transport=httpx.MockTransport(provider))
    reply = await _answered(gateway, "offline")
    assert "middle value" in reply["choices"][0]["message"]["content"]
    assert gateway.offline_models() == ["offline"]
    assert gateway.models() == ["m"]
    assert [row["provider"] for row in gateway.status()["pool"]] == ["groq"]
    assert sum(gateway.status()["keys"].values()) == 1
    await gateway.close()


@pytest.mark.asyncio
async def test_it_can_be_left_out_and_tenants_may_have_it_or_not():
    key = KeySettings("groq", key=Secret("k"), models=("m",))
    without = Gateway(Settings(keys=(key,), offline=False))
    assert without.offline_models() == []
    with pytest.raises(ModelNotServed):
        await _answered(without, "offline")
    await without.close()
    own = TenantSettings("stats101", models=("m",))
    gateway = Gateway(Settings(keys=(key,)), policy=Policy(Settings(tenants=(own,))))
    request = chat_request({**BODY, "model": "offline"}, {}, default_model="", request_id="r1")
    with pytest.raises(ModelNotServed):
        async with aclosing(gateway.complete(Caller("ada", tenant="stats101"), request)) as pieces:
            await anext(pieces)
    await gateway.close()
