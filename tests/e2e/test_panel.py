"""The chat panel in a real browser: a JupyterLab, a gateway, Chromium."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path

import httpx
import markdown_replies
import nbformat
import pandas as pd
import pytest
from e2e import panel_lab, xss
from e2e.conftest import TOKEN
from nbconvert import MarkdownExporter
from playwright.sync_api import expect
from waiting import eventually

SETUP = """\
%load_ext rsql_magic
import pandas as pd
flights = pd.DataFrame({"origin": ["JFK", "LGA", "EWR"], "n": [3, 2, 1]})
"""
PANEL = "import rsql_magic\nrsql_magic.ChatPanel()"
ATTACKS = Path(__file__).parents[1] / "rsql_magic" / "markdown_cases" / "attacks.jsonl"
RICH = """\
# Mean
Use **mean**, as in $\\bar{x} = \\frac{1}{n}\\sum x_i$:

```python
x = [1, 2]
print(sum(x) / len(x))
```

| a | b |
|---|--:|
| x | 1 |
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def provider():
    with panel_lab.provider() as provider:
        provider.answers |= {"mean": (RICH, 0.0), "slowly": panel_lab.SLOWLY}
        yield provider


@pytest.fixture(scope="module")
def gateway(folder, provider):
    with panel_lab.gateway(folder, provider.url) as (url, _):
        yield url


@pytest.fixture(scope="module")
def lab(folder, gateway):
    with panel_lab.jupyterlab(folder, gateway) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with panel_lab.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def chat(browser, lab, folder):
    """A notebook with a panel, shared by the tests that leave it usable."""
    page = panel_lab.Page(browser, lab, folder, "chat", [SETUP, PANEL])
    yield page
    page.close()


@pytest.mark.spine
def test_an_answer_streams_as_markdown(chat):
    turn = chat.ask("What is the mean?")
    expect(turn.locator("h1")).to_have_text("Mean")
    expect(turn.locator("pre code")).to_have_text("x = [1, 2]\nprint(sum(x) / len(x))")
    expect(turn.locator("td").last).to_have_text("1")
    turn.locator("math mfrac").wait_for(timeout=5_000, state="attached")
    expect(turn.locator(".rsql-bar")).to_contain_text("talker")
    assert chat.errors == []


def test_stop_ends_the_answer_and_the_request_at_the_provider(chat, provider):
    turn = chat.ask("Answer slowly, please", wait=False)
    turn.locator(".rsql-said p").filter(has_text="word word").wait_for()
    chat.panel.get_by_label("Stop", exact=True).click()
    eventually(lambda: provider.hung_up)
    turn.filter(has_text="Stopped; what had arrived is kept.").wait_for()
    expect(turn.locator(".rsql-said")).to_contain_text("word word")


def test_code_is_copied_inserted_and_run_when_told(chat):
    turn = chat.ask("What is the mean?")
    turn.get_by_label("Copy the code").click()
    assert chat.page.evaluate("navigator.clipboard.readText()") == "x = [1, 2]\nprint(sum(x) / len(x))"
    turn.get_by_label("Run", exact=True).click()
    turn.locator(".rsql-confirm").wait_for()
    expect(turn).not_to_contain_text("1.5")
    turn.locator(".rsql-confirm .rsql-primary").click()
    turn.locator(".rsql-output pre").filter(has_text="1.5").wait_for()
    cells = chat.page.locator(".jp-Notebook .jp-CodeCell")
    before = cells.count()
    turn.get_by_label("Insert below as a cell").click()
    expect(cells).to_have_count(before + 1)
    expect(cells.nth(2)).to_contain_text("print(sum(x) / len(x))")


