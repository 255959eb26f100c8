"""What the gateway costs, side by side in one run and on one core: called directly, through it, and through its peers.

LiteLLM's proxy and Portkey take part where they are installed: ``litellm`` on the PATH or named by BENCH_LITELLM
(``pip install "litellm[proxy]!=1.82.7,!=1.82.8,!=1.107.0"``: these three were tampered with),
Portkey's ``build/start-server.js`` named by BENCH_PORTKEY, TensorZero's embedded gateway where BENCH_TENSORZERO names a
Python that has the package. Gateways run on the last core, all else on the first.

Ours is measured as it comes, with its ledger on disk, and with a ledger in memory, as the peers keep none. Portkey
1.15.2 answers streams with 500 on the Node versions that were tried, and is left out there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from servers import free_port

from jupyter_server_ext.upstream import ProviderTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

aiohttp = pytest.importorskip("aiohttp")

pytestmark = pytest.mark.bench

MODEL = "gpt-4o-mini"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "How many flights left JFK?"}]}
WORDS = 20
ROUNDS, SECONDS = 3, 2.0
OPEN_STREAMS = 2_000
FIRST, FURTHER = 20_000, int(os.environ.get("BENCH_REQUESTS", "100_000"))  # requests; caches grow with the first
QUIET = 0.5  # processes that others keep running


@dataclass
class Target:
    """A server under measurement."""

    name: str
    port: int
    path: str
    headers: dict[str, str]
    process: subprocess.Popen[bytes]
    model: str = MODEL

    def request(self, *, stream: bool) -> bytes:
        """The bytes of one request."""
        body = json.dumps(BODY | {"model": self.model} | ({"stream": True} if stream else {})).encode()
        headers = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | self.headers).items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    @property
    def megabytes(self) -> float:
        """Memory of its process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def cores() -> tuple[int, int]:
    """The core of the load, and that of the servers."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextlib.contextmanager
def started(
    words: list[str], port: int | None, core: int, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A server on its core, from when it answers at its port, if that is known, until the end of the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, env=os.environ | environment)
    try:
        os.sched_setaffinity(process.pid, {core})
        if port is not None:
            asyncio.run(_answering(port, process, log))
        yield process
    finally:
        process.terminate()
        process.wait(20)


async def _answering(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"It did not start: see {log}.")


@contextlib.contextmanager
def provider(folder: Path, pause: float = 0.0, words: int = WORDS) -> Iterator[Target]:
    """A provider that answers at once, or a word at a time."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("small_provider.py")), str(port), str(words), str(pause)]
    with started(command, port, cores()[0], folder / "provider.log") as process:
        yield Target("direct", port, "/v1/chat/completions", {"authorization": "Bearer k"}, process)


@contextlib.contextmanager
def rsql(folder: Path, upstream: Target, ledger: str = "") -> Iterator[Target]:
    """The gateway, with its usual ledger or another."""
    port, config = free_port(), folder / "rsql.toml"
    storage = f'[storage]\nledger = "{ledger}"\n' if ledger else ""
    config.write_text(
        f'default_model = "{MODEL}"\n[[keys]]\nprovider = "here"\nkey = "k"\nmodels = ["{MODEL}"]\n'
        f'base_url = "http://127.0.0.1:{upstream.port}/v1"\n[limits.everyone]\nconcurrency = 100000\n{storage}',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "jupyter_server_ext", "--ip", "127.0.0.1", "--port", str(port)]
    command += ["--gateway-config", str(config)]
    own = {"JUPYTER_TOKEN": "bench", "JUPYTER_DATA_DIR": str(folder)}
    with started(command, port, cores()[1], folder / "rsql.log", **own) as process:
        while b"ready" not in (folder / "rsql.log").read_bytes():
            time.sleep(0.005)
        name = "in memory" if ledger else "rsql"
        yield Target(name, port, "/rsql/v1/chat/completions", {"authorization": "Bearer bench"}, process)


def in_memory(folder: Path, upstream: Target) -> contextlib.AbstractContextManager[Target]:
    """The gateway with a ledger that ends with it."""
    inner = folder / "in-memory"
    inner.mkdir()
    return rsql(inner, upstream, "memory://")


@contextlib.contextmanager
def litellm(folder: Path, upstream: Target) -> Iterator[Target | None]:
    """LiteLLM's proxy, None where it is not installed."""
    program = os.environ.get("BENCH_LITELLM") or shutil.which("litellm")
    if not program:
        print("LiteLLM is left out: there is no `litellm` on the PATH, and BENCH_LITELLM names none.")
        yield None
        return
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n- model_name: {MODEL}\n  litellm_params:\n    model: openai/{MODEL}\n"
        f"    api_base: http://127.0.0.1:{upstream.port}/v1\n    api_key: k\n",
        encoding="utf-8",
    )
    allow = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true", "LITELLM_LOG": "ERROR"}
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with started(command, port, cores()[1], folder / "litellm.log", **allow) as process:
        yield Target("litellm", port, "/v1/chat/completions", {"authorization": "Bearer k"}, process)


