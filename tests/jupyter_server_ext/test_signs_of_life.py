"""What tells a client that the gateway is still there, that it ends, or that what is between them is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from servers import free_port

from jupyter_server_ext.config import KeySettings, Settings
from jupyter_server_ext.errors import UpstreamFailed
from rsql_magic.errors import AnswerCut, GatewayError, GatewayUnreachable
from rsql_magic.gateway import LLMClient, Text

pytestmark = pytest.mark.asyncio

STREAM = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
PROXY = """
import asyncio, sys

async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

async def serve(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        print("ready", flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


@pytest.fixture
def quick(monkeypatch):
    """A heartbeat every 0.2 s."""
    monkeypatch.setattr("jupyter_server_ext.handlers.completions.HEARTBEAT_SECONDS", 0.2)


@contextlib.contextmanager
def proxied(port):
    """A proxy in a process of its own, and its port."""
    own = free_port()
    process = subprocess.Popen([sys.executable, "-c", PROXY, str(own), str(port)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield own, process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def lines_of(gateway, body=STREAM, path="v1/chat/completions"):
    headers = {"Authorization": "Bearer ada-token"}
    async with gateway.client.stream("POST", path, json=body, headers=headers) as reply:
        return reply, [line async for line in reply.aiter_lines() if line]


@pytest.mark.asyncio(loop_factories=["virtual"])
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("before", [[], [WORD]], ids=["before the first word", "after it"])
async def test_a_silent_stream_has_heartbeats(served, before):
    async with served() as gateway:
        go_on = asyncio.Event()
        gateway.gateway.events = [*before, go_on, b"data: [DONE]\n\n"]
        asyncio.get_running_loop().call_later(0.9, go_on.set)
        reply, lines = await lines_of(gateway)

    assert reply.headers["x-rsql-heartbeat"] == "0.2"
    assert 2 <= lines.count(": heartbeat") <= 4
    assert lines[-1] == "data: [DONE]"


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_is_not_silent_has_none_and_an_early_error_keeps_its_status(served):
    async with served() as gateway:
        gateway.gateway.events = [WORD, b"data: [DONE]\n\n"]
        assert ": heartbeat" not in (await lines_of(gateway))[1]
        gateway.gateway.events = [UpstreamFailed("no")]
        assert (await lines_of(gateway))[0].status_code == 502


@pytest.mark.asyncio(loop_factories=["virtual"])
@pytest.mark.usefixtures("quick")
async def test_an_error_after_a_heartbeat_is_an_event(served):
    async with served() as gateway:
        go_on = asyncio.Event()
        gateway.gateway.events = [go_on, UpstreamFailed("no")]
        asyncio.get_running_loop().call_later(0.4, go_on.set)
        reply, lines = await lines_of(gateway)

    assert reply.status_code == 200
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "upstream_failed"


@pytest.mark.parametrize("before", [[], [WORD]], ids=["before the first word", "after it"])
async def test_what_is_under_way_at_the_end_is_told(served, before):
    async with served() as gateway:
        gateway.gateway.events = [*before, asyncio.Event()]
        streaming = asyncio.create_task(lines_of(gateway))
        whole = asyncio.create_task(gateway.ask())
        await asyncio.sleep(0.3)
        await asyncio.wait_for(gateway.app.close(), 3)
        (reply, lines), refused = await streaming, await whole

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "no_capacity"
    assert reply.status_code == (200 if before else 503)
    error = json.loads(lines[-1].removeprefix("data: "))["error"]
    assert "restarted" in error["message"]
    assert "data: [DONE]" not in lines


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("before", [[], [WORD]], ids=["before the first word", "after it"])
async def test_the_kernel_notices_that_a_proxy_is_gone(programs, served, before, how):
    async with served() as gateway:
        gateway.gateway.events = [*before, asyncio.Event()]
        with proxied(int(gateway.url.split(":")[2].split("/")[0])) as (port, proxy):
            client = LLMClient(f"http://127.0.0.1:{port}/rsql/", "ada-token")
            asyncio.get_running_loop().call_later(1.0, os.kill, proxy.pid, how)
            start = time.monotonic()
            with pytest.raises(GatewayError) as lost:
                await asyncio.to_thread(lambda: list(client.stream(STREAM["messages"])))
            client.close()

    assert time.monotonic() - start < 10
    gone = "was lost: no sign of life for 0.6 s" if how == signal.SIGSTOP else "cut off before it was complete"
    assert gone in str(lost.value)
    assert isinstance(lost.value, AnswerCut if before or how == signal.SIGKILL else GatewayUnreachable)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
async def test_heartbeats_are_no_words(served):
    async with served() as gateway:
        gateway.gateway.events = [asyncio.Event()]
        client = LLMClient(gateway.url, "ada-token")
        with pytest.raises(GatewayUnreachable, match=r"said nothing for 1 s"):
            await asyncio.to_thread(lambda: list(client.stream(STREAM["messages"], timeout=1)))
        client.close()


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
async def test_a_slow_model_is_waited_for(served):
    async with served() as gateway:
        go_on = asyncio.Event()
        gateway.gateway.events = [go_on, WORD, b"data: [DONE]\n\n"]
        asyncio.get_running_loop().call_later(1.5, go_on.set)
        client = LLMClient(gateway.url, "ada-token")
        events = await asyncio.to_thread(lambda: list(client.stream(STREAM["messages"])))
        client.close()

    assert events[0] == Text("Hel")


async def test_health_tells_of_keys_that_are_lost(served):
    settings = Settings(keys=tuple(KeySettings("sim", base_url="http://127.0.0.1:9/v1", name=name) for name in "abc"))
    async with served(settings, fake=False) as gateway:
        pool = gateway.app.gateway.pool
        assert "keys_lost" not in (await gateway.get("health")).json()
        pool.keys.retire("a", "credential", by_hand=False)
        pool.keys.retire("b", "too old")
        told = (await gateway.get("health")).json()
        status = (await gateway.get("status")).json()

    assert (told["status"], told["checks"]["keys"], told["keys_lost"]) == ("degraded", "degraded", 1)
    assert (status["keys_lost"], status["keys"]["retired"]) == (1, 2)
