"""What the console stands on: pages and files, what is wrong now, keys and limits at run time, origins of settings."""

from __future__ import annotations

import asyncio
import json
import random
import re
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from paid_provider import COST, KEYS, PRICES, body, whole

from jupyter_server_ext.config import (
    PERSON,
    CallerLimits,
    KeySettings,
    Secret,
    Settings,
    StorageSettings,
    TenantSettings,
    effective,
    load_settings,
)
from jupyter_server_ext.config.settings import PoolSettings
from jupyter_server_ext.handlers import console
from jupyter_server_ext.handlers.overview import explained, findings
from jupyter_server_ext.keys.headroom import Headroom
from jupyter_server_ext.ledger import SqlAnalytics
from jupyter_server_ext.pipeline import Budgets

ADMIN = "owner-token"
BOX = Secret(Fernet.generate_key().decode())
CHARTS = ("uPlot.iife.min.js", "uPlot.min.css")
HTML = {"Accept": "text/html"}


def provider(request):
    if request.headers["authorization"] == "Bearer dead":
        return httpx.Response(401, json={"error": {"message": "no", "code": "invalid_api_key"}})
    return whole("Forty-two.") if request.method == "POST" else httpx.Response(200, json={"data": []})


@pytest.fixture
def keeping(served, url):
    """``async with keeping() as gateway``: one with a ledger, over a provider that is simulated."""

    def serving(**options):
        instance, boxes = options.pop("instance", "one"), options.pop("prompt_keys", (BOX,))
        storage = StorageSettings(ledger=url, instance=instance, prompt_keys=boxes)
        known = {"prices": PRICES, "storage": storage, "keys": KEYS, "default_model": "m"}
        return served(Settings(**(known | options)), fake=False, transport=httpx.MockTransport(provider))

    return serving


async def send(gateway, method, path, sent=None, token=ADMIN):
    headers = {"Authorization": f"Bearer {token}"}
    return await gateway.client.request(method, path, headers=headers, json=sent)


async def keys_of(gateway):
    return {row["key"]: row for row in (await gateway.get("admin/api/keys", ADMIN)).json()["keys"]}


# Pages and files ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["", "admin"])
async def test_a_page_holds_no_data_and_only_scripts_of_files_run(served, path):
    async with served() as gateway:
        page = await gateway.client.get(path, headers=HTML)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert policy["require-trusted-types-for"] == "'script'"
        scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.text, re.S)
        assert scripts
        assert all("src=" in attributes and not text for attributes, text in scripts)
        assert not re.search(r"<style|style=|\son\w+=|javascript:", page.text)
        for address in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
            file = await gateway.client.get(address.removeprefix("/rsql/"))
            assert file.status_code == 200, address
            assert "immutable" in file.headers["cache-control"]
        told = await gateway.client.get(path, headers={**HTML, "Authorization": "Bearer wrong"})
        assert told.text.replace('"rsql-session" content="command"', '"rsql-session" content=""') == page.text


@pytest.mark.asyncio
async def test_files_are_those_of_the_console_only_and_small(served):
    async with served() as gateway:
        page = await gateway.client.get("admin", headers=HTML)
        version = re.search(r"assets/(\w+)/", page.text)[1]
        for name in ("../handlers/console.py", "..%2F..%2Fpyproject.toml", "vendor/LICENSE.uPlot.txt", "", "app.py"):
            assert (await gateway.client.get(f"assets/{version}/{name}")).status_code == 404, name
        stale = await gateway.client.get("assets/0/app.js")
        assert "no-store" in stale.headers["cache-control"], "of another version it is asked for again"
        names = [*re.findall(rf'assets/{version}/([^"]+)', page.text), "sections/overview.js", "vendor/uPlot.min.css"]
        loaded = {name: await gateway.client.get(f"assets/{version}/{name}") for name in names}
        assert sum(len(file.content) for file in loaded.values()) <= 150_000
        packed = {name for name, file in loaded.items() if file.headers.get("content-encoding") == "gzip"}
        assert packed == {name for name, file in loaded.items() if len(file.content) > 1_000}


