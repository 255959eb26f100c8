"""What proposed cells would do beyond computing: many spellings of each effect, and analyses that have none."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pandas as pd
import pytest
from many_cases import check_each

from rsql_magic.answers import SessionNames, effects_of, names_of
from rsql_magic.answers.changing.effects import SessionName

CASES = Path(__file__).parent / "effect_cases"
FRAME = SessionName("pandas.core.frame.DataFrame", is_object=True)
NAMES = SessionNames(
    {
        **{
            name: SessionName(module)
            for name, module in {"pd": "pandas", "np": "numpy", "pl": "polars", "sns": "seaborn"}.items()
        },
        "plt": SessionName("matplotlib.pyplot"),
        "duckdb": SessionName("duckdb"),
        "helper": SessionName("__main__.helper"),
        **dict.fromkeys(("df", "flights", "sales"), FRAME),
        "lf": SessionName("polars.lazyframe.frame.LazyFrame", is_object=True),
        "con": SessionName("_duckdb.DuckDBPyConnection", is_object=True),
        "engine": SessionName("sqlalchemy.engine.base.Engine", is_object=True),
        "model": SessionName("sklearn.linear_model._base.LinearRegression", is_object=True),
        "client": SessionName("openai._client.OpenAI", is_object=True),
        "x": SessionName("builtins.list", is_object=True),
    }
)


def cases(name):
    """The cells of a file, each with the kind of effect above it."""
    kind = ""
    for line in (CASES / f"{name}.txt").read_text().splitlines():
        if line.startswith("# ") and line[2:] in {"files", "sql", "install", "shell", "network", "unknown", "nothing"}:
            kind = line[2:]
        else:
            yield kind, line.replace("\\n", "\n").replace("\\\\", "\\")


def kinds(cell, names=NAMES):
    return {effect.kind for effect in effects_of(cell, names)}


def holds(kind, cell):
    assert (not kinds(cell)) if kind == "nothing" else (kind in kinds(cell)), effects_of(cell, NAMES)


def test_python_does_what_is_said_of_it():
    check_each(holds, cases("python"))


def test_r_does_what_is_said_of_it():
    check_each(lambda kind, cell: holds(kind, f"%%R\n{cell}"), cases("r"))


# The same effect in other places of a cell.
AROUND = [
    "if True:\n    {}",
    "def f():\n    {}\nf()",
    "try:\n    {}\nexcept Exception:\n    pass",
    "class A:\n    def go(self):\n        {}",
    "[{} for _ in range(3)]",
    "y = lambda: {}",
    "print(({}))",
    "x = 1; {}",
    "%%time\n{}",
    "%%capture out\n{}",
    "async def g():\n    {}",
    "with open('a') as f:\n    {}",
    "z = {} if x else 0",
    "assert {}",
    "f'{{{}}}'",
    "get_ipython().run_cell_magic('time', '', {!r})",
]


def test_an_effect_is_seen_wherever_it_stands():
    """Each effect that is one expression, inside of each construct; a seeded sample of all of them."""
    single = [
        (kind, cell)
        for kind, cell in cases("python")
        if kind != "nothing"
        and "\n" not in cell
        and cell[0] not in "%!"
        and "=" not in cell.partition("(")[0]
        and ";" not in cell
    ]
    pairs = [(kind, cell, around) for (kind, cell), around in itertools.product(single, AROUND)]

    def seen(kind, cell, around):
        if "f'" in around and ("'" in cell or '"' in cell or "!" in cell or "{" in cell):
            return
        found = kinds(around.format(cell))
        assert kind in found or "unknown" in found

    check_each(seen, random.Random(7).sample(pairs, 300))


def test_another_name_hides_nothing():
    modules = {"os": "system('ls')", "subprocess": "run('ls')", "shutil": "rmtree('a')", "requests": "get(u)"}
    ways = [
        "import {m} as q\nq.{c}",
        "import {m}\nq = {m}\nq.{c}",
        "from {m} import {f} as q\nq{a}",
        "import {m}\nq = {m}.{f}\nq{a}",
        "import importlib as i\ni.import_module('{m}').{c}",
        "m = __import__('{m}')\nm.{c}",
        "import {m}\ngetattr({m}, '{f}'){a}",
        "import {m}\ngetattr({m}, '{f}'[:99]){a}",
        "import sys\nsys.modules['{m}'].{c}",
        "import {m}\nvars({m})['{f}']{a}",
        "import {m}\n{m}.__dict__['{f}']{a}",
        "import functools, {m}\nfunctools.partial({m}.{f}, 'a')()",
        "exec('import {m}')",
        "from {m} import *\n{f}{a}",
        "import {m}\n[{m}.{f}][0]{a}",
        "import {m}\n(lambda g: g{a})({m}.{f})",
        "class A:\n    from {m} import {f}\nA.{f}{a}",
        "import builtins\nbuiltins.__import__('{m}').{c}",
    ]
    filled = [
        (way.format(m=module, c=call, f=call.partition("(")[0], a="(" + call.partition("(")[2]),)
        for way, (module, call) in itertools.product(ways, modules.items())
    ]
    check_each(holds_any, filled)


def holds_any(cell):
    assert kinds(cell)


def test_what_opens_a_file_to_write_is_known_by_its_mode():
    for mode in ("w", "a", "x", "wb", "r+", "rb+", "w+", "xt"):
        assert kinds(f"open('a', '{mode}')") == {"files"}, mode
        assert kinds(f"from pathlib import Path\nPath('a').open(mode='{mode}')") == {"files"}, mode
    for mode in ("r", "rb", "rt", "U"):
        assert not kinds(f"open('a', '{mode}')"), mode
    assert kinds("open('a', **how)") == {"files"}


def test_objects_of_the_session_are_known_by_their_class():
    class Odd:
        def __getattribute__(self, name):
            raise RuntimeError("nothing may be asked of it")

    names = SessionNames(names_of({"odd": Odd(), "df": pd.DataFrame(), "pd": pd, "f": holds, "join": "".join}))
    assert effects_of("df.head(); pd.concat([df])", names) == ()
    assert {each.kind for each in effects_of("odd.go()", names)} == {"unknown"}
    assert {each.kind for each in effects_of("f()", names)} == {"unknown"}


def test_r_with_packages_that_may_do_anything_cannot_be_told():
    names = SessionNames(r_packages=("dplyr 1.1.4", "httr 1.4.7"), r_functions=frozenset({"mine"}))
    assert {each.kind for each in effects_of("%%R\nmean(1)", names)} == {"unknown"}
    names = SessionNames(r_packages=("dplyr 1.1.4",), r_functions=frozenset({"mine"}))
    assert effects_of("%%R\nmean(1)", names) == ()
    assert {each.kind for each in effects_of("%%R\nmine(1)", names)} == {"unknown"}


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "(" * 5_000, "\x00", "%%", "%%R\n\\", "!", "a\udc80b", "f(" * 400 + ")" * 400]
)
def test_whatever_the_text_is_there_is_an_answer(text):
    effects_of(text, NAMES)
    effects_of(f"%%R\n{text}", NAMES)


def test_random_pieces_of_effects_never_raise():
    cells, rng = [cell for _, cell in cases("python")], random.Random(11)
    for _ in range(400):
        piece = "".join(rng.choice(cells)[: rng.randrange(60)] for _ in range(3))
        effects_of(piece, NAMES)
        effects_of(f"%%R\n{piece}", NAMES)


def test_an_effect_says_what_does_it_in_one_line():
    (effect,) = effects_of("df.to_csv('a\\nb' + 'c' * 200)", NAMES)
    assert str(effect) == "writes or deletes files: df.to_csv"
    assert "\n" not in str(effects_of("%%bash -c 'a'\nb", NAMES)[0])
