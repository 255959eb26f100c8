"""The chat panel without a browser: requests in, replies and pushes out."""

from __future__ import annotations

import gzip
import inspect
import json
import re
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from panel_talk import Loop, in_thread

from rsql_magic.panel import ChatPanel, widget
from rsql_magic.panel.answer_task import MainThread, taking_turns
from rsql_magic.panel.chat_panel import _REQUESTS, known
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("without_r")


def test_an_answer_comes_in_pieces_and_becomes_a_turn_that_the_magics_know(talk, gateway, assistant):
    gateway.replies = ["Some words of an answer."]
    told = talk.ask("What is it?")
    assert (told["state"], told["answer"].strip()) == ("done", "Some words of an answer.")
    pieces = [each for each in talk.views.told if each.get("push") == "text"]
    assert "".join(piece["text"] for piece in pieces).strip() == "Some words of an answer."
    assert pieces[0]["at"] == 0
    assert told["model"] == "llama"
    assert told["request_id"] == "req-1"
    assert [turn.question for turn in assistant.chat.turns] == ["What is it?"]


def test_what_a_cell_asks_appears_in_the_panel(talk, gateway, ip):
    ip.run("import pandas as pd\nflights = pd.DataFrame({'origin': ['JFK'] * 9})")
    gateway.replies = ["From flights."]
    ip.run("%ask Who?")
    (told,) = talk.exchanges()
    assert (told["question"], told["answer"].strip(), told["by"]) == ("Who?", "From flights.", "cell")
    assert told["sources"] == ("flights",)


def test_threads_have_conversations_of_their_own(talk, gateway):
    gateway.replies = ["one", "two", "three"]
    talk.ask("in the first")
    second = talk.do("new")["thread"]
    talk.ask("in the second", thread=second)
    assert "in the first" not in str(gateway.requests[-1]["messages"])
    talk.ask("again", thread=talk.thread)
    assert "in the second" not in str(gateway.requests[-1]["messages"])
    assert [told["question"] for told in talk.exchanges(second)] == ["in the second"]


def test_a_name_that_another_thread_has_gets_a_number(talk):
    first, second = talk.do("new")["thread"], talk.do("new")["thread"]
    talk.do("rename", thread=first, title="Delays")
    talk.do("rename", thread=second, title="  Delays ")
    assert [head["title"] for head in talk.panel.threads.heads()] == ["Notebook", "Delays", "Delays (2)"]
    assert "needs a name" in talk.do("rename", thread=second, title=" ")["error"]["message"]
    assert "keeps its name" in talk.do("rename", thread=talk.thread, title="x")["error"]["message"]


def test_editing_replaces_what_came_after(talk, gateway, assistant):
    gateway.replies = ["1", "2", "3"]
    first = talk.ask("one")
    talk.ask("two")
    talk.ask("better", replaces=first["id"])
    assert [told["question"] for told in talk.exchanges()] == ["better"]
    assert [turn.question for turn in assistant.chat.turns] == ["better"]
    assert "two" not in str(gateway.requests[-1]["messages"])


def test_asking_again_wants_another_answer(talk, gateway):
    gateway.replies = ["1", "2", "3"]
    first = talk.ask("one")
    talk.ask("one", replaces=first["id"])
    talk.ask("two")
    assert [request["temperature"] for request in gateway.requests] == [0, 0.7, 0]


def test_a_model_can_be_chosen_and_the_thread_cleared(talk, gateway, assistant):
    gateway.replies = ["x"]
    talk.ask("q", model="qwen")
    assert gateway.requests[-1]["model"] == "qwen"
    assert talk.ask("/clear")["cleared"]
    assert talk.exchanges() == []
    assert assistant.chat.turns == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("   ", "nothing to send"),
        ("/nonsense", "no /nonsense"),
        ("/sq flights", "Did you mean /sql?"),
        ("/sql", "needs a question"),
        ("/fix", "no error to explain"),
        ("x" * 500_000, "500,000 characters"),
    ],
)
def test_messages_that_are_refused(talk, text, says):
    error = talk.do("ask", thread=talk.thread, text=text)["error"]
    assert says in f"{error['message']} {error['hint']}"
    assert talk.exchanges() == []


