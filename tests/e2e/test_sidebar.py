"""The panel beside the notebook, and help with errors below cells, in a real JupyterLab 4 and Notebook 7."""

from __future__ import annotations

import json
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest
from e2e import panel_lab, xss
from e2e.conftest import TOKEN
from playwright.sync_api import expect
from waiting import eventually

FLIGHTS = 'import pandas as pd\nflights = pd.DataFrame({"origin": ["JFK", "LGA", "EWR"], "n": [3, 2, 1]})'
MISSPELLED = "by_origin = flights['orign'].value_counts()\nprint(by_origin)"
MENDED = MISSPELLED.replace("orign", "origin")
FIX = f"The column is called `origin`.\n\n```python\n{MENDED}\n```"
FIRST_PAINT = """async () => {
  const begun = performance.now();
  const box = () => document.querySelector(".rsql-sidebar textarea")?.getBoundingClientRect().height;
  window.jupyterapp.commands.execute("rsql:open");
  while (!box() && performance.now() - begun < 10000) await new Promise(requestAnimationFrame);
  const drawn = performance.now() - begun;
  await new Promise(requestAnimationFrame);
  await new Promise((painted) => setTimeout(painted));
  return [drawn, performance.now() - begun];
}"""
SELECTED = "SELECT origin, n FROM flights"
# What happens in the sidebar: changes of its nodes, and messages to the kernel.
WATCH = """() => {
  window.done = 0;
  new MutationObserver((changes) => { window.done += changes.length; }).observe(
    document.querySelector(".rsql-sidebar"), { subtree: true, childList: true, characterData: true });
}"""


@pytest.fixture(scope="module")
def side(town):
    side = panel_lab.Side(town.page("jupyterlab", "beside", [FLIGHTS]))
    yield side
    assert side.notebook.errors == []


@pytest.fixture
def provider(town):
    with panel_lab.answers_of_a_test(town.provider) as provider:
        yield provider


def sent(provider):
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in provider.asked[-1]["messages"])


@pytest.mark.spine
def test_it_is_there_at_once_and_talks_about_the_notebook_beside_it(side, provider):
    drawn, painted = side.page.evaluate(FIRST_PAINT)
    print(f"the sidebar was drawn after {drawn:.0f} ms, and painted with the page after {painted:.0f} ms")
    assert drawn <= 200
    side.ask("How many rows has flights?")
    assert "3 rows × 2 columns" in provider.asked[-1]["messages"][-1]["content"]
    # The magics were loaded without a trace: the next cell has the next number.
    side.notebook.type_cell("[len(In), sorted(name for name in globals() if 'rsql' in name)]")
    side.page.locator(".jp-OutputArea-output", has_text="[3, []]").wait_for()
    status = side.page.get_by_role("button", name=re.compile("^Chat about the notebook"))
    expect(status).to_contain_text("of 100,000 left / day")


PLACE = re.compile("waiting for a free key: place [12], about")  # the first, where the others are somebody else's


@contextmanager
def all_places_taken(town):
    """The provider is busy with as many requests as it takes at once, and one more waits for it."""
    free = threading.Event()
    town.provider.answers["Hold"] = (lambda _: str(free.wait(60)), 0.0)
    begun = len(town.provider.asked)
    body = {"messages": [{"role": "user", "content": "Hold the line."}], "stream": True}
    ask = partial(httpx.post, f"{town.gateway}v1/chat/completions", json=body, timeout=90, trust_env=False)
    with ThreadPoolExecutor(9) as others:
        held = [others.submit(ask, headers={"Authorization": f"Bearer {TOKEN}"}) for _ in range(9)]
        try:
            eventually(lambda: len(town.provider.asked) == begun + 8)
            yield free.set
        finally:
            free.set()
        assert {each.result().status_code for each in held} == {200}


