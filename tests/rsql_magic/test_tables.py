"""Values of a table as texts: digits line up, and nothing that was said is hidden."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsql_magic.display.screens import LONGEST, texts
from rsql_magic.plain_text import printable, printable_so_far


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([21.920699, 15.557, -9.93089], ["21.9207", "15.5570", "-9.9309"]),
        ([3.0, 4.0], ["3", "4"]),
        ([0.1, 0.2, 0.1 + 0.2], ["0.1", "0.2", "0.3"]),
        ([123456.789, 3.0], ["123456.79", "3.00"]),  # money keeps its cents
        ([10_000_000.5, 2_000_000.0], ["10000000.5", "2000000.0"]),
        ([1000.5, 0.0000125], ["1000.5", "1.25e-05"]),
        ([1e20, 1.0], ["1e+20", "1"]),
        ([float("inf"), 1.5], ["inf", "1.5"]),
        ([0.0], ["0"]),
        ([None, 2.5], [None, "2.5"]),
    ],
)
def test_numbers_of_a_column_have_the_same_decimals(values, shown):
    assert texts(pd.Series(values, dtype=float)) == shown


def test_other_values_are_their_text():
    assert texts(pd.Series([1, 2])) == ["1", "2"]
    assert texts(pd.Series(["a", None, "b" * 300])) == ["a", None, "b" * (LONGEST - 1) + "…"]
    assert texts(pd.Series([pd.NaT, pd.Timestamp("2013-01-01")])) == [None, "2013-01-01 00:00:00"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=8))
def test_every_number_can_be_told_from_what_is_shown(values):
    for value, text in zip(values, texts(pd.Series(values, dtype=float)), strict=True):
        assert text is not None
        assert float(text) == pytest.approx(value, rel=0.06, abs=0)


SEQUENCES = (
    "ok \x1b]52;c;aGk=\x07and \x1b[31mred\x1b[0m é\r\nline \u202e\x9b2Jx \x1b]8;;http://e.x\x1b\\link\x1b]8;;\x1b\\ "
    "end\x08 \x1bP1;2\x9cz \x1b(Bq\u2028r\x00\ud800"
)


def test_sequences_are_taken_out_however_they_are_cut():
    whole = printable(SEQUENCES)
    assert whole == "ok and red é\nline x link end z q\nr\ufffd"
    for seed in range(300):
        chance, shown, held, at = random.Random(seed), "", "", 0
        while at < len(SEQUENCES):
            size = chance.randint(1, 9)
            piece, held = printable_so_far(held + SEQUENCES[at : at + size])
            shown, at = shown + piece, at + size
        assert shown == whole