def test_too_long_a_question_is_told_in_its_place(talk):
    told = talk.ask("word " * 40_000)
    assert told["state"] == "failed"
    assert "at most" in told["error"]["message"]


def test_help_and_usage_need_no_model(talk, gateway):
    gateway.paths["stats"] = {"limits": {"day": {"current": 3, "limit": 200, "remaining": 197}}}
    assert "/quiz" in talk.ask("/help")["answer"]
    assert "| requests this day | 3 of 200" in talk.ask("/usage")["answer"]
    assert gateway.requests == []


def test_what_is_left_is_the_groups_where_that_is_nearer(talk, gateway):
    own = {"minute": {"current": 0, "limit": None, "remaining": None}, "day": {"limit": 9, "remaining": 3}}
    group = {"minute": {"limit": 100, "remaining": 99}, "day": {"limit": 400, "remaining": 200}}
    gateway.paths["stats"] = {"limits": own, "shared_limits": group}
    assert talk.do("quota")["limits"] == {"minute": group["minute"], "day": own["day"]}


@pytest.mark.parametrize(
    ("own", "group", "expected"),
    [
        ((None, None), None, None),
        ((5.0, 2.0), None, (5.0, 2.0)),
        ((None, None), (90.0, 3.0), (90.0, 3.0)),
        ((5.0, 2.0), (90.0, 3.0), (5.0, 2.0)),
        ((5.0, 2.0), (90.0, 1.5), (90.0, 1.5)),
        ((5.0, 2.0), (90.0, 0.0), (90.0, 0.0)),
    ],
)
def test_money_that_is_left_is_the_groups_where_that_is_less(talk, gateway, own, group, expected):
    def budget(pair):
        return dict(zip(("limit", "remaining"), pair, strict=True))

    month = budget((600.0, 500.0))
    shared = {"usd_per_month": month} | ({} if group is None else {"usd_per_day": budget(group)})
    gateway.paths["stats"] = {"cost": {"today": 1.0, **budget(own)}, "shared_cost": shared}
    told = talk.do("quota")["limits"]
    assert told.pop("usd_per_month") == month
    assert told == ({} if expected is None else {"usd_per_day": budget(expected)})


def test_a_limit_says_when_to_come_back(talk, gateway):
    body = {"error": {"message": "You have used 10 of 10 requests.", "code": "rate_limit_exceeded", "retry_after": 42}}
    gateway.replies = [httpx.Response(429, json=body, headers={"retry-after": "42"})]
    told = talk.ask("q")
    assert told["state"] == "failed"
    assert (told["error"]["kind"], told["error"]["retry_after"]) == ("LimitReached", 42)


def test_an_answer_that_breaks_off_keeps_what_had_come_and_is_gone_on_with(talk, gateway):
    came = list(gateway.stream("The mean is the sum"))[:-2]  # no end, and no [DONE]
    gateway.replies = [came, " divided by the count."]
    told = talk.ask("What is a mean?")
    assert (told["state"], told["answer"].strip()) == ("failed", "The mean is the sum")
    assert (told["error"]["kind"], told["error"]["hint"]) == ("AnswerCut", "What had come is kept.")
    talk.ask("Go on exactly where your answer broke off, without repeating it.")
    messages = gateway.requests[-1]["messages"]
    assert [message["content"] for message in messages[1:3]] == [
        "What is a mean?",
        "The mean is the sum  [interrupted]",
    ]


def test_the_place_in_the_queue_is_told(talk, gateway):
    gateway.replies = [[": queued position=4 eta=6.2", *gateway.stream("Then the answer.")]]
    talk.ask("q")
    places = [told for told in talk.views.told if told.get("push") == "status" and told.get("place")]
    assert [(told["place"], told["eta"]) for told in places] == [(4, 6.2)]