def test_who_waits_for_a_free_key_sees_the_place_in_the_status_bar(side, town, provider):
    provider.answers["Fix"] = (FIX, 0.0)
    cell = side.cell("1 / 0")
    status = side.page.get_by_role("button", name=re.compile("^Chat about the notebook"))
    with all_places_taken(town) as make_room:
        side.box.fill("When is it my turn?")
        side.box.press("Enter")
        expect(status).to_contain_text(re.compile(r"left / day · waiting: place [12]"))
        side.turns.last.get_by_text(PLACE).wait_for()
        make_room()
        side.turns.last.locator(".rsql-bar").wait_for()
        expect(status).not_to_contain_text("waiting")
    with all_places_taken(town) as make_room:
        side.button("Propose a fix of this cell", cell).click()
        cell.get_by_text(PLACE).wait_for()
        expect(status).to_contain_text("waiting: place")
        make_room()
        side.diff.wait_for()
        expect(status).not_to_contain_text("waiting")
    side.button("Accept the change and run the cell").click()  # no error is left for the tests after it
    expect(side.under.locator("button")).to_have_count(0)


def test_while_it_is_hidden_it_does_nothing(side, provider):
    provider.answers["slowly"] = ("word " * 200, 0.02)
    side.box.fill("Answer slowly, please")
    side.box.press("Enter")
    side.turns.last.filter(has_text="word word").wait_for()
    side.page.evaluate(WATCH)
    frames = []
    side.page.evaluate("window.jupyterapp.commands.execute('application:toggle-right-area')")
    side.sidebar.wait_for(state="hidden")
    side.page.wait_for_timeout(500)  # what had come before is drawn
    side.page.evaluate("window.done = 0")
    side.page.on("request", lambda request: frames.append(request.url))
    side.page.wait_for_timeout(2000)
    assert side.page.evaluate("window.done") == 0
    assert [url for url in frames if "rsql" in url] == []
    # Opened by the status bar, while a cell has the focus and gives it away; what came meanwhile is there.
    side.page.locator(".jp-Notebook .jp-Cell .cm-content").last.click()
    side.page.get_by_role("button", name=re.compile("^Chat about the notebook")).click()
    side.turns.last.locator(".rsql-bar").wait_for()


@pytest.mark.spine
def test_an_error_is_mended_when_told_and_what_is_sent_is_seen_before(side, provider):
    provider.answers["Fix"] = (FIX, 0.0)
    asked = len(provider.asked)
    cell = side.cell(MISSPELLED)
    side.button("Show exactly what would be sent").click()
    shown = side.under.locator(".rsql-sent pre")
    shown.filter(has_text="Fix the last error").wait_for()
    text = shown.text_content()
    assert MISSPELLED in text
    side.button("What Explain would send").click()
    shown.filter(has_text="Explain the last error").wait_for()
    side.button("What Fix would send").click()
    shown.filter(has_text="Fix the last error").wait_for()
    assert len(provider.asked) == asked  # nothing was sent yet
    side.button("Send exactly this").click()
    side.diff.wait_for()
    assert sent(provider) == text
    expect(side.diff.locator("del")).to_have_text("−by_origin = flights['orign'].value_counts()")
    expect(side.diff.locator("ins mark")).to_have_text("origin")
    expect(side.diff).to_contain_text("The column is called origin.")
    expect(cell.locator(".cm-content")).to_contain_text("orign")  # nothing has changed yet
    side.open()
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        side.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
        side.page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
        side.diff.scroll_into_view_if_needed()
        panel_lab.accessible(side.page, ".rsql-under")
        panel_lab.accessible(side.page, ".rsql-sidebar")
    # An edit under it.
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Control+End")
    side.page.keyboard.insert_text("\n# mine")
    side.diff.filter(has_text="it no longer fits").wait_for()
    expect(side.button("Accept the change")).to_be_disabled()
    side.button("Propose the change anew").click()
    expect(side.diff.locator("del")).to_have_count(2)
    side.button("Accept the change and run the cell").click()
    cell.locator(".jp-OutputArea-output", has_text="Name: count").wait_for()
    expect(side.under.locator("button")).to_have_count(0)
    expect(cell.locator(".cm-content")).to_contain_text("flights['origin']")
    expect(cell.locator(".cm-content")).not_to_contain_text("# mine")
    # It can be undone as any edit.
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Control+z")
    expect(cell.locator(".cm-content")).to_contain_text("# mine")


