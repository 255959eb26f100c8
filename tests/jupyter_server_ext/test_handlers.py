"""The routes, over HTTP: who may ask, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import re

import httpx
import pytest

from jupyter_server_ext.config import ServerSettings, Settings
from jupyter_server_ext.handlers import ROUTES, base
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.identity import needs_scope, scopes_needed

pytestmark = pytest.mark.asyncio


def filled(path: str) -> str:
    path = path.replace("{action}", "cancel" if "jobs" in path else "pause").replace("{other}", "completions")
    return re.sub(r"\{\w+\}", "x", path)


# Who may ask ----------------------------------------------------------------------------------------------------------


OPEN = ("", "health", "oauth_callback", "admin", "assets/{version}/{file}")


@pytest.mark.spine(cases=20)
@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path or "/")
async def test_every_route_but_health_and_pages_without_data_needs_a_token(served, route):
    async with served() as gateway:
        for method in ("get", "post", "delete"):
            scope = scopes_needed(getattr(route.handler, method))
            if scope is None:
                continue
            reply = await gateway.client.request(method, filled(route.path), json={})
            assert (reply.status_code == 401) == (route.path not in OPEN)


@pytest.mark.slow
async def test_administration_needs_its_scope(served):
    async with served() as gateway:
        for route in ROUTES:
            if route.path.startswith("admin/"):
                method = next(name for name in ("get", "post", "delete") if scopes_needed(getattr(route.handler, name)))
                reply = await gateway.client.request(
                    method, filled(route.path), headers={"Authorization": "Bearer ada-token"}
                )
                assert reply.status_code == 403
                assert reply.json()["error"]["code"] == "missing_scope"


@pytest.mark.parametrize("form", ["Bearer ada-token", "token ada-token", "bearer  ada-token", "TOKEN ada-token"])
async def test_tokens_come_in_either_form(served, form):
    async with served() as gateway:
        reply = await gateway.client.get("stats", headers={"Authorization": form})

        assert reply.json()["caller"] == "ada"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": "ada-token"}, 200),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": "ada-token extra"}, 401),
        ({"X-API-Key": "ada-token", "Authorization": "Bearer wrong"}, 401),
        ({"X-API-Key": "wrong", "Authorization": "Bearer ada-token"}, 200),
    ],
)
async def test_a_token_may_come_as_an_api_key_behind_which_no_other_header_stands(served, headers, status):
    async with served() as gateway:
        reply = await gateway.client.get("stats", headers=headers)
    assert reply.status_code == status
    assert "ada-token" not in reply.text


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


@pytest.mark.slow
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


# What is refused ------------------------------------------------------------------------------------------------------

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
    if name == "n" or value != 0  # no tokens are the provider's to refuse: openai's own tests ask for them
}


@pytest.mark.slow
@pytest.mark.parametrize(("body", "status", "param"), BAD.values(), ids=BAD)
async def test_a_bad_body_is_refused_with_the_field_named(served, limit_headers, body, status, param):
    async with served() as gateway:
        reply = await gateway.ask(body)

        assert (reply.status_code, reply.json()["error"]["param"]) == (status, param)
        assert reply.json()["error"]["type"] == "invalid_request_error"
        assert all(name in reply.headers for name in limit_headers)
        assert gateway.gateway.asked == []


@pytest.mark.parametrize(
    ("header", "told", "param"), [("X-RSQL-Session", "a b", "session_id"), ("X-RSQL-Whole", "maybe", "X-RSQL-Whole")]
)
async def test_an_odd_header_is_refused(served, header, told, param):
    async with served() as gateway:
        reply = await gateway.ask(headers={header: told})

    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


SMALL = Settings(default_model="llama", server=ServerSettings(max_body_mb=0.1))


@pytest.mark.slow
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


@pytest.mark.slow
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
        await asyncio.wait_for(gateway.app.metrics.idle(), 2)  # though the client would go on
        writer.close()
        assert (await gateway.ask()).status_code == 200


@pytest.mark.slow
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
