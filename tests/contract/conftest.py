"""Real servers, started once for all tests of a run."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import pytest
import redis as redis_py

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/servers.py

import servers

from jupyter_server_ext.ledger import SqlLedgerStore


@pytest.fixture(scope="session")
def postgresql(programs):
    """A PostgreSQL server."""
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def empty_database(postgresql):
    """Makes databases of PostgreSQL; gives the URL of each."""
    names = count()

    def make(options=""):
        name = f"made{next(names)}"
        with servers.owner(f"{postgresql.url}/postgres") as execute:
            execute(f"CREATE DATABASE {name} {options}")
        return f"{postgresql.url}/{name}"

    return make


@pytest.fixture(scope="session")
def ledger_database(empty_database):
    """Likewise, with the tables of a ledger: copies of one database take a fifth of a second less to make."""
    made = empty_database()
    SqlLedgerStore(made, instance="one").close()
    return lambda: empty_database(f"TEMPLATE {made.rpartition('/')[2]}")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request, tmp_path):
    """A ledger without entries."""
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if is_file else request.getfixturevalue("ledger_database")()
    opened = SqlLedgerStore(url, instance="one")
    yield opened
    opened.close()


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
