"""Study sets in JupyterLab: made in a cell, opened in the panel's files, put into the notebook, practised, kept."""

from __future__ import annotations

import json
import re
import time

import pytest
from e2e import panel_lab, xss
from playwright.sync_api import expect

DAY = 86_400
CARDS = {
    "title": "Means",
    "items": [
        {"front": "What is the mean of `c(1, 5)`?", "back": "It is $\\bar x = 3$, by `mean(c(1, 5))`."},
        {"front": "And the median?", "back": "The middle value."},
    ],
}
QUIZ = {
    "title": "Joins",
    "items": [{"question": "Which keeps rows?", "choices": ["`a`", "b " * 90], "answer": 1, "explanation": "It does."}],
}
EXAM = {"title": "Sums", "items": [{"task": "Add `1` and 1.", "points": 1, "solution": "Use `+`."}]}


@pytest.fixture(scope="module")
def side(town):
    side = panel_lab.Side(town.page("jupyterlab", "study", ["%load_ext rsql_magic"]))
    yield side
    assert side.notebook.errors == []


@pytest.fixture
def provider(town):
    with panel_lab.answers_of_a_test(town.provider) as provider:
        yield provider


def made(side, provider, kind, sheet):
    """A study set that a cell makes, and the cell."""
    provider.answers[f"{kind} about"] = (json.dumps(sheet), 0.0)
    cell = side.cell(f"%%ask --as {kind}\n{sheet['title'][:40]}")
    cell.locator(".rsql-study").wait_for()
    return cell


def open_files(side):
    """The list of what the conversation made."""
    side.open()
    side.button("More", side.sidebar).click()
    side.sidebar.get_by_role("menuitem", name="Files of this conversation", exact=True).click()
    return side.sidebar.get_by_role("dialog", name="Files of this conversation")


def run(side, cell):
    """Run a cell; an empty one follows the last."""
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Shift+Enter")


def of_file(files, what, name):
    return files.get_by_role("button", name=re.compile(rf"^{what} {name}"))


def opened(side, name):
    """The dialog of a file that is opened from the list."""
    of_file(open_files(side), "Open", name).click()
    return side.sidebar.get_by_role("dialog").filter(has=side.page.locator(".rsql-study"))


def day(days):
    return time.strftime("%Y-%m-%d", time.localtime(time.time() + days * DAY))


def press(side, name, within):
    """Reach a button by Tab and press Enter."""
    target = side.button(name, within)
    for _ in range(40):
        if target.evaluate("(node) => node === document.activeElement"):
            break
        side.page.keyboard.press("Tab")
    expect(target).to_be_focused()
    side.page.keyboard.press("Enter")


def test_a_set_from_the_files_is_practised_in_a_cell_and_its_date_moves(side, provider):
    made(side, provider, "flashcards", CARDS)
    files = open_files(side)
    of_file(files, "Insert", "means").click()
    cell = side.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text="rsql_magic.artifact(").last
    run(side, cell)
    study = cell.locator(".rsql-study")
    expect(study).to_contain_text("What is the mean of c(1, 5)?")
    expect(study.locator("code")).to_have_text("c(1, 5)")
    expect(study).to_contain_text("1 of 2, 0 known; 2 due now")
    study.evaluate("(node) => node.setAttribute('id', 'practised')")
    panel_lab.accessible(side.page, "#practised")
    side.button("Back", study).focus()
    press(side, "Flip", study)
    expect(study.locator("mjx-container")).to_have_count(1)  # the formula
    expect(study).to_contain_text("mean(c(1, 5))")
    panel_lab.accessible(side.page, "#practised")
    press(side, "I knew it", study)
    expect(study).to_contain_text("2 of 2, 1 known; the last one again tomorrow")
    expect(study).to_contain_text("And the median?")
    # Opened in the panel it stands as the cell left it.
    sheet = opened(side, "means")
    expect(sheet.get_by_role("status")).to_have_text("1 of 2 known, 1 due now")
    expect(sheet.locator("li").first).to_contain_text("And the median?")  # what is due comes first
    expect(sheet).not_to_contain_text("The middle value.")
    expect(sheet.locator("math")).to_have_count(0)
    panel_lab.accessible(side.page, ".rsql-sheet")
    expect(side.button("Show answer 1", sheet)).to_be_focused()
    side.page.keyboard.press("Enter")
    expect(sheet).to_contain_text("The middle value.")
    panel_lab.accessible(side.page, ".rsql-sheet")
    press(side, "Not yet: 1", sheet)
    expect(sheet.locator("li").first).to_contain_text("again tomorrow")
    expect(sheet.get_by_role("status")).to_have_text(f"1 of 2 known, the next is due on {day(1)}")
    press(side, "Show answer 2", sheet)
    expect(sheet.locator("math")).to_have_count(1)
    side.page.keyboard.press("Escape")
    # And the cell, run again, as the panel left it.
    run(side, cell)
    expect(study).to_contain_text(f"1 of 2, 1 known; the next is due on {day(1)}")


