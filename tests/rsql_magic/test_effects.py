"""What proposed cells would do: hostile cells of each class ask, analyses of listed packages do not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hatchling.builders.wheel import WheelBuilder
from many_cases import check_each

from rsql_magic import cli
from rsql_magic.agent import SessionName, SessionNames, effects_of, names_of
from rsql_magic.agent.effects.allow_list import allow_list, names_of_lists, signature, type_expression
from rsql_magic.agent.effects.cells import left_by

CASES = Path(__file__).parent / "effect_cases"
ROOT = Path(__file__).parents[2]
FRAME = SessionName("pandas.DataFrame", is_object=True)
NAMES = SessionNames(
    {
        **{name: SessionName(module) for name, module in {"pd": "pandas", "np": "numpy", "pl": "polars"}.items()},
        "helper": SessionName("__main__.helper"),
        **dict.fromkeys(("df", "flights", "sales"), FRAME),
        "client": SessionName("openai._client.OpenAI", is_object=True),
        "x": SessionName("builtins.list", is_object=True),
        "odd": SessionName("__main__.Odd", is_object=True),
    }
)


def cells(name):
    """The cells of a file, parted by lines of dashes."""
    return [each.strip("\n") for each in (CASES / f"{name}.txt").read_text().split("\n---\n")]


def asks(cell, names=NAMES):
    assert effects_of(cell, names), cell


def is_harmless(cell, names=NAMES):
    assert effects_of(cell, names) == (), cell


@pytest.mark.spine
def test_hostile_cells_ask():
    check_each(asks, ((cell,) for cell in cells("python_asks")))


def test_ordinary_cells_do_not_ask():
    check_each(is_harmless, ((cell,) for cell in cells("python_harmless")))


def r_cases():
    """R's cells of a file, each with the kind of effect above it."""
    kind = ""
    for line in (CASES / "r.txt").read_text().splitlines():
        if line.startswith("# ") and line[2:] in {"files", "sql", "install", "shell", "network", "unknown", "nothing"}:
            kind = line[2:]
        else:
            yield kind, line.replace("\\n", "\n").replace("\\\\", "\\")


def test_r_does_what_is_said_of_it():
    acting = [each for each in r_cases() if each[0] != "nothing"]
    check_each(lambda _kind, cell: asks(f"%%R\n{cell}"), acting)


AROUND = [
    "if True:\n    {}",
    "def f():\n    {}\nf()",
    "try:\n    {}\nexcept Exception:\n    pass",
    "[{} for _ in range(3)]",
    "y = lambda: {}\ny()",
    "print(({}))",
    "x = 1; {}",
    "%%time\n{}",
    "z = {} if x else 0",
    "assert {}",
    "f'{{{}}}'",
    "df.apply(lambda row: {})",
    "sorted(x, key=lambda each: {})",
    "df[{}]",
    "while False:\n    {}",
]


@pytest.mark.parametrize("around", AROUND)
def test_an_effect_asks_wherever_it_stands(around):
    for cell in ("open('a', 'w')", "df.to_csv('a')", "helper()", "odd.go()", "pd.io.common.os.system('a')"):
        asks(around.format(cell))


def test_each_list_can_be_read():
    for name in names_of_lists():
        listed = allow_list(name)
        for text in listed.functions.values():
            signature(text)
        for entry in listed.classes.values():
            for text in [*entry["methods"].values(), *(entry[key] for key in ("init", "call") if key in entry)]:
                signature(text)
            for text in [*entry["attributes"].values(), *(entry[key] for key in ("item", "iter") if key in entry)]:
                type_expression(text)


def test_the_wheel_has_the_lists():
    files = {each.distribution_path for each in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"rsql_magic/agent/effects/lists/{name}.json" for name in names_of_lists()} <= files


def test_an_array_that_is_mapped_to_a_file_asks(tmp_path):
    held = np.memmap(tmp_path / "a", mode="w+", shape=3)
    names = SessionNames(names_of({"held": held, "view": np.asarray(held)[1:], "np": np, "own": np.zeros(3)}))
    is_harmless("own[0] = 1; np.add(own, 1, out=own)", names)
    for cell in ("view[0] = 1", "held[0] = 1", "np.add(view, 1, out=view)", "view += 1", "view.sort()"):
        asks(cell, names)


@pytest.mark.parametrize(("backend", "is_window"), [("agg", False), ("qtagg", True), ("webagg", True)])
def test_plots_are_shown_without_a_question_where_they_are_outputs(monkeypatch, backend, is_window):
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setenv("MPLBACKEND", backend)
    assert bool(effects_of("import matplotlib.pyplot as plt\nplt.show()")) == is_window


