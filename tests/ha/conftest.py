"""The whole set-up, started once: a provider, Redis with a replica and a Sentinel, PostgreSQL, gateways, HAProxy."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager

import pytest
import servers
from ha.cluster import cluster as started
from ha.cluster import sentinels
from simulated_provider import SimulatedProvider

CLASS = tuple(f"user{number}" for number in range(20))


@pytest.fixture(autouse=True, scope="session")
def _programs(programs):
    """Every test here starts some."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """A Redis server that has a replica, and the URL that asks three Sentinels who is master."""
    with (
        servers.redis("--masterauth", servers.PASSWORD) as master,
        servers.redis("--replicaof", f"127.0.0.1 {master.port}", "--masterauth", servers.PASSWORD),
        sentinels(tmp_path_factory.mktemp("sentinels"), master) as hosts,
    ):
        yield master, f"redis+sentinel://:{servers.PASSWORD}@{hosts}/rsql"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, redis, simulated):
    """Three gateways behind one address."""
    tenants = dict.fromkeys(CLASS, "class") | {"ada": "limited"}
    folder, (_, state) = tmp_path_factory.mktemp("ha"), redis
    with (
        servers.postgresql() as ledger,
        started(folder, simulated.url, state, f"{ledger.url}/postgres", tenants) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def simulated():
    """The provider."""
    with provider() as simulated:
        yield simulated


@contextmanager
def provider():
    """A provider in a thread of its own."""
    ready, over, told = threading.Event(), asyncio.Event(), {}

    async def serve():
        async with SimulatedProvider(first_token=0.05, pace=0.01, words=20) as simulated:
            told["simulated"], told["loop"] = simulated, asyncio.get_running_loop()
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield told["simulated"]
    finally:
        told["loop"].call_soon_threadsafe(over.set)
        thread.join()
