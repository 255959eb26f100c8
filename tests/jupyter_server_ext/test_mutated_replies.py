"""However a provider's reply is damaged: an answer or one clear error, soon, in little memory, and the next.

``RSQL_SWEEP_REPLIES`` is the number of replies that the sweep takes, 1,000,000 by default, which is some minutes of one
core; a fiftieth of it goes over real sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import random
import resource
import time

import pytest
from mutated_replies import good, mutated, odd_types
from servers import listening

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret, Settings
from jupyter_server_ext.errors import RsqlGatewayError
from jupyter_server_ext.handlers.response_events import EventTranslator, ResponseFrame, response_of
from jupyter_server_ext.keys import KeyPool, KeyQueue
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline.cache import as_body, as_events
from jupyter_server_ext.upstream import Job, KeyRotatingTransport, ProviderTransport
from jupyter_server_ext.upstream.connection import _Connection

pytestmark = pytest.mark.usefixtures("simulation")

SWEEP = int(os.environ.get("RSQL_SWEEP_REPLIES", "1_000_000"))
OVER_SOCKETS = max(1000, SWEEP // 50)
MESSAGES = [{"role": "user", "content": "How many flights left JFK?"}]
FRAME = ResponseFrame("req-1", "m", {}, 0)
LONGEST = 2.0  # seconds, on a busy machine
PATIENCE = 5.0  # seconds that a gateway gives a provider over real sockets
MOST_GROWTH = 64_000  # kB


class ScriptConnection(asyncio.Transport):
    """A connection whose other side sends what it is told to as soon as it is asked, and then hangs up."""

    def __init__(self, pieces):
        super().__init__()
        self.pieces = pieces
        self.closing = False
        self.protocol = None

    def write(self, data):
        asyncio.get_running_loop().call_soon(self.reply)

    def reply(self):
        for piece in self.pieces:
            if not self.closing:
                self.protocol.data_received(piece)
        if not self.closing:
            self.closing = True
            self.protocol.connection_lost(None)

    def is_closing(self):
        return self.closing

    def abort(self):
        self.closing = True

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        pass

    resume_reading = pause_reading


class Network(ProviderTransport):
    """Real connections over a made-up wire."""

    pieces: list[bytes]

    async def _connect(self, origin):
        connection = _Connection(origin)
        wire = ScriptConnection(self.pieces)
        wire.protocol = connection
        connection.connection_made(wire)
        return connection


class Provider:
    """One key, and the replies to its requests."""

    def __init__(self):
        self.network = Network()
        self.network._by_proxy["http", "h", 80] = None
        self.pool = KeyPool([KeySettings("sim", Secret("sk-0123456789abcd"), "http://h/v1", name="k", models=("m",))])
        settings = PoolSettings(attempts=1)
        self.queue = KeyQueue(self.pool, settings)
        self.transport = KeyRotatingTransport(self.queue, settings, lambda _: self.network)

    async def ask(self, pieces, *, stream):
        """What one request comes to: an answer, or the error's code."""
        self.network.pieces = pieces
        body = {"model": "m", "messages": MESSAGES, "stream": stream}
        job = Job(Caller("ada"), ChatRequest("m", body, stream=stream), self.pool.clock() + 5)
        try:
            answer = await self.transport.answer(job)
        except RsqlGatewayError as error:
            return checked_error(error)
        finally:
            self.pool.keys.resume("k")
        try:
            parts = [part async for part in answer.parts()]
            return checked_answer(b"".join(parts), answer.ending(b'"rsql":{}'), stream=stream)
        except RsqlGatewayError as error:
            return checked_error(error)
        finally:
            await answer.aclose()
            assert 0 < answer.usage.prompt_tokens <= 30_000
            assert 0 <= answer.usage.completion_tokens <= 300_000
            assert 0 <= answer.usage.cached_tokens <= answer.usage.prompt_tokens
            self.pool.keys.resume("k")


def checked_error(error):
    assert 400 <= error.status < 600
    assert error.message
    json.dumps(error.as_json("req"))
    return error.code


def checked_answer(said, ending, *, stream):
    whole = said + ending
    whole.decode()
    if stream:
        assert ending.endswith(b"data: [DONE]\n\n")
        assert json.loads(ending.split(b"\n\n")[-3].removeprefix(b"data: "))["rsql"] == {}
        as_body(whole)
        EventTranslator(FRAME).feed(whole)
    else:
        assert json.loads(whole)["rsql"] == {}
        as_events(whole, b"", usage=True)
        response_of(whole, FRAME)
    return "answer"


async def survive(number, seed):
    """So many replies; how often each end came."""
    provider, rng, ends = Provider(), random.Random(seed), {}
    slowest = 0.0
    for at in range(number):
        stream = rng.random() < 0.6
        state = rng.getstate()
        pieces = mutated(rng, stream=stream)
        start = time.perf_counter()
        try:
            end = await provider.ask(pieces, stream=stream)
        except BaseException:
            print("reply", at, "of seed", seed, stream, pieces, hash(state))
            raise
        slowest = max(slowest, time.perf_counter() - start)
        ends[end] = ends.get(end, 0) + 1
        if at % 50 == 0:
            faulthandler.dump_traceback_later(60, exit=True)  # a loop without end cannot be told otherwise
            assert await provider.ask(good(stream=stream), stream=stream) == "answer"
    faulthandler.cancel_dump_traceback_later()
    assert len(provider.network._idle.get(("http", "h", 80), ())) <= 1
    await provider.queue.close()
    return ends, slowest