def test_the_keyboard_alone_explains_fixes_and_rejects(side, provider):
    provider.answers |= {"Fix": ("```python\nprint(2)\n```", 0.0), "Explain": ("It divides by zero.", 0.0)}
    cell = side.cell("print(1 / 0)")
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Alt+Shift+F")
    side.diff.wait_for()
    side.page.wait_for_function("document.activeElement.textContent === 'Accept'")
    side.page.keyboard.press("Escape")
    side.diff.wait_for(state="detached")
    expect(cell.locator(".cm-content")).to_have_text("print(1 / 0)")
    side.page.wait_for_function("document.activeElement.classList.contains('cm-content')")
    side.page.keyboard.press("Alt+Shift+E")
    turn = side.turns.filter(has_text="Explain the error of cell")
    turn.filter(has_text="It divides by zero.").wait_for()
    assert "ZeroDivisionError" in sent(provider)
    side.page.keyboard.press("Alt+Shift+A")
    side.notebook.type_cell("1")  # the notebook still takes keys


def test_the_buttons_of_a_long_traceback_stay_in_sight(side):
    cell = side.cell("raise ValueError('line\\n' * 200)")
    fix = side.button("Propose a fix of this cell", cell)
    fix.wait_for()
    cell.locator(".cm-content").click()
    cell.evaluate("cell => cell.scrollIntoView()")
    expect(fix).to_be_in_viewport(ratio=1)
    cell.evaluate("cell => cell.scrollIntoView(false)")
    expect(fix).to_be_in_viewport(ratio=1)


def test_errors_of_r_and_of_queries_are_mended_too(side, provider):
    provider.answers["Fix"] = ("```r\nsummary(1:3)\n```", 0.0)
    side.notebook.type_cell("%load_ext rpy2.ipython\n%load_ext sql\n%sql sqlite://", seconds=60)
    cell = side.cell("%%R\nsumary(1:3)")
    cell.get_by_role("button", name="Propose a fix of this cell").click()
    side.diff.wait_for()
    assert "sumary" in sent(provider)
    side.button("Accept the change and run the cell").click()
    cell.locator(".jp-OutputArea-output", has_text="Median").wait_for()
    expect(cell.locator(".cm-content")).to_contain_text("%%R")
    provider.answers["Fix"] = ("```sql\nSELECT 6 * 7 AS answer\n```", 0.0)
    cell = side.cell("%%sql\nSELEC 6 * 7 AS answer")
    cell.get_by_role("button", name="Propose a fix of this cell").click()
    side.diff.wait_for()
    side.button("Accept the change and run the cell").click()
    cell.locator(".jp-OutputArea-output", has_text="42").wait_for()
    expect(cell.locator(".cm-content")).to_contain_text("%%sql")


def test_a_selection_is_changed_as_told_and_asked_about(side, provider):
    provider.answers["make it double"] = ("Doubled.\n\n```python\ny = 2 * x\n```", 0.0)
    cell = side.cell("def f(x):\n    y = x\n    return y")
    cell.locator(".cm-line", has_text="y = x").click()
    side.page.keyboard.press("Home")
    side.page.keyboard.press("Shift+End")
    side.page.keyboard.press("Alt+Shift+C")
    side.under.get_by_label("What should change").fill("make it double")
    panel_lab.accessible(side.page, ".rsql-under:has(form)")
    side.page.keyboard.press("Enter")
    side.diff.wait_for()
    expect(side.diff.locator("ins")).to_have_text("+    y = 2 * x")
    side.button("Accept the change").click()
    expect(cell.locator(".cm-content")).to_contain_text("y = 2 * x")
    expect(cell.locator(".cm-content")).to_contain_text("return y")
    # In another language it is a cell of its own.
    provider.answers["to dplyr"] = ("```r\ny <- 2 * x\n```", 0.0)
    cell.locator(".cm-line", has_text="y = 2").click()
    side.page.keyboard.press("Home")
    side.page.keyboard.press("Shift+End")
    side.page.keyboard.press("Alt+Shift+C")
    side.under.get_by_label("What should change").fill("to dplyr")
    side.page.keyboard.press("Enter")
    side.diff.filter(has_text="A new cell below").wait_for()
    side.button("Accept the change").click()
    side.page.locator(".jp-CodeCell", has_text="y <- 2 * x").wait_for()
    cell.locator(".cm-line", has_text="y = 2").click()
    side.page.keyboard.press("Home")
    side.page.keyboard.press("Shift+End")
    side.page.keyboard.press("Alt+Shift+S")
    expect(side.box).to_have_value("\n```\n    y = 2 * x\n```\n")
    side.box.fill("")
    # A cell that never ran is found, too, and brings its source.
    shared = "window.jupyterapp.shell.currentWidget.content.model.sharedModel"
    side.page.evaluate(f"{shared}.insertCell(0, {{cell_type: 'code', source: 'unsold = 1\\nmore = 2'}}) && null")
    side.box.press_sequentially("#un")
    side.sidebar.get_by_role("option", name="unsold = 1").wait_for()
    # Typed faster than suggestions come: the key takes what fits all that was typed.
    side.box.evaluate(
        """box => {
            box.value += "so";
            box.dispatchEvent(new InputEvent("input"));
            box.dispatchEvent(new KeyboardEvent("keydown", {key: "Tab"}));
        }"""
    )
    expect(side.box).to_have_value("\n```\nunsold = 1\nmore = 2\n```\n")
    side.page.evaluate(f"{shared}.deleteCell(0)")
    side.box.fill("")


