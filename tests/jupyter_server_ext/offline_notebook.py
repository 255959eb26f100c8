"""A notebook with frames in Python and R as the prompt tells it, and ways to ask the offline model about it."""

from __future__ import annotations

import re

from .described import Context, asked, context, frame, objects

SALES = """
sales: pandas DataFrame, 1,200 rows × 6 columns
- shop str: values: 'North', 'South', 'East'
- product str: 40 distinct
- day datetime64[ns]: 2023-01-01..2023-12-31
- units int64: 0..90
- price float64: 0.5..99; 3% NA
- returned bool
"""
SHOPS = """
shops: pandas DataFrame, 3 rows × 3 columns
- shop str: values: 'North', 'South', 'East'; unique
- city str: values: 'Oslo', 'Lima'
- area int64: 80..200; [m2]
"""
TREES = """
trees: R data.frame, 31 rows × 4 columns
- girth numeric: 8.3..20.6
- height numeric: 63..87; 21 distinct
- volume numeric: 10.2..77; 2 NA
- kind factor: values: 'oak', 'pine'
"""
OBJECTS = """
fit: R lm model; formula volume ~ girth; 31 observations; coefficients (Intercept), girth
area: R function(r, scale = 1)
"""
PLOTS = """
birds: polars DataFrame, 50 rows × 3 columns
- species str: values: 'owl', 'tit'
- wing f64: 9..40
- year i64: 2019..2021
"""


PYTHON = context(frame(SALES), frame(SHOPS))
R = context(frame(TREES, "r"), *objects(OBJECTS))
POLARS = context(frame(PLOTS))


def ask(question: str, told: Context = PYTHON, *, language: str = "", before: tuple[str, ...] = ()) -> str:
    """The offline model's answer to an ``%%ask`` question.

    Args:
        question: The user's words.
        told: What the session holds.
        language: The language that was asked for.
        before: Earlier questions and answers in turn.
    """
    history = [{"question": one, "answer": two} for one, two in zip(before[::2], before[1::2], strict=True)]
    return asked(task="ask", question=question, language=language.lower(), history=history, **told.as_values())


def code(question: str, told: Context = PYTHON, **options) -> str:
    """The code in an answer; empty when there is none."""
    found = re.search(r"```\w+\n(.*?)\n```", ask(question, told, **options), re.DOTALL)
    return found[1] if found else ""
