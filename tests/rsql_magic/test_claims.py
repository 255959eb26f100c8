"""Numbers that an answer states, checked against the data: no false alarm, most wrong ones caught, nothing leaves."""

from __future__ import annotations

import json
import random

import pandas as pd
import pytest
from claims_world import false_of, true_of

from rsql_magic.answers import check_claims
from rsql_magic.context import gather


def checked(said):
    return check_claims(said.answer, said.question, gather(said.question, said.frames), said.frames)


def _alarms(seeds):
    return [(said.question, said.answer, found.wrong) for said in map(true_of, seeds) if (found := checked(said)).wrong]


@pytest.mark.slow
def test_what_is_true_is_never_marked():
    assert _alarms(range(150)) == []


@pytest.mark.sweep
def test_none_of_two_thousand_true_answers_is_marked():
    assert _alarms(range(2000)) == []


@pytest.mark.slow
def test_most_wrong_numbers_are_caught():
    found = [bool(checked(false_of(seed)).wrong) for seed in range(100)]
    assert sum(found) >= 80


SALES = pd.DataFrame(
    {"amount": [1.0, 2, 3, 4, 5, 6, 7, 8, 9.5, None], "region": list("NNSSEEWWNN"), "unit price": range(10)}
)
QUESTION = "What is the mean of amount in sales?"


def said_of(answer, question=QUESTION, **frames):
    frames = {"sales": SALES, **frames}
    return check_claims(answer, question, gather(question, frames), frames)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("The mean of `amount` is 4.2.", "the mean of `amount` is 5.056, not 4.2"),
        ("Its mean is unknown. The average amount in sales is 7.", "the mean of `amount` is 5.06, not 7"),
        ("`sales` has 12 rows and 3 columns.", "the number of rows of `sales` is 10, not 12"),
        ("There are 10 rows and 4 columns in the data.", "the number of columns of `sales` is 3, not 4"),
        ("amount has no missing values.", "the number of missing values in `amount` is 1, not 0"),
        ("12% of `amount` is missing.", "the share of missing values in `amount` is 10%, not 12%"),
        ("region has 5 distinct values.", "the number of distinct values of `region` is 4, not 5"),
        ("The unit price ranges from 0 to 80.", "the maximum of `unit price` is 9, not 80"),
        ("- **Sum** of `sales['amount']`: 1,045.5", "the sum of `amount` is 45.5, not 1,045.5"),
        ("amount has a median of 5 and a maximum of 95.", "the maximum of `amount` is 9.5, not 95"),
    ],
)
def test_what_is_wrong_is_said_with_the_digits_that_were_stated_and_two_more_at_most(answer, wrong):
    assert said_of(answer).wrong == (f"Checked against `sales`: {wrong}.",)


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ("The mean of `amount` is 5.06.", 1),
        ("The mean of `amount` is about 5.", 1),
        ("amount ranges from 1 to 9.5 and has 1 missing value.", 3),
        ("`amount`: min 1, max 9,5, mean 5,06", 3),
        ("On average, amount is 5.1.", 1),
        ("10 % of amount is missing.", 1),
        ("The mean of `amount` is 5.", 1),
        ("The mean of `amount` is 0.1 hours.", 0),
        ("The mean of `amount` is 5.0.", 0),
        ("The data is small.", 0),
    ],
)
def test_what_is_right_is_counted(answer, count):
    found = said_of(answer)
    assert (found.count, found.wrong) == (count, ())
    assert found.note == {0: "", 1: "1 number checked"}.get(count, f"{count} numbers checked")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the mean amount of the north?", "The mean of amount is 3."),
        ("mean amount by region in sales", "The mean of amount is 3."),
        ("How many rows have an amount above 5?", "sales has 4 rows."),
        (QUESTION, "For N, the mean of amount is 3."),
        (QUESTION, "N:\n\nThe mean of amount is 3."),
        (QUESTION, "Without the largest one things change. The mean of amount is 3."),
        (QUESTION, "```python\nsales = sales.dropna()\n```\nsales has 9 rows."),
        (QUESTION, "The mean of amount is not 3."),
        (QUESTION, "Is the mean of amount 3?"),
        (QUESTION, "The mean of amount in 2023 is 3."),
        (QUESTION, "| amount |\n| mean of amount is 3 |"),
        (QUESTION, "The mean of " + "amount and " * 500 + "amount is 3."),
        (QUESTION, "9" * 5000 + " rows in sales"),
    ],
)
def test_what_may_mean_something_else_is_left_alone(question, answer):
    assert said_of(answer, question).wrong == ()


def test_a_column_of_two_frames_is_left_alone_unless_one_is_named():
    costs = pd.DataFrame({"amount": [4.2, 4.2], "label": ["a", "b"]})
    answer = "The mean of `amount` is 4.2."
    assert said_of(answer, "What is the mean of amount?", costs=costs).count == 0
    assert said_of(answer, "What is the mean of amount in sales?", costs=costs).wrong
    assert said_of("The mean of amount in costs is 4.2.", "What is the mean of amount?", costs=costs).count == 1


