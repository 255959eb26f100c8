"""What answers made is kept beside the conversation: byte for byte, sealed, within a quota, and gone with it."""

from __future__ import annotations

import base64
import io
import json
import random
from types import SimpleNamespace

import duckdb
import msgspec
import pandas as pd
import pytest

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept import images, making
from rsql_magic.panel.kept.artifacts import PIECE, ArtifactStore, NewArtifact
from rsql_magic.panel.kept.images import AnswerImages
from rsql_magic.panel.kept.store import ConversationStore, Head
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("without_r", "at_once")


@pytest.fixture
def shelf(tmp_path):
    """Artifacts of a conversation ``c``, and the store they are in."""
    store = ConversationStore(tmp_path / "kept")
    store.write(store.notebook("~/a.ipynb"), Head("c", "", "C"))
    yield ArtifactStore(store), store
    store.close()


def new(name, content, kind="script"):
    return NewArtifact(name, "pair", kind, f"{name}.txt", "text/plain", lambda: content)


def downloaded(talk, file, **form):
    """The bytes of a file as a view downloads them."""
    first = talk.do("file", file=file, **form)
    pieces = [first, *(talk.do("file", file=file, piece=n, **form) for n in range(1, first["pieces"]))]
    return b"".join(base64.b64decode(piece["data"]) for piece in pieces)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7])
def test_a_file_is_the_same_byte_for_byte(shelf, size):
    artifacts, _ = shelf
    content = random.Random(size).randbytes(size)
    assert artifacts.put("c", new("a", content), 10**8) == ""
    assert artifacts.content("a") == content
    assert artifacts.one("a").bytes == size


def test_pieces_cannot_be_exchanged_left_out_or_read_in_the_file(shelf, tmp_path):
    artifacts, store = shelf
    content = b"a secret of the data " * 120_000
    artifacts.put("c", new("a", content), 10**8)
    store.rows("PRAGMA wal_checkpoint(FULL)")
    assert all(b"secret of the" not in file.read_bytes() for file in (tmp_path / "kept").iterdir())
    with store.transaction() as db:
        db.execute("UPDATE piece SET number = 9 WHERE number = 0")
        db.execute("UPDATE piece SET number = 0 WHERE number = 1")
    with pytest.raises(BadInput, match="cannot be read"):
        artifacts.content("a")


def test_a_damaged_picture_is_left_out_of_what_is_shared(shelf):
    artifacts, store = shelf
    for name in ("whole", "damaged"):
        artifacts.put("c", new(name, b"a picture of " + name.encode(), "picture"), 10**8)
    with store.transaction() as db:
        db.execute("UPDATE piece SET body = ? WHERE artifact = 'damaged'", [b"x"])
    sent = AnswerImages(artifacts, "c").of({"id": "pair"})
    [image] = sent.images
    assert base64.b64decode(image["data"]) == b"a picture of whole"


def test_why_a_picture_is_left_out_of_what_is_shared_is_sent_with_it(shelf, monkeypatch):
    artifacts, _ = shelf

    def sent(**record):
        return AnswerImages(artifacts, "c").of({"id": "pair", **record})

    for n in range(4):
        artifacts.put("c", new(f"small{n}", b"%d" % n, "picture"), 10**8)
    assert (len(sent().images), sent().left_out) == (4, ())
    size = sum(map(len, sent().images[0].values()))
    assert sent().fitting(2 * size + 1) == (sent().images[:2], ("room",))
    assert sent().fitting(4 * size) == sent()
    artifacts.put("c", new("small4", b"4", "picture"), 10**8)
    assert (len(sent().images), sent().left_out) == (4, ("many",))
    artifacts.put("c", new("large", bytes(images.LARGEST + 1), "picture"), 10**8)
    assert (len(sent().images), sent().left_out) == (4, ("large", "many"))
    assert sent(drawing={"data": {"url": "http://[::1]:9/"}}) == ([], ())
    chart = {"drawing": {"mark": "bar", "data": {"values": []}}}
    for picture, left_out in ((lambda *_: bytes(images.LARGEST + 1), ("large",)), (None, ("undrawn",))):
        images._drawn.cache_clear()
        with monkeypatch.context() as patch:
            if picture:
                patch.setattr(images.charts, "picture", picture)
            else:
                patch.setattr(images.charts, "find_spec", lambda _: None)
            assert sent(**chart) == ([], left_out)
    images._drawn.cache_clear()


