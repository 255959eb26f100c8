"""The assistant changes a notebook: proposed, decided, run, told again, undone; in a real JupyterLab."""

from __future__ import annotations

import http.server
import json
import re
import sqlite3
import threading
from contextlib import closing, contextmanager

import pytest
from e2e import panel_lab
from playwright.sync_api import expect
from waiting import eventually

from rsql_magic.config import Rsql

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
CELLS = "() => window.jupyterapp.shell.currentWidget.context.model.sharedModel.cells.map((c) => [c.id, c.getSource()])"
LEAVE_ONLY = """(cells) => {
  const { sharedModel } = window.jupyterapp.shell.currentWidget.context.model;
  const sources = new Map(cells);
  for (let place = sharedModel.cells.length - 1; place >= 0; place -= 1) {
    const cell = sharedModel.cells[place];
    const source = sources.get(cell.id);
    if (source === undefined) sharedModel.deleteCell(place);
    else if (source !== cell.getSource()) cell.setSource(source);
  }
}"""
SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"


class Doing:
    """A notebook with a panel, and the changes that are proposed last."""

    def __init__(self, page):
        self.notebook, self.page, self.panel = page, page.page, page.panel
        self.cells = self.page.locator(".jp-Notebook .jp-Cell")
        self.first = self.page.evaluate(CELLS)

    def do(self, text):
        does = self.button("Do it in the notebook instead of answering")
        if does.get_attribute("aria-pressed") == "false":
            does.click()
        return self.notebook.ask(text)

    def write(self, text):
        """Type a task, without sending it."""
        does = self.button("Do it in the notebook instead of answering")
        if does.get_attribute("aria-pressed") == "false":
            does.click()
        self.panel.locator(panel_lab.SEND).wait_for()
        self.notebook.box.fill(text)

    @contextmanager
    def configured(self, **settings):
        """Have other settings, as a cell of the user's sets them."""

        def configure(values):
            self.notebook.type_cell("\n".join(f"%config Rsql.{name} = {value}" for name, value in values.items()))

        configure(settings)
        try:
            yield
        finally:
            configure({name: Rsql.class_traits()[name].default_value for name in settings})

    def apply_and_run(self):
        self.set.get_by_role("button", name="Apply and run", exact=True).click()

    def next_set(self):
        """Apply what is proposed, and wait for what is proposed after its results."""
        sets = self.panel.locator(".rsql-changes")
        count = sets.count()
        self.apply_and_run()
        expect(sets).to_have_count(count + 1)

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


@pytest.fixture(autouse=True)
def _anew(doing, town):
    """Each test has the notebook as it was in the beginning, a new conversation, and answers of its own."""
    doing.page.evaluate(LEAVE_ONLY, doing.first)
    doing.button("New conversation").click()
    doing.panel.locator(".rsql-welcome").wait_for()
    with panel_lab.answers_of_a_test(town.provider):
        yield


@pytest.mark.spine
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
    doing.change("Change 1: New cell after 3").wait_for()
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
    doing.set.get_by_label("Yes, this cell may do that.").check()  # pictures from bytes are on no list
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


FEW = """\
A cell.

### new cell after 1: counts
```python
6 * 7
```
"""


def test_a_task_is_looked_at_before_it_is_sent_and_rejected_leaves_the_file(doing, town):
    town.provider.answers |= {"Count them": (FEW, 0.0)}
    before, asked = doing.bytes(), len(town.provider.asked)
    doing.write("Count them")
    doing.button("Show exactly what would be sent").click()
    dialog = doing.panel.get_by_role("dialog")
    shown = dialog.locator("pre").text_content()
    assert "Count them" in shown
    assert WRONG in shown
    assert len(town.provider.asked) == asked
    dialog.get_by_label("Send exactly this").click()
    doing.button("Apply and run").wait_for()
    sent = town.provider.asked[-1]["messages"]
    assert shown == "\n\n".join(f"[{each['role']}]\n{each['content']}" for each in sent)
    doing.button("Reject all").click()
    expect(doing.change("Change 1: New cell after 1")).to_contain_text("Rejected.")
    assert doing.bytes() == before
    assert len(town.provider.asked) == asked + 1
    # Stopped while the model writes, the request ends as well.
    town.provider.answers |= {"Take your time": ("word " * 100, 0.5)}
    doing.write("Take your time")
    doing.page.keyboard.press("Enter")
    eventually(lambda: len(town.provider.asked) == asked + 2)
    doing.button("Stop").click()
    turn = doing.notebook.turns.last
    turn.get_by_text("Stopped before there was an answer.").wait_for()
    eventually(lambda: any("Take your time" in each for each in town.provider.hung_up))
    assert doing.bytes() == before
    assert len(town.provider.asked) == asked + 2


