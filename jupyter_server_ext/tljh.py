"""A plugin of The Littlest JupyterHub: ``tljh install … --plugin rsql-jupyter`` is all there is to do.

https://tljh.jupyter.org/en/latest/contributing/plugins.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy

from jupyter_server_ext.jupyterhub import PORT, configure

_CONFIG = Path("/opt/tljh/config/rsql.toml")

hookimpl = pluggy.HookimplMarker("tljh")  # what tljh.hooks.hookimpl is


@hookimpl
def tljh_custom_jupyterhub_config(c: Any) -> None:
    """Add the gateway to the hub, with ``/opt/tljh/config/rsql.toml`` where there is one.

    Servers run on the hub's own machine and reach it without the proxy, which may speak https only.
    """
    config = str(_CONFIG) if _CONFIG.exists() else ""
    configure(c, config=config, cwd="/opt/tljh/state", gateway_url=f"http://127.0.0.1:{PORT}/services/rsql/")


@hookimpl
def tljh_extra_user_pip_packages() -> list[str]:
    """Give users the magics."""
    return ["rsql-jupyter"]
