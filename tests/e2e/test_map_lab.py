"""``%%ask --map`` in JupyterLab: what it costs is said first, how far it is while it runs; stopped, it goes on."""

from __future__ import annotations

import re

import pytest
from e2e.panel_lab import MAP, REVIEWS, rows_judged
from playwright.sync_api import expect


@pytest.mark.timeout(180)
def test_a_run_shows_its_cost_and_goes_on_where_it_was_stopped(town):
    town.provider.answers["Question about each row"] = rows_judged, 0.0
    cache = "import os\nos.environ['XDG_CACHE_HOME'] = os.getcwd()"
    page = town.page("jupyterlab", "rows", [f"{cache}\n%load_ext rsql_magic\n{REVIEWS}"])
    shown = page.page.locator(".jp-Notebook .jp-OutputArea")
    page.type_cell(MAP, wait=False)
    running = shown.filter(has_text=re.compile(r"█+░+ \d+ of 600 · \$0\.\d+ · \d+ requests"))
    expect(running).to_have_count(1)
    said = r"600 different rows of 600: about \$0\.\d{4}, \d+ requests, [\d,]+ tokens\."
    expect(running).to_contain_text(re.compile(said))
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("i")
    page.page.keyboard.press("i")
    stopped = shown.filter(has_text=re.compile(r"Stopped; \d+ of 600 different rows are answered and kept"))
    expect(stopped).to_have_count(1)
    kept = re.search(r"Stopped; (\d+)", stopped.inner_text())[1]
    page.type_cell(MAP, seconds=60)
    expect(shown.filter(has_text=f"{kept} of them known from before")).to_contain_text("Done: $0.")
    page.type_cell("int(judged.stars.sum())")
    expect(shown.filter(has_text="1800")).to_have_count(1)
    assert 0 < int(kept) < 600
    assert page.errors == []
