"""What the net below the assistant's cells catches, with nothing else in their way; it stops no ordinary one."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.net_cells import CELLS, ORDINARY, Unseen

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="cells are tried in forks, which Linux tells the end of"),
    pytest.mark.usefixtures("programs"),
]
ALL = [code for codes in CELLS.values() for code in codes]
ROOT = Path(__file__).parents[2]


def asked(function, cells):
    """What a function of `tests.net_share` says of cells, in a process without threads."""
    work = (
        f"import json, sys; from tests.net_share import {function}; print(json.dumps({function}(json.load(sys.stdin))))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", work], input=json.dumps(cells), check=True, capture_output=True, text=True, cwd=ROOT
    )
    return json.loads(ran.stdout.splitlines()[-1])


def test_of_a_sample_of_acting_cells_those_that_are_announced_are_caught():
    quick = [code for code in ALL if not any(name in code for name in ("polars", "duckdb", "zmq", "pandas", "httpx"))]
    found = asked("caught", random.Random(33).sample(quick, 8))
    assert len(found) == 8
    assert [code for code, is_caught in found.items() if not is_caught and not _is_unseen(code)] == []


@pytest.mark.sweep
@pytest.mark.timeout(0)
def test_of_all_acting_cells_those_that_are_announced_are_caught():
    found = asked("caught", ALL)
    assert len(found) == len(ALL)
    assert [code for code, is_caught in found.items() if not is_caught and not _is_unseen(code)] == []


def _is_unseen(code):
    return any(code == each and isinstance(each, Unseen) for each in ALL)


def test_it_stops_no_ordinary_cell_of_python_itself():
    loads = ("pandas", "matplotlib", "sklearn", "polars")
    assert asked("stopped", [code for code in ORDINARY if not any(name in code for name in loads)]) == []


@pytest.mark.sweep
def test_it_stops_no_ordinary_cell():
    assert asked("stopped", ORDINARY) == []


def test_the_share_is_published():
    caught = sum(not isinstance(code, Unseen) for code in ALL)
    for page in ("docs/panel.md", "docs/decisions/0028-trying-cells.md"):
        assert f"{caught} of {len(ALL)}" in (ROOT / page).read_text(encoding="utf-8")
