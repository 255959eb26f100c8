"""Keys are read again at SIGHUP, and a wrong configuration changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from types import SimpleNamespace

import pytest
from virtual_time import run

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.gateway import Gateway
from jupyter_server_ext.serve import _on_change, _on_hangup, _take_keys
from jupyter_server_ext.settings import KeySettings, Secret, Settings


def settings(*secrets: str) -> Settings:
    return Settings(keys=tuple(KeySettings("sim", Secret(secret), "http://127.0.0.1:1/v1") for secret in secrets))


@pytest.mark.asyncio
async def test_sighup_takes_the_keys_and_an_error_leaves_them(caplog):
    gateway = Gateway(settings("one"))
    rereads = iter([settings("one", "two"), ConfigError("rsql.toml, line 3: not a number.")])

    def reread() -> Settings:
        told = next(rereads)
        if isinstance(told, ConfigError):
            raise told
        return told

    _on_hangup(partial(_take_keys, SimpleNamespace(gateway=gateway), reread))
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.01)
            assert repr(gateway.pool) == "<KeyPool 2 ready>"
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        await gateway.close()

    assert "line 3" in caplog.text


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
