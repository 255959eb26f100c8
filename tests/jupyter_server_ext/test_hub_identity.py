"""What a hub says of a token becomes a caller: cached, asked once, bounded, and gone on with while the hub is away."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from callers import PERSON
from tornado.httputil import HTTPHeaders
from traitlets.config import Config

from jupyter_server_ext.app.jupyterhub import configure
from jupyter_server_ext.config import CallerLimits, HubSettings, Settings, TenantSettings
from jupyter_server_ext.errors import ConfigError, LimitExceeded, NotAuthenticated, NotPermitted
from jupyter_server_ext.identity import Authenticator, BadTokens, HubAccess, HubPlace, behind_proxy
from jupyter_server_ext.identity.auth import IdentityUnavailable
from jupyter_server_ext.identity.hub import overlaid
from jupyter_server_ext.identity.place import Browsers
from jupyter_server_ext.messages import Caller, Owner

ENTER = "access:services!service=rsql"
PLACE = HubPlace.of({"JUPYTERHUB_API_URL": "http://hub/hub/api", "JUPYTERHUB_API_TOKEN": "service-token"})


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Hub:
    """A hub's API as the gateway asks it; ``down`` makes it refuse, ``slow`` makes it wait."""

    def __init__(self):
        self.tokens = {"ada-token": {"kind": "user", "name": "ada", "groups": ["stats101"], "scopes": [ENTER]}}
        self.groups = {}
        self.users = []
        self.asked = []
        self.down = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def __call__(self, request):
        self.asked.append(request.url.path)
        await self.slow.wait()
        if self.down:
            raise httpx.ConnectError("refused")
        path, token = request.url.path, request.headers["Authorization"].removeprefix("token ")
        if path.startswith("/hub/api/groups/"):
            assert token == "service-token"
            return httpx.Response(200, json={"properties": self.groups.get(path.rpartition("/")[2], {})})
        if path == "/hub/api/users":
            start = int(request.url.params["offset"])
            return httpx.Response(200, json=self.users[start : start + int(request.url.params["limit"])])
        if path.startswith("/hub/api/users/"):
            found = [user for user in self.users if user["name"] == path.rpartition("/")[2]]
            return httpx.Response(200, json=found[0]) if found else httpx.Response(404, json={})
        model = self.tokens.get(token)
        return httpx.Response(200, json=model) if model else httpx.Response(403, json={"message": "no"})

    def count(self, path="user"):
        return self.asked.count(f"/hub/api/{path}")


class Scene:
    def __init__(self, **settings):
        hub = HubSettings(**{"cache_max_age": 60, **settings.pop("hub", {})})
        self.settings = Settings(hub=hub, **settings)
        self.hub, self.clock, self.learnt = Hub(), Clock(), {}
        self.access = HubAccess(
            PLACE,
            self.settings,
            lambda tenant: self.learnt.__setitem__(tenant.name, tenant),
            httpx.MockTransport(self.hub),
            clock=self.clock,
        )
        self.auth = Authenticator(
            [],
            self.access.identity,
            max_age=hub.cache_max_age,
            bad_age=hub.bad_token_seconds,
            outage=hub.outage_seconds,
            bad_tokens=BadTokens(hub.bad_tokens_per_minute, 10 * hub.bad_tokens_per_minute, clock=self.clock),
            address=behind_proxy,
            clock=self.clock,
        )

    async def caller(self, token="ada-token", scope="chat", forwarded="10.0.0.1"):
        headers = HTTPHeaders({"Authorization": f"Bearer {token}", "X-Forwarded-For": forwarded})
        request = SimpleNamespace(headers=headers, query_arguments={}, method="GET", remote_ip="127.0.0.1")
        return await self.auth.caller(SimpleNamespace(request=request, get_cookie=lambda _: None), scope)


@pytest.mark.asyncio
async def test_the_hub_is_asked_once_per_age_however_many_ask():
    scene = Scene()
    scene.hub.slow.clear()
    asking = [asyncio.ensure_future(scene.caller()) for _ in range(75)]
    await asyncio.sleep(0.01)
    scene.hub.slow.set()
    callers = await asyncio.gather(*asking)

    assert {(c.name, c.tenant) for c in callers} == {("ada", "stats101")}
    assert scene.hub.count() == 1
    scene.clock.now += 59.9
    await scene.caller()
    assert scene.hub.count() == 1
    scene.clock.now += 0.2
    await scene.caller()
    assert scene.hub.count() == 2