def test_the_oldest_that_are_not_pinned_make_room(tmp_path):
    now = [1.0]
    store = ConversationStore(tmp_path, clock=lambda: now[0])
    store.write(store.notebook("~/a.ipynb"), Head("c", "", "C"))
    artifacts = ArtifactStore(store)
    for n in range(4):
        now[0] += 1
        assert artifacts.put("c", new(f"f{n}", b"x" * 100), 400) == ""
    artifacts.pin("f0", on=True)
    now[0] += 1
    assert artifacts.put("c", new("f4", b"x" * 150), 400) == ""
    assert [one.id for one in artifacts.listed("c")] == ["f0", "f4", "f3"]
    assert artifacts.put("c", new("f5", b"x" * 301), 400) == (
        "f5.txt has 301 bytes, and all files together may have 400 bytes (Rsql.artifact_mb), "
        "of which pinned ones take 100 bytes"
    )
    assert artifacts.put("c", new("f5", b"x" * 5_000_000), 2_500_000).startswith(
        "f5.txt has 5 MB, and all files together may have 2.5 MB"
    )
    assert [one.id for one in artifacts.listed()] == ["f0", "f4", "f3"]
    now[0] += 100 * 86_400
    assert artifacts.expire(90) == 2
    assert store.expire(90) == 0  # a pinned file keeps its conversation
    artifacts.pin("f0", on=False)
    assert store.expire(90) == 1
    assert store.rows("SELECT count(*) FROM piece") == [(0,)]
    store.close()


def test_what_is_gone_says_so(shelf):
    artifacts, store = shelf
    assert "deleted" in artifacts.put("nothing", new("a", b"x"), 10**6)
    artifacts.put("c", new("a", b"x"), 10**6)
    store.delete("c")
    for work in (artifacts.content, artifacts.delete, artifacts.one, lambda name: artifacts.pin(name, on=True)):
        with pytest.raises(BadInput, match="gone"):
            work("a")


@pytest.mark.slow
def test_an_answer_leaves_its_query_rows_chart_and_script(kernels, gateway, tmp_path):
    con = duckdb.connect(tmp_path / "shop.duckdb")
    con.execute("CREATE TABLE orders AS SELECT i AS id, i % 30 AS shop, i * 1.5 AS total FROM range(90) t(i)")
    talk = kernels(namespace={"con": con})
    gateway.replies = [
        "```sql\nSELECT shop, sum(total) AS total FROM orders GROUP BY shop ORDER BY shop\n```\n"
        '```json\n{"chart": "bar", "x": "shop", "y": "total"}\n```',
        "So:\n```python\nx = 1\n```\nand\n```python\ny = 2\n```\n",
    ]
    asked = talk.ask("/sql con Draw the total per shop as a bar chart")
    talk.ask("Show me code")
    con.close()
    talk.panel.threads.close()
    later = kernels()
    thread = later.do("hello")["thread"]
    files = {one["name"]: one for one in later.do("files", thread=thread)["files"]}
    name = "draw-the-total-per-shop-as"
    assert set(files) == {f"{name}.{end}" for end in ("sql", "parquet", "vl.json", "png")} | {"show-me-code.py"}
    assert files[f"{name}.sql"]["pair"] == asked["id"]
    rows = pd.read_parquet(io.BytesIO(downloaded(later, files[f"{name}.parquet"]["id"])))
    assert len(rows) == 30  # all of them, of which ten are shown
    assert len(asked["result"]["rows"]) == 10
    assert downloaded(later, files[f"{name}.png"]["id"]).startswith(b"\x89PNG")
    assert json.loads(downloaded(later, files[f"{name}.vl.json"]["id"]))["mark"]
    assert later.do("load", file=files["show-me-code.py"]["id"])["text"] == "x = 1\n\ny = 2\n"
    assert b"FROM orders" in downloaded(later, files[f"{name}.sql"]["id"])
    assert later.do("load", file=files[f"{name}.png"]["id"])["image"]
    later.do("pin", file=files[f"{name}.sql"]["id"], on=True)
    assert later.do("files", thread=thread)["files"][0]["pinned"]
    later.do("drop", file=files[f"{name}.sql"]["id"])
    assert len(later.do("files", thread=thread)["files"]) == 4
    assert "gone" in later.do("file", file=files[f"{name}.sql"]["id"])["error"]["message"]
    later.do("delete", thread=thread)
    assert later.do("files", thread=thread)["files"] == []
    assert "gone" in later.do("file", file=files[f"{name}.png"]["id"])["error"]["message"]


