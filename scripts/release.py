"""Build dist/: the sdist and the wheel of this version, both checked; the wheel answers a question by itself.

Nothing is published. The version is that of pyproject.toml and has a dated section in CHANGELOG.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

from packaging.metadata import Metadata

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
QUESTION = """
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "rsql_magic")
shell.user_ns["sales"] = pd.DataFrame({"amount": [1, 2, 3]})
shell.run_cell("%%sql_ai -o out\\nHow many rows are in sales?").raise_error()
assert int(shell.user_ns["out"].iloc[0, 0]) == 3
"""


def main() -> None:
    """Build, check, try out; the first thing that is wrong ends it with one line."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)}\b.*\d{{4}}-\d\d-\d\d", changes, re.M):
        sys.exit(f"CHANGELOG.md has no section '## {version} (YYYY-MM-DD)'.")
    shutil.rmtree(DIST, ignore_errors=True)
    _build_sidebar()
    wheel, sdist = _build(ROOT, DIST, "wheel"), _build(ROOT, DIST, "sdist")
    _check_metadata(wheel, version)
    with tempfile.TemporaryDirectory() as folder:
        _check_sdist(sdist, wheel, Path(folder))
        _try_out(wheel, version, Path(folder))
    print(f"{wheel}\n{sdist}")


def _build(source: Path, out: Path, target: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(command, cwd=source, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (built,) = out.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def _build_sidebar() -> None:
    """What JupyterLab loads, which the wheel holds ready to use."""
    npm = shutil.which("npm") or sys.exit("The sidebar of JupyterLab is built by Node: install nodejs and npm.")
    for command in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "--silent", "build"]):
        subprocess.run([npm, "--prefix", str(ROOT / "labextension"), *command], check=True, stdout=subprocess.DEVNULL)


def _check_metadata(wheel: Path, version: str) -> None:
    """The metadata are valid, and say what pyproject.toml says."""
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(name), validate=True)
    if (metadata.name, str(metadata.version)) != ("rsql-jupyter", version) or not metadata.description:
        sys.exit(f"{wheel.name} is not rsql-jupyter {version} with its README.")
    if not any("labextensions/@rsql/lab/static/remoteEntry" in name for name in names):
        sys.exit(f"{wheel.name} holds no sidebar for JupyterLab.")


def _check_sdist(sdist: Path, wheel: Path, folder: Path) -> None:
    """A wheel made from the sdist holds the same files."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    again = _build(folder / sdist.name.removesuffix(".tar.gz"), folder / "again", "wheel")
    with ZipFile(wheel) as first, ZipFile(again) as second:
        if different := {*first.namelist()} ^ {*second.namelist()}:
            sys.exit(f"{sdist.name} makes another wheel: {sorted(different)[:5]}")


def _try_out(wheel: Path, version: str, folder: Path) -> None:
    """The wheel in an environment of its own, with the locked versions of what it depends on and nothing else."""
    uv = shutil.which("uv") or str(ROOT / "build" / "uv" / "bin" / "uv")
    programs = folder / "env" / "bin"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder / "env")], check=True)
    install = [uv, "pip", "install", "-q", "-p", str(programs / "python"), "-c", str(ROOT / "requirements.lock")]
    subprocess.run([*install, str(wheel)], check=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RSQL_", "VIRTUAL"))}
    environment = clean | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "IPYTHONDIR": str(folder)}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)[:60]} failed in an environment of its own:\n{done.stdout}{done.stderr}")
        return done.stdout

    where = run("python", "-c", "import rsql_magic, jupyter_server_ext as j; print(rsql_magic.__file__, j.__file__)")
    if str(programs.parent) not in where or run("rsql", "--version") != f"rsql {version}\n":
        sys.exit(f"The environment holds something else than rsql {version}: {where}")
    run("jupyter", "rsql", "--help")
    if not (programs.parent / "share/jupyter/labextensions/@rsql/lab/package.json").exists():
        sys.exit("The sidebar was not installed where JupyterLab looks for it.")
    run("python", "-c", QUESTION)


if __name__ == "__main__":
    main()