ONE_CELL = {"id": "c1", "type": "code", "source": "x = 1", "state": "run [1]"}
DO = {"do": "do", "text": "Add a cell", "notebook": {"cells": [ONE_CELL], "active": 0}}
CHANGE = {"do": "change", "change": "1", "source": "print(2)", "instruction": "make it one"}
PYTHON = "```python\nprint(1)\n```"


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ({"do": "ask", "text": "/words What is new?"}, "Nothing."),
        ({"do": "ask", "text": "/sql frames How many rows has few?"}, "```sql\nSELECT count(*) FROM few\n```"),
        (DO, f"### new cell after 1: one\n{PYTHON}"),
        (CHANGE, PYTHON),
        (CHANGE, "I do not know."),  # which is no change
    ],
    ids=["words", "query", "do", "change", "no change"],
)
def test_who_is_written_to_waits_no_more(talk, gateway, ip, request_, reply):
    ip.run("import pandas as pd\nfew = pd.DataFrame({'n': [1]})")
    gateway.replies = [[": queued position=4 eta=6.2", *gateway.stream(reply)]]
    more = {} if request_["do"] == "change" else {"thread": talk.thread}
    told = talk.do(request_["do"], **{name: value for name, value in request_.items() if name != "do"}, **more)
    if "exchange" in told:
        assert talk.ended(told["exchange"]["id"])["state"] == "done"
    pushed = [told for told in talk.views.told if told.get("push") in {"status", "change"}]
    place = next(at for at, told in enumerate(pushed) if told.get("place"))
    assert pushed[place]["status"] == "waiting for a free key: place 4, about 6 s"
    assert len(pushed) > place + 1
    assert all("waiting" not in told["status"] and not told.get("place") for told in pushed[place + 1 :])


