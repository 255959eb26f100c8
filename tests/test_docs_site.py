"""`make docs`: every page has a place, every link leads somewhere, and the site asks nobody else for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.usefixtures("programs")


def build(folder, *, docs=None):
    """Build the site of ``docs`` into a folder; what was printed where that fails."""
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    config = config.replace("docs_dir: docs", f"docs_dir: {docs or ROOT / 'docs'}")
    (folder / "mkdocs.yml").write_text(config.replace("scripts/docs_site.py", str(ROOT / "scripts" / "docs_site.py")))
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", "site"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_site_is_built_and_fetches_nothing_from_elsewhere(tmp_path):
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.name: page.read_text(encoding="utf-8") for page in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "gateway.html", "0001-httpx-transport.html"} <= set(pages)
    fetched = re.compile(
        r"<(?:script|img|iframe)[^>]* src=\"?(https?:)?//|<link[^>]* rel=\"?(?:stylesheet|preconnect)[^>]*//"
    )
    assert [name for name, text in pages.items() if fetched.search(text)] == []


def test_a_link_that_leads_nowhere_is_said(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[a page](gone.md)")
    done = build(tmp_path, docs=tmp_path / "docs")
    assert done.returncode == 1
    assert "gone.md" in done.stderr