def test_files_become_cells_and_values(kernels, gateway, monkeypatch):
    import rsql_magic

    talk = kernels()
    thread = talk.panel.threads.find(talk.thread)
    thread.pairs.append(pair := MessagePair("q", "a", "done"))
    _, media, content = making._table(frame := pd.DataFrame({"a": [1, 2]}))
    made = [
        NewArtifact("t1", pair.id, "table", "late flights.parquet", media, content),
        NewArtifact("s1", pair.id, "script", "fit.R", "text/x-r", lambda: b"mean(x)\n"),
        NewArtifact("q1", pair.id, "sql", "2013.sql", "application/sql", lambda: b"SELECT 1;\n"),
        NewArtifact("c1", pair.id, "chart", "c.vl.json", "x/y", lambda: b'{"mark": "bar"}'),
        NewArtifact("p1", pair.id, "picture", "p.png", "image/png", lambda: b"\x89PNG"),
        NewArtifact("r1", pair.id, "report", "r.md", "text/markdown", lambda: b"# Means <script>"),
    ]
    talk.panel.threads.keeper.changed(thread, pair, made=lambda: made)
    talk.panel.threads.keeper.flush()
    cells = {one.id: talk.do("insertion", file=one.id)["cells"] for one in made}
    assert cells["t1"][-1]["source"] == 'import rsql_magic\n\nlate_flights = rsql_magic.artifact("t1")\nlate_flights'
    assert cells["p1"][-1]["source"] == 'import rsql_magic\n\nrsql_magic.artifact("p1")'
    assert cells["s1"][-1]["source"] == "%%R\nmean(x)"
    assert cells["q1"][-1]["source"].endswith("SELECT 1;")
    assert cells["r1"][0]["kind"] == "markdown"
    assert "<script>" not in cells["r1"][0]["source"]
    assert talk.do("files", thread=talk.thread)["files"][0]["code"]
    monkeypatch.setattr("rsql_magic.notebook.loaded", lambda _: SimpleNamespace(conversations=talk.panel.threads))
    pd.testing.assert_frame_equal(rsql_magic.artifact("t1"), frame)
    assert rsql_magic.artifact("s1") == "mean(x)\n"
    assert rsql_magic.artifact("c1") == {"mark": "bar"}
    assert rsql_magic.artifact("p1").data == b"\x89PNG"
    with pytest.raises(BadInput, match="gone"):
        rsql_magic.artifact("nothing")


def test_rows_come_back_as_a_variable(kernels, gateway):
    talk = kernels()
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    thread = talk.panel.threads.find(talk.thread)
    thread.pairs.append(pair := MessagePair("q", "a", "done"))
    _, media, content = making._table(frame)
    kept = NewArtifact("rows", pair.id, "table", "rows.parquet", media, content)
    talk.panel.threads.keeper.changed(thread, pair, made=lambda: [kept])
    talk.panel.threads.keeper.flush()

    talk.panel.shell = SimpleNamespace(user_ns={}, kernel=None)
    told = talk.do("load", file="rows")
    pd.testing.assert_frame_equal(talk.panel.namespace[told["variable"]], frame)


def test_any_frame_can_be_kept():
    odd = pd.DataFrame([[1, "x", b"y"], ["two", None, {"a": 1}]], columns=["n", "n", 3])
    again = pd.read_parquet(io.BytesIO(making._parquet(odd)))
    assert list(again.columns) == ["n", "n.1", "3"]
    assert again["n"].tolist() == ["1", "two"]
    changed = pd.DataFrame({"a": [1, 2, 3]})
    own = making._own(changed)
    changed.loc[0, "a"] = 99
    assert own["a"].tolist() == [1, 2, 3]


