"""Answers in cells leave the same files as those in the panel, written beside; a cell that runs again has one set."""

from __future__ import annotations

import io
import json
import threading
from itertools import count

import duckdb
import pandas as pd
import pytest

from rsql_magic.assistant import Assistant
from rsql_magic.notebook import load, loaded, unload
from rsql_magic.panel import StudySets
from rsql_magic.panel.kept import making, writing

pytestmark = pytest.mark.usefixtures("without_r", "at_once")

BY_SHOP = (
    "```sql\nSELECT shop, sum(total) AS total FROM orders GROUP BY shop ORDER BY shop\n```\n"
    '```json\n{"chart": "bar", "x": "shop", "y": "total"}\n```'
)
ALL = "```sql\nSELECT id FROM orders ORDER BY id\n```"
CARDS = json.dumps({"title": "Means", "items": [{"front": "f", "back": "b"}]})


class Notebook:
    """A notebook whose cells have ids."""

    def __init__(self, shell, monkeypatch):
        self.shell, self._monkeypatch, self._runs = shell, monkeypatch, count()

    def __call__(self, source, cell="a"):
        asked = {"header": {"msg_id": str(next(self._runs))}, "metadata": {"cellId": cell}}
        self._monkeypatch.setattr(self.shell, "get_parent", lambda: asked, raising=False)
        return self.shell.run(source)

    @property
    def conversations(self):
        return loaded(self.shell).conversations


@pytest.fixture
def notebook(shell, client, monkeypatch, tmp_path):
    monkeypatch.setenv("RSQL_CONVERSATIONS", "on")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    made = Assistant
    monkeypatch.setattr(
        "rsql_magic.assistant.Assistant",
        lambda settings, **_: made(settings, client=client, environ={}, batch=False),
    )
    monkeypatch.setattr("rsql_magic.gateway.is_batch", lambda *_: False)
    notebook = Notebook(shell, monkeypatch)
    load(shell)
    connection = duckdb.connect(tmp_path / "shop.duckdb")
    connection.execute("CREATE TABLE orders AS SELECT i AS id, i % 3 AS shop, i * 1.5 AS total FROM range(3000) t(i)")
    shell.user_ns["con"] = connection
    yield notebook
    unload(shell)
    connection.close()


def files(notebook):
    """The files of the notebook's conversation, by name."""
    conversations = notebook.conversations
    keeper = conversations.keeper
    assert keeper.flush(60)
    assert (keeper.trouble, keeper.refused) == ("", "")
    return {one.name: one for one in keeper.artifacts.listed(keeper.id_of(conversations.of_cells))}


@pytest.mark.slow
def test_a_query_and_an_answer_leave_their_files(notebook, gateway):
    gateway.replies = [BY_SHOP, "So:\n```python\nx = 1\n```\n"]
    result = notebook("%%sql_ai con --plot\nTotal per shop")
    notebook("%%ask --as words --no-context\nShow me code", "b")
    found = files(notebook)
    assert set(found) == {f"total-per-shop.{end}" for end in ("sql", "parquet", "vl.json", "png")} | {"show-me-code.py"}
    conversations = notebook.conversations
    content = conversations.keeper.artifacts.content
    rows = pd.read_parquet(io.BytesIO(content(found["total-per-shop.parquet"].id)))
    pd.testing.assert_frame_equal(rows, result.frame)
    assert content(found["show-me-code.py"].id) == b"x = 1\n"
    query, code = conversations.of_cells.pairs
    assert {name: one.pair for name, one in found.items()} == {
        name: code.id if name.endswith(".py") else query.id for name in found
    }


@pytest.mark.slow
def test_a_query_by_the_way_of_ask_and_one_of_python_leave_theirs(notebook, gateway, monkeypatch):
    import rsql_magic

    monkeypatch.setattr("IPython.get_ipython", lambda: notebook.shell)
    gateway.replies = [BY_SHOP, ALL, ALL]
    notebook.shell.user_ns["rsql_magic"] = rsql_magic
    notebook("%%sql_ai con\nTotal per shop")
    first = set(files(notebook))
    notebook("%%ask --as query\nWhich orders?", "b")
    second = set(files(notebook)) - first
    assert second == {"which-orders.sql", "which-orders-first-1000-rows.parquet"}
    notebook("rsql_magic.sql_ai('Which of them?', con)", "c")
    assert len(set(files(notebook)) - first - second) == 2


