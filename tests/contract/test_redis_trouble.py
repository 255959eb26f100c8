"""Every kind of trouble with Redis under load: nobody waits long, no limit is overrun, and all gets well by itself."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import redis as redis_py
import servers
from contract.test_redis_lost import BUSY, Gateway, until, whole
from redis.exceptions import RedisError
from slow_proxy import proxied

from jupyter_server_ext.limits import Counter

pytestmark = pytest.mark.usefixtures("programs")

LIMIT = 60
MINUTE = Counter("caller:ada/requests/minute", LIMIT, 60.0)
_prefixes = count()


@asynccontextmanager
async def gateways(url, **options):
    made = [Gateway(url, **options) for _ in range(2)]
    try:
        for one in made:
            await one.link.start()
        await until(lambda: all(one.link.state == "ok" and one.link.instances == 2 for one in made))
        yield made
    finally:
        for one in made:
            await one.link.close()


@pytest.fixture(scope="module")
def server():
    """A Redis that can be told to be slow at loading."""
    with servers.redis("--enable-debug-command", "yes") as server:
        yield server


class Trouble:
    """What goes wrong between two gateways and their Redis."""

    def __init__(self, server, proxy):
        self.server = server
        self.proxy = proxy
        self.admin = redis_py.Redis(port=server.port, password=servers.PASSWORD)

    def paused(self):
        self.server.process.send_signal(signal.SIGSTOP)
        return lambda: self.server.process.send_signal(signal.SIGCONT)

    def slow(self):
        self.proxy.delay = 1.0
        return self.proxy.mend

    def black_hole(self):
        self.proxy.swallows = True
        return self.proxy.mend

    def cut(self):
        self.proxy.cut()
        return self.proxy.mend

    def read_only_replica(self):
        self.admin.replicaof("127.0.0.1", str(servers.free_port()))
        return lambda: self.admin.replicaof("NO", "ONE")

    def full(self):
        self.admin.config_set("maxmemory", "1")
        return lambda: self.admin.config_set("maxmemory", "0")

    def busy_with_a_script(self):
        """One that somebody else runs and that does not end."""
        self.admin.config_set("busy-reply-threshold", "100")
        self.stuck = socket.create_connection(("127.0.0.1", self.server.port))
        self.stuck.sendall(f"AUTH {servers.PASSWORD}\r\nEVAL 'while true do end' 0\r\n".encode())
        return self.end_script

    def end_script(self):
        while True:
            try:
                self.admin.script_kill()
                break
            except RedisError:  # not yet known as busy
                pass
        self.stuck.close()

    def loading(self):
        """It reads its data from disk, and answers that it does."""
        for number in range(400):
            self.admin.set(f"filler-{number}", "x" * 100)
        self.admin.config_set("key-load-delay", "5000")
        self.admin.config_set("loading-process-events-interval-bytes", "1024")
        other = subprocess.Popen(
            ["redis-cli", "-p", str(self.server.port), "DEBUG", "RELOAD"],
            env={"REDISCLI_AUTH": servers.PASSWORD, "PATH": "/usr/bin:/bin"},
            stdout=subprocess.DEVNULL,
        )
        return lambda: other.wait(20)

    def another_password(self):
        self.admin.config_set("requirepass", "another")
        other = redis_py.Redis(port=self.server.port, password="another")
        other.client_kill_filter(_type="normal", skipme=True)
        other.client_kill_filter(_type="pubsub", skipme=True)

        def mend():
            other.config_set("requirepass", servers.PASSWORD)
            other.close()

        return mend


async def asked_under_load(made, trouble):
    """Two hundred ask, one every two milliseconds, and after thirty of them it comes."""
    asked = []
    for number in range(200):
        asked.append(asyncio.create_task(made[number % 2].ask(MINUTE)))
        if number == 30:
            mend = await asyncio.to_thread(trouble)
        await asyncio.sleep(0.002)
    await asyncio.gather(*asked)
    return mend


KINDS = ["paused", "slow", "black_hole", "cut", "read_only_replica", "full"]
KINDS += ["busy_with_a_script", "loading", "another_password"]


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_waits_no_limit_is_overrun_and_all_is_well_again(server, kind):
    async def scenario():
        async with proxied(server.port) as proxy:
            url = f"redis://:{servers.PASSWORD}@127.0.0.1:{proxy.port}/0?prefix=x{next(_prefixes)}"
            async with gateways(url) as made:
                trouble = Trouble(server, proxy)
                mend = await asked_under_load(made, getattr(trouble, kind))
                passed = sum(len(one.taken) for one in made)
                assert {one.link.health for one in made} == {"degraded"}
                assert max(one.longest for one in made) < 0.05 + BUSY
                await asyncio.to_thread(mend)
                await whole(made)
                assert LIMIT - 5 <= passed <= LIMIT + 2  # what was under way may have been taken and not told of
                while await made[passed % 2].ask(MINUTE):
                    passed += 1
                await made[1].counters.read([MINUTE])
                assert made[1].counters.use(MINUTE).used == passed == sum(len(one.taken) for one in made)
                assert LIMIT <= passed <= LIMIT + 2
                trouble.admin.close()

    asyncio.run(scenario())


def test_scripts_that_are_flushed_are_loaded_again_and_nobody_notices(server):
    async def scenario():
        url = f"{server.url}?prefix=x{next(_prefixes)}"
        async with gateways(url) as made:
            trouble = Trouble(server, None)
            await asked_under_load(made, trouble.admin.script_flush)
            assert sum(len(one.taken) for one in made) == LIMIT
            assert [one.link.losses for one in made] == [0, 0]
            trouble.admin.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["flushed", "evicted"])
def test_data_that_vanish_while_connected_are_told_anew(server, how):
    async def scenario():
        url = f"{server.url}?prefix=x{next(_prefixes)}"
        async with gateways(url) as made:
            trouble = Trouble(server, None)
            for number in range(40):
                assert await made[number % 2].ask(MINUTE)
            name = f"{made[0].counters._start}{MINUTE.id}"
            trouble.admin.flushdb() if how == "flushed" else trouble.admin.delete(name, f"{name}:t")
            for _ in range(100):
                await asyncio.gather(*(one.ask(MINUTE) for one in made))
                await asyncio.sleep(0.01)
            await whole(made)
            assert LIMIT <= sum(len(one.taken) for one in made) <= LIMIT + 4
            trouble.admin.close()

    asyncio.run(scenario())


def certificate(folder):
    """A certificate for 127.0.0.1 that signs itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = built.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(*pem))


