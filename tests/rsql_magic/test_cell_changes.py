"""Changes of cells: what is asked, what of the answer goes into the cell, and what a view is told."""

from __future__ import annotations

import re

import pytest
from panel_talk import Loop, Talk, in_thread

from rsql_magic.answers import Answer
from rsql_magic.panel.answer_task import MainThread
from rsql_magic.panel.cell_changes import CellChange
from rsql_magic.panel.failed_cell import FailedCell

pytestmark = pytest.mark.usefixtures("without_r")

CELL = "total = sales['regoin'].sum()"
ABOUT = {"source": CELL, "name": "KeyError", "value": "'regoin'"}
FIXED = "The column is called region.\n\n```python\ntotal = sales['region'].sum()\n```"


@pytest.fixture
def talk(sales, assistant):
    talk = Talk(sales, assistant)
    yield talk
    talk.panel.close()


def test_an_error_is_mended_from_the_cell_as_it_was_typed(talk, gateway):
    gateway.replies = [FIXED]
    told = talk.do("change", change="1", source=CELL, about=ABOUT)
    assert told["source"] == "total = sales['region'].sum()"
    assert (told["reason"], told["cell"], told["problems"]) == ("The column is called region.", False, [])
    assert CELL in gateway.sent
    assert "Fix the last error" in gateway.sent
    assert "KeyError" in gateway.sent
    assert "region" in gateway.sent  # the frame is described, whose column it should have been
    assert "llama" in told["footer"]
    assert talk.exchanges() == []  # it is no part of the conversation


def test_a_preview_is_what_is_sent_and_sends_nothing(talk, gateway):
    shown = talk.do("change_preview", source=CELL, about=ABOUT)
    assert gateway.requests == []
    gateway.replies = [FIXED]
    talk.do("change", change="1", source=CELL, about=ABOUT, seen=shown["seen"])
    assert [message["content"] for message in gateway.requests[0]["messages"]] == [
        message["content"] for message in shown["messages"]
    ]


def test_what_was_looked_at_is_not_sent_once_the_notebook_has_changed(talk, gateway, ip):
    shown = talk.do("change_preview", source=CELL, about=ABOUT)
    ip.run("other = 1")
    refused = talk.do("change", change="1", source=CELL, about=ABOUT, seen=shown["seen"])
    assert refused["error"]["kind"] == "Outdated"
    assert gateway.requests == []


@pytest.mark.parametrize(
    ("source", "reply", "expected"),
    [
        ("%%R -i df\nsumary(df)", "```r\nsummary(df)\n```", "%%R -i df\nsummary(df)"),
        ("%%sql con\nSELECT x", "```sql\nSELECT y\n```", "%%sql con\nSELECT y"),
        ("%%sql con\nSELECT x", "```sql\n%%sql con\nSELECT y\n```", "%%sql con\nSELECT y"),
        ("%%time\nf()", "```python\ng()\n```", "%%time\ng()"),
        ("f()", "```\ng()\n```", "g()"),
        ("\n\nf()\n", "```\ng()\n```", "\n\ng()\n"),
        ("df.groupby('a').sum()", "```r\ndf |> group_by(a)\n```", "%%R\ndf |> group_by(a)"),
        ("f'{{x}} {y}'", "```python\nf'{{x}} {z}'\n```", "f'{{x}} {z}'"),
    ],
)
def test_a_cell_keeps_the_first_line_of_its_language(source, reply, expected):
    told = CellChange(source, instruction="better").proposed(Answer(reply))
    assert (told["source"], told["cell"]) == (expected, False)


def test_a_part_of_a_cell_is_indented_as_it_was_and_in_another_language_a_cell_of_its_own():
    whole = "def f(x):\n    y = x\n    return y\n"
    part = CellChange("    y = x\n", instruction="double it", whole=whole)
    assert part.proposed(Answer("```python\ny = 2 * x\nz = y\n```"))["source"] == "    y = 2 * x\n    z = y\n"
    told = part.proposed(Answer("```r\ny <- x\n```"))
    assert (told["source"], told["cell"]) == ("%%R\ny <- x", True)
    assert "It is a part of this cell" in part.code


