"""The wheel works without the sources: in a clean environment the magics load and a question is answered."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy that holds only what the project ships."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("rsql_magic", "jupyter_server_ext", "jupyter-config", "labextension/dist", "r"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    shutil.rmtree(copy)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An environment with the wheel alone on top of the dependencies; the checkout is out of sight."""
    env = tmp_path_factory.mktemp("env")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    (site,) = env.glob("lib/python*/site-packages")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    (dependencies,) = {path for path in sys.path if path.endswith("site-packages") and path.startswith(sys.prefix)}
    (site / "dependencies.pth").write_text(dependencies + "\n")
    return env / "bin" / "python"


def run(python, code, cwd):
    command = [str(python), "-c", code]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.spine
def test_everything_that_is_not_code_is_in_the_wheel(python, tmp_path):
    out = run(
        python,
        "import rsql_magic, jupyter_server_ext; print(rsql_magic.__file__, jupyter_server_ext.__file__)",
        tmp_path,
    )
    assert str(ROOT) not in out
    assert run(python, "from rsql_magic.prompts import load; print(load('sql')[:9])", tmp_path).startswith("You write")


def test_jupyterlab_finds_the_sidebar_where_the_wheel_puts_it(wheel, tmp_path):
    """What pip does with a wheel's data files: no Node, and nothing to enable."""
    with ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/labextensions/" in name]
        data = names[0].split("/share/")[0]
        archive.extractall(tmp_path, names)
    (module,) = (tmp_path / name for name in names if name.endswith(".js"))
    assert len(gzip.compress(module.read_bytes())) <= 150_000
    assert {Path(name).name for name in names} >= {"package.json", "plugin.json", "install.json"}
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list"],
        env={**os.environ, "JUPYTER_PATH": str(tmp_path / data / "share" / "jupyter"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, _, rest = (listed.stdout + listed.stderr).partition(str(tmp_path / data / "share/jupyter/labextensions"))
    assert where, rest
    (line,) = (line for line in rest.partition("labextensions")[0].splitlines() if "@rsql/lab" in line)
    assert "enabled" in line
    assert "OK" in line


def test_the_magics_answer(python, tmp_path):
    code = """
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "rsql_magic")
shell.user_ns["sales"] = pd.DataFrame({"region": ["N", "S", "N"], "amount": [1, 2, 3]})
result = shell.run_cell("%%sql_ai -o out\\nHow many rows are in sales?")
result.raise_error()
print("ROWS", int(shell.user_ns["out"].iloc[0, 0]))
"""
    assert "ROWS 3" in run(python, code, tmp_path)