def test_completion_offers_frames_first(talk, ip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ip.run("import pandas as pd\nzebra = pd.DataFrame({'n': [1]})\nalpha = 3")
    labels = [item["label"] for item in talk.do("complete", prefix="")["items"]]
    assert labels[0] == "@zebra"
    assert "@alpha" in labels
    assert "@pd" not in labels
    assert [item["label"] for item in talk.do("complete", prefix="al")["items"]] == ["@alpha"]


@pytest.mark.slow
def test_a_query_answers_with_rows_in_a_variable_that_can_be_renamed(talk, gateway, ip):
    ip.run("import duckdb\ncon = duckdb.connect()\nsql_1 = 'mine'")
    ip.run("_ = con.execute('CREATE TABLE t AS SELECT range AS n FROM range(30)')")
    gateway.replies = [
        '```sql\nSELECT n FROM t ORDER BY n\n```\nAll.\n```json\n{"chart": "bar", "x": "n", "y": "n"}\n```'
    ]
    told = talk.ask("/sql con all rows")
    assert told["error"] is None
    result = told["result"]
    assert (result["sql"], result["variable"]) == ("SELECT n FROM t ORDER BY n", "sql_2")
    assert result["rows"][0] == ["0"]
    assert result["columns"] == [{"name": "n", "right": True}]
    assert result["more"] == 20
    assert len(ip.user_ns["sql_2"]) == 30
    assert talk.do("chart", thread=talk.thread, exchange=told["id"])["spec"]["mark"]["type"] == "bar"
    assert talk.do("save", thread=talk.thread, exchange=told["id"], name="rows")["variable"] == "rows"
    assert ip.user_ns["rows"] is ip.user_ns["sql_2"]
    assert "not a name" in talk.do("save", thread=talk.thread, exchange=told["id"], name="a b")["error"]["message"]


@pytest.mark.slow
def test_code_runs_when_told_with_its_output(talk, ip):
    assert talk.do("run", code="print(6 * 7)\n1 + 1", language="python")["outputs"] == [
        {"kind": "text", "text": "42"},
        {"kind": "text", "text": "2"},
    ]
    (error,) = talk.do("run", code="1 / 0", language="python")["outputs"]
    assert error == {"kind": "error", "text": "ZeroDivisionError: division by zero"}
    assert "cannot be run here" in talk.do("run", code="ls", language="bash")["error"]["message"]
    ip.run("import pandas as pd\nt = pd.DataFrame({'n': [1, 2]})")
    (table, count) = talk.do("run", code="SELECT sum(n) AS s FROM t", language="sql")["outputs"]
    assert "<td" in table["html"]
    assert count["text"] == "1 row"
    (refused,) = talk.do("run", code="DROP TABLE t", language="sql")["outputs"]
    assert refused["kind"] == "error"


def test_ratings_go_to_the_gateway(talk, gateway):
    gateway.paths["feedback"] = {"status": "thanks"}
    gateway.replies = ["x"]
    told = talk.ask("q")
    assert "error" not in talk.do("rate", thread=talk.thread, exchange=told["id"], rating="down", comment="why")
    assert gateway.calls[-1] == "feedback"
    assert talk.exchanges()[0]["rating"] == "down"
    assert "up or down" in talk.do("rate", thread=talk.thread, exchange=told["id"], rating="5")["error"]["message"]


@pytest.fixture
def numbers(ip):
    """A database ``con`` with a table ``t``."""
    ip.run("import duckdb\ncon = duckdb.connect()")
    ip.run("_ = con.execute('CREATE TABLE t AS SELECT range AS n FROM range(3)')")


COUNTED = "```sql\nSELECT count(*) AS rows FROM t\n```\nAll rows are counted."


@pytest.mark.slow
@pytest.mark.usefixtures("numbers")
def test_thumbs_up_keeps_a_query_as_verified_and_thumbs_down_takes_it_back(talk, gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gateway.paths["feedback"] = {"status": "thanks"}
    gateway.replies = [COUNTED] * 3
    told = talk.ask("/sql con How many rows are in t?")
    place = {"thread": talk.thread, "exchange": told["id"]}
    assert not talk.do("rate", **place, rating="down")["kept"]
    assert not (tmp_path / "rsql_verified.jsonl").exists()
    assert talk.do("rate", **place, rating="up")["kept"] == "rsql_verified.jsonl"
    (line,) = (tmp_path / "rsql_verified.jsonl").read_text(encoding="utf-8").splitlines()
    kept = json.loads(line)
    assert (kept["question"], kept["sql"]) == ("How many rows are in t?", told["result"]["sql"])
    talk.ask("/sql con How many rows are in t now?", thread=talk.do("new")["thread"])
    assert '<data kind="verified"' in gateway.sent
    assert not talk.do("rate", **place, rating="down")["kept"]
    assert (tmp_path / "rsql_verified.jsonl").read_text(encoding="utf-8") == ""
    talk.ask("/sql con How many rows are in t now?", thread=talk.do("new")["thread"])
    assert "verified" not in gateway.sent


def test_thumbs_up_at_words_keeps_nothing(talk, gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gateway.paths["feedback"] = {"status": "thanks"}
    gateway.replies = ["x"]
    told = talk.ask("q")
    assert not talk.do("rate", thread=talk.thread, exchange=told["id"], rating="up")["kept"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.usefixtures("numbers")
@pytest.mark.parametrize("asked", ["/sql con How many rows?", "/sql\ncon\nHow many rows?", "/sql How many rows?"])
def test_a_title_leaves_out_the_command_and_the_connection(talk, gateway, asked, assistant):
    assistant.connections.last = "con"
    gateway.replies = [COUNTED]
    thread = talk.do("new")["thread"]
    assert talk.ask(asked, thread=thread)["error"] is None
    assert talk.panel.threads.heads()[-1]["title"] == "How many rows?"
    first = next(told for told in talk.views.told if told.get("push") == "threads" and told["threads"][-1]["turns"])
    assert first["threads"][-1]["title"] == "How many rows?"


BROKEN = "import pandas as pd\nweather = pd.DataFrame({'temp': [1, 2]})\nweather['wind']"


@pytest.mark.slow
def test_fix_and_explain_send_the_last_error_with_its_cell(talk, gateway, ip):
    ip.run_cell(BROKEN)
    gateway.replies = ["```python\nweather['temp']\n```", "There is no column wind.", "Once more."]
    told = talk.ask("/fix")
    assert (told["state"], told["answer"].strip()) == ("done", "```python\nweather['temp']\n```")
    assert "write the whole corrected cell, in one block of code.\n\nThis cell failed:" in gateway.sent
    assert "KeyError: 'wind'" in gateway.sent
    assert "weather['wind']" in gateway.sent
    assert talk.ask("/explain")["answer"].strip() == "There is no column wind."
    assert "Explain the last error: what happened, why, and how to fix it.\n\nThis cell failed:" in gateway.sent
    assert "KeyError: 'wind'" in gateway.sent
    talk.ask("/fix\nwithout pandas")
    assert "in one block of code. without pandas\n\nThis cell failed:" in gateway.sent
    assert [told["question"] for told in talk.exchanges()] == ["/fix", "/explain", "/fix\nwithout pandas"]


def test_explain_takes_a_cell_or_an_object_and_no_error(talk, gateway, ip):
    ip.run("total = 41 + 1")
    ip.run("import pandas as pd\nweather = pd.DataFrame({'temp': [1, 2]})")
    gateway.replies = ["It adds.", "A frame."]
    assert talk.ask("/explain @cell:1")["answer"].strip() == "It adds."
    assert "Explain In[1]" in gateway.sent
    assert "total = 41 + 1" in gateway.sent
    assert talk.ask("/explain @weather")["state"] == "done"
    assert gateway.sent.endswith("Explain weather")
    assert "temp" in gateway.sent


def test_a_quiz_asks_and_the_next_message_answers_it(talk, gateway):
    gateway.replies = ["What does a left join keep?", "Right: all rows of the left table."]
    assert talk.ask("/quiz joins")["answer"].strip() == "What does a left join keep?"
    assert "Quiz me on joins: ask one short question" in gateway.sent
    assert talk.ask("All of the left one.")["answer"].startswith("Right")
    said = [message["content"] for message in gateway.requests[-1]["messages"]]
    assert any("Quiz me on joins" in text for text in said[:-1])
    assert any(text.strip() == "What does a left join keep?" for text in said[:-1])
    gateway.replies = ["And what does this notebook do?"]
    talk.ask("/quiz")
    assert "Quiz me on what this notebook does" in gateway.sent


def test_usage_tells_requests_tokens_and_this_conversation_or_why_not(talk, gateway):
    gateway.replies = ["x"]
    talk.ask("q")
    gateway.paths["stats"] = {
        "limits": {"day": {"current": 3, "limit": 200, "remaining": 197}},
        "tokens": {"day": {"current": 1200, "limit": 5000, "remaining": 3800}},
    }
    rows = talk.ask("/usage")["answer"].splitlines()
    assert rows[:2] == ["| what | used |", "|---|---|"]
    assert any(row.startswith("| requests this day | 3 of 200") for row in rows)
    assert any(row.startswith("| tokens this day | 1,200 of 5,000") for row in rows)
    assert rows[-1].startswith("| this conversation | 1 question, ")
    del gateway.paths["stats"]
    assert "keeps no such figures" in talk.ask("/usage")["answer"]


def test_usage_tells_the_conversation_that_is_shown_from_all_together(talk, gateway):
    gateway.paths["stats"] = {}
    gateway.replies = ["x"] * 3

    def used(thread):
        rows = [row.strip("| ").split(" | ") for row in talk.ask("/usage", thread=thread)["answer"].splitlines()[2:]]
        return {what: figures.split(", ") for what, figures in rows}

    talk.ask("in the first")
    talk.ask("in the first again")
    assert used(talk.thread)["this conversation"][0] == "2 questions"
    second = talk.do("new")["thread"]
    assert used(second)["this conversation"] == ["nothing asked yet"]
    talk.ask("in the second", thread=second)

    one, other = used(talk.thread), used(second)
    assert (one["this conversation"][0], other["this conversation"][0]) == ("2 questions", "1 question")
    assert one["all 2 conversations"] == other["all 2 conversations"]
    assert one["all 2 conversations"][0] == "3 questions"
    tokens = [int(used["this conversation"][1].split()[0].replace(",", "")) for used in (one, other)]
    assert int(one["all 2 conversations"][1].split()[0].replace(",", "")) == sum(tokens) > max(tokens)


@pytest.mark.slow
@pytest.mark.usefixtures("numbers")
def test_an_export_holds_the_query_and_its_rows(talk, gateway):
    gateway.replies = [COUNTED]
    thread = talk.do("new")["thread"]
    sql = talk.ask("/sql con How many rows?", thread=thread)["result"]["sql"]
    exported = talk.do("export", thread=thread)
    assert exported["name"] == "how-many-rows.md"
    parts = exported["markdown"].split("\n\n")
    assert parts == [
        "# How many rows?",
        "___",
        "> /sql con How many rows?",
        f"```sql\n{sql}\n```",
        "| rows |\n| --: |\n| 3 |",
        "All rows are counted.",
    ]
    cells = talk.do("export", thread=thread, form="cells")["cells"]
    assert [(cell["kind"], cell["source"]) for cell in cells] == [
        ("code", "%load_ext sql"),
        ("markdown", "> /sql con How many rows?"),
        ("code", f"%%sql con\n{sql}"),
        ("markdown", "All rows are counted."),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # JupySQL's own
@pytest.mark.usefixtures("numbers")
def test_cells_of_sql_run_on_their_connection(talk, gateway, ip, capsys):
    """With JupySQL, whose own current connection is another one."""
    ip.run("%load_ext sql\n%config SqlMagic.displaycon = False\n%config SqlMagic.feedback = 0")
    ip.run("import duckdb\nelsewhere = duckdb.connect(':memory:')\n%sql elsewhere --alias elsewhere")
    gateway.replies = [COUNTED, "```sql\nSELECT count(*) AS rows FROM small\n```"]
    talk.ask("/sql con How many rows?")
    ip.run("import pandas as pd\nsmall = pd.DataFrame({'a': [1, 2]})")
    talk.ask("/sql How many rows has small?")
    first, second = (
        cell["source"]
        for cell in talk.do("export", thread=talk.thread, form="cells")["cells"]
        if cell["kind"] == "code"
    )
    assert first.startswith("%%sql con\n")
    assert "3" in str(ip.run(first))
    assert ip.run(second)["rows"].tolist() == [2]
    # A block of an answer belongs to the connection in use.
    assert talk.do("cell", code="SELECT 1", language="sql", connection="con")["cells"][0]["source"].startswith(
        "%%sql con"
    )
    assert "duckdb.sql" in talk.do("cell", code="SELECT 1", language="sql")["cells"][0]["source"]
    assert "pw" not in str(talk.do("cell", code="SELECT 1", language="sql", connection="postgresql://me:pw@host/db"))


def test_exports_are_markdown_and_cells(talk, gateway):
    gateway.replies = ["So:\n\n```r\nmean(x)\n```\n\nand\n\n```python\nmean(y)\n```\nDone."]
    talk.ask("How?")
    markdown = talk.do("export", thread=talk.thread)
    assert markdown["name"] == "notebook.md"
    assert "> How?" in markdown["markdown"]
    cells = talk.do("export", thread=talk.thread, form="cells")["cells"]
    assert [(cell["kind"], cell["source"]) for cell in cells] == [
        ("code", "%load_ext rpy2.ipython"),
        ("markdown", "> How?"),
        ("markdown", "So:"),
        ("code", "%%R\nmean(x)"),
        ("markdown", "and"),
        ("code", "mean(y)"),
        ("markdown", "Done."),
    ]


def test_odd_messages_of_a_view_are_refused_not_raised(talk):
    assert "gone" in talk.do("ask", thread="nonsense", text="q")["error"]["message"]
    assert "did not understand" in talk.do("ask", nonsense=1)["error"]["message"]
    assert "gone" in talk.do("rate", thread=talk.thread, exchange="x", rating="up")["error"]["message"]
    for name in ("_exchange", "__init__", "nothing", 3):
        assert not known(name)


def test_a_reply_that_cannot_be_sent_is_told_as_an_error(talk, monkeypatch):
    names = [(part, name) for part in _REQUESTS for name in vars(part) if known(name)]
    assert len(names) > 40
    for part, name in names:
        monkeypatch.setattr(part, name, lambda self, **_: {"odd": object()})
        told = talk.reply(name)
        assert told["error"]["message"] == "The panel's reply cannot be sent (ValueError)."


HALF = "\\ud83d"  # of a character, as an escape in code and JSON


@pytest.mark.parametrize(
    "code",
    [
        f"print('{HALF} of it')",
        f"raise ValueError('{HALF} of it')",
        f"from IPython.display import HTML\nHTML('{HALF} of it')",
    ],
    ids=["printed", "error", "html"],
)
def test_output_with_half_a_character_is_shown(talk, code):
    agreed = talk.reply("would_do", source=code)["effects"]
    (output,) = talk.reply("run", code=code, language="python", agreed=agreed)["outputs"]
    assert "\ufffd of it" in output.get("text", output.get("html"))


def test_a_question_with_half_a_character_is_answered(talk, gateway):
    gateway.replies = ["A sign."]
    told = talk.ask("What is \ud83d?")
    assert (told["state"], told["question"]) == ("done", "What is \ufffd?")


def test_formulas_and_colours(talk):
    told = talk.do("formulas", tex=[[r"\frac{1}{n}", True], [r"\frac{", False]])["mathml"]
    assert told[0].startswith("<math")
    assert told[1] == ""
    (pieces, plain) = talk.do("colours", blocks=[["x <- 'a'", "r"], ["x", "no such language"]])["pieces"]
    assert "".join(text for _, text in pieces) == "x <- 'a'"
    assert [tuple(piece) for piece in plain] == [("", "x")]


def test_the_main_thread_is_waited_for_and_given_up_in_time():
    loop, said = Loop(), []
    main = MainThread(loop)
    thread, done = in_thread(lambda: main.call(threading.current_thread, waiting=lambda: said.append("waiting")))
    loop.there.wait(60)
    loop.run()
    thread.join(60)
    assert done == [threading.main_thread()]
    thread, done = in_thread(lambda: MainThread(Loop()).call(lambda: 1, patience=0.05))
    thread.join(60)
    assert isinstance(done[0], TimeoutError)
    thread, done = in_thread(lambda: MainThread(Loop()).call(lambda: 1, stopped=lambda: True))
    thread.join(60)
    assert type(done[0]).__name__ == "Stopped"


OF_SQLITE = {
    "sqlite3": "import sqlite3\ncon = sqlite3.connect(':memory:')\n_ = con.execute('CREATE TABLE t AS SELECT 1 AS n')",
    "sqlalchemy": "import sqlalchemy\ncon = sqlalchemy.create_engine('sqlite://')\n"
    "with con.begin() as made:\n    _ = made.exec_driver_sql('CREATE TABLE t AS SELECT 1 AS n')",
}


@pytest.mark.slow
@pytest.mark.parametrize("package", OF_SQLITE)
def test_a_connection_of_sqlite_is_asked_on_the_main_thread(talk, gateway, ip, package, monkeypatch):
    ip.run(OF_SQLITE[package])
    gateway.replies = ["```sql\nSELECT n FROM t\n```", "One row."]
    loop = Loop()
    talk.panel.main_thread = MainThread(loop)
    asked_in = []
    monkeypatch.setattr(
        gateway, "stream", lambda text: asked_in.append(threading.current_thread()) or type(gateway).stream(text)
    )
    told = talk.do("ask", thread=talk.thread, text="/sql con all rows")
    loop.run_until(lambda: talk.exchanges()[0]["state"] != "running")
    assert talk.ended(told["exchange"]["id"])["result"]["rows"] == [["1"]]
    assert threading.main_thread() not in asked_in  # a cell need not wait while the model writes
    # Its tables are known to what is typed next, and to what is sent.
    _, done = in_thread(lambda: talk.do("chips", thread=talk.thread, text="What is @t?"))
    loop.run_until(lambda: done)
    assert (done[0]["chips"][0]["missing"], "CREATE TABLE t" in done[0]["chips"][0]["shown"]) == ("", True)
    _, done = in_thread(lambda: talk.do("complete", prefix="t"))
    loop.run_until(lambda: done)
    assert {"label": "@t", "kind": "table", "detail": ""} in done[0]["items"]


def test_the_files_are_small_and_fetch_nothing():
    module, style = widget.module(), widget.style()
    size = sum(len(gzip.compress(text.encode(), 9)) for text in (module, style))
    assert size <= 80_000
    own = style + "".join(
        path.read_text() for path in (Path(widget.__file__).parents[1] / "static" / "panel").glob("*.js")
    )
    assert "http://" not in own.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in own
    assert "@import" not in style
    assert "url(" not in style


def test_a_view_reads_only_what_an_exchange_holds():
    """A field of a question that its view reads by another name would be missing in silence."""
    held = {*MessagePair("").as_dict(), "place", "eta"}
    taken = re.findall(r"const \{ ([^}]+) \} = this\.told;", widget.module())
    named = {name.split(":")[0].strip() for names in taken for name in names.split(",")}
    assert {"requested_model", "result", "error"} <= named <= held
    assert set(re.findall(r"this\.told\.(\w+)", widget.module())) <= held


def test_the_state_of_the_widget_holds_nothing_that_was_said(talk, gateway):
    """What exporters and front ends write into ``metadata.widgets`` is this."""
    talk.panel._widget = None
    talk.panel.open()
    talk.panel._widget.send = talk.views.send
    gateway.replies = ["An ocelot."]
    talk.ask("Which animal is a lynx?")
    state = str(talk.panel._widget.get_state())
    assert "render({ model, el })" in state
    assert "ocelot" not in state
    assert "lynx" not in state


def test_without_a_front_end_it_is_text_with_what_was_said(talk, gateway, capsys):
    gateway.replies = ["The answer."]
    talk.ask("A question?")
    assert "%ask asks" in str(talk.panel)
    assert "> A question?" in str(talk.panel)
    assert "The answer." in talk.panel.markdown
    talk.panel.show()
    assert "> A question?" in capsys.readouterr().out
    assert isinstance(talk.panel, ChatPanel)


def test_the_kernel_and_its_views_know_the_same_requests():
    source = (Path(widget.__file__).parents[1] / "static" / "panel" / "requests.js").read_text()
    told = {name: re.findall(r'"(\w+)"', names) for name, names in re.findall(r"^  (\w+): \[(.*)\],$", source, re.M)}
    parts = [vars(part) for part in _REQUESTS]
    known = {name: method for part in parts for name, method in part.items() if not name.startswith("_")}
    assert told == {name: list(inspect.signature(method).parameters)[1:] for name, method in known.items()}


@pytest.mark.slow
def test_an_answer_gets_its_turns_beside_a_cell_that_looks_at_files():
    before = sys.getswitchinterval()
    turns, over = 0, threading.Event()

    def answers():
        nonlocal turns
        with taking_turns(), taking_turns():
            while not over.wait(0.01):
                turns += 1

    answering = threading.Thread(target=answers)
    answering.start()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:  # as a cell would
        Path("no such file").exists()
        sum(range(100_000))
    over.set()
    answering.join()
    assert turns >= 5  # of 50; one or none without
    assert sys.getswitchinterval() == before
