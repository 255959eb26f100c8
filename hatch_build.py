"""Puts the built JupyterLab extension (``labextension/dist``) into the wheel, so that installing it needs no Node."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LabExtension(BuildHookInterface):  # type: ignore[type-arg]
    """The wheel's part below ``share/jupyter``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder; an editable install takes it from the checkout (``scripts/setup.sh``)."""
        if version == "editable":
            return
        built = Path(self.root) / "labextension" / "dist"
        if not (built / "package.json").exists():
            self.app.display_warning("No sidebar in this wheel: npm ci && npm run build, in labextension/, builds it.")
            return
        build_data["shared_data"][str(built)] = "share/jupyter/labextensions/@rsql/lab"
