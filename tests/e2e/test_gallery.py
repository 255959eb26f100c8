"""The notebooks of the gallery: each runs to its end with the offline model, and holds no outputs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
NAMES = ("class", "hospital", "lab", "r", "report")

pytestmark = pytest.mark.usefixtures("real_r")


def test_they_hold_no_outputs():
    assert {path.stem for path in (NOTEBOOKS / "gallery").glob("*.ipynb")} == set(NAMES)
    for name in NAMES:
        cells = nbformat.read(NOTEBOOKS / "gallery" / f"{name}.ipynb", 4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_they_run_to_their_end_and_have_pages(tmp_path):
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=shutil.ignore_patterns("*.duckdb*", "__pycache__"))
    command = "import sys; from rsql_magic.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["run", *(f"{name}.ipynb" for name in NAMES), "-o", "done", "--html", "pages"]
    folder = tmp_path / "notebooks" / "gallery"
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (folder / "pages").glob("*.html")}
    assert set(pages) == set(NAMES)
    assert "120,835" in pages["class"] or "120835" in pages["class"]
    assert "refused: DELETE" in pages["lab"].replace("&quot;", "")
    # nbconvert's pages show the code of outputs in the font of the text, where nothing else is said.
    assert all(
        page.count('class="rsql-code"') == page.count("font-family:var(--jp-code-font-family")
        for page in pages.values()
    )
