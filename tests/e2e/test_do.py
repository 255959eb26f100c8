"""The assistant changes a notebook: proposed, decided, run, told again, undone; in a real JupyterLab."""

from __future__ import annotations

import pytest
from e2e import panel_lab
from playwright.sync_api import expect

SETUP = (
    "%load_ext rsql_magic\nimport pandas as pd\nsales = pd.DataFrame({'region': ['N', 'S', 'N'], 'amount': [1, 2, 3]})"
)
WRONG = "print(sales.groupby('regoin').amount.sum())"
RIGHT = "print(sales.groupby('region').amount.sum())"
PANEL = "import rsql_magic\nrsql_magic.ChatPanel()"
PROPOSAL = f"""\
The column is called region.

### edit cell 2: the column is called region
```python
{RIGHT}
```

### new cell after 2: keeps the sums in a file
```python
sales.to_csv('sums.csv')
```

### new cell after 2: the largest amount
```python
sales.amount.max()
```
"""
AGAIN = """\
One more.

### new cell after 3: the smallest amount
```python
sales.amount.min()
```
"""
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
DRAWS = f"""\
A dot.

### new cell after 2: a dot
```python
import base64
from IPython.display import Image
Image(base64.b64decode('{DOT}'), format='png')
```
"""
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"


class Doing:
    """A notebook with a panel, and the changes that are proposed last."""

    def __init__(self, page):
        self.notebook, self.page, self.panel = page, page.page, page.panel
        self.cells = self.page.locator(".jp-Notebook .jp-Cell")

    def do(self, text):
        does = self.button("Do it in the notebook instead of answering")
        if does.get_attribute("aria-pressed") == "false":
            does.click()
        return self.notebook.ask(text)

    @property
    def set(self):
        return self.panel.locator(".rsql-changes").last

    def change(self, title):
        return self.set.get_by_role("group", name=title, exact=True)

    def button(self, name):
        return self.panel.get_by_role("button", name=name, exact=True)

    def bytes(self):
        self.page.evaluate(SAVE)
        self.page.wait_for_function(SAVED)
        return next(self.notebook.folder.glob("do_*.ipynb")).read_bytes()


@pytest.fixture(scope="module")
def doing(town):
    page = town.page("jupyterlab", "do", [SETUP, WRONG, PANEL])
    page.panel.wait_for()
    doing = Doing(page)
    yield doing
    assert page.errors == []


def test_a_task_becomes_changes_that_are_decided_run_told_again_and_undone(doing, town):
    town.provider.answers |= {"task was": (AGAIN, 0.0), "Mend the sums": (PROPOSAL, 0.0)}
    before = doing.bytes()
    turn = doing.do("Mend the sums")
    # Each change has its diff and its reason; the budget is shown.
    edit = doing.change("Change 1: Edit cell 2")
    expect(edit).to_contain_text("the column is called region")
    edit.locator("del", has_text="regoin").wait_for()
    edit.locator("ins", has_text="region").wait_for()
    expect(turn.locator(".rsql-budget")).to_contain_text("1 of 12 calls")
    # What would write a file is left out as long as it has no yes of its own.
    writes = doing.change("Change 2: New cell after 2")
    expect(writes).to_contain_text("writes or deletes files: sales.to_csv")
    expect(writes).to_contain_text("It needs a yes of its own")
    doing.button("Apply 2 of 3 and run").wait_for()
    panel_lab.accessible(doing.page, ".rsql-panel")
    doing.set.screenshot(path=panel_lab.SCREENSHOTS / "do_proposed.png")
    count = doing.cells.count()
    # By the keyboard alone: from the change to the button.
    writes.get_by_label("Yes, this cell may do that.").focus()
    doing.page.keyboard.press("Space")
    doing.button("Apply and run").focus()
    doing.page.keyboard.press("Enter")
    # The cells are run in their order, and what they gave goes back.
    expect(doing.cells).to_have_count(count + 2)
    expect(doing.cells.nth(1).locator(".jp-OutputArea-output").first).to_contain_text("N    4")
    expect(doing.cells.nth(3).locator(".jp-OutputArea-output").first).to_contain_text("3")
    doing.change("Change 1: New cell after 3").wait_for(timeout=30_000)
    assert (doing.notebook.folder / "sums.csv").exists()
    told = town.provider.asked[-1]["messages"][-1]["content"]
    assert "Edit cell 2 (the column is called region): applied" in told
    assert "it ran" in told
    assert "region" not in told.partition('<data kind="result"')[2].partition("</data")[0]  # at stats no output leaves
    # Rejected, the rest of the turn changes nothing; undo restores the file's bytes.
    doing.button("Reject all").click()
    doing.panel.locator(".rsql-changes").first.get_by_role("button", name="Undo", exact=True).click()
    doing.panel.get_by_text("The notebook is as it was.").wait_for()
    expect(doing.cells).to_have_count(count)
    assert doing.bytes() == before