@pytest.mark.spine
def test_code_in_an_output_is_copied_inserted_and_run(side, provider):
    cards_are_used(side, provider)
    panel_lab.accessible(side.page, ".jp-OutputArea-output:has(.rsql-code)")


def cards_are_used(side, provider):
    """Copy, insert and run the code of cells, a part of it by keyboard alone."""
    query = f"```sql\n{SELECTED}\n```"
    provider.answers |= {"twice21": ("Multiply:\n\n```python\nprint(2 * 4711)\n```", 0.0), "selected": (query, 0.0)}
    cells = side.page.locator(".jp-Notebook .jp-CodeCell")
    side.cell(f"%load_ext rsql_magic\n{FLIGHTS}")
    asked = side.cell("%%ask\nWhat is twice21?")
    card = asked.locator(".rsql-code")
    expect(card.locator("pre")).to_have_text("print(2 * 4711)\n")
    side.button("Copy the code", card).click()
    card.locator(".rsql-done").wait_for()
    assert side.page.evaluate("navigator.clipboard.readText()") == "print(2 * 4711)"
    side.button("Insert below as a cell and run it", card).focus()
    side.page.keyboard.press("Enter")
    ran = cells.filter(has=side.page.locator(".jp-OutputArea-output", has_text="9422"))
    expect(ran.last.locator(".jp-OutputArea-output")).to_have_text("9422")
    drawn = side.cell("%%sql_ai frames\nWhat is selected?")
    expect(drawn.locator(".rsql-code-head")).to_contain_text("SQL")
    expect(drawn.locator(".rsql-code pre")).to_contain_text(SELECTED)
    side.button("Insert below as a cell", drawn).click()
    below = cells.filter(has_text="duckdb.sql(")
    expect(below).to_have_count(1)
    expect(below.locator(".jp-InputPrompt")).to_have_text("[ ]:")  # it waits for the reader
    side.button("Insert below as a cell and run it", drawn).click()
    expect(below).to_have_count(2)
    below.first.locator(".jp-OutputArea-output", has_text="LGA").wait_for()


def test_hostile_words_do_nothing_in_the_sidebar_and_in_a_diff(side, provider):
    words = "\n\n".join(xss.STRINGS)
    lines = "\n".join(line for string in xss.STRINGS for line in string.splitlines() if not line.startswith("```"))
    provider.answers |= {
        "strings": (words, 0.0),
        "Fix": (f"~~~~~python\n{lines}\n~~~~~\n\n{words}", 0.0),
    }
    side.ask("All strings, please")
    cell = side.cell("raise ValueError('''" + xss.STRINGS[2] + "''')")
    cell.get_by_role("button", name="Propose a fix of this cell").click()
    side.diff.wait_for()
    expect(side.diff.locator("ins code").filter(has_text="onerror")).not_to_have_count(0)
    harmful = ("script", "iframe", "img", "form", "object", "embed", "svg script", "a[href^='javascript']")
    for node in harmful:
        expect(side.diff.locator(node)).to_have_count(0)
    side.button("Reject the change (Esc)").click()
    provider.answers["Fix"] = ("\n\n".join(string for string in xss.STRINGS if "```" not in string), 0.0)
    cell.get_by_role("button", name="Propose a fix of this cell").click()
    refused = cell.locator(".rsql-trouble").filter(has_text="No change was proposed.")
    refused.wait_for()
    for node in harmful:
        expect(refused.locator(node)).to_have_count(0)
    assert side.page.evaluate("window.hacked") is None
    assert [url for url in side.notebook.asked if "evil" in urlsplit(url).netloc] == []
    side.button("Close", refused).click()