def test_chips_show_what_is_sent_and_what_is_gone(chat, provider):
    chat.box.fill("look at @fl")
    chat.panel.locator(".rsql-list li").first.wait_for()
    chat.box.press("Tab")
    expect(chat.box).to_have_value("look at @flights ")
    chip = chat.panel.locator(".rsql-chip")
    chip.wait_for()
    expect(chip).to_contain_text("tokens")
    chip.locator("button").first.click()
    expect(chat.panel.get_by_role("dialog")).to_contain_text("pandas DataFrame, 3 rows × 2 columns")
    chat.page.keyboard.press("Escape")
    chat.ask("look at @flights ")
    chat.box.fill("and @gone , which was deleted")
    chat.panel.locator(".rsql-missing").wait_for()
    turn = chat.ask("and @gone , which was deleted")
    expect(turn.locator(".rsql-trouble")).to_contain_text("@gone names nothing here")


def sheet(chat):
    return chat.panel.get_by_role("dialog")


def test_what_the_preview_shows_is_what_the_provider_is_sent(chat, provider):
    chat.box.fill("look at @flights once more")
    chat.box.press("Escape")
    chat.panel.get_by_label("Show exactly what would be sent").click()
    shown = sheet(chat).locator("pre").text_content()
    # Code that changes data by itself does not change what was looked at.
    chat.page.keyboard.press("Escape")
    asked = len(provider.asked)
    chat.box.press("Enter")
    eventually(lambda: len(provider.asked) > asked)
    assert sent(provider) == shown
    # A cell does: it is shown anew, and goes when told.
    chat.box.fill("look at @flights again")
    chat.box.press("Escape")
    chat.panel.get_by_label("Show exactly what would be sent").click()
    sheet(chat).locator("pre").wait_for()
    chat.page.keyboard.press("Escape")
    chat.type_cell("flights['gate'] = 7.5")
    asked = len(provider.asked)
    chat.box.press("Enter")
    sheet(chat).filter(has_text="The notebook has changed since you looked").wait_for()
    assert len(provider.asked) == asked
    shown = sheet(chat).locator("pre").text_content()
    assert "gate" in shown
    sheet(chat).get_by_label("Send exactly this").click()
    chat.turns.filter(has_text="look at @flights again").locator(".rsql-bar").wait_for()
    assert sent(provider) == shown
    expect(chat.box).to_have_value("")


def sent(provider):
    """What the provider was sent last, as the preview writes it."""
    return "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in provider.asked[-1]["messages"])


@contextmanager
def busy(page, folder):
    """A cell runs, as fast as it can, until the block ends."""
    over = folder / "over"
    page.type_cell(
        f"from pathlib import Path\nwhile not Path({str(over)!r}).exists():\n    sum(range(100_000))", wait=False
    )
    try:
        yield
    finally:
        over.touch()


def test_r_is_previewed_sent_and_checked_alike(beside_r, provider, tmp_path):
    """With objects and an error of R, in a kernel that is free and in one that is not."""
    page = beside_r
    page.type_cell("%%R\ncars2 <- data.frame(speed = 1:40, dist = 2:41)")
    page.type_cell("%%R\nlm(nothing ~ speed, cars2)")
    for text, holds in (("Is @r:cars2 linear?", "R data.frame, 40 rows"), ("/fix", "'nothing' not found")):
        page.box.fill(text)
        page.box.press("Escape")
        page.panel.get_by_label("Show exactly what would be sent").click()
        shown = sheet(page).locator("pre").text_content()
        assert holds in shown
        turns = page.turns.count()
        sheet(page).get_by_label("Send exactly this").click()
        page.turns.nth(turns).locator(".rsql-bar").wait_for()
        assert sent(provider) == shown
    provider.answers["Correct"] = ("```r\nsum(x)\n```", 0.0)
    provider.answers["broken in R"] = ("```r\nsum(x\n```", 0.0)
    asked = len(provider.asked)
    turn = page.ask("broken in R")
    assert "does not parse" in provider.asked[-1]["messages"][-1]["content"]
    assert len(provider.asked) == asked + 2
    # While a cell runs: said at once, checked after it.
    with busy(page, tmp_path):
        turn = page.ask("broken in R")
        turn.filter(has_text="R code not checked yet: a cell is running").wait_for()
        expect(page.page.locator(".jp-InputPrompt:has-text('[*]:')")).to_have_count(1)
    turn.filter(has_text="The r block 1 does not parse").wait_for()
    turn.get_by_label("Have the code corrected").click()
    page.turns.last.filter(has_text="sum(x)").locator(".rsql-bar").wait_for()
    assert page.errors == []


