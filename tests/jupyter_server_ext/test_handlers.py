"""The routes, over HTTP: who may ask, what is refused, what every reply carries, streams and their ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket

import httpx
import pytest

from jupyter_server_ext.auth import needs_scope, scope_of
from jupyter_server_ext.errors import UpstreamFailed
from jupyter_server_ext.handlers import ROUTES, base
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.messages import Caller, ChatRequest, Waiting
from jupyter_server_ext.settings import CallerLimits, ServerSettings, Settings, TenantSettings

pytestmark = pytest.mark.asyncio

LIMIT_HEADERS = [
    f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")
]


def filled(path: str) -> str:
    path = path.replace("{action}", "pause").replace("{other}", "completions")
    return re.sub(r"\{\w+\}", "x", path)


# Who may ask ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path or "/")
async def test_every_route_but_root_and_health_needs_a_token(served, route):
    async with served() as gateway:
        for method in ("get", "post", "delete"):
            scope = scope_of(getattr(route.handler, method))
            if scope is None:
                continue
            reply = await gateway.client.request(method, filled(route.path), json={})
            assert (reply.status_code == 401) == (route.path not in ("", "health", "oauth_callback"))


async def test_administration_needs_its_scope(served):
    async with served() as gateway:
        for route in ROUTES:
            if route.path.startswith("admin"):
                method = next(name for name in ("get", "post", "delete") if scope_of(getattr(route.handler, name)))
                reply = await gateway.client.request(
                    method, filled(route.path), headers={"Authorization": "Bearer ada-token"}
                )
                assert reply.status_code == 403
                assert reply.json()["error"]["code"] == "not_permitted"


@pytest.mark.parametrize("form", ["Bearer ada-token", "token ada-token", "bearer  ada-token", "TOKEN ada-token"])
async def test_tokens_come_in_either_form(served, form):
    async with served() as gateway:
        reply = await gateway.client.get("stats", headers={"Authorization": form})

        assert reply.json()["caller"] == "ada"


@pytest.mark.parametrize(
    ("header", "path"),
    [
        (None, "stats"),
        ("", "stats"),
        ("Bearer", "stats"),
        ("Bearer wrong", "stats"),
        ("Bearer ada-token extra", "stats"),
        ("Basic YWRhOmFkYS10b2tlbg==", "stats"),
        (None, "stats?token=ada-token"),
        ("Bearer ada-token", "stats?token=ada-token"),
    ],
)
async def test_what_is_no_token_is_refused_in_openais_shape(served, header, path):
    async with served() as gateway:
        reply = await gateway.client.get(path, headers={} if header is None else {"Authorization": header})

    assert reply.status_code == 401
    error = reply.json()["error"]
    assert error["type"] == "authentication_error"
    assert error["request_id"] == reply.headers["x-request-id"]
    assert "ada-token" not in reply.text
    assert reply.headers["www-authenticate"] == "Bearer"


async def test_a_bad_token_is_refused_though_the_body_never_comes(served, monkeypatch):
    monkeypatch.setattr(base, "_PATIENCE_SECONDS", 0.05)
    async with served() as gateway:
        port = httpx.URL(gateway.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /rsql/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\nContent-Length: 500000\r\n\r\n"
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()

    assert head.startswith(b"HTTP/1.1 401")
    assert b"Connection: close" in head


async def test_a_route_that_says_nothing_of_scopes_cannot_be_written():
    with pytest.raises(TypeError, match=r"Open\.post needs @needs_scope"):

        class Open(GatewayHandler):
            def post(self):
                pass

    with pytest.raises(KeyError):
        needs_scope("root")


# What is refused -----------------------------------------------------------------------------------------------------

BAD = {
    "empty": (b"", 400, None),
    "not JSON": (b"{", 400, None),
    "not UTF-8": (b'{"messages": "\xff"}', 400, None),
    "deeply nested": (b"[" * 100_000, 400, None),
    "a list": ([], 400, None),
    "null": (b"null", 400, None),
    "no messages": ({}, 400, "messages"),
    "messages are text": ({"messages": "hello"}, 400, "messages"),
    "messages are empty": ({"messages": []}, 400, "messages"),
    "a message is text": ({"messages": ["hello"]}, 400, "messages[0]"),
    "a message without role": ({"messages": [{"role": "user"}, {"content": "a"}]}, 400, "messages[1].role"),
    "content is a number": ({"messages": [{"role": "user", "content": 1}]}, 400, "messages[0].content"),
    "model is a number": ({"messages": [{"role": "user", "content": "a"}], "model": 1}, 400, "model"),
    "stream is text": ({"messages": [{"role": "user", "content": "a"}], "stream": "yes"}, 400, "stream"),
    "options are text": (
        {"messages": [{"role": "user", "content": "a"}], "stream_options": "x"},
        400,
        "stream_options",
    ),
    "a part is a number": ({"messages": [{"role": "user", "content": [5]}]}, 400, "messages[0].content[0]"),
    "a part's text is a number": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        400,
        "messages[0].content[0].text",
    ),
} | {
    f"{name} is {value}": ({"messages": [{"role": "user", "content": "a"}], name: value}, 400, name)
    for name in ("max_tokens", "max_completion_tokens", "n")
    for value in (-1, 0, "x", 1e99, 1.5, True, [], 10**30)
}


@pytest.mark.parametrize(("body", "status", "param"), BAD.values(), ids=BAD)
async def test_a_bad_body_is_refused_with_the_field_named(served, body, status, param):
    async with served() as gateway:
        reply = await gateway.ask(body)

        assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)
        assert reply.json()["error"]["type"] == "invalid_request_error"
        assert all(name in reply.headers for name in LIMIT_HEADERS)
        assert gateway.gateway.asked == []


@pytest.mark.parametrize(
    ("header", "told", "param"), [("X-RSQL-Session", "a b", "session_id"), ("X-RSQL-Whole", "maybe", "X-RSQL-Whole")]
)
async def test_an_odd_header_is_refused(served, header, told, param):
    async with served() as gateway:
        reply = await gateway.ask(headers={header: told})

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


SMALL = Settings(default_model="llama", server=ServerSettings(max_body_mb=0.1))


async def test_a_large_body_is_refused_without_reading_it_all(served, monkeypatch):
    monkeypatch.setattr(base, "_PATIENCE_SECONDS", 0.05)
    async with served(SMALL) as gateway:
        port = httpx.URL(gateway.url).port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /rsql/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n"
        writer.write(head + b"Content-Length: 1000000000000\r\n\r\n")
        reply = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    assert reply.startswith(b"HTTP/1.1 413")
    assert reply.count(b"HTTP/1.1") == 1
    assert b'"request_too_large"' in reply


async def test_a_body_that_never_ends_is_answered_and_cut_off(served, monkeypatch):
    monkeypatch.setattr(base, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(base, "_PATIENCE_BYTES", 100_000)
    async with served(SMALL) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(gateway.url).port)
        writer.write(b"POST /rsql/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        reading = asyncio.ensure_future(reader.readuntil(b"}}"))
        with contextlib.suppress(ConnectionError):
            while not reading.done():
                writer.write(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        reply = await reading
        assert reply.startswith(b"HTTP/1.1 413")
        assert b"X-Ratelimit-Remaining-Requests" in reply
        await asyncio.wait_for(gateway.parts.metrics.idle(), 2)  # though the client would go on
        writer.close()
        assert (await gateway.ask()).status_code == 200


async def test_a_large_body_is_answered_when_the_client_has_sent_it_all(served):
    async def parts():
        for _ in range(300):
            yield b"x" * 10_000

    async with served(SMALL) as gateway:
        for content in (b"x" * 3_000_000, parts()):
            reply = await gateway.client.post("chat", content=content, headers={"Authorization": "Bearer ada-token"})
            assert reply.status_code == 413
            assert reply.json()["error"]["code"] == "request_too_large"


async def test_a_body_just_small_enough_passes(served):
    async with served(SMALL) as gateway:
        reply = await gateway.ask({"messages": [{"role": "user", "content": "x" * 99_000}]})

    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "nowhere", 404, "not_found"),
        ("GET", "v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "chat", 405, "method_not_allowed"),
        ("BREW", "chat", 405, "method_not_allowed"),
        ("GET", "v1/models/none", 404, "model_not_found"),
        ("POST", "v1/completions", 404, "not_found"),
    ],
)
async def test_what_is_not_there_is_said_as_json(served, method, path, status, code):
    async with served() as gateway:
        reply = await gateway.client.request(method, path, headers={"Authorization": "Bearer ada-token"})

    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert reply.headers["x-request-id"]


async def test_only_the_gateways_own_routes_exist(served):
    async with served() as gateway:
        for path in ("/", "/api", "/api/kernels", "/api/contents", "/lab", "/tree", "/files/x", "/login", "/static/x"):
            reply = await gateway.client.get(httpx.URL(gateway.url).join(path))
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
        reply = await gateway.client.get(gateway.url.rstrip("/"))
        assert (reply.status_code, reply.headers["location"]) == (308, "/rsql/")


# Answers -------------------------------------------------------------------------------------------------------------


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


async def test_a_stream_shows_waiting_and_passes_events_on_as_they_come(served):
    second = asyncio.Event()
    async with served() as gateway:
        gateway.gateway.events = [Waiting(4, 6.21), Waiting(0, 0.0), b"data: 1\n\n", second, b"data: [DONE]\n\n"]
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
    assert all(name in reply.headers for name in ("x-request-id", *LIMIT_HEADERS))


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
        gateway.gateway.events = [Waiting(1, 0.1), failure]
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
        assert gateway.parts.metrics.under_way == 1
        asking.cancel()
        await asyncio.wait_for(gateway.gateway.ended.wait(), 2)
        await asyncio.wait_for(gateway.parts.metrics.idle(), 2)
        stats = (await gateway.get("stats")).json()

    assert stats["concurrency"]["current"] == 0
    assert stats["limits"]["minute"]["current"] == 0


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(served):
    async with served() as gateway:
        port = httpx.URL(gateway.url).port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /rsql/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\nContent-Length: 500\r\n\r\n{"
        )
        await writer.drain()
        while not gateway.parts.metrics.under_way:
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.wait_for(gateway.parts.metrics.idle(), 2)


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


# The plain form ------------------------------------------------------------------------------------------------------


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
        kept = gateway.parts.conversations.of("ada", "s1")

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


# State ---------------------------------------------------------------------------------------------------------------


async def test_root_and_health_tell_everybody_whether_it_works_and_no_more(served):
    async with served() as gateway:
        for path in ("", "health"):
            reply = await gateway.get(path, token="")
            assert reply.json() == {"status": "ok", "version": reply.json()["version"], "checks": {"keys": "ok"}}
        assert (await gateway.client.head("health")).status_code == 200
        page = await gateway.client.get("", headers={"Accept": "text/html,*/*"})
        assert page.headers["content-type"].startswith("text/html")

        gateway.gateway.keys = {"ready": 0, "cooling": 1}
        assert (await gateway.get("health")).json()["status"] == "degraded"
        gateway.gateway.keys = {"ready": 0, "retired": 2}
        assert (await gateway.get("health")).status_code == 503


async def test_status_tells_keys_by_state_and_no_key(served):
    settings = Settings(default_model="llama", tenants=(TenantSettings("stats101", privacy_floor="names"),))
    async with served(settings) as gateway:
        status = (await gateway.get("status")).json()

    assert status == {
        "keys": {"ready": 2, "cooling": 1, "exhausted": 0, "retired": 0},
        "queue": {"length": 3, "expected_wait_seconds": 1.5},
        "models": ["llama", "gpt"],
        "default_model": "llama",
        "privacy_floor": "names",
    }


async def test_stats_are_the_callers_own(served):
    async with served(
        Settings(default_model="llama", caller=CallerLimits(requests_per_hour=100, usd_per_day=5))
    ) as gateway:
        await gateway.ask()
        ada = (await gateway.get("stats")).json()
        bob = (await gateway.get("stats", token="bob-token")).json()

    assert ada["limits"]["hour"] == {"current": 1, "limit": 100, "remaining": 99}
    assert ada["limits"]["minute"] == {"current": 1, "limit": None, "remaining": None}
    assert ada["tokens"]["day"]["current"] == 3
    assert ada["cost"] == {"today": 0.0, "limit": 5.0, "remaining": 5.0}
    assert (ada["caller"], ada["tenant"]) == ("ada", "stats101")
    assert bob["limits"]["hour"]["current"] == 0


async def test_the_limit_refuses_with_the_true_time(served):
    async with served(Settings(default_model="llama", caller=CallerLimits(requests_per_minute=2))) as gateway:
        replies = [await gateway.ask() for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json()["error"]["code"] == "rate_limit_exceeded"
    assert 58 <= int(replies[2].headers["retry-after"]) <= 60
    assert replies[2].headers["x-ratelimit-remaining-requests"] == "0"


async def test_metrics_count_requests_and_name_nobody(served):
    async with served() as gateway:
        await gateway.ask()
        await gateway.ask({})
        reply = await gateway.get("metrics")

    assert 'rsql_requests_total{route="v1/chat/completions",status="200"} 1.0' in reply.text
    assert 'rsql_requests_total{route="v1/chat/completions",status="400"} 1.0' in reply.text
    assert "rsql_requests_under_way 1.0" in reply.text
    assert 'rsql_keys{state="ready"} 2.0' in reply.text
    assert "rsql_queue_length 3.0" in reply.text
    assert "ada" not in reply.text


@pytest.mark.parametrize(("rating", "kept"), [("up", 5), ("down", 1), (3, 3), (0, None), (True, None), ("good", None)])
async def test_answers_are_rated(served, rating, kept):
    async with served() as gateway:
        gateway.parts.records.open(Caller("ada"), ChatRequest("m", {"messages": []}, request_id="req-1"))
        reply = await gateway.ask({"request_id": "req-1", "rating": rating, "comment": "Right."}, path="feedback")
        listed = (await gateway.get("admin/api/feedback", token="owner-token")).json()["feedback"]

    assert reply.status_code == (200 if kept else 400)
    assert [(item["caller"], item["rating"]) for item in listed] == ([("ada", kept)] if kept else [])


@pytest.mark.parametrize(("name", "token"), [("req-2", "ada-token"), ("req-1", "bob-token")])
async def test_only_what_one_has_asked_can_be_rated(served, name, token):
    async with served() as gateway:
        gateway.parts.records.open(Caller("ada"), ChatRequest("m", {"messages": []}, request_id="req-1"))
        reply = await gateway.ask({"request_id": name, "rating": "up"}, token=token, path="feedback")
        listed = (await gateway.get("admin/api/feedback", token="owner-token")).json()["feedback"]

    assert (reply.status_code, reply.json()["error"]["code"], listed) == (404, "unknown_request", [])


async def test_openapi_and_docs_name_every_route(served):
    async with served() as gateway:
        document = (await gateway.get("openapi.json")).json()
        page = (await gateway.get("docs")).text

    assert list(document["paths"]) == [f"/{route.path}" for route in ROUTES]
    assert all(f"<code>{route.path or '/'}</code>" in page for route in ROUTES)
    completions = document["paths"]["/v1/chat/completions"]["post"]
    assert completions["security"] == [{"token": ["chat"]}]
    assert completions["requestBody"]["content"]["application/json"]["schema"]["required"] == ["messages"]


# Administration ------------------------------------------------------------------------------------------------------


async def test_administrators_check_keys_and_reset_the_day(served):
    async with served(Settings(default_model="llama", caller=CallerLimits(requests_per_day=1))) as gateway:
        await gateway.ask()
        assert (await gateway.ask()).status_code == 429

        reset = await gateway.ask({}, path="admin/reset-daily-limits", token="owner-token")
        check = await gateway.ask({}, path="admin/health-check", token="owner-token")

        assert (reset.json()["accounts"], (await gateway.ask()).status_code) == (1, 200)
        assert check.json() == {"keys": [{"key": "groq-1 …a1b2", "ok": True}]}


async def test_administrators_see_and_stop_keys(served):
    async with served() as gateway:
        listed = await gateway.get("admin/api/keys", token="owner-token")
        for action in ("pause", "resume", "retire"):
            await gateway.ask({}, path=f"admin/api/keys/groq-1/{action}", token="owner-token")
        done = gateway.gateway.pool.done

    assert listed.json()["keys"] == [{"key": "groq-1 …a1b2"}]
    assert done == [("pause", "groq-1"), ("resume", "groq-1"), ("retire", "groq-1", "retired by an administrator")]


# The whole, with the offline model -----------------------------------------------------------------------------------


async def test_the_offline_model_answers_through_every_door(served):
    async with served(Settings(), fake=False) as gateway:
        whole = (await gateway.ask({"messages": [{"role": "user", "content": "Question: What can you do?"}]})).json()
        stream = await gateway.ask({"messages": [{"role": "user", "content": "Question: Hi"}], "stream": True})
        plain = (await gateway.ask({"message": "What can you do?"}, path="chat")).json()
        unknown = await gateway.ask({"messages": [{"role": "user", "content": "Hi"}], "model": "gpt-9"})
        stats = (await gateway.get("stats")).json()

    assert whole["rsql"]["request_id"].startswith("req-")
    assert stream.text.endswith("data: [DONE]\n\n")
    assert plain["answer"]
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "model")
    assert stats["limits"]["minute"]["current"] == 3
    assert stats["tokens"]["minute"]["current"] > 0


async def test_a_refusal_keeps_the_connection_for_the_next_request(served):
    async with served() as gateway:
        address = httpx.URL(gateway.url)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        for _ in range(3):
            writer.write(b"GET /rsql/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bad\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 401")
            await asyncio.sleep(0.01)
        assert not reader.at_eof()
        writer.close()
