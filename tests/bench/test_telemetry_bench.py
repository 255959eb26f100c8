"""What figures and traces cost: processor time of the same requests with and without, in turns in one run."""

from __future__ import annotations

import contextlib
import gc
import operator
import statistics
import subprocess
import sys
import time

import pytest

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.config import CallerLimits, KeySettings, Secret, Settings, StorageSettings, TelemetrySettings
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
    """Processor time of requests, by all threads of this process but the collector's."""
    gc.collect()
    start = time.process_time()
    for number in range(first, first + REQUESTS):
        body = {"messages": [{"role": "user", "content": f"How many flights left JFK on day {number}?"}], "model": "m"}
        request = ChatRequest("m", body, request_id=f"r{number}", session_id="nb-1")
        async with contextlib.aclosing(gateway.complete(Caller(f"u{number % 500}", "stats101"), request)) as parts:
            async for _ in parts:
                pass
    return time.process_time() - start


@pytest.mark.asyncio
async def test_traces_at_a_tenth_and_figures_beside_none_of_them(tmp_path):
    import httpx

    class Answering(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, content=ANSWER)

    key = KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1")
    storage = StorageSettings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}", instance="one")
    settings = Settings(default_model="m", keys=(key,), storage=storage, everyone=CallerLimits(concurrency=100))
    app = build_app(settings, [], "/rsql/", transport=Answering())
    accounting, gateway = app.accounting, app.gateway
    with collector() as port:
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
        await app.close()
        traces.close()

    def more(name: str, than: str) -> float:
        """By how many per cent, in the middle of all turns: a turn's requests follow each other within a second."""
        return (statistics.median(map(operator.truediv, took[name], took[than])) - 1) * 100

    print("\nprocessor time of a request:")
    for name, values in took.items():
        print(f"  {name}: {statistics.median(values):.0f} µs, {more(name, 'neither'):+.1f} %")
    assert more("figures and traces", than="neither") <= 3
    assert more("figures and traces", than="figures") <= 2
