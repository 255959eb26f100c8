"""Questions are counted by a form that keeps what they mean."""

from __future__ import annotations

import random

import pytest
from many_cases import check_each

from jupyter_server_ext.questions import normal_form, question_of, text_of

SAME = [
    ("How many flights left JFK?", "how many flights left JFK"),
    ("how  many\n flights left JFK ?", "How many flights left JFK"),
    ("Please, how many flights left JFK?", "how many flights left JFK please"),
    ("Could you please show the delays?", "show the delays"),
    ("Hi, can you show the delays…", "Show the delays"),
    ("show “the delays”", 'show "the delays"'),
    ("delays\u00a0by origin", "delays by origin"),
    ("Zoe\u0308's flights", "Zoë's flights"),
]
OTHER = [
    ("flights in 2013", "flights in 2014"),
    ("FLIGHTS TO US", "flights to us"),
    ("flights not in 2013", "flights in 2013"),
    ("delay > 10", "delay < 10"),
    ("delay >= 10", "delay > 10"),
    ("delays of 'JFK'", "delays of 'jfk'"),
    ("mean of `Age`", "mean of `age`"),
    ("mean of Age", "mean of age"),
    ('find " a"', 'find "a"'),
    ("origin by destination", "destination by origin"),
    ("N of flights", "n of flights"),
    ("depDelay by month", "depdelay by month"),
    ("x² by y", "x2 by y"),
    ("is it 5", "is it -5"),
    ("mean of 1.5", "mean of 15"),
    ("flights, delays", "flights delays"),
    ("Could you say why?", "say why not?"),
]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_ways_of_writing_the_same_have_one_form(one, two):
    assert normal_form(one) == normal_form(two)
    assert question_of([{"role": "user", "content": one}]) == question_of([{"role": "user", "content": two}])


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_what_means_something_else_has_another_form(one, two):
    assert normal_form(one) != normal_form(two)


WORDS = ["flights", "delays", "not", "no", "Age", "age", "2013", "2014", "by", "JFK", "'JFK'", "`a b`", ">", "<", "1.5"]


def drawn(seed):
    chance = random.Random(seed)
    return [chance.choice(WORDS) for _ in range(chance.randint(2, 7))]


@pytest.mark.slow
def test_forms_are_steady_and_keep_every_word():
    def check(seed):
        words = drawn(seed)
        text = " ".join(words)
        form = normal_form(text)
        assert normal_form(form) == form
        assert normal_form(f"Please {text}?") == normal_form(f"{text} ")
        chance = random.Random(seed + 1)
        changed = list(words)
        changed[chance.randrange(1, len(words))] = chance.choice(WORDS)
        # All but the first word, whose capital is the sentence's.
        if changed != words:
            assert normal_form(" ".join(changed)) != form, (words, changed)

    check_each(check, ((seed,) for seed in range(3_000)))


def message(text):
    return [{"role": "system", "content": "Rules."}, {"role": "user", "content": text}]


def test_the_question_is_found_behind_what_is_described():
    tables = 'CREATE TABLE flights ( -- \n);\nCREATE TABLE "my table" (\n);'
    schema = f'<data kind="schema" name="duckdb" id="ab12">\n{tables}\n</data ab12>'
    frame = '<data kind="frame" name="visits" id="cd34">\nQuestion: none of yours\n</data cd34>'
    asked = message(f"{schema}\n{frame}\n\nAnswer with one block of code.\n\nQuestion: How long are visits?")
    assert question_of(asked).tables == "flights,my table,visits"
    assert question_of(asked).hash == question_of(message("how long are visits")).hash
    assert text_of(asked) == "How long are visits?"
    repair = [
        *asked,
        {"role": "assistant", "content": "SELECT"},
        {"role": "user", "content": "This does not work: no column."},
    ]
    assert question_of(repair).hash == question_of(asked).hash, "a correction is of the same question"
    unfenced = message(f"{schema[:-10]}\n\nQuestion: How long?")
    assert question_of(unfenced).hash, "a block that does not end takes nothing along"


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        "x",
        [{"role": "user"}],
        [{"role": "user", "content": 5}],
        [{"role": "user", "content": [{"text": 7}]}],
        [3],
    ],
)
def test_what_has_no_question_has_no_form(messages):
    assert question_of(messages).hash == ""
    assert text_of(messages) == ""


def test_names_of_tables_are_few_short_and_plain():
    many = "\n".join(f'<data kind="frame" name="{"x" * 60}{n}" id="a{n}">\n</data a{n}>' for n in range(100))
    tables = question_of(message(many + "\n\nQuestion: q")).tables
    assert len(tables) <= 255
    assert len(tables.split(",")) == 4