@pytest.mark.slow
def test_all_rows_of_a_cell_are_asked_of_the_connection_that_it_named(notebook, gateway, monkeypatch):
    from panel_talk import Talk

    monkeypatch.setattr("IPython.get_ipython", lambda: notebook.shell)
    gateway.replies = [ALL, ALL, ALL, BY_SHOP]
    notebook("%%sql_ai con\nAll orders")
    notebook("%%sql_ai --dialect postgres\nThe orders", "b")
    notebook("from rsql_magic import sql_ai\nsql_ai('Which orders?', con)", "c")
    with duckdb.connect() as other:
        other.execute("CREATE TABLE orders AS SELECT 1 AS id, 'x' AS shop, 2 AS total")
        notebook.shell.user_ns["other"] = other
        notebook("%%sql_ai other\nTotal per shop", "d")
        found = files(notebook)
        talk = Talk(notebook.shell, None)
        for name, count in [("all-orders", "3,000 rows"), ("the-orders", "3,000 rows")]:
            first = found[f"{name}-first-1000-rows.parquet"]
            assert talk.do("all_rows", thread=talk.thread, file=first.id)["count"] == count
    # What a program gave itself has no name to be found by.
    assert found["which-orders-first-1000-rows.parquet"].query is None


@pytest.mark.slow
def test_files_are_made_beside_the_cell_from_what_it_gave(notebook, gateway, monkeypatch):
    threads, go_on, parquet = [], threading.Event(), making._parquet

    def slow(frame):
        threads.append(threading.current_thread().name)
        assert go_on.wait(60)
        return parquet(frame)

    monkeypatch.setattr(making, "_parquet", slow)
    gateway.replies = [BY_SHOP]
    frame = notebook("%%sql_ai con -o totals\nTotal per shop").frame
    before = frame.copy()
    frame["total"] = 0.0  # the frame is the user's, and the file is not written yet
    go_on.set()
    found = files(notebook)
    assert threads == ["rsql-keeper"]
    content = notebook.conversations.keeper.artifacts.content(found["total-per-shop.parquet"].id)
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(content)), before)


@pytest.mark.slow
@pytest.mark.parametrize("is_written", [True, False])
def test_a_cell_that_runs_again_has_the_files_of_its_last_run(notebook, gateway, monkeypatch, is_written):
    gateway.replies = [BY_SHOP, ALL, BY_SHOP]
    notebook("%%sql_ai con\nTotal per shop", "b")
    other = set(files(notebook))
    monkeypatch.setattr(writing, "_GATHER", 0.01 if is_written else 60.0)
    notebook("%%sql_ai con\nAll orders")
    if is_written:
        assert set(files(notebook)) - other == {"all-orders.sql", "all-orders-first-1000-rows.parquet"}
    notebook("%%sql_ai con\nTotals of shops")
    assert set(files(notebook)) - other == {name.replace("total-per-shop", "totals-of-shops") for name in other}


@pytest.mark.slow
def test_what_was_pinned_or_practised_outlives_the_next_run_of_its_cell(notebook, gateway):
    gateway.replies = [ALL, BY_SHOP, CARDS, CARDS, CARDS]
    notebook("%%sql_ai con\nAll orders")
    keeper = notebook.conversations.keeper
    keeper.artifacts.pin(files(notebook)["all-orders.sql"].id, on=True)
    notebook("%%sql_ai con\nTotal per shop")
    assert {"all-orders.sql", "total-per-shop.sql"} < set(files(notebook))
    assert "all-orders-first-1000-rows.parquet" not in files(notebook)
    notebook("%%ask --as flashcards\nmeans", "b")
    [kept] = StudySets(keeper).all()
    kept.progress.answer(0, 5)
    notebook("%%ask --as flashcards\nmeans", "b")
    notebook("%%ask --as flashcards\nmeans", "b")
    assert [one.progress.of(0).answers for one in StudySets(keeper).all()] == [0, 1]


@pytest.mark.slow
def test_files_belong_to_the_answer_of_their_cell_wherever_it_stands(notebook, gateway):
    gateway.replies = [ALL, BY_SHOP, CARDS]
    notebook("%%sql_ai con\nAll orders")
    notebook("%%sql_ai con\nTotal per shop", "b")
    notebook("%%ask --as flashcards\nmeans")
    conversations = notebook.conversations
    first, _ = conversations.of_cells.pairs
    assert [one.pair for one in files(notebook).values() if one.kind == "study"] == [first.id]


@pytest.mark.slow
def test_a_later_kernel_drops_the_files_of_cells_that_ran_again(notebook, gateway):
    gateway.replies = [ALL, BY_SHOP]
    notebook("%%sql_ai con\nAll orders")
    assert "all-orders.sql" in files(notebook)
    load(notebook.shell)
    notebook("%%sql_ai con\nTotal per shop")
    notebook.conversations.find(notebook.conversations.of_cells.id)  # a panel opens
    assert {name for name, one in files(notebook).items() if one.kind == "sql"} == {"total-per-shop.sql"}


@pytest.mark.slow
def test_where_none_are_kept_nothing_is_made(notebook, gateway, monkeypatch):
    monkeypatch.setattr(making, "of_result", lambda *_: pytest.fail("nothing is to be made"))
    gateway.replies = [ALL]
    notebook("%config Rsql.conversations = 'never'")
    notebook("%%sql_ai con\nAll orders")
