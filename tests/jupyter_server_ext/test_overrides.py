"""Limits that an administrator reads and changes while the gateway runs, and what a restart remembers of use."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from jupyter_server_ext.config import (
    CallerLimits,
    KeySettings,
    Limit,
    Secret,
    Settings,
    StorageSettings,
    TenantSettings,
    load_settings,
)
from jupyter_server_ext.config.toml_file import PROFILES, read_settings
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import WITHOUT_ANCHOR, Instance, opened
from jupyter_server_ext.messages import Entry, TokenUsage

ADMIN = "owner-token"


def provider(request):
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return httpx.Response(200, json={"id": "c1", "object": "chat.completion", "choices": [choice], "usage": usage})


@pytest.fixture
def gateway(served, url):
    def serving(ledger=url, **options):
        key = options.pop("key", KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1"))
        stored = StorageSettings(ledger=ledger, instance=options.pop("instance", "one"))
        settings = Settings(default_model="m", keys=(key,), storage=stored, **options)
        return served(settings, fake=False, transport=httpx.MockTransport(provider))

    return serving


async def limits(gateway, change=None, method="PATCH"):
    headers = {"Authorization": f"Bearer {ADMIN}"}
    if change is None and method == "PATCH":
        return await gateway.client.get("admin/api/limits", headers=headers)
    return await gateway.client.request(method, "admin/api/limits", headers=headers, json=change)


async def statuses(gateway, number, **options):
    return [(await gateway.ask(**options)).status_code for _ in range(number)]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_is_decided_at_one_gateway_holds_at_the_others_too(gateway):
    own = CallerLimits(requests_per_minute=1)
    async with gateway(caller=own) as here, gateway(caller=own, instance="two") as there:
        following = asyncio.create_task(there.app.runtime.follow(0.01))
        await limits(here, {"caller": {"requests_per_minute": 3}})
        await limits(there, {"tenant": {"requests_per_day": 4}})
        told = (await limits(there)).json()
        assert told["limits"]["caller"]["requests_per_minute"] == 3, "known before something else is decided"
        await limits(here, {"caller": {"requests_per_minute": 5}})
        async with asyncio.timeout(5):
            while (await limits(there)).json()["limits"]["caller"]["requests_per_minute"] != 5:
                await asyncio.sleep(0.01)
        assert (await limits(there)).json()["limits"]["tenant"]["requests_per_day"] == 4
        assert await statuses(there, 5) == [200, 200, 200, 200, 429]
        following.cancel()


@pytest.mark.parametrize("change", [{"requests_per_day": 10**30}, {"usd_per_day": 1e300}])
@pytest.mark.asyncio
async def test_limits_that_cannot_be_counted_are_refused(gateway, change):
    async with gateway() as running:
        refused = await limits(running, {"caller": change})
        assert refused.status_code == 400
        assert "null is no limit" in refused.json()["error"]["message"]
        assert await statuses(running, 1) == [200]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
@pytest.mark.asyncio
async def test_limits_are_read_changed_and_remembered(gateway, method):
    async with gateway(caller=CallerLimits(requests_per_day=500)) as running:
        told = (await limits(running)).json()
        assert told["limits"]["caller"]["requests_per_day"] == 500
        assert told["limits"]["everyone"]["concurrency"] == 100
        assert (told["decided"], told["lasts"]) == ({}, True)
        await running.ask()
        change = {"caller": {"requests_per_minute": 2}, "callers": {"bob": {"requests_per_minute": 1}}}
        told = (await limits(running, change, method)).json()
        assert told["decided"] == change
        assert told["limits"]["caller"]["requests_per_minute"] == 2
        assert told["limits"]["caller"]["requests_per_day"] == 500, "what was not named stays"
        assert await statuses(running, 2) == [200, 429], "what was used before counts"
        assert await statuses(running, 2, token="bob-token") == [200, 429]
        assert (await running.get("stats")).json()["limits"]["minute"] == {"current": 2, "limit": 2, "remaining": 0}
    async with gateway(caller=CallerLimits(requests_per_day=500)) as running:
        assert (await limits(running)).json()["limits"]["callers"]["bob"]["requests_per_minute"] == 1
        assert (await limits(running, {"caller": {"requests_per_minute": None}})).status_code == 200
        assert await statuses(running, 1) == [200]
        told = (await limits(running, method="DELETE")).json()
        assert told["decided"] == {}
        assert told["limits"]["callers"] == {}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_decision_about_money_and_places_counts_at_once(gateway):
    async with gateway() as running:
        await running.ask()
        await limits(running, {"caller": {"usd_per_day": 0.000001}, "everyone": {"concurrency": 0}})
        refused = await running.ask()
        assert refused.status_code == 429
        await limits(running, {"everyone": {"concurrency": 5}})
        refused = await running.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        await limits(running, {"caller": {"usd_per_day": None}})
        assert await statuses(running, 1) == [200]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"caller": {"requests_per_minute": -1}}, "caller.requests_per_minute"),
        ({"caller": {"requests_per_minute": 1.5}}, "caller.requests_per_minute"),
        ({"caller": {"requests_per_minute": True}}, "caller.requests_per_minute"),
        ({"caller": {"usd_per_day": "5"}}, "caller.usd_per_day"),
        ({"caller": {"requests_per_second": 1}}, "caller.requests_per_second"),
        ({"tenants": {"a": 5}}, "tenants.a"),
        ({"tenants": {"stat101": {"requests_per_day": 5}}}, "tenants.stat101"),
        ({"nobody": {}}, "nobody"),
    ],
)
@pytest.mark.asyncio
async def test_a_wrong_change_is_named_and_changes_nothing(gateway, change, param):
    async with gateway() as running:
        reply = await limits(running, {"caller": {"requests_per_hour": 7}} | change)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
        assert (await limits(running)).json()["decided"] == {}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_an_unknown_group_is_refused_with_those_there_are(gateway):
    async with gateway(tenants=(TenantSettings("lab"),)) as running:
        wrong = {"tenants": {"stat101": {"requests_per_day": 5}}}
        reply = await limits(running, wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "unknown_group")
        assert "There are: lab, stats101." in reply.json()["error"]["message"]
        for name in ("lab", "stats101", "ci"):
            if name == "ci":
                made = {"owner": "robot", "name": "k", "tenant": "ci"}
                await running.client.post("admin/api/api-keys", json=made, headers={"Authorization": f"Bearer {ADMIN}"})
            assert (await limits(running, {"tenants": {name: {"requests_per_day": 5}}})).status_code == 200


@pytest.mark.asyncio
async def test_without_a_ledger_decisions_last_as_long_as_the_process(gateway):
    async with gateway("memory://") as running:
        told = (await limits(running, {"caller": {"requests_per_minute": 0}})).json()
        assert told["lasts"] is False
        assert await statuses(running, 1) == [429]


@pytest.mark.asyncio
async def test_only_administrators_may(gateway):
    async with gateway() as running:
        for path in ("limits", "export", "requests/r1"):
            assert (await running.get(f"admin/api/{path}")).status_code == 403


# What a restart remembers


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_callers_and_keys_used_counts_after_a_restart(gateway):
    key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", limits=(Limit(9, "requests", 60.0),))
    options = {"caller": CallerLimits(requests_per_minute=3), "key": key}
    async with gateway(**options) as running:
        assert await statuses(running, 2) == [200, 200]
        before = (await running.get("stats")).json()
    async with gateway(**options) as running:
        after = (await running.get("stats")).json()
        assert after["limits"] == before["limits"]
        assert after["tokens"] == before["tokens"]
        (told,) = (await running.get("admin/api/keys", ADMIN)).json()["keys"]
        assert told["limits"][0]["used"] == 2
        assert await statuses(running, 2) == [200, 429]
        await running.client.post("admin/reset-daily-limits", headers={"Authorization": f"Bearer {ADMIN}"})
        assert (await running.get("stats")).json()["limits"]["day"]["current"] == 0
    async with gateway(**options) as running:
        told = (await running.get("stats")).json()["limits"]
        assert (told["minute"]["current"], told["day"]["current"]) == (3, 0), "a reset is remembered"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_request_that_a_crash_broke_off_counts_as_what_it_reserved(gateway, url):
    with opened(url, instance="one") as store:
        import time

        usage = TokenUsage(100, 900, estimated=True)
        store.begin([Entry("r1", time.time(), "ada", "stats101", usage=usage, cost_nanodollars=5_000, key="sim-1")])
    async with gateway(caller=CallerLimits(usd_per_day=1.0)) as running:
        stats = (await running.get("stats")).json()
        assert stats["limits"]["minute"]["current"] == 1
        assert stats["tokens"]["minute"]["current"] == 1000
        assert stats["cost"]["today"] == 5_000 / 1e9
        (entry,) = (await running.get("admin/api/requests/r1", ADMIN)).json()["entries"]
        assert (entry["status"], entry["error"]) == (0, "gateway_stopped")


def test_gateways_beside_each_other_have_names_of_their_own(tmp_path):
    one, two = Instance(tmp_path, "host"), Instance(tmp_path, "host")
    assert (one.name, two.name) == ("host-1", "host-2")
    one.close()
    again = Instance(tmp_path, "host")
    assert again.name == "host-1", "who comes next closes what was left open"
    two.close()
    again.close()


# Profiles


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_read_and_the_file_goes_before_it(name):
    settings = read_settings(f'profile = "{name}"\n[limits.caller]\nrequests_per_minute = 77\n', {})
    assert settings.caller.requests_per_minute == 77
    assert load_settings(None, {"RSQL_PROFILE": name}).pool == settings.pool


def test_the_profile_for_production_limits_and_caches():
    settings = load_settings(None, {"RSQL_PROFILE": "production"})
    own = settings.caller
    assert (own.requests_per_minute, own.requests_per_hour, own.requests_per_day) == (10, 100, 500)
    assert (own.usd_per_day, settings.everyone.usd_per_day) == (5.0, 100.0)
    assert settings.cache.enabled
    assert not load_settings(None, {"RSQL_PROFILE": "development"}).cache.enabled
    assert load_settings(None, {"RSQL_PROFILE": "testing", "GROQ_API_KEY": "gsk"}).keys[0].provider == "offline"


@pytest.mark.parametrize(("text", "environment"), [('\nprofile = "prod"', {}), ("", {"RSQL_PROFILE": "prod"})])
def test_a_profile_that_is_not_there_is_refused(text, environment):
    with pytest.raises(ConfigError, match=r"(line 2: .profile.|^RSQL_PROFILE) must be one of: development"):
        read_settings(text, environment)


# Exports


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.asyncio
async def test_the_ledger_as_a_file(gateway, form, tmp_path):
    import duckdb

    async with gateway() as running:
        await running.ask(headers={"X-RSQL-Task": "sql_ai"})
        await running.ask(token="bob-token")
        reply = await running.get(f"admin/api/export?format={form}", ADMIN)
        assert (await running.get(f"admin/api/export?format={form}&since=9998-01-01", ADMIN)).status_code == 200
        assert (await running.get("admin/api/export?format=xml", ADMIN)).json()["error"]["param"] == "format"
        assert (await running.get("admin/api/export?since=x", ADMIN)).json()["error"]["param"] == "since"
        verified = await running.client.post("admin/api/ledger/verify", headers={"Authorization": f"Bearer {ADMIN}"})
        assert verified.json() == {"status": "ok", "problems": [], "notes": [WITHOUT_ANCHOR]}
    file = tmp_path / f"out.{form}"
    file.write_bytes(reply.content)
    with duckdb.connect() as db:
        query = f"SELECT caller, task, prompt_tokens, status, first_token_seconds IS NOT NULL, error FROM '{file}'"
        rows = [tuple(x or "" if n == 5 else x for n, x in enumerate(row)) for row in db.execute(query).fetchall()]
    assert rows == [("ada", "sql_ai", 10, 200, True, ""), ("bob", "other", 10, 200, True, "")]
    assert json.dumps(reply.headers["content-disposition"]).count(f"rsql-entries.{form}") == 1


# Two hundred at once


@pytest.mark.parametrize(
    ("limit", "passed"),
    [
        (CallerLimits(requests_per_minute=10), 10),
        (CallerLimits(requests_per_hour=60), 60),
        (CallerLimits(requests_per_day=500), 200),
        (CallerLimits(requests_per_minute=0), 0),
    ],
)
@pytest.mark.asyncio
async def test_of_two_hundred_at_once_exactly_the_limit_passes(simulation, gateway, url, limit, passed):
    async with gateway(caller=limit) as running:
        replies = await asyncio.gather(*(running.ask() for _ in range(200)))
        assert [reply.status_code for reply in replies].count(200) == passed
        for refused in (reply for reply in replies if reply.status_code != 200):
            assert refused.status_code == 429
            assert ("retry-after" in refused.headers) is (passed > 0), "0 allows none, whenever one comes back"
            assert "Your limit of" in refused.json()["error"]["message"]
        assert (await running.get("stats")).json()["limits"]["day"]["current"] == passed, "a refusal takes nothing"
    with opened(url, instance="reader") as store:
        assert len(store) == 200
