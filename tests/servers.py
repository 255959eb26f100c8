"""Real servers for tests: each in a temporary folder, on a free port of 127.0.0.1, gone at the end.

    with postgresql() as server:
        connect(server.url)

The same code runs for root and for anyone else: PostgreSQL and MariaDB refuse to run as root, so for root they run as
``nobody`` in a folder that belongs to it. Data is not flushed to disk, which makes a start take about a second.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler], port: int = 0) -> Iterator[int]:
    """The port of a server that answers with a handler, a thread for each connection."""
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


PASSWORD = "s3cret-pa55"
"""Password of every test user; no message may contain it."""


@dataclass(frozen=True)
class Server:
    """A running server.

    Args:
        url: How to reach it, with user and password, without a database: ``postgresql://user:password@host:port``.
        port: Its port on 127.0.0.1.
        folder: Its temporary folder.
        process: The running process.
    """

    url: str
    port: int
    folder: Path
    process: subprocess.Popen[bytes]


@asynccontextmanager
async def listening(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], limit: int = 2**16
) -> AsyncIterator[int]:
    """The port of 127.0.0.1 at which ``handler`` talks to each connection, until the block ends.

    At its end handlers that still run are cancelled and their connections closed: a transport that its event loop
    outlives would warn in whichever test happens to run when it is collected.
    """
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await handler(reader, writer)
            writer.close()
            await writer.wait_closed()
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            writer.transport.abort()
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=limit)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on, none of those that systems give to outgoing connections."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server with the superuser ``admin``."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    initdb = _program("initdb", "postgresql", programs)
    server = _program("postgres", "postgresql", programs)
    with reachable_folder() as folder:
        secret = folder / "secret"
        secret.write_text(PASSWORD)
        data, port = folder / "data", free_port()
        access = ["--auth=password", "--username=admin", f"--pwfile={secret}"]
        _finish([initdb, f"--pgdata={data}", *access, "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"], folder)
        options = ["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-p", str(port), "-k", str(folder)]
        with _running([server, "-D", str(data), *options], folder, port) as process:
            yield Server(f"postgresql://admin:{PASSWORD}@127.0.0.1:{port}", port, folder, process)


@contextmanager
def owner(url: str) -> Iterator[Callable[[str], Any]]:
    """Runs statements as the owner of a PostgreSQL database, for whoever has its URL."""
    import sqlalchemy as sa

    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://"),
        isolation_level="AUTOCOMMIT",
        execution_options={"no_parameters": True},
    )
    try:
        with engine.connect() as connection:
            yield connection.exec_driver_sql
    finally:
        engine.dispose()


@contextmanager
def mariadb() -> Iterator[Server]:
    """A MariaDB server with the superuser ``admin``."""
    install = _program("mariadb-install-db", "mariadb-server")
    server = _program("mariadbd", "mariadb-server", [Path("/usr/sbin")])
    with reachable_folder() as folder:
        data, port = folder / "data", free_port()
        (folder / "users.sql").write_text(
            f"CREATE USER admin@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;\n"
        )
        quick = ["--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M"]
        # In the common folder, a server that starts removes what others need, and its mode is not the tests' own.
        own = f"--tmpdir={folder}"
        root = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        _finish([install, "--no-defaults", f"--datadir={data}", own, *root, *quick], folder)
        options = [own, "--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder}/socket"]
        options += [f"--init-file={folder}/users.sql", "--skip-log-bin", "--skip-name-resolve"]
        small = ["--innodb-buffer-pool-size=32M", *quick]
        with _running([server, "--no-defaults", f"--datadir={data}", *options, *small], folder, port) as process:
            yield Server(f"mysql+pymysql://admin:{PASSWORD}@127.0.0.1:{port}", port, folder, process)


@contextmanager
def redis(*options: str, port: int = 0) -> Iterator[Server]:
    """A Redis server that keeps nothing on disk."""
    program, port = _program("redis-server", "redis-server"), port or free_port()
    with reachable_folder() as folder:
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--requirepass", PASSWORD]
        volatile = ["--save", "", "--appendonly", "no"]
        with _running([program, *where, *volatile, *options], folder, port) as process:
            yield Server(f"redis://:{PASSWORD}@127.0.0.1:{port}/0", port, folder, process)


@contextmanager
def sentinel(
    master: Server, name: str, *, patience: float = 1.0, files: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A Redis Sentinel that makes a replica master when ``master`` has not answered for ``patience`` seconds.

    It speaks TLS with the certificate and the key of ``files``, where there are any.
    """
    program, port = _program("redis-server", "redis-server"), free_port()
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"sentinel monitor {name} 127.0.0.1 {master.port} 1",
        f"sentinel auth-pass {name} {PASSWORD}",
        f"sentinel down-after-milliseconds {name} {int(patience * 1000)}",
        f"sentinel failover-timeout {name} 3000",
    ]
    if files is not None:
        lines[0] = f"port 0\ntls-port {port}\ntls-replication yes\ntls-auth-clients no"
        lines[1:1] = [
            f"tls-cert-file {files['cert']}",
            f"tls-key-file {files['key']}",
            f"tls-ca-cert-file {files['cert']}",
        ]
    with reachable_folder() as folder:
        file = folder / "sentinel.conf"
        file.write_text("\n".join([*lines, f"dir {folder}"]))
        if os.geteuid() == 0:
            os.chown(file, folder.stat().st_uid, folder.stat().st_gid)  # it writes into its own configuration
        with _running([program, str(file), "--sentinel"], folder, port, ready=b"Sentinel ID") as process:
            yield Server(f"redis+sentinel://:{PASSWORD}@127.0.0.1:{port}/{name}", port, folder, process)


