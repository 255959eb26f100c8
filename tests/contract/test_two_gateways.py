"""Two gateways, each a process of its own, on one Redis and one PostgreSQL: what a caller sees."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import NamedTuple

import httpx
import pytest
import redis as redis_py
import servers
import sqlalchemy as sa
from simulated_provider import SimulatedProvider
from slow_proxy import proxied_in_thread

from jupyter_server_ext.ledger import SqlLedgerStore

CONFIG = """
[storage]
state = "{redis}?prefix={prefix}"
ledger = "{ledger}"
instances = 2
{limits}
[[api_keys]]
name = "ada"
key = "ada-secret-token"
scopes = ["chat", "files", "batches"]
"""
PER_MINUTE = """
[limits.caller]
requests_per_minute = {limit}
requests_per_hour = 1000
requests_per_day = 1000
"""
OF_EACH_KIND = """
[limits.caller]
requests_per_minute = {minute}
[limits.tenant]
requests_per_hour = {hour}
[limits.everyone]
requests_per_day = {day}
"""
PATIENT = """
from functools import partialmethod
from jupyter_server_ext.app import main
from jupyter_server_ext.redis.coordinator import RedisCoordinator
RedisCoordinator.__init__ = partialmethod(RedisCoordinator.__init__, timeout=20.0, lease=60.0)
main()
"""


class School(NamedTuple):
    """How many there are, what one, a class and all may ask, and how many questions come at once."""

    name: str
    classes: int
    pupils: int
    minute: int
    hour: int
    day: int
    at_once: int


SMALL, LARGE = School("small", 6, 10, 10, 25, 130, 40), School("large", 10, 20, 10, 60, 500, 200)
PUPIL = """
[[api_keys]]
name = "{name}"
key = "{name}-secret-token"
tenant = "{tenant}"
"""
_prefixes = count()


@contextmanager
def gateway(folder, name, *, patient, **config):
    """A gateway that starts: its process, whose first line says where it is.

    A patient one does not take Redis for lost because the machine of the tests is busy.
    """
    home = folder / name
    home.mkdir()
    (home / "rsql.toml").touch(0o600)  # it holds keys
    (home / "rsql.toml").write_text(CONFIG.format(**config))
    environment = os.environ | {"JUPYTER_TOKEN": "owner-secret-token"}
    program = ["-c", PATIENT] if patient else ["-m", "jupyter_server_ext"]
    command = [sys.executable, *program, "--port", "0", "--gateway-config", "rsql.toml"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


@contextmanager
def pair(folder, redis, postgresql, limits, *, port=0, patient=False):
    """The addresses of two gateways, and their ledger, which they reach by another port if one is given."""
    prefix = f"g{next(_prefixes)}"
    engine = sa.create_engine(postgresql.url.replace("postgresql:", "postgresql+psycopg:") + "/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text(f"CREATE DATABASE {prefix}"))
    engine.dispose()
    ledger = f"{postgresql.url}/{prefix}"
    way = ledger.replace(f":{postgresql.port}/", f":{port or postgresql.port}/")
    config = {"redis": redis.url, "ledger": way, "prefix": prefix, "limits": limits, "patient": patient}
    with gateway(folder, "a", **config) as first, gateway(folder, "b", **config) as second:
        lines = [process.stdout.readline() for process in (first, second)]
        assert all(" at http" in line for line in lines), lines
        yield [line.split()[-1] for line in lines], ledger
    if patient:
        logs = [(folder / name / "log").read_text().splitlines() for name in "ab"]
        said = [
            line for log in logs for line in log if "rsql-head" not in line
        ]  # besides the ends of the ledger's chains
        assert not said, "Redis was there all the time"


async def ask(client, url, name="ada"):
    body = {"model": "offline", "messages": [{"role": "user", "content": "What is a p-value?"}]}
    headers = {"Authorization": f"Bearer {name}-secret-token"}
    answer = await client.post(f"{url}v1/chat/completions", json=body, headers=headers)
    return answer.status_code


def client():
    limits = httpx.Limits(max_connections=300)
    headers = {"Authorization": "Bearer ada-secret-token"}
    return httpx.AsyncClient(headers=headers, timeout=240, limits=limits, trust_env=False)


async def health(asking, url):
    return (await asking.get(f"{url}health")).json()["checks"]


@pytest.mark.spine
def test_two_hundred_at_once_pass_exactly_the_limit_and_all_are_recorded(tmp_path, redis, postgresql):
    async def scenario(urls):
        async with client() as asking:
            statuses = Counter(await asyncio.gather(*(ask(asking, urls[n % 2]) for n in range(200))))
            stats = (await asking.get(f"{urls[1]}stats")).json()
        return statuses, stats

    with pair(tmp_path, redis, postgresql, PER_MINUTE.format(limit=60), patient=True) as (urls, ledger):
        statuses, stats = asyncio.run(scenario(urls))
    assert statuses == {200: 60, 429: 140}
    assert stats["limits"]["minute"] == {"current": 60, "limit": 60, "remaining": 0}
    store = SqlLedgerStore(ledger, instance="reader")
    assert Counter(entry.status for entry in store.read()) == {200: 60, 429: 140}
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize("sizes", [SMALL, pytest.param(LARGE, marks=pytest.mark.sweep)], ids=lambda sizes: sizes.name)
def test_so_many_a_minute_an_hour_and_a_day_pass_exactly(tmp_path, redis, postgresql, sizes):
    async def scenario(urls):
        async with client() as asking:

            async def passed(names):
                """How many get through of those who ask at once."""
                number = max(sizes.at_once, len(names))
                asked = (ask(asking, urls[at % 2], names[at % len(names)]) for at in range(number))
                statuses = Counter(await asyncio.gather(*asked))
                assert set(statuses) <= {200, 429}
                return statuses[200]

            return [await passed(names) for names in groups]

    one, a_class = ["class0-0"], [f"class1-{n}" for n in range(sizes.pupils)]
    school = [f"class{c}-{n}" for n in range(sizes.pupils) for c in range(2, sizes.classes)]
    groups = (one, a_class, school[: len(school) // 2], school[len(school) // 2 :], school, ["class0-1", *school])
    limits = OF_EACH_KIND.format(minute=sizes.minute, hour=sizes.hour, day=sizes.day)
    names = [(f"class{c}-{n}", f"class{c}") for c in range(sizes.classes) for n in range(sizes.pupils)]
    pupils = "".join(PUPIL.format(name=name, tenant=tenant) for name, tenant in names)
    with pair(tmp_path, redis, postgresql, limits + pupils, patient=True) as (urls, ledger):
        counts = asyncio.run(scenario(urls))
    half = max(sizes.at_once, len(school) // 2)
    assert counts == [sizes.minute, sizes.hour, half, half, sizes.day - sizes.minute - sizes.hour - 2 * half, 0]
    store = SqlLedgerStore(ledger, instance="reader")
    asked = sum(max(sizes.at_once, len(names)) for names in groups)
    assert Counter(entry.status for entry in store.read()) == {200: sizes.day, 429: asked - sizes.day}
    assert store.verify() == []
    store.close()


A_DOLLAR = """
[[keys]]
provider = "sim"
base_url = "{provider}"
key = "k"
models = ["m"]
[prices.models.m]
input = 0.0
output = 6250.0
[limits.caller]
usd_per_day = 1.0
"""


def test_a_dollar_pays_for_twenty_of_a_hundred_at_two_gateways(tmp_path, redis, postgresql):
    async def scenario():
        async with SimulatedProvider(words=8, first_token=0.05) as provider:
            limits = A_DOLLAR.format(provider=provider.url)
            starting = pair(tmp_path, redis, postgresql, limits, patient=True)
            urls, ledger = await asyncio.to_thread(starting.__enter__)
            try:
                async with client() as asking:

                    async def ask(url):
                        messages = [{"role": "user", "content": "What is a p-value?"}]
                        body = {"model": "m", "messages": messages, "max_tokens": 8}
                        answer = await asking.post(f"{url}v1/chat/completions", json=body)
                        return answer.status_code, answer.json().get("error", {}).get("code", "")

                    told = Counter(await asyncio.gather(*(ask(urls[n % 2]) for n in range(100))))
                    spent = (await asking.get(f"{urls[1]}stats")).json()["cost"]
            finally:
                await asyncio.to_thread(starting.__exit__, None, None, None)
            return told, spent, len(provider.requests), ledger

    told, spent, asked, ledger = asyncio.run(scenario())
    assert told == {(200, ""): 20, (429, "budget_exceeded"): 80}
    assert spent == {"today": 1.0, "limit": 1.0, "remaining": 0.0}
    assert asked == 20
    store = SqlLedgerStore(ledger, instance="reader")
    assert sum(entry.cost_nanodollars for entry in store.read()) == 1_000_000_000
    store.close()


JOB = """
[[keys]]
provider = "sim"
base_url = "{provider}"
key = "k"
models = ["m"]
[prices.models.m]
input = 0.0
output = 6250.0
[limits.caller]
requests_per_hour = 50
[jobs]
at_once = 4
"""


def test_a_job_at_two_gateways_keeps_to_a_limit_and_a_budget_that_both_count(tmp_path, redis, postgresql):
    """Each answer costs five cents, and the job's budget allows 45 of 60 lines."""

    async def scenario():
        async with SimulatedProvider(words=8, first_token=0.05) as provider:
            starting = pair(tmp_path, redis, postgresql, JOB.format(provider=provider.url), patient=True)
            urls, ledger = await asyncio.to_thread(starting.__enter__)
            try:
                async with client() as asking:
                    found = await ended(asking, urls, await sent(asking, urls[0]))
                    counted = [(await asking.get(f"{url}stats")).json()["limits"]["hour"]["current"] for url in urls]
            finally:
                await asyncio.to_thread(starting.__exit__, None, None, None)
            return found, counted, [each.body["messages"][0]["content"] for each in provider.requests], ledger

    async def sent(asking, url):
        messages = [[{"role": "user", "content": f"Row {n}"}] for n in range(60)]
        bodies = [{"model": "m", "messages": each, "max_tokens": 8} for each in messages]
        place = {"method": "POST", "url": "/v1/chat/completions"}
        lines = [json.dumps({"custom_id": f"row-{n}", **place, "body": body}) for n, body in enumerate(bodies)]
        form = {"file": ("rows.jsonl", "\n".join(lines).encode())}
        file = (await asking.post(f"{url}v1/files", data={"purpose": "batch"}, files=form)).json()["id"]
        made = {"input_file_id": file, "endpoint": "/v1/chat/completions", "metadata": {"budget_usd": "2.25"}}
        return (await asking.post(f"{url}v1/batches", json=made)).json()["id"]

    async def ended(asking, urls, job):
        end = time.monotonic() + 60
        while (found := (await asking.get(f"{urls[1]}v1/batches/{job}")).json())["status"] != "cancelled":
            assert time.monotonic() < end, found
            await asyncio.sleep(0.1)
        return found

    found, counted, asked, ledger = asyncio.run(scenario())
    assert (found["request_counts"], found["rsql"]["cost_usd"]) == ({"total": 60, "completed": 45, "failed": 15}, 2.25)
    assert found["errors"]["data"][0]["code"] == "budget_exceeded"
    assert (len(asked), len(set(asked))) == (45, 45)
    assert counted == [45, 45]
    store = SqlLedgerStore(ledger, instance="reader")
    entries = store.read()
    assert Counter(entry.status for entry in entries) == {200: 45}
    assert sum(entry.cost_nanodollars for entry in entries) == 2_250_000_000
    assert store.verify() == []
    store.close()