def test_another_version_asks(monkeypatch):
    is_harmless("df.head()")
    monkeypatch.setattr(allow_list("pandas"), "versions", ("1.0", "2.0"))
    asks("df.head()")


def test_what_an_earlier_cell_leaves_is_known():
    names = left_by("totals = df.groupby('a').sum()\nmore = helper()", NAMES)
    asks("totals.head()", names)  # the cell asked: what it leaves is not known
    names = left_by("totals = pd.DataFrame({'a': [1]})", NAMES)
    is_harmless("totals.head()", names)
    names = left_by("df = open('a')", NAMES)
    asks("df.head()", names)


def test_a_session_is_told_by_exact_types():
    class Frame(pd.DataFrame):
        pass

    Frame.__module__, Frame.__name__ = "pandas", "DataFrame"
    fake = ModuleType("pandas")
    names = SessionNames(names_of({"own": Frame(), "df": pd.DataFrame(), "pd": pd, "fake": fake}))
    is_harmless("df.head(); pd.concat([df])", names)
    asks("own.head()", names)
    asks("fake.concat([df])", names)


def test_r_with_packages_that_may_do_anything_cannot_be_told():
    names = SessionNames(r_packages=("dplyr 1.1.4", "httr 1.4.7"), r_functions=frozenset({"mine"}))
    assert {each.kind for each in effects_of("%%R\nmean(1)", names)} == {"unknown"}
    names = SessionNames(r_packages=("dplyr 1.0.10",), r_functions=frozenset({"mine"}))
    assert effects_of("%%R\nmean(1)", names) == ()
    assert {each.kind for each in effects_of("%%R\nmine(1)", names)} == {"unknown"}


@pytest.mark.parametrize(
    ("words", "cell", "code"),
    [
        (["--given", "df=pandas.DataFrame"], "df.head()", 0),
        ([], "df.head()", 5),
        (["--lang", "sql"], "SELECT 1", 0),
        (["--lang", "sql", "--dialect", "sqlite"], "DROP TABLE a", 5),
        (["--lang", "r"], "mean(1:3)", 0),
        (["--lang", "r"], 'system("a")', 5),
    ],
)
def test_the_command_says_whether_a_cell_asks(words, cell, code, tmp_path, capsys):
    (tmp_path / "cell").write_text(cell)
    assert cli.main(["effects", str(tmp_path / "cell"), *words]) == code
    assert ("harmless" in capsys.readouterr().out) == (code == 0)


def test_the_command_refuses_what_it_cannot_read(tmp_path):
    assert cli.main(["effects", str(tmp_path / "none")]) == 1
    with pytest.raises(SystemExit, match="2"):
        cli.main(["effects", "-", "--given", "df"])


@pytest.mark.parametrize(
    "cell", ["%%time\ndf = helper()", "%time df = helper()", "%%capture df\n1", "%%R -o df\ndf <- 1"]
)
def test_what_a_magic_binds_is_not_known_to_the_next_cell(cell):
    """``df`` was a frame before; whatever the magic makes of it may be anything."""
    is_harmless("df.head()")
    after = left_by(cell, NAMES)
    assert effects_of("df.head()", after)


def test_what_a_cell_of_r_leaves_that_asks_is_not_known_to_the_next_one():
    assert effects_of("%%R\nmean(1:3)", left_by("%%R\nmean <- function(x) unlink(x)", NAMES))
    assert effects_of("%%R\nmean(1:3)", left_by("%%R -i x\nmean <- function(x) 1", NAMES))
    assert effects_of("%%R\nmean(1:3)", left_by("%R library(httr)", NAMES))


@pytest.mark.parametrize(("place", "name", "other"), [("pandas", "concat", "os.system"), ("numpy", "mean", "eval")])
def test_another_function_in_the_place_of_a_listed_one_asks(monkeypatch, place, name, other):
    assert not effects_of(f"import {place}\n{place}.{name}([1])")
    monkeypatch.setattr(f"{place}.{name}", {"os.system": os.system, "eval": eval}[other])
    assert effects_of(f"import {place}\n{place}.{name}([1])")


def test_a_module_beside_the_notebook_that_a_package_would_load_asks(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tabulate", raising=False)
    assert not effects_of("import pandas as pd\npd.Series([1])")
    (tmp_path / "tabulate.py").write_text("")
    assert effects_of("import pandas as pd\npd.Series([1])")


@pytest.mark.parametrize("cell", ["%%capture x\n1", "%%R -o x\n1", "%%sql x <<\nSELECT 1", "%%time\nx = open('a')"])
def test_what_a_magic_binds_is_not_known(cell):
    known = SessionNames(python={"x": SessionName("builtins.int", is_object=True)})
    assert left_by(cell, known).python["x"].module == "__main__"
