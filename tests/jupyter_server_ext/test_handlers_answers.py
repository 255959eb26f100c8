"""The routes, over HTTP: what every reply carries, streams and their ends, and the plain form."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import pytest

from jupyter_server_ext.config import CallerLimits, ModelSettings, Settings, TenantSettings, effective
from jupyter_server_ext.errors import UpstreamFailed
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.messages import QueueNews

pytestmark = pytest.mark.asyncio

# Answers --------------------------------------------------------------------------------------------------------------


async def test_an_answer_passes_through_and_says_what_is_left(served):
    async with served(Settings(default_model="llama", caller=CallerLimits(requests_per_minute=5))) as gateway:
        reply = await gateway.ask(
            {"messages": [{"role": "user", "content": "Hi"}], "seed": 3, "api_key": "k", "API-Keys": 1}
        )

        assert reply.json()["choices"][0]["message"]["content"] == "Hello."
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-ratelimit-remaining-requests"] == "4"
        assert reply.headers["x-request-id"].startswith("req-")
        ((caller, request),) = gateway.gateway.asked
    assert (caller.name, caller.tenant) == ("ada", "stats101")
    assert request.request_id == reply.headers["x-request-id"]
    assert request.body == {"messages": [{"role": "user", "content": "Hi"}], "seed": 3, "model": "llama"}
    assert (request.model, request.stream, request.task, request.interactive) == ("llama", False, "other", True)


@pytest.mark.parametrize(
    ("told", "task", "interactive"), [("sql_ai", "sql_ai", True), ("batch", "batch", False), ("x", "other", True)]
)
async def test_the_kernel_says_what_a_request_is_for(served, told, task, interactive):
    async with served() as gateway:
        await gateway.ask(headers={"X-RSQL-Task": told, "X-RSQL-Session": "notebook-1"})
        ((_, request),) = gateway.gateway.asked

    assert (request.task, request.interactive, request.session_id) == (task, interactive, "notebook-1")


@pytest.mark.parametrize(
    ("headers", "whole"),
    [
        ({}, False),
        ({"X-RSQL-Whole": "true"}, True),
        ({"X-RSQL-Task": "batch"}, True),
        ({"X-RSQL-Task": "batch", "X-RSQL-Whole": "0"}, False),
    ],
)
async def test_a_stream_is_wanted_whole_where_nobody_watches_or_it_is_said(served, headers, whole):
    async with served() as gateway:
        await gateway.ask(headers=headers)
        ((_, request),) = gateway.gateway.asked

    assert request.whole is whole


@pytest.mark.parametrize(("model", "asked"), [(None, "llama"), ("", "llama"), ("default", "llama"), ("gpt", "gpt")])
async def test_the_default_model_stands_in_where_none_is_named(served, model, asked):
    async with served() as gateway:
        await gateway.ask({"messages": [{"role": "user", "content": "Hi"}], "model": model})
        ((_, request),) = gateway.gateway.asked

    assert (request.model, request.body["model"]) == (asked, asked)


async def test_a_tenant_without_the_default_model_gets_its_own_first(served):
    settings = Settings(default_model="llama", tenants=(TenantSettings("stats101", models=("gpt",)),))
    async with served(settings) as gateway:
        await gateway.ask()
        ((_, request),) = gateway.gateway.asked
        models = (await gateway.get("v1/models")).json()
        status = (await gateway.get("status")).json()

    assert request.model == "gpt"
    assert [model["id"] for model in models["data"]] == ["gpt"]
    assert (status["models"], status["default_model"]) == (["gpt"], "gpt")


async def test_models_tell_whether_they_take_pictures_where_that_is_configured(served):
    settings = Settings(models=(("llama", ModelSettings(pictures=False)), ("gpt", ModelSettings(pictures=True))))
    async with served(settings) as gateway:
        for path in ("v1/models/llama", "v1/models/gpt"):
            row = (await gateway.get(path)).json()
            assert row in (await gateway.get("v1/models")).json()["data"]
            assert ("image" in row["architecture"]["input_modalities"]) == path.endswith("gpt")
    async with served() as gateway:
        assert all("architecture" not in row for row in (await gateway.get("v1/models")).json()["data"])
    shown = {row.name: row.value for row in effective(settings)}
    assert (shown["models.llama.pictures"], shown["models.gpt.pictures"]) == (False, True)


async def test_a_stream_shows_waiting_and_passes_events_on_as_they_come(served, limit_headers):
    second = asyncio.Event()
    async with served() as gateway:
        gateway.gateway.events = [QueueNews(4, 6.21), QueueNews(0, 0.0), b"data: 1\n\n", second, b"data: [DONE]\n\n"]
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        headers = {"Authorization": "Bearer ada-token"}
        async with gateway.client.stream("POST", "v1/chat/completions", json=body, headers=headers) as reply:
            chunks = reply.aiter_raw()
            seen = b""
            while b"data: 1" not in seen:
                seen += await anext(chunks)
            second.set()
            seen += b"".join([chunk async for chunk in chunks])

    assert seen == b": queued position=4 eta=6.2\n\n: answering\n\ndata: 1\n\ndata: [DONE]\n\n"
    assert reply.headers["content-type"] == "text/event-stream"
    assert all(name in reply.headers for name in ("x-request-id", *limit_headers))


async def test_a_refusal_before_the_first_event_is_a_status_with_the_true_time(served, an_error):
    for stream in (False, True):
        async with served() as gateway:
            gateway.gateway.events = [an_error]
            reply = await gateway.ask({"messages": [{"role": "user", "content": "Hi"}], "stream": stream})

        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "3"
        assert reply.json()["error"] == {
            "message": an_error.message,
            "type": "server_error",
            "code": "no_capacity",
            "param": None,
            "request_id": reply.headers["x-request-id"],
            "retry_after": 2.2,
        }


@pytest.mark.parametrize(
    ("failure", "code"),
    [(UpstreamFailed("The provider failed."), "upstream_failed"), (ValueError("secret gsk_1"), "internal_error")],
)
async def test_a_failure_after_waiting_is_an_event_without_done(served, failure, code, caplog):
    async with served() as gateway:
        gateway.gateway.events = [QueueNews(1, 0.1), failure]
        reply = await gateway.ask({"messages": [{"role": "user", "content": "Hi"}], "stream": True})

    assert reply.status_code == 200
    last = reply.text.strip().rsplit("\n\n", 1)[1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == code
    assert "[DONE]" not in reply.text
    assert "gsk_1" not in reply.text


async def test_a_fault_of_ours_is_a_plain_500_and_one_log_entry(served, caplog):
    async with served() as gateway:
        gateway.gateway.events = [ValueError("boom")]
        reply = await gateway.ask(path="v1/chat/completions?note=private")

    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "internal_error"
    assert "boom" not in reply.text
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert reply.headers["x-request-id"] in record.getMessage()
    assert "private" not in caplog.text
    assert "ada-token" not in caplog.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", [None, b"data: 1\n\n"])
async def test_a_client_that_leaves_ends_the_work_at_once(served, stream, first):
    async with served() as gateway:
        gateway.gateway.events = [*([first] if first and stream else []), asyncio.Event()]
        asking = asyncio.ensure_future(gateway.ask({"messages": [{"role": "user", "content": "Hi"}], "stream": stream}))
        while not gateway.gateway.asked:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
        assert gateway.app.metrics.under_way == 1
        asking.cancel()
        await asyncio.wait_for(gateway.gateway.ended.wait(), 2)
        await asyncio.wait_for(gateway.app.metrics.idle(), 2)
        stats = (await gateway.get("stats")).json()

    assert stats["concurrency"]["current"] == 0
    assert stats["limits"]["minute"]["current"] == 0


async def test_an_answer_may_take_longer_than_a_body_may(served, monkeypatch):
    monkeypatch.setattr(requests, "_BODY_SECONDS", 0.05)
    async with served() as gateway:
        gateway.gateway.events.insert(0, come := asyncio.Event())
        asyncio.get_running_loop().call_later(0.2, come.set)
        reply = await gateway.ask({"messages": [{"role": "user", "content": "Hi"}]})
    assert reply.json()["choices"][0]["message"]["content"] == "Hello."


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(served):
    async with served() as gateway:
        port = httpx.URL(gateway.url).port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /rsql/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\nContent-Length: 500\r\n\r\n{"
        )
        await writer.drain()
        while not gateway.app.metrics.under_way:
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(gateway.app.metrics.idle(), 2)


async def test_a_slow_reader_slows_its_stream_and_nobody_else(served):
    async with served() as gateway:
        gateway.gateway.events = [b"data: " + b"x" * 100_000 + b"\n\n"] * 400
        port = httpx.URL(gateway.url).port
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        body = b'{"messages":[{"role":"user","content":"Hi"}],"stream":true}'
        head = "POST /rsql/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body)
        while not gateway.gateway.asked:
            await asyncio.sleep(0.01)
        assert (await gateway.get("stats")).json()["concurrency"]["current"] == 1
        assert not gateway.gateway.ended.is_set()
        slow.close()
        await asyncio.wait_for(gateway.gateway.ended.wait(), 5)


# The plain form -------------------------------------------------------------------------------------------------------


async def test_chat_continues_by_its_session(served):
    async with served() as gateway:
        first = (await gateway.ask({"message": "What is a p-value?"}, path="chat")).json()
        again = await gateway.ask({"message": "And in R?", "session_id": first["session_id"]}, path="chat")
        _, (_, request) = gateway.gateway.asked

    assert first["answer"] == "Hello."
    assert first["metadata"] == {"model": None, "usage": {"total_tokens": 3}, "attempts": 1}
    assert again.json()["session_id"] == first["session_id"] == again.headers["x-rsql-session"]
    assert [message["content"] for message in request.body["messages"]] == ["What is a p-value?", "Hello.", "And in R?"]


async def test_nobody_sees_the_conversation_of_another(served):
    async with served() as gateway:
        await gateway.ask({"message": "secret", "session_id": "s1"}, path="chat")
        await gateway.ask({"message": "Hi", "session_id": "s1"}, path="chat", token="bob-token")
        _, (_, request) = gateway.gateway.asked

    assert len(request.body["messages"]) == 1


async def test_chat_tells_what_the_question_is_about(served):
    async with served() as gateway:
        await gateway.ask({"message": "Why?", "context": {"R": "4.2.2"}}, path="chat")
        ((_, request),) = gateway.gateway.asked

    assert request.body["messages"][0]["role"] == "system"
    assert '{"R":"4.2.2"}' in request.body["messages"][0]["content"]


async def test_chat_streams_and_remembers(served):
    async with served() as gateway:
        gateway.gateway.events = [
            b'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n',
            b'data: {"choi\n\n',
            b'data: {"choices":[{"delta":{"content":"lo"}}]}\n\n',
            b'data: {"choices":[],"usage":{}}\n\ndata: [DONE]\n\n',
        ]
        reply = await gateway.ask({"message": "Hi", "session_id": "s1", "stream": True}, path="chat")
        kept = gateway.app.conversations.of("ada", "s1")

    assert reply.text.count("data:") == 5
    assert kept[1]["content"] == "Hello"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "message"),
        ({"message": " "}, "message"),
        ({"message": 1}, "message"),
        ({"message": "a", "context": 3}, "context"),
        ({"message": "a", "session_id": "x" * 200}, "session_id"),
        ({"message": "a", "stream": 1}, "stream"),
        ({"message": "a", "model": []}, "model"),
    ],
)
async def test_a_bad_chat_is_refused_with_the_field_named(served, body, param):
    async with served() as gateway:
        reply = await gateway.ask(body, path="chat")

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
