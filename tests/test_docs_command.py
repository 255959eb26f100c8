"""docs/command.md and docs/r.md say what the code says, and the examples in R run."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rsql_magic.cli import command as cli
from rsql_magic.cli.effects import ASKS

DOCS = Path(__file__).parent.parent / "docs"
COMMAND = (DOCS / "command.md").read_text(encoding="utf-8")
R = (DOCS / "r.md").read_text(encoding="utf-8")


def commands():
    (found,) = (each for each in cli._parser()._actions if isinstance(each, argparse._SubParsersAction))
    return found.choices


@pytest.mark.parametrize("name", commands())
def test_every_command_has_a_row_with_its_options(name):
    assert re.search(rf"^\| .*`rsql {name}[ `]", COMMAND, re.M)
    options = {text for each in commands()[name]._actions for text in each.option_strings if text.startswith("--")}
    assert not {option for option in options - {"--help"} if option not in COMMAND}


def test_no_row_is_about_a_command_that_is_gone():
    assert set(re.findall(r"^\| `rsql ([\w-]+)", COMMAND, re.M)) <= set(commands())


@pytest.mark.parametrize("code", sorted({0, 1, 2, ASKS, *(code for _, code in cli.EXIT_CODES)}))
def test_every_exit_code_is_there(code):
    assert f"| {code} | " in COMMAND


def test_the_examples_in_r_run(real_r):
    code = "\n".join(re.findall(r"^```r\n(.*?)^```", R, re.M | re.S))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RSQL_")}
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", code],
        env={**clean, "PATH": path},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Values are missing in `temp`" in done.stdout
    assert "AVG(amount)" in done.stdout


def test_every_argument_is_in_a_table():
    source = (DOCS.parent / "r" / "rsql.R").read_text(encoding="utf-8")
    for name in ("ask", "sql_ai"):
        signature = re.search(rf"  {name} <- function\((.*?)\) \{{", source, re.S)[1]
        section = R.split(f"\n## `{name}()`")[1].split("\n## ")[0]
        for argument in re.findall(r"(?:^|, |\n\s+)(\w+)(?= =|,|$)", signature):
            assert f"`{argument}`" in section or argument == "question", f"{name}: {argument}"
