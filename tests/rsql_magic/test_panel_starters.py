"""The questions that an empty panel offers: about what is there, made of names and kinds."""

from __future__ import annotations

import random
import sqlite3
import sys

import pandas as pd
import pytest
from offline_replies import Offline, is_answered
from panel_talk import Talk

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.context import r
from rsql_magic.context.r import RObject
from rsql_magic.panel.starters import starters
from rsql_magic.sql import Catalog, Column, Table

SALES = pd.DataFrame({"month": [1], "shop_id": [1], "region": ["N"], "amount": [1], "a b": ["x"]})
ORDERS = Table("orders", columns=(Column("code", "VARCHAR"), Column("status", "VARCHAR")), primary_key=("code",))
PLAIN = Table("plain", columns=(Column("id", "INTEGER"),))
SHOPS = Table("shops", columns=(Column("code", "VARCHAR"), Column("full_name", "VARCHAR")), primary_key=("code",))
VISITS = Table("visits", columns=(Column("at", "DATE"), Column("shop", "VARCHAR"), Column("note", "VARCHAR")))


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
            NotebookSnapshot({"by_region": SALES[["region", "amount"]], "sales": SALES}),
            (),
            [
                "Describe @sales. Which columns have missing values?",
                "What is the mean of amount in @sales by region?",
                "Describe @by_region. Which columns have missing values?",
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
                "/sql Number of orders by status, highest first, as a bar chart",
                "/sql How many orders are there?",
                "Describe what this notebook holds",
            ],
        ),
        (
            NotebookSnapshot(),
            (SHOPS, VISITS),
            [
                "/sql Number of visits by shop, highest first, as a bar chart",
                "/sql How many visits are there?",
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


def test_tables_of_a_connection_that_no_question_has_named_yet_are_named_with_it():
    offers = starters(NotebookSnapshot(), Catalog((ORDERS,)), "con")
    assert offers[0] == "/sql con Number of orders by status, highest first, as a bar chart"


PENGUINS = RObject("penguins", "R tibble", 9, ("year", "body.mass", "mass", "sex"), ("integer",) * 3 + ("factor",))


@pytest.mark.parametrize(
    ("namespace", "tables", "in_r", "expected"),
    [
        (
            {},
            (),
            (PENGUINS,),
            [
                "Describe @r:penguins. Which columns have missing values?",
                "What is the mean of mass in @r:penguins by sex?",
                "Describe what this notebook holds",
            ],
        ),
        (
            {"sales": SALES},
            (ORDERS,),
            (PENGUINS,),
            [
                "Describe @sales. Which columns have missing values?",
                "Describe @r:penguins. Which columns have missing values?",
                "/sql Number of orders by status, highest first, as a bar chart",
            ],
        ),
        (  # what a mention cannot name, and what is described as Python's
            {"penguins": SALES},
            (),
            (PENGUINS, RObject("my table", "R data.frame", 1), RObject("x..y", "R data.frame", 1)),
            [
                "Describe @penguins. Which columns have missing values?",
                "What is the mean of amount in @penguins by region?",
                "Describe what this notebook holds",
            ],
        ),
    ],
)
def test_tables_of_r_are_among_what_is_there(namespace, tables, in_r, expected):
    assert starters(NotebookSnapshot(namespace), Catalog(tables) if tables else None, of_r=in_r) == expected


@pytest.mark.usefixtures("without_r")
def test_r_is_not_started_to_find_something_to_ask(ip, assistant, monkeypatch):
    def started(*_):
        raise AssertionError("R was asked")

    monkeypatch.setitem(sys.modules, "rpy2", object())
    for name in ("survey", "_asking"):
        monkeypatch.setattr(r, name, started)
    talk = Talk(ip, assistant)
    assert len(talk.do("starters")["questions"]) == 3
    talk.panel.close()


WORDS = (
    "amount price n region status code day year month_id count value mean total name order rows data by of in is a x1"
)
CELLS = (
    "",
    "x = 1",
    "import math",
    "%%sql\nSELECT 1",
    "def f(x):\n    return x",
    "a, b = 1, 2\nprint(a)",
    "1 +",
    "y <- 3",
)
FAILURES = (None, None, KeyError("regoin"), ValueError("could not convert string to float: 'x'"), ZeroDivisionError())


def some_session(dice):
    """Variables, sources of cells, and the last error."""
    words = WORDS.split()

    def column():
        dates = pd.date_range("2024", periods=3)
        return dice.choice([[1, 2, 3], [0.5, None, 2.5], ["a", "b", "a"], [True, False, True], dates])

    def database():
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        for name in dice.sample(["orders", "people", "shops", "order_lines", "t"], dice.randint(0, 3)):
            kinds = [dice.choice(["INTEGER", "TEXT", "REAL", "DATE", "VARCHAR(20)"]) for _ in range(dice.randint(1, 4))]
            columns = [f'"{word}" {kind}' for word, kind in zip(dice.sample(words, len(kinds)), kinds, strict=True)]
            connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        return connection

    frames = {
        name: pd.DataFrame({word: column() for word in dice.sample(words, dice.randint(1, 5))})
        for name in dice.sample(["sales", "df", "data", "flights", "people", "x", "r2"], dice.choice([0, 0, 1, 2]))
    }
    others = {"rate": 0.5, "names": ["a"], "con": database(), "f": len}
    kept = {name: value for name, value in others.items() if dice.random() < 0.5}
    return {**frames, **kept}, [dice.choice(CELLS) for _ in range(dice.randint(0, 4))], dice.choice(FAILURES)


@pytest.mark.slow
@pytest.mark.usefixtures("without_r")
@pytest.mark.parametrize("seeds", [range(8), pytest.param(range(8, 300), marks=pytest.mark.sweep)], ids=["few", "many"])
def test_each_question_that_is_offered_is_one_that_the_offline_model_answers(seeds, ip, assistant, gateway):
    gateway.paths["stats"] = {"offline_models": ["offline", "default"]}
    gateway.replies = Offline(gateway)
    talk = Talk(ip, assistant)
    own = {*ip.user_ns}
    wrong, asked = [], set()
    for seed in seeds:
        namespace, cells, error = some_session(random.Random(seed))
        ip.user_ns.update(namespace)
        snapshot = NotebookSnapshot(namespace, cells, error)
        talk.panel.snapshot = lambda snapshot=snapshot: snapshot
        assistant.connections.last = ""
        thread = talk.do("new")["thread"]
        for question in talk.do("starters")["questions"]:
            told = talk.ask(question, thread=thread)
            if not is_answered(question, told):
                wrong.append((seed, question, told["answer"], told["error"]))
            asked.add(question.partition(" @")[0][:30])
        for name in {*ip.user_ns} - own:
            ip.user_ns.pop(name)
    talk.panel.close()
    assert not wrong, "\n".join(map(str, wrong))
    assert len(asked) > 6
