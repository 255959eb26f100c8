"""``%ask fix`` in a notebook beside which no sidebar is open, and in a JupyterLab without the extension."""

from __future__ import annotations

import json

import pytest
from e2e import panel_lab
from playwright.sync_api import expect

FAILS = {
    "python": ("total = 0\nfor n in [1, 0]:\n    total += 6 / n\nprint(total)", "[1, 0]", "[1, 2]", "9.0"),
    "r": ("%%R\nx <- 1:3\nsumary(x)", "sumary(x)", "summary(x)", "Median"),
    "sql": ("%%sql\nSELEC 6 * 7 AS answer", "SELEC 6", "SELECT 6", "42"),
}
LOADED = "%load_ext rsql_magic\n%load_ext rpy2.ipython\n%load_ext sql\n%sql sqlite://"
COMMANDS = "() => window.jupyterapp.commands.hasCommand('rsql:open')"


def mended(code, wrong, right):
    """The cell as the model writes it: without the magic's own line."""
    return "\n".join(line for line in code.replace(wrong, right).splitlines() if not line.startswith("%%"))


@pytest.fixture(scope="module")
def side(town, real_r):
    side = panel_lab.Side(town.page("jupyterlab", "fixing"))
    side.notebook.type_cell(LOADED, seconds=60)
    yield side
    assert side.notebook.errors == []


@pytest.fixture
def bare(town):
    """A page without the extension, which has the notebook to itself."""
    config = town.folder / "config" / "labconfig" / "page_config.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"disabledExtensions": {"@rsql/lab": True}}))
    try:
        page = panel_lab.Page(town.browser, town.lab, town.folder, "bare", ["%load_ext rsql_magic"])
    finally:
        config.unlink()
    yield panel_lab.Side(page)
    page.close()


def fix(side, provider, language):
    """Have the cell corrected, and run what came of it."""
    code, wrong, right, prints = FAILS[language]
    provider.answers["Fix"] = (f"It was {wrong}.\n\n```{language}\n{mended(code, wrong, right)}\n```", 0.0)
    cells = side.page.locator(".jp-Notebook .jp-CodeCell")
    failed = side.cell(code)
    place = cells.count() - 1
    asked = side.cell("%ask fix")
    below = cells.nth(place + 1)
    expect(below.locator(".cm-content")).to_contain_text(right)
    assert below.locator(".cm-line").all_text_contents() == code.replace(wrong, right).splitlines()
    lines = [line for line in code.splitlines() if wrong in line]
    diff = asked.locator(".rsql-code", has_text="Change")
    expect(diff.locator("del")).to_have_text([f"-{line}" for line in lines])
    expect(diff.locator("ins")).to_have_text([f"+{line.replace(wrong, right)}" for line in lines])
    grounds = [diff.locator(tag).evaluate("(line) => getComputedStyle(line).backgroundColor") for tag in ("del", "ins")]
    assert len({*grounds, "rgba(0, 0, 0, 0)"}) == 3
    diff.scroll_into_view_if_needed()
    panel_lab.accessible(side.page, ".jp-OutputArea-output:has(ins)")
    # Nothing was run, and the cell that failed is as it was.
    expect(below.locator(".jp-InputPrompt")).to_have_text("[ ]:")
    expect(below.locator(".jp-OutputArea-output")).to_have_count(0)
    assert failed.locator(".cm-line").all_text_contents() == code.splitlines()
    expect(side.sidebar).to_have_count(0)
    below.locator(".cm-content").click()
    side.page.keyboard.press("Shift+Enter")
    below.locator(".jp-OutputArea-output", has_text=prints).wait_for()


@pytest.mark.parametrize("language", FAILS)
def test_the_corrected_cell_stands_below_with_its_diff_and_runs_when_told(side, town, language):
    fix(side, town.provider, language)


def test_it_needs_no_extension(bare, town):
    assert not bare.page.evaluate(COMMANDS)
    fix(bare, town.provider, "python")
    expect(bare.under).to_have_count(0)
    assert bare.notebook.errors == []
