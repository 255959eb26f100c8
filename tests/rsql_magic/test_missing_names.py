"""What a failed cell asks for in vain goes with the question about its error, and the name that is near."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from rsql_magic.answers.missing_names import missing_names

PATIENTS = pd.DataFrame({"id": [1], "ward": ["x"], "bmi": [20.0]})
STAYS = pd.DataFrame({"patient_id": [1], "days": [3], "cost": [9.5]})
NAMES = {"patients": PATIENTS, "stays": STAYS, "np": np, "math": math, "_hidden": 1, "n": 3}


def failure(code):
    with pytest.raises(Exception) as failed:  # noqa: PT011 - of any class
        exec(code.replace("%matplotlib inline", ""), dict(NAMES))
    return failed.value


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("stays.groupby('patient_id').costs.mean()", "stays has no column 'costs'. Did you mean 'cost'?"),
        ("stays['Cost'].sum()", "stays has no column 'Cost'. Did you mean 'cost'?"),
        (
            "stays.groupby('ward').cost.mean()",
            "stays has no column 'ward'. It has: 'cost', 'days', 'patient_id'. patients has it.",
        ),
        ("%matplotlib inline\nstays.costs", "stays has no column 'costs'. Did you mean 'cost'?"),
        ("patient.bmi.mean()", "There is no 'patient'. Did you mean 'patients'?"),
        ("stays.groupby(patient_id).days", "patient_id is no variable, but a column of stays: write 'patient_id'."),
        ("patients.ward.value_count()", "There is no 'value_count'. Did you mean 'value_counts'?"),
        ("np.arrange(3)", "There is no 'arrange'. Did you mean 'arange'?"),
        ("stays.cost.total()", None),
        ("math.sqrt(stays)", None),
        ("zzz", None),
        ("1 / 0", None),
        ("{}['cost']", None),
    ],
)
def test_it_is_said_what_was_probably_meant(code, said):
    error = failure(code)
    assert missing_names(code, error, NAMES) == ([said] if said else [])
    if isinstance(error, NameError):  # what a page tells of an output is text
        assert missing_names(code, f"NameError: {error}", NAMES) == ([said] if said else [])


@pytest.mark.parametrize("code", ["%%R\nmean(y)", "stays[", ""])
def test_what_is_no_python_says_nothing(code):
    assert missing_names(code, "Error: object 'y' not found", NAMES) == []


def test_a_text_that_is_no_name_is_not_said():
    for code in ("stays.merge(patients, on='Ada Lovelace')", "stays.groupby('Ada Lovelace')", "stays['Ada Lovelace']"):
        said = " ".join(missing_names(code, None, NAMES))
        assert said.startswith("stays has no column '…'. It has: 'cost', ")
        assert "Ada" not in said


def test_columns_whose_names_are_values_are_not_listed():
    wide = pd.DataFrame({"Ada Lovelace": [1], "n": [2]})
    (said,) = missing_names("wide['Bob']", None, {"wide": wide}, frozenset({"Ada Lovelace"}))
    assert "Ada" not in said


def test_errors_of_other_people_may_say_anything():
    class Odd(AttributeError):
        def __init__(self):
            super().__init__(name=3, obj=self)

        def __str__(self):
            raise RuntimeError

    class Secretive(type):
        def __dir__(cls):
            raise RuntimeError

    assert missing_names("x.y", Odd(), NAMES) == []
    hidden = Secretive("Hidden", (), {})()
    assert missing_names("x.y", AttributeError("no y", name="y", obj=hidden), NAMES) == []
