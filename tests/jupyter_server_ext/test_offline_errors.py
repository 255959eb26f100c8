"""Errors of Python, R and SQL are explained with the names of the notebook, and corrected where one is certain."""

from __future__ import annotations

import pytest

from .described import asked
from .offline_notebook import POLARS, PYTHON, R


def explained(error, cell="", told=PYTHON):
    values = {name: value for name, value in told.as_values().items() if name not in {"error", "cells"}}
    return asked(task="ask", question="What does this error mean?", error=error, cells=[cell], **values)


@pytest.mark.parametrize(
    ("error", "cell", "told", "words"),
    [
        ("KeyError: 'pirce'", "sales['pirce'].mean()", PYTHON, "The nearest column is `price`."),
        ("KeyError: 'zzzz'", "sales['zzzz']", PYTHON, "There is no column `zzzz` in `sales`. Its columns are `shop`"),
        ("KeyError: 'pirce'", "", R, "There is no key `pirce` in what was indexed."),
        ("NameError: name 'pd' is not defined", "pd.DataFrame()", PYTHON, "import pandas as pd"),
        ("NameError: name 'sale' is not defined", "sale.head()", PYTHON, "Did you mean `sales`?"),
        ("NameError: name 'qqqqq' is not defined", "", PYTHON, "Run the cell that defines it first"),
        ("AttributeError: 'DataFrame' object has no attribute 'append'", "", PYTHON, "pd.concat([a, b])"),
        ("AttributeError: 'DataFrame' object has no attribute 'prise'", "sales.prise", PYTHON, "sales.price"),
        ("ModuleNotFoundError: No module named 'sklearn.svm'", "", PYTHON, "`%pip install scikit-learn`"),
        ("TypeError: unsupported operand type(s) for +: 'int' and 'str'", "", PYTHON, "`+` does not work between int"),
        ('ColumnNotFoundError: unable to find column "wingg"', "birds.select('wingg')", POLARS, "birds.select('wing')"),
        ("Error: object 'volum' not found", "mean(volum)", R, "The nearest column is `volume`."),
        ("Error: object 'volume' not found", "mean(volume)", R, "mean(trees$volume)"),
        ("Error: object 'sales' not found", "", PYTHON, "Hand it to R with `%%R -i sales`."),
        ('Error: could not find function "ggplot"', "", R, "library(ggplot2)"),
        ('Error: could not find function "sumarise"', "", R, "Did you mean `summarise` (dplyr)?"),
        ("Error: Column `hight` not found", "", R, "The nearest one is `height`. There are `girth`"),
        ("no such column: pricee", "", PYTHON, "The nearest name is `price` in `sales`."),
        ("Unknown column 'area' in 'field list'", "", PYTHON, "in another table (`shops.area`): join it."),
        (
            "sqlite3.OperationalError: no such table: sale",
            "",
            PYTHON,
            "Did you mean `sales`? There are `sales`, `shops`.",
        ),
        ('relation "zzz" does not exist', "", PYTHON, "which database is connected. There are `sales`, `shops`."),
        ("ZeroDivisionError: division by zero", "", PYTHON, "zero"),
        ("FooError: bar", "", PYTHON, "I do not know this error: `FooError: bar`."),
    ],
)
def test_an_error_is_explained(error, cell, told, words):
    assert words in explained(error, cell, told)
