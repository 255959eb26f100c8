"""The sidebar as a student has it: JupyterLab on the hub, the hub's gateway, a tutor who reads what is shared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from .student import Visitor, in_a_browser

HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1<&script>"  # as a file's name may be
SALES = "import pandas as pd\nsales = pd.DataFrame({'region': ['N', 'S', 'N'], 'amount': [1, 2, 3]})"
FAILING = "print(sales.groupby('regoin').amount.sum())"
MENDED = FAILING.replace("regoin", "region")
CHART = '{"chart": "bar", "x": "region", "y": "sold"}'
QUERY = f"```sql\nSELECT region, sum(amount) AS sold FROM sales GROUP BY region\n```\n\n```json\n{CHART}\n```"
REASON = f"### new cell after 2: {HOSTILE}\n```python\nsales.amount.max()\n```"


@pytest.fixture
def student(hub, request):
    with in_a_browser(hub, request) as student:
        student.write(f"{HOSTILE}.ipynb", [SALES, FAILING])
        (student.home / f"{HOSTILE}.csv").write_text("n\n1\n")
        yield student


@pytest.mark.sweep  # tests of JupyterLab without a hub and of the hub without a browser show its parts
def test_a_student_asks_mends_shares_and_goes_on_after_the_hub(student, hub, talker):
    talker.answers |= {
        "the largest": (REASON, 0.0),
        "Fix": (f"The column is called region.\n\n```python\n{MENDED}\n```", 0.0),
        "Explain": ("There is no regoin.", 0.0),
        "sold": (QUERY, 0.0),
    }
    student.log_in(f"{HOSTILE}.ipynb")
    student.run(0)
    asks_by_the_hubs_gateway(student, hub, talker)
    mends_a_cell(student)
    names_are_text(student)
    shares_and_takes_back(student, hub)
    assert student.page.evaluate("window.hacked") is None
    assert [url for url in student.asked if not url.startswith((hub.url, "data:", "blob:")) or url.endswith("/x")] == []
    # The student's server and the hub end; what was said is there in those that follow.
    student.end_server()
    hub.kill()
    hub.start()
    student.go_on()
    student.turns.filter(has_text="Show the largest").wait_for()
    first = student.turns.filter(has_text="How much was sold?")
    expect(first.locator("td")).to_have_text(["N", "4", "S", "2"])
    expect(first.locator("pre").first).to_contain_text("SELECT region")
    first.locator(".rsql-chart :is(canvas, svg)").first.wait_for()
    student.ask("What did I ask before?")
    assert "How much was sold?" in str(talker.asked[-1]["messages"])
    assert student.errors == []


def asks_by_the_hubs_gateway(student, hub, talker):
    """The sidebar from the status bar, and what is left of the course's limits there."""
    before = len(talker.asked)
    student.status.click()
    turn = student.ask("Is anything odd?")
    expect(turn.locator(".rsql-said")).to_have_text("An answer in some words.")
    expect(turn.locator(".rsql-bar")).to_contain_text("talker")
    expect(student.status).to_contain_text("999 of 1,000 left / day")
    assert "sales: pandas DataFrame" in talker.asked[-1]["messages"][-1]["content"]
    lin = hub.token("lin")
    assert hub.ask("stats", lin).json()["limits"]["day"]["current"] == len(talker.asked) - before == 1


def mends_a_cell(student):
    failed = student.run(1)
    student.button("Explain this error", failed).click()
    student.turns.filter(has_text="There is no regoin.").wait_for()
    student.button("Propose a fix of this cell", failed).click()
    failed.locator(".rsql-diff ins mark", has_text="region").wait_for()
    student.button("Accept the change and run the cell", failed).click()
    failed.locator(".jp-OutputArea-output", has_text="Name: amount").wait_for()


def names_are_text(student):
    """Hostile titles of conversations, reasons of changes and names of files, beside a query with rows and a chart."""
    sidebar = student.sidebar
    student.button("New conversation").first.click()
    turn = student.ask(f"/sql frames {HOSTILE} How much was sold?")
    expect(turn.locator("td")).to_have_text(["N", "4", "S", "2"])
    turn.locator(".rsql-chart :is(canvas, svg)").first.wait_for()
    do = student.button("Do it in the notebook instead of answering")
    do.click()
    changes = student.ask("Show the largest").locator(".rsql-changes")
    changes.get_by_text(HOSTILE).wait_for()
    student.button("Reject all", changes).click()
    changes.get_by_text("Rejected.").wait_for()
    do.click()
    sidebar.get_by_label("Files", exact=True).set_input_files(student.home / f"{HOSTILE}.csv")
    read = sidebar.get_by_role("dialog", name=f"Read {HOSTILE}.csv?")
    student.button("Close", read).click()
    student.more("Files of this conversation")
    files = sidebar.get_by_role("dialog", name="Files of this conversation")
    files.get_by_role("button", name=re.compile("^Save img-src-x-.*parquet$")).wait_for()
    student.button("Close", files).click()
    sidebar.locator(".rsql-title").click()
    sidebar.get_by_role("menuitem", name="Find and manage all").click()
    kept = sidebar.get_by_role("dialog", name="Conversations")
    kept.get_by_role("button", name=re.compile("^Open <img src=x onerror")).wait_for()
    student.button("Close", kept).click()


def is_page_for_the_tutor(student, link):
    """The link in a browser of somebody who is not logged in yet."""
    tutor = Visitor(student.page.context.browser, "tess")
    assert tutor.open(link) == 200
    page = tutor.page
    page.get_by_role("heading", name="How much was sold?").wait_for()
    expect(page.locator("pre").first).to_contain_text("SELECT region")
    expect(page.locator("td")).to_have_text(["N", "4", "S", "2"])
    drawn = page.get_by_role("img", name=re.compile("^(.*[.?] )?Bar chart of "))
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    assert page.evaluate("window.hacked") is None
    tutor.close()


def shares_and_takes_back(student, hub):
    """A link for the course's tutor; another's student, and the tutor after that, are led nowhere."""
    student.more("Share by a link")
    shared = student.sidebar.get_by_role("dialog", name="Shared by a link")
    link = shared.locator("pre").text_content()
    student.button("Close", shared).click()

    def opened(name):
        return hub.http.get(link, headers={"Authorization": f"Bearer {hub.token(name)}"})

    told = opened("tess").json()
    assert (told["user"], len(told["pairs"])) == ("lin", 2)
    assert opened("ada").status_code == 404
    is_page_for_the_tutor(student, link)
    student.page.locator(".jp-Notebook .jp-Cell").last.locator(".cm-content").click()
    student.page.keyboard.insert_text(f"%load_ext rsql_magic\n%rsql history open {link}")
    student.page.keyboard.press("Shift+Enter")
    output = student.page.locator(".jp-OutputArea-output")
    output.locator("h1", has_text="<img src=x onerror=window.hacked=1>").wait_for()
    expect(output.filter(has_text="New cell after 2 (rejected)")).to_have_count(1)
    student.more("Take the link back")
    student.sidebar.get_by_text("The link leads nowhere any more.").wait_for()
    assert opened("tess").status_code == 404