def test_files_that_do_not_fit_are_said_and_the_conversation_is_kept(kernels, gateway):
    talk = kernels(artifact_mb=0.002)
    thread = talk.panel.threads.find(talk.thread)
    thread.pairs.append(pair := MessagePair("q", "a", "done"))

    def failing():
        raise RuntimeError("no chart today")

    made = [new("large", b"x" * 5000), NewArtifact("odd", "p", "chart", "odd.json", "x/y", failing), new("small", b"x")]
    talk.panel.threads.keeper.changed(thread, pair, made=lambda: made)
    told = talk.do("files", thread=talk.thread)
    assert [one["name"] for one in told["files"]] == ["small.txt"]
    assert told["refused"] == "A file is not kept: odd.json could not be made (RuntimeError: no chart today)."
    talk.panel.threads.keeper.changed(thread, made=lambda: [new("larger", b"x" * 2_001)])
    assert talk.do("files", thread=talk.thread)["refused"] == (
        "A file is not kept: larger.txt has 2 kB, and all files together may have 2 kB (Rsql.artifact_mb)."
    )
    assert talk.panel.threads.keeper.trouble == ""


def test_the_list_says_what_files_take_and_when_they_go(kernels, gateway):
    talk = kernels(artifact_mb=0.002, artifact_days=1.5)
    thread = talk.panel.threads.find(talk.thread)
    thread.pairs.append(pair := MessagePair("q", "a", "done"))
    talk.panel.threads.keeper.changed(thread, pair, made=lambda: [new("a", b"x" * 1500)])
    told = talk.do("files", thread=talk.thread)
    assert (told["keeps"], told["room"]) == (
        True,
        "The files of all notebooks take 1.5 kB of 2 kB: the oldest make room for new ones. "
        "After 1.5 days a file is deleted. What is pinned or was practised stays.",
    )
    talk.panel.assistant.settings.artifact_days = 0
    assert "deleted" not in talk.do("files", thread=talk.thread)["room"]
    talk.panel.assistant.settings.artifact_mb = 0
    told = talk.do("files", thread=talk.thread)
    assert (told["keeps"], told["room"]) == (False, "No new files are kept (Rsql.artifact_mb is 0).")


def test_where_nothing_is_kept_there_are_no_files(kernels, gateway):
    talk = kernels(conversations="never")
    told = talk.do("files", thread=talk.thread)
    assert (told["files"], told["keeps"]) == ([], False)
    assert told["room"] == "No files are kept, as no conversations are (Rsql.conversations)."
    assert "No files are kept" in talk.do("file", file="x")["error"]["message"]


def test_pictures_that_code_drew_are_kept(kernels, gateway, monkeypatch):
    talk = kernels()
    gateway.replies = ["Run this."]
    asked = talk.ask("Draw")
    drawn = {"kind": "image", "data": base64.b64encode(b"\x89PNG a picture").decode()}
    monkeypatch.setattr("rsql_magic.panel.outputs.run", lambda *_, **__: [{"kind": "text", "text": "x"}, drawn])
    does = [str(each) for each in talk.panel.turns.effects("draw()")]  # a function of the session's own asks
    run = {"code": "draw()", "language": "python", "thread": talk.thread, "exchange": asked["id"]}
    assert talk.do("run", **run, agreed=does)["outputs"][1]
    [file] = talk.do("files", thread=talk.thread)["files"]
    assert (file["name"], file["pair"]) == ("draw-1.png", asked["id"])
    assert downloaded(talk, file["id"]) == b"\x89PNG a picture"


