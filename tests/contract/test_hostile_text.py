"""Text that no store can hold: it fails the request that brings it, and no other, whatever keeps the records."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager
from itertools import count
from typing import ClassVar
from urllib.parse import quote

import httpx
import pytest
from callers import EVERYTHING
from ledger_entries import entry
from slow_proxy import proxied_in_thread
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import KeySettings, Secret, Settings, StorageSettings
from jupyter_server_ext.ledger import Ledger, SpooledLedgerStore, SpoolFile, SqlLedgerStore
from jupyter_server_ext.ledger.ledger import NotRecordable, RowsRefused
from jupyter_server_ext.messages import Caller, TokenUsage, is_name

STORES = ("memory", "sqlite", "postgresql", "redis")
KNOWN = (
    *("a\x00b", "\x00", "m" * 256, "m" * 70_000, "\U0001f600" * 255, "\ud800", "a\udfffb", "é" * 255),
    *("\x1b]52;c;AAAA\x07", "a\nb\r\nSet-Cookie: x=y", "\x7f\x85", "\u202emodel", "9" * 5_000, "-9" * 3),
    *("'; DROP TABLE entries; --", "%s %(x)s :name {0}", "\\", '"', " ", "../..", "\ufffe\uffff", "e\u0301" * 130),
)
PIECES = "\x00\x01\x1f\x9f\ud83d\udc00aé\U0001f600\u2028 /'\"%\\"
_names = count()


def hostile(seed, amount):
    """Known troublemakers, and others of the same pieces."""
    draw = random.Random(seed)
    made = ("".join(draw.choices(PIECES, k=draw.choice((1, 5, 60, 255, 256, 1000)))) for _ in range(amount))
    return [*KNOWN, *made]


def ledger_of(kind, request, tmp_path):
    """The URL of an empty ledger."""
    if kind == "memory":
        return "memory://"
    if kind != "postgresql":
        return f"sqlite:///{tmp_path / f'{next(_names)}.db'}"
    return request.getfixturevalue("ledger_database")()


def changed(text):
    """An entry with the text in one field, for each field."""
    fields = ("caller", "tenant", "model", "key", "error", "prompt_hash", "api_key")
    return [{name: text} for name in fields]


def written(write, group):
    """Write a group; the request ids of those that the store refused."""
    try:
        write(group)
    except RowsRefused as error:
        return {request_id for request_id, _ in error.rows}
    return set()


def refused_by(store, number, changes):
    """Write a group with one such entry; whether the store refused it, and only it."""
    group = [entry(number), entry(number + 1, **changes), entry(number + 2)]
    begun, ended = written(store.begin, group), written(store.finish, group)
    assert begun | ended <= {f"r{number + 1}"}
    return bool(ended)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_one_entry_that_a_database_refuses_keeps_no_other_out(kind, request, tmp_path):
    store = SqlLedgerStore(ledger_of(kind, request, tmp_path), instance="one")
    number, refused = 0, 0
    numbers = [{"usage": TokenUsage(2**63, 1)}, {"cost_nanodollars": -(2**70)}, {"saved_nanodollars": 2**64}]
    texts = random.Random(kind).sample(hostile(1, 20), 3)
    for changes in [*numbers, *(changes for text in ["a\x00b", "m" * 256, *texts] for changes in changed(text))]:
        refused += refused_by(store, number, changes)
        number += 3
    assert refused >= 3
    assert len(store) == number, "all are there, the refused ones by what can be kept of them"
    assert store.close_unfinished() == 0
    assert store.verify() == []
    store.close()


def test_what_cannot_be_delivered_keeps_nothing_else_in_the_spool(request, tmp_path, postgresql):
    url = ledger_of("postgresql", request, tmp_path)
    with proxied_in_thread(postgresql.port) as proxy:
        through = url.replace(str(postgresql.port), str(proxy.port))
        spool = SpoolFile.open(tmp_path / "a.spool")
        store = SpooledLedgerStore(through, instance="a", spool=spool, patience=0.4, retry_seconds=0.05)
        proxy.cut()
        number = 0
        for changes in (changes for text in KNOWN[:6] for changes in changed(text)):
            group = [entry(number), entry(number + 1, **changes), entry(number + 2)]
            store.finish(group, group)
            number += 3
        store.keep_answer("k", "a\x00b", b"x", 2e9)
        store.keep_answer("l", "ada", b"y", 2e9)
        assert store.is_away
        proxy.mend()
        for _ in range(400):
            if not store.is_away:
                break
            store._closing.wait(0.05)
        assert not store.is_away, "it was delivered"
        assert len(store) == number
        assert store.kept_answer("l", 0.0) == b"y"
        assert store.verify() == []
        store.close()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_who_brings_such_an_entry_fails_alone(postgresql, tmp_path, request, caplog):
    for kind in ("sqlite", "postgresql"):
        ledger = Ledger(SqlLedgerStore(ledger_of(kind, request, tmp_path), instance="one"))
        bad = [entry(n, model="\ud800") if n == 7 else entry(n) for n in range(20)]
        ends = await asyncio.gather(*map(ledger.finish, bad), return_exceptions=True)
        assert [type(end) for end in ends if end is not None] == [NotRecordable]
        assert isinstance(ends[7], NotRecordable)
        assert ledger.healthy
        assert len(await ledger.ask(lambda store: store.read())) == 20
        await ledger.close()
    assert "entry of r7" in caplog.text


class Names:
    """An identity that knows everybody by a number."""

    known: ClassVar = []

    async def caller_of(self, handler):
        return Caller(*self.known[int(handler.request.headers["Authorization"].removeprefix("token "))])


def token_of(name, tenant=""):
    if (name, tenant) not in Names.known:
        Names.known.append((name, tenant))
    return {"Authorization": f"token {Names.known.index((name, tenant))}"}


def answered(request):
    body = json.loads(request.content)
    data = [{"embedding": [0.5], "index": 0}]
    message = {"role": "assistant", "content": "Yes."}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    reply = {"model": body["model"], "usage": usage, "choices": [{"message": message, "finish_reason": "stop"}]}
    return httpx.Response(200, json=reply | {"data": data})


@asynccontextmanager
async def serving(kind, request, tmp_path):
    """A gateway whose one key serves every model, and a client of it."""
    redis = request.getfixturevalue("redis").url + f"/0?prefix=h{next(_names)}" if kind == "redis" else "memory://"
    storage = StorageSettings(
        state=redis, cache=redis, ledger=ledger_of(kind, request, tmp_path), instance="h", spool=str(tmp_path)
    )
    key = KeySettings("groq", Secret("k" * 20), base_url="http://provider.example/v1", name="one")
    settings = Settings(default_model="m", keys=(key,), storage=storage)
    owner = Caller("owner", scopes=EVERYTHING)
    parts = build_app(settings, [(Secret("owner-token"), owner)], "/", Names(), transport=httpx.MockTransport(answered))
    server = HTTPServer(web_application(parts))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    await parts.gateway.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/", trust_env=False, timeout=240) as client:
            yield client
    finally:
        server.stop()
        await parts.close()
        await server.close_all_connections()


HELLO = {"messages": [{"role": "user", "content": "Hi"}]}
OWNER = {"Authorization": "Bearer owner-token"}


def requests_with(text):
    """One request for every place where a client's text comes in: method, path, body, headers."""
    ada, path = token_of("ada"), quote(text, safe="", errors="surrogatepass")[:6000]
    header = "".join(c for c in text if " " <= c <= "~")[:4000].strip()
    for body in (
        HELLO | {"model": text},
        {"messages": [{"role": text, "content": text}], "user": text, "metadata": {text: text}},
        HELLO | {text: text, "max_tokens": 5},
    ):
        yield "POST", "v1/chat/completions", body, ada
    for name in ("X-RSQL-Session", "X-RSQL-Task", "X-RSQL-Whole", "Idempotency-Key", "Cache-Control", "X-Request-Id"):
        yield "POST", "v1/chat/completions", HELLO, ada | {name: f"max-age={header}" if "Cache" in name else header}
    yield "POST", "v1/embeddings", {"model": text, "input": text}, ada
    yield "POST", "v1/embeddings", {"model": "m", "input": [text]}, ada
    yield "POST", "v1/responses", {"model": text, "input": text, "previous_response_id": text}, ada
    yield "POST", "chat", {"message": text, "session_id": text, "context": text, "model": text}, ada
    yield "POST", "chat", {"message": f"?{text}", "context": {text: text}}, ada
    yield "POST", "feedback", {"request_id": text, "rating": "up", "comment": text}, ada
    yield "POST", "keys", {"name": text}, ada
    yield "DELETE", f"keys/{path}", None, ada
    yield "GET", f"v1/models/{path}", None, ada
    for name, tenant in ((text, ""), ("ada", text), (text, text)):
        yield "POST", "v1/chat/completions", HELLO, token_of(name, tenant)
        yield "POST", "keys", {"name": "k"}, token_of(name, tenant)
    yield "POST", "admin/api/api-keys", {"owner": text, "name": text, "tenant": text}, OWNER
    yield "POST", "admin/api/api-keys", {"owner": "bob", "name": "n", "tenant": text}, OWNER
    for scope in ("callers", "tenants"):
        yield "PATCH", "admin/api/limits", {scope: {text: {"requests_per_day": 9}}}, OWNER
    for route in ("requests/{}", "usage?since={}", "export?since={}", "errors?limit={}"):
        yield "GET", "admin/api/" + route.format(path), None, OWNER
    yield "POST", f"admin/api/keys/{path}/pause", None, OWNER
    yield "DELETE", f"admin/api/users/{path}", None, OWNER


