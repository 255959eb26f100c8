"""What a cell's question builds upon: nothing, unless its words, its thread or the panel say so."""

from __future__ import annotations

import itertools

import httpx
import pandas as pd
import pytest

from rsql_magic.errors import GatewayError
from rsql_magic.panel import ChatPanel

pytestmark = pytest.mark.usefixtures("without_r")


def sql(query):
    return f"```sql\n{query}\n```"


@pytest.fixture
def cells(ip, gateway, monkeypatch):
    """Runs cells by their ids, as front ends do; every answer counts the orders."""
    runs = itertools.count()

    def run(cell, source, reply=""):
        usual = "A word." if "ask" in source.split()[0] else sql("SELECT count(*) AS n FROM orders")
        asked = {"header": {"msg_id": str(next(runs))}, "metadata": {"cellId": cell}}
        monkeypatch.setattr(ip, "get_parent", lambda: asked, raising=False)
        gateway.replies = [reply or usual]
        ip.run(source)
        return gateway.requests[-1]["messages"]

    return run


def questions(messages):
    return [message["content"] for message in messages[:-1] if message["role"] == "user"]


@pytest.mark.slow
def test_a_question_stands_alone_unless_its_words_say_that_it_follows(cells, con):
    cells("a", "%%sql_ai con\nHow many orders?")
    assert questions(cells("b", "%%sql_ai con --plot hist\nAverage total by shop?")) == []
    assert questions(cells("c", "%%sql_ai con\nonly for shop 1")) == ["Average total by shop?"]
    assert questions(cells("d", "%%sql_ai con\nand by month")) == ["Average total by shop?", "only for shop 1"]
    assert questions(cells("e", "%%ask\nexplain the query")) == [
        "Average total by shop?",
        "only for shop 1",
        "and by month",
    ]
    assert questions(cells("f", "%%sql_ai con\nHow many shops?")) == []


@pytest.mark.slow
def test_the_footer_says_what_a_question_builds_upon(cells, con, ip, gateway):
    cells("a", "%%sql_ai con\nonly those")
    assert "nothing was asked before that this could follow" in ip.user_ns["_"].shown().footer
    cells("b", "%%sql_ai con\nHow many orders?")
    assert "building" not in ip.user_ns["_"].shown().footer
    cells("c", "%%sql_ai con\nand by shop")
    assert "building on “How many orders?”" in ip.user_ns["_"].shown().footer
    cells("d", "%%ask\nexplain the query")
    assert "building on “and by shop”" in ip.user_ns["_"].shown().footer


NOTEBOOK = {
    "a": "%%sql_ai con -o orders_by_shop\nOrders by shop?",
    "b": "%%sql_ai con\nand by month",
    "c": "%%ask -o words\nWhat is a left join?",
    "d": "%%ask\nWhat does that mean?",
    "e": "%%sql_ai con\nonly those of shop 1",
}


@pytest.mark.slow
@pytest.mark.parametrize("again", ["abcde", "a", "b", "edcba", "bbb", "dea"])
def test_a_cell_that_runs_again_sends_the_same_bytes(cells, con, again):
    first = {cell: cells(cell, source) for cell, source in NOTEBOOK.items()}
    for cell in again:
        assert cells(cell, NOTEBOOK[cell]) == first[cell]


@pytest.mark.slow
def test_an_edited_cell_takes_its_turn_out_too(cells, con, assistant):
    cells("a", "%%sql_ai con\nHow many orders?")
    cells("b", "%%sql_ai con\nand by shop")
    assert questions(cells("a", "%%sql_ai con\nHow many shops?")) == []
    assert questions(cells("b", "%%sql_ai con\nand by shop")) == ["How many shops?"]
    assert [turn.question for turn in assistant.chat.turns] == ["How many shops?", "and by shop"]


