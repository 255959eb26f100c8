"""What is written down and paid for, from a request over HTTP to the ledger's file."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import sys
import time

import httpx
import pytest
from paid_provider import COST, END, KEYS, PRICES, STREAM, body, event, whole

from jupyter_server_ext.app import main
from jupyter_server_ext.app.assembly import build_accounting
from jupyter_server_ext.config import (
    CallerLimits,
    KeySettings,
    PriceSettings,
    Secret,
    Settings,
    StorageSettings,
    TenantSettings,
)
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import WITHOUT_ANCHOR, Ledger, SqlLedgerStore, opened

ADMIN = "owner-token"


class Hanging(httpx.AsyncByteStream):
    """Three words, and then nothing."""

    async def __aiter__(self):
        yield b'data: {"choices":[{"index":0,"delta":{"content":"one two three"}}]}\n\n'
        await asyncio.Event().wait()


def provider(request):
    asked = json.loads(request.content)
    if asked["model"] == "bad":
        return httpx.Response(500, json={"error": {"message": "broken"}})
    if asked.get("seed") == 499:
        return httpx.Response(200, headers=STREAM, stream=Hanging())
    if asked.get("stream"):
        words = event({"choices": [{"index": 0, "delta": {"content": "Hello."}}]})
        end = b"" if asked.get("seed") == 498 else event(END) + b"data: [DONE]\n\n"
        return httpx.Response(200, headers=STREAM, content=words + end)
    return whole("Hello.")


@pytest.fixture
def paying(served, url, monkeypatch):
    """``async with paying(caller=…) as gateway``: a gateway with a ledger, over a provider that is simulated.

    A key rests for a moment only after a failure.
    """
    monkeypatch.setattr("jupyter_server_ext.keys.key._FIRST_COOL_DOWN", 0.02)

    def serving(**options):
        settings = Settings(
            default_model="m",
            **({"prices": PRICES, "storage": StorageSettings(ledger=url, instance="one"), "keys": KEYS} | options),
        )
        return served(settings, fake=False, transport=httpx.MockTransport(provider))

    return serving


def read(url):
    with opened(url, instance="reader") as store:
        assert store.verify() == []
        return {entry.request_id: entry for entry in store.read() if entry.attempts or not entry.key}


def tries(url, request_id):
    """The entries of the tries of one request, and its own at the end."""
    with opened(url, instance="reader") as store:
        return store.find(request_id)


async def leave_in_the_middle(gateway):
    """Ask for a stream and go after its first event; the request's id."""
    headers = {"Authorization": "Bearer bob-token"}
    asked = body(stream=True, seed=499)
    async with gateway.client.stream("POST", "v1/chat/completions", json=asked, headers=headers) as reply:
        await anext(reply.aiter_bytes())
        return reply.headers["x-request-id"]


async def until(true):
    async with asyncio.timeout(5):
        while not await true():
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_tries_that_break_off_are_paid_though_nobody_has_them(paying, url):
    async with paying(caller=CallerLimits(usd_per_day=1.0)) as gateway:
        broken = await gateway.ask(body(stream=True, seed=498), headers={"X-RSQL-Whole": "true"})
        spent = (await gateway.get("stats")).json()["cost"]["today"]
    paid = [entry.cost_nanodollars for entry in tries(url, broken.headers["x-request-id"])]

    assert '"upstream_failed"' in broken.text
    assert len(paid) == 3
    assert min(paid) > 0
    assert spent == sum(paid) / 1e9


