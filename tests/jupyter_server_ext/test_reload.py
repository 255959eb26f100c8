"""Keys are read again at SIGHUP, and a wrong configuration changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
from virtual_time import run

from jupyter_server_ext.app.serve import Listening, _on_change, _take_keys_when_told
from jupyter_server_ext.config import KeySettings, Limit, Secret, Settings
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.messages import Used
from jupyter_server_ext.pipeline import Gateway
from jupyter_server_ext.webhooks import EventDetector


def settings(*secrets: str) -> Settings:
    return Settings(keys=tuple(KeySettings("sim", Secret(secret), "http://127.0.0.1:1/v1") for secret in secrets))


@pytest.mark.asyncio
async def test_sighup_takes_the_keys_and_an_error_leaves_them(caplog):
    gateway = Gateway(settings("one"))
    wrong = ConfigError("rsql.toml, line 3: not a number.")
    rereads = iter([settings("one", "two"), wrong, settings(), settings("three", "four")])
    said, seen = [], []
    watch = EventDetector(said.append, gateway.status, lambda: ())

    def reread() -> Settings:
        told = next(rereads)
        if isinstance(told, ConfigError):
            raise told
        return told

    watching = _take_keys_when_told(SimpleNamespace(gateway=gateway), Listening(reread=reread))
    try:
        for _ in range(4):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.01)
            assert repr(gateway.pool) == "<KeyPool 2 ready>"
            seen.append(gateway.status()["checks"].get("configuration", "ok"))
            watch.look()
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        await watching
        await gateway.close()

    assert "line 3" in caplog.text
    assert seen == ["ok", "degraded", "degraded", "ok"]
    assert [event.type for event in said] == ["config.refused"] * 2
    assert "no [[keys]] of providers any more" in said[1].data["reason"]


def test_a_file_that_changed_is_taken_when_it_stays_the_same(tmp_path):
    path = tmp_path / "rsql.toml"
    path.write_text("one")
    taken = []

    async def main(loop):
        watching = asyncio.ensure_future(_on_change(str(path), lambda: taken.append((loop.time(), path.read_text()))))
        await asyncio.sleep(10.5)
        for text in ("hal", "half", "half a"):
            path.write_text(text)
            await asyncio.sleep(1.0)
        await asyncio.sleep(5.0)
        path.unlink()
        await asyncio.sleep(5.0)
        path.write_text("again")
        await asyncio.sleep(5.0)
        watching.cancel()

    run(main)

    assert taken == [(14.0, "half a"), (25.0, "again")]


SECRETS = ("gsk-hunter2hunter2", "gsk-0123456789abcd", "none", "sk-zzzzzzzzzzzzzzzz")


def shown(gateway):
    """All that the gateway says of its keys."""
    return f"{gateway.status()} {[key.id for key in gateway.pool.keys]} {next(iter(gateway.pool.keys)).settings!r}"


def test_a_public_id_says_nothing_of_the_key_and_is_that_of_its_place():
    named = [replace(key, name=f"own-{n}") for n, key in enumerate(settings(*SECRETS).keys)]
    for keys in (settings(*SECRETS).keys, tuple(named)):
        one, other = (Gateway(Settings(keys=keys)) for _ in range(2))
        ids = [key.id for key in one.pool.keys]
        assert ids == [key.id for key in other.pool.keys]
        for secret in SECRETS:
            assert not any(secret[at : at + 4] in shown(one) for at in range(len(secret) - 3) if secret != "none")
        changed = tuple(replace(key, key=Secret(f"other{n}")) for n, key in enumerate(keys))
        assert [key.id for key in Gateway(Settings(keys=changed)).pool.keys] == ids, "no hash either"
    reordered = Gateway(Settings(keys=tuple(named[::-1])))
    assert {key.id: key.settings.key for key in reordered.pool.keys} == {key.name: key.key for key in named}


def test_entries_of_older_versions_count_for_their_key():
    limit = Limit(10, "requests", 60.0)
    keys = tuple(replace(key, limits=(limit,)) for key in settings(*SECRETS[:2]).keys)
    gateway = Gateway(Settings(keys=keys))
    old = [("sim-1 …ter2", 3), ("sim-2 …ter2", 4), ("sim-2", 5)]
    gateway.pool.restore((Used(100.0, "ada", "", key, "m", n, 0, 0, n, 0) for key, n in old), 101.0)
    used = {row["key"]: row["limits"][0]["used"] for row in gateway.status()["pool"]}
    assert used == {"sim-1": 3, "sim-2": 5}, "the second had another key then"
