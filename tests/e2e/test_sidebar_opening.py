"""How the sidebar is opened, by keyboard and from where it is found, and what is asked about from there."""

from __future__ import annotations

import re

import pytest
from e2e import panel_lab
from playwright.sync_api import expect


@pytest.fixture(scope="module")
def side(town):
    side = panel_lab.Side(town.page("jupyterlab", "opening", ["price = 1"]))
    yield side
    assert side.notebook.errors == []


@pytest.fixture(autouse=True)
def closed(side):
    """The sidebar is closed, the box empty, and the keyboard in a cell."""
    side.open()
    side.box.fill("")
    side.command("application:toggle-right-area")
    side.sidebar.wait_for(state="hidden")
    side.page.locator(".jp-Notebook .jp-Cell .cm-content").last.click()


def status(side):
    return side.page.get_by_role("button", name=re.compile("^Chat about the notebook"))


def close_tab(side, name):
    side.page.locator(".lm-TabBar-tab.lm-mod-current", has_text=name).locator(".lm-TabBar-tabCloseIcon").click()


def by_the_palette(side):
    side.page.keyboard.press("Control+Shift+C")
    side.page.locator(".jp-ModalCommandPalette input").fill("chat about the notebook")
    side.page.locator(".lm-CommandPalette-itemLabel", has_text="Chat About the Notebook").wait_for()
    side.page.keyboard.press("Enter")


def by_the_launcher(side):
    side.command("launcher:create")
    side.page.locator(".jp-LauncherCard", has_text="Chat About the Notebook").click()


OPENED = {
    "keys": lambda side: side.page.keyboard.press("Alt+Shift+A"),
    "status": lambda side: status(side).click(),
    "palette": by_the_palette,
    "launcher": by_the_launcher,
}


@pytest.mark.parametrize("way", OPENED)
def test_who_opens_it_types_a_question_at_once(side, way):
    OPENED[way](side)
    expect(side.box).to_be_focused()
    side.page.keyboard.type("Is it open?")
    expect(side.box).to_have_value("Is it open?")
    if way == "launcher":
        close_tab(side, "Launcher")


# A notebook that is activated takes the keyboard some frames later once more.
BACK = """() => new Promise((resolve) => {
  const look = (frames) => {
    if (!document.activeElement.closest(".jp-Notebook")) resolve(false);
    else if (frames) requestAnimationFrame(() => look(frames - 1));
    else resolve(true);
  };
  look(5);
})"""


def test_the_same_keys_go_back_to_the_cell(side):
    cell = side.page.locator(".jp-Notebook .jp-Cell .cm-content").last
    for _ in range(2):
        side.page.keyboard.press("Alt+Shift+A")
        expect(side.box).to_be_focused()
        side.page.keyboard.press("Alt+Shift+A")
        side.page.wait_for_function(BACK)
    side.page.keyboard.press("Enter")
    expect(cell).to_be_focused()


def test_what_opens_by_itself_leaves_the_keyboard_where_it_is(side):
    """For an explanation, and with the area that it stands in, as JupyterLab's layout does."""
    cell = side.cell("1 / 0")
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Alt+Shift+E")
    side.turns.last.locator(".rsql-bar").wait_for()
    expect(cell.locator(".cm-content")).to_be_focused()
    for state in ("hidden", "visible"):
        side.command("application:toggle-right-area")
        side.sidebar.wait_for(state=state)
    side.turns.last.locator(".rsql-bar").wait_for()
    assert not side.page.evaluate("document.querySelector('.rsql-sidebar').contains(document.activeElement)")


SHOWS = """\
import pandas as pd
def shows(table):
    print("words and `ticks`")
    display(table)
    raise ValueError("three @words `here`")
shows(pd.DataFrame({"city": ["Ulm", "Aalen"], "n": [1, 2]}))"""


def by_the_menu(side, node):
    node.click(button="right")
    side.page.locator(".lm-Menu").get_by_text("Ask About the Selection", exact=True).click()


def by_keys(side, _):
    side.page.keyboard.press("Alt+Shift+S")