def test_results_go_back_so_many_times_and_then_it_says_that_it_stops(doing, town):
    town.provider.answers |= {"Count on": (FEW, 0.0)}
    with doing.configured(do_rounds=1):
        asked = len(town.provider.asked)
        doing.do("Count on")
        expect(doing.set).to_contain_text("What they give goes back to the assistant (1 of 1).")
        doing.next_set()
        expect(doing.set).to_contain_text("The assistant will not see what they give")
        panel_lab.accessible(doing.page, ".rsql-panel")
        doing.apply_and_run()
        stops = "The assistant stops here: results have gone back 1 of 1 times (Rsql.do_rounds)."
        doing.set.get_by_text(stops).wait_for()
        assert len(town.provider.asked) == asked + 2


def test_a_budget_is_shown_and_no_call_passes_it(doing, town, monkeypatch):
    town.provider.answers |= {"Count": (FEW, 0.0), "Ponder": ("word " * 100, 0.5)}
    spent = doing.notebook.turns.last.get_by_role("alert")
    used = doing.notebook.turns.last.locator(".rsql-budget")
    with doing.configured(do_calls=2):
        asked = len(town.provider.asked)
        doing.do("Count with two calls")
        doing.next_set()
        doing.apply_and_run()
        expect(spent).to_contain_text("The budget is used up")
        expect(spent).to_contain_text("This task has used its budget of calls of the model (2).")
        expect(spent).to_contain_text("%config Rsql.do_calls")
        # What is over cannot be tried again.
        expect(spent.get_by_role("button")).to_have_count(0)
        expect(doing.notebook.turns.last.get_by_label("Ask again")).to_have_count(0)
        expect(used).to_contain_text("Budget: 2 of 2 calls")
        assert len(town.provider.asked) == asked + 2
    with doing.configured(do_seconds=2.0):
        asked = len(town.provider.asked)
        doing.do("Ponder it")
        expect(spent).to_contain_text("This task has used its budget of time (2 s).")
        eventually(lambda: any("Ponder" in each for each in town.provider.hung_up))
        expect(used).to_contain_text("2 of 2 s")
        assert len(town.provider.asked) == asked + 1
    monkeypatch.setattr(town.provider, "prompt_tokens", 14_000)  # for $0.0084
    with doing.configured(do_budget=0.01):
        asked = len(town.provider.asked)
        doing.do("Count for a cent")
        doing.apply_and_run()
        expect(spent).to_contain_text("The budget of $0.01 does not reach for another answer: $0.0084 were spent.")
        expect(used).to_contain_text("1 of 12 calls")
        expect(used).to_contain_text("$0.0084 of $0.01")
        assert len(town.provider.asked) == asked + 1


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
    town.provider.answers |= {"task was": ("Enough.", 0.0), "Sneak": (SNEAKY, 0.0)}
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


TRIED = """\
### new cell after 1: keeps the sums in a file
```python
import os
total = int(sales.amount.sum())
sales.to_csv('tried.csv')
os.system('touch tried.txt')
print('wrote', os.path.getsize('tried.csv') > 0)
total
```

### new cell after 1: the same by a shell
```python
!touch tried.txt
```
"""
TRIED_IN_R = """\
### new cell after 1: keeps the sums in a file
```r
frame <- data.frame(a = 1:3)
write.csv(frame, "kept_by_r.csv")
try(system("touch tried.txt"), silent = TRUE)
sum(frame$a)
```
"""


