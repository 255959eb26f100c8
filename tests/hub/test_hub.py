"""A whole hub: what its users, their kernels, its services and its administrators can do with the gateway."""

from __future__ import annotations

import itertools
import json
import time

import pytest
from waiting import eventually

from .real_hub import TESTER

SOON = 50  # seconds: `cache_max_age` is 1 here, and 60 where nothing is set
SALES = "import pandas as pd\nsales = pd.DataFrame({'region': ['N', 'S', 'N'] * 5, 'amount': range(15)})"


@pytest.mark.spine
@pytest.mark.parametrize("name", ["ada", "cyd", pytest.param("bob", marks=pytest.mark.sweep)])
def test_a_kernel_asks_with_no_key_no_login_and_no_set_up(kernels, name):
    kernel = kernels[name]
    kernel.run(SALES)

    assert "region" in kernel.run("%%ask\nWhat is in sales?")
    assert "15" in kernel.run("%%sql_ai\nHow many rows are in sales?")


@pytest.mark.spine
def test_a_kernel_that_is_told_nothing_finds_the_hubs_service(hub):
    kernel = hub.kernel("cyd")
    told = kernel.run("import os\ndel os.environ['RSQL_GATEWAY_URL']\n%load_ext rsql_magic\n%rsql status")
    kernel.close()

    assert f"{hub.gateway} (the JupyterHub&#x27;s service)" in told or "(the JupyterHub's service)" in told


def test_a_named_server_is_its_owner(hub, kernels, tokens):
    before = hub.ask("stats", tokens["ada"]).json()["limits"]["minute"]["current"]
    kernels["ada/second"].run("%%ask\nWhat is a p-value?")

    assert hub.ask("stats", tokens["ada"]).json()["limits"]["minute"]["current"] == before + 1


@pytest.mark.spine
def test_a_stream_passes_both_proxies_as_it_comes(hub, tokens):
    body = {"messages": [{"role": "user", "content": "Hi"}], "model": "slow", "stream": True}
    with hub.http.stream(
        "POST", f"{hub.gateway}v1/chat/completions", json=body, headers={"Authorization": f"Bearer {tokens['ada']}"}
    ) as reply:
        times = [time.monotonic() for line in reply.iter_lines() if '"content"' in line]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times[1:])]

    assert len(times) >= 12
    assert sum(gap > 0.05 for gap in gaps) >= 9, gaps  # 100 ms each at the provider


@pytest.mark.spine
def test_a_cell_shows_a_stream_as_it_comes(kernels):
    times = [
        time.monotonic()
        for message in kernels["bob"].messages("%%ask --model slow --no-context\nSay something.")
        if message["msg_type"] in {"display_data", "update_display_data"}
    ]

    assert times[-1] - times[0] > 0.7  # 12 words, 100 ms each


def test_a_group_is_a_tenant_with_its_models_prompt_and_floor(hub, tokens, provider):
    assert hub.ask("stats", tokens["ada"]).json()["tenant"] == "stats101"
    assert hub.ask("status", tokens["ada"]).json()["privacy_floor"] == "stats"
    refused = hub.complete(tokens["ada"], model="dear")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")

    assert hub.complete(tokens["ada"], "Where are the hints?", model="slow").status_code == 200
    sent = [r.body["messages"] for r in provider.of("slow") if "Where are the hints?" in str(r.body)]
    assert sent[0][0] == {"role": "system", "content": "Give hints, not solutions."}


def test_rules_may_stand_in_the_hubs_groups(hub, tokens):
    assert hub.ask("v1/models", tokens["cyd"]).json()["data"][0]["id"] in {"offline", "dear"}
    assert {model["id"] for model in hub.ask("v1/models", tokens["cyd"]).json()["data"]} == {"offline", "dear"}
    assert hub.complete(tokens["cyd"], model="slow").status_code == 404


