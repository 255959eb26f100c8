"""Real servers, started once for all tests of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for tests/servers.py

import servers


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server."""
    with servers.postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    """A MariaDB server."""
    with servers.mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def redis():
    """A Redis server."""
    with servers.redis() as server:
        yield server
