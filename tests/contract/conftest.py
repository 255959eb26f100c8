"""Real servers, started once for all tests of a run."""

from __future__ import annotations

import gc
import sys
import warnings
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


@pytest.fixture(autouse=True, scope="module")
def _no_socket_of_a_stopped_query_left():
    """A query stopped inside PyMySQL leaves its socket in a cycle with the traceback; it is collected here, not later.

    PyMySQL has closed it by then, but its reader holds the descriptor, and Python warns of it in whichever test runs.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
