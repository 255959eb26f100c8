"""What administrators are told over HTTP: every route, its parameters, its shapes, and who may ask."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import httpx
import jsonschema
import pytest
from cryptography.fernet import Fernet
from paid_provider import END, KEYS, PRICES, STREAM, body, event, whole

from jupyter_server_ext.config import Secret, Settings, StorageSettings, TenantSettings
from jupyter_server_ext.handlers.openapi import openapi
from jupyter_server_ext.handlers.routes import ROUTES
from jupyter_server_ext.ledger import opened

ADMIN = "owner-token"
DOCUMENT = openapi(ROUTES)
READING = [path for path, methods in DOCUMENT["paths"].items() if "get" in methods and path.startswith("/admin/api/")]
BOX = Secret(Fernet.generate_key().decode())


def provider(request):
    asked = json.loads(request.content)
    if asked["model"] == "bad":
        return httpx.Response(500, json={"error": {"message": "broken by hunter2"}})
    if asked["model"] == "none-such":
        return httpx.Response(404, json={"error": {"message": "no", "code": "model_not_found"}})
    if asked.get("stream"):
        words = event({"choices": [{"index": 0, "delta": {"content": "Forty-two."}}]})
        return httpx.Response(200, headers=STREAM, content=words + event(END) + b"data: [DONE]\n\n")
    return whole("Forty-two.")


@pytest.fixture
def paying(served, url, monkeypatch):
    """``async with paying() as gateway``: one with a ledger, over a provider that is simulated."""
    monkeypatch.setattr("jupyter_server_ext.keys.key._FIRST_COOL_DOWN", 0.02)

    def serving(**options):
        known = {"prices": PRICES, "storage": StorageSettings(ledger=url, instance="one"), "keys": KEYS}
        settings = Settings(default_model="m", **(known | options))
        return served(settings, fake=False, transport=httpx.MockTransport(provider))

    return serving


def asking(question, **more):
    return body(messages=[{"role": "user", "content": question}], **more)


def address(path, user="ada", request_id="none"):
    known = {"user": user, "id": request_id, "version": "0", "file": "app.js"}
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), path.strip("/"))


async def a_day(gateway):
    """Some requests of all kinds; the id of one."""
    first = await gateway.ask(
        asking("What is a p-value?"), headers={"X-RSQL-Session": "nb-1", "X-Request-Id": "mine-1"}
    )
    await gateway.ask(asking("what is a p-value"), headers={"X-RSQL-Task": "ask"})
    await gateway.ask(asking("What is not a p-value?"), token="bob-token")
    await gateway.ask(asking("Hi", model="bad"), token="bob-token")
    await gateway.ask(asking("Hi", model="none-such"), token="bob-token")
    await gateway.ask({"message": "And now?"}, path="chat")
    request_id = first.headers["x-request-id"]
    await gateway.ask({"request_id": request_id, "rating": 4, "comment": "<b>ok</b>"}, path="feedback")
    await gateway.ask({}, path="admin/api/keys/sim-1/pause", token=ADMIN)
    await gateway.ask({}, path="admin/api/keys/sim-1/resume", token=ADMIN)
    return request_id


async def answers_of(gateway):
    """How long each answer took that ended well, by the entries themselves."""
    for row in (await told(gateway, "requests?limit=1000"))["requests"]:
        if row["outcome"] == "success":
            yield row["duration_seconds"]


def assert_quantiles(rates, took):
    """As SQL's PERCENTILE_CONT has them."""
    took = sorted(took)
    for percent in (50, 95, 99):
        rank = percent / 100 * (len(took) - 1)
        low, high = took[int(rank)], took[min(int(rank) + 1, len(took) - 1)]
        assert rates[f"p{percent}_seconds"] == pytest.approx(low + (high - low) * (rank % 1), rel=0.03)


