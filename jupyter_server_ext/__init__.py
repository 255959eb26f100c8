"""The gateway: a Jupyter Server extension that shares LLM keys fairly among everybody who works there.

It is on as soon as the package is installed; ``jupyter rsql`` runs it alone. See docs/gateway.md.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the extension. Imported when it asks, as ``jupyter rsql`` has no need of it."""
    from jupyter_server_ext.app import GatewayExtension

    return [{"module": "jupyter_server_ext.app.extension", "app": GatewayExtension}]
