"""The arrows of docs/architecture.md: a module imports only what is below it, and the packages meet over HTTP."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# One row per level, top first. A module may import modules of lower rows only; a folder is one module.
LAYERS = {
    "rsql_magic": [
        ["__init__", "cli"],
        ["magics"],
        ["commands", "last_error", "running"],
        ["panel"],
        ["reports"],
        ["assistant"],
        ["study"],
        ["answer_writer", "sql_writer"],
        ["sql_prompt", "sql_native"],
        ["preview", "sql_drafts", "sql_wish"],
        ["answers", "results"],
        ["chat", "display", "connections", "reach"],
        ["charts", "interpolate", "drafts", "columns_used", "completion", "literals", "verified"],
        ["options", "question_text", "syntax"],
        ["engines", "client"],
        ["events"],
        ["connect", "mending", "refusals"],
        ["guard"],
        ["validate"],
        ["linking"],
        ["context"],
        ["batch", "dialects", "prompts", "stopping", "table_text", "gateway_figures"],
        ["command_list", "config", "errors"],
    ],
    "jupyter_server_ext": [
        ["__init__", "__main__", "tljh"],
        ["app", "extension", "jupyterhub"],
        ["ledger_command"],
        ["lifetime", "serve", "sizing"],
        ["assembly"],
        ["handlers"],
        ["gateway"],
        ["visits"],
        ["hub", "virtual_keys"],
        ["upstream", "auth", "policy", "telemetry"],
        ["records"],
        ["decisions"],
        ["budgets", "queue", "repeats"],
        ["forecast"],
        ["turns"],
        ["key_pool", "limits", "rules", "cache", "ledger", "prices", "replay", "vault", "exports"],
        ["keys"],
        ["storage"],
        ["toml_file"],
        ["toml_values"],
        ["settings", "toml_lines"],
        ["messages", "errors", "keeper"],
    ],
}


def _modules(package: str) -> dict[str, list[Path]]:
    modules: dict[str, list[Path]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        modules.setdefault(path.relative_to(ROOT / package).parts[0].removesuffix(".py"), []).append(path)
    return modules


def _imports(path: Path) -> set[str]:
    """Absolute names imported by a file, those for type checking left out: they make no cycle at run time."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    names = set()
    for node in ast.walk(tree):
        if node in checked:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{stem}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", LAYERS)
def test_every_module_has_its_place(package):
    placed = {name for row in LAYERS[package] for name in row}
    unplaced = {name for name in _modules(package) if name not in placed}
    assert not unplaced, f"give {sorted(unplaced)} a row in LAYERS and an arrow in docs/architecture.md"


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_downwards(package):
    rank = {name: row for row, names in enumerate(LAYERS[package]) for name in names}
    for own, paths in _modules(package).items():
        for path in paths:
            for name in _imports(path):
                top, _, rest = name.partition(".")
                assert top not in LAYERS or top == package, f"{path} imports {name}: the packages meet only over HTTP"
                target = rest.split(".")[0]
                if top == package and target in rank and target != own:
                    assert rank[own] < rank[target], f"{path} imports {name}, which is not below it"


def test_only_one_module_imports_rpy2():
    users = {p for p in (ROOT / "rsql_magic").rglob("*.py") if any(n.startswith("rpy2") for n in _imports(p))}
    assert users <= {ROOT / "rsql_magic" / "context" / "r.py"}