def files_of(start):
    """A module of the console with all that it imports when it is loaded."""
    static, found, waiting = (Path(console.__file__).parents[1] / "static").resolve(), set(), [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            text = (static / name).read_text(encoding="utf-8")
            paths = re.findall(r'^(?:import|export) .*?from "([^"]+)";', text, re.M | re.S)
            waiting += [str((static / name).parent.joinpath(path).resolve().relative_to(static)) for path in paths]
    return {name: (static / name).stat().st_size for name in found}


SECTIONS = sorted(path.stem for path in (Path(console.__file__).parents[1] / "static/sections").glob("*.js"))


@pytest.mark.parametrize("section", SECTIONS)
def test_no_page_of_the_console_loads_more_than_150_kb(section):
    """Uncompressed, with the page, its style sheets and the charts' library: whichever section is opened first."""
    static = Path(console.__file__).parents[1] / "static"
    always = [static / name for name in ("console.css", "theme.js", "icon.svg", *map("vendor/{}".format, CHARTS))]
    page = Path(console.__file__).parent / "pages/console.html"
    beside = files_of("chart.js") | files_of("sections/overview.js")  # which the page asks for ahead
    loaded = files_of("app.js") | beside | files_of(f"sections/{section}.js")
    assert {"app.js", "dom.js", "api.js", "parts.js"} <= loaded.keys()
    assert sum(loaded.values()) + sum(path.stat().st_size for path in (page, *always)) <= 150_000


# What is wrong now ----------------------------------------------------------------------------------------------------


def key(name="k", state="ready", **more):
    return {"key": name, "state": state, "limits": [], **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"keys": [key()], "wait": 0.4, "checks": {"ledger": "ok"}, "lag": 0.2}, []),
        ({"keys": [key(), key("b", "cooling")]}, []),
        ({"keys": [key(state="retired", reason="credential"), key("b")]}, ["Key k: Its provider does not accept it"]),
        ({"keys": [key(state="paused")]}, ["No key can answer now."]),
        ({"keys": [key(state="exhausted", ready_in=40.0)]}, ["No key can answer now.", "Key k: One of its limits"]),
        ({"keys": [key(), key("b", "cooling", reason="connection")]}, ["Key b rests. Its provider cannot be reached."]),
        ({"wait": 30.0}, ["The next request waits about 30 s for a key."]),
        (
            {"checks": {"ledger": "unavailable", "keys": "ok"}},
            ["No request is answered, as none can be recorded"],
        ),
        ({"checks": {"ledger": "degraded"}}, ["The database of records is degraded."]),
        ({"ahead": 59.0}, []),
        ({"ahead": 7_300.0}, ["The clock stands 2 h before the latest record."]),
        ({"checks": {"state": "degraded"}}, ["Redis, where limits are counted, is degraded."]),
        (
            {"recent": {"requests": 100, "failure": 8, "timeout": 4}, "causes": ["a", "upstream_failed"] * 2 + ["a"]},
            ["12 of the last 100 requests failed. Most of them: a."],
        ),
        ({"recent": {"requests": 100, "failure": 3}}, []),
        ({"recent": {"requests": 4, "failure": 4}}, []),
        ({"recent": {"requests": 20, "refused": 9}}, ["9 of the last 20 requests were refused"]),
        ({"budgets": [("tenant:stats101", "day", 0.79), ("everyone", "month", 0.3)]}, []),
        ({"budgets": [("tenant:a:b", "day", 0.8)]}, ["The budget of course a:b for today is 80% spent."]),
        ({"budgets": [("everyone", "month", 1.2)]}, ["The budget of everyone together for this month is used up."]),
        ({"lag": 12.0}, ["Records wait for the database since 12 s."]),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(given, expected):
    found = findings(**given)
    assert len(found) == len(expected)
    assert all(one["what"].startswith(words) for one, words in zip(found, expected, strict=True))
    assert all(one["do"] for one in found)


