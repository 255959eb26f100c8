"""The offline model makes study material of what it is told, which the notebook's side accepts, and of nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.context import gather
from rsql_magic.study.proving import disproved
from rsql_magic.study.sheet import FORMS, read_sheet

from . import described


def asked(kind, topic, namespace=None, count=None, told=None):
    told = told or gather(topic, namespace or {}, r=False)
    return described.asked(task="study", question=topic, sheet=kind, count=count, **told.as_values())


SALES = pd.DataFrame({"id": range(100), "region": ["N", "S"] * 50, "amount": [1.5, None, 2.0, 4.0] * 25})


@pytest.mark.parametrize("kind", FORMS)
def test_a_described_frame_becomes_material_of_the_form(kind):
    sheet = read_sheet(asked(kind, "sales", {"sales": SALES}, 3), kind, 3)
    assert "How many rows does sales have?" in str(sheet.items)


def test_the_answers_of_a_quiz_are_the_facts():
    items = read_sheet(asked("quiz", "sales", {"sales": SALES}, 20), "quiz").items
    right = {item.question: item.choices[item.answer] for item in items}
    assert right["How many rows does sales have?"] == "100"
    assert right["Which column of sales is different in every row?"] == "id"
    assert right["Which of these is a value of region in sales?"] == "N"
    assert right["What is the largest value of amount in sales?"] == "4"


def test_programs_give_what_they_say(programs):
    topic = "mean, median, NULL, left joins and group by"
    coded = [item.code for item in read_sheet(asked("quiz", topic, count=10), "quiz").items if item.code]
    assert len(coded) == 5
    assert [disproved(code) for code in coded] == [""] * 5


@pytest.mark.usefixtures("real_r")
def test_programs_in_r_give_what_they_say():
    coded = [item.code for item in read_sheet(asked("quiz", "NA and factors", count=10), "quiz").items if item.code]
    assert [code.language for code in coded] == ["r", "r"]
    assert [disproved(code) for code in coded] == ["", ""]


def test_a_term_is_not_given_away_by_its_question():
    (item,) = [i for i in read_sheet(asked("quiz", "overfitting"), "quiz").items if i.question.startswith("Which term")]
    assert item.choices[item.answer] == "overfitting"
    assert "overfit" not in item.question.lower().replace("overfits", "")


def test_what_is_not_known_is_said_and_nothing_is_invented():
    assert "know nothing certain" in asked("quiz", "the history of Rome")
    assert "know nothing certain" in asked("quiz", "the history of Rome", {"sales": SALES})
    assert "rows does sales have" in asked("quiz", "What this notebook does and holds.", {"sales": SALES})


LM = """Fitting Linear Models
Usage:
 lm(formula, data, weights, na.action,
 model = TRUE, x = FALSE, qr = TRUE, ...)
Arguments:
 formula: an object of class ‘"formula"’ (or one that can be coerced to that class): a
 symbolic description of the model to be fitted. The details of model
 specification: see ‘Details’.
 weights: an optional vector of weights to be used in the fitting process. Should be
 ‘NULL’ or a numeric vector.
na.action: a function which indicates what should happen when the data contain ‘NA’s.
 The default is set by the ‘na.action’ setting of ‘options’.
model, x, qr: logicals. If ‘TRUE’ the corresponding components of the fit are returned.
 ...: additional arguments."""


def test_a_help_page_is_asked_about_by_its_arguments():
    told = described.context(described.page("stats::lm", LM))
    cards = read_sheet(asked("flashcards", "stats::lm", count=3, told=told), "flashcards").items
    assert [card.front for card in cards] == [
        "What does `formula` do in lm()?",
        "What does `weights` do in lm()?",
        "What does `na.action` do in lm()?",
    ]
    assert cards[1].back == "an optional vector of weights to be used in the fitting process"
    assert cards[2].back == "a function which indicates what should happen when the data contain ‘NA’s"
    items = read_sheet(asked("quiz", "stats::lm", count=4, told=told), "quiz").items
    assert items[3].question == "What are `model`, `x`, `qr` in lm()?"
    assert items[1].choices[items[1].answer].startswith("an optional vector of weights")
    assert len({*items[1].choices}) == 4
