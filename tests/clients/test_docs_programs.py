"""The examples of docs/programs.md run as they stand where their package is installed; the others are Python."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "programs.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)
PYTHON = [code for language, code in BLOCKS if language == "python"]


def imports(code):
    found = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom))
    names = {getattr(node, "module", None) or node.names[0].name for node in found}
    return {name.split(".")[0] for name in names} - {"os"}


def runs_here(code):
    return "get_ipython" not in code and all(importlib.util.find_spec(name) for name in imports(code))


@pytest.fixture
def environment(gateway):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTERHUB", "RSQL_"))}
    return {**clean, "RSQL_GATEWAY_URL": gateway, "RSQL_GATEWAY_TOKEN": "ada-token"}


def run(command, environment):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code", [code for code in PYTHON if runs_here(code)], ids=lambda code: "-".join(sorted(imports(code)))
)
def test_python(code, environment):
    assert run([sys.executable, "-c", code], environment).strip()


def test_the_examples_of_packages_that_are_not_installed_here_are_python():
    others = [imports(code) for code in PYTHON if not runs_here(code)]
    assert others == [{"langchain_openai"}, {"chatlas"}, {"litellm"}, set()]


def test_sh_finds_address_and_token_and_asks(gateway, environment):
    shell = [code for language, code in BLOCKS if language == "sh"]
    found, openai, curl = shell[0], shell[1], shell[-1]
    names = {"RSQL_GATEWAY_URL", "RSQL_GATEWAY_TOKEN"}
    server = {name: value for name, value in environment.items() if name not in names}
    server |= {"RSQL_SERVER_URL": gateway, "RSQL_SERVER_TOKEN": "ada-token"}
    out = run(["sh", "-c", f"{found}{openai}{curl}\necho; echo $OPENAI_BASE_URL $OPENAI_API_KEY"], server)
    assert '"answer":"1 messages| came."' in out
    assert out.split()[-2:] == [f"{gateway}v1", "ada-token"]


def test_r(real_r, environment):
    (code,) = [code for language, code in BLOCKS if language == "r"]
    assert run(["Rscript", "--vanilla", "-e", code], environment) == "1 messages| came. \n"