@pytest.mark.slow
@pytest.mark.asyncio
async def test_every_end_of_a_request_has_its_entry(paying, url):
    async with paying(caller=CallerLimits(requests_per_minute=3)) as gateway:
        whole = await gateway.ask(headers={"X-RSQL-Task": "sql_ai"})
        stream = await gateway.ask(body(stream=True))
        failed = await gateway.ask(body(model="bad"), token="bob-token")
        third = await gateway.ask()
        refused = await gateway.ask()
        left = await leave_in_the_middle(gateway)

        async def written():
            return left in read(url)

        await until(written)
    entries = read(url)
    ids = [reply.headers["x-request-id"] for reply in (whole, stream, third, refused, failed)]
    statuses = [entries[name].status for name in ids]
    assert statuses == [reply.status_code for reply in (whole, stream, third, refused, failed)]
    assert statuses[:4] == [200, 200, 200, 429]
    assert statuses[4] >= 500
    assert len(entries) == 6

    good = entries[ids[0]]
    assert (good.caller, good.tenant, good.task, good.model, good.key) == ("ada", "stats101", "sql_ai", "m", "sim-1")
    assert (good.usage.prompt_tokens, good.usage.completion_tokens, good.cost_nanodollars) == (1000, 500, COST)
    assert (good.attempts, good.error, good.cache) == (1, "", "")
    assert 0 <= good.first_token_seconds <= good.duration_seconds
    assert whole.json()["rsql"]["cost_usd"] == COST / 1e9
    assert entries[ids[1]].cost_nanodollars == COST
    assert good.prompt_hash == entries[ids[1]].prompt_hash != ""

    assert (entries[ids[3]].error, entries[ids[3]].attempts) == ("rate_limit_exceeded", 0)
    assert (entries[ids[3]].cost_nanodollars, entries[ids[3]].key) == (0, "")
    assert (entries[ids[4]].caller, entries[ids[4]].error) == ("bob", failed.json()["error"]["code"])
    assert entries[ids[4]].cost_nanodollars == 0
    attempts = tries(url, ids[4])
    assert [(e.attempt, e.attempts, e.status) for e in attempts] == [(1, 0, 500), (2, 0, 500), (3, 3, 502)]
    assert {(e.key, e.model, e.caller) for e in attempts} == {("sim-1", "bad", "bob")}
    assert (entries[left].status, entries[left].error, entries[left].usage.estimated) == (499, "caller_left", True)
    assert entries[left].cost_nanodollars > 0, "what the provider sent is paid, read or not"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_spent_money_survives_a_restart(paying):
    limits = CallerLimits(usd_per_day=COST * 2.5 / 1e9)
    async with paying(caller=limits) as gateway:
        assert (await gateway.ask(body(max_tokens=500))).status_code == 200
        before = (await gateway.get("stats")).json()["cost"]
        assert before == {"today": COST / 1e9, "limit": COST * 2.5 / 1e9, "remaining": COST * 1.5 / 1e9}
    async with paying(caller=limits) as gateway:
        assert (await gateway.get("stats")).json()["cost"] == before
        assert (await gateway.ask(body(max_tokens=500))).status_code == 200
        refused = await gateway.ask(body(max_tokens=500))
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        assert (await gateway.ask(body(max_tokens=10), token="bob-token")).status_code == 200


@pytest.mark.slow
@pytest.mark.asyncio
async def test_without_a_budget_the_ledger_tells_what_was_spent(paying):
    async with paying() as gateway:
        await gateway.ask()
        assert (await gateway.get("stats")).json()["cost"] == {"today": COST / 1e9, "limit": None, "remaining": None}
    async with paying(prices=PriceSettings()) as gateway:
        await gateway.ask()
        assert (await gateway.get("stats")).json()["cost"]["today"] is None, "no price is known"


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_ledger_that_cannot_be_written_refuses_new_work_and_loses_nothing(paying, url, monkeypatch):
    def fails(self, ended, begun=()):
        raise OSError("No space left on device")

    async with paying() as gateway:
        gateway.app.accounting.ledger._retry_seconds = 0.02
        assert (await gateway.get("health")).json()["checks"]["ledger"] == "ok"
        with monkeypatch.context() as broken:
            broken.setattr(SqlLedgerStore, "finish", fails)
            waiting = asyncio.create_task(gateway.ask())

            async def unwell():
                return (await gateway.get("health", token="")).status_code == 503

            await until(unwell)
            told = (await gateway.get("health")).json()
            assert (told["status"], told["checks"]["ledger"]) == ("unavailable", "unavailable")
            assert 'rsql_check_ok{check="ledger"} 0.0' in (await gateway.get("metrics")).text
            refused = await gateway.ask()
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
            assert not waiting.done(), "nobody sees an end that is not on disk"
        assert (await waiting).status_code == 200
        assert (await gateway.get("health")).status_code == 200
        assert (await gateway.ask()).status_code == 200
    assert len(read(url)) == 2


