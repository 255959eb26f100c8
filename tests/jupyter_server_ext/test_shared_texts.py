"""The routes of shared dictionaries and examples: who may share what, how it is fetched, and what is refused."""

from __future__ import annotations

import pytest
from callers import PERSON, TEACHER

from jupyter_server_ext.config import DocumentSettings, Secret, Settings, StorageSettings
from jupyter_server_ext.config.settings import ApiKeySettings

pytestmark = pytest.mark.asyncio
PEOPLE = tuple(
    ApiKeySettings(name, Secret(f"{name}-token"), tenant, scopes)
    for name, tenant, scopes in (
        ("ada", "stats101", PERSON),
        ("tom", "stats101", TEACHER),
        ("eve", "law", TEACHER),
        ("bob", "", PERSON),
        ("nil", "", TEACHER),
    )
)
SHOP = {"name": "shop.yaml", "text": "tables:\n  orders:\n    description: Each line is one order.\n"}
PAIR = {"question": "How many orders are there?", "sql": "SELECT count(*) FROM orders", "dialect": "duckdb"}


@pytest.fixture
def shared(served, tmp_path):
    """A gateway with a ledger and these people."""

    def serving(**more):
        storage = StorageSettings(ledger=f"sqlite:///{tmp_path}/ledger.db")
        return served(Settings(default_model="llama", storage=storage, api_keys=PEOPLE, **more))

    return serving


async def send(gateway, token, method, path, body=None, **headers):
    headers = {"Authorization": f"Bearer {token}-token"} | headers
    return await gateway.client.request(method, path, headers=headers, json=body)


@pytest.mark.slow
async def test_a_groups_callers_fetch_what_their_instructor_shared_and_what_is_for_everyone(shared):
    async with shared() as gateway:
        assert (await send(gateway, "tom", "POST", "dictionaries", SHOP)).status_code == 201
        everyones = SHOP | {"text": "tables: {}", "tenant": ""}
        assert (await send(gateway, "owner", "POST", "dictionaries", everyones)).status_code == 201
        listed = (await send(gateway, "ada", "GET", "dictionaries")).json()["dictionaries"]
        assert [(one["name"], one["tenant"]) for one in listed] == [("shop.yaml", "stats101"), ("shop.yaml", "")]
        assert "text" not in listed[0]
        assert (await send(gateway, "ada", "GET", "dictionaries/shop.yaml")).json()["text"] == SHOP["text"]
        assert (await send(gateway, "ada", "GET", "dictionaries/shop.yaml?tenant=")).json()["text"] == "tables: {}"
        for outsider in ("eve", "bob"):
            assert (await send(gateway, outsider, "GET", "dictionaries/shop.yaml")).json()["tenant"] == ""
            theirs = await send(gateway, outsider, "GET", "dictionaries/shop.yaml?tenant=stats101")
            assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "shared_not_found")
        stats = (await send(gateway, "ada", "GET", "stats")).json()
        assert (stats["dictionaries"], stats["examples"]) == (2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["dictionaries", "dictionaries/shop.yaml", "examples"])
