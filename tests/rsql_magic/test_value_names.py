"""Columns named by values that too few rows have are not said; all other names are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsql_magic.answers.code_checks import unknown_in_python
from rsql_magic.context import describe, gather, python_frames
from rsql_magic.context.reader import fold, read
from rsql_magic.context.value_names import UNREACHED, SessionValues, by_filling, parts_of, prefix_of, starred

ROWS = 600
PEOPLE = [f"{first}{second} Person" for first in "ABCDEFGHIJ" for second in "klmnopqrst"]


@pytest.fixture
def visits():
    return pd.DataFrame(
        {
            "patient": [PEOPLE[n % 100] for n in range(ROWS)],
            "diagnosis": ["flu"] * 400 + ["cold"] * 196 + ["kuru"] * 4,
            "weight": np.linspace(40.5, 120.25, ROWS),
            "age": np.arange(ROWS) % 90,
        }
    )


def told(namespace, level="stats"):
    return gather("", namespace, level=level, budget=20_000, r=False).text


ONE_HOT = {
    "get_dummies": pd.get_dummies,
    "without the first": lambda visits: pd.get_dummies(visits, drop_first=True),
    "as numbers": lambda visits: pd.get_dummies(visits, dtype=float),
    "with another sign": lambda visits: pd.get_dummies(visits, prefix_sep="="),
    "of one column": lambda visits: pd.get_dummies(visits["diagnosis"]),
    "of lists": lambda visits: visits["diagnosis"].str.get_dummies("|"),
    "beside other columns": lambda visits: visits[["age"]].join(visits["diagnosis"].str.get_dummies("|")),
    "polars": lambda visits: pl.DataFrame(visits).to_dummies(["diagnosis", "patient"]),
    "sparse": lambda visits: pd.get_dummies(visits, sparse=True),
    "scaled": lambda visits: pd.get_dummies(visits, dtype=float).transform(
        lambda flag: (flag - flag.mean()) / flag.std()
    ),
    "of a part": lambda visits: pd.get_dummies(visits.astype({"diagnosis": "category"})[:596], columns=["diagnosis"]),
    "counted words": lambda visits: pd.get_dummies(visits["patient"]).astype(int) * 2,
    "as a series": lambda visits: pd.get_dummies(visits)["diagnosis_kuru"],
    "as an array": lambda visits: pd.get_dummies(visits).to_records(index=False),
    "as arrow": lambda visits: pl.DataFrame(pd.get_dummies(visits)).to_arrow(),
}


@pytest.mark.parametrize("make", ONE_HOT.values(), ids=ONE_HOT)
@pytest.mark.parametrize("level", ["names", "stats"])
def test_one_hot_columns_are_known_without_what_they_were_made_of(visits, make, level):
    text = told({"spread": make(visits)}, level)
    assert "kuru" not in text
    assert "Person" not in text
    assert "names are values" in text


def test_columns_of_frequent_values_are_said_where_values_may_be(visits):
    spread = pd.get_dummies(visits)
    assert "diagnosis_flu" in told({"spread": spread})
    assert "patient_* (100 columns)" in told({"spread": spread})
    assert "flu" not in told({"spread": spread}, "names")
    assert "kuru" in told({"spread": pd.get_dummies(visits["diagnosis"])}, "sample")


def test_a_name_that_the_user_typed_is_said(visits):
    asked = gather("Is diagnosis_kuru rarer than diagnosis_cold?", {"spread": pd.get_dummies(visits)}, r=False).text
    assert "- diagnosis_kuru bool" in asked
    assert "Person" not in asked


WIDE = {
    "pivot": lambda visits: visits.pivot_table(index="age", columns="patient", values="weight").rename_axis(
        columns=None
    ),
    "crosstab": lambda visits: pd.crosstab(visits["age"] > 40, visits["diagnosis"]).rename_axis(columns=None),
    "polars pivot": lambda visits: (
        pl.DataFrame(visits)
        .group_by("diagnosis")
        .agg(pl.col("weight").mean())
        .with_columns(unit=pl.lit("kg"))
        .pivot(on="diagnosis", index="unit", values="weight")
    ),
    "with a beginning": lambda visits: (
        pd.crosstab(visits["age"] > 40, visits["diagnosis"]).rename_axis(columns=None).add_prefix("n_")
    ),
    "with an end": lambda visits: (
        pd.crosstab(visits["age"] > 40, visits["diagnosis"]).rename_axis(columns=None).add_suffix("_mean")
    ),
    "a row": lambda visits: visits.set_index("patient")[["age", "weight"]].iloc[7].to_frame(),
    "on its side": lambda visits: visits.groupby("patient")[["age", "weight"]].mean().T.rename_axis(columns=None),
    "folded": lambda visits: (
        pd.crosstab(visits["age"] > 40, visits["patient"])
        .rename(columns=lambda name: name.lower().replace(" ", "_"))
        .rename_axis(columns=None)
    ),
    "several levels": lambda visits: visits.pivot_table(
        index="age", columns="diagnosis", values=["weight"]
    ).rename_axis(columns=[None, None]),
    "lazy": lambda visits: pl.DataFrame(pd.crosstab(visits["age"] > 40, visits["diagnosis"])).lazy(),
    "texts": lambda visits: pd.DataFrame([["a"] * 100], columns=PEOPLE),
    "a dictionary": lambda _: {"kuru": 4, "flu": "many"},
    "one column": lambda visits: pd.crosstab(visits["age"] > 40, visits["diagnosis"])["kuru"].rename_axis(None),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", WIDE.values(), ids=WIDE)
@pytest.mark.parametrize("level", ["names", "stats"])
@pytest.mark.parametrize("hold", [pd.DataFrame, pl.DataFrame, lambda visits: visits.set_index("patient")])
def test_names_that_a_text_column_holds_are_not_said(visits, make, level, hold):
    text = told({"visits": hold(visits), "wide": make(visits)}, level)
    assert "kuru" not in text
    assert "person" not in text.lower()


SPOKEN = {
    "importances": lambda visits: pd.DataFrame({"feature": ["weight", "age", "height"], "importance": [0.4, 0.4, 0.2]}),
    "described": lambda visits: visits.describe().T.reset_index(),
    "correlations": lambda visits: visits[["weight", "age"]].corr(),
    "missing": lambda visits: visits.isna().sum(),
    "melted": lambda visits: visits.melt(id_vars="patient"),
    "longer": lambda visits: visits.rename_axis("id").reset_index().melt(id_vars="id", var_name="name").head(8),
    "code book": lambda visits: pd.DataFrame(
        {"name": list(visits.columns), "label": ["who", "what", "kg", "years", "m"]}
    ),
}


@pytest.mark.parametrize("make", SPOKEN.values(), ids=SPOKEN)
def test_columns_that_list_the_names_of_columns_hide_none(visits, make):
    visits["height"] = visits["weight"] * 1.5
    frames = {"made": make(visits), "visits": visits}
    assert SessionValues({name: read(frame) for name, frame in frames.items()}).names == frozenset()


@pytest.mark.parametrize(
    "columns",
    [
        {"is_open": [True] * 3 + [False] * 97, "is_late": [True] * 50 + [False] * 50},
        {"open": [True] * 30 + [False] * 70, "late": [True] * 50 + [False] * 50},
        {"fraud": [1] * 3 + [0] * 97, "amount": range(100)},
        {"year": [2013] * 100, "month": [1] * 100, "day": [1] * 60 + [2] * 40},
        {"price_min": np.linspace(1, 9, 100), "price_max": np.linspace(2, 10, 100)},
        {"email_sent": [1] * 60 + [0] * 40, "email_read": [1] * 50 + [0] * 50},
        {f"metric_{n}": [0.0] * 99 + [1.0] for n in range(50)},
        {"errors": [0] * 100, "warnings": [0] * 100},
        {"passed": [True, False], "repeated": [False, False]},
    ],
)
def test_flags_and_numbers_of_their_own_name_are_said(columns):
    assert by_filling(read(pd.DataFrame(columns)), 5) == set()


def test_a_message_about_a_wrong_column_lists_no_values(visits):
    frames = {"spread": pd.get_dummies(visits[["diagnosis", "age"]])}
    suppressed = gather("", frames, r=False).suppressed
    columns = python_frames(frames).columns
    found = unknown_in_python(["spread['diagnosis_kur']", "spread['x']"], columns, suppressed=suppressed)
    assert suppressed == {"diagnosis_kuru"}
    assert "kuru" not in " ".join(str(each) for piece in found for each in piece)


def test_a_value_put_into_the_question_is_described_by_the_same_rule(visits):
    wide = pd.crosstab(visits["age"] > 40, visits["diagnosis"]).rename_axis(columns=None)
    assert "kuru" in describe(wide, "wide")  # on its own, nothing tells that it is a value
    assert "kuru" not in describe(wide, "wide", namespace={"visits": visits, "wide": wide})


def test_a_search_that_takes_too_long_ends():
    frames = {f"f{n}": read(pd.DataFrame({f"t{n}": ["a"] * 9, f"u{n}": ["b"] * 9, "v": ["c"] * 9})) for n in range(50)}
    assert SessionValues(frames, work=5 * 60_000).names == frozenset()


def pivoted(visits):
    """A dense table of each person's weights, whose columns have one beginning; nothing in it tells what they are."""
    names = [f"weight_{name.split()[0]}" for name in PEOPLE]
    return pd.DataFrame({name: np.linspace(40 + n, 90 + n, ROWS) for n, name in enumerate(names)})


