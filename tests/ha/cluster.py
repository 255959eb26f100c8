"""Three gateways behind HAProxy, with Redis and PostgreSQL: as in docs/high-availability.md, on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

HAPROXY = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
ADMIN = "the-token-of-an-administrator"

CONFIG = """
default_model = "m"

[[keys]]
provider = "simulated"
base_url = "{provider}"
key = "k1"
name = "one"
models = ["m"]

{callers}

[tenants.limited.limits]
requests_per_hour = 40

[storage]
state = "{state}"
ledger = "{ledger}"
instance = "{name}"
instances = 3
spool = "{spool}"
"""

CALLER = """
[[api_keys]]
name = "{name}"
key = "{name}-token"
tenant = "{tenant}"
"""


@dataclass
class Gateway:
    """One of them.

    Args:
        name: Its name in the ledger.
        port: Where it listens, also after a restart.
        config: Its rsql.toml.
        log: What it says.
    """

    name: str
    port: int
    config: Path
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.launch()
        self.wait({"ok", "degraded"})

    def launch(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "jupyter_server_ext", "--ip=127.0.0.1", f"--port={self.port}"]
        options = ["--trust-xheaders", "--drain-seconds=30"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *options, f"--gateway-config={self.config}"],
                env={**os.environ, "JUPYTER_TOKEN": ADMIN},
                stdout=log,
                stderr=log,
            )

    def wait(self, wanted: set[str], seconds: float = 60.0) -> None:
        """Wait until its health is one of these words."""
        deadline = time.monotonic() + seconds
        while self.health() not in wanted:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def health(self) -> str:
        """The word of its health, or nothing."""
        with contextlib.suppress(httpx.HTTPError):
            return str(httpx.get(f"http://127.0.0.1:{self.port}/rsql/health", timeout=2).json()["status"])
        return ""

    def kill(self) -> None:
        """End it without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, seconds: float = 40.0) -> None:
        """Ask it to end, and wait until it has."""
        self.process.terminate()
        assert self.process.wait(seconds) == 0, self.log.read_text()


@dataclass
class Cluster:
    """All of them, and the one address in front."""

    url: str
    gateways: tuple[Gateway, ...]
    ledger: str

    @property
    def running(self) -> set[str]:
        """What HAProxy calls those that run."""
        return {f"gateway-{n}" for n, gateway in enumerate(self.gateways, 1) if gateway.process.poll() is None}


@contextlib.contextmanager
def cluster(folder: Path, provider: str, state: str, ledger: str, callers: dict[str, str]) -> Iterator[Cluster]:
    """Three gateways and HAProxy, ended at the end.

    Args:
        folder: Where configuration and logs go.
        provider: Base URL of the provider.
        state: URL of Redis.
        ledger: URL of PostgreSQL.
        callers: Their tenants by name.
    """
    tokens = "".join(CALLER.format(name=name, tenant=tenant) for name, tenant in callers.items())
    gateways = []
    for number in (1, 2, 3):
        gateway = Gateway(f"g{number}", free_port(), folder / f"g{number}.toml", folder / f"g{number}.log")
        stores = {"state": state, "ledger": ledger, "spool": folder}
        text = CONFIG.format(provider=provider, name=gateway.name, callers=tokens, **stores)
        gateway.config.write_text(text)
        gateways.append(gateway)
    with contextlib.ExitStack() as stack:
        for gateway in gateways:
            gateway.launch()
            stack.callback(lambda gateway=gateway: ended(gateway.process))  # the one it has then
        for gateway in gateways:
            gateway.wait({"ok", "degraded"})
        url = stack.enter_context(haproxy(folder, [gateway.port for gateway in gateways]))
        yield Cluster(url, tuple(gateways), ledger)


@contextlib.contextmanager
def haproxy(folder: Path, ports: list[int], *, port: int = 0, path: str = "/rsql/") -> Iterator[str]:
    """HAProxy before three gateways; gives the URL at which it has found one of them.

    Args:
        folder: Where its log goes.
        ports: Those of the gateways.
        port: Where it listens; any free one for 0.
        path: The path of the gateways.
    """
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        raise RuntimeError("haproxy is missing, and this test needs it: apt-get install haproxy")
    port = port or free_port()
    addresses = {f"RSQL_GATEWAY_{n}": f"127.0.0.1:{of_one}" for n, of_one in enumerate(ports, 1)}
    named = {"RSQL_BIND": f"127.0.0.1:{port}", "RSQL_HEALTH": f"{path}health", **addresses}
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-db", "-f", str(HAPROXY)],
            env={**os.environ, **named},
            stdout=log,
            stderr=log,
        )
    try:
        until_it_answers(f"http://127.0.0.1:{port}{path}health")
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        ended(process)


def until_it_answers(url: str, seconds: float = 10.0) -> None:
    """Wait until somebody answers there."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=1).status_code == 200:
                return
        assert time.monotonic() < deadline, f"nobody answers at {url}"
        time.sleep(0.05)


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, whatever state it is in."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
