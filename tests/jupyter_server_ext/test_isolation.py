"""No tenant reads, changes or spends another's, at any route; a route that is not classified here fails."""

from __future__ import annotations

import random
from base64 import b64encode
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import quote

import httpx
import msgspec
import pytest
from cryptography.fernet import Fernet

from jupyter_server_ext.config import (
    PERSON,
    CallerLimits,
    KeySettings,
    Secret,
    Settings,
    StorageSettings,
    TenantSettings,
)
from jupyter_server_ext.config.settings import ApiKeySettings
from jupyter_server_ext.handlers import ROUTES
from jupyter_server_ext.handlers.home import operations

pytestmark = pytest.mark.asyncio

OPEN, OWN, TEACHES, ADMIN = "open to all", "the caller's own", "the instructor's own tenant", "administrators only"
FIGURES = "figures without names"
CLASSES = {
    "GET ": OPEN,
    "GET admin": OPEN,
    "GET assets/{version}/{file}": OPEN,
    "GET me": OWN,
    "GET health": OPEN,
    "GET oauth_callback": OPEN,
    "POST v1/chat/completions": OWN,
    "GET v1/models": OWN,
    "GET v1/models/{model}": OWN,
    "POST v1/responses": OWN,
    "POST v1/embeddings": OWN,
    "GET v1/files": OWN,
    "POST v1/files": OWN,
    "GET v1/files/{id}": OWN,
    "DELETE v1/files/{id}": OWN,
    "GET v1/files/{id}/content": OWN,
    "GET v1/batches": OWN,
    "POST v1/batches": OWN,
    "GET v1/batches/{id}": OWN,
    "POST v1/batches/{id}/cancel": OWN,
    "POST v1/{other}": OWN,
    "GET v1/{other}": OWN,
    "POST chat": OWN,
    "GET documents": OWN,
    "POST documents": TEACHES,
    "DELETE documents/{name}": TEACHES,
    "POST search": OWN,
    "GET dictionaries": OWN,
    "POST dictionaries": TEACHES,
    "GET dictionaries/{name}": OWN,
    "DELETE dictionaries/{name}": TEACHES,
    "GET examples": OWN,
    "POST examples": TEACHES,
    "DELETE examples/{name}": TEACHES,
    "GET sessions": OWN,
    "GET sessions/{id}": OWN,
    "PUT sessions/{id}": OWN,
    "DELETE sessions/{id}": OWN,
    "POST sessions/{id}/share": OWN,
    "DELETE sessions/{id}/share": OWN,
    "GET sessions/{id}/artifacts": OWN,
    "POST sessions/{id}/artifacts": OWN,
    "GET shared/{token}": OWN,
    "GET download/{kind}/{id}": OWN,
    "DELETE download/{kind}/{id}": OWN,
    "GET status": OWN,
    "GET stats": OWN,
    "POST feedback": OWN,
    "GET metrics": FIGURES,
    "GET keys": OWN,
    "POST keys": OWN,
    "DELETE keys/{id}": OWN,
    "GET openapi.json": OWN,
    "GET docs": OWN,
    "POST admin/health-check": ADMIN,
    "POST admin/reset-daily-limits": ADMIN,
    "GET admin/api/overview": TEACHES,
    "GET admin/api/headroom": ADMIN,
    "GET admin/api/settings": ADMIN,
    "GET admin/api/keys": ADMIN,
    "POST admin/api/keys": ADMIN,
    "DELETE admin/api/keys/{key}": ADMIN,
    "POST admin/api/keys/{key}/check": ADMIN,
    "POST admin/api/keys/{key}/{action}": ADMIN,
    "GET admin/api/api-keys": ADMIN,
    "POST admin/api/api-keys": ADMIN,
    "DELETE admin/api/api-keys/{id}": ADMIN,
    "GET admin/api/limits": ADMIN,
    "POST admin/api/limits": ADMIN,
    "DELETE admin/api/limits": ADMIN,
    "GET admin/api/tenants": TEACHES,
    "POST admin/api/tenants": ADMIN,
    "GET admin/api/tenants/{name}": TEACHES,
    "POST admin/api/tenants/{name}": TEACHES,
    "DELETE admin/api/tenants/{name}": TEACHES,
    "GET admin/api/tenants/{name}/members": TEACHES,
    "POST admin/api/tenants/{name}/members": ADMIN,
    "DELETE admin/api/tenants/{name}/members/{caller}": ADMIN,
    "GET admin/api/changes": TEACHES,
    "POST admin/api/changes/{id}/undo": TEACHES,
    "GET admin/api/export": ADMIN,
    "POST admin/api/ledger/verify": ADMIN,
    "GET admin/api/requests/{id}": ADMIN,
    "GET admin/api/feedback": ADMIN,
    "GET admin/api/usage": TEACHES,
    "PUT admin/api/limits": ADMIN,
    "PATCH admin/api/limits": ADMIN,
    "PUT admin/api/tenants/{name}": TEACHES,
    "PATCH admin/api/tenants/{name}": TEACHES,
    "GET conversations": OWN,
    "DELETE conversations": OWN,
    "PATCH conversations/{id}": OWN,
    "DELETE conversations/{id}": OWN,
    "GET admin/api/errors": TEACHES,
    "GET admin/api/metrics": TEACHES,
    "GET admin/api/stats": ADMIN,
    "GET admin/api/health": ADMIN,
    "GET admin/api/requests": ADMIN,
    "GET admin/api/log": TEACHES,
    "GET admin/api/users": TEACHES,
    "GET admin/api/user-activity/{user}": ADMIN,
    "GET admin/api/analytics/popular": TEACHES,
    "GET admin/api/analytics/trending": TEACHES,
    "GET admin/api/analytics/stats": TEACHES,
    "GET admin/api/analytics/timeseries": TEACHES,
    "GET admin/api/sessions": ADMIN,
    "DELETE admin/api/sessions/{id}": ADMIN,
    "GET admin/api/conversations": ADMIN,
    "DELETE admin/api/conversations/{id}": ADMIN,
    "GET admin/api/jobs": TEACHES,
    "GET admin/api/jobs/{id}": TEACHES,
    "POST admin/api/jobs/{id}/{action}": TEACHES,
    "GET admin/api/webhooks": TEACHES,
    "POST admin/api/webhooks": TEACHES,
    "GET admin/api/webhooks/{id}": TEACHES,
    "DELETE admin/api/webhooks/{id}": TEACHES,
    "POST admin/api/webhooks/{id}/test": TEACHES,
    "POST admin/api/webhooks/{id}/deliveries/{delivery}/retry": TEACHES,
    "GET admin/api/users/{name}": ADMIN,
    "DELETE admin/api/users/{name}": ADMIN,
    "POST admin/api/users/{name}/reset": TEACHES,
}
"""What a caller reaches by each method of each route."""


