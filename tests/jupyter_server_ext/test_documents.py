"""The routes of shared documents: who may put, search and delete, in the house's shape of errors."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from base64 import b64encode
from contextlib import closing

import msgspec
import pytest
from callers import PERSON, TEACHER

from jupyter_server_ext.config import DocumentSettings, Secret, Settings, StorageSettings
from jupyter_server_ext.config.settings import ApiKeySettings
from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.knowledge import read_document
from jupyter_server_ext.knowledge.store import SqlDocuments

pytestmark = pytest.mark.asyncio
RULES = {"name": "rules.md", "text": "# Bins\n\nBroken glass goes into the yellow bin."}
PEOPLE = (
    ApiKeySettings("ada", Secret("ada-token"), tenant="stats101", scopes=PERSON),
    ApiKeySettings("tom", Secret("tom-token"), tenant="stats101", scopes=TEACHER),
    ApiKeySettings("eve", Secret("eve-token"), tenant="law", scopes=TEACHER),
    ApiKeySettings("bob", Secret("bob-token"), scopes=PERSON),
    ApiKeySettings("nil", Secret("nil-token"), scopes=TEACHER),
)


ONE = b64encode(struct.pack("<4e", 1, -1, 0.5, 0)).decode()


def meant(*vectors):
    return {"text": "", "model": "m", "passages": [{"text": "x", "vector": vector} for vector in vectors]}


@pytest.fixture
def shared(served, tmp_path):
    """A gateway with a ledger and these people."""

    def serving(**more):
        storage = StorageSettings(ledger=f"sqlite:///{tmp_path}/ledger.db")
        return served(Settings(default_model="llama", storage=storage, api_keys=PEOPLE, **more))

    return serving


async def put(gateway, token, **body):
    return await gateway.ask({**RULES, **body}, token, "documents")


async def search(gateway, token, query="Where does glass go?", **more):
    return (await gateway.ask({"query": query, **more}, token, "search")).json()["passages"]


@pytest.mark.slow
@pytest.mark.parametrize("memory_mb", [0, 256])
async def test_an_index_is_made_before_the_first_search(shared, tmp_path, memory_mb):
    async with shared(documents=DocumentSettings(memory_mb=memory_mb)) as gateway:
        await put(gateway, "tom-token")
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
            assert db.execute("SELECT length(search_index) > 50 FROM documents").fetchall() == [(1,)]
        assert len(await search(gateway, "ada-token")) == 1
        await put(gateway, "tom-token", text="Whole glasses are brown.")
        assert "brown" in (await search(gateway, "ada-token"))[0]["text"]


@pytest.mark.slow
async def test_others_write_between_the_steps_of_documents(shared, monkeypatch, programs):
    """However many documents come at once, at most a step or two of them stands before anybody's entry."""
    order, add = [], SqlDocuments.add
    monkeypatch.setattr(SqlDocuments, "add", lambda *given: (order.append("step"), add(*given))[1])
    async with shared() as gateway:
        text = "\n\n".join("A paragraph of some words. " * 45 for _ in range(150))

        async def others(sharing):
            while not sharing.done():
                await gateway.app.accounting.ledger.write(lambda _: order.append("other"))

        sharing = asyncio.gather(*(put(gateway, "tom-token", name=f"{n}.md", text=text) for n in range(4)))
        await others(sharing)
        assert {reply.status_code for reply in await sharing} == {201}
    runs = "".join(word[0] for word in order).split("o")
    assert order.count("step") >= 4 * 6
    assert max(map(len, runs)) <= 2