AT_THE_END = """() => {
  const log = document.querySelector(".rsql-sidebar .rsql-log");
  return log.scrollHeight > log.clientHeight && log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}"""


def test_a_quick_answer_is_followed_to_its_end(side, provider):
    side.open()
    provider.answers["hastily"] = ("word " * 400, 0.0)
    side.ask("Answer hastily, please")
    side.page.wait_for_function(AT_THE_END)


def test_a_kernel_that_restarts_keeps_what_was_said_and_the_conversation_that_is_read(side, provider):
    side.open()
    provider.answers["quickly"] = ("word " * 400, 0.0)
    side.ask("Answer quickly, please")
    turns = side.turns.count()
    side.button("New conversation", side.sidebar).click()
    side.ask("Something else")
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.locator(".rsql-menu .rsql-thread").first.click()
    expect(side.turns).to_have_count(turns)
    side.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    side.sidebar.locator(".rsql-banner").wait_for(state="hidden")
    side.ask("Are you there?")
    expect(side.turns).to_have_count(turns + 1)  # those of the kernel before it too


LONG = """\
import os
from rsql_magic.panel.kept.records import written
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair
from rsql_magic.panel.kept.writing import folder_of
from rsql_magic.panel.threads import MessagePair
said = [MessagePair(f"Question {n}?", f"Answer {n}.", "done", at=n + 1.0) for n in range(250)]
store = ConversationStore(folder_of(os.environ))
pairs = [NewPair(f"long-{n}", written(pair)) for n, pair in enumerate(said)]
store.write(store.notebook("elsewhere.ipynb"), Head("long", "", "A long one"), pairs)
store.close()"""
SEEN = """([log, turn]) => {
  const [within, seen] = [log, turn].map((node) => node.getBoundingClientRect());
  return seen.top < within.bottom && seen.bottom > within.top;
}"""


def test_of_a_long_conversation_the_end_comes_first_and_the_rest_when_asked_for(side):
    side.open()
    side.cell(LONG)
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.get_by_role("menuitem", name="Find and manage all").click()
    side.button("Open A long one", side.sidebar).click()
    expect(side.turns).to_have_count(200)
    side.page.wait_for_function(AT_THE_END)
    log, first = side.sidebar.locator(".rsql-log"), side.turns.filter(has_text="Question 50?")
    more = side.button("Show what was said before", side.sidebar)
    expect(more).to_have_text("Show what was said before (50)")
    more.press("Enter")
    expect(side.turns).to_have_count(250)
    expect(side.turns.first).to_contain_text("Question 0?")
    expect(more).to_have_count(0)
    # Who reads stays where the link was, and goes up from there by keyboard.
    assert side.page.evaluate(SEEN, [log.element_handle(), first.element_handle()])
    expect(log).to_be_focused()
    side.page.keyboard.press("Home")
    side.turns.first.get_by_text("Answer 0.").wait_for()
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.locator(".rsql-menu .rsql-thread").first.click()
    side.turns.filter(has_text="Question 0?").wait_for(state="detached")