async def told(gateway, path):
    reply = await gateway.get(f"admin/api/{path}", ADMIN)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_was_asked_is_counted_at_every_route(paying):
    async with paying() as gateway:
        request_id = await a_day(gateway)
        metrics = await told(gateway, "metrics?hours=1")
        assert metrics["total"]["requests"] == 6
        assert (metrics["total"]["success"], metrics["total"]["failure"], metrics["total"]["refused"]) == (4, 1, 1)
        assert metrics["total"]["retries"] == 2
        assert metrics["total"]["cost_usd"] > 0
        assert {row["name"]: row["requests"] for row in metrics["models"]} == {"m": 4, "bad": 1, "": 1}
        assert {row["name"]: row["requests"] for row in metrics["tasks"]} == {"other": 4, "ask": 1, "chat": 1}
        assert {row["name"]: row["requests"] for row in metrics["tenants"]} == {"stats101": 3, "": 3}
        assert (await told(gateway, "metrics?hours=1&tenant=stats101"))["total"]["requests"] == 3

        (found,) = (await told(gateway, f"requests/{request_id}"))["entries"]
        assert (found["client_id"], found["session"], found["outcome"]) == ("mine-1", "nb-1", "success")
        errors = (await told(gateway, "errors"))["errors"]
        assert [(row["status"], row["attempts"]) for row in errors] == [
            (404, 1),
            (500, 0),
            (500, 0),
            (502, 3),
        ]
        assert "hunter2" not in json.dumps(errors)
        assert [row["error"] for row in (await told(gateway, "errors?code=model_not_found"))["errors"]] == [
            "model_not_found"
        ]
        assert (await told(gateway, "errors?user=ada"))["errors"] == []
        assert len((await told(gateway, f"errors?request_id={errors[3]['request_id']}"))["errors"]) == 3

        activity = await told(gateway, "user-activity/ada?limit=2")
        assert activity["total"]["requests"] == activity["days"][0]["requests"] == 3
        assert len(activity["requests"]) == 2
        later = await told(gateway, f"user-activity/ada?limit=2&after={activity['next']}")
        assert (len(later["requests"]), later["next"]) == (1, None)
        assert (await told(gateway, "user-activity/nobody"))["total"] is None

        stats = await told(gateway, "stats")
        assert stats["all_time"]["requests"] == stats["last_hour"]["requests"] == 6
        assert stats["users"] == {"all_time": 2, "last_day": 2}
        slots = (await told(gateway, "analytics/timeseries?hours=2&step=five-minutes"))["series"]
        assert sum(row["requests"] for row in slots) == 6
        popular = (await told(gateway, "analytics/popular"))["items"]
        assert [row["requests"] for row in popular][:2] == [2, 2], "Hi, and the p-value in two ways of writing"
        assert len(popular) == 4
        assert not any("text" in row for row in popular)
        assert (await told(gateway, "analytics/trending"))["items"][0]["lately"] == pytest.approx(2, abs=0.1)
        users = (await told(gateway, "users?by=requests"))["users"]
        assert [(row["name"], row["requests"]) for row in users] == [("bob", 3), ("ada", 3)]
        for begins, found in (("A", ["ada"]), ("%25", []), ("_da", []), ("DA", ["ada"]), ("adab", [])):
            assert [row["name"] for row in (await told(gateway, f"users?name={begins}"))["users"]] == found
        assert (await told(gateway, "analytics/stats"))["questions"] == 4

        changes = (await told(gateway, "changes"))["changes"]
        seen = [(row["kind"], row["name"], row["after"]["action"], row["caller"]) for row in changes]
        assert seen == [("key", "sim-1", "resume", "owner"), ("key", "sim-1", "pause", "owner")]
        assert (await told(gateway, "feedback"))["feedback"][0]["comment"] == "<b>ok</b>"
        health = await told(gateway, "health")
        assert (health["database"]["kind"], health["database"]["unfolded"]) == ("sqlite", 0)
        assert_quantiles(metrics["total"], [row async for row in answers_of(gateway)])
        told_to_prometheus = (await gateway.get("metrics", ADMIN)).text
        for percent, share in ((50, "0.5"), (95, "0.95"), (99, "0.99")):
            seconds = health["performance"][f"p{percent}_seconds"]
            assert seconds == metrics["total"][f"p{percent}_seconds"]
            assert f'rsql_answer_seconds{{quantile="{share}"}} {seconds}' in told_to_prometheus