@pytest.mark.slow
@pytest.mark.asyncio
async def test_an_administrator_sees_what_was_used_and_what_failed(paying):
    async with paying() as gateway:
        await gateway.ask()
        await gateway.ask()
        await gateway.ask(body(model="bad"), token="bob-token")
        usage = (await gateway.get("admin/api/usage?since=2026-01-01", ADMIN)).json()["usage"]
        (ada,) = [total for total in usage if total["caller"] == "ada"]
        assert (ada["requests"], ada["prompt_tokens"], ada["cost_usd"]) == (2, 2000, 2 * COST / 1e9)
        assert (await gateway.get("admin/api/usage", ADMIN)).json()["usage"] == usage
        assert (await gateway.get("admin/api/usage?since=9998-01-01", ADMIN)).json() == {"usage": [], "next": None}
        errors = (await gateway.get("admin/api/errors?limit=5", ADMIN)).json()["errors"]
        assert {(error["caller"], error["model"]) for error in errors} == {("bob", "bad")}
        assert [error["status"] for error in errors if error["attempts"]] == [502]
        (bob,) = [total for total in usage if total["caller"] == "bob"]
        assert (bob["requests"], bob["errors"]) == (1, 1)


@pytest.mark.parametrize("query", ["usage?since=yesterday", "usage?since=20261121", "errors?limit=0", "errors?limit=x"])
@pytest.mark.asyncio
async def test_what_an_administrator_mistypes_is_named(paying, query):
    async with paying() as gateway:
        reply = await gateway.get(f"admin/api/{query}", ADMIN)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == query.split("?")[1].split("=")[0]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_forget_me(paying, url):
    async with paying() as gateway:
        await gateway.ask()
        await gateway.ask(token="bob-token")
        reply = await gateway.client.delete("admin/api/users/ada", headers={"Authorization": f"Bearer {ADMIN}"})
        assert reply.json() == {"user": "ada", "entries": 1, "complete": True}
        usage = (await gateway.get("admin/api/usage", ADMIN)).json()["usage"]
        assert {total["caller"] for total in usage} == {"", "bob"}
        assert sum(total["cost_usd"] for total in usage) == 2 * COST / 1e9
    assert {entry.caller for entry in read(url).values()} == {"bob"}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_forget_me_takes_back_what_was_decided_and_said(paying, url):
    head = {"Authorization": f"Bearer {ADMIN}"}
    own = {"callers": {name: {"requests_per_day": 7} for name in ("ada", "bob")}, "everyone": {"requests_per_day": 99}}
    async with paying() as gateway:
        answer = await gateway.ask()
        told = {"request_id": answer.headers["x-request-id"], "rating": "up"}
        mine = {"Authorization": "Bearer ada-token"}
        assert (await gateway.client.post("feedback", json=told, headers=mine)).status_code == 200
        assert (await gateway.client.patch("admin/api/limits", json=own, headers=head)).status_code == 200
        assert (await gateway.get("stats")).json()["limits"]["day"] == {"current": 1, "limit": 7, "remaining": 6}
        assert (await gateway.client.delete("admin/api/users/ada", headers=head)).json()["complete"]
        limits = (await gateway.get("admin/api/limits", ADMIN)).json()
        assert limits["decided"] == {"callers": {"bob": {"requests_per_day": 7}}, "everyone": {"requests_per_day": 99}}
        assert (await gateway.get("admin/api/feedback", ADMIN)).json() == {"feedback": [], "next": None}
        assert (await gateway.get("stats")).json()["limits"]["day"]["current"] == 0
    with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
        kept = "\n".join(db.iterdump())
    assert "'ada'" not in kept
    assert '"ada"' not in kept
    db.close()


