"""Texts of documents: no character is lost in silence, lines are right, and the work grows with the length."""

from __future__ import annotations

import random

import pytest

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.knowledge import read_document
from jupyter_server_ext.knowledge.values import split

LONGEST = 20_000


def texts(seed):
    """Documents of headings, fences, paragraphs, blank and very long lines."""
    draw = random.Random(seed)
    lines = []
    for _ in range(draw.randrange(1, 60)):
        words = ["".join(draw.choices("abcdeé東", k=draw.randrange(1, 9))) for _ in range(draw.choice([1, 5, 80]))]
        line = draw.choice([" ", " ", ". ", ""]).join(words)
        kind = draw.random()
        if kind < 0.15:
            line = f"{'#' * draw.randrange(1, 7)} {line} {'#' * draw.randrange(3)}"
        elif kind < 0.2:
            line = "```"
        elif kind < 0.45:
            line = draw.choice(["", "   "])
        elif kind < 0.55:
            line = line * draw.choice([30, 400])
        lines.append(line)
    return lines


@pytest.mark.parametrize("seed", range(60))
def test_nothing_of_a_text_is_lost_and_its_lines_are_told(seed):
    lines = texts(seed)
    passages = list(split("\n".join(lines)))
    kept = "".join("".join(one.text.split()) for one in passages)
    fenced, left = False, []
    for line in lines:
        fenced ^= line.startswith("```")
        if fenced or not line.startswith("#"):
            left.append(line)
    assert kept == "".join("".join(left).split())
    assert all(0 < len(one.text) <= LONGEST for one in passages)
    assert [one.first for one in passages] == sorted(one.first for one in passages)
    for one in passages:
        own = "\n".join(lines[one.first - 1 : one.last])
        assert "".join(one.text.split()) in "".join(own.split())
        assert one.text.split("\n")[0].strip() in lines[one.first - 1]


def test_a_paragraph_of_45048_characters_is_kept_whole():
    text = "Broken glass goes into the yellow bin. " * 1_155 + "End"
    sent = read_document(b'{"name": "a.md", "text": "%b"}' % text.encode())
    assert "".join(one.text for one in sent.passages).replace(" ", "") == text.replace(" ", "")
    assert {(one.first, one.last) for one in sent.passages} == {(1, 1)}
    assert all(one.text.endswith((".", "End")) for one in sent.passages)


def test_a_passage_that_is_too_long_is_refused():
    with pytest.raises(BadRequest, match="20,000 characters"):
        read_document(b'{"name": "a.md", "passages": [{"text": "%b"}]}' % (b"x" * 20_001))


@pytest.mark.parametrize(
    "line", ["a", "", "# a", "#", " ", "```", "# " + "# " * 2_000, "# a" + " " * 4_000 + "b", "x" * 4_000, "a " * 2_000]
)
@pytest.mark.parametrize("size", [300_000, pytest.param(8_000_000, marks=pytest.mark.sweep)])
def test_a_large_text_of_any_line_is_split(line, size):
    """Where the work grew with the square of the lines, or of a line, this would take minutes, and 8 MB many hours."""
    passages = list(split("\n".join([line] * (size // (len(line) + 1)))))
    one_line = list(split(line * (size // max(1, len(line)))))
    assert all(len(one.text) <= LONGEST for one in passages + one_line)