@pytest.mark.slow
def test_a_cell_keeps_its_place_when_its_run_fails(cells, con, assistant):
    cells("a", "%%sql_ai con\nHow many orders?")
    first = cells("b", "%%sql_ai con\nand by shop")
    cells("c", "%%sql_ai con\nHow many shops?")
    refused = httpx.Response(400, json={"error": {"message": "No.", "code": "x"}})
    with pytest.raises(GatewayError):
        cells("b", "%%sql_ai con\nand by shop", reply=refused)
    assert cells("b", "%%sql_ai con\nand by shop") == first


@pytest.mark.slow
def test_where_cells_have_no_ids_the_same_question_at_once_is_the_same_cell(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 5
    for question in ("How many orders?", "and by shop", "and by shop", "How many orders?", "and by shop"):
        ip.run(f"%%sql_ai con\n{question}")
    assert gateway.requests[1]["messages"] == gateway.requests[2]["messages"]
    assert questions(gateway.requests[4]["messages"]) == ["How many orders?"]


def test_several_questions_of_one_cell_are_several_turns(gateway, ip, monkeypatch, assistant):
    source = "for q in ('one', 'two'):\n    get_ipython().run_line_magic('ask', q)"
    for run in "12":
        asked = {"header": {"msg_id": run}, "metadata": {"cellId": "a"}}
        monkeypatch.setattr(ip, "get_parent", lambda asked=asked: asked, raising=False)
        gateway.replies = ["1", "2"]
        ip.run(source)
        assert [turn.question for turn in assistant.chat.turns] == ["one", "two"]


@pytest.mark.slow
def test_turns_of_another_connection_are_not_told(cells, con, ip):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N", "S"] * 5, "amount": range(10)})
    cells("a", "%%sql_ai con\nHow many orders?")
    told = cells("b", "%%sql_ai frames\nand by region", reply=sql("SELECT count(*) AS n FROM sales"))
    assert questions(told) == []
    assert "another connection is not told" in ip.user_ns["_"].shown().footer


def test_a_named_thread_is_a_conversation(cells, assistant):
    cells("a", "%%ask --thread stats\nWhat is a mean?")
    assert questions(cells("b", "%%ask --thread stats\nWhat is a median?")) == ["What is a mean?"]
    assert questions(cells("c", "%%ask\nWhat is a mode?")) == []


@pytest.mark.slow
def test_a_result_is_no_source_unless_it_is_named(cells, con, ip):
    cells("a", "%%sql_ai con -o first\nHow many orders?")
    cells("b", "%%sql_ai con -o total\nWhat is the total of all orders?")
    again = cells("b", "%%sql_ai con -o total\nWhat is the total of all orders?")
    assert "CREATE TABLE orders" in again[-1]["content"]
    assert "first" not in cells("c", "%%ask\nWhat is a mean?")[-1]["content"]
    assert "first: pandas DataFrame" in cells("d", "%%ask\nWhat does first hold?")[-1]["content"]
    assert "total: pandas DataFrame" in cells("e", "%%ask --with total\nWhat is it?")[-1]["content"]
    named = cells("f", "%%sql_ai\nthe largest n of first", reply=sql("SELECT max(n) AS n FROM first"))
    assert "CREATE TABLE first" in named[-1]["content"]


def test_in_the_panel_the_shown_conversation_counts(assistant, gateway):
    gateway.replies = ["One.", "Two."]
    for question in ("What is a mean?", "What is a median?"):
        asked = assistant.question(question, snapshot())
        assistant.ask(asked, snapshot(), chat=assistant.chat)
    assert questions(gateway.requests[-1]["messages"]) == ["What is a mean?"]


def snapshot():
    from rsql_magic.answers import NotebookSnapshot

    return NotebookSnapshot()


def test_the_panel_shows_the_turn_of_a_cell_once(cells, con, assistant):
    panel = ChatPanel(assistant, snapshot)
    cells("a", "%%ask\nWhat is a mean?")
    cells("b", "%%ask\nWhat is a median?")
    cells("a", "%%ask\nWhat is a mode?")
    [thread] = panel.threads
    assert [each.question for each in thread.pairs] == ["What is a mode?", "What is a median?"]
    panel.threads.close()