def test_the_worst_stands_first_whatever_comes_together():
    draw = random.Random(7)
    states, reasons = ["ready", "cooling", "exhausted", "paused", "retired"], ["credential", "connection", "", "odd"]
    for _ in range(300):
        keys = [key(f"k{n}", draw.choice(states), reason=draw.choice(reasons)) for n in range(draw.randint(0, 6))]
        counts = {name: draw.randint(0, 40) for name in ("failure", "timeout", "refused")}
        found = findings(
            keys=keys,
            wait=draw.choice([None, 0.0, 99.0]),
            checks={"ledger": draw.choice(["ok", "degraded"])},
            recent={"requests": sum(counts.values()) + draw.randint(0, 200), **counts},
            budgets=[("everyone", "day", draw.random() * 1.3)],
        )
        assert [one["level"] for one in found] == sorted((one["level"] for one in found), key=["bad", "warn"].index)
        assert ("No key can answer now." in [one["what"] for one in found]) == (
            bool(keys) and all(one["state"] != "ready" for one in keys)
        )
        assert all(bool(explained(one)["why"]) == (one["state"] != "ready") for one in keys)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_overview_goes_on_as_events_until_the_listener_leaves(keeping):
    async with keeping() as gateway:
        await gateway.ask(body())
        once = (await gateway.get("admin/api/overview", ADMIN)).json()
        assert (once["recent"]["success"], once["today"]["requests"], once["findings"]) == (1, 1, [])
        assert once["keys"][0]["key"] == "sim-1"
        headers = {"Authorization": f"Bearer {ADMIN}", "Accept": "text/event-stream"}
        async with gateway.client.stream("GET", "admin/api/overview", headers=headers) as reply:
            assert reply.headers["content-type"] == "text/event-stream"
            lines = reply.aiter_lines()
            first = json.loads((await anext(lines)).removeprefix("data: "))
            assert first.keys() == once.keys()
            assert gateway.app.metrics.under_way == 1
        for _ in range(100):
            if not gateway.app.metrics.under_way:
                break
            await asyncio.sleep(0.05)
        assert gateway.app.metrics.under_way == 0, "nobody listens, and nothing is made"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_an_instructors_overview_is_of_the_own_course(keeping):
    limits = CallerLimits(usd_per_day=1.0)
    tenants = (TenantSettings("stats101", limits=limits), TenantSettings("other", limits=limits))
    async with keeping(tenants=tenants) as gateway:
        await gateway.ask(body())
        await gateway.ask(body(), token="bob-token")
        await send(gateway, "POST", "admin/api/tenants/stats101/members", {"caller": "carla", "instructor": True})
        made = await send(gateway, "POST", "admin/api/api-keys", {"owner": "carla", "name": "k", "tenant": "stats101",
                                                                   "scopes": ["chat", "instructor"]})  # fmt: skip
        seen = (await gateway.get("admin/api/overview", made.json()["key"])).json()
        assert (seen["today"]["requests"], seen["keys"]) == (1, [])
        assert [row["whose"] for row in seen["budgets"]] in ([], ["tenant:stats101"])
        assert (await gateway.get("admin/api/overview", ADMIN)).json()["today"]["requests"] == 2


def test_headroom_is_remembered_for_hours_and_of_so_many_limits():
    now = 1000.0
    headroom = Headroom(every=30.0, points=4, clock=lambda: now)
    limit = {"unit": "requests", "seconds": 60.0, "limit": 10}
    for used in range(8):
        headroom.look([key("a", limits=[limit | {"used": used}, {"unit": "tokens", "seconds": 60.0, "limit": 0}])])
        now += 30.0
    (row,) = headroom.report("a")
    assert [left for _, left in row["points"]] == [0.6, 0.5, 0.4, 0.3]
    now += 600.0
    headroom.look([key("b", limits=[limit | {"used": 20}])])
    assert [(row["key"], row["points"][-1][1]) for row in headroom.report()] == [("b", 0.0)], "gone keys are forgotten"
    headroom.look([key(f"c{n}", limits=[limit | {"used": 1, "model": f"m{n}"}]) for n in range(1000)])
    assert len(headroom.report()) == 400


