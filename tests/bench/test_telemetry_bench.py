"""What figures, traces and sums cost: processor time of the same requests with and without, in turns in one run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import operator
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.test_gateway_bench import provider, rsql

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.config import CallerLimits, KeySettings, Secret, Settings, StorageSettings, TelemetrySettings
from jupyter_server_ext.ledger.analytics import SqlAnalytics
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.traces import Traces

pytestmark = pytest.mark.bench

ANSWER = (
    b'{"id": "c", "object": "chat.completion", "choices": [{"index": 0, "message": {"role": "assistant",'
    b' "content": "Hello. Hello. Hello."}, "finish_reason": "stop"}],'
    b' "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}}'
)
REQUESTS, ROUNDS = 200, 30


COLLECTOR = """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def collector():
    """The port of one that takes spans in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", COLLECTOR], stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())
        process.terminate()


async def seconds_of(gateway, first):
    """Processor time of requests, of the thread that answers them."""
    gc.collect()
    start = time.thread_time()
    for number in range(first, first + REQUESTS):
        body = {"messages": [{"role": "user", "content": f"How many flights left JFK on day {number}?"}], "model": "m"}
        request = ChatRequest("m", body, request_id=f"r{number}", session_id="nb-1")
        async with contextlib.aclosing(gateway.complete(Caller(f"u{number % 500}", "stats101"), request)) as parts:
            async for _ in parts:
                pass
    return time.thread_time() - start


@contextlib.contextmanager
def timed(owner, name):
    """The processor time of all calls of a method that another thread makes, in a list of one number."""
    real, seconds = getattr(owner, name), [0.0]

    def timing(*given, **options):
        start = time.thread_time()
        try:
            return real(*given, **options)
        finally:
            seconds[0] += time.thread_time() - start

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, timing)
        yield seconds


def of_a_gateway(folder):
    """Microseconds of processor time that a whole request takes a gateway with a ledger, over HTTP at both sides."""

    async def ask(target, number):
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        for _ in range(number):
            writer.write(target.request(stream=False))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        writer.close()

    def ticks(target):
        fields = Path(f"/proc/{target.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    with provider(folder) as upstream, rsql(folder, upstream) as target:
        asyncio.run(ask(target, 300))
        before = ticks(target)
        asyncio.run(ask(target, 3_000))
        return (ticks(target) - before) / os.sysconf("SC_CLK_TCK") / 3_000 * 1e6


def test_traces_at_a_tenth_and_figures_beside_none_of_them(tmp_path):
    costs = asyncio.run(costs_of_telemetry(tmp_path))
    request = of_a_gateway(tmp_path) - costs["sums for administrators"]
    print(f"\nprocessor time of a request: {request:.0f} µs; beside it")
    for name, cost in costs.items():
        print(f"  {name}: {cost:.1f} µs, {cost / request * 100:.1f} %")
    assert costs["traces of a tenth"] <= 0.02 * request
    assert sum(costs.values()) <= 0.03 * request


async def costs_of_telemetry(tmp_path):
    """Microseconds of processor time for each request.

    Args:
        tmp_path: Where the ledger is.
    """
    import httpx
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class Answering(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, content=ANSWER)

    key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1")
    storage = StorageSettings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}", instance="one")
    settings = Settings(default_model="m", keys=(key,), storage=storage, everyone=CallerLimits(concurrency=100))
    app = build_app(settings, [], "/rsql/", transport=Answering())
    accounting, gateway = app.accounting, app.gateway
    with collector() as port, timed(SqlAnalytics, "fold") as folding, timed(OTLPSpanExporter, "export") as exporting:
        traces = Traces(TelemetrySettings(endpoint=f"http://127.0.0.1:{port}", sample=0.1))
        ways = {
            "neither": (None, None),
            "figures": (app.metrics.executions.observe, None),
            "figures and traces": (app.metrics.executions.observe, traces),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        number = 0
        for turn in range(ROUNDS + 1):
            names = list(ways)[turn % 3 :] + list(ways)[: turn % 3]  # each as often after each other
            for name in names:
                observe, tracing = ways[name]
                accounting.observe, accounting.traces = observe, tracing
                seconds = await seconds_of(gateway, number)
                number += REQUESTS
                if turn:  # the first one warms up
                    took[name].append(seconds / REQUESTS * 1e6)
        accounting.traces = None
        await app.accounting.ledger.analyze(bool)
        await app.close()
        traces.close()

    def more(name: str, than: str) -> float:
        """The microseconds more in the middle of all turns: a turn's requests follow each other within a second."""
        return statistics.median(map(operator.sub, took[name], took[than]))

    return {
        "figures": more("figures", than="neither"),
        # What other threads do is no part of a turn: they do it for the requests of several.
        "traces of a tenth": more("figures and traces", than="figures") + exporting[0] / (number / len(ways)) * 1e6,
        "sums for administrators": folding[0] / number * 1e6,
    }