@pytest.mark.spine
def test_a_query_is_shown_with_its_rows_and_chart_and_saved(chat, provider):
    chart = '```json\n{"chart": "bar", "x": "origin", "y": "n"}\n```'
    provider.answers["bars"] = (f"```sql\nSELECT origin, n FROM flights ORDER BY n\n```\nBusiest last.\n{chart}", 0.0)
    turn = chat.ask("/sql frames Draw bars of flights per origin")
    expect(turn.locator(".rsql-result pre")).to_contain_text("SELECT origin, n")
    expect(turn.locator("td")).to_have_text(["EWR", "1", "LGA", "2", "JFK", "3"])
    turn.locator(".rsql-chart :is(canvas, svg)").first.wait_for()
    turn.get_by_label("Save the rows as").fill("busiest")
    turn.get_by_label("Save the rows under this name").click()
    turn.locator(".rsql-rows").filter(has_text="@busiest").wait_for()
    turn.get_by_label("Insert below as a cell").click()
    made = chat.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text="duckdb.sql")
    made.locator(".cm-content").click()
    chat.page.keyboard.press("Control+Enter")
    made.locator(".jp-OutputArea-output").filter(has_text="LGA").wait_for()
    chat.type_cell("list(busiest['n'])")
    chat.page.locator(".jp-OutputArea-output", has_text="[1, 2, 3]").wait_for()
    chat.panel.get_by_label("More").click()
    chat.panel.get_by_text("Files of this conversation").click()
    files = chat.panel.get_by_role("dialog", name="Files of this conversation")
    with chat.page.expect_download() as saved:
        files.get_by_role("button", name=re.compile(r"^Save .*\.parquet$")).click()
    assert len(rows := pd.read_parquet(saved.value.path())) == 3
    with chat.page.expect_download() as saved:
        files.get_by_role("button", name=re.compile(r"^Save as CSV .*\.csv$")).click()
    assert saved.value.suggested_filename.endswith(".csv")
    assert saved.value.path().read_bytes() == rows.to_csv(index=False).encode()
    expect(files.locator("li").filter(has_text=".parquet")).to_contain_text("3 rows")
    panel_lab.accessible(chat.page, ".rsql-sheet")
    files.get_by_role("button", name=re.compile(r"^Pin .*\.sql$")).press("Enter")
    files.get_by_role("button", name=re.compile(r"^Unpin .*\.sql$")).wait_for()
    row = files.locator("li").filter(has_text=".parquet")
    made.locator(".cm-content").scroll_into_view_if_needed()
    made.locator(".cm-content").evaluate(panel_lab.DROPPED_ON, row.element_handle())
    opening = chat.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text="rsql_magic.artifact(")
    expect(opening).to_have_count(1)
    expect(made).to_contain_text("rsql_magic.artifact(")
    files.get_by_role("button", name=re.compile(r"^Insert .*\.parquet$")).press("Enter")
    expect(opening).to_have_count(2)
    chat.panel.get_by_label("More").click()
    chat.panel.get_by_text("Files of this conversation").click()
    files.get_by_role("button", name=re.compile(r"^Open .*\.parquet$")).press("Enter")
    files.wait_for(state="hidden")
    expect(chat.box).to_have_value(re.compile("@sql_"))
    chat.box.fill("")


