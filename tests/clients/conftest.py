"""A gateway as other programs meet it: its own process, over a provider that shows what reached it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from callers import PERSON
from clients.provider import provider

CONFIG = """
default_model = "chatty"
[storage]
ledger = "sqlite:///{folder}/ledger.db"
[[keys]]
provider = "echo"
name = "echo-1"
base_url = "{url}"
models = ["chatty", "dear", "text-embedding-3-small", "limited", "wrong"]
[prices.models.dear]
input = 10.0
output = 100.0
[[api_keys]]
name = "ada"
key = "ada-token"
scopes = {scopes}
[[api_keys]]
name = "bob"
key = "bob-token"
scopes = {scopes}
tenant = "few"
[tenants.few]
system_prompt = "Give hints."
models = ["chatty"]
[tenants.few.limits]
requests_per_minute = 2
"""


@pytest.fixture(autouse=True, scope="session")
def _programs(programs):
    """Every test here starts some."""


@pytest.fixture(scope="session")
def upstream():
    """The provider; ``seen`` holds paths and bodies."""
    with provider() as running:
        yield running


@pytest.fixture(scope="session")
def gateway(upstream, tmp_path_factory):
    """The base URL of a gateway, ending in ``/rsql/``."""
    folder = tmp_path_factory.mktemp("gateway")
    config = folder / "rsql.toml"
    config.write_text(CONFIG.format(scopes=json.dumps(PERSON), url=upstream.url, folder=folder))
    command = [sys.executable, "-m", "jupyter_server_ext", "--port=0", f"--gateway-config={config}"]
    environment = {**os.environ, "JUPYTER_TOKEN": "owner-token"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            line = process.stdout.readline()
            yield line.split("ready at ")[1].strip()
        finally:
            process.terminate()
            process.stdout.read()
