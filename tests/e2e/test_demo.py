"""``make demo``: the notebook runs through against a real server, and the page shows what the README promises."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def page():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "demo.html" in done.stdout
    return (ROOT / "build" / "demo" / "demo.html").read_text(encoding="utf-8")


def words_of(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.mark.spine
@pytest.mark.parametrize(
    "words",
    [
        "Frontier Airlines Inc.",  # a join, grouped and ordered
        "ExpressJet Airlines Inc.17.7888",  # the follow-up, for one airport
        "ORD17283",  # the first of ten
        "There is no column dep_delays in flights. Did you mean flights.dep_delay",  # found before it ran, and repaired
        "QueryRejected: DROP changes the schema",  # refused
        "Nothing was sent.",  # --show-context
        "is a pandas DataFrame with 26,115 rows and 8 columns",
        "data.frame with 32 rows and 11 columns",
        "keys1 ready",  # %rsql status
        "requests this day",  # %rsql usage
    ],
)
def test_the_page_shows(page, words):
    assert words in words_of(page)


def test_there_are_charts_that_need_no_network(page):
    # The assistant's own is an SVG without a person at the screen, pandas' is a PNG.
    assert page.count("jp-RenderedSVG") + page.count("data:image/svg+xml") >= 1
    assert page.count("data:image/png;base64,") >= 1


def test_only_the_deliberate_error_has_a_traceback(page):
    assert words_of(page).count("Traceback (most recent call last)") == 2  # pandas' KeyError and its cause


def test_nothing_is_left_running(page):
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if f"root_dir={ROOT / 'notebooks'}".encode() in command]