def test_names_of_one_beginning_are_withheld_where_there_was_no_time_to_look(visits):
    frames = {"wide": read(pivoted(visits).assign(age_min=1.0, age_max=2.0, height=3.0)), "visits": read(visits)}
    rushed = SessionValues(frames, work=0).names
    assert rushed == {f"weight_{name.split()[0]}" for name in PEOPLE}
    assert SessionValues({"wide": frames["wide"]}).names == frozenset()


def test_a_crowd_of_names_without_a_beginning_is_withheld_where_there_was_no_time_to_look(visits):
    wide = pd.DataFrame({name: np.linspace(40 + n, 90 + n, ROWS) for n, name in enumerate(PEOPLE)})
    numbered = pd.DataFrame({f"metric_{n}": np.linspace(n, n + 1, ROWS) for n in range(40)})
    frames = {name: read(frame) for name, frame in {"wide": wide, "numbered": numbered, "visits": visits}.items()}
    assert SessionValues(frames, work=0).names == set(PEOPLE)


@pytest.mark.slow
def test_frames_with_few_texts_are_searched_first(visits):
    texts = pd.DataFrame([["a"] * 100], columns=PEOPLE)  # one row, and a hundred columns to search
    frames = {"texts": read(texts), "visits": read(visits)}
    assert SessionValues(frames, work=200_000).names == set(PEOPLE)


