"""A model that asks its tools a thousand times for planted texts and numbers learns none of them below `sample`."""

from __future__ import annotations

import random
import string

import pytest
from looking_adversary import AMPLIFIED, DATABASES, HIGH, LETTERS, LOW, PEOPLE, Adversary, Planted


def reconstructed(planted, tools, calls=1_000):
    """The shares of numbers within 1 %, and of letters, that an adversary knows after so many calls."""
    adversary, tried, numbers, letters = Adversary(tools, planted.seed), 0, 0, 0
    while adversary.calls < calls and tried < PEOPLE:
        numbers += abs(adversary.pay(tried) - planted.pay[tried]) < 0.01 * planted.pay[tried]
        letters += adversary.letter(tried, tried % LETTERS) == planted.note[tried][tried % LETTERS]
        tried += 1
    while adversary.calls < calls:  # it asks again, in other ways, what was not answered
        adversary.holds(adversary.draw.randrange(PEOPLE), f"p.pay >= {adversary.draw.randrange(LOW, HIGH)}")
    return numbers / tried, letters / tried


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("level", ["names", "stats"])
def test_a_thousand_adaptive_calls_tell_no_more_than_the_prior(kind, level):
    planted = Planted(seed=7)
    prior = reconstructed(planted, {})
    known = reconstructed(planted, planted.tools(kind, level))
    assert all(one <= before + 0.02 for one, before in zip(known, prior, strict=True)), (known, prior)


@pytest.mark.parametrize("calls", [50, pytest.param(1_000, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("kind", DATABASES)
def test_the_adversary_knows_its_trade(kind, calls):
    """Where a query's rows are told it finds everything, so its failure elsewhere means something."""
    planted = Planted(seed=7)
    numbers, letters = reconstructed(planted, planted.tools(kind, "sample"), calls)
    assert numbers > 0.9
    assert letters > 0.9


@pytest.mark.parametrize("kind", DATABASES)
def test_no_rare_category_is_spelled_out(kind):
    for seed in (7, 8):
        planted = Planted(seed=seed)
        found = Adversary(planted.tools(kind, "stats"), seed).rare()
        assert found == Adversary({}, seed).rare() != planted.note[0]


@pytest.mark.parametrize("kind", DATABASES)
def test_answers_depend_on_nothing_but_what_a_description_tells(kind):
    """Two databases of one description and other rows answer each of a thousand random calls alike."""
    draw = random.Random(11)
    here, there = (Adversary(Planted(seed=seed).tools(kind, "stats"), 0) for seed in (7, 8))
    assert here.call("describe", table="people") == there.call("describe", table="people")
    for _ in range(1_000):
        name = draw.choice(["values", "values", "query", "tables", "describe"])
        like = draw.choice(["", "no", "x", "%", "_", "'", *string.ascii_lowercase])
        condition = f"p.note LIKE '{draw.choice(string.ascii_lowercase)}%' AND p.pay < {draw.randrange(LOW, HIGH)}"
        column = draw.choice(["people.ward", "people.note", "people.pay", "people.id", "ward"])
        arguments = {"column": column, "like": like, "table": "people", "words": like or "people"}
        arguments["sql"] = draw.choice(AMPLIFIED).replace("{}", condition)
        assert here.call(name, **arguments) == there.call(name, **arguments), (name, arguments)
