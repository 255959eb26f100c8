"""The routes, over HTTP: how the gateway is, what administrators do, and all of it with the offline model."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from jupyter_server_ext.config import CallerLimits, Settings, TenantSettings
from jupyter_server_ext.handlers import ROUTES
from jupyter_server_ext.messages import Caller, ChatRequest

pytestmark = pytest.mark.asyncio

# State ----------------------------------------------------------------------------------------------------------------


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
        Settings(
            default_model="llama",
            caller=CallerLimits(requests_per_hour=100, usd_per_day=5),
            everyone=CallerLimits(usd_per_month=60),
        )
    ) as gateway:
        await gateway.ask()
        ada = (await gateway.get("stats")).json()
        bob = (await gateway.get("stats", token="bob-token")).json()

    assert ada["limits"]["hour"] == {"current": 1, "limit": 100, "remaining": 99}
    assert ada["limits"]["minute"] == {"current": 1, "limit": None, "remaining": None}
    assert ada["tokens"]["day"]["current"] == 3
    assert ada["cost"] == {"today": 0.0, "limit": 5.0, "remaining": 5.0}
    assert ada["shared_cost"] == {"usd_per_month": {"current": 0.0, "limit": 60.0, "remaining": 60.0}}
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
        gateway.app.accounting.open(Caller("ada"), ChatRequest("m", {"messages": []}, request_id="req-1"))
        reply = await gateway.ask({"request_id": "req-1", "rating": rating, "comment": "Right."}, path="feedback")
        listed = (await gateway.get("admin/api/feedback", token="owner-token")).json()["feedback"]

    assert reply.status_code == (200 if kept else 400)
    assert [(item["caller"], item["rating"]) for item in listed] == ([("ada", kept)] if kept else [])


@pytest.mark.parametrize(("name", "token"), [("req-2", "ada-token"), ("req-1", "bob-token")])
async def test_only_what_one_has_asked_can_be_rated(served, name, token):
    async with served() as gateway:
        gateway.app.accounting.open(Caller("ada"), ChatRequest("m", {"messages": []}, request_id="req-1"))
        reply = await gateway.ask({"request_id": name, "rating": "up"}, token=token, path="feedback")
        listed = (await gateway.get("admin/api/feedback", token="owner-token")).json()["feedback"]

    assert (reply.status_code, reply.json()["error"]["code"], listed) == (404, "unknown_request", [])


async def test_openapi_and_docs_name_every_route(served):
    async with served() as gateway:
        document = (await gateway.get("openapi.json")).json()
        page = (await gateway.get("docs")).text

    assert list(document["paths"]) == [f"/{route.path}" for route in ROUTES]
    assert all(f"<code>{route.path or '/'}</code>" in page for route in ROUTES)
    assert "`" not in page
    completions = document["paths"]["/v1/chat/completions"]["post"]
    assert completions["security"] == [{"token": ["chat"]}, {"token": ["completion"]}]
    assert completions["requestBody"]["content"]["application/json"]["schema"]["required"] == ["messages"]


# Administration -------------------------------------------------------------------------------------------------------


async def test_administrators_check_keys_and_reset_the_day(served):
    async with served(Settings(default_model="llama", caller=CallerLimits(requests_per_day=1))) as gateway:
        await gateway.ask()
        assert (await gateway.ask()).status_code == 429

        reset = await gateway.ask({}, path="admin/reset-daily-limits", token="owner-token")
        check = await gateway.ask({}, path="admin/health-check", token="owner-token")

        assert (reset.json()["accounts"], (await gateway.ask()).status_code) == (1, 200)
        assert check.json() == {"keys": [{"key": "groq-1", "ok": True}]}


async def test_administrators_see_and_stop_keys(served):
    async with served() as gateway:
        listed = await gateway.get("admin/api/keys", token="owner-token")
        for action in ("pause", "resume", "retire"):
            await gateway.ask({}, path=f"admin/api/keys/groq-1/{action}", token="owner-token")
        done = gateway.gateway.pool.keys.done

    assert [row["key"] for row in listed.json()["keys"]] == ["groq-1"]
    assert done == [("pause", "groq-1"), ("resume", "groq-1"), ("retire", "groq-1", "retired by an administrator")]


# The whole, with the offline model ------------------------------------------------------------------------------------


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
