"""What holds the port of a hub's service: it starts the gateway anew, and gives up on one that cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from servers import free_port
from simulated_provider import SimulatedProvider
from waiting import eventually


def answers(url):
    try:
        return httpx.get(url, timeout=20, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def supervisor(tmp_path, rsql):
    (tmp_path / "rsql.toml").write_text(rsql)
    port = free_port()
    environment = {
        **os.environ,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
        "JUPYTERHUB_API_TOKEN": "a-token",
    }
    command = [sys.executable, "-m", "jupyter_server_ext.app.supervisor", f"--gateway-config={tmp_path}/rsql.toml"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process, f"http://127.0.0.1:{port}/services/rsql/health"
    finally:
        process.terminate()
        process.communicate(timeout=240)


def test_a_wrong_configuration_ends_it_with_one_line(programs, tmp_path):
    with supervisor(tmp_path, "[[keys]]\nprovder = 'groq'\n") as (process, _):
        assert process.wait(60) == 1
        words = process.stderr.read()

    assert len(words.splitlines()) == 1
    assert "line 2" in words


def test_it_listens_before_and_after_the_gateway_does(programs, tmp_path):
    with supervisor(tmp_path, "[[keys]]\nprovider = 'offline'\n[storage]\nledger = 'memory://'\n") as (process, url):
        eventually(lambda: answers(url))
        process.send_signal(signal.SIGUSR1)
        for _ in range(20):
            assert httpx.get(url, timeout=20, trust_env=False).status_code == 200
        process.terminate()
        assert process.wait(60) == 0


GOOD = """[[keys]]
provider = 'sim'
key = 'k1'
base_url = 'http://127.0.0.1:9/v1'
[storage]
ledger = 'memory://'
"""
WRONG = {
    "a typo": (GOOD.replace("provider", "provder"), "line 2"),
    "cut off": (GOOD[:15], "line 2"),
    "empty": ("", "no [[keys]] of providers"),
    "no value": (GOOD.replace("'memory://'", "'sqlite:////nowhere/at/all/l.db'"), "cannot be opened"),
}


def checks(url):
    return httpx.get(url, timeout=20, trust_env=False).json()["checks"]


@pytest.mark.parametrize("cases", [["a typo", "empty"], pytest.param([*WRONG], marks=pytest.mark.sweep)])
def test_a_restart_with_a_wrong_file_leaves_the_gateway_that_runs(programs, tmp_path, cases):
    with supervisor(tmp_path, GOOD) as (process, url):
        eventually(lambda: answers(url))
        for text, why in (WRONG[case] for case in cases):
            (tmp_path / "rsql.toml").write_text(text)
            process.send_signal(signal.SIGUSR1)
            said = next(said for said in iter(process.stderr.readline, "") if "supervisor: the gateway goes on" in said)
            assert why in said
            eventually(lambda: checks(url).get("configuration") == "degraded")
        (tmp_path / "rsql.toml").write_text(GOOD)
        process.send_signal(signal.SIGUSR1)
        eventually(lambda: "configuration" not in checks(url))


@pytest.mark.asyncio
async def test_while_a_stream_goes_on_new_requests_are_answered_by_the_new_gateway(programs, tmp_path):
    async with SimulatedProvider(pace=0.05, words=4000) as provider:
        rsql = GOOD.replace("http://127.0.0.1:9/v1", provider.url)
        caller = "[[api_keys]]\nname = 'ada'\nkey = 'ada-token'\nscopes = ['chat']\n"
        with supervisor(tmp_path, rsql + caller) as (process, url):
            await asyncio.to_thread(process.stdout.readline)
            ask = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            base, headers = url.removesuffix("health"), {"Authorization": "Bearer ada-token"}
            async with (
                httpx.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=240) as client,
                client.stream("POST", "v1/chat/completions", json=ask) as stream,
            ):
                words = stream.aiter_lines()
                await anext(words)
                process.send_signal(signal.SIGUSR1)
                while "ready at" not in await asyncio.to_thread(process.stdout.readline):
                    pass
                for _ in range(20):  # none waits for the stream
                    reply = await client.get("v1/models", headers={"Connection": "close"})
                    assert reply.status_code == 200
                    assert (await anext(words)) is not None
                assert len(provider.requests) == 1


def test_it_needs_to_know_where(programs, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_server_ext.app.supervisor"],
        env={**os.environ, "JUPYTERHUB_SERVICE_URL": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert "JUPYTERHUB_SERVICE_URL" in done.stderr
