"""The documentation is complete and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_every_page_can_be_reached_from_the_readme():
    linked = set(_LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def test_the_readme_is_short_and_shows_the_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 120
    assert {"make demo", "make test"} <= {re.split(r"\s{2,}", line.strip())[0] for line in lines}


def test_every_make_target_is_explained():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = {
        "setup",
        "demo",
        "lab",
        "quick",
        "test",
        "coverage",
        "check",
        "release",
        "bench",
        "bench-hub",
        "screenshots",
        "docs",
    }
    assert wanted <= set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.M))
