"""Kept conversations are found by their words, and managed by commands."""

from __future__ import annotations

import random

import pytest

from rsql_magic.errors import BadInput
from rsql_magic.notebook import loaded
from rsql_magic.panel.kept.search import Rest, search
from rsql_magic.panel.kept.store import ConversationStore, Head, NewPair

pytestmark = pytest.mark.usefixtures("without_r", "at_once")


def test_words_are_found_wherever_they_stand(kernels, gateway):
    first = kernels()
    gateway.replies = ['He said "Größe\\Breite" and\nleft.', "Nothing."]
    first.ask("What about RAIN?")
    other = first.do("new")["thread"]
    first.ask("Another", thread=other)
    first.do("rename", thread=other, title="Snow and ice")
    first.panel.threads.keeper.flush()
    for words, titles in {
        "rain": ["Notebook"],
        'größe\\breite"': ["Notebook"],
        "what left": ["Notebook"],
        "snow ICE": ["Snow and ice"],
        "question": [],  # a word of the form, not of the text
        "nowhere": [],
    }.items():
        found = first.do("kept", words=words)
        assert [row["title"] for row in found["here"]] == titles, words
        assert found["whole"]
    assert "…" not in first.do("kept", words="rain")["here"][0]["text"]
    assert "characters" in first.do("kept", words="x" * 300)["error"]["message"]


def test_a_search_that_takes_long_ends_and_says_so(tmp_path):
    kept = ConversationStore(tmp_path)
    number = kept.notebook("~/a.ipynb")
    for n in range(10):
        kept.write(number, Head(f"c{n}", "", f"title {n}"), [NewPair(f"p{n}", b'{"question": "word"}')])
    ticks = iter(range(100))
    found = search(kept, "word", seconds=3, clock=lambda: next(ticks))
    assert not found.whole
    assert 1 <= len(found.hits) < 10
    kept.close()


def test_a_search_goes_on_where_it_ended_and_misses_nothing(tmp_path):
    """However long each go is, and though conversations are changed and begun between two."""
    dice = random.Random(3)
    kept = ConversationStore(tmp_path)
    number = kept.notebook("~/a.ipynb")
    times = iter(range(1, 10_000))

    def written(name, text):
        kept.write(number, Head(name, "", f"title {name}"), [NewPair(f"p{next(times)}", b'{"question": "%s"}' % text)])

    for n in range(40):
        written(f"c{n}", b"word" if n % 3 else b"other")
    wanted, seen, further = {f"c{n}" for n in range(40) if n % 3}, set(), None
    for go in range(200):
        ticks, last = iter(range(1000)), dice.randrange(1, 5)
        found = search(kept, "word", further=further, seconds=last, clock=lambda ticks=ticks: next(ticks))
        seen |= {head.id for head, _, _ in found.hits}
        if (further := found.rest and Rest.read(found.rest.as_list())) is None:
            break
        if go < 5:
            old = f"c{dice.randrange(40)}"
            written(old, b"word")  # it is the first now, whether it was looked at or not
            written(f"new{go}", b"word")
            wanted |= {old, f"new{go}"}
    assert further is None
    assert seen == wanted
    kept.close()


@pytest.mark.parametrize("given", [1, [1], ["a", "b", "c"], {"place": 1}])
def test_where_to_search_further_is_understood_or_refused(given):
    with pytest.raises(BadInput, match="Search anew"):
        Rest.read(given)


@pytest.fixture
def typed(ip, gateway, monkeypatch, tmp_path, capsys):
    """A notebook's cells, whose conversations are kept; gives what a cell says."""
    monkeypatch.setenv("RSQL_CONVERSATIONS", "on")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "delays.ipynb"))

    def run(cell):
        capsys.readouterr()
        ip.run(cell)
        return capsys.readouterr().out

    yield run
    loaded(ip).conversations.close()


def test_the_commands_list_search_open_export_and_delete(typed, ip, gateway, tmp_path):
    assert "no conversations" in typed("%rsql history list")
    gateway.replies = ["Because of the *rain*.", "Another."]
    typed("%ask Why are flights late?")
    assert "Why are flights late?" in typed("%rsql history")
    listed = typed("%rsql history list")
    assert "Notebook" in listed
    assert "delays.ipynb" in listed
    assert "the *rain*" in typed("%rsql history search RAIN")
    assert typed("%rsql history search snow").startswith("Nothing was found")
    conversations = loaded(ip).conversations
    name = conversations.find(conversations.current).id
    assert "> Why are flights late?" in typed(f"%rsql history open {name[:5]}")
    typed(f"%rsql history export {name} {tmp_path}/out.md")
    assert "> Why are flights late?" in (tmp_path / "out.md").read_text()
    typed(f"%rsql history export {name} {tmp_path}/out.json")
    assert '"Why are flights late?"' in (tmp_path / "out.json").read_text()
    for wrong, says in {
        f"export {name} {tmp_path}/out.md": "there already",
        f"export {name}": "needs ID FILE",
        f"rename {name} x": "keeps its name",
        "open nothing": "no conversation nothing",
        "delete": "needs ID",
        "nonsense": "does not know",
    }.items():
        with pytest.raises(BadInput, match=says):
            typed(f"%rsql history {wrong}")
    assert typed("%rsql reset") == "Forgot 1 turn.\n"
    assert "no conversations" in typed("%rsql history list")
    typed("%ask Another?")
    assert typed("%rsql history forget") == "Deleted 1 conversation of all notebooks.\n"
    assert "no conversations" in typed("%rsql history list")
