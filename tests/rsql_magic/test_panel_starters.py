"""The questions that an empty panel offers: about what is there, made of names and kinds."""

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.panel.starters import starters
from rsql_magic.sql import Catalog, Column, Table

SALES = pd.DataFrame({"month": [1], "shop_id": [1], "region": ["N"], "amount": [1], "a b": ["x"]})
ORDERS = Table("orders", columns=(Column("code", "VARCHAR"), Column("status", "VARCHAR")), primary_key=("code",))
PLAIN = Table("plain", columns=(Column("id", "INTEGER"),))


@pytest.mark.parametrize(
    ("snapshot", "tables", "expected"),
    [
        (
            NotebookSnapshot(),
            (),
            ["Describe what this notebook holds", "/help", "What can I ask here?"],
        ),
        (
            NotebookSnapshot({"sales": SALES, "_hidden": SALES, "n": 3}, ["", "x"]),
            (),
            [
                "Describe @sales. Which columns have missing values?",
                "What is the mean of amount in @sales by region?",
                "What does this notebook do so far?",
            ],
        ),
        (
            NotebookSnapshot({"sales": SALES}, [], "ValueError: x"),
            (ORDERS,),
            [
                "/explain",
                "Describe @sales. Which columns have missing values?",
                "/sql Number of orders by status, highest first, as a bar chart",
            ],
        ),
        (
            NotebookSnapshot(),
            (PLAIN, ORDERS),
            [
                "/sql How many plain are there?",
                "/sql Number of orders by status, highest first, as a bar chart",
                "Describe what this notebook holds",
            ],
        ),
    ],
)
def test_three_questions_are_about_what_is_there(snapshot, tables, expected):
    catalog = Catalog(tables) if tables else None
    assert starters(snapshot, catalog) == expected == starters(snapshot, catalog)


def test_names_are_all_that_is_read_and_odd_ones_are_left_out():
    class Values(pd.DataFrame):
        def __getitem__(self, key):
            raise AssertionError("a value was read")

    odd = Values({"<script>": ["x"], "n": [1]})
    assert starters(NotebookSnapshot({"odd": odd}), None)[1] == "Describe what this notebook holds"
