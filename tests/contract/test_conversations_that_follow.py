"""A student's conversations on two machines of a hub, a teacher's look by a link, and strangers, by a real gateway."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from functools import partial
from types import SimpleNamespace

import httpx
import msgspec
import pandas as pd
import pytest
from cryptography.fernet import Fernet
from panel_talk import Talk

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.assistant import Assistant
from rsql_magic.config import Rsql
from rsql_magic.display import Screen, charts
from rsql_magic.display.charts import Chart
from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.notebook.history import HistoryCommands
from rsql_magic.panel import ChatPanel, Conversations, Keeper
from rsql_magic.panel.kept import images, making, writing
from rsql_magic.panel.kept.artifacts import NewArtifact
from rsql_magic.panel.kept.copies import background
from rsql_magic.panel.kept.copies import files as file_copies
from rsql_magic.panel.kept.copies.known import place_of
from rsql_magic.panel.kept.records import written
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("programs")

CONFIG = """
default_model = "offline"
[storage]
ledger = "sqlite:///{folder}/ledger.db"
prompt_keys = ["{key}"]
[[keys]]
provider = "offline"
"""
CALLER = """
[[api_keys]]
name = "{name}"
key = "{name}-token"
tenant = "{tenant}"
scopes = {scopes}
"""
PEOPLE = {"tia": ("stats", ["chat", "instructor"]), "ada": ("stats", ["chat"]), "eve": ("law", ["chat", "instructor"])}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a gateway with two groups."""
    folder = tmp_path_factory.mktemp("gateway")
    callers = (CALLER.format(name=name, tenant=tenant, scopes=scopes) for name, (tenant, scopes) in PEOPLE.items())
    config = folder / "rsql.toml"
    key = Fernet.generate_key().decode()
    config.write_text("".join([CONFIG.format(folder=folder, key=key), *callers]).replace("'", '"'))
    command = [sys.executable, "-m", "jupyter_server_ext", "--port=0", f"--gateway-config={config}"]
    environment = {**os.environ, "JUPYTER_TOKEN": "owner-token"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            yield process.stdout.readline().split("ready at ")[1].strip()
        finally:
            process.terminate()
            process.stdout.read()


@pytest.fixture
def machine(url, tmp_path, monkeypatch):
    """Makes panels of callers, each machine with a home of its own."""
    monkeypatch.setattr(writing, "_GATHER", 0.01)
    monkeypatch.setattr(background, "GATHER", 0.05)
    begun = []

    def start(caller, home, *, path="~/delays.ipynb", follows=True):
        environ = {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": f"{caller}-token"}
        assistant = Assistant(Rsql(copy_conversations=follows), environ=environ, batch=False)
        keeper = Keeper(tmp_path / home, assistant.settings, path=lambda: path)
        panel = ChatPanel(assistant, NotebookSnapshot, threads=Conversations(assistant, keeper))
        begun.append(panel)
        return Talk(None, assistant, panel)

    yield start
    for panel in begun:
        panel.close()
        panel.threads.close()
        panel.assistant.close()
    httpx.delete(f"{url}conversations", headers={"Authorization": "Bearer ada-token"}, trust_env=False)


def questions(talk, thread=""):
    return [pair["question"] for pair in talk.do("hello", thread=thread)["exchanges"]]


def test_conversations_follow_their_user_are_shared_and_taken_back(machine):
    first = machine("ada", "lab")
    first.ask("/help")
    other = first.do("new")["thread"]
    first.ask("What is a median?", thread=other)
    first.panel.threads.close()

    second = machine("ada", "home")
    told = second.do("hello")
    assert {head["title"] for head in told["threads"]} == {"Notebook", "What is a median?"}
    assert questions(second, other) == ["What is a median?"]
    cells = next(head["id"] for head in told["threads"] if head["shared"])
    assert questions(second, cells) == ["/help"]
    second.ask("What is a mean?", thread=other)
    second.panel.threads.close()
    assert questions(machine("ada", "lab"), other) == ["What is a median?", "What is a mean?"]

    assert questions(machine("eve", "eves")) == []
    assert questions(machine("ada", "third", follows=False)) == []

    third = machine("ada", "lab")
    third.do("hello")
    shared = third.do("share", thread=other)
    teacher = machine("tia", "tias", follows=False)
    who, title, pairs = teacher.panel.threads.copies.shared(shared["link"])
    assert (who, title) == ("ada", "What is a median?")
    assert [pair.question for pair, _ in pairs] == ["What is a median?", "What is a mean?"]
    with pytest.raises(GatewayError, match="not yours"):
        machine("eve", "eves").panel.threads.copies.shared(shared["link"])
    third.do("unshare", thread=other)
    with pytest.raises(GatewayError):
        teacher.panel.threads.copies.shared(shared["link"])

    third.do("delete", thread=other)
    told = third.do("forget")
    assert told.get("gone") == 1, told
    assert third.panel.assistant.locator.gateway.get("sessions") == {"sessions": []}
    assert questions(machine("ada", "fourth")) == []


def drawn(**more):
    """A chart of two rows."""
    spec, _ = charts.draw(Chart("bar", "origin", "n"), pd.DataFrame({"origin": ["EWR", "JFK"], "n": [3, 12]}))
    return spec | more


def keep(talk, thread, **of_pair):
    """Put a pair into a conversation, as an answer does."""
    found = talk.panel.threads.find(thread)
    found.pairs.append(pair := MessagePair(of_pair.pop("question"), "So.", "done", **of_pair))
    talk.panel.threads.keeper.changed(found, pair)
    return found, pair


def page_of(link):
    headers = {"Authorization": "Bearer tia-token", "Accept": "text/html"}
    return httpx.get(link, headers=headers, trust_env=False).text


CHARTED = {"sql": "SELECT 1", "columns": [], "rows": [], "chart": True}


def test_charts_and_plots_are_seen_by_a_link_and_kept_nowhere_twice(machine, monkeypatch):
    ada = machine("ada", "lab")
    thread = ada.do("new")["thread"]
    keep(ada, thread, question="Draw it", drawing=drawn(), result=CHARTED)
    keep(ada, thread, question="Fetch it", drawing=drawn(mark={"type": "image", "url": "http://[::1]:9/"}))
    found, pair = keep(ada, thread, question="Plot it")
    plot = {"kind": "image", "data": b64encode(charts.picture(drawn(), "png")).decode()}
    for _ in range(2):  # code that is run twice draws the same
        ada.panel.threads.keeper.changed(found, pair, made=lambda: making.of_outputs(pair, [plot]))
    ada.panel.threads.keeper.flush()
    copies = ada.panel.threads.copies
    link, _ = copies.share(thread)

    def seen():
        _, _, pairs = machine("tia", "tias", follows=False).panel.threads.copies.shared(link)
        return [[image.description for image in images] for _, images in pairs]

    described = "Bar chart of n by origin: 2 values, from 3 (EWR) to 12 (JFK)"
    assert seen() == [[described], [], ["plot"]]
    page = page_of(link)
    assert page.count('src="data:image/png;base64,iVBOR') == 2
    assert f'alt="{described}"' in page
    ada.panel.threads.close()
    again = machine("ada", "lab")  # a later kernel, which made no link
    again.ask("/help", thread=thread)
    again.panel.threads.close()
    assert seen() == [[described], [], ["plot"], []]

    elsewhere = machine("ada", "home")
    assert questions(elsewhere, thread)[0] == "Draw it"
    assert all(b"iVBOR" not in body for _, body in elsewhere.panel.threads.keeper.store.bodies(thread))

    monkeypatch.setattr(charts, "find_spec", lambda _: None)
    images._drawn.cache_clear()
    link = elsewhere.panel.threads.copies.share(thread)[0]
    assert seen()[0] == []
    assert "rsql-jupyter[png]" in page_of(link)


def test_a_shared_chart_is_shown_in_a_notebook(machine):
    ada = machine("ada", "lab")
    thread = ada.do("new")["thread"]
    keep(ada, thread, question="Draw it", drawing=drawn())
    keep(ada, thread, question="And now?")
    ada.panel.threads.keeper.flush()
    link, _ = ada.panel.threads.copies.share(thread)
    teacher, outputs = machine("tia", "tias", follows=False), []
    screen = Screen()
    screen.show = lambda shown: outputs.append(shown.bundle())
    screen.also = outputs.append
    HistoryCommands(lambda: teacher.panel.threads, teacher.panel.assistant.chat, screen).run(f"open {link}")
    assert ["image/png" in each for each in outputs] == [False, True, False]
    assert "Draw it" in outputs[0]["text/markdown"]
    assert outputs[1]["text/plain"].startswith("<Bar chart of n")
    assert "And now?" in outputs[2]["text/markdown"]


ODD = [7, None, "x", [], {}, [7], [None], {"a": 1}, {"columns": [{}]}, {"columns": [{"name": 1}], "rows": [[1]]}]


def test_a_shared_conversation_of_another_form_is_shown_as_far_as_it_can_be(machine):
    """Whoever shares one can have sent anything."""
    ada = machine("ada", "lab", follows=False).panel.assistant.locator.gateway
    record = msgspec.json.decode(written(MessagePair("Why?", "So.", "done", error={"message": "m"})))
    record |= {"result": CHARTED, "changes": [dict.fromkeys(("type", "title", "state", "reason", "source"), "x")]}
    pairs = [record, *(record | {name: odd} for name in [*record, "images"] for odd in ODD)]
    ada.put("sessions/odd", {"title": "Odd", "pairs": pairs})
    link = ada.post("sessions/odd/share", {})["link"]
    teacher, outputs = machine("tia", "tias", follows=False), []
    screen = Screen()
    screen.show = lambda shown: outputs.append(shown.bundle()["text/plain"])
    HistoryCommands(lambda: teacher.panel.threads, teacher.panel.assistant.chat, screen).run(f"open {link}")
    [text] = outputs
    assert 0 < text.count("form that this version of rsql does not show") < len(pairs) / 2
    assert text.count("So.") > len(pairs) / 2


def test_a_gateway_that_is_gone_is_said_and_nothing_else_is_held_up(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.do("hello")

    def refuse(*_, **__):
        raise GatewayError("The gateway is away.", hint="Later.")

    monkeypatch.setattr(type(talk.panel.assistant.locator.gateway), "put", refuse)
    assert talk.ask("/help")["state"] == "done"
    talk.panel.threads.keeper.flush()
    talk.panel.threads.copies.finish()
    assert talk.do("hello")["trouble"] == (
        "This conversation is not copied to the gateway: The gateway is away. Later."
    )
    assert questions(talk) == ["/help"]


def test_all_are_forgotten_also_where_one_is_deleted_meanwhile(machine, monkeypatch):
    talk = machine("ada", "alone")
    talk.ask("/help")
    talk.panel.threads.keeper.flush()
    talk.panel.threads.copies.finish()
    gateway = talk.panel.assistant.locator.gateway
    get = gateway.get

    def deleted_since(path, **options):
        told = get(path, **options)
        if path == "sessions":
            for one in told["sessions"]:
                gateway.delete(f"sessions/{one['id']}")
        return told

    monkeypatch.setattr(gateway, "get", deleted_since)
    told = talk.do("forget")
    assert told.get("gone") == 1, told


# What was copied or shared is deleted there when it is deleted here.


def said(talk, line):
    """What ``%rsql history`` says."""
    screen, words = Screen(), []
    screen.say = words.append
    screen.show = lambda shown: words.append(shown.bundle()["text/plain"])
    HistoryCommands(lambda: talk.panel.threads, talk.panel.assistant.chat, screen).run(line)
    return " ".join(words)


def shared(talk, thread=""):
    """A conversation of one question, in the notebook's own thread or another, and the link to it."""
    thread = thread or talk.do("new")["thread"]
    talk.ask("/help", thread=thread)
    told = talk.do("share", thread=thread)
    assert told.get("link"), told
    return thread, told["link"]


def there(talk):
    return [one["id"] for one in talk.panel.assistant.locator.gateway.get("sessions")["sessions"]]


def opens(link):
    token = {"Authorization": "Bearer tia-token"}
    return httpx.get(link, headers=token, trust_env=False).status_code == 200


def eventually(is_so):
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


WAYS_TO_DELETE = {
    "in the panel": lambda talk, thread: talk.do("delete", thread=thread),
    "all in the panel": lambda talk, thread: talk.do("forget"),
    "by a command": lambda talk, thread: said(talk, f"delete {thread}"),
    "all by a command": lambda talk, thread: said(talk, "forget"),
    "by /clear": lambda talk, thread: talk.ask("/clear", thread=thread),
    "after a restart": lambda talk, thread: None,
}


@pytest.mark.parametrize("way", WAYS_TO_DELETE)
@pytest.mark.parametrize("whose", ["the cells'", "another"])
def test_what_was_shared_is_deleted_there_with_the_conversation(machine, way, whose):
    ada = machine("ada", "lab", follows=False)
    thread, link = shared(ada, ada.thread if whose == "the cells'" else "")
    assert (len(there(ada)), opens(link)) == (1, True)
    if way == "after a restart":
        ada.panel.threads.close()
        ada = machine("ada", "lab", follows=False)
        thread = ada.thread if whose == "the cells'" else thread
        ada.do("delete", thread=thread)
    WAYS_TO_DELETE[way](ada, thread)
    eventually(lambda: there(ada) == [])
    assert not opens(link)
    assert ada.do("hello")["trouble"] == ""


def test_what_was_copied_before_copies_were_turned_off_is_deleted_with_the_conversation(machine):
    ada = machine("ada", "lab")
    thread = ada.do("new")["thread"]
    ada.ask("/help", thread=thread)
    ada.panel.threads.keeper.flush()
    ada.panel.threads.copies.finish()
    assert there(ada) == [thread]
    ada.panel.assistant.settings.copy_conversations = False
    assert said(ada, "list").endswith(
        f"1 of your conversations has a copy at {place_of(ada.panel.assistant.locator.gateway.url)}: "
        "%rsql history forget copies deletes it."
    )
    ada.do("delete", thread=thread)
    eventually(lambda: there(ada) == [])


def test_copies_alone_can_be_deleted_where_they_are_turned_off(machine):
    ada = machine("ada", "lab")
    ada.ask("/help")
    ada.panel.threads.keeper.flush()
    ada.panel.threads.copies.finish()
    with pytest.raises(BadInput, match="would be made again"):
        said(ada, "forget copies")
    assert len(there(ada)) == 1
    ada.panel.assistant.settings.copy_conversations = False
    assert said(ada, "forget copies") == "No copies of yours are at the gateway any more; conversations stay here."
    assert (there(ada), questions(ada)) == ([], ["/help"])


def test_a_link_that_is_taken_back_takes_the_copy_along_where_none_are_wanted(machine):
    ada = machine("ada", "lab", follows=False)
    thread, link = shared(ada)
    for _ in range(2):  # harmless where it was taken back
        assert "error" not in ada.do("unshare", thread=thread)
        assert (there(ada), opens(link)) == ([], False)
    assert said(ada, f"unshare {thread}") == "The link leads nowhere any more."
    assert questions(ada, thread) == ["/help"]


def test_a_copy_that_follows_outlives_its_link(machine):
    ada = machine("ada", "lab")
    thread, link = shared(ada)
    ada.do("unshare", thread=thread)
    assert (there(ada), opens(link)) == ([thread], False)


def test_a_copy_that_was_changed_by_another_machine_outlives_the_link_of_this_one(machine):
    lab = machine("ada", "lab", follows=False)
    thread, link = shared(lab)
    home = machine("ada", "home")
    home.ask("/help", thread=thread)
    home.panel.threads.close()
    lab.do("unshare", thread=thread)
    assert (there(lab), opens(link)) == ([thread], False)
    assert len(questions(machine("ada", "third"), thread)) == 2


def test_what_two_machines_have_is_deleted_once(machine):
    lab, home = machine("ada", "lab"), machine("ada", "home")
    thread, link = shared(lab)
    lab.panel.threads.copies.finish()
    assert questions(home, thread) == ["/help"]
    for each in (home, lab):
        each.do("delete", thread=thread)
        eventually(lambda: there(lab) == [])
        assert each.do("hello")["trouble"] == ""
    assert not opens(link)


def test_a_conversation_in_which_nothing_was_said_has_no_link(machine):
    ada = machine("ada", "lab", follows=False)
    thread = ada.do("new")["thread"]
    assert ada.do("share", thread=thread)["error"]["message"] == "Nothing was said in this conversation yet."
    assert "error" not in ada.do("unshare", thread=thread)
    assert "error" not in ada.do("delete", thread=thread)
    assert there(ada) == []


def test_a_link_that_cannot_be_made_leaves_no_copy(machine):
    ada = machine("ada", "lab", follows=False)
    thread = ada.do("new")["thread"]
    ada.ask("/help", thread=thread)
    assert "at most" in ada.do("share", thread=thread, days=10_000)["error"]["message"]
    eventually(lambda: there(ada) == [])


def test_a_link_to_a_notebook_that_was_renamed_is_taken_back(machine):
    ada = machine("ada", "lab", follows=False)
    _, link = shared(ada, ada.thread)
    ada.do("moved", path="delays.ipynb")
    ada.do("moved", path="late.ipynb")
    assert "error" not in ada.do("unshare", thread=ada.thread)
    assert (there(ada), opens(link)) == ([], False)


def test_what_is_deleted_while_it_is_copied_stays_nowhere(machine, monkeypatch):
    ada = machine("ada", "lab")
    gateway = ada.panel.assistant.locator.gateway
    put, thread = gateway.put, ada.do("new")["thread"]

    def deleted_meanwhile(path, body):
        if path.endswith(thread):
            ada.panel.threads.keeper.store.delete(thread)
        return put(path, body)

    monkeypatch.setattr(gateway, "put", deleted_meanwhile)
    ada.ask("/help", thread=thread)
    ada.panel.threads.keeper.flush()
    ada.panel.threads.copies.finish()
    eventually(lambda: thread not in there(ada))


# Where the gateway is away at that moment.


@pytest.fixture
def away(monkeypatch):
    """Makes the gateway be away for a machine, or for some requests of it, and come back."""
    monkeypatch.setattr(background, "LONGEST_PAUSE", 0.1)

    def refuse(*_, **__):
        raise GatewayError("The gateway is away.", hint="Later.")

    def leave(talk, *names):
        gateway, names = talk.panel.assistant.locator.gateway, names or ("get", "put", "post", "delete")
        for name in names:
            monkeypatch.setattr(gateway, name, refuse)
        return lambda: [monkeypatch.delattr(gateway, name) for name in names]

    return leave


STILL_THERE = "To be deleted at the gateway still: {}. The gateway is away. Later. It is tried again until it is done."


def test_what_could_not_be_deleted_is_said_and_deleted_when_the_gateway_is_back(machine, away):
    ada = machine("ada", "lab", follows=False)
    thread, link = shared(ada)
    come_back = away(ada)
    ada.do("delete", thread=thread)
    eventually(lambda: ada.do("hello")["trouble"] == STILL_THERE.format("1 copy"))
    pushed = [STILL_THERE.format("1 copy")]
    eventually(lambda: [told["trouble"] for told in ada.views.told if told.get("trouble")] == pushed)
    come_back()
    eventually(lambda: there(ada) == [])
    eventually(lambda: ada.views.told[-1]["trouble"] == "")
    assert not opens(link)


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize("how", ["delete", "forget", "unshare"])
def test_what_could_not_be_deleted_is_deleted_by_a_later_kernel(machine, away, how, follows):
    ada = machine("ada", "lab", follows=follows)
    thread, link = shared(ada)
    come_back = away(ada)
    what = "1 link" if how == "unshare" and follows else "your copies" if follows and how == "forget" else "1 copy"
    if how == "unshare":
        told = ada.do("unshare", thread=thread)["error"]
        assert f"{told['message']} {told['hint']}" == STILL_THERE.format(what)
    else:
        told = said(ada, "forget" if how == "forget" else f"delete {thread}")
        assert told.endswith(STILL_THERE.format(what)), told
    ada.panel.threads.close()
    come_back()
    assert opens(link)

    later = machine("ada", "lab", follows=follows)
    assert (thread in [head["id"] for head in later.do("hello")["threads"]]) == (how == "unshare")
    eventually(lambda: not opens(link))
    eventually(lambda: there(later) == ([thread] if how == "unshare" and follows else []))
    assert later.do("hello")["trouble"] == ""


def test_a_link_that_is_to_be_taken_back_still_is_so_before_another_is_made(machine, away):
    ada = machine("ada", "lab", follows=False)
    thread, first = shared(ada)
    come_back = away(ada, "delete")
    ada.do("unshare", thread=thread)
    told = ada.do("share", thread=thread)["error"]
    assert f"{told['message']} {told['hint']}" == STILL_THERE.format("1 copy")
    come_back()
    link = ada.do("share", thread=thread)["link"]
    ada.panel.threads.copies.settle()
    assert (opens(first), opens(link), there(ada)) == (False, True, [thread])


def test_what_another_machine_said_since_is_not_deleted_with_what_was_there(machine, away, monkeypatch):
    lab = machine("ada", "lab")
    shared(lab)
    come_back = away(lab)
    clock = lab.panel.threads.keeper.store
    monkeypatch.setattr(clock, "now", lambda: time.time() - 3600)  # an hour ago
    said(lab, "forget")
    lab.panel.threads.close()
    come_back()
    home = machine("ada", "home", follows=False)
    thread, _ = shared(home)
    later = machine("ada", "lab")
    later.do("hello")
    eventually(lambda: later.panel.threads.copies.settle() == "")
    assert there(later) == [thread]


def test_where_copies_are_is_not_readable_beside_them(machine, url, tmp_path):
    ada = machine("ada", "lab", follows=False)
    shared(ada, ada.thread)
    [name] = there(ada)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "lab").iterdir() if ".key" not in file.name)
    assert name.encode() not in kept
    assert url.encode() not in kept


# Files.


ROWS = pd.DataFrame({"origin": ["EWR", "JFK"], "n": [3, 12]})


def keep_files(talk, thread, **contents):
    """Put an answer with files into a conversation, as a query does; their ids."""
    found, pair = keep(talk, thread, question="Which?")
    made = [
        NewArtifact(
            name, pair.id, "table", f"{name}.parquet", "application/vnd.apache.parquet", partial(bytes, content)
        )
        for name, content in contents.items()
    ]
    talk.panel.threads.keeper.changed(found, made=lambda: made)
    talk.panel.threads.keeper.flush()
    return pair


def listed(talk, thread):
    return {one["id"]: one for one in talk.do("files", thread=thread)["files"]}


def files_there(talk, thread):
    gateway = talk.panel.assistant.locator.gateway
    return [one["name"] for one in gateway.get(f"sessions/{thread}/artifacts")["artifacts"]]


def content(talk, file):
    return b64decode(talk.do("file", file=file)["data"])


def test_files_follow_and_are_fetched_when_they_are_opened(machine, monkeypatch):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    parquet = making._parquet(ROWS)
    pair = keep_files(lab, thread, rows=parquet, empty=b"")
    lab.panel.threads.copies.finish()
    assert set(files_there(lab, thread)) == {"rows.parquet", "empty.parquet"}

    home = machine("ada", "home")
    assert questions(home, thread) == ["Which?"]
    gateway, fetched = home.panel.assistant.locator.gateway, []
    fetch = gateway.content
    monkeypatch.setattr(gateway, "content", lambda path: fetched.append(path) or fetch(path))
    told = listed(home, thread)
    assert {name: (one["bytes"], one["pair"], one["here"]) for name, one in told.items()} == {
        "rows": (len(parquet), pair.id, False),
        "empty": (0, pair.id, False),
    }
    assert not fetched
    assert content(home, "rows") == content(home, "rows") == parquet
    assert content(home, "empty") == b""
    assert len(fetched) == 2  # once each
    assert listed(home, thread)["rows"]["here"]
    monkeypatch.setattr(home.panel, "shell", SimpleNamespace(user_ns={}, kernel=None))
    variable = home.do("load", file="rows")["variable"]
    pd.testing.assert_frame_equal(home.panel.namespace[variable], ROWS)
    home.panel.threads.copies.finish()
    assert len(files_there(lab, thread)) == 2  # what was fetched is not sent back


def test_files_are_not_sent_with_a_link_alone_nor_where_none_are_copied(machine):
    lab = machine("ada", "lab", follows=False)
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    lab.do("share", thread=thread)
    assert files_there(lab, thread) == []


@pytest.mark.parametrize("where", ["lab", "home"])
def test_a_file_that_is_deleted_is_deleted_there_and_comes_back_nowhere(machine, where):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows", other=b"other")
    lab.panel.threads.copies.finish()
    home = machine("ada", "home")
    home.do("hello", thread=thread)
    assert set(listed(home, thread)) == {"rows", "other"}
    each = {"lab": lab, "home": home}[where]
    each.do("drop", file="rows")
    each.panel.threads.copies.settle()
    assert files_there(lab, thread) == ["other.parquet"]
    assert set(listed(home, thread)) == {"other"}
    each.ask("/help", thread=thread)
    each.panel.threads.keeper.flush()
    each.panel.threads.copies.finish()
    assert files_there(lab, thread) == ["other.parquet"]


def test_a_file_that_is_deleted_while_the_gateway_is_away_is_deleted_there_later(machine, away):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    lab.panel.threads.copies.finish()
    come_back = away(lab)
    lab.do("drop", file="rows")
    eventually(lambda: "1 copy" in lab.do("hello")["trouble"])
    lab.panel.threads.close()
    come_back()
    later = machine("ada", "lab")
    come_back = away(later, "delete")
    assert listed(later, thread) == {}  # nor is it listed again
    assert files_there(later, thread) == ["rows.parquet"]
    come_back()
    eventually(lambda: files_there(later, thread) == [])


def test_a_file_that_cannot_be_fetched_says_why(machine, away):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, rows=b"rows")
    lab.panel.threads.copies.finish()
    home = machine("ada", "home")
    home.do("hello", thread=thread)
    assert set(listed(home, thread)) == {"rows"}
    gateway = home.panel.assistant.locator.gateway
    [there] = gateway.get(f"sessions/{thread}/artifacts")["artifacts"]
    gateway.delete(f"download/table/{there['id']}")
    assert "cannot be fetched" in home.do("load", file="rows")["error"]["message"]
    assert listed(home, thread) == {}  # it is gone there
    come_back = away(home)
    assert listed(home, thread) == {}
    come_back()


