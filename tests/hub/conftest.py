"""One real hub for all tests here: users in groups, their servers, a provider that can be slow."""

from __future__ import annotations

import asyncio
import threading

import pytest
from e2e import panel_lab
from simulated_provider import SimulatedProvider

from .evil_server import EvilServer
from .real_hub import PROXY, RealHub

RSQL = """
default_model = "offline"
[[keys]]
provider = "offline"
[[keys]]
provider = "simulated"
base_url = "{provider}"
key = "sk-simulated-provider-key"
models = ["slow", "dear"]
[[keys]]
provider = "scripted"
base_url = "{talker}"
key = "sk-scripted"
models = ["talker"]
[hub]
cache_max_age = 1
admin_groups = ["teachers"]
instructor_groups = ["instructors", "tutors"]
[storage]
ledger = "sqlite:///rsql.db"
prompt_keys = ["YSBrZXkgb2YgdGhlIHRlc3RzIHdpdGggMzIgYnl0ZXM="]
[sessions]
mb_per_caller = 1
[tenants.stats101]
models = ["offline", "slow"]
system_prompt = "Give hints, not solutions."
privacy_floor = "stats"
"""

GROUPS = {
    "stats101": {"users": ["ada", "bob"]},
    "lab": {"users": ["cyd"], "properties": {"rsql": {"models": ["offline", "dear"], "weight": 2.0}}},
    "capped": {"users": ["dan"], "properties": {"rsql": {"limits": {"requests_per_minute": 3}}}},
    "course": {
        "users": ["lin", "tess"],
        "properties": {"rsql": {"models": ["talker"], "limits": {"requests_per_day": 1000}}},
    },
    "seminar": {"users": ["kim", "leo", "tom"], "properties": {"rsql": {"models": ["talker"]}}},
    "tutors": {"users": ["tess", "tom"]},
    "teachers": {"users": ["eve"]},
    "everybody": {"users": ["ada", "bob", "cyd", "dan", "fay"]},
}


@pytest.fixture(autouse=True, scope="session")
def _programs(programs):
    """Every test here starts some."""


@pytest.fixture(scope="session")
def provider():
    """The simulated provider, in a thread of its own: 12 words, one each 100 ms."""
    loop = asyncio.new_event_loop()
    provider = SimulatedProvider(pace=0.1, words=12)
    loop.run_until_complete(provider.__aenter__())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield provider
    asyncio.run_coroutine_threadsafe(provider.__aexit__(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def talker():
    """A provider that answers as a question's words say: see its ``answers``."""
    with panel_lab.provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def evil():
    """A server whose pages are on the hub's origin: what a student may run."""
    with EvilServer() as evil:
        yield evil


@pytest.fixture(scope="session")
def hub(tmp_path_factory, provider, talker, evil):
    """The hub, with the gateway as its service and the servers of ada, bob and cyd, and a named one of ada's."""
    assert PROXY.exists(), "scripts/setup.sh test installs configurable-http-proxy"
    hub = RealHub(
        tmp_path_factory.mktemp("hub"),
        RSQL.format(provider=provider.url, talker=talker.url),
        GROUPS,
        lab=["lin", "kim"],
        beside={"evil": evil.url},
    )
    try:
        hub.start()
        hub.start_servers("ada", "bob", "cyd", "ada/second")
        yield hub
    finally:
        hub.close()


@pytest.fixture(scope="session")
def kernels(hub):
    """A kernel on each server, by the server's name, with the magics loaded."""
    kernels = {name: hub.kernel(name) for name in ("ada", "bob", "cyd", "ada/second")}
    for kernel in kernels.values():
        kernel.run("%load_ext rsql_magic")
    yield kernels
    for kernel in kernels.values():
        kernel.close()


@pytest.fixture(scope="session")
def tokens(hub):
    """A token of each user with all that the user may do."""
    return {name: hub.token(name) for name in ("ada", "bob", "cyd", "dan", "eve", "fay", "boss")}