@pytest.mark.slow
def test_a_result_that_was_cut_says_so_in_its_name_its_row_and_its_code(kernels, gateway, tmp_path, monkeypatch):
    con = duckdb.connect(tmp_path / "shop.duckdb")
    con.execute("CREATE TABLE orders AS SELECT i AS id FROM range(90) t(i)")
    talk = kernels(namespace={"con": con}, max_rows=20)
    gateway.replies = [
        "```sql\nSELECT id FROM orders ORDER BY id\n```",
        "```sql\nSELECT id FROM orders WHERE id < 5\n```",
    ]
    talk.ask("/sql con All orders")
    talk.ask("/sql con A few orders")
    con.close()
    files = {one["name"]: one for one in talk.do("files", thread=talk.thread)["files"] if one["kind"] == "table"}
    counts = {"all-orders-first-20-rows.parquet": "first 20 of 90 rows", "a-few-orders.parquet": "5 rows"}
    assert {name: one["count"] for name, one in files.items()} == counts
    cut = files["all-orders-first-20-rows.parquet"]
    assert f'= rsql_magic.artifact("{cut["id"]}")  # first 20 of 90 rows\n' in cut["code"]
    assert "#" not in files["a-few-orders.parquet"]["code"]
    monkeypatch.setattr(talk.panel, "shell", SimpleNamespace(user_ns={}, kernel=None))
    assert talk.do("load", file=cut["id"])["count"] == "first 20 of 90 rows"
    assert talk.do("file", file=cut["id"], form="csv")["name"] == "all-orders-first-20-rows.csv"


@pytest.fixture
def cut(kernels, gateway, tmp_path, monkeypatch):
    """A panel that has asked for 90 rows and got 20 of them, its connection, and the file of these."""
    con = duckdb.connect(tmp_path / "shop.duckdb")
    con.execute("CREATE TABLE orders AS SELECT i AS id FROM range(90) t(i)")
    talk = kernels(namespace={"con": con}, max_rows=20)
    monkeypatch.setattr(talk.panel, "shell", SimpleNamespace(user_ns={"con": con}, kernel=None))
    gateway.replies = ["```sql\nSELECT id FROM orders ORDER BY id\n```"]
    talk.ask("/sql con All orders")
    assert talk.panel.threads.keeper.flush(60)
    return talk, con, next(one for one in talk.do("files", thread=talk.thread)["files"] if one["kind"] == "table")


def rows_of(talk, file):
    return pd.read_parquet(io.BytesIO(downloaded(talk, file)))["id"].tolist()


@pytest.mark.slow
def test_all_rows_of_a_result_that_was_cut_are_a_file_beside_it(cut):
    talk, con, first = cut
    assert (first["query"], "con" in json.dumps(first["query"])) == (True, False)
    told = talk.do("all_rows", thread=talk.thread, file=first["id"])
    assert (told["name"], told["count"]) == ("all-orders.parquet", "90 rows")
    assert rows_of(talk, told["file"]) == list(range(90))
    assert rows_of(talk, first["id"]) == list(range(20))
    files = {one["name"]: one for one in talk.do("files", thread=talk.thread)["files"]}
    assert (files["all-orders.parquet"]["query"], files["all-orders.parquet"]["pair"]) == (False, first["pair"])

    con.execute("INSERT INTO orders VALUES (90)")
    again = talk.do("all_rows", thread=talk.thread, file=first["id"])
    assert (again["file"], again["count"]) == (told["file"], "91 rows")
    assert len(talk.do("files", thread=talk.thread)["files"]) == len(files)


@pytest.mark.slow
def test_all_rows_that_are_still_too_many_say_so_and_can_be_had_again(cut):
    talk, _, first = cut
    talk.panel.assistant.settings.file_rows = 50
    told = talk.do("all_rows", thread=talk.thread, file=first["id"])
    assert (told["name"], told["count"]) == ("all-orders-first-50-rows.parquet", "first 50 of 90")
    talk.panel.assistant.settings.file_rows = 500
    assert talk.do("all_rows", thread=talk.thread, file=told["file"])["name"] == "all-orders.parquet"


@pytest.mark.slow
def test_all_rows_that_cannot_be_had_say_why_and_leave_the_first_ones(cut, tmp_path):
    talk, con, first = cut
    con.execute("DROP TABLE orders")
    assert "orders" in talk.do("all_rows", thread=talk.thread, file=first["id"])["error"]["message"]
    talk.panel.shell.user_ns.clear()
    assert "con" in talk.do("all_rows", thread=talk.thread, file=first["id"])["error"]["message"]
    with duckdb.connect(tmp_path / "other.duckdb") as other:
        talk.panel.shell.user_ns["con"] = other
        error = talk.do("all_rows", thread=talk.thread, file=first["id"])["error"]
    assert error["message"] == "con is a connection to another database now."
    sql = next(one for one in talk.do("files", thread=talk.thread)["files"] if one["kind"] == "sql")
    assert "no query" in talk.do("all_rows", thread=talk.thread, file=sql["id"])["error"]["message"]
    assert rows_of(talk, first["id"]) == list(range(20))