def test_a_cell_is_tried_first_without_an_effect_and_the_yes_runs_it(doing, town):
    town.provider.answers |= {"task was": ("Enough.", 0.0), "Try": (TRIED, 0.0)}
    names = lambda: {each.name for each in doing.notebook.folder.iterdir()}  # noqa: E731
    before = names()
    count = doing.cells.count()
    doing.do("Try to keep the sums")
    change, by_shell = (doing.change(f"Change {number}: New cell after 1") for number in (1, 2))
    expect(by_shell.get_by_role("button", name=re.compile("^Try"))).to_be_disabled()
    expect(by_shell).to_contain_text("Only cells of plain Python and of R are tried")
    change.get_by_role("button", name=re.compile("^Try")).click()
    trial = change.locator(".rsql-trial")
    expect(trial).to_contain_text("nothing was changed")
    expect(trial.get_by_role("group", name="what it printed")).to_have_text("wrote True")
    expect(trial.get_by_role("group", name="its result")).to_have_text("6")
    expect(trial).to_contain_text("created tried.csv")
    expect(trial).to_contain_text("would start a program touch tried.txt")
    panel_lab.accessible(doing.page, ".rsql-panel")
    doing.set.screenshot(path=panel_lab.SCREENSHOTS / "do_tried.png")
    # Neither the notebook's folder nor the notebook has it, and it still needs its yes.
    assert names() - before == set()
    expect(doing.cells).to_have_count(count)
    change.get_by_label("Yes, this cell may do that.").check()
    doing.button("Apply 1 of 2 and run").click()
    doing.panel.get_by_text("Enough.").wait_for()
    assert {"tried.csv", "tried.txt"} <= names()


@pytest.mark.usefixtures("real_r")
def test_a_cell_of_r_is_tried_first_without_an_effect(doing, town):
    town.provider.answers |= {"task was": ("Enough.", 0.0), "Try in R": (TRIED_IN_R, 0.0)}
    before = {each.name for each in doing.notebook.folder.iterdir()}
    doing.do("Try in R to keep the sums")
    change = doing.change("Change 1: New cell after 1")
    change.get_by_role("button", name=re.compile("^Try")).click()
    trial = change.locator(".rsql-trial")
    expect(trial).to_contain_text("nothing was changed")
    expect(trial.get_by_role("group", name="what it printed")).to_contain_text("[1] 6")
    expect(trial).to_contain_text("created kept_by_r.csv")
    expect(trial).to_contain_text("would start a program touch tried.txt")
    assert {each.name for each in doing.notebook.folder.iterdir()} == before


PREPARED = """\
import os, pathlib, sqlite3
con = sqlite3.connect('shop.db')
con.execute('DROP TABLE IF EXISTS orders')
con.execute('CREATE TABLE orders (note TEXT)')
con.executemany('INSERT INTO orders VALUES (?)', [('old',)] * 9)
con.commit()
pathlib.Path('pip').write_text('#!/bin/sh\\necho > $2\\n')
pathlib.Path('pip').chmod(0o700)
pathlib.Path('pip.py').write_text('import sys; open(sys.argv[2], "w").close()')
os.environ['PATH'] = os.getcwd() + os.pathsep + os.environ['PATH']"""


def rows_of(doing):
    with closing(sqlite3.connect(doing.notebook.folder / "shop.db")) as con:
        return [note for (note,) in con.execute("SELECT note FROM orders")]


def query(number, sql):
    """A call of the tool that looks with a query, as a model makes it."""
    function = {"name": "query", "arguments": json.dumps({"sql": sql})}
    return {"tool_calls": [{"index": number, "id": f"call{number}", "type": "function", "function": function}]}


def test_queries_that_it_looks_with_run_under_the_guard(doing, town):
    town.provider.answers |= {
        "Look at": ([query(0, "DELETE FROM orders"), query(1, "SELECT note FROM orders")], 0.0),
        "SELECT note": ("It cannot be done.", 0.0),
        "How many": ("```sql\nSELECT count(*) FROM orders\n```", 0.0),
    }
    doing.notebook.type_cell(f"{PREPARED}\n%config Rsql.privacy = 'sample'")  # below it a model tries no query
    doing.notebook.ask("/sql con How many are there?")  # from now on it is the connection in use
    rows = rows_of(doing)
    turn = doing.do("Look at them")
    expect(turn).to_contain_text("It cannot be done.")
    expect(turn).to_contain_text("Looked first: query(")
    refused, read = [each["content"] for each in town.provider.asked[-1]["messages"] if each["role"] == "tool"]
    assert read.count("old") == 5
    assert "DELETE changes rows. Only a single query that reads may run here." in refused
    assert rows_of(doing) == rows
    doing.notebook.type_cell("%config Rsql.privacy = 'stats'")


