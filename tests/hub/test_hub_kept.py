"""Conversations and files that last, as a student has them: elsewhere, for nobody else, forgotten, within bounds."""

from __future__ import annotations

import re
import shutil
import sqlite3
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from e2e import panel_lab
from playwright.sync_api import expect
from waiting import eventually

from .student import Visitor, in_a_browser

# No word of these stands in a notebook, which keeps the code of its cells; a value is put together from two.
QUESTION, VALUE = "How many quaggas were sold?", "bluebuck"
SALES = "import pandas as pd\nsales = pd.DataFrame({'animal': ['blue' 'buck', 'dodo'], 'amount': [1, 2]})"
QUERY = (
    "```sql\nSELECT animal, sum(amount) AS sold FROM sales GROUP BY animal ORDER BY sold\n```\n"
    '```json\n{"chart": "bar", "x": "animal", "y": "sold"}\n```'
)
SOLD = [VALUE, "1", "dodo", "2"]
MANY = "import random\ncodes = pd.DataFrame({'code': ['%064x' % random.getrandbits(256) for _ in range(900)]})"
ROOM = 1_000_000  # bytes that the gateway has for each student

pytestmark = pytest.mark.sweep  # tests without a hub, and of the gateway without a browser, show the parts


@pytest.fixture
def student(hub, request, talker):
    """The student kim, who has copies of conversations kept at the gateway, with the sidebar open."""
    with panel_lab.answers_of_a_test(talker), in_a_browser(hub, request, "kim") as student:
        talker.answers.clear()
        talker.answers |= {"codes are": ("```sql\nSELECT code FROM codes\n```", 0.0), "quaggas were": (QUERY, 0.0)}
        profile = student.home / ".ipython" / "profile_default"
        profile.mkdir(parents=True, exist_ok=True)
        (profile / "ipython_config.py").write_text("get_config().Rsql.copy_conversations = True\n")
        student.write("kept.ipynb", [SALES, MANY])
        student.log_in("kept.ipynb")
        student.run(0)
        student.status.click()
        student.button("New conversation").first.click()
        student.token = hub.token("kim")
        yield student
        hub.ask("conversations", student.token, "DELETE")
        assert student.errors == []


def rsql(student):
    """Jupyter's data folder, where conversations are kept."""
    return student.home / ".local" / "share" / "jupyter" / "rsql"


def asked(student):
    """Ask a question whose answer makes files."""
    is_whole(student.ask(f"/sql frames {QUESTION}"))


def is_whole(turn):
    """The answer with its query, its rows and its chart."""
    expect(turn.locator("td")).to_have_text(SOLD)
    expect(turn.locator("pre").first).to_contain_text("SELECT animal")
    turn.locator(".rsql-chart :is(canvas, svg)").first.wait_for()


def files_of(student):
    """The dialog of the files of the conversation."""
    student.more("Files of this conversation")
    return student.sidebar.get_by_role("dialog", name="Files of this conversation")


def saved(student, files, name):
    """The bytes of a file that the browser saves."""
    with student.page.expect_download() as download:
        student.button(f"Save {name}", files).click()
    return Path(download.value.path()).read_bytes()


def at_the_gateway(hub, token, files):
    """The conversation as a program finds it once so many files of it are there, or more: its id, and the files."""

    def found():
        sessions = hub.ask("sessions", token).json()["sessions"]
        rows = sessions and hub.ask(f"sessions/{sessions[0]['id']}/artifacts", token).json()["artifacts"]
        return sessions and len(rows) >= files and (sessions[0]["id"], rows)

    return eventually(found, hub.log)


def path_of(row):
    return f"download/{row['kind']}/{row['id']}"