@pytest.mark.slow
@pytest.mark.asyncio
async def test_texts_are_kept_and_shown_where_policy_says_so(paying, url):
    tenants = (TenantSettings("stats101", keep_prompts=True, keep_answers=True),)
    storage = StorageSettings(ledger=url, instance="one", prompt_keys=(BOX,))
    async with paying(tenants=tenants, storage=storage) as gateway:
        mine = await gateway.ask(asking("What is a p-value?", stream=True))
        bobs = await gateway.ask(asking("A secret question"), token="bob-token")
        (entry,) = (await told(gateway, f"requests/{mine.headers['x-request-id']}"))["entries"]
        assert entry["messages"] == [{"role": "user", "content": "What is a p-value?"}]
        assert entry["answer"]["content"] == "Forty-two."
        (other,) = (await told(gateway, f"requests/{bobs.headers['x-request-id']}"))["entries"]
        assert "messages" not in other
        assert "answer" not in other
        texts = {row.get("text") for row in (await told(gateway, "analytics/popular"))["items"]}
        assert texts == {"What is a p-value?", None}
    with opened(url, instance="reader") as store:
        kept = store.find(mine.headers["x-request-id"])[0]
        assert b"p-value" not in kept.prompt
        assert b"Forty" not in kept.answer
        store.drop_texts(1e12)
        assert store.find(mine.headers["x-request-id"])[0].answer is None


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_conversation_goes_on_at_another_gateway_where_its_text_is_kept(paying, url):
    tenants = (TenantSettings("stats101", keep_prompts=True, keep_answers=True, system_prompt="Be short."),)
    storage = StorageSettings(ledger=url, instance="one", prompt_keys=(BOX,))
    other_storage = replace(storage, instance="two")

    async def say(gateway, message, token="ada-token", **more):
        said = await gateway.ask({"message": message, **more}, path="chat", token=token)
        return said.json() if not more.get("stream") else said.headers

    async with paying(tenants=tenants, storage=storage) as one, paying(tenants=tenants, storage=other_storage) as two:
        first = await say(one, "My name is Ada.", context="a notebook")
        name = first["session_id"]
        assert (first["earlier_turns"], first["turns_kept"]) == (0, "ledger")
        second = await say(two, "Who am I?", session_id=name, stream=True)
        assert (second["x-rsql-session"], second["x-rsql-earlier-turns"]) == (name, "1")
        assert second["x-rsql-turns-kept"] == "ledger"
        assert (await say(one, "And then?", session_id=name))["earlier_turns"] == 2, "not what it has heard itself"
        assert (await say(two, "Who am I?", token="bob-token", session_id=name))["earlier_turns"] == 0
        assert (await say(one, "Bob's", token="bob-token", session_id="b"))["turns_kept"] == "memory"
        assert (await say(one, "Bob's", token="bob-token", session_id="b"))["earlier_turns"] == 1
        assert (await say(two, "Bob's", token="bob-token", session_id="b"))["earlier_turns"] == 0
    async with paying(tenants=tenants, storage=storage) as again:
        found = await again.ask({"message": "After a restart", "session_id": name}, path="chat")
        assert found.json()["earlier_turns"] == 3
        (entry,) = (await told(again, f"requests/{found.headers['x-request-id']}"))["entries"]
        said = [message["content"] for message in entry["messages"]]
        assert said[0] == "Be short."
        assert said[1::2] == ["My name is Ada.", "Who am I?", "And then?", "After a restart"]
        assert set(said[2::2]) == {"Forty-two."}
        await again.client.delete(f"conversations/{name}", headers={"Authorization": "Bearer ada-token"})
        assert (await say(again, "Who am I?", session_id=name))["earlier_turns"] == 0