def paused(server, _stack):
    server.process.send_signal(signal.SIGSTOP)
    return lambda: server.process.send_signal(signal.SIGCONT)


def read_only(server, _stack):
    admin = redis_py.Redis(port=server.port, password=servers.PASSWORD)
    admin.replicaof("127.0.0.1", str(servers.free_port()))

    def mend():
        admin.replicaof("NO", "ONE")
        admin.close()

    return mend


def emptied(server, _stack):
    with redis_py.Redis(port=server.port, password=servers.PASSWORD) as admin:
        admin.flushall()
    return lambda: None


def killed(server, stack):
    """And started again, without what it knew."""
    server.process.kill()
    return lambda: stack.enter_context(servers.redis(port=server.port))


def test_redis_in_trouble_under_load_loses_no_answer_and_overruns_nothing(tmp_path, postgresql):
    async def scenario(urls, server, stack):
        statuses = Counter()
        async with client() as asking:

            async def well():
                end = time.monotonic() + 30
                while any([(await health(asking, url))["state"] != "ok" for url in urls]):
                    assert time.monotonic() < end
                    await asyncio.sleep(0.1)

            for trouble in (paused, read_only, emptied, killed):
                asked, name = [], trouble.__name__
                for number in range(100):
                    asked.append(asyncio.ensure_future(ask(asking, urls[number % 2], name)))
                    await asyncio.sleep(0.002)
                    if number == 20:
                        mend = trouble(server, stack)
                got = Counter(await asyncio.gather(*asked))
                if trouble is not emptied:
                    assert {(await health(asking, url))["state"] for url in urls} == {"degraded"}
                await asyncio.to_thread(mend)
                await well()
                got += Counter([await ask(asking, url, name) for url in urls * 4])
                assert got.keys() == {200, 429}, name
                assert 40 <= got[200] <= 42, (name, got)
                statuses += got
        return statuses

    callers = "".join(PUPIL.format(name=one.__name__, tenant="") for one in (paused, read_only, emptied, killed))
    limits = PER_MINUTE.format(limit=40) + callers
    with ExitStack() as stack:
        server = stack.enter_context(servers.redis())
        urls, ledger = stack.enter_context(pair(tmp_path, server, postgresql, limits))
        statuses = asyncio.run(scenario(urls, server, stack))
        assert statuses.total() == 4 * 108
    store = SqlLedgerStore(ledger, instance="reader")
    assert Counter(entry.status for entry in store.read()) == statuses
    assert store.verify() == []
    store.close()