def test_pictures_that_the_cells_drew_are_files_of_the_conversation(doing, town):
    town.provider.answers |= {"Draw a dot": (DRAWS, 0.0)}
    doing.do("Draw a dot")
    doing.button("Apply and run").click()
    doing.panel.get_by_text("The cells have run.").last.wait_for()
    doing.panel.get_by_label("More").click()
    doing.panel.get_by_text("Files of this conversation").click()
    files = doing.panel.get_by_role("dialog", name="Files of this conversation")
    files.get_by_role("button", name="Open draw-a-dot-1.png", exact=True).click()
    shown = doing.panel.get_by_role("dialog", name="draw-a-dot-1.png").get_by_role("img")
    assert shown.get_attribute("src") == f"data:image/png;base64,{DOT}"
    doing.page.keyboard.press("Escape")
    doing.button("Undo").last.click()
    doing.panel.get_by_text("The notebook is as it was.").last.wait_for()


def test_an_edit_meanwhile_is_no_longer_fit_and_undo_leaves_what_was_changed_by_hand(doing, town):
    town.provider.answers |= {"Mend the sums": (PROPOSAL, 0.0)}
    doing.do("Mend the sums once more")
    doing.button("Apply 2 of 3").wait_for()
    cell = doing.cells.nth(1)
    cell.locator(".cm-content").click()
    doing.page.keyboard.press("Control+End")
    doing.page.keyboard.insert_text("  # mine")
    expect(doing.change("Change 1: Edit cell 2")).to_contain_text("it no longer fits")
    doing.change("Change 2: New cell after 2").get_by_label("Yes, this cell may do that.").check()
    count = doing.cells.count()
    doing.button("Apply 2 of 3").click()
    expect(doing.cells).to_have_count(count + 2)
    expect(doing.change("Change 1: Edit cell 2")).to_contain_text("it no longer fits")
    made = doing.cells.nth(3)
    expect(made.locator(".cm-content")).to_have_text("sales.amount.max()")
    made.locator(".cm-content").click()
    doing.page.keyboard.press("Control+End")
    doing.page.keyboard.insert_text("  # mine too")
    doing.button("Undo").click()
    doing.panel.get_by_text("The notebook was changed by hand since; this stays as it is: New cell after 2.").wait_for()
    expect(doing.cells).to_have_count(count + 1)
    expect(doing.cells.nth(2).locator(".cm-content")).to_have_text("sales.amount.max()  # mine too")


SNEAKY = """\
### new cell after 1: reads what is there
```python
getattr(sales, 'ot_csv'.replace('ot', 'to'))('sneaky.csv')
```

### new cell after 1: waits
```python
import time
time.sleep(60)
```
"""