@pytest.mark.asyncio
async def test_without_records_there_is_an_overview_of_what_is_known(served):
    async with served(Settings(default_model="offline"), fake=False) as gateway:
        seen = (await gateway.get("admin/api/overview", ADMIN)).json()
        assert (seen["recent"], seen["today"], seen["series"]) == (None, None, [])
        assert [row["key"] for row in seen["keys"]] == ["offline"]
        assert [row["what"] for row in seen["findings"]] == ["No records are kept, so there is no history."]
        assert (await gateway.get("admin/api/users/ada", ADMIN)).json()["tenant"] == ""
        assert (await send(gateway, "POST", "admin/api/users/ada/reset")).json()["complete"]


@pytest.mark.asyncio
async def test_events_end_when_the_gateway_does(keeping):
    async with keeping() as gateway:
        headers = {"Authorization": f"Bearer {ADMIN}", "Accept": "text/event-stream"}
        async with gateway.client.stream("GET", "admin/api/overview", headers=headers) as reply:
            lines = reply.aiter_lines()
            await anext(lines)
            gateway.application.settings["leaving"] = True
            async with asyncio.timeout(8):
                assert [line async for line in lines if line.startswith("data")] == []
        assert gateway.app.metrics.under_way == 0


# Keys at run time -----------------------------------------------------------------------------------------------------


NEW = {"provider": "sim", "key": "sk-new-0123456789", "base_url": "http://sim.invalid/v1", "rpm": 5}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_key_is_added_kept_encrypted_and_there_after_a_restart(keeping, url, caplog):
    async with keeping() as gateway:
        made = await send(gateway, "POST", "admin/api/keys", NEW)
        assert (made.status_code, made.json()) == (201, {"key": "sim-2", "lasts": True})
        row = (await keys_of(gateway))["sim-2"]
        assert (row["state"], row["added"], row["limits"][0]["limit"]) == ("ready", True, 5)
        assert (await send(gateway, "POST", "admin/api/keys/sim-2/check")).json()["ok"]
        gateway.app.gateway.reload(gateway.app.settings)
        assert "sim-2" in await keys_of(gateway), "reading the file again takes nothing away"
        await send(gateway, "POST", "admin/api/keys/sim-2/pause")
        trail = (await gateway.get("admin/api/changes", ADMIN)).text
    assert NEW["key"] not in trail + caplog.text
    assert "sealed" not in trail
    async with keeping() as gateway:
        assert (await keys_of(gateway))["sim-2"]["state"] == "paused"
        assert (await send(gateway, "POST", "admin/api/keys/sim-2/resume")).status_code == 200
        gone = await send(gateway, "DELETE", "admin/api/keys/sim-2")
        assert gone.json() == {"deleted": "sim-2"}
        assert "sim-2" not in await keys_of(gateway)
        line = (await gateway.get("admin/api/changes?limit=1", ADMIN)).json()["changes"][0]
        await send(gateway, "POST", f"admin/api/changes/{line['id']}/undo")
        assert "sim-2" in await keys_of(gateway)
    async with keeping(prompt_keys=(Secret(Fernet.generate_key().decode()),)) as gateway:
        assert "sim-2" not in await keys_of(gateway), "nobody else reads it"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_key_that_is_added_at_one_gateway_is_used_by_the_others_of_its_ledger(keeping):
    async with keeping() as one, keeping(instance="two") as other:
        await send(one, "POST", "admin/api/keys", NEW)
        await other.app.runtime.catch_up()
        assert (await keys_of(other))["sim-2"]["added"]
        assert (await send(other, "POST", "admin/api/keys", NEW)).status_code == 400, "it is there already"
        await send(other, "DELETE", "admin/api/keys/sim-2")
        await one.app.runtime.catch_up()
        assert [*await keys_of(one)] == ["sim-1"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_without_keys_to_encrypt_with_it_lasts_as_long_as_the_gateway(keeping):
    async with keeping(prompt_keys=()) as gateway:
        assert (await send(gateway, "POST", "admin/api/keys", NEW)).json()["lasts"] is False
        assert "sim-2" in await keys_of(gateway)
    async with keeping(prompt_keys=()) as gateway:
        assert "sim-2" not in await keys_of(gateway)
        (found,) = (await gateway.get("admin/api/overview", ADMIN)).json()["findings"]
        assert found["what"] == "Key sim-2 was added while the gateway ran, and its text is gone."
        again = await send(gateway, "POST", "admin/api/keys", NEW | {"name": "sim-9"})
        assert again.status_code == 201


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"key": KEYS[0].key.reveal()}, "This key is there already."),
        ({"name": "sim-1"}, "There is a key 'sim-1'."),
        ({"provider": "nobody", "base_url": None}, ""),
        ({"provider": "nobody", "base_url": ""}, "is no preset"),
        ({"base_url": "file:///etc/passwd"}, "must start with http://"),
        ({"key": "${HOME}"}, "HOME is not set"),
        ({"name": "a/b"}, "no slash"),
        ({"name": "a\nb"}, ""),
        ({"rpm": 0}, "serves nothing"),
        ({"models": "m"}, ""),
        ({"colour": "red"}, "unknown name 'colour'"),
        ({"key": ["x"]}, ""),
    ],
)
async def test_a_wrong_key_changes_nothing_and_is_not_repeated(keeping, wrong, words):
    async with keeping() as gateway:
        refused = await send(gateway, "POST", "admin/api/keys", NEW | wrong)
        assert refused.status_code == 400
        assert words in refused.json()["error"]["message"]
        assert NEW["key"] not in refused.text
        assert [*await keys_of(gateway)] == ["sim-1"]
        assert (await send(gateway, "DELETE", "admin/api/keys/sim-1")).status_code == 404
        assert (await send(gateway, "POST", "admin/api/keys/none/check")).status_code == 404


