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


@pytest.fixture(scope="session")
def copying_gateway(programs, tmp_path_factory):
    """The address of a gateway that keeps conversations, of the people of ``several_machines``."""
    from several_machines import gateway_of_groups

    with gateway_of_groups(tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture
def machine(copying_gateway, tmp_path, monkeypatch):
    """Makes panels of callers, each machine with a home of its own."""
    from several_machines import Machines

    from rsql_magic.panel.kept import writing
    from rsql_magic.panel.kept.copies import background

    monkeypatch.setattr(writing, "_GATHER", 0.01)
    monkeypatch.setattr(background, "GATHER", 0.05)
    machines = Machines(copying_gateway, tmp_path)
    yield machines
    machines.close()


@pytest.fixture
def away(monkeypatch):
    """Makes the gateway be away for a machine, or for some requests of it, and come back."""
    from rsql_magic.errors import GatewayError
    from rsql_magic.panel.kept.copies import background

    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.1)

    def refuse(*_, **__):
        raise GatewayError("The gateway is away.", hint="Later.")

    def leave(talk, *names):
        gateway, names = talk.panel.assistant.locator.gateway, names or ("get", "put", "post", "delete")
        for name in names:
            monkeypatch.setattr(gateway, name, refuse)
        return lambda: [monkeypatch.delattr(gateway, name) for name in names]

    return leave