async def test_every_route_is_classified():
    needed = {f"{method} {route.path}": {*scopes} for route, method, scopes, _ in operations(ROUTES)}
    assert needed.keys() == CLASSES.keys()
    marked = {OPEN: set(), TEACHES: {"instructor"}, ADMIN: {"admin"}, FIGURES: {"metrics"}}
    for name, scopes in needed.items():
        if CLASSES[name] == OWN:
            assert scopes & PERSON, name
        else:
            assert scopes in (marked[CLASSES[name]], {"documents:write"}), name


class World:
    """Tenants full of things that each of them alone may see; all of them hold the tenant's mark."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        letters = ["a", "A", "b", "é", "0", "/", "%", ".", " x", "-", "'", '"', "%2F", "}"]
        names = {"a", "ab"}  # of which one begins like the other
        while len(names) < 3:
            names.add("".join(self.draw.choices(letters, k=self.draw.randint(1, 6))).strip() or "z")
        self.tenants = sorted(names)
        self.ids: dict[str, dict[str, str]] = {name: {} for name in self.tenants}

    def mark(self, tenant: str) -> str:
        return f"mark{self.tenants.index(tenant)}of"

    def token(self, tenant: str, role: str) -> str:
        return f"{role}-{self.tenants.index(tenant)}-token"

    def settings(self, url: str) -> Settings:
        models = [f"m-{self.mark(name)}" for name in self.tenants]
        key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", models=("m", *models))
        people = [
            ApiKeySettings(f"{role}-{self.mark(name)}", Secret(self.token(name, role)), name, scopes)
            for name in self.tenants
            for role, scopes in (("student", tuple(PERSON)), ("teacher", (*PERSON, "documents:write", "instructor")))
        ]
        tenants = [
            TenantSettings(name, models=("m", model), system_prompt=f"Say {self.mark(name)}.")
            for name, model in zip(self.tenants, models, strict=True)
        ]
        return Settings(
            default_model="m",
            keys=(key,),
            storage=StorageSettings(ledger=url, instance="one", prompt_keys=(Secret(Fernet.generate_key().decode()),)),
            api_keys=tuple(people),
            tenants=tuple(tenants),
        )


def echo(request: httpx.Request) -> httpx.Response:
    """A provider that says what it was sent, so that what another tenant was told would be seen."""
    text = request.read().decode()
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    return httpx.Response(
        200, json={"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage, "data": vectors}
    )


async def send(gateway, token, method, path, body=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    content = None if body is None else msgspec.json.encode(body)
    # By its whole address, as a client would put names of tenants in order.
    return await gateway.client.request(method, gateway.url + path, headers=headers, content=content)


async def job_of(gateway, token, mark):
    """A job that has ended, with its file and its results; all of them hold the mark."""
    asked = {"model": "m", "messages": [{"role": "user", "content": mark}]}
    line = {"custom_id": mark, "method": "POST", "url": "/v1/chat/completions", "body": asked}
    headers = {"Authorization": f"Bearer {token}"}
    form = {"file": (f"{mark}.jsonl", msgspec.json.encode(line))}
    sent = await gateway.client.post("v1/files", data={"purpose": "batch"}, files=form, headers=headers)
    body = {"input_file_id": sent.json()["id"], "endpoint": "/v1/chat/completions", "metadata": {"mark": mark}}
    job = (await send(gateway, token, "POST", "v1/batches", body)).json()
    for _ in range(9):
        await gateway.app.runner.step()
        await gateway.app.runner.idle()
    done = (await send(gateway, token, "GET", f"v1/batches/{job['id']}")).json()
    assert done["status"] == "completed", done
    return body["input_file_id"], job["id"], done["output_file_id"]


async def fill(gateway, world):
    """Have everything that the routes can make for each tenant."""
    for name in world.tenants:
        mark, ids = world.mark(name), world.ids[name]
        teacher, student = world.token(name, "teacher"), world.token(name, "student")
        made = await send(gateway, student, "POST", "keys", {"name": f"key {mark}"})
        ids["id"], ids["token"] = made.json()["id"], made.json()["key"]
        document = {"name": "notes.md", "text": f"# Bins\n\nGlass goes to {mark}."}
        assert (await send(gateway, teacher, "POST", "documents", document)).status_code == 201
        dictionary = {"name": "shop.yaml", "text": f"tables: {{{mark}: {{}}}}"}
        assert (await send(gateway, teacher, "POST", "dictionaries", dictionary)).status_code == 201
        example = await send(gateway, teacher, "POST", "examples", {"question": f"{mark}?", "sql": f"SELECT '{mark}'"})
        ids["example"] = example.json()["name"]
        rules = {"system_prompt": f"Always say {mark}.", "limits": {"requests_per_day": 10_000}}
        changed = await send(gateway, teacher, "PATCH", f"admin/api/tenants/{quote(name, safe='')}", rules)
        assert changed.status_code == 200, changed.text
        ids["file"], ids["job"], ids["output"] = await job_of(gateway, student, mark)
        webhook = await send(gateway, teacher, "POST", "admin/api/webhooks", {"url": f"https://{mark}.example.org/"})
        ids["webhook"] = webhook.json()["id"]
        member = {"caller": f"guest-{mark}", "instructor": True}
        await send(gateway, "owner-token", "POST", f"admin/api/tenants/{quote(name, safe='')}/members", member)
        reply = await send(gateway, student, "POST", "chat", {"message": f"What is {mark}?", "session_id": "s1"})
        assert mark in reply.text
        ids["request"] = reply.headers["x-request-id"]
        copy = {"title": f"About {mark}", "pairs": [{"question": f"{mark}?", "answer": mark}]}
        ids["session"] = f"c{world.tenants.index(name)}"
        path = f"sessions/{ids['session']}"
        assert (await send(gateway, student, "PUT", path, copy)).status_code == 200
        data = b64encode(mark.encode()).decode()
        kept = {"kind": "table", "name": f"{mark}.csv", "media": "text/csv", "data": data}
        ids["artifact"] = (await send(gateway, student, "POST", f"{path}/artifacts", kept)).json()["id"]
        link = (await send(gateway, student, "POST", f"{path}/share")).json()["link"]
        ids["link"] = link.removeprefix("shared/")
    lines = (await send(gateway, "owner-token", "GET", "admin/api/changes")).json()["changes"]
    for line in lines:
        if line["kind"] == "course":
            world.ids[line["tenant"]]["change"] = line["id"]


def bodies(world, other):
    """What is sent to each route, by a caller who wants what is another tenant's."""
    message = {"role": "user", "content": "What is it?"}
    ids = world.ids[other]
    rules = {"system_prompt": "taken", "limits": {"requests_per_day": 0}}
    return {
        "v1/chat/completions": {"messages": [message], "model": "m"},
        "v1/responses": {"input": "What is it?", "model": "m"},
        "v1/embeddings": {"input": "What is it?", "model": "m"},
        "v1/{other}": {},
        "chat": {"message": "What did we say?", "session_id": "s1"},
        "documents": {"name": "notes.md", "text": "taken", "tenant": other},
        "dictionaries": {"name": "shop.yaml", "text": "taken: {}", "tenant": other},
        "examples": {"question": f"{world.mark(other)}?", "sql": "SELECT 'taken'", "tenant": other},
        "search": {"query": "Where does glass go?", "documents": ["notes.md"]},
        "feedback": {"request_id": ids["request"], "rating": "down"},
        "conversations/{id}": {"name": "taken"},
        "sessions/{id}": {"title": "taken", "pairs": []},
        "sessions/{id}/share": {"days": 1},
        "sessions/{id}/artifacts": {"kind": "table", "name": "taken", "data": ""},
        "keys": {"name": "mine", "owner": other, "tenant": other},
        "admin/api/api-keys": {"name": "k", "owner": "x", "tenant": other},
        "admin/api/keys": {"provider": "groq", "key": "gsk-taken"},
        "admin/api/limits": {"tenants": {other: {"requests_per_day": 0}}},
        "admin/api/tenants": {"name": other, **rules},
        "admin/api/tenants/{name}": rules,
        "v1/batches": {"input_file_id": ids["file"], "endpoint": "/v1/chat/completions"},
        "admin/api/webhooks": {"url": "https://hooks.example.org/", "tenant": other},
        "admin/api/tenants/{name}/members": {"caller": "intruder", "instructor": True},
    }