def test_what_is_selected_in_an_output_is_asked_about(side):
    cell = side.cell(SHOWS)
    outputs = cell.locator(".jp-OutputArea-output")
    last_line = outputs.last.locator("pre > span").last
    for node, clicks, ask, asked in (
        (last_line, 3, by_keys, "ValueError: three @words `here`"),
        (outputs.nth(1).get_by_text("Aalen"), 2, by_the_menu, "Aalen"),
        (outputs.nth(1).get_by_text("Aalen"), 3, by_keys, "Aalen"),
        (outputs.first.locator("pre"), 3, by_the_menu, "words and `ticks`"),
    ):
        node.click(click_count=clicks)
        ask(side, node)
        expect(side.box).to_have_value(f"\n```output\n{asked}\n```\n")
        expect(side.box).to_be_focused()
        side.box.fill("")
    # Of what is selected elsewhere, and where nothing is, the cell is asked about.
    cell.locator(".cm-content").click()
    by_keys(side, cell)
    expect(side.box).to_have_value(f"\n```\n{SHOWS}\n```\n")
    side.box.fill("")
    last_line.click(click_count=3)
    side.page.locator(".jp-Notebook .jp-Cell .jp-InputPrompt").first.click()
    by_keys(side, cell)
    expect(side.box).to_have_value("\n```\nprice = 1\n```\n")


HOLDS = """\
import duckdb, pandas as pd
sales = pd.DataFrame({"region": ["N", "S"], "amount": [1.0, None]})
shop = duckdb.connect()
shop.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, status VARCHAR)")
shop.sql("INSERT INTO orders VALUES (1, 'open'), (2, 'sent'), (3, 'sent')")"""
BY_STATUS = "```sql\nSELECT status, count(*) AS n FROM orders GROUP BY status ORDER BY n DESC\n```"


def test_an_empty_conversation_offers_three_questions_about_what_is_there(town):
    side = panel_lab.Side(town.page("notebook", "offers", [HOLDS]))
    town.provider.answers |= {"Number of orders": (BY_STATUS, 0.0), "Explain the last": ("It is `region`.", 0.0)}
    side.open()
    asked = len(town.provider.asked)

    def offers():
        side.sidebar.get_by_role("button", name="New conversation").first.click()
        offered = side.sidebar.get_by_role("group", name="Questions to begin with").get_by_role("button")
        expect(offered).to_have_count(3)
        return offered

    of_tables = "Number of orders by status, highest first, as a bar chart"
    of_frames = "Describe @sales. Which columns have missing values?"
    more_of_frames = "What is the mean of amount in @sales by region?"
    expect(offers()).to_have_text([of_frames, f"/sql shop {of_tables}", more_of_frames])
    panel_lab.accessible(side.page, ".rsql-sidebar")
    assert len(town.provider.asked) == asked  # no model made them
    offers().nth(1).click()
    turn = side.turns.last
    expect(turn.locator("td")).to_have_text(["sent", "2", "open", "1"])
    expect(turn).to_contain_text(of_tables)
    side.cell("sales['regoin']")
    offered = offers()
    expect(offered).to_have_text(["Explain the last error", of_frames, f"/sql {of_tables}"])
    offered.first.press("Enter")
    expect(side.turns.last).to_contain_text("It is region.")
    assert "regoin" in town.provider.asked[-1]["messages"][-1]["content"]


def test_it_is_in_the_menu_of_a_cell_and_what_is_turned_off_in_the_settings_goes_at_once(side):
    cell = side.cell("1 / 0")
    side.button("Explain this error", cell).wait_for()
    cell.locator(".jp-OutputArea-output").click(button="right")
    menu = side.page.locator(".lm-Menu")
    for label in ("Ask About the Selection", "Change the Selection or Cell …", "Explain the Error", "Fix the Error"):
        menu.get_by_text(label, exact=True).wait_for()
    side.page.keyboard.press("Escape")
    opened = "window.jupyterapp.commands.execute('settingeditor:open', { query: 'rsql' })"
    side.page.evaluate(f"() => {{ {opened}; }}")
    for setting, shown in (
        ("Buttons under errors", cell.locator(".rsql-under button", has_text="Explain")),
        ("Item in the status bar", status(side)),
    ):
        box = side.page.get_by_label(setting)
        box.uncheck()
        expect(shown).to_have_count(0)
        box.check()
        expect(shown).to_have_count(1)
    close_tab(side, "Settings")
