"""A plugin of The Littlest JupyterHub: ``tljh install … --plugin rsql-jupyter`` is all there is to do."""

# https://tljh.jupyter.org/en/latest/contributing/plugins.html

from __future__ import annotations

import json
import os
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pluggy

from jupyter_server_ext.app.jupyterhub import PORT, configure

_PACKAGE = "rsql-jupyter"

hookimpl = pluggy.HookimplMarker("tljh")  # what tljh.hooks.hookimpl is


@hookimpl
def tljh_custom_jupyterhub_config(c: Any) -> None:
    """Add the gateway to the hub, with ``/opt/tljh/config/rsql.toml`` where there is one."""
    # Servers run on the hub's own machine and reach it without the proxy, which may speak https only.
    tljh = Path(os.environ.get("TLJH_INSTALL_PREFIX", "/opt/tljh"))
    own = tljh / "config" / "rsql.toml"
    config = str(own) if own.exists() else ""
    configure(c, config=config, cwd=str(tljh / "state"), gateway_url=f"http://127.0.0.1:{PORT}/services/rsql/")


@hookimpl
def tljh_extra_user_pip_packages() -> list[str]:
    """Give users the magics: of the same wheel, folder or repository that the hub's side was installed from."""
    source = json.loads(distribution(_PACKAGE).read_text("direct_url.json") or "{}")
    if not source:
        return [_PACKAGE]
    repository = source.get("vcs_info")
    url = f"{repository['vcs']}+{source['url']}@{repository['commit_id']}" if repository else source["url"]
    return [f"{_PACKAGE} @ {url}"]