async def is_answered(client, number):
    """Whether somebody else's request is, as if nothing had been."""
    body = {"messages": [{"role": "user", "content": f"Number {number}"}]}
    reply = await client.post("v1/chat/completions", json=body, headers=token_of("bob"))
    return reply.status_code == 200


async def ask_all(client, texts):
    """Send everything; the statuses that came, and what was left unanswered meanwhile."""
    statuses, number = {}, 0
    for text in texts:
        for method, path, body, headers in requests_with(text):
            content = None if body is None else json.dumps(body).encode()
            reply = await client.request(method, path, content=content, headers=headers)
            statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
            number += 1
            where = (method, path[:60], text[:20], reply.status_code, reply.text[:200])
            assert reply.status_code not in {500, 503}, where
            assert await is_answered(client, number), where
    return statuses


@pytest.mark.slow
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.asyncio
async def test_the_next_request_is_served_whatever_text_came_before(kind, request, tmp_path):
    texts = random.Random(kind).sample(hostile(2, 20), 2)
    async with serving(kind, request, tmp_path) as client:
        await ask_all(client, ["a\x00b", *texts])


@pytest.mark.sweep
@pytest.mark.parametrize("kind", STORES)
@pytest.mark.asyncio
async def test_all_hostile_texts_leave_the_next_request_served(kind, request, tmp_path):
    async with serving(kind, request, tmp_path) as client:
        print(kind, await ask_all(client, hostile(3, 60)))


def test_names_that_are_let_in_fit_into_every_index(postgresql, request, tmp_path):
    """The longest there are, at once, of letters that PostgreSQL cannot compress."""
    draw = random.Random(4)
    letters = [chr(code) for code in range(0x4E00, 0x9FFF)]
    longest = ["".join(draw.choices(letters, k=255)) for _ in range(3)]
    astral = ["".join(chr(draw.randrange(0x20000, 0x2A000)) for _ in range(200)) for _ in range(3)]
    assert all(map(is_name, (*longest, *astral)))
    store = SqlLedgerStore(ledger_of("postgresql", request, tmp_path), instance="one")
    for number, (caller, tenant, model) in enumerate((longest, astral)):
        store.finish([entry(number, caller=caller, tenant=tenant, model=model)])
    assert len(store) == 2
    store.close()
