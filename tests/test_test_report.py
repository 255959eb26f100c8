"""`scripts/test_report.py`: a test that fails by itself fails the run, and many that fail are not run again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("programs")

ROOT = Path(__file__).parent.parent
TESTS = """
from pathlib import Path
import pytest
def test_flaky():
    is_first = not Path("ran").exists()
    Path("ran").touch()
    assert not is_first
@pytest.mark.parametrize("odd", ["a b", "c/d::e"])
def test_faulty(odd):
    assert odd == ""
@pytest.fixture
def broken():
    raise OSError
def test_not_set_up(broken):
    pass
"""


@pytest.mark.parametrize(
    ("chosen", "code", "line"),
    [
        ("flaky", 0, "FLAKY: test_some.py::test_flaky failed beside other tests and passes by itself"),
        ("flaky or not_set_up", 1, "1 error"),
        ("faulty or flaky or not_set_up", 1, "4 tests failed: only 1 to 3 are run again."),
    ],
)
def test_only_what_passes_by_itself_passes(tmp_path, monkeypatch, chosen, code, line):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p xdist.plugin")
    (tmp_path / "test_some.py").write_text(TESTS)

    def run(*arguments):
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("-m", "pytest", "-q", "-n", "0", "--junitxml=tests.xml", "-k", chosen).returncode == 1
    ended = run(ROOT / "scripts" / "test_report.py", "again", "tests.xml")
    assert (ended.returncode, line in ended.stdout) == (code, True), ended.stdout + ended.stderr
