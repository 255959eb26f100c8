"""The programs that run notebooks without a person: what they keep, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from .conftest import TOKEN

GOOD = (
    "%load_ext rsql_magic",
    "import pandas as pd\nsales = pd.DataFrame({'region': ['N', 'S', 'N'] * 5, 'amount': range(15)})",
    "%%ask\nWhat is in sales?",
    "%%sql_ai -o out\nHow many rows are in sales?",
    "%%sql_ai --plot bar\ntotal amount by region in sales",
)
WRONG = "%%ask --model nosuchmodel\nhello"

NBCLIENT = """
import nbclient, nbformat
notebook = nbformat.read("report.ipynb", 4)
nbclient.execute(notebook)
nbformat.write(notebook, "done.ipynb")
"""
RSQL = "import sys; from rsql_magic.cli import main; sys.exit(main(sys.argv[1:]))"
RUNNERS = {
    "nbconvert": [
        "-m",
        "jupyter",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "report.ipynb",
        "--output",
        "done.ipynb",
    ],
    "execute": ["-m", "jupyter", "execute", "report.ipynb", "--output=done"],
    "papermill": ["-m", "papermill", "report.ipynb", "done.ipynb", "--no-progress-bar"],
    "nbclient": ["-c", NBCLIENT],
    "rsql": ["-c", RSQL, "run", "report.ipynb", "-o", "done.ipynb"],
}


# nbconvert and `jupyter execute` run cells by nbclient, too.
ALIKE = ("execute", "nbclient")


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.sweep] * (name in ALIKE)) for name in RUNNERS])
def execute(request, jupyter, tmp_path):
    """Runs cells by one of the programs; gives its exit code and the cells, where it wrote any."""
    gateway = {"RSQL_GATEWAY_URL": f"{jupyter}rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}
    command = [sys.executable, *RUNNERS[request.param]]

    def run(*sources):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, tmp_path / "report.ipynb")
        environ = {**os.environ, **gateway, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240, check=False
        )
        path = tmp_path / "done.ipynb"
        cells = nbformat.read(path, 4).cells if path.exists() else []
        return done.returncode, [cell for cell in cells if "papermill-error" not in str(cell.metadata)], done.stderr

    return run


@pytest.mark.spine(cases=1)
@pytest.mark.timeout(300)
def test_a_cell_has_one_static_output_and_a_chart_its_pictures(execute):
    pytest.importorskip("vl_convert")
    code, cells, err = execute(*GOOD)
    assert code == 0, err
    asked, queried, drawn = cells[-3:]
    for cell in (asked, queried):
        (output,) = cell.outputs
        assert output.output_type == "display_data"
        assert {"text/markdown", "text/plain"} <= set(output.data)
    assert "<table" in queried.outputs[0].data["text/markdown"]
    (chart,) = drawn.outputs
    assert {"image/png", "image/svg+xml", "text/html", "text/markdown", "text/plain"} == set(chart.data)
    assert len(chart.metadata["rsql"]["prompt_sha256"]) == len(chart.metadata["rsql"]["context_sha256"]) == 64
    assert "widget" not in str(cells)


@pytest.mark.timeout(300)
def test_an_error_fails_the_run_unless_the_cell_says_otherwise(execute):
    code, _, err = execute(GOOD[0], WRONG, "print('never')")
    assert code != 0
    assert "UnknownModel" in err
    warned, skipped = (WRONG.replace("%%ask", f"%%ask --on-error {how} -o x") for how in ("warn", "skip"))
    code, cells, err = execute(GOOD[0], "x = 1", warned, "x = 2", skipped, "assert x is None\nprint('reached')")
    assert code == 0, err
    warned, _, skipped, last = cells[-4:]
    (output,) = warned.outputs
    assert output.data["text/plain"].startswith("⚠ UnknownModel: ")
    assert skipped.outputs == []
    assert last.outputs[0].text == "reached\n"


@pytest.mark.timeout(300)
def test_pytest_nbmake_runs_notebooks_as_tests(jupyter, tmp_path):
    cells = {"good": GOOD, "wrong": (GOOD[0], WRONG)}
    for name, sources in cells.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    environ = {
        "RSQL_GATEWAY_URL": f"{jupyter}rsql/",
        "RSQL_GATEWAY_TOKEN": TOKEN,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    words = [sys.executable, "-m", "pytest", "-q", "-p", "nbmake.pytest_plugin", "--nbmake", "--overwrite", "."]
    done = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, **environ}, capture_output=True, text=True, timeout=240, check=False
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "UnknownModel" in done.stdout
    shown = [cell.outputs for cell in nbformat.read(tmp_path / "good.ipynb", 4).cells]
    assert [len(outputs) for outputs in shown] == [0, 0, 1, 1, 1]