@contextlib.contextmanager
def portkey(folder: Path, upstream: Target) -> Iterator[Target | None]:
    """Portkey's gateway, None where it is not installed."""
    script, node = os.environ.get("BENCH_PORTKEY"), shutil.which("node")
    if not script or not node:
        print("Portkey is left out: BENCH_PORTKEY does not name its build/start-server.js, or there is no node.")
        yield None
        return
    port = free_port()
    headers = {
        "authorization": "Bearer k",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream.port}/v1",
    }
    with started([node, script, f"--port={port}", "--headless"], port, cores()[1], folder / "portkey.log") as process:
        yield Target("portkey", port, "/v1/chat/completions", headers, process)


_TENSORZERO = """
import sys, time
from tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("at", gateway.base_url, flush=True)
time.sleep(3600)
"""


@contextlib.contextmanager
def tensorzero(folder: Path, upstream: Target) -> Iterator[Target | None]:
    """TensorZero's gateway, embedded in a process of its own; None where it is not installed."""
    python = os.environ.get("BENCH_TENSORZERO")
    if not python:
        print("TensorZero is left out: BENCH_TENSORZERO names no Python that has it.")
        yield None
        return
    config, log = folder / "tensorzero.toml", folder / "tensorzero.log"
    config.write_text(
        f'[gateway]\nobservability.enabled = false\n[models."{MODEL}"]\nrouting = ["here"]\n'
        f'[models."{MODEL}".providers.here]\ntype = "openai"\nmodel_name = "{MODEL}"\n'
        f'api_base = "http://127.0.0.1:{upstream.port}/v1/"\napi_key_location = "none"\n',
        encoding="utf-8",
    )
    with started([python, "-c", _TENSORZERO, str(config)], None, cores()[1], log) as process:
        while b"at http://" not in log.read_bytes() and process.poll() is None:
            time.sleep(0.05)
        port = int(log.read_text(encoding="utf-8").split("at http://", 1)[1].split("/")[0].rsplit(":", 1)[1])
        model = f"tensorzero::model_name::{MODEL}"
        yield Target("tensorzero", port, "/openai/v1/chat/completions", {}, process, model)


class Connection:
    """One kept-alive connection of the load."""

    def __init__(self, target: Target, *, stream: bool) -> None:
        self._target, self._text, self._stream = target, target.request(stream=stream), stream

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._target.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self) -> tuple[float, float]:
        """Send a request and read the answer; seconds to its first content, and to its end."""
        start = time.perf_counter()
        self._writer.write(self._text)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        if b"content-length:" in head:
            await self._reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            return (time.perf_counter() - start,) * 2
        first, text = 0.0, b""
        while not text.endswith(b"0\r\n\r\n"):
            text = text[-200:] + await self._reader.read(65536)
            first = first or (time.perf_counter() - start if b"word" in text else 0.0)
        return first, time.perf_counter() - start


def works(target: Target, *, stream: bool) -> bool:
    """Whether it answers at all; some versions of peers do not stream."""

    async def once() -> None:
        async with Connection(target, stream=stream) as connection:
            await connection.ask()

    with contextlib.suppress(AssertionError):
        asyncio.run(once())
        return True
    print(f"{target.name} is left out: it does not answer.")
    return False


async def closed_loop(target: Target, concurrency: int, *, stream: bool) -> tuple[float, float, float]:
    """Answers a second, and the median milliseconds to the first content and to the end."""
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + SECONDS

    async def one() -> None:
        async with Connection(target, stream=stream) as connection:
            while time.perf_counter() < end:
                times.append(await connection.ask())

    await asyncio.gather(*(one() for _ in range(concurrency)))
    first, whole = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
    return len(times) / SECONDS, first, whole


def measured(targets: list[Target], run: Callable[[Target], Awaitable[tuple[float, ...]]]) -> dict[str, list[float]]:
    """The medians over alternating rounds, by target."""
    rows: dict[str, list[tuple[float, ...]]] = {target.name: [] for target in targets}
    for _ in range(ROUNDS):
        for target in targets:
            rows[target.name].append(asyncio.run(run(target)))
    return {name: [statistics.median(column) for column in zip(*of, strict=True)] for name, of in rows.items()}


