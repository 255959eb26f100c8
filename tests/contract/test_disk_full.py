"""A full disk: what is under way ends with an error within five seconds, and all goes on when there is room again."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import time
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import KeySettings, Secret, Settings, StorageSettings
from jupyter_server_ext.ledger import SpoolFile
from jupyter_server_ext.messages import Caller

pytestmark = pytest.mark.asyncio
_names = count()
STREAM = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}


@pytest.fixture(params=["sqlite", "postgresql"])
def disk(request, tmp_path, monkeypatch):
    """The URL of a ledger, and what makes its disk full for a while."""
    return sqlite(tmp_path) if request.param == "sqlite" else postgresql(request, monkeypatch)


def sqlite(tmp_path):
    path, opened, most = tmp_path / "ledger.db", [], 1 << 30

    def limit(connection, _record):
        opened.append(connection)
        connection.execute(f"PRAGMA max_page_count={most}").close()

    def allow(pages):
        nonlocal most
        most = pages
        for one in opened:
            one.execute(f"PRAGMA max_page_count={most}").close()

    @contextmanager
    def full():
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE filler (bytes BLOB)")
            allow(1)  # as many as there are
            db.execute("PRAGMA max_page_count=1").close()
            with suppress(sqlite3.OperationalError):
                while True:  # the pages that are free
                    db.execute("INSERT INTO filler VALUES (zeroblob(3000))")
                    db.commit()
        yield
        allow(1 << 30)

    sa.event.listen(sa.Engine, "connect", limit)
    return f"sqlite:///{path}", full, lambda: sa.event.remove(sa.Engine, "connect", limit)


def postgresql(request, monkeypatch):
    """Its disk and that of the spool."""
    server, name = request.getfixturevalue("postgresql"), f"full{next(_names)}"
    engine = sa.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:") + "/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    url = f"{server.url}/{name}"

    def run(*statements):
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as db:
            for statement in statements:
                db.exec_driver_sql(statement)
        engine.dispose()

    def no_room(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    @contextmanager
    def full():
        body = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END"
        run(
            f"CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger AS $${body}$$ LANGUAGE plpgsql",
            *(
                f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()"
                for table in ("entries", "requests_open")
            ),
        )
        monkeypatch.setattr(SpoolFile, "append", no_room)
        yield
        monkeypatch.undo()
        run(*(f"DROP TRIGGER full_{table} ON {table}" for table in ("entries", "requests_open")))

    return url, full, lambda: None


class Slow(httpx.AsyncByteStream):
    """An answer in two parts; the second one comes when a test says so."""

    def __init__(self, go_on):
        self._go_on = go_on

    async def __aiter__(self):
        yield b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Yes"}}]}\n\n'
        await self._go_on.wait()
        yield b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@asynccontextmanager
async def serving(url, tmp_path, go_on, asked):
    def answer(request):
        asked.append(request)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow(go_on))

    key = KeySettings("groq", Secret("k" * 20), base_url="http://provider.example/v1", name="one")
    storage = StorageSettings(ledger=url, instance="one", spool=str(tmp_path))
    settings = Settings(default_model="m", keys=(key,), storage=storage)
    tokens = [(Secret("t"), Caller("a" * 200))]
    app = build_app(settings, tokens, "/", transport=httpx.MockTransport(answer))
    server = HTTPServer(web_application(app))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    headers = {"Authorization": "Bearer t"}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/", trust_env=False, timeout=20, headers=headers
        ) as client:
            yield client
    finally:
        server.stop()
        await app.close()
        await server.close_all_connections()


async def ask(client):
    """The status and the text of an answer, and when it ended."""
    reply = await client.post("v1/chat/completions", json=STREAM)
    return reply.status_code, reply.text, time.monotonic()


def waited():
    """Seconds that threads of this process were ready to run while others had the processors."""
    files = Path("/proc/self/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[1]) for file in files) / 1e9


@pytest.mark.slow
async def test_what_is_under_way_ends_soon_and_later_requests_are_served(disk, tmp_path, caplog):
    url, full, tidy = disk
    go_on, asked = asyncio.Event(), []
    try:
        async with serving(url, tmp_path, go_on, asked) as client:
            asking = [asyncio.create_task(ask(client)) for _ in range(40)]
            while len(asked) < len(asking):
                await asyncio.sleep(0.05)
            with full():
                go_on.set()
                start = time.monotonic() - waited()
                ends = await asyncio.gather(*asking)
                assert max(at for _, _, at in ends) - waited() - start < 5.0
                failed = [text for status, text, _ in ends if "ledger_unavailable" in text]
                assert len(failed) == 40
                health = (await client.get("health")).json()
                assert (health["status"], health["checks"]["ledger"]) == ("unavailable", "unavailable")
                assert (await ask(client))[0] == 503
            for _ in range(100):
                if (await client.get("health")).status_code == 200:
                    break
                await asyncio.sleep(0.1)
            assert (await ask(client))[0] == 200
            kept = (await client.get("stats")).json()
            assert kept["cache"]["requests"] == 41, "what could not be written then was written later"
    finally:
        tidy()
    said = [record.getMessage() for record in caplog.records if "ledger" in record.getMessage()]
    assert sum("cannot be written" in words for words in said) == 1
    assert sum("can be written again" in words for words in said) == 1
