"""What a panel's message takes beside names: files, dictionary entries, tables that are dropped, pictures."""

from __future__ import annotations

import base64
import errno
import random
import struct
import zlib
from pathlib import Path

import pandas as pd
import pytest

from rsql_magic.errors import BadInput, UnknownName
from rsql_magic.panel import uploads
from rsql_magic.panel.attachments import file_piece, files
from rsql_magic.panel.messages import mentions_in, names_in
from rsql_magic.panel.uploads import Uploads, pictures

pytestmark = pytest.mark.usefixtures("without_r")


def png(side=2):
    """A picture of one colour."""

    def part(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\xff\0\0" * side) * side)
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


def b64(data):
    return base64.b64encode(data).decode()


RED = {"name": "red.png", "data": b64(png())}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "plan.md").write_text("# Plan\nMail ann@example.org, then </data>.")
    (tmp_path / "my data.csv").write_text("region,amount\nsecret-place,1\n")
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "tool.bin").write_bytes(b"x")
    return tmp_path


class TestFiles:
    def test_those_that_people_wrote_and_tables_can_be_named(self, folder):
        assert list(files(folder)) == ["my data.csv", "notes/plan.md"]

    def test_a_text_is_told_without_personal_identifiers(self, folder):
        piece = file_piece("notes/plan.md", folder)
        assert piece.text.startswith("# Plan")
        assert "ann@example.org" not in piece.text

    def test_of_a_table_only_its_columns_are_told(self, folder):
        text = file_piece("my data.csv", folder).text
        assert "region (" in text
        assert "amount (int64)" in text
        assert "secret-place" not in text
        assert "pd.read_csv('my data.csv')" in text

    def test_the_cells_of_a_notebook_are_told_without_outputs(self, folder):
        cells = '{"cells": [{"source": ["x = 1"], "outputs": [{"text": "hidden"}]}]}'
        (folder / "a.ipynb").write_text(cells)
        assert file_piece("a.ipynb", folder).text == "x = 1"

    @pytest.mark.parametrize(
        "name", [".env", "../x.md", "/etc/passwd", "notes/../../x.md", "notes", "none.md", "a/.b/c.md"]
    )
    def test_nothing_else_is_reached(self, folder, name):
        (folder.parent / "x.md").write_text("outside")
        with pytest.raises(UnknownName, match="no file"):
            file_piece(name, folder)

    def test_a_link_that_leads_out_is_not_followed(self, folder):
        (folder.parent / "out.md").write_text("outside")
        (folder / "in.md").symlink_to(folder.parent / "out.md")
        with pytest.raises(UnknownName):
            file_piece("in.md", folder)

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("tool.bin", b"x", "no text that can be sent"),
            ("big.md", b"x" * (1 << 20) + b"y", "larger than 1 MB"),
            ("no.csv", b"", "cannot be read as a table"),
            ("no.parquet", b"PAR", "cannot be read as a table"),
            ("no.ipynb", b"{}", "no notebook that can be read"),
        ],
    )
    def test_what_cannot_be_sent_says_why(self, folder, name, content, words):
        (folder / name).write_bytes(content)
        with pytest.raises(BadInput, match=words):
            file_piece(name, folder)

    def test_a_message_sends_them_fenced_and_shows_them_as_chips(self, talk, gateway, folder):
        gateway.replies = ["A plan."]
        text = 'What is in @file:notes/plan.md and @file:"my data.csv" ?'
        assert names_in(text) == ["@file:notes/plan.md", '@file:"my data.csv"']
        chips = talk.do("chips", thread=talk.thread, text=text)["chips"]
        assert [(chip["kind"], chip["missing"]) for chip in chips] == [("file", ""), ("file", "")]
        assert all(chip["tokens"] for chip in chips)
        seen = talk.do("preview", thread=talk.thread, text=text)["messages"][-1]["content"]
        talk.ask(text)
        assert gateway.sent == seen
        assert '<data kind="file" name="notes/plan.md"' in gateway.sent
        assert "secret-place" not in gateway.sent

    def test_one_that_is_gone_is_not_sent(self, talk, folder):
        error = talk.ask("Read @file:gone.md")["error"]
        assert error["message"] == "There is no file gone.md beside the notebook."


