"""What is agreed to is what is shown, sign by sign, and what runs: *Fix*, and code in cards, in a real JupyterLab."""

from __future__ import annotations

import pytest
from e2e import panel_lab
from playwright.sync_api import expect

FAR = " " * 150
# Harmless code that shows less than it is: a mark that turns text, letters of Cyrillic, blanks before a call.
SHOWN = f"total = 1  # \u202e done\nrеsult = 2{FAR}; open('kept_by_fix.txt', 'w').write('x')\nprint(total, '\u200b')"
SOURCE_SHOWN = """(root) => {
  const text = (node) => node.dataset?.text !== undefined ? node.dataset.text
    : node.childNodes.length ? [...node.childNodes].map(text).join("") : node.textContent;
  return [...root.querySelectorAll("ins.rsql-line code")].map(text).join("\\n");
}"""
RUNS_OUT = "(node) => node.scrollWidth > node.clientWidth + 1"


@pytest.fixture(scope="module")
def side(town):
    side = panel_lab.Side(town.page("jupyterlab", "shown", ["%load_ext rsql_magic"]))
    yield side
    assert side.notebook.errors == []


@pytest.fixture
def provider(town):
    with panel_lab.answers_of_a_test(town.provider) as provider:
        yield provider


def last_input(side):
    cell = side.cell("print(ascii(In[-2]))")
    return cell.locator(".jp-OutputArea-output").text_content().strip()


def test_a_fix_shows_what_it_is_asks_for_what_it_does_and_runs_as_shown(side, provider, town):
    provider.answers["Fix"] = (f"Mended.\n\n```python\n{SHOWN}\n```", 0.0)
    cell = side.cell("1 / 0")
    side.button("Propose a fix of this cell", cell).click()
    side.diff.wait_for()
    assert side.diff.evaluate(SOURCE_SHOWN) == SHOWN
    expect(side.diff).to_contain_text("characters that cannot be seen, or change how others are shown: U+202E, U+200B")
    expect(side.diff).to_contain_text("letters that look like others, or are read as others: U+0435")
    expect(side.diff).to_contain_text("long runs of blanks")
    expect(side.diff.locator(".rsql-odd")).to_have_text(["U+202E", "U+0435", "␣×150", "U+200B"])
    assert not side.diff.locator(".rsql-lines").evaluate(RUNS_OUT)
    expect(side.diff.locator(".rsql-effects")).to_contain_text("open")
    expect(side.button("Accept the change and run the cell")).to_have_text("Accept and run anyway")
    panel_lab.accessible(side.page, ".rsql-under")
    side.button("Accept the change and run the cell").click()
    expect(cell.locator(".jp-OutputArea-output").last).to_contain_text("1")
    assert last_input(side) == ascii(SHOWN)
    assert (town.folder / "kept_by_fix.txt").exists()


def test_code_of_a_card_asks_in_the_card_and_what_it_shows_is_held(side, provider, town):
    shows = "HTML('<script>window.hacked=1</script>')"
    code = f"from IPython.display import HTML\nopen('kept_by_card.txt', 'w').close()\n{shows}"
    provider.answers["twice21"] = (f"So:\n\n```python\n{code}\n```", 0.0)
    asked = side.cell("%%ask\nWhat is twice21?")
    cells = side.page.locator(".jp-Notebook .jp-CodeCell")
    count = cells.count()
    side.button("Insert below as a cell and run it", asked).click()
    card = asked.locator(".rsql-code")
    expect(card.locator(".rsql-effects")).to_contain_text("open")
    expect(cells).to_have_count(count)  # nothing has happened
    side.button("Leave it", card).click()
    expect(card.locator(".rsql-effects")).to_have_count(0)
    assert not (town.folder / "kept_by_card.txt").exists()
    side.button("Insert below as a cell and run it", asked).click()
    side.button("Run the code, which does this", card).click()
    ran = cells.filter(has_text="kept_by_card").last
    ran.get_by_text("Shown without what could act in this page").wait_for()
    assert (town.folder / "kept_by_card.txt").exists()
    assert side.page.evaluate("window.hacked") is None
    ran.get_by_role("button", name="Show as the cell made it").click()
    side.page.wait_for_function("() => window.hacked === 1")
    expect(ran.get_by_role("button", name="Show as the cell made it")).to_have_count(0)
