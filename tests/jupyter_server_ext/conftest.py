"""A gateway's HTTP side in this process, over real sockets, with a fake in place of keys and providers."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from virtual_time import VirtualLoop

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import PERSON, SCOPES, Secret, Settings
from jupyter_server_ext.config.settings import ApiKeySettings
from jupyter_server_ext.errors import RsqlGatewayError
from jupyter_server_ext.handlers import Metrics
from jupyter_server_ext.messages import Caller, TokenUsage
from jupyter_server_ext.pipeline import KeyChanges

OWNER = Caller("owner", scopes=frozenset(SCOPES))
KEYS = (
    ApiKeySettings("ada", Secret("ada-token"), tenant="stats101", scopes=tuple(PERSON)),
    ApiKeySettings("bob", Secret("bob-token"), scopes=tuple(PERSON)),
)


def pytest_asyncio_loop_factories(item):
    """Tests with the mark ``asyncio(loop_factories=["virtual"])`` run in virtual time."""
    chosen = item.get_closest_marker("asyncio").kwargs.get("loop_factories", ["usual"])
    factories = {"usual": asyncio.new_event_loop, "virtual": VirtualLoop}
    return {name: factories[name] for name in chosen}


class FakeKeyring:
    def __init__(self):
        self.done = []

    def __iter__(self):
        return iter([SimpleNamespace(id="groq-1")])

    def get(self, key):
        return key

    def meant_for(self, _model):
        return iter(())

    def pause(self, key):
        self.done.append(("pause", key))

    def resume(self, key):
        self.done.append(("resume", key))

    def retire(self, key, reason):
        self.done.append(("retire", key, reason))


class FakeGateway:
    """Answers with what a test lays out: bytes, ``Waiting``, an exception to raise, or an event to wait for."""

    def __init__(self):
        self.events = [
            b'{"choices":[{"message":{"content":"Hello."}}],"usage":{"total_tokens":3},"rsql":{"attempts":1}}'
        ]
        self.asked = []
        self.ended = asyncio.Event()
        self.limits = None
        self.pool = SimpleNamespace(keys=FakeKeyring())
        self.keys = {"ready": 2, "cooling": 1, "exhausted": 0, "retired": 0}

    async def complete(self, caller, request):
        self.asked.append((caller, request))
        try:
            async with self.limits.take(caller, request) as taken:
                for event in self.events:
                    if isinstance(event, Exception):
                        raise event
                    if isinstance(event, asyncio.Event):
                        await event.wait()
                    else:
                        yield event
                taken.settle(TokenUsage(2, 1))
        finally:
            self.ended.set()

    def models(self):
        return ["llama", "gpt"]

    def offline_models(self):
        return []

    def status(self):
        queue = {"length": 3, "expected_wait_seconds": 1.5}
        return {"keys": self.keys, "queue": queue, "models": self.models(), "pool": [{"key": "groq-1"}]}

    async def check_keys(self):
        return [{"key": "groq-1", "ok": True}]

    async def start(self):
        pass

    async def close(self):
        pass


@dataclasses.dataclass
class Served:
    """A running gateway and a client of the caller ``ada``."""

    client: httpx.AsyncClient
    gateway: FakeGateway
    app: object
    url: str
    application: object

    async def ask(self, body=None, token="ada-token", path="v1/chat/completions", **options):
        body = {"messages": [{"role": "user", "content": "Hi"}]} if body is None else body
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        return await self.client.post(path, content=content, headers=headers, **options)

    async def get(self, path, token="ada-token"):
        return await self.client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})


@pytest.fixture
def served():
    """``async with served(settings) as gateway`` serves on a free port until the block ends."""

    @asynccontextmanager
    async def serving(settings=None, *, fake=True, base="/rsql/", transport=None):
        settings = settings or Settings(default_model="llama")
        settings = dataclasses.replace(settings, api_keys=settings.api_keys or KEYS)
        app = build_app(settings, [(Secret("owner-token"), OWNER)], base, transport=transport)
        gateway = FakeGateway()
        gateway.limits = app.limits
        real = app.gateway
        if fake:
            changes = KeyChanges(gateway.pool, app.runtime)
            app = dataclasses.replace(app, gateway=gateway, metrics=Metrics(gateway.status), key_changes=changes)
        application = web_application(app)
        server = HTTPServer(application)
        socket, port = bind_unused_port()
        server.add_socket(socket)
        url = f"http://127.0.0.1:{port}{base}"
        try:
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=240) as client:
                yield Served(client, gateway, app, url, application)
        finally:
            server.stop()
            app.reader.close()
            app.documents.close()
            await real.close()
            await server.close_all_connections()

    return serving


@pytest.fixture
def rare_estimates(request, monkeypatch):
    """Waits are foretold every two seconds rather than every quarter of one, which takes most of a simulation's time.

    The sweeps of ``make test-all`` foretell them as the gateway does.
    """
    if not request.node.get_closest_marker("sweep"):
        monkeypatch.setattr("jupyter_server_ext.keys.wait_estimate._FRESH_SECONDS", 2.0)


@pytest.fixture
def limit_headers():
    """What every reply to a known caller has in its headers."""
    return [f"x-ratelimit-{what}-{unit}" for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")]


@pytest.fixture
def an_error():
    """An error of the gateway with everything an error may have."""
    return RsqlGatewayError("All keys are busy. Try again in 3 s.", status=503, code="no_capacity", retry_after=2.2)


@pytest.fixture
def url(tmp_path):
    """Where a ledger may be."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"
