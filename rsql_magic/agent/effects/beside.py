"""Modules beside the notebook that a listed package would load in the place of the one that it means."""

# Packages load much of what they use only when it is needed (`tabulate` for tables in text, `_strptime` for dates), and
# Python looks for it in the notebook's folder first. Such a file would run with the next harmless call.

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

from rsql_magic.agent.effects.honest import is_trusted

_SUFFIXES = (".py", ".so", ".pyd", ".pyc")
_UNUSED = frozenset({"test"})  # Python's tests of itself, which its documentation forbids to import
_found: dict[str, tuple[int, tuple[str, ...]]] = {}


def stand_ins(packages: frozenset[str]) -> list[Path]:
    """Files and packages beside the notebook that one of some packages, or Python, would load though it means another.

    Args:
        packages: Names of packages that are used, such as ``pandas``.
    """
    found = []
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".").absolute()
        if is_trusted(folder / "any") or not folder.is_dir():
            continue
        found += [
            folder / name
            for name in _modules(folder)
            if name not in sys.modules and name not in _UNUSED and _is_meant(name, packages)
        ]
    return found


# The names that could be imported from a folder; it is listed again when it changed.
def _modules(folder: Path) -> tuple[str, ...]:
    changed, key = folder.stat().st_mtime_ns, str(folder)
    if key not in _found or _found[key][0] != changed:
        names = {each.name.partition(".")[0] for each in folder.iterdir() if each.name.endswith(_SUFFIXES)}
        names |= {each.parent.name for each in folder.glob("*/__init__.*")}
        _found[key] = (changed, tuple(sorted(names)))
    return _found[key][1]


def _is_meant(name: str, packages: frozenset[str]) -> bool:
    return name in sys.stdlib_module_names or any(name in _imported_by(package) for package in packages)


_IMPORTS = re.compile(rb"(?m)^[ \t]*(?:from[ \t]+(\w+)|import[ \t]+(\w[\w., \t]*))|\w*import\w*\(\s*['\"](\w+)")


# Every name that a package's source imports, as a statement or by a call with its text; optional parts that are not
# installed count as well. Read once, and only where something stands beside a notebook.
@cache
def _imported_by(package: str) -> frozenset[str]:
    spec = getattr(sys.modules.get(package), "__spec__", None)
    found = set[str]()
    for place in (spec and spec.submodule_search_locations) or ():
        for file in Path(place).rglob("*.py"):
            if "tests" in file.parts:
                continue
            for module, several, text in _IMPORTS.findall(file.read_bytes()):
                found.update((module or text).decode().split())
                found.update(
                    each.split(".")[0].split()[0] for each in several.decode().split(",") if each.strip(" .\t")
                )
    return frozenset(found)
