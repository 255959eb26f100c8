"""What limits, budgets, cache and ledger cost a request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import socket
import sqlite3
import statistics
import time
from pathlib import Path

import httpx
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import CallerLimits, KeySettings, Secret, Settings, StorageSettings
from jupyter_server_ext.config.settings import ApiKeySettings, CacheSettings
from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
from jupyter_server_ext.limits import Limits
from jupyter_server_ext.limits.limits import Need
from jupyter_server_ext.messages import Caller, ChatRequest, Entry, TokenUsage
from jupyter_server_ext.pipeline import Accounting, AnswerCache, Budgets, Gateway

pytestmark = pytest.mark.bench

ALL = CallerLimits(10**9, 10**9, 10**9, 10**12, 10**12, 10**6, 1e6, 1e7)
ADA = Caller("ada", "stats101")
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hello " * 50}]}
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def told(name: str, value: float, most: float, unit: str) -> None:
    print(f"\n{name}: {value:,.3f} {unit} (at most {most:,} {unit})")
    assert value <= most


def entry(number: int, **known: object) -> Entry:
    at = time.time()
    values = {"tenant": "stats101", "model": "m", "key": "sim-1", "usage": TokenUsage(100, 20), "attempts": 1}
    return Entry(f"req-{number:032d}", at, f"u{number % 1000}", **(values | known))


@pytest.mark.asyncio
async def test_all_checks_of_one_request():
    """Limits of caller, tenant and everyone and money, taken and settled: 21 counters."""
    settings = Settings(caller=ALL, tenant=ALL, everyone=ALL)
    limits, budgets = Limits(settings), Budgets(settings, clock=time.time)
    request, need = ChatRequest("m", ASK), Need(100, 50)
    took = []
    for _ in range(20_000):
        start = time.process_time_ns()
        async with limits.take(ADA, request, need) as taken, budgets.hold(ADA, 5_000) as hold:
            taken.settle(TokenUsage(100, 20))
            hold.settle(4_000)
        took.append((time.process_time_ns() - start) / 1000)
    told("all checks of one request", statistics.median(took), 60, "µs")


class Hello(RequestHandler):
    def post(self) -> None:
        self.write(b"hello")


class ScriptConnection:
    """One kept connection with nothing between the clock and the socket."""

    def __init__(self, port: int, path: str, body: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada-token\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.request = head.encode() + body

    def close(self) -> None:
        self.socket.close()

    def ask(self) -> float:
        start = time.perf_counter()
        self.socket.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data or len(data) < self._end(data):
            data += self.socket.recv(65_536)
        assert data.startswith(b"HTTP/1.1 200")
        return (time.perf_counter() - start) * 1000

    @staticmethod
    def _end(data: bytes) -> int:
        head, _, _ = data.partition(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return len(head) + 4 + int(length[15:])


def _work(wire: ScriptConnection) -> float:
    """Milliseconds of processor time of one request, client and all threads of the server together."""
    start = time.process_time()
    for _ in range(400):
        wire.ask()
    return (time.process_time() - start) / 400 * 1000


def provider(request: httpx.Request) -> httpx.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello. " * 40}, "finish_reason": "stop"}
    return httpx.Response(200, json={"id": "c", "object": "chat.completion", "choices": [choice], "usage": USAGE})


def gateway_settings(ledger: str) -> Settings:
    return Settings(
        default_model="m",
        keys=(KeySettings("sim", Secret("key"), "http://sim.invalid/v1", name="sim-1"),),
        api_keys=(ApiKeySettings("ada", Secret("ada-token"), tenant="stats101"),),
        cache=CacheSettings(enabled=True),
        storage=StorageSettings(ledger=ledger),
        caller=ALL,
        everyone=ALL,
    )


@pytest.mark.parametrize("ledger", ["memory", "sqlite"])
@pytest.mark.asyncio
async def test_a_cache_hit_beside_a_route_that_says_hello(ledger, tmp_path):
    url = "memory://" if ledger == "memory" else f"sqlite:///{tmp_path / 'ledger.db'}"
    parts = build_app(gateway_settings(url), [], "/rsql/", transport=httpx.MockTransport(provider))
    ports = []
    servers = [HTTPServer(app) for app in (web_application(parts), Application([("/hello", Hello)]))]
    for server in servers:
        sock, port = bind_unused_port()
        server.add_socket(sock)
        ports.append(port)
    body = json.dumps(ASK).encode()
    hit, hello = (
        ScriptConnection(ports[0], "/rsql/v1/chat/completions", body),
        ScriptConnection(ports[1], "/hello", body),
    )

    def measure() -> tuple[float, float]:
        hit.ask()
        pairs = [(hit.ask(), hello.ask()) for _ in range(400)]
        longer = statistics.median(one for one, _ in pairs) - statistics.median(two for _, two in pairs)
        return _work(hit) - _work(hello), longer

    more, longer = await asyncio.to_thread(measure)
    print(f"\nby the clock, other programs and the disk included: {longer:.2f} ms")
    assert parts.gateway.cache.results["hit"] >= 400
    for wire in (hit, hello):
        wire.close()
    for server in servers:
        server.stop()
        await server.close_all_connections()
    await parts.gateway.close()
    told(f"a cache hit, ledger in {ledger}, more than hello", more, 1.5, "ms")


def a_million(path: Path) -> None:
    """A day with a million entries of a thousand callers, written as the ledger writes them but without its hashes."""
    at, day = time.time(), time.strftime("%Y-%m-%d", time.gmtime())
    store = SqlLedgerStore(f"sqlite:///{path}", instance="one")
    store.finish([entry(n) for n in range(1000)])
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(entries)")]
        first = db.execute("SELECT * FROM entries LIMIT 1").fetchone()
        spots = {name: columns.index(name) for name in ("number", "request_id", "at", "caller", "day")}

        def rows():
            for number in range(1001, 1_000_001):
                row = list(first)
                row[spots["number"]], row[spots["request_id"]] = number, f"req-{number:032d}"
                row[spots["at"]], row[spots["caller"]], row[spots["day"]] = at - number / 100, f"u{number % 1000}", day
                yield row

        db.execute("PRAGMA synchronous=OFF")
        db.executemany(f"INSERT INTO entries VALUES ({','.join('?' * len(columns))})", rows())
        db.execute("UPDATE totals SET requests = 1000, prompt_tokens = 100000, cost_nanodollars = 1000000")
        db.commit()


@pytest.mark.asyncio
async def test_stats_of_a_day_with_a_million_entries(tmp_path):
    await asyncio.to_thread(a_million, tmp_path / "ledger.db")
    records = Accounting(Ledger(SqlLedgerStore(f"sqlite:///{tmp_path / 'ledger.db'}", instance="one")))
    caller = Caller("u7")
    took = []
    for _ in range(30):
        start = time.perf_counter()
        cost = await records.cost_today(caller, {"sim"})
        cache = await records.cache_today(caller)
        took.append((time.perf_counter() - start) * 1000)
    assert cache["requests"] == 1000
    assert cost is not None
    start = time.perf_counter()
    assert len(await records.usage()) == 1000
    everybody = (time.perf_counter() - start) * 1000
    start = time.perf_counter()
    used = records.ledger.used(time.time() - 86_400, exact=time.time() - 300)
    print(f"\nrebuilding use at the start: {time.perf_counter() - start:.1f} s for {len(used):,} sums")
    await records.ledger.close()
    told("stats of one caller", statistics.median(took), 50, "ms")
    print(f"usage of everybody, a thousand callers: {everybody:.1f} ms")


class Answering(httpx.AsyncBaseTransport):
    """The same answer at once."""

    reply = provider(httpx.Request("POST", "http://x")).content

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=self.reply)


def megabytes() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.asyncio
async def test_memory_over_200_000_requests(tmp_path):
    settings = gateway_settings("memory://")
    gateway = Gateway(
        settings,
        # An exact window remembers each request of its length, at most as many as its limit: here those of a minute.
        limits=Limits(Settings(caller=CallerLimits(requests_per_minute=10**9))),
        accounting=Accounting(budgets=Budgets(settings, clock=time.time)),
        cache=AnswerCache(5_000_000, 3600.0, clock=time.monotonic),
        transport=Answering(),
    )

    async def ask(number: int) -> None:
        body = {"messages": [{"role": "user", "content": f"Question {number % 50_000}"}]}
        request = ChatRequest("m", body, request_id=f"r{number}", cache="use")
        async with contextlib.aclosing(gateway.complete(Caller(f"u{number % 500}"), request)) as parts:
            async for _ in parts:
                pass

    seen = []
    for thousand in range(200):
        await asyncio.gather(*(ask(1000 * thousand + n) for n in range(1000)))
        if thousand % 20 == 19:
            seen.append(megabytes())
    await gateway.close()
    print("\nMB after each 20,000 requests:", ", ".join(f"{size:.0f}" for size in seen))
    told("growth from 100,000 to 200,000 requests", seen[-1] - seen[4], 8, "MB")