def address(world, path, other):
    """The address by which a route would give away what is another tenant's."""
    ids = world.ids[other]
    shared = {"documents": "notes.md", "dictionaries": "shop.yaml", "examples": ids["example"]}
    student = f"student-{world.mark(other)}"
    name = student if path.startswith("admin/api/users/") else shared.get(path.partition("/")[0], other)
    given = {
        "name": quote(name, safe=""),
        "id": {
            "keys": ids["id"],
            "admin/api/api-keys": ids["id"],
            "admin/api/changes": ids["change"],
            "admin/api/webhooks": ids["webhook"],
            "admin/api/jobs": ids["job"],
            "v1/batches": ids["job"],
            "v1/files": world.draw.choice([ids["file"], ids["output"]]),
            "conversations": "s1",
            "sessions": ids["session"],
            "download/{kind}": ids["artifact"],
        }.get(path.partition("/{")[0], ids["request"]),
        "kind": "table",
        "token": ids["link"],
        "caller": quote(f"guest-{world.mark(other)}", safe=""),
        "delivery": "msg_1",
        "user": quote(student, safe=""),
        "model": "m",
        "other": "completions",
        "key": "sim-1",
        "action": "retry" if "jobs" in path else "pause",
        "version": "0",
        "file": "app.js",
    }
    query = {
        **{f"{kind}/{{name}}": f"?tenant={quote(other, safe='')}" for kind in shared},
        "admin/api/usage": f"?since=2000-01-01&tenant={quote(other, safe='')}",
        "admin/api/changes": f"?tenant={quote(other, safe='')}",
    }
    # Figures are asked for by the other's name half of the time, and of all otherwise.
    by_tenant = ["metrics", "users", "jobs", "errors", "analytics/popular", "analytics/trending", "analytics/stats"]
    if path.removeprefix("admin/api/") in [*by_tenant, "analytics/timeseries"] and world.draw.random() < 0.5:
        return f"{path}?tenant={quote(other, safe='')}"
    if path.endswith(("popular", "trending")):
        return f"{path}?kind={world.draw.choice(['question', 'table', 'caller'])}"
    return path.format(**given) + query.get(path, "")


