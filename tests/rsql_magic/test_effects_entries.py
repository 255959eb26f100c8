"""What the lists call harmless is called under the monitor: an entry with an effect fails here, by its name."""

from __future__ import annotations

import contextlib
import inspect
import random
import shutil
from pathlib import Path

import effects_entries
import effects_entries_r
import pytest

import rsql_magic
from rsql_magic.agent.effects.allow_list import allow_list, names_of_lists

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sweep,  # many processes under strace
    pytest.mark.usefixtures("programs"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

LISTS = Path(rsql_magic.__file__).parent / "agent/effects/lists"
SAMPLE = 25
WRONG = {
    "pandas.DataFrame.to_csv": "(path)",
    "pandas.DataFrame.to_string": "(buf=0)",
    "pandas.read_csv": "(filepath_or_buffer)",
    "numpy.save": "(file, arr)",
    "polars.DataFrame.serialize": "(file=0)",
    "duckdb.connect": "(database=0)",
    "os.remove": "(path)",
    "os.putenv": "(name, value)",
}
RIGHT = {
    "pandas.DataFrame.to_csv": "(path: absent = 0, sep: only(',') = 0)",
    "pandas.DataFrame.head": "(n=0)",
    "pandas.read_csv": "(filepath_or_buffer: path)",
    "numpy.mean": "(a, axis=0)",
    "polars.DataFrame.select": "(*exprs)",
    "pandas.DataFrame.shape": None,
}


def test_an_entry_that_acts_is_found_and_one_that_does_not_is_left():
    wrong = effects_entries.try_entries(WRONG, signatures=WRONG)
    assert [each.name for each in wrong if not each.effects] == []
    right = effects_entries.try_entries(RIGHT, signatures=RIGHT)
    assert [each for each in right if each.effects or not each.reached] == []


def test_without_a_signature_every_way_to_call_an_entry_is_tried():
    tried = effects_entries.try_entries(["pandas.DataFrame.to_string", "pandas.DataFrame.info", "pandas.nothing"])
    assert [("files" in dict(each.effects), each.reached) for each in tried] == [
        (True, True),
        (False, True),
        (False, False),
    ]


@pytest.mark.usefixtures("real_r")
def test_functions_of_r_that_act_are_found():
    tried = effects_entries.try_entries(["base::cat", "base::unlink", "stats::sd", "utils::head"], "r")
    assert [bool(each.effects) for each in tried] == [True, True, False, False]
    assert all(each.reached for each in tried)


def _tried(names):
    entries = effects_entries.listed(LISTS)
    tried = effects_entries.try_entries(names(entries), signatures=entries)
    unreached = [each.name for each in tried if not each.reached]
    print(f"{len(unreached)} of {len(tried)} entries were not reached by any call: {unreached}")
    return [f"{each.name}: {each.effects[0]}" for each in tried if each.effects]


@pytest.mark.usefixtures("real_r")
def test_a_sample_of_what_the_check_lets_through_in_r_has_no_effect():
    entries = sorted(effects_entries_r.listed_in_r())
    tried = effects_entries_r.tried_in_r(random.Random(33).sample(entries, SAMPLE))
    assert [each for each in tried if each.effects] == []
    assert sum(each.reached for each in tried) > SAMPLE / 2


def test_no_method_of_a_class_is_taken_for_a_value():
    """What a class lists under no name of its own is a column; a method that is none would be handed on as data."""
    for name in names_of_lists():
        for dotted, entry in allow_list(name).classes.items():
            with contextlib.suppress(LookupError):
                held, _ = effects_entries.found(dotted)
                known = {*entry["methods"], *entry["attributes"], *entry.get("asks", ())}
                own = {each for each in dir(held) if not each.startswith("_")} if "column" in entry else set()
                taken = {each for each in own - known if callable(inspect.getattr_static(held, each))}
                assert (dotted, taken) == (dotted, set())


@pytest.mark.skipif(not any(LISTS.glob("*.json")), reason="there are no lists")
def test_a_sample_of_the_lists_has_no_effect():
    assert _tried(lambda entries: random.Random(33).sample(sorted(entries), min(SAMPLE, len(entries)))) == []


@pytest.mark.sweep
@pytest.mark.timeout(0)
@pytest.mark.skipif(not any(LISTS.glob("*.json")), reason="there are no lists")
def test_no_entry_of_the_lists_has_an_effect():
    assert _tried(sorted) == []
