"""Questions about the notebook as a whole: what it holds, and what its cells did."""

from __future__ import annotations

import pytest

from .described import asked
from .offline_notebook import PYTHON, R, ask

CELLS = [
    "import pandas as pd\nfrom math import pi\nsales = pd.read_csv('…')\nby_shop = sales.groupby('shop').sum()",
    "%%sql con\nSELECT 1",
    "def double(x):\n    y = x * 2\n    return y",
    "%%R\nlibrary(dplyr)\nfit <- lm(y ~ x)",
    "plot(x=1, y==2)",
]


def about(question, **more):
    return asked(task="ask", question=question, **more)


@pytest.mark.parametrize(
    "question",
    [
        "Describe what this notebook holds",
        "What is in my session?",
        "summarise the notebook",
        "What does this session contain?",
    ],
)
def test_what_a_notebook_holds_is_told_by_name(question):
    assert ask(question, PYTHON).startswith(
        "It holds:\n\n- `sales`: pandas DataFrame of 1,200 rows and 6 columns, with `shop`"
    )
    assert "- `fit` is a linear model" in ask(question, R)
    assert about(question).startswith("I was told of no data in this notebook")


@pytest.mark.parametrize(
    "question",
    ["What does this notebook do so far?", "What happened in this notebook", "Explain what my notebook does"],
)
def test_what_cells_did_is_told_by_what_they_name(question):
    assert about(question, cells=CELLS).splitlines()[2:7] == [
        "1. imports `pandas` and `math`, makes `sales` and `by_shop`",
        "2. runs `%%sql`",
        "3. defines `double`",
        "4. runs `%%R`, imports `dplyr`, makes `fit`",
        "5. computes `plot(x=1, y==2)`",
    ]
    assert about(question).startswith("I was told of no cell that ran.")


@pytest.mark.parametrize(
    "question", ["What is the mean of units in the session?", "How many rows has the notebook table?"]
)
def test_a_question_that_only_speaks_of_a_notebook_is_another(question):
    assert "It holds" not in ask(question, PYTHON)