@pytest.mark.slow
async def test_an_instructor_shares_with_the_own_group_and_its_callers_search(shared):
    async with shared() as gateway:
        made = await put(gateway, "tom-token")
        assert (made.status_code, made.json()["tenant"], made.json()["passages"]) == (201, "stats101", 1)
        [found] = await search(gateway, "ada-token")
        assert (found["document"], found["path"], found["first"], found["last"]) == ("rules.md", ["Bins"], 3, 3)
        for outsider in ("eve-token", "bob-token", "owner-token"):
            assert await search(gateway, outsider) == []
            assert (await gateway.get("documents", outsider)).json()["documents"] == []
        assert [each["name"] for each in (await gateway.get("documents")).json()["documents"]] == ["rules.md"]
        stats = [(await gateway.get("stats", token)).json() for token in ("ada-token", "tom-token", "eve-token")]
        assert [(each["documents"], each["may_share"]) for each in stats] == [(1, False), (1, True), (0, True)]


@pytest.mark.slow
async def test_what_is_for_everyone_an_administrator_shares(shared):
    async with shared() as gateway:
        assert (await put(gateway, "owner-token", tenant="")).status_code == 201
        assert (await put(gateway, "owner-token", tenant="law", name="law.md")).status_code == 201
        for token in ("ada-token", "bob-token"):
            assert [each["document"] for each in await search(gateway, token)] == ["rules.md"]
        assert {each["document"] for each in await search(gateway, "eve-token")} == {"rules.md", "law.md"}
        assert [each["document"] for each in await search(gateway, "eve-token", documents=["law.md"])] == ["law.md"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "body", "status", "code"),
    [
        ("ada-token", {}, 403, "missing_scope"),
        ("bob-token", {}, 403, "missing_scope"),
        ("nil-token", {}, 403, "not_permitted"),
        ("nil-token", {"tenant": ""}, 403, "not_permitted"),
        ("tom-token", {"tenant": "law"}, 403, "not_permitted"),
        ("tom-token", {"tenant": ""}, 403, "not_permitted"),
        ("tom-token", {"name": " "}, 400, "invalid_request"),
        ("tom-token", {"name": "a\x00b"}, 400, "invalid_request"),
        ("tom-token", {"text": "  "}, 400, "invalid_request"),
        ("tom-token", {"passages": [{"text": "x"}]}, 400, "invalid_request"),
        ("tom-token", {"text": "", "passages": [{"txt": "x"}]}, 400, "invalid_request"),
        ("tom-token", {"text": "", "passages": [{"text": "x" * 20_001}]}, 400, "invalid_request"),
        ("tom-token", {"text": "", "passages": [{"text": "x", "vector": ONE}]}, 400, "invalid_request"),
        ("tom-token", {"model": "m"}, 400, "invalid_request"),
        ("tom-token", meant(ONE, ""), 400, "invalid_request"),
        ("tom-token", meant(ONE, ONE + ONE), 400, "invalid_request"),
        ("tom-token", meant("AAA"), 400, "invalid_request"),
        ("tom-token", meant("AAAA"), 400, "invalid_request"),
        ("tom-token", meant("AAAAAA=="), 400, "invalid_request"),  # zeros
        ("tom-token", meant("AHwAfA=="), 400, "invalid_request"),  # infinite
        ("tom-token", meant("AH4AfA=="), 400, "invalid_request"),  # no numbers
        ("tom-token", meant("ADwA" * 8192), 400, "invalid_request"),
        ("tom-token", {"days": -1}, 400, "invalid_request"),
        ("tom-token", {"text": 7}, 400, "invalid_request"),
    ],
)
async def test_who_may_not_or_sends_something_else_is_told(shared, token, body, status, code):
    async with shared() as gateway:
        reply = await put(gateway, token, **body)
        assert reply.status_code == status
        assert reply.json()["error"]["code"] == code
        assert (await gateway.get("documents", "tom-token")).json()["documents"] == []


