"""The way that %%ask answers a question by: rules on its words, and a cell that is routed."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rsql_magic.answers import way_of
from rsql_magic.answers.routes import wanted
from rsql_magic.errors import BadInput, NoQuery

SETTINGS = {
    "shop": ("customers orders products order_items", ""),
    "clinic": ("patients visits doctors", "weather bikes temp rain station rides"),
    "school": ("students courses marks", "marks survey student hours mood"),
    "frames": ("", "penguins flights titanic"),
    "empty": ("", ""),
}
"""The tables of the connection in use, and what only the frames of the session have."""


def _cases():
    lines = (Path(__file__).parent / "route_cases.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" | ", 2) for line in lines if not line.startswith("#")]


def _found(setting, question):
    tables, elsewhere = SETTINGS[setting]
    return way_of(question, tables.split(), elsewhere.split()) or "-"


@pytest.mark.parametrize("half", [0, 1], ids=["written on", "held out"])
def test_questions_go_the_way_they_want_or_none_in_particular(half):
    cases = _cases()[half::2]
    found = [(want, _found(setting, question), question) for setting, want, question in cases]
    right = sum(want == way for want, way, _ in found)
    other = [(want, way, question) for want, way, question in found if way not in {want, "-"}]
    assert right >= 0.95 * len(cases), [each for each in found if each[0] != each[1]]
    assert len(other) <= 1, other


def test_questions_of_the_evaluation_are_asked_as_they_were():
    """They ask for values of frames: code answers them, and nothing is said of another way."""
    import json

    for name in ("ask", "sql"):
        path = Path(__file__).parents[2] / "evaluation/sets" / name / "questions.jsonl"
        questions = [json.loads(line)["question"] for line in path.read_text(encoding="utf-8").splitlines()]
        assert [each for each in questions if way_of(each)] == []
        assert name == "sql" or sum(bool(wanted(None, each, of_frames=True)) for each in questions) >= 0.75 * len(
            questions
        )


@pytest.mark.parametrize(
    "question",
    [
        "Explain the outliers of fare",
        "Why is the mean so high?",
        "What does fare mean?",
        "Suggest three names for the columns",
        "How do I interpret the slope?",
        "Translate this cell to R",
        "Was bedeutet fare?",
        "The mean is odd",
        "Which columns have missing values?",
        "thanks",
        "Plot fare by age",
    ],
)
def test_code_alone_is_wanted_for_values_only(question):
    assert "nothing else" not in wanted(None, question, of_frames=True)
    assert wanted(None, "How many rides are there?", of_frames=False) == ""


@pytest.fixture
def shop(ip):
    """A shell whose connection in use has orders, and a frame of weather."""
    con = ip.user_ns["shop"] = duckdb.connect()
    con.execute("CREATE TABLE orders AS SELECT i AS id, i % 3 AS city, i * 1.5 AS total FROM range(30) t(i)")
    ip.user_ns["weather"] = pd.DataFrame({"day": range(6), "rain": [0.1, 2, 3, 0, 0, 1]})
    yield ip
    con.close()


COUNTED = "```sql\nSELECT count(*) AS n FROM orders\n```"


@pytest.fixture
def in_use(shop, gateway):
    gateway.replies = [COUNTED]
    shop.run("%%sql_ai shop\nhow many orders?")
    gateway.requests.clear()
    return shop


@pytest.mark.slow
def test_a_question_on_tables_in_use_is_answered_by_a_query(in_use, gateway):
    gateway.replies = [COUNTED]
    result = in_use.run("%%ask -o found\nHow many orders are there?")
    assert result.df["n"].tolist() == [30]
    assert result.footnotes[0] == "answered by a query on shop (--as words, code or chart chooses another way)"
    assert in_use.user_ns["found"] is result
    assert result.code == result.sql == "SELECT count(*) AS n FROM orders"
    assert "count(*)" in result.text


@pytest.mark.slow
def test_another_way_is_chosen_by_an_option(in_use, gateway):
    gateway.replies = ["Thirty."]
    answer = in_use.run("%%ask --as words\nHow many orders are there?")
    assert str(answer) == "Thirty."
    assert "Answer in words" in gateway.sent
    assert not any("--as" in note for note in answer.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [
        "%%ask\nHow many days has weather?",
        "%%ask\nDo orders depend on rain?",
        "%%ask --no-context\nHow many orders are there?",
        "%%ask --lang python\nHow many orders are there?",
        "%%ask --with weather\nHow many orders are there?",
        "%%ask --format json\nHow many orders are there?",
        "%%ask\nDelete all orders of city 1",
        "%%ask\nHow many {{weather}} orders are there?",
    ],
)
def test_a_question_that_may_mean_something_else_is_asked_as_before(in_use, gateway, cell):
    gateway.replies = ["Words."]
    assert in_use.run(cell).text.strip() == "Words."
    assert gateway.requests[-1]["headers"]["x-rsql-task"] == "ask"


def test_without_a_connection_in_use_nothing_is_opened(shop, gateway):
    gateway.replies = ["Words."]
    assert shop.run("%%ask\nHow many orders are there?").text.strip() == "Words."


@pytest.mark.slow
def test_a_connection_that_is_gone_is_not_asked(in_use, gateway):
    del in_use.user_ns["shop"]
    gateway.replies = ["Words."]
    assert in_use.run("%%ask\nHow many orders are there?").text.strip() == "Words."


@pytest.mark.slow
def test_where_the_tables_cannot_answer_words_do(in_use, gateway):
    gateway.replies = ["The tables hold no names.", "No names are known."]
    answer = in_use.run("%%ask\nWho placed most orders?")
    assert str(answer) == "No names are known."
    assert answer.notes[0] == "the tables could not answer it"
    turns = [turn.answer.strip() for turn in in_use.magics_manager.registry["RsqlMagics"].assistant.chat.turns]
    assert turns[-1] == "No names are known."
    assert "The tables hold no names." not in turns


@pytest.mark.slow
def test_a_query_that_was_chosen_says_why_there_is_none(in_use, gateway):
    gateway.replies = ["The tables hold no names."]
    with pytest.raises(NoQuery, match="no names"):
        in_use.run("%%ask --as query\nWho placed most orders?")


def test_a_chosen_query_asks_the_frames_where_no_connection_is_in_use(ip, gateway):
    ip.user_ns["weather"] = pd.DataFrame({"day": range(6), "rain": [0.1, 2, 3, 0, 0, 1]})
    gateway.replies = ["```sql\nSELECT count(*) AS n FROM weather\n```"]
    assert ip.run("%%ask --as query\nHow many days?").df["n"].tolist() == [6]


@pytest.mark.slow
def test_a_value_in_the_question_is_filled_in_once(in_use, gateway):
    in_use.user_ns |= {"word": "{{secret_thing}}", "secret_thing": "hidden"}
    gateway.replies = [COUNTED]
    in_use.run("%%ask --as query\nHow many orders with {{word}}?")
    assert "{{secret_thing}}" in gateway.sent
    assert "hidden" not in gateway.sent


@pytest.mark.slow
def test_run_and_insert_go_with_code_only(in_use, gateway):
    with pytest.raises(BadInput, match="--as query runs its query"):
        in_use.run("%%ask --as query --run\nHow many orders?")
    assert gateway.requests == []


@pytest.mark.slow
def test_what_would_be_sent_is_that_of_the_query(in_use, gateway, capsys):
    in_use.run("%%ask --show-context\nHow many orders are there?")
    shown = capsys.readouterr().out
    assert "You write SQL for" in shown
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("question", "wanted", "said"),
    [
        ("Plot rain by day", "draws the chart", "asked for a chart"),
        ("How do I plot rain?", "Answer with one block of code", "asked for code"),
        ("What does rain mean?", "Answer in words", "asked for words"),
    ],
)
def test_a_way_is_told_to_the_model_and_said(shop, gateway, question, wanted, said):
    gateway.replies = ["So."]
    answer = shop.run(f"%%ask\n{question}")
    assert wanted in gateway.sent
    assert gateway.sent.endswith(f"Question: {question}")
    assert answer.notes[0].startswith(said)