def holding(folder, word):
    """Names of the files below a folder, other than sockets, in whose bytes a word stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name for path in files if word.lower().encode() in path.read_bytes().lower()}


def is_sealed(student, hub, session, link):
    """Nothing that was said, no row and no link stands in a file of the hub; the id of a conversation does."""
    for word in ("quagga", VALUE, link.rpartition("/")[2]):
        assert holding(hub.folder, word) == set(), word
    assert {name.partition("-")[0] for name in holding(hub.folder, session)} == {"rsql.db", "conversations.db"}
    for name in ("conversations.key", "conversations.db"):
        assert (rsql(student) / name).stat().st_mode & 0o777 == 0o600


def shared(student):
    student.more("Share by a link")
    shown = student.sidebar.get_by_role("dialog", name="Shared by a link")
    link = shown.locator("pre").text_content()
    student.button("Close", shown).click()
    return link


def test_what_is_kept_follows_its_student_is_for_nobody_else_and_is_forgotten(student, hub):
    asked(student)
    files = files_of(student)
    names = [f"how-many-quaggas-were-sold.{ending}" for ending in ("sql", "parquet", "vl.json", "png")]
    kept = {name: saved(student, files, name) for name in names}
    assert {name: bool(content) for name, content in kept.items()} == dict.fromkeys(names, True)
    student.button("Close", files).click()
    session, rows = at_the_gateway(hub, student.token, len(names))
    assert {row["name"]: hub.ask(path_of(row), student.token).content for row in rows} == kept
    assert {row["name"]: row["digest"] for row in rows} == {n: sha256(body).hexdigest() for n, body in kept.items()}
    follows_to_another_machine(student, kept)
    addresses = [f"sessions/{session}", f"sessions/{session}/artifacts", *map(path_of, rows)]
    tutor, fellow = (Visitor(student.page.context.browser, name) for name in ("tom", "leo"))
    link = shared(student)
    is_sealed(student, hub, session, link)
    is_for_nobody_else(hub, tutor, fellow, link, addresses)
    assert fellow.open(f"{hub.url}user/{student.name}/lab/tree/kept.ipynb") == 403
    student.more("Take the link back")
    student.sidebar.get_by_text("The link leads nowhere any more.").wait_for()
    assert tutor.open(link) == 404
    link = shared(student)
    assert tutor.open(link) == 200
    forgets(student)
    eventually(lambda: not hub.ask("sessions", student.token).json()["sessions"], hub.log)
    assert {hub.ask(path, student.token).status_code for path in addresses} == {404}
    assert [who.open(link) for who in (tutor, Visitor(student.page.context.browser, "kim"))] == [404, 404]
    student.end_server()
    student.go_on()
    student.button("New conversation").first.wait_for()
    expect(student.turns).to_have_count(0)
    assert holding(hub.folder, "quagga") == set()


def follows_to_another_machine(student, kept):
    """In a home where nothing is kept yet, as on another machine, all of it is there, and files are fetched."""
    student.end_server()
    shutil.rmtree(rsql(student))
    student.go_on()
    is_whole(student.turns.filter(has_text=QUESTION).first)
    files = files_of(student)
    expect(files.locator("li small").filter(has_text="at the gateway")).to_have_count(len(kept))
    assert {name: saved(student, files, name) for name in kept} == kept
    student.button("Close", files).click()
    student.ask("What did I ask?")


def is_for_nobody_else(hub, tutor, fellow, link, addresses):
    """A fellow student finds nothing, whatever address is tried, and a tutor only what the link leads to."""
    assert tutor.open(link) == 200
    tutor.page.get_by_role("heading", name=QUESTION).first.wait_for()
    assert fellow.open(link) == 404
    fellow.page.get_by_text("This link leads nowhere").wait_for()
    for who in (tutor, fellow):
        for path in addresses:
            assert who.open(f"{hub.gateway}{path}") == 404, path
            assert "quagga" not in who.page.content()


def forgets(student):
    """All that is kept is deleted by the panel."""
    student.sidebar.locator(".rsql-title").click()
    student.sidebar.get_by_role("menuitem", name="Find and manage all").click()
    kept = student.sidebar.get_by_role("dialog", name="Conversations")
    kept.get_by_role("button", name="Delete all conversations").click()
    kept.get_by_role("button", name=re.compile("Really")).click()
    student.sidebar.get_by_text(re.compile(r"^Deleted \d+ conversation")).wait_for()
    kept.get_by_text("0 conversations").wait_for()
    student.button("Close", kept).click()
    expect(student.turns).to_have_count(0)


def test_a_full_gateway_and_a_conversation_whose_time_is_over_are_said(student, hub):
    asked(student)
    session, rows = at_the_gateway(hub, student.token, 4)
    tutor, link = Visitor(student.page.context.browser, "tom"), shared(student)
    room_is_used_up(student, hub, session)
    assert tutor.open(link) == 200
    # The time that the conversation had at the gateway is over.
    with sqlite3.connect(hub.folder / "rsql.db") as db:
        assert db.execute("UPDATE session_copies SET expires = 1 WHERE caller = 'kim'").rowcount == 1
    db.close()
    assert tutor.open(link) == 404
    tutor.page.get_by_text("its time is over").wait_for()
    assert hub.ask("sessions", student.token).json()["sessions"] == []
    addresses = [f"sessions/{session}", f"sessions/{session}/artifacts", *map(path_of, rows)]
    assert {hub.ask(path, student.token).status_code for path in addresses} == {404}
    # Here it is as it was, and is copied anew with the next answer, without the link.
    is_whole(student.turns.filter(has_text=QUESTION).first)
    student.ask("Is it still there?")
    again, _ = at_the_gateway(hub, student.token, 0)
    assert (again, tutor.open(link)) == (session, 404)
    fill(hub, student.token, session, "third.txt", ROOM // 2)
    _, rows = at_the_gateway(hub, student.token, 1)
    own_data_is_deleted(student, hub)
    assert hub.ask("sessions", student.token).json()["sessions"] == []
    assert {hub.ask(path_of(row), student.token).status_code for row in rows} == {404}


def fill(hub, token, session, name, free):
    """Have a program keep a file with a conversation, so large that so many bytes of the room stay free."""
    files = hub.ask(f"sessions/{session}/artifacts", token).json()["artifacts"]
    used = sum(one["bytes"] for one in [*hub.ask("sessions", token).json()["sessions"], *files])
    data = b64encode(bytes(ROOM - used - free)).decode()
    sent = {"kind": "report", "name": name, "data": data}
    assert hub.ask(f"sessions/{session}/artifacts", token, "POST", json=sent).status_code == 201


def room_is_used_up(student, hub, session):
    """What does not fit at the gateway is said, and is there when the student has made room in the list of files."""
    full = "You may keep 1 MB of conversations and files at this gateway. Delete what you no longer need."
    student.run(1)
    fill(hub, student.token, session, "first.txt", 40_000)
    student.ask("/sql frames Which codes are there?")
    eventually(lambda: above_the_files(student) == f"Not all files are copied to the gateway. {full}")
    fill(hub, student.token, session, "second.txt", 0)
    student.ask("Does this fit?")
    trouble = student.sidebar.locator(".rsql-panel > .rsql-trouble")
    expect(trouble).to_contain_text(f"This conversation is not copied to the gateway: {full}")
    files = files_of(student)
    for name in ("first.txt", "second.txt"):
        student.button(f"Delete {name}", files).click()
        eventually(lambda name=name: name not in files_there(hub, student, session), hub.log)
    student.button("Close", files).click()
    expect(trouble).to_be_hidden()
    assert len(hub.ask(f"sessions/{session}", student.token).json()["pairs"]) == 3
    at_the_gateway(hub, student.token, 6)


def above_the_files(student):
    """What stands above the list of the files of the conversation."""
    files = files_of(student)
    files.locator("li").first.wait_for()
    said = files.get_by_role("status").text_content()
    student.button("Close", files).click()
    return said


def files_there(hub, student, session):
    return {one["name"] for one in hub.ask(f"sessions/{session}/artifacts", student.token).json()["artifacts"]}


def own_data_is_deleted(student, hub):
    """On the gateway's page of one's own use."""
    own = Visitor(student.page.context.browser, student.name)
    own.open(hub.pages)
    own.page.get_by_role("button", name="Delete my data").click()
    own.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    own.page.locator(".toast").filter(has_text="Deleted: ").wait_for()
    own.close()