async def all_of(gateway, world, tenant):
    """Everything of a tenant, as its people and the administrators see it."""
    quoted = quote(tenant, safe="")
    teacher, student = world.token(tenant, "teacher"), world.token(tenant, "student")
    read = [
        (teacher, f"admin/api/tenants/{quoted}"),
        (teacher, f"admin/api/tenants/{quoted}/members"),
        (teacher, "admin/api/changes"),
        (teacher, "admin/api/usage"),
        (teacher, "admin/api/webhooks"),
        (teacher, "admin/api/users"),
        (teacher, "admin/api/jobs"),
        (student, "v1/files"),
        (student, "v1/batches"),
        (teacher, "admin/api/analytics/popular?kind=question"),
        (student, "conversations"),
        (student, "sessions"),
        (student, "documents"),
        (student, "dictionaries"),
        (student, "dictionaries/shop.yaml"),
        (student, "examples"),
        (student, "keys"),
        (student, "v1/models"),
    ]
    found = [(await send(gateway, token, "GET", path)).json() for token, path in read]
    found = [{name: one for name, one in told.items() if name != "now"} if "now" in told else told for told in found]
    stats = (await send(gateway, student, "GET", "stats")).json()
    assert (stats["dictionaries"], stats["examples"]) == (1, 1)
    passages = (await send(gateway, student, "POST", "search", {"query": "glass bins taken"})).json()
    feedback = (await send(gateway, "owner-token", "GET", "admin/api/feedback")).json()
    return [*found, stats["limits"], stats["cost"], stats["documents"], passages, feedback]