def test_a_groups_limit_holds(hub, tokens):
    statuses = [hub.complete(tokens["dan"]).status_code for _ in range(5)]
    refused = hub.complete(tokens["dan"])

    assert statuses == [200, 200, 200, 429, 429]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert hub.complete(tokens["ada"]).status_code == 200


def test_limits_are_for_groups_that_the_hub_has(hub, tokens):
    """A user may be named before the first login; a group is the hub's or configured."""

    def change(limits):
        return hub.ask("admin/api/limits", tokens["boss"], "PATCH", json=limits)

    refused = change({"callers": {"ada": {"requests_per_day": 1}}, "tenants": {"lba": {"requests_per_day": 1}}})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "unknown_group", "tenants.lba")
    assert "The hub has none of this name, either." in error["message"]
    assert hub.ask("admin/api/limits", tokens["boss"]).json()["decided"] == {}
    try:
        wanted = {"callers": {"gus": {"requests_per_day": 1}}, "tenants": {"lab": {"requests_per_day": 10_000}}}
        assert change(wanted).json()["decided"] == wanted
        assert hub.ask("stats", tokens["ada"]).json()["limits"]["day"]["limit"] != 1
    finally:
        hub.ask("admin/api/limits", tokens["boss"], "DELETE")
    assert hub.ask("admin/api/limits", tokens["boss"]).json()["decided"] == {}


def test_nobody_sees_what_another_has_used(hub, tokens):
    fay = hub.token("fay", scopes=["access:services!service=rsql"])
    hub.complete(tokens["ada"])
    forged = {"X-Forwarded-User": "ada", "X-JupyterHub-User": "ada", "Remote-User": "ada"}

    for path in ("stats", "stats?user=ada", "stats?caller=ada"):
        told = hub.ask(path, fay, headers=forged).json()
        assert (told["caller"], told["limits"]["day"]["current"]) == ("fay", 0)
    body = {"messages": [{"role": "user", "content": "Hi"}], "user": "ada", "caller": "ada"}
    hub.ask("v1/chat/completions", fay, "POST", json=body, headers=forged)
    assert hub.ask("stats", fay).json()["limits"]["day"]["current"] == 1


@pytest.mark.parametrize("path", ["admin/api/keys", "admin/api/usage", "admin/api/errors", "admin/api/feedback"])
def test_administrators_routes_are_theirs(hub, tokens, path):
    assert hub.ask(path, tokens["ada"]).status_code == 403
    assert hub.ask(path, tokens["boss"]).status_code == 200  # of the hub
    assert hub.ask(path, tokens["eve"]).status_code == 200  # by [hub] admin_groups


def test_an_administrators_notebook_is_no_administrator(hub, tokens):
    as_server = ["access:servers!server=boss/", "access:services!service=rsql"]

    assert hub.ask("admin/api/keys", hub.token("boss", scopes=as_server)).status_code == 403
    assert hub.ask("stats", hub.token("boss", scopes=as_server)).status_code == 200


def test_the_custom_scope_makes_an_administrator(hub):
    hub_token = hub.token("boss", scopes=["access:services!service=rsql"])
    assert hub.ask("stats", hub_token).json()["caller"] == "boss"


def test_a_service_is_nobodys_namesake(hub):
    told = hub.ask("stats", TESTER).json()
    assert (told["caller"], told["tenant"]) == ("service:tester", "")


def test_a_revoked_token_ends_within_the_age_of_the_cache(hub):
    made = hub.api("POST", "users/fay/tokens", {})
    assert hub.ask("stats", made["token"]).status_code == 200
    hub.api("DELETE", f"users/fay/tokens/{made['id']}")
    eventually(lambda: hub.ask("stats", made["token"]).status_code == 401, seconds=SOON)


