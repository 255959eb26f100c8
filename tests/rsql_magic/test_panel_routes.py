"""The panel answers by a query, a chart, code or words, as a question says; a slash command chooses another way."""

from __future__ import annotations

import pytest
from panel_talk import Loop, Talk

from rsql_magic.panel.answer_task import MainThread

pytestmark = pytest.mark.usefixtures("without_r")

COUNTED = "```sql\nSELECT count(*) AS n FROM orders\n```"


def use(ip, gateway, assistant, name):
    """Ask a connection something, which is forgotten, so that it is the one in use."""
    gateway.replies = [COUNTED]
    ip.run(f"%%sql_ai {name}\nhow many orders?")
    assistant.chat.forget(list(assistant.chat.turns))
    gateway.requests.clear()


@pytest.fixture
def talk(ip, gateway, assistant):
    ip.run("import duckdb\nshop = duckdb.connect()")
    ip.run("_ = shop.execute('CREATE TABLE orders AS SELECT range AS id FROM range(7)')")
    use(ip, gateway, assistant, "shop")
    talk = Talk(ip, assistant)
    yield talk
    talk.panel.close()


@pytest.mark.slow
def test_a_question_of_the_tables_is_answered_by_a_query(talk, gateway, assistant):
    gateway.replies = [COUNTED]
    told = talk.ask("How many orders are there?")
    assert (told["error"], told["result"]["rows"]) == (None, [["7"]])
    assert "answered by a query on shop (/words, /code or /chart chooses another way)" in told["footer"]
    assert [(turn.question, turn.task) for turn in assistant.chat.turns] == [("How many orders are there?", "sql_ai")]
    assert talk.panel.threads.heads()[0]["turns"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("command", ["/words", "/code", "/chart"])
def test_a_slash_command_chooses_another_way(talk, gateway, command):
    gateway.replies = ["Seven.", "Seven."]
    told = talk.ask(f"{command} How many orders are there?")
    assert (told["error"], told["result"], told["answer"].strip()) == (None, None, "Seven.")
    assert "chooses another way" not in told["footer"]
    assert gateway.requests[0]["messages"][-1]["content"].rstrip().endswith("How many orders are there?")
    assert talk.ask(command)["error"]["message"] == f"{command} needs a question."


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "way"), [("How do I count orders?", "code"), ("Explain the word shop", "words")])
def test_a_way_that_was_not_chosen_is_said(talk, gateway, asked, way):
    gateway.replies = ["So.", "So."]
    assert f"asked for {way} (" in talk.ask(asked)["footer"]


@pytest.mark.slow
def test_where_the_tables_cannot_answer_the_notebook_is_asked(talk, gateway, assistant):
    gateway.replies = ["The tables hold no names.", "No names are known."]
    told = talk.ask("Who placed most orders?")
    assert (told["state"], told["result"], told["answer"].strip()) == ("done", None, "No names are known.")
    assert "the tables could not answer it" in told["footer"]
    assert [turn.task for turn in assistant.chat.turns] == ["ask"]


@pytest.mark.slow
def test_a_preview_of_a_query_is_what_is_sent(talk, gateway):
    gateway.replies = [COUNTED]
    shown = talk.do("preview", thread=talk.thread, text="How many orders are there?")
    assert "CREATE TABLE orders" in str(shown["messages"])
    talk.ask("How many orders are there?", seen=shown["seen"])
    assert gateway.requests[-1]["messages"] == shown["messages"]


@pytest.mark.slow
def test_a_mention_of_a_frame_is_a_question_about_it(talk, gateway, ip):
    ip.run("import pandas as pd\nrides = pd.DataFrame({'fare': [1.0]})")
    gateway.replies = ["One."]
    told = talk.ask("How many orders are in @rides?")
    assert (told["result"], "query" in told["footer"]) == (None, False)


@pytest.mark.slow
def test_what_only_the_main_thread_reads_is_asked_there_or_not_at_all(talk, gateway, ip, assistant):
    ip.run("import sqlite3\nlite = sqlite3.connect(':memory:')\n_ = lite.execute('CREATE TABLE orders (id INTEGER)')")
    use(ip, gateway, assistant, "lite")
    loop = Loop()
    talk.panel.main_thread = MainThread(loop)
    gateway.replies = [COUNTED, "None."]
    told = talk.do("ask", thread=talk.thread, text="How many orders are there?")
    loop.run_until(lambda: next(iter(talk.panel.threads)).pairs[-1].state != "running")
    assert talk.ended(told["exchange"]["id"])["result"]["rows"] == [["0"]]
    told = talk.ask("How many orders are there?", replaces=told["exchange"]["id"])  # the loop stands still now
    assert (told["result"], told["answer"].strip()) == (None, "None.")