async def repeat(client, url, key, *, question="What is a p-value?", stream=False):
    body = {"model": "offline", "stream": stream, "messages": [{"role": "user", "content": question}]}
    headers = {"Authorization": "Bearer ada-secret-token", "Idempotency-Key": key}
    answer = await client.post(f"{url}v1/chat/completions", json=body, headers=headers)
    if answer.status_code != 200:
        return answer.status_code, answer.json()["error"]["code"]
    if not stream:
        return 200, answer.json()["choices"][0]["message"]["content"]
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    assert answer.text.rstrip().endswith("[DONE]")
    words = [choice["delta"].get("content") or "" for event in events for choice in event.get("choices", [])]
    return 200, "".join(words)


def test_repeats_at_two_gateways_are_answered_once_also_while_the_ledger_is_away(tmp_path, redis, postgresql):
    async def scenario(urls, proxy):
        here, there = urls
        async with client() as asking:

            async def ask(url, key, *, stream=True, **options):
                return await repeat(asking, url, key, stream=stream, **options)

            for stream in (False, True):
                asked = (ask(urls[n % 2], f"k{stream}", stream=stream) for n in range(20))
                assert len(set(await asyncio.gather(*asked))) == 1, "all the same"
            for url in urls:
                assert await ask(url, "kTrue", question="Another?") == (422, "idempotency_conflict")
            proxy.cut()
            new = await ask(here, "k2")
            assert new[0] == 200, "Redis knows that it is new"
            assert await ask(here, "k2") == new, "its own answers it knows"
            assert await ask(there, "k2") == (503, "repeat_unknown")
            assert await ask(there, "k2", question="Another?") == (422, "idempotency_conflict")
            assert (await health(asking, here))["ledger"] == "degraded"
            proxy.mend()
            while {(await health(asking, url))["ledger"] for url in urls} != {"ok"}:
                await asyncio.sleep(0.1)
            assert await ask(there, "k2") == new
            today = (await asking.get(f"{there}stats")).json()["limits"]["day"]["current"]
            assert today == 3, "a repeat takes nothing"

    with (
        proxied_in_thread(postgresql.port) as proxy,
        pair(tmp_path, redis, postgresql, PER_MINUTE.format(limit=100), port=proxy.port) as (urls, ledger),
    ):
        asyncio.run(scenario(urls, proxy))
    store = SqlLedgerStore(ledger, instance="reader")
    entries = Counter((entry.status, entry.cache) for entry in store.read())
    assert entries == {(200, ""): 3, (200, "repeat"): 2 * 19 + 2, (422, ""): 3, (503, ""): 1}
    assert store.verify() == []
    store.close()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    monkeypatch.delenv("RSQL_CONFIG", raising=False)