@pytest.mark.slow
def test_parts_of_a_frame_that_were_reached_speak_for_those_that_were_not():
    sensors = {f"sensor_{place}": np.linspace(1, 2, 60) for place in ("north", "south", "east", "west", "roof")}
    parts = {f"part_{n}": pd.DataFrame({"site": ["here", "there"] * 30, **sensors}) for n in range(20)}
    assert SessionValues({k: read(v) for k, v in parts.items()}).names == frozenset()
    parts["part_0"]["site"] = [*["roof"] * 2, *["here"] * 58]
    told = SessionValues({k: read(v) for k, v in parts.items()}).names
    assert told == set(sensors)  # one part holds one of them


def test_what_is_held_elsewhere_and_was_not_reached_counts_too(visits):
    frames = {"wide": read(pivoted(visits))}
    assert SessionValues(frames, elsewhere=lambda wanted: {}).names == frozenset()
    assert len(SessionValues(frames, elsewhere=lambda wanted: {UNREACHED: []}).names) == len(PEOPLE)


@given(st.text(max_size=40), st.sets(st.text(max_size=10)))
def test_any_name_can_be_taken_apart(name, columns):
    assert all(len(text) > 2 for text, _ in parts_of(name, columns))
    assert prefix_of(name) is None or name.startswith(prefix_of(name))
    assert fold(fold(name)) == fold(name)
    assert starred([name] * 4) == []
