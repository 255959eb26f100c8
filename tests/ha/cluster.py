"""Three gateways behind HAProxy, with Redis and PostgreSQL, and Prometheus and Alertmanager that watch over them.

The configurations are those of ``deploy/``; only addresses are of this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import redis
import yaml
from servers import PASSWORD, free_port, http_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers import Server

DEPLOY = Path(__file__).parents[2] / "deploy"
HAPROXY = DEPLOY / "haproxy" / "haproxy.cfg"
ADMIN = "the-token-of-an-administrator"
METRICS = "the-token-of-prometheus"

CONFIG = """
default_model = "m"

[[keys]]
provider = "simulated"
base_url = "{provider}"
key = "k1"
name = "one"
models = ["m"]
rpd = 1000000

[[keys]]
provider = "simulated"
base_url = "{provider}"
key = "k2"
name = "two"
models = ["m"]
rpd = 1000000

[[api_keys]]
name = "prometheus"
key = "the-token-of-prometheus"
scopes = ["metrics"]

{callers}

[prices.models."m"]
input = 1.0
output = 2.0

[cache]
enabled = true

[tenants.limited.limits]
requests_per_hour = 40
usd_per_day = 1000

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
    status: str

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
        status = f"127.0.0.1:{free_port()}"
        url = stack.enter_context(haproxy(folder, [gateway.port for gateway in gateways], status=status))
        yield Cluster(url, tuple(gateways), ledger, status)


@contextlib.contextmanager
def haproxy(folder: Path, ports: list[int], *, port: int = 0, path: str = "/rsql/", status: str = "") -> Iterator[str]:
    """HAProxy before three gateways; gives the URL at which it has found one of them.

    Args:
        folder: Where its log goes.
        ports: Those of the gateways.
        port: Where it listens; any free one for 0.
        path: The path of the gateways.
        status: The address of its status page; on any free port if it is empty.
    """
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        raise RuntimeError("haproxy is missing, and this test needs it: apt-get install haproxy")
    port = port or free_port()
    addresses = {f"RSQL_GATEWAY_{n}": f"127.0.0.1:{of_one}" for n, of_one in enumerate(ports, 1)}
    status = status or f"127.0.0.1:{free_port()}"
    named = {"RSQL_BIND": f"127.0.0.1:{port}", "RSQL_STATUS": status, "RSQL_HEALTH": f"{path}health", **addresses}
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


@contextlib.contextmanager
def sentinels(folder: Path, master: Server) -> Iterator[str]:
    """Three Sentinels, as ``deploy/compose/sentinel.sh`` makes them; gives their addresses.

    Args:
        folder: Where their configurations and logs go.
        master: The server that is master at first.
    """
    ports = [free_port() for _ in range(3)]
    shared = {"RSQL_MASTER": "localhost", "RSQL_MASTER_PORT": str(master.port), "REDIS_PASSWORD": PASSWORD}
    with contextlib.ExitStack() as stack:
        for port in ports:
            own = folder / str(port)
            own.mkdir()
            named = {
                "RSQL_NAME": "localhost",
                "RSQL_PORT": str(port),
                "RSQL_DATA": str(own),
                "RSQL_PATIENCE_MS": "1000",
            }
            with (own / "log").open("wb") as log:
                process = subprocess.Popen(
                    ["sh", str(DEPLOY / "compose" / "sentinel.sh")],
                    env={**os.environ, **shared, **named},
                    stdout=log,
                    stderr=log,
                )
            stack.callback(ended, process)
        for port in ports:
            until(lambda port=port: _others(port) == "2", f"Sentinel {port} knows the two others")
        yield ",".join(f"localhost:{port}" for port in ports)


def _others(port: int) -> str:
    """How many other Sentinels one knows of."""
    with contextlib.suppress(redis.ConnectionError), redis.Redis(port=port, decode_responses=True) as client:
        told = client.execute_command("SENTINEL MASTER rsql")
        return str(told["num-other-sentinels"] if isinstance(told, dict) else "")
    return ""


@dataclass
class Watch:
    """What watches over the gateways.

    Args:
        prometheus: The URL of Prometheus' API.
        alertmanager: The URL of Alertmanager's.
        told: What Alertmanager has told whoever is on call.
    """

    prometheus: str
    alertmanager: str
    told: list[dict[str, Any]]

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query."""
        reply = httpx.get(f"{self.prometheus}query", params={"query": query}, timeout=240)
        assert reply.status_code == 200, f"{query}: {reply.text}"
        return reply.json()["data"]["result"]

    def alerts(self) -> set[str]:
        """The names of the alerts that Alertmanager knows."""
        return {one["labels"]["alertname"] for one in httpx.get(f"{self.alertmanager}alerts", timeout=240).json()}


@contextlib.contextmanager
def watch(folder: Path, cluster: Cluster) -> Iterator[Watch]:
    """Prometheus and Alertmanager with the configurations of ``deploy/``, quicker than there, and somebody on call.

    Args:
        folder: Where configurations, data and logs go.
        cluster: What they watch over.
    """
    told: list[dict[str, Any]] = []

    class OnCall(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    own, of_alerts = free_port(), free_port()
    targets = {
        "rsql": [f"127.0.0.1:{gateway.port}" for gateway in cluster.gateways],
        "haproxy": [cluster.status],
        "alertmanager": [f"127.0.0.1:{of_alerts}"],
    }
    (folder / "targets").mkdir()
    for name, addresses in targets.items():
        (folder / "targets" / f"{name}.yml").write_text(json.dumps([{"targets": addresses}]))
    (folder / "rsql-token").write_text(METRICS)
    prometheus = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    prometheus["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    prometheus["scrape_configs"][0]["authorization"]["credentials_file"] = str(folder / "rsql-token")
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        if "for" in rule:
            rule["for"] = "2s"
    alertmanager = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    alertmanager["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    with http_server(OnCall) as on_call, contextlib.ExitStack() as stack:
        alertmanager["receivers"][0]["webhook_configs"] = [{"url": f"http://127.0.0.1:{on_call}/"}]
        for name, config in (("prometheus", prometheus), ("rules", rules), ("alertmanager", alertmanager)):
            (folder / f"{name}.yml").write_text(yaml.safe_dump(config))
        where = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        alone = ["--cluster.listen-address=", f"--storage.path={folder / 'alerts'}", "--log.level=warn"]
        commands = (
            ["prometheus", *where, f"--web.listen-address=127.0.0.1:{own}", "--log.level=warn"],
            [
                "prometheus-alertmanager",
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--web.listen-address=127.0.0.1:{of_alerts}",
                *alone,
            ],
        )
        for command in commands:
            with (folder / f"{command[0]}.log").open("wb") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(ended, process)
        until_it_answers(f"http://127.0.0.1:{own}/-/ready")
        until_it_answers(f"http://127.0.0.1:{of_alerts}/-/ready")
        yield Watch(f"http://127.0.0.1:{own}/api/v1/", f"http://127.0.0.1:{of_alerts}/api/v2/", told)


def until(true: Callable[[], object], what: str, seconds: float = 240.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"in {seconds:.0f} s it did not come about: {what}"
        time.sleep(0.05)


def until_it_answers(url: str, seconds: float = 240.0) -> None:
    """Wait until somebody answers there."""

    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(url, timeout=1).status_code == 200
        return False

    until(answers, f"an answer at {url}", seconds)


def ended(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours, whatever state it is in."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