@pytest.mark.asyncio
async def test_the_owner_of_a_key_is_found_by_a_new_name_and_must_be_let_in():
    scene = Scene()
    scene.hub.users = [
        {"name": f"user{n}", "groups": ["lab"], "created": f"2026-01-01T00:00:{n / 10:09.6f}Z"} for n in range(450)
    ]
    owner = scene.access.identity.owner
    mark = scene.hub.users[444]["created"]
    assert await owner("user444") == Owner(Caller("user444", "lab", frozenset(PERSON)), mark)
    scene.hub.users[444] |= {"name": "renamed"}
    assert (await owner("user444", mark)).caller.name == "renamed"
    assert await owner("user444") is None
    scene.hub.users[3] |= {"name": "user444"}  # somebody else, by the name of before
    assert (await owner("user444", mark)).caller.name == "renamed"
    scene.hub.users[5] |= {"created": mark}  # a database without fractions of seconds
    assert await owner("user444", mark) is None

    scene.access.identity._place = replace(PLACE, members=frozenset({"group:stats101", "user:user7"}))
    assert (await owner("user6")).caller.scopes == frozenset()
    assert (await owner("user7")).caller.scopes == {*PERSON}


@pytest.mark.asyncio
async def test_a_revoked_token_and_a_changed_group_take_effect_within_the_age():
    scene = Scene()
    assert (await scene.caller()).tenant == "stats101"
    scene.hub.tokens["ada-token"] = scene.hub.tokens["ada-token"] | {"groups": ["lab"]}
    scene.clock.now += 60.1
    assert (await scene.caller()).tenant == "lab"
    scene.hub.tokens.clear()
    scene.clock.now += 60.1
    with pytest.raises(NotAuthenticated):
        await scene.caller()


@pytest.mark.asyncio
async def test_known_callers_go_on_for_five_minutes_without_the_hub():
    scene = Scene()
    await scene.caller()
    scene.hub.down = True
    for _ in range(300):
        scene.clock.now += 1
        assert (await scene.caller()).name == "ada"
    with pytest.raises(IdentityUnavailable) as refused:
        await scene.caller("new-token")
    assert (refused.value.status, refused.value.retry_after) == (503, 5.0)
    assert scene.hub.count() <= 1 + 240 / 5 + 2  # asked again every 5 s, not at each request

    scene.hub.down = False
    scene.hub.tokens.clear()  # revoked meanwhile
    scene.clock.now += 5.1
    with pytest.raises(NotAuthenticated):
        await scene.caller()


@pytest.mark.asyncio
async def test_an_outage_that_is_too_long_ends_it():
    scene = Scene(hub={"outage_seconds": 600})
    await scene.caller()
    scene.hub.down = True
    scene.clock.now += 659
    await scene.caller()
    scene.clock.now += 2
    with pytest.raises(IdentityUnavailable):
        await scene.caller()


