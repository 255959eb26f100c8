"""The two rules of docs/architecture.md: imports point down the arrow, and a room is entered by its door only."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ARROWS = {
    "rsql_magic": "notebook → cli → panel → reports → assistant → agent → answers → text2sql → tools"
    " → databases, display → gateway → context → knowledge → sql, prompts → plugins → diagnostics → redaction"
    " → config, options, errors → plain_text",
    "jupyter_server_ext": "app → handlers → pipeline → knowledge, upstream, identity, offline, webhooks → tenants"
    " → ledger → keys, limits → redis → traces → config → messages, errors, http_client, plugins"
    " → questions, logs, worker",
}
"""Highest first. A room or module imports only what stands behind a later arrow."""

MOST_ROOMS = {"rsql_magic": 20, "jupyter_server_ext": 16}

FOR_IMPORTERS = {"api", "guard", "validate", "linking", "jupyterhub", "keeper", "__main__", "__init__"}
"""Modules that keep a published import path; nothing of ours imports them."""

PUBLISHED = {"rsql_magic/context/published.py"}
"""Likewise, inside a room."""


def _rooms(package: str) -> set[str]:
    return {path.parent.name for path in (ROOT / package).glob("*/__init__.py")} - {"prompts"}


def _modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def _imports(path: Path) -> list[tuple[str, str]]:
    """The modules that a file imports from, each with the name it takes; those for type checking, too."""
    package = list(path.relative_to(ROOT).parts[:-1])
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found += [(stem, alias.name) for alias in node.names]
    return found


def _own(package: str, path: Path) -> str:
    return path.relative_to(ROOT / package).parts[0].removesuffix(".py")


def _inner(package: str) -> list[tuple[Path, str, str, str]]:
    """Imports between the parts of a package: who, from which part, the part it takes from, and the whole name."""
    found = []
    for path in _modules(package):
        if str(path.relative_to(ROOT)) in PUBLISHED:
            continue
        for stem, name in _imports(path):
            whole = f"{stem}.{name}".rstrip(".")
            if whole.split(".")[0] == package:
                found.append((path, _own(package, path), whole.split(".")[1], stem))
    return found


@pytest.mark.parametrize("package", ARROWS)
def test_every_room_stands_in_the_arrow(package):
    standing = {name for row in ARROWS[package].split("→") for name in row.strip().split(", ")}
    parts = {_own(package, path) for path in _modules(package)} - FOR_IMPORTERS
    assert parts == standing


@pytest.mark.parametrize("package", ARROWS)
def test_there_are_few_rooms(package):
    assert len(_rooms(package)) <= MOST_ROOMS[package]


@pytest.mark.slow
@pytest.mark.parametrize("package", ARROWS)
def test_imports_point_down_the_arrow(package):
    rank = {name: at for at, row in enumerate(ARROWS[package].split("→")) for name in row.strip().split(", ")}
    wrong = [
        f"{path.relative_to(ROOT)} imports {target}"
        for path, own, target, _ in _inner(package)
        if own not in FOR_IMPORTERS and own != target and rank[own] >= rank.get(target, -1)
    ]
    assert not wrong


@pytest.mark.parametrize("package", ARROWS)
def test_a_room_is_entered_by_its_door(package):
    rooms = _rooms(package)
    past = [
        f"{path.relative_to(ROOT)} imports from {stem}"
        for path, own, target, stem in _inner(package)
        if target in rooms and own != target and own not in FOR_IMPORTERS and stem != f"{package}.{target}"
    ]
    assert not past


def test_the_packages_meet_over_http_but_for_two_imports():
    """The offline model stands on the SQL library, and both load plug-ins in the same way."""
    crossing = {
        (_own(package, path), stem)
        for package in ARROWS
        for path in _modules(package)
        for stem, _ in _imports(path)
        if stem.split(".")[0] in {*ARROWS} - {package}
    }
    assert crossing == {("offline", "rsql_magic.sql"), ("plugins", "rsql_magic.plugins")}


def test_only_one_module_of_the_gateway_imports_the_http_client_library():
    gateway = ROOT / "jupyter_server_ext"
    text = {path: path.read_text(encoding="utf-8") for path in gateway.rglob("*.py")}
    users = {path for path, code in text.items() if re.search(r"^\s*(import|from) httpx", code, re.M)}
    assert users == {gateway / "http_client.py"}


def test_only_one_module_imports_rpy2():
    users = {p for p in (ROOT / "rsql_magic").rglob("*.py") if any(stem.startswith("rpy2") for stem, _ in _imports(p))}
    assert users <= {ROOT / "rsql_magic" / "context" / "r.py"}


@pytest.mark.slow
def test_classes_have_names_of_their_own_and_few_methods():
    """Names are unique over both packages: whoever searches for one finds the class that is meant."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for package in ARROWS for path in _modules(package))
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = Counter(each.name for each in classes)
    assert [name for name, count in names.items() if count > 1] == []
    methods = {
        each.name: sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in each.body)
        for each in classes
    }
    assert [name for name, count in methods.items() if count > 25] == []