@pytest.mark.parametrize("reply", ["I cannot help with that.", f"```python\n{CELL}\n```", "```python\n```"])
def test_an_answer_without_a_change_says_so(talk, gateway, reply):
    gateway.replies = [reply] * 2
    told = talk.do("change", change="1", source=CELL, instruction="faster")
    assert told["error"]["kind"] == "NoChange"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source": "  ", "instruction": "faster"}, "The cell is empty."),
        ({"source": CELL}, "There is no instruction."),
        ({"source": CELL, "about": "oops"}, "did not understand"),
        ({"source": CELL, "about": {"source": 1, "name": "x", "value": "y"}}, "did not understand"),
        ({"source": "x" * 300_000, "instruction": "faster"}, "300,0"),
        ({"source": CELL, "instruction": "faster", "more": 1}, "did not understand"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(talk, gateway, given, said):
    assert said in talk.do("change_preview", **given)["error"]["message"]
    assert gateway.requests == []


def test_braces_and_secrets_in_the_code_come_back_as_they_were(talk, gateway):
    source = "key = 'sk-abcdefghijklmnopqrstuvwxyz0123456789'\nprint(f'{{sales}} {kye}')"
    gateway.replies = ["It was misspelled."]
    talk.do("change", change="1", source=source, instruction="mend the name")
    assert "sk-abcdefghijklmnopqrstuvwxyz0123456789" not in gateway.sent
    assert "{{sales}}" in gateway.sent
    sent = re.search(r"key = (\S+)", gateway.sent)[1]
    gateway.replies = [f"```python\nkey = {sent}\nprint(f'{{{{sales}}}} {{key}}')\n```"]
    told = talk.do("change", change="1", source=source, instruction="mend the name")
    assert told["source"] == source.replace("kye", "key")


def test_a_live_exception_says_more_than_its_text():
    from rsql_magic.answers import NotebookSnapshot

    error = KeyError("regoin")
    cell = FailedCell(CELL, "KeyError", "'regoin'")
    assert cell.into(NotebookSnapshot({}, [CELL, "x"], error)).error is error
    assert cell.into(NotebookSnapshot({}, [CELL, "x"], error)).cells == ["x", CELL]
    assert cell.into(NotebookSnapshot({}, [], ValueError("another"))).error == "KeyError: 'regoin'"


def test_an_error_of_a_named_cell_is_explained_in_the_conversation(talk, gateway):
    gateway.replies = ["There is no such column.", "Again."]
    told = talk.do("ask", thread=talk.thread, text="Explain the error of cell 3: KeyError", about=ABOUT)
    told = talk.ended(told["exchange"]["id"])
    assert (told["question"], told["about"]) == ("Explain the error of cell 3: KeyError", ABOUT)
    assert "Explain the last error" in gateway.sent
    assert "KeyError" in gateway.sent
    shown = talk.do("preview", thread=talk.thread, text="Explain it", about=ABOUT)
    assert "Explain the last error" in shown["messages"][-1]["content"]


@pytest.mark.slow
def test_a_change_is_stopped_while_the_main_thread_is_busy(talk, gateway, monkeypatch):
    """The checks of R code wait for the main thread; a user who stops does not."""
    loop = Loop()
    talk.panel.main_thread = MainThread(loop)
    gateway.replies = ["```r\nsummary(x)\n```"]
    monkeypatch.setattr("rsql_magic.panel.cell_changes._PATIENCE", 0.1)
    _, done = in_thread(lambda: talk.do("change", change="7", source="%%R\nsumary(x)", instruction="mend"))
    loop.run_until(lambda: done)
    assert done[0]["source"] == "%%R\nsummary(x)"
    talk.do("change_stop", change="7")  # it has ended: harmless