BARE = """\
import pathlib, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "rsql_magic" and not pathlib.Path({flag!r}).exists():
            raise ModuleNotFoundError("No module named 'rsql_magic'", name=name)
sys.meta_path.insert(0, Missing())
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""
PIP = "import pathlib\npathlib.Path({flag!r}).touch()\nprint('Successfully installed rsql-jupyter')\n"


def test_a_kernel_without_the_package_gets_it_by_a_click(side, town, tmp_path):
    """And another notebook, whose kernel has it, keeps its own conversation."""
    flag = str(tmp_path / "installed")
    spec = town.folder / "jupyter" / "kernels" / "bare"
    spec.mkdir(parents=True, exist_ok=True)
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text(PIP.format(flag=flag))
    (tmp_path / "kernel.py").write_text(BARE.format(flag=flag))
    command = [sys.executable, str(tmp_path / "kernel.py"), "-f", "{connection_file}"]
    described = {"argv": command, "display_name": "Bare", "language": "python", "env": {"PYTHONPATH": str(tmp_path)}}
    (spec / "kernel.json").write_text(json.dumps(described))
    said = side.turns.count()
    open_with(side, town, "bare", {"name": "bare", "display_name": "Bare", "language": "python"})
    side.sidebar.get_by_text("not installed in the kernel “Bare”").wait_for()
    panel_lab.accessible(side.page, ".rsql-sidebar")
    side.sidebar.get_by_role("button", name="Install it into this kernel").click()
    side.sidebar.locator(".rsql-welcome").wait_for()
    side.ask("Is it there now?")
    side.go_to("beside_jupyterlab.ipynb")
    expect(side.turns).to_have_count(said)


def test_a_kernel_of_r_and_no_kernel_are_told(side, town):
    open_with(side, town, "in_r", {"name": "ir", "display_name": "R", "language": "R"})
    side.sidebar.get_by_text("The kernel of this notebook speaks R").wait_for()
    expect(side.sidebar).to_contain_text("runs R in %%R cells")


BANNERS = """() => {
  window.banners = "";
  const note = () => { window.banners += document.querySelector(".rsql-sidebar .rsql-banner")?.textContent ?? ""; };
  const watched = { subtree: true, childList: true, characterData: true };
  new MutationObserver(note).observe(document.querySelector(".rsql-sidebar"), watched);
}"""
OUTSIDE = """(whole) => [...whole.querySelectorAll("button, select")].filter((each) => {
  const [inner, outer] = [each, whole].map((node) => node.getBoundingClientRect());
  return inner.width && (inner.right > outer.right || inner.left < outer.left);
}).map((each) => each.ariaLabel)"""


def test_a_notebook_opened_beside_it_has_lost_nothing_and_what_is_typed_outlives_its_kernel(side, town, provider):
    side.page.evaluate(BANNERS)
    open_with(side, town, "fresh", panel_lab.KERNEL)
    side.page.locator(".lm-TabBar-tab.jp-mod-current", has_text="fresh.ipynb").wait_for()
    side.sidebar.locator(".rsql-offer").first.wait_for()
    side.page.wait_for_function(panel_lab.CONNECTED)
    provider.answers["in Python"] = ("```python\n1\n```", 0.0)
    side.ask("Say it in Python")
    said = side.page.evaluate("window.banners")  # of a kernel that only starts
    assert "has ended" not in said
    assert "is busy" not in said
    for part in (".rsql-composer", ".rsql-code"):  # in a sidebar as narrow as it opens
        assert side.sidebar.locator(part).last.evaluate(OUTSIDE) == []
    language = side.sidebar.locator(".rsql-code figcaption > span").first
    assert language.evaluate("(node) => node.getClientRects()[0].height < 30")
    tables = [{"name": f"{name}.csv", "mimeType": "text/csv", "buffer": b"n\n1\n"} for name in ("sold", "sent", "lost")]
    side.sidebar.get_by_label("Files", exact=True).set_input_files(tables)
    for name, choice in (("sold", "Put it there and run the line"), ("sent", "Close")):  # each asks, in turn
        asked = side.sidebar.get_by_role("dialog", name=f"Read {name}.csv?")
        asked.get_by_role("button", name=choice).click()
    expect(side.box).to_have_value("@sold ")
    side.sidebar.get_by_role("dialog", name="Read lost.csv?").get_by_role("button", name="Close").click()
    assert (town.folder / "sold.csv").exists()
    assert not (town.folder / "sent.csv").exists()
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.get_by_role("menuitem", name="Find and manage all").click()
    kept = side.sidebar.get_by_role("dialog", name="Conversations")
    kept.locator("li").first.wait_for()
    assert kept.evaluate(OUTSIDE) == []
    kept.get_by_role("button", name="Close").click()
    side.box.fill("half a quest")
    session = "window.jupyterapp.shell.currentWidget.sessionContext"
    side.page.evaluate(f"() => {session}.shutdown()")
    side.sidebar.get_by_text("This notebook has no kernel").wait_for()
    side.page.evaluate(f"() => {{ {session}.changeKernel({{ name: 'python3' }}); }}")
    side.turns.filter(has_text="Say it in Python").wait_for()
    expect(side.box).to_have_value("half a quest")


def open_with(side, town, name, kernelspec):
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("")], metadata={"kernelspec": kernelspec})
    nbformat.write(notebook, town.folder / f"{name}.ipynb")
    side.page.evaluate("() => window.jupyterapp.serviceManager.kernelspecs.refreshSpecs()")
    side.go_to(f"{name}.ipynb")


def test_two_pages_show_the_same_conversation_and_a_renamed_notebook_goes_on(side, town, provider):
    side.go_to("beside_jupyterlab.ipynb")
    side.turns.first.wait_for()
    other = side.page.context.new_page()
    try:
        other.set_default_timeout(20_000)
        other.goto(f"{town.lab}lab/workspaces/other/tree/beside_jupyterlab.ipynb?reset&token={TOKEN}")
        other.wait_for_function(panel_lab.CONNECTED)
        other.evaluate("window.jupyterapp.commands.execute('rsql:open')")
        other.locator(".rsql-sidebar .rsql-turn").first.wait_for()
        side.ask("Does the other page hear this?")
        other.locator(".rsql-sidebar .rsql-turn", has_text="Does the other page hear this?").wait_for()
    finally:
        other.close()
    side.page.evaluate("window.jupyterapp.serviceManager.contents.rename('beside_jupyterlab.ipynb', 'renamed.ipynb')")
    side.page.locator(".lm-TabBar-tabLabel", has_text="renamed.ipynb").wait_for()
    side.ask("Is it still there?")
    (town.folder / "renamed.ipynb").unlink()
    side.ask("And when its file is gone?")


PROPOSAL = """\
### edit cell 2: the column is called origin <img src=x onerror=window.hacked=1>
```python
{mended}
```

