"""What a request leaves in memory, however it ends: nothing, not even a cycle of objects that waits to be collected.

Collecting all garbage of a busy gateway stops it for a while, so that is rare. What
requests left in cycles would pile up until then. So with collection switched off, no object may stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import json
import os
from collections import Counter
from pathlib import Path

import httpx
import pytest
from gateway_runs import IMPATIENT, key
from simulated_provider import Fault, SimulatedProvider

from jupyter_server_ext.config import KeySettings, Secret
from jupyter_server_ext.config.settings import CallerLimits, Settings, StorageSettings

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("simulation")]

MANY = 12
SWEEP = int(os.environ.get("RSQL_SWEEP_REQUESTS", "100_000"))
MOST_GROWTH = 12_000_000  # bytes: the noise of an allocator; 128 bytes a request would be as much
MESSAGES = [{"role": "user", "content": "How many flights left JFK?"}]
CHAT = "v1/chat/completions"
BODY, STREAM = {"messages": MESSAGES}, {"messages": MESSAGES, "stream": True}
POOL = dataclasses.replace(IMPATIENT, stall_timeout_seconds=0.1)


@dataclasses.dataclass(frozen=True)
class Way:
    """A request, how the provider fails it at the first try, and what becomes of it."""

    status: int
    body: dict
    fault: Fault | None = None
    path: str = CHAT
    token: str = "ada-token"
    leaves: bool = False
    headers: dict = dataclasses.field(default_factory=dict)
    caller: CallerLimits = dataclasses.field(default_factory=CallerLimits)


WAYS = {
    "body": Way(200, BODY),
    "stream": Way(200, STREAM),
    "whole stream": Way(200, STREAM, headers={"X-RSQL-Whole": "true"}),
    "batch": Way(200, STREAM, headers={"X-RSQL-Task": "batch"}),
    "repeat": Way(200, STREAM, headers={"Idempotency-Key": "k"}),
    "cached": Way(200, BODY | {"temperature": 0}, headers={"X-RSQL-Cache": "use"}),
    "response": Way(200, {"input": "Hi"}, path="v1/responses"),
    "stream of a response": Way(200, {"input": "Hi", "stream": True}, path="v1/responses"),
    "chat": Way(200, {"message": "Hi", "session_id": "s"}, path="chat"),
    "stranger": Way(401, BODY, token="nobody's"),
    "no JSON": Way(400, {}),
    "no such model": Way(404, BODY | {"model": "none"}),
    "over the limit": Way(429, BODY, caller=CallerLimits(requests_per_minute=1)),
    "another try": Way(200, STREAM, Fault("status", 500)),
    "refused": Way(400, BODY, Fault("status", 400)),
    "reset": Way(200, BODY, Fault("reset")),
    "cut body": Way(200, BODY, Fault("cut")),
    "cut": Way(200, STREAM, Fault("cut")),
    "silence": Way(200, STREAM, Fault("stall")),
    "caller leaves": Way(200, STREAM, Fault("stall"), leaves=True),
}
OFTEN = {"body", "stream", "repeat", "stranger", "refused", "reset", "cut", "silence"}


async def once(served, way: Way) -> int:
    """Ask, and read the answer or leave."""
    headers = {"Authorization": f"Bearer {way.token}", **way.headers}
    async with served.client.stream("POST", way.path, content=json.dumps(way.body), headers=headers) as reply:
        async for _ in reply.aiter_bytes():
            if way.leaves:
                break
    return reply.status_code


async def kept(gateway) -> Counter[str]:
    """The gateway's own objects by type, when nothing is under way."""
    async with asyncio.timeout(5.0):
        await gateway.app.metrics.idle()
    await asyncio.sleep(0.05)
    return Counter(
        type(one).__qualname__
        for one in gc.get_objects()
        if str(type(one).__module__).startswith("jupyter_server_ext.")
    )


@contextlib.contextmanager
def collecting_nothing():
    """Cycles stay where they are."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "way", [pytest.param(way, id=name, marks=() if name in OFTEN else pytest.mark.sweep) for name, way in WAYS.items()]
)
async def test_a_request_leaves_nothing_in_memory(way, served, tmp_path):
    async with SimulatedProvider() as provider:
        settings = Settings(
            keys=tuple(key(provider, name, models=("m",), concurrency=2) for name in ("k1", "k2")),
            default_model="m",
            pool=POOL,
            caller=way.caller,
            storage=StorageSettings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}"),
        )
        async with served(settings, fake=False) as gateway:
            statuses = set()

            async def many() -> None:
                for _ in range(MANY):
                    for one in gateway.app.gateway.pool.keys:
                        gateway.app.gateway.pool.keys.resume(one.id)
                    provider.next("m", way.fault)
                    statuses.add(await once(gateway, way))

            with collecting_nothing():
                await many()
                before = await kept(gateway)
                await many()
                more = await kept(gateway) - before
    assert way.status in statuses
    del more["Slice"]  # a window's part of time; it has 120 of them at most
    assert not {name: count for name, count in more.items() if count >= MANY // 2}


def answered(request: httpx.Request) -> httpx.Response:
    """A provider's answer, as whole or as a stream; every tenth is an error."""
    body = json.loads(request.content)
    if "fail" in str(body["messages"][-1]["content"]):
        return httpx.Response(400, json={"error": {"message": "No.", "code": "bad"}})
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    if not body.get("stream"):
        message = {"role": "assistant", "content": "Yes."}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return httpx.Response(200, json={"model": "m", "usage": usage, "choices": choices})
    choices = [{"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}]
    chunk = json.dumps({"model": "m", "usage": usage, "choices": choices})
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, content=f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    )


def resident() -> int:
    """The process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.sweep
@pytest.mark.timeout(7200)
async def test_memory_stays_flat_over_very_many_requests(served, url, monkeypatch):
    """Bodies, streams, repeats, refusals and strangers in turn, each caller with words of its own."""
    monkeypatch.setattr("jupyter_server_ext.logs.Log._is_due", lambda *_: False)
    settings = Settings(
        keys=(KeySettings("groq", Secret("k" * 20), base_url="http://provider.example/v1", models=("m",), name="k1"),),
        default_model="m",
        caller=CallerLimits(requests_per_minute=None, requests_per_day=None, tokens_per_day=None),
        storage=StorageSettings(ledger=url),
    )
    async with served(settings, fake=False, transport=httpx.MockTransport(answered)) as gateway:

        async def some(start: int, number: int) -> None:
            for at in range(start, start + number):
                said = [{"role": "user", "content": f"How many flights left gate {at}?{' fail' * (at % 10 == 3)}"}]
                headers = {"Idempotency-Key": f"k{at // 2}"} if at % 10 in {6, 7} else {}
                token = "stranger" if at % 10 == 5 else "ada-token"
                await gateway.ask({"messages": said, "stream": at % 2 == 0}, token, headers=headers)
                gateway.app.gateway.pool.keys.resume("k1")

        figures = []
        for part in range(10):
            await asyncio.gather(*(some((4 * part + task) * SWEEP // 40, SWEEP // 40) for task in range(4)))
            gc.collect()
            figures.append(resident())
    print(f"{SWEEP:,} requests; MB after each tenth: {[round(figure / 1e6, 1) for figure in figures]}")
    assert figures[-1] - figures[1] < MOST_GROWTH
