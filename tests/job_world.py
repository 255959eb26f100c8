"""Gateways of one ledger that work off jobs, with a provider that does what a test says."""

from __future__ import annotations

import asyncio
import json
import random

import msgspec

from jupyter_server_ext.config import JobSettings
from jupyter_server_ext.ledger import Ledger, PromptVault, SqlLedgerStore
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline import Files, JobRunner, Jobs, LineRequest

ADA = Caller("ada", "lab")
CHAT = "/v1/chat/completions"
ANSWER = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
USUAL = 500_000_000  # nano-dollars that a line is expected to cost


class Provider:
    """Answers every line, unless a test says how a line fails: errors to raise first, or an event to wait for."""

    def __init__(self):
        self.asked, self.script, self.at_once, self.most_at_once = [], {}, 0, 0
        self.dearest, self.cost, self.bill = 0.5, lambda: 0.5, 0.0  # US dollars of a line

    def most(self, caller, request):
        return None if self.dearest is None else round(self.dearest * 1e9)

    def says(self, line, *behaviours):
        self.script[line] = list(behaviours)

    async def complete(self, caller, request):
        name = request.body["line"]
        self.asked.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            await request.purchase.begin(max(request.purchase.most, USUAL))
            for behaviour in self.script.get(name, [])[:1]:
                self.script[name].pop(0)
                if isinstance(behaviour, Exception):
                    raise behaviour
                if isinstance(behaviour, asyncio.Event):
                    await behaviour.wait()
            cost = self.cost()
            self.bill += cost
            request.purchase.cost = round(cost * 1e9)
            yield msgspec.json.encode(ANSWER | {"id": name, "for": caller.name})
        finally:
            self.at_once -= 1


class Site:
    """One gateway of a ledger."""

    def __init__(self, world, instance, **settings):
        self.world, self.told = world, []
        self.ledger = Ledger(SqlLedgerStore(world.url, instance=instance, now=lambda _: world.now))
        world.made.append(self.ledger)
        settings = JobSettings(**({"at_once": 8, "attempts": 3} | settings))
        vault = PromptVault(world.keys) if world.keys else None
        self.files = Files(self.ledger, settings, vault, clock=world.clock)
        self.jobs = Jobs(self.files, settings, clock=world.clock)
        self.runner = JobRunner(
            self.jobs,
            world.provider,
            request_of,
            world.maker,
            self.told.append,
            clock=world.clock,
            draw=random.Random(1),
        )

    async def send(self, content, caller=ADA, *, pieces=1, name="rows.jsonl", seconds=None):
        upload = await self.files.begin(caller, 0)
        for start in range(0, len(content), -(-len(content) // pieces)):
            await upload.add(content[start : start + -(-len(content) // pieces)])
        return await upload.finish(name, seconds)

    async def job(self, lines, caller=ADA, **options):
        file = await self.send(b"\n".join(lines), caller)
        return await self.jobs.make(caller, file.id, CHAT, **options)

    async def work(self, rounds=6):
        """Rounds of work, each with all that was begun."""
        for _ in range(rounds):
            await self.runner.step()
            await self.runner.idle()
        await self.runner.step()

    async def finish(self, job, caller=ADA, *, seconds=0.0):
        for _ in range(200):
            await self.work(1)
            self.world.now += seconds
            if not (found := await self.jobs.one(caller, job.id)).is_active:
                return found
        raise AssertionError(found)

    async def results(self, job, part="output", caller=ADA):
        file = await self.files.one(caller, job.part_id(part))
        text = b"".join([piece async for piece in self.files.content(file)])
        assert len(text) == file.bytes
        return [json.loads(line) for line in text.splitlines()]


async def request_of(caller, line, body):
    del caller
    sent = json.loads(body)
    return LineRequest(ChatRequest("m", sent, request_id=f"req-{line.number}"), bytes)


class World:
    """Gateways of one ledger, on one clock."""

    def __init__(self, url):
        self.url, self.now, self.made, self.keys = url, 1_000_000.0, [], ()
        self.provider, self.gone = Provider(), set()

    def site(self, instance="one", **settings):
        return Site(self, instance, **settings)

    def clock(self):
        return self.now

    async def maker(self, name, tenant, key):
        return None if key in self.gone else Caller(name, tenant, key=key)


def line(number, **more):
    body = {"line": f"row-{number}"}
    return json.dumps({"custom_id": f"row-{number}", "method": "POST", "url": CHAT, "body": body} | more).encode()


def lines(number):
    return [line(n) for n in range(1, number + 1)]