async def test_what_was_not_changed_is_not_sent_again(shared, path):
    async with shared() as gateway:
        await send(gateway, "tom", "POST", "dictionaries", SHOP)
        await send(gateway, "tom", "POST", "examples", PAIR)
        first = await send(gateway, "ada", "GET", path)
        tag = first.headers["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}'):
            again = await send(gateway, "ada", "GET", path, **{"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        await send(gateway, "tom", "POST", "dictionaries", SHOP | {"text": "tables: {}"})
        await send(gateway, "tom", "POST", "examples", PAIR | {"sql": "SELECT 2"})
        changed = await send(gateway, "ada", "GET", path, **{"If-None-Match": tag})
        assert (changed.status_code, changed.headers["etag"] == tag) == (200, False)
        others = await send(gateway, "eve", "GET", path, **{"If-None-Match": tag})
        assert others.status_code != 304


@pytest.mark.slow
async def test_an_example_is_promoted_replaced_and_deleted_by_its_group_alone(shared):
    async with shared() as gateway:
        made = (await send(gateway, "tom", "POST", "examples", PAIR)).json()
        again = PAIR | {"question": "how many  orders are there?", "sql": "SELECT 2"}
        assert (await send(gateway, "tom", "POST", "examples", again)).json()["name"] == made["name"]
        [example] = (await send(gateway, "ada", "GET", "examples")).json()["examples"]
        assert (example["sql"], example["dialect"], example["tenant"]) == ("SELECT 2", "duckdb", "stats101")
        assert (await send(gateway, "eve", "GET", "examples")).json() == {"examples": []}
        path = f"examples/{made['name']}"
        statuses = [(await send(gateway, who, "DELETE", path)).status_code for who in ("ada", "eve", "tom", "tom")]
        assert statuses == [403, 404, 200, 404]
        trail = (await send(gateway, "tom", "GET", "admin/api/changes")).json()["changes"]
        assert [line["name"] for line in trail][:1] == [f"deleted the example {made['name']}"]


@pytest.mark.parametrize("token", ["ada", "bob", "nil"])
@pytest.mark.parametrize(("path", "body"), [("dictionaries", SHOP), ("examples", PAIR)])
async def test_who_may_not_share_is_refused(shared, token, path, body):
    async with shared() as gateway:
        assert (await send(gateway, token, "POST", path, body)).status_code == 403
        for tenant in ("law", ""):
            assert (await send(gateway, "tom", "POST", path, body | {"tenant": tenant})).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("dictionaries", SHOP | {"name": " "}),
        ("dictionaries", SHOP | {"name": "a\x00b"}),
        ("dictionaries", SHOP | {"text": " "}),
        ("dictionaries", SHOP | {"text": "a\x1b[2J"}),
        ("dictionaries", SHOP | {"text": "a" * 2_000_001}),
        ("dictionaries", SHOP | {"txt": "a"}),
        ("dictionaries", SHOP | {"days": -1}),
        ("dictionaries", {"name": "a"}),
        ("examples", PAIR | {"question": " "}),
        ("examples", PAIR | {"question": "x" * 1_001}),
        ("examples", PAIR | {"sql": "x" * 20_001}),
        ("examples", PAIR | {"dialect": "d" * 31}),
        ("examples", PAIR | {"sql": 7}),
        ("examples", []),
    ],
)
async def test_what_cannot_be_shared_is_told(shared, path, body):
    async with shared() as gateway:
        reply = await send(gateway, "tom", "POST", path, body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
        assert (await send(gateway, "tom", "GET", path)).json() == {path: []}


async def test_control_characters_of_an_example_are_taken_out(shared):
    async with shared() as gateway:
        await send(gateway, "tom", "POST", "examples", {"question": "a\x00b\nc", "sql": "SELECT\x1b 1"})
        [example] = (await send(gateway, "ada", "GET", "examples")).json()["examples"]
        assert (example["question"], example["sql"]) == ("ab c", "SELECT 1")


@pytest.mark.slow
async def test_quota_and_expiry_are_those_of_documents(shared):
    limits = DocumentSettings(
        mb_per_tenant=0.001, dictionaries_per_tenant=1, examples_per_tenant=1, default_days=7.0, most_days=30.0
    )
    async with shared(documents=limits) as gateway:
        assert (await send(gateway, "tom", "POST", "dictionaries", SHOP)).json()["expires"]
        for body in (SHOP | {"name": "b.yaml"}, SHOP | {"text": "x" * 2_000}):
            full = await send(gateway, "tom", "POST", "dictionaries", body)
            assert (full.status_code, full.json()["error"]["code"]) == (403, "documents_full")
        assert (await send(gateway, "tom", "POST", "examples", PAIR | {"days": 31})).status_code == 400
        assert (await send(gateway, "tom", "POST", "examples", PAIR)).status_code == 201
        assert (await send(gateway, "tom", "POST", "examples", PAIR | {"question": "?"})).status_code == 403


async def test_without_a_ledger_there_are_none_and_that_is_said(served):
    async with served(Settings(storage=StorageSettings(ledger="memory://"))) as gateway:
        for path, body in (("dictionaries", SHOP), ("examples", PAIR)):
            assert (await send(gateway, "ada", "GET", path)).json() == {path: []}
            assert (await send(gateway, "owner", "POST", path, body)).json()["error"]["code"] == "no_ledger"


@pytest.mark.slow
async def test_a_dictionary_of_a_megabyte_comes_through_whole(shared):
    text = "tables:\n" + "".join(f"  t{n}: {{description: ä{n}}}\n" for n in range(30_000))
    async with shared() as gateway:
        assert (await send(gateway, "tom", "POST", "dictionaries", SHOP | {"text": text})).status_code == 201
        assert (await send(gateway, "ada", "GET", "dictionaries/shop.yaml")).json()["text"] == text