def test_a_set_is_dragged_into_a_cell(side, provider):
    made(side, provider, "flashcards", CARDS | {"title": "Dragged"})
    files = open_files(side)
    cells = side.page.locator(".jp-Notebook .jp-CodeCell")
    cell = cells.nth(cells.count() - 1)
    row = files.locator("li").filter(has_text="dragged.flashcards.json")
    cell.locator(".cm-content").evaluate(panel_lab.DROPPED_ON, row.element_handle())
    side.button("Close", files).click()
    run(side, cell)
    expect(cell.locator(".rsql-study h3")).to_have_text("Dragged")


CUT_OFF = """(node) => [...node.querySelectorAll("*")]
  .filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1)
  .filter((one) => getComputedStyle(one).overflowX !== "visible")
  .map((one) => `${one.className}: ${one.textContent.trim().slice(0, 40)}`)"""


THEME = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme }).then(() => null)"


@pytest.mark.parametrize(("kind", "sheet"), [("flashcards", CARDS), ("quiz", QUIZ), ("exam", EXAM)])
def test_no_word_of_a_set_is_cut_off_in_a_narrow_cell(side, provider, kind, sheet):
    cell = made(side, provider, kind, sheet)
    study = cell.locator(".rsql-study")
    study.evaluate("(node) => node.setAttribute('id', 'narrow')")
    if kind == "exam":
        side.page.get_by_text("Solution").last.click()
        expect(study).to_contain_text("Use +.")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        side.page.evaluate(THEME, theme)
        expect(side.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
        for width in (700, 300, 200):
            study.evaluate("(node, width) => { node.style.width = `${width}px`; }", width)
            assert study.evaluate(CUT_OFF) == [], width
        panel_lab.accessible(side.page, "#narrow")
    study.evaluate("(node) => node.removeAttribute('id')")


def test_hostile_words_in_a_set_do_nothing(side, provider):
    """In the title, the cards, the quiz and the exam of a cell, and where the panel opens them."""
    asked = []
    side.page.on("request", lambda request: asked.append(request.url))
    words = [text.replace("\n\n", "\n") for text in xss.STRINGS]  # which fit into one item of a list
    for number, start in enumerate(range(0, len(words), 30)):
        some = words[start : start + 30]
        title = f"Hostile {number} {some[0]}"
        quiz = [{"question": t, "choices": [t, f"{t} no"], "answer": 0, "explanation": t} for t in some]
        cell = made(side, provider, "quiz", {"title": title, "items": quiz})
        side.button("Score", cell).click()
        expect(cell).to_contain_text(f"0 of {len(some)} right")
        harmless(side, cell)
        sheet = opened(side, f"hostile-{number}.*quiz")
        sheet.evaluate("(node) => node.querySelectorAll('.rsql-study button').forEach((each) => each.click())")
        expect(sheet.locator(".rsql-shown")).to_have_count(len(some))
        expect(sheet.locator(".rsql-shown .rsql-said").last).not_to_be_empty()
        assert side.page.evaluate(xss.INSPECTED, ".rsql-sheet *") == []
        side.button("Close", sheet).click()
    exam = [{"task": text, "points": 1, "solution": text} for text in words[:30]]
    harmless(side, made(side, provider, "exam", {"title": words[0], "items": exam}))
    cards = [{"front": text, "back": f"{text}\n\nAnswer"} for text in words[:8]]
    cell = made(side, provider, "flashcards", {"title": words[1], "items": cards})
    for place in range(8):
        expect(cell).to_contain_text(f"{place + 1} of 8")
        harmless(side, cell)
        side.button("Flip", cell).click()
        expect(cell).to_contain_text("Answer")
        harmless(side, cell)
        side.button("Next", cell).click()
    assert side.page.evaluate("window.hacked") is None
    own = (side.notebook.lab, side.notebook.lab.replace("http", "ws"), "data:", "blob:")
    assert [url for url in asked if not url.startswith(own)] == []


def harmless(side, cell):
    """Assert that the widget of a cell holds nothing that acts."""
    assert cell.locator(".rsql-study").evaluate(xss.ACTING) == []
