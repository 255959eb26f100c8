"""What goes into a question beside words, and what stays of its answer: pictures, files, terms, documents, exports."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from e2e import panel_lab
from playwright.sync_api import expect

FLIGHTS = 'import pandas as pd\nflights = pd.DataFrame({"origin": ["JFK", "LGA", "EWR"], "n": [3, 2, 1]})'
PICTURES = [Path(__file__).parents[2] / "docs" / "images" / f"panel_{name}.png" for name in ("quota", "chips")]
DROP_PICTURE = """(panel, [name, data]) => {
  const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
  for (const kind of ["dragenter", "dragover", "drop"])
    panel.dispatchEvent(new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
}"""
BESIDE = {
    "plan.md": "# Plan\nCount the flights of each gate.\n",
    "handbook.md": "# Handbook\n## Delays\nA flight is delayed when it leaves 15 minutes late.\n",
    "data-dict.yaml": "tables: {}\nglossary:\n  turnaround: Minutes between landing and take-off\n",
}
NOTED = "# Notes\n\nLook at the `gate` first.\n\n```python\nprint(flights.n.sum())\n```"
QUERY = '```sql\nSELECT origin, n FROM flights ORDER BY n\n```\n```json\n{"chart": "bar", "x": "origin", "y": "n"}\n```'
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
DRAWING = f"""\
```python
from base64 import b64decode
from IPython.display import Image, display
display(Image(b64decode("{DOT}")))
```"""


@pytest.fixture(scope="module")
def side(town):
    for name, text in BESIDE.items():
        (town.folder / name).write_text(text)
    side = panel_lab.Side(town.page("jupyterlab", "files", [FLIGHTS]))
    side.open()
    yield side
    for name in BESIDE:  # which other notebooks of the folder would be told, too
        (town.folder / name).unlink()
    assert side.notebook.errors == []


@pytest.fixture
def provider(town):
    with panel_lab.answers_of_a_test(town.provider) as provider:
        yield provider


def last_question(provider):
    return provider.asked[-1]["messages"][-1]["content"]


def choose(side, item):
    """An item of the menu of a conversation."""
    side.button("More", side.sidebar).click()
    side.sidebar.get_by_role("menuitem", name=item, exact=True).click()


def downloaded(side, button):
    """The name and the bytes of what a button saves."""
    with side.page.expect_download() as saved:
        button.click()
    return saved.value.suggested_filename, Path(saved.value.path()).read_bytes()


STICKS_OUT = """(sheet) => [...sheet.querySelectorAll("*")]
  .filter((one) => one.getBoundingClientRect().right > sheet.getBoundingClientRect().right)
  .map((one) => one.textContent)"""


@pytest.mark.spine
def test_pictures_chosen_and_dropped_go_to_the_model_byte_for_byte(side, provider):
    chosen, dropped = PICTURES
    side.sidebar.get_by_label("Files", exact=True).set_input_files(chosen)
    data = base64.b64encode(dropped.read_bytes()).decode()
    side.sidebar.locator(".rsql-panel").evaluate(DROP_PICTURE, [dropped.name, data])
    chips = side.sidebar.get_by_role("group", name="Pictures").locator(".rsql-chip")
    expect(chips).to_have_text([chosen.name, dropped.name])
    side.ask("What is in the pictures?")
    text, *pictures = last_question(provider)
    assert "What is in the pictures?" in text["text"]
    sent = [base64.b64decode(each["image_url"]["url"].removeprefix("data:image/png;base64,")) for each in pictures]
    assert sent == [each.read_bytes() for each in PICTURES]
    expect(chips).to_have_count(0)
    side.ask("And in words?")
    assert "data:image" not in str(provider.asked[-1])


def test_files_terms_and_documents_are_completed_shown_and_told(side, provider):
    side.notebook.type_cell("%load_ext rsql_magic\n%rsql docs add handbook.md")
    side.box.fill("Mind ")
    for typed, name in (("file:pl", "file:plan.md"), ("term:turn", "term:turnaround"), ("doc:hand", "doc:handbook.md")):
        side.box.press("End")
        side.box.press_sequentially(f"@{typed}")
        side.sidebar.get_by_role("option", name=f"@{name}").wait_for()
        side.box.press("Tab")
        expect(side.box).to_have_value(re.compile(f"@{name} $"))
    side.box.press_sequentially("when a flight is delayed")
    chips = side.sidebar.locator(".rsql-chips .rsql-chip")
    expect(chips).to_have_count(3)
    expect(side.sidebar.locator(".rsql-missing")).to_have_count(0)
    side.button("Show what is sent of @file:plan.md", chips).click()
    expect(side.sidebar.get_by_role("dialog")).to_contain_text("Count the flights of each gate.")
    side.page.keyboard.press("Escape")
    side.ask("Mind @file:plan.md @term:turnaround @doc:handbook.md when a flight is delayed")
    told = last_question(provider)
    assert '<data kind="file" name="plan.md"' in told
    assert "Count the flights of each gate." in told
    assert "Minutes between landing and take-off" in told
    assert "leaves 15 minutes late" in told


def test_a_conversation_is_found_renamed_saved_as_markdown_and_deleted(side, provider):
    provider.answers["gates"] = (NOTED, 0.0)
    side.button("New conversation", side.sidebar).first.click()
    expect(side.turns).to_have_count(0)
    side.ask("What about the gates?")
    side.sidebar.locator(".rsql-title").click()
    side.sidebar.get_by_role("menuitem", name="Find and manage all").click()
    kept = side.sidebar.get_by_role("dialog", name="Conversations")
    kept.get_by_label("Search conversations").fill("gates")
    kept.get_by_text("1 conversation", exact=True).wait_for()
    side.button("Rename What about the gates?", kept).click()
    kept.get_by_label("Name of the conversation").fill("Gates")
    kept.get_by_label("Name of the conversation").press("Enter")
    expect(side.sidebar.locator(".rsql-title")).to_contain_text("Gates")
    name, saved = downloaded(side, side.button("Save Gates as Markdown", kept))
    assert name == "gates.md"
    assert "What about the gates?" in saved.decode()
    for part in ("Look at the `gate` first.", "```python\nprint(flights.n.sum())\n```"):
        assert part in saved.decode()
    forget = side.button("Delete all conversations of all notebooks", kept)
    forget.click()  # which asks whether that is meant
    kept.get_by_text("Really delete all conversations of all notebooks?").wait_for()
    assert kept.evaluate(STICKS_OUT) == []
    side.button("Close", kept).click()
    choose_saved = side.sidebar.get_by_role("menuitem", name="Save as a Markdown file", exact=True)
    side.button("More", side.sidebar).click()
    assert downloaded(side, choose_saved) == (name, saved)
    choose(side, "Delete")
    expect(side.sidebar.locator(".rsql-title")).not_to_contain_text("Gates")
    expect(side.turns.filter(has_text="What about the gates?")).to_have_count(0)


@pytest.mark.spine
def test_files_of_an_answer_are_opened_saved_pinned_and_dragged_into_a_cell(side, provider):
    provider.answers |= {"per origin": (QUERY, 0.0), "Draw": (DRAWING, 0.0)}
    side.button("New conversation", side.sidebar).first.click()
    turn = side.ask("/sql frames How many flights per origin?")
    expect(turn.locator("td")).to_have_text(["EWR", "1", "LGA", "2", "JFK", "3"])
    drawn = side.ask("Draw a line")
    drawn.get_by_label("Run", exact=True).click()
    drawn.locator(".rsql-confirm .rsql-primary").click()
    shown = drawn.locator(".rsql-output img").get_attribute("src")
    choose(side, "Files of this conversation")
    files = side.sidebar.get_by_role("dialog", name="Files of this conversation")

    def button(what, ending):
        return files.get_by_role("button", name=re.compile(rf"^{what} .*{re.escape(ending)}$"))

    assert f"data:image/png;base64,{base64.b64encode(downloaded(side, button('Save', '-1.png'))[1]).decode()}" == shown
    name, query = downloaded(side, button("Save", ".sql"))
    assert query.decode() == "-- How many flights per origin?\nSELECT origin, n FROM flights ORDER BY n;\n"
    rows = downloaded(side, button("Save", ".parquet"))[1]
    assert pd.read_parquet(io.BytesIO(rows)).to_dict("list") == {"origin": ["EWR", "LGA", "JFK"], "n": [1, 2, 3]}
    panel_lab.accessible(side.page, ".rsql-sheet")
    button("Pin", ".sql").click()
    button("Unpin", ".sql").wait_for()
    # What is dragged into a cell is the code that opens it.
    cell = side.page.locator(".jp-Notebook .jp-CodeCell").last
    row = files.locator("li").filter(has_text=".parquet")
    cell.locator(".cm-content").evaluate(panel_lab.DROPPED_ON, row.element_handle())
    expect(cell).to_contain_text("rsql_magic.artifact(")
    button("Open", ".sql").click()
    expect(side.sidebar.get_by_role("dialog", name=name).locator("pre")).to_have_text(query.decode())
    side.page.keyboard.press("Escape")
    choose(side, "Files of this conversation")
    button("Open", ".parquet").click()
    files.wait_for(state="hidden")
    expect(side.box).to_have_value(re.compile("@sql_"))
    side.box.fill("")
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Control+Enter")
    cell.locator(".jp-OutputArea-output", has_text="LGA").wait_for()


GONE = """\
import sqlite3
from jupyter_core.paths import jupyter_data_dir
with sqlite3.connect(jupyter_data_dir() + "/rsql/conversations.db") as db:
    print(db.execute("DELETE FROM artifact WHERE made = (SELECT max(made) FROM artifact)").rowcount, "files gone")
db.close()"""
ON_TOP = """(said) => {
  const { left, top, width, height } = said.getBoundingClientRect();
  return said.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""


def test_all_rows_of_a_result_that_was_cut_are_had_from_the_list_of_files(side, provider):
    provider.answers |= {"numbers": ("```sql\nSELECT n FROM numbers ORDER BY n\n```", 0.0)}
    side.cell("numbers = pd.DataFrame({'n': range(2_500)})")
    side.button("New conversation", side.sidebar).first.click()
    side.ask("/sql frames Which numbers are there?")
    choose(side, "Files of this conversation")
    files = side.sidebar.get_by_role("dialog", name="Files of this conversation")
    rows = files.locator("li").filter(has_text="parquet")
    expect(rows).to_contain_text("first 1,000 of 2,500 rows")
    rows.get_by_role("button", name="Get all rows of which-numbers-are-there-first-1000-rows.parquet").click()
    expect(files.get_by_role("status")).to_have_text("which-numbers-are-there.parquet: 2,500 rows.")
    whole = rows.filter(has_text="which-numbers-are-there.parquet")
    expect(whole).to_contain_text("2,500 rows")
    expect(whole.get_by_role("button").first).to_be_focused()
    saved = downloaded(side, files.get_by_role("button", name="Save which-numbers-are-there.parquet", exact=True))[1]
    assert pd.read_parquet(io.BytesIO(saved))["n"].tolist() == [*range(2_500)]
    # What another page has deleted meanwhile.
    side.cell(GONE)
    side.page.locator(".jp-OutputArea-output", has_text="files gone").wait_for()
    whole.get_by_role("button", name=re.compile("^Pin")).click()
    said = side.sidebar.locator(".rsql-toast")
    expect(said).to_contain_text("This file is gone.")
    assert said.evaluate(ON_TOP), "no dialog covers it"
    side.cell("numbers = None")
    rows.get_by_role("button", name=re.compile("^Get all rows")).click()
    expect(files.get_by_role("status")).to_contain_text("numbers")
    expect(rows).to_have_count(1)
    side.page.keyboard.press("Escape")


NO_FILES = """\
import sqlite3
from jupyter_core.paths import jupyter_data_dir
with sqlite3.connect(jupyter_data_dir() + "/rsql/conversations.db") as db:
    print(db.execute("DELETE FROM artifact").rowcount, "files of others")
db.close()"""
# As time goes by for files that are kept already.
MUCH_LATER = """\
import sqlite3
from jupyter_core.paths import jupyter_data_dir
with sqlite3.connect(jupyter_data_dir() + "/rsql/conversations.db") as db:
    print(db.execute("UPDATE artifact SET made = made - 91 * 86400").rowcount, "files aged")
db.close()"""


def listed(side):
    """The names of the files of the conversation, and what stands above and below them."""
    choose(side, "Files of this conversation")
    files = side.sidebar.get_by_role("dialog", name="Files of this conversation")
    files.locator("footer p").filter(has_text="files").wait_for()
    names = [each.get_attribute("aria-label").removeprefix("Open ") for each in files.locator("li > button").all()]
    return files, names, files.get_by_role("status"), files.locator("footer")


def run(side, cell, shown):
    """Run a cell that shows some words."""
    cell.locator(".cm-content").click()
    side.page.keyboard.press("Shift+Enter")
    cell.locator(".jp-OutputArea-output", has_text=shown).wait_for()


def restarted(side):
    """Restart the kernel, and wait until the sidebar has gone on with the new one."""
    side.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    side.sidebar.locator(".rsql-banner").wait_for()
    side.sidebar.locator(".rsql-banner").wait_for(state="hidden")
    side.cell(FLIGHTS)


def test_files_make_room_for_new_ones_go_with_their_days_and_the_list_says_so(side, provider):
    provider.answers |= {"flights per": (QUERY, 0.0), "origins": (QUERY.partition("```json")[0], 0.0)}
    side.cell(NO_FILES)  # as those of all notebooks count
    side.page.locator(".jp-OutputArea-output", has_text="files of others").wait_for()
    side.button("New conversation", side.sidebar).first.click()
    side.ask("/sql frames How many flights per airport?")
    files, names, _, room = listed(side)
    first = "how-many-flights-per-airport"
    assert {f"{first}.sql", f"{first}.parquet", f"{first}.vl.json"} <= set(names)
    expect(room).to_have_text(re.compile(r"take [\d.]+ kB of 512 MB: the oldest make room for new ones\. After 90"))
    side.button(f"Pin {first}.sql", files).click()
    side.button(f"Unpin {first}.sql", files).wait_for()
    side.button("Close", files).click()
    # What is pinned stays, and all else makes room for what is new.
    side.notebook.type_cell("%config Rsql.artifact_mb = 0.005")
    side.ask("/sql frames Which origins are there?")
    files, names, refused, room = listed(side)
    second = "which-origins-are-there"
    assert (names[0], set(names[1:])) == (f"{first}.sql", {f"{second}.sql", f"{second}.parquet"})
    expect(refused).to_have_text("")
    expect(room).to_contain_text(re.compile(r"take [\d.]+ kB of 5 kB"))
    side.button("Close", files).click()
    # What is too large is not kept.
    side.notebook.type_cell("%config Rsql.artifact_mb = 0.0005")
    side.ask("/sql frames And the origins by name?")
    files, names, refused, room = listed(side)
    assert set(names) == {f"{first}.sql", "and-the-origins-by-name.sql"}
    expect(refused).to_have_text(
        re.compile(
            r"^A file is not kept: and-the-origins-by-name\.parquet has [\d.]+ kB, and all files together may have"
            r" 500 bytes \(Rsql\.artifact_mb\), of which pinned ones take \d+ bytes\.$"
        )
    )
    panel_lab.accessible(side.page, ".rsql-sheet")
    assert files.evaluate(STICKS_OUT) == []
    # What is older than its days is gone in the next session, for the cell that opens it, too; what is pinned stays.
    cells = side.page.locator(".jp-Notebook .jp-CodeCell")
    cell = cells.nth(cells.count() - 1)
    row = files.locator("li").filter(has_text="and-the-origins")
    cell.locator(".cm-content").evaluate(panel_lab.DROPPED_ON, row.element_handle())
    side.button("Close", files).click()

    run(side, cell, "SELECT origin")
    side.cell(MUCH_LATER)
    restarted(side)
    run(side, cell, "This file is gone. It was deleted, was too old, or made room for newer ones.")
    files, names, _, _ = listed(side)
    assert names == [f"{first}.sql"]
    side.button("Close", files).click()
