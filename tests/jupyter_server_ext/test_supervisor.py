"""What holds the port of a hub's service: it starts the gateway anew, and gives up on one that cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
from servers import free_port


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
        deadline = time.monotonic() + 20
        while True:
            try:
                assert httpx.get(url, timeout=20, trust_env=False).status_code == 200
                break
            except httpx.ConnectError:
                assert time.monotonic() < deadline
        process.send_signal(signal.SIGUSR1)
        for _ in range(20):
            assert httpx.get(url, timeout=20, trust_env=False).status_code == 200
        process.terminate()
        assert process.wait(60) == 0


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