class _Loud(pd.DataFrame):
    def __getitem__(self, key):
        raise AssertionError("code of the user's ran")


class _Value:
    def __eq__(self, other):
        raise AssertionError("code of the user's ran")

    def __hash__(self):
        raise AssertionError("code of the user's ran")


# Frames, columns, questions and answers of any shape: an answer is never lost for a number in it.
NAMES = ["sales", "amount", "unit price", *" _([é?", "a|b", "x.*", "", "ẞ", "mean", "no", "12", "F", "N"]
WORDS = ["the mean of", "is", "are", "no missing values", "rows", "and", "ranges from", "to"]
NUMBERS = ["4.2", "1,234.5", "12%", "0", "9" * 40, "1.2.3", "½", "١٢"]
SIGNS = [*"-`$.:🙂", "``", "**", "\n", "\n- ", "\x00", "\u202e"]
PIECES = [*NAMES, *WORDS, *NUMBERS, *SIGNS]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_answers_and_names_of_any_shape_raise_nothing(seed):
    chosen = random.Random(seed)
    for _ in range(10):
        columns = chosen.sample(NAMES, chosen.randrange(1, 5))
        frame = pd.DataFrame({name: [1, None, 2.5] for name in columns})
        frame.columns = [chosen.choice([name, chosen.randrange(9), (name, 1)]) for name in columns]
        question, answer = (" ".join(chosen.choices(PIECES, k=chosen.randrange(1, 25))) for _ in range(2))
        frames = {chosen.choice(["sales", "é", "F", "N", "mean"]): frame}
        found = check_claims(answer, question, gather(question, frames), frames)
        assert found.count >= len(found.wrong)


def test_where_no_name_is_said():
    assert said_of("It is 7.", "what?").count == 0


def test_no_code_of_the_users_runs():
    odd = pd.DataFrame({"thing": [_Value(), _Value()], "n": [1, 2]})
    answer = "The number of unique values of thing is 7. The mean of thing is 7. The mean of m is 4."
    assert said_of(answer, "Describe odd.", odd=odd, loud=_Loud({"m": [1, 2]})).count == 0


def test_it_is_shown_and_never_told(ip, gateway, capsys):
    ip.user_ns["sales"] = SALES
    gateway.replies = ["The mean of `amount` is 4.2.", "Yes.", "Nothing."]
    answer = ip.run(f"%%ask -o first\n{QUESTION}")
    sentence = "Checked against `sales`: the mean of `amount` is 5.056, not 4.2."
    assert answer.wrong == (sentence,)
    assert answer.problems == ()
    assert f"⚠ {sentence}" in capsys.readouterr().out
    assert answer.as_dict()["wrong"] == [sentence]
    ip.run("%%ask --thread main\nand why is that?")
    ip.run("%%ask --privacy names\nWhat is {{first}}?")
    assert "4.2" in json.dumps(gateway.requests[1]["messages"])  # as the model had said it
    assert "5.1" not in json.dumps(gateway.requests)


def test_what_is_right_is_a_quiet_note(ip, gateway):
    ip.user_ns["sales"] = SALES
    gateway.replies = ["The mean of `amount` is 5.1."]
    answer = ip.run(f"%%ask\n{QUESTION}")
    assert answer.notes == ("1 number checked",)
    assert answer.wrong == ()


def test_it_can_be_left_out(ip, gateway):
    ip.user_ns["sales"] = SALES
    ip.run("%config Rsql.check_code = False")
    gateway.replies = ["The mean of `amount` is 4.2."]
    assert ip.run(f"%%ask\n{QUESTION}").wrong == ()


def test_a_frame_of_r_is_checked_in_r(ip, gateway, real_r):
    ip.run("%load_ext rpy2.ipython")
    ip.run('%R trips <- data.frame(km = c(1, 2, NA, 9), town = factor(c("a", "b", "b", "a")), on = TRUE)')
    gateway.replies = [
        "The mean of `km` is 7.0, `km` has 1 missing value, and town has 2 unique values. `trips` has 4 rows."
    ]
    answer = ip.run("%%ask\nDescribe trips.")
    assert answer.wrong == ("Checked against `trips`: the mean of `km` is 4.0, not 7.0.",)
    gateway.replies = ["The mean of `km` is 4 and the sum is 12. town has 2 different values."]
    assert "3 numbers checked" in ip.run("%%ask\nDescribe trips.").notes


def test_a_correction_is_never_rounded_to_what_is_not_so():
    from rsql_magic.answers.claims import _shown

    shown = {(1.5, 0): "1.5", (2.5, 0): "2.5", (68.75, 0): "68.75", (0.6667, 0): "0.67", (1234567.0, 0): "1,234,567"}
    for (figure, places), text in shown.items():
        assert _shown(figure, places) == text
    for n in range(1, 400):  # what it says is nearer to the figure than a hundredth of the digit that was stated
        assert abs(float(_shown(n / 7, 0).replace(",", "")) - n / 7) <= 0.005 + 1e-9