@pytest.mark.asyncio
async def test_a_hub_that_hangs_holds_nobody_up_who_is_known(monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.identity.auth._PATIENCE_SECONDS", 0.01)
    scene = Scene()
    await scene.caller()
    scene.hub.slow.clear()
    scene.clock.now += 61
    assert (await scene.caller()).name == "ada"
    scene.hub.tokens.clear()
    scene.hub.slow.set()
    await asyncio.sleep(0.01)
    with pytest.raises(NotAuthenticated):  # what it said at last counts
        await scene.caller()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_ten_thousand_bad_tokens_are_put_to_the_hub_sixty_times():
    scene = Scene()
    await scene.caller()
    outcomes = await asyncio.gather(*(scene.caller(f"bad-{n}") for n in range(10_000)), return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]

    assert scene.hub.count() <= 1 + 60 + 20
    assert kinds.count(NotAuthenticated) + kinds.count(LimitExceeded) == 10_000
    refused = next(outcome for outcome in outcomes if isinstance(outcome, LimitExceeded))
    assert (refused.status, refused.code) == (429, "too_many_bad_tokens")
    assert 0 < refused.retry_after <= 60
    assert (await scene.caller()).name == "ada"  # who is known is not concerned
    scene.hub.tokens["new"] = scene.hub.tokens["ada-token"]
    assert (await scene.caller("new", forwarded="10.0.0.2")).name == "ada"  # nor who comes from elsewhere
    scene.clock.now += 60.1
    scene.hub.tokens["late"] = scene.hub.tokens["ada-token"]
    assert (await scene.caller("late")).name == "ada"


@pytest.mark.asyncio
async def test_bad_tokens_from_everywhere_are_bounded_too():
    scene = Scene(hub={"bad_tokens_per_minute": 5})
    asking = (scene.caller(f"bad-{n}", forwarded=f"10.0.{n // 200}.{n % 200}") for n in range(1000))
    await asyncio.gather(*asking, return_exceptions=True)

    assert scene.hub.count() <= 50 + 20


@pytest.mark.asyncio
async def test_the_client_cannot_choose_its_address():
    scene = Scene(hub={"bad_tokens_per_minute": 5})
    asking = (scene.caller(f"bad-{n}", forwarded=f"1.2.3.{n}, 10.0.0.9") for n in range(100))
    await asyncio.gather(*asking, return_exceptions=True)

    assert scene.hub.count() <= 5 + 20


@pytest.mark.slow
@pytest.mark.asyncio
async def test_memory_is_bounded_and_holds_no_token():
    scene = Scene(hub={"bad_tokens_per_minute": 100_000})
    scene.auth.most = 100
    for n in range(300):
        with pytest.raises(NotAuthenticated):
            await scene.caller(f"bad-{n}")

    assert len(scene.auth._remembered) == 100
    assert b"bad-299" not in repr(vars(scene.auth)).encode()


@pytest.mark.parametrize("token", ["ä" * 32, "x" * 513, "tab\x7f"])
@pytest.mark.asyncio
async def test_what_is_no_token_is_not_put_to_the_hub(token):
    scene = Scene()
    with pytest.raises(NotAuthenticated):
        await scene.caller(token)
    assert not scene.hub.asked


@pytest.mark.parametrize(
    ("model", "scopes"),
    [
        ({"scopes": [ENTER]}, {*PERSON}),
        ({"scopes": ["access:services"]}, {*PERSON}),
        ({"scopes": ["access:services!service=other", "self"]}, set()),
        ({"scopes": []}, set()),
        ({"scopes": [ENTER, "custom:rsql:admin"]}, {*PERSON, "admin"}),
        ({"scopes": [ENTER, "custom:other:admin"]}, {*PERSON}),
        ({"scopes": ["custom:rsql:admin"]}, set()),
        ({"scopes": [ENTER], "admin": True}, {*PERSON, "admin"}),
        ({"scopes": [ENTER, "access:servers!server=boss/"], "admin": True}, {*PERSON}),
        ({"scopes": [ENTER], "groups": ["teachers"]}, {*PERSON, "admin"}),
        ({"scopes": [ENTER], "kind": "service", "admin": True}, {*PERSON, "admin"}),
    ],
)
@pytest.mark.asyncio
async def test_scopes_of_the_hub_and_of_the_gateway(model, scopes):
    scene = Scene(hub={"admin_groups": frozenset({"teachers"})})
    scene.hub.tokens["t"] = {"kind": "user", "name": "boss", "groups": [], **model}
    wanted = "admin" if "admin" in scopes else "chat"
    if wanted in scopes:
        assert (await scene.caller("t", wanted)).scopes == scopes
    else:
        with pytest.raises(NotPermitted):
            await scene.caller("t", wanted)


@pytest.mark.asyncio
async def test_an_administrators_notebook_may_be_made_one():
    scene = Scene(hub={"admin_servers": True})
    scopes = [ENTER, "access:servers!server=boss/"]
    scene.hub.tokens["t"] = {"kind": "user", "name": "boss", "groups": [], "admin": True, "scopes": scopes}
    assert "admin" in (await scene.caller("t", "admin")).scopes


@pytest.mark.asyncio
async def test_a_service_is_nobodys_namesake():
    scene = Scene()
    scene.hub.tokens["t"] = {"kind": "service", "name": "ada", "scopes": [ENTER]}
    assert (await scene.caller("t")).name == "service:ada"


TENANTS = (
    TenantSettings("small", limits=CallerLimits(requests_per_day=10)),
    TenantSettings("large", limits=CallerLimits(requests_per_day=100)),
    TenantSettings("rich", limits=CallerLimits(requests_per_day=10, usd_per_day=5.0)),
    TenantSettings("open"),
)
LIMITED = CallerLimits(usd_per_day=1.0)


@pytest.mark.parametrize(
    ("groups", "order", "expected"),
    [
        ([], (), ""),
        (["zoo", "choir"], (), "choir"),  # none has rules
        (["small", "choir"], (), "small"),
        (["small", "large"], (), "large"),
        (["large", "rich"], (), "rich"),  # money first
        (["small", "large", "open"], (), "open"),
        (["small", "large"], ("small",), "small"),
        (["small", "large", "rich"], ("other", "large", "small"), "large"),
    ],
)
@pytest.mark.asyncio
async def test_of_several_groups_the_most_generous_counts_or_the_configured(groups, order, expected):
    scene = Scene(tenants=TENANTS, tenant=LIMITED, hub={"groups": order})
    scene.hub.tokens["t"] = {"kind": "user", "name": "ada", "groups": groups, "scopes": [ENTER]}
    assert (await scene.caller("t")).tenant == expected


@pytest.mark.asyncio
async def test_properties_of_a_group_go_over_the_file_and_change_within_the_age():
    scene = Scene(tenants=(TenantSettings("stats101", weight=2.0, system_prompt="Hints."),))
    scene.hub.groups["stats101"] = {
        "rsql": {"models": ["small"], "limits": {"requests_per_minute": 5}, "privacy_floor": "names"}
    }
    await scene.caller()
    learnt = scene.learnt["stats101"]
    assert (learnt.weight, learnt.system_prompt, learnt.models) == (2.0, "Hints.", ("small",))
    assert (learnt.limits.requests_per_minute, learnt.privacy_floor) == (5, "names")

    scene.hub.groups["stats101"] = {}
    scene.clock.now += 60.1
    await scene.caller()
    assert scene.learnt["stats101"] == TenantSettings("stats101", weight=2.0, system_prompt="Hints.")
    assert scene.hub.count("groups/stats101") == 2


@pytest.mark.parametrize(
    "wrong", [7, [], "x", {"modles": ["a"]}, {"weight": 0}, {"limits": {"requests_per_day": -1}}, {"weight": "2"}]
)
@pytest.mark.asyncio
async def test_a_mistake_in_properties_changes_nothing(wrong, caplog):
    scene = Scene()
    scene.hub.groups["stats101"] = {"rsql": {"models": ["small"]}}
    await scene.caller()
    scene.hub.groups["stats101"] = {"rsql": wrong}
    scene.clock.now += 60.1
    assert (await scene.caller()).tenant == "stats101"
    assert scene.learnt["stats101"].models == ("small",)
    assert "stats101" in caplog.text


def test_properties_cannot_read_the_gateways_environment(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-secret")
    with pytest.raises(ConfigError, match="GROQ_API_KEY is not set"):
        overlaid(TenantSettings("g"), {"system_prompt": "${GROQ_API_KEY}"})


@pytest.mark.parametrize("missing", ["JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN"])
def test_a_place_without_a_hub_is_refused(missing):
    told = {"JUPYTERHUB_API_URL": "http://hub/hub/api", "JUPYTERHUB_API_TOKEN": "s"}
    with pytest.raises(ConfigError, match=missing):
        HubPlace.of({name: value for name, value in told.items() if name != missing})


@pytest.mark.parametrize("hub", ["https://hub.example.org", "https://HUB.example.org:443", "http://hub.example.org"])
def test_pages_at_another_port_of_the_hub_are_refused(hub):
    """Browsers send a host's cookies to all its ports, so users' servers would get the administrator's session."""
    told = {"JUPYTERHUB_API_URL": "http://hub/hub/api", "JUPYTERHUB_API_TOKEN": "s"}
    told["RSQL_CONSOLE_ORIGIN"] = "https://hub.example.org:8443"
    for variable in ("JUPYTERHUB_HOST", "JUPYTERHUB_PUBLIC_HUB_URL"):
        with pytest.raises(ConfigError, match="has the hub's host name"):
            HubPlace.of(told | {variable: f"{hub}/hub/"})
    assert HubPlace.of(told | {"JUPYTERHUB_PUBLIC_HUB_URL": "https://example.org/hub/"}).origin
    with pytest.raises(ValueError, match="host name of its own"):
        configure(Config({"JupyterHub": {"public_url": f"{hub}/"}}), console="https://hub.example.org:8443")


def test_a_login_ends_in_minutes(monkeypatch):
    """What a browser that began one remembers of it counts for ten minutes."""
    told = {"JUPYTERHUB_API_URL": "http://hub/hub/api", "JUPYTERHUB_API_TOKEN": "s"}
    told |= {"RSQL_CONSOLE_ORIGIN": "https://rsql.example.org", "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example.org/"}
    for minutes, comes_back in ((9, True), (11, False)):
        browsers, kept = Browsers(HubPlace.of(told)), dict[str, str]()
        browsers.shares = False
        handler = SimpleNamespace(
            request=SimpleNamespace(host="rsql.example.org"),
            set_cookie=lambda name, value, kept=kept, **_: kept.update({name: value}),
            get_cookie=kept.get,
            clear_cookie=lambda name, kept=kept, **_: kept.pop(name),
        )
        state = parse_qs(urlsplit(browsers.begin(handler, "/services/rsql/admin")).query)["state"][0]
        then = time.time() + 60 * minutes
        monkeypatch.setattr(time, "time", lambda then=then: then)
        assert (browsers.returned(handler, state) is not None) == comes_back
        assert browsers.returned(handler, state) is None, "and once"
        monkeypatch.undo()


@pytest.mark.asyncio
async def test_rules_of_the_file_are_not_told_again():
    scene = Scene(tenants=(TenantSettings("stats101", weight=2.0),))
    await scene.caller()
    scene.clock.now += 60.1
    await scene.caller()

    assert not scene.learnt
