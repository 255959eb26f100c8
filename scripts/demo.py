"""Run notebooks/demo.ipynb through nbconvert against a Jupyter Server with the gateway on; write it as HTML.

No key is needed: the gateway serves the offline model. Nothing is left running.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
OUT = ROOT / "build" / "demo"
CONFIG = f"""\
default_model = "offline"

[[keys]]
provider = "offline"

[storage]
ledger = "sqlite:///{OUT / "ledger.db"}"
"""


def main() -> int:
    """Execute the notebook and say where the result is."""
    OUT.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with jupyter_server("jupyter_server", ROOT / "notebooks") as (url, token):
        print("Running notebooks/demo.ipynb …", flush=True)
        run = subprocess.run(
            [
                *(sys.executable, "-m", "nbconvert", "--to", "html", "--execute", "--log-level", "WARN"),
                *("--output-dir", str(OUT), "--output", "demo", str(ROOT / "notebooks" / "demo.ipynb")),
            ],
            env=os.environ | {"RSQL_GATEWAY_URL": f"{url}rsql/", "RSQL_GATEWAY_TOKEN": token},
            check=False,
            stderr=subprocess.PIPE,
            text=True,
        )
    if run.returncode:
        print(run.stderr, "The notebook did not run through; the cell that failed is above.", file=sys.stderr)
        return run.returncode
    print(f"Done in {time.monotonic() - start:.0f} s. Open {OUT / 'demo.html'} in a browser.")
    return 0


@contextmanager
def jupyter_server(module: str, root: Path, settings: str = CONFIG) -> Iterator[tuple[str, str]]:
    """A server on a free port of this machine, with the gateway on and the offline model behind it.

    Args:
        module: ``jupyter_server`` or ``jupyterlab``.
        root: The folder it serves.
        settings: The rsql.toml.

    Yields:
        Its base URL and its token.
    """
    config = OUT / "rsql.toml"
    config.write_text(settings, encoding="utf-8")
    for old in OUT.glob("ledger.db*"):  # each run shows its own records
        old.unlink()
    token, port = secrets.token_urlsafe(16), _free_port()
    log = (OUT / "server.log").open("w", encoding="utf-8")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", module, "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root"),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"),
        ],
        env=os.environ | {"JUPYTER_TOKEN": token, "RSQL_CONFIG": str(config)},
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        _wait_until_healthy(url, server)
        yield url, token
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}rsql/health", timeout=2) as reply:
                if json.load(reply)["status"] == "ok":
                    return
        except OSError:
            time.sleep(0.1)
    msg = f"The Jupyter Server did not come up; its log is {OUT / 'server.log'}."
    raise SystemExit(msg)


if __name__ == "__main__":
    sys.exit(main())
