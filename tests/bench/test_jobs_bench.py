"""A job of 100,000 lines: the memory of the gateway, and how much of the provider's quota it uses.

The provider allows 20 requests a second and answers in 50 ms. Two minutes of the job are measured, then it is
cancelled, and the results of all its lines are read.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest
from gateway_program import gateway
from simulated_provider import Account, SimulatedProvider

pytestmark = pytest.mark.bench

LINES = 100_000
PER_MINUTE = 1200
MINUTES = 2.0
ADA = {"Authorization": "Bearer ada-token"}
CONFIG = """
default_model = "m"
[[keys]]
provider = "sim"
key = "k1"
base_url = "{url}"
rpm = {rpm}
[[api_keys]]
name = "ada"
key = "ada-token"
[storage]
ledger = "sqlite:///{folder}/ledger.db"
"""


def megabytes(process, name="VmHWM"):
    """The most memory that a process has had, or has with ``VmRSS``."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name))) / 1024


def form(boundary):
    """The body of an upload, piece by piece."""
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'.encode()
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="rows.jsonl"\r\n\r\n'.encode()
    text = "Is this a complaint? Answer yes or no. " + "The parcel came late and the box was open. " * 5
    for start in range(0, LINES, 100):
        rows = []
        for n in range(start, start + 100):
            body = {"model": "m", "messages": [{"role": "user", "content": f"{n}: {text}"}], "max_tokens": 8}
            rows.append(
                json.dumps({"custom_id": f"row-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body})
            )
        yield ("\n".join(rows) + "\n").encode()
    yield f"\r\n--{boundary}--\r\n".encode()


async def sent(client):
    async def pieces():
        for piece in form("rows"):
            yield piece

    kind = {"Content-Type": "multipart/form-data; boundary=rows"}
    file = (await client.post("v1/files", content=pieces(), headers=kind)).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions"}
    return file, (await client.post("v1/batches", json=body)).json()


async def lines_of(client, file):
    async with client.stream("GET", f"v1/files/{file}/content") as reply:
        return {json.loads(line)["custom_id"] async for line in reply.aiter_lines()}


@pytest.mark.asyncio
async def test_memory_and_quota_of_a_large_job(programs, tmp_path):
    account = Account("rolling", rpm=PER_MINUTE)
    async with SimulatedProvider({"k1": account}, first_token=0.05, words=8) as provider:
        config = tmp_path / "rsql.toml"
        config.write_text(CONFIG.format(url=provider.url, rpm=PER_MINUTE, folder=tmp_path))
        async with (
            gateway(config) as (process, url),
            httpx.AsyncClient(base_url=url, headers=ADA, trust_env=False, timeout=120) as client,
        ):
            idle = megabytes(process, "VmRSS")
            start = time.monotonic()
            file, job = await sent(client)
            uploaded = time.monotonic() - start
            after_upload = megabytes(process)
            await asyncio.sleep(10.0)  # until it is at its pace
            before = account.accepted
            await asyncio.sleep(60.0 * MINUTES)
            used = (account.accepted - before) / (PER_MINUTE * MINUTES)
            working = megabytes(process)
            await client.post(f"v1/batches/{job['id']}/cancel")
            start = time.monotonic()
            while (found := (await client.get(f"v1/batches/{job['id']}")).json())["status"] != "cancelled":
                await asyncio.sleep(0.5)
            cancelled = time.monotonic() - start
            start = time.monotonic()
            names = await lines_of(client, found["output_file_id"])
            names |= await lines_of(client, found["error_file_id"])
            read = time.monotonic() - start
            most = megabytes(process)
    print(
        f"\n{file['bytes'] / 1e6:.0f} MB sent in {uploaded:.1f} s; memory: {idle:.0f} MB idle, {after_upload:.0f} after"
        f" the upload, {working:.0f} working, {most:.0f} at most; {used:.1%} of the quota used,"
        f" {account.refused} refused; the rest cancelled in {cancelled:.0f} s,"
        f" {len(names):,} results read in {read:.1f} s"
    )
    assert len(names) == LINES
    assert found["request_counts"]["completed"] == account.accepted
    assert most <= 150
    assert used >= 0.8