@pytest.mark.spine
def test_a_change_of_groups_takes_effect_within_the_age_of_the_cache(hub, tokens):
    assert hub.ask("stats", tokens["fay"]).json()["tenant"] == "everybody"
    hub.api("POST", "groups/lab/users", {"users": ["fay"]})
    eventually(lambda: hub.ask("stats", tokens["fay"]).json()["tenant"] == "lab", seconds=SOON)
    hub.api("PUT", "groups/lab/properties", {"rsql": {"models": ["dear"]}})
    eventually(lambda: [m["id"] for m in hub.ask("v1/models", tokens["fay"]).json()["data"]] == ["dear"], seconds=SOON)
    hub.api("PUT", "groups/lab/properties", {"rsql": {"models": ["offline", "dear"], "weight": 2.0}})
    hub.api("DELETE", "groups/lab/users", {"users": ["fay"]})
    eventually(lambda: hub.ask("stats", tokens["fay"]).json()["tenant"] == "everybody", seconds=SOON)


def test_a_renamed_user_is_a_caller_of_the_new_name(hub):
    hub.api("POST", "users/gus")
    token = hub.token("gus")
    assert hub.ask("stats", token).json()["caller"] == "gus"
    hub.api("PATCH", "users/gus", {"name": "gustav"})

    eventually(lambda: hub.ask("stats", token).json()["caller"] == "gustav", seconds=SOON)


@pytest.mark.spine
def test_a_renamed_users_keys_follow_and_whoever_takes_the_name_gets_none(hub):
    hub.api("POST", "users/hal")
    token = hub.token("hal")
    key = hub.ask("keys", token, "POST", json={"name": "ci"}).json()["key"]
    assert hub.ask("stats", key).json()["caller"] == "hal"
    hub.api("PATCH", "users/hal", {"name": "harold"})
    hub.api("POST", "users/hal")
    namesake = hub.token("hal")

    eventually(lambda: hub.ask("stats", key).json().get("caller") == "harold", seconds=SOON)
    eventually(lambda: [one["owner"] for one in hub.ask("keys", token).json()["keys"]] == ["harold"], seconds=SOON)
    assert hub.ask("keys", namesake).json()["keys"] == []
    hub.api("DELETE", "users/harold")
    eventually(lambda: hub.ask("stats", key).status_code == 401, seconds=SOON)


def test_tokens_that_open_nothing(hub, tokens):
    without_scope = hub.token("ada", scopes=["read:users:name!user"])
    short = hub.token("ada", expires_in=1)
    expected = {
        "f" * 32: 401,  # forged
        "": 401,
        "ä" * 32: 401,
        "x" * 5000: 401,
        without_scope: 403,
    }
    for token, status in expected.items():
        header = {"Authorization": f"Bearer {token}".strip().encode()}
        reply = hub.http.get(f"{hub.gateway}stats", headers=header)
        assert reply.status_code == status, token[:40]
    assert hub.ask(f"stats?token={tokens['ada']}", tokens["ada"]).status_code == 401
    time.sleep(1.1)
    assert hub.ask("stats", short).status_code == 401


def test_the_process_with_the_keys_serves_nothing_else(hub, tokens):
    for path in ("api/kernels", "api/contents", "api/terminals", "files/rsql.toml", "lab", "rsql.toml"):
        assert hub.ask(path, tokens["boss"]).status_code == 404, path


def test_forged_headers_change_nothing(hub, tokens):
    forged = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-For": "10.0.0.1",
        "X-Real-Ip": "1",
    }
    told = hub.ask("stats", tokens["ada"], headers=forged)
    page = hub.http.get(hub.gateway, headers={**forged, "Accept": "text/html"})

    assert told.json()["caller"] == "ada"
    assert "evil" not in page.text
    assert "evil" not in str(page.headers)


def test_health_is_open_and_tells_no_secret(hub):
    told = hub.http.get(f"{hub.gateway}health")

    assert told.json()["status"] == "ok"
    assert set(told.json()) == {"status", "version", "checks"}
    assert "sk-simulated" not in json.dumps(hub.log())