def test_what_a_model_looks_at_first_stands_below_its_answer(chat, provider):
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
    arguments = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"na', 'me": "fli', 'ghts"}')]
    provider.answers["airports"] = ([{"tool_calls": [each]} for each in (call, *arguments)], 0.0)
    provider.answers['kind="result'] = ("Three origins.", 0.0)
    chat.type_cell("%config Rsql.look = 'always'")
    turn = chat.ask("/words Which airports are there?")
    expect(turn.locator(".rsql-said")).to_have_text("Three origins.")
    turn.get_by_text("Looked first: look(flights) – 1 of 8 calls, ").wait_for()
    assert "origin" in provider.asked[-1]["messages"][-1]["content"]
    chat.type_cell("%config Rsql.look = 'auto'")


def test_the_keyboard_alone_is_enough(chat):
    """What is open takes the focus, keeps it, and gives it back."""
    page = chat.page

    def focused():
        return page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")

    def press(*keys):
        for key in keys:
            page.keyboard.press(key)

    turns = chat.turns.count()
    chat.box.fill("")
    chat.box.focus()
    page.keyboard.type("/he")
    chat.panel.locator(".rsql-list li").first.wait_for()
    press("Tab", "Enter")
    page.keyboard.type("a question")  # while the command is on its way
    eventually(lambda: chat.box.input_value() == "a question", chat.box.input_value)
    expect(chat.turns).to_have_count(turns + 1)
    for _ in range(6):
        press("Tab")
        if focused() == "Show exactly what would be sent":
            break
    press("Enter")
    sheet(chat).locator("pre").wait_for()
    inside = "document.activeElement.closest('[role=dialog]')"
    page.wait_for_function(inside)
    places = []
    for _ in range(8):
        press("Tab")
        places.append(page.evaluate(f"Boolean({inside})"))
    assert all(places)
    press("Escape")
    eventually(lambda: focused() == "Show exactly what would be sent", focused)
    menu = chat.panel.get_by_role("menu")
    chat.panel.get_by_label("Conversations").focus()
    press("Enter")
    menu.wait_for()
    press("ArrowDown", "ArrowUp", "ArrowUp")
    eventually(lambda: focused() == "Find and manage all", focused)
    press("Escape")
    eventually(lambda: focused().startswith("Conversations: "), focused)
    press("Enter")
    menu.wait_for()
    press("Tab")
    menu.wait_for(state="detached")
    chat.box.focus()
    press("Enter")
    expect(chat.turns).to_have_count(turns + 2)
    chat.turns.last.locator(".rsql-bar").wait_for()
    expect(chat.panel.locator("[aria-live=polite].rsql-hidden")).to_have_text("The answer is complete.")


def test_edit_asks_anew_and_another_model_can_answer(chat, provider):
    chat.box.fill("/clear")
    chat.box.press("Enter")
    expect(chat.turns).to_have_count(0)
    chat.ask("first question")
    chat.ask("second question")
    chat.turns.first.hover()
    chat.turns.first.get_by_label("Edit and send again").click()
    expect(chat.box).to_have_value("first question")
    chat.box.fill("better question")
    chat.box.press("Enter")
    chat.turns.filter(has_text="better question").locator(".rsql-bar").wait_for()
    expect(chat.turns).to_have_count(1)
    assert [message["content"] for message in provider.asked[-1]["messages"] if "question" in message["content"]][
        1:
    ] == [provider.asked[-1]["messages"][-1]["content"]]
    models = chat.turns.first.get_by_label("Ask again with another model")
    models.focus()
    models.locator("option", has_text="other").wait_for(state="attached")
    models.select_option("other")
    chat.turns.first.locator(".rsql-bar").filter(has_text="other ·").wait_for()
    assert provider.asked[-1]["model"] == "other"