@asynccontextmanager
async def serving(served, world, url):
    async with served(world.settings(url), fake=False, transport=httpx.MockTransport(echo)) as gateway:
        await fill(gateway, world)
        yield gateway


@pytest.mark.spine
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.sweep) for seed in (1, 2))])
async def test_no_caller_reaches_what_is_another_tenants_at_any_route(served, url, seed):
    world = World(seed)
    async with serving(served, world, url) as gateway:
        for tenant in world.tenants:
            others = [name for name in world.tenants if name != tenant]
            before = [await all_of(gateway, world, other) for other in others]
            callers = {role: world.token(tenant, role) for role in ("student", "teacher")}
            callers["key"] = world.ids[tenant]["token"]
            routes = list(operations(ROUTES))
            world.draw.shuffle(routes)
            for route, method, _, _ in routes:
                kind = CLASSES[f"{method} {route.path}"]
                for role, token in callers.items():
                    other = world.draw.choice(others)
                    path = address(world, route.path, other)
                    body = bodies(world, other).get(route.path) if method in {"POST", "PUT", "PATCH"} else None
                    reply = await send(gateway, token, method, path, body)
                    where = f"{method} {path} by a {role} of {tenant}"
                    assert reply.status_code < 500, where
                    if kind is ADMIN or (kind is TEACHES and role != "teacher"):
                        assert reply.status_code == 403, where
                    for name in others:
                        assert world.mark(name) not in reply.text, where
            assert [await all_of(gateway, world, other) for other in others] == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.sweep)])
