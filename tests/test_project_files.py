"""Workflows, forms and settings of the repository parse, fit their published schemas, and name what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
SCHEMAS = {
    "vendor.github-workflows": sorted((GITHUB / "workflows").glob("*.yml")),
    "vendor.github-issue-forms": sorted(
        {*(GITHUB / "ISSUE_TEMPLATE").glob("*.yml")} - {GITHUB / "ISSUE_TEMPLATE/config.yml"}
    ),
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
}
DEPLOY = [path for path in (ROOT / "deploy").rglob("*.yaml") if path.parent.name != "templates"]
FILES = [*GITHUB.rglob("*.yml"), ROOT / ".pre-commit-config.yaml", *DEPLOY]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_parses(path):
    assert all(isinstance(each, dict) for each in yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_every_file_of_github_has_a_schema():
    assert {*GITHUB.rglob("*.yml")} == {path for paths in SCHEMAS.values() for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_fit_their_schemas(schema, capsys):
    from check_jsonschema import main

    code = main(["--builtin-schema", schema, *map(str, SCHEMAS[schema])], standalone_mode=False)
    assert not code, capsys.readouterr().out


def test_the_container_for_development_parses():
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert "scripts/setup.sh test" in told["postCreateCommand"]


def test_workflows_and_hooks_run_commands_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    workflow = yaml.safe_load((GITHUB / "workflows" / "tests.yml").read_text(encoding="utf-8"))
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands
    assert {command.removeprefix("make ") for command in commands} - {".ci/run"} <= targets
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    checks = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncheck:")[1].split("\n\n")[0]
    for hook in hooks:
        program = hook["entry"].removeprefix(".venv/bin/").split(" --")[0]
        assert program in checks.replace("$(python)", "python")


def test_ci_runs_what_the_readme_says_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set "))]
    assert commands == ["RSQL_TEST_REQUIRE_R=1 make test"]


def test_pages_are_read_by_assertions_that_wait():
    """What is read from a page just after an action may be the page before it; ``expect`` of Playwright waits."""
    read_once = re.compile(
        r"^ *assert .*\.(count|inner_text|all_inner_texts|text_content|input_value|is_\w+)\(\)", re.M
    )
    paths = [path for folder in ("e2e", "hub", "rsql_magic") for path in (ROOT / "tests" / folder).rglob("*.py")]
    browsers = [path for path in paths if re.search(r"playwright|chromium\(\)", path.read_text("utf-8"))]
    assert len(browsers) > 5
    assert [found[0] for path in browsers for found in read_once.finditer(path.read_text(encoding="utf-8"))] == []