@pytest.fixture
def files():
    """A certificate and its key, which the server's user may read."""
    with servers.reachable_folder() as folder:
        certificate(folder)
        for file in folder.iterdir():
            file.chmod(0o644)
        yield {name: str(folder / f"{name}.pem") for name in ("cert", "key")}


@contextmanager
def over_tls(files):
    """A Redis that speaks TLS on the port that is told."""
    port = servers.free_port()
    tls = ["--tls-port", str(port), "--tls-cert-file", files["cert"], "--tls-key-file", files["key"]]
    with servers.redis(*tls, "--tls-ca-cert-file", files["cert"], "--tls-auth-clients", "no") as server:
        yield replace(server, port=port)


async def share(url):
    """Losses of two gateways that take all there is together, with time enough for a busy machine."""
    async with gateways(f"{url}{'&' if '?' in url else '?'}prefix=share", timeout=5.0) as made:
        passed = await asyncio.gather(*(made[number % 2].ask(MINUTE) for number in range(80)))
        assert sum(passed) == LIMIT
        losses = [one.link.losses for one in made]
    assert sockets() == 0
    return losses


def sockets():
    """Those that the running loop has open, but for its own, by which it is woken up."""
    return len(asyncio.get_running_loop()._selector.get_map()) - 1


def test_over_tls(files):
    with over_tls(files) as server:
        url = f"rediss://:{servers.PASSWORD}@127.0.0.1:{server.port}/0"
        assert asyncio.run(share(f"{url}?ssl_ca_certs={files['cert']}")) == [0, 0]
        asyncio.run(distrusted(Gateway(url)))  # nobody known has signed


def test_sentinels_over_tls(files):
    with over_tls(files) as server, servers.sentinel(server, "m", files=files) as sentinel:
        url = f"rediss+sentinel://:{servers.PASSWORD}@127.0.0.1:{sentinel.port}/m"
        assert asyncio.run(share(f"{url}?ssl_ca_certs={files['cert']}")) == [0, 0]
        asyncio.run(distrusted(Gateway(url)))


def test_by_a_unix_socket():
    with (
        servers.reachable_folder() as folder,
        servers.redis("--unixsocket", str(where := folder / "redis.sock"), "--unixsocketperm", "777"),
    ):
        assert asyncio.run(share(f"unix://:{servers.PASSWORD}@{where}?db=0")) == [0, 0]


async def distrusted(one):
    await one.link.start()
    await one.ask(MINUTE)
    assert one.link.health == "degraded"
    await one.link.close()
    # A connection whose handshake failed is closed by its loop a moment later.
    async with asyncio.timeout(10):
        while sockets():
            await asyncio.sleep(0.01)
