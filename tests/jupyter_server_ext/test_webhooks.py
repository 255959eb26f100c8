"""Webhooks: what is sent is signed and bounded, never leads inward, and tells what a gateway sees."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import servers
from standardwebhooks import Webhook, WebhookVerificationError

from jupyter_server_ext.config import KeySettings, Secret, Settings, StorageSettings, TenantSettings, WebhookSettings
from jupyter_server_ext.config.settings import ApiKeySettings, CallerLimits
from jupyter_server_ext.config.toml_file import read_settings
from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.messages import Entry
from jupyter_server_ext.webhooks import EVENTS, EventDetector, WebhookSender
from jupyter_server_ext.webhooks.sender import Sent, check_url

pytestmark = pytest.mark.asyncio
A_DAY = 86_400.0

# Sending


@asynccontextmanager
async def listening(answer):
    """A receiver at a free port: what it was sent, and its address; ``answer`` writes to the connection."""
    got = []

    async def take(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError:  # a sender that is stopped hangs up
            return
        got.append((headers, body.decode()))
        await answer(writer)

    async with servers.listening(take) as port:
        yield got, f"http://127.0.0.1:{port}/hook"


def saying(text):
    async def answer(writer):
        writer.write(text.encode())
        await writer.drain()

    return answer


OK = "HTTP/1.1 204 No Content\r\n\r\n"
SECRET = "whsec_" + "c2VjcmV0" * 5


async def send(url, sender=None, allowed=("127.0.0.1",), body='{"a": "é"}'):
    sender = sender or WebhookSender()
    return await sender.send(url, SECRET, "msg_1", body, now=time.time(), allowed=allowed)


async def test_a_delivery_is_verified_by_the_standard_package_and_a_changed_one_is_not():
    async with listening(saying(OK)) as (got, url):
        assert await send(url) == Sent(204)
    headers, body = got[0]
    assert Webhook(SECRET).verify(body, headers) == {"a": "é"}
    assert headers["host"] == url.split("/")[2]
    for wrong in (body.replace("é", "e"), body + " "):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(wrong, headers)


@pytest.mark.slow
async def test_a_receiver_that_never_answers_is_left_and_one_of_100_mb_is_not_read():
    sent = 0

    async def endless(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async def silent(writer):
        await asyncio.sleep(5)

    async def drop_by_drop(writer):
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(endless) as (_, url):
        assert await send(url) == Sent(200)
        await asyncio.sleep(0.1)
    assert sent < 20_000_000
    for answer in (silent, drop_by_drop):
        async with listening(answer) as (_, url):
            assert (await send(url, WebhookSender(seconds=0.3))).reason == "no answer within 0.3 s"


async def test_a_redirect_is_not_followed():
    async with listening(saying(OK)) as (inner, inward):
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {inward}\r\nContent-Length: 0\r\n\r\n"
        async with listening(saying(moved)) as (_, url):
            status, reason = await send(url)
    assert (status, inner) == (307, [])
    assert "not followed" in reason


INWARD = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1%eth0",
    "fd00::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::1",
]


@pytest.mark.parametrize("address", INWARD)
async def test_what_leads_inward_is_refused_by_address_and_by_name(address):
    if "%" not in address:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(BadRequest, match=r"private network"):
            check_url(f"https://{host}/x", [])

    async def resolve(host, port):
        return ["93.184.216.34", address]  # one public address does not help

    status, reason = await send("https://rebound.example.org/x", WebhookSender(resolve), allowed=())
    assert status is None
    assert "private network" in reason


async def test_the_connection_goes_to_the_address_that_was_looked_at():
    asked = []

    async def once(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    async with listening(saying(OK)) as (got, url):
        named = url.replace("127.0.0.1", "alerts.internal")
        assert (await send(named, WebhookSender(once), allowed=("alerts.internal",))).status == 204
        refused = await send(named.replace("http:", "https:"), WebhookSender(once), allowed=())
    assert asked == ["alerts.internal", "alerts.internal"]
    assert got[0][0]["host"].startswith("alerts.internal:")
    assert "private network" in refused.reason


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://a.org",
        "file:///etc/passwd",
        "https://",
        "https://a:b@c.org",
        "http://a.org",
        "https://" + "a" * 3000,
    ],
)
async def test_what_is_no_address_of_a_receiver_is_refused(url):
    with pytest.raises(BadRequest):
        check_url(url, ["10.0.0.0/8", "b.internal"])


async def test_hosts_and_networks_may_be_allowed():
    assert check_url("http://10.1.2.3:9000/x", ["10.0.0.0/8"]).host == "10.1.2.3"
    assert check_url("http://B.internal/x", ["b.internal"]).host == "b.internal"


# What is seen


class Seen:
    def __init__(self):
        self.events, self.keys, self.checks, self.budgets, self.now = [], [], {}, [], 1_000_000.0
        self.watch = EventDetector(self.events.append, self.status, lambda: self.budgets, clock=lambda: self.now)

    def status(self):
        return {"pool": self.keys, "checks": self.checks}

    def look(self, **state):
        self.events.clear()
        vars(self).update(state)
        self.watch.look()
        return [(event.type, event.subject) for event in self.events]


async def test_keys_and_storage_are_told_when_they_change():
    seen = Seen()
    assert seen.look(keys=[{"key": "a", "state": "ready"}], checks={"ledger": "ok"}) == []
    assert seen.look(keys=[{"key": "a", "state": "cooling", "reason": "rate_limit"}]) == [("key.cooling", "a")]
    assert seen.look() == []
    assert seen.look(keys=[{"key": "a", "state": "retired"}]) == [("key.retired", "a")]
    assert seen.look(keys=[{"key": "a", "state": "paused"}, {"key": "b", "state": "exhausted"}]) == [
        ("key.exhausted", "b")
    ]
    assert seen.look(checks={"ledger": "degraded"}) == [("storage.degraded", "ledger|degraded")]
    assert seen.look(checks={"ledger": "ok"}) == []


async def test_a_budget_is_told_at_80_and_at_100_per_cent_once_a_day():
    seen = Seen()
    told = []
    for part in (0.5, 0.81, 0.79, 0.9, 1.0, 0.99, 1.2):
        told += [event.data["percent"] for event in (seen.look(budgets=[("tenant:lab", "day", part)]), seen.events)[1]]
    assert told == [80, 100]
    assert seen.events == []
    assert len(seen.look(now=seen.now + A_DAY)) == 1
    assert seen.events[0].tenant == "lab"


@pytest.mark.parametrize(
    ("entry", "limit", "expected"),
    [
        ({"status": 200}, "", None),
        ({"status": 502, "attempts": 2, "key": "a"}, "", "request.failed"),
        ({"status": 504, "attempts": 1, "key": "a"}, "", "request.failed"),
        ({"status": 503, "attempts": 0}, "", "request.failed"),
        ({"status": 500, "attempts": 0, "key": "a"}, "", None),  # a try that was followed by another
        ({"status": 499}, "", None),
        ({"status": 400}, "", None),
        ({"status": 429}, "tenant requests day", "limit.reached"),
    ],
)
async def test_requests_are_told_when_they_fail_or_reach_a_limit(entry, limit, expected):
    seen = Seen()
    seen.watch.ended(Entry("r1", at=0.0, caller="ada", tenant="lab", **entry), limit)
    assert [event.type for event in seen.events] == ([expected] if expected else [])
    if limit:
        assert seen.events[0].data == {"of": "tenant", "limit": "requests per day", "tenant": "lab"}


# All of it


@pytest.mark.slow
async def test_a_failure_and_a_limit_reach_a_receiver_through_the_gateways_routes(served, url):
    key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", models=("m",))
    settings = Settings(
        default_model="m",
        keys=(key,),
        storage=StorageSettings(ledger=url, instance="one"),
        api_keys=(ApiKeySettings("ada", Secret("ada-token"), "lab"),),
        tenants=(TenantSettings("lab", limits=CallerLimits(requests_per_minute=2)),),
        webhooks=WebhookSettings(("127.0.0.1",)),
    )
    refused = httpx.MockTransport(lambda request: httpx.Response(401, json={"error": {"message": "no"}}))
    async with listening(saying(OK)) as (got, receiver), served(settings, fake=False, transport=refused) as gateway:

        async def admin(method, path, **options):
            headers = {"Authorization": "Bearer owner-token"}
            return await gateway.client.request(method, f"admin/api/webhooks{path}", headers=headers, **options)

        made = (await admin("POST", "", json={"url": receiver})).json()
        following = asyncio.create_task(gateway.app.follow())
        assert (await admin("POST", f"/{made['id']}/test")).json()["state"] == "delivered"
        statuses = [(await gateway.ask()).status_code for _ in range(3)]
        assert set(statuses) <= {401, 429, 502, 503}
        wanted = {"webhook.test", "request.failed", "key.retired"}
        for _ in range(100):
            types = {json.loads(body)["type"] for _, body in got}
            if wanted <= types:
                break
            await asyncio.sleep(0.1)
        assert wanted <= types
        for headers, body in got:
            assert Webhook(made["secret"]).verify(body, headers)["type"] in {*EVENTS, "webhook.test"}
        listed = (await admin("GET", "")).json()["webhooks"]
        assert listed == [{name: value for name, value in made.items() if name != "secret"}]
        for _ in range(100):  # what has arrived is written down a moment later
            lines = (await admin("GET", f"/{made['id']}")).json()["deliveries"]
            if {line["state"] for line in lines} == {"delivered"}:
                break
            await asyncio.sleep(0.1)
        assert {line["state"] for line in lines} == {"delivered"}
        retried = await admin("POST", f"/{made['id']}/deliveries/{lines[0]['id']}/retry")
        assert retried.json()["status"] == 204
        assert (await admin("DELETE", f"/{made['id']}")).json() == {"deleted": made["id"]}
        assert (await admin("POST", f"/{made['id']}/test")).status_code == 404
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        changes = (await gateway.get("admin/api/changes", "owner-token")).json()["changes"]
        assert [line["kind"] for line in changes[:2]] == ["webhook", "webhook"]
        assert changes[1]["after"]["url"].endswith("/…")


async def test_settings_of_webhooks_are_read():
    assert read_settings('[webhooks]\nallow_hosts = ["10.0.0.0/8"]', {}).webhooks.allow_hosts == ("10.0.0.0/8",)


async def test_the_receiver_of_the_docs_passes_events_on(programs):
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.S)[1]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with listening(saying(OK)) as (got, chat):
        code = code.replace("9000", str(port)).replace("https://chat.example.org/hook", chat)
        environment = {"PATH": os.environ["PATH"], "RSQL_WEBHOOK_SECRET": SECRET}
        receiver = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            body = json.dumps({"type": "key.retired", "data": {"key": "groq-1"}})
            for _ in range(100):
                sent = await send(f"http://127.0.0.1:{port}/", body=body)
                if sent.status:
                    break
                await asyncio.sleep(0.1)
            forged = await WebhookSender().send(
                f"http://127.0.0.1:{port}/",
                "whsec_" + "b3RoZXIx" * 5,
                "m",
                body,
                now=time.time(),
                allowed=["127.0.0.1"],
            )
        finally:
            receiver.kill()
            await receiver.wait()
    assert (sent, forged.status) == (Sent(204), None)
    assert [json.loads(text)["text"] for _, text in got] == ["key.retired: {'key': 'groq-1'}"]
