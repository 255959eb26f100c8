"""Tenants at run time: made, set within bounds, remembered, followed, told in the trail, and taken back."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from dataclasses import fields
from zoneinfo import ZoneInfo

import httpx
import pytest
from callers import PERSON, TEACHER
from ledger_entries import older_ledger

from jupyter_server_ext.config import CallerLimits, KeySettings, Secret, Settings, StorageSettings, TenantSettings
from jupyter_server_ext.config.settings import ApiKeySettings, ServerSettings
from jupyter_server_ext.config.toml_file import PROFILES, read_settings
from jupyter_server_ext.errors import ConfigError, NotPermitted
from jupyter_server_ext.ledger import Ledger, Thing, opened
from jupyter_server_ext.messages import Caller
from jupyter_server_ext.tenants import RuntimeSettings
from jupyter_server_ext.tenants.rules import bounded, check_bounds, overlaid
from jupyter_server_ext.tenants.runtime import ChangedSince

ADMIN = "owner-token"
PEOPLE = (
    ApiKeySettings("ada", Secret("ada-token"), "stats", PERSON),
    ApiKeySettings("tia", Secret("tia-token"), "stats", TEACHER),
    ApiKeySettings("eve", Secret("eve-token"), "law", TEACHER),
    ApiKeySettings("bob", Secret("bob-token"), scopes=PERSON),
)
FILE = TenantSettings("stats", models=("m", "n"), privacy_floor="stats", limits=CallerLimits(requests_per_day=100))


def provider(request):
    """Says what it was sent."""
    choice = {"index": 0, "message": {"role": "assistant", "content": request.read().decode()}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return httpx.Response(200, json={"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})


@pytest.fixture
def gateway(served, url):
    def serving(ledger=url, *, instance="one", **options):
        key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", models=("m", "n", "o"))
        options = {"tenants": (FILE,), "api_keys": PEOPLE} | options
        stored = StorageSettings(ledger=ledger, instance=instance)
        settings = Settings(default_model="m", keys=(key,), storage=stored, **options)
        return served(settings, fake=False, transport=httpx.MockTransport(provider))

    return serving


async def send(gateway, method, path, body=None, token=ADMIN):
    headers = {"Authorization": f"Bearer {token}"}
    return await gateway.client.request(method, path, headers=headers, json=body)


async def rules(gateway, name="stats", token=ADMIN):
    return (await send(gateway, "GET", f"admin/api/tenants/{name}", token=token)).json()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_tenant_is_made_by_hand_and_a_caller_is_in_it_at_once_and_after_a_restart(gateway):
    async with gateway() as running:
        made = await send(running, "POST", "admin/api/tenants", {"name": "choir", "system_prompt": "Sing."})
        assert (made.status_code, made.json()["sources"]) == (201, ["administrator"])
        again = await send(running, "POST", "admin/api/tenants", {"name": "choir"})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "tenant_exists")
        assert "Sing." not in (await running.ask(token="bob-token")).text
        member = {"caller": "bob", "instructor": True}
        assert (await send(running, "POST", "admin/api/tenants/choir/members", member)).status_code == 201
        assert "Sing." in (await running.ask(token="bob-token")).text
    async with gateway() as running:
        assert "Sing." in (await running.ask(token="bob-token")).text
        assert (await running.get("stats", "bob-token")).json()["tenant"] == "choir"
        changed = await send(running, "PATCH", "admin/api/tenants/choir", {"system_prompt": "Hum."}, "bob-token")
        assert changed.status_code == 200
        assert "Hum." in (await running.ask(token="bob-token")).text
        assert (await send(running, "DELETE", "admin/api/tenants/choir/members/bob")).status_code == 200
        assert "Hum." not in (await running.ask(token="bob-token")).text
        assert (await send(running, "GET", "admin/api/tenants/choir", token="bob-token")).status_code == 403


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_key_follows_its_owner_out_of_a_tenant_and_teaches_no_more(gateway):
    async with gateway() as running:
        await send(running, "POST", "admin/api/tenants", {"name": "choir", "system_prompt": "Sing."})
        await send(running, "POST", "admin/api/tenants/choir/members", {"caller": "bob", "instructor": True})
        key = (await send(running, "POST", "keys", {"name": "ci"}, "bob-token")).json()["key"]
        teaching = await send(running, "POST", "keys", {"name": "t", "scopes": ["chat", "instructor"]}, "bob-token")
        assert teaching.status_code == 403
        assert "Sing." in (await running.ask(token=key)).text
        assert (await send(running, "GET", "admin/api/tenants", token=key)).status_code == 403
        await send(running, "DELETE", "admin/api/tenants/choir/members/bob")
        assert "Sing." not in (await running.ask(token=key)).text


@pytest.mark.slow
@pytest.mark.asyncio
async def test_nobody_is_taken_out_of_a_group_by_being_put_into_another(gateway):
    async with gateway() as running:
        await send(running, "POST", "admin/api/tenants", {"name": "choir"})
        await send(running, "POST", "admin/api/tenants/choir/members", {"caller": "ada", "instructor": True})
        assert (await running.get("stats")).json()["tenant"] == "stats"
        assert (await send(running, "GET", "admin/api/tenants", token="ada-token")).status_code == 403
        twice = await send(running, "POST", "admin/api/tenants/law/members", {"caller": "ada"})
        assert "Take it out of there first" in twice.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_an_instructor_sets_the_own_group_within_what_is_granted(gateway):
    async with gateway() as running:
        path = "admin/api/tenants/stats"
        good = {
            "system_prompt": "Hints.",
            "models": ["m"],
            "limits": {"requests_per_day": 50},
            "privacy_floor": "names",
        }
        assert (await send(running, "PATCH", path, good, "tia-token")).status_code == 200
        told = await rules(running, token="tia-token")
        assert (told["rules"]["models"], told["rules"]["limits"]["requests_per_day"]) == (["m"], 50)
        assert (told["decided"], told["by_instructors"], told["sources"]) == ({}, good, ["file", "instructor"])
        assert "Hints." in (await running.ask()).text
        assert (await running.ask({"messages": [{"role": "user", "content": "?"}], "model": "n"})).status_code == 404
        for beyond in (
            {"weight": 5},
            {"keep_prompts": True},
            {"models": ["m", "o"]},
            {"limits": {"requests_per_day": 101}},
            {"privacy_floor": "sample"},
            {"privacy_floor": ""},
        ):
            refused = await send(running, "PATCH", path, beyond, "tia-token")
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_permitted"), beyond
        assert await rules(running) == told
        # What administrators grant later bounds what was set before.
        await send(running, "PATCH", path, {"limits": {"requests_per_day": 20}, "models": ["n"]})
        told = (await rules(running))["rules"]
        assert (told["limits"]["requests_per_day"], told["models"]) == (20, ["n"])
        assert (await send(running, "DELETE", path, token="tia-token")).json()["by_instructors"] == {}
        assert (await rules(running))["rules"]["limits"]["requests_per_day"] == 20
        assert (await rules(running))["rules"]["privacy_floor"] == "stats"


@pytest.mark.slow
def test_whatever_an_instructor_asks_for_the_tenant_gets_no_more_than_granted():
    """Generated rules: nothing that bounds lets more through, and what was checked is in force as it was sent."""
    draw = random.Random(19)
    amounts, models, floors = [None, 0, 1, 5, 50], ["a", "b", "c"], ["names", "stats", "sample", ""]

    def limits():
        return {field.name: draw.choice(amounts) for field in fields(CallerLimits) if draw.random() < 0.5}

    for _ in range(3_000):
        default = CallerLimits(**limits())
        base = TenantSettings(
            "lab",
            models=tuple(draw.sample(models, draw.randint(0, 2))),
            privacy_floor=draw.choice(floors),
            cache=draw.choice([None, True, False]),
            limits=CallerLimits(**limits()),
        )
        own = {
            "models": draw.sample(models, draw.randint(0, 3)),
            "privacy_floor": draw.choice(floors),
            "cache": draw.choice([True, False]),
            "limits": limits(),
        }
        own = {name: value for name, value in own.items() if draw.random() < 0.7}
        got = bounded(base, own | {"weight": 99.0, "keep_prompts": True}, default)
        assert (got.weight, got.keep_prompts) == (base.weight, base.keep_prompts)
        assert not base.models or (got.models and set(got.models) <= set(base.models))
        assert floors.index(got.privacy_floor) <= floors.index(base.privacy_floor)
        assert got.cache is False or base.cache is not False
        for field in fields(CallerLimits):
            granted = getattr(base.limits, field.name)
            most = getattr(default, field.name) if granted is None else granted
            now = getattr(got.limits, field.name)
            assert most is None or (now is not None and now <= most), field.name
        try:
            check_bounds(base, own, default)
        except NotPermitted:
            continue
        wanted = overlaid(base, own)
        assert (got.models or base.models) == (wanted.models or base.models)
        assert got.privacy_floor == wanted.privacy_floor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"name": "law"}, "name"),
        ({"weight": 0}, None),
        ({"weight": "2"}, None),
        ({"models": "m"}, None),
        ({"models": [""]}, "models"),
        ({"models": ["a\x00b"]}, "models"),
        ({"system_prompt": "x" * 8_001}, "system_prompt"),
        ({"privacy_floor": "all"}, None),
        ({"limits": {"requests_per_second": 1}}, "limits.requests_per_second"),
        ({"limits": {"requests_per_day": -1}}, "limits.requests_per_day"),
        ({"limits": 5}, "limits"),
        ({"system_prompt": "${HOME}"}, None),
    ],
)
@pytest.mark.asyncio
async def test_wrong_rules_are_named_and_change_nothing(gateway, body, param):
    async with gateway() as running:
        before = await rules(running)
        for token in (ADMIN, "tia-token"):
            reply = await send(running, "PATCH", "admin/api/tenants/stats", body, token)
            assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
        assert await rules(running) == before


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_change_is_in_the_trail_and_is_taken_back_once_while_nothing_came_after(gateway):
    async with gateway() as running:
        path = "admin/api/tenants/stats"
        await send(running, "PATCH", path, {"weight": 3})
        await send(running, "PATCH", path, {"system_prompt": "Hints."}, "tia-token")
        changes = (await send(running, "GET", "admin/api/changes")).json()["changes"]
        assert [(one["kind"], one["caller"], one["before"], one["after"]) for one in changes] == [
            ("course", "tia", None, {"system_prompt": "Hints."}),
            ("tenant", "owner", None, {"weight": 3}),
        ]
        own, admins = changes
        assert (
            await send(running, "POST", f"admin/api/changes/{admins['id']}/undo", token="tia-token")
        ).status_code == 404
        assert (
            await send(running, "POST", f"admin/api/changes/{own['id']}/undo", token="eve-token")
        ).status_code == 404
        assert (
            await send(running, "POST", f"admin/api/changes/{own['id']}/undo", token="tia-token")
        ).status_code == 200
        assert (await rules(running))["by_instructors"] == {}
        again = await send(running, "POST", f"admin/api/changes/{own['id']}/undo", token="tia-token")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "changed_since")
        await send(running, "PATCH", path, {"weight": 4})
        assert (await send(running, "POST", f"admin/api/changes/{admins['id']}/undo")).status_code == 409
        latest = (await send(running, "GET", "admin/api/changes?limit=1")).json()["changes"][0]
        await send(running, "POST", f"admin/api/changes/{latest['id']}/undo")
        assert (await rules(running))["rules"]["weight"] == 3
        newest = (await send(running, "GET", "admin/api/changes?limit=1")).json()["changes"][0]
        assert (newest["undoes"], newest["caller"]) == (latest["id"], "owner")
        for query in ("limit=0", "limit=-1", "limit=x", "limit=1001", "before=-1"):
            assert (await send(running, "GET", f"admin/api/changes?{query}")).status_code == 400


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_tenant_that_was_taken_away_comes_back_whole_by_one_undo(gateway):
    async with gateway() as running:
        await send(running, "POST", "admin/api/tenants", {"name": "choir", "system_prompt": "Sing."})
        for name in ("bob", "zoe"):
            await send(running, "POST", "admin/api/tenants/choir/members", {"caller": name})
        before = await rules(running, "choir")
        await send(running, "DELETE", "admin/api/tenants/choir")
        assert "Sing." not in (await running.ask(token="bob-token")).text
        assert (await send(running, "GET", "admin/api/tenants/choir")).status_code == 404
        change = (await send(running, "GET", "admin/api/changes?limit=1")).json()["changes"][0]["id"]
        assert (await send(running, "POST", f"admin/api/changes/{change}/undo")).status_code == 200
        assert await rules(running, "choir") == before
        assert "Sing." in (await running.ask(token="bob-token")).text


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_is_changed_at_one_gateway_holds_at_the_others(gateway):
    async with gateway() as here, gateway(instance="two") as there:
        following = asyncio.create_task(there.app.runtime.follow(0.01))
        await send(here, "PATCH", "admin/api/tenants/stats", {"system_prompt": "Hints."}, "tia-token")
        async with asyncio.timeout(5):
            while "Hints." not in (await there.ask()).text:
                await asyncio.sleep(0.01)
        change = (await send(there, "GET", "admin/api/changes")).json()["changes"][0]["id"]
        assert (await send(there, "POST", f"admin/api/changes/{change}/undo")).status_code == 200
        await here.app.runtime.catch_up()
        assert "Hints." not in (await here.ask()).text
        following.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["memory://", None])
@pytest.mark.asyncio
async def test_a_budget_that_is_set_while_it_runs_holds_also_where_money_was_not_counted(gateway, url, ledger):
    async with gateway(ledger or url) as running:
        assert (await running.ask()).status_code == 200
        await send(running, "PATCH", "admin/api/tenants/stats", {"limits": {"usd_per_day": 0}})
        refused = await running.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        assert (await running.ask(token="bob-token")).status_code == 200
        await send(running, "PATCH", "admin/api/tenants/stats", {"limits": {"usd_per_day": None}})
        assert (await running.ask()).status_code == 200


@pytest.mark.slow
@pytest.mark.asyncio
async def test_two_gateways_that_change_one_tenant_lose_neither_change(url):
    """The second sees what the first decided, though nobody told it."""
    with opened(url, instance="one") as one, opened(url, instance="two") as two:
        here, there = (RuntimeSettings(Settings(), Ledger(store)) for store in (one, two))
        lab = Thing("tenant", "lab")
        for number, runtime in enumerate((here, there) * 5):
            await runtime.change(
                lambda state, n=number: {
                    lab: {**state.get(lab, {}), "models": [*state.get(lab, {}).get("models", []), f"m{n}"]}
                },
                "x",
            )
        assert there.rules_of("lab").models == tuple(f"m{number}" for number in range(10))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_forgotten_caller_is_in_no_change_and_in_no_tenant(gateway, url):
    async with gateway() as running:
        await send(running, "POST", "admin/api/tenants", {"name": "choir"})
        await send(running, "POST", "admin/api/tenants/choir/members", {"caller": "zoe"})
        await send(running, "PATCH", "admin/api/limits", {"callers": {"zoe": {"requests_per_day": 1}}})
        assert (await send(running, "DELETE", "admin/api/users/zoe")).status_code == 200
        for path in ("admin/api/changes", "admin/api/limits", "admin/api/tenants/choir/members"):
            assert "zoe" not in (await send(running, "GET", path)).text
    with opened(url, instance="reader") as store:
        assert "zoe" not in str(store.changes.read())


@pytest.mark.slow
@pytest.mark.asyncio
async def test_an_instructor_sees_the_use_of_the_own_group_only(gateway):
    async with gateway() as running:
        for token in ("ada-token", "eve-token", "bob-token"):
            await running.ask(token=token)
        assert [row["caller"] for row in (await running.get("admin/api/usage", "tia-token")).json()["usage"]] == ["ada"]
        assert [row["caller"] for row in (await running.get("admin/api/usage", "eve-token")).json()["usage"]] == ["eve"]
        assert len((await running.get("admin/api/usage", ADMIN)).json()["usage"]) == 3
        assert (await running.get("admin/api/usage", "ada-token")).status_code == 403


@pytest.mark.slow
def test_limits_that_an_older_version_decided_are_the_first_lines_of_the_trail(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    older_ledger(url, "0006", [], "one", ZoneInfo("UTC"))
    decided = {"caller": {"requests_per_minute": 2}, "tenants": {"stats": {"usd_per_day": 1}}, "callers": {"ada": {}}}
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("INSERT INTO decisions VALUES ('limits', ?, 5.0, 'owner')", [json.dumps(decided)])
    db.close()
    with opened(url, instance="one") as store:
        runtime = RuntimeSettings(Settings(), Ledger(store))
        runtime.recall()
        assert runtime.settings.caller.requests_per_minute == 2
        assert runtime.rules_of("stats").limits.usd_per_day == 1
        assert store.decided("limits") == ""


def test_a_caller_is_placed_by_name_where_it_has_no_other_tenant():
    runtime = RuntimeSettings(Settings(), Ledger(None))
    asyncio.run(runtime.change(lambda _: {Thing("member", "ada"): {"tenant": "lab", "instructor": True}}, "owner"))
    placed = runtime.placed(Caller("ada"))
    assert (placed.tenant, placed.scopes, placed.as_known) == (
        "lab",
        {"chat", "documents:write", "instructor"},
        Caller("ada"),
    )
    assert runtime.placed(Caller("ada", "law")).tenant == "law"
    assert "instructor" not in runtime.placed(Caller("ada", key="k1")).scopes
    assert runtime.placed(Caller("bob")) == Caller("bob")


@pytest.mark.slow
@pytest.mark.asyncio
async def test_instructors_of_one_group_fill_no_trail(gateway, monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.tenants.tenants._MOST_A_DAY", 5)
    async with gateway() as running:
        path = "admin/api/tenants/stats"
        sent = [await send(running, "PATCH", path, {"system_prompt": f"{n}"}, "tia-token") for n in range(7)]
        assert [reply.status_code for reply in sent] == [200] * 5 + [429] * 2
        change = (await send(running, "GET", "admin/api/changes?limit=1")).json()["changes"][0]["id"]
        assert (await send(running, "POST", f"admin/api/changes/{change}/undo", token="tia-token")).status_code == 429
        assert (await send(running, "DELETE", path, token="tia-token")).status_code == 429
        assert (await send(running, "PATCH", path, {"weight": 2})).status_code == 200
        other = await send(running, "PATCH", "admin/api/tenants/law", {"system_prompt": "x"}, "eve-token")
        assert other.status_code == 200


# Routes


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_route_has_limits_of_its_own_for_each_caller(gateway):
    routes = (("search", CallerLimits(requests_per_minute=2)),)
    async with gateway(routes=routes) as running:

        async def statuses(token, times, path="search"):
            body = {"query": "x"}
            return [(await send(running, "POST", path, body, token)).status_code for _ in range(times)]

        assert await statuses("ada-token", 3) == [200, 200, 429]
        assert await statuses("bob-token", 1) == [200]
        refused = await send(running, "POST", "search", {"query": "x"}, "ada-token")
        assert refused.json()["error"]["code"] == "route_limit_exceeded"
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert (await running.ask()).status_code == 200, "other routes are not concerned"
        await send(running, "PATCH", "admin/api/limits", {"routes": {"search": {"requests_per_minute": 3}}})
        assert await statuses("ada-token", 2) == [200, 429]
        wrong = await send(running, "PATCH", "admin/api/limits", {"routes": {"serach": {"requests_per_minute": 3}}})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "routes.serach")
        money = await send(running, "PATCH", "admin/api/limits", {"routes": {"search": {"usd_per_day": 3}}})
        assert money.status_code == 400


@pytest.mark.asyncio
async def test_a_route_of_the_file_that_is_none_is_refused_at_the_start(served):
    with pytest.raises(ConfigError, match="no route 'serach'"):
        async with served(Settings(routes=(("serach", CallerLimits()),))):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.asyncio
async def test_every_profile_limits_routes_that_there_are(served, profile, tmp_path):
    text = f'profile = "{profile}"\n[storage]\nledger = "sqlite:///{tmp_path}/ledger.db"'
    async with served(read_settings(text, {})) as running:
        statuses = [(await send(running, "POST", "search", {"query": "x"}, "ada-token")).status_code for _ in range(61)]
        assert statuses == [200] * 60 + [429 if profile == "production" else 200]


def test_limits_of_routes_and_origins_are_read_from_the_file():
    text = '[limits.routes."v1/embeddings"]\nrequests_per_minute = 5\n[server]\ncors_origins = ["https://a.org:8443"]'
    settings = read_settings(text, {})
    assert settings.routes == (("v1/embeddings", CallerLimits(requests_per_minute=5)),)
    assert settings.server.cors_origins == ("https://a.org:8443",)
    for wrong in ("*", "a.org", "https://a.org/", "https://a.org/x", "null", "https://"):
        with pytest.raises(ConfigError, match="must hold origins such as"):
            read_settings(f'[server]\ncors_origins = ["{wrong}"]', {})
    with pytest.raises(ConfigError, match="usd_per_day"):
        read_settings("[limits.routes.search]\nusd_per_day = 5", {})


# Pages of other origins


async def asked_from(gateway, origin, method="GET", path="stats", token="ada-token"):
    headers = {"Origin": origin} | ({"Authorization": f"Bearer {token}"} if token else {})
    return await gateway.client.request(method, path, headers=headers)


@pytest.mark.asyncio
async def test_pages_of_other_origins_are_shut_out_by_default(gateway):
    async with gateway() as running:
        for method, path in (("GET", "stats"), ("GET", "health"), ("OPTIONS", "v1/chat/completions")):
            reply = await asked_from(running, "https://app.example.org", method, path)
            assert not [name for name in reply.headers if name.startswith("access-control")]
        assert reply.status_code == 405


@pytest.mark.slow
@pytest.mark.asyncio
async def test_pages_of_configured_origins_may_ask_with_a_token_and_never_with_cookies(gateway):
    ours = "https://app.example.org"
    async with gateway(server=ServerSettings(cors_origins=(ours,))) as running:
        asked = await asked_from(running, ours, "OPTIONS", "v1/chat/completions", token="")
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == ours
        assert asked.headers["access-control-allow-methods"] == "POST"
        assert "Authorization" in asked.headers["access-control-allow-headers"]
        for token, status in (("ada-token", 200), ("wrong", 401)):
            reply = await asked_from(running, ours, token=token)
            assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (status, ours)
            assert reply.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in reply.headers
        for other in (
            "https://app.example.org.evil.net",
            "https://evil.net",
            "null",
            "http://app.example.org",
            ours + "/",
        ):
            for method in ("GET", "OPTIONS"):
                reply = await asked_from(running, other, method)
                assert "access-control-allow-origin" not in reply.headers


# Generated changes at two gateways


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.asyncio
async def test_after_any_changes_and_undos_both_gateways_have_what_a_plain_table_has(url, seed):
    """A table of things and a list of what each change did stand against the store; nothing is lost or made up."""
    draw = random.Random(seed)
    things = [Thing(kind, name) for kind in ("tenant", "course", "callers", "limits") for name in ("tenant", "caller")]
    table: dict[Thing, dict] = {}
    done: list[tuple[str, dict[Thing, tuple[dict, dict]]]] = []  # each change: its id, and before and after by thing
    with opened(url, instance="one") as one, opened(url, instance="two") as two:
        gateways = [RuntimeSettings(Settings(), Ledger(store)) for store in (one, two)]
        for _ in range(60):
            runtime = draw.choice(gateways)
            if done and draw.random() < 0.3:
                number, told = draw.choice(done)
                fits = all(table.get(thing, {}) == after for thing, (_, after) in told.items())
                try:
                    lines = await runtime.undo(number, "x")
                except ChangedSince:
                    assert not fits
                    continue
                assert fits
                told = {thing: (after, before) for thing, (before, after) in told.items()}
            else:
                wanted = {
                    thing: _generated_rules(draw, thing.kind) for thing in draw.sample(things, draw.randint(1, 3))
                }
                lines = await runtime.change(lambda _, w=wanted: w, "x")
                told = {t: (table.get(t, {}), rules) for t, rules in wanted.items() if table.get(t, {}) != rules}
                assert {line.thing for line in lines} == told.keys()
            table |= {thing: after for thing, (_, after) in told.items()}
            if lines:
                done.append((lines[0].id, told))
            for gateway in gateways:
                await gateway.catch_up()
                assert gateway.state == {thing: rules for thing, rules in table.items() if rules}
        again = RuntimeSettings(Settings(), Ledger(one))
        again.recall()
        assert again.settings == gateways[0].settings == gateways[1].settings
        assert len(await again.history(None, None, 1_000)) == sum(len(told) for _, told in done)


def _generated_rules(draw, kind):
    limits = {"requests_per_day": draw.choice([None, 0, 5])} if draw.random() < 0.7 else {}
    if kind in {"callers", "limits"}:
        return limits
    rules = {"models": draw.sample(["m", "n"], 1), "limits": limits, "system_prompt": draw.choice(["a", "b"])}
    return {name: value for name, value in rules.items() if value and draw.random() < 0.7}
