"""One odd object never spoils the rest: a question about the frame beside it is answered as if it were not there."""

from __future__ import annotations

import gc
import random
import threading
import time
import types

import pandas as pd
import pytest
from strange import SECRET, SLOW, STRANGE

from rsql_magic.answers import NotebookSnapshot
from rsql_magic.context import Fences, describe, gather, known_names, python_frames, within
from rsql_magic.context.sources import TooSlow
from rsql_magic.databases import Connections
from rsql_magic.databases import frames as tables
from rsql_magic.databases.connections import frames_in
from rsql_magic.errors import RsqlError
from rsql_magic.panel.messages import completions, mentions_in

QUESTION = "total amount by region in sales?"
ENDLESS = [name for name in STRANGE if name.rpartition("_")[2] in SLOW or name == "actor"]
QUICK = sorted(STRANGE.keys() - set(ENDLESS))
PICKED = random.Random(15)
SAMPLE = sorted(
    {
        *PICKED.sample(QUICK, 50),
        *PICKED.sample(ENDLESS, 3),
        "geo",
        "instance_of_meta",
        "module",
        "dicts_beside_one_hot",
        "cells_recursive",
    }
)
BOUND = 25.0
"""Seconds that a session with one object may take, however slow the machine."""


@pytest.fixture(autouse=True)
def in_short(monkeypatch):
    monkeypatch.setattr(Fences, "__init__", _short)
    monkeypatch.setattr(tables, "_EACH", 0.6)


def _short(fences, seconds=0.6, failed=None):
    fences.seconds, fences.failed = min(seconds, 0.6), {} if failed is None else failed


@pytest.fixture(scope="module")
def sales():
    return pd.DataFrame({"region": ["N", "S", "E"] * 20, "amount": range(60)})


def told(session):
    """What is told of sales, and everything that is told."""
    context = gather(QUESTION, session, r=False)
    return next(piece.text for piece in context.pieces if piece.name == "sales"), context


def totals(session):
    """The totals by region, asked of the session's frames as tables."""
    engine, _ = Connections().engine("", session, QUESTION)
    try:
        catalog = engine.catalog("stats")
        engine.detail([catalog["sales"]])
        rows = engine.run("SELECT region, sum(amount) FROM sales GROUP BY 1 ORDER BY 1").df
        return [tuple(row) for row in rows.to_numpy().tolist()], catalog
    finally:
        engine.close()


@pytest.fixture(scope="module")
def alone(sales):
    return told({"sales": sales})[0], totals({"sales": sales})[0]


def assert_beside(name, sales, alone):
    session = {"sales": sales, "odd": STRANGE[name]()}
    started = time.monotonic()
    text, context = told(session)
    rows, catalog = totals(session)
    assert (text, rows) == alone
    said = [*context.notes, *catalog.problems]
    assert SECRET not in context.text + "\n".join(said)
    assert all(len(note) < 300 and "Traceback" not in note for note in said)
    frames = python_frames(session)
    assert frames.columns["sales"] == ["region", "amount"]
    assert {"head", "groupby"} <= frames.attributes
    named = {"region", "amount", "odd"} - ({"odd"} if issubclass(type(session["odd"]), types.ModuleType) else set())
    assert named <= known_names(session)
    assert completions("sal", NotebookSnapshot(session), None)[0]["label"] == "@sales"
    assert mentions_in("is @sales like @odd?", NotebookSnapshot(session), None)[0].kind == "frame"
    assert time.monotonic() - started < BOUND


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_strange_object_leaves_the_frame_beside_it_as_it_was(sales, alone, name):
    assert_beside(name, sales, alone)


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(STRANGE))
def test_every_strange_object_leaves_the_frame_beside_it_as_it_was(sales, alone, name):
    assert_beside(name, sales, alone)


@pytest.mark.sweep
def test_all_of_them_together_leave_it_as_it_was(sales, alone):
    session = {"sales": sales, **{f"odd_{n}": STRANGE[name]() for n, name in enumerate(QUICK)}}
    assert totals(session)[0] == alone[1]
    assert "sales: pandas DataFrame, 60 rows" in gather(QUESTION, session, r=False).text


def test_what_fails_is_said_once_by_its_name_and_without_data(sales):
    session = {"sales": sales, "odd": STRANGE["broken_constructor"](), "places": STRANGE["geo"]()}
    session["odd"].__class__ = type(STRANGE["subframe_dtypes_raises"]())
    _, context = told(session)
    assert [note for note in context.notes if "odd" in note] == [
        "odd could not be read and was left out: it raised ValueError."
    ]
    assert SECRET not in context.text


@pytest.mark.slow
def test_a_column_that_no_database_knows_is_text_or_left_out_and_said(sales):
    _, catalog = totals({"sales": sales, "places": STRANGE["geo"]()})
    assert [column.name for column in catalog["places"].columns] == ["n", "geometry"]
    frame = pd.DataFrame({"n": range(30), "cell": STRANGE["cells_no_word"]()["cell"]})
    _, catalog = totals({"sales": sales, "odd": frame})
    assert catalog["odd"].column("n") is not None


@pytest.mark.parametrize(
    "name", ["odd__repr___raises", "subframe_shape_loops", "magic_mock", "tensor", "geo", "cells_dicts"]
)
def test_in_a_thread_it_is_the_same(sales, alone, name):
    found = []
    session = {"sales": sales, "odd": STRANGE[name]()}
    thread = threading.Thread(target=lambda: found.append(told(session)[0]))
    thread.start()
    thread.join(BOUND)
    assert found == [alone[0]]


def test_a_loop_that_never_ends_is_ended_in_a_thread_too():
    turns = []

    def for_ever():
        while True:
            turns.append(1)

    failed = []

    def ask():
        try:
            within(0.05, for_ever)
        except TooSlow:
            failed.append("too slow")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(60)
    assert failed == ["too slow"]
    for _ in range(200):
        if not any(each.name == "rsql-describe" for each in threading.enumerate()):
            break
        time.sleep(0.02)
    else:
        pytest.fail("the loop goes on")


def test_an_object_that_failed_is_not_asked_again():
    fences, asked = Fences(), []
    for _ in range(3):
        assert fences.ask("odd", lambda: asked.append(1) or 1 / 0, "nothing") == "nothing"
    assert len(asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", PICKED.sample(QUICK, 20))
def test_a_strange_object_itself_is_described_in_a_sentence(name):
    text = describe(STRANGE[name](), "odd")
    assert text
    assert SECRET not in text


def test_frames_that_cannot_say_their_shape_are_still_frames(sales):
    assert list(frames_in({"sales": sales, "odd": STRANGE["subframe_shape_raises"]()})) == ["sales", "odd"]


def test_a_question_about_what_cannot_be_a_table_says_so(sales):
    session = {"sales": sales, "lazy": STRANGE["pl_lazy_fails"]()}
    _, catalog = totals(session)
    assert catalog.problems == ("lazy could not be read and was left out: it raised ColumnNotFoundError.",)


def test_only_what_cannot_be_a_table_is_refused_in_a_sentence():
    with pytest.raises(RsqlError, match="lazy could not be read"):
        totals({"lazy": STRANGE["pl_lazy_fails"]()})
    gc.collect()
