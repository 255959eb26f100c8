"""Documents as bytes, files and addresses: what is read of them, with which headings and lines, and what is refused."""

from __future__ import annotations

import io
import json
import logging
import random
import socket
import sqlite3
from base64 import b64decode
from contextlib import suppress

import httpx
import pytest

from rsql_magic.errors import BadInput, UnknownName
from rsql_magic.knowledge import Embedder, Library, SharedDocuments
from rsql_magic.knowledge.documents import formats
from rsql_magic.knowledge.documents.formats import KINDS, Notes, sections
from rsql_magic.knowledge.documents.passages import MOST, Section, split
from rsql_magic.knowledge.documents.ranking import fused
from rsql_magic.knowledge.documents.store import DocumentStore
from rsql_magic.knowledge.documents.web import fetch
from rsql_magic.sql import count_tokens


def read(text, kind, name="doc"):
    data = text.encode() if isinstance(text, str) else text
    return [
        (each.path, each.part, [line for line in each.lines if line[1].strip()]) for each in sections(data, kind, name)
    ]


@pytest.fixture
def library(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Library(tmp_path / "documents.db")


# Structure.


def test_markdown_has_headings_of_both_kinds_and_none_in_code():
    text = "---\ntitle: x\n---\n# One\n\na\n\nTwo\n---\n\n```\n# no heading\n```\n\n### Three {#id}\nb\n"
    assert read(text, "markdown")[-2:] == [
        (("One", "Two"), "", [(11, "```"), (12, "# no heading"), (13, "```")]),
        (("One", "Two", "Three"), "", [(16, "b")]),
    ]


def test_html_has_its_headings_its_lines_and_nothing_that_is_not_shown():
    text = """<html><head><title>Guide</title><script>var x = "<h1>no</h1>"</script></head><body>
<nav><h2>Menu</h2>Home</nav>
<h1>Start &amp; end</h1>
<p>One <b>two</b>
three.</p>
<h2>Code</h2>
<pre>a  = 1
b = 2</pre>
<p hidden>secret</p><style>p {}</style>
<table><tr><th>k</th><th>v</th></tr><tr><td>1</td><td>2</td></tr></table>"""
    assert read(text, "html") == [
        (("Guide", "Start & end"), "", [(4, "One two three.")]),
        (("Guide", "Start & end", "Code"), "", [(7, "a  = 1"), (8, "b = 2"), (10, "k | v"), (10, "1 | 2")]),
    ]


def test_a_notebook_has_cells_below_headings_and_no_outputs():
    cells = [
        {"cell_type": "markdown", "source": ["# Fit\n", "We fit."], "metadata": {}},
        {"cell_type": "code", "source": "model.fit(x)", "outputs": [{"text": "secret 42"}], "metadata": {}},
    ]
    assert read(json.dumps({"cells": cells}), "notebook") == [
        (("Fit",), "cell 1", [(2, "We fit.")]),
        (("Fit",), "cell 2", [(1, "model.fit(x)")]),
    ]


def test_code_is_split_by_its_functions():
    python = (
        "import os\n\n@cache\ndef one():\n    return 1\n\nclass Two:\n    def three(self):\n        return 3\n\nx = 4\n"
    )
    assert [(path, lines[0]) for path, _, lines in read(python, "python")] == [
        ((), (1, "import os")),
        (("one",), (3, "@cache")),
        (("Two",), (7, "class Two:")),
        (("Two", "three"), (8, "    def three(self):")),
        (("",), (11, "x = 4")),
    ]
    r = "library(x)\n#' Adds.\nadd <- function(a, b) {\n  a + b\n}\n"
    assert [(path, lines[0]) for path, _, lines in read(r, "r")] == [
        ((), (1, "library(x)")),
        (("add",), (2, "#' Adds.")),
    ]


def test_an_rd_file_has_its_sections_with_its_own_lines():
    rd = (
        "% a comment {\n\\name{add}\n\\alias{plus}\n\\title{Add \\emph{Numbers}}\n\\description{\n  Adds \\code{x} to\n"
        "  \\code{\\link[base]{sum}}, 100\\% of it.\n}\n\\arguments{\n  \\item{x}{a number.}\n}\n"
        "\\section{Warning}{\n  Not for \\{text\\}.\n}\n\\examples{\nadd(1) # {\n}\n"
    )
    assert read(rd, "rd")[:3] == [
        (("Add Numbers (add, plus)", "Description"), "", [(6, "  Adds x to"), (7, "  sum, 100% of it.")]),
        (("Add Numbers (add, plus)", "Arguments"), "", [(10, "  * x: a number.")]),
        (("Add Numbers (add, plus)", "Warning"), "", [(13, "  Not for {text}.")]),
    ]


@pytest.mark.slow
def test_passages_are_bounded_and_nothing_is_lost():
    draw = random.Random(7)
    words = ["alpha", "beta", "gamma", "delta,", "epsilon.", "zeta", "eta\n", "theta\n\n", "iota", "κάππα", "東京"]
    for _ in range(60):
        text = " ".join(draw.choice(words) for _ in range(draw.randrange(1, 900)))
        lines = tuple(enumerate(text.split("\n"), 1))
        found = split("d", [Section(("H",), lines)])
        assert all(count_tokens(each.text) <= MOST * 1.1 for each in found)
        assert "".join("".join(each.text for each in found).split()) == "".join(text.split())
        assert [each.first for each in found] == sorted(each.first for each in found)
        for each in found:  # the lines that are named hold the passage
            named = "\n".join(line for number, line in lines if each.first <= number <= each.last)
            assert "".join(each.text.split()) in "".join(named.split())


@pytest.mark.slow
def test_one_line_without_end_is_cut():
    assert all(count_tokens(each.text) <= 2 * MOST for each in split("d", [Section((), ((1, "ab1" * 100_000),))]))


# Bad input.


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_rubbish_is_refused_or_read_and_never_fails_otherwise(kind):
    draw = random.Random(kind)
    seeds = [b"%PDF-1.4\n", b"<h1>", b"\\name{", b'{"cells": [', b"# ", b"", b"def f(:", b"\xff\xfe", b"\xef\xbb\xbf"]
    for _ in range(120):
        data = draw.choice(seeds) + draw.randbytes(draw.randrange(0, 400))
        with suppress(BadInput):
            found = sections(data, kind, "x")
            assert all("\x1b" not in line and "\0" not in line for each in found for _, line in each.lines)


def test_other_encodings_are_read_and_that_is_said():
    notes = Notes()
    assert sections("# Käse\n\nGrün".encode("cp1252"), "markdown", "a.md", notes)[0].lines == ((3, "Grün"),)
    assert notes.said == ["a.md is no UTF-8 and was read as cp1252"]
    assert sections("Grün".encode("utf-16"), "text", "a.txt")[0].lines == ((1, "Grün"),)
    html = '<meta charset="iso-8859-5"><p>Привет</p>'.encode("iso-8859-5")
    assert sections(html, "html", "a.html")[0].lines[0] == (1, "Привет")


def pdf(*pages, password=""):
    pypdf = pytest.importorskip("pypdf")
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    font = DictionaryObject(
        {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1"),
         NameObject("/BaseFont"): NameObject("/Helvetica")}
    )  # fmt: skip
    for text in pages:
        page = writer.add_blank_page(300, 300)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        stream = DecodedStreamObject()
        shown = "".join(f"({line}) Tj 0 -20 Td " for line in text.split("\n")) if text else ""
        stream.set_data(f"BT /F1 12 Tf 20 250 Td {shown}ET".encode())
        page[NameObject("/Contents")] = stream
    if len(pages) > 1:
        writer.add_outline_item(title="Chapter two", page_number=1)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_has_pages_below_its_bookmarks():
    assert read(pdf("First page", "Second page\nhas more"), "pdf") == [
        ((), "page 1", [(1, "First page")]),
        (("Chapter two",), "page 2", [(1, "Second page"), (2, "has more")]),
    ]


def test_a_pdf_without_text_or_with_a_password_says_what_to_do():
    with pytest.raises(BadInput, match=r"has 2 pages and no text\. It seems to be scanned"):
        sections(pdf("", ""), "pdf", "scan.pdf")
    with pytest.raises(BadInput, match=r"is encrypted\. Save a copy without a password"):
        sections(pdf("secret", password="x"), "pdf", "locked.pdf")
    with pytest.raises(BadInput, match=r"is no PDF|is damaged"):
        sections(pdf("text")[:200], "pdf", "half.pdf")


def test_a_pdf_with_too_many_pages_is_read_up_to_a_bound_and_that_is_said(monkeypatch):
    monkeypatch.setattr(formats, "_MOST_PAGES", 3)
    seen = []
    notes = Notes(lambda done, all_: seen.append((done, all_)))
    assert len(sections(pdf(*"abcde"), "pdf", "long.pdf", notes)) == 3
    assert notes.said == ["long.pdf was read up to page 3 of 5; split it to have the rest"]
    assert seen[-1] == (3, 3)


def test_without_pypdf_a_pdf_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pypdf.errors", None)
    with pytest.raises(BadInput, match=r"pip install 'rsql-jupyter\[pdf\]'"):
        sections(b"%PDF-1.4", "pdf", "a.pdf")


def test_a_file_that_is_too_large_is_not_read(library, tmp_path):
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(BadInput, match=r"big.txt has 100 MB; at most 50 MB"):
        library.add(["big.txt"])


@pytest.mark.slow
def test_a_folder_gives_its_files_and_says_what_was_left_out(library, tmp_path):
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / ".hidden").mkdir()
    (tmp_path / "notes" / "a.md").write_text("# A\n\napples")
    (tmp_path / "notes" / "deep" / "b.txt").write_text("pears")
    (tmp_path / "notes" / ".hidden" / "c.md").write_text("figs")
    (tmp_path / "notes" / "bad.md").write_bytes(b"\0\1\2")
    (tmp_path / "notes" / "data.bin").write_bytes(b"\0")
    added = library.add(["notes"])
    assert [each.name for each in added.documents] == ["notes/a.md", "notes/deep/b.txt"]
    assert added.notes == ("left out: notes/bad.md is no text",)
    assert [each.document for each in library.search("pears apples", ["notes/deep"]).passages] == ["notes/deep/b.txt"]