@pytest.fixture
def quiet(monkeypatch):
    """No lines of the log: each would be another."""
    monkeypatch.setattr("jupyter_server_ext.logs.Log._is_due", lambda *_: False)


@pytest.mark.usefixtures("quiet")
def test_a_sample_of_mutated_replies():
    ends, slowest = asyncio.run(survive(6_000, seed=1))

    assert slowest < LONGEST
    assert {"answer", "upstream_failed"} <= set(ends)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_values_of_other_types_end_in_an_answer_or_an_error(stream):
    async def all_ends():
        provider = Provider()
        ends = set()
        for pieces in odd_types(stream=stream):
            try:
                ends.add(await provider.ask(pieces, stream=stream))
            except Exception as error:
                raise AssertionError(pieces) from error
        await provider.queue.close()
        return ends

    assert {"answer", "upstream_failed"} <= asyncio.run(all_ends())


class Sender:
    """A provider over real sockets, which sends the next reply to whatever it is asked."""

    def __init__(self):
        self.pieces = []

    async def serve(self, reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            for piece in self.pieces:
                writer.write(piece)
                await asyncio.sleep(0)


async def survive_for_real(served, number, seed):
    """So many replies through the whole gateway, its server and its client's sockets.

    Returns:
        How often each status came, and the seconds that the slowest took.
    """
    sender, rng, statuses, slowest = Sender(), random.Random(seed), {}, 0.0
    pool = PoolSettings(
        attempts=1,
        first_byte_timeout_seconds=PATIENCE,
        stall_timeout_seconds=PATIENCE,
        answer_timeout_seconds=PATIENCE,
    )
    async with contextlib.AsyncExitStack() as stack:
        url = f"http://127.0.0.1:{await stack.enter_async_context(listening(sender.serve))}/v1"
        keys = (KeySettings("sim", Secret("sk-0123456789abcd"), url, name="k", models=("m",)),)
        settings = Settings(default_model="m", keys=keys, pool=pool)
        gateway = await stack.enter_async_context(served(settings, fake=False))
        for at in range(number):
            stream = rng.random() < 0.6
            route = rng.choice(["v1/chat/completions", "chat", "v1/responses"])
            sender.pieces = good(stream=stream) if at % 20 == 19 else mutated(rng, stream=stream)
            asked = {
                "v1/chat/completions": {"messages": MESSAGES},
                "chat": {"message": "Hi"},
                "v1/responses": {"input": "Hi"},
            }
            whole = {"X-RSQL-Whole": "true"} if rng.random() < 0.3 else {}
            start = time.perf_counter()
            reply = await gateway.ask(asked[route] | {"stream": stream}, path=route, headers=whole)
            slowest = max(slowest, time.perf_counter() - start)
            gateway.app.gateway.pool.keys.resume("k")
            where = (at, seed, route, stream, sender.pieces)
            assert (
                reply.status_code in {200, 400, 404, 413, 422, 429, 502, 503, 504} or 400 <= reply.status_code < 500
            ), where
            assert b"internal_error" not in reply.content, where
            if at % 20 == 19:
                assert reply.status_code == 200, where
            reply.content.decode()
            statuses[reply.status_code] = statuses.get(reply.status_code, 0) + 1
    return statuses, slowest


@pytest.mark.asyncio
@pytest.mark.usefixtures("quiet")
async def test_a_sample_over_real_sockets(served):
    statuses, slowest = await survive_for_real(served, 100, seed=3)

    assert {200, 502} <= set(statuses)
    assert slowest < PATIENCE + LONGEST


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.asyncio
@pytest.mark.usefixtures("quiet")
async def test_many_over_real_sockets(served):
    await survive_for_real(served, 500, seed=0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    statuses, slowest = await survive_for_real(served, OVER_SOCKETS, seed=4)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{OVER_SOCKETS:,} replies over sockets: {statuses}; slowest {slowest:.2f} s; {grown:,} kB more")

    assert slowest < PATIENCE + LONGEST
    assert grown < MOST_GROWTH


@pytest.mark.sweep
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("quiet")
def test_a_million_mutated_replies():
    asyncio.run(survive(5_000, seed=0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    share, ends, slowest = SWEEP // 20, {}, 0.0
    for seed in range(2, 22):
        some, longest = asyncio.run(survive(share, seed))
        slowest = max(slowest, longest)
        ends = {end: ends.get(end, 0) + some.get(end, 0) for end in ends | some}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{sum(ends.values()):,} replies: {ends}; slowest {slowest * 1000:.0f} ms; {grown:,} kB more")

    assert slowest < LONGEST
    assert grown < MOST_GROWTH