@pytest.mark.slow
@pytest.mark.asyncio
async def test_conversations_are_found_named_and_deleted_by_their_owner_only(paying):
    async with paying() as gateway:
        said = (await gateway.ask({"message": "My name is Ada."}, path="chat")).json()
        name = said["session_id"]
        own, others = {"Authorization": "Bearer ada-token"}, {"Authorization": "Bearer bob-token"}
        renamed = await gateway.client.patch(f"conversations/{name}", json={"name": "<Names>"}, headers=own)
        assert renamed.json() == {"id": name, "name": "<Names>"}
        assert (
            await gateway.client.patch(f"conversations/{name}", json={"name": "x"}, headers=others)
        ).status_code == 404
        assert (await gateway.client.delete(f"conversations/{name}", headers=others)).status_code == 404
        assert (await gateway.get("conversations", "bob-token")).json()["conversations"] == []
        (listed,) = (await told(gateway, "conversations"))["conversations"]
        assert (listed["id"], listed["name"], listed["user"], listed["requests"]) == (name, "<Names>", "ada", 1)
    async with paying() as again:
        assert (await again.get("conversations")).json()["conversations"][0]["name"] == "<Names>", "after a restart"
        deleted = await again.client.delete(
            f"admin/api/conversations/{name}", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        assert deleted.json() == {"deleted": 1}
        assert (await told(again, "sessions"))["sessions"] == []


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_restart_and_a_second_gateway_know_what_was_done_to_a_key(paying):
    async with paying() as gateway, paying() as other:
        await gateway.ask({}, path="admin/api/keys/sim-1/retire", token=ADMIN)
        following = asyncio.create_task(other.app.runtime.follow(0.01))
        async with asyncio.timeout(5):
            while not other.app.gateway.pool.keys.get("sim-1").retired:
                await asyncio.sleep(0.01)
        await other.ask({}, path="admin/api/keys/sim-1/resume", token=ADMIN)
        following.cancel()
    async with paying() as gateway:
        assert not gateway.app.gateway.pool.keys.get("sim-1").retired
        await gateway.ask({}, path="admin/api/keys/sim-1/pause", token=ADMIN)
    async with paying() as gateway:
        assert gateway.app.gateway.pool.keys.get("sim-1").paused


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_deleted_conversation_is_forgotten_at_other_gateways(paying):
    async with paying() as gateway, paying() as other:
        name = (await gateway.ask({"message": "One"}, path="chat")).json()["session_id"]
        await other.ask({"message": "Two", "session_id": name}, path="chat")
        following = asyncio.create_task(other.app.conversations.follow(other.app.accounting.ledger, 0.01))
        await asyncio.sleep(0.05)
        await gateway.client.delete(f"conversations/{name}", headers={"Authorization": "Bearer ada-token"})
        async with asyncio.timeout(5):
            while other.app.conversations.of("ada", name):
                await asyncio.sleep(0.01)
        following.cancel()


WRONG = ["limit=-1", "limit=0", "limit=1e3", "limit=1001", "limit=", "limit=٣", "after=x", "after=%00", "hours=1e9"]
WRONG += ["hours=0", "hours=-1", "hours=8785", "hours=nan", "step=week", "kind=secret", "by=", "days=0", "format=xml"]


def cases():
    """Each route with each wrong value of a parameter that it has, and one it does not know."""
    for path in READING:
        names = {one["name"] for one in DOCUMENT["paths"][path]["get"]["parameters"] if one["in"] == "query"}
        for query in WRONG:
            if query.split("=")[0] in names and not ("usage" in path and query == "limit=1001"):
                yield path, query
        yield path, "surprise=1"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_wrong_and_unknown_parameters_are_named(paying):
    async with paying() as gateway:
        await gateway.ask()
        for path, query in cases():
            reply = await gateway.get(f"{address(path)}?{query}", ADMIN)
            error = reply.json()["error"]
            assert (reply.status_code, error["param"]) == (400, query.split("=")[0]), (path, query, reply.text)
            assert error["message"]
        twice = await gateway.get("admin/api/metrics?hours=1&hours=2", ADMIN)
        assert twice.status_code == 400
        mark = (await told(gateway, "users?limit=1&by=requests"))["next"] or "WyJhIl0"
        assert (await gateway.get(f"admin/api/requests?after={mark}", ADMIN)).status_code == 400


@pytest.mark.slow
@pytest.mark.asyncio
async def test_no_administrators_route_answers_a_wrong_token(paying):
    routes = [
        (path, method)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if path.startswith("/admin/")
    ]
    async with paying() as gateway:
        for path, method in routes:
            action = "cancel" if "jobs" in path else "pause"
            where = address(path).replace("{key}", "sim-1").replace("{action}", action).replace("{name}", "ada")
            for token, status in (("bad-token", 401), ("bob-token", 403), ("", 401)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                reply = await gateway.client.request(method, where, headers=headers)
                assert reply.status_code == status, (method, where, token)


# openapi.json ---------------------------------------------------------------------------------------------------------


def strict(schema):
    """The same schema, by which members that it does not name are wrong."""
    if isinstance(schema, dict):
        closed = {name: strict(value) for name, value in schema.items()}
        return closed | ({"additionalProperties": False} if "properties" in closed and "title" in closed else {})
    return [strict(one) for one in schema] if isinstance(schema, list) else schema


@pytest.mark.slow
@pytest.mark.asyncio
async def test_replies_have_the_shapes_of_the_document(paying, url):
    """Of all that is read, with every parameter at a right value."""
    tenants = (TenantSettings("stats101", keep_prompts=True, keep_answers=True),)
    storage = StorageSettings(ledger=url, instance="one", prompt_keys=(BOX,))
    seen = set()
    async with paying(tenants=tenants, storage=storage) as gateway:
        request_id = await a_day(gateway)
        made = await gateway.ask({"url": "https://hooks.example.org/"}, path="admin/api/webhooks", token=ADMIN)
        webhook = made.json()
        headers = {"Authorization": f"Bearer {ADMIN}"}
        form = {"file": ("a.jsonl", b"{}")}
        sent = await gateway.client.post("v1/files", data={"purpose": "batch"}, files=form, headers=headers)
        file = sent.json()
        body = {"input_file_id": file["id"], "endpoint": "/v1/embeddings"}
        job = (await gateway.ask(body, path="v1/batches", token=ADMIN)).json()
        talk = {"title": "Delays", "pairs": [{"question": "Why?"}]}
        await gateway.client.put(f"sessions/{request_id}", json=talk, headers=headers)
        kept = {"kind": "table", "name": "a.csv", "data": ""}
        artifact = (await gateway.ask(kept, path=f"sessions/{request_id}/artifacts", token=ADMIN)).json()
        link = (await gateway.ask({}, path=f"sessions/{request_id}/share", token=ADMIN)).json()["link"]
        document = (await gateway.get("openapi.json")).json()
        components = strict(document["components"])
        for path, methods in document["paths"].items():
            elsewhere = {"/oauth_callback", "/v1/{other}", "/dictionaries/{name}", "/v1/files/{id}/content"}
            if "get" not in methods or path in elsewhere:
                continue
            operation = methods["get"]
            names = {"/admin/api/webhooks/": webhook["id"], "/admin/api/jobs/": job["id"], "/v1/batches/": job["id"]}
            names |= {"/v1/files/": file["id"], "/download/": artifact["id"]}
            known = next((name for start, name in names.items() if path.startswith(start)), request_id)
            where = address(path, request_id=known).replace("{model}", "m").replace("{name}", "stats101")
            where = where.replace("{kind}", "table").replace("{token}", link.removeprefix("shared/"))
            some = [one for one in operation["parameters"] if one["in"] == "query" and "default" in one["schema"]]
            query = "&".join(f"{one['name']}={one['schema']['default']}" for one in some)
            for address_of in (where, f"{where}?{query}"):
                reply = await gateway.get(address_of, ADMIN)
                assert reply.status_code == 200, (address_of, reply.text)
                ((kind, content),) = operation["responses"]["200"]["content"].items()
                assert reply.headers["content-type"].startswith(kind)
                if kind == "application/json":
                    schema = strict(content["schema"]) | {"components": components}
                    jsonschema.Draft202012Validator(schema).validate(reply.json())
                    seen.add(path)
    assert len(seen) > 25


def test_every_operation_says_what_it_takes_and_how_it_replies():
    names = set()
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            names.add(operation["operationId"])
            in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))
            (status,) = set(operation["responses"]) - {"default"}
            assert operation["responses"][status]["content"]
            assert operation["summary"]
    assert len(names) == sum(len(methods) for methods in DOCUMENT["paths"].values())


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_generated_client_works(paying, tmp_path, programs):
    """openapi-python-client makes a package of the document, which reads what a gateway replies."""
    async with paying() as gateway:
        request_id = await a_day(gateway)
        (tmp_path / "openapi.json").write_text(json.dumps(DOCUMENT))
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
        command += ["--path", str(tmp_path / "openapi.json"), "--output-path", str(tmp_path / "rsql_api")]
        made = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        assert "Warning" not in made.stdout, made.stdout
        sys.path.insert(0, str(tmp_path))
        try:
            client = importlib.import_module("rsql_api").AuthenticatedClient(
                base_url=gateway.url.rstrip("/"), token=ADMIN
            )
            api = "rsql_api.api.admin.get_admin_api_"

            async def call(name, *path, **query):
                module = importlib.import_module(api + name)
                return await module.asyncio(*path, client=client, **query)

            assert (await call("metrics", hours=1)).total.requests == 6
            errors = await call("errors", limit=2)
            assert len(errors.errors) == 2
            assert len((await call("errors", limit=2, after=errors.next_)).errors) == 2
            assert (await call("user_activity_user", "ada")).total.requests == 3
            assert (await call("stats")).all_time.success == 4
            assert (await call("health")).database.kind == "sqlite"
            assert (await call("analytics_popular")).items[0].requests == 2
            assert (await call("requests_id", request_id)).entries[0].caller == "ada"
            await client.get_async_httpx_client().aclose()
        finally:
            sys.path.remove(str(tmp_path))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_the_document_allows_is_answered_and_other_queries_are_refused(paying):
    """Requests that schemathesis makes of the document, right and wrong ones, at every route that is read."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, seed, settings

    schema = schemathesis.openapi.from_dict(DOCUMENT)
    head = {"Authorization": f"Bearer {ADMIN}"}
    async with paying() as gateway:
        await a_day(gateway)
        base = gateway.url.rstrip("/")

        def try_one(operation, mode, allowed):
            strategy = operation.as_strategy(generation_mode=mode)

            @seed(7)
            @settings(max_examples=6, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
            @given(case=strategy)
            def check(case):
                reply = case.call(base_url=base, headers=head)
                assert reply.status_code in allowed, (case.path, case.query, reply.text)
                if reply.status_code == 200:
                    case.validate_response(reply, checks=[schemathesis.checks.response_schema_conformance])

            check()

        def try_all():
            for found in schema.get_all_operations():
                operation = found.ok()
                if operation.method.upper() == "GET" and operation.path.startswith("/admin/api/"):
                    # 404 of what has no such id, 400 of a mark that no page had.
                    try_one(operation, schemathesis.GenerationMode.POSITIVE, {200, 400, 404})
                    if operation.query:
                        try_one(operation, schemathesis.GenerationMode.NEGATIVE, {200, 400, 401, 403, 404})

        await asyncio.to_thread(try_all)


OWN_BODIES = [
    "keys",
    "feedback",
    "search",
    "admin/api/keys",
    "admin/api/api-keys",
    "admin/api/webhooks",
    "admin/api/tenants",
    "admin/api/tenants/lab/members",
    "documents",
]


@pytest.mark.asyncio
async def test_fields_that_a_route_of_our_own_does_not_know_are_refused_by_name(paying):
    async with paying(tenants=(TenantSettings("lab"),)) as gateway:
        for path in OWN_BODIES:
            sent = {"name": "a", "nmae": 1, "caller": "ada", "owner": "ada", "provider": "groq"}
            reply = await gateway.ask(sent, path=path, token=ADMIN)
            assert reply.status_code == 400, path
            told = reply.json()["error"]["message"]
            assert any(f"'{name}'" in told or f"`{name}`" in told for name in sent), (path, told)
