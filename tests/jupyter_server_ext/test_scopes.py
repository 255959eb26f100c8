"""Every route with every kind of token: it answers those who have a scope that it names, and nobody else."""

from __future__ import annotations

import dataclasses
import random
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import (
    ASKING,
    GRANTABLE,
    PERSON,
    SCOPES,
    KeySettings,
    Secret,
    Settings,
    StorageSettings,
    TenantSettings,
    held,
    holds,
)
from jupyter_server_ext.config.settings import ApiKeySettings
from jupyter_server_ext.errors import NotPermitted
from jupyter_server_ext.handlers import ROUTES
from jupyter_server_ext.handlers.openapi import operations
from jupyter_server_ext.identity import require
from jupyter_server_ext.messages import Caller

pytestmark = pytest.mark.asyncio

OPERATIONS = [
    (f"{method} {route.path}", method, route.path, frozenset(needed)) for route, method, needed, _ in operations(ROUTES)
]
REFUSED = {401, 403}


@dataclass(frozen=True)
class Kind:
    """A kind of token: its text, and the scopes that it is known to bring, None for one that opens nothing."""

    name: str
    token: str
    scopes: frozenset[str] | None


def filled(path: str) -> str:
    path = path.replace("{action}", "cancel" if "jobs" in path else "pause").replace("{other}", "completions")
    return re.sub(r"\{version\}", "ab", re.sub(r"\{(?!version)\w+\}", "x", path))


def provider(_request: httpx.Request) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return httpx.Response(200, json={"id": "c", "choices": [choice], "usage": usage, "data": []})


@asynccontextmanager
async def gateway_of(served, folder):
    key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", models=("m",))
    single = [ApiKeySettings(f"only-{scope}", Secret(f"toml-{scope}"), "lab", (scope,)) for scope in SCOPES]
    storage = StorageSettings(ledger=f"sqlite:///{folder / 'ledger.db'}", instance="one")
    settings = Settings(
        default_model="m",
        keys=(key,),
        api_keys=(*single, ApiKeySettings("usual", Secret("toml-usual"), "lab")),
        tenants=(TenantSettings("lab"),),
        storage=storage,
    )
    async with served(settings, fake=False, transport=httpx.MockTransport(provider)) as gateway:
        yield gateway


async def kinds_of(gateway) -> list[Kind]:
    keys, person = gateway.app.virtual_keys, Caller("ada", "lab", frozenset(SCOPES))
    kinds = [
        Kind("none", "", None),
        Kind("unknown", "rsql_unknown", None),
        Kind("an entry without scopes", "toml-usual", ASKING),
        Kind("the owner", "owner-token", frozenset(SCOPES)),
        *(Kind(f"only {scope}", f"toml-{scope}", frozenset({scope})) for scope in SCOPES),
    ]
    for scope in sorted(GRANTABLE):
        _, text = await keys.make(person, "one", scopes=frozenset({scope}), is_counted=False)
        kinds.append(Kind(f"key for {scope}", text.reveal(), frozenset({scope})))
    _, usual = await keys.make(person, "usual", is_counted=False)
    revoked, gone = await keys.make(person, "revoked", is_counted=False)
    await keys.revoke(revoked.id, "ada")
    _, old = await keys.make(person, "old", days=1e-9, is_counted=False)
    return [
        *kinds,
        Kind("a usual key", usual.reveal(), ASKING),
        Kind("a revoked key", gone.reveal(), None),
        Kind("an expired key", old.reveal(), None),
    ]


async def answers(gateway, kind: Kind, method: str, path: str) -> bool:
    """Whether a request got past the door; what it then says of its empty body is no matter."""
    headers = {"Authorization": f"Bearer {kind.token}"} if kind.token else {}
    headers["X-RSQL-Task"] = "inline_completion"
    reply = await gateway.client.request(method, filled(path), headers=headers, content=b"{}")
    if reply.status_code == 403 and reply.json()["error"]["code"] != "missing_scope":
        return True  # refused for something else, by the route itself
    return reply.status_code not in REFUSED


@pytest.mark.parametrize("part", [0.15, pytest.param(1.0, marks=pytest.mark.sweep)])
async def test_every_route_answers_those_who_have_its_scope_and_nobody_else(served, tmp_path, part):
    wrong, draw = [], random.Random(33)
    async with gateway_of(served, tmp_path) as gateway:
        for kind in await kinds_of(gateway):
            for name, method, path, needed in OPERATIONS:
                if path == "oauth_callback" or draw.random() > part:  # the one needs a login that was begun
                    continue
                may = not needed or (kind.scopes is not None and any(holds(kind.scopes, one) for one in needed))
                if await answers(gateway, kind, method, path) != may:
                    wrong.append((kind.name, name, may))
    assert wrong == []