# A way back for one ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.asyncio
async def test_limits_are_given_back_to_one_at_once_and_for_good(keeping):
    limits = CallerLimits(requests_per_day=2, usd_per_month=COST / 1e9 * 2.5)
    async with keeping(caller=limits) as gateway:
        for token in ("ada-token", "bob-token"):
            assert [(await gateway.ask(body(), token=token)).status_code for _ in range(3)] == [200, 200, 429]
        given = await send(gateway, "POST", "admin/api/users/ada/reset")
        assert given.json() == {"user": "ada", "complete": True}
        assert (await gateway.ask(body(), token="bob-token")).status_code == 429
        assert (await gateway.ask(body())).status_code == 200
        seen = (await gateway.get("admin/api/users/ada", ADMIN)).json()
        assert (seen["tenant"], seen["limits"]["day"]["current"], seen["keys"]) == ("stats101", 1, [])
        lines = (await gateway.get("admin/api/changes", ADMIN)).json()["changes"]
        assert [(line["kind"], line["name"]) for line in lines] == [("given back", "ada")]
        undone = await send(gateway, "POST", f"admin/api/changes/{lines[0]['id']}/undo")
        assert undone.status_code == 409
    async with keeping(caller=limits) as gateway:
        assert [(await gateway.ask(body())).status_code for _ in range(2)] == [200, 429], "one was left"
        assert (await gateway.ask(body(), token="bob-token")).status_code == 429
        await send(gateway, "DELETE", "admin/api/users/ada")
        assert "ada" not in (await gateway.get("admin/api/changes", ADMIN)).text


def test_what_is_given_back_counts_once_over_several_groups():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_month=1.0)), clock=lambda: 0.0)
    from jupyter_server_ext.messages import Caller

    spent = {("ada", "a"): {"1970-01-01": 70}, ("ada", "b"): {"1970-01-01": 50}, ("bob", "a"): {"1970-01-01": 9}}
    budgets.restore(spent, given_back={"ada": {"1970-01-01": 90}, "eve": {"1970-01-01": 5}})
    assert budgets.spent(Caller("ada"), "month").amount == 30
    assert budgets.spent(Caller("bob"), "month").amount == 9


# Where settings are from ----------------------------------------------------------------------------------------------