def test_the_newest_files_are_there_where_there_is_no_room_for_all(machine, monkeypatch):
    monkeypatch.setattr(file_copies, "MOST_THERE", 2_500)
    monkeypatch.setattr(file_copies, "_LARGEST", 2_000)
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    for name, size in (("first", 1_000), ("second", 1_000), ("third", 1_000), ("large", 2_001)):
        if name == "large":
            monkeypatch.setattr(file_copies, "MOST_THERE", 10_000)
        keep_files(lab, thread, **{name: bytes(size)})
        lab.panel.threads.copies.finish()
        lab.panel.threads.copies.settle()
        if name == "third":
            assert sorted(files_there(lab, thread)) == ["second.parquet", "third.parquet"]
            refused = lab.do("files", thread=thread)["refused"]
            assert refused.startswith("Not all files are copied to the gateway. The oldest are not")
    assert sorted(files_there(lab, thread)) == ["first.parquet", "second.parquet", "third.parquet"]
    assert "Those that are larger than" in lab.do("files", thread=thread)["refused"]
    assert len(listed(lab, thread)) == 4


def test_a_gateway_that_has_no_room_is_asked_no_more_for_a_while(machine, monkeypatch):
    lab = machine("ada", "lab")
    gateway, sent = lab.panel.assistant.locator.gateway, []

    def full(path, body):
        sent.append(body["name"])
        raise GatewayError("You may keep 100 MB here in all. Delete some first.", status=403, code="sessions_full")

    monkeypatch.setattr(gateway, "post", full)
    thread = lab.do("new")["thread"]
    keep_files(lab, thread, old=b"old")
    lab.panel.threads.copies.finish()
    keep_files(lab, thread, new=b"new")
    lab.panel.threads.copies.finish()
    assert sent == ["old.parquet"]
    assert "You may keep 100 MB" in lab.do("files", thread=thread)["refused"]
    assert lab.do("hello")["trouble"] == ""


def test_a_file_that_a_program_keeps_there_is_listed_and_opened(machine):
    lab = machine("ada", "lab")
    thread = lab.do("new")["thread"]
    lab.ask("/help", thread=thread)
    lab.panel.threads.keeper.flush()
    lab.panel.threads.copies.finish()
    gateway = lab.panel.assistant.locator.gateway
    sent = {"kind": "report", "name": "r.md", "media": "text/markdown", "data": b64encode(b"# Hi").decode()}
    for about in ("", "not JSON", '{"id": 7}', '{"id": ""}'):
        gateway.post(f"sessions/{thread}/artifacts", sent | {"about": about})
    found = listed(lab, thread)
    assert [one["name"] for one in found.values()] == ["r.md"] * 4
    assert {lab.do("load", file=name)["text"] for name in found} == {"# Hi"}
