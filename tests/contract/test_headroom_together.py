"""What keys have left over time is one curve, from whichever of three gateways it is read."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import count

import httpx
import pytest
import servers
import sqlalchemy as sa
from callers import EVERYTHING
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import KeySettings, Limit, Secret, Settings, StorageSettings
from jupyter_server_ext.keys.headroom import Headroom
from jupyter_server_ext.messages import Caller

OWNER = Caller("owner", scopes=EVERYTHING)
REPLY = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}
_names = count()


class Now:
    seconds = 1_700_000_000.0

    def __call__(self):
        return self.seconds


@asynccontextmanager
async def one_of_three(settings, instance, now):
    settings = replace(settings, storage=replace(settings.storage, instance=instance))
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=REPLY))
    app = build_app(settings, [(Secret("owner-token"), OWNER)], "/rsql/", transport=transport)
    app = replace(app, headroom=Headroom(clock=now))
    server = HTTPServer(web_application(app))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    head = {"Authorization": "Bearer owner-token"}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/rsql/", headers=head, timeout=240) as client:
            yield app, client
    finally:
        server.stop()
        app.reader.close()
        await app.close()
        await server.close_all_connections()


@pytest.mark.asyncio
async def test_three_gateways_tell_one_curve(redis, postgresql, tmp_path):
    name = f"headroom{next(_names)}"
    engine = sa.create_engine(postgresql.url.replace("postgresql:", "postgresql+psycopg:") + "/postgres")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    state = f"redis://:{servers.PASSWORD}@127.0.0.1:{redis.port}/0?prefix={name}"
    ledger = f"{postgresql.url}/{name}"
    storage = StorageSettings(ledger=ledger, state=state, spool=str(tmp_path))
    key = KeySettings(
        "sim", Secret("key"), "http://sim.invalid/v1", name="sim-1", limits=(Limit(10, "requests", 60.0),)
    )
    settings, now = Settings(default_model="m", keys=(key,), storage=storage), Now()
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(one_of_three(settings, instance, now)) for instance in ("a", "b", "c")
        ]
        body = {"model": "m", "messages": [{"role": "user", "content": "Is it?"}]}
        for asked, (_, client) in enumerate(gateways, start=1):  # one at the first, two at the second, …
            for _ in range(asked):
                reply = await client.post("v1/chat/completions", json=body)
                assert reply.status_code == 200, reply.text
            for app, _ in gateways:
                await app.look_at_headroom()
            now.seconds += 30.0
        told = [(await client.get("admin/api/headroom?key=sim-1")).json() for _, client in gateways]
        assert told[0] == told[1] == told[2]
        assert told[0]["shared"]
        (minute,) = [row for row in told[0]["limits"] if row["unit"] == "requests" and row["seconds"] == 60.0]
        assert [left for _, left in minute["points"]] == [0.9, 0.7, 0.4], "as all of them together have used it"
        assert {(await client.get("admin/api/headroom?key=none")).text for _, client in gateways} == {
            '{"every":30.0,"shared":true,"limits":[]}'
        }
        now.seconds += 30.0 * 361
        for app, _ in gateways:
            await app.look_at_headroom()
        (minute,) = (await gateways[0][1].get("admin/api/headroom")).json()["limits"]
        assert len(minute["points"]) == 1, "older ones are gone"