def test_each_setting_says_where_it_is_from_and_none_tells_a_secret(tmp_path):
    file = tmp_path / "rsql.toml"
    file.write_text(
        'profile = "production"\ndefault_model = "m"\n[[keys]]\nprovider = "groq"\nkey = "${GROQ}"\nrpm = 7\n'
        '[limits.caller]\nrequests_per_minute = 9\n[storage]\nstate = "redis://u:hunter2@db:6379/0"\n'
        'ledger = "postgresql://u:hunter2@db/x?password=hunter2"\n[tenants.lab]\nweight = 2.0\n'
    )
    settings = load_settings(file, {"GROQ": "gsk_very_secret"})
    rows = {row.name: row for row in effective(settings, {"tenants.lab.weight": "console"})}
    assert rows["default_model"][1:] == ("m", "rsql.toml, line 2")
    assert rows["keys.1.key"][1:] == ("(set)", "rsql.toml, line 5, from GROQ")
    assert rows["keys.1.limits"].origin == "rsql.toml, line 6"
    assert rows["limits.caller.requests_per_minute"][1:] == (9, "rsql.toml, line 8")
    assert rows["limits.caller.requests_per_hour"][1:] == (100, "profile production")
    assert rows["storage.state"].value == "redis://u:…@db:6379/0"
    assert rows["storage.ledger"].value == "postgresql://u:…@db/x?…"
    assert rows["tenants.lab.weight"].origin == "console"
    assert rows["limits.tenant.requests_per_hour"][1:] == (None, "default")
    assert not re.search("hunter2|gsk_", repr(rows))


@pytest.mark.asyncio
async def test_what_was_decided_at_run_time_is_from_the_console(keeping):
    async with keeping(tenants=(TenantSettings("stats101"),)) as gateway:
        await send(
            gateway,
            "PATCH",
            "admin/api/limits",
            {"caller": {"requests_per_hour": 8}, "callers": {"x": {"concurrency": 1}}},
        )
        await send(gateway, "PATCH", "admin/api/tenants/stats101", {"weight": 3, "limits": {"usd_per_day": 4}})
        rows = {
            row["name"]: (row["value"], row["from"])
            for row in (await gateway.get("admin/api/settings", ADMIN)).json()["settings"]
        }
        assert rows["limits.caller.requests_per_hour"] == (8, "console")
        assert rows["callers.x.concurrency"] == (1, "console")
        assert rows["tenants.stats101.weight"] == (3.0, "console")
        assert rows["tenants.stats101.limits.usd_per_day"] == (4, "console")
        assert rows["keys.1.key"] == ("(set)", "default")


@pytest.mark.asyncio
async def test_a_reply_names_the_change_that_was_made_and_others_do_not(keeping):
    async with keeping() as gateway:
        made = await send(gateway, "PATCH", "admin/api/limits", {"caller": {"requests_per_hour": 8}})
        change = made.headers["X-RSQL-Change"]
        same = await send(gateway, "PATCH", "admin/api/limits", {"caller": {"requests_per_hour": 8}})
        read = await gateway.get("admin/api/limits", ADMIN)
        assert not any("X-RSQL-Change" in reply.headers for reply in (same, read))
        undone = await send(gateway, "POST", f"admin/api/changes/{change}/undo")
        assert undone.json()["changes"][0]["undoes"] == change
        assert undone.headers["X-RSQL-Change"] == undone.json()["changes"][0]["id"]


# One's own ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.asyncio
async def test_all_that_one_has_said_is_deleted_and_what_was_spent_stays(keeping):
    tenants = (TenantSettings("stats101", keep_prompts=True, keep_answers=True),)
    async with keeping(tenants=tenants) as gateway:
        asked = await gateway.ask({"message": "What is a p-value?", "session_id": "s"}, path="chat")
        alone = await gateway.ask(body())
        await gateway.ask({"request_id": alone.headers["x-request-id"], "rating": "up"}, path="feedback")
        other = await gateway.ask({"message": "And I?", "session_id": "s"}, path="chat", token="bob-token")
        assert other.status_code == 200
        before = (await gateway.get("stats")).json()["limits"]
        assert (await send(gateway, "DELETE", "conversations", token="ada-token")).json() == {"deleted": 1}
        assert (await gateway.get("conversations")).json()["conversations"] == []
        assert len((await gateway.get("conversations", "bob-token")).json()["conversations"]) == 1
        for reply in (asked, alone):
            path = f"admin/api/requests/{reply.headers['x-request-id']}"
            (entry,) = (await gateway.get(path, ADMIN)).json()["entries"]
            assert not {"messages", "answer"} & entry.keys()
            assert entry["caller"] == "ada"
        assert (await gateway.get("admin/api/feedback", ADMIN)).json()["feedback"] == []
        assert (await gateway.get("stats")).json()["limits"] == before