@pytest.mark.asyncio
async def test_without_a_ledger_its_routes_say_so_and_money_is_not_known(served):
    async with served(fake=False) as gateway:
        for path in ("usage", "errors"):
            reply = await gateway.get(f"admin/api/{path}", ADMIN)
            assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_ledger")
        assert (await gateway.get("stats")).json()["cost"] == {"today": None, "limit": None, "remaining": None}
        assert "ledger" not in (await gateway.get("health")).json()["checks"]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_ledger_in_memory_is_no_ledger(url):
    with pytest.raises(ConfigError, match="path of a file"):
        build_accounting(Settings(storage=StorageSettings(ledger=url)))


# The command


@pytest.fixture
def new_data_folder(tmp_path, monkeypatch):
    """Jupyter's data folder, with no ledger in it yet."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))


def verify(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["jupyter-rsql", "ledger", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_command_verifies_a_ledger(paying, url, tmp_path, monkeypatch, capsys):
    async with paying() as gateway:
        for _ in range(3):
            await gateway.ask()
    assert verify(monkeypatch, "verify", "--ledger", url) == 0
    assert capsys.readouterr().out == f"ok: 3 entries\nnot known: {WITHOUT_ANCHOR}\n"
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("UPDATE entries SET cost_nanodollars = 0 WHERE number = 2")
    db.close()
    assert verify(monkeypatch, "verify", "--ledger", url) == 1
    changed, sums, unknown = capsys.readouterr().out.splitlines()
    assert changed == "one #2: the entry was changed after it was written."
    assert sums.startswith("the sums of ")
    assert unknown == f"not known: {WITHOUT_ANCHOR}"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["verify", "--ledger", "sqlite:///nowhere.db"], 1, "no file nowhere.db"),
        (["verify"], 1, "no file"),  # in Jupyter's data folder
        (["export", "entries.xml"], 1, "must end in one of: .csv, .parquet"),
        ([], 2, "required: COMMAND"),
        (["export", "entries.csv", "--since", "yesterday"], 2, "'yesterday' is no day such as 2026-11-01"),
    ],
)
@pytest.mark.usefixtures("new_data_folder")
def test_the_command_says_what_is_wrong(monkeypatch, capsys, words, code, told):
    assert verify(monkeypatch, *words) == code
    assert told in capsys.readouterr().err


@pytest.mark.asyncio
async def test_the_command_exports_a_ledger_and_the_rsql_command_does_the_same(programs, paying, url, tmp_path, capfd):
    from rsql_magic.cli import main as rsql

    async with paying() as gateway:
        await gateway.ask()
    file = tmp_path / "entries.csv"
    with pytest.raises(SystemExit) as end:
        main(["ledger", "export", str(file), "--ledger", url])
    assert end.value.code == 0
    lines = file.read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("instance,number,request_id")
    assert "prompt," not in lines[0]
    assert await asyncio.to_thread(rsql, ["ledger", "verify", "--ledger", url]) == 0
    assert "ok: 1 entries" in capfd.readouterr().out


# What a tenant reads, and what is kept of its words


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_group_whose_models_are_not_served_is_told_so(paying):
    tenants = (TenantSettings("stats101", models=("gone",)),)
    keys = (KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", models=("m",)),)
    async with paying(tenants=tenants, keys=keys) as gateway:
        for asked in (body(model="m"), body(model="gone")):
            refused = await gateway.ask(asked)
            assert refused.status_code == 404
            assert "none of that is served here" in refused.json()["error"]["message"]
        default = await gateway.ask(body())
        assert "no default for you" in default.json()["error"]["message"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_prompts_are_kept_encrypted_where_the_policy_says_so(paying, url, tmp_path):
    from cryptography.fernet import Fernet

    old, new = (Secret(Fernet.generate_key().decode()) for _ in range(2))
    tenants = (TenantSettings("stats101", keep_prompts=True, system_prompt="Give hints."),)
    stored = StorageSettings(ledger=url, instance="one", prompt_keys=(old,))
    question = {"messages": [{"role": "user", "content": "a-very-odd-question"}]}
    async with paying(tenants=tenants, storage=stored) as gateway:
        kept = (await gateway.ask(question)).headers["x-request-id"]
        other = (await gateway.ask(question, token="bob-token")).headers["x-request-id"]
    assert all(b"a-very-odd-question" not in path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    rotated = StorageSettings(ledger=url, instance="one", prompt_keys=(new, old))
    async with paying(tenants=tenants, storage=rotated) as gateway:
        (entry,) = (await gateway.get(f"admin/api/requests/{kept}", ADMIN)).json()["entries"]
        assert entry["messages"][-1]["content"] == "a-very-odd-question"
        (entry,) = (await gateway.get(f"admin/api/requests/{other}", ADMIN)).json()["entries"]
        assert "messages" not in entry
        assert (await gateway.get("admin/api/requests/none", ADMIN)).status_code == 404
        await gateway.client.delete("admin/api/users/ada", headers={"Authorization": f"Bearer {ADMIN}"})
        assert (await gateway.get(f"admin/api/requests/{kept}", ADMIN)).status_code == 404
    with opened(url, instance="reader") as store:
        assert store.verify() == []


def test_a_key_that_is_none_does_not_start():
    with pytest.raises(ConfigError, match=r"Fernet\.generate_key"):
        build_accounting(Settings(storage=StorageSettings(prompt_keys=(Secret("short"),))))


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_full_disk_refuses_new_work_and_loses_nothing(paying, url):
    """SQLite is given no further page, which is what it sees of a full disk."""
    import sqlalchemy as sa

    async with paying() as gateway:
        ledger = gateway.app.accounting.ledger
        ledger._retry_seconds = 0.02
        engine = ledger._store._engine
        question = body(seed=1)
        await gateway.ask(question)

        @sa.event.listens_for(engine, "connect")
        def full(connection, _record):
            connection.execute(f"PRAGMA max_page_count={limit}")

        def connect_anew():
            engine.dispose()
            with ledger._store._connection() as at_hand:
                at_hand.invalidate()

        limit = 1  # SQLite makes that as many as there are
        connect_anew()
        replies = [asyncio.create_task(gateway.ask(question, token="bob-token")) for _ in range(40)]

        async def unwell():
            return (await gateway.get("health", token="")).status_code == 503

        await until(unwell)
        assert (await gateway.ask(question)).status_code == 503
        limit = 1_000_000
        connect_anew()
        statuses = [reply.status_code for reply in await asyncio.gather(*replies)]
        assert set(statuses) <= {200, 503}
        assert (await gateway.get("health")).status_code == 200
    entries = read(url)
    assert sum(entry.caller == "bob" for entry in entries.values()) == statuses.count(200)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_is_old_is_deleted_on_schedule(paying, url):
    stored = StorageSettings(ledger=url, instance="one", retention_days=1)
    async with paying() as gateway:
        await gateway.ask()
        await gateway.ask(headers={"Idempotency-Key": "k"})
        later = Ledger(gateway.app.accounting.ledger._store, keep_days=1, clock=lambda: time.time() + 86_401)
        assert await later.tidy() == 2
        assert await later.tidy() == 0
    assert read(url) == {}
    assert stored.retention_days == 1


@pytest.mark.slow
@pytest.mark.parametrize(("without_state", "status"), [("share", 200), ("refuse", 503)])
@pytest.mark.asyncio
async def test_without_its_redis_a_gateway_goes_on_or_refuses_as_is_wanted(paying, url, without_state, status):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        state = f"redis://127.0.0.1:{nobody.getsockname()[1]}"
        stored = StorageSettings(ledger=url, instance="one", state=state, without_state=without_state)
        async with paying(storage=stored) as gateway:
            reply = await gateway.ask()
            assert reply.status_code == status
            health = (await gateway.client.get("health")).json()
            assert (health["status"], health["checks"]["state"]) == ("degraded", "degraded")
            if status == 503:
                assert reply.json()["error"]["code"] == "state_unavailable"
                assert int(reply.headers["retry-after"]) >= 1
    assert [entry.status for entry in read(url).values()] == [status]
