"""Examples of functions that stay within their rooms."""

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.answers.code_checks import check_blocks, parse_python, unknown_in_python
from rsql_magic.cli import monitor, r
from rsql_magic.display import charts
from rsql_magic.display.screens import on_the_right, texts, texts_by_row
from rsql_magic.display.tex import tamed
from rsql_magic.errors import GatewayError
from rsql_magic.gateway import Waiting, blocks_of
from rsql_magic.gateway.client import OPTIONAL, ModelRecords, refused_parameter
from rsql_magic.gateway.events import parse_sse, repeats
from rsql_magic.gateway.locator import base_url
from rsql_magic.gateway.refusals import error_of
from rsql_magic.gateway.replay import key_of
from rsql_magic.notebook.line import _plainly, misread
from rsql_magic.panel import messages
from rsql_magic.panel.outputs import coloured, mathml
from rsql_magic.reports import in_words, limit_rows, money, of, queue, status_rows, transpile


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (in_words({"ready": 2, "cooling": 1, "retired": 0}), "2 ready, 1 cooling"),
        (queue({"length": 3, "expected_wait_seconds": 12.4}), "3 waiting, about 12 s"),
        (of({"current": 1200, "limit": 5000}), "1,200 of 5,000"),
        (money({"today": 0.0021, "limit": 5.0}), "$0.0021 of $5.00"),
        (
            status_rows({"keys": {"ready": 2, "cooling": 0}, "queue": {"length": 0}, "models": ["qwen"]}),
            [("keys", "2 ready"), ("queue", "nobody waits"), ("models", "qwen")],
        ),
        (
            limit_rows({"caller": "ada", "limits": {"day": {"current": 3, "limit": 200}}, "cost": {"today": 0.5}}),
            [("you", "ada"), ("requests this day", "3 of 200"), ("money today", "$0.50")],
        ),
        (monitor.bar(1, 2), "████████████░░░░░░░░░░░░"),
    ],
)
def test_figures_of_a_gateway(report, words):
    assert report == words


def test_an_answer_is_kept_under_a_hash_without_the_date():
    asked = [[{"role": "user", "content": f'today="{year}-01-01"'}] for year in (2026, 2027)]
    assert key_of(asked[0], None) == key_of(asked[1], None)


def test_what_a_refusal_tells():
    refusal = GatewayError("'temperature' does not support 0 with this model.", status=400)
    assert refused_parameter(refusal, OPTIONAL) == "temperature"
    records = ModelRecords()
    records.learn("http://127.0.0.1:8000/", "o3", refuses="temperature")
    assert records.of("http://127.0.0.1:8000/", "o3").refuses == ("temperature",)
    assert type(error_of(401, "", {}, "http://localhost/rsql/")).__name__ == "NotAllowed"


def test_events_and_addresses():
    assert next(parse_sse([": queued position=4 eta=6.2", "data: [DONE]"])) == Waiting(position=4, eta=6.2)
    assert repeats("So it is. " + "la la " * 1000)
    assert not repeats("x = 1\n" * 10)
    assert base_url("http://localhost:8888") == "http://localhost:8888/rsql/"
    assert base_url("http://localhost:11434/v1") == "http://localhost:11434/"


def test_a_message_of_the_panel():
    read = messages.read("/sql flights per day", has_error=False)
    assert read == messages.SlashCommand("sql_ai", "flights per day", about_error=False)
    assert messages.names_in("Is @a like @r:b and @a?") == ["@a", "@r:b"]
    snapshot = NotebookSnapshot({}, ["", "x = 1"])
    found = messages.mentions_in("Why @cell:1?", snapshot, None)
    assert messages.spelled("Why @cell:1?", snapshot, found) == "Why In[1]?\n\nIn[1]:\n```\nx = 1\n```"


def test_outputs_of_the_panel():
    assert coloured("x = 1", "python") == [("n", "x"), ("", " "), ("o", "="), ("", " "), ("mi", "1")]
    assert mathml("x") == (
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>'
    )


def test_code_of_an_answer():
    unknown = unknown_in_python(["sales['regoin'].mean()"], {"sales": ["region", "amount"]})[0][0]
    assert str(unknown) == "sales has no column 'regoin'. Did you mean 'region'?"
    wrong = ["The python block 1 does not parse: '(' was never closed (line 1)."]
    assert check_blocks(blocks_of("```python\nx = (\n```"), {"python": parse_python}) == wrong
    assert parse_python("mean(x") == "'(' was never closed (line 1)"


def test_text_on_a_page():
    assert tamed(r"\href{javascript:alert(1)}{\frac{a}{b}} < c") == r"{\frac{a}{b}} \lt c"


def test_tables():
    assert texts(pd.Series([21.92066, 15.557, None])) == ["21.9207", "15.5570", None]
    assert texts(pd.Series([1234567.5, 0.25])) == ["1234567.50", "0.25"]
    assert texts(pd.Series([1000.0, 0.0000125])) == ["1000", "1.25e-05"]
    assert on_the_right(pd.DataFrame({"a": ["x"], "b": [1.5], "c": [True]})) == [False, True, False]
    assert texts_by_row(pd.DataFrame({"a": ["x", None], "b": [1.5, 2.25]})) == [("x", "1.50"), (None, "2.25")]


def test_the_line_of_a_magic():
    assert misread("%load_ext rsql_magic\n%sql_ai how many rows?") == "%sql_ai how many rows?"
    assert misread("%load_ext rsql_magic\n%ask?") == ""
    wrong = _plainly("argument --as: invalid choice: 'quizz' (choose from 'quiz', 'exam')")
    assert str(wrong) == "There is no --as 'quizz'. Did you mean quiz?"


def test_a_terminal_of_rstudio():
    assert r.noticed({"RSTUDIO": "1"})
    assert not r.noticed({"RSTUDIO": "0"})
    assert not r.noticed({"RSTUDIO_PANDOC": "/usr/bin"})


def test_a_query_in_another_dialect():
    assert transpile("SELECT strftime(d, '%Y') FROM t", "duckdb", "mysql") == "SELECT\n  DATE_FORMAT(d, '%Y')\nFROM t"


def test_charts():
    frame = pd.DataFrame({"a": ["x"], "n": [1]})
    assert charts.read('{"chart": "bar", "x": "A", "y": "n"}', frame) == charts.Chart("bar", "a", "n")
    flights = pd.DataFrame({"origin": ["EWR", "JFK"], "n": [120835, 111279]})
    assert charts.choose(flights) == charts.Chart("bar", "origin", "n")
    assert charts.spec(charts.Chart("bar", "a", "n"), frame)["mark"]["type"] == "bar"