def test_what_was_not_seen_is_caught_when_it_runs_and_stop_stops_a_cell(doing, town):
    town.provider.answers |= {"Sneak": (SNEAKY, 0.0), "task was": ("Enough.", 0.0)}
    doing.do("Sneak something in")
    sneaky = doing.change("Change 1: New cell after 1")
    expect(sneaky).to_contain_text("does what cannot be told from its code")
    sneaky.get_by_label("Yes, this cell may do that.").check()
    doing.change("Change 2: New cell after 1").get_by_role("checkbox").first.uncheck()
    doing.button("Apply 1 of 2 and run").click()
    doing.set.get_by_text("NotAgreed: This cell would write to a file (sneaky.csv)").wait_for()
    assert not (doing.notebook.folder / "sneaky.csv").exists()
    doing.panel.get_by_text("Enough.").wait_for()
    expect(doing.change("Change 2: New cell after 1")).to_contain_text("Rejected.")  # it was left out
    # Stop ends a running cell, and nothing goes back.
    asked = len(town.provider.asked)
    doing.do("Sneak in something else")
    doing.change("Change 1: New cell after 1").get_by_role("checkbox").first.uncheck()
    doing.button("Apply 1 of 2 and run").click()
    doing.set.get_by_role("button", name="Stop", exact=True).click()
    doing.set.get_by_text("Stopped.").wait_for()
    expect(doing.cells.nth(1).locator(".cm-content")).to_contain_text("time.sleep(60)")
    doing.button("Send the results").last.wait_for()
    assert len(town.provider.asked) == asked + 1


def test_beside_the_notebook_it_is_the_same(doing, town):
    """The sidebar has the same view; it changes the same cells."""
    town.provider.answers |= {"task was": ("Enough.", 0.0), "beside": (AGAIN.replace("after 3", "after 1"), 0.0)}
    side = beside(doing)
    side.get_by_role("button", name="Do it in the notebook instead of answering", exact=True).click()
    side.get_by_label("Message", exact=True).fill("Do it beside")
    side.get_by_label("Message", exact=True).press("Enter")
    before = doing.cells.count()
    made = side.locator(".rsql-changes").last
    made.get_by_role("button", name="Apply and run", exact=True).click()
    expect(doing.cells).to_have_count(before + 1)
    made.get_by_text("The cells have run.").wait_for()
    expect(doing.cells.nth(1).locator(".jp-OutputArea-output").first).to_contain_text("1")
    made.get_by_role("button", name="Undo", exact=True).click()
    expect(doing.cells).to_have_count(before)


def test_changes_are_taken_back_after_a_reload_where_the_notebook_is_still_as_they_left_it(doing, town):
    town.provider.answers |= {"task was": ("Enough.", 0.0), "beside": (AGAIN.replace("after 3", "after 1"), 0.0)}
    before, count = doing.bytes(), doing.cells.count()

    def applied_and_reloaded(changed=""):
        side = beside(doing)
        does = side.get_by_role("button", name="Do it in the notebook instead of answering", exact=True)
        if does.get_attribute("aria-pressed") == "false":
            does.click()
        side.get_by_label("Message", exact=True).fill("Do it beside once more")
        side.get_by_label("Message", exact=True).press("Enter")
        side.locator(".rsql-changes").last.get_by_role("button", name="Apply", exact=True).click()
        expect(doing.cells).to_have_count(count + 1)
        side.locator(".rsql-changes").last.get_by_role("button", name="Undo", exact=True).wait_for()
        if changed:
            doing.cells.nth(1).locator(".cm-content").click()
            doing.page.keyboard.press("Control+End")
            doing.page.keyboard.insert_text(changed)
        doing.bytes()  # saved
        doing.page.reload()
        doing.page.wait_for_function(panel_lab.CONNECTED, timeout=60_000)
        return beside(doing).locator(".rsql-changes").last

    made = applied_and_reloaded()
    made.get_by_role("button", name="Undo", exact=True).click()
    made.get_by_text("The notebook is as it was.").wait_for()
    expect(doing.cells).to_have_count(count)
    assert doing.bytes() == before
    made = applied_and_reloaded("  # mine")
    made.get_by_text("This can no longer be taken back: its cells have changed since").wait_for()
    expect(made.get_by_role("button", name="Undo", exact=True)).to_have_count(0)


def beside(doing):
    doing.page.evaluate("() => { window.jupyterapp.commands.execute('rsql:open'); }")
    side = doing.page.locator(".rsql-sidebar .rsql-panel")
    side.wait_for()
    return side