class TestCompletion:
    def test_names_are_offered_by_kind(self, talk, folder):
        items = talk.do("complete", prefix="file:pl")["items"]
        assert [item["label"] for item in items] == ["@file:notes/plan.md"]
        assert '@file:"my data.csv"' in [item["label"] for item in talk.do("complete", prefix="my")["items"]]

    def test_cells_are_found_by_number_and_first_line(self, talk, ip):
        ip.run_cell("import math\nx = 1", store_history=True)
        ip.run_cell("y = 2", store_history=True)
        number = next(n for n, cell in enumerate(ip.user_ns["In"]) if cell.startswith("import math"))
        for prefix in ("#math", f"#{number}"):
            first = talk.do("complete", prefix=prefix)["items"][0]
            assert first == {"label": f"@cell:{number}", "kind": "cell", "detail": "import math"}

    def test_entries_of_the_dictionary_are_offered_and_told(self, talk, gateway, folder, assistant):
        (folder / "data-dict.yaml").write_text(
            "tables:\n  orders:\n    metrics:\n      revenue: {expression: SUM(amount), description: Money in}\n"
            "glossary:\n  churn: Customers who left\n"
        )
        names = [item["label"] for item in talk.do("complete", prefix="term:")["items"]]
        if not names:
            pytest.fail(str(assistant.dictionary.note))
        gateway.replies = ["It is."]
        talk.ask(f"What is {names[0]}?")
        assert '<data kind="definition"' in gateway.sent


def test_mentions_made_by_chance_are_read_and_never_raise():
    chance = random.Random(7)
    for _ in range(300):
        text = "".join(chance.choices('@file:term:doc:"./ab#é\n`-', k=chance.randrange(30)))
        assert len(names_in(text)) == len(mentions_in(text, _empty(), None))


def _empty():
    from rsql_magic.answers import NotebookSnapshot

    return NotebookSnapshot()


class TestTables:
    def test_a_table_comes_in_pieces_and_is_read_by_the_line_that_was_shown(self, folder):
        data = pd.DataFrame({"a": range(1000)}).to_csv(index=False).encode()
        arriving = Uploads()
        told = arriving.place("My sales (1).csv", len(data), {"My_sales_1"})
        assert told["file"] == "My_sales_1.csv"
        assert told["variable"] == "My_sales_1_1"
        assert not Path(told["file"]).exists()
        half = len(data) // 2
        assert not arriving.take(told["file"], b64(data[:half]), 0, len(data))
        assert not Path(told["file"]).exists()
        assert arriving.take(told["file"], b64(data[half:]), half, len(data))
        space = {}
        exec(told["code"], space)
        assert len(space["My_sales_1_1"]) == 1000
        assert [each.name for each in folder.iterdir() if each.name.endswith(".part")] == []

    @pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
    def test_no_file_is_overwritten(self, folder, monkeypatch, links):
        def refused(*_):
            raise PermissionError(errno.EPERM, "Operation not permitted")

        if not links:
            monkeypatch.setattr(Path, "hardlink_to", refused)
        arriving = Uploads()
        (folder / "a.csv").write_text("kept")
        assert arriving.place("a.csv", 3)["file"] == "a_1.csv"
        with pytest.raises(BadInput, match=r"There is a file a\.csv by now"):
            arriving.take("a.csv", b64(b"new"), 0, 3)
        assert (folder / "a.csv").read_text() == "kept"
        assert arriving.take("b.csv", b64(b"n\n1\n"), 0, 4)
        assert (folder / "b.csv").read_bytes() == b"n\n1\n"
        assert [each.name for each in folder.iterdir() if each.name.endswith(".part")] == []

    def test_a_copy_that_fails_leaves_nothing(self, folder, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "hardlink_to", full)
        monkeypatch.setattr(uploads.shutil, "copyfileobj", full)
        with pytest.raises(BadInput, match="the disk is full"):
            Uploads().take("a.csv", b64(b"new"), 0, 3)
        assert {each.name for each in folder.iterdir()} == {"my data.csv", "notes", ".env", "tool.bin"}

    @pytest.mark.parametrize(
        ("name", "size", "words"),
        [("a.exe", 3, "cannot be dropped"), ("a.csv", (100 << 20) + 1, "at most 100 MB"), ("a.csv", 0, "is empty")],
    )
    def test_what_cannot_be_taken_says_why(self, folder, name, size, words):
        with pytest.raises(BadInput, match=words):
            Uploads().place(name, size)

    def test_a_name_that_leads_elsewhere_is_refused(self, folder):
        for name in ("../a.csv", "/tmp/a.csv", "a/b.csv", "a.exe"):
            with pytest.raises(BadInput):
                Uploads().take(name, b64(b"x"), 0, 1)
        assert "/" not in Uploads().place("../../etc/a.csv", 3)["file"]

    def test_a_piece_that_is_missing_leaves_nothing(self, folder):
        arriving = Uploads()
        arriving.take("a.csv", b64(b"abc"), 0, 9)
        with pytest.raises(BadInput, match="did not arrive"):
            arriving.take("a.csv", b64(b"ghi"), 6, 9)
        assert not [each for each in folder.iterdir() if each.name.startswith((".a", "a."))]

    def test_a_full_disk_is_said_and_leaves_nothing(self, folder, monkeypatch, talk):
        monkeypatch.setattr(uploads.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
        told = talk.do("place", name="a.csv", size=11)["error"]
        assert told["message"] == "There is no room for a.csv: the disk is full."
        assert "drop it again" in told["hint"]

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Uploads, "_written", full)
        told = talk.do("piece", file="a.csv", data=b64(b"x"), at=0, size=1)["error"]
        assert told["message"] == "There is no room for a.csv: the disk is full."


