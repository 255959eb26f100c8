"""How far a request walks through the code: `scripts/walks.py`, which fails where a road is over its limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.usefixtures("programs")


def walked(script):
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=170, check=False)


@pytest.mark.spine
def test_no_road_is_over_its_limit():
    ended = walked(ROOT / "scripts" / "walks.py")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_road_over_its_limit_fails(tmp_path):
    """The script beside a copy of nothing but links, where one road has a limit that it breaks."""
    for name in ("rsql_magic", "jupyter_server_ext", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "walks.py"
    text = (ROOT / "scripts" / "walks.py").read_text(encoding="utf-8")
    script.write_text(text.replace('"%%ask": (38,', '"%%ask": (1,'), encoding="utf-8")

    ended = walked(script)
    assert (ended.returncode, ended.stdout.strip().splitlines()[-1]) == (1, "over the limit: %%ask"), ended.stderr
