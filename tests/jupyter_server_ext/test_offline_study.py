"""The offline model makes study material of what it is told, which the notebook's side accepts, and of nothing else."""

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.answers.study.sheet import FORMS, read_sheet
from rsql_magic.context import gather

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


def test_a_term_is_not_given_away_by_its_question():
    (item,) = [i for i in read_sheet(asked("quiz", "overfitting"), "quiz").items if i.question.startswith("Which term")]
    assert item.choices[item.answer] == "overfitting"
    assert "overfit" not in item.question.lower().replace("overfits", "")


def test_what_is_not_known_is_said_and_nothing_is_invented():
    assert "know nothing certain" in asked("quiz", "the history of Rome")
    assert "know nothing certain" in asked("quiz", "the history of Rome", {"sales": SALES})
    assert "rows does sales have" in asked("quiz", "What this notebook does and holds.", {"sales": SALES})


def test_a_help_page_is_declined_with_its_reason():
    told = described.context(described.page("stats::aov", "Usage: aov(formula)\nArguments: formula: what is fitted"))
    assert "study material about data frames that are described to me and common terms" in asked(
        "flashcards", "stats::aov", told=told
    )