### new cell after 2: keeps the rows in a file
```python
flights.to_csv('kept_by_seven.csv')
```
"""
ONE_MORE = "### new cell after 2: their number\n```python\nlen(flights)\n```"
SAVE_NOTEBOOK = "() => window.jupyterapp.commands.execute('docmanager:save')"
SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"


def test_notebook_7_has_it_too_and_its_cells_are_changed_there(town, provider):
    provider.answers |= {"task was": (ONE_MORE, 0.0), "Mend it": (PROPOSAL.format(mended=MENDED), 0.0)}
    provider.answers["Fix"] = ("```python\nprint(42)\n```", 0.0)
    side = panel_lab.Side(town.page("notebook", "seven", [FLIGHTS, MISSPELLED]))
    side.page.keyboard.press("Alt+Shift+A")
    expect(side.box).to_be_focused()
    before = [*side.notebook.errors]  # Notebook's own
    side.ask("How many rows has flights?")
    page, sidebar = side.page, side.sidebar

    def saved():
        page.evaluate(SAVE_NOTEBOOK)
        page.wait_for_function(SAVED)
        return (town.folder / "seven_notebook.ipynb").read_bytes()

    notebook = saved()
    side.button("Do it in the notebook instead of answering", sidebar).click()
    side.box.fill("Mend it")
    side.box.press("Enter")
    changes = sidebar.locator(".rsql-changes")
    changes.get_by_text("origin <img src=x onerror=window.hacked=1>").wait_for()
    assert page.locator("#jp-right-stack").evaluate(OUTSIDE) == []  # in a sidebar as narrow as it opens
    changes.get_by_label("Yes, this cell may do that.").check()
    side.button("Apply and run", changes).click()
    cells = page.locator(".jp-Notebook .jp-Cell")
    cells.nth(1).locator(".jp-OutputArea-output", has_text="Name: count").wait_for()
    changes.last.get_by_text("their number").wait_for()  # what the cells gave went back
    assert (town.folder / "kept_by_seven.csv").exists()
    side.button("Apply and run", changes.last).click()
    cells.nth(2).locator(".jp-OutputArea-output", has_text="3").wait_for()
    changes.nth(1).get_by_text("The cells have run.").wait_for()
    for number in (1, 0):
        side.button("Undo", changes.nth(number)).click()
        changes.nth(number).get_by_text("The notebook is as it was.").wait_for()
    assert saved() == notebook
    assert page.evaluate("window.hacked") is None
    side.button("Do it in the notebook instead of answering", sidebar).click()
    cell = side.cell("print(43 / 0)")
    side.button("Propose a fix of this cell", cell).click()
    side.diff.last.wait_for()
    side.button("Accept the change and run the cell").click()
    cell.locator(".jp-OutputArea-output", has_text="42").wait_for()
    cards_are_used(side, provider)
    assert side.notebook.errors == before


def test_what_is_accepted_in_a_read_only_notebook_is_known_to_be_a_copy(town, provider):
    provider.answers["Fix"] = ("```python\nprint(42)\n```", 0.0)

    def read_only(context):
        def answer(route):
            response = route.fetch()
            told = response.json()
            route.fulfill(response=response, json={**told, "writable": False} if isinstance(told, dict) else told)

        context.route(re.compile(r"/api/contents/locked"), answer)

    page = panel_lab.Page(town.browser, town.lab, town.folder, "locked", [], prepare=read_only)
    try:
        side = panel_lab.Side(page)
        side.cell("print(43 / 0)")
        side.button("Propose a fix of this cell").click()
        side.diff.filter(has_text="This notebook is read-only").wait_for()
        side.open()
        side.button("Do it in the notebook instead of answering", side.sidebar).click()
        side.sidebar.get_by_text("This notebook is read-only: nothing in it can be changed.").wait_for()
    finally:
        page.close()


COMPLETER = "@jupyterlab/completer-extension:inline-completer"
SAVE = "([id, raw]) => window.jupyterapp.serviceManager.settings.save(id, raw)"


def test_code_is_suggested_while_somebody_types_once_that_is_turned_on(side, town, provider):
    def cells():
        return [body["messages"][-1]["content"] for body in provider.asked if body["model"] == "other"]

    def has_ended(cell):
        return any(cell in asked for asked in provider.hung_up)

    def answer(_):  # to the first part of a word for ever
        return "upby('origin').sum()" if "gro<cursor>" in cells()[-1] else "up " * 999

    provider.answers["cursor"] = (answer, 0.05)
    side.page.evaluate(SAVE, [COMPLETER, json.dumps({"providers": {"@rsql/lab:completion": {"enabled": True}}})])
    without_plugin = town.folder / "config" / "labconfig" / "page_config.json"
    page = panel_lab.Page(town.browser, town.lab, town.folder, "typing", [])
    told = page.page.get_by_text("jupyter labextension disable jupysql-plugin")
    try:
        # Beside JupySQL's plugin JupyterLab draws no inline completion (docs/panel.md), and a user is told so.
        page.page.keyboard.type("x")
        told.wait_for()
        page.page.keyboard.press("Backspace")
        without_plugin.parent.mkdir(parents=True, exist_ok=True)
        without_plugin.write_text(json.dumps({"disabledExtensions": {"jupysql-plugin": True}}))
        page.page.reload()
        page.page.wait_for_function(panel_lab.CONNECTED)

        page.type_cell(f"{FLIGHTS}\n%load_ext rsql_magic\n%config Rsql.completion_model = 'other'")
        page.page.locator(".jp-Notebook .jp-Cell").last.click()
        page.page.keyboard.press("Enter")
        page.page.keyboard.type("flights.gr", delay=20)
        eventually(lambda: cells() and "flights.gr<cursor>" in cells()[-1])
        assert not has_ended("flights.gr<cursor>")
        page.page.keyboard.type("o")
        eventually(lambda: has_ended("flights.gr<cursor>"))  # up to the provider
        page.page.locator(".jp-GhostText", has_text="upby('origin').sum()").wait_for()
        page.page.keyboard.press("Tab")
        expect(page.page.locator(".jp-Notebook .jp-Cell").last).to_contain_text("flights.groupby('origin').sum()")
        assert page.errors == []
        expect(told).to_have_count(0)
    finally:
        side.page.evaluate(SAVE, [COMPLETER, "{}"])
        without_plugin.unlink(missing_ok=True)
        page.close()
