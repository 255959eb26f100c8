"""The chat panel where nobody can talk: a notebook that is executed, and exported."""

from __future__ import annotations

import json

import nbformat
import pytest
from e2e.conftest import TOKEN
from nbclient import NotebookClient
from nbconvert import HTMLExporter

CELLS = ["%load_ext rsql_magic", "%ask What does `mean` do in R?", "import rsql_magic\nrsql_magic.ChatPanel()"]


@pytest.fixture(scope="module")
def executed(jupyter, tmp_path_factory):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    patch = pytest.MonkeyPatch()
    patch.setenv("RSQL_GATEWAY_URL", f"{jupyter}rsql/")
    patch.setenv("RSQL_GATEWAY_TOKEN", TOKEN)
    try:
        return NotebookClient(notebook, timeout=240, kernel_name="python3").execute(cwd=tmp_path_factory.mktemp("work"))
    finally:
        patch.undo()


@pytest.mark.spine
def test_it_shows_what_was_said_as_markdown(executed):
    (output,) = executed.cells[2].outputs
    assert "> What does `mean` do in R?" in output.data["text/markdown"]
    assert "%rsql history" in output.data["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" not in output.data


@pytest.mark.spine
def test_an_export_shows_it_and_no_state_of_a_widget_holds_it(executed):
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert page.count("What does") >= 2
    assert "widgets" not in executed.metadata
    assert "What does" not in json.dumps(executed.metadata)
