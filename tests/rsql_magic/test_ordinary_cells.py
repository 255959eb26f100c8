"""Ordinary work is not drowned in questions: of the examples of installed packages that do nothing, few ask."""

from __future__ import annotations

import shutil

import ordinary_cells
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sweep,  # many processes under strace
    pytest.mark.usefixtures("programs"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

SAMPLE = 40
SLACK = 4
"""Cells of the sample that may ask beyond the share: where one in ten asks, more than 8 of 40 do one time in fifty."""


def _asking(cells, language):
    return [(found, code) for code in cells if (found := ordinary_cells.asks(code, language))]


def test_of_a_sample_of_python_few_cells_ask():
    drawn = ordinary_cells.drawn({"numpy": ordinary_cells.examples("numpy")}, SAMPLE, seed=33)
    cells = ordinary_cells.corpus(drawn, "python", modules=["IPython", "numpy"])
    assert len(cells) > SAMPLE / 2
    assert len(_asking(cells, "python")) <= ordinary_cells.MOST_THAT_ASK["python"] * len(cells) + SLACK


@pytest.mark.usefixtures("real_r")
def test_of_a_sample_of_r_few_cells_ask():
    examples = ordinary_cells.r_examples(["stats"])
    cells = ordinary_cells.corpus(ordinary_cells.drawn(examples, SAMPLE // 4, seed=33), "r", modules=["stats"])
    assert len(cells) > SAMPLE / 8
    assert len(_asking(cells, "r")) <= ordinary_cells.MOST_THAT_ASK["r"] * len(cells) + 3


def test_what_the_monitor_saw_act_is_not_ordinary():
    cells = ["1 + 1", "open('made', 'w').close()", "raise ValueError"]
    assert ordinary_cells.corpus(cells, "python", modules=["IPython"]) == ["1 + 1"]


@pytest.mark.sweep
@pytest.mark.timeout(0)
@pytest.mark.parametrize("language", ["python", "r"])
def test_of_all_ordinary_cells_few_ask(language, request):
    if language == "r":
        request.getfixturevalue("real_r")
    cells = ordinary_cells.whole_corpus(language)
    assert len(cells) >= ordinary_cells.FEWEST[language]
    assert len(_asking(cells, language)) <= ordinary_cells.MOST_THAT_ASK[language] * len(cells)