# The store.


def test_documents_are_there_after_a_restart_and_the_index_is_read_not_made(library, tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("# A\n\nThe meeting is on Tuesday.")
    library.add(["a.md"])
    first = library.search("When is the meeting?")
    monkeypatch.setattr(DocumentStore, "terms", lambda _: pytest.fail("made anew"))
    assert Library(library.path).search("When is the meeting?") == first


def test_what_bm25s_logs_stays_out_of_the_notebook(library, tmp_path):
    logging.getLogger("bm25s").setLevel(logging.DEBUG)  # as its import leaves it
    (tmp_path / "a.md").write_text("# A\n\nThe meeting is on Tuesday.")
    library.add(["a.md"])
    library.search("When is the meeting?")
    assert not logging.getLogger("bm25s").isEnabledFor(logging.INFO)


def test_a_document_is_replaced_when_it_is_added_again(library, tmp_path):
    for text in ("old words", "new words"):
        (tmp_path / "a.txt").write_text(text)
        library.add(["a.txt"])
    assert [each.text for each in library.search("words").passages] == ["new words"]
    assert len(library.documents()) == 1


def test_two_files_of_one_name_are_told_apart(library, tmp_path):
    for folder in ("one", "two"):
        (tmp_path.parent / f"{tmp_path.name}-{folder}").mkdir()
        (tmp_path.parent / f"{tmp_path.name}-{folder}" / "a.txt").write_text(folder)
        library.add([str(tmp_path.parent / f"{tmp_path.name}-{folder}" / "a.txt")])
    assert {each.name for each in library.documents()} == {"a.txt", f"{tmp_path.name}-two/a.txt"}


def test_what_is_removed_is_gone_from_the_file(library, tmp_path):
    (tmp_path / "a.txt").write_text("The word is xylophone.")
    (tmp_path / "b.txt").write_text("Another word.")
    library.add(["a.txt", "b.txt"])
    assert library.search("xylophone").passages
    library.remove("a.txt")
    assert library.search("xylophone").passages == ()
    assert b"xylophone" not in library.path.read_bytes()
    with pytest.raises(UnknownName):
        library.remove("a.txt")


def test_a_bad_file_among_good_ones_adds_nothing(library, tmp_path):
    (tmp_path / "a.txt").write_text("kept")
    library.add(["a.txt"])
    (tmp_path / "b.txt").write_text("new")
    with pytest.raises(BadInput):
        library.add(["b.txt", "missing.txt"])
    assert [each.name for each in library.documents()] == ["a.txt"]


@pytest.mark.slow
def test_a_full_disk_is_said_and_nothing_is_lost(library, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("kept")
    library.add(["a.txt"])
    size = library.path.stat().st_size // 4096
    connect = sqlite3.connect

    def small(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.execute(f"PRAGMA max_page_count = {size + 2}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", small)
    (tmp_path / "big.txt").write_text("word " * 200_000)
    with pytest.raises(BadInput, match=r"no room left .* Make room"):
        library.add(["big.txt"])
    assert [each.text for each in library.search("kept").passages] == ["kept"]


def test_a_damaged_file_says_what_to_do(library):
    library.path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(BadInput, match=r"is damaged\. Remove it"):
        library.documents()


def test_a_file_that_is_gone_leaves_what_was_read(library, tmp_path):
    (tmp_path / "a.txt").write_text("The meeting is on Tuesday.")
    library.add(["a.txt"])
    (tmp_path / "a.txt").unlink()
    found = library.search("meeting on Tuesday")
    assert found.passages
    assert found.notes == ("a.txt is no longer there; what was read of it is used",)


# Meaning.


def test_passages_are_found_by_meaning_too(library, tmp_path):
    """A model that knows that felines are cats, in 64 numbers."""
    asked = []

    def embed(texts):
        asked.extend(texts)
        cats = ["cat" in text or "feline" in text for text in texts]
        return [[1.0 if place % 2 == cat else -1.0 for place in range(64)] for cat in cats]

    (tmp_path / "cats.txt").write_text("A cat sleeps all day.")
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text(f"Nothing of that kind {number}.")
    library.embedder = Embedder("m", embed)
    library.add(["cats.txt", *(f"{number}.txt" for number in range(20))])
    assert len(asked) == 21
    assert library.search("feline").passages[0].document == "cats.txt"
    library.embedder = None
    assert library.search("feline").passages == ()


def test_shared_passages_are_found_by_the_vectors_that_were_sent_with_them(library, tmp_path):
    """A gateway that tells which models its documents have vectors of."""
    posted = []

    class Gateway:
        def get(self, path):
            return {"documents": []}

        def post(self, path, body):
            posted.append((path, body))
            if path == "documents":
                return {"tenant": "x"}
            place = {"document": "cats.txt", "path": [], "first": 1, "last": 1, "part": "", "tenant": "x"}
            return {"passages": [{**place, "text": "A cat sleeps."}] if "meaning" in body else [], "models": ["m"]}

    library.embedder = Embedder("m", lambda texts: [[3.0, 4.0] for _ in texts])
    library.shared = SharedDocuments(Gateway())
    (tmp_path / "cats.txt").write_text("A cat sleeps.")
    library.add(["cats.txt"])
    library.push("cats.txt")
    [(_, sent)] = posted
    assert (sent["model"], len(b64decode(sent["passages"][0]["vector"]))) == ("m", 4)
    library.remove("cats.txt")
    assert [each.text for each in library.search("felines").passages] == ["A cat sleeps."]
    assert [("meaning" in body) for _, body in posted[1:]] == [False, True]
    library.search("felines")
    assert [("meaning" in body) for _, body in posted[3:]] == [True]
    library.embedder = Embedder("n", lambda texts: [[1.0] for _ in texts])
    library.search("felines")
    assert [("meaning" in body) for _, body in posted[4:]] == [False]


def test_a_model_that_fails_leaves_the_words(library, tmp_path):
    def embed(texts):
        raise BadInput("No model.", hint="Name one.")

    (tmp_path / "a.txt").write_text("The meeting is on Tuesday.")
    library.embedder = Embedder("m", embed)
    assert library.add(["a.txt"]).notes == ("found by words alone: No model",)
    assert library.search("meeting").passages


def test_fusion_prefers_what_two_rankings_have():
    assert fused("abcd", "xbya")[:2] == ["b", "a"] or fused("abcd", "xbya")[:2] == ["a", "b"]


# Addresses.

PUBLIC = "93.184.216.34"
INWARD = ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00::1", "100.64.0.1", "::ffff:10.0.0.1", "0.0.0.0"]


def resolver(hosts):
    def resolve(host, port, **_):
        if host not in hosts:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in hosts[host]]

    return resolve


def served(pages):
    def answer(request):
        return pages[str(request.url)]

    return httpx.MockTransport(answer)


def page(text, kind="text/html"):
    return httpx.Response(200, headers={"content-type": kind}, text=text)


def moved(to):
    return httpx.Response(302, headers={"location": to})


def test_a_page_is_fetched_through_redirects():
    pages = {
        "https://a.org/x": moved("/y"),
        "https://a.org/y": moved("https://b.org/z"),
        "https://b.org/z": page("<h1>Hi"),
    }
    found = fetch(
        "https://a.org/x", KINDS, resolve=resolver({"a.org": [PUBLIC], "b.org": [PUBLIC]}), transport=served(pages)
    )
    assert (found.url, found.kind, found.data) == ("https://b.org/z", "html", b"<h1>Hi")


@pytest.mark.parametrize("inward", INWARD)
@pytest.mark.parametrize("by_name", [True, False])
def test_no_redirect_leads_inward(inward, by_name):
    literal = f"[{inward}]" if ":" in inward else inward
    target = "http://inside.org/" if by_name else f"http://{literal}/"
    hosts = {"a.org": [PUBLIC], "inside.org": [PUBLIC, inward], inward: [inward]}
    transport = served({"https://a.org/x": moved(target), target: page("secret")})
    with pytest.raises(BadInput, match="redirects inward"):
        fetch("https://a.org/x", KINDS, resolve=resolver(hosts), transport=transport)


def test_the_address_that_was_typed_may_be_on_the_own_network():
    transport = served({"http://wiki.local/x.md": page("# Hi", "text/plain")})
    resolve = resolver({"wiki.local": ["10.0.0.7"]})
    assert fetch("http://wiki.local/x.md", KINDS, resolve=resolve, transport=transport).kind == "markdown"


@pytest.mark.parametrize(
    ("url", "reply", "says"),
    [
        ("https://a.org/x", httpx.Response(404), "answered 404"),
        ("https://a.org/x", page("x", "image/png"), "is image/png"),
        ("https://a.org/x", httpx.Response(200, content=b"x"), "does not say what it is"),
        ("https://a.org/x", moved("https://a.org/x"), "redirects more than 5 times"),
        ("https://a.org/x", moved("file:///etc/passwd"), "no web address"),
        ("https://nowhere.org/", None, "no host nowhere.org"),
        ("https://ann:pw@a.org/x", None, "holds a name or a password"),
        ("https://a.org:99999/", None, "no address"),
        ("https://a.org/x", page("x" * 21_000_000), "has more than 20 MB"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_read_says_why(url, reply, says):
    with pytest.raises(BadInput, match=says) as refused:
        fetch(url, KINDS, resolve=resolver({"a.org": [PUBLIC]}), transport=served({url: reply}))
    assert refused.value.hint
    assert "pw" not in str(refused.value)


def test_a_page_that_takes_too_long_is_given_up():
    times = iter([0.0, 61.0])
    with pytest.raises(BadInput, match="takes longer than 60 s"):
        fetch("https://a.org/x", KINDS, resolve=resolver({"a.org": [PUBLIC]}),
              transport=served({"https://a.org/x": page("x")}), clock=lambda: next(times))  # fmt: skip