def test_threads_do_not_mix(chat, provider):
    chat.box.fill("/clear")
    chat.box.press("Enter")
    expect(chat.turns).to_have_count(0)
    chat.ask("in the first thread")
    chat.panel.get_by_label("New conversation").first.click()
    expect(chat.turns).to_have_count(0)
    slow = chat.ask("in the second thread, slowly", wait=False)
    slow.locator(".rsql-said p").filter(has_text="word").wait_for()
    chat.panel.get_by_label("Conversations").click()
    chat.panel.locator(".rsql-thread").first.click()
    chat.turns.filter(has_text="in the first thread").wait_for()
    chat.ask("again in the first thread")
    assert "second" not in str(provider.asked[-1]["messages"])
    expect(chat.panel.locator(".rsql-log")).not_to_contain_text("word word")
    chat.panel.get_by_label("Conversations").click()
    chat.panel.locator(".rsql-thread").last.click()
    chat.turns.filter(has_text="in the second thread").wait_for()
    chat.box.press("Escape")
    chat.turns.filter(has_text="Stopped;").wait_for()
    chat.panel.get_by_label("More").click()
    chat.panel.get_by_text("Rename").click()
    chat.panel.get_by_label("Name of the conversation").fill("Notebook")
    chat.panel.get_by_label("Name of the conversation").press("Enter")
    chat.panel.locator(".rsql-title").filter(has_text="Notebook (2)").wait_for()
    assert chat.errors == []
    chat.panel.get_by_label("More").click()
    chat.panel.get_by_text("Delete").click()
    chat.turns.filter(has_text="in the first thread").first.wait_for()


def test_a_running_cell_and_an_answer_do_not_wait_for_each_other(chat, tmp_path):
    running = chat.page.locator(".jp-InputPrompt:has-text('[*]:')")
    with busy(chat, tmp_path):
        chat.ask("What is the mean?")
        turn = chat.ask("And slowly?", wait=False)
        turn.locator(".rsql-said p").filter(has_text="word word").wait_for()
        chat.box.press("Escape")
        turn.filter(has_text="Stopped;").wait_for()
        expect(running).to_have_count(1)
    running.wait_for(state="detached")


def test_answers_are_rated(chat, gateway):
    turn = chat.ask("What is the mean?")
    turn.get_by_label("Bad answer").click()
    turn.get_by_label("Comment").fill("too short")
    turn.get_by_label("Comment").press("Enter")
    turn.locator("[aria-pressed=true]").wait_for()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{gateway}admin/api/feedback", headers=headers).json()["feedback"][0]["comment"] == "too short"


@pytest.mark.spine
def test_no_model_output_reaches_the_page_as_more_than_text(chat, provider):
    provider.answers["strings"] = ("\n\n".join(xss.STRINGS), 0.0)
    loaded = []
    chat.page.on("request", lambda request: loaded.append(request.url))
    assert len(xss.STRINGS) >= 40
    # As one answer, one by one as they stream, and as a question.
    turns = [chat.ask("All strings, please"), chat.ask("\n".join(xss.STRINGS))]
    for number in range(0, len(xss.STRINGS), 6):
        provider.answers[f"part{number}"] = ("\n\n---\n\n".join(xss.STRINGS[number : number + 6]), 0.0)
        turns.append(chat.ask(f"part{number}"))
    for turn in turns:
        turn.scroll_into_view_if_needed()
        for link in turn.locator("a").all():
            assert re.match(r"(https?:|mailto:|#)", link.get_attribute("href") or "#")
            assert link.get_attribute("target") == "_blank"
    chat.page.wait_for_timeout(300)
    assert chat.page.evaluate(xss.INSPECTED) == []
    assert chat.page.evaluate("window.hacked") is None
    assert [url for url in loaded if "invalid" in url] == []
    assert chat.errors == []