@pytest.fixture
def on_one_core():
    """The load on the first core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores()[0]})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize("stream", [False, True], ids=["bodies", "streams"])
def test_side_by_side(stream, tmp_path, on_one_core):
    is_quiet = os.getloadavg()[0] < QUIET
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(provider(tmp_path))
        gateways = (rsql, in_memory, litellm, portkey, tensorzero)
        all_of_them = [upstream, *(stack.enter_context(of(tmp_path, upstream)) for of in gateways)]
        targets = [target for target in all_of_them if target is not None and works(target, stream=stream)]
        alone = measured(targets, lambda target: closed_loop(target, 1, stream=stream))
        many = measured(targets, lambda target: closed_loop(target, 32, stream=stream))
        served = targets[1].megabytes
    print(f"\n{'streams' if stream else 'bodies'}: added median ms to the first content and the end; answers/s at 32")
    for name, (rate, _, _) in many.items():
        added = [there - here for there, here in zip(alone[name][1:], alone["direct"][1:], strict=True)]
        print(f"  {name:10} {added[0]:7.2f} {added[1]:7.2f} {rate:9.0f}   {many['rsql'][0] / rate:5.1f} x")

    if is_quiet:
        assert alone["rsql"][2] - alone["in memory"][2] <= 5.0, "what it takes to have an entry on disk"
        assert alone["in memory"][1] - alone["direct"][1] <= (1.2 if stream else 0.8)
    else:
        print("The machine was busy, so milliseconds are not judged.")
    assert served <= 120
    if "litellm" in many:
        assert many["rsql"][0] >= (20 if stream else 12) * many["litellm"][0]
    if "portkey" in many:
        assert many["in memory"][0] >= (1.0 if stream else 1.5) * many["portkey"][0]
        assert many["rsql"][0] >= (1.0 if stream else 1.5) * many["portkey"][0], "with a record of each answer, too"


def test_open_streams(tmp_path, on_one_core):
    """Memory of streams that are open at the same time."""
    with provider(tmp_path, pause=1.0, words=25) as upstream, rsql(tmp_path, upstream) as gateway:
        asyncio.run(_open(gateway, 10))
        before = gateway.megabytes
        highest = asyncio.run(_open(gateway, OPEN_STREAMS))
    each = (highest - before) * 1024 / OPEN_STREAMS
    print(f"\n{OPEN_STREAMS:,} open streams: {each:.0f} kB each")
    assert each <= 80


async def _open(gateway: Target, count: int) -> float:
    """Megabytes of the gateway when so many streams have all begun."""
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(Connection(gateway, stream=True)) for _ in range(count)]
        asking = [asyncio.ensure_future(connection.ask()) for connection in connections]
        await asyncio.sleep(3.0 + count / 300)
        assert not any(task.done() for task in asking), "all are open"
        megabytes = gateway.megabytes
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        return megabytes


async def cpu_microseconds(one: Callable[[], Awaitable[object]]) -> float:
    """CPU time of a request, 32 at once."""

    async def many(count: int) -> None:
        for _ in range(count):
            await one()

    await many(50)
    start = time.process_time()
    await asyncio.gather(*(many(60) for _ in range(32)))
    return (time.process_time() - start) / (60 * 32) * 1e6


async def _transports(upstream: Target) -> dict[str, float]:
    body = json.dumps(BODY).encode()
    url = httpx.URL(f"http://127.0.0.1:{upstream.port}/v1/chat/completions")
    headers = [(b"Host", b"here"), (b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]

    async def by(transport: httpx.AsyncBaseTransport) -> None:
        request = httpx.Request("POST", url, headers=headers, stream=httpx.ByteStream(body))
        reply = await transport.handle_async_request(request)
        assert [part async for part in reply.stream]
        await reply.stream.aclose()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def by_aiohttp() -> None:
            async with session.post(str(url), data=body) as reply:
                await reply.read()

        bare = await cpu_microseconds(by_aiohttp)
    own, plain = ProviderTransport(), httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=None))
    return {
        "ours": await cpu_microseconds(lambda: by(own)),
        "bare aiohttp": bare,
        "httpx's": await cpu_microseconds(lambda: by(plain)),
    }


def test_transports(tmp_path, on_one_core):
    """Whether the way to the providers is worth being our own: CPU time of a request."""
    with provider(tmp_path) as upstream:
        took = asyncio.run(_transports(upstream))
    print("\nCPU time of a request, microseconds: " + ", ".join(f"{name} {us:.0f}" for name, us in took.items()))
    assert took["ours"] <= 0.8 * took["bare aiohttp"]
    assert took["ours"] <= 0.1 * took["httpx's"]


def test_start(tmp_path, on_one_core):
    is_quiet = os.getloadavg()[0] < QUIET
    with provider(tmp_path) as upstream:
        took = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            with rsql(tmp_path, upstream):
                took.append(time.perf_counter() - start)
    print(f"\nstart: {statistics.median(took):.2f} s")
    assert not is_quiet or statistics.median(took) <= 2.0


async def _ask_many(target: Target, number: int, at_once: int = 16) -> None:
    """So many requests, one stream in five."""

    async def one(*, stream: bool) -> None:
        async with Connection(target, stream=stream) as connection:
            for _ in range(number // at_once):
                await connection.ask()

    await asyncio.gather(*(one(stream=at % 5 == 0) for at in range(at_once)))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("gateway", [rsql, in_memory], ids=["on-disk", "in-memory"])
def test_memory_after_many_requests(gateway, tmp_path):
    """It is flat once caches and tables have their sizes; a ledger in memory keeps what it is told."""
    with provider(tmp_path) as upstream, gateway(tmp_path, upstream) as target:
        asyncio.run(_ask_many(target, FIRST))
        sizes = [target.megabytes]
        for _ in range(4):
            asyncio.run(_ask_many(target, FURTHER // 4))
            sizes.append(target.megabytes)
    told = ", ".join(f"{size:.1f}" for size in sizes)
    print(f"\n{target.name}: MB after {FIRST:,} requests and each quarter of {FURTHER:,} more: {told}")

    if gateway is rsql:
        assert sizes[-1] - sizes[0] < 5.0
