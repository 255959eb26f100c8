"""Pieces of right and of wrong code, a line each in code_cases/: the wrong columns are found, and nothing else.

That the right ones are right and the wrong ones are not is known by running them; those of R that need packages which
not everybody has (r_unrun.txt) are only read.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl
import polars.selectors as cs
import pytest
from many_cases import check_each

from rsql_magic.answers.code_checks import unknown_in_python
from rsql_magic.context import python_frames
from rsql_magic.context import r as rside

ROWS = 40
IN_R = """
    sales <- data.frame(
      region = rep(c("N", "S", "E", "W"), 10), amount = (0:39) * 1.5, units = 0:39, day = as.Date("2024-01-01") + 0:39,
      store_id = rep(1:2, 20), `unit price` = (0:39) * 0.1, label = rep(c("a", "a", "b", "b"), 10), check.names = FALSE
    )
    stores <- data.frame(id = 1:2, city = c("Rome", "Oslo"), size = 3:4)
"""


def cases(name):
    path = Path(__file__).parent / "code_cases" / f"{name}.txt"
    return [line.replace("\\n", "\n") for line in path.read_text(encoding="utf-8").splitlines()]


def session(library):
    sales = pd.DataFrame(
        {
            "region": list("NSEW") * 10,
            "amount": [n * 1.5 for n in range(ROWS)],
            "units": range(ROWS),
            "day": pd.date_range("2024-01-01", periods=ROWS),
            "store_id": [1, 2] * 20,
            "unit price": [n % 7 * 0.1 for n in range(ROWS)],
            "label": list("aabb") * 10,
        }
    )
    stores = pd.DataFrame({"id": [1, 2], "city": ["Rome", "Oslo"], "size": [3, 4]})
    return {"sales": library(sales), "stores": library(stores)}


def found_in(code, frames):
    seen = python_frames(frames)
    told = unknown_in_python([code], seen.columns, seen.attributes, polars=seen.polars)
    return [str(each) for each in told[0]]


LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["right", "wrong"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_python_is_claimed_to_be_wrong_where_it_is(library, kind):
    check_each(is_claimed_to_be_wrong_where_it_is, [(library, kind, code) for code in cases(f"{library}_{kind}")])


def is_claimed_to_be_wrong_where_it_is(library, kind, code):
    names = {**session(LIBRARIES[library]), "pd": pd, "pl": pl, "cs": cs}
    told = found_in(code, {name: names[name] for name in ("sales", "stores")})
    if kind == "right":
        exec(compile(code, "case", "exec"), names)
        assert told == []
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011 - as many kinds as there are libraries
            exec(compile(code, "case", "exec"), names)
        assert told


@pytest.fixture
def workspace(real_r):
    """R with two tables and no packages attached."""
    import rpy2.rinterface as ri

    rside.survey()
    ri.evalr(IN_R)
    yield {each.name: each.columns for each in rside.survey().objects}
    ri.evalr('if ("package:dplyr" %in% search()) detach("package:dplyr", character.only = TRUE)')


@pytest.mark.parametrize("kind", ["right", "unrun", "wrong"])
def test_r_is_claimed_to_be_wrong_where_it_is(workspace, kind):
    import rpy2.rinterface as ri

    for code in cases(f"r_{kind}"):
        ri.evalr("rm(list = ls(globalenv()), envir = globalenv())")
        ri.evalr(IN_R)
        assert rside.parse_r(code) is None, code
        told = rside.unknown_columns([code], workspace)
        assert bool(told) == (kind == "wrong"), (code, told)
        if kind == "right" and "dplyr" not in code:  # dplyr is there where somebody installed it
            assert rside.run_r(code).error == "", code


def test_dplyr_code_runs_where_dplyr_is(workspace):
    import rpy2.rinterface as ri

    if not ri.evalr('requireNamespace("dplyr", quietly = TRUE)')[0]:
        pytest.skip("dplyr is not installed")
    for code in cases("r_right"):
        ri.evalr(IN_R)
        if "dplyr" in code:
            assert rside.run_r(code).error == "", code


def test_there_are_many():
    right = sum(len(cases(name)) for name in ("pandas_right", "polars_right", "r_right", "r_unrun"))
    assert right > 400
    assert sum(len(cases(name)) for name in ("pandas_wrong", "polars_wrong", "r_wrong")) > 150
