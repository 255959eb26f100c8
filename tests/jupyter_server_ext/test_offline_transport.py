"""The embedded provider speaks OpenAI's protocol."""

from __future__ import annotations

import json

import httpx
import pytest

from jupyter_server_ext.offline import OfflineTransport
from jupyter_server_ext.offline.transport import MODEL, WHAT_IT_IS

HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "Write a poem about rivers."}]}


async def _post(body, **kwargs):
    async with httpx.AsyncClient(transport=OfflineTransport(), base_url="http://offline/v1") as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post("/chat/completions", content=content, **kwargs)


def _events(response):
    lines = [line for line in response.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line.removeprefix("data: ") for line in lines]


@pytest.mark.asyncio
async def test_a_completion_has_text_and_usage():
    response = await _post(HELLO)

    body = response.json()
    text = body["choices"][0]["message"]["content"]
    assert response.status_code == 200
    assert text == WHAT_IT_IS
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == round(len(text) / 3.7)
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


@pytest.mark.asyncio
async def test_a_stream_carries_the_same_text_in_pieces():
    response = await _post({**HELLO, "stream": True})

    *chunks, done = _events(response)
    deltas = [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks]
    assert done == "[DONE]"
    assert "".join(delta.get("content", "") for delta in deltas) == WHAT_IT_IS
    assert len(deltas) > 5
    assert response.headers["content-type"].startswith("text/event-stream")
    assert json.loads(chunks[-1])["choices"][0]["finish_reason"] == "stop"


@pytest.mark.asyncio
async def test_a_stream_counts_tokens_when_asked():
    response = await _post({**HELLO, "stream": True, "stream_options": {"include_usage": True}})

    *_, usage, done = _events(response)
    assert done == "[DONE]"
    assert json.loads(usage)["choices"] == []
    assert json.loads(usage)["usage"]["prompt_tokens"] > 0


@pytest.mark.asyncio
async def test_the_id_follows_from_the_request():
    first, again = await _post(HELLO), await _post(HELLO)
    other = await _post({**HELLO, "temperature": 0.5})

    assert first.content == again.content
    assert first.json()["id"] != other.json()["id"]


@pytest.mark.asyncio
async def test_models_are_listed():
    async with httpx.AsyncClient(transport=OfflineTransport(), base_url="http://offline/v1") as client:
        listed = (await client.get("/models")).json()

    assert [model["id"] for model in listed["data"]] == [MODEL]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[1]", 400, None),
        ({"model": MODEL}, 400, "messages"),
        ({"model": MODEL, "messages": []}, 400, "messages"),
        ({"model": MODEL, "messages": ["hello"]}, 400, "messages"),
        ({"model": "gpt-9", "messages": HELLO["messages"]}, 404, "model"),
        ({**HELLO, "rsql": "how many?"}, 400, "rsql"),
        ({**HELLO, "rsql": {"task": "cook", "question": "how many?"}}, 400, "rsql"),
        ({**HELLO, "rsql": {"task": "sql", "question": "how many?", "more": 1}}, 400, "rsql"),
        ({**HELLO, "rsql": {"task": "sql", "question": "how many?", "tables": [{"name": 3}]}}, 400, "rsql"),
    ],
)
@pytest.mark.asyncio
async def test_bad_bodies_get_openai_errors(body, status, param):
    response = await _post(body)

    assert response.status_code == status
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["message"]


@pytest.mark.asyncio
async def test_unknown_paths_are_not_found():
    async with httpx.AsyncClient(transport=OfflineTransport(), base_url="http://offline/v1") as client:
        response = await client.post("/embeddings", json={})

    assert response.status_code == 404
    assert "chat/completions" in response.json()["error"]["message"]
