"""A provider that cannot be reached for two minutes: a job waits, loses no line, and buys none twice but those on their
way when it went."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import httpx
import pytest
from gateway_runs import now, running
from virtual_time import run

from jupyter_server_ext.config import JobSettings, KeySettings, Secret
from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline import Files, JobRunner, Jobs, LineRequest

ADA = Caller("ada")
CHAT = "/v1/chat/completions"
LINES = 300
AT_ONCE = 16


class Provider(httpx.AsyncBaseTransport):
    """Answers in a second, and is away from 5 s on for two minutes; what it was writing then is written in vain."""

    def __init__(self, away):
        self.away, self.bill = away, Counter()

    def is_away(self):
        return 5.0 <= now() < 125.0

    async def handle_async_request(self, request):
        if self.is_away():
            await asyncio.sleep(self.away.get("seconds", 0.0))
            raise self.away["error"]("away")
        [message] = json.loads(await request.aread())["messages"]
        self.bill[message["content"]] += 1
        await asyncio.sleep(1.0)
        if self.is_away():
            raise httpx.ReadError("cut")
        choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        return httpx.Response(200, json={"choices": [choice], "usage": usage})


async def request_of(caller, line, body):
    del caller
    return LineRequest(ChatRequest("m", json.loads(body), request_id=f"r{line.number}", interactive=False), bytes)


async def maker(name, tenant, key):
    return Caller(name, tenant, key=key)


def line(number):
    body = {"model": "m", "messages": [{"role": "user", "content": f"Row {number}"}], "max_tokens": 4}
    return json.dumps({"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body})


@pytest.mark.slow
@pytest.mark.parametrize("keys", [1, 3])
@pytest.mark.parametrize(
    "away",
    [{"error": httpx.ConnectError}, {"error": httpx.ConnectTimeout, "seconds": 5.0}, {"error": httpx.ReadError}],
    ids=["refused", "silent", "broken"],
)
def test_a_job_goes_on_when_its_provider_is_back(tmp_path, away, keys):
    provider = Provider(away)
    ledger = Ledger(SqlLedgerStore(f"sqlite:///{tmp_path}/ledger.db", instance="one"))
    settings = JobSettings(at_once=AT_ONCE)

    async def live(loop):
        files = Files(ledger, settings, clock=loop.time)
        jobs = Jobs(files, settings, clock=loop.time)
        own = [KeySettings("sim", Secret(f"k{n}"), "http://provider/v1") for n in range(keys)]
        async with running(*own, transport=provider) as gateway:
            runner = JobRunner(jobs, gateway, request_of, maker, lambda _: None, clock=loop.time, draw=random.Random(1))
            upload = await files.begin(ADA, 0)
            await upload.add("\n".join(map(line, range(LINES))).encode())
            job = await jobs.make(ADA, (await upload.finish("rows.jsonl", None)).id, CHAT)
            working = asyncio.create_task(runner.run())
            waited = set()
            while (found := await jobs.one(ADA, job.id)).is_active:
                waited |= {found.waits_for} if provider.is_away() else set()
                await asyncio.sleep(5.0)
            await runner.close()
            await working
            return found, waited, loop.time()

    found, waited, ended = run(live)
    assert (found.state, found.done, found.failed) == ("completed", LINES, 0)
    assert len(provider.bill) == LINES
    assert provider.bill.total() - LINES <= AT_ONCE, "bought twice is only what was on its way"
    assert any(waited), "it says what it waits for"
    assert 125.0 < ended < 400.0