@pytest.mark.slow
@pytest.mark.asyncio
async def test_who_one_is(served):
    async with served(replace(Settings(default_model="llama"), keys=(KeySettings("offline"),))) as gateway:
        me = (await gateway.get("me")).json()
        assert (me["caller"], me["tenant"], me["scopes"], me["hub"]) == ("ada", "stats101", sorted(PERSON), None)
        assert "admin" in (await gateway.get("me", ADMIN)).json()["scopes"]


# What is so -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_full_disk_is_told_and_what_is_recorded_can_be_read(keeping):
    async with keeping() as gateway:
        assert (await gateway.ask(body())).status_code == 200
        await gateway.get("admin/api/metrics", ADMIN)
        ledger, store = gateway.app.accounting.ledger, gateway.app.accounting.ledger._store

        def full(*_, **__):
            raise sa.exc.OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

        finish, begin = store.finish, store.begin
        store.finish = store.begin = full
        fold = SqlAnalytics.fold
        SqlAnalytics.fold = full
        try:
            refused = await gateway.ask(body(messages=[{"role": "user", "content": "And now?"}]))
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
            told = (await gateway.get("admin/api/overview", ADMIN)).json()
            assert told["findings"][0]["what"] == "No request is answered, as none can be recorded: its disk is full."
            assert "Make room" in told["findings"][0]["do"]
            assert not any("go on" in one["do"] for one in told["findings"])
            assert (await gateway.get("admin/api/metrics", ADMIN)).json()["total"]["success"] == 1
        finally:
            store.finish, store.begin, SqlAnalytics.fold = finish, begin, fold
        async with asyncio.timeout(240):
            while not ledger.healthy:
                await asyncio.sleep(0.01)
        assert not ledger.disk_is_full


@pytest.mark.asyncio
async def test_keys_that_fail_are_not_told_as_busy(served):
    failing = httpx.MockTransport(lambda _: httpx.Response(500, json={"error": {"message": "broken"}}))
    pool = PoolSettings(queue_deadline_seconds=0.5)
    async with served(Settings(default_model="m", keys=KEYS, pool=pool), fake=False, transport=failing) as gateway:
        replies = [await gateway.ask(body(messages=[{"role": "user", "content": f"{n}"}])) for n in range(9)]
        findings_told = (await gateway.get("admin/api/overview", ADMIN)).json()["findings"]
    for reply in replies:
        error = reply.json()["error"]
        assert reply.status_code in {502, 503}, error
        assert "busy" not in error["message"]
    assert any("its provider answers with errors" in reply.json()["error"]["message"] for reply in replies)
    assert findings_told[0]["what"] == "No key can answer now."


@pytest.mark.asyncio
async def test_a_clock_that_was_set_back_is_told_and_not_counted_twice(keeping, monkeypatch):
    async with keeping() as gateway:
        moment = time.time()
        monkeypatch.setattr(time, "time", lambda: moment + 7_000)
        assert (await gateway.ask(body())).status_code == 200
        monkeypatch.setattr(time, "time", lambda: moment)
        assert (await gateway.ask(body(messages=[{"role": "user", "content": "Now?"}]))).status_code == 200
        told = (await gateway.get("admin/api/overview", ADMIN)).json()
        assert told["recent"]["requests"] == 1
        (found,) = [one for one in told["findings"] if "clock" in one["what"]]
        assert found["what"] == "The clock stands 117 min before the latest record."
        series = (await gateway.get("admin/api/analytics/timeseries?hours=2&step=five-minutes", ADMIN)).json()
        assert sum(row["requests"] for row in series["series"]) == 1
        assert (await gateway.get("admin/api/stats", ADMIN)).json()["all_time"]["requests"] == 2
