"""A hub with three gateways that it does not start, as docs/high-availability.md has them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
import servers
from ha.cluster import ended, haproxy, until_it_answers

from .real_hub import RealHub
from .test_hub_browser import by_script, logged_in, opened

TOKEN = "the-services-own-token"
RSQL = """
[[keys]]
provider = "offline"
[storage]
state = "{state}"
ledger = "{ledger}/postgres"
instance = "{name}"
instances = 3
spool = "{folder}"
"""


def started(hub, folder, state, ledger, number):
    """One of the gateways, and its port."""
    port, config = servers.free_port(), folder / f"g{number}.toml"
    config.write_text(RSQL.format(state=state, ledger=ledger, name=f"g{number}", folder=folder))
    environment = {
        **os.environ,
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub.hub_port}/hub/api",
        "JUPYTERHUB_API_TOKEN": TOKEN,
        "JUPYTERHUB_PUBLIC_HUB_URL": f"{hub.url}hub/",
        "RSQL_CONSOLE_ORIGIN": hub.console,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
    }
    options = ["--hub", f"--gateway-config={config}", "--trust-xheaders", "--drain-seconds=60"]
    command = [sys.executable, "-m", "jupyter_server_ext", *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL), port


@pytest.fixture
def hub(tmp_path):
    hub = RealHub(tmp_path, "", {"stats101": {"users": ["ada"]}}, managed=False, api_token=TOKEN)
    with ExitStack() as stack:
        state, ledger = stack.enter_context(servers.redis()).url, stack.enter_context(servers.postgresql()).url
        ports = []
        for number in (1, 2, 3):
            process, port = started(hub, tmp_path, state, ledger, number)
            stack.callback(ended, process)
            ports.append(port)
        for port in ports:
            until_it_answers(f"http://127.0.0.1:{port}/services/rsql/health", 60)
        stack.enter_context(haproxy(tmp_path, ports, port=hub.service_port, path="/services/rsql/"))
        stack.callback(hub.close)
        hub.start()
        yield hub


def test_whichever_answers_callers_and_browsers_are_known(hub):
    token = hub.token("ada")
    browser = logged_in(hub, "ada")
    opened(hub, browser)
    seen = set()
    for number in range(1, 13):
        told = hub.ask("stats", token)
        seen.add(told.headers["x-rsql-instance"])
        assert (told.json()["caller"], told.json()["tenant"]) == ("ada", "stats101")
        assert by_script(hub, browser, "GET", "me").json()["caller"] == "ada"
        assert hub.complete(token).status_code == 200
        assert hub.ask("stats", token).json()["limits"]["day"]["current"] == number, "they count together"
    browser.close()

    assert len(seen) > 1
