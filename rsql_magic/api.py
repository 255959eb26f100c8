"""All that notebooks, scripts and plug-ins may import: these names stay, with the parameters that they document.

What stands elsewhere may move at any release. Each name is loaded at its first use.

Example:
    >>> from rsql_magic.api import check
    >>> check("SELECT 1; -- one", "duckdb")
    'SELECT 1'
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any


def _places() -> dict[str, str]:
    """The module of each name, as the list beside this file has it."""
    listed = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    imports = [line for line in listed if isinstance(line, ast.ImportFrom)]
    return {alias.name: str(line.module) for line in imports for alias in line.names}


_PLACES = _places()
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"rsql_magic.api has no {name}; docs/api.md lists what it has.")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return __all__
