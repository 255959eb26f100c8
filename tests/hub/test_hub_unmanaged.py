"""A gateway that the hub does not start, for a hub below a path: it goes on while the hub is away."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from waiting import eventually

from .real_hub import RealHub
from .test_hub_browser import by_script, logged_in, opened

TOKEN = "the-services-own-token"
RSQL = '[[keys]]\nprovider = "offline"\n[storage]\nledger = "memory://"\n[hub]\ncache_max_age = 0.2\n'


@pytest.fixture
def hub(tmp_path):
    hub = RealHub(tmp_path, RSQL, {"stats101": {"users": ["ada"]}}, base="/jupyter/", managed=False, api_token=TOKEN)
    environment = {
        **os.environ,
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.hub_port}/jupyter/hub/api",
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_PUBLIC_HUB_URL": f"{hub.url}hub/",
        "RSQL_CONSOLE_ORIGIN": hub.console,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{hub.service_port}",
        "JUPYTERHUB_BASE_URL": "/jupyter/",
    }
    command = [sys.executable, "-m", "jupyter_server_ext", "--hub", f"--gateway-config={tmp_path}/rsql.toml"]
    gateway = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        hub.start()
        eventually(lambda: hub.http.get(f"{hub.gateway}health").status_code == 200)
        yield hub
    finally:
        gateway.terminate()
        gateway.wait(20)
        hub.close()


def test_it_serves_the_hub_and_outlives_it(hub):
    token = hub.token("ada")
    assert hub.ask("stats", token).json()["tenant"] == "stats101"
    browser = logged_in(hub, "ada")
    opened(hub, browser)
    assert by_script(hub, browser, "GET", "me").json()["caller"] == "ada"
    browser.close()

    hub.stop()
    for _ in range(3):
        assert hub.ask("stats", token, direct=True).json()["caller"] == "ada"
    refused = hub.ask("stats", "f" * 32, direct=True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "identity_unavailable")
    assert refused.headers["Retry-After"] == "5"