@pytest.mark.slow
def test_all_rows_that_have_no_room_say_so(cut):
    talk, _, first = cut
    talk.do("pin", file=first["id"], on=True)
    talk.panel.assistant.settings.artifact_mb = first["bytes"] / 1e6
    told = talk.do("all_rows", thread=talk.thread, file=first["id"])["error"]
    assert told["message"].startswith("The file is not kept: all-orders.parquet ")
    assert "artifact_mb" in told["hint"]


@pytest.mark.slow
@pytest.mark.parametrize("sql", ["DELETE FROM orders", "SELECT * FROM read_csv('/etc/passwd')"])
def test_all_rows_are_asked_for_under_the_guard(cut, sql):
    talk, con, first = cut
    artifacts = talk.panel.threads.keeper.artifacts
    one = artifacts.one(first["id"])
    query = msgspec.structs.replace(one.query, sql=sql)
    planted = NewArtifact("x", one.pair, "table", one.name, one.media, lambda: b"", "first", query)
    artifacts.put(one.conversation, planted, 10**6)
    assert "error" in talk.do("all_rows", thread=talk.thread, file="x")
    assert con.execute("SELECT count(*) FROM orders").fetchall() == [(90,)]


AWKWARD = pd.DataFrame(
    {
        "text": ["a,b", 'say "hi"', "two\nlines", "=1+1", "Zürich 🌍", None],
        "number": [1.5, None, 3.0, -0.1, 1e300, 0.0],
        "whole": [1, 2, 3, 4, 5, 2**53 + 1],
        "day": pd.to_datetime(
            ["2024-02-29", None, "2024-01-01 12:30:00", "1999-12-31", "2024-06-01", "2024-06-02"], format="ISO8601"
        ),
        "flag": [True, False, True, False, True, False],
    }
)


@pytest.mark.slow
@pytest.mark.parametrize("many", [1, 20_000])
def test_rows_are_saved_as_csv_as_pandas_writes_them(kernels, gateway, many):
    talk = kernels()
    frame = pd.concat([AWKWARD] * many, ignore_index=True)
    thread = talk.panel.threads.find(talk.thread)
    thread.pairs.append(pair := MessagePair("q", "a", "done"))
    made = [NewArtifact("rows", pair.id, "table", "r.parquet", "x/y", lambda: making._parquet(frame))]
    made.append(NewArtifact("csv", pair.id, "table", "r.csv", making.CSV, lambda: b"a\n1\n"))
    made.append(NewArtifact("text", pair.id, "script", "r.py", "x/y", lambda: b"x = 1\n"))
    talk.panel.threads.keeper.changed(thread, pair, made=lambda: made)
    talk.panel.threads.keeper.flush()
    first = talk.do("file", file="rows", form="csv")
    assert (first["name"], first["media"]) == ("r.csv", "text/csv")
    assert (first["pieces"] > 1) == (many > 1)
    saved = downloaded(talk, "rows", form="csv")
    assert saved == frame.to_csv(index=False).encode()
    assert downloaded(talk, "rows") == making._parquet(frame)
    for other in ("csv", "text"):  # what is no Parquet file is as it is
        assert downloaded(talk, other, form="csv") == downloaded(talk, other)


def test_an_answer_is_announced_after_its_files_are_noted(kernels, gateway, monkeypatch):
    talk = kernels(namespace={})
    keeper, announced = talk.panel.threads.keeper, []
    note = keeper.changed

    def noting(*args, **more):
        if "made" in more:
            told = [each["exchange"]["state"] for each in talk.views.told if each.get("push") == "exchange"]
            announced.append(any(state != "running" for state in told))
        note(*args, **more)

    monkeypatch.setattr(keeper, "changed", noting)
    gateway.replies = ["```python\nx = 1\n```"]
    talk.ask("How?")
    assert announced == [False]