class TestPictures:
    def test_they_go_with_the_question_and_the_preview_has_them(self, talk, gateway):
        gateway.replies = ["Red."]
        seen = talk.do("preview", thread=talk.thread, text="Which colour?", pictures=[RED])
        assert seen["pictures"] == [
            {"name": f"[picture red.png, {len(png())} bytes]", "url": f"data:image/png;base64,{RED['data']}"}
        ]
        talk.ask("Which colour?", pictures=[RED], seen=seen["seen"])
        text, picture = gateway.sent
        assert text == {"type": "text", "text": seen["messages"][-1]["content"]}
        assert picture == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{RED['data']}"}}
        first = talk.panel.threads.find(talk.thread).pairs[-1]
        gateway.replies = ["Red again."]
        talk.ask(first.question, replaces=first.id)
        assert len(gateway.sent) == 2  # asked again, with its picture

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ([RED] * 5, "At most 4 pictures"),
            ([{"name": "x.svg", "data": b64(b"<svg onload=alert(1)>")}], "no picture that models read"),
            ([{"name": "x", "data": "not base64"}], "no picture"),
            (["x"], "no picture"),
            ([{"name": "x.png", "data": b64(png() + bytes(5 << 20))}], "bytes"),
        ],
    )
    def test_what_is_none_or_too_large_says_so(self, given, words):
        with pytest.raises(BadInput, match=words):
            pictures(given)

    def test_names_are_bounded_and_harmless(self):
        (one,) = pictures([{**RED, "name": "<b>]\n" * 50}])
        assert len(one.name) <= 60
        assert not set("<>]\n") & set(one.name)

    def test_they_are_not_sent_where_nothing_of_the_data_may_be(self, talk, gateway, assistant):
        assistant.settings.privacy = "names"
        told = talk.do("preview", thread=talk.thread, text="What?", pictures=[RED])["error"]
        assert told["message"] == "At the privacy level names no pictures are sent."
        assert gateway.requests == []

    def test_neither_fixed_rules_nor_a_query_take_them(self, talk, gateway, monkeypatch):
        told = talk.ask("/sql How many?", pictures=[RED])["error"]
        assert told["message"] == "A query is written without pictures."
        monkeypatch.setattr(type(talk.panel.assistant.chat), "is_offline", lambda *_: True)
        told = talk.ask("What?", pictures=[RED])["error"]
        assert told["message"] == "The model that would answer by fixed rules sees no pictures."
        assert gateway.requests == []

    def test_a_model_that_takes_none_is_said_before_anything_is_sent(self, talk, gateway):
        def row(name, *takes):
            return {"id": name, **({"architecture": {"input_modalities": takes}} if takes else {})}

        rows = [row("llama", "text"), row("qwen-vl", "text", "image"), row("gpt", "image"), row("new")]
        gateway.paths["v1/models"] = {"data": rows, "default": "llama"}
        for model, name in (("llama", "llama"), ("", "that answers here")):
            for what in ("ask", "preview"):
                told = talk.do(what, thread=talk.thread, text="What?", pictures=[RED], model=model)["error"]
                assert told["message"] == f"The model {name} takes no pictures."
                assert told["hint"] == "Choose qwen-vl or gpt below the box, or leave the pictures out."
        assert (gateway.requests, talk.exchanges()) == ([], []), "what was typed stays in the box"
        for number, model in enumerate(("qwen-vl", "new"), 1):  # of the second nothing is known
            gateway.replies = ["Red."]
            assert talk.ask("What?", pictures=[RED], model=model)["state"] == "done"
            assert len(gateway.requests) == number
        gateway.replies = ["Words."]
        assert talk.ask("What?", model="llama")["state"] == "done"

    @pytest.mark.parametrize(
        "listed",
        [
            [],
            {"data": 7},
            {"data": [7]},
            {"data": [{"architecture": 7, "id": 1}]},
            {"data": [{"architecture": {"input_modalities": None}, "id": "llama"}]},
        ],
    )
    def test_a_list_of_another_form_says_nothing(self, talk, gateway, listed):
        gateway.paths["v1/models"] = listed
        gateway.replies = ["Red."]
        assert talk.ask("What?", pictures=[RED], model="llama")["state"] == "done"

    def test_a_model_that_sees_none_is_said(self, talk, gateway):
        import httpx

        error = {"error": {"message": "image_url is not supported by this model", "code": "invalid_request"}}
        gateway.replies = [httpx.Response(400, json=error)]
        trouble = talk.ask("What?", pictures=[RED])["error"]
        assert "not supported" in trouble["message"]
        assert "Perhaps the model sees no pictures" in trouble["hint"]
