"""A real gateway is killed with ``kill -9`` under load, again and again: nothing that anybody saw is lost.

What a client saw the end of has its entry; what was under way is marked so and counts as what it reserved; requests and
money are counted once, before and after each restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal

import httpx
import pytest
from gateway_program import gateway
from simulated_provider import SimulatedProvider

from jupyter_server_ext.ledger import opened

LIVES = 4
PRICE = "input = 1000.0\noutput = 1000.0\n"  # US dollars per million tokens: a microdollar is a nanodollar too few


class Seen:
    """What clients saw."""

    def __init__(self):
        self.ended = {}  # request id -> tokens
        self.begun = set()  # of which at least one event came


async def ask(client, seen, number):
    body = {"model": "m", "messages": [{"role": "user", "content": f"Question {number}"}], "max_tokens": 12}
    if number % 3 == 0:
        reply = await client.post("v1/chat/completions", json=body)
        if reply.status_code == 200:
            seen.ended[reply.headers["x-request-id"]] = reply.json()["usage"]["total_tokens"]
        return
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    async with client.stream("POST", "v1/chat/completions", json=body) as reply:
        tokens = 0
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                seen.begun.add(reply.headers["x-request-id"])
                tokens = (json.loads(line[6:]).get("usage") or {}).get("total_tokens", tokens)
            if line == "data: [DONE]":
                seen.ended[reply.headers["x-request-id"]] = tokens


async def load(url, seen, first):
    """Sixteen clients at once, until the gateway is gone."""
    numbers = iter(range(first, first + 1_000_000))
    headers = {"Authorization": "Bearer ada-token"}

    async def one(client):
        with contextlib.suppress(httpx.HTTPError):
            while True:
                await ask(client, seen, next(numbers))

    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=240) as client:
        await asyncio.gather(*(one(client) for _ in range(16)))


async def figures(url):
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": "Bearer ada-token"}, trust_env=False
    ) as client:
        return (await client.get("stats")).json()


def check(ledger, seen):
    """The ledger against what was seen; what it says of use and money."""
    with opened(ledger, instance="reader") as store:
        assert store.verify() == []
        entries = {entry.request_id: entry for entry in store.read()}
        assert len(entries) == len(store), "every request has one entry"
        totals = store.totals(since="")
    for request_id, tokens in seen.ended.items():
        assert entries[request_id].status == 200
        assert entries[request_id].usage.total_tokens == tokens
    assert seen.begun <= set(entries), "who saw a part of an answer has an entry"
    for entry in entries.values():
        if entry.status == 0:
            assert (entry.error, entry.usage.estimated) == ("gateway_stopped", True)
            assert entry.cost_nanodollars > 0
    assert sum(total["requests"] for total in totals) == len(entries)
    spent = sum(entry.cost_nanodollars for entry in entries.values())
    assert sum(total["cost_nanodollars"] for total in totals) == spent
    return entries, spent


@pytest.mark.asyncio
async def test_kill_minus_nine_again_and_again(programs, tmp_path):
    ledger, seen, chance = f"sqlite:///{tmp_path / 'ledger.db'}", Seen(), random.Random(4)
    async with SimulatedProvider(first_token=0.02, pace=0.004, words=8) as provider:
        config = tmp_path / "rsql.toml"
        config.write_text(
            f'default_model = "m"\n[[keys]]\nprovider = "sim"\nkey = "k1"\nbase_url = "{provider.url}"\nrpd = 1000000\n'
            f'[[api_keys]]\nname = "ada"\nkey = "ada-token"\n[storage]\nledger = "{ledger}"\ninstance = "one"\n'
            f'[prices.models."m"]\n{PRICE}[limits.caller]\nrequests_per_day = 1000000\nusd_per_day = 1000000.0\n'
        )
        stopped = 0
        for life in range(LIVES):
            async with gateway(config) as (process, url):
                entries, spent = check(ledger, seen)
                told = await figures(url)
                counted = [entry for entry in entries.values() if entry.counts]
                assert told["limits"]["day"]["current"] == len(counted)
                assert told["tokens"]["day"]["current"] == sum(entry.usage.total_tokens for entry in counted)
                assert told["cost"]["today"] == spent / 1e9
                assert told["concurrency"]["current"] == 0
                asking = asyncio.create_task(load(url, seen, 1_000_000 * life))
                enough = len(seen.ended) + chance.randrange(10, 40)
                while len(seen.ended) < enough:
                    await asyncio.sleep(0.001)
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait)
                await asking
            stopped = sum(entry.status == 0 for entry in entries.values())
        async with gateway(config):
            entries, _ = check(ledger, seen)
        asked = sum(request.status == 200 for request in provider.requests)
        known = sum(entry.status in {0, 200} for entry in entries.values())
        assert known <= asked + 16 * LIVES, "no more was counted than was asked for"
    assert len(seen.ended) > 10 * LIVES, "there was load"
    assert stopped > 0, "something was under way"