# Cells that do more than compute, each with what it says of itself; what it does leaves its name.
IN_PYTHON = [
    ("writes or deletes files", "open('{name}', 'w').close()"),
    ("changes a database", "con.execute(\"INSERT INTO orders VALUES ('{name}')\")\ncon.commit()"),
    ("changes a database", "import duckdb\nduckdb.sql(\"COPY (SELECT 1) TO '{name}'\")"),
    ("installs packages", "%pip install {name}"),
    ("installs packages", "!pip install {name}"),
    ("runs programs", "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', '{name}'])"),
    ("runs programs", "!touch {name}"),
    ("runs programs", "%%bash\ntouch {name}"),
    ("runs programs", "import os\nos.system('touch {name}')"),
    ("uses the network", "import requests\nrequests.get('{url}/{name}')"),
    ("uses the network", "import httpx\nhttpx.get('{url}/{name}')"),
    ("uses the network", "from urllib.request import urlopen\nurlopen('{url}/{name}').close()"),
]
IN_R = [
    ("writes or deletes files", "writeLines('', '{name}')"),
    ("installs packages", "install.packages('none', lib = tempdir(), repos = '{url}/{name}')"),
    ("runs programs", "system('touch {name}')"),
    ("uses the network", "download.file('{url}/{name}', tempfile())"),
]


@pytest.fixture
def reached():
    """A web server; its URL, and the paths that were asked for."""

    class Notes(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.paths.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notes) as server:
        server.paths = []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def agreed_to_piece_by_piece(doing, town, reached, language, cells):
    """Approve a set of changes without, then with the yes that each cell needs; what has happened then."""
    names = [f"{language}-{number}" for number in range(len(cells))]
    sources = [code.format(name=name, url=reached.url) for name, (_, code) in zip(names, cells, strict=True)]
    blocks = [f"### new cell after 1: why\n```{language}\n{source}\n```\n" for source in [*sources, "6 * 7"]]
    town.provider.answers |= {"Agree": ("\n".join(blocks), 0.0)}
    count = doing.cells.count()

    def happened():
        done = " ".join([*reached.paths, *rows_of(doing), *(each.name for each in doing.notebook.folder.iterdir())])
        return [each for each in names if re.search(rf"\b{each}\b", done)]

    def change(number):
        return doing.set.locator(".rsql-diff").nth(number)

    sets = doing.panel.locator(".rsql-changes")
    before = sets.count()
    doing.do("Agree to all of it")
    expect(sets).to_have_count(before + 1)
    for number, (says, _) in enumerate(cells):
        expect(change(number)).to_contain_text(says)
    doing.set.get_by_role("button", name=f"Apply 1 of {len(blocks)} and run", exact=True).click()
    expect(sets).to_have_count(before + 2)
    assert happened() == []
    expect(doing.cells).to_have_count(count + 1)
    doing.set.scroll_into_view_if_needed()
    for number in range(len(cells)):
        change(number).get_by_label("Yes, this cell may do that.").check()
    doing.set.get_by_role("button", name="Apply and run", exact=True).click()
    expect(sets).to_have_count(before + 3)
    assert happened() == names


@pytest.mark.spine
def test_what_is_not_agreed_to_does_not_happen_though_the_set_is_approved(doing, town, reached):
    doing.notebook.type_cell(PREPARED)
    agreed_to_piece_by_piece(doing, town, reached, "python", IN_PYTHON)


def test_what_is_not_agreed_to_does_not_happen_in_r(doing, town, reached, real_r):
    doing.notebook.type_cell(f"{PREPARED}\n%load_ext rpy2.ipython", seconds=60)
    agreed_to_piece_by_piece(doing, town, reached, "r", IN_R)


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
    panel_lab.accessible(doing.page, ".rsql-panel")  # in the cell and beside it
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
        doing.page.wait_for_function(panel_lab.CONNECTED)
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
