"""Clients that send slowly or not at all are cut off, and disturb nobody."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import pytest_asyncio

from jupyter_server_ext.app import serve as serving
from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import Listening, serve
from jupyter_server_ext.config import Secret, Settings, StorageSettings
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.messages import Caller

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def url(monkeypatch):
    """A gateway that has less patience than it usually has."""
    monkeypatch.setattr(serving, "_IDLE_SECONDS", 0.3)
    monkeypatch.setattr(requests, "_BODY_SECONDS", 0.3)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    end = asyncio.Event()
    app = build_app(Settings(storage=StorageSettings(ledger="memory://")), [(Secret("t"), Caller("ada"))], "/rsql/")
    listening = Listening(port=0, drain_seconds=0.0, until=end.wait, signals=())
    server = asyncio.create_task(serve(app, listening, ready.set_result))
    yield httpx.URL(await asyncio.wait_for(ready, 60))
    end.set()
    await server


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST /rsql/v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: a",
        b"POST /rsql/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["nothing", "a header that never ends", "a body that never ends"],
)
async def test_who_does_not_go_on_is_cut_off(url, begun):
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(begun)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{url}health")).status_code == 200
    assert await asyncio.wait_for(reader.read(), 5) is not None  # the end of the connection
    writer.close()