def nothing_happens(chat, provider, replies):
    """Nothing runs, nothing is fetched, no link leads astray, in answers that hold many replies each."""
    loaded = []
    chat.page.on("request", lambda request: loaded.append(request.url))
    for number in range(0, len(replies), 50):
        provider.answers[f"made{number}"] = ("\n\n---\n\n".join(replies[number : number + 50]), 0.0)
        turn = chat.ask(f"made{number}")
        turn.scroll_into_view_if_needed()
        addresses = turn.locator("a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
        assert [url for url in addresses if url and not re.match(r"(https?:|mailto:)", url, re.I)] == []
    chat.page.wait_for_timeout(300)
    assert chat.page.evaluate(xss.INSPECTED) == []
    assert chat.page.evaluate("window.hacked") is None
    assert [url for url in loaded if "invalid" in url] == []


def test_attacks_and_made_up_replies_do_nothing(chat, provider):
    lines = ATTACKS.read_text(encoding="utf-8").splitlines()
    known = [json.loads(line)["markdown"].replace("{{server}}", "http://canary.invalid") for line in lines]
    nothing_happens(chat, provider, known + [markdown_replies.reply(seed) for seed in range(50)])


@pytest.mark.sweep
def test_many_made_up_replies_do_nothing(chat, provider):
    nothing_happens(chat, provider, [markdown_replies.reply(seed) for seed in range(2_000)])


@pytest.fixture(scope="module")
def line():
    """The connection between the other notebook and its kernel."""
    return panel_lab.Line()


@pytest.fixture(scope="module")
def other(browser, lab, folder, line):
    """Another notebook on the same server, with two panels."""
    page = panel_lab.Page(browser, lab, folder, "other", [SETUP, PANEL, PANEL], prepare=line.through)
    yield page
    page.close()


@pytest.fixture(scope="module")
def beside_r(real_r, browser, lab, folder):
    """A notebook whose kernel runs R."""
    page = panel_lab.Page(browser, lab, folder, "beside_r", [f"{SETUP}%load_ext rpy2.ipython", PANEL])
    yield page
    page.close()


def test_two_panels_and_two_notebooks_do_not_mix(chat, other, provider):
    first, second = other.page.locator(".rsql-panel").first, other.page.locator(".rsql-panel").last
    for panel, text in ((first, "said in one panel"), (second, "said in another panel")):
        panel.get_by_label("New conversation").first.click()  # and what is sent at once is sent there
        panel.get_by_label("Message", exact=True).fill(text)
        panel.get_by_label("Message", exact=True).press("Enter")
        panel.locator(".rsql-turn .rsql-bar").wait_for()
    expect(first.locator(".rsql-log")).not_to_contain_text("another")
    expect(second.locator(".rsql-log")).not_to_contain_text("said in one")
    assert "said in one" not in str(provider.asked[-1]["messages"])
    expect(chat.panel.locator(".rsql-log")).not_to_contain_text("panel")


@pytest.mark.spine
def test_a_reload_and_a_new_kernel_keep_the_conversation(chat, provider):
    page = chat.page
    chat.ask("Remember the word ocelot")
    page.keyboard.press("Control+s")
    page.get_by_text("Saving completed").wait_for()
    saved = nbformat.read(chat.folder / "chat.ipynb", 4)
    assert "ocelot" not in json.dumps(saved)
    chat.panel.get_by_label("More").click()
    chat.panel.get_by_text("Keep in the notebook").click()
    page.locator("summary", has_text="Conversation").wait_for()
    chat.box.press("Control+s")
    eventually(lambda: "ocelot" in (chat.folder / "chat.ipynb").read_text())
    saved = nbformat.read(chat.folder / "chat.ipynb", 4)
    assert "ocelot" not in json.dumps(saved.metadata)
    assert "Remember the word ocelot" in MarkdownExporter().from_notebook_node(saved)[0]
    page.reload()
    page.get_by_text("| Idle").wait_for()
    chat.turns.filter(has_text="Remember the word ocelot").wait_for()
    page.locator(".jp-Notebook .jp-Cell").first.click()
    for key in ("Escape", "0", "0"):
        page.keyboard.press(key)
    page.locator(".jp-Dialog .jp-mod-accept").click()
    goes_on = chat.panel.locator(".rsql-banner").filter(has_text=re.compile("The kernel has ended|Starting"))
    goes_on.wait_for()
    goes_on.wait_for(state="hidden")
    chat.turns.filter(has_text="Remember the word ocelot").wait_for()
    chat.ask("Which word was it?")
    assert "ocelot" in str(provider.asked[-1]["messages"])
    assert chat.errors == []


def test_conversations_are_found_renamed_opened_and_deleted_by_keyboard(chat, provider):
    page, panel = chat.page, chat.panel
    chat.type_cell("from rsql_magic.panel.kept import search\nsearch._MOST = 1")
    chat.ask("Say something that is older")
    panel.get_by_label("New conversation").first.click()
    panel.locator(".rsql-title").filter(has_text="New conversation").wait_for()
    chat.ask("Remember the word capybara")
    chat.ask("What is the mean of it?")
    chat.ask("What is the mean of it again?")
    log = panel.locator(".rsql-log")
    log.evaluate("node => { node.scrollTop = 60; }")
    panel.get_by_label("To the end").wait_for()
    for name in ("Notebook", "Remember the word capybara"):  # to another one and back
        panel.locator(".rsql-title").click()
        panel.locator(".rsql-menu .rsql-thread").filter(has_text=name).first.click()
        panel.locator(".rsql-title").filter(has_text=name).wait_for()
    panel.get_by_label("To the end").wait_for()
    assert abs(log.evaluate("node => node.scrollTop") - 60) < 20
    panel.locator(".rsql-title").press("Enter")
    for _ in range(2):
        page.keyboard.press("ArrowUp")
        if page.evaluate("document.activeElement.textContent").startswith("Find and manage"):
            break
    page.keyboard.press("Enter")
    sheet = panel.get_by_role("dialog", name="Conversations")
    search = sheet.get_by_label("Search conversations")
    expect(search).to_be_focused()
    sheet.get_by_role("button", name="Open Remember the word capybara").wait_for()
    panel_lab.accessible(page, ".rsql-sheet")
    expect(sheet.locator("footer")).to_contain_text("encrypted by a key beside it")
    search.fill("capybara")
    sheet.get_by_text("1 conversation, and not all are looked through yet.", exact=True).wait_for()
    sheet.get_by_role("button", name="Search further").press("Enter")
    sheet.get_by_text("1 conversation", exact=True).wait_for()
    expect(sheet.get_by_role("button", name="Search further")).to_have_count(0)
    sheet.get_by_role("button", name="Rename").press("Enter")
    sheet.get_by_label("Name of the conversation").fill("Rodents")
    sheet.get_by_label("Name of the conversation").press("Enter")
    sheet.get_by_role("button", name="Open Rodents").wait_for()
    expect(panel.locator(".rsql-title")).to_contain_text("Rodents")
    with page.expect_download() as saved:
        sheet.get_by_role("button", name="Save Rodents as JSON").press("Enter")
    kept = json.loads(Path(saved.value.path()).read_text())
    assert kept["pairs"][0]["question"] == "Remember the word capybara"
    assert len(kept["pairs"]) == 3
    sheet.get_by_role("button", name="Delete Rodents").press("Enter")
    sheet.get_by_role("button", name="Really?").press("Enter")
    sheet.get_by_text("0 conversations").wait_for()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(panel.locator(".rsql-title")).not_to_contain_text("Rodents")
    assert chat.errors == []


def test_a_lost_connection_is_told_and_what_was_missed_comes_after_it(other, line):
    turn = other.ask("slowly", wait=False)
    turn.locator(".rsql-said p").filter(has_text="word word").wait_for()
    line.cut()
    banner = other.panel.locator(".rsql-banner")
    banner.filter(has_text="The connection is lost; trying again").wait_for()
    other.page.wait_for_timeout(3_000)  # nothing that waits for the kernel says otherwise
    expect(banner).to_contain_text("The connection is lost")
    before = len(turn.locator(".rsql-said").inner_text())
    line.broken = False  # it is tried again after longer and longer pauses; the answer takes longer than them
    banner.wait_for(state="hidden")
    eventually(lambda: len(other.turns.last.locator(".rsql-said").inner_text()) > before + 500)
    other.panel.get_by_label("Stop", exact=True).click()
    other.turns.filter(has_text="Stopped;").wait_for()
    assert other.errors == []


def test_the_theme_is_the_notebooks(chat):
    def colours():
        return chat.panel.evaluate("node => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]")

    light = colours()
    page = chat.page
    page.get_by_role("menuitem", name="Settings").click()
    page.locator(".lm-Menu-item", has_text="Theme").first.hover()
    page.locator(".lm-Menu-item", has_text="JupyterLab Dark").first.click()
    eventually(lambda: _brightness(colours()[0]) < 60)
    assert _brightness(light[0]) > 190
    eventually(lambda: _brightness(colours()[1]) > 190)
    assert _brightness(light[1]) < 60
    page.set_viewport_size({"width": 720, "height": 900})
    page.wait_for_timeout(300)
    overflow = chat.panel.evaluate("node => node.scrollWidth - node.clientWidth")
    page.set_viewport_size({"width": 1150, "height": 900})
    assert overflow <= 1


def _brightness(colour):
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue


def test_bad_input(chat, provider):
    chat.box.fill("   ")
    chat.box.press("Enter")
    before = chat.turns.count()
    long = "word " * 40_000
    turn = chat.ask(long)
    expect(chat.turns).to_have_count(before + 1)
    expect(turn.locator(".rsql-trouble")).to_contain_text("at most")
    paragraphs = [" ".join(f"Word {at * 100 + word} of many." for word in range(60)) for at in range(800)]
    provider.answers["megabyte"] = ("\n\n".join(paragraphs), 0.0)
    provider.answers["broken"] = ("**bold *it\n\n```text\nx = (\n\n| a |\n|--", 0.0)
    broken = chat.ask("broken")
    broken.locator("pre code").filter(has_text="| a |").wait_for()
    huge = chat.ask("megabyte")
    huge.locator(".rsql-trouble", has_text="stopped after 200,000 characters").wait_for()
    assert huge.evaluate("node => node.querySelector('.rsql-said').textContent.length") > 190_000
    assert chat.errors == []


def test_a_limit_and_a_gateway_that_is_down_are_told_and_can_be_tried_again(other, provider, gateway, tmp_path):
    page = other
    with panel_lab.gateway(tmp_path, provider.url, requests=2) as (url, process):
        page.type_cell(f"T = {TOKEN!r}\n%rsql connect {url} --token-from T")
        page.ask("one")
        page.ask("two")
        turn = page.ask("three")
        limited = turn.locator(".rsql-limited")
        expect(limited).to_contain_text("Limit reached")
        expect(limited).to_contain_text(re.compile(r"Try again in \d+ (s|min|h)"))
        expect(limited.get_by_label("Try again")).to_be_disabled()
        process.terminate()
        process.wait(60)
        turn = page.ask("four")
        expect(turn.locator(".rsql-trouble")).to_contain_text("No gateway answers")
        port = int(url.split(":")[2].split("/")[0])
        with panel_lab.gateway(tmp_path, provider.url, port=port) as (_, dying):
            turn.get_by_label("Try again").click()
            page.turns.last.locator(".rsql-said p").filter(has_text="An answer in some words.").wait_for()
            # It dies in the middle of an answer.
            turn = page.ask("slowly", wait=False)
            turn.locator(".rsql-said p").filter(has_text="word word").wait_for()
            dying.kill()
            expect(turn.locator(".rsql-trouble")).to_contain_text("The answer broke off")
            expect(turn.locator(".rsql-said p")).to_contain_text("word word")
        with panel_lab.gateway(tmp_path, provider.url, port=port):
            turn.get_by_role("button", name="Have the answer gone on with").click()
            page.turns.last.filter(has_text="Go on exactly where your answer broke off").wait_for()
            page.turns.last.locator(".rsql-said p").filter(has_text="An answer in some words.").wait_for()
            expect(turn.locator(".rsql-said p")).to_contain_text("word word")
        before = provider.asked[-1]["messages"][-2]
        assert before["role"] == "assistant"
        assert before["content"].startswith("word word")
    page.type_cell(f"%rsql connect {gateway} --token-from T")