@contextmanager
def redis_cluster(masters: int = 3, replicas: int = 0) -> Iterator[list[Server]]:
    """A Redis Cluster: its masters, each with as many of the slots, then a replica for each of the first of them."""
    with ExitStack() as stack:
        buses = [free_port() for _ in range(masters + replicas)]
        quick = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]
        lenient = ["--cluster-require-full-coverage", "no", "--masterauth", PASSWORD]
        nodes = [stack.enter_context(redis(*quick, *lenient, "--cluster-port", str(bus))) for bus in buses]
        _join(nodes, buses, masters)
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        yield [replace(node, url=f"redis+cluster://:{PASSWORD}@{hosts}") for node in nodes]


def _join(nodes: Sequence[Server], buses: Sequence[int], masters: int) -> None:
    """Make a Cluster of them, and wait until each knows all."""
    import redis as redis_py

    with ExitStack() as stack:
        clients = [stack.enter_context(redis_py.Redis(port=node.port, password=PASSWORD)) for node in nodes]
        for number, client in enumerate(clients):
            client.execute_command(f"CLUSTER SET-CONFIG-EPOCH {number + 1}")
            clients[0].execute_command(f"CLUSTER MEET 127.0.0.1 {nodes[number].port} {buses[number]}")
            if number < masters:
                first, last = number * 16384 // masters, (number + 1) * 16384 // masters - 1
                client.execute_command(f"CLUSTER ADDSLOTSRANGE {first} {last}")
        _until(lambda: all(_tell(client, "cluster_known_nodes") == str(len(nodes)) for client in clients))
        ids = [client.execute_command("CLUSTER MYID").decode() for client in clients]
        for number, client in enumerate(clients[masters:]):
            client.execute_command(f"CLUSTER REPLICATE {ids[number]}")
        _until(lambda: all(_tell(client, "cluster_state") == "ok" for client in clients))
        _until(lambda: all(client.info("replication")["master_link_status"] == "up" for client in clients[masters:]))


def _tell(client: Any, fact: str) -> str:
    text = client.execute_command("CLUSTER INFO")
    lines = text.decode().splitlines() if isinstance(text, bytes) else [f"{k}:{v}" for k, v in text.items()]
    return dict(line.split(":", 1) for line in lines if ":" in line)[fact]


def _until(true: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise RuntimeError("the Cluster does not come together")
        time.sleep(0.02)


def _program(name: str, package: str, folders: Sequence[Path] = ()) -> str:
    """The path of a program; a missing one fails the test with the line that installs it."""
    found = next((str(place / name) for place in reversed(folders) if (place / name).is_file()), None)
    found = found or shutil.which(name)
    if found is None:
        raise RuntimeError(
            f"{name} is missing, and this test needs it: apt-get install --no-install-recommends {package}"
        )
    return found


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A temporary folder that the server's user may write and reach; pytest's own belong to root alone."""
    folder = Path(tempfile.mkdtemp(prefix="rsql-server-"))
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user(folder: Path) -> dict[str, Any]:
    """What makes a child run as somebody else than root."""
    if os.geteuid() != 0:
        return {"cwd": folder}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": folder}


def _finish(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **_as_user(folder))
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


@contextmanager
def _running(
    command: Sequence[str], folder: Path, port: int, *, ready: bytes = b"eady "
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **_as_user(folder))
    try:
        _wait_for(process, port, folder / "log", ready)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)  # it may have been stopped
        process.send_signal(
            signal.SIGTERM if "mariadbd" in command[0] else signal.SIGINT
        )  # PostgreSQL: do not wait for clients
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path, ready: bytes, seconds: float = 60) -> None:
    """Return when the server says that it is ready and its port answers; one that ends before says why."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if ready in log.read_bytes() and probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not answer on port {port}:\n{log.read_text(errors='replace')[-2000:]}")