@pytest.mark.slow
async def test_passages_are_found_by_vectors_that_callers_send(shared):
    async with shared() as gateway:
        assert (await put(gateway, "tom-token", **meant(ONE))).status_code == 201
        [listed] = (await gateway.get("documents", "ada-token")).json()["documents"]
        assert listed["model"] == "m"
        reply = (await gateway.ask({"query": "felines"}, "ada-token", "search")).json()
        assert reply == {"passages": [], "models": ["m"]}
        meaning = {"model": "m", "vector": ONE}
        assert [each["text"] for each in await search(gateway, "ada-token", "felines", meaning=meaning)] == ["x"]
        assert await search(gateway, "ada-token", "felines", meaning=meaning | {"model": "n"}) == []
        assert await search(gateway, "eve-token", "felines", meaning=meaning) == []
        for wrong in ("m", {}, {"model": "m"}, {"model": "m", "vector": "AHwAfA=="}, meaning | {"more": 1}):
            refused = await gateway.ask({"query": "felines", "meaning": wrong}, "ada-token", "search")
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.slow
async def test_a_document_is_deleted_by_its_group_alone(shared):
    async with shared() as gateway:
        await put(gateway, "tom-token", name="notes/week 1.md")
        path, whose = "documents/notes%2Fweek%201.md", lambda name: {"Authorization": f"Bearer {name}-token"}
        assert (await gateway.client.delete(path, headers=whose("eve"))).status_code == 404
        assert (await gateway.client.delete(f"{path}?tenant=stats101", headers=whose("eve"))).status_code == 403
        assert (await gateway.client.delete(path, headers=whose("ada"))).status_code == 403
        assert await search(gateway, "ada-token")
        assert (await gateway.client.delete(path, headers=whose("tom"))).status_code == 200
        assert await search(gateway, "ada-token") == []


@pytest.mark.slow
async def test_quota_and_expiry_are_settings(shared):
    limits = DocumentSettings(most_per_tenant=1, mb_per_tenant=0.001, default_days=7.0, most_days=30.0)
    async with shared(documents=limits) as gateway:
        assert (await put(gateway, "tom-token")).json()["expires"]
        full = await put(gateway, "tom-token", name="b.md")
        assert (full.status_code, full.json()["error"]["code"]) == (403, "documents_full")
        assert (await put(gateway, "tom-token", text="x" * 2000)).json()["error"]["code"] == "documents_full"
        assert (await put(gateway, "tom-token", days=31)).status_code == 400
        assert (await put(gateway, "tom-token", days=30)).status_code == 201


@pytest.mark.slow
async def test_a_key_carries_the_scope_of_its_maker(shared):
    async with shared() as gateway:
        made = await gateway.ask({"name": "ci", "scopes": ["chat", "instructor"]}, "tom-token", "keys")
        assert (await put(gateway, made.json()["key"])).status_code == 201
        refused = await gateway.ask({"name": "ci", "scopes": ["instructor"]}, "ada-token", "keys")
        assert refused.status_code == 403
        assert (await gateway.ask({"name": "ci", "scopes": ["admin"]}, "tom-token", "keys")).status_code == 400
        plain = await gateway.ask({"name": "ci"}, "tom-token", "keys")
        assert (await put(gateway, plain.json()["key"])).status_code == 403


async def test_without_a_ledger_there_are_none_and_that_is_said(served):
    async with served(Settings(storage=StorageSettings(ledger="memory://"))) as gateway:
        reply = await put(gateway, "owner-token")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_ledger")
        assert await search(gateway, "ada-token") == []
        assert (await gateway.get("stats")).json()["documents"] == 0


async def test_a_search_that_cannot_be_read_is_told(shared):
    async with shared() as gateway:
        for body in ({"query": ""}, {"query": "x", "most": 0}, {"query": "x", "documents": "a"}, {"q": "x"}):
            assert (await gateway.ask(body, "ada-token", "search")).status_code == 400


async def test_markdown_is_split_by_its_headings_with_lines():
    text = "# A\n\none\n\n```\n# no heading\n```\n## B\ntwo\n# C\nthree"
    found = read_document(msgspec.json.encode({"name": "a", "text": text})).passages
    assert [(each.path, each.first, each.last) for each in found] == [
        (("A",), 3, 7),
        (("A", "B"), 9, 9),
        (("C",), 11, 11),
    ]
    with pytest.raises(BadRequest):
        read_document(b"\xff")
