"""What is added to the kernel is added in one place, and then works everywhere."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rsql_magic.databases import open_engine
from rsql_magic.knowledge import Library
from rsql_magic.knowledge.documents import formats
from rsql_magic.knowledge.documents.passages import Section
from rsql_magic.panel import messages
from rsql_magic.panel.kept import artifacts
from rsql_magic.panel.kept.artifacts import NewArtifact
from rsql_magic.panel.messages import PanelCommand
from rsql_magic.tools import DatabaseView, of_database, ours
from rsql_magic.tools.looking import Tool


def test_a_document_format_is_a_suffix_and_a_reader(monkeypatch, tmp_path):
    monkeypatch.setitem(formats.KINDS, ".acme", "acme")
    monkeypatch.setitem(
        formats._READERS, "acme", lambda text: [Section(("Acme",), ((1, text.replace("|", " ").strip()),))]
    )
    course = tmp_path / "course"
    course.mkdir()
    (course / "a.acme").write_bytes("\ufeffjoins|keep|rows|Ω".encode())
    library = Library(tmp_path / "documents.db")
    [added] = library.add([str(course)]).documents
    assert added.name.endswith("a.acme")
    [passage] = library.search("joins keep rows").passages
    assert (passage.path, passage.text) == (("Acme",), "joins keep rows Ω")


@dataclasses.dataclass(frozen=True)
class Count(Tool):
    """Counts the tables."""

    view: DatabaseView
    name = "count"
    level = "stats"
    purpose = "How many tables there are."
    parameters: ClassVar = {"why": "Optional: a reason"}

    def run(self, arguments):
        return f"{len(self.view.catalog)} tables"


def test_a_tool_is_one_class_in_the_list(monkeypatch):
    monkeypatch.setattr("rsql_magic.tools.view.OF_DATABASE", (*ours.OF_DATABASE, Count))
    import pandas as pd

    with open_engine({"sales": pd.DataFrame({"a": [1]})}) as engine:
        offered = {
            level: [tool.name for tool in of_database(DatabaseView(engine, engine.catalog(level), level))]
            for level in ("names", "stats", "sample")
        }
        view = DatabaseView(engine, engine.catalog("stats"), "stats")
        [tool] = [tool for tool in of_database(view) if tool.name == "count"]
        assert tool.run({}) == "1 tables"
    assert offered == {
        "names": ["tables", "describe"],
        "stats": ["tables", "describe", "values", "count"],
        "sample": ["tables", "describe", "values", "query", "count"],
    }
    assert tool.schema["function"]["parameters"]["required"] == []


def test_a_kind_of_file_is_one_row(monkeypatch, kernels, gateway, without_r, at_once):
    monkeypatch.setitem(artifacts.KINDS, "podcast", "podcast (MP3)")
    gateway.replies = ["Listen."]
    talk = kernels()
    talk.ended(talk.do("ask", thread=talk.thread, text="Read it to me")["exchange"]["id"])
    keeper = talk.panel.threads.keeper
    keeper.flush(5.0)
    conversation = keeper.id_of(talk.panel.threads.find(talk.thread))
    new = NewArtifact("p", "pair", "podcast", "talk.mp3", "audio/mpeg", lambda: b"ID3")
    assert keeper.artifacts.put(conversation, new, 10**8) == ""
    [listed] = talk.do("files", thread=talk.thread)["files"]
    assert (listed["kind"], listed["label"], listed["name"]) == ("podcast", "podcast (MP3)", "talk.mp3")


def test_a_slash_command_is_one_row(monkeypatch, talk):
    monkeypatch.setitem(messages.COMMANDS, "poem", PanelCommand("TOPIC", "be told a poem", "Tell a poem"))
    told = talk.do("hello")["commands"]
    assert {"label": "/poem", "kind": "TOPIC", "detail": "be told a poem", "offer": "Tell a poem"} in told
    assert "| `/poem TOPIC` | be told a poem |" in messages.help_text()
    assert messages.read("/poem", has_error=False).action == "poem"
