"""Real servers, started once for all tests of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import redis as redis_py

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/servers.py

import servers


@pytest.fixture(scope="session")
def postgresql(programs):
    """A PostgreSQL server."""
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(programs):
    """A MariaDB server."""
    with servers.mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def redis(programs):
    """A Redis server."""
    with servers.redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(programs):
    """One server of a Redis Cluster of three; its URL names all. No call in all tests may have asked for two slots."""
    with servers.redis_cluster() as nodes:
        yield nodes[0]
        for node in nodes:
            with redis_py.Redis(port=node.port, password=servers.PASSWORD) as client:
                assert "errorstat_CROSSSLOT" not in client.info("errorstats")