async def test_without_a_token_nothing_of_any_tenant_is_seen(served, url, seed):
    world = World(seed)
    async with serving(served, world, url) as gateway:
        before = [await all_of(gateway, world, tenant) for tenant in world.tenants]
        for route, method, scope, _ in operations(ROUTES):
            other = world.draw.choice(world.tenants)
            path = address(world, route.path, other)
            reply = await send(gateway, "", method, path, bodies(world, other).get(route.path) or {})
            assert not any(world.mark(name) in reply.text for name in world.tenants)
            assert reply.status_code == 401 or not scope, path
        assert [await all_of(gateway, world, tenant) for tenant in world.tenants] == before


@pytest.mark.slow
async def test_an_instructor_gives_limits_back_to_those_of_the_own_group_alone(served, url):
    world = World(11)
    own, other, _ = world.tenants
    teacher, student = world.token(own, "teacher"), world.token(own, "student")
    question = {"messages": [{"role": "user", "content": "What is it?"}], "model": "m"}

    async def ask(gateway, token):
        return (await send(gateway, token, "POST", "v1/chat/completions", question)).status_code

    async def give_back(gateway, token, tenant, name="student"):
        return await send(gateway, token, "POST", f"admin/api/users/{name}-{world.mark(tenant)}/reset")

    settings = replace(world.settings(url), caller=CallerLimits(requests_per_day=1))
    async with served(settings, fake=False, transport=httpx.MockTransport(echo)) as gateway:
        for token in (student, world.token(other, "student")):
            assert [await ask(gateway, token) for _ in range(2)] == [200, 429]
        assert (await give_back(gateway, student, own)).status_code == 403
        unknown = await give_back(gateway, teacher, other)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_user")
        nobody = await give_back(gateway, teacher, own, "nobody")
        assert nobody.json()["error"]["message"] == unknown.json()["error"]["message"], "who is in another is not told"
        assert (await give_back(gateway, teacher, own)).json()["complete"]
        assert [await ask(gateway, token) for token in (student, world.token(other, "student"))] == [200, 429]
        (line,) = (await send(gateway, teacher, "GET", "admin/api/changes")).json()["changes"]
        assert (line["kind"], line["name"], line["caller"]) == (
            "given back",
            f"student-{world.mark(own)}",
            f"teacher-{world.mark(own)}",
        )
        assert (await send(gateway, world.token(other, "teacher"), "GET", "admin/api/changes")).json()["changes"] == []
        # Whoever asks in two groups has limits that are of both.
        made = {"name": "k", "owner": f"student-{world.mark(own)}", "tenant": other}
        key = (await send(gateway, "owner-token", "POST", "admin/api/api-keys", made)).json()["key"]
        await ask(gateway, key)
        assert (await give_back(gateway, teacher, own)).status_code == 404


@pytest.mark.slow
async def test_what_one_tenant_spends_leaves_the_others_theirs(served, url):
    """A tenant at its limits is refused, and the next one is answered as if nothing had been."""
    world = World(7)
    settings = world.settings(url)
    async with served(settings, fake=False, transport=httpx.MockTransport(echo)) as gateway:
        first, second, *_ = world.tenants
        limits = {"tenants": {first: {"requests_per_minute": 3}}}
        assert (await send(gateway, "owner-token", "PATCH", "admin/api/limits", limits)).status_code == 200
        question = {"messages": [{"role": "user", "content": "What is it?"}], "model": "m"}
        for name, answered in ((first, 3), (second, 5)):
            tokens = [world.token(name, role) for role in ("student", "teacher", "student", "teacher", "student")]
            sent = [await send(gateway, token, "POST", "v1/chat/completions", question) for token in tokens]
            assert [reply.status_code for reply in sent].count(200) == answered
        usage = (await send(gateway, "owner-token", "GET", "admin/api/usage")).json()["usage"]
        assert sum(row["requests"] - row["errors"] for row in usage if row["tenant"] == first) == 3
        assert {row["tenant"] for row in usage} == {first, second}
