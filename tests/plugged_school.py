"""A distribution that is installed for a test: modules and metadata in a folder, as an installer leaves them."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import invalidate_caches
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server_ext.config import presets
from jupyter_server_ext.webhooks import sinks
from rsql_magic import plugins
from rsql_magic.answers import plugged as checks
from rsql_magic.context import sources
from rsql_magic.databases import connections
from rsql_magic.databases import plugged as databases
from rsql_magic.knowledge.documents import plugged as formats
from rsql_magic.tools import plugged as tools

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE = (Path(__file__).parent.parent / "docs" / "extending.md").read_text(encoding="utf-8")
CACHED = (
    plugins._entries,
    tools._all,
    tools.plugged_tools,
    formats.plugged_formats,
    checks.plugged_checks,
    databases.plugged_databases,
    connections._known_types,
    sources.sources,
    sources.plugged_sources,
    presets.add_plugged,
    sinks.plugged_sinks,
)


def of_page() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The entry points and the modules of the example in docs/extending.md."""
    [project] = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    modules = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.S)
    return tomllib.loads(project)["project"]["entry-points"], dict(modules)


def install(
    folder: Path, entries: Mapping[str, Mapping[str, str]], modules: Mapping[str, str], name: str = "rsql-school"
) -> None:
    """Put a distribution into a folder of the path."""
    for path, code in modules.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in some.items()) for group, some in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def begin_anew() -> None:
    """Forget what was loaded and left out, as a new process has it."""
    invalidate_caches()
    for cached in CACHED:
        cached.cache_clear()
    plugins._LEFT_OUT.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in {"rsql_school", "plugged_hostile"}]:
        del sys.modules[name]