async def test_a_kernels_token_asks_and_does_nothing_else():
    """Named one by one, so that a route which is added, or changes its scope, is seen here."""
    reached = {name for name, _, _, needed in OPERATIONS if needed and any(holds(ASKING, one) for one in needed)}
    assert reached == {
        "POST v1/chat/completions",
        "POST v1/responses",
        "POST v1/embeddings",
        "POST v1/{other}",
        "GET v1/{other}",
        "POST chat",
        "GET v1/models",
        "GET v1/models/{model}",
        "GET me",
        "GET status",
        "GET stats",
        "GET metrics",
        "GET openapi.json",
        "GET docs",
        "POST feedback",
    }


async def test_each_scope_opens_something_and_a_person_has_all_but_those_of_roles():
    needed = frozenset().union(*(scopes for *_, scopes in OPERATIONS)) | {"notebooks"}
    assert needed == set(SCOPES), "a scope that no route needs says nothing"
    assert set(SCOPES) - PERSON == {"documents:write", "instructor", "metrics", "admin"}
    assert held({"admin"}) == {"admin", "instructor", "documents:read", "documents:write", "metrics"}
    assert not GRANTABLE & {"keys", "admin", "metrics"}


async def test_a_key_for_completions_gets_no_answer_to_a_question(served, tmp_path):
    async with gateway_of(served, tmp_path) as gateway:
        body, inline = (
            {"messages": [{"role": "user", "content": "x ="}], "max_tokens": 9},
            {"X-RSQL-Task": "inline_completion"},
        )
        asked = await gateway.ask(body, "toml-completion")
        completed = await gateway.ask(body, "toml-completion", headers=inline)
        both = await gateway.ask(body, "toml-chat", headers=inline)
    assert (asked.status_code, asked.json()["error"]["code"]) == (403, "missing_scope")
    assert (completed.status_code, both.status_code) == (200, 200)


async def test_a_job_needs_the_scope_of_what_its_lines_ask_too(served, tmp_path):
    endpoints = {
        "/v1/chat/completions": "chat",
        "/v1/responses": "chat",
        "/v1/embeddings": "embeddings",
        "/v1/notebooks": "notebooks",
    }
    async with gateway_of(served, tmp_path) as gateway:
        person = Caller("ada", "lab", frozenset(SCOPES))
        for endpoint, scope in endpoints.items():
            body = {"input_file_id": "file-none", "endpoint": endpoint}
            _, without = await gateway.app.virtual_keys.make(
                person, "w", scopes=GRANTABLE - {scope, "instructor"}, is_counted=False
            )
            _, with_it = await gateway.app.virtual_keys.make(
                person, "w", scopes=frozenset({"batches", scope}), is_counted=False
            )
            refused = await gateway.ask(body, without.reveal(), "v1/batches")
            reached = await gateway.ask(body, with_it.reveal(), "v1/batches")
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope"), endpoint
            assert reached.json()["error"]["code"] != "missing_scope", endpoint


async def test_a_key_is_made_with_scopes_one_by_one_and_never_with_more_than_its_maker(served, tmp_path):
    async with gateway_of(served, tmp_path) as gateway:
        made = await gateway.ask({"name": "k", "scopes": ["files", "batches"]}, "owner-token", "keys")
        assert made.json()["scopes"] == ["batches", "files"]
        for wrong in (["keys"], ["admin"], ["metrics"], ["root"], [], "chat", [1]):
            refused = await gateway.ask({"name": "k", "scopes": wrong}, "owner-token", "keys")
            assert refused.status_code == 400, wrong
            assert "conversations:delete" in refused.json()["error"]["message"]
        more = await gateway.ask({"name": "k", "scopes": ["instructor"]}, "toml-keys", "keys")
        assert more.status_code == 403
        usual = await gateway.ask({"name": "k"}, "owner-token", "keys")
        assert frozenset(usual.json()["scopes"]) == ASKING


async def test_what_a_token_may_not_read_its_stats_do_not_count(served, tmp_path):
    async with gateway_of(served, tmp_path) as gateway:
        told = (await gateway.get("stats", "toml-chat")).json()
        whole = (await gateway.get("stats", "owner-token")).json()
    assert [told[name] for name in ("documents", "dictionaries", "examples")] == [None] * 3
    assert [whole[name] for name in ("documents", "dictionaries", "examples")] == [0] * 3
    assert (told["may_share"], whole["may_share"]) == (False, True)


async def test_a_refusal_names_what_is_lacking():
    with pytest.raises(NotPermitted, match="lacks the scope 'chat' or 'completion'"):
        require(Caller("ada", scopes=frozenset({"files"})), "chat", "completion")


async def test_the_application_and_the_table_have_the_same_routes(tmp_path):
    """A handler that is served beside the table would be in no matrix."""
    app = build_app(dataclasses.replace(Settings(), storage=StorageSettings(ledger="memory://")), [], "/rsql/")
    served = {rule.matcher.regex.pattern for rule in web_application(app).wildcard_router.rules}
    known = {re.escape("/rsql/") + route.regex for route in ROUTES}
    assert len([one for one in served if not any(one.startswith(path) for path in known)]) <= 1
    assert len(served) == len(known) + 1  # and what is elsewhere
