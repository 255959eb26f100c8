"""A gateway with a job, and the job's client, are killed with ``kill -9``, again and again, while the provider refuses.

Each line is in the results once; bought twice is at most what was in flight at a kill; and the ledger has what the
provider's bill has, line by line, entries of what was interrupted aside.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
from collections import Counter

import httpx
import pytest
from gateway_program import gateway
from simulated_provider import Fault, SimulatedProvider

from jupyter_server_ext.ledger import opened

AT_ONCE = 6
ADA = {"Authorization": "Bearer ada-token"}
CLIENT = """
import sys, time, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer ada-token"})
while True:
    with urllib.request.urlopen(request) as reply:
        print(reply.status, flush=True)
    time.sleep(0.02)
"""


def rows(number):
    for n in range(number):
        body = {"model": "m", "messages": [{"role": "user", "content": f"Row {n}"}], "max_tokens": 8}
        yield json.dumps({"custom_id": f"row-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body})


async def sent(url, number):
    async with httpx.AsyncClient(base_url=url, headers=ADA, trust_env=False) as client:
        form = {"file": ("rows.jsonl", "\n".join(rows(number)).encode())}
        file = (await client.post("v1/files", data={"purpose": "batch"}, files=form)).json()["id"]
        body = {"input_file_id": file, "endpoint": "/v1/chat/completions"}
        return (await client.post("v1/batches", json=body)).json()["id"]


async def progress(url, job):
    async with httpx.AsyncClient(base_url=url, headers=ADA, trust_env=False) as client:
        return (await client.get(f"v1/batches/{job}")).json()


async def results(url, job):
    """What there is of each line, in both files."""
    async with httpx.AsyncClient(base_url=url, headers=ADA, trust_env=False) as client:
        while (found := (await client.get(f"v1/batches/{job}")).json())["status"] == "in_progress":
            await asyncio.sleep(0.05)
        names = filter(None, (found["output_file_id"], found["error_file_id"]))
        texts = [(await client.get(f"v1/files/{name}/content")).text for name in names]
        return found, [json.loads(line) for text in texts for line in text.splitlines()]


def trouble(chance, number):
    """What the provider does to its next requests: mostly nothing."""
    busy = Fault("status", 429, headers={"retry-after": "0.05"})
    kinds = [None, busy, Fault("status", 500), Fault("reset")]
    return chance.choices(kinds, weights=[90, 7, 2, 1], k=number)


@pytest.mark.asyncio
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.sweep)])
async def test_no_line_is_lost_or_bought_twice_but_what_was_in_flight(programs, tmp_path, kills):
    ledger, chance, number = f"sqlite:///{tmp_path / 'ledger.db'}", random.Random(kills), 60 + 50 * kills
    async with SimulatedProvider(first_token=0.02, words=8) as provider:
        provider.next("m", *trouble(chance, 4 * number))
        config = tmp_path / "rsql.toml"
        config.write_text(
            f'default_model = "m"\n[[keys]]\nprovider = "sim"\nkey = "k1"\nbase_url = "{provider.url}"\nrpd = 1000000\n'
            '[[api_keys]]\nname = "ada"\nkey = "ada-token"\nscopes = ["chat", "files", "batches"]\n'
            f'[storage]\nledger = "{ledger}"\ninstance = "one"\n'
            f"[jobs]\nat_once = {AT_ONCE}\nattempts = 20\n"
        )
        job, done = "", 0
        for _ in range(kills):
            async with gateway(config) as (process, url):
                job = job or await sent(url, number)
                command = [sys.executable, "-c", CLIENT, f"{url}v1/batches/{job}"]
                client = await asyncio.to_thread(subprocess.Popen, command, stdout=subprocess.PIPE, text=True)
                assert await asyncio.to_thread(client.stdout.readline) == "200\n"
                enough = done + chance.randrange(20, 50)
                while (done := sum(one.status == 200 for one in provider.requests)) < min(enough, number - 5):
                    await asyncio.sleep(0.002)
                for one in chance.sample([process, client], 2):
                    one.send_signal(signal.SIGKILL)
                    await asyncio.to_thread(one.wait)
                client.stdout.close()
        async with gateway(config) as (_, url):
            found, lines = await results(url, job)

        assert (found["status"], found["request_counts"]["completed"]) == ("completed", number)
        assert [line["custom_id"] for line in lines] == [f"row-{n}" for n in range(number)], "each once, in order"
        bought = Counter(one.body["messages"][0]["content"] for one in provider.requests if one.status == 200)
        assert len(bought) == number
        assert sum(bought.values()) - number <= AT_ONCE * kills, "bought twice is only what was in flight"
        with opened(ledger, instance="reader") as store:
            assert store.verify() == []
            entries = store.read()
    interrupted = Counter(entry.client_id for entry in entries if entry.status == 0)
    paid = Counter(entry.client_id for entry in entries if entry.status == 200)
    assert 0 < interrupted.total() <= AT_ONCE * kills
    for n in range(number):
        name, times = f"{job}/{n + 1}", bought[f"Row {n}"]
        assert paid[name] <= times <= paid[name] + interrupted[name], "the ledger has what the bill has"
    assert any(entry.status == 429 for entry in entries), "there was trouble"
    assert sum(entry.usage.total_tokens for entry in entries if entry.status == 200) == 10 * paid.total()
