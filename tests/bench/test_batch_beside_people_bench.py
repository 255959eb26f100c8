"""A report of 40 AI cells beside twenty people of one key of 30 requests, each a process or a connection of its own.

A minute lasts ten seconds here. People together ask for half of what the key allows. Two gateways run beside each other
on keys of their own, one with the report (``rsql run``, after two minutes) and one without, so that the machine is the
same for both.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import nbformat
import pytest
from gateway_program import gateway
from simulated_provider import Account, SimulatedProvider

pytestmark = pytest.mark.bench

MINUTE = 10.0  # seconds
PEOPLE, CELLS, LASTS = 20, 40, 13.0  # minutes
CONFIG = """
default_model = "m"
[[keys]]
provider = "sim"
key = "k1"
base_url = "{url}"
[[keys.limits]]
requests = 30
seconds = {minute}
{callers}
"""
CALLER = '[[api_keys]]\nname = "{name}"\nkey = "{name}-token-of-a-test"\n'
NAMES = ["report", *(f"user-{n}" for n in range(PEOPLE))]


class Place:
    """One gateway, its provider and its people."""

    def __init__(self, name, folder):
        self.name, self.folder, self.waits = name, folder, []
        self.account = Account("rolling", minute=MINUTE, rpm=30)

    async def open(self, stack):
        provider = await stack.enter_async_context(SimulatedProvider({"k1": self.account}, first_token=0.05, words=8))
        config = self.folder / f"{self.name}.toml"
        callers = "".join(CALLER.format(name=name) for name in NAMES)
        config.write_text(CONFIG.format(url=provider.url, minute=MINUTE, callers=callers))
        _, self.url = await stack.enter_async_context(gateway(config))
        self.client = await stack.enter_async_context(httpx.AsyncClient(base_url=self.url, timeout=90, trust_env=False))

    async def person(self, number, began):
        """Asks, reads, and asks again; what counts is after two minutes."""
        draw = random.Random(number)
        headers = {"Authorization": f"Bearer user-{number}-token-of-a-test", "X-RSQL-Task": "ask"}
        await asyncio.sleep(draw.uniform(0, 80 / 60 * MINUTE))
        while (now := time.monotonic()) < began + LASTS * MINUTE:
            body = {"messages": [{"role": "user", "content": f"{number} at {now}"}], "max_tokens": 8}
            reply = await self.client.post("v1/chat/completions", json=body, headers=headers)
            assert reply.status_code == 200, reply.text
            if now > began + 2 * MINUTE:
                self.waits.append(time.monotonic() - now)
            await asyncio.sleep(draw.uniform(1.0, 100 / 60) * MINUTE)

    async def live(self, began):
        await asyncio.gather(*(self.person(number, began) for number in range(PEOPLE)))


async def report(place, began):
    """The seconds that the report takes, and how it ended."""
    cells = ["%load_ext rsql_magic", *(f"%%ask --no-context\nWhat is {n} + {n}?" for n in range(CELLS))]
    path = place.folder / "report.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    environment = {"RSQL_GATEWAY_URL": place.url, "RSQL_GATEWAY_TOKEN": "report-token-of-a-test"}
    await asyncio.sleep(began + 2 * MINUTE - time.monotonic())
    start = time.monotonic()
    command = [Path(sys.executable).with_name("rsql"), "run", str(path)]
    done = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return time.monotonic() - start


@pytest.mark.asyncio
async def test_people_wait_no_longer_beside_a_report(programs, tmp_path):
    alone, beside = Place("alone", tmp_path), Place("beside", tmp_path)
    async with AsyncExitStack() as stack:
        for place in (alone, beside):
            await place.open(stack)
        began = time.monotonic()
        _, _, took = await asyncio.gather(alone.live(began), beside.live(began), report(beside, began))
    before, after = (statistics.median(place.waits) for place in (alone, beside))
    tail = [statistics.quantiles(place.waits, n=20)[-1] for place in (alone, beside)]
    print(
        f"\n{len(alone.waits)} and {len(beside.waits)} questions of {PEOPLE} people:"
        f" median {1000 * before:.0f} ms without a report, {1000 * after:.0f} ms beside it;"
        f" 95 of 100 within {tail[0]:.2f} and {tail[1]:.2f} s;"
        f" the report's {CELLS} cells took {took:.0f} s ({took / MINUTE:.1f} minutes of the key)"
    )
    assert after <= before + max(0.05, 0.05 * before)
    assert alone.account.refused == beside.account.refused == 0