def test_a_key_for_scripts_works_without_the_hub_and_ends_when_revoked(hub, kernels, tokens):
    made = kernels["ada"].run("%rsql keys new ci --days 1 --per-day 2 --usd-per-month 3\nlen(rsql_key), rsql_key[:5]")
    key = hub.ask("keys", tokens["ada"]).json()["keys"][-1]
    text = kernels["ada"].run("print(rsql_key[::-1])").strip()[::-1]

    assert "rsql_key" in made
    assert text not in made
    told = hub.ask("stats", text, direct=True).json()
    assert (told["caller"], told["tenant"]) == ("ada", "stats101")
    assert told["key"]["limits"]["usd_per_month"] == {"current": 0.0, "limit": 3.0, "remaining": 3.0}
    assert [hub.complete(text).status_code for _ in range(3)] == [200, 200, 429]
    assert hub.ask(f"keys/{key['id']}", tokens["bob"], "DELETE").status_code == 404
    assert "Revoked ci" in kernels["ada"].run(f"%rsql keys revoke {key['id']}")
    assert hub.ask("stats", text).status_code == 401


def test_an_instructor_sets_the_own_group_from_a_notebooks_token_and_no_other(hub, tokens, provider):
    hub.api("POST", "groups/instructors")
    hub.api("POST", "groups/instructors/users", {"users": ["cyd"]})
    eventually(lambda: hub.ask("admin/api/tenants", tokens["cyd"]).status_code == 200, seconds=SOON)
    try:
        told = hub.ask("admin/api/tenants", tokens["cyd"]).json()["tenants"]
        assert [(one["name"], one["sources"]) for one in told] == [("lab", ["hub"])], "a role is no tenant"
        lab, path = {"system_prompt": "Think of the lab.", "models": ["dear"]}, "admin/api/tenants/lab"
        assert hub.ask(path, tokens["cyd"], "PATCH", json=lab).status_code == 200
        assert [one["id"] for one in hub.ask("v1/models", tokens["cyd"]).json()["data"]] == ["dear"]
        for beyond in ({"models": ["slow"]}, {"weight": 9}):
            assert hub.ask(path, tokens["cyd"], "PATCH", json=beyond).status_code == 403
        assert hub.ask("admin/api/tenants/stats101", tokens["cyd"], "PATCH", json=lab).status_code == 404
        assert hub.ask("stats", tokens["ada"]).json()["system_prompt"] == "Give hints, not solutions."
        change = hub.ask("admin/api/changes", tokens["cyd"]).json()["changes"][0]
        assert hub.ask(f"admin/api/changes/{change['id']}/undo", tokens["cyd"], "POST").status_code == 200
        assert len(hub.ask("v1/models", tokens["cyd"]).json()["data"]) == 2
    finally:
        hub.ask("admin/api/tenants/lab", tokens["boss"], "DELETE")
        hub.api("DELETE", "groups/instructors")


def test_a_tenant_is_made_of_a_group_of_the_hub_while_the_gateway_runs(hub, tokens):
    hub.api("POST", "users/ira")
    hub.api("POST", "groups/choir")
    hub.api("POST", "groups/choir/users", {"users": ["ira"]})
    ira = hub.token("ira", scopes=["access:services!service=rsql"])
    assert hub.ask("stats", ira).json()["tenant"] == "choir"
    refused = hub.ask("admin/api/tenants/chior", tokens["boss"], "PATCH", json={"weight": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_tenant")
    changed = hub.ask("admin/api/tenants/choir", tokens["boss"], "PATCH", json={"system_prompt": "Sing."})
    assert changed.json()["sources"] == ["administrator"]
    assert hub.ask("stats", ira).json()["system_prompt"] == "Sing."
    assert hub.ask("admin/api/tenants/choir", tokens["boss"], "DELETE").status_code == 200
    assert hub.ask("stats", ira).json()["system_prompt"] == ""
    hub.api("DELETE", "groups/choir")
