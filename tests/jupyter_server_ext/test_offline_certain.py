"""The offline model answers only what it has read to the last word: generated questions it must refuse, or heed."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from .offline_library import ask, say
from .test_offline_sql import QUESTIONS

STRANGE = ("purple", "reluctantly", "overdue", "abroad", "logged", "owned", "cancelled", "twice", "nearly")


@cache
def _answered() -> list[str]:
    return [line for line in QUESTIONS.strip().splitlines() if not line.startswith(" ") and "```" in say(line)]


def _with_word(question: str, word: str, chance: random.Random) -> str:
    words = question.split()
    place = chance.randrange(1, len(words))
    return " ".join([*words[:place], word, *words[place:]])


@cache
def _cases(count: int) -> list[str]:
    chance = random.Random(15)
    return [_with_word(chance.choice(_answered()), chance.choice(STRANGE), chance) for _ in range(count)]


def _is_told(question: str, text: str) -> bool:
    """Whether an answer names the strange word, which it took to say that two things belong together."""
    return any(f"“{word}” to say no more" in text for word in question.split() if word in STRANGE)


@pytest.mark.slow
def test_enough_wordings_are_answered():
    assert len(_answered()) > 40


@pytest.mark.parametrize("number", range(60))
def test_a_word_that_nothing_reads_is_refused_or_told(number):
    question, text = _cases(60)[number], say(_cases(60)[number])
    assert "```" not in text or _is_told(question, text), text


@pytest.mark.sweep
def test_no_word_anywhere_goes_unread():
    answered = [
        question for question in _cases(3000) if "```" in (text := say(question)) and not _is_told(question, text)
    ]
    assert not answered


@pytest.mark.parametrize(
    "question",
    [
        "How many books have more than 300 pages and less than 100 pages?",
        "titles of books with price above 30 and price below 10",
        "titles of books whose genre is Crime and whose genre is Poetry",
        "names of authors whose birth year is after 1990",
        "how many female and male members are there",
        "books with more than 900 pages",
    ],
)
def test_a_query_that_no_row_or_every_row_meets_is_refused(question):
    assert "```" not in say(question), ask(question)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("titles of books by Ursula Winter", "do not know where “Ursula Winter” is stored"),
        ("members from Oslo North", "North” is stored"),
        ("What are the names of authors and what are their books?", "“what are their books ?”"),
        ("How many books did each author have most?", "“How many books did each author have most ?”"),
        ("the name of each author and their number of books for each", "their number of books for each”"),
    ],
)
def test_a_guess_is_refused_with_its_reason(question, said):
    text = say(question)
    assert "```" not in text
    assert said in text
    assert "I read counts, sums, means" in text


NUMBERS = ("How many books have more than {} pages?", "titles of books with a price below {}", "show {} books")


@pytest.mark.parametrize("wording", NUMBERS)
@pytest.mark.parametrize("number", [83, 100, 199, 213, 305])
def test_no_number_is_lost(wording, number):
    text = say(wording.format(number))
    assert "```" not in text or re.search(rf"\b{number}\b", text)


WEATHER = """CREATE TABLE weather ( -- 9 rows
  origin TEXT, -- values: 'LGA', 'EWR'
  year INTEGER, -- 2013..2013
  month INTEGER, -- 1..12
  day INTEGER, -- 1..31
  hour INTEGER, -- 0..23
  temp REAL, -- 10.9..100; unique
  wind REAL -- 0..9
);"""


def test_a_part_of_a_date_is_no_date():
    assert "alone does not say which" in say("which day had the highest temp", ddl=WEATHER)
    assert "alone does not say which" in say("which day had the highest wind", ddl=WEATHER)


@pytest.mark.parametrize("question", ["hottest day", "hottest hour", "hottest month"])
def test_a_rank_of_what_is_no_thing_is_refused(question):
    text = say(question, ddl=WEATHER)
    assert "```" not in text
    assert f"“{question.split()[1]}”" in text
